//! A node as a state machine: what came in and what time it is goes in, what is to be sent and
//! what happened comes out.
//!
//! Contract: after every call that takes `&mut self`, take outputs until there are none.

use super::envelope::{self, Envelope};
use super::event::{Changed, DownReason, Event};
use super::membership::Membership;
use crate::message::Message;
use crate::options::NodeConfig;
use crate::peer::{NodeId, Peer};
use crate::stats::DropReason;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What time it is. Deadlines follow `mono`; `unix_ms` is only copied into what people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    pub mono: Duration,
    pub unix_ms: u64,
}

/// What the engine wants done.
#[derive(Debug)]
pub(crate) enum Output {
    /// Send this JSON to the group.
    Transmit(Message),
    /// Tell the program.
    Event(Event),
}

/// One node.
#[derive(Debug)]
pub(crate) struct Engine {
    id: NodeId,
    meta: Arc<str>,
    expose: bool,
    heartbeat: Duration,
    observe_self: bool,
    drop_falsy_messages: bool,
    members: Membership,
    /// When the next heartbeat is due; `None` while the node is not up.
    next_beat: Option<Duration>,
    last_beat: Option<Duration>,
    outputs: VecDeque<Output>,
}

impl Engine {
    pub fn new(config: &NodeConfig) -> Self {
        Self {
            id: config.id.clone(),
            meta: config.meta.clone(),
            expose: config.expose,
            heartbeat: config.heartbeat,
            observe_self: config.observe_self,
            drop_falsy_messages: config.drop_falsy_messages,
            members: Membership::new(config.timeout),
            next_beat: None,
            last_beat: None,
            outputs: VecDeque::new(),
        }
    }

    /// The node is up from now on, with nobody known. With `announce` it says so at once.
    pub fn start(&mut self, announce: bool, timeout: Duration, now: Now) {
        self.members = Membership::new(timeout);
        self.last_beat = None;
        self.next_beat = Some(now.mono + self.heartbeat);
        if announce {
            self.beat(now);
        }
    }

    /// The node is down from now on. Who was known last can still be asked.
    pub fn stop(&mut self) {
        self.next_beat = None;
    }

    /// Takes in one JSON text from the network.
    pub fn receive(&mut self, text: &str, from: IpAddr, now: Now) -> Result<(), DropReason> {
        let envelope = Envelope::parse(text)?;
        if envelope.id == self.id && !self.observe_self {
            if envelope.suicide {
                self.contradict(now);
            }
            return Err(DropReason::Own);
        }
        if envelope.suicide {
            self.goodbye(&envelope, from, now)
        } else {
            self.hear(&envelope, from, now)
        }
    }

    fn hear(&mut self, envelope: &Envelope<'_>, from: IpAddr, now: Now) -> Result<(), DropReason> {
        let id = &envelope.id;
        let is_beat = envelope.message.is_none();
        let heard = self
            .members
            .hear(id, from, envelope.meta, is_beat, now.mono, now.unix_ms)
            .map_err(|_| DropReason::TableFull)?;
        let peer = self.members.get(id).expect("it was just heard");
        let changed = Changed { meta: heard.meta_changed, address: heard.address_changed };
        if heard.new {
            self.outputs.push_back(Output::Event(Event::Up(peer.clone())));
        } else if changed != Changed::default() {
            let event = Event::Update { peer: peer.clone(), changed };
            self.outputs.push_back(Output::Event(event));
        }
        let message = envelope
            .message
            .filter(|message| !self.drop_falsy_messages || envelope::truthy(message));
        if let Some(message) = message {
            let message = Message::trusted_json(message.into());
            let event = Event::Message { message, peer: peer.clone() };
            self.outputs.push_back(Output::Event(event));
        }
        Ok(())
    }

    fn goodbye(
        &mut self,
        envelope: &Envelope<'_>,
        from: IpAddr,
        now: Now,
    ) -> Result<(), DropReason> {
        let known = self.members.get(&envelope.id).ok_or(DropReason::UnknownGoodbye)?;
        if known.address != from {
            // Anybody can write this datagram. The node is believed to live for as long as it
            // goes on to be heard, and no longer.
            return Err(DropReason::ForeignGoodbye);
        }
        let peer = self.members.remove(&envelope.id).expect("it is known");
        self.outputs.push_back(Output::Event(Event::Down { peer, reason: DownReason::Goodbye }));
        if envelope.id == self.id {
            self.contradict(now);
        }
        Ok(())
    }

