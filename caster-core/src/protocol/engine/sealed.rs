//! Datagrams and outputs of a node in secure mode.

use super::Engine;
use crate::message::{Message, Remote};
use crate::protocol::event::Event;
use crate::protocol::output::Output;
use crate::protocol::paths::{Content, Origin};
use crate::protocol::sealed::Sealed;
use crate::protocol::time::Now;
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
        match outcome {
            Outcome::Accepted => {}
            // The engine checks that it hears itself.
            Outcome::Own if is_control && !message.data().is_empty() => {}
            Outcome::Own if self.observes_self() && !is_control => {}
            Outcome::Own => return Err(DropReason::Own),
            Outcome::ForAnother => return Err(DropReason::ForAnother),
            Outcome::Repeated | Outcome::HeldBack => return Err(DropReason::Replayed),
            Outcome::OldKey => return Err(DropReason::Seal),
            Outcome::Unbelieved => {
                if self.sealed_mut().is_some_and(|sealed| sealed.notice_bare(opened)) {
                    let text = "a message was dropped whose sender has the key and does not answer questions: \
                                a bare caster cannot prove that it is there now, so nodes take nothing from it";
                    self.tell(Event::Hint(text.into()));
                }
                return Err(DropReason::Unproven);
            }
        }
        if is_control && message.data().is_empty() {
            return Ok(());
        }
        let proof = opened.proof;
        match message.as_json() {
            Some(_) if remote.on_data_port => Err(DropReason::BadPiece),
            Some(text) => {
                let binds = is_control && outcome == Outcome::Accepted;
                if let Some(sealed) = self.sealed_mut().filter(|_| binds) {
                    sealed.bind((proof.key, proof.sender), remote.address.ip(), text);
                }
                let content = if is_control { Content::Presence } else { Content::Message };
                self.receive(text, Origin { content, ..remote.into() }, now)
            }
            None => self.receive_frame(message.data(), remote, now),
        }
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
