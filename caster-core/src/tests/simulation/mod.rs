//! Whole networks in virtual time: many engines, a lossy network, faults; everything from one seed.
//!
//! `CASTER_SIM_SEEDS=1000` says how many, `CASTER_SIM_FROM=5000` from which on,
//! `CASTER_SIM_SEED=17` runs one and prints its trace, with `CASTER_SIM_PACKETS=1` its datagrams
//! and refusals, too.

mod accidents;
mod attacks;
mod checks;
mod deaths;
mod faults;
mod liars;
mod nat;
mod network;
mod one_way;
mod original;
mod pieces;
mod steady;
mod tables;

use crate::options::{NodeConfig, Options};
use crate::peer::NodeId;
use crate::protocol::destination::Destination;
use crate::protocol::engine::Engine;
use crate::protocol::envelope::{self, Envelope};
use crate::protocol::event::{DownReason, Event};
use crate::protocol::limits::Limits;
use crate::protocol::output::Output;
use crate::protocol::random::Random;
use crate::protocol::time::Now;
use checks::{Death, Told, What};
use network::{Firewall, Kernel, Network, Received, Traffic};
use original::Original;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The port of the group.
const GROUP_PORT: u16 = 10101;

/// The port of each process for unicast; those of a second process on a host are above.
const PRIVATE_PORT: u16 = 21101;

/// In groups larger than this a datagram reaches the members at this many different times, so that
/// the agenda stays short.
const LARGE_GROUP: usize = 100;
const TIMES: usize = 16;

/// How many datagrams a host remembers, to tell copies.
const REMEMBERED: usize = 256;

fn address(host: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (host >> 8) as u8, host as u8], GROUP_PORT))
}

/// The content of a datagram: a text to the group's port, or a frame to the data port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    Text(Rc<str>),
    Frame(Rc<[u8]>),
}

impl Content {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Frame(frame) => frame.len(),
        }
    }
}

impl<T: Into<Rc<str>>> From<T> for Content {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

/// A Caster node, or a model of caster 0.1.1.
enum Program {
    Caster(Box<Engine>),
    Original(Original),
}

/// A host with one process; or a further process of another host.
struct Host {
    program: Option<Program>,
    config: NodeConfig,
    /// Which start of the program this is: what was scheduled for an earlier one is void.
    start: u32,
    /// The host of which this is a process: itself, unless the host has several.
    on: usize,
    kernel: Kernel,
    /// One for each interface.
    addresses: Vec<IpAddr>,
    /// The port of its process for unicast.
    port: Option<u16>,
    /// When it is to be woken next.
    wake: Option<Duration>,
    /// While it is stopped its datagrams wait in the socket.
    paused: bool,
    waiting: VecDeque<(SocketAddr, u64, Content)>,
    /// Neither sends nor receives, its own datagrams included.
    unplugged: bool,
    /// Nodes on the same side hear each other.
    side: u8,
    /// The wall clock has been set by so much.
    wall_offset: i64,
    sent: u64,
    /// The part of it that was unicast.
    sent_alone: u64,
    /// Datagrams that were received lately, to tell copies by another interface.
    received: VecDeque<u64>,
    /// The peers that its program was told are up.
    known: BTreeSet<NodeId>,
    /// Since when it runs without a fault of its own.
    sound_since: Duration,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Deliver { to: usize, source: SocketAddr, number: u64, content: Content },
    DeliverToMany { to: Vec<usize>, source: SocketAddr, number: u64, content: Content },
    Refused { to: usize, start: u32, port: SocketAddr },
    Wake { host: usize, start: u32 },
    Check { death: usize },
}

struct Simulation {
    now: Duration,
    random: Random,
    network: Network,
    hosts: Vec<Host>,
    agenda: BinaryHeap<Reverse<(Duration, u64, Happening)>>,
    number: u64,
    datagrams: u64,
    /// Whether a datagram may reach a host more than once.
    copies: bool,
    /// The sizes of datagrams that engines know. No limits: they know of no packets.
    limits: Limits,
    /// Whether engines are told of all refusals, and not of those of port probes only.
    tells_all_refusals: bool,
    /// From which host nothing reaches which other.
    cuts: BTreeSet<(usize, usize)>,
    /// Until when everything from one to another is lost, and when the next such time begins.
    bursts: BTreeMap<(usize, usize), (Duration, Duration)>,
    traffic: Traffic,
    /// The datagrams sent to addresses that are no host's.
    strangers: BTreeMap<SocketAddr, Received>,
    told: Vec<Told>,
    deaths: Vec<Death>,
    /// The longest time that it took until a death was told, among those that were expected.
    slowest: Duration,
    /// A hash of everything that was told: the same seed gives the same.
    trace: u64,
    /// Whether each event is printed, and each datagram.
    prints: (bool, bool),
    problems: Vec<String>,
}

impl Simulation {
    fn new(seed: u64, network: Network) -> Self {
        let copies = network.duplicates > 0.0;
        Self {
            now: secs(1),
            random: Random::new(seed),
            network,
            hosts: Vec::new(),
            agenda: BinaryHeap::new(),
            number: 0,
            datagrams: 0,
            copies,
            limits: Limits::NONE,
            tells_all_refusals: true,
            cuts: BTreeSet::new(),
            bursts: BTreeMap::new(),
            traffic: Traffic::default(),
            strangers: BTreeMap::new(),
            told: Vec::new(),
            deaths: Vec::new(),
            slowest: Duration::ZERO,
            trace: 0xCBF2_9CE4_8422_2325,
            prints: (number("CASTER_SIM_SEED").is_some(), number("CASTER_SIM_PACKETS").is_some()),
            problems: Vec::new(),
        }
    }

