//! Which senders are fresh: belief by echo, statements, and the end of belief.
//!
//! A frame that opens was sealed with the key, at some time. A sender is believed once it has echoed a
//! challenge of this node, or once a believed sender states that it is current. Only then anything that
//! it sends has an effect.

use super::block::{
    ASK, BLOCK, Block, Challenge, ECHO, MAX_ASKS, MAX_ECHOES, MAX_STATEMENTS, Outgoing, STATEMENT,
};
use super::identity::Signer;
use super::names::SenderId;
use super::proof::Proof;
use super::siphash::siphash;
use super::window::{History, Windows};
use crate::protocol::random::Random;
use crate::sort::SortedMap;
use std::time::Duration;

/// A sender under one key: belief and windows belong to both.
pub(crate) type Name = (u32, SenderId);

/// A challenge is drawn again after so many timeouts. This one and the one before are valid.
const CHALLENGE_TIMEOUTS: u32 = 5;
/// How many senders wait to be believed.
const MAX_WAITING: usize = 4096;
/// In how many heartbeats a sender that waits is asked without being heard again.
const ASKS: u8 = 3;
/// The same after it was heard again.
const ASKS_AGAIN: u8 = 2;
/// In how many heartbeats a challenge is echoed that this sender was asked for.
const ECHOED: u8 = 2;
/// How many challenges wait to be echoed.
const MAX_ASKED: usize = 256;
/// In how many heartbeats a sender is stated after it was believed.
const STATED: u8 = 3;
/// A statement may be ahead of what was heard by this much: more is not what was heard.
const AHEAD: u64 = 8192;
/// How many senders of one source are asked in one datagram while there are others.
const ASKS_PER_SOURCE: usize = 2;
/// A sender that is silent for so long, or for 15 timeouts, is not believed any more. Peers are down earlier:
/// the longest interval that a node may tell is a minute.
const FORGOTTEN: Duration = Duration::from_secs(200);
/// About how many nodes bring a heartbeat forward for a sender that is not believed.
const FORWARDING: usize = 10;
/// How many heartbeats are brought forward in one interval.
const FORWARDS_PER_INTERVAL: u32 = 10;
/// How many records there are for each peer that a node may know. A peer has one for each key, and one for its next
/// sender; one that is down is kept for ten timeouts.
const RECORDS_PER_PEER: usize = 6;
/// Among how many records one is searched that may go.
const EVICTION_SAMPLE: usize = 64;

/// The effect that a received datagram may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its sender is believed, and it is neither a repeated datagram nor one that was held back.
    Accepted,
    /// This node has sent it.
    Own,
    /// It is for another node of this process.
    ForAnother,
    Repeated,
    HeldBack,
    /// It is sealed with an older key than this node uses, and its sender has changed to that one.
    OldKey,
    /// Its signature is missing, wrong, or that of another identity.
    BadSignature,
    /// More signatures than are verified.
    TooMany,
    /// More senders of one address than may be believed in a second.
    TooManyNew,
    /// There are as many records as there may be.
    Full,
    /// Nothing beyond what [`Trust`] does itself.
    Unbelieved,
}

/// The checks of the datagram that is looked at.
pub(crate) trait Checks {
    /// Verifies the signature, given the identity of its sender. Returns the identity that the datagram shows.
    fn verify(&mut self, known: Option<Signer>) -> Result<Option<Signer>, Outcome>;

    /// Returns whether its source may have one more sender believed in this second.
    fn admit(&mut self) -> bool;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    Echo,
    Statement,
    /// It ended; the record is kept until then.
    Ended {
        until: Duration,
    },
}

struct Record {
    belief: Belief,
    /// Its identity: what its first datagram that counted has shown. Until then it is what its predecessor said.
    signer: Option<Signer>,
    /// How often belief has ended.
    ended: u32,
    windows: Windows,
    history: History,
    /// When the last control datagram was heard.
    heard: Duration,
    /// When the first datagram under this key was accepted.
    used: Option<Duration>,
    /// The sender that has named this one as the next.
    predecessor: Option<SenderId>,
    /// The one that this sender has named as the next.
    successor: Option<SenderId>,
    /// In how many heartbeats it is still to be stated.
    to_state: u8,
    /// Another node asks about it.
    wanted: bool,
}

/// A sender that is not believed.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    sender: SenderId,
    key: u32,
    challenge: Challenge,
    /// The highest counter that was heard.
    highest: u64,
    /// A number for the address that it was heard from.
    source: u16,
    asks_left: u8,
    /// A heartbeat was brought forward for it.
    forwarded: bool,
}

/// The belief of one node in its senders, from `up` to `down`. The time is monotonic.
pub(crate) struct Trust {
    own: SenderId,
    /// The own sender before, and the one that comes next.
    former: Option<SenderId>,
    next: Option<SenderId>,
    /// The own identity.
    own_signer: Option<Signer>,
    /// Whether signatures count.
    verifies: bool,
    /// The key that this node seals with.
    sealing: u32,
    own_windows: Windows,
    secret: [u8; 16],
    interval: Duration,
    timeout: Duration,
    /// Draws entries; secrets come from `secret`.
    random: Random,
    records: SortedMap<Name, Box<Record>>,
    /// How many records are believed.
    believed: usize,
    /// How many records there may be.
    capacity: usize,
    waiting: Vec<Waiting>,
    places: SortedMap<Name, u32>,
    /// Challenges that this node was asked to echo, and in how many heartbeats.
    asked: Vec<(Challenge, u8)>,
    /// How many believed senders are wanted: others ask about them.
    wanted: usize,
    /// A newcomer is to be told of others.
    welcome: bool,
    /// When the next heartbeat is wanted.
    forward: Option<Duration>,
    /// The interval in which heartbeats were brought forward, and how many.
    forwards: (u128, u32),
    /// When ended records are looked at next.
    cleaned: Duration,
}

impl Trust {
    /// `secret` has to be random.
    pub fn new(
        own: SenderId,
        secret: [u8; 16],
        interval: Duration,
        timeout: Duration,
        now: Duration,
    ) -> Self {
        let seed = siphash::<2, 4>(&secret, &[0xFF; 24]);
        Self {
            own,
            former: None,
            next: None,
            own_signer: None,
            verifies: false,
            sealing: 0,
            own_windows: Windows::default(),
            secret,
            interval,
            timeout,
            random: Random::new(seed),
            records: SortedMap::default(),
            believed: 0,
            capacity: usize::MAX,
            waiting: Vec::new(),
            places: SortedMap::default(),
            asked: Vec::new(),
            wanted: 0,
            welcome: false,
            forward: None,
            forwards: (0, 0),
            cleaned: now,
        }
    }

    /// So many peers may be known.
    pub fn limit(&mut self, peers: usize) {
        self.capacity = peers.saturating_mul(RECORDS_PER_PEER);
    }

