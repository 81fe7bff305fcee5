//! Cuts in one direction between some pairs: others hear the peer, so it is not dead.

use super::*;

#[test]
fn cuts_in_one_direction_between_half_of_the_pairs_kill_no_peer() {
    for_each_seed_of(20, 20, |seed| {
        let loss = [0.0, 0.1, 0.2, 0.3][seed as usize % 4];
        let mut simulation = Simulation::group_with_ports(seed, 20, Network::lossy(loss));
        let told = simulation.told.len();
        simulation.cut_half_of_the_pairs();
        simulation.run_for(secs(number("CASTER_SIM_SECONDS").unwrap_or(40)));
        simulation.no_downs(told, &format!("seed {seed}, {loss} lost"))
    });
}

#[test]
fn one_cut_in_one_direction_kills_no_peer_in_a_group_of_four_or_more() {
    for seed in 0..40 {
        let nodes = [4, 5, 8, 20][seed as usize % 4];
        let loss = [0.0, 0.01, 0.1][seed as usize % 3];
        let mut simulation = Simulation::group_with_ports(seed, nodes, Network::lossy(loss));
        let told = simulation.told.len();
        simulation.cut(1, 2);
        simulation.run_for(secs(60));
        simulation.assert_no_downs(told, &format!("seed {seed}, {nodes} nodes, {loss} lost"));
    }
}
