//! Beyond multicast: addresses to which heartbeats and messages go one by one.
//!
//! They come from the option `seeds`, from those who write to us so, and from what those know.
//! To whom multicast reaches, nothing goes twice.

use crate::sort::SortedMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How many addresses are told in one heartbeat.
pub(crate) const MAX_TOLD: usize = 8;

/// How long an address that is not a seed is kept without a word from it, in timeouts.
const KEPT: u32 = 5;

/// How long somebody who does not hear our multicast is written to alone, in timeouts.
const ASKED: u32 = 30;

#[derive(Debug)]
struct Target {
    seed: bool,
    /// When we were told of it, or last heard it.
    alive: Duration,
    /// Whether it has written to us alone.
    by_unicast: bool,
    /// When it was last heard by multicast.
    by_multicast: Option<Duration>,
    /// When it last wrote to us alone to ask whether we are alive: it does not hear us by
    /// multicast, even if we hear it.
    asked: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Unicast {
    targets: SortedMap<SocketAddr, Target>,
    timeout: Duration,
    capacity: usize,
    /// Where the last telling ended.
    told: usize,
}

impl Unicast {
    pub fn new(timeout: Duration, capacity: usize) -> Self {
        Self { targets: SortedMap::default(), timeout, capacity, told: 0 }
    }

    pub fn clear(&mut self) {
        self.targets.retain(|target| target.seed);
    }

    /// Replaces the seeds, whose names may now lead elsewhere. Returns those that are new.
    pub fn set_seeds(&mut self, seeds: &[SocketAddr], now: Duration) -> Vec<SocketAddr> {
        self.targets.values_mut().for_each(|target| target.seed = false);
        let mut new = Vec::new();
        for &seed in seeds {
            if self.learn(seed, now) {
                new.push(seed);
            }
            if let Some(target) = self.targets.get_mut(&seed) {
                target.seed = true;
            }
        }
        new
    }

    /// Notes an address that somebody else knows. True if it is new.
    pub fn learn(&mut self, address: SocketAddr, now: Duration) -> bool {
        let usable =
            address.port() != 0 && !address.ip().is_multicast() && !address.ip().is_unspecified();
        if !usable || self.targets.get(&address).is_some() || self.targets.len() >= self.capacity {
            return false;
        }
        let target =
            Target { seed: false, alive: now, by_unicast: false, by_multicast: None, asked: None };
        self.targets.insert(address, target);
        true
    }

    /// Notes how somebody was heard, and whether it asked for us. True if it is new.
    pub fn hear(&mut self, from: SocketAddr, by_unicast: bool, asked: bool, now: Duration) -> bool {
        let new = by_unicast && self.learn(from, now);
        if let Some(target) = self.targets.get_mut(&from) {
            target.alive = now;
            match by_unicast {
                true => target.by_unicast = true,
                false => target.by_multicast = Some(now),
            }
            if by_unicast && asked {
                target.asked = Some(now);
            }
        }
        new
    }

    /// A node has said goodbye.
    pub fn forget(&mut self, from: SocketAddr) {
        if self.targets.get(&from).is_some_and(|target| !target.seed) {
            self.targets.remove(&from);
        }
    }

    /// Where everything is to be sent as well, besides the group.
    pub fn targets(&mut self, now: Duration) -> Vec<SocketAddr> {
        let timeout = self.timeout;
        self.targets.retain(|target| target.seed || now <= target.alive + timeout * KEPT);
        let since = |at: Option<Duration>, time| at.is_some_and(|at| now <= at + time);
        self.targets
            .iter()
            .filter(|(_, target)| {
                !since(target.by_multicast, timeout) || since(target.asked, timeout * ASKED)
            })
            .map(|(address, _)| *address)
            .collect()
    }

    /// Some addresses that have written to us, others each time.
    pub fn tell(&mut self) -> Vec<SocketAddr> {
        let heard: Vec<SocketAddr> = self
            .targets
            .iter()
            .filter(|(_, target)| target.by_unicast)
            .map(|(address, _)| *address)
            .collect();
        let count = heard.len().min(MAX_TOLD);
        let from = self.told;
        self.told = self.told.wrapping_add(count);
        (0..count).map(|n| heard[from.wrapping_add(n) % heard.len()]).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.targets.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 10101))
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn unicast() -> Unicast {
        Unicast::new(secs(2), 10)
    }

    #[test]
    fn seeds_stay_and_others_are_forgotten() {
        let mut unicast = unicast();
        assert_eq!(unicast.set_seeds(&[address(1)], secs(0)), [address(1)]);
        assert!(unicast.hear(address(2), true, false, secs(0)));
        assert!(!unicast.hear(address(2), true, false, secs(1)));
        assert_eq!(unicast.targets(secs(5)), [address(1), address(2)]);
        assert_eq!(unicast.targets(secs(50)), [address(1)]);
        // The name leads elsewhere now.
        assert_eq!(unicast.set_seeds(&[address(3)], secs(50)), [address(3)]);
        assert_eq!(unicast.targets(secs(90)), [address(3)]);
    }

    #[test]
    fn to_whom_multicast_reaches_nothing_goes_twice() {
        let mut unicast = unicast();
        unicast.set_seeds(&[address(1)], secs(0));
        unicast.hear(address(1), false, false, secs(10));
        assert!(unicast.targets(secs(11)).is_empty());
        assert_eq!(unicast.targets(secs(13)), [address(1)], "multicast has stopped");
        unicast.hear(address(1), false, false, secs(14));
        unicast.hear(address(1), true, false, secs(14));
        assert!(unicast.targets(secs(14)).is_empty());
        unicast.hear(address(1), true, true, secs(14));
        assert_eq!(unicast.targets(secs(14)), [address(1)], "it does not hear us otherwise");
    }

    #[test]
    fn what_is_no_address_of_a_host_is_not_learned() {
        let mut unicast = unicast();
        for bad in ["224.0.0.42:1", "0.0.0.0:1", "10.0.0.1:0", "[ff02::1]:1"] {
            assert!(!unicast.learn(bad.parse().unwrap(), secs(0)), "{bad}");
        }
        for n in 0..20 {
            unicast.learn(address(n), secs(0));
        }
        assert_eq!(unicast.targets(secs(0)).len(), 10);
    }

    #[test]
    fn all_who_wrote_are_told_of_in_turn() {
        let mut unicast = Unicast::new(secs(2), 100);
        for n in 0..20 {
            unicast.hear(address(n), true, false, secs(0));
        }
        let mut told: Vec<SocketAddr> = (0..3).flat_map(|_| unicast.tell()).collect();
        assert_eq!(told.len(), 24);
        told.sort();
        told.dedup();
        assert_eq!(told.len(), 20);
    }
}
