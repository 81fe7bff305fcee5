//! The sealed frame: its header, and how one is sealed and opened.
//!
//! ```text
//!  0   4  magic CA 57, 00, version 01
//!  4   1  suite; bit 7: signed
//!  5   1  class; bit 7: for one receiver
//!  6   2  reserved: sent as 0, covered by the tag, ignored
//!  8   8  hint: SipHash-1-3 over bytes 16 to 40
//! 16  12  sender
//! 28   4  x
//! 32   8  counter, big-endian, from 1
//! 40   n  the sealed payload
//! ..  16  tag
//! ```

use super::names::{SenderId, TAG};
use super::schedule::Derived;
use super::suite::{Cipher, Suite};
use crate::sha256::sha256;

/// The size of the header.
pub(crate) const HEADER: usize = 40;
/// How many bytes a frame is larger than its payload.
pub(crate) const OVERHEAD: usize = HEADER + TAG;

/// The first four bytes: the magic of all frames, the kind and the version.
const START: [u8; 4] = [0xCA, 0x57, 0, VERSION];
const VERSION: u8 = 1;
/// In the suite: the payload ends with a signature. In the class: the frame is for one receiver.
const FLAG: u8 = 0x80;

/// The content of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Class {
    Data = 0,
    Heartbeat = 1,
    /// Presence that must not be thinned: hello, answer, probe, leave, change of sender.
    Presence = 2,
}

impl Class {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Data, Self::Heartbeat, Self::Presence].into_iter().find(|it| *it as u8 == number)
    }

    /// Whether this is a control datagram and not one of data.
    pub fn is_control(self) -> bool {
        self != Self::Data
    }
}

/// The header of a frame, apart from magic, reserved bytes and hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub suite: Suite,
    /// The payload ends with a signature.
    pub signed: bool,
    pub class: Class,
    /// For one receiver, to whose sender the frame is bound.
    pub for_one: bool,
    pub sender: SenderId,
    /// Random bits of the nonce.
    pub x: u32,
    pub counter: u64,
}

/// Why a datagram is not a frame that can be opened. The difference is for local counters only: nothing
/// that is sent depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// It does not begin as frames do.
    NotSealed,
    /// A version that is not known; it is never guessed.
    Version,
    Suite,
    Class,
    /// Too short, or a counter of zero.
    Content,
}

impl Header {
    /// Reads the header of a datagram. Nothing of it is authentic yet.
    pub fn read(datagram: &[u8]) -> Result<Self, Malformed> {
        match datagram.first_chunk::<4>() {
            Some(start) if *start == START => {}
            Some(start) if start[..3] == START[..3] => return Err(Malformed::Version),
            _ => return Err(Malformed::NotSealed),
        }
        if datagram.len() < OVERHEAD {
            return Err(Malformed::Content);
        }
        let header: &[u8; HEADER] = datagram.first_chunk().ok_or(Malformed::Content)?;
        let counter = u64::from_be_bytes(*header.last_chunk().expect("40 bytes"));
        let (suite, class) = (header[4], header[5]);
        let header = Self {
            suite: Suite::from_number(suite & !FLAG).ok_or(Malformed::Suite)?,
            signed: suite & FLAG != 0,
            class: Class::from_number(class & !FLAG).ok_or(Malformed::Class)?,
            for_one: class & FLAG != 0,
            sender: SenderId(*header[16..].first_chunk().expect("40 bytes")),
            x: u32::from_be_bytes(*header[28..].first_chunk().expect("40 bytes")),
            counter,
        };
        if counter == 0 { Err(Malformed::Content) } else { Ok(header) }
    }

    pub(crate) fn write(&self, key: &Derived) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&START);
        header[4] = self.suite.number() | if self.signed { FLAG } else { 0 };
        header[5] = self.class as u8 | if self.for_one { FLAG } else { 0 };
        header[16..28].copy_from_slice(&self.sender.0);
        header[28..32].copy_from_slice(&self.x.to_be_bytes());
        header[32..].copy_from_slice(&self.counter.to_be_bytes());
        let hint = key.hint(header[16..].first_chunk().expect("24 bytes"));
        header[8..16].copy_from_slice(&hint.to_le_bytes());
        header
    }
}

/// Whether the hint of a datagram is the one of this key and its realm. The datagram has a header.
pub(crate) fn hint_matches(datagram: &[u8], key: &Derived) -> bool {
    let hint: &[u8; 8] = datagram[8..].first_chunk().expect("a header was read");
    let input = datagram[16..].first_chunk().expect("a header was read");
    key.hint(input) == u64::from_le_bytes(*hint)
}

