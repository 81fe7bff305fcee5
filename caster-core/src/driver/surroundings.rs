//! The time and random numbers that a session of secure mode is given.

use super::link::Network;
use crate::protocol::random::Random;
use crate::secure::session::Surroundings;
use crate::sync::lock;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Those of a network.
pub(crate) struct OfNetwork {
    network: Arc<dyn Network>,
    /// A virtual network repeats itself: the numbers of its nodes come from a seed.
    seeded: Option<Mutex<Random>>,
}

impl OfNetwork {
    pub fn new(network: Arc<dyn Network>, seed: Option<u64>) -> Self {
        Self { network, seeded: seed.map(|seed| Mutex::new(Random::new(seed))) }
    }
}

impl Surroundings for OfNetwork {
    fn now(&self) -> Duration {
        self.network.now().mono
    }

    fn unix_nanos(&self) -> u128 {
        u128::from(self.network.now().unix_ms) * 1_000_000
    }

    fn random(&self, bytes: &mut [u8]) {
        match &self.seeded {
            Some(random) => {
                let mut random = lock(random);
                bytes.fill_with(|| random.next() as u8);
            }
            None => getrandom::fill(bytes).expect("the system has random numbers"),
        }
    }
}
