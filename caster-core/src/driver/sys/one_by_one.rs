//! A batch of one datagram, for systems without calls for many.

use super::calls;
use crate::driver::transmit::{Received, Taken, Transmit, Via};
use std::io;
use std::net::SocketAddr;

/// The buffer for a datagram.
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

    /// Receives one datagram.
    pub fn receive(&mut self, socket: &mio::net::UdpSocket) -> io::Result<usize> {
        let (size, address, interface, to) =
            calls::receive(socket, &mut self.data, &mut self.extras)?;
        let (data, each) = (0..size, size.max(1));
        self.received = Some(Received { data, each, address, interface, to, lost: None });
        Ok(1)
    }

    pub fn received(&self, _at: usize) -> Option<Received> {
        self.received.clone()
    }
}

/// Sends one by one. `outcome` gets what was sent of each transmit, or the error.
pub(in crate::driver) fn send(
    socket: &mio::net::UdpSocket,
    transmits: &[Transmit<'_>],
    mut outcome: impl FnMut(usize, io::Result<Taken>),
) {
    for (at, transmit) in transmits.iter().enumerate() {
        let one = Taken { datagrams: 1, buffers: 1 };
        outcome(at, calls::send(socket, transmit).map(|_| one));
    }
}

/// Each datagram names its interface.
pub(in crate::driver) fn prefer(
    _socket: &mio::net::UdpSocket,
    _group: SocketAddr,
    via: Option<Via>,
) -> bool {
    via.is_none()
}

/// Every datagram forms a transmit of its own.
pub(in crate::driver) fn run_length(sizes: &[usize]) -> usize {
    sizes.len().min(1)
}
