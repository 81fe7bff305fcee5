//! Sockets, threads and clocks: what connects a protocol to the system.
//!
//! An [`Endpoint`] is a protocol with a pipeline below it and, while it is open, a socket and a
//! thread. Locks are taken in the order lifecycle, protocol, queue; no foreign code runs under
//! any of them, and none is held while a datagram walks through the pipeline.

pub(crate) mod clock;
pub(crate) mod queue;
pub(crate) mod seeds;
mod socket;

use crate::error::{Error, ErrorCode, Result};
use crate::host::{Direction, Progress, Transit};
use crate::message::{Message, MessageKind, Remote};
use crate::middleware::{Reject, Stage};
use crate::options::{QueueLimits, TransportConfig};
use crate::protocol::engine::{Destination, Now, Output};
use crate::protocol::event::Event;
use crate::protocol::pipeline::{Pipeline, Walk};
use crate::stats::{Counters, DropReason, Stats, add};
use mio::{Events, Interest, Poll, Token};
use queue::EventSource;
use std::io;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What sits on top of a pipeline: pure, driven by inputs and time.
///
/// After every call the endpoint takes outputs until there are none.
pub(crate) trait Protocol: Send + 'static {
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
    fn handle_timeout(&mut self, now: Now);
    fn poll_timeout(&mut self) -> Option<Duration>;
    fn poll_output(&mut self) -> Option<Output>;
}

/// How many datagrams are taken from the socket before timers are looked at again.
const BURST: usize = 64;

/// How often a thread that has panicked is started again before it is given up.
const MAX_RESTARTS: usize = 3;
const RESTART_WINDOW: Duration = Duration::from_secs(60);

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

