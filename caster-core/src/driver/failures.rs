//! System calls that receive and keep failing: when they are tried again, and what the program is told.

use std::time::Duration;

/// How many failures in succession are taken for errors of single datagrams: the call is repeated at once.
const AT_ONCE: u32 = 16;
/// The first pause after that. Each pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest one. A call that works again after an outage is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_millis(640);

/// The failures of `N` sockets that are read by one thread.
#[derive(Debug)]
pub(super) struct Failures<const N: usize> {
    in_succession: [u32; N],
    retry_at: Option<Duration>,
    pause: Duration,
    /// Whether the program was told, since a socket that kept failing has last worked.
    pub told: bool,
}

impl<const N: usize> Failures<N> {
    pub const fn new() -> Self {
        Self { in_succession: [0; N], retry_at: None, pause: FIRST_PAUSE, told: false }
    }

    #[inline]
    pub fn succeeded(&mut self, socket: usize) {
        if std::mem::take(&mut self.in_succession[socket]) >= AT_ONCE {
            self.pause = FIRST_PAUSE;
            self.told = false;
        }
    }

    /// A call has failed. Returns whether to try again at once; otherwise [`Failures::is_due`] says when.
    #[cold]
    pub fn failed(&mut self, socket: usize, now: Duration) -> bool {
        let failures = &mut self.in_succession[socket];
        *failures = failures.saturating_add(1);
        if *failures < AT_ONCE {
            return true;
        }
        // Several sockets are tried again together.
        if self.retry_at.is_none_or(|due| due <= now) {
            self.retry_at = Some(now + self.pause);
            self.pause = (2 * self.pause).min(LONGEST_PAUSE);
        }
        false
    }

    pub fn retry_at(&self) -> Option<Duration> {
        self.retry_at
    }

    /// Whether the sockets are to be tried again now.
    pub fn is_due(&mut self, now: Duration) -> bool {
        self.retry_at.take_if(|due| *due <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Reads socket 0, which fails until `works_from`, as the thread does for a minute. Returns the times of the
    /// calls.
    fn calls(failures: &mut Failures<2>, from: Duration, works_from: Duration) -> Vec<Duration> {
        let (mut now, mut calls) = (from, Vec::new());
        let mut readable = true;
        while now < from + MINUTE {
            while readable {
                calls.push(now);
                readable = now < works_from && failures.failed(0, now);
                if now >= works_from {
                    failures.succeeded(0);
                    return calls;
                }
            }
            now = failures.retry_at().expect("it is tried again");
            readable = failures.is_due(now);
        }
        calls
    }

    #[test]
    fn a_call_that_keeps_failing_is_repeated_at_once_and_then_less_and_less_often() {
        let mut failures = Failures::new();
        let calls = calls(&mut failures, Duration::ZERO, Duration::MAX);
        assert_eq!(calls.iter().filter(|at| at.is_zero()).count(), AT_ONCE as usize);
        let pauses: Vec<Duration> =
            calls[AT_ONCE as usize - 1..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        let first: Vec<u128> = pauses[..7].iter().map(Duration::as_millis).collect();
        assert_eq!(first, [20, 40, 80, 160, 320, 640, 640]);
        assert!(pauses[6..].iter().all(|&pause| pause == LONGEST_PAUSE));
        assert!(calls.len() < 120, "{} calls in a minute", calls.len());
    }

    #[test]
    fn an_outage_ends_within_the_longest_pause_and_the_next_is_told_again() {
        let mut failures = Failures::new();
        let end = Duration::from_secs(10);
        let before = calls(&mut failures, Duration::ZERO, end);
        let last = *before.last().unwrap();
        assert!((end..end + LONGEST_PAUSE).contains(&last), "{last:?}");
        failures.told = true;
        failures.succeeded(1);
        assert!(failures.told, "the other socket says nothing about this one");
        (0..AT_ONCE).for_each(|_| _ = failures.failed(0, last));
        failures.succeeded(0);
        assert!(!failures.told);
        let again = calls(&mut failures, last + MINUTE, Duration::MAX);
        assert_eq!(again[AT_ONCE as usize] - again[0], FIRST_PAUSE);
    }

    #[test]
    fn an_error_of_a_single_datagram_makes_no_pause() {
        let mut failures = Failures::<2>::new();
        for _ in 0..1000 {
            assert!(failures.failed(0, Duration::ZERO));
            failures.succeeded(0);
        }
        assert_eq!(failures.retry_at(), None);
    }

    #[test]
    fn sockets_that_fail_together_are_tried_again_together() {
        let mut failures = Failures::<2>::new();
        for socket in [0, 1] {
            while failures.failed(socket, Duration::ZERO) {}
        }
        assert_eq!(failures.retry_at(), Some(FIRST_PAUSE));
        assert!(!failures.is_due(FIRST_PAUSE - Duration::from_nanos(1)));
        assert!(failures.is_due(FIRST_PAUSE) && !failures.is_due(FIRST_PAUSE));
    }
}
