//! The packets of this host's interfaces, where the system permits it: nodes of other groups and ports, and
//! IGMP queriers.

use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The protocol number of IPv4 in an Ethernet frame.
const ETHERTYPE_IPV4: u16 = 0x0800;
const IGMP: u8 = 2;
const UDP: u8 = 17;
const IGMP_QUERY: u8 = 0x11;

/// The sizes of digests: of sha1 first, then of the others, and none.
const DIGESTS: [usize; 7] = [20, 16, 28, 32, 48, 64, 0];

/// The begin of a sealed frame (docs/wire.md, *Sealed frames*).
const SEALED: [u8; 4] = [0xca, 0x57, 0, 1];

/// The number of senders that are remembered.
const MAX_SENDERS: usize = 1024;

/// The packets that tell something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sniffed {
    /// Senders of datagrams in the format of nodes, and where they sent them.
    pub nodes: BTreeMap<Ipv4Addr, SocketAddrV4>,
    /// Senders of sealed datagrams to the group itself.
    pub sealed: Vec<Ipv4Addr>,
    /// Hosts that ask for members of groups.
    pub queriers: Vec<Ipv4Addr>,
}

/// Collects packets on a thread until [`Sniffer::stop`].
pub struct Sniffer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Sniffed>,
}

impl Sniffer {
    /// Starts, if the system permits it. Packets of the group itself do not count.
    pub fn start(own: SocketAddrV4) -> Option<Self> {
        let protocol = Protocol::from(i32::from(ETHERTYPE_IPV4.to_be()));
        let mut socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol)).ok()?;
        socket.set_read_timeout(Some(Duration::from_millis(50))).ok()?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let work = move || {
            let mut sniffed = Sniffed::default();
            let mut packet = [0; 65536];
            while !told.load(Ordering::Relaxed) {
                // An error is the end of the time, most often; the loop ends with the command.
                if let Ok(size) = socket.read(&mut packet) {
                    sniffed.take(&packet[..size], own);
                }
            }
            sniffed
        };
        let thread = thread::Builder::new().name("sniffer".into()).spawn(work).ok()?;
        Some(Self { stop, thread })
    }

    pub fn stop(self) -> Sniffed {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

impl Sniffed {
    /// Looks at one IPv4 packet.
    fn take(&mut self, packet: &[u8], own: SocketAddrV4) {
        let address = |at: usize| {
            let bytes: Option<[u8; 4]> = packet.get(at..at + 4)?.try_into().ok();
            bytes.map(Ipv4Addr::from)
        };
        let (Some(from), Some(to)) = (address(12), address(16)) else { return };
        let header = usize::from(packet[0] & 15) * 4;
        let Some(body) = packet.get(header..) else { return };
        match packet[9] {
            IGMP if body.first() == Some(&IGMP_QUERY) => add(&mut self.queriers, from),
            UDP if to.is_multicast() && body.len() > 8 => {
                let port = u16::from_be_bytes([body[2], body[3]]);
                // The data port belongs to the group.
                let is_own = to == *own.ip() && port.wrapping_sub(own.port()) < 2;
                if is_own && body[8..].starts_with(&SEALED) {
                    add(&mut self.sealed, from);
                } else if !is_own && is_of_a_node(&body[8..]) && self.nodes.len() < MAX_SENDERS {
                    self.nodes.insert(from, SocketAddrV4::new(to, port));
                }
            }
            _ => {}
        }
    }
}

fn add(list: &mut Vec<Ipv4Addr>, address: Ipv4Addr) {
    if list.len() < MAX_SENDERS && !list.contains(&address) {
        list.push(address);
    }
}

/// Whether a datagram looks like a heartbeat or message of a node behind a digest of any secret.
fn is_of_a_node(data: &[u8]) -> bool {
    let is_clear =
        |size: &usize| data.get(*size..).is_some_and(|rest| rest.starts_with(b"{\"id\":"));
    data.starts_with(&SEALED) || DIGESTS.iter().any(is_clear)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 42), 10101);

    fn packet(protocol: u8, to: [u8; 4], body: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45; 1];
        packet.resize(20, 0);
        packet[9] = protocol;
        packet[12..16].copy_from_slice(&[10, 0, 0, 1]);
        packet[16..20].copy_from_slice(&to);
        packet.extend(body);
        packet
    }

    fn datagram(port: u16, data: &[u8]) -> Vec<u8> {
        let mut body = vec![0, 1];
        body.extend(port.to_be_bytes());
        body.resize(8, 0);
        body.extend(data);
        body
    }

    #[test]
    fn nodes_of_other_groups_and_ports_are_noticed() {
        let heartbeat = [&[7; 20][..], b"{\"id\":\"a\"}"].concat();
        let sniffed = |to: [u8; 4], port: u16, data: &[u8]| {
            let mut sniffed = Sniffed::default();
            sniffed.take(&packet(UDP, to, &datagram(port, data)), OWN);
            sniffed.nodes.into_values().next().map(|to| to.to_string())
        };
        assert_eq!(sniffed([224, 0, 0, 9], 10101, &heartbeat).unwrap(), "224.0.0.9:10101");
        assert_eq!(sniffed([224, 0, 0, 42], 4005, &heartbeat).unwrap(), "224.0.0.42:4005");
        assert_eq!(sniffed([224, 0, 0, 42], 10101, &heartbeat), None);
        assert_eq!(sniffed([10, 0, 0, 2], 4005, &heartbeat), None);
        let sealed = [&SEALED[..], &[0; 60]].concat();
        assert_eq!(sniffed([224, 0, 0, 42], 10103, &sealed).unwrap(), "224.0.0.42:10103");
        let mut here = Sniffed::default();
        here.take(&packet(UDP, [224, 0, 0, 42], &datagram(10101, &sealed)), OWN);
        assert_eq!((here.sealed.len(), here.nodes.len()), (1, 0));
        assert_eq!(sniffed([224, 0, 0, 9], 4005, b"another protocol, long enough"), None);
    }

    #[test]
    fn a_querier_is_noticed_once_and_broken_packets_are_ignored() {
        let mut sniffed = Sniffed::default();
        for _ in 0..2 {
            sniffed.take(&packet(IGMP, [224, 0, 0, 1], &[IGMP_QUERY, 0]), OWN);
        }
        assert_eq!(sniffed.queriers, [Ipv4Addr::new(10, 0, 0, 1)]);
        let whole = packet(UDP, [224, 0, 0, 9], &datagram(1, b"{\"id\":"));
        for size in 0..whole.len() {
            sniffed.take(&whole[..size], OWN);
            sniffed.take(&[&[0x4f], &whole[1..size.max(1)]].concat(), OWN);
        }
        assert!(sniffed.nodes.is_empty());
    }
}
