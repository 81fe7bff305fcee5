//! Nodes and casters on real sockets, all on the loopback interface.

mod common;

use caster_core::host::{Direction, Progress};
use caster_core::middleware::{self, Hash, HostStage, Middleware, Reject};
use caster_core::{
    Caster, DownReason, DropReason, Error, ErrorCode, Event, Message, NoEvent, Node, Options,
    Remote,
};
use common::{PATIENCE, eventually, private_network};
use serde_json::json;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

fn node_network() -> (Options, Ipv4Addr, u16) {
    let (options, group, port) = private_network(Options::for_node());
    (options.with("heartbeat", &50).with("timeout", &200), group, port)
}

fn node_options() -> Options {
    node_network().0
}

fn wait_for<T>(
    next: impl Fn() -> Result<Event, NoEvent>,
    mut wanted: impl FnMut(Event) -> Option<T>,
) -> T {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Ok(event) = next()
            && let Some(found) = wanted(event)
        {
            return found;
        }
    }
    panic!("it did not happen in {PATIENCE:?}");
}

fn soon(node: &Node) -> impl Fn() -> Result<Event, NoEvent> + '_ {
    || node.next_event(Some(Duration::from_millis(100)))
}

#[test]
fn threads_change_members_without_undoing_each_other() {
    let node = Node::new(&node_options().with("meta", &json!({"type": "db"}))).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let node = &node;
            scope.spawn(move || {
                for n in 0..100 {
                    node.update_meta(&json!({format!("of{thread}"): n})).unwrap();
                }
            });
        }
    });
    let meta: serde_json::Value = serde_json::from_str(&node.meta_json()).unwrap();
    assert_eq!(meta.as_object().unwrap().len(), 9);
    assert!((0..8).all(|thread| meta[format!("of{thread}")] == 99), "{meta}");
    assert_eq!(meta["type"], "db");
    let list = Node::new(&node_options().with("meta", &json!([1]))).unwrap();
    let refused = list.update_meta(&json!({"a": 1})).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidArgument);
    assert!(refused.message().contains("the metadata is not an object"), "{refused}");
}

