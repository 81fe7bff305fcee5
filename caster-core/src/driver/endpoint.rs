//! An [`Endpoint`] connects a protocol, its pipeline and its queue to a network.
//!
//! While it is open it has a link: to a hub, which has the sockets and the thread, or to a virtual
//! network. Locks are taken in the order lifecycle, protocol, queue. None of them is held while code
//! of the program runs or while a datagram passes the pipeline.

use super::arrivals::{Arrivals, Disposition};
use super::dedup::FirstCopy;
use super::fork::Process;
use super::hints::Hint;
use super::link::{Link, Network, Notice, Subscriber};
use super::port_probe::PortProbes;
use super::protocol::{Protocol, SizedProtocol};
use super::queue::{EventSource, NoEvent};
use super::surroundings::OfNetwork;
use super::thread::LOG;
use super::transmit::{Packets, Sent};
use super::{clock, socket};
use crate::entropy;
use crate::error::{Error, ErrorCode, Result};
use crate::jsontext;
use crate::jstext::JsText;
use crate::message::{Message, MessageKind, Remote};
use crate::middleware::pipeline::Pipeline;
use crate::middleware::stage::{InProgress, Incoming, Reject, Stage, Walk};
use crate::options::{EndpointLimits, TransportConfig};
use crate::protocol::budget::PerSource;
use crate::protocol::destination::{Destination, LocalPort};
use crate::protocol::event::Event;
use crate::protocol::limits::Limits;
use crate::protocol::output::Output;
use crate::protocol::time::Now;
use crate::secure::mark::{Mark, Seal};
use crate::secure::session::Session;
use crate::stats::{Counters, DropReason, Stats, add};
use crate::sync::{lock, read, write};
use crate::transit::{Direction, Progress, Transit};
use log::{Level, info, log_enabled, trace};
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::thread;
use std::time::Duration;

/// Number of outgoing messages that pass the stages as one batch.
const TX_BATCH: usize = 16;

/// Outputs of the protocol: collected under its lock, and acted on after it.
#[derive(Default)]
struct Work {
    wake: bool,
    transmits: Vec<(Message, Destination)>,
    lines: Vec<(Level, String)>,
}

/// A protocol with its pipeline, its queue and, while it is open, its link. Methods that need the type
/// of the protocol, and those that receive, are generic; all others are those of
/// `Endpoint<dyn Protocol>`, so that their code exists once.
pub(crate) struct Endpoint<P: ?Sized> {
    /// [`SizedProtocol::NAMES_SENDER`] of the protocol.
    names_sender: bool,
    pipeline: Mutex<Arc<Pipeline>>,
    events: EventSource,
    counters: Arc<Counters>,
    port_probes: Mutex<PortProbes>,
    /// Number of datagrams from each source in the present second.
    sources: Mutex<PerSource>,
    datagrams_per_second: u32,
    /// How many bytes of ASCII JSON fit into a datagram; no limit if messages do not travel in pieces.
    room: AtomicUsize,
    /// The largest datagram to the group that is not fragmented.
    largest: AtomicUsize,
    /// The count of the host when this was first opened.
    reassembly_failures: OnceLock<u64>,
    watch_rejects: AtomicBool,
    watch_datagrams: AtomicBool,
    /// Whether the last datagram of the core itself could not be sent.
    send_failing: AtomicBool,
    name: String,
    /// The queue is that of another endpoint, which opens and closes it.
    is_second: bool,
    network: Arc<dyn Network>,
    link: RwLock<Option<Arc<dyn Link>>>,
    /// Of secure mode, while it is open.
    session: RwLock<Option<Arc<Session>>>,
    /// Held while the endpoint opens or closes.
    lifecycle: Mutex<()>,
    leaving: Mutex<Option<Leaving>>,
    /// Whether there is one; read without the lock.
    is_leaving: AtomicBool,
    process: Process,
    protocol: Mutex<P>,
}

/// Time for which the network stays open for a leave that waits for a stage of the host.
const LEAVE_PATIENCE: Duration = Duration::from_secs(1);

/// Interval at which such a leave is checked for completion.
const LEAVE_POLL: Duration = Duration::from_millis(5);

/// A leave that has begun: it is repeated against loss, then the network is closed.
struct Leaving {
    message: Message,
    /// The pauses before the repetitions that are still to be sent.
    pauses: &'static [Duration],
    due: Duration,
    /// When the network is closed although messages wait for the host.
    until: Duration,
    /// Shared with the messages that wait for a stage of the host.
    hold: Arc<()>,
}

/// An endpoint that is being opened, under the lock of its lifecycle. A panic on the way closes it.
struct Unfinished<'a>(&'a Endpoint<dyn Protocol>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.close_locked(&mut || ());
    }
}

impl<P: SizedProtocol> Endpoint<P> {
    /// A closed endpoint. `name` appears in the log.
    pub fn new(
        protocol: P,
        name: String,
        limits: EndpointLimits,
        network: Arc<dyn Network>,
    ) -> Result<Self> {
        let counters = Arc::<Counters>::default();
        let events = EventSource::new(counters.clone(), limits);
        Self::with_queue(protocol, name, limits, network, (events, counters))
    }

    /// A closed endpoint that has the queue and the counters of another one.
    pub fn beside(
        other: &Endpoint<dyn Protocol>,
        protocol: P,
        limits: EndpointLimits,
        network: Arc<dyn Network>,
    ) -> Result<Self> {
        let queue = (other.events.clone(), other.counters.clone());
        let name = format!("{} (plain)", other.name);
        let second = Self::with_queue(protocol, name, limits, network, queue)?;
        Ok(Self { is_second: true, ..second })
    }