    /// Signatures count from now on. This node has this identity, if it has one.
    pub fn verify(&mut self, own: Option<Signer>) {
        (self.own_signer, self.verifies) = (own, true);
    }

    /// The identity of a sender.
    pub fn signer(&self, name: &Name) -> Option<Signer> {
        self.records.get(name)?.signer
    }

    /// This node seals with this key from now on.
    pub fn set_sealing(&mut self, key: u32) {
        self.sealing = key;
    }

    /// Names the sender that this node uses next.
    pub fn announce(&mut self, next: SenderId) {
        self.next = Some(next);
    }

    /// This node uses another sender from now on.
    pub fn change_own(&mut self, own: SenderId) {
        self.former = Some(std::mem::replace(&mut self.own, own));
        self.next = None;
        self.own_windows = Windows::default();
    }

    fn is_own(&self, sender: SenderId) -> bool {
        sender == self.own || [self.former, self.next].contains(&Some(sender))
    }

    /// A believed sender names the one that it uses next, which is believed from its first datagram on.
    #[cold]
    pub fn succeed_sender(
        &mut self,
        name: &Name,
        next: SenderId,
        now: Duration,
        admit: impl FnOnce() -> bool,
    ) {
        if self.is_own(next) || self.records.contains_key(&(name.0, next)) {
            return;
        }
        let Some(record) = self.records.get_mut(name) else { return };
        // It has one.
        if *record.successor.get_or_insert(next) != next || !admit() {
            return;
        }
        let believed = self.records.iter().filter(|(it, _)| it.1 == name.1);
        let believed: Vec<(u32, Belief, Option<Signer>)> = believed
            .filter(|(_, record)| record.is_believed())
            .map(|(it, record)| (it.0, record.belief, record.signer))
            .collect();
        for (key, belief, signer) in believed {
            let _ = self.believe((key, next), belief, signer, 1, now);
            if let Some(record) = self.records.get_mut(&(key, next)) {
                record.predecessor = Some(name.1);
            }
        }
    }

    /// The sender that has named this one as the next.
    pub fn predecessor(&self, name: &Name) -> Option<SenderId> {
        self.records.get(name)?.predecessor
    }

    /// When the last control datagram of a sender under this key was heard, if it is believed.
    pub fn heard(&self, name: &Name) -> Option<Duration> {
        let record = self.records.get(name)?;
        (record.is_believed() && record.used.is_some()).then_some(record.heard)
    }

    /// Whether a sender has sent with the key of this node for more than a timeout.
    fn has_changed(&self, name: &Name, now: Duration) -> bool {
        self.records.get(&(self.sealing, name.1)).is_some_and(|record| {
            record.is_believed()
                && record.signer == self.signer(name)
                && record.used.is_some_and(|used| used + self.timeout < now)
        })
    }

    /// How many senders are believed.
    pub fn believed(&self) -> usize {
        self.believed
    }

    /// Whether a sender is asked, or was.
    pub fn waits(&self, name: &Name) -> bool {
        self.places.contains_key(name) || self.records.contains_key(name)
    }

    pub fn believes(&self, name: &Name) -> bool {
        self.records.get(name).is_some_and(|record| record.is_believed())
    }

    /// A frame that was opened, with its block if it is a control datagram. `source` is any number that
    /// tells addresses apart. `shown` is the identity that it shows; it is verified last of all, and before anything
    /// changes.
    pub fn receive(
        &mut self,
        proof: &Proof,
        block: Option<&Block<'_>>,
        source: u16,
        now: Duration,
        shown: Option<Signer>,
        checks: &mut dyn Checks,
    ) -> Outcome {
        if self.is_own(proof.sender) && proof.sender != self.own {
            return Outcome::Repeated;
        }
        if proof.sender == self.own {
            if !self.own_windows.admits(proof.kind(), proof.counter) {
                return Outcome::Repeated;
            }
            if self.own_signer.is_some()
                && let Err(refused) = checks.verify(self.own_signer)
            {
                return refused;
            }
            self.own_windows.note(proof.kind(), proof.counter);
            return Outcome::Own;
        }
        if proof.to.is_some_and(|to| !self.is_own(to)) {
            return Outcome::ForAnother;
        }
        let name = (proof.key, proof.sender);
        // Keys are numbered in the order in which they were added.
        if proof.key < self.sealing && self.has_changed(&name, now) {
            return Outcome::OldKey;
        }
        let block = block.filter(|_| proof.class.is_control());
        let echoes = block.is_some_and(|block| self.is_echoed(&name, block, now));
        if echoes && !self.verifies {
            // Also if the datagram itself does not count: it is not to be asked again.
            self.remove_waiting(&name);
        }
        let timeout = self.timeout;
        let record = self.records.get_mut(&name).filter(|record| record.is_believed());
        // A sender whose identity was not verified may be the invention of another member: one that signs takes its
        // place, once it has proven itself.
        let is_first = |record: &Record| {
            shown.is_some() && shown != record.signer && record.verified().is_none()
        };
        match record.filter(|record| !is_first(record)) {
            Some(record) => {
                if record.belief == Belief::Statement && echoes {
                    // Its own word counts more, also if it is a lower counter.
                    record.windows.begin(proof.counter);
                    record.belief = Belief::Echo;
                }
                if !record.windows.admits(proof.kind(), proof.counter) {
                    // The statement may have named a counter that is too high.
                    if record.belief == Belief::Statement
                        && let Some(block) = block
                    {
                        self.wait(proof, block, source, now);
                    }
                    return Outcome::Repeated;
                }
                let Record { windows, history, signer, used, .. } = &mut **record;
                if !history.admits(proof.kind(), proof.counter, windows, now, timeout) {
                    return Outcome::HeldBack;
                }
                // The first datagram of a successor has to be signed.
                let all = used.is_none();
                let known = signer.map(|it| Signer { all: it.all || all, ..it });
                if let Err(refused) = checks.verify(known) {
                    return refused;
                }
                windows.note(proof.kind(), proof.counter);
                record.used.get_or_insert(now);
                if let Some(block) = block {
                    record.heard = now;
                    if echoes {
                        self.remove_waiting(&name);
                    }
                    self.read_asks(Some(proof.key), block, now);
                    self.read_statements(proof.key, block, now, checks);
                }
                Outcome::Accepted
            }
            None => {
                let Some(block) = block else { return Outcome::Unbelieved };
                self.read_asks(None, block, now);
                if !echoes {
                    self.wait(proof, block, source, now);
                    return Outcome::Unbelieved;
                }
                let known = self.records.get(&name).and_then(|record| record.verified());
                let signer = match checks.verify(known) {
                    Ok(signer) => signer,
                    Err(refused) => return refused,
                };
                let believed = match checks.admit() {
                    true => self.believe(name, Belief::Echo, signer, proof.counter, now),
                    false => Err(Outcome::TooManyNew),
                };
                if let Err(refused) = believed {
                    // It is asked again.
                    self.wait(proof, block, source, now);
                    return refused;
                }
                if let Some(record) = self.records.get_mut(&name) {
                    record.windows.note(proof.kind(), proof.counter);
                    record.used = Some(now);
                }
                self.read_statements(proof.key, block, now, checks);
                Outcome::Accepted
            }
        }
    }

