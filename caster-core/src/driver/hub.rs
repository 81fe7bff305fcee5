//! One socket and one thread for all endpoints of this process that want the same network.
//!
//! A hub lives as long as it has a subscriber. Every datagram goes to every subscriber, and the
//! thread sleeps until the first of their timers. A subscriber is called by one thread at a time,
//! outside of all locks but the one of the receiving thread, and no longer once [`Link::leave`] has
//! returned.

use super::clock;
use super::fork::{PerProcess, Process};
use super::handover::{Handover, Step};
use super::link::{Link, Network, Notice, Subscriber, Turn};
use super::private_port::PrivateSockets;
use super::reader::{Patience, READ, Reader, SOCKETS, Shared, WAKER};
use super::socket::{Channel, MAX_DATAGRAM, Sockets};
use super::subscription::{NEVER, Subscription, Subscriptions, as_nanos};
use super::sys::calls;
use super::thread::{on_core_thread, set_core_thread, spawn};
use super::transmit::{Packets, Sent};
use crate::error::{Error, Result};
use crate::options::{Range, TransportConfig};
use crate::protocol::time::Now;
use crate::stats::InterfaceStats;
use crate::sync::{lock, read, try_lock};
use mio::Poll;
use std::net::{IpAddr, SocketAddr};
#[cfg(unix)]
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long after a link was closed the filter for own copies stays off: a busy kernel may still have
/// datagrams that it has sent.
const IN_FLIGHT: Duration = Duration::from_secs(1);

/// The hubs of this process.
static HUBS: PerProcess<Vec<Weak<Hub>>> = PerProcess::new();

/// The sockets of one network, with a thread.
struct Hub {
    shared: Shared,
    /// Whether messages leave from the private port and a filter can keep their copies out.
    filters_own: bool,
    /// Whether it does. Held while that changes.
    keeps_own_out: Mutex<bool>,
    /// The number of links. One that has left can still send.
    links: AtomicUsize,
    /// When the filter may be set after a link was closed, in nanoseconds; [`NEVER`] if that is not due.
    own_due: AtomicU64,
    /// Told to every endpoint.
    notices: Vec<Notice>,
    /// A forked child has the hubs of its parent, but not their threads.
    process: Process,
    waker: Arc<mio::Waker>,
    stop: AtomicBool,
    /// Given up after too many panics.
    dead: AtomicBool,
    /// Held by the receiving thread: the thread of the hub, or a program thread that waits.
    reader: Mutex<Reader>,
    handover: Handover,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The link of one subscriber.
struct HubLink {
    hub: Arc<Hub>,
    subscription: Arc<Subscription>,
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

    fn reassembly_failures(&self) -> u64 {
        calls::reassembly_failures()
    }
}

/// Connects to the hub of this network, which is opened if there is none. Nothing is delivered
/// before [`Link::subscribe`].
fn connect(config: &TransportConfig) -> Result<Arc<dyn Link>> {
    let mut hubs = lock(HUBS.get());
    let hub = hub_of(&mut hubs, config)?;
    let subscription = hub.shared.subscriptions.add();
    hub.links.fetch_add(1, Ordering::SeqCst);
    hub.follow_own();
    Ok(Arc::new(HubLink { hub, subscription }))
}

/// The hub of this network, unless it has given up: then another one, as if there were none.
fn hub_of(hubs: &mut Vec<Weak<Hub>>, config: &TransportConfig) -> Result<Arc<Hub>> {
    hubs.retain(|hub| hub.strong_count() > 0);
    let wanted =
        |hub: &Arc<Hub>| !hub.process.is_forked() && !hub.is_over() && hub.shared.config == *config;
    if let Some(hub) = hubs.iter().filter_map(Weak::upgrade).find(wanted) {
        return Ok(hub);
    }
    let hub = Hub::open(config)?;
    hubs.push(Arc::downgrade(&hub));
    Ok(hub)
}

impl Link for HubLink {
    fn subscribe(&self, subscriber: Arc<dyn Subscriber>) {
        self.subscription.subscribe(subscriber);
    }

