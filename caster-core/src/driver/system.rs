//! What the driver asks of Linux, Android and the systems of Apple: interfaces, and datagrams with
//! the interface that they go out or come in by.

use super::interfaces::Found;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use super::parcel::Parcel;
use crate::message::Interface;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::{MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

/// All interfaces, with their addresses.
pub(super) fn list() -> io::Result<Vec<Found>> {
    let mut all: Vec<Found> = Vec::new();
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

fn to_std(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).into());
    }
    address.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into())
}

/// Asks that every datagram comes with its interface, and with how many were lost before it.
pub(super) fn prepare(socket: &socket2::Socket, v4: bool) -> io::Result<()> {
    let socket = socket.as_fd();
    match v4 {
        true => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
        false => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    // Without these two the counts stay at 0.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = setsockopt(&socket, sockopt::RxqOvfl, &1);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = match v4 {
        true => setsockopt(&socket, sockopt::Ipv4RecvErr, &true),
        false => setsockopt(&socket, sockopt::Ipv6RecvErr, &true),
    };
    Ok(())
}

/// Asks for a receive buffer of this size. Programs that may manage the network get it whatever the
/// limit is, the others up to the limit.
pub(super) fn set_receive_buffer(socket: &socket2::Socket, size: usize) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &size).is_ok() {
        return;
    }
    // A smaller one than asked for is no reason to fail.
    let _ = socket.set_recv_buffer_size(size);
}

/// Takes the news of one datagram that could not be delivered; an error when there is none.
pub(super) fn take_undelivered(socket: &mio::net::UdpSocket) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    return Err(io::ErrorKind::WouldBlock.into());
    #[cfg(any(target_os = "linux", target_os = "android"))]
    recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut [], None, flags)
        .map(drop)
        .map_err(Into::into)
}

/// Room for what comes with a datagram.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) struct Extras(Vec<u8>);

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Extras {
    pub fn new() -> Self {
        Self(nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo))
    }
}

/// Returns size, source and the number of the interface. Linux has batches instead.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn receive(
    socket: &mio::net::UdpSocket,
    buffer: &mut [u8],
    extras: &mut Extras,
) -> io::Result<(usize, SocketAddr, u32)> {
    use nix::sys::socket::ControlMessageOwned;
    let mut buffers = [io::IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut buffers,
        Some(&mut extras.0),
        MsgFlags::empty(),
    )?;
    let address = message.address.as_ref().and_then(to_std).ok_or(Errno::EAFNOSUPPORT)?;
    let mut interface = 0;
    for extra in message.cmsgs()? {
        match extra {
            ControlMessageOwned::Ipv4PacketInfo(info) => interface = info.ipi_ifindex as _,
            ControlMessageOwned::Ipv6PacketInfo(info) => interface = info.ipi6_ifindex as _,
            _ => {}
        }
    }
    Ok((message.bytes, address, interface))
}

/// Sends. The fate of an earlier datagram is told to whoever sends next, once. Linux has batches
/// instead.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn send(socket: &mio::net::UdpSocket, parcel: &Parcel<'_>) -> io::Result<usize> {
    use nix::sys::socket::{ControlMessage, SockaddrIn, SockaddrIn6, sendmsg};
    use std::net::Ipv4Addr;
    let (fd, data, flags) =
        (socket.as_raw_fd(), [io::IoSlice::new(parcel.data)], MsgFlags::empty());
    let in_addr = |ip: Ipv4Addr| libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
    let send = || match (parcel.to, parcel.via) {
        (SocketAddr::V4(to), Some((interface, from))) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: interface as _,
                ipi_spec_dst: in_addr(from.unwrap_or(Ipv4Addr::UNSPECIFIED)),
                ipi_addr: in_addr(Ipv4Addr::UNSPECIFIED),
            };
            let info = [ControlMessage::Ipv4PacketInfo(&info)];
            sendmsg(fd, &data, &info, flags, Some(&SockaddrIn::from(to)))
        }
        (SocketAddr::V6(to), Some((interface, _))) => {
            let info = libc::in6_pktinfo {
                ipi6_ifindex: interface as _,
                ipi6_addr: libc::in6_addr { s6_addr: [0; 16] },
            };
            let info = [ControlMessage::Ipv6PacketInfo(&info)];
            sendmsg(fd, &data, &info, flags, Some(&SockaddrIn6::from(to)))
        }
        (to, None) => sendmsg(fd, &data, &[], flags, Some(&SockaddrStorage::from(to))),
    };
    send()
        .or_else(|error| match error {
            Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH => send(),
            error => Err(error),
        })
        .map_err(Into::into)
}

