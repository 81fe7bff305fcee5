//! What a binding needs beyond the API for Rust programs: messages that stop at stages which the
//! host language runs, and events in batches.

use crate::message::{Message, MessageKind, Remote};
use crate::middleware::HostStage;
use crate::protocol::engine::Destination;
use crate::protocol::event::Event;
use crate::protocol::pipeline::Pipeline;
use crate::stats::{Counters, DropReason};
use std::fmt::Write;
use std::sync::Arc;

pub use crate::driver::queue::{EventSource, Waker};
pub use crate::node::GOODBYE_PAUSES;

/// Which way a message is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the network.
    Tx,
    /// From the network.
    Rx,
}

/// A message on its way that has stopped at a stage which the host runs.
///
/// Run [`Transit::stage`] on [`Transit::message`], put the outcome back with
/// [`Transit::set_message`] and hand it to `resume` of the caster or node it came from. Dropping
/// it drops the message; an incoming one is counted.
#[derive(Debug)]
pub struct Transit {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) at: usize,
    pub(crate) direction: Direction,
    pub(crate) message: Message,
    pub(crate) remote: Option<Remote>,
    pub(crate) to: Destination,
    /// Where to count an incoming message that is never resumed.
    pub(crate) counters: Option<Arc<Counters>>,
}

impl Transit {
    /// The stage to be run.
    pub fn stage(&self) -> &HostStage {
        self.pipeline.host_stage(self.at).expect("a transit stops at stages of the host")
    }

    /// Which of its functions is to be run.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The message as it is before the stage.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Where an incoming message came from.
    pub fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    /// Puts in the message as it is after the stage.
    pub fn set_message(&mut self, message: Message) {
        self.message = message;
    }
}

impl Drop for Transit {
    fn drop(&mut self) {
        if let Some(counters) = self.counters.take() {
            counters.count_drop(DropReason::QueueFull);
        }
    }
}

/// How far a message has come.
#[derive(Debug)]
#[must_use]
pub enum Progress {
    /// It is through. For an outgoing message: how many bytes went onto the wire.
    Done(usize),
    /// The host has to run a stage.
    Host(Box<Transit>),
}

/// Many events in one JSON text, for a host that parses JSON fast and calls slowly.
#[derive(Debug, Default)]
pub struct Batch {
    /// A JSON array of events. Each is an object with `type` and what belongs to it: `node`,
    /// `changed`, `reason`, `message` or `bytes` (offset and length in [`Batch::bytes`]),
    /// `remote`, `error`, or `transit` (an index into [`Batch::transits`]; it has a `remote` if it
    /// is on its way in).
    pub json: String,
    /// All messages that are bytes, one behind the other.
    pub bytes: Vec<u8>,
    /// Messages that wait for the host.
    pub transits: Vec<Box<Transit>>,
    /// How many events there are.
    pub count: usize,
}

impl Batch {
    /// Takes up to `limit` events.
    pub fn take(source: &EventSource, limit: usize) -> Self {
        let mut batch = Self { json: String::from("["), ..Self::default() };
        while batch.count < limit
            && let Some(event) = source.try_next()
        {
            if batch.count > 0 {
                batch.json.push(',');
            }
            batch.push(event);
            batch.count += 1;
        }
        batch.json.push(']');
        batch
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
            Event::Isolated | Event::Rejoined => {}
            Event::Hint(text) => {
                let text = serde_json::to_string(&text).expect("a string is JSON");
                write!(json, ",\"message\":{text}").expect("writing to a string");
            }
            Event::Message { message, peer } => {
                json.push_str(",\"node\":");
                peer.write_json(json);
                self.push_message(&message);
            }
            Event::Datagram { message, remote } => {
                self.push_message(&message);
                self.push_remote(&remote);
            }
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
        match (message.kind(), message.as_json()) {
            (MessageKind::Json, Some(text)) => {
                self.json.push_str(",\"message\":");
                self.json.push_str(text);
            }
            _ => {
                let (start, length) = (self.bytes.len(), message.data().len());
                self.bytes.extend_from_slice(message.data());
                write!(self.json, ",\"bytes\":[{start},{length}]").expect("writing to a string");
            }
        }
    }

    fn push_remote(&mut self, remote: &Remote) {
        let Remote { address, size, .. } = remote;
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        let (ip, port) = (address.ip(), address.port());
        write!(
            self.json,
            r#","remote":{{"address":"{ip}","family":"{family}","port":{port},"size":{size}}}"#
        )
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
