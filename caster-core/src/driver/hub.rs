//! One socket and one thread for all endpoints of this process that want the same network.
//!
//! A hub lives as long as somebody subscribes to it. Every datagram goes to every subscriber, and
//! the thread sleeps until the first of their timers. A subscriber is called by one thread at a
//! time, outside of all locks but the one of whoever receives, and no longer once [`Link::leave`]
//! has returned.
//!
//! A thread of the program that waits for an event of the only subscriber receives itself for as
//! long as it waits, in place of the hub's thread: one thread is woken by a datagram then, not two.
//! If it does not come back soon after it has got its event, the hub's thread takes over again. An
//! event loop, which must not wait here, does the same a turn at a time.

use super::arrivals::{Arrival, Arrivals, Walks};
use super::clock;
use super::coalesce::Pace;
use super::dedup::{Copies, Novelty};
use super::fork::Process;
use super::link::{Link, Network, Subscriber, Turn};
use super::socket::{Channel, Memberships, Sockets};
use super::sys::batch::Batch;
use super::sys::calls;
#[cfg(target_os = "linux")]
use super::sys::netlink::Watch;
use super::thread::{LOG, Panics, fault, lock, on_core_thread, set_core_thread, spawn};
use super::transmit::{Packets, Received, Sent};
use crate::error::{Error, Result};
use crate::message::Remote;
use crate::options::TransportConfig;
use crate::protocol::time::Now;
use log::debug;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::net::{IpAddr, SocketAddr};
#[cfg(unix)]
use std::os::fd::{AsRawFd, RawFd};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, TryLockError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How many buffers are filled from the socket before timers are looked at again.
const BURST: usize = 64;

/// How many datagrams are handed on together at the most.
const TOGETHER: usize = 128;

/// How late a timer is at the most while there is always more to receive.
const MAX_LATE: Duration = Duration::from_millis(100);

/// For how long that there is more to receive is a reason to judge nobody: whoever floods the port
/// must not be able to keep the dead alive.
const MAX_BEHIND: Duration = Duration::from_secs(10);

/// For how long nobody receives after a thread of the program that did so has got its event: it is
/// likely to come back at once.
const LEASE: Duration = Duration::from_millis(2);

/// For how many leases the thread looks whether the program has come back, before it sleeps.
const ROUNDS: u32 = 10;

const READ: Interest = Interest::READABLE;
const WAKER: Token = Token(0);
const SOCKET4: Token = Token(1);
const SOCKET6: Token = Token(2);
#[cfg(target_os = "linux")]
const WATCH: Token = Token(3);

/// How often interfaces are looked at even if the system says nothing of a change.
const RESCAN: Duration = Duration::from_secs(30);
/// The same while one of them cannot be joined.
const RETRY: Duration = Duration::from_secs(5);
/// The same where the system says nothing at all.
const RESCAN_BLIND: Duration = Duration::from_millis(1500);
/// How long after the news of a change they are looked at: changes come in swarms.
const SETTLE: Duration = Duration::from_millis(50);

/// How often an event loop that receives looks for other news than datagrams.
const NEWS: Duration = Duration::from_millis(20);

/// No timer: never due.
const NEVER: u64 = u64::MAX;
/// What the thread sleeps until while it does not sleep.
const AWAKE: u64 = 0;

/// The hubs of this process.
static HUBS: Mutex<Vec<Weak<Hub>>> = Mutex::new(Vec::new());

