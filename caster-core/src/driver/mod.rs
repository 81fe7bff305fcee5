//! Sockets, threads and clocks: what connects a protocol to the system.
//!
//! An [`Endpoint`] is a protocol with a pipeline below it and, while it is open, a link to a hub,
//! which has the socket and the thread, or to a virtual network. Locks are taken in the order lifecycle, protocol, queue; no foreign code runs under
//! any of them, and none is held while a datagram walks through the pipeline.

pub(crate) mod clock;
pub(crate) mod copies;
mod hub;
mod interfaces;
mod knock;
pub(crate) mod queue;
pub(crate) mod seeds;
mod socket;
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android", target_vendor = "apple")),
    path = "system_plain.rs"
)]
mod system;
pub(crate) mod virtual_network;

use crate::error::{Error, ErrorCode, Result};
use crate::host::{Direction, Progress, Transit};
use crate::message::{Message, MessageKind, Remote};
use crate::middleware::{Reject, Stage};
use crate::options::{EndpointLimits, TransportConfig};
use crate::protocol::engine::{Destination, Now, Output};
use crate::protocol::event::Event;
use crate::protocol::foreign::PerSource;
use crate::protocol::pipeline::{Pipeline, Walk};
use crate::stats::{Counters, DropReason, Stats, add};
use copies::Novelty;
use knock::Knocks;
use log::{Level, info, log_enabled, trace};
use queue::{EventSource, NoEvent};
use socket::Sent;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::Duration;
use virtual_network::Place;

/// What records of the log are filed under.
const LOG: &str = "caster";

/// The way to send, and to be called, of an endpoint while it is open.
trait Link: Send + Sync {
    /// From now on the subscriber is called.
    fn subscribe(&self, subscriber: Arc<dyn Subscriber>);
    /// Says when the subscriber's next timer is due.
    fn set_due(&self, due: Option<Duration>);
    /// The subscriber is not called any more when this returns. It can send for as long as it has
    /// the link.
    fn leave(&self);
    /// Sends to the group.
    fn send(&self, data: &[u8]) -> Sent;
    /// Sends to one host.
    fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize>;
    /// The size of the receive buffer in bytes.
    fn receive_buffer(&self) -> u64;
    fn group(&self) -> SocketAddr;
    /// Whether what comes from other hosts is not for this endpoint.
    fn loopback_only(&self) -> bool;
}

/// Who wants datagrams. Called by one thread at a time, outside of all locks.
trait Subscriber: Send + Sync {
    /// A datagram from the wire. `scratch` is for its message, to be used again.
    fn datagram(&self, data: &[u8], scratch: &mut Message, remote: Remote, novelty: Novelty);
    /// The time that was given to [`Link::set_due`] has come.
    fn handle_timeout(&self);
    /// So many datagrams more were lost before they could be read.
    fn lost(&self, datagrams: u32);
    /// As many datagrams that were sent have come back: nobody is there.
    fn undelivered(&self, datagrams: u32);
    /// How many interfaces beyond the loopback interface are in use now.
    fn links(&self, count: usize);
    /// Something went wrong that the program should hear of.
    fn report(&self, error: Error);
}

/// What sits on top of a pipeline: pure, driven by inputs and time.
///
/// After every call the endpoint takes outputs until there are none.
pub(crate) trait Protocol: Send + 'static {
    /// Whether every message names its sender: then equal bytes from several addresses are one
    /// message.
    const NAMES_SENDER: bool;

    /// Takes in what came through the pipeline. `message` is the endpoint's to reuse.
    fn receive(
        &mut self,
        message: &mut Message,
        remote: &Remote,
        now: Now,
    ) -> Result<(), DropReason>;
    /// A stage has turned a datagram away; `data` is what the stage was given.
    fn rejected(&mut self, _reason: DropReason, _data: &[u8], _remote: &Remote, _now: Now) {}
    /// Where a message of the program is to be sent as well, besides the group.
    fn unicast_targets(&mut self, _now: Now) -> Vec<SocketAddr> {
        Vec::new()
    }
    /// A host has refused what [`Destination::Knock`] sent there.
    fn refused(&mut self, _address: IpAddr) {}
    /// A message that was received before has come by another way too.
    fn receive_copy(&mut self, _message: &Message, _remote: &Remote, _now: Now) {}
    /// How many interfaces beyond the loopback interface there are to hear others by, when that
    /// has changed.
    fn links(&mut self, _count: usize, _now: Now) {}
    fn handle_timeout(&mut self, now: Now);
    fn poll_timeout(&mut self) -> Option<Duration>;
    fn poll_output(&mut self) -> Option<Output>;
}

