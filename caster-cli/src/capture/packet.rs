//! The IP packet around a datagram, as recordings have it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
const TTL: u8 = 64;

/// The sum of 16-bit words of RFC 1071, before its complement.
fn sum(mut total: u32, data: &[u8]) -> u32 {
    for pair in data.chunks(2) {
        total += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        // Carries are added at once, so that the sum never overflows.
        total = (total & 0xffff) + (total >> 16);
    }
    total
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The IP packet that carries a datagram. `None` if it is too large for one, or the families differ.
pub fn wrap(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(data.len() + UDP_HEADER).ok()?;
    let mut udp = Vec::with_capacity(length.into());
    for number in [from.port(), to.port(), length, 0] {
        udp.extend(number.to_be_bytes());
    }
    udp.extend(data);
    let addresses = [octets(from.ip()), octets(to.ip())].concat();
    let pseudo = sum(sum(u32::from(UDP) + u32::from(length), &addresses), &udp);
    // Zero stands for "no checksum".
    let checksum = match !(pseudo as u16) {
        0 => u16::MAX,
        checksum => checksum,
    };
    udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    let mut packet = match (from, to) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => {
            let total = length.checked_add(20)?;
            let mut header = vec![0x45, 0];
            header.extend(total.to_be_bytes());
            header.extend([0, 0, 0, 0, TTL, UDP, 0, 0]);
            header.extend(&addresses);
            let checksum = !(sum(0, &header) as u16);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            header
        }
        (SocketAddr::V6(_), SocketAddr::V6(_)) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(length.to_be_bytes());
            header.extend([UDP, TTL]);
            header.extend(&addresses);
            header
        }
        _ => return None,
    };
    packet.extend(udp);
    Some(packet)
}

/// The datagram in an IP packet: from, to and data. `None` for all other packets and for fragments.
pub fn unwrap(packet: &[u8]) -> Option<(SocketAddr, SocketAddr, &[u8])> {
    let (from, to, rest): (IpAddr, IpAddr, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet[0] & 15) * 4;
            let total = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
            let fragment = u16::from_be_bytes(packet.get(6..8)?.try_into().ok()?) & 0x3fff;
            if *packet.get(9)? != UDP || fragment != 0 || header < 20 {
                return None;
            }
            let address = |at: usize| {
                let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
                Some(Ipv4Addr::from(octets))
            };
            (address(12)?.into(), address(16)?.into(), packet.get(header..total)?)
        }
        6 => {
            let length = usize::from(u16::from_be_bytes(packet.get(4..6)?.try_into().ok()?));
            if *packet.get(6)? != UDP {
                return None;
            }
            let address = |at: usize| {
                let octets: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
                Some(Ipv6Addr::from(octets))
            };
            (address(8)?.into(), address(24)?.into(), packet.get(40..40 + length)?)
        }
        _ => return None,
    };
    let number = |at: usize| Some(u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?));
    let data = rest.get(UDP_HEADER..usize::from(number(4)?))?;
    Some((SocketAddr::new(from, number(0)?), SocketAddr::new(to, number(2)?), data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_wrapped_and_unwrapped() {
        for (from, to) in
            [("10.0.0.1:1234", "224.0.0.42:10101"), ("[fe80::1]:1234", "[ff02::2a]:10101")]
        {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            for data in [&b""[..], b"x", b"even", &[255; 1400], &[0; 60_000]] {
                let packet = wrap(from, to, data).unwrap();
                assert_eq!(unwrap(&packet).unwrap(), (from, to, data));
                for size in 0..packet.len().min(60) {
                    assert_eq!(unwrap(&packet[..size]), None, "{size}");
                }
            }
            assert_eq!(wrap(from, to, &[0; 65_530]), None);
        }
        let mixed = wrap("10.0.0.1:1".parse().unwrap(), "[ff02::1]:1".parse().unwrap(), b"");
        assert_eq!(mixed, None);
    }

    #[test]
    fn checksums_are_those_of_the_standards() {
        // A packet that was captured from the kernel of Linux.
        let packet =
            wrap("10.77.0.2:21101".parse().unwrap(), "224.0.0.42:10101".parse().unwrap(), b"hi")
                .unwrap();
        let add = |data: &[u8], start| sum(start, data);
        assert_eq!(add(&packet[..20], 0), 0xffff);
        let pseudo = add(&packet[12..20], u32::from(UDP) + 10);
        assert_eq!(add(&packet[20..], pseudo), 0xffff);
    }

    #[test]
    fn fragments_and_other_protocols_are_not_datagrams() {
        let whole =
            wrap("10.0.0.1:1".parse().unwrap(), "224.0.0.42:2".parse().unwrap(), b"data").unwrap();
        let changed = |at: usize, value: u8| {
            let mut packet = whole.clone();
            packet[at] = value;
            unwrap(&packet).is_none()
        };
        assert!(
            changed(9, 6)
                && changed(6, 0x20)
                && changed(7, 1)
                && changed(0, 0x41)
                && changed(0, 0x55)
        );
        assert!(!changed(6, 0x40), "don't fragment");
    }
}
