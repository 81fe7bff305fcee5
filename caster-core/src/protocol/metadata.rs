//! Metadata beyond one datagram: heartbeats name it by its hash, and a node that does not have it
//! asks for it.

use super::envelope::{MAX_OWN, MAX_WANTED};
use super::paths::Origin;
use super::random::Random;
use crate::peer::NodeId;
use crate::sha256::sha256;
use crate::sort::sort_short;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Metadata is asked for after a random time up to this one, so that one node asks for all.
const ASK_SPREAD: Duration = Duration::from_millis(20);

/// A question is not repeated before this time.
const ASK_AGAIN: Duration = Duration::from_millis(400);

/// So many own questions follow the heartbeats of a peer: at 30 % loss five of a thousand small metadata need
/// more, (1 - 0.7²)⁸. Then the pause doubles, up to the longest: the answer does not get through, or the peer
/// names metadata that it does not have.
const PATIENT_QUESTIONS: u32 = 8;
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// A node answers with its metadata once in this time.
const ANSWER_AGAIN: Duration = Duration::from_millis(500);

/// How many peers wait for their metadata, and for how long after their last heartbeat.
const MAX_WAITING: usize = 256;
const WAITING_TIME: Duration = Duration::from_secs(10);

/// A peer that has sent so many heartbeats in this time is up without its metadata, which comes by another
/// port than they do.
const PATIENCE: Duration = Duration::from_secs(3);
const PATIENT_BEATS: u32 = 3;

/// The longest heartbeat that is held.
const MAX_HELD: usize = 4096;

/// The first 128 bits of the SHA-256 of a metadata text, as it is on the wire.
pub(crate) fn hash_of(meta: &str) -> u128 {
    u128::from_be_bytes(*sha256(&[meta.as_bytes()]).first_chunk().expect("32 bytes"))
}

/// A peer of which the metadata is not here yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub id: NodeId,
    pub hash: u128,
    pub incarnation: u32,
    pub origin: Origin,
    /// The addresses that it was heard from or has told.
    addresses: Vec<IpAddr>,
    /// Where its process gets unicast.
    process: SocketAddr,
    /// Its heartbeat, if it is not in the table: it is up when its metadata is here.
    pub held: Option<Box<str>>,
    since: Duration,
    beats: u32,
    until: Duration,
}

/// A hash that is asked for.
#[derive(Debug)]
struct Wanted {
    hash: u128,
    /// When to ask.
    due: Option<Duration>,
    /// When it was last asked for, by any node.
    asked: Option<Duration>,
    /// When the local node asked last, and how often it has.
    asked_here: Option<Duration>,
    questions: u32,
}

impl Wanted {
    /// When it may be asked for again.
    fn again(&self) -> Option<Duration> {
        let doublings = (self.questions + 1).saturating_sub(PATIENT_QUESTIONS);
        let pause = ASK_AGAIN.saturating_mul(1 << doublings.min(16)).min(LONGEST_PAUSE);
        let here = self.asked_here.map(|asked| asked + pause);
        here.max(self.asked.map(|asked| asked + ASK_AGAIN))
    }
}

/// The metadata that is on its way, and the answers that are due.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    waiting: Vec<Waiting>,
    wanted: Vec<Wanted>,
    /// When the own metadata was last sent, and is due.
    answered: Option<Duration>,
    answer: Option<Duration>,
}

impl Waiting {
    /// When it is up without its metadata, if it is not in the table.
    fn overdue_at(&self) -> Option<Duration> {
        let waits = self.held.is_some() && self.beats >= PATIENT_BEATS;
        waits.then_some(self.since + PATIENCE)
    }
}

