//! The multicast sockets of a hub: one for each family, joined on every interface in use.

use super::clock;
use super::hints::Hint;
use super::interfaces::Choice;
use super::sys::found::Found;
use super::sys::{batch, calls, filter};
use super::thread::LOG;
use super::transmit::{Packets, Sent, Transmit, Via};
use crate::error::{Error, Result};
use crate::message::Interface;
use crate::options::{Range, TransportConfig};
use crate::protocol::limits::SMALLEST_DATAGRAM;
use crate::sort::sort_short;
use crate::stats::InterfaceStats;
use crate::sync::{lock, read, write};
use log::warn;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

pub(crate) use crate::protocol::limits::LARGEST_DATAGRAM as MAX_DATAGRAM;

/// Interval at which a membership is left and joined again: switches with IGMP or MLD snooping remove
/// it where no querier asks for it.
const RENEWAL: Duration = Duration::from_secs(120);

/// The sockets, for sending.
pub(super) struct Sockets {
    pub v4: Option<Channel>,
    pub v6: Option<Channel>,
    targets: RwLock<Arc<[Target]>>,
    /// The largest datagram that no interface in use fragments.
    largest: AtomicUsize,
    interfaces: RwLock<Vec<State>>,
    /// Until when datagrams are also sent on the loopback interface, in nanoseconds.
    loopback_until: AtomicU64,
    /// When a datagram was sent first of which no copy has come back since, in nanoseconds; 0 if
    /// copies come back. The data port has that of the group.
    unechoed_since: Arc<AtomicU64>,
}

/// A copy that has not come back after this time is taken for lost. A process that does not run for
/// this long sends some datagrams twice, which is suppressed.
const ECHO_PATIENCE: Duration = Duration::from_millis(250);
/// The same, for telling the program.
const ECHO_HINT: Duration = Duration::from_secs(3);

/// Time for which datagrams are also sent on the loopback interface after a program was heard there.
const LOOPBACK_WANTED: Duration = Duration::from_secs(60);

/// A socket with its group.
pub(super) struct Channel {
    pub socket: mio::net::UdpSocket,
    group: SocketAddr,
    own: OwnCopies,
    more: MoreMemberships,
    /// The interface of datagrams to a group that name none.
    preferred: Mutex<Option<Via>>,
}

/// Sockets that hold memberships beyond those that the system permits to one socket, and receive
/// nothing.
#[derive(Debug, Default)]
struct MoreMemberships {
    /// Whether there are any: the socket of the group then receives every group that is joined on this
    /// host.
    in_use: AtomicBool,
    sockets: Mutex<Vec<Socket>>,
}

/// The copies of own datagrams that a filter keeps out of a socket of the group. The kernel counts them as
/// lost.
#[derive(Debug, Default)]
struct OwnCopies {
    kept_out: AtomicBool,
    count: AtomicU32,
}

impl OwnCopies {
    /// These buffers are about to be sent from the port that the filter knows. Counted before they can
    /// have come back, so that none is taken for a loss. Returns whether they are kept out.
    fn expect(&self, buffers: u32) -> bool {
        self.count.fetch_add(buffers, Ordering::SeqCst);
        self.kept_out.load(Ordering::SeqCst)
    }

    /// So many of them came back; all may have, if `kept_out` has changed in the meantime.
    fn settle(&self, were_kept_out: bool, expected: u32, came: u32) {
        let came = if were_kept_out || self.kept_out.load(Ordering::SeqCst) { came } else { 0 };
        self.count.fetch_sub(expected - came, Ordering::SeqCst);
    }
}

/// The datagrams that the sockets of a hub have sent and received on one interface.
#[derive(Debug, Default)]
struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
    echoes: AtomicU64,
}

/// An interface of this host as it was found last.
#[derive(Debug)]
struct State {
    found: Found,
    joined: bool,
    /// The reason why it could not be joined.
    error: Option<String>,
    traffic: Arc<Traffic>,
}

/// An interface to send on.
#[derive(Debug, Clone)]
struct Target {
    v4: bool,
    loopback: bool,
    interface: Interface,
    from: Option<Ipv4Addr>,
    traffic: Arc<Traffic>,
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        let key = |it: &Self| (it.v4, it.loopback, it.interface, it.from);
        key(self) == key(other) && Arc::ptr_eq(&self.traffic, &other.traffic)
    }
}

