//! `Node`: discovery and messages.

use crate::departure::{Departure, Sending};
use crate::driver::clock;
use crate::driver::endpoint::Endpoint;
use crate::driver::fork::PerProcess;
use crate::driver::hints::Hint;
use crate::driver::hub;
use crate::driver::link::Network;
use crate::driver::queue::{EventSource, NoEvent};
use crate::driver::seeds::{self, Lookup};
use crate::entropy;
use crate::error::{Error, ErrorCode, Result};
use crate::jsontext;
use crate::message::Message;
use crate::middleware::crypto::MAX_PADDING;
use crate::middleware::pipeline::Pipeline;
use crate::middleware::{
    Crypto, CryptoOptions, Hash, HashOptions, Json, Middleware, Secure, Stage,
};
use crate::options::{Environment, NodeConfig, Options, Range, TransportConfig};
use crate::peer::{NodeId, Peer, PeerDetails};
use crate::plain::Plain;
use crate::protocol::engine::{Engine, LEAVE_PAUSES};
use crate::protocol::envelope;
use crate::protocol::event::Event;
use crate::protocol::sealed::{self, Sealed};
use crate::secure::frame::OVERHEAD;
use crate::secure::identity::PublicKey;
use crate::secure::key::Key;
use crate::secure::names::KeyId;
use crate::secure::sealer::Sealer;
use crate::shared::{Handles, shared_methods};
use crate::stats::Stats;
use crate::sync::lock;
use crate::transit::{Progress, Transit};
use serde::Serialize;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

/// How often it is looked whether held messages have left.
const RELEASE_POLL: Duration = Duration::from_millis(2);

/// How often, and how many times, a leave looks whether other threads still send: 100 ms at the most, as a stage
/// may take its time.
const SENDING_POLL: Duration = Duration::from_micros(200);
const SENDING_POLLS: u32 = 500;

/// The bytes that the envelope and the stages add to a message and an id, so that its buffer need not grow:
/// 20 of the envelope, and a digest of up to 64 or a sealed frame's 56.
const ROOM: usize = 96;

