//! The threads of this crate, and how panics are contained.

use super::clock;
use crate::error::{Error, ErrorCode};
use std::any::Any;
use std::io;
use std::thread;
use std::time::Duration;

/// Number of panics within [`RESTART_WINDOW`] that are survived.
const MAX_RESTARTS: usize = 3;
const RESTART_WINDOW: Duration = Duration::from_secs(60);

thread_local! {
    /// Set on the threads of this crate, and on others while they receive.
    static ON_CORE_THREAD: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Returns whether this thread receives at present: it must not wait for itself.
pub(crate) fn on_core_thread() -> bool {
    ON_CORE_THREAD.get()
}

/// The target of the log records.
pub(crate) const LOG: &str = "caster";

/// Sets whether this thread receives at present.
pub(crate) fn set_core_thread(is: bool) {
    ON_CORE_THREAD.set(is);
}

/// Starts a thread.
pub(crate) fn spawn(
    name: &str,
    run: Box<dyn FnOnce() + Send>,
) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(run)
}

#[derive(Default)]
pub(crate) struct Panics(Vec<Duration>);

impl Panics {
    /// Records a panic. Returns whether it is one too many.
    pub fn too_many(&mut self) -> bool {
        let now = clock::monotonic();
        self.0.retain(|&at| now - at < RESTART_WINDOW);
        self.0.push(now);
        self.0.len() > MAX_RESTARTS
    }
}

pub(crate) fn fault(panic: &(dyn Any + Send), given_up: bool) -> Error {
    let what = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or_default();
    let outcome = if given_up { "it has stopped" } else { "it goes on" };
    Error::new(ErrorCode::Internal, format!("a fault inside caster ({what}); {outcome}"))
}