impl Sockets {
    pub fn open(config: &TransportConfig) -> Result<Self> {
        let (v4, v6) = match config.multicast {
            _ if config.range == Range::Off => (None, None),
            IpAddr::V4(_) => {
                let v6 = config.multicast6.map(|group| Channel::open(config, group.into()));
                // A host without IPv6 uses IPv4 only.
                (Some(Channel::open(config, config.multicast)?), v6.and_then(Result::ok))
            }
            IpAddr::V6(_) => (None, Some(Channel::open(config, config.multicast)?)),
        };
        Ok(Self {
            v4,
            v6,
            targets: RwLock::new(Arc::default()),
            interfaces: RwLock::default(),
            largest: AtomicUsize::new(MAX_DATAGRAM),
            loopback_until: AtomicU64::new(0),
            unechoed_since: Arc::default(),
        })
    }

    /// The sockets of the data port, the one after the port of the group. `None` where nothing is sent
    /// in pieces: on networks of loopback only, for a bare Caster, and if the port is not to be had. In secure
    /// mode data goes to the port of the group.
    pub fn open_data(config: &TransportConfig, of: &Self) -> Option<Self> {
        let port = config.port.checked_add(1)?;
        let is_off = of.channels().next().is_none();
        if config.one_port
            || config.private_port.is_none()
            || config.address.is_loopback()
            || is_off
        {
            return None;
        }
        let opened = Self::open(&TransportConfig { port, ..config.clone() });
        if let Err(error) = &opened {
            warn!(target: LOG, "no messages in pieces: {error}");
        }
        Some(Self { unechoed_since: of.unechoed_since.clone(), ..opened.ok()? })
    }

    /// A datagram is about to be sent whose copy is expected to come back.
    pub fn expect_echo(&self) {
        if self.unechoed_since.load(Ordering::Relaxed) == 0 {
            let now = clock::monotonic().as_nanos() as u64;
            self.unechoed_since.store(now.max(1), Ordering::Relaxed);
        }
    }

    /// Whether an echo is expected.
    pub fn expects_echo(&self) -> bool {
        self.unechoed_since.load(Ordering::Relaxed) != 0
    }

    /// A datagram of this host has come back by an interface beyond loopback.
    pub fn hear_echo(&self) {
        self.unechoed_since.store(0, Ordering::Relaxed);
    }

    /// Whether copies of own datagrams have not come back for so long that the program is told.
    pub fn is_without_echo(&self, now: Duration) -> bool {
        self.misses_echo(now, ECHO_HINT)
            && read(&self.targets).iter().any(|it| it.loopback)
            && read(&self.targets).iter().any(|it| !it.loopback)
    }

    fn misses_echo(&self, now: Duration, patience: Duration) -> bool {
        let since = self.unechoed_since.load(Ordering::Relaxed);
        since != 0 && now > Duration::from_nanos(since) + patience
    }

