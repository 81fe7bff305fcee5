//! SHA-256. One function for all: at each of its places the hash would take 400 bytes of code.

use sha2::{Digest, Sha256};

/// The digest of these parts, one after the other.
#[inline(never)]
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}
