//! Micro-benchmarks of the stages, the table of nodes and the event queue.
//!
//! `micro` measures all, in nanoseconds each; `micro CASE COUNT` does one case so many times and
//! prints nothing, for counting instructions; `micro list` names the cases. A case that needs a
//! network runs on a virtual one: no system call is made, and the same happens each time.

use caster_core::middleware::{Crypto, Hash, Json, Middleware, Secure, SecureOptions, Stage};
use caster_core::{Caster, Event, Identity, Key, Message, Node, Options, Remote, VirtualNetwork};
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Prepares something, and returns what does it once.
type Case = fn() -> Result<Box<dyn FnMut()>>;

const CASES: &[(&str, Case)] = &[
    ("json-rx-64", || receive_stage(64, &[], Json::new())),
    ("hash-tx-64", || send_stage(64, hash()?)),
    ("hash-rx-64", || receive_stage(64, &[&hash()?], hash()?)),
    ("hash-rx-8192", || receive_stage(8192, &[&hash()?], hash()?)),
    ("crypto-tx-64", || send_stage(64, crypto()?)),
    ("crypto-rx-64", || receive_stage(64, &[&crypto()?], crypto()?)),
    ("crypto-rx-8192", || receive_stage(8192, &[&crypto()?], crypto()?)),
    ("secure-rx-64", || secure_opened(false)),
    ("hmac-rx-64", || secure_opened(true)),
    ("secure-hint-64", secure_hint),
    ("secure-tag-64", secure_tag),
    ("secure-recorded-64", secure_recorded),
    ("secure-budget-64", secure_budget),
    ("heartbeat-known", heartbeat_known),
    ("heartbeat-new", heartbeat_new),
    ("heartbeat-extended", || heartbeat_with(r#"{"type":"http","port":8080}"#, QUIET)),
    ("heartbeat-8192", || heartbeat_with(&ordinary_metadata(), "\"b\":1")),
    ("hostile-probes-8192", || hostile("\"p\":[\"a\"", ",\"a\"", "]")),
    ("hostile-corroborations-8192", || hostile("\"v\":[[\"a\",1]", ",[\"a\",1]", "]")),
    ("hostile-escapes-8192", || hostile("\"p\":[\"a\"", &escapes(), "]")),
    ("hostile-nesting-8192", nesting),
    ("message-received", message_received),
    ("message-secure", || message_sealed(None)),
    ("message-signed", || message_sealed(Some(Identity::generate))),
    ("queue-datagram", queue_datagram),
    ("node-send", node_send),
    ("node-send-secure", || node_send_sealed(None)),
    ("node-send-signed", || node_send_sealed(Some(Identity::generate))),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => CASES.iter().try_for_each(|(name, case)| measure(name, *case)),
        [list] if list == "list" => {
            CASES.iter().for_each(|(name, _)| println!("{name}"));
            Ok(())
        }
        [name, count] => {
            let (_, case) = CASES.iter().find(|(it, _)| it == name).ok_or("no such case")?;
            let mut once = case()?;
            (0..count.parse()?).for_each(|_: u64| once());
            Ok(())
        }
        _ => Err("micro [CASE COUNT | list]".into()),
    }
}

/// The best of five fifths of a second.
fn measure(name: &str, case: Case) -> Result<()> {
    let mut once = case()?;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        let mut count = 0;
        while start.elapsed() < Duration::from_millis(100) {
            (0..100).for_each(|_| once());
            count += 100;
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(count));
    }
    println!("{name:18} {best:9.1} ns");
    Ok(())
}

fn hash() -> Result<Hash> {
    Ok(Hash::new(&Default::default())?)
}

fn crypto() -> Result<Crypto> {
    Ok(Crypto::new(&Default::default())?)
}

/// JSON text of this size.
fn text(size: usize) -> String {
    let head = "{\"id\":\"n0000001\",\"message\":\"";
    format!("{head}{}\"}}", "x".repeat(size - head.len() - 2))
}

fn remote() -> Remote {
    Remote::new(SocketAddr::from(([10, 0, 0, 1], 10101)), 64)
}