    /// The peer is down, or has left: the sender has to prove itself again, by an echo of its own.
    pub fn end(&mut self, name: &Name, now: Duration) {
        let kept = 2 * CHALLENGE_TIMEOUTS * self.timeout;
        if let Some(record) = self.records.get_mut(name).filter(|record| record.is_believed()) {
            record.belief = Belief::Ended { until: now + kept };
            record.ended += 1;
            self.believed -= 1;
        }
    }

    /// A key is no longer accepted: nothing is believed under it.
    pub fn forget_key(&mut self, key: u32) {
        self.records.retain_pairs(|name, _| name.0 != key);
        self.believed = self.records.iter().filter(|(_, record)| record.is_believed()).count();
        self.waiting.retain(|it| it.key != key);
        self.places.clear();
        for (it, place) in self.waiting.iter().zip(0..) {
            self.places.insert((it.key, it.sender), place);
        }
    }

    /// Whether a sender waits for an answer of this one.
    pub fn is_asked(&self) -> bool {
        self.asked.iter().any(|(_, times)| *times == ECHOED)
    }

    /// When a heartbeat should be sent, if before the next one.
    pub fn wants_heartbeat(&self) -> Option<Duration> {
        self.forward
    }

    /// A believed sender may use another key next: it is believed under that key, too, from the counter of
    /// the datagram that says so.
    pub fn succeed(&mut self, name: &Name, key: u32, counter: u64, now: Duration) {
        let next = (key, name.1);
        let record = self.records.get(name).filter(|it| it.is_believed());
        if let Some((belief, signer)) = record.map(|it| (it.belief, it.signer))
            && !self.records.contains_key(&next)
        {
            let _ = self.believe(next, belief, signer, counter, now);
        }
    }

    /// The block of the heartbeat that is sent now, of at most `room` bytes. `next` names the other keys
    /// that this sender may use.
    pub fn heartbeat(&mut self, room: usize, next: &[u64], now: Duration) -> Vec<u8> {
        self.forward = None;
        self.clean(now);
        let mut statements: Vec<_> = next.iter().map(|&key| (self.own, key)).collect();
        // No counter is zero: this stands for the sender that comes next.
        statements.extend(self.next.map(|sender| (sender, 0)));
        let mut room = room.saturating_sub(BLOCK + statements.len() * STATEMENT);
        let mut block = Outgoing {
            challenge: self.challenge(self.epoch(now)),
            statements,
            ..Outgoing::default()
        };
        // Answers to this sender's own name go first: no recording of earlier times can ask for them.
        let echoes = MAX_ECHOES.min(room / ECHO).min(self.asked.len());
        for drawn in 0..echoes {
            let at = drawn + self.random.next() as usize % (self.asked.len() - drawn);
            self.asked.swap(drawn, at);
            self.asked[drawn].1 -= 1;
            block.echoes.push(self.asked[drawn].0);
        }
        self.asked.retain(|(_, times)| *times > 0);
        room -= echoes * ECHO;
        for place in self.draw_waiting(MAX_ASKS.min(room / ASK)) {
            let entry = self.waiting[place as usize];
            let name = (entry.key, entry.sender);
            block.asks.push((entry.sender, self.challenge_for(&name, now)));
            room -= ASK;
            self.waiting[place as usize].asks_left -= 1;
            // A sender that is asked is likely to ask in turn: this spares it the question.
            if block.echoes.len() < MAX_ECHOES && room >= ECHO {
                block.echoes.push(entry.challenge);
                room -= ECHO;
            }
        }
        block.write()
    }

    /// The present challenge for all.
    pub fn present_challenge(&self, now: Duration) -> Challenge {
        self.challenge(self.epoch(now))
    }

    /// The block of an answer to a datagram by unicast, if there is anything to answer, of at most `room`
    /// bytes: its sender may not hear the group.
    pub fn answer(
        &self,
        name: &Name,
        block: &Block<'_>,
        room: usize,
        now: Duration,
    ) -> Option<Vec<u8>> {
        let asked = block.asks().filter(|(sender, _)| *sender == self.own);
        let mut echoes: Vec<Challenge> = asked.map(|(_, challenge)| challenge).collect();
        let mut asks = Vec::new();
        if !self.believes(name) {
            asks.push((name.1, self.challenge_for(name, now)));
            echoes.push(block.challenge);
        }
        if echoes.is_empty() {
            return None;
        }
        let challenge = self.present_challenge(now);
        let answer = Outgoing { challenge, asks, echoes, ..Outgoing::default() }.write();
        (answer.len() <= room).then_some(answer)
    }

    /// The block of a datagram with statements, if there is anything to state. To be called with each
    /// heartbeat.
    pub fn statements(&mut self, key: u32, room: usize, now: Duration) -> Option<Vec<u8>> {
        let most = MAX_STATEMENTS.min(room.saturating_sub(BLOCK) / STATEMENT);
        let since = now.saturating_sub(self.interval + self.interval / 2);
        self.wanted = 0;
        // Beside these, all that may be stated: a newcomer is told of them.
        let (mut statements, mut others) = (Vec::new(), Vec::new());
        self.records.retain_pairs(|name, record| {
            let is_due = std::mem::take(&mut record.wanted) | (record.to_state > 0);
            if record.is_believed() {
                record.to_state = record.to_state.saturating_sub(1);
                if name.0 == key && record.heard >= since {
                    let list = if is_due { &mut statements } else { &mut others };
                    list.push((name.1, record.windows.current()));
                }
            }
            true
        });
        if std::mem::take(&mut self.welcome) && statements.len() < most {
            statements.append(&mut others);
        }
        while statements.len() > most {
            let at = self.random.next() as usize % statements.len();
            statements.swap_remove(at);
        }
        if statements.is_empty() {
            return None;
        }
        let challenge = self.challenge(self.epoch(now));
        Some(Outgoing { challenge, statements, ..Outgoing::default() }.write())
    }

    fn epoch(&self, now: Duration) -> u64 {
        (now.as_nanos() / (CHALLENGE_TIMEOUTS * self.timeout).as_nanos().max(1)) as u64
    }