    /// The largest datagram that no interface in use fragments.
    pub fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }

    /// The sockets of the families in use.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.v4.iter().chain(&self.v6)
    }

    fn channel(&self, v4: bool) -> Option<&Channel> {
        if v4 { self.v4.as_ref() } else { self.v6.as_ref() }
    }

    /// A program of this host was heard that has the loopback interface only.
    pub fn hear_on_loopback_only(&self, now: Duration) {
        let until = (now + LOOPBACK_WANTED).as_nanos() as u64;
        self.loopback_until.store(until, Ordering::Relaxed);
    }

    /// Returns whether to send on the loopback interface. Datagrams on other interfaces are received on
    /// this host as well, unless a firewall of the host drops them; originals do not suppress
    /// duplicates and would receive both.
    fn wants_loopback(&self, targets: &[Target]) -> bool {
        if targets.iter().all(|target| target.loopback) {
            return true;
        }
        let until = self.loopback_until.load(Ordering::Relaxed);
        (until > 0 || self.expects_echo()) && {
            let now = clock::monotonic();
            now.as_nanos() as u64 <= until || self.misses_echo(now, ECHO_PATIENCE)
        }
    }

    /// Sends to the group, on every interface.
    pub fn send(&self, packets: Packets<'_>) -> Sent {
        self.send_from(packets, |_| None)
    }

    /// Sends to the group from other sockets, whose port is the one that the filter of
    /// [`Sockets::keep_out`] knows.
    pub fn send_from<'a>(
        &'a self,
        packets: Packets<'_>,
        from: impl Fn(bool) -> Option<&'a Channel>,
    ) -> Sent {
        let targets = read(&self.targets).clone();
        let loopback = self.wants_loopback(&targets);
        let mut sent = Sent::default();
        let mut most = 0;
        for v4 in [true, false] {
            let Some(channel) = self.channel(v4) else { continue };
            let mut routes = targets
                .iter()
                .filter(|target| target.v4 == v4 && (loopback || !target.loopback))
                .map(|target| {
                    let via = Some((target.interface.index(), target.from));
                    (channel.group, via, Some(&target.traffic.sent))
                });
            let taken = match from(v4) {
                Some(other) => other.send(packets, &mut routes, &mut sent, Some(&channel.own)),
                None => channel.send(packets, &mut routes, &mut sent, None),
            };
            most = most.max(taken);
        }
        sent.count = most;
        if targets.is_empty() {
            match self.channels().next() {
                Some(channel) => {
                    sent.note_failure(no_interface(), channel.group, packets.sizes.len());
                }
                None => sent.withheld = packets.sizes.len(),
            }
        }
        sent
    }

    /// Keeps the copies of what this host sends from this port out of the sockets, or lets them in again.
    ///
    /// # Errors
    /// The system has no such filter, or refuses it. Nothing is kept out then.
    pub fn keep_out(&self, port: Option<u16>) -> io::Result<()> {
        let kept = self.channels().try_for_each(|channel| channel.keep_out(port));
        if kept.is_err() && port.is_some() {
            self.keep_out(None)?;
        }
        kept
    }

    /// Sends to each of these hosts, by the interface that the system routes it to.
    pub fn send_to(&self, packets: Packets<'_>, to: &[SocketAddr]) -> Sent {
        send_each(|v4| self.channel(v4), packets, to)
    }

    /// The interfaces of this host, by index.
    pub fn interfaces(&self) -> Vec<InterfaceStats> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let interface = |State { found, joined, error, traffic }: &State| InterfaceStats {
            interface: found.interface,
            addresses: found.addresses.clone(),
            mtu: found.mtu,
            up: found.up && found.running,
            joined: *joined,
            sent: count(&traffic.sent),
            received: count(&traffic.received),
            echoes: count(&traffic.echoes),
            error: error.clone(),
        };
        read(&self.interfaces).iter().map(interface).collect()
    }

    /// The addresses of the interfaces on which the group is joined, of the families that are used.
    pub fn joined(&self) -> Vec<IpAddr> {
        let interfaces = read(&self.interfaces);
        let joined = interfaces.iter().filter(|it| it.joined).flat_map(|it| &it.found.addresses);
        joined.filter(|address| self.channel(address.is_ipv4()).is_some()).copied().collect()
    }

    /// The size of the smaller receive buffer, in bytes.
    pub fn receive_buffer(&self) -> u64 {
        let size = |channel: &Channel| channel.reference().recv_buffer_size().ok();
        self.channels().filter_map(size).min().unwrap_or_default() as u64
    }
}

/// The largest datagrams of Caster: what nearly all networks carry, and tunnels of theirs.
const LARGEST_V4: usize = 1400;
/// By IPv6 and by unicast: the smallest MTU of IPv6 without the headers of IP and UDP.
pub(super) const LARGEST_ALONE: usize = 1232;

/// The bytes of a datagram that an interface with this MTU does not fragment.
fn payload(mtu: usize, v4: bool) -> usize {
    let (headers, most) = if v4 { (28, LARGEST_V4) } else { (48, LARGEST_ALONE) };
    mtu.saturating_sub(headers).clamp(SMALLEST_DATAGRAM, most)
}

/// A destination, how to get there, and the counter of what is sent.
type Route<'a> = (SocketAddr, Option<Via>, Option<&'a AtomicU64>);

fn partial() -> io::Error {
    io::Error::other("the system took only some of the datagrams")
}

fn no_interface() -> io::Error {
    io::Error::new(io::ErrorKind::NetworkUnreachable, "there is no network interface to use")
}

/// Sends to each of these hosts by the channel of its family.
pub(super) fn send_each<'a>(
    channel: impl Fn(bool) -> Option<&'a Channel>,
    packets: Packets<'_>,
    to: &[SocketAddr],
) -> Sent {
    let mut sent = Sent::default();
    for v4 in [true, false] {
        let to = || to.iter().filter(|to| to.is_ipv4() == v4).copied();
        match channel(v4) {
            Some(channel) => {
                let before = sent.failed4 + sent.failed6;
                channel.send(packets, &mut to().map(|to| (to, None, None)), &mut sent, None);
                let failed = (sent.failed4 + sent.failed6 - before) as usize;
                sent.count += to().count() * packets.sizes.len() - failed;
            }
            None => to().for_each(|to| {
                sent.note_failure(no_interface(), to, packets.sizes.len());
            }),
        }
    }
    sent
}

