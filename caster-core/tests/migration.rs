//! From a plain group to a sealed one, without a time at which all nodes change.

mod words;

use caster_core::{DropReason, ErrorCode, Event, Key, Node, NodeId, Options, VirtualNetwork};
use std::collections::BTreeMap;
use std::time::Duration;
use words::drain;

const SECOND: Duration = Duration::from_secs(1);

fn plain(id: &str) -> Options {
    Options::for_node().with("id", id).with("meta", &format!("of {id}"))
}

fn sealed(id: &str, key: &Key) -> Options {
    plain(id).keys([key.clone()])
}

fn migrating(id: &str, key: &Key, how: &str) -> Options {
    sealed(id, key).with("plain", how)
}

fn up(network: &VirtualNetwork, options: &Options) -> Node {
    let node = network.node(options).unwrap();
    node.up().unwrap();
    node
}

fn names(node: &Node) -> Vec<String> {
    let mut names: Vec<String> = node.nodes().iter().map(|peer| peer.id.to_string()).collect();
    names.sort();
    assert_eq!(node.node_count(), names.len());
    assert_eq!(node.stats().nodes, names.len() as u64);
    names
}

/// The events without those that are not of interest here, sorted.
fn events(node: &Node) -> Vec<String> {
    let mut all = drain(node);
    all.retain(|event| event != "settled");
    all.sort();
    all
}

#[test]
fn old_migrating_and_sealed_nodes_talk_and_each_message_comes_once() {
    let network = VirtualNetwork::new(1);
    let key = Key::generate().unwrap();
    let old = up(&network, &plain("old"));
    let both: Vec<Node> =
        ["both1", "both2"].map(|id| up(&network, &migrating(id, &key, "send"))).into();
    let reader = up(&network, &migrating("reader", &key, "accept"));
    let new = up(&network, &sealed("new", &key));
    network.advance(5 * SECOND);
    assert_eq!(names(&old), ["both1", "both2"]);
    assert_eq!(names(&both[0]), ["both2", "new", "old", "reader"]);
    assert_eq!(names(&reader), ["both1", "both2", "new", "old"]);
    assert_eq!(names(&new), ["both1", "both2", "reader"]);
    assert_eq!(events(&both[0]).iter().filter(|it| it.starts_with("up ")).count(), 4);
    for node in both.iter().chain([&old, &reader, &new]) {
        drain(node);
    }
    let stats = both[0].stats();
    assert_eq!((stats.nodes, stats.plain_nodes), (4, 1));
    assert!(stats.dropped(DropReason::Downgrade) > 0, "the plain heartbeats of both2");
    let id = |text| NodeId::new(text).unwrap();
    assert_eq!(both[0].key_of(&id("both2")), Some(key.id()));
    assert_eq!(both[0].key_of(&id("old")), None);
    assert_eq!(both[0].node("old").unwrap().meta.as_deref(), Some("\"of old\""));
    assert!(both[0].details(&id("old")).is_some() && both[0].last_seen(&id("old")).is_some());

    let large = "x".repeat(20_000);
    for node in both.iter().chain([&old, &reader, &new]) {
        node.send("hello").unwrap();
        node.send(&large).unwrap();
        let batch = [caster_core::Message::from_value(&7).unwrap()];
        node.send_batch(&batch).unwrap();
    }
    network.advance(SECOND);
    let heard = |node: &Node| {
        let mut count = BTreeMap::new();
        for event in events(node) {
            let mut words = event.split(' ');
            assert_eq!(words.next(), Some("message"), "{event}");
            *count.entry(words.next().unwrap().to_owned()).or_insert(0) += 1;
        }
        count.into_iter().map(|(id, count)| format!("{id} {count}")).collect::<Vec<_>>()
    };
    assert_eq!(heard(&old), ["both1 3", "both2 3"], "nothing of a node that accepts only");
    assert_eq!(heard(&both[0]), ["both2 3", "new 3", "old 3", "reader 3"]);
    assert_eq!(heard(&reader), ["both1 3", "both2 3", "new 3", "old 3"]);
    assert_eq!(heard(&new), ["both1 3", "both2 3", "reader 3"]);

    drain(&both[1]);
    both[0].set_meta("changed").unwrap();
    network.advance(SECOND);
    for node in [&old, &both[1], &new] {
        assert_eq!(events(node), ["update"]);
    }
    both[0].down().unwrap();
    both[1].start_down().unwrap();
    old.down().unwrap();
    network.advance(SECOND);
    assert_eq!(events(&new), ["down both1 goodbye", "down both2 goodbye"]);
    let gone = ["down both1 goodbye", "down both2 goodbye", "down old goodbye"];
    assert_eq!(events(&reader)[..3], gone);
}

