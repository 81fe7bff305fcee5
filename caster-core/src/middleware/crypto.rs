//! `crypto`: AES the way OpenSSL's `enc` and Node's `createCipher` did it in 2012.
//!
//! Key and IV come from the key text by MD5 (`EVP_BytesToKey`, no salt, one round), the same for
//! every message; nothing authenticates the ciphertext. It keeps a glance out, not an attacker.

use super::{Middleware, Reject};
use crate::error::{Error, ErrorCode, Result};
use crate::jstext::JsText;
use crate::message::{Message, MessageKind, Remote};
use crate::stats::DropReason;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{
    BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, BlockSizeUser,
    InnerIvInit, IvSizeUser, KeyInit, KeySizeUser, StreamCipher,
};
use md5::{Digest, Md5};

/// The key of everybody who did not set one: it is in the source of caster 0.1.1.
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
#[derive(Debug, Clone, Default)]
pub struct CryptoOptions {
    /// The key text; empty stands for [`DEFAULT_KEY`]. The low eight bits of each UTF-16 unit
    /// count; use [`JsText::from_latin1`] for a key that is bytes.
    pub key: JsText,
    /// The algorithm; empty stands for `aes256`.
    pub algorithm: String,
}

/// The middleware `crypto`.
pub struct Crypto {
    cipher: Box<dyn Cipher>,
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
        Ok(Self { cipher: keyed(find_algorithm(algorithm)?, &key) })
    }
}

impl Middleware for Crypto {
    fn name(&self) -> &str {
        "crypto"
    }

