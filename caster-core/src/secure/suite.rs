//! The suites: what seals the payload of a frame.

use super::names::{KEY_BYTES, TAG};
use aes::Aes256Enc;
use aes_gcm::AesGcm;
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use chacha20poly1305::ChaCha20Poly1305;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use sha2::digest::consts::U12;

/// Encryption with authentication under one key. Another provider of cryptography implements this, and
/// takes the place of [`keyed`].
pub(crate) trait Cipher: Send + Sync {
    /// Encrypts the payload in place; returns the tag over it and the associated data.
    fn seal(&self, nonce: &[u8; 12], associated: &[u8], payload: &mut [u8]) -> [u8; TAG];

    /// Verifies the tag in constant time and decrypts in place. Returns `false`, and leaves the payload
    /// as it is, if the tag is not the one of this payload and associated data.
    fn open(
        &self,
        nonce: &[u8; 12],
        associated: &[u8],
        payload: &mut [u8],
        tag: &[u8; TAG],
    ) -> bool;
}

/// A suite by its number in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Suite {
    AesGcm = 1,
    ChaCha = 2,
    /// Integrity without secrecy: the payload stays readable.
    Hmac = 3,
}

impl Suite {
    pub fn number(self) -> u8 {
        self as u8
    }

    pub fn from_number(number: u8) -> Option<Self> {
        [Self::AesGcm, Self::ChaCha, Self::Hmac].into_iter().find(|it| it.number() == number)
    }

    /// The faster of the suites that encrypt: AES if the processor has instructions for it, since it is
    /// slow, and its time depends on the key, without them.
    pub fn preferred() -> Self {
        #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
        let has_aes = std::arch::is_x86_feature_detected!("aes")
            && std::arch::is_x86_feature_detected!("pclmulqdq");
        #[cfg(target_arch = "aarch64")]
        let has_aes = std::arch::is_aarch64_feature_detected!("aes")
            && std::arch::is_aarch64_feature_detected!("pmull");
        #[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
        let has_aes = false;
        if has_aes { Self::AesGcm } else { Self::ChaCha }
    }
}

/// The cipher of a suite under a key.
pub(crate) fn keyed(suite: Suite, key: &[u8; KEY_BYTES]) -> Box<dyn Cipher> {
    match suite {
        // Only the half of AES that encrypts: GCM uses no other.
        Suite::AesGcm => Box::new(Aead(AesGcm::<Aes256Enc, U12>::new(key.into()))),
        Suite::ChaCha => Box::new(Aead(ChaCha20Poly1305::new(key.into()))),
        Suite::Hmac => Box::new(Integrity(Hmac::new_from_slice(key).expect("any length is good"))),
    }
}

struct Aead<A>(A);

impl<A> Cipher for Aead<A>
where
    A: AeadInOut<NonceSize = U12, TagSize = sha2::digest::consts::U16> + Send + Sync,
{
    fn seal(&self, nonce: &[u8; 12], associated: &[u8], payload: &mut [u8]) -> [u8; TAG] {
        let sealed = self.0.encrypt_inout_detached(nonce.into(), associated, payload.into());
        sealed.expect("a datagram is short enough").into()
    }

    fn open(
        &self,
        nonce: &[u8; 12],
        associated: &[u8],
        payload: &mut [u8],
        tag: &[u8; TAG],
    ) -> bool {
        let payload = InOutBuf::from(payload);
        self.0.decrypt_inout_detached(nonce.into(), associated, payload, tag.into()).is_ok()
    }
}

/// The first half of an HMAC. The nonce is part of the associated data.
struct Integrity(Hmac<Sha256>);

impl Integrity {
    fn mac(&self, associated: &[u8], payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(associated);
        mac.update(payload);
        mac
    }
}

impl Cipher for Integrity {
    fn seal(&self, _nonce: &[u8; 12], associated: &[u8], payload: &mut [u8]) -> [u8; TAG] {
        let full = self.mac(associated, payload).finalize().into_bytes();
        *full.first_chunk().expect("32 bytes")
    }

    fn open(
        &self,
        _nonce: &[u8; 12],
        associated: &[u8],
        payload: &mut [u8],
        tag: &[u8; TAG],
    ) -> bool {
        self.mac(associated, payload).verify_truncated_left(tag).is_ok()
    }
}
