//! `json`: values become JSON text on the wire and back.

use super::stage::{Middleware, Reject};
use crate::error::{Error, ErrorCode, Result};
use crate::jsonscan::{self, is_deeper};
use crate::jsontext::{compact_raw, rewrite_compact};
use crate::message::{DATA_MAGIC, Message, MessageKind, Remote};
use crate::stats::DropReason;

pub use crate::jsontext::MAX_SENT_DEPTH;

/// How deep arrays and objects of a received message may nest. Deeper ones are dropped and
/// counted: some JSON parsers that a program might use end at about a thousand.
pub const MAX_DEPTH: usize = 512;

/// The middleware `json`.
///
/// Outgoing JSON loses its insignificant whitespace and, unless `raw_utf8` is set, every
/// non-ASCII character becomes a `\u` escape: all runtimes of the original parse that to the
/// same value, and its digest does not depend on their era. Bytes pass through untouched.
///
/// Incoming bytes that are valid JSON become JSON; others stay bytes, which is not an error.
#[derive(Debug, Clone, Copy)]
pub struct Json {
    raw_utf8: bool,
    max_depth: usize,
}

impl Default for Json {
    fn default() -> Self {
        Self { raw_utf8: false, max_depth: MAX_DEPTH }
    }
}

impl Json {
    /// ASCII on the wire: the way that works everywhere.
    pub fn new() -> Self {
        Self::default()
    }

    /// Non-ASCII characters go out as UTF-8, exactly as the original sends them. For tests
    /// against recorded bytes; originals of the other digest era reject such messages.
    pub fn raw_utf8() -> Self {
        Self { raw_utf8: true, ..Self::default() }
    }

    pub(crate) fn with(raw_utf8: bool, max_depth: usize) -> Self {
        Self { raw_utf8, max_depth }
    }
}

impl Middleware for Json {
    fn name(&self) -> &str {
        "json"
    }

    fn tx(&self, message: &mut Message) -> Result<(), Error> {
        if message.kind() != MessageKind::Json {
            return Ok(());
        }
        let wire = match message.as_json() {
            _ if !self.raw_utf8 && jsonscan::is_compact_ascii(message.data()) => {
                std::mem::take(message.data_mut())
            }
            Some(text) if self.raw_utf8 => compact_raw(text).into_bytes(),
            Some(text) => rewrite_compact(text).into_bytes(),
            None => return Ok(()),
        };
        message.set_bytes(wire);
        Ok(())
    }

    fn rx(&self, message: &mut Message, _from: &Remote) -> Result<(), Reject> {
        if message.kind() == MessageKind::Json || message.data().starts_with(&DATA_MAGIC) {
            return Ok(());
        }
        let decoded = match std::str::from_utf8(message.data()) {
            Ok(text) if jsonscan::is_valid(text) => None,
            Ok(_) => return Ok(()),
            Err(_) => {
                let text = decode_leniently(message.data());
                if !jsonscan::is_valid(&text) {
                    return Ok(());
                }
                Some(text.into_bytes())
            }
        };
        if is_deeper(message.data(), self.max_depth) {
            let text = format!("the message nests deeper than {}", self.max_depth);
            let error = Error::new(ErrorCode::Middleware, text);
            return Err(Reject { reason: DropReason::TooDeep, error });
        }
        let data = decoded.unwrap_or_else(|| std::mem::take(message.data_mut()));
        message.set_trusted_json(data);
        Ok(())
    }
}

/// UTF-8 with one U+FFFD for every byte that does not belong, as the runtimes of caster 0.1.1 did.
fn decode_leniently(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(bytes: &[u8]) -> Result<Message, Reject> {
        let from = Remote::new(([127, 0, 0, 1], 1).into(), bytes.len());
        let mut message = Message::bytes(bytes);
        Json::new().rx(&mut message, &from).map(|()| message)
    }

    #[test]
    fn what_json_parse_accepts_is_json() {
        for text in ["\"\\ud800\"", "1e999", "[\u{7f}1]", "{\"\\udc00\":1}"] {
            let kind = received(text.as_bytes()).unwrap().kind();
            assert_eq!(kind == MessageKind::Json, text != "[\u{7f}1]", "{text}");
        }
        assert_eq!(received(b"\"\xff\"").unwrap().as_json(), Some("\"\u{fffd}\""));
        let cut = received(b"\"\xf0\x9fA\"").unwrap();
        assert_eq!(cut.as_json(), Some("\"\u{fffd}\u{fffd}A\""));
        assert_eq!(received(b"\xff").unwrap().data(), b"\xff");
    }

    #[test]
    fn deep_json_is_dropped_and_other_bytes_pass_however_many_brackets_they_have() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(received(deep(MAX_DEPTH).as_bytes()).unwrap().kind(), MessageKind::Json);
        let reject = received(deep(MAX_DEPTH + 1).as_bytes()).unwrap_err();
        assert_eq!(reject.reason, DropReason::TooDeep);
        let text = format!("\"{}\"", "[".repeat(2000));
        assert_eq!(received(text.as_bytes()).unwrap().kind(), MessageKind::Json);
        for rest in ["", "(", "}", "\"a"] {
            let text = "[".repeat(2000) + rest;
            assert_eq!(received(text.as_bytes()).unwrap(), Message::bytes(text));
        }
        let text = [
            deep(MAX_DEPTH + 1).replace("[]", "[\"").as_bytes(),
            b"\xff\"",
            &[b']'; MAX_DEPTH + 1],
        ]
        .concat();
        assert_eq!(received(&text).unwrap_err().reason, DropReason::TooDeep);
    }
}
