//! Who is there: the table of peers and the moments at which something is to be done about one.
//!
//! A peer is alive; suspect, when it has been silent for too long; or gone. Hearing a peer is
//! O(1): it only notes the time. Each peer has one entry in a heap of deadlines, which is moved to
//! where it belongs by now when it comes to the top; so the heap moves once for each peer and
//! timeout, not once for each datagram. Only a deadline that comes nearer gets a second entry, and
//! the first no longer counts.

use super::envelope::Extension;
use super::paths::{Origin, Path, Paths};
use super::record::{Hearing, Past, Record, Standing};
use super::time::{Moment, Now};
use crate::message::Interface;
use crate::peer::{NodeId, Peer, PeerAddress};
use hashbrown::HashTable;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long a suspect is given to answer after it has become one.
const PROBE_TIME: Duration = Duration::from_millis(500);

/// Up to this many nodes, this one included, are a small group: with few to corroborate for each other
/// they probe more often. Measured in the simulation (docs/liveness.md).
const SMALL_GROUP: usize = 5;
const PROBES: u32 = 8;
const PROBES_IN_SMALL_GROUP: u32 = 20;

/// How often two nodes with one id are reported.
pub(crate) const CONFLICT_NOTICE: Duration = Duration::from_secs(60);

/// When a new peer is looked at first. By then its beat is known, which brings most deadlines nearer:
/// without this each peer would have a second entry in the heap.
const FIRST_LOOK: Duration = Duration::from_millis(1500);

/// How many deadlines that are not due are moved on at a time. All of them would take a tenth of a second
/// with half a million nodes; and where there are many, one wake more for nothing does not count.
const MAX_EARLY: usize = 8;

/// How many goodbyes are remembered, so that a late heartbeat does not bring a node back.
const MAX_TOMBSTONES: usize = 1024;

/// How many interfaces are known by name.
const MAX_INTERFACES: usize = 64;

#[derive(Debug, Default)]
struct Slot {
    record: Option<Record>,
    /// Tells a record from an earlier one in the same slot.
    generation: u32,
}

/// What is large grows by a sixteenth at a time: twice the size would be much to waste.
fn growth(length: usize) -> usize {
    length / 16 + 4
}

/// With the slot and its generation.
type Deadline = Reverse<(Moment, u32, u32)>;

/// Where a peer is, by the hash of its id. That is kept, so that the table grows without a look at
/// each id: with hundreds of thousands of them that would take so long that datagrams are lost.
#[derive(Debug)]
struct Indexed {
    hash: u32,
    slot: u32,
}

impl Indexed {
    /// As many bits as the table looks at.
    fn hash(&self) -> u64 {
        u64::from(self.hash) << 32 | u64::from(self.hash)
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Membership {
    timeout: Duration,
    capacity: usize,
    index: HashTable<Indexed>,
    hasher: RandomState,
    metas: Metas,
    /// Who was asked for last by the text of its id: it will be asked for again at once.
    recent: Option<(NodeId, usize)>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    deadlines: BinaryHeap<Deadline>,
    /// The interfaces that peers were heard by, by their number.
    interfaces: Vec<Interface>,
    suspects: usize,
    originals: usize,
    /// The incarnations that have said goodbye, with their count.
    tombstones: HashMap<NodeId, (u32, u32)>,
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

/// What hearing a peer has told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub new: bool,
    /// It is another incarnation than the one that was known, which this is.
    pub replaced: Option<Peer>,
    pub meta_changed: bool,
    pub address_changed: bool,
    /// Two nodes have this id.
    pub conflict: bool,
}

/// Why a hearing was not taken in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotHeard {
    /// The table is full.
    Full,
    /// It is late: of an incarnation that is gone.
    Stale,
}

/// What is to be done about a peer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    /// An original that is late: whether its port is open can be tried.
    Late(IpAddr),
    /// It has just become suspect.
    Suspect(NodeId),
    /// It is suspect and should be asked to answer.
    Probe(NodeId),
    /// Nobody has heard it in all that time.
    Dead(NodeId),
}

impl Membership {
    pub fn new(timeout: Duration, capacity: usize) -> Self {
        Self {
            timeout,
            capacity,
            index: HashTable::new(),
            hasher: RandomState::new(),
            metas: Metas::default(),
            recent: None,
            slots: Vec::new(),
            free: Vec::new(),
            deadlines: BinaryHeap::new(),
            interfaces: Vec::new(),
            suspects: 0,
            originals: 0,
            tombstones: HashMap::new(),
        }
    }

