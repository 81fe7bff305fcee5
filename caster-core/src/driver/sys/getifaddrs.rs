//! The interfaces of a Unix system, by `getifaddrs`.

use super::found::{Found, USUAL_MTU};
use crate::message::Interface;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// All interfaces, with their addresses.
pub(super) fn list() -> io::Result<Vec<Found>> {
    let mut all: Vec<Found> = Vec::new();
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let asks = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).ok();
    for entry in getifaddrs()? {
        let name = entry.interface_name.as_str();
        let at = match all.iter().position(|found| found.interface.name() == name) {
            Some(at) => at,
            None => {
                // It may be gone by now.
                let Ok(index) = if_nametoindex(name) else { continue };
                let has = |flag| entry.flags.contains(flag);
                all.push(Found {
                    interface: Interface::new(index, name),
                    up: has(InterfaceFlags::IFF_UP),
                    running: has(InterfaceFlags::IFF_RUNNING),
                    multicast: has(InterfaceFlags::IFF_MULTICAST),
                    loopback: has(InterfaceFlags::IFF_LOOPBACK),
                    point_to_point: has(InterfaceFlags::IFF_POINTOPOINT),
                    #[cfg(any(target_os = "linux", target_os = "android"))]
                    mtu: asks.as_ref().map_or(USUAL_MTU, |it| super::netdevice::mtu_of(it, name)),
                    #[cfg(not(any(target_os = "linux", target_os = "android")))]
                    mtu: USUAL_MTU,
                    addresses: Vec::new(),
                });
                all.len() - 1
            }
        };
        if let Some(address) = entry.address.as_ref().and_then(to_std) {
            all[at].addresses.push(address.ip());
        }
    }
    Ok(all)
}

pub(super) fn to_std(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).into());
    }
    address.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into())
}
