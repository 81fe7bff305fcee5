//! The port that a process has to itself, for unicast.
//!
//! The port of the group is shared, and the system gives a unicast datagram to one of the sockets
//! that share it. Unicast is therefore sent from, and told to go to, a port that the process does
//! not share. A unicast datagram that arrives at the port of the group nevertheless is handed on to
//! the private ports of the other processes of this host, in front of it a mark and the address of
//! its sender.

use super::fork;
use super::socket::{self, Channel, LARGEST_ALONE};
use super::sys::calls;
use super::transmit::{Packets, Sent};
use crate::error::{Error, Result};
use crate::options::{PrivatePort, TransportConfig};
use crate::protocol::limits::SMALLEST_DATAGRAM;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
#[cfg(unix)]
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The ports that are tried first: a firewall can open a short range.
const FIRST: u16 = 21_101;
const LAST: u16 = 21_132;

/// How often the system is asked for any port.
const ANY: usize = 8;

/// Begins a datagram that is handed on. No digest and no JSON text begins like this: a digest does
/// with a probability of 2^-64.
const MARK: [u8; 8] = *b"\0caster\x01";

/// The number of bytes that a handed-on datagram has in front of its own, at the most.
const MAX_HEADER: usize = MARK.len() + 1 + 16 + 2 + 4;

/// The sockets of a private port, one for each family.
pub(super) struct PrivateSockets {
    pub v4: Option<Channel>,
    pub v6: Option<Channel>,
    port: u16,
    /// The largest datagram that a path has not refused.
    largest: AtomicUsize,
    _closed_in_child: Vec<fork::ClosedInChild>,
}

impl PrivateSockets {
    /// Opens the port that the options name, or the first that is free. Returns `None` if the
    /// options want none, or if none is to be had: the port of the group serves then.
    pub fn open(config: &TransportConfig, v4: bool, v6: bool) -> Result<Option<Self>> {
        let Some(wanted) = config.private_port.filter(|_| v4 || v6) else { return Ok(None) };
        if let Some(port) = wanted.port {
            return Self::bind(config, wanted, port, v4, v6).map(Some).map_err(|error| {
                let what = format!("cannot bind port {port}, which the option unicastPort names");
                Error::io(&error, "bind", what)
            });
        }
        let reserved = |port: u16| port == config.port || Some(port) == config.port.checked_add(1);
        let first = (FIRST..=LAST).filter(|&port| !reserved(port));
        for port in first.chain(std::iter::repeat_n(0, ANY)) {
            if let Ok(sockets) = Self::bind(config, wanted, port, v4, v6)
                && !reserved(sockets.port)
            {
                return Ok(Some(sockets));
            }
        }
        Ok(None)
    }

    fn bind(
        config: &TransportConfig,
        wanted: PrivatePort,
        mut port: u16,
        v4: bool,
        v6: bool,
    ) -> io::Result<Self> {
        let mut open = |any: IpAddr| {
            let channel = Channel::open_private(config, wanted.ttl, SocketAddr::new(any, port))?;
            port = channel.port()?;
            io::Result::Ok(channel)
        };
        let v4 = v4.then(|| open(Ipv4Addr::UNSPECIFIED.into())).transpose()?;
        let v6 = v6.then(|| open(Ipv6Addr::UNSPECIFIED.into())).transpose()?;
        #[cfg(unix)]
        let closed = v4.iter().chain(&v6).map(|it| fork::close_in_child(it.socket.as_raw_fd()));
        #[cfg(not(unix))]
        let closed = std::iter::empty();
        Ok(Self { _closed_in_child: closed.collect(), v4, v6, port, largest: LARGEST_ALONE.into() })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn channel(&self, v4: bool) -> Option<&Channel> {
        if v4 { self.v4.as_ref() } else { self.v6.as_ref() }
    }

    /// Hands a datagram on to these ports of this host. One that is too large with its header is
    /// not handed on.
    pub fn hand_on(&self, data: &[u8], from: SocketAddr, ports: &[u16]) {
        if data.starts_with(&MARK) || ports.is_empty() {
            return;
        }
        let marked = mark(data, from);
        let host: IpAddr = match from {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let to: Vec<SocketAddr> = ports.iter().map(|&port| (host, port).into()).collect();
        self.send_to(Packets { data: &marked, sizes: &[marked.len()] }, &to);
    }

    /// Sends to each of these hosts. A path that refuses a datagram as too large lowers the limit.
    pub fn send_to(&self, packets: Packets<'_>, to: &[SocketAddr]) -> Sent {
        let sent = socket::send_each(|v4| self.channel(v4), packets, to);
        if sent.error.as_ref().is_some_and(|(error, _)| calls::is_too_large(error)) {
            self.largest.store(SMALLEST_DATAGRAM, Ordering::Relaxed);
        }
        sent
    }

    /// The largest datagram that a path has not refused.
    pub fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }
}

fn mark(data: &[u8], from: SocketAddr) -> Vec<u8> {
    let mut marked = Vec::with_capacity(MAX_HEADER + data.len());
    marked.extend_from_slice(&MARK);
    match from {
        SocketAddr::V4(from) => {
            marked.push(4);
            marked.extend_from_slice(&from.ip().octets());
        }
        SocketAddr::V6(from) => {
            marked.push(6);
            marked.extend_from_slice(&from.ip().octets());
            marked.extend_from_slice(&from.scope_id().to_be_bytes());
        }
    }
    marked.extend_from_slice(&from.port().to_be_bytes());
    marked.extend_from_slice(data);
    marked
}

/// Splits a datagram that was handed on into its sender and the datagram. `None` if it is not
/// marked, or if it was not sent on this host.
pub(super) fn unmark(data: &[u8], from: IpAddr) -> Option<(SocketAddr, &[u8])> {
    if !from.is_loopback() {
        return None;
    }
    let (&family, rest) = data.strip_prefix(&MARK)?.split_first()?;
    let (ip, scope, rest): (IpAddr, u32, &[u8]) = match family {
        4 => {
            let (octets, rest) = rest.split_first_chunk::<4>()?;
            (Ipv4Addr::from(*octets).into(), 0, rest)
        }
        6 => {
            let (octets, rest) = rest.split_first_chunk::<16>()?;
            let (scope, rest) = rest.split_first_chunk::<4>()?;
            (Ipv6Addr::from(*octets).into(), u32::from_be_bytes(*scope), rest)
        }
        _ => return None,
    };
    let (port, data) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    let from = match ip {
        IpAddr::V4(_) => SocketAddr::new(ip, port),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
    };
    Some((from, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_datagram_gives_back_its_sender_and_its_bytes() {
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        let senders: [SocketAddr; 3] = [
            "10.1.2.3:21101".parse().unwrap(),
            "[2001:db8::1]:1".parse().unwrap(),
            SocketAddrV6::new("fe80::7".parse().unwrap(), 65_535, 0, 3).into(),
        ];
        for from in senders {
            for data in [&b""[..], b"x", &MARK] {
                let marked = mark(data, from);
                assert!(marked.len() <= MAX_HEADER + data.len());
                assert_eq!(unmark(&marked, here), Some((from, data)));
                assert_eq!(
                    unmark(&marked, [10, 0, 0, 9].into()),
                    None,
                    "another host marks nothing"
                );
                for cut in 0..marked.len() - data.len() {
                    assert_eq!(unmark(&marked[..cut], here), None);
                }
            }
        }
        assert_eq!(unmark(b"{\"id\":\"a\"}", here), None);
        assert_eq!(unmark(b"\0caster\x01\x05abcdefghijkl", here), None);
    }
}
