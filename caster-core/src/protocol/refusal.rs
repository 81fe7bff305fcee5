//! Proof of death: a process whose port is refused by its host.
//!
//! A watcher of a late peer asks the port of its process. A refusal from a port that has answered
//! before is told to the group, and each node asks the port itself. After a refusal of its own a
//! node probes the peer through the group, and silence through all probes is death. One datagram
//! never kills, and neither does a firewall that begins to refuse while the peer lives: the peer
//! answers.

use super::random::Random;
use crate::peer::NodeId;
use std::net::SocketAddr;
use std::time::Duration;

/// A node asks the port at random within this time after the claim, so that the peer can answer
/// first and the host need not refuse all at once.
const ASK_AFTER: Duration = Duration::from_millis(5);
const ASK_SPREAD: Duration = Duration::from_millis(45);

/// The port is asked again after this time: hosts ration refusals.
const ASK_AGAIN: Duration = Duration::from_millis(200);
const MAX_ASKS: u8 = 10;

/// How often, and in which time, the peer is probed through the group after a refusal. Three probes
/// in place of six gave five false downs in 40 minutes at 30 % loss (docs/liveness.md).
const PROBES: u8 = 6;
const PROBE_TIME: Duration = Duration::from_millis(150);

/// The wait after the last probe: 50 ms until a node that has heard the answer corroborates, and its way.
const LAST_ANSWER: Duration = Duration::from_millis(75);

/// A peer heard this long before a claim of its death is alive: the claim was under way.
pub(crate) const HEARD_BEFORE_CLAIM: Duration = Duration::from_millis(50);

/// How many peers are inquired about at once.
const MAX_INQUIRIES: usize = 256;

/// A peer said to be dead.
#[derive(Debug)]
struct Inquiry {
    id: NodeId,
    incarnation: u32,
    port: SocketAddr,
    begun: Duration,
    refused: bool,
    done: u8,
    next: Duration,
}

impl Inquiry {
    fn count_probe(&mut self, now: Duration) {
        self.done += 1;
        let is_last = self.done == PROBES;
        self.next = now + if is_last { LAST_ANSWER } else { PROBE_TIME / u32::from(PROBES) };
    }
}

/// The next step of an inquiry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    AskPort(NodeId, SocketAddr),
    Probe(NodeId),
    Dead(NodeId, u32),
}

#[derive(Debug, Default)]
pub(crate) struct Inquiries(Vec<Inquiry>);

impl Inquiries {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Begins unless an inquiry about this peer is open.
    pub fn begin(
        &mut self,
        id: &NodeId,
        incarnation: u32,
        port: SocketAddr,
        now: Duration,
        random: &mut Random,
    ) {
        if self.0.len() >= MAX_INQUIRIES || self.0.iter().any(|it| it.id == *id) {
            return;
        }
        let next = now + ASK_AFTER + ASK_SPREAD.mul_f64(random.fraction());
        let id = id.clone();
        self.0.push(Inquiry { id, incarnation, port, begun: now, refused: false, done: 0, next });
    }

    /// Another node heard the peer at `heard`: an inquiry that began before ends.
    pub fn corroborated(&mut self, id: &NodeId, heard: Duration) {
        self.0.retain(|it| it.id != *id || heard + HEARD_BEFORE_CLAIM < it.begun);
    }

    /// The peer was heard, or is gone. Returns whether its port had been refused to this node.
    pub fn end(&mut self, id: &NodeId) -> bool {
        let Some(at) = self.0.iter().position(|it| it.id == *id) else { return false };
        self.0.swap_remove(at).refused
    }

    /// A port has refused this node itself.
    pub fn refused(&mut self, port: SocketAddr, now: Duration) {
        for it in self.0.iter_mut().filter(|it| it.port == port && !it.refused && it.done > 0) {
            (it.refused, it.done, it.next) = (true, 0, now);
        }
    }

    /// Another node has probed this peer.
    pub fn note_probe(&mut self, id: &NodeId, now: Duration) {
        for it in self.0.iter_mut().filter(|it| it.id == *id && it.refused && it.done < PROBES) {
            it.count_probe(now);
        }
    }

    pub fn take_due(&mut self, now: Duration) -> Option<Due> {
        let at = self.0.iter().position(|it| it.next <= now)?;
        let it = &mut self.0[at];
        let id = it.id.clone();
        if it.refused && it.done >= PROBES {
            return Some(Due::Dead(id, self.0.swap_remove(at).incarnation));
        }
        if it.refused {
            it.count_probe(now);
            return Some(Due::Probe(id));
        }
        it.done += 1;
        it.next = now + ASK_AGAIN;
        let port = it.port;
        if it.done >= MAX_ASKS {
            self.0.swap_remove(at);
        }
        Some(Due::AskPort(id, port))
    }