    fn set_due(&self, due: Option<Duration>) {
        if self.hub.shared.subscriptions.set_due(&self.subscription, due) {
            // If waking fails the timer is late.
            let _ = self.hub.waker.wake();
        }
    }

    /// After the last subscriber has left, the thread has ended when this returns. A thread of this
    /// crate does not wait for that.
    fn leave(&self) {
        let hub = &self.hub;
        let mut hubs = lock(HUBS.get());
        let last = hub.shared.subscriptions.remove(&self.subscription);
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
                drop(lock(hub.handover.leader()));
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
        self.hub.shared.sockets.expect_echo();
        self.hub.shared.sockets.send(packets)
    }

    fn send_message(&self, packets: Packets<'_>) -> Sent {
        self.hub.send_filtered(&self.hub.shared.sockets, packets)
    }

    fn want_own(&self, wants: bool) {
        self.subscription.want_own(wants);
        self.hub.follow_own();
    }

    fn notices(&self) -> Vec<Notice> {
        self.hub.notices.clone()
    }

    fn receive_buffer(&self) -> u64 {
        self.hub.shared.sockets.receive_buffer()
    }

    fn addresses(&self) -> Vec<IpAddr> {
        read(&self.hub.shared.addresses).clone()
    }

    fn joined(&self) -> Vec<IpAddr> {
        self.hub.shared.sockets.joined()
    }

    fn interfaces(&self) -> Vec<InterfaceStats> {
        let shared = &self.hub.shared;
        let mut all = shared.sockets.interfaces();
        // Datagrams that arrive at the data port are counted with the rest.
        for data in shared.data.iter().flat_map(Sockets::interfaces) {
            if let Some(found) = all.iter_mut().find(|it| it.interface == data.interface) {
                found.sent += data.sent;
            }
        }
        all
    }

    fn send_to(&self, packets: Packets<'_>, to: &[SocketAddr]) -> Sent {
        self.send_permitted(packets, to, |to| self.send_alone(packets, to))
    }

    fn send_from_group_port(&self, packets: Packets<'_>, to: &[SocketAddr]) -> Sent {
        self.send_permitted(packets, to, |to| self.hub.shared.sockets.send_to(packets, to))
    }

    fn leader(&self) -> Option<Arc<Mutex<()>>> {
        Some(self.hub.handover.leader().clone())
    }

    fn lead(&self, until: Option<Duration>, ready: &dyn Fn() -> bool) -> bool {
        self.hub.lead(until, ready)
    }

    fn interrupt(&self) {
        if !on_core_thread() {
            // If waking fails the program is told at the next timer.
            let _ = self.hub.waker.wake();
        }
    }

    fn hand_over(&self) -> bool {
        self.hub.hand_over()
    }

    fn take_turn(&self, ready: &dyn Fn() -> bool) -> Turn {
        self.hub.take_turn(ready)
    }

    #[cfg(unix)]
    fn turn_fd(&self) -> Option<RawFd> {
        self.hub.only_channel().map(|channel| channel.socket.as_raw_fd())
    }

    fn group(&self) -> SocketAddr {
        SocketAddr::new(self.hub.shared.config.multicast, self.hub.shared.config.port)
    }

    fn private_port(&self) -> Option<u16> {
        self.hub.shared.private.as_ref().map(PrivateSockets::port)
    }

    fn reports_refusals(&self) -> bool {
        let tells = cfg!(any(target_os = "linux", target_os = "android"));
        // A port probe of its own socket might cross a router.
        (tells && self.hub.shared.private.is_some()) || self.hub.shared.config.range < Range::Any
    }

    fn send_data(&self, packets: Packets<'_>) -> Sent {
        self.hub.send_filtered(self.hub.shared.data_or_group(), packets)
    }

    fn has_data_port(&self) -> bool {
        let config = &self.hub.shared.config;
        let is_group = config.one_port && config.private_port.is_some();
        self.hub.shared.data.is_some() || (is_group && !config.address.is_loopback())
    }