/// Sockets with a thread.
struct Hub {
    config: TransportConfig,
    /// A child after `fork` has the hubs of its parent, but not their threads.
    process: Process,
    sockets: Sockets,
    waker: mio::Waker,
    stop: AtomicBool,
    /// Given up after too many panics.
    dead: AtomicBool,
    /// Held by whoever receives just now: the thread, or a thread of the program that waits.
    reader: Mutex<Reader>,
    /// The addresses of this host.
    addresses: RwLock<Vec<IpAddr>>,
    /// Held by a thread of the program that receives in place of the thread.
    gate: Arc<Mutex<()>>,
    /// Until when the thread leaves receiving to the program, in nanoseconds.
    lease: AtomicU64,
    /// Whether the thread sleeps until it is told that the lease is about to end.
    asleep: AtomicBool,
    /// Until when the thread sleeps, in nanoseconds.
    sleeps_until: AtomicU64,
    /// Whether the thread naps before it reads.
    napping: AtomicBool,
    /// When an event loop has last asked for the lease, in nanoseconds.
    asked: AtomicU64,
    subscriptions: Mutex<Arc<Vec<Arc<Subscription>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a subscriber holds while it is connected: its way to send.
struct HubLink {
    hub: Arc<Hub>,
    subscription: Arc<Subscription>,
}

#[derive(Default)]
struct Subscription {
    slot: Mutex<Slot>,
    idle: Condvar,
    /// When its next timer is due, in nanoseconds.
    due: AtomicU64,
}

#[derive(Default)]
struct Slot {
    /// Taken out for the time of a call.
    subscriber: Option<Arc<dyn Subscriber>>,
    busy: bool,
    left: bool,
    panics: Panics,
}

/// The networks of this host.
pub(crate) fn network() -> Arc<dyn Network> {
    Arc::new(System)
}

struct System;

impl Network for System {
    fn open(&self, config: &TransportConfig) -> Result<Arc<dyn Link>> {
        connect(config)
    }

    fn now(&self) -> Now {
        clock::now()
    }

    fn wait_for(&self, timeout: Option<Duration>, done: &mut dyn FnMut(Option<Duration>) -> bool) {
        done(timeout);
    }

    fn is_virtual(&self) -> bool {
        false
    }
}

/// Connects to the hub for this network, which is opened if there is none. Nothing is delivered
/// before [`Link::subscribe`].
fn connect(config: &TransportConfig) -> Result<Arc<dyn Link>> {
    let mut hubs = lock(&HUBS);
    hubs.retain(|hub| hub.strong_count() > 0);
    let wanted = |hub: &Arc<Hub>| {
        !hub.process.is_forked() && hub.config == *config && !hub.stop.load(Ordering::Acquire)
    };
    let hub = match hubs.iter().filter_map(Weak::upgrade).find(wanted) {
        Some(hub) => hub,
        None => {
            let hub = Hub::open(config)?;
            hubs.push(Arc::downgrade(&hub));
            hub
        }
    };
    let subscription = Arc::new(Subscription { due: NEVER.into(), ..Default::default() });
    let mut subscriptions = lock(&hub.subscriptions);
    let mut more = subscriptions.to_vec();
    more.push(subscription.clone());
    *subscriptions = Arc::new(more);
    drop(subscriptions);
    Ok(Arc::new(HubLink { hub, subscription }))
}

impl Link for HubLink {
    fn subscribe(&self, subscriber: Arc<dyn Subscriber>) {
        lock(&self.subscription.slot).subscriber = Some(subscriber);
    }

    fn set_due(&self, due: Option<Duration>) {
        let due = due.map_or(NEVER, as_nanos);
        self.subscription.due.store(due, Ordering::SeqCst);
        if due < self.hub.sleeps_until.load(Ordering::SeqCst) {
            // If waking fails the timer is late.
            let _ = self.hub.waker.wake();
        }
    }