    fn add(&mut self, options: Options) -> usize {
        let host = self.hosts.len();
        let config = options.with("id", &format!("n{host}")).resolve_node().unwrap();
        self.hosts.push(Host {
            program: None,
            config,
            start: 0,
            on: host,
            kernel: Kernel::new(),
            addresses: vec![address(host).ip()],
            port: None,
            wake: None,
            paused: false,
            waiting: VecDeque::new(),
            unplugged: false,
            side: 0,
            wall_offset: 0,
            sent: 0,
            sent_alone: 0,
            received: VecDeque::new(),
            known: BTreeSet::new(),
            sound_since: Duration::ZERO,
        });
        host
    }

    fn add_many(&mut self, count: usize) {
        for _ in 0..count {
            let host = self.add(Options::for_node());
            self.start(host);
            let spread = ms(self.random.next() % 1000);
            self.run_for(spread / count as u32);
        }
    }

    /// A group after its first twelve seconds.
    fn group(seed: u64, nodes: usize, network: Network) -> Self {
        let mut simulation = Simulation::new(seed, network);
        simulation.add_many(nodes);
        simulation.run_for(secs(12));
        simulation
    }

    /// The same with a port for each process.
    fn group_with_ports(seed: u64, nodes: usize, network: Network) -> Self {
        let mut simulation = Simulation::new(seed, network);
        for _ in 0..nodes {
            let host = simulation.add(Options::for_node());
            simulation.hosts[host].port = Some(PRIVATE_PORT);
            simulation.start(host);
            simulation.run_for(ms(50));
        }
        simulation.run_for(secs(12));
        simulation
    }

    /// A second process on a host.
    fn add_on(&mut self, host: usize, options: Options) -> usize {
        let process = self.add(options);
        let others = self.hosts.iter().filter(|it| it.on == host).count() as u16;
        self.hosts[process].on = host;
        self.hosts[process].addresses = self.hosts[host].addresses.clone();
        self.hosts[process].port = Some(PRIVATE_PORT + others);
        process
    }

    fn id(&self, host: usize) -> NodeId {
        self.hosts[host].config.id.clone()
    }

