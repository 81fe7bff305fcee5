//! Tells when interfaces or their addresses change, by netlink.

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, Waker};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

pub(in crate::driver) struct Watch {
    socket: OwnedFd,
    buffer: Box<[u8]>,
}

/// Changes of interfaces.
#[derive(Debug, Default)]
pub(in crate::driver) struct News {
    pub any: bool,
    /// Interfaces that went away or lost their carrier, if only for a moment.
    pub broken: Vec<u32>,
}

impl Watch {
    /// Whether the waker of the thread tells of news, instead of the token.
    pub const WAKES: bool = false;

    pub fn new(registry: &Registry, token: Token, _waker: &Arc<Waker>) -> io::Result<Self> {
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
