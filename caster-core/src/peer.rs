//! Ids of nodes and what is known about a peer.

use crate::error::{Error, ErrorCode, Result};
use crate::jsontext;
use crate::jstext::{self, JsText, number_to_text};
use crate::message::{Interface, ScopedAddress};
use serde_json::value::RawValue;
use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// The longest id that is accepted, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 255;

/// The id of a node: a non-empty string of at most 255 bytes of UTF-8.
///
/// It is kept as the ASCII JSON string that stands for it, quotes included, in which every id
/// has exactly one form. So ids that came from JavaScript with a lone surrogate in them stay
/// distinct and go back to JavaScript unchanged.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// An id from text.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if it is empty or longer than 255 bytes.
    pub fn new(id: &str) -> Result<Self> {
        Self::from_js(&id.into())
    }

    /// An id from text of JavaScript.
    ///
    /// # Errors
    /// As [`NodeId::new`].
    pub fn from_js(id: &JsText) -> Result<Self> {
        let bytes = id.to_utf8().len();
        if bytes == 0 || bytes > MAX_ID_BYTES {
            let text = format!("an id is a string of 1 to {MAX_ID_BYTES} bytes; this has {bytes}");
            return Err(Error::new(ErrorCode::InvalidArgument, text));
        }
        let mut json = String::with_capacity(bytes + 2);
        json.push('"');
        jstext::escape_units(id.units().iter().copied(), &mut json);
        json.push('"');
        Ok(Self(json.into()))
    }

    /// A text that [`NodeId::as_json`] has given, or would give.
    pub(crate) fn from_json_form(json: &str) -> Self {
        Self(json.into())
    }

    /// Whether both are the same piece of memory.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The id as an ASCII JSON string, quotes included.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The id as text; a lone surrogate reads as U+FFFD.
    pub fn as_str(&self) -> Cow<'_, str> {
        if !self.0.contains('\\') {
            return Cow::Borrowed(&self.0[1..self.0.len() - 1]);
        }
        let text: JsText = serde_json::from_str(&self.0).expect("an id is a JSON string");
        Cow::Owned(text.to_string())
    }
}

/// By its JSON form, so that a table can be asked with the text of a datagram.
impl Borrow<str> for NodeId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<str> for NodeId {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for NodeId {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

/// An address of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerAddress {
    /// The source address of its datagrams.
    pub address: IpAddr,
    /// The interface of this host that they came in by, if the system says so.
    pub interface: Option<Interface>,
    /// When the last one came: milliseconds since 1970 by the wall clock.
    pub last_seen: u64,
}

impl PeerAddress {
    /// The address with its scope.
    pub fn scoped_address(&self) -> ScopedAddress {
        ScopedAddress::new(self.address, self.interface)
    }
}

/// The addresses of a peer, as a slice. Most peers have one, which takes no memory of its own.
#[derive(Clone, Default)]
pub struct PeerAddresses(Addresses);

#[derive(Clone, Default)]
enum Addresses {
    #[default]
    None,
    One(PeerAddress),
    Many(Arc<[PeerAddress]>),
}

impl Deref for PeerAddresses {
    type Target = [PeerAddress];

    fn deref(&self) -> &[PeerAddress] {
        match &self.0 {
            Addresses::None => &[],
            Addresses::One(one) => std::slice::from_ref(one),
            Addresses::Many(many) => many,
        }
    }
}

impl FromIterator<PeerAddress> for PeerAddresses {
    fn from_iter<I: IntoIterator<Item = PeerAddress>>(addresses: I) -> Self {
        let mut addresses = addresses.into_iter();
        Self(match (addresses.next(), addresses.next()) {
            (None, _) => Addresses::None,
            (Some(one), None) => Addresses::One(one),
            (Some(first), Some(second)) => {
                Addresses::Many([first, second].into_iter().chain(addresses).collect())
            }
        })
    }
}

impl<'a> IntoIterator for &'a PeerAddresses {
    type Item = &'a PeerAddress;
    type IntoIter = std::slice::Iter<'a, PeerAddress>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for PeerAddresses {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for PeerAddresses {}

impl fmt::Debug for PeerAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A peer as it is known: a snapshot, cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its id.
    pub id: NodeId,
    /// The address that it is heard from. It changes only when the peer has not been heard from
    /// it for its timeout, and has been from another.
    pub address: IpAddr,
    /// All addresses that it was heard from, [`Peer::address`] first, then from the best to the
    /// worst; at most 8.
    pub addresses: PeerAddresses,
    /// When it was first heard: milliseconds since 1970 by the wall clock.
    pub first_seen: u64,
    /// When it was last heard: milliseconds since 1970 by the wall clock.
    pub last_seen: u64,
    /// Its metadata as a JSON text, or `None` if it never sent any.
    pub meta: Option<Arc<str>>,
    /// Whether it has been silent for too long and is being asked whether it is still there.
    pub suspect: bool,
    /// How many of its last 1,000 heartbeats did not arrive: an estimate that follows the last
    /// few dozen. 0 for nodes that do not number theirs, as those of caster 0.1.1.
    pub loss_per_mille: u16,
}

/// The details of a peer that serve diagnosis: see [`Node::details`](crate::Node::details).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerDetails {
    /// The random number of this run of the peer. `None` for nodes of caster 0.1.1 and for those that have
    /// only sent messages.
    pub incarnation: Option<u32>,
    /// The heartbeat interval that the peer has announced.
    pub interval: Option<Duration>,
    /// The longest recent time between two of its heartbeats. `None` before the second one.
    pub observed_interval: Option<Duration>,
    /// The number of heartbeats of this run that were heard, up to 255.
    pub heartbeats: u8,
    /// The bits of its capabilities, as in docs/wire.md (`c`).
    pub capabilities: u8,
    /// The port of its process for unicast.
    pub unicast_port: Option<u16>,
}

