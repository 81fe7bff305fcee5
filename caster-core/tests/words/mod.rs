//! Events as words, for tests in memory.

use caster_core::{Event, Node};

/// The events that wait, in words.
pub fn drain(node: &Node) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(event) = node.event_source().try_next() {
        all.push(match event {
            Event::Up(peer) => format!("up {}", peer.id),
            Event::Down { peer, reason } => format!("down {} {}", peer.id, reason.as_str()),
            Event::Message { message, peer } => {
                format!("message {} {}", peer.id, message.as_json().unwrap())
            }
            other => other.name().to_owned(),
        });
    }
    all
}
