//! A node as a state machine: datagrams and the time go in, datagrams to send and events come out.
//!
//! Contract: after every call that takes `&mut self`, take outputs until there are none.
//!
//! docs/wire.md specifies what each statement may change, for how long it holds and what it may
//! cost, and where the constants come from.

mod data;
mod detect;
mod hear;
mod held;
mod sealed;
mod speak;

use super::budget::PerSource;
use super::challenge::Challenger;
use super::claims::Claims;
use super::envelope::Extension;
use super::event::{DownReason, Event};
use super::foreign::{self, Foreign};
use super::isolation::{Change, Isolation};
use super::known_sources::KnownSources;
use super::limits::Limits;
use super::membership::Membership;
use super::metadata::Metadata;
use super::migration::Migration;
use super::output::Output;
use super::owners::Owners;
use super::paths::Origin;
use super::pieces::Outbox;
use super::random::Random;
use super::reassembly::Inbox;
use super::refusal::Inquiries;
use super::sealed::Sealed;
use super::targets::{Targets, TargetsConfig};
use super::time::Now;
use super::unbelieved::Unbelieved;
use crate::options::{Budgets, NodeConfig, Originals};
use crate::peer::{NodeId, Peer, PeerDetails};
use crate::sha256::sha256;
use crate::stats::{DropReason, Stats};
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

/// How long the failure detector waits for datagrams that are queued, before it looks again.
const CATCH_UP: Duration = Duration::from_millis(100);

/// How many nodes watch the port of a peer, and of how many a claim about it counts.
const WATCHERS: u64 = 4;
const BELIEVED_WATCHERS: u64 = 8;

/// Presence has settled when no peer has come for this long after the first hello, and at the
/// latest after [`SETTLE_AT_LATEST`].
const SETTLE: Duration = Duration::from_millis(200);
const SETTLE_AT_LATEST: Duration = Duration::from_secs(3);

/// After so many intervals without any peer a hint tells what is known.
const ALONE_INTERVALS: u32 = 5;

