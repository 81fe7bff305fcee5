//! The ciphers of senders that were heard: a key schedule takes longer than a small datagram.

use super::names::SenderId;
use super::suite::{Cipher, Suite};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

/// How many senders share the places.
const PLACES: usize = 256;

/// The key number, the suite and the sender.
type Name = (u32, Suite, SenderId);

type Place = Option<(Name, Arc<dyn Cipher>)>;

/// Ciphers by the hash of their sender; another sender of the same place takes it. Only a sender of an
/// authentic frame gets a place.
pub(super) struct Ciphers {
    hasher: foldhash::fast::RandomState,
    places: Box<[Place]>,
}

impl Default for Ciphers {
    fn default() -> Self {
        let places = std::iter::repeat_with(|| None).take(PLACES).collect();
        Self { hasher: Default::default(), places }
    }
}

impl Ciphers {
    fn place(&self, name: &Name) -> usize {
        self.hasher.hash_one(name) as usize % PLACES
    }

    pub fn get(&self, name: &Name) -> Option<&Arc<dyn Cipher>> {
        let (known, cipher) = self.places[self.place(name)].as_ref()?;
        (known == name).then_some(cipher)
    }

    pub fn get_or_put(
        &mut self,
        name: Name,
        derive: impl FnOnce() -> Arc<dyn Cipher>,
    ) -> &Arc<dyn Cipher> {
        let place = self.place(&name);
        let place = &mut self.places[place];
        let taken = place.take_if(|(known, _)| *known == name);
        &place.insert(taken.unwrap_or_else(|| (name, derive()))).1
    }

    pub fn put(&mut self, name: Name, cipher: Arc<dyn Cipher>) {
        let place = self.place(&name);
        self.places[place] = Some((name, cipher));
    }

    /// Clears the ciphers of a key that is no longer used.
    pub fn forget_key(&mut self, key: u32) {
        for place in &mut self.places {
            place.take_if(|(name, _)| name.0 == key);
        }
    }
}

/// How many ciphers of unknown senders are derived in a second.
const DERIVED_PER_SECOND: u32 = 10_000;
/// The time for which demand is measured.
const SLOT: Duration = Duration::from_millis(100);
const DERIVED_PER_SLOT: u32 = DERIVED_PER_SECOND / 10;

/// Limits the derivations for unknown senders. Beyond the limit some are admitted at random, so that a
/// flood of recorded headers does not keep a newcomer out that repeats itself.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// The number of the present slot.
    slot: u128,
    wanted: u32,
    admitted: u32,
    /// Demand in the slot before.
    before: u32,
}

impl Admission {
    /// `random` is any random number.
    pub fn admit(&mut self, now: Duration, random: u64) -> bool {
        let slot = now.as_nanos() / SLOT.as_nanos();
        if slot != self.slot {
            self.before = if slot == self.slot + 1 { self.wanted } else { 0 };
            (self.slot, self.wanted, self.admitted) = (slot, 0, 0);
        }
        self.wanted = self.wanted.saturating_add(1);
        let share = u64::from(DERIVED_PER_SLOT) << 32;
        let fits = (random >> 32) * u64::from(self.before.max(1)) < share;
        let admitted = fits && self.admitted < DERIVED_PER_SLOT;
        self.admitted += u32::from(admitted);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite::keyed;
    use super::*;
    use crate::protocol::random::Random;

    #[test]
    fn a_cipher_is_found_by_all_of_its_name() {
        let mut ciphers = Ciphers::default();
        let name = |key, suite, sender: u8| (key, suite, SenderId([sender; 12]));
        let cipher: Arc<dyn Cipher> = keyed(Suite::Hmac, &[1; 32]).into();
        ciphers.put(name(1, Suite::Hmac, 1), cipher);
        assert!(ciphers.get(&name(1, Suite::Hmac, 1)).is_some());
        for other in [name(2, Suite::Hmac, 1), name(1, Suite::AesGcm, 1), name(1, Suite::Hmac, 2)] {
            assert!(ciphers.get(&other).is_none());
        }
        ciphers.forget_key(2);
        assert!(ciphers.get(&name(1, Suite::Hmac, 1)).is_some());
        ciphers.forget_key(1);
        assert!(ciphers.get(&name(1, Suite::Hmac, 1)).is_none());
    }

    #[test]
    fn a_flood_does_not_keep_a_newcomer_out() {
        let mut random = Random::new(4);
        let mut admission = Admission::default();
        let (mut admitted, mut newcomer) = (0, 0);
        // 200,000 recorded headers in a second for ten seconds, and a newcomer ten times a second,
        // always at the end of a slot.
        for at in 0..2_000_000u64 {
            let now = Duration::from_micros(5 * at);
            let is_newcomer = at % 20_000 == 19_999;
            let admits = admission.admit(now, random.next());
            admitted += u32::from(admits);
            newcomer += u32::from(admits && is_newcomer);
        }
        assert!((80_000..=100_000).contains(&admitted), "{admitted}");
        assert!((1..=20).contains(&newcomer), "{newcomer} of 100");
        // A quiet second, and all are admitted.
        let later = Duration::from_secs(20);
        assert!((0..1000).all(|_| admission.admit(later, random.next())));
        assert!(!admission.admit(later, 0));
    }
}