    /// The slot of the id of which this is the JSON form.
    fn find(&self, json: &str) -> Option<usize> {
        let wanted = self.indexed(json, 0);
        let is_it = |found: &Indexed| {
            let record = || self.slots[found.slot as usize].record.as_ref();
            found.hash == wanted.hash && record().is_some_and(|it| it.id.as_json() == json)
        };
        self.index.find(wanted.hash(), is_it).map(|found| found.slot as usize)
    }

    fn indexed(&self, json: &str, slot: usize) -> Indexed {
        Indexed { hash: self.hasher.hash_one(json) as u32, slot: slot as u32 }
    }

    /// The id in the table of which this is the JSON form.
    pub fn known(&mut self, json: &str) -> Option<NodeId> {
        let slot = self.find(json)?;
        let id = self.slots[slot].record.as_ref()?.id.clone();
        self.recent = Some((id.clone(), slot));
        Some(id)
    }

    fn slot(&self, id: &NodeId) -> Option<usize> {
        match &self.recent {
            Some((recent, slot)) if recent.is(id) => Some(*slot),
            _ => self.find(id.as_json()),
        }
    }

    fn record(&self, id: &NodeId) -> Option<&Record> {
        self.slots[self.slot(id)?].record.as_ref()
    }

    pub fn has(&self, id: &NodeId) -> bool {
        self.slot(id).is_some()
    }

    pub fn get(&self, id: &NodeId) -> Option<Peer> {
        self.record(id).map(|record| self.snapshot(record))
    }

    /// All peers, in the order of their slots.
    pub fn peers(&self) -> impl Iterator<Item = Peer> {
        let records = self.slots.iter().filter_map(|slot| slot.record.as_ref());
        records.map(|record| self.snapshot(record))
    }

    /// Whether this peer was heard from this address.
    pub fn was_heard_from(&self, id: &NodeId, address: IpAddr) -> bool {
        self.record(id).is_some_and(|record| record.paths.has(address))
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
        self.suspects
    }

    /// How many peers beat without the extension: processes of caster 0.1.1.
    pub fn originals(&self) -> usize {
        self.originals
    }

    /// How long ago this peer was heard.
    pub fn age(&self, id: &NodeId, now: Duration) -> Option<Duration> {
        self.record(id).map(|record| now.saturating_sub(record.heard.time()))
    }

    /// Whether this incarnation is the one that is known. Who has never beaten, because it is
    /// hidden, has not told its incarnation yet.
    pub fn is_current(&self, id: &NodeId, extension: Option<&Extension>) -> bool {
        let incarnation = extension.map(|extension| extension.incarnation);
        self.record(id).is_some_and(|record| {
            record.incarnation == incarnation || (record.incarnation.is_none() && !record.beats)
        })
    }

    /// Whether this incarnation has said goodbye.
    pub fn has_tombstone(&self, id: &NodeId, extension: Option<&Extension>) -> bool {
        let incarnation = extension.map(|extension| extension.incarnation);
        self.tombstones.get(id).is_some_and(|(left, _)| incarnation == Some(*left))
    }

