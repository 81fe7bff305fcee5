//! The findings that follow from the observations. Pure.

use super::host::Kind;
use super::observe::{Observed, QUESTIONS};
use super::pair::View;
use crate::show::{printable, span};
use caster_core::{DropReason, InterfaceStats};
use std::net::IpAddr;
use std::time::Duration;

/// The weight of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nodes do not see each other because of it.
    Problem,
    /// It may become a problem, or is one for some programs.
    Warning,
    /// A fact that may explain something.
    Note,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A cause, by a code that stays the same in all versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub code: &'static str,
    pub text: String,
    /// One line of what to do.
    pub advice: String,
}

/// A node that answers fewer than this of [`QUESTIONS`] does not hear this host: at an interval of one second
/// a heartbeat falls into the time of an answer in one of eight cases, without any question.
const HEARS: u32 = 4;
/// At most this many answers are chance.
const DEAF: u32 = 2;

/// The smallest MTU for which the format makes room, and that of Ethernet.
const SMALLEST_MTU: usize = 576;
const USUAL_MTU: usize = 1428;

/// A wall clock that moves by more than this against the monotonic one was set.
const STEP: Duration = Duration::from_millis(200);

/// The findings, the worst first.
pub fn findings(seen: &Observed) -> Vec<Finding> {
    let mut list = List(Vec::new());
    range(seen, &mut list);
    interfaces(seen, &mut list);
    strangers(seen, &mut list);
    peers(seen, &mut list);
    host(seen, &mut list);
    list.0.sort_by_key(|finding| finding.severity);
    list.0
}

/// The findings that follow from the views of two hosts.
pub fn between(own: &View, other: &View, name: &str) -> Vec<Finding> {
    let mut list = List(Vec::new());
    let of = |listener: &View, speaker: &View| {
        let counts = speaker.addresses.iter().filter_map(|it| listener.heard.get(it));
        counts.fold((0, 0), |sum, it| (sum.0 + it.total, sum.1 + it.accepted))
    };
    let (here, there) = (of(own, other), of(other, own));
    if (own.group, own.port) != (other.group, other.port) {
        list.problem(
            "between-group",
            format!(
                "{name} listens to {}:{}, and this host to {}:{}",
                other.group, other.port, own.group, own.port
            ),
            "Give all nodes the same `multicast` and `port`: here --group and --port.",
        );
        return list.0;
    }
    match (here.0, there.0) {
        (0, 0) => list.problem(
            "between-silence",
            format!("no multicast passes between this host and {name}"),
            "Look at the switch or access point between them (isolation of clients, IGMP snooping), or use `seeds`.",
        ),
        (0, _) => list.problem(
            "between-deaf-here",
            format!("{name} hears this host, and this host does not hear it"),
            format!("Permit incoming UDP to port {} on this host, and outgoing on {name}.", own.port),
        ),
        (_, 0) => list.problem(
            "between-deaf-there",
            format!("this host hears {name}, which does not hear it"),
            format!("Permit incoming UDP to port {} on {name}, and outgoing on this host.", own.port),
        ),
        _ if here.1 == 0 || there.1 == 0 => list.problem(
            "between-secret",
            format!("this host and {name} hear each other, and do not understand each other"),
            "Give both the same --secret-file or --key-file; `caster spy` names the check that fails.",
        ),
        _ => {}
    }
    list.0
}

struct List(Vec<Finding>);

impl List {
    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.0.push(Finding { severity, code, text: text.into(), advice: advice.into() });
    }

    fn problem(&mut self, code: &'static str, text: impl Into<String>, advice: impl Into<String>) {
        self.add(Severity::Problem, code, text, advice);
    }

    fn warning(&mut self, code: &'static str, text: impl Into<String>, advice: impl Into<String>) {
        self.add(Severity::Warning, code, text, advice);
    }

    fn note(&mut self, code: &'static str, text: impl Into<String>, advice: impl Into<String>) {
        self.add(Severity::Note, code, text, advice);
    }

    fn has(&self, code: &str) -> bool {
        self.0.iter().any(|finding| finding.code == code)
    }
}

