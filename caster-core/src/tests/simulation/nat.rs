//! Networks that only unicast connects, some of them behind routers that translate addresses.

use super::*;
use crate::protocol::destination::LocalPort;
use crate::protocol::paths::Origin;

/// The time that a datagram takes.
const DELAY: Duration = ms(2);

/// The outer port that a router gives an inner address and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mapping {
    /// One outer port, the same for all destinations.
    One,
    /// Another one for each destination.
    ByDestination,
}

/// A router that translates addresses. It passes what comes from where an inner host has written to.
#[derive(Debug)]
struct Router {
    address: IpAddr,
    mapping: Mapping,
    /// The inner address, the destination where it matters, and the outer port.
    mapped: Vec<(SocketAddr, Option<SocketAddr>, u16)>,
    /// The outer port, and an address that was written to from there.
    passes: BTreeSet<(u16, SocketAddr)>,
    next_port: u16,
}

impl Router {
    fn new(address: IpAddr, mapping: Mapping) -> Self {
        Self { address, mapping, mapped: vec![], passes: BTreeSet::new(), next_port: 1024 }
    }

    fn leave(&mut self, from: SocketAddr, to: SocketAddr) -> SocketAddr {
        let about = Some(to).filter(|_| self.mapping == Mapping::ByDestination);
        let known = self.mapped.iter().find(|(inner, to, _)| *inner == from && *to == about);
        let port = match known {
            Some((.., port)) => *port,
            None => {
                // It leaves the port as it is, if it can.
                let is_taken = self.mapped.iter().any(|(.., port)| *port == from.port());
                let keeps = self.mapping == Mapping::One && !is_taken;
                self.next_port += 1;
                let port = if keeps { from.port() } else { self.next_port };
                self.mapped.push((from, about, port));
                port
            }
        };
        self.passes.insert((port, to));
        SocketAddr::new(self.address, port)
    }

    fn enter(&self, from: SocketAddr, port: u16) -> Option<SocketAddr> {
        let passes = self.passes.contains(&(port, from));
        let mapped = self.mapped.iter().find(|(.., outer)| *outer == port);
        mapped.filter(|_| passes).map(|(inner, ..)| *inner)
    }
}

/// A network with multicast of its own.
struct Site {
    router: Option<Router>,
}

struct Member {
    engine: Engine,
    site: usize,
    address: IpAddr,
}

/// A datagram on its way.
struct Packet {
    due: Duration,
    to: usize,
    from: SocketAddr,
    content: Content,
    to_group: bool,
    to_port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Up(NodeId),
    Down(NodeId),
    Conflict(NodeId),
    Message(NodeId),
}

struct World {
    sites: Vec<Site>,
    members: Vec<Member>,
    now: Duration,
    flying: VecDeque<Packet>,
    told: Vec<(usize, Said)>,
    /// To addresses at which no member is: the bytes, and whether a message was among it.
    strays: BTreeMap<SocketAddr, (usize, bool)>,
}

fn member_id(member: usize) -> NodeId {
    NodeId::new(&format!("n{member}")).unwrap()
}

fn outer(site: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, site as u8])
}

impl World {
    /// Sites of so many members; a router in front of those with a mapping.
    fn new(sites: &[(usize, Option<Mapping>)]) -> Self {
        let mut world = Self {
            sites: Vec::new(),
            members: Vec::new(),
            now: Duration::ZERO,
            flying: VecDeque::new(),
            told: Vec::new(),
            strays: BTreeMap::new(),
        };
        for (site, &(members, mapping)) in sites.iter().enumerate() {
            let router = mapping.map(|mapping| Router::new(outer(site), mapping));
            world.sites.push(Site { router });
            for n in 0..members {
                let number = world.members.len();
                let address = IpAddr::from([10, site as u8, 0, 1 + n as u8]);
                let options = Options::for_node().with("id", &format!("n{number}"));
                let mut engine = Engine::new(&options.resolve_node().unwrap(), number as u64);
                engine.set_port(Some(PRIVATE_PORT));
                engine.interfaces(&[address], None, world.at());
                world.members.push(Member { engine, site, address });
            }
        }
        world
    }

    fn at(&self) -> Now {
        Now { mono: self.now, unix_ms: self.now.as_millis() as u64 }
    }

