//! Recordings: pcapng files of UDP datagrams, each in an IP packet.

use super::Datagram;
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{Block, PcapNgReader, PcapNgWriter};
use pcap_file::{DataLink, PcapError};
use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// That of the packets in a recording. It does not tell what the sender's was.
const TTL: u8 = 64;

/// The unit of time of the recordings that are written, as a power of ten: nanoseconds.
const NANOSECONDS: u8 = 9;
/// The unit of an interface that names none, by the standard: microseconds.
const MICROSECONDS: u8 = 6;

/// Writes a recording.
pub struct Writer<W: Write> {
    file: PcapNgWriter<W>,
    /// The names of the interfaces so far, in the order of their numbers.
    interfaces: Vec<Option<String>>,
}

impl<W: Write> Writer<W> {
    /// Writes the head of the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(out: W) -> io::Result<Self> {
        let file = PcapNgWriter::new(out).map_err(failed)?;
        Ok(Self { file, interfaces: Vec::new() })
    }

    /// Writes a datagram. One that does not fit into an IP packet is left out.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, datagram: &Datagram) -> io::Result<()> {
        let Some(packet) = wrap(datagram.from, datagram.to, &datagram.data) else { return Ok(()) };
        let block = EnhancedPacketBlock {
            interface_id: self.interface(&datagram.interface)?,
            timestamp: Duration::from_micros(datagram.at),
            original_len: u32::try_from(packet.len()).map_err(io::Error::other)?,
            data: Cow::Owned(packet),
            options: Vec::new(),
        };
        self.file.write_pcapng_block(block).map(|_| ()).map_err(failed)
    }

    /// The number of an interface; it is described when it is new.
    fn interface(&mut self, name: &Option<String>) -> io::Result<u32> {
        let at = match self.interfaces.iter().position(|known| known == name) {
            Some(at) => at,
            None => {
                let mut block = InterfaceDescriptionBlock::new(DataLink::RAW, 0);
                block.options.push(InterfaceDescriptionOption::IfTsResol(NANOSECONDS));
                let name_of =
                    |name: &String| InterfaceDescriptionOption::IfName(name.clone().into());
                block.options.extend(name.as_ref().map(name_of));
                self.file.write_pcapng_block(block).map_err(failed)?;
                self.interfaces.push(name.clone());
                self.interfaces.len() - 1
            }
        };
        u32::try_from(at).map_err(io::Error::other)
    }

    /// Hands everything on to the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.get_mut().flush()
    }
}

/// Reads the datagrams of a recording, also of those that other programs made.
pub struct Reader<R: Read> {
    file: PcapNgReader<R>,
}

impl<R: Read> Reader<R> {
    /// Reads the head of the file.
    ///
    /// # Errors
    /// The file cannot be read, or is no pcapng.
    pub fn new(input: R) -> io::Result<Self> {
        match PcapNgReader::new(input) {
            Ok(file) => Ok(Self { file }),
            Err(PcapError::IoError(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Err(error)
            }
            Err(_) => Err(broken("this is no pcapng file")),
        }
    }

    /// The next datagram over UDP; other packets are skipped.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn next(&mut self) -> io::Result<Option<Datagram>> {
        loop {
            let packet = match self.file.next_block() {
                None => return Ok(None),
                Some(Ok(Block::EnhancedPacket(packet))) => packet.into_owned(),
                Some(Ok(_)) => continue,
                Some(Err(error)) => match failed(error) {
                    // The last block is incomplete: the recording was interrupted there.
                    error if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                    error => return Err(error),
                },
            };
            let interface = self.file.packet_interface(&packet);
            let interface = interface.ok_or_else(|| broken("a packet has no interface"))?;
            let Some((from, to, data)) = unwrap(interface.linktype, &packet.data) else { continue };
            let at = microseconds(packet.timestamp, interface)?;
            let interface = interface.options.iter().find_map(|option| match option {
                InterfaceDescriptionOption::IfName(name) => Some(name.clone().into_owned()),
                _ => None,
            });
            return Ok(Some(Datagram { at, from, to, interface, data }));
        }
    }
}

/// The time of a packet. The library counts the units of every interface as nanoseconds.
fn microseconds(units: Duration, interface: &InterfaceDescriptionBlock) -> io::Result<u64> {
    let unit = interface.options.iter().find_map(|option| match option {
        InterfaceDescriptionOption::IfTsResol(unit) => Some(*unit),
        _ => None,
    });
    let unit = unit.unwrap_or(MICROSECONDS);
    let base: u64 = if unit & 0x80 == 0 { 10 } else { 2 };
    let per_second = base.checked_pow(u32::from(unit & 0x7f));
    let per_second = per_second.ok_or_else(|| broken("the unit of time is too small"))?;
    let at = units.as_nanos() * 1_000_000 / u128::from(per_second);
    Ok(u64::try_from(at).unwrap_or(u64::MAX))
}

/// The IP packet that carries a datagram. `None` if it is too large for one, or the families differ.
fn wrap(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
    let ip = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), TTL),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), TTL),
        _ => return None,
    };
    let mut packet = Vec::new();
    ip.udp(from.port(), to.port()).write(&mut packet, data).ok()?;
    Some(packet)
}

