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
            self.next_beat = Some((due + self.heartbeat).max(now.mono));
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