    fn with_queue(
        protocol: P,
        name: String,
        limits: EndpointLimits,
        network: Arc<dyn Network>,
        (events, counters): (EventSource, Arc<Counters>),
    ) -> Result<Self> {
        let key = entropy::number()?;
        Ok(Self {
            names_sender: P::NAMES_SENDER,
            pipeline: Mutex::default(),
            events,
            counters,
            reassembly_failures: OnceLock::new(),
            port_probes: Mutex::default(),
            sources: Mutex::new(PerSource::new(key)),
            datagrams_per_second: limits.datagrams_per_second,
            room: AtomicUsize::new(usize::MAX),
            largest: AtomicUsize::new(usize::MAX),
            watch_rejects: AtomicBool::new(false),
            watch_datagrams: AtomicBool::new(false),
            send_failing: AtomicBool::new(false),
            name,
            is_second: false,
            network,
            link: RwLock::new(None),
            session: RwLock::new(None),
            lifecycle: Mutex::default(),
            leaving: Mutex::default(),
            is_leaving: AtomicBool::new(false),
            process: Process::current(),
            protocol: Mutex::new(protocol),
        })
    }

    /// Reads from the protocol. Returns the default value in a forked child.
    pub fn with<R: Default>(&self, read: impl FnOnce(&P) -> R) -> R {
        if self.is_forked() {
            return R::default();
        }
        read(&lock(&self.protocol))
    }

    /// Changes the protocol and acts on its outputs.
    pub fn update<R>(&self, change: impl FnOnce(&mut P, Now) -> R) -> R {
        let mut protocol = lock(&self.protocol);
        let result = change(&mut protocol, self.now());
        let work = self.end_input(&mut *protocol);
        drop(protocol);
        self.act_on(work);
        result
    }

    /// Connects to the network and starts the protocol.
    ///
    /// # Errors
    /// `already` if it is open; the errors of the network.
    pub fn open(
        self: &Arc<Self>,
        config: &TransportConfig,
        already: fn() -> Error,
        start: impl FnOnce(&mut P, Now),
    ) -> Result<()> {
        self.end_leave()?;
        let _lifecycle = lock(&self.lifecycle);
        if self.is_open() {
            return Err(already());
        }
        let link = self.network.open(config)?;
        self.attach(&link);
        let unfinished = Unfinished(self);
        // Before the protocol sends: that may fail for the same reason.
        for notice in link.notices() {
            match notice {
                Notice::Error(error) => self.push_error(error),
                Notice::Hint(hint) => self.push_hint(&hint),
            }
        }
        // Datagrams wait for the lock until the protocol has started.
        let mut protocol = lock(&self.protocol);
        self.want_own(&*link, &*protocol);
        link.subscribe(self.clone());
        self.begin_session(&mut *protocol);
        protocol.set_port(link.private_port());
        protocol.set_limits(self.limits(&*link));
        protocol.interfaces(&link.addresses(), None, self.now());
        protocol.set_joined(link.joined());
        start(&mut protocol, self.now());
        let work = self.end_input(&mut *protocol);
        drop(protocol);
        self.act_on(work);
        // After the first heartbeat, as the system takes its time for them.
        if !self.is_second {
            self.reassembly_failures.get_or_init(|| self.network.reassembly_failures());
        }
        std::mem::forget(unfinished);
        self.log_open(&*link);
        Ok(())
    }

    /// Continues a message after a stage of the host.
    pub fn resume(&self, mut transit: Transit) -> Result<Progress> {
        let closed = || Error::new(ErrorCode::NotBound, "it was closed in the meantime");
        let message = std::mem::replace(&mut transit.message, Message::bytes(Vec::new()));
        let pipeline = transit.pipeline.clone();
        match (transit.direction, transit.remote) {
            (Direction::Rx, Some(remote)) => {
                self.open_link(closed)?;
                transit.counters = None;
                let mut message = message;
                match pipeline.rx(transit.at, &mut message, &remote) {
                    Ok(Walk::Host(at)) => {
                        transit.message = message;
                        transit.at = at;
                        transit.counters = Some(self.counters.clone());
                        return Ok(Progress::Host(Box::new(transit)));
                    }
                    outcome => {
                        let progress = InProgress::Ended(outcome);
                        let mut incoming = Incoming { message, from: remote, progress };
                        let mut work = Finish { endpoint: self, work: Work::default() };
                        self.take(&pipeline, &mut incoming, self.now(), &mut work.work);
                    }
                }
                Ok(Progress::Done(0))
            }
            _ => {
                let link = self.open_link(closed)?;
                let to = transit.to.clone();
                let passed = self.pass_out(&*link, pipeline, transit.at + 1, message, to);
                let mut progress = match passed {
                    // A refusal of the system has been counted. While the node leaves it is no error.
                    Err(error) if self.is_leaving() && error.code() == ErrorCode::Io => {
                        Progress::Done(0)
                    }
                    other => other?,
                };
                if let Progress::Host(next) = &mut progress {
                    next.hold = transit.hold.take();
                }
                Ok(progress)
            }
        }
    }