fn range(seen: &Observed, list: &mut List) {
    if let Some(range) = &seen.range {
        list.warning(
            "range",
            format!("the range is {range}: other hosts are not reached"),
            "Unset CASTER_RANGE, or give --range link.",
        );
    }
}

/// The interfaces that lead to other hosts.
fn beyond(seen: &Observed) -> impl Iterator<Item = (&InterfaceStats, Kind)> {
    let all = seen.stats.interfaces.iter();
    let named = all.map(|it| (it, seen.host.kind(it.interface.name())));
    named.filter(|(_, kind)| *kind != Kind::Loopback)
}

fn interfaces(seen: &Observed, list: &mut List) {
    if seen.range.is_some() {
        return;
    }
    let usable = |it: &InterfaceStats| it.up && !it.addresses.is_empty();
    let ready: Vec<_> = beyond(seen).filter(|(it, _)| usable(it)).collect();
    let name = |it: &InterfaceStats| it.interface.name().to_owned();
    let names = || ready.iter().map(|(it, _)| name(it)).collect::<Vec<_>>().join(", ");
    let only = |wanted: Kind| !ready.is_empty() && ready.iter().all(|(_, kind)| *kind == wanted);
    if ready.is_empty() {
        list.problem(
            "no-interface",
            "no interface but loopback is up and has an address",
            "Connect the host; `ip address` shows its interfaces.",
        );
    }
    if only(Kind::Vpn) {
        list.problem(
            "vpn-only",
            format!(
                "the only network is {}, a VPN or point-to-point link, which carries no multicast",
                names()
            ),
            "List a host of the other side in the option `seeds`, or in CASTER_SEEDS.",
        );
    }
    if only(Kind::Container) {
        list.problem(
            "container-only",
            format!("the only network is {}, a bridge of containers: other hosts are not reached", names()),
            "Run the container with the host's network (--network host), or use `seeds` and a published port.",
        );
    }
    if let Some(text) = &seen.refused {
        list.problem(
            "firewall-out",
            format!("the system refuses to send to the group: {text}"),
            format!(
                "Permit outgoing UDP to {} port {} in the firewall of this host.",
                seen.group, seen.port
            ),
        );
    }
    for (it, kind) in ready {
        let name = name(it);
        if let Some(error) = &it.error {
            list.problem(
                "join-failed",
                format!("{name}: the group could not be joined: {error}"),
                "On Linux, `sysctl net.ipv4.igmp_max_memberships` limits the number of groups.",
            );
        }
        if it.joined && it.sent > 0 && it.echoes == 0 {
            list.problem(
                "firewall-in",
                format!("{name}: {} datagrams were sent to the group and none came back", it.sent),
                format!("Permit incoming UDP to port {} in the firewall of this host.", seen.port),
            );
        }
        if it.joined && it.mtu < SMALLEST_MTU {
            list.problem(
                "mtu",
                format!("{name}: the MTU is {}; heartbeats travel in fragments", it.mtu),
                format!("Set it to {SMALLEST_MTU} at least: ip link set {name} mtu 1500"),
            );
        } else if it.joined && it.mtu < USUAL_MTU {
            list.warning(
                "mtu",
                format!("{name}: the MTU is {}; larger datagrams of other hosts are lost or come in fragments", it.mtu),
                format!("Give all interfaces of the network one MTU: ip link set {name} mtu 1500"),
            );
        }
        if it.joined && kind == Kind::Wifi {
            list.note(
                "wifi",
                format!(
                    "{name} is Wi-Fi: access points send multicast slowly and without repetition"
                ),
                "Expect loss; an access point that isolates its clients needs `seeds`.",
            );
        }
        if it.joined
            && seen.host.igmp.get(&name).is_some_and(|version| version == "V1" || version == "V2")
        {
            list.note(
                "igmp-old",
                format!(
                    "{name}: IGMP {}, because a querier of that version is on the network",
                    seen.host.igmp[&name]
                ),
                "Nothing: the group needs no newer version.",
            );
        }
    }
    for peer in &seen.elsewhere {
        let interface = crate::show::interface(peer).unwrap_or("an interface that is not used");
        list.problem(
            "wrong-interface",
            format!(
                "node {} is heard on {interface}, which is not used",
                printable(&peer.id.as_str())
            ),
            format!("Add {interface} to the option `interfaces`."),
        );
    }
}

