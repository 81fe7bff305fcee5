//! Detection of a forked child process.
//!
//! A child has copies of its parent's handles, but not the threads behind them, and its locks may
//! be held by threads that do not exist there. A handle therefore compares the generation in which
//! it was created with the present one before it takes a lock.

use crate::error::{Error, ErrorCode};
use std::sync::atomic::{AtomicU32, Ordering};

/// Incremented in the child by every `fork`.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The process that a handle was created in. Reading it costs one load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// The calling process. The first call registers the handler that detects forks.
    pub fn current() -> Self {
        register();
        Self(GENERATION.load(Ordering::Relaxed))
    }

    /// Returns whether the calling process is a child of the one that the handle belongs to.
    #[inline]
    pub fn is_forked(self) -> bool {
        GENERATION.load(Ordering::Relaxed) != self.0
    }

    /// # Errors
    /// [`ErrorCode::Forked`] in a child.
    #[inline]
    pub fn check(self) -> Result<(), Error> {
        if self.is_forked() { Err(forked()) } else { Ok(()) }
    }
}

#[cold]
fn forked() -> Error {
    let text = "the handle belongs to the process that created it; a forked child has to create its \
                own";
    Error::new(ErrorCode::Forked, text)
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn register() {
    static REGISTERED: std::sync::Once = std::sync::Once::new();
    extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    REGISTERED.call_once(|| {
        // SAFETY: the handler is a function without captures that only changes an atomic, which is
        // allowed between `fork` and `exec`. If memory is short, forks go undetected.
        unsafe { nix::libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// These systems have no `fork`.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn register() {}
