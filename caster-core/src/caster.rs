//! `Caster`: a multicast socket with a pipeline of middleware.

use crate::driver::endpoint::Endpoint;
use crate::driver::hub;
use crate::driver::link::Network;
use crate::driver::protocol::{Protocol, SizedProtocol};
use crate::driver::queue::{EventSource, NoEvent};
use crate::error::{Error, ErrorCode, Result};
use crate::message::{Message, Remote};
use crate::middleware::pipeline::Pipeline;
use crate::middleware::{Secure, Stage};
use crate::options::{Environment, Options, TransportConfig};
use crate::protocol::event::Event;
use crate::protocol::output::Output;
use crate::protocol::time::Now;
use crate::secure::mark::Opened;
use crate::secure::names::SenderId;
use crate::secure::sealer::Sealer;
use crate::secure::senders::Senders;
use crate::secure::session::Session;
use crate::shared::{Handles, shared_methods};
use crate::stats::{DropReason, Stats};
use crate::transit::{Progress, Transit};
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A multicast socket with a pipeline: sends messages to a group and receives those sent to it.
///
/// All methods may be called from any thread. A clone is another handle of the same caster; dropping the last
/// handle closes it.
///
/// ```
/// use caster_core::{Caster, Options, middleware};
///
/// let caster = Caster::new(&Options::for_caster().with("address", "127.0.0.1").with("port", &40404))?;
/// caster.use_stage(middleware::Json::new())?;
/// caster.use_stage(middleware::Hash::new(&Default::default())?)?;
/// caster.bind()?;
/// caster.send(&serde_json::json!({"hello": "world"}))?;
/// let wait = Some(std::time::Duration::from_secs(5));
/// if let Ok(caster_core::Event::Datagram { message, remote }) = caster.next_event(wait) {
///     println!("{}: {}", remote.address, message.as_json().unwrap());
/// }
/// caster.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Caster {
    config: Arc<TransportConfig>,
    /// Of the option `keys`: it stays next to the wire.
    secure: Option<Stage>,
    endpoint: Arc<Endpoint<Plain>>,
    handles: Handles,
}

impl fmt::Debug for Caster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caster")
            .field("multicast", &self.multicast())
            .field("port", &self.port())
            .field("stages", &self.stage_names())
            .finish_non_exhaustive()
    }
}

impl Caster {
    /// Creates a caster that is not bound.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if an option or a variable of the environment (`CASTER_RANGE`,
    /// `CASTER_SEEDS`) is invalid, [`ErrorCode::UnknownOption`] if only nodes have the option,
    /// [`ErrorCode::Io`] if the system has no random numbers.
    ///
    /// With [`Options::keys`] all that it sends is sealed, as by [`Secure`].
    pub fn new(options: &Options) -> Result<Self> {
        Self::at(options, hub::network())
    }

    pub(crate) fn at(options: &Options, network: Arc<dyn Network>) -> Result<Self> {
        options.check_for_caster()?;
        let mut config = options.resolve_transport()?;
        if !network.is_virtual() {
            config.limit(&Environment::of_process()?);
        }
        let secure = options.resolve_secure(&config)?;
        options.refuse_identities()?;
        let secure = secure.map(|options| Secure::new(&options).map(Stage::from)).transpose()?;
        let name = format!("caster {}:{}", config.multicast, config.port);
        let endpoint = Endpoint::new(Plain::default(), name, options.resolve_limits(), network)?;
        let endpoint = Arc::new(endpoint);
        let caster =
            Self { config: Arc::new(config), secure, endpoint, handles: Handles::default() };
        caster.clear_stages();
        Ok(caster)
    }

    fn sealed(&self, pipeline: Pipeline) -> Result<Arc<Pipeline>> {
        Ok(Arc::new(match &self.secure {
            Some(stage) => pipeline.sealed_by(stage.clone())?,
            None => pipeline,
        }))
    }

    /// Adds a stage next to the wire: `tx` runs after the existing stages, `rx` before them. Messages
    /// that have entered the pipeline keep its previous stages. With the option `keys` the stage `secure`
    /// stays next to the wire, here and when stages are removed or replaced.
    ///
    /// # Errors
    /// [`ErrorCode::Middleware`] if the name is empty or already used.
    pub fn use_stage(&self, stage: impl Into<Stage>) -> Result<()> {
        self.endpoint.push_stage(stage.into())
    }

    /// Removes all stages.
    pub fn clear_stages(&self) {
        // In a forked child there is nothing to remove, and one stage has no name twice.
        let _ = self.sealed(Pipeline::default()).and_then(|it| self.endpoint.set_pipeline(it));
    }

    /// Replaces all stages, from the program to the wire.
    ///
    /// # Errors
    /// [`ErrorCode::Middleware`] if a name is empty or used twice. The stages are unchanged then.
    pub fn set_stages(&self, stages: Vec<Stage>) -> Result<()> {
        self.endpoint.set_pipeline(self.sealed(Pipeline::of(stages)?)?)
    }

