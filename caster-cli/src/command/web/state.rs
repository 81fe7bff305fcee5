//! The nodes as the page shows them, and the changes since a version. Pure: time is an argument.

use crate::show;
use caster_core::{Event, NodeId, Peer};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet, VecDeque};

/// A node that is down is told for so many milliseconds; the page fades it out in this time.
pub const DOWN_SHOWN: u64 = 30_000;

/// Number of events that are kept.
const EVENTS: usize = 500;

/// A node, and the version in which it changed last.
#[derive(Debug)]
struct Known {
    peer: Peer,
    changed: u64,
    /// When it went down, and the reason.
    down: Option<(u64, &'static str)>,
}

#[derive(Debug)]
struct Told {
    number: u64,
    at: u64,
    name: &'static str,
    id: String,
    text: String,
}

/// Counters for the metrics.
#[derive(Debug, Default)]
pub struct Counts {
    pub up: u64,
    pub down: BTreeMap<&'static str, u64>,
    pub messages: u64,
}

#[derive(Debug, Default)]
pub struct State {
    /// It rises with each change.
    version: u64,
    nodes: BTreeMap<NodeId, Known>,
    events: VecDeque<Told>,
    pub counts: Counts,
}

impl State {
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes an event of the node.
    pub fn note(&mut self, event: &Event, now: u64) {
        let (id, text) = match event {
            Event::Message { .. } => {
                self.counts.messages += 1;
                return;
            }
            Event::Up(peer) => {
                self.counts.up += 1;
                (peer.id.to_string(), peer.scoped_address().to_string())
            }
            Event::Update { peer, .. } => (peer.id.to_string(), show::meta(peer)),
            Event::Down { peer, reason } => {
                let reason = reason.as_str();
                *self.counts.down.entry(reason).or_default() += 1;
                self.version += 1;
                let down = Some((now, reason));
                let known = Known { peer: peer.clone(), changed: self.version, down };
                self.nodes.insert(peer.id.clone(), known);
                (peer.id.to_string(), reason.to_owned())
            }
            Event::Conflict { id, address } => {
                (id.to_string(), format!("two nodes have this id; one at {address}"))
            }
            Event::Isolated | Event::Rejoined => ("this host".to_owned(), String::new()),
            Event::Hint(text) => (String::new(), text.to_string()),
            Event::Error(error) => (String::new(), error.message().to_owned()),
            _ => return,
        };
        self.version += 1;
        self.events.push_back(Told { number: self.version, at: now, name: event.name(), id, text });
        if self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }

    /// Takes the nodes that are up now.
    pub fn refresh(&mut self, peers: Vec<Peer>, now: u64) {
        self.nodes
            .retain(|_, it| it.down.is_none_or(|(at, _)| now.saturating_sub(at) < DOWN_SHOWN));
        let there: HashSet<&NodeId> = peers.iter().map(|peer| &peer.id).collect();
        for (id, known) in &mut self.nodes {
            // Its metadata fulfils the conditions no more, or its event is still to come.
            if known.down.is_none() && !there.contains(id) {
                self.version += 1;
                (known.down, known.changed) = (Some((now, "not listed")), self.version);
            }
        }
        for peer in peers {
            match self.nodes.get_mut(&peer.id) {
                Some(known) if known.down.is_none() && is_same(&known.peer, &peer) => {
                    known.peer = peer;
                }
                _ => {
                    self.version += 1;
                    let known = Known { changed: self.version, down: None, peer };
                    self.nodes.insert(known.peer.id.clone(), known);
                }
            }
        }
    }

