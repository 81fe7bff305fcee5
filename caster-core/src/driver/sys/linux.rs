//! Many datagrams with one system call on Linux: `recvmmsg` and `sendmmsg`, and several datagrams in
//! one buffer (`UDP_GRO` and `UDP_SEGMENT`). On the wire they are single datagrams.

use crate::driver::transmit::{Received, Taken, Transmit, Via};
use nix::errno::Errno;
use nix::libc;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

/// Number of buffers. With `UDP_GRO` each takes up to 64 datagrams of one sender.
const BUFFERS: usize = 32;

/// The size of a buffer: the largest datagram, and the maximum of `UDP_GRO`.
const BUFFER: usize = 1 << 16;

/// Size of the control data of a datagram: interface, number of lost datagrams, size of a segment.
const CONTROL: usize = 128;

/// The buffers for a batch of datagrams. Only pages that were written to take memory.
pub(in crate::driver) struct Batch {
    data: Box<[u8]>,
    slots: Box<[Slot; BUFFERS]>,
    headers: Box<[libc::mmsghdr; BUFFERS]>,
    /// How many of the headers the system has written to since they were prepared: at first all.
    written: usize,
    /// Whether the system refuses `recvmmsg`, so that one datagram is received at a time.
    singly: bool,
}

#[repr(C, align(16))]
#[derive(Clone, Copy)]
struct Slot {
    control: [u8; CONTROL],
    name: libc::sockaddr_storage,
    part: libc::iovec,
}

