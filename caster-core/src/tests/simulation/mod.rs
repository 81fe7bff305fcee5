//! Whole networks in virtual time: many engines, a lossy hub, faults; everything from one seed.
//!
//! `CASTER_SIM_SEEDS=1000` says how many, `CASTER_SIM_SEED=17` runs one and prints its trace.

use crate::options::{NodeConfig, Options};
use crate::peer::NodeId;
use crate::protocol::destination::Destination;
use crate::protocol::engine::Engine;
use crate::protocol::envelope::{self, Envelope};
use crate::protocol::event::{DownReason, Event};
use crate::protocol::output::Output;
use crate::protocol::random::Random;
use crate::protocol::time::Now;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

mod hostile;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// How the network treats datagrams. All loss is drawn for each receiver by itself.
#[derive(Debug, Clone)]
struct Network {
    loss: f64,
    /// Mean length and mean distance of times in which everything from one node to one other is
    /// lost.
    bursts: Option<(Duration, Duration)>,
    duplicates: f64,
    /// The most that a datagram is late; with it they overtake each other.
    delay: Duration,
}

impl Network {
    const PERFECT: Network =
        Network { loss: 0.0, bursts: None, duplicates: 0.0, delay: Duration::from_micros(200) };

    fn lossy(loss: f64) -> Self {
        Network { loss, ..Self::PERFECT }
    }
}

fn address(host: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (host >> 8) as u8, host as u8], 10101))
}

/// A Caster node, or a model of caster 0.1.1.
enum Program {
    Caster(Box<Engine>),
    Original(Original),
}

/// The behaviour of caster 0.1.1, with the timers of its README.
struct Original {
    id: NodeId,
    heartbeat: Duration,
    timeout: Duration,
    next: Duration,
    peers: BTreeMap<NodeId, Duration>,
}

struct Host {
    program: Option<Program>,
    config: NodeConfig,
    /// Which start of the program this is: what was scheduled for an earlier one is void.
    start: u32,
    /// When it is to be woken next.
    wake: Option<Duration>,
    /// While it is stopped its datagrams wait in the socket.
    paused: bool,
    waiting: VecDeque<(usize, Rc<str>)>,
    /// Neither sends nor receives, its own datagrams included.
    unplugged: bool,
    /// Nodes on the same side hear each other.
    side: u8,
    /// The wall clock has been set by so much.
    wall_offset: i64,
    sent: u64,
    /// Whether the machine runs, whether or not its program does.
    runs: bool,
    /// Whether its firewall refuses datagrams by unicast.
    rejects: bool,
    /// The port of its process for unicast.
    port: Option<u16>,
    /// The peers that its program was told are up.
    known: BTreeSet<NodeId>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Deliver {
        to: usize,
        from: usize,
        text: Rc<str>,
    },
    /// A datagram with a source of its own, which may be invented.
    Forged {
        to: usize,
        from: SocketAddr,
        text: Rc<str>,
    },
    /// The host of this port has refused a datagram.
    Refused {
        to: usize,
        port: SocketAddr,
    },
    Wake {
        host: usize,
        start: u32,
    },
}

/// Something that an observer was told about a node.
#[derive(Debug, Clone)]
struct Told {
    at: Duration,
    observer: usize,
    what: What,
    about: NodeId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Up,
    Down(DownReason),
    Update,
    Conflict,
    Isolated,
    Rejoined,
}

struct Simulation {
    now: Duration,
    random: Random,
    network: Network,
    hosts: Vec<Host>,
    agenda: BinaryHeap<Reverse<(Duration, u64, Happening)>>,
    number: u64,
    /// Until when everything from one to another is lost, and when the next such time begins.
    bursts: BTreeMap<(usize, usize), (Duration, Duration)>,
    told: Vec<Told>,
    /// A hash of everything that was told: the same seed gives the same.
    trace: u64,
    problems: Vec<String>,
}