    /// Datagrams from the wire.
    fn take_in(&self, arrivals: &mut Arrivals<'_>) {
        let pipeline = self.pipeline();
        let now = self.now();
        self.classify(arrivals, &pipeline, now);
        arrivals.pass(&pipeline);
        let mut work = Finish { endpoint: self, work: Work::default() };
        let work = &mut work.work;
        while let Some((data, arrival, incoming, disposition)) = arrivals.next() {
            add(&self.counters.received);
            let _count = CountIfPanicking(&self.counters);
            if let Disposition::Drop(reason) = disposition {
                self.counters.count_drop(reason);
                continue;
            }
            incoming.pass(&pipeline, data, &arrival.remote);
            if disposition == Disposition::AcceptCopy {
                self.counters.count_drop(DropReason::Copy);
                self.accept_copy(incoming, now, work);
            } else {
                self.take(&pipeline, incoming, now, work);
            }
        }
    }

    /// A copy shows another path of its sender.
    fn accept_copy(&self, incoming: &Incoming, now: Now, work: &mut Work) {
        if let InProgress::Ended(Ok(Walk::Done)) = incoming.progress {
            let mut protocol = lock(&self.protocol);
            protocol.receive_copy(&incoming.message, &incoming.from, now);
            collect(&self.events, &mut *protocol, work);
        }
    }

    /// Handles a message that has passed the stages, or that waits for a stage of the host.
    fn take(&self, pipeline: &Arc<Pipeline>, incoming: &mut Incoming, now: Now, work: &mut Work) {
        let Incoming { message, from: remote, progress } = incoming;
        let remote = *remote;
        match progress {
            InProgress::Waiting | InProgress::Walking => {}
            InProgress::Ended(Ok(Walk::Done)) => {
                let mut protocol = lock(&self.protocol);
                if self.watch_datagrams.load(Ordering::Relaxed) {
                    let event = Event::Datagram { message: message.clone(), remote };
                    work.wake |= self.events.push(event);
                }
                match protocol.receive(message, &remote, now) {
                    Ok(()) => add(&self.counters.accepted),
                    Err(reason) => self.counters.count_drop(reason),
                }
                collect(&self.events, &mut *protocol, work);
                if message.data().is_empty() {
                    *progress = InProgress::Waiting;
                }
            }
            InProgress::Ended(Ok(Walk::Host(at))) => {
                let transit = Box::new(Transit {
                    pipeline: pipeline.clone(),
                    at: *at,
                    direction: Direction::Rx,
                    message: std::mem::replace(message, Message::bytes(Vec::new())),
                    remote: Some(remote),
                    to: Destination::Group,
                    hold: None,
                    counters: Some(self.counters.clone()),
                });
                *progress = InProgress::Waiting;
                work.wake |= self.events.push(Event::HostStage(transit));
            }
            InProgress::Ended(Err(reject)) => {
                self.reject(reject, message.data(), remote, now, work);
            }
        }
    }
}

impl Endpoint<dyn Protocol> {
    pub fn events(&self) -> &EventSource {
        &self.events
    }

    /// Returns whether the calling process is a forked child. Its copy of the endpoint must not be
    /// used: locks may be held without end, and the sockets belong to the parent.
    #[inline]
    pub fn is_forked(&self) -> bool {
        self.process.is_forked()
    }

    /// Takes the next event; waits for it by the clock of the network.
    pub fn next_event(&self, timeout: Option<Duration>) -> Result<Event, NoEvent> {
        if self.is_forked() {
            return Err(NoEvent::Forked);
        }
        if let Some(event) = self.events.try_next() {
            return Ok(event);
        }
        let mut found = None;
        self.network.wait_for(timeout, &mut |timeout| match self.events.next_timeout(timeout) {
            Err(NoEvent::TimedOut) => false,
            other => {
                found = Some(other);
                true
            }
        });
        found.unwrap_or(Err(NoEvent::TimedOut))
    }

    pub fn is_virtual(&self) -> bool {
        self.network.is_virtual()
    }

    fn now(&self) -> Now {
        self.network.now()
    }

    #[inline(never)]
    pub fn stats(&self) -> Stats {
        let mut stats = self.counters.snapshot();
        if self.is_forked() {
            return stats;
        }
        if let Some(before) = self.reassembly_failures.get() {
            let now = self.network.reassembly_failures();
            stats.reassembly_failures = now.saturating_sub(*before);
        }
        stats.interfaces = self.link().map(|link| link.interfaces()).unwrap_or_default();
        stats
    }

    pub fn watch_rejects(&self, watch: bool) {
        self.watch_rejects.store(watch, Ordering::Relaxed);
    }

    pub fn watch_datagrams(&self, watch: bool) {
        self.watch_datagrams.store(watch, Ordering::Relaxed);
        if !self.is_forked() {
            let protocol = lock(&self.protocol);
            if let Some(link) = self.link() {
                self.want_own(&*link, &*protocol);
            }
        }
    }

    /// Tells the network whether this endpoint has to receive what it sends, under the lock of the
    /// protocol.
    fn want_own(&self, link: &dyn Link, protocol: &dyn Protocol) {
        link.want_own(protocol.wants_own() || self.watch_datagrams.load(Ordering::Relaxed));
    }

    #[inline(never)]
    pub fn pipeline(&self) -> Arc<Pipeline> {
        if self.is_forked() {
            return Arc::default();
        }
        lock(&self.pipeline).clone()
    }

    #[inline(never)]
    pub fn push_stage(&self, stage: Stage) -> Result<()> {
        self.process.check()?;
        let mut pipeline = lock(&self.pipeline);
        let before = pipeline.sealer().is_some();
        *pipeline = Arc::new(pipeline.with(stage)?);
        let begins = pipeline.sealer().is_some() && !before;
        drop(pipeline);
        self.follow_stages(begins);
        Ok(())
    }

