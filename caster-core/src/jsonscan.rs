//! Finds out whether bytes are JSON and where things in it begin and end, without building any of
//! it. It accepts what `JSON.parse` accepts: RFC 8259 with lone surrogates and numbers of any size.

/// Where the value that begins at `at` ends, if there is a valid one. The text has to be
/// UTF-8.
pub(crate) fn end_of_value(text: &[u8], mut at: usize) -> Option<usize> {
    let mut inside = Nesting::default();
    loop {
        at = skip_blanks(text, at);
        // A value, or the bracket that opens one.
        match *text.get(at)? {
            b'"' => at = end_of_string(text, at)?,
            b'{' => {
                at = skip_blanks(text, at + 1);
                if text.get(at) != Some(&b'}') {
                    at = end_of_key(text, at)?;
                    inside.enter(true);
                    continue;
                }
                at += 1;
            }
            b'[' => {
                at = skip_blanks(text, at + 1);
                if text.get(at) != Some(&b']') {
                    inside.enter(false);
                    continue;
                }
                at += 1;
            }
            b't' => at = end_of_word(text, at, b"true")?,
            b'f' => at = end_of_word(text, at, b"false")?,
            b'n' => at = end_of_word(text, at, b"null")?,
            _ => at = end_of_number(text, at)?,
        }
        // The bytes that may come after a value.
        loop {
            let Some(in_object) = inside.innermost() else { return Some(at) };
            at = skip_blanks(text, at);
            match (*text.get(at)?, in_object) {
                (b',', true) => {
                    at = end_of_key(text, skip_blanks(text, at + 1))?;
                    break;
                }
                (b',', false) => {
                    at += 1;
                    break;
                }
                (b'}', true) | (b']', false) => {
                    inside.leave();
                    at += 1;
                }
                _ => return None,
            }
        }
    }
}

/// Whether this is one valid JSON text.
pub(crate) fn is_valid(text: &str) -> bool {
    let text = text.as_bytes();
    end_of_value(text, 0).is_some_and(|end| skip_blanks(text, end) == text.len())
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
                at += 1;
                while text.get(at).is_some_and(|&byte| byte != b'"') {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
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

/// How many there are, in strings or not: in each of eight places of a word, and their sum.
fn opening_brackets(text: &[u8]) -> usize {
    // The two differ in one bit.
    let is_opening = |byte: u8| byte | 0x20 == b'{';
    let in_word = |word: &[u8; 8]| {
        let other = (u64::from_ne_bytes(*word) | (ONES * 0x20)) ^ (ONES * u64::from(b'{'));
        (!(((other & !HIGH) + !HIGH) | other) & HIGH) >> 7
    };
    let (words, rest) = text.as_chunks();
    let in_words = words.chunks(u8::MAX.into()).flat_map(|words| {
        words.iter().fold(0, |counts, word| counts + in_word(word)).to_ne_bytes()
    });
    in_words.map(usize::from).sum::<usize>() + rest.iter().filter(|&&it| is_opening(it)).count()
}

/// Whether a valid text has no blanks outside of its strings and is ASCII.
pub(crate) fn is_compact_ascii(text: &[u8]) -> bool {
    if !text.is_ascii() {
        return false;
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    if memchr::memchr3(b' ', b'\n', b'\t', text).or_else(|| memchr::memchr(b'\r', text)).is_none() {
        return true;
    }
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at = match byte {
            b'"' => match end_of_string(text, at) {
                Some(end) => end,
                None => return false,
            },
            _ if blank(byte) => return false,
            _ => at + 1,
        };
    }
    true
}

/// One entry of an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The key, quotes included.
    pub key: &'a str,
    /// The text of the value.
    pub value: &'a str,
}

/// Iterates over the object that this text is. It ends with `None` if the text is not valid JSON.
struct Entries<'a> {
    text: &'a str,
    at: usize,
    first: bool,
}

impl<'a> Entries<'a> {
    /// `None` if it is something else than an object.
    fn of(text: &'a str) -> Option<Self> {
        let at = skip_blanks(text.as_bytes(), 0);
        text.as_bytes().get(at).filter(|&&byte| byte == b'{')?;
        Some(Self { text, at: at + 1, first: true })
    }

    /// The next entry; `Some(None)` after the last one; `None` if it is not valid from here on.
    fn next(&mut self) -> Option<Option<Entry<'a>>> {
        let bytes = self.text.as_bytes();
        let mut at = skip_blanks(bytes, self.at);
        if *bytes.get(at)? == b'}' {
            let end = skip_blanks(bytes, at + 1);
            return (end == bytes.len()).then_some(None);
        }
        if !self.first {
            if bytes[at] != b',' {
                return None;
            }
            at = skip_blanks(bytes, at + 1);
        }
        let key = at..end_of_string(bytes, at)?;
        let value = skip_blanks(bytes, end_of_key(bytes, at)?);
        let end = end_of_value(bytes, value)?;
        self.first = false;
        self.at = end;
        // A trailing comma is no end.
        let next = skip_blanks(bytes, end);
        if !matches!(bytes.get(next), Some(b',' | b'}')) {
            return None;
        }
        Some(Some(Entry { key: &self.text[key], value: &self.text[value..end] }))
    }
}

