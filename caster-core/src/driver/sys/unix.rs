//! System calls on Linux, Android and the systems of Apple: interfaces, and datagrams with the
//! interface on which they are sent or received.

use super::found::Found;
use super::getifaddrs::{self, to_std};
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::driver::thread::LOG;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use crate::driver::transmit::Transmit;
#[cfg(any(target_os = "linux", target_os = "android"))]
use log::warn;
use nix::errno::Errno;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use nix::libc;
use nix::sys::socket::{MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use std::io;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use std::net::IpAddr;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::sync::Once;

/// All interfaces, with their addresses. Where netlink is refused, as far as they can be listed
/// without it; a record in the log says so, once.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(in crate::driver) fn list() -> io::Result<Vec<Found>> {
    static TOLD: Once = Once::new();
    getifaddrs::list().or_else(|error| {
        TOLD.call_once(|| {
            warn!(target: LOG, "getifaddrs failed: {error}; interfaces are listed without netlink");
        });
        Ok(super::netdevice::list())
    })
}

/// All interfaces, with their addresses.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(in crate::driver) fn list() -> io::Result<Vec<Found>> {
    getifaddrs::list()
}

/// Whether the interface to send on is chosen by its address. Here it is by its number, for each datagram.
pub(in crate::driver) const SENDS_BY_ADDRESS: bool = false;

/// Datagrams of this socket are not fragmented: one that is too large for its path is an error.
pub(in crate::driver) fn forbid_fragments(socket: &socket2::Socket, v4: bool) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use nix::libc;
        use std::os::fd::AsRawFd;
        let (level, option, value) = match v4 {
            true => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO),
            false => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO),
        };
        let size = size_of_val(&value) as libc::socklen_t;
        // SAFETY: the value is an integer of this size, which lives for the length of the call. Where the
        // option is refused, the system fragments what is too large.
        unsafe {
            libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), size)
        };
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (socket, v4);
}

/// Whether a datagram was too large for its path.
pub(in crate::driver) fn is_too_large(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::EMSGSIZE)
}

/// Asks that every datagram comes with its interface, and with how many were lost before it.
pub(in crate::driver) fn prepare(socket: &socket2::Socket, v4: bool) -> io::Result<()> {
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

/// Requests a receive buffer of this size. Privileged programs (`CAP_NET_ADMIN`) get it beyond the
/// limit of the system, others up to the limit.
pub(in crate::driver) fn set_receive_buffer(socket: &socket2::Socket, size: usize) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &size).is_ok() {
        return;
    }
    // A smaller one than asked for is no reason to fail.
    let _ = socket.set_recv_buffer_size(size);
}

/// How often this host has failed to assemble a datagram from its fragments.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(in crate::driver) fn reassembly_failures() -> u64 {
    super::snmp::reassembly_failures()
}

/// This is not told here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(in crate::driver) fn reassembly_failures() -> u64 {
    0
}

/// Takes the news of one datagram that could not be delivered; an error when there is none. Returns
/// its destination if a host has refused the port.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(in crate::driver) fn take_undelivered(
    socket: &mio::net::UdpSocket,
) -> io::Result<Option<SocketAddr>> {
    use nix::libc::{sock_extended_err, sockaddr_in6};
    use nix::sys::socket::ControlMessageOwned;
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let mut extras = nix::cmsg_space!((sock_extended_err, sockaddr_in6), [u8; 64]);
    let news = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut [], Some(&mut extras), flags)?;
    let is_refusal = |error: &sock_extended_err| error.ee_errno == Errno::ECONNREFUSED as u32;
    let refused = news.cmsgs()?.any(|extra| match extra {
        ControlMessageOwned::Ipv4RecvErr(error, _) => is_refusal(&error),
        ControlMessageOwned::Ipv6RecvErr(error, _) => is_refusal(&error),
        _ => false,
    });
    Ok(news.address.as_ref().and_then(to_std).filter(|_| refused))
}

