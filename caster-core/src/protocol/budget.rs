//! How many datagrams, or new peers, one address brings in a second.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

/// Rows of the sketch. An address is misjudged only if it collides in each of them.
const ROWS: usize = 4;

/// Counters in a row: a power of two, so that ten bits of a hash name one.
const WIDTH: usize = 1024;

/// Counts by source address in constant memory: a count-min sketch under a key.
///
/// An estimate is the least of the address's counters, less what a counter holds on average and
/// its standard deviation. A crowd of forged addresses raises the average as much as it raises the
/// counters of an honest address, so it does not use up the honest address's budget. Refused
/// datagrams are not counted: one loud address moves the average by at most its limit / 1024.
#[derive(Debug)]
pub(crate) struct PerSource {
    key: u64,
    second: u64,
    /// The address of the last call and its counters: a sender is likely to be heard again next.
    last: Option<(IpAddr, [u16; ROWS])>,
    /// Row after row; none until the first call.
    counters: Option<Box<[u32; ROWS * WIDTH]>>,
    /// How many were counted in this second, in each row.
    total: u32,
}

impl PerSource {
    /// `key` has to be unknown to the senders, or they can choose addresses that collide.
    pub fn new(key: u64) -> Self {
        Self { key, second: 0, last: None, counters: None, total: 0 }
    }

    /// Returns whether one more from this address is within the limit of this second. `u32::MAX`
    /// is no limit.
    pub fn admit(&mut self, from: IpAddr, limit: u32, now: Duration) -> bool {
        self.admit_unless(from, limit, now, || false)
    }

    /// As [`PerSource::admit`]. From half of the limit on, one that is exempt is admitted and not
    /// counted: the other half is left to those of the same address that are not.
    pub fn admit_unless(
        &mut self,
        from: IpAddr,
        limit: u32,
        now: Duration,
        is_exempt: impl FnOnce() -> bool,
    ) -> bool {
        if limit == u32::MAX {
            return true;
        }
        if self.second != now.as_secs() {
            self.second = now.as_secs();
            self.counters.iter_mut().for_each(|counters| counters.fill(0));
            self.total = 0;
        }
        let places = match self.last {
            Some((last, places)) if last == from => places,
            _ => {
                let places = self.places(from);
                self.last = Some((from, places));
                places
            }
        };
        let total = self.total;
        let counters = self.counters.get_or_insert_with(|| Box::new([0; ROWS * WIDTH]));
        let places = places.map(|place| usize::from(place) % (ROWS * WIDTH));
        let least = places.iter().fold(u32::MAX, |least, &place| least.min(counters[place]));
        if least >= limit / 2 && is_exempt() {
            return true;
        }
        if least >= limit && least.saturating_sub(noise(total)) >= limit {
            return false;
        }
        for place in places {
            counters[place] = counters[place].saturating_add(1);
        }
        self.total = self.total.saturating_add(1);
        true
    }

    fn places(&self, from: IpAddr) -> [u16; ROWS] {
        let mut hasher = DefaultHasher::new();
        (self.key, from).hash(&mut hasher);
        let hash = hasher.finish();
        std::array::from_fn(|row| {
            let column = (hash >> (row as u32 * WIDTH.ilog2())) as usize % WIDTH;
            (row * WIDTH + column) as u16
        })
    }
}

/// The share of a counter that other addresses are likely to have added, of `total` that were counted.
fn noise(total: u32) -> u32 {
    let mean = total / WIDTH as u32;
    mean + mean.isqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u32 = 10;

    fn honest(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    fn forged(n: u32) -> IpAddr {
        IpAddr::from((0xC000_0000 + n).to_be_bytes())
    }

    fn admitted(budget: &mut PerSource, from: IpAddr, tries: usize, now: Duration) -> usize {
        (0..tries).filter(|_| budget.admit(from, LIMIT, now)).count()
    }

    #[test]
    fn one_address_brings_only_so_much_a_second() {
        let mut budget = PerSource::new(1);
        let secs = Duration::from_secs;
        assert_eq!(admitted(&mut budget, honest(1), 100, secs(5)), 10);
        assert!(budget.admit(honest(2), LIMIT, secs(5)));
        assert!(!budget.admit(honest(1), LIMIT, secs(5)), "another one came in between");
        assert!(budget.admit(honest(1), LIMIT, secs(6)));
        assert!(!budget.admit(honest(3), 0, secs(6)), "a limit of nothing");
    }

    #[test]
    fn the_exempt_use_up_half_of_the_limit_at_the_most() {
        let mut budget = PerSource::new(1);
        let now = Duration::ZERO;
        for _ in 0..1000 {
            assert!(budget.admit_unless(honest(1), LIMIT, now, || true));
        }
        assert_eq!(admitted(&mut budget, honest(1), 100, now), LIMIT as usize / 2);
        assert!(budget.admit_unless(honest(1), LIMIT, now, || true), "beyond the limit");
    }

    #[test]
    fn a_crowd_of_forged_addresses_crowds_out_nobody() {
        for key in 0..20 {
            for crowd in [300, 5_000, 100_000] {
                let mut budget = PerSource::new(key);
                for n in 0..crowd {
                    budget.admit(forged(n), LIMIT, Duration::ZERO);
                }
                for n in 0..50 {
                    let first = admitted(&mut budget, honest(n), 3, Duration::ZERO);
                    assert_eq!(first, 3, "key {key}, crowd {crowd}, address {n}");
                }
            }
        }
    }

    #[test]
    fn in_a_crowd_a_loud_address_stays_limited() {
        for key in 0..20 {
            let mut budget = PerSource::new(key);
            let mut loud = 0;
            for n in 0..100_000 {
                budget.admit(forged(n), LIMIT, Duration::ZERO);
                loud += usize::from(budget.admit(honest(1), LIMIT, Duration::ZERO));
            }
            assert!(loud <= 60, "{loud} of 100,000 with key {key}");
        }
    }

    #[test]
    fn loud_addresses_do_not_raise_the_limit_of_others() {
        let mut budget = PerSource::new(7);
        for n in 0..100 {
            admitted(&mut budget, forged(n), 10_000, Duration::ZERO);
        }
        assert!(admitted(&mut budget, honest(1), 100, Duration::ZERO) <= 11);
    }
}
