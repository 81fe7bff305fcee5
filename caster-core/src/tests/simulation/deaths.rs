//! Deaths that have to be told in time, and faults that are no deaths.

use super::checks::{IN_TIME, IN_TIME_OF_ALL, MORE_WITH_LOSS};
use super::*;

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
            simulation.hosts[host].kernel.runs = false;
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
            simulation.hosts[0].kernel.rations = false;
            simulation.crash(0);
            simulation.run_for(ms(1400));
            simulation.assert_gone(0, &format!("seed {seed}, {nodes} nodes"));
        }
    }
}

#[test]
fn when_all_others_die_on_living_hosts_their_refusals_say_so() {
    for (seed, nodes) in [3, 6, 20].into_iter().cycle().take(30).enumerate() {
        let mut simulation = Simulation::group_with_ports(seed as u64, nodes, Network::PERFECT);
        (1..nodes).for_each(|host| simulation.crash(host));
        // A transition that was due before the first refusal is withheld for 50 ms.
        simulation.run_for(ms(2560));
        (1..nodes).for_each(|host| simulation.assert_gone(host, &format!("{nodes} nodes")));
    }
}

#[test]
fn when_all_others_die_on_living_hosts_a_refusal_arrives_in_spite_of_loss() {
    for seed in 0..90 {
        let nodes = [3, 5, 9][seed as usize % 3];
        let mut simulation = Simulation::group_with_ports(seed, nodes, Network::lossy(0.3));
        for host in 1..nodes {
            simulation.crash(host);
            simulation.expect_down(host, IN_TIME + MORE_WITH_LOSS);
        }
        simulation.run_for(secs(5));
        simulation.assert_no_problems(&format!("seed {seed}, {nodes} nodes"));
    }
}

