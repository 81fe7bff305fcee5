//! Deaths that have to be told in time, and liars among honest nodes.

use super::*;

/// The address of a host that is not a member.
const STRANGER: SocketAddr =
    SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::new(10, 9, 9, 9), 10101));

/// How long it takes at most until a death is told, at the defaults: 2.5 s and the last delays.
const IN_TIME: Duration = ms(2700);

/// The same when all of two or more peers fall silent at once and no host refuses a port.
const IN_TIME_OF_ALL: Duration = ms(8800);

/// The port of each simulated process.
const PORT: u16 = 21101;

impl Simulation {
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
            simulation.hosts[host].port = Some(PORT);
            simulation.start(host);
            simulation.run_for(ms(50));
        }
        simulation.run_for(secs(12));
        simulation
    }

    /// Everything that was sent, by all nodes.
    fn sent(&self) -> u64 {
        self.hosts.iter().map(|host| host.sent).sum()
    }

    /// A datagram to all nodes, as the network carries it.
    fn forge(&mut self, from: SocketAddr, text: &str) {
        let text: Rc<str> = text.into();
        for to in 0..self.hosts.len() {
            let host = &self.hosts[to];
            if host.program.is_some() && !host.paused && !host.unplugged {
                let delay = self.network.delay.mul_f64(self.random.fraction());
                let text = text.clone();
                self.schedule(self.now + delay, Happening::Forged { to, from, text });
            }
        }
    }

    /// A heartbeat in the name of node `of` with its incarnation and count, after `change`.
    fn heartbeat_of(&self, of: usize, change: impl FnOnce(&mut serde_json::Value)) -> String {
        let Some(Program::Caster(engine)) = &self.hosts[of].program else {
            panic!("host {of} runs no engine")
        };
        let leave: serde_json::Value = serde_json::from_str(&engine.leave_message()).unwrap();
        let (b, n) = (&leave["caster"]["b"], &leave["caster"]["n"]);
        let mut value = serde_json::json!({"id": self.id(of).as_str(), "meta": null, "caster": {"b": b, "n": n, "h": 1000}});
        change(&mut value);
        value.to_string()
    }

    fn told_of(&self, what: What, about: &NodeId) -> usize {
        self.told.iter().filter(|told| told.what == what && told.about == *about).count()
    }

    /// No live and connected node still has this one in its table.
    fn assert_gone(&self, dead: usize, when: &str) {
        let id = self.id(dead);
        for (observer, host) in self.hosts.iter().enumerate() {
            let sees = host.program.is_some() && !host.paused && host.known.contains(&id);
            assert!(!sees, "{when}: {observer} still sees {id}");
        }
    }

    fn assert_no_downs(&self, since: usize, when: &str) {
        let downs: Vec<_> =
            self.told[since..].iter().filter(|told| matches!(told.what, What::Down(_))).collect();
        assert!(downs.is_empty(), "{when}: {downs:?}");
    }
}

#[test]
fn the_dead_leave_the_table_in_time() {
    for seed in 0..60 {
        let loss = [0.0, 0.1, 0.3][seed as usize % 3];
        let nodes = [3, 5, 20][seed as usize / 3 % 3];
        let mut simulation = Simulation::group(seed, nodes, Network::lossy(loss));
        let one = seed as usize % nodes;
        simulation.crash(one);
        // A corroboration may be as old as a timeout when it comes.
        simulation.run_for(IN_TIME + if loss > 0.0 { secs(2) } else { Duration::ZERO });
        simulation.assert_gone(one, &format!("seed {seed}, {nodes} nodes, {loss} lost"));
    }
}

#[test]
fn when_all_others_die_at_once_the_last_one_knows_in_time() {
    for nodes in [2, 3, 6, 20] {
        let mut simulation = Simulation::group(1, nodes, Network::PERFECT);
        for host in 1..nodes {
            simulation.crash(host);
            simulation.hosts[host].runs = false;
        }
        simulation.run_for(if nodes == 2 { IN_TIME } else { IN_TIME_OF_ALL });
        (1..nodes).for_each(|host| simulation.assert_gone(host, &format!("{nodes} nodes")));
    }
}

