//! A node as a state machine: what came in and what time it is goes in, what is to be sent and
//! what happened comes out.
//!
//! Contract: after every call that takes `&mut self`, take outputs until there are none.
//!
//! docs/wire.md says what all of this looks like on the network, and where the constants are from.

use super::budget::PerSource;
use super::destination::Destination;
use super::envelope::{self, Envelope, Extension, MAX_NAMES};
use super::event::{Changed, DownReason, Event};
use super::foreign::Foreign;
use super::membership::{CONFLICT_NOTICE, Membership, NotHeard, Transition};
use super::output::Output;
use super::paths::Origin;
use super::random::Random;
use super::record::Hearing;
use super::time::Now;
use super::unicast::Unicast;
use crate::message::Message;
use crate::options::{Budgets, NodeConfig};
use crate::peer::{NodeId, Peer};
use crate::stats::{DropReason, Stats};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The pauses before each repetition of a leave, which is sent once more than there are pauses.
pub(crate) const LEAVE_PAUSES: [Duration; 2] = [Duration::from_millis(3), Duration::from_millis(5)];

/// When a node that has come up says so again, against loss.
const ANNOUNCEMENTS: [Duration; 2] = [Duration::from_millis(30), Duration::from_millis(150)];

/// How many answers a second all nodes together give to newcomers, at the most.
const ANSWERS_PER_SECOND: u32 = 500;

/// When a node corroborations for another: not before, so that the suspect itself can answer, and
/// spread out, so that one corroborate keeps the others back.
const CORROBORATE_AFTER: Duration = Duration::from_millis(5);
const CORROBORATE_SPREAD: Duration = Duration::from_millis(45);

/// While an original is in sight, heartbeats go out this many times as often: it declares a node
/// down after two or three lost ones and cannot be answered.
const BEATS_FOR_ORIGINALS: u32 = 3;

/// How long transitions are held back while the node believes that it is the one who is cut off, in
/// timeouts.
const HOLD: u32 = 10;

/// How long it waits with a transition while there is unread word, before it looks again.
const CATCH_UP: Duration = Duration::from_millis(100);

/// How many heartbeats of its own a node may fail to hear before it takes itself for cut off.
const MISSED_ECHOES: u32 = 3;

/// The node believes that it is cut off.
#[derive(Debug, Clone, Copy)]
struct Isolation {
    since: Duration,
    cause: Cause,
}

/// Why it believes that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// There is no interface to hear others by, except those on this host.
    NoLink,
    /// It does not hear itself.
    NoEcho,
    /// It hears nobody else.
    Silence,
}

/// One node.
#[derive(Debug)]
pub(crate) struct Engine {
    id: NodeId,
    meta: Arc<str>,
    expose: bool,
    heartbeat: Duration,
    timeout: Duration,
    observe_self: bool,
    drop_falsy_messages: bool,
    /// Whether heartbeats carry the extension.
    extended: bool,
    budgets: Budgets,
    newcomers: PerSource,
    members: Membership,
    random: Random,
    incarnation: u32,
    /// The incarnation before this one, whose last words may still come back.
    previous_incarnation: Option<u32>,
    /// How many heartbeats were sent since it came up.
    count: u32,
    /// When the next heartbeat is due; `None` while the node is not up.
    next_beat: Option<Duration>,
    last_beat: Option<Duration>,
    /// Repetitions of the announcement that are still due.
    announcements: VecDeque<Duration>,
    /// When a newcomer is to be answered.
    answer: Option<Duration>,
    /// Nodes to corroborate for, and when.
    corroborations: Vec<(Duration, NodeId)>,
    /// When it last had something to do, at the latest: to notice that it was away.
    awaited: Option<Duration>,
    /// Nobody is judged before then.
    detects_from: Option<Duration>,
    /// When something was last handed to it.
    called: Option<Duration>,
    heard_anybody: Option<Duration>,
    /// Its count when it last heard itself.
    echoed: Option<u32>,
    /// Whether it has heard itself by another interface than the loopback interface.
    echoed_beyond_host: bool,
    isolated: Option<Isolation>,
    /// When two nodes with the id of this one were last reported.
    own_conflict: Option<Duration>,
    foreign: Foreign,
    unicast: Unicast,
    probes_sent: u64,
    vouches_sent: u64,
    answers_merged: u64,
    outputs: VecDeque<Output>,
}

impl Engine {
    pub fn new(config: &NodeConfig, seed: u64) -> Self {
        Self {
            id: config.id.clone(),
            meta: config.meta.clone(),
            expose: config.expose,
            heartbeat: config.heartbeat,
            timeout: config.timeout,
            observe_self: config.observe_self,
            drop_falsy_messages: config.drop_falsy_messages,
            extended: config.extended,
            budgets: config.budgets.clone(),
            newcomers: PerSource::new(!seed),
            members: Membership::new(config.timeout, config.budgets.nodes),
            random: Random::new(seed),
            incarnation: 0,
            previous_incarnation: None,
            count: 0,
            next_beat: None,
            last_beat: None,
            announcements: VecDeque::new(),
            answer: None,
            corroborations: Vec::new(),
            awaited: None,
            detects_from: None,
            called: None,
            heard_anybody: None,
            echoed: None,
            echoed_beyond_host: false,
            isolated: None,
            own_conflict: None,
            foreign: Foreign::default(),
            unicast: Unicast::new(config.timeout, config.budgets.nodes),
            probes_sent: 0,
            vouches_sent: 0,
            answers_merged: 0,
            outputs: VecDeque::new(),
        }
    }

    /// The node is up from now on, with nobody known. With `announce` it says so at once.
    pub fn start(&mut self, announce: bool, now: Now) {
        self.members = Membership::new(self.timeout, self.budgets.nodes);
        self.previous_incarnation = Some(self.incarnation);
        self.incarnation = self.random.next() as u32;
        self.count = 0;
        self.last_beat = None;
        self.answer = None;
        self.corroborations.clear();
        self.awaited = None;
        self.heard_anybody = None;
        self.echoed = None;
        self.echoed_beyond_host = false;
        self.isolated = None;
        self.announcements.clear();
        self.unicast.clear();
        self.next_beat = Some(now.mono + self.heartbeat);
        if announce {
            self.announcements.extend(ANNOUNCEMENTS.map(|after| now.mono + after));
            self.beat(now, Extension { hello: true, ..Extension::default() });
        }
    }

