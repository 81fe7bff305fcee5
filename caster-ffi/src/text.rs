//! Strings for C.

use std::ffi::{CString, c_char};
use std::sync::OnceLock;

/// A string for C. A NUL in `text`, which would end the string, becomes U+FFFD.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| {
        CString::new(text.replace('\0', "\u{fffd}")).expect("every NUL was replaced")
    })
}

/// A string for C that is made at its first use: most strings are never read.
#[derive(Clone, Default)]
pub(crate) struct LazyText(OnceLock<CString>);

impl LazyText {
    /// The string, valid as long as `self`. `make` makes it at the first call.
    pub fn get(&self, make: impl FnOnce() -> CString) -> *const c_char {
        self.0.get_or_init(make).as_ptr()
    }
}