    #[inline(never)]
    pub fn set_pipeline(&self, pipeline: Arc<Pipeline>) -> Result<()> {
        self.process.check()?;
        *lock(&self.pipeline) = pipeline;
        self.follow_stages(true);
        Ok(())
    }

    /// # Errors
    /// [`ErrorCode::Forked`] in a forked child.
    #[inline]
    pub fn check_process(&self) -> Result<()> {
        self.process.check()
    }

    /// The sizes of datagrams on this link, with the stages of now.
    fn limits(&self, link: &dyn Link) -> Limits {
        let (group, alone) = link.largest();
        let overhead = self.pipeline().overhead();
        let pieces = link.has_data_port() && overhead.is_some();
        let limits = Limits { group, alone, overhead: overhead.unwrap_or(0), pieces };
        self.largest.store(group, Ordering::Relaxed);
        self.room.store(if pieces { limits.room() } else { usize::MAX }, Ordering::Relaxed);
        limits
    }

    /// The stages have changed; `begins`: the ring of secure mode, too.
    fn follow_stages(&self, begins: bool) {
        if begins && self.is_open() {
            self.begin_session(&mut *lock(&self.protocol));
        }
        self.follow_limits();
    }

    /// The stages or the interfaces have changed.
    fn follow_limits(&self) {
        if let Some(link) = self.link() {
            let limits = self.limits(&*link);
            lock(&self.protocol).set_limits(limits);
        }
    }

    fn link(&self) -> Option<Arc<dyn Link>> {
        read(&self.link).clone()
    }

    fn open_link(&self, closed: fn() -> Error) -> Result<Arc<dyn Link>> {
        self.process.check()?;
        self.link().ok_or_else(closed)
    }

    #[inline(never)]
    pub fn is_open(&self) -> bool {
        !self.is_forked() && read(&self.link).is_some()
    }

    /// Begins a session of secure mode, if a stage is for it: with a new sender.
    fn begin_session(&self, protocol: &mut dyn Protocol) {
        let pipeline = self.pipeline();
        let session = pipeline.sealer().map(|sealer| {
            let seed = if self.is_virtual() { protocol.seed() } else { None };
            let surroundings = OfNetwork::new(self.network.clone(), seed);
            let session = Arc::new(sealer.begin(Arc::new(surroundings)));
            protocol.begin_session(&session, sealer);
            session
        });
        *write(&self.session) = session;
    }

    /// In secure mode a message that leaves belongs to the session; without a mark it is data for all.
    fn mark(&self, message: &mut Message) {
        let session = read(&self.session).clone();
        match message.mark_mut() {
            Some(Mark::Seal(seal)) => seal.session = session,
            _ => message.set_mark(Mark::Seal(Seal { session, ..Seal::data() })),
        }
    }

    /// Ends all activity of this endpoint and disconnects it. After the last endpoint of a network,
    /// the thread has ended and the sockets are closed when this returns. `last` runs between the two:
    /// it can still send, and the core sends nothing after it. Returns false if the endpoint was not
    /// open.
    pub fn close(&self, last: &mut dyn FnMut()) -> bool {
        if self.is_forked() {
            return false;
        }
        let _lifecycle = lock(&self.lifecycle);
        self.close_locked(last)
    }

    fn close_locked(&self, last: &mut dyn FnMut()) -> bool {
        let Some(link) = self.link() else { return false };
        link.leave();
        drop(link);
        last();
        self.is_leaving.store(false, Ordering::Relaxed);
        lock(&self.leaving).take();
        if !self.is_second {
            self.events.set_link(None);
        }
        write(&self.link).take();
        write(&self.session).take();
        if !self.is_second {
            self.events.close();
        }
        info!(target: LOG, "{}: closed", self.name);
        true
    }

    /// Ends a leave that has begun, before the endpoint opens again.
    fn end_leave(&self) -> Result<()> {
        self.process.check()?;
        if self.is_leaving() {
            self.close(&mut || self.finish_leave());
        }
        Ok(())
    }

    fn attach(&self, link: &Arc<dyn Link>) {
        self.send_failing.store(false, Ordering::Relaxed);
        if self.is_second {
            *write(&self.link) = Some(link.clone());
            return;
        }
        self.events.open();
        self.counters.receive_buffer.store(link.receive_buffer(), Ordering::Relaxed);
        *write(&self.link) = Some(link.clone());
        self.events.set_link(Some(link));
    }

    fn log_open(&self, link: &dyn Link) {
        let (name, group, buffer) = (&self.name, link.group(), link.receive_buffer());
        info!(target: LOG, "{name}: open on {group}, with a receive buffer of {buffer} bytes");
    }

    /// Returns whether a leave has begun and the network is still open.
    pub fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// Sends a leave, repeats it after each of these pauses, then closes the network. Returns after the
    /// first transmission: timers of the core thread do the rest. Does nothing if a leave has begun.
    ///
    /// A leave that cannot be sent is counted and is not an error: the network may be gone.
    pub fn start_leave(
        &self,
        message: Message,
        pauses: &'static [Duration],
        closed: fn() -> Error,
    ) -> Result<()> {
        self.open_link(closed)?;
        let now = self.now().mono;
        let leaving = Leaving {
            message,
            pauses,
            due: now,
            until: now + pauses.iter().sum::<Duration>() + LEAVE_PATIENCE,
            hold: Arc::default(),
        };
        let mut slot = lock(&self.leaving);
        if slot.is_some() {
            return Ok(());
        }
        let first = (leaving.message.clone(), leaving.hold.clone());
        self.is_leaving.store(true, Ordering::Relaxed);
        *slot = Some(Leaving { due: now + pauses.first().copied().unwrap_or_default(), ..leaving });
        drop(slot);
        self.transmit_leave(first);
        let mut protocol = lock(&self.protocol);
        self.set_timer(&mut *protocol);
        Ok(())
    }