    /// The node is down from now on. Who was known last can still be asked.
    pub fn stop(&mut self) {
        self.next_beat = None;
    }

    /// Takes in one JSON text from the network.
    pub fn receive(
        &mut self,
        text: &str,
        from: impl Into<Origin>,
        now: Now,
    ) -> Result<(), DropReason> {
        let from = from.into();
        self.notice_pause(now);
        let envelope = Envelope::parse(text)?;
        let id = &self.id_of(&envelope);
        if *id == self.id {
            self.hear_own_id(&envelope, from.address, now);
            if !self.observe_self {
                return Err(DropReason::Own);
            }
        } else if !self.is_within_host(from.address) {
            self.heard_anybody = Some(now.mono);
            if self.isolated.is_some_and(|it| it.cause != Cause::NoLink) {
                self.rejoin(now);
            }
        }
        match envelope.suicide {
            true => self.leave(id, &envelope, from, now),
            false => self.hear(id, &envelope, from, now),
        }
    }

    /// The id of who says this: the one that is in the table, if it is in the table.
    fn id_of(&mut self, envelope: &Envelope<'_>) -> NodeId {
        let id = envelope.id.as_json();
        if id == self.id.as_json() {
            return self.id.clone();
        }
        self.members.known(id).unwrap_or_else(|| envelope.id.to_node_id())
    }

    /// One that was taken in already has come by another way too.
    pub fn receive_copy(&mut self, text: &str, from: impl Into<Origin>, now: Now) {
        let Ok(envelope) = Envelope::parse(text) else { return };
        let (id, extension) = (&self.id_of(&envelope), &envelope.extension);
        if self.members.is_current(id, extension.as_ref())
            && self.members.hear_copy(id, from.into(), now)
        {
            let changed = Changed { address: true, ..Changed::default() };
            self.tell(Event::Update { peer: self.snapshot(id), changed });
        }
    }

    fn hear(
        &mut self,
        id: &NodeId,
        envelope: &Envelope<'_>,
        origin: Origin,
        now: Now,
    ) -> Result<(), DropReason> {
        let from = origin.address;
        let too_large = |text: Option<&str>, limit| text.is_some_and(|text| text.len() > limit);
        if too_large(envelope.meta, self.budgets.meta)
            || too_large(envelope.message, self.budgets.message)
        {
            return Err(DropReason::TooLarge);
        }
        if !self.members.has(id)
            && !self.newcomers.admit(from, self.budgets.new_nodes_per_second, now.mono)
        {
            return Err(DropReason::TooManyNew);
        }
        let extension = envelope.extension.as_ref();
        let hearing = Hearing {
            id,
            origin,
            meta: envelope.meta,
            beat: envelope.message.is_none(),
            extension,
            now,
        };
        let heard = self.members.hear(hearing).map_err(|why| match why {
            NotHeard::Full => DropReason::TableFull,
            NotHeard::Stale => DropReason::Stale,
        })?;
        if let Some(peer) = heard.replaced {
            self.tell(Event::Down { peer, reason: DownReason::Restart });
        }
        let changed = Changed { meta: heard.meta_changed, address: heard.address_changed };
        if heard.new {
            self.tell(Event::Up(self.snapshot(id)));
        } else if changed != Changed::default() {
            self.tell(Event::Update { peer: self.snapshot(id), changed });
        }
        if heard.conflict {
            self.tell(Event::Conflict { id: id.clone(), address: from });
        }
        let message = envelope
            .message
            .filter(|message| !self.drop_falsy_messages || envelope::truthy(message));
        if let Some(message) = message {
            let message = Message::trusted_json(message.into());
            self.tell(Event::Message { message, peer: self.snapshot(id) });
        }
        if *id != self.id {
            if heard.new || extension.is_some_and(|extension| extension.hello) {
                self.answer_newcomer(now);
            }
            if let Some(due) = self.next_beat {
                // An original that has come into sight needs more heartbeats from now on.
                self.next_beat = Some(due.min(now.mono + self.interval()));
            }
            let by_unicast = extension.is_some_and(|extension| extension.unicast);
            // A message says nothing of the way it came.
            let asked = extension.is_some_and(|extension| extension.probes.contains(&self.id));
            if envelope.message.is_none()
                && self.unicast.hear(origin.sender(), by_unicast, asked, now.mono)
            {
                self.contradict(now);
            }
            if let Some(extension) = extension {
                self.hear_extension(extension, now);
            }
        }
        Ok(())
    }

    /// A peer that is known.
    fn snapshot(&self, id: &NodeId) -> Peer {
        self.members.get(id).expect("it was just heard")
    }

    fn hear_extension(&mut self, extension: &Extension, now: Now) {
        for (id, age) in &extension.corroborations {
            let age = Duration::from_millis((*age).into());
            self.members.corroborate(id, age, now);
            // Said is said: the same corroborate again would help nobody.
            self.corroborations.retain(|(_, waiting)| waiting != id);
        }
        let strangers: Vec<SocketAddr> = extension
            .known
            .iter()
            .copied()
            .filter(|address| self.unicast.learn(*address, now.mono))
            .collect();
        self.greet(strangers);
        for id in &extension.probes {
            if *id == self.id {
                self.contradict(now);
            } else if self.members.age(id, now.mono).is_some_and(|age| age < self.timeout)
                && self.corroborations.len() < MAX_NAMES
                && !self.corroborations.iter().any(|(_, waiting)| waiting == id)
            {
                let after = CORROBORATE_AFTER + CORROBORATE_SPREAD.mul_f64(self.random.fraction());
                self.corroborations.push((now.mono + after, id.clone()));
            }
        }
    }

    fn leave(
        &mut self,
        id: &NodeId,
        envelope: &Envelope<'_>,
        origin: Origin,
        now: Now,
    ) -> Result<(), DropReason> {
        let from = origin.address;
        let extension = envelope.extension.as_ref();
        if !self.members.has(id) {
            // It is repeated against loss.
            return match self.members.has_tombstone(id, extension) {
                true => Ok(()),
                false => Err(DropReason::UnknownGoodbye),
            };
        }
        if !self.members.was_heard_from(id, from) || !self.members.is_current(id, extension) {
            // Anybody can write this datagram. The node is asked, and believed to live for as
            // long as it would be without it.
            self.members.suspect(id, now.mono);
            return Err(DropReason::ForeignGoodbye);
        }
        self.unicast.forget(origin.sender());
        let peer = self.members.remove_left(id, extension).expect("it is known");
        self.tell(Event::Down { peer, reason: DownReason::Goodbye });
        Ok(())
    }

