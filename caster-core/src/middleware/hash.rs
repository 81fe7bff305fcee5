//! `hash`: a digest of a shared secret and the payload in front of every payload.
//!
//! `wire = H(secret ‖ payload) ‖ payload`. It tells groups apart and finds damage. It is not a
//! message authentication code: do not take it for security.

use super::stage::{InProgress, Incoming, Middleware, Reject, only_bytes};
use crate::error::{Error, ErrorCode, Result};
use crate::jstext::JsText;
use crate::message::{DATA_MAGIC, Message, Remote};
use crate::stats::DropReason;
use sha1::Digest;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use subtle::{Choice, ConstantTimeEq};

/// The default secret: it is in the source of caster 0.1.1.
pub const DEFAULT_SECRET: &str = "9ve2cND;d3\"Vs";

/// The algorithms by their first name; `hashAlgorithm` also takes the aliases that OpenSSL has.
#[cfg(feature = "legacy-digests")]
pub const ALGORITHMS: &[&str] =
    &["sha1", "md5", "sha224", "sha256", "sha384", "sha512", "ripemd160"];
/// The algorithms by their first name; `hashAlgorithm` also takes the aliases that OpenSSL has.
#[cfg(not(feature = "legacy-digests"))]
pub const ALGORITHMS: &[&str] = &["sha1", "sha224", "sha256", "sha384", "sha512"];

/// How non-ASCII bytes enter the digest. Node.js changed it in version 6; ASCII is not affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashEra {
    /// Send in the era of the first peer whose digest tells it, in [`HashEra::Utf8`] until then.
    #[default]
    Auto,
    /// Node.js 0.8 to 5: bytes as they are, the secret truncated to 8 bits per UTF-16 unit.
    Binary,
    /// Node.js 6 and newer: secret and payload re-encoded as UTF-8, so that every byte from
    /// 0x80 on is hashed as two.
    Utf8,
}

/// From the words of the option `hashEra`: `auto`, `binary`, `utf8`.
impl std::str::FromStr for HashEra {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "auto" => Ok(HashEra::Auto),
            "binary" => Ok(HashEra::Binary),
            "utf8" => Ok(HashEra::Utf8),
            _ => {
                let text = format!("hash era {word:?} is not known; use auto, binary or utf8");
                Err(Error::new(ErrorCode::InvalidOption, text))
            }
        }
    }
}

/// How to make the middleware `hash`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HashOptions {
    /// The shared secret; empty stands for [`DEFAULT_SECRET`].
    pub secret: JsText,
    /// The algorithm; empty stands for `sha1`.
    pub algorithm: String,
    /// The era to send in. Either is accepted on the way in.
    pub era: HashEra,
}

/// The middleware `hash`.
pub struct Hash {
    binary: Keyed,
    utf8: Keyed,
    /// The size of the digest.
    size: usize,
    era: HashEra,
    ascii_secret: bool,
    /// 0: nothing heard that tells; else 1 + the era.
    learned: AtomicU8,
}

/// Without the secret.
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Hash {
    /// The middleware with these options.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if the algorithm is not supported.
    pub fn new(options: &HashOptions) -> Result<Self> {
        let default = JsText::from(DEFAULT_SECRET);
        let secret = if options.secret.is_empty() { &default } else { &options.secret };
        let algorithm = if options.algorithm.is_empty() { "sha1" } else { &options.algorithm };
        let algorithm = find_algorithm(algorithm)?;
        Ok(Self {
            binary: Keyed::new(algorithm, &secret.to_latin1()),
            utf8: Keyed::new(algorithm, &secret.to_utf8()),
            size: State::new(algorithm).finish(&mut [0; MAX_DIGEST]),
            era: options.era,
            ascii_secret: secret.is_ascii(),
            learned: AtomicU8::new(0),
        })
    }

    /// The digests of these payloads, of which there are at the most [`LANES`].
    fn digests(&self, era: Era, payloads: &[&[u8]]) -> [[u8; MAX_DIGEST]; LANES] {
        match era {
            Era::Binary => self.binary.digests(era, payloads),
            Era::Utf8 => self.utf8.digests(era, payloads),
        }
    }

    fn payload<'a>(&self, message: &'a Message) -> &'a [u8] {
        message.data().get(self.size..).unwrap_or_default()
    }

    /// Takes the digest off a message whose digest in the era `Binary` is this.
    fn verify(&self, message: &mut Message, binary: &[u8; MAX_DIGEST]) -> Result<(), Reject> {
        let length = self.size;
        let mismatch = |reason| {
            let error = Error::new(ErrorCode::HashMismatch, "Hash does not match");
            Err(Reject { reason, error })
        };
        let Some((given, payload)) = message.data().split_at_checked(length) else {
            return mismatch(DropReason::Truncated);
        };
        let eras_differ = !self.ascii_secret || !payload.is_ascii();
        let is_given = |digest: &[u8; MAX_DIGEST]| is_same(&digest[..length], given);
        let learned = if is_given(binary) {
            LEARNED_BINARY
        } else if eras_differ && is_given(&self.digests(Era::Utf8, &[payload])[0]) {
            LEARNED_UTF8
        } else {
            return mismatch(DropReason::Hash);
        };
        // A frame always has the digest of the binary era.
        if eras_differ && !message.data()[length..].starts_with(&DATA_MAGIC) {
            // The first one decides: two eras on one network have to be told apart by hand.
            let relaxed = Ordering::Relaxed;
            let _ = self.learned.compare_exchange(0, learned, relaxed, relaxed);
        }
        message.data_mut().drain(..length);
        Ok(())
    }

    /// How many bytes a digest adds.
    pub(crate) fn overhead(&self) -> usize {
        self.size
    }

    /// The era in which these are sent: frames in the binary one, which is faster for them.
    fn era_to_send(&self, payloads: &[&[u8]]) -> Era {
        if payloads.iter().all(|payload| payload.starts_with(&DATA_MAGIC)) {
            return Era::Binary;
        }
        match (self.era, self.learned.load(Ordering::Relaxed)) {
            (HashEra::Binary, _) | (HashEra::Auto, LEARNED_BINARY) => Era::Binary,
            _ => Era::Utf8,
        }
    }
}