/// Senders that are not understood.
fn strangers(seen: &Observed, list: &mut List) {
    let dropped = |reason| seen.dropped.get(&reason).copied().unwrap_or_default();
    let addresses = |all: &[String]| match all.len() {
        0..=3 => all.join(", "),
        more => format!("{} and {} more", all[..3].join(", "), more - 3),
    };
    let sealed = seen.sniffed.as_ref().map(|it| it.sealed.as_slice()).unwrap_or_default();
    let is_sealed = |from: &IpAddr| sealed.iter().any(|it| IpAddr::from(*it) == *from);
    let foreign = || seen.stats.foreign.iter().map(|(from, _)| from);
    let senders: Vec<String> =
        foreign().filter(|it| seen.has_keys || !is_sealed(it)).map(ToString::to_string).collect();
    let all_are_sealed = senders.is_empty() && foreign().next().is_some();
    let from = match senders.is_empty() {
        true => "other hosts".to_owned(),
        false => addresses(&senders),
    };
    if !seen.with_default_secret.is_empty() {
        let some: Vec<String> = seen.with_default_secret.iter().map(ToString::to_string).collect();
        list.problem(
            "default-secret",
            format!("{} use the default secret, and this host another one", addresses(&some)),
            "Give all nodes the same secret, or run this command without one.",
        );
    } else if dropped(DropReason::Hash) + dropped(DropReason::Truncated) > 0 && !all_are_sealed {
        list.problem(
            "other-secret",
            format!("datagrams from {from} have another digest: another secret or algorithm, none, or a seal"),
            "Give the secret with --secret-file, the algorithm with -o hashAlgorithm=NAME, none with -o hash=false, \
             keys with --key-file.",
        );
    }
    if dropped(DropReason::Decrypt) > 0 {
        list.problem(
            "other-key",
            format!(
                "datagrams from {from} do not decrypt: another key or cipher, or no encryption"
            ),
            "Give the key with --crypto-key-file and the cipher with -o cryptoAlgorithm=NAME.",
        );
    }
    if dropped(DropReason::Seal) > 0 {
        list.problem(
            "other-key",
            format!("datagrams from {from} are sealed with another key or realm"),
            "Give the key with --key-file, the realm with -o realm=NAME; `caster keygen --ids FILE` shows which keys a file has.",
        );
    }
    if dropped(DropReason::Unsealed) > 0 {
        list.problem(
            "not-sealed",
            format!("datagrams from {from} are not sealed: nodes without keys use the port"),
            "Give all nodes the key with --key-file, or another port to those without.",
        );
    }
    if !seen.has_keys && !sealed.is_empty() {
        let some: Vec<String> = sealed.iter().map(ToString::to_string).collect();
        list.problem(
            "sealed",
            format!("{} send sealed datagrams, and this host has no keys", addresses(&some)),
            "Give the key with --key-file.",
        );
    }
    let others =
        [DropReason::NotJson, DropReason::NotAnObject, DropReason::NoId, DropReason::BadId];
    if others.into_iter().map(dropped).sum::<u64>() > 0 {
        list.warning(
            "foreign-program",
            format!("datagrams from {from} are not those of a node: another program uses the port, or encrypts"),
            "Choose another port, or give the key with --key-file or --crypto-key-file.",
        );
    }
    for (from, to) in seen.sniffed.iter().flat_map(|sniffed| &sniffed.nodes) {
        list.problem(
            "other-group",
            format!(
                "a node at {from} sends to {to}, and this host listens to {}:{}",
                seen.group, seen.port
            ),
            "Give all nodes the same `multicast` and `port`: here --group and --port.",
        );
    }
}

