//! A batch of one datagram, for systems of which it knows no better.

use super::calls;
use crate::driver::transmit::{Parcel, Received};
use std::io;

/// Where a datagram is received.
pub(in crate::driver) struct Batch {
    data: Box<[u8]>,
    extras: calls::Extras,
    received: Option<Received>,
}

pub(in crate::driver) fn prepare(_socket: &socket2::Socket) {}

impl Batch {
    pub fn new() -> Self {
        let data = vec![0; u16::MAX as usize].into();
        Self { data, extras: calls::Extras::new(), received: None }
    }

    pub fn data(&self) -> &[u8] {
        &self.data
    }

    pub const fn capacity(&self) -> usize {
        1
    }

    /// Takes one datagram.
    pub fn receive(&mut self, socket: &mio::net::UdpSocket) -> io::Result<usize> {
        let (size, address, interface) = calls::receive(socket, &mut self.data, &mut self.extras)?;
        self.received =
            Some(Received { data: 0..size, each: size.max(1), address, interface, lost: None });
        Ok(1)
    }

    pub fn received(&self, _at: usize) -> Option<Received> {
        self.received.clone()
    }
}

/// Sends one by one, and says of every parcel how many of its datagrams went out, or why none did.
pub(in crate::driver) fn send(
    socket: &mio::net::UdpSocket,
    parcels: &[Parcel<'_>],
    mut outcome: impl FnMut(usize, io::Result<usize>),
) {
    for (at, parcel) in parcels.iter().enumerate() {
        outcome(at, calls::send(socket, parcel).map(|_| 1));
    }
}

/// Every datagram is a parcel of its own.
pub(in crate::driver) fn together(sizes: &[usize]) -> usize {
    sizes.len().min(1)
}