pub(crate) struct Endpoint<P> {
    protocol: Mutex<P>,
    pipeline: Mutex<Arc<Pipeline>>,
    events: EventSource,
    counters: Arc<Counters>,
    knocks: Mutex<Knocks>,
    /// How many datagrams came from whom in this second.
    sources: Mutex<PerSource>,
    datagrams_per_second: u32,
    watch_rejects: AtomicBool,
    watch_datagrams: AtomicBool,
    /// Whether the last thing that the core itself sent could not be sent.
    send_failing: AtomicBool,
    name: String,
    /// Where it is, if that is on a virtual network.
    place: Option<Place>,
    link: RwLock<Option<Arc<dyn Link>>>,
    /// Held while it opens or closes.
    lifecycle: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<P: Protocol> Endpoint<P> {
    /// The name is for the log.
    pub fn new(protocol: P, name: String, limits: EndpointLimits, place: Option<Place>) -> Self {
        let counters = Arc::<Counters>::default();
        Self {
            protocol: Mutex::new(protocol),
            pipeline: Mutex::default(),
            events: EventSource::new(counters.clone(), limits),
            counters,
            knocks: Mutex::default(),
            sources: Mutex::default(),
            datagrams_per_second: limits.datagrams_per_second,
            watch_rejects: AtomicBool::new(false),
            watch_datagrams: AtomicBool::new(false),
            send_failing: AtomicBool::new(false),
            name,
            place,
            link: RwLock::new(None),
            lifecycle: Mutex::default(),
        }
    }

    pub fn events(&self) -> &EventSource {
        &self.events
    }

    /// The next event; waits for it, by the virtual clock if it has one.
    pub fn next_event(&self, timeout: Option<Duration>) -> Result<Event, NoEvent> {
        let Some(place) = &self.place else { return self.events.next_timeout(timeout) };
        let look = || match self.events.next_timeout(Some(Duration::ZERO)) {
            Err(NoEvent::TimedOut) => None,
            found => Some(found),
        };
        place.network().wait_for(timeout, look).unwrap_or(Err(NoEvent::TimedOut))
    }

    pub fn is_virtual(&self) -> bool {
        self.place.is_some()
    }

    fn now(&self) -> Now {
        self.place.as_ref().map_or_else(clock::now, Place::now)
    }

    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }

    pub fn watch_rejects(&self, watch: bool) {
        self.watch_rejects.store(watch, Ordering::Relaxed);
    }

    pub fn watch_datagrams(&self, watch: bool) {
        self.watch_datagrams.store(watch, Ordering::Relaxed);
    }

    pub fn pipeline(&self) -> Arc<Pipeline> {
        lock(&self.pipeline).clone()
    }

    pub fn push_stage(&self, stage: Stage) -> Result<()> {
        let mut pipeline = lock(&self.pipeline);
        *pipeline = Arc::new(pipeline.with(stage)?);
        Ok(())
    }

    pub fn set_pipeline(&self, pipeline: Pipeline) {
        *lock(&self.pipeline) = Arc::new(pipeline);
    }

