//! The JSON object around everything that nodes say to each other.

use crate::jsonscan::{self, Entry, each_entry};
use crate::jstext::{JsText, number_to_text};
use crate::peer::{MAX_ID_BYTES, NodeId};
use crate::stats::DropReason;
use std::borrow::Cow;
use std::fmt::{self, Write};
use std::net::{IpAddr, SocketAddr};

/// A datagram without an id and without content. Originals and Caster ignore it.
pub(crate) const NOTHING: &str = r#"{"caster":{}}"#;

/// The content of one datagram of a node. `meta` and `message` stay JSON text.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub id: Id<'a>,
    pub meta: Option<&'a str>,
    pub message: Option<&'a str>,
    pub suicide: bool,
    /// Statements of a Caster node beyond caster 0.1.1.
    pub extension: Option<Extension>,
}

/// An id as the ASCII JSON string in the one form that a [`NodeId`] has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Id<'a>(Cow<'a, str>);

impl Id<'_> {
    pub fn as_json(&self) -> &str {
        &self.0
    }

    pub fn to_node_id(&self) -> NodeId {
        NodeId::from_json_form(&self.0)
    }
}

/// The key `caster` of a heartbeat or leave. docs/wire.md has its meaning; an original ignores it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extension {
    /// `b`: a random number, new each time the node comes up.
    pub incarnation: u32,
    /// `h`: the interval of its heartbeats, in milliseconds.
    pub interval: Option<u32>,
    /// `n`: how many heartbeats it has sent before this one.
    pub count: Option<u32>,
    /// `a`: it has just come up and asks every node to answer.
    pub hello: bool,
    /// `c`: what it understands beyond the first extension; see [`capability`].
    pub capabilities: Option<u32>,
    /// `l`: the first 64 bits of the SHA-256 of the secret that its leave will carry.
    pub leave_hash: Option<u64>,
    /// `s`: in a leave, the secret of which heartbeats carried the hash.
    pub leave_secret: Option<u128>,
    /// `o`: the port of its process for unicast.
    pub port: Option<u16>,
    /// `t`: a token that the receiver is asked to return to the source of this datagram.
    pub challenge: Option<u64>,
    /// `e`: a token that the receiver had sent to this address.
    pub echo: Option<u64>,
    /// `y`: the addresses of the sender's own interfaces.
    pub own: Vec<IpAddr>,
    /// `p`: these peers have fallen silent, or a claim about them is in doubt: they answer, others
    /// corroborate.
    pub probes: Vec<NodeId>,
    /// `v`: these peers were heard this many milliseconds ago.
    pub corroborations: Vec<(NodeId, u32)>,
    /// `d`: the host of these peers refused their port; with their incarnation.
    pub refused: Vec<(NodeId, u32)>,
    /// `x`: a port of this process was said to refuse although the process lives.
    pub misreported: bool,
    /// `u`: it was sent to the receiver alone, which answers in the same way.
    pub unicast: bool,
    /// `k`: addresses of peers that are reached by unicast.
    pub known: Vec<SocketAddr>,
    /// `m`: the first 128 bits of the SHA-256 of its metadata, which does not fit.
    pub meta_hash: Option<u128>,
    /// `g`: metadata with these hashes is asked for.
    pub wanted: Vec<u128>,
}

/// Bits of `c`. A peer is never sent what it has not told.
pub(crate) mod capability {
    /// Takes heartbeats without metadata, and asks for metadata by its hash.
    pub const SLIM: u32 = 1;
    /// Takes messages in pieces, on the data port.
    pub const PIECES: u32 = 2;
    /// Answers challenges.
    pub const CHALLENGE: u32 = 4;
    /// Proves its leave.
    pub const LEAVE_PROOF: u32 = 8;
}

/// How many probes or corroborations of one datagram are looked at, and sent.
pub(crate) const MAX_NAMES: usize = 32;

/// How much metadata one heartbeat asks for.
pub(crate) const MAX_WANTED: usize = 8;

/// How many addresses of its own one datagram of a node tells.
pub(crate) const MAX_OWN: usize = 8;

/// How long an extension is at most. Lists end before they would make it longer, and a longer one is
/// not one of Caster. It holds 32 probes of the longest ids in plain ASCII, and 29 corroborations.
pub(crate) const MAX_EXTENSION: usize = 16_384;

