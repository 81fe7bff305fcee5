//! Status codes, the last error and the version.

use crate::table::Call;
use crate::text::c_string;
use caster_core::{Error, ErrorCode, Result};
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

/// The result of a function: `CASTER_OK`, which is 0, or one of the negative `CASTER_ERR_*`.
/// Numbers are never reused and never change. A program should expect new ones.
pub type Status = c_int;

const OK: Status = 0;

/// How much of a message is kept, with the NUL at its end.
const LAST_ERROR_SIZE: usize = 1024;

/// Never freed while its thread lives and never moved, so that
/// `printf("%d %s", failing_call(), caster_last_error())` is fine in either order of evaluation.
struct LastError {
    text: UnsafeCell<[u8; LAST_ERROR_SIZE]>,
    os: Cell<c_int>,
    syscall: Cell<*const c_char>,
}

thread_local! {
    static LAST_ERROR: LastError = const {
        LastError {
            text: UnsafeCell::new([0; LAST_ERROR_SIZE]),
            os: Cell::new(0),
            syscall: Cell::new(std::ptr::null()),
        }
    };
}

pub(crate) fn of(code: ErrorCode) -> Status {
    -code.number()
}

fn find(status: Status) -> Option<ErrorCode> {
    ErrorCode::ALL.iter().copied().find(|&code| of(code) == status)
}

/// Makes this the last error of the calling thread.
fn remember(error: &Error) -> Status {
    let mut end = error.message().len().min(LAST_ERROR_SIZE - 1);
    while !error.message().is_char_boundary(end) {
        end -= 1;
    }
    LAST_ERROR.with(|last| {
        // SAFETY: only this thread gets at it, and no other reference to it exists here.
        let text = unsafe { &mut *last.text.get() };
        for (to, &from) in text.iter_mut().zip(&error.message().as_bytes()[..end]) {
            *to = if from == 0 { b'?' } else { from };
        }
        text[end] = 0;
        last.os.set(error.os_error().unwrap_or(0));
        last.syscall.set(syscall_of(error));
    });
    of(error.code())
}

/// The name of the system call that failed, with static lifetime; NULL if there was none.
pub(crate) fn syscall_of(error: &Error) -> *const c_char {
    /// The core's names have no NUL at their ends; here each gets one, once. There are a dozen.
    static NAMES: Mutex<Vec<(&'static str, &'static CStr)>> = Mutex::new(Vec::new());
    let Some(name) = error.syscall() else { return std::ptr::null() };
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, text)) = names.iter().find(|(known, _)| *known == name) {
        return text.as_ptr();
    }
    let text: &'static CStr = Box::leak(c_string(name).into_boxed_c_str());
    names.push((name, text));
    text.as_ptr()
}

fn fault(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let what = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("");
    Error::new(ErrorCode::Internal, format!("a fault inside caster ({what})"))
}

/// Runs what an exported function does. A panic becomes an error; an error is remembered. There is
/// one of it for all functions, for the size.
#[inline(never)]
fn run(work: &mut dyn FnMut() -> Result<()>) -> Status {
    let outcome = Call::make(|| panic::catch_unwind(AssertUnwindSafe(work)));
    match outcome.unwrap_or_else(|panic| Err(fault(&*panic))) {
        Ok(()) => OK,
        Err(error) => remember(&error),
    }
}

/// The outcome of `work` as a status; an error is remembered.
pub(crate) fn status(work: impl FnOnce() -> Result<()>) -> Status {
    let mut work = Some(work);
    run(&mut || work.take().map_or(Ok(()), |work| work()))
}

/// The outcome of `work`, or `otherwise`; an error is remembered.
pub(crate) fn value<R>(otherwise: R, work: impl FnOnce() -> Result<R>) -> R {
    let mut value = otherwise;
    status(|| {
        value = work()?;
        Ok(())
    });
    value
}

/// @section Version
///
/// The version of the library that the program runs with, as in `"0.2.0"`; that of the header it
/// was compiled with is `CASTER_VERSION_STRING`.
///
/// Any thread, callbacks included. The string is static. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn caster_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("the version has a NUL in it"),
        };
    VERSION.as_ptr()
}

/// The version of the library as a number that can be compared: 10000 times the major number,
/// plus 100 times the minor one, plus the patch number; compare with `CASTER_VERSION_NUMBER`.
///
/// Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn caster_version_number() -> c_int {
    const fn number(text: &str) -> c_int {
        match c_int::from_str_radix(text, 10) {
            Ok(number) => number,
            Err(_) => panic!("the version is not made of numbers"),
        }
    }
    const VERSION: c_int = number(env!("CARGO_PKG_VERSION_MAJOR")) * 10_000
        + number(env!("CARGO_PKG_VERSION_MINOR")) * 100
        + number(env!("CARGO_PKG_VERSION_PATCH"));
    VERSION
}

