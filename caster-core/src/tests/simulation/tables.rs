//! The tables of docs/liveness.md. They take minutes: `make sim`.

use super::steady::{bursts, quiet_group};
use super::*;

const LOSSES: [f64; 3] = [0.0, 0.1, 0.3];

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_millis();
    match times.is_empty() {
        true => "none".to_owned(),
        false => format!("{}/{}/{} of {}", at(0.5), at(0.99), at(1.0), times.len()),
    }
}

/// The times until deaths were told.
fn times_until_told(world: &Simulation, told: usize, died: Duration) -> Vec<Duration> {
    world.downs_since(told).iter().map(|told| told.at - died).collect()
}

#[test]
#[ignore = "takes minutes; make sim runs it"]
fn table_of_false_downs() {
    let hours = number("CASTER_SIM_HOURS").unwrap_or(1);
    println!("false downs in {hours} h (packets per node and second)");
    let networks: Vec<(String, Network)> = [0.0, 0.01, 0.05, 0.1, 0.2, 0.3]
        .iter()
        .map(|&loss| (format!("{} %", loss * 100.0), Network::lossy(loss)))
        .chain([
            ("bursts 1/20 s".to_owned(), bursts(1, 20)),
            ("bursts 3/60 s".to_owned(), bursts(3, 60)),
        ])
        .collect();
    let only = number("CASTER_SIM_NODES").map(|nodes| nodes as usize);
    for nodes in [2, 3, 5, 20].into_iter().filter(|nodes| only.is_none_or(|only| only == *nodes)) {
        for (name, network) in &networks {
            let (downs, packets) = quiet_group(7, nodes, network.clone(), secs(3600 * hours));
            println!("{nodes:>3} nodes, {name:>13}: {downs:>6} ({packets:.2})");
        }
    }
}

#[test]
#[ignore = "takes minutes; make sim runs it"]
fn table_of_faults_without_a_death() {
    let minutes = number("CASTER_SIM_MINUTES").unwrap_or(40);
    println!("false downs in {minutes} min, group of 20, by loss {LOSSES:?}");
    let row = |name: &str, fault: &dyn Fn(&mut Simulation, u64)| {
        let cells: Vec<String> = LOSSES
            .iter()
            .map(|&loss| {
                let mut world = Simulation::group_with_ports(7, 20, Network::lossy(loss));
                let told = world.told.len();
                fault(&mut world, minutes * 60);
                let members: Vec<NodeId> = (0..20).map(|host| world.id(host)).collect();
                let downs = world.downs_since(told);
                downs.iter().filter(|told| members.contains(&told.about)).count().to_string()
            })
            .collect();
        println!("{name}: {}", cells.join(" / "));
    };
    row("no fault", &|world, time| world.run_for(secs(time)));
    row("half of the hosts begin to reject unicast", &|world, time| {
        (0..10).for_each(|host| world.hosts[host].kernel.firewall = Firewall::Rejects);
        world.run_for(secs(time));
    });
    row("one member claims once a second, firewalls from the start", &|world, time| {
        (0..20).for_each(|host| world.hosts[host].kernel.firewall = Firewall::Rejects);
        for n in 0..time {
            let victim = 1 + (n % 19) as usize;
            let id = world.id(victim);
            let beat: serde_json::Value =
                serde_json::from_str(&world.heartbeat_of(victim, |_| ())).unwrap();
            let b = beat["caster"]["b"].clone();
            let claim = world.heartbeat_of(0, |value| {
                value["caster"]["d"] = serde_json::json!([[id.as_str(), b]]);
            });
            world.forge(address(0), &claim);
            world.run_for(secs(1));
        }
    });
    row("one-way cuts between half of the pairs", &|world, time| {
        world.cut_half_of_the_pairs();
        world.run_for(secs(time));
    });
    row("liar takes addresses, twice a second", &|world, time| {
        let liar = SocketAddr::from(([10, 9, 9, 9], GROUP_PORT));
        for n in 0..2 * time {
            let text = world.heartbeat_of((n % 20) as usize, |value| {
                value["caster"]["n"] = (n as u32).into();
            });
            world.forge(liar, &text);
            world.run_for(ms(500));
        }
    });
    let mut stopped = 0;
    for seed in 0..100 {
        let mut world = Simulation::group_with_ports(seed, 5, Network::PERFECT);
        let told = world.told.len();
        (1..5).for_each(|host| world.pause(host));
        world.run_for(secs(6));
        (1..5).for_each(|host| world.resume(host));
        world.run_for(secs(5));
        stopped += world.downs_since(told).len();
    }
    println!("four of five stopped for 6 s, 100 runs: {stopped}");
}

#[test]
#[ignore = "takes minutes; make sim runs it"]
fn table_of_deaths() {
    println!("ms until a death is told, p50/p99/max, by loss {LOSSES:?}");
    let row = |name: &str, nodes: usize, fault: &dyn Fn(&mut Simulation)| {
        let cells: Vec<String> = LOSSES
            .iter()
            .map(|&loss| {
                let mut times = Vec::new();
                for seed in 0..number("CASTER_SIM_DEATHS").unwrap_or(100) {
                    let network = Network::lossy(loss);
                    let mut world = Simulation::group_with_ports(seed, nodes, network);
                    world.run_for(ms(seed * 97 % 1000));
                    let (told, died) = (world.told.len(), world.now);
                    fault(&mut world);
                    world.run_for(secs(20));
                    times.extend(times_until_told(&world, told, died));
                }
                percentiles(times)
            })
            .collect();
        println!("{name}, group of {nodes}: {}", cells.join(" · "));
    };
    for nodes in [2, 5, 20] {
        row("a process on a living host", nodes, &|world| world.crash(0));
        row("a host", nodes, &|world| world.power_off(0));
    }
    for nodes in [3, 6, 20] {
        row("all others on living hosts", nodes, &|world| {
            (1..nodes).for_each(|it| world.crash(it))
        });
        row("all other hosts", nodes, &|world| (1..nodes).for_each(|it| world.power_off(it)));
    }
    row("a host that one member corroborates without end", 10, &|world| {
        world.power_off(0);
        let id = world.id(0);
        for _ in 0..60 {
            let lie = world.heartbeat_of(1, |value| {
                value["caster"]["v"] = serde_json::json!([[id.as_str(), 0]]);
            });
            world.forge(address(1), &lie);
            world.run_for(ms(500));
        }
    });
}

#[test]
#[ignore = "takes minutes; make sim runs it"]
fn table_of_packets() {
    println!("packets by multicast + unicast for each node and second");
    for nodes in [2, 20, 100] {
        for loss in LOSSES {
            let mut world = Simulation::group_with_ports(7, nodes, Network::lossy(loss));
            let count = |world: &Simulation| {
                let alone: u64 = world.hosts.iter().map(|host| host.sent_alone).sum();
                (world.sent() - alone, alone)
            };
            let before = count(&world);
            world.run_for(secs(300));
            let after = count(&world);
            let each = |n: u64| n as f64 / nodes as f64 / 300.0;
            let (multicast, alone) = (each(after.0 - before.0), each(after.1 - before.1));
            println!("{nodes:>3} nodes, {loss} lost: {multicast:.2} + {alone:.2}");
        }
    }
}