impl Channel {
    /// A socket with a port of its own, for unicast. `ttl` limits how far its datagrams go.
    pub fn open_private(
        config: &TransportConfig,
        ttl: Option<u8>,
        address: SocketAddr,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        calls::set_receive_buffer(&socket, config.receive_buffer);
        match address {
            SocketAddr::V4(_) => ttl.map(|ttl| socket.set_ttl_v4(ttl.into())).transpose()?,
            SocketAddr::V6(_) => {
                socket.set_only_v6(true)?;
                ttl.map(|ttl| socket.set_unicast_hops_v6(ttl.into())).transpose()?
            }
        };
        calls::prepare(&socket, address.is_ipv4())?;
        batch::prepare(&socket);
        calls::forbid_fragments(&socket, address.is_ipv4());
        socket.bind(&address.into())?;
        set_up_multicast(&socket, address.is_ipv4(), config)?;
        Ok(Self {
            socket: mio::net::UdpSocket::from_std(socket.into()),
            group: address,
            own: OwnCopies::default(),
            more: MoreMemberships::default(),
            preferred: Mutex::default(),
        })
    }

    pub fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// A socket that shares the port with others on this host. It has not joined the group yet.
    fn open(config: &TransportConfig, group: IpAddr) -> Result<Self> {
        let (domain, any): (_, IpAddr) = match group {
            IpAddr::V4(_) => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
            IpAddr::V6(_) => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
        };
        let failed = |syscall, what: &str| {
            let what = what.to_owned();
            move |error: io::Error| Error::io(&error, syscall, what)
        };
        let option = || failed("setsockopt", "cannot set up the socket");
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))
            .map_err(failed("socket", "cannot open a UDP socket"))?;
        socket.set_reuse_address(true).map_err(option())?;
        #[cfg(all(unix, not(target_os = "linux"), not(target_os = "android")))]
        socket.set_reuse_port(true).map_err(option())?;
        socket.set_nonblocking(true).map_err(option())?;
        calls::set_receive_buffer(&socket, config.receive_buffer);
        if group.is_ipv6() {
            socket.set_only_v6(true).map_err(option())?;
        }
        calls::prepare(&socket, group.is_ipv4()).map_err(option())?;
        batch::prepare(&socket);
        // Always the wildcard address: a socket bound to one address receives no multicast.
        bind(&socket, SocketAddr::new(any, config.port))?;
        // With multicast_all on, a socket also receives groups that others on this host have joined.
        // Emulators and sandboxes may lack the option; that is not an error. socket2 has it on Linux only.
        match group {
            IpAddr::V4(_) => {
                #[cfg(target_os = "linux")]
                let _ = socket.set_multicast_all_v4(false);
            }
            IpAddr::V6(_) => {
                #[cfg(target_os = "linux")]
                let _ = socket.set_multicast_all_v6(false);
            }
        }
        set_up_multicast(&socket, group.is_ipv4(), config).map_err(option())?;
        // Unicast from this port goes as far as unicast from the private one.
        let alone = config.private_port.and_then(|private| private.ttl).map(u32::from);
        if let Some(ttl) = if config.range == Range::Link { Some(1) } else { alone } {
            match group.is_ipv4() {
                true => socket.set_ttl_v4(ttl),
                false => socket.set_unicast_hops_v6(ttl),
            }
            .map_err(option())?;
        }
        Ok(Self {
            socket: mio::net::UdpSocket::from_std(socket.into()),
            group: SocketAddr::new(group, config.port),
            own: OwnCopies::default(),
            more: MoreMemberships::default(),
            preferred: Mutex::default(),
        })
    }

    fn keep_out(&self, port: Option<u16>) -> io::Result<()> {
        match port {
            Some(port) => {
                self.own.kept_out.store(true, Ordering::SeqCst);
                filter::attach(&self.socket, port)
            }
            None => {
                if self.own.kept_out.load(Ordering::SeqCst) {
                    let _ = filter::detach(&self.socket);
                }
                self.own.kept_out.store(false, Ordering::SeqCst);
                Ok(())
            }
        }
    }

    /// How many own copies were kept out of this socket, or are about to be.
    pub fn kept_out(&self) -> u32 {
        self.own.count.load(Ordering::SeqCst)
    }

    /// Sends on each of these routes. `own` are the copies of it that come back. Returns the largest
    /// number of datagrams that one of them took.
    fn send(
        &self,
        packets: Packets<'_>,
        routes: &mut dyn Iterator<Item = Route<'_>>,
        sent: &mut Sent,
        own: Option<&OwnCopies>,
    ) -> usize {
        let (mut transmits, mut routes_in_all) = (Vec::new(), 0);
        for (to, via, sent) in routes {
            let runs = packets.runs(batch::run_length);
            transmits.extend(runs.map(|(data, each, _)| Transmit { data, each, to, via, sent }));
            routes_in_all += 1;
        }
        if let Some(via @ Some(_)) = transmits.first().map(|it| it.via) {
            let is_alone = routes_in_all == 1;
            if self.prefer(via.filter(|_| is_alone)) && is_alone {
                transmits.iter_mut().for_each(|it| it.via = None);
            }
        }
        let (mut most, mut on_route) = (0, 0);
        let per_route = transmits.len() / routes_in_all.max(1);
        let expected: usize = transmits.iter().map(Transmit::count).sum();
        let were_kept_out = own.is_some_and(|own| own.expect(expected as u32));
        let mut came = 0;
        batch::send(&self.socket, &transmits, |at, outcome| {
            if at % per_route == 0 {
                on_route = 0;
            }
            let (to, count) = (transmits[at].to, transmits[at].count());
            let ok = match outcome {
                Ok(taken) => {
                    came += taken.buffers as u32;
                    taken.datagrams
                }
                Err(error) => {
                    came += u32::from(filter::may_have_come_back(&error));
                    sent.note_failure(error, to, count);
                    return;
                }
            };
            on_route += ok;
            most = most.max(on_route);
            if let Some(counter) = transmits[at].sent {
                counter.fetch_add(ok as u64, Ordering::Relaxed);
            }
            if ok < count {
                sent.note_failure(partial(), to, count - ok);
            }
        });
        if let Some(own) = own {
            own.settle(were_kept_out, expected as u32, came);
        }
        most
    }

    /// Sets the interface of datagrams that name none, which takes 10 % less time than to name it in each. If another
    /// thread still sends by the interfaces of before, its datagram may leave by this one.
    fn prefer(&self, via: Option<Via>) -> bool {
        let mut preferred = lock(&self.preferred);
        if *preferred != via && batch::prefer(&self.socket, self.group, via) {
            *preferred = via;
        }
        *preferred == via
    }

    fn reference(&self) -> SockRef<'_> {
        SockRef::from(&self.socket)
    }

    fn join(&self, on: &Found) -> io::Result<()> {
        match join(&self.reference(), self.group.ip(), on) {
            Err(error) if calls::membership_limit(&error, self.group.is_ipv4()).is_some() => {
                self.join_with_more(on).map_err(|_| error)
            }
            other => other,
        }
    }

    /// Joins with another socket. Memberships count for the whole host, and the socket of the group
    /// receives them once it is permitted to.
    #[cfg(target_os = "linux")]
    #[cold]
    fn join_with_more(&self, on: &Found) -> io::Result<()> {
        let mut sockets = lock(&self.more.sockets);
        if !sockets.iter().any(|socket| join(&SockRef::from(socket), self.group.ip(), on).is_ok()) {
            let another = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            join(&SockRef::from(&another), self.group.ip(), on)?;
            sockets.push(another);
        }
        self.more.in_use.store(true, Ordering::Relaxed);
        self.reference().set_multicast_all_v4(true)
    }

    #[cfg(not(target_os = "linux"))]
    fn join_with_more(&self, _on: &Found) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn leave(&self, on: &Found) {
        // The interface may be gone, and the membership with it.
        if leave(&self.reference(), self.group.ip(), on).is_err() {
            for socket in &*lock(&self.more.sockets) {
                let _ = leave(&SockRef::from(socket), self.group.ip(), on);
            }
        }
    }

    /// Whether it also receives groups and interfaces that other sockets of this host have joined.
    #[inline]
    pub fn has_strays(&self) -> bool {
        self.more.in_use.load(Ordering::Relaxed)
    }

    pub fn is_group(&self, address: Option<IpAddr>) -> bool {
        address == Some(self.group.ip())
    }
}

