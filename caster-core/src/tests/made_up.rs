//! A member that makes up ids: each has a sender of its own that echoes, so that each is believed.

use super::identity::{Scene, ms, secs, told};
use crate::secure::block::{Block, Challenge, Outgoing};
use crate::secure::frame::{Class, Header};
use crate::secure::identity::{Identity, Salt};
use crate::secure::names::SenderId;
use crate::{DropReason, Node};
use std::net::SocketAddr;

/// The victims, and the member.
struct Group {
    scene: Scene,
    v: Node,
    w: Node,
    signs: bool,
    sample: Header,
}

impl Group {
    fn new(signs: bool, seed: u64, nodes: u32) -> Self {
        let mut scene = Scene::new(seed);
        let [v, w] = ["v", "w"].map(|id| scene.node(&Self::options(&scene, signs, id, nodes)));
        scene.listen(secs(5));
        told(&v);
        let (sample, ..) = scene.last_heartbeat("v");
        Self { scene, v, w, signs, sample }
    }

    fn options(scene: &Scene, signs: bool, id: &str, nodes: u32) -> crate::Options {
        let options = scene.options(id).with("maxNodes", &nodes).with("maxEvents", &1_000_000);
        match signs {
            true => options.identity(Identity::generate().unwrap()).with("signMessages", &true),
            false => options,
        }
    }

    fn newcomer(&self) -> Node {
        self.scene.node(&Self::options(&self.scene, self.signs, "newcomer", 4096))
    }

    /// The challenges that are valid now.
    fn challenges(&mut self) -> Vec<Challenge> {
        self.scene.listen(ms(1));
        let of = |id| Block::read(&self.scene.last_heartbeat(id).1).unwrap().0.challenge;
        ["v", "w"].map(of).to_vec()
    }

    /// A heartbeat of an id that is made up, its `count`th one.
    fn beat(&self, made_up: &MadeUp, count: u64, echoes: &[Challenge]) -> Vec<u8> {
        let MadeUp { sender, number, signer } = made_up;
        let block = Outgoing { challenge: [9; 8], echoes: echoes.to_vec(), ..Outgoing::default() };
        let text = format!(
            r#"{{"id":"m{number}","meta":null,"caster":{{"b":{number},"h":1000,"n":{count}}}}}"#
        );
        let payload = [block.write(), text.into_bytes()].concat();
        let counter = count + 1;
        let header = Header { sender: *sender, counter, class: Class::Heartbeat, ..self.sample };
        self.scene.forge(&header, &payload, signer.as_ref().map(|it| (it, SALT)))
    }

    fn say(&self, from: SocketAddr, datagram: &[u8]) {
        self.scene.inject_from(from, datagram);
    }

    /// The peers of the victims are up, and were never down. Returns the events of V.
    fn assert_unharmed(&mut self) -> Vec<String> {
        let about = |node: &Node, other: &str| {
            assert!(node.node(other).is_some());
            let bad = [format!("down {other} "), format!("conflict {other}")];
            let told = told(node);
            let harm = told.iter().find(|it| bad.iter().any(|bad| it.starts_with(bad)));
            assert_eq!(harm, None);
            told
        };
        about(&self.w, "v");
        let told_before = about(&self.v, "w");
        self.w.send("still w").unwrap();
        self.scene.listen(ms(1));
        let marked = if self.signs { "signed" } else { "unsigned" };
        assert!(told(&self.v).contains(&format!("{marked} w \"still w\"")));
        let stats = self.v.stats();
        assert_eq!(stats.received, stats.accepted + stats.dropped_total(), "{stats:?}");
        told_before
    }
}

const SALT: Salt = Salt([3; 16]);

struct MadeUp {
    sender: SenderId,
    number: u64,
    signer: Option<Identity>,
}

impl MadeUp {
    fn new(number: u64, signs: bool) -> Self {
        let signer = signs.then(|| Identity::generate().unwrap());
        let mut random = [0; 12];
        random[..8].copy_from_slice(&number.to_be_bytes());
        let own = signer.as_ref().map(|it| it.public_key().sender(&SALT));
        Self { sender: own.unwrap_or(SenderId(random)), number, signer }
    }

