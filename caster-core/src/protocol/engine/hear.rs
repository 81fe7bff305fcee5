//! Received datagrams: how far each is believed and which events follow.

use super::{ANSWERS_PER_SECOND, BELIEVED_WATCHERS, Engine, OwnClone, SETTLE, leave_hash};
use crate::message::{Assurance, Message};
use crate::peer::NodeId;
use crate::protocol::destination::LocalPort;
use crate::protocol::envelope::{self, Envelope, Extension, capability};
use crate::protocol::event::{Changed, DownReason, Event};
use crate::protocol::membership::{CONFLICT_NOTICE, NotHeard};
use crate::protocol::paths::{Content, Origin};
use crate::protocol::record::Hearing;
use crate::protocol::refusal::{HEARD_BEFORE_CLAIM, watches};
use crate::protocol::targets;
use crate::protocol::time::Now;
use crate::stats::DropReason;
use std::net::IpAddr;
use std::time::Duration;

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

/// How many nodes challenge the addresses that one heartbeat to the group tells.
const CHALLENGERS: f64 = 4.0;

/// A peer of the own link is trusted with addresses after so many heartbeats.
const TRUSTED_BEATS: u8 = 5;

impl Engine {
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
        if let Err(reason) = heard
            && text != envelope::NOTHING
        {
            self.note_useless(reason, from, now);
        }
        if !self.held.is_empty() {
            self.release_held(now);
        }
        heard
    }

    /// With `may_wait` a peer is held back until its address is proven.
    pub(super) fn receive_text(
        &mut self,
        text: &str,
        from: Origin,
        now: Now,
        may_wait: bool,
    ) -> Result<(), DropReason> {
        let envelope = match Envelope::parse(text) {
            Err(DropReason::NoId) => return self.hear_anonymous(text, from, now),
            parsed => parsed?,
        };
        let is_message = envelope.message.is_some() && !envelope.suicide;
        match from.content {
            Content::Any => {}
            Content::Message { .. } if is_message => {}
            Content::Presence if !is_message => {}
            Content::Message { .. } | Content::Presence => return Err(DropReason::Seal),
        }
        let id = &self.id_of(&envelope);
        if self.migration.as_ref().is_some_and(|migration| migration.refuses(id)) {
            return Err(DropReason::Downgrade);
        }
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

    /// A hello without an id asks for answers and says nothing of its sender.
    fn hear_anonymous(&mut self, text: &str, from: Origin, now: Now) -> Result<(), DropReason> {
        Envelope::parse_anonymous_hello(text).ok_or(DropReason::NoId)?;
        self.heard_others |= !self.may_be_own(from);
        self.answer_hello(now);
        Ok(())
    }

    /// The id of the sender: the one that is in the table, if it is in the table.
    pub(super) fn id_of(&mut self, envelope: &Envelope<'_>) -> NodeId {
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

    pub(super) fn hear(
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
            let mut message = Message::trusted_json(message.into());
            if self.sealed.is_some() {
                message.assure(match origin.content {
                    Content::Message { signed: true } => Assurance::Signed,
                    _ => Assurance::Fresh,
                });
            }
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
    pub(super) fn hear_slim(
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
        if self.inquiries.end(id) {
            self.members.note_refused_while_alive(id);
        }
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
    pub(super) fn check_size(
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

    /// A member says that the port of a peer is refused.
    fn hear_refusal(&mut self, by: &NodeId, id: &NodeId, incarnation: u32, now: Now) {
        let members = self.members.len() + 1;
        if *id == self.id {
            if incarnation == self.incarnation {
                let about = (id, Some(incarnation));
                if watches(by, about, BELIEVED_WATCHERS, members) && self.members.is_member(by) {
                    self.note_accusation(by, now);
                }
                self.answer_by_name(now);
            }
            return;
        }
        let silence = self.members.silence(id, now.mono);
        if !watches(by, (id, Some(incarnation)), BELIEVED_WATCHERS, members)
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

    /// A watcher says that the port of this node was refused. A second one at another address is believed:
    /// a single program must not switch the proof of death off.
    fn note_accusation(&mut self, by: &NodeId, now: Now) {
        let Some(address) = self.members.address(by) else { return };
        let before = self.accused.replace((address, now.mono));
        if before.is_some_and(|(it, at)| it != address && now.mono < at + MISREPORTED) {
            self.misreported = Some(now.mono + MISREPORTED);
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
    pub(super) fn down(&mut self, id: &NodeId, now: Now) {
        self.forget(id);
        if let Some(peer) = self.members.remove_silent(id, now.mono) {
            self.tell(Event::Down { peer, reason: DownReason::Timeout });
        }
    }

    /// This id was heard: an echo of this node, or another node.
    fn hear_own_id(&mut self, envelope: &Envelope<'_>, origin: Origin, now: Now) {
        let from = origin.address;
        let own = from.is_loopback() || self.own_addresses.contains(&from);
        let Some(extension) = &envelope.extension else {
            if envelope.suicide {
                self.answer_by_name(now);
            } else if self.extended && envelope.message.is_none() && !own {
                // An original has this id, or a program says so.
                self.conflict_of_own(origin, now);
            }
            return;
        };
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

    /// A peer is new: presence has not settled yet.
    fn note_new(&mut self, now: Now) {
        self.alone = None;
        if let Some((due, _)) = &mut self.settles {
            let group = self.members.len() as u32 + 1;
            let spread = Duration::from_secs(1) * group / ANSWERS_PER_SECOND;
            *due = (*due).max(now.mono + spread.max(SETTLE / 4));
        }
    }
}
