//! Liars among honest nodes, at low rates and in floods.

use super::checks::IN_TIME;
use super::*;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The address of a host that is not a member.
const STRANGER: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 9, 9, 9), GROUP_PORT));

/// A member of the network that lies about others from its own address, two datagrams a second.
#[test]
fn a_liar_with_an_address_of_its_own_kills_no_peer_and_keeps_no_dead_one() {
    for seed in 0..30 {
        let loss = [0.0, 0.1, 0.3][seed as usize % 3];
        let mut simulation = Simulation::group(seed, 10, Network::lossy(loss));
        let told = simulation.told.len();
        let mut dice = Random::new(seed ^ 0xBAD);
        for _ in 0..240 {
            let victim = (dice.next() % 10) as usize;
            let lie = dice.next() % 6;
            let b = dice.next() as u32;
            let text = simulation.heartbeat_of(victim, |value| match lie {
                0 => value["caster"]["b"] = b.into(),
                1 => value["caster"]["n"] = u32::MAX.into(),
                2 => value["caster"]["h"] = 60_000.into(),
                3 => value["meta"] = "stolen".into(),
                4 => value["suicide"] = true.into(),
                _ => value["caster"]["l"] = "00000000000000aa".into(),
            });
            simulation.forge(STRANGER, &text);
            simulation.run_for(ms(500));
        }
        let when = format!("seed {seed}, {loss} lost");
        if loss < 0.3 {
            simulation.assert_no_downs(told, &when);
        }
        // All still follow: the dead are down in time.
        simulation.crash(3);
        simulation.run_for(IN_TIME + secs(2));
        simulation.assert_gone(3, &when);
    }
}

#[test]
fn a_liar_that_forges_the_source_moves_no_count_and_proves_no_leave() {
    let mut simulation = Simulation::group(1, 6, Network::PERFECT);
    let told = simulation.told.len();
    for n in 0..200 {
        let victim = n % 6;
        let text = simulation.heartbeat_of(victim, |value| match n % 3 {
            0 => value["caster"]["n"] = u32::MAX.into(),
            1 => value["suicide"] = true.into(),
            _ => {
                value["suicide"] = true.into();
                value["caster"]["s"] = "0123456789abcdef0123456789abcdef".into();
            }
        });
        simulation.forge(address(victim), &text);
        simulation.run_for(ms(150));
    }
    simulation.assert_no_downs(told, "forged sources");
}

#[test]
fn corroborations_without_end_keep_no_dead_peer() {
    let mut simulation = Simulation::group(1, 10, Network::PERFECT);
    let id = simulation.id(0);
    simulation.crash(0);
    for n in 0..28 {
        let lie = serde_json::json!({
            "id": "zombie master",
            "meta": null,
            "caster": {"b": 7, "n": n, "h": 500, "v": [[id.as_str(), 0]]}
        });
        simulation.forge(STRANGER, &lie.to_string());
        simulation.run_for(ms(500));
    }
    simulation.assert_gone(0, "14 s of corroborations");
}

