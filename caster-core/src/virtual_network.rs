//! A network in memory with a virtual clock, for the tests of programs.

use crate::caster::Caster;
use crate::driver::arrivals::{Arrival, Arrivals, PassCache};
use crate::driver::dedup::FirstCopy;
use crate::driver::link::{Link, Network, Subscriber, Turn};
use crate::driver::transmit::{Packets, Sent};
use crate::error::{Error, ErrorCode, Result};
use crate::message::Remote;
use crate::node::Node;
use crate::options::{Options, TransportConfig};
use crate::peer::NodeId;
use crate::protocol::random::Random;
use crate::protocol::time::Now;
use crate::sort::SortedMap;
use crate::sync::lock;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
#[cfg(unix)]
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The latency of every datagram.
const LATENCY: Duration = Duration::from_micros(100);

/// The largest datagrams, to the group and to single hosts: those of an Ethernet.
const LARGEST: (usize, usize) = (1400, 1232);

/// The wall clock at virtual time 0: 2023-11-14 22:13:20 UTC.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// The virtual time for which a wait without limit waits: one day.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

/// A network in memory with a virtual clock: tests of programs take little time, need no privileges,
/// do not touch the real network and, with given ids, are reproducible.
///
/// Its nodes and casters are ordinary ones. Each has an address of its own (`10.0.0.1` and so on, or
/// `fd00::1` in an IPv6 group); they receive from each other if group and port are equal. No socket
/// is opened, no thread is started, no name is resolved. Virtual time advances only in
/// [`VirtualNetwork::advance`] and while [`Node::next_event`] or [`Caster::next_event`] waits:
/// datagrams arrive and timers run then, in their order, on the calling thread.
///
/// Clones share the network. All methods may be called from any thread, but not from a middleware.
///
/// ```
/// use caster_core::{Event, Options, VirtualNetwork};
/// use std::time::Duration;
///
/// let network = VirtualNetwork::new(1);
/// let a = network.node(&Options::for_node().with("id", "a"))?;
/// let b = network.node(&Options::for_node().with("id", "b"))?;
/// a.up()?;
/// b.up()?;
/// let event = a.next_event(Some(Duration::from_secs(5)));
/// assert!(matches!(event, Ok(Event::Up(peer)) if peer.id == "b"));
/// network.unplug(b.id())?;
/// network.advance(Duration::from_secs(10));
/// assert!(a.nodes().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct VirtualNetwork {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Held while an input is delivered.
    running: Mutex<PassCache>,
    /// The thread that holds it.
    runner: Mutex<Option<ThreadMark>>,
}

#[derive(Default)]
struct State {
    now: Duration,
    random: Option<Random>,
    loss: f64,
    duplicates: f64,
    delay: Duration,
    hosts: u32,
    names: HashMap<NodeId, u32>,
    /// Sorted.
    unplugged: Vec<u32>,
    ports: SortedMap<u32, Open>,
    /// The next one is first.
    arrivals: BinaryHeap<InFlight>,
    sent: u64,
    opened: u64,
    /// The timers of hosts. An entry is obsolete if the host is due at another time now.
    timers: BinaryHeap<Reverse<(Duration, u32)>>,
}

/// The state of a node or caster while it is open.
struct Open {
    /// The number of this opening, among all of the network.
    opened: u64,
    subscriber: Option<Arc<dyn Subscriber>>,
    address: SocketAddr,
    group: SocketAddr,
    loopback: bool,
    /// Whether it has a data port: that of a node.
    has_data_port: bool,
    due: Option<Duration>,
}

struct InFlight {
    at: Duration,
    /// Preserves the order of sending.
    number: u64,
    to: u32,
    from: u32,
    address: SocketAddr,
    data: Arc<[u8]>,
}

