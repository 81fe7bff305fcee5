//! Heartbeats and answers: when they are sent and which statements they carry.

use super::{ANSWERS_PER_SECOND, Engine, Reply};
use crate::message::Message;
use crate::options::Originals;
use crate::peer::NodeId;
use crate::protocol::destination::Destination;
use crate::protocol::envelope::{self, Extension, capability};
use crate::protocol::output::Output;
use crate::protocol::paths::Origin;
use crate::protocol::targets;
use crate::protocol::time::Now;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How many nodes answer an id that is new and did not ask: it may never be heard again.
const ANSWERS_UNASKED: f64 = 10.0;

/// How many heartbeats a node brings forward in one interval because others ask for one: as many
/// nodes may come up at a time, and each is told of all that were up before it. For new ids that do
/// not ask it is one.
pub(super) const ANSWERS_PER_INTERVAL: u32 = 10;
const UNASKED_PER_INTERVAL: u32 = 1;

/// While an original is in sight, heartbeats go out this many times as often: it declares a node
/// down after two or three lost ones and cannot be answered.
const BEATS_FOR_ORIGINALS: u32 = 3;

/// Heartbeats vary by up to this part of the interval, so that nodes that start together do not
/// send in step. A peer is late only after twice as much.
const JITTER: f64 = 0.05;

/// An answer by unicast has at most three bytes for two that asked for it. The address gets as much
/// again in challenges: three times the bytes in all (RFC 9000, section 8).
const AMPLIFICATION: usize = 3;

/// How many answers by unicast wait at once.
const MAX_REPLIES: usize = 64;

/// How many addresses one heartbeat tells.
const MAX_TOLD: usize = 8;

