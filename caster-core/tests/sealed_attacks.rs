//! The attacks on secure mode in virtual time: the rows of tests/attacks/rows_sealed.py.

mod words;

use caster_core::{Caster, DropReason, Event, Key, Message, Node, Options, VirtualNetwork};
use serde_json::json;
use std::time::Duration;
use words::drain;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Three victims that know each other, and an attacker that has no key.
struct Scene {
    network: VirtualNetwork,
    key: Key,
    v: Node,
    w: Node,
    x: Node,
    attacker: Caster,
    recorded: Vec<Vec<u8>>,
}

fn sealed(id: &str, key: &Key) -> Options {
    Options::for_node().with("id", id).with("maxDatagrams", &1_000_000).keys([key.clone()])
}

impl Scene {
    fn new(seed: u64) -> Self {
        let network = VirtualNetwork::new(seed);
        let key = Key::generate().unwrap();
        let options = Options::for_caster()
            .with("port", &10103)
            .with("loopback", &false)
            .with("maxEvents", &100_000);
        let attacker = network.caster(&options).unwrap();
        attacker.bind().unwrap();
        let [v, w, x] = ["v", "w", "x"].map(|id| network.node(&sealed(id, &key)).unwrap());
        for node in [&v, &w, &x] {
            node.up().unwrap();
        }
        network.advance(secs(6));
        let mut scene = Self { network, key, v, w, x, attacker, recorded: Vec::new() };
        assert_eq!(scene.told().len(), 9, "two peers each, and settled");
        scene
    }

    /// The events of the victims since the last call.
    fn told(&mut self) -> Vec<String> {
        let nodes = [&self.v, &self.w, &self.x].into_iter();
        let told = |node: &Node| {
            let id = node.id().clone();
            // A hint names a sender without the key.
            let events = drain(node).into_iter().filter(|event| event != "hint");
            events.map(move |event| format!("{id}: {event}"))
        };
        nodes.flat_map(told).collect()
    }

    fn record(&mut self) {
        while let Some(event) = self.attacker.event_source().try_next() {
            if let Event::Datagram { message, .. } = event {
                self.recorded.push(message.into_data());
            }
        }
    }

    fn inject(&self, datagram: &[u8]) {
        self.attacker.send_bytes(datagram).unwrap();
        self.network.advance(Duration::from_micros(200));
    }

    fn replay(&self) {
        self.recorded.iter().for_each(|datagram| self.inject(datagram));
    }

    /// Replays all so many times, and waits so many milliseconds after each.
    fn replay_often(&self, times: usize, pause: u64) {
        for _ in 0..times {
            self.replay();
            self.network.advance(ms(pause));
        }
    }

    /// All is as it was: no event but those of a message that each of these sends now.
    fn check_unharmed(&mut self) {
        let told = self.told();
        assert!(told.is_empty(), "{told:?}");
        self.w.send("still w").unwrap();
        self.x.send("still x").unwrap();
        self.network.advance(secs(5));
        let expected = [
            r#"v: message w "still w""#,
            r#"v: message x "still x""#,
            r#"w: message x "still x""#,
            r#"x: message w "still w""#,
        ];
        assert_eq!(self.told(), expected);
    }
}

/// The event between the recording and its repetition.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meanwhile {
    Nothing,
    Sender,
    Receiver,
    Both,
    All,
}

#[test]
fn a_recording_has_no_effect_whichever_side_has_restarted() {
    for (seed, meanwhile) in (1..).zip([
        Meanwhile::Nothing,
        Meanwhile::Sender,
        Meanwhile::Receiver,
        Meanwhile::Both,
        Meanwhile::All,
    ]) {
        // The echoes of the recording are valid for ten to twenty seconds.
        for wait in [0, 7, 15, 40] {
            let mut scene = Scene::new(seed);
            scene.w.send("pay 100").unwrap();
            scene.network.advance(secs(2));
            scene.record();
            assert!(scene.recorded.len() > 20);
            let restarted: Vec<&Node> = match meanwhile {
                Meanwhile::Nothing => vec![],
                Meanwhile::Sender => vec![&scene.w],
                Meanwhile::Receiver => vec![&scene.v],
                Meanwhile::Both => vec![&scene.v, &scene.w],
                Meanwhile::All => vec![&scene.v, &scene.w, &scene.x],
            };
            for node in &restarted {
                node.down().unwrap();
            }
            scene.network.advance(ms(200));
            for node in &restarted {
                node.up().unwrap();
            }
            scene.network.advance(secs(5 + wait));
            scene.told();
            for _ in 0..3 {
                scene.replay();
                let told = scene.told();
                assert!(told.is_empty(), "{meanwhile:?}, {wait} s: {told:?}");
                scene.network.advance(ms(500));
            }
            // Nothing came so far that the address of its sender was looked at.
            let stats = scene.v.stats();
            let refused = stats.dropped(DropReason::Replayed) + stats.dropped(DropReason::Unproven);
            assert!(refused > 20, "{meanwhile:?}: {stats:?}");
            assert_eq!(stats.dropped(DropReason::Unconfirmed), 0, "{meanwhile:?}: {stats:?}");
            scene.check_unharmed();
        }
    }
}

