//! JSON texts: validity, sameness, compact forms, sizes.

use crate::error::{Error, ErrorCode, Result};
use crate::finite::is_finite;
use crate::jsonscan::{self, is_deeper};
use crate::jstext::{JsText, escape_units, number_to_text, push_u_escape};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::ser::{Formatter, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

/// How deep arrays and objects may nest in what a node sends: what every runtime of the original
/// can parse, with room to spare.
pub const MAX_SENT_DEPTH: usize = 64;

/// Whether a program may send `text`: whether it is one JSON text, as `JSON.parse` decides it, and its numbers are
/// finite. The error says where it is not.
pub(crate) fn validate(text: &str) -> serde_json::Result<()> {
    if !jsonscan::is_valid(text) {
        return serde_json::from_str::<IgnoredAny>(text).map(drop);
    }
    match may_be_infinite(text.as_bytes()).then(|| infinite(text)).flatten() {
        None => Ok(()),
        Some(number) => {
            let why = "is beyond the range of a double, of about 1.8e308";
            Err(serde::de::Error::custom(format_args!("the number {number} {why}")))
        }
    }
}

/// A number of fewer digits, and without an exponent, is finite.
const INFINITE_DIGITS: usize = 309;

/// Whether there is an exponent, or a run of so many digits; in a string as well.
fn may_be_infinite(text: &[u8]) -> bool {
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    let is_exponent = |at: usize| at > 0 && is_digit(at - 1);
    memchr::memchr2_iter(b'e', b'E', text).any(is_exponent)
        || (0..text.len()).step_by(INFINITE_DIGITS).any(is_digit)
}

/// The first number of a valid JSON text that is infinite as a double.
fn infinite(text: &str) -> Option<&str> {
    let is_separator = |c| matches!(c, '[' | ']' | '{' | '}' | ',' | ':');
    let is_infinite = |it: &&str| it.parse().is_ok_and(f64::is_infinite);
    let between = tokens(text).filter(|&(_, is_string)| !is_string);
    between.flat_map(|(token, _)| token.split(is_separator)).find(is_infinite)
}

/// Whether two valid JSON texts stand for the same value, as JavaScript sees it: `1` is `1.0`, and
/// the order of members does not matter.
pub(crate) fn is_same(a: &str, b: &str) -> bool {
    fn read<'de, T: serde::Deserialize<'de>>(a: &'de str, b: &'de str) -> Option<(T, T)> {
        Some((serde_json::from_str(a).ok()?, serde_json::from_str(b).ok()?))
    }
    let (a, b) = (a.trim_matches(WHITESPACE), b.trim_matches(WHITESPACE));
    let kind = |text: &str| text.bytes().next().map(|byte| byte.is_ascii_digit() || byte == b'-');
    match a.as_bytes().first() {
        Some(b'{') => read::<BTreeMap<JsText, &RawValue>>(a, b).is_some_and(|(a, b)| {
            let pairs = || a.iter().zip(&b);
            a.len() == b.len() && pairs().all(|(a, b)| a.0 == b.0 && is_same(a.1.get(), b.1.get()))
        }),
        Some(b'[') => read::<Vec<&RawValue>>(a, b).is_some_and(|(a, b)| {
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| is_same(a.get(), b.get()))
        }),
        Some(b'"') => read::<JsText>(a, b).is_some_and(|(a, b)| a == b),
        _ if kind(a) == Some(true) && kind(b) == Some(true) => {
            a.parse::<f64>().is_ok_and(|a| b.parse() == Ok(a))
        }
        _ => a == b,
    }
}

/// A value as compact JSON with numbers written as JavaScript writes them.
pub(crate) fn to_text(value: &(impl Serialize + ?Sized)) -> Result<String> {
    let mut out = Vec::with_capacity(128);
    let invalid = |why: String| Error::new(ErrorCode::InvalidArgument, format!("not JSON: {why}"));
    let mut nulls = false;
    value
        .serialize(&mut Serializer::with_formatter(&mut out, JsNumbers { nulls: &mut nulls }))
        .map_err(|error| invalid(error.to_string()))?;
    if nulls && !is_finite(value) {
        return Err(invalid("a number is NaN or infinite; give a finite number or null".into()));
    }
    Ok(String::from_utf8(out).expect("serde_json writes UTF-8"))
}

