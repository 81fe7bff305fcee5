//! System calls for Windows and the BSDs: a datagram is sent on an interface by an option of the socket, and
//! does not come with the interface on which it has arrived.

use super::found::Found;
use crate::driver::transmit::Transmit;
use crate::sync::lock;
use socket2::SockRef;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

/// All interfaces, with their addresses.
#[cfg(unix)]
pub(in crate::driver) fn list() -> io::Result<Vec<Found>> {
    super::getifaddrs::list()
}

/// The interfaces that are up, with their addresses. The library does not tell their kind: those with
/// addresses of loopback only are the loopback interface.
#[cfg(not(unix))]
pub(in crate::driver) fn list() -> io::Result<Vec<Found>> {
    let all = netwatcher::list_interfaces().map_err(io::Error::other)?;
    let mut all: Vec<Found> = all.into_values().map(found).collect();
    crate::sort::sort_short(&mut all, |found| found.interface.index());
    Ok(all)
}

#[cfg(not(unix))]
fn found(listed: netwatcher::Interface) -> Found {
    let addresses: Vec<IpAddr> = listed.ips.iter().map(|it| it.ip).collect();
    Found {
        interface: crate::message::Interface::new(listed.index, &listed.name),
        up: true,
        running: true,
        multicast: true,
        loopback: !addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback),
        point_to_point: false,
        mtu: super::found::USUAL_MTU,
        addresses,
    }
}

/// Whether the interface to send on is chosen by its address.
pub(in crate::driver) const SENDS_BY_ADDRESS: bool = true;

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

/// Sends. The option of the socket holds for all threads, so one of them sends at a time.
pub(in crate::driver) fn send(
    socket: &mio::net::UdpSocket,
    transmit: &Transmit<'_>,
) -> io::Result<usize> {
    static SENDING: Mutex<()> = Mutex::new(());
    let Some((index, from)) = transmit.via else {
        return socket.send_to(transmit.data, transmit.to);
    };
    let _sending = lock(&SENDING);
    match (transmit.to, from) {
        (SocketAddr::V4(_), Some(from)) => SockRef::from(socket).set_multicast_if_v4(&from)?,
        (SocketAddr::V4(_), None) => {}
        (SocketAddr::V6(_), _) => SockRef::from(socket).set_multicast_if_v6(index)?,
    }
    socket.send_to(transmit.data, transmit.to)
}

pub(in crate::driver) fn make_renewable(_: &SockRef<'_>, _: IpAddr, _: u32) {}

pub(in crate::driver) fn no_such_address() -> io::Error {
    io::ErrorKind::AddrNotAvailable.into()
}

pub(in crate::driver) fn membership_limit(_error: &std::io::Error, _v4: bool) -> Option<String> {
    None
}
