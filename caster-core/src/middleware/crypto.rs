//! `crypto`: AES the way OpenSSL's `enc` and Node's `createCipher` did it in 2012.
//!
//! Key and IV come from the key text by MD5 (`EVP_BytesToKey`, no salt, one round), the same for
//! every message; nothing authenticates the ciphertext. It keeps a glance out, not an attacker.

use super::stage::{Middleware, Reject, only_bytes};
use crate::error::{Error, ErrorCode, Result};
use crate::jstext::JsText;
use crate::message::{Message, Remote};
use crate::stats::DropReason;
use aes::cipher::consts::U16;
use aes::cipher::typenum::Unsigned;
use aes::cipher::{
    BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherDecrypt, BlockCipherEncBackend,
    BlockCipherEncClosure, BlockCipherEncrypt, BlockModeDecrypt, BlockSizeUser, InnerIvInit,
    KeyInit, ParBlocks,
};
use md5::{Digest, Md5};
use std::fmt;
use std::iter;

/// The default key: it is in the source of caster 0.1.1.
pub const DEFAULT_KEY: &str = "09dfDim3ZqzXvfkun6";

/// The algorithms by their first name. `aes128`, `aes192` and `aes256` are the `cbc` ones;
/// `cfb128` is `cfb`.
pub const ALGORITHMS: &[&str] = &[
    "aes-128-cbc",
    "aes-192-cbc",
    "aes-256-cbc",
    "aes-128-ctr",
    "aes-192-ctr",
    "aes-256-ctr",
    "aes-128-cfb",
    "aes-192-cfb",
    "aes-256-cfb",
    "aes-128-ofb",
    "aes-192-ofb",
    "aes-256-ofb",
    "aes-128-ecb",
    "aes-192-ecb",
    "aes-256-ecb",
];

/// How to make the middleware `crypto`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CryptoOptions {
    /// The key text; empty stands for [`DEFAULT_KEY`]. The low eight bits of each UTF-16 unit
    /// count; use [`JsText::from_latin1`] for a key that is bytes.
    pub key: JsText,
    /// The algorithm; empty stands for `aes256`.
    pub algorithm: String,
}

/// The middleware `crypto`.
pub struct Crypto {
    cipher: Cipher,
}

/// Without the key.
impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crypto").finish_non_exhaustive()
    }
}

impl Crypto {
    /// The middleware with these options.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if the algorithm is not supported.
    pub fn new(options: &CryptoOptions) -> Result<Self> {
        let key = match options.key.is_empty() {
            true => DEFAULT_KEY.as_bytes().to_vec(),
            false => options.key.to_latin1(),
        };
        let algorithm = if options.algorithm.is_empty() { "aes256" } else { &options.algorithm };
        Ok(Self { cipher: Cipher::new(find_algorithm(algorithm)?, &key) })
    }
}

/// How many bytes the padding of a block mode adds at most.
pub(crate) const MAX_PADDING: usize = 16;

impl Middleware for Crypto {
    fn name(&self) -> &str {
        "crypto"
    }

    fn tx(&self, message: &mut Message) -> Result<(), Error> {
        let one = std::slice::from_mut(message);
        self.tx_batch(one).map_err(|(_, error)| error)
    }

    fn tx_batch(&self, messages: &mut [Message]) -> Result<(), (usize, Error)> {
        only_bytes(self.name(), messages)?;
        self.cipher.encrypt(messages.iter_mut().map(Message::data_mut));
        Ok(())
    }

    fn rx(&self, message: &mut Message, _from: &Remote) -> Result<(), Reject> {
        self.cipher.decrypt(message.data_mut()).map_err(|Undecryptable| Reject {
            reason: DropReason::Decrypt,
            error: Error::new(ErrorCode::Decrypt, "bad decrypt"),
        })
    }
}

/// The first name of an algorithm given by any of its names, in any case.
///
/// # Errors
/// [`ErrorCode::InvalidOption`] if it is not supported; the text lists what is.
pub fn find_algorithm(name: &str) -> Result<&'static str> {
    let lower = name.to_ascii_lowercase();
    let wanted = match lower.as_str() {
        "aes128" => "aes-128-cbc",
        "aes192" => "aes-192-cbc",
        "aes256" => "aes-256-cbc",
        other => other.strip_suffix("cfb128").map_or(other, |_| &other[..other.len() - 3]),
    };
    ALGORITHMS.iter().copied().find(|&known| known == wanted).ok_or_else(|| {
        let list = ALGORITHMS.join(", ");
        let text = format!(
            "cipher {name:?} is not supported; use aes128, aes192, aes256 or one of {list}"
        );
        Error::new(ErrorCode::InvalidOption, text)
    })
}

