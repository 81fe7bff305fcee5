//! Receiving: waits for the sockets of a hub, reads datagrams, delivers them, follows the interfaces
//! and runs the timers.

use super::arrivals::{Arrival, Arrivals, PassCache};
use super::clock;
use super::coalesce::Coalescing;
use super::dedup::{Dedup, FirstCopy};
use super::failures::Failures;
use super::hints::Hint;
use super::link::Notice;
use super::private_port::{PrivateSockets, unmark};
use super::processes::Processes;
use super::socket::{Channel, Memberships, Sockets};
use super::subscription::Subscriptions;
use super::sys::batch::Batch;
use super::sys::calls;
use super::sys::found::Found;
use super::sys::watch::Watch;
use super::thread::{LOG, Panics, fault};
use super::transmit::Received;
use crate::error::{Error, Result};
use crate::message::Remote;
use crate::options::TransportConfig;
use crate::sort::sort_short;
use crate::sync::write;
use log::{debug, info};
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// Maximum number of buffers that are filled from a socket before timers run.
const BURST: usize = 64;

/// Maximum number of datagrams that are delivered at once.
const MAX_ARRIVALS: usize = 128;

pub(super) const READ: Interest = Interest::READABLE;
pub(super) const WAKER: Token = Token(0);
/// The sockets of the group, IPv4 and IPv6, those of the private port, and those of the data port.
pub(super) const SOCKETS: [Token; COUNT] =
    [Token(1), Token(2), Token(3), Token(4), Token(5), Token(6)];
const COUNT: usize = 6;
/// The sockets of the private port.
const PRIVATE: Range<usize> = 2..4;
/// The first socket of the data port.
const DATA: usize = 4;
const WATCH: Token = Token(7);
/// The first of the tokens for the other processes of this host.
const PROCESSES: Token = Token(8);

/// Interval at which interfaces are listed although the system reports changes.
const RESCAN: Duration = Duration::from_secs(30);
/// The same while an interface cannot be joined.
const RETRY: Duration = Duration::from_secs(5);
/// The same where the system does not report changes.
const RESCAN_BLIND: Duration = Duration::from_millis(1500);
/// Delay between the report of a change and the listing: changes come in groups.
const SETTLE: Duration = Duration::from_millis(50);

/// Interval at which the sockets are polled while waiting fails.
const POLL_WITHOUT_WAIT: Duration = Duration::from_millis(20);

/// The private ports of other processes of this host are listed no more often than this.
const HOST_PORTS_EVERY: Duration = Duration::from_millis(250);

/// Interval at which an event loop that leads polls for anything other than datagrams.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The state that a reader shares with other threads.
pub(super) struct Shared {
    pub config: TransportConfig,
    pub sockets: Sockets,
    /// Those of the data port.
    pub data: Option<Sockets>,
    /// The port of this process for unicast.
    pub private: Option<PrivateSockets>,
    pub subscriptions: Subscriptions,
    /// The addresses of this host.
    pub addresses: RwLock<Vec<IpAddr>>,
    /// Whether datagrams are coalesced at present.
    pub coalesces: AtomicBool,
}

impl Shared {
    /// The sockets for pieces: those of the group, if there is no data port.
    pub fn data_or_group(&self) -> &Sockets {
        self.data.as_ref().unwrap_or(&self.sockets)
    }

    /// The sockets in the order of [`SOCKETS`].
    fn channels(&self) -> [Option<&Channel>; COUNT] {
        let private = |v4| self.private.as_ref().and_then(|private| private.channel(v4));
        let data = self.data.as_ref();
        [
            self.sockets.v4.as_ref(),
            self.sockets.v6.as_ref(),
            private(true),
            private(false),
            data.and_then(|data| data.v4.as_ref()),
            data.and_then(|data| data.v6.as_ref()),
        ]
    }
}

/// How long [`Reader::run_once`] waits when there is nothing to do.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    /// Until this time, or without limit.
    Until(Option<Duration>),
    /// Does not wait and receives one batch at most: for the thread of an event loop.
    None,
}

impl Patience {
    /// Maximum number of buffers to fill.
    fn burst(self) -> usize {
        match self {
            Self::Until(_) => BURST,
            Self::None => 1,
        }
    }
}

/// Returned when a hub is given up after too many panics.
pub(super) struct GivenUp;

