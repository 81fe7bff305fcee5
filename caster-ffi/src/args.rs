//! Pointers from C, checked and turned into references. This is the only place where the library
//! reads through a pointer that a program passed.
//!
//! Exported functions use the macros below. Each macro returns `CASTER_ERR_INVALID_ARGUMENT` from
//! the enclosing closure if the pointer is NULL where NULL is not allowed, and names the parameter in
//! the error text.
//!
//! # Safety
//!
//! The macros are for parameters of `unsafe extern "C"` functions, and for nothing else. The caller of
//! such a function guarantees the contract at the top of `include/caster.h`:
//!
//! * A pointer to an object is NULL, or the library returned it and it has not been freed.
//!   No other thread frees the object during the call. The library takes `&mut` only to objects that the
//!   header restricts to one thread at a time. Nodes, casters and networks are not in this clause: the library
//!   does not read through their pointers, but looks them up in table.rs.
//! * A pointer to a string is NULL, or points to a NUL-terminated string that stays unchanged during
//!   the call. A pointer to bytes or to an array points to as many elements as the size parameter says.
//! * A pointer to an output is NULL, or points to memory that is valid for the output's type and that
//!   the program does not use during the call.
//!
//! Every `unsafe` block of this module relies on one of these three clauses.

use caster_core::{Error, ErrorCode, Result};
use std::ffi::{CStr, c_char};

/// `&T` for a pointer to a `T` that must not be NULL.
macro_rules! try_ref {
    ($pointer:ident) => {
        // SAFETY: the contract in args.rs, clause on objects.
        unsafe { $crate::args::borrow($pointer, stringify!($pointer)) }?
    };
}

/// `&T` for a node, caster or network of the table, pinned until the exported function returns.
macro_rules! try_pinned {
    ($pointer:ident) => {
        // SAFETY: the reference does not leave the exported function.
        unsafe { $crate::table::pin_for_call($pointer) }?
    };
}

/// The same for a node or a caster, which has to belong to this process.
macro_rules! try_handle {
    ($pointer:ident) => {
        // SAFETY: the reference does not leave the exported function.
        unsafe { $crate::handle::pin_for_call($pointer) }?
    };
}

/// `&mut T` for a pointer that must not be NULL: an output, or an object for one thread at a time.
macro_rules! try_mut {
    ($pointer:ident) => {
        // SAFETY: the contract in args.rs, clauses on objects and outputs.
        unsafe { $crate::args::borrow_mut($pointer, stringify!($pointer)) }?
    };
}

/// `Option<&T>` for a pointer that may be NULL.
macro_rules! optional_ref {
    ($pointer:ident) => {
        // SAFETY: the contract in args.rs, clause on objects.
        unsafe { $pointer.as_ref() }
    };
}

/// `Option<&mut T>` for an output that may be NULL.
macro_rules! optional_mut {
    ($pointer:ident) => {
        // SAFETY: the contract in args.rs, clause on outputs.
        unsafe { $pointer.as_mut() }
    };
}

/// `&str` for a string that must not be NULL.
macro_rules! try_text {
    ($pointer:ident) => {
        // SAFETY: the contract in args.rs, clause on strings.
        unsafe { $crate::args::text($pointer, stringify!($pointer)) }?
    };
}

/// `Option<&str>` for a string that may be NULL.
macro_rules! try_optional_text {
    ($pointer:ident) => {
        // SAFETY: the contract in args.rs, clause on strings.
        unsafe { $crate::args::optional_text($pointer, stringify!($pointer)) }?
    };
}

/// `&[T]` for a pointer and a number of elements. NULL is allowed if the number is 0.
macro_rules! try_slice {
    ($pointer:ident, $count:ident) => {
        // SAFETY: the contract in args.rs, clause on bytes and arrays.
        unsafe { $crate::args::slice($pointer, $count, stringify!($pointer)) }?
    };
}

