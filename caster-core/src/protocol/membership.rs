//! Who is there: the table of peers and the moments at which they are to be judged.
//!
//! Hearing a peer is O(1): it only notes the time. Each peer has one entry in a heap of
//! deadlines, which is moved to where it belongs by now when it comes to the top; so the heap
//! moves once for each peer and timeout, not once for each datagram. Only a deadline that comes
//! nearer, because a beat was learned, gets a second entry, and the first no longer counts.

use crate::peer::{NodeId, Peer};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How many peers are followed at once.
pub(crate) const MAX_PEERS: usize = 4096;

/// Before the beat of a peer is known, it is judged as if it were 2 s, the default of the code
/// of caster 0.1.1.
const PRESUMED_BEAT: Duration = Duration::from_millis(2000);

/// The longest beat that is learned, so that nobody can ask to be waited for for ever.
const MAX_BEAT: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Record {
    peer: Peer,
    /// When it was last heard, by the monotonic clock.
    heard: Duration,
    /// When its last heartbeat came.
    beat_at: Option<Duration>,
    /// The longest of its last intervals between heartbeats, slowly forgotten.
    beat: Option<Duration>,
    /// Which entry in the heap is this record's: those with another time no longer count.
    armed: Duration,
    /// Tells this record from an earlier one in the same slot.
    generation: u32,
}

#[derive(Debug, Default)]
struct Slot {
    record: Option<Record>,
    generation: u32,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Membership {
    timeout: Duration,
    by_id: HashMap<NodeId, usize>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    deadlines: BinaryHeap<Reverse<(Duration, usize, u32)>>,
}

/// What hearing a peer has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub new: bool,
    pub meta_changed: bool,
    pub address_changed: bool,
}

/// The table is full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Membership {
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            by_id: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            deadlines: BinaryHeap::new(),
        }
    }

    pub fn get(&self, id: &NodeId) -> Option<&Peer> {
        let slot = *self.by_id.get(id)?;
        self.slots[slot].record.as_ref().map(|record| &record.peer)
    }

    /// All peers, in the order of their slots.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.slots.iter().filter_map(|slot| slot.record.as_ref()).map(|record| &record.peer)
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Notes that `id` was heard. `meta` is `Some` if the datagram had any; `beat` if it was a
    /// heartbeat.
    pub fn hear(
        &mut self,
        id: &NodeId,
        address: IpAddr,
        meta: Option<&str>,
        beat: bool,
        now: Duration,
        unix_ms: u64,
    ) -> Result<Heard, Full> {
        let Some(&slot) = self.by_id.get(id) else {
            self.insert(id, address, meta, beat, now, unix_ms)?;
            return Ok(Heard { new: true, meta_changed: false, address_changed: false });
        };
        let record = self.slots[slot].record.as_mut().expect("the index leads to records");
        record.heard = now;
        record.peer.last_seen = unix_ms;
        if beat {
            record.learn_beat(now);
            let deadline = record.deadline(self.timeout);
            if deadline < record.armed {
                record.armed = deadline;
                self.deadlines.push(Reverse((deadline, slot, record.generation)));
            }
        }
        let meta_changed = meta.is_some_and(|meta| record.peer.meta.as_deref() != Some(meta));
        if meta_changed {
            record.peer.meta = meta.map(Arc::from);
        }
        let address_changed = record.peer.address != address;
        record.peer.address = address;
        Ok(Heard { new: false, meta_changed, address_changed })
    }

    fn insert(
        &mut self,
        id: &NodeId,
        address: IpAddr,
        meta: Option<&str>,
        beat: bool,
        now: Duration,
        unix_ms: u64,
    ) -> Result<(), Full> {
        if self.by_id.len() >= MAX_PEERS {
            return Err(Full);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        let generation = self.slots[slot].generation.wrapping_add(1);
        let mut record = Record {
            peer: Peer {
                id: id.clone(),
                address,
                first_seen: unix_ms,
                last_seen: unix_ms,
                meta: meta.map(Arc::from),
            },
            heard: now,
            beat_at: beat.then_some(now),
            beat: None,
            armed: Duration::ZERO,
            generation,
        };
        record.armed = record.deadline(self.timeout);
        self.deadlines.push(Reverse((record.armed, slot, generation)));
        self.slots[slot] = Slot { record: Some(record), generation };
        self.by_id.insert(id.clone(), slot);
        Ok(())
    }

    pub fn remove(&mut self, id: &NodeId) -> Option<Peer> {
        let slot = self.by_id.remove(id)?;
        self.free.push(slot);
        self.slots[slot].record.take().map(|record| record.peer)
    }

    /// Takes out one peer whose time is over at `now`, if there is one.
    pub fn expire(&mut self, now: Duration) -> Option<Peer> {
        while let Some(&Reverse((due, slot, generation))) = self.deadlines.peek() {
            let record = self.slots[slot].record.as_mut();
            let current =
                record.filter(|record| (record.generation, record.armed) == (generation, due));
            let Some(record) = current else {
                self.deadlines.pop();
                continue;
            };
            record.armed = record.deadline(self.timeout);
            if record.armed > due {
                let mut top = self.deadlines.peek_mut().expect("there is a top");
                *top = Reverse((record.armed, slot, generation));
                continue;
            }
            // Exactly at the deadline it is still in time, as in 0.1.1.
            if due >= now {
                return None;
            }
            let id = record.peer.id.clone();
            self.deadlines.pop();
            return self.remove(&id);
        }
        None
    }

    /// When [`Membership::expire`] is to be asked next.
    pub fn next_deadline(&self) -> Option<Duration> {
        const JUST_AFTER: Duration = Duration::from_nanos(1);
        self.deadlines.peek().map(|Reverse((due, ..))| *due + JUST_AFTER)
    }
}