#[test]
fn a_process_that_dies_on_a_living_host_is_known_after_little_more_than_its_interval() {
    for nodes in [2, 3, 20] {
        for seed in 0..10 {
            let mut simulation = Simulation::group_with_ports(seed, nodes, Network::PERFECT);
            simulation.crash(0);
            simulation.run_for(ms(1400));
            simulation.assert_gone(0, &format!("seed {seed}, {nodes} nodes"));
        }
    }
}

#[test]
fn when_all_others_die_on_living_hosts_their_refusals_say_so() {
    for nodes in [3, 6] {
        let mut simulation = Simulation::group_with_ports(1, nodes, Network::PERFECT);
        (1..nodes).for_each(|host| simulation.crash(host));
        simulation.run_for(IN_TIME);
        (1..nodes).for_each(|host| simulation.assert_gone(host, &format!("{nodes} nodes")));
    }
}

#[test]
fn hosts_that_begin_to_refuse_while_their_processes_live_kill_no_process() {
    for seed in 0..6 {
        let loss = [0.0, 0.1, 0.3][seed as usize % 3];
        let mut simulation = Simulation::group_with_ports(seed, 20, Network::lossy(loss));
        let told = simulation.told.len();
        for host in 0..10 {
            simulation.hosts[host].rejects = true;
        }
        simulation.run_for(secs(300));
        simulation.assert_no_downs(told, &format!("seed {seed}, {loss} lost"));
    }
}

#[test]
fn a_restart_on_another_host_takes_the_place_of_the_old_within_a_second() {
    for seed in 0..20 {
        let mut simulation = Simulation::group(seed, 5, Network::PERFECT);
        simulation.crash(0);
        let moved = simulation.add(Options::for_node());
        simulation.hosts[moved].config.id = simulation.id(0);
        simulation.start(moved);
        simulation.run_for(secs(2));
        let id = simulation.id(0);
        assert_eq!(simulation.told_of(What::Down(DownReason::Restart), &id), 4, "seed {seed}");
        assert_eq!(simulation.told_of(What::Conflict, &id), 0, "seed {seed}");
    }
}

#[test]
fn two_nodes_with_one_id_are_a_conflict_and_no_restart() {
    for seed in 0..20 {
        let mut simulation = Simulation::group(seed, 5, Network::PERFECT);
        let twin = simulation.add(Options::for_node());
        simulation.hosts[twin].config.id = simulation.id(0);
        let told = simulation.told.len();
        simulation.start(twin);
        simulation.run_for(secs(20));
        let id = simulation.id(0);
        let observers = [1, 2, 3, 4];
        let downs = simulation.told[told..].iter().filter(|it| {
            observers.contains(&it.observer) && matches!(it.what, What::Down(_)) && it.about == id
        });
        assert_eq!(downs.count(), 0, "seed {seed}");
        for observer in observers {
            let conflicts = simulation.told.iter().filter(|it| {
                it.observer == observer && it.what == What::Conflict && it.about == id
            });
            assert_eq!(conflicts.count(), 1, "seed {seed}, {observer}");
        }
    }
}

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
fn others_that_are_stopped_for_six_seconds_are_not_dead() {
    for seed in 0..10 {
        let mut simulation = Simulation::group(seed, 5, Network::PERFECT);
        let told = simulation.told.len();
        (1..5).for_each(|host| simulation.pause(host));
        simulation.run_for(secs(6));
        (1..5).for_each(|host| simulation.resume(host));
        simulation.run_for(secs(5));
        simulation.assert_no_downs(told, &format!("seed {seed}"));
        simulation.check_everybody_sees_everybody("after the stop");
        assert!(simulation.problems.is_empty(), "{:?}", simulation.problems);
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
