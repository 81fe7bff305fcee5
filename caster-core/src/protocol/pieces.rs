//! Messages in pieces: the header of a frame on the data port, how a message is cut, and what is
//! kept of it for repair.

use super::time::Moment;
use crate::message::{DATA_MAGIC, Message};
use std::collections::VecDeque;
use std::time::Duration;

/// The length of a header.
pub(crate) const HEADER: usize = 24;

/// All pieces of a message but the last have one length, and none of these is shorter: the
/// smallest datagram of [`SMALLEST_DATAGRAM`](super::limits::SMALLEST_DATAGRAM) bytes carries more.
pub(crate) const MIN_PIECE: usize = 256;

/// How many ranges of missing pieces one NACK names.
pub(crate) const MAX_RANGES: usize = 32;

/// How long a message is kept for repair: as long as a receiver waits for the rest of it.
pub(crate) const KEPT: Duration = Duration::from_secs(1);

/// How many bytes are kept for repair; the oldest message goes first.
const MAX_KEPT: usize = 8 << 20;

/// A piece is repaired once in this time: several receivers may have lost it and ask at once.
const REPAIR_AGAIN: Duration = Duration::from_millis(5);

/// The stream of messages to all, and the stream of metadata.
pub(crate) const MESSAGES: u32 = 0;
pub(crate) const METADATA: u32 = 1;
pub(crate) const STREAMS: usize = 2;

const VERSION: u8 = 1;
const FIRST: u8 = 1;
const LAST: u8 = 2;
const JSON: u8 = 4;
const RANGE: usize = 12;

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A piece of a message.
    Data,
    /// A question for missing pieces.
    Nack,
}

/// The header of a frame. docs/wire.md has its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub kind: Kind,
    pub first: bool,
    pub last: bool,
    pub json: bool,
    /// The incarnation of the sender of the frame.
    pub incarnation: u32,
    pub stream: u32,
    /// The number of the piece in its stream.
    pub sequence: u64,
    /// In a first piece the length of the whole, in the others the offset; in a NACK the
    /// incarnation that is asked.
    pub auxiliary: u32,
}

/// Numbers of pieces, the end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    pub first: u64,
    pub end: u64,
}

impl Header {
    /// Splits a frame into header and body. `None` if it is not one that this version knows.
    pub fn read(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (header, body) = frame.split_first_chunk::<HEADER>()?;
        let [m0, m1, version_kind, flags, rest @ ..] = header;
        if [*m0, *m1] != DATA_MAGIC || version_kind >> 4 != VERSION {
            return None;
        }
        let kind = match version_kind & 0xF {
            0 => Kind::Data,
            1 => Kind::Nack,
            _ => return None,
        };
        let u32_at = |at: usize| {
            rest[at..at + 4].iter().fold(0u32, |number, &byte| number << 8 | u32::from(byte))
        };
        let sequence = u64::from(u32_at(8)) << 32 | u64::from(u32_at(12));
        let header = Self {
            kind,
            first: flags & FIRST != 0,
            last: flags & LAST != 0,
            json: flags & JSON != 0,
            incarnation: u32_at(0),
            stream: u32_at(4),
            sequence,
            auxiliary: u32_at(16),
        };
        Some((header, body))
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        let kind = match self.kind {
            Kind::Data => 0,
            Kind::Nack => 1,
        };
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let flags = flag(self.first, FIRST) | flag(self.last, LAST) | flag(self.json, JSON);
        out.extend_from_slice(&DATA_MAGIC);
        out.extend_from_slice(&[VERSION << 4 | kind, flags]);
        out.extend_from_slice(&self.incarnation.to_be_bytes());
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.auxiliary.to_be_bytes());
    }
}

