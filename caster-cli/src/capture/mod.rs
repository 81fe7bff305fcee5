//! Datagrams of a group: taken from the network, written to a file, and read from it.

pub mod decode;
pub mod live;
pub mod pcapng;

use std::net::SocketAddr;

/// A datagram as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// When it arrived: microseconds since 1970.
    pub at: u64,
    pub from: SocketAddr,
    pub to: SocketAddr,
    /// The name of the interface, if it is known.
    pub interface: Option<String>,
    pub data: Vec<u8>,
}