/// Some systems join an IPv4 group by the address of the interface only: emulators, and old kernels.
fn join(socket: &SockRef<'_>, group: IpAddr, on: &Found) -> io::Result<()> {
    let index = on.interface.index();
    match group {
        IpAddr::V4(group) => {
            let by_number = InterfaceIndexOrAddress::Index(index);
            socket.join_multicast_v4_n(&group, &by_number).or_else(|error| {
                let is_of_group = error.kind() == io::ErrorKind::AddrInUse
                    || calls::membership_limit(&error, true).is_some();
                let address = on.first_v4().filter(|_| !is_of_group);
                let by_address = address.map(|it| socket.join_multicast_v4(&group, &it));
                by_address.and_then(Result::ok).ok_or(error)
            })?;
        }
        IpAddr::V6(group) => socket.join_multicast_v6(&group, index)?,
    }
    calls::make_renewable(socket, group, index);
    Ok(())
}

fn leave(socket: &SockRef<'_>, group: IpAddr, on: &Found) -> io::Result<()> {
    let index = on.interface.index();
    match group {
        IpAddr::V4(group) => {
            let by_number = InterfaceIndexOrAddress::Index(index);
            socket.leave_multicast_v4_n(&group, &by_number).or_else(|error| {
                let by_address = on.first_v4().map(|it| socket.leave_multicast_v4(&group, &it));
                by_address.and_then(Result::ok).ok_or(error)
            })
        }
        IpAddr::V6(group) => socket.leave_multicast_v6(&group, index),
    }
}