    fn clock(&self, host: usize) -> Now {
        let unix_ms =
            1_000_000_000_000 + self.now.as_millis() as i64 + self.hosts[host].wall_offset;
        Now { mono: self.now, unix_ms: unix_ms as u64 }
    }

    fn start(&mut self, host: usize) {
        let seed = self.random.next();
        self.start_with(host, seed);
    }

    /// The seed decides the incarnation.
    fn start_with(&mut self, host: usize, seed: u64) {
        let now = self.clock(host);
        let it = &mut self.hosts[host];
        it.start += 1;
        it.wake = None;
        it.known.clear();
        it.received.clear();
        it.sound_since = now.mono;
        let mut engine = Engine::new(&it.config, seed);
        engine.set_limits(self.limits);
        engine.set_port(it.port);
        engine.interfaces(&it.addresses, None, now);
        engine.start(it.config.announce, seed.into(), now);
        it.program = Some(Program::Caster(Box::new(engine)));
        self.settle(host);
    }

    fn start_original(&mut self, host: usize) {
        let heartbeat = self.hosts[host].config.heartbeat;
        let next = self.now + heartbeat;
        let it = &mut self.hosts[host];
        it.start += 1;
        it.wake = None;
        it.known.clear();
        it.sound_since = self.now;
        it.program = Some(Program::Original(Original {
            id: it.config.id.clone(),
            heartbeat,
            timeout: it.config.timeout,
            next,
            peers: BTreeMap::new(),
        }));
        self.wake_at(host, next);
    }

    fn engine(&mut self, host: usize) -> &mut Engine {
        match &mut self.hosts[host].program {
            Some(Program::Caster(engine)) => engine,
            _ => panic!("host {host} runs no engine"),
        }
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(Reverse((at, ..))) = self.agenda.peek()
            && *at <= until
        {
            let Reverse((at, _, happening)) = self.agenda.pop().expect("it was there");
            self.now = at;
            match happening {
                Happening::Deliver { to, source, number, content } => {
                    self.deliver(to, source, number, &content);
                }
                Happening::DeliverToMany { to, source, number, content } => {
                    for to in to {
                        self.deliver(to, source, number, &content);
                    }
                }
                Happening::Refused { to, start, port } => {
                    let now = self.clock(to);
                    let it = &mut self.hosts[to];
                    if it.start == start
                        && !it.paused
                        && let Some(Program::Caster(engine)) = &mut it.program
                    {
                        engine.refused(port, now);
                        self.settle(to);
                    }
                }
                Happening::Wake { host, start } => {
                    let it = &mut self.hosts[host];
                    if it.start != start || it.wake != Some(at) {
                        continue;
                    }
                    it.wake = None;
                    if !it.paused && it.program.is_some() {
                        self.wake(host);
                    }
                }
                Happening::Check { death } => self.check_death(death),
            }
        }
        self.now = until;
    }

    fn deliver(&mut self, to: usize, source: SocketAddr, number: u64, content: &Content) {
        let it = &mut self.hosts[to];
        if it.program.is_none() || it.unplugged {
            return;
        }
        if it.paused {
            // A receive buffer of the usual size.
            if it.waiting.len() < 500 {
                it.waiting.push_back((source, number, content.clone()));
            }
            return;
        }
        self.hear(to, source, number, content);
    }

    fn hear(&mut self, host: usize, source: SocketAddr, number: u64, content: &Content) {
        let now = self.clock(host);
        let it = &mut self.hosts[host];
        match (&mut it.program, content) {
            (Some(Program::Caster(engine)), Content::Frame(frame)) => {
                let _ = engine.receive_frame(frame, source, now);
                self.settle(host);
            }
            (Some(Program::Caster(engine)), Content::Text(text)) => {
                let copied = it.received.contains(&number);
                if copied {
                    engine.receive_copy(text, source, now);
                } else {
                    if self.copies {
                        it.received.truncate(REMEMBERED - 1);
                        it.received.push_front(number);
                    }
                    let _ = engine.receive(text, source, now);
                }
                self.settle(host);
            }
            (Some(Program::Original(original)), Content::Text(text)) => {
                if let Some((what, id)) = original.hear(text, now.mono) {
                    self.tell(host, what, id);
                }
            }
            // An original does not have the data port open.
            _ => {}
        }
    }

