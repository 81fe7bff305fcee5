//! Claims about a peer that come from an address it has not used: another address, or another
//! incarnation. The peer is asked before any of it is believed.
//!
//! The question is a probe to the group. A probe of another node counts as well. A claim ends when
//! the peer confirms or refutes it, or when the peer stays silent through [`QUESTIONS`].

use super::paths::Origin;
use super::random::Random;
use crate::peer::NodeId;
use std::net::IpAddr;
use std::time::Duration;

/// How many questions have to remain unanswered before a claim is taken for true: with a loss of
/// 30 % each way, one in 4,000 living peers answers none of them.
pub(crate) const QUESTIONS: u8 = 8;

/// The time over which the questions are spread.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

/// The first question goes out at random within this time, so that one node asks for all.
const FIRST_AFTER: Duration = Duration::from_millis(5);
const FIRST_SPREAD: Duration = Duration::from_millis(45);

/// How many claims are open at once, in all and from one address.
const MAX_CLAIMS: usize = 64;
const MAX_CLAIMS_OF_ADDRESS: usize = 16;

/// How long a denial is remembered.
const DENIED: Duration = Duration::from_secs(60);

/// A claim that is open.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub id: NodeId,
    pub origin: Origin,
    /// The incarnation that the claim is about; `None` if it came without the extension.
    pub incarnation: Option<u32>,
    /// When it was raised.
    pub since: Duration,
    /// Until when the peer has to be silent at the least.
    silent_until: Duration,
    next: Duration,
    asked: u8,
    /// The peer was heard at an address that it uses: silence cannot decide any more.
    pub alive: bool,
}

/// The next step of a claim.
#[derive(Debug)]
pub(crate) enum Due {
    /// The peer is to be asked.
    Ask(NodeId),
    /// The peer did not answer.
    Unanswered(Claim),
}

#[derive(Debug, Default)]
pub(crate) struct Claims {
    open: Vec<Claim>,
    /// Addresses that peers have denied, and when.
    denied: Vec<(NodeId, IpAddr, Duration)>,
}

impl Claims {
    pub fn clear(&mut self) {
        self.open.clear();
        self.denied.clear();
    }

    /// Opens a claim unless one about this peer is open, or too many are. `at_least` is the time
    /// for which silence has to last.
    pub fn raise(
        &mut self,
        id: &NodeId,
        origin: Origin,
        incarnation: Option<u32>,
        at_least: Duration,
        now: Duration,
        random: &mut Random,
    ) {
        let of_address = |claim: &&Claim| claim.origin.address == origin.address;
        if self.open.len() >= MAX_CLAIMS
            || self.get(id).is_some()
            || self.open.iter().filter(of_address).count() >= MAX_CLAIMS_OF_ADDRESS
        {
            return;
        }
        self.open.push(Claim {
            id: id.clone(),
            origin,
            incarnation,
            since: now,
            silent_until: now + at_least.max(SILENCE),
            next: now + FIRST_AFTER + FIRST_SPREAD.mul_f64(random.fraction()),
            asked: 0,
            alive: false,
        });
    }

    pub fn get(&self, id: &NodeId) -> Option<&Claim> {
        self.open.iter().find(|claim| claim.id == *id)
    }

    /// Ends the claim about this peer.
    pub fn end(&mut self, id: &NodeId) -> Option<Claim> {
        let at = self.open.iter().position(|claim| claim.id == *id)?;
        Some(self.open.swap_remove(at))
    }

    /// The peer has denied an address. Returns whether it has done so before: the address may be one that
    /// it has just lost, and is another node's if it is heard again.
    pub fn deny(&mut self, id: &NodeId, address: IpAddr, now: Duration) -> bool {
        self.denied.retain(|(.., at)| now < *at + DENIED);
        if self.denied.iter().any(|(known, it, _)| known == id && *it == address) {
            return true;
        }
        if self.denied.len() >= MAX_CLAIMS {
            self.denied.remove(0);
        }
        self.denied.push((id.clone(), address, now));
        false
    }

    /// The peer was heard at `address`, which it uses, without a word about the claim.
    pub fn note_alive(&mut self, id: &NodeId) {
        if let Some(claim) = self.open.iter_mut().find(|claim| claim.id == *id) {
            claim.alive = true;
        }
    }

    /// Another node has asked this peer.
    pub fn note_question(&mut self, id: &NodeId, now: Duration, random: &mut Random) {
        if let Some(claim) = self.open.iter_mut().find(|claim| claim.id == *id) {
            claim.count(now, random);
        }
    }

    /// Takes what has become due.
    pub fn take_due(&mut self, now: Duration, random: &mut Random) -> Option<Due> {
        let at = self.open.iter().position(|claim| claim.next <= now)?;
        let claim = &mut self.open[at];
        if claim.asked >= QUESTIONS {
            return Some(Due::Unanswered(self.open.swap_remove(at)));
        }
        claim.count(now, random);
        Some(Due::Ask(claim.id.clone()))
    }

