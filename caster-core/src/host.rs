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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorCode};
    use crate::message::{Assurance, Interface};
    use crate::middleware::{HostStage, Json};
    use crate::options::EndpointLimits;
    use crate::peer::PeerAddresses;
    use crate::protocol::destination::Destination;
    use crate::protocol::event::{Changed, DownReason};
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn batches() -> Batches {
        let limits = EndpointLimits { events: 100_000, bytes: 1 << 26, datagrams_per_second: 0 };
        let source = EventSource::new(Arc::default(), limits);
        source.open();
        Batches::new(source)
    }

    /// Takes what `events` become, as their host reads them.
    fn told(batches: &mut Batches, events: impl IntoIterator<Item = Event>) -> (Value, Batch) {
        for event in events {
            batches.source().push(event);
        }
        let batch = batches.take(1000);
        (serde_json::from_str(&batch.json).unwrap(), batch)
    }

    fn peer(id: &str) -> Peer {
        Peer {
            id: NodeId::new(id).unwrap(),
            address: [10, 0, 0, 1].into(),
            addresses: PeerAddresses::default(),
            first_seen: 1,
            last_seen: 2,
            meta: Some("[1]".into()),
            suspect: false,
            loss_per_mille: 0,
        }
    }

    fn told_peer(id: &str) -> Value {
        json!({"id": id, "address": "10.0.0.1", "firstSeen": 1, "lastSeen": 2, "addresses": [], "meta": [1]})
    }

    fn message(id: &str, assurance: Assurance) -> Event {
        let mut message = Message::json("7").unwrap();
        message.assure(assurance);
        Event::Message { message, peer: peer(id) }
    }

    fn remote(last: u8) -> Remote {
        Remote::new(([10, 0, 0, last], 500).into(), 30)
    }

    fn datagram(message: Message, last: u8) -> Event {
        Event::Datagram { message, remote: remote(last) }
    }

    fn suspended(message: Message, remote: Option<Remote>) -> Event {
        let stage = HostStage { name: "x".into(), token: 3, tx: true, rx: true };
        let direction = if remote.is_some() { Direction::Rx } else { Direction::Tx };
        Event::HostStage(Box::new(Transit {
            pipeline: Pipeline::of(vec![stage.into()]).unwrap().into(),
            at: 0,
            direction,
            message,
            remote,
            to: Destination::Group,
            hold: None,
            counters: None,
        }))
    }

    #[test]
    fn each_event_is_an_object_with_its_type_and_attributes() {
        let mut batches = batches();
        let refused = std::io::Error::from_raw_os_error(13);
        let link_local: SocketAddr = "[fe80::2]:500".parse().unwrap();
        let mut remote = Remote::new(link_local, 9);
        remote.interface = Some(Interface::new(4, "eth0"));
        let changed = |meta, address| Changed { meta, address };
        let (json, batch) = told(
            &mut batches,
            [
                Event::Up(peer("a\"é")),
                Event::Settled,
                Event::Isolated,
                Event::Rejoined,
                Event::Hint("a \"text\"\n".into()),
                Event::Conflict { id: NodeId::new("c").unwrap(), address: remote.scoped_address() },
                Event::Error(Error::new(ErrorCode::Lagged, "lost")),
                Event::Error(Error::io(&refused, "bind", "no")),
                Event::Reject { error: Error::new(ErrorCode::HashMismatch, "\\"), remote },
                Event::Update { peer: peer("b"), changed: changed(true, false) },
                Event::Update { peer: peer("c"), changed: changed(true, true) },
                Event::Down { peer: peer("b"), reason: DownReason::Timeout },
            ],
        );
        let text = format!("no: {refused}");
        let from = json!({"address": "fe80::2%eth0", "family": "IPv6", "port": 500, "size": 9});
        let expected = json!([
            {"type": "up", "node": told_peer("a\"é")},
            {"type": "settled"},
            {"type": "isolated"},
            {"type": "rejoined"},
            {"type": "hint", "message": "a \"text\"\n"},
            {"type": "conflict", "id": "c", "address": "fe80::2%eth0"},
            {"type": "error", "error": {"code": "LAGGED", "message": "lost"}},
            {"type": "error", "error": {"code": "IO", "message": text, "errno": 13, "syscall": "bind"}},
            {"type": "reject", "error": {"code": "HASH_MISMATCH", "message": "\\"}, "remote": from},
            {"type": "update", "node": told_peer("b"), "changed": ["meta"]},
            {"type": "update", "node": told_peer("c"), "changed": ["meta", "address"]},
            {"type": "down", "node": told_peer("b"), "reason": "timeout"},
        ]);
        assert_eq!(json, expected);
        assert!(!batch.more && batch.bytes.is_empty() && batch.transits.is_empty());
        assert_eq!(told(&mut batches, []).0, json!([]));
    }

    #[test]
    fn a_message_has_the_id_of_its_peer_from_the_up_to_the_down_and_else_the_whole_peer() {
        let mut batches = batches();
        let plain = || message("a", Assurance::None);
        let down = Event::Down { peer: peer("a"), reason: DownReason::Goodbye };
        let (json, _) = told(&mut batches, [plain(), Event::Up(peer("a")), plain()]);
        assert_eq!(json[0], json!([told_peer("a"), 7]));
        assert_eq!(json[2], json!(["a", 7]));
        let (json, _) = told(&mut batches, [plain(), message("b", Assurance::None), down, plain()]);
        assert_eq!(json[0], json!(["a", 7]), "known in the next batch, too");
        assert_eq!(json[1], json!([told_peer("b"), 7]));
        assert_eq!(json[3], json!([told_peer("a"), 7]));
    }

    #[test]
    fn a_message_tells_how_sure_its_sender_is() {
        let mut batches = batches();
        let sealed =
            [Assurance::Sealed, Assurance::Fresh, Assurance::Signed].map(|it| message("a", it));
        let (json, _) = told(&mut batches, [Event::Up(peer("a"))].into_iter().chain(sealed));
        assert_eq!(json[1], json!([false, "a", 7]));
        assert_eq!(json[2], json!([true, "a", 7]));
        assert_eq!(json[3], json!([true, "a", 7, true]));
    }

    #[test]
    fn a_datagram_has_its_sender_once_in_a_batch_and_its_bytes_by_their_place() {
        let mut batches = batches();
        let text = || Message::json("{}").unwrap();
        let events = || {
            [
                datagram(text(), 1),
                datagram(Message::bytes(*b"abc"), 2),
                datagram(Message::bytes(*b""), 1),
                datagram(Message::bytes(*b"de"), 2),
            ]
        };
        let sender =
            |last| json!({"address": format!("10.0.0.{last}"), "family": "IPv4", "port": 500});
        let expected =
            json!([[sender(1), 30, {}], [sender(2), 30, 0, 3], [0, 30, 3, 0], [1, 30, 3, 2],]);
        for _ in 0..2 {
            let (json, batch) = told(&mut batches, events());
            assert_eq!((json, &batch.bytes[..]), (expected.clone(), &b"abcde"[..]));
        }
    }

    #[test]
    fn a_message_that_waits_for_the_host_is_told_by_its_place() {
        let text = Message::json("[0]").unwrap();
        let events = [suspended(text, None), suspended(Message::bytes(*b"xy"), Some(remote(1)))];
        let (json, batch) = told(&mut batches(), events);
        let from = json!({"address": "10.0.0.1", "family": "IPv4", "port": 500, "size": 30});
        let expected = json!([
            {"type": "stage", "transit": 0, "message": [0]},
            {"type": "stage", "transit": 1, "bytes": [0, 2], "remote": from},
        ]);
        assert_eq!((json, &batch.bytes[..]), (expected, &b"xy"[..]));
        let directions: Vec<Direction> = batch.transits.iter().map(|it| it.direction()).collect();
        assert_eq!(directions, [Direction::Tx, Direction::Rx]);
        assert!(batch.transits.iter().all(|it| it.stage().token == 3));
    }

    #[test]
    fn a_batch_ends_by_number_or_by_size_and_nothing_is_lost_or_told_twice() {
        for (size, limit, most) in [(1, 40, 40), (1, 1, 1), (9_000, 1000, 9), (200_000, 1000, 1)] {
            let mut batches = batches();
            for number in 0..=255 {
                let mut data = vec![0; size];
                data[0] = number;
                batches.source().push(datagram(Message::bytes(data), 1));
            }
            let mut seen = Vec::new();
            loop {
                let batch = batches.take(limit);
                let events: Vec<Value> = serde_json::from_str(&batch.json).unwrap();
                assert!(events.len() <= most, "{} of {size} bytes", events.len());
                assert_eq!(batch.bytes.len(), events.len() * size);
                seen.extend(batch.bytes.chunks(size).map(|data| data[0]));
                if !batch.more {
                    break;
                }
                assert!(!events.is_empty(), "there was more");
            }
            assert!(seen.into_iter().eq(0..=255), "{size} bytes");
        }
    }

    #[test]
    fn what_was_cleared_is_never_told() {
        let mut batches = batches();
        told(&mut batches, [Event::Up(peer("a"))]);
        batches.source().push(Event::Settled);
        batches.clear();
        let (json, _) = told(&mut batches, [message("a", Assurance::None)]);
        assert_eq!(json, json!([[told_peer("a"), 7]]), "its peers are unknown, too");
    }

    #[test]
    fn the_memory_of_a_text_is_used_again_unless_it_is_large() {
        let mut batches = batches();
        for (capacity, kept) in [(100_000, true), (2 * ENOUGH, true), (2 * ENOUGH + 1, false)] {
            let mut text = String::with_capacity(capacity);
            text.push_str("[old]");
            let given = text.as_ptr();
            batches.reuse(text);
            let (json, batch) = told(&mut batches, []);
            assert_eq!(json, json!([]));
            assert_eq!(batch.json.as_ptr() == given, kept, "{capacity}");
        }
    }

    #[test]
    fn a_chain_needs_names_that_differ_and_functions() {
        let stage =
            |name: &str, tx| Stage::from(HostStage { name: name.into(), token: 0, tx, rx: false });
        check_stages(vec![stage("a", true), Json::default().into(), stage("b", true)]).unwrap();
        for bad in [vec![stage("", true)], vec![stage("a", true); 2], vec![stage("a", false)]] {
            assert_eq!(check_stages(bad).unwrap_err().code(), ErrorCode::Middleware);
        }
    }

    #[test]
    fn a_text_of_the_host_is_sent_as_it_is() {
        let message = written_json("{\"a\": 1}".into());
        assert_eq!(message, Message::json("{\"a\": 1}").unwrap());
    }
}
