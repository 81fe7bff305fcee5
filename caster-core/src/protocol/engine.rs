//! A node as a state machine: datagrams and the time go in, datagrams to send and events come out.
//!
//! Contract: after every call that takes `&mut self`, take outputs until there are none.
//!
//! docs/wire.md specifies what each statement may change, for how long it holds and what it may
//! cost, and where the constants come from.

mod data;
mod held;
mod sealed;

use super::budget::PerSource;
use super::challenge::Challenger;
use super::claims::{self, Claims};
use super::destination::{Destination, LocalPort};
use super::envelope::{self, Envelope, Extension, MAX_NAMES, capability};
use super::event::{Changed, DownReason, Event};
use super::foreign::Foreign;
use super::isolation::{Change, Isolation};
use super::known_sources::KnownSources;
use super::limits::Limits;
use super::membership::{CONFLICT_NOTICE, DIRECT, Membership, NotHeard, Transition};
use super::metadata::Metadata;
use super::output::Output;
use super::paths::Origin;
use super::pieces::Outbox;
use super::random::Random;
use super::reassembly::Inbox;
use super::record::Hearing;
use super::refusal::{self, HEARD_BEFORE_CLAIM, Inquiries, watches};
use super::sealed::Sealed;
use super::targets::{self, Targets, TargetsConfig};
use super::time::Now;
use super::unbelieved::Unbelieved;
use crate::message::Message;
use crate::options::{Budgets, NodeConfig, Originals};
use crate::peer::{NodeId, Peer, PeerDetails};
use crate::stats::{DropReason, Stats};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The pauses before each repetition of a leave, which is sent once more than there are pauses.
pub(crate) const LEAVE_PAUSES: [Duration; 2] = [Duration::from_millis(3), Duration::from_millis(5)];

/// When a node that has come up announces itself again, against loss.
const ANNOUNCEMENTS: [Duration; 2] = [Duration::from_millis(30), Duration::from_millis(150)];

/// How many answers a second all nodes together give to a hello, at the most.
const ANSWERS_PER_SECOND: u32 = 500;

/// How many nodes answer an id that is new and did not ask: it may never be heard again.
const ANSWERS_UNASKED: f64 = 10.0;

/// How many heartbeats a node brings forward in one interval because others ask for one: as many
/// nodes may come up at a time, and each is told of all that were up before it. For new ids that do
/// not ask it is one.
const ANSWERS_PER_INTERVAL: u32 = 10;
const UNASKED_PER_INTERVAL: u32 = 1;

/// A node corroborates after this time, so that the peer itself can answer, and spread at random,
/// so that the first corroboration suppresses the others.
const CORROBORATE_AFTER: Duration = Duration::from_millis(5);
const CORROBORATE_SPREAD: Duration = Duration::from_millis(45);

/// The k-th repetition of a probe is corroborated by up to 2^k nodes, and by no more than 16: a
/// corroboration that the asking node cannot hear must not suppress the one that it could.
const MAX_DOUBLINGS: u32 = 4;

/// So many answers of a peer within this time are in vain: the node that asks does not hear the peer. It
/// may hear others, even if these do not hear its question.
const ANSWERS_IN_VAIN: u32 = 2;
const ASKED_AGAIN: Duration = Duration::from_millis(200);

/// How many ports are asked in a round of probes while no peer is heard. A host refuses six datagrams
/// at once: with two hosts, all refusals are lost once in a million times at 30 % loss.
const SIGNS_SOUGHT: f64 = 2.0;

/// While an original is in sight, heartbeats go out this many times as often: it declares a node
/// down after two or three lost ones and cannot be answered.
const BEATS_FOR_ORIGINALS: u32 = 3;

/// Heartbeats vary by up to this part of the interval, so that nodes that start together do not
/// send in step. A peer is late only after twice as much.
const JITTER: f64 = 0.05;

/// How long the failure detector waits for datagrams that are queued, before it looks again.
const CATCH_UP: Duration = Duration::from_millis(100);

/// The end of a process of this host may be known before its leave has been read. Together with the
/// way of the report this stays well below 50 ms.
const LEAVE_ON_ITS_WAY: Duration = Duration::from_millis(20);

/// How many nodes watch the port of a peer, and of how many a claim about it counts.
const WATCHERS: u64 = 4;
const BELIEVED_WATCHERS: u64 = 8;

/// How many nodes ask the host of an original. Nothing that they learn is told to others: in larger
/// groups the others wait for its timeout.
const WATCHERS_OF_ORIGINAL: u64 = 16;

/// Duration of the statement that its port was falsely reported as refused.
const MISREPORTED: Duration = Duration::from_secs(60);

/// A proven leave in this node's own name moves its count by no more than this, and no more often: well
/// within what others believe (`COUNT_SLACK` and `COUNT_STEP` of the records).
const COUNT_RISE: u32 = 32;
const RISE_AGAIN: Duration = Duration::from_secs(1);

/// The first probe after a leave that is not proven goes out after 5 to 20 ms: time for the peer to
/// answer the leave itself.
const PROBE_AFTER_LEAVE: Duration = Duration::from_millis(5);
const PROBE_AFTER_LEAVE_SPREAD: Duration = Duration::from_millis(15);

/// Presence has settled when no peer has come for this long after the first hello, and at the
/// latest after [`SETTLE_AT_LATEST`].
const SETTLE: Duration = Duration::from_millis(200);
const SETTLE_AT_LATEST: Duration = Duration::from_secs(3);

/// After so many intervals without any peer a hint tells what is known.
const ALONE_INTERVALS: u32 = 5;

/// An answer by unicast has at most three bytes for two that asked for it. The address gets as much
/// again in challenges: three times the bytes in all (RFC 9000, section 8).
const AMPLIFICATION: usize = 3;

/// How many answers by unicast wait at once.
const MAX_REPLIES: usize = 64;

/// How many addresses one heartbeat tells.
const MAX_TOLD: usize = 8;

/// The size of a challenge on the wire beyond the id: the keys of the extension, a digest of up to 64
/// bytes, and padding.
const CHALLENGE_OVERHEAD: usize = 220;

/// How many nodes challenge the addresses that one heartbeat to the group tells.
const CHALLENGERS: f64 = 4.0;

/// A peer of the own link is trusted with addresses after so many heartbeats.
const TRUSTED_BEATS: u8 = 5;

/// A second node with this id and this incarnation: a clone of the machine.
#[derive(Debug)]
struct OwnClone {
    address: IpAddr,
    count: u32,
}

/// An answer by unicast that waits.
#[derive(Debug)]
struct Reply {
    to: Origin,
    /// The token to return.
    token: Option<u64>,
    /// The peer that the datagram asks about, unless that is this node.
    about: Option<NodeId>,
}

/// A corroboration that waits.
#[derive(Debug)]
struct Corroboration {
    due: Duration,
    id: NodeId,
    /// How many corroborations of others suppress it.
    suppressed_by: u32,
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
    /// The port of the group.
    group_port: u16,
    /// The port of this process for unicast.
    port: Option<u16>,
    budgets: Budgets,
    newcomers: PerSource,
    /// Where established peers send from.
    sources: KnownSources,
    members: Membership,
    unbelieved: Unbelieved,
    claims: Claims,
    inquiries: Inquiries,
    isolation: Isolation,
    random: Random,
    incarnation: u32,
    /// The incarnation before this one, of which datagrams may still come back.
    previous_incarnation: Option<u32>,
    leave_secret: u128,
    leave_hash: u64,
    /// How many heartbeats were sent since it came up.
    count: u32,
    /// When the next heartbeat is due; `None` while the node is not up.
    next_beat: Option<Duration>,
    last_beat: Option<Duration>,
    /// Repetitions of the announcement that are still due.
    announcements: VecDeque<Duration>,
    /// When a heartbeat is due that others have asked for.
    answer: Option<Duration>,
    /// How many heartbeats were brought forward since then: for those that ask, and for others.
    brought_forward: (Duration, [u32; 2]),
    /// Whether another node has asked for this one by name: the answer tells its addresses.
    asked_by_name: bool,
    /// When it last answered such a question.
    answered_by_name: Option<Duration>,
    /// Peers to corroborate.
    corroborations: Vec<Corroboration>,
    /// How often these peers were probed lately, and when last.
    probed: Vec<(NodeId, u32, Duration)>,
    /// Peers that lately answered questions to them: how often, and since when.
    answering: Vec<(NodeId, u32, Duration)>,
    /// Probes that wait for the budget.
    probes: Vec<NodeId>,
    /// Peers whose process has ended, and when they are down.
    ended: Vec<(Duration, NodeId, u16)>,
    /// Refused ports to tell of, with the incarnation.
    refused: Vec<(NodeId, u32)>,
    /// Answers by unicast that wait.
    replies: Vec<Reply>,
    /// How many such answers were sent in this second.
    replied: (u64, u32),
    /// When its next deadline was, at the latest: it detects by this that it was away.
    awaited: Option<Duration>,
    /// The failure detector waits until then.
    detects_from: Option<Duration>,
    /// When something was last handed to it.
    called: Option<Duration>,
    own_addresses: Vec<IpAddr>,
    /// A node with this id and incarnation that was heard from another address.
    clone: Option<OwnClone>,
    /// When a leave in its own name last moved its count.
    rose: Option<Duration>,
    own_conflict: Option<Duration>,
    /// End of the statement that its port was falsely reported as refused.
    misreported: Option<Duration>,
    /// When the event `settled` is due, and at the latest.
    settles: Option<(Duration, Duration)>,
    /// When the hint is due that no peer was heard.
    alone: Option<Duration>,
    told_too_large: bool,
    /// Whether the hint was given that messages go whole because of a peer that takes no pieces.
    told_whole: bool,
    told_no_meta: bool,
    originals: Originals,
    limits: Limits,
    /// Messages in pieces, sent and received.
    outbox: Outbox,
    inbox: Inbox,
    /// Peers whose address has yet to prove itself.
    held: Vec<held::Held>,
    /// Metadata beyond one datagram, and the hash of the own one.
    metadata: Metadata,
    meta_hash: Option<u128>,
    /// When a heartbeat with metadata was last sent beside one without.
    full_beat: Option<Duration>,
    foreign: Foreign,
    targets: Targets,
    /// Tokens of questions to one peer about another.
    questions: Challenger,
    probes_sent: u64,
    vouches_sent: u64,
    answers_merged: u64,
    outputs: VecDeque<Output>,
    /// In secure mode.
    sealed: Option<Box<Sealed>>,
}

impl Engine {
    pub fn new(config: &NodeConfig, seed: u64) -> Self {
        let loopback = config.transport.loopback;
        Self {
            id: config.id.clone(),
            meta: config.meta.clone(),
            expose: config.expose,
            heartbeat: config.heartbeat,
            timeout: config.timeout,
            observe_self: config.observe_self,
            drop_falsy_messages: config.drop_falsy_messages,
            extended: config.extended,
            group_port: config.transport.port,
            port: None,
            budgets: config.budgets.clone(),
            newcomers: PerSource::new(!seed),
            sources: KnownSources::new(seed.rotate_left(32)),
            members: Membership::new(config.timeout, config.budgets.nodes),
            unbelieved: Unbelieved::default(),
            claims: Claims::default(),
            inquiries: Inquiries::default(),
            isolation: Isolation::new(config.heartbeat, config.timeout, loopback),
            random: Random::new(seed),
            incarnation: 0,
            previous_incarnation: None,
            leave_secret: 0,
            leave_hash: 0,
            count: 0,
            next_beat: None,
            last_beat: None,
            announcements: VecDeque::new(),
            answer: None,
            brought_forward: (Duration::ZERO, [0; 2]),
            asked_by_name: false,
            answered_by_name: None,
            corroborations: Vec::new(),
            probed: Vec::new(),
            answering: Vec::new(),
            probes: Vec::new(),
            ended: Vec::new(),
            refused: Vec::new(),
            replies: Vec::new(),
            replied: (0, 0),
            awaited: None,
            detects_from: None,
            called: None,
            own_addresses: Vec::new(),
            clone: None,
            rose: None,
            own_conflict: None,
            misreported: None,
            settles: None,
            alone: None,
            told_too_large: false,
            told_whole: false,
            told_no_meta: false,
            originals: config.originals,
            limits: Limits::NONE,
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            held: Vec::new(),
            metadata: Metadata::default(),
            meta_hash: None,
            full_beat: None,
            foreign: Foreign::default(),
            targets: Targets::new(
                TargetsConfig {
                    timeout: config.timeout,
                    capacity: config.budgets.nodes,
                    group_port: config.transport.port,
                    challenge_bytes: config.id.as_json().len() + CHALLENGE_OVERHEAD,
                },
                Challenger::new([0; 16], 0),
            ),
            questions: Challenger::new([0; 16], 0),
            probes_sent: 0,
            vouches_sent: 0,
            answers_merged: 0,
            outputs: VecDeque::new(),
            sealed: None,
        }
    }

