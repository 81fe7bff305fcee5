//! Messages, which travel through a pipeline.

use crate::error::{Error, ErrorCode, Result};
use crate::jsontext;
use crate::secure::mark::{Mark, Opened};
use serde::Serialize;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Begins a frame of the data port. No JSON text does: the two are not valid UTF-8 together.
pub(crate) const DATA_MAGIC: [u8; 2] = [0xCA, 0x57];

/// The two things a message can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Any bytes.
    Bytes,
    /// One valid JSON text in UTF-8.
    Json,
}

/// A message: bytes, or a JSON text.
///
/// JSON stays text inside Caster. It is parsed once, by its receiver
/// ([`Message::parse`] in Rust, `JSON.parse` in Node.js, `json.loads` in Python).
#[derive(Debug)]
pub struct Message {
    kind: MessageKind,
    data: Vec<u8>,
    /// A node received it in secure mode.
    assurance: Assurance,
    /// In secure mode: how it is to be sealed, or was.
    mark: Option<Box<Mark>>,
}

/// The assurance that secure mode gives of a message that a node received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assurance {
    None,
    Sealed,
    Fresh,
    Signed,
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.data) == (other.kind, &other.data)
    }
}

impl Eq for Message {}

impl Clone for Message {
    fn clone(&self) -> Self {
        let Self { kind, assurance, .. } = *self;
        Self { kind, assurance, data: self.data.clone(), mark: self.mark.clone() }
    }

    /// Uses the memory that it has again.
    fn clone_from(&mut self, source: &Self) {
        self.kind = source.kind;
        self.assurance = source.assurance;
        self.data.clone_from(&source.data);
        self.mark.clone_from(&source.mark);
    }
}

impl Message {
    /// A message of plain bytes.
    pub fn bytes(data: impl Into<Vec<u8>>) -> Self {
        let data = data.into();
        Self { kind: MessageKind::Bytes, data, assurance: Assurance::None, mark: None }
    }

    /// A message from one JSON text.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if `text` is not one valid JSON text.
    pub fn json(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        if let Err(error) = jsontext::validate(&text) {
            let text = format!("the message is not valid JSON: {error}");
            return Err(Error::new(ErrorCode::InvalidArgument, text));
        }
        Ok(Self::trusted_json(text.into_bytes()))
    }

    /// A JSON message from any value that serde can write.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if the value cannot be written as JSON.
    pub fn from_value(value: &(impl Serialize + ?Sized)) -> Result<Self> {
        Ok(Self::trusted_json(jsontext::to_text(value)?.into_bytes()))
    }

    /// `text` must be one valid JSON text: it was made or checked here.
    pub(crate) fn trusted_json(text: Vec<u8>) -> Self {
        Self { kind: MessageKind::Json, data: text, assurance: Assurance::None, mark: None }
    }

    /// Bytes or JSON.
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The bytes, or the JSON text as UTF-8.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The JSON text, or `None` for bytes.
    pub fn as_json(&self) -> Option<&str> {
        match self.kind {
            MessageKind::Json => std::str::from_utf8(&self.data).ok(),
            MessageKind::Bytes => None,
        }
    }

    /// Whether it was received sealed: its sender has a key of the group.
    pub fn is_sealed(&self) -> bool {
        self.assurance != Assurance::None || self.opened().is_some()
    }

    /// Whether its sender has proven that it is there now. A sealed message that is not fresh may be a
    /// recording.
    pub fn is_fresh(&self) -> bool {
        matches!(self.assurance, Assurance::Fresh | Assurance::Signed)
    }

    /// Whether the identity of its sender has signed it. Then no other member of the group has written it.
    pub fn is_signed(&self) -> bool {
        self.assurance == Assurance::Signed
    }

    pub(crate) fn assure(&mut self, assurance: Assurance) {
        self.assurance = assurance;
    }

    /// Parses a JSON message into a value.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if this is bytes, or not a `T`.
    pub fn parse<'de, T: serde::Deserialize<'de>>(&'de self) -> Result<T> {
        let text = self.as_json().ok_or_else(|| {
            Error::new(ErrorCode::InvalidArgument, "the message is bytes, not JSON")
        })?;
        serde_json::from_str(text)
            .map_err(|error| Error::new(ErrorCode::InvalidArgument, error.to_string()))
    }