#[test]
fn a_flood_of_invented_ids_hides_no_newcomer_and_no_death() {
    let mut simulation = Simulation::new(1, Network::PERFECT);
    for _ in 0..4 {
        let host = simulation.add(Options::for_node().with("maxNodes", &200));
        simulation.start(host);
    }
    simulation.run_for(secs(5));
    let told = simulation.told.len();
    let mut newcomer = 0;
    for n in 0..4000 {
        let invented = format!(r#"{{"id":"x{n}","meta":1,"caster":{{"b":{n},"h":60000,"n":0}}}}"#);
        simulation.forge(STRANGER, &invented);
        simulation.run_for(ms(2));
        if n == 1000 {
            newcomer = simulation.add(Options::for_node());
            simulation.start(newcomer);
        }
    }
    let members: Vec<NodeId> = (0..5).map(|host| simulation.id(host)).collect();
    let wrong: Vec<_> = simulation.told[told..]
        .iter()
        .filter(|it| matches!(it.what, What::Down(_)) && members[..4].contains(&it.about))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    for observer in 0..4 {
        assert!(simulation.hosts[observer].known.contains(&members[newcomer]), "{observer}");
    }
    simulation.crash(0);
    simulation.run_for(IN_TIME);
    simulation.assert_gone(0, "after the flood");
}

/// Counted over 5 s, beyond what the group sends anyway; a hello is answered by all.
#[test]
fn one_datagram_costs_a_group_of_a_hundred_at_most_twenty() {
    let mut simulation = Simulation::group(1, 100, Network::PERFECT);
    let ids: Vec<String> = (0..32).map(|host| format!("\"{}\"", simulation.id(host))).collect();
    let ages: Vec<String> = ids.iter().map(|id| format!("[{id},0]")).collect();
    let member = simulation.heartbeat_of(7, |_| ());
    let restart = simulation.heartbeat_of(7, |value| value["caster"]["b"] = 5.into());
    let leave = simulation.heartbeat_of(7, |value| value["suicide"] = true.into());
    let stranger =
        |rest: &str| format!(r#"{{"id":"x","meta":1,"caster":{{"b":1,"h":1000{rest}}}}}"#);
    let cases = [
        r#"{"id":"plain","meta":1}"#.to_owned(),
        stranger(""),
        stranger(&format!(",\"p\":[{}]", ids[3])),
        stranger(&format!(",\"v\":[{}]", ages.join(","))),
        stranger(",\"k\":[\"10.9.9.8:20000\",\"10.9.9.7:20000\"]"),
        member,
        restart,
        leave,
        r#"{"id":"y","message":1}"#.to_owned(),
    ];
    let window = |simulation: &mut Simulation| {
        let before = simulation.sent();
        simulation.run_for(secs(5));
        simulation.sent() - before
    };
    // Jitter moves a few heartbeats over the edges of a window.
    let usual = (0..4).map(|_| window(&mut simulation)).max().unwrap();
    for text in cases {
        simulation.forge(STRANGER, &text);
        let cost = window(&mut simulation);
        assert!(cost <= usual + 20, "{} beyond {usual}: {text}", cost as i64 - usual as i64);
        simulation.run_for(secs(5));
    }
}

#[test]
fn hidden_nodes_that_spoke_once_isolate_nobody() {
    let mut simulation = Simulation::group(1, 2, Network::PERFECT);
    for n in 0..3 {
        simulation.forge(STRANGER, &format!(r#"{{"id":"hidden {n}","message":1}}"#));
    }
    simulation.run_for(secs(1));
    simulation.crash(1);
    simulation.run_for(secs(20));
    simulation.assert_gone(1, "a crash beside hidden nodes");
    let isolated = simulation.told.iter().filter(|it| it.what == What::Isolated).count();
    assert_eq!(isolated, 0);
}

/// Two datagrams a second that name an address as that of a peer, or come from there.
#[test]
fn an_innocent_address_gets_no_message_and_three_bytes_for_one_at_most() {
    for seed in 0..6 {
        let mut simulation = Simulation::group_with_ports(seed, 10, Network::PERFECT);
        let innocent = SocketAddr::from(([192, 0, 2, 7], 40_000));
        let mut named = 0;
        let mut dice = Random::new(seed);
        for n in 0..240 {
            let known = format!(r#","k":["{innocent}"]"#);
            let (source, said) = match dice.next() % 4 {
                0 => (STRANGER, known),
                1 => (STRANGER, format!(r#"{known},"u":1"#)),
                2 => (innocent, r#","u":1"#.to_owned()),
                _ => (innocent, r#","u":1,"t":"0123456789abcdef","p":["n1"]"#.to_owned()),
            };
            let text = format!(
                r#"{{"id":"liar","meta":1,"caster":{{"b":9,"n":{n},"h":1000,"c":12{said}}}}}"#
            );
            named += (text.len() + 28) * simulation.hosts.len();
            simulation.forge(source, &text);
            simulation.run_for(ms(500));
            for host in 0..simulation.hosts.len() {
                let now = simulation.clock(host);
                let targets = simulation.engine(host).unicast_targets(now);
                let wrong = targets.iter().filter(|target| **target == innocent).count();
                simulation.strangers.entry(innocent).or_default().messages += wrong;
            }
        }
        let got = simulation.strangers[&innocent];
        assert_eq!(got.messages, 0, "seed {seed}: {got:?}");
        assert!(got.bytes <= 3 * named, "seed {seed}: {got:?} for {named} bytes");
    }
}

/// Two thousand invented ids a second while one member dies and no other.
#[test]
fn in_a_flood_of_invented_ids_a_death_is_told_in_time_and_no_other() {
    for seed in 0..4 {
        let mut simulation = Simulation::group_with_ports(seed, 6, Network::PERFECT);
        let members: Vec<NodeId> = (0..6).map(|host| simulation.id(host)).collect();
        let told = simulation.told.len();
        let mut dice = Random::new(seed);
        for n in 0..8000 {
            if n == 2000 {
                simulation.power_off(0);
                simulation.expect_down(0, IN_TIME);
            }
            let b = dice.next() as u32;
            let text = format!(r#"{{"id":"x{b}","meta":1,"caster":{{"b":{b},"h":60000}}}}"#);
            let source = SocketAddr::from(([10, 9, (b >> 8) as u8, b as u8], GROUP_PORT));
            simulation.forge(source, &text);
            simulation.run_for(Duration::from_micros(500));
        }
        simulation.run_for(secs(3));
        simulation.assert_no_problems(&format!("seed {seed}"));
        let downs = simulation.downs_since(told);
        let mut downs = downs.iter().filter(|told| members[1..].contains(&told.about));
        assert!(downs.next().is_none(), "seed {seed}");
        assert_eq!(simulation.told_of(What::Down(DownReason::Timeout), &members[0]), 5);
    }
}

/// The address at which a node has this peer.
fn place_of(simulation: &mut Simulation, observer: usize, id: &NodeId) -> Option<IpAddr> {
    simulation.engine(observer).peer(id).map(|peer| peer.address)
}

/// Another node takes the id of one that has crashed, and answers for it, before it is down or after that.
#[test]
fn a_member_that_comes_back_gets_its_id_back() {
    for seed in 0..24 {
        let loss = [0.0, 0.1, 0.2][seed as usize % 3];
        let mut simulation = Simulation::group_with_ports(seed, 4, Network::lossy(loss));
        let id = simulation.id(1);
        let thief = simulation.add(Options::for_node());
        simulation.hosts[thief].config.id = id.clone();
        simulation.hosts[thief].port = Some(PRIVATE_PORT);
        simulation.run_for(secs(10));
        simulation.crash(1);
        simulation.run_for([ms(100), ms(1500), secs(8)][seed as usize / 3 % 3]);
        simulation.start(thief);
        simulation.run_for(secs(20));
        let stolen = Some(address(thief).ip());
        assert_eq!(place_of(&mut simulation, 0, &id), stolen, "seed {seed}");
        simulation.start(1);
        simulation.run_for(if loss > 0.0 { secs(2) } else { ms(100) });
        for _ in 0..30 {
            for observer in [0, 2, 3] {
                let place = place_of(&mut simulation, observer, &id);
                assert_eq!(place, Some(address(1).ip()), "seed {seed}, {observer}");
            }
            simulation.run_for(secs(1));
        }
        // The observers and both nodes are told.
        for observer in [0, 1, 2, 3, thief] {
            let mut told = simulation.told.iter().filter(|it| it.observer == observer);
            let is_told = told.any(|it| it.what == What::Conflict && it.about == id);
            assert!(is_told, "seed {seed}, {observer}");
        }
    }
}

/// Its gaps are long, so that a claim about it would wait for long.
#[test]
fn an_invented_original_keeps_the_owner_of_its_id_out_for_three_seconds() {
    for seed in 0..10 {
        let mut simulation = Simulation::group_with_ports(seed, 3, Network::PERFECT);
        let owner = simulation.add(Options::for_node());
        let id = simulation.id(owner);
        let plain = format!(r#"{{"id":{},"meta":"stolen"}}"#, id.as_json());
        for gap in [4, 8, 16] {
            simulation.forge(STRANGER, &plain);
            simulation.run_for(secs(gap));
        }
        simulation.forge(STRANGER, &plain);
        simulation.run_for(ms(100));
        simulation.start(owner);
        simulation.run_for(ms(3800));
        for observer in 0..3 {
            let peer = simulation.engine(observer).peer(&id).unwrap();
            assert_eq!(peer.address, address(owner).ip(), "seed {seed}");
            assert_ne!(peer.meta.as_deref(), Some("\"stolen\""), "seed {seed}");
        }
        let told = simulation.told.iter();
        let conflicts = told.filter(|it| it.what == What::Conflict && it.observer == owner);
        assert_eq!(conflicts.count(), 0, "it has heard none of the heartbeats");
        simulation.forge(STRANGER, &plain);
        simulation.run_for(ms(100));
        let told = simulation.told.iter();
        let mut conflicts = told.filter(|it| it.what == What::Conflict && it.observer == owner);
        assert!(conflicts.next().is_some(), "an original has its id");
    }
}

/// After ten heartbeats one datagram each minute that says the port of a member was refused.
#[test]
fn one_liar_does_not_switch_the_proof_of_death_off() {
    for seed in 0..20 {
        let mut simulation = Simulation::group_with_ports(seed, 4, Network::PERFECT);
        let accused: serde_json::Value =
            serde_json::from_str(&simulation.heartbeat_of(1, |_| ())).unwrap();
        let claim = format!(r#","d":[["n1",{}]]"#, accused["caster"]["b"]);
        for n in 0..12 {
            let said = if n > 9 { &*claim } else { "" };
            let text = format!(
                r#"{{"id":"x","meta":1,"caster":{{"b":9,"n":{n},"h":1000,"c":12{said}}}}}"#
            );
            simulation.forge(STRANGER, &text);
            simulation.run_for(ms(200));
        }
        let (told, died) = (simulation.told.len(), simulation.now);
        simulation.crash(1);
        simulation.run_for(secs(4));
        let id = simulation.id(1);
        for told in simulation.downs_since(told).into_iter().filter(|told| told.about == id) {
            assert!(told.at - died <= ms(1500), "seed {seed}: {:?}", told.at - died);
        }
        assert_eq!(simulation.told_of(What::Down(DownReason::Timeout), &id), 3, "seed {seed}");
    }
}

/// Another program uses the address in the name of the peer before the peer itself does.
#[test]
fn nine_heartbeats_from_an_address_do_not_keep_its_later_owner_out() {
    for seed in 0..10 {
        let mut simulation = Simulation::group_with_ports(seed, 4, Network::PERFECT);
        let (id, told) = (simulation.id(1), simulation.told.len());
        let elsewhere = IpAddr::from([10, 1, 0, 1]);
        for n in 1..=9 {
            let text = simulation.heartbeat_of(1, |value| {
                value["caster"]["n"] = (value["caster"]["n"].as_u64().unwrap() + n).into();
            });
            simulation.forge(SocketAddr::new(elsewhere, GROUP_PORT), &text);
            simulation.run_for(ms(200));
        }
        for observer in [0, 2, 3] {
            let place = place_of(&mut simulation, observer, &id);
            assert_eq!(place, Some(address(1).ip()), "seed {seed}, {observer}");
        }
        simulation.readdress(1, vec![elsewhere]);
        simulation.run_for(secs(1));
        for observer in [0, 2, 3] {
            let place = place_of(&mut simulation, observer, &id);
            assert_eq!(place, Some(elsewhere), "seed {seed}, {observer}");
        }
        simulation.run_for(secs(10));
        simulation.assert_no_downs(told, &format!("seed {seed}"));
        // Each node is told once, the peer as well.
        assert!(simulation.told_of(What::Conflict, &id) <= 4, "seed {seed}");
        simulation.crash(1);
        simulation.run_for(IN_TIME);
        simulation.assert_gone(1, &format!("seed {seed}"));
    }
}

/// They take an id before its node is up: one fewer than a member has.
#[test]
fn nine_heartbeats_before_the_first_of_a_node_do_not_keep_it_out() {
    for seed in 0..10 {
        let mut simulation = Simulation::group_with_ports(seed, 3, Network::PERFECT);
        let owner = simulation.add(Options::for_node());
        let id = simulation.id(owner);
        for n in 0..9 {
            let beat = serde_json::json!({
                "id": id.as_str(), "meta": "stolen", "caster": {"b": 77, "n": n, "h": 1000, "c": 12}
            });
            simulation.forge(STRANGER, &beat.to_string());
            simulation.run_for(ms(1000));
        }
        simulation.start(owner);
        // Its metadata comes with the next heartbeat after the claim.
        simulation.run_for(secs(2));
        for observer in 0..3 {
            let peer = simulation.engine(observer).peer(&id).unwrap();
            assert_eq!(peer.address, address(owner).ip(), "seed {seed}, {observer}");
            assert_ne!(peer.meta.as_deref(), Some("\"stolen\""), "seed {seed}, {observer}");
        }
        let told = simulation.told.len();
        simulation.run_for(secs(10));
        simulation.assert_no_downs(told, &format!("seed {seed}"));
    }
}

/// Members at one address are one witness.
#[test]
fn five_invented_members_of_one_host_keep_no_dead_peer() {
    for seed in 0..9 {
        let loss = [0.0, 0.1, 0.3][seed as usize % 3];
        let mut simulation = Simulation::group_with_ports(seed, 4, Network::lossy(loss));
        let said = |simulation: &mut Simulation, n: u64, rest: &str| {
            for sybil in 0..5 {
                let beat = format!(
                    r#"{{"id":"s{sybil}","meta":1,"caster":{{"b":{},"n":{n},"h":500,"c":12{rest}}}}}"#,
                    sybil + 1
                );
                simulation.forge(STRANGER, &beat);
            }
            simulation.run_for(ms(500));
        };
        (0..30).for_each(|n| said(&mut simulation, n, ""));
        simulation.crash(1);
        simulation.hosts[1].kernel.runs = false;
        (30..60).for_each(|n| said(&mut simulation, n, r#","v":[["n1",0]]"#));
        simulation.assert_gone(1, &format!("seed {seed}, {loss} lost"));
    }
}

/// Of the last incarnation, and of the one before that, which receivers have forgotten.
#[test]
fn a_heartbeat_of_an_earlier_incarnation_is_no_restart() {
    for (seed, (ago, source)) in
        [(1, address(1)), (1, STRANGER), (2, STRANGER)].into_iter().cycle().take(12).enumerate()
    {
        let mut simulation = Simulation::group_with_ports(seed as u64, 4, Network::PERFECT);
        let id = simulation.id(1);
        let old: Vec<String> = (0..4)
            .map(|_| {
                simulation.run_for(secs(1));
                simulation.heartbeat_of(1, |_| ())
            })
            .collect();
        for _ in 0..ago {
            simulation.crash(1);
            simulation.start(1);
            simulation.run_for(secs(6));
        }
        let told = simulation.told.len();
        for n in 0..20 {
            simulation.forge(source, &old[n % old.len()]);
            simulation.run_for(ms(300));
        }
        let about: Vec<_> = simulation.told[told..]
            .iter()
            .filter(|it| it.about == id && it.observer != 1)
            .map(|it| (it.observer, it.what))
            .collect();
        let conflicts = about.iter().filter(|(_, what)| *what == What::Conflict).count();
        assert!(conflicts == about.len() && conflicts <= 3, "{seed}: {about:?}");
        simulation.crash(1);
        simulation.run_for(IN_TIME);
        simulation.assert_gone(1, &format!("seed {seed}"));
    }
}
