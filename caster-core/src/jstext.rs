//! Text and numbers as JavaScript sees them.
//!
//! The wire format of caster 0.1.1 is defined by what JavaScript does with strings: secrets and
//! keys are sequences of UTF-16 units that are truncated or encoded, and ids are property keys.

use serde::de::{Deserializer, Visitor};
use std::fmt;

/// A JavaScript string: any sequence of UTF-16 units, lone surrogates included.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct JsText(Vec<u16>);

impl JsText {
    /// From UTF-16 units, paired or not.
    pub fn from_utf16(units: impl Into<Vec<u16>>) -> Self {
        Self(units.into())
    }

    /// From bytes, each of which becomes the unit of the same value: a key that is bytes.
    pub fn from_latin1(bytes: &[u8]) -> Self {
        Self(bytes.iter().map(|&byte| u16::from(byte)).collect())
    }

    /// The low eight bits of every unit: what Node.js calls `binary` or `latin1`.
    pub fn to_latin1(&self) -> Vec<u8> {
        self.0.iter().map(|&unit| unit as u8).collect()
    }

    /// UTF-8, in which each lone surrogate has become U+FFFD.
    #[inline(never)]
    pub fn to_utf8(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// Whether every unit is below U+0080.
    pub fn is_ascii(&self) -> bool {
        self.0.iter().all(|&unit| unit < 0x80)
    }

    /// Whether there are no units at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The UTF-16 units.
    pub fn units(&self) -> &[u16] {
        &self.0
    }
}

impl From<&str> for JsText {
    fn from(text: &str) -> Self {
        Self(text.encode_utf16().collect())
    }
}

impl From<String> for JsText {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl fmt::Display for JsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        char::decode_utf16(self.0.iter().copied())
            .try_for_each(|unit| write!(f, "{}", unit.unwrap_or(char::REPLACEMENT_CHARACTER)))
    }
}

/// Secrets and keys live in this type: it does not show what it holds.
impl fmt::Debug for JsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsText({} units)", self.0.len())
    }
}

/// Reads a JSON string with its lone surrogates, which a `String` could not hold.
impl<'de> serde::Deserialize<'de> for JsText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Wtf8;
        impl Visitor<'_> for Wtf8 {
            type Value = JsText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<JsText, E> {
                Ok(text.into())
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<JsText, E> {
                Ok(JsText(decode_wtf8(bytes)))
            }
        }
        deserializer.deserialize_bytes(Wtf8)
    }
}

/// UTF-16 units of UTF-8 that may also hold encoded lone surrogates, as serde_json writes them
/// into byte strings. `bytes` is well-formed apart from those.
fn decode_wtf8(bytes: &[u8]) -> Vec<u16> {
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let (length, high_bits) = match first {
            0x00..0x80 => (0, u32::from(first)),
            0x80..0xE0 => (1, u32::from(first & 0x1F)),
            0xE0..0xF0 => (2, u32::from(first & 0x0F)),
            0xF0.. => (3, u32::from(first & 0x07)),
        };
        let length = length.min(tail.len());
        let code =
            tail[..length].iter().fold(high_bits, |code, &b| code << 6 | u32::from(b & 0x3F));
        match char::from_u32(code) {
            Some(c) => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            None => units.push(code as u16),
        }
        rest = &tail[length..];
    }
    units
}

/// Appends `text` to `out` as the inside of an ASCII JSON string, in the one form that
/// everything else here compares: short escapes where JSON has them, else `\uxxxx` in lower case.
pub(crate) fn escape_units(units: impl IntoIterator<Item = u16>, out: &mut String) {
    for unit in units {
        match unit {
            0x22 => out.push_str("\\\""),
            0x5C => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x09 => out.push_str("\\t"),
            0x0A => out.push_str("\\n"),
            0x0C => out.push_str("\\f"),
            0x0D => out.push_str("\\r"),
            0x20..0x7F => out.push(unit as u8 as char),
            0x7F => out.push('\u{7f}'),
            _ => push_u_escape(unit, out),
        }
    }
}

pub(crate) fn push_u_escape(unit: u16, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.push(HEX[usize::from(unit >> shift & 0xF)] as char);
    }
}

/// `String(number)` of JavaScript: the shortest digits that give the number back, positional
/// from 1e-6 up to 1e21 and with an exponent outside.
pub fn number_to_text(number: f64) -> String {
    ryu_js::Buffer::new().format(number).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_in_javascript() {
        for (number, text) in [
            (0.1, "0.1"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (-1.5e-9, "-1.5e-9"),
            (5.0, "5"),
            (-0.0, "0"),
            (f64::MAX, "1.7976931348623157e+308"),
            (9007199254740991.0, "9007199254740991"),
            (123456.789, "123456.789"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (-123e-8, "-0.00000123"),
            (999999999999999900000.0, "999999999999999900000"),
            (-2179139703190279.3, "-2179139703190279.2"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(number_to_text(number), text);
        }
    }

    #[test]
    fn numbers_have_the_shortest_digits() {
        let mut bits = 1u64;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let number = f64::from_bits(bits ^ bits >> 29);
            let (small, whole) = (number.rem_euclid(1e6) / 64.0, number.rem_euclid(1e12).round());
            for number in [number, small, whole] {
                if !number.is_finite() || number == 0.0 {
                    continue;
                }
                let (text, expected) = (number_to_text(number), format!("{number:e}"));
                // Of two that are as short and as near, JavaScript takes the even one.
                assert_eq!(text.parse(), Ok(number));
                let digits = |text: &str| {
                    let mantissa = text.split('e').next().unwrap().replace(['-', '.'], "");
                    mantissa.trim_matches('0').len()
                };
                assert_eq!(digits(&text), digits(&expected), "{text} {expected}");
            }
        }
    }

    #[test]
    fn json_strings_keep_lone_surrogates() {
        let text: JsText = serde_json::from_str(r#""aé€\ud83d\ude00\ud800z\udc00""#).unwrap();
        let mut expected: Vec<u16> = "aé€😀".encode_utf16().collect();
        expected.extend([0xD800, 0x7A, 0xDC00]);
        assert_eq!(text.units(), expected);
    }

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        assert_eq!(format!("{:?}", JsText::from("hush")), "JsText(4 units)");
    }
}