/// A valid JSON text as a value, for serialisers of other formats. A string with a lone surrogate has U+FFFD
/// in its place.
pub(crate) fn to_value(text: &str) -> serde_json::Value {
    serde_json::from_str(&compact_raw(text)).unwrap_or_default()
}

struct JsNumbers<'a> {
    /// Whether a `null` was written, which serde_json also writes for NaN and infinities.
    nulls: &'a mut bool,
}

impl Formatter for JsNumbers<'_> {
    fn write_null<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        *self.nulls = true;
        writer.write_all(b"null")
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(number_to_text(value).as_bytes())
    }

    fn write_f32<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        // Through the shortest decimal form, so that 0.1f32 does not become 0.10000000149011612.
        let value = value.to_string().parse().expect("a float reads back");
        self.write_f64(writer, value)
    }
}

/// A valid JSON text without insignificant whitespace, in ASCII.
pub(crate) fn compact(text: &str) -> Cow<'_, str> {
    if jsonscan::is_compact_ascii(text.as_bytes()) {
        return text.into();
    }
    rewrite_compact(text).into()
}

/// The same for a text that is known not to be compact yet.
pub(crate) fn rewrite_compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (token, is_string) in tokens(text) {
        if !is_string || token.is_ascii() {
            out.push_str(token);
            continue;
        }
        for c in token.chars() {
            match c.is_ascii() {
                true => out.push(c),
                false => {
                    c.encode_utf16(&mut [0; 2])
                        .iter()
                        .for_each(|&unit| push_u_escape(unit, &mut out));
                }
            }
        }
    }
    out
}

/// A valid JSON text as the original's `JSON.stringify` and `new Buffer` would have made it:
/// every character that need not be escaped as UTF-8, a lone surrogate as U+FFFD.
pub(crate) fn compact_raw(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (token, is_string) in tokens(text) {
        if !is_string || !token.contains("\\u") {
            out.push_str(token);
            continue;
        }
        let units: JsText = serde_json::from_str(token).expect("a string of a valid text");
        out.push_str(&serde_json::to_string(&units.to_string()).expect("a string is JSON"));
    }
    out
}

/// A JSON object with changes: each member of `changes` takes the place of the one of its name, `null`
/// removes it. `base` may be `null`, for an object without members. The error names what is no object.
pub(crate) fn change_members(
    base: &str,
    changes: &str,
) -> std::result::Result<String, &'static str> {
    let read = |text, what| {
        serde_json::from_str::<Option<BTreeMap<JsText, &RawValue>>>(text).map_err(|_| what)
    };
    let mut members = read(base, "the metadata")?.unwrap_or_default();
    for (name, value) in read(changes, "the change")?.ok_or("the change")? {
        match value.get() {
            "null" => drop(members.remove(&name)),
            _ => drop(members.insert(name, value)),
        }
    }
    let mut out = String::with_capacity(base.len() + changes.len());
    for (name, value) in members {
        out.push_str(if out.is_empty() { "{\"" } else { ",\"" });
        escape_units(name.units().iter().copied(), &mut out);
        out.push_str("\":");
        out.push_str(value.get());
    }
    out.push_str(if out.is_empty() { "{}" } else { "}" });
    Ok(compact(&out).into_owned())
}

/// The strings of a valid JSON text, quotes included, and what is between them without
/// whitespace.
fn tokens(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(WHITESPACE);
        let is_string = rest.starts_with('"');
        let end = match is_string {
            true => 2 + closing_quote(&rest.as_bytes()[1..]),
            false => rest.find(|c| c == '"' || WHITESPACE.contains(&c)).unwrap_or(rest.len()),
        };
        let (token, tail) = rest.split_at(end.min(rest.len()));
        rest = tail;
        (!token.is_empty()).then_some((token, is_string))
    })
}

/// Where the string ends whose inside begins here.
fn closing_quote(inside: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = inside.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if inside[at] == b'"' {
            return at;
        }
        at += 2;
    }
    inside.len()
}

const WHITESPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Checks what a node is to send, `what` being its name.
pub(crate) fn check_depth(text: &str, what: &str) -> Result<()> {
    if !is_deeper(text.as_bytes(), MAX_SENT_DEPTH) {
        return Ok(());
    }
    let text = format!("{what} nests deeper than {MAX_SENT_DEPTH} arrays and objects");
    Err(Error::new(ErrorCode::InvalidArgument, text))
}

