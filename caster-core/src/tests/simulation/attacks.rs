//! The attack table in virtual time: each statement of docs/wire.md by each speaker. `tests/attacks`
//! has the same with real processes.
//!
//! V is lied to, W is lied about, X stands by. V and X are told nothing of W but one
//! conflict, and when W dies after it they know in time.

use super::checks::IN_TIME;
use super::*;
use Speaker::{Forger, Member, Replayer, Stranger};

const V: usize = 0;
const W: usize = 1;
const X: usize = 2;
/// A member of the group, from the address of which the liar speaks too.
const LIAR: usize = 3;

/// Duration of each attack.
const ATTACK: Duration = secs(6);

/// Corroborations keep a dead peer no longer than this: five timeouts, and the time of a death.
const CORROBORATED: Duration = secs(13);

/// Heartbeats in one interval, with those brought forward because others ask.
const WITH_ANSWERS: u64 = 11;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    /// From an address of its own.
    Stranger,
    /// From the address of the peer that it names.
    Forger,
    /// From the address of a member.
    Member,
    /// Repeats a datagram from the address from which it came.
    Replayer,
}

#[derive(Debug)]
struct Row {
    statement: &'static str,
    speakers: &'static [Speaker],
    every: Duration,
    /// The n-th datagram.
    says: fn(&mut Simulation, n: u64) -> String,
    /// Events about W that V and X may get when the forger says it: it has the address of W.
    forger_may: &'static [What],
}

const ALL: &[Speaker] = &[Stranger, Forger, Member];

