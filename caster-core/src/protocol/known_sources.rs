//! Where known peers send from, for the limit of datagrams by source.

use super::random::Random;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long one generation is filled. A source is known for 10 to 20 s after its last datagram,
/// which covers lost heartbeats of all but very slow peers.
const GENERATION: Duration = Duration::from_secs(10);

/// Bits of a generation. With the 4096 peers of the default limit a source that belongs to none of
/// them is taken for known at a probability of 6 % in each generation, with 20 peers 0.03 %.
const BITS: usize = 1 << 16;

type Generation = [u64; BITS / 64];

/// The addresses and ports of peers that were heard lately, as two bitmaps of keyed hashes in
/// 16 KiB. There are no false negatives.
#[derive(Debug)]
pub(crate) struct KnownSources {
    /// Unknown to the senders, which could choose ports that collide otherwise.
    keys: [u64; 6],
    since: Duration,
    newest: usize,
    generations: Option<Box<[Generation; 2]>>,
}

impl KnownSources {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let keys = std::array::from_fn(|_| random.next());
        Self { keys, since: Duration::ZERO, newest: 0, generations: None }
    }

    /// A peer was heard from there.
    pub fn note(&mut self, address: IpAddr, port: u16, now: Duration) {
        let (word, bit) = self.place(address, port);
        let generations = self.generations.get_or_insert_with(|| Box::new([[0; BITS / 64]; 2]));
        let age = now.saturating_sub(self.since);
        if age >= GENERATION {
            self.since = now;
            self.newest ^= 1;
            generations[self.newest].fill(0);
            if age >= 2 * GENERATION {
                generations[self.newest ^ 1].fill(0);
            }
        }
        generations[self.newest][word] |= bit;
    }

    /// Returns whether a peer was heard from there lately.
    pub fn contains(&self, source: &SocketAddr) -> bool {
        let (word, bit) = self.place(source.ip(), source.port());
        self.generations.as_ref().is_some_and(|generations| {
            generations.iter().any(|generation| generation[word] & bit != 0)
        })
    }

    /// A word of a generation and a bit in it: the upper bits of a multilinear hash, by which two
    /// sources collide at a probability of 1 / [`BITS`] for a sender that does not know the keys.
    fn place(&self, address: IpAddr, port: u16) -> (usize, u64) {
        let [k0, k1, k2, k3, k4, k5] = self.keys;
        let times = |key: u64, word: u32| key.wrapping_mul(word.into());
        let sum = match address {
            IpAddr::V4(address) => times(k1, address.to_bits()),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                times(k1, bits as u32)
                    .wrapping_add(times(k2, (bits >> 32) as u32))
                    .wrapping_add(times(k3, (bits >> 64) as u32))
                    .wrapping_add(times(k4, (bits >> 96) as u32))
            }
        };
        let hash = sum.wrapping_add(times(k5, port.into())).wrapping_add(k0);
        let place = (hash >> (u64::BITS - BITS.ilog2())) as usize;
        (place / 64, 1 << (place % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    fn note(known: &mut KnownSources, address: SocketAddr, seconds: u64) {
        known.note(address.ip(), address.port(), Duration::from_secs(seconds));
    }

    #[test]
    fn a_source_is_an_address_and_a_port() {
        for seed in 0..20 {
            let mut known = KnownSources::new(seed);
            assert!(!known.contains(&at("10.0.0.1:10101")));
            note(&mut known, at("10.0.0.1:10101"), 5);
            note(&mut known, at("[fe80::1]:10101"), 5);
            assert!(
                known.contains(&at("10.0.0.1:10101")) && known.contains(&at("[fe80::1]:10101"))
            );
            for other in ["10.0.0.1:10102", "10.0.0.2:10101", "[fe80::2]:10101", "[fe81::1]:10101"]
            {
                assert!(!known.contains(&at(other)), "seed {seed}, {other}");
            }
        }
    }

    #[test]
    fn a_source_that_falls_silent_is_forgotten_within_two_generations() {
        let mut known = KnownSources::new(1);
        let (silent, other) = (at("10.0.0.1:1"), at("10.0.0.2:2"));
        note(&mut known, silent, 100);
        note(&mut known, other, 109);
        assert!(known.contains(&silent));
        note(&mut known, other, 111);
        assert!(known.contains(&silent), "of the generation before");
        note(&mut known, other, 122);
        assert!(!known.contains(&silent) && known.contains(&other));
        // After a long silence of all sources.
        note(&mut known, silent, 1000);
        assert!(known.contains(&silent) && !known.contains(&other));
    }

    #[test]
    fn a_full_table_leaves_most_sources_unknown() {
        let mut known = KnownSources::new(7);
        for n in 0..4096u32 {
            known.note(IpAddr::from((0x0A00_0000 + n).to_be_bytes()), 10101, Duration::ZERO);
        }
        let strangers = (1..=10_000).map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let taken = strangers.filter(|source| known.contains(source)).count();
        assert!((1..1000).contains(&taken), "{taken} of 10,000");
    }
}