    pub fn next_due(&self) -> Option<Duration> {
        self.0.iter().map(|it| it.next).min()
    }

    /// The local node was away for `gap`: what it did not hear meanwhile proves nothing.
    pub fn shift(&mut self) {
        self.0.clear();
    }
}

/// Whether `watcher` is one of about `wanted` watchers of `peer` in a group of `members`.
///
/// Each pair of ids has a number of 64 bits; the pairs with the lowest are chosen. So all nodes agree
/// without a table of their own. The incarnation of the peer counts as well: no id can be chosen in advance
/// that watches it. In groups of up to `wanted` nodes each watches each.
pub(crate) fn watches(
    watcher: &NodeId,
    (peer, incarnation): (&NodeId, Option<u32>),
    wanted: u64,
    members: usize,
) -> bool {
    let members = members as u64;
    members <= wanted || pair(watcher, peer, incarnation) < u64::MAX / members * wanted
}

/// FNV-1a over both ids as JSON texts and the incarnation, mixed by the finalizer of SplitMix64.
fn pair(watcher: &NodeId, peer: &NodeId, incarnation: Option<u32>) -> u64 {
    let ids = watcher.as_json().bytes().chain(peer.as_json().bytes());
    let bytes = ids.chain(incarnation.unwrap_or(0).to_be_bytes());
    let mut z = bytes.fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn id(text: &str) -> NodeId {
        NodeId::new(text).unwrap()
    }

    fn port() -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 2], 21101))
    }

    fn begun() -> Inquiries {
        let mut inquiries = Inquiries::default();
        inquiries.begin(&id("a"), 7, port(), ms(1000), &mut Random::new(1));
        inquiries
    }

    fn run(inquiries: &mut Inquiries, until: u64) -> Vec<(u64, Due)> {
        let mut all = Vec::new();
        while let Some(due) = inquiries.next_due().filter(|&due| due <= ms(until)) {
            all.extend(inquiries.take_due(due).map(|it| (due.as_millis() as u64, it)));
        }
        all
    }

    #[test]
    fn a_refusal_and_silence_through_six_probes_is_death() {
        let mut inquiries = begun();
        let asked = run(&mut inquiries, 1050);
        assert!(matches!(asked[..], [(1005..=1050, Due::AskPort(..))]), "{asked:?}");
        inquiries.refused(port(), ms(1051));
        let all = run(&mut inquiries, 2000);
        let probes = all.iter().filter(|(_, due)| matches!(due, Due::Probe(_))).count();
        assert_eq!(probes, 6);
        assert_eq!(all.last(), Some(&(1251, Due::Dead(id("a"), 7))));
    }

    #[test]
    fn a_claim_alone_or_a_refusal_that_was_not_asked_for_never_kills() {
        let mut inquiries = begun();
        inquiries.refused(port(), ms(1001));
        let all = run(&mut inquiries, 60_000);
        assert_eq!(all.len(), usize::from(MAX_ASKS), "{all:?}");
        assert!(all.iter().all(|(_, due)| matches!(due, Due::AskPort(..))));
        assert!(inquiries.next_due().is_none());
    }

    #[test]
    fn a_peer_that_is_heard_ends_it() {
        let mut inquiries = begun();
        run(&mut inquiries, 1050);
        inquiries.refused(port(), ms(1051));
        inquiries.end(&id("a"));
        assert!(run(&mut inquiries, 5000).is_empty());
    }

    #[test]
    fn a_corroboration_ends_it_only_if_the_peer_was_heard_since() {
        let mut inquiries = begun();
        inquiries.corroborated(&id("a"), ms(949));
        assert!(inquiries.next_due().is_some());
        inquiries.corroborated(&id("a"), ms(951));
        assert!(inquiries.next_due().is_none());
    }

    #[test]
    fn about_as_many_watch_as_are_wanted() {
        let ids: Vec<NodeId> = (0..200).map(|n| id(&format!("node{n}"))).collect();
        let watchers = |peer: &NodeId| {
            let watches = |it: &&NodeId| watches(it, (peer, Some(7)), 4, ids.len());
            ids.iter().filter(|it| *it != peer).filter(watches).count()
        };
        let counts: Vec<usize> = ids.iter().map(watchers).collect();
        let all: usize = counts.iter().sum();
        assert!((600..1000).contains(&all), "{all}");
        assert!(counts.iter().all(|&count| count <= 14), "{counts:?}");
        assert!(watches(&ids[0], (&ids[1], None), 4, 4));
        let watched = |b| watches(&ids[0], (&ids[1], Some(b)), 4, ids.len());
        let times = (0..5000).filter(|&b| watched(b)).count();
        assert!((50..200).contains(&times), "of other incarnations by others: {times}");
    }
}