    /// The challenge for all senders in an epoch.
    fn challenge(&self, epoch: u64) -> Challenge {
        let mut input = [0; 24];
        input[16..].copy_from_slice(&epoch.to_be_bytes());
        siphash::<2, 4>(&self.secret, &input).to_be_bytes()
    }

    /// The challenge that only a sender in which belief has ended can answer, each time another one.
    fn own_challenge(&self, sender: &SenderId, ended: u32) -> Challenge {
        let mut input = [1; 24];
        input[..12].copy_from_slice(&sender.0);
        input[12..16].copy_from_slice(&ended.to_be_bytes());
        siphash::<2, 4>(&self.secret, &input).to_be_bytes()
    }

    /// The challenge that a sender has to echo.
    fn challenge_for(&self, name: &Name, now: Duration) -> Challenge {
        match self.records.get(name) {
            Some(record) if record.ended > 0 => self.own_challenge(&name.1, record.ended),
            _ => self.challenge(self.epoch(now)),
        }
    }

    /// Whether a block echoes what its sender has to.
    fn is_echoed(&self, name: &Name, block: &Block<'_>, now: Duration) -> bool {
        let echoes = block.echoes();
        if echoes.is_empty() {
            return false;
        }
        match self.records.get(name) {
            Some(record) if record.ended > 0 => {
                echoes.contains(&self.own_challenge(&name.1, record.ended))
            }
            _ => {
                let epoch = self.epoch(now);
                let before = epoch.checked_sub(1).map(|epoch| self.challenge(epoch));
                let valid = [Some(self.challenge(epoch)), before];
                echoes.iter().any(|echo| valid.contains(&Some(*echo)))
            }
        }
    }

    /// Believes a sender from this counter on, if there is room for its record.
    fn believe(
        &mut self,
        name: Name,
        belief: Belief,
        signer: Option<Signer>,
        counter: u64,
        now: Duration,
    ) -> Result<(), Outcome> {
        let is_new = !self.records.contains_key(&name);
        if is_new && self.records.len() >= self.capacity && !self.make_room(now) {
            return Err(Outcome::Full);
        }
        let history = History::new(now, self.timeout);
        let windows = Windows::from(counter);
        match self.records.get_mut(&name) {
            Some(record) if record.signer != signer => {
                // Nothing that came without the signature counts any more.
                self.believed -= usize::from(record.is_believed());
                (record.windows, record.history, record.signer) = (windows, history, signer);
                (record.belief, record.heard, record.used) = (belief, now, None);
            }
            Some(record) => {
                // Counters that were seen before belief ended stay seen.
                record.windows.begin(counter);
                (record.belief, record.heard, record.to_state) = (belief, now, STATED);
                record.used = None;
            }
            None => {
                let record = Box::new(Record {
                    belief,
                    signer,
                    ended: 0,
                    windows,
                    history,
                    heard: now,
                    used: None,
                    predecessor: None,
                    successor: None,
                    to_state: STATED,
                    wanted: false,
                });
                self.records.insert(name, record);
            }
        }
        self.believed += 1;
        self.remove_waiting(&name);
        // Some of the members tell a newcomer of the others: together three times as many as there are.
        let datagrams = 3 * (self.believed / MAX_STATEMENTS + 1);
        self.welcome |= self.random.next() as usize % self.believed < datagrams;
        Ok(())
    }

    /// Removes the record that is silent for longest, of some that can be spared. Returns whether there was one.
    ///
    /// Recordings of its sender must not count again. They do not if all challenges have expired that were valid
    /// when it was heard last, or if nothing of it has counted but the datagram by which it was believed.
    #[cold]
    fn make_room(&mut self, now: Duration) -> bool {
        let expired = 2 * CHALLENGE_TIMEOUTS * self.timeout;
        let mut spared: Option<(Duration, Name)> = None;
        for _ in 0..EVICTION_SAMPLE {
            let at = self.random.next() as usize % self.records.len();
            let Some((name, record)) = self.records.at(at) else { continue };
            let may_go = match record.belief {
                Belief::Ended { until } => now >= until,
                _ => {
                    record.windows.has_one_at_most()
                        || record.history.heard_before() + expired <= now
                }
            };
            if may_go && spared.is_none_or(|(heard, _)| record.heard < heard) {
                spared = Some((record.heard, *name));
            }
        }
        let Some(record) = spared.and_then(|(_, name)| self.records.remove(&name)) else {
            return false;
        };
        self.believed -= usize::from(record.is_believed());
        true
    }

    /// Asks that name this sender, and those about senders that are believed if the one that asks is
    /// believed under `key`.
    fn read_asks(&mut self, key: Option<u32>, block: &Block<'_>, now: Duration) {
        for (sender, challenge) in block.asks() {
            if sender == self.own {
                match self.asked.iter_mut().find(|(known, _)| *known == challenge) {
                    Some((_, times)) => *times = ECHOED,
                    None => {
                        if self.asked.len() == MAX_ASKED {
                            let at = self.random.next() as usize % MAX_ASKED;
                            self.asked.swap_remove(at);
                        }
                        self.asked.push((challenge, ECHOED));
                    }
                }
                self.bring_forward(now);
            } else if let Some(key) = key
                && self.wanted < 4 * MAX_STATEMENTS
                && let Some(record) = self.records.get_mut(&(key, sender))
                && record.is_believed()
            {
                self.wanted += usize::from(!std::mem::replace(&mut record.wanted, true));
            }
        }
    }

    fn read_statements(
        &mut self,
        key: u32,
        block: &Block<'_>,
        now: Duration,
        checks: &mut dyn Checks,
    ) {
        // Where signatures count, a member says nothing about another one.
        if self.verifies {
            return;
        }
        for (sender, counter) in block.statements().filter(|(_, counter)| *counter > 0) {
            let name = (key, sender);
            if let Some(record) = self.records.get_mut(&name) {
                // One statement less is needed.
                record.to_state = record.to_state.saturating_sub(1);
                continue;
            }
            // Only what was heard here as well, and never a sender in which belief has ended.
            let Some(&place) = self.places.get(&name) else { continue };
            let heard = self.waiting[place as usize].highest;
            if counter <= heard.saturating_add(AHEAD) && checks.admit() {
                let _ = self.believe(name, Belief::Statement, None, counter, now);
            }
        }
    }