    /// Opens the socket, joins the group and starts the receiving thread.
    ///
    /// # Errors
    /// [`ErrorCode::AlreadyBound`], [`ErrorCode::AddressInUse`] or [`ErrorCode::Io`]. The caster
    /// is unchanged then.
    pub fn bind(&self) -> Result<()> {
        let already = || Error::new(ErrorCode::AlreadyBound, "Caster already bound");
        self.endpoint.open(&self.config, already, |_, _| {})
    }

    /// Closes the socket and ends the thread. It can be bound again.
    ///
    /// # Errors
    /// [`ErrorCode::NotBound`] if it is not bound.
    pub fn close(&self) -> Result<()> {
        self.endpoint.check_process()?;
        if self.endpoint.close(&mut || ()) { Ok(()) } else { Err(Error::not_bound()) }
    }

    /// Returns whether it is bound.
    pub fn is_bound(&self) -> bool {
        self.endpoint.is_open()
    }

    /// Sends a value as JSON; the pipeline needs the stage `json`. Returns the number of bytes on
    /// the wire.
    ///
    /// # Errors
    /// [`ErrorCode::NotBound`], [`ErrorCode::MessageTooLarge`], [`ErrorCode::Io`], or the
    /// error of a stage. Nothing was sent then.
    pub fn send(&self, value: &(impl Serialize + ?Sized)) -> Result<usize> {
        self.send_message(Message::from_value(value)?)
    }

    /// Sends bytes. Returns the number of bytes on the wire.
    ///
    /// # Errors
    /// As [`Caster::send`].
    pub fn send_bytes(&self, bytes: &[u8]) -> Result<usize> {
        self.send_message(Message::bytes(bytes))
    }

    /// Sends a message. Returns the number of bytes on the wire.
    ///
    /// # Errors
    /// As [`Caster::send`].
    pub fn send_message(&self, message: Message) -> Result<usize> {
        self.start_send(message)?.finished()
    }

    /// Sends many messages with few system calls, at several times the rate of
    /// [`Caster::send_message`]. On the wire they are single datagrams, in this order. Returns the
    /// number of bytes on the wire.
    ///
    /// # Errors
    /// As [`Caster::send`]; the text names the message by its index, counted from 0. If it is
    /// [`ErrorCode::Io`], some may have been sent; otherwise none was. [`ErrorCode::Middleware`] if
    /// the host runs a stage.
    pub fn send_batch(&self, messages: impl IntoIterator<Item = Message>) -> Result<usize> {
        let messages: Vec<Message> = messages.into_iter().collect();
        // Copied into memory that has room for the digest as well.
        let mut fill = |at: usize, message: &mut Message| message.clone_from(&messages[at]);
        self.endpoint.send_batch(messages.len(), &mut fill, Error::not_bound)
    }

    /// Sends a message, or passes it to the first stage that the host runs.
    ///
    /// # Errors
    /// As [`Caster::send`].
    #[doc(hidden)]
    pub fn start_send(&self, message: Message) -> Result<Progress> {
        self.endpoint.send(message, Error::not_bound)
    }

    /// Counts an incoming message that the host has delivered itself as accepted. It causes no event.
    #[doc(hidden)]
    pub fn accept(&self, transit: Box<Transit>) {
        self.endpoint.accept(*transit);
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.endpoint.stats()
    }
}

shared_methods!(Caster, config);

impl Drop for Caster {
    fn drop(&mut self) {
        if self.handles.leave() {
            self.endpoint.close(&mut || ());
        }
    }
}

/// The protocol of a caster: every message is an event.
#[derive(Default)]
struct Plain {
    outputs: VecDeque<Output>,
    /// In secure mode: the own sender, and those that were heard.
    own: Option<SenderId>,
    senders: Senders,
}

impl Plain {
    /// Whether a datagram that was opened counts.
    fn check(&mut self, opened: &Opened) -> Result<(), DropReason> {
        let proof = &opened.proof;
        if self.own == Some(proof.sender) {
            return Err(DropReason::Own);
        }
        if proof.to.is_some() && proof.to != self.own {
            return Err(DropReason::ForAnother);
        }
        if self.senders.take(proof) { Ok(()) } else { Err(DropReason::Replayed) }
    }
}

impl SizedProtocol for Plain {
    const NAMES_SENDER: bool = false;
}

impl Protocol for Plain {
    fn receive(
        &mut self,
        message: &mut Message,
        remote: &Remote,
        _now: Now,
    ) -> Result<(), DropReason> {
        if let Some(opened) = message.opened() {
            self.check(opened)?;
            if opened.proof.class.is_control() && message.data().is_empty() {
                // Questions that nodes ask each other.
                return Ok(());
            }
        }
        let message = std::mem::replace(message, Message::bytes(Vec::new()));
        self.outputs.push_back(Output::Event(Event::Datagram { message, remote: *remote }));
        Ok(())
    }

    fn begin_session(&mut self, session: &Arc<Session>, _sealer: &Arc<Sealer>) {
        self.own = Some(session.sender());
        self.senders = Senders::default();
    }

    fn handle_timeout(&mut self, _now: Now, _behind: bool) {}

    fn poll_timeout(&mut self) -> Option<Duration> {
        None
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