const LEARNED_BINARY: u8 = 1;
const LEARNED_UTF8: u8 = 2;

impl Middleware for Hash {
    fn name(&self) -> &str {
        "hash"
    }

    fn tx(&self, message: &mut Message) -> Result<(), Error> {
        let one = std::slice::from_mut(message);
        self.tx_batch(one).map_err(|(_, error)| error)
    }

    fn tx_batch(&self, messages: &mut [Message]) -> Result<(), (usize, Error)> {
        only_bytes(self.name(), messages)?;
        for messages in messages.chunks_mut(LANES) {
            let mut payloads = [&[][..]; LANES];
            payloads.iter_mut().zip(&*messages).for_each(|(it, message)| *it = message.data());
            let payloads = &payloads[..messages.len()];
            let digests = self.digests(self.era_to_send(payloads), payloads);
            for (message, digest) in messages.iter_mut().zip(&digests) {
                message.prepend(&digest[..self.size]);
            }
        }
        Ok(())
    }

    fn rx(&self, message: &mut Message, _from: &Remote) -> Result<(), Reject> {
        let [digest, _] = self.digests(Era::Binary, &[self.payload(message)]);
        self.verify(message, &digest)
    }

    fn rx_batch(&self, messages: &mut [Incoming]) {
        let mut walking =
            messages.iter_mut().filter(|it| matches!(it.progress, InProgress::Walking));
        loop {
            let mut some: [_; LANES] = std::array::from_fn(|_| walking.next());
            let mut payloads = [&[][..]; LANES];
            let found = some.iter().flatten().zip(&mut payloads);
            let count = found.map(|(it, payload)| *payload = self.payload(&it.message)).count();
            if count == 0 {
                return;
            }
            let digests = self.digests(Era::Binary, &payloads[..count]);
            for (incoming, digest) in some.iter_mut().flatten().zip(&digests) {
                if let Err(reject) = self.verify(&mut incoming.message, digest) {
                    incoming.reject(reject);
                }
            }
        }
    }

    fn listens_first(&self) -> bool {
        !self.ascii_secret && self.era == HashEra::Auto && self.learned.load(Ordering::Relaxed) == 0
    }
}