    pub fn hear(&mut self, hearing: Hearing<'_>) -> Result<Heard, NotHeard> {
        self.note_interface(hearing.origin.interface);
        let Some(slot) = self.slot(hearing.id) else {
            return self.hear_new(hearing).map(|_| Heard { new: true, ..Heard::default() });
        };
        let record = self.slots[slot].record.as_mut().expect("the index leads to records");
        let mut conflict = false;
        if let Some(extension) = hearing.extension
            && let Some(incarnation) = record.incarnation
            && incarnation != extension.incarnation
        {
            match record.past.as_deref_mut() {
                Some(Past { previous, conflict_told }) if previous.0 == extension.incarnation => {
                    // A late datagram has a count that was seen; a twin goes on counting.
                    if extension.count.is_none_or(|new| new <= previous.1) {
                        return Err(NotHeard::Stale);
                    }
                    *previous = (incarnation, record.count);
                    record.incarnation = Some(extension.incarnation);
                    let now = hearing.now.mono;
                    conflict = conflict_told.is_none_or(|at| now >= at + CONFLICT_NOTICE);
                    if conflict {
                        *conflict_told = Some(now);
                    }
                }
                _ => {
                    let past = Past { previous: (incarnation, record.count), conflict_told: None };
                    if self.was_said_before_leaving(hearing.id, hearing.extension) {
                        return Err(NotHeard::Stale);
                    }
                    let replaced = self.remove(hearing.id);
                    let slot = self.hear_new(hearing)?;
                    let record = self.slots[slot].record.as_mut().expect("it was just put in");
                    record.past = Some(Box::new(past));
                    return Ok(Heard { new: true, replaced, ..Heard::default() });
                }
            }
        }
        let was_original = record.is_original();
        self.suspects -= usize::from(record.is_suspect());
        record.standing = Standing::Alive;
        // Before the beat is learned anew from this.
        let patience = record.patience(self.timeout);
        record.note(&hearing);
        let Hearing { meta, origin, now, .. } = hearing;
        let meta_changed = meta.is_some_and(|meta| record.meta.as_deref() != Some(meta));
        if meta_changed {
            record.meta = meta.map(|meta| self.metas.share(meta));
        }
        let address_changed = record.paths.heard_from(origin, now, patience);
        match (was_original, record.is_original()) {
            (false, true) => self.originals += 1,
            (true, false) => self.originals -= 1,
            _ => {}
        }
        self.arm_if_nearer(slot);
        // Two nodes with one id take turns with everything they differ in.
        let twins = self.slots[slot].record.as_ref().is_some_and(Record::has_twin);
        Ok(Heard {
            meta_changed: meta_changed && !twins,
            address_changed: address_changed && !twins,
            conflict,
            ..Heard::default()
        })
    }

    /// Returns whether this is a late datagram of an incarnation that has left.
    fn was_said_before_leaving(&self, id: &NodeId, extension: Option<&Extension>) -> bool {
        extension.zip(self.tombstones.get(id)).is_some_and(|(extension, &(incarnation, count))| {
            incarnation == extension.incarnation && extension.count.is_none_or(|new| new < count)
        })
    }

    /// Returns the slot.
    fn hear_new(&mut self, hearing: Hearing<'_>) -> Result<usize, NotHeard> {
        let Hearing { id, origin, meta, extension, now, .. } = hearing;
        if self.was_said_before_leaving(id, extension) {
            return Err(NotHeard::Stale);
        }
        if self.len() >= self.capacity {
            return Err(NotHeard::Full);
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
            beat_at: None,
            beat: None,
            told: None,
            incarnation: None,
            count: 0,
            loss_per_mille: 0,
            beats: false,
            past: None,
            armed: Duration::ZERO.into(),
        };
        record.note(&hearing);
        record.armed = record.deadline(self.timeout).min(now.mono + FIRST_LOOK).into();
        let Slot { record: place, generation } = &mut self.slots[slot];
        *generation = generation.wrapping_add(1);
        let entry = Reverse((record.armed, slot as u32, *generation));
        self.originals += usize::from(record.is_original());
        *place = Some(record);
        self.push_deadline(entry);
        let indexed = self.indexed(id.as_json(), slot);
        self.index.insert_unique(indexed.hash(), indexed, Indexed::hash);
        Ok(slot)
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
        self.slots.push(Slot::default());
        self.slots.len() - 1
    }

    /// What was heard of this peer has come by another way too. Returns whether its address is
    /// another one now.
    pub fn hear_copy(&mut self, id: &NodeId, origin: Origin, now: Now) -> bool {
        self.note_interface(origin.interface);
        let Some(slot) = self.slot(id) else { return false };
        let record = self.slots[slot].record.as_mut().expect("the index leads to records");
        let patience = record.patience(self.timeout);
        record.paths.heard_from(origin, now, patience) && !record.has_twin()
    }

    /// Somebody else heard this peer `age` ago: as if it had been heard then, and no later.
    pub fn corroborate(&mut self, id: &NodeId, age: Duration, now: Now) {
        let Some(slot) = self.slot(id) else { return };
        let record = self.slots[slot].record.as_mut().expect("the index leads to records");
        let heard = now.mono.saturating_sub(age);
        if heard <= record.heard.time() {
            return;
        }
        record.heard = heard.into();
        record.last_seen = now.unix_ms.saturating_sub(age.as_millis() as u64);
        if heard + record.patience(self.timeout) > now.mono {
            self.suspects -= usize::from(record.is_suspect());
            record.standing = Standing::Alive;
        }
        self.arm_if_nearer(slot);
    }