fn send_stage(size: usize, stage: impl Middleware + 'static) -> Result<Box<dyn FnMut()>> {
    let text = text(size).into_bytes();
    Ok(Box::new(move || {
        let mut message = Message::bytes(text.clone());
        black_box(stage.tx(&mut message)).expect("it sends");
        black_box(message);
    }))
}

/// One stage on what `before` have made of a text.
fn receive_stage(
    size: usize,
    before: &[&dyn Middleware],
    stage: impl Middleware + 'static,
) -> Result<Box<dyn FnMut()>> {
    let mut message = Message::bytes(text(size).into_bytes());
    before.iter().try_for_each(|stage| stage.tx(&mut message))?;
    Ok(accepted(message.into_data(), stage))
}

fn accepted(data: Vec<u8>, stage: impl Middleware + 'static) -> Box<dyn FnMut()> {
    let remote = remote();
    Box::new(move || {
        let mut message = Message::bytes(data.clone());
        black_box(stage.rx(&mut message, &remote)).expect("it is genuine");
        black_box(message);
    })
}

fn secure(keys: &[Key]) -> Result<Secure> {
    Ok(Secure::new(&SecureOptions { keys: keys.to_vec(), ..Default::default() })?)
}

/// Datagrams of a number of senders that have a key, one of each.
fn sealed(key: &Key, senders: usize) -> Result<Vec<Vec<u8>>> {
    sealed_with(key, senders, false)
}

fn sealed_with(key: &Key, senders: usize, hmac: bool) -> Result<Vec<Vec<u8>>> {
    let network = VirtualNetwork::new(1);
    let recorder = network.caster(&Options::for_caster().with("port", &10103))?;
    recorder.bind()?;
    let options = Options::for_caster().with("loopback", &false).with("hmac", &hmac);
    let sender = network.caster(&options.keys([key.clone()]))?;
    let mut recorded = Vec::new();
    for _ in 0..senders {
        sender.bind()?;
        sender.send_bytes(text(64).as_bytes())?;
        network.advance(Duration::from_millis(1));
        sender.close()?;
        while let Some(Event::Datagram { message, .. }) = recorder.event_source().try_next() {
            recorded.push(message.into_data());
        }
    }
    if recorded.len() == senders { Ok(recorded) } else { Err("a datagram is missing".into()) }
}

/// A datagram of a sender that is known.
fn secure_opened(hmac: bool) -> Result<Box<dyn FnMut()>> {
    let key = Key::generate()?;
    let data = sealed_with(&key, 1, hmac)?.remove(0);
    let options = SecureOptions { keys: vec![key], hmac, ..Default::default() };
    Ok(accepted(data, Secure::new(&options)?))
}

/// Another key than the two here.
fn secure_hint() -> Result<Box<dyn FnMut()>> {
    let data = sealed(&Key::generate()?, 1)?.remove(0);
    Ok(refused(data, secure(&[Key::generate()?, Key::generate()?])?))
}

/// The header of a sender that is known, over another payload.
fn secure_tag() -> Result<Box<dyn FnMut()>> {
    let key = Key::generate()?;
    let (mut data, stage) = (sealed(&key, 1)?.remove(0), secure(&[key])?);
    stage.rx(&mut Message::bytes(data.clone()), &remote()).map_err(|_| "it is genuine")?;
    *data.last_mut().ok_or("it is empty")? ^= 1;
    Ok(refused(data, stage))
}

/// Headers of senders that are not known, over other payloads: each key is derived.
fn secure_recorded() -> Result<Box<dyn FnMut()>> {
    let key = Key::generate()?;
    let forged = |mut data: Vec<u8>| {
        data[50] ^= 1;
        Message::bytes(data)
    };
    let mut pool: Vec<_> = sealed(&key, 300)?.into_iter().map(forged).collect();
    let stage = Arc::new(secure(&[key])?);
    // It gives the stage the time, by which the derivations are limited.
    let network = VirtualNetwork::new(1);
    let caster = network.caster(&Options::for_caster())?;
    caster.use_stage(Stage::Native(stage.clone()))?;
    caster.bind()?;
    let mut next = 0;
    Ok(Box::new(move || {
        next = (next + 1) % pool.len();
        if next.is_multiple_of(100) {
            network.advance(Duration::from_millis(100));
        }
        black_box(stage.rx(&mut pool[next], &remote())).expect_err("it is forged");
        black_box(&caster);
    }))
}