    /// This id was heard: its own voice come back, or somebody else's.
    fn hear_own_id(&mut self, envelope: &Envelope<'_>, from: IpAddr, now: Now) {
        let incarnation = envelope.extension.as_ref().map(|extension| extension.incarnation);
        if envelope.suicide {
            self.contradict(now);
        } else if incarnation == Some(self.incarnation) {
            if self.is_within_host(from) {
                return;
            }
            self.echoed_beyond_host |= !from.is_loopback();
            self.echoed = Some(self.count);
            if self.isolated.is_some_and(|it| it.cause == Cause::NoEcho) {
                self.rejoin(now);
            }
        } else if incarnation.is_some() && incarnation != self.previous_incarnation {
            let recently = |last| now.mono < last + CONFLICT_NOTICE;
            if !self.own_conflict.is_some_and(recently) {
                self.own_conflict = Some(now.mono);
                self.tell(Event::Conflict { id: self.id.clone(), address: from });
            }
        }
    }

    /// Whether what comes from there says nothing about the network: by the loopback interface a
    /// node hears itself and others of its host even when it is cut off.
    fn is_within_host(&self, from: IpAddr) -> bool {
        from.is_loopback() && self.echoed_beyond_host
    }

    /// Somebody doubts that this node is alive: it is.
    fn contradict(&mut self, now: Now) {
        self.answer_at(now.mono, now);
    }

    /// A newcomer would like to know who is there. The larger the group, the longer the time over
    /// which the answers spread; who beats before its turn comes has answered.
    fn answer_newcomer(&mut self, now: Now) {
        let group = self.members.len() + 1;
        let spread = match group <= 3 {
            true => Duration::ZERO,
            false => Duration::from_secs(1) * group as u32 / ANSWERS_PER_SECOND,
        };
        let after = spread.mul_f64(self.random.fraction());
        self.answer_at(now.mono + after, now);
    }

    fn answer_at(&mut self, due: Duration, now: Now) {
        let gap = Duration::from_secs(1) / self.budgets.answers_per_second;
        let just_now = self.last_beat == Some(now.mono);
        if self.next_beat.is_none() || !self.expose {
            return;
        }
        self.answers_merged += u64::from(just_now || self.answer.is_some());
        if just_now {
            return;
        }
        let due = self.last_beat.map_or(due, |last| due.max(last + gap));
        let due = self.answer.map_or(due, |waiting| waiting.min(due));
        self.answer = Some(due);
        if due <= now.mono {
            self.beat(now, Extension::default());
        }
    }

    /// A stage has turned a datagram away.
    pub fn rejected(&mut self, reason: DropReason, data: &[u8], from: IpAddr, now: Now) {
        if let Some(text) = self.foreign.note(reason, data, from, now.mono) {
            self.tell(Event::Hint(text.into()));
        }
    }

    /// Puts in what the engine has counted.
    pub fn complete(&self, stats: &mut Stats) {
        stats.nodes = self.members.len() as u64;
        stats.suspects = self.members.suspects() as u64;
        stats.probes_sent = self.probes_sent;
        stats.vouches_sent = self.vouches_sent;
        stats.answers_merged = self.answers_merged;
        stats.foreign = self.foreign.counts();
    }

    /// Does what is due.
    /// What has become due is done. With `behind` nobody is judged: their words may still wait to be
    /// read.
    pub fn handle_timeout(&mut self, now: Now, behind: bool) {
        self.notice_pause(now);
        self.detects_from = behind.then(|| now.mono + CATCH_UP);
        let Some(due) = self.next_beat else { return };
        let mut said = Extension::default();
        let mut speak = false;
        if due <= now.mono {
            speak = true;
            // After a pause one heartbeat is sent, not all that were missed.
            let next = due + self.interval();
            self.next_beat = Some(if next > now.mono { next } else { now.mono + self.interval() });
            let silent = |last| now.mono > last + self.timeout;
            if self.misses_its_echo() && self.heard_anybody.is_none_or(silent) {
                self.isolate(Cause::NoEcho, now);
            }
        }
        if self.answer.is_some_and(|due| due <= now.mono) {
            speak = true;
        }
        while self.announcements.front().is_some_and(|&due| due <= now.mono) {
            self.announcements.pop_front();
            // Who has found somebody need not ask again.
            said.hello = self.members.len() == 0;
            speak = true;
        }
        if !behind {
            self.run_failure_detector(&mut said, now);
        }
        self.corroborate(&mut said, now);
        let named = !said.probes.is_empty() || !said.corroborations.is_empty();
        if speak || (named && self.extended) {
            self.probes_sent += said.probes.len() as u64;
            self.vouches_sent += said.corroborations.len() as u64;
            self.beat(now, said);
        }
    }

    fn run_failure_detector(&mut self, said: &mut Extension, now: Now) {
        while let Some(transition) = self.members.next_transition(now.mono) {
            match transition {
                Transition::Suspect(_) => {}
                Transition::Late(address) => self.port_probe(address),
                Transition::Probe(id) => {
                    if said.probes.len() < MAX_NAMES && !said.probes.contains(&id) {
                        said.probes.push(id);
                    }
                }
                Transition::Dead(_) if self.is_cut_off(now) => {}
                Transition::Dead(id) => {
                    let peer = self.members.remove(&id).expect("it was judged");
                    self.tell(Event::Down { peer, reason: DownReason::Timeout });
                }
            }
        }
    }

    /// Sends a heartbeat to the host of an original that is late. If no process there has the port
    /// open, the system says so at once.
    fn port_probe(&mut self, address: IpAddr) {
        let message =
            Message::trusted_json(envelope::heartbeat(&self.id, &self.meta, None).into_bytes());
        if self.expose && self.extended {
            self.outputs.push_back(Output::Transmit(message, Destination::PortProbe(address)));
        }
    }

    /// A host has refused a heartbeat that was sent to it alone: no process there listens. What
    /// had already fallen silent there is dead.
    pub fn refused(&mut self, address: IpAddr) {
        for id in self.members.late_originals(address) {
            let peer = self.members.remove(&id).expect("it was just found");
            self.tell(Event::Down { peer, reason: DownReason::Timeout });
        }
    }

