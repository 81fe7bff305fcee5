//! Where peers are, by a hash: small at any number of peers.

/// Of eight places seven are taken at the most, so that a search ends soon.
const FILLED: usize = 7;
const PLACES: usize = 8;

/// A slot by a hash. The hash is kept, so that the index grows without a look at what is hashed: with
/// hundreds of thousands of peers that would take so long that datagrams are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    hash: u32,
    slot: u32,
}

const BLANK: Entry = Entry { hash: u32::MAX, slot: u32::MAX };

/// Slots by hashes, for hashes that no sender can choose.
///
/// The entries are sorted by their hashes, with blanks between them: each is at the place that its hash has
/// in a table of this size, or behind it as far as the places before are taken. A table that doubles is half
/// empty at times. This one grows by an eighth, as entries that are in order already are quickly moved.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The last entries may be behind the last place.
    entries: Vec<Entry>,
    places: usize,
    length: usize,
}

impl Index {
    pub fn len(&self) -> usize {
        self.length
    }

    /// The slots with this hash, those first that were put in first.
    pub fn slots(&self, hash: u32) -> impl Iterator<Item = u32> {
        let from = self.entries.get(self.place(hash)..).unwrap_or_default();
        from.iter()
            .take_while(move |entry| **entry != BLANK && entry.hash <= hash)
            .filter(move |entry| entry.hash == hash)
            .map(|entry| entry.slot)
    }

    pub fn insert(&mut self, hash: u32, slot: u32) {
        if self.length * PLACES >= self.places * FILLED {
            self.grow();
        }
        self.length += 1;
        let mut at = self.place(hash);
        while self.entries[at] != BLANK && self.entries[at].hash <= hash {
            at += 1;
            self.reach(at);
        }
        let mut blank = at;
        while self.entries[blank] != BLANK {
            blank += 1;
            self.reach(blank);
        }
        self.entries.copy_within(at..blank, at + 1);
        self.entries[at] = Entry { hash, slot };
    }

    /// Removes this slot, which has this hash.
    pub fn remove(&mut self, hash: u32, slot: u32) {
        let from = self.place(hash);
        let it = Entry { hash, slot };
        let found = self.entries.iter().skip(from).take_while(|entry| **entry != BLANK);
        let Some(at) = found.clone().position(|entry| *entry == it).map(|at| from + at) else {
            return;
        };
        self.length -= 1;
        let mut end = at + 1;
        while self.entries.get(end).is_some_and(|it| *it != BLANK && self.place(it.hash) < end) {
            end += 1;
        }
        self.entries.copy_within(at + 1..end, at);
        self.entries[end - 1] = BLANK;
    }

    /// The first place at which an entry of this hash may be. It rises with the hash.
    fn place(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.places as u64) >> 32) as usize
    }

    fn reach(&mut self, at: usize) {
        if at == self.entries.len() {
            push(&mut self.entries, BLANK);
        }
    }

    fn grow(&mut self) {
        self.places += self.places / PLACES + PLACES;
        let mut entries = Vec::with_capacity(self.places);
        for entry in self.entries.iter().filter(|entry| **entry != BLANK) {
            entries.resize(entries.len().max(self.place(entry.hash)), BLANK);
            push(&mut entries, *entry);
        }
        entries.resize(entries.len().max(self.places), BLANK);
        self.entries = entries;
    }
}

/// One more behind the last place. There will be few: twice the size would be much to waste.
fn push(entries: &mut Vec<Entry>, entry: Entry) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact(PLACES);
    }
    entries.push(entry);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::random::Random;
    use std::collections::BTreeSet;

    /// Puts in and takes out at random, and compares with a set.
    fn compare(hash_of: impl Fn(u32) -> u32, slots: u32, steps: u32) {
        let (mut index, mut known, mut random) =
            (Index::default(), BTreeSet::new(), Random::new(1));
        for _ in 0..steps {
            let slot = random.next() as u32 % slots;
            let hash = hash_of(slot);
            match known.remove(&slot) {
                true => index.remove(hash, slot),
                false => {
                    known.insert(slot);
                    index.insert(hash, slot);
                }
            }
            assert_eq!(index.len(), known.len());
            let is_there = index.slots(hash).any(|it| it == slot);
            assert_eq!(is_there, known.contains(&slot));
        }
        for slot in 0..slots {
            let found = index.slots(hash_of(slot)).find(|it| *it == slot);
            assert_eq!(found, known.contains(&slot).then_some(slot));
        }
        let taken: Vec<&Entry> = index.entries.iter().filter(|entry| **entry != BLANK).collect();
        assert!(taken.is_sorted_by_key(|entry| entry.hash));
        assert_eq!(taken.len(), known.len());
    }

    #[test]
    fn it_finds_what_was_put_in_and_not_taken_out() {
        compare(|slot| slot.wrapping_mul(0x9e37_79b9), 3000, 40_000);
    }

    #[test]
    fn it_does_so_if_all_hashes_are_the_same_or_at_the_ends() {
        for hash in [0, 1, u32::MAX - 1, u32::MAX] {
            compare(|_| hash, 100, 2000);
        }
        compare(|slot| if slot % 2 == 0 { u32::MAX } else { 0 }, 100, 2000);
        compare(|slot| u32::MAX - slot % 7, 100, 2000);
    }

    #[test]
    fn an_empty_one_finds_nothing() {
        let mut index = Index::default();
        assert_eq!(index.slots(0).next(), None);
        index.remove(0, 0);
        assert_eq!(index.len(), 0);
    }
}
