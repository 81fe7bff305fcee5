//! Detection of a forked child process.
//!
//! A child has copies of its parent's handles, but not the threads behind them, and its locks may
//! be held by threads that do not exist there. A handle therefore compares the generation in which
//! it was created with the present one before it takes a lock.

use crate::error::{Error, ErrorCode};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

/// Incremented in the child by every `fork`.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The number of descriptors that can be closed in a child.
const MAX_CLOSED: usize = 256;

/// The descriptors that are closed in a child, or -1.
static CLOSED: [AtomicI32; MAX_CLOSED] = [const { AtomicI32::new(-1) }; MAX_CLOSED];

/// A descriptor that is closed in a forked child, until this is dropped.
#[derive(Debug)]
pub(crate) struct ClosedInChild(Option<usize>);

/// A forked child must not keep this descriptor open: other processes see by it whether this one
/// lives. Beyond [`MAX_CLOSED`] the child keeps it until it ends or calls `exec`.
#[cfg(unix)]
pub(crate) fn close_in_child(fd: std::os::fd::RawFd) -> ClosedInChild {
    register();
    let take = |slot: &AtomicI32| {
        slot.compare_exchange(-1, fd, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    };
    ClosedInChild(CLOSED.iter().position(take))
}

impl Drop for ClosedInChild {
    fn drop(&mut self) {
        if let Some(at) = self.0 {
            CLOSED[at].store(-1, Ordering::SeqCst);
        }
    }
}

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

/// The number of nested forks after which a child shares a lock with an ancestor.
const DEPTH: usize = 16;

/// A value of each process. A child does not see its parent's, of which the lock may be held
/// by a thread that does not exist in the child.
pub(crate) struct PerProcess<T>([OnceLock<Mutex<T>>; DEPTH]);

impl<T: Default> PerProcess<T> {
    pub const fn new() -> Self {
        Self([const { OnceLock::new() }; DEPTH])
    }

    /// That of the calling process.
    pub fn get(&self) -> &Mutex<T> {
        let generation = GENERATION.load(Ordering::Relaxed) as usize;
        self.0[generation % DEPTH].get_or_init(Mutex::default)
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
        close_all();
    }
    REGISTERED.call_once(|| {
        // SAFETY: the handler is a function without captures that only changes atomics and makes
        // system calls, which is allowed between `fork` and `exec`. If memory is short, forks go
        // undetected.
        unsafe { nix::libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// Puts an empty file in place of each registered descriptor: its number stays taken, so that what
/// the child opens later is not closed by a copy of the parent's handle.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn close_all() {
    use nix::libc;
    // SAFETY: the path is a C string; an error is checked below.
    let empty = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    for slot in &CLOSED {
        let fd = slot.swap(-1, Ordering::SeqCst);
        if fd < 0 {
            continue;
        }
        // SAFETY: the descriptor was registered by its owner, which the child does not use.
        unsafe {
            match empty {
                0.. => libc::dup2(empty, fd),
                _ => libc::close(fd),
            };
        }
    }
    if empty >= 0 {
        // SAFETY: it was opened above.
        unsafe { libc::close(empty) };
    }
}

/// These systems have no `fork`.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn register() {}