    fn transmit_leave(&self, (message, hold): (Message, Arc<()>)) {
        let Some(link) = self.link() else { return };
        let to = Destination::Everybody;
        // A failure has been counted where it occurred.
        if let Ok(Progress::Host(mut transit)) =
            self.pass_out(&*link, self.pipeline(), 0, message, to)
        {
            transit.hold = Some(hold);
            if self.events.push(Event::HostStage(transit)) {
                self.events.wake();
            }
        }
    }

    /// Sends the remaining repetitions of a leave on this thread.
    pub fn finish_leave(&self) {
        while let Some((pause, message, hold)) = {
            let mut slot = lock(&self.leaving);
            slot.as_mut().and_then(|leaving| {
                let (pause, rest) = leaving.pauses.split_first()?;
                leaving.pauses = rest;
                Some((*pause, leaving.message.clone(), leaving.hold.clone()))
            })
        } {
            if !self.is_virtual() {
                clock::pause(pause);
            }
            self.transmit_leave((message, hold));
        }
    }

    /// The time of the next timer while a leave has begun.
    #[inline(never)]
    fn leave_due(&self, due: Option<Duration>) -> Option<Duration> {
        let leave = lock(&self.leaving).as_ref().map(|leaving| leaving.due);
        [due, leave].into_iter().flatten().min()
    }

    /// If due, repeats a leave that has begun or closes the network after it.
    #[inline(never)]
    fn continue_leave(&self) {
        let now = self.now().mono;
        let mut slot = lock(&self.leaving);
        let Some(leaving) = slot.as_mut().filter(|leaving| leaving.due <= now) else { return };
        if let Some((_, rest)) = leaving.pauses.split_first() {
            leaving.pauses = rest;
            leaving.due = now + rest.first().copied().unwrap_or_default();
            let again = (leaving.message.clone(), leaving.hold.clone());
            drop(slot);
            self.transmit_leave(again);
            return;
        }
        let is_through = Arc::strong_count(&leaving.hold) == 1 || now >= leaving.until;
        leaving.due = now + LEAVE_POLL;
        drop(slot);
        // A thread that holds it opens or closes the endpoint and may wait for this thread.
        if is_through && let Ok(_lifecycle) = self.lifecycle.try_lock() {
            self.close_locked(&mut || ());
        }
    }

    /// Passes a message through the pipeline and sends it. `closed` is the error if the endpoint is
    /// closed.
    pub fn send(&self, message: Message, closed: fn() -> Error) -> Result<Progress> {
        let link = self.open_link(closed)?;
        self.pass_on(&*link, message, Destination::Everybody)
    }

    /// Sends a message, in pieces if it is for all and too large.
    fn pass_on(&self, link: &dyn Link, message: Message, to: Destination) -> Result<Progress> {
        if to == Destination::Everybody
            && !self.fits(&message)
            && let Some(sent) = self.send_in_pieces(link, &message)?
        {
            return Ok(Progress::Done(sent));
        }
        self.pass_out(link, self.pipeline(), 0, message, to)
    }

    /// Sends a message that does not name this node as its sender, as a caster does.
    pub fn send_bare(&self, message: Message, closed: fn() -> Error) -> Result<Progress> {
        let link = self.open_link(closed)?;
        self.pass_out(&*link, self.pipeline(), 0, message, Destination::Bare)
    }

    /// Whether a message certainly takes one datagram. Nothing grows more than two bytes that become the
    /// six of an escape, and ASCII does not.
    #[inline]
    fn fits(&self, message: &Message) -> bool {
        let (size, room) = (message.data().len(), self.room.load(Ordering::Relaxed));
        size <= room / 3 || (size <= room && message.data().is_ascii())
    }

    /// Sends a message that is too large for one datagram in pieces. `None` if it has to go whole.
    #[cold]
    fn send_in_pieces(&self, link: &dyn Link, message: &Message) -> Result<Option<usize>> {
        let Some(text) = message.as_json() else { return Ok(None) };
        let text = jsontext::compact(text);
        if text.len() <= self.room.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut protocol = lock(&self.protocol);
        let frames = protocol.cut(text.as_bytes(), self.now());
        let work = self.end_input(&mut *protocol);
        drop(protocol);
        self.act_on(work);
        let Some(mut frames) = frames else { return Ok(None) };
        let pipeline = self.pipeline();
        let (mut data, mut sizes) = (Vec::new(), Vec::with_capacity(frames.len()));
        for group in frames.chunks_mut(TX_BATCH) {
            if pipeline.sealer().is_some() {
                group.iter_mut().for_each(|frame| self.mark(frame));
            }
            pipeline.tx_batch(group).map_err(|(_, error)| error)?;
            for frame in group {
                data.extend_from_slice(frame.data());
                sizes.push(frame.data().len());
            }
        }
        let packets = Packets { data: &data, sizes: &sizes };
        self.transmit(link, packets, Destination::Data).map(Some)
    }