impl Ord for InFlight {
    /// The greatest arrives first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for InFlight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for InFlight {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for InFlight {}

/// The number of hosts that are not on the network; places are numbered from 1.
const OUTSIDE: u32 = 0;

/// A place on the network, for one node or caster.
#[derive(Clone)]
pub(crate) struct Place {
    network: VirtualNetwork,
    host: u32,
}

/// The link of a place while it is open.
struct Port {
    place: Place,
    group: SocketAddr,
    has_data_port: bool,
    opened: u64,
}

/// An identity of a running thread.
type ThreadMark = usize;

/// The address of a thread-local variable. `thread::current` would leak memory on threads that another
/// language has created.
fn this_thread() -> ThreadMark {
    thread_local! {
        static MARK: u8 = const { 0 };
    }
    MARK.with(|mark| std::ptr::from_ref(mark) as usize)
}

enum Happening {
    Arrival(Arc<dyn Subscriber>, InFlight),
    Timer(Arc<dyn Subscriber>),
}

impl VirtualNetwork {
    /// Creates a network without hosts. The seed determines everything random: loss, delay, and the
    /// times of replies.
    pub fn new(seed: u64) -> Self {
        let state = State { random: Some(Random::new(seed)), ..State::default() };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), ..Shared::default() }) }
    }

    /// Creates a node on this network that is not up. The options `address`, `interfaces`,
    /// `multicast6`, `ttl` and `range` have no effect; seeds are addresses.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if an option is invalid.
    pub fn node(&self, options: &Options) -> Result<Node> {
        let place = self.place();
        let seed = self.with(|state| state.random().next());
        let node = Node::at(options, Arc::new(place.clone()), seed)?;
        self.with(|state| state.names.insert(node.id().clone(), place.host));
        Ok(node)
    }

    /// Creates a caster on this network that is not bound. Options as for [`VirtualNetwork::node`].
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if an option is invalid.
    pub fn caster(&self, options: &Options) -> Result<Caster> {
        Caster::at(options, Arc::new(self.place()))
    }

    /// Advances virtual time: datagrams and timers due until then are delivered in order on this thread.
    /// Does nothing if called during a delivery.
    pub fn advance(&self, time: Duration) {
        let until = self.now() + time;
        while self.step(until) {}
    }

    /// Advances virtual time by up to `time`, until `stop` returns true. `stop` is called at once and
    /// after each delivery. Returns whether `stop` returned true.
    pub fn advance_until(&self, time: Duration, mut stop: impl FnMut() -> bool) -> bool {
        self.wait_for(Some(time), || stop().then_some(())).is_some()
    }

    /// The virtual time since the network was created.
    pub fn now(&self) -> Duration {
        self.with(|state| state.now)
    }

    /// Sets the share of datagrams that are lost, from 0 to 1, drawn for each receiver. Initially 0.
    pub fn set_loss(&self, share: f64) {
        self.with(|state| state.loss = share);
    }

    /// Sets the share of datagrams that arrive twice, from 0 to 1. Initially 0.
    pub fn set_duplicates(&self, share: f64) {
        self.with(|state| state.duplicates = share);
    }

    /// Sets the maximum random delay of a datagram, in addition to 0.1 ms; datagrams are reordered by it.
    /// Initially 0.
    pub fn set_delay(&self, most: Duration) {
        self.with(|state| state.delay = most);
    }

    /// Disconnects a node: its datagrams are lost, and it receives none, not even its own. If it is
    /// dropped afterwards, peers see a crash.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] if no node with this id was created on this network.
    pub fn unplug(&self, id: &NodeId) -> Result<()> {
        self.with(|state| {
            let host = state.host(id)?;
            if let Err(at) = state.unplugged.binary_search(&host) {
                state.unplugged.insert(at, host);
            }
            Ok(())
        })
    }

    /// Connects a node again.
    ///
    /// # Errors
    /// As [`VirtualNetwork::unplug`].
    pub fn plug(&self, id: &NodeId) -> Result<()> {
        self.with(|state| {
            let host = state.host(id)?;
            state.unplugged.retain(|&unplugged| unplugged != host);
            Ok(())
        })
    }

    /// Sends a datagram from this address to a group, as a host that is not on this network: every node and caster
    /// of the group receives it 0.1 ms later. The port after that of a group is its data port. A recording of a
    /// real network becomes a test in this way.
    ///
    /// ```
    /// use caster_core::{Options, VirtualNetwork};
    /// use std::time::Duration;
    ///
    /// let network = VirtualNetwork::new(1);
    /// let node = network.node(&Options::for_node().with("hash", &false))?;
    /// node.up()?;
    /// let group = (node.multicast(), node.port()).into();
    /// network.inject(([10, 1, 2, 3], 10101).into(), group, br#"{"id":"recorded","meta":null}"#);
    /// network.advance(Duration::from_millis(1));
    /// assert_eq!(node.nodes()[0].id, "recorded");
    /// # Ok::<(), caster_core::Error>(())
    /// ```
    pub fn inject(&self, from: SocketAddr, group: SocketAddr, data: &[u8]) {
        self.with(|state| {
            let is_data = |open: &Open| {
                open.has_data_port
                    && open.group.ip() == group.ip()
                    && open.group.port().checked_add(1) == Some(group.port())
            };
            let hears = |(host, open): (&u32, &Open)| {
                (open.group == group || is_data(open)).then_some(*host)
            };
            let to: Vec<u32> = state.ports.iter().filter_map(hears).collect();
            state.deliver(OUTSIDE, from, &to, data);
        });
    }

    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut lock(&self.shared.state))
    }

    fn place(&self) -> Place {
        let host = self.with(|state| {
            state.hosts += 1;
            state.hosts
        });
        Place { network: self.clone(), host }
    }

    /// Advances virtual time until `look` returns a value, or until the timeout.
    fn wait_for<T>(
        &self,
        timeout: Option<Duration>,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let until = self.now() + timeout.unwrap_or(FOREVER);
        loop {
            let found = look();
            if found.is_some() || !self.step(until) {
                return found;
            }
        }
    }

    /// Delivers the next datagram or timer due until then. If there is none, sets the clock to `until`
    /// and returns false.
    fn step(&self, until: Duration) -> bool {
        if self.is_runner() {
            return false;
        }
        let mut passes = lock(&self.shared.running);
        *lock(&self.shared.runner) = Some(this_thread());
        let happening = self.with(|state| state.next(until));
        let happens = happening.is_some();
        match happening {
            Some(Happening::Timer(subscriber)) => subscriber.handle_timeout(false),
            Some(Happening::Arrival(subscriber, InFlight { address, data, .. })) => {
                let remote = Remote::new(address, data.len());
                let all = 0..data.len();
                let items = [Arrival { data: all, remote, first: FirstCopy::YES }];
                subscriber.datagrams(&mut Arrivals::new(&data, &items, &mut passes));
            }
            None => {}
        }
        *lock(&self.shared.runner) = None;
        happens
    }

    fn is_runner(&self) -> bool {
        *lock(&self.shared.runner) == Some(this_thread())
    }
}

