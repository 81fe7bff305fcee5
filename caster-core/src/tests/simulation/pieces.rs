//! Messages and metadata of several packets, in pieces and as IP fragments.

use super::*;
use crate::protocol::limits::LARGEST_DATAGRAM;

/// An Ethernet, with `json` and `hash` as stages.
const ETHERNET: Limits = Limits { group: 1400, alone: 1232, overhead: 20, pieces: true };

/// The same if no pieces are sent: each message is one datagram, of IP fragments.
const FRAGMENTS: Limits =
    Limits { group: LARGEST_DATAGRAM, alone: LARGEST_DATAGRAM, overhead: 20, pieces: false };

const BODY: usize = 60_000;

/// Messages of 60 kB from two nodes to all others of a group with large metadata.
struct Talk {
    world: Simulation,
    nodes: usize,
    sent: usize,
    told: usize,
}

impl Talk {
    /// `meta` is the length of the metadata of each node.
    fn new(seed: u64, nodes: usize, meta: usize, limits: Limits) -> Self {
        let mut world = Simulation::new(seed, Network::PERFECT);
        world.limits = limits;
        for _ in 0..nodes {
            let host = world.add(Options::for_node().with("meta", &"m".repeat(meta)));
            // Before that there was no port of the process either.
            world.hosts[host].port = limits.pieces.then_some(PRIVATE_PORT);
            world.start(host);
            world.run_for(ms(50));
        }
        world.run_for(secs(12));
        world.check_everybody_sees_everybody("before");
        world.assert_no_problems("before");
        let told = world.told.len();
        Self { world, nodes, sent: 0, told }
    }

    /// So many messages from each of the two, ten a second.
    fn run(&mut self, messages: usize, loss: f64) {
        self.world.network.loss = loss;
        for _ in 0..messages {
            for host in [0, 1] {
                self.world.say(host, BODY);
                self.sent += self.nodes - 1;
            }
            self.world.run_for(ms(100));
        }
        self.world.run_for(secs(3));
        self.world.assert_no_problems("afterwards");
    }

    fn arrived(&self) -> usize {
        self.world.told[self.told..].iter().filter(|told| told.what == What::Message).count()
    }

    fn share(&self) -> f64 {
        self.arrived() as f64 / self.sent as f64
    }

    fn stats(&self, pick: impl Fn(&crate::stats::Stats) -> u64) -> u64 {
        let engines = self.world.hosts.iter().filter_map(|host| match &host.program {
            Some(Program::Caster(engine)) => Some(engine),
            _ => None,
        });
        engines
            .map(|engine| {
                let mut stats = crate::stats::Counters::default().snapshot();
                engine.complete(&mut stats);
                pick(&stats)
            })
            .sum()
    }
}