impl Simulation {
    fn new(seed: u64, network: Network) -> Self {
        Self {
            now: secs(1),
            random: Random::new(seed),
            network,
            hosts: Vec::new(),
            agenda: BinaryHeap::new(),
            number: 0,
            bursts: BTreeMap::new(),
            told: Vec::new(),
            trace: 0xCBF2_9CE4_8422_2325,
            problems: Vec::new(),
        }
    }

    fn add(&mut self, options: Options) -> usize {
        let id = format!("n{}", self.hosts.len());
        let config = options.with("id", &id).resolve_node().unwrap();
        self.hosts.push(Host {
            program: None,
            config,
            start: 0,
            wake: None,
            paused: false,
            waiting: VecDeque::new(),
            unplugged: false,
            side: 0,
            wall_offset: 0,
            sent: 0,
            runs: true,
            rejects: false,
            port: None,
            known: BTreeSet::new(),
        });
        self.hosts.len() - 1
    }

    fn add_many(&mut self, count: usize) {
        for _ in 0..count {
            let host = self.add(Options::for_node());
            self.start(host);
            let spread = ms(self.random.next() % 1000);
            self.run_for(spread / count as u32);
        }
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
        let now = self.clock(host);
        let seed = self.random.next();
        let it = &mut self.hosts[host];
        it.start += 1;
        it.wake = None;
        it.known.clear();
        let mut engine = Engine::new(&it.config, seed);
        engine.interfaces(&[address(host).ip()], None, now);
        engine.set_port(it.port);
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
        it.program = Some(Program::Original(Original {
            id: it.config.id.clone(),
            heartbeat,
            timeout: it.config.timeout,
            next,
            peers: BTreeMap::new(),
        }));
        self.wake_at(host, next);
    }

    fn crash(&mut self, host: usize) {
        self.hosts[host].program = None;
        self.hosts[host].waiting.clear();
        self.hosts[host].paused = false;
    }

    fn leave(&mut self, host: usize) {
        if let Some(Program::Caster(engine)) = &mut self.hosts[host].program {
            engine.stop();
            let goodbye: Rc<str> = engine.leave_message().into();
            for _ in 0..3 {
                self.send(host, goodbye.clone());
            }
        }
        self.crash(host);
    }

    fn pause(&mut self, host: usize) {
        self.hosts[host].paused = true;
    }

    fn resume(&mut self, host: usize) {
        self.hosts[host].paused = false;
        while let Some((from, text)) = self.hosts[host].waiting.pop_front() {
            self.hear(host, from, &text);
        }
        self.wake(host);
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(Reverse((at, ..))) = self.agenda.peek()
            && *at <= until
        {
            let Reverse((at, _, happening)) = self.agenda.pop().expect("it was there");
            self.now = at;
            match happening {
                Happening::Deliver { to, from, text } => self.deliver(to, from, text),
                Happening::Forged { to, from, text } => self.hear_forged(to, from, &text),
                Happening::Refused { to, port } => self.hear_refusal(to, port),
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
            }
        }
        self.now = until;
    }

    fn hear_forged(&mut self, to: usize, from: SocketAddr, text: &str) {
        let now = self.clock(to);
        if let Some(Program::Caster(engine)) = &mut self.hosts[to].program {
            let _ = engine.receive(text, from, now);
            self.settle(to);
        }
    }

    fn hear_refusal(&mut self, to: usize, port: SocketAddr) {
        let now = self.clock(to);
        if let Some(Program::Caster(engine)) = &mut self.hosts[to].program {
            engine.refused(port, now);
            self.settle(to);
        }
    }

    /// A datagram to the port of a process. A host that runs refuses it if no process has the port
    /// open, and by a firewall also if one has.
    fn probe_port(&mut self, from: usize, port: SocketAddr, text: Rc<str>) {
        self.hosts[from].sent += 1;
        let Some(to) = (0..self.hosts.len()).find(|&host| address(host).ip() == port.ip()) else {
            return;
        };
        if self.hosts[from].unplugged
            || self.hosts[to].unplugged
            || !self.connected(from, to)
            || self.is_lost(from, to)
        {
            return;
        }
        let delay = self.network.delay.mul_f64(self.random.fraction());
        let host = &self.hosts[to];
        if host.program.is_some() && !host.rejects {
            self.schedule(self.now + delay, self.alone(to, from, text));
        } else if host.runs && !self.is_lost(to, from) {
            self.schedule(self.now + delay, Happening::Refused { to: from, port });
        }
    }