    /// The bytes, taken out.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// Replaces the content with bytes.
    pub fn set_bytes(&mut self, data: Vec<u8>) {
        self.kind = MessageKind::Bytes;
        self.data = data;
    }

    pub(crate) fn set_trusted_json(&mut self, data: Vec<u8>) {
        self.kind = MessageKind::Json;
        self.data = data;
    }

    pub(crate) fn set_mark(&mut self, mark: Mark) {
        self.mark = Some(Box::new(mark));
    }

    pub(crate) fn mark_mut(&mut self) -> Option<&mut Mark> {
        self.mark.as_deref_mut()
    }

    pub(crate) fn take_mark(&mut self) -> Option<Mark> {
        self.mark.take().map(|mark| *mark)
    }

    /// How it was sealed, if it was.
    pub(crate) fn opened(&self) -> Option<&Opened> {
        match self.mark.as_deref()? {
            Mark::Opened(opened) => Some(opened),
            Mark::Seal(_) => None,
        }
    }

    pub(crate) fn data_mut(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }

    /// Puts these bytes before the others.
    pub(crate) fn prepend(&mut self, bytes: &[u8]) {
        let length = self.data.len();
        self.data.extend_from_slice(bytes);
        self.data.copy_within(..length, bytes.len());
        self.data[..bytes.len()].copy_from_slice(bytes);
    }
}

/// Where a datagram came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Remote {
    /// Source address and port.
    pub address: SocketAddr,
    /// Size of the datagram on the wire, in bytes.
    pub size: usize,
    /// The interface of this host that it came in by, if the system says so.
    pub interface: Option<Interface>,
    /// Whether it was sent to a group. `false` also where the system does not say.
    pub to_group: bool,
    /// Whether it came in by the port of the group, or was handed on from there.
    pub on_group_port: bool,
    /// Whether it came in by the data port, where only frames are read: the port may be the one of
    /// another group.
    pub on_data_port: bool,
}

impl Remote {
    /// A source of which no interface is known, of a datagram for this host alone.
    pub fn new(address: SocketAddr, size: usize) -> Self {
        Self {
            address,
            size,
            interface: None,
            to_group: false,
            on_group_port: false,
            on_data_port: false,
        }
    }

    /// Whether it came in by the data port and is no frame.
    pub(crate) fn is_no_place_for(&self, message: &Message) -> bool {
        self.on_data_port && !message.data.starts_with(&DATA_MAGIC)
    }

    /// Source address with its scope.
    pub fn scoped_address(&self) -> ScopedAddress {
        let number = match self.address {
            SocketAddr::V6(address) => address.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        let numbered = || (number != 0).then(|| Interface::new(number, &number.to_string()));
        ScopedAddress::new(self.address.ip(), self.interface.or_else(numbered))
    }
}

/// An IP address, with its interface if it is link-local: `fe80::1` stands for another host on each
/// interface. Displayed as `10.0.0.1`, `2001:db8::1` or `fe80::1%eth0`, the form of RFC 4007.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScopedAddress {
    ip: IpAddr,
    interface: Option<Interface>,
}

impl ScopedAddress {
    /// An address that was heard on this interface of this host.
    pub fn new(ip: IpAddr, interface: Option<Interface>) -> Self {
        Self { ip, interface: interface.filter(|_| is_link_local(ip)) }
    }

    /// The address without its scope.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The interface of a link-local address, if it is known.
    pub fn interface(&self) -> Option<Interface> {
        self.interface
    }
}

impl From<IpAddr> for ScopedAddress {
    fn from(ip: IpAddr) -> Self {
        Self { ip, interface: None }
    }
}

impl fmt::Display for ScopedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip.fmt(f)?;
        match &self.interface {
            Some(interface) => write!(f, "%{}", interface.name()),
            None => Ok(()),
        }
    }
}

/// Whether an address needs an interface beside it.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The address and the scope, if there is one, of `10.0.0.1`, `fe80::1` or `fe80::1%eth0`. A scope is
/// the name or the number of an interface.
pub(crate) fn split_scope(text: &str) -> Option<(IpAddr, Option<&str>)> {
    let Some((ip, scope)) = text.split_once('%') else {
        return text.parse().ok().map(|ip| (ip, None));
    };
    let ip = ip.parse().ok().filter(|&ip| is_link_local(ip))?;
    (!scope.is_empty()).then_some((ip, Some(scope)))
}