#[test]
fn two_nodes_find_each_other_talk_and_part() {
    let options = node_options();
    let a = Node::new(&options.clone().with("id", "a").with("meta", &json!({"n": 1}))).unwrap();
    let b = Node::new(&options.with("id", "b").with("meta", &json!("café €"))).unwrap();
    a.up().unwrap();
    b.up().unwrap();
    let seen = wait_for(soon(&a), |event| match event {
        Event::Up(peer) => Some(peer),
        _ => None,
    });
    assert_eq!(seen.id, "b");
    assert_eq!(seen.parse_meta::<String>().unwrap(), "café €");
    wait_for(soon(&b), |event| matches!(event, Event::Up(peer) if peer.id == "a").then_some(()));

    let value = json!({"text": "é€😀", "list": [1, 2.5, null], "zero": 0});
    assert!(b.send(&value).unwrap() > 20);
    let heard = wait_for(soon(&a), |event| match event {
        Event::Message { message, peer } => {
            Some((message.parse::<serde_json::Value>().unwrap(), peer.id))
        }
        _ => None,
    });
    assert_eq!(heard, (value, b.id().clone()));

    b.set_meta(&json!({"n": 2})).unwrap();
    wait_for(soon(&a), |event| match event {
        Event::Update { peer, changed } => {
            assert!(changed.meta && !changed.address);
            assert_eq!(peer.meta.as_deref(), Some(r#"{"n":2}"#));
            Some(())
        }
        _ => None,
    });
    b.update_meta(&json!({"load": 0.5, "n": null})).unwrap();
    wait_for(soon(&a), |event| match event {
        Event::Update { peer, .. } => {
            (peer.meta.as_deref() == Some(r#"{"load":0.5}"#)).then_some(())
        }
        _ => None,
    });
    let refused = b.update_meta(&[1]).unwrap_err();
    assert!(refused.message().contains("the change is not an object"), "{refused}");
    let too_long = b.update_meta(&json!({"more": "x".repeat(10_000)})).unwrap_err();
    assert_eq!(too_long.code(), ErrorCode::MessageTooLarge);
    assert_eq!(&*b.meta_json(), r#"{"load":0.5}"#);
    b.down().unwrap();
    let reason = wait_for(soon(&a), |event| match event {
        Event::Down { peer, reason } if peer.id == "b" => Some(reason),
        _ => None,
    });
    assert_eq!(reason, DownReason::Goodbye);
    assert!(a.nodes().is_empty() && a.node("b").is_none());
    assert_eq!(b.next_event(None).err(), drain_to_closed(&b));
}

fn drain_to_closed(node: &Node) -> Option<NoEvent> {
    while node.next_event(None).is_ok() {}
    Some(NoEvent::Closed)
}

#[test]
fn a_batch_arrives_as_single_messages_in_order() {
    let options = node_options().with("maxEvents", &100_000);
    let a = Node::new(&options).unwrap();
    let b = Node::new(&options).unwrap();
    // Sizes that go together, sizes that do not, and one that takes several packets.
    let texts: Vec<String> = (0..3000)
        .map(|n| "x".repeat(if n % 100 == 0 { n } else { 40 }))
        .chain(["y".repeat(60_000)])
        .collect();
    let batch: Vec<Message> = texts.iter().map(|text| Message::from_value(text).unwrap()).collect();
    assert_eq!(a.send_batch(&batch).unwrap_err().code(), ErrorCode::NotUp);
    a.up().unwrap();
    b.up().unwrap();
    assert_eq!(a.send_batch(&[]).unwrap(), 0);
    let bytes = a.send_batch(&batch).unwrap();
    assert!(bytes > texts.iter().map(String::len).sum());
    let mut heard = Vec::new();
    wait_for(soon(&b), |event| {
        if let Event::Message { message, .. } = event {
            heard.push(message.parse::<String>().unwrap());
        }
        (heard.len() == texts.len()).then_some(())
    });
    assert!(heard == texts, "in order and unchanged");

    let sent = a.stats().sent;
    let mut bad = vec![Message::from_value(&1).unwrap(); 3];
    bad[2] = Message::bytes("bytes");
    let error = a.send_batch(&bad).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().starts_with("message 2: "), "{error}");
    bad[2] = Message::from_value(&"z".repeat(65_506)).unwrap();
    assert_eq!(a.send_batch(&bad).unwrap_err().code(), ErrorCode::MessageTooLarge);
    assert!(a.stats().sent <= sent + 3, "only heartbeats went out since");
    a.use_stage(HostStage { name: "host".into(), token: 1, tx: true, rx: false }).unwrap();
    assert_eq!(a.send_batch(&bad[..1]).unwrap_err().code(), ErrorCode::Middleware);
}

/// While a program waits it receives on its own thread; when it is busy the inner thread does.
#[test]
fn a_program_that_waits_and_then_is_busy_stays_alive() {
    let options = node_options();
    let (busy, other) = (Node::new(&options).unwrap(), Node::new(&options).unwrap());
    // A hub of its own for each: waiting is done in place of the thread only if one is alone.
    let options = private_network(Options::for_node()).0.with("heartbeat", &50);
    let alone = Node::new(&options.with("id", "alone").with("timeout", &200)).unwrap();
    for node in [&busy, &other, &alone] {
        node.up().unwrap();
    }
    for _ in 0..20 {
        let got = alone.next_event(Some(Duration::from_millis(20)));
        // Alone it has settled, which a hint follows.
        let notice = matches!(got, Ok(Event::Settled | Event::Hint(_)));
        assert!(notice || got.unwrap_err() == NoEvent::TimedOut, "no other node is there");
        let before = alone.stats();
        std::thread::sleep(Duration::from_millis(120));
        let after = alone.stats();
        assert!(after.sent > before.sent && after.received > before.received, "{after:?}");
    }
    // Waiting in several threads, and another thread that closes.
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let events = alone.event_source();
            std::thread::spawn(move || events.next_timeout(None).unwrap_err())
        })
        .collect();
    std::thread::sleep(Duration::from_millis(50));
    alone.down().unwrap();
    for thread in waiting {
        assert_eq!(thread.join().unwrap(), NoEvent::Closed);
    }
}

/// A thread that waits for events receives for all nodes of its network.
#[test]
fn nodes_close_while_a_thread_waits_for_an_event_of_one_of_them() {
    for round in 0..20 {
        let options = node_options();
        let nodes = ["a", "b"].map(|id| Node::new(&options.clone().with("id", id)).unwrap());
        let [a, b] = nodes.map(Arc::new);
        a.up().unwrap();
        let waiting = a.clone();
        let (tell, told) = channel();
        let thread = thread::spawn(move || {
            while let Ok(event) = waiting.next_event(None) {
                let _ = tell.send(event.name());
            }
        });
        b.up().unwrap();
        let (closed, end) = channel();
        let neighbour_first = round % 2 == 0;
        if neighbour_first {
            while told.recv_timeout(PATIENCE).unwrap() != "up" {}
        }
        thread::spawn(move || {
            let order = if neighbour_first { [&b, &a] } else { [&a, &b] };
            for node in order {
                node.down().unwrap();
                closed.send(()).unwrap();
            }
        });
        for _ in 0..2 {
            end.recv_timeout(PATIENCE).expect("it closes");
        }
        thread.join().unwrap();
    }
}

#[test]
fn an_interrupt_ends_waits_and_loses_nothing() {
    let options = node_options();
    let node = Node::new(&options).unwrap();
    node.up().unwrap();
    let events = node.event_source();
    let before = events.interrupts();
    let waits = [true, false].map(|for_event| {
        let events = events.clone();
        thread::spawn(move || match for_event {
            true => events.next_or_interrupt(None, before).map(drop),
            false => events.next_transit_or_interrupt(None, before).map(drop),
        })
    });
    thread::sleep(Duration::from_millis(50));
    events.interrupt();
    for wait in waits {
        assert_eq!(wait.join().unwrap(), Err(NoEvent::TimedOut));
    }
    // One that came before the wait counts as well; an event that is there comes first.
    assert_eq!(events.next_or_interrupt(None, before).map(drop), Err(NoEvent::TimedOut));
    let other = Node::new(&options).unwrap();
    other.up().unwrap();
    eventually("an event", || !events.is_empty());
    assert!(events.next_or_interrupt(None, before).is_ok());
    node.down().unwrap();
    while events.next_or_interrupt(None, events.interrupts()).is_ok() {}
}

#[test]
fn an_event_of_another_thread_ends_the_wait() {
    let options = private_network(Options::for_node()).0.with("heartbeat", &60_000);
    let node = Node::new(&options.with("timeout", &600_000)).unwrap();
    node.use_stage(HostStage { name: "host".into(), token: 1, tx: true, rx: false }).unwrap();
    node.up().unwrap();
    while node.next_event(Some(Duration::from_millis(300))).is_ok() {}
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let start = Instant::now();
            (node.next_event(Some(PATIENCE)), start.elapsed())
        });
        std::thread::sleep(Duration::from_millis(100));
        // The heartbeat that tells of it stops at the stage of the host.
        node.set_meta(&1).unwrap();
        let (event, took) = waits.join().unwrap();
        assert!(matches!(event, Ok(Event::HostStage(_))), "{event:?}");
        assert!(took < PATIENCE / 2, "{took:?}");
    });
}

