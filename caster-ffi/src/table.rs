//! The table of nodes, casters and virtual networks. A pointer to one of them in a program is not an address: it
//! tells the place of the object in this table, and its generation. The library looks it up and never reads
//! through it, so a pointer that was freed, or that never was one, is an error.
//!
//! A call *pins* its object. An object that is freed during calls on it lives until the last of them
//! returns. [`status`](crate::status) ends the pins of a call when it returns: there is one place for that instead
//! of one in each exported function, for the size. The table has no lock, so that a forked child can use it.

use crate::args;
use crate::slot::{GENERATION_BITS, KIND_BITS, Slot};
use caster_core::{Error, ErrorCode, Result};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic;
use std::ptr::{null, null_mut, without_provenance_mut};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

// A pointer, from its lowest bit: 1, the place, the tag. Because of the 1 no aligned address is one. It has 47
// bits, which is what languages that keep pointers in a double or tag them can hold; all 32 where there are
// no more.
const PLACE_BITS: u32 = if usize::BITS == 64 { 20 } else { 13 };
const PLACES: usize = 1 << PLACE_BITS;
const TAG_BITS: u32 = KIND_BITS + GENERATION_BITS;

/// The places of the first chunk. Each further chunk has twice as many as the one before.
const FIRST: usize = 64;
const CHUNKS: usize = (PLACES / FIRST).ilog2() as usize + 1;

/// A type whose objects are in the table.
pub(crate) trait Kind: Send + Sync + Sized + 'static {
    /// Different for each type, and below `1 << KIND_BITS`.
    const KIND: u64;

    /// The name of the parameter in error texts, and that of the type.
    const NAME: &str;
    const TYPE: &str;
}

struct Table {
    /// Made when they are needed, and never freed.
    chunks: [AtomicPtr<Slot>; CHUNKS],
    /// How many places were ever used.
    used: AtomicUsize,
    /// How many of them are vacant.
    vacant: AtomicUsize,
    /// Where the search for a vacant one begins.
    next: AtomicUsize,
}

static TABLE: Table = Table {
    chunks: [const { AtomicPtr::new(null_mut()) }; CHUNKS],
    used: AtomicUsize::new(0),
    vacant: AtomicUsize::new(0),
    next: AtomicUsize::new(0),
};

/// The chunk of a place, its first place, and how many it has.
fn chunk_of(place: usize) -> (usize, usize, usize) {
    let chunk = (place / FIRST + 1).ilog2() as usize;
    (chunk, FIRST * ((1 << chunk) - 1), FIRST << chunk)
}

