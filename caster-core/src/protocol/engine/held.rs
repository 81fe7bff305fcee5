//! Peers that only unicast reaches are up when their address is proven: messages go to proven addresses
//! only, and the first one after `up` has to arrive.

use super::Engine;
use crate::peer::NodeId;
use crate::protocol::envelope::{Envelope, Extension, capability};
use crate::protocol::paths::Origin;
use crate::protocol::targets;
use crate::protocol::time::Now;
use std::time::Duration;

/// How many ids are held back, how many datagrams of each, and the longest of these. Beyond that a peer is
/// up at once.
const MAX_HELD: usize = 64;
const MAX_DATAGRAMS: usize = 8;
const MAX_LENGTH: usize = 4096;

/// How long an address may take to prove itself: the challenge may be lost, and an address that cannot be
/// answered proves nothing.
const HELD: Duration = Duration::from_secs(1);

/// The datagrams of a peer that is not in the table yet.
#[derive(Debug)]
pub(super) struct Held {
    id: NodeId,
    /// Where its first datagram came from, and the port that it told.
    origin: Origin,
    port: Option<u16>,
    incarnation: u32,
    datagrams: Vec<(Box<str>, Origin)>,
    until: Duration,
}

impl Engine {
    /// Keeps a datagram of a peer that is not in the table, if its address has yet to prove itself.
    /// Returns whether it was kept.
    #[cold]
    pub(super) fn hold_back(
        &mut self,
        id: &NodeId,
        envelope: &Envelope<'_>,
        text: &str,
        from: Origin,
        now: Now,
    ) -> bool {
        let at = self.held.iter().position(|held| held.id == *id);
        let alone = envelope.extension.as_ref().filter(|it| it.unicast && !from.to_group);
        let is_message = envelope.message.is_some() && !envelope.suicide;
        if at.is_none() && (alone.is_none() || is_message) {
            return false;
        }
        if envelope.suicide || self.members.has(id) {
            self.held.retain(|held| held.id != *id);
            return false;
        }
        // Without metadata it is a challenge, or the answer to one.
        let has_meta = |it: &Extension| envelope.meta.is_some() || it.meta_hash.is_some();
        if !is_message && alone.is_some_and(|extension| !has_meta(extension)) {
            return false;
        }
        let waits = match (at, alone) {
            _ if text.len() > MAX_LENGTH => false,
            (Some(at), _) if is_message || alone.is_some() => {
                self.held[at].datagrams.len() < MAX_DATAGRAMS
            }
            (None, Some(extension)) => {
                extension.capabilities.unwrap_or(0) & capability::CHALLENGE != 0
                    && self.speaks()
                    && self.held.len() < MAX_HELD
                    && !self.targets.gets_messages(
                        from.sender(),
                        extension.port,
                        extension.incarnation,
                    )
            }
            _ => false,
        };
        if let Some(extension) = alone.filter(|_| waits) {
            self.note_alone(extension, from, now);
        }
        if !waits {
            self.release(|held| held.id == *id, now);
            return false;
        }
        let datagram = (text.into(), from);
        match at {
            Some(at) => self.held[at].datagrams.push(datagram),
            None => self.held.push(Held {
                id: id.clone(),
                origin: from,
                port: alone.and_then(|extension| extension.port),
                incarnation: alone.map_or(0, |extension| extension.incarnation),
                datagrams: vec![datagram],
                until: now.mono + HELD,
            }),
        }
        true
    }

    /// A datagram by unicast of a node that is not in the table: a challenge, the answer to one, or a
    /// reason to challenge its address.
    pub(super) fn note_alone(&mut self, extension: &Extension, origin: Origin, now: Now) {
        if let Some(token) = extension.challenge {
            self.answer_alone(origin, Some(token), None);
        }
        let heard = targets::Heard {
            from: origin.sender(),
            bytes: origin.size,
            by_unicast: extension.unicast,
            asked: false,
            hello: extension.hello,
            told_port: extension.port,
            at: origin.local_port(),
            echo: extension.echo,
            near: false,
            incarnation: extension.incarnation,
            known: false,
        };
        let Self { targets, members, timeout, .. } = self;
        let near = || members.near(*timeout, now.mono);
        let actions = targets.heard(heard, now.mono, near);
        self.act(actions);
    }