/// The state of the receiving thread.
pub(super) struct Reader {
    poll: Poll,
    events: Events,
    /// Which of [`SOCKETS`] may have more datagrams.
    readable: [bool; COUNT],
    panics: Panics,
    batch: Batch,
    /// Empty between batches; kept for its memory.
    items: Vec<Arrival>,
    passes: PassCache,
    coalescing: Coalescing,
    /// When an event loop polls next for anything other than datagrams.
    poll_at: Duration,
    /// A coalescing delay that was due on an event loop, which must not wait.
    delay: Option<Duration>,
    /// Whether the thread has just waited for a coalescing delay.
    delayed: bool,
    /// Until when the thread polls without sleeping.
    spins_until: Duration,
    /// When the sockets were last empty.
    drained_at: Duration,
    /// Of receiving from each of [`SOCKETS`].
    failures: Failures<COUNT>,
    /// Whether the last wait has failed, and the program was told.
    cannot_wait: bool,
    /// The hints about the interfaces that were told.
    hints: Vec<Hint>,
    /// Those of the last listing that the program was not told before.
    fresh: Vec<Hint>,
    told_no_echo: bool,
    dedup: Dedup,
    memberships: Memberships,
    /// Those of the data port.
    data_memberships: Memberships,
    /// When the interfaces are listed next; `None` if they are fixed.
    rescan_at: Option<Duration>,
    rescan_every: Duration,
    /// Number of interfaces beyond the loopback interface at the last listing.
    interfaces: usize,
    /// The addresses of this host at the last listing.
    addresses: Vec<IpAddr>,
    /// Indices of interfaces that were gone or without carrier since the last listing.
    broken: Vec<u32>,
    /// Number of datagrams that each socket has lost.
    lost: [u32; COUNT],
    /// The private ports of other processes of this host, and when they were listed.
    host_ports: (Duration, Vec<u16>),
    processes: Option<Processes>,
    watch: Option<Watch>,
}

impl Reader {
    /// Joins the groups. Also returns the addresses of this host, and what the program is told.
    pub fn start(
        poll: Poll,
        waker: &Arc<mio::Waker>,
        config: &TransportConfig,
        (sockets, data): (&Sockets, Option<&Sockets>),
        private: Option<&PrivateSockets>,
    ) -> Result<(Self, Vec<IpAddr>, Vec<Notice>)> {
        let coalesce = if config.spin.is_zero() { config.coalesce } else { Duration::ZERO };
        let mut reader = Self {
            events: Events::with_capacity(8),
            readable: [true; COUNT],
            panics: Panics::default(),
            batch: Batch::new(),
            items: Vec::new(),
            passes: PassCache::default(),
            coalescing: Coalescing::new(coalesce),
            spins_until: Duration::ZERO,
            poll_at: Duration::ZERO,
            delay: None,
            delayed: false,
            drained_at: clock::monotonic(),
            failures: Failures::new(),
            cannot_wait: false,
            hints: Vec::new(),
            fresh: Vec::new(),
            told_no_echo: false,
            dedup: Dedup::new(),
            memberships: Memberships::new(config),
            data_memberships: Memberships::new(config),
            rescan_at: None,
            rescan_every: RESCAN_BLIND,
            interfaces: 0,
            addresses: Vec::new(),
            broken: Vec::new(),
            lost: [0; COUNT],
            host_ports: Default::default(),
            processes: private.and_then(|private| {
                Processes::open(poll.registry(), PROCESSES, config.port, private.port())
            }),
            watch: None,
            poll,
        };
        let notices = reader.join(waker, sockets, data)?;
        let addresses = reader.addresses.clone();
        Ok((reader, addresses, notices))
    }

