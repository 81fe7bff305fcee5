//! Own messages do not come back to a process by itself, and arrive everywhere else.
#![cfg(target_os = "linux")]

mod common;

use caster_core::middleware::{Middleware, Reject};
use caster_core::{
    Caster, DownReason, DropReason, Error, Event, Message, Node, Options, Remote, middleware,
};
use common::{PATIENCE, eventually, private_network};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time in which a datagram that comes back has come back.
const A_WHILE: Duration = Duration::from_millis(300);

/// Heartbeats are rare: only messages are counted.
fn node_options() -> Options {
    private_network(Options::for_node()).0.with("heartbeat", &600_000).with("timeout", &600_000)
}

fn up(options: &Options, id: &str) -> Node {
    let node = Node::new(&options.clone().with("id", id)).unwrap();
    node.up().unwrap();
    node
}

/// The numbers that arrive from this node until `end`, as its messages or as plain datagrams.
fn numbers(mut next: impl FnMut() -> Event, from: &str, end: u32) -> Vec<u32> {
    let start = Instant::now();
    let mut heard = Vec::new();
    while start.elapsed() < PATIENCE {
        let number = match next() {
            Event::Message { message, peer } if peer.id == from => message.parse::<u32>().ok(),
            Event::Datagram { message, .. } => message
                .parse::<serde_json::Value>()
                .ok()
                .filter(|it| it["id"] == from)
                .and_then(|it| it["message"].as_u64())
                .map(|number| number as u32),
            _ => None,
        };
        heard.extend(number);
        if number == Some(end) {
            return heard;
        }
    }
    panic!("no {end} from {from}; there were {heard:?}");
}

fn say(node: &Node, numbers: std::ops::Range<u32>) {
    let half = numbers.start + (numbers.end - numbers.start) / 2;
    for n in numbers.start..half {
        node.send(&n).unwrap();
    }
    let rest: Vec<Message> =
        (half..numbers.end).map(|n| Message::from_value(&n).unwrap()).collect();
    node.send_batch(&rest).unwrap();
}

const WAIT: Option<Duration> = Some(PATIENCE);

#[test]
fn messages_do_not_come_back_and_heartbeats_do() {
    let node = up(&node_options(), "a");
    eventually("the hellos come back", || node.stats().received >= 3);
    let before = node.stats();
    say(&node, 0..100);
    std::thread::sleep(A_WHILE);
    assert_eq!(node.stats().received, before.received);
    node.set_meta(&1).unwrap();
    eventually("the heartbeat comes back", || node.stats().received > before.received);
    let after = node.stats();
    assert_eq!(after.received, before.received + 1);
    assert_eq!(after.dropped(DropReason::Own), after.received);
    // Copies that the filter drops are no loss.
    assert_eq!(after.kernel_drops, 0);
    let bare = Message::from_value(&serde_json::json!({"id": "another", "meta": 1})).unwrap();
    drop(node.start_send_bare(bare).unwrap());
    eventually("a bare message comes back", || node.node("another").is_some());
}

#[test]
fn other_nodes_of_the_process_and_a_caster_get_all_of_it_once_and_in_order() {
    let (options, group, port) = private_network(Options::for_node());
    let speaker = up(&options, "speaker");
    let beside = up(&options, "beside");
    // Of another network thread, as `coalesce` differs.
    let apart = up(&options.clone().with("coalesce", &0), "apart");
    let plain = Options::for_caster()
        .with("address", "127.0.0.1")
        .with("multicast", &group.to_string())
        .with("port", &port);
    let caster = Caster::new(&plain).unwrap();
    caster.use_stage(middleware::Json::new()).unwrap();
    caster.use_stage(middleware::Hash::new(&Default::default()).unwrap()).unwrap();
    caster.bind().unwrap();
    for node in [&beside, &apart] {
        eventually("it is known", || node.node("speaker").is_some());
    }
    say(&speaker, 0..200);
    let all: Vec<u32> = (0..200).collect();
    assert_eq!(numbers(|| beside.next_event(WAIT).unwrap(), "speaker", 199), all);
    assert_eq!(numbers(|| apart.next_event(WAIT).unwrap(), "speaker", 199), all);
    assert_eq!(numbers(|| caster.next_event(WAIT).unwrap(), "speaker", 199), all);
    let kept = |node: &Node| node.stats().kernel_drops;
    assert_eq!([kept(&speaker), kept(&beside), kept(&apart)], [0; 3]);
}