    /// The node is up from now on, and no peer is known. With `announce` it sends a hello at once.
    /// `secret` is unpredictable: it proves the leave of this incarnation.
    pub fn start(&mut self, announce: bool, secret: u128, now: Now) {
        let loopback = self.isolation.loopback();
        self.members = Membership::new(self.timeout, self.budgets.nodes);
        self.isolation = Isolation::new(self.heartbeat, self.timeout, loopback);
        self.previous_incarnation = Some(self.incarnation);
        self.incarnation = self.random.next() as u32;
        self.leave_secret = secret;
        self.leave_hash = leave_hash(secret);
        self.count = 0;
        self.last_beat = None;
        self.answer = None;
        self.asked_by_name = false;
        self.answered_by_name = None;
        self.corroborations.clear();
        self.probed.clear();
        self.answering.clear();
        self.probes.clear();
        self.refused.clear();
        self.ended.clear();
        self.replies.clear();
        self.claims.clear();
        self.inquiries.clear();
        self.inbox.clear();
        self.held.clear();
        self.outbox.restart();
        self.metadata = Metadata::default();
        self.full_beat = None;
        self.awaited = None;
        self.clone = None;
        self.misreported = None;
        self.announcements.clear();
        // Another half of the secret than the one that the leave publishes.
        let key = Sha256::digest([secret.to_be_bytes(), (!secret).to_be_bytes()].concat());
        let (first, second) = key.split_at(16);
        let challenger = |key: &[u8]| {
            Challenger::new(key.try_into().expect("half of 32 bytes"), self.incarnation)
        };
        self.questions = challenger(second);
        self.targets.restart(challenger(first), now.mono);
        self.next_beat = Some(now.mono + self.heartbeat);
        self.settles = Some((now.mono + SETTLE, now.mono + SETTLE_AT_LATEST));
        self.alone = Some(now.mono + self.heartbeat * ALONE_INTERVALS);
        if announce {
            self.announcements.extend(ANNOUNCEMENTS.map(|after| now.mono + after));
            self.beat(now, Extension { hello: true, ..Extension::default() });
        }
    }

    /// Absent peers are expected and not told: the node does not send.
    pub fn expect_no_peers(&mut self) {
        self.alone = None;
    }

    /// The node is down from now on. The peers that were known last can still be asked for.
    pub fn stop(&mut self) {
        self.next_beat = None;
    }

    /// The part of secure mode, for a session.
    pub fn set_sealed(&mut self, sealed: Option<Box<Sealed>>) {
        self.sealed = sealed;
    }

    pub fn sealed(&self) -> Option<&Sealed> {
        self.sealed.as_deref()
    }

    pub fn sealed_mut(&mut self) -> Option<&mut Sealed> {
        self.sealed.as_deref_mut()
    }

    /// The interval of its heartbeats and the timeout of its peers.
    pub fn times(&self) -> (Duration, Duration) {
        (self.heartbeat, self.timeout)
    }

    /// The port of this process for unicast.
    pub fn set_port(&mut self, port: Option<u16>) {
        self.port = port;
    }

    /// Takes in one JSON text from the network.
    ///
    /// # Errors
    /// Why it had no effect.
    pub fn receive(
        &mut self,
        text: &str,
        from: impl Into<Origin>,
        now: Now,
    ) -> Result<(), DropReason> {
        let from = from.into();
        self.notice_pause(now);
        let heard = self.receive_text(text, from, now, true);
        if !self.held.is_empty() {
            self.release_held(now);
        }
        heard
    }

    /// With `may_wait` a peer is held back until its address is proven.
    fn receive_text(
        &mut self,
        text: &str,
        from: Origin,
        now: Now,
        may_wait: bool,
    ) -> Result<(), DropReason> {
        let envelope = match Envelope::parse(text) {
            Err(DropReason::NoId) => return self.hear_anonymous(text, now),
            parsed => parsed?,
        };
        let id = &self.id_of(&envelope);
        if *id == self.id {
            self.hear_own_id(&envelope, from, now);
            if !self.observe_self {
                return Err(DropReason::Own);
            }
        }
        let alone = |it: &Extension| it.unicast && !from.to_group;
        if may_wait
            && (!self.held.is_empty() || envelope.extension.as_ref().is_some_and(alone))
            && self.hold_back(id, &envelope, text, from, now)
        {
            return Ok(());
        }
        let slim = |it: &Extension| it.meta_hash.is_some() || !it.wanted.is_empty();
        let envelope = match envelope.extension.as_ref().is_some_and(slim) {
            true => match self.look_at_slim(id, envelope, text, from, now) {
                Some(envelope) => envelope,
                None => return Ok(()),
            },
            false => envelope,
        };
        let heard = match envelope.suicide {
            true => self.hear_leave(id, &envelope, from, now),
            false => self.hear(id, &envelope, from, now),
        };
        if heard.is_err() {
            self.unbelieved.note(text, now.mono);
        }
        heard
    }

    /// Whether the node is a peer of itself.
    pub fn observes_self(&self) -> bool {
        self.observe_self
    }

    /// Whether an established peer was heard from this address and port lately.
    pub fn knows(&self, source: &SocketAddr) -> bool {
        self.sources.contains(source)
    }