impl Simulation {
    /// Sends a message of so many bytes as an endpoint does.
    fn say(&mut self, host: usize, bytes: usize) {
        let now = self.clock(host);
        let id = self.id(host);
        let text = format!(r#"{{"id":{},"message":"{}"}}"#, id.as_json(), "x".repeat(bytes));
        let room = self.limits.room();
        let engine = self.engine(host);
        engine.introduce(now);
        let frames = match text.len() > room {
            true => engine.cut(text.as_bytes(), now),
            false => None,
        };
        self.settle(host);
        match frames {
            Some(frames) => {
                for frame in frames {
                    self.send(host, Content::Frame(frame.data().into()));
                }
            }
            None => self.send(host, text),
        }
    }
}

#[test]
fn large_messages_arrive_in_spite_of_loss_and_nobody_is_taken_for_dead() {
    for (loss, least) in [(0.0, 1.0), (0.01, 0.999), (0.1, 0.98)] {
        for nodes in [2, 5] {
            let mut talk = Talk::new(7, nodes, 8000, ETHERNET);
            talk.run(300, loss);
            let (share, incomplete) = (talk.share(), talk.stats(|it| it.incomplete));
            println!("{nodes} nodes, {loss} lost: {share}, {incomplete} incomplete");
            assert!(share >= least, "{nodes} nodes, {loss}: {share}");
            talk.world.assert_no_downs(talk.told, "all live");
            assert!(incomplete as usize >= talk.sent - talk.arrived(), "the rest is counted");
            assert_eq!(talk.world.traffic.fragmented, 0);
        }
    }
}

/// Before messages travelled in pieces.
#[test]
fn as_fragments_most_messages_are_lost_and_living_senders_are_taken_for_dead() {
    let mut talk = Talk::new(7, 5, 3000, FRAGMENTS);
    talk.run(300, 0.01);
    assert!(talk.share() < 0.5, "{}", talk.share());
    assert!(talk.world.traffic.without_room > 100, "{:?}", talk.world.traffic);
    let downs = talk.world.downs_since(talk.told);
    assert!(!downs.is_empty(), "living senders");
}

#[test]
fn with_an_original_in_sight_messages_are_lost_and_no_peer_is() {
    let mut talk = Talk::new(7, 4, 3000, ETHERNET);
    let original = talk.world.add(Options::for_node());
    talk.world.start_original(original);
    talk.world.run_for(secs(5));
    talk.told = talk.world.told.len();
    talk.run(300, 0.01);
    assert!(talk.share() < 0.5, "{}", talk.share());
    assert!(talk.world.traffic.without_room > 100, "{:?}", talk.world.traffic);
    let downs = talk.world.downs_since(talk.told);
    let by_caster = downs.iter().filter(|told| told.observer != original);
    assert_eq!(by_caster.count(), 0, "{downs:?}");
}

#[test]
fn metadata_of_several_packets_is_known_and_changes_in_spite_of_loss() {
    for seed in 0..20 {
        let mut world = Simulation::new(seed, Network::lossy(0.1));
        world.limits = ETHERNET;
        for _ in 0..5 {
            let host = world.add(Options::for_node().with("meta", &"m".repeat(8000)));
            world.hosts[host].port = Some(PRIVATE_PORT);
            world.start(host);
        }
        world.run_for(secs(10));
        world.check_everybody_sees_everybody("after ten seconds");
        let told = world.told.len();
        let now = world.clock(0);
        world.engine(0).set_meta(format!("\"{}\"", "n".repeat(8000)).into(), now);
        world.settle(0);
        world.run_for(secs(10));
        let first = world.id(0);
        let is_update = |told: &&Told| told.what == What::Update && told.about == first;
        assert_eq!(world.told[told..].iter().filter(is_update).count(), 4, "seed {seed}");
        world.assert_no_downs(told, "all live");
        world.assert_no_problems(&format!("seed {seed}"));
        assert_eq!(world.traffic.fragmented, 0);
    }
}

#[test]
fn a_datagram_beyond_the_mtu_is_a_problem() {
    let mut world = Simulation::new(1, Network::PERFECT);
    world.limits = ETHERNET;
    for _ in 0..2 {
        let host = world.add(Options::for_node());
        world.start(host);
    }
    world.run_for(secs(3));
    world.send(0, "x".repeat(ETHERNET.group));
    world.assert_no_problems("it fits");
    world.send(0, "x".repeat(ETHERNET.group + 1));
    world.send_to(0, address(1), Content::from("x".repeat(ETHERNET.alone + 1)), false);
    assert_eq!(world.problems.len(), 2, "{:?}", world.problems);
}

#[test]
#[ignore = "takes minutes; make sim runs it"]
fn table_of_large_messages() {
    println!("messages of 60 kB, ten a second from each of two nodes for 10 min, metadata of 8 KB");
    for nodes in [2, 10] {
        for loss in [0.01, 0.1, 0.3] {
            let mut talk = Talk::new(7, nodes, 8000, ETHERNET);
            talk.run(6000, loss);
            let pieces = talk.stats(|it| it.pieces_sent) as f64;
            println!(
                "{nodes:>3} nodes, {loss} lost: {:.3} % arrive, {} false downs, {:.1} repairs and \
                 {:.1} NACKs for 100 pieces",
                100.0 * talk.share(),
                talk.world.downs_since(talk.told).len(),
                100.0 * talk.stats(|it| it.repairs_sent) as f64 / pieces,
                100.0 * talk.stats(|it| it.nacks_sent) as f64 / pieces,
            );
        }
    }
    for original in [false, true] {
        let limits = if original { ETHERNET } else { FRAGMENTS };
        let mut talk = Talk::new(7, 10, 8000, limits);
        if original {
            let host = talk.world.add(Options::for_node());
            talk.world.start_original(host);
            talk.world.run_for(secs(5));
            talk.told = talk.world.told.len();
        }
        talk.run(6000, 0.01);
        let downs = talk.world.downs_since(talk.told);
        let by_caster = downs.iter().filter(|told| told.observer < 10).count();
        println!(
            "as fragments, 0.01 lost, original {original}: {:.3} % arrive, {by_caster} false downs",
            100.0 * talk.share()
        );
    }
}
