//! Coalescing: fewer wake-ups at high rates of datagrams.
//!
//! A thread that is woken for each datagram spends most of its time on wake-ups. At a high rate of
//! wake-ups the thread waits for a delay before it reads, and then finds several datagrams. If it
//! does not, coalescing ends and backs off: a peer that sends only after it has received a reply
//! does not send more during the delay and must not be slowed down. On a quiet network there is no
//! delay.

use std::time::Duration;

/// Number of wake-ups within [`WINDOW`] that starts coalescing.
const MIN_WAKES: u32 = 20;
const WINDOW: Duration = Duration::from_millis(10);

/// Number of datagrams per delay below which coalescing ends.
const MIN_BATCH: usize = 4;

/// Number of datagrams per delay that the delay is adjusted to. A receive buffer of 212,992 bytes,
/// the default of Linux, has room for twice as many.
const TARGET_BATCH: usize = 256;

/// The minimum delay is the maximum delay divided by this.
const MIN_DELAY_PART: u32 = 16;

/// Back-off after a delay that yielded too few datagrams: the first one, and the maximum.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Coalescing {
    /// Zero: no coalescing.
    max_delay: Duration,
    /// The next delay.
    delay: Duration,
    active: bool,
    /// Number of wake-ups since `since`.
    wakes: u32,
    since: Duration,
    /// No delay before this time.
    not_before: Duration,
    backoff: Duration,
}

impl Coalescing {
    pub fn new(max_delay: Duration) -> Self {
        Self {
            max_delay,
            delay: max_delay,
            active: false,
            wakes: 0,
            since: Duration::ZERO,
            not_before: Duration::ZERO,
            backoff: FIRST_BACKOFF,
        }
    }

    /// Returns the delay to wait before the next poll, if the last one yielded enough datagrams.
    pub fn next_delay(&self) -> Option<Duration> {
        self.active.then_some(self.delay)
    }

    /// The thread was woken by a readable socket. Returns the delay to wait before it reads.
    pub fn on_wake(&mut self, now: Duration) -> Option<Duration> {
        if self.delay.is_zero() {
            return None;
        }
        if now >= self.since + WINDOW {
            (self.since, self.wakes) = (now, 0);
        }
        self.wakes += 1;
        self.active |= self.wakes >= MIN_WAKES && now >= self.not_before;
        self.active.then_some(self.delay)
    }

    /// Reports the number of datagrams that were received after a delay.
    pub fn on_received(&mut self, datagrams: usize, now: Duration) {
        if !self.active {
            return;
        }
        if datagrams >= MIN_BATCH {
            self.backoff = FIRST_BACKOFF;
            let enough = self.delay * TARGET_BATCH as u32 / datagrams as u32;
            self.delay = enough.clamp(self.max_delay / MIN_DELAY_PART, self.max_delay);
        } else {
            self.active = false;
            self.wakes = 0;
            self.not_before = now + self.backoff;
            self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    /// Wake-ups at intervals of `gap`; `independent` senders also send during a delay. Returns the
    /// number of delays, of datagrams received and of wake-ups.
    fn traffic(gap: Duration, independent: bool, time: Duration) -> (u32, usize, u32) {
        let mut coalescing = Coalescing::new(us(1000));
        let (mut now, mut delays, mut received, mut wakes) = (us(0), 0, 0, 0);
        while now < time {
            wakes += 1;
            let mut found = 1;
            if let Some(delay) = coalescing.on_wake(now) {
                delays += 1;
                now += delay;
                if independent {
                    found += (delay.as_nanos() / gap.as_nanos()) as usize;
                }
            }
            coalescing.on_received(found, now);
            received += found;
            now += gap;
        }
        (delays, received, wakes)
    }

    #[test]
    fn a_high_rate_from_many_senders_is_coalesced() {
        let (_, received, wakes) = traffic(us(100), true, Duration::from_secs(10));
        assert!(received as u32 > 8 * wakes, "{received} datagrams with {wakes} wakes");
    }

    #[test]
    fn a_low_rate_is_received_without_delay() {
        for gap in [us(1000), us(600)] {
            assert_eq!(traffic(gap, true, Duration::from_secs(10)).0, 0);
        }
    }

    #[test]
    fn a_sender_that_waits_for_a_reply_is_rarely_delayed() {
        let (delays, received, _) = traffic(us(22), false, Duration::from_secs(10));
        assert!((2..20).contains(&delays), "{delays} delays");
        assert!(received > 400_000, "{received} round trips");
    }

    #[test]
    fn coalescing_continues_until_a_delay_yields_too_little() {
        let mut coalescing = Coalescing::new(us(1000));
        assert!((0..MIN_WAKES).filter_map(|n| coalescing.on_wake(us(n.into()))).count() == 1);
        for found in [MIN_BATCH, 100, MIN_BATCH] {
            coalescing.on_received(found, us(5000));
            assert_eq!(coalescing.next_delay(), Some(us(1000)));
        }
        coalescing.on_received(0, us(6000));
        assert_eq!(coalescing.next_delay(), None);
    }

    #[test]
    fn the_delay_adjusts_to_the_rate() {
        for (a_ms, expected) in [(10, 2000), (100, 2000), (256, 1000), (1000, 256), (100_000, 125)]
        {
            let mut coalescing = Coalescing::new(us(2000));
            assert!((0..MIN_WAKES).any(|n| coalescing.on_wake(us(n.into())).is_some()));
            for _ in 0..20 {
                let delay = coalescing.next_delay().expect("each yields enough");
                coalescing.on_received((delay.as_micros() * a_ms / 1000) as usize, us(5000));
            }
            let delay = coalescing.next_delay().expect("as before").as_micros();
            assert!(delay.abs_diff(expected) <= expected / 50, "{delay} at {a_ms} a millisecond");
        }
    }

    #[test]
    fn a_maximum_of_zero_turns_coalescing_off() {
        let mut coalescing = Coalescing::new(Duration::ZERO);
        assert!((0..1000).all(|n| coalescing.on_wake(us(n)).is_none()));
    }
}