    /// Somebody said that this node is gone: it is not. At most once in a tenth of a heartbeat.
    fn contradict(&mut self, now: Now) {
        let recently = self.last_beat.is_some_and(|last| now.mono < last + self.heartbeat / 10);
        if self.next_beat.is_some() && !recently {
            self.beat(now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        let Some(due) = self.next_beat else { return };
        if due <= now.mono {
            self.beat(now);
            // After a pause one heartbeat is sent, not all that were missed.
            let next = due + self.heartbeat;
            self.next_beat = Some(if next > now.mono { next } else { now.mono + self.heartbeat });
        }
        while let Some(peer) = self.members.expire(now.mono) {
            self.outputs
                .push_back(Output::Event(Event::Down { peer, reason: DownReason::Timeout }));
        }
    }

    /// When [`Engine::handle_timeout`] is to be called next, at the latest.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let beat = self.next_beat?;
        Some(self.members.next_deadline().map_or(beat, |deadline| deadline.min(beat)))
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Replaces the metadata, which is a valid JSON text, and tells the others at once.
    pub fn set_meta(&mut self, meta: Arc<str>, now: Now) {
        self.meta = meta;
        if self.next_beat.is_some() {
            self.beat(now);
        }
    }

    /// A heartbeat has to precede the first message, or others would see this node without its
    /// metadata.
    pub fn introduce(&mut self, now: Now) {
        if self.last_beat.is_none() {
            self.beat(now);
        }
    }

    fn beat(&mut self, now: Now) {
        if self.expose {
            self.last_beat = Some(now.mono);
            let text = envelope::heartbeat(&self.id, &self.meta);
            self.outputs.push_back(Output::Transmit(Message::trusted_json(text.into_bytes())));
        }
    }

    pub fn meta(&self) -> &Arc<str> {
        &self.meta
    }

    pub fn peer(&self, id: &NodeId) -> Option<&Peer> {
        self.members.get(id)
    }

    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.members.peers()
    }

    pub fn peer_count(&self) -> usize {
        self.members.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn at(ms: u64) -> Now {
        Now { mono: Duration::from_millis(ms), unix_ms: 1_000_000 + ms }
    }

    fn engine_with(options: Options) -> Engine {
        let options = options.with("id", "me").with("meta", &[1]);
        let config = options.resolve_node().unwrap();
        let mut engine = Engine::new(&config);
        engine.start(config.announce, config.timeout, at(0));
        engine
    }

    fn engine() -> Engine {
        engine_with(Options::for_node())
    }

    /// All outputs as text: what is sent, and the names of events with the id.
    fn outputs(engine: &mut Engine) -> Vec<String> {
        let text = |output| match output {
            Output::Transmit(message) => message.as_json().unwrap().to_owned(),
            Output::Event(Event::Update { peer, changed }) => {
                let Changed { meta, address } = changed;
                format!("update {} meta={meta} address={address}", peer.id)
            }
            Output::Event(Event::Message { message, peer }) => {
                format!("message {} {}", peer.id, message.as_json().unwrap())
            }
            Output::Event(Event::Down { peer, reason }) => {
                format!("down {} {}", peer.id, reason.as_str())
            }
            Output::Event(event) => {
                format!("{} {}", event.name(), event.lifecycle_of().unwrap())
            }
        };
        std::iter::from_fn(|| engine.poll_output()).map(text).collect()
    }

    fn hear(engine: &mut Engine, text: &str, from: IpAddr, ms: u64) -> Vec<String> {
        let _ = engine.receive(text, from, at(ms));
        outputs(engine)
    }

    const BEAT: &str = r#"{"id":"me","meta":[1]}"#;

    #[test]
    fn it_announces_itself_and_beats_on() {
        let mut engine = engine();
        assert_eq!(outputs(&mut engine), [BEAT]);
        assert_eq!(engine.poll_timeout(), Some(Duration::from_secs(1)));
        engine.handle_timeout(at(999));
        assert!(outputs(&mut engine).is_empty());
        engine.handle_timeout(at(1000));
        assert_eq!(outputs(&mut engine), [BEAT]);
        assert_eq!(engine.poll_timeout(), Some(Duration::from_secs(2)));
        // A pause is followed by one heartbeat, not by all that were missed.
        engine.handle_timeout(at(11_500));
        assert_eq!(outputs(&mut engine), [BEAT]);
        assert_eq!(engine.poll_timeout(), Some(Duration::from_millis(12_500)));
    }

    #[test]
    fn without_announce_the_first_beat_waits_unless_a_message_needs_it() {
        let mut engine = engine_with(Options::for_node().with("announce", &false));
        assert!(outputs(&mut engine).is_empty());
        engine.introduce(at(10));
        assert_eq!(outputs(&mut engine), [BEAT]);
        engine.introduce(at(20));
        assert!(outputs(&mut engine).is_empty());
    }

    #[test]
    fn hidden_it_never_beats() {
        let mut engine = engine_with(Options::for_node().with("expose", &false));
        engine.introduce(at(1));
        engine.handle_timeout(at(5000));
        engine.set_meta("2".into(), at(5001));
        assert!(outputs(&mut engine).is_empty());
    }

    #[test]
    fn a_node_comes_changes_speaks_and_goes() {
        let mut engine = engine();
        outputs(&mut engine);
        assert_eq!(
            hear(&mut engine, r#"{"id":"a","message":0}"#, HERE, 1),
            ["up a", "message a 0"]
        );
        let late = hear(&mut engine, r#"{"id":"a","meta":{"x":1}}"#, HERE, 2);
        assert_eq!(late, ["update a meta=true address=false"]);
        assert!(hear(&mut engine, r#"{"id":"a","meta":{"x":1}}"#, HERE, 3).is_empty());
        let moved = hear(&mut engine, r#"{"id":"a"}"#, THERE, 4);
        assert_eq!(moved, ["update a meta=false address=true"]);
        let peer = engine.peers().next().unwrap().clone();
        assert_eq!((peer.first_seen, peer.last_seen), (1_000_001, 1_000_004));
        assert_eq!(peer.meta.as_deref(), Some(r#"{"x":1}"#));
        let gone = hear(&mut engine, r#"{"id":"a","suicide":true,"message":"lost"}"#, THERE, 5);
        assert_eq!(gone, ["down a goodbye"]);
        assert_eq!(engine.peer_count(), 0);
    }

    #[test]
    fn silence_ends_in_down() {
        let mut engine = engine();
        for ms in [0, 1000, 2000] {
            let _ = engine.receive(r#"{"id":"a","meta":null}"#, HERE, at(ms));
        }
        outputs(&mut engine);
        engine.handle_timeout(at(4500));
        assert_eq!(outputs(&mut engine), [BEAT]);
        engine.handle_timeout(at(4501));
        assert_eq!(outputs(&mut engine), ["down a timeout"]);
    }

    #[test]
    fn a_goodbye_from_elsewhere_kills_nobody() {
        let mut engine = engine();
        hear(&mut engine, r#"{"id":"a","meta":1}"#, HERE, 1);
        let goodbye = r#"{"id":"a","suicide":true}"#;
        assert_eq!(engine.receive(goodbye, THERE, at(2)), Err(DropReason::ForeignGoodbye));
        assert_eq!(engine.peer_count(), 1);
        assert_eq!(engine.receive(goodbye, HERE, at(3)), Ok(()));
        assert_eq!(engine.receive(goodbye, HERE, at(4)), Err(DropReason::UnknownGoodbye));
    }

    #[test]
    fn it_contradicts_its_own_death_but_not_without_end() {
        let mut engine = engine();
        outputs(&mut engine);
        let goodbye = r#"{"id":"me","suicide":true}"#;
        assert!(hear(&mut engine, goodbye, THERE, 50).is_empty(), "it has only just beaten");
        assert_eq!(hear(&mut engine, goodbye, THERE, 200), [BEAT]);
        assert!(hear(&mut engine, goodbye, THERE, 250).is_empty());
        engine.stop();
        assert!(hear(&mut engine, goodbye, THERE, 900).is_empty(), "this time it is true");
    }

    #[test]
    fn it_sees_itself_only_if_asked_to() {
        let mut engine = engine();
        outputs(&mut engine);
        assert_eq!(engine.receive(BEAT, HERE, at(1)), Err(DropReason::Own));
        let mut engine = engine_with(Options::for_node().with("self", &true));
        outputs(&mut engine);
        assert_eq!(hear(&mut engine, BEAT, HERE, 1), ["up me"]);
        let said = hear(&mut engine, r#"{"id":"me","message":"x"}"#, HERE, 2);
        assert_eq!(said, ["message me \"x\""]);
    }

    #[test]
    fn falsy_messages_are_heard_unless_compat_forbids() {
        for falsy in ["0", "\"\"", "false", "null", "-0.0"] {
            let text = format!(r#"{{"id":"a","message":{falsy}}}"#);
            assert_eq!(hear(&mut engine(), &text, HERE, 1).len(), 3, "{falsy}");
            let mut compat = engine_with(Options::for_node().with("compat", "0.1.1"));
            assert_eq!(hear(&mut compat, &text, HERE, 1).len(), 2, "{falsy}");
        }
    }

    #[test]
    fn new_metadata_goes_out_at_once_and_with_every_beat() {
        let mut engine = engine();
        outputs(&mut engine);
        engine.set_meta(r#"{"v":2}"#.into(), at(10));
        let beat = r#"{"id":"me","meta":{"v":2}}"#;
        assert_eq!(outputs(&mut engine), [beat]);
        engine.handle_timeout(at(1000));
        assert_eq!(outputs(&mut engine), [beat]);
    }

    #[test]
    fn up_again_starts_with_nobody_known() {
        let mut engine = engine();
        hear(&mut engine, r#"{"id":"a","meta":1}"#, HERE, 1);
        engine.stop();
        assert_eq!(engine.peer_count(), 1, "who was there last can still be asked");
        assert_eq!(engine.poll_timeout(), None);
        engine.start(true, Duration::from_secs(2), at(5000));
        assert_eq!(engine.peer_count(), 0);
        assert_eq!(hear(&mut engine, r#"{"id":"a","meta":1}"#, HERE, 5001), [BEAT, "up a"]);
    }
}