/// Sets how far multicast from this socket goes, and whether it comes back to this host.
fn set_up_multicast(socket: &Socket, v4: bool, config: &TransportConfig) -> io::Result<()> {
    match v4 {
        true => {
            socket.set_multicast_loop_v4(config.loopback)?;
            socket.set_multicast_ttl_v4(config.ttl.into())
        }
        false => {
            socket.set_multicast_loop_v6(config.loopback)?;
            socket.set_multicast_hops_v6(config.ttl.into())
        }
    }
}

fn bind(socket: &Socket, address: SocketAddr) -> Result<()> {
    socket.bind(&SockAddr::from(address)).map_err(|error| {
        let what = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "port {} is held by a program that does not share it; the original caster on \
                 Node.js 0.12 and newer is one of those",
                address.port()
            ),
            _ => format!("cannot bind port {}", address.port()),
        };
        Error::io(&error, "bind", what)
    })
}

/// The interfaces on which the sockets have joined.
#[derive(Debug)]
pub(super) struct Memberships {
    choice: Choice,
    joined: Vec<Joined>,
    /// Interfaces that could not be joined the last time.
    refused: Vec<(u32, bool)>,
    /// Of all interfaces of this host, by index.
    traffic: Vec<(u32, Arc<Traffic>)>,
    /// Interfaces of containers that are in use for want of others.
    containers: Vec<Interface>,
}

#[derive(Debug)]
struct Joined {
    v4: bool,
    found: Found,
    since: Duration,
    traffic: Arc<Traffic>,
}

/// Interfaces of one family that could not be joined; several events of the same code within a second
/// would be suppressed.
struct Refusal {
    /// That of the first.
    error: io::Error,
    group: IpAddr,
    names: Vec<String>,
}

impl Refusal {
    fn to_error(&self) -> Error {
        let Self { error, group, names } = self;
        let limit = calls::membership_limit(error, group.is_ipv4());
        let limit = limit.map_or_else(String::new, |limit| format!("; {limit}"));
        let what = format!("cannot join {group} on {}{limit}", names.join(", "));
        Error::io(error, "addMembership", what)
    }
}

impl Memberships {
    pub fn new(config: &TransportConfig) -> Self {
        Self {
            choice: Choice::of(config),
            joined: Vec::new(),
            refused: Vec::new(),
            traffic: Vec::new(),
            containers: Vec::new(),
        }
    }

    /// Joins for the first time. An interface that `address` names has to exist.
    ///
    /// Returns the errors of single interfaces.
    pub fn start(
        &mut self,
        sockets: &Sockets,
        found: &[Found],
        now: Duration,
    ) -> Result<Vec<Error>> {
        let mut errors = self.follow(sockets, found, &[], now);
        let Choice::Address(address, scope) = &self.choice else { return Ok(errors) };
        if !found.iter().any(|found| self.choice.joins(found)) {
            let error = calls::no_such_address();
            let scope = scope.iter().map(|scope| format!("%{scope}")).collect::<String>();
            let what = format!("{address}{scope} is not an address of this host");
            return Err(Error::io(&error, "setsockopt", what));
        }
        match errors.pop() {
            Some(error) if self.joined.is_empty() => Err(error),
            last => Ok(errors.into_iter().chain(last).collect()),
        }
    }