impl PeerDetails {
    /// The names of its capabilities: `metadata by hash`, `pieces`, `challenges`, `proof of leave`.
    pub fn capability_names(&self) -> Vec<&'static str> {
        let names = ["metadata by hash", "pieces", "challenges", "proof of leave"];
        let has = |bit: usize| self.capabilities & 1 << bit != 0;
        names.iter().enumerate().filter(|(bit, _)| has(*bit)).map(|(_, name)| *name).collect()
    }
}

impl Peer {
    /// Parses the metadata. Absent metadata reads as JSON `null`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if the metadata is not a `T`.
    pub fn parse_meta<'de, T: serde::Deserialize<'de>>(&'de self) -> Result<T> {
        serde_json::from_str(self.meta.as_deref().unwrap_or("null"))
            .map_err(|error| Error::new(ErrorCode::InvalidArgument, error.to_string()))
    }

    /// [`Peer::address`] with its scope.
    pub fn scoped_address(&self) -> ScopedAddress {
        let known = self.addresses.iter().find(|known| known.address == self.address);
        known.map_or_else(|| self.address.into(), PeerAddress::scoped_address)
    }

    /// Whether the metadata is an object with this key and, if given, with this value: a JSON
    /// text, which equals another that stands for the same value (`1` is `1.0`).
    pub fn meta_has(&self, key: &str, value: Option<&str>) -> bool {
        let Some(meta) = self.meta.as_deref().filter(|meta| meta.starts_with('{')) else {
            return false;
        };
        let Ok(members) = serde_json::from_str::<BTreeMap<JsText, &RawValue>>(meta) else {
            return false;
        };
        let found = members.get(&JsText::from(key));
        found.is_some_and(|found| value.is_none_or(|value| jsontext::is_same(found.get(), value)))
    }

    /// Appends this peer as one JSON object, as the bindings hand it on: `id`, `address`,
    /// `firstSeen`, `lastSeen`, `addresses` (an array of objects with `address`, `interface`,
    /// which is a name or `null`, and `lastSeen`) and, if there is any, `meta`; `suspect` if it is,
    /// and `loss` (from 0 to 1) if there is any.
    pub fn write_json(&self, out: &mut String) {
        use fmt::Write;
        let (id, address) = (self.id.as_json(), self.scoped_address());
        let (first, last) = (self.first_seen, self.last_seen);
        write!(out, r#"{{"id":{id},"address":"{address}","firstSeen":{first},"lastSeen":{last}"#)
            .expect("writing to a string");
        if self.suspect {
            out.push_str(",\"suspect\":true");
        }
        if self.loss_per_mille > 0 {
            out.push_str(",\"loss\":");
            out.push_str(&number_to_text(f64::from(self.loss_per_mille) / 1000.0));
        }
        out.push_str(",\"addresses\":[");
        for (at, known) in self.addresses.iter().enumerate() {
            let PeerAddress { interface, last_seen, .. } = known;
            let address = known.scoped_address();
            let before = if at == 0 { "" } else { "," };
            write!(out, r#"{before}{{"address":"{address}","interface":"#)
                .expect("writing to a string");
            match interface {
                // A name may have any bytes in it but a slash and blanks.
                Some(interface) => {
                    out.push_str(&serde_json::to_string(interface.name()).expect("a string"));
                }
                None => out.push_str("null"),
            }
            write!(out, r#","lastSeen":{last_seen}}}"#).expect("writing to a string");
        }
        out.push(']');
        if let Some(meta) = &self.meta {
            out.push_str(",\"meta\":");
            out.push_str(meta);
        }
        out.push('}');
    }
}

/// As [`Peer::write_json`] writes it.
impl serde::Serialize for Peer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = String::new();
        self.write_json(&mut json);
        jsontext::to_value(&json).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_form_and_reads_back() {
        for id in ["node1", "a\"b\\c", "né€😀", "a\0b", "__proto__", "\u{7f}\u{80}\u{2028}"] {
            assert_eq!(NodeId::new(id).unwrap().as_str(), id);
        }
        assert_eq!(NodeId::new("né\n").unwrap().as_json(), r#""n\u00e9\n""#);
    }

    #[test]
    fn empty_and_long_ids_are_refused() {
        assert!(NodeId::new("").is_err());
        assert!(NodeId::new(&"x".repeat(255)).is_ok());
        assert!(NodeId::new(&"x".repeat(256)).is_err());
    }

    #[test]
    fn addresses_are_a_slice_however_many_they_are() {
        for count in 0..4u8 {
            let address = |n| PeerAddress {
                address: [10, 0, 0, n].into(),
                interface: None,
                last_seen: n.into(),
            };
            let addresses: PeerAddresses = (0..count).map(address).collect();
            assert_eq!(addresses.len(), usize::from(count));
            assert!(addresses.iter().zip(0..).all(|(known, n)| *known == address(n)));
            assert_eq!(addresses.clone(), addresses);
            assert_eq!((&addresses).into_iter().count(), usize::from(count));
        }
    }
}
