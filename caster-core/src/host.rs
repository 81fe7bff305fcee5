//! Additional functions for bindings: messages that wait for stages of the host language, and events
//! in batches.

use crate::error::Result;
use crate::message::{Message, Remote};
use crate::middleware::Stage;
use crate::middleware::pipeline::Pipeline;
use crate::peer::{NodeId, Peer};
use crate::protocol::event::Event;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::net::SocketAddr;

pub use crate::driver::link::Turn;
pub use crate::driver::queue::{EventSource, Waker};
pub use crate::transit::{Direction, Progress, Transit};

/// Creates a JSON message from a text that the serializer of the host has written. The text is not
/// checked: invalid JSON would be sent unchanged.
pub fn written_json(text: String) -> Message {
    Message::trusted_json(text.into_bytes())
}

/// Checks the stages of a chain that the host runs as one stage.
///
/// # Errors
/// [`ErrorCode::Middleware`](crate::ErrorCode::Middleware) if a name is empty or used twice, or if a
/// stage has no function.
pub fn check_stages(stages: Vec<Stage>) -> Result<()> {
    Pipeline::of(stages).map(drop)
}

/// Maximum number of events taken at a time, and the size in bytes that ends a batch. Larger batches
/// do not stay in the cache of the processor, and V8 allocates pages for each text above 128 KiB.
const STEP: usize = 16;
const ENOUGH: usize = 64 * 1024;

/// Takes the events of one source in batches.
#[derive(Debug)]
pub struct Batches {
    source: EventSource,
    /// The peers whose `up` the host has received.
    told: HashSet<NodeId>,
    /// Kept for their memory.
    events: Vec<Event>,
    json: String,
}

impl Batches {
    /// Creates it without taking events.
    pub fn new(source: EventSource) -> Self {
        Self { source, told: HashSet::new(), events: Vec::new(), json: String::new() }
    }

    /// The source of the events.
    pub fn source(&self) -> &EventSource {
        &self.source
    }

    /// Discards the events that wait. The host knows no peer from then on.
    pub fn clear(&mut self) {
        while self.source.try_next().is_some() {}
        self.told.clear();
    }

    /// Takes up to `limit` events, and fewer if they are large.
    pub fn take(&mut self, limit: usize) -> Batch {
        let mut batch = Batch { json: std::mem::take(&mut self.json), ..Batch::default() };
        batch.json.push('[');
        let mut senders = HashMap::new();
        let mut left = limit;
        while !batch.more {
            let most = left.min(STEP);
            let room = ENOUGH.saturating_sub(batch.json.len() + batch.bytes.len());
            let taken = self.source.take_some(&mut self.events, most, room);
            if taken == 0 {
                break;
            }
            self.put(&mut batch, &mut senders);
            left -= taken;
            batch.more = left == 0 || batch.json.len() + batch.bytes.len() >= ENOUGH;
        }
        batch.json.push(']');
        batch
    }

    /// Takes back the text of a batch that the host has read, to use its memory again.
    pub fn reuse(&mut self, mut json: String) {
        if json.capacity() <= 2 * ENOUGH {
            json.clear();
            self.json = json;
        }
    }

    /// Moves the events taken into a batch.
    fn put(&mut self, batch: &mut Batch, senders: &mut HashMap<SocketAddr, usize>) {
        for event in self.events.drain(..) {
            if batch.json.len() > 1 {
                batch.json.push(',');
            }
            match event {
                Event::Message { message, peer } => batch.push_heard(&message, &peer, &self.told),
                Event::Datagram { message, remote } => {
                    batch.push_datagram(&message, &remote, senders);
                }
                event => {
                    match &event {
                        Event::Up(peer) => self.told.insert(peer.id.clone()),
                        Event::Down { peer, .. } => self.told.remove(&peer.id),
                        _ => false,
                    };
                    batch.push(event);
                }
            }
        }
    }
}

/// Many events in one JSON text, for hosts in which parsing JSON is faster than calls.
#[derive(Debug, Default)]
pub struct Batch {
    /// A JSON array of events. Messages are arrays:
    ///
    /// * `[node, message]`: the message of a peer. If the host has received its `up`, `node` is its id,
    ///   else an object with its attributes.
    /// * `[fresh, node, message]`: the same of a sealed message, with `true` behind it if it is signed.
    /// * `[remote, size, message]` and `[remote, size, start, length]`: a datagram of `size` bytes on
    ///   the wire; JSON, or bytes at this place of [`Batch::bytes`]. `remote` is an object, or the
    ///   number of an earlier one in this batch, counted from 0.
    ///
    /// Other events are objects with `type` and its attributes: `node`, `changed`, `reason`, `message`
    /// or `bytes` (offset and length in [`Batch::bytes`]), `remote`, `error`, or `transit` (an index
    /// into [`Batch::transits`]; incoming messages have a `remote`).
    pub json: String,
    /// All messages that are bytes, without gaps.
    pub bytes: Vec<u8>,
    /// Messages that wait for stages of the host.
    pub transits: Vec<Box<Transit>>,
    /// Whether there may be more events; the waker is not called for them.
    pub more: bool,
}

