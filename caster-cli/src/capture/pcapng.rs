//! The three blocks of pcapng that recordings need: section header, interface description, enhanced packet.
//! Others are skipped. The file is read in either byte order, and written in that of little-endian processors.

use super::{Datagram, packet};
use std::io::{self, Read, Write};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const MAGIC: u32 = 0x1a2b_3c4d;

/// Link types: an Ethernet frame, an IP packet without a frame.
const ETHERNET: u16 = 1;
const RAW_IP: u16 = 101;

const OPTION_NAME: u16 = 2;
const OPTION_RESOLUTION: u16 = 9;

/// The largest block that is read: a packet of 64 KiB with options.
const MAX_BLOCK: u32 = 1 << 20;
/// The most interfaces of one section: recordings have a few.
const MAX_INTERFACES: usize = 4096;

/// Writes a recording.
pub struct Writer<W> {
    out: W,
    /// The names of the interfaces so far, in the order of their numbers.
    interfaces: Vec<Option<String>>,
}

impl<W: Write> Writer<W> {
    /// Writes the head of the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(mut out: W) -> io::Result<Self> {
        let mut body = Vec::new();
        body.extend(MAGIC.to_le_bytes());
        // Version 1.0, and a section of unknown length.
        body.extend([1, 0, 0, 0]);
        body.extend((-1i64).to_le_bytes());
        write_block(&mut out, SECTION, &body)?;
        Ok(Self { out, interfaces: Vec::new() })
    }

    /// Writes a datagram. One that does not fit into an IP packet is left out.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, datagram: &Datagram) -> io::Result<()> {
        let Some(packet) = packet::wrap(datagram.from, datagram.to, &datagram.data) else {
            return Ok(());
        };
        let interface = self.interface(&datagram.interface)?;
        let size = u32::try_from(packet.len()).map_err(io::Error::other)?;
        let mut body = Vec::with_capacity(packet.len() + 24);
        body.extend(interface.to_le_bytes());
        body.extend(((datagram.at >> 32) as u32).to_le_bytes());
        body.extend((datagram.at as u32).to_le_bytes());
        body.extend([size.to_le_bytes(), size.to_le_bytes()].concat());
        body.extend(&packet);
        write_block(&mut self.out, PACKET, &body)
    }

    /// The number of an interface; it is described when it is new.
    fn interface(&mut self, name: &Option<String>) -> io::Result<u32> {
        let at = match self.interfaces.iter().position(|known| known == name) {
            Some(at) => at,
            None => {
                let mut body = Vec::new();
                body.extend(RAW_IP.to_le_bytes());
                body.extend([0; 6]);
                if let Some(name) = name {
                    body.extend(OPTION_NAME.to_le_bytes());
                    body.extend((name.len() as u16).to_le_bytes());
                    body.extend(name.as_bytes());
                    body.resize(body.len().next_multiple_of(4), 0);
                    body.extend([0; 4]);
                }
                write_block(&mut self.out, INTERFACE, &body)?;
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
        self.out.flush()
    }
}

fn write_block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let padded = body.len().next_multiple_of(4);
    let length = u32::try_from(padded + 12).map_err(io::Error::other)?;
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(body)?;
    out.write_all(&[0; 3][..padded - body.len()])?;
    out.write_all(&length.to_le_bytes())
}

/// An interface of the section that is read.
struct Interface {
    link: u16,
    name: Option<String>,
    /// Units of time in a second.
    per_second: u64,
}

/// Reads the datagrams of a recording, also of those that other programs made.
pub struct Reader<R> {
    input: R,
    is_big: bool,
    interfaces: Vec<Interface>,
}

impl<R: Read> Reader<R> {
    /// Reads the head of the file.
    ///
    /// # Errors
    /// The file cannot be read, or is no pcapng.
    pub fn new(input: R) -> io::Result<Self> {
        let mut reader = Self { input, is_big: false, interfaces: Vec::new() };
        match reader.block()? {
            Some((SECTION, _)) => Ok(reader),
            _ => Err(broken("this is no pcapng file")),
        }
    }

