//! The trait of the state machines that an endpoint drives.

use crate::message::{Message, Remote};
use crate::protocol::engine::Engine;
use crate::protocol::limits::Limits;
use crate::protocol::migration::{Migration, Shared};
use crate::protocol::output::Output;
use crate::protocol::sealed::Sealed;
use crate::protocol::time::Now;
use crate::secure::sealer::Sealer;
use crate::secure::session::Session;
use crate::stats::DropReason;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A state machine on top of a pipeline: pure, driven by inputs and time.
///
/// After every call the endpoint takes all outputs.
pub(crate) trait Protocol: Send + 'static {
    /// Handles a message that has passed the pipeline. The endpoint uses `message` again.
    fn receive(
        &mut self,
        message: &mut Message,
        remote: &Remote,
        now: Now,
    ) -> Result<(), DropReason>;
    /// A stage has rejected a datagram; `data` is the input of the stage.
    fn rejected(&mut self, _reason: DropReason, _data: &[u8], _remote: &Remote, _now: Now) {}
    /// Whether a known peer was heard from this source lately. The limit of datagrams by source does
    /// not apply to it.
    fn knows(&self, _source: &SocketAddr) -> bool {
        false
    }
    /// Whether it has a use for messages that it has sent itself.
    fn wants_own(&self) -> bool {
        true
    }
    /// The addresses to which a message of the program is sent in addition to the group.
    fn unicast_targets(&mut self, _now: &dyn Fn() -> Now) -> Vec<SocketAddr> {
        Vec::new()
    }
    /// Takes out of these hosts those that only the port of the group reaches.
    fn take_from_group_port(&mut self, _to: &mut Vec<SocketAddr>) -> Vec<SocketAddr> {
        Vec::new()
    }
    /// A host has refused what [`Destination::PortProbe`] sent there.
    fn refused(&mut self, _port: SocketAddr, _now: Now) {}
    /// The sizes of datagrams from now on.
    fn set_limits(&mut self, _limits: Limits) {}
    /// Cuts the ASCII JSON text of a message into pieces. `None` if it has to go whole.
    fn cut(&mut self, _text: &[u8], _now: Now) -> Option<Vec<Message>> {
        None
    }
    /// A number that the seed of a virtual network determines.
    fn seed(&mut self) -> Option<u64> {
        None
    }
    /// A session of secure mode has begun.
    fn begin_session(&mut self, _session: &Arc<Session>, _sealer: &Arc<Sealer>) {}
    /// The port of this process for unicast.
    fn set_port(&mut self, _port: Option<u16>) {}
    /// The process of this host that had this private port has ended.
    fn process_ended(&mut self, _port: u16, _now: Now) {}
    /// The private ports of other processes of this host.
    fn host_ports(&self) -> Vec<u16> {
        Vec::new()
    }
    /// A copy of a message that was received before, on another path.
    fn receive_copy(&mut self, _message: &Message, _remote: &Remote, _now: Now) {}
    /// The addresses of this host and, if it has changed, the number of interfaces in use
    /// beyond the loopback interface.
    fn interfaces(&mut self, _addresses: &[IpAddr], _count: Option<usize>, _now: Now) {}
    /// The addresses of this host at which the group is joined.
    fn set_joined(&mut self, _addresses: Vec<IpAddr>) {}
    /// The timer of `poll_timeout` is due. `behind`: datagrams have arrived that are not read yet.
    fn handle_timeout(&mut self, now: Now, behind: bool);
    fn poll_timeout(&mut self) -> Option<Duration>;
    fn poll_output(&mut self) -> Option<Output>;
    /// The state that it shares with another one whose events enter the same queue.
    fn shared(&self) -> Option<Arc<Shared>> {
        None
    }
}

/// A protocol of a known type.
pub(crate) trait SizedProtocol: Protocol + Sized {
    /// Whether every message names its sender: then equal bytes from several addresses are one
    /// message.
    const NAMES_SENDER: bool;
}

impl SizedProtocol for Engine {
    const NAMES_SENDER: bool = true;
}

