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
use crate::sha256::sha256;
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
        let digest = sha256(&[b"caster/1 sender", &self.0, &salt.0]);
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

#[cfg(feature = "identity")]
#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    /// The first example of RFC 8032.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC_KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    const SALT_OF_TESTS: Salt = Salt([5; SALT]);

    fn refused<T: fmt::Debug>(result: Result<T>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidOption, "{error}");
        error.message().to_owned()
    }

    #[test]
    fn a_seed_makes_the_same_identity_in_each_form() {
        let identity = Identity::from_text(SEED).unwrap();
        assert_eq!(identity.public_key().to_string(), PUBLIC_KEY);
        assert_eq!(*identity.to_hex(), SEED);
        assert_eq!(Identity::from_bytes(identity.as_bytes()).unwrap(), identity);
        assert_eq!(Identity::from_text(&STANDARD.encode(identity.as_bytes())).unwrap(), identity);
        assert!(identity.has_seed(&Key::from_text(SEED).unwrap()));

        let other = Identity::generate().unwrap();
        assert_ne!(other, identity);
        assert_ne!(other, Identity::generate().unwrap());
        assert!(!identity.has_seed(&Key::from_bytes(other.as_bytes()).unwrap()));
        refused(Identity::from_text(&SEED[1..]));
        refused(Identity::from_bytes(&[0; 32]));
    }

    #[test]
    fn what_is_shown_of_an_identity_is_its_public_key() {
        let identity = Identity::from_text(SEED).unwrap();
        let shown = format!("{identity:?} {identity:#?} {:?}", identity.public_key());
        assert_eq!(shown, format!("Identity({PUBLIC_KEY}) Identity({PUBLIC_KEY}) {PUBLIC_KEY}"));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_of_an_identity_has_one_line_and_belongs_to_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("caster-identity-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("identity");
        let read = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Identity::read_file(&path)
        };
        let identity = read(&format!("# of this node\n{SEED}\n"), 0o600).unwrap();
        assert_eq!(identity, Identity::from_text(SEED).unwrap());
        assert!(refused(read(SEED, 0o644)).contains("chmod 600"));
        let two = refused(read(&format!("{SEED}\n{}\n", SEED.replace('9', "8")), 0o600));
        assert!(two.contains("one line") && two.contains(path.to_str().unwrap()), "{two}");
        assert!(!two.contains(&SEED[..8]), "{two}");
        refused(read("# none\n", 0o600));
        let absent = Identity::read_file(folder.join("none")).unwrap_err();
        assert_eq!(absent.code(), ErrorCode::Io);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_public_key_is_read_in_each_form_and_nothing_else_is() {
        let key = PublicKey::from_text(PUBLIC_KEY).unwrap();
        let bytes = key.as_bytes();
        assert_eq!(PublicKey::from_bytes(bytes).unwrap(), key);
        let base64 = [STANDARD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)];
        for text in base64.into_iter().chain([PUBLIC_KEY.to_uppercase()]) {
            assert_eq!(PublicKey::from_text(&text).unwrap(), key, "{text}");
        }
        for length in (0..100).filter(|&length| length != PUBLIC) {
            let message = refused(PublicKey::from_bytes(&vec![1; length]));
            assert!(message.contains(&format!("this has {length}")), "{message}");
        }
        for text in
            ["", "x", &PUBLIC_KEY[1..], &format!("{PUBLIC_KEY}0"), &format!(" {PUBLIC_KEY}")]
        {
            assert!(refused(PublicKey::from_text(text)).contains("64 hexadecimal"), "{text:?}");
        }
        // Two points of a small order, for which each peer can sign, and bytes that are no point.
        for first in 0..3 {
            let mut bytes = [0; PUBLIC];
            bytes[0] = first;
            assert!(refused(PublicKey::from_bytes(&bytes)).contains("no public key"), "{first}");
        }
    }

    fn digest_of(signed: &[u8]) -> [u8; 32] {
        sha256(&[signed])
    }

    /// A payload with its trailer, and its sender.
    fn signed(identity: &Identity, all: bool) -> (Vec<u8>, SenderId) {
        let mut payload = b"[1]".to_vec();
        identity.append(all, &SALT_OF_TESTS, &mut payload);
        identity.sign(&digest_of(&payload), &mut payload);
        (payload, identity.public_key().sender(&SALT_OF_TESTS))
    }

    #[test]
    fn a_signature_counts_for_its_frame_its_key_and_its_sender() {
        let identity = Identity::from_text(SEED).unwrap();
        for all in [false, true] {
            let (payload, sender) = signed(&identity, all);
            assert_eq!(payload.len(), 3 + TRAILER);
            let signature = Signature::read(&payload, digest_of).unwrap();
            assert_eq!(signature.signer, Signer { key: identity.public_key(), all });
            assert!(signature.is_valid(&sender));

            let mut other = sender;
            other.0[0] ^= 1;
            assert!(!signature.is_valid(&other));
            let of_another_frame = Signature::read(&payload, |_| [0; 32]).unwrap();
            assert!(!of_another_frame.is_valid(&sender));
            for bit in 0..8 * payload.len() {
                let mut changed = payload.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let changed = Signature::read(&changed, digest_of).unwrap();
                assert!(!changed.is_valid(&sender), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_payload_that_is_shorter_than_a_trailer_has_no_signature() {
        let (payload, _) = signed(&Identity::from_text(SEED).unwrap(), true);
        for length in 0..TRAILER {
            assert!(Signature::read(&payload[..length], digest_of).is_none(), "{length}");
        }
        assert!(Signature::read(&payload[3..], digest_of).is_some());
    }

    #[test]
    fn a_key_of_a_small_order_or_that_is_no_point_signs_nothing() {
        let (payload, _) = signed(&Identity::from_text(SEED).unwrap(), true);
        let (front, _) = payload.split_at(3 + 1 + SALT);
        // By the plain equation of Ed25519 the neutral point has signed each text with itself and 0.
        let mut neutral = [0; PUBLIC];
        neutral[0] = 1;
        for first in 0..3 {
            let mut key = [0; PUBLIC];
            key[0] = first;
            let forged = [front, &key, &neutral, &[0; 32]].concat();
            let forged = Signature::read(&forged, digest_of).unwrap();
            assert!(!forged.is_valid(&PublicKey(key).sender(&SALT_OF_TESTS)), "{first}");
        }
    }

    #[test]
    fn a_node_verifies_if_it_signs_or_trusts_and_trusts_all_if_it_names_none() {
        let own = Identity::from_text(SEED).unwrap();
        let key = own.public_key();
        let other = Identity::generate().unwrap().public_key();
        let none = Identities::default();
        assert!(!none.verify() && none.signer().is_none() && none.trust(&key));
        let signs = Identities { own: Some(own), all: true, trusted: Vec::new() };
        assert!(signs.verify() && signs.trust(&other));
        assert_eq!(signs.signer(), Some(Signer { key, all: true }));
        let trusts = Identities { trusted: vec![key], ..Identities::default() };
        assert!(trusts.verify() && trusts.signer().is_none());
        assert!(trusts.trust(&key) && !trusts.trust(&other));
    }
}
