//! Messages, which travel through a pipeline.

use crate::error::{Error, ErrorCode, Result};
use crate::jsontext;
use serde::Serialize;
use std::fmt;
use std::net::SocketAddr;

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
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    kind: MessageKind,
    data: Vec<u8>,
}

impl Clone for Message {
    fn clone(&self) -> Self {
        Self { kind: self.kind, data: self.data.clone() }
    }

    /// Uses the memory that it has again.
    fn clone_from(&mut self, source: &Self) {
        self.kind = source.kind;
        self.data.clone_from(&source.data);
    }
}

impl Message {
    /// A message of plain bytes.
    pub fn bytes(data: impl Into<Vec<u8>>) -> Self {
        Self { kind: MessageKind::Bytes, data: data.into() }
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
        Ok(Self { kind: MessageKind::Json, data: text.into_bytes() })
    }

    /// A JSON message from any value that serde can write.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if the value cannot be written as JSON.
    pub fn from_value(value: &(impl Serialize + ?Sized)) -> Result<Self> {
        Ok(Self { kind: MessageKind::Json, data: jsontext::to_text(value)?.into_bytes() })
    }

    /// `text` must be one valid JSON text: it was made or checked here.
    pub(crate) fn trusted_json(text: Vec<u8>) -> Self {
        Self { kind: MessageKind::Json, data: text }
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

    pub(crate) fn data_mut(&mut self) -> &mut Vec<u8> {
        &mut self.data
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
}

impl Remote {
    /// A source of which no interface is known.
    pub fn new(address: SocketAddr, size: usize) -> Self {
        Self { address, size, interface: None }
    }
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
