//! Working without the GIL, and the end of the interpreter.

use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The number of threads outside: those that have released the GIL for work of the core.
static OUTSIDE: AtomicUsize = AtomicUsize::new(0);
/// Whether the interpreter is ending: from then on no thread releases the GIL for work of the core.
static ENDING: AtomicBool = AtomicBool::new(false);

pub fn is_ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// Does work without the GIL.
///
/// An interpreter that ends kills daemon threads (by `pthread_exit`) when they want the GIL back.
/// That unwinds the frames of this library, and crashes if it was linked with another unwinder than
/// that of the C library, as wheels for all Linuxes are. So [`end`] waits until all are back.
pub fn outside<R: Send>(py: Python<'_>, work: impl FnOnce() -> R + Send) -> R {
    OUTSIDE.fetch_add(1, Ordering::SeqCst);
    let result = if is_ending() { work() } else { py.detach(work) };
    OUTSIDE.fetch_sub(1, Ordering::SeqCst);
    result
}

/// The threads that were outside have stayed in the parent of this forked process.
pub fn forget_others() {
    OUTSIDE.store(0, Ordering::SeqCst);
}

/// Keeps threads from going outside. Wake those that wait there, then [`wait`] for all to return.
pub fn begin_end() {
    ENDING.store(true, Ordering::SeqCst);
}

/// Waits until no thread is outside, for up to `limit`.
pub fn wait(py: Python<'_>, limit: Duration) {
    let until = Instant::now() + limit;
    while OUTSIDE.load(Ordering::SeqCst) > 0 && Instant::now() < until {
        py.detach(|| thread::sleep(Duration::from_millis(1)));
    }
}
