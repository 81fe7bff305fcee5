//! Where a datagram is sent.

use std::net::SocketAddr;

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
    /// To each of these.
    These(Vec<SocketAddr>),
    /// To this port, to learn whether it is open: a refusal is told.
    PortProbe(SocketAddr),
}