impl Metadata {
    /// A heartbeat names metadata that is not here. Returns the peer that no longer waits for its
    /// own, because there is no room.
    pub fn want(
        &mut self,
        (id, hash, incarnation): (&NodeId, u128, u32),
        (origin, port, own): (Origin, Option<u16>, &[IpAddr]),
        held: Option<&str>,
        now: Duration,
        random: &mut Random,
    ) -> Option<NodeId> {
        let held = held.filter(|text| text.len() <= MAX_HELD).map(Box::from);
        let mut addresses = own.to_vec();
        addresses.push(origin.address);
        let (mut since, mut beats) = (now, 1);
        for it in self.waiting.extract_if(.., |it| it.id == *id) {
            if (it.incarnation, it.hash) == (incarnation, hash) {
                (since, beats) = (it.since, it.beats + 1);
            }
            let known = it.addresses.iter().filter(|_| it.incarnation == incarnation);
            addresses.extend(known.take(MAX_OWN));
        }
        sort_short(&mut addresses, |address| *address);
        addresses.dedup();
        let full = self.waiting.len() >= MAX_WAITING;
        let gone = full.then(|| self.waiting.remove(0).id);
        let until = now + WAITING_TIME;
        let process = SocketAddr::new(origin.address, port.unwrap_or(origin.port));
        let id = id.clone();
        self.waiting.push(Waiting {
            id,
            hash,
            incarnation,
            origin,
            addresses,
            process,
            held,
            since,
            beats,
            until,
        });
        let due = now + ASK_SPREAD.mul_f64(random.fraction());
        self.drop_unwanted();
        match self.wanted.iter_mut().find(|it| it.hash == hash) {
            Some(wanted) => {
                if wanted.due.is_none() && wanted.again().is_none_or(|again| now >= again) {
                    wanted.due = Some(due);
                }
            }
            None => self.wanted.push(Wanted {
                hash,
                due: Some(due),
                asked: None,
                asked_here: None,
                questions: 0,
            }),
        }
        gone
    }

    fn drop_unwanted(&mut self) {
        let Self { waiting, wanted, .. } = self;
        wanted.retain(|wanted| waiting.iter().any(|it| it.hash == wanted.hash));
    }

    /// A node has asked for these. Returns whether the own metadata, with this hash, is among them.
    pub fn hear_question(&mut self, hashes: &[u128], own: Option<u128>, now: Duration) {
        for wanted in self.wanted.iter_mut().filter(|it| hashes.contains(&it.hash)) {
            wanted.due = None;
            wanted.asked = Some(now);
        }
        if own.is_some_and(|own| hashes.contains(&own)) && self.answer.is_none() {
            let again = self.answered.map(|answered| answered + ANSWER_AGAIN);
            self.answer = Some(again.map_or(now, |again| again.max(now)));
        }
    }

    /// The questions that are due, which are asked now.
    pub fn take_questions(&mut self, now: Duration) -> Vec<u128> {
        let due = self.wanted.iter_mut().filter(|it| it.due.is_some_and(|due| due <= now));
        let ask = |wanted: &mut Wanted| {
            wanted.due = None;
            (wanted.asked, wanted.asked_here) = (Some(now), Some(now));
            wanted.questions += 1;
            wanted.hash
        };
        due.take(MAX_WANTED).map(ask).collect()
    }

    /// Whether the own metadata is to be sent now.
    pub fn take_answer(&mut self, now: Duration) -> bool {
        let is_due = self.answer.is_some_and(|due| due <= now);
        if is_due {
            (self.answer, self.answered) = (None, Some(now));
        }
        is_due
    }

    /// The own metadata has changed: a question for it is answered at once.
    pub fn changed(&mut self) {
        self.answered = None;
    }

    /// The peers that wait for this metadata, which is here.
    pub fn take(&mut self, hash: u128) -> Vec<Waiting> {
        self.wanted.retain(|it| it.hash != hash);
        self.waiting.extract_if(.., |it| it.hash == hash).collect()
    }

    /// The last heartbeats of the peers that have waited for too long. They still wait for their metadata.
    pub fn take_overdue(&mut self, now: Duration) -> Vec<(NodeId, Origin, Box<str>)> {
        let late = self.waiting.iter_mut().filter(|it| it.overdue_at().is_some_and(|at| at <= now));
        late.filter_map(|it| Some((it.id.clone(), it.origin, it.held.take()?))).collect()
    }

    /// A peer no longer waits.
    pub fn forget(&mut self, id: &NodeId) {
        if !self.waiting.is_empty() {
            self.waiting.retain(|it| it.id != *id);
            self.drop_unwanted();
        }
    }

    /// The peer with this incarnation that was heard from this address and waits.
    pub fn sender(&self, incarnation: u32, from: IpAddr) -> Option<NodeId> {
        let is_it = |it: &&Waiting| it.incarnation == incarnation && it.addresses.contains(&from);
        self.waiting.iter().find(is_it).map(|it| it.id.clone())
    }

    /// Where the process of a peer that waits gets unicast.
    pub fn process(&self, id: &NodeId) -> Option<SocketAddr> {
        self.waiting.iter().find(|it| it.id == *id).map(|it| it.process)
    }

    /// Ends the wait for peers that are silent. Returns them.
    pub fn expire(&mut self, now: Duration) -> Vec<NodeId> {
        if self.waiting.first().is_none_or(|it| it.until > now) {
            return Vec::new();
        }
        let gone = self.waiting.extract_if(.., |it| it.until <= now).map(|it| it.id).collect();
        self.drop_unwanted();
        gone
    }