    fn join(
        &mut self,
        waker: &Arc<mio::Waker>,
        sockets: &Sockets,
        data: Option<&Sockets>,
    ) -> Result<Vec<Notice>> {
        let failed = |error| Error::io(&error, "getifaddrs", "cannot list the interfaces");
        if sockets.channels().next().is_none() {
            return Ok(vec![Notice::Hint(Hint::RangeOff)]);
        }
        let now = clock::monotonic();
        let follows = self.memberships.can_change();
        if follows {
            // Before the listing, so that no change between the two is missed. Some sandboxes forbid
            // it.
            self.watch = Watch::new(self.poll.registry(), WATCH, waker).ok();
            if self.watch.is_some() {
                self.rescan_every = RESCAN;
            }
        }
        let found = calls::list().map_err(failed)?;
        let errors = self.memberships.start(sockets, &found, now)?;
        self.hints = self.memberships.hints(&found);
        info!(target: LOG, "joined the group on {}", self.memberships.names());
        if let Some(data) = data {
            // An error here is one of the port of the group, too.
            let _ = self.data_memberships.start(data, &found, now);
        }
        self.addresses = addresses_of(&found);
        self.interfaces = self.memberships.interface_count();
        let every = match self.memberships.is_refused() {
            true => self.rescan_every.min(RETRY),
            false => self.rescan_every,
        };
        self.rescan_at = follows.then(|| now + every);
        let hints = self.hints.iter().cloned().map(Notice::Hint);
        Ok(errors.into_iter().map(Notice::Error).chain(hints).collect())
    }

    /// Returns whether a socket may have more datagrams.
    pub fn has_more(&self) -> bool {
        self.readable.contains(&true)
    }

    /// Returns whether a coalescing delay is due, which an event loop must not wait for.
    pub fn wants_delay(&self) -> bool {
        self.delay.is_some()
    }

    /// Waits until there is something to do, as long as `patience` allows, and does it. A panic of
    /// the hub is reported to all subscribers, and the hub continues with its state.
    ///
    /// # Errors
    /// [`GivenUp`] after too many panics.
    pub fn run_once(
        &mut self,
        shared: &Shared,
        patience: Patience,
    ) -> std::result::Result<(), GivenUp> {
        let run = AssertUnwindSafe(|| self.receive(shared, patience));
        let Err(panic) = panic::catch_unwind(run) else { return Ok(()) };
        // The panic may have lost the news that a socket is readable.
        self.readable = [true; COUNT];
        let given_up = self.panics.too_many();
        for subscription in shared.subscriptions.all().iter() {
            subscription.call(&mut |subscriber| subscriber.report(fault(&*panic, given_up)));
        }
        if given_up { Err(GivenUp) } else { Ok(()) }
    }

    fn receive(&mut self, shared: &Shared, patience: Patience) {
        let more = self.has_more();
        match patience {
            Patience::Until(until) => {
                let delay = self.delay.take();
                let delay = delay.or_else(|| self.coalescing.next_delay().filter(|_| !more));
                self.delayed = delay.is_some_and(pause);
                let spins =
                    !more && !shared.config.spin.is_zero() && clock::monotonic() < self.spins_until;
                let timeout = match more || self.delayed || spins {
                    true => Some(Duration::ZERO),
                    false => {
                        let retry_at = self.failures.retry_at();
                        let own = [self.rescan_at, until, retry_at].into_iter().flatten().min();
                        shared.subscriptions.fall_asleep(own)
                    }
                };
                self.wait(shared, timeout);
                match (self.has_more(), self.delayed) {
                    (true, false) if !more => {
                        let delay = self.coalescing.on_wake(clock::monotonic());
                        self.delayed = delay.is_some_and(pause);
                    }
                    (false, true) => self.coalescing.on_received(0, clock::monotonic()),
                    _ => {}
                }
            }
            // The event loop has seen that the socket is readable; other events may wait.
            Patience::None => {
                let now = clock::monotonic();
                if now >= self.poll_at {
                    self.wait(shared, Some(Duration::ZERO));
                    self.poll_at = now + POLL_INTERVAL;
                }
                self.readable[0] = shared.sockets.v4.is_some();
                self.readable[1] = shared.sockets.v6.is_some();
                if !more {
                    self.delay = self.coalescing.on_wake(now);
                    if self.delay.is_some() {
                        return;
                    }
                }
            }
        }
        // Sockets before timers: the failure detector must not act while a datagram of the peer is
        // unread. The burst is bounded, so a flood does not stop the heartbeats.
        for (at, channel) in shared.channels().into_iter().enumerate() {
            self.readable[at] = match channel {
                Some(channel) if self.readable[at] => {
                    self.receive_burst(shared, (at, channel), patience.burst())
                }
                _ => false,
            };
        }
        let now = clock::monotonic();
        self.follow_interfaces(shared, now);
        let more = self.has_more();
        if !more {
            self.drained_at = now;
            self.follow_processes(shared);
        }
        shared.subscriptions.handle_timeouts(more, self.drained_at);
        if !self.told_no_echo && shared.sockets.is_without_echo(self.drained_at) {
            self.told_no_echo = true;
            hint(shared, &Hint::NoEcho);
        }
        shared.coalesces.store(self.coalescing.next_delay().is_some(), Ordering::SeqCst);
    }

