//! A place of the table in table.rs: the count of the calls on its object, and when that object ends. The models of
//! tests/reliability/loom compile this file with the atomics of loom.

use super::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::ptr::null_mut;

/// The bits of a tag: the generation above the kind.
pub(crate) const KIND_BITS: u32 = 2;
pub(crate) const GENERATION_BITS: u32 = if usize::BITS == 64 { 24 } else { 16 };
const LAST_GENERATION: u64 = (1 << GENERATION_BITS) - 1;

/// The state of a place: the number of its users, each of which is a thread in a call, ...
const USERS: u64 = (1 << 28) - 1;
/// ... whether a thread is freeing the object, ...
const FREEING: u64 = 1 << 28;
/// ... whether no further call can begin, ...
const CLOSED: u64 = 1 << 29;
/// ... whether there is no object and one can be put here, ...
const VACANT: u64 = 1 << 30;
/// ... and the tag of the object: its kind, and its generation, the number of objects that were here.
const TAG_SHIFT: u32 = 32;

/// A place for an object.
pub(crate) struct Slot {
    state: AtomicU64,
    object: AtomicPtr<()>,
}

impl Slot {
    /// A place that belongs to the caller, which puts the first object there.
    pub fn new() -> Self {
        Self { state: AtomicU64::new(CLOSED), object: AtomicPtr::new(null_mut()) }
    }

    /// Takes the place if it is vacant. Returns whether it belongs to the caller now.
    pub fn reserve(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        let taken = (state & !VACANT) | CLOSED;
        let exchanged =
            || self.state.compare_exchange(state, taken, Ordering::Acquire, Ordering::Relaxed);
        state & VACANT != 0 && exchanged().is_ok()
    }

    /// Puts an object into a place that belongs to the caller. Returns its tag.
    pub fn put(&self, object: *mut (), kind: u64) -> u64 {
        let tag = ((self.generation() + 1) << KIND_BITS) | kind;
        self.object.store(object, Ordering::Relaxed);
        self.state.store(tag << TAG_SHIFT, Ordering::Release);
        tag
    }

    /// Begins a call on the object with this tag. Returns false if it is gone.
    pub fn pin(&self, tag: u64) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state >> TAG_SHIFT == tag && state & (CLOSED | VACANT) == 0 {
            let one_more = self.state.compare_exchange_weak(
                state,
                state + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match one_more {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Begins another call on an object during a call on it.
    pub fn pin_again(&self) {
        self.state.fetch_add(1, Ordering::Relaxed);
    }

    /// The object, during a call on it.
    pub fn object(&self) -> *mut () {
        self.object.load(Ordering::Relaxed)
    }

    /// Ends a call. Returns the object if it is closed and this was the last call: the caller owns it then, and
    /// the place.
    pub fn unpin(&self) -> Option<*mut ()> {
        let before = self.state.fetch_sub(1, Ordering::AcqRel);
        let is_last = before & USERS == 1 && before & CLOSED != 0;
        is_last.then(|| self.object.swap(null_mut(), Ordering::Relaxed))
    }

    /// Marks the object as being freed, during a call on it. Returns false if it was marked before.
    pub fn begin_free(&self) -> bool {
        self.state.fetch_or(FREEING, Ordering::AcqRel) & FREEING == 0
    }

    /// Whether a thread is freeing the object.
    pub fn is_freeing(&self) -> bool {
        self.state.load(Ordering::Acquire) & FREEING != 0
    }

    /// Lets no further call begin, during a call on the object.
    pub fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Makes the place vacant; the caller owns it. Returns false for a place whose generations are used up: it
    /// stays empty.
    pub fn vacate(&self) -> bool {
        let generation = self.generation();
        if generation >= LAST_GENERATION {
            return false;
        }
        let vacant = (generation << (TAG_SHIFT + KIND_BITS)) | VACANT;
        self.state.store(vacant, Ordering::Release);
        true
    }

    fn generation(&self) -> u64 {
        self.state.load(Ordering::Relaxed) >> (TAG_SHIFT + KIND_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_whose_generations_are_used_up_is_not_used_again() {
        let slot = Slot::new();
        slot.state.store((LAST_GENERATION - 1) << (TAG_SHIFT + KIND_BITS), Ordering::Relaxed);
        let last = slot.put(null_mut(), 1);
        assert_eq!(last >> KIND_BITS, LAST_GENERATION);
        assert!(slot.pin(last) && slot.begin_free() && !slot.begin_free());
        slot.close();
        assert!(!slot.pin(last));
        assert!(slot.unpin().is_some());
        assert!(!slot.vacate() && !slot.reserve());
    }
}
