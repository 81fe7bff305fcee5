//! The JSON object around everything that nodes say to each other.

use crate::jsonscan::{self, Entry, each_entry};
use crate::jstext::{JsText, number_to_text};
use crate::peer::{MAX_ID_BYTES, NodeId};
use crate::stats::DropReason;
use std::borrow::Cow;
use std::fmt::{self, Write};
use std::net::{IpAddr, SocketAddr};

/// What one datagram of a node says. `meta` and `message` stay JSON text.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub id: Id<'a>,
    pub meta: Option<&'a str>,
    pub message: Option<&'a str>,
    pub suicide: bool,
    /// What a Caster node says beyond caster 0.1.1.
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
}

/// Bits of `c`. A peer is never sent what it has not told.
pub(crate) mod capability {
    /// Slim heartbeats and metadata by hash.
    pub const SLIM: u32 = 1;
    /// Messages in pieces.
    pub const PIECES: u32 = 2;
    /// Answers challenges.
    pub const CHALLENGE: u32 = 4;
    /// Proves its leave.
    pub const LEAVE_PROOF: u32 = 8;
}

/// How many probes or corroborations of one datagram are looked at, and sent.
pub(crate) const MAX_NAMES: usize = 32;

/// How many addresses of its own one datagram of a node tells.
pub(crate) const MAX_OWN: usize = 8;

/// 16 hexadecimal digits.
fn hex(text: &str) -> Option<u64> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// 32 hexadecimal digits.
fn hex128(text: &str) -> Option<u128> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl Extension {
    /// Reads it leniently: what is not understood is as good as not there.
    fn parse(text: &str) -> Option<Self> {
        Self::parse_usual(text).or_else(|| Self::parse_any(text))
    }

    /// The heartbeats of a quiet network: three numbers.
    fn parse_usual(text: &str) -> Option<Self> {
        let mut extension = Self::default();
        let mut incarnation = None;
        each_entry(text, |Entry { key, value }| {
            // Neither a sign, nor a fraction, nor anything that is repeated.
            let number = || value.parse().ok().filter(|_| !value.starts_with('+'));
            let (place, number): (&mut Option<u32>, Option<u32>) = match key {
                "\"b\"" => (&mut incarnation, number()),
                "\"h\"" => (&mut extension.interval, number()),
                "\"n\"" => (&mut extension.count, number()),
                _ => return None,
            };
            if place.is_some() || number.is_none() {
                return None;
            }
            *place = number;
            Some(())
        })?;
        extension.incarnation = incarnation?;
        Some(extension)
    }

    fn parse_any(text: &str) -> Option<Self> {
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
        }
        let wire: Wire = serde_json::from_str(text).ok()?;
        let id = |text: &JsText| NodeId::from_js(text).ok();
        let corroborate = |(text, age): &(JsText, u32)| Some((id(text)?, *age));
        Some(Self {
            incarnation: wire.b,
            interval: wire.h,
            count: wire.n,
            hello: wire.a != 0,
            probes: wire.p.iter().take(MAX_NAMES).filter_map(id).collect(),
            corroborations: wire.v.iter().take(MAX_NAMES).filter_map(corroborate).collect(),
            unicast: wire.u != 0,
            known: wire.k.into_iter().take(MAX_NAMES).collect(),
            capabilities: wire.c,
            leave_hash: wire.l.as_deref().and_then(hex),
            leave_secret: wire.s.as_deref().and_then(hex128),
            port: wire.o,
            challenge: wire.t.as_deref().and_then(hex),
            echo: wire.e.as_deref().and_then(hex),
            own: wire.y.into_iter().take(MAX_OWN).collect(),
            refused: wire.d.iter().take(MAX_NAMES).filter_map(corroborate).collect(),
            misreported: wire.x != 0,
        })
    }

    fn write(&self, out: &mut String) {
        let text = |out: &mut String, args: fmt::Arguments<'_>| {
            out.write_fmt(args).expect("writing to a string");
        };
        text(out, format_args!(",\"caster\":{{\"b\":{}", self.incarnation));
        if let Some(interval) = self.interval {
            text(out, format_args!(",\"h\":{interval}"));
        }
        if let Some(count) = self.count {
            text(out, format_args!(",\"n\":{count}"));
        }
        if self.hello {
            out.push_str(",\"a\":1");
        }
        if !self.probes.is_empty() {
            let ids: Vec<&str> = self.probes.iter().map(NodeId::as_json).collect();
            text(out, format_args!(",\"p\":[{}]", ids.join(",")));
        }
        if !self.corroborations.is_empty() {
            let corroborate = |(id, age): &(NodeId, u32)| format!("[{},{age}]", id.as_json());
            let corroborations: Vec<String> = self.corroborations.iter().map(corroborate).collect();
            text(out, format_args!(",\"v\":[{}]", corroborations.join(",")));
        }
        if let Some(capabilities) = self.capabilities {
            text(out, format_args!(",\"c\":{capabilities}"));
        }
        for (key, value) in [('l', self.leave_hash), ('t', self.challenge), ('e', self.echo)] {
            if let Some(value) = value {
                text(out, format_args!(",\"{key}\":\"{value:016x}\""));
            }
        }
        if let Some(secret) = self.leave_secret {
            text(out, format_args!(",\"s\":\"{secret:032x}\""));
        }
        if let Some(port) = self.port {
            text(out, format_args!(",\"o\":{port}"));
        }
        if !self.own.is_empty() {
            let own: Vec<String> = self.own.iter().map(|it| format!("\"{it}\"")).collect();
            text(out, format_args!(",\"y\":[{}]", own.join(",")));
        }
        if !self.refused.is_empty() {
            let refused: Vec<String> =
                self.refused.iter().map(|(id, it)| format!("[{},{it}]", id.as_json())).collect();
            text(out, format_args!(",\"d\":[{}]", refused.join(",")));
        }
        if self.misreported {
            out.push_str(",\"x\":1");
        }
        if self.unicast {
            out.push_str(",\"u\":1");
        }
        if !self.known.is_empty() {
            let known: Vec<String> = self.known.iter().map(|it| format!("\"{it}\"")).collect();
            text(out, format_args!(",\"k\":[{}]", known.join(",")));
        }
        out.push('}');
    }
}

