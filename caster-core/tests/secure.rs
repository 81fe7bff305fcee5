//! Secure mode, through the public interface: in memory, and on real sockets with a recorder.

mod common;
mod words;

use caster_core::middleware::{Json, Secure, SecureOptions};
use caster_core::{Caster, DropReason, ErrorCode, Event, Key, Node, Options, VirtualNetwork};
use common::{eventually, private_network};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;
use words::drain;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn sealed(id: &str, key: &Key) -> Options {
    Options::for_node().with("id", id).keys([key.clone()])
}

#[test]
fn nodes_with_one_key_find_each_other_talk_and_leave() {
    let network = VirtualNetwork::new(1);
    let key = Key::generate().unwrap();
    let [a, b] = ["a", "b"].map(|id| network.node(&sealed(id, &key)).unwrap());
    assert_eq!(a.port(), 10103);
    assert_eq!(a.stage_names(), ["json", "secure"]);
    a.up().unwrap();
    b.up().unwrap();
    network.advance(secs(2));
    assert_eq!(drain(&a), ["up b", "settled"]);
    assert_eq!(drain(&b), ["up a", "settled"]);
    a.send(&json!({"hello": 1})).unwrap();
    network.advance(Duration::from_millis(1));
    assert_eq!(drain(&b), [r#"message a {"hello":1}"#]);
    let batch: Vec<_> = (0..100).map(|n| caster_core::Message::from_value(&n).unwrap()).collect();
    b.send_batch(&batch).unwrap();
    network.advance(Duration::from_millis(1));
    let expected: Vec<String> = (0..100).map(|n| format!("message b {n}")).collect();
    assert_eq!(drain(&a), expected);
    a.down().unwrap();
    network.advance(Duration::from_millis(1));
    assert_eq!(drain(&b), ["down a goodbye"]);
    a.up().unwrap();
    network.advance(secs(2));
    assert_eq!(drain(&b), ["up a"]);
}

#[test]
fn a_node_may_send_as_soon_as_it_is_up_and_leave_at_once() {
    let network = VirtualNetwork::new(6);
    let key = Key::generate().unwrap();
    let b = network.node(&sealed("b", &key)).unwrap();
    b.up().unwrap();
    network.advance(secs(5));
    drain(&b);
    let a = network.node(&sealed("a", &key)).unwrap();
    a.up().unwrap();
    assert!(a.send("first").unwrap() > 56);
    a.send_batch(&[caster_core::Message::from_value("second").unwrap()]).unwrap();
    network.advance(secs(1));
    a.send("third").unwrap();
    network.advance(Duration::from_millis(1));
    let messages = [r#"message a "first""#, r#"message a "second""#, r#"message a "third""#];
    assert_eq!(drain(&b)[..], ["up a", messages[0], messages[1], messages[2]]);
    a.start_down().unwrap();

    // On real sockets `down` waits for them.
    let (options, _, _) = private_network(Options::for_node());
    let node = |id: &str| Node::new(&options.clone().with("id", id).keys([key.clone()])).unwrap();
    let (a, b) = (node("a"), node("b"));
    b.up().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    a.up().unwrap();
    a.send("only").unwrap();
    a.down().unwrap();
    let mut events = Vec::new();
    eventually("the message", || {
        events.extend(drain(&b));
        events.len() >= 4
    });
    let expected = ["settled", "up a", r#"message a "only""#, "down a goodbye"];
    assert_eq!(events, expected);
}

#[test]
fn a_node_that_is_alone_holds_messages_for_a_short_time_only() {
    let network = VirtualNetwork::new(7);
    let key = Key::generate().unwrap();
    let a = network.node(&sealed("a", &key)).unwrap();
    a.up().unwrap();
    let before = a.stats().sent;
    for n in 0..10 {
        a.send(&n).unwrap();
    }
    assert_eq!(a.stats().sent, before);
    network.advance(Duration::from_millis(250));
    assert!(a.stats().sent >= before + 10);
}

#[test]
fn another_key_another_realm_and_no_key_are_other_groups() {
    let network = VirtualNetwork::new(2);
    let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
    let a = network.node(&sealed("a", &key)).unwrap();
    let strangers = [
        sealed("b", &other),
        sealed("c", &key).with("realm", "plant 8"),
        sealed("d", &key).with("hmac", &true),
        Options::for_node().with("id", "e").with("port", &10103),
    ]
    .map(|options| network.node(&options).unwrap());
    a.up().unwrap();
    strangers.iter().for_each(|node| node.up().unwrap());
    network.advance(secs(10));
    assert_eq!(a.node_count(), 0);
    let stats = a.stats();
    assert!(stats.dropped(DropReason::Seal) > 20, "{stats:?}");
    assert!(stats.dropped(DropReason::Unsealed) > 5, "{stats:?}");
    // One that only signs also opens what is sealed, but cannot be heard.
    assert!(strangers.iter().all(|node| node.node_count() == 0));
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    let key = Key::generate().unwrap();
    let error = |options: Options| Node::new(&options).expect_err("it is refused");
    for (name, value) in [
        ("hash", json!(true)),
        ("hashSecret", json!("x")),
        ("crypto", json!(true)),
        ("compat", json!("0.1.1")),
    ] {
        let error = error(sealed("a", &key).with(name, &value));
        assert_eq!(error.code(), ErrorCode::InvalidOption);
        assert!(error.message().contains(name), "{error}");
    }
    assert!(error(sealed("a", &key).with("port", &10101)).message().contains("0.1.1"));
    assert!(error(Options::for_node().with("realm", "x")).message().contains("keys"));
    assert!(error(sealed("a", &key).with("realm", &"x".repeat(256))).message().contains("255"));
    let text = format!("{:?}", sealed("a", &key));
    assert!(text.contains(&key.id().to_string()), "{text}");
    assert!(!text.contains(&key.to_hex()[..12]), "{text}");
}

#[test]
fn keys_are_changed_while_everybody_talks() {
    let network = VirtualNetwork::new(3);
    let (old, new) = (Key::generate().unwrap(), Key::generate().unwrap());
    let nodes: Vec<Node> =
        ["a", "b", "c"].iter().map(|id| network.node(&sealed(id, &old)).unwrap()).collect();
    nodes.iter().for_each(|node| node.up().unwrap());
    network.advance(secs(3));
    nodes.iter().for_each(|node| drop(drain(node)));
    let mut sent = 0;
    let mut talk = |seconds: u64| {
        for _ in 0..seconds * 10 {
            sent += 1;
            nodes[0].send(&sent).unwrap();
            network.advance(Duration::from_millis(100));
        }
        sent
    };
    talk(2);
    for node in &nodes {
        node.add_key(&new).unwrap();
        talk(2);
    }
    for node in &nodes {
        node.use_key(new.id()).unwrap();
        talk(3);
    }
    for node in &nodes {
        node.remove_key(old.id()).unwrap();
        talk(2);
        assert_eq!(node.key_ids(), [new.id()]);
    }
    let sent = talk(5);
    for node in &nodes[1..] {
        let events = drain(node);
        let messages = events.iter().filter(|event| event.starts_with("message a")).count();
        let others: Vec<_> = events.iter().filter(|it| !it.starts_with("message")).collect();
        assert!(others.is_empty(), "{others:?}");
        assert_eq!(messages, sent, "none is lost");
    }
    assert_eq!(nodes[0].remove_key(new.id()).unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[test]
fn a_removed_key_is_accepted_for_two_timeouts_or_not_at_all() {
    for at_once in [false, true] {
        let network = VirtualNetwork::new(8);
        let (old, new) = (Key::generate().unwrap(), Key::generate().unwrap());
        let node = |id: &str| network.node(&sealed(id, &new).keys([old.clone()])).unwrap();
        let [a, b] = ["a", "b"].map(node);
        b.use_key(old.id()).unwrap();
        a.up().unwrap();
        b.up().unwrap();
        network.advance(secs(5));
        assert_eq!(a.key_of(b.id()), Some(old.id()));
        assert_eq!(b.key_of(a.id()), Some(new.id()));
        assert_eq!(a.key_of(a.id()), None);
        drain(&a);
        if at_once {
            a.remove_key_now(old.id()).unwrap();
        } else {
            a.remove_key(old.id()).unwrap();
            assert_eq!(a.remove_key_now(new.id()).unwrap_err().code(), ErrorCode::InvalidArgument);
        }
        assert_eq!(a.key_ids(), [new.id()]);
        assert_eq!(a.use_key(old.id()).unwrap_err().code(), ErrorCode::InvalidArgument);
        network.advance(Duration::from_millis(3900));
        b.send(&1).unwrap();
        network.advance(Duration::from_millis(1));
        let heard = drain(&a).iter().any(|event| event == "message b 1");
        assert_eq!(heard, !at_once);
        network.advance(Duration::from_millis(200));
        b.send(&2).unwrap();
        network.advance(Duration::from_millis(1));
        assert!(!drain(&a).iter().any(|event| event == "message b 2"));
        network.advance(secs(10));
        assert_eq!(a.node_count(), 0);
        // It may come back.
        a.add_key(&old).unwrap();
        network.advance(secs(5));
        assert_eq!(a.node_count(), 1);
    }
}

#[test]
fn a_key_that_is_added_again_before_it_is_closed_stays() {
    let network = VirtualNetwork::new(9);
    let (old, new) = (Key::generate().unwrap(), Key::generate().unwrap());
    let a = network.node(&sealed("a", &new).keys([old.clone()])).unwrap();
    let b = network.node(&sealed("b", &old)).unwrap();
    a.up().unwrap();
    b.up().unwrap();
    network.advance(secs(3));
    a.remove_key(old.id()).unwrap();
    network.advance(secs(1));
    a.add_key(&old).unwrap();
    network.advance(secs(20));
    let events = drain(&a);
    assert!(!events.iter().any(|event| event.starts_with("down")), "{events:?}");
    a.remove_key(old.id()).unwrap();
    a.down().unwrap();
    a.up().unwrap();
    network.advance(secs(3));
    assert_eq!((a.node_count(), a.key_ids()), (0, vec![new.id()]), "it was closed in between");
}

#[test]
fn once_a_sender_has_changed_to_the_key_of_a_node_its_old_one_counts_no_more() {
    let network = VirtualNetwork::new(10);
    let (old, new) = (Key::generate().unwrap(), Key::generate().unwrap());
    let node = |id: &str| network.node(&sealed(id, &old).keys([new.clone()])).unwrap();
    let [a, b] = ["a", "b"].map(node);
    a.up().unwrap();
    b.up().unwrap();
    network.advance(secs(3));
    for node in [&a, &b] {
        node.use_key(new.id()).unwrap();
    }
    network.advance(secs(5));
    assert_eq!(a.key_of(b.id()), Some(new.id()));
    drain(&a);
    b.use_key(old.id()).unwrap();
    b.send("under the old key").unwrap();
    network.advance(Duration::from_millis(10));
    assert_eq!(drain(&a), [""; 0]);
    b.use_key(new.id()).unwrap();
    b.send("under the new key").unwrap();
    network.advance(Duration::from_millis(10));
    assert_eq!(drain(&a), [r#"message b "under the new key""#]);
}

#[test]
fn keys_are_changed_many_times_and_nothing_is_lost() {
    let network = VirtualNetwork::new(11);
    let mut key = Key::generate().unwrap();
    let [a, b] = ["a", "b"].map(|id| network.node(&sealed(id, &key)).unwrap());
    a.up().unwrap();
    b.up().unwrap();
    network.advance(secs(3));
    drain(&b);
    let mut sent = 0;
    let mut talk = || {
        for _ in 0..30 {
            a.send(&sent).unwrap();
            sent += 1;
            network.advance(Duration::from_millis(100));
        }
        sent
    };
    for _ in 0..8 {
        let new = Key::generate().unwrap();
        a.add_key(&new).unwrap();
        b.add_key(&new).unwrap();
        talk();
        a.use_key(new.id()).unwrap();
        b.use_key(new.id()).unwrap();
        talk();
        a.remove_key(key.id()).unwrap();
        b.remove_key(key.id()).unwrap();
        talk();
        key = new;
    }
    let sent = talk();
    let expected: Vec<String> = (0..sent).map(|n| format!("message a {n}")).collect();
    assert_eq!(drain(&b), expected);
}

/// One sends ten messages a second while it changes its sender. Returns the events of the other.
fn heard_during_changes(network: &VirtualNetwork, during: impl Fn(&VirtualNetwork)) -> Vec<String> {
    let key = Key::generate().unwrap();
    let [a, b] = ["a", "b"].map(|id| network.node(&sealed(id, &key)).unwrap());
    a.up().unwrap();
    b.up().unwrap();
    network.advance(secs(3));
    drain(&a);
    drain(&b);
    let mut sent = 0;
    for change in 0..5 {
        a.change_sender();
        for tenth in 0..120 {
            a.send(&sent).unwrap();
            sent += 1;
            network.advance(Duration::from_millis(100));
            if change == 2 && tenth == 0 {
                during(network);
            }
        }
        b.send(&json!(["to", change])).unwrap();
        network.advance(Duration::from_millis(10));
        assert_eq!(drain(&a), [format!(r#"message b ["to",{change}]"#)]);
        assert_eq!(a.node_count(), 1);
    }
    let events = drain(&b);
    assert!(events.iter().all(|event| event.starts_with("message a")), "{events:?}");
    assert_eq!(b.key_of(a.id()), Some(key.id()));
    events
}

#[test]
fn a_change_of_the_sender_is_not_noticed() {
    let network = VirtualNetwork::new(12);
    let expected: Vec<String> = (0..600).map(|n| format!("message a {n}")).collect();
    assert_eq!(heard_during_changes(&network, |_| {}), expected);
}

#[test]
fn a_change_of_the_sender_without_its_announcements_costs_a_question() {
    let network = VirtualNetwork::new(13);
    // Three heartbeats are lost, and what is sent meanwhile. The peer is not heard for less than four timeouts.
    let events = heard_during_changes(&network, |network| {
        network.set_loss(1.0);
        network.advance(Duration::from_millis(1500));
        network.set_loss(0.6);
        network.advance(Duration::from_millis(2500));
        network.set_loss(0.0);
    });
    assert!(events.len() > 550, "{}", events.len());
}

#[test]
fn a_lossy_network_loses_no_peer() {
    let network = VirtualNetwork::new(4);
    network.set_loss(0.3);
    network.set_delay(Duration::from_millis(3));
    let key = Key::generate().unwrap();
    let nodes: Vec<Node> =
        (0..12).map(|n| network.node(&sealed(&format!("n{n}"), &key)).unwrap()).collect();
    nodes.iter().for_each(|node| node.up().unwrap());
    network.advance(secs(20));
    assert!(nodes.iter().all(|node| node.node_count() == 11));
    nodes.iter().for_each(|node| drop(drain(node)));
    network.advance(secs(300));
    for node in &nodes {
        let events = drain(node);
        assert!(events.is_empty(), "{events:?}");
    }
}

#[test]
fn casters_are_sealed_by_a_stage() {
    let network = VirtualNetwork::new(5);
    let key = Key::generate().unwrap();
    let mut by_option = false;
    let mut made = |keys: Vec<Key>| {
        let options = Options::for_caster().with("port", &10103);
        by_option = !by_option;
        let caster = if by_option {
            let caster = network.caster(&options.keys(keys)).unwrap();
            caster.clear_stages();
            caster.use_stage(Json::new()).unwrap();
            caster
        } else {
            let caster = network.caster(&options).unwrap();
            caster.use_stage(Json::new()).unwrap();
            let options = SecureOptions { keys, ..SecureOptions::default() };
            caster.use_stage(Secure::new(&options).unwrap()).unwrap();
            caster
        };
        assert_eq!(caster.stage_names(), ["json", "secure"]);
        caster.bind().unwrap();
        caster
    };
    let (a, b, stranger) =
        (made(vec![key.clone()]), made(vec![key.clone()]), made(vec![Key::generate().unwrap()]));
    a.send(&json!({"hello": "world"})).unwrap();
    network.advance(Duration::from_millis(10));
    let received = |caster: &Caster| {
        std::iter::from_fn(|| caster.event_source().try_next())
            .filter_map(|event| match event {
                Event::Datagram { message, .. } => message.as_json().map(str::to_owned),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(received(&b), [r#"{"hello":"world"}"#]);
    assert_eq!(received(&stranger), [""; 0]);
    assert_eq!(received(&a), [""; 0], "what it has sent itself is discarded");
    assert_eq!(stranger.stats().dropped(DropReason::Seal), 1);
    // Nodes take nothing from a caster: it cannot prove that it is there now.
    let node = network.node(&sealed("n", &key)).unwrap();
    node.up().unwrap();
    network.advance(secs(2));
    a.send(&json!({"id": "a", "message": 1})).unwrap();
    network.advance(secs(1));
    a.send(&json!({"id": "a", "message": 2})).unwrap();
    network.advance(secs(1));
    assert_eq!(drain(&node), ["settled", "hint"], "once");
    assert_eq!(node.stats().dropped(DropReason::Unproven), 2);
    assert!(received(&b).iter().any(|text| text.contains(r#""id":"n""#)), "a caster hears nodes");
}

/// The messages that a node was told: the sender, the content, and whether it is sealed and fresh.
fn told(node: &Node) -> Vec<String> {
    let all = std::iter::from_fn(|| node.event_source().try_next());
    let told = |event: Event| {
        let json = serde_json::to_value(&event).unwrap();
        let Event::Message { message, peer } = event else { return None };
        let (content, sealed) = (message.as_json().unwrap_or("?"), message.is_sealed());
        let fresh = message.is_fresh();
        assert_eq!(json.get("sealed"), sealed.then_some(&json!(true)));
        assert_eq!(json.get("fresh"), sealed.then(|| json!(fresh)).as_ref());
        Some(format!("{} {content} {sealed} {fresh}", peer.id))
    };
    all.filter_map(told).collect()
}

fn bare(network: &VirtualNetwork, key: &Key) -> Caster {
    let options = Options::for_caster().with("port", &10103).keys([key.clone()]);
    let caster = network.caster(&options).unwrap();
    caster.use_stage(Json::new()).unwrap();
    caster.bind().unwrap();
    caster
}

#[test]
fn messages_of_a_caster_are_delivered_and_marked_if_an_option_says_so() {
    let network = VirtualNetwork::new(21);
    let key = Key::generate().unwrap();
    let deliver = |id: &str| sealed(id, &key).with("unproven", "deliver").with("maxMessage", &100);
    let [n, m] = ["n", "m"].map(|id| network.node(&deliver(id)).unwrap());
    let old = network.node(&Options::for_node().with("id", "old").with("port", &10103)).unwrap();
    let caster = bare(&network, &key);
    for node in [&n, &m, &old] {
        node.up().unwrap();
    }
    network.advance(secs(2));
    assert!(told(&n).is_empty());
    let send = |value: serde_json::Value| {
        caster.send(&value).unwrap();
        network.advance(Duration::from_millis(300));
    };
    send(json!({"id": "x", "message": {"a": [1]}}));
    send(json!({"id": "x", "message": 2}));
    assert_eq!(told(&n), ["x {\"a\":[1]} true false", "x 2 true false"]);
    m.send("three").unwrap();
    network.advance(secs(1));
    assert_eq!(told(&n), ["m \"three\" true true"]);
    // Neither a member nor this node is spoken for, and nothing but a message counts.
    let dropped = |reason| n.stats().dropped(reason);
    let before = dropped(DropReason::Unproven);
    send(json!({"id": "m", "message": 4}));
    send(json!({"id": "n", "message": 5}));
    assert_eq!(dropped(DropReason::Unproven), before + 2);
    let before = dropped(DropReason::Seal);
    send(json!({"id": "y"}));
    send(json!({"id": "y", "meta": 1}));
    send(json!({"id": "m", "suicide": true}));
    send(json!({"id": "y", "suicide": true, "message": 6}));
    assert_eq!(dropped(DropReason::Seal), before + 4);
    send(json!({"id": "x", "message": "long".repeat(30)}));
    send(json!({"message": 6}));
    send(json!("text"));
    assert_eq!(dropped(DropReason::TooLarge), 1);
    old.send("plain").unwrap();
    network.advance(secs(1));
    assert_eq!(told(&n), [""; 0]);
    assert_eq!(n.node_count(), 1, "a caster is no peer");
    assert_eq!(n.nodes()[0].id.to_string(), "m");
    // Once it has left, its id is as any other.
    m.down().unwrap();
    network.advance(secs(1));
    send(json!({"id": "m", "message": 7}));
    assert_eq!(told(&n), ["m 7 true false"]);
}

#[test]
fn without_keys_a_message_is_neither_sealed_nor_fresh() {
    let network = VirtualNetwork::new(22);
    let [a, b] = ["a", "b"].map(|id| network.node(&Options::for_node().with("id", id)).unwrap());
    a.up().unwrap();
    b.up().unwrap();
    network.advance(secs(1));
    a.send(&1).unwrap();
    network.advance(secs(1));
    assert_eq!(told(&b), ["a 1 false false"]);
    let key = Key::generate().unwrap();
    let (one, other) = (bare(&network, &key), bare(&network, &key));
    one.send(&2).unwrap();
    network.advance(secs(1));
    let event = std::iter::from_fn(|| other.event_source().try_next()).last();
    let Some(Event::Datagram { message, .. }) = event else { panic!("{event:?}") };
    assert!(message.is_sealed() && !message.is_fresh());
}

/// Records what is sent to a group, and sends it again.
struct Recorder {
    socket: UdpSocket,
    to: SocketAddrV4,
    recorded: Vec<Vec<u8>>,
}

impl Recorder {
    fn new(group: Ipv4Addr, port: u16) -> Self {
        let socket = socket2::Socket::new(
            socket2::Domain::IPV4,
            socket2::Type::DGRAM,
            Some(socket2::Protocol::UDP),
        )
        .unwrap();
        socket.set_reuse_address(true).unwrap();
        #[cfg(unix)]
        socket.set_reuse_port(true).ok();
        let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
        socket.bind(&address.into()).unwrap();
        socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        let socket: UdpSocket = socket.into();
        socket.set_nonblocking(true).unwrap();
        Self { socket, to: SocketAddrV4::new(group, port), recorded: Vec::new() }
    }

    fn record(&mut self) {
        let mut buffer = [0; 2048];
        while let Ok(size) = self.socket.recv(&mut buffer) {
            self.recorded.push(buffer[..size].to_vec());
        }
    }

    fn replay(&self) {
        for datagram in &self.recorded {
            self.socket.send_to(datagram, self.to).unwrap();
        }
    }
}

#[test]
fn a_recording_has_no_effect_during_the_session_and_after_restarts() {
    let (options, group, port) = private_network(Options::for_node());
    let options = options.with("heartbeat", &200).with("timeout", &600);
    let key = Key::generate().unwrap();
    let node = |id: &str| Node::new(&options.clone().with("id", id).keys([key.clone()])).unwrap();
    let mut recorder = Recorder::new(group, port);
    let (a, b) = (node("a"), node("b"));
    a.up().unwrap();
    b.up().unwrap();
    eventually("they meet", || a.node_count() == 1 && b.node_count() == 1);
    a.send(&json!("pay 100")).unwrap();
    let mut events = Vec::new();
    eventually("the message", || {
        events.extend(drain(&b));
        events.iter().any(|event| event == r#"message a "pay 100""#)
    });
    for _ in 0..10 {
        recorder.record();
        std::thread::sleep(Duration::from_millis(50));
    }
    let readable = |bytes: &[u8]| bytes.windows(3).any(|part| part == b"pay" || part == b"\"id");
    assert!(!recorder.recorded.is_empty());
    assert!(!recorder.recorded.iter().any(|datagram| readable(datagram)), "it is secret");

    // Within the session, once duplicates are no longer suppressed.
    std::thread::sleep(Duration::from_millis(300));
    let before = b.stats().dropped(DropReason::Replayed);
    recorder.replay();
    eventually("all are refused", || b.stats().dropped(DropReason::Replayed) > before + 2);
    assert!(!drain(&b).iter().any(|event| event.starts_with("message")));

    // The sender has left; then the receiver has restarted as well.
    a.down().unwrap();
    eventually("it has left", || b.node_count() == 0);
    drain(&b);
    let before = b.stats().dropped(DropReason::Unproven);
    recorder.replay();
    eventually("all are refused", || b.stats().dropped(DropReason::Unproven) > before + 2);
    b.down().unwrap();
    b.up().unwrap();
    let before = b.stats().dropped(DropReason::Unproven);
    for _ in 0..5 {
        recorder.replay();
        std::thread::sleep(Duration::from_millis(100));
    }
    eventually("all are refused", || b.stats().dropped(DropReason::Unproven) > before + 20);
    assert_eq!(b.node_count(), 0);
    let events = drain(&b);
    assert!(
        !events.iter().any(|event| event.starts_with("up") || event.starts_with("message")),
        "{events:?}"
    );

    // The true one comes back all the same.
    a.up().unwrap();
    eventually("they meet again", || a.node_count() == 1 && b.node_count() == 1);
}

#[test]
fn a_hidden_node_finds_its_peers_and_stays_unseen() {
    let network = VirtualNetwork::new(5);
    let key = Key::generate().unwrap();
    let seen = network.node(&sealed("seen", &key)).unwrap();
    seen.up().unwrap();
    network.advance(secs(3));
    let hidden = network.node(&sealed("hidden", &key).with("expose", &false)).unwrap();
    hidden.up().unwrap();
    hidden.ask().unwrap();
    network.advance(secs(3));
    assert_eq!((hidden.node_count(), seen.node_count()), (1, 0));
}