/// A question of `incarnation` for pieces that `asked` has sent.
pub(crate) fn nack(incarnation: u32, asked: u32, stream: u32, ranges: &[Missing]) -> Message {
    let header = Header {
        kind: Kind::Nack,
        first: false,
        last: false,
        json: false,
        incarnation,
        stream,
        sequence: 0,
        auxiliary: asked,
    };
    let mut frame = Vec::with_capacity(HEADER + RANGE * ranges.len());
    header.write(&mut frame);
    for range in &ranges[..ranges.len().min(MAX_RANGES)] {
        let count = u32::try_from(range.end - range.first).unwrap_or(u32::MAX);
        frame.extend_from_slice(&range.first.to_be_bytes());
        frame.extend_from_slice(&count.to_be_bytes());
    }
    Message::bytes(frame)
}

/// The ranges of a NACK. `None` if it has too many, or half of one.
pub(crate) fn ranges(body: &[u8]) -> Option<Vec<Missing>> {
    let (ranges, []) = body.as_chunks::<RANGE>() else { return None };
    if ranges.len() > MAX_RANGES {
        return None;
    }
    let range = |bytes: &[u8; RANGE]| {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |all, &byte| all << 8 | u64::from(byte));
        let first = number(&bytes[..8]);
        Missing { first, end: first.saturating_add(number(&bytes[8..])) }
    };
    Some(ranges.iter().map(range).collect())
}

/// The messages of one incarnation that were sent in pieces.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// The number of the next piece of each stream.
    next: [u64; STREAMS],
    kept: VecDeque<Kept>,
    bytes: usize,
    pub pieces_sent: u64,
    pub repairs_sent: u64,
}

/// A message that may be asked for.
#[derive(Debug)]
struct Kept {
    until: Duration,
    stream: u32,
    first: u64,
    piece: usize,
    text: Vec<u8>,
    /// How many bytes of repair are left: in all no more than the message itself.
    budget: usize,
    /// When each piece was last repaired; empty before the first repair.
    repaired: Vec<Option<Moment>>,
}

impl Kept {
    fn pieces(&self) -> usize {
        self.text.len().div_ceil(self.piece)
    }

    fn frame(&self, incarnation: u32, index: usize) -> Message {
        let offset = index * self.piece;
        let end = self.text.len().min(offset + self.piece);
        let first = index == 0;
        let auxiliary = if first { self.text.len() } else { offset };
        let header = Header {
            kind: Kind::Data,
            first,
            last: end == self.text.len(),
            json: true,
            incarnation,
            stream: self.stream,
            sequence: self.first + index as u64,
            auxiliary: auxiliary as u32,
        };
        let mut frame = Vec::with_capacity(HEADER + end - offset);
        header.write(&mut frame);
        frame.extend_from_slice(&self.text[offset..end]);
        Message::bytes(frame)
    }
}

impl Outbox {
    /// Another incarnation begins.
    pub fn restart(&mut self) {
        *self = Self {
            pieces_sent: self.pieces_sent,
            repairs_sent: self.repairs_sent,
            ..Self::default()
        };
    }

    /// Cuts a JSON text into frames of up to `room` bytes each, and keeps it for repair.
    pub fn cut(
        &mut self,
        text: Vec<u8>,
        stream: u32,
        incarnation: u32,
        room: usize,
        now: Duration,
    ) -> Vec<Message> {
        self.expire(now);
        let piece = room.saturating_sub(HEADER).max(MIN_PIECE);
        let next = &mut self.next[stream as usize % STREAMS];
        let budget = text.len();
        let kept = Kept {
            until: now + KEPT,
            stream,
            first: *next,
            piece,
            text,
            budget,
            repaired: Vec::new(),
        };
        *next += kept.pieces() as u64;
        let frames: Vec<Message> =
            (0..kept.pieces()).map(|index| kept.frame(incarnation, index)).collect();
        self.pieces_sent += frames.len() as u64;
        self.bytes += kept.text.len();
        self.kept.push_back(kept);
        while self.bytes > MAX_KEPT {
            self.forget_first();
        }
        frames
    }