#[test]
fn a_recording_of_one_that_has_left_or_fell_silent_revives_nothing() {
    for leaves in [true, false] {
        for wait in [1, 9, 19, 21, 60] {
            let mut scene = Scene::new(7);
            scene.w.send("pay 100").unwrap();
            scene.network.advance(secs(4));
            if leaves {
                scene.w.down().unwrap();
            } else {
                scene.network.unplug(scene.w.id()).unwrap();
            }
            // The statements of the others about it are recorded, too.
            scene.network.advance(secs(8 + wait));
            scene.record();
            scene.told();
            scene.replay_often(5, 300);
            let told: Vec<_> =
                scene.told().into_iter().filter(|it| !it.starts_with("w:")).collect();
            assert!(told.is_empty(), "leaves: {leaves}, {wait} s: {told:?}");
            assert_eq!(scene.v.node_count(), 1);
        }
    }
}

#[test]
fn a_node_that_delivers_messages_of_casters_takes_recordings_for_nothing_else() {
    let mut scene = Scene::new(14);
    let options = Options::for_caster().with("port", &10103).keys([scene.key.clone()]);
    let caster = scene.network.caster(&options).unwrap();
    caster.use_stage(caster_core::middleware::Json::new()).unwrap();
    caster.bind().unwrap();
    let deliver = sealed("n", &scene.key).with("unproven", "deliver");
    let n = scene.network.node(&deliver).unwrap();
    n.up().unwrap();
    scene.network.advance(secs(6));
    drain(&n);
    scene.w.send("pay 100").unwrap();
    caster.send(&json!({"id": "c", "message": 1})).unwrap();
    scene.network.advance(secs(2));
    assert_eq!(drain(&n), [r#"message w "pay 100""#, "message c 1"]);
    // In the session: each counts once, also that of the caster.
    scene.record();
    let before = n.stats().dropped(DropReason::Replayed);
    scene.replay_often(3, 500);
    assert!(drain(&n).is_empty());
    assert!(n.stats().dropped(DropReason::Replayed) > before + 20);
    // After restarts of both: w is there, and its messages of earlier are nothing.
    for node in [&scene.w, &n] {
        node.down().unwrap();
    }
    scene.network.advance(ms(200));
    for node in [&scene.w, &n] {
        node.up().unwrap();
    }
    scene.network.advance(secs(6));
    drain(&n);
    scene.replay_often(3, 500);
    // A caster can not be told from its recording: it is marked, once, and no event but a message.
    assert_eq!(drain(&n), ["message c 1"]);
    // Without w the recording has its questions, too: it is no caster, and waits to be believed.
    scene.w.down().unwrap();
    n.down().unwrap();
    n.up().unwrap();
    scene.network.advance(secs(6));
    drain(&n);
    scene.replay_often(3, 500);
    assert_eq!(drain(&n), ["message c 1"]);
    assert_eq!(n.node_count(), 2);
}

#[test]
fn ten_thousand_senders_that_prove_nothing_fill_a_table_of_bounded_size() {
    let mut scene = Scene::new(15);
    let deliver = sealed("n", &scene.key).with("unproven", "deliver");
    let n = scene.network.node(&deliver).unwrap();
    n.up().unwrap();
    scene.network.advance(secs(6));
    scene.told();
    drain(&n);
    let options = Options::for_caster().with("port", &10103).keys([scene.key.clone()]);
    let caster = scene.network.caster(&options).unwrap();
    caster.use_stage(caster_core::middleware::Json::new()).unwrap();
    let mut heard = 0;
    for number in 0..10_000 {
        // A sender of its own for each message.
        caster.bind().unwrap();
        caster.send(&json!({"id": format!("c{number}"), "message": number})).unwrap();
        caster.close().unwrap();
        scene.network.advance(ms(1));
        heard += drain(&n).iter().filter(|event| event.starts_with("message c")).count();
    }
    assert!(heard > 9_000, "{heard}");
    assert_eq!(n.node_count(), 3);
    scene.check_unharmed();
}

#[test]
fn what_was_withheld_from_a_node_is_refused_when_it_is_released() {
    let mut scene = Scene::new(8);
    scene.record();
    scene.recorded.clear();
    scene.network.unplug(scene.v.id()).unwrap();
    for n in 0..60 {
        scene.w.send(&n).unwrap();
        scene.network.advance(ms(100));
    }
    scene.record();
    scene.network.plug(scene.v.id()).unwrap();
    // Its peers are believed again.
    scene.network.advance(secs(8));
    scene.told();
    scene.replay_often(3, 300);
    scene.check_unharmed();
}

#[test]
fn a_flip_in_each_byte_a_cut_at_each_length_and_mixtures_do_not_open() {
    let mut scene = Scene::new(9);
    scene.network.advance(ms(400));
    scene.record();
    scene.recorded.clear();
    scene.network.unplug(scene.v.id()).unwrap();
    scene.w.send("true").unwrap();
    scene.network.advance(ms(1));
    scene.w.send("else").unwrap();
    scene.network.advance(ms(1));
    scene.network.plug(scene.v.id()).unwrap();
    scene.record();
    scene.told();
    let [good, other]: [Vec<u8>; 2] = std::mem::take(&mut scene.recorded).try_into().unwrap();
    let mut broken: Vec<Vec<u8>> = Vec::new();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << bit;
            broken.push(flipped);
        }
        broken.push(good[..at].to_vec());
    }
    broken.push([&good[..40], &other[40..]].concat());
    broken.push([&other[..40], &good[40..]].concat());
    broken.push([&good[..], &[0; 16]].concat());
    let refused = |node: &Node| {
        let stats = node.stats();
        stats.dropped(DropReason::Seal) + stats.dropped(DropReason::Unsealed)
    };
    let before = refused(&scene.v);
    for datagram in &broken {
        scene.attacker.send_bytes(datagram).unwrap();
    }
    scene.network.advance(ms(1));
    assert_eq!(refused(&scene.v) - before, broken.len() as u64);
    let accepted = scene.v.stats().dropped(DropReason::Unconfirmed);
    scene.inject(&good);
    assert_eq!(refused(&scene.v) - before, broken.len() as u64, "it opens");
    // It comes from another address than its sender.
    assert_eq!(scene.v.stats().dropped(DropReason::Unconfirmed), accepted + 1);
    let replayed = scene.v.stats().dropped(DropReason::Replayed);
    scene.network.advance(secs(1));
    scene.inject(&good);
    assert_eq!(scene.v.stats().dropped(DropReason::Replayed), replayed + 1);
    scene.check_unharmed();
}

