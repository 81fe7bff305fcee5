//! Where a datagram is sent.

use std::net::SocketAddr;

/// The port of this process that a datagram by unicast leaves from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LocalPort {
    Private,
    Group,
}

/// Where something is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To the group.
    Group,
    /// To the group, and to all peers that multicast does not reach.
    Everybody,
    /// The same, from the port of the group, for a datagram without the id of this node. It comes back.
    Bare,
    /// To the data port of the group, and to all peers that multicast does not reach.
    Data,
    /// To each of these, from the port that reaches it.
    These(Vec<SocketAddr>),
    /// To each of these, from this port.
    TheseFrom(LocalPort, Vec<SocketAddr>),
    /// To this port, to learn whether it is open: a refusal is told.
    PortProbe(SocketAddr),
}
