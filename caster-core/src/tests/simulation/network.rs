//! The network between the hosts: loss, delay, cuts in one direction, fragments and reassembly, and
//! the kernels that refuse what no process takes.

use super::*;

/// The largest IP packet.
const MTU: usize = 1500;

/// The headers of IP and of UDP.
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;

/// The memory of Linux for incomplete datagrams, and its duration.
const REASSEMBLY_BYTES: usize = 4 << 20;
const REASSEMBLY_TIME: Duration = secs(30);

/// Linux sends so many refusals to one destination at once, and one a second from then on.
const REFUSALS_AT_ONCE: f64 = 6.0;

/// How the network treats datagrams. All loss is drawn for each receiver by itself.
#[derive(Debug, Clone)]
pub struct Network {
    /// Of each packet; a datagram of several packets is lost with any of them.
    pub loss: f64,
    /// Mean length and mean distance of times in which everything from one node to one other is
    /// lost.
    pub bursts: Option<(Duration, Duration)>,
    pub duplicates: f64,
    /// The most that a datagram is late; with it they overtake each other.
    pub delay: Duration,
}

impl Network {
    pub const PERFECT: Network =
        Network { loss: 0.0, bursts: None, duplicates: 0.0, delay: Duration::from_micros(200) };

    pub fn lossy(loss: f64) -> Self {
        Network { loss, ..Self::PERFECT }
    }
}

/// The treatment of unicast datagrams by the firewall of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firewall {
    Open,
    /// It refuses them as if no process had the port open.
    Rejects,
    /// It drops them, and nothing is refused.
    Drops,
}

/// The part of a host that goes on when its processes do not.
#[derive(Debug)]
pub struct Kernel {
    pub runs: bool,
    pub firewall: Firewall,
    /// Whether it rations refusals, as Linux does.
    pub rations: bool,
    /// Refusals that may go to each destination, and when that was counted.
    refusals: BTreeMap<IpAddr, (f64, Duration)>,
    /// Incomplete datagrams: until when they are kept, and their bytes.
    incomplete: VecDeque<(Duration, usize)>,
}

impl Kernel {
    pub fn new() -> Self {
        Self {
            runs: true,
            firewall: Firewall::Open,
            rations: true,
            refusals: BTreeMap::new(),
            incomplete: VecDeque::new(),
        }
    }

    /// Whether a refusal goes to this destination now.
    fn may_refuse(&mut self, to: IpAddr, now: Duration) -> bool {
        if !self.rations {
            return true;
        }
        let (left, at) = self.refusals.entry(to).or_insert((REFUSALS_AT_ONCE, now));
        *left = (*left + (now - *at).as_secs_f64()).min(REFUSALS_AT_ONCE);
        *at = now;
        let may = *left >= 1.0;
        *left -= f64::from(u8::from(may));
        may
    }

    /// Whether so many bytes of fragments find room.
    fn has_room(&mut self, bytes: usize, now: Duration) -> bool {
        while self.incomplete.front().is_some_and(|(until, _)| *until <= now) {
            self.incomplete.pop_front();
        }
        let used: usize = self.incomplete.iter().map(|(_, bytes)| bytes).sum();
        used + bytes <= REASSEMBLY_BYTES
    }
}

/// The counters of the network.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub refusals: u64,
    pub refusals_rationed: u64,
    /// Datagrams of more than one packet that a host was sent.
    pub fragmented: u64,
    /// Those of them of which some packets arrived in vain.
    pub incomplete: u64,
    /// Those that found no room.
    pub without_room: u64,
}

/// The datagrams that reached an address at which no member of the group is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    pub datagrams: usize,
    pub bytes: usize,
    pub messages: usize,
}

fn packets(bytes: usize) -> usize {
    (bytes + UDP_HEADER).div_ceil(MTU - IP_HEADER)
}

impl Simulation {
    /// Sends to the group: each interface sends a copy, and each host gets what its cables carry.
    pub fn send(&mut self, from: usize, content: impl Into<Content>) {
        let content = content.into();
        self.check_size(from, &content, self.limits.group);
        if self.hosts[from].unplugged {
            return;
        }
        self.hosts[from].sent += 1;
        self.datagrams += 1;
        if self.prints.1 {
            println!("{:?} {from} to all: {content:?}", self.now);
        }
        let number = self.datagrams;
        for interface in 0..self.hosts[from].addresses.len() {
            let source = SocketAddr::new(self.hosts[from].addresses[interface], GROUP_PORT);
            if self.hosts.len() > LARGE_GROUP {
                self.send_to_many(from, source, number, &content);
                continue;
            }
            for to in 0..self.hosts.len() {
                let within = self.hosts[to].on == self.hosts[from].on;
                if !within && (!self.reaches(from, to) || self.is_lost(from, to, content.len())) {
                    continue;
                }
                if within && to == from && !self.hosts[from].config.transport.loopback {
                    continue;
                }
                self.carry(to, source, number, &content, !within);
            }
        }
    }

