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
use crate::secure::identity::PublicKey;
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
            Outcome::BadSignature => return Err(DropReason::Identity),
            Outcome::TooMany => return Err(DropReason::TooMany),
            Outcome::TooManyNew => return Err(DropReason::TooManyNew),
            Outcome::Full => return Err(DropReason::TableFull),
            Outcome::Unbelieved if is_bare => {
                return self.receive_bare(message, &opened.proof, remote, now);
            }
            Outcome::Unbelieved => return Err(DropReason::Unproven),
        }
        if is_control && message.data().is_empty() {
            return Ok(());
        }
        let proof = opened.proof;
        let signer = self.sealed().and_then(|sealed| sealed.signer(&proof));
        let signed = proof.signed && (signer.is_some() || outcome == Outcome::Own);
        if outcome == Outcome::Accepted {
            let may_claim = is_control || signed;
            let signer = signer.map(|signer| signer.key);
            self.check_owner(message, signer, may_claim, remote, now)?;
        }
        let content = if is_control { Content::Presence } else { Content::Message { signed } };
        let origin = Origin { content, ..remote.into() };
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
                self.receive(text, origin, now)
            }
            None => self.receive_frame(message.data(), origin, now),
        }
    }

    /// The id for which a datagram speaks has to belong to the identity of its sender. Where signatures do not
    /// count, no id belongs to anyone.
    fn check_owner(
        &mut self,
        message: &Message,
        signer: Option<PublicKey>,
        may_claim: bool,
        remote: &Remote,
        now: Now,
    ) -> Result<(), DropReason> {
        if !self.sealed().is_some_and(Sealed::verifies) {
            return Ok(());
        }
        let id = match message.as_json() {
            // Without an id it says nothing about one.
            Some(text) => match Envelope::parse(text) {
                Ok(envelope) => self.id_of(&envelope),
                Err(_) => return Ok(()),
            },
            None => match self.sender_of_frame(message.data(), remote.address.ip()) {
                Some(id) => id,
                None => return Ok(()),
            },
        };
        let Self { owners, members, .. } = self;
        match (owners.of(&id), signer) {
            (None, None) => Ok(()),
            (Some(owner), Some(signer)) if owner == signer => Ok(()),
            // A living peer without an identity stays what it is.
            (None, Some(signer))
                if may_claim
                    && !members.has(&id)
                    && owners.claim(&id, signer, |id| members.has(id)) =>
            {
                Ok(())
            }
            _ => {
                if owners.notice_conflict(&id, now.mono) {
                    self.tell(Event::Conflict { id, address: remote.scoped_address() });
                }
                Err(DropReason::Identity)
            }
        }
    }

    /// The own id belongs to the own identity.
    pub fn claim_own_id(&mut self) {
        let own = self.sealed().and_then(Sealed::own_identity);
        if let Some(key) = own
            && self.owners.of(&self.id).is_none()
        {
            self.owners.claim(&self.id, key, |_| false);
        }
    }

    /// The identity of a peer that is up.
    pub fn identity_of(&self, id: &NodeId) -> Option<PublicKey> {
        self.owners.of(id).filter(|_| self.members.has(id))
    }

    /// Another identity of this id is accepted from now on, if it is not up.
    pub fn forget_identity(&mut self, id: &NodeId) -> bool {
        !self.members.has(id) && *id != self.id && self.owners.forget(id)
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
        // A recording must not pass for a message of a node that is there, or of one that signs.
        if id == self.id || self.members.has(&id) || self.owners.of(&id).is_some() {
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
    pub fn trusts_copy(&mut self, message: &Message, remote: &Remote, now: Now) -> bool {
        let Some(sealed) = self.sealed_mut() else { return true };
        let Some(opened) = message.opened() else { return false };
        if !sealed.believes(opened, remote.address.ip()) {
            return false;
        }
        let signer = sealed.signer(&opened.proof).map(|signer| signer.key);
        self.check_owner(message, signer, false, remote, now).is_ok()
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