/// A node: announces itself, tracks its peers, and exchanges messages with them.
///
/// All methods may be called from any thread. A clone is another handle of the same node; dropping the last
/// handle sends a leave and takes it down.
///
/// ```
/// use caster_core::{Event, Node, Options};
///
/// let options = Options::for_node()
///     .with("address", "127.0.0.1")
///     .with("port", &40405)
///     .with("meta", &serde_json::json!({"type": "http", "port": 8080}));
/// let node = Node::new(&options)?;
/// node.up()?;
/// node.send("hello")?;
/// while let Ok(event) = node.next_event(Some(std::time::Duration::from_millis(50))) {
///     match event {
///         Event::Up(peer) => println!("{} is up with {:?}", peer.id, peer.meta),
///         Event::Message { message, peer } => println!("{}: {:?}", peer.id, message.as_json()),
///         _ => {}
///     }
/// }
/// node.down()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Node {
    config: Arc<NodeConfig>,
    endpoint: Arc<Endpoint<Engine>>,
    /// In migration to secure mode: the half that has no keys.
    plain: Option<Arc<Plain>>,
    /// Whether the leave of this session was sent by [`Node::say_goodbye`].
    said_goodbye: Arc<AtomicBool>,
    departure: Arc<Departure>,
    /// Resolves the names of the seeds while the node is up.
    lookup: Arc<Mutex<Option<Lookup>>>,
    handles: Handles,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", self.id())
            .field("multicast", &self.multicast())
            .field("port", &self.port())
            .field("is_up", &self.is_up())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Creates a node that is not up.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if an option or a variable of the environment (`CASTER_RANGE`,
    /// `CASTER_SEEDS`) is invalid, [`ErrorCode::Io`] if the system has no random numbers.
    pub fn new(options: &Options) -> Result<Self> {
        Self::at(options, hub::network(), entropy::number()?)
    }

    pub(crate) fn at(options: &Options, network: Arc<dyn Network>, seed: u64) -> Result<Self> {
        let mut config = options.resolve_node()?;
        if !network.is_virtual() {
            config.limit(&Environment::of_process()?);
        }
        config.pair_seeds();
        let engine = Engine::new(&config, seed);
        let name = config.id.to_string();
        let endpoint = Arc::new(Endpoint::new(engine, name, config.limits, network.clone())?);
        endpoint.set_pipeline(match endpoint.is_virtual() || config.secure.is_some() {
            // Stages are not shared between virtual networks, and keys belong to one node.
            true => Arc::new(built_in_stages(&config)?),
            false => shared_stages(&config)?,
        })?;
        let plain = match config.plain.take() {
            Some(half) => {
                let pipeline = built_in_stages(&half)?;
                Some(Arc::new(Plain::new(*half, pipeline, &endpoint, &network, !seed)?))
            }
            None => None,
        };
        Ok(Self {
            config: Arc::new(config),
            endpoint,
            plain,
            said_goodbye: Arc::default(),
            departure: Arc::default(),
            lookup: Arc::default(),
            handles: Handles::default(),
        })
    }

    /// Opens the socket, joins the group, starts the thread and announces the node.
    ///
    /// # Errors
    /// [`ErrorCode::AlreadyUp`], [`ErrorCode::AddressInUse`] or [`ErrorCode::Io`]. The node is
    /// unchanged then.
    pub fn up(&self) -> Result<()> {
        let already = || Error::new(ErrorCode::AlreadyUp, "Node already up");
        let announce = self.config.announce && !self.endpoint.pipeline().listens_first();
        // Before anything is open: the system may have no random numbers.
        let (secret, other) = (self.secret()?, self.secret()?);
        self.endpoint.open(&self.config.transport, already, |engine, now| {
            self.said_goodbye.store(false, Ordering::Relaxed);
            self.departure.reset();
            engine.start(announce, secret, now);
            if self.config.transport.range == Range::Off || self.plain.is_some() {
                engine.expect_no_peers();
            }
        })?;
        if let Some(plain) = &self.plain
            && let Err(error) = plain.up(other)
        {
            let _ = self.down();
            return Err(error);
        }
        if self.config.ignores_seeds {
            let range = self.config.transport.range.name();
            self.endpoint.push_hint(&Hint::SeedsIgnored { range });
        }
        *self.lookup() = seeds::follow(&self.endpoint, &self.config.seeds, Engine::set_seeds);
        Ok(())
    }

    /// The secret that proves the leave of one incarnation.
    fn secret(&self) -> Result<u128> {
        let mut bytes = [0; 16];
        // A virtual network repeats itself: nothing in it is random beyond its seed.
        if !self.endpoint.is_virtual() {
            entropy::fill(&mut bytes)?;
        }
        Ok(u128::from_ne_bytes(bytes))
    }

    fn lookup(&self) -> MutexGuard<'_, Option<Lookup>> {
        lock(&self.lookup)
    }

    /// Sends a leave, closes the socket and ends the thread. It can go up again. The leave is sent
    /// three times within 8 ms against loss, which this takes; [`Node::start_down`] does not wait.
    /// A leave that cannot be sent, as when the network is gone, is counted and no error.
    ///
    /// # Errors
    /// [`ErrorCode::NotUp`] if it is not up; [`ErrorCode::Forked`]; [`ErrorCode::Middleware`] if the
    /// host runs a stage and [`Node::start_down`] was not called first: the node is down then all
    /// the same.
    pub fn down(&self) -> Result<()> {
        self.endpoint.check_process()?;
        self.departure.begin();
        self.wait_for_senders();
        self.lookup().take();
        self.release();
        if let Some(plain) = &self.plain {
            plain.down();
        }
        let mut left = Err(Error::not_up());
        self.endpoint.close(&mut || left = self.leave());
        left
    }

    /// Messages that other threads have begun to send precede the leave.
    fn wait_for_senders(&self) {
        let polls = if self.endpoint.is_virtual() { 0 } else { SENDING_POLLS };
        for _ in 0..polls {
            if !self.departure.is_sending() {
                return;
            }
            clock::pause(SENDING_POLL);
        }
    }

    fn leave(&self) -> Result<()> {
        let endpoint = &self.endpoint;
        if endpoint.is_leaving() {
            endpoint.finish_leave();
            return Ok(());
        }
        if self.said_goodbye.load(Ordering::Relaxed) {
            return Ok(());
        }
        for pause in [Duration::ZERO].iter().chain(&LEAVE_PAUSES) {
            if !pause.is_zero() && !endpoint.is_virtual() {
                clock::pause(*pause);
            }
            // A failure has been counted.
            if let Ok(progress) = self.say_goodbye() {
                progress.finished()?;
            }
        }
        Ok(())
    }

    /// Sends a leave and returns at once; the core thread repeats it twice within 8 ms against loss
    /// and closes the socket then. [`Node::is_up`] is false from now on. The source of events
    /// reports the end once it is done. Does nothing if that has begun already; [`Node::down`] waits
    /// for the rest of it, and [`Node::up`] does so before it starts again.
    ///
    /// If the host runs a stage, every leave comes as an [`Event::HostStage`]; the socket stays open
    /// until they have been resumed or dropped, for 1 s at the most. On a virtual network it is done
    /// as time passes there.
    ///
    /// # Errors
    /// [`ErrorCode::NotUp`] if it is not up; [`ErrorCode::Forked`].
    pub fn start_down(&self) -> Result<()> {
        self.endpoint.check_process()?;
        self.lookup().take();
        if !self.endpoint.is_open() {
            return Err(Error::not_up());
        }
        if self.endpoint.is_leaving() {
            return Ok(());
        }
        self.departure.begin();
        if let Some(plain) = &self.plain {
            plain.start_down();
        }
        self.endpoint.update(|engine, _| engine.sealed_mut().map(Sealed::release));
        // First, so that the node does not contradict its own leave when it receives it.
        self.endpoint.update(|engine, _| engine.stop());
        self.endpoint.start_leave(self.leave_message(), &LEAVE_PAUSES, Error::not_up)
    }

    /// Sends a leave, or passes it to the first stage that the host runs; [`Node::down`] does not send
    /// it again. Heartbeats end. Only hosts that run stages need this.
    ///
    /// # Errors
    /// As [`Node::send`].
    #[doc(hidden)]
    pub fn say_goodbye(&self) -> Result<Progress> {
        self.endpoint.check_process()?;
        self.said_goodbye.store(true, Ordering::Relaxed);
        self.departure.begin();
        // First, so that the node does not contradict its own leave when it receives it.
        self.endpoint.update(|engine, _| engine.stop());
        self.endpoint.send(self.leave_message(), Error::not_up)
    }

    fn leave_message(&self) -> Message {
        let text = self.endpoint.with(Engine::leave_message);
        let mut message = Message::trusted_json(text.into_bytes());
        if self.config.secure.is_some() {
            message.set_mark(sealed::presence(None));
        }
        message
    }

    /// Returns whether it is up and no leave has begun.
    pub fn is_up(&self) -> bool {
        self.endpoint.is_open() && !self.endpoint.is_leaving() && !self.departure.has_begun()
    }

    /// The permission to send a message, to be kept until it is on the wire.
    fn sending(&self) -> Result<Sending<'_>> {
        self.departure.send().filter(|_| self.is_up()).ok_or_else(Error::not_up)
    }

    /// Sends a value to all peers. Returns the number of bytes on the wire.
    ///
    /// # Errors
    /// [`ErrorCode::NotUp`], [`ErrorCode::InvalidArgument`] if the value cannot be JSON or nests
    /// deeper than [`MAX_SENT_DEPTH`](crate::middleware::json::MAX_SENT_DEPTH), [`ErrorCode::MessageTooLarge`] or
    /// [`ErrorCode::Io`]. Nothing was sent then.
    pub fn send(&self, value: &(impl Serialize + ?Sized)) -> Result<usize> {
        self.send_message(&Message::from_value(value)?)
    }

    /// Sends a JSON message to all peers. Returns the number of bytes on the wire.
    ///
    /// # Errors
    /// As [`Node::send`]; [`ErrorCode::InvalidArgument`] for a message of bytes.
    pub fn send_message(&self, message: &Message) -> Result<usize> {
        self.start_send(Some(message))?.finished()
    }

    /// Sends a JSON message, or passes it to the first stage that the host runs. `None` is JavaScript's
    /// `undefined`.
    ///
    /// # Errors
    /// As [`Node::send_message`].
    #[doc(hidden)]
    pub fn start_send(&self, message: Option<&Message>) -> Result<Progress> {
        self.endpoint.check_process()?;
        let text = message.map(|message| self.check_message(message)).transpose()?;
        let _sending = self.sending()?;
        self.introduce();
        let own = self.config.id.as_json().len() + ROOM;
        let mut data = Vec::with_capacity(own + text.map_or(0, str::len));
        envelope::write_message(&mut data, &self.config.id, text);
        let message = Message::trusted_json(data);
        let copy = self.plain.as_ref().map(|plain| (plain, message.clone()));
        let sent = match self.hold(message) {
            Ok(size) => Progress::Done(size),
            Err(message) => self.endpoint.send(message, Error::not_up)?,
        };
        if let Some((plain, copy)) = copy {
            plain.send(copy);
        }
        Ok(sent)
    }

    /// Sends many JSON messages with few system calls, at several times the rate of
    /// [`Node::send_message`]. On the wire they are single datagrams, in this order. Returns
    /// the number of bytes on the wire.
    ///
    /// ```
    /// # use caster_core::{Message, Options, VirtualNetwork};
    /// # let node = VirtualNetwork::new(1).node(&Options::for_node())?;
    /// # node.up()?;
    /// let batch: Result<Vec<_>, _> = (0..1000).map(|n| Message::from_value(&n)).collect();
    /// node.send_batch(&batch?)?;
    /// # Ok::<(), caster_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Node::send_message`]; the text names the message by its index, counted from 0. If it is
    /// [`ErrorCode::Io`], some may have been sent; otherwise none was. [`ErrorCode::Middleware`] if
    /// the host runs a stage.
    pub fn send_batch(&self, messages: &[Message]) -> Result<usize> {
        self.endpoint.check_process()?;
        let mut texts = Vec::with_capacity(messages.len());
        for (at, message) in messages.iter().enumerate() {
            texts.push(self.check_message(message).map_err(|error| error.in_batch(at))?);
        }
        let _sending = self.sending()?;
        self.introduce();
        if self.holds() {
            return messages.iter().map(|message| self.send_message(message)).sum();
        }
        let mut fill = |at: usize, message: &mut Message| {
            let mut data = std::mem::take(message.data_mut());
            data.clear();
            envelope::write_message(&mut data, &self.config.id, Some(texts[at]));
            message.set_trusted_json(data);
        };
        let sent = self.endpoint.send_batch(texts.len(), &mut fill, Error::not_up)?;
        if let Some(plain) = &self.plain {
            plain.send_batch(texts.len(), &mut fill);
        }
        Ok(sent)
    }

    /// In secure mode the first messages wait until the peers that are there have been answered: they
    /// would drop them. Returns the size on the wire, or the message if it need not wait.
    fn hold(&self, message: Message) -> Result<usize, Message> {
        if self.config.secure.is_none() {
            return Err(message);
        }
        if !self.holds() {
            return Err(message);
        }
        let message = match message.as_json().map(jsontext::compact) {
            Some(text) => Message::trusted_json(text.into_owned().into_bytes()),
            None => message,
        };
        // Without the headers of pieces, if it takes some.
        let size = message.data().len() + OVERHEAD;
        self.endpoint.update(|engine, _| match engine.sealed_mut() {
            Some(sealed) => sealed.hold(message).map(|()| size),
            None => Err(message),
        })
    }

    fn holds(&self) -> bool {
        self.config.secure.is_some()
            && self.endpoint.with(|engine| engine.sealed().is_some_and(Sealed::holds))
    }

    /// Waits until messages that are held have left, or lets them go.
    fn release(&self) {
        if self.config.secure.is_none() {
            return;
        }
        let holds = || self.endpoint.with(|engine| engine.sealed().is_some_and(Sealed::has_held));
        while !self.endpoint.is_virtual() && self.endpoint.is_open() && holds() {
            clock::pause(RELEASE_POLL);
        }
        self.endpoint.update(|engine, _| engine.sealed_mut().map(Sealed::release));
    }

    /// No message precedes the first heartbeat.
    fn introduce(&self) {
        if !self.endpoint.with(Engine::is_introduced) {
            self.endpoint.update(Engine::introduce);
        }
    }

    fn check_message<'a>(&self, message: &'a Message) -> Result<&'a str> {
        let text = message.as_json().ok_or_else(|| {
            Error::new(ErrorCode::InvalidArgument, "a node sends JSON, not bytes")
        })?;
        jsontext::check_depth(text, "the message")?;
        self.check_size(text, "message", "maxMessage", self.config.budgets.message)?;
        Ok(text)
    }

    /// Sends a message of any kind without the envelope that names the sender, or passes it to the first
    /// stage that the host runs. Peers parse it as an envelope.
    ///
    /// # Errors
    /// As [`Node::send`].
    #[doc(hidden)]
    pub fn start_send_bare(&self, message: Message) -> Result<Progress> {
        self.endpoint.send_bare(message, Error::not_up)
    }

    /// Asks all nodes of the group for a heartbeat by a hello without an id, which tells nothing about
    /// this node. Caster nodes answer as they answer a newcomer, a group of N within N/500 s; nodes of
    /// caster 0.1.1 ignore it. With [`expose`](crate::options) off a program thus finds its peers and
    /// stays unseen.
    ///
    /// ```
    /// # use caster_core::{Options, VirtualNetwork};
    /// # use std::time::Duration;
    /// let network = VirtualNetwork::new(1);
    /// let peer = network.node(&Options::for_node())?;
    /// peer.up()?;
    /// let hidden = network.node(&Options::for_node().with("expose", &false))?;
    /// hidden.up()?;
    /// hidden.ask()?;
    /// network.advance(Duration::from_millis(100));
    /// assert_eq!((hidden.node_count(), peer.node_count()), (1, 0));
    /// # Ok::<(), caster_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorCode::NotUp`], [`ErrorCode::Io`], [`ErrorCode::Middleware`] or [`ErrorCode::Forked`].
    pub fn ask(&self) -> Result<()> {
        self.endpoint.check_process()?;
        if !self.is_up() {
            return Err(Error::not_up());
        }
        if let Some(plain) = &self.plain {
            plain.ask();
        }
        let hello = self.endpoint.update(|engine, _| engine.anonymous_hello());
        self.endpoint.send_bare(hello, Error::not_up)?.finished().map(drop)
    }

    /// Adds a stage next to the wire, after the built-in ones.
    ///
    /// # Errors
    /// [`ErrorCode::Middleware`] if the name is empty or already used.
    pub fn use_stage(&self, stage: impl Into<Stage>) -> Result<()> {
        self.endpoint.push_stage(stage.into())
    }

    /// The stages, from the program to the wire.
    pub fn stages(&self) -> Vec<Stage> {
        self.endpoint.pipeline().stages().to_vec()
    }

    /// Replaces all stages, from the program to the wire. Together they have to produce the format of
    /// `json`, `hash` and `crypto`, or peers cannot read the datagrams of this node.
    ///
    /// # Errors
    /// [`ErrorCode::Middleware`] if a name is empty or used twice. The stages are unchanged then.
    pub fn set_stages(&self, stages: Vec<Stage>) -> Result<()> {
        self.endpoint.set_pipeline(Pipeline::of(stages)?.into())
    }

    /// Replaces the metadata. If the node is up, it is announced at once.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if the value cannot be JSON. The metadata is unchanged then.
    pub fn set_meta(&self, meta: &(impl Serialize + ?Sized)) -> Result<()> {
        self.set_meta_json(&jsontext::to_text(meta)?)
    }

    /// Replaces the metadata by a JSON text.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if it is not one JSON text. The metadata is unchanged then.
    pub fn set_meta_json(&self, meta: &str) -> Result<()> {
        self.check_meta(meta)?;
        self.endpoint.check_process()?;
        let meta: Arc<str> = jsontext::compact(meta).into();
        let _in_order = self.plain.as_ref().map(|plain| plain.in_order());
        self.endpoint.update(|engine, now| engine.set_meta(meta.clone(), now));
        if let Some(plain) = &self.plain {
            plain.set_meta(meta);
        }
        Ok(())
    }

    /// Changes some members of the metadata, which is an object or `null`. Each member of `changes` takes
    /// the place of the one with its name; `null` removes it. Changes of several threads do not undo each
    /// other. If the node is up, the metadata is announced at once.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if the metadata or the change is not an object,
    /// [`ErrorCode::MessageTooLarge`] if the result exceeds `maxMeta`. The metadata is unchanged then.
    pub fn update_meta(&self, changes: &(impl Serialize + ?Sized)) -> Result<()> {
        self.update_meta_json(&jsontext::to_text(changes)?).map(drop)
    }

    /// Changes some members of the metadata as a JSON text says, as [`Node::update_meta`] does. Returns the
    /// new metadata as a JSON text.
    ///
    /// # Errors
    /// As [`Node::update_meta`], and [`ErrorCode::InvalidArgument`] if it is not one JSON text.
    pub fn update_meta_json(&self, changes: &str) -> Result<Arc<str>> {
        self.check_meta(changes)?;
        self.endpoint.check_process()?;
        let _in_order = self.plain.as_ref().map(|plain| plain.in_order());
        let meta = self.endpoint.update(|engine, now| {
            let meta = jsontext::change_members(engine.meta(), changes).map_err(|what| {
                let text = format!("{what} is not an object, and has no members to change");
                Error::new(ErrorCode::InvalidArgument, text)
            })?;
            self.check_meta(&meta)?;
            let meta: Arc<str> = meta.into();
            engine.set_meta(meta.clone(), now);
            Ok::<_, Error>(meta)
        })?;
        if let Some(plain) = &self.plain {
            plain.set_meta(meta.clone());
        }
        Ok(meta)
    }

    fn check_meta(&self, meta: &str) -> Result<()> {
        if let Err(error) = jsontext::validate(meta) {
            let text = format!("the metadata is not valid JSON: {error}");
            return Err(Error::new(ErrorCode::InvalidArgument, text));
        }
        jsontext::check_depth(meta, "the metadata")?;
        self.check_size(meta, "metadata", "maxMeta", self.config.budgets.meta)
    }

    fn check_size(&self, text: &str, what: &str, option: &str, limit: usize) -> Result<()> {
        let size = jsontext::wire_size(text, limit);
        if size <= limit {
            return Ok(());
        }
        let text = format!("the {what} takes {size} bytes; the option {option} allows {limit}");
        Err(Error::new(ErrorCode::MessageTooLarge, text))
    }

    /// The ids of the keys of secure mode: the first one seals, all are accepted. Empty without keys.
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.endpoint.pipeline().sealer().map(|sealer| sealer.key_ids()).unwrap_or_default()
    }

    /// Accepts one more key. Add it on all nodes before one of them uses it.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if the node has no keys, has this one already, or has 8;
    /// [`ErrorCode::Forked`].
    pub fn add_key(&self, key: &Key) -> Result<()> {
        self.with_ring(|sealer| sealer.add(key))
    }

    /// Seals with this key from now on.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if it was not added; otherwise as [`Node::add_key`].
    pub fn use_key(&self, id: KeyId) -> Result<()> {
        let number = self.with_ring(|sealer| sealer.use_key(id))?;
        self.endpoint.update(|engine, _| {
            if let Some(sealed) = engine.sealed_mut() {
                sealed.set_sealing(number);
            }
        });
        Ok(())
    }

    /// Accepts this key no longer, in two timeouts from now on: nodes that still seal with it are not heard
    /// then. A node that is not up closes the key at once.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if it was not added, or seals; otherwise as [`Node::add_key`].
    pub fn remove_key(&self, id: KeyId) -> Result<()> {
        if !self.is_up() {
            return self.remove_key_now(id);
        }
        let number = self.with_ring(|sealer| sealer.retire(id))?;
        self.endpoint.update(|engine, now| {
            if let Some(sealed) = engine.sealed_mut() {
                sealed.close_later(number, now.mono);
            }
        });
        Ok(())
    }

    /// Accepts this key no longer, from now on: to exclude a node that has it.
    ///
    /// # Errors
    /// As [`Node::remove_key`].
    pub fn remove_key_now(&self, id: KeyId) -> Result<()> {
        let number = self.with_ring(|sealer| sealer.remove(id))?;
        self.endpoint.update(|engine, _| {
            if let Some(sealed) = engine.sealed_mut() {
                sealed.forget_key(number);
            }
        });
        Ok(())
    }

    /// Changes the sender of the frames of secure mode, as a node does after 2^32 of them: peers notice nothing.
    /// Its next heartbeats name the next one. Does nothing without keys.
    #[doc(hidden)]
    pub fn change_sender(&self) {
        self.endpoint.update(|engine, _| engine.sealed_mut().map(Sealed::change_sender));
    }

    /// The id of the key that a peer sends with. `None` without keys, and for an id that is not up.
    pub fn key_of(&self, id: &NodeId) -> Option<KeyId> {
        self.endpoint.with(|engine| engine.sealed()?.key_of(id))
    }

    /// The identity of a peer: the public key that verifies what it signs. `None` if this node does not verify,
    /// if the peer has none, and for an id that is not up.
    pub fn identity_of(&self, id: &NodeId) -> Option<PublicKey> {
        self.endpoint.with(|engine| engine.identity_of(id))
    }

    /// Accepts a peer that is not up with another identity, or with none, the next time: an identity is kept as long
    /// as this node exists. With the option `plain` it may also be plain again, although it was believed sealed.
    /// Returns whether there was anything to forget.
    pub fn forget_sealed(&self, id: &NodeId) -> bool {
        let identity = self.endpoint.update(|engine, _| engine.forget_identity(id));
        let sealed = |engine: &Engine| engine.migration().is_some_and(|it| it.shared().forget(id));
        self.endpoint.with(sealed) || identity
    }

    fn with_ring<R>(&self, change: impl FnOnce(&Sealer) -> Result<R>) -> Result<R> {
        self.endpoint.check_process()?;
        let pipeline = self.endpoint.pipeline();
        let without = || Error::new(ErrorCode::InvalidOption, "the node was made without keys");
        change(pipeline.sealer().ok_or_else(without)?)
    }

    /// The metadata as a JSON text.
    pub fn meta_json(&self) -> Arc<str> {
        let meta = self.endpoint.with(|engine| Some(engine.meta().clone()));
        meta.unwrap_or_else(|| "null".into())
    }

    /// The peers that are up. Empty before the first `up`; unchanged after `down`.
    pub fn nodes(&self) -> Vec<Peer> {
        let mut all: Vec<Peer> = self.endpoint.with(|engine| engine.peers().collect());
        if let Some(plain) = &self.plain {
            all.extend(plain.peers());
        }
        all
    }

    /// The peers that are up whose metadata is an object with this key and this value. Numbers are
    /// compared by value, objects and arrays by all their members.
    ///
    /// ```
    /// # use caster_core::{Node, Options};
    /// # let node = Node::new(&Options::for_node())?;
    /// let databases = node.find("type", "db")?;
    /// # assert!(databases.is_empty());
    /// # Ok::<(), caster_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if the value cannot be JSON.
    pub fn find(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<Vec<Peer>> {
        Ok(self.find_all(&[(key, Some(&jsontext::to_text(value)?))]))
    }

    /// The peers that are up whose metadata is an object with all these keys and, where given, these
    /// values, as JSON texts. See [`Peer::meta_has`].
    ///
    /// ```
    /// # use caster_core::{Node, Options};
    /// # let node = Node::new(&Options::for_node())?;
    /// let databases = node.find_all(&[("type", Some("\"db\"")), ("port", None)]);
    /// # assert!(databases.is_empty());
    /// # Ok::<(), caster_core::Error>(())
    /// ```
    pub fn find_all(&self, wanted: &[(&str, Option<&str>)]) -> Vec<Peer> {
        let mut found = self.nodes();
        found.retain(|peer| wanted.iter().all(|(key, value)| peer.meta_has(key, *value)));
        found
    }

    /// The number of peers that are up.
    pub fn node_count(&self) -> usize {
        let plain = self.plain.as_ref().map_or(0, |plain| plain.peers().len());
        self.endpoint.with(Engine::peer_count) + plain
    }

    /// The peer with this id, if it is up.
    pub fn node(&self, id: &str) -> Option<Peer> {
        let id = NodeId::new(id).ok()?;
        self.peer_by(&id, |engine| engine.peer(&id))
    }

    /// Reads from the engine to which this peer belongs.
    fn peer_by<R>(&self, id: &NodeId, read: impl Fn(&Engine) -> Option<R>) -> Option<R> {
        let sealed = self.endpoint.with(&read);
        let plain = || self.plain.as_ref()?.read(id, &read);
        sealed.or_else(plain)
    }

    /// The details of the peer with this id beyond [`Peer`], if it is up.
    pub fn details(&self, id: &NodeId) -> Option<PeerDetails> {
        self.peer_by(id, |engine| engine.peer_details(id))
    }

    /// The time of the last datagram of the peer with this id, in milliseconds since 1970.
    pub fn last_seen(&self, id: &NodeId) -> Option<u64> {
        self.peer_by(id, |engine| engine.peer(id).map(|peer| peer.last_seen))
    }

    /// The events until the node is down, none before [`up`](Node::up). Waits for each.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        std::iter::from_fn(|| self.next_event(None).ok())
    }

    /// Sets whether every message that has passed the pipeline causes an [`Event::Datagram`], before the
    /// node handles it.
    #[doc(hidden)]
    pub fn watch_datagrams(&self, watch: bool) {
        self.endpoint.watch_datagrams(watch);
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        let mut stats = self.endpoint.stats();
        self.endpoint.with(|engine| engine.complete(&mut stats));
        if let Some(plain) = &self.plain {
            plain.complete(&mut stats);
        }
        stats
    }

    /// The id.
    pub fn id(&self) -> &NodeId {
        &self.config.id
    }

    /// Whether the node sends heartbeats.
    pub fn is_exposed(&self) -> bool {
        self.config.expose
    }

    /// The interval of the heartbeats.
    pub fn heartbeat(&self) -> Duration {
        self.config.heartbeat
    }

    /// The minimum silence after which a peer is down.
    pub fn timeout(&self) -> Duration {
        self.config.timeout
    }
}