impl Table {
    fn slot(&self, place: usize) -> Option<&'static Slot> {
        let (chunk, first, _) = chunk_of(place);
        let slots = self.chunks.get(chunk)?.load(Ordering::Acquire);
        if slots.is_null() {
            return None;
        }
        // SAFETY: `extend` put a slice of that length there, which is never freed.
        Some(unsafe { &*slots.add(place - first) })
    }

    /// A place that belongs to the caller.
    fn reserve(&self) -> Result<(usize, &'static Slot)> {
        let used = self.used.load(Ordering::Relaxed).min(PLACES);
        if self.vacant.load(Ordering::Relaxed) > 0 {
            let start = self.next.load(Ordering::Relaxed);
            for place in (0..used).map(|n| (start + n) % used) {
                let Some(slot) = self.slot(place) else { continue };
                if slot.reserve() {
                    self.vacant.fetch_sub(1, Ordering::Relaxed);
                    self.next.store(place + 1, Ordering::Relaxed);
                    return Ok((place, slot));
                }
            }
        }
        let place = self.used.fetch_add(1, Ordering::Relaxed);
        if place >= PLACES {
            self.used.fetch_sub(1, Ordering::Relaxed);
            let text = format!("there are {PLACES} nodes, casters and networks already");
            return Err(Error::new(ErrorCode::Internal, text));
        }
        self.extend(place);
        let slot = self.slot(place).expect("its chunk was made");
        Ok((place, slot))
    }

    /// Makes the chunk of a place. Of two threads that make it at once, one drops what it made.
    fn extend(&self, place: usize) {
        let (chunk, _, length) = chunk_of(place);
        if !self.chunks[chunk].load(Ordering::Acquire).is_null() {
            return;
        }
        let made: Box<[Slot]> = std::iter::repeat_with(Slot::new).take(length).collect();
        let made = Box::into_raw(made);
        let put = self.chunks[chunk].compare_exchange(
            null_mut(),
            made.cast(),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if put.is_err() {
            // SAFETY: it was made above, and nothing else knows it.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}

/// Puts an object into the table. The result is for the program.
pub(crate) fn insert<T: Kind>(object: T) -> Result<*mut T> {
    let (place, slot) = TABLE.reserve()?;
    let tag = slot.put(Box::into_raw(Box::new(object)).cast(), T::KIND) as usize;
    Ok(without_provenance_mut((((tag << PLACE_BITS) | place) << 1) | 1))
}

/// Begins a call on an object.
///
/// # Errors
/// `CASTER_ERR_INVALID_ARGUMENT` if the pointer is NULL, was freed, or is none of this type.
pub(crate) fn pin<T: Kind>(pointer: *const T) -> Result<Pinned<T>> {
    match find(pointer.addr(), T::KIND) {
        Some(slot) => Ok(Pinned { slot, of: PhantomData }),
        None => Err(refused(pointer.is_null(), T::NAME, T::TYPE)),
    }
}

/// The place of an object, of which a call has begun.
fn find(value: usize, kind: u64) -> Option<&'static Slot> {
    let (place, tag) = ((value >> 1) & (PLACES - 1), value >> (1 + PLACE_BITS));
    let is_tag = tag >> TAG_BITS == 0 && tag as u64 & ((1 << KIND_BITS) - 1) == kind;
    if value & 1 == 0 || !is_tag {
        return None;
    }
    TABLE.slot(place).filter(|slot| slot.pin(tag as u64))
}

/// Frees an object that has nothing to wait for.
///
/// # Errors
/// As [`pin`]; also if another thread frees it.
pub(crate) fn free<T: Kind>(pointer: *mut T) -> Result<()> {
    let pinned = pin(pointer)?;
    pinned.begin_free()?;
    pinned.close();
    Ok(())
}

/// The result of an accessor: what `read` returns for the object, or `otherwise` for NULL and for a pointer that is
/// refused.
pub(crate) fn read<T: Kind, R: Copy>(
    pointer: *const T,
    otherwise: R,
    read: impl FnOnce(&T) -> R,
) -> R {
    match pointer.is_null() {
        true => otherwise,
        // SAFETY: `read` returns before the call does.
        false => crate::status::value(otherwise, || Ok(read(unsafe { pin_for_call(pointer) }?))),
    }
}

thread_local! {
    /// The innermost call of this thread.
    static CALL: Cell<*const Call> = const { Cell::new(null()) };
}

/// How many objects a function pins at most.
const PINS: usize = 2;

/// The pins of a call of an exported function. Calls are nested where a middleware calls the library.
pub(crate) struct Call {
    pins: [Cell<Option<Pin>>; PINS],
}

/// A place whose object is pinned, and how that object is released.
#[derive(Clone, Copy)]
struct Pin {
    slot: &'static Slot,
    release: fn(&'static Slot, *mut ()),
}

impl Call {
    /// Makes a call: what `work` pins stays until it has returned. Releasing an object may run drop hooks of the
    /// program.
    pub fn make<R>(work: impl FnOnce() -> R) -> R {
        CALL.with(|innermost| {
            let outer = innermost.get();
            let call = Self { pins: [const { Cell::new(None) }; PINS] };
            innermost.set(&raw const call);
            let result = work();
            innermost.set(outer);
            for pin in call.pins.iter().map_while(Cell::take) {
                if let Some(object) = pin.slot.unpin() {
                    (pin.release)(pin.slot, object);
                }
            }
            result
        })
    }
}

/// Begins a call on an object; it ends when the exported function returns.
///
/// # Safety
/// The reference is not used after that.
///
/// # Errors
/// As [`pin`].
pub(crate) unsafe fn pin_for_call<'a, T: Kind>(pointer: *const T) -> Result<&'a T> {
    let object = pin_in_call(pointer.addr(), T::KIND, release::<T>);
    // SAFETY: the object was made of a `T`, since the kind is that of `T`, and it is pinned.
    let object = unsafe { object.cast::<T>().as_ref() };
    object.ok_or_else(|| refused(pointer.is_null(), T::NAME, T::TYPE))
}

/// NULL if it is refused. There is one of it for all types, for the size.
#[inline(never)]
fn pin_in_call(value: usize, kind: u64, release: fn(&'static Slot, *mut ())) -> *mut () {
    // SAFETY: it is NULL, or a call of this thread that has not returned, since `make` sets it back.
    let call = unsafe { CALL.get().as_ref() };
    if let Some(call) = call
        && let Some(entry) = call.pins.iter().find(|entry| entry.get().is_none())
        && let Some(slot) = find(value, kind)
    {
        entry.set(Some(Pin { slot, release }));
        return slot.object();
    }
    null_mut()
}

/// Releases an object whose last call has ended. After a panic its place stays empty.
fn release<T: Kind>(slot: &'static Slot, object: *mut ()) {
    // SAFETY: `insert` made it of a `T`, which `slot` tells by its kind; it belongs to the caller.
    let drop = || drop(unsafe { Box::from_raw(object.cast::<T>()) });
    if panic::catch_unwind(drop).is_ok() && slot.vacate() {
        TABLE.vacant.fetch_add(1, Ordering::Relaxed);
    }
}

#[cold]
fn refused(is_null: bool, name: &str, kind: &str) -> Error {
    if is_null {
        return args::null(name);
    }
    Error::new(ErrorCode::InvalidArgument, format!("{name} was freed, or is no {kind}"))
}

/// An object that is pinned until this is dropped.
pub(crate) struct Pinned<T: Kind> {
    slot: &'static Slot,
    of: PhantomData<&'static T>,
}

impl<T: Kind> Pinned<T> {
    /// Marks the object as being freed. Calls can still begin.
    ///
    /// # Errors
    /// `CASTER_ERR_INVALID_ARGUMENT` if it was marked before.
    pub fn begin_free(&self) -> Result<()> {
        if self.slot.begin_free() { Ok(()) } else { Err(being_freed(T::NAME)) }
    }

    /// # Errors
    /// `CASTER_ERR_INVALID_ARGUMENT` if a thread frees the object.
    pub fn check_not_freed(&self) -> Result<()> {
        if self.slot.is_freeing() { Err(being_freed(T::NAME)) } else { Ok(()) }
    }

    /// Lets no further call begin. The object ends with the last call on it.
    pub fn close(&self) {
        self.slot.close();
    }
}

#[cold]
fn being_freed(name: &str) -> Error {
    Error::new(ErrorCode::InvalidArgument, format!("{name} is being freed"))
}

impl<T: Kind> Deref for Pinned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `insert` put a `T` there, since the kind is that of `T`. It lives while it is pinned.
        unsafe { &*self.slot.object().cast() }
    }
}

impl<T: Kind> Clone for Pinned<T> {
    fn clone(&self) -> Self {
        self.slot.pin_again();
        Self { slot: self.slot, of: PhantomData }
    }
}

impl<T: Kind> Drop for Pinned<T> {
    fn drop(&mut self) {
        if let Some(object) = self.slot.unpin() {
            release::<T>(self.slot, object);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    struct One(Arc<AtomicUsize>);
    impl Kind for One {
        const KIND: u64 = 0;
        const NAME: &str = "one";
        const TYPE: &str = "one_t";
    }
    impl Drop for One {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    struct Other;
    impl Kind for Other {
        const KIND: u64 = 1;
        const NAME: &str = "other";
        const TYPE: &str = "other_t";
    }

    fn error<T>(result: Result<T>) -> String {
        result.err().expect("an error").message().to_owned()
    }

    #[test]
    fn places_are_in_chunks_of_doubling_size() {
        assert_eq!([0, 63, 64, 191, 192].map(|place| chunk_of(place).0), [0, 0, 1, 1, 2]);
        let mut next = 0;
        for chunk in 0..CHUNKS {
            assert_eq!(chunk_of(next), (chunk, next, FIRST << chunk));
            next += FIRST << chunk;
        }
        assert!(next >= PLACES);
        assert!(1 + PLACE_BITS + TAG_BITS <= usize::BITS.min(47));
    }

    #[test]
    fn a_freed_pointer_is_refused_also_when_its_place_is_used_again() {
        let drops = Arc::new(AtomicUsize::new(0));
        let mut old: Vec<*mut One> = Vec::new();
        for n in 0..300 {
            let pointer = insert(One(drops.clone())).unwrap();
            assert!(!old.contains(&pointer));
            for &old in &old {
                assert_eq!(error(pin(old)), "one was freed, or is no one_t");
                assert_eq!(error(free(old)), "one was freed, or is no one_t");
            }
            assert_eq!(drops.load(Ordering::SeqCst), n);
            free(pointer).unwrap();
            old.push(pointer);
        }
    }

    #[test]
    fn an_object_lives_until_the_last_call_on_it_ends() {
        let drops = Arc::new(AtomicUsize::new(0));
        let pointer = insert(One(drops.clone())).unwrap();
        let first = pin(pointer).unwrap();
        let second = first.clone();
        first.begin_free().unwrap();
        assert_eq!(error(second.begin_free()), "one is being freed");
        assert_eq!(error(second.check_not_freed()), "one is being freed");
        let third = pin(pointer).unwrap();
        first.close();
        assert!(pin(pointer).is_err());
        drop((first, third));
        assert_eq!(second.0.load(Ordering::SeqCst), 0);
        drop(second);
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn other_pointers_are_refused() {
        assert_eq!(error(pin::<One>(std::ptr::null())), "one is NULL");
        let other = insert(Other).unwrap();
        assert_eq!(error(pin(other.cast::<One>())), "one was freed, or is no one_t");
        let number = 7_u64;
        let local = (&raw const number).cast::<One>();
        assert!(pin(local).is_err() && pin(local.wrapping_byte_add(1)).is_err());
        for bit in 0..usize::BITS {
            let near = other.map_addr(|value| value ^ (1 << bit));
            assert!(pin(near).is_err(), "bit {bit}");
        }
        for value in [1, 3, usize::MAX, usize::MAX - 1, 1 << 40 | 1] {
            assert!(pin::<One>(without_provenance_mut(value)).is_err());
        }
        free(other).unwrap();
    }

    #[test]
    fn eight_threads_use_and_free_the_same_objects() {
        const OBJECTS: usize = 200;
        let drops = Arc::new(AtomicUsize::new(0));
        let made = |_| insert(One(drops.clone())).unwrap().expose_provenance();
        let all: Vec<usize> = (0..OBJECTS).map(made).collect();
        let freed = AtomicUsize::new(0);
        thread::scope(|scope| {
            for number in 0..8 {
                let (all, freed) = (&all, &freed);
                scope.spawn(move || {
                    for n in 0..OBJECTS {
                        let pointer: *mut One = without_provenance_mut(all[(n + number) % OBJECTS]);
                        if let Ok(one) = pin(pointer) {
                            assert!(Arc::strong_count(&one.0) > 0);
                        }
                        if free(pointer).is_ok() {
                            freed.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert_eq!((freed.into_inner(), drops.load(Ordering::SeqCst)), (OBJECTS, OBJECTS));
    }
}