#[test]
fn a_group_migrates_node_by_node_and_no_peer_is_ever_missing() {
    const NODES: usize = 4;
    let network = VirtualNetwork::new(2);
    let key = Key::generate().unwrap();
    let id = |n: usize| format!("n{n}");
    let mut nodes: Vec<Node> = (0..NODES).map(|n| up(&network, &plain(&id(n)))).collect();
    network.advance(3 * SECOND);
    let complete = |nodes: &[Node]| {
        for node in nodes {
            assert_eq!(node.node_count(), NODES - 1, "{} sees {:?}", node.id(), names(node));
        }
        for sender in nodes {
            nodes.iter().for_each(|node| drop(drain(node)));
            sender.send("all").unwrap();
            network.advance(Duration::from_millis(100));
            for node in nodes.iter().filter(|node| node.id() != sender.id()) {
                assert_eq!(events(node), [format!("message {} \"all\"", sender.id())]);
            }
        }
    };
    complete(&nodes);
    let steps: [&dyn Fn(&str) -> Options; 2] =
        [&|id: &str| migrating(id, &key, "send"), &|id: &str| sealed(id, &key)];
    for step in steps {
        for n in 0..NODES {
            nodes[n].down().unwrap();
            nodes[n] = up(&network, &step(&id(n)));
            network.advance(3 * SECOND);
            complete(&nodes);
        }
    }
    assert!(nodes.iter().all(|node| node.stats().plain_nodes == 0));
}

#[test]
fn a_forger_on_the_plain_port_never_moves_a_sealed_peer() {
    for how in ["accept", "send"] {
        let network = VirtualNetwork::new(3);
        let key = Key::generate().unwrap();
        let a = up(&network, &migrating("a", &key, how));
        let victim = up(&network, &sealed("b", &key));
        network.advance(3 * SECOND);
        assert_eq!(events(&a), ["up b"]);
        let before = a.node("b").unwrap();
        let incarnation = a.details(&before.id).unwrap().incarnation;
        for round in 0..3 {
            // Each time with another incarnation.
            let forger = up(&network, &plain("b"));
            network.advance(SECOND);
            forger.send("forged").unwrap();
            forger.set_meta("forged").unwrap();
            network.advance(5 * SECOND);
            forger.down().unwrap();
            network.advance(SECOND);
            assert_eq!(events(&a), [""; 0], "{how}, round {round}");
        }
        let now = a.node("b").unwrap();
        assert_eq!((now.address, now.meta), (before.address, before.meta));
        assert_eq!(a.details(&before.id).unwrap().incarnation, incarnation);
        assert!(a.stats().dropped(DropReason::Downgrade) > 20);
        // Not after it has left, either.
        victim.down().unwrap();
        network.advance(SECOND);
        assert_eq!(events(&a), ["down b goodbye"]);
        let forger = up(&network, &plain("b"));
        network.advance(5 * SECOND);
        forger.send("forged").unwrap();
        network.advance(SECOND);
        assert_eq!((events(&a), a.node_count()), (vec![], 0));
        // Nor in another session of this node.
        a.down().unwrap();
        a.up().unwrap();
        network.advance(3 * SECOND);
        assert_eq!((events(&a), a.node_count()), (vec![], 0));
        assert!(a.forget_sealed(&NodeId::new("b").unwrap()));
        assert!(!a.forget_sealed(&NodeId::new("b").unwrap()));
        network.advance(3 * SECOND);
        assert_eq!(events(&a), ["up b"]);
    }
}