    fn pass_out(
        &self,
        link: &dyn Link,
        pipeline: Arc<Pipeline>,
        from: usize,
        mut message: Message,
        to: Destination,
    ) -> Result<Progress> {
        if pipeline.sealer().is_some() {
            self.mark(&mut message);
        }
        match pipeline.tx(from, &mut message)? {
            Walk::Done => {
                to_wire_form(&mut message)?;
                let data = message.data();
                let sent = self.transmit(link, Packets { data, sizes: &[data.len()] }, to);
                sent.map(Progress::Done)
            }
            Walk::Host(at) => Ok(Progress::Host(Box::new(Transit {
                pipeline,
                at,
                direction: Direction::Tx,
                message,
                remote: None,
                to,
                hold: None,
                counters: None,
            }))),
        }
    }

    /// Passes messages through the pipeline and sends many of them with one system call. `fill` writes
    /// each message, by its number, into a buffer that is used again. Nothing is sent if one of them
    /// is refused by the pipeline. Returns the number of bytes.
    pub fn send_batch(
        &self,
        count: usize,
        fill: &mut dyn FnMut(usize, &mut Message),
        closed: fn() -> Error,
    ) -> Result<usize> {
        let link = self.open_link(closed)?;
        let pipeline = self.pipeline();
        let by_host = |stage: &&Stage| matches!(stage, Stage::Host(stage) if stage.tx);
        if let Some(stage) = pipeline.stages().iter().find(by_host) {
            let name = stage.name();
            let text = format!("the middleware {name} is run by the host, one message at a time");
            return Err(Error::new(ErrorCode::Middleware, text));
        }
        let (mut data, mut sizes) = (Vec::new(), Vec::with_capacity(count));
        let mut total = 0;
        let mut group = vec![Message::bytes(Vec::new()); count.min(TX_BATCH)];
        for first in (0..count).step_by(TX_BATCH) {
            let named = |(at, error): (usize, Error)| error.in_batch(first + at);
            let group = &mut group[..TX_BATCH.min(count - first)];
            group.iter_mut().zip(first..).for_each(|(message, at)| fill(at, message));
            if !group.iter().all(|message| self.fits(message)) {
                // One by one, behind those before them.
                let waiting = Packets { data: &data, sizes: &sizes };
                if !sizes.is_empty() {
                    total += self.transmit(&*link, waiting, Destination::Everybody)?;
                }
                (data, sizes) = (Vec::new(), Vec::new());
                for message in group {
                    total += self.send(message.clone(), closed)?.finished()?;
                }
                continue;
            }
            if pipeline.sealer().is_some() {
                group.iter_mut().for_each(|message| self.mark(message));
            }
            pipeline.tx_batch(group).map_err(named)?;
            for (at, message) in group.iter_mut().enumerate() {
                to_wire_form(message).map_err(|error| named((at, error)))?;
                data.extend_from_slice(message.data());
                sizes.push(message.data().len());
            }
        }
        if !sizes.is_empty() {
            let packets = Packets { data: &data, sizes: &sizes };
            total += self.transmit(&*link, packets, Destination::Everybody)?;
        }
        Ok(total)
    }

    /// Sends to the group, to other addresses, or to both. A failure to other addresses is counted
    /// and no error: the network tells a sender about other hosts as it likes. An error means that
    /// no destination was reached.
    fn transmit(&self, link: &dyn Link, packets: Packets<'_>, to: Destination) -> Result<usize> {
        let is_data = to == Destination::Data;
        let is_message = to == Destination::Everybody;
        let (mut from_group_port, mut is_routed) = (Vec::new(), true);
        let (group, mut others) = match to {
            Destination::Group => (true, Vec::new()),
            Destination::Everybody | Destination::Bare | Destination::Data => {
                (true, lock(&self.protocol).unicast_targets(&|| self.now()))
            }
            Destination::These(addresses) => (false, addresses),
            Destination::TheseFrom(LocalPort::Group, addresses) => {
                from_group_port = addresses;
                (false, Vec::new())
            }
            Destination::TheseFrom(LocalPort::Private, addresses) => {
                is_routed = false;
                (false, addresses)
            }
            Destination::PortProbe(_) if self.is_virtual() => return Ok(0),
            Destination::PortProbe(port) => {
                if !link.reports_refusals() {
                    lock(&self.port_probes).send(port, packets.data);
                }
                (false, vec![port])
            }
        };
        let all = packets.sizes.len();
        let count = |sent: &Sent, failed: usize| {
            self.counters.sent.fetch_add(sent.count as u64, Ordering::Relaxed);
            self.counters.send_errors.fetch_add(failed as u64, Ordering::Relaxed);
        };
        let (mut failure, mut reached) = (None, false);
        if group {
            let sent = match (is_data, is_message) {
                (true, _) => link.send_data(packets),
                (_, true) => link.send_message(packets),
                _ => link.send(packets),
            };
            let largest = self.largest.load(Ordering::Relaxed);
            let oversized = packets.sizes.iter().filter(|&&size| size > largest).count();
            if oversized > 0 {
                self.counters.oversized.fetch_add(oversized as u64, Ordering::Relaxed);
            }
            self.counters.send_errors4.fetch_add(sent.failed4, Ordering::Relaxed);
            self.counters.send_errors6.fetch_add(sent.failed6, Ordering::Relaxed);
            let failed = all - sent.count - sent.withheld;
            count(&sent, failed);
            reached = sent.count > 0 && failed == 0;
            failure = sent.error.filter(|_| failed > 0);
        }
        if is_routed && !others.is_empty() {
            from_group_port = lock(&self.protocol).take_from_group_port(&mut others);
        }
        for (to, is_from_group_port) in [(others, false), (from_group_port, true)] {
            if to.is_empty() {
                continue;
            }
            let sent = match is_from_group_port {
                true => link.send_from_group_port(packets, &to),
                false => link.send_to(packets, &to),
            };
            let failed = to.len() * all - sent.count - sent.withheld;
            count(&sent, failed);
            reached |= sent.count > 0 && failed == 0;
        }
        match failure {
            Some((error, to)) if !reached => {
                Err(Error::io(&error, "send", format!("cannot send to {to}")))
            }
            _ => Ok(packets.data.len()),
        }
    }