impl fmt::Debug for VirtualNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with(|state| write!(f, "VirtualNetwork({:?}, {} hosts)", state.now, state.hosts))
    }
}

impl State {
    fn random(&mut self) -> &mut Random {
        self.random.get_or_insert_with(|| Random::new(0))
    }

    fn host(&self, id: &NodeId) -> Result<u32> {
        self.names.get(id).copied().ok_or_else(|| {
            let text = format!("no node with the id {id} was made on this network");
            Error::new(ErrorCode::InvalidArgument, text)
        })
    }

    /// Takes the next datagram or timer due until then and sets the clock to its time.
    fn next(&mut self, until: Duration) -> Option<Happening> {
        loop {
            let arrival = self.arrivals.peek().map(|arrival| arrival.at);
            let timer = self.next_timer();
            let first = [arrival, timer].into_iter().flatten().min().filter(|at| *at <= until);
            let Some(at) = first else {
                self.now = self.now.max(until);
                return None;
            };
            self.now = self.now.max(at);
            // Datagrams before timers: the failure detector must not act while one is due.
            if arrival == Some(at) {
                let arrival = self.arrivals.pop()?;
                let cut = |host| self.unplugged.binary_search(host).is_ok();
                let hears = !cut(&arrival.to) && !cut(&arrival.from);
                if let Some(subscriber) = self.subscriber(arrival.to).filter(|_| hears) {
                    return Some(Happening::Arrival(subscriber, arrival));
                }
            } else {
                let Reverse((_, host)) = self.timers.pop()?;
                if let Some(open) = self.ports.get_mut(&host) {
                    open.due = None;
                }
                if let Some(subscriber) = self.subscriber(host) {
                    return Some(Happening::Timer(subscriber));
                }
            }
        }
    }