/// The keys of an extension as bits, `a` the lowest.
const KNOWN_KEYS: u32 = {
    let (keys, mut bits, mut at) = (b"abcdeghklmnopstuvxy", 0, 0);
    while at < keys.len() {
        bits |= 1 << (keys[at] - b'a');
        at += 1;
    }
    bits
};

impl Extension {
    /// Reads it leniently: what is not understood is as good as not there.
    fn parse(text: &str) -> Option<Self> {
        let (incarnation, extension) = Self::read(text)?;
        incarnation.map(|incarnation| Self { incarnation, ..extension })
    }

    /// Reads the text of a valid JSON value, and its `b` apart. Reading ends at the first list with more
    /// entries than one of Caster has.
    fn read(text: &str) -> Option<(Option<u32>, Self)> {
        let mut extension = Self::default();
        let mut incarnation = None;
        let mut seen = 0u32;
        let mut reader = Reader { text, at: 0 };
        if text.len() > MAX_EXTENSION || reader.next()? != b'{' {
            return None;
        }
        if reader.peek()? == b'}' {
            return Some((None, extension));
        }
        loop {
            let key = reader.key()?;
            if KNOWN_KEYS & key != 0 {
                if seen & key != 0 {
                    return None;
                }
                seen |= key;
            }
            let all = match key.trailing_zeros() as u8 + b'a' {
                b'b' => {
                    incarnation = Some(reader.number()?);
                    true
                }
                b'h' => reader.optional_number(&mut extension.interval)?,
                b'n' => reader.optional_number(&mut extension.count)?,
                b'c' => reader.optional_number(&mut extension.capabilities)?,
                b'o' => {
                    let mut port = None;
                    reader.optional_number(&mut port)?;
                    extension.port = port.map(u16::try_from).transpose().ok()?;
                    true
                }
                b'a' => reader.flag(&mut extension.hello)?,
                b'u' => reader.flag(&mut extension.unicast)?,
                b'x' => reader.flag(&mut extension.misreported)?,
                b'l' => reader.hex64(&mut extension.leave_hash)?,
                b't' => reader.hex64(&mut extension.challenge)?,
                b'e' => reader.hex64(&mut extension.echo)?,
                b's' => reader.hex(32, &mut extension.leave_secret)?,
                b'm' => reader.hex(32, &mut extension.meta_hash)?,
                b'g' => reader.list(MAX_WANTED, |reader| {
                    let mut hash = None;
                    reader.hex(32, &mut hash)?;
                    extension.wanted.extend(hash);
                    Some(())
                })?,
                b'p' => reader.list(MAX_NAMES, |reader| {
                    extension.probes.extend(reader.id()?);
                    Some(())
                })?,
                b'v' => reader.named_numbers(&mut extension.corroborations)?,
                b'd' => reader.named_numbers(&mut extension.refused)?,
                b'k' => reader.list(MAX_NAMES, |reader| {
                    extension.known.push(reader.text()?.parse().ok()?);
                    Some(())
                })?,
                b'y' => reader.list(MAX_OWN, |reader| {
                    extension.own.push(reader.text()?.parse().ok()?);
                    Some(())
                })?,
                _ => reader.value().is_some(),
            };
            if !all {
                break;
            }
            match reader.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        Some((incarnation, extension))
    }

    /// Appends it. Its lists end before `out` is longer than `room`.
    fn write(&self, out: &mut String, room: usize) {
        out.push_str(",\"caster\":");
        let start = out.len();
        let most = room.saturating_sub(1).min(start + MAX_EXTENSION);
        text(out, format_args!("{{\"b\":{}", self.incarnation));
        for (key, value) in [
            ('h', self.interval),
            ('n', self.count),
            ('a', self.hello.then_some(1)),
            ('c', self.capabilities),
            ('o', self.port.map(u32::from)),
            ('x', self.misreported.then_some(1)),
            ('u', self.unicast.then_some(1)),
        ] {
            if let Some(value) = value {
                text(out, format_args!(",\"{key}\":{value}"));
            }
        }
        for (key, value) in [('l', self.leave_hash), ('t', self.challenge), ('e', self.echo)] {
            if let Some(value) = value {
                text(out, format_args!(",\"{key}\":\"{value:016x}\""));
            }
        }
        for (key, value) in [('s', self.leave_secret), ('m', self.meta_hash)] {
            if let Some(value) = value {
                text(out, format_args!(",\"{key}\":\"{value:032x}\""));
            }
        }
        let mut list = |key, count, entry: &dyn Fn(&mut String, usize)| {
            write_list(out, key, count, most, entry);
        };
        let named_number = |out: &mut String, (id, number): &(NodeId, u32)| {
            text(out, format_args!("[{},{number}]", id.as_json()));
        };
        list('g', self.wanted.len(), &|out, at| {
            text(out, format_args!("\"{:032x}\"", self.wanted[at]))
        });
        list('y', self.own.len(), &|out, at| text(out, format_args!("\"{}\"", self.own[at])));
        list('p', self.probes.len(), &|out, at| out.push_str(self.probes[at].as_json()));
        list('d', self.refused.len(), &|out, at| named_number(out, &self.refused[at]));
        list('v', self.corroborations.len(), &|out, at| {
            named_number(out, &self.corroborations[at]);
        });
        list('k', self.known.len(), &|out, at| text(out, format_args!("\"{}\"", self.known[at])));
        out.push('}');
    }
}

/// Writes to a string, which cannot fail.
fn text(out: &mut String, args: fmt::Arguments<'_>) {
    out.write_fmt(args).expect("writing to a string");
}

/// A list of so many entries, or of as many as fit into `most` bytes.
#[inline(never)]
fn write_list(
    out: &mut String,
    key: char,
    count: usize,
    most: usize,
    entry: &dyn Fn(&mut String, usize),
) {
    let before = out.len();
    for at in 0..count {
        let end = out.len();
        match at {
            0 => text(out, format_args!(",\"{key}\":[")),
            _ => out.push(','),
        }
        entry(out, at);
        // The brackets that are still to come.
        if out.len() + 2 > most {
            out.truncate(end);
            break;
        }
    }
    if out.len() > before {
        out.push(']');
    }
}

/// Reads a JSON text that is known to be valid.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.text.as_bytes().get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// The same, and goes past it.
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// The text of the value that comes next.
    fn value(&mut self) -> Option<&'a str> {
        self.peek()?;
        let end = jsonscan::end_of_value(self.text.as_bytes(), self.at)?;
        let value = self.text.get(self.at..end);
        self.at = end;
        value
    }

    /// Past a key and its colon. A letter gives its bit, anything else one that no letter has.
    fn key(&mut self) -> Option<u32> {
        const OTHER: u32 = 1 << 31;
        if self.peek()? != b'"' {
            return None;
        }
        let bit = |letter: u8| match letter {
            b'a'..=b'z' => 1 << (letter - b'a'),
            _ => OTHER,
        };
        let key = match self.text.as_bytes().get(self.at + 1..self.at + 3)? {
            &[letter, b'"'] if letter != b'\\' => {
                self.at += 3;
                bit(letter)
            }
            _ => {
                let name = plain_text(self.value()?);
                name.filter(|name| name.len() == 1).map_or(OTHER, |name| bit(name.as_bytes()[0]))
            }
        };
        (self.next()? == b':').then_some(key)
    }

    /// An integer from 0 up to 2^32 - 1.
    fn number(&mut self) -> Option<u32> {
        self.peek()?;
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut number = 0u32;
        while let Some(digit) = bytes.get(self.at).filter(|byte| byte.is_ascii_digit()) {
            number = number.checked_mul(10)?.checked_add(u32::from(digit - b'0'))?;
            self.at += 1;
        }
        let ends = !matches!(bytes.get(self.at), Some(b'.' | b'e' | b'E'));
        (self.at > start && ends).then_some(number)
    }

    /// A number, or `null` for none.
    fn optional_number(&mut self, to: &mut Option<u32>) -> Option<bool> {
        *to = match self.peek()? {
            b'n' => self.value().and(None),
            _ => Some(self.number()?),
        };
        Some(true)
    }

    fn flag(&mut self, to: &mut bool) -> Option<bool> {
        *to = u8::try_from(self.number()?).ok()? != 0;
        Some(true)
    }

    fn hex64(&mut self, to: &mut Option<u64>) -> Option<bool> {
        let mut wide = None;
        self.hex(16, &mut wide)?;
        *to = wide.map(|wide| wide as u64);
        Some(true)
    }

    /// A string of so many hexadecimal digits. Another string, or `null`, gives nothing.
    fn hex(&mut self, digits: usize, to: &mut Option<u128>) -> Option<bool> {
        let value = self.value()?;
        if !value.starts_with(['"', 'n']) {
            return None;
        }
        let inside = value.get(1..value.len() - 1).unwrap_or_default();
        let all = inside.len() == digits && inside.bytes().all(|byte| byte.is_ascii_hexdigit());
        *to = all.then(|| u128::from_str_radix(inside, 16).ok()).flatten();
        Some(true)
    }

    /// A short string.
    fn text(&mut self) -> Option<Cow<'a, str>> {
        plain_text(self.value()?)
    }

    /// A string: `Some(None)` if it cannot be an id.
    fn id(&mut self) -> Option<Option<NodeId>> {
        let value = self.value()?;
        value.starts_with('"').then(|| id_of_string(value).ok().map(|id| id.to_node_id()))
    }

    /// A list; `false` if it has more entries, which are not read.
    fn list(&mut self, max: usize, mut entry: impl FnMut(&mut Self) -> Option<()>) -> Option<bool> {
        if self.next()? != b'[' {
            return None;
        }
        if self.peek()? == b']' {
            self.at += 1;
            return Some(true);
        }
        for _ in 0..max {
            entry(self)?;
            match self.next()? {
                b',' => {}
                b']' => return Some(true),
                _ => return None,
            }
        }
        Some(false)
    }

    /// A list of ids, each with a number.
    fn named_numbers(&mut self, to: &mut Vec<(NodeId, u32)>) -> Option<bool> {
        self.list(MAX_NAMES, |reader| {
            let opens = reader.next()? == b'[';
            let id = reader.id()?;
            let separates = reader.next()? == b',';
            let number = reader.number()?;
            let closes = reader.next()? == b']';
            to.extend(id.map(|id| (id, number)));
            (opens && separates && closes).then_some(())
        })
    }
}