/// The associated data, which the tag covers beside the payload: the header, the receiver and the group. They
/// are four blocks: AES-GCM takes four at once, and for single ones twice the time of a small datagram.
fn associated(header: &[u8; HEADER], to: Option<SenderId>, key: &Derived) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..HEADER].copy_from_slice(header);
    bytes[HEADER..52].copy_from_slice(&to.map_or([0; 12], |to| to.0));
    bytes[52..].copy_from_slice(&key.group);
    bytes
}

/// The digest of all that a signature covers; `payload` has the trailer but for the signature.
pub(crate) fn digest(
    header: &[u8; HEADER],
    to: Option<SenderId>,
    key: &Derived,
    payload: &[u8],
) -> [u8; 32] {
    sha256(&[key.id.as_bytes(), &associated(header, to, key), payload])
}

/// Seals a payload in place: it becomes the whole datagram. `to` is the receiver, if the frame is for one.
pub(crate) fn seal(
    header: &Header,
    to: Option<SenderId>,
    key: &Derived,
    cipher: &dyn Cipher,
    payload: &mut Vec<u8>,
) {
    debug_assert_eq!(header.for_one, to.is_some());
    let head = header.write(key);
    let length = payload.len();
    payload.reserve_exact(OVERHEAD);
    payload.resize(length + HEADER, 0);
    payload.copy_within(..length, HEADER);
    payload[..HEADER].copy_from_slice(&head);
    let nonce = head.last_chunk().expect("40 bytes");
    let tag = cipher.seal(nonce, &associated(&head, to, key), &mut payload[HEADER..]);
    payload.extend_from_slice(&tag);
}

/// Opens a datagram of which [`Header::read`] has read the header: it becomes the payload. Returns
/// `false`, and leaves it as it is, if it was not sealed with this key for this receiver.
pub(crate) fn open(
    datagram: &mut Vec<u8>,
    to: Option<SenderId>,
    key: &Derived,
    cipher: &dyn Cipher,
) -> bool {
    let Some((head, rest)) = datagram.split_first_chunk_mut::<HEADER>() else { return false };
    let Some((payload, tag)) = rest.split_last_chunk_mut::<TAG>() else { return false };
    let nonce = head.last_chunk().expect("40 bytes");
    if !cipher.open(nonce, &associated(head, to, key), payload, tag) {
        return false;
    }
    let length = payload.len();
    datagram.copy_within(HEADER..HEADER + length, 0);
    datagram.truncate(length);
    true
}

#[cfg(test)]
mod tests {
    use super::super::key::Key;
    use super::super::suite::keyed;
    use super::*;

    const ALL: [Suite; 3] = [Suite::AesGcm, Suite::ChaCha, Suite::Hmac];
    const REALM: &str = "plant 7";
    const TO: SenderId = SenderId([9; 12]);