type Block = aes::Block;
const BLOCK: usize = 16;

/// AES with a key of any size. The modes other than `cbc` are written over this, once and not
/// for each size: the `aes` crate has code for each kind of processor, and what is generic over it
/// is there that many times.
trait Key: Send + Sync {
    fn encrypt(&self, blocks: &mut [Block]);
    fn decrypt(&self, blocks: &mut [Block]);
    fn decrypt_cbc(&self, iv: &Block, blocks: &mut [Block]);
    fn chain(&self, lanes: Lanes<'_, '_>);
}

impl<A> Key for A
where
    A: BlockCipherEncrypt<BlockSize = U16> + BlockCipherDecrypt + Send + Sync,
{
    fn decrypt_cbc(&self, iv: &Block, blocks: &mut [Block]) {
        cbc::Decryptor::inner_iv_init(self, iv).decrypt_blocks(blocks);
    }

    fn encrypt(&self, blocks: &mut [Block]) {
        self.encrypt_with_backend(Many(blocks));
    }

    fn decrypt(&self, blocks: &mut [Block]) {
        self.decrypt_with_backend(Many(blocks));
    }

    fn chain(&self, lanes: Lanes<'_, '_>) {
        self.encrypt_with_backend(lanes);
    }
}

/// Work on blocks that do not need each other's result.
struct Many<'a>(&'a mut [Block]);

impl BlockSizeUser for Many<'_> {
    type BlockSize = U16;
}

/// Without AES instructions a few blocks are done at a time, and one takes as long as a few: that
/// the last ones are filled up spares the code for one.
const FEW: usize = 4;

impl BlockCipherEncClosure for Many<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, aes: &B) {
        if B::ParBlocksSize::USIZE <= FEW {
            for blocks in self.0.chunks_mut(B::ParBlocksSize::USIZE) {
                let mut few = ParBlocks::<B>::default();
                few[..blocks.len()].copy_from_slice(blocks);
                aes.encrypt_par_blocks_inplace(&mut few);
                blocks.copy_from_slice(&few[..blocks.len()]);
            }
            return;
        }
        let (groups, rest) = ParBlocks::<B>::slice_as_chunks_mut(self.0);
        groups.iter_mut().for_each(|group| aes.encrypt_par_blocks_inplace(group));
        rest.iter_mut().for_each(|block| aes.encrypt_block_inplace(block));
    }
}

impl BlockCipherDecClosure for Many<'_> {
    #[inline(always)]
    fn call<B: BlockCipherDecBackend<BlockSize = U16>>(self, aes: &B) {
        if B::ParBlocksSize::USIZE <= FEW {
            for blocks in self.0.chunks_mut(B::ParBlocksSize::USIZE) {
                let mut few = ParBlocks::<B>::default();
                few[..blocks.len()].copy_from_slice(blocks);
                aes.decrypt_par_blocks_inplace(&mut few);
                blocks.copy_from_slice(&few[..blocks.len()]);
            }
            return;
        }
        let (groups, rest) = ParBlocks::<B>::slice_as_chunks_mut(self.0);
        groups.iter_mut().for_each(|group| aes.decrypt_par_blocks_inplace(group));
        rest.iter_mut().for_each(|block| aes.decrypt_block_inplace(block));
    }
}

/// How a block enters the encryption of the next one.
#[derive(Debug, Clone, Copy)]
enum Feedback {
    Cbc,
    Cfb,
    Ofb,
}

/// How many messages are encrypted side by side. A processor with AES instructions works on about
/// as many blocks at a time, and in these modes a message has but one block to work on: eight
/// take a seventh of the time that they take one after the other.
const LANES: usize = 8;

/// Work on messages whose blocks need each other's result, one after the other.
struct Lanes<'a, 'b> {
    feedback: Feedback,
    iv: Block,
    /// At the most [`LANES`].
    lanes: &'a mut [&'b mut [Block]],
}

