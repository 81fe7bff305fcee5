//! Keys: 32 secret bytes, how they are read, and how they are named.

use super::names::{KEY_BYTES, KeyId};
use super::schedule::key_id;
use crate::entropy;
use crate::error::{Error, ErrorCode, Result};
use std::fmt;
use std::io::Read;
use std::path::Path;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The largest key file that is read, in bytes: room for hundreds of keys with comments.
const MAX_FILE: u64 = 65_536;

/// The secret that the members of a sealed group share: 32 random bytes.
///
/// Its memory is cleared when it is dropped. `Debug` shows its id and not its bytes. Two keys are
/// compared in constant time.
#[derive(Clone)]
pub struct Key {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    id: KeyId,
}

impl Key {
    /// A new key from the random numbers of the system.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] if the system has none.
    pub fn generate() -> Result<Self> {
        loop {
            let mut bytes = Zeroizing::new([0; KEY_BYTES]);
            entropy::fill(&mut bytes[..])?;
            // One in 2^45 looks like text, and would be refused by the program that reads it.
            if let Ok(key) = Self::from_bytes(&bytes[..]) {
                return Ok(key);
            }
        }
    }

    /// The key that these bytes are.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if there are not exactly 32, if all of them are printable
    /// characters (a password is not a key), or if all are equal.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let array: &[u8; KEY_BYTES] = bytes.try_into().map_err(|_| {
            refusal(&format!("a key has exactly {KEY_BYTES} bytes, and this has {}", bytes.len()))
        })?;
        if bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            return Err(refusal("this is text of 32 characters and not a key of 32 random bytes"));
        }
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(refusal("all bytes of this key are equal"));
        }
        Ok(Self { bytes: Zeroizing::new(*array), id: key_id(array) })
    }

    /// The key that this text stands for: 64 hexadecimal digits, or 43 or 44 characters of base64 or
    /// base64url.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if the text is anything else. The error does not contain it.
    pub fn from_text(text: &str) -> Result<Self> {
        let bytes = read_text(text).ok_or_else(|| {
            refusal(&format!(
                "a key as text is 64 hexadecimal digits or 43 or 44 characters of base64, and this \
                 text of {} characters is neither",
                text.chars().count()
            ))
        })?;
        Self::from_bytes(&bytes[..])
    }

    /// The keys of a file, in its order: one text per line, as [`Key::from_text`] takes it. Empty lines
    /// and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if a line is not a key (the text has its number, not its content),
    /// if there is no key, if the file is larger than 64 KiB, or on Unix if other users can read or
    /// change it; [`ErrorCode::Io`] if it cannot be read.
    pub fn read_file(path: impl AsRef<Path>) -> Result<Vec<Self>> {
        let path = path.as_ref();
        let name = path.display();
        let io = |error| Error::io(&error, "open", format_args!("the key file {name}"));
        let about = |text: &str| Error::new(ErrorCode::InvalidOption, format!("{name}: {text}"));
        // A pipe would be waited for.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(about("a key file is a regular file"));
        }
        let file = std::fs::File::open(path).map_err(io)?;
        check_permissions(&file.metadata().map_err(io)?).map_err(|text| about(&text))?;
        // Reserved at once: a vector that grows leaves copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 2));
        file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(io)?;
        if text.len() as u64 > MAX_FILE {
            return Err(about("a key file has at most 64 KiB"));
        }
        let mut keys = Vec::new();
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let key = std::str::from_utf8(line)
                .map_err(|_| refusal("this line is not text"))
                .and_then(Self::from_text)
                .map_err(|error| about(&format!("line {}: {}", number + 1, error.message())))?;
            keys.push(key);
        }
        match keys.is_empty() {
            true => Err(about("there is no key in this file")),
            false => Ok(keys),
        }
    }

    /// The public name of this key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The secret bytes. The caller takes care of copies.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// The secret as 64 hexadecimal digits, for a key file. The memory is cleared when the text is
    /// dropped.
    pub fn to_hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES));
        for byte in self.bytes.iter() {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(digit.into(), 16).expect("four bits"));
            }
        }
        text
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.bytes[..].ct_eq(&other.bytes[..]).into()
    }
}

impl Eq for Key {}

fn refusal(text: &str) -> Error {
    let advice =
        "make one with generate_key (Key::generate in Rust) or with `openssl rand -hex 32`";
    Error::new(ErrorCode::InvalidOption, format!("{text}; {advice}"))
}

/// Other users must not read the file. As for the key files of other servers, the group may read one
/// that belongs to root: that is how secrets are mounted into containers.
#[cfg(unix)]
fn check_permissions(metadata: &std::fs::Metadata) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    let mode = metadata.mode() & 0o777;
    match mode & forbidden {
        0 => Ok(()),
        _ => Err(format!("other users can read or change it (mode {mode:03o}); use chmod 600")),
    }
}

/// Access lists of other systems are not read.
#[cfg(not(unix))]
fn check_permissions(_metadata: &std::fs::Metadata) -> Result<(), String> {
    Ok(())
}

/// The 32 bytes that 64 hexadecimal digits, or 43 or 44 characters of base64 or base64url stand for.
pub(super) fn read_text(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    match text.len() {
        64 => read_hex(text.as_bytes(), &mut bytes)?,
        43 => read_base64(text.as_bytes(), &mut bytes)?,
        44 => read_base64(text.strip_suffix('=')?.as_bytes(), &mut bytes)?,
        _ => return None,
    }
    Some(bytes)
}

