//! The nodes as the page shows them, and the changes since a version. Pure: time is an argument.

use crate::show;
use crate::timeline::Timeline;
use caster_core::Event;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A node that is down is told for so many milliseconds; the page fades it out in this time.
const DOWN_SHOWN: u64 = 30_000;

/// Number of events that are kept.
const EVENTS: usize = 500;

/// Counters for the metrics.
#[derive(Debug, Default)]
pub struct Counts {
    pub up: u64,
    pub down: BTreeMap<&'static str, u64>,
    pub messages: u64,
}

#[derive(Debug)]
pub struct State {
    pub timeline: Timeline,
    pub counts: Counts,
}

impl Default for State {
    fn default() -> Self {
        Self { timeline: Timeline::new(DOWN_SHOWN, EVENTS), counts: Counts::default() }
    }
}

impl State {
    /// Takes an event of the node.
    pub fn note(&mut self, event: &Event, now: u64) {
        match event {
            Event::Message { .. } => self.counts.messages += 1,
            Event::Up(_) => self.counts.up += 1,
            Event::Down { reason, .. } => {
                *self.counts.down.entry(reason.as_str()).or_default() += 1;
            }
            _ => {}
        }
        self.timeline.note(event, now);
    }

    /// Everything that has changed since a version, as the page reads it; version 0 is all.
    pub fn since(&self, version: u64, now: u64) -> Value {
        let nodes = self.timeline.nodes_since(version).map(|it| {
            let mut value = show::to_json(&it.peer);
            if let Some((at, reason)) = it.down {
                value["state"] = "down".into();
                value["reason"] = reason.into();
                value["downSince"] = at.into();
            }
            value
        });
        let entries = self.timeline.entries_since(version);
        let events = entries
            .map(|it| json!({"at": it.at, "name": it.name, "id": it.subject, "text": it.text}));
        json!({
            "all": version == 0,
            "now": now,
            "nodes": Value::from_iter(nodes),
            "events": Value::from_iter(events),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caster_core::{Options, VirtualNetwork};
    use std::time::Duration;

    #[test]
    fn the_page_is_told_of_all_and_then_of_changes() {
        let network = VirtualNetwork::new(1);
        let observer = network.node(&Options::for_node().with("expose", &false)).unwrap();
        let options = Options::for_node().with("id", "web").with("meta", &json!({"type": "http"}));
        let web = network.node(&options).unwrap();
        observer.up().unwrap();
        web.up().unwrap();
        let mut state = State::default();
        let pass = |state: &mut State, now: u64| {
            network.advance(Duration::from_secs(2));
            while let Some(event) = observer.event_source().try_next() {
                state.note(&event, now);
            }
            state.timeline.refresh(observer.nodes(), now);
        };
        pass(&mut state, 1_000);
        let all = state.since(0, 1_000);
        assert_eq!((&all["all"], &all["now"]), (&true.into(), &1_000.into()));
        assert_eq!(
            (&all["nodes"][0]["id"], &all["nodes"][0]["state"]),
            (&"web".into(), &"alive".into())
        );
        let first = &all["events"][0];
        assert_eq!((&first["at"], &first["name"]), (&1_000.into(), &"up".into()));
        let version = state.timeline.version();
        web.send("x").unwrap();
        web.down().unwrap();
        pass(&mut state, 3_000);
        let changes = state.since(version, 3_000);
        assert_eq!(changes["all"], false);
        let node = &changes["nodes"][0];
        assert_eq!((&node["state"], &node["downSince"]), (&"down".into(), &3_000.into()));
        assert_eq!(
            (&node["reason"], &changes["events"][0]["text"]),
            (&"goodbye".into(), &"goodbye".into())
        );
        assert_eq!((state.counts.up, state.counts.messages), (1, 1));
        assert_eq!(state.counts.down, BTreeMap::from([("goodbye", 1)]));
    }
}
