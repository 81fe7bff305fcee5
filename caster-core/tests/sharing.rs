//! Many nodes in one process: one socket and one thread for each network.

use caster_core::middleware::{Json, Middleware, Reject};
use caster_core::{Caster, Error, ErrorCode, Event, Message, Node, Options, Remote};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

fn private_network(options: Options) -> Options {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed) + (std::process::id() << 6);
    let group = std::net::Ipv4Addr::from(0xEF00_0000 | (n.wrapping_mul(2_654_435_761) >> 8));
    options
        .with("address", "127.0.0.1")
        .with("multicast", &group.to_string())
        .with("port", &(22_000 + n.wrapping_mul(40_503) % 10_000))
}

fn eventually(what: &str, check: impl Fn() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come true in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn two_hundred_nodes_in_one_process_share_a_socket_and_a_thread() {
    // In a process of its own: other tests open and close things all the time.
    if std::env::var_os("CASTER_CROWD").is_none() {
        let name = "two_hundred_nodes_in_one_process_share_a_socket_and_a_thread";
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--test-threads=1", "--nocapture"])
            .env("CASTER_CROWD", "200")
            .status();
        return assert!(status.unwrap().success());
    }
    let size: usize = std::env::var("CASTER_CROWD").unwrap().parse().unwrap();
    let count = |what| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let before = (count("fd"), count("task"));
    let options = private_network(Options::for_node()).with("timeout", &10_000);
    let start = Instant::now();
    let nodes: Vec<Node> = (0..size).map(|_| Node::new(&options).unwrap()).collect();
    nodes[0].up().unwrap();
    let one = (count("fd"), count("task"));
    nodes[1..].iter().for_each(|node| node.up().unwrap());
    assert_eq!((count("fd"), count("task")), one);
    assert_eq!(one.1, before.1 + 1);
    eventually("everybody knows everybody", || {
        nodes.iter().all(|node| node.node_count() == size - 1)
    });
    println!("{size} nodes know each other after {:?}", start.elapsed());
    if let Ok(seconds) = std::env::var("CASTER_CROWD_SECONDS") {
        std::thread::sleep(Duration::from_secs(seconds.parse().unwrap()));
        println!("{}", nodes[0].stats().to_json());
    }
    // The remaining nodes no longer know the others.
    let (gone, stay) = nodes.split_at(size / 2);
    gone.iter().for_each(|node| node.down().unwrap());
    eventually("half of them are gone", || {
        stay.iter().all(|node| node.node_count() == stay.len() - 1)
    });
    assert!(nodes.iter().all(|node| {
        std::iter::from_fn(|| node.event_source().try_next())
            .all(|event| !matches!(event, Event::Error(_)))
    }));
    drop(nodes);
    assert_eq!((count("fd"), count("task")), before);
}

/// Panics over everything.
struct Bomb;

impl Middleware for Bomb {
    fn name(&self) -> &str {
        "bomb"
    }

    fn tx(&self, _message: &mut Message) -> Result<(), Error> {
        Ok(())
    }

    fn rx(&self, _message: &mut Message, _from: &Remote) -> Result<(), Reject> {
        panic!("boom")
    }
}

#[test]
fn who_panics_too_often_is_given_up_and_the_others_hear_everything() {
    let options = private_network(Options::for_caster());
    let bomb = Caster::new(&options).unwrap();
    bomb.use_stage(Bomb).unwrap();
    let other = Caster::new(&options).unwrap();
    bomb.bind().unwrap();
    other.bind().unwrap();
    for n in 0..10 {
        other.send_bytes(&[n]).unwrap();
        let heard = other.next_event(Some(PATIENCE)).unwrap();
        assert!(matches!(heard, Event::Datagram { message, .. } if message.data() == [n]));
    }
    let texts: Vec<String> = std::iter::from_fn(|| bomb.event_source().try_next())
        .map(|event| match event {
            Event::Error(error) if error.code() == ErrorCode::Internal => error.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(texts.len(), 4, "{texts:?}");
    assert!(texts[2].ends_with("it goes on") && texts[3].ends_with("it has stopped"));
    bomb.close().unwrap();
    // A new start is a new start.
    bomb.clear_stages();
    bomb.bind().unwrap();
    other.send_bytes(b"x").unwrap();
    let heard = bomb.next_event(Some(PATIENCE)).unwrap();
    assert!(matches!(heard, Event::Datagram { .. }), "{heard:?}");
}

/// Takes its time, and notes whether it is at work.
struct Slow(Arc<AtomicBool>);

impl Middleware for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn tx(&self, _message: &mut Message) -> Result<(), Error> {
        Ok(())
    }

    fn rx(&self, _message: &mut Message, _from: &Remote) -> Result<(), Reject> {
        self.0.store(true, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        self.0.store(false, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn who_has_left_is_not_called_any_more_while_others_stay() {
    let options = private_network(Options::for_caster());
    let stays = Caster::new(&options).unwrap();
    stays.use_stage(Json::new()).unwrap();
    stays.bind().unwrap();
    let flood = Arc::new(AtomicBool::new(true));
    let (stays, on) = (Arc::new(stays), flood.clone());
    let sender = stays.clone();
    let flooder = std::thread::spawn(move || {
        while on.load(Ordering::Relaxed) {
            sender.send("x").unwrap();
            std::thread::sleep(Duration::from_micros(200));
        }
    });
    for _ in 0..20 {
        let at_work = Arc::new(AtomicBool::new(false));
        let leaves = Caster::new(&options).unwrap();
        leaves.use_stage(Slow(at_work.clone())).unwrap();
        leaves.bind().unwrap();
        eventually("it is called", || at_work.load(Ordering::SeqCst));
        let start = Instant::now();
        leaves.close().unwrap();
        assert!(!at_work.load(Ordering::SeqCst));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        let received = leaves.stats().received;
        let heard = stays.stats().received;
        eventually("the other one hears on", || stays.stats().received > heard + 3);
        assert_eq!(leaves.stats().received, received);
        assert!(!at_work.load(Ordering::SeqCst));
    }
    flood.store(false, Ordering::Relaxed);
    flooder.join().unwrap();
}
