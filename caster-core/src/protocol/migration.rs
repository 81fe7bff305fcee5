//! A node in migration is in two groups: a sealed one and a plain one. Each has an engine of its own, so that
//! nothing that is said on the plain port reaches the records of sealed peers. Here is what the two share:
//! which ids are sealed, and which of them the program was told by the plain one.

use super::event::{Changed, Event};
use super::output::Output;
use crate::peer::NodeId;
use crate::sort::SortedMap;
use crate::sync::lock;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How many ids that were sealed are kept while they are not up.
const MAX_SEALED: usize = 4096;

/// How often the program is told that plain datagrams still count.
const WARN_EVERY: Duration = Duration::from_secs(3600);

/// Which of the two engines this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Sealed,
    Plain,
}

/// The state that both engines of a node share, as long as the node exists.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    known: Mutex<Known>,
    /// Held while the events of one engine enter the queue: those of the other one about the same id come before
    /// or after them.
    order: Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// The ids that were believed sealed: they are not accepted plain again.
    sealed: SortedMap<NodeId, SealedId>,
    /// The ids that the program was told by the plain engine.
    plain: SortedMap<NodeId, ()>,
    /// How many ids were sealed.
    count: u64,
}

#[derive(Debug)]
struct SealedId {
    number: u64,
    is_up: bool,
}

impl Shared {
    /// While this is held, events of the other engine wait.
    pub fn in_order(&self) -> MutexGuard<'_, ()> {
        lock(&self.order)
    }

    /// Whether this id was believed sealed.
    pub fn is_sealed(&self, id: &NodeId) -> bool {
        lock(&self.known).sealed.contains_key(id)
    }

    /// A sealed datagram of this id was believed: plain ones have no effect from now on.
    pub fn seal(&self, id: &NodeId) {
        let known = &mut *lock(&self.known);
        if known.sealed.contains_key(id) {
            return;
        }
        if known.sealed.len() >= MAX_SEALED {
            let gone = known.sealed.iter().filter(|(_, it)| !it.is_up);
            let oldest = gone.min_by_key(|(_, it)| it.number).map(|(id, _)| id.clone());
            oldest.map(|id| known.sealed.remove(&id));
        }
        known.count += 1;
        known.sealed.insert(id.clone(), SealedId { number: known.count, is_up: false });
    }

    /// Plain datagrams of this id count again. Returns whether it was sealed, and is not up.
    pub fn forget(&self, id: &NodeId) -> bool {
        let sealed = &mut lock(&self.known).sealed;
        sealed.get(id).is_some_and(|it| !it.is_up) && sealed.remove(id).is_some()
    }
}

/// The part of one engine.
#[derive(Debug)]
pub(crate) struct Migration {
    side: Side,
    shared: Arc<Shared>,
    /// When the program is told next that plain datagrams count.
    warns: Option<Duration>,
}

impl Migration {
    pub fn new(side: Side, shared: Arc<Shared>) -> Self {
        Self { side, shared, warns: None }
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The node is up from now on.
    pub fn start(&mut self, now: Duration) {
        self.warns = (self.side == Side::Plain).then_some(now + WARN_EVERY);
    }

    /// Whether a plain datagram of this id has no effect.
    pub fn refuses(&self, id: &NodeId) -> bool {
        self.side == Side::Plain && self.shared.is_sealed(id)
    }

    /// When [`Migration::warn`] is due.
    pub fn due(&self) -> Option<Duration> {
        self.warns
    }

    /// Whether the program is to be told now that plain datagrams count.
    pub fn warn(&mut self, now: Duration) -> bool {
        let is_due = self.warns.is_some_and(|due| due <= now);
        if is_due {
            self.warns = Some(now + WARN_EVERY);
        }
        is_due
    }

    /// Looks at an output of the engine before it leaves. Returns whether it does.
    pub fn pass(&self, output: &mut Output) -> bool {
        let Output::Event(event) = output else { return true };
        let known = &mut *lock(&self.shared.known);
        match self.side {
            Side::Plain => known.pass_plain(event),
            Side::Sealed => {
                known.pass_sealed(event);
                true
            }
        }
    }
}

impl Known {
    /// The program knows a sealed peer by the sealed engine alone.
    fn pass_plain(&mut self, event: &Event) -> bool {
        match event {
            Event::Up(peer) => {
                let passes = !self.sealed.contains_key(&peer.id);
                if passes {
                    self.plain.insert(peer.id.clone(), ());
                }
                passes
            }
            Event::Down { peer, .. } => self.plain.remove(&peer.id).is_some(),
            Event::Update { peer, .. } | Event::Message { peer, .. } => {
                self.plain.contains_key(&peer.id) && !self.sealed.contains_key(&peer.id)
            }
            Event::Conflict { id, .. } => !self.sealed.contains_key(id),
            // The sealed engine tells of the network.
            Event::Isolated | Event::Rejoined | Event::Settled => false,
            _ => true,
        }
    }