#[test]
fn own_datagrams_that_come_back_are_nothing() {
    let mut scene = Scene::new(10);
    scene.v.send("own").unwrap();
    scene.network.advance(secs(3));
    scene.told();
    scene.record();
    scene.replay_often(4, 700);
    scene.check_unharmed();
}

#[test]
fn datagrams_that_arrive_twice_count_once() {
    let mut scene = Scene::new(11);
    scene.network.set_duplicates(1.0);
    scene.network.set_delay(ms(3));
    for n in 0..20 {
        scene.w.send(&n).unwrap();
        scene.network.advance(ms(200));
    }
    let told = scene.told();
    let expected: Vec<String> = (0..20).map(|n| format!("v: message w {n}")).collect();
    let of_v: Vec<_> = told.into_iter().filter(|it| it.starts_with("v:")).collect();
    assert_eq!(of_v, expected);
}

#[test]
fn ten_thousand_messages_between_two_heartbeats_are_no_death() {
    let mut scene = Scene::new(12);
    for part in 0..10 {
        let batch: Vec<_> =
            (0..1000).map(|n| Message::from_value(&(part * 1000 + n)).unwrap()).collect();
        scene.w.send_batch(&batch).unwrap();
        scene.network.advance(ms(20));
        let told = scene.told();
        assert_eq!(told.len(), 2000);
        assert!(told.iter().all(|it| it.contains("message w")));
    }
    scene.network.advance(secs(10));
    scene.check_unharmed();
}