/// An event loop receives in turns; what it leaves is received by the inner thread.
#[cfg(unix)]
#[test]
fn an_event_loop_receives_in_turns() {
    use caster_core::host::Turn;

    let (options, ..) = private_network(Options::for_caster());
    let caster = Caster::new(&options).unwrap();
    let events = caster.event_source();
    assert!(!events.hand_over_turns() && events.turn_fd().is_none(), "it is not bound");
    assert_eq!(events.take_turn(), Turn::Refused);
    caster.bind().unwrap();
    assert_eq!(events.take_turn(), Turn::Refused, "reception was not handed over");
    let fd = events.turn_fd().unwrap();
    let readable = |wait| {
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, which lives for the length of the call.
        unsafe { libc::poll(&mut poll, 1, wait) == 1 }
    };
    let send = || caster.send_message(Message::bytes(*b"x")).unwrap();
    let handed_over = || events.hand_over_turns() && events.hand_over_turns();
    let start = Instant::now();
    // Others may keep this thread from running for longer than 2 ms, or the inner thread may
    // still receive: then it keeps reception.
    let mut turns = 0;
    while turns < 100 {
        assert!(start.elapsed() < PATIENCE, "only {turns} turns");
        handed_over();
        send();
        if readable(1) {
            turns += u32::from(events.take_turn() != Turn::Refused && !events.is_empty());
        }
        assert_eq!(caster.next_event(Some(PATIENCE)).unwrap().name(), "message");
    }
    // A program that takes no more turns gets events as before.
    send();
    eventually("the inner thread receives", || !events.is_empty());
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(events.take_turn(), Turn::Refused, "the hand-over is over");
    // Two on one network leave it to the inner thread.
    let other = Caster::new(&options).unwrap();
    other.bind().unwrap();
    assert!(!handed_over());
    other.close().unwrap();
    caster.close().unwrap();
    assert!(!handed_over());
}

#[test]
fn casters_send_batches_too() {
    let (options, ..) = private_network(Options::for_caster());
    let caster = Caster::new(&options).unwrap();
    let batch = || (0..500u16).map(|n| Message::bytes(n.to_be_bytes()));
    assert_eq!(caster.send_batch(batch()).unwrap_err().code(), ErrorCode::NotBound);
    caster.bind().unwrap();
    assert_eq!(caster.send_batch(batch()).unwrap(), 1000);
    let next = || caster.next_event(Some(Duration::from_millis(100)));
    for n in 0..500u16 {
        let data = wait_for(next, |event| match event {
            Event::Datagram { message, .. } => Some(message.into_data()),
            _ => None,
        });
        assert_eq!(data, n.to_be_bytes());
    }
    assert_eq!(caster.stats().sent, 500);
}

#[test]
fn nothing_follows_a_goodbye() {
    let options = node_options().with("heartbeat", &10);
    let watcher = Node::new(&options.clone().with("id", "watcher")).unwrap();
    watcher.up().unwrap();
    for round in 0..20 {
        let id = format!("guest{round}");
        let guest = Node::new(&options.clone().with("id", &id)).unwrap();
        guest.up().unwrap();
        eventually("discovery", || watcher.node(&id).is_some());
        guest.down().unwrap();
        eventually("departure", || watcher.node(&id).is_none());
        // These are the watcher's own.
        let received = watcher.stats().received;
        eventually("heartbeats", || watcher.stats().received > received + 2);
        assert!(watcher.node(&id).is_none(), "{id} is back");
    }
}

