//! Points in time: what the protocol is handed, and what it keeps.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

/// The time. Deadlines follow `mono`; `unix_ms` is only copied into the times that programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    pub mono: Duration,
    pub unix_ms: u64,
}

/// A time by the monotonic clock, or a length of time, in nanoseconds: half the size of a
/// [`Duration`], and enough for 584 years. An `Option` of it is no larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(NonZeroU64);

impl Moment {
    pub fn time(self) -> Duration {
        Duration::from_nanos(self.0.get() - 1)
    }
}

impl From<Duration> for Moment {
    fn from(time: Duration) -> Self {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }
}

/// A length of time in microseconds, rounded up: half the size of a [`Moment`], and enough for 71 minutes.
/// An `Option` of it is no larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(NonZeroU32);

impl Span {
    pub fn time(self) -> Duration {
        Duration::from_micros((self.0.get() - 1).into())
    }
}

impl From<Duration> for Span {
    fn from(time: Duration) -> Self {
        let micros = u32::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(u32::MAX);
        Self(NonZeroU32::MIN.saturating_add(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_rounded_up_and_as_long_as_it_can_be() {
        for (nanos, micros) in [(0, 0), (1, 1), (1000, 1), (60_000_000_001, 60_000_001)] {
            let span = Span::from(Duration::from_nanos(nanos));
            assert_eq!(span.time(), Duration::from_micros(micros));
        }
        assert_eq!(Span::from(Duration::MAX).time().as_secs(), 4294);
        assert_eq!(size_of::<Option<Span>>(), 4);
    }
}