    /// When a question is due.
    pub fn question_due(&self) -> Option<Duration> {
        self.wanted.iter().filter_map(|it| it.due).min()
    }

    /// When something else is due.
    pub fn next_due(&self) -> Option<Duration> {
        // Asked for after each datagram.
        if self.waiting.is_empty() {
            return self.answer;
        }
        let overdue = self.waiting.iter().filter_map(Waiting::overdue_at).min();
        let ends = [self.answer, overdue, self.waiting.first().map(|it| it.until)];
        ends.into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const NOW: Duration = Duration::from_secs(5);
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn want(metadata: &mut Metadata, id: &str, hash: u128, now: Duration) -> Option<NodeId> {
        let id = NodeId::new(id).unwrap();
        let random = &mut Random::new(hash as u64);
        metadata.want((&id, hash, 1), (HERE.into(), None, &[]), Some("beat"), now, random)
    }

    #[test]
    fn a_hash_is_asked_for_once_within_20_ms_unless_another_asks() {
        let mut metadata = Metadata::default();
        want(&mut metadata, "a", 1, NOW);
        want(&mut metadata, "b", 2, NOW);
        want(&mut metadata, "c", 1, NOW);
        assert!(metadata.question_due().is_some_and(|due| due < NOW + ASK_SPREAD));
        metadata.hear_question(&[2, 9], None, NOW);
        assert_eq!(metadata.take_questions(NOW + ASK_SPREAD), [1]);
        assert_eq!(metadata.question_due(), None);
        want(&mut metadata, "a", 1, NOW + ms(300));
        assert_eq!(metadata.question_due(), None, "the answer may be on its way");
        want(&mut metadata, "a", 1, NOW + ms(1000));
        assert_eq!(metadata.take_questions(NOW + ms(1020)), [1]);
        let ids: Vec<String> = metadata.take(1).iter().map(|it| it.id.to_string()).collect();
        assert_eq!(ids, ["c", "a"]);
        assert_eq!(metadata.take(1).len(), 0);
    }

    #[test]
    fn metadata_that_does_not_come_is_asked_for_ever_more_rarely() {
        let questions = |heard: bool| {
            let mut metadata = Metadata::default();
            let asked = (0..60).map(|second| {
                let now = NOW + ms(1000) * second;
                want(&mut metadata, "a", 1, now);
                let asked = metadata.take_questions(now + ms(20)).len();
                if heard {
                    metadata.hear_question(&[1], None, now + ms(30));
                }
                asked
            });
            asked.collect::<Vec<usize>>()
        };
        let asked = questions(false);
        let seconds: Vec<usize> = (0..60).filter(|second| asked[*second] == 1).collect();
        assert_eq!(seconds[..9], [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(seconds[9..], [10, 14, 21, 30, 39, 48, 57]);
        assert_eq!(questions(true), asked, "the questions of others do not make the pause longer");
    }

    #[test]
    fn own_metadata_is_sent_at_most_once_in_half_a_second() {
        let mut metadata = Metadata::default();
        metadata.hear_question(&[7], Some(8), NOW);
        assert!(!metadata.take_answer(NOW), "of another node");
        let mut answers = 0;
        for n in 0..100 {
            let now = NOW + ms(20) * n;
            metadata.hear_question(&[8], Some(8), now);
            answers += usize::from(metadata.take_answer(now));
        }
        assert_eq!(answers, 4);
        metadata.take_answer(NOW + ms(2500));
        metadata.changed();
        metadata.hear_question(&[8], Some(8), NOW + ms(2501));
        assert!(metadata.take_answer(NOW + ms(2501)), "other metadata");
    }

    #[test]
    fn invented_peers_take_bounded_memory_and_are_forgotten() {
        let mut metadata = Metadata::default();
        for n in 0..10_000u128 {
            let gone = want(&mut metadata, &format!("n{n}"), n, NOW);
            assert_eq!(gone.is_some(), n >= MAX_WAITING as u128);
        }
        assert_eq!((metadata.waiting.len(), metadata.wanted.len()), (MAX_WAITING, MAX_WAITING));
        assert_eq!(metadata.take_questions(NOW + ms(20)).len(), MAX_WANTED);
        assert_eq!(metadata.expire(NOW + WAITING_TIME).len(), MAX_WAITING);
        assert!(metadata.waiting.is_empty() && metadata.wanted.is_empty());
        assert_eq!(metadata.next_due(), None);
    }
}
