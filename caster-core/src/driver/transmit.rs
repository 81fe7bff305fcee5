//! Datagrams to send, and datagrams received.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::atomic::AtomicU64;

/// Datagrams, without gaps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packets<'a> {
    pub data: &'a [u8],
    pub sizes: &'a [usize],
}

/// The result of sending datagrams.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Number sent: to a group, on at least one interface; to single hosts, the sum over all hosts.
    pub count: usize,
    /// Number that the range of the network does not permit; these are no failures.
    pub withheld: usize,
    /// The first error, and the destination that it occurred for.
    pub error: Option<(io::Error, SocketAddr)>,
    /// Number of failures over all interfaces or hosts, by family.
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
    /// Splits into runs of datagrams of one size each, as data, size and number of datagrams.
    /// `run_length` returns the number of datagrams in the next run, from the remaining sizes.
    pub fn runs(
        self,
        run_length: fn(&[usize]) -> usize,
    ) -> impl Iterator<Item = (&'a [u8], usize, usize)> {
        let (mut data, mut sizes) = (self.data, self.sizes);
        std::iter::from_fn(move || {
            let count = run_length(sizes);
            let (taken, rest) = sizes.split_at_checked(count).filter(|_| count > 0)?;
            let (run, later) = data.split_at(taken.iter().sum());
            (data, sizes) = (later, rest);
            Some((run, taken[0], count))
        })
    }
}

/// The index of the interface to send on, and the source address; `None`: the one that the system chooses.
pub(crate) type Via = (u32, Option<Ipv4Addr>);

/// One datagram, or several of one size (segments) to one destination.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transmit<'a> {
    /// The datagrams, without gaps.
    pub data: &'a [u8],
    /// The size of each; the last one may be smaller.
    pub each: usize,
    pub to: SocketAddr,
    /// If absent, the system chooses.
    pub via: Option<Via>,
    /// Counts what is sent.
    pub sent: Option<&'a AtomicU64>,
}

/// The part of a transmit that the system has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub datagrams: usize,
    /// The number of buffers: one, or as many as there were datagrams.
    pub buffers: usize,
}

impl Transmit<'_> {
    /// The number of datagrams.
    pub fn count(&self) -> usize {
        self.data.len().div_ceil(self.each.max(1)).max(1)
    }
}

/// The contents of one receive buffer: one datagram, or several of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    /// The place in the data of the batch.
    pub data: Range<usize>,
    /// The size of each datagram; the last one may be smaller.
    pub each: usize,
    pub address: SocketAddr,
    /// The index of the interface.
    pub interface: u32,
    /// The destination, if the system tells it.
    pub to: Option<IpAddr>,
    /// Number of datagrams that the socket has lost since it was opened.
    pub lost: Option<u32>,
}

impl Received {
    /// The number of datagrams.
    pub fn count(&self) -> usize {
        self.data.len().div_ceil(self.each.max(1)).max(1)
    }
}