#[test]
fn a_node_that_hears_itself_and_one_whose_datagrams_are_watched_hear_it() {
    let itself = up(&node_options().with("self", &true), "a");
    eventually("it knows itself", || itself.node("a").is_some());
    say(&itself, 0..50);
    let all: Vec<u32> = (0..50).collect();
    assert_eq!(numbers(|| itself.next_event(WAIT).unwrap(), "a", 49), all);

    let watched = up(&node_options(), "a");
    say(&watched, 0..10);
    watched.watch_datagrams(true);
    say(&watched, 10..20);
    let heard = numbers(|| watched.next_event(WAIT).unwrap(), "a", 19);
    assert_eq!(heard, (10..20).collect::<Vec<_>>());
    watched.watch_datagrams(false);
    eventually("the hellos come back", || watched.stats().received >= 3 + 10);
    let before = watched.stats().received;
    say(&watched, 20..30);
    std::thread::sleep(A_WHILE);
    assert_eq!(watched.stats().received, before);
}

#[test]
fn the_last_words_of_a_node_arrive_at_the_one_that_stays() {
    let options = node_options();
    let stays = up(&options, "stays");
    for turn in 0..10 {
        let goes = up(&options, "goes");
        eventually("both know each other", || {
            stays.node("goes").is_some() && goes.node("stays").is_some()
        });
        say(&goes, turn * 10..turn * 10 + 10);
        say(&stays, 1000..1001);
        goes.down().unwrap();
        let mut reason = None;
        let heard = numbers(
            || match stays.next_event(WAIT).unwrap() {
                Event::Down { reason: why, .. } => {
                    reason = Some(why);
                    // Ends the list.
                    Event::Isolated
                }
                other => other,
            },
            "goes",
            turn * 10 + 9,
        );
        assert_eq!(heard, (turn * 10..turn * 10 + 10).collect::<Vec<_>>());
        while reason.is_none() {
            if let Event::Down { reason: why, .. } = stays.next_event(WAIT).unwrap() {
                reason = Some(why);
            }
        }
        assert_eq!(reason, Some(DownReason::Goodbye));
    }
    // Some time after the last one has left, own messages stay out again.
    let stats = || stays.stats().dropped(DropReason::Own);
    let start = Instant::now();
    loop {
        stays.set_meta(&start.elapsed().as_millis()).unwrap();
        std::thread::sleep(A_WHILE);
        let before = stats();
        say(&stays, 0..10);
        std::thread::sleep(A_WHILE);
        if stats() == before {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "own messages still come back");
    }
}

/// Stops the receiving thread while it is closed.
#[derive(Default)]
struct Closed {
    closed: AtomicBool,
    waits: AtomicBool,
}

struct Gate(Arc<Closed>);

impl Middleware for Gate {
    fn name(&self) -> &str {
        "gate"
    }

    fn tx(&self, _message: &mut Message) -> Result<(), Error> {
        Ok(())
    }

    fn rx(&self, _message: &mut Message, _from: &Remote) -> Result<(), Reject> {
        while self.0.closed.load(Ordering::SeqCst) {
            self.0.waits.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

#[test]
fn what_is_lost_is_counted_and_own_copies_are_not() {
    let (options, group, port) = private_network(Options::for_node());
    let options = options.with("heartbeat", &600_000).with("timeout", &600_000);
    let options = options.with("receiveBuffer", &4096).with("maxDatagrams", &1_000_000_000);
    let gate = Arc::<Closed>::default();
    let node = Node::new(&options.with("id", "a")).unwrap();
    node.use_stage(Gate(gate.clone())).unwrap();
    node.up().unwrap();
    eventually("the hellos come back", || node.stats().received >= 3);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut sent = 3;
    for round in 0..3 {
        gate.waits.store(false, Ordering::SeqCst);
        gate.closed.store(true, Ordering::SeqCst);
        let mut flood = |count| {
            for _ in 0..count {
                sender.send_to(&[7; 400], (group, port)).unwrap();
                sent += 1;
            }
        };
        flood(1);
        eventually("the thread waits", || gate.waits.load(Ordering::SeqCst));
        flood(100);
        say(&node, 0..300);
        flood(100);
        gate.closed.store(false, Ordering::SeqCst);
        eventually("all are read", || {
            // The count comes with a datagram.
            std::thread::sleep(Duration::from_millis(20));
            sender.send_to(b"x", (group, port)).unwrap();
            sent += 1;
            let stats = node.stats();
            stats.received + stats.kernel_drops + 1 >= sent
        });
        std::thread::sleep(A_WHILE);
        let stats = node.stats();
        assert!(stats.kernel_drops > 50 * (round + 1), "{stats:?}");
        assert_eq!(stats.received + stats.kernel_drops, sent, "{stats:?}");
    }
}
