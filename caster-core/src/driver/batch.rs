//! Many datagrams with one system call, as Linux has it: `recvmmsg`, and several datagrams that came
//! together in one buffer (`UDP_GRO`).

use nix::errno::Errno;
use nix::libc;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr;

/// How many buffers there are. With `UDP_GRO` each takes up to 64 datagrams of one sender.
const BUFFERS: usize = 32;

/// The size of a buffer: the largest datagram, and the most that `UDP_GRO` puts together.
const BUFFER: usize = 1 << 16;

/// Room for what comes with a datagram: where it came in, how many were lost, the size of each.
const CONTROL: usize = 128;

/// Where a batch of datagrams is received. Only pages that were written to take memory.
pub(super) struct Batch {
    data: Box<[u8]>,
    slots: Box<[Slot; BUFFERS]>,
    headers: Box<[libc::mmsghdr; BUFFERS]>,
}

#[repr(C, align(16))]
#[derive(Clone, Copy)]
struct Slot {
    control: [u8; CONTROL],
    name: libc::sockaddr_storage,
    part: libc::iovec,
}

/// What was received into one buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    /// Where in the data of the batch it is.
    pub data: Range<usize>,
    /// The size of each of the datagrams in it; the last one may be smaller.
    pub each: usize,
    pub address: SocketAddr,
    /// The number of the interface.
    pub interface: u32,
    /// How many datagrams the socket has lost since it was opened.
    pub lost: Option<u32>,
}

/// Asks that datagrams which came together are handed over together. Kernels before 5.0 cannot.
pub(super) fn prepare(socket: &impl AsRawFd) {
    let on: libc::c_int = 1;
    // SAFETY: the value is an int, and its size is given.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_GRO,
            ptr::from_ref(&on).cast(),
            mem::size_of_val(&on) as _,
        );
    }
}

impl Batch {
    pub fn new() -> Self {
        // SAFETY: these are C structures of numbers and pointers, for which zero is a value.
        let (slot, header) = unsafe { (mem::zeroed::<Slot>(), mem::zeroed::<libc::mmsghdr>()) };
        Self {
            data: vec![0; BUFFERS * BUFFER].into(),
            slots: Box::new([slot; BUFFERS]),
            headers: Box::new([header; BUFFERS]),
        }
    }

    /// All buffers, one after the other.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// How many buffers can be filled at once.
    pub const fn capacity(&self) -> usize {
        BUFFERS
    }

    /// Takes what is there; returns how many buffers were filled.
    pub fn receive(&mut self, socket: &impl AsRawFd) -> io::Result<usize> {
        let buffers = self.data.chunks_exact_mut(BUFFER);
        for ((header, slot), buffer) in
            self.headers.iter_mut().zip(self.slots.iter_mut()).zip(buffers)
        {
            slot.part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: BUFFER };
            let message = &mut header.msg_hdr;
            message.msg_name = ptr::from_mut(&mut slot.name).cast();
            message.msg_namelen = mem::size_of_val(&slot.name) as _;
            message.msg_iov = &raw mut slot.part;
            message.msg_iovlen = 1;
            message.msg_control = slot.control.as_mut_ptr().cast();
            message.msg_controllen = CONTROL as _;
        }
        // SAFETY: there are BUFFERS headers, whose pointers were just set to memory of `self` with
        // the lengths given; nothing else uses it during the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BUFFERS as _,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        Ok(Errno::result(count)? as usize)
    }

    /// What is in this buffer, which the last call has filled. `None` if the sender is of a family
    /// that is not known.
    pub fn received(&self, at: usize) -> Option<Received> {
        let (slot, header) = (&self.slots[at], &self.headers[at]);
        let start = at * BUFFER;
        let size = header.msg_len as usize;
        let mut received = Received {
            data: start..start + size.min(BUFFER),
            each: size.max(1),
            address: address(&slot.name)?,
            interface: 0,
            lost: None,
        };
        let message = &header.msg_hdr;
        // SAFETY: the kernel has filled the header and its control data, which are still there;
        // these functions of C walk through them and end with null.
        let mut control = unsafe { libc::CMSG_FIRSTHDR(message) };
        // SAFETY: not null, so it points to a header inside of the control data.
        while let Some(header) = unsafe { control.as_ref() } {
            // SAFETY: what follows a header is its data, of the type that level and type say.
            let data = unsafe { libc::CMSG_DATA(header) };
            match (header.cmsg_level, header.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    // SAFETY: as above; it need not be aligned.
                    let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
                    received.interface = info.ipi_ifindex as u32;
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    // SAFETY: as above.
                    let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
                    received.interface = info.ipi6_ifindex as u32;
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    // SAFETY: as above.
                    received.lost = Some(unsafe { data.cast::<u32>().read_unaligned() });
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    // SAFETY: as above.
                    let each = unsafe { data.cast::<libc::c_int>().read_unaligned() };
                    received.each = usize::try_from(each).unwrap_or(size).max(1);
                }
                _ => {}
            }
            // SAFETY: as for the first one.
            control = unsafe { libc::CMSG_NXTHDR(message, header) };
        }
        Some(received)
    }
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let name = ptr::from_ref(name);
    // SAFETY: the kernel has written an address of this family, and there is room for any.
    match i32::from(unsafe { (*name).ss_family }) {
        libc::AF_INET => {
            // SAFETY: as above.
            let v4 = unsafe { name.cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::new(ip.into(), u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { name.cast::<libc::sockaddr_in6>().read() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

// SAFETY: the pointers inside lead to memory of the batch itself and are set anew for each call.
unsafe impl Send for Batch {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn pair() -> (UdpSocket, UdpSocket) {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        prepare(&receiver);
        (sender, receiver)
    }

    #[test]
    fn takes_many_with_one_call_and_none_when_there_are_none() {
        let (sender, receiver) = pair();
        let mut batch = Batch::new();
        let nothing = batch.receive(&receiver).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        for _ in 0..2 {
            for size in [1, 300, 65_507, 0] {
                sender.send(&vec![size as u8; size]).unwrap();
            }
            assert_eq!(batch.receive(&receiver).unwrap(), 4);
            for (at, size) in [1, 300, 65_507, 0].into_iter().enumerate() {
                let received = batch.received(at).unwrap();
                assert_eq!(received.address, sender.local_addr().unwrap());
                assert_eq!(&batch.data()[received.data], vec![size as u8; size]);
            }
        }
    }
}