    fn largest(&self) -> (usize, usize) {
        let group = self.hub.shared.sockets.largest();
        match &self.hub.shared.private {
            Some(private) if group < MAX_DATAGRAM => (group, private.largest().min(group)),
            _ => (group, group),
        }
    }

    fn loopback_only(&self) -> bool {
        self.hub.shared.config.address.is_loopback()
    }
}

impl HubLink {
    /// Sends to those of these hosts that the range of the network permits.
    fn send_permitted(
        &self,
        packets: Packets<'_>,
        to: &[SocketAddr],
        send: impl Fn(&[SocketAddr]) -> Sent,
    ) -> Sent {
        let config = &self.hub.shared.config;
        let is_permitted = |to: &SocketAddr| match config.range {
            Range::Off => false,
            _ => !config.address.is_loopback() || to.ip().is_loopback(),
        };
        if to.iter().all(is_permitted) {
            return send(to);
        }
        let permitted: Vec<SocketAddr> = to.iter().copied().filter(is_permitted).collect();
        let withheld = (to.len() - permitted.len()) * packets.sizes.len();
        Sent { withheld, ..send(&permitted) }
    }

    fn send_alone(&self, packets: Packets<'_>, to: &[SocketAddr]) -> Sent {
        let alone = self.largest().1;
        match &self.hub.shared.private {
            // Larger ones are fragmented, which the private port does not do.
            Some(private) if packets.sizes.iter().all(|&size| size <= alone) => {
                private.send_to(packets, to)
            }
            _ => self.hub.shared.sockets.send_to(packets, to),
        }
    }
}

impl Drop for HubLink {
    fn drop(&mut self) {
        // The others have to receive what this one has sent last.
        let due = as_nanos(clock::monotonic() + IN_FLIGHT);
        self.hub.own_due.store(due, Ordering::SeqCst);
        self.hub.links.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Hub {
    fn open(config: &TransportConfig) -> Result<Arc<Self>> {
        let failed = |error| Error::io(&error, "poll", "cannot wait for the socket");
        let poll = Poll::new().map_err(failed)?;
        let mut sockets = Sockets::open(config)?;
        let mut private = PrivateSockets::open(config, sockets.v4.is_some(), sockets.v6.is_some())?;
        let mut data = Sockets::open_data(config, &sockets);
        let (data4, data6) = match &mut data {
            Some(data) => (data.v4.as_mut(), data.v6.as_mut()),
            None => (None, None),
        };
        let (private4, private6) = match &mut private {
            Some(private) => (private.v4.as_mut(), private.v6.as_mut()),
            None => (None, None),
        };
        let group = [sockets.v4.as_mut(), sockets.v6.as_mut()];
        let channels = group.into_iter().chain([private4, private6, data4, data6]);
        for (channel, token) in channels.zip(SOCKETS) {
            if let Some(channel) = channel {
                let registered = poll.registry().register(&mut channel.socket, token, READ);
                registered.map_err(failed)?;
            }
        }
        let waker = Arc::new(mio::Waker::new(poll.registry(), WAKER).map_err(failed)?);
        // Without loopback there is nothing that comes back. Emulators and sandboxes may refuse filters.
        let port = private.as_ref().filter(|_| config.loopback).map(PrivateSockets::port);
        let all = std::iter::once(&sockets).chain(&data);
        let filters_own = port.is_some() && keep_out(all, port).is_ok();
        let (reader, addresses, notices) =
            Reader::start(poll, &waker, config, (&sockets, data.as_ref()), private.as_ref())?;
        let hub = Arc::new(Self {
            shared: Shared {
                config: config.clone(),
                sockets,
                data,
                private,
                subscriptions: Subscriptions::new(),
                addresses: RwLock::new(addresses),
                coalesces: AtomicBool::new(false),
            },
            filters_own,
            keeps_own_out: Mutex::new(filters_own),
            links: AtomicUsize::new(0),
            own_due: NEVER.into(),
            notices,
            process: Process::current(),
            waker,
            stop: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            reader: Mutex::new(reader),
            handover: Handover::default(),
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

    /// Keeps the copies of own messages out of the sockets while the only subscriber does not want them.
    fn follow_own(&self) {
        if !self.filters_own || self.process.is_forked() {
            return;
        }
        let mut keeps = lock(&self.keeps_own_out);
        let is_alone = self.links.load(Ordering::SeqCst) == 1;
        let settled = self.own_due.load(Ordering::SeqCst) == NEVER;
        let wanted = is_alone && settled && self.shared.subscriptions.spare_own();
        if *keeps != wanted {
            let port = self.shared.private.as_ref().filter(|_| wanted).map(PrivateSockets::port);
            let all = std::iter::once(&self.shared.sockets).chain(&self.shared.data);
            *keeps = keep_out(all, port).is_ok() && wanted;
        }
    }

    /// Sends to the group, or to its data port, from the private port, whose copies can be kept out.
    fn send_filtered(&self, to: &Sockets, packets: Packets<'_>) -> Sent {
        // The sockets of the private port do not let the system make fragments.
        let largest = self.shared.sockets.largest();
        let fit = || packets.sizes.iter().all(|&size| size <= largest);
        let private = self.shared.private.as_ref().filter(|_| self.filters_own && fit());
        to.send_from(packets, |v4| private.and_then(|private| private.channel(v4)))
    }

    /// The thread: receives, unless a program thread leads.
    fn run(&self) {
        let mut polls = 0;
        while !self.is_over() {
            match self.handover.next_step(&mut polls, clock::monotonic()) {
                Step::Lead => self.receive(&mut lock(&self.reader), Patience::Until(None)),
                Step::ParkFor(time) => thread::park_timeout(time),
                Step::Park => self.handover.park(|| self.is_over(), thread::park),
            }
        }
    }

    fn receive(&self, reader: &mut Reader, patience: Patience) {
        if reader.run_once(&self.shared, patience).is_err() {
            self.dead.store(true, Ordering::SeqCst);
        }
        let due = self.own_due.load(Ordering::SeqCst);
        if due != NEVER && due <= as_nanos(clock::monotonic()) {
            // Unless another link was closed in the meantime.
            let _ = self.own_due.compare_exchange(due, NEVER, Ordering::SeqCst, Ordering::SeqCst);
            self.follow_own();
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.dead.load(Ordering::SeqCst)
    }

    fn unpark(&self) {
        if let Some(thread) = &*lock(&self.thread) {
            thread.thread().unpark();
        }
    }

    /// Receives on this program thread until `ready`, or until then. Returns false if that is not
    /// possible.
    fn lead(&self, until: Option<Duration>, ready: &dyn Fn() -> bool) -> bool {
        if !self.can_be_led() {
            return false;
        }
        self.handover.take();
        let mut reader = try_lock(&self.reader).unwrap_or_else(|| {
            // If waking fails the thread returns at its next timer.
            let _ = self.waker.wake();
            lock(&self.reader)
        });
        set_core_thread(true);
        let in_time = || until.is_none_or(|until| clock::monotonic() < until);
        while !ready() && !self.is_over() && in_time() && self.has_one_subscriber() {
            self.receive(&mut reader, Patience::Until(until));
        }
        set_core_thread(false);
        drop(reader);
        if self.handover.release(clock::monotonic()) {
            self.unpark();
        }
        true
    }

    /// The socket, if there is one: an event loop can watch one only.
    fn only_channel(&self) -> Option<&Channel> {
        match (&self.shared.sockets.v4, &self.shared.sockets.v6) {
            (Some(only), None) | (None, Some(only)) => Some(only),
            _ => None,
        }
    }

    fn has_one_subscriber(&self) -> bool {
        self.shared.subscriptions.len() == 1
    }

    fn can_be_led(&self) -> bool {
        !on_core_thread()
            && !self.is_over()
            && !self.process.is_forked()
            && self.has_one_subscriber()
    }

    /// Hands over to an event loop, if its last request was less than a grace ago. Not while
    /// datagrams are coalesced, nor with the option `spin`: those are for the thread.
    fn hand_over(&self) -> bool {
        let now = clock::monotonic();
        let was_taken = self.handover.is_taken(now);
        let taken = self.handover.request(now)
            && !self.shared.coalesces.load(Ordering::SeqCst)
            && self.shared.config.spin.is_zero()
            && self.only_channel().is_some()
            && self.can_be_led();
        if taken {
            self.handover.extend(now);
        }
        if taken && !was_taken {
            // It holds the reader while it waits. If waking fails it gives it up at the next datagram.
            let _ = self.waker.wake();
        }
        taken
    }

    /// Receives the datagrams that wait, unless `ready`, on the thread of an event loop that leads.
    /// Its time is extended if `ready` then.
    fn take_turn(&self, ready: &dyn Fn() -> bool) -> Turn {
        if !self.handover.is_taken(clock::monotonic()) || !self.can_be_led() {
            return Turn::Refused;
        }
        if ready() {
            return Turn::More;
        }
        // The thread receives just now: an event loop that tried again would keep it from doing so.
        let Some(mut reader) = try_lock(&self.reader) else {
            self.handover.revoke();
            return Turn::Refused;
        };
        set_core_thread(true);
        self.receive(&mut reader, Patience::None);
        set_core_thread(false);
        let (more, coalesces) = (reader.has_more(), reader.wants_delay());
        drop(reader);
        if coalesces {
            self.handover.revoke();
            self.unpark();
            return Turn::Refused;
        }
        if ready() {
            self.handover.extend(clock::monotonic());
        }
        if more { Turn::More } else { Turn::Done }
    }
}

/// Keeps the copies of what is sent from this port out of all sockets, or lets them in again.
fn keep_out<'a>(
    mut all: impl Iterator<Item = &'a Sockets>,
    port: Option<u16>,
) -> std::io::Result<()> {
    all.try_for_each(|sockets| sockets.keep_out(port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    fn config(port: u16) -> TransportConfig {
        let options = Options::for_caster().with("address", "127.0.0.1").with("port", &port);
        options.resolve_transport().unwrap()
    }

    fn stop(hub: &Hub) {
        hub.stop.store(true, Ordering::SeqCst);
        hub.waker.wake().unwrap();
        hub.unpark();
        lock(&hub.thread).take().unwrap().join().unwrap();
    }

    #[test]
    fn the_thread_gives_the_reader_to_an_event_loop_and_gets_it_back_if_it_still_has_it() {
        let hub = Hub::open(&config(22_612)).unwrap();
        hub.shared.subscriptions.add();
        // The thread waits without a timer, holding the reader.
        clock::pause(Duration::from_millis(50));
        assert!(try_lock(&hub.reader).is_none());
        let start = clock::monotonic();
        let reader = loop {
            assert!(
                clock::monotonic() < start + Duration::from_secs(10),
                "it waits with the reader"
            );
            hub.hand_over();
            if let Some(reader) = try_lock(&hub.reader).filter(|_| hub.hand_over()) {
                break reader;
            }
            thread::yield_now();
        };
        assert_eq!(hub.take_turn(&|| false), Turn::Refused);
        assert!(!hub.handover.is_taken(clock::monotonic()), "the thread leads");
        drop(reader);
        stop(&hub);
    }

    #[test]
    fn a_hub_that_has_given_up_gets_no_new_endpoint() {
        let config = config(22_611);
        let mut hubs = Vec::new();
        let first = hub_of(&mut hubs, &config).unwrap();
        assert!(Arc::ptr_eq(&first, &hub_of(&mut hubs, &config).unwrap()));
        first.dead.store(true, Ordering::SeqCst);
        let second = hub_of(&mut hubs, &config).unwrap();
        assert!(!Arc::ptr_eq(&first, &second) && !second.is_over());
        assert!(Arc::ptr_eq(&second, &hub_of(&mut hubs, &config).unwrap()));
        stop(&first);
        stop(&second);
    }
}