    fn wake(&mut self, host: usize) {
        let now = self.clock(host);
        match &mut self.hosts[host].program {
            Some(Program::Caster(engine)) => {
                engine.handle_timeout(now, false);
                self.settle(host);
            }
            Some(Program::Original(original)) => {
                let (gone, beat) = original.beat(now.mono);
                let next = original.next;
                for id in gone {
                    self.tell(host, What::Down(DownReason::Timeout), id);
                }
                self.send(host, beat);
                self.wake_at(host, next);
            }
            None => {}
        }
    }

    /// Takes all outputs of an engine and notes when it is to be woken.
    fn settle(&mut self, host: usize) {
        loop {
            let Some(Program::Caster(engine)) = &mut self.hosts[host].program else { return };
            let Some(output) = engine.poll_output() else {
                if let Some(due) = engine.poll_timeout() {
                    self.wake_at(host, due.max(self.now));
                }
                return;
            };
            match output {
                Output::Transmit(message, to) => {
                    let content = match message.as_json() {
                        Some(text) => text.into(),
                        None => Content::Frame(message.data().into()),
                    };
                    match to {
                        Destination::These(addresses) | Destination::TheseFrom(_, addresses) => {
                            for to in addresses {
                                let tells = self.tells_all_refusals;
                                self.send_to(host, to, content.clone(), tells);
                            }
                        }
                        Destination::PortProbe(port) => self.send_to(host, port, content, true),
                        _ => self.send(host, content),
                    }
                }
                Output::Event(event) => {
                    let own = self.id(host);
                    let (what, about) = match event {
                        Event::Up(peer) => (What::Up, peer.id),
                        Event::Down { peer, reason } => (What::Down(reason), peer.id),
                        Event::Update { peer, .. } => (What::Update, peer.id),
                        Event::Conflict { id, .. } => (What::Conflict, id),
                        Event::Message { peer, .. } => (What::Message, peer.id),
                        Event::Isolated => (What::Isolated, own),
                        Event::Rejoined => (What::Rejoined, own),
                        _ => continue,
                    };
                    self.tell(host, what, about);
                }
            }
        }
    }

    fn wake_at(&mut self, host: usize, due: Duration) {
        let it = &mut self.hosts[host];
        if it.wake.is_none_or(|at| due < at) {
            it.wake = Some(due);
            let start = it.start;
            self.schedule(due, Happening::Wake { host, start });
        }
    }

    fn schedule(&mut self, at: Duration, happening: Happening) {
        self.number += 1;
        self.agenda.push(Reverse((at, self.number, happening)));
    }

    /// Everything that was sent, by all nodes.
    fn sent(&self) -> u64 {
        self.hosts.iter().map(|host| host.sent).sum()
    }

    fn packets_per_node_and_second(&self, time: Duration) -> f64 {
        self.sent() as f64 / self.hosts.len() as f64 / time.as_secs_f64()
    }
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Runs one life for each seed, and tells all that went wrong.
fn for_each_seed(usual: u64, life: impl Fn(u64) -> Result<u64, String>) {
    for_each_seed_of(usual, 1, life);
}

/// The same for lives that cost so many times as much: one of so many seeds that were asked for.
fn for_each_seed_of(usual: u64, cost: u64, life: impl Fn(u64) -> Result<u64, String>) {
    let seeds = match number("CASTER_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("CASTER_SIM_FROM").unwrap_or(0);
            first..first + number("CASTER_SIM_SEEDS").map_or(usual, |seeds| seeds.div_ceil(cost))
        }
    };
    let failures: Vec<String> = seeds.clone().filter_map(|seed| life(seed).err()).collect();
    assert!(failures.is_empty(), "{} of {seeds:?}:\n{}", failures.len(), failures.join("\n"));
}
