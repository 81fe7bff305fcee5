//! The table of peers and the moments at which something is to be done about one.
//!
//! A peer is alive; suspect, when it has been silent for too long; or gone. Hearing a peer is
//! O(1): it only notes the time. Each peer has one entry in a heap of deadlines, which is moved to
//! where it belongs by now when it comes to the top; so the heap moves once for each peer and
//! timeout, not once for each datagram. Only a deadline that comes nearer gets a second entry, and
//! the first no longer counts.

use super::claims::Claim;
use super::envelope::{Extension, MAX_OWN};
use super::index::Index;
use super::isolation::WITHHELD_AGAIN;
use super::metadata;
use super::paths::{Origin, Path, Paths};
use super::random::Random;
use super::record::{Hearing, PortState, Record, Standing};
use super::time::{Moment, Now, Span};
use crate::message::Interface;
use crate::peer::{NodeId, Peer, PeerAddress, PeerDetails};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How long a suspect is given to answer after it has become one.
const PROBE_TIME: Duration = Duration::from_millis(500);

/// Up to this many nodes, this one included, are a small group: with few to corroborate for each other
/// they probe more often. Measured in the simulation (docs/liveness.md).
const SMALL_GROUP: usize = 5;
const PROBES: u32 = 8;
/// So many of the probes are not sent if another node has just probed. The rest are, as a probe
/// that reaches only some of the nodes must not silence all.
const SUPPRESSED_PROBES: u32 = 3;
/// The first probe goes out at random within this time, so that one node probes for all.
const PROBE_SPREAD: Duration = Duration::from_millis(20);

/// Two heartbeats may vary by a tenth of an interval together. If the second is still due within its
/// variation, the peer is asked so much later, unless the group is small.
const SLACK: Duration = Duration::from_millis(100);

/// Number of timeouts after the last datagram of a peer itself in which one member's word counts.
pub(crate) const DIRECT: u32 = 5;

/// Beyond that the first probes go to the member that corroborated it last, by unicast, and spare the
/// group.
const ASKED_ALONE: u32 = 2;

/// How many heartbeats make a member whose word counts.
const MEMBER_BEATS: u64 = 10;

/// The part of the time between two probes that is random.
const PROBE_STEP_VARIES: f64 = 0.4;
const PROBES_IN_SMALL_GROUP: u32 = 20;

/// How often two nodes with one id are reported.
pub(crate) const CONFLICT_NOTICE: Duration = Duration::from_secs(60);

/// When a new peer is looked at first. By then its interval is known, which brings most deadlines nearer:
/// without this each peer would have a second entry in the heap.
const FIRST_LOOK: Duration = Duration::from_millis(1500);

/// How many deadlines that are not due are moved on at a time. All of them would take a tenth of a second
/// with half a million nodes; and where there are many, one wake more for nothing does not count.
const MAX_EARLY: usize = 8;

/// How many leaves are remembered, and for how long: longer than datagrams overtake each other, so
/// that a late heartbeat does not bring a peer back.
const MAX_FORMER: usize = 1024;
const TOMBSTONE_TIME: Duration = Duration::from_secs(10);

/// How many members of one address that are gone are remembered (of all, [`MAX_FORMER`]), and for how long: a
/// machine restarts in this time.
const MAX_HOMES_OF_ADDRESS: usize = 64;
const HOME_TIME: Duration = Duration::from_secs(300);

/// Restarts of one id are told at once, then no sooner than 1 s, 2 s, 4 s and at the most 5 s after
/// the one before; a quiet time of [`RESTART_CALM`] begins again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
const MAX_RESTART_PAUSE: Duration = Duration::from_secs(5);
const RESTART_CALM: Duration = Duration::from_secs(30);

/// How many peers are remembered in the order in which they came: enough for a full table by
/// default.
const MAX_NEWCOMERS: usize = 8192;

/// How many of the peers heard once are looked at for the one to evict.
const EVICTION_SAMPLE: usize = 64;

/// Among how many slots a peer is searched that is no suspect.
const WITNESSES_SEARCHED: usize = 64;

/// How many interfaces are known by name.
const MAX_INTERFACES: usize = 64;

/// How many peers of one incarnation are found by it. It is a random number, so two that have the same are
/// one process, or made up: with as many as may be known, each frame of data would search through all of them.
const MAX_OF_INCARNATION: usize = 16;

/// A large collection grows by a sixteenth at a time: twice the size would be much to waste.
fn growth(length: usize) -> usize {
    length / 16 + 4
}

/// With the slot and its generation.
type Deadline = Reverse<(Moment, u32, u32)>;

/// How many peers are suspect.
#[derive(Debug, Default)]
struct Suspects {
    all: usize,
    established: usize,
}

impl Suspects {
    fn add(&mut self, record: &Record) {
        self.all += usize::from(record.is_suspect());
        self.established += usize::from(record.is_asked());
    }

    fn remove(&mut self, record: &Record) {
        self.all -= usize::from(record.is_suspect());
        self.established -= usize::from(record.is_asked());
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Membership {
    timeout: Duration,
    capacity: usize,
    /// The peers by their id.
    index: Index,
    /// The peers by their incarnation, which a frame names: of one incarnation [`MAX_OF_INCARNATION`] at the
    /// most. The others are put in when one of those is gone.
    incarnations: Index,
    with_incarnation: usize,
    hasher: RandomState,
    metas: Metas,
    /// The peer that was last asked for by the text of its id: it will be asked for again at once.
    recent: Option<(NodeId, usize)>,
    slots: Vec<Option<Record>>,
    /// The number of peers that ever came.
    generation: u32,
    free: Vec<u32>,
    deadlines: BinaryHeap<Deadline>,
    /// The interfaces that peers were heard by, by their number.
    interfaces: Vec<Interface>,
    suspects: Suspects,
    established: usize,
    originals: usize,
    /// How many peers do not take messages in pieces.
    without_pieces: usize,
    /// The incarnations that have left.
    tombstones: HashMap<NodeId, Former>,
    /// The members that fell silent or left. Another program may have taken their id meanwhile.
    homes: HashMap<NodeId, Former>,
    /// Peers in the order in which they came, those in front not yet established.
    newcomers: VecDeque<(u32, u32)>,
    /// Restarts that are yet to be told.
    restarts: Vec<(Duration, NodeId)>,
}

/// An incarnation that is gone.
#[derive(Debug)]
struct Former {
    incarnation: u32,
    /// Its count: a higher one is heard again.
    count: u32,
    /// How long it is remembered.
    until: Duration,
    /// The addresses that the peer used: from others nothing brings it back.
    addresses: Vec<IpAddr>,
}

impl Former {
    /// Whether this was said before it was gone.
    fn has_said(&self, extension: &Extension) -> bool {
        self.incarnation == extension.incarnation
            && extension.count.is_none_or(|new| new <= self.count)
    }
}

/// Keeps one that is gone, unless too many are kept.
#[inline(never)]
fn keep(all: &mut HashMap<NodeId, Former>, id: NodeId, former: Former, now: Duration) {
    if all.len() >= MAX_FORMER {
        all.retain(|_, it| now < it.until);
    }
    if all.len() < MAX_FORMER {
        all.insert(id, former);
    }
}

/// Some of the metadata that is there: nodes of one kind often tell the same, and share it then.
#[derive(Debug, Default)]
struct Metas([Option<Arc<str>>; Self::COUNT]);

impl Metas {
    const COUNT: usize = 32;

    fn share(&mut self, meta: &str) -> Arc<str> {
        let sum = meta.bytes().fold(0u8, |sum, byte| sum.rotate_left(1) ^ byte);
        let place = &mut self.0[usize::from(sum) % Self::COUNT];
        match place {
            Some(known) if **known == *meta => known.clone(),
            _ => place.insert(meta.into()).clone(),
        }
    }
}

/// The outcome of hearing a peer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub new: bool,
    /// It is another incarnation than the one that was known, which this is.
    pub replaced: Option<Peer>,
    /// This peer, heard once only, has made room for it.
    pub evicted: Option<Peer>,
    pub meta_changed: bool,
    pub address_changed: bool,
    /// Two nodes have this id.
    pub conflict: bool,
    /// It is established by this.
    pub established: bool,
    /// It is established.
    pub is_established: bool,
}

/// The meaning of a datagram of a known peer.
#[derive(Debug, PartialEq, Eq)]
enum Belief {
    /// Of the incarnation that is known.
    Current,
    /// Of the incarnation before it, which goes on: two nodes have the id.
    Twin,
    /// Of an incarnation that is new.
    Restart,
    /// The same, of a member that has lost its id to another address while it was gone.
    Return,
}

/// Why a datagram of a peer was not taken in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotHeard {
    /// The table is full.
    Full,
    /// It is late: of an incarnation that is gone.
    Stale,
    /// Its count is higher than time allows.
    Implausible,
    /// It claims something that the peer has to confirm.
    Unconfirmed,
}

/// A step of the failure detector.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    /// It is late and its port has answered before: the port is to be asked.
    Late(NodeId),
    /// It has just become suspect.
    Suspect(NodeId),
    /// It is suspect and should be asked to answer.
    Probe(NodeId),
    /// It has not answered, and no other member has heard it.
    Dead(NodeId),
}

/// When a silent peer is down at the earliest.
fn earliest_end(record: &Record, timeout: Duration) -> Duration {
    let extra = if record.is_established() { Duration::ZERO } else { timeout };
    record.heard.time() + record.patience(timeout) + extra + PROBE_TIME
}

/// The time to the next probe, at random: nodes that have heard the same probe do not send the next one
/// together.
fn probe_step(longest: Duration, random: &mut Random) -> Duration {
    longest.mul_f64(PROBE_STEP_VARIES.mul_add(-random.fraction(), 1.0))
}

impl Membership {
    pub fn new(timeout: Duration, capacity: usize) -> Self {
        Self {
            timeout,
            capacity,
            index: Index::default(),
            incarnations: Index::default(),
            with_incarnation: 0,
            hasher: RandomState::new(),
            metas: Metas::default(),
            recent: None,
            slots: Vec::new(),
            generation: 0,
            free: Vec::new(),
            deadlines: BinaryHeap::new(),
            interfaces: Vec::new(),
            suspects: Suspects::default(),
            established: 0,
            originals: 0,
            without_pieces: 0,
            tombstones: HashMap::new(),
            homes: HashMap::new(),
            newcomers: VecDeque::new(),
            restarts: Vec::new(),
        }
    }

    /// The slot of the id of which this is the JSON form.
    fn find(&self, json: &str) -> Option<usize> {
        let is_it = |slot: u32| {
            self.slots[slot as usize].as_ref().is_some_and(|it| it.id.as_json() == json)
        };
        self.index.slots(self.hash(json)).find(|slot| is_it(*slot)).map(|slot| slot as usize)
    }

    fn hash(&self, of: impl Hash) -> u32 {
        self.hasher.hash_one(of) as u32
    }

    /// The id in the table of which this is the JSON form.
    pub fn known(&mut self, json: &str) -> Option<NodeId> {
        let slot = self.find(json)?;
        let id = self.slots[slot].as_ref()?.id.clone();
        self.recent = Some((id.clone(), slot));
        Some(id)
    }

    #[inline(never)]
    fn slot(&self, id: &NodeId) -> Option<usize> {
        match &self.recent {
            Some((recent, slot)) if recent.is(id) => Some(*slot),
            _ => self.find(id.as_json()),
        }
    }