    /// Makes a peer suspect at once, whatever it was.
    pub fn suspect(&mut self, id: &NodeId, now: Duration) {
        let Some(slot) = self.slot(id) else { return };
        let record = self.slots[slot].record.as_mut().expect("the index leads to records");
        if !record.is_suspect() {
            record.standing = Standing::Suspect { probes: 0, next: now.into() };
            self.suspects += 1;
            self.arm_if_nearer(slot);
        }
    }

    pub fn remove(&mut self, id: &NodeId) -> Option<Peer> {
        let slot = self.slot(id)?;
        self.recent = None;
        let hash = self.indexed(id.as_json(), slot).hash();
        if let Ok(entry) = self.index.find_entry(hash, |other| other.slot as usize == slot) {
            entry.remove();
        }
        self.free.push(slot as u32);
        let record = self.slots[slot].record.take()?;
        self.suspects -= usize::from(record.is_suspect());
        self.originals -= usize::from(record.is_original());
        Some(self.snapshot(&record))
    }

    /// Removes a peer that has said goodbye: nothing that it sent before brings it back.
    pub fn remove_left(&mut self, id: &NodeId, extension: Option<&Extension>) -> Option<Peer> {
        if let Some(extension) = extension {
            if self.tombstones.len() >= MAX_TOMBSTONES {
                self.tombstones.clear();
            }
            let count = extension.count.unwrap_or(u32::MAX);
            self.tombstones.insert(id.clone(), (extension.incarnation, count));
        }
        self.remove(id)
    }

    /// The originals at this address that are late or suspect.
    pub fn late_originals(&self, address: IpAddr) -> Vec<NodeId> {
        let records = self.slots.iter().filter_map(|slot| slot.record.as_ref());
        records
            .filter(|record| record.is_original() && record.paths.address() == address)
            .filter(|record| record.standing != Standing::Alive)
            .map(|record| record.id.clone())
            .collect()
    }

