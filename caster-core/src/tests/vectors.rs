//! The golden vectors of caster 0.1.1 (tests/vectors/README.md) against this core.

use crate::jstext::{JsText, escape_units, number_to_text};
use crate::message::{Message, Remote};
use crate::middleware::pipeline::Pipeline;
use crate::middleware::stage::Walk;
use crate::middleware::{
    Crypto, CryptoOptions, Hash, HashEra, HashOptions, Json, Stage, crypto, hash,
};
use crate::node::built_in_stages;
use crate::options::{Dialect, Options};
use crate::protocol::engine::Engine;
use crate::protocol::envelope;
use crate::protocol::event::Event;
use crate::protocol::output::Output;
use crate::protocol::time::Now;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::time::Duration;

const VECTORS: &str = include_str!("../../../tests/vectors/vectors.json");

/// Cases about JavaScript values; the Node.js binding runs them.
const JS_TAGS: &[&str] = &["serializer", "js-only", "js-values"];

/// Cases in which Caster does otherwise than 0.1.1 on purpose: the name, the steps that it
/// takes instead, and why.
const DECIDED: &[(&str, &str, &str)] = &[
    ("node_rx/id/true", AS_TEXT, "numbers and true are coerced to text as JavaScript does"),
    ("node_rx/id/1.5", AS_TEXT, "numbers and true are coerced to text as JavaScript does"),
    ("node_rx/id/1e21", AS_TEXT, "numbers and true are coerced to text as JavaScript does"),
    ("node_rx/id_float_key", AS_TEXT, "numbers and true are coerced to text as JavaScript does"),
    ("node_rx/id/{\"a\":1}", DROPPED, "an id that is an object is dropped"),
    ("node_rx/id/{}", DROPPED, "an id that is an object is dropped"),
    ("node_rx/id/[1,2]", DROPPED, "an id that is an array is dropped"),
    ("node_rx/id/[]", DROPPED, "an id that is an array is dropped"),
    ("node_rx/id_object_key", DROPPED, "an id that is an object is dropped"),
    ("node_rx/id/\"xxxxxxxxxxxxxxxxxxxxxxx", DROPPED, "an id is at most 255 bytes long"),
    ("node_rx/goodbye_unknown_with_message", DROPPED, "a leave of an unknown node is dropped"),
    ("node_tx/heartbeat/id_number", AS_TEXT, "an id on the wire is always text"),
    ("node_tx/heartbeat/id_float", AS_TEXT, "an id on the wire is always text"),
    ("node_tx/heartbeat/id_true", AS_TEXT, "an id on the wire is always text"),
    ("node_tx/send/id_number", AS_TEXT, "an id on the wire is always text"),
    ("node_tx/down/id_number", AS_TEXT, "an id on the wire is always text"),
    ("node_tx/heartbeat/id_object", REFUSED, "an id that is an object is refused"),
];
const AS_TEXT: &str = "the id becomes text";
const DROPPED: &str = "the datagrams of that id have no effect";
const REFUSED: &str = "the node is not created";

fn decided(name: &str) -> Option<&'static str> {
    DECIDED.iter().find(|(decided, ..)| *decided == name).map(|(_, outcome, _)| *outcome)
}