    fn start(&mut self, member: usize, seed: Option<usize>) {
        let now = self.at();
        let seed = seed.map(|seed| SocketAddr::new(self.members[seed].address, GROUP_PORT));
        let engine = &mut self.members[member].engine;
        engine.start(true, member as u128, now);
        if let Some(seed) = seed {
            engine.set_seeds(&[seed], now);
        }
        self.settle(member);
    }

    /// As an endpoint does: to the group, and to all peers that multicast does not reach.
    fn say(&mut self, member: usize) {
        let content = Content::from(format!(r#"{{"id":"n{member}","message":"said"}}"#));
        let now = self.at();
        let to = self.members[member].engine.unicast_targets(now);
        self.send_group(member, PRIVATE_PORT, &content);
        self.send_routed(member, to, &content);
    }

    fn send_routed(&mut self, member: usize, mut to: Vec<SocketAddr>, content: &Content) {
        let shared = self.members[member].engine.take_from_group_port(&mut to);
        to.into_iter().for_each(|to| self.send(member, LocalPort::Private, to, content));
        shared.into_iter().for_each(|to| self.send(member, LocalPort::Group, to, content));
    }

    fn send_group(&mut self, member: usize, port: u16, content: &Content) {
        let Member { site, address, .. } = self.members[member];
        let from = SocketAddr::new(address, port);
        let near = (0..self.members.len()).filter(|&to| self.members[to].site == site);
        for to in near.filter(|&to| to != member).collect::<Vec<_>>() {
            self.fly(from, to, GROUP_PORT, true, content);
        }
    }

    fn fly(
        &mut self,
        from: SocketAddr,
        to: usize,
        to_port: u16,
        to_group: bool,
        content: &Content,
    ) {
        let due = self.now + DELAY;
        let content = content.clone();
        self.flying.push_back(Packet { due, to, from, content, to_group, to_port });
    }

    fn send(&mut self, member: usize, from: LocalPort, to: SocketAddr, content: &Content) {
        let Member { site, address, .. } = self.members[member];
        let port = if from == LocalPort::Private { PRIVATE_PORT } else { GROUP_PORT };
        self.carry(site, SocketAddr::new(address, port), to, content);
    }

    /// Routes a datagram that a host of this site sends.
    fn carry(&mut self, site: usize, mut from: SocketAddr, to: SocketAddr, content: &Content) {
        let at = |world: &Self, address: IpAddr, site: usize| {
            let mut members = world.members.iter();
            members.position(|it| it.site == site && it.address == address)
        };
        if let Some(member) = at(self, to.ip(), site) {
            return self.fly(from, member, to.port(), false, content);
        }
        if let Some(router) = &mut self.sites[site].router {
            from = router.leave(from, to);
        }
        for other in (0..self.sites.len()).filter(|&other| other != site) {
            let (inner, member) = match &self.sites[other].router {
                Some(router) if router.address == to.ip() => {
                    let Some(inner) = router.enter(from, to.port()) else { return };
                    (inner, at(self, inner.ip(), other))
                }
                Some(_) => continue,
                None => (to, at(self, to.ip(), other)),
            };
            if let Some(member) = member {
                return self.fly(from, member, inner.port(), false, content);
            }
        }
        let stray = self.strays.entry(to).or_default();
        stray.0 += content.len() + 20;
        stray.1 |= matches!(content, Content::Text(text) if text.contains("message") || text.contains("meta"));
    }

    fn settle(&mut self, member: usize) {
        while let Some(output) = self.members[member].engine.poll_output() {
            match output {
                Output::Transmit(message, to) => {
                    let Some(text) = message.as_json() else { continue };
                    let content = Content::from(text);
                    match to {
                        Destination::These(to) => self.send_routed(member, to, &content),
                        Destination::TheseFrom(from, to) => {
                            to.into_iter().for_each(|to| self.send(member, from, to, &content));
                        }
                        Destination::Group => self.send_group(member, GROUP_PORT, &content),
                        _ => {}
                    }
                }
                Output::Event(event) => {
                    let said = match event {
                        Event::Up(peer) => Said::Up(peer.id),
                        Event::Down { peer, .. } => Said::Down(peer.id),
                        Event::Conflict { id, .. } => Said::Conflict(id),
                        Event::Message { peer, .. } => Said::Message(peer.id),
                        _ => continue,
                    };
                    self.told.push((member, said));
                }
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += ms(1);
            while self.flying.front().is_some_and(|packet| packet.due <= self.now) {
                let packet = self.flying.pop_front().unwrap();
                let Content::Text(text) = &packet.content else { continue };
                let origin = Origin {
                    size: text.len() + 20,
                    to_group: packet.to_group,
                    on_group_port: packet.to_port == GROUP_PORT,
                    ..packet.from.into()
                };
                let now = self.at();
                let _ = self.members[packet.to].engine.receive(text, origin, now);
                self.settle(packet.to);
            }
            for member in 0..self.members.len() {
                let due = self.members[member].engine.poll_timeout();
                if due.is_some_and(|due| due <= self.now) {
                    let now = self.at();
                    self.members[member].engine.handle_timeout(now, false);
                    self.settle(member);
                }
            }
        }
    }

    /// The pairs of members that do not know each other, by these.
    fn strangers(&self, of: impl Iterator<Item = usize> + Clone) -> Vec<(usize, usize)> {
        let knows =
            |member: usize, other| self.members[member].engine.peer(&member_id(other)).is_some();
        let pairs = of.clone().flat_map(|member| of.clone().map(move |other| (member, other)));
        pairs.filter(|&(member, other)| member != other && !knows(member, other)).collect()
    }

    /// Runs until all know all; returns how long that took.
    fn run_until_all_meet(&mut self, longest: Duration) -> Duration {
        let (start, all) = (self.now, 0..self.members.len());
        while !self.strangers(all.clone()).is_empty() {
            assert!(self.now < start + longest, "strangers: {:?}", self.strangers(all));
            self.run(ms(50));
        }
        self.now - start
    }

    /// Each says something: each other hears it once.
    fn assert_all_hear_all(&mut self) {
        self.told.clear();
        let all = 0..self.members.len();
        all.clone().for_each(|member| self.say(member));
        self.run(ms(100));
        for member in all.clone() {
            for other in all.clone().filter(|&other| other != member) {
                let said = (member, Said::Message(member_id(other)));
                let times = self.told.iter().filter(|told| **told == said).count();
                assert_eq!(times, 1, "n{member} of n{other}");
            }
        }
    }

    fn assert_calm(&self) {
        let is_calm = |said: &Said| matches!(said, Said::Up(_) | Said::Message(_));
        let trouble: Vec<_> = self.told.iter().filter(|(_, said)| !is_calm(said)).collect();
        assert!(trouble.is_empty(), "{trouble:?}");
    }
}

const MAPPINGS: [Mapping; 2] = [Mapping::One, Mapping::ByDestination];

#[test]
fn a_node_with_one_seed_finds_all_that_the_seed_knows_by_multicast() {
    let mut world = World::new(&[(3, None), (1, None)]);
    (0..3).for_each(|member| world.start(member, None));
    world.run(secs(3));
    world.start(3, Some(0));
    let took = world.run_until_all_meet(secs(3));
    assert!(took <= secs(1), "{took:?}");
    world.run(secs(2));
    world.assert_all_hear_all();
    world.run(secs(60));
    world.assert_calm();
    world.assert_all_hear_all();
}

#[test]
fn a_node_behind_a_router_that_translates_addresses_finds_all() {
    for mapping in MAPPINGS {
        let mut world = World::new(&[(3, None), (2, Some(mapping))]);
        (0..3).for_each(|member| world.start(member, None));
        world.run(secs(3));
        world.start(3, Some(0));
        world.start(4, Some(0));
        let took = world.run_until_all_meet(secs(10));
        assert!(took <= ms(2500), "{mapping:?}: {took:?}");
        world.run(secs(3));
        world.assert_all_hear_all();
        // Longer than a proof holds.
        world.run(secs(150));
        world.assert_calm();
        world.assert_all_hear_all();
    }
}

#[test]
fn a_hundred_nodes_behind_one_address_are_told_apart_by_their_ports() {
    for mapping in MAPPINGS {
        let mut world = World::new(&[(3, None), (100, Some(mapping))]);
        for member in 0..103 {
            world.start(member, Some(0).filter(|_| member >= 3));
            world.run(ms(10));
        }
        let took = world.run_until_all_meet(secs(40));
        assert!(took <= secs(20), "{mapping:?}: {took:?}");
        world.run(secs(5));
        world.assert_calm();
        world.assert_all_hear_all();
    }
}

#[test]
fn a_node_behind_a_router_finds_a_hundred_others() {
    for mapping in MAPPINGS {
        let mut world = World::new(&[(100, None), (1, Some(mapping))]);
        for member in 0..100 {
            world.start(member, None);
            world.run(ms(10));
        }
        world.run(secs(3));
        world.start(100, Some(50));
        let took = world.run_until_all_meet(secs(40));
        assert!(took <= secs(20), "{mapping:?}: {took:?}");
        world.run(secs(5));
        world.assert_calm();
        world.assert_all_hear_all();
    }
}

#[test]
fn a_router_that_forgets_its_mappings_costs_no_peer() {
    for mapping in MAPPINGS {
        let mut world = World::new(&[(3, None), (2, Some(mapping))]);
        for member in 0..5 {
            world.start(member, Some(0).filter(|_| member >= 3));
        }
        world.run_until_all_meet(secs(10));
        world.run(secs(5));
        for n in 0..12 {
            let router = world.sites[1].router.as_mut().unwrap();
            router.mapped.clear();
            router.passes.clear();
            world.run(secs(4));
            world.assert_all_hear_all();
            world.run(secs(20) + ms(83 * n));
            world.assert_calm();
        }
    }
}

#[test]
fn two_routers_with_one_port_for_all_destinations_are_opened_by_the_introduction() {
    let mut world = World::new(&[(1, None), (1, Some(Mapping::One)), (1, Some(Mapping::One))]);
    (0..3).for_each(|member| world.start(member, Some(0).filter(|_| member > 0)));
    let took = world.run_until_all_meet(secs(10));
    assert!(took <= secs(5), "{took:?}");
    world.run(secs(2));
    world.assert_all_hear_all();
    world.run(secs(60));
    world.assert_calm();
}

#[test]
fn two_routers_with_a_port_for_each_destination_stay_apart_and_nothing_flaps() {
    let apart = Some(Mapping::ByDestination);
    let mut world = World::new(&[(1, None), (1, apart), (1, apart)]);
    (0..3).for_each(|member| world.start(member, Some(0).filter(|_| member > 0)));
    world.run(secs(120));
    assert_eq!(world.strangers(0..3), [(1, 2), (2, 1)]);
    world.assert_calm();
}

/// A program at a public address that has proven it, or that names the addresses of others as its own.
#[test]
fn forged_introductions_and_sources_bring_an_innocent_address_no_more_than_was_sent() {
    let mut world = World::new(&[(3, None), (2, Some(Mapping::One))]);
    for member in 0..5 {
        world.start(member, Some(0).filter(|_| member >= 3));
    }
    world.run_until_all_meet(secs(10));
    let innocent: SocketAddr = "198.51.100.7:40000".parse().unwrap();
    let (mut forged, victim) = (0, SocketAddr::new(world.members[0].address, GROUP_PORT));
    for n in 0..400u32 {
        // Asks at the port of the group, tells a list, and returns a token that it has not got.
        for more in ["", r#","k":["198.51.100.7:40000"]"#, r#","e":"00000000000000aa""#] {
            let text = format!(
                r#"{{"id":"liar{}","meta":null,"caster":{{"b":7,"n":{n},"h":1000,"c":12,"u":1,"p":["n0"]{more}}}}}"#,
                n % 3
            );
            forged += text.len() + 20;
            world.fly(innocent, 0, victim.port(), false, &Content::from(text));
        }
        world.run(ms(50));
    }
    world.run(secs(10));
    let at_host = |(to, _): &(&SocketAddr, &(usize, bool))| to.ip() == innocent.ip();
    let sent: usize = world.strays.iter().filter(at_host).map(|(_, (bytes, _))| bytes).sum();
    assert!(sent > 0, "it is challenged");
    assert!(2 * sent <= 3 * forged, "{sent} bytes for {forged}");
    assert!(
        world.strays.iter().filter(at_host).all(|(_, (_, large))| !large),
        "{:?}",
        world.strays
    );
    assert!(world.strangers(0..5).is_empty(), "{:?}", world.strangers(0..5));
}