/// Turns on `UDP_GRO`. Kernels before 5.0 lack it.
pub(in crate::driver) fn prepare(socket: &impl AsRawFd) {
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
            written: BUFFERS,
            singly: false,
        }
    }

    /// All buffers, one after the other.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// How many buffers can be filled at once.
    pub const fn capacity(&self) -> usize {
        if self.singly { 1 } else { BUFFERS }
    }

    /// Takes what is there; returns how many buffers were filled. Where `recvmmsg` is refused, it is
    /// `recvmsg` that receives.
    pub fn receive(&mut self, socket: &impl AsRawFd) -> io::Result<usize> {
        if self.singly {
            return Ok(self.receive_one(socket)?);
        }
        match self.receive_many(socket) {
            Err(error) if is_refused_call(error) => {
                let received = self.receive_one(socket);
                // With nothing to receive the call is not refused either.
                self.singly = matches!(received, Ok(_) | Err(Errno::EAGAIN));
                Ok(received?)
            }
            other => Ok(other?),
        }
    }

    #[cold]
    fn receive_one(&mut self, socket: &impl AsRawFd) -> Result<usize, Errno> {
        self.prepare_headers();
        let header = &mut self.headers[0];
        // SAFETY: `prepare_headers` has set the pointers to memory of `self` on the heap with the lengths
        // given; nothing else uses it during the call.
        let size = unsafe {
            libc::recvmsg(socket.as_raw_fd(), &raw mut header.msg_hdr, libc::MSG_DONTWAIT)
        };
        header.msg_len = Errno::result(size)? as _;
        Ok(1)
    }

    fn prepare_headers(&mut self) {
        let written = std::mem::replace(&mut self.written, BUFFERS);
        let buffers = self.data.chunks_exact_mut(BUFFER);
        let all = self.headers.iter_mut().zip(self.slots.iter_mut()).zip(buffers);
        for ((header, slot), buffer) in all.take(written) {
            slot.part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: BUFFER };
            let message = &mut header.msg_hdr;
            message.msg_name = ptr::from_mut(&mut slot.name).cast();
            message.msg_namelen = mem::size_of_val(&slot.name) as _;
            message.msg_iov = &raw mut slot.part;
            message.msg_iovlen = 1;
            message.msg_control = slot.control.as_mut_ptr().cast();
            message.msg_controllen = CONTROL as _;
        }
    }

    fn receive_many(&mut self, socket: &impl AsRawFd) -> Result<usize, Errno> {
        self.prepare_headers();
        // SAFETY: there are BUFFERS headers, whose pointers `prepare_headers` has set to memory of `self` on
        // the heap with the lengths given; nothing else uses it during the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BUFFERS as _,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let outcome = Errno::result(count).map(|count| count as usize);
        match outcome {
            Ok(count) => self.written = count,
            Err(Errno::EAGAIN) => self.written = 0,
            // After another error all are prepared again.
            Err(_) => {}
        }
        outcome
    }

    /// The contents of this buffer, which the last call has filled. `None` if the address family of the
    /// sender is unknown.
    pub fn received(&self, at: usize) -> Option<Received> {
        let (slot, header) = (&self.slots[at], &self.headers[at]);
        let start = at * BUFFER;
        let size = header.msg_len as usize;
        let mut received = Received {
            data: start..start + size.min(BUFFER),
            each: size.max(1),
            address: address(&slot.name)?,
            interface: 0,
            to: None,
            lost: None,
        };
        let message = &header.msg_hdr;
        // SAFETY: the kernel has filled the header and its control data, which are still there;
        // these functions of C iterate over them and end with null.
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
                    received.to = Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    // SAFETY: as above.
                    let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
                    received.interface = info.ipi6_ifindex as u32;
                    received.to = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
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

/// Limits of the kernel for one buffer of `UDP_SEGMENT`: datagrams, and bytes in total.
const MAX_SEGMENTS: usize = 64;
const MAX_SEGMENTS_BYTES: usize = 65_507;

/// Whether this error may mean that the call itself is refused: by a sandbox, or by an old kernel.
fn is_refused_call(error: Errno) -> bool {
    matches!(error, Errno::ENOSYS | Errno::EPERM | Errno::EACCES)
}

/// How often in succession a call is repeated that was interrupted, or for which there was no space
/// although the system reports some.
const REPETITIONS: u32 = 100;

/// Time to wait for space in a full send buffer.
const SEND_PATIENCE_MS: libc::c_int = 100;

/// Sends. `outcome` gets what was sent of each transmit, or the error if none was.
/// The segments of a transmit are sent with one call if the system can do that, else one by one.
pub(in crate::driver) fn send(
    socket: &impl AsRawFd,
    transmits: &[Transmit<'_>],
    mut outcome: impl FnMut(usize, io::Result<Taken>),
) {
    let fd = socket.as_raw_fd();
    let (mut at, mut repeated) = (0, 0);
    while at < transmits.len() {
        let count = (transmits.len() - at).min(BUFFERS);
        let some = &transmits[at..at + count];
        let sent =
            if count == 1 { send_some::<1>(fd, some) } else { send_some::<BUFFERS>(fd, some) };
        match sent {
            Ok(sent) => {
                for transmit in &transmits[at..at + sent] {
                    outcome(at, Ok(Taken { datagrams: transmit.count(), buffers: 1 }));
                    at += 1;
                }
                repeated = 0;
            }
            Err(Errno::EINTR) if repeated < REPETITIONS => repeated += 1,
            Err(Errno::EAGAIN) if repeated < REPETITIONS && wait_for_room(fd) => repeated += 1,
            Err(error) => {
                outcome(at, send_apart(fd, &transmits[at], error));
                at += 1;
                repeated = 0;
            }
        }
    }
}

/// Sends the segments one by one after a call with all of them has failed: they exceed the limit of
/// the interface, it cannot split them, or the error belongs to an earlier datagram.
fn send_apart(fd: RawFd, transmit: &Transmit<'_>, error: Errno) -> io::Result<Taken> {
    use Errno::{ECONNREFUSED, EHOSTUNREACH, ENETUNREACH};
    let is_of_another = matches!(error, ECONNREFUSED | EHOSTUNREACH | ENETUNREACH);
    if transmit.count() == 1 && !is_of_another {
        return Err(error.into());
    }
    let (mut sent, mut failure) = (0, Err(error));
    for data in transmit.data.chunks(transmit.each.max(1)) {
        let one = Transmit { data, each: data.len(), ..*transmit };
        let again = || send_some::<1>(fd, std::slice::from_ref(&one));
        match again().or_else(|error| match error {
            Errno::EAGAIN if wait_for_room(fd) => again(),
            ECONNREFUSED | EHOSTUNREACH | ENETUNREACH => again(),
            error => Err(error),
        }) {
            Ok(count) => sent += count,
            Err(error) => failure = Err(error),
        }
    }
    if sent > 0 { Ok(Taken { datagrams: sent, buffers: sent }) } else { Ok(failure?) }
}

fn wait_for_room(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd, which lives for the length of the call.
    unsafe { libc::poll(&mut poll, 1, SEND_PATIENCE_MS) == 1 }
}

/// One system call with up to `N` transmits, of which there is at least one. Returns the number sent.
/// For one `sendto` takes 6 % less time than `sendmsg`, and that 6 % less than `sendmmsg`.
fn send_some<const N: usize>(fd: RawFd, transmits: &[Transmit<'_>]) -> Result<usize, Errno> {
    if let [one @ Transmit { via: None, .. }] = transmits
        && one.count() == 1
    {
        return send_to(fd, one);
    }
    // SAFETY: these are C structures of numbers and pointers, for which zero is a value.
    let (slot, header) = unsafe { (mem::zeroed::<Slot>(), mem::zeroed::<libc::mmsghdr>()) };
    let (mut slots, mut headers) = ([slot; N], [header; N]);
    let ready = headers.iter_mut().zip(&mut slots).zip(transmits);
    for ((header, slot), transmit) in ready {
        let data = transmit.data.as_ptr().cast_mut().cast();
        slot.part = libc::iovec { iov_base: data, iov_len: transmit.data.len() };
        let message = &mut header.msg_hdr;
        message.msg_namelen = write_address(transmit.to, &mut slot.name);
        message.msg_name = ptr::from_mut(&mut slot.name).cast();
        message.msg_iov = &raw mut slot.part;
        message.msg_iovlen = 1;
        let mut control = Control { bytes: &mut slot.control, length: 0 };
        match (transmit.via, transmit.to) {
            (Some((interface, from)), SocketAddr::V4(_)) => {
                let address =
                    |ip: Ipv4Addr| libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
                let info = libc::in_pktinfo {
                    ipi_ifindex: interface as _,
                    ipi_spec_dst: address(from.unwrap_or(Ipv4Addr::UNSPECIFIED)),
                    ipi_addr: address(Ipv4Addr::UNSPECIFIED),
                };
                control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            (Some((interface, _)), SocketAddr::V6(_)) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: [0; 16] },
                    ipi6_ifindex: interface as _,
                };
                control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            }
            (None, _) => {}
        }
        if transmit.count() > 1 {
            control.push(libc::SOL_UDP, libc::UDP_SEGMENT, transmit.each as u16);
        }
        if control.length > 0 {
            message.msg_controllen = control.length as _;
            message.msg_control = slot.control.as_mut_ptr().cast();
        }
    }
    if N > 1 {
        // SAFETY: the first `transmits.len()` headers were set to memory that lives here or, as the data,
        // in the transmits, with the lengths given; the kernel does not write to the data.
        let sent =
            unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), transmits.len().min(N) as _, 0) };
        match Errno::result(sent) {
            Err(error) if is_refused_call(error) => {}
            sent => return sent.map(|sent| sent as usize),
        }
    }
    // SAFETY: as above, for the first header.
    let sent = unsafe { libc::sendmsg(fd, &raw const headers[0].msg_hdr, 0) };
    match Errno::result(sent) {
        // Segments are sent one by one then.
        Err(error) if is_refused_call(error) && transmits[0].count() == 1 => {
            send_plainly(fd, &transmits[0])
        }
        sent => sent.map(|_| 1),
    }
}