    /// The next datagram over UDP; other packets are skipped.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn next(&mut self) -> io::Result<Option<Datagram>> {
        while let Some((kind, body)) = self.block()? {
            match kind {
                SECTION => self.interfaces.clear(),
                INTERFACE => {
                    let interface = self.read_interface(&body)?;
                    if self.interfaces.len() >= MAX_INTERFACES {
                        return Err(broken("there are too many interfaces"));
                    }
                    self.interfaces.push(interface);
                }
                PACKET => {
                    if let Some(datagram) = self.read_packet(&body)? {
                        return Ok(Some(datagram));
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn number(&self, body: &[u8], at: usize) -> io::Result<u32> {
        let bytes = body.get(at..at + 4).and_then(|it| it.try_into().ok());
        let bytes: [u8; 4] = bytes.ok_or_else(|| broken("a block is too short"))?;
        Ok(if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn short(&self, body: &[u8], at: usize) -> io::Result<u16> {
        let bytes = body.get(at..at + 2).and_then(|it| it.try_into().ok());
        let bytes: [u8; 2] = bytes.ok_or_else(|| broken("a block is too short"))?;
        Ok(if self.is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    /// The kind and the body of the next block. `None` at the end; a last block that is incomplete counts as
    /// the end, as the recording was interrupted there.
    fn block(&mut self) -> io::Result<Option<(u32, Vec<u8>)>> {
        let mut head = [0; 8];
        if !fill(&mut self.input, &mut head)? {
            return Ok(None);
        }
        let mut before = Vec::new();
        // The same in both byte orders.
        if head[..4] == SECTION.to_be_bytes() {
            let mut magic = [0; 4];
            if !fill(&mut self.input, &mut magic)? {
                return Ok(None);
            }
            self.is_big = match u32::from_le_bytes(magic) {
                MAGIC => false,
                other if other.swap_bytes() == MAGIC => true,
                _ => return Err(broken("this is no pcapng file")),
            };
            before.extend(magic);
        }
        let (kind, length) = (self.number(&head, 0)?, self.number(&head, 4)?);
        if length % 4 != 0 || !(12 + before.len() as u32..=MAX_BLOCK).contains(&length) {
            return Err(broken("a block has an impossible length"));
        }
        let mut rest = vec![0; length as usize - 8 - before.len()];
        if !fill(&mut self.input, &mut rest)? {
            return Ok(None);
        }
        if self.number(&rest, rest.len() - 4)? != length {
            return Err(broken("the two lengths of a block differ"));
        }
        rest.truncate(rest.len() - 4);
        before.extend(rest);
        Ok(Some((kind, before)))
    }

    fn read_interface(&self, body: &[u8]) -> io::Result<Interface> {
        let mut interface =
            Interface { link: self.short(body, 0)?, name: None, per_second: 1_000_000 };
        let mut at = 8;
        while at + 4 <= body.len() {
            let (option, size) = (self.short(body, at)?, usize::from(self.short(body, at + 2)?));
            let value = body.get(at + 4..at + 4 + size);
            let value = value.ok_or_else(|| broken("an option is too long"))?;
            match (option, value) {
                (0, _) => break,
                (OPTION_NAME, name) => {
                    interface.name = Some(String::from_utf8_lossy(name).into_owned());
                }
                (OPTION_RESOLUTION, &[power]) => {
                    let (base, power) = (if power & 0x80 == 0 { 10u64 } else { 2 }, power & 0x7f);
                    let units = base.checked_pow(power.into()).filter(|units| *units <= 1 << 40);
                    interface.per_second =
                        units.ok_or_else(|| broken("the unit of time is too small"))?;
                }
                _ => {}
            }
            at += 4 + size.next_multiple_of(4);
        }
        Ok(interface)
    }

    fn read_packet(&self, body: &[u8]) -> io::Result<Option<Datagram>> {
        let number = self.number(body, 0)? as usize;
        let interface = self.interfaces.get(number);
        let interface = interface.ok_or_else(|| broken("a packet has no interface"))?;
        let units = u64::from(self.number(body, 4)?) << 32 | u64::from(self.number(body, 8)?);
        let size = self.number(body, 12)? as usize;
        let data = body.get(20..).and_then(|rest| rest.get(..size));
        let data = data.ok_or_else(|| broken("a packet is too short"))?;
        let packet = match interface.link {
            RAW_IP => Some(data),
            ETHERNET => ip_in_ethernet(data),
            _ => None,
        };
        let Some((from, to, data)) = packet.and_then(packet::unwrap) else { return Ok(None) };
        let at = u128::from(units) * 1_000_000 / u128::from(interface.per_second);
        let at = u64::try_from(at).unwrap_or(u64::MAX);
        let interface = interface.name.clone();
        Ok(Some(Datagram { at, from, to, interface, data: data.to_vec() }))
    }
}

/// The IP packet in an Ethernet frame, with or without one tag of a VLAN.
fn ip_in_ethernet(frame: &[u8]) -> Option<&[u8]> {
    let kind = |at: usize| frame.get(at..at + 2).map(|it| [it[0], it[1]]);
    let at = if kind(12)? == [0x81, 0x00] { 16 } else { 12 };
    matches!(kind(at)?, [0x08, 0x00] | [0x86, 0xdd]).then(|| &frame[at + 2..])
}

fn broken(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Reads exactly this much. Returns whether it was there.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        result => result.map(|()| true),
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
        for _ in 0..20_000 {
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
        let block = |kind: u32, body: &[u8]| {
            let padded = body.len().next_multiple_of(4);
            let length = (padded as u32 + 12).to_be_bytes();
            let padding = vec![0; padded - body.len()];
            [&kind.to_be_bytes()[..], &length, body, &padding, &length].concat()
        };
        let section =
            block(SECTION, &[&MAGIC.to_be_bytes()[..], &[0, 1, 0, 0], &[255; 8]].concat());
        // Nanoseconds.
        let interface =
            block(INTERFACE, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0]);
        let wanted = datagram(1_500_000, None, b"data");
        let ip = packet::wrap(wanted.from, wanted.to, &wanted.data).unwrap();
        let frame = [&[0; 12][..], &[0x81, 0, 0, 5, 8, 0], &ip].concat();
        let size = (frame.len() as u32).to_be_bytes();
        let time = 1_500_000_000u64.to_be_bytes();
        let packet = block(PACKET, &[&[0; 4][..], &time, &size, &size, &frame].concat());
        let statistics = block(5, &[0; 8]);
        let file = [section, interface, statistics, packet].concat();
        assert_eq!(read(&file).unwrap(), [wanted]);
    }
}
