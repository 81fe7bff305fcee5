//! The senders that a bare Caster has heard: a bounded table of their windows.

use super::names::SenderId;
use super::proof::Proof;
use super::window::Windows;
use crate::sort::SortedMap;
use std::fmt;

/// How many senders are kept.
pub(crate) const MAX_SENDERS: usize = 4096;

/// A sender under one key: belief and windows belong to both.
type Name = (u32, SenderId);

/// The end of a list.
const NONE: u32 = u32::MAX;

/// Windows by sender. If it is full, the sender that was silent longest makes room for another.
#[derive(Default)]
pub(crate) struct Senders {
    places: SortedMap<Name, u32>,
    entries: Vec<Entry>,
    /// The ends of the list of entries in the order in which they were heard last.
    newest: u32,
    oldest: u32,
}

struct Entry {
    name: Name,
    windows: Windows,
    newer: u32,
    older: u32,
}

impl fmt::Debug for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Senders({})", self.entries.len())
    }
}

impl Senders {
    /// Returns whether an authentic datagram is neither a repeated one nor too old to tell, and notes it.
    pub fn take(&mut self, proof: &Proof) -> bool {
        let name = (proof.key, proof.sender);
        let place = match self.places.get(&name) {
            Some(&place) => place,
            None => self.add(name),
        };
        let windows = &mut self.entries[place as usize].windows;
        if !windows.admits(proof.kind(), proof.counter) {
            return false;
        }
        windows.note(proof.kind(), proof.counter);
        self.unlink(place);
        self.link(place);
        true
    }

    /// Whether an authentic datagram was taken before, or is too old to tell.
    pub fn repeats(&self, proof: &Proof) -> bool {
        let place = self.places.get(&(proof.key, proof.sender));
        place.is_some_and(|&place| {
            !self.entries[place as usize].windows.admits(proof.kind(), proof.counter)
        })
    }

    fn add(&mut self, name: Name) -> u32 {
        let windows = Windows::default();
        let place = if self.entries.len() < MAX_SENDERS {
            if self.entries.is_empty() {
                (self.newest, self.oldest) = (NONE, NONE);
            }
            self.entries.push(Entry { name, windows, newer: NONE, older: NONE });
            self.entries.len() as u32 - 1
        } else {
            let place = self.oldest;
            self.unlink(place);
            let entry = &mut self.entries[place as usize];
            self.places.remove(&entry.name);
            (entry.name, entry.windows) = (name, windows);
            place
        };
        self.places.insert(name, place);
        self.link(place);
        place
    }

    fn unlink(&mut self, place: u32) {
        let Entry { newer, older, .. } = self.entries[place as usize];
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Makes an entry that is in no list the newest.
    fn link(&mut self, place: u32) {
        let older = self.newest;
        let entry = &mut self.entries[place as usize];
        (entry.older, entry.newer) = (older, NONE);
        self.newest = place;
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = place,
            None => self.oldest = place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Class;
    use super::*;
    use crate::protocol::random::Random;
    use std::collections::VecDeque;

    fn proof(key: u32, sender: u32, counter: u64) -> Proof {
        let mut id = [0; 12];
        id[..4].copy_from_slice(&sender.to_be_bytes());
        let class = Class::Data;
        Proof { key, sender: SenderId(id), counter, class, to: None, signed: false }
    }

    #[test]
    fn a_repeated_datagram_is_refused_and_another_sender_or_key_is_not() {
        let mut senders = Senders::default();
        assert!(senders.take(&proof(0, 1, 5)));
        assert!(!senders.take(&proof(0, 1, 5)));
        assert!(senders.take(&proof(0, 1, 4)));
        assert!(senders.take(&proof(0, 2, 5)));
        assert!(senders.take(&proof(1, 1, 5)));
        let for_one = Proof { to: Some(SenderId([1; 12])), ..proof(0, 1, 5) };
        assert!(senders.take(&for_one) && !senders.take(&for_one));
        assert_eq!(senders.entries.len(), 3);
    }

    #[test]
    fn the_sender_that_was_silent_longest_makes_room() {
        let mut random = Random::new(9);
        let mut senders = Senders::default();
        // As a plain list has it: the sender and its counter, the oldest first.
        let mut model: VecDeque<(u32, u64)> = VecDeque::new();
        for _ in 0..40_000 {
            let sender = random.next() as u32 % (MAX_SENDERS as u32 + 300);
            let at = model.iter().position(|entry| entry.0 == sender);
            let counter = at.and_then(|at| model.remove(at)).map_or(1, |entry| entry.1 + 1);
            assert!(senders.take(&proof(0, sender, counter)));
            model.push_back((sender, counter));
            if model.len() > MAX_SENDERS {
                model.pop_front();
            }
            if random.next().is_multiple_of(64) {
                let (known, counter) = model[random.next() as usize % model.len()];
                assert!(!senders.take(&proof(0, known, counter)), "it is kept");
            }
        }
        assert_eq!(senders.entries.len(), MAX_SENDERS);
        let mut order = Vec::new();
        let mut at = senders.oldest;
        while let Some(entry) = senders.entries.get(at as usize) {
            order.push(u32::from_be_bytes(*entry.name.1.0.first_chunk().unwrap()));
            at = entry.newer;
        }
        assert_eq!(order, model.iter().map(|entry| entry.0).collect::<Vec<_>>());
    }
}
