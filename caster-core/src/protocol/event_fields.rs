//! Events for serde: an object with `type`, the name of the event, and its attributes.

use super::event::Event;
use crate::error::Error;
use crate::jsontext::to_value;
use crate::message::{Message, MessageKind, Remote};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

/// `{"type": "up", "node": {…}}` and so on, with the attributes that the events have in Node.js: `node`,
/// `changed` (an array of names), `reason`, `id`, `address`, `message` (JSON, or an array of bytes),
/// `remote`, `error`, and of sealed messages `sealed`, `fresh` and `signed`.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.name())?;
        match self {
            Event::Up(peer) => map.serialize_entry("node", peer)?,
            Event::Update { peer, changed } => {
                map.serialize_entry("node", peer)?;
                let names = [(changed.meta, "meta"), (changed.address, "address")];
                let names: Vec<_> = names.iter().filter(|it| it.0).map(|it| it.1).collect();
                map.serialize_entry("changed", &names)?;
            }
            Event::Down { peer, reason } => {
                map.serialize_entry("node", peer)?;
                map.serialize_entry("reason", reason.as_str())?;
            }
            Event::Conflict { id, address } => {
                map.serialize_entry("id", &to_value(id.as_json()))?;
                map.serialize_entry("address", &address.to_string())?;
            }
            Event::Isolated | Event::Rejoined | Event::Settled => {}
            Event::Hint(text) => map.serialize_entry("message", text)?,
            Event::Message { message, peer } => {
                map.serialize_entry("message", &content(message))?;
                map.serialize_entry("node", peer)?;
                if message.is_sealed() {
                    map.serialize_entry("sealed", &true)?;
                    map.serialize_entry("fresh", &message.is_fresh())?;
                    map.serialize_entry("signed", &message.is_signed())?;
                }
            }
            Event::Datagram { message, remote } => {
                map.serialize_entry("message", &content(message))?;
                map.serialize_entry("remote", &source(remote))?;
            }
            Event::Error(error) => map.serialize_entry("error", &cause(error))?,
            Event::Reject { error, remote } => {
                map.serialize_entry("error", &cause(error))?;
                map.serialize_entry("remote", &source(remote))?;
            }
            Event::HostStage(transit) => {
                map.serialize_entry("message", &content(transit.message()))?;
            }
        }
        map.end()
    }
}

fn content(message: &Message) -> Value {
    match message.kind() {
        MessageKind::Json => message.as_json().map(to_value).unwrap_or_default(),
        MessageKind::Bytes => message.data().into(),
    }
}

fn source(remote: &Remote) -> Value {
    json!({
        "address": remote.scoped_address().to_string(),
        "port": remote.address.port(),
        "size": remote.size,
    })
}

fn cause(error: &Error) -> Value {
    json!({"code": error.code().name(), "message": error.message()})
}
