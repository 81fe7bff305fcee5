//! Duplicate suppression: a datagram of a host with several interfaces or addresses arrives once on
//! each path, and is delivered once.
//!
//! The hash of every datagram is stored for 250 ms, with the number of copies on each path. A copy is
//! delivered if its path has had more copies than were delivered: a datagram that was sent twice is
//! delivered twice.

use crate::message::Remote;
use foldhash::quality::RandomState;
use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

/// Time after its last delivery for which a datagram is stored.
const MEMORY: Duration = Duration::from_millis(250);

/// Maximum number of stored datagrams; the oldest are removed early.
const MAX_DATAGRAMS: usize = 8192;

/// Maximum number of paths per datagram; copies on further paths are not delivered.
const MAX_PATHS: usize = 16;

/// Whether a datagram is the first copy, so that it is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirstCopy {
    /// If equal bytes from different addresses are one datagram: for messages that name their
    /// sender.
    pub by_sender: bool,
    /// If equal bytes are one datagram only on different interfaces or families: two hosts of one
    /// network may send the same bytes.
    pub by_interface: bool,
}

impl FirstCopy {
    pub const YES: Self = Self { by_sender: true, by_interface: true };
}

#[derive(Debug)]
pub(crate) struct Dedup {
    /// Random, so that a sender cannot make datagrams with the same hash.
    keys: RandomState,
    datagrams: HashMap<u64, Datagram, BuildHasherDefault<Identity>>,
    /// When each is removed, the first one first.
    order: VecDeque<(Duration, u64)>,
}

#[derive(Debug)]
struct Datagram {
    delivered_at: Duration,
    copies: Copies,
}

/// The number of copies on each path. Most datagrams have one path and need no list.
#[derive(Debug)]
enum Copies {
    OnePath(Path, u32),
    Paths(Box<Paths>),
}

#[derive(Debug)]
struct Paths {
    by_sender: Counts<Path>,
    by_interface: Counts<Segment>,
}

/// The remote address and the index of the interface.
type Path = (SocketAddr, u32);
/// Whether IPv4, and the index of the interface.
type Segment = (bool, u32);

fn segment((address, interface): Path) -> Segment {
    (address.is_ipv4(), interface)
}

/// The number of copies on each path, and the number of deliveries.
#[derive(Debug)]
struct Counts<P> {
    paths: Vec<(P, u32)>,
    delivered: u32,
}

/// For keys that are hashes.
#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys are u64");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl<P: PartialEq + Copy> Counts<P> {
    /// All on one path, and all delivered.
    fn of(path: P, count: u32) -> Self {
        Self { paths: vec![(path, count)], delivered: count }
    }

    /// Counts a copy. Returns whether it is to be delivered.
    fn insert(&mut self, path: P) -> bool {
        let is_full = self.paths.len() >= MAX_PATHS;
        let times = match self.paths.iter_mut().find(|(other, _)| *other == path) {
            Some((_, times)) => {
                *times += 1;
                *times
            }
            None if is_full => return false,
            None => {
                self.paths.push((path, 1));
                1
            }
        };
        let new = times > self.delivered;
        self.delivered += u32::from(new);
        new
    }
}

impl Copies {
    fn insert(&mut self, path: Path) -> FirstCopy {
        match self {
            Copies::OnePath(one, times) if *one == path => {
                *times += 1;
                FirstCopy::YES
            }
            Copies::OnePath(one, times) => {
                let paths = Paths {
                    by_sender: Counts::of(*one, *times),
                    by_interface: Counts::of(segment(*one), *times),
                };
                *self = Copies::Paths(Box::new(paths));
                self.insert(path)
            }
            Copies::Paths(paths) => FirstCopy {
                by_sender: paths.by_sender.insert(path),
                by_interface: paths.by_interface.insert(segment(path)),
            },
        }
    }
}

impl Dedup {
    pub fn new() -> Self {
        Self { keys: RandomState::default(), datagrams: HashMap::default(), order: VecDeque::new() }
    }