    /// Joins and leaves as the interfaces require, and joins again on interfaces that were `broken`
    /// since the last time. Returns the errors, each once until it has ended.
    pub fn follow(
        &mut self,
        sockets: &Sockets,
        found: &[Found],
        broken: &[u32],
        now: Duration,
    ) -> Vec<Error> {
        let mut before = std::mem::take(&mut self.joined);
        let mut errors = Vec::new();
        let mut refused = Vec::new();
        let mut fresh: [Option<Refusal>; 2] = [None, None];
        let traffic = self.traffic_of(found);
        let (selected, containers) = self.choice.select(found);
        self.containers = containers.iter().map(|found| found.interface).collect();
        let is_used =
            |it: &Found| selected.iter().chain(&containers).any(|used| std::ptr::eq(*used, it));
        for (found, traffic) in found.iter().zip(&traffic).filter(|(found, _)| is_used(found)) {
            for v4 in [true, false] {
                let Some(channel) = sockets.channel(v4).filter(|_| found.has_family(v4)) else {
                    continue;
                };
                let index = found.interface.index();
                let is_this = |it: &Joined| (it.found.interface.index(), it.v4) == (index, v4);
                let old = before.iter().position(is_this).map(|at| before.swap_remove(at));
                let stale = old.as_ref().is_some_and(|old| {
                    let came_back = found.running && !old.found.running;
                    let due = !found.loopback && now >= old.since + RENEWAL;
                    came_back || due || broken.contains(&index)
                });
                let since = match old {
                    Some(old) if !stale => old.since,
                    old => {
                        if old.is_some() {
                            channel.leave(found);
                        }
                        if let Err(error) = channel.join(found)
                            && error.kind() != io::ErrorKind::AddrInUse
                        {
                            refused.push((index, v4));
                            let (name, group) = (found.interface.name(), channel.group.ip());
                            let refusal = Refusal { error, group, names: vec![name.to_owned()] };
                            errors.push(((index, v4), refusal.to_error()));
                            if !self.refused.contains(&(index, v4)) {
                                match &mut fresh[usize::from(v4)] {
                                    Some(first) => first.names.push(name.to_owned()),
                                    none => *none = Some(refusal),
                                }
                            }
                            continue;
                        }
                        now
                    }
                };
                let (found, traffic) = (found.clone(), traffic.clone());
                self.joined.push(Joined { v4, found, since, traffic });
            }
        }
        for gone in before {
            if let Some(channel) = sockets.channel(gone.v4) {
                channel.leave(&gone.found);
            }
        }
        self.publish(sockets);
        self.publish_states(sockets, found, traffic, &errors);
        self.refused = refused;
        fresh.iter().flatten().map(Refusal::to_error).collect()
    }

    /// The counters of each of these interfaces.
    fn traffic_of(&mut self, found: &[Found]) -> Vec<Arc<Traffic>> {
        let before = std::mem::take(&mut self.traffic);
        let traffic = |found: &Found| {
            let index = found.interface.index();
            let old = before.iter().find(|(other, _)| *other == index);
            old.map(|(_, traffic)| traffic.clone()).unwrap_or_default()
        };
        let all: Vec<_> = found.iter().map(traffic).collect();
        let indices = found.iter().map(|found| found.interface.index());
        self.traffic = indices.zip(all.iter().cloned()).collect();
        all
    }

    /// Publishes all interfaces, for the counters.
    fn publish_states(
        &self,
        sockets: &Sockets,
        found: &[Found],
        traffic: Vec<Arc<Traffic>>,
        errors: &[((u32, bool), Error)],
    ) {
        let state = |(found, traffic): (&Found, Arc<Traffic>)| {
            let index = found.interface.index();
            let error = errors.iter().find(|((other, _), _)| *other == index);
            State {
                found: found.clone(),
                joined: self.joined.iter().any(|it| it.found.interface.index() == index),
                error: error.map(|(_, error)| error.to_string()),
                traffic,
            }
        };
        let mut states: Vec<State> = found.iter().zip(traffic).map(state).collect();
        sort_short(&mut states, |state| state.found.interface.index());
        *write(&sockets.interfaces) = states;
    }

    /// Publishes the interfaces to send on.
    fn publish(&self, sockets: &Sockets) {
        let mut targets: Vec<Target> = self
            .joined
            .iter()
            .filter(|joined| self.choice.sends(&joined.found))
            .map(|Joined { v4, found, traffic, .. }| Target {
                traffic: traffic.clone(),
                v4: *v4,
                loopback: found.loopback,
                interface: found.interface,
                from: match self.choice {
                    Choice::Address(IpAddr::V4(address), _) => Some(address),
                    // On loopback the system would choose another source address.
                    _ if found.loopback || calls::SENDS_BY_ADDRESS => found.first_v4(),
                    _ => None,
                },
            })
            .collect();
        let sends =
            self.joined.iter().filter(|it| !it.found.loopback && self.choice.sends(&it.found));
        let largest = sends.map(|it| payload(it.found.mtu, it.v4)).min().unwrap_or(MAX_DATAGRAM);
        sockets.largest.store(largest, Ordering::Relaxed);
        // Datagrams arrive on this host in this order, and the first address identifies a peer.
        sort_short(&mut targets, |target| (target.loopback, !target.v4, target.interface.index()));
        let mut published = write(&sockets.targets);
        if **published != *targets {
            *published = targets.into();
        }
    }