    /// Drops a message on which a stage of the host has failed. Counts it and, if watched, reports it.
    pub fn fail(&self, mut transit: Transit, error: Error) {
        if self.is_forked() {
            return;
        }
        transit.counters = None;
        if let Some(remote) = transit.remote {
            let reason = match error.code() {
                ErrorCode::HashMismatch => DropReason::Hash,
                ErrorCode::Decrypt => DropReason::Decrypt,
                _ => DropReason::Middleware,
            };
            let reject = Reject { reason, error };
            let mut work = Work::default();
            self.reject(&reject, transit.message.data(), remote, self.now(), &mut work);
            self.set_timer(&mut *lock(&self.protocol));
            self.act_on(work);
        }
    }

    /// Counts an incoming message that the host has delivered itself as accepted.
    pub fn accept(&self, mut transit: Transit) {
        if self.is_forked() {
            return;
        }
        if transit.counters.take().is_some() {
            add(&self.counters.accepted);
        }
    }

    /// Determines the disposition of the remaining datagrams.
    fn classify(&self, arrivals: &mut Arrivals<'_>, pipeline: &Arc<Pipeline>, now: Now) {
        let (items, from) = (arrivals.items, arrivals.next);
        arrivals.passes.prepare(pipeline, items.len());
        let loopback_only = read(&self.link).as_ref().is_some_and(|link| link.loopback_only());
        let accepts_copies = self.names_sender && !pipeline.has_host_stages();
        let mut sources = lock(&self.sources);
        let mut protocol = None;
        let dispositions = items[from..].iter().map(|arrival| {
            let ip = arrival.remote.address.ip();
            let is_known = || {
                let protocol = protocol.get_or_insert_with(|| lock(&self.protocol));
                protocol.knows(&arrival.remote.address)
            };
            let FirstCopy { by_sender, by_interface } = arrival.first;
            if loopback_only && !ip.is_loopback() {
                Disposition::Drop(DropReason::OffInterface)
            } else if !sources.admit_unless(ip, self.datagrams_per_second, now.mono, is_known) {
                Disposition::Drop(DropReason::TooMany)
            } else if if self.names_sender { by_sender } else { by_interface } {
                Disposition::Accept
            } else if accepts_copies {
                Disposition::AcceptCopy
            } else {
                Disposition::Drop(DropReason::Copy)
            }
        });
        arrivals.passes.dispositions.truncate(from);
        arrivals.passes.dispositions.extend(dispositions);
    }

    #[inline(never)]
    fn log(&self, line: Option<(Level, String)>) {
        if let Some((level, text)) = line {
            log::log!(target: LOG, level, "{}: {text}", self.name);
        }
    }

    #[inline(never)]
    fn reject(&self, reject: &Reject, data: &[u8], remote: Remote, now: Now, work: &mut Work) {
        let (name, size, from) = (&self.name, data.len(), remote.address);
        trace!(target: LOG, "{name}: turned {size} bytes from {from} away: {}", reject.error);
        let mut protocol = lock(&self.protocol);
        protocol.rejected(reject.reason, data, &remote, now);
        collect(&self.events, &mut *protocol, work);
        drop(protocol);
        self.counters.count_drop(reject.reason);
        if self.watch_rejects.load(Ordering::Relaxed) {
            let event = Event::Reject { error: reject.error.clone(), remote };
            work.wake |= self.events.push(event);
        }
    }

    /// Ends an input to the protocol, under its lock: takes the outputs and sets the timer. The caller
    /// acts on them after it.
    #[inline(never)]
    fn end_input(&self, protocol: &mut dyn Protocol) -> Work {
        let mut work = Work::default();
        collect(&self.events, protocol, &mut work);
        self.set_timer(protocol);
        work
    }

    /// Under the lock of the protocol, so that an older value never replaces a newer one.
    fn set_timer(&self, protocol: &mut dyn Protocol) {
        if let Some(link) = &*read(&self.link) {
            let due = protocol.poll_timeout();
            link.set_due(if self.is_leaving() { self.leave_due(due) } else { due });
        }
    }

    #[inline]
    fn act_on(&self, work: Work) {
        let wake = work.wake;
        if !work.lines.is_empty() || !work.transmits.is_empty() {
            self.log_and_transmit(work);
        }
        if wake {
            self.events.wake();
        }
    }

    #[inline(never)]
    fn log_and_transmit(&self, work: Work) {
        for line in work.lines {
            self.log(Some(line));
        }
        for (message, to) in work.transmits {
            self.transmit_own(message, to);
        }
    }

    fn set_interfaces(&self, addresses: &[IpAddr], count: Option<usize>) {
        self.follow_limits();
        let joined = self.link().map(|link| link.joined());
        let mut protocol = lock(&self.protocol);
        protocol.set_joined(joined.unwrap_or_default());
        protocol.interfaces(addresses, count, self.now());
        let work = self.end_input(&mut *protocol);
        drop(protocol);
        self.act_on(work);
    }