    /// Waits for an event of the system and handles it.
    fn wait(&mut self, shared: &Shared, timeout: Option<Duration>) {
        let woken = self.poll.poll(&mut self.events, timeout);
        shared.subscriptions.wake_up();
        if let Err(error) = woken
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.note_failed_wait(shared, &error, timeout);
            return;
        }
        self.cannot_wait = false;
        if self.failures.retry_at().is_some() && self.failures.is_due(clock::monotonic()) {
            self.readable = [true; COUNT];
        }
        self.handle_events(shared);
    }

    /// Handles the events of the last poll.
    fn handle_events(&mut self, shared: &Shared) {
        let mut changed = false;
        for event in &self.events {
            let socket = SOCKETS.iter().position(|&token| token == event.token());
            if let Some(at) = socket {
                self.readable[at] = true;
            }
            if event.is_error()
                && let Some(channel) = socket.and_then(|at| shared.channels()[at])
            {
                take_undelivered(shared, channel);
            }
            match (&mut self.processes, event.token()) {
                (_, WATCH) => changed = true,
                (_, WAKER) => changed |= Watch::WAKES,
                (Some(processes), token) => processes.handle(token),
                _ => {}
            }
        }
        if changed {
            self.read_news();
        }
    }

    /// Lists the interfaces if that is due.
    fn follow_interfaces(&mut self, shared: &Shared, now: Duration) {
        if self.rescan_at.is_none_or(|due| due > now) {
            return;
        }
        let before = std::mem::take(&mut self.addresses);
        let largest = shared.sockets.largest();
        let errors = self.rescan(shared, now, before.clone());
        let count = self.memberships.interface_count();
        let changed = std::mem::replace(&mut self.interfaces, count) != count;
        let moved = before != self.addresses;
        if moved {
            write(&shared.addresses).clone_from(&self.addresses);
        }
        if changed {
            let names = self.memberships.names();
            debug!(target: LOG, "{count} interfaces beyond the loopback interface: {names}");
        }
        for fresh in std::mem::take(&mut self.fresh) {
            hint(shared, &fresh);
        }
        // A loopback-only host has no other interface at any time: its node is not isolated.
        let count = changed.then_some(count);
        for subscription in shared.subscriptions.all().iter() {
            for error in &errors {
                subscription.call(&mut |subscriber| subscriber.report(error.clone()));
            }
            if changed || moved || shared.sockets.largest() != largest {
                subscription.call(&mut |subscriber| subscriber.interfaces(&self.addresses, count));
            }
        }
    }

    /// Receives into up to `burst` buffers. Returns whether the socket may have more.
    fn receive_burst(&mut self, shared: &Shared, channel: (usize, &Channel), burst: usize) -> bool {
        let mut datagrams = 0;
        let more = self.receive_some(shared, channel, burst, &mut datagrams);
        if datagrams > 0 && std::mem::take(&mut self.delayed) {
            self.coalescing.on_received(datagrams, clock::monotonic());
        }
        more
    }

    fn receive_some(
        &mut self,
        shared: &Shared,
        channel: (usize, &Channel),
        burst: usize,
        datagrams: &mut usize,
    ) -> bool {
        let mut taken = 0;
        while taken < burst {
            match self.batch.receive(&channel.1.socket) {
                Ok(count) => {
                    self.failures.succeeded(channel.0);
                    if !shared.config.spin.is_zero() {
                        self.spins_until = clock::monotonic() + shared.config.spin;
                    }
                    *datagrams += self.deliver(shared, count, channel);
                    taken += count;
                    if count < self.batch.capacity() {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.failures.succeeded(channel.0);
                    if taken == 0 {
                        // The event loop was woken by something else.
                        self.poll_at = Duration::ZERO;
                    }
                    return false;
                }
                // A pending error of the network, which reading it has cleared; unless it stays.
                Err(error) => return self.note_failure(shared, channel.0, &error),
            }
        }
        true
    }

    /// Receiving from this one of [`SOCKETS`] has failed. Returns whether to try again at once. If it keeps
    /// failing, all subscribers are told, once until it succeeds.
    #[cold]
    fn note_failure(&mut self, shared: &Shared, socket: usize, error: &io::Error) -> bool {
        if !is_of_a_datagram(error) {
            count_failure(shared);
        }
        let at_once = self.failures.failed(socket, clock::monotonic());
        if !at_once && !self.failures.told {
            let error = Error::io(error, "recvmsg", "cannot receive; it is tried again");
            self.failures.told = report(shared, &error);
        }
        at_once
    }

    /// Waiting has failed. The sockets are polled at intervals instead, and all subscribers are told,
    /// once until waiting succeeds.
    #[cold]
    fn note_failed_wait(&mut self, shared: &Shared, error: &io::Error, timeout: Option<Duration>) {
        count_failure(shared);
        let most = timeout.unwrap_or(POLL_WITHOUT_WAIT);
        clock::pause(most.min(POLL_WITHOUT_WAIT));
        self.readable = [true; COUNT];
        if !self.cannot_wait {
            let what = "cannot wait for the sockets; they are polled";
            self.cannot_wait = report(shared, &Error::io(error, "epoll_wait", what));
        }
    }

    /// Delivers the datagrams in the first `buffers` buffers of the batch, which came from this one of
    /// [`SOCKETS`]. Returns their number.
    fn deliver(
        &mut self,
        shared: &Shared,
        buffers: usize,
        (socket, channel): (usize, &Channel),
    ) -> usize {
        // On the loopback interface there is one path.
        let has_several_paths = self.memberships.can_change();
        let now = clock::monotonic();
        let (mut lost_now, mut datagrams) = (0, 0);
        let mut items = std::mem::take(&mut self.items);
        for at in 0..buffers {
            let Some(received) = self.batch.received(at) else { continue };
            let count = received.count();
            let Received { data, each, address, interface, to, lost } = received;
            if let Some(dropped) = lost {
                lost_now += losses(&mut self.lost[socket], dropped, channel.kept_out());
            }
            let to_group = to.is_some_and(|to| to.is_multicast());
            let may_stray = to_group && channel.has_strays();
            let interface = match may_stray && !channel.is_group(to) {
                true => None,
                false => self.memberships.count(interface, address.ip(), count),
            };
            // Of a group or an interface that only others have joined.
            let is_stray = may_stray && interface.is_none();
            let is_private = PRIVATE.contains(&socket);
            if shared.sockets.expects_echo()
                && socket < PRIVATE.start
                && !address.ip().is_loopback()
                && self.addresses.contains(&address.ip())
            {
                shared.sockets.hear_echo();
            }
            let hands_on = socket < PRIVATE.start && to.is_some_and(|to| self.is_own(to));
            if hands_on {
                self.hand_on(shared, data.clone(), each, address, now);
            }
            let mut start = if is_stray { data.end } else { data.start };
            loop {
                if !is_stray {
                    let end = data.end.min(start + each);
                    let bytes = &self.batch.data()[start..end];
                    let handed_on = is_private.then(|| unmark(bytes, address.ip())).flatten();
                    let (address, interface, bytes) = match handed_on {
                        Some((from, bytes)) => (from, None, bytes),
                        None => (address, interface, bytes),
                    };
                    let size = bytes.len();
                    let on_data_port = socket >= DATA;
                    let on_group_port = !on_data_port && (!is_private || handed_on.is_some());
                    let remote =
                        Remote { address, size, interface, to_group, on_group_port, on_data_port };
                    let first = match has_several_paths {
                        true => self.dedup.insert(bytes, &remote, now),
                        false => FirstCopy::YES,
                    };
                    // A datagram to an address of the loopback interface comes from one in any case.
                    let to_address = to.is_some_and(|to| !to.is_multicast());
                    let on_loopback = address.ip().is_loopback() && !to_address;
                    if on_loopback && first.by_sender && !is_private {
                        let group = if socket < DATA { Some(&shared.sockets) } else { None };
                        group
                            .into_iter()
                            .chain(&shared.data)
                            .for_each(|it| it.hear_on_loopback_only(now));
                    }
                    items.push(Arrival { data: end - bytes.len()..end, remote, first });
                    datagrams += 1;
                    start = end;
                }
                if items.len() == MAX_ARRIVALS || (start >= data.end && at + 1 == buffers) {
                    self.deliver_items(shared, &items, std::mem::take(&mut lost_now));
                    items.clear();
                }
                if start >= data.end {
                    break;
                }
            }
        }
        self.items = items;
        datagrams
    }

    /// Whether it is one address of this host: a datagram for it reaches one of the sockets that share
    /// a port.
    fn is_own(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses.contains(&address)
    }

    /// Lists the private ports of other processes of this host, unless that was done just now, and
    /// watches these processes.
    fn list_host_ports(&mut self, shared: &Shared, private: &PrivateSockets, now: Duration) {
        let (listed, ports) = &mut self.host_ports;
        if now < *listed + HOST_PORTS_EVERY {
            return;
        }
        *listed = now;
        ports.clear();
        for subscription in shared.subscriptions.all().iter() {
            subscription.call(&mut |subscriber| ports.extend(subscriber.host_ports()));
        }
        ports.retain(|&port| port != private.port());
        ports.sort_unstable();
        ports.dedup();
        if let Some(processes) = &mut self.processes {
            processes.watch(ports);
        }
    }

    /// Reports the other processes of this host that have ended.
    fn follow_processes(&mut self, shared: &Shared) {
        let Some(private) = &shared.private else { return };
        self.list_host_ports(shared, private, self.drained_at);
        let Some(processes) = &mut self.processes else { return };
        for port in processes.take_ended() {
            for subscription in shared.subscriptions.all().iter() {
                subscription.call(&mut |subscriber| subscriber.process_ended(port));
            }
        }
    }

    /// Hands datagrams that came by unicast on to the other processes of this host, as the system
    /// gives them to one of those that share the port.
    #[cold]
    fn hand_on(
        &mut self,
        shared: &Shared,
        data: Range<usize>,
        each: usize,
        from: SocketAddr,
        now: Duration,
    ) {
        let Some(private) = &shared.private else { return };
        self.list_host_ports(shared, private, now);
        for datagram in self.batch.data()[data].chunks(each) {
            private.hand_on(datagram, from, &self.host_ports.1);
        }
    }

    fn deliver_items(&mut self, shared: &Shared, items: &[Arrival], lost: u32) {
        let mut arrivals = Arrivals::new(self.batch.data(), items, &mut self.passes);
        // Read for each batch: a new subscriber must not miss the replies to its first message.
        for subscription in shared.subscriptions.all().iter() {
            if lost > 0 {
                subscription.call(&mut |subscriber| subscriber.lost(lost));
            }
            arrivals.next = 0;
            loop {
                let before = arrivals.next;
                subscription.call(&mut |subscriber| subscriber.datagrams(&mut arrivals));
                if arrivals.next == before || arrivals.next == items.len() {
                    break;
                }
            }
        }
    }

    /// Reads the reported changes of interfaces.
    fn read_news(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let news = watch.read();
        self.broken.extend(news.broken);
        if news.any {
            let soon = clock::monotonic() + SETTLE;
            self.rescan_at = self.rescan_at.map(|due| due.min(soon));
        }
    }

    /// Lists the interfaces and adjusts the memberships. Returns the errors.
    fn rescan(&mut self, shared: &Shared, now: Duration, before: Vec<IpAddr>) -> Vec<Error> {
        self.addresses = before;
        self.rescan_at = Some(now + self.rescan_every);
        let broken = std::mem::take(&mut self.broken);
        let Ok(found) = calls::list() else { return Vec::new() };
        self.addresses = addresses_of(&found);
        let errors = self.memberships.follow(&shared.sockets, &found, &broken, now);
        self.fresh = self.memberships.hints(&found);
        // The names of interfaces come and go: a name without interface is told at the start only.
        self.fresh.retain(|it| matches!(it, Hint::Containers { .. }) && !self.hints.contains(it));
        self.hints.extend(self.fresh.iter().cloned());
        if let Some(data) = &shared.data {
            // An error here is one of the port of the group, too.
            self.data_memberships.follow(data, &found, &broken, now);
        }
        if self.memberships.is_refused() {
            self.rescan_at = Some(now + self.rescan_every.min(RETRY));
        }
        errors
    }
}