impl Engine {
    /// A hello without an id. The random number in place of an incarnation keeps it apart from that of
    /// another program: equal bytes from two sources are copies of one datagram.
    pub fn anonymous_hello(&mut self) -> Message {
        let number = self.random.next() as u32;
        Message::trusted_json(format!(r#"{{"caster":{{"a":1,"b":{number}}}}}"#).into_bytes())
    }

    /// This node is asked for by name, or said to be gone: it answers at once, with its addresses.
    pub(super) fn answer_by_name(&mut self, now: Now) {
        if self.answered_by_name == Some(now.mono) {
            self.answers_merged += 1;
            return;
        }
        self.asked_by_name = true;
        self.answer_at(now.mono, now);
    }

    /// A node asks all others to answer. The larger the group, the longer the time over which the
    /// answers spread; a node whose next heartbeat is due before has answered.
    pub(super) fn answer_hello(&mut self, now: Now) {
        self.answer_others(true, now);
    }

    fn answer_others(&mut self, asked: bool, now: Now) {
        let group = self.members.len() + 1;
        let spread = match group <= 3 {
            true => Duration::ZERO,
            false => Duration::from_secs(1) * group as u32 / ANSWERS_PER_SECOND,
        };
        let after = spread.mul_f64(self.random.fraction());
        self.bring_forward(now.mono + after, asked, now);
    }

    /// A node is new and has not asked: some answer it.
    pub(super) fn answer_newcomer(&mut self, now: Now) {
        let group = (self.members.len() + 1) as f64;
        if self.random.fraction() * group < ANSWERS_UNASKED {
            self.answer_others(false, now);
        }
    }

    /// Brings the next heartbeat forward, unless so many were in this interval.
    fn bring_forward(&mut self, due: Duration, asked: bool, now: Now) {
        let (since, times) = &mut self.brought_forward;
        if now.mono >= *since + self.heartbeat {
            (*since, *times) = (now.mono, [0; 2]);
        }
        let per_interval = if asked { ANSWERS_PER_INTERVAL } else { UNASKED_PER_INTERVAL };
        let times = &mut times[usize::from(!asked)];
        if self.answer.is_none() && *times >= per_interval {
            self.answers_merged += 1;
            return;
        }
        *times += u32::from(self.answer.is_none());
        self.answer_at(due, now);
    }

    /// A heartbeat is due that others have asked for.
    fn answer_at(&mut self, due: Duration, now: Now) {
        let just_now = self.last_beat == Some(now.mono);
        if self.next_beat.is_none() || !self.expose {
            return;
        }
        self.answers_merged += u64::from(just_now || self.answer.is_some());
        if just_now && !self.asked_by_name {
            return;
        }
        let due = due.max(self.allowed_from());
        let due = self.answer.map_or(due, |waiting| waiting.min(due));
        self.answer = Some(due);
        if due <= now.mono {
            self.beat(now, Extension::default());
        }
    }

    /// When the budget allows the next heartbeat that others have caused.
    pub(super) fn allowed_from(&self) -> Duration {
        let gap = Duration::from_secs(1) / self.budgets.answers_per_second;
        self.last_beat.map_or(Duration::ZERO, |last| last + gap)
    }

    /// Replaces the metadata, which is a valid JSON text, and tells the others at once.
    pub fn set_meta(&mut self, meta: Arc<str>, now: Now) {
        self.meta = meta;
        self.meta_hash = None;
        self.metadata.changed();
        if self.next_beat.is_some() {
            self.beat(now, Extension::default());
        }
    }

    /// A heartbeat has to precede the first message, or others would see this node without its
    /// metadata.
    pub fn introduce(&mut self, now: Now) {
        if !self.is_introduced() {
            self.beat(now, Extension::default());
        }
    }

    /// Whether it has sent a heartbeat.
    pub fn is_introduced(&self) -> bool {
        self.last_beat.is_some()
    }

    /// The leave of this incarnation.
    pub fn leave_message(&self) -> String {
        let secret = self.last_beat.is_some().then_some(self.leave_secret);
        let extension = Extension {
            incarnation: self.incarnation,
            count: Some(self.count),
            leave_secret: secret,
            ..Extension::default()
        };
        envelope::leave(&self.id, self.extended.then_some(&extension))
    }

    /// Whether the rules for originals apply.
    pub(super) fn serves_originals(&self) -> bool {
        match self.originals {
            Originals::Auto => self.members.originals() > 0,
            Originals::Expect => true,
            Originals::Never => false,
        }
    }

    /// The interval of heartbeats just now.
    pub(super) fn interval(&self) -> Duration {
        match self.serves_originals() && self.extended {
            true => self.heartbeat / BEATS_FOR_ORIGINALS,
            false => self.heartbeat,
        }
    }

    /// Sends a heartbeat with everything that waits to be told. The one after it is due an interval
    /// later.
    pub(super) fn beat(&mut self, now: Now, mut said: Extension) {
        if let Some(due) = self.next_beat {
            // Heartbeats that were brought forward take the place of the regular ones.
            let jitter = 1.0 + JITTER * (2.0 * self.random.fraction() - 1.0);
            let regular = due <= now.mono || self.answer.is_some_and(|at| at <= now.mono);
            if regular || self.last_beat.is_none() {
                self.next_beat = Some(now.mono + self.interval().mul_f64(jitter));
            }
        }
        if !self.expose {
            self.last_beat = Some(now.mono);
            return;
        }
        self.take_names(&mut said, now);
        let known = self.targets.tell_group(MAX_TOLD, now.mono);
        let group = self.heartbeat(Extension { known, ..said.clone() }, self.limits.room());
        self.outputs.push_back(Output::Transmit(group, Destination::Group));
        self.beat_in_full(now);
        let to = self.targets.beats_to(now.mono);
        if !to.is_empty() {
            let known = self.targets.tell(MAX_TOLD, now.mono);
            let said = Extension { unicast: true, known, ..said };
            let alone = self.heartbeat(said, self.limits.room_alone());
            self.outputs.push_back(Output::Transmit(alone, Destination::These(to.to_vec())));
        }
        if !self.targets.is_empty() {
            let actions = self.targets.due(now.mono);
            self.act(actions);
        }
        self.count = self.count.wrapping_add(1);
        self.last_beat = Some(now.mono);
        self.answer = None;
        self.asked_by_name = false;
    }

    /// Moves what waits to be told into a heartbeat.
    fn take_names(&mut self, said: &mut Extension, now: Now) {
        said.probes = std::mem::take(&mut self.probes);
        said.refused = std::mem::take(&mut self.refused);
        let mut due: Vec<NodeId> = Vec::new();
        self.corroborations.retain(|waiting| {
            let is_due = waiting.due <= now.mono;
            if is_due {
                due.push(waiting.id.clone());
            }
            !is_due
        });
        for id in due {
            // Only what was heard itself: a corroboration must not lead to the next.
            let age = self.members.silence(&id, now.mono).filter(|age| *age < self.timeout);
            if let Some(age) = age {
                said.corroborations.push((id, age.as_millis() as u32));
            }
        }
        said.wanted = self.metadata.take_questions(now.mono);
        if self.asked_by_name {
            self.answered_by_name = Some(now.mono);
        }
        if self.asked_by_name || said.hello {
            let own = self.own_addresses.iter().copied();
            said.own = own.take(envelope::MAX_OWN).collect();
        }
        self.probes_sent += said.probes.len() as u64;
        self.vouches_sent += said.corroborations.len() as u64;
    }

    /// Answers by unicast one datagram that asked for it, with no more bytes than it may have had.
    pub(super) fn answer_alone(&mut self, to: Origin, token: Option<u64>, about: Option<NodeId>) {
        let may_speak = self.speaks() && self.next_beat.is_some();
        let is_user_port = targets::is_user_port(to.port, self.group_port);
        if may_speak && is_user_port && self.replies.len() < MAX_REPLIES {
            self.replies.push(Reply { to, token, about });
        }
    }

    /// Sends the answers by unicast that wait, without metadata: the address that asked may be
    /// forged.
    pub(super) fn reply(&mut self, now: Now) {
        let second = now.mono.as_secs();
        if self.replied.0 != second {
            self.replied = (second, 0);
        }
        for Reply { to, token: echo, about } in std::mem::take(&mut self.replies) {
            if self.replied.1 >= self.budgets.answers_per_second {
                self.answers_merged += 1;
                continue;
            }
            self.replied.1 += 1;
            let heard = about.and_then(|id| {
                let age = self.members.silence(&id, now.mono).filter(|age| *age < self.timeout)?;
                Some((id, age.as_millis() as u32))
            });
            let corroborations: Vec<_> = heard.into_iter().collect();
            self.vouches_sent += corroborations.len() as u64;
            let said = Extension { echo, corroborations, ..Extension::default() };
            let text = self.text_alone(said);
            // A firewall, or a router that translates addresses, may pass only what comes from where the
            // question went.
            if 2 * text.len() <= AMPLIFICATION * to.size {
                self.send_text(Destination::TheseFrom(to.local_port(), vec![to.sender()]), text);
            }
        }
    }

    /// Sends a heartbeat without metadata to one address.
    pub(super) fn send_alone(&mut self, to: SocketAddr, said: Extension) {
        let text = self.text_alone(said);
        self.send_text(Destination::These(vec![to]), text);
    }

    fn text_alone(&self, said: Extension) -> String {
        let said = self.extension(Extension { unicast: true, ..said });
        envelope::heartbeat(&self.id, None, Some(&said))
    }

    fn send_text(&mut self, to: Destination, text: String) {
        let message = Message::trusted_json(text.into_bytes());
        self.outputs.push_back(Output::Transmit(message, to));
    }

    /// Does what the addresses beyond multicast need.
    pub(super) fn act(&mut self, actions: Vec<targets::Action>) {
        if !self.speaks() || self.next_beat.is_none() {
            return;
        }
        for action in actions {
            match action {
                targets::Action::Challenge(to, token, from) => {
                    let challenge = Some(token);
                    let text = self.text_alone(Extension { challenge, ..Extension::default() });
                    self.send_text(Destination::TheseFrom(from, vec![to]), text);
                }
                targets::Action::Introduce { to, about } => {
                    self.send_alone(to, Extension { known: about, ..Extension::default() });
                }
                targets::Action::Greet(to) => {
                    let hello = Extension { hello: true, unicast: true, ..Extension::default() };
                    let message = self.heartbeat(hello, self.limits.room_alone());
                    let to = Destination::These(vec![to]);
                    self.outputs.push_back(Output::Transmit(message, to));
                }
                targets::Action::IntroduceToGroup(known) => {
                    let said = self.extension(Extension { known, ..Extension::default() });
                    let text = envelope::heartbeat(&self.id, None, Some(&said));
                    self.send_text(Destination::Group, text);
                }
            }
        }
    }

    /// The keys that each heartbeat carries, and those of this one.
    #[inline(never)]
    pub(super) fn extension(&self, said: Extension) -> Extension {
        Extension {
            incarnation: self.incarnation,
            interval: Some(self.heartbeat.as_millis() as u32),
            count: Some(self.count),
            capabilities: Some(self.capabilities()),
            leave_hash: Some(self.leave_hash),
            port: self.port,
            misreported: self.misreported.is_some_and(|until| self.called < Some(until)),
            ..said
        }
    }

    pub(super) fn capabilities(&self) -> u32 {
        let pieces = capability::SLIM | capability::PIECES;
        let pieces = if self.limits.pieces { pieces } else { 0 };
        capability::CHALLENGE | capability::LEAVE_PROOF | pieces
    }

    /// A heartbeat of up to `room` bytes: with its metadata if that fits, else with the hash of it. Lists end
    /// where it is full.
    pub(super) fn heartbeat(&mut self, said: Extension, room: usize) -> Message {
        let mut extension = self.extended.then(|| self.extension(said));
        let full = envelope::heartbeat(&self.id, Some(&self.meta), extension.as_ref());
        let text = match &mut extension {
            Some(extension) if full.len() > room => {
                let meta = match self.slim_hash() {
                    Some(hash) => {
                        extension.meta_hash = Some(hash);
                        None
                    }
                    None => Some(&*self.meta),
                };
                envelope::heartbeat_within(room, &self.id, meta, Some(extension))
            }
            _ => full,
        };
        Message::trusted_json(text.into_bytes())
    }
}
