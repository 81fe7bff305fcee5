//! The clock of the driver: the only code that reads the time of the system.

#![allow(clippy::disallowed_methods, reason = "this is the driver's clock")]

use crate::protocol::time::Now;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since the first call, by the monotonic clock.
pub(crate) fn monotonic() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// Sleeps: between repetitions of a leave, and for a coalescing delay.
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

pub(crate) fn now() -> Now {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono: monotonic(), unix_ms: since_1970.as_millis() as u64 }
}