/// The longest JSON string that is unescaped to compare it with something short: 64 characters, each
/// written as an escape, and the quotes.
const MAX_ESCAPED: usize = 64 * 6 + 2;

/// The text of a JSON string, if it is short enough to be a key or an address.
fn plain_text(string: &str) -> Option<Cow<'_, str>> {
    let inside = string.strip_prefix('"')?.strip_suffix('"')?;
    match inside.contains('\\') {
        false => Some(inside.into()),
        true if string.len() > MAX_ESCAPED => None,
        true => serde_json::from_str::<String>(string).ok().map(Cow::from),
    }
}

impl<'a> Envelope<'a> {
    /// Reads a JSON text.
    pub fn parse(text: &'a str) -> Result<Self, DropReason> {
        let fields = Fields::of(text)?;
        Ok(Envelope {
            id: read_id(fields.id.ok_or(DropReason::NoId)?)?,
            meta: fields.meta,
            message: fields.message,
            suicide: fields.suicide.is_some_and(truthy),
            extension: fields.extension.and_then(Extension::parse),
        })
    }

    /// Reads a hello without an id, which any program may send to have the group answer. `b` may be
    /// missing, and is 0 then.
    pub fn parse_anonymous_hello(text: &str) -> Option<Extension> {
        let fields = Fields::of(text).ok().filter(|fields| fields.id.is_none())?;
        let (incarnation, extension) = Extension::read(fields.extension?)?;
        let incarnation = incarnation.unwrap_or_default();
        extension.hello.then_some(Extension { incarnation, ..extension })
    }
}

