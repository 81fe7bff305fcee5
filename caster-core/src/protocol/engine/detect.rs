//! Failure detection: probes, corroborations, refused ports and ended processes.

use super::{BELIEVED_WATCHERS, Corroboration, Engine, WATCHERS};
use crate::message::Message;
use crate::peer::NodeId;
use crate::protocol::claims;
use crate::protocol::destination::Destination;
use crate::protocol::envelope::{self, Extension, MAX_NAMES};
use crate::protocol::event::{Changed, Event};
use crate::protocol::membership::{DIRECT, Transition};
use crate::protocol::output::Output;
use crate::protocol::refusal::{self, watches};
use crate::protocol::targets;
use crate::protocol::time::Now;
use std::net::SocketAddr;
use std::time::Duration;

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

/// The end of a process of this host may be known before its leave has been read. Together with the
/// way of the report this stays well below 50 ms.
const LEAVE_ON_ITS_WAY: Duration = Duration::from_millis(20);

/// How many nodes ask the host of an original. Nothing that they learn is told to others: in larger
/// groups the others wait for its timeout.
const WATCHERS_OF_ORIGINAL: u64 = 16;

impl Engine {
    /// Another node does not hear this peer: this one tells it, unless that is needless by then.
    pub(super) fn corroborate(&mut self, id: &NodeId, now: Now) {
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
    pub(super) fn note_answer(&mut self, id: &NodeId, now: Now) {
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

    pub(super) fn answers_in_vain(&mut self, id: &NodeId, now: Now) -> bool {
        if self.answering.is_empty() {
            return false;
        }
        self.answering.retain(|(_, _, last)| now.mono <= *last + ASKED_AGAIN);
        self.answering.iter().any(|(known, times, _)| known == id && *times >= ANSWERS_IN_VAIN)
    }

    /// The peer has answered, or another node has corroborated it: that is one reason less to do so.
    /// The node that asked may not hear it, so a repeated question needs more of them.
    pub(super) fn suppress_corroboration(&mut self, id: &NodeId) {
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

    pub(super) fn run_failure_detector(&mut self, now: Now) {
        while let Some(transition) = self.members.next_transition(now.mono, &mut self.random) {
            match transition {
                // Beyond the watchers a refusal is of use only of a peer that is silent for longer.
                Transition::Late(id) if !self.watches(&id) => {}
                Transition::Suspect(id) | Transition::Late(id) => self.ask_late(&id),
                Transition::Probe(id) => {
                    self.seek_sign(&id, now);
                    match self.members.last_corroborator(&id, now.mono) {
                        Some(member) => self.ask_about(&id, member, now),
                        None => {
                            self.probe(&id);
                            self.seek_witness(now);
                        }
                    }
                }
                Transition::Dead(id) => {
                    if !self.withholds(now) {
                        self.down(&id, now);
                    }
                }
            }
        }
    }

    /// Whether it can say anything of others.
    pub(super) fn speaks(&self) -> bool {
        self.expose && self.extended
    }

    /// The next heartbeat asks this peer to answer.
    pub(super) fn probe(&mut self, id: &NodeId) {
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

    /// A peer is probed while none is heard: one that is no suspect is probed as well. If it does not answer
    /// either, the local node may have lost the network.
    fn seek_witness(&mut self, now: Now) {
        if self.speaks()
            && self.isolation.seeks_witness(now.mono)
            && let Some(witness) = self.members.witness(&self.id, &mut self.random)
        {
            self.isolation.asked_witness(now.mono);
            self.probe(&witness);
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

    pub(super) fn run_claims(&mut self, now: Now) {
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
    pub(super) fn run_ended(&mut self, now: Now) {
        let due = self.ended.extract_if(.., |(due, ..)| *due <= now.mono);
        for (_, id, port) in due.collect::<Vec<_>>() {
            // It may have come back in another process.
            if self.members.port(&id, 0).is_none_or(|it| it.port() == port) {
                self.down(&id, now);
            }
        }
    }

    pub(super) fn run_inquiries(&mut self, now: Now) {
        while let Some(due) = self.inquiries.take_due(now.mono) {
            match due {
                refusal::Due::AskPort(id, port) => self.send_port_probe(&id, port),
                refusal::Due::Probe(id) => self.probe(&id),
                refusal::Due::Dead(id, incarnation) => {
                    if self.members.incarnation(&id) == Some(incarnation)
                        && self.believes_refusal(&id, now)
                    {
                        self.down(&id, now);
                    }
                }
            }
        }
    }

    /// In secure mode a refusal by another host is no death before the timeout: any host of the network can
    /// write it.
    #[inline(never)]
    fn believes_refusal(&self, id: &NodeId, now: Now) -> bool {
        self.sealed.is_none()
            || self.believes_refusals
            || self.members.silence(id, now.mono).is_none_or(|silence| silence >= self.timeout)
            || self.members.of_host(&self.own_addresses).any(|(it, _)| it == id)
    }

    /// A peer is established: its watchers learn whether its port answers, and of an original
    /// whether its host refuses the port while it lives.
    pub(super) fn watch(&mut self, id: &NodeId) {
        if self.watches(id) {
            self.ask_port(id);
        }
    }

    pub(super) fn watches(&self, id: &NodeId) -> bool {
        let members = self.members.len() + 1;
        let incarnation = self.members.incarnation(id);
        let wanted = match incarnation {
            None => WATCHERS_OF_ORIGINAL,
            Some(_) => WATCHERS,
        };
        watches(&self.id, (id, incarnation), wanted, members)
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
                self.down(&id, now);
            }
        }
        self.inquiries.refused(port, now.mono);
        for (id, incarnation) in late {
            let members = self.members.len() + 1;
            let about = (&id, Some(incarnation));
            if watches(&self.id, about, BELIEVED_WATCHERS, members)
                && self.refused.len() < MAX_NAMES
            {
                self.refused.push((id.clone(), incarnation));
            }
            self.inquiries.begin(&id, incarnation, port, now.mono, &mut self.random);
        }
    }
}
