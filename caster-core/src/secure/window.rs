//! Windows: which counters of a sender were seen already, and which are too old.

use std::fmt;
use std::time::Duration;

/// How many counters of control datagrams are kept.
const EXACT: usize = 16;

/// The highest counters that were seen, each of them.
///
/// Data and control share one counter, so between two heartbeats it may grow by any number: a bitmap of
/// the last numbers would lose the heartbeat before.
#[derive(Debug, Clone, Default)]
struct Exact {
    /// Ascending, zeros in front.
    seen: [u64; EXACT],
}

impl Exact {
    fn admits(&self, counter: u64) -> bool {
        counter > self.seen[0] && !self.seen.contains(&counter)
    }

    fn note(&mut self, counter: u64) {
        let place = self.seen.partition_point(|&seen| seen < counter);
        if place > 0 && self.seen.get(place) != Some(&counter) {
            self.seen.copy_within(1..place, 0);
            self.seen[place - 1] = counter;
        }
    }

    fn highest(&self) -> u64 {
        self.seen[EXACT - 1]
    }
}

/// How far behind the highest counter data may arrive.
const BITS: u64 = 8192;
const WORDS: usize = (BITS / 64) as usize;

/// Which of the last [`BITS`] counters were seen. The memory is allocated at the first use.
#[derive(Clone, Default)]
struct Bitmap {
    highest: u64,
    /// The bit of a counter is the one of its remainder.
    words: Option<Box<[u64; WORDS]>>,
}

impl fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bitmap(up to {})", self.highest)
    }
}

impl Bitmap {
    fn place(counter: u64) -> (usize, u64) {
        ((counter % BITS / 64) as usize, 1 << (counter % 64))
    }

    fn admits(&self, counter: u64) -> bool {
        if counter > self.highest {
            return true;
        }
        let (word, bit) = Self::place(counter);
        let unseen = self.words.as_ref().is_none_or(|words| words[word] & bit == 0);
        unseen && self.highest - counter < BITS
    }

    fn note(&mut self, counter: u64) {
        let words = self.words.get_or_insert_with(|| Box::new([0; WORDS]));
        if counter > self.highest {
            // Bits of counters that leave the window stand for those that enter it.
            match counter - self.highest >= BITS {
                true => words.fill(0),
                false => clear(words, self.highest + 1, counter),
            }
            self.highest = counter;
        } else if self.highest - counter >= BITS {
            return;
        }
        let (word, bit) = Self::place(counter);
        words[word] |= bit;
    }
}

/// Clears the bits of the counters `from` to `to`, fewer than [`BITS`].
fn clear(words: &mut [u64; WORDS], from: u64, to: u64) {
    let mut at = from;
    while at <= to {
        let last = (at | 63).min(to);
        let count = last - at + 1;
        words[(at % BITS / 64) as usize] &= !(u64::MAX >> (64 - count) << (at % 64));
        let Some(next) = last.checked_add(1) else { return };
        at = next;
    }
}

/// The counters of one kind of datagram, with a lower bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Classes 1 and 2.
    Control,
    DataForAll,
    DataForOne,
}

/// The three windows of one sender under one key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Windows {
    /// Nothing below counts, although it was never seen: it is older than the proof that the sender is
    /// there.
    floor: u64,
    control: Exact,
    for_all: Bitmap,
    for_one: Bitmap,
}

impl Windows {
    /// Windows that begin at this counter.
    pub fn from(floor: u64) -> Self {
        Self { floor, ..Self::default() }
    }

    /// Another proof: the windows begin at this counter, which may be lower than before. Counters
    /// that were seen stay seen.
    pub fn begin(&mut self, floor: u64) {
        self.floor = floor;
    }

    /// Returns whether this datagram is neither a repeated one nor too old to tell.
    pub fn admits(&self, kind: Kind, counter: u64) -> bool {
        counter >= self.floor
            && match kind {
                Kind::Control => self.control.admits(counter),
                Kind::DataForAll => self.for_all.admits(counter),
                Kind::DataForOne => self.for_one.admits(counter),
            }
    }

    /// The datagram counts: it was authentic, and admitted.
    pub fn note(&mut self, kind: Kind, counter: u64) {
        match kind {
            Kind::Control => self.control.note(counter),
            Kind::DataForAll => self.for_all.note(counter),
            Kind::DataForOne => self.for_one.note(counter),
        }
    }

    /// Whether one datagram was seen at most.
    pub fn has_one_at_most(&self) -> bool {
        self.control.seen[EXACT - 2] == 0
            && self.for_all.words.is_none()
            && self.for_one.words.is_none()
    }

    /// The highest counter of control datagrams.
    pub fn highest_control(&self) -> u64 {
        self.control.highest()
    }

    /// The counter that is known to be current: the highest counter that was heard, or that of the proof.
    pub fn current(&self) -> u64 {
        self.highest().max(self.floor)
    }

    /// The highest counter of all.
    pub fn highest(&self) -> u64 {
        self.control.highest().max(self.for_all.highest).max(self.for_one.highest)
    }
}

/// Marks in one timeout.
const MARKS_PER_TIMEOUT: u32 = 4;
/// Marks in two timeouts.
const MARKS: usize = 2 * MARKS_PER_TIMEOUT as usize;

/// The highest counters of the last two timeouts: a datagram that was held back for longer is refused.
///
/// A mark is taken each quarter of a timeout, so what passes was held back for at most two timeouts, and
/// what was under way for one and three quarters always passes.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// The highest counters of control and of all, the newest ones first.
    marks: [(u64, u64); MARKS],
    next: Duration,
}

