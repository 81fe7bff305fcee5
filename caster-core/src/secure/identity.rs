//! Identities: an Ed25519 key for each node, with which it signs, and what a signature covers.
//!
//! The payload of a signed frame ends with a trailer:
//!
//! ```text
//!  0   1  flags; 1: this sender signs all of its frames
//!  1  16  salt: with the public key it makes the sender
//! 17  32  public key
//! 49  64  signature
//! ```

use super::key::Key;
use super::names::SenderId;
use crate::error::{Error, ErrorCode, Result};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// The size of the trailer.
pub(crate) const TRAILER: usize = 113;
const SALT: usize = 16;
const PUBLIC: usize = 32;
const SIGNED: usize = TRAILER - 64;

/// In the flags: this sender signs all of its frames.
const ALL: u8 = 1;

/// In front of what is signed, so that no other protocol with this key means the same.
const CONTEXT: &[u8; 12] = b"caster/1 sig";

/// The secret with which one node signs: the seed of an Ed25519 key, 32 random bytes.
///
/// Its memory is cleared when it is dropped. `Debug` shows its public key.
#[derive(Clone)]
pub struct Identity {
    seed: Key,
    signing: curve::Signing,
    public: PublicKey,
}

impl Identity {
    /// A new identity from the random numbers of the system.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] if the system has none; [`ErrorCode::InvalidOption`] without the feature `identity`.
    pub fn generate() -> Result<Self> {
        Self::from_seed(Key::generate()?)
    }

    /// The identity with this seed.
    ///
    /// # Errors
    /// As [`Key::from_bytes`], and without the feature `identity`.
    pub fn from_bytes(seed: &[u8]) -> Result<Self> {
        Self::from_seed(Key::from_bytes(seed)?)
    }

    /// The identity with the seed that this text stands for, which is one as of a [`Key`].
    ///
    /// # Errors
    /// As [`Key::from_text`], and without the feature `identity`.
    pub fn from_text(seed: &str) -> Result<Self> {
        Self::from_seed(Key::from_text(seed)?)
    }

    /// The identity of a file, which has one line and the permissions of a key file.
    ///
    /// # Errors
    /// As [`Key::read_file`]; [`ErrorCode::InvalidOption`] if there are several lines, or without the feature
    /// `identity`.
    pub fn read_file(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        let mut seeds = Key::read_file(path)?;
        match (seeds.pop(), seeds.is_empty()) {
            (Some(seed), true) => Self::from_seed(seed),
            _ => Err(refusal(&format!("{name}: the file of an identity has one line"))),
        }
    }

    fn from_seed(seed: Key) -> Result<Self> {
        let (signing, public) = curve::signing(seed.as_bytes())?;
        Ok(Self { seed, signing, public: PublicKey(public) })
    }

    /// The key with which others verify.
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The secret bytes. The caller takes care of copies.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.seed.as_bytes()
    }

    /// The secret as 64 hexadecimal digits, for a file. The memory is cleared when the text is dropped.
    pub fn to_hex(&self) -> Zeroizing<String> {
        self.seed.to_hex()
    }

    /// Whether this key is the seed.
    pub(crate) fn has_seed(&self, key: &Key) -> bool {
        self.seed == *key
    }

    /// Appends the trailer but for the signature to a payload.
    pub(crate) fn append(&self, all: bool, salt: &Salt, payload: &mut Vec<u8>) {
        payload.push(if all { ALL } else { 0 });
        payload.extend_from_slice(&salt.0);
        payload.extend_from_slice(&self.public.0);
    }

    /// Signs what [`Identity::append`] has made of a payload; `digest` is that of the frame.
    pub(crate) fn sign(&self, digest: &[u8; 32], payload: &mut Vec<u8>) {
        payload.extend_from_slice(&curve::sign(&self.signing, &signed_text(digest)));
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.public)
    }
}

/// Two are the same if their public keys are.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.public == other.public
    }
}

impl Eq for Identity {}

/// The key with which the signatures of a node are verified. `Display` writes 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; PUBLIC]);

