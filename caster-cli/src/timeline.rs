//! The events of the group, and its nodes: those that are up, and those that went down a short time ago. Pure: time is
//! an argument.

use crate::show;
use caster_core::{Event, NodeId, Peer};
use std::collections::{BTreeMap, HashSet, VecDeque};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Down,
    Suspect,
    Alive,
}

/// A node, and the version of the timeline in which it changed last.
#[derive(Debug, Clone)]
pub struct Known {
    pub peer: Peer,
    /// When it went down, and the reason.
    pub down: Option<(u64, &'static str)>,
    changed: u64,
}

impl Known {
    pub fn state(&self) -> State {
        match self.down {
            Some(_) => State::Down,
            None if self.peer.suspect => State::Suspect,
            None => State::Alive,
        }
    }
}

/// An event. Its texts are those of the network.
#[derive(Debug)]
pub struct Entry {
    pub at: u64,
    pub name: &'static str,
    /// The id, `this host`, or nothing.
    pub subject: String,
    pub text: String,
    version: u64,
}

#[derive(Debug)]
pub struct Timeline {
    /// It rises with each change.
    version: u64,
    nodes: BTreeMap<NodeId, Known>,
    /// The oldest first.
    entries: VecDeque<Entry>,
    /// A node that is down is known for so many milliseconds.
    down_shown: u64,
    /// Number of entries that are kept.
    kept: usize,
}

impl Timeline {
    pub fn new(down_shown: u64, kept: usize) -> Self {
        Self { version: 0, nodes: BTreeMap::new(), entries: VecDeque::new(), down_shown, kept }
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes an event. Returns whether it made an entry.
    pub fn note(&mut self, event: &Event, now: u64) -> bool {
        let (subject, text) = match event {
            Event::Up(peer) => {
                let text = format!("{} {}", peer.scoped_address(), show::meta(peer));
                (peer.id.to_string(), text.trim_end().to_owned())
            }
            Event::Update { peer, .. } => (peer.id.to_string(), show::meta(peer)),
            Event::Down { peer, reason } => {
                self.set(peer.clone(), Some((now, reason.as_str())));
                (peer.id.to_string(), reason.as_str().to_owned())
            }
            Event::Conflict { id, address } => {
                (id.to_string(), format!("two nodes have this id; one at {address}"))
            }
            Event::Isolated | Event::Rejoined => ("this host".to_owned(), String::new()),
            Event::Hint(text) => (String::new(), text.to_string()),
            Event::Error(error) => (String::new(), error.message().to_owned()),
            _ => return false,
        };
        self.version += 1;
        let (name, version) = (event.name(), self.version);
        self.entries.push_back(Entry { at: now, name, subject, text, version });
        if self.entries.len() > self.kept {
            self.entries.pop_front();
        }
        true
    }

    /// Takes the nodes that are up now.
    pub fn refresh(&mut self, peers: Vec<Peer>, now: u64) {
        let is_shown = |(at, _)| now.saturating_sub(at) < self.down_shown;
        self.nodes.retain(|_, known| known.down.is_none_or(is_shown));
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
                _ => self.set(peer, None),
            }
        }
    }

    fn set(&mut self, peer: Peer, down: Option<(u64, &'static str)>) {
        self.version += 1;
        self.nodes.insert(peer.id.clone(), Known { peer, down, changed: self.version });
    }

    /// The nodes that have changed since a version, by id; since version 0 all.
    pub fn nodes_since(&self, version: u64) -> impl Iterator<Item = &Known> {
        self.nodes.values().filter(move |known| known.changed > version)
    }

    /// The entries since a version, the oldest first.
    pub fn entries_since(&self, version: u64) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.version > version)
    }
}

/// Whether a change is nothing that is shown at once.
fn is_same(a: &Peer, b: &Peer) -> bool {
    let shown = |it: &Peer| (it.suspect, it.address, it.loss_per_mille / 10);
    shown(a) == shown(b) && a.meta == b.meta && a.first_seen == b.first_seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use caster_core::{Node, Options, VirtualNetwork};
    use serde_json::json;
    use std::time::Duration;

    struct Group {
        network: VirtualNetwork,
        observer: Node,
        timeline: Timeline,
        now: u64,
    }

    impl Group {
        fn new() -> Self {
            let network = VirtualNetwork::new(1);
            let observer = network.node(&Options::for_node().with("expose", &false)).unwrap();
            observer.up().unwrap();
            Self { network, observer, timeline: Timeline::new(30_000, 500), now: 1_000_000 }
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
                self.timeline.note(&event, self.now);
            }
            self.timeline.refresh(self.observer.nodes(), self.now);
        }

        fn state_of(&self, id: &str) -> Option<State> {
            let mut nodes = self.timeline.nodes_since(0);
            nodes.find(|known| known.peer.id.as_str() == id).map(Known::state)
        }
    }

    #[test]
    fn only_changes_raise_the_version() {
        let mut group = Group::new();
        let web = group.node("web");
        group.pass(2_000);
        let first = group.timeline.version();
        let ups: Vec<_> =
            group.timeline.entries_since(0).map(|it| (it.name, &*it.subject)).collect();
        assert_eq!(ups, [("up", "web")]);
        group.pass(5_000);
        assert_eq!(group.timeline.version(), first, "heartbeats are no changes");
        web.set_meta(&json!({"type": "other"})).unwrap();
        group.pass(500);
        let changed: Vec<_> =
            group.timeline.nodes_since(first).map(|known| show::meta(&known.peer)).collect();
        assert_eq!(changed, ["type=other"]);
        let updates: Vec<_> =
            group.timeline.entries_since(first).map(|it| (it.name, &*it.text)).collect();
        assert_eq!(updates, [("update", "type=other")]);
    }

    #[test]
    fn a_suspect_a_death_and_a_return_are_told_and_the_dead_are_forgotten() {
        let mut group = Group::new();
        let _other = group.node("other");
        let web = group.node("web");
        group.pass(30_000);
        assert_eq!(group.state_of("web"), Some(State::Alive));
        group.network.unplug(web.id()).unwrap();
        let mut states = Vec::new();
        for _ in 0..400 {
            group.pass(100);
            states.push(group.state_of("web"));
        }
        states.dedup();
        assert_eq!(states, [Some(State::Alive), Some(State::Suspect), Some(State::Down), None]);
        group.network.plug(web.id()).unwrap();
        group.pass(15_000);
        assert_eq!(group.state_of("web"), Some(State::Alive));
        let names: Vec<_> = group.timeline.entries_since(0).map(|it| it.name).collect();
        assert_eq!(names, ["up", "up", "down", "up"]);
    }

    #[test]
    fn a_node_that_is_not_listed_is_down_until_it_is_listed_again() {
        let mut group = Group::new();
        let _web = group.node("web");
        group.pass(2_000);
        group.timeline.refresh(Vec::new(), group.now);
        let reasons: Vec<_> = group.timeline.nodes_since(0).map(|it| it.down).collect();
        assert_eq!(reasons, [Some((group.now, "not listed"))]);
        group.pass(100);
        assert_eq!(group.state_of("web"), Some(State::Alive));
    }

    #[test]
    fn entries_are_bounded() {
        let mut timeline = Timeline::new(30_000, 500);
        for number in 0..2_000 {
            timeline.note(&Event::Hint(number.to_string().into()), number);
        }
        assert_eq!(timeline.entries_since(0).count(), 500);
        assert_eq!(timeline.entries_since(0).next_back().unwrap().text, "1999");
    }
}