    /// A peer that was plain has got keys: for the program it is the same one.
    fn pass_sealed(&mut self, event: &mut Event) {
        let is_up = match event {
            Event::Up(_) => true,
            Event::Down { .. } => false,
            _ => return,
        };
        let Some(id) = event.lifecycle_of() else { return };
        if let Some(sealed) = self.sealed.get_mut(id) {
            sealed.is_up = is_up;
        }
        if let Event::Up(peer) = event
            && self.plain.remove(&peer.id).is_some()
        {
            let changed = Changed { meta: true, address: true };
            *event = Event::Update { peer: peer.clone(), changed };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;
    use crate::protocol::event::DownReason;

    fn id(text: &str) -> NodeId {
        NodeId::new(text).unwrap()
    }

    fn sides() -> (Migration, Migration) {
        let shared = Arc::<Shared>::default();
        (Migration::new(Side::Sealed, shared.clone()), Migration::new(Side::Plain, shared))
    }

    /// A peer as an engine tells it.
    fn peer(name: &str) -> crate::peer::Peer {
        let options = crate::options::Options::for_node().with("id", "this one");
        let config = options.resolve_node().unwrap();
        let mut engine = crate::protocol::engine::Engine::new(&config, 1);
        let now = crate::protocol::time::Now { mono: Duration::from_secs(1), unix_ms: 1 };
        engine.start(false, 1, now);
        let beat = format!(r#"{{"id":"{name}","meta":1}}"#);
        engine.receive(&beat, std::net::IpAddr::from([10, 0, 0, 1]), now).unwrap();
        engine.peer(&id(name)).unwrap()
    }

    fn told(side: &Migration, event: Event) -> Option<&'static str> {
        let mut output = Output::Event(event);
        let passes = side.pass(&mut output);
        let Output::Event(event) = output else { unreachable!("it stays an event") };
        passes.then(|| event.name())
    }

    fn down(name: &str) -> Event {
        Event::Down { peer: peer(name), reason: DownReason::Timeout }
    }

    fn message(name: &str) -> Event {
        let message = Message::json("1").unwrap();
        Event::Message { message, peer: peer(name) }
    }

    #[test]
    fn a_plain_peer_that_gets_keys_is_an_update_and_plain_events_about_it_end() {
        let (sealed, plain) = sides();
        assert_eq!(told(&plain, Event::Up(peer("a"))), Some("up"));
        assert_eq!(told(&plain, message("a")), Some("message"));
        sealed.shared.seal(&id("a"));
        assert!(plain.refuses(&id("a")) && !sealed.refuses(&id("a")));
        assert_eq!(told(&plain, message("a")), None);
        assert_eq!(told(&sealed, Event::Up(peer("a"))), Some("update"));
        assert_eq!(told(&plain, down("a")), None, "the plain engine has no say any more");
        assert_eq!(told(&plain, Event::Up(peer("a"))), None);
        assert_eq!(told(&sealed, message("a")), Some("message"));
        assert_eq!(told(&sealed, down("a")), Some("down"));
        assert_eq!(told(&plain, Event::Up(peer("a"))), None, "not plain again");
        assert_eq!(told(&sealed, Event::Up(peer("a"))), Some("up"));
        assert!(!sealed.shared.forget(&id("a")), "it is up");
        assert_eq!(told(&sealed, down("a")), Some("down"));
        assert!(sealed.shared.forget(&id("a")));
        assert_eq!(told(&plain, Event::Up(peer("a"))), Some("up"));
    }

    #[test]
    fn a_plain_peer_that_was_never_up_sealed_still_goes_down() {
        let (sealed, plain) = sides();
        assert_eq!(told(&plain, Event::Up(peer("a"))), Some("up"));
        sealed.shared.seal(&id("a"));
        assert_eq!(told(&plain, down("a")), Some("down"));
        assert_eq!(told(&sealed, Event::Up(peer("a"))), Some("up"));
    }

    #[test]
    fn the_ids_that_are_kept_are_bounded_and_those_that_are_up_stay() {
        let (sealed, plain) = sides();
        for n in 0..3 {
            sealed.shared.seal(&id(&format!("up{n}")));
            assert_eq!(told(&sealed, Event::Up(peer(&format!("up{n}")))), Some("up"));
        }
        for n in 0..2 * MAX_SEALED {
            sealed.shared.seal(&id(&format!("gone{n}")));
        }
        assert_eq!(lock(&sealed.shared.known).sealed.len(), MAX_SEALED);
        assert!((0..3).all(|n| plain.refuses(&id(&format!("up{n}")))));
        assert!(!plain.refuses(&id("gone0")) && plain.refuses(&id("gone8191")));
    }

    #[test]
    fn the_program_is_told_once_an_hour() {
        let (mut sealed, mut plain) = sides();
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        for side in [&mut sealed, &mut plain] {
            side.start(hours(1));
        }
        assert_eq!((sealed.due(), plain.due()), (None, Some(hours(2))));
        assert!(!plain.warn(hours(2) - Duration::from_secs(1)));
        assert!(plain.warn(hours(2)) && !plain.warn(hours(2)));
        assert_eq!(plain.due(), Some(hours(3)));
    }
}