    /// The next thing that is to be done at `now`, if there is one. What is `Dead` stays in the
    /// table until it is removed, and is judged again after [`PROBE_TIME`].
    pub fn next_transition(&mut self, now: Duration) -> Option<Transition> {
        let all_probes = match self.len() < SMALL_GROUP {
            true => PROBES_IN_SMALL_GROUP,
            false => PROBES,
        };
        let mut early = 0;
        while let Some(&Reverse((due, slot, generation))) = self.deadlines.peek() {
            let place = &mut self.slots[slot as usize];
            let same = place.generation == generation;
            let current = place.record.as_mut().filter(|record| same && record.armed == due);
            let Some(record) = current else {
                self.deadlines.pop();
                continue;
            };
            let due = due.time();
            let deadline = record.deadline(self.timeout);
            // Moved on early, so that nobody wakes for nothing; but not what is to be looked at first.
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
                    Some(Transition::Late(record.paths.address()))
                }
                Standing::Alive | Standing::Late => {
                    record.standing = Standing::Suspect { probes: 0, next: now.into() };
                    self.suspects += 1;
                    Some(Transition::Suspect(record.id.clone()))
                }
                Standing::Suspect { probes, .. } if probes < all_probes => {
                    let next = now + PROBE_TIME / all_probes;
                    record.standing = Standing::Suspect { probes: probes + 1, next: next.into() };
                    Some(Transition::Probe(record.id.clone()))
                }
                Standing::Suspect { probes, .. } => {
                    // A goodbye that was not believed makes suspect early, but kills no earlier.
                    let earliest = record.heard.time() + record.patience(self.timeout) + PROBE_TIME;
                    let next = if earliest > now { earliest } else { now + PROBE_TIME };
                    record.standing = Standing::Suspect { probes, next: next.into() };
                    (earliest <= now).then(|| Transition::Dead(record.id.clone()))
                }
            };
            record.armed = record.deadline(self.timeout).into();
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
        self.deadlines.peek().map(|Reverse((due, ..))| due.time() + JUST_AFTER)
    }

    /// This node itself was away for `gap`: nobody could be heard, so that time does not count.
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

    /// Whoever is suspect gets as long as if it had just been heard.
    pub fn forgive(&mut self, now: Duration) {
        self.suspects = 0;
        self.rearm(|record| {
            if record.is_suspect() {
                record.heard = now.into();
                record.beat_at = None;
                record.standing = Standing::Alive;
            }
        });
    }

    fn rearm(&mut self, mut change: impl FnMut(&mut Record)) {
        self.deadlines.clear();
        for (at, Slot { record, generation }) in self.slots.iter_mut().enumerate() {
            if let Some(record) = record {
                change(record);
                record.armed = record.deadline(self.timeout).into();
                self.deadlines.push(Reverse((record.armed, at as u32, *generation)));
            }
        }
    }

    fn arm_if_nearer(&mut self, slot: usize) {
        let Slot { record, generation } = &mut self.slots[slot];
        let record = record.as_mut().expect("only called for records");
        let deadline = record.deadline(self.timeout).into();
        if deadline < record.armed {
            record.armed = deadline;
            let entry = Reverse((deadline, slot as u32, *generation));
            self.push_deadline(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

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
        table.hear(Hearing { id, origin: HERE.into(), meta: Some("1"), beat: true, extension, now })
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
        let mut all = Vec::new();
        while let Some(due) = table.next_deadline().filter(|&due| due <= until) {
            while let Some(transition) = table.next_transition(due) {
                let text = match &transition {
                    Transition::Late(address) => format!("late {address}"),
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
    fn a_suspect_that_answers_or_is_vouched_for_is_alive() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 0), 0);
        assert_eq!(run(&mut table, 600)[0].1, "suspect a");
        assert!(table.get(&id("a")).unwrap().suspect);
        hear(&mut table, "a", caster(1, 1), 600);
        assert!(!table.get(&id("a")).unwrap().suspect);
        assert_eq!(run(&mut table, 1150)[0], (1100, "suspect a".into()));
        table.corroborate(&id("a"), Duration::from_millis(450), at(1150));
        assert!(!table.get(&id("a")).unwrap().suspect);
        assert_eq!(table.get(&id("a")).unwrap().last_seen, 700);
        // Hearsay counts from when it was heard, not from when it was told.
        assert_eq!(run(&mut table, 1250)[0], (1200, "suspect a".into()));
        table.corroborate(&id("a"), Duration::from_millis(700), at(1250));
        assert!(table.get(&id("a")).unwrap().suspect, "too old to help");
    }

    #[test]
    fn a_slow_original_is_judged_by_its_own_beat() {
        let mut table = table(500);
        hear(&mut table, "slow", None, 0);
        assert!(run(&mut table, 5000).is_empty(), "generous until the beat is known");
        hear(&mut table, "slow", None, 3000);
        assert_eq!(table.originals(), 1);
        assert_eq!(run(&mut table, 10_500), [(7500, "late 127.0.0.1".into())]);
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
        assert_eq!(all[..2], [(350, "late 127.0.0.1".into()), (700, "suspect quick".into())]);
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
    fn a_late_datagram_of_an_incarnation_that_left_does_not_remove_the_next_one() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 5), 0);
        table.remove_left(&id("a"), caster(1, 8).as_ref());
        hear(&mut table, "a", caster(2, 0), 10);
        assert_eq!(try_hear(&mut table, "a", caster(1, 4), 20), Err(NotHeard::Stale));
        assert!(table.is_current(&id("a"), caster(2, 0).as_ref()));
    }

    #[test]
    fn what_was_sent_before_the_goodbye_does_not_undo_it() {
        let mut table = table(500);
        hear(&mut table, "a", caster(1, 5), 0);
        table.remove_left(&id("a"), caster(1, 8).as_ref());
        assert_eq!(try_hear(&mut table, "a", caster(1, 7), 1), Err(NotHeard::Stale));
        // It goes on: the goodbye was not its own.
        assert!(hear(&mut table, "a", caster(1, 8), 2).new);
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
        table.forgive(Duration::from_millis(30_700));
        assert_eq!(table.suspects(), 0);
        assert!(run(&mut table, 31_200).is_empty());
    }

    #[test]
    fn a_full_table_refuses_the_new_and_keeps_the_old() {
        let mut table = Membership::new(Duration::from_millis(500), 2);
        for name in ["a", "b"] {
            hear(&mut table, name, None, 0);
        }
        assert_eq!(try_hear(&mut table, "c", None, 1), Err(NotHeard::Full));
        assert!(!hear(&mut table, "a", None, 1).new);
    }

    #[test]
    fn a_record_is_small() {
        let size = size_of::<Slot>();
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