    pub fn next_due(&self) -> Option<Duration> {
        self.open.iter().map(|claim| claim.next).min()
    }

    /// The local node was away for `gap`.
    pub fn shift(&mut self, gap: Duration) {
        for claim in &mut self.open {
            claim.next += gap;
            claim.since += gap;
            claim.silent_until += gap;
        }
    }
}

impl Claim {
    fn count(&mut self, now: Duration, random: &mut Random) {
        self.asked += 1;
        // The answers to the last questions need the time of one round trip beyond them.
        let step = SILENCE / u32::from(QUESTIONS);
        let next = now + step.mul_f64(0.75 + random.fraction() / 2.0);
        self.next = if self.asked < QUESTIONS { next } else { next.max(self.silent_until) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn raised() -> (Claims, Random) {
        let (mut claims, mut random) = (Claims::default(), Random::new(1));
        claims.raise(&id("a"), THERE.into(), Some(7), Duration::ZERO, ms(1000), &mut random);
        (claims, random)
    }

    fn id(text: &str) -> NodeId {
        NodeId::new(text).unwrap()
    }

    #[test]
    fn eight_questions_in_300_ms_and_then_silence_decides() {
        let (mut claims, mut random) = raised();
        let (mut asked, mut ended) = (Vec::new(), None);
        while let Some(due) = claims.next_due() {
            match claims.take_due(due, &mut random) {
                Some(Due::Ask(_)) => asked.push(due),
                Some(Due::Unanswered(claim)) => ended = Some((due, claim)),
                None => {}
            }
        }
        assert_eq!(asked.len(), usize::from(QUESTIONS));
        assert!(asked[0] >= ms(1005) && asked[0] < ms(1050), "{asked:?}");
        let (ended, claim) = ended.unwrap();
        assert!(ended >= ms(1300) && ended < ms(1450) && !claim.alive, "{ended:?}");
    }

    #[test]
    fn a_question_of_another_node_counts() {
        let (mut claims, mut random) = raised();
        for n in 0..u64::from(QUESTIONS) {
            claims.note_question(&id("a"), ms(1010 + n * 30), &mut random);
        }
        assert!(claims.take_due(ms(1299), &mut random).is_none());
        assert!(matches!(claims.take_due(ms(1400), &mut random), Some(Due::Unanswered(_))));
    }

    #[test]
    fn an_address_that_is_denied_twice_within_a_minute_is_of_another_node() {
        let mut claims = Claims::default();
        assert!(!claims.deny(&id("a"), THERE, ms(0)));
        assert!(!claims.deny(&id("b"), THERE, ms(0)));
        assert!(!claims.deny(&id("a"), IpAddr::from([10, 0, 0, 3]), ms(0)));
        assert!(claims.deny(&id("a"), THERE, ms(59_999)));
        assert!(!claims.deny(&id("a"), THERE, ms(60_000)), "the first one is forgotten");
        for n in 0..100 {
            claims.deny(&id(&n.to_string()), THERE, ms(60_000));
        }
        assert_eq!(claims.denied.len(), MAX_CLAIMS);
    }

    #[test]
    fn their_number_is_bounded_in_all_and_by_address() {
        let (mut claims, mut random) = (Claims::default(), Random::new(1));
        for n in 0..100u8 {
            let from = IpAddr::from([10, 0, 0, n / 50]);
            let id = id(&n.to_string());
            claims.raise(&id, from.into(), None, Duration::ZERO, ms(0), &mut random);
        }
        assert_eq!(claims.open.len(), 2 * MAX_CLAIMS_OF_ADDRESS);
        for n in 0..100u8 {
            let (id, from) = (id(&format!("b{n}")), IpAddr::from([10, 0, 1, n]));
            claims.raise(&id, from.into(), None, Duration::ZERO, ms(0), &mut random);
        }
        assert_eq!(claims.open.len(), MAX_CLAIMS);
    }

    #[test]
    fn an_original_has_to_be_silent_for_as_long_as_its_interval() {
        let (mut claims, mut random) = (Claims::default(), Random::new(1));
        claims.raise(&id("a"), THERE.into(), None, ms(5000), ms(1000), &mut random);
        let mut last = ms(0);
        while let Some(due) = claims.next_due() {
            claims.take_due(due, &mut random);
            last = due;
        }
        assert_eq!(last, ms(6000));
    }

    #[test]
    fn a_pause_of_the_local_node_is_no_silence_of_the_peer() {
        let (mut claims, mut random) = raised();
        claims.shift(ms(5000));
        assert!(claims.take_due(ms(6000), &mut random).is_none());
        (0..QUESTIONS).for_each(|_| claims.note_question(&id("a"), ms(6100), &mut random));
        assert!(claims.take_due(ms(6299), &mut random).is_none());
        assert!(claims.take_due(ms(6300), &mut random).is_some());
    }
}
