//! Datagrams and outputs of a node in secure mode.

use super::Engine;
use crate::message::{Assurance, Message, Remote};
use crate::peer::{NodeId, Peer, PeerAddress};
use crate::protocol::envelope::{self, Envelope};
use crate::protocol::event::Event;
use crate::protocol::output::Output;
use crate::protocol::paths::{Content, Origin};
use crate::protocol::sealed::Sealed;
use crate::protocol::time::Now;
use crate::secure::proof::Proof;
use crate::secure::trust::Outcome;
use crate::stats::DropReason;
use std::time::Duration;

impl Engine {
    /// A random number of which a session makes others, in a virtual network.
    pub fn seed_of_session(&mut self) -> u64 {
        self.random.next()
    }

    /// As `receive`, in secure mode.
    pub fn receive_sealed(
        &mut self,
        message: &Message,
        remote: &Remote,
        now: Now,
    ) -> Result<(), DropReason> {
        let Some(sealed) = self.sealed_mut() else { return Err(DropReason::Unsealed) };
        let Some(opened) = message.opened() else { return Err(DropReason::Unsealed) };
        let is_control = opened.proof.class.is_control();
        let outcome = sealed.check(opened, remote, now);
        let is_bare = outcome == Outcome::Unbelieved && sealed.is_bare(&opened.proof);
        match outcome {
            Outcome::Accepted => {}
            // The engine checks that it hears itself.
            Outcome::Own if is_control && !message.data().is_empty() => {}
            Outcome::Own if self.observes_self() && !is_control => {}
            Outcome::Own => return Err(DropReason::Own),
            Outcome::ForAnother => return Err(DropReason::ForAnother),
            Outcome::Repeated | Outcome::HeldBack => return Err(DropReason::Replayed),
            Outcome::OldKey => return Err(DropReason::Seal),
            Outcome::Unbelieved if is_bare => {
                return self.receive_bare(message, &opened.proof, remote, now);
            }
            Outcome::Unbelieved => return Err(DropReason::Unproven),
        }
        if is_control && message.data().is_empty() {
            return Ok(());
        }
        let proof = opened.proof;
        match message.as_json() {
            _ if remote.is_no_place_for(message) => Err(DropReason::BadPiece),
            Some(text) => {
                let binds = is_control && outcome == Outcome::Accepted;
                let name = (proof.key, proof.sender);
                if let Some(sealed) = self.sealed_mut().filter(|_| binds)
                    && let Some(id) = sealed.bind(name, remote.address.ip(), text)
                    && let Some(migration) = self.migration()
                {
                    migration.shared().seal(&id);
                }
                let content = if is_control { Content::Presence } else { Content::Message };
                self.receive(text, Origin { content, ..remote.into() }, now)
            }
            None => self.receive_frame(message.data(), remote, now),
        }
    }

    /// The message of a bare caster: nothing is learned from it.
    #[cold]
    fn receive_bare(
        &mut self,
        message: &Message,
        proof: &Proof,
        remote: &Remote,
        now: Now,
    ) -> Result<(), DropReason> {
        let Some(sealed) = self.sealed.as_deref_mut() else { return Err(DropReason::Unsealed) };
        if !self.delivers_unproven {
            if sealed.notice_bare() {
                let text = "a message was dropped whose sender has the key and does not answer questions: \
                            a bare caster cannot prove that it is there now, so nodes take nothing from it \
                            without the option unproven";
                self.tell(Event::Hint(text.into()));
            }
            return Err(DropReason::Unproven);
        }
        if !sealed.take_bare(proof) {
            return Err(DropReason::Replayed);
        }
        let text =
            message.as_json().filter(|_| !remote.on_data_port).ok_or(DropReason::BadPiece)?;
        let envelope = Envelope::parse(text)?;
        let content = envelope.message.filter(|_| !envelope.suicide).ok_or(DropReason::Seal)?;
        let id = self.id_of(&envelope);
        // A recording must not pass for a message of a node that is there.
        if id == self.id || self.members.has(&id) {
            return Err(DropReason::Unproven);
        }
        self.check_size(&id, &envelope, remote.address.ip())?;
        if self.drop_falsy_messages && !envelope::truthy(content) {
            return Ok(());
        }
        let mut message = Message::trusted_json(content.into());
        message.assure(Assurance::Sealed);
        let (address, last_seen) = (remote.address.ip(), now.unix_ms);
        let at = PeerAddress { address, interface: remote.interface, last_seen };
        let peer = Peer {
            id,
            address,
            addresses: [at].into_iter().collect(),
            first_seen: last_seen,
            last_seen,
            meta: None,
            suspect: false,
            loss_per_mille: 0,
        };
        self.tell(Event::Message { message, peer });
        Ok(())
    }

    /// Returns whether a copy of a datagram may show another path of its sender: only one of a believed
    /// sender.
    pub fn trusts_copy(&mut self, message: &Message) -> bool {
        let Some(sealed) = self.sealed_mut() else { return true };
        let Some(opened) = message.opened() else { return false };
        sealed.believes(opened)
    }

    /// As `poll_output`, in secure mode.
    pub fn poll_sealed_output(&mut self) -> Option<Output> {
        let waiting = self.sealed_mut()?.poll_output();
        if waiting.is_some() {
            return waiting;
        }
        let mut output = self.poll_output()?;
        if let Some(sealed) = self.sealed_mut() {
            sealed.pass(&mut output);
        }
        Some(output)
    }

    /// As `poll_output`, of a node in migration.
    pub fn poll_migrating_output(&mut self) -> Option<Output> {
        loop {
            let mut output = match self.sealed {
                None => self.poll_output()?,
                Some(_) => self.poll_sealed_output()?,
            };
            if self.migration().is_none_or(|migration| migration.pass(&mut output)) {
                return Some(output);
            }
        }
    }

    /// Tells the program from time to time that plain datagrams count.
    pub fn warn_of_plain(&mut self, now: Now) {
        if self.migration.as_mut().is_some_and(|migration| migration.warn(now.mono)) {
            let plain = self.visible_peers().count();
            let text = format!(
                "the option plain is on, and {plain} peers have no keys: datagrams of the plain port \
                 can be read and forged by anyone"
            );
            self.tell(Event::Hint(text.into()));
        }
    }

    /// The peers that are not those of the other engine.
    pub fn visible_peers(&self) -> impl Iterator<Item = Peer> + '_ {
        self.peers().filter(|peer| !self.is_foreign(&peer.id))
    }

    /// Whether the other engine tells of this peer.
    pub fn is_foreign(&self, id: &NodeId) -> bool {
        self.migration.as_ref().is_some_and(|migration| migration.refuses(id))
    }

    /// When the part of secure mode is due.
    pub fn sealed_due(&self) -> Option<Duration> {
        self.sealed().and_then(Sealed::due)
    }

    pub fn handle_sealed_timeout(&mut self, now: Now) {
        if let Some(sealed) = self.sealed_mut() {
            sealed.handle_timeout(now.mono);
        }
    }
}