    fn link(&self) -> Option<Arc<dyn Link>> {
        self.link.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_open(&self) -> bool {
        self.link().is_some()
    }

    /// Reads from the protocol.
    pub fn with<R>(&self, read: impl FnOnce(&P) -> R) -> R {
        read(&lock(&self.protocol))
    }

    /// Asks the protocol for something that needs the time and has no outputs.
    fn with_mut<R>(&self, ask: impl FnOnce(&mut P, Now) -> R) -> R {
        ask(&mut lock(&self.protocol), self.now())
    }

    /// Changes the protocol and does what follows from that.
    pub fn update<R>(&self, change: impl FnOnce(&mut P, Now) -> R) -> R {
        let mut protocol = lock(&self.protocol);
        let result = change(&mut protocol, self.now());
        self.drain(protocol);
        result
    }

    /// Connects to the network and lets the protocol start. `already` is the error if it is open.
    pub fn open(
        self: &Arc<Self>,
        config: &TransportConfig,
        already: impl FnOnce() -> Error,
        start: impl FnOnce(&mut P, Now),
    ) -> Result<()> {
        let _lifecycle = lock(&self.lifecycle);
        if self.is_open() {
            return Err(already());
        }
        let link = match &self.place {
            Some(place) => place.open(config),
            None => hub::connect(config)?,
        };
        self.send_failing.store(false, Ordering::Relaxed);
        self.events.open();
        // What comes in from now on waits until the protocol has started.
        self.counters.receive_buffer.store(link.receive_buffer(), Ordering::Relaxed);
        let mut protocol = lock(&self.protocol);
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = Some(link.clone());
        link.subscribe(self.clone());
        start(&mut protocol, self.now());
        self.drain(protocol);
        let (name, group, buffer) = (&self.name, link.group(), link.receive_buffer());
        info!(target: LOG, "{name}: open on {group}, with a receive buffer of {buffer} bytes");
        Ok(())
    }

    /// Ends all activity of this endpoint and disconnects it. If it was the last one of its
    /// network, the thread and the socket are gone when this returns. `last` is done between the
    /// two: it can still send, and nothing of the core's own comes after it. `None` if it was not
    /// open.
    pub fn close<R>(&self, last: impl FnOnce(&Self) -> R) -> Option<R> {
        let _lifecycle = lock(&self.lifecycle);
        let link = self.link()?;
        link.leave();
        drop(link);
        let result = last(self);
        self.link.write().unwrap_or_else(PoisonError::into_inner).take();
        self.events.close();
        info!(target: LOG, "{}: closed", self.name);
        Some(result)
    }

    /// Walks a message out through the pipeline and sends it. `closed` is the error if there is
    /// no socket.
    pub fn send(&self, message: Message, closed: impl FnOnce() -> Error) -> Result<Progress> {
        let link = self.link().ok_or_else(closed)?;
        self.walk_out(&*link, self.pipeline(), 0, message, Destination::Everybody)
    }

    fn walk_out(
        &self,
        link: &dyn Link,
        pipeline: Arc<Pipeline>,
        from: usize,
        mut message: Message,
        to: Destination,
    ) -> Result<Progress> {
        match pipeline.tx(from, &mut message)? {
            Walk::Done => self.transmit(link, message, to).map(Progress::Done),
            Walk::Host(at) => Ok(Progress::Host(Box::new(Transit {
                pipeline,
                at,
                direction: Direction::Tx,
                message,
                remote: None,
                to,
                counters: None,
            }))),
        }
    }

    /// Sends it. What could be sent to anybody has been sent.
    fn transmit(&self, link: &dyn Link, message: Message, to: Destination) -> Result<usize> {
        let message = match message.kind() {
            MessageKind::Bytes => message,
            MessageKind::Json => text_as_bytes(&message)?,
        };
        let data = message.data();
        if data.len() > socket::MAX_DATAGRAM {
            return Err(socket::too_large(data.len()));
        }
        let (group, others) = match to {
            Destination::Group => (true, Vec::new()),
            Destination::Everybody => (true, self.with_mut(P::unicast_targets)),
            Destination::These(addresses) => (false, addresses),
            Destination::Knock(_) if self.is_virtual() => return Ok(0),
            Destination::Knock(ip) => {
                lock(&self.knocks).knock(SocketAddr::new(ip, link.group().port()), data);
                return Ok(0);
            }
        };
        let mut outcome = None;
        let mut note = |sent: io::Result<usize>, to: &dyn std::fmt::Display| match sent {
            Ok(bytes) => {
                add(&self.counters.sent);
                outcome = Some(Ok(bytes));
            }
            Err(error) => {
                add(&self.counters.send_errors);
                let failed = Error::io(&error, "send", format!("cannot send to {to}"));
                outcome.get_or_insert(Err(failed));
            }
        };
        if group {
            let sent = link.send(data);
            self.counters.send_errors4.fetch_add(sent.failed4, Ordering::Relaxed);
            self.counters.send_errors6.fetch_add(sent.failed6, Ordering::Relaxed);
            note(sent.result, &link.group());
        }
        for to in others {
            note(link.send_to(data, to), &to);
        }
        outcome.unwrap_or(Ok(0))
    }

    /// Takes a message further that a stage of the host has run on.
    pub fn resume(&self, mut transit: Transit) -> Result<Progress> {
        let closed = || Error::new(ErrorCode::NotBound, "it was closed in the meantime");
        let message = std::mem::replace(&mut transit.message, Message::bytes(Vec::new()));
        let pipeline = transit.pipeline.clone();
        match (transit.direction, transit.remote) {
            (Direction::Rx, Some(remote)) => {
                self.link().ok_or_else(closed)?;
                transit.counters = None;
                let mut message = message;
                match self.walk_in(&pipeline, transit.at, &mut message, remote) {
                    Some(transit) => Ok(Progress::Host(transit)),
                    None => Ok(Progress::Done(0)),
                }
            }
            _ => {
                let link = self.link().ok_or_else(closed)?;
                let to = transit.to.clone();
                self.walk_out(&*link, pipeline, transit.at + 1, message, to)
            }
        }
    }

    /// Drops a message on which a stage of the host has failed: counts it, and tells those who
    /// watch.
    pub fn fail(&self, mut transit: Transit, error: Error) {
        transit.counters = None;
        if let Some(remote) = transit.remote {
            let reason = match error.code() {
                ErrorCode::HashMismatch => DropReason::Hash,
                ErrorCode::Decrypt => DropReason::Decrypt,
                _ => DropReason::Middleware,
            };
            self.reject(Reject { reason, error }, transit.message.data(), remote);
        }
    }

    /// Counts an incoming message as accepted that the host has delivered itself.
    pub fn accept(&self, mut transit: Transit) {
        if transit.counters.take().is_some() {
            add(&self.counters.accepted);
        }
    }

    /// One datagram from the wire. Its message is left in `message` for reuse.
    fn take_in(&self, data: &[u8], message: &mut Message, remote: Remote, new: bool) {
        add(&self.counters.received);
        let loopback_only = self.link().is_some_and(|link| link.loopback_only());
        if loopback_only && !remote.address.ip().is_loopback() {
            return self.counters.count_drop(DropReason::OffInterface);
        }
        let (ip, limit) = (remote.address.ip(), self.datagrams_per_second);
        if !lock(&self.sources).admit(ip, limit, self.now().mono) {
            return self.counters.count_drop(DropReason::TooMany);
        }
        let mut reused = std::mem::replace(message, Message::bytes(Vec::new())).into_data();
        reused.clear();
        reused.extend_from_slice(data);
        message.set_bytes(reused);
        let pipeline = self.pipeline();
        if !new {
            self.counters.count_drop(DropReason::Copy);
            return self.take_copy(&pipeline, message, remote);
        }
        let _count = CountIfPanicking(&self.counters);
        if let Some(transit) = self.walk_in(&pipeline, pipeline.len(), message, remote)
            && self.events.push(Event::HostStage(transit))
        {
            self.events.wake();
        }
    }

    /// A datagram that was taken in before tells by which ways its sender can be heard.
    fn take_copy(&self, pipeline: &Pipeline, message: &mut Message, remote: Remote) {
        if P::NAMES_SENDER
            && !pipeline.has_host_stages()
            && let Ok(Walk::Done) = pipeline.rx(pipeline.len(), message, &remote)
        {
            self.update(|protocol, now| protocol.receive_copy(message, &remote, now));
        }
    }

    /// Walks a message in through the stages below `below` and gives it to the protocol, or
    /// returns it where the host has to run a stage.
    fn walk_in(
        &self,
        pipeline: &Arc<Pipeline>,
        below: usize,
        message: &mut Message,
        remote: Remote,
    ) -> Option<Box<Transit>> {
        match pipeline.rx(below, message, &remote) {
            Err(reject) => self.reject(reject, message.data(), remote),
            Ok(Walk::Host(at)) => {
                return Some(Box::new(Transit {
                    pipeline: pipeline.clone(),
                    at,
                    direction: Direction::Rx,
                    message: std::mem::replace(message, Message::bytes(Vec::new())),
                    remote: Some(remote),
                    to: Destination::Group,
                    counters: Some(self.counters.clone()),
                }));
            }
            Ok(Walk::Done) => {
                let mut protocol = lock(&self.protocol);
                let watched = self.watch_datagrams.load(Ordering::Relaxed)
                    && self.events.push(Event::Datagram { message: message.clone(), remote });
                match protocol.receive(message, &remote, self.now()) {
                    Ok(()) => add(&self.counters.accepted),
                    Err(reason) => self.counters.count_drop(reason),
                }
                self.drain(protocol);
                if watched {
                    self.events.wake();
                }
            }
        }
        None
    }

    /// What the log is to say of an event.
    fn describe(&self, event: &Event) -> Option<(Level, String)> {
        let (level, text) = match event {
            Event::Up(peer) => (Level::Debug, format!("{} is up at {}", peer.id, peer.address)),
            Event::Update { peer, changed } => {
                let what = match (changed.meta, changed.address) {
                    (true, true) => "metadata and address",
                    (true, false) => "metadata",
                    _ => "address",
                };
                (Level::Debug, format!("{} has changed its {what}", peer.id))
            }
            Event::Down { peer, reason } => {
                (Level::Debug, format!("{} is down: {}", peer.id, reason.as_str()))
            }
            Event::Conflict { id, address } => {
                (Level::Warn, format!("two nodes have the id {id}, one of them at {address}"))
            }
            Event::Isolated => (Level::Warn, "cut off from the network".to_owned()),
            Event::Rejoined => (Level::Info, "back on the network".to_owned()),
            Event::Hint(text) => (Level::Warn, text.to_string()),
            Event::Error(error) => (Level::Error, error.to_string()),
            _ => return None,
        };
        Some((level, text))
    }

    fn log(&self, line: Option<(Level, String)>) {
        if let Some((level, text)) = line {
            log::log!(target: LOG, level, "{}: {text}", self.name);
        }
    }

    fn reject(&self, reject: Reject, data: &[u8], remote: Remote) {
        let (name, size, from) = (&self.name, data.len(), remote.address);
        trace!(target: LOG, "{name}: turned {size} bytes from {from} away: {}", reject.error);
        self.update(|protocol, now| protocol.rejected(reject.reason, data, &remote, now));
        self.counters.count_drop(reject.reason);
        if self.watch_rejects.load(Ordering::Relaxed)
            && self.events.push(Event::Reject { error: reject.error, remote })
        {
            self.events.wake();
        }
    }

    /// Does what the protocol wants done. Events go into the queue in the order in which the
    /// protocol made them, under its lock; sending and waking come after it.
    fn drain(&self, mut protocol: MutexGuard<'_, P>) {
        let mut wake = false;
        let (mut transmits, mut lines) = (Vec::new(), Vec::new());
        while let Some(output) = protocol.poll_output() {
            match output {
                Output::Event(event) => {
                    if log_enabled!(target: LOG, Level::Error) {
                        lines.extend(self.describe(&event));
                    }
                    wake |= self.events.push(event);
                }
                Output::Transmit(message, to) => transmits.push((message, to)),
            }
        }
        // Under the lock: the last word about the next timer has to be the last one said.
        if let Some(link) = self.link() {
            link.set_due(protocol.poll_timeout());
        }
        drop(protocol);
        for line in lines {
            self.log(Some(line));
        }
        for (message, to) in transmits {
            self.transmit_own(message, to);
        }
        if wake {
            self.events.wake();
        }
    }

    /// Sends something of the core's own. A failure is an event, once until it works again.
    fn transmit_own(&self, message: Message, to: Destination) {
        let Some(link) = self.link() else { return };
        let sent = match self.walk_out(&*link, self.pipeline(), 0, message, to) {
            Ok(Progress::Host(transit)) => Ok(self.events.push(Event::HostStage(transit))),
            Ok(Progress::Done(_)) => Ok(false),
            Err(error) => Err(error),
        };
        let wake = match sent {
            Ok(wake) => {
                self.send_failing.store(false, Ordering::Relaxed);
                wake
            }
            Err(error) if !self.send_failing.swap(true, Ordering::Relaxed) => {
                let event = Event::Error(error);
                self.log(self.describe(&event));
                self.events.push(event)
            }
            Err(_) => false,
        };
        if wake {
            self.events.wake();
        }
    }
}

impl<P: Protocol> Subscriber for Endpoint<P> {
    fn datagram(&self, data: &[u8], scratch: &mut Message, remote: Remote, novelty: Novelty) {
        let new = if P::NAMES_SENDER { novelty.by_sender } else { novelty.by_link };
        self.take_in(data, scratch, remote, new);
    }