    /// Takes in the datagrams of peers whose address is proven by now, or has had its time.
    #[cold]
    pub(super) fn release_held(&mut self, now: Now) {
        let targets = &self.targets;
        let ready: Vec<NodeId> = self
            .held
            .iter()
            .filter(|it| {
                it.until <= now.mono
                    || targets.gets_messages(it.origin.sender(), it.port, it.incarnation)
            })
            .map(|held| held.id.clone())
            .collect();
        self.release(|held| ready.contains(&held.id), now);
    }

    fn release(&mut self, which: impl Fn(&Held) -> bool, now: Now) {
        let ready: Vec<Held> = self.held.extract_if(.., |held| which(held)).collect();
        for (text, from) in ready.into_iter().flat_map(|held| held.datagrams) {
            // It was accepted when it came.
            let _ = self.receive_text(&text, from, now, false);
        }
    }

    /// When [`Engine::release_held`] is to be called next, at the latest.
    pub(super) fn held_until(&self) -> Option<Duration> {
        self.held.iter().map(|held| held.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;
    use crate::options::Options;
    use crate::protocol::destination::Destination;
    use crate::protocol::event::Event;
    use crate::protocol::output::Output;
    use std::net::{IpAddr, SocketAddr};

    const PORT: u16 = 21101;

    fn at(us: u64) -> Now {
        Now { mono: Duration::from_micros(us), unix_ms: us / 1000 }
    }

    fn source(host: usize) -> SocketAddr {
        SocketAddr::from(([10, host as u8, 0, 1], PORT))
    }

    /// Hosts that only unicast connects. The first one is the seed of the others, by the group's port.
    struct World {
        engines: Vec<Engine>,
        now: u64,
        /// On their way: to which host, from which, and the text.
        flying: Vec<(usize, usize, String)>,
        /// By which host, and the name of the event with the id of the peer.
        told: Vec<(usize, String)>,
        /// Whether the first host gets what the others send.
        is_heard: bool,
    }

    impl World {
        fn new(hosts: usize) -> Self {
            let engines = (0..hosts).map(|host| {
                let options = Options::for_node().with("id", &format!("n{host}"));
                let mut engine = Engine::new(&options.resolve_node().unwrap(), host as u64);
                engine.set_port(Some(PORT));
                engine.interfaces(&[source(host).ip()], None, at(0));
                engine
            });
            let engines = engines.collect();
            Self { engines, now: 0, flying: Vec::new(), told: Vec::new(), is_heard: true }
        }

        fn start(&mut self, host: usize) {
            let now = at(self.now);
            self.engines[host].start(true, host as u128, now);
            if host > 0 {
                let seed = SocketAddr::new(source(0).ip(), 10101);
                self.engines[host].set_seeds(&[seed], now);
            }
            self.settle(host);
        }

        /// As an endpoint does: to all peers that multicast does not reach.
        fn say(&mut self, host: usize) {
            let text = format!(r#"{{"id":"n{host}","message":"first"}}"#);
            for to in self.engines[host].unicast_targets(at(self.now)) {
                self.send(host, to, &text);
            }
        }

        fn send(&mut self, from: usize, to: SocketAddr, text: &str) {
            let host = (0..self.engines.len()).find(|&host| source(host).ip() == to.ip());
            if let Some(host) = host.filter(|&host| host > 0 || self.is_heard) {
                self.flying.push((host, from, text.to_owned()));
            }
        }

        /// Each says something at once to a peer that has come up.
        fn settle(&mut self, host: usize) {
            while let Some(output) = self.engines[host].poll_output() {
                match output {
                    Output::Transmit(
                        message,
                        Destination::These(addresses) | Destination::TheseFrom(_, addresses),
                    ) => {
                        let text = message.as_json().unwrap().to_owned();
                        addresses.into_iter().for_each(|to| self.send(host, to, &text));
                    }
                    Output::Transmit(..) => {}
                    Output::Event(Event::Up(peer)) => {
                        self.told.push((host, format!("up {}", peer.id)));
                        self.say(host);
                    }
                    Output::Event(Event::Message { peer, .. }) => {
                        self.told.push((host, format!("message of {}", peer.id)));
                    }
                    Output::Event(_) => {}
                }
            }
        }

        fn run(&mut self, us: u64) {
            let end = self.now + us;
            while self.now < end {
                self.now += 100;
                for (to, from, text) in std::mem::take(&mut self.flying) {
                    let _ = self.engines[to].receive(&text, source(from), at(self.now));
                    self.settle(to);
                }
                for host in 0..self.engines.len() {
                    let due = self.engines[host].poll_timeout();
                    if due.is_some_and(|due| due <= at(self.now).mono) {
                        self.engines[host].handle_timeout(at(self.now), false);
                        self.settle(host);
                    }
                }
            }
        }

        fn times(&self, host: usize, what: &str) -> usize {
            self.told.iter().filter(|told| **told == (host, what.to_owned())).count()
        }
    }

    #[test]
    fn what_is_said_at_once_to_a_peer_that_has_come_up_arrives() {
        let mut world = World::new(4);
        for host in 0..4 {
            world.start(host);
            world.run(50_000);
        }
        world.run(2_000_000);
        for host in 0..4 {
            for other in (0..4).filter(|&other| other != host) {
                assert_eq!(world.times(host, &format!("up n{other}")), 1, "{:?}", world.told);
                let said = world.times(host, &format!("message of n{other}"));
                let ups = (0..4).filter(|&it| it != other).count();
                assert!((1..=ups).contains(&said), "n{host} of n{other}: {:?}", world.told);
            }
        }
    }

    #[test]
    fn a_peer_whose_address_proves_nothing_is_up_after_a_second() {
        let mut world = World::new(2);
        world.start(0);
        world.start(1);
        world.run(100);
        // Nothing of the newcomer arrives any more.
        world.is_heard = false;
        world.run(900_000);
        assert!(world.told.is_empty(), "{:?}", world.told);
        world.run(200_000);
        assert_eq!(world.told, [(0, "up n1".to_owned())]);
        assert_eq!(world.engines[0].held_until(), None);
    }

    fn beat(n: usize, more: &str) -> String {
        let unicast = if more.contains("\"c\"") { ",\"u\":1" } else { "" };
        format!(
            r#"{{"id":"x{n}","meta":1,"caster":{{"b":{n},"n":0,"h":1000,"o":21101{more}{unicast}}}}}"#
        )
    }

    fn ups(engine: &mut Engine) -> usize {
        let outputs = std::iter::from_fn(|| engine.poll_output());
        outputs.filter(|it| matches!(it, Output::Event(Event::Up(_)))).count()
    }

    #[test]
    fn only_peers_that_answer_challenges_are_held_back_and_only_so_many() {
        let mut world = World::new(1);
        world.start(0);
        let engine = &mut world.engines[0];
        ups(engine);
        let to_group = |host: usize| Origin { to_group: true, ..source(host).into() };
        engine.receive(&beat(1, ""), source(9), at(100)).unwrap();
        assert_eq!(ups(engine), 1, "it answers no challenge");
        engine.receive(&beat(2, ",\"c\":4"), to_group(9), at(100)).unwrap();
        assert_eq!(ups(engine), 1, "the group was told");
        engine.receive(&beat(3, ",\"c\":4"), source(9), at(100)).unwrap();
        assert_eq!(ups(engine), 0);
        engine.receive(&beat(3, ",\"c\":4"), to_group(9), at(200)).unwrap();
        assert_eq!((ups(engine), engine.held.len()), (1, 0), "multicast reaches it");
        for n in 10..10 + MAX_HELD {
            engine.receive(&beat(n, ",\"c\":4"), source(9), at(300)).unwrap();
        }
        assert_eq!((ups(engine), engine.held.len()), (0, MAX_HELD));
        engine.receive(&beat(200, ",\"c\":4"), source(9), at(300)).unwrap();
        assert_eq!((ups(engine), engine.held.len()), (1, MAX_HELD), "one more");
        let message = Message::trusted_json(br#"{"id":"x10","message":1}"#.to_vec());
        for _ in 1..MAX_DATAGRAMS {
            engine.receive(message.as_json().unwrap(), source(9), at(400)).unwrap();
            assert_eq!(ups(engine), 0);
        }
        engine.receive(message.as_json().unwrap(), source(9), at(400)).unwrap();
        assert_eq!(ups(engine), 1, "too much to hold");
        let gone = r#"{"id":"x11","suicide":true}"#;
        let _ = engine.receive(gone, IpAddr::from([10, 9, 0, 1]), at(500));
        engine.handle_timeout(at(1_100_000), false);
        assert_eq!((ups(engine), engine.held.len()), (MAX_HELD - 2, 0), "one has left");
    }
}