/// How many bytes a valid JSON text takes on the wire, at the most; exactly, if it is close to
/// `limit`.
pub(crate) fn wire_size(text: &str, limit: usize) -> usize {
    // ASCII does not grow, and nothing grows more than two bytes that become the six of an escape.
    let most = if text.is_ascii() { text.len() } else { text.len() * 3 };
    if most <= limit { most } else { compact(text).len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_program_are_finite() {
        let digits = |count: usize| "9".repeat(count);
        let inside = |number: &str| format!(r#"[{{"e":"1e999","number":{number}}}, true]"#);
        let long = format!("{}.5", digits(309));
        for text in ["1e309", "-1E+400", "1.5e999", &digits(309), &digits(5000), &long] {
            for text in [text.to_owned(), inside(text)] {
                let error = validate(&text).expect_err(&text).to_string();
                assert!(error.contains("beyond the range of a double"), "{error}");
            }
        }
        let fraction = format!("0.{}", digits(5000));
        let largest = "-1.7976931348623157e308";
        for text in ["1e308", largest, "1e-999", "0e999", &digits(308), &fraction] {
            validate(text).unwrap();
            validate(&inside(text)).unwrap();
        }
        let string = format!(r#""1e999 {}""#, digits(400));
        validate(&string).unwrap();
        assert!(validate("1e").is_err());
    }

    #[test]
    fn equal_values_are_the_same_however_they_are_written() {
        let same = [
            (r#"{"a":1,"b":[true,null]}"#, r#" { "b" : [ true , null ], "a" : 1.0 } "#),
            (r#""\u00e9\/""#, "\"é/\""),
            ("1e2", "100"),
            ("-0.0", "0"),
            (r#""\ud800""#, r#""\uD800""#),
        ];
        for (a, b) in same {
            assert!(is_same(a, b) && is_same(b, a), "{a} {b}");
        }
        for (a, b) in [
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#),
            (r#"{"a":1}"#, r#"{"b":1}"#),
            ("[1]", "[1,1]"),
            ("[1,2]", "[2,1]"),
            ("1", "\"1\""),
            ("null", "false"),
            ("{}", "[]"),
            ("1", "2"),
        ] {
            assert!(!is_same(a, b) && !is_same(b, a), "{a} {b}");
        }
    }

    #[test]
    fn whitespace_goes_and_strings_stay() {
        let text = " { \"a b\" : [ 1 , \"\\\" x\" ] }\n";
        assert_eq!(compact(text), r#"{"a b":[1,"\" x"]}"#);
        assert_eq!(compact("\"é😀\""), r#""\u00e9\ud83d\ude00""#);
        assert_eq!(
            compact_raw(r#"{"\u00e9":"\ud83d\ude00\ud800\u0001\""}"#),
            "{\"é\":\"😀\u{fffd}\\u0001\\\"\"}"
        );
    }

    #[test]
    fn members_change_one_by_one() {
        let base = r#"{"type":"db","load":0.1,"caf\u00e9":[1]}"#;
        let change = |changes: &str| change_members(base, changes).unwrap();
        let same = |changes: &str, after: &str| {
            assert!(is_same(&change(changes), after), "{changes}: {}", change(changes));
        };
        same(r#" { "load" : 0.5 } "#, r#"{"type":"db","load":0.5,"caf\u00e9":[1]}"#);
        same(r#"{"load":null,"café":{"a":null}}"#, r#"{"type":"db","caf\u00e9":{"a":null}}"#);
        same(r#"{"new":"é","new":2,"gone":null}"#, &base.replace("}", r#","new":2}"#));
        same("{}", base);
        assert_eq!(change(r#"{"type":null,"load":null,"caf\u00e9":null}"#), "{}");
        assert_eq!(change_members("null", r#"{"a":"\ud800"}"#).unwrap(), r#"{"a":"\ud800"}"#);
        assert_eq!(change_members("[1]", "{}"), Err("the metadata"));
        for changes in ["null", "[1]", "7"] {
            assert_eq!(change_members(base, changes), Err("the change"));
        }
    }

    #[test]
    fn floats_are_written_as_javascript_writes_them() {
        assert_eq!(to_text(&[1e21, 1e-7, 0.5]).unwrap(), "[1e+21,1e-7,0.5]");
        assert_eq!(to_text(&0.1f32).unwrap(), "0.1");
    }
}