    /// The pieces that a receiver has asked for, as far as they are kept and the budget of their
    /// message allows.
    pub fn repair(
        &mut self,
        stream: u32,
        ranges: &[Missing],
        incarnation: u32,
        now: Duration,
    ) -> Vec<Message> {
        self.expire(now);
        let mut frames = Vec::new();
        for kept in self.kept.iter_mut().filter(|kept| kept.stream == stream) {
            let end = kept.first + kept.pieces() as u64;
            for range in ranges {
                for sequence in range.first.max(kept.first)..range.end.min(end) {
                    let index = (sequence - kept.first) as usize;
                    let length = kept.piece.min(kept.text.len() - index * kept.piece);
                    kept.repaired.resize(kept.text.len().div_ceil(kept.piece), None);
                    let last = &mut kept.repaired[index];
                    let is_done = last.is_some_and(|last| now < last.time() + REPAIR_AGAIN);
                    if is_done || length > kept.budget {
                        continue;
                    }
                    *last = Some(now.into());
                    kept.budget -= length;
                    frames.push(kept.frame(incarnation, index));
                }
            }
        }
        self.repairs_sent += frames.len() as u64;
        frames
    }

    fn expire(&mut self, now: Duration) {
        while self.kept.front().is_some_and(|kept| kept.until <= now) {
            self.forget_first();
        }
        if self.kept.is_empty() {
            self.kept.shrink_to_fit();
        }
    }

    fn forget_first(&mut self) {
        if let Some(kept) = self.kept.pop_front() {
            self.bytes -= kept.text.len();
        }
    }

    /// When something that is kept may be forgotten.
    pub fn next_due(&self) -> Option<Duration> {
        self.kept.front().map(|kept| kept.until)
    }

