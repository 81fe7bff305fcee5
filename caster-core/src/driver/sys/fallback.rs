//! System calls for other systems: the interface is the one that the system chooses, or the one with
//! the address of the options.

use super::found::{Found, USUAL_MTU};
use crate::driver::transmit::Transmit;
use crate::message::Interface;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// One interface that stands for what the system chooses.
pub(in crate::driver) fn list() -> io::Result<Vec<Found>> {
    Ok(vec![Found {
        interface: Interface::new(0, ""),
        up: true,
        running: true,
        multicast: true,
        loopback: true,
        point_to_point: false,
        mtu: USUAL_MTU,
        addresses: vec![Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()],
    }])
}

/// Not known here: the system fragments what is too large.
pub(in crate::driver) fn forbid_fragments(_socket: &socket2::Socket, _v4: bool) {}

pub(in crate::driver) fn is_too_large(_error: &io::Error) -> bool {
    false
}

pub(in crate::driver) fn prepare(_socket: &socket2::Socket, _v4: bool) -> io::Result<()> {
    Ok(())
}

/// Asks for a receive buffer of this size.
pub(in crate::driver) fn set_receive_buffer(socket: &socket2::Socket, size: usize) {
    // A smaller one than asked for is no reason to fail.
    let _ = socket.set_recv_buffer_size(size);
}

/// This is not told here.
pub(in crate::driver) fn reassembly_failures() -> u64 {
    0
}

/// Nothing is told here.
pub(in crate::driver) fn take_undelivered(
    _socket: &mio::net::UdpSocket,
) -> io::Result<Option<SocketAddr>> {
    Err(io::ErrorKind::WouldBlock.into())
}

pub(in crate::driver) struct Extras;

impl Extras {
    pub fn new() -> Self {
        Self
    }
}

/// Returns size, source and the number of the interface.
pub(in crate::driver) fn receive(
    socket: &mio::net::UdpSocket,
    buffer: &mut [u8],
    _extras: &mut Extras,
) -> io::Result<(usize, SocketAddr, u32, Option<IpAddr>)> {
    let (size, address) = socket.recv_from(buffer)?;
    Ok((size, address, 0, None))
}

pub(in crate::driver) fn send(
    socket: &mio::net::UdpSocket,
    transmit: &Transmit<'_>,
) -> io::Result<usize> {
    socket.send_to(transmit.data, transmit.to)
}

pub(in crate::driver) fn no_such_address() -> io::Error {
    io::ErrorKind::AddrNotAvailable.into()
}

pub(in crate::driver) fn membership_limit(_error: &std::io::Error, _v4: bool) -> Option<String> {
    None
}