    fn undelivered(&self, datagrams: u32) {
        self.counters.undelivered.fetch_add(datagrams.into(), Ordering::Relaxed);
    }

    fn lost(&self, datagrams: u32) {
        self.counters.kernel_drops.fetch_add(datagrams.into(), Ordering::Relaxed);
    }

    fn links(&self, count: usize) {
        self.update(|protocol, now| protocol.links(count, now));
    }

    fn handle_timeout(&self) {
        let refused = lock(&self.knocks).refused();
        self.update(|protocol, now| {
            refused.into_iter().for_each(|ip| protocol.refused(ip));
            protocol.handle_timeout(now);
        });
    }

    fn report(&self, error: Error) {
        let event = Event::Error(error);
        self.log(self.describe(&event));
        if self.events.push(event) {
            self.events.wake();
        }
    }
}

/// Even what makes the thread panic ends in a counter.
struct CountIfPanicking<'a>(&'a Counters);

impl Drop for CountIfPanicking<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.count_drop(DropReason::Fault);
        }
    }
}

/// A text may go out without a json stage, as the original sends strings.
fn text_as_bytes(message: &Message) -> Result<Message> {
    match message.parse::<crate::jstext::JsText>() {
        Ok(text) => Ok(Message::bytes(text.to_utf8())),
        Err(_) => {
            let text = "only bytes and text can be sent without the middleware json";
            Err(Error::new(ErrorCode::Middleware, text))
        }
    }
}