/// The first name of an algorithm given by any of its names, in any case.
///
/// # Errors
/// [`ErrorCode::InvalidOption`] if it is not supported; the text lists what is.
pub fn find_algorithm(name: &str) -> Result<&'static str> {
    let lower = name.to_ascii_lowercase();
    let first = match lower.as_str() {
        "sha1"
        | "sha-1"
        | "ssl3-sha1"
        | "rsa-sha1"
        | "rsa-sha1-2"
        | "sha1withrsaencryption"
        | "sha1withrsa"
        | "dss1"
        | "dsa-sha1"
        | "dsa-sha1-old"
        | "dsawithsha1"
        | "ecdsa-with-sha1" => "sha1",
        #[cfg(feature = "legacy-digests")]
        "md5" | "ssl3-md5" | "rsa-md5" | "md5withrsaencryption" => "md5",
        "sha224" | "sha-224" | "sha2-224" | "rsa-sha224" | "sha224withrsaencryption" => "sha224",
        "sha256" | "sha-256" | "sha2-256" | "rsa-sha256" | "sha256withrsaencryption" => "sha256",
        "sha384" | "sha-384" | "sha2-384" | "rsa-sha384" | "sha384withrsaencryption" => "sha384",
        "sha512" | "sha-512" | "sha2-512" | "rsa-sha512" | "sha512withrsaencryption" => "sha512",
        #[cfg(feature = "legacy-digests")]
        "ripemd160" | "ripemd-160" | "ripemd" | "rmd160" | "rsa-ripemd160" | "ripemd160withrsa" => {
            "ripemd160"
        }
        _ => {
            let list = ALGORITHMS.join(", ");
            let text = format!("hash algorithm {name:?} is not supported; use one of {list}");
            return Err(Error::new(ErrorCode::InvalidOption, text));
        }
    };
    Ok(first)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Era {
    Binary,
    Utf8,
}

impl Era {
    /// Gives `update` what is hashed for this payload: in UTF-8 it is read as Latin-1.
    fn feed(self, payload: &[u8], mut update: impl FnMut(&[u8])) {
        if self == Era::Binary || payload.is_ascii() {
            update(payload);
            return;
        }
        for run in payload.chunk_by(|a, b| a.is_ascii() == b.is_ascii()) {
            if run[0].is_ascii() {
                update(run);
                continue;
            }
            for part in run.chunks(128) {
                let mut pairs = [0; 256];
                for (pair, &byte) in pairs.chunks_exact_mut(2).zip(part) {
                    pair.copy_from_slice(&[0xC0 | byte >> 6, 0x80 | byte & 0x3F]);
                }
                update(&pairs[..part.len() * 2]);
            }
        }
    }
}

/// The size of the largest digest: SHA-512.
const MAX_DIGEST: usize = 64;

/// The state of a digest. An enum and not a type parameter of what is below: that is there once and
/// not seven times.
#[derive(Clone)]
enum State {
    Sha1(sha1::Sha1),
    #[cfg(feature = "legacy-digests")]
    Md5(md5::Md5),
    Sha224(sha2::Sha224),
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
    #[cfg(feature = "legacy-digests")]
    Ripemd160(ripemd::Ripemd160),
}

/// Does the same with the state of each algorithm.
macro_rules! each {
    ($state:expr, $digest:ident => $do:expr) => {
        match $state {
            State::Sha1($digest) => $do,
            #[cfg(feature = "legacy-digests")]
            State::Md5($digest) => $do,
            State::Sha224($digest) => $do,
            State::Sha256($digest) => $do,
            State::Sha384($digest) => $do,
            State::Sha512($digest) => $do,
            #[cfg(feature = "legacy-digests")]
            State::Ripemd160($digest) => $do,
        }
    };
}

impl State {
    /// `algorithm` is one that `find_algorithm` returns.
    fn new(algorithm: &str) -> Self {
        match algorithm {
            "sha1" => State::Sha1(Digest::new()),
            #[cfg(feature = "legacy-digests")]
            "md5" => State::Md5(Digest::new()),
            "sha224" => State::Sha224(Digest::new()),
            "sha256" => State::Sha256(Digest::new()),
            "sha384" => State::Sha384(Digest::new()),
            "sha512" => State::Sha512(Digest::new()),
            #[cfg(feature = "legacy-digests")]
            "ripemd160" => State::Ripemd160(Digest::new()),
            other => unreachable!("find_algorithm does not return {other}"),
        }
    }

    #[inline(never)]
    fn update(&mut self, bytes: &[u8]) {
        each!(self, digest => digest.update(bytes));
    }

    /// How many bytes of `out` are the digest.
    #[inline(never)]
    fn finish(self, out: &mut [u8; MAX_DIGEST]) -> usize {
        each!(self, digest => finish(digest, out))
    }
}

/// Compares two digests of one algorithm in a time that does not depend on what is in them. By words:
/// the size of every digest is a multiple of four, and by bytes it would take 7 % of the
/// instructions of a received message.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let words = a.as_chunks().0.iter().zip(b.as_chunks().0);
    let same = |(&a, &b): (&[u8; 4], &[u8; 4])| u32::from_ne_bytes(a).ct_eq(&u32::from_ne_bytes(b));
    words.map(same).fold(Choice::from(1), |all, same| all & same).into()
}

fn finish<D: Digest>(digest: D, out: &mut [u8; MAX_DIGEST]) -> usize {
    let bytes = digest.finalize();
    out[..bytes.len()].copy_from_slice(&bytes);
    bytes.len()
}