/// A network interface of this host.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interface {
    index: u32,
    name: [u8; Interface::MAX_NAME],
}

impl Interface {
    /// The longest name that is kept, in bytes.
    const MAX_NAME: usize = 16;

    pub(crate) fn new(index: u32, name: &str) -> Self {
        let mut kept = [0; Self::MAX_NAME];
        let length = name.len().min(Self::MAX_NAME);
        let length = (0..=length).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0);
        kept[..length].copy_from_slice(&name.as_bytes()[..length]);
        Self { index, name: kept }
    }

    /// Its number.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Whether this is its name or its number.
    pub(crate) fn is(&self, scope: &str) -> bool {
        self.name() == scope || scope.parse() == Ok(self.index)
    }

    /// Its name, as in `eth0`.
    pub fn name(&self) -> &str {
        let end = self.name.iter().position(|&byte| byte == 0).unwrap_or(Self::MAX_NAME);
        std::str::from_utf8(&self.name[..end]).unwrap_or_default()
    }
}

impl fmt::Debug for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.index, self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_local_address_has_its_scope_in_texts() {
        let eth0 = Interface::new(2, "eth0");
        let text = |ip: &str, on| ScopedAddress::new(ip.parse().unwrap(), on).to_string();
        assert_eq!(text("fe80::1", Some(eth0)), "fe80::1%eth0");
        assert_eq!(text("fe80::1", None), "fe80::1");
        assert_eq!(text("10.0.0.1", Some(eth0)), "10.0.0.1");
        assert_eq!(text("2001:db8::1", Some(eth0)), "2001:db8::1");
        let mut remote = Remote::new("[fe80::1%7]:1".parse().unwrap(), 1);
        assert_eq!(remote.scoped_address().to_string(), "fe80::1%7", "the name is not known");
        remote.interface = Some(eth0);
        assert_eq!(remote.scoped_address().to_string(), "fe80::1%eth0");
    }

    #[test]
    fn a_scope_belongs_to_a_link_local_address() {
        let ip: IpAddr = "fe80::1".parse().unwrap();
        assert_eq!(split_scope("fe80::1%eth0"), Some((ip, Some("eth0"))));
        assert_eq!(split_scope("fe80::1"), Some((ip, None)));
        assert_eq!(split_scope("10.0.0.1"), Some(([10, 0, 0, 1].into(), None)));
        for text in
            ["fe80::1%", "10.0.0.1%eth0", "2001:db8::1%eth0", "%eth0", "eth0", "eth0%fe80::1"]
        {
            assert_eq!(split_scope(text), None, "{text}");
        }
        let eth0 = Interface::new(2, "eth0");
        assert!(eth0.is("eth0") && eth0.is("2") && !eth0.is("eth1") && !eth0.is("3"));
    }
    #[test]
    fn a_message_is_parsed_into_a_value_or_an_error() {
        let numbers = Message::from_value(&[1, 2]).unwrap();
        assert_eq!(numbers.parse::<Vec<u8>>().unwrap(), [1, 2]);
        assert!(numbers.parse::<String>().unwrap_err().message().contains("string"));
        assert!(Message::bytes("[1]").parse::<Vec<u8>>().unwrap_err().message().contains("bytes"));
    }

    #[test]
    fn a_scoped_address_tells_its_parts() {
        let (ip, eth0) = (IpAddr::from([0xFE80, 0, 0, 0, 0, 0, 0, 1]), Interface::new(2, "eth0"));
        let scoped = ScopedAddress::new(ip, Some(eth0));
        assert_eq!((scoped.ip(), scoped.interface()), (ip, Some(eth0)));
        assert_eq!(ScopedAddress::from(ip).interface(), None);
        assert_eq!(format!("{eth0:?}"), "2 eth0");
        let plain = Remote::new(([10, 0, 0, 1], 1).into(), 1);
        assert_eq!(plain.scoped_address().to_string(), "10.0.0.1");
    }
}