fn read_hex(text: &[u8], bytes: &mut [u8; KEY_BYTES]) -> Option<()> {
    let digit = |digit: u8| (digit as char).to_digit(16).map(|value| value as u8);
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

/// 43 characters of either alphabet; the two bits that are left over have to be zero.
fn read_base64(text: &[u8], bytes: &mut [u8; KEY_BYTES]) -> Option<()> {
    let (mut bits, mut count) = (0u32, 0);
    let mut bytes = bytes.iter_mut();
    for &character in text {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            *bytes.next()? = (bits >> count) as u8;
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0 && bytes.next().is_none()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

    /// A secret that is searched for in all that is written.
    const MARKER: &str = "d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef";

    #[test]
    fn a_key_is_read_from_bytes_hex_and_base64() {
        for _ in 0..200 {
            let key = Key::generate().unwrap();
            let bytes = key.as_bytes();
            assert_eq!(Key::from_bytes(bytes).unwrap(), key);
            let texts = [
                key.to_hex().to_string(),
                key.to_hex().to_uppercase(),
                STANDARD.encode(bytes),
                STANDARD_NO_PAD.encode(bytes),
                URL_SAFE.encode(bytes),
                URL_SAFE_NO_PAD.encode(bytes),
            ];
            for text in texts {
                assert_eq!(Key::from_text(&text).unwrap(), key, "{text}");
            }
        }
        assert_ne!(Key::generate().unwrap(), Key::generate().unwrap());
    }

    #[test]
    fn anything_else_is_refused_with_advice() {
        let refused = |result: Result<Key>| {
            let error = result.unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidOption);
            assert!(error.message().contains("generate_key"), "{error}");
        };
        for length in (0..200).filter(|&length| length != KEY_BYTES) {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            refused(Key::from_bytes(&bytes));
        }
        refused(Key::from_bytes(b"correct horse battery staple!!!!"));
        refused(Key::from_bytes(&[0; KEY_BYTES]));
        refused(Key::from_text(&"41".repeat(32)));
        refused(Key::from_text(&STANDARD.encode(b"correct horse battery staple!!!!")));
        for length in 0..130 {
            for character in ['!', 'é', ' ', '='] {
                refused(Key::from_text(&character.to_string().repeat(length)));
            }
            if ![43, 64].contains(&length) {
                refused(Key::from_text(&MARKER.repeat(3)[..length]));
            }
        }
        // Two bits of the last character are not part of the key.
        let text = URL_SAFE_NO_PAD.encode(Key::from_text(MARKER).unwrap().as_bytes());
        let (front, last) = text.split_at(42);
        let next = char::from(last.as_bytes()[0] + 1);
        refused(Key::from_text(&format!("{front}{next}")));
        refused(Key::from_text(&format!("{text}A")));
        refused(Key::from_text(&format!("\n{text}")));
    }

    #[test]
    fn nothing_that_is_written_contains_the_key() {
        let key = Key::from_text(MARKER).unwrap();
        let written = [
            format!("{key:?} {key:#?}"),
            format!("{:?} {}", key.id(), key.id()),
            format!("{:?}", Key::from_text(&MARKER[1..])),
            format!("{:?}", Key::from_text(&format!("{}x", &MARKER[1..]))),
            format!("{:?}", Key::from_bytes(&key.as_bytes()[1..])),
        ];
        for text in written {
            let bytes: Vec<String> = key.as_bytes().iter().map(u8::to_string).collect();
            for form in
                [&MARKER[8..24], &STANDARD.encode(&key.as_bytes()[6..12]), &bytes[..3].join(", ")]
            {
                assert!(!text.contains(form), "{text}");
            }
        }
        assert_eq!(format!("{key:?}"), format!("Key({})", key.id()));
        assert_eq!(key.id().to_string().len(), 8);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_belongs_to_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("caster-keys-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("group.keys");
        let (first, second) = (Key::generate().unwrap(), Key::generate().unwrap());
        let text = format!("# the present one\n{}\r\n\n  {}", *first.to_hex(), *second.to_hex());
        std::fs::write(&path, &text).unwrap();
        let with_mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Key::read_file(&path)
        };
        for mode in [0o644, 0o604, 0o602, 0o666, 0o620] {
            let error = with_mode(mode).unwrap_err();
            assert!(error.message().contains("chmod 600"), "{mode:o}: {error}");
        }
        assert_eq!(with_mode(0o600).unwrap(), [first.clone(), second]);
        assert_eq!(with_mode(0o400).unwrap()[0], first);

        with_mode(0o600).unwrap();
        std::fs::write(&path, format!("{}\n{}x", *first.to_hex(), *first.to_hex())).unwrap();
        let error = Key::read_file(&path).unwrap_err();
        assert!(error.message().contains("line 2"), "{error}");
        assert!(!error.message().contains(&first.to_hex()[..8]), "{error}");
        std::fs::write(&path, "# none\n").unwrap();
        assert_eq!(Key::read_file(&path).unwrap_err().code(), ErrorCode::InvalidOption);
        std::fs::write(&path, vec![b'\n'; 65_537]).unwrap();
        assert!(Key::read_file(&path).unwrap_err().message().contains("64 KiB"));
        assert_eq!(Key::read_file(&folder).unwrap_err().code(), ErrorCode::InvalidOption);
        assert_eq!(Key::read_file(folder.join("none")).unwrap_err().code(), ErrorCode::Io);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