#[test]
fn every_vector_passes_or_is_listed_with_its_reason() {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let mut failures = Vec::new();
    let (mut passed, mut refused, mut for_javascript) = (0, 0, 0);
    let mut unused: Vec<&str> = DECIDED.iter().map(|(name, ..)| *name).collect();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        unused.retain(|unused| *unused != name);
        if has_tag(case, JS_TAGS) {
            for_javascript += 1;
            continue;
        }
        let outcome = match case["kind"].as_str().unwrap() {
            _ if uses_refused_algorithm(case) => {
                refused += 1;
                stages(case, HashEra::Auto).err().map(drop).ok_or("not refused".into())
            }
            "tx" => tx(case),
            "rx" => rx(case),
            "node_tx" => node_tx(case, name),
            "node_rx" => node_rx(case, name),
            other => Err(format!("unknown kind {other}")),
        };
        match outcome {
            Ok(()) => passed += 1,
            Err(why) => failures.push(format!("{name}: {why}")),
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    assert!(unused.is_empty(), "listed but not there: {unused:?}");
    // The number of vectors must not shrink unnoticed.
    assert_eq!((cases.len(), passed, refused, for_javascript), (568, 552, 30, 16));
}

fn has_tag(case: &Value, tags: &[&str]) -> bool {
    case["tags"].as_array().unwrap().iter().any(|tag| tags.contains(&tag.as_str().unwrap()))
}

fn uses_refused_algorithm(case: &Value) -> bool {
    let algorithm = |stage: &str| case["options"][stage]["algorithm"].as_str();
    algorithm("hash").is_some_and(|name| hash::find_algorithm(name).is_err())
        || algorithm("crypto").is_some_and(|name| crypto::find_algorithm(name).is_err())
}

fn bytes(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap()
}

fn text_option(value: &Value) -> JsText {
    match value {
        Value::Null => JsText::default(),
        Value::String(text) => text.as_str().into(),
        value if value.get("utf16").is_some() => {
            let units: Vec<u16> = serde_json::from_value(value["utf16"].clone()).unwrap();
            JsText::from_utf16(units)
        }
        value if value.get("buffer_base64").is_some() => {
            JsText::from_latin1(&bytes(&value["buffer_base64"]))
        }
        value => panic!("an option that is {value}"),
    }
}

fn stages(case: &Value, era: HashEra) -> crate::Result<Pipeline> {
    let mut pipeline = Pipeline::default();
    for stage in case["chain"].as_array().unwrap() {
        let options = &case["options"][stage.as_str().unwrap()];
        let algorithm = options["algorithm"].as_str().unwrap_or_default().to_owned();
        let stage: Stage = match stage.as_str().unwrap() {
            "json" => Json::raw_utf8().into(),
            "hash" => {
                let secret = text_option(&options["secret"]);
                Hash::new(&HashOptions { secret, algorithm, era })?.into()
            }
            "crypto" => {
                let key = text_option(&options["key"]);
                Crypto::new(&CryptoOptions { key, algorithm })?.into()
            }
            other => panic!("stage {other}"),
        };
        pipeline = pipeline.with(stage)?;
    }
    Ok(pipeline)
}

const ERAS: [(&str, HashEra); 2] = [("binary", HashEra::Binary), ("utf8", HashEra::Utf8)];

/// `wire` makes the bytes in one era; they have to be what a runtime of that era sent.
fn compare_eras(case: &Value, wire: impl Fn(HashEra) -> Vec<u8>) -> Result<(), String> {
    for (name, era) in ERAS {
        let of_era = |result: &&Value| {
            [name, "both"].contains(&result["era"].as_str().unwrap())
                && result.get("wire_base64").is_some()
        };
        let results: Vec<&Value> =
            case["results"].as_array().unwrap().iter().filter(of_era).collect();
        let sent = wire(era);
        if !results.is_empty()
            && !results.iter().any(|result| bytes(&result["wire_base64"]) == sent)
        {
            return Err(format!("in era {name} it sends {:?}", String::from_utf8_lossy(&sent)));
        }
    }
    Ok(())
}

fn walk_out(pipeline: &Pipeline, mut message: Message) -> Vec<u8> {
    assert_eq!(pipeline.tx(0, &mut message).unwrap(), Walk::Done);
    message.into_data()
}

fn tx(case: &Value) -> Result<(), String> {
    let input = &case["input"];
    let message = match input.get("json") {
        Some(text) => {
            let value: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
            Message::from_value(&value).unwrap()
        }
        None => Message::bytes(bytes(&input["base64"])),
    };
    compare_eras(case, |era| walk_out(&stages(case, era).unwrap(), message.clone()))
}

fn from(size: usize) -> Remote {
    Remote::new(([127, 0, 0, 1], 10101).into(), size)
}

fn rx(case: &Value) -> Result<(), String> {
    let pipeline = stages(case, HashEra::Auto).unwrap();
    let mut message = Message::bytes(bytes(&case["wire_base64"]));
    let size = message.data().len();
    let got = match pipeline.rx(pipeline.len(), &mut message, &from(size)) {
        Err(reject) => match reject.error.code() {
            crate::ErrorCode::HashMismatch => json!({"error": "hash"}),
            crate::ErrorCode::Decrypt => json!({"error": "decrypt"}),
            other => json!({"error": other.name()}),
        },
        Ok(_) => match message.as_json() {
            Some(text) => json!({"message": {"json": normal(text)}}),
            None => {
                let data = BASE64_STANDARD.encode(message.data());
                json!({"message": {"buffer_base64": data}})
            }
        },
    };
    let mut wanted = case["dropin"].clone();
    if let Some(text) = wanted["message"].get("json") {
        wanted["message"]["json"] = normal(text.as_str().unwrap()).into();
    }
    if got == wanted { Ok(()) } else { Err(format!("it gives {got}, not {wanted}")) }
}

/// The one form of a JSON text in which equal values of JavaScript are equal.
fn normal(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => {
                let mut escaped = true;
                let end = rest.find(|c| {
                    let closes = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    closes
                });
                end.unwrap() + 1
            }
            '-' | '0'..='9' => rest.find([',', ']', '}', ' ']).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, tail) = rest.split_at(end);
        match first {
            '"' => {
                let text: JsText = serde_json::from_str(token).unwrap();
                out.push('"');
                escape_units(text.units().iter().copied(), &mut out);
                out.push('"');
            }
            '-' | '0'..='9' => out.push_str(&number_to_text(token.parse().unwrap())),
            _ if first.is_whitespace() => {}
            _ => out.push(first),
        }
        rest = tail;
    }
    out
}