/// The datagram in a packet: from, to and data. `None` for all other packets and for fragments.
fn unwrap(link: DataLink, packet: &[u8]) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
    let packet = match link {
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => SlicedPacket::from_ip(packet),
        DataLink::ETHERNET => SlicedPacket::from_ethernet(packet),
        DataLink::LINUX_SLL => SlicedPacket::from_linux_sll(packet),
        _ => return None,
    };
    let packet = packet.ok()?;
    let (from, to): (IpAddr, IpAddr) = match packet.net? {
        NetSlice::Ipv4(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        NetSlice::Ipv6(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        _ => return None,
    };
    let Some(TransportSlice::Udp(udp)) = packet.transport else { return None };
    let (from, to) =
        (SocketAddr::new(from, udp.source_port()), SocketAddr::new(to, udp.destination_port()));
    Some((from, to, udp.payload().to_vec()))
}

fn broken(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn failed(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        error => broken(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(at: u64, interface: Option<&str>, data: &[u8]) -> Datagram {
        Datagram {
            at,
            from: "10.0.0.1:10101".parse().unwrap(),
            to: "224.0.0.42:10101".parse().unwrap(),
            interface: interface.map(str::to_owned),
            data: data.to_vec(),
        }
    }

    fn written(all: &[Datagram]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file).unwrap();
        all.iter().for_each(|it| writer.write(it).unwrap());
        writer.flush().unwrap();
        file
    }

    fn read(file: &[u8]) -> io::Result<Vec<Datagram>> {
        let mut reader = Reader::new(file)?;
        std::iter::from_fn(|| reader.next().transpose()).collect()
    }

    fn some() -> Vec<Datagram> {
        vec![
            datagram(1_700_000_000_123_456, Some("eth0"), b"{}"),
            datagram(1_700_000_000_123_457, None, b""),
            datagram(1_700_000_001_000_000, Some("eth0"), &[7; 1400]),
            datagram(1_700_000_002_000_000, Some("wlan0"), b"odd"),
        ]
    }

    #[test]
    fn a_recording_is_read_as_it_was_written() {
        assert_eq!(read(&written(&some())).unwrap(), some());
        assert_eq!(read(&written(&[])).unwrap(), []);
    }

    #[test]
    fn a_recording_that_was_interrupted_is_read_up_to_there() {
        let file = written(&some());
        let mut most = 0;
        for size in 12..file.len() {
            let found = read(&file[..size]).unwrap_or_default();
            assert_eq!(found, some()[..found.len()]);
            most = most.max(found.len());
        }
        assert_eq!(most, 3);
    }

    #[test]
    fn damaged_files_are_errors_and_never_panics() {
        assert!(read(b"").is_err() && read(b"not a recording at all").is_err());
        let file = written(&some());
        let mut seed = 1u64;
        for _ in 0..2_000 {
            let mut damaged = file.clone();
            for _ in 0..3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 33) as usize % damaged.len();
                damaged[at] = (seed >> 25) as u8;
            }
            let _ = read(&damaged);
        }
    }

    #[test]
    fn the_other_byte_order_ethernet_and_other_units_are_read() {
        const SECTION: u32 = 0x0a0d_0d0a;
        const MAGIC: u32 = 0x1a2b_3c4d;
        let block = |kind: u32, body: &[u8]| {
            let padded = body.len().next_multiple_of(4);
            let length = (padded as u32 + 12).to_be_bytes();
            let padding = vec![0; padded - body.len()];
            [&kind.to_be_bytes()[..], &length, body, &padding, &length].concat()
        };
        let section =
            block(SECTION, &[&MAGIC.to_be_bytes()[..], &[0, 1, 0, 0], &[255; 8]].concat());
        // Nanoseconds.
        let interface = block(1, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0]);
        let wanted = datagram(1_500_000, None, b"data");
        let ip = wrap(wanted.from, wanted.to, &wanted.data).unwrap();
        let frame = [&[0; 12][..], &[0x81, 0, 0, 5, 8, 0], &ip].concat();
        let size = (frame.len() as u32).to_be_bytes();
        let time = 1_500_000_000u64.to_be_bytes();
        let packet = block(6, &[&[0; 4][..], &time, &size, &size, &frame].concat());
        let statistics = block(5, &[0; 12]);
        let file = [section, interface, statistics, packet].concat();
        assert_eq!(read(&file).unwrap(), [wanted]);
    }

    #[test]
    fn datagrams_are_wrapped_and_unwrapped_in_both_families() {
        for (from, to) in
            [("10.0.0.1:1234", "224.0.0.42:10101"), ("[fe80::1]:1234", "[ff02::2a]:10101")]
        {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            for data in [&b""[..], b"x", b"even", &[255; 1400], &[0; 60_000]] {
                let packet = wrap(from, to, data).unwrap();
                assert_eq!(unwrap(DataLink::RAW, &packet).unwrap(), (from, to, data.to_vec()));
                for size in 0..packet.len().min(60) {
                    assert_eq!(unwrap(DataLink::RAW, &packet[..size]), None, "{size}");
                }
            }
            assert_eq!(wrap(from, to, &[0; 65_530]), None);
        }
        let mixed = wrap("10.0.0.1:1".parse().unwrap(), "[ff02::1]:1".parse().unwrap(), b"");
        assert_eq!(mixed, None);
    }

    #[test]
    fn fragments_and_other_protocols_are_not_datagrams() {
        let whole =
            wrap("10.0.0.1:1".parse().unwrap(), "224.0.0.42:2".parse().unwrap(), b"data").unwrap();
        let is_skipped = |at: usize, value: u8| {
            let mut packet = whole.clone();
            packet[at] = value;
            unwrap(DataLink::RAW, &packet).is_none()
        };
        let changes = [(9, 6), (6, 0x20), (7, 1), (0, 0x41), (0, 0x55)];
        assert!(changes.into_iter().all(|(at, value)| is_skipped(at, value)));
        assert!(!is_skipped(6, 0x40), "don't fragment");
    }
}