    /// A hello without an id. The random number in place of an incarnation keeps it apart from that of
    /// another program: equal bytes from two sources are copies of one datagram.
    pub fn anonymous_hello(&mut self) -> Message {
        let number = self.random.next() as u32;
        Message::trusted_json(format!(r#"{{"caster":{{"a":1,"b":{number}}}}}"#).into_bytes())
    }

    /// A hello without an id asks for answers and says nothing of its sender.
    fn hear_anonymous(&mut self, text: &str, now: Now) -> Result<(), DropReason> {
        Envelope::parse_anonymous_hello(text).ok_or(DropReason::NoId)?;
        self.answer_hello(now);
        Ok(())
    }

    /// The id of the sender: the one that is in the table, if it is in the table.
    fn id_of(&mut self, envelope: &Envelope<'_>) -> NodeId {
        let id = envelope.id.as_json();
        if id == self.id.as_json() {
            return self.id.clone();
        }
        self.members.known(id).unwrap_or_else(|| envelope.id.to_node_id())
    }

    /// A datagram that was received before has come by another path too.
    pub fn receive_copy(&mut self, text: &str, from: impl Into<Origin>, now: Now) {
        let origin = from.into();
        if self.unbelieved.take(text, now.mono) {
            let _ = self.receive(text, origin, now);
            return;
        }
        let Ok(envelope) = Envelope::parse(text) else { return };
        let id = self.id_of(&envelope);
        if !self.members.is_current(&id, envelope.extension.as_ref()) {
            return;
        }
        match self.members.hear_copy(&id, origin, now) {
            Ok(true) => {
                let changed = Changed { address: true, ..Changed::default() };
                self.tell(Event::Update { peer: self.snapshot(&id), changed });
            }
            Ok(false) => {}
            Err(_) => self.doubt(&id, origin, envelope.extension.as_ref(), now),
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
        let extension = envelope.extension.as_ref();
        self.check_size(id, envelope, from)?;
        let known = self.members.has(id);
        if !known {
            // A heartbeat without metadata is an answer to a node that knows the peer.
            if let Some(extension) = extension
                && envelope.meta.is_none()
                && envelope.message.is_none()
            {
                return self.hear_slim(extension, origin, now);
            }
            if !self.newcomers.admit(from, self.budgets.new_nodes_per_second, now.mono) {
                return Err(DropReason::TooManyNew);
            }
        }
        let hearing = Hearing {
            id,
            origin,
            meta: envelope.meta,
            beat: envelope.message.is_none(),
            extension,
            now,
        };
        let heard = match self.members.hear(hearing) {
            Ok(heard) => heard,
            Err(NotHeard::Full) => return Err(DropReason::TableFull),
            Err(NotHeard::Stale) => return Err(DropReason::Stale),
            Err(NotHeard::Implausible) => return Err(DropReason::Implausible),
            Err(NotHeard::Unconfirmed) => {
                self.doubt(id, origin, extension, now);
                return Err(DropReason::Unconfirmed);
            }
        };
        if let Some(peer) = heard.evicted {
            self.inbox.forget(&peer.id);
            self.tell(Event::Down { peer, reason: DownReason::Timeout });
        }
        if let Some(peer) = heard.replaced {
            self.tell(Event::Down { peer, reason: DownReason::Restart });
        }
        let changed = Changed { meta: heard.meta_changed, address: heard.address_changed };
        if heard.new {
            self.tell(Event::Up(self.snapshot(id)));
            self.note_new(now);
        } else if changed != Changed::default() {
            self.tell(Event::Update { peer: self.snapshot(id), changed });
        }
        if heard.conflict {
            self.tell(Event::Conflict { id: id.clone(), address: origin.scoped_address() });
        }
        let message = envelope
            .message
            .filter(|message| !self.drop_falsy_messages || envelope::truthy(message));
        if let Some(message) = message {
            let message = Message::trusted_json(message.into());
            self.tell(Event::Message { message, peer: self.snapshot(id) });
        }
        if *id != self.id {
            self.hear_other(id, envelope, origin, heard.new, now);
            if heard.is_established {
                self.sources.note(from, origin.port, now.mono);
                // Its messages come from there.
                if let Some(port) = extension.and_then(|extension| extension.port) {
                    self.sources.note(from, port, now.mono);
                }
            }
            if heard.established {
                self.watch(id);
            }
        }
        Ok(())
    }

    /// A heartbeat without metadata of a node that is not known: a challenge, or the answer to one.
    fn hear_slim(
        &mut self,
        extension: &Extension,
        origin: Origin,
        now: Now,
    ) -> Result<(), DropReason> {
        let asks_or_answers = extension.challenge.is_some() || extension.echo.is_some();
        if !asks_or_answers || origin.to_group {
            return Err(DropReason::Stale);
        }
        self.note_alone(extension, origin, now);
        Ok(())
    }

    /// Handles what another node's datagram means beyond its own record.
    fn hear_other(
        &mut self,
        id: &NodeId,
        envelope: &Envelope<'_>,
        origin: Origin,
        new: bool,
        now: Now,
    ) {
        let extension = envelope.extension.as_ref();
        if !self.is_within_host(origin.address) {
            let change = self.isolation.heard_other(now.mono);
            self.follow(change, now);
        }
        self.inquiries.end(id);
        self.probes.retain(|waiting| waiting != id);
        if !self.answers_in_vain(id, now) {
            self.suppress_corroboration(id);
        }
        self.settle_claim(id, origin, extension, now);
        // One answer serves all questions of a datagram.
        self.asked_by_name |=
            extension.is_some_and(|extension| extension.probes.contains(&self.id));
        if extension.is_some_and(|extension| extension.hello) {
            self.answer_hello(now);
        } else if new {
            self.answer_newcomer(now);
        }
        if let Some(due) = self.next_beat
            && self.serves_originals()
        {
            // An original that has come into sight needs more heartbeats from now on.
            self.next_beat = Some(due.min(now.mono + self.interval()));
        }
        // A message says nothing of the way it came.
        if envelope.message.is_some() {
            return;
        }
        if extension.is_some_and(|extension| !extension.own.is_empty() && !extension.hello) {
            self.note_answer(id, now);
        }
        let by_unicast = extension.is_some_and(|extension| extension.unicast) && !origin.to_group;
        let asked = extension.is_some_and(|extension| extension.probes.contains(&self.id));
        let echo = extension.and_then(|extension| extension.echo);
        let heard = targets::Heard {
            from: origin.sender(),
            bytes: origin.size,
            by_unicast,
            asked,
            hello: extension.is_some_and(|extension| extension.hello),
            told_port: extension.and_then(|extension| extension.port),
            at: origin.local_port(),
            echo,
            near: echo.is_some() && self.members.is_heard_by_group(id, self.timeout, now.mono),
            incarnation: extension.map_or(0, |extension| extension.incarnation),
            known: true,
        };
        // Without metadata and token it is a port probe or the answer to one: the peer is on the link.
        let answers = heard.echo.is_some() && !self.answers_question(extension, origin, now);
        if !by_unicast || envelope.meta.is_some() || answers {
            let Self { targets, members, timeout, .. } = self;
            let near = || members.near(*timeout, now.mono);
            let actions = targets.heard(heard, now.mono, near);
            self.act(actions);
        }
        if let Some(extension) = extension.filter(|extension| !extension.known.is_empty()) {
            // The group hears it at once. A few challenge the addresses, and introduce those that
            // answer to the others.
            let trusted = !by_unicast
                && self.members.beats(id) >= TRUSTED_BEATS
                && self.random.fraction() * (self.members.len() as f64) < CHALLENGERS;
            let actions = self.targets.learn(&heard, &extension.known, trusted, now.mono);
            self.act(actions);
        }
        // Through a router that translates addresses its port may look the same and be closed.
        if by_unicast && origin.local_port() == LocalPort::Private {
            self.members.note_port_answered(id, origin.port);
        }
        if let Some(extension) = extension {
            // One that was heard once may have been invented: the group does nothing for it.
            if by_unicast || self.members.is_established(id) {
                self.hear_extension(id, extension, origin, now);
            }
        }
    }

    /// Metadata and messages beyond the budgets are dropped; the first time a hint names the peer.
    fn check_size(
        &mut self,
        id: &NodeId,
        envelope: &Envelope<'_>,
        from: IpAddr,
    ) -> Result<(), DropReason> {
        let too_large = |text: Option<&str>, limit| text.is_some_and(|text| text.len() > limit);
        let meta = too_large(envelope.meta, self.budgets.meta);
        if !meta && !too_large(envelope.message, self.budgets.message) {
            return Ok(());
        }
        if meta && !std::mem::replace(&mut self.told_too_large, true) {
            let (size, limit) = (envelope.meta.map_or(0, str::len), self.budgets.meta);
            self.tell(Event::Hint(
                format!(
                    "the heartbeats of {id} ({from}) are dropped: its metadata takes {size} bytes, \
                     and the option maxMeta allows {limit} here"
                )
                .into(),
            ));
        }
        Err(DropReason::TooLarge)
    }

    /// A datagram claims something about a peer from an address that the peer has not used: the peer
    /// is asked.
    fn doubt(&mut self, id: &NodeId, origin: Origin, extension: Option<&Extension>, now: Now) {
        let incarnation = match extension {
            Some(extension) => Some(extension.incarnation),
            None => self.members.incarnation(id),
        };
        let tells = extension.is_some_and(|it| it.own.contains(&origin.address));
        if !tells
            && incarnation == self.members.incarnation(id)
            && self.members.has_more_addresses(id, now.mono)
        {
            return;
        }
        let silence = self.members.silence_of_claim(id);
        self.claims.raise(id, origin, incarnation, silence, now.mono, &mut self.random);
    }

    /// A peer was heard at an address that it uses: that may settle a claim about it.
    fn settle_claim(
        &mut self,
        id: &NodeId,
        origin: Origin,
        extension: Option<&Extension>,
        now: Now,
    ) {
        let Some(claim) = self.claims.get(id) else { return };
        let (claimed, told) = (claim.origin.address, claim.origin.scoped_address());
        if claimed == origin.address || self.members.uses(id, claimed) {
            self.claims.end(id);
            return;
        }
        let current = self.members.incarnation(id);
        // A full list may lack the address.
        let tells = extension.is_some_and(|it| (1..envelope::MAX_OWN).contains(&it.own.len()));
        let can_tell = self.members.capabilities(id) & capability::CHALLENGE != 0;
        let is_of_address = claim.incarnation == current;
        if is_of_address && can_tell && !tells {
            self.claims.note_alive(id);
            return;
        }
        self.claims.end(id);
        if is_of_address && !self.claims.deny(id, claimed, now.mono) {
            return;
        }
        if self.members.notice_conflict(id, now.mono) {
            self.tell(Event::Conflict { id: id.clone(), address: told });
        }
    }

    /// A peer that is known.
    fn snapshot(&self, id: &NodeId) -> Peer {
        self.members.get(id).expect("it was just heard")
    }

    /// Whether it answers a question of this node to one peer about another.
    fn answers_question(&self, extension: Option<&Extension>, from: Origin, now: Now) -> bool {
        let token = extension.and_then(|extension| extension.echo);
        token.is_some_and(|token| self.questions.verify(from.sender(), token, now.mono))
    }

    fn hear_extension(&mut self, by: &NodeId, extension: &Extension, origin: Origin, now: Now) {
        let proven = self.answers_question(Some(extension), origin, now);
        for (id, age) in &extension.corroborations {
            if *id == self.id {
                continue;
            }
            let age = Duration::from_millis((*age).into());
            if self.members.corroborate(id, age, by, proven, now) {
                self.inquiries.corroborated(id, now.mono.saturating_sub(age));
                if self.members.notice_one_way(id, now.mono) {
                    self.tell(Event::Hint(
                        format!(
                            "{id} is heard by {by} and not by this node: datagrams from there do \
                             not reach this host"
                        )
                        .into(),
                    ));
                }
            }
            self.suppress_corroboration(id);
        }
        // Asked by unicast about another peer, it answers the node that asks, not the group.
        let by_unicast = extension.unicast && !origin.to_group;
        let about = extension.probes.first().filter(|id| by_unicast && **id != self.id);
        let token = extension.challenge.filter(|_| !origin.to_group);
        if token.is_some() || about.is_some() {
            self.answer_alone(origin, token, about.cloned());
        }
        // Each name costs the group an answer: of a peer that may have been invented the first one counts.
        let names = match self.members.is_member(by) {
            true => extension.probes.len(),
            false => 1,
        };
        for id in extension.probes.iter().take(names) {
            if *id == self.id {
                self.answer_by_name(now);
                if by_unicast && extension.challenge.is_none() {
                    self.answer_alone(origin, None, None);
                }
                continue;
            }
            if about.is_some() {
                break;
            }
            self.claims.note_question(id, now.mono, &mut self.random);
            self.inquiries.note_probe(id, now.mono);
            self.members.note_probe(id, now.mono, &mut self.random);
            self.corroborate(id, now);
        }
        for (id, incarnation) in &extension.refused {
            self.hear_refusal(by, id, *incarnation, now);
        }
    }

    /// Another node does not hear this peer: this one tells it, unless that is needless by then.
    fn corroborate(&mut self, id: &NodeId, now: Now) {
        if self.members.silence(id, now.mono).is_some_and(|age| age < self.timeout)
            && self.speaks()
            && self.corroborations.len() < MAX_NAMES
            && !self.corroborations.iter().any(|waiting| waiting.id == *id)
            && self.members.is_established(id)
        {
            let after = CORROBORATE_AFTER + CORROBORATE_SPREAD.mul_f64(self.random.fraction());
            let suppressed_by = 1 << self.times_probed(id, now).min(MAX_DOUBLINGS);
            let due = now.mono + after;
            self.corroborations.push(Corroboration { due, id: id.clone(), suppressed_by });
        }
    }

    /// This peer has answered a question to it. If it goes on answering, the node that asks does not hear
    /// it, and may not reach this node.
    fn note_answer(&mut self, id: &NodeId, now: Now) {
        if let Some((_, times, last)) = self.answering.iter_mut().find(|(known, ..)| known == id) {
            *times += 1;
            *last = now.mono;
            if *times >= ANSWERS_IN_VAIN {
                self.corroborate(id, now);
            }
        } else if self.answering.len() < MAX_NAMES {
            self.answering.push((id.clone(), 1, now.mono));
        }
    }

    fn answers_in_vain(&mut self, id: &NodeId, now: Now) -> bool {
        if self.answering.is_empty() {
            return false;
        }
        self.answering.retain(|(_, _, last)| now.mono <= *last + ASKED_AGAIN);
        self.answering.iter().any(|(known, times, _)| known == id && *times >= ANSWERS_IN_VAIN)
    }

    /// The peer has answered, or another node has corroborated it: that is one reason less to do so.
    /// The node that asked may not hear it, so a repeated question needs more of them.
    fn suppress_corroboration(&mut self, id: &NodeId) {
        self.corroborations.retain_mut(|waiting| {
            waiting.suppressed_by -= u32::from(waiting.id == *id);
            waiting.suppressed_by > 0
        });
    }

    /// How often this peer was probed before, within [`DIRECT`] timeouts each.
    fn times_probed(&mut self, id: &NodeId, now: Now) -> u32 {
        let window = self.timeout * DIRECT;
        self.probed.retain(|(_, _, last)| now.mono <= *last + window);
        if let Some((_, times, last)) = self.probed.iter_mut().find(|(known, ..)| known == id) {
            *times += 1;
            *last = now.mono;
            return *times;
        }
        if self.probed.len() < MAX_NAMES {
            self.probed.push((id.clone(), 0, now.mono));
        }
        0
    }

    /// A member says that the port of a peer is refused.
    fn hear_refusal(&mut self, by: &NodeId, id: &NodeId, incarnation: u32, now: Now) {
        if *id == self.id {
            if incarnation == self.incarnation {
                self.misreported = Some(now.mono + MISREPORTED);
                self.answer_by_name(now);
            }
            return;
        }
        let members = self.members.len() + 1;
        let silence = self.members.silence(id, now.mono);
        if !watches(by, id, BELIEVED_WATCHERS, members)
            || !self.members.is_established(by)
            || self.members.incarnation(id) != Some(incarnation)
            || silence.is_none_or(|silence| silence <= HEARD_BEFORE_CLAIM)
        {
            return;
        }
        if let Some(port) = self.members.port(id, 0) {
            self.inquiries.begin(id, incarnation, port, now.mono, &mut self.random);
        }
    }

    fn hear_leave(
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
        let proven = match self.members.leave_hash(id) {
            Some(hash) => extension
                .and_then(|extension| extension.leave_secret)
                .is_some_and(|secret| leave_hash(secret) == hash),
            None => self.members.uses(id, from),
        };
        if !proven || !self.members.is_current(id, extension) {
            // Any program can write this datagram. The peer is asked, and lives for as long as it would
            // without it.
            let after =
                PROBE_AFTER_LEAVE + PROBE_AFTER_LEAVE_SPREAD.mul_f64(self.random.fraction());
            self.members.suspect(id, now.mono + after);
            return Err(DropReason::ForeignGoodbye);
        }
        let port = extension.and_then(|extension| extension.port);
        let incarnation = extension.map_or(0, |extension| extension.incarnation);
        self.targets.forget(origin.sender(), port, incarnation, now.mono);
        self.forget(id);
        let peer = self.members.remove_left(id, extension, now.mono).expect("it is known");
        self.tell(Event::Down { peer, reason: DownReason::Goodbye });
        Ok(())
    }

    /// Drops what is under way about a peer that is gone.
    fn forget(&mut self, id: &NodeId) {
        self.claims.end(id);
        self.inquiries.end(id);
        self.inbox.forget(id);
        self.metadata.forget(id);
        self.probes.retain(|waiting| waiting != id);
    }

    /// A peer is gone.
    fn down(&mut self, id: &NodeId) {
        self.forget(id);
        if let Some(peer) = self.members.remove(id) {
            self.tell(Event::Down { peer, reason: DownReason::Timeout });
        }
    }

    /// This id was heard: an echo of this node, or another node.
    fn hear_own_id(&mut self, envelope: &Envelope<'_>, origin: Origin, now: Now) {
        let from = origin.address;
        let Some(extension) = &envelope.extension else {
            if envelope.suicide {
                self.answer_by_name(now);
            }
            return;
        };
        let own = from.is_loopback() || self.own_addresses.contains(&from);
        if envelope.suicide {
            let proven = extension.leave_secret.is_some_and(|it| it == self.leave_secret);
            if extension.incarnation == self.incarnation && proven {
                self.rise_above(extension.count.unwrap_or(0), now);
            }
            self.answer_by_name(now);
        } else if extension.incarnation == self.incarnation && own {
            if self.is_within_host(from) {
                return;
            }
            let change = self.isolation.heard_echo(self.count, !from.is_loopback(), now.mono);
            self.follow(change, now);
        } else if extension.incarnation == self.incarnation {
            // A datagram of this node that another program sent again has a count of the past; a clone of
            // this machine goes on counting.
            let count = extension.count.unwrap_or(0);
            let before = self.clone.replace(OwnClone { address: from, count });
            if before.is_some_and(|before| before.address == from && count > before.count) {
                self.conflict_of_own(origin, now);
            }
        } else if Some(extension.incarnation) != self.previous_incarnation {
            self.conflict_of_own(origin, now);
        }
    }

    /// A clone of this machine has left, and others believe it: the answer has to count further than
    /// the leave, or they would take it for a late datagram. The steps are small and rare, as a
    /// higher count than time allows is not believed.
    fn rise_above(&mut self, count: u32, now: Now) {
        if count < self.count || self.rose.is_some_and(|last| now.mono < last + RISE_AGAIN) {
            return;
        }
        self.rose = Some(now.mono);
        self.count = count.saturating_add(1).min(self.count.saturating_add(COUNT_RISE));
    }

    fn conflict_of_own(&mut self, origin: Origin, now: Now) {
        let recently = |last| now.mono < last + CONFLICT_NOTICE;
        if !self.own_conflict.is_some_and(recently) {
            self.own_conflict = Some(now.mono);
            let address = origin.scoped_address();
            self.tell(Event::Conflict { id: self.id.clone(), address });
        }
    }

    /// Whether a datagram from this address says nothing about the network: by the loopback
    /// interface a node hears its host even when it is cut off.
    fn is_within_host(&self, from: IpAddr) -> bool {
        from.is_loopback() && self.isolation.echoed_beyond_host()
    }

    /// This node is asked for by name, or said to be gone: it answers at once, with its addresses.
    fn answer_by_name(&mut self, now: Now) {
        if self.answered_by_name == Some(now.mono) {
            self.answers_merged += 1;
            return;
        }
        self.asked_by_name = true;
        self.answer_at(now.mono, now);
    }

    /// A node asks all others to answer. The larger the group, the longer the time over which the
    /// answers spread; a node whose next heartbeat is due before has answered.
    fn answer_hello(&mut self, now: Now) {
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
    fn answer_newcomer(&mut self, now: Now) {
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
    fn allowed_from(&self) -> Duration {
        let gap = Duration::from_secs(1) / self.budgets.answers_per_second;
        self.last_beat.map_or(Duration::ZERO, |last| last + gap)
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
        stats.pieces_sent = self.outbox.pieces_sent;
        stats.pieces_received = self.inbox.pieces_received;
        stats.repairs_sent = self.outbox.repairs_sent;
        stats.nacks_sent = self.inbox.nacks_sent;
        stats.incomplete = self.inbox.incomplete;
        stats.foreign = self.foreign.counts();
    }

    /// Does what has become due. With `behind` datagrams are queued that were not read yet: the
    /// failure detector waits for them.
    pub fn handle_timeout(&mut self, now: Now, behind: bool) {
        self.notice_pause(now);
        self.detects_from = behind.then(|| now.mono + CATCH_UP);
        let Some(due) = self.next_beat else { return };
        let mut speak = due <= now.mono;
        let mut hello = false;
        if speak {
            let change = self.isolation.beat(self.count, now.mono);
            self.follow(change, now);
        }
        speak |= self.answer.is_some_and(|due| due <= now.mono);
        while self.announcements.front().is_some_and(|&due| due <= now.mono) {
            self.announcements.pop_front();
            // A node that has found others need not ask again.
            hello = self.members.len() == 0;
            speak = true;
        }
        if !behind {
            self.run_failure_detector(now);
            self.run_inquiries(now);
        }
        self.run_ended(now);
        self.run_claims(now);
        self.run_pieces(now);
        if !self.held.is_empty() {
            self.release_held(now);
        }
        self.tell_what_is_due(now);
        let named = self.has_names(now) && self.allowed_from() <= now.mono;
        if speak || named {
            self.beat(now, Extension { hello, ..Extension::default() });
        }
        self.reply(now);
    }

    /// Whether something waits that the next heartbeat tells.
    fn has_names(&self, now: Now) -> bool {
        !self.probes.is_empty()
            || !self.refused.is_empty()
            || self.corroborations.iter().any(|waiting| waiting.due <= now.mono)
            || self.metadata.question_due().is_some_and(|due| due <= now.mono)
    }

    /// Events that follow from the time alone.
    fn tell_what_is_due(&mut self, now: Now) {
        while let Some(before) = self.members.take_restart(now.mono) {
            let id = before.id.clone();
            self.tell(Event::Down { peer: before, reason: DownReason::Restart });
            self.tell(Event::Up(self.snapshot(&id)));
        }
        if self.settles.is_some_and(|(due, latest)| due.min(latest) <= now.mono) {
            self.settles = None;
            self.tell(Event::Settled);
        }
        if self.alone.is_some_and(|due| due <= now.mono) {
            self.alone = None;
            let others = self.members.len() - usize::from(self.members.has(&self.id));
            if others == 0 {
                self.tell_alone();
            }
        }
    }

    /// No peer was heard since the node came up: what is known about that.
    fn tell_alone(&mut self) {
        let addresses: Vec<String> = self.own_addresses.iter().map(IpAddr::to_string).collect();
        let interfaces = match addresses.is_empty() {
            true => "no interface has joined the group".to_owned(),
            false => format!("the group was joined at {}", addresses.join(", ")),
        };
        let echo = match self.isolation.has_echo() {
            true => "own heartbeats come back",
            false => "own heartbeats do not come back",
        };
        let foreign = match self.foreign.counts().len() {
            0 => "no other sender was heard on this port".to_owned(),
            senders => format!("{senders} senders on this port could not be understood"),
        };
        let text = format!(
            "no peer was heard in {ALONE_INTERVALS} intervals: {interfaces}; {echo}; {foreign}"
        );
        self.tell(Event::Hint(text.into()));
    }

    fn run_failure_detector(&mut self, now: Now) {
        while let Some(transition) = self.members.next_transition(now.mono, &mut self.random) {
            match transition {
                // Beyond the watchers a refusal is of use only of a peer that is silent for longer.
                Transition::Late(id) if !self.watches(&id) => {}
                Transition::Suspect(id) | Transition::Late(id) => self.ask_late(&id),
                Transition::Probe(id) => {
                    self.seek_sign(&id, now);
                    match self.members.last_corroborator(&id, now.mono) {
                        Some(member) => self.ask_about(&id, member, now),
                        None => self.probe(&id),
                    }
                }
                Transition::Dead(id) => {
                    if !self.withholds(now) {
                        self.down(&id);
                    }
                }
            }
        }
    }

    /// Whether it can say anything of others.
    fn speaks(&self) -> bool {
        self.expose && self.extended
    }

    /// The next heartbeat asks this peer to answer.
    fn probe(&mut self, id: &NodeId) {
        if self.speaks() && self.probes.len() < MAX_NAMES && !self.probes.contains(id) {
            self.probes.push(id.clone());
        }
    }

    /// Asks a member about a peer that only others hear. The token proves that the answer is its own.
    fn ask_about(&mut self, id: &NodeId, member: SocketAddr, now: Now) {
        if self.speaks() {
            self.probes_sent += 1;
            let (probes, challenge) = (vec![id.clone()], self.questions.token(member, now.mono));
            let challenge = Some(challenge);
            self.send_alone(member, Extension { probes, challenge, ..Extension::default() });
        }
    }

    /// How many other nodes have sent two heartbeats.
    fn established_others(&self) -> usize {
        self.members.established() - usize::from(self.members.is_established(&self.id))
    }

    /// No peer is heard, and this one is probed: its port may be asked once more. A refusal by any host
    /// shows that the network works, and may be lost.
    fn seek_sign(&mut self, id: &NodeId, now: Now) {
        if self.isolation.doubts(self.established_others(), now.mono)
            && self.random.fraction() * (self.members.established_suspects() as f64) < SIGNS_SOUGHT
            && (self.members.is_member(id) || self.members.port_has_answered(id))
            && let Some(port) = self.members.told_port(id)
        {
            self.send_port_probe(id, port);
        }
    }

    /// Whether the local node rather than its peers may have lost the network.
    fn withholds(&mut self, now: Now) -> bool {
        let others = self.established_others();
        let suspects = self.members.established_suspects();
        let (withholds, change) = self.isolation.withholds(self.count, others, suspects, now.mono);
        self.follow(change, now);
        withholds
    }

    fn run_claims(&mut self, now: Now) {
        while let Some(due) = self.claims.take_due(now.mono, &mut self.random) {
            match due {
                claims::Due::Ask(id) => self.probe(&id),
                claims::Due::Unanswered(claim) if claim.alive => {}
                claims::Due::Unanswered(claim) => {
                    if self.members.believe(&claim, now) {
                        let changed = Changed { address: true, ..Changed::default() };
                        self.tell(Event::Update { peer: self.snapshot(&claim.id), changed });
                    }
                }
            }
        }
    }

    /// Peers of this host whose process has ended are down.
    fn run_ended(&mut self, now: Now) {
        let due = self.ended.extract_if(.., |(due, ..)| *due <= now.mono);
        for (_, id, port) in due.collect::<Vec<_>>() {
            // It may have come back in another process.
            if self.members.port(&id, 0).is_none_or(|it| it.port() == port) {
                self.down(&id);
            }
        }
    }

    fn run_inquiries(&mut self, now: Now) {
        while let Some(due) = self.inquiries.take_due(now.mono) {
            match due {
                refusal::Due::AskPort(id, port) => self.send_port_probe(&id, port),
                refusal::Due::Probe(id) => self.probe(&id),
                refusal::Due::Dead(id, incarnation) => {
                    if self.members.incarnation(&id) == Some(incarnation) {
                        self.down(&id);
                    }
                }
            }
        }
    }

    /// A peer is established: its watchers learn whether its port answers, and of an original
    /// whether its host refuses the port while it lives.
    fn watch(&mut self, id: &NodeId) {
        if self.watches(id) {
            self.ask_port(id);
        }
    }

    fn watches(&self, id: &NodeId) -> bool {
        let members = self.members.len() + 1;
        let wanted = match self.members.incarnation(id) {
            None => WATCHERS_OF_ORIGINAL,
            Some(_) => WATCHERS,
        };
        watches(&self.id, id, wanted, members)
    }

    /// A peer is late or suspect. Its port is asked by its watchers, and by all if it has answered. One
    /// that was heard once may have been invented, and its port may be that of an innocent.
    fn ask_late(&mut self, id: &NodeId) {
        let is_asked = self.members.port_has_answered(id) || self.watches(id);
        if is_asked && self.members.is_established(id) {
            self.ask_port(id);
        }
    }

    /// Asks the port of a peer's process; of an original, the port of the group.
    fn ask_port(&mut self, id: &NodeId) {
        if let Some(port) = self.members.port(id, self.group_port) {
            self.send_port_probe(id, port);
        }
    }

    /// Sends a heartbeat that names the peer to the port of its process. If no process has the port
    /// open, the host refuses it.
    fn send_port_probe(&mut self, id: &NodeId, port: SocketAddr) {
        if !self.speaks() || !targets::is_user_port(port.port(), self.group_port) {
            return;
        }
        let text = match self.members.incarnation(id) {
            // An original would not answer, and its address is not proven: a datagram without an id, which
            // it ignores.
            None => envelope::NOTHING.to_owned(),
            Some(_) => {
                let said =
                    Extension { unicast: true, probes: vec![id.clone()], ..Extension::default() };
                envelope::heartbeat(&self.id, None, Some(&self.extension(said)))
            }
        };
        let message = Message::trusted_json(text.into_bytes());
        self.outputs.push_back(Output::Transmit(message, Destination::PortProbe(port)));
    }

    /// The ports of other processes of this host.
    pub fn host_ports(&self) -> Vec<u16> {
        self.members.of_host(&self.own_addresses).map(|(_, port)| port).collect()
    }

    /// The system has reported the end of the process of this host that had this port.
    pub fn process_ended(&mut self, port: u16, now: Now) {
        let of_host = self.members.of_host(&self.own_addresses);
        let ended = of_host.filter(|(_, told)| *told == port).map(|(id, _)| id.clone());
        let ended: Vec<NodeId> = ended.collect();
        let due = now.mono + LEAVE_ON_ITS_WAY;
        self.ended.extend(ended.into_iter().map(|id| (due, id, port)));
    }

    /// A host has refused a datagram that was sent to this port alone: no process there has it open.
    pub fn refused(&mut self, port: SocketAddr, now: Now) {
        // Before a return from isolation forgives the silence.
        let late = self.members.refused(port);
        let change = self.isolation.reached_host(now.mono);
        self.follow(change, now);
        if port.port() == self.group_port {
            for id in self.members.refused_originals(port.ip()) {
                self.down(&id);
            }
        }
        self.inquiries.refused(port, now.mono);
        for (id, incarnation) in late {
            let members = self.members.len() + 1;
            if watches(&self.id, &id, BELIEVED_WATCHERS, members) && self.refused.len() < MAX_NAMES
            {
                self.refused.push((id.clone(), incarnation));
            }
            self.inquiries.begin(&id, incarnation, port, now.mono, &mut self.random);
        }
    }

    /// The addresses of this host, and how many interfaces beyond the loopback interface are in use.
    pub fn interfaces(&mut self, addresses: &[IpAddr], links: Option<usize>, now: Now) {
        let other = self.own_addresses != addresses;
        self.own_addresses = addresses.to_vec();
        if other && !addresses.is_empty() {
            // The others learn a new address at once, not at the next heartbeat.
            self.answer_by_name(now);
        }
        // A host route: the lengths of prefixes are not known here.
        let own = addresses.iter().map(|it| (*it, if it.is_ipv4() { 32 } else { 128 }));
        self.targets.set_own(own.collect(), self.port);
        if let Some(links) = links
            && self.next_beat.is_some()
        {
            let change = self.isolation.links(links, self.count, now.mono);
            self.follow(change, now);
        }
    }

    fn follow(&mut self, change: Option<Change>, now: Now) {
        match change {
            Some(Change::Isolated) => self.tell(Event::Isolated),
            Some(Change::Rejoined(since)) => {
                self.members.forgive(since, now.mono);
                // Others may have taken this node for dead.
                self.announcements.extend(ANNOUNCEMENTS.map(|after| now.mono + after));
                self.tell(Event::Rejoined);
            }
            None => {}
        }
    }

    /// A process that was stopped, or a host that slept, has not heard any peer; that says nothing
    /// about the peers.
    fn notice_pause(&mut self, now: Now) {
        // Late is not away: if it was called in the meantime, it is only busy.
        let called = self.called.replace(now.mono).unwrap_or_default();
        let Some(awaited) = self.awaited else { return };
        let gap = now.mono.saturating_sub(awaited.max(called));
        if gap > self.timeout / 4 {
            self.members.shift(gap, now.mono);
            self.isolation.shift(gap);
            self.claims.shift(gap);
            self.inquiries.shift();
        }
        self.awaited = None;
    }

    /// When [`Engine::handle_timeout`] is to be called next, at the latest.
    pub fn poll_timeout(&mut self) -> Option<Duration> {
        let beat = self.next_beat?;
        let detector = [self.members.next_deadline(), self.inquiries.next_due()];
        let detector = detector.into_iter().flatten().min();
        let names = self.corroborations.iter().map(|waiting| waiting.due);
        let names = names.chain(self.metadata.question_due()).min();
        let waiting = !self.probes.is_empty() || !self.refused.is_empty();
        let names = if waiting { Some(Duration::ZERO) } else { names };
        let due = [
            self.answer,
            self.announcements.front().copied(),
            detector.map(|due| self.detects_from.map_or(due, |from| due.max(from))),
            self.claims.next_due(),
            self.ended.iter().map(|(due, ..)| *due).min(),
            names.map(|due| due.max(self.allowed_from())),
            (!self.replies.is_empty()).then_some(Duration::ZERO),
            self.settles.map(|(due, latest)| due.min(latest)),
            self.alone,
            self.inbox.next_due(),
            self.outbox.next_due(),
            self.metadata.next_due(),
        ];
        let mut due = due.into_iter().flatten().fold(beat, Duration::min);
        if let Some(until) = self.held_until() {
            due = due.min(until);
        }
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
    fn serves_originals(&self) -> bool {
        match self.originals {
            Originals::Auto => self.members.originals() > 0,
            Originals::Expect => true,
            Originals::Never => false,
        }
    }

    /// The interval of heartbeats just now.
    fn interval(&self) -> Duration {
        match self.serves_originals() && self.extended {
            true => self.heartbeat / BEATS_FOR_ORIGINALS,
            false => self.heartbeat,
        }
    }

    /// Sends a heartbeat with everything that waits to be told. The one after it is due an interval
    /// later.
    fn beat(&mut self, now: Now, mut said: Extension) {
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
    fn answer_alone(&mut self, to: Origin, token: Option<u64>, about: Option<NodeId>) {
        let may_speak = self.speaks() && self.next_beat.is_some();
        let is_user_port = targets::is_user_port(to.port, self.group_port);
        if may_speak && is_user_port && self.replies.len() < MAX_REPLIES {
            self.replies.push(Reply { to, token, about });
        }
    }

    /// Sends the answers by unicast that wait, without metadata: the address that asked may be
    /// forged.
    fn reply(&mut self, now: Now) {
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
    fn send_alone(&mut self, to: SocketAddr, said: Extension) {
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
    fn act(&mut self, actions: Vec<targets::Action>) {
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
    fn extension(&self, said: Extension) -> Extension {
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

    fn capabilities(&self) -> u32 {
        let pieces = capability::SLIM | capability::PIECES;
        let pieces = if self.limits.pieces { pieces } else { 0 };
        capability::CHALLENGE | capability::LEAVE_PROOF | pieces
    }

    /// A heartbeat of up to `room` bytes: with its metadata if that fits, else with the hash of it. Lists end
    /// where it is full.
    fn heartbeat(&mut self, said: Extension, room: usize) -> Message {
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

    /// A peer is new: presence has not settled yet.
    fn note_new(&mut self, now: Now) {
        self.alone = None;
        if let Some((due, _)) = &mut self.settles {
            let group = self.members.len() as u32 + 1;
            let spread = Duration::from_secs(1) * group / ANSWERS_PER_SECOND;
            *due = (*due).max(now.mono + spread.max(SETTLE / 4));
        }
    }

    /// Where the names of the option `seeds` lead just now.
    pub fn set_seeds(&mut self, seeds: &[SocketAddr], now: Now) {
        let actions = self.targets.set_seeds(seeds, now.mono);
        self.act(actions);
    }

    /// Where messages are to be sent as well, besides the group.
    pub fn unicast_targets(&mut self, now: Now) -> Vec<SocketAddr> {
        if !self.has_targets() {
            return Vec::new();
        }
        // A node that is hidden gets no answers: it writes to its seeds unasked.
        match self.expose {
            true => self.targets.messages_to(now.mono).to_vec(),
            false => self.targets.beats_to(now.mono).to_vec(),
        }
    }

    /// Takes out of these those that only the port of the group reaches.
    pub fn take_from_group_port(&mut self, to: &mut Vec<SocketAddr>) -> Vec<SocketAddr> {
        self.targets.take_from_group_port(to)
    }

    pub fn has_targets(&self) -> bool {
        !self.targets.is_empty()
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

    pub fn peer_details(&self, id: &NodeId) -> Option<PeerDetails> {
        self.members.details(id)
    }

    pub fn peers(&self) -> impl Iterator<Item = Peer> {
        self.members.peers()
    }

    pub fn peer_count(&self) -> usize {
        self.members.len()
    }
}

/// The first 64 bits of the SHA-256 of the secret, big endian.
fn leave_hash(secret: u128) -> u64 {
    let digest = Sha256::digest(secret.to_be_bytes());
    u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes")).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use std::net::{Ipv4Addr, SocketAddrV4};

    const HERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 10101));
    const THERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 10101));

    const SECRET: u128 = 5;

    fn at(ms: u64) -> Now {
        Now { mono: Duration::from_millis(ms), unix_ms: 1_000_000 + ms }
    }

    fn engine_with(options: Options) -> Engine {
        let options = options.with("id", "me").with("meta", &[1]);
        let config = options.resolve_node().unwrap();
        let mut engine = Engine::new(&config, 1);
        engine.interfaces(&[HERE.ip()], None, at(0));
        engine.start(config.announce, SECRET, at(0));
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
            Output::Transmit(message, Destination::These(to) | Destination::TheseFrom(_, to)) => {
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
        let settled = |output: &Output| matches!(output, Output::Event(Event::Settled));
        let all = std::iter::from_fn(|| engine.poll_output());
        all.filter(|output| !settled(output)).map(text).collect()
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
        assert_eq!(all[..2], [(30, hello.clone()), (150, hello)]);
        let beats: Vec<u64> = all[2..].iter().map(|(ms, _)| *ms).collect();
        assert!(matches!(beats[..], [950..=1050] | [950..=1050, 1900..=2000]), "{all:?}");
        assert!(all[2..].iter().all(|(_, text)| *text == beat));
        // A pause is followed by one heartbeat, not by all that were missed.
        engine.handle_timeout(at(11_500), false);
        let after = outputs(&mut engine);
        assert_eq!(after.iter().filter(|text| *text == BEAT).count(), 1, "{after:?}");
        let next = engine.poll_timeout().unwrap().as_millis();
        assert!((12_450..=12_550).contains(&next), "{next}");
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
    fn ids_that_do_not_ask_bring_one_heartbeat_forward_in_an_interval() {
        let mut engine = engine();
        let mut answers = 0;
        for n in 0..8 {
            let text = format!(r#"{{"id":"x{n}","meta":1}}"#);
            let said = hear(&mut engine, &text, HERE, 100 + 40 * n);
            answers += said.iter().filter(|it| it.starts_with("beat")).count();
        }
        assert_eq!(answers, 1);
    }

    #[test]
    fn a_new_address_is_told_at_once() {
        let mut engine = engine();
        run(&mut engine, 500);
        let both = [HERE.ip(), THERE.ip()];
        engine.interfaces(&both, None, at(600));
        let said = said(&mut engine);
        assert_eq!((said.len(), &said[0].own[..]), (1, &both[..]));
        engine.interfaces(&both, None, at(700));
        assert_eq!(engine.poll_output().map(|_| ()), None);
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
    fn a_hello_without_an_id_is_answered_and_enters_nobody() {
        let mut engine = engine();
        let hello = r#"{"caster":{"a":1}}"#;
        assert_eq!(hear(&mut engine, hello, THERE, 500), [BEAT]);
        assert_eq!(engine.peer_count(), 0);
        assert_eq!(engine.receive("{}", THERE, at(600)), Err(DropReason::NoId));
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
            let id = beat_of(&n.to_string(), n as u32, 0, ",\"a\":1");
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
        let again = hear(&mut engine, r#"{"id":"a","meta":{"x":1}}"#, HERE, 3);
        assert_eq!(again, ["port_probe 10.0.0.1:10101"], "does the host of an original refuse?");
        let mut moved = Vec::new();
        for ms in (1000..=7000).step_by(1000) {
            moved.extend(run(&mut engine, ms));
            hear(&mut engine, r#"{"id":"a"}"#, THERE, ms);
        }
        // It is believed to have moved once it was silent at its address through all questions.
        let moved: Vec<_> = moved.iter().filter(|(_, text)| text.starts_with("update")).collect();
        assert_eq!(moved.len(), 1, "{moved:?}");
        assert_eq!(moved[0].1, "update a meta=false address=true");
        assert!(moved[0].0 > 1300 && moved[0].0 < 2000, "{moved:?}");
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
        // Two that are less than 20 ms apart go out together.
        assert!((17..=20).contains(&probes.len()), "{probes:?}");
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
    fn it_answers_probes_and_corroborates_others() {
        let mut engine = engine();
        hear(&mut engine, &beat_of("a", 7, 0, ""), HERE, 0);
        hear(&mut engine, &beat_of("a", 7, 1, ""), HERE, 1);
        run(&mut engine, 500);
        let probe = |ids: &str| beat_of("b", 8, 0, &format!(",\"p\":[{ids}]"));
        // Heard once, it may have been invented, and another new id was answered in this interval.
        assert_eq!(hear(&mut engine, &probe("\"me\""), THERE, 500), ["up b"]);
        assert_eq!(hear(&mut engine, &probe("\"me\""), THERE, 501), [BEAT]);
        assert!(hear(&mut engine, &probe("\"a\",\"nobody\""), THERE, 520).is_empty());
        let all = run(&mut engine, 600);
        assert_eq!(all.len(), 1, "{all:?}");
        let (ms, text) = &all[0];
        assert!((525..=570).contains(ms) && *text == format!("beat [1] a:{}", ms - 1), "{all:?}");
        // Others were quicker. One that was heard once does not count.
        for id in ["c", "d"] {
            hear(&mut engine, &beat_of(id, 9, 0, ""), THERE, 650);
        }
        hear(&mut engine, &probe("\"a\""), THERE, 700);
        for (id, ms) in [("c", 701), ("d", 702)] {
            // The probe was repeated: two are needed.
            hear(&mut engine, &beat_of(id, 9, 1, ",\"v\":[[\"a\",100]]"), THERE, ms);
        }
        assert!(run(&mut engine, 900).iter().all(|(_, text)| !text.contains("a:")));
        assert_eq!(engine.peer(&NodeId::new("a").unwrap()).unwrap().last_seen, 1_000_601);
    }

    #[test]
    fn a_repeated_probe_is_corroborated_although_another_node_has() {
        let mut engine = engine();
        for count in 0..2 {
            hear(&mut engine, &beat_of("a", 7, count, ""), HERE, count.into());
        }
        let mut corroborated = Vec::new();
        for (id, incarnation) in [("b", 8), ("c", 9)] {
            hear(&mut engine, &beat_of(id, incarnation, 0, ""), THERE, 400);
        }
        for (count, ms) in [(1, 500), (2, 600)] {
            run(&mut engine, ms);
            hear(&mut engine, &beat_of("b", 8, count, ",\"p\":[\"a\"]"), THERE, ms);
            let other = beat_of("c", 9, count, ",\"v\":[[\"a\",100]]");
            hear(&mut engine, &other, THERE, ms + 1);
            let all = run(&mut engine, ms + 90);
            corroborated.push(all.iter().any(|(_, text)| text.contains("a:")));
        }
        assert_eq!(corroborated, [false, true]);
    }

    #[test]
    fn beats_are_frequent_while_an_original_is_in_sight() {
        let beats = |engine: &mut Engine, from, until| {
            run(engine, from);
            run(engine, until).iter().filter(|(_, text)| text.starts_with("beat")).count()
        };
        let mut engine = engine();
        assert!((2..=4).contains(&beats(&mut engine, 900, 3900)));
        for ms in [4000, 5000, 6000] {
            run(&mut engine, ms);
            hear(&mut engine, r#"{"id":"old","meta":1}"#, HERE, ms);
        }
        assert!((6..=7).contains(&beats(&mut engine, 6000, 8000)));
        hear(&mut engine, r#"{"id":"old","suicide":true}"#, HERE, 8001);
        run(&mut engine, 9000);
        let all = run(&mut engine, 19_000);
        let count = all.iter().filter(|(_, text)| text.starts_with("beat")).count();
        assert!((9..=11).contains(&count), "{all:?}");
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
        let all = run(&mut engine, 9001);
        assert!(all.contains(&(9000, "port_probe 10.0.0.1:10101".into())), "{all:?}");
        engine.refused(HERE, at(9001));
        assert_eq!(outputs(&mut engine), ["down old timeout"]);
        assert_eq!(engine.peer_count(), 1);
    }

    const PORT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 21101));

    /// An engine that hears a peer each second, whose port answers, until it falls silent at 4000.
    fn engine_with_a_peer_that_has_a_port() -> Engine {
        let mut engine = engine();
        for n in 0..5 {
            let ms = u64::from(n) * 1000;
            run(&mut engine, ms);
            hear(&mut engine, &beat_of("a", 7, n, ",\"o\":21101"), THERE, ms);
            if n == 3 {
                run(&mut engine, ms + 5);
                let answer = r#"{"id":"a","caster":{"b":7,"h":1000,"n":4,"o":21101,"u":1}}"#;
                hear(&mut engine, answer, PORT, ms + 5);
            }
        }
        engine
    }

    /// Runs while the host of the peer refuses its port after 1 ms. Returns when the peer is down.
    fn down_of_refused(engine: &mut Engine, until: u64) -> Option<u64> {
        let mut refusal = None;
        for ms in 4001..until {
            if refusal == Some(ms) {
                engine.refused(PORT, at(ms));
            }
            let mut all: Vec<String> = outputs(engine);
            all.extend(run(engine, ms).into_iter().map(|(_, text)| text));
            if all.iter().any(|text| *text == format!("port_probe {PORT}")) {
                refusal = Some(ms + 1);
            }
            if all.iter().any(|text| text == "down a timeout") {
                return Some(ms);
            }
        }
        None
    }

    #[test]
    fn a_peer_whose_port_is_refused_is_down_within_1400_ms_of_its_last_heartbeat() {
        let mut engine = engine_with_a_peer_that_has_a_port();
        let down = down_of_refused(&mut engine, 10_000).expect("it is down");
        assert!((5100..5400).contains(&down), "{down}");
    }

    #[test]
    fn a_peer_that_is_heard_after_the_refusal_of_its_port_is_never_down_of_it() {
        let mut engine = engine_with_a_peer_that_has_a_port();
        assert_eq!(down_of_refused(&mut engine, 5150), None);
        for n in 6..60 {
            let ms = 5150 + u64::from(n - 6) * 1000;
            hear(&mut engine, &beat_of("a", 7, n, ",\"o\":21101"), THERE, ms);
            engine.refused(PORT, at(ms + 1));
            let all = run(&mut engine, ms + 999);
            assert!(all.iter().all(|(_, text)| !text.starts_with("down")), "{all:?}");
        }
    }

    #[test]
    fn a_process_of_this_host_that_has_ended_takes_only_its_own_nodes_along() {
        let mut engine = engine();
        for (id, from, port) in [("a", HERE, 1), ("b", HERE, 1), ("c", HERE, 2), ("d", THERE, 1)] {
            hear(&mut engine, &beat_of(id, 7, 0, &format!(",\"o\":{port}")), from, 10);
        }
        assert_eq!(engine.host_ports(), [1, 1, 2], "of other hosts it is not known here");
        engine.process_ended(1, at(100));
        assert_eq!(
            hear(&mut engine, r#"{"id":"b","suicide":true,"caster":{"b":7}}"#, HERE, 105),
            ["down b goodbye"]
        );
        let all = run(&mut engine, 121);
        let downs: Vec<_> = all.iter().filter(|(_, text)| text.starts_with("down")).collect();
        assert_eq!(downs, [&(120, "down a timeout".to_owned())]);
    }

    #[test]
    fn an_original_whose_host_refuses_while_it_lives_is_not_dead_of_a_refusal() {
        let mut engine = engine();
        for ms in [0, 2000, 4000] {
            run(&mut engine, ms);
            let heard = hear(&mut engine, r#"{"id":"old","meta":1}"#, HERE, ms);
            if heard.contains(&"port_probe 10.0.0.1:10101".to_owned()) {
                engine.refused(HERE, at(ms + 1));
            }
        }
        let all = run(&mut engine, 9001);
        assert!(!all.iter().any(|(_, text)| text.contains("port_probe")), "{all:?}");
        engine.refused(HERE, at(9001));
        assert!(outputs(&mut engine).is_empty());
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
        for (ms, (goodbye, from)) in (10..).step_by(100).zip(&cases) {
            assert_eq!(engine.receive(goodbye, *from, at(ms)), Err(DropReason::ForeignGoodbye));
            assert!(engine.peers().next().unwrap().suspect);
            let probed = run(&mut engine, ms + 25);
            assert!(probed.iter().any(|(_, text)| text.contains("a?")), "{probed:?}");
            hear(&mut engine, &beat_of("a", 7, 4, ""), HERE, ms + 25);
        }
        assert_eq!(engine.receive(&cases[2].0, HERE, at(420)), Ok(()));
        assert_eq!(outputs(&mut engine), ["down a goodbye"]);
        assert_eq!(engine.receive(&cases[2].0, HERE, at(421)), Ok(()), "it is repeated");
        assert!(outputs(&mut engine).is_empty());
        assert_eq!(engine.receive(&cases[0].0, HERE, at(421)), Err(DropReason::UnknownGoodbye));
        let late = beat_of("a", 7, 8, "");
        assert_eq!(engine.receive(&late, HERE, at(422)), Err(DropReason::Stale));
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
        assert!(
            hear(&mut engine, goodbye, THERE, 10).is_empty(),
            "it has only just sent a heartbeat"
        );
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
        assert_eq!(told, ["conflict a 10.0.0.2"], "no restart is told");
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
    fn when_all_fall_silent_at_once_it_is_isolated_and_withholds_transitions() {
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
        // A peer that does not come back is down after all.
        hear(&mut engine, &beat_of("b", 7, 10, ""), HERE, 11_500);
        let downs = run(&mut engine, 13_400);
        let downs = downs.iter().filter(|(_, text)| text.starts_with("down")).count();
        assert_eq!(downs, 2);
    }

    #[test]
    fn isolation_does_not_hold_for_ever() {
        let mut engine = engine();
        for count in 0..2 {
            for name in ["a", "b"] {
                hear(&mut engine, &beat_of(name, 7, count, ""), HERE, 100);
            }
        }
        let all = run(&mut engine, 60_000);
        let events: Vec<_> = all.iter().filter(|(_, text)| !text.starts_with("beat")).collect();
        assert_eq!(events[0].1, "isolated");
        assert_eq!(events.len(), 3, "{events:?}");
        // Due after 2.5 s, and withheld for three timeouts.
        assert!((8_400..=9_200).contains(&events[1].0), "{events:?}");
        assert_eq!(engine.peer_count(), 0);
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

    /// The token of a challenge among these outputs, and its receiver.
    fn challenge_in(engine: &mut Engine) -> Option<(SocketAddr, u64)> {
        let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();
        outputs.iter().find_map(|output| {
            let Output::Transmit(message, Destination::These(to) | Destination::TheseFrom(_, to)) =
                output
            else {
                return None;
            };
            let envelope = Envelope::parse(message.as_json().unwrap()).unwrap();
            Some((to[0], envelope.extension?.challenge?))
        })
    }

    fn proven(engine: &mut Engine, id: &str, address: SocketAddr, ms: u64) {
        let asked = beat_of(id, 1, 0, ",\"u\":1");
        engine.receive(&asked, address, at(ms)).unwrap();
        let (to, token) = challenge_in(engine).unwrap();
        assert_eq!(to, address);
        let echo = beat_of(id, 1, 1, &format!(",\"u\":1,\"e\":\"{token:016x}\""));
        engine.receive(&echo, address, at(ms + 1)).unwrap();
    }

    #[test]
    fn seeds_are_greeted_and_a_proven_address_gets_heartbeats_and_messages() {
        let mut engine = engine();
        let seed: SocketAddr = "10.0.0.9:10101".parse().unwrap();
        engine.set_seeds(&[seed], at(500));
        assert_eq!(outputs(&mut engine), ["beat to [10.0.0.9:10101] hello []"]);
        assert!(engine.unicast_targets(at(500)).is_empty(), "it has not answered");
        proven(&mut engine, "s", seed, 501);
        outputs(&mut engine);
        assert_eq!(engine.unicast_targets(at(600)), [seed]);
        // An address that it tells of is challenged, and gets nothing else until it answers.
        let told = ",\"u\":1,\"k\":[\"10.0.0.8:10101\"]";
        engine.receive(&beat_of("s", 1, 2, told), seed, at(700)).unwrap();
        let (other, token) = challenge_in(&mut engine).unwrap();
        assert_eq!(other.to_string(), "10.0.0.8:10101");
        assert_eq!(engine.unicast_targets(at(701)), [seed]);
        let echo = format!(",\"u\":1,\"e\":\"{token:016x}\"");
        engine.receive(&beat_of("o", 2, 0, &echo), other, at(710)).unwrap();
        assert_eq!(engine.unicast_targets(at(711)), [other, seed]);
    }

    #[test]
    fn an_address_that_never_answers_gets_three_times_its_bytes_and_no_message() {
        let mut engine = engine();
        let innocent: SocketAddr = "10.0.0.7:40000".parse().unwrap();
        let (mut came, mut sent) = (0, 0);
        for n in 0..200 {
            let text =
                format!(r#"{{"id":"x{n}","caster":{{"b":1,"u":1,"t":"00000000000000aa"}}}}"#);
            let whole = beat_of("liar", 1, n, ",\"u\":1,\"k\":[\"10.0.0.7:40000\"]");
            for text in [text, whole] {
                let size = text.len() + 20;
                came += size;
                let origin = Origin { size, ..innocent.into() };
                let now = at(u64::from(n) * 50);
                let _ = engine.receive(&text, origin, now);
                engine.handle_timeout(now, false);
                assert!(engine.unicast_targets(now).is_empty());
                while let Some(output) = engine.poll_output() {
                    let Output::Transmit(
                        message,
                        Destination::These(to) | Destination::TheseFrom(_, to),
                    ) = output
                    else {
                        continue;
                    };
                    let text = message.as_json().unwrap();
                    assert_eq!(to[0].ip(), innocent.ip());
                    assert!(!text.contains("meta"), "{text}");
                    sent += text.len() + 20;
                }
            }
        }
        assert!(sent <= 3 * came, "{sent} bytes for {came}");
        assert!(sent > 0);
    }

    #[test]
    fn without_an_interface_it_is_isolated_and_blames_nobody() {
        let mut engine = engine();
        for count in 0..2 {
            hear(&mut engine, &beat_of("a", 7, count, ""), HERE, 0);
        }
        engine.interfaces(&[HERE.ip()], Some(1), at(1));
        assert!(outputs(&mut engine).is_empty());
        engine.interfaces(&[HERE.ip()], Some(0), at(100));
        engine.interfaces(&[HERE.ip()], Some(0), at(101));
        assert_eq!(outputs(&mut engine), ["isolated"]);
        // A peer on this host is still heard, as the node is by itself.
        for n in 1..8 {
            let own = beat_of("me", engine.incarnation, n, "");
            hear(&mut engine, &own, HERE, u64::from(n) * 1000);
            hear(&mut engine, &beat_of("local", 8, n, ""), HERE, u64::from(n) * 1000);
            let all = run(&mut engine, u64::from(n) * 1000 + 900);
            assert!(all.iter().all(|(_, text)| text.starts_with("beat")), "{all:?}");
        }
        engine.interfaces(&[HERE.ip()], Some(1), at(8000));
        assert_eq!(outputs(&mut engine), ["rejoined"]);
        // A peer that does not come back is down after all.
        hear(&mut engine, &beat_of("local", 8, 8, ""), HERE, 8000);
        let mut all = Vec::new();
        for ms in (8000..=11_000).step_by(20) {
            let own = beat_of("me", engine.incarnation, 9, "");
            hear(&mut engine, &own, HERE, ms);
            if ms == 10_460 {
                hear(&mut engine, &beat_of("local", 8, 9, ""), HERE, ms);
            }
            all.extend(run(&mut engine, ms));
        }
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
        let next = run(&mut engine, 1100);
        assert!(matches!(&next[..], [(950..=1050, text)] if text == r#"beat {"v":2}"#), "{next:?}");
    }

    #[test]
    fn up_again_starts_with_nobody_known() {
        let mut engine = engine();
        hear(&mut engine, &beat_of("a", 7, 0, ""), HERE, 1);
        engine.stop();
        assert_eq!(engine.peer_count(), 1, "the last peers can still be asked for");
        assert_eq!(engine.poll_timeout(), None);
        engine.start(true, SECRET, at(5000));
        assert_eq!(engine.peer_count(), 0);
        let all = hear(&mut engine, &beat_of("a", 7, 1, ""), HERE, 5100);
        assert_eq!(all, ["beat [1] hello", "up a", BEAT]);
    }

    fn id(text: &str) -> NodeId {
        NodeId::new(text).unwrap()
    }

    /// The texts of the heartbeats to the group that were sent since.
    fn said(engine: &mut Engine) -> Vec<Extension> {
        let outputs = std::iter::from_fn(|| engine.poll_output());
        let extension = |output| match output {
            Output::Transmit(message, Destination::Group) => {
                Envelope::parse(message.as_json().unwrap()).unwrap().extension
            }
            _ => None,
        };
        outputs.filter_map(extension).collect()
    }

    /// Heartbeats of a peer at HERE with the port 21101, one a second from 0 on.
    fn beats(engine: &mut Engine, name: &str, count: u32) {
        for n in 0..count {
            run(engine, u64::from(n) * 1000);
            let beat = beat_of(name, 7, n, ",\"c\":4,\"o\":21101");
            hear(engine, &beat, HERE, u64::from(n) * 1000);
        }
    }

    fn count(all: &[(u64, String)], part: &str) -> usize {
        all.iter().filter(|(_, text)| text.contains(part)).count()
    }

    #[test]
    fn a_claim_is_not_believed_when_the_peer_was_heard_meanwhile() {
        for alive in [false, true] {
            let mut engine = engine();
            beats(&mut engine, "a", 2);
            let claim = beat_of("a", 7, 2, "");
            assert_eq!(engine.receive(&claim, THERE, at(1500)), Err(DropReason::Unconfirmed));
            let mut all = run(&mut engine, 1600);
            if alive {
                hear(&mut engine, &beat_of("a", 7, 2, ",\"c\":4"), HERE, 1600);
            }
            all.extend(run(&mut engine, 2100));
            assert_eq!(engine.members.uses(&id("a"), THERE.ip()), !alive);
            assert_eq!(count(&all, "update"), usize::from(!alive));
            assert!(count(&all, "a?") >= 2, "{all:?}");
        }
    }

    #[test]
    fn questions_of_others_about_a_claim_stand_for_the_own() {
        let mut engine = engine();
        beats(&mut engine, "a", 2);
        let _ = engine.receive(&beat_of("a", 7, 2, ""), THERE, at(1500));
        let mut all = Vec::new();
        for n in 0..16u32 {
            let ms = 1503 + 20 * u64::from(n);
            hear(&mut engine, &beat_of("b", 8, n, ",\"p\":[\"a\"]"), THERE, ms);
            all.extend(run(&mut engine, ms + 1));
        }
        assert_eq!(count(&all, "a?"), 0, "{all:?}");
    }

    #[test]
    fn the_answer_to_a_question_by_name_tells_the_addresses() {
        let mut engine = engine();
        hear(&mut engine, &beat_of("b", 8, 0, ""), THERE, 300);
        engine.receive(&beat_of("b", 8, 1, ",\"p\":[\"me\"]"), THERE, at(500)).unwrap();
        let said = said(&mut engine);
        assert_eq!((said.len(), &said[0].own), (1, &vec![HERE.ip()]));
    }

    #[test]
    fn a_clone_of_the_machine_is_a_conflict_and_a_replay_is_not() {
        for (counts, conflicts) in [([5, 6, 7], 1), ([5, 5, 4], 0)] {
            let mut engine = engine();
            let mut told = Vec::new();
            for (ms, count) in (10..).zip(counts) {
                let own = beat_of("me", engine.incarnation, count, "");
                told.extend(hear(&mut engine, &own, THERE, ms));
            }
            let told = told.iter().filter(|text| text.starts_with("conflict")).count();
            assert_eq!(told, conflicts, "{counts:?}");
        }
    }

    #[test]
    fn a_leave_needs_the_secret_of_the_hash_from_any_address() {
        let mut engine = engine();
        let hash = format!(",\"l\":\"{:016x}\"", leave_hash(9));
        hear(&mut engine, &beat_of("a", 7, 0, &hash), HERE, 0);
        let leave =
            |rest: &str| format!(r#"{{"id":"a","suicide":true,"caster":{{"b":7,"n":1{rest}}}}}"#);
        let secret = |secret: u128| leave(&format!(",\"s\":\"{secret:032x}\""));
        for forged in [leave(""), secret(8)] {
            let dropped = engine.receive(&forged, HERE, at(10));
            assert_eq!(dropped, Err(DropReason::ForeignGoodbye));
        }
        assert_eq!(engine.receive(&secret(9), THERE, at(20)), Ok(()));
        assert!(outputs(&mut engine).contains(&"down a goodbye".to_owned()));
    }

    #[test]
    fn only_a_proven_leave_in_its_own_name_raises_its_count_and_by_little() {
        let mut engine = engine();
        let (incarnation, secret) = (engine.incarnation, engine.leave_secret);
        let leave = |count: u32, secret: u128| {
            format!(
                r#"{{"id":"me","suicide":true,"caster":{{"b":{incarnation},"n":{count},"s":"{secret:032x}"}}}}"#
            )
        };
        let cases = [
            (500, leave(600, secret ^ 1), 1),
            (
                600,
                format!(r#"{{"id":"me","suicide":true,"caster":{{"b":{incarnation},"n":600}}}}"#),
                2,
            ),
            (700, leave(600, secret), 35),
            (800, leave(700, secret), 36),
            (1800, leave(40, secret), 41),
        ];
        for (ms, leave, count) in cases {
            let _ = engine.receive(&leave, THERE, at(ms));
            let said = said(&mut engine);
            assert_eq!((said.len(), said[0].count), (1, Some(count)), "{leave}");
        }
    }

    #[test]
    fn what_another_program_says_first_does_not_silence_the_peer() {
        let mut engine = engine();
        beats(&mut engine, "a", 3);
        let message = r#"{"id":"a","message":"tick"}"#;
        for ms in [3000, 3100] {
            assert_eq!(engine.receive(message, THERE, at(ms)), Err(DropReason::Unconfirmed));
            engine.receive_copy(message, HERE, at(ms + 40));
            assert!(outputs(&mut engine).contains(&"message a \"tick\"".to_owned()), "{ms}");
            // A second interface of the peer: the same datagram once more.
            engine.receive_copy(message, HERE, at(ms + 41));
            assert_eq!(outputs(&mut engine), [""; 0], "{ms}");
        }
        // The answer to the claim, said in advance: the peer is heard, and keeps its address.
        let answer = beat_of("a", 7, 3, ",\"y\":[\"10.0.0.2\"]");
        assert_eq!(engine.receive(&answer, THERE, at(3190)), Err(DropReason::Unconfirmed));
        engine.receive_copy(&answer, HERE, at(3200));
        let all = run(&mut engine, 4200);
        assert!(!all.iter().any(|(_, text)| text.contains("address=true")), "{all:?}");
    }

    #[test]
    fn a_peer_whose_new_address_is_believed_was_heard_there() {
        let mut engine = engine();
        beats(&mut engine, "a", 3);
        run(&mut engine, 3500);
        let _ = engine.receive(&beat_of("a", 7, 3, ""), THERE, at(3500));
        let all = run(&mut engine, 10_000);
        let when = |part| all.iter().find(|(_, text)| text.contains(part)).map(|(ms, _)| *ms);
        assert!((3800..4000).contains(&when("address=true").unwrap()), "{all:?}");
        assert!((6000..6100).contains(&when("down a").unwrap()), "{all:?}");
    }

    #[test]
    fn a_refusal_that_ends_an_isolation_begins_an_inquiry() {
        let mut engine = engine();
        for name in ["a", "b"] {
            beats(&mut engine, name, 12);
            engine.members.note_port_answered(&id(name), 21101);
        }
        let all = run(&mut engine, 13_700);
        assert_eq!(count(&all, "isolated"), 1, "{all:?}");
        engine.refused(SocketAddr::new(HERE.ip(), 21101), at(13_700));
        let all = outputs(&mut engine);
        assert!(all.contains(&"rejoined".to_owned()), "{all:?}");
        assert!(count(&run(&mut engine, 13_760), "port_probe") > 0);
    }

    #[test]
    fn ports_are_asked_for_a_sign_while_no_peer_is_heard() {
        // How many of two peers are heard on, and whether the ports were asked again and again.
        for (heard, port, again) in [(0, 21101, true), (1, 21101, false), (0, 0, false)] {
            let mut engine = engine();
            for name in ["a", "b"] {
                for n in 0..12 {
                    run(&mut engine, u64::from(n) * 1000);
                    let beat = beat_of(name, 7, n, &format!(",\"o\":{port}"));
                    hear(&mut engine, &beat, HERE, u64::from(n) * 1000);
                }
            }
            let mut all = run(&mut engine, 12_900);
            for n in 0..heard {
                hear(&mut engine, &beat_of("b", 7, 12 + n, ",\"o\":21101"), HERE, 12_900);
            }
            all.extend(run(&mut engine, 13_400));
            let asked = count(&all, "port_probe");
            assert_eq!(asked > 10, again, "{heard} {port}: {asked}");
        }
    }

    #[test]
    fn a_young_peer_is_asked_for_a_sign_if_its_port_has_answered() {
        for answered in [false, true] {
            let mut engine = engine();
            for name in ["a", "b"] {
                beats(&mut engine, name, 4);
                if answered {
                    engine.members.note_port_answered(&id(name), 21101);
                }
            }
            run(&mut engine, 4900);
            let asked = count(&run(&mut engine, 5400), "port_probe");
            assert_eq!(asked > 10, answered, "{asked}");
        }
    }

    #[test]
    fn an_address_is_of_another_node_once_it_was_denied_twice() {
        let eight = r#","y":["10.0.1.1","10.0.1.2","10.0.1.3","10.0.1.4","10.0.1.5","10.0.1.6","10.0.1.7","10.0.1.8"]"#;
        let one = r#","y":["10.0.0.1"]"#;
        for (list, conflict) in [(one, true), (eight, false)] {
            let mut engine = engine();
            beats(&mut engine, "a", 3);
            for (n, told) in [(3, false), (4, conflict)] {
                let ms = u64::from(n) * 1000;
                run(&mut engine, ms);
                assert_eq!(
                    engine.receive(&beat_of("a", 7, n, ",\"y\":[\"10.0.0.2\"]"), THERE, at(ms)),
                    Err(DropReason::Unconfirmed)
                );
                let all = hear(&mut engine, &beat_of("a", 7, n, list), HERE, ms + 20);
                let conflicts = all.iter().filter(|text| text.starts_with("conflict a")).count();
                assert_eq!(conflicts, usize::from(told), "{n}: {all:?}");
            }
        }
    }

    #[test]
    fn nothing_said_to_the_group_is_answered_by_unicast() {
        let mut engine = engine();
        beats(&mut engine, "a", 12);
        let group = |text: &str, engine: &mut Engine| {
            let origin = Origin { to_group: true, ..HERE.into() };
            let _ = engine.receive(text, origin, at(11_500));
            run(engine, 11_900).into_iter().filter(|(_, it)| it.contains(" to ")).count()
        };
        let token = ",\"t\":\"0123456789abcdef\",\"u\":1,\"p\":[\"me\"]";
        assert_eq!(group(&beat_of("a", 7, 12, token), &mut engine), 0);
        let slim = format!(r#"{{"id":"new","caster":{{"b":1,"n":0,"h":1000{token}}}}}"#);
        assert_eq!(group(&slim, &mut engine), 0);
    }

    #[test]
    fn one_that_was_heard_once_asks_nobody_and_a_young_one_asks_for_one() {
        let mut engine = engine();
        beats(&mut engine, "a", 12);
        beats(&mut engine, "b", 12);
        let names = ",\"p\":[\"a\",\"b\"]";
        let mut corroborated = Vec::new();
        for count in 0..2 {
            let ms = 11_400 + 150 * u64::from(count);
            hear(&mut engine, &beat_of("c", 9, count, names), THERE, ms);
            let all = run(&mut engine, ms + 120);
            corroborated.push(all.iter().map(|(_, it)| it.matches(':').count()).sum::<usize>());
        }
        assert_eq!(corroborated, [0, 1]);
    }

    #[test]
    fn ports_of_other_services_get_nothing() {
        let mut engine = engine();
        let beat = |count| beat_of("a", 7, count, ",\"o\":53,\"t\":\"0123456789abcdef\",\"u\":1");
        let from = SocketAddr::new(HERE.ip(), 123);
        for n in 0..4 {
            hear(&mut engine, &beat(n), from, u64::from(n) * 100);
        }
        let all = run(&mut engine, 4000);
        assert!(!all.iter().any(|(_, it)| it.contains(":53") || it.contains(":123")), "{all:?}");
    }

    #[test]
    fn a_port_that_has_never_answered_is_not_asked_when_the_peer_is_late() {
        let mut asked = 0;
        for name in 0..40 {
            let mut engine = engine();
            for other in 0..40 {
                beats(&mut engine, &format!("o{other}"), 2);
            }
            let beat = beat_of(&format!("n{name}"), 7, 0, ",\"o\":5353");
            hear(&mut engine, &beat, THERE, 1000);
            asked += run(&mut engine, 5000).iter().filter(|(_, it)| it.contains("5353")).count();
        }
        assert_eq!(asked, 0);
    }

    #[test]
    fn while_datagrams_wait_unread_no_peer_is_suspect() {
        let mut engine = engine();
        beats(&mut engine, "a", 3);
        for ms in (2000..10_000).step_by(100) {
            engine.handle_timeout(at(ms), true);
        }
        assert!(!engine.peer(&id("a")).unwrap().suspect);
    }

    #[test]
    fn a_pause_ends_inquiries_and_does_not_count_for_claims() {
        let mut engine = engine();
        beats(&mut engine, "a", 2);
        let _ = engine.receive(&beat_of("a", 7, 2, ""), THERE, at(1500));
        engine.inquiries.begin(&id("a"), 7, THERE, at(1500).mono, &mut Random::new(1));
        engine.poll_timeout();
        hear(&mut engine, &beat_of("b", 8, 0, ""), THERE, 31_500);
        assert_eq!(engine.inquiries.next_due(), None);
        assert!(engine.claims.next_due().unwrap() > at(31_500).mono);
    }

    #[test]
    fn invented_peers_do_not_withhold_the_death_of_the_only_one() {
        let mut engine = engine();
        beats(&mut engine, "a", 3);
        for n in 0..10 {
            hear(&mut engine, &beat_of(&format!("x{n}"), 1, 0, ""), THERE, 2001);
        }
        let all = run(&mut engine, 4600);
        assert_eq!(count(&all, "down a timeout"), 1, "{all:?}");
    }

    #[test]
    fn new_ids_of_one_address_are_limited() {
        let mut engine = engine();
        engine.budgets.new_nodes_per_second = 5;
        for n in 0..20 {
            hear(&mut engine, &beat_of(&n.to_string(), 1, 0, ""), HERE, 100 + n);
        }
        assert_eq!(engine.peer_count(), 5);
        hear(&mut engine, &beat_of("other", 1, 0, ""), THERE, 200);
        assert_eq!(engine.peer_count(), 6);
    }

    #[test]
    fn about_ten_answer_the_unasked_and_all_answer_a_hello_over_a_while() {
        let mut engine = engine();
        for n in 0..199 {
            hear(&mut engine, &beat_of(&n.to_string(), 1, 0, ""), HERE, 100);
        }
        let mut answers = |asked: bool| -> Vec<Duration> {
            let mut answer = || {
                engine.answer = None;
                engine.brought_forward = (Duration::ZERO, [0; 2]);
                match asked {
                    true => engine.answer_hello(at(500)),
                    false => engine.answer_newcomer(at(500)),
                }
                engine.answer
            };
            (0..1000).filter_map(|_| answer()).collect()
        };
        let (asked, unasked) = (answers(true), answers(false));
        assert!((25..100).contains(&unasked.len()), "{}", unasked.len());
        assert_eq!(asked.len(), 1000);
        let late = asked.iter().filter(|due| **due > at(700).mono).count();
        assert!((400..600).contains(&late), "200 nodes answer over 400 ms");
    }

    #[test]
    fn at_most_ten_heartbeats_are_brought_forward_in_one_interval() {
        let mut engine = engine();
        let mut all = Vec::new();
        for n in 0..26 {
            let ms = 210 + 30 * u64::from(n);
            all.extend(hear(&mut engine, &beat_of("a", 1, n, ",\"a\":1"), HERE, ms));
        }
        let beats = all.iter().filter(|text| *text == BEAT).count();
        assert_eq!(beats, ANSWERS_PER_INTERVAL as usize, "{all:?}");
    }

    #[test]
    fn answers_by_unicast_have_a_budget_and_no_more_bytes_than_their_cause() {
        let mut engine = engine();
        let mut answers = |size, from_ms: u64| {
            let mut answers = 0;
            for n in 0..200u64 {
                let text = beat_of("a", 1, 0, ",\"u\":1,\"t\":\"00000000000000aa\"");
                let now = at(from_ms + n);
                engine.receive(&text, Origin { size, ..THERE.into() }, now).unwrap();
                engine.handle_timeout(now, false);
                while let Some(output) = engine.poll_output() {
                    let Output::Transmit(
                        message,
                        Destination::These(_) | Destination::TheseFrom(..),
                    ) = output
                    else {
                        continue;
                    };
                    answers += usize::from(message.as_json().unwrap().contains("\"e\":"));
                }
            }
            answers
        };
        assert_eq!(answers(200, 1000), 50);
        assert_eq!(answers(60, 2000), 0);
    }

    /// Outputs after a member has said at 1200 that the port of `a` is refused and, if it was
    /// asked, its host has refused it. `then` is heard from another member at 1300.
    fn inquired(incarnation: u32, then: &str, from: SocketAddr) -> Vec<(u64, String)> {
        let mut engine = engine();
        beats(&mut engine, "a", 2);
        for n in 0..2 {
            hear(&mut engine, &beat_of("b", 8, n, ""), THERE, 1100);
        }
        let claim = beat_of("b", 8, 2, &format!(",\"d\":[[\"a\",{incarnation}]]"));
        hear(&mut engine, &claim, THERE, 1200);
        let mut all = run(&mut engine, 1260);
        if count(&all, "port_probe") > 0 {
            engine.refused(SocketAddr::new(HERE.ip(), 21101), at(1261));
        }
        all.extend(run(&mut engine, 1300));
        hear(&mut engine, then, from, 1300);
        all.extend(run(&mut engine, 1900));
        all
    }

    #[test]
    fn a_refusal_told_by_a_member_leads_to_the_port_and_probes_and_death() {
        let all = inquired(7, "{}", THERE);
        assert_eq!(count(&all, "port_probe 10.0.0.1:21101"), 1, "{all:?}");
        assert_eq!(count(&all, "a?"), 6, "{all:?}");
        assert_eq!(count(&all, "down a timeout"), 1, "{all:?}");
        let all = inquired(6, "{}", THERE);
        assert_eq!(count(&all, "port_probe"), 0, "of another incarnation: {all:?}");
    }

    #[test]
    fn a_datagram_or_a_corroboration_ends_an_inquiry() {
        let alive = beat_of("a", 7, 2, ",\"c\":4,\"o\":21101");
        let heard = beat_of("b", 8, 3, ",\"v\":[[\"a\",20]]");
        for (then, from) in [(alive, HERE), (heard, THERE)] {
            let all = inquired(7, &then, from);
            assert_eq!(count(&all, "port_probe 10.0.0.1:21101"), 1, "{all:?}");
            assert_eq!(count(&all, "down"), 0, "{all:?}");
        }
    }

    #[test]
    fn few_watch_a_peer_of_a_large_group_and_only_watchers_are_believed() {
        let mut engine = engine();
        let mut watched = 0;
        for n in 0..2 {
            for name in 0..200 {
                let beat = beat_of(&format!("peer{name}"), 7, n, ",\"o\":21101");
                let heard = hear(&mut engine, &beat, HERE, 100 + u64::from(n));
                watched += heard.iter().filter(|text| text.starts_with("port_probe")).count();
            }
        }
        assert!((1..15).contains(&watched), "{watched}");
        let mut believed = 0;
        for name in 1..200 {
            let beat = beat_of(&format!("peer{name}"), 7, 2, ",\"d\":[[\"peer0\",7]]");
            hear(&mut engine, &beat, HERE, 200);
            believed += usize::from(engine.inquiries.next_due().is_some());
            engine.inquiries.clear();
        }
        assert!((1..30).contains(&believed), "{believed}");
    }

    #[test]
    fn a_node_that_was_taken_for_dead_says_so_for_a_minute() {
        let mut engine = engine();
        hear(&mut engine, &beat_of("b", 8, 0, ""), THERE, 300);
        let claim = beat_of("b", 8, 1, &format!(",\"d\":[[\"me\",{}]]", engine.incarnation));
        let _ = engine.receive(&claim, THERE, at(500));
        let told = said(&mut engine);
        assert!(told.len() == 1 && told[0].misreported);
        for (ms, misreported) in [(60_400, true), (60_600, false)] {
            engine.handle_timeout(at(ms), false);
            said(&mut engine);
            engine.set_meta("1".into(), at(ms));
            assert_eq!(said(&mut engine)[0].misreported, misreported, "{ms}");
        }
    }

    #[test]
    fn probes_of_another_node_stand_for_some_of_its_own() {
        for (beats_of_a, probes) in [(12, 12..=18), (3, 1..=11)] {
            let mut engine = engine();
            beats(&mut engine, "a", beats_of_a);
            let since = u64::from(beats_of_a) * 1000 + 1001;
            let mut all = run(&mut engine, since);
            for n in 0..10 {
                hear(&mut engine, &beat_of("b", 8, n, ",\"p\":[\"a\"]"), THERE, since);
            }
            all.extend(run(&mut engine, since + 600));
            // Of a peer that was heard a few times only, each probe of another stands for one.
            assert!(probes.contains(&count(&all, "a?")), "{all:?}");
        }
    }

    #[test]
    fn the_answer_of_the_peer_makes_a_corroboration_needless() {
        let mut engine = engine();
        beats(&mut engine, "a", 2);
        hear(&mut engine, &beat_of("b", 8, 0, ",\"p\":[\"a\"]"), THERE, 1300);
        hear(&mut engine, &beat_of("a", 7, 2, ""), HERE, 1304);
        assert_eq!(count(&run(&mut engine, 1500), "a:"), 0);
    }

    #[test]
    fn a_peer_that_answers_again_and_again_is_corroborated_unasked() {
        // When it answers after 12,000 ms, and whether another node corroborates it.
        for (answers, another, told) in [
            (&[0][..], false, 0),
            (&[0, 190], false, 1),
            (&[0, 201], false, 0),
            (&[0, 40, 41], false, 1),
            (&[0, 40], true, 0),
        ] {
            let mut engine = engine();
            beats(&mut engine, "a", 12);
            beats(&mut engine, "b", 12);
            let mut all = run(&mut engine, 12_000);
            for (n, after) in (12..).zip(answers) {
                all.extend(run(&mut engine, 12_000 + after));
                let answer = beat_of("a", 7, n, ",\"y\":[\"10.0.0.1\"]");
                hear(&mut engine, &answer, HERE, 12_000 + after);
            }
            let suppressed_by = engine.corroborations.first().map(|it| it.suppressed_by);
            let in_vain = told > 0 || another;
            assert_eq!(suppressed_by, in_vain.then_some(1), "{answers:?}");
            if another {
                hear(&mut engine, &beat_of("b", 7, 12, ",\"v\":[[\"a\",2]]"), HERE, 12_042);
            }
            all.extend(run(&mut engine, 12_300));
            assert_eq!(count(&all, "a:"), told, "{answers:?} {another}: {all:?}");
        }
    }

    #[test]
    fn a_late_peer_is_asked_by_its_watchers_only() {
        let mut engine = engine();
        let mut watched = 0;
        for n in 0..3 {
            for name in 0..40 {
                let beat = beat_of(&format!("n{name}"), 7, n, ",\"o\":21101");
                hear(&mut engine, &beat, HERE, 100 + u64::from(n) * 1000);
            }
        }
        for name in 0..40 {
            let name = id(&format!("n{name}"));
            engine.members.note_port_answered(&name, 21101);
            watched += usize::from(engine.watches(&name));
        }
        let asked = count(&run(&mut engine, 3900), "port_probe");
        assert_eq!(asked, watched);
        assert!((1..20).contains(&watched), "{watched}");
    }

    #[test]
    fn addresses_told_by_a_peer_of_the_link_count_after_five_heartbeats() {
        let mut engine = engine();
        for n in 0..5u32 {
            let told = beat_of("a", 7, n, ",\"k\":[\"10.0.0.8:10101\"]");
            let heard = hear(&mut engine, &told, THERE, 100 + u64::from(n));
            let challenges = heard.iter().filter(|text| text.contains("10.0.0.8")).count();
            assert_eq!(challenges, usize::from(n == 4), "{heard:?}");
        }
    }
}