    /// Stores a received datagram.
    pub fn insert(&mut self, data: &[u8], remote: &Remote, now: Duration) -> FirstCopy {
        self.expire(now);
        let hash = self.keys.hash_one(data);
        let path = (remote.address, remote.interface.map_or(0, |interface| interface.index()));
        let mut datagram = match self.datagrams.entry(hash) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => {
                self.order.push_back((now + MEMORY, hash));
                entry.insert(Datagram { delivered_at: now, copies: Copies::OnePath(path, 1) });
                return FirstCopy::YES;
            }
        };
        let datagram = datagram.get_mut();
        let first = datagram.copies.insert(path);
        if first.by_sender || first.by_interface {
            datagram.delivered_at = now;
        }
        first
    }

    fn expire(&mut self, now: Duration) {
        while let Some(&(due, hash)) = self.order.front() {
            let full = self.order.len() > MAX_DATAGRAMS;
            if due > now && !full {
                return;
            }
            self.order.pop_front();
            let until = self.datagrams.get(&hash).map(|it| it.delivered_at + MEMORY);
            match until {
                Some(until) if until > now && !full => self.order.push_back((until, hash)),
                _ => drop(self.datagrams.remove(&hash)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Interface;

    fn from(host: u8, interface: u32) -> Remote {
        let interface = Some(Interface::new(interface, "eth"));
        Remote { interface, ..Remote::new(([10, 0, 0, host], 10101).into(), 1) }
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_datagram_on_two_paths_is_delivered_once() {
        let mut dedup = Dedup::new();
        let mut is_new = |data: &[u8], remote, at| dedup.insert(data, &remote, at).by_sender;
        assert!(is_new(b"a", from(1, 1), ms(0)));
        assert!(!is_new(b"a", from(2, 2), ms(1)), "on another interface");
        assert!(!is_new(b"a", from(2, 1), ms(1)), "from another address");
        assert!(is_new(b"b", from(2, 2), ms(2)), "another one");
        assert!(is_new(b"a", from(1, 1), ms(3)), "it was sent twice");
        assert!(!is_new(b"a", from(2, 2), ms(4)));
        assert!(is_new(b"a", from(2, 2), ms(5)), "the third time, lost on the first path");
        assert!(!is_new(b"a", from(1, 1), ms(6)));
        assert!(!is_new(b"a", from(2, 1), ms(200)), "the second on a slow path");
        assert!(is_new(b"a", from(2, 2), ms(300)), "expired");
    }

    #[test]
    fn two_hosts_of_one_network_may_send_the_same_bytes() {
        let mut dedup = Dedup::new();
        let mut is_new = |remote| dedup.insert(b"a", &remote, ms(0)).by_interface;
        assert!(is_new(from(1, 1)));
        assert!(is_new(from(2, 1)));
        assert!(!is_new(from(3, 2)));
        assert!(!is_new(from(3, 2)));
        assert!(is_new(from(3, 2)));
    }

    #[test]
    fn a_datagram_that_repeats_is_stored_and_then_expires() {
        let mut dedup = Dedup::new();
        for n in 0..20 {
            assert!(dedup.insert(b"a", &from(1, 1), ms(100 * n)).by_sender);
            assert!(!dedup.insert(b"a", &from(2, 2), ms(100 * n + 90)).by_sender);
        }
        dedup.insert(b"b", &from(1, 1), ms(5000));
        dedup.insert(b"c", &from(1, 1), ms(5001));
        assert_eq!((dedup.datagrams.len(), dedup.order.len()), (2, 2));
    }

    #[test]
    fn a_flood_takes_bounded_memory() {
        let mut dedup = Dedup::new();
        for n in 0..100_000u32 {
            dedup.insert(&n.to_be_bytes(), &from(1, 1), ms(0));
        }
        for host in 0..255 {
            dedup.insert(b"a", &from(host, 1), ms(0));
        }
        assert!(dedup.datagrams.len() <= MAX_DATAGRAMS + 1);
        assert_eq!(dedup.order.len(), dedup.datagrams.len());
        let paths = dedup.datagrams.values().map(|it| match &it.copies {
            Copies::OnePath(..) => 1,
            Copies::Paths(paths) => paths.by_sender.paths.len(),
        });
        assert_eq!(paths.max(), Some(MAX_PATHS));
    }
}