thread_local! {
    /// Set on the threads of this crate: they must not wait for themselves.
    static ON_CORE_THREAD: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

pub(crate) struct Endpoint<P> {
    protocol: Mutex<P>,
    pipeline: Mutex<Arc<Pipeline>>,
    events: EventSource,
    counters: Arc<Counters>,
    watch_rejects: AtomicBool,
    watch_datagrams: AtomicBool,
    /// Whether the last thing that the core itself sent could not be sent.
    send_failing: AtomicBool,
    link: RwLock<Option<Arc<Link>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What exists while an endpoint is open.
struct Link {
    socket: mio::net::UdpSocket,
    group: SocketAddr,
    loopback_only: bool,
    waker: mio::Waker,
    stop: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<P: Protocol> Endpoint<P> {
    pub fn new(protocol: P, limits: QueueLimits) -> Self {
        let counters = Arc::<Counters>::default();
        Self {
            protocol: Mutex::new(protocol),
            pipeline: Mutex::default(),
            events: EventSource::new(counters.clone(), limits),
            counters,
            watch_rejects: AtomicBool::new(false),
            watch_datagrams: AtomicBool::new(false),
            send_failing: AtomicBool::new(false),
            link: RwLock::new(None),
            thread: Mutex::new(None),
        }
    }

    pub fn events(&self) -> &EventSource {
        &self.events
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

    fn link(&self) -> Option<Arc<Link>> {
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
        ask(&mut lock(&self.protocol), clock::now())
    }

    /// Changes the protocol and does what follows from that.
    pub fn update<R>(&self, change: impl FnOnce(&mut P, Now) -> R) -> R {
        let mut protocol = lock(&self.protocol);
        let result = change(&mut protocol, clock::now());
        self.drain(protocol);
        result
    }

    /// Opens the socket, lets the protocol start and starts the thread. `already` is the error if
    /// it is open.
    pub fn open(
        self: &Arc<Self>,
        config: &TransportConfig,
        already: impl FnOnce() -> Error,
        start: impl FnOnce(&mut P, Now),
    ) -> Result<()> {
        let mut thread = lock(&self.thread);
        if self.is_open() {
            return Err(already());
        }
        let failed = |error| Error::io(&error, "poll", "cannot wait for the socket");
        let poll = Poll::new().map_err(failed)?;
        let mut socket = mio::net::UdpSocket::from_std(socket::open(config)?);
        poll.registry().register(&mut socket, SOCKET, Interest::READABLE).map_err(failed)?;
        let link = Arc::new(Link {
            socket,
            group: SocketAddr::new(config.multicast, config.port),
            loopback_only: config.address.is_loopback(),
            waker: mio::Waker::new(poll.registry(), WAKER).map_err(failed)?,
            stop: AtomicBool::new(false),
        });
        self.send_failing.store(false, Ordering::Relaxed);
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = Some(link.clone());
        self.events.open();
        self.update(start);
        let endpoint = self.clone();
        let spawned = thread::Builder::new().name("caster".into()).spawn(move || {
            ON_CORE_THREAD.set(true);
            endpoint.run_contained(&link, poll);
        });
        match spawned {
            Ok(handle) => *thread = Some(handle),
            Err(error) => {
                self.link.write().unwrap_or_else(PoisonError::into_inner).take();
                self.events.close();
                return Err(Error::io(&error, "clone", "cannot start a thread"));
            }
        }
        Ok(())
    }

    /// Ends the thread and closes the socket; when this returns, both are gone. `last` is done
    /// between the two: it can still send, and nothing of the core's own comes after it.
    /// `None` if it was not open.
    pub fn close<R>(&self, last: impl FnOnce(&Self) -> R) -> Option<R> {
        let mut thread = lock(&self.thread);
        let link = self.link()?;
        link.stop.store(true, Ordering::Release);
        // If waking fails the thread ends at its next timer.
        let _ = link.waker.wake();
        drop(link);
        if let Some(handle) = thread.take()
            && !ON_CORE_THREAD.get()
        {
            // A panic of the thread was reported when it happened.
            let _ = handle.join();
        }
        let result = last(self);
        self.link.write().unwrap_or_else(PoisonError::into_inner).take();
        self.events.close();
        Some(result)
    }

    /// Walks a message out through the pipeline and sends it. `closed` is the error if there is
    /// no socket.
    pub fn send(&self, message: Message, closed: impl FnOnce() -> Error) -> Result<Progress> {
        let link = self.link().ok_or_else(closed)?;
        self.walk_out(&link, self.pipeline(), 0, message, Destination::Everybody)
    }

    fn walk_out(
        &self,
        link: &Link,
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
    fn transmit(&self, link: &Link, message: Message, to: Destination) -> Result<usize> {
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
        };
        let group = group.then_some(link.group);
        let mut outcome = None;
        for to in group.into_iter().chain(others) {
            match link.socket.send_to(data, to) {
                Ok(bytes) => {
                    add(&self.counters.sent);
                    outcome = Some(Ok(bytes));
                }
                Err(error) => {
                    add(&self.counters.send_errors);
                    let failed = Error::io(&error, "send", format!("cannot send to {to}"));
                    outcome.get_or_insert(Err(failed));
                }
            }
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
                self.walk_out(&link, pipeline, transit.at + 1, message, to)
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
    fn datagram(
        &self,
        link: &Link,
        pipeline: &Arc<Pipeline>,
        message: &mut Message,
        remote: Remote,
    ) {
        add(&self.counters.received);
        let _count = CountIfPanicking(&self.counters);
        if link.loopback_only && !remote.address.ip().is_loopback() {
            return self.counters.count_drop(DropReason::OffInterface);
        }
        if let Some(transit) = self.walk_in(pipeline, pipeline.len(), message, remote)
            && self.events.push(Event::HostStage(transit))
        {
            self.events.wake();
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
                match protocol.receive(message, &remote, clock::now()) {
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

    fn reject(&self, reject: Reject, data: &[u8], remote: Remote) {
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
        let mut transmits = Vec::new();
        while let Some(output) = protocol.poll_output() {
            match output {
                Output::Event(event) => wake |= self.events.push(event),
                Output::Transmit(message, to) => transmits.push((message, to)),
            }
        }
        drop(protocol);
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
        let sent = match self.walk_out(&link, self.pipeline(), 0, message, to) {
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
                self.events.push(Event::Error(error))
            }
            Err(_) => false,
        };
        if wake {
            self.events.wake();
        }
    }

    /// The thread: a panic is reported and the loop goes on, with everything that was known, at
    /// most three times a minute.
    fn run_contained(&self, link: &Link, mut poll: Poll) {
        let mut restarts: Vec<Duration> = Vec::new();
        loop {
            let run = AssertUnwindSafe(|| self.run(link, &mut poll));
            let Err(panic) = panic::catch_unwind(run) else { return };
            let what = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            let now = clock::monotonic();
            restarts.retain(|&at| now - at < RESTART_WINDOW);
            restarts.push(now);
            let given_up = restarts.len() > MAX_RESTARTS;
            let outcome = if given_up { "it has stopped" } else { "it goes on" };
            let text = format!("a fault inside caster ({what}); {outcome}");
            self.events.push(Event::Error(Error::new(ErrorCode::Internal, text)));
            self.events.wake();
            if given_up {
                return;
            }
        }
    }

    fn run(&self, link: &Link, poll: &mut Poll) {
        let mut events = Events::with_capacity(4);
        let mut buffer = vec![0; u16::MAX as usize];
        let mut message = Message::bytes(Vec::new());
        let mut readable = true;
        while !link.stop.load(Ordering::Acquire) {
            // The socket comes before the timers: nobody is judged while their word waits here.
            readable = readable && self.receive_burst(link, &mut buffer, &mut message);
            if !readable {
                self.update(P::handle_timeout);
            }
            let timeout = match readable {
                true => Some(Duration::ZERO),
                false => self.until_next_timeout(),
            };
            match poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    panic!("cannot wait for the socket: {error}")
                }
                _ => readable |= events.iter().any(|event| event.token() == SOCKET),
            }
        }
    }

    fn until_next_timeout(&self) -> Option<Duration> {
        let due = lock(&self.protocol).poll_timeout()?;
        Some(due.saturating_sub(clock::monotonic()))
    }

    /// Takes some datagrams from the socket; false when there are no more.
    fn receive_burst(&self, link: &Link, buffer: &mut [u8], message: &mut Message) -> bool {
        let pipeline = self.pipeline();
        for _ in 0..BURST {
            match link.socket.recv_from(buffer) {
                Ok((size, address)) => {
                    let mut data =
                        std::mem::replace(message, Message::bytes(Vec::new())).into_data();
                    data.clear();
                    data.extend_from_slice(&buffer[..size]);
                    message.set_bytes(data);
                    self.datagram(link, &pipeline, message, Remote { address, size });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Anything but "nothing there" is an old error of the network that the socket
                // reports late; it is gone once it has been read.
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        true
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