/// Counts the datagrams that the network has returned, and reports the ports that were refused.
fn take_undelivered(shared: &Shared, channel: &Channel) {
    let returned = (0..BURST).map_while(|_| calls::take_undelivered(&channel.socket).ok());
    let returned: Vec<Option<SocketAddr>> = returned.collect();
    if returned.is_empty() {
        return;
    }
    for subscription in shared.subscriptions.all().iter() {
        subscription.call(&mut |subscriber| subscriber.undelivered(returned.len() as u32));
        for &port in returned.iter().flatten() {
            subscription.call(&mut |subscriber| subscriber.refused(port));
        }
    }
}

/// The number of datagrams that were lost since the last time. The kernel has `dropped` those and
/// the own copies that were `kept_out`; of the latter some may not have come back yet.
fn losses(before: &mut u32, dropped: u32, kept_out: u32) -> u32 {
    let lost = dropped.wrapping_sub(kept_out);
    let more = lost.wrapping_sub(*before);
    if more as i32 <= 0 {
        return 0;
    }
    *before = lost;
    more
}

/// Whether receiving returned the error of a datagram that was sent; it is counted as undelivered.
fn is_of_a_datagram(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}

/// Counts a call to receive or to wait that has failed.
fn count_failure(shared: &Shared) {
    for subscription in shared.subscriptions.all().iter() {
        subscription.call(&mut |subscriber| subscriber.receive_failed());
    }
}