/// Sends one datagram with `sendto`, which has no control data: the socket is told the interface instead. If
/// another thread sends on another interface at that moment, one of the two datagrams may leave by it. Afterwards
/// the socket has no interface again: its source address would count for the control data of later calls as well.
#[cold]
fn send_plainly(fd: RawFd, transmit: &Transmit<'_>) -> Result<usize, Errno> {
    if transmit.via.is_some() {
        set_interface(fd, transmit.to, transmit.via)?;
    }
    let sent = send_to(fd, transmit);
    if transmit.via.is_some() {
        set_interface(fd, transmit.to, None)?;
    }
    sent
}

/// Sends one datagram without control data.
fn send_to(fd: RawFd, transmit: &Transmit<'_>) -> Result<usize, Errno> {
    // SAFETY: a C structure of numbers, for which zero is a value.
    let mut name = unsafe { mem::zeroed::<libc::sockaddr_storage>() };
    let length = write_address(transmit.to, &mut name);
    let data = transmit.data;
    // SAFETY: the data and the address live for the length of the call, and their lengths are given.
    let sent = unsafe {
        let name = ptr::from_ref(&name).cast();
        libc::sendto(fd, data.as_ptr().cast(), data.len(), 0, name, length)
    };
    Errno::result(sent).map(|_| 1)
}