/// The values of the keys that have a meaning, as JSON texts.
#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a str>,
    meta: Option<&'a str>,
    message: Option<&'a str>,
    suicide: Option<&'a str>,
    extension: Option<&'a str>,
}

impl<'a> Fields<'a> {
    /// Of repeated keys the last one counts, as `JSON.parse` has it.
    fn of(text: &'a str) -> Result<Self, DropReason> {
        let mut fields = Self::default();
        let object = each_entry(text, |Entry { key, value }| {
            let place = match key_of(key) {
                Key::Id => &mut fields.id,
                Key::Meta => &mut fields.meta,
                Key::Message => &mut fields.message,
                Key::Suicide => &mut fields.suicide,
                Key::Extension => &mut fields.extension,
                Key::Other => return Some(()),
            };
            *place = Some(value);
            Some(())
        });
        if object.is_none() {
            return Err(match jsonscan::is_valid(text) {
                true => DropReason::NotAnObject,
                false => DropReason::NotJson,
            });
        }
        Ok(fields)
    }
}

/// A heartbeat; without `meta` one that changes no metadata, for nodes that know this one.
pub(crate) fn heartbeat(id: &NodeId, meta: Option<&str>, extension: Option<&Extension>) -> String {
    heartbeat_within(usize::MAX, id, meta, extension)
}