/// As before, with the derivations of this tenth of a second used up.
fn secure_budget() -> Result<Box<dyn FnMut()>> {
    let key = Key::generate()?;
    let (mut data, stage) = (sealed(&key, 1)?.remove(0), secure(&[key])?);
    *data.last_mut().ok_or("it is empty")? ^= 1;
    let mut once = refused(data, stage);
    (0..1000).for_each(|_| once());
    Ok(once)
}

/// Gives a datagram to a stage that refuses it, and with that leaves it as it is.
fn refused(data: Vec<u8>, stage: Secure) -> Box<dyn FnMut()> {
    let (mut message, remote) = (Message::bytes(data), remote());
    Box::new(move || {
        black_box(stage.rx(black_box(&mut message), &remote)).expect_err("it is forged");
    })
}

/// A node, and a caster without stages that sends it what was made before, on a network of their
/// own.
fn pair() -> Result<(VirtualNetwork, Node, Caster)> {
    let network = VirtualNetwork::new(1);
    let options = Options::for_node()
        .with("id", "measured")
        .with("maxNodes", &1_000_000)
        .with("maxNewNodes", &1_000_000)
        .with("maxDatagrams", &1_000_000_000);
    let node = network.node(&options)?;
    node.up()?;
    let caster = network.caster(&Options::for_caster().with("loopback", &false))?;
    caster.bind()?;
    Ok((network, node, caster))
}

/// The datagram of a node for this text.
fn datagram(hash: &Hash, text: String) -> Vec<u8> {
    let mut message = Message::json(text).expect("it is JSON");
    Json::new().tx(&mut message).and_then(|()| hash.tx(&mut message)).expect("it is short");
    message.into_data()
}

fn take_all(node: &Node) {
    while let Some(event) = node.event_source().try_next() {
        black_box(event);
    }
}

/// A heartbeat as caster 0.1.1 sends it.
fn heartbeat(hash: &Hash, id: u64) -> Vec<u8> {
    datagram(hash, format!("{{\"id\":\"n{id:07}\",\"meta\":{{\"type\":\"http\",\"port\":8080}}}}"))
}

/// Heartbeats of 1,000 nodes that are known, through pipeline, table and timers.
fn heartbeat_known() -> Result<Box<dyn FnMut()>> {
    let (network, node, caster) = pair()?;
    let hash = hash()?;
    let pool: Vec<_> = (0..1000).map(|id| heartbeat(&hash, id)).collect();
    let mut next = 0;
    let mut beat = move || {
        caster.send_bytes(&pool[next]).expect("it is sent");
        next = (next + 1) % pool.len();
        network.advance(Duration::from_millis(1));
        take_all(&node);
    };
    (0..2000).for_each(|_| beat());
    Ok(Box::new(beat))
}

/// The extension of the heartbeats of a quiet network.
const QUIET: &str = r#""b":4023456789,"h":1000,"n":123,"c":15,"o":21101,"l":"0123456789abcdef""#;

