//! How large a datagram may be.

/// The largest payload of a UDP datagram over IPv4.
pub(crate) const LARGEST_DATAGRAM: usize = 65_507;

/// Every path carries so many bytes: the smallest MTU of IPv4 hosts without the headers of IP and UDP.
pub(crate) const SMALLEST_DATAGRAM: usize = 548;

/// The sizes of datagrams on the wire, and what the engine may fill of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// To the group, on the wire after all stages.
    pub group: usize,
    /// To single hosts.
    pub alone: usize,
    /// How many bytes the stages add at most.
    pub overhead: usize,
    /// Whether messages in pieces can be sent and received: there is a data port, and the stages
    /// are the built-in ones.
    pub pieces: bool,
}

impl Limits {
    /// A network of one host: every datagram is carried.
    pub const NONE: Self =
        Self { group: LARGEST_DATAGRAM, alone: LARGEST_DATAGRAM, overhead: 0, pieces: false };

    /// How many bytes of JSON fit into a datagram to the group.
    pub fn room(&self) -> usize {
        self.group.saturating_sub(self.overhead)
    }

    /// The same for a datagram to a single host.
    pub fn room_alone(&self) -> usize {
        self.alone.min(self.group).saturating_sub(self.overhead)
    }
}
