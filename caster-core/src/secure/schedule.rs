//! The key schedule: everything that is derived from a key.
//!
//! It is HKDF with SHA-256 (RFC 5869). No output is longer than one block, so HKDF-Expand is one
//! HMAC over the label and a byte of 1.

use super::names::{KEY_BYTES, KeyId, SenderId};
use super::siphash::siphash;
use super::suite::Suite;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The salt of HKDF-Extract.
const SALT: &[u8] = b"caster/1";

/// The longest realm in bytes.
pub(crate) const MAX_REALM: usize = 255;

/// The values that are derived from one key and a realm.
pub(crate) struct Derived {
    pub id: KeyId,
    /// The name of the key and the realm.
    pub group: [u8; 12],
    hint: Zeroizing<[u8; 16]>,
    seal: Expand,
}

impl Derived {
    pub fn new(key: &[u8; KEY_BYTES], realm: &str) -> Self {
        let prk = extract(key);
        let hint = prk.expand(&[b"hint", &[0], realm.as_bytes()]);
        let group = prk.expand(&[b"group", &[0], realm.as_bytes()]);
        Self {
            id: KeyId(*prk.expand(&[b"id"])),
            group: *group.first_chunk().expect("32 bytes"),
            hint: Zeroizing::new(*hint.first_chunk().expect("32 bytes")),
            seal: Expand::new(&prk.expand(&[b"seal"])),
        }
    }

    /// The hint of a frame, from its bytes 16 to 40. It only spares forged frames the work of the tag, so the
    /// shorter SipHash is enough.
    pub fn hint(&self, bytes: &[u8; 24]) -> u64 {
        siphash::<1, 3>(&self.hint, bytes)
    }

    /// The key of one sender.
    pub fn sender_key(
        &self,
        suite: Suite,
        sender: &SenderId,
        realm: &str,
    ) -> Zeroizing<[u8; KEY_BYTES]> {
        self.seal.expand(&[b"sender", &[suite.number()], &sender.0, realm.as_bytes()])
    }
}

/// The public name of a key.
pub(super) fn key_id(key: &[u8; KEY_BYTES]) -> KeyId {
    KeyId(*extract(key).expand(&[b"id"]))
}

fn extract(key: &[u8; KEY_BYTES]) -> Expand {
    let mut mac = hmac(SALT);
    mac.update(key);
    Expand::new(&Zeroizing::new(mac.finalize().into_bytes().into()))
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("any length is good")
}

/// HKDF-Expand under one pseudorandom key. Its first blocks are not kept: they would not be cleared.
struct Expand(Zeroizing<[u8; KEY_BYTES]>);

impl Expand {
    fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(*key))
    }

    fn expand(&self, info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut mac = hmac(&self.0[..]);
        info.iter().for_each(|part| mac.update(part));
        mac.update(&[1]);
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}