/// Takes the news of one datagram that could not be delivered; there is none.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(in crate::driver) fn take_undelivered(
    _socket: &mio::net::UdpSocket,
) -> io::Result<Option<SocketAddr>> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// Room for what comes with a datagram.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(in crate::driver) struct Extras(Vec<u8>);

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Extras {
    pub fn new() -> Self {
        Self(nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo))
    }
}

/// Returns size, source and the number of the interface. Linux has batches instead.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(in crate::driver) fn receive(
    socket: &mio::net::UdpSocket,
    buffer: &mut [u8],
    extras: &mut Extras,
) -> io::Result<(usize, SocketAddr, u32, Option<IpAddr>)> {
    use nix::sys::socket::ControlMessageOwned;
    use std::net::{Ipv4Addr, Ipv6Addr};
    let mut buffers = [io::IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut buffers,
        Some(&mut extras.0),
        MsgFlags::empty(),
    )?;
    let address = message.address.as_ref().and_then(to_std).ok_or(Errno::EAFNOSUPPORT)?;
    let (mut interface, mut to) = (0, None);
    for extra in message.cmsgs()? {
        match extra {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                interface = info.ipi_ifindex as _;
                to = Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into());
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                interface = info.ipi6_ifindex as _;
                to = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
            }
            _ => {}
        }
    }
    Ok((message.bytes, address, interface, to))
}

/// Sends. The error of an earlier datagram is returned once, by the next call. Linux sends batches
/// instead.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(in crate::driver) fn send(
    socket: &mio::net::UdpSocket,
    transmit: &Transmit<'_>,
) -> io::Result<usize> {
    use nix::sys::socket::{ControlMessage, SockaddrIn, SockaddrIn6, sendmsg};
    use std::net::Ipv4Addr;
    let (fd, data, flags) =
        (socket.as_raw_fd(), [io::IoSlice::new(transmit.data)], MsgFlags::empty());
    let in_addr = |ip: Ipv4Addr| libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
    let send = || match (transmit.to, transmit.via) {
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

/// Lets switches hear of it when this membership ends and begins again, although other processes of the host are
/// in the group: the kernel reports the first that joins, the last that leaves, and a change of the sources that all
/// exclude. So each excludes one that does not exist. Where that is refused, memberships of several are not renewed.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(in crate::driver) fn make_renewable(
    socket: &socket2::SockRef<'_>,
    group: std::net::IpAddr,
    index: u32,
) {
    use nix::libc;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    /// `group_source_req` of Linux.
    #[repr(C)]
    struct Request {
        interface: u32,
        group: socket2::SockAddrStorage,
        source: socket2::SockAddrStorage,
    }
    // Of the ranges for documentation and for discarding.
    const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const V6: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1);
    const BLOCK_SOURCE: libc::c_int = 43;
    let (level, source) = match group {
        IpAddr::V4(_) => (libc::IPPROTO_IP, V4.into()),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, V6.into()),
    };
    let storage = |ip: IpAddr| socket2::SockAddr::from(SocketAddr::new(ip, 0)).as_storage();
    let request = Request { interface: index, group: storage(group), source: storage(source) };
    // SAFETY: the structure lives for the length of the call, and its size is given.
    unsafe {
        let value = (&raw const request).cast();
        let size = size_of::<Request>() as libc::socklen_t;
        libc::setsockopt(socket.as_raw_fd(), level, BLOCK_SOURCE, value, size)
    };
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(in crate::driver) fn make_renewable(_: &socket2::SockRef<'_>, _: IpAddr, _: u32) {}

/// As the system says it when it is asked to use an address that is not there.
pub(in crate::driver) fn no_such_address() -> io::Error {
    Errno::EADDRNOTAVAIL.into()
}

/// The limit of the number of groups of a socket, if this error means that the limit is reached.
pub(in crate::driver) fn membership_limit(error: &io::Error, v4: bool) -> Option<String> {
    const LIMIT: &str = "/proc/sys/net/ipv4/igmp_max_memberships";
    if error.raw_os_error() != Some(Errno::ENOBUFS as i32) || !v4 {
        return None;
    }
    let limit = std::fs::read_to_string(LIMIT).ok()?;
    Some(format!("net.ipv4.igmp_max_memberships allows {} for a socket", limit.trim()))
}