/// @section Errors
///
/// The name of a status, as in `"NOT_UP"`; `"OK"` for 0 and `"UNKNOWN"` for a number that is
/// none.
///
/// Any thread, callbacks included. The string is static. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn caster_status_name(status: Status) -> *const c_char {
    table_text(status, c"OK", c"UNKNOWN", ErrorCode::name)
}

/// The meaning of a status, in one English sentence. `caster_last_error` describes the cause of a
/// failed call.
///
/// Any thread, callbacks included. The string is static. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn caster_status_text(status: Status) -> *const c_char {
    table_text(status, c"It went well.", c"There is no such status.", ErrorCode::text)
}

fn table_text(
    status: Status,
    ok: &'static CStr,
    unknown: &'static CStr,
    of: fn(ErrorCode) -> &'static str,
) -> *const c_char {
    use std::sync::OnceLock;
    static TEXTS: OnceLock<Vec<(&'static str, CString)>> = OnceLock::new();
    value(unknown.as_ptr(), || {
        if status == OK {
            return Ok(ok.as_ptr());
        }
        let Some(code) = find(status) else { return Ok(unknown.as_ptr()) };
        // The table of the core has no NULs at the ends of its texts; here they get them once.
        let texts = TEXTS.get_or_init(|| {
            let all = ErrorCode::ALL.iter().flat_map(|code| [code.name(), code.text()]);
            all.map(|text| (text, c_string(text))).collect()
        });
        let wanted = of(code);
        let found = texts.iter().find(|(text, _)| *text == wanted);
        Ok(found.map_or(unknown.as_ptr(), |(_, text)| text.as_ptr()))
    })
}

/// The error text of the last failed call on this thread, in English. It names the given value and
/// the accepted ones. An empty string before the first failure. A successful call leaves it
/// unchanged. At most 1023 bytes of UTF-8.
///
/// Any thread, callbacks included; each thread has its own. The buffer belongs to the library
/// and is valid until the thread ends; the next call that fails on this thread overwrites it.
/// Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn caster_last_error() -> *const c_char {
    LAST_ERROR.with(|last| last.text.get().cast::<c_char>().cast_const())
}

/// The operating system's number (`errno`) of the error that `caster_last_error` tells about, or
/// 0 if it was not the system that refused.
///
/// Any thread, callbacks included; each thread has its own.
#[unsafe(no_mangle)]
pub extern "C" fn caster_last_os_error() -> c_int {
    LAST_ERROR.with(|last| last.os.get())
}

/// The name of the system call that refused, as in `"bind"`, of the error that
/// `caster_last_error` tells about.
///
/// Any thread, callbacks included; each thread has its own. The string is static. NULL if it
/// was not the system that refused.
#[unsafe(no_mangle)]
pub extern "C" fn caster_last_syscall() -> *const c_char {
    LAST_ERROR.with(|last| last.syscall.get())
}

/// Frees a string that the library gave away, which only functions with a `char **` do.
///
/// Any thread, callbacks included. Once for each string. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_string_free(string: *mut c_char) {
    value((), || {
        if !string.is_null() {
            // SAFETY: it is one that `CString::into_raw` gave away.
            drop(unsafe { CString::from_raw(string) });
        }
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: *const c_char) -> String {
        // SAFETY: everything that is read here is NUL-terminated and lives.
        unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn every_code_has_a_name_and_a_text() {
        for &code in ErrorCode::ALL {
            assert_eq!(read(caster_status_name(of(code))), code.name());
            assert_eq!(read(caster_status_text(of(code))), code.text());
        }
        assert_eq!(read(caster_status_name(0)), "OK");
        assert_eq!(read(caster_status_name(1)), "UNKNOWN");
        assert_eq!(read(caster_status_name(i32::MIN)), "UNKNOWN");
    }

    #[test]
    fn a_long_text_ends_between_characters() {
        let text = "é".repeat(LAST_ERROR_SIZE);
        remember(&Error::new(ErrorCode::Io, text));
        assert_eq!(read(caster_last_error()), "é".repeat((LAST_ERROR_SIZE - 1) / 2));
    }

    #[test]
    fn a_nul_does_not_end_a_text() {
        remember(&Error::new(ErrorCode::Io, "a\0b"));
        assert_eq!(read(caster_last_error()), "a?b");
    }

    #[test]
    fn a_panic_is_a_status() {
        assert_eq!(status(|| panic!("of the test")), of(ErrorCode::Internal));
        assert_eq!(read(caster_last_error()), "a fault inside caster (of the test)");
        assert_eq!(value(7, || panic!("again")), 7);
    }

    #[test]
    fn the_version_is_the_one_of_the_core() {
        assert_eq!(read(caster_version()), caster_core::VERSION);
        assert_eq!(caster_version_number(), 200);
    }
}