    #[inline(never)]
    fn record(&self, id: &NodeId) -> Option<&Record> {
        self.slots[self.slot(id)?].as_ref()
    }

    pub fn has(&self, id: &NodeId) -> bool {
        self.slot(id).is_some()
    }

    pub fn get(&self, id: &NodeId) -> Option<Peer> {
        self.record(id).map(|record| self.snapshot(record))
    }

    /// The details of one peer.
    pub fn details(&self, id: &NodeId) -> Option<PeerDetails> {
        self.record(id).map(Record::details)
    }

    /// All peers, in the order of their slots.
    pub fn peers(&self) -> impl Iterator<Item = Peer> {
        let records = self.slots.iter().flatten();
        records.map(|record| self.snapshot(record))
    }

    fn snapshot(&self, record: &Record) -> Peer {
        let interface = |index| self.interfaces.iter().find(|it| it.index() == index).copied();
        let address = |path: &Path| PeerAddress {
            address: path.address,
            interface: interface(path.interface),
            last_seen: path.last_seen,
        };
        Peer {
            id: record.id.clone(),
            address: record.paths.address(),
            addresses: record.paths.as_slice().iter().map(address).collect(),
            first_seen: record.first_seen,
            last_seen: record.last_seen,
            meta: record.meta.clone(),
            suspect: record.is_suspect(),
            loss_per_mille: record.loss_per_mille,
        }
    }

    /// Keeps the name of an interface, which is another one when it was renamed.
    fn note_interface(&mut self, interface: Option<Interface>) {
        let Some(interface) = interface else { return };
        match self.interfaces.iter_mut().find(|known| known.index() == interface.index()) {
            Some(known) if *known != interface => *known = interface,
            Some(_) => {}
            None => {
                if self.interfaces.len() >= MAX_INTERFACES {
                    self.interfaces.remove(0);
                }
                self.interfaces.push(interface);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// How many peers are suspect.
    pub fn suspects(&self) -> usize {
        self.suspects.all
    }

    /// How many established peers are suspect.
    pub fn established_suspects(&self) -> usize {
        self.suspects.established
    }

    /// The number of peers that send heartbeats without the extension: processes of caster 0.1.1.
    pub fn originals(&self) -> usize {
        self.originals
    }

    /// Whether the metadata of this peer is here and has this hash.
    pub fn has_meta(&mut self, id: &NodeId, hash: u128) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        let record = self.slots[slot].as_mut().expect("the index leads to records");
        let Some(meta) = record.meta.clone() else { return false };
        *record.rare_mut().meta_hash.get_or_insert_with(|| metadata::hash_of(&meta)) == hash
    }

    /// The metadata of this peer is this from now on. Returns whether that is an update to tell.
    pub fn set_meta(&mut self, id: &NodeId, meta: &str, now: Duration) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        let record = self.slots[slot].as_mut().expect("the index leads to records");
        if record.meta.as_deref() == Some(meta) {
            return false;
        }
        record.meta = Some(self.metas.share(meta));
        record.rare_mut().meta_hash = None;
        !record.has_twin(now)
    }

    /// The number of peers that do not take messages in pieces.
    pub fn without_pieces(&self) -> usize {
        self.without_pieces
    }

    /// Whether a peer that is no original takes no messages in pieces.
    pub fn any_with_extension_lacks_pieces(&self) -> bool {
        let mut records = self.slots.iter().flatten();
        self.without_pieces > 0
            && records.any(|record| record.incarnation.is_some() && record.lacks_pieces())
    }

    /// The peer with this incarnation that uses this address.
    pub fn sender(&self, incarnation: u32, from: IpAddr) -> Option<NodeId> {
        let record = |slot: u32| self.slots[slot as usize].as_ref();
        let is_it = |slot: &u32| {
            record(*slot).is_some_and(|it| it.incarnation == Some(incarnation) && it.uses(from))
        };
        let slot = self.incarnations.slots(self.hash(incarnation)).find(is_it)?;
        record(slot).map(|record| record.id.clone())
    }

    /// Where the process of this peer gets unicast; the port of the group, if it has told none.
    pub fn process(&self, id: &NodeId, group_port: u16) -> Option<SocketAddr> {
        let record = self.record(id)?;
        let port = if record.port == 0 { group_port } else { record.port };
        Some(SocketAddr::new(record.paths.address(), port))
    }

    /// The peer in this slot has another incarnation than before, or is put in again.
    fn index_incarnation(&mut self, slot: usize, before: Option<u32>, now: Option<u32>) {
        if let Some(before) = before {
            self.with_incarnation -= 1;
            self.incarnations.remove(self.hash(before), slot as u32);
        }
        if let Some(now) = now {
            self.with_incarnation += 1;
            let hash = self.hash(now);
            if self.incarnations.slots(hash).count() < MAX_OF_INCARNATION {
                self.incarnations.insert(hash, slot as u32);
            }
        }
    }

    /// Whether this incarnation is the one that is known. A peer that has never sent a heartbeat, because it
    /// is hidden, has not told its incarnation yet.
    pub fn is_current(&self, id: &NodeId, extension: Option<&Extension>) -> bool {
        let incarnation = extension.map(|extension| extension.incarnation);
        self.record(id).is_some_and(|record| {
            record.incarnation == incarnation || (record.incarnation.is_none() && record.beats == 0)
        })
    }

    /// Whether this incarnation has left.
    pub fn has_tombstone(&self, id: &NodeId, extension: Option<&Extension>) -> bool {
        let incarnation = extension.map(|extension| extension.incarnation);
        self.tombstones.get(id).is_some_and(|it| incarnation == Some(it.incarnation))
    }

    /// The hash of the secret that a leave of this peer has to carry, if it has told one.
    pub fn leave_hash(&self, id: &NodeId) -> Option<u64> {
        self.record(id).map(|record| record.leave_hash).filter(|&hash| hash != 0)
    }

    /// The address of this peer.
    pub fn address(&self, id: &NodeId) -> Option<IpAddr> {
        self.record(id).map(|record| record.paths.address())
    }

    /// The incarnation of this peer, if it has told one.
    pub fn incarnation(&self, id: &NodeId) -> Option<u32> {
        self.record(id)?.incarnation
    }

    /// Whether this peer may have more addresses than it tells, and is heard at those that are known: then a
    /// datagram from another one is no reason for a question.
    pub fn has_more_addresses(&self, id: &NodeId, now: Duration) -> bool {
        self.record(id).is_some_and(|record| {
            let told = record.rare.as_deref().map_or(0, |rare| rare.own.len());
            let interval = record.told.map_or(self.timeout, Span::time);
            told >= MAX_OWN && now <= record.heard_itself.time() + interval * 5 / 4
        })
    }

    /// The silence after which a claim about this peer may be believed.
    pub fn silence_of_claim(&self, id: &NodeId) -> Duration {
        let record = self.record(id).filter(|record| record.is_original());
        record.map_or(Duration::ZERO, Record::silence_of_original)
    }

    /// Takes in a datagram of a peer.
    pub fn hear(&mut self, hearing: Hearing<'_>) -> Result<Heard, NotHeard> {
        self.note_interface(hearing.origin.interface);
        let Some(slot) = self.slot(hearing.id) else {
            let (_, evicted) = self.hear_new(hearing)?;
            return Ok(Heard { new: true, evicted, ..Heard::default() });
        };
        let now = hearing.now.mono;
        let mut conflict = false;
        let known_as = self.slots[slot].as_ref().and_then(|record| record.incarnation);
        match self.belief(slot, &hearing)? {
            Belief::Current => {
                let record = self.slots[slot].as_mut().expect("the index leads to records");
                if hearing.beat
                    && hearing.extension.is_some_and(|it| !record.is_news(it, now, self.timeout))
                {
                    return Err(NotHeard::Stale);
                }
            }
            Belief::Twin => {
                let record = self.slots[slot].as_mut().expect("the index leads to records");
                let known = record.incarnation.zip(Some(record.count));
                let address = record.paths.address();
                record.incarnation = hearing.extension.map(|extension| extension.incarnation);
                record.leave_hash = 0;
                record.told = None;
                let rare = record.rare_mut();
                rare.previous = known.map(|(incarnation, count)| (incarnation, count, address));
                rare.twin_until = Some(now + CONFLICT_NOTICE);
                conflict = self.notice_conflict(hearing.id, now);
            }
            Belief::Restart => return self.restart(slot, hearing),
            Belief::Return => return self.replace(slot, None, hearing),
        }
        let record = self.slots[slot].as_mut().expect("the index leads to records");
        let was_original = record.is_original();
        let lacked_pieces = record.lacks_pieces();
        let was_established = record.is_established();
        self.suspects.remove(record);
        record.standing = Standing::Alive;
        // Before the interval is learned from this again.
        let patience = record.patience(self.timeout);
        record.note(&hearing);
        let Hearing { meta, origin, now, .. } = hearing;
        let meta_changed = meta.is_some_and(|meta| record.meta.as_deref() != Some(meta));
        if meta_changed {
            record.meta = meta.map(|meta| self.metas.share(meta));
            if let Some(rare) = record.rare.as_deref_mut() {
                rare.meta_hash = None;
            }
        }
        record.paths.give_up_by_silence(origin.address);
        let address_changed = record.paths.heard_from(origin, now, patience);
        match (was_original, record.is_original()) {
            (false, true) => self.originals += 1,
            (true, false) => self.originals -= 1,
            _ => {}
        }
        let is_established = record.is_established();
        let established = !was_established && is_established;
        self.without_pieces += usize::from(record.lacks_pieces());
        self.without_pieces -= usize::from(lacked_pieces);
        let incarnation = record.incarnation;
        self.established += usize::from(established);
        // Two nodes with one id take turns with everything they differ in.
        let twins = record.has_twin(now.mono);
        self.arm_if_nearer(slot);
        if incarnation != known_as || self.incarnations.len() < self.with_incarnation {
            self.index_incarnation(slot, known_as, incarnation);
        }
        Ok(Heard {
            meta_changed: meta_changed && !twins,
            address_changed: address_changed && !twins,
            conflict,
            established,
            is_established,
            ..Heard::default()
        })
    }

    /// The meaning of a datagram of a known peer.
    fn belief(&self, slot: usize, hearing: &Hearing<'_>) -> Result<Belief, NotHeard> {
        let record = self.slots[slot].as_ref().expect("the index leads to records");
        let address = hearing.origin.address;
        let used = record.uses(address);
        let current = if used { Ok(Belief::Current) } else { Err(NotHeard::Unconfirmed) };
        let (Some(known), Some(extension)) = (record.incarnation, hearing.extension) else {
            let returns = !used && record.incarnation.is_none() && self.returns(hearing);
            if returns && !self.was_said_before_leaving(hearing) {
                return Ok(Belief::Return);
            }
            // A heartbeat without the extension is not of a peer that sends it.
            return match record.incarnation.is_some() && hearing.beat {
                true => Err(NotHeard::Stale),
                false => current,
            };
        };
        if known == extension.incarnation {
            let highest = record.plausible_count(hearing.now);
            let other_secret =
                extension.leave_hash.is_some_and(|hash| ![0, hash].contains(&record.leave_hash));
            return match other_secret || extension.count.is_some_and(|count| count > highest) {
                true => Err(NotHeard::Implausible),
                false => current,
            };
        }
        match record.rare.as_deref().and_then(|rare| rare.previous) {
            Some((previous, count, former)) if previous == extension.incarnation => {
                // A late datagram has a count that was seen; a twin goes on counting.
                match extension.count.is_none_or(|new| new <= count) {
                    true => Err(NotHeard::Stale),
                    false if used || address == former => Ok(Belief::Twin),
                    false => Err(NotHeard::Unconfirmed),
                }
            }
            _ if self.was_said_before_leaving(hearing) => Err(NotHeard::Stale),
            // By unicast to peers that know it, as a port probe is: it may be of another group, in which
            // this process's port was that of another process.
            _ if hearing.beat && !hearing.tells_metadata() => Err(NotHeard::Stale),
            _ if used => Ok(Belief::Restart),
            _ if self.returns(hearing) => Ok(Belief::Return),
            _ => Err(NotHeard::Unconfirmed),
        }
    }

    /// Whether this is a heartbeat of a member that was gone, from an address that it used. Its former
    /// incarnation counts only if it has gone on.
    fn returns(&self, hearing: &Hearing<'_>) -> bool {
        let Some(extension) = hearing.extension.filter(|_| hearing.beat) else { return false };
        self.homes.get(hearing.id).is_some_and(|home| {
            hearing.now.mono < home.until
                && hearing.tells_metadata()
                && home.addresses.contains(&hearing.origin.address)
                && !home.has_said(extension)
        })
    }

    /// Whether this is a late datagram of an incarnation that has left, or one from elsewhere.
    fn was_said_before_leaving(&self, hearing: &Hearing<'_>) -> bool {
        hearing.extension.zip(self.tombstones.get(hearing.id)).is_some_and(|(extension, it)| {
            it.incarnation == extension.incarnation
                && hearing.now.mono < it.until
                && (it.has_said(extension) || !it.addresses.contains(&hearing.origin.address))
        })
    }

    /// Whether a conflict about this id is to be told now.
    pub fn notice_conflict(&mut self, id: &NodeId, now: Duration) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        let record = self.slots[slot].as_mut().expect("the index leads to records");
        let told = &mut record.rare_mut().conflict_told;
        let due = told.is_none_or(|at| now >= at + CONFLICT_NOTICE);
        if due {
            *told = Some(now);
        }
        due
    }