    fn run_timers(&self, behind: bool) {
        if self.is_leaving() {
            self.continue_leave();
        }
        self.events.set_owed_signal();
        let refused = lock(&self.port_probes).refused();
        let mut protocol = lock(&self.protocol);
        let now = self.now();
        refused.into_iter().for_each(|port| protocol.refused(port, now));
        protocol.handle_timeout(now, behind);
        let work = self.end_input(&mut *protocol);
        drop(protocol);
        self.act_on(work);
    }

    fn push_error(&self, error: Error) {
        self.push_notice(Event::Error(error));
    }

    pub fn push_hint(&self, hint: &Hint) {
        self.push_notice(Event::Hint(hint.text().into()));
    }

    fn push_notice(&self, event: Event) {
        self.log(describe(&event));
        if self.events.push(event) {
            self.events.wake();
        }
    }

    /// Sends a message of the core itself. A failure is an event, once until a message has been sent to the
    /// group: errors of unicast are none.
    #[inline(never)]
    fn transmit_own(&self, message: Message, to: Destination) {
        let Some(link) = self.link() else { return };
        let is_to_group =
            matches!(to, Destination::Group | Destination::Everybody | Destination::Data);
        let sent = match self.pass_on(&*link, message, to) {
            Ok(Progress::Host(transit)) => Ok(self.events.push(Event::HostStage(transit))),
            Ok(Progress::Done(_)) => Ok(false),
            Err(error) => Err(error),
        };
        let wake = match sent {
            Ok(wake) => {
                if is_to_group {
                    self.send_failing.store(false, Ordering::Relaxed);
                }
                wake
            }
            Err(error) if !self.send_failing.swap(true, Ordering::Relaxed) => {
                let event = Event::Error(error);
                self.log(describe(&event));
                self.events.push(event)
            }
            Err(_) => false,
        };
        if wake {
            self.events.wake();
        }
    }
}

impl<P: SizedProtocol> Deref for Endpoint<P> {
    type Target = Endpoint<dyn Protocol>;

    fn deref(&self) -> &Self::Target {
        self
    }
}

impl<P: SizedProtocol> Subscriber for Endpoint<P> {
    fn datagrams(&self, arrivals: &mut Arrivals<'_>) {
        self.take_in(arrivals);
    }

    fn undelivered(&self, datagrams: u32) {
        self.counters.undelivered.fetch_add(datagrams.into(), Ordering::Relaxed);
    }

    fn lost(&self, datagrams: u32) {
        self.counters.kernel_drops.fetch_add(datagrams.into(), Ordering::Relaxed);
    }

    fn receive_failed(&self) {
        add(&self.counters.receive_errors);
    }

    fn refused(&self, port: SocketAddr) {
        self.update(|protocol, now| protocol.refused(port, now));
    }

    fn process_ended(&self, port: u16) {
        self.update(|protocol, now| protocol.process_ended(port, now));
    }

    fn host_ports(&self) -> Vec<u16> {
        self.with(P::host_ports)
    }

    fn interfaces(&self, addresses: &[IpAddr], count: Option<usize>) {
        self.set_interfaces(addresses, count);
    }

    fn handle_timeout(&self, behind: bool) {
        self.run_timers(behind);
    }

    fn report(&self, error: Error) {
        self.push_error(error);
    }

    fn hint(&self, hint: &Hint) {
        self.push_hint(hint);
    }
}

/// Takes the outputs of the protocol. Events enter the queue under the lock, in the order of the
/// protocol; sending, waking and logging follow.
#[inline(never)]
fn collect(events: &EventSource, protocol: &mut (impl Protocol + ?Sized), work: &mut Work) {
    let shared = protocol.shared();
    let _in_order = shared.as_ref().map(|shared| shared.in_order());
    while let Some(output) = protocol.poll_output() {
        match output {
            Output::Event(event) => {
                if log_enabled!(target: LOG, Level::Error) {
                    work.lines.extend(describe(&event));
                }
                work.wake |= events.push(event);
            }
            Output::Transmit(message, to) => work.transmits.push((message, to)),
        }
    }
}

/// Acts on the outputs on drop, so that a panic loses none.
struct Finish<'a, P: SizedProtocol> {
    endpoint: &'a Endpoint<P>,
    work: Work,
}

impl<P: SizedProtocol> Drop for Finish<'_, P> {
    fn drop(&mut self) {
        let work = std::mem::take(&mut self.work);
        self.endpoint.set_timer(&mut *lock(&self.endpoint.protocol));
        self.endpoint.act_on(work);
    }
}

/// Counts a datagram that makes the thread panic.
struct CountIfPanicking<'a>(&'a Counters);

impl Drop for CountIfPanicking<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.count_drop(DropReason::Fault);
        }
    }
}

/// The log record of an event.
#[inline(never)]
fn describe(event: &Event) -> Option<(Level, String)> {
    let (level, text) = match event {
        Event::Up(peer) => {
            (Level::Debug, format!("{} is up at {}", peer.id, peer.scoped_address()))
        }
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

/// Converts a message to its bytes on the wire. A JSON string is sent as its text if there is no json
/// stage, as the original does.
fn to_wire_form(message: &mut Message) -> Result<()> {
    if message.kind() == MessageKind::Json {
        let Ok(text) = message.parse::<JsText>() else {
            let text = "only bytes and text can be sent without the middleware json";
            return Err(Error::new(ErrorCode::Middleware, text));
        };
        message.set_bytes(text.to_utf8());
    }
    match message.data().len() {
        size if size > socket::MAX_DATAGRAM => Err(socket::too_large(size)),
        _ => Ok(()),
    }
}