/// Sets the interface of what a socket sends to groups without naming one; `None`: that of the route. Returns
/// whether the system did so.
pub(in crate::driver) fn prefer(
    socket: &impl AsRawFd,
    group: SocketAddr,
    via: Option<Via>,
) -> bool {
    set_interface(socket.as_raw_fd(), group, via).is_ok()
}

/// Tells a socket the interface and the source address of what it sends to groups; `None`: those of the route.
fn set_interface(fd: RawFd, to: SocketAddr, via: Option<Via>) -> Result<(), Errno> {
    let (interface, from) = via.unwrap_or_default();
    let from = u32::from_ne_bytes(from.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    let v4 = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr { s_addr: from },
        imr_ifindex: interface as _,
    };
    let v6 = interface as libc::c_int;
    let (level, option, value, size) = match to {
        SocketAddr::V4(_) => (
            libc::IPPROTO_IP,
            libc::IP_MULTICAST_IF,
            ptr::from_ref(&v4).cast(),
            mem::size_of_val(&v4),
        ),
        SocketAddr::V6(_) => (
            libc::IPPROTO_IPV6,
            libc::IPV6_MULTICAST_IF,
            ptr::from_ref(&v6).cast(),
            mem::size_of_val(&v6),
        ),
    };
    // SAFETY: the value lives for the length of the call, and its size is given.
    Errno::result(unsafe { libc::setsockopt(fd, level, option, value, size as _) }).map(drop)
}

/// Control data that is being written.
struct Control<'a> {
    bytes: &'a mut [u8; CONTROL],
    length: usize,
}

impl Control<'_> {
    fn push<T: Copy>(&mut self, level: libc::c_int, kind: libc::c_int, value: T) {
        let size = mem::size_of::<T>() as libc::c_uint;
        // SAFETY: these only compute with sizes.
        let (space, length) = unsafe { (libc::CMSG_SPACE(size), libc::CMSG_LEN(size)) };
        let end = self.length + space as usize;
        assert!(end <= CONTROL, "there is room for two");
        let header = self.bytes[self.length..end].as_mut_ptr().cast::<libc::cmsghdr>();
        // SAFETY: there is room for the header and its data, as just computed; the bytes begin at a
        // multiple of 16 and spaces are multiples of the alignment of a header.
        unsafe {
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = length as _;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
        }
        self.length = end;
    }
}

fn write_address(to: SocketAddr, name: &mut libc::sockaddr_storage) -> libc::socklen_t {
    let name = ptr::from_mut(name);
    match to {
        SocketAddr::V4(to) => {
            let v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as _,
                sin_port: to.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: there is room for an address of any family, aligned for it.
            unsafe { name.cast::<libc::sockaddr_in>().write(v4) };
            mem::size_of_val(&v4) as _
        }
        SocketAddr::V6(to) => {
            let v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as _,
                sin6_port: to.port().to_be(),
                sin6_flowinfo: to.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: to.ip().octets() },
                sin6_scope_id: to.scope_id(),
            };
            // SAFETY: as above.
            unsafe { name.cast::<libc::sockaddr_in6>().write(v6) };
            mem::size_of_val(&v6) as _
        }
    }
}

// SAFETY: the pointers inside lead to memory of the batch itself and are set for each call.
unsafe impl Send for Batch {}