const TABLE: &[Row] = &[
    Row {
        statement: "heartbeat: other metadata",
        speakers: ALL,
        every: ms(500),
        says: |it, _| it.heartbeat_of(W, |value| value["meta"] = "stolen".into()),
        forger_may: &[What::Update],
    },
    Row {
        statement: "heartbeat: the highest count",
        speakers: ALL,
        every: ms(500),
        says: |it, _| it.heartbeat_of(W, |value| value["caster"]["n"] = u32::MAX.into()),
        forger_may: &[],
    },
    Row {
        statement: "heartbeat: an interval of a minute",
        speakers: ALL,
        every: ms(1500),
        says: |it, _| it.heartbeat_of(W, |value| value["caster"]["h"] = 60_000.into()),
        forger_may: &[],
    },
    Row {
        statement: "heartbeat: without the extension",
        speakers: ALL,
        every: ms(500),
        says: |_, _| r#"{"id":"n1","meta":"stolen"}"#.to_owned(),
        forger_may: &[],
    },
    Row {
        statement: "heartbeat: in the name of the observer",
        speakers: ALL,
        every: ms(500),
        says: |it, _| it.heartbeat_of(V, |_| ()),
        forger_may: &[],
    },
    Row {
        statement: "heartbeat: repeated",
        speakers: &[Replayer],
        every: ms(500),
        says: |it, n| it.heartbeat_of(W, |value| value["caster"]["n"] = (5 + n % 3).into()),
        forger_may: &[],
    },
    Row {
        statement: "message",
        speakers: ALL,
        every: ms(500),
        says: |_, n| format!(r#"{{"id":"n1","message":{n}}}"#),
        forger_may: &[What::Message],
    },
    Row {
        statement: "leave: without the proof",
        speakers: ALL,
        every: ms(700),
        says: |it, _| leave_of_w(it, |_| ()),
        forger_may: &[],
    },
    Row {
        statement: "leave: with the highest count",
        speakers: ALL,
        every: ms(700),
        says: |it, _| leave_of_w(it, |value| value["caster"]["n"] = u32::MAX.into()),
        forger_may: &[],
    },
    Row {
        statement: "leave: with another proof",
        speakers: ALL,
        every: ms(700),
        says: |it, n| leave_of_w(it, |value| value["caster"]["s"] = format!("{n:032x}").into()),
        forger_may: &[],
    },
    Row {
        statement: "leave: without the extension",
        speakers: ALL,
        every: ms(700),
        says: |_, _| r#"{"id":"n1","suicide":true}"#.to_owned(),
        forger_may: &[],
    },
    Row {
        statement: "restart",
        speakers: ALL,
        every: ms(300),
        says: |it, n| it.heartbeat_of(W, |value| value["caster"]["b"] = (77 + n).into()),
        forger_may: &[What::Down(DownReason::Restart), What::Up, What::Update],
    },
    Row {
        statement: "conflict: an incarnation that goes on",
        speakers: &[Stranger, Member],
        every: ms(500),
        says: |it, n| {
            it.heartbeat_of(W, |value| {
                value["caster"]["b"] = 77.into();
                value["caster"]["n"] = n.into();
            })
        },
        forger_may: &[],
    },
    Row {
        statement: "conflict: a clone, with counts that go on",
        speakers: &[Stranger, Member],
        every: ms(500),
        says: |it, _| it.heartbeat_of(W, |_| ()),
        forger_may: &[],
    },
    Row {
        statement: "probe",
        speakers: ALL,
        every: ms(20),
        says: |_, n| own(n, r#""p":["n0","n1","n2"]"#),
        forger_may: &[],
    },
    Row {
        statement: "corroboration",
        speakers: ALL,
        every: ms(500),
        says: |_, n| own(n, r#""v":[["n1",0]]"#),
        forger_may: &[],
    },
    Row {
        statement: "refusal",
        speakers: ALL,
        every: ms(500),
        says: |it, n| {
            let b = it.heartbeat_of(W, |_| ());
            let b: serde_json::Value = serde_json::from_str(&b).unwrap();
            own(n, &format!(r#""d":[["n1",{}]]"#, b["caster"]["b"]))
        },
        forger_may: &[],
    },
    Row {
        statement: "hello",
        speakers: ALL,
        every: ms(20),
        says: |_, n| own(n, r#""a":1"#),
        forger_may: &[],
    },
    Row {
        statement: "hello without an id",
        speakers: ALL,
        every: ms(20),
        says: |_, _| r#"{"caster":{"b":1,"a":1}}"#.to_owned(),
        forger_may: &[],
    },
    Row {
        statement: "address list",
        speakers: ALL,
        every: ms(500),
        says: |_, n| own(n, r#""k":["192.0.2.7:30000","192.0.2.7:30001"]"#),
        forger_may: &[],
    },
    Row {
        statement: "challenge",
        speakers: ALL,
        every: ms(500),
        says: |_, n| own(n, r#""u":1,"t":"0123456789abcdef""#),
        forger_may: &[],
    },
    Row {
        statement: "original in sight",
        speakers: &[Stranger],
        every: ms(100),
        says: |_, n| format!(r#"{{"id":"original {n}","meta":1}}"#),
        forger_may: &[],
    },
    Row {
        statement: "capability",
        speakers: ALL,
        every: ms(500),
        says: |it, n| it.heartbeat_of(W, |value| value["caster"]["c"] = (n % 16).into()),
        forger_may: &[],
    },
    Row {
        statement: "leave proof: another one",
        speakers: ALL,
        every: ms(500),
        says: |it, _| it.heartbeat_of(W, |value| value["caster"]["l"] = "00000000000000aa".into()),
        forger_may: &[],
    },
];

fn leave_of_w(it: &mut Simulation, change: impl FnOnce(&mut serde_json::Value)) -> String {
    it.heartbeat_of(W, |value| {
        value["suicide"] = true.into();
        change(value);
    })
}

/// A statement about others, in the name of a new node. [`say`] puts it into the mouth of a member.
fn own(n: u64, said: &str) -> String {
    format!(r#"{{"id":"liar","meta":1,"caster":{{"b":9,"n":{n},"h":1000,"c":12,{said}}}}}"#)
}

/// A statement about others the member says in its own heartbeat, and the forger in one of X.
fn say(it: &mut Simulation, speaker: Speaker, text: &str) {
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let member = match speaker {
        _ if value["id"] != "liar" => None,
        Stranger => None,
        Forger | Replayer => Some(X),
        Member => Some(LIAR),
    };
    let source = match (member, speaker) {
        (Some(member), _) => address(member),
        (None, Stranger) => SocketAddr::from(([10, 9, 9, 9], GROUP_PORT)),
        (None, Forger | Replayer) => address(W),
        (None, Member) => address(LIAR),
    };
    let text = match member {
        None => text.to_owned(),
        Some(member) => it.heartbeat_of(member, |beat| {
            for (key, said) in value["caster"].as_object().unwrap() {
                if !["b", "n", "h", "c"].contains(&key.as_str()) {
                    beat["caster"][key] = said.clone();
                }
            }
        }),
    };
    it.forge(source, &text);
}

/// Says it for a while.
fn attack(simulation: &mut Simulation, row: &Row, speaker: Speaker, time: Duration) {
    let until = simulation.now + time;
    let mut n = 0;
    while simulation.now < until {
        let text = (row.says)(simulation, n);
        say(simulation, speaker, &text);
        simulation.run_for(row.every);
        n += 1;
    }
}

fn for_each_row(play: impl Fn(&Row, Speaker, &str)) {
    for row in TABLE {
        for &speaker in row.speakers {
            play(row, speaker, &format!("{} by {speaker:?}", row.statement));
        }
    }
}

#[test]
fn no_statement_changes_what_others_know_of_a_peer() {
    for_each_row(|row, speaker, name| {
        let mut simulation = Simulation::group_with_ports(1, 4, Network::PERFECT);
        let told = simulation.told.len();
        attack(&mut simulation, row, speaker, ATTACK);
        simulation.run_for(secs(6));
        let id = simulation.id(W);
        for observer in [V, X] {
            let about_w: Vec<What> = simulation.told[told..]
                .iter()
                .filter(|it| it.observer == observer && it.about == id)
                .map(|it| it.what)
                .collect();
            let conflicts = about_w.iter().filter(|what| **what == What::Conflict).count();
            assert!(conflicts <= 1, "{name}: {conflicts} conflicts");
            let wrong = about_w.iter().filter(|what| **what != What::Conflict).find(|what| {
                !matches!(speaker, Forger | Replayer) || !row.forger_may.contains(what)
            });
            assert_eq!(wrong, None, "{name}: {about_w:?}");
            assert!(about_w.len() <= 24, "{name}: {}", about_w.len());
            assert!(simulation.hosts[observer].known.contains(&id), "{name}");
        }
        let isolated = simulation.told[told..]
            .iter()
            .any(|it| matches!(it.what, What::Isolated | What::Rejoined));
        assert!(!isolated, "{name}");
        // It is followed as before.
        simulation.crash(W);
        simulation.run_for(IN_TIME + secs(2));
        simulation.assert_gone(W, name);
    });
}

#[test]
fn no_statement_keeps_a_dead_peer() {
    for_each_row(|row, speaker, name| {
        // A claim about a peer that is silent is believed: it may have moved.
        let takes_its_place = matches!(
            row.statement,
            "heartbeat: other metadata"
                | "heartbeat: an interval of a minute"
                | "message"
                | "restart"
                | "conflict: an incarnation that goes on"
                | "conflict: a clone, with counts that go on"
                | "capability"
        );
        if takes_its_place {
            return;
        }
        let mut simulation = Simulation::group_with_ports(2, 4, Network::PERFECT);
        let mut texts: Vec<String> = (0..700).map(|n| (row.says)(&mut simulation, n)).collect();
        simulation.crash(W);
        let told = simulation.told.len();
        texts.truncate((CORROBORATED.as_millis() / row.every.as_millis()) as usize);
        for text in texts {
            say(&mut simulation, speaker, &text);
            simulation.run_for(row.every);
        }
        let told = simulation.told[told..].iter();
        let downs = told.filter(|it| matches!(it.what, What::Down(_)) && it.about == id_of_w());
        let observers: BTreeSet<usize> = downs.map(|it| it.observer).collect();
        assert!(observers.is_superset(&[V, X].into()), "{name}: {observers:?}");
    });
}

fn id_of_w() -> NodeId {
    NodeId::new("n1").unwrap()
}

#[test]
fn no_statement_makes_a_node_send_more_than_the_budget_allows() {
    for_each_row(|row, speaker, name| {
        let mut simulation = Simulation::group_with_ports(3, 4, Network::PERFECT);
        let before: Vec<u64> = simulation.hosts.iter().map(|host| host.sent).collect();
        attack(&mut simulation, row, speaker, secs(4));
        // Everything that others cause is 20 ms after the last heartbeat.
        let most = match row.statement {
            "probe" => 50 * 4,
            _ => WITH_ANSWERS * 4 + 20,
        };
        for host in [V, W, X] {
            let sent = simulation.hosts[host].sent - before[host];
            assert!(sent <= most + 5, "{name}: host {host} has sent {sent}");
        }
        let innocent = SocketAddr::from(([192, 0, 2, 7], 30_000));
        let got = simulation.strangers.get(&innocent).copied().unwrap_or_default();
        assert_eq!(got.messages, 0, "{name}");
    });
}

/// One other member is all that can hear W: its word counts, but only as its own answer.
#[test]
fn in_a_group_of_three_forged_corroborations_keep_no_dead_peer() {
    for seed in 0..10 {
        let mut simulation = Simulation::group_with_ports(seed, 3, Network::PERFECT);
        simulation.crash(W);
        simulation.hosts[W].kernel.runs = false;
        let until = simulation.now + CORROBORATED;
        while simulation.now < until {
            let lie = own(0, r#""v":[["n1",0]]"#);
            say(&mut simulation, Forger, &lie);
            simulation.run_for(ms(500));
        }
        assert!(!simulation.hosts[V].known.contains(&id_of_w()), "seed {seed}");
    }
}

/// The member that hears it is asked by unicast, and the group is spared: at each suspicion, once in a
/// timeout, the peer itself answers.
#[test]
fn in_a_group_of_three_a_cut_in_one_direction_kills_no_peer_and_is_cheap() {
    for seed in 0..10 {
        let mut simulation = Simulation::group_with_ports(seed, 3, Network::PERFECT);
        simulation.cut(W, V);
        simulation.run_for(secs(20));
        let told = simulation.told.len();
        let to_group = |it: &Simulation| -> u64 {
            it.hosts.iter().map(|host| host.sent - host.sent_alone).sum()
        };
        let before = to_group(&simulation);
        simulation.run_for(secs(60));
        simulation.assert_no_downs(told, &format!("seed {seed}"));
        let sent = to_group(&simulation) - before;
        assert!(sent <= 3 * 63 + 35, "seed {seed}: {sent} datagrams to the group");
    }
}

/// A second interface, or another address, costs one question of the whole group at most.
#[test]
fn a_second_interface_costs_one_question_in_all() {
    for seed in 0..20 {
        let network = Network { delay: Duration::ZERO, ..Network::PERFECT };
        let mut simulation = Simulation::group(seed, 10, network);
        let told = simulation.told.len();
        let probes = |simulation: &mut Simulation| -> u64 {
            (0..10)
                .map(|host| {
                    let mut stats = crate::stats::Counters::default().snapshot();
                    simulation.engine(host).complete(&mut stats);
                    stats.probes_sent
                })
                .sum()
        };
        let before = probes(&mut simulation);
        simulation.copies = true;
        simulation.hosts[1].addresses.push(IpAddr::from([10, 1, 0, 1]));
        let addresses = simulation.hosts[1].addresses.clone();
        let now = simulation.clock(1);
        simulation.engine(1).interfaces(&addresses, None, now);
        simulation.settle(1);
        simulation.run_for(secs(5));
        let asked = probes(&mut simulation) - before;
        assert!(asked <= 1, "seed {seed}: {asked} questions");
        simulation.assert_no_downs(told, &format!("seed {seed}"));
    }
}