/// As the system says it when it is asked to use an address that is not there.
pub(super) fn no_such_address() -> io::Error {
    Errno::EADDRNOTAVAIL.into()
}

#[cfg(target_os = "linux")]
pub(super) use watch::Watch;

/// Tells when interfaces or their addresses change, by netlink.
#[cfg(target_os = "linux")]
mod watch {
    use super::*;
    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use nix::sys::socket::{
        AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
    };
    use std::os::fd::OwnedFd;

    pub struct Watch {
        socket: OwnedFd,
        buffer: Box<[u8]>,
    }

    /// What has changed.
    #[derive(Debug, Default)]
    pub struct News {
        pub any: bool,
        /// Interfaces that went away or lost their carrier, if only for a moment.
        pub broken: Vec<u32>,
    }

    impl Watch {
        pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let protocol = SockProtocol::NetlinkRoute;
            let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
            let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups as u32))?;
            let source = socket.as_raw_fd();
            registry.register(&mut SourceFd(&source), token, Interest::READABLE)?;
            Ok(Self { socket, buffer: vec![0; 32 << 10].into() })
        }

        /// Takes what is there.
        pub fn read(&mut self) -> News {
            let mut news = News::default();
            // Bounded, though the kernel never says that much at once: there is a rescan anyway.
            for _ in 0..1000 {
                match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                    Ok(0) | Err(Errno::EAGAIN) => break,
                    Ok(size) => {
                        news.any = true;
                        broken_links(&self.buffer[..size], &mut news.broken);
                    }
                    Err(Errno::EINTR) => {}
                    // More than the socket could hold.
                    Err(_) => news.any = true,
                }
            }
            news
        }
    }

    /// The interfaces that these messages of netlink say are gone or without carrier.
    fn broken_links(mut messages: &[u8], broken: &mut Vec<u32>) {
        const HEADER: usize = size_of::<libc::nlmsghdr>();
        let u32_at = |bytes: &[u8], at: usize| {
            let bytes = bytes.get(at..at + 4)?;
            Some(u32::from_ne_bytes(bytes.try_into().ok()?))
        };
        while let Some(length) = u32_at(messages, 0) {
            let length = length as usize;
            let Some(message) = messages.get(..length).filter(|it| it.len() >= HEADER) else {
                return;
            };
            let kind = u16::from_ne_bytes([message[4], message[5]]);
            // After the header an ifinfomsg: family, type, index, flags.
            if let (Some(index), Some(flags)) =
                (u32_at(message, HEADER + 4), u32_at(message, HEADER + 8))
            {
                let has_carrier = flags & libc::IFF_RUNNING as u32 != 0;
                if kind == libc::RTM_DELLINK || (kind == libc::RTM_NEWLINK && !has_carrier) {
                    broken.push(index);
                }
            }
            messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn link(kind: u16, index: u32, flags: u32) -> Vec<u8> {
            let mut message = Vec::new();
            message.extend(32u32.to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend([0; 10]);
            message.extend([0; 4]);
            message.extend(index.to_ne_bytes());
            message.extend(flags.to_ne_bytes());
            message.extend([0; 4]);
            message
        }

        #[test]
        fn links_that_break_are_told_from_others() {
            let running = libc::IFF_RUNNING as u32;
            let messages = [
                link(libc::RTM_NEWLINK, 1, running),
                link(libc::RTM_NEWLINK, 2, 0),
                link(libc::RTM_DELLINK, 3, running),
                link(libc::RTM_NEWADDR, 4, 0),
            ]
            .concat();
            let mut broken = Vec::new();
            broken_links(&messages, &mut broken);
            assert_eq!(broken, [2, 3]);
            for end in 0..messages.len() {
                broken_links(&messages[..end], &mut Vec::new());
            }
            broken_links(&[0; 64], &mut Vec::new());
        }
    }
}