impl BlockSizeUser for Lanes<'_, '_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Lanes<'_, '_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, aes: &B) {
        let mut states = [self.iv; LANES];
        let longest = self.lanes.iter().map(|blocks| blocks.len()).max().unwrap_or(0);
        for at in 0..longest {
            for (state, lane) in states.iter_mut().zip(&mut *self.lanes) {
                let Some(block) = lane.get_mut(at) else { continue };
                if let Feedback::Cbc = self.feedback {
                    xor(state, block);
                }
                aes.encrypt_block_inplace(state);
                match self.feedback {
                    Feedback::Cbc => *block = *state,
                    Feedback::Cfb => {
                        xor(block, state);
                        *state = *block;
                    }
                    Feedback::Ofb => xor(block, state),
                }
            }
        }
    }
}

#[inline(always)]
fn xor(block: &mut Block, with: &Block) {
    *block = (u128::from_ne_bytes(block.0) ^ u128::from_ne_bytes(with.0)).to_ne_bytes().into();
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    Cbc,
    Ctr,
    Cfb,
    Ofb,
    Ecb,
}

/// A cipher with its key: the key schedule is computed once.
struct Cipher {
    mode: Mode,
    key: Box<dyn Key>,
    iv: Block,
}

struct Undecryptable;

impl Cipher {
    fn new(algorithm: &str, password: &[u8]) -> Self {
        fn key<A: KeyInit + Key + 'static>(material: &[u8]) -> (Box<dyn Key>, &[u8]) {
            let (key, rest) = material.split_at(A::key_size());
            (Box::new(A::new_from_slice(key).expect("the key's size")), rest)
        }
        let material = bytes_to_key::<48>(password);
        let (size, mode) = algorithm["aes-".len()..].split_at("128".len());
        let (key, rest) = match size {
            "128" => key::<aes::Aes128>(&material),
            "192" => key::<aes::Aes192>(&material),
            _ => key::<aes::Aes256>(&material),
        };
        let mode = match mode {
            "-cbc" => Mode::Cbc,
            "-ctr" => Mode::Ctr,
            "-cfb" => Mode::Cfb,
            "-ofb" => Mode::Ofb,
            "-ecb" => Mode::Ecb,
            other => unreachable!("find_algorithm does not return mode {other}"),
        };
        Self { mode, key, iv: Block::try_from(&rest[..BLOCK]).expect("one block") }
    }

    fn encrypt<'a>(&self, messages: impl Iterator<Item = &'a mut Vec<u8>>) {
        match self.mode {
            Mode::Cbc => self.chain(Feedback::Cbc, messages.map(padded)),
            Mode::Ecb => messages.for_each(|data| self.key.encrypt(padded(data))),
            Mode::Cfb | Mode::Ofb | Mode::Ctr => messages.for_each(|data| self.stream(data)),
        }
    }

    /// Encrypts in the modes that need no padding.
    fn stream(&self, data: &mut Vec<u8>) {
        streamed(data, |blocks| match self.mode {
            Mode::Cfb => self.chain(Feedback::Cfb, iter::once(blocks)),
            Mode::Ofb => self.chain(Feedback::Ofb, iter::once(blocks)),
            _ => self.parallel(blocks),
        });
    }

    fn chain<'a>(&self, feedback: Feedback, mut messages: impl Iterator<Item = &'a mut [Block]>) {
        loop {
            let mut lanes: [&mut [Block]; LANES] = Default::default();
            let count = lanes.iter_mut().zip(&mut messages).map(|(lane, it)| *lane = it).count();
            if count == 0 {
                return;
            }
            let lanes = &mut lanes[..count];
            self.key.chain(Lanes { feedback, iv: self.iv, lanes });
        }
    }

    fn decrypt(&self, data: &mut Vec<u8>) -> Result<(), Undecryptable> {
        match self.mode {
            Mode::Cbc | Mode::Ecb => {
                if !data.len().is_multiple_of(BLOCK) {
                    return Err(Undecryptable);
                }
                let blocks = whole_blocks(data);
                match self.mode {
                    Mode::Ecb => self.key.decrypt(blocks),
                    _ => self.key.decrypt_cbc(&self.iv, blocks),
                }
                let padding = *data.last().ok_or(Undecryptable)?;
                let length = data.len().checked_sub(padding.into()).ok_or(Undecryptable)?;
                let good = (1..=BLOCK).contains(&padding.into());
                if !good || data[length..].iter().any(|&byte| byte != padding) {
                    return Err(Undecryptable);
                }
                data.truncate(length);
            }
            Mode::Cfb => streamed(data, |blocks| self.parallel(blocks)),
            Mode::Ctr | Mode::Ofb => self.stream(data),
        }
        Ok(())
    }

    /// Decrypts in the mode `cfb`, and does both in `ctr`: here no block needs the
    /// result of another, and processors work on many at once.
    fn parallel(&self, blocks: &mut [Block]) {
        let mut previous = self.iv;
        let mut counter = u128::from_be_bytes(self.iv.0);
        for blocks in blocks.chunks_mut(AT_ONCE) {
            let mut others = [Block::default(); AT_ONCE];
            let others = &mut others[..blocks.len()];
            if let Mode::Ctr = self.mode {
                for other in &mut *others {
                    *other = counter.to_be_bytes().into();
                    counter = counter.wrapping_add(1);
                }
            } else {
                // The block that was sent before each.
                others[0] = previous;
                others[1..].copy_from_slice(&blocks[..blocks.len() - 1]);
                previous = blocks[blocks.len() - 1];
            }
            self.key.encrypt(others);
            for (block, other) in blocks.iter_mut().zip(others) {
                xor(block, other);
            }
        }
    }
}