impl<'a> Envelope<'a> {
    /// Reads a JSON text.
    pub fn parse(text: &'a str) -> Result<Self, DropReason> {
        // Of repeated keys the last one counts, as `JSON.parse` has it.
        let (mut id, mut meta, mut message, mut suicide, mut extension) = Default::default();
        let object = each_entry(text, |Entry { key, value }| {
            let place = match key_of(key) {
                Key::Id => &mut id,
                Key::Meta => &mut meta,
                Key::Message => &mut message,
                Key::Suicide => &mut suicide,
                Key::Extension => &mut extension,
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
        Ok(Envelope {
            id: read_id(id.ok_or(DropReason::NoId)?)?,
            meta,
            message,
            suicide: suicide.is_some_and(truthy),
            extension: extension.and_then(Extension::parse),
        })
    }
}

pub(crate) fn heartbeat(id: &NodeId, meta: &str, extension: Option<&Extension>) -> String {
    let mut out = format!(r#"{{"id":{},"meta":{meta}"#, id.as_json());
    if let Some(extension) = extension {
        extension.write(&mut out);
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

pub(crate) fn goodbye(id: &NodeId, extension: Option<&Extension>) -> String {
    let mut out = format!(r#"{{"id":{},"suicide":true"#, id.as_json());
    if let Some(extension) = extension {
        extension.write(&mut out);
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
    let plain = |byte: &u8| (0x20..0x7F).contains(byte) && *byte != b'\\';
    let id = match text.as_bytes()[0] {
        // The usual case: it is in its one form already.
        b'"' if text.len() <= MAX_ID_BYTES + 2 && text.as_bytes().iter().all(plain) => {
            return Ok(Id(text.into()));
        }
        b'"' => serde_json::from_str(text).map_err(|_| DropReason::BadId)?,
        b't' => JsText::from("true"),
        b'[' | b'{' => return Err(DropReason::BadId),
        _ => number_to_text(text.parse().map_err(|_| DropReason::BadId)?).into(),
    };
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
        _ if text.contains('\\') => match serde_json::from_str::<JsText>(text) {
            Ok(name) => match name.to_string().as_str() {
                "id" => Key::Id,
                "meta" => Key::Meta,
                "message" => Key::Message,
                "suicide" => Key::Suicide,
                "caster" => Key::Extension,
                _ => Key::Other,
            },
            Err(_) => Key::Other,
        },
        _ => Key::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        };
        let text = heartbeat(&id("me"), "1", Some(&extension));
        assert_eq!(Envelope::parse(&text).unwrap().extension, Some(extension));
        assert_eq!(
            goodbye(&id("me"), Some(&Extension { incarnation: 7, ..Default::default() })),
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
}