/// `&mut [T]` for an array of outputs and its length. NULL is allowed if the length is 0.
macro_rules! try_slice_mut {
    ($pointer:ident, $count:ident) => {
        // SAFETY: the contract in args.rs, clause on outputs.
        unsafe { $crate::args::slice_mut($pointer, $count, stringify!($pointer)) }?
    };
}

/// The strings of an array, as [`Texts`]. `$name` names one of them in error texts.
macro_rules! try_texts {
    ($pointer:ident, $count:ident, $name:literal) => {{
        let array = $crate::args::try_slice!($pointer, $count);
        // SAFETY: the contract in args.rs, clause on strings, for each element.
        unsafe { $crate::args::Texts::new(array, $name) }
    }};
}

/// The byte strings of an array as an iterator over `Result<&[u8]>`. `$sizes` is the array of their
/// sizes.
macro_rules! try_byte_slices {
    ($pointer:ident, $sizes:ident, $count:ident) => {{
        let array = $crate::args::try_slice!($pointer, $count);
        let sizes = $crate::args::try_slice!($sizes, $count);
        array.iter().zip(sizes).map(|(&bytes, &size)| {
            // SAFETY: the contract in args.rs, clause on bytes, for each element.
            unsafe { $crate::args::slice(bytes, size, stringify!($pointer)) }
        })
    }};
}

/// The result of an accessor: what the closure returns for the object, or `$otherwise` for NULL.
macro_rules! read {
    ($pointer:ident, $otherwise:expr, $read:expr) => {{
        // SAFETY: the contract in args.rs, clause on objects.
        let object = unsafe { $pointer.as_ref() };
        $crate::args::read_or(object, $otherwise, $read)
    }};
}

/// The same for a node, a caster or a network of the table. The error for another pointer is remembered.
macro_rules! read_pinned {
    ($pointer:ident, $otherwise:expr, $read:expr) => {
        $crate::table::read($pointer, $otherwise, $read)
    };
}

/// Frees an object that the program owns. NULL has no effect.
macro_rules! free {
    ($pointer:ident) => {
        // SAFETY: the contract in args.rs, clause on objects; the program no longer uses this one.
        unsafe { $crate::args::free_object($pointer) }
    };
}

/// Frees a node or a caster. NULL has no effect.
macro_rules! free_handle {
    ($pointer:ident) => {
        $crate::status::value((), || {
            if $pointer.is_null() { Ok(()) } else { $crate::dispatch::free($pointer) }
        })
    };
}

/// `&mut [u8]` for the `caster_stats_t` of the program, as large as its field `size` says.
macro_rules! try_stats {
    ($pointer:ident) => {
        // SAFETY: the contract in args.rs, clause on outputs; the program has set the field `size`.
        unsafe { $crate::stats::bytes_of($pointer) }?
    };
}

pub(crate) use {
    free, free_handle, optional_mut, optional_ref, read, read_pinned, try_byte_slices, try_handle,
    try_mut, try_optional_text, try_pinned, try_ref, try_slice, try_slice_mut, try_stats, try_text,
    try_texts,
};

/// An iterator over the strings of an array, of which each may be NULL.
pub(crate) struct Texts<'a> {
    array: std::slice::Iter<'a, *const c_char>,
    name: &'static str,
}

impl<'a> Texts<'a> {
    /// # Safety
    /// Each element is as [`optional_text`] asks.
    pub(crate) unsafe fn new(array: &'a [*const c_char], name: &'static str) -> Self {
        Self { array: array.iter(), name }
    }
}

impl<'a> Iterator for Texts<'a> {
    type Item = Result<Option<&'a str>>;

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: as promised to `new`.
        self.array.next().map(|&text| unsafe { optional_text(text, self.name) })
    }
}

#[cold]
fn invalid(text: String) -> Error {
    Error::new(ErrorCode::InvalidArgument, text)
}