/// As many blocks as the widest instructions take at a time.
const AT_ONCE: usize = 64;

/// With the padding of PKCS #7: each of its bytes is its length.
fn padded(data: &mut Vec<u8>) -> &mut [Block] {
    let padding = BLOCK - data.len() % BLOCK;
    data.resize(data.len() + padding, padding as u8);
    whole_blocks(data)
}

fn whole_blocks(data: &mut [u8]) -> &mut [Block] {
    let (blocks, rest) = Block::slice_as_chunks_mut(data);
    debug_assert!(rest.is_empty());
    blocks
}

/// Works on data of any length as if its last block were whole.
fn streamed(data: &mut Vec<u8>, work: impl FnOnce(&mut [Block])) {
    let length = data.len();
    data.resize(length.next_multiple_of(BLOCK), 0);
    work(whole_blocks(data));
    data.truncate(length);
}

/// The first `N` bytes of OpenSSL's `EVP_BytesToKey` with MD5, no salt and one round. `N` is a
/// multiple of 16.
fn bytes_to_key<const N: usize>(password: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let mut previous: &[u8] = &[];
    for block in out.chunks_exact_mut(16) {
        let digest = Md5::new().chain_update(previous).chain_update(password).finalize();
        block.copy_from_slice(&digest);
        previous = block;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_key_and_iv_are_openssls() {
        let material = bytes_to_key::<48>(DEFAULT_KEY.as_bytes());
        let hex: String = material.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = "6709fecb1b5ab5bfe089c1d1871c3a96573d15e22c4eba0f668d22ae714474c5";
        assert_eq!(hex, format!("{key}b5a9e33732d5f03442c0585e8980042a"));
    }

    #[test]
    fn every_algorithm_gives_back_what_it_took() {
        let from = Remote::new(([127, 0, 0, 1], 1).into(), 0);
        for algorithm in ALGORITHMS {
            let options = CryptoOptions { algorithm: (*algorithm).into(), ..Default::default() };
            let crypto = Crypto::new(&options).unwrap();
            for length in [0, 1, 15, 16, 17, 1000, 1024, 1040, 3000] {
                let plain = Message::bytes(vec![7; length]);
                let mut message = plain.clone();
                crypto.tx(&mut message).unwrap();
                assert!(length == 0 || message != plain, "{algorithm}");
                crypto.rx(&mut message, &from).unwrap();
                assert_eq!(message, plain, "{algorithm} {length}");
            }
        }
    }

    #[test]
    fn messages_encrypted_together_are_as_if_encrypted_one_by_one() {
        for algorithm in ALGORITHMS {
            let options = CryptoOptions { algorithm: (*algorithm).into(), ..Default::default() };
            let crypto = Crypto::new(&options).unwrap();
            for count in [1, 7, 8, 9, 20] {
                let plain = |n: usize| Message::bytes(vec![n as u8; n * 37 % 300]);
                let mut together: Vec<Message> = (0..count).map(plain).collect();
                crypto.tx_batch(&mut together).unwrap();
                for (n, together) in together.iter().enumerate() {
                    let mut single = plain(n);
                    crypto.tx(&mut single).unwrap();
                    assert_eq!(*together, single, "{algorithm}, {n} of {count}");
                }
            }
        }
    }

    /// `openssl enc`, given the key and the IV that `createCipher` makes of "secret".
    #[test]
    fn every_algorithm_does_what_openssl_does() {
        let digests = [
            ("aes-128-cbc", "02888894b834a099fc057ee4692de620b38f62fe"),
            ("aes-192-cbc", "f52a17bd086900e4a1d8e1676960bf121c4f00ca"),
            ("aes-256-cbc", "835df748ad59882d643df148511edb86398dbf02"),
            ("aes-128-ctr", "b8b22d1ded9d0d8795480faf53ed196af7bf4736"),
            ("aes-192-ctr", "0f59c03e52dff53dfc511ef03aa15d8fb6d62fac"),
            ("aes-256-ctr", "0a77cfab5eae98375efeeba8cab41875f98f020a"),
            ("aes-128-cfb", "db32e1a784275e1a5473a4eddfc59d0096277eef"),
            ("aes-192-cfb", "3e097a773cc2d93b8596b67841b02ccecbc59f24"),
            ("aes-256-cfb", "c27b00cc1a5508e55a632cbbe59779ea09894b26"),
            ("aes-128-ofb", "b6bee01428a202462071615590c666c26dbf80ce"),
            ("aes-192-ofb", "7b1d27e8a4955b51a9fecbfd7163c845964eea8d"),
            ("aes-256-ofb", "e71f074b8cfe7fbfba472d02417b4113fef80020"),
            ("aes-128-ecb", "33150d3b30664535a63e825803c3f04df404926b"),
            ("aes-192-ecb", "f94c6fd1e6287b35f7f2eb115dfee4e236dfd8cb"),
            ("aes-256-ecb", "56ca333f391eb1e28ac135eda6758f72e29aaed1"),
        ];
        assert_eq!(digests.len(), ALGORITHMS.len());
        for (algorithm, expected) in digests {
            let crypto =
                Crypto::new(&CryptoOptions { key: "secret".into(), algorithm: algorithm.into() })
                    .unwrap();
            // Around one block and around what is done at once.
            let mut all = sha1::Sha1::new();
            for length in [0, 1, 15, 16, 17, 1000, 1024, 1025, 3000] {
                let plain: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
                let mut message = Message::bytes(plain);
                crypto.tx(&mut message).unwrap();
                all.update(message.data());
            }
            let hex: String = all.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected, "{algorithm}");
        }
    }

    #[test]
    fn damaged_padding_is_refused() {
        let from = Remote::new(([127, 0, 0, 1], 1).into(), 0);
        let options = CryptoOptions { algorithm: "aes-128-ecb".into(), ..Default::default() };
        let crypto = Crypto::new(&options).unwrap();
        let padded = |padding: &[u8]| {
            let mut data = vec![7; BLOCK - padding.len()];
            data.extend_from_slice(padding);
            crypto.cipher.key.encrypt(whole_blocks(&mut data));
            Message::bytes(data)
        };
        assert!(crypto.rx(&mut padded(&[2, 2]), &from).is_ok());
        assert!(crypto.rx(&mut padded(&[16; 16]), &from).is_ok());
        for wrong in [&[0][..], &[17], &[2, 3, 3], &[255], &[16, 15]] {
            assert!(crypto.rx(&mut padded(wrong), &from).is_err(), "{wrong:?}");
        }
        for length in [0, 1, 15, 17] {
            assert!(crypto.rx(&mut Message::bytes(vec![1; length]), &from).is_err(), "{length}");
        }
    }

    #[test]
    fn unsupported_ciphers_are_refused_with_the_list() {
        for name in ["des3", "aes-256-gcm", "aes-256-cfb8", "bf", "", "aes-512-cbc"] {
            let error = find_algorithm(name).unwrap_err();
            assert!(error.message().contains("aes-256-cbc"), "{name}");
        }
        assert_eq!(find_algorithm("AES256").unwrap(), "aes-256-cbc");
        assert_eq!(find_algorithm("aes-128-cfb128").unwrap(), "aes-128-cfb");
    }
}