    /// If it was the last one the thread has ended. Not waited for on a thread of this crate.
    fn leave(&self) {
        let hub = &self.hub;
        let mut hubs = lock(&HUBS);
        let mut subscriptions = lock(&hub.subscriptions);
        let mut rest = subscriptions.to_vec();
        rest.retain(|other| !Arc::ptr_eq(other, &self.subscription));
        let last = rest.is_empty();
        *subscriptions = Arc::new(rest);
        drop(subscriptions);
        if last {
            hub.stop.store(true, Ordering::Release);
            hubs.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(hub)));
        }
        drop(hubs);
        let wait = !on_core_thread() && !hub.process.is_forked();
        if last {
            // If waking fails the thread ends at its next timer.
            let _ = hub.waker.wake();
            hub.unpark();
            if wait {
                drop(lock(&hub.gate));
            }
            if let Some(handle) = lock(&hub.thread).take()
                && wait
            {
                // A panic of the thread was reported when it happened.
                let _ = handle.join();
            }
        }
        self.subscription.leave(wait);
    }

    fn send(&self, packets: Packets<'_>) -> Sent {
        self.hub.sockets.send(packets)
    }

    fn receive_buffer(&self) -> u64 {
        self.hub.sockets.receive_buffer()
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.hub.addresses.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn send_to(&self, packets: Packets<'_>, to: &[SocketAddr]) -> Sent {
        self.hub.sockets.send_to(packets, to)
    }

    fn gate(&self) -> Option<Arc<Mutex<()>>> {
        Some(self.hub.gate.clone())
    }

    fn help(&self, until: Option<Duration>, ready: &dyn Fn() -> bool) -> bool {
        self.hub.help(until, ready)
    }

    fn interrupt(&self) {
        if !on_core_thread() {
            // If waking fails the program hears of it at the next timer.
            let _ = self.hub.waker.wake();
        }
    }

    fn lease(&self) -> bool {
        self.hub.lease()
    }

    fn take_turn(&self, ready: &dyn Fn() -> bool) -> Turn {
        self.hub.take_turn(ready)
    }

    #[cfg(unix)]
    fn turn_fd(&self) -> Option<RawFd> {
        self.hub.only_channel().map(|channel| channel.socket.as_raw_fd())
    }

    fn group(&self) -> SocketAddr {
        SocketAddr::new(self.hub.config.multicast, self.hub.config.port)
    }

    fn loopback_only(&self) -> bool {
        self.hub.config.address.is_loopback()
    }
}

impl Subscription {
    /// Calls the subscriber, unless it has left. What panics is reported to it; it is called
    /// again, but not without end.
    fn call(&self, work: impl FnOnce(&dyn Subscriber)) {
        let subscriber = {
            let mut slot = lock(&self.slot);
            let Some(subscriber) = slot.subscriber.take() else { return };
            slot.busy = true;
            subscriber
        };
        let given_up = match panic::catch_unwind(AssertUnwindSafe(|| work(&*subscriber))) {
            Ok(()) => false,
            Err(panic) => {
                let given_up = lock(&self.slot).panics.too_many();
                subscriber.report(fault(&*panic, given_up));
                given_up
            }
        };
        if given_up {
            self.due.store(NEVER, Ordering::SeqCst);
        }
        let mut slot = lock(&self.slot);
        slot.busy = false;
        if !slot.left && !given_up {
            slot.subscriber = Some(subscriber);
        }
        let left = slot.left;
        drop(slot);
        if left {
            self.idle.notify_all();
        }
    }

    fn leave(&self, wait: bool) {
        let mut slot = lock(&self.slot);
        slot.left = true;
        while wait && slot.busy {
            slot = self.idle.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
        let subscriber = slot.subscriber.take();
        drop(slot);
        drop(subscriber);
    }
}

impl Hub {
    fn open(config: &TransportConfig) -> Result<Arc<Self>> {
        let failed = |error| Error::io(&error, "poll", "cannot wait for the socket");
        let poll = Poll::new().map_err(failed)?;
        let mut sockets = Sockets::open(config)?;
        let channels = sockets.v4.iter_mut().map(|it| (it, SOCKET4));
        for (channel, token) in channels.chain(sockets.v6.iter_mut().map(|it| (it, SOCKET6))) {
            let registered = poll.registry().register(&mut channel.socket, token, READ);
            registered.map_err(failed)?;
        }
        let mut reader = Reader::new(poll, config);
        reader.start(&sockets)?;
        let hub = Arc::new(Self {
            config: config.clone(),
            process: Process::current(),
            sockets,
            waker: mio::Waker::new(reader.poll.registry(), WAKER).map_err(failed)?,
            stop: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            addresses: RwLock::new(reader.addresses.clone()),
            reader: Mutex::new(reader),
            gate: Arc::default(),
            lease: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            sleeps_until: AWAKE.into(),
            napping: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            subscriptions: Mutex::default(),
            thread: Mutex::default(),
        });
        let inner = hub.clone();
        let run = Box::new(move || {
            set_core_thread(true);
            inner.run();
        });
        match spawn("caster", run) {
            Ok(handle) => *lock(&hub.thread) = Some(handle),
            Err(error) => return Err(Error::io(&error, "clone", "cannot start a thread")),
        }
        Ok(hub)
    }

