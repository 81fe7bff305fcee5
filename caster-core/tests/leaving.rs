//! A leave that does not wait: it is repeated, then the network is closed.

use caster_core::host::Progress;
use caster_core::middleware::{HostStage, Middleware, Reject};
use caster_core::{
    DownReason, Error, ErrorCode, Event, Message, NoEvent, Node, Options, Remote, VirtualNetwork,
};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
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

/// Calls back with each message that passes it on its way out.
struct Passing<F>(F);

impl<F: Fn(&[u8]) + Send + Sync> Middleware for Passing<F> {
    fn name(&self) -> &str {
        "passing"
    }

    fn tx(&self, message: &mut Message) -> Result<(), Error> {
        (self.0)(message.data());
        Ok(())
    }

    fn rx(&self, _message: &mut Message, _from: &Remote) -> Result<(), Reject> {
        Ok(())
    }
}

#[test]
fn no_thread_sends_a_message_once_a_leave_is_on_its_way() {
    for down in [Node::down, Node::start_down] {
        let (network, a, b) = pair();
        a.down().unwrap();
        network.advance(ms(50));
        let (sender, codes) = (a.clone(), Arc::new(Mutex::new(Vec::new())));
        let told = codes.clone();
        let send = move || {
            let batch = [Message::from_value(&1).unwrap()];
            let sent = [sender.send(&1), sender.send_batch(&batch)];
            told.lock().unwrap().extend(sent.map(|sent| sent.map_err(|error| error.code())));
        };
        let on_leave = move |data: &[u8]| {
            if data.windows(9).any(|part| part == br#""suicide""#) {
                thread::scope(|scope| scope.spawn(&send).join().unwrap());
            }
        };
        a.use_stage(Passing(on_leave)).unwrap();
        a.up().unwrap();
        a.send(&1).unwrap();
        network.advance(ms(5000));
        rest(&b);
        down(&a).unwrap();
        network.advance(ms(50));
        assert_eq!(*codes.lock().unwrap(), [Err(ErrorCode::NotUp); 6]);
        let [Event::Down { reason: DownReason::Goodbye, .. }] = rest(&b)[..] else {
            panic!("one event, as nothing follows the leave")
        };
        a.up().unwrap();
        a.send(&1).unwrap();
    }
}

#[test]
fn a_message_that_another_thread_has_begun_to_send_precedes_the_leave() {
    let port = 22_000 + (std::process::id() % 10_000 + 5000) as u16 % 10_000;
    let options = |id: &str| {
        Options::for_node().with("address", "127.0.0.1").with("port", &port).with("id", id)
    };
    let (a, b) = (Node::new(&options("a")).unwrap(), Node::new(&options("b")).unwrap());
    let (begun, has_begun) = channel();
    a.use_stage(Passing(move |data: &[u8]| {
        if data.ends_with(br#""slow"}"#) {
            begun.send(()).unwrap();
            thread::sleep(ms(15));
        }
    }))
    .unwrap();
    a.up().unwrap();
    b.up().unwrap();
    let next = || b.next_event(Some(Duration::from_secs(10))).unwrap();
    while !matches!(next(), Event::Up(_)) {}
    thread::scope(|scope| {
        scope.spawn(|| a.send("slow").unwrap());
        has_begun.recv().unwrap();
        a.down().unwrap();
    });
    let Event::Message { .. } = next() else { panic!("the message comes first") };
    let Event::Down { reason: DownReason::Goodbye, .. } = next() else { panic!("then the leave") };
    let after = b.next_event(Some(ms(100)));
    assert!(matches!(after, Err(NoEvent::TimedOut)), "{after:?}");
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