impl Batch {
    fn push_heard(&mut self, message: &Message, peer: &Peer, told: &HashSet<NodeId>) {
        self.json.push('[');
        if message.is_sealed() {
            self.json.push_str(if message.is_fresh() { "true," } else { "false," });
        }
        if told.contains(&peer.id) {
            self.json.push_str(peer.id.as_json());
        } else {
            peer.write_json(&mut self.json);
        }
        self.json.push(',');
        self.json.push_str(message.as_json().unwrap_or("null"));
        self.json.push_str(if message.is_signed() { ",true]" } else { "]" });
    }

    fn push_datagram(
        &mut self,
        message: &Message,
        remote: &Remote,
        senders: &mut HashMap<SocketAddr, usize>,
    ) {
        let new = senders.len();
        let number = *senders.entry(remote.address).or_insert(new);
        self.json.push('[');
        if number == new {
            self.push_address(remote);
            self.json.push('}');
        } else {
            write!(self.json, "{number}").expect("writing to a string");
        }
        write!(self.json, ",{},", remote.size).expect("writing to a string");
        match message.as_json() {
            Some(text) => self.json.push_str(text),
            None => {
                let (start, length) = self.push_bytes(message);
                write!(self.json, "{start},{length}").expect("writing to a string");
            }
        }
        self.json.push(']');
    }

    /// Returns the offset and the length of the bytes.
    fn push_bytes(&mut self, message: &Message) -> (usize, usize) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(message.data());
        (start, message.data().len())
    }

    fn push(&mut self, event: Event) {
        let json = &mut self.json;
        json.push_str("{\"type\":\"");
        json.push_str(event.name());
        json.push('"');
        match event {
            Event::Up(peer) => {
                json.push_str(",\"node\":");
                peer.write_json(json);
            }
            Event::Update { peer, changed } => {
                json.push_str(",\"node\":");
                peer.write_json(json);
                let keys = [(changed.meta, "\"meta\""), (changed.address, "\"address\"")];
                let keys: Vec<&str> =
                    keys.iter().filter(|(is, _)| *is).map(|(_, key)| *key).collect();
                write!(json, ",\"changed\":[{}]", keys.join(",")).expect("writing to a string");
            }
            Event::Down { peer, reason } => {
                json.push_str(",\"node\":");
                peer.write_json(json);
                write!(json, ",\"reason\":\"{}\"", reason.as_str()).expect("writing to a string");
            }
            Event::Conflict { id, address } => {
                write!(json, ",\"id\":{},\"address\":\"{address}\"", id.as_json())
                    .expect("writing to a string");
            }
            Event::Isolated | Event::Rejoined | Event::Settled => {}
            Event::Hint(text) => {
                let text = serde_json::to_string(&text).expect("a string is JSON");
                write!(json, ",\"message\":{text}").expect("writing to a string");
            }
            Event::Message { .. } | Event::Datagram { .. } => {}
            Event::Error(error) => self.push_error(&error),
            Event::Reject { error, remote } => {
                self.push_error(&error);
                self.push_remote(&remote);
            }
            Event::HostStage(transit) => {
                write!(json, ",\"transit\":{}", self.transits.len()).expect("writing to a string");
                self.push_message(transit.message());
                if let Some(remote) = transit.remote() {
                    self.push_remote(remote);
                }
                self.transits.push(transit);
            }
        }
        self.json.push('}');
    }

    fn push_message(&mut self, message: &Message) {
        if let Some(text) = message.as_json() {
            self.json.push_str(",\"message\":");
            self.json.push_str(text);
        } else {
            let (start, length) = self.push_bytes(message);
            write!(self.json, ",\"bytes\":[{start},{length}]").expect("writing to a string");
        }
    }

    fn push_remote(&mut self, remote: &Remote) {
        self.json.push_str(",\"remote\":");
        self.push_address(remote);
        write!(self.json, ",\"size\":{}}}", remote.size).expect("writing to a string");
    }

    /// Writes an object without its closing brace.
    fn push_address(&mut self, remote: &Remote) {
        let family = if remote.address.is_ipv4() { "IPv4" } else { "IPv6" };
        let (ip, port) = (remote.scoped_address(), remote.address.port());
        write!(self.json, r#"{{"address":"{ip}","family":"{family}","port":{port}"#)
            .expect("writing to a string");
    }

    fn push_error(&mut self, error: &crate::error::Error) {
        let text = serde_json::to_string(error.message()).expect("a string is JSON");
        let name = error.code().name();
        write!(self.json, r#","error":{{"code":"{name}","message":{text}"#)
            .expect("writing to a string");
        if let Some(os) = error.os_error() {
            write!(self.json, ",\"errno\":{os}").expect("writing to a string");
        }
        if let Some(syscall) = error.syscall() {
            write!(self.json, ",\"syscall\":\"{syscall}\"").expect("writing to a string");
        }
        self.json.push('}');
    }
}
