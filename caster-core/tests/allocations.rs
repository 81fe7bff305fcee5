//! A repeated input takes no memory: a heartbeat of a known peer with unchanged metadata is received
//! without an allocation.

use caster_core::middleware::{self, Middleware};
use caster_core::{Message, Node, Options};
use serde_json::json;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts what the threads of the core allocate: the thread of the test says that it is not one.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IS_TEST: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if COUNTS.load(Ordering::Relaxed) && !IS_TEST.try_with(Cell::get).unwrap_or(true) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NODES: u32 = 200;
const ROUNDS: u32 = 50;

#[test]
fn a_heartbeat_of_a_known_node_takes_no_allocation() {
    IS_TEST.set(true);
    let port = 22_000 + (std::process::id() % 10_000) as u16;
    let options = Options::for_node()
        .with("address", "127.0.0.1")
        .with("port", &port)
        .with("crypto", &true)
        // Nothing of its own in the meantime.
        .with("heartbeat", &60_000)
        .with("timeout", &600_000);
    let node = Node::new(&options).unwrap();
    node.up().unwrap();
    let voice = UdpSocket::bind("127.0.0.1:0").unwrap();
    let stages: [Box<dyn Middleware>; 3] = [
        Box::new(middleware::Json::new()),
        Box::new(middleware::Hash::new(&Default::default()).unwrap()),
        Box::new(middleware::Crypto::new(&Default::default()).unwrap()),
    ];
    let beat = |n: u32, count: u32| {
        let meta = json!({"type": "http", "port": 8080 + n, "tags": ["a", "b"]});
        let extension = json!({"b": n, "h": 1000, "n": count});
        let beat = json!({"id": format!("node{n}"), "meta": meta, "caster": extension});
        let mut message = Message::from_value(&beat).unwrap();
        stages.iter().for_each(|stage| stage.tx(&mut message).unwrap());
        message.into_data()
    };
    let round = |round: u32| {
        let before = node.stats().accepted;
        for n in 0..NODES {
            voice.send_to(&beat(n, round), ("127.0.0.1", port)).unwrap();
        }
        let start = Instant::now();
        while node.stats().accepted < before + u64::from(NODES) {
            assert!(start.elapsed() < Duration::from_secs(20), "{}", node.stats().to_json());
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    (0..10).for_each(round);
    assert_eq!(node.node_count(), NODES as usize);
    COUNTS.store(true, Ordering::Relaxed);
    (10..10 + ROUNDS).for_each(round);
    COUNTS.store(false, Ordering::Relaxed);
    let allocations = ALLOCATIONS.swap(0, Ordering::Relaxed);
    // The buffers of a batch that is larger than any before may grow, and no more than that.
    assert!(allocations < 100, "{allocations} allocations for {} heartbeats", NODES * ROUNDS);

    // That they are counted at all: a node that is new takes some.
    COUNTS.store(true, Ordering::Relaxed);
    voice.send_to(&beat(NODES, 0), ("127.0.0.1", port)).unwrap();
    let start = Instant::now();
    while node.node_count() == NODES as usize && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(1));
    }
    COUNTS.store(false, Ordering::Relaxed);
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > 0, "nothing was counted");
}