#[test]
fn a_sealed_peer_takes_its_id_from_a_forger_that_came_first() {
    let network = VirtualNetwork::new(4);
    let key = Key::generate().unwrap();
    let a = up(&network, &migrating("a", &key, "accept"));
    let forger = up(&network, &plain("b").with("meta", "forged"));
    network.advance(3 * SECOND);
    assert_eq!(events(&a), ["up b"]);
    let id = NodeId::new("b").unwrap();
    assert_eq!(a.key_of(&id), None);
    let b = up(&network, &sealed("b", &key));
    network.advance(5 * SECOND);
    forger.send("forged").unwrap();
    b.send("true").unwrap();
    network.advance(SECOND);
    let all = events(&a);
    assert_eq!(all, [r#"message b "true""#, "update"]);
    assert_eq!(a.node("b").unwrap().meta.as_deref(), Some("\"of b\""));
    assert_eq!((a.key_of(&id), a.node_count()), (Some(key.id()), 1));
    assert_eq!(a.stats().plain_nodes, 0);
}

#[test]
fn nothing_plain_leaves_a_node_that_only_accepts() {
    let network = VirtualNetwork::new(5);
    let key = Key::generate().unwrap();
    let spy = up(&network, &plain("spy"));
    let a = up(&network, &migrating("a", &key, "accept"));
    network.advance(SECOND);
    a.send("secret").unwrap();
    a.set_meta("secret").unwrap();
    network.advance(5 * SECOND);
    a.down().unwrap();
    network.advance(SECOND);
    let stats = spy.stats();
    assert_eq!(stats.received, stats.dropped(DropReason::Own));
    assert_eq!(names(&spy), [""; 0]);
}

#[test]
fn a_warning_each_hour_says_how_many_peers_are_plain() {
    let network = VirtualNetwork::new(6);
    let key = Key::generate().unwrap();
    let slow = |options: Options| options.with("heartbeat", &60_000).with("timeout", &180_000);
    let migrating = ["accept", "send"].map(|how| up(&network, &slow(migrating(how, &key, how))));
    let mut old: Vec<Node> = ["old1", "old2"].map(|id| up(&network, &slow(plain(id)))).into();
    let new = up(&network, &slow(sealed("new", &key)));
    let hints = |node: &Node| {
        let all = std::iter::from_fn(|| node.event_source().try_next());
        let hints = all.filter_map(|event| match event {
            Event::Hint(text) => Some(text.to_string()),
            _ => None,
        });
        hints.collect::<Vec<_>>()
    };
    for plain in [2, 1] {
        network.advance(3590 * SECOND);
        migrating.iter().for_each(|node| assert_eq!(hints(node), [""; 0]));
        if plain == 1 {
            old.pop().unwrap().down().unwrap();
        }
        network.advance(10 * SECOND);
        for node in &migrating {
            let [text] = &hints(node)[..] else { panic!("one an hour") };
            let said = format!("the option plain is on, and {plain} peers have no keys");
            assert!(text.starts_with(&said), "{text}");
        }
    }
    assert_eq!(hints(&new), [""; 0], "without the option");
    // As long as the node is up: not an hour after it has left.
    let [accept, send] = &migrating;
    accept.down().unwrap();
    network.advance(3600 * SECOND);
    assert_eq!((hints(accept).len(), hints(send).len()), (0, 1));
}

#[test]
fn a_seed_reaches_nodes_of_both_ports_where_multicast_does_not() {
    // One of the ports is enough.
    for (how, heard, seeds) in [
        ("send", vec!["both"], ["10.0.0.1:10101", "10.0.0.2"]),
        ("send", vec!["both"], ["10.0.0.1", "10.0.0.2:10101"]),
        ("accept", vec![], ["10.0.0.1:10101", "10.0.0.2"]),
    ] {
        let network = VirtualNetwork::new(9);
        let key = Key::generate().unwrap();
        let apart = |options: Options, group: &str| options.with("multicast", group);
        // The first two hosts, each in a group of its own.
        let old = up(&network, &apart(plain("old"), "239.1.1.1"));
        let new = up(&network, &apart(sealed("new", &key), "239.1.1.2"));
        let both = migrating("both", &key, how).with("seeds", &seeds);
        let both = up(&network, &apart(both, "239.1.1.3"));
        network.advance(5 * SECOND);
        assert_eq!(names(&old), heard, "{how}");
        assert_eq!(names(&new), ["both"], "{how}");
        let id = |text| NodeId::new(text).unwrap();
        assert_eq!(both.key_of(&id("new")), Some(key.id()));
        if how == "send" {
            assert_eq!(names(&both), ["new", "old"]);
            assert_eq!((both.key_of(&id("old")), both.stats().plain_nodes), (None, 1));
            for node in [&old, &new, &both] {
                drain(node);
                node.send(&node.id().to_string()).unwrap();
            }
            network.advance(SECOND);
            assert_eq!(events(&both), [r#"message new "new""#, r#"message old "old""#]);
            assert_eq!(events(&old), [r#"message both "both""#]);
            assert_eq!(events(&new), [r#"message both "both""#]);
        }
    }
}

#[test]
fn the_stages_of_the_old_group_are_those_of_the_plain_port() {
    let network = VirtualNetwork::new(7);
    let key = Key::generate().unwrap();
    let legacy = |options: Options| {
        options.with("hashSecret", "ours").with("crypto", &true).with("port", &4000)
    };
    let old = up(&network, &legacy(plain("old")));
    let a = up(
        &network,
        &legacy(migrating("a", &key, "send")).with("port", &4010).with("plainPort", &4000),
    );
    network.advance(3 * SECOND);
    assert_eq!((names(&a), names(&old)), (vec!["old".to_owned()], vec!["a".to_owned()]));
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let key = Key::generate().unwrap();
    let network = VirtualNetwork::new(8);
    let refused = |options: Options| {
        let error = network.node(&options).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidOption);
        error.message().to_owned()
    };
    for (option, value) in [("plain", "accept"), ("refusals", "believe"), ("unproven", "deliver")] {
        let text = refused(plain("a").with(option, value));
        assert_eq!(text, format!("option {option}: it needs keys"));
    }
    for options in [plain("a"), sealed("a", &key)] {
        assert!(refused(options.with("plainPort", &1000)).contains("needs the option plain"));
    }
    assert!(refused(sealed("a", &key).with("hash", &true)).contains("keys take its place"));
    assert!(
        refused(migrating("a", &key, "send").with("compat", "0.1.1")).contains("take its place")
    );
    for port in [10_102, 10_103] {
        let text = refused(migrating("a", &key, "send").with("plainPort", &port));
        assert!(text.contains("give another port"), "{text}");
    }
    assert!(network.node(&migrating("a", &key, "send").with("plainPort", &10_104)).is_ok());
}