    /// Everything that has changed since a version, as the page reads it; version 0 is all.
    pub fn since(&self, version: u64, now: u64) -> Value {
        let changed = self.nodes.values().filter(|it| it.changed > version);
        let nodes = changed.map(|it| {
            let mut value = show::to_json(&it.peer);
            if let Some((at, reason)) = it.down {
                value["state"] = "down".into();
                value["reason"] = reason.into();
                value["downSince"] = at.into();
            }
            value
        });
        let new = self.events.iter().filter(|it| it.number > version);
        let events =
            new.map(|it| json!({"at": it.at, "name": it.name, "id": it.id, "text": it.text}));
        json!({
            "all": version == 0,
            "now": now,
            "nodes": Value::from_iter(nodes),
            "events": Value::from_iter(events),
        })
    }
}

/// Whether the page shows the same for both.
fn is_same(a: &Peer, b: &Peer) -> bool {
    let shown = |it: &Peer| (it.suspect, it.address, it.loss_per_mille / 10);
    shown(a) == shown(b) && a.meta == b.meta && a.first_seen == b.first_seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use caster_core::{Node, Options, VirtualNetwork};
    use std::time::Duration;

    struct Group {
        network: VirtualNetwork,
        observer: Node,
        state: State,
        now: u64,
    }

    impl Group {
        fn new() -> Self {
            let network = VirtualNetwork::new(1);
            let observer = network.node(&Options::for_node().with("expose", &false)).unwrap();
            observer.up().unwrap();
            Self { network, observer, state: State::default(), now: 1_000_000 }
        }

        fn node(&self, id: &str) -> Node {
            let options = Options::for_node().with("id", id).with("meta", &json!({"type": id}));
            let node = self.network.node(&options).unwrap();
            node.up().unwrap();
            node
        }

        fn pass(&mut self, milliseconds: u64) {
            self.network.advance(Duration::from_millis(milliseconds));
            self.now += milliseconds;
            while let Some(event) = self.observer.event_source().try_next() {
                self.state.note(&event, self.now);
            }
            self.state.refresh(self.observer.nodes(), self.now);
        }
    }

    #[test]
    fn only_changes_are_told() {
        let mut group = Group::new();
        let web = group.node("web");
        group.pass(2_000);
        let first = group.state.version();
        let all = group.state.since(0, group.now);
        assert_eq!((&all["all"], &all["nodes"][0]["id"]), (&true.into(), &"web".into()));
        assert_eq!(all["events"][0]["name"], "up");
        group.pass(5_000);
        assert_eq!(group.state.version(), first, "heartbeats are no changes");
        web.set_meta(&json!({"type": "other"})).unwrap();
        group.pass(500);
        let changes = group.state.since(first, group.now);
        assert_eq!(changes["all"], false);
        assert_eq!(changes["nodes"][0]["meta"]["type"], "other");
        assert_eq!(changes["events"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn a_suspect_a_death_and_a_return_are_told_and_the_dead_are_forgotten() {
        let mut group = Group::new();
        let _other = group.node("other");
        let web = group.node("web");
        group.pass(30_000);
        let state_of = |group: &Group| {
            let all = group.state.since(0, group.now);
            let nodes = all["nodes"].as_array().unwrap();
            nodes.iter().find(|it| it["id"] == "web").map(|it| it["state"].clone())
        };
        assert_eq!(state_of(&group).unwrap(), "alive");
        group.network.unplug(web.id()).unwrap();
        let mut states = Vec::new();
        for _ in 0..400 {
            group.pass(100);
            let state = state_of(&group).map(|it| it.as_str().unwrap().to_owned());
            if states.last() != Some(&state) {
                states.push(state);
            }
        }
        let texts: Vec<_> = states.iter().map(|it| it.as_deref().unwrap_or("forgotten")).collect();
        assert_eq!(texts, ["alive", "suspect", "down", "forgotten"]);
        assert_eq!(group.state.counts.down.values().sum::<u64>(), 1);
        group.network.plug(web.id()).unwrap();
        group.pass(15_000);
        assert_eq!(state_of(&group).unwrap(), "alive");
        assert_eq!(group.state.counts.up, 3);
    }

    #[test]
    fn events_are_bounded() {
        let mut state = State::default();
        for number in 0..2_000 {
            state.note(&Event::Hint(number.to_string().into()), number);
        }
        let all = state.since(0, 0);
        let events = all["events"].as_array().unwrap();
        assert_eq!((events.len(), &events[EVENTS - 1]["text"]), (EVENTS, &"1999".into()));
    }
}
