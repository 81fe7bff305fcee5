//! Log records of the core for Python's logger `caster`.
//!
//! Records come from any thread, the core's own among them, which must not touch the interpreter.
//! They wait in a queue until a thread of Python's or an event loop takes them.

use crate::interpreter::{forget_others, is_ending, outside};
use crate::signal::Signal;
use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};

/// The largest number of queued records. Excess records are dropped, and a record tells their number.
const MAX_WAITING: usize = 1024;

#[derive(Default)]
struct Waiting {
    records: VecDeque<(Level, String)>,
    lost: u64,
    /// Raised while records are queued.
    signal: Option<Signal>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    came: Condvar,
}

/// The queue of this process. A forked child gets a new one, because a thread of the parent may
/// hold the lock of the old one at the time of the fork.
static QUEUE: AtomicPtr<Queue> = AtomicPtr::new(std::ptr::null_mut());

fn renew() -> &'static Queue {
    let queue = Box::leak(Box::default());
    QUEUE.store(queue, Ordering::Release);
    queue
}

fn queue() -> &'static Queue {
    let queue = QUEUE.load(Ordering::Acquire);
    // SAFETY: it is null or was leaked by `renew`, so it is valid until the process ends.
    unsafe { queue.as_ref() }.unwrap_or_else(renew)
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "caster"
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = record.args().to_string();
        let queue = queue();
        let mut waiting = queue.lock();
        if waiting.records.len() >= MAX_WAITING {
            waiting.lost += 1;
            return;
        }
        let was_empty = waiting.records.is_empty();
        waiting.records.push_back((record.level(), text));
        if was_empty && let Some(signal) = &waiting.signal {
            signal.raise();
        }
        drop(waiting);
        queue.came.notify_one();
    }

    fn flush(&self) {}
}

/// Python's number for a level; trace is below DEBUG.
fn number(level: Level) -> u8 {
    match level {
        Level::Error => 40,
        Level::Warn => 30,
        Level::Info => 20,
        Level::Debug => 10,
        Level::Trace => 5,
    }
}

/// Queues records of at least this level, one of Python's numbers, from now on.
#[pyfunction]
pub fn log_start(level: i64) {
    static ONCE: Once = Once::new();
    // Another logger of this process would keep what it has.
    ONCE.call_once(|| drop(log::set_logger(&Logger)));
    log::set_max_level(match level {
        ..=5 => LevelFilter::Trace,
        6..=10 => LevelFilter::Debug,
        11..=20 => LevelFilter::Info,
        21..=30 => LevelFilter::Warn,
        31..=40 => LevelFilter::Error,
        _ => LevelFilter::Off,
    });
}

/// Leaves the queued records and the waiting threads to the parent process.
#[pyfunction]
pub fn log_after_fork() {
    renew();
    forget_others();
}

/// Takes all queued records, as pairs of level and text. With `wait` it waits for the first, or until
/// the interpreter is ending.
#[pyfunction]
pub fn log_take(py: Python<'_>, wait: bool) -> Vec<(u8, String)> {
    outside(py, || {
        let queue = queue();
        let mut waiting = queue.lock();
        while wait && waiting.records.is_empty() && !is_ending() {
            waiting = queue.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(signal) = &waiting.signal {
            signal.clear();
        }
        let mut records: Vec<_> =
            waiting.records.drain(..).map(|(level, text)| (number(level), text)).collect();
        let lost = std::mem::take(&mut waiting.lost);
        if lost > 0 {
            records.push((30, format!("{lost} records of the log were lost")));
        }
        records
    })
}

/// Wakes the thread that waits for records.
pub fn wake() {
    let _waiting = queue().lock();
    queue().came.notify_all();
}

/// A descriptor that is readable while records are queued.
#[pyfunction]
pub fn log_fileno() -> PyResult<i32> {
    let mut waiting = queue().lock();
    if waiting.signal.is_none() {
        let signal = Signal::new()?;
        if !waiting.records.is_empty() {
            signal.raise();
        }
        waiting.signal = Some(signal);
    }
    Ok(waiting.signal.as_ref().map_or(-1, Signal::fileno))
}
