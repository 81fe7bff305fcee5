//! One socket and one thread for all endpoints of this process that want the same network.
//!
//! A hub lives as long as somebody subscribes to it. Every datagram goes to every subscriber, and
//! the thread sleeps until the first of their timers. A subscriber is called by one thread at a
//! time, outside of all locks, and no longer once [`Link::leave`] has returned.

use super::socket;
use super::{clock, lock};
use crate::error::{Error, ErrorCode, Result};
use crate::message::{Message, Remote};
use crate::options::TransportConfig;
use mio::{Events, Interest, Poll, Token};
use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How many datagrams are taken from the socket before timers are looked at again.
const BURST: usize = 64;

/// How many panics in [`RESTART_WINDOW`] are survived before what panics is given up.
const MAX_RESTARTS: usize = 3;
const RESTART_WINDOW: Duration = Duration::from_secs(60);

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

/// No timer: never due.
const NEVER: u64 = u64::MAX;
/// What the thread sleeps until while it does not sleep.
const AWAKE: u64 = 0;

thread_local! {
    /// Set on the threads of this crate: they must not wait for themselves.
    static ON_CORE_THREAD: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Who wants the datagrams of a hub. Called on the hub's thread only.
pub(super) trait Subscriber: Send + Sync {
    /// A datagram from the wire. `scratch` is for its message, to be used again.
    fn datagram(&self, data: &[u8], scratch: &mut Message, remote: Remote);
    /// The time that was given to [`Link::set_due`] has come.
    fn handle_timeout(&self);
    /// Something went wrong that the program should hear of.
    fn report(&self, error: Error);
}

/// The hubs of this process.
static HUBS: Mutex<Vec<Weak<Hub>>> = Mutex::new(Vec::new());

/// A socket with a thread.
struct Hub {
    config: TransportConfig,
    /// A child after `fork` has the hubs of its parent, but not their threads.
    process: u32,
    socket: mio::net::UdpSocket,
    waker: mio::Waker,
    stop: AtomicBool,
    /// Until when the thread sleeps, in nanoseconds.
    sleeps_until: AtomicU64,
    subscriptions: Mutex<Arc<Vec<Arc<Subscription>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a subscriber holds while it is connected: its way to send.
pub(super) struct Link {
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

#[derive(Default)]
struct Panics(Vec<Duration>);

impl Panics {
    /// Notes one, and says whether it is one too many.
    fn too_many(&mut self) -> bool {
        let now = clock::monotonic();
        self.0.retain(|&at| now - at < RESTART_WINDOW);
        self.0.push(now);
        self.0.len() > MAX_RESTARTS
    }
}

/// Connects to the hub for this network, which is opened if there is none. Nothing is delivered
/// before [`Link::subscribe`].
pub(super) fn connect(config: &TransportConfig) -> Result<Link> {
    let mut hubs = lock(&HUBS);
    hubs.retain(|hub| hub.strong_count() > 0);
    let process = std::process::id();
    let wanted = |hub: &Arc<Hub>| {
        hub.process == process && hub.config == *config && !hub.stop.load(Ordering::Acquire)
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
    Ok(Link { hub, subscription })
}

impl Link {
    /// From now on the subscriber is called.
    pub fn subscribe(&self, subscriber: Arc<dyn Subscriber>) {
        lock(&self.subscription.slot).subscriber = Some(subscriber);
    }

    /// Says when the subscriber's next timer is due.
    pub fn set_due(&self, due: Option<Duration>) {
        let due = due.map_or(NEVER, as_nanos);
        self.subscription.due.store(due, Ordering::SeqCst);
        if due < self.hub.sleeps_until.load(Ordering::SeqCst) {
            // If waking fails the timer is late.
            let _ = self.hub.waker.wake();
        }
    }

    /// The subscriber is not called any more when this returns, and if it was the last one the
    /// thread has ended. It can send for as long as it has the link. Not waited for on a thread of
    /// this crate.
    pub fn leave(&self) {
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
        let wait = !ON_CORE_THREAD.get() && hub.process == std::process::id();
        if last {
            // If waking fails the thread ends at its next timer.
            let _ = hub.waker.wake();
            if let Some(handle) = lock(&hub.thread).take()
                && wait
            {
                // A panic of the thread was reported when it happened.
                let _ = handle.join();
            }
        }
        self.subscription.leave(wait);
    }

    /// Sends to the group.
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.hub.socket.send_to(data, self.group())
    }

    /// Sends to one host.
    pub fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.hub.socket.send_to(data, to)
    }

    pub fn group(&self) -> SocketAddr {
        SocketAddr::new(self.hub.config.multicast, self.hub.config.port)
    }

    /// Whether what comes from other hosts is not for this hub.
    pub fn loopback_only(&self) -> bool {
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
        let mut socket = mio::net::UdpSocket::from_std(socket::open(config)?);
        poll.registry().register(&mut socket, SOCKET, Interest::READABLE).map_err(failed)?;
        let hub = Arc::new(Self {
            config: config.clone(),
            process: std::process::id(),
            socket,
            waker: mio::Waker::new(poll.registry(), WAKER).map_err(failed)?,
            stop: AtomicBool::new(false),
            sleeps_until: AWAKE.into(),
            subscriptions: Mutex::default(),
            thread: Mutex::default(),
        });
        let inner = hub.clone();
        let spawned = thread::Builder::new().name("caster".into()).spawn(move || {
            ON_CORE_THREAD.set(true);
            inner.run_contained(&mut Reader::new(poll));
        });
        match spawned {
            Ok(handle) => *lock(&hub.thread) = Some(handle),
            Err(error) => return Err(Error::io(&error, "clone", "cannot start a thread")),
        }
        Ok(hub)
    }

    fn subscriptions(&self) -> Arc<Vec<Arc<Subscription>>> {
        lock(&self.subscriptions).clone()
    }

    /// The thread. Faults of the hub itself are reported to all; it goes on with everything that
    /// it knew, but not without end.
    fn run_contained(&self, reader: &mut Reader) {
        let mut panics = Panics::default();
        loop {
            let run = AssertUnwindSafe(|| self.run(reader));
            let Err(panic) = panic::catch_unwind(run) else { return };
            let given_up = panics.too_many();
            for subscription in self.subscriptions().iter() {
                subscription.call(|subscriber| subscriber.report(fault(&*panic, given_up)));
            }
            if given_up {
                return;
            }
        }
    }

    fn run(&self, reader: &mut Reader) {
        let mut events = Events::with_capacity(8);
        let mut readable = true;
        while !self.stop.load(Ordering::Acquire) {
            // The socket comes before the timers: nobody is judged while their word waits here.
            readable = readable && self.receive_burst(reader);
            if !readable {
                self.handle_timeouts();
            }
            let timeout = match readable {
                true => Some(Duration::ZERO),
                false => self.fall_asleep(),
            };
            let woken = reader.poll.poll(&mut events, timeout);
            self.sleeps_until.store(AWAKE, Ordering::SeqCst);
            match woken {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    panic!("cannot wait for the socket: {error}")
                }
                _ => readable |= events.iter().any(|event| event.token() == SOCKET),
            }
        }
    }

    fn handle_timeouts(&self) {
        let now = as_nanos(clock::monotonic());
        for subscription in self.subscriptions().iter() {
            if subscription.due.load(Ordering::SeqCst) <= now {
                // The subscriber says anew when it is due.
                subscription.due.store(NEVER, Ordering::SeqCst);
                subscription.call(|subscriber| subscriber.handle_timeout());
            }
        }
    }

    /// How long the thread may sleep. Whoever gets an earlier timer after this wakes it.
    fn fall_asleep(&self) -> Option<Duration> {
        let first = || {
            let subscriptions = self.subscriptions();
            let dues = subscriptions.iter().map(|it| it.due.load(Ordering::SeqCst));
            dues.min().unwrap_or(NEVER)
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

    /// Takes some datagrams from the socket; false when there are no more.
    fn receive_burst(&self, reader: &mut Reader) -> bool {
        for _ in 0..BURST {
            match self.socket.recv_from(&mut reader.buffer) {
                Ok((size, address)) => {
                    let remote = Remote { address, size };
                    let (data, scratch) = (&reader.buffer[..size], &mut reader.scratch);
                    // Asked now: who has just come must not miss the answers to its first word.
                    for subscription in self.subscriptions().iter() {
                        subscription.call(|subscriber| subscriber.datagram(data, scratch, remote));
                    }
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

/// What the thread has for itself.
struct Reader {
    poll: Poll,
    buffer: Box<[u8]>,
    scratch: Message,
}

impl Reader {
    fn new(poll: Poll) -> Self {
        let buffer = vec![0; u16::MAX as usize].into();
        Self { poll, buffer, scratch: Message::bytes(Vec::new()) }
    }
}

fn as_nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

fn fault(panic: &(dyn Any + Send), given_up: bool) -> Error {
    let what = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or_default();
    let outcome = if given_up { "it has stopped" } else { "it goes on" };
    Error::new(ErrorCode::Internal, format!("a fault inside caster ({what}); {outcome}"))
}
