//! The Rust peer of the interop tests; tests/interop/README.md has its protocol.

use caster_core::{Event, Identity, Key, Message, NoEvent, Node, NodeId, Options, Peer, PublicKey};
use serde_json::json;
use serde_json::value::RawValue;
use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

fn main() {
    let mut options = Options::for_node();
    for key in std::env::var("CASTER_KEYS").unwrap_or_default().split_whitespace() {
        options.add_key(Key::from_text(key).expect("a key"));
    }
    if let Ok(seed) = std::env::var("CASTER_IDENTITY") {
        options.set_identity(Identity::from_text(&seed).expect("a seed"));
    }
    for key in std::env::var("CASTER_TRUST").unwrap_or_default().split_whitespace() {
        options.add_trusted(PublicKey::from_text(key).expect("a public key"));
    }
    let given = std::env::args().nth(1).unwrap_or_else(|| "{}".into());
    let node = options.merge_json(&given).and_then(|()| Node::new(&options)).map(Arc::new);
    let node = node.unwrap_or_else(|error| {
        tell(json!({"ev": "error", "text": error.to_string()}));
        std::process::exit(2);
    });
    up(&node);
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        match command {
            "send" => match Message::json(argument).and_then(|message| node.send_message(&message))
            {
                Ok(bytes) => tell(json!({"ev": "sent", "bytes": bytes})),
                Err(error) => tell(json!({"ev": "error", "text": error.to_string()})),
            },
            "down" => down(&node),
            "up" => up(&node),
            "meta" => match node.set_meta_json(argument) {
                Ok(()) => tell(json!({"ev": "said"})),
                Err(error) => tell(json!({"ev": "error", "text": error.to_string()})),
            },
            "nodes" => {
                let nodes: Vec<_> = node.nodes().iter().map(describe).collect();
                tell(json!({"ev": "nodes", "nodes": nodes}));
            }
            "stats" => tell(json!({"ev": "stats", "stats": raw(&node.stats().to_json())})),
            "add_key" | "use_key" | "remove_key" => {
                let change = Key::from_text(argument).and_then(|key| match command {
                    "add_key" => node.add_key(&key),
                    "use_key" => node.use_key(key.id()),
                    _ => node.remove_key(key.id()),
                });
                match change {
                    Ok(()) => tell(json!({"ev": "keys"})),
                    Err(error) => tell(json!({"ev": "error", "text": error.to_string()})),
                }
            }
            "drop" => {
                drop(node);
                return tell(json!({"ev": "dropped"}));
            }
            "identity" => {
                let key = NodeId::new(argument).ok().and_then(|id| node.identity_of(&id));
                tell(json!({"ev": "identity", "key": key.map(|key| key.to_string())}));
            }
            "quit" => std::process::exit(0),
            other => tell(json!({"ev": "error", "text": format!("no command {other:?}")})),
        }
    }
    if node.is_up() {
        down(&node);
    }
}

fn up(node: &Arc<Node>) {
    let began = monotonic();
    if let Err(error) = node.up() {
        return tell(json!({"ev": "error", "text": error.to_string()}));
    }
    tell(json!({"ev": "ready", "began": began}));
    let events = node.event_source();
    std::thread::spawn(move || {
        loop {
            match events.next_timeout(Some(Duration::from_secs(1))) {
                Ok(event) => report(&event),
                Err(NoEvent::Closed | NoEvent::Forked) => return,
                Err(NoEvent::TimedOut) => {}
            }
        }
    });
}

fn down(node: &Node) {
    let began = monotonic();
    match node.down() {
        Ok(()) => tell(json!({"ev": "gone", "began": began})),
        Err(error) => tell(json!({"ev": "error", "text": error.to_string()})),
    }
}

fn report(event: &Event) {
    match event {
        Event::Up(peer) | Event::Update { peer, .. } => {
            let mut line = describe(peer);
            line["ev"] = event.name().into();
            tell(line);
        }
        Event::Down { peer, reason } => {
            tell(json!({"ev": "down", "id": peer.id.as_str(), "reason": reason.as_str()}));
        }
        Event::Conflict { id, address } => {
            tell(json!({"ev": "conflict", "id": id.as_str(), "address": address.to_string()}));
        }
        Event::Isolated | Event::Rejoined | Event::Settled => tell(json!({"ev": event.name()})),
        Event::Message { message, peer } => {
            let signed = message.is_signed();
            let message = raw(message.as_json().unwrap_or("null"));
            let id = peer.id.as_str();
            tell(json!({"ev": "message", "id": id, "message": message, "signed": signed}));
        }
        Event::Hint(text) => tell(json!({"ev": "hint", "text": text.to_string()})),
        Event::Error(error) => tell(json!({"ev": "error", "text": error.to_string()})),
        _ => {}
    }
}

fn describe(peer: &Peer) -> serde_json::Value {
    let meta = raw(peer.meta.as_deref().unwrap_or("null"));
    json!({"id": peer.id.as_str(), "address": peer.scoped_address().to_string(), "meta": meta})
}

/// JSON text as a value; what serde_json cannot hold becomes text.
fn raw(text: &str) -> serde_json::Value {
    let value = serde_json::from_str(text)
        .or_else(|_| serde_json::from_str::<&RawValue>(text).map(|raw| raw.get().into()));
    value.unwrap_or_default()
}

/// Writes a line, with the time in `t`.
fn tell(mut line: serde_json::Value) {
    line["t"] = monotonic().into();
    println!("{line}");
}

/// Nanoseconds by a clock that all processes of this machine share.
#[cfg(unix)]
fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives until the call returns.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    assert_eq!(failed, 0, "every Unix has this clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(not(unix))]
fn monotonic() -> u64 {
    0
}
