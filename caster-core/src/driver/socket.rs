//! The multicast socket.

use crate::error::{Error, ErrorCode, Result};
use crate::options::TransportConfig;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The largest payload of a UDP datagram over IPv4.
pub(crate) const MAX_DATAGRAM: usize = 65_507;

/// What is asked of the system for received datagrams that wait. The system grants what it is
/// configured to grant (`net.core.rmem_max` on Linux).
const RECEIVE_BUFFER: usize = 4 << 20;

/// A socket that shares the port with others on this host and has joined the group.
pub(crate) fn open(config: &TransportConfig) -> Result<std::net::UdpSocket> {
    let (domain, any): (_, IpAddr) = match config.multicast {
        IpAddr::V4(_) => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let failed = |syscall, what: &str| {
        let what = what.to_owned();
        move |error: io::Error| Error::io(&error, syscall, what)
    };
    let option = || failed("setsockopt", "cannot set up the socket");
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))
        .map_err(failed("socket", "cannot open a UDP socket"))?;
    socket.set_reuse_address(true).map_err(option())?;
    #[cfg(all(unix, not(target_os = "linux"), not(target_os = "android")))]
    socket.set_reuse_port(true).map_err(option())?;
    socket.set_nonblocking(true).map_err(option())?;
    // A smaller buffer than asked for is no reason to fail.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    // Bound to all addresses whatever `address` says: a socket bound to one gets no multicast.
    bind(&socket, SocketAddr::new(any, config.port))?;
    match (config.multicast, config.address) {
        (IpAddr::V4(group), IpAddr::V4(address)) => {
            // Without this a socket also hears the groups that others on this host have joined.
            // Emulators and sandboxes may not have it, which is no reason to fail.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            let _ = socket.set_multicast_all_v4(false);
            socket.set_multicast_loop_v4(config.loopback).map_err(option())?;
            socket.set_multicast_ttl_v4(config.ttl.into()).map_err(option())?;
            if !address.is_unspecified() {
                let what = format!("{address} is not an address of this host");
                socket.set_multicast_if_v4(&address).map_err(failed("setsockopt", &what))?;
            }
            let what = join_failed(group.into(), address.into());
            socket.join_multicast_v4(&group, &address).map_err(failed("addMembership", &what))?;
        }
        (IpAddr::V6(group), _) => {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            let _ = socket.set_multicast_all_v6(false);
            socket.set_multicast_loop_v6(config.loopback).map_err(option())?;
            socket.set_multicast_hops_v6(config.ttl.into()).map_err(option())?;
            let what = join_failed(group.into(), config.address);
            socket.join_multicast_v6(&group, 0).map_err(failed("addMembership", &what))?;
        }
        (group, address) => unreachable!("options do not let {group} and {address} meet"),
    }
    Ok(socket.into())
}

fn bind(socket: &Socket, address: SocketAddr) -> Result<()> {
    socket.bind(&SockAddr::from(address)).map_err(|error| {
        let what = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "port {} is held by a program that does not share it; the original caster on \
                 Node.js 0.12 and newer is one of those",
                address.port()
            ),
            _ => format!("cannot bind port {}", address.port()),
        };
        Error::io(&error, "bind", what)
    })
}

fn join_failed(group: IpAddr, address: IpAddr) -> String {
    if address.is_unspecified() {
        return format!(
            "cannot join {group}: is there a network interface with a route for multicast? The \
             option address names an interface by its address"
        );
    }
    format!("cannot join {group} on the interface with address {address}")
}

pub(crate) fn too_large(size: usize) -> Error {
    let text = format!(
        "the message takes {size} bytes on the wire; a datagram holds at most {MAX_DATAGRAM}"
    );
    Error::new(ErrorCode::MessageTooLarge, text)
}
