//! Datagrams that are to be sent, and those that were received.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

/// Datagrams, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packets<'a> {
    pub data: &'a [u8],
    pub sizes: &'a [usize],
}

/// What became of datagrams that were sent.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// How many went out: to the group, by at least one interface; to single hosts, to each.
    pub count: usize,
    /// Why one did not, the first one; where it was to go.
    pub error: Option<(io::Error, SocketAddr)>,
    /// How many could not be sent by an interface, or to a host.
    pub failed4: u64,
    pub failed6: u64,
}

impl Sent {
    pub fn note_failure(&mut self, error: io::Error, to: SocketAddr, count: usize) {
        match to.is_ipv4() {
            true => self.failed4 += count as u64,
            false => self.failed6 += count as u64,
        }
        self.error.get_or_insert((error, to));
    }
}

impl<'a> Packets<'a> {
    /// Cut into pieces of as many as `together` says of the sizes that are left, with the number of
    /// datagrams in each.
    pub fn pieces(
        self,
        together: fn(&[usize]) -> usize,
    ) -> impl Iterator<Item = (&'a [u8], usize, usize)> {
        let (mut data, mut sizes) = (self.data, self.sizes);
        std::iter::from_fn(move || {
            let count = together(sizes);
            let (taken, rest) = sizes.split_at_checked(count).filter(|_| count > 0)?;
            let (piece, later) = data.split_at(taken.iter().sum());
            (data, sizes) = (later, rest);
            Some((piece, taken[0], count))
        })
    }
}

/// One datagram, or several of one size that go the same way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parcel<'a> {
    /// One after the other.
    pub data: &'a [u8],
    /// The size of each; the last one may be smaller.
    pub each: usize,
    pub to: SocketAddr,
    /// The interface to send by, and which of its addresses to send from; otherwise the system
    /// chooses.
    pub via: Option<(u32, Option<Ipv4Addr>)>,
}

impl Parcel<'_> {
    /// How many datagrams it is.
    pub fn count(&self) -> usize {
        self.data.len().div_ceil(self.each.max(1)).max(1)
    }
}

/// What was received into one buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    /// Where in the data of the batch it is.
    pub data: Range<usize>,
    /// The size of each of the datagrams in it; the last one may be smaller.
    pub each: usize,
    pub address: SocketAddr,
    /// The number of the interface.
    pub interface: u32,
    /// How many datagrams the socket has lost since it was opened.
    pub lost: Option<u32>,
}