    fn key() -> Key {
        Key::from_text("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap()
    }

    fn header(suite: Suite) -> Header {
        let sender = SenderId(*b"abcdefghijkl");
        let (class, counter) = (Class::Heartbeat, 5);
        Header { suite, signed: false, class, for_one: false, sender, x: 77, counter }
    }

    fn sealed(header: &Header, to: Option<SenderId>, realm: &str, payload: &[u8]) -> Vec<u8> {
        let derived = Derived::new(key().as_bytes(), realm);
        let cipher = keyed(header.suite, &derived.sender_key(header.suite, &header.sender, realm));
        let mut datagram = payload.to_vec();
        seal(header, to, &derived, &*cipher, &mut datagram);
        datagram
    }

    /// As a receiver does it: header, hint, tag.
    fn opened(datagram: &[u8], to: Option<SenderId>, realm: &str) -> Option<(Header, Vec<u8>)> {
        let derived = Derived::new(key().as_bytes(), realm);
        let header = Header::read(datagram).ok()?;
        if !hint_matches(datagram, &derived) {
            return None;
        }
        let cipher = keyed(header.suite, &derived.sender_key(header.suite, &header.sender, realm));
        let mut payload = datagram.to_vec();
        let opens = open(&mut payload, to, &derived, &*cipher);
        if !opens {
            assert_eq!(payload, datagram, "it is as it was");
        }
        opens.then_some((header, payload))
    }

    #[test]
    fn what_is_sealed_opens_in_its_realm_for_its_receiver() {
        for suite in ALL {
            for length in [0, 1, 15, 16, 17, 64, 1200, 9000] {
                let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
                let all = header(suite);
                let datagram = sealed(&all, None, REALM, &payload);
                assert_eq!(datagram.len(), payload.len() + OVERHEAD);
                let readable = datagram[HEADER..].starts_with(&payload);
                assert_eq!(readable, suite == Suite::Hmac || length == 0);
                assert_eq!(opened(&datagram, None, REALM), Some((all, payload.clone())));
                assert_eq!(opened(&datagram, Some(TO), REALM), None);
                for other in ["", "plant 8", "plant 7 "] {
                    assert_eq!(opened(&datagram, None, other), None);
                }
                let one = Header { for_one: true, class: Class::Data, signed: true, ..all };
                let datagram = sealed(&one, Some(TO), "", &payload);
                assert_eq!(opened(&datagram, Some(TO), ""), Some((one, payload)));
                assert_eq!(opened(&datagram, Some(SenderId([8; 12])), ""), None);
                assert_eq!(opened(&datagram, None, ""), None, "a whisper does not open for all");
            }
        }
    }

    #[test]
    fn a_flip_in_any_byte_and_a_cut_at_any_length_do_not_open() {
        for suite in ALL {
            for to in [None, Some(TO)] {
                let header = Header { for_one: to.is_some(), ..header(suite) };
                let datagram = sealed(&header, to, REALM, br#"{"id":"a","caster":{"n":1}}"#);
                for at in 0..datagram.len() {
                    for bit in 0..8 {
                        let mut flipped = datagram.clone();
                        flipped[at] ^= 1 << bit;
                        assert_eq!(opened(&flipped, to, REALM), None, "byte {at}, bit {bit}");
                    }
                    assert_eq!(opened(&datagram[..at], to, REALM), None, "cut at {at}");
                    assert_eq!(opened(&datagram[at + 1..], to, REALM), None);
                }
                for more in [1, 16, 56] {
                    let longer = [&datagram[..], &vec![0; more]].concat();
                    assert_eq!(opened(&longer, to, REALM), None);
                }
            }
        }
    }

    #[test]
    fn the_header_of_one_frame_is_not_for_the_payload_of_another() {
        for suite in ALL {
            let first = sealed(&header(suite), None, REALM, b"first");
            let counter = Header { counter: 6, ..header(suite) };
            let class = Header { class: Class::Data, ..header(suite) };
            let x = Header { x: 78, ..header(suite) };
            let sender = Header { sender: SenderId([3; 12]), ..header(suite) };
            for other in [counter, class, x, sender] {
                let second = sealed(&other, None, REALM, b"other");
                let mixed = [&first[..HEADER], &second[HEADER..]].concat();
                assert_eq!(opened(&mixed, None, REALM), None);
                let mixed = [&second[..HEADER], &first[HEADER..]].concat();
                assert_eq!(opened(&mixed, None, REALM), None);
            }
            // The suite is part of the key of a sender: a tag of one says nothing to another.
            for other in ALL.into_iter().filter(|&other| other != suite) {
                let mut changed = first.clone();
                changed[4] = other.number();
                assert_eq!(opened(&changed, None, REALM), None);
            }
        }
    }

    #[test]
    fn headers_that_are_not_understood_are_told_apart() {
        let datagram = sealed(&header(Suite::AesGcm), None, "", b"");
        assert_eq!(datagram.len(), OVERHEAD);
        let with = |at: usize, value: u8| {
            let mut changed = datagram.clone();
            changed[at] = value;
            Header::read(&changed)
        };
        assert_eq!(with(0, b'{'), Err(Malformed::NotSealed));
        assert_eq!(with(1, 0), Err(Malformed::NotSealed));
        assert_eq!(with(2, 1), Err(Malformed::NotSealed), "another kind of frame");
        for version in (0..=255).filter(|&version| version != 1) {
            assert_eq!(with(3, version), Err(Malformed::Version));
        }
        for suite in (0..=255).filter(|suite| ![1, 2, 3].contains(&(suite & 0x7F))) {
            assert_eq!(with(4, suite), Err(Malformed::Suite));
        }
        for class in (0..=255).filter(|class| class & 0x7F > 2) {
            assert_eq!(with(5, class), Err(Malformed::Class));
        }
        assert!(with(6, 1).is_ok() && with(7, 255).is_ok(), "reserved bytes are ignored");
        assert_eq!(with(39, 0), Err(Malformed::Content), "a counter of zero");
        assert_eq!(Header::read(&datagram[..OVERHEAD - 1]), Err(Malformed::Content));
        assert_eq!(Header::read(&[]), Err(Malformed::NotSealed));
    }
}
