//! Waking up less often when there is much to receive.
//!
//! A thread that is woken for each datagram spends most of its time on waking up. When wakes come
//! thick, the thread naps for a moment before it reads, and finds several datagrams. Whether that
//! pays is tried: who answers only after being answered sends no more for being waited for, and
//! must not be slowed down. On a quiet network nothing is ever waited for.

use std::time::Duration;

/// This many wakes within this time are thick.
const THICK: u32 = 20;
const WINDOW: Duration = Duration::from_millis(10);

/// How many datagrams make a nap worth it.
const WORTH: usize = 4;

/// How many are enough: then naps become shorter. A receive buffer of 212,992 bytes, which Linux
/// grants everybody, has room for twice as many.
const ENOUGH: usize = 256;

/// The shortest nap is this part of the longest.
const SHORTEST: u32 = 16;

/// How long there is no other nap after one that was not worth it: the first time, and at the most.
const FIRST_PENALTY: Duration = Duration::from_millis(20);
const LAST_PENALTY: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Pace {
    /// How long a nap is at the most; zero for none.
    longest: Duration,
    /// How long the next one is.
    nap: Duration,
    napping: bool,
    wakes: u32,
    /// When the wakes are counted from.
    since: Duration,
    /// No nap before then.
    not_before: Duration,
    penalty: Duration,
}

impl Pace {
    pub fn new(longest: Duration) -> Self {
        Self {
            longest,
            nap: longest,
            napping: false,
            wakes: 0,
            since: Duration::ZERO,
            not_before: Duration::ZERO,
            penalty: FIRST_PENALTY,
        }
    }

    /// The last nap was worth it: how long the next one is, without waiting to be woken first.
    pub fn nap_at_once(&self) -> Option<Duration> {
        self.napping.then_some(self.nap)
    }

    /// The thread was woken because there is something to receive. How long it should nap first.
    pub fn woken(&mut self, now: Duration) -> Option<Duration> {
        if self.nap.is_zero() {
            return None;
        }
        if now >= self.since + WINDOW {
            (self.since, self.wakes) = (now, 0);
        }
        self.wakes += 1;
        self.napping |= self.wakes >= THICK && now >= self.not_before;
        self.napping.then_some(self.nap)
    }

    /// After a nap that many datagrams were there.
    pub fn found(&mut self, datagrams: usize, now: Duration) {
        if !self.napping {
            return;
        }
        if datagrams >= WORTH {
            self.penalty = FIRST_PENALTY;
            let enough = self.nap * ENOUGH as u32 / datagrams as u32;
            self.nap = enough.clamp(self.longest / SHORTEST, self.longest);
        } else {
            self.napping = false;
            self.wakes = 0;
            self.not_before = now + self.penalty;
            self.penalty = (self.penalty * 2).min(LAST_PENALTY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    /// Wakes that come so long after one another; a nap finds what has come meanwhile. Returns how
    /// many naps there were, and how many datagrams were received by how many wakes.
    fn traffic(gap: Duration, independent: bool, time: Duration) -> (u32, usize, u32) {
        let mut pace = Pace::new(us(1000));
        let (mut now, mut naps, mut received, mut wakes) = (us(0), 0, 0, 0);
        while now < time {
            wakes += 1;
            let mut found = 1;
            if let Some(nap) = pace.woken(now) {
                naps += 1;
                now += nap;
                if independent {
                    found += (nap.as_nanos() / gap.as_nanos()) as usize;
                }
            }
            pace.found(found, now);
            received += found;
            now += gap;
        }
        (naps, received, wakes)
    }

    #[test]
    fn much_from_many_is_received_together() {
        let (_, received, wakes) = traffic(us(100), true, Duration::from_secs(10));
        assert!(received as u32 > 8 * wakes, "{received} datagrams with {wakes} wakes");
    }

    #[test]
    fn little_is_received_at_once() {
        for gap in [us(1000), us(600)] {
            assert_eq!(traffic(gap, true, Duration::from_secs(10)).0, 0);
        }
    }

    #[test]
    fn who_waits_for_an_answer_is_hardly_ever_slowed_down() {
        let (naps, received, _) = traffic(us(22), false, Duration::from_secs(10));
        assert!((2..20).contains(&naps), "{naps} naps");
        assert!(received > 400_000, "{received} round trips");
    }

    #[test]
    fn after_a_nap_that_was_worth_it_comes_the_next_one_until_one_is_not() {
        let mut pace = Pace::new(us(1000));
        assert!((0..THICK).filter_map(|n| pace.woken(us(n.into()))).count() == 1);
        for found in [WORTH, 100, WORTH] {
            pace.found(found, us(5000));
            assert_eq!(pace.nap_at_once(), Some(us(1000)));
        }
        pace.found(0, us(6000));
        assert_eq!(pace.nap_at_once(), None);
    }

    #[test]
    fn naps_are_as_long_as_it_takes_for_enough_to_come() {
        for (a_ms, expected) in [(10, 2000), (100, 2000), (256, 1000), (1000, 256), (100_000, 125)]
        {
            let mut pace = Pace::new(us(2000));
            assert!((0..THICK).any(|n| pace.woken(us(n.into())).is_some()));
            for _ in 0..20 {
                let nap = pace.nap_at_once().expect("each is worth it");
                pace.found((nap.as_micros() * a_ms / 1000) as usize, us(5000));
            }
            let nap = pace.nap_at_once().expect("as before").as_micros();
            assert!(nap.abs_diff(expected) <= expected / 50, "{nap} at {a_ms} a millisecond");
        }
    }

    #[test]
    fn without_a_nap_it_never_naps() {
        let mut pace = Pace::new(Duration::ZERO);
        assert!((0..1000).all(|n| pace.woken(us(n)).is_none()));
    }
}