    /// Notes a sender that is not believed.
    fn wait(&mut self, proof: &Proof, block: &Block<'_>, source: u16, now: Duration) {
        let name = (proof.key, proof.sender);
        let place = match self.places.get(&name) {
            Some(&place) => {
                let entry = &mut self.waiting[place as usize];
                if proof.counter <= entry.highest {
                    return;
                }
                (entry.highest, entry.challenge) = (proof.counter, block.challenge);
                entry.asks_left = entry.asks_left.max(ASKS_AGAIN);
                place
            }
            None => {
                let entry = Waiting {
                    sender: proof.sender,
                    key: proof.key,
                    challenge: block.challenge,
                    highest: proof.counter,
                    source,
                    asks_left: ASKS,
                    forwarded: false,
                };
                let place = if self.waiting.len() < MAX_WAITING {
                    self.waiting.push(entry);
                    self.waiting.len() - 1
                } else {
                    let place = self.random.next() as usize % MAX_WAITING;
                    let former = std::mem::replace(&mut self.waiting[place], entry);
                    self.places.remove(&(former.key, former.sender));
                    place
                };
                self.places.insert(name, place as u32);
                place as u32
            }
        };
        let chosen = self.random.next() as usize % (self.believed + 1) < FORWARDING;
        if !std::mem::replace(&mut self.waiting[place as usize].forwarded, true) && chosen {
            self.bring_forward(now);
        }
    }

    fn remove_waiting(&mut self, name: &Name) {
        let Some(place) = self.places.remove(name) else { return };
        self.waiting.swap_remove(place as usize);
        if let Some(moved) = self.waiting.get(place as usize) {
            self.places.insert((moved.key, moved.sender), place);
        }
    }

    /// Draws senders that are to be asked. Those of one source do not keep others out.
    fn draw_waiting(&mut self, most: usize) -> Vec<u32> {
        let mut open: Vec<u32> = (0..self.waiting.len() as u32)
            .filter(|&place| self.waiting[place as usize].asks_left > 0)
            .collect();
        let mut drawn: Vec<u32> = Vec::with_capacity(most);
        let mut passed_over = Vec::new();
        while drawn.len() < most && !open.is_empty() {
            let at = self.random.next() as usize % open.len();
            let place = open.swap_remove(at);
            let source = self.waiting[place as usize].source;
            let same = |it: &&u32| self.waiting[**it as usize].source == source;
            match drawn.iter().filter(same).count() < ASKS_PER_SOURCE {
                true => drawn.push(place),
                false => passed_over.push(place),
            }
        }
        passed_over.truncate(most - drawn.len());
        drawn.append(&mut passed_over);
        drawn
    }

    /// Wants a heartbeat soon: at a random time, so that a group does not answer all at once.
    fn bring_forward(&mut self, now: Duration) {
        let interval = now.as_nanos() / self.interval.as_nanos().max(1);
        if self.forwards.0 != interval {
            self.forwards = (interval, 0);
        }
        if self.forward.is_some() || self.forwards.1 >= FORWARDS_PER_INTERVAL {
            return;
        }
        self.forwards.1 += 1;
        let group = self.believed + self.waiting.len();
        let spread = Duration::from_millis(2 * group as u64).min(self.interval);
        self.forward = Some(now + spread.mul_f64(self.random.fraction()));
    }

    /// Ends belief in senders that were silent for long, and forgets ended records once all challenges
    /// that were valid then have expired.
    fn clean(&mut self, now: Duration) {
        if now < self.cleaned + self.timeout {
            return;
        }
        self.cleaned = now;
        let silent = FORGOTTEN.max(15 * self.timeout);
        let silent: Vec<Name> = self
            .records
            .iter()
            .filter(|(_, record)| record.is_believed() && record.heard + silent <= now)
            .map(|(name, _)| *name)
            .collect();
        silent.iter().for_each(|name| self.end(name, now));
        self.records.retain(|record| match record.belief {
            Belief::Ended { until } => now < until,
            _ => true,
        });
    }
}

impl Record {
    fn is_believed(&self) -> bool {
        !matches!(self.belief, Belief::Ended { .. })
    }