/// The number of leading datagrams that form one transmit: all of one size except the last, which may
/// be smaller.
pub(in crate::driver) fn run_length(sizes: &[usize]) -> usize {
    let Some(&each) = sizes.first().filter(|&&each| each > 0) else { return sizes.len().min(1) };
    let most = (MAX_SEGMENTS_BYTES / each).clamp(1, MAX_SEGMENTS);
    let same = sizes.iter().take(most).take_while(|&&size| size == each).count();
    let smaller = sizes.get(same).is_some_and(|&size| size < each && size > 0);
    same + usize::from(smaller && same < most)
}

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
    fn a_datagram_that_goes_by_sendto_leaves_no_interface_to_the_others() {
        let (sender, receiver) = pair();
        let via = Some((1, Some(Ipv4Addr::LOCALHOST)));
        let to = receiver.local_addr().unwrap();
        let transmit = Transmit { data: b"plain", each: 5, to, via, sent: None };
        assert_eq!(send_plainly(sender.as_raw_fd(), &transmit), Ok(1));
        assert_eq!(Batch::new().receive(&receiver).unwrap(), 1);
        let source = socket2::SockRef::from(&sender).multicast_if_v4().unwrap();
        assert_eq!(source, Ipv4Addr::UNSPECIFIED);
    }

    #[test]
    fn receives_many_with_one_call_and_would_block_without_any() {
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

    /// The datagrams in the buffers of a batch.
    fn datagrams(batch: &Batch, buffers: usize) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for at in 0..buffers {
            let received = batch.received(at).unwrap();
            let data = &batch.data()[received.data];
            all.extend(data.chunks(received.each).map(<[u8]>::to_vec));
        }
        all
    }

    #[test]
    fn segments_arrive_as_single_datagrams() {
        let (sender, receiver) = pair();
        let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
        let data: Vec<u8> = (0..1050).map(|n| (n / 100) as u8).collect();
        for to in [&receiver, &plain] {
            let to = to.local_addr().unwrap();
            let transmits = [
                Transmit { data: &data, each: 100, to, via: None, sent: None },
                Transmit { data: &data[..30], each: 30, to, via: None, sent: None },
            ];
            let mut outcomes = Vec::new();
            send(&sender, &transmits, |at, sent| outcomes.push((at, sent.unwrap().datagrams)));
            assert_eq!(outcomes, [(0, 11), (1, 1)]);
        }
        let mut batch = Batch::new();
        let buffers = batch.receive(&receiver).unwrap();
        let expected: Vec<&[u8]> = data.chunks(100).chain([&data[..30]]).collect();
        assert_eq!(datagrams(&batch, buffers), expected);
        for expected in expected {
            let mut buffer = [0; 200];
            let size = plain.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..size], expected);
        }
    }

    #[test]
    fn a_buffer_takes_all_again_after_it_was_filled_with_less() {
        let (sender, receiver) = pair();
        let to = receiver.local_addr().unwrap();
        let mut batch = Batch::new();
        for data in [&b"one"[..], b"twotwotwo"] {
            send(&sender, &[Transmit { data, each: 3, to, via: None, sent: None }], |_, sent| {
                assert!(sent.is_ok())
            });
            let buffers = batch.receive(&receiver).unwrap();
            let expected: Vec<&[u8]> = data.chunks(3).collect();
            assert_eq!(datagrams(&batch, buffers), expected);
        }
    }

    #[test]
    fn segments_beyond_the_limit_are_sent_one_by_one() {
        let (sender, receiver) = pair();
        let to = receiver.local_addr().unwrap();
        // 70 segments are more than the kernel takes (64; 128 since 6.9), and more bytes.
        let data = vec![7; 70 * 1000];
        let mut outcome = None;
        let transmit = Transmit { data: &data, each: 1000, to, via: None, sent: None };
        send(&sender, &[transmit], |_, sent| outcome = Some(sent.unwrap()));
        assert_eq!(outcome, Some(Taken { datagrams: 70, buffers: 70 }));
        let (mut batch, mut count) = (Batch::new(), 0);
        while let Ok(buffers) = batch.receive(&receiver) {
            count += datagrams(&batch, buffers).len();
        }
        assert_eq!(count, 70);
        let refused = Transmit { data: &data, each: 70_000, to, via: None, sent: None };
        send(&sender, &[refused], |_, sent| assert!(sent.is_err()));
    }

    #[test]
    fn a_transmit_has_no_more_segments_than_the_kernel_takes() {
        assert_eq!(run_length(&[]), 0);
        assert_eq!(run_length(&[5, 5, 5, 3, 3]), 4);
        assert_eq!(run_length(&[5, 6]), 1);
        assert_eq!(run_length(&[0, 0]), 1);
        assert_eq!(run_length(&[9; 100]), 64);
        assert_eq!(run_length(&[30_000; 5]), 2);
        assert_eq!(run_length(&[65_507, 1]), 1);
        assert_eq!(run_length(&[5, 0]), 1);
    }
}
