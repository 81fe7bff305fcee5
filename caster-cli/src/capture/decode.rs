//! A datagram in words: its kind, its sender, the check that it fails, and the secret that would fit. Pure.

use super::Datagram;
use crate::show::printable;
use caster_core::middleware::{
    Crypto, CryptoOptions, Hash, HashOptions, Middleware, Secure, SecureOptions, Stage, crypto,
    hash,
};
use caster_core::{JsText, Key, Message, Remote};
use serde_json::{Map, Value, json};

/// The begin of a sealed frame, and of a frame of a message in pieces (docs/wire.md).
const SEALED: [u8; 4] = [0xca, 0x57, 0, 1];
const FRAME: [u8; 2] = [0xca, 0x57];
/// The begin of a datagram that was handed on (docs/wire.md, *Hand-on*).
const HANDED_ON: [u8; 8] = *b"\0caster\x01";

/// A secret or key that is tried on datagrams that fail, by the name under which it is told.
#[derive(Debug, Clone)]
pub enum Candidate {
    Secret(String, String),
    CryptoKey(String, String),
    Key(String, Key),
}

/// One check of the pipeline of this command.
struct Check {
    name: String,
    stage: Box<dyn Middleware>,
}

/// Decodes datagrams as a node with these options would.
pub struct Decoder {
    /// The stages in the order of receiving.
    stages: Vec<Stage>,
    /// Digests and ciphers that are tried on the rest, by name.
    hashes: Vec<Check>,
    ciphers: Vec<Check>,
    seals: Vec<Check>,
}

/// A datagram in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// `heartbeat`, `message`, `leave`, `question`, `piece`, `repair question`, `sealed`, `handed on` or `unknown`.
    pub kind: &'static str,
    pub id: Option<String>,
    /// `Caster`, `caster 0.1.1`, or nothing where it cannot be told.
    pub sender: Option<&'static str>,
    /// The check that it fails, and why.
    pub refused: Option<String>,
    /// The secret or key that would fit, if it fails a check.
    pub fits: Option<String>,
    /// The parts of the extension in words.
    pub notes: Vec<String>,
    /// The JSON text, if it could be read.
    pub payload: Option<String>,
}

impl Decoder {
    /// A decoder with the stages of a node, and with more secrets that are tried on what these refuse. The
    /// well-known secrets of caster 0.1.1 are always tried.
    pub fn new(stages: Vec<Stage>, candidates: &[Candidate]) -> Self {
        let mut decoder = Self {
            stages: stages.into_iter().rev().collect(),
            hashes: Vec::new(),
            ciphers: Vec::new(),
            seals: Vec::new(),
        };
        let default_secret =
            Candidate::Secret("the default secret".into(), hash::DEFAULT_SECRET.into());
        let default_key =
            Candidate::CryptoKey("the default key".into(), crypto::DEFAULT_KEY.into());
        for candidate in [&default_secret, &default_key].into_iter().chain(candidates) {
            decoder.add(candidate);
        }
        decoder
    }

    fn add(&mut self, candidate: &Candidate) {
        match candidate {
            Candidate::Secret(name, secret) => {
                for algorithm in hash::ALGORITHMS {
                    let options = HashOptions {
                        secret: JsText::from(secret.as_str()),
                        algorithm: (*algorithm).to_owned(),
                        ..HashOptions::default()
                    };
                    if let Ok(stage) = Hash::new(&options) {
                        let name = format!("{name} with {algorithm}");
                        self.hashes.push(Check { name, stage: Box::new(stage) });
                    }
                }
            }
            Candidate::CryptoKey(name, key) => {
                for algorithm in crypto::ALGORITHMS {
                    let options = CryptoOptions {
                        key: JsText::from(key.as_str()),
                        algorithm: (*algorithm).to_owned(),
                    };
                    if let Ok(stage) = Crypto::new(&options) {
                        let name = format!("{name} with {algorithm}");
                        self.ciphers.push(Check { name, stage: Box::new(stage) });
                    }
                }
            }
            Candidate::Key(name, key) => {
                let options = SecureOptions { keys: vec![key.clone()], ..SecureOptions::default() };
                if let Ok(stage) = Secure::new(&options) {
                    self.seals.push(Check { name: name.clone(), stage: Box::new(stage) });
                }
            }
        }
    }

    /// The datagram in words.
    pub fn decode(&self, datagram: &Datagram) -> Decoded {
        let data = &datagram.data;
        let remote = Remote::new(datagram.from, data.len());
        if data.starts_with(&HANDED_ON) {
            return unread("handed on", None);
        }
        let mut message = Message::bytes(data.clone());
        let refused = self.stages.iter().find_map(|stage| {
            let Stage::Native(stage) = stage else { return None };
            let reject = stage.rx(&mut message, &remote).err()?;
            Some(format!("{}: {}", stage.name(), reject.error().message()))
        });
        match refused {
            None => read(message.data()).unwrap_or_else(|| {
                unread("unknown", Some("json: the payload is no envelope of a node".into()))
            }),
            Some(refused) => self.explain(data, &remote, refused),
        }
    }