#[test]
fn a_node_that_falls_silent_is_down_by_timeout() {
    let (options, group, port) = node_network();
    let a = Node::new(&options).unwrap();
    a.up().unwrap();
    let voice = voice_of(group, port);
    for _ in 0..3 {
        voice.send(&json!({"id": "mute", "meta": null})).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let reason = wait_for(soon(&a), |event| match event {
        Event::Down { peer, reason } if peer.id == "mute" => Some(reason),
        _ => None,
    });
    assert_eq!(reason, DownReason::Timeout);
}

/// A caster that speaks as nodes do, in this group.
fn voice_of(group: Ipv4Addr, port: u16) -> Caster {
    let options = Options::for_caster().with("address", "127.0.0.1");
    let options = options.with("multicast", &group.to_string()).with("port", &port);
    let voice = Caster::new(&options).unwrap();
    voice.use_stage(middleware::Json::new()).unwrap();
    voice.use_stage(middleware::Hash::new(&Default::default()).unwrap()).unwrap();
    voice.bind().unwrap();
    voice
}

#[test]
fn groups_on_one_port_do_not_hear_each_other() {
    let options = node_options();
    let a = Node::new(&options).unwrap();
    let b = Node::new(&options.clone().with("multicast", "239.255.77.77")).unwrap();
    let c = Node::new(&options).unwrap();
    [&a, &b, &c].into_iter().for_each(|node| node.up().unwrap());
    let seen = wait_for(soon(&a), |event| match event {
        Event::Up(peer) => Some(peer.id),
        _ => None,
    });
    assert_eq!(&seen, c.id());
    b.send("to nobody").unwrap();
    c.send("to a").unwrap();
    let heard = wait_for(soon(&a), |event| match event {
        Event::Message { message, .. } => Some(message),
        _ => None,
    });
    assert_eq!(heard.as_json(), Some("\"to a\""));
    assert!(b.nodes().is_empty());
    assert_eq!(a.stats().dropped_total(), a.stats().dropped(DropReason::Own));
}

#[test]
fn what_does_not_belong_is_dropped_and_counted() {
    let (options, group, port) = private_network(Options::for_node());
    let options = options.with("id", "me");
    let node = Node::new(&options).unwrap();
    node.up().unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket2::SockRef::from(&socket).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let send = |bytes: &[u8]| socket.send_to(bytes, (group, port)).unwrap();
    send(b"");
    send(b"nineteen bytes long");
    send(b"long enough to have a digest, which it has not");
    let voice = voice_of(group, port);
    voice.send_bytes(b"not json").unwrap();
    voice.send(&json!(null)).unwrap();
    voice.send(&json!({"meta": 1})).unwrap();
    voice.send(&json!({"id": {"toString": 1}})).unwrap();
    voice.send(&json!({"id": "stranger", "suicide": true})).unwrap();
    voice.send_bytes(("[".repeat(5000) + &"]".repeat(5000)).as_bytes()).unwrap();
    for id in ["hasOwnProperty", "__proto__"] {
        voice.send(&json!({"id": id, "meta": null})).unwrap();
    }
    eventually("everything is counted", || {
        let stats = node.stats();
        let dropped = |reason| stats.dropped(reason);
        node.node_count() == 2
            && dropped(DropReason::Truncated) == 2
            && dropped(DropReason::Hash) == 1
            && dropped(DropReason::NotJson) == 1
            && dropped(DropReason::NotAnObject) == 1
            && dropped(DropReason::NoId) == 1
            && dropped(DropReason::BadId) == 1
            && dropped(DropReason::UnknownGoodbye) == 1
            && dropped(DropReason::TooDeep) == 1
            && stats.accepted == 2
    });
    let stats = node.stats();
    assert_eq!(stats.received, stats.accepted + stats.dropped_total());
    let json: serde_json::Value = serde_json::from_str(&stats.to_json()).unwrap();
    assert_eq!(json["dropped"]["truncated"], 2);
}

#[test]
fn who_hears_nobody_tells_of_other_programs_and_not_of_its_own_caster() {
    let (options, group, port) = node_network();
    let node = Node::new(&options.with("hash", &false)).unwrap();
    node.up().unwrap();
    let (own, _, _) = private_network(Options::for_caster());
    let own = own.with("multicast", &group.to_string()).with("port", &port);
    let own = Caster::new(&own).unwrap();
    own.use_stage(middleware::Json::new()).unwrap();
    own.bind().unwrap();
    let hint = || {
        wait_for(soon(&node), |event| {
            own.send(&json!({"of": "this process"})).unwrap();
            match event {
                Event::Hint(text) if text.contains("no peer was heard") => Some(text),
                _ => None,
            }
        })
    };
    let text = hint();
    assert!(text.contains("joined at 127.0.0.1; own heartbeats come back; no other"), "{text}");
    assert_ne!(node.stats().dropped(DropReason::NoId), 0);
    assert_eq!(node.stats().foreign, []);
    node.down().unwrap();
    node.up().unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket2::SockRef::from(&socket).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    socket.send_to(b"of another program", (group, port)).unwrap();
    let text = hint();
    assert!(text.ends_with("; senders on this port that could not be understood: 1"), "{text}");
}

#[test]
fn a_flood_from_one_address_is_cut_off() {
    let (options, _, _) = private_network(Options::for_caster());
    let caster = Caster::new(&options.clone().with("maxDatagrams", &10)).unwrap();
    caster.bind().unwrap();
    let flood = Caster::new(&options).unwrap();
    flood.bind().unwrap();
    for _ in 0..100 {
        flood.send_bytes(b"x").unwrap();
    }
    eventually("all are counted", || caster.stats().received == 100);
    let stats = caster.stats();
    // The second may have ended in the middle of it.
    assert!((10..=20).contains(&stats.accepted), "{stats:?}");
    assert_eq!(stats.accepted + stats.dropped(DropReason::TooMany), 100);
}

#[test]
fn a_flood_from_the_host_of_a_known_peer_does_not_hide_the_peer() {
    const LIMIT: u64 = 100;
    let (options, group, port) = private_network(Options::for_node());
    let options = options.with("heartbeat", &50);
    let a = Node::new(&options.clone().with("maxDatagrams", &LIMIT)).unwrap();
    let b = Node::new(&options.with("id", "b")).unwrap();
    a.up().unwrap();
    b.up().unwrap();
    // From three heartbeats on the peer is established.
    eventually("heartbeats", || a.stats().accepted >= 10);
    let flood = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for n in 0..20 {
        for _ in 0..2 * LIMIT {
            flood.send_to(b"x", (group, port)).unwrap();
        }
        b.send(&n).unwrap();
        let heard = wait_for(soon(&a), |event| match event {
            Event::Message { message, peer } => Some((message.parse::<u64>().unwrap(), peer.id)),
            _ => None,
        });
        assert_eq!(heard, (n, b.id().clone()));
    }
    let stats = a.stats();
    // 4000 datagrams in a few seconds at the most, each of which lets the limit through.
    assert!(stats.dropped(DropReason::TooMany) >= 2000, "{stats:?}");
    assert!(stats.dropped(DropReason::Truncated) >= LIMIT / 2, "{stats:?}");
}

#[test]
fn another_key_is_counted_and_heard_by_those_who_watch() {
    let options = node_options().with("crypto", &true);
    let a = Node::new(&options.clone().with("cryptoKey", "one")).unwrap();
    let b = Node::new(&options.with("cryptoKey", "two")).unwrap();
    a.watch_rejects(true);
    a.up().unwrap();
    b.up().unwrap();
    let (error, remote) = wait_for(soon(&a), |event| match event {
        Event::Reject { error, remote } => Some((error, remote)),
        _ => None,
    });
    assert!([ErrorCode::Decrypt, ErrorCode::HashMismatch].contains(&error.code()));
    assert!(remote.address.ip().is_loopback());
    assert!(a.nodes().is_empty());
}

#[test]
fn misuse_is_an_error_and_changes_nothing() {
    let node = Node::new(&node_options()).unwrap();
    assert_eq!(node.down().unwrap_err().message(), "Node is not up");
    assert_eq!(node.send("x").unwrap_err().code(), ErrorCode::NotUp);
    node.up().unwrap();
    assert_eq!(node.up().unwrap_err().message(), "Node already up");
    let large = "x".repeat(65_506);
    assert_eq!(node.send(&large).unwrap_err().code(), ErrorCode::MessageTooLarge);
    let deep = |depth: usize| Message::json("[".repeat(depth) + &"]".repeat(depth)).unwrap();
    assert_eq!(node.send_message(&deep(65)).unwrap_err().code(), ErrorCode::InvalidArgument);
    node.send_message(&deep(64)).unwrap();
    // The payload of a datagram beside a digest of 20 bytes, as in 0.1.1.
    let envelope = json!({"id": node.id().as_str(), "message": ""}).to_string().len();
    let most = 65_507 - 20 - envelope;
    assert_eq!(node.send(&large[..most]).unwrap(), 65_507);
    let error = node.send(&large[..most + 1]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::MessageTooLarge);
    node.down().unwrap();
    let caster = Caster::new(&private_network(Options::for_caster()).0).unwrap();
    assert_eq!(caster.close().unwrap_err().code(), ErrorCode::NotBound);
    caster.bind().unwrap();
    assert_eq!(caster.bind().unwrap_err().code(), ErrorCode::AlreadyBound);
    assert_eq!(caster.send(&[1]).unwrap_err().code(), ErrorCode::Middleware);
    assert_eq!(caster.send("text goes as it is").unwrap(), 18);
    let error = Node::new(&Options::for_node().with("ttl", &0)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidOption);
}

#[test]
fn an_address_of_another_host_is_refused_by_name() {
    let node = Node::new(&node_options().with("address", "203.0.113.7")).unwrap();
    let error = node.up().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Io);
    assert!(error.message().contains("203.0.113.7"), "{error}");
    assert!(!node.is_up());
}