/// Reports an error to all subscribers. Returns whether there was one.
fn report(shared: &Shared, error: &Error) -> bool {
    let mut told = false;
    for subscription in shared.subscriptions.all().iter() {
        told |= subscription.call(&mut |subscriber| subscriber.report(error.clone()));
    }
    told
}

/// Tells all subscribers a hint.
fn hint(shared: &Shared, hint: &Hint) {
    for subscription in shared.subscriptions.all().iter() {
        subscription.call(&mut |subscriber| subscriber.hint(hint));
    }
}

/// Returns all addresses of these interfaces: first, of those with a carrier. Heartbeats tell only the
/// first few.
fn addresses_of(found: &[Found]) -> Vec<IpAddr> {
    let mut addresses: Vec<(IpAddr, bool)> = Vec::new();
    for it in found.iter().filter(|it| it.up) {
        addresses.extend(it.addresses.iter().map(|address| (*address, !it.running)));
    }
    sort_short(&mut addresses, |it| *it);
    addresses.dedup_by_key(|it| it.0);
    sort_short(&mut addresses, |it| it.1);
    addresses.into_iter().map(|it| it.0).collect()
}

/// Sleeps; returns true afterwards.
fn pause(delay: Duration) -> bool {
    clock::pause(delay);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_interfaces_with_a_carrier_come_first() {
        let interface = |last: u8, running: bool| Found {
            interface: crate::message::Interface::new(last.into(), "eth"),
            up: true,
            running,
            multicast: true,
            loopback: false,
            point_to_point: false,
            mtu: 1500,
            addresses: vec![IpAddr::from([10, 0, 0, last]), IpAddr::from([10, 0, 1, 1])],
        };
        let down = Found { up: false, ..interface(9, true) };
        let found = [interface(1, false), interface(3, true), interface(2, true), down];
        let expected = [[10, 0, 0, 2], [10, 0, 0, 3], [10, 0, 1, 1], [10, 0, 0, 1]];
        assert_eq!(addresses_of(&found), expected.map(IpAddr::from));
    }

    #[test]
    fn own_copies_that_were_kept_out_are_not_lost() {
        let mut before = 0;
        assert_eq!(losses(&mut before, 3, 0), 3);
        assert_eq!(losses(&mut before, 10, 7), 0, "seven own copies");
        assert_eq!(losses(&mut before, 10, 9), 0, "two are still on their way");
        assert_eq!(losses(&mut before, 11, 9), 0, "one of them, or a loss");
        assert_eq!(losses(&mut before, 14, 9), 2, "no more than two were on their way");
        let mut before = u32::MAX - 1;
        assert_eq!(losses(&mut before, 1, 0), 3, "the count wraps");
        let mut before = 0;
        assert_eq!(losses(&mut before, u32::MAX, u32::MAX - 1), 1);
        assert_eq!(losses(&mut before, 5, 4), 0);
    }
}