    /// The rule of the MTU: no datagram of a Caster node is a fragment, but whole messages and full
    /// heartbeats to the group while an original is there.
    fn check_size(&mut self, from: usize, content: &Content, most: usize) {
        let Some(Program::Caster(engine)) = &self.hosts[from].program else { return };
        let excepted = matches!(content, Content::Text(_)) && engine.goes_whole();
        if content.len() > most && !(excepted && most == self.limits.group) {
            let size = content.len();
            self.problems.push(format!("{from} sends {size} bytes where {most} are the limit"));
        }
    }

    /// The same to a large group: it arrives at one of a few times at each member.
    fn send_to_many(&mut self, from: usize, source: SocketAddr, number: u64, content: &Content) {
        let mut times: [Vec<usize>; TIMES] = Default::default();
        for to in 0..self.hosts.len() {
            let echo = to == from && self.hosts[from].config.transport.loopback;
            let reached = to != from && self.reaches(from, to);
            if echo || (reached && !self.is_lost(from, to, content.len())) {
                times[self.random.next() as usize % TIMES].push(to);
            }
        }
        for (time, to) in times.into_iter().enumerate().filter(|(_, to)| !to.is_empty()) {
            let at = self.now + self.network.delay * time as u32 / TIMES as u32;
            let content = content.clone();
            self.schedule(at, Happening::DeliverToMany { to, source, number, content });
        }
    }

    /// Puts a datagram on its way, and what the network makes of it.
    fn carry(
        &mut self,
        to: usize,
        source: SocketAddr,
        number: u64,
        content: &Content,
        copied: bool,
    ) {
        let twice = copied
            && self.network.duplicates > 0.0
            && self.random.fraction() < self.network.duplicates;
        for _ in 0..1 + u32::from(twice) {
            let at = self.now + self.network.delay.mul_f64(self.random.fraction());
            let content = content.clone();
            self.schedule(at, Happening::Deliver { to, source, number, content });
        }
    }

    /// Sends to one port, across routers that multicast does not cross. With `tells` the sender's
    /// engine is told of a refusal.
    pub fn send_to(&mut self, from: usize, to: SocketAddr, content: Content, tells: bool) {
        self.check_size(from, &content, self.limits.alone);
        self.hosts[from].sent += 1;
        self.hosts[from].sent_alone += 1;
        if self.prints.1 {
            println!("{:?} {from} to {to}: {content:?}", self.now);
        }
        let Some(kernel) = self.hosts.iter().position(|it| it.addresses.contains(&to.ip())) else {
            let received = self.strangers.entry(to).or_default();
            received.datagrams += 1;
            received.bytes += content.len() + IP_HEADER + UDP_HEADER;
            return;
        };
        let kernel = self.hosts[kernel].on;
        let within = self.hosts[from].on == kernel;
        if !self.hosts[kernel].kernel.runs
            || self.hosts[from].unplugged
            || self.hosts[kernel].unplugged
            || self.cuts.contains(&(from, kernel))
            || (!within && self.is_lost(from, kernel, content.len()))
        {
            return;
        }
        let source = self.private_source(from);
        let firewall = match within {
            true => Firewall::Open,
            false => self.hosts[kernel].kernel.firewall,
        };
        let process = self.hosts.iter().position(|host| {
            host.on == kernel
                && host.program.is_some()
                && (to.port() == GROUP_PORT || host.port == Some(to.port()))
        });
        match (firewall, process) {
            (Firewall::Drops, _) => {}
            (Firewall::Open, Some(process)) => {
                self.datagrams += 1;
                self.carry(process, source, self.datagrams, &content, !within);
            }
            _ => self.refuse(kernel, from, to, tells),
        }
    }

    /// Where unicast datagrams of this node come from.
    pub fn private_source(&self, host: usize) -> SocketAddr {
        let it = &self.hosts[host];
        SocketAddr::new(it.addresses[0], it.port.unwrap_or(GROUP_PORT))
    }