    fn deliver(&mut self, to: usize, from: usize, text: Rc<str>) {
        let it = &mut self.hosts[to];
        if it.program.is_none() || it.unplugged {
            return;
        }
        if it.paused {
            // A receive buffer of the usual size.
            if it.waiting.len() < 500 {
                it.waiting.push_back((from, text));
            }
            return;
        }
        self.hear(to, from, &text);
    }

    fn hear(&mut self, host: usize, from: usize, text: &str) {
        let address = address(from);
        let now = self.clock(host);
        match &mut self.hosts[host].program {
            Some(Program::Caster(engine)) => {
                let _ = engine.receive(text, address, now);
                self.settle(host);
            }
            Some(Program::Original(original)) => {
                let envelope = Envelope::parse(text).expect("nodes send envelopes");
                let id = envelope.id.to_node_id();
                let what = match envelope.suicide {
                    true => original.peers.remove(&id).map(|_| What::Down(DownReason::Goodbye)),
                    false => {
                        let known = original.peers.insert(id.clone(), self.now);
                        known.is_none().then_some(What::Up)
                    }
                };
                if let Some(what) = what {
                    self.tell(host, what, id);
                }
            }
            None => {}
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
                let beat = envelope::heartbeat(&original.id, Some("null"), None);
                original.next += original.heartbeat;
                let next = original.next;
                let late = now.mono.saturating_sub(original.timeout);
                let gone: Vec<NodeId> = original
                    .peers
                    .extract_if(.., |_, heard| *heard < late)
                    .map(|(id, _)| id)
                    .collect();
                for id in gone {
                    self.tell(host, What::Down(DownReason::Timeout), id);
                }
                self.send(host, beat.into());
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
                    let text: Rc<str> = message.as_json().expect("engines send JSON").into();
                    match to {
                        Destination::These(addresses) => {
                            for to in addresses {
                                self.send_to(host, to, text.clone());
                            }
                        }
                        Destination::PortProbe(port) => self.probe_port(host, port, text),
                        _ => self.send(host, text),
                    }
                }
                Output::Event(event) => {
                    let own = self.id(host);
                    let (what, about) = match event {
                        Event::Up(peer) => (What::Up, peer.id),
                        Event::Down { peer, reason } => (What::Down(reason), peer.id),
                        Event::Update { peer, .. } => (What::Update, peer.id),
                        Event::Conflict { id, .. } => (What::Conflict, id),
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

    /// A unicast datagram, which crosses routers that multicast does not.
    fn send_to(&mut self, from: usize, to: SocketAddr, text: Rc<str>) {
        let there = |&host: &usize| {
            let port = self.hosts[host].port;
            address(host) == to || (address(host).ip() == to.ip() && port == Some(to.port()))
        };
        let to = (0..self.hosts.len()).find(there);
        self.hosts[from].sent += 1;
        if let Some(to) = to
            && !self.hosts[from].unplugged
            && !self.is_lost(from, to)
        {
            let delay = self.network.delay.mul_f64(self.random.fraction());
            self.schedule(self.now + delay, self.alone(to, from, text));
        }
    }

    /// A datagram by unicast comes from the port of the process, if it has one.
    fn alone(&self, to: usize, from: usize, text: Rc<str>) -> Happening {
        match self.hosts[from].port {
            Some(port) => {
                let from = SocketAddr::new(address(from).ip(), port);
                Happening::Forged { to, from, text }
            }
            None => Happening::Deliver { to, from, text },
        }
    }

    fn send(&mut self, from: usize, text: Rc<str>) {
        if self.hosts[from].unplugged {
            return;
        }
        self.hosts[from].sent += 1;
        for to in 0..self.hosts.len() {
            let echo = to == from;
            if !echo && (!self.connected(from, to) || self.is_lost(from, to)) {
                continue;
            }
            let copies = 1 + u32::from(!echo && self.random.fraction() < self.network.duplicates);
            for _ in 0..copies {
                let delay = self.network.delay.mul_f64(self.random.fraction());
                self.schedule(
                    self.now + delay,
                    Happening::Deliver { to, from, text: text.clone() },
                );
            }
        }
    }

    /// Whether a cable leads from the one to the other.
    fn connected(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.hosts[a], &self.hosts[b]);
        a.side == b.side && !a.unplugged && !b.unplugged
    }

    fn is_lost(&mut self, from: usize, to: usize) -> bool {
        if let Some((length, distance)) = self.network.bursts {
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
            if now < *until {
                return true;
            }
        }
        self.random.fraction() < self.network.loss
    }

    fn tell(&mut self, observer: usize, what: What, about: NodeId) {
        let line = format!("{:?} {observer} {what:?} {about}", self.now);
        for byte in line.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        if std::env::var_os("CASTER_SIM_SEED").is_some() {
            println!("{line}");
        }
        let known = &mut self.hosts[observer].known;
        let alternates = match what {
            What::Up => known.insert(about.clone()),
            What::Down(_) => known.remove(&about),
            What::Update => known.contains(&about),
            _ => true,
        };
        if !alternates {
            self.problems.push(format!("not in turn: {line}"));
        }
        self.told.push(Told { at: self.now, observer, what, about });
    }

    /// Every live node must see every live node that it is connected to, and no other node for
    /// longer than it takes to notice.
    fn check_everybody_sees_everybody(&mut self, when: &str) {
        for observer in 0..self.hosts.len() {
            for other in 0..self.hosts.len() {
                let both_run = [observer, other]
                    .iter()
                    .all(|&host| self.hosts[host].program.is_some() && !self.hosts[host].paused);
                if observer == other || !both_run || !self.connected(observer, other) {
                    continue;
                }
                let id = self.id(other);
                if !self.hosts[observer].known.contains(&id) {
                    self.problems.push(format!("{when}: {observer} does not see {id}"));
                }
            }
        }
    }

    fn downs_by_timeout(&self) -> impl Iterator<Item = &Told> {
        self.told.iter().filter(|told| told.what == What::Down(DownReason::Timeout))
    }

    fn packets_per_node_and_second(&self, time: Duration) -> f64 {
        let sent: u64 = self.hosts.iter().map(|host| host.sent).sum();
        sent as f64 / self.hosts.len() as f64 / time.as_secs_f64()
    }
}

/// False downs and packets per node and second of a group in which nothing is wrong but the
/// network.
fn quiet_group(seed: u64, nodes: usize, network: Network, time: Duration) -> (usize, f64) {
    let mut simulation = Simulation::new(seed, network);
    simulation.add_many(nodes);
    let before: u64 = simulation.hosts.iter().map(|host| host.sent).sum();
    simulation.run_for(time);
    let problems = &simulation.problems;
    assert!(problems.is_empty(), "seed {seed}: {}", problems.join("\n"));
    let packets = simulation.packets_per_node_and_second(time)
        - before as f64 / nodes as f64 / time.as_secs_f64();
    (simulation.downs_by_timeout().count(), packets)
}

fn bursts(length: u64, distance: u64) -> Network {
    let bursts = Some((secs(length), secs(distance)));
    Network { bursts, ..Network::PERFECT }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| {
        let network = Network { duplicates: 0.1, delay: ms(30), ..Network::lossy(0.3) };
        let mut simulation = Simulation::new(seed, network);
        simulation.add_many(6);
        simulation.run_for(secs(30));
        simulation.crash(3);
        simulation.run_for(secs(30));
        (simulation.trace, simulation.told.len())
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}

#[test]
fn newcomers_are_known_at_once() {
    let mut simulation = Simulation::new(1, Network::PERFECT);
    simulation.add_many(20);
    simulation.run_for(secs(5));
    let newcomer = simulation.add(Options::for_node());
    let came = simulation.now;
    simulation.start(newcomer);
    simulation.run_for(ms(100));
    simulation.check_everybody_sees_everybody("100 ms after the start");
    assert!(simulation.problems.is_empty(), "{:?}", simulation.problems);
    let by_others =
        simulation.told.iter().filter(|told| told.at >= came && told.observer != newcomer);
    assert!(by_others.clone().count() == 20);
    assert!(by_others.clone().all(|told| told.at < came + ms(1)));
}

/// The budget of docs/wire.md: beyond the heartbeats, no more than 500 answers a second.
#[test]
fn a_thousand_nodes_answer_one_newcomer_within_the_budget() {
    let mut simulation = Simulation::new(1, Network::PERFECT);
    for _ in 0..1000 {
        let host = simulation.add(Options::for_node().with("announce", &false));
        simulation.start(host);
        simulation.run_for(ms(1));
    }
    simulation.run_for(secs(4));
    let sent = |simulation: &Simulation| simulation.hosts.iter().map(|host| host.sent).sum::<u64>();
    let quiet = sent(&simulation);
    simulation.run_for(secs(1));
    let beats = sent(&simulation) - quiet;
    let newcomer = simulation.add(Options::for_node());
    let before = sent(&simulation);
    simulation.start(newcomer);
    simulation.run_for(ms(1051));
    let answers = sent(&simulation) - before - beats;
    assert!(beats <= 1050 && answers <= 500, "{beats} heartbeats and {answers} answers");
    assert_eq!(simulation.hosts[newcomer].known.len(), 1000);
}

#[test]
fn a_crash_is_seen_within_two_and_a_half_seconds() {
    for seed in 0..20 {
        let mut simulation = Simulation::new(seed, Network::PERFECT);
        simulation.add_many(2 + seed as usize % 9);
        simulation.run_for(secs(10) + ms(seed * 97));
        let told = simulation.told.len();
        simulation.crash(0);
        let crashed = simulation.now;
        simulation.run_for(secs(10));
        let downs: Vec<_> = simulation.told[told..].iter().collect();
        assert_eq!(downs.len(), simulation.hosts.len() - 1, "seed {seed}: {downs:?}");
        for down in downs {
            assert_eq!(
                (down.what, &down.about),
                (What::Down(DownReason::Timeout), &simulation.id(0))
            );
            assert!(down.at - crashed <= ms(2501), "seed {seed}: {:?}", down.at - crashed);
        }
    }
}

#[test]
fn a_goodbye_is_seen_at_once_even_with_loss() {
    let mut seen = 0;
    for seed in 0..50 {
        let mut simulation = Simulation::new(seed, Network::lossy(0.1));
        simulation.add_many(5);
        simulation.run_for(secs(10));
        let left = simulation.now;
        simulation.leave(0);
        simulation.run_for(ms(5));
        let goodbyes = simulation
            .told
            .iter()
            .filter(|told| told.at >= left && told.what == What::Down(DownReason::Goodbye));
        seen += goodbyes.count();
    }
    assert!(seen >= 198, "{seen} of 200");
}

#[test]
fn a_pause_of_half_a_minute_kills_nobody_and_ends_well() {
    let mut simulation = Simulation::new(1, Network::PERFECT);
    simulation.add_many(6);
    simulation.run_for(secs(10));
    simulation.pause(0);
    simulation.run_for(secs(30));
    simulation.resume(0);
    simulation.run_for(secs(3));
    simulation.check_everybody_sees_everybody("after the pause");
    assert!(simulation.problems.is_empty(), "{:?}", simulation.problems);
    assert!(simulation.downs_by_timeout().all(|down| down.about == simulation.id(0)));
}

#[test]
fn a_wall_clock_that_jumps_changes_nothing() {
    let mut simulation = Simulation::new(1, Network::PERFECT);
    simulation.add_many(4);
    for offset in [3_600_000, -3_600_000] {
        simulation.run_for(secs(5));
        simulation.hosts[1].wall_offset = offset;
    }
    simulation.run_for(secs(5));
    assert_eq!(simulation.downs_by_timeout().count(), 0);
}

#[test]
fn an_unplugged_node_says_isolated_and_blames_nobody() {
    for nodes in [2, 3, 8] {
        let mut simulation = Simulation::new(1, Network::PERFECT);
        simulation.add_many(nodes);
        simulation.run_for(secs(10));
        simulation.hosts[0].unplugged = true;
        simulation.run_for(secs(8));
        let of_first = |what| {
            let told = simulation.told.iter();
            told.filter(|told| told.observer == 0 && told.what == what).count()
        };
        assert_eq!(of_first(What::Isolated), 1, "{nodes} nodes");
        assert_eq!(of_first(What::Down(DownReason::Timeout)), 0, "{nodes} nodes");
        simulation.hosts[0].unplugged = false;
        simulation.run_for(secs(3));
        let rejoined = simulation.told.iter().filter(|told| told.what == What::Rejoined);
        assert!(rejoined.count() >= 1);
        simulation.check_everybody_sees_everybody("plugged in again");
        assert!(simulation.problems.is_empty(), "{:?}", simulation.problems);
    }
}

/// Three sites that only unicast connects, with one node each that all others know as a seed.
#[test]
fn seeds_connect_what_multicast_does_not() {
    let mut simulation = Simulation::new(1, Network::lossy(0.05));
    for host in 0..12 {
        simulation.add(Options::for_node());
        simulation.hosts[host].side = (host % 3) as u8;
        simulation.start(host);
        let now = simulation.clock(host);
        if let Some(Program::Caster(engine)) = &mut simulation.hosts[host].program {
            engine.set_seeds(&[address(0)], now);
        }
        simulation.settle(host);
        simulation.run_for(ms(50));
    }
    simulation.run_for(secs(5));
    for host in &simulation.hosts {
        assert_eq!(host.known.len(), 11, "{}", host.config.id);
    }
    // The seed may go: they know each other by now.
    simulation.crash(0);
    let told = simulation.told.len();
    simulation.run_for(secs(600));
    let seed = simulation.id(0);
    let others: Vec<_> = simulation.told[told..].iter().filter(|t| t.about != seed).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(simulation.problems.is_empty(), "{:?}", simulation.problems);
    let packets = simulation.packets_per_node_and_second(secs(600));
    // Each heartbeat goes to the group, to eight others and to the seed; loss adds half as many again.
    assert!(packets < 16.0, "{packets}");
}

/// Originals decide by their own rule, against which only frequent heartbeats help.
#[test]
fn originals_see_a_caster_node_steadily_and_it_them() {
    let mut flaps = (0, 0);
    for seed in 0..10 {
        let mut simulation = Simulation::new(seed, Network::lossy(0.05));
        let original = simulation.add(Options::for_node());
        simulation.start_original(original);
        simulation.add_many(3);
        let second = simulation.add(Options::for_node());
        simulation.start_original(second);
        simulation.run_for(secs(600));
        for down in simulation.downs_by_timeout() {
            let by_original = down.observer == original || down.observer == second;
            let of_original =
                [original, second].iter().any(|&host| simulation.id(host) == down.about);
            match (by_original, of_original) {
                (true, false) => flaps.0 += 1,
                (false, _) => flaps.1 += 1,
                (true, true) => {}
            }
        }
        assert!(simulation.problems.is_empty(), "{:?}", simulation.problems);
    }
    assert_eq!(flaps, (0, 0), "originals flapped Caster nodes, Caster nodes flapped a peer");
}

/// A life of accidents, drawn from the seed.
fn accidents(seed: u64) -> Result<u64, String> {
    let mut dice = Random::new(seed ^ 0x5EED);
    let mut pick = |n: u64| dice.next() % n;
    let loss = [0.0, 0.0, 0.01, 0.05, 0.1, 0.2, 0.3][pick(7) as usize];
    let network = Network {
        loss,
        bursts: None,
        duplicates: [0.0, 0.02, 0.2][pick(3) as usize],
        delay: [ms(1), ms(5), ms(40)][pick(3) as usize],
    };
    let nodes = 2 + pick(9) as usize;
    let mut simulation = Simulation::new(seed, network);
    simulation.add_many(nodes);
    let patience = secs(3);
    for _ in 0..6 {
        simulation.run_for(ms(2000 + pick(6000)));
        let host = pick(nodes as u64) as usize;
        let fault = pick(7);
        let length = ms(100 + pick(20_000));
        let false_downs_before = simulation.downs_by_timeout().count();
        match fault {
            0 => simulation.crash(host),
            1 => simulation.leave(host),
            2 => simulation.pause(host),
            3 => simulation.hosts[host].unplugged = true,
            4 => {
                for host in &mut simulation.hosts {
                    host.side = pick(2) as u8;
                }
            }
            5 => simulation.hosts[host].wall_offset += pick(7_200_000) as i64 - 3_600_000,
            _ => {}
        }
        simulation.run_for(length);
        if fault >= 5 && simulation.downs_by_timeout().count() != false_downs_before {
            let last = simulation.downs_by_timeout().last();
            return Err(format!("seed {seed}: a false down, {loss} lost, {nodes} nodes: {last:?}"));
        }
        match fault {
            0 | 1 => simulation.start(host),
            2 => simulation.resume(host),
            3 => simulation.hosts[host].unplugged = false,
            _ => simulation.hosts.iter_mut().for_each(|host| host.side = 0),
        }
        // Two heartbeats and a second, and the same again for each time that all of a peer's
        // heartbeats may have been lost.
        simulation.run_for(if loss > 0.05 { patience * 4 } else { patience });
        if loss <= 0.05 {
            simulation.check_everybody_sees_everybody(&format!("seed {seed}, fault {fault}"));
        }
    }
    match simulation.problems.is_empty() {
        true => Ok(simulation.trace),
        false => Err(format!("seed {seed}, {loss} lost: {}", simulation.problems.join("\n"))),
    }
}

#[test]
fn accidents_of_all_kinds_end_well() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("CASTER_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CASTER_SIM_SEEDS").unwrap_or(100),
    };
    let failures: Vec<String> = seeds.clone().filter_map(|seed| accidents(seed).err()).collect();
    assert!(failures.is_empty(), "{} of {seeds:?}:\n{}", failures.len(), failures.join("\n"));
}

/// The table of docs/liveness.md. Takes minutes: `make sim`.
#[test]
#[ignore = "takes minutes; make sim runs it"]
fn table_of_false_downs() {
    let hours = std::env::var("CASTER_SIM_HOURS").map_or(1, |text| text.parse().unwrap());
    println!("false downs in {hours} h (packets per node and second)");
    let networks: Vec<(String, Network)> = [0.0, 0.01, 0.05, 0.1, 0.2, 0.3]
        .iter()
        .map(|&loss| (format!("{} %", loss * 100.0), Network::lossy(loss)))
        .chain([
            ("bursts 1/20 s".to_owned(), bursts(1, 20)),
            ("bursts 3/60 s".to_owned(), bursts(3, 60)),
        ])
        .collect();
    let only: Option<usize> =
        std::env::var("CASTER_SIM_NODES").ok().map(|text| text.parse().unwrap());
    for nodes in [2, 3, 5, 20].into_iter().filter(|nodes| only.is_none_or(|only| only == *nodes)) {
        for (name, network) in &networks {
            let (downs, packets) = quiet_group(7, nodes, network.clone(), secs(3600 * hours));
            println!("{nodes:>3} nodes, {name:>13}: {downs:>6} ({packets:.2})");
        }
    }
}