    /// Puts another incarnation in the place of the one that is known.
    fn restart(&mut self, slot: usize, hearing: Hearing<'_>) -> Result<Heard, NotHeard> {
        let record = self.slots[slot].as_ref().expect("the index leads to records");
        let address = record.paths.address();
        let previous = record.incarnation.map(|it| (it, record.count, address));
        if record.paths.is_by_silence(hearing.origin.address) {
            self.remember(slot, hearing.now.mono);
        }
        self.replace(slot, previous, hearing)
    }

    /// The same; `previous` may go on, and has the id then as well.
    fn replace(
        &mut self,
        slot: usize,
        previous: Option<(u32, u32, IpAddr)>,
        hearing: Hearing<'_>,
    ) -> Result<Heard, NotHeard> {
        let now = hearing.now.mono;
        let record = self.slots[slot].as_mut().expect("the index leads to records");
        let mut rare = record.rare.take().unwrap_or_default();
        rare.previous = previous;
        rare.own.clear();
        let replaced = self.remove(hearing.id);
        let (slot, _) = self.hear_new(hearing)?;
        let calm = rare.restart_told.is_none_or(|at| now >= at + RESTART_CALM);
        let pause = if calm { Duration::ZERO } else { rare.restart_pause };
        let due = rare.restart_told.map_or(now, |at| at + pause);
        let at_once = rare.restarted.is_none() && due <= now;
        if at_once {
            rare.restart_told = Some(now);
            rare.restart_pause = (pause * 2).clamp(RESTART_PAUSE, MAX_RESTART_PAUSE);
        } else if rare.restarted.is_none() {
            rare.restarted = replaced.clone();
            self.restarts.push((due, hearing.id.clone()));
        }
        let record = self.slots[slot].as_mut().expect("it was just put in");
        if !hearing.extension.is_some_and(|extension| extension.own.is_empty()) {
            rare.own = record.rare.take().map(|rare| rare.own).unwrap_or_default();
        }
        record.rare = Some(rare);
        match at_once {
            true => Ok(Heard { new: true, replaced, ..Heard::default() }),
            false => Ok(Heard::default()),
        }
    }

    /// A restart that was held back and is due: the peer as it was before.
    pub fn take_restart(&mut self, now: Duration) -> Option<Peer> {
        while let Some(at) = self.restarts.iter().position(|(due, _)| *due <= now) {
            let (_, id) = self.restarts.swap_remove(at);
            let Some(slot) = self.slot(&id) else { continue };
            let record = self.slots[slot].as_mut().expect("the index leads to records");
            let rare = record.rare_mut();
            rare.restart_told = Some(now);
            rare.restart_pause = (rare.restart_pause * 2).clamp(RESTART_PAUSE, MAX_RESTART_PAUSE);
            if let Some(before) = rare.restarted.take() {
                return Some(before);
            }
        }
        None
    }

    /// Believes a claim because the peer has been silent at the addresses that it used: it was heard when
    /// the claim was raised. Returns whether its address has changed.
    pub fn believe(&mut self, claim: &Claim, now: Now) -> bool {
        let Some(slot) = self.slot(&claim.id) else { return false };
        let record = self.slots[slot].as_mut().expect("the index leads to records");
        let changed = record.paths.add_by_silence(claim.origin, now, Duration::ZERO);
        if claim.since > record.heard.time() {
            record.heard = claim.since.into();
            record.heard_itself = record.heard;
            self.suspects.remove(record);
            record.standing = Standing::Alive;
            self.arm_if_nearer(slot);
        }
        changed
    }

    /// Makes room for a new peer by removing one that was heard only once. While the table is full
    /// the address with the most of those loses its oldest.
    fn evict(&mut self) -> Option<Peer> {
        let of_entry = |slots: &[Option<Record>], &(slot, generation): &(u32, u32)| {
            let slot = &slots[slot as usize];
            let record = slot.as_ref().filter(|record| record.generation == generation)?;
            (!record.is_established()).then(|| (record.id.clone(), record.paths.address()))
        };
        let Self { newcomers, slots, .. } = self;
        newcomers.retain(|entry| of_entry(slots, entry).is_some());
        let sample: Vec<(NodeId, IpAddr)> =
            newcomers.iter().take(EVICTION_SAMPLE).filter_map(|it| of_entry(slots, it)).collect();
        let share = |from: IpAddr| sample.iter().filter(|(_, other)| *other == from).count();
        let most = sample.iter().map(|(_, from)| share(*from)).max()?;
        let (id, _) = sample.iter().find(|(_, from)| share(*from) == most)?;
        let id = id.clone();
        self.remove(&id)
    }

    /// Returns the slot, and the peer that made room.
    fn hear_new(&mut self, hearing: Hearing<'_>) -> Result<(usize, Option<Peer>), NotHeard> {
        let Hearing { id, origin, meta, now, .. } = hearing;
        if self.was_said_before_leaving(&hearing) {
            return Err(NotHeard::Stale);
        }
        let mut evicted = None;
        if self.len() >= self.capacity {
            evicted = Some(self.evict().ok_or(NotHeard::Full)?);
        }
        let slot = self.free.pop().map_or_else(|| self.new_slot(), |slot| slot as usize);
        let mut record = Record {
            id: id.clone(),
            meta: meta.map(|meta| self.metas.share(meta)),
            paths: Paths::new(origin, now),
            first_seen: now.unix_ms,
            last_seen: now.unix_ms,
            standing: Standing::Alive,
            heard: now.mono.into(),
            heard_itself: now.mono.into(),
            beat_at: None,
            beat: None,
            told: None,
            incarnation: None,
            count: 0,
            loss_per_mille: 0,
            port: 0,
            beats: 0,
            capabilities: 0,
            port_state: PortState::Unknown,
            heard_by_group: false,
            leave_hash: 0,
            rare: None,
            armed: Duration::ZERO.into(),
            generation: 0,
        };
        record.note(&hearing);
        let slack = self.slack();
        record.armed = record.deadline(self.timeout, slack).min(now.mono + FIRST_LOOK).into();
        self.generation = self.generation.wrapping_add(1);
        record.generation = self.generation;
        let entry = Reverse((record.armed, slot as u32, record.generation));
        self.originals += usize::from(record.is_original());
        self.without_pieces += usize::from(record.lacks_pieces());
        let incarnation = record.incarnation;
        self.slots[slot] = Some(record);
        let newcomer = (slot as u32, entry.0.2);
        self.push_deadline(entry);
        self.note_newcomer(newcomer);
        self.index.insert(self.hash(id.as_json()), slot as u32);
        self.index_incarnation(slot, None, incarnation);
        Ok((slot, evicted))
    }

    /// Remembers in which order peers came, for as long as they may be evicted.
    fn note_newcomer(&mut self, entry: (u32, u32)) {
        let Self { newcomers, slots, .. } = self;
        while let Some(&(slot, generation)) = newcomers.front() {
            let slot = &slots[slot as usize];
            let record = slot.as_ref().filter(|record| record.generation == generation);
            if record.is_some_and(|record| !record.is_established())
                && newcomers.len() < MAX_NEWCOMERS
            {
                break;
            }
            newcomers.pop_front();
        }
        newcomers.push_back(entry);
    }

    fn push_deadline(&mut self, entry: Deadline) {
        if self.deadlines.len() == self.deadlines.capacity() {
            self.deadlines.reserve_exact(growth(self.deadlines.len()));
        }
        self.deadlines.push(entry);
    }