/// Heartbeats of a known node with this metadata and this in the extension.
fn heartbeat_with(meta: &str, extension: &str) -> Result<Box<dyn FnMut()>> {
    let (network, node, caster) = pair()?;
    let text = format!(r#"{{"id":"n0000001","meta":{meta},"caster":{{{extension}}}}}"#);
    let data = datagram(&hash()?, text);
    Ok(Box::new(move || {
        caster.send_bytes(&data).expect("it is sent");
        network.advance(Duration::from_millis(1));
        take_all(&node);
    }))
}

/// Nearly 8 KB, which is the limit by default.
fn ordinary_metadata() -> String {
    let entry = r#"{"unit":"C","value":21.5,"ok":true}"#;
    format!("[{}]", vec![entry; 8000 / (entry.len() + 1)].join(","))
}

/// The longest id of an entry, all of it escapes.
fn escapes() -> String {
    format!(",\"{}\"", "\\u0061".repeat(255))
}

/// An extension of 8 KB. A byte of it may cost twice as much as one of ordinary metadata.
fn hostile(before: &str, repeated: &str, after: &str) -> Result<Box<dyn FnMut()>> {
    let repeated = repeated.repeat(8000 / repeated.len());
    heartbeat_with("null", &format!("\"b\":1,{before}{repeated}{after}"))
}

/// As many arrays in each other as 8 KB hold.
fn nesting() -> Result<Box<dyn FnMut()>> {
    let arrays = format!("{}{}", "[".repeat(4000), "]".repeat(4000));
    heartbeat_with("null", &format!("\"b\":1,\"z\":{arrays}"))
}

/// The first heartbeat of a node; making the datagram is included.
fn heartbeat_new() -> Result<Box<dyn FnMut()>> {
    let (network, node, caster) = pair()?;
    let hash = hash()?;
    let mut next = 0;
    Ok(Box::new(move || {
        caster.send_bytes(&heartbeat(&hash, next)).expect("it is sent");
        next = (next + 1) % 1_000_000;
        network.advance(Duration::from_micros(100));
        take_all(&node);
    }))
}

fn message_received() -> Result<Box<dyn FnMut()>> {
    let (network, node, caster) = pair()?;
    let data = datagram(&hash()?, text(64));
    Ok(Box::new(move || {
        caster.send_bytes(&data).expect("it is sent");
        network.advance(Duration::from_micros(100));
        take_all(&node);
    }))
}

type NewIdentity = Option<fn() -> caster_core::Result<Identity>>;

/// A node with this key and an identity of its own.
fn sealed_node(
    network: &VirtualNetwork,
    id: &str,
    key: &Key,
    identity: NewIdentity,
    loopback: bool,
) -> Result<Node> {
    let options = Options::for_node().with("id", id).with("loopback", &loopback);
    let options = options.keys([key.clone()]);
    let options = match identity {
        Some(new) => options.with("signMessages", &true).identity(new()?),
        None => options,
    };
    let node = network.node(&options)?;
    node.up()?;
    Ok(node)
}

/// A message from one node with keys to another, sending included. With identities it is signed and verified.
fn message_sealed(identity: NewIdentity) -> Result<Box<dyn FnMut()>> {
    let (network, key) = (VirtualNetwork::new(1), Key::generate()?);
    let node = |id: &str| sealed_node(&network, id, &key, identity, true);
    let (from, to) = (node("from")?, node("to")?);
    network.advance(Duration::from_secs(5));
    take_all(&to);
    let text = "x".repeat(33);
    Ok(Box::new(move || {
        from.send(&text).expect("it is sent");
        network.advance(Duration::from_micros(100));
        take_all(&to);
        take_all(&from);
    }))
}

/// A datagram without stages, from the network to the program.
fn queue_datagram() -> Result<Box<dyn FnMut()>> {
    let network = VirtualNetwork::new(1);
    let caster = network.caster(&Options::for_caster().with("maxDatagrams", &1_000_000_000))?;
    caster.bind()?;
    Ok(Box::new(move || {
        caster.send_bytes(&[7; 64]).expect("it is sent");
        network.advance(Duration::from_micros(100));
        while let Some(Event::Datagram { message, .. }) = caster.event_source().try_next() {
            black_box(message);
        }
    }))
}

fn node_send() -> Result<Box<dyn FnMut()>> {
    let network = VirtualNetwork::new(1);
    let node = network.node(&Options::for_node().with("loopback", &false))?;
    node.up()?;
    let text = "x".repeat(33);
    Ok(Box::new(move || {
        black_box(node.send(&text)).expect("it is sent");
        network.advance(Duration::from_micros(100));
    }))
}

/// The same with a key, and signed.
fn node_send_sealed(identity: NewIdentity) -> Result<Box<dyn FnMut()>> {
    let network = VirtualNetwork::new(1);
    let node = sealed_node(&network, "from", &Key::generate()?, identity, false)?;
    network.advance(Duration::from_secs(5));
    let text = "x".repeat(33);
    Ok(Box::new(move || {
        black_box(node.send(&text)).expect("it is sent");
        network.advance(Duration::from_micros(100));
    }))
}