    fn next_timer(&mut self) -> Option<Duration> {
        while let Some(&Reverse((at, host))) = self.timers.peek() {
            if self.ports.get(&host).is_some_and(|open| open.due == Some(at)) {
                return Some(at);
            }
            self.timers.pop();
        }
        None
    }

    fn subscriber(&self, host: u32) -> Option<Arc<dyn Subscriber>> {
        self.ports.get(&host)?.subscriber.clone()
    }

    /// Sends a datagram to these hosts.
    fn send(&mut self, from: u32, to: &[u32], data: &[u8]) {
        let Some(address) = self.ports.get(&from).map(|open| open.address) else { return };
        self.deliver(from, address, to, data);
    }

    /// Puts a datagram from an address on its way to these hosts.
    fn deliver(&mut self, from: u32, address: SocketAddr, to: &[u32], data: &[u8]) {
        let data: Arc<[u8]> = data.into();
        for &to in to {
            let (loss, duplicates) = (self.loss, self.duplicates);
            // Datagrams of a host to itself do not cross the network.
            let is_lost = self.random().fraction() < loss && to != from;
            let copies = 1 + u64::from(self.random().fraction() < duplicates);
            for _ in 0..if is_lost { 0 } else { copies } {
                let late = self.delay.mul_f64(self.random().fraction());
                self.sent += 1;
                let (at, number) = (self.now + LATENCY + late, self.sent);
                self.arrivals.push(InFlight { at, number, to, from, address, data: data.clone() });
            }
        }
    }
}

impl Network for Place {
    fn now(&self) -> Now {
        let mono = self.network.now();
        Now { mono, unix_ms: EPOCH_MS + mono.as_millis() as u64 }
    }

    fn open(&self, config: &TransportConfig) -> Result<Arc<dyn Link>> {
        let [.., high, middle, low] = self.host.to_be_bytes();
        let ip: IpAddr = match config.multicast {
            IpAddr::V4(_) => [10, high, middle, low].into(),
            IpAddr::V6(_) => {
                let pair = u16::from_be_bytes([middle, low]);
                Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, high.into(), pair).into()
            }
        };
        let group = SocketAddr::new(config.multicast, config.port);
        let open = Open {
            opened: 0,
            subscriber: None,
            address: SocketAddr::new(ip, config.port),
            group,
            loopback: config.loopback,
            has_data_port: config.private_port.is_some(),
            due: None,
        };
        let opened = self.network.with(|state| {
            state.opened += 1;
            state.ports.insert(self.host, Open { opened: state.opened, ..open });
            state.opened
        });
        let has_data_port = config.private_port.is_some();
        Ok(Arc::new(Port { place: self.clone(), group, has_data_port, opened }))
    }

    fn wait_for(&self, timeout: Option<Duration>, done: &mut dyn FnMut(Option<Duration>) -> bool) {
        self.network.wait_for(timeout, || done(Some(Duration::ZERO)).then_some(()));
    }

    fn is_virtual(&self) -> bool {
        true
    }

    fn beside(&self) -> Option<Arc<dyn Network>> {
        Some(Arc::new(self.network.place()))
    }
}