    fn new_slot(&mut self) -> usize {
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(growth(self.slots.len()));
        }
        self.slots.push(None);
        self.slots.len() - 1
    }

    /// A datagram of this peer has come by another path too. Returns whether its address is another
    /// one now.
    ///
    /// # Errors
    /// [`NotHeard::Unconfirmed`] if the peer has not used this address.
    pub fn hear_copy(&mut self, id: &NodeId, origin: Origin, now: Now) -> Result<bool, NotHeard> {
        self.note_interface(origin.interface);
        let Some(slot) = self.slot(id) else { return Ok(false) };
        let record = self.slots[slot].as_mut().expect("the index leads to records");
        if !record.uses(origin.address) {
            return Err(NotHeard::Unconfirmed);
        }
        let patience = record.patience(self.timeout);
        record.paths.give_up_by_silence(origin.address);
        Ok(record.paths.heard_from(origin, now, patience) && !record.has_twin(now.mono))
    }

    /// A member has heard this peer `age` ago: as if it had been heard then, and no later. Returns
    /// whether that was news.
    ///
    /// For [`DIRECT`] timeouts after the last datagram of the peer itself an established member
    /// counts, and a stranger once; beyond that only two members together, or one if there are no
    /// more. That one has to answer a question by unicast (`proven`), if its port has answered before.
    pub fn corroborate(
        &mut self,
        id: &NodeId,
        age: Duration,
        by: &NodeId,
        proven: bool,
        now: Now,
    ) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        let by_member = self.is_member_for(by, slot, now.mono);
        // Two of one host are one witness.
        let witness = self.record(by).map(|member| member.paths.address());
        let hash = self.hasher.hash_one(witness);
        let is_the_only_one = self.len() <= 2;
        let proves = self.record(by).is_some_and(|it| it.port_state == PortState::Answered);
        let counts_alone = is_the_only_one && (proven || !proves);
        let record = self.slots[slot].as_mut().expect("the index leads to records");
        let heard = now.mono.saturating_sub(age);
        if by == id {
            return false;
        }
        let window = self.timeout * DIRECT;
        let counts = if !by_member {
            let first = !record.rare_mut().stranger;
            record.rare_mut().stranger = true;
            first && now.mono <= record.heard_itself.time() + window
        } else {
            record.rare_mut().last_corroborator = Some(by.clone());
            let [newest, second] = &mut record.rare_mut().corroborators;
            if !newest.is_some_and(|(known, _)| known == hash) {
                *second = *newest;
            }
            *newest = Some((hash, now.mono));
            counts_alone || now.mono <= record.witnessed() + window
        };
        if !counts || heard <= record.heard.time() {
            return false;
        }
        let seeks_second = by_member && now.mono > record.witnessed() + window / 2;
        if seeks_second && !counts_alone && record.is_suspect() {
            // It counts at the end of the questions, in which another member may speak.
            record.rare_mut().lone_word = Some(heard);
            return true;
        }
        record.heard = heard.into();
        record.last_seen = now.unix_ms.saturating_sub(age.as_millis() as u64);
        if heard + record.patience(self.timeout) > now.mono {
            self.suspects.remove(record);
            record.standing = Standing::Alive;
        }
        self.arm_if_nearer(slot);
        true
    }

    /// Where the member can be asked that corroborated this peer last, if the peer is heard by others only
    /// and these are the first two questions in this silence.
    pub fn last_corroborator(&self, id: &NodeId, now: Duration) -> Option<SocketAddr> {
        let record = self.record(id)?;
        let Standing::Suspect { probes: 1..=ASKED_ALONE, .. } = record.standing else {
            return None;
        };
        let window = self.timeout * DIRECT;
        let is_direct = now <= record.heard_itself.time() + window;
        if is_direct || (self.len() > 2 && now > record.witnessed() + window / 2) {
            return None;
        }
        let member = self.record(record.rare.as_ref()?.last_corroborator.as_ref()?)?;
        let answers = member.port_state == PortState::Answered;
        answers.then(|| SocketAddr::new(member.paths.address(), member.port))
    }

    /// Whether `by` has been a member since ten heartbeats before the peer in this slot fell silent.
    fn is_member_for(&self, by: &NodeId, slot: usize, now: Duration) -> bool {
        let silent = self.slots[slot]
            .as_ref()
            .map_or(Duration::ZERO, |record| now.saturating_sub(record.heard_itself.time()));
        self.record(by).is_some_and(|member| {
            let interval = member.told.or(member.beat).map_or(Duration::ZERO, Span::time);
            let since =
                if interval.is_zero() { 0 } else { silent.div_duration_f64(interval) as u64 };
            u64::from(member.beats) >= (since + MEMBER_BEATS).min(u8::MAX.into())
        })
    }

    /// How long ago a datagram of this peer itself came.
    pub fn silence(&self, id: &NodeId, now: Duration) -> Option<Duration> {
        self.record(id).map(|record| now.saturating_sub(record.heard_itself.time()))
    }

    /// Whether the hint is due that this peer is heard by others only; at most once for each
    /// incarnation.
    pub fn notice_one_way(&mut self, id: &NodeId, now: Duration) -> bool {
        let window = self.timeout * DIRECT;
        let Some(slot) = self.slot(id) else { return false };
        let record = self.slots[slot].as_mut().expect("the index leads to records");
        let due = now > record.heard_itself.time() + window && !record.rare_mut().one_way_told;
        record.rare_mut().one_way_told |= due;
        due
    }

    /// Another node has probed this peer: the first probes of this node need not go out. All of them
    /// about a peer that is no member yet: it may have been invented, and the group would pay.
    pub fn note_probe(&mut self, id: &NodeId, now: Duration, random: &mut Random) {
        let Some(slot) = self.slot(id) else { return };
        let longest_step = self.longest_step();
        let record = self.slots[slot].as_mut().expect("the index leads to records");
        let suppressed = match u64::from(record.beats) < MEMBER_BEATS {
            true => u32::MAX,
            false => SUPPRESSED_PROBES,
        };
        if let Standing::Suspect { probes, next } = &mut record.standing
            && *probes < suppressed
        {
            *probes += 1;
            *next = (now + probe_step(longest_step, random)).into();
        }
    }

    /// The longest time between two probes. All of them fit into [`PROBE_TIME`].
    fn longest_step(&self) -> Duration {
        (PROBE_TIME - PROBE_SPREAD - self.slack()) / self.all_probes()
    }

    /// How much later than it could be a peer becomes suspect.
    fn slack(&self) -> Duration {
        if self.len() < SMALL_GROUP { Duration::ZERO } else { SLACK }
    }

    fn all_probes(&self) -> u32 {
        match self.len() < SMALL_GROUP {
            true => PROBES_IN_SMALL_GROUP,
            false => PROBES,
        }
    }

    /// How many peers are established.
    pub fn established(&self) -> usize {
        self.established
    }

    /// A peer that is no suspect and answers probes: one of the next few from a random place on.
    pub fn witness(&self, own: &NodeId, random: &mut Random) -> Option<NodeId> {
        let from = random.next() as usize % self.slots.len().max(1);
        let around = self.slots[from..].iter().chain(&self.slots[..from]);
        let mut near = around.take(WITNESSES_SEARCHED).flatten();
        let witness = near.find(|it| {
            let is_of_this_host = it.id == *own || it.paths.address().is_loopback();
            it.is_established() && it.incarnation.is_some() && !it.is_suspect() && !is_of_this_host
        });
        witness.map(|record| record.id.clone())
    }

    pub fn is_established(&self, id: &NodeId) -> bool {
        self.record(id).is_some_and(Record::is_established)
    }

    /// Whether it has sent enough heartbeats for others to do something for it.
    pub fn is_member(&self, id: &NodeId) -> bool {
        self.record(id).is_some_and(|record| u64::from(record.beats) >= MEMBER_BEATS)
    }

    /// How many heartbeats of this peer were heard, up to 255.
    pub fn beats(&self, id: &NodeId) -> u8 {
        self.record(id).map_or(0, |record| record.beats)
    }

    /// Whether this peer is heard from this address, or has told that it is its own.
    pub fn uses(&self, id: &NodeId, address: IpAddr) -> bool {
        self.record(id).is_some_and(|record| record.uses(address))
    }

    /// The capabilities that this peer has told with `c`.
    pub fn capabilities(&self, id: &NodeId) -> u32 {
        self.record(id).map_or(0, |record| record.capabilities.into())
    }

    /// The port of this peer's process; for an original the port of the group. `None` if it has
    /// told none, or if a refusal there would prove nothing.
    pub fn port(&self, id: &NodeId, group_port: u16) -> Option<SocketAddr> {
        let record = self.record(id)?;
        let port = if record.is_original() { group_port } else { record.port };
        let proves = !matches!(record.port_state, PortState::Unreliable | PortState::Misreported);
        (port != 0 && proves).then(|| SocketAddr::new(record.paths.address(), port))
    }

    /// Whether datagrams of it arrive that it sends to the group: it was heard within this time.
    pub fn is_heard_by_group(&self, id: &NodeId, within: Duration, now: Duration) -> bool {
        let lately = |record: &&Record| now <= record.heard_itself.time() + within;
        self.record(id).filter(lately).is_some_and(|record| record.heard_by_group)
    }

    /// Where the processes of the peers are that were heard by the group within this time.
    #[cold]
    pub fn near(&self, within: Duration, now: Duration) -> Vec<SocketAddr> {
        let records = self.slots.iter().flatten();
        let is_near = |it: &&Record| it.heard_by_group && now <= it.heard_itself.time() + within;
        let process = |it: &Record| SocketAddr::new(it.paths.address(), it.port);
        records.filter(is_near).map(process).filter(|it| it.port() != 0).collect()
    }

    /// The port that this peer has told, also if a refusal there proves nothing of the peer: it shows that
    /// its host is reached.
    pub fn told_port(&self, id: &NodeId) -> Option<SocketAddr> {
        let record = self.record(id).filter(|record| record.port != 0)?;
        Some(SocketAddr::new(record.paths.address(), record.port))
    }

    /// Whether this incarnation has answered at its port: a refusal proves something.
    pub fn port_has_answered(&self, id: &NodeId) -> bool {
        self.record(id).is_some_and(|record| record.port_state == PortState::Answered)
    }

    /// The peers that are at one of these addresses, or on the loopback interface, with the ports that
    /// they have told.
    pub fn of_host<'a>(
        &'a self,
        addresses: &'a [IpAddr],
    ) -> impl Iterator<Item = (&'a NodeId, u16)> {
        let records = self.slots.iter().flatten();
        records
            .filter(|record| record.port != 0 && record.incarnation.is_some())
            .filter(|record| {
                let address = record.paths.address();
                address.is_loopback() || addresses.contains(&address)
            })
            .map(|record| (&record.id, record.port))
    }

    /// This peer has answered from this port.
    pub fn note_port_answered(&mut self, id: &NodeId, port: u16) {
        let Some(slot) = self.slot(id) else { return };
        let record = self.slots[slot].as_mut().expect("the index leads to records");
        if record.port == port && port != 0 && record.port_state == PortState::Unknown {
            record.port_state = PortState::Answered;
            self.arm_if_nearer(slot);
        }
    }

    /// The port of this peer was refused, and then the peer was heard: a refusal proves nothing from now on.
    pub fn note_refused_while_alive(&mut self, id: &NodeId) {
        let Some(slot) = self.slot(id) else { return };
        let record = self.slots[slot].as_mut().expect("the index leads to records");
        record.port_state = PortState::Unreliable;
    }

    /// A port has been refused. Returns the peers that this speaks against, with their incarnation:
    /// those that are late and have answered there before. Of a peer that was heard meanwhile
    /// a refusal proves nothing from now on.
    pub fn refused(&mut self, port: SocketAddr) -> Vec<(NodeId, u32)> {
        let mut late = Vec::new();
        for record in self.slots.iter_mut().flatten() {
            if record.port != port.port() || !record.paths.has(port.ip()) {
                continue;
            }
            match (record.port_state, record.standing) {
                (PortState::Answered, Standing::Alive) => {
                    record.port_state = PortState::Unreliable;
                }
                (PortState::Answered, _) => {
                    late.extend(record.incarnation.map(|it| (record.id.clone(), it)));
                }
                _ => {}
            }
        }
        late
    }

    /// The host of originals has refused the port of the group. Returns those that are suspect; of
    /// the others a refusal proves nothing from now on.
    pub fn refused_originals(&mut self, host: IpAddr) -> Vec<NodeId> {
        let mut dead = Vec::new();
        for record in self.slots.iter_mut().flatten() {
            if !record.is_original()
                || record.paths.address() != host
                || record.port_state == PortState::Unreliable
            {
                continue;
            }
            match record.is_suspect() {
                true => dead.push(record.id.clone()),
                false => record.port_state = PortState::Unreliable,
            }
        }
        dead
    }

    /// Makes a peer suspect. It is probed from `first` on.
    pub fn suspect(&mut self, id: &NodeId, first: Duration) {
        let Some(slot) = self.slot(id) else { return };
        let record = self.slots[slot].as_mut().expect("the index leads to records");
        if !record.is_suspect() {
            record.standing = Standing::Suspect { probes: 0, next: first.into() };
            self.suspects.add(record);
            self.arm_if_nearer(slot);
        }
    }

    pub fn remove(&mut self, id: &NodeId) -> Option<Peer> {
        let slot = self.slot(id)?;
        self.recent = None;
        self.index.remove(self.hash(id.as_json()), slot as u32);
        self.free.push(slot as u32);
        let record = self.slots[slot].take()?;
        self.suspects.remove(&record);
        self.originals -= usize::from(record.is_original());
        self.without_pieces -= usize::from(record.lacks_pieces());
        self.established -= usize::from(record.is_established());
        self.index_incarnation(slot, record.incarnation, None);
        Some(self.snapshot(&record))
    }

    /// Removes a peer that has left: nothing that it sent before brings it back.
    pub fn remove_left(
        &mut self,
        id: &NodeId,
        extension: Option<&Extension>,
        now: Duration,
    ) -> Option<Peer> {
        if let Some(slot) = self.slot(id) {
            self.remember(slot, now);
        }
        if let Some(extension) = extension {
            let record = self.record(id).expect("the peer is in the table");
            let count = extension.count.unwrap_or(0).max(record.count);
            let (incarnation, until) = (extension.incarnation, now + TOMBSTONE_TIME);
            let addresses = record.confirmed_addresses();
            let tombstone = Former { incarnation, count, until, addresses };
            keep(&mut self.tombstones, id.clone(), tombstone, now);
        }
        self.remove(id)
    }

    /// Removes a peer that was silent for too long. If it comes back, it gets its id back.
    pub fn remove_silent(&mut self, id: &NodeId, now: Duration) -> Option<Peer> {
        let slot = self.slot(id)?;
        self.remember(slot, now);
        self.remove(id)
    }

    /// Remembers where a member was. A peer of fewer than ten heartbeats has earned nothing.
    fn remember(&mut self, slot: usize, now: Duration) {
        let record = self.slots[slot].as_ref().expect("the index leads to records");
        let Some(incarnation) = record.incarnation else { return };
        if u64::from(record.beats) < MEMBER_BEATS {
            return;
        }
        let addresses = record.confirmed_addresses();
        let (count, until) = (record.count, now + HOME_TIME);
        let of_address = |it: &&Former| it.addresses.first() == addresses.first();
        if self.homes.values().filter(of_address).count() < MAX_HOMES_OF_ADDRESS {
            let home = Former { incarnation, count, until, addresses };
            keep(&mut self.homes, record.id.clone(), home, now);
        }
    }

    /// The next thing that is to be done at `now`, if there is one. A peer that is `Dead` stays in the
    /// table until it is removed, and is due again after [`WITHHELD_AGAIN`].
    pub fn next_transition(&mut self, now: Duration, random: &mut Random) -> Option<Transition> {
        let (all_probes, longest_step) = (self.all_probes(), self.longest_step());
        let slack = self.slack();
        let mut early = 0;
        while let Some(&Reverse((due, slot, generation))) = self.deadlines.peek() {
            let place = &mut self.slots[slot as usize];
            let is_it =
                |record: &&mut Record| record.generation == generation && record.armed == due;
            let current = place.as_mut().filter(is_it);
            let Some(record) = current else {
                self.deadlines.pop();
                continue;
            };
            let due = due.time();
            let deadline = record.deadline(self.timeout, slack);
            // Moved on early, which saves a wake-up; but not a deadline that comes first.
            if due >= now {
                if deadline <= due || record.beat.is_none() || early == MAX_EARLY {
                    return None;
                }
                early += 1;
            }
            let transition = match record.standing {
                _ if deadline > due => None,
                Standing::Alive if record.may_be_late(self.timeout) => {
                    record.standing = Standing::Late;
                    Some(Transition::Late(record.id.clone()))
                }
                Standing::Alive | Standing::Late => {
                    // A peer that was heard once is not probed: it may have been invented.
                    // Instead it gets another timeout.
                    let (probes, wait) = match record.is_established() {
                        true => (0, PROBE_SPREAD.mul_f64(random.fraction())),
                        false => (all_probes, PROBE_TIME),
                    };
                    record.standing = Standing::Suspect { probes, next: (now + wait).into() };
                    self.suspects.add(record);
                    Some(Transition::Suspect(record.id.clone()))
                }
                // In a group that has become small meanwhile all its probes would take longer.
                Standing::Suspect { probes, .. }
                    if probes < all_probes
                        && (probes < PROBES || now < earliest_end(record, self.timeout)) =>
                {
                    let next = now + probe_step(longest_step, random);
                    record.standing = Standing::Suspect { probes: probes + 1, next: next.into() };
                    Some(Transition::Probe(record.id.clone()))
                }
                Standing::Suspect { .. } if record.has_lone_word() => {
                    self.suspects.remove(record);
                    record.believe_lone_word();
                    None
                }
                Standing::Suspect { probes, .. } => {
                    // A leave that was not believed makes suspect early, but down no earlier.
                    let earliest = earliest_end(record, self.timeout);
                    let next = if earliest > now { earliest } else { now + WITHHELD_AGAIN };
                    record.standing = Standing::Suspect { probes, next: next.into() };
                    (earliest <= now).then(|| Transition::Dead(record.id.clone()))
                }
            };
            record.armed = record.deadline(self.timeout, slack).into();
            let entry = Reverse((record.armed, slot, generation));
            *self.deadlines.peek_mut().expect("there is a top") = entry;
            if transition.is_some() {
                return transition;
            }
        }
        None
    }

    /// When [`Membership::next_transition`] is to be asked next.
    pub fn next_deadline(&self) -> Option<Duration> {
        const JUST_AFTER: Duration = Duration::from_nanos(1);
        let restart = self.restarts.iter().map(|(due, _)| *due).min();
        let deadline = self.deadlines.peek().map(|Reverse((due, ..))| due.time() + JUST_AFTER);
        [restart, deadline].into_iter().flatten().min()
    }

    /// This node itself was away for `gap`: no peer could be heard, so that time does not count.
    pub fn shift(&mut self, gap: Duration, now: Duration) {
        self.rearm(|record| {
            let later = |moment: Moment| Moment::from((moment.time() + gap).min(now));
            record.heard = later(record.heard);
            for known in record.paths.iter_mut() {
                known.heard = later(known.heard);
            }
            if let Standing::Suspect { next, .. } = &mut record.standing {
                *next = (next.time() + gap).into();
            }
            record.beat_at = None;
        });
    }

    /// Suspects that fell silent in a silence of all peers, which began at `since`, get as long as
    /// if they had just been heard. The others are probed once more.
    pub fn forgive(&mut self, since: Duration, now: Duration) {
        let mut suspects = Suspects::default();
        self.rearm(|record| {
            if !record.is_suspect() {
                return;
            }
            // Within its interval before that it need not have been heard.
            let interval = record.told.or(record.beat).map_or(Duration::ZERO, Span::time);
            if record.heard.time() + interval * 5 / 4 < since {
                // It could not answer in the silence, and is asked again.
                if record.is_established() {
                    record.standing = Standing::Suspect { probes: 0, next: now.into() };
                }
                suspects.add(record);
                return;
            }
            record.heard = now.into();
            record.beat_at = None;
            record.standing = Standing::Alive;
        });
        self.suspects = suspects;
    }

    fn rearm(&mut self, mut change: impl FnMut(&mut Record)) {
        let slack = self.slack();
        self.deadlines.clear();
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if let Some(record) = slot {
                change(record);
                record.armed = record.deadline(self.timeout, slack).into();
                self.deadlines.push(Reverse((record.armed, at as u32, record.generation)));
            }
        }
    }

    fn arm_if_nearer(&mut self, slot: usize) {
        let record = self.slots[slot].as_mut().expect("only called for records");
        // Without the slack, which costs more than to look at it again in time.
        let deadline = record.deadline(self.timeout, Duration::ZERO).into();
        if deadline < record.armed {
            record.armed = deadline;
            let entry = Reverse((deadline, slot as u32, record.generation));
            self.push_deadline(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::claims::{Claims, Due};
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const NEXT_TO_IT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

    fn at(ms: u64) -> Now {
        Now { mono: Duration::from_millis(ms), unix_ms: ms }
    }

    fn id(text: &str) -> NodeId {
        NodeId::new(text).unwrap()
    }

    fn table(timeout: u64) -> Membership {
        Membership::new(Duration::from_millis(timeout), 100)
    }

    fn hear(table: &mut Membership, name: &str, extension: Option<Extension>, ms: u64) -> Heard {
        try_hear(table, name, extension, ms).unwrap()
    }

    fn try_hear(
        table: &mut Membership,
        name: &str,
        extension: Option<Extension>,
        ms: u64,
    ) -> Result<Heard, NotHeard> {
        let (id, now) = (&id(name), at(ms));
        let extension = extension.as_ref();
        // Two of one host count as one witness.
        let origin = if name == "c" { NEXT_TO_IT } else { HERE }.into();
        table.hear(Hearing { id, origin, meta: Some("1"), beat: true, extension, now })
    }

    fn caster(incarnation: u32, count: u32) -> Option<Extension> {
        Some(Extension {
            incarnation,
            count: Some(count),
            interval: Some(100),
            ..Default::default()
        })
    }

    /// Everything that is due up to then, at the moment at which it is.
    fn run(table: &mut Membership, until: u64) -> Vec<(u64, String)> {
        let until = Duration::from_millis(until);
        let (mut all, mut random) = (Vec::new(), Random::new(1));
        while let Some(due) = table.next_deadline().filter(|&due| due <= until) {
            while let Some(transition) = table.next_transition(due, &mut random) {
                let text = match &transition {
                    Transition::Late(id) => format!("late {id}"),
                    Transition::Suspect(id) => format!("suspect {id}"),
                    Transition::Probe(id) => format!("probe {id}"),
                    Transition::Dead(id) => {
                        table.remove(id);
                        format!("dead {id}")
                    }
                };
                all.push((due.as_millis() as u64, text));
            }
        }
        all
    }

    #[test]
    fn each_peer_has_one_deadline() {
        let mut table = Membership::new(Duration::from_millis(500), 1000);
        for beat in [500, 1000, 2000] {
            for ms in (100_000..).take(10 * beat) {
                if ms as usize % beat < 300 {
                    hear(&mut table, &format!("{}", ms as usize % beat), None, ms);
                }
                run(&mut table, ms);
            }
            assert_eq!(table.len(), 300);
            assert_eq!(table.deadlines.len(), table.len(), "a beat of {beat} ms");
            let all: Vec<NodeId> = table.peers().map(|peer| peer.id).collect();
            all.iter().for_each(|id| drop(table.remove(id)));
            run(&mut table, 200_000);
        }
    }

    #[test]
    fn silence_makes_suspect_then_probes_then_kills() {
        let mut table = table(500);
        for count in 0..4 {
            hear(&mut table, "a", caster(1, count), 100 * u64::from(count));
        }
        assert!(run(&mut table, 800).is_empty());
        let all = run(&mut table, 5000);
        assert_eq!(all[0], (800, "suspect a".into()));
        let probes = all.iter().filter(|(_, what)| what == "probe a").count();
        assert_eq!(probes, PROBES_IN_SMALL_GROUP as usize);
        assert_eq!(all.last(), Some(&(1300, "dead a".into())));
        assert_eq!((table.len(), table.suspects()), (0, 0));
    }

    #[test]
    fn a_suspect_that_answers_or_is_corroborated_is_alive() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 0), 0);
        assert_eq!(run(&mut table, 600)[0].1, "suspect a");
        assert!(table.get(&id("a")).unwrap().suspect);
        hear(&mut table, "a", caster(1, 1), 600);
        assert!(!table.get(&id("a")).unwrap().suspect);
        assert_eq!(run(&mut table, 1150)[0], (1100, "suspect a".into()));
        table.corroborate(&id("a"), Duration::from_millis(450), &id("b"), false, at(1150));
        assert!(!table.get(&id("a")).unwrap().suspect);
        assert_eq!(table.get(&id("a")).unwrap().last_seen, 700);
        // A corroboration counts from when it was heard, not from when it was told.
        assert_eq!(run(&mut table, 1250)[0], (1200, "suspect a".into()));
        table.corroborate(&id("a"), Duration::from_millis(700), &id("b"), false, at(1250));
        assert!(table.get(&id("a")).unwrap().suspect, "too old to help");
    }

    #[test]
    fn a_slow_original_is_suspected_by_its_own_interval() {
        let mut table = table(500);
        hear(&mut table, "slow", None, 0);
        assert_eq!(table.originals(), 0, "one heartbeat could be of any program");
        assert!(run(&mut table, 5000).is_empty(), "generous until the interval is known");
        hear(&mut table, "slow", None, 3000);
        assert_eq!(table.originals(), 1);
        assert!(run(&mut table, 10_500).is_empty());
        assert_eq!(run(&mut table, 20_000).last().unwrap().0, 11_000);
        assert_eq!(table.originals(), 0);
    }

    #[test]
    fn a_beat_that_is_learned_brings_the_deadline_nearer() {
        let mut table = table(500);
        for ms in [0, 100, 200] {
            hear(&mut table, "quick", None, ms);
        }
        let all = run(&mut table, 5000);
        assert_eq!(all[0], (700, "suspect quick".into()));
    }

    #[test]
    fn a_slot_used_again_does_not_inherit_a_deadline() {
        let mut table = table(6000);
        hear(&mut table, "a", None, 0);
        table.remove(&id("a"));
        hear(&mut table, "b", None, 5999);
        assert!(run(&mut table, 11_900).is_empty());
        assert_eq!(run(&mut table, 12_400)[0].1, "suspect b");
    }

    #[test]
    fn another_incarnation_replaces_and_late_words_of_the_old_do_not() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 5), 0);
        let heard = hear(&mut table, "a", caster(2, 0), 10);
        assert!(heard.new && heard.replaced.unwrap().first_seen == 0);
        assert_eq!(try_hear(&mut table, "a", caster(1, 4), 20), Err(NotHeard::Stale));
        assert_eq!(try_hear(&mut table, "a", caster(1, 5), 20), Err(NotHeard::Stale));
        assert_eq!(table.get(&id("a")).unwrap().first_seen, 10);
    }

    #[test]
    fn two_nodes_with_one_id_are_a_conflict_and_do_not_flap() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 0), 0);
        hear(&mut table, "a", caster(2, 0), 10);
        let mut conflicts = 0;
        for count in 1..50 {
            for incarnation in [1, 2] {
                let heard =
                    hear(&mut table, "a", caster(incarnation, count), 10 + u64::from(count));
                assert!(!heard.new && heard.replaced.is_none());
                conflicts += u32::from(heard.conflict);
            }
        }
        assert_eq!(conflicts, 1);
    }

    #[test]
    fn a_peer_is_not_one_of_the_two_that_corroborate_it() {
        let mut table = table(500);
        for count in 0..60u32 {
            for name in ["a", "b", "c"] {
                if name != "a" || count < 20 {
                    hear(&mut table, name, caster(1, count), 100 * u64::from(count));
                }
            }
        }
        table.corroborate(&id("a"), Duration::ZERO, &id("a"), false, at(2000));
        // Heard last at 1900: the word of one member has counted until 4400.
        assert!(!table.corroborate(&id("a"), Duration::from_millis(10), &id("c"), false, at(4450)));
        assert!(table.corroborate(&id("a"), Duration::from_millis(10), &id("b"), false, at(4460)));
    }

    #[test]
    fn a_host_that_slept_believes_the_counts_that_went_on_meanwhile() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 0), 0);
        let (name, extension) = (id("a"), caster(1, 30_000));
        let hear_at = |table: &mut Membership, now| {
            let extension = extension.as_ref();
            let origin = HERE.into();
            table.hear(Hearing { id: &name, origin, meta: None, beat: true, extension, now })
        };
        assert_eq!(hear_at(&mut table, at(100)), Err(NotHeard::Implausible));
        let woken = Now { mono: Duration::from_millis(100), unix_ms: 3_600_000 };
        assert!(hear_at(&mut table, woken).is_ok());
    }

    #[test]
    fn peers_that_claim_one_incarnation_do_not_make_the_search_for_it_long() {
        let mut table = Membership::new(Duration::from_secs(60), 1000);
        let claim =
            |table: &mut Membership, name: &str, count| hear(table, name, caster(7, count), 0);
        for liar in 0..500 {
            claim(&mut table, &format!("liar {liar}"), 1);
        }
        for count in 1..3 {
            claim(&mut table, "c", count);
            assert_eq!(table.incarnations.len(), MAX_OF_INCARNATION);
            assert_eq!(table.sender(7, NEXT_TO_IT), None, "the liars were first");
        }
        hear(&mut table, "other", caster(8, 1), 0);
        assert_eq!(table.sender(8, HERE), Some(id("other")));
        table.remove(&id("liar 3"));
        claim(&mut table, "c", 3);
        assert_eq!(table.sender(7, NEXT_TO_IT), Some(id("c")), "found with its next heartbeat");
        let all: Vec<NodeId> = table.peers().map(|peer| peer.id).collect();
        all.iter().for_each(|id| drop(table.remove(id)));
        assert_eq!((table.incarnations.len(), table.with_incarnation), (0, 0));
    }

    #[test]
    fn a_late_datagram_of_an_incarnation_that_left_does_not_remove_the_next_one() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 5), 0);
        table.remove_left(&id("a"), caster(1, 8).as_ref(), Duration::ZERO);
        hear(&mut table, "a", caster(2, 0), 10);
        assert_eq!(try_hear(&mut table, "a", caster(1, 4), 20), Err(NotHeard::Stale));
        assert!(table.is_current(&id("a"), caster(2, 0).as_ref()));
    }

    #[test]
    fn what_was_sent_before_the_goodbye_does_not_undo_it() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 5), 0);
        table.remove_left(&id("a"), caster(1, 8).as_ref(), Duration::ZERO);
        assert_eq!(try_hear(&mut table, "a", caster(1, 7), 1), Err(NotHeard::Stale));
        // It goes on: the leave was not its own.
        assert_eq!(try_hear(&mut table, "a", caster(1, 8), 1), Err(NotHeard::Stale));
        assert!(hear(&mut table, "a", caster(1, 9), 2).new);
        assert!(hear(&mut table, "b", caster(2, 0), 3).new);
    }

    #[test]
    fn loss_is_estimated_from_the_numbers_of_the_beats() {
        let loss_of = |step: usize| {
            let mut table = table(500);
            for count in (0..1000).step_by(step) {
                hear(&mut table, "a", caster(1, count), u64::from(count));
            }
            table.get(&id("a")).unwrap().loss_per_mille
        };
        assert_eq!(loss_of(1), 0);
        assert!((450..550).contains(&loss_of(2)), "{}", loss_of(2));
        assert!((850..950).contains(&loss_of(10)), "{}", loss_of(10));
    }

    #[test]
    fn time_in_which_nobody_could_be_heard_does_not_count() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 0), 0);
        table.shift(Duration::from_secs(30), Duration::from_secs(30));
        assert!(run(&mut table, 30_500).is_empty());
        assert_eq!(run(&mut table, 30_600)[0].1, "suspect a");
        table.forgive(Duration::ZERO, Duration::from_millis(30_700));
        assert_eq!(table.suspects(), 0);
        assert!(run(&mut table, 31_200).is_empty());
    }

    #[test]
    fn a_full_table_refuses_the_new_and_keeps_the_old() {
        let mut table = Membership::new(Duration::from_millis(500), 2);
        for ms in 0..2 {
            for name in ["a", "b"] {
                hear(&mut table, name, None, ms);
            }
        }
        assert_eq!(try_hear(&mut table, "c", None, 2), Err(NotHeard::Full));
        assert!(!hear(&mut table, "a", None, 3).new);
    }

    #[test]
    fn a_full_table_has_room_for_a_peer_that_beats_twice() {
        let mut table = Membership::new(Duration::from_millis(500), 10);
        for ms in 0..2 {
            for name in ["a", "b", "c"] {
                hear(&mut table, name, None, ms);
            }
        }
        // Heard once each, and all from one address.
        for n in 0..5000 {
            hear(&mut table, &format!("invented {n}"), None, 2);
        }
        let (newcomer, now) = (&id("newcomer"), at(3));
        let origin = IpAddr::from([10, 0, 0, 9]).into();
        let of = |count| caster(5, count);
        for count in 0..2 {
            let extension = of(count);
            let hearing = Hearing {
                id: newcomer,
                origin,
                meta: None,
                beat: true,
                extension: extension.as_ref(),
                now,
            };
            table.hear(hearing).unwrap();
            for n in 0..3 {
                hear(&mut table, &format!("more {count} {n}"), None, 3);
            }
        }
        for name in ["a", "b", "c", "newcomer"] {
            assert!(table.has(&id(name)), "{name}");
        }
        assert_eq!(table.len(), 10);
    }

    #[test]
    fn a_repeated_heartbeat_is_no_sign_of_life() {
        let mut table = table(500);
        beats(&mut table, "a", 8);
        let mut said = |count, ms| try_hear(&mut table, "a", caster(1, count), ms);
        // By unicast a peer tells the count of its next heartbeat to the group.
        assert!(said(7, 1000).is_ok());
        assert_eq!(said(7, 2000), Err(NotHeard::Stale));
        for (ms, count) in (2000..).zip([4, 5, 6, 4, 5, 6, 4, 4, 5]) {
            assert_eq!(said(count, ms), Err(NotHeard::Stale), "{ms}");
        }
        assert!(said(8, 2100).is_ok());
    }

    #[test]
    fn a_node_that_was_set_back_is_heard_after_four_heartbeats() {
        let mut table = table(500);
        beats(&mut table, "a", 8);
        for count in 2..5 {
            let heard = try_hear(&mut table, "a", caster(1, count), 1000 + u64::from(count));
            assert_eq!(heard, Err(NotHeard::Stale));
        }
        assert!(try_hear(&mut table, "a", caster(1, 5), 1010).is_ok());
        assert!(try_hear(&mut table, "a", caster(1, 6), 1100).is_ok());
    }

    #[test]
    fn a_heartbeat_without_metadata_is_no_restart() {
        let mut table = table(500);
        beats(&mut table, "a", 3);
        let extension = caster(2, 0);
        let mut hear = |meta| {
            let (id, extension) = (&id("a"), extension.as_ref());
            table.hear(Hearing {
                id,
                origin: HERE.into(),
                meta,
                beat: true,
                extension,
                now: at(400),
            })
        };
        assert_eq!(hear(None), Err(NotHeard::Stale));
        assert!(hear(Some("1")).unwrap().replaced.is_some());
    }

    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 66));

    fn hear_from(
        table: &mut Membership,
        name: &str,
        extension: Option<Extension>,
        from: IpAddr,
        ms: u64,
    ) -> Result<Heard, NotHeard> {
        let (id, now) = (&id(name), at(ms));
        let extension = extension.as_ref();
        table.hear(Hearing { id, origin: from.into(), meta: Some("1"), beat: true, extension, now })
    }

    /// Heartbeats of `name` at each 100 ms from 0 on.
    fn beats(table: &mut Membership, name: &str, count: u32) {
        (0..count).for_each(|n| drop(hear(table, name, caster(1, n), 100 * u64::from(n))));
    }

    fn corroborate(table: &mut Membership, by: &str, age: u64, ms: u64) -> bool {
        table.corroborate(&id("a"), Duration::from_millis(age), &id(by), false, at(ms))
    }

    #[test]
    fn another_address_counts_once_the_peer_has_told_it() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 0), 0);
        for claim in [caster(1, 1), caster(2, 0)] {
            let heard = hear_from(&mut table, "a", claim, ELSEWHERE, 1);
            assert_eq!(heard, Err(NotHeard::Unconfirmed));
        }
        let own = vec![HERE, ELSEWHERE];
        hear(&mut table, "a", Some(Extension { own, ..caster(1, 1).unwrap() }), 2);
        assert!(hear_from(&mut table, "a", caster(1, 2), ELSEWHERE, 3).is_ok());
    }

    #[test]
    fn a_restart_forgets_the_addresses_that_were_told() {
        let mut table = table(500);
        let own = vec![HERE, ELSEWHERE];
        hear(&mut table, "a", Some(Extension { own, ..caster(1, 1).unwrap() }), 0);
        assert!(table.uses(&id("a"), ELSEWHERE));
        hear(&mut table, "a", caster(2, 0), 1);
        assert!(!table.uses(&id("a"), ELSEWHERE));
    }

    #[test]
    fn a_twin_counts_from_an_address_that_one_of_the_two_uses() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 5), 0);
        hear(&mut table, "a", caster(2, 0), 10);
        let heard = hear_from(&mut table, "a", caster(1, 6), ELSEWHERE, 20);
        assert_eq!(heard, Err(NotHeard::Unconfirmed));
        assert!(hear(&mut table, "a", caster(1, 6), 20).conflict);
    }

    #[test]
    fn twins_that_differ_in_metadata_cause_no_updates() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 5), 0);
        hear(&mut table, "a", caster(2, 0), 10);
        for count in 6..20 {
            for (incarnation, meta) in [(1, "1"), (2, "2")] {
                let extension = caster(incarnation, count);
                let (id, origin, extension) = (&id("a"), HERE.into(), extension.as_ref());
                let (meta, now) = (Some(meta), at(20 + u64::from(count)));
                let hearing = Hearing { id, origin, meta, beat: true, extension, now };
                assert!(!table.hear(hearing).unwrap().meta_changed);
            }
        }
    }

    #[test]
    fn restarts_are_told_at_once_and_then_after_1_2_4_and_5_seconds() {
        let mut table = table(500);
        hear(&mut table, "a", caster(0, 0), 0);
        let mut told = Vec::new();
        for ms in (100..20_000).step_by(100) {
            let new = hear(&mut table, "a", caster(ms as u32, 0), ms).new;
            if new || table.take_restart(at(ms).mono).is_some() {
                told.push(ms);
            }
        }
        assert_eq!(told, [100, 1100, 3100, 7100, 12_100, 17_100]);
    }

    #[test]
    fn a_heartbeat_without_extension_is_not_of_a_peer_that_sends_it() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 0), 0);
        assert_eq!(try_hear(&mut table, "a", None, 1), Err(NotHeard::Stale));
    }

    #[test]
    fn another_leave_hash_within_an_incarnation_is_not_believed() {
        let mut table = table(500);
        let with = |leave_hash, count| {
            Some(Extension { leave_hash: Some(leave_hash), ..caster(1, count).unwrap() })
        };
        hear(&mut table, "a", with(7, 0), 0);
        assert_eq!(try_hear(&mut table, "a", with(8, 1), 1), Err(NotHeard::Implausible));
        assert!(try_hear(&mut table, "a", with(7, 1), 1).is_ok());
        assert!(try_hear(&mut table, "a", caster(1, 2), 2).is_ok());
        assert_eq!(table.leave_hash(&id("a")), Some(7), "a heartbeat without one takes none away");
    }

    #[test]
    fn a_count_may_rise_by_64_and_by_one_in_10_ms() {
        let mut table = table(50_000);
        hear(&mut table, "a", caster(1, 0), 0);
        assert_eq!(try_hear(&mut table, "a", caster(1, 165), 1000), Err(NotHeard::Implausible));
        assert!(try_hear(&mut table, "a", caster(1, 164), 1000).is_ok());
        assert_eq!(try_hear(&mut table, "a", caster(1, 229), 1000), Err(NotHeard::Implausible));
        assert!(try_hear(&mut table, "a", caster(1, 228), 1000).is_ok());
    }

    #[test]
    fn a_member_that_was_gone_gets_its_id_back_at_the_address_that_it_had() {
        // How many heartbeats it had sent, when it comes back, and with which incarnation and count.
        for (sent, back, incarnation, count, returns) in [
            (10, 5000, 2, 0, true),
            (9, 5000, 2, 0, false),
            (10, 301_999, 2, 0, true),
            (10, 302_000, 2, 0, false),
            (10, 5000, 1, 9, false),
            (10, 5000, 1, 10, true),
        ] {
            let mut table = table(500);
            beats(&mut table, "a", sent);
            table.remove_silent(&id("a"), at(2000).mono);
            for (count, ms) in [(0, 3000), (1, 3100)] {
                hear_from(&mut table, "a", caster(7, count), ELSEWHERE, ms).unwrap();
            }
            let heard = try_hear(&mut table, "a", caster(incarnation, count), back);
            let case = format!("{sent} {back} {incarnation} {count}");
            assert_eq!(heard.is_ok_and(|it| it.new && it.replaced.is_some()), returns, "{case}");
            if returns {
                // The other one neither goes on as a twin nor gets the id back in the same way.
                let other = hear_from(&mut table, "a", caster(7, 2), ELSEWHERE, back + 1);
                assert_eq!(other, Err(NotHeard::Unconfirmed), "{case}");
                let other = hear_from(&mut table, "a", caster(8, 0), ELSEWHERE, back + 2);
                assert_eq!(other, Err(NotHeard::Unconfirmed), "{case}");
            }
        }
    }

    #[test]
    fn a_member_that_has_left_gets_its_id_back_from_an_original_too() {
        for holder in [None, caster(7, 0)] {
            let mut table = table(500);
            beats(&mut table, "a", 10);
            table.remove_left(&id("a"), caster(1, 10).as_ref(), at(2000).mono);
            hear_from(&mut table, "a", holder, ELSEWHERE, 3000).unwrap();
            let late = try_hear(&mut table, "a", caster(1, 10), 3500);
            assert!(late.is_err(), "{late:?}");
            assert!(hear(&mut table, "a", caster(2, 0), 4000).replaced.is_some());
        }
    }

    /// A claim about `a` that was not answered.
    fn unanswered(from: IpAddr, ms: u64) -> Claim {
        let (mut claims, mut random) = (Claims::default(), Random::new(1));
        let origin = from.into();
        claims.raise(&id("a"), origin, Some(1), Duration::ZERO, at(ms).mono, &mut random);
        loop {
            let due = claims.next_due().unwrap();
            if let Some(Due::Unanswered(claim)) = claims.take_due(due, &mut random) {
                return claim;
            }
        }
    }

    #[test]
    fn an_address_that_silence_has_made_believed_is_no_home() {
        let mut table = table(5000);
        beats(&mut table, "a", 12);
        assert!(table.believe(&unanswered(ELSEWHERE, 2000), at(2400)));
        let own = vec![ELSEWHERE, NEXT_TO_IT];
        let told = Some(Extension { own, ..caster(1, 12).unwrap() });
        hear_from(&mut table, "a", told, ELSEWHERE, 2500).unwrap();
        table.remove_silent(&id("a"), at(9000).mono);
        assert_eq!(table.homes[&id("a")].addresses, [HERE]);
    }

    #[test]
    fn another_incarnation_where_silence_was_believed_leaves_the_home() {
        let mut table = table(5000);
        beats(&mut table, "a", 12);
        assert!(table.believe(&unanswered(ELSEWHERE, 2000), at(2400)));
        assert!(hear_from(&mut table, "a", caster(7, 0), ELSEWHERE, 2500).unwrap().new);
        assert!(hear(&mut table, "a", caster(2, 0), 4000).replaced.is_some(), "it is back");
        let other = hear_from(&mut table, "a", caster(7, 1), ELSEWHERE, 4100);
        assert_eq!(other, Err(NotHeard::Unconfirmed));
    }

    #[test]
    fn homes_are_bounded_in_all_and_by_address() {
        let mut table = Membership::new(Duration::from_millis(500), 5000);
        let come_and_go = |table: &mut Membership, name: &str, address: IpAddr| {
            for n in 0..10 {
                hear_from(table, name, caster(1, n), address, 100 * u64::from(n)).unwrap();
            }
            table.remove_silent(&id(name), at(1000).mono);
        };
        (0..100).for_each(|n| come_and_go(&mut table, &format!("a{n}"), ELSEWHERE));
        assert_eq!(table.homes.len(), MAX_HOMES_OF_ADDRESS);
        for n in 0..1100u16 {
            let [high, low] = n.to_be_bytes();
            come_and_go(&mut table, &format!("b{n}"), IpAddr::from([10, 1, high, low]));
        }
        assert_eq!(table.homes.len(), MAX_FORMER);
    }

    #[test]
    fn a_tombstone_yields_only_to_an_address_that_the_peer_used() {
        let mut table = table(500);
        beats(&mut table, "a", 3);
        table.remove_left(&id("a"), caster(1, 3).as_ref(), Duration::from_millis(300));
        let from = |table: &mut Membership, origin: IpAddr| {
            let extension = caster(1, 9);
            let (id, extension) = (&id("a"), extension.as_ref());
            let now = at(400);
            table.hear(Hearing {
                id,
                origin: origin.into(),
                meta: None,
                beat: true,
                extension,
                now,
            })
        };
        assert_eq!(from(&mut table, NEXT_TO_IT).unwrap_err(), NotHeard::Stale);
        assert!(from(&mut table, HERE).unwrap().new);
    }

    #[test]
    fn a_tombstone_has_the_highest_count_and_ends_after_10_s() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 9), 0);
        table.remove_left(&id("a"), caster(1, 5).as_ref(), Duration::ZERO);
        assert_eq!(try_hear(&mut table, "a", caster(1, 9), 9999), Err(NotHeard::Stale));
        assert!(hear(&mut table, "a", caster(1, 9), 10_000).new);
    }

    #[test]
    fn a_peer_heard_once_is_not_probed_and_is_down_one_timeout_later() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 0), 0);
        let all = run(&mut table, 5000);
        assert_eq!(all, [(500, "suspect a".into()), (1500, "dead a".into())]);
    }

    #[test]
    fn probes_of_others_stand_for_the_first_three_and_for_all_of_a_young_peer() {
        for (count, probes) in [(MEMBER_BEATS as u32, PROBES - SUPPRESSED_PROBES), (3, 0)] {
            let mut table = table(500);
            for name in ["a", "b", "c", "d", "e", "f"] {
                beats(&mut table, name, count);
            }
            let last = u64::from(count - 1) * 100;
            ["b", "c", "d", "e", "f"]
                .iter()
                .for_each(|it| drop(hear(&mut table, it, caster(1, count), last + 490)));
            run(&mut table, last + 501);
            let now = at(last + 502).mono;
            (0..10).for_each(|_| table.note_probe(&id("a"), now, &mut Random::new(1)));
            let all = run(&mut table, last + 980);
            let sent = all.iter().filter(|(_, what)| what == "probe a").count();
            assert_eq!(sent, probes as usize, "{all:?}");
        }
    }

    #[test]
    fn the_counts_of_suspects_and_of_established_peers_follow_each_change() {
        let mut table = table(500);
        beats(&mut table, "a", 3);
        beats(&mut table, "b", 3);
        hear(&mut table, "once", caster(1, 0), 200);
        assert_eq!(table.established(), 2);
        run(&mut table, 750);
        assert_eq!((table.suspects(), table.established_suspects()), (3, 2));
        hear(&mut table, "a", caster(1, 3), 751);
        assert_eq!((table.suspects(), table.established_suspects()), (2, 1));
        table.remove(&id("b"));
        assert_eq!((table.suspects(), table.established_suspects()), (1, 0));
        assert_eq!(table.established(), 1);
    }

    #[test]
    fn one_member_counts_for_five_timeouts_and_then_two_together() {
        let mut table = table(500);
        for name in ["a", "b", "c", "d"] {
            beats(&mut table, name, 200);
        }
        // The last heartbeats came at 19,900.
        assert!(corroborate(&mut table, "b", 0, 22_400));
        assert!(!corroborate(&mut table, "b", 0, 22_401), "b again");
        assert!(!corroborate(&mut table, "b", 0, 22_402), "b is one member, not two");
        assert!(!corroborate(&mut table, "d", 0, 22_402), "d is on the host of b");
        assert!(corroborate(&mut table, "c", 0, 22_403));
        assert!(!corroborate(&mut table, "d", 0, 24_904), "the others are five timeouts ago");
        table.remove(&id("c"));
        table.remove(&id("d"));
        assert!(corroborate(&mut table, "b", 0, 27_500), "there is no other");
    }

    #[test]
    fn the_word_of_one_member_waits_for_another_one_until_the_probes_are_over() {
        // The age of the word, whether another member speaks, and whether the peer lives.
        for (age, another, lives) in [(0, false, true), (0, true, true), (600, false, false)] {
            let mut table = table(500);
            for name in ["a", "b", "c", "d"] {
                beats(&mut table, name, 200);
            }
            // The last heartbeats came at 19,900.
            for (count, ms) in (200..).zip((20_000..21_600).step_by(100)) {
                for name in ["b", "c", "d"] {
                    hear(&mut table, name, caster(1, count), ms);
                }
                if [20_300, 20_700, 21_100].contains(&ms) {
                    assert!(corroborate(&mut table, "b", 0, ms));
                }
            }
            run(&mut table, 21_610);
            assert_eq!(corroborate(&mut table, "b", age, 21_610), age == 0);
            assert!(table.get(&id("a")).unwrap().suspect, "it waits");
            if another {
                assert!(corroborate(&mut table, "c", 0, 21_615));
                assert!(!table.get(&id("a")).unwrap().suspect);
            }
            let all = run(&mut table, 22_105);
            assert_eq!(table.has(&id("a")), lives, "{all:?}");
            assert!(!table.get(&id("a")).is_some_and(|it| it.suspect), "{all:?}");
            if another {
                run(&mut table, 22_650);
                assert!(!table.has(&id("a")), "the first word is older than the second");
            }
        }
    }

    #[test]
    fn a_member_is_asked_alone_only_while_another_one_has_spoken_lately() {
        for (second, alone) in [(22_500, true), (20_500, false)] {
            let mut table = table(500);
            for name in ["a", "b", "c", "d"] {
                beats(&mut table, name, 200);
            }
            let b = table.slots[1].as_mut().unwrap();
            (b.port, b.port_state) = (21101, PortState::Answered);
            corroborate(&mut table, "c", 0, second);
            corroborate(&mut table, "b", 0, 22_501);
            let a = table.slots[0].as_mut().unwrap();
            a.standing = Standing::Suspect { probes: 1, next: at(23_000).mono.into() };
            let member = table.last_corroborator(&id("a"), at(22_990).mono);
            assert_eq!(member, alone.then_some(SocketAddr::new(HERE, 21101)));
        }
    }

    #[test]
    fn a_heartbeat_may_be_late_by_its_variation_before_the_peer_is_suspect() {
        for (peers, suspect) in [(4, 500), (5, 525)] {
            let mut table = table(500);
            for n in 0..peers {
                let extension = caster(1, 0).map(|it| Extension { interval: Some(250), ..it });
                hear(&mut table, &n.to_string(), extension, 0);
            }
            let all = run(&mut table, 600);
            assert!(all.iter().all(|(ms, _)| *ms == suspect), "{all:?}");
            assert_eq!(all.len(), peers);
        }
    }

    #[test]
    fn a_stranger_counts_once_in_a_silence() {
        let mut table = table(500);
        beats(&mut table, "a", 20);
        beats(&mut table, "b", 9);
        assert!(corroborate(&mut table, "b", 0, 2000));
        assert!(!corroborate(&mut table, "b", 0, 2001));
        hear(&mut table, "a", caster(1, 20), 2002);
        assert!(corroborate(&mut table, "b", 0, 2003), "another silence");
        hear(&mut table, "a", caster(1, 21), 2004);
        assert!(!corroborate(&mut table, "b", 0, 4505), "five timeouts are over");
    }

    #[test]
    fn heartbeats_within_the_silence_make_no_member() {
        let mut table = table(500);
        beats(&mut table, "a", 1);
        beats(&mut table, "b", 12);
        assert!(corroborate(&mut table, "b", 0, 1100), "as a stranger");
        assert!(!corroborate(&mut table, "b", 0, 1101));
    }

    #[test]
    fn a_corroboration_names_the_time_and_never_an_earlier_one() {
        let mut table = table(500);
        beats(&mut table, "a", 20);
        beats(&mut table, "b", 20);
        assert!(!corroborate(&mut table, "b", 100, 2000), "as old as the last datagram");
        assert!(corroborate(&mut table, "b", 50, 2000));
        assert_eq!(table.get(&id("a")).unwrap().last_seen, 1950);
        assert!(!corroborate(&mut table, "b", 60, 2000));
        assert_eq!(table.silence(&id("a"), at(2000).mono), Some(Duration::from_millis(100)));
    }

    #[test]
    fn a_peer_heard_by_others_only_is_told_of_once() {
        let mut table = table(500);
        beats(&mut table, "a", 2);
        let mut notice = |ms| table.notice_one_way(&id("a"), at(ms).mono);
        assert_eq!([notice(2600), notice(2601), notice(2602)], [false, true, false]);
    }

    #[test]
    fn a_full_table_takes_from_the_address_with_the_most() {
        let mut table = Membership::new(Duration::from_millis(500), 4);
        hear_from(&mut table, "first", caster(1, 0), ELSEWHERE, 0).unwrap();
        for name in ["x", "y", "z"] {
            hear(&mut table, name, caster(1, 0), 1);
        }
        let heard = hear_from(&mut table, "new", caster(1, 0), ELSEWHERE, 2).unwrap();
        assert_eq!(heard.evicted.unwrap().id, id("x"));
    }

    #[test]
    fn peers_silent_before_the_isolation_are_not_forgiven() {
        let mut table = table(500);
        beats(&mut table, "a", 7);
        beats(&mut table, "b", 10);
        run(&mut table, 1450);
        assert_eq!(table.suspects(), 2);
        table.forgive(at(900).mono, at(1450).mono);
        assert!(table.get(&id("a")).unwrap().suspect, "silent since 600");
        assert!(!table.get(&id("b")).unwrap().suspect, "silent since 900");
        assert_eq!(table.suspects(), 1);
    }

    fn with_port(count: u32, port: u16, misreported: bool) -> Option<Extension> {
        Some(Extension { port: Some(port), misreported, ..caster(1, count).unwrap() })
    }

    #[test]
    fn a_refusal_speaks_against_a_late_peer_whose_port_has_answered() {
        let port = SocketAddr::new(HERE, 21101);
        // Whether it has answered, says that it was misreported, is late, has another port now.
        for (answered, misreported, late, moved, speaks) in [
            (true, false, true, false, true),
            (false, false, true, false, false),
            (true, true, true, false, false),
            (true, false, false, false, false),
            (true, false, true, true, false),
        ] {
            let mut table = table(500);
            beats(&mut table, "a", 2);
            hear(&mut table, "a", with_port(2, 21101, false), 200);
            if answered {
                table.note_port_answered(&id("a"), 21101);
            }
            let port = if moved { SocketAddr::new(HERE, 21102) } else { port };
            hear(&mut table, "a", with_port(3, port.port(), misreported), 300);
            run(&mut table, if late { 850 } else { 350 });
            assert_eq!(table.refused(port).len(), usize::from(speaks), "{answered} {moved}");
            let proves = (misreported, late) == (false, true);
            assert_eq!(table.port(&id("a"), 1).is_some(), proves, "{misreported} {late}");
        }
    }

    #[test]
    fn an_original_whose_host_refused_while_it_lived_never_dies_of_a_refusal() {
        for early in [false, true] {
            let mut table = table(500);
            hear(&mut table, "old", None, 0);
            hear(&mut table, "old", None, 1000);
            if early {
                assert!(table.refused_originals(HERE).is_empty());
            }
            run(&mut table, 3600);
            assert_eq!(table.refused_originals(HERE).len(), usize::from(!early));
        }
    }

    #[test]
    fn a_record_is_small() {
        let size = size_of::<Option<Record>>();
        assert!(size <= 184, "{size} bytes; docs/benchmarks says what a node takes in all");
    }

    #[test]
    fn many_come_and_go_and_each_is_found() {
        let mut table = Membership::new(Duration::from_secs(10), 10_000);
        for round in 0..3 {
            for n in 0..10_000 {
                hear(&mut table, &format!("{round}-{n}"), None, n);
            }
            assert_eq!((table.len(), table.peers().count()), (10_000, 10_000));
            for n in 0..10_000 {
                let name = id(&format!("{round}-{n}"));
                assert_eq!(table.get(&name).unwrap().first_seen, n);
                assert_eq!(table.remove(&name).unwrap().id, name);
                assert!(!table.has(&name));
            }
            assert_eq!((table.len(), table.originals()), (0, 0));
        }
        assert_eq!(table.slots.len(), 10_000, "slots are used again");
    }
}