/// The error for a pointer that must not be NULL.
#[cold]
pub(crate) fn null(name: &str) -> Error {
    invalid(format!("{name} is NULL"))
}

/// # Safety
/// `pointer` is NULL or points to a live `T` that does not change during `'a`.
pub(crate) unsafe fn borrow<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: as promised by the caller.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// # Safety
/// `pointer` is NULL or points to a live `T` that has no other user during `'a`.
pub(crate) unsafe fn borrow_mut<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T> {
    // SAFETY: as promised by the caller.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// # Safety
/// As [`optional_text`].
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: as promised by the caller.
    unsafe { optional_text(pointer, name) }?.ok_or_else(|| null(name))
}

/// # Safety
/// `pointer` is NULL or points to a NUL-terminated string that does not change during `'a`.
pub(crate) unsafe fn optional_text<'a>(
    pointer: *const c_char,
    name: &str,
) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: as promised by the caller.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|error| not_utf8(text.to_bytes(), error.valid_up_to(), name))
}

/// The error for a string that is not UTF-8 at the byte `at`. Languages whose strings may contain a NUL
/// (see caster.hpp) encode it as `C0 80`, as Java does, so that it does not end the string.
#[cold]
fn not_utf8(text: &[u8], at: usize, name: &str) -> Error {
    let what = match text[at] {
        0xC0 if text[at..].starts_with(b"\xC0\x80") => "a NUL".to_owned(),
        byte => format!("0x{byte:02X}, which is not valid UTF-8,"),
    };
    invalid(format!("{name} has {what} at byte {at}; a text is UTF-8 without NUL"))
}

/// Checks a pointer to `count` elements of `size` bytes. Returns whether there are any.
fn has_elements(is_null: bool, count: usize, size: usize, name: &str) -> Result<bool> {
    if count == 0 {
        return Ok(false);
    }
    if is_null {
        return Err(null(name));
    }
    if count > isize::MAX as usize / size {
        let what = if size == 1 { "bytes of" } else { "of" };
        return Err(invalid(format!("{count} {what} {name} are more than memory can hold")));
    }
    Ok(true)
}

/// # Safety
/// `pointer` is NULL or points to `count` elements that do not change during `'a`.
pub(crate) unsafe fn slice<'a, T>(pointer: *const T, count: usize, name: &str) -> Result<&'a [T]> {
    if !has_elements(pointer.is_null(), count, size_of::<T>(), name)? {
        return Ok(&[]);
    }
    // SAFETY: as promised by the caller; pointer and size were checked above.
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

/// # Safety
/// `pointer` is NULL or points to `count` elements that have no other user during `'a`.
pub(crate) unsafe fn slice_mut<'a, T>(
    pointer: *mut T,
    count: usize,
    name: &str,
) -> Result<&'a mut [T]> {
    if !has_elements(pointer.is_null(), count, size_of::<T>(), name)? {
        return Ok(&mut []);
    }
    // SAFETY: as promised by the caller; pointer and size were checked above.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer, count) })
}

/// The body of [`read!`].
pub(crate) fn read_or<T, R: Copy>(
    object: Option<&T>,
    otherwise: R,
    read: impl FnOnce(&T) -> R,
) -> R {
    match object {
        Some(object) => crate::status::value(otherwise, || Ok(read(object))),
        None => otherwise,
    }
}

/// The body of [`free!`].
///
/// # Safety
/// `object` is NULL or came from [`into_raw`], and has no other user.
pub(crate) unsafe fn free_object<T>(object: *mut T) {
    crate::status::value((), || {
        if !object.is_null() {
            // SAFETY: as promised by the caller.
            drop(unsafe { Box::from_raw(object) });
        }
        Ok(())
    });
}

/// Moves an object to the heap and gives it to the program, which frees it.
pub(crate) fn into_raw<T>(object: T) -> *mut T {
    Box::into_raw(Box::new(object))
}