/// The size of a challenge on the wire beyond the id: the keys of the extension, a digest of up to 64
/// bytes, and padding.
const CHALLENGE_OVERHEAD: usize = 220;

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
    /// Those at which the group is joined.
    joined: Vec<IpAddr>,
    /// A node with this id and incarnation that was heard from another address.
    clone: Option<OwnClone>,
    /// When a leave in its own name last moved its count.
    rose: Option<Duration>,
    own_conflict: Option<Duration>,
    /// The watcher that last said that the port of this node was refused: its address, and when.
    accused: Option<(IpAddr, Duration)>,
    /// End of the statement that its port was falsely reported as refused.
    misreported: Option<Duration>,
    /// When the event `settled` is due, and at the latest.
    settles: Option<(Duration, Duration)>,
    /// When the hint is due that no peer was heard.
    alone: Option<Duration>,
    /// Whether others were heard since it came up that are neither peers nor in `foreign`.
    heard_others: bool,
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
    /// The identities of ids, in secure mode.
    owners: Owners,
    /// In migration to it.
    migration: Option<Box<Migration>>,
    /// Whether a refused port is believed in secure mode, too.
    believes_refusals: bool,
    /// Whether messages of bare casters are delivered in secure mode.
    delivers_unproven: bool,
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
            joined: Vec::new(),
            clone: None,
            rose: None,
            own_conflict: None,
            accused: None,
            misreported: None,
            settles: None,
            alone: None,
            heard_others: false,
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
            owners: Owners::default(),
            migration: None,
            believes_refusals: config.believes_refusals,
            delivers_unproven: config.delivers_unproven,
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
        self.accused = None;
        self.misreported = None;
        self.announcements.clear();
        // Another half of the secret than the one that the leave publishes.
        let key = sha256(&[&secret.to_be_bytes(), &(!secret).to_be_bytes()]);
        let (first, second) = key.split_at(16);
        let challenger = |key: &[u8]| {
            Challenger::new(key.try_into().expect("half of 32 bytes"), self.incarnation)
        };
        self.questions = challenger(second);
        self.targets.restart(challenger(first), now.mono);
        self.next_beat = Some(now.mono + self.heartbeat);
        self.settles = Some((now.mono + SETTLE, now.mono + SETTLE_AT_LATEST));
        self.alone = Some(now.mono + self.heartbeat * ALONE_INTERVALS);
        self.heard_others = false;
        if let Some(migration) = &mut self.migration {
            migration.start(now.mono);
        }
        if announce {
            self.announcements.extend(ANNOUNCEMENTS.map(|after| now.mono + after));
            self.beat(now, Extension { hello: true, ..Extension::default() });
        }
    }

    /// One of the two engines of a node in migration.
    pub fn set_migration(&mut self, migration: Migration) {
        self.migration = Some(Box::new(migration));
    }

    pub fn migration(&self) -> Option<&Migration> {
        self.migration.as_deref()
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
        if let Some(sealed) = self.sealed.as_deref_mut() {
            sealed.limit(self.budgets.nodes, self.budgets.new_nodes_per_second);
        }
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

    /// Whether the node is a peer of itself.
    pub fn observes_self(&self) -> bool {
        self.observe_self
    }

    /// Whether an established peer was heard from this address and port lately.
    pub fn knows(&self, source: &SocketAddr) -> bool {
        self.sources.contains(source)
    }

    /// A peer that is known.
    fn snapshot(&self, id: &NodeId) -> Peer {
        self.members.get(id).expect("it was just heard")
    }

    /// A stage has turned a datagram away.
    pub fn rejected(&mut self, reason: DropReason, data: &[u8], from: Origin, now: Now) {
        if foreign::is_of_no_node(reason) && self.may_be_own(from) {
            return;
        }
        if let Some(text) = self.foreign.note(reason, data, from.address, now.mono) {
            self.tell(Event::Hint(text.into()));
        }
    }

    /// Whether a bare caster of this process may have sent it: from the port of the group, as one of another
    /// process of this host.
    fn may_be_own(&self, from: Origin) -> bool {
        from.port == self.group_port && self.own_addresses.contains(&from.address)
    }

    /// A datagram had no effect: it shows that there is another sender.
    #[cold]
    fn note_useless(&mut self, reason: DropReason, from: Origin, now: Now) {
        match reason {
            DropReason::Own => {}
            reason if foreign::is_of_no_node(reason) => self.rejected(reason, &[], from, now),
            _ => self.heard_others = true,
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
        let addresses: Vec<String> = self.joined.iter().map(IpAddr::to_string).collect();
        let interfaces = match addresses.is_empty() {
            true => "no interface has joined the group".to_owned(),
            false => format!("the group was joined at {}", addresses.join(", ")),
        };
        let echo = match self.isolation.has_echo() {
            true => "own heartbeats come back",
            false => "own heartbeats do not come back",
        };
        let foreign = match self.foreign.counts().len() {
            0 if self.heard_others => {
                "other senders were heard on this port, and none is a peer".to_owned()
            }
            0 => "no other sender was heard on this port".to_owned(),
            senders => format!("senders on this port that could not be understood: {senders}"),
        };
        let text = format!(
            "no peer was heard in {ALONE_INTERVALS} intervals: {interfaces}; {echo}; {foreign}"
        );
        self.tell(Event::Hint(text.into()));
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

    /// The addresses of this host at which the group is joined.
    pub fn set_joined(&mut self, addresses: Vec<IpAddr>) {
        self.joined = addresses;
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

    #[inline(never)]
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
    let digest = sha256(&[&secret.to_be_bytes()]);
    u64::from_be_bytes(*digest.first_chunk().expect("32 bytes")).max(1)
}

#[cfg(test)]
mod tests;
