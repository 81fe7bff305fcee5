//! The network in memory, as tests of programs use it.

mod words;

use caster_core::middleware::{Middleware, Reject};
use caster_core::{
    Caster, DownReason, DropReason, Error, Event, Message, NoEvent, Node, Options, Remote,
    VirtualNetwork, middleware,
};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use words::drain;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn node(network: &VirtualNetwork, id: &str) -> Node {
    network.node(&Options::for_node().with("id", id)).unwrap()
}

#[test]
fn time_stops_where_it_is_told_to() {
    let network = VirtualNetwork::new(1);
    let a = network.node(&Options::for_node().with("id", "a")).unwrap();
    let b = network.node(&Options::for_node().with("id", "b").with("self", &false)).unwrap();
    a.up().unwrap();
    b.up().unwrap();
    assert!(network.advance_until(secs(5), || b.node_count() == 1));
    let heard = network.now();
    assert!(heard < secs(5));
    assert!(network.advance_until(secs(5), || true));
    assert_eq!(network.now(), heard);
    assert!(!network.advance_until(secs(5), || false));
    assert_eq!(network.now(), heard + secs(5));
}

#[test]
fn nodes_find_each_other_talk_and_leave() {
    let network = VirtualNetwork::new(1);
    let (a, b) = (node(&network, "a"), node(&network, "b"));
    a.up().unwrap();
    b.up().unwrap();
    assert!(drain(&a).is_empty(), "time stands still");
    network.advance(secs(1));
    assert_eq!(drain(&a), ["up b", "settled"]);
    assert_eq!(drain(&b), ["up a", "settled"]);
    assert_eq!(a.nodes()[0].address.to_string(), "10.0.0.2");
    a.send(&json!({"hello": 1})).unwrap();
    network.advance(Duration::from_millis(1));
    assert_eq!(drain(&b), [r#"message a {"hello":1}"#]);
    a.down().unwrap();
    network.advance(Duration::from_millis(1));
    assert_eq!(drain(&b), ["down a goodbye"]);
    assert!(drain(&a).is_empty());
    a.up().unwrap();
    network.advance(secs(1));
    assert_eq!(drain(&b), ["up a"]);
}

#[test]
fn waiting_for_an_event_takes_no_time() {
    let started = Instant::now();
    let network = VirtualNetwork::new(1);
    let (a, b) = (node(&network, "a"), node(&network, "b"));
    a.up().unwrap();
    b.up().unwrap();
    assert!(matches!(a.next_event(None), Ok(Event::Up(_))));
    assert!(matches!(a.next_event(None), Ok(Event::Settled)));
    assert_eq!(a.next_event(Some(secs(3600))).unwrap_err(), NoEvent::TimedOut);
    assert!(network.now() >= secs(3600));
    network.unplug(b.id()).unwrap();
    let before = network.now();
    let down = a.next_event(Some(secs(60))).unwrap();
    assert!(matches!(down, Event::Down { reason: DownReason::Timeout, .. }), "{down:?}");
    assert!(network.now() - before < secs(3));
    a.down().unwrap();
    assert_eq!(a.next_event(None).unwrap_err(), NoEvent::Closed);
    assert!(started.elapsed() < secs(30));
}

#[test]
fn who_is_plugged_in_again_is_back() {
    let network = VirtualNetwork::new(1);
    let nodes: Vec<Node> = ["a", "b", "c"].map(|id| node(&network, id)).into();
    for node in &nodes {
        node.up().unwrap();
    }
    network.advance(secs(5));
    network.unplug(nodes[2].id()).unwrap();
    network.advance(secs(10));
    assert_eq!((nodes[0].node_count(), nodes[1].node_count()), (1, 1));
    network.plug(nodes[2].id()).unwrap();
    network.advance(secs(5));
    assert!(nodes.iter().all(|node| node.node_count() == 2));
    let heard = drain(&nodes[2]);
    assert!(heard.contains(&"isolated".to_owned()) && heard.contains(&"rejoined".to_owned()));
    let stranger = caster_core::NodeId::new("nobody").unwrap();
    assert!(network.unplug(&stranger).unwrap_err().to_string().contains("nobody"));
}

/// A life with loss, as a text.
fn story(seed: u64) -> String {
    let network = VirtualNetwork::new(seed);
    network.set_loss(0.4);
    network.set_duplicates(0.2);
    network.set_delay(Duration::from_millis(50));
    let nodes: Vec<Node> = (0..5).map(|n| node(&network, &format!("n{n}"))).collect();
    let mut story = String::new();
    for node in &nodes {
        node.up().unwrap();
        network.advance(Duration::from_millis(130));
    }
    for round in 0..20 {
        nodes[round % 5].send(&round).unwrap();
        network.advance(secs(1));
        for node in &nodes {
            story += &format!("{:?} {} {:?}\n", network.now(), node.id(), drain(node));
        }
    }
    story
}

#[test]
fn the_same_seed_gives_the_same_story() {
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
}

#[test]
fn groups_and_ports_are_apart_and_casters_hear_casters() {
    let network = VirtualNetwork::new(1);
    let make = |port: u16, group: &str| -> Caster {
        let options = Options::for_caster().with("port", &port).with("multicast", group);
        let caster = network.caster(&options).unwrap();
        caster.use_stage(middleware::Json::new()).unwrap();
        caster.bind().unwrap();
        caster
    };
    let a = make(4000, "239.1.1.1");
    let b = make(4000, "239.1.1.1");
    let others = [make(4001, "239.1.1.1"), make(4000, "239.1.1.2"), make(4000, "ff02::1")];
    a.send("x").unwrap();
    let Ok(Event::Datagram { message, remote }) = b.next_event(Some(secs(1))) else {
        panic!("nothing came")
    };
    assert_eq!((message.as_json(), remote.address.port()), (Some("\"x\""), 4000));
    assert!(matches!(a.next_event(Some(secs(1))), Ok(Event::Datagram { .. })), "itself");
    for other in others {
        assert!(other.next_event(Some(secs(1))).is_err());
    }
}

#[test]
fn finds_by_metadata() {
    let network = VirtualNetwork::new(1);
    let seeker = node(&network, "seeker");
    seeker.up().unwrap();
    let metas = [
        json!({"type": "db", "port": 5432, "tags": {"a": [1, 2]}}),
        json!({"type": "http", "port": 80}),
        json!("db"),
    ];
    let all: Vec<Node> = metas
        .iter()
        .enumerate()
        .map(|(n, meta)| {
            let id = format!("n{n}");
            let options = Options::for_node().with("id", &id).with("meta", meta);
            let node = network.node(&options).unwrap();
            node.up().unwrap();
            node
        })
        .collect();
    network.advance(secs(1));
    assert_eq!(seeker.node_count(), all.len());
    let find = |wanted: &[(&str, Option<&str>)]| -> Vec<String> {
        seeker.find_all(wanted).iter().map(|peer| peer.id.to_string()).collect()
    };
    assert_eq!(find(&[("type", Some("\"db\""))]), ["n0"]);
    assert_eq!(find(&[("port", Some("80.0"))]), ["n1"]);
    assert_eq!(find(&[("port", None)]).len(), 2);
    assert_eq!(find(&[("port", None), ("tags", Some(r#"{ "a": [1, 2] }"#))]), ["n0"]);
    assert_eq!(find(&[("nothing", None)]).len(), 0);
    assert_eq!(find(&[]).len(), 3);
    assert_eq!(seeker.find("type", "db").unwrap()[0].id.to_string(), "n0");
    assert_eq!(seeker.find("port", &80).unwrap()[0].id.to_string(), "n1");
    let none = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = seeker.find("type", &none).unwrap_err();
    assert_eq!(error.code(), caster_core::ErrorCode::InvalidArgument);
}

struct Records(Mutex<Vec<String>>);

impl log::Log for Records {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {} {}", record.level(), record.target(), record.args());
        self.0.lock().unwrap().push(line);
    }
    fn flush(&self) {}
}

#[test]
fn the_log_tells_what_happens() {
    let records = Arc::new(Records(Mutex::default()));
    log::set_boxed_logger(Box::new(records.clone())).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let network = VirtualNetwork::new(1);
    let (a, b) = (node(&network, "log-a"), node(&network, "log-b"));
    a.up().unwrap();
    b.up().unwrap();
    network.advance(secs(1));
    b.down().unwrap();
    network.advance(secs(1));
    let lines = records.0.lock().unwrap().clone();
    for wanted in [
        "INFO caster log-a: open on ",
        "DEBUG caster log-a: log-b is up at 10.0.0.2",
        "INFO caster log-b: closed",
        concat!("DEBUG caster log-a: log-b is down: ", "goodbye"),
    ] {
        assert!(lines.iter().any(|line| line.starts_with(wanted)), "{wanted} in {lines:#?}");
    }
}

/// A node of this network that is up, without its first events.
fn up(network: &VirtualNetwork, options: Options) -> Node {
    let node = network.node(&options).unwrap();
    node.up().unwrap();
    node
}

fn settle(network: &VirtualNetwork, nodes: &[&Node]) {
    network.advance(Duration::from_secs(4));
    for node in nodes {
        while node.next_event(Some(Duration::ZERO)).is_ok() {}
    }
}

/// The lengths of the messages that wait.
fn messages(node: &Node) -> Vec<usize> {
    let mut all = Vec::new();
    while let Ok(event) = node.next_event(Some(Duration::ZERO)) {
        if let Event::Message { message, .. } = event {
            all.push(message.data().len());
        }
    }
    all
}

#[test]
fn a_message_beyond_one_datagram_travels_in_pieces() {
    let network = VirtualNetwork::new(1);
    let a = up(&network, Options::for_node().with("id", "a").with("self", &true));
    let b = up(&network, Options::for_node().with("id", "b").with("crypto", &false));
    settle(&network, &[&a, &b]);
    let text = "é[{\\\"".repeat(2000);
    let size = a.send(&text).unwrap();
    network.advance(Duration::from_millis(10));
    for node in [&a, &b] {
        match node.next_event(Some(Duration::ZERO)) {
            Ok(Event::Message { message, peer }) => {
                assert_eq!(peer.id, "a");
                assert_eq!(message.parse::<String>().unwrap(), text);
            }
            other => panic!("{other:?}"),
        }
    }
    let (sent, received) = (a.stats(), b.stats());
    let pieces = sent.pieces_sent;
    assert!((size as u64).div_ceil(1400) <= pieces && pieces <= size as u64 / 1300, "{pieces}");
    assert_eq!(received.pieces_received, pieces);
    assert_eq!((sent.oversized, received.incomplete, received.nacks_sent), (0, 0, 0));
    assert_eq!(received.received, received.accepted + received.dropped_total());
    // One that fits goes to the port of the group.
    a.send(&"x".repeat(1300)).unwrap();
    network.advance(Duration::from_millis(10));
    assert_eq!(messages(&b), [1302]);
    assert_eq!(a.stats().pieces_sent, pieces);
}

#[test]
fn a_batch_with_large_and_small_messages_arrives_in_its_order() {
    let network = VirtualNetwork::new(1);
    let a = up(&network, Options::for_node().with("id", "a"));
    let b = up(&network, Options::for_node().with("id", "b"));
    settle(&network, &[&a, &b]);
    let sizes: Vec<usize> = (0..40).map(|n| if n % 7 == 3 { 5000 + n } else { 10 + n }).collect();
    let batch: Vec<Message> =
        sizes.iter().map(|&size| Message::from_value(&"x".repeat(size - 2)).unwrap()).collect();
    a.send_batch(&batch).unwrap();
    network.advance(Duration::from_millis(10));
    assert_eq!(messages(&b), sizes);
}

#[test]
fn lost_pieces_are_repaired_and_what_is_not_is_counted() {
    let network = VirtualNetwork::new(5);
    let a = up(&network, Options::for_node().with("id", "a"));
    let others: Vec<Node> = (0..4).map(|_| up(&network, Options::for_node())).collect();
    settle(&network, &others.iter().chain([&a]).collect::<Vec<_>>());
    network.set_loss(0.1);
    network.set_delay(Duration::from_micros(500));
    for _ in 0..200 {
        a.send(&"x".repeat(60_000)).unwrap();
        network.advance(Duration::from_millis(50));
    }
    network.advance(Duration::from_secs(2));
    for node in &others {
        let arrived = messages(node).len();
        let stats = node.stats();
        assert!(arrived >= 190, "{arrived}");
        assert_eq!(arrived as u64 + stats.incomplete, 200, "{stats:?}");
        assert!(stats.nacks_sent > 0 && stats.dropped(DropReason::RepeatedPiece) > 0);
        assert_eq!(stats.received, stats.accepted + stats.dropped_total());
    }
    let stats = a.stats();
    assert!(stats.repairs_sent > 0 && stats.repairs_sent <= stats.pieces_sent, "{stats:?}");
}

#[test]
fn while_a_peer_takes_no_pieces_a_large_message_goes_whole_and_a_hint_says_so_once() {
    let network = VirtualNetwork::new(1);
    let a = up(&network, Options::for_node().with("id", "a"));
    let b = up(&network, Options::for_node().with("id", "b"));
    let old = up(&network, Options::for_node().with("id", "old").with("compat", "0.1.1"));
    network.advance(Duration::from_secs(6));
    settle(&network, &[&a, &b, &old]);
    for _ in 0..3 {
        a.send(&"x".repeat(20_000)).unwrap();
    }
    network.advance(Duration::from_millis(10));
    assert_eq!(messages(&b), [20_002; 3]);
    assert_eq!(messages(&old), [20_002; 3]);
    let hints = std::iter::from_fn(|| a.next_event(Some(Duration::ZERO)).ok());
    assert_eq!(hints.filter(|event| matches!(event, Event::Hint(_))).count(), 1);
    assert_eq!((a.stats().oversized, a.stats().pieces_sent), (3, 0));
    old.down().unwrap();
    network.advance(Duration::from_secs(4));
    a.send(&"x".repeat(20_000)).unwrap();
    network.advance(Duration::from_millis(10));
    assert_eq!(messages(&b), [20_002]);
    assert_eq!(a.stats().oversized, 3);
}

#[test]
fn with_a_stage_of_the_program_a_large_message_goes_whole() {
    struct Nothing;
    impl Middleware for Nothing {
        fn name(&self) -> &str {
            "nothing"
        }
        fn tx(&self, _message: &mut Message) -> Result<(), Error> {
            Ok(())
        }
        fn rx(&self, _message: &mut Message, _from: &Remote) -> Result<(), Reject> {
            Ok(())
        }
    }
    let network = VirtualNetwork::new(1);
    let a = up(&network, Options::for_node().with("id", "a"));
    let b = network.node(&Options::for_node().with("id", "b")).unwrap();
    b.use_stage(Nothing).unwrap();
    b.up().unwrap();
    settle(&network, &[&a, &b]);
    a.send(&"x".repeat(20_000)).unwrap();
    b.send(&"x".repeat(20_000)).unwrap();
    network.advance(Duration::from_millis(10));
    assert_eq!((messages(&a), messages(&b)), (vec![20_002], vec![20_002]));
    assert_eq!(a.stats().pieces_sent + b.stats().pieces_sent, 0);
}

/// Metadata of about this many bytes.
fn large_meta(n: u32, bytes: usize) -> serde_json::Value {
    json!({"n": n, "text": "é".repeat(bytes / 6)})
}

fn meta_of(node: &Node, id: &str) -> Option<u64> {
    let peer = node.node(id)?;
    let meta: serde_json::Value = serde_json::from_str(peer.meta.as_deref()?).unwrap();
    meta["n"].as_u64()
}

#[test]
fn metadata_beyond_one_datagram_is_there_when_the_peer_is_up_and_follows_changes() {
    let network = VirtualNetwork::new(3);
    let mut nodes = Vec::new();
    for n in 0..6 {
        let options = Options::for_node().with("id", &format!("n{n}"));
        nodes.push(up(&network, options.with("meta", &large_meta(n, 8000))));
        network.advance(Duration::from_millis(300));
    }
    network.advance(secs(3));
    for node in &nodes {
        assert_eq!(node.node_count(), 5, "{}", node.id());
        let mut ups = 0;
        while let Ok(event) = node.next_event(Some(Duration::ZERO)) {
            if let Event::Up(peer) = event {
                ups += 1;
                assert!(peer.meta.is_some_and(|meta| meta.len() > 7000), "{}", peer.id);
            }
            assert_eq!(node.stats().oversized, 0);
        }
        assert_eq!(ups, 5);
    }
    let before: u64 = nodes.iter().map(|node| node.stats().pieces_sent).sum();
    network.advance(secs(60));
    let after: u64 = nodes.iter().map(|node| node.stats().pieces_sent).sum();
    assert_eq!(before, after, "heartbeats carry no metadata");
    nodes[0].set_meta(&large_meta(100, 5000)).unwrap();
    network.advance(Duration::from_millis(100));
    for node in &nodes[1..] {
        assert_eq!(meta_of(node, "n0"), Some(100));
        let update = node.next_event(Some(Duration::ZERO));
        assert!(matches!(update, Ok(Event::Update { changed, .. }) if changed.meta), "{update:?}");
    }
    nodes[0].set_meta(&json!({"n": 7})).unwrap();
    network.advance(Duration::from_millis(10));
    assert_eq!(meta_of(&nodes[1], "n0"), Some(7));
    // It comes up again with metadata that is known.
    nodes[1].down().unwrap();
    nodes[1].up().unwrap();
    network.advance(secs(2));
    assert_eq!(meta_of(&nodes[0], "n1"), Some(1));
}

#[test]
fn with_large_metadata_and_loss_no_peer_is_down_and_all_metadata_arrives() {
    let network = VirtualNetwork::new(4);
    network.set_loss(0.1);
    let nodes: Vec<Node> = (0..10)
        .map(|n| {
            let options = Options::for_node().with("id", &format!("n{n}"));
            up(&network, options.with("meta", &large_meta(n, 8000)))
        })
        .collect();
    network.advance(secs(120));
    for node in &nodes {
        for n in (0..10).filter(|n| *node.id() != *format!("n{n}")) {
            assert_eq!(meta_of(node, &format!("n{n}")), Some(n), "{} {n}", node.id());
        }
        let events = std::iter::from_fn(|| node.next_event(Some(Duration::ZERO)).ok());
        assert_eq!(events.filter(|event| matches!(event, Event::Down { .. })).count(), 0);
    }
}

#[test]
fn an_original_gets_large_metadata_in_full_beside_the_hash() {
    let network = VirtualNetwork::new(1);
    let meta = large_meta(1, 6000);
    let a = up(&network, Options::for_node().with("id", "a").with("meta", &meta));
    let b = up(&network, Options::for_node().with("id", "b"));
    network.advance(secs(3));
    assert_eq!(a.stats().oversized, 0);
    let old = up(&network, Options::for_node().with("id", "old").with("compat", "0.1.1"));
    network.advance(secs(10));
    assert_eq!((meta_of(&old, "a"), meta_of(&b, "a")), (Some(1), Some(1)));
    let oversized = a.stats().oversized;
    // With each heartbeat, of which there are three a second while an original is in sight, 5 % more or less.
    assert!((5..=32).contains(&oversized), "{oversized}");
    let never = Options::for_node().with("id", "never").with("originals", "never");
    let never = up(&network, never.with("meta", &meta));
    network.advance(secs(5));
    assert_eq!((meta_of(&b, "never"), meta_of(&old, "never")), (Some(1), None));
    assert_eq!(never.stats().oversized, 0);
    let expect = Options::for_node().with("id", "expect").with("originals", "expect");
    let quiet = VirtualNetwork::new(1);
    let expect = up(&quiet, expect.with("meta", &meta));
    quiet.advance(secs(5));
    assert!(expect.stats().oversized > 3);
}

#[test]
fn a_hidden_node_that_asks_finds_all_within_the_time_of_the_answers_and_stays_unseen() {
    let network = VirtualNetwork::new(7);
    let visible = |n| network.node(&Options::for_node().with("id", &format!("n{n}"))).unwrap();
    let nodes: Vec<Node> = (0..20).map(visible).collect();
    nodes.iter().for_each(|node| node.up().unwrap());
    // Not a multiple of the interval: no heartbeat is due by itself.
    network.advance(Duration::from_millis(5_450));
    let hidden = || network.node(&Options::for_node().with("expose", &false)).unwrap();
    let (asks, listens) = (hidden(), hidden());
    let not_up = asks.ask().unwrap_err();
    assert_eq!(not_up.code(), caster_core::ErrorCode::NotUp);
    asks.up().unwrap();
    asks.ask().unwrap();
    network.advance(Duration::from_millis(100));
    assert_eq!(asks.node_count(), 20);
    assert!(nodes.iter().all(|node| node.node_count() == 19), "the asking node is unseen");
    // Another one asks right after it.
    listens.up().unwrap();
    listens.ask().unwrap();
    network.advance(Duration::from_millis(100));
    assert_eq!(listens.node_count(), 20);
    let details = asks.details(&asks.nodes()[0].id).unwrap();
    assert!(details.incarnation.is_some() && details.heartbeats > 0);
    assert_eq!(details.interval, Some(Duration::from_secs(1)));
    assert_eq!(details.capability_names().len(), 4);
}

/// The datagrams that a caster without stages has received.
fn raw(caster: &Caster) -> Vec<Vec<u8>> {
    let events = std::iter::from_fn(|| caster.event_source().try_next());
    let data = |event| match event {
        Event::Datagram { message, .. } => Some(message.into_data()),
        _ => None,
    };
    events.filter_map(data).collect()
}

#[test]
fn each_question_of_a_hidden_node_has_a_number_of_its_own() {
    let network = VirtualNetwork::new(1);
    let hidden = Options::for_node().with("expose", &false).with("hash", &false);
    let nodes = [network.node(&hidden).unwrap(), network.node(&hidden).unwrap()];
    let spy = network.caster(&Options::for_caster()).unwrap();
    spy.clear_stages();
    spy.bind().unwrap();
    for node in &nodes {
        node.up().unwrap();
    }
    for _ in 0..50 {
        for node in &nodes {
            node.ask().unwrap();
        }
    }
    network.advance(secs(1));
    let mut numbers: Vec<u64> = raw(&spy)
        .iter()
        .map(|data| {
            let question: serde_json::Value = serde_json::from_slice(data).unwrap();
            assert_eq!(question["caster"]["a"], 1, "{question}");
            assert!(question.get("id").is_none(), "{question}");
            question["caster"]["b"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(numbers.len(), 100);
    numbers.sort_unstable();
    numbers.dedup();
    // Equal ones would be copies of one datagram; of 100 random numbers of 32 bits two are equal in one of a million
    // cases, and the seed is fixed.
    assert_eq!(numbers.len(), 100);
    assert!(numbers.iter().all(|number| *number <= u64::from(u32::MAX)));
}

#[test]
fn a_recorded_datagram_reaches_its_group_and_its_data_port_only() {
    let network = VirtualNetwork::new(1);
    let group = |port: u16| ("224.0.0.42".parse::<std::net::IpAddr>().unwrap(), port).into();
    let here = network.node(&Options::for_node().with("hash", &false)).unwrap();
    let elsewhere =
        network.node(&Options::for_node().with("hash", &false).with("port", &10105)).unwrap();
    here.up().unwrap();
    elsewhere.up().unwrap();
    let from = ([10, 9, 8, 7], 10101).into();
    network.inject(from, group(10101), br#"{"id":"recorded","meta":{"n":1}}"#);
    network.inject(from, group(10103), br#"{"id":"of no group","meta":null}"#);
    network.advance(Duration::from_millis(1));
    let peers = here.nodes();
    assert_eq!((peers.len(), peers[0].address.to_string().as_str()), (1, "10.9.8.7"));
    assert_eq!((&*peers[0].id.as_str(), elsewhere.node_count()), ("recorded", 0));
    let before = here.stats().received;
    network.inject(from, group(10102), b"no frame");
    network.advance(Duration::from_millis(1));
    assert_eq!(here.stats().received, before + 1);
    // A node that is unplugged hears nothing of it.
    network.unplug(here.id()).unwrap();
    network.inject(from, group(10101), br#"{"id":"another","meta":null}"#);
    network.advance(Duration::from_millis(1));
    assert_eq!(here.node_count(), 1);
}