impl PublicKey {
    /// The public key that these bytes are.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if they are not one, or without the feature `identity`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bytes: &[u8; PUBLIC] = bytes.try_into().map_err(|_| {
            refusal(&format!(
                "a public key has exactly {PUBLIC} bytes, and this has {}",
                bytes.len()
            ))
        })?;
        curve::check(bytes)?;
        Ok(Self(*bytes))
    }

    /// The public key that this text stands for: 64 hexadecimal digits, or 43 or 44 characters of base64.
    ///
    /// # Errors
    /// As [`PublicKey::from_bytes`].
    pub fn from_text(text: &str) -> Result<Self> {
        let bytes = super::key::read_text(text);
        let bytes = bytes.ok_or_else(|| {
            refusal(
                "a public key as text is 64 hexadecimal digits or 43 or 44 characters of base64",
            )
        })?;
        Self::from_bytes(&bytes[..])
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The sender that a node with this key has by this salt. Only that node can sign for it.
    pub(crate) fn sender(&self, salt: &Salt) -> SenderId {
        let digest = Sha256::new()
            .chain_update(b"caster/1 sender")
            .chain_update(self.0)
            .chain_update(salt.0)
            .finalize();
        SenderId(*digest.first_chunk().expect("32 bytes"))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn refusal(text: &str) -> Error {
    Error::new(ErrorCode::InvalidOption, text)
}

/// Random bytes of which a node with an identity makes its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Salt(pub [u8; SALT]);

/// The identity behind a believed sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signer {
    pub key: PublicKey,
    /// Whether it signs all of its frames, and not only those of control.
    pub all: bool,
}

/// The trailer of a signed frame that was opened. It is not verified yet.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    pub signer: Signer,
    salt: Salt,
    bytes: [u8; 64],
    /// Of all that is signed.
    digest: [u8; 32],
}

impl Signature {
    /// Reads the trailer at the end of a payload. `digest` is called with the payload but for the signature.
    pub fn read(payload: &[u8], digest: impl FnOnce(&[u8]) -> [u8; 32]) -> Option<Box<Self>> {
        let trailer: &[u8; TRAILER] = payload.last_chunk()?;
        let (signed, bytes) = payload.split_last_chunk::<64>()?;
        let key = PublicKey(*trailer[1 + SALT..SIGNED].first_chunk().expect("32 bytes"));
        Some(Box::new(Self {
            signer: Signer { key, all: trailer[0] & ALL != 0 },
            salt: Salt(*trailer[1..].first_chunk().expect("16 bytes")),
            bytes: *bytes,
            digest: digest(signed),
        }))
    }

    /// Whether the signature is that of the key, and the key that of the sender.
    pub fn is_valid(&self, sender: &SenderId) -> bool {
        self.signer.key.sender(&self.salt) == *sender
            && curve::verify(&self.signer.key.0, &signed_text(&self.digest), &self.bytes)
    }
}

fn signed_text(digest: &[u8; 32]) -> [u8; CONTEXT.len() + 32] {
    let mut text = [0; CONTEXT.len() + 32];
    text[..CONTEXT.len()].copy_from_slice(CONTEXT);
    text[CONTEXT.len()..].copy_from_slice(digest);
    text
}

/// The identities of one node: its own, and those that it trusts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identities {
    pub own: Option<Identity>,
    /// Whether messages are signed, too.
    pub all: bool,
    /// Only these are believed; none: each is, from its first use on.
    pub trusted: Vec<PublicKey>,
}

impl Identities {
    /// Whether signatures are verified here.
    pub fn verify(&self) -> bool {
        self.own.is_some() || !self.trusted.is_empty()
    }

    /// As others see this node.
    pub fn signer(&self) -> Option<Signer> {
        self.own.as_ref().map(|own| Signer { key: own.public, all: self.all })
    }

    pub fn trust(&self, key: &PublicKey) -> bool {
        self.trusted.is_empty() || self.trusted.contains(key)
    }
}

/// Ed25519. Another provider of it takes the place of this.
#[cfg(feature = "identity")]
mod curve {
    use super::{PUBLIC, Result, refusal};
    use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

    /// It clears its memory itself.
    pub(super) type Signing = SigningKey;

    pub(super) fn signing(seed: &[u8; 32]) -> Result<(Signing, [u8; PUBLIC])> {
        let signing = SigningKey::from_bytes(seed);
        let public = signing.verifying_key().to_bytes();
        Ok((signing, public))
    }

    pub(super) fn sign(key: &Signing, text: &[u8]) -> [u8; 64] {
        key.sign(text).to_bytes()
    }

    pub(super) fn check(key: &[u8; PUBLIC]) -> Result<()> {
        match VerifyingKey::from_bytes(key) {
            Ok(key) if !key.is_weak() => Ok(()),
            _ => Err(refusal("these 32 bytes are no public key")),
        }
    }

    /// Strict: one signature has one form, and keys of a small order have none.
    pub(super) fn verify(key: &[u8; PUBLIC], text: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(text, &signature).is_ok())
    }
}

/// Without the feature there are no identities.
#[cfg(not(feature = "identity"))]
mod curve {
    use super::{PUBLIC, Result, refusal};

    #[derive(Clone)]
    pub(super) enum Signing {}

    pub(super) fn signing(_seed: &[u8; 32]) -> Result<(Signing, [u8; PUBLIC])> {
        Err(refusal("this build has no identities: the feature identity is off"))
    }

    pub(super) fn sign(key: &Signing, _text: &[u8]) -> [u8; 64] {
        match *key {}
    }

    pub(super) fn check(_key: &[u8; PUBLIC]) -> Result<()> {
        signing(&[0; 32]).map(drop)
    }

    pub(super) fn verify(_key: &[u8; PUBLIC], _text: &[u8], _signature: &[u8; 64]) -> bool {
        false
    }
}