shared_methods!(Node, config.transport);

impl Drop for Node {
    fn drop(&mut self) {
        if !self.handles.leave() {
            return;
        }
        if self.endpoint.is_forked() {
            // The thread that resolves names belongs to the parent, and its locks may be held.
            std::mem::forget(self.lookup.clone());
            return;
        }
        // A node that is not up is down already.
        let _ = self.down();
    }
}

/// The options that determine the built-in stages of a node.
#[derive(Clone, PartialEq)]
struct Recipe {
    transport: TransportConfig,
    raw_utf8: bool,
    depth: usize,
    hash: Option<HashOptions>,
    crypto: Option<CryptoOptions>,
}

/// The built-in stages. Nodes of one process on one network with the same options share them: a
/// datagram then passes them once for all of these nodes.
fn shared_stages(config: &NodeConfig) -> Result<Arc<Pipeline>> {
    static MADE: PerProcess<Vec<(Recipe, Weak<Pipeline>)>> = PerProcess::new();
    let recipe = Recipe {
        transport: config.transport.clone(),
        raw_utf8: config.raw_utf8,
        depth: config.budgets.depth,
        hash: config.hash.clone(),
        crypto: config.crypto.clone(),
    };
    let mut made = lock(MADE.get());
    made.retain(|(_, pipeline)| pipeline.strong_count() > 0);
    let same = made.iter().find(|(other, _)| *other == recipe);
    if let Some(pipeline) = same.and_then(|(_, pipeline)| pipeline.upgrade()) {
        return Ok(pipeline);
    }
    let pipeline = Arc::new(built_in_stages(config)?);
    made.push((recipe, Arc::downgrade(&pipeline)));
    Ok(pipeline)
}