    /// Its identity, if a signature of it was verified.
    fn verified(&self) -> Option<Signer> {
        self.signer.filter(|_| self.used.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Class;
    use super::*;
    use crate::sort::sort_short;

    const INTERVAL: Duration = Duration::from_millis(1000);
    const TIMEOUT: Duration = Duration::from_millis(2000);
    /// The room that a heartbeat of some metadata leaves in a datagram.
    const ROOM: usize = 900;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn sender(number: u64) -> SenderId {
        let mut id = [0; 12];
        id[..8].copy_from_slice(&number.to_be_bytes());
        SenderId(id)
    }

    /// Signatures do not count, and one source has any number of senders.
    struct Anything;

    impl Checks for Anything {
        fn verify(&mut self, _: Option<Signer>) -> Result<Option<Signer>, Outcome> {
            Ok(None)
        }

        fn admit(&mut self) -> bool {
            true
        }
    }

    /// A control datagram as it was sent: what an attacker can record.
    #[derive(Clone)]
    struct Sent {
        sender: SenderId,
        counter: u64,
        class: Class,
        block: Vec<u8>,
    }

    impl Sent {
        fn proof(&self) -> Proof {
            let Self { sender, counter, class, .. } = *self;
            Proof { key: 0, sender, counter, class, to: None, signed: false }
        }
    }

    /// One node: the heartbeats of an engine around a [`Trust`].
    struct Node {
        trust: Trust,
        sender: SenderId,
        counter: u64,
        up: Duration,
        due: Duration,
        last: Duration,
        hellos: Vec<Duration>,
        random: Random,
        source: u16,
    }

    impl Node {
        fn new(number: u64, now: Duration) -> Self {
            let mut random = Random::new(number ^ 0xABCD);
            let secret = std::array::from_fn(|_| random.next() as u8);
            let sender = sender(number);
            let trust = Trust::new(sender, secret, INTERVAL, TIMEOUT, now);
            let hellos = vec![now + ms(150), now + ms(30)];
            let source = number as u16;
            let (up, last, counter) = (now, Duration::ZERO, 0);
            Self { trust, sender, counter, up, due: now, last, hellos, random, source }
        }

        fn next(&self) -> Duration {
            let forward = self.trust.wants_heartbeat().map(|at| at.max(self.last + ms(20)));
            let hello = self.hellos.last().copied();
            [Some(self.due), forward, hello].into_iter().flatten().min().expect("one is due")
        }

        fn sent(&mut self, class: Class, block: Vec<u8>) -> Sent {
            self.counter += 1;
            Sent { sender: self.sender, counter: self.counter, class, block }
        }

        fn beat(&mut self, now: Duration) -> Vec<Sent> {
            self.hellos.pop_if(|at| *at <= now);
            self.last = now;
            self.due = now + INTERVAL.mul_f64(0.95 + 0.1 * self.random.fraction());
            let block = self.trust.heartbeat(ROOM, &[], now);
            let mut all = vec![self.sent(Class::Heartbeat, block)];
            if let Some(block) = self.trust.statements(0, 1300, now) {
                all.push(self.sent(Class::Presence, block));
            }
            all
        }

        fn receive(&mut self, sent: &Sent, source: u16, now: Duration) -> Outcome {
            let (block, _) = Block::read(&sent.block).expect("it was written");
            self.trust.receive(&sent.proof(), Some(&block), source, now, None, &mut Anything)
        }
    }

    struct Group {
        nodes: Vec<Node>,
        now: Duration,
        loss: f64,
        random: Random,
        datagrams: u64,
        bytes: u64,
        /// All that was sent, if it is recorded.
        recording: Option<Vec<Sent>>,
    }

    impl Group {
        fn new(count: u64, loss: f64, seed: u64) -> Self {
            let now = ms(100_000);
            let mut random = Random::new(seed);
            // They start within 100 ms.
            let node = |number| {
                let start = now + ms(100).mul_f64(random.fraction());
                Node::new(seed << 32 | number, start)
            };
            let nodes = (1..=count).map(node).collect();
            Self { nodes, now, loss, random, datagrams: 0, bytes: 0, recording: None }
        }

        /// Sends what is due until then.
        fn run(&mut self, until: Duration) {
            loop {
                let (at, next) = self
                    .nodes
                    .iter()
                    .map(Node::next)
                    .enumerate()
                    .min_by_key(|(_, next)| *next)
                    .expect("there are nodes");
                if next > until {
                    self.now = until;
                    return;
                }
                self.now = self.now.max(next);
                let source = self.nodes[at].source;
                for sent in self.nodes[at].beat(self.now) {
                    self.datagrams += 1;
                    self.bytes += sent.block.len() as u64;
                    self.deliver(&sent, source);
                }
            }
        }

        fn deliver(&mut self, sent: &Sent, source: u16) {
            if let Some(recording) = &mut self.recording {
                recording.push(sent.clone());
            }
            let now = self.now;
            for node in self.nodes.iter_mut().filter(|node| node.up <= now) {
                if self.loss == 0.0 || self.random.fraction() >= self.loss {
                    node.receive(sent, source, self.now);
                }
            }
        }

        fn is_complete(&self) -> bool {
            self.nodes.iter().all(|node| node.trust.believed() == self.nodes.len() - 1)
        }

        /// The time until all believe all.
        fn complete(&mut self, most: Duration) -> Option<Duration> {
            let start = self.now;
            while self.now < start + most {
                self.run(self.now + ms(50));
                if self.is_complete() {
                    return Some(self.now - start);
                }
            }
            None
        }
    }

    #[test]
    fn first_contact_costs_a_question_and_an_answer() {
        for (loss, median, worst) in [(0.0, 100, 200), (0.1, 150, 2500), (0.3, 500, 6000)] {
            let mut times: Vec<u64> = (1..200)
                .map(|seed| {
                    let mut group = Group::new(2, loss, seed);
                    group.complete(ms(30_000)).expect("they meet").as_millis() as u64
                })
                .collect();
            sort_short(&mut times, |time| *time);
            println!("loss {loss}: median {} worst {}", times[99], times[198]);
            assert!(times[99] <= median && times[198] <= worst, "{loss}: {times:?}");
        }
    }

    /// Nodes start together: returns the time until each one believes all others.
    fn start(count: u64, loss: f64, seed: u64) -> Duration {
        let mut group = Group::new(count, loss, seed);
        let time = group.complete(ms(10_000)).expect("all are believed");
        let (datagrams, bytes) = (group.datagrams, group.bytes);
        println!("{count} nodes, loss {loss}: {time:?}, {datagrams} datagrams, {bytes} bytes");
        time
    }

    #[test]
    fn a_group_that_starts_is_believed_as_docs_security_says() {
        for seed in 1..=8 {
            assert!(start(20, 0.0, seed) <= ms(1000));
            assert!(start(100, 0.0, seed) <= ms(1000));
            assert!(start(100, 0.1, seed) <= ms(3000));
            assert!(start(100, 0.3, seed) <= ms(4000));
        }
    }

    #[test]
    fn a_thousand_nodes_that_start_are_all_believed_within_three_seconds() {
        assert!(start(1000, 0.0, 7) <= ms(3000));
    }

    /// A group that knows each other, with all that it has sent.
    fn settled(count: u64, seed: u64) -> Group {
        let mut group = Group::new(count, 0.0, seed);
        group.recording = Some(Vec::new());
        group.complete(ms(5000)).expect("all are believed");
        group.run(group.now + ms(5000));
        group
    }

    /// Adds a node that comes up now; returns its place.
    fn join(group: &mut Group, number: u64) -> usize {
        group.nodes.push(Node::new(number, group.now));
        group.nodes.len() - 1
    }

    /// Delivers recorded datagrams to all, as many as the attacker likes, from one address.
    fn replay(group: &mut Group, recorded: &[Sent]) {
        let recording = group.recording.take();
        recorded.iter().for_each(|sent| group.deliver(sent, 999));
        group.recording = recording;
    }

    #[test]
    fn a_newcomer_is_believed_by_a_group_and_believes_it() {
        for count in [2, 20, 200] {
            let mut group = settled(count, 3);
            let before = group.datagrams;
            join(&mut group, 77);
            let time = group.complete(ms(5000));
            let sent = group.datagrams - before;
            println!("a newcomer among {count}: {time:?}, {sent} datagrams");
            assert!(time.is_some_and(|time| time <= ms(3000)), "{count}: {time:?}");
        }
    }

    #[test]
    fn a_recording_is_believed_by_nobody_who_comes_later() {
        // All of the recorded group is gone; the receivers are new: both sides have restarted.
        let recorded = settled(20, 4).recording.unwrap();
        let mut group = Group::new(3, 0.0, 5);
        group.now = ms(150_000);
        group.nodes.iter_mut().for_each(|node| *node = Node::new(node.source.into(), ms(150_000)));
        for _ in 0..10 {
            for part in recorded.chunks(500) {
                replay(&mut group, part);
                group.run(group.now + ms(100));
            }
        }
        assert!(group.is_complete(), "the two others, and none of the recording");
    }

    #[test]
    fn a_recording_of_the_session_changes_nothing() {
        let mut group = settled(5, 6);
        let recorded = group.recording.clone().unwrap();
        for (number, node) in group.nodes.iter_mut().enumerate() {
            for sent in &recorded {
                let outcome = node.receive(sent, 999, group.now);
                assert_eq!(outcome, Outcome::Repeated, "{number} {}", sent.counter);
            }
        }
    }

    #[test]
    fn belief_that_ended_comes_back_only_by_an_echo_for_this_sender_alone() {
        let mut group = settled(3, 8);
        let recorded = group.recording.clone().unwrap();
        let gone = (0, group.nodes[2].sender);
        // The last heartbeats of the third were withheld from the first, with echoes that are valid.
        let third = group.nodes.remove(2);
        let mut withheld = Vec::new();
        let mut third = third;
        for _ in 0..5 {
            group.run(group.now + ms(1000));
            withheld.extend(third.beat(group.now));
        }
        group.nodes[0].trust.end(&gone, group.now);
        assert_eq!(group.nodes[0].trust.believed(), 1);
        // For as long as any challenge of that time is valid, and beyond.
        for _ in 0..40 {
            for sent in recorded.iter().chain(&withheld).filter(|sent| sent.sender == gone.1) {
                let outcome = group.nodes[0].receive(sent, 999, group.now);
                assert_eq!(outcome, Outcome::Unbelieved);
            }
            // A statement of the second, which still believes in the third, does not help either.
            let counter = group.nodes[1].trust.records.get(&gone).unwrap().windows.highest();
            let challenge = [0; 8];
            let statements = vec![(gone.1, counter)];
            let block = Outgoing { challenge, statements, ..Outgoing::default() }.write();
            let sent = group.nodes[1].sent(Class::Presence, block);
            let now = group.now;
            assert_eq!(group.nodes[0].receive(&sent, 2, now), Outcome::Accepted);
            assert!(!group.nodes[0].trust.believes(&gone), "at {:?}", group.now);
            group.run(group.now + ms(500));
            if group.now > ms(100_000) + ms(30_000) {
                break;
            }
        }
        // The third itself comes back.
        group.nodes.push(third);
        assert!(group.complete(ms(4000)).is_some());
    }

    #[test]
    fn each_end_of_belief_asks_for_another_echo() {
        let now = ms(100_000);
        let mut node = Node::new(1, now);
        let name = (0, sender(2));
        let echo = |challenge: Challenge, counter| {
            let block = Outgoing { echoes: vec![challenge], ..Outgoing::default() }.write();
            Sent { sender: name.1, counter, class: Class::Heartbeat, block }
        };
        let mut recorded: Vec<Sent> = Vec::new();
        for counter in 1..=4 {
            for old in &recorded {
                assert_eq!(node.receive(old, 2, now), Outcome::Unbelieved, "{counter}");
            }
            let sent = echo(node.trust.challenge_for(&name, now), counter);
            assert_eq!(node.receive(&sent, 2, now), Outcome::Accepted, "{counter}");
            node.trust.end(&name, now);
            recorded.push(sent);
        }
    }

    #[test]
    fn one_that_asks_without_end_gets_ten_heartbeats_in_an_interval_and_takes_little_memory() {
        let now = ms(100_000);
        let mut node = Node::new(1, now);
        let (mut brought_forward, mut drawn) = (0, 0_u64);
        for counter in 1..=200 {
            let asks = (0..MAX_ASKS).map(|_| {
                drawn += 1;
                (node.sender, drawn.to_be_bytes())
            });
            let block = Outgoing { asks: asks.collect(), ..Outgoing::default() }.write();
            let sent = Sent { sender: sender(2), counter, class: Class::Presence, block };
            node.receive(&sent, 2, now);
            assert!(node.trust.asked.len() <= MAX_ASKED);
            if node.trust.wants_heartbeat().is_some() {
                brought_forward += 1;
                node.trust.heartbeat(ROOM, &[], now);
            }
        }
        assert_eq!(brought_forward, FORWARDS_PER_INTERVAL);
        assert_eq!(node.trust.asked.len(), MAX_ASKED);
    }

    #[test]
    fn after_the_record_is_gone_no_recorded_echo_is_valid() {
        for wait in [0, 1000, 9000, 19_000, 20_000, 21_000, 40_000] {
            let mut group = settled(2, 9);
            let recorded = group.recording.clone().unwrap();
            let gone = group.nodes.remove(1);
            group.nodes[0].trust.end(&(0, gone.sender), group.now);
            group.run(group.now + ms(wait));
            for sent in recorded.iter().filter(|sent| sent.sender == gone.sender) {
                let outcome = group.nodes[0].receive(sent, 999, group.now);
                assert_eq!(outcome, Outcome::Unbelieved, "after {wait} ms");
            }
            let is_gone = group.nodes[0].trust.records.len() == 0;
            assert!(if wait < 20_000 { !is_gone } else { wait < 23_000 || is_gone }, "{wait}");
        }
    }

    #[test]
    fn what_was_held_back_is_refused() {
        let mut group = settled(2, 10);
        let mut held = Vec::new();
        let mut second = group.nodes.remove(1);
        for at in 0..12 {
            group.run(group.now + ms(500));
            for sent in second.beat(group.now) {
                match at {
                    0 => held.push(sent),
                    _ => drop(group.nodes[0].receive(&sent, 2, group.now)),
                }
            }
        }
        for sent in held {
            assert_eq!(group.nodes[0].receive(&sent, 2, group.now), Outcome::HeldBack);
        }
    }

    #[test]
    fn a_statement_of_a_counter_that_is_too_high_mutes_nobody_for_long() {
        for ahead in [1000, AHEAD, AHEAD + 1, u64::MAX / 2] {
            let mut group = settled(3, 11);
            let place = join(&mut group, 55);
            let newcomer = group.nodes[place].sender;
            let now = group.now;
            let hello = group.nodes[place].beat(now).remove(0);
            group.nodes[0].receive(&hello, 55, now);
            let statements = vec![(newcomer, hello.counter.saturating_add(ahead))];
            let block = Outgoing { statements, ..Outgoing::default() }.write();
            let lie = group.nodes[1].sent(Class::Presence, block);
            assert_eq!(group.nodes[0].receive(&lie, 2, now), Outcome::Accepted);
            assert_eq!(group.nodes[0].trust.believes(&(0, newcomer)), ahead <= AHEAD);
            let mut accepted = None;
            while accepted.is_none() && group.now < now + ms(3000) {
                group.run(group.now + ms(50));
                let record = group.nodes[0].trust.records.get(&(0, newcomer));
                accepted = record.filter(|it| it.belief == Belief::Echo).map(|_| group.now - now);
            }
            assert!(accepted.is_some(), "ahead by {ahead}");
        }
    }

    #[test]
    fn ten_thousand_recordings_keep_no_newcomer_out() {
        let recorded: Vec<Sent> = (0..10_000)
            .map(|number| {
                let mut node = Node::new(1_000_000 + number, ms(1));
                node.beat(ms(1)).remove(0)
            })
            .collect();
        let mut group = settled(20, 12);
        let before = group.datagrams;
        for part in recorded.chunks(100) {
            replay(&mut group, part);
            group.run(group.now + ms(10));
        }
        let sent = group.datagrams - before;
        println!("{sent} datagrams of 20 nodes in the second of the flood");
        assert!(sent <= 20 * 12, "{sent} datagrams");
        assert!(group.nodes.iter().all(|node| node.trust.waiting.len() <= MAX_WAITING));
        let place = join(&mut group, 99);
        let start = group.now;
        while !group.is_complete() && group.now < start + ms(10_000) {
            let at = (group.now - start).as_millis() as usize / 10 * 100 % 10_000;
            replay(&mut group, &recorded[at..at + 100]);
            group.run(group.now + ms(10));
        }
        let time = group.now - start;
        println!("the newcomer is known after {time:?}");
        assert!(time <= ms(3000), "{time:?}, {} believed", group.nodes[place].trust.believed());
    }

    /// A group whose first node keeps sixty records, and senders that a member makes up, which have answered.
    struct Crowded {
        group: Group,
        made_up: u64,
    }

    impl Crowded {
        fn new() -> Self {
            let mut group = settled(5, 20);
            group.nodes[0].trust.limit(10);
            Self { group, made_up: 0 }
        }

        /// The next sender says so many datagrams.
        fn speak(&mut self, datagrams: u64) -> Vec<Outcome> {
            self.made_up += 1;
            let (sender, now) = (sender(self.made_up), self.group.now);
            let trust = &mut self.group.nodes[0].trust;
            let echoes = vec![trust.present_challenge(now)];
            let block = Outgoing { echoes, ..Outgoing::default() }.write();
            let said =
                |counter| Sent { sender, counter, class: Class::Heartbeat, block: block.clone() };
            let heard = (1..=datagrams).map(|it| self.group.nodes[0].receive(&said(it), 999, now));
            heard.collect()
        }

        fn assert_bounded_and_unharmed(&self) {
            let trust = &self.group.nodes[0].trust;
            assert!(trust.records.len() <= 60, "{}", trust.records.len());
            let believed = trust.records.iter().filter(|(_, it)| it.is_believed()).count();
            assert_eq!(trust.believed, believed);
            assert!(self.group.nodes[1..].iter().all(|it| trust.believes(&(0, it.sender))));
        }
    }

    #[test]
    fn senders_that_a_member_makes_up_fill_a_bounded_number_of_records() {
        let mut crowded = Crowded::new();
        // Each takes the place of another one that has spoken once.
        for _ in 0..5000 {
            assert_eq!(crowded.speak(1), [Outcome::Accepted]);
            crowded.assert_bounded_and_unharmed();
        }
        // Those that have spoken twice stay, as their recordings would count again.
        let heard: Vec<_> = (0..5000).map(|_| crowded.speak(2)).collect();
        let refused = heard.iter().filter(|it| **it == [Outcome::Full, Outcome::Full]).count();
        let accepted = heard.iter().filter(|it| **it == [Outcome::Accepted; 2]).count();
        assert_eq!((accepted, refused), (56, 4944));
        crowded.assert_bounded_and_unharmed();
        // Until all that they have echoed has expired.
        let last = crowded.group.now;
        crowded.group.run(last + ms(19_000));
        assert_eq!(crowded.speak(1), [Outcome::Full]);
        crowded.group.run(last + ms(21_000));
        assert_eq!(crowded.speak(1), [Outcome::Accepted]);
        crowded.assert_bounded_and_unharmed();
    }

    #[test]
    fn a_sender_has_one_successor() {
        let mut group = settled(2, 21);
        let (name, now) = ((0, group.nodes[1].sender), group.now);
        let trust = &mut group.nodes[0].trust;
        trust.succeed_sender(&name, sender(1), now, || false);
        assert!(!trust.believes(&(0, sender(1))), "its address has too many");
        for _ in 0..3 {
            trust.succeed_sender(&name, sender(1), now, || true);
            trust.succeed_sender(&name, sender(2), now, || true);
        }
        assert!(trust.believes(&(0, sender(1))));
        assert_eq!((trust.believes(&(0, sender(2))), trust.believed), (false, 2));
    }

    #[test]
    fn a_sender_that_was_silent_for_minutes_is_not_believed_any_more() {
        let mut group = settled(2, 15);
        let gone = group.nodes.remove(1);
        group.run(group.now + ms(195_000));
        assert_eq!(group.nodes[0].trust.believed(), 1);
        group.run(group.now + ms(10_000));
        assert_eq!(group.nodes[0].trust.believed(), 0);
        group.run(group.now + ms(30_000));
        assert!(group.nodes[0].trust.records.len() == 0);
        group.nodes.push(gone);
        assert!(group.complete(ms(4000)).is_some());
    }

    #[test]
    fn a_key_that_is_removed_takes_belief_with_it() {
        let mut group = settled(3, 13);
        group.nodes[0].trust.forget_key(1);
        assert_eq!(group.nodes[0].trust.believed(), 2);
        group.nodes[0].trust.forget_key(0);
        assert_eq!(group.nodes[0].trust.believed(), 0);
        assert!(group.complete(ms(3000)).is_some(), "under the same key it is earned again");
    }

    #[test]
    fn older_keys_are_refused_from_a_sender_that_has_used_the_own_one_for_a_timeout() {
        for (older, sealing, refused) in [(0, 1, true), (1, 0, false)] {
            let mut group = settled(2, 16);
            let sender = group.nodes[1].sender;
            let now = group.now;
            let trust = &mut group.nodes[0].trust;
            let first = trust.records.get(&(0, sender)).unwrap().windows.highest() + 1;
            trust.succeed(&(0, sender), 1, first, now);
            trust.set_sealing(sealing);
            let mut heard = |key: u32, after: u64, counter: u64| {
                let class = Class::Data;
                let proof = Proof { key, sender, counter, class, to: None, signed: false };
                trust.receive(&proof, None, 2, now + ms(after), None, &mut Anything)
            };
            assert_eq!(heard(older, 0, first), Outcome::Accepted);
            assert_eq!(heard(sealing, 1, first + 1), Outcome::Accepted);
            assert_eq!(heard(older, 2000, first + 2), Outcome::Accepted);
            let expected = if refused { Outcome::OldKey } else { Outcome::Accepted };
            assert_eq!(heard(older, 2002, first + 3), expected, "{older} and {sealing}");
            assert_eq!(heard(sealing, 2002, first + 4), Outcome::Accepted);
        }
    }

    #[test]
    fn what_is_for_another_node_of_the_process_is_not_for_this_one() {
        let mut group = settled(2, 14);
        let sent = group.nodes[1].sent(Class::Data, Vec::new());
        let now = group.now;
        let trust = &mut group.nodes[0].trust;
        let proof = Proof { to: Some(sender(1)), ..sent.proof() };
        assert_eq!(trust.receive(&proof, None, 2, now, None, &mut Anything), Outcome::ForAnother);
        let proof = Proof { to: Some(trust.own), ..sent.proof() };
        assert_eq!(trust.receive(&proof, None, 2, now, None, &mut Anything), Outcome::Accepted);
        assert_eq!(trust.receive(&proof, None, 2, now, None, &mut Anything), Outcome::Repeated);
    }
}