/// A digest that has already taken in the secret: it is hashed once, and the state used for every
/// datagram.
struct Keyed {
    state: State,
    sha1: Option<Sha1>,
}

impl Keyed {
    fn new(algorithm: &str, secret: &[u8]) -> Self {
        let mut state = State::new(algorithm);
        state.update(secret);
        Self { state, sha1: (algorithm == "sha1").then(|| Sha1::new(secret)) }
    }

    /// The digests of these payloads, of which there are at the most [`LANES`].
    fn digests(&self, era: Era, payloads: &[&[u8]]) -> [[u8; MAX_DIGEST]; LANES] {
        let as_it_is = |payload: &&[u8]| era == Era::Binary || payload.is_ascii();
        let mut out = [[0; MAX_DIGEST]; LANES];
        if let Some(sha1) = self.sha1.as_ref().filter(|_| payloads.iter().all(as_it_is)) {
            sha1.digests(payloads, &mut out);
            return out;
        }
        for (payload, out) in payloads.iter().zip(&mut out) {
            let mut state = self.state.clone();
            era.feed(payload, |bytes| state.update(bytes));
            state.finish(out);
        }
        out
    }
}

/// How many digests are computed side by side. Each round of SHA-1 needs the one before it, and the
/// instructions for it leave the processor time for another one's: two take as long as one.
const LANES: usize = 2;

/// The usual case: SHA-1 of a secret with a payload behind it, block by block.
struct Sha1 {
    /// After as much of the secret as are whole blocks.
    state: [u32; 5],
    before: usize,
    /// The rest of the secret.
    rest: Vec<u8>,
}

impl Sha1 {
    const BLOCK: usize = 64;

    fn new(secret: &[u8]) -> Self {
        let (blocks, rest) = secret.as_chunks::<{ Self::BLOCK }>();
        // FIPS 180-4, 5.3.1.
        let mut state = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];
        sha1::block_api::compress(&mut state, blocks);
        Self { state, before: secret.len() - rest.len(), rest: rest.to_vec() }
    }

    fn digests(&self, payloads: &[&[u8]], out: &mut [[u8; MAX_DIGEST]; LANES]) {
        let mut states = [self.state; LANES];
        let mut lanes = payloads.iter().map(|payload| (*payload, 0, self.blocks(payload.len())));
        let mut lanes: [_; LANES] = std::array::from_fn(|_| lanes.next().unwrap_or_default());
        // Block by block while there are two.
        let at_once = if payloads.len() > 1 { 1 } else { usize::MAX };
        while lanes.iter().any(|(_, done, all)| done < all) {
            for (state, (payload, done, all)) in states.iter_mut().zip(&mut lanes) {
                if done < all {
                    *done += self.compress(state, payload, *done, at_once);
                }
            }
        }
        for (state, out) in states.iter().zip(out) {
            for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
                bytes.copy_from_slice(&word.to_be_bytes());
            }
        }
    }

    /// How many blocks are left to be hashed with a payload of this size.
    fn blocks(&self, payload: usize) -> usize {
        (self.rest.len() + payload + PADDING).div_ceil(Self::BLOCK)
    }

    /// Takes in the block of this number, and what follows up to so many. Returns how many it took.
    fn compress(&self, state: &mut [u32; 5], payload: &[u8], at: usize, most: usize) -> usize {
        let (start, rest) = (at * Self::BLOCK, &*self.rest);
        let inside = start.checked_sub(rest.len()).and_then(|from| payload.get(from..));
        let (blocks, _) = inside.unwrap_or_default().as_chunks::<{ Self::BLOCK }>();
        if !blocks.is_empty() {
            let blocks = &blocks[..blocks.len().min(most)];
            sha1::block_api::compress(state, blocks);
            return blocks.len();
        }
        let mut block = [0; Self::BLOCK];
        let rest = rest.get(start..).unwrap_or_default();
        let payload_from = payload.get(start.saturating_sub(self.rest.len())..).unwrap_or_default();
        let used = (rest.len() + payload_from.len()).min(Self::BLOCK);
        block[..rest.len()].copy_from_slice(rest);
        block[rest.len()..used].copy_from_slice(&payload_from[..used - rest.len()]);
        let all = self.rest.len() + payload.len();
        if start + used == all && used < Self::BLOCK {
            block[used] = 0x80;
        }
        if at + 1 == self.blocks(payload.len()) {
            let bits = (self.before + all) as u64 * 8;
            block[Self::BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
        }
        sha1::block_api::compress(state, &[block]);
        1
    }
}