/// The options of a case as a program on caster 0.1.1 gave them.
fn node_options(case: &Value, era: &str) -> Options {
    let mut options = Options::for_node().dialect(Dialect::Npm);
    for (name, value) in case["node_options"].as_object().unwrap() {
        let value = value.get("value").unwrap_or(value);
        options = options.with(name, value);
    }
    options.with("compat", "0.1.1").with("rawUtf8", &true).with("hashEra", era)
}

fn node_tx(case: &Value, name: &str) -> Result<(), String> {
    let outcome = decided(name);
    if outcome == Some(REFUSED) {
        return match node_options(case, "auto").resolve_node() {
            Err(_) => Ok(()),
            Ok(_) => Err("it is created".into()),
        };
    }
    compare_eras_of_node(case, outcome == Some(AS_TEXT))
}

fn compare_eras_of_node(case: &Value, id_as_text: bool) -> Result<(), String> {
    let wire = |era: HashEra| {
        let name = ERAS.iter().find(|(_, known)| *known == era).unwrap().0;
        let config = node_options(case, name).resolve_node().unwrap();
        let text = match case["action"].as_str().unwrap() {
            "heartbeat" => envelope::heartbeat(&config.id, Some(&config.meta), None),
            "send" => {
                let mut out = Vec::new();
                envelope::write_message(&mut out, &config.id, case["input"]["json"].as_str());
                String::from_utf8(out).unwrap()
            }
            "down" => envelope::leave(&config.id, None),
            other => panic!("action {other}"),
        };
        let wire = walk_out(&built_in_stages(&config).unwrap(), Message::json(text).unwrap());
        if !id_as_text {
            return wire;
        }
        // The text that 0.1.1 would have sent, made from what Caster sends: the id without its quotes.
        let text = String::from_utf8(wire[20..].to_vec()).unwrap();
        let id = config.id.as_json();
        assert!(text.starts_with(&format!("{{\"id\":{id}")));
        let bare = text.replacen(id, &id[1..id.len() - 1], 1);
        walk_out(&built_in_stages(&config).unwrap(), Message::json(bare).unwrap())
    };
    compare_eras(case, wire)
}

fn node_rx(case: &Value, name: &str) -> Result<(), String> {
    let config = node_options(case, "auto").resolve_node().unwrap();
    let pipeline = built_in_stages(&config).unwrap();
    let mut engine = Engine::new(&config, 1);
    let now = Now { mono: Duration::from_secs(1), unix_ms: 1000 };
    engine.start(false, 1, now);
    let mut steps = Vec::new();
    for step in case["steps"].as_array().unwrap() {
        let wire = bytes(&step["wire_base64"]);
        let size = wire.len();
        let mut message = Message::bytes(wire);
        if pipeline.rx(pipeline.len(), &mut message, &from(size)).is_ok()
            && let Some(text) = message.as_json()
        {
            let _ = engine.receive(text, from(size).address, now);
        }
        let outputs = std::iter::from_fn(|| engine.poll_output());
        steps.push(outputs.filter_map(as_in_vectors).collect::<Vec<Value>>());
    }
    let mut wanted = case["dropin"]["steps"].clone();
    for event in wanted.as_array_mut().unwrap().iter_mut().flat_map(|s| s.as_array_mut().unwrap()) {
        for key in ["id", "remote", "meta", "message"] {
            if let Some(text) = event.get(key).and_then(Value::as_str) {
                event[key] = normal(text).into();
            }
        }
    }
    match decided(name) {
        Some(AS_TEXT) => {
            for event in wanted.as_array_mut().unwrap().iter_mut() {
                for event in event.as_array_mut().unwrap() {
                    for key in ["id", "remote"] {
                        if let Some(text) = event.get(key).and_then(Value::as_str)
                            && !text.starts_with('"')
                        {
                            event[key] = format!("\"{text}\"").into();
                        }
                    }
                }
            }
        }
        Some(DROPPED) => {
            for events in wanted.as_array_mut().unwrap() {
                let events = events.as_array_mut().unwrap();
                events.retain(|event| event["id"] == "\"z\"");
            }
        }
        _ => {}
    }
    let got = json!(steps);
    if got == wanted { Ok(()) } else { Err(format!("it gives {got}, not {wanted}")) }
}

fn as_in_vectors(output: Output) -> Option<Value> {
    let Output::Event(event) = output else { return None };
    let kind = event.name();
    Some(match event {
        Event::Up(peer) | Event::Down { peer, .. } => {
            let mut event = json!({"type": kind, "id": normal(peer.id.as_json())});
            if let Some(meta) = &peer.meta {
                event["meta"] = normal(meta).into();
            }
            event
        }
        Event::Message { message, peer } => json!({
            "type": kind,
            "message": normal(message.as_json().unwrap()),
            "remote": normal(peer.id.as_json()),
        }),
        other => panic!("{other:?}"),
    })
}