    fn tx(&self, message: &mut Message) -> Result<(), Error> {
        if message.kind() == MessageKind::Json {
            let text = "crypto works on bytes: put json in front of it";
            return Err(Error::new(ErrorCode::Middleware, text));
        }
        self.cipher.encrypt(message.data_mut());
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

struct Undecryptable;

/// A keyed cipher: the key schedule is computed once.
trait Cipher: Send + Sync {
    fn encrypt(&self, data: &mut Vec<u8>);
    fn decrypt(&self, data: &mut Vec<u8>) -> Result<(), Undecryptable>;
}

const BLOCK: usize = 16;

fn encrypt_padded(mode: impl BlockModeEncrypt, data: &mut Vec<u8>) {
    let length = data.len();
    data.resize(length / BLOCK * BLOCK + BLOCK, 0);
    mode.encrypt_padded::<Pkcs7>(data, length).expect("there is room for the padding");
}

fn decrypt_padded(mode: impl BlockModeDecrypt, data: &mut Vec<u8>) -> Result<(), Undecryptable> {
    let plain = mode.decrypt_padded::<Pkcs7>(data).map_err(|_| Undecryptable)?;
    let length = plain.len();
    data.truncate(length);
    Ok(())
}

struct Cbc<A>(A, [u8; BLOCK]);
struct Ecb<A: Aes>(ecb::Encryptor<A>, ecb::Decryptor<A>);
struct Cfb<A>(A, [u8; BLOCK]);
struct Ctr<A>(A, [u8; BLOCK]);
struct Ofb<A>(A, [u8; BLOCK]);

/// What AES-128, -192 and -256 have in common here.
trait Aes:
    BlockCipherEncrypt
    + BlockCipherDecrypt
    + BlockSizeUser<BlockSize = aes::cipher::consts::U16>
    + KeyInit
    + Clone
    + Send
    + Sync
    + 'static
{
}
impl Aes for aes::Aes128 {}
impl Aes for aes::Aes192 {}
impl Aes for aes::Aes256 {}

fn start<M: InnerIvInit + IvSizeUser>(inner: M::Inner, iv: &[u8; BLOCK]) -> M {
    M::inner_iv_slice_init(inner, iv).expect("every mode here has an IV of one block")
}

impl<A: Aes> Cipher for Cbc<A> {
    fn encrypt(&self, data: &mut Vec<u8>) {
        encrypt_padded(start::<cbc::Encryptor<A>>(self.0.clone(), &self.1), data);
    }

    fn decrypt(&self, data: &mut Vec<u8>) -> Result<(), Undecryptable> {
        decrypt_padded(start::<cbc::Decryptor<A>>(self.0.clone(), &self.1), data)
    }
}

impl<A: Aes> Cipher for Ecb<A> {
    fn encrypt(&self, data: &mut Vec<u8>) {
        encrypt_padded(self.0.clone(), data);
    }

    fn decrypt(&self, data: &mut Vec<u8>) -> Result<(), Undecryptable> {
        decrypt_padded(self.1.clone(), data)
    }
}

impl<A: Aes> Cipher for Cfb<A> {
    fn encrypt(&self, data: &mut Vec<u8>) {
        start::<cfb_mode::Encryptor<A>>(self.0.clone(), &self.1).encrypt(data);
    }

    fn decrypt(&self, data: &mut Vec<u8>) -> Result<(), Undecryptable> {
        start::<cfb_mode::Decryptor<A>>(self.0.clone(), &self.1).decrypt(data);
        Ok(())
    }
}

impl<A: Aes> Cipher for Ctr<A> {
    fn encrypt(&self, data: &mut Vec<u8>) {
        let core: ctr::CtrCore<A, ctr::flavors::Ctr128BE> = start(self.0.clone(), &self.1);
        ctr::Ctr128BE::<A>::from_core(core).apply_keystream(data);
    }

    fn decrypt(&self, data: &mut Vec<u8>) -> Result<(), Undecryptable> {
        self.encrypt(data);
        Ok(())
    }
}

impl<A: Aes> Cipher for Ofb<A> {
    fn encrypt(&self, data: &mut Vec<u8>) {
        let core: ofb::OfbCore<A> = start(self.0.clone(), &self.1);
        ofb::Ofb::<A>::from_core(core).apply_keystream(data);
    }

    fn decrypt(&self, data: &mut Vec<u8>) -> Result<(), Undecryptable> {
        self.encrypt(data);
        Ok(())
    }
}

fn keyed(algorithm: &str, password: &[u8]) -> Box<dyn Cipher> {
    fn of<A: Aes>(mode: &str, password: &[u8]) -> Box<dyn Cipher> {
        let material = bytes_to_key::<64>(password);
        let size = <A as KeySizeUser>::key_size();
        let key = aes::cipher::Key::<A>::try_from(&material[..size]).expect("the key's size");
        let aes = A::new(&key);
        let iv = material[size..size + BLOCK].try_into().expect("one block");
        match mode {
            "cbc" => Box::new(Cbc(aes, iv)),
            "ecb" => Box::new(Ecb::<A>(KeyInit::new(&key), KeyInit::new(&key))),
            "cfb" => Box::new(Cfb(aes, iv)),
            "ctr" => Box::new(Ctr(aes, iv)),
            "ofb" => Box::new(Ofb(aes, iv)),
            other => unreachable!("find_algorithm does not return mode {other}"),
        }
    }
    let mode = &algorithm["aes-128-".len()..];
    match &algorithm["aes-".len().."aes-128".len()] {
        "128" => of::<aes::Aes128>(mode, password),
        "192" => of::<aes::Aes192>(mode, password),
        _ => of::<aes::Aes256>(mode, password),
    }
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
            for length in [0, 1, 15, 16, 17, 1000] {
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
    fn unsupported_ciphers_are_refused_with_the_list() {
        for name in ["des3", "aes-256-gcm", "aes-256-cfb8", "bf", "", "aes-512-cbc"] {
            let error = find_algorithm(name).unwrap_err();
            assert!(error.message().contains("aes-256-cbc"), "{name}");
        }
        assert_eq!(find_algorithm("AES256").unwrap(), "aes-256-cbc");
        assert_eq!(find_algorithm("aes-128-cfb128").unwrap(), "aes-128-cfb");
    }
}
