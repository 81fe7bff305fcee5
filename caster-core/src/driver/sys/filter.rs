//! A socket filter (classic BPF) that drops what the host has returned to itself from one port.

use nix::errno::Errno;
use nix::libc;
use socket2::{SockFilter, SockRef};
use std::io;

/// `PACKET_LOOPBACK` of linux/if_packet.h: a multicast datagram that the kernel has returned to its own
/// host. No datagram from the wire has this type.
const PACKET_LOOPBACK: u32 = 5;

/// Places from which the filter reads the type of the datagram and that of the interface.
const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;
const INTERFACE_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_HATYPE) as u32;

/// Drops the datagrams that the kernel has returned to this host and that come from this UDP port of it:
/// copies of multicast, and all that arrives by a loopback interface. A datagram of another host passes,
/// with any source.
pub(in crate::driver) fn attach(socket: &mio::net::UdpSocket, port: u16) -> io::Result<()> {
    const HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
    const WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let step =
        |code: u32, yes: u8, no: u8, value: u32| SockFilter::new(code as u16, yes, no, value);
    // The data of a UDP socket begins with the header of UDP, and that with the source port.
    let program = [
        step(HALF, 0, 0, 0),
        step(IF_EQUAL, 0, 4, port.into()),
        step(WORD, 0, 0, PACKET_TYPE),
        step(IF_EQUAL, 3, 0, PACKET_LOOPBACK),
        step(WORD, 0, 0, INTERFACE_TYPE),
        step(IF_EQUAL, 1, 0, libc::ARPHRD_LOOPBACK.into()),
        step(RETURN, 0, 0, u32::MAX),
        step(RETURN, 0, 0, 0),
    ];
    SockRef::from(socket).attach_filter(&program)
}

pub(in crate::driver) fn detach(socket: &mio::net::UdpSocket) -> io::Result<()> {
    SockRef::from(socket).detach_filter()
}

/// Whether a datagram that could not be sent may have come back nevertheless: the copy for the own host
/// is made before the queue of the interface drops the original.
pub(in crate::driver) fn may_have_come_back(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}