    /// The address that it is said to be at: one of so many.
    fn place(&self, addresses: u64) -> SocketAddr {
        SocketAddr::from(([10, 9, 9, (self.number % addresses) as u8], 10103))
    }
}

/// Ids that speak once each, 5,000 a second: the table is full of them, and newcomers take their places.
fn many_ids(count: u64, signs: bool, addresses: u64, nodes: u32) {
    let mut group = Group::new(signs, 30 + addresses, nodes);
    let (mut echoes, mut largest) = (Vec::new(), 0);
    let (mut newcomer, mut seen) = (None, None);
    for number in 0..count {
        if number % 100 == 0 {
            echoes = group.challenges();
        }
        if number == count / 2 {
            newcomer = Some((group.newcomer(), group.scene.network.now()));
        }
        let made_up = MadeUp::new(number, signs);
        group.say(made_up.place(addresses), &group.beat(&made_up, 0, &echoes));
        largest = largest.max(group.v.node_count());
        if let Some((_, began)) = newcomer
            && seen.is_none()
            && group.v.node("newcomer").is_some()
        {
            seen = Some(group.scene.network.now() - began);
        }
    }
    let (newcomer, _) = newcomer.unwrap();
    println!("{signs} {addresses} {nodes}: {largest} nodes, the newcomer after {seen:?}");
    assert!(seen.is_some_and(|time| time < secs(1)), "{seen:?}, {:?}", group.v.stats());
    let too_many = group.v.stats().dropped(DropReason::TooManyNew);
    match addresses {
        // 1,000 new ones a second from one address.
        1 => assert!(too_many > count / 2 && largest < 3500, "{too_many} {largest}"),
        _ => assert_eq!((too_many, largest), (0, nodes as usize)),
    }
    let told = group.assert_unharmed();
    assert!(
        told.contains(&"up newcomer".into())
            && !told.iter().any(|it| it.starts_with("down newcomer"))
    );
    group.scene.listen(secs(10));
    assert_eq!((group.v.node_count(), newcomer.node_count()), (2, 2));
    group.assert_unharmed();
}

#[test]
fn ten_thousand_ids_of_a_member_keep_no_newcomer_out() {
    many_ids(10_000, false, 1, 4096);
    many_ids(10_000, false, 100, 4096);
    // More senders than are kept.
    many_ids(10_000, false, 100, 500);
}

#[test]
fn thousands_of_identities_of_a_member_keep_no_newcomer_out() {
    many_ids(5000, true, 100, 500);
}

/// The limit: ids that a member keeps alive fill the table, as so many nodes would.
#[test]
fn ids_that_a_member_keeps_alive_fill_the_table_until_it_stops() {
    for signs in [false, true] {
        let mut group = Group::new(signs, 40, 100);
        let made_up: Vec<MadeUp> = (0..99).map(|number| MadeUp::new(number, signs)).collect();
        let mut beats = 0;
        let mut keep_alive = |group: &mut Group, times: u64, pause: u64| {
            for _ in 0..times {
                let echoes = group.challenges();
                for it in &made_up {
                    group.say(it.place(100), &group.beat(it, beats, &echoes));
                }
                beats += 1;
                group.scene.listen(ms(pause));
            }
        };
        keep_alive(&mut group, 3, 100);
        assert_eq!(group.v.node_count(), 100);
        let newcomer = group.newcomer();
        keep_alive(&mut group, 5, 800);
        assert_eq!((group.v.node_count(), group.v.node("newcomer")), (100, None));
        assert!(group.v.stats().dropped(DropReason::TableFull) > 4, "{:?}", group.v.stats());
        group.assert_unharmed();
        group.scene.listen(secs(6));
        assert_eq!((group.v.node_count(), newcomer.node_count()), (2, 2), "{signs}");
        group.assert_unharmed();
    }
}