impl History {
    pub fn new(now: Duration, timeout: Duration) -> Self {
        Self { marks: [(0, 0); MARKS], next: now + timeout / MARKS_PER_TIMEOUT }
    }

    /// No datagram was heard after this time.
    pub fn heard_before(&self) -> Duration {
        self.next
    }

    /// Returns whether a counter is not one that was held back.
    pub fn admits(
        &mut self,
        kind: Kind,
        counter: u64,
        windows: &Windows,
        now: Duration,
        timeout: Duration,
    ) -> bool {
        // Nothing was noted since the last call, so one mark stands for all times in between.
        for _ in 0..MARKS {
            if now < self.next {
                break;
            }
            self.marks.copy_within(..MARKS - 1, 1);
            self.marks[0] = (windows.highest_control(), windows.highest());
            self.next += timeout / MARKS_PER_TIMEOUT;
        }
        if now >= self.next {
            self.next = now + timeout / MARKS_PER_TIMEOUT;
        }
        let (control, all) = self.marks[MARKS - 1];
        counter > if kind == Kind::Control { control } else { all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::random::Random;
    use std::collections::BTreeSet;

    const KINDS: [Kind; 3] = [Kind::Control, Kind::DataForAll, Kind::DataForOne];

    #[test]
    fn a_bitmap_shows_its_highest_counter_only() {
        assert_eq!(format!("{:?}", Bitmap::default()), "Bitmap(up to 0)");
    }

    #[test]
    fn each_counter_is_taken_once_as_far_back_as_a_window_goes() {
        let mut random = Random::new(3);
        for kind in KINDS {
            for scale in [1, 7, 64, 1000, 8191, 8192, 9000, 100_000] {
                let mut windows = Windows::default();
                let mut seen: BTreeSet<u64> = BTreeSet::new();
                let mut highest = 0;
                for _ in 0..3000 {
                    let around = highest + random.next() % scale;
                    let counter = around.saturating_sub(random.next() % (2 * scale)).max(1);
                    let lowest = match kind {
                        Kind::Control => seen.iter().rev().nth(EXACT - 1).copied().unwrap_or(0),
                        _ => highest.saturating_sub(BITS),
                    };
                    let expected = counter > lowest && !seen.contains(&counter);
                    assert_eq!(windows.admits(kind, counter), expected, "{kind:?} {counter}");
                    if expected {
                        windows.note(kind, counter);
                        seen.insert(counter);
                        highest = highest.max(counter);
                        assert_eq!(windows.highest(), highest);
                    }
                    assert!(!windows.admits(kind, counter));
                }
            }
        }
    }

    #[test]
    fn a_kind_moves_only_its_own_window() {
        for moved in KINDS {
            let mut windows = Windows::default();
            KINDS.iter().for_each(|&kind| windows.note(kind, 5));
            (100..20_100).for_each(|counter| windows.note(moved, counter));
            for kind in KINDS {
                assert_eq!(windows.admits(kind, 6), kind != moved, "{moved:?} {kind:?}");
                assert!(!windows.admits(kind, 5));
            }
        }
    }

    #[test]
    fn the_last_counters_there_are_do_no_harm() {
        for kind in KINDS {
            let mut windows = Windows::default();
            for counter in [1, u64::MAX - 1, u64::MAX, u64::MAX - 70] {
                assert!(windows.admits(kind, counter));
                windows.note(kind, counter);
                assert!(!windows.admits(kind, counter));
            }
            // A counter that is not admitted may be noted all the same, and changes nothing.
            windows.note(kind, 1);
            assert!(!windows.admits(kind, u64::MAX) && windows.admits(kind, u64::MAX - 2));
        }
    }

    #[test]
    fn nothing_older_than_the_proof_counts() {
        let mut windows = Windows::from(100);
        for kind in KINDS {
            assert!(!windows.admits(kind, 99) && windows.admits(kind, 100));
            windows.note(kind, 120);
        }
        windows.begin(90);
        for kind in KINDS {
            assert!(!windows.admits(kind, 89) && windows.admits(kind, 90));
            assert!(!windows.admits(kind, 120), "what was seen stays seen");
        }
    }

    #[test]
    fn what_was_held_back_for_two_timeouts_is_refused() {
        let timeout = Duration::from_secs(2);
        let at = |ms: u64| Duration::from_millis(ms);
        for kind in KINDS {
            for held in (0..8000).step_by(50) {
                let mut windows = Windows::default();
                let mut history = History::new(at(0), timeout);
                // One in 100 ms; the one of 1,000 ms comes later than the others.
                for ms in (0..1000 + held).step_by(100).filter(|&ms| ms != 1000) {
                    let counter = ms / 100 + 1;
                    assert!(history.admits(kind, counter, &windows, at(ms), timeout));
                    windows.note(kind, counter);
                }
                let passes = history.admits(kind, 11, &windows, at(1000 + held), timeout);
                match held {
                    ..=3500 => assert!(passes, "{held}"),
                    4200.. => assert!(!passes, "{held}"),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn after_a_long_silence_old_counters_are_refused_and_new_ones_are_not() {
        let timeout = Duration::from_secs(2);
        let mut windows = Windows::default();
        let mut history = History::new(Duration::ZERO, timeout);
        windows.note(Kind::DataForAll, 50);
        windows.note(Kind::Control, 40);
        let late = Duration::from_secs(3600);
        assert!(!history.admits(Kind::DataForAll, 45, &windows, late, timeout));
        assert!(history.admits(Kind::DataForAll, 51, &windows, late, timeout));
        assert!(history.admits(Kind::Control, 41, &windows, late, timeout), "of control");
        assert!(!history.admits(Kind::DataForOne, 41, &windows, late, timeout), "of all");
    }
}