    /// Whether it may rather be this node that nobody can reach: then a transition waits.
    fn is_cut_off(&mut self, now: Now) -> bool {
        if let Some(isolation) = self.isolated {
            return now.mono < isolation.since + self.timeout * HOLD;
        }
        if self.misses_its_echo() {
            self.isolate(Cause::NoEcho, now);
            return true;
        }
        let others = self.members.len() - usize::from(self.members.has(&self.id));
        // One that falls silent is believed to be dead; not so all of several at the same time.
        let long = self.heartbeat * 3 / 2;
        let silent = self.heard_anybody.is_none_or(|last| now.mono > last + long);
        let doubt = others >= 2 && silent;
        if doubt && self.members.suspects() >= others {
            self.isolate(Cause::Silence, now);
        }
        doubt
    }

    /// How many interfaces beyond the loopback interface there are from now on.
    pub fn links(&mut self, count: usize, now: Now) {
        if self.next_beat.is_none() {
            return;
        }
        match self.isolated {
            None if count == 0 => self.isolate(Cause::NoLink, now),
            Some(Isolation { since, .. }) if count == 0 => {
                self.isolated = Some(Isolation { since, cause: Cause::NoLink });
            }
            Some(Isolation { cause: Cause::NoLink, .. }) => self.rejoin(now),
            _ => {}
        }
    }

    fn isolate(&mut self, cause: Cause, now: Now) {
        if self.isolated.is_none() {
            self.isolated = Some(Isolation { since: now.mono, cause });
            self.tell(Event::Isolated);
        }
    }

    fn rejoin(&mut self, now: Now) {
        self.isolated = None;
        self.members.forgive(now.mono);
        self.tell(Event::Rejoined);
    }

    /// A node that used to hear itself and no longer does has lost its network.
    fn misses_its_echo(&self) -> bool {
        self.echoed.is_some_and(|count| self.count >= count + MISSED_ECHOES)
    }

    /// A process that was stopped, or a host that slept, has not heard anybody; that is nobody's
    /// death.
    fn notice_pause(&mut self, now: Now) {
        // Late is not away: who was called in the meantime is only busy.
        let called = self.called.replace(now.mono).unwrap_or_default();
        let Some(awaited) = self.awaited else { return };
        let gap = now.mono.saturating_sub(awaited.max(called));
        if gap > self.timeout / 4 {
            self.members.shift(gap, now.mono);
            self.heard_anybody = self.heard_anybody.map(|last| last + gap);
        }
        self.awaited = None;
    }

    fn corroborate(&mut self, said: &mut Extension, now: Now) {
        let mut due: Vec<NodeId> = Vec::new();
        self.corroborations.retain(|(at, id)| {
            let is_due = *at <= now.mono;
            if is_due {
                due.push(id.clone());
            }
            !is_due
        });
        for id in due {
            let age = self.members.age(&id, now.mono).filter(|age| *age < self.timeout);
            if let Some(age) = age {
                said.corroborations.push((id, age.as_millis() as u32));
            }
        }
    }