    /// The kernel of a host tells the sender that no process has the port open.
    fn refuse(&mut self, kernel: usize, sender: usize, port: SocketAddr, tells: bool) {
        let to = self.hosts[sender].addresses[0];
        if !self.hosts[kernel].kernel.may_refuse(to, self.now) {
            self.traffic.refusals_rationed += 1;
            return;
        }
        self.traffic.refusals += 1;
        if self.prints.1 {
            println!("{:?} refused to {sender}: {port}", self.now);
        }
        let within = self.hosts[sender].on == kernel;
        if tells
            && (within
                || !(self.cuts.contains(&(kernel, sender)) || self.is_lost(kernel, sender, 0)))
        {
            let delay = 2.0 * self.random.fraction();
            let at = self.now + self.network.delay.mul_f64(delay);
            let start = self.hosts[sender].start;
            self.schedule(at, Happening::Refused { to: sender, start, port });
        }
    }

    /// Whether multicast from the one reaches the other.
    pub fn reaches(&self, from: usize, to: usize) -> bool {
        let (a, b) = (&self.hosts[from], &self.hosts[to]);
        a.side == b.side && !a.unplugged && !b.unplugged && !self.cuts.contains(&(from, to))
    }

    /// Whether a datagram is lost, a packet of it, or its last room.
    fn is_lost(&mut self, from: usize, to: usize, bytes: usize) -> bool {
        if self.network.bursts.is_some() && self.is_in_burst(from, to) {
            return true;
        }
        let packets = packets(bytes);
        if packets == 1 {
            return self.network.loss > 0.0 && self.random.fraction() < self.network.loss;
        }
        let loss = self.network.loss;
        let lost = (0..packets).filter(|_| self.random.fraction() < loss).count();
        let bytes = (packets - lost) * MTU;
        self.traffic.fragmented += 1;
        let now = self.now;
        let kernel = self.hosts[to].on;
        let kernel = &mut self.hosts[kernel].kernel;
        if !kernel.has_room(bytes, now) {
            self.traffic.without_room += 1;
            return true;
        }
        if lost > 0 && lost < packets {
            self.traffic.incomplete += 1;
            kernel.incomplete.push_back((now + REASSEMBLY_TIME, bytes));
        }
        lost > 0
    }

    fn is_in_burst(&mut self, from: usize, to: usize) -> bool {
        let Some((length, distance)) = self.network.bursts else { return false };
        let now = self.now;
        let random = &mut self.random;
        let mut draw = |mean: Duration| mean.mul_f64(-(1.0 - random.fraction()).ln());
        let first = || (Duration::ZERO, now);
        let (until, next) = self.bursts.entry((from, to)).or_insert_with(first);
        if *next == now && *until == Duration::ZERO {
            *next = now + draw(distance);
        }
        while *next <= now {
            *until = *next + draw(length);
            *next = *until + draw(distance);
        }
        now < *until
    }

    /// A datagram to all members from a source that is not theirs, or pretends to be.
    pub fn forge(&mut self, source: SocketAddr, text: &str) {
        let content = text.into();
        self.datagrams += 1;
        for to in 0..self.hosts.len() {
            if !self.hosts[to].unplugged && !self.is_lost(to, to, text.len()) {
                self.carry(to, source, self.datagrams, &content, true);
            }
        }
    }
}

#[test]
fn a_kernel_rations_its_refusals() {
    let mut kernel = Kernel::new();
    let to = IpAddr::from([10, 0, 0, 1]);
    let refused = |kernel: &mut Kernel, at| (0..20).filter(|_| kernel.may_refuse(to, at)).count();
    assert_eq!(refused(&mut kernel, secs(1)), 6);
    assert_eq!(refused(&mut kernel, secs(2)), 1);
    assert_eq!(refused(&mut kernel, secs(60)), 6);
    assert!(kernel.may_refuse(IpAddr::from([10, 0, 0, 2]), secs(60)));
}

#[test]
fn lost_fragments_fill_the_memory_of_a_host_and_then_no_fragment_arrives() {
    let mut simulation = Simulation::new(1, Network::lossy(0.01));
    simulation.add(Options::for_node());
    simulation.add(Options::for_node());
    let arrived = |simulation: &mut Simulation, count| {
        (0..count).filter(|_| !simulation.is_lost(0, 1, 60_000)).count()
    };
    // Of 41 packets, all arrive with a probability of 0.66.
    let first = arrived(&mut simulation, 100);
    assert!((50..82).contains(&first), "{first}");
    arrived(&mut simulation, 400);
    assert_eq!(arrived(&mut simulation, 100), 0);
    assert!(!(0..1000).all(|_| simulation.is_lost(0, 1, 5)), "small ones arrive");
    assert!(simulation.traffic.without_room >= 100, "{:?}", simulation.traffic);
    simulation.now += REASSEMBLY_TIME;
    assert!(arrived(&mut simulation, 10) > 0);
}