#[test]
fn a_port_that_is_not_shared_is_in_use() {
    let (options, _, port) = private_network(Options::for_node());
    let _holder = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
    let error = Node::new(&options).unwrap().up().unwrap_err();
    assert_eq!(error.code(), ErrorCode::AddressInUse);
    assert!(error.message().contains("does not share it"), "{error}");
    assert!(error.os_error().is_some() && error.syscall() == Some("bind"));
}

#[cfg(target_os = "linux")]
#[test]
fn up_and_down_again_leave_no_descriptor_and_no_thread_behind() {
    // In a process of its own: other tests open and close things all the time.
    if std::env::var_os("CASTER_LEAK_TEST").is_none() {
        let name = "up_and_down_again_leave_no_descriptor_and_no_thread_behind";
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--test-threads=1"])
            .env("CASTER_LEAK_TEST", "1")
            .status();
        return assert!(status.unwrap().success());
    }
    let count = |what| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let node = Node::new(&node_options()).unwrap();
    node.up().unwrap();
    node.down().unwrap();
    let before = (count("fd"), count("task"));
    for _ in 0..50 {
        node.up().unwrap();
        assert!(count("task") > before.1);
        node.down().unwrap();
    }
    drop(Node::new(&node_options()).map(|node| node.up()));
    assert_eq!((count("fd"), count("task")), before);
}