fn peers(seen: &Observed, list: &mut List) {
    let there: Vec<_> = seen.peers.iter().filter(|heard| !heard.is_here).collect();
    let answering: Vec<_> = there.iter().filter(|heard| !heard.is_original()).collect();
    let deaf: Vec<_> = answering.iter().filter(|heard| heard.answers <= DEAF).collect();
    let names = deaf.iter().take(3).map(|heard| {
        format!("{} at {}", printable(&heard.peer.id.as_str()), heard.peer.scoped_address())
    });
    let names = names.collect::<Vec<_>>().join(", ");
    if !deaf.is_empty() && deaf.len() == answering.len() {
        if !list.has("firewall-out") {
            list.problem(
                "not-heard",
                format!(
                    "nodes of other hosts are heard, and none of them hears this host ({names})"
                ),
                "Permit outgoing UDP on this host, and multicast from its port of the switch.",
            );
        }
    } else if !deaf.is_empty() {
        list.problem(
            "one-way",
            format!("some nodes are heard and do not hear this host: {names}"),
            format!("Permit incoming UDP to port {} on their hosts.", seen.port),
        );
    }
    for heard in &there {
        if (DEAF + 1..HEARS).contains(&heard.answers) && !heard.is_original() {
            list.warning(
                "loss",
                format!(
                    "{} answered {} of {QUESTIONS} questions: datagrams are lost",
                    printable(&heard.peer.id.as_str()),
                    heard.answers
                ),
                "Repeat with --time 10s; Wi-Fi, a full switch or a slow host loses datagrams.",
            );
        }
    }
    let originals = seen.peers.iter().filter(|heard| heard.is_original()).count();
    if originals > 0 {
        list.note(
            "originals",
            format!("{originals} nodes of caster 0.1.1 are heard; they do not answer, so it is unknown whether they hear"),
            "Nothing; while they are there, heartbeats are sent three times as often.",
        );
    }
    if seen.peers.is_empty() && list.0.iter().all(|finding| finding.severity != Severity::Problem) {
        list.warning(
            "none-heard",
            "no node was heard, and nothing on this host explains it",
            "Check that a node runs; a switch or access point may drop multicast: run the doctor on the other host too.",
        );
    }
}

