//! A leave that does not wait: it is repeated, then the network is closed.

use caster_core::host::Progress;
use caster_core::middleware::HostStage;
use caster_core::{DownReason, ErrorCode, Event, NoEvent, Node, Options, VirtualNetwork};
use std::time::{Duration, Instant};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Two nodes on a virtual network that know each other.
fn pair() -> (VirtualNetwork, Node, Node) {
    let network = VirtualNetwork::new(1);
    let [a, b] = ["a", "b"].map(|id| network.node(&Options::for_node().with("id", id)).unwrap());
    a.up().unwrap();
    b.up().unwrap();
    network.advance(ms(5000));
    assert_eq!((a.node_count(), b.node_count()), (1, 1));
    (network, a, b)
}

fn rest(node: &Node) -> Vec<Event> {
    std::iter::from_fn(|| node.event_source().try_next()).collect()
}

#[test]
fn it_returns_at_once_and_closes_after_the_last_repetition() {
    let (network, a, b) = pair();
    rest(&a);
    let sent = a.stats().sent;
    a.start_down().unwrap();
    assert_eq!(a.stats().sent, sent + 1);
    assert!(!a.is_up(), "it has begun to leave");
    assert!(a.event_source().is_open(), "and is not through");
    assert_eq!(a.send(&1).unwrap_err().code(), ErrorCode::NotUp);
    a.start_down().unwrap();
    assert_eq!(a.stats().sent, sent + 1, "to begin twice is to begin once");
    network.advance(ms(4));
    assert_eq!(a.stats().sent, sent + 2);
    assert!(a.event_source().is_open());
    network.advance(ms(5));
    assert_eq!(a.stats().sent, sent + 3);
    assert!(!a.event_source().is_open());
    assert_eq!(a.next_event(None).unwrap_err(), NoEvent::Closed);
    assert_eq!(a.start_down().unwrap_err().code(), ErrorCode::NotUp);
    assert_eq!(a.down().unwrap_err().code(), ErrorCode::NotUp);
    let left = |event: &Event| matches!(event, Event::Down { peer, reason: DownReason::Goodbye } if peer.id == "a");
    assert_eq!(rest(&b).iter().filter(|event| left(event)).count(), 1);
    network.advance(ms(20_000));
    assert_eq!(a.stats().sent, sent + 3, "nothing comes after the leave");
}

#[test]
fn waiting_for_it_and_going_up_again_send_what_is_left_of_it() {
    let (_network, a, _b) = pair();
    let sent = a.stats().sent;
    a.start_down().unwrap();
    a.down().unwrap();
    assert_eq!(a.stats().sent, sent + 3);
    assert_eq!(a.down().unwrap_err().code(), ErrorCode::NotUp);
    a.up().unwrap();
    let sent = a.stats().sent;
    a.start_down().unwrap();
    a.up().unwrap();
    assert!(a.is_up());
    assert!(a.stats().sent > sent + 3, "three leaves, then the first heartbeat");
    drop(a);
}

#[test]
fn a_node_that_is_not_up_cannot_begin_to_leave() {
    let node = VirtualNetwork::new(1).node(&Options::for_node()).unwrap();
    assert_eq!(node.start_down().unwrap_err().code(), ErrorCode::NotUp);
}

#[test]
fn the_network_stays_open_for_leaves_at_a_stage_of_the_host() {
    let (network, a, b) = pair();
    a.use_stage(HostStage { name: "slow".into(), token: 0, tx: true, rx: false }).unwrap();
    rest(&a);
    a.start_down().unwrap();
    network.advance(ms(100));
    let source = a.event_source();
    assert!(source.is_open());
    let transits: Vec<_> = rest(&a)
        .into_iter()
        .filter_map(|event| match event {
            Event::HostStage(transit) => Some(transit),
            _ => None,
        })
        .collect();
    assert_eq!(transits.len(), 3);
    for transit in transits {
        assert!(matches!(a.resume(transit), Ok(Progress::Done(_))));
    }
    network.advance(ms(10));
    assert!(!source.is_open());
    assert_eq!(b.node_count(), 0);
}

#[test]
fn a_host_that_never_runs_its_stage_delays_the_end_by_a_second() {
    let (network, a, _b) = pair();
    a.use_stage(HostStage { name: "stuck".into(), token: 0, tx: true, rx: false }).unwrap();
    a.start_down().unwrap();
    network.advance(ms(900));
    assert!(a.event_source().is_open());
    network.advance(ms(200));
    assert!(!a.event_source().is_open());
}

#[test]
fn on_a_real_network_the_thread_ends_without_a_thread_that_waits() {
    let port = 22_000 + (std::process::id() % 10_000) as u16;
    let options = |id: &str| {
        Options::for_node().with("address", "127.0.0.1").with("port", &port).with("id", id)
    };
    let (a, b) = (Node::new(&options("a")).unwrap(), Node::new(&options("b")).unwrap());
    a.up().unwrap();
    b.up().unwrap();
    let wait = Some(Duration::from_secs(10));
    loop {
        if let Event::Up(_) = b.next_event(wait).unwrap() {
            break;
        }
    }
    let start = Instant::now();
    a.start_down().unwrap();
    loop {
        if let Event::Down { reason, .. } = b.next_event(wait).unwrap() {
            assert_eq!(reason, DownReason::Goodbye);
            break;
        }
    }
    while !matches!(a.next_event(wait), Err(NoEvent::Closed)) {}
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(a.down().unwrap_err().code(), ErrorCode::NotUp);
    a.up().unwrap();
    assert!(a.is_up());
}
