//! `secure`: seals every datagram with a key of a ring, and opens what was sealed with one of them.

use super::stage::{Middleware, Reject, only_bytes};
use crate::error::{Error, ErrorCode, Result};
use crate::message::{Message, Remote};
use crate::secure::block::{BLOCK, Block};
use crate::secure::identity::Identities;
use crate::secure::key::Key;
use crate::secure::mark::Mark;
use crate::secure::names::KeyId;
use crate::secure::sealer::{Refused, Sealer};
use crate::stats::DropReason;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// How to make the middleware `secure`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SecureOptions {
    /// The keys that are accepted, 1 to 8. The first one seals.
    pub keys: Vec<Key>,
    /// One key and realm are one group: a text of at most 255 bytes.
    pub realm: String,
    /// Integrity without secrecy: datagrams stay readable, and readable ones are accepted.
    pub hmac: bool,
}

/// The middleware `secure`. It has to be next to the wire.
///
/// Datagrams of others are authentic, and a datagram counts once for each caster. A caster can not tell
/// whether the first datagrams that it receives of a sender were recorded earlier.
pub struct Secure {
    sealer: Arc<Sealer>,
}

impl Secure {
    /// The middleware with these options.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] without a key, with two equal ones or more than 8, or with a realm of
    /// more than 255 bytes.
    pub fn new(options: &SecureOptions) -> Result<Self> {
        let sealer = Sealer::new(&options.keys, &options.realm, options.hmac)?;
        Ok(Self { sealer: Arc::new(sealer) })
    }

    /// The same for a node that signs, or verifies signatures.
    pub(crate) fn with_identities(options: &SecureOptions, identities: Identities) -> Result<Self> {
        let sealer = Sealer::new(&options.keys, &options.realm, options.hmac)?;
        Ok(Self { sealer: Arc::new(sealer.with_identities(&options.keys, identities)?) })
    }

    /// Accepts one more key.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if it is accepted already, or there are 8.
    pub fn add_key(&self, key: &Key) -> Result<()> {
        self.sealer.add(key)
    }

    /// Seals with this key from now on.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if it was not added.
    pub fn use_key(&self, id: KeyId) -> Result<()> {
        self.sealer.use_key(id).map(drop)
    }

    /// Accepts this key no longer.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if it was not added, or seals.
    pub fn remove_key(&self, id: KeyId) -> Result<()> {
        self.sealer.remove(id).map(drop)
    }

    /// The ids of the keys; the first one seals.
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.sealer.key_ids()
    }
}

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secure({:?})", self.key_ids())
    }
}

impl Middleware for Secure {
    fn name(&self) -> &str {
        "secure"
    }

    fn tx(&self, message: &mut Message) -> Result<(), Error> {
        only_bytes(self.name(), std::slice::from_ref(message)).map_err(|(_, error)| error)?;
        let Some(Mark::Seal(seal)) = message.take_mark() else { return Err(not_open()) };
        let Some(session) = &seal.session else { return Err(not_open()) };
        if seal.class.is_control() {
            message.prepend(&seal.block);
        }
        self.sealer.seal(session, seal.class, seal.to, message.data_mut());
        Ok(())
    }

    fn rx(&self, message: &mut Message, _from: &Remote) -> Result<(), Reject> {
        let data = message.data_mut();
        let mut opened = self.sealer.open(data).map_err(reject)?;
        if opened.proof.class.is_control() {
            let Some((_, rest)) = Block::read(data) else {
                return Err(rejected(DropReason::Unsealed, "a control datagram without its block"));
            };
            let length = data.len() - rest.len();
            opened.block = data.drain(..length).collect();
        }
        message.set_mark(Mark::Opened(opened));
        Ok(())
    }

    fn overhead(&self) -> Option<usize> {
        Some(self.sealer.overhead() + BLOCK)
    }

    fn sealer(&self) -> Option<&Arc<Sealer>> {
        Some(&self.sealer)
    }
}

fn not_open() -> Error {
    Error::new(ErrorCode::Middleware, "the middleware secure works in an open caster or node")
}

/// A flood of refused datagrams allocates nothing.
static REFUSED: LazyLock<[Reject; 4]> = LazyLock::new(|| {
    [
        rejected(DropReason::Unsealed, "not a sealed datagram of a known version"),
        rejected(DropReason::Seal, "not sealed with a key and the realm of this group"),
        rejected(DropReason::Seal, "readable, and the option hmac is off"),
        rejected(DropReason::TooMany, "too many senders that are not known"),
    ]
});

fn reject(refused: Refused) -> Reject {
    let at = match refused {
        Refused::Malformed(_) => 0,
        Refused::Hint | Refused::Tag => 1,
        Refused::Readable => 2,
        Refused::Budget => 3,
    };
    REFUSED[at].clone()
}

fn rejected(reason: DropReason, text: &str) -> Reject {
    Reject { reason, error: Error::new(ErrorCode::Decrypt, text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_added_used_and_removed() {
        let key = |first: u8| Key::from_bytes(&[first, 200, 3, 250].repeat(8)).unwrap();
        let (old, new) = (key(1), key(2));
        let options = SecureOptions { keys: vec![old.clone()], ..Default::default() };
        let secure = Secure::new(&options).unwrap();
        assert_eq!(secure.key_ids(), [old.id()]);
        assert!(secure.use_key(new.id()).is_err(), "it was not added");
        secure.add_key(&new).unwrap();
        assert!(secure.add_key(&new).is_err(), "it is there");
        secure.use_key(new.id()).unwrap();
        assert_eq!(secure.key_ids(), [new.id(), old.id()]);
        assert!(secure.remove_key(new.id()).is_err(), "it seals");
        secure.remove_key(old.id()).unwrap();
        assert!(secure.tx(&mut Message::bytes("x")).unwrap_err().message().contains("open"));
        assert_eq!(format!("{secure:?}"), format!("Secure({:?})", [new.id()]));
    }
}