#[test]
fn a_plain_node_and_one_with_the_old_key_are_not_heard() {
    let mut scene = Scene::new(13);
    let options = Options::for_node().with("id", "w").with("port", &10103);
    let plain = scene.network.node(&options).unwrap();
    plain.up().unwrap();
    scene.network.advance(secs(3));
    plain.send("forged").unwrap();
    plain.down().unwrap();
    scene.network.advance(secs(3));
    assert!(scene.v.stats().dropped(DropReason::Unsealed) > 3);
    scene.check_unharmed();

    let excluded = scene.network.node(&sealed("excluded", &scene.key)).unwrap();
    excluded.up().unwrap();
    scene.network.advance(secs(3));
    scene.record();
    let new = Key::generate().unwrap();
    for node in [&scene.v, &scene.w, &scene.x] {
        node.add_key(&new).unwrap();
    }
    scene.network.advance(secs(3));
    for node in [&scene.v, &scene.w, &scene.x] {
        node.use_key(new.id()).unwrap();
    }
    scene.network.advance(secs(3));
    for node in [&scene.v, &scene.w, &scene.x] {
        node.remove_key(scene.key.id()).unwrap();
    }
    // A key that was removed is accepted for two timeouts; its holder is down after another one.
    scene.network.advance(secs(10));
    let told = scene.told();
    for id in ["v", "w", "x"] {
        let of = |what: &str| told.iter().filter(|it| **it == format!("{id}: {what}")).count();
        assert_eq!((of("up excluded"), of("down excluded timeout")), (1, 1), "{told:?}");
    }
    assert_eq!(told.len(), 6, "{told:?}");
    let before = scene.v.stats().dropped(DropReason::Seal);
    excluded.send("forged").unwrap();
    scene.replay();
    scene.network.advance(secs(5));
    assert!(scene.v.stats().dropped(DropReason::Seal) > before + 20);
    scene.check_unharmed();
}

#[test]
fn a_flood_that_is_not_authentic_keeps_no_newcomer_out() {
    let mut scene = Scene::new(14);
    scene.network.advance(secs(2));
    scene.record();
    let mut number = 0u32;
    let headers: Vec<Vec<u8>> = scene.recorded.iter().map(|it| it[..40].to_vec()).collect();
    let mut flood = |network: &VirtualNetwork, attacker: &Caster, time: Duration| {
        for _ in 0..time.as_millis() {
            for _ in 0..10 {
                number += 1;
                let mut datagram = headers[number as usize % headers.len()].clone();
                match number % 4 {
                    0 => datagram[0] ^= 1,
                    1 => datagram[8] ^= number as u8 | 1,
                    _ => {}
                }
                datagram.extend(number.to_be_bytes().iter().cycle().take(160));
                attacker.send_bytes(&datagram).unwrap();
            }
            network.advance(ms(1));
        }
    };
    flood(&scene.network, &scene.attacker, secs(1));
    let newcomer = scene.network.node(&sealed("newcomer", &scene.key)).unwrap();
    newcomer.up().unwrap();
    flood(&scene.network, &scene.attacker, secs(3));
    assert_eq!(scene.told(), ["v: up newcomer", "w: up newcomer", "x: up newcomer"]);
    assert_eq!(newcomer.node_count(), 3);
    newcomer.send(&json!(1)).unwrap();
    newcomer.down().unwrap();
    scene.network.advance(ms(1));
    let left = ["message newcomer 1", "down newcomer goodbye"];
    let expected: Vec<String> =
        ["v", "w", "x"].iter().flat_map(|id| left.map(|it| format!("{id}: {it}"))).collect();
    assert_eq!(scene.told(), expected);
    scene.check_unharmed();
}

#[test]
fn nothing_that_is_sent_tells_why_a_datagram_was_refused() {
    type Change = fn(&mut Vec<u8>);
    // The datagrams of the victims, each with the step at which it was heard.
    let sent = |change: Option<Change>| {
        let mut scene = Scene::new(15);
        scene.record();
        let frames = std::mem::take(&mut scene.recorded);
        let before = scene.v.stats();
        let mut heard = Vec::new();
        for step in 0..3000 {
            let mut frame = frames[step % frames.len()].clone();
            match change {
                Some(change) => {
                    change(&mut frame);
                    scene.inject(&frame);
                }
                None => scene.network.advance(Duration::from_micros(200)),
            }
            scene.network.advance(ms(1));
            scene.record();
            heard.extend(scene.recorded.drain(..).map(|it| (step, it.len(), it[4], it[5])));
        }
        let stats = scene.v.stats();
        let dropped = |reason| stats.dropped(reason) - before.dropped(reason);
        (heard, [DropReason::Unsealed, DropReason::Seal].map(dropped))
    };
    let (undisturbed, counted) = sent(None);
    assert!(undisturbed.len() > 10, "heartbeats of three");
    assert_eq!(counted, [0, 0]);
    let parse: [Change; 5] = [
        |it| it[0] ^= 1,
        |it| it[3] = 2,
        |it| it[4] = 9,
        |it| it[32..40].fill(0),
        |it| it.truncate(30),
    ];
    let hint: [Change; 2] = [|it| it[8] ^= 1, |it| it[32] ^= 1];
    let tag: [Change; 2] = [|it| it[6] ^= 1, |it| *it.last_mut().unwrap() ^= 1];
    for (changes, expected) in
        [(&parse[..], [3000, 0]), (&hint[..], [0, 3000]), (&tag[..], [0, 3000])]
    {
        for change in changes {
            let (heard, counted) = sent(Some(*change));
            assert_eq!(counted, expected);
            assert_eq!(heard, undisturbed);
        }
    }
}
