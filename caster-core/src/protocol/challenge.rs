//! Tokens that prove that an address answers: a challenge carries one, the answer returns it.

use crate::sha256::sha256;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A token is accepted in the step in which it was made and in the next one, so it holds for 10 to
/// 20 s: longer than any round trip, and too short to be of use to a program that has read it.
const STEP: Duration = Duration::from_secs(10);

/// Makes and verifies tokens without keeping any: a token is the first 64 bits of the SHA-256 of a
/// secret key, the address, the own incarnation and the time in steps.
///
/// All inputs have one length and the digest is truncated, so the plain hash behind a key is a sound
/// authenticator here. It takes one block of SHA-256.
#[derive(Debug, Clone)]
pub(crate) struct Challenger {
    key: [u8; 16],
    incarnation: u32,
}

impl Challenger {
    /// `key` has to be random, and known to this process only.
    pub fn new(key: [u8; 16], incarnation: u32) -> Self {
        Self { key, incarnation }
    }

    pub fn token(&self, address: SocketAddr, now: Duration) -> u64 {
        self.token_of_step(address, now.as_secs() / STEP.as_secs())
    }

    /// Returns whether this token was sent to this address within the last 10 to 20 s.
    pub fn verify(&self, address: SocketAddr, token: u64, now: Duration) -> bool {
        let step = now.as_secs() / STEP.as_secs();
        [Some(step), step.checked_sub(1)]
            .into_iter()
            .flatten()
            .any(|step| self.token_of_step(address, step) == token)
    }

    fn token_of_step(&self, address: SocketAddr, step: u64) -> u64 {
        let (ip, scope) = match address {
            SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
            SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
        };
        let is_v4 = matches!(address.ip(), IpAddr::V4(_));
        let digest = sha256(&[
            &self.key,
            &ip.octets(),
            &[u8::from(is_v4)],
            &scope.to_be_bytes(),
            &address.port().to_be_bytes(),
            &self.incarnation.to_be_bytes(),
            &step.to_be_bytes(),
        ]);
        u64::from_be_bytes(*digest.first_chunk().expect("32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_proves_one_address_to_one_incarnation_for_a_while() {
        let challenger = Challenger::new([7; 16], 1);
        let address: SocketAddr = "10.0.0.1:10101".parse().unwrap();
        let secs = Duration::from_secs;
        for now in [0, 9, 10, 12_345] {
            let token = challenger.token(address, secs(now));
            for (later, holds) in [(0, true), (10, true), (20, false), (1_000_000, false)] {
                assert_eq!(challenger.verify(address, token, secs(now + later)), holds, "{later}");
            }
            for other in ["10.0.0.1:10102", "10.0.0.2:10101", "[::ffff:10.0.0.1]:10101"] {
                assert!(!challenger.verify(other.parse().unwrap(), token, secs(now)), "{other}");
            }
            assert!(!challenger.verify(address, token ^ 1, secs(now)));
            assert!(!Challenger::new([7; 16], 2).verify(address, token, secs(now)));
            assert!(!Challenger::new([8; 16], 1).verify(address, token, secs(now)));
        }
        let scoped = |scope: u32| format!("[fe80::1%{scope}]:1").parse().unwrap();
        let token = challenger.token(scoped(2), secs(5));
        assert!(challenger.verify(scoped(2), token, secs(5)));
        assert!(!challenger.verify(scoped(3), token, secs(5)));
    }
}