    /// Counts datagrams that were received from this address on the interface with this index.
    /// Returns the interface, if it is in use.
    pub fn count(&self, index: u32, from: IpAddr, datagrams: usize) -> Option<Interface> {
        let joined = self.joined.iter().find(|it| it.found.interface.index() == index)?;
        let datagrams = datagrams as u64;
        joined.traffic.received.fetch_add(datagrams, Ordering::Relaxed);
        if joined.found.has(from) {
            joined.traffic.echoes.fetch_add(datagrams, Ordering::Relaxed);
        }
        Some(joined.found.interface)
    }

    /// The hints about the interfaces that were found.
    pub fn hints(&self, found: &[Found]) -> Vec<Hint> {
        let names = |mut names: Vec<&str>| {
            names.dedup();
            names.join(", ")
        };
        let all = || names(found.iter().map(|found| found.interface.name()).collect());
        let unmatched = self.choice.unmatched(found).into_iter();
        let mut hints: Vec<Hint> = unmatched
            .map(|pattern| Hint::NoSuchInterface { pattern: pattern.to_owned(), names: all() })
            .collect();
        if !self.containers.is_empty() {
            let containers = self.containers.iter().map(Interface::name).collect();
            hints.push(Hint::Containers { names: names(containers) });
        }
        hints
    }

    /// The names of the interfaces in use, for the log.
    pub fn names(&self) -> String {
        let mut names: Vec<&str> = self.joined.iter().map(|it| it.found.interface.name()).collect();
        names.dedup();
        names.join(", ")
    }

    /// Returns whether an interface could not be joined the last time.
    pub fn is_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// The number of interfaces in use beyond the loopback interface.
    pub fn interface_count(&self) -> usize {
        let mut indices = Vec::new();
        for Joined { found, .. } in &self.joined {
            let index = found.interface.index();
            if !found.loopback && found.running && !indices.contains(&index) {
                indices.push(index);
            }
        }
        indices.len()
    }

    /// Returns whether the interfaces in use can change.
    pub fn can_change(&self) -> bool {
        !self.choice.is_loopback()
    }
}

pub(crate) fn too_large(size: usize) -> Error {
    let text = format!(
        "the message takes {size} bytes on the wire; a datagram holds at most {MAX_DATAGRAM}"
    );
    Error::new(crate::error::ErrorCode::MessageTooLarge, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_joined_by_its_number_is_joined_by_its_address() {
        let mut on = Found {
            interface: Interface::new(0x7FFF_FFFF, "none"),
            up: true,
            running: true,
            multicast: true,
            loopback: true,
            point_to_point: false,
            mtu: 65_536,
            addresses: vec![Ipv4Addr::LOCALHOST.into()],
        };
        let group = Ipv4Addr::new(224, 0, 0, 77);
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        let reference = SockRef::from(&socket);
        join(&reference, group.into(), &on).unwrap();
        let again = join(&reference, group.into(), &on).unwrap_err();
        assert_ne!(again.kind(), io::ErrorKind::AddrInUse, "the first error is told");
        let by_address = socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap_err();
        assert_eq!(by_address.kind(), io::ErrorKind::AddrInUse);
        leave(&reference, group.into(), &on).unwrap();
        leave(&reference, group.into(), &on).unwrap_err();
        on.addresses.clear();
        join(&reference, group.into(), &on).unwrap_err();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_interface_alone_is_set_once_and_one_of_several_is_named_in_each_datagram() {
        let group = SocketAddr::new(Ipv4Addr::new(224, 0, 0, 77).into(), 9);
        let socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let channel = Channel {
            socket,
            group,
            own: OwnCopies::default(),
            more: MoreMemberships::default(),
            preferred: Mutex::default(),
        };
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        let packets = Packets { data: b"one", sizes: &[3] };
        let lo = Some((1, Some(Ipv4Addr::LOCALHOST)));
        let none = Ipv4Addr::UNSPECIFIED;
        for (routes, from) in [
            (1, Ipv4Addr::LOCALHOST),
            (1, Ipv4Addr::LOCALHOST),
            (2, none),
            (1, Ipv4Addr::LOCALHOST),
        ] {
            let mut sent = Sent::default();
            let each = [(to, lo, None), (to, lo, None)];
            channel.send(packets, &mut each.into_iter().take(routes), &mut sent, None);
            assert!(sent.error.is_none());
            for _ in 0..routes {
                assert_eq!(receiver.recv(&mut [0; 9]).unwrap(), 3);
            }
            assert_eq!(channel.reference().multicast_if_v4().unwrap(), from);
        }
        channel.send(packets, &mut [(to, None, None)].into_iter(), &mut Sent::default(), None);
        assert_eq!(channel.reference().multicast_if_v4().unwrap(), Ipv4Addr::LOCALHOST);
    }
}