    /// A datagram that fails a check: as far as other secrets make it readable.
    fn explain(&self, data: &[u8], remote: &Remote, refused: String) -> Decoded {
        let with = |decoded: Option<Decoded>, fits: Option<String>| {
            let kind = if data.starts_with(&SEALED) { "sealed" } else { "unknown" };
            let decoded = decoded.unwrap_or_else(|| unread(kind, None));
            Decoded { refused: Some(refused.clone()), fits, ..decoded }
        };
        if data.starts_with(&SEALED) {
            let fitting = self.seals.iter().find_map(|check| check.passes(data, remote));
            return match fitting {
                Some((name, payload)) => with(read(&payload), Some(name)),
                None => with(None, None),
            };
        }
        if let Some(decoded) = read(data) {
            return with(Some(decoded), Some("no secret: the option hash is off there".into()));
        }
        let hashed = |data: &[u8]| {
            let found = self.hashes.iter().find_map(|check| check.passes(data, remote));
            found.map(|(name, payload)| (read(&payload), name))
        };
        if let Some((decoded, name)) = hashed(data) {
            return with(decoded, Some(name));
        }
        for cipher in &self.ciphers {
            let Some((name, clear)) = cipher.passes(data, remote) else { continue };
            if let Some((decoded, hash)) = hashed(&clear) {
                return with(decoded, Some(format!("{name}, and {hash}")));
            }
            if let Some(decoded) = read(&clear) {
                return with(Some(decoded), Some(format!("{name}, and no secret")));
            }
        }
        // The digest of another secret, in front of a payload that is not encrypted.
        let behind = [20, 16, 28, 32, 48, 64].into_iter().filter_map(|size| data.get(size..));
        with(behind.into_iter().find_map(read), None)
    }
}

impl Check {
    /// The name of the check and the payload, if it passes.
    fn passes(&self, data: &[u8], remote: &Remote) -> Option<(String, Vec<u8>)> {
        let mut message = Message::bytes(data.to_vec());
        self.stage.rx(&mut message, remote).ok()?;
        Some((self.name.clone(), message.into_data()))
    }
}

fn unread(kind: &'static str, refused: Option<String>) -> Decoded {
    Decoded { kind, id: None, sender: None, refused, fits: None, notes: Vec::new(), payload: None }
}

/// Reads a payload: the envelope of a node, or a frame.
fn read(payload: &[u8]) -> Option<Decoded> {
    if payload.starts_with(&FRAME) {
        return read_frame(payload);
    }
    let text = String::from_utf8_lossy(payload);
    let value: Map<String, Value> = serde_json::from_str(&text).ok()?;
    let is_true = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
    let extension = value.get("caster").and_then(Value::as_object);
    let id = value.get("id").filter(|id| is_true(id)).map(|id| match id {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let kind = match (&id, extension) {
        (None, Some(extension)) if extension.contains_key("a") => "question",
        (None, Some(_)) => "port question",
        (None, None) => return None,
        _ if value.get("suicide").is_some_and(is_true) => "leave",
        _ if value.contains_key("message") => "message",
        _ => "heartbeat",
    };
    // A message has no extension in either.
    let sender = match (extension, kind) {
        (Some(_), _) => Some("Caster"),
        (None, "message") => None,
        (None, _) => Some("caster 0.1.1"),
    };
    let notes = extension.map(notes).unwrap_or_default();
    Some(Decoded { kind, id, sender, refused: None, fits: None, notes, payload: Some(text.into()) })
}

fn read_frame(frame: &[u8]) -> Option<Decoded> {
    let number = |at: usize| Some(u32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?));
    let kind = match *frame.get(2)? {
        0x10 => "piece",
        0x11 => "repair question",
        _ => return None,
    };
    let piece = u64::from_be_bytes(frame.get(12..20)?.try_into().ok()?);
    let notes = match kind {
        "piece" => vec![format!(
            "incarnation {:08x}, piece {piece}, {} bytes",
            number(4)?,
            frame.len().saturating_sub(24)
        )],
        _ => vec![format!("of incarnation {:08x}", number(20)?)],
    };
    Some(Decoded { sender: Some("Caster"), notes, ..unread(kind, None) })
}

/// The parts of the extension in words.
fn notes(extension: &Map<String, Value>) -> Vec<String> {
    let names = |key: &str| {
        let list = extension.get(key).and_then(Value::as_array)?;
        let name = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Array(pair) => Some(pair.first()?.as_str()?.to_owned()),
            _ => None,
        };
        let names: Vec<String> = list.iter().filter_map(name).collect();
        Some(names.join(", "))
    };
    let has = |key: &str| extension.contains_key(key);
    let lists = [
        ("p", "probes"),
        ("v", "corroborates"),
        ("d", "tells refused ports of"),
        ("k", "introduces"),
    ];
    let flags = [
        ("a", "hello"),
        ("u", "by unicast"),
        ("t", "challenge"),
        ("e", "echo"),
        ("m", "metadata by its hash"),
        ("g", "asks for metadata"),
        ("x", "its port was falsely refused"),
    ];
    let mut notes: Vec<String> = extension
        .get("n")
        .and_then(Value::as_u64)
        .map(|count| format!("count {count}"))
        .into_iter()
        .collect();
    notes.extend(flags.iter().filter(|(key, _)| has(key)).map(|(_, text)| (*text).to_owned()));
    notes.extend(lists.iter().filter_map(|(key, text)| Some(format!("{text} {}", names(key)?))));
    notes
}