#[test]
fn seeds_reach_where_multicast_does_not() {
    // Two groups on two ports: only unicast connects them.
    let a = Node::new(&node_options().with("id", "a")).unwrap();
    a.up().unwrap();
    let seed = format!("localhost:{}", a.port());
    let b = Node::new(&node_options().with("id", "b").with("seeds", &[seed])).unwrap();
    b.up().unwrap();
    eventually("they see each other", || a.node("b").is_some() && b.node("a").is_some());
    b.send("by unicast").unwrap();
    wait_for(soon(&a), |event| matches!(event, Event::Message { .. }).then_some(()));
    a.send("and back").unwrap();
    wait_for(soon(&b), |event| matches!(event, Event::Message { .. }).then_some(()));
    b.down().unwrap();
    eventually("the goodbye arrives", || a.node("b").is_none());
}

#[cfg(target_os = "linux")]
#[test]
fn what_comes_back_from_a_seed_is_counted_and_disturbs_nobody() {
    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let options = node_options();
    let a = Node::new(&options.clone().with("seeds", &[closed.to_string()])).unwrap();
    let b = Node::new(&options).unwrap();
    a.up().unwrap();
    b.up().unwrap();
    eventually("some have come back", || a.stats().undelivered > 2);
    eventually("they see each other", || a.node_count() == 1 && b.node_count() == 1);
    a.send("still works").unwrap();
    wait_for(soon(&b), |event| matches!(event, Event::Message { .. }).then_some(()));
    let stats = a.stats();
    assert_eq!((stats.send_errors, stats.send_errors4), (0, 0), "{stats:?}");
}

#[test]
fn dropping_a_node_says_goodbye() {
    let options = node_options();
    let a = Node::new(&options).unwrap();
    let b = Node::new(&options).unwrap();
    a.up().unwrap();
    b.up().unwrap();
    eventually("a sees b", || a.node_count() == 1);
    drop(b);
    wait_for(soon(&a), |event| {
        matches!(event, Event::Down { reason: DownReason::Goodbye, .. }).then_some(())
    });
}

/// Adds one to every byte on the way out and takes it off on the way in.
struct Shift;

impl Middleware for Shift {
    fn name(&self) -> &str {
        "shift"
    }

    fn tx(&self, message: &mut Message) -> Result<(), Error> {
        let shifted: Vec<u8> = message.data().iter().map(|byte| byte.wrapping_add(1)).collect();
        message.set_bytes(shifted);
        Ok(())
    }

    fn rx(&self, message: &mut Message, _from: &Remote) -> Result<(), Reject> {
        if message.data().is_empty() {
            return Err(Reject::new("nothing to shift"));
        }
        let shifted: Vec<u8> = message.data().iter().map(|byte| byte.wrapping_sub(1)).collect();
        message.set_bytes(shifted);
        Ok(())
    }
}