/// The same; its lists end where it has this many bytes.
pub(crate) fn heartbeat_within(
    room: usize,
    id: &NodeId,
    meta: Option<&str>,
    extension: Option<&Extension>,
) -> String {
    let mut out = format!(r#"{{"id":{}"#, id.as_json());
    if let Some(meta) = meta {
        out.push_str(",\"meta\":");
        out.push_str(meta);
    }
    if let Some(extension) = extension {
        extension.write(&mut out, room);
    }
    out.push('}');
    out
}

/// Appends it to `out`. `message` is JSON text; `None` is JavaScript's `undefined`.
pub(crate) fn write_message(out: &mut Vec<u8>, id: &NodeId, message: Option<&str>) {
    out.extend_from_slice(b"{\"id\":");
    out.extend_from_slice(id.as_json().as_bytes());
    if let Some(message) = message {
        out.extend_from_slice(b",\"message\":");
        out.extend_from_slice(message.as_bytes());
    }
    out.push(b'}');
}

pub(crate) fn leave(id: &NodeId, extension: Option<&Extension>) -> String {
    let mut out = format!(r#"{{"id":{},"suicide":true"#, id.as_json());
    if let Some(extension) = extension {
        extension.write(&mut out, usize::MAX);
    }
    out.push('}');
    out
}

/// Truthiness of JavaScript for a valid JSON text.
pub(crate) fn truthy(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'n' | b'f') => false,
        Some(b't' | b'[' | b'{') => true,
        Some(b'"') => text != "\"\"",
        _ => text.parse::<f64>().is_ok_and(|number| number != 0.0),
    }
}

/// The id as a property key of JavaScript, for those kinds of id that are accepted.
fn read_id(text: &str) -> Result<Id<'_>, DropReason> {
    if !truthy(text) {
        return Err(DropReason::NoId);
    }
    let id = match text.as_bytes()[0] {
        // The usual case: it is in its one form already.
        b'"' => return id_of_string(text),
        b't' => JsText::from("true"),
        b'[' | b'{' => return Err(DropReason::BadId),
        _ => number_to_text(text.parse().map_err(|_| DropReason::BadId)?).into(),
    };
    let id = NodeId::from_js(&id).map_err(|_| DropReason::BadId)?;
    Ok(Id(id.as_json().to_owned().into()))
}