    /// When [`Engine::handle_timeout`] is to be called next, at the latest.
    pub fn poll_timeout(&mut self) -> Option<Duration> {
        let beat = self.next_beat?;
        let judgement = self.members.next_deadline();
        let due = [
            self.answer,
            self.announcements.front().copied(),
            judgement.map(|due| self.detects_from.map_or(due, |from| due.max(from))),
            self.corroborations.iter().map(|(due, _)| *due).min(),
        ];
        let due = due.into_iter().flatten().fold(beat, Duration::min);
        self.awaited = Some(due);
        Some(due)
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Replaces the metadata, which is a valid JSON text, and tells the others at once.
    pub fn set_meta(&mut self, meta: Arc<str>, now: Now) {
        self.meta = meta;
        if self.next_beat.is_some() {
            self.beat(now, Extension::default());
        }
    }

    /// A heartbeat has to precede the first message, or others would see this node without its
    /// metadata.
    pub fn introduce(&mut self, now: Now) {
        if self.last_beat.is_none() {
            self.beat(now, Extension::default());
        }
    }

    /// The goodbye of this incarnation.
    pub fn leave_message(&self) -> String {
        let extension = Extension {
            incarnation: self.incarnation,
            count: Some(self.count),
            ..Extension::default()
        };
        envelope::goodbye(&self.id, self.extended.then_some(&extension))
    }

    /// The interval at which it beats just now.
    fn interval(&self) -> Duration {
        match self.members.originals() > 0 && self.extended {
            true => self.heartbeat / BEATS_FOR_ORIGINALS,
            false => self.heartbeat,
        }
    }

    fn beat(&mut self, now: Now, said: Extension) {
        if !self.expose {
            return;
        }
        let message = self.heartbeat(said.clone());
        self.outputs.push_back(Output::Transmit(message, Destination::Group));
        let to = self.unicast.targets(now.mono);
        if !to.is_empty() {
            let known = self.unicast.tell();
            let message = self.heartbeat(Extension { unicast: true, known, ..said });
            self.outputs.push_back(Output::Transmit(message, Destination::These(to)));
        }
        self.count += 1;
        self.last_beat = Some(now.mono);
        self.answer = None;
    }

    /// Writes to somebody who may not know this node yet, and would like an answer.
    fn greet(&mut self, to: Vec<SocketAddr>) {
        if to.is_empty() || self.next_beat.is_none() || !self.expose {
            return;
        }
        let message =
            self.heartbeat(Extension { hello: true, unicast: true, ..Extension::default() });
        self.outputs.push_back(Output::Transmit(message, Destination::These(to)));
        self.count += 1;
    }

    /// The next heartbeat, with what is to be said beside.
    fn heartbeat(&self, said: Extension) -> Message {
        let extension = Extension {
            incarnation: self.incarnation,
            interval: Some(self.heartbeat.as_millis() as u32),
            count: Some(self.count),
            ..said
        };
        let extension = self.extended.then_some(&extension);
        Message::trusted_json(envelope::heartbeat(&self.id, &self.meta, extension).into_bytes())
    }

    /// Where the names of the option `seeds` lead just now.
    pub fn set_seeds(&mut self, seeds: &[SocketAddr], now: Now) {
        let new = self.unicast.set_seeds(seeds, now.mono);
        self.greet(new);
    }

    /// Where messages are to be sent as well, besides the group.
    pub fn unicast_targets(&mut self, now: Now) -> Vec<SocketAddr> {
        match self.unicast.is_empty() {
            true => Vec::new(),
            false => self.unicast.targets(now.mono),
        }
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub fn meta(&self) -> &Arc<str> {
        &self.meta
    }

    pub fn peer(&self, id: &NodeId) -> Option<Peer> {
        self.members.get(id)
    }

    pub fn peers(&self) -> impl Iterator<Item = Peer> {
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
    use std::net::{Ipv4Addr, SocketAddrV4};

    const HERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 10101));
    const THERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 10101));

    fn at(ms: u64) -> Now {
        Now { mono: Duration::from_millis(ms), unix_ms: 1_000_000 + ms }
    }

    fn engine_with(options: Options) -> Engine {
        let options = options.with("id", "me").with("meta", &[1]);
        let config = options.resolve_node().unwrap();
        let mut engine = Engine::new(&config, 1);
        engine.start(config.announce, at(0));
        engine
    }

    /// An engine that has announced itself.
    fn engine() -> Engine {
        let mut engine = engine_with(Options::for_node());
        outputs(&mut engine);
        engine
    }

    /// All outputs as text: heartbeats with what they say beyond 0.1.1, and events.
    fn outputs(engine: &mut Engine) -> Vec<String> {
        let text = |output| match output {
            Output::Transmit(message, Destination::These(to)) => {
                let envelope = Envelope::parse(message.as_json().unwrap()).unwrap();
                let extension = envelope.extension.unwrap();
                assert!(extension.unicast);
                let hello = if extension.hello { " hello" } else { "" };
                format!("beat to {to:?}{hello} {:?}", extension.known)
            }
            Output::Transmit(_, Destination::PortProbe(address)) => format!("port_probe {address}"),
            Output::Transmit(message, _) => {
                let envelope = Envelope::parse(message.as_json().unwrap()).unwrap();
                assert_eq!(envelope.id.as_json(), "\"me\"");
                let mut text = format!("beat {}", envelope.meta.unwrap());
                let Some(extension) = envelope.extension else { return text + " plain" };
                if extension.hello {
                    text += " hello";
                }
                for id in &extension.probes {
                    text += &format!(" {id}?");
                }
                for (id, age) in &extension.corroborations {
                    text += &format!(" {id}:{age}");
                }
                text
            }
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
            Output::Event(Event::Conflict { id, address }) => format!("conflict {id} {address}"),
            Output::Event(event) => match event.lifecycle_of() {
                Some(id) => format!("{} {id}", event.name()),
                None => event.name().into(),
            },
        };
        std::iter::from_fn(|| engine.poll_output()).map(text).collect()
    }

    fn hear(engine: &mut Engine, text: &str, from: SocketAddr, ms: u64) -> Vec<String> {
        let _ = engine.receive(text, from, at(ms));
        outputs(engine)
    }

    /// The heartbeat of a Caster node; `rest` goes into its extension.
    fn beat_of(id: &str, incarnation: u32, count: u32, rest: &str) -> String {
        format!(
            r#"{{"id":"{id}","meta":1,"caster":{{"b":{incarnation},"h":1000,"n":{count}{rest}}}}}"#
        )
    }

    /// Lets time pass as the driver does: nothing is done before or after it is due.
    fn run(engine: &mut Engine, until: u64) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        while let Some(due) = engine.poll_timeout()
            && due <= Duration::from_millis(until)
        {
            let now = Now { mono: due, unix_ms: 1_000_000 + due.as_millis() as u64 };
            engine.handle_timeout(now, false);
            all.extend(outputs(engine).into_iter().map(|text| (due.as_millis() as u64, text)));
        }
        all
    }

    const BEAT: &str = "beat [1]";

    #[test]
    fn it_announces_itself_and_beats_on() {
        let mut engine = engine_with(Options::for_node());
        assert_eq!(outputs(&mut engine), ["beat [1] hello"]);
        let all = run(&mut engine, 2000);
        let hello = "beat [1] hello".to_owned();
        let beat = BEAT.to_owned();
        assert_eq!(all, [(30, hello.clone()), (150, hello), (1000, beat.clone()), (2000, beat)]);
        // A pause is followed by one heartbeat, not by all that were missed.
        engine.handle_timeout(at(11_500), false);
        assert_eq!(outputs(&mut engine), [BEAT]);
        assert_eq!(engine.poll_timeout(), Some(Duration::from_millis(12_500)));
    }

    #[test]
    fn in_compat_it_beats_as_0_1_1_did() {
        let mut engine = engine_with(Options::for_node().with("compat", "0.1.1"));
        assert_eq!(outputs(&mut engine), ["beat [1] plain"]);
        assert_eq!(engine.leave_message(), r#"{"id":"me","suicide":true}"#);
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
        hear(&mut engine, &beat_of("a", 1, 0, ",\"a\":1,\"p\":[\"me\"]"), HERE, 2);
        assert!(run(&mut engine, 2000).is_empty());
        engine.set_meta("2".into(), at(2001));
        assert!(outputs(&mut engine).is_empty());
    }

    #[test]
    fn a_newcomer_is_answered_at_once_and_only_once() {
        let mut engine = engine();
        let answer = hear(&mut engine, &beat_of("a", 1, 0, ",\"a\":1"), HERE, 500);
        assert_eq!(answer, ["up a", BEAT]);
        assert!(hear(&mut engine, &beat_of("a", 1, 1, ""), HERE, 600).is_empty());
        // It has not heard the answer.
        assert_eq!(hear(&mut engine, &beat_of("a", 1, 2, ",\"a\":1"), HERE, 700), [BEAT]);
        // An original cannot ask, and is answered all the same.
        assert_eq!(hear(&mut engine, r#"{"id":"old","meta":1}"#, HERE, 800), ["up old", BEAT]);
    }

    #[test]
    fn in_a_large_group_answers_spread_out_and_a_beat_is_an_answer() {
        let mut engine = engine();
        for n in 0..400 {
            hear(&mut engine, &beat_of(&format!("n{n}"), n, 0, ""), HERE, 100);
        }
        run(&mut engine, 1100);
        let heard = hear(&mut engine, &beat_of("late", 9, 0, ",\"a\":1"), HERE, 1100);
        assert_eq!(heard, ["up late"]);
        let due = engine.poll_timeout().unwrap();
        assert!(due > Duration::from_millis(1100) && due <= Duration::from_millis(2000));
    }

    #[test]
    fn a_flood_of_newcomers_costs_one_answer_in_twenty_ms() {
        let mut engine = engine();
        let mut beats = 0;
        run(&mut engine, 199);
        for n in 0..200 {
            let id = format!("{{\"id\":\"{n}\",\"meta\":1}}");
            let heard = hear(&mut engine, &id, HERE, 200 + n);
            beats += heard.iter().filter(|text| text.starts_with("beat")).count();
            beats += run(&mut engine, 200 + n).iter().filter(|(_, t)| t.contains("beat")).count();
        }
        assert!((2..=11).contains(&beats), "{beats}");
        // Each newcomer had an answer of its own or shared one; the last one may still wait.
        let answered = engine.answers_merged + beats as u64;
        assert!((199..=201).contains(&answered), "{answered}");
    }

    #[test]
    fn a_node_comes_changes_speaks_and_goes() {
        let mut engine = engine();
        let first = hear(&mut engine, r#"{"id":"a","message":0}"#, HERE, 1);
        assert_eq!(first, ["up a", "message a 0"]);
        let late = hear(&mut engine, r#"{"id":"a","meta":{"x":1}}"#, HERE, 2);
        assert_eq!(late, ["update a meta=true address=false"]);
        assert!(hear(&mut engine, r#"{"id":"a","meta":{"x":1}}"#, HERE, 3).is_empty());
        assert!(hear(&mut engine, r#"{"id":"a"}"#, THERE, 4).is_empty(), "it may have two");
        let mut moved = Vec::new();
        for ms in (1000..=7000).step_by(1000) {
            run(&mut engine, ms);
            moved.extend(hear(&mut engine, r#"{"id":"a"}"#, THERE, ms));
        }
        assert_eq!(moved, ["update a meta=false address=true"]);
        let peer = engine.peers().next().unwrap();
        assert_eq!((peer.first_seen, peer.last_seen), (1_000_001, 1_007_000));
        assert_eq!(peer.meta.as_deref(), Some(r#"{"x":1}"#));
        let gone = hear(&mut engine, r#"{"id":"a","suicide":true,"message":"lost"}"#, THERE, 7005);
        assert_eq!(gone, ["down a goodbye"]);
        assert_eq!(engine.peer_count(), 0);
    }

    #[test]
    fn a_crash_is_down_after_suspicion_and_probes() {
        let mut engine = engine();
        for n in 0..3 {
            run(&mut engine, u64::from(n) * 1000);
            hear(&mut engine, &beat_of("a", 7, n, ""), HERE, u64::from(n) * 1000);
        }
        let all = run(&mut engine, 6000);
        let probes: Vec<_> = all.iter().filter(|(_, text)| text.contains("a?")).collect();
        assert_eq!(probes.len(), 20);
        assert!(probes.iter().all(|(ms, _)| (4000..4500).contains(ms)), "{probes:?}");
        let down = all.iter().find(|(_, text)| text == "down a timeout").unwrap();
        assert_eq!(down.0, 4500);
    }

    #[test]
    fn a_suspect_that_answers_stays() {
        let mut engine = engine();
        hear(&mut engine, &beat_of("a", 7, 0, ""), HERE, 0);
        run(&mut engine, 2100);
        assert!(engine.peers().next().unwrap().suspect);
        assert!(hear(&mut engine, &beat_of("a", 7, 1, ""), HERE, 2100).is_empty());
        assert!(!engine.peers().next().unwrap().suspect);
    }

    #[test]
    fn it_answers_probes_and_vouches_for_others() {
        let mut engine = engine();
        hear(&mut engine, &beat_of("a", 7, 0, ""), HERE, 0);
        run(&mut engine, 500);
        let probe = |ids: &str| beat_of("b", 8, 0, &format!(",\"p\":[{ids}]"));
        assert_eq!(hear(&mut engine, &probe("\"me\""), THERE, 500), ["up b", BEAT]);
        assert!(hear(&mut engine, &probe("\"a\",\"nobody\""), THERE, 520).is_empty());
        let all = run(&mut engine, 600);
        assert_eq!(all.len(), 1, "{all:?}");
        let (ms, text) = &all[0];
        assert!((525..=570).contains(ms) && *text == format!("beat [1] a:{ms}"), "{all:?}");
        // Somebody else was quicker.
        hear(&mut engine, &probe("\"a\""), THERE, 700);
        hear(&mut engine, &beat_of("c", 9, 0, ",\"v\":[[\"a\",100]]"), THERE, 701);
        assert!(run(&mut engine, 900).iter().all(|(_, text)| !text.contains("a:")));
        assert_eq!(engine.peer(&NodeId::new("a").unwrap()).unwrap().last_seen, 1_000_601);
    }

    #[test]
    fn beats_are_frequent_while_an_original_is_in_sight() {
        let beats = |engine: &mut Engine, from, until| {
            run(engine, from);
            run(engine, until).iter().filter(|(_, text)| text.starts_with("beat")).count()
        };
        let mut engine = engine();
        assert_eq!(beats(&mut engine, 900, 3900), 3);
        for ms in [4000, 5000, 6000] {
            run(&mut engine, ms);
            hear(&mut engine, r#"{"id":"old","meta":1}"#, HERE, ms);
        }
        assert_eq!(beats(&mut engine, 6000, 8000), 6);
        hear(&mut engine, r#"{"id":"old","suicide":true}"#, HERE, 8001);
        assert_eq!(beats(&mut engine, 9000, 12_000), 3);
    }

    #[test]
    fn an_original_is_dead_when_its_host_refuses_the_port() {
        let mut engine = engine();
        for (id, from) in [("old", HERE), ("other", THERE)] {
            for ms in [0, 2000, 4000] {
                run(&mut engine, ms);
                hear(&mut engine, &format!(r#"{{"id":"{id}","meta":1}}"#), from, ms);
            }
        }
        engine.refused(HERE.ip());
        assert!(outputs(&mut engine).is_empty(), "it has only just beaten");
        let all = run(&mut engine, 7001);
        assert!(all.contains(&(7000, "port_probe 10.0.0.1".into())), "{all:?}");
        engine.refused(HERE.ip());
        assert_eq!(outputs(&mut engine), ["down old timeout"]);
        assert_eq!(engine.peer_count(), 1);
    }

    #[test]
    fn a_goodbye_that_is_not_its_own_makes_suspect_and_kills_nobody() {
        let mut engine = engine();
        hear(&mut engine, &beat_of("a", 7, 3, ""), HERE, 1);
        let cases = [
            (r#"{"id":"a","suicide":true}"#.to_owned(), HERE),
            (r#"{"id":"a","suicide":true,"caster":{"b":6,"n":9}}"#.to_owned(), HERE),
            (r#"{"id":"a","suicide":true,"caster":{"b":7,"n":9}}"#.to_owned(), THERE),
        ];
        for (ms, (goodbye, from)) in (10..).zip(&cases) {
            assert_eq!(engine.receive(goodbye, *from, at(ms)), Err(DropReason::ForeignGoodbye));
            assert!(engine.peers().next().unwrap().suspect);
            let probed = run(&mut engine, ms + 1);
            assert!(probed.iter().any(|(_, text)| text.contains("a?")), "{probed:?}");
            hear(&mut engine, &beat_of("a", 7, 4, ""), HERE, ms + 1);
        }
        assert_eq!(engine.receive(&cases[2].0, HERE, at(20)), Ok(()));
        assert_eq!(outputs(&mut engine), ["down a goodbye"]);
        assert_eq!(engine.receive(&cases[2].0, HERE, at(21)), Ok(()), "it is repeated");
        assert!(outputs(&mut engine).is_empty());
        assert_eq!(engine.receive(&cases[0].0, HERE, at(21)), Err(DropReason::UnknownGoodbye));
        let late = beat_of("a", 7, 8, "");
        assert_eq!(engine.receive(&late, HERE, at(22)), Err(DropReason::Stale));
    }

    #[test]
    fn a_hidden_node_that_has_spoken_can_say_goodbye() {
        let mut engine = engine();
        hear(&mut engine, r#"{"id":"a","message":"psst"}"#, HERE, 1);
        let goodbye = r#"{"id":"a","suicide":true,"caster":{"b":6,"n":0}}"#;
        assert_eq!(hear(&mut engine, goodbye, HERE, 2), ["down a goodbye"]);
    }

    #[test]
    fn it_contradicts_its_own_death_but_not_without_end() {
        let mut engine = engine();
        let goodbye = r#"{"id":"me","suicide":true}"#;
        assert!(hear(&mut engine, goodbye, THERE, 10).is_empty(), "it has only just beaten");
        assert_eq!(run(&mut engine, 25), [(20, BEAT.to_owned())]);
        assert_eq!(hear(&mut engine, goodbye, THERE, 500), [BEAT]);
        engine.stop();
        assert!(hear(&mut engine, goodbye, THERE, 900).is_empty(), "this time it is true");
    }

    #[test]
    fn a_restart_is_down_and_up() {
        let mut engine = engine();
        hear(&mut engine, &beat_of("a", 7, 3, ""), HERE, 1);
        let again = hear(&mut engine, &beat_of("a", 8, 0, ",\"a\":1"), HERE, 500);
        assert_eq!(again, ["down a restart", "up a", BEAT]);
    }

    #[test]
    fn two_nodes_with_one_id_are_told_of_as_is_one_with_this_id() {
        let mut engine = engine();
        hear(&mut engine, &beat_of("a", 7, 3, ""), HERE, 1);
        hear(&mut engine, &beat_of("a", 8, 3, ""), THERE, 2);
        let told = hear(&mut engine, &beat_of("a", 7, 4, ""), HERE, 3);
        assert_eq!(told, ["conflict a 10.0.0.1"]);
        assert!(hear(&mut engine, &beat_of("a", 8, 4, ""), THERE, 4).is_empty());
        let own = beat_of("me", 7, 0, "");
        assert_eq!(hear(&mut engine, &own, THERE, 5), ["conflict me 10.0.0.2"]);
        assert!(hear(&mut engine, &own, THERE, 6).is_empty());
    }

    #[test]
    fn being_stopped_for_a_while_is_nobodys_death() {
        let mut engine = engine();
        for name in ["a", "b"] {
            hear(&mut engine, &beat_of(name, 7, 0, ""), HERE, 100);
        }
        run(&mut engine, 900);
        engine.poll_timeout();
        // SIGSTOP for half a minute; what waits in the socket is read first.
        hear(&mut engine, &beat_of("a", 7, 1, ""), HERE, 31_000);
        engine.handle_timeout(at(31_001), false);
        outputs(&mut engine);
        let all = run(&mut engine, 32_000);
        assert!(all.iter().all(|(_, text)| !text.starts_with("down")), "{all:?}");
        assert_eq!(engine.peer_count(), 2);
    }

    #[test]
    fn when_all_fall_silent_at_once_it_is_isolated_and_holds_its_verdicts() {
        let mut engine = engine();
        for n in 0..3 {
            for (name, ms) in [("a", 100), ("b", 500), ("c", 900)] {
                let ms = u64::from(n) * 1000 + ms;
                run(&mut engine, ms);
                hear(&mut engine, &beat_of(name, 7, n, ""), HERE, ms);
            }
        }
        let all = run(&mut engine, 10_000);
        let events: Vec<_> = all.iter().filter(|(_, text)| !text.starts_with("beat")).collect();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0].1, "isolated");
        assert_eq!(hear(&mut engine, &beat_of("b", 7, 9, ""), HERE, 10_001), ["rejoined"]);
        run(&mut engine, 11_500);
        assert_eq!(engine.peer_count(), 3);
        // Who does not come back is down after all.
        hear(&mut engine, &beat_of("b", 7, 10, ""), HERE, 11_500);
        let downs = run(&mut engine, 13_400);
        let downs = downs.iter().filter(|(_, text)| text.starts_with("down")).count();
        assert_eq!(downs, 2);
    }

    #[test]
    fn isolation_does_not_hold_for_ever() {
        let mut engine = engine();
        for name in ["a", "b"] {
            hear(&mut engine, &beat_of(name, 7, 0, ""), HERE, 100);
        }
        let all = run(&mut engine, 60_000);
        let events: Vec<_> = all.iter().filter(|(_, text)| !text.starts_with("beat")).collect();
        assert_eq!(events[0].1, "isolated");
        assert_eq!(events.len(), 3, "{events:?}");
        assert!(events[1].0 > 20_000 && engine.peer_count() == 0);
    }

    #[test]
    fn not_hearing_itself_any_more_is_isolation_too() {
        let mut engine = engine();
        let own = beat_of("me", engine.incarnation, 0, "");
        hear(&mut engine, &own, HERE, 0);
        let all = run(&mut engine, 5000);
        assert_eq!(all.iter().filter(|(_, text)| text == "isolated").count(), 1, "{all:?}");
        assert_eq!(hear(&mut engine, &own, HERE, 5001), ["rejoined"]);
    }

    #[test]
    fn seeds_are_greeted_and_who_writes_alone_is_answered_alone() {
        let mut engine = engine();
        let seed: SocketAddr = "10.0.0.9:10101".parse().unwrap();
        engine.set_seeds(&[seed], at(500));
        assert_eq!(outputs(&mut engine), ["beat to [10.0.0.9:10101] hello []"]);
        let answer = hear(&mut engine, &beat_of("s", 1, 0, ",\"u\":1"), seed, 501);
        assert_eq!(answer[0], "up s");
        // The answer goes to the group and to the seed; what it told of is greeted.
        let told = ",\"u\":1,\"k\":[\"10.0.0.8:10101\"]";
        let greeted = hear(&mut engine, &beat_of("s", 1, 1, told), seed, 700);
        assert_eq!(greeted, ["beat to [10.0.0.8:10101] hello []"]);
        let all = run(&mut engine, 1000);
        let alone: Vec<_> = all.iter().filter(|(_, text)| text.starts_with("beat to")).collect();
        let text = "beat to [10.0.0.8:10101, 10.0.0.9:10101] [10.0.0.9:10101]";
        assert_eq!(alone.last().unwrap().1, text);
        // From now on multicast reaches it, and it no longer writes alone.
        for (count, ms) in [(2, 2000), (3, 3000), (4, 4000)] {
            run(&mut engine, ms);
            hear(&mut engine, &beat_of("s", 1, count, ""), seed, ms);
        }
        assert_eq!(engine.unicast_targets(at(4001)), ["10.0.0.8:10101".parse().unwrap()]);
    }

    #[test]
    fn without_an_interface_it_is_isolated_and_blames_nobody() {
        let mut engine = engine();
        hear(&mut engine, &beat_of("a", 7, 0, ""), HERE, 0);
        engine.links(1, at(1));
        assert!(outputs(&mut engine).is_empty());
        engine.links(0, at(100));
        engine.links(0, at(101));
        assert_eq!(outputs(&mut engine), ["isolated"]);
        // Somebody on this host is still heard, as the node is by itself.
        for n in 1..8 {
            let own = beat_of("me", engine.incarnation, n, "");
            hear(&mut engine, &own, HERE, u64::from(n) * 1000);
            hear(&mut engine, &beat_of("local", 8, n, ""), HERE, u64::from(n) * 1000);
            let all = run(&mut engine, u64::from(n) * 1000 + 900);
            assert!(all.iter().all(|(_, text)| text.starts_with("beat")), "{all:?}");
        }
        engine.links(1, at(8000));
        assert_eq!(outputs(&mut engine), ["rejoined"]);
        // Who does not come back is down after all.
        hear(&mut engine, &beat_of("local", 8, 8, ""), HERE, 8000);
        let mut all = run(&mut engine, 10_460);
        let own = beat_of("me", engine.incarnation, 9, "");
        hear(&mut engine, &own, HERE, 10_460);
        hear(&mut engine, &beat_of("local", 8, 9, ""), HERE, 10_460);
        all.extend(run(&mut engine, 11_000));
        let events: Vec<_> = all.iter().filter(|(_, text)| !text.starts_with("beat")).collect();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(*events[0], (10_500, "down a timeout".to_owned()));
    }

    #[test]
    fn it_sees_itself_only_if_asked_to() {
        let mut engine = engine();
        let own = r#"{"id":"me","meta":[1]}"#;
        assert_eq!(engine.receive(own, HERE, at(1)), Err(DropReason::Own));
        let mut engine = engine_with(Options::for_node().with("self", &true));
        outputs(&mut engine);
        assert_eq!(hear(&mut engine, own, HERE, 1), ["up me"]);
        let said = hear(&mut engine, r#"{"id":"me","message":"x"}"#, HERE, 2);
        assert_eq!(said, ["message me \"x\""]);
    }

    #[test]
    fn falsy_messages_are_heard_unless_compat_forbids() {
        let messages = |engine: &mut Engine, text: &str| {
            let heard = hear(engine, text, HERE, 1);
            heard.iter().filter(|text| text.starts_with("message")).count()
        };
        for falsy in ["0", "\"\"", "false", "null", "-0.0"] {
            let text = format!(r#"{{"id":"a","message":{falsy}}}"#);
            assert_eq!(messages(&mut engine(), &text), 1, "{falsy}");
            let mut compat = engine_with(Options::for_node().with("compat", "0.1.1"));
            assert_eq!(messages(&mut compat, &text), 0, "{falsy}");
        }
    }

    #[test]
    fn new_metadata_goes_out_at_once_and_with_every_beat() {
        let mut engine = engine();
        run(&mut engine, 500);
        engine.set_meta(r#"{"v":2}"#.into(), at(510));
        assert_eq!(outputs(&mut engine), [r#"beat {"v":2}"#]);
        assert_eq!(run(&mut engine, 1000), [(1000, r#"beat {"v":2}"#.to_owned())]);
    }

    #[test]
    fn up_again_starts_with_nobody_known() {
        let mut engine = engine();
        hear(&mut engine, &beat_of("a", 7, 0, ""), HERE, 1);
        engine.stop();
        assert_eq!(engine.peer_count(), 1, "who was there last can still be asked");
        assert_eq!(engine.poll_timeout(), None);
        engine.start(true, at(5000));
        assert_eq!(engine.peer_count(), 0);
        let all = hear(&mut engine, &beat_of("a", 7, 1, ""), HERE, 5100);
        assert_eq!(all, ["beat [1] hello", "up a", BEAT]);
    }
}
