//! Whether a text is JSON, and the entries of an object with their texts, without building any of it.
//! It accepts what `JSON.parse` accepts: RFC 8259 with lone surrogates and numbers of any size.

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Whether this is one valid JSON text.
pub(crate) fn is_valid(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Whether arrays and objects nest deeper than `limit` in a text that need not be valid.
pub(crate) fn is_deeper(text: &[u8], limit: usize) -> bool {
    if text.len() <= limit || opening_brackets(text) <= limit {
        return false;
    }
    let (mut depth, mut at) = (0usize, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                at = end_of_string(text, at);
                continue;
            }
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    false
}

/// How many there are, in strings or not. Counted in bytes, which wide instructions do fast.
fn opening_brackets(text: &[u8]) -> usize {
    let opening = |byte: u8| u8::from(byte == b'[') + u8::from(byte == b'{');
    let in_chunk = |chunk: &[u8]| chunk.iter().fold(0u8, |count, &byte| count + opening(byte));
    text.chunks(u8::MAX.into()).map(|chunk| usize::from(in_chunk(chunk))).sum()
}

/// Whether a valid text has no blanks outside of its strings and is ASCII.
pub(crate) fn is_compact_ascii(text: &[u8]) -> bool {
    if !text.is_ascii() {
        return false;
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    if !text.iter().fold(false, |any, byte| any | blank(byte)) {
        return true;
    }
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at = match byte {
            b'"' => end_of_string(text, at),
            _ if blank(byte) => return false,
            _ => at + 1,
        };
    }
    true
}

/// Past the string that begins at `at` in a valid text.
fn end_of_string(text: &[u8], mut at: usize) -> usize {
    at += 1;
    while text.get(at).is_some_and(|&byte| byte != b'"') {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Past the value that begins at `at` in a valid text.
pub(crate) fn end_of_value(text: &[u8], mut at: usize) -> usize {
    let mut depth = 0usize;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = end_of_string(text, at) - 1,
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth > 0 => depth -= 1,
            // The bytes that may follow a number or a word.
            b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

/// One entry of an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The key, quotes included.
    pub key: &'a str,
    /// The text of the value.
    pub value: &'a str,
}

/// Gives each entry of the object that this text is to `each`, which ends it with `None`. Returns
/// `None` then, or if the text is not a valid object.
pub(crate) fn each_entry<'a>(
    text: &'a str,
    each: impl FnMut(Entry<'a>) -> Option<()>,
) -> Option<()> {
    struct Entries<F>(F);
    impl<'a, F: FnMut(Entry<'a>) -> Option<()>> Visitor<'a> for Entries<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'a>>(mut self, mut map: M) -> Result<(), M::Error> {
            while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                let entry = Entry { key: key.get(), value: value.get() };
                self.0(entry).ok_or_else(|| M::Error::custom(""))?;
            }
            Ok(())
        }
    }
    let mut text = serde_json::Deserializer::from_str(text);
    text.deserialize_map(Entries(each)).ok()?;
    text.end().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::random::Random;
    use serde::de::IgnoredAny;

    /// serde_json does not accept lone surrogates where it builds strings, but here it builds none.
    fn oracle(text: &str) -> bool {
        serde_json::from_str::<IgnoredAny>(text).is_ok()
    }

    #[test]
    fn accepts_json_and_nothing_else() {
        for text in [
            "1",
            "-0",
            "0.5",
            "1e9",
            "-1.5E-3",
            "1e999",
            " true ",
            "null",
            "\"\"",
            "[]",
            "{}",
            "[1,[2,{}],\"x\"]",
            "{\"a\":{\"b\":[]},\"c\":null}",
            "\"\\ud800\"",
            "\"é\u{7f}\"",
            " { \"a\" : [ 1 , 2 ] } ",
            "\"12345678\\\"1234567890\"",
            "[[[[[[]]]]]]",
        ] {
            assert!(is_valid(text) && oracle(text), "{text}");
        }
        for text in [
            "",
            " ",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "tru",
            "nul",
            "'a'",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "[",
            "[1,]",
            "[,1]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "[1}",
            "{\"a\":1]",
            "1 2",
            "\"\n\"",
            "[1 2]",
            "{\"a\" 1}",
            "\u{b}1",
            "\"12345678\u{1}\"",
            "\"a\" \"b\"",
            "{1:2}",
            "\u{feff}1",
            "nullx",
            "]",
            "}",
            ",",
        ] {
            assert!(!is_valid(text) && !oracle(text), "{text}");
        }
    }

    #[test]
    fn agrees_with_serde_json_on_a_million_mutations() {
        const PARTS: &[&str] = &[
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "1",
            "0",
            "-",
            ".",
            "e",
            "+",
            "true",
            "null",
            "\"id\"",
            "\"a\\u00e9\"",
            " ",
            "\n",
            "é",
            "\u{1f}",
            "\\ud800",
            "1e5",
            "{}",
            "[]",
            "u",
            "x",
        ];
        let seeds = [
            r#"{"id":"node1","meta":{"type":"http","port":8080},"caster":{"b":1,"h":1000}}"#,
            r#"{"id":"node1","message":["a",1.5,null,{"x":[true,false]}]}"#,
            r#"  [ {"a" : "\"\\\/\b\f\n\r\t\u12aB" } , -0.0e+12 ] "#,
        ];
        let mut random = Random::new(1);
        let mut valid = 0;
        for round in 0..1_000_000 {
            let mut text = seeds[round % seeds.len()].to_owned();
            for _ in 0..random.next() % 4 {
                let at = random.next() as usize % (text.len() + 1);
                let at = (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
                let part = PARTS[random.next() as usize % PARTS.len()];
                match random.next() % 3 {
                    0 => text.insert_str(at, part),
                    1 => drop(text.pop()),
                    _ => {
                        let next = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
                        text.replace_range(at..next, part);
                    }
                }
            }
            assert_eq!(is_valid(&text), oracle(&text), "{text}");
            valid += usize::from(is_valid(&text));
            let object = is_valid(&text) && text.trim_start().starts_with('{');
            let entries = each_entry(&text, |_| Some(()));
            assert_eq!(entries.is_some(), object, "{text}");
        }
        assert!((200_000..900_000).contains(&valid), "{valid} were valid");
    }

    #[test]
    fn nests_as_deep_as_it_comes() {
        for depth in [1, 63, 64, 65, 127, 128, 129, 300] {
            for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
                let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                assert!(is_valid(&deep), "{depth} {open}");
                assert!(!is_valid(&deep[..deep.len() - 1]));
                let brackets = depth * open.matches(['[', '{']).count();
                assert!(is_deeper(deep.as_bytes(), brackets - 1), "{depth} {open}");
                assert!(!is_deeper(deep.as_bytes(), brackets));
            }
            let crossed = format!("{}1{}", "[{\"a\":".repeat(depth), "]}".repeat(depth));
            assert!(!is_valid(&crossed));
        }
        assert!(!is_deeper(br#"["[[[[[[[[\"[[[[[[[",1]"#, 1));
    }

    #[test]
    fn entries_are_those_of_the_outer_object() {
        let text = r#" { "a" : {"x":[1,2]} , "b":"}","a":1} "#;
        let mut entries = Vec::new();
        each_entry(text, |entry| {
            entries.push((entry.key, entry.value));
            Some(())
        })
        .unwrap();
        let expected = [("\"a\"", r#"{"x":[1,2]}"#), ("\"b\"", "\"}\""), ("\"a\"", "1")];
        assert_eq!(entries, expected);
        assert!(each_entry("[]", |_| Some(())).is_none() && each_entry("", |_| Some(())).is_none());
    }

    #[test]
    fn blanks_in_strings_are_compact() {
        assert!(is_compact_ascii(r#"{"a b":"c\" d"}"#.as_bytes()));
        assert!(!is_compact_ascii(r#"{"a b": "c"}"#.as_bytes()));
        assert!(!is_compact_ascii(r#"{"é":1}"#.as_bytes()));
    }

    #[test]
    fn long_strings_end_where_short_ones_do() {
        for length in 0..200 {
            let text = format!("\"{}\"", "x".repeat(length));
            assert!(is_valid(&text));
            assert!(!is_valid(&text[..length + 1]));
            for at in 1..=length {
                for (special, valid) in [("\n", false), ("\\", true), ("\"", false), ("é", true)] {
                    let mut other = text.clone();
                    other.replace_range(at..at + 1, special);
                    other.insert(at + special.len(), 'n');
                    assert_eq!(is_valid(&other), valid, "{other}");
                    assert_eq!(is_valid(&other), oracle(&other), "{other}");
                }
            }
        }
    }

    #[test]
    fn a_value_ends_where_its_text_does() {
        for value in
            ["1", "-1.5e3", "true", "\"a\"", "\"]\\\"}\"", "[]", "[[1],{}]", "{\"a]\":[ 1 , 2 ]}"]
        {
            for after in ["", ",", "]", "}", " ", "\n", ",\"x\""] {
                let text = format!("{value}{after}");
                assert_eq!(end_of_value(text.as_bytes(), 0), value.len(), "{text}");
            }
        }
    }
}