/// The same for an id that is a string.
fn id_of_string(text: &str) -> Result<Id<'_>, DropReason> {
    let plain = |byte: &u8| (0x20..0x7F).contains(byte) && *byte != b'\\';
    // The usual case: it is in its one form already.
    if (3..=MAX_ID_BYTES + 2).contains(&text.len()) && text.as_bytes().iter().all(plain) {
        return Ok(Id(text.into()));
    }
    // Each byte of an id takes one escape at most.
    if text.len() > MAX_ID_BYTES * 6 + 2 {
        return Err(DropReason::BadId);
    }
    let id: JsText = serde_json::from_str(text).map_err(|_| DropReason::BadId)?;
    let id = NodeId::from_js(&id).map_err(|_| DropReason::BadId)?;
    Ok(Id(id.as_json().to_owned().into()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Id,
    Meta,
    Message,
    Suicide,
    Extension,
    Other,
}

/// Which key this JSON string is.
fn key_of(text: &str) -> Key {
    match text {
        "\"id\"" => Key::Id,
        "\"meta\"" => Key::Meta,
        "\"message\"" => Key::Message,
        "\"suicide\"" => Key::Suicide,
        "\"caster\"" => Key::Extension,
        // Any character may be written as an escape.
        _ if text.contains('\\') => match plain_text(text).as_deref() {
            Some("id") => Key::Id,
            Some("meta") => Key::Meta,
            Some("message") => Key::Message,
            Some("suicide") => Key::Suicide,
            Some("caster") => Key::Extension,
            _ => Key::Other,
        },
        _ => Key::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::random::Random;

    #[test]
    fn an_extension_reads_back_and_a_broken_one_is_not_there() {
        let id = |text: &str| NodeId::new(text).unwrap();
        let extension = Extension {
            incarnation: u32::MAX,
            interval: Some(1000),
            count: Some(7),
            hello: true,
            probes: vec![id("a"), id("é\"")],
            corroborations: vec![(id("b"), 120)],
            unicast: true,
            known: vec!["10.0.0.1:10101".parse().unwrap(), "[fe80::1]:5".parse().unwrap()],
            capabilities: Some(15),
            leave_hash: Some(0xA1),
            leave_secret: Some(u128::MAX),
            port: Some(21101),
            challenge: Some(u64::MAX),
            echo: Some(0),
            own: vec!["10.0.0.1".parse().unwrap(), "fe80::1".parse().unwrap()],
            refused: vec![(id("z"), 5)],
            misreported: true,
            meta_hash: Some(7),
            wanted: vec![0, u128::MAX],
        };
        let text = heartbeat(&id("me"), Some("1"), Some(&extension));
        assert_eq!(Envelope::parse(&text).unwrap().extension, Some(extension));
        assert_eq!(
            leave(&id("me"), Some(&Extension { incarnation: 7, ..Default::default() })),
            r#"{"id":"me","suicide":true,"caster":{"b":7}}"#
        );
        for broken in ["1", "[]", "{}", r#"{"b":-1}"#, r#"{"b":1,"p":{}}"#, r#"{"b":1,"b":2}"#] {
            let text = format!(r#"{{"id":"a","caster":{broken}}}"#);
            assert_eq!(Envelope::parse(&text).unwrap().extension, None, "{broken}");
        }
    }

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        let text = r#" {"id":"a","id":"b","meta":{"x":[1]} , "message" : null} "#;
        let envelope = Envelope::parse(text).unwrap();
        assert_eq!(envelope.id.to_node_id(), "b");
        assert_eq!(envelope.meta, Some(r#"{"x":[1]}"#));
        assert_eq!(envelope.message, Some("null"));
        assert!(!envelope.suicide);
    }

    #[test]
    fn every_key_may_be_escaped() {
        let escaped = |key: &str| format!("\"\\u{:04x}{}\"", key.as_bytes()[0], &key[1..]);
        for (key, same) in [
            ("id", Key::Id),
            ("meta", Key::Meta),
            ("message", Key::Message),
            ("suicide", Key::Suicide),
            ("caster", Key::Extension),
            ("other", Key::Other),
        ] {
            assert!(key_of(&escaped(key)) == same, "{key}");
        }
    }

    #[test]
    fn keys_may_be_escaped_and_broken() {
        let text = r#"{"\ud800":1,"\u0069d":"a","suicide":"no"}"#;
        let envelope = Envelope::parse(text).unwrap();
        assert_eq!(envelope.id.to_node_id(), "a");
        assert!(envelope.suicide);
    }

    #[test]
    fn each_kind_of_nonsense_has_its_reason() {
        for (text, reason) in [
            ("null", DropReason::NotAnObject),
            ("[]", DropReason::NotAnObject),
            ("{}", DropReason::NoId),
            (r#"{"id":0}"#, DropReason::NoId),
            (r#"{"id":-0.0}"#, DropReason::NoId),
            (r#"{"id":""}"#, DropReason::NoId),
            (r#"{"id":{"toString":1}}"#, DropReason::BadId),
            (r#"{"id":[1,2]}"#, DropReason::BadId),
        ] {
            assert_eq!(Envelope::parse(text).unwrap_err(), reason, "{text}");
        }
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(256));
        assert_eq!(Envelope::parse(&long).unwrap_err(), DropReason::BadId);
    }

    #[test]
    fn numbers_and_true_become_the_key_that_javascript_makes_of_them() {
        for (text, id) in [
            ("5", "5"),
            ("1e-1", "0.1"),
            ("1e21", "1e+21"),
            ("true", "true"),
            ("1e999", "Infinity"),
        ] {
            let text = format!(r#"{{"id":{text}}}"#);
            assert_eq!(Envelope::parse(&text).unwrap().id.to_node_id(), id);
        }
    }

    /// The extension as serde_json reads it, without any bound.
    fn oracle(text: &str) -> Option<Extension> {
        #[derive(serde::Deserialize)]
        struct Wire {
            b: u32,
            h: Option<u32>,
            n: Option<u32>,
            #[serde(default)]
            a: u8,
            #[serde(default)]
            p: Vec<JsText>,
            #[serde(default)]
            v: Vec<(JsText, u32)>,
            #[serde(default)]
            u: u8,
            #[serde(default)]
            k: Vec<SocketAddr>,
            c: Option<u32>,
            l: Option<String>,
            s: Option<String>,
            o: Option<u16>,
            t: Option<String>,
            e: Option<String>,
            #[serde(default)]
            y: Vec<IpAddr>,
            #[serde(default)]
            d: Vec<(JsText, u32)>,
            #[serde(default)]
            x: u8,
            m: Option<String>,
            #[serde(default)]
            g: Vec<Option<JsText>>,
        }
        let hex = |text: Option<String>, digits| {
            let text = text.filter(|text| text.len() == digits && !text.starts_with('+'))?;
            u128::from_str_radix(&text, 16).ok()
        };
        let plain = |text: &JsText| String::from_utf8_lossy(&text.to_utf8()).into_owned();
        let id = |text: &JsText| NodeId::from_js(text).ok();
        let named = |(text, number): &(JsText, u32)| Some((id(text)?, *number));
        let wire: Wire = serde_json::from_str(text).ok()?;
        Some(Extension {
            incarnation: wire.b,
            interval: wire.h,
            count: wire.n,
            hello: wire.a != 0,
            probes: wire.p.iter().filter_map(id).collect(),
            corroborations: wire.v.iter().filter_map(named).collect(),
            unicast: wire.u != 0,
            known: wire.k,
            capabilities: wire.c,
            leave_hash: hex(wire.l, 16).map(|it| it as u64),
            leave_secret: hex(wire.s, 32),
            port: wire.o,
            challenge: hex(wire.t, 16).map(|it| it as u64),
            echo: hex(wire.e, 16).map(|it| it as u64),
            own: wire.y,
            refused: wire.d.iter().filter_map(named).collect(),
            misreported: wire.x != 0,
            meta_hash: hex(wire.m, 32),
            wanted: wire.g.iter().filter_map(|it| hex(it.as_ref().map(plain), 32)).collect(),
        })
    }

    #[test]
    fn reads_an_extension_as_serde_json_does() {
        const KEYS: &[&str] = &[
            "b", "h", "n", "a", "p", "v", "u", "k", "c", "l", "s", "o", "t", "e", "y", "d", "x",
            "m", "g", "z", "bb", "", "\\u0062", "\\u006e",
        ];
        const VALUES: &[&str] = &[
            "0",
            "1",
            "255",
            "256",
            "65535",
            "65536",
            "4294967295",
            "4294967296",
            "99999999999999999999",
            "-0",
            "-1",
            "1.0",
            "1e2",
            "null",
            "true",
            "{}",
            "[]",
            "\"\"",
            "\"00000000000000a1\"",
            "\"0000000000000000000000000000beef\"",
            "\"00000000000000g1\"",
            "\"+000000000000001\"",
            "[\"a\"]",
            "[\"0000000000000000000000000000beef\"]",
            "[null,\"00000000000000000000000000000001\"]",
            "[ \"a\" , \"\\u00e9\" ]",
            "[\"\"]",
            "[\"\\ud800\"]",
            "[1]",
            "[[\"a\",5]]",
            "[[\"a\",5,6]]",
            "[[\"a\"]]",
            "[[5,\"a\"]]",
            "[ [ \"\" , 7 ] , [\"b\", 8 ] ]",
            "[\"10.0.0.1\"]",
            "[\"10.0.0.1:5\",\"[fe80::1]:6\"]",
            "[\"fe80::1\"]",
            "[\"nowhere\"]",
            "[\"1\\u0030.0.0.1\"]",
            "[\"10.0.0.1:5\",]",
            "[null]",
            "[{\"x\":[]}]",
        ];
        let mut random = Random::new(1);
        let mut pick = |from: &[&'static str]| from[random.next() as usize % from.len()];
        let mut read = 0;
        for round in 0..300_000 {
            let mut text = String::from("{");
            for at in 0..round % 5 {
                let (key, value) = match at {
                    0 => ("b", "1"),
                    _ => (pick(KEYS), pick(VALUES)),
                };
                let blank = pick(&["", "", " ", "\n"]);
                text += &format!(
                    "{}{blank}\"{key}\"{blank}:{blank}{value}",
                    [",", ""][usize::from(at == 0)]
                );
            }
            text.push('}');
            if !jsonscan::is_valid(&text) {
                continue;
            }
            let extension = Extension::parse(&text);
            read += usize::from(extension.is_some());
            assert_eq!(extension, oracle(&text), "{text}");
        }
        assert!((50_000..250_000).contains(&read), "{read} were read");
    }

    #[test]
    fn reading_ends_where_a_list_is_longer_than_one_of_ours() {
        let parse = |text: &str| {
            let text = format!("{{\"id\":\"a\",\"caster\":{text}}}");
            Envelope::parse(&text).unwrap().extension
        };
        for (key, entry, max) in [
            ("p", "\"a\"", MAX_NAMES),
            ("v", "[\"a\",1]", MAX_NAMES),
            ("d", "[\"a\",1]", MAX_NAMES),
            ("k", "\"10.0.0.1:1\"", MAX_NAMES),
            ("y", "\"10.0.0.1\"", MAX_OWN),
        ] {
            let counts = |count: usize| {
                let list = vec![entry; count].join(",");
                let extension = parse(&format!("{{\"b\":1,\"{key}\":[{list}],\"u\":1}}")).unwrap();
                let lists = [
                    extension.probes.len(),
                    extension.corroborations.len(),
                    extension.refused.len(),
                    extension.known.len(),
                    extension.own.len(),
                ];
                (lists.iter().sum::<usize>(), extension.unicast)
            };
            assert_eq!(counts(max), (max, true), "{key}");
            assert_eq!(counts(max + 1), (max, false), "{key}");
            assert_eq!(counts(1000), (max, false), "{key}");
        }
        let padded = |blanks| parse(&format!("{{\"b\":1{}}}", " ".repeat(blanks)));
        assert!(padded(MAX_EXTENSION - 7).is_some());
        assert!(padded(MAX_EXTENSION - 6).is_none(), "no extension of Caster is so long");
    }

    #[test]
    fn what_is_written_can_be_read_however_long_the_ids_are() {
        for (letter, whole) in [("x", 61), ("é", 21), ("\u{1}", 10)] {
            let long = |n: usize| {
                let digits = format!("{n:04}");
                NodeId::new(&(digits + &letter.repeat(251 / letter.len()))).unwrap()
            };
            let extension = Extension {
                incarnation: 5,
                probes: (0..MAX_NAMES).map(long).collect(),
                corroborations: (0..MAX_NAMES).map(|n| (long(n), u32::MAX)).collect(),
                leave_hash: Some(1),
                ..Extension::default()
            };
            let text = heartbeat(&long(0), Some("1"), Some(&extension));
            let read = Envelope::parse(&text).unwrap().extension.unwrap();
            let (probes, named) = (read.probes.len(), read.corroborations.len());
            assert_eq!(probes + named, whole, "{letter:?}: {probes} and {named}");
            assert_eq!(read.probes[..], extension.probes[..probes]);
            assert_eq!(read.corroborations[..], extension.corroborations[..named]);
            assert_eq!((read.leave_hash, read.incarnation), (Some(1), 5));
        }
    }

    #[test]
    fn a_hello_needs_no_id() {
        let hello = |text| Envelope::parse_anonymous_hello(text);
        let plain = Extension { hello: true, ..Extension::default() };
        assert_eq!(hello(r#"{"caster":{"a":1}}"#), Some(plain.clone()));
        let told = Extension { incarnation: 7, unicast: true, ..plain };
        assert_eq!(hello(r#" {"x":[],"caster":{"a":1,"b":7,"u":1}}"#), Some(told));
        for other in [
            "1",
            "{}",
            r#"{"caster":{}}"#,
            r#"{"caster":{"b":1}}"#,
            r#"{"caster":{"a":0}}"#,
            r#"{"caster":{"a":1,"b":-1}}"#,
            r#"{"id":"a","caster":{"a":1}}"#,
            r#"{"id":"","caster":{"a":1}}"#,
            r#"{"caster":{"a":1}"#,
        ] {
            assert_eq!(hello(other), None, "{other}");
        }
    }

    #[test]
    fn long_keys_and_ids_of_escapes_are_not_unescaped() {
        let escapes = "\\u0061".repeat(10_000);
        let text =
            format!("{{\"{escapes}\":1,\"id\":\"a\",\"caster\":{{\"b\":1,\"{escapes}\":1}}}}");
        assert!(Envelope::parse(&text).unwrap().extension.is_none());
        let id = |count: usize| format!("{{\"id\":\"{}\"}}", "\\u0061".repeat(count));
        assert!(Envelope::parse(&id(255)).is_ok());
        assert_eq!(Envelope::parse(&id(256)).unwrap_err(), DropReason::BadId);
        assert_eq!(Envelope::parse(&id(10_000)).unwrap_err(), DropReason::BadId);
    }
}
