//! The names of keys and senders.

use std::fmt;

/// The size of a key in bytes.
pub const KEY_BYTES: usize = 32;

/// The size of the tag of a frame.
pub(crate) const TAG: usize = 16;

/// The public name of a key: 32 bytes that are derived from it and do not reveal it.
///
/// `Display` writes the first four bytes as 8 hexadecimal digits; comparison uses all of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub(super) [u8; 32]);

impl KeyId {
    /// The first eight bytes, as a number.
    pub(crate) fn beginning(&self) -> u64 {
        u64::from_be_bytes(*self.0.first_chunk().expect("32 bytes"))
    }

    /// All 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One session of a sender: 96 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SenderId(pub [u8; 12]);

impl fmt::Debug for SenderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