impl Decoded {
    /// One line for people.
    pub fn to_line(&self) -> String {
        let mut text = self.kind.to_owned();
        if let Some(id) = &self.id {
            text += &format!(" of {}", printable(id));
        }
        if let Some(sender) = self.sender {
            text += &format!(" ({sender})");
        }
        match (&self.refused, &self.fits) {
            (None, _) => text += ", accepted",
            (Some(why), Some(fits)) => text += &format!(", refused by {why}; it fits {fits}"),
            (Some(why), None) => text += &format!(", refused by {why}"),
        }
        for note in &self.notes {
            text += &format!(", {}", printable(note));
        }
        text
    }

    pub fn to_json(&self) -> Value {
        json!({
            "kind": self.kind,
            "id": self.id,
            "sender": self.sender,
            "accepted": self.refused.is_none(),
            "refused": self.refused,
            "fits": self.fits,
            "notes": self.notes,
            "payload": self.payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caster_core::{Node, Options};

    fn stages(options: &Options) -> Vec<Stage> {
        Node::new(options).unwrap().stages()
    }

    /// The datagram of a payload by a node with these options.
    fn sent(options: &Options, payload: &str) -> Datagram {
        let mut message = Message::json(payload).unwrap();
        for stage in stages(options) {
            let Stage::Native(stage) = stage else { continue };
            stage.tx(&mut message).unwrap();
        }
        Datagram {
            at: 0,
            from: "10.0.0.1:10101".parse().unwrap(),
            to: "224.0.0.42:10101".parse().unwrap(),
            interface: None,
            data: message.into_data(),
        }
    }

    fn plain() -> Options {
        Options::for_node()
    }

    fn decoded(here: &Options, datagram: &Datagram, candidates: &[Candidate]) -> Decoded {
        Decoder::new(stages(here), candidates).decode(datagram)
    }

    const HEARTBEAT: &str =
        r#"{"id":"web","meta":null,"caster":{"b":1,"n":7,"a":1,"p":["x","y"]}}"#;

    #[test]
    fn datagrams_of_the_own_group_are_put_into_words() {
        let words = |payload: &str| decoded(&plain(), &sent(&plain(), payload), &[]).to_line();
        assert_eq!(
            words(HEARTBEAT),
            "heartbeat of web (Caster), accepted, count 7, hello, probes x, y"
        );
        assert_eq!(words(r#"{"id":"old","meta":1}"#), "heartbeat of old (caster 0.1.1), accepted");
        assert_eq!(
            words(r#"{"id":"old","suicide":true}"#),
            "leave of old (caster 0.1.1), accepted"
        );
        assert_eq!(words(r#"{"id":"a\u001b","message":1}"#), "message of a\\u{1b}, accepted");
        assert_eq!(words(r#"{"caster":{"a":1,"b":2}}"#), "question (Caster), accepted, hello");
        assert_eq!(
            words(r#"[1]"#),
            "unknown, refused by json: the payload is no envelope of a node"
        );
    }

    #[test]
    fn the_secret_that_would_fit_is_named() {
        let other = plain().with("hashSecret", "a secret").with("hashAlgorithm", "sha256");
        let refused = |here: &Options, there: &Options, candidates: &[Candidate]| {
            let found = decoded(here, &sent(there, HEARTBEAT), candidates);
            assert_eq!((found.kind, found.refused.is_some()), ("heartbeat", true), "{found:?}");
            found.fits
        };
        assert_eq!(refused(&other, &plain(), &[]).unwrap(), "the default secret with sha1");
        assert_eq!(refused(&plain(), &other, &[]), None);
        let candidate = [Candidate::Secret("office".into(), "a secret".into())];
        assert_eq!(refused(&plain(), &other, &candidate).unwrap(), "office with sha256");
        let bare = plain().with("hash", &false);
        assert!(refused(&plain(), &bare, &[]).unwrap().starts_with("no secret"));
        let encrypted = plain().with("crypto", &true);
        let both = "the default key with aes-256-cbc, and the default secret with sha1";
        assert_eq!(refused(&plain(), &encrypted, &[]).unwrap(), both);
    }

    #[test]
    fn anything_is_decoded_without_a_panic() {
        let decoder = Decoder::new(stages(&plain()), &[]);
        let mut datagram = sent(&plain(), HEARTBEAT);
        let whole = datagram.data.clone();
        for size in 0..whole.len() {
            datagram.data = whole[..size].to_vec();
            assert!(decoder.decode(&datagram).refused.is_some());
        }
        for begin in [&SEALED[..], &FRAME, &HANDED_ON, b"\xca\x57\x10", b"\xca\x57\x11"] {
            for size in 0..80 {
                datagram.data = [begin, &vec![1; size]].concat();
                let _ = decoder.decode(&datagram).to_line();
            }
        }
    }
}