fn host(seen: &Observed, list: &mut List) {
    for bridge in &seen.host.bridges {
        let heard = seen.sniffed.as_ref().is_some_and(|sniffed| !sniffed.queriers.is_empty());
        if bridge.snooping && !bridge.querier && !heard {
            list.warning(
                "snooping-without-querier",
                format!(
                    "bridge {}: multicast snooping is on and no querier is known: groups beyond 224.0.0.x stop after \
                     about five minutes",
                    bridge.name
                ),
                format!("ip link set {} type bridge mcast_querier 1 (or mcast_snooping 0)", bridge.name),
            );
        }
    }
    if seen.host.has_route == Some(false) && seen.range.is_none() {
        list.warning(
            "no-route",
            format!("no route leads to {}: Caster needs none, but programs of caster 0.1.1 on this host cannot send", seen.group),
            "ip route add 224.0.0.0/4 dev INTERFACE",
        );
    }
    let stats = &seen.stats;
    if stats.kernel_drops > 0 {
        list.problem(
            "kernel-drops",
            format!(
                "the system dropped {} datagrams: the receive buffer of {} bytes was full",
                stats.kernel_drops, stats.receive_buffer
            ),
            "sysctl -w net.core.rmem_max=4194304",
        );
    } else if let Some(max) = seen.host.rmem_max.filter(|max| *max < 4_194_304) {
        list.note(
            "small-buffer",
            format!("net.core.rmem_max is {max}: enough for bursts of some hundred heartbeats"),
            "In large groups: sysctl -w net.core.rmem_max=4194304",
        );
    }
    if stats.reassembly_failures > 0 {
        list.warning(
            "fragments-lost",
            format!(
                "{} datagrams could not be assembled from their fragments",
                stats.reassembly_failures
            ),
            "Packets are lost on the way; large messages of caster 0.1.1 suffer first.",
        );
    }
    if seen.host.others_on_port > 0 {
        list.note(
            "port-shared",
            format!(
                "{} other sockets of this host use port {}",
                seen.host.others_on_port, seen.port
            ),
            "Nothing: nodes share the port. `ss -ulnp` names the programs.",
        );
    }
    if seen.clock_step > STEP {
        list.warning(
            "clock-step",
            format!("the wall clock was set by {} while the command ran", span(seen.clock_step)),
            "Caster does not use it for deadlines; times of first and last heartbeats are wrong.",
        );
    }
    if seen.sniffed.is_none() {
        list.note(
            "no-capture",
            "other groups and queriers cannot be told: the system does not permit to capture packets",
            "Run the command as root, or with CAP_NET_RAW.",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::host::{Bridge, Host};
    use super::super::observe::Heard;
    use super::super::sniff::Sniffed;
    use super::*;
    use caster_core::{Node, Options, VirtualNetwork};
    use std::collections::HashMap;

    /// A sound host: the interface `lo` of this one as if it were an Ethernet, and two nodes of other hosts that
    /// answer all questions.
    fn sound() -> Observed {
        let real = Node::new(&Options::for_node().with("range", "host").with("port", &23601));
        let real = real.unwrap();
        real.up().unwrap();
        let mut stats = real.stats();
        real.down().unwrap();
        stats.interfaces.retain(|it| it.interface.name() == "lo");
        let lo = &mut stats.interfaces[0];
        (lo.up, lo.joined, lo.mtu, lo.sent, lo.echoes, lo.error) = (true, true, 1500, 6, 6, None);
        (stats.kernel_drops, stats.reassembly_failures) = (0, 0);
        let network = VirtualNetwork::new(1);
        let options = |id: &str| Options::for_node().with("id", id);
        let here = network.node(&options("here").with("expose", &false)).unwrap();
        let nodes = [network.node(&options("a")).unwrap(), network.node(&options("b")).unwrap()];
        here.up().unwrap();
        nodes.iter().for_each(|node| node.up().unwrap());
        network.advance(Duration::from_secs(3));
        let heard = |peer: caster_core::Peer| {
            let details = here.details(&peer.id).unwrap();
            Heard { peer, details, answers: QUESTIONS, is_here: false }
        };
        Observed {
            group: here.multicast(),
            port: 10101,
            range: None,
            has_keys: false,
            host: Host::with_kind("lo", Kind::Ethernet),
            stats,
            peers: here.nodes().into_iter().map(heard).collect(),
            refused: None,
            with_default_secret: Vec::new(),
            elsewhere: Vec::new(),
            sniffed: Some(Sniffed::default()),
            clock_step: Duration::ZERO,
            told: Vec::new(),
            dropped: HashMap::new(),
        }
    }

    /// The codes that follow from a change of a sound host, with the first letter of their weights.
    fn found(change: impl FnOnce(&mut Observed)) -> Vec<String> {
        let mut seen = sound();
        change(&mut seen);
        let letter =
            |finding: &Finding| format!("{} {}", &finding.severity.name()[..1], finding.code);
        findings(&seen).iter().map(letter).collect()
    }

    fn interface(change: impl FnOnce(&mut InterfaceStats)) -> Vec<String> {
        found(|seen| change(&mut seen.stats.interfaces[0]))
    }

    #[test]
    fn each_cause_has_its_code_and_a_sound_host_has_none() {
        assert_eq!(found(|_| {}), Vec::<String>::new());
        assert_eq!(interface(|it| it.echoes = 0), ["p firewall-in"]);
        assert_eq!(interface(|it| (it.sent, it.echoes) = (0, 0)), Vec::<String>::new());
        assert_eq!(interface(|it| (it.joined, it.echoes) = (false, 0)), Vec::<String>::new());
        assert_eq!(interface(|it| it.error = Some("no".into())), ["p join-failed"]);
        assert_eq!(interface(|it| it.up = false), ["p no-interface"]);
        assert_eq!(interface(|it| it.addresses.clear()), ["p no-interface"]);
        assert_eq!(found(|seen| seen.refused = Some("no".into())), ["p firewall-out"]);
        assert_eq!(found(|seen| seen.stats.kernel_drops = 1), ["p kernel-drops"]);
        assert_eq!(found(|seen| seen.stats.reassembly_failures = 1), ["w fragments-lost"]);
        assert_eq!(found(|seen| seen.host.has_route = Some(false)), ["w no-route"]);
        assert_eq!(found(|seen| seen.host.has_route = Some(true)), Vec::<String>::new());
        assert_eq!(found(|seen| seen.host.others_on_port = 1), ["n port-shared"]);
        assert_eq!(found(|seen| seen.host.rmem_max = Some(4_194_303)), ["n small-buffer"]);
        for (version, codes) in [("V1", &["n igmp-old"][..]), ("V2", &["n igmp-old"]), ("V3", &[])]
        {
            let igmp =
                |seen: &mut Observed| drop(seen.host.igmp.insert("lo".into(), version.into()));
            assert_eq!(found(igmp), codes, "{version}");
        }
        assert_eq!(found(|seen| seen.sniffed = None), ["n no-capture"]);
        assert_eq!(found(|seen| seen.range = Some("host".into())), ["w range"]);
        assert_eq!(found(|seen| seen.peers.clear()), ["w none-heard"]);
        let elsewhere = |seen: &mut Observed| seen.elsewhere.push(seen.peers[0].peer.clone());
        assert_eq!(found(elsewhere), ["p wrong-interface"]);
        let stranger = "10.0.0.9".parse().unwrap();
        assert_eq!(found(|seen| seen.with_default_secret.push(stranger)), ["p default-secret"]);
    }

    #[test]
    fn datagrams_that_are_not_understood_have_a_code_and_name_their_senders() {
        let dropped = |reason: DropReason| found(|seen| seen.dropped = [(reason, 1)].into());
        for (reason, code) in [
            (DropReason::Hash, "p other-secret"),
            (DropReason::Truncated, "p other-secret"),
            (DropReason::Decrypt, "p other-key"),
            (DropReason::Seal, "p other-key"),
            (DropReason::Unsealed, "p not-sealed"),
            (DropReason::NotJson, "w foreign-program"),
            (DropReason::NotAnObject, "w foreign-program"),
            (DropReason::NoId, "w foreign-program"),
            (DropReason::BadId, "w foreign-program"),
        ] {
            assert_eq!(dropped(reason), [code], "{reason:?}");
            let mut seen = sound();
            seen.dropped.insert(reason, 1);
            seen.stats.foreign = (1..=5).map(|n| (IpAddr::from([10, 0, 0, n]), 1)).collect();
            let text = &findings(&seen)[0].text;
            assert!(text.contains("10.0.0.1, 10.0.0.2, 10.0.0.3 and 2 more"), "{text}");
        }
        assert_eq!(dropped(DropReason::Own), Vec::<String>::new());
        // Senders of sealed datagrams fail the digest of a host without keys as well: one finding.
        let sealed = |has_keys: bool, others: u8| {
            found(|seen| {
                seen.has_keys = has_keys;
                seen.dropped.insert(if has_keys { DropReason::Seal } else { DropReason::Hash }, 1);
                seen.sniffed.as_mut().unwrap().sealed.push([10, 0, 0, 1].into());
                seen.stats.foreign =
                    (1..=1 + others).map(|n| (IpAddr::from([10, 0, 0, n]), 1)).collect();
            })
        };
        assert_eq!(sealed(false, 0), ["p sealed"]);
        assert_eq!(sealed(false, 1), ["p other-secret", "p sealed"]);
        assert_eq!(sealed(true, 0), ["p other-key"]);
    }

    /// A rule that no longer finds its cause fails the test that needs its code.
    #[test]
    fn every_code_is_in_a_test() {
        let (rules, tests) = include_str!("rules.rs").split_once("mod tests {").unwrap();
        let mut number = 0;
        for weight in ["problem", "warning", "note"] {
            for call in rules.split(&format!("list.{weight}(")).skip(1) {
                let code = call.split('"').nth(1).unwrap();
                let expected = match code.starts_with("between-") {
                    true => format!("[\"{code}\"]"),
                    false => format!("\"{} {code}\"", &weight[..1]),
                };
                let is_in = |text: &str| text.contains(&expected);
                assert!(is_in(tests) || is_in(include_str!("pair.rs")), "{expected}");
                number += 1;
            }
        }
        assert!(number > 30, "{number}");
    }

    #[test]
    fn limits_are_where_they_are_said_to_be() {
        let mtu = |mtu| interface(|it| it.mtu = mtu);
        assert_eq!(mtu(575), ["p mtu"]);
        assert_eq!((mtu(576), mtu(1427)), (vec!["w mtu".into()], vec!["w mtu".into()]));
        assert_eq!(mtu(1428), Vec::<String>::new());
        let step = |ms| found(|seen| seen.clock_step = Duration::from_millis(ms));
        assert_eq!((step(200), step(201)), (vec![], vec!["w clock-step".into()]));
        let answers = |first, second| {
            found(|seen| (seen.peers[0].answers, seen.peers[1].answers) = (first, second))
        };
        assert_eq!(answers(4, 6), Vec::<String>::new());
        assert_eq!(answers(3, 6), ["w loss"]);
        assert_eq!(answers(2, 6), ["p one-way"]);
        assert_eq!(answers(2, 2), ["p not-heard"]);
        assert_eq!(answers(0, 3), ["p one-way", "w loss"]);
    }

    #[test]
    fn kinds_of_the_only_interface_matter() {
        let kind = |kind| {
            let host = Host::with_kind("lo", kind);
            found(|seen| seen.host = host)
        };
        assert_eq!(kind(Kind::Vpn), ["p vpn-only"]);
        assert_eq!(kind(Kind::Container), ["p container-only"]);
        assert_eq!(kind(Kind::Wifi), ["n wifi"]);
        assert_eq!(kind(Kind::Loopback), ["p no-interface"]);
        // An interface that is not used is no concern.
        for change in [
            (|seen: &mut Observed| seen.host = Host::with_kind("lo", Kind::Wifi))
                as fn(&mut Observed),
            |seen| drop(seen.host.igmp.insert("lo".into(), "V2".into())),
            |seen| seen.stats.interfaces[0].mtu = 1200,
            |seen| seen.stats.interfaces[0].mtu = 500,
        ] {
            let not_joined = |seen: &mut Observed| {
                change(seen);
                seen.stats.interfaces[0].joined = false;
            };
            assert_eq!(found(not_joined), Vec::<String>::new());
        }
    }

    #[test]
    fn nodes_of_this_host_and_originals_are_not_deaf() {
        let change = |seen: &mut Observed| {
            (seen.peers[0].answers, seen.peers[0].is_here) = (0, true);
        };
        assert_eq!(found(change), Vec::<String>::new());
        let original = |seen: &mut Observed| {
            seen.peers[0].answers = 0;
            seen.peers[0].details.incarnation = None;
        };
        assert_eq!(found(original), ["n originals"]);
        // A host that cannot send is not heard for that reason.
        let silent = |seen: &mut Observed| {
            seen.refused = Some("no".into());
            seen.peers.iter_mut().for_each(|heard| heard.answers = 0);
        };
        assert_eq!(found(silent), ["p firewall-out"]);
    }

    #[test]
    fn captured_packets_tell_of_groups_keys_and_queriers() {
        let host = "10.0.0.9".parse().unwrap();
        let sniffed = |change: fn(&mut Sniffed, std::net::Ipv4Addr)| {
            found(|seen| change(seen.sniffed.as_mut().unwrap(), host))
        };
        let other = |seen: &mut Sniffed, host| {
            seen.nodes.insert(host, "224.0.0.9:10101".parse().unwrap());
        };
        assert_eq!(sniffed(other), ["p other-group"]);
        assert_eq!(sniffed(|seen, host| seen.sealed.push(host)), ["p sealed"]);
        let with_keys = |seen: &mut Observed| {
            seen.has_keys = true;
            seen.sniffed.as_mut().unwrap().sealed.push(host);
        };
        assert_eq!(found(with_keys), Vec::<String>::new());
        let bridge = |snooping, querier, heard: bool| {
            found(|seen| {
                seen.host.bridges.push(Bridge { name: "br0".into(), snooping, querier });
                if heard {
                    seen.sniffed.as_mut().unwrap().queriers.push(host);
                }
            })
        };
        assert_eq!(bridge(true, false, false), ["w snooping-without-querier"]);
        for (snooping, querier, heard) in
            [(false, false, false), (true, true, false), (true, false, true)]
        {
            assert_eq!(bridge(snooping, querier, heard), Vec::<String>::new());
        }
    }
}