/// The least that follows the payload: a bit, and its length.
const PADDING: usize = 1 + 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn with(secret: &str, era: HashEra) -> Hash {
        Hash::new(&HashOptions { secret: secret.into(), era, ..Default::default() }).unwrap()
    }

    fn sent(hash: &Hash, payload: &str) -> Message {
        let mut message = Message::bytes(payload);
        hash.tx(&mut message).unwrap();
        message
    }

    fn hears(hash: &Hash, mut message: Message) -> bool {
        let from = Remote::new(([127, 0, 0, 1], 1).into(), message.data().len());
        hash.rx(&mut message, &from).is_ok()
    }

    #[test]
    fn an_era_that_is_not_known_is_refused_and_no_secret_is_shown() {
        assert_eq!("utf8".parse::<HashEra>().unwrap(), HashEra::Utf8);
        assert!("latin".parse::<HashEra>().unwrap_err().message().contains("latin"));
        assert_eq!(format!("{:?}", with("hidden", HashEra::Auto)), "Hash { size: 20, .. }");
    }

    /// Whether they come one by one or together, and however they fall into blocks.
    #[test]
    fn digests_are_those_of_the_library() {
        for algorithm in ALGORITHMS {
            for secret in ["", "s", DEFAULT_SECRET, &"x".repeat(64), &"é".repeat(90)] {
                let options = HashOptions {
                    secret: secret.into(),
                    algorithm: (*algorithm).into(),
                    era: HashEra::Binary,
                };
                let hash = Hash::new(&options).unwrap();
                let secret = if secret.is_empty() { DEFAULT_SECRET } else { secret };
                let secret = JsText::from(secret).to_latin1();
                let lengths = [0, 1, 41, 42, 43, 50, 51, 52, 55, 56, 63, 64, 65, 119, 120, 1000];
                let plain = lengths.map(|length| Message::bytes(vec![b'p'; length]));
                let mut together = plain.clone();
                hash.tx_batch(&mut together).unwrap();
                for (plain, together) in plain.iter().zip(&together) {
                    let mut state = State::new(algorithm);
                    state.update(&secret);
                    state.update(plain.data());
                    let mut digest = [0; MAX_DIGEST];
                    let size = state.finish(&mut digest);
                    let expected = [&digest[..size], plain.data()].concat();
                    assert_eq!(together.data(), expected, "{algorithm}");
                    let mut single = plain.clone();
                    hash.tx(&mut single).unwrap();
                    assert_eq!(single.data(), expected, "{algorithm}");
                }
            }
        }
    }

    #[test]
    fn one_wrong_bit_anywhere_in_a_digest_is_refused() {
        for algorithm in ALGORITHMS {
            let hash =
                Hash::new(&HashOptions { algorithm: (*algorithm).into(), ..Default::default() });
            let hash = hash.unwrap();
            let good = sent(&hash, "payload");
            assert!(hears(&hash, good.clone()));
            for at in 0..hash.size {
                for bit in 0..8 {
                    let mut wrong = good.clone();
                    wrong.data_mut()[at] ^= 1 << bit;
                    assert!(!hears(&hash, wrong), "{algorithm} {at} {bit}");
                }
            }
        }
    }

    #[test]
    fn either_era_is_heard_and_the_first_is_spoken() {
        let listener = with("s", HashEra::Auto);
        let binary = with("s", HashEra::Binary);
        assert_ne!(sent(&listener, "é"), sent(&binary, "é"));
        assert!(hears(&listener, sent(&binary, "é")));
        assert_eq!(sent(&listener, "é"), sent(&binary, "é"));
        assert!(hears(&listener, sent(&with("s", HashEra::Utf8), "é")));
        assert_eq!(sent(&listener, "é"), sent(&binary, "é"));
    }

    #[test]
    fn ascii_teaches_no_era() {
        let listener = with("s", HashEra::Auto);
        assert!(hears(&listener, sent(&with("s", HashEra::Binary), "plain")));
        assert_eq!(sent(&listener, "é"), sent(&with("s", HashEra::Utf8), "é"));
    }

    #[test]
    fn only_a_secret_beyond_ascii_makes_it_listen_first() {
        assert!(with("clé", HashEra::Auto).listens_first());
        assert!(!with("clé", HashEra::Binary).listens_first());
        assert!(!with("key", HashEra::Auto).listens_first());
    }

    #[test]
    fn an_unknown_algorithm_is_refused_with_the_list() {
        let error = find_algorithm("whirlpool").unwrap_err();
        assert!(error.message().contains("\"whirlpool\"") && error.message().contains("sha512"));
        assert_eq!(find_algorithm("RSA-SHA256").unwrap(), "sha256");
    }
}