/// Gives each entry of the object that this text is to `each`, which ends it with `None`. Returns
/// `None` then, or if the text is not a valid object.
pub(crate) fn each_entry<'a>(
    text: &'a str,
    mut each: impl FnMut(Entry<'a>) -> Option<()>,
) -> Option<()> {
    let mut entries = Entries::of(text)?;
    while let Some(entry) = entries.next()? {
        each(entry)?;
    }
    Some(())
}

/// The arrays and objects around the scanner: a bit for each, set for an object.
#[derive(Default)]
struct Nesting {
    depth: usize,
    bits: u64,
    /// The bits that no longer fit.
    outer: Vec<u64>,
}

impl Nesting {
    fn enter(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(object);
        self.depth += 1;
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.bits >>= 1;
        if self.depth > 0
            && self.depth.is_multiple_of(64)
            && let Some(bits) = self.outer.pop()
        {
            self.bits = bits;
        }
    }

    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.bits & 1 == 1)
    }
}

fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

fn end_of_word(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    text[at..].starts_with(word).then_some(at + word.len())
}

/// Past the key that begins at `at`, and its colon.
fn end_of_key(text: &[u8], at: usize) -> Option<usize> {
    if *text.get(at)? != b'"' {
        return None;
    }
    let colon = skip_blanks(text, end_of_string(text, at)?);
    (*text.get(colon)? == b':').then_some(colon + 1)
}

/// A string is long, in which the end is worth searching for, after so many bytes.
const LONG: usize = 32;

/// Past the string that begins at `at`.
fn end_of_string(text: &[u8], at: usize) -> Option<usize> {
    if *text.get(at)? != b'"' {
        return None;
    }
    let mut at = at + 1;
    loop {
        // Eight plain bytes at a time; what is longer by wider instructions.
        let long = at + LONG;
        while let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk()) {
            let plain = leading_plain(u64::from_le_bytes(*word));
            at += plain;
            if plain < 8 {
                break;
            }
            if at == long {
                at += plain_bytes(&text[at..])?;
                break;
            }
        }
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => {
                at += match *text.get(at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    b'u' if text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
                    _ => return None,
                }
            }
            0..0x20 => return None,
            _ => at += 1,
        }
    }
}

/// How many bytes come before the next quote or backslash; `None` if one of them is a control
/// character.
#[inline(never)]
fn plain_bytes(text: &[u8]) -> Option<usize> {
    let plain = &text[..memchr::memchr2(b'"', b'\\', text)?];
    let (words, rest) = plain.as_chunks();
    let in_words = words.iter().fold(0, |any, word| any | controls(u64::from_ne_bytes(*word)));
    let any_control = in_words != 0 || rest.iter().any(|&byte| byte < 0x20);
    (!any_control).then_some(plain.len())
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Not zero if one of these bytes is a control character. Loops of it are fast without wide instructions,
/// which a library that is optimised for size does not use.
fn controls(bytes: u64) -> u64 {
    bytes.wrapping_sub(ONES * 0x20) & !bytes & HIGH
}

/// How many bytes come before the first quote, backslash or control character, from the lowest on.
fn leading_plain(bytes: u64) -> usize {
    // A byte that is none of them may be taken for one, but only above one that is.
    let zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes & HIGH;
    let quote = zero(bytes ^ (ONES * 0x22));
    let backslash = zero(bytes ^ (ONES * 0x5C));
    ((quote | backslash | controls(bytes)).trailing_zeros() / 8) as usize
}

/// Past the number that begins at `at`.
fn end_of_number(text: &[u8], mut at: usize) -> Option<usize> {
    let digits = |mut at: usize| {
        let start = at;
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        (at > start).then_some(at)
    };
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match text.get(at)? {
        b'0' => at + 1,
        _ => digits(at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = digits(at)?;
    }
    Some(at)
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
    fn a_text_without_an_end_is_not_compact() {
        assert!(is_compact_ascii(br#"{"a b":1}"#) && !is_compact_ascii(br#"{"a b":1 }"#));
        assert!(!is_compact_ascii(br#"{"a b"#));
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
            let entries = Entries::of(&text).and_then(|mut entries| {
                std::iter::from_fn(|| entries.next()).take_while(Option::is_some).count();
                entries.next()
            });
            assert_eq!(entries.is_some(), object, "{text}");
        }
        assert!((200_000..900_000).contains(&valid), "{valid} were valid");
    }

    #[test]
    fn brackets_are_counted_among_all_bytes_at_every_length() {
        let all: Vec<u8> = (0..=255u8).chain(*b"[[{{[{[").cycle().take(5_000).collect();
        let most = vec![b'['; 5_000];
        for length in (0..40).chain(2_030..2_050).chain([5_000]) {
            let naive = all[..length].iter().filter(|&&it| it == b'[' || it == b'{').count();
            assert_eq!(opening_brackets(&all[..length]), naive, "{length}");
            assert_eq!(opening_brackets(&most[..length]), length);
        }
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
        let mut entries = Entries::of(text).unwrap();
        let mut next = || entries.next().unwrap().map(|entry| (entry.key, entry.value));
        assert_eq!(next(), Some(("\"a\"", r#"{"x":[1,2]}"#)));
        assert_eq!(next(), Some(("\"b\"", "\"}\"")));
        assert_eq!(next(), Some(("\"a\"", "1")));
        assert_eq!(next(), None);
        assert!(Entries::of("[]").is_none() && Entries::of("").is_none());
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
            assert_eq!(end_of_value(text.as_bytes(), 0), Some(length + 2));
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
}