    fn subscriptions(&self) -> Arc<Vec<Arc<Subscription>>> {
        lock(&self.subscriptions).clone()
    }

    /// The thread: receives, unless a thread of the program that waits does so.
    fn run(&self) {
        let mut rounds = 0;
        while !self.is_over() {
            let lease = self.lease.load(Ordering::SeqCst);
            let now = clock::monotonic();
            if lease == NEVER {
                rounds += 1;
                if rounds > ROUNDS {
                    self.sleep_while_helped();
                } else {
                    thread::park_timeout(LEASE);
                }
            } else if lease > as_nanos(now) {
                thread::park_timeout(Duration::from_nanos(lease).saturating_sub(now));
            } else {
                rounds = 0;
                self.turn_contained(&mut lock(&self.reader), Patience::Until(None));
            }
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.dead.load(Ordering::SeqCst)
    }

    fn sleep_while_helped(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        if self.lease.load(Ordering::SeqCst) == NEVER && !self.is_over() {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    fn unpark(&self) {
        if let Some(thread) = &*lock(&self.thread) {
            thread.thread().unpark();
        }
    }

    /// Receives on this thread, a thread of the program that waits: it is spared being woken by
    /// another. Until there is something for it, or until then. False if that is not possible.
    fn help(&self, until: Option<Duration>, ready: &dyn Fn() -> bool) -> bool {
        let is_alone = || self.subscriptions().len() == 1;
        if !self.can_be_helped() {
            return false;
        }
        self.lease.store(NEVER, Ordering::SeqCst);
        let mut reader = match self.reader.try_lock() {
            Ok(reader) => reader,
            Err(TryLockError::Poisoned(reader)) => reader.into_inner(),
            Err(TryLockError::WouldBlock) => {
                // If waking fails the thread comes back at its next timer.
                let _ = self.waker.wake();
                lock(&self.reader)
            }
        };
        set_core_thread(true);
        let in_time = || until.is_none_or(|until| clock::monotonic() < until);
        while !ready() && !self.is_over() && in_time() && is_alone() {
            self.turn_contained(&mut reader, Patience::Until(until));
        }
        set_core_thread(false);
        drop(reader);
        self.lease.store(as_nanos(clock::monotonic() + LEASE), Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.unpark();
        }
        true
    }

    /// An event loop can watch one socket.
    fn only_channel(&self) -> Option<&Channel> {
        match (&self.sockets.v4, &self.sockets.v6) {
            (Some(only), None) | (None, Some(only)) => Some(only),
            _ => None,
        }
    }

    fn can_be_helped(&self) -> bool {
        !on_core_thread()
            && !self.is_over()
            && !self.process.is_forked()
            && self.subscriptions().len() == 1
    }

    /// Leaves receiving to an event loop for a moment, if that has asked a moment ago as well: events
    /// come thick. Not while naps pay, nor if it is to spin: that is for the thread.
    fn lease(&self) -> bool {
        let now = clock::monotonic();
        let before = self.asked.swap(as_nanos(now), Ordering::SeqCst);
        let leased = as_nanos(now) < before.saturating_add(LEASE.as_nanos() as u64)
            && !self.napping.load(Ordering::SeqCst)
            && self.config.spin.is_zero()
            && self.only_channel().is_some()
            && self.can_be_helped();
        if leased {
            self.lease.store(as_nanos(now + LEASE), Ordering::SeqCst);
        }
        leased
    }

    /// Receives what waits, unless `ready`, on the thread of an event loop that has the lease. What
    /// is `ready` then prolongs it.
    fn take_turn(&self, ready: &dyn Fn() -> bool) -> Turn {
        let has_lease = || self.lease.load(Ordering::SeqCst) > as_nanos(clock::monotonic());
        if !has_lease() || !self.can_be_helped() {
            return Turn::Refused;
        }
        if ready() {
            return Turn::More;
        }
        let mut reader = match self.reader.try_lock() {
            Ok(reader) => reader,
            Err(TryLockError::Poisoned(reader)) => reader.into_inner(),
            // The thread does it, for the last time.
            Err(TryLockError::WouldBlock) => return Turn::Done,
        };
        set_core_thread(true);
        self.turn_contained(&mut reader, Patience::None);
        set_core_thread(false);
        let (more, nap) = (reader.readable.contains(&true), reader.nap.is_some());
        drop(reader);
        if nap {
            self.lease.store(0, Ordering::SeqCst);
            self.unpark();
            return Turn::Refused;
        }
        if ready() {
            self.lease.store(as_nanos(clock::monotonic() + LEASE), Ordering::SeqCst);
        }
        if more { Turn::More } else { Turn::Done }
    }

    /// Faults of the hub itself are reported to all; it goes on with everything that it knew, but
    /// not without end.
    fn turn_contained(&self, reader: &mut Reader, patience: Patience) {
        let turn = AssertUnwindSafe(|| self.turn(&mut *reader, patience));
        let Err(panic) = panic::catch_unwind(turn) else { return };
        // What is new may have been forgotten in the panic.
        reader.readable = [true, true];
        let given_up = reader.panics.too_many();
        for subscription in self.subscriptions().iter() {
            subscription.call(|subscriber| subscriber.report(fault(&*panic, given_up)));
        }
        self.dead.store(given_up, Ordering::SeqCst);
    }

    /// Waits until there is something to receive or to do, if it has the patience; receives it and
    /// does it.
    fn turn(&self, reader: &mut Reader, patience: Patience) {
        let more = reader.readable.contains(&true);
        match patience {
            Patience::Until(until) => {
                let nap = reader.nap.take();
                let nap = nap.or_else(|| reader.pace.nap_at_once().filter(|_| !more));
                reader.napped = nap.is_some_and(pause);
                let spins =
                    !more && !self.config.spin.is_zero() && clock::monotonic() < reader.spins_until;
                let timeout = match more || reader.napped || spins {
                    true => Some(Duration::ZERO),
                    false => {
                        let own = [reader.rescan_at, until].into_iter().flatten().min();
                        self.fall_asleep(own)
                    }
                };
                self.wait(reader, timeout);
                match (reader.readable.contains(&true), reader.napped) {
                    (true, false) if !more => {
                        reader.napped = reader.pace.woken(clock::monotonic()).is_some_and(pause);
                    }
                    (false, true) => reader.pace.found(0, clock::monotonic()),
                    _ => {}
                }
            }
            // The event loop knows that the socket is readable; other news may wait.
            Patience::None => {
                let now = clock::monotonic();
                if now >= reader.news_at {
                    self.wait(reader, Some(Duration::ZERO));
                    reader.news_at = now + NEWS;
                }
                reader.readable = [self.sockets.v4.is_some(), self.sockets.v6.is_some()];
                if !more {
                    reader.nap = reader.pace.woken(now);
                    if reader.nap.is_some() {
                        return;
                    }
                }
            }
        }
        // The socket comes before the timers: nobody is judged while their word waits here. But not
        // for long, or a flood would keep this node from beating.
        for (at, channel) in [&self.sockets.v4, &self.sockets.v6].into_iter().enumerate() {
            reader.readable[at] = match channel {
                Some(channel) if reader.readable[at] => {
                    self.receive_burst(channel, reader, patience.burst())
                }
                _ => false,
            };
        }
        self.follow_interfaces(reader);
        let more = reader.readable.contains(&true);
        if !more {
            reader.drained_at = clock::monotonic();
        }
        self.handle_timeouts(more, reader.drained_at);
        self.napping.store(reader.pace.nap_at_once().is_some(), Ordering::SeqCst);
    }

    /// Waits for something to receive or to do, and takes in what it is.
    fn wait(&self, reader: &mut Reader, timeout: Option<Duration>) {
        let woken = reader.poll.poll(&mut reader.events, timeout);
        self.sleeps_until.store(AWAKE, Ordering::SeqCst);
        if let Err(error) = woken
            && error.kind() != io::ErrorKind::Interrupted
        {
            panic!("cannot wait for the socket: {error}")
        }
        self.take_news(reader);
    }

    /// Takes in what the system has woken this thread for.
    fn take_news(&self, reader: &mut Reader) {
        #[cfg(target_os = "linux")]
        let mut changed = false;
        for event in &reader.events {
            if event.is_error() {
                let v4 = event.token() == SOCKET4;
                let channel = if v4 { &self.sockets.v4 } else { &self.sockets.v6 };
                channel.iter().for_each(|channel| self.take_undelivered(channel));
            }
            match event.token() {
                SOCKET4 => reader.readable[0] = true,
                SOCKET6 => reader.readable[1] = true,
                #[cfg(target_os = "linux")]
                WATCH => changed = true,
                _ => {}
            }
        }
        #[cfg(target_os = "linux")]
        if changed {
            reader.read_news();
        }
    }

    /// Looks at the interfaces if that is due.
    fn follow_interfaces(&self, reader: &mut Reader) {
        let now = clock::monotonic();
        if reader.rescan_at.is_none_or(|due| due > now) {
            return;
        }
        let before = std::mem::take(&mut reader.addresses);
        let errors = reader.rescan(&self.sockets, now, before.clone());
        let links = reader.memberships.links();
        let changed = std::mem::replace(&mut reader.links, links) != links;
        let moved = before != reader.addresses;
        if moved {
            let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
            addresses.clone_from(&reader.addresses);
        }
        if changed {
            debug!(target: LOG, "{} interfaces beyond the loopback interface", links);
        }
        for subscription in self.subscriptions().iter() {
            for error in &errors {
                subscription.call(|subscriber| subscriber.report(error.clone()));
            }
            if changed || moved {
                subscription.call(|subscriber| subscriber.interfaces(&reader.addresses, links));
            }
        }
    }

    /// Handles the timers that are due; while there is more to receive, those that are overdue.
    fn handle_timeouts(&self, more: bool, drained_at: Duration) {
        let now = clock::monotonic();
        let overdue = if more { MAX_LATE } else { Duration::ZERO };
        let due = as_nanos(now.saturating_sub(overdue));
        let behind = more && now < drained_at + MAX_BEHIND;
        for subscription in self.subscriptions().iter() {
            if subscription.due.load(Ordering::SeqCst) <= due {
                // The subscriber says anew when it is due.
                subscription.due.store(NEVER, Ordering::SeqCst);
                subscription.call(|subscriber| subscriber.handle_timeout(behind));
            }
        }
    }

    /// How long the thread may sleep. Whoever gets an earlier timer after this wakes it.
    fn fall_asleep(&self, own: Option<Duration>) -> Option<Duration> {
        let own = own.map_or(NEVER, as_nanos);
        let first = || {
            let subscriptions = self.subscriptions();
            let dues = subscriptions.iter().map(|it| it.due.load(Ordering::SeqCst));
            dues.fold(own, u64::min)
        };
        let mut due = first();
        loop {
            self.sleeps_until.store(due, Ordering::SeqCst);
            match first() {
                earlier if earlier < due => due = earlier,
                _ => break,
            }
        }
        let until = (due != NEVER).then(|| Duration::from_nanos(due))?;
        Some(until.saturating_sub(clock::monotonic()))
    }

    /// Takes some datagrams from a socket; false when there are no more.
    fn receive_burst(&self, channel: &Channel, reader: &mut Reader, burst: usize) -> bool {
        let mut datagrams = 0;
        let more = self.receive_some(channel, reader, burst, &mut datagrams);
        if datagrams > 0 && std::mem::take(&mut reader.napped) {
            reader.pace.found(datagrams, clock::monotonic());
        }
        more
    }

    fn receive_some(
        &self,
        channel: &Channel,
        reader: &mut Reader,
        burst: usize,
        datagrams: &mut usize,
    ) -> bool {
        let mut taken = 0;
        while taken < burst {
            match reader.batch.receive(&channel.socket) {
                Ok(count) => {
                    if !self.config.spin.is_zero() {
                        reader.spins_until = clock::monotonic() + self.config.spin;
                    }
                    *datagrams += self.deliver(count, channel, reader);
                    taken += count;
                    if count < reader.batch.capacity() {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if taken == 0 {
                        // An event loop was called for something else.
                        reader.news_at = Duration::ZERO;
                    }
                    return false;
                }
                // An old error of the network that the socket reports late; it is gone once it has
                // been read.
                Err(_) => return true,
            }
        }
        true
    }

    /// Counts what the network has sent back.
    fn take_undelivered(&self, channel: &Channel) {
        let news = (0..BURST).map_while(|_| calls::take_undelivered(&channel.socket).ok());
        let count = news.count() as u32;
        if count > 0 {
            for subscription in self.subscriptions().iter() {
                subscription.call(|subscriber| subscriber.undelivered(count));
            }
        }
    }

    /// Hands on what is in so many buffers of the batch. Returns how many datagrams that is.
    fn deliver(&self, buffers: usize, channel: &Channel, reader: &mut Reader) -> usize {
        // On the loopback interface everything comes by one way.
        let by_several_ways = reader.memberships.can_change();
        let now = clock::monotonic();
        let (mut lost_now, mut datagrams) = (0, 0);
        let mut items = std::mem::take(&mut reader.items);
        for at in 0..buffers {
            let Some(received) = reader.batch.received(at) else { continue };
            let Received { data, each, address, interface, lost } = received;
            let interface = reader.memberships.interface(interface);
            if let Some(lost) = lost {
                let before = &mut reader.lost[usize::from(channel.is_v4())];
                lost_now += lost.wrapping_sub(std::mem::replace(before, lost));
            }
            let mut start = data.start;
            loop {
                let end = data.end.min(start + each);
                let remote = Remote { address, size: end - start, interface };
                let novelty = match by_several_ways {
                    true => reader.copies.note(&reader.batch.data()[start..end], &remote, now),
                    false => Novelty::NEW,
                };
                if address.ip().is_loopback() && novelty.by_sender {
                    self.sockets.hear_on_loopback_only(now);
                }
                items.push(Arrival { data: start..end, remote, novelty });
                datagrams += 1;
                start = end;
                if items.len() == TOGETHER || (start >= data.end && at + 1 == buffers) {
                    self.deliver_items(&items, std::mem::take(&mut lost_now), reader);
                    items.clear();
                }
                if start >= data.end {
                    break;
                }
            }
        }
        reader.items = items;
        datagrams
    }

    fn deliver_items(&self, items: &[Arrival], lost: u32, reader: &mut Reader) {
        let mut arrivals = Arrivals::new(reader.batch.data(), items, &mut reader.walks);
        // Asked now: who has just come must not miss the answers to its first word.
        for subscription in self.subscriptions().iter() {
            if lost > 0 {
                subscription.call(|subscriber| subscriber.lost(lost));
            }
            arrivals.next = 0;
            loop {
                let before = arrivals.next;
                subscription.call(|subscriber| subscriber.datagrams(&mut arrivals));
                if arrivals.next == before || arrivals.next == items.len() {
                    break;
                }
            }
        }
    }
}

/// How long a turn waits when there is nothing to do.
#[derive(Clone, Copy)]
enum Patience {
    /// Until then, or without end.
    Until(Option<Duration>),
    /// Not at all, nor does it take much at once: it is on the thread of an event loop.
    None,
}

impl Patience {
    /// How many buffers it fills at the most.
    fn burst(self) -> usize {
        match self {
            Self::Until(_) => BURST,
            Self::None => 1,
        }
    }
}

/// What the thread has for itself.
struct Reader {
    poll: Poll,
    events: Events,
    /// Which sockets may have more to read.
    readable: [bool; 2],
    panics: Panics,
    batch: Batch,
    /// Reused from one batch to the next.
    items: Vec<Arrival>,
    walks: Walks,
    pace: Pace,
    /// When an event loop looks for other news than datagrams.
    news_at: Duration,
    /// The nap that comes before reading.
    nap: Option<Duration>,
    /// Whether the thread has just napped.
    napped: bool,
    /// Until when more is looked for without sleeping.
    spins_until: Duration,
    /// When there was last nothing more to receive.
    drained_at: Duration,
    copies: Copies,
    memberships: Memberships,
    /// When the interfaces are looked at next; `None` if they do not matter.
    rescan_at: Option<Duration>,
    rescan_every: Duration,
    /// How many links there were the last time.
    links: usize,
    /// The addresses of this host the last time.
    addresses: Vec<IpAddr>,
    /// Interfaces that were gone or without carrier since the last time.
    broken: Vec<u32>,
    /// How many datagrams each socket has lost.
    lost: [u32; 2],
    #[cfg(target_os = "linux")]
    watch: Option<Watch>,
}

impl Reader {
    fn new(poll: Poll, config: &TransportConfig) -> Self {
        Self {
            poll,
            events: Events::with_capacity(8),
            readable: [true, true],
            panics: Panics::default(),
            batch: Batch::new(),
            items: Vec::new(),
            walks: Walks::default(),
            pace: Pace::new(if config.spin.is_zero() { config.coalesce } else { Duration::ZERO }),
            spins_until: Duration::ZERO,
            news_at: Duration::ZERO,
            nap: None,
            napped: false,
            drained_at: clock::monotonic(),
            copies: Copies::new(),
            memberships: Memberships::new(config),
            rescan_at: None,
            rescan_every: RESCAN_BLIND,
            links: 0,
            addresses: Vec::new(),
            broken: Vec::new(),
            lost: [0; 2],
            #[cfg(target_os = "linux")]
            watch: None,
        }
    }

    /// Joins the groups for the first time.
    fn start(&mut self, sockets: &Sockets) -> Result<()> {
        let failed = |error| Error::io(&error, "getifaddrs", "cannot list the interfaces");
        let now = clock::monotonic();
        let follows = self.memberships.can_change();
        #[cfg(target_os = "linux")]
        if follows {
            // Before they are listed, so that no change falls in between. Some sandboxes forbid it.
            self.watch = Watch::new(self.poll.registry(), WATCH).ok();
            if self.watch.is_some() {
                self.rescan_every = RESCAN;
            }
        }
        let found = calls::list().map_err(failed)?;
        self.memberships.start(sockets, &found, now)?;
        self.addresses = addresses_of(&found);
        self.links = self.memberships.links();
        self.rescan_at = follows.then(|| now + self.rescan_every);
        Ok(())
    }

    /// Takes in what the system says about interfaces.
    #[cfg(target_os = "linux")]
    fn read_news(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let news = watch.read();
        self.broken.extend(news.broken);
        if news.any {
            let soon = clock::monotonic() + SETTLE;
            self.rescan_at = self.rescan_at.map(|due| due.min(soon));
        }
    }

    /// Follows the interfaces. Returns what failed.
    fn rescan(&mut self, sockets: &Sockets, now: Duration, before: Vec<IpAddr>) -> Vec<Error> {
        self.addresses = before;
        self.rescan_at = Some(now + self.rescan_every);
        let broken = std::mem::take(&mut self.broken);
        let Ok(found) = calls::list() else { return Vec::new() };
        self.addresses = addresses_of(&found);
        let errors = self.memberships.follow(sockets, &found, &broken, now);
        if self.memberships.is_refused() {
            self.rescan_at = Some(now + self.rescan_every.min(RETRY));
        }
        errors
    }
}

/// All addresses of these interfaces, in order.
fn addresses_of(found: &[super::sys::found::Found]) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> =
        found.iter().filter(|it| it.up).flat_map(|it| it.addresses.iter().copied()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Sleeps; nothing wakes the thread earlier. True, as it has slept.
fn pause(nap: Duration) -> bool {
    clock::pause(nap);
    true
}

fn as_nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}
