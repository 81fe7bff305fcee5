//! A peer takes at most 290 bytes at any size of the table, with all that the allocator adds, and a bounded number of
//! bytes more with keys.

use caster_core::{Identity, Key, Node, Options, VirtualNetwork};
use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Counts the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// Held by the test that counts.
static ALONE: Mutex<()> = Mutex::new(());

/// The allocator of glibc takes a word more than asked for, in units of 16.
fn taken(size: usize) -> usize {
    (size + size_of::<usize>()).next_multiple_of(16).max(32)
}

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(taken(layout.size()), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(taken(layout.size()), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        IN_USE.fetch_add(taken(size), Ordering::Relaxed);
        IN_USE.fetch_sub(taken(layout.size()), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that a peer may take, its id of ten letters included.
const MOST: usize = 290;

/// Below this the buffers and bitmaps that a node has anyway are too large a part.
const FIRST: u32 = 10_000;

/// Peers of which the table is looked at together.
const STEP: u32 = 1000;

const PEERS: u32 = 500_000;

/// Two heartbeats of each of these, so that it is established.
fn hear(network: &VirtualNetwork, node: &Node, peers: std::ops::Range<u32>) {
    let group = SocketAddr::new(node.multicast(), node.port());
    for count in 0..2 {
        for n in peers.clone() {
            let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)), 10_101);
            let beat = format!(
                r#"{{"id":"node{n:06}","meta":{{"type":"http","port":8080}},"caster":{{"b":{n},"h":1000,"n":{count}}}}}"#
            );
            network.inject(from, group, beat.as_bytes());
            if n % 10 == 9 {
                network.advance(Duration::from_millis(1));
                while node.event_source().try_next().is_some() {}
            }
        }
    }
}

#[test]
fn a_peer_takes_at_most_290_bytes_at_any_size_of_the_table() {
    let _alone = ALONE.lock();
    let network = VirtualNetwork::new(1);
    let options = Options::for_node()
        .with("hash", &false)
        .with("heartbeat", &60_000)
        .with("timeout", &600_000)
        .with("maxNodes", &PEERS);
    let node = network.node(&options).unwrap();
    node.up().unwrap();
    network.advance(Duration::from_secs(1));
    let before = IN_USE.load(Ordering::Relaxed);
    let mut largest = (0, 0);
    for first in (0..PEERS).step_by(STEP as usize) {
        hear(&network, &node, first..first + STEP);
        let peers = first + STEP;
        assert_eq!(node.node_count(), peers as usize);
        let each = (IN_USE.load(Ordering::Relaxed) - before) / peers as usize;
        if peers >= FIRST {
            largest = largest.max((each, peers));
        }
    }
    let (each, peers) = largest;
    assert!(each <= MOST, "{each} bytes each at {peers} peers");
}

/// The most bytes that a peer may take in each mode, and once it has sent a message, in a group of about a hundred.
const MOST_IN_GROUP: [[usize; 2]; 3] = [[830, 830], [1960, 3000], [2180, 3230]];

/// The secrets of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Plain,
    Keys,
    Identities,
}

/// The bytes that one node of a group takes, all of which know each other, and once each has sent a message.
fn bytes_of_a_node(count: usize, mode: Mode) -> [usize; 2] {
    let network = VirtualNetwork::new(1);
    let key = Key::generate().unwrap();
    let before = IN_USE.load(Ordering::Relaxed);
    let node = |n: usize| {
        let options = Options::for_node().with("id", &format!("node{n:06}"));
        let options = match mode {
            Mode::Plain => options,
            Mode::Keys => options.keys([key.clone()]),
            Mode::Identities => options.keys([key.clone()]).identity(Identity::generate().unwrap()),
        };
        let node = network.node(&options).unwrap();
        node.up().unwrap();
        node
    };
    let nodes: Vec<Node> = (0..count).map(node).collect();
    let in_use = |time| {
        network.advance(time);
        nodes.iter().for_each(|node| while node.event_source().try_next().is_some() {});
        (IN_USE.load(Ordering::Relaxed) - before) / count
    };
    let all = || nodes.iter().all(|node| node.node_count() == count - 1);
    assert!(network.advance_until(Duration::from_secs(30), all), "{mode:?}");
    let silent = in_use(Duration::from_secs(2));
    for node in &nodes {
        node.send("hello").unwrap();
    }
    [silent, in_use(Duration::from_millis(500))]
}

/// The bytes that one peer more takes in each of the others, and once it has sent a message.
fn bytes_of_a_peer(mode: Mode) -> [usize; 2] {
    // Collections that double are nearly full.
    let sizes = [62, 126];
    let [few, many] = sizes.map(|count| bytes_of_a_node(count, mode));
    [0, 1].map(|at| (many[at] - few[at]) / (sizes[1] - sizes[0]))
}

#[test]
fn a_peer_with_keys_takes_as_many_bytes_as_docs_security_says() {
    let _alone = ALONE.lock();
    let modes = [Mode::Plain, Mode::Keys, Mode::Identities];
    let taken = modes.map(bytes_of_a_peer);
    println!("{taken:?}");
    for (mode, (taken, most)) in modes.iter().zip(taken.iter().zip(MOST_IN_GROUP)) {
        assert!(taken[0] <= most[0] && taken[1] <= most[1], "{mode:?}: {taken:?}");
    }
}