#[test]
fn a_middleware_of_the_program_runs_in_its_place() {
    let (options, _, _) = private_network(Options::for_caster());
    let casters = [(); 2].map(|()| {
        let caster = Caster::new(&options).unwrap();
        caster.use_stage(middleware::Json::new()).unwrap();
        caster.use_stage(Shift).unwrap();
        caster.use_stage(middleware::Hash::new(&Default::default()).unwrap()).unwrap();
        caster.bind().unwrap();
        caster
    });
    assert_eq!(casters[0].stage_names(), ["json", "shift", "hash"]);
    casters[0].send(&json!({"a": "é"})).unwrap();
    let next = || casters[1].next_event(Some(Duration::from_millis(100)));
    wait_for(next, |event| match event {
        Event::Datagram { message, remote } => {
            assert_eq!(message.as_json(), Some(r#"{"a":"\u00e9"}"#));
            assert_eq!(remote.address.ip(), Ipv4Addr::LOCALHOST);
            Some(())
        }
        _ => None,
    });
}

/// Panics over some datagrams.
struct Touchy;

impl Middleware for Touchy {
    fn name(&self) -> &str {
        "touchy"
    }

    fn tx(&self, _message: &mut Message) -> Result<(), Error> {
        Ok(())
    }

    fn rx(&self, message: &mut Message, _from: &Remote) -> Result<(), Reject> {
        assert!(message.data() != b"boom", "that was rude");
        Ok(())
    }
}

#[test]
fn a_panic_on_the_inner_thread_is_reported_and_survived() {
    let (options, _, _) = private_network(Options::for_caster());
    let caster = Caster::new(&options).unwrap();
    caster.use_stage(Touchy).unwrap();
    caster.bind().unwrap();
    caster.send_bytes(b"boom").unwrap();
    caster.send_bytes(b"fine").unwrap();
    let next = || caster.next_event(Some(Duration::from_millis(100)));
    let mut reported = false;
    wait_for(next, |event| match event {
        Event::Error(error) => {
            assert_eq!(error.code(), ErrorCode::Internal);
            assert!(error.message().contains("that was rude"), "{error}");
            reported = true;
            None
        }
        Event::Datagram { message, .. } => (message.data() == b"fine").then_some(()),
        _ => None,
    });
    assert!(reported);
    let stats = caster.stats();
    assert_eq!((stats.received, stats.accepted, stats.dropped(DropReason::Fault)), (2, 1, 1));
}

#[test]
fn as_much_room_is_asked_for_as_the_option_says() {
    let granted = |bytes: usize| {
        let (options, _, _) = private_network(Options::for_caster());
        let caster = Caster::new(&options.with("receiveBuffer", &bytes)).unwrap();
        caster.bind().unwrap();
        caster.stats().receive_buffer
    };
    // Linux counts its own bookkeeping in and says twice as much; others may round.
    let (small, large) = (granted(16_384), granted(131_072));
    assert!((16_384..65_536).contains(&small) && large >= 131_072, "{small} {large}");
}

/// The CPU time of this thread.
#[cfg(target_os = "linux")]
fn thread_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[test]
#[cfg(target_os = "linux")]
fn a_thread_that_waits_spins_for_as_long_as_it_was_told_to_and_then_sleeps() {
    let waits = |spin: u32| {
        let (options, _, _) = private_network(Options::for_caster());
        let caster = Caster::new(&options.with("spin", &spin)).unwrap();
        caster.bind().unwrap();
        caster.send_bytes(b"x").unwrap();
        assert!(matches!(caster.next_event(Some(PATIENCE)), Ok(Event::Datagram { .. })));
        let before = thread_time();
        assert!(caster.next_event(Some(Duration::from_millis(400))).is_err());
        thread_time() - before
    };
    let (never, long) = (waits(0), waits(100_000));
    let (some, most) = (Duration::from_millis(5), Duration::from_millis(200));
    assert!(never < some && (some..most).contains(&long), "{never:?} {long:?}");
}

#[test]
fn of_datagrams_that_come_together_a_panic_loses_one() {
    let (options, _, _) = private_network(Options::for_caster());
    let caster = Caster::new(&options).unwrap();
    caster.use_stage(Touchy).unwrap();
    caster.use_stage(Hash::new(&Default::default()).unwrap()).unwrap();
    caster.bind().unwrap();
    let message = |n: u8| match n {
        7 => Message::bytes("boom"),
        n => Message::bytes(vec![n; usize::from(n) * 40]),
    };
    caster.send_batch((0..20).map(message)).unwrap();
    let mut heard = Vec::new();
    let next = || caster.next_event(Some(Duration::from_millis(100)));
    wait_for(next, |event| {
        if let Event::Datagram { message, .. } = event {
            heard.push(message.data().to_vec());
        }
        (heard.len() == 19).then_some(())
    });
    let expected = (0..20).filter(|&n| n != 7).map(|n| message(n).into_data());
    assert!(heard.into_iter().eq(expected), "in their order");
    let stats = caster.stats();
    assert_eq!((stats.received, stats.accepted, stats.dropped(DropReason::Fault)), (20, 19, 1));
}

#[test]
fn of_datagrams_that_come_together_the_bad_ones_are_turned_away() {
    let (options, _, _) = private_network(Options::for_caster());
    let caster = Caster::new(&options).unwrap();
    caster.use_stage(Hash::new(&Default::default()).unwrap()).unwrap();
    caster.bind().unwrap();
    let stranger = Caster::new(&options).unwrap();
    stranger.bind().unwrap();
    let good = |n: u8| {
        let mut message = Message::bytes(vec![n; 100]);
        Hash::new(&Default::default()).unwrap().tx(&mut message).unwrap();
        message
    };
    let wire = |n: u8| match n % 4 {
        0 => {
            let mut data = good(n).into_data();
            data[60] ^= 1;
            Message::bytes(data)
        }
        1 => Message::bytes(vec![n; 19]),
        _ => good(n),
    };
    stranger.send_batch((0..40).map(wire)).unwrap();
    let mut heard = Vec::new();
    let next = || caster.next_event(Some(Duration::from_millis(100)));
    wait_for(next, |event| {
        if let Event::Datagram { message, .. } = event {
            heard.push(message.data()[0]);
        }
        (heard.len() == 20).then_some(())
    });
    assert!(heard.into_iter().eq((0..40).filter(|n| n % 4 > 1)));
    let stats = caster.stats();
    let drops = (stats.dropped(DropReason::Hash), stats.dropped(DropReason::Truncated));
    assert_eq!((stats.accepted, drops), (20, (10, 10)));
}

#[test]
fn a_stage_of_the_host_gets_every_message_and_gives_it_back() {
    let (options, _, _) = private_network(Options::for_node());
    let options = options.with("heartbeat", &50);
    let stage = || HostStage { name: "host".into(), token: 7, tx: true, rx: true };
    let nodes = ["a", "b"].map(|id| {
        let node = Node::new(&options.clone().with("id", id)).unwrap();
        node.use_stage(stage()).unwrap();
        node.up().unwrap();
        node
    });
    // The host of this test turns the bytes around, both ways.
    fn pump(node: &Node, mut progress: Progress) -> usize {
        loop {
            match progress {
                Progress::Done(bytes) => return bytes,
                Progress::Host(mut transit) => {
                    assert_eq!((transit.stage().token, &*transit.stage().name), (7, "host"));
                    let turned: Vec<u8> = transit.message().data().iter().rev().copied().collect();
                    transit.set_message(Message::bytes(turned));
                    progress = node.resume(transit).unwrap();
                }
            }
        }
    }
    let next = |node: &Node| match node.next_event(Some(Duration::from_millis(20))) {
        Ok(Event::HostStage(transit)) => {
            assert_eq!(transit.remote().is_some(), transit.direction() == Direction::Rx);
            pump(node, Progress::Host(transit));
            None
        }
        Ok(event) => Some(event),
        Err(_) => None,
    };
    let [a, b] = &nodes;
    let start = Instant::now();
    while a.node("b").is_none() || b.node("a").is_none() {
        assert!(start.elapsed() < PATIENCE);
        next(a);
        next(b);
    }
    let message = Message::from_value("hello").unwrap();
    let bytes = pump(a, a.start_send(Some(&message)).unwrap());
    assert_eq!(bytes, r#"{"id":"a","message":"hello"}"#.len() + 20);
    assert_eq!(a.send("x").unwrap_err().code(), ErrorCode::Middleware);
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE);
        next(a);
        match next(b) {
            Some(Event::Message { message, .. }) => {
                break assert_eq!(message.as_json(), Some("\"hello\""));
            }
            Some(Event::Up(_)) | None => {}
            Some(other) => panic!("{other:?}"),
        }
    }
    pump(a, a.say_goodbye().unwrap());
    a.down().unwrap();
    let start = Instant::now();
    while b.node("a").is_some() {
        assert!(start.elapsed() < PATIENCE);
        next(b);
    }
}

#[test]
fn a_lost_transit_is_counted() {
    let (options, group, port) = node_network();
    let node = Node::new(&options).unwrap();
    node.use_stage(HostStage { name: "host".into(), token: 0, tx: false, rx: true }).unwrap();
    node.up().unwrap();
    voice_of(group, port).send(&json!({"id": "x"})).unwrap();
    for why in [None, Some("no")] {
        let transit = wait_for(soon(&node), |event| match event {
            Event::HostStage(transit) => Some(transit),
            _ => None,
        });
        match why {
            None => drop(transit),
            Some(why) => node.fail(transit, why),
        }
    }
    let stats = node.stats();
    assert!(stats.dropped(DropReason::QueueFull) > 0 && stats.dropped(DropReason::Middleware) > 0);
}

#[test]
fn the_waker_is_called_when_the_queue_fills_and_when_it_closes() {
    let (options, group, port) = node_network();
    let node = Node::new(&options).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    node.event_source().set_waker(Some(std::sync::Arc::new(move || {
        let _ = sender.send(());
    })));
    node.up().unwrap();
    voice_of(group, port).send(&json!({"id": "x", "meta": 1})).unwrap();
    receiver.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(node.event_source().try_next(), Some(Event::Up(_))));
    node.down().unwrap();
    receiver.recv_timeout(PATIENCE).unwrap();
}