impl Port {
    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        self.place.network.with(change)
    }
}

impl Port {
    /// Sends to the group, or to its data port.
    fn send_to_group(&self, packets: Packets<'_>, is_data: bool) -> Sent {
        let host = self.place.host;
        self.with(|state| {
            let hears = |(other, open): (&u32, &Open)| {
                let listens = open.group == self.group && (!is_data || open.has_data_port);
                (listens && (*other != host || open.loopback)).then_some(*other)
            };
            let to: Vec<u32> = state.ports.iter().filter_map(hears).collect();
            for (data, ..) in packets.runs(|sizes| sizes.len().min(1)) {
                state.send(host, &to, data);
            }
        });
        Sent { count: packets.sizes.len(), ..Sent::default() }
    }
}

impl Link for Port {
    fn subscribe(&self, subscriber: Arc<dyn Subscriber>) {
        self.with(|state| {
            if let Some(open) = state.ports.get_mut(&self.place.host) {
                open.subscriber = Some(subscriber);
            }
        });
    }

    fn set_due(&self, due: Option<Duration>) {
        let host = self.place.host;
        self.with(|state| {
            let Some(open) = state.ports.get_mut(&host) else { return };
            if std::mem::replace(&mut open.due, due) != due {
                state.timers.extend(due.map(|due| Reverse((due, host))));
            }
        });
    }

    fn leave(&self) {
        self.set_due(None);
        let subscriber = self.with(|state| {
            state.ports.get_mut(&self.place.host).and_then(|open| open.subscriber.take())
        });
        if !self.place.network.is_runner() {
            drop(lock(&self.place.network.shared.running));
        }
        drop(subscriber);
    }

    fn send(&self, packets: Packets<'_>) -> Sent {
        self.send_to_group(packets, false)
    }

    fn send_data(&self, packets: Packets<'_>) -> Sent {
        self.send_to_group(packets, true)
    }

    fn has_data_port(&self) -> bool {
        self.has_data_port
    }

    fn largest(&self) -> (usize, usize) {
        LARGEST
    }

    fn send_to(&self, packets: Packets<'_>, to: &[SocketAddr]) -> Sent {
        let host = self.place.host;
        self.with(|state| {
            let there = |(other, open): (&u32, &Open)| to.contains(&open.address).then_some(*other);
            let to: Vec<u32> = state.ports.iter().filter_map(there).collect();
            for (data, ..) in packets.runs(|sizes| sizes.len().min(1)) {
                state.send(host, &to, data);
            }
        });
        Sent { count: packets.sizes.len() * to.len(), ..Sent::default() }
    }

    fn receive_buffer(&self) -> u64 {
        0
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let host = self.place.host;
        self.with(|state| {
            state.ports.get(&host).map(|open| open.address.ip()).into_iter().collect()
        })
    }

    fn leader(&self) -> Option<Arc<Mutex<()>>> {
        None
    }

    fn lead(&self, _until: Option<Duration>, _ready: &dyn Fn() -> bool) -> bool {
        false
    }

    fn interrupt(&self) {}

    fn hand_over(&self) -> bool {
        false
    }

    fn take_turn(&self, _ready: &dyn Fn() -> bool) -> Turn {
        Turn::Refused
    }

    #[cfg(unix)]
    fn turn_fd(&self) -> Option<RawFd> {
        None
    }

    fn group(&self) -> SocketAddr {
        self.group
    }

    fn loopback_only(&self) -> bool {
        false
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let host = self.place.host;
        let gone = self.with(|state| {
            let is_this = state.ports.get(&host).is_some_and(|open| open.opened == self.opened);
            if is_this { state.ports.remove(&host) } else { None }
        });
        drop(gone);
    }
}
