//! Arguments from C, checked as far as that is possible.

use caster_core::{Error, ErrorCode, Result};
use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{self, AssertUnwindSafe};
use std::sync::OnceLock;

/// A function that says that `user_data` is no longer used and may be freed. It runs exactly
/// once for each registration, after the last call that gets this `user_data`, also when the
/// registration failed. It runs on whichever thread was last to use the registration, and never
/// under a lock of the library. NULL: nothing is to be freed.
pub type DropFn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

fn invalid(text: String) -> Error {
    Error::new(ErrorCode::InvalidArgument, text)
}

/// The thing behind a pointer.
///
/// # Safety
/// `pointer` is NULL or points to a live `T` that nobody changes during `'a`.
pub(crate) unsafe fn borrow<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: passed on to the caller.
    unsafe { pointer.as_ref() }.ok_or_else(|| invalid(format!("{name} is NULL")))
}

/// The thing behind a pointer, to be changed: an object, or a place for a result.
///
/// # Safety
/// `pointer` is NULL or points to a live `T` that nobody else uses during `'a`.
pub(crate) unsafe fn borrow_mut<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T> {
    // SAFETY: passed on to the caller.
    unsafe { pointer.as_mut() }.ok_or_else(|| invalid(format!("{name} is NULL")))
}

/// A string.
///
/// # Safety
/// `pointer` is NULL or points to a NUL-terminated string that nobody changes during `'a`.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    if pointer.is_null() {
        return Err(invalid(format!("{name} is NULL")));
    }
    // SAFETY: passed on to the caller.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|error| not_utf8(text.to_bytes(), error.valid_up_to(), name))
}

/// What is wrong with a text at this byte. Programs in languages whose texts may have a NUL in them
/// (caster.hpp) write it as Java does; it must not end the text there.
#[cold]
fn not_utf8(text: &[u8], at: usize, name: &str) -> Error {
    let what = match text[at] {
        0xC0 if text[at..].starts_with(b"\xC0\x80") => "a NUL".to_owned(),
        byte => format!("0x{byte:02X}, which is not valid UTF-8,"),
    };
    invalid(format!("{name} has {what} at byte {at}; a text is UTF-8 without NUL"))
}

/// A string, or NULL for none.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn optional_text<'a>(
    pointer: *const c_char,
    name: &str,
) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on to the caller.
    unsafe { text(pointer, name) }.map(Some)
}

/// Bytes. NULL is fine if there are none.
///
/// # Safety
/// `pointer` is NULL or points to `size` bytes that nobody changes during `'a`.
pub(crate) unsafe fn bytes<'a>(pointer: *const u8, size: usize, name: &str) -> Result<&'a [u8]> {
    match (pointer.is_null(), size) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(invalid(format!("{name} is NULL"))),
        (false, _) if size > isize::MAX as usize => {
            Err(invalid(format!("{size} bytes of {name} are more than memory can hold")))
        }
        // SAFETY: passed on to the caller; the size was checked above.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(pointer, size) }),
    }
}

/// An array. NULL is fine if it is empty.
///
/// # Safety
/// `pointer` is NULL or points to `count` of them that nobody changes during `'a`.
pub(crate) unsafe fn array<'a, T>(pointer: *const T, count: usize, name: &str) -> Result<&'a [T]> {
    match (pointer.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(invalid(format!("{name} is NULL"))),
        (false, _) if count > isize::MAX as usize / size_of::<T>() => {
            Err(invalid(format!("{count} of {name} are more than memory can hold")))
        }
        // SAFETY: passed on to the caller; the size was checked above.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(pointer, count) }),
    }
}

/// An array for results. NULL is fine if it is empty.
///
/// # Safety
/// `pointer` is NULL or points to `count` of them that nobody else uses during `'a`.
pub(crate) unsafe fn array_mut<'a, T>(
    pointer: *mut T,
    count: usize,
    name: &str,
) -> Result<&'a mut [T]> {
    // SAFETY: passed on to the caller; this checks the pointer and the count.
    unsafe { array(pointer, count, name) }?;
    if count == 0 {
        return Ok(&mut []);
    }
    // SAFETY: passed on to the caller.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer, count) })
}

/// Text for C. A NUL in it, which would end it, becomes U+FFFD.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| {
        CString::new(text.replace('\0', "\u{fffd}")).expect("there is no NUL left")
    })
}

/// Text for C that is made when it is first asked for: most is never read.
#[derive(Clone, Default)]
pub(crate) struct LazyText(OnceLock<CString>);

impl LazyText {
    /// The text, which lives as long as this; `make` makes it.
    pub fn get(&self, make: impl FnOnce() -> CString) -> *const c_char {
        self.0.get_or_init(make).as_ptr()
    }
}

/// A pointer of the program's, and the function to be called when it is no longer used.
pub(crate) struct UserData {
    pointer: *mut c_void,
    drop: DropFn,
}

// SAFETY: the header tells the program that its functions are called on several threads.
unsafe impl Send for UserData {}
// SAFETY: as above; the pointer is only handed on.
unsafe impl Sync for UserData {}

impl UserData {
    pub fn new(pointer: *mut c_void, drop: DropFn) -> Self {
        Self { pointer, drop }
    }

    pub fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            let pointer = self.pointer;
            // SAFETY: the program gave both for this purpose, and this is the only call.
            foreign(|| unsafe { drop(pointer) });
        }
    }
}

/// Runs code of the program. `None` if it panicked, which only Rust code can; an exception of
/// another language ends the process here, with a message.
pub(crate) fn foreign<R>(call: impl FnOnce() -> R) -> Option<R> {
    panic::catch_unwind(AssertUnwindSafe(call)).ok()
}