    /// Forgets what is no longer repaired.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.next_due().is_some_and(|due| due <= now) {
            self.expire(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(5);

    fn header() -> Header {
        Header {
            kind: Kind::Data,
            first: true,
            last: false,
            json: true,
            incarnation: 0x0102_0304,
            stream: 5,
            sequence: 0x1122_3344_5566_7788,
            auxiliary: 60_000,
        }
    }

    fn sequences(frames: &[Message]) -> Vec<u64> {
        frames.iter().map(|frame| Header::read(frame.data()).unwrap().0.sequence).collect()
    }

    #[test]
    fn a_header_has_the_bytes_of_the_documentation_and_is_read_again() {
        let mut frame = Vec::new();
        header().write(&mut frame);
        let expected =
            [0xCA, 0x57, 0x10, 0x05, 1, 2, 3, 4, 0, 0, 0, 5, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66];
        assert_eq!(frame[..18], expected);
        assert_eq!(frame[18..], [0x77, 0x88, 0, 0, 0xEA, 0x60]);
        frame.extend_from_slice(b"body");
        assert_eq!(Header::read(&frame), Some((header(), &b"body"[..])));
        let nack = Header { kind: Kind::Nack, first: false, last: true, ..header() };
        let mut frame = Vec::new();
        nack.write(&mut frame);
        assert_eq!(Header::read(&frame), Some((nack, &b""[..])));
    }

    #[test]
    fn another_magic_version_or_kind_and_half_a_header_are_no_frame() {
        let mut frame = Vec::new();
        header().write(&mut frame);
        for (at, byte) in [(0, 0xCB), (1, 0), (2, 0x20), (2, 0x00), (2, 0x12)] {
            let mut other = frame.clone();
            other[at] = byte;
            assert_eq!(Header::read(&other), None, "{byte:x} at {at}");
        }
        for length in 0..HEADER {
            assert_eq!(Header::read(&frame[..length]), None);
        }
    }

    #[test]
    fn the_ranges_of_a_nack_are_read_again_and_are_32_at_most() {
        let all: Vec<Missing> =
            (0..40).map(|n| Missing { first: 10 * n, end: 10 * n + 3 }).collect();
        let frame = nack(1, 2, MESSAGES, &all);
        let (header, body) = Header::read(frame.data()).unwrap();
        assert_eq!((header.kind, header.incarnation, header.auxiliary), (Kind::Nack, 1, 2));
        assert_eq!(ranges(body).unwrap(), all[..MAX_RANGES]);
        assert_eq!(ranges(&body[1..]), None, "half a range");
        assert_eq!(ranges(&[body, body].concat()), None, "too many");
        let last = [&u64::MAX.to_be_bytes()[..], &u32::MAX.to_be_bytes()].concat();
        assert_eq!(ranges(&last).unwrap(), [Missing { first: u64::MAX, end: u64::MAX }]);
    }

    #[test]
    fn a_message_is_cut_into_pieces_of_one_length_and_a_rest() {
        let mut outbox = Outbox::default();
        let text: Vec<u8> = (0..2500).map(|n| b'a' + (n % 26) as u8).collect();
        let frames = outbox.cut(text.clone(), MESSAGES, 7, 1024, NOW);
        assert_eq!(sequences(&frames), [0, 1, 2]);
        let mut whole = Vec::new();
        for (at, frame) in frames.iter().enumerate() {
            assert!(frame.data().len() <= 1024);
            let (header, body) = Header::read(frame.data()).unwrap();
            assert_eq!((header.first, header.last), (at == 0, at == 2));
            let auxiliary = if at == 0 { 2500 } else { whole.len() as u32 };
            assert_eq!((header.auxiliary, header.incarnation), (auxiliary, 7));
            whole.extend_from_slice(body);
        }
        assert_eq!(whole, text);
        let next = outbox.cut(vec![b'1'; 1000], MESSAGES, 7, 1024, NOW);
        assert_eq!(sequences(&next), [3], "the numbers go on");
        assert_eq!(sequences(&outbox.cut(vec![b'1'; 10], METADATA, 7, 1024, NOW)), [0]);
    }

    #[test]
    fn what_is_asked_for_is_sent_again_while_it_is_kept() {
        let mut outbox = Outbox::default();
        outbox.cut(vec![b'1'; 10_000], MESSAGES, 7, 1024, NOW);
        outbox.cut(vec![b'1'; 10_000], METADATA, 7, 1024, NOW);
        let ask = [Missing { first: 2, end: 4 }, Missing { first: 9, end: u64::MAX }];
        let repair = |outbox: &mut Outbox, now| outbox.repair(MESSAGES, &ask, 7, now);
        assert_eq!(sequences(&repair(&mut outbox, NOW)), [2, 3, 9]);
        assert!(repair(&mut outbox, NOW).is_empty(), "another receiver asked just now");
        assert_eq!(sequences(&repair(&mut outbox, NOW + REPAIR_AGAIN)), [2, 3, 9]);
        assert!(repair(&mut outbox, NOW + KEPT).is_empty(), "it is forgotten");
        assert_eq!(outbox.bytes, 0);
        assert_eq!((outbox.pieces_sent, outbox.repairs_sent), (20, 6));
    }

    #[test]
    fn repair_takes_no_more_than_the_message_however_often_it_is_asked() {
        let mut outbox = Outbox::default();
        outbox.cut(vec![b'1'; 10_000], MESSAGES, 7, 1024, NOW);
        let all = vec![Missing { first: 0, end: u64::MAX }; MAX_RANGES];
        let mut bytes = 0;
        for n in 0..100 {
            let frames = outbox.repair(MESSAGES, &all, 7, NOW + REPAIR_AGAIN * n);
            bytes += frames.iter().map(|frame| frame.data().len() - HEADER).sum::<usize>();
        }
        assert_eq!(bytes, 10_000);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut outbox = Outbox::default();
        for _ in 0..200 {
            outbox.cut(vec![b'1'; 65_000], MESSAGES, 7, 1400, NOW);
            assert!(outbox.bytes <= MAX_KEPT);
        }
        assert_eq!(outbox.kept.len(), MAX_KEPT / 65_000);
    }
}