pub(crate) fn built_in_stages(config: &NodeConfig) -> Result<Pipeline> {
    let mut pipeline =
        Pipeline::default().with(Json::with(config.raw_utf8, config.budgets.depth).into())?;
    let mut overhead = 0;
    if let Some(options) = &config.secure {
        let secure = Secure::with_identities(options, config.identities.clone())?;
        overhead += secure.overhead().unwrap_or_default();
        return Ok(pipeline.with(secure.into())?.built_in(overhead));
    }
    if let Some(options) = &config.hash {
        let hash = Hash::new(options)?;
        overhead += hash.overhead();
        pipeline = pipeline.with(hash.into())?;
    }
    if let Some(options) = &config.crypto {
        overhead += MAX_PADDING;
        pipeline = pipeline.with(Crypto::new(options)?.into())?;
    }
    Ok(pipeline.built_in(overhead))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_it_goes_up_leaves_it_down() {
        let node = crate::VirtualNetwork::new(1).node(&Options::for_node()).unwrap();
        let already = || Error::new(ErrorCode::AlreadyUp, "");
        let open = || node.endpoint.open(&node.config.transport, already, |_, _| panic!("start"));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(open));
        assert!(panicked.is_err() && !node.is_up());
        node.up().unwrap();
        node.send(&1).unwrap();
        node.down().unwrap();
    }

    #[test]
    fn numbers_without_json_form_are_refused() {
        let network = crate::VirtualNetwork::new(1);
        let node = network.node(&Options::for_node().with("meta", &1)).unwrap();
        node.up().unwrap();
        for value in [f64::NAN, f64::INFINITY] {
            for error in [
                node.send(&[None, Some(value)]).unwrap_err(),
                node.set_meta(&value).unwrap_err(),
                node.update_meta(&std::collections::BTreeMap::from([("a", value)])).unwrap_err(),
                node.find("key", &value).unwrap_err(),
                Message::from_value(&(1, value as f32)).unwrap_err(),
            ] {
                assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error}");
            }
        }
        assert_eq!(&*node.meta_json(), "1");
        let error = node.send(&f64::NAN).unwrap_err();
        assert!(error.message().contains("give a finite number or null"), "{error}");
        assert!(node.send(&[None, Some(1.5)]).is_ok());
        assert!(Node::new(&Options::for_node().with("meta", &f64::NAN)).is_err());
    }

    #[test]
    fn the_last_handle_of_a_node_takes_it_down() {
        let network = crate::VirtualNetwork::new(1);
        let node = network.node(&Options::for_node().with("id", "a")).unwrap();
        let other = network.node(&Options::for_node().with("id", "b")).unwrap();
        node.up().unwrap();
        other.up().unwrap();
        network.advance(Duration::from_millis(100));
        let clone = node.clone();
        assert_eq!(clone.id(), node.id());
        drop(node);
        network.advance(Duration::from_secs(5));
        assert!(clone.is_up() && other.node_count() == 1);
        std::thread::scope(|scope| {
            scope.spawn(|| drop(clone));
        });
        network.advance(Duration::from_millis(100));
        assert_eq!(other.node_count(), 0);
    }

    #[test]
    fn nodes_of_one_network_with_the_same_options_share_their_stages() {
        let stages = |options: Options| {
            let options = options.with("hashSecret", "nodes share stages");
            Node::new(&options).unwrap().endpoint.pipeline()
        };
        let first = stages(Options::for_node());
        assert!(Arc::ptr_eq(&first, &stages(Options::for_node().with("id", "another"))));
        for other in [
            Options::for_node().with("port", &4001),
            Options::for_node().with("crypto", &true),
            Options::for_node().with("maxDepth", &7),
            Options::for_node().with("hashAlgorithm", "md5"),
        ] {
            assert!(!Arc::ptr_eq(&first, &stages(other)));
        }
        let node =
            Node::new(&Options::for_node().with("hashSecret", "nodes share stages")).unwrap();
        node.use_stage(crate::middleware::HostStage {
            name: "more".into(),
            token: 0,
            tx: true,
            rx: true,
        })
        .unwrap();
        assert_eq!(first.len(), 2, "the stages of others stay as they are");
    }
}
