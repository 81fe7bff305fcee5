//! The log of the core on its way to Python's logger `caster`.
//!
//! Records come from any thread, the core's own among them, which must not touch the interpreter.
//! They wait in a queue until a thread of Python's or an event loop takes them.

use crate::interpreter::{forget_others, is_ending, outside};
use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};

/// How many records wait at most; what is more is lost, and how many that were is told.
const MAX_WAITING: usize = 1024;

#[derive(Default)]
struct Waiting {
    records: VecDeque<(Level, String)>,
    lost: u64,
    /// The first is readable while there are records.
    signal: Option<(UnixStream, UnixStream)>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    came: Condvar,
}

/// The queue of this process. A forked child gets a new one, because somebody may hold the lock
/// of the old one at that moment.
static QUEUE: AtomicPtr<Queue> = AtomicPtr::new(std::ptr::null_mut());

fn renew() -> &'static Queue {
    let queue = Box::leak(Box::default());
    QUEUE.store(queue, Ordering::Release);
    queue
}

fn queue() -> &'static Queue {
    let queue = QUEUE.load(Ordering::Acquire);
    // SAFETY: it is null or was leaked by `renew`, so it lives for ever.
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
        if was_empty && let Some((_, writer)) = &waiting.signal {
            // A full pipe is readable, which is all that is wanted.
            let _ = (&*writer).write(&[1]);
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

/// From now on records of at least this level, one of Python's numbers, are kept.
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

/// Leaves the records, and whoever waits for them, to the parent process.
#[pyfunction]
pub fn log_after_fork() {
    renew();
    forget_others();
}

/// All records that wait, as pairs of level and text. If `wait`, there is at least one, or the
/// interpreter is ending.
#[pyfunction]
pub fn log_take(py: Python<'_>, wait: bool) -> Vec<(u8, String)> {
    outside(py, || {
        let queue = queue();
        let mut waiting = queue.lock();
        while wait && waiting.records.is_empty() && !is_ending() {
            waiting = queue.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some((reader, _)) = &waiting.signal {
            let mut sink = [0; 64];
            while matches!((&*reader).read(&mut sink), Ok(n) if n > 0) {}
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

/// Ends the wait of whoever waits for records.
pub fn wake() {
    let _waiting = queue().lock();
    queue().came.notify_all();
}

/// A descriptor that is readable while there are records.
#[pyfunction]
pub fn log_fileno() -> PyResult<i32> {
    let mut waiting = queue().lock();
    if waiting.signal.is_none() {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        if !waiting.records.is_empty() {
            let _ = (&writer).write(&[1]);
        }
        waiting.signal = Some((reader, writer));
    }
    Ok(waiting.signal.as_ref().map_or(-1, |(reader, _)| reader.as_raw_fd()))
}