#[test]
fn hosts_that_begin_to_refuse_while_their_processes_live_kill_no_process() {
    for seed in 0..6 {
        let loss = [0.0, 0.1, 0.3][seed as usize % 3];
        let mut simulation = Simulation::group_with_ports(seed, 20, Network::lossy(loss));
        let told = simulation.told.len();
        for host in 0..10 {
            simulation.hosts[host].kernel.firewall = Firewall::Rejects;
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
fn a_process_that_dies_beside_another_on_its_host_is_known_by_all() {
    for seed in 0..10 {
        let mut simulation = Simulation::group_with_ports(seed, 3, Network::PERFECT);
        let second = simulation.add_on(0, Options::for_node());
        simulation.start(second);
        simulation.run_for(secs(10));
        let told = simulation.told.len();
        simulation.crash(0);
        simulation.expect_down(0, IN_TIME);
        simulation.run_for(secs(5));
        simulation.assert_no_problems(&format!("seed {seed}"));
        let id = simulation.id(0);
        assert!(simulation.downs_since(told).iter().all(|told| told.about == id), "seed {seed}");
    }
}

/// The clone of a virtual machine goes on with the id and the incarnation of the first.
#[test]
fn a_clone_with_the_same_incarnation_is_a_conflict_and_no_death() {
    for seed in 0..10 {
        let mut simulation = Simulation::new(seed, Network::PERFECT);
        for host in 0..4 {
            simulation.add(Options::for_node());
            simulation.start_with(host, 1000 + host as u64);
            simulation.run_for(ms(70));
        }
        simulation.run_for(secs(10));
        let told = simulation.told.len();
        let clone = simulation.clone_to_new_host(1000, 0);
        simulation.run_for(secs(20));
        let id = simulation.id(0);
        let downs = simulation.downs_since(told);
        let downs = downs.iter().filter(|told| told.observer != clone && told.observer != 0);
        assert_eq!(downs.count(), 0, "seed {seed}");
        assert!(simulation.told_of(What::Conflict, &id) > 0, "seed {seed}");
    }
}

#[test]
fn a_second_interface_and_another_address_are_no_death_and_lose_no_peer() {
    for seed in 0..12 {
        let loss = [0.0, 0.1, 0.3][seed as usize % 3];
        let mut simulation = Simulation::group_with_ports(seed, 6, Network::lossy(loss));
        let told = simulation.told.len();
        let both = vec![address(0).ip(), IpAddr::from([10, 1, 0, 0])];
        simulation.readdress(0, both);
        simulation.readdress(1, vec![IpAddr::from([10, 1, 0, 1])]);
        simulation.run_for(secs(60));
        simulation.readdress(0, vec![IpAddr::from([10, 1, 0, 0])]);
        simulation.run_for(secs(60));
        let when = format!("seed {seed}, {loss} lost");
        simulation.assert_no_downs(told, &when);
        simulation.check_everybody_sees_everybody(&when);
        simulation.assert_no_problems(&when);
        let id = simulation.id(1);
        assert_eq!(simulation.told_of(What::Update, &id), 5, "{when}");
        assert_eq!(simulation.told_of(What::Conflict, &id), 0, "{when}");
    }
}

/// A node tells eight of its addresses at a time.
#[test]
fn a_node_with_many_addresses_is_one_node_when_all_but_one_go() {
    for seed in 0..12 {
        let loss = [0.0, 0.1, 0.3][seed as usize % 3];
        let many: Vec<IpAddr> = (0..25).map(|n| IpAddr::from([10, 1, n, 0])).collect();
        let mut simulation = Simulation::new(seed, Network::lossy(loss));
        simulation.copies = true;
        for host in 0..4 {
            simulation.add(Options::for_node());
            simulation.hosts[host].port = Some(PRIVATE_PORT);
            if host == 0 {
                simulation.hosts[host].addresses.clone_from(&many);
            }
            simulation.start(host);
            simulation.run_for(ms(50));
        }
        simulation.run_for(secs(20));
        let (told, sent) = (simulation.told.len(), simulation.sent());
        simulation.run_for(secs(60));
        let rate = (simulation.sent() - sent) as f64 / 240.0;
        assert!(rate < if loss > 0.0 { 3.5 } else { 1.1 }, "seed {seed}, {loss} lost: {rate}");
        simulation.readdress(0, many[24..].to_vec());
        simulation.run_for(secs(if loss > 0.0 { 20 } else { 1 }));
        let when = format!("seed {seed}, {loss} lost");
        simulation.assert_no_downs(told, &when);
        simulation.check_everybody_sees_everybody(&when);
        simulation.assert_no_problems(&when);
        let id = simulation.id(0);
        for host in 1..4 {
            assert_eq!(simulation.engine(host).peer(&id).unwrap().address, many[24], "{when}");
        }
        assert_eq!(simulation.told_of(What::Conflict, &id), 0, "{when}");
    }
}

#[test]
fn without_loss_another_address_is_known_to_all_within_a_second() {
    for (seed, nodes) in [2, 3, 6, 20, 50].into_iter().cycle().take(20).enumerate() {
        let mut simulation = Simulation::group_with_ports(seed as u64, nodes, Network::PERFECT);
        let (told, new) = (simulation.told.len(), IpAddr::from([10, 1, 0, 0]));
        simulation.readdress(0, vec![new]);
        simulation.run_for(secs(1));
        let when = format!("seed {seed}, {nodes} nodes");
        let id = simulation.id(0);
        for host in 1..nodes {
            let peer = simulation.engine(host).peer(&id).unwrap();
            assert_eq!(peer.address, new, "{when}: {host}");
        }
        simulation.assert_no_downs(told, &when);
        simulation.assert_no_problems(&when);
    }
}

#[test]
fn nodes_that_do_not_hear_themselves_notice_deaths_as_others_do() {
    for seed in 0..10 {
        let mut simulation = Simulation::new(seed, Network::PERFECT);
        for _ in 0..4 {
            let host = simulation.add(Options::for_node().with("loopback", &false));
            simulation.start(host);
            simulation.run_for(ms(70));
        }
        simulation.run_for(secs(10));
        simulation.power_off(1);
        simulation.expect_down(1, IN_TIME);
        simulation.run_for(secs(10));
        for host in [2, 3] {
            simulation.power_off(host);
        }
        [2, 3].iter().for_each(|&host| simulation.expect_down(host, IN_TIME_OF_ALL));
        simulation.run_for(secs(10));
        simulation.assert_no_problems(&format!("seed {seed}"));
        assert!(simulation.hosts[0].known.is_empty());
    }
}

#[test]
fn a_node_that_is_heard_by_no_other_is_down_for_all_and_none_is_down_for_it() {
    for seed in 0..10 {
        let mut simulation = Simulation::group_with_ports(seed, 5, Network::PERFECT);
        let told = simulation.told.len();
        (1..5).for_each(|to| simulation.cut(0, to));
        simulation.expect_down(0, IN_TIME);
        simulation.run_for(secs(60));
        simulation.assert_no_problems(&format!("seed {seed}"));
        let id = simulation.id(0);
        let downs = simulation.downs_since(told);
        assert!(downs.iter().all(|told| told.about == id), "seed {seed}: {downs:?}");
        simulation.mend_cables();
        simulation.run_for(secs(3));
        simulation.check_everybody_sees_everybody("mended");
        simulation.assert_no_problems(&format!("seed {seed}"));
    }
}

#[test]
fn where_refusals_are_rationed_a_process_that_dies_is_known_in_time() {
    for nodes in [2, 3, 20] {
        for seed in 0..10 {
            let mut simulation = Simulation::group_with_ports(seed, nodes, Network::PERFECT);
            simulation.crash(0);
            simulation.expect_down(0, IN_TIME);
            simulation.run_for(secs(5));
            simulation.assert_no_problems(&format!("seed {seed}, {nodes} nodes"));
        }
    }
}