impl Record {
    fn learn_beat(&mut self, now: Duration) {
        if let Some(last) = self.beat_at {
            let interval = now.saturating_sub(last).min(MAX_BEAT);
            self.beat = Some(self.beat.map_or(interval, |beat| interval.max(beat * 7 / 8)));
        }
        self.beat_at = Some(now);
    }

    fn deadline(&self, timeout: Duration) -> Duration {
        self.heard + timeout.max(self.beat.unwrap_or(PRESUMED_BEAT) * 5 / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn beat(table: &mut Membership, id: &NodeId, at: u64) -> Heard {
        table.hear(id, HERE, Some("1"), true, ms(at), at).unwrap()
    }

    fn expired(table: &mut Membership, at: u64) -> Vec<String> {
        std::iter::from_fn(|| table.expire(ms(at))).map(|peer| peer.id.to_string()).collect()
    }

    #[test]
    fn a_peer_is_down_after_the_timeout_and_not_before() {
        let mut table = Membership::new(ms(500));
        let id = NodeId::new("a").unwrap();
        for at in [0, 100, 200, 300] {
            beat(&mut table, &id, at);
        }
        assert!(expired(&mut table, 800).is_empty());
        assert_eq!(expired(&mut table, 801), ["a"]);
        assert_eq!(table.len(), 0);
        assert!(expired(&mut table, 10_000).is_empty());
    }

    #[test]
    fn a_slow_peer_is_judged_by_its_own_beat() {
        let mut table = Membership::new(ms(500));
        let id = NodeId::new("slow").unwrap();
        beat(&mut table, &id, 0);
        assert!(expired(&mut table, 5000).is_empty(), "generous until the beat is known");
        beat(&mut table, &id, 3000);
        assert!(expired(&mut table, 10_500).is_empty());
        assert_eq!(expired(&mut table, 10_501), ["slow"]);
    }

    #[test]
    fn a_slot_used_again_does_not_inherit_a_deadline() {
        let mut table = Membership::new(ms(6000));
        let (a, b) = (NodeId::new("a").unwrap(), NodeId::new("b").unwrap());
        beat(&mut table, &a, 0);
        table.remove(&a);
        beat(&mut table, &b, 5999);
        assert!(expired(&mut table, 7000).is_empty());
        assert_eq!(expired(&mut table, 12_000), ["b"]);
    }

    #[test]
    fn a_full_table_refuses_the_new_and_keeps_the_old() {
        let mut table = Membership::new(ms(500));
        for n in 0..MAX_PEERS {
            beat(&mut table, &NodeId::new(&n.to_string()).unwrap(), 0);
        }
        let late = NodeId::new("late").unwrap();
        assert_eq!(table.hear(&late, HERE, None, true, ms(1), 1), Err(Full));
        assert!(!beat(&mut table, &NodeId::new("7").unwrap(), 1).new);
    }
}