impl Protocol for Engine {
    fn receive(
        &mut self,
        message: &mut Message,
        remote: &Remote,
        now: Now,
    ) -> Result<(), DropReason> {
        if self.sealed().is_some() {
            return self.receive_sealed(message, remote, now);
        }
        match message.as_json() {
            _ if remote.is_no_place_for(message) => Err(DropReason::BadPiece),
            Some(text) => Engine::receive(self, text, remote, now),
            None => self.receive_frame(message.data(), remote, now),
        }
    }

    fn receive_copy(&mut self, message: &Message, remote: &Remote, now: Now) {
        if let Some(text) = message.as_json().filter(|_| !remote.on_data_port)
            && self.trusts_copy(message, remote, now)
        {
            Engine::receive_copy(self, text, remote, now);
        }
    }

    fn rejected(&mut self, reason: DropReason, data: &[u8], remote: &Remote, now: Now) {
        // Another group may use the port of this group's data as its own.
        if !remote.on_data_port {
            Engine::rejected(self, reason, data, remote.into(), now);
        }
    }

    fn refused(&mut self, port: SocketAddr, now: Now) {
        Engine::refused(self, port, now);
    }

    fn knows(&self, source: &SocketAddr) -> bool {
        Engine::knows(self, source)
    }

    fn set_limits(&mut self, limits: Limits) {
        if let Some(sealed) = self.sealed_mut() {
            sealed.set_largest(limits.group);
        }
        Engine::set_limits(self, limits);
    }

    fn cut(&mut self, text: &[u8], now: Now) -> Option<Vec<Message>> {
        Engine::cut(self, text, now)
    }

    fn wants_own(&self) -> bool {
        Engine::observes_self(self)
    }

    fn seed(&mut self) -> Option<u64> {
        Some(self.seed_of_session())
    }

    fn begin_session(&mut self, session: &Arc<Session>, sealer: &Arc<Sealer>) {
        let (interval, timeout) = self.times();
        let sealed = Sealed::new(session, sealer.clone(), interval, timeout);
        self.set_sealed(Some(Box::new(sealed)));
        self.claim_own_id();
    }

    fn set_port(&mut self, port: Option<u16>) {
        Engine::set_port(self, port);
    }

    fn process_ended(&mut self, port: u16, now: Now) {
        Engine::process_ended(self, port, now);
    }

    fn host_ports(&self) -> Vec<u16> {
        Engine::host_ports(self)
    }

    fn unicast_targets(&mut self, now: &dyn Fn() -> Now) -> Vec<SocketAddr> {
        match Engine::has_targets(self) {
            true => Engine::unicast_targets(self, now()),
            false => Vec::new(),
        }
    }

    fn take_from_group_port(&mut self, to: &mut Vec<SocketAddr>) -> Vec<SocketAddr> {
        Engine::take_from_group_port(self, to)
    }

    fn interfaces(&mut self, addresses: &[IpAddr], count: Option<usize>, now: Now) {
        Engine::interfaces(self, addresses, count, now);
    }

    fn set_joined(&mut self, addresses: Vec<IpAddr>) {
        Engine::set_joined(self, addresses);
    }

    fn handle_timeout(&mut self, now: Now, behind: bool) {
        self.handle_sealed_timeout(now);
        self.warn_of_plain(now);
        Engine::handle_timeout(self, now, behind);
    }

    fn poll_timeout(&mut self) -> Option<Duration> {
        let due = Engine::poll_timeout(self);
        let warning = self.migration().and_then(Migration::due);
        match [self.sealed_due(), warning].into_iter().flatten().min() {
            None => due,
            // A node that has stopped has no timers.
            Some(other) => due.map(|due| due.min(other)),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        match (self.sealed(), self.migration()) {
            (None, None) => Engine::poll_output(self),
            (Some(_), None) => self.poll_sealed_output(),
            (_, Some(_)) => self.poll_migrating_output(),
        }
    }

    fn shared(&self) -> Option<Arc<Shared>> {
        self.migration().map(|migration| migration.shared().clone())
    }
}
