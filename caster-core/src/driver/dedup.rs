//! The same datagram, by several ways: a host with several interfaces or addresses is heard once
//! by each of them.
//!
//! Of every datagram a hash is kept for a quarter of a second, with how often it came by each
//! way. It is delivered when it has come by one way more often than it was delivered: so what
//! somebody says twice is heard twice.

use crate::message::Remote;
use foldhash::quality::RandomState;
use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

/// How long after its last delivery a datagram is remembered.
const MEMORY: Duration = Duration::from_millis(250);

/// How many datagrams are remembered; then the oldest are forgotten early.
const MAX_DATAGRAMS: usize = 8192;

/// By how many ways one datagram is followed; what comes by more is a copy.
const MAX_WAYS: usize = 16;

/// Whether a datagram is heard for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Novelty {
    /// Taking equal bytes from different addresses for one datagram: for messages that name
    /// their sender.
    pub by_sender: bool,
    /// Taking equal bytes for one datagram only if they came by different interfaces or families:
    /// two hosts of one network may well say the same.
    pub by_link: bool,
}

impl Novelty {
    pub const NEW: Novelty = Novelty { by_sender: true, by_link: true };
}

#[derive(Debug)]
pub(crate) struct Copies {
    /// Keyed at random: who does not know the key cannot make datagrams that look the same.
    keys: RandomState,
    datagrams: HashMap<u64, Datagram, BuildHasherDefault<AsItIs>>,
    /// When each is to be forgotten, the first one first.
    order: VecDeque<(Duration, u64)>,
}

#[derive(Debug)]
struct Datagram {
    delivered_at: Duration,
    came: Came,
}

/// By which ways, and how often. Nearly all come by one, and have no list.
#[derive(Debug)]
enum Came {
    ByOne(Way, u32),
    BySeveral(Box<Several>),
}

#[derive(Debug)]
struct Several {
    by_sender: Deliveries<Way>,
    by_link: Deliveries<Link>,
}

/// From where by which interface.
type Way = (SocketAddr, u32);
/// Whether by IPv4, and by which interface.
type Link = (bool, u32);

fn link((address, interface): Way) -> Link {
    (address.is_ipv4(), interface)
}

/// How often something came by each way, and how often it was delivered.
#[derive(Debug)]
struct Deliveries<W> {
    ways: Vec<(W, u32)>,
    count: u32,
}

/// For keys that are hashes already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
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

impl<W: PartialEq + Copy> Deliveries<W> {
    /// All by one way, and all delivered.
    fn of(way: W, count: u32) -> Self {
        Self { ways: vec![(way, count)], count }
    }

    /// Notes one, and says whether it is to be delivered.
    fn note(&mut self, way: W) -> bool {
        let is_full = self.ways.len() >= MAX_WAYS;
        let times = match self.ways.iter_mut().find(|(other, _)| *other == way) {
            Some((_, times)) => {
                *times += 1;
                *times
            }
            None if is_full => return false,
            None => {
                self.ways.push((way, 1));
                1
            }
        };
        let new = times > self.count;
        self.count += u32::from(new);
        new
    }
}

impl Came {
    fn again(&mut self, way: Way) -> Novelty {
        match self {
            Came::ByOne(one, times) if *one == way => {
                *times += 1;
                Novelty::NEW
            }
            Came::ByOne(one, times) => {
                let several = Several {
                    by_sender: Deliveries::of(*one, *times),
                    by_link: Deliveries::of(link(*one), *times),
                };
                *self = Came::BySeveral(Box::new(several));
                self.again(way)
            }
            Came::BySeveral(several) => Novelty {
                by_sender: several.by_sender.note(way),
                by_link: several.by_link.note(link(way)),
            },
        }
    }
}

impl Copies {
    pub fn new() -> Self {
        Self { keys: RandomState::default(), datagrams: HashMap::default(), order: VecDeque::new() }
    }

    /// Notes a datagram that has come in.
    pub fn note(&mut self, data: &[u8], remote: &Remote, now: Duration) -> Novelty {
        self.forget(now);
        let hash = self.keys.hash_one(data);
        let way = (remote.address, remote.interface.map_or(0, |interface| interface.index()));
        let mut datagram = match self.datagrams.entry(hash) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => {
                self.order.push_back((now + MEMORY, hash));
                entry.insert(Datagram { delivered_at: now, came: Came::ByOne(way, 1) });
                return Novelty::NEW;
            }
        };
        let datagram = datagram.get_mut();
        let novelty = datagram.came.again(way);
        if novelty.by_sender || novelty.by_link {
            datagram.delivered_at = now;
        }
        novelty
    }

    fn forget(&mut self, now: Duration) {
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
    fn a_datagram_that_comes_by_two_ways_is_heard_once() {
        let mut copies = Copies::new();
        let mut is_new = |data: &[u8], remote, at| copies.note(data, &remote, at).by_sender;
        assert!(is_new(b"a", from(1, 1), ms(0)));
        assert!(!is_new(b"a", from(2, 2), ms(1)), "by another interface");
        assert!(!is_new(b"a", from(2, 1), ms(1)), "by another address");
        assert!(is_new(b"b", from(2, 2), ms(2)), "another one");
        assert!(is_new(b"a", from(1, 1), ms(3)), "it was said twice");
        assert!(!is_new(b"a", from(2, 2), ms(4)));
        assert!(is_new(b"a", from(2, 2), ms(5)), "the third time, lost on the first way");
        assert!(!is_new(b"a", from(1, 1), ms(6)));
        assert!(!is_new(b"a", from(2, 1), ms(200)), "the second on a slow way");
        assert!(is_new(b"a", from(2, 2), ms(300)), "forgotten");
    }

    #[test]
    fn two_hosts_of_one_network_may_say_the_same() {
        let mut copies = Copies::new();
        let mut is_new = |remote| copies.note(b"a", &remote, ms(0)).by_link;
        assert!(is_new(from(1, 1)));
        assert!(is_new(from(2, 1)));
        assert!(!is_new(from(3, 2)));
        assert!(!is_new(from(3, 2)));
        assert!(is_new(from(3, 2)));
    }

    #[test]
    fn what_is_said_again_and_again_is_remembered_and_then_forgotten() {
        let mut copies = Copies::new();
        for n in 0..20 {
            assert!(copies.note(b"a", &from(1, 1), ms(100 * n)).by_sender);
            assert!(!copies.note(b"a", &from(2, 2), ms(100 * n + 90)).by_sender);
        }
        copies.note(b"b", &from(1, 1), ms(5000));
        copies.note(b"c", &from(1, 1), ms(5001));
        assert_eq!((copies.datagrams.len(), copies.order.len()), (2, 2));
    }

    #[test]
    fn a_flood_takes_bounded_memory() {
        let mut copies = Copies::new();
        for n in 0..100_000u32 {
            copies.note(&n.to_be_bytes(), &from(1, 1), ms(0));
        }
        for host in 0..255 {
            copies.note(b"a", &from(host, 1), ms(0));
        }
        assert!(copies.datagrams.len() <= MAX_DATAGRAMS + 1);
        assert_eq!(copies.order.len(), copies.datagrams.len());
        let ways = copies.datagrams.values().map(|it| match &it.came {
            Came::ByOne(..) => 1,
            Came::BySeveral(several) => several.by_sender.ways.len(),
        });
        assert_eq!(ways.max(), Some(MAX_WAYS));
    }
}
