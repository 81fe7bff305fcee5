//! Groups in which one thing goes wrong at a time, or nothing but the network.

use super::*;

/// False downs and packets per node and second of a group in which nothing is wrong but the
/// network.
pub fn quiet_group(seed: u64, nodes: usize, network: Network, time: Duration) -> (usize, f64) {
    let mut simulation = Simulation::new(seed, network);
    simulation.add_many(nodes);
    let before = simulation.sent();
    simulation.run_for(time);
    let problems = &simulation.problems;
    assert!(problems.is_empty(), "seed {seed}: {}", problems.join("\n"));
    let packets = simulation.packets_per_node_and_second(time)
        - before as f64 / nodes as f64 / time.as_secs_f64();
    (simulation.downs_by_timeout().count(), packets)
}

pub fn bursts(length: u64, distance: u64) -> Network {
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
    // They meet within a millisecond: one answer of each serves all.
    for _ in 0..1000 {
        let host = simulation.add(Options::for_node().with("announce", &false));
        simulation.start(host);
    }
    simulation.run_for(ms(3500));
    let quiet = simulation.sent();
    simulation.run_for(secs(1));
    let beats = simulation.sent() - quiet;
    let newcomer = simulation.add(Options::for_node());
    let before = simulation.sent();
    simulation.start(newcomer);
    simulation.run_for(ms(1051));
    let answers = simulation.sent() - before - beats;
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

/// One pair for each time, and none of a node whose cable is in. A heartbeat of a peer may have been lost just
/// before.
#[test]
fn an_unplugged_node_says_isolated_and_rejoined_once_and_blames_nobody() {
    for (seed, nodes) in [2, 3, 8].into_iter().cycle().take(60).enumerate() {
        let network = if seed < 6 { Network::PERFECT } else { Network::lossy(0.1) };
        let mut simulation = Simulation::new(seed as u64, network);
        simulation.add_many(nodes);
        simulation.run_for(secs(10));
        for times in 1..=3 {
            simulation.hosts[0].unplugged = true;
            simulation.run_for(secs(8));
            let of_first = |what| {
                let told = simulation.told.iter();
                told.filter(|told| told.observer == 0 && told.what == what).count()
            };
            assert_eq!(of_first(What::Isolated), times, "{nodes} nodes, seed {seed}");
            let downs = of_first(What::Down(DownReason::Timeout));
            assert_eq!(downs, 0, "{nodes} nodes, seed {seed}");
            simulation.hosts[0].unplugged = false;
            simulation.run_for(secs(3));
            simulation.check_everybody_sees_everybody("plugged in again");
            simulation.run_for(secs(12));
            for what in [What::Isolated, What::Rejoined] {
                let told: Vec<_> = simulation.told.iter().filter(|it| it.what == what).collect();
                assert_eq!(told.len(), times, "{nodes} nodes, seed {seed}: {told:?}");
                assert!(told.iter().all(|it| it.observer == 0), "{told:?}");
            }
            assert!(simulation.problems.is_empty(), "{:?}", simulation.problems);
        }
    }
}

/// It goes on hearing itself, and of those that are cut off with it there are none.
#[test]
fn a_node_behind_a_switch_that_is_cut_off_blames_nobody() {
    for (seed, nodes) in [3, 5, 8, 20].into_iter().cycle().take(60).enumerate() {
        let mut simulation = Simulation::new(seed as u64, Network::lossy(0.1));
        simulation.add_many(nodes);
        simulation.run_for(secs(10));
        simulation.hosts[0].side = 1;
        simulation.run_for(secs(6));
        let by_first: Vec<_> = simulation.told.iter().filter(|it| it.observer == 0).collect();
        let last = by_first.last().unwrap();
        assert_eq!(last.what, What::Isolated, "{nodes} nodes, seed {seed}: {last:?}");
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

#[test]
fn peers_that_multicast_reaches_get_no_heartbeats_by_unicast() {
    let mut simulation = Simulation::group_with_ports(1, 20, Network::PERFECT);
    let alone =
        |simulation: &Simulation| simulation.hosts.iter().map(|it| it.sent_alone).sum::<u64>();
    let before = alone(&simulation);
    simulation.run_for(secs(60));
    assert_eq!(alone(&simulation) - before, 0);
}
