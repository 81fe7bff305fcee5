//! Hosts with networks between them, in network namespaces of Linux. Needs no root; where
//! namespaces are forbidden it says so, and fails if it runs in CI.
#![cfg(target_os = "linux")]

#[path = "common/namespace.rs"]
mod namespace;

use caster_core::{Event, Node, Options};
use namespace::{inside, ip};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, SocketAddrV6, UdpSocket};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a test may take, in seconds.
const LIMIT: &str = "120";
const PATIENCE: Duration = Duration::from_secs(20);
/// How soon a change of an interface is to be followed.
const SOON: Duration = Duration::from_secs(2);

/// A program on a host of its own.
struct Host {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<Value>,
    id: &'static str,
}

impl Host {
    fn new(id: &'static str) -> Self {
        let mut command = Command::new("unshare");
        command.arg("-n");
        Self::start(id, command)
    }

    /// Another program on the host of this one.
    fn beside(&self, id: &'static str) -> Self {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.child.id()));
        Self::start(id, command)
    }

    fn start(id: &'static str, mut command: Command) -> Self {
        let mut child = command
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "program", "--nocapture", "--test-threads=1"])
            .env("CASTER_PROGRAM", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(at) = line.find('{')
                    && let Ok(value) = serde_json::from_str(&line[at..])
                {
                    let _ = sender.send(value);
                }
            }
        });
        let stdin = child.stdin.take().unwrap();
        let host = Self { child, stdin, lines, id };
        host.wait("started", PATIENCE, |line| line["ev"] == "started");
        host
    }

    fn ip(&self, arguments: &str) {
        let network = format!("--net=/proc/{}/ns/net", self.child.id());
        let output =
            Command::new("nsenter").arg(network).arg("ip").args(arguments.split(' ')).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}: ip {arguments}: {output:?}", self.id);
    }

    fn write(&self, file: &str, value: &str) {
        let network = format!("--net=/proc/{}/ns/net", self.child.id());
        let shell = format!("echo {value} > {file}");
        let output = Command::new("nsenter").args([&network, "sh", "-c", &shell]).output().unwrap();
        assert!(output.status.success(), "{}: {file}: {output:?}", self.id);
    }

    fn tell(&mut self, line: String) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    /// Everything that it says until something is so.
    fn wait(&self, what: &str, limit: Duration, found: impl Fn(&Value) -> bool) -> Vec<Value> {
        let start = Instant::now();
        let mut seen = Vec::new();
        while let Some(left) = limit.checked_sub(start.elapsed()) {
            let Ok(line) = self.lines.recv_timeout(left) else { break };
            let is_it = found(&line);
            seen.push(line);
            if is_it {
                return seen;
            }
        }
        panic!("{}: no {what} within {limit:?}; there were {seen:#?}", self.id);
    }

    fn up(&mut self, more: Value) {
        let mut options = json!({
            "id": self.id, "multicast": "239.77.1.2", "port": 10101, "heartbeat": 200,
            "timeout": 1000,
        });
        for (key, value) in more.as_object().unwrap() {
            options[key] = value.clone();
        }
        self.tell(format!("up {options}"));
        self.wait("ready", PATIENCE, |line| line["ev"] == "ready");
    }

    fn wait_for_node(&self, id: &str, limit: Duration) {
        self.wait(id, limit, |line| line["ev"] == "up" && line["node"]["id"] == id);
    }

    fn node(&mut self) -> Value {
        self.tell("nodes".into());
        let answer = self.wait("nodes", PATIENCE, |line| line["ev"] == "nodes");
        let nodes = answer.last().unwrap()["nodes"].as_array().unwrap().clone();
        assert_eq!(nodes.len(), 1, "{nodes:?}");
        nodes[0].clone()
    }

    fn stats(&mut self) -> Value {
        self.tell("stats".into());
        self.wait("stats", PATIENCE, |line| line["ev"] == "stats").pop().unwrap()["stats"].clone()
    }

    /// Until the other node was heard from all of these.
    fn wait_for_addresses(&mut self, addresses: &[&str]) {
        let start = Instant::now();
        loop {
            let node = self.node();
            let known = node["addresses"].as_array().unwrap();
            let all = addresses.iter().all(|wanted| {
                known.iter().any(|it| it["address"].as_str().unwrap().starts_with(wanted))
            });
            if all {
                return assert_eq!(known[0]["address"], node["address"]);
            }
            assert!(start.elapsed() < PATIENCE, "{addresses:?} in {node}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A cable between two hosts. The interface has the same name on both.
fn cable(a: &Host, b: &Host, name: &str) {
    let (from, to) = (a.child.id(), b.child.id());
    ip(&format!("link add {name} netns {from} type veth peer name {name} netns {to}"));
    a.ip(&format!("link set {name} up"));
    b.ip(&format!("link set {name} up"));
}

/// Two hosts with the loopback interface up and nothing else.
fn two_hosts() -> (Host, Host) {
    let hosts = (Host::new("a"), Host::new("b"));
    for host in [&hosts.0, &hosts.1] {
        host.ip("link set lo up");
    }
    hosts
}

/// The same with a cable and addresses in 10.1.0.0/24.
fn two_hosts_on_a_cable() -> (Host, Host) {
    let (a, b) = two_hosts();
    cable(&a, &b, "eth0");
    addresses(&a, &b, "eth0", "10.1.0");
    (a, b)
}

/// Both are up and know each other.
fn meet(a: &mut Host, b: &mut Host) {
    a.up(json!({}));
    b.up(json!({}));
    a.wait_for_node("b", PATIENCE);
    b.wait_for_node("a", PATIENCE);
}

fn addresses(a: &Host, b: &Host, name: &str, network: &str) {
    a.ip(&format!("address add {network}.1/24 dev {name}"));
    b.ip(&format!("address add {network}.2/24 dev {name}"));
}

/// Says things and checks that each is heard once.
fn talk(from: &mut Host, to: &mut Host, limit: Duration) {
    let start = Instant::now();
    // Until it is heard at all: an interface may just be coming up.
    loop {
        assert!(start.elapsed() < limit, "{} does not hear {} after {limit:?}", to.id, from.id);
        from.tell("send \"try\"".into());
        let said = to.lines.recv_timeout(Duration::from_millis(100));
        if said.is_ok_and(|line| line["ev"] == "message") {
            break;
        }
    }
    for n in 0..20 {
        from.tell(format!("send {n}"));
    }
    from.tell("send \"end\"".into());
    let is_end = |line: &Value| line["ev"] == "message" && line["message"] == "end";
    let heard = to.wait("end", PATIENCE, is_end);
    let heard: Vec<&Value> =
        heard.iter().filter(|it| it["message"].is_number()).map(|it| &it["message"]).collect();
    let said: Vec<Value> = (0..20).map(Value::from).collect();
    assert_eq!(heard, said.iter().collect::<Vec<_>>(), "each once, in order");
    loop {
        let stats = to.stats();
        let dropped = stats["dropped"].as_object().unwrap().values();
        let dropped: u64 = dropped.flat_map(Value::as_u64).sum();
        if stats["received"] == stats["accepted"].as_u64().unwrap() + dropped {
            break;
        }
        // A heartbeat is just being received.
        assert!(start.elapsed() < 2 * PATIENCE, "{stats}");
    }
}

#[test]
fn two_networks_between_two_hosts() {
    if !inside("two_networks_between_two_hosts") {
        return;
    }
    let (mut a, mut b) = two_hosts();
    for (name, network) in [("eth0", "10.1.0"), ("eth1", "10.2.0")] {
        cable(&a, &b, name);
        addresses(&a, &b, name, network);
    }
    a.up(json!({}));
    b.up(json!({}));
    a.wait_for_node("b", PATIENCE);
    a.wait_for_addresses(&["10.1.0.2", "10.2.0.2"]);
    b.wait_for_node("a", PATIENCE);
    b.wait_for_addresses(&["10.1.0.1", "10.2.0.1"]);
    talk(&mut a, &mut b, PATIENCE);
    talk(&mut b, &mut a, PATIENCE);
    let node = a.node();
    let interface = |address| {
        let known = node["addresses"].as_array().unwrap();
        known.iter().find(|it| it["address"] == address).unwrap()["interface"].clone()
    };
    assert_eq!((interface("10.1.0.2"), interface("10.2.0.2")), (json!("eth0"), json!("eth1")));
    assert!(a.stats()["dropped"]["copy"].as_u64().unwrap() > 20);
    // One of the two is enough, and no peer is down because the other one is gone.
    a.ip("link delete eth0");
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(a.node()["address"], "10.2.0.2");
    talk(&mut a, &mut b, PATIENCE);
    talk(&mut b, &mut a, PATIENCE);
}

#[test]
fn a_chosen_interface_is_the_only_one() {
    if !inside("a_chosen_interface_is_the_only_one") {
        return;
    }
    let (mut a, mut b) = two_hosts();
    for (name, network) in [("eth0", "10.1.0"), ("eth1", "10.2.0")] {
        cable(&a, &b, name);
        addresses(&a, &b, name, network);
    }
    a.up(json!({"interfaces": ["eth*", "!eth0"]}));
    b.up(json!({"address": "10.2.0.2"}));
    a.wait_for_node("b", PATIENCE);
    b.wait_for_node("a", PATIENCE);
    talk(&mut a, &mut b, PATIENCE);
    talk(&mut b, &mut a, PATIENCE);
    for (host, address) in [(&mut a, "10.2.0.2"), (&mut b, "10.2.0.1")] {
        let node = host.node();
        assert_eq!(node["address"], address);
        assert_eq!(node["addresses"].as_array().unwrap().len(), 1, "{node}");
    }
    assert_eq!(b.stats()["dropped"]["copy"], 0);
}

#[test]
fn no_interface_at_the_start_and_one_later() {
    if !inside("no_interface_at_the_start_and_one_later") {
        return;
    }
    // Not even the loopback interface is up. There is no route for multicast at any time.
    let (mut a, mut b) = (Host::new("a"), Host::new("b"));
    a.up(json!({}));
    b.up(json!({}));
    cable(&a, &b, "eth0");
    addresses(&a, &b, "eth0", "10.1.0");
    let start = Instant::now();
    a.wait_for_node("b", SOON);
    b.wait_for_node("a", SOON);
    println!("found each other {:?} after the interface had its address", start.elapsed());
    talk(&mut a, &mut b, PATIENCE);
    // A second one, later.
    cable(&a, &b, "eth1");
    addresses(&a, &b, "eth1", "10.2.0");
    a.wait_for_addresses(&["10.1.0.2", "10.2.0.2"]);
    talk(&mut b, &mut a, PATIENCE);
}

#[test]
fn an_interface_is_deleted_and_made_anew() {
    if !inside("an_interface_is_deleted_and_made_anew") {
        return;
    }
    let (mut a, mut b) = two_hosts_on_a_cable();
    meet(&mut a, &mut b);
    for pause in [0, 100, 1000] {
        a.ip("link delete eth0");
        std::thread::sleep(Duration::from_millis(pause));
        cable(&a, &b, "eth0");
        addresses(&a, &b, "eth0", "10.1.0");
        let start = Instant::now();
        talk(&mut a, &mut b, SOON);
        println!("created again after {pause} ms: a is heard again after {:?}", start.elapsed());
        talk(&mut b, &mut a, SOON);
    }
    // The carrier goes and comes back.
    b.ip("link set eth0 down");
    std::thread::sleep(Duration::from_millis(300));
    b.ip("link set eth0 up");
    talk(&mut a, &mut b, SOON);
    talk(&mut b, &mut a, SOON);
}

#[test]
fn an_interface_taken_down_is_nobodys_death() {
    if !inside("an_interface_taken_down_is_nobodys_death") {
        return;
    }
    let (mut a, mut b) = two_hosts_on_a_cable();
    meet(&mut a, &mut b);
    a.ip("link set eth0 down");
    std::thread::sleep(Duration::from_secs(4));
    a.ip("link set eth0 up");
    a.tell("nodes".into());
    let said = a.wait("nodes", PATIENCE, |line| line["ev"] == "nodes");
    assert!(said.iter().all(|line| line["ev"] != "down"), "{said:#?}");
    talk(&mut a, &mut b, SOON);
    talk(&mut b, &mut a, SOON);
}

#[test]
fn an_address_changes() {
    if !inside("an_address_changes") {
        return;
    }
    let (mut a, mut b) = two_hosts_on_a_cable();
    meet(&mut a, &mut b);
    b.ip("address delete 10.1.0.2/24 dev eth0");
    b.ip("address add 10.1.0.9/24 dev eth0");
    let said = a.wait("update", Duration::from_secs(5), |line| line["ev"] == "update");
    assert_eq!(said.last().unwrap()["node"]["address"], "10.1.0.9");
    assert!(said.iter().all(|line| line["ev"] != "down"), "{said:?}");
    talk(&mut a, &mut b, SOON);
    talk(&mut b, &mut a, SOON);
}

#[test]
fn a_link_with_ipv6_only() {
    if !inside("a_link_with_ipv6_only") {
        return;
    }
    let (mut a, mut b) = two_hosts();
    cable(&a, &b, "eth0");
    a.up(json!({"multicast6": "ff02::7712"}));
    b.up(json!({"multicast": "ff02::7712"}));
    a.wait_for_node("b", PATIENCE);
    b.wait_for_node("a", PATIENCE);
    talk(&mut a, &mut b, PATIENCE);
    talk(&mut b, &mut a, PATIENCE);
    assert!(a.node()["address"].as_str().unwrap().starts_with("fe80::"));
    assert!(b.node()["address"].as_str().unwrap().starts_with("fe80::"));
}

#[test]
fn both_families_at_once() {
    if !inside("both_families_at_once") {
        return;
    }
    let (mut a, mut b) = two_hosts_on_a_cable();
    // A group of a wider scope, for which there is no route either.
    a.up(json!({"multicast6": "ff15::7712"}));
    b.up(json!({"multicast6": "ff15::7712"}));
    a.wait_for_node("b", PATIENCE);
    b.wait_for_node("a", PATIENCE);
    a.wait_for_addresses(&["10.1.0.2", "fe80::"]);
    b.wait_for_addresses(&["10.1.0.1", "fe80::"]);
    assert_eq!(a.node()["address"], "10.1.0.2");
    talk(&mut a, &mut b, PATIENCE);
    talk(&mut b, &mut a, PATIENCE);
}

/// Both hosts have the same private port. A datagram from the wire is not an own one even if its source is
/// an address of this host and this port.
#[test]
fn own_is_what_this_host_has_sent_and_nothing_else() {
    if !inside("own_is_what_this_host_has_sent_and_nothing_else") {
        return;
    }
    let (mut a, mut b) = two_hosts();
    // Addresses can be used at once.
    a.write("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
    b.write("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
    cable(&a, &b, "eth0");
    addresses(&a, &b, "eth0", "10.1.0");
    let mut a2 = a.beside("a2");
    let group = json!({"multicast6": "ff02::7712"});
    a.up(group.clone());
    a2.up(group.clone());
    b.up(group);
    for host in [&mut a, &mut a2, &mut b] {
        let start = Instant::now();
        while host.stats()["nodes"] != 2 {
            assert!(start.elapsed() < PATIENCE, "{} does not know both others", host.id);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    // By then each has confirmed that it uses addresses of both families.
    std::thread::sleep(Duration::from_secs(1));
    let mut hosts = [a, a2, b];
    for speaker in 0..hosts.len() {
        let id = hosts[speaker].id;
        let said: Vec<Value> = (0..20).map(|n| json!([id, n])).collect();
        said.iter().for_each(|message| hosts[speaker].tell(format!("send {message}")));
        for listener in (0..hosts.len()).filter(|&listener| listener != speaker) {
            let is_last = |line: &Value| line["message"] == said[19];
            let heard = hosts[listener].wait("the last", PATIENCE, is_last);
            let heard = heard.iter().map(|line| line["message"].clone());
            let heard: Vec<Value> = heard.filter(|message| message[0] == id).collect();
            assert_eq!(heard, said, "each once, in order");
        }
    }
    let [mut a, _a2, mut b] = hosts;
    let own = |stats: &Value| stats["dropped"]["own"].as_u64().unwrap();
    let before = a.stats();
    (0..500).for_each(|n| a.tell(format!("send {n}")));
    let after = a.stats();
    assert!(own(&after) < own(&before) + 100, "only heartbeats come back: {after}");
    assert_eq!(after["kernelDrops"], 0, "{after}");
    assert_eq!(after["sendErrors6"], before["sendErrors6"], "both families are in use: {after}");

    b.tell("down".into());
    b.wait("down", PATIENCE, |line| line["ev"] == "closed");
    // The system itself drops datagrams from addresses of its own, unless it is told otherwise.
    a.write("/proc/sys/net/ipv4/conf/all/accept_local", "1");
    a.write("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
    a.write("/proc/sys/net/ipv4/conf/eth0/rp_filter", "0");
    b.ip("address add 10.1.0.1/32 dev eth0");
    b.ip("address add fe80::aa/128 dev eth0 nodad");
    a.ip("address add fe80::aa/128 dev eth0 nodad");
    b.ip("route add 224.0.0.0/4 dev eth0");
    let hash = |stats: &Value| stats["dropped"]["hash"].as_u64().unwrap();
    for (from, to, times) in [
        ("10.1.0.1:21101", "239.77.1.2:10101", 10),
        ("[fe80::aa]:21101", "[ff02::7712]:10101", 20),
        // The private port of another process of the host.
        ("10.1.0.1:21102", "239.77.1.2:10101", 30),
    ] {
        b.tell(format!("spoof {from} {to} 10"));
        let start = Instant::now();
        while hash(&a.stats()) < times {
            assert!(start.elapsed() < PATIENCE, "{from}: {}", a.stats());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Both programs of the host b, and a program of the host a that has b as its seed and another group:
/// only unicast leads from one host to the other.
fn one_seed(late: bool) {
    let (mut a, mut b) = two_hosts_on_a_cable();
    let mut b2 = b.beside("b2");
    b.up(json!({}));
    b2.up(json!({}));
    if late {
        // The first one is now the one that was bound last.
        b.tell("down".into());
        b.wait("down", PATIENCE, |line| line["ev"] == "closed");
        b.up(json!({}));
    }
    b.wait_for_node("b2", PATIENCE);
    a.up(json!({"multicast": "239.77.1.3", "seeds": ["10.1.0.2"]}));
    let start = Instant::now();
    for host in [&b, &b2] {
        host.wait_for_node("a", PATIENCE);
        println!("{} heard the hello after {:?}", host.id, start.elapsed());
    }
    let mut left = vec!["b", "b2"];
    while !left.is_empty() {
        let said = a.wait("up", PATIENCE, |line| line["ev"] == "up");
        left.retain(|id| said.last().unwrap()["node"]["id"] != *id);
    }
    talk(&mut a, &mut b, PATIENCE);
    talk(&mut b2, &mut a, PATIENCE);
    a.tell("send \"both\"".into());
    for host in [&b, &b2] {
        host.wait("both", PATIENCE, |line| line["message"] == "both");
    }
}

#[test]
fn a_seed_reaches_both_programs_of_a_host() {
    if inside("a_seed_reaches_both_programs_of_a_host") {
        one_seed(false);
    }
}

#[test]
fn a_seed_reaches_both_programs_of_a_host_whichever_was_bound_last() {
    if inside("a_seed_reaches_both_programs_of_a_host_whichever_was_bound_last") {
        one_seed(true);
    }
}

/// Only unicast leads from one host to the other, and each speaks as soon as it is told that the other is up.
#[test]
fn the_first_message_to_a_peer_that_has_come_up_arrives() {
    if !inside("the_first_message_to_a_peer_that_has_come_up_arrives") {
        return;
    }
    let (mut a, mut b) = two_hosts_on_a_cable();
    b.up(json!({}));
    for round in 0..6 {
        a.up(json!({"multicast": "239.77.1.3", "seeds": ["10.1.0.2"]}));
        for (host, other) in [(&mut b, "a"), (&mut a, "b")] {
            host.wait("up", PATIENCE, |line| line["ev"] == "up" && line["node"]["id"] == other);
            host.tell(format!("send [\"first of {}\",{round}]", host.id));
        }
        for (host, other) in [(&a, "b"), (&b, "a")] {
            let first = json!([format!("first of {other}"), round]);
            host.wait("the first message", PATIENCE, |line| line["message"] == first);
        }
        a.tell("down".into());
        a.wait("down", PATIENCE, |line| line["ev"] == "closed");
        b.wait("down", PATIENCE, |line| line["ev"] == "down");
    }
}

#[test]
fn a_killed_program_of_the_same_host_is_down_at_once() {
    if !inside("a_killed_program_of_the_same_host_is_down_at_once") {
        return;
    }
    let (mut a, _b) = two_hosts();
    let mut a2 = a.beside("a2");
    let mut a3 = a.beside("a3");
    for host in [&mut a, &mut a2, &mut a3] {
        host.up(json!({"heartbeat": 1000, "timeout": 2000}));
    }
    a.wait_for_node("a3", PATIENCE);
    // A process is watched from the next heartbeat on.
    std::thread::sleep(Duration::from_millis(1500));
    a3.child.kill().unwrap();
    let start = Instant::now();
    let is_down = |line: &Value| line["ev"] == "down" && line["node"]["id"] == "a3";
    a.wait("down", Duration::from_millis(500), is_down);
    println!("down {:?} after the kill", start.elapsed());
    // One that leaves and comes back with the same port is not killed by that.
    for _ in 0..5 {
        a2.tell("down".into());
        a2.wait("down", PATIENCE, |line| line["ev"] == "closed");
        a2.up(json!({"heartbeat": 1000, "timeout": 2000}));
        a.wait_for_node("a2", PATIENCE);
    }
    a.tell("nodes".into());
    let said = a.wait("nodes", PATIENCE, |line| line["ev"] == "nodes");
    assert!(said.iter().all(|line| line["ev"] != "down"), "{said:#?}");
    assert_eq!(a.node()["id"], "a2");
}

#[test]
fn what_other_hosts_refuse_is_no_error_of_the_program() {
    if !inside("what_other_hosts_refuse_is_no_error_of_the_program") {
        return;
    }
    let (mut a, mut b) = two_hosts_on_a_cable();
    a.ip("route add unreachable 10.9.9.9");
    // Ports of the host that no program has open, and a host that is out of reach.
    a.up(json!({"seeds": ["10.1.0.2:9999", "10.1.0.2:9998", "10.9.9.9"], "heartbeat": 20}));
    b.up(json!({}));
    b.wait_for_node("a", PATIENCE);
    talk(&mut a, &mut b, PATIENCE);
    for n in 0..200 {
        a.tell(format!("send {n}"));
        std::thread::sleep(Duration::from_millis(2));
    }
    a.tell("send \"last\"".into());
    let heard = b.wait("last", PATIENCE, |line| line["message"] == "last");
    assert_eq!(heard.iter().filter(|line| line["message"].is_number()).count(), 200);
    let stats = a.stats();
    // Hosts ration refusals.
    assert!(stats["undelivered"].as_u64().unwrap() > 2, "{stats}");
    assert!(stats["sendErrors"].as_u64().unwrap() > 10, "{stats}");
    a.tell("down".into());
    let said = a.wait("down", PATIENCE, |line| line["ev"] == "closed");
    let errors = |line: &&Value| line["ev"] == "refused" || line["ev"] == "error";
    assert_eq!(said.iter().filter(errors).count(), 0, "{said:#?}");
}

/// By two interfaces, one of them with a small MTU; over the network nothing is fragmented.
#[test]
fn large_messages_arrive_whole_and_no_packet_is_a_fragment() {
    if !inside("large_messages_arrive_whole_and_no_packet_is_a_fragment") {
        return;
    }
    let (mut a, mut b) = two_hosts();
    for (name, network) in [("eth0", "10.1.0"), ("eth1", "10.2.0")] {
        cable(&a, &b, name);
        addresses(&a, &b, name, network);
    }
    a.ip("link set eth1 mtu 1300");
    let mut beside = a.beside("a2");
    a.up(json!({}));
    beside.up(json!({}));
    b.up(json!({}));
    for host in [&mut b, &mut beside] {
        host.wait_for_node("a", PATIENCE);
    }
    a.wait_for_node("b", PATIENCE);
    talk(&mut a, &mut b, PATIENCE);
    talk(&mut a, &mut beside, PATIENCE);
    let own = |stats: &Value| stats["dropped"]["own"].as_u64().unwrap();
    let before = own(&a.stats());
    let text = "x".repeat(60_000);
    for n in 0..20 {
        a.tell(format!("send [{n},\"{text}\"]"));
        for host in [&mut b, &mut beside] {
            let heard = host.wait("a large message", PATIENCE, |line| line["message"][0] == n);
            assert_eq!(heard.last().unwrap()["message"][1], text);
        }
    }
    let (sent, received) = (a.stats(), b.stats());
    assert!(own(&sent) < before + 100, "own pieces do not come back: {sent}");
    let pieces = sent["piecesSent"].as_u64().unwrap();
    assert_eq!(received["piecesReceived"], pieces, "{received}");
    assert!((20 * 60_000 / 1272..20 * 60_000 / 1200).contains(&pieces), "{sent}");
    assert_eq!((&sent["oversized"], &received["incomplete"]), (&json!(0), &json!(0)));
    for host in [&mut a, &mut b, &mut beside] {
        host.tell("fragments".into());
        let said = host.wait("fragments", PATIENCE, |line| line["ev"] == "fragments");
        assert_eq!(said.last().unwrap()["created"], 0, "{}", host.id);
    }
}

/// Counters of one interface, by name.
fn interface(stats: &Value, name: &str) -> Value {
    let all = stats["interfaces"].as_array().unwrap();
    all.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{name} in {stats}")).clone()
}

#[test]
fn each_interface_has_its_counters() {
    if !inside("each_interface_has_its_counters") {
        return;
    }
    let (mut a, mut b) = two_hosts();
    for (name, network) in [("eth0", "10.1.0"), ("eth1", "10.2.0")] {
        cable(&a, &b, name);
        addresses(&a, &b, name, network);
    }
    a.up(json!({"interfaces": ["eth0"]}));
    b.up(json!({}));
    a.wait_for_node("b", PATIENCE);
    b.wait_for_node("a", PATIENCE);
    talk(&mut a, &mut b, PATIENCE);
    talk(&mut b, &mut a, PATIENCE);
    let stats = a.stats();
    let names: Vec<&Value> =
        stats["interfaces"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names.len(), 3, "{stats}");
    assert_eq!(names[0], "lo", "the loopback interface is the first");
    let (eth0, eth1) = (interface(&stats, "eth0"), interface(&stats, "eth1"));
    let number = |interface: &Value, key: &str| interface[key].as_u64().unwrap();
    assert!(number(&eth0, "sent") >= 22 && number(&eth0, "received") >= 22, "{eth0}");
    // The copies of what a sent, and none of what b sent.
    let (received, echoes) = (number(&eth0, "received"), number(&eth0, "echoes"));
    assert!(echoes > 0 && received >= echoes + 22, "{eth0}");
    assert!(eth0["addresses"].as_array().unwrap().contains(&json!("10.1.0.1")), "{eth0}");
    assert_eq!(
        (&eth0["mtu"], &eth0["up"], &eth0["joined"]),
        (&json!(1500), &json!(true), &json!(true))
    );
    assert_eq!(eth0["error"], Value::Null);
    let unused = (&eth1["joined"], &eth1["sent"], &eth1["received"], &eth1["error"]);
    assert_eq!(unused, (&json!(false), &json!(0), &json!(0), &Value::Null), "{eth1}");
    assert!(number(&interface(&stats, "lo"), "index") > 0 && number(&eth1, "index") > 0);
    let both = b.stats();
    assert!(number(&interface(&both, "eth1"), "sent") > 0, "b sends on both: {both}");
    // Changes are followed.
    a.ip("link set eth0 mtu 1400");
    b.ip("link set eth0 down");
    let start = Instant::now();
    let changed = |stats: &Value| {
        let eth0 = interface(stats, "eth0");
        eth0["mtu"] == 1400 && eth0["up"] == false
    };
    while !changed(&a.stats()) {
        assert!(start.elapsed() < PATIENCE, "{}", a.stats());
        std::thread::sleep(Duration::from_millis(50));
    }
    a.tell("down".into());
    a.wait("down", PATIENCE, |line| line["ev"] == "closed");
    assert_eq!(a.stats()["interfaces"], json!([]), "a closed network has no interfaces");
}

#[test]
fn an_interface_that_cannot_be_joined_says_why() {
    if !inside("an_interface_that_cannot_be_joined_says_why") {
        return;
    }
    let (mut a, b) = two_hosts();
    cable(&a, &b, "eth0");
    addresses(&a, &b, "eth0", "10.1.0");
    a.write("/proc/sys/net/ipv4/igmp_max_memberships", "0");
    a.up(json!({}));
    let stats = a.stats();
    let (lo, eth0) = (interface(&stats, "lo"), interface(&stats, "eth0"));
    assert_eq!(lo["joined"], false, "{lo}");
    assert_eq!(eth0["joined"], false, "{eth0}");
    let error = eth0["error"].as_str().unwrap();
    assert!(error.contains("cannot join 239.77.1.2 on eth0"), "{error}");
    // Once it can be, the error is gone.
    a.write("/proc/sys/net/ipv4/igmp_max_memberships", "20");
    let start = Instant::now();
    while interface(&a.stats(), "eth0")["joined"] != true {
        assert!(start.elapsed() < PATIENCE, "{}", a.stats());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(interface(&a.stats(), "eth0")["error"], Value::Null);
}

#[test]
fn datagrams_that_the_host_cannot_assemble_are_counted() {
    if !inside("datagrams_that_the_host_cannot_assemble_are_counted") {
        return;
    }
    let (mut a, mut b) = two_hosts_on_a_cable();
    b.write("/proc/sys/net/ipv4/ipfrag_time", "1");
    let failures = |host: &mut Host| host.stats()["reassemblyFailures"].as_u64().unwrap();
    let wait_for = |host: &mut Host, count: u64| {
        let start = Instant::now();
        while failures(host) < count {
            assert!(start.elapsed() < PATIENCE, "{}", host.stats());
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(failures(host), count);
    };
    a.up(json!({}));
    b.up(json!({}));
    assert_eq!(failures(&mut b), 0);
    for number in 0..3 {
        a.tell(format!("fragment 10.1.0.2 {number}"));
    }
    wait_for(&mut b, 3);
    // The counter goes on through down and up, and only what comes later counts for a new node.
    b.tell("down".into());
    b.wait("down", PATIENCE, |line| line["ev"] == "closed");
    assert_eq!(failures(&mut b), 3);
    b.up(json!({}));
    assert_eq!(failures(&mut b), 0);
    a.tell("fragment 10.1.0.2 3".into());
    wait_for(&mut b, 1);
}

/// Sends the first fragment of a datagram, and no other.
fn send_fragment(to: std::net::Ipv4Addr, number: u16) {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).unwrap();
    let mut packet = [0; 20 + 64];
    // IPv4 with a header of 20 bytes; more fragments follow; TTL 1; UDP. The kernel fills in the
    // source, the length and the checksum.
    packet[0] = 0x45;
    packet[4..6].copy_from_slice(&number.to_be_bytes());
    packet[6] = 0x20;
    (packet[8], packet[9]) = (1, 17);
    packet[16..20].copy_from_slice(&to.octets());
    socket.send_to(&packet, &std::net::SocketAddr::from((to, 0)).into()).unwrap();
}

/// Not a test of its own: what runs on the hosts.
#[test]
fn program() {
    if std::env::var_os("CASTER_PROGRAM").is_none() {
        return;
    }
    let tell = |line: Value| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").unwrap();
        out.flush().unwrap();
    };
    let describe = |peer: &caster_core::Peer| {
        let mut text = String::new();
        peer.write_json(&mut text);
        serde_json::from_str::<Value>(&text).unwrap()
    };
    tell(json!({"ev": "started"}));
    let mut node: Option<Node> = None;
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        match (command, &node) {
            ("up", _) => {
                let mut options = Options::for_node();
                options.merge_json(argument).unwrap();
                let up = Node::new(&options).unwrap();
                up.up().unwrap();
                let events = up.event_source();
                std::thread::spawn(move || {
                    while let Ok(event) = events.next_timeout(None) {
                        let name = event.name();
                        match event {
                            Event::Up(peer)
                            | Event::Update { peer, .. }
                            | Event::Down { peer, .. } => {
                                tell(json!({"ev": name, "node": describe(&peer)}));
                            }
                            Event::Message { message, .. } => {
                                let message: Value = message.parse().unwrap();
                                tell(json!({"ev": name, "message": message}));
                            }
                            other => tell(json!({"ev": name, "text": format!("{other:?}")})),
                        }
                    }
                });
                node = Some(up);
                tell(json!({"ev": "ready"}));
            }
            ("send", Some(node)) => {
                let message = caster_core::Message::json(argument).unwrap();
                if let Err(error) = node.send_message(&message) {
                    tell(json!({"ev": "refused", "text": error.to_string()}));
                }
            }
            ("nodes", Some(node)) => {
                let nodes: Vec<Value> = node.nodes().iter().map(describe).collect();
                tell(json!({"ev": "nodes", "nodes": nodes}));
            }
            ("stats", Some(node)) => {
                let stats: Value = serde_json::from_str(&node.stats().to_json()).unwrap();
                tell(json!({"ev": "stats", "stats": stats}));
            }
            ("fragments", _) => {
                let text = std::fs::read_to_string("/proc/net/snmp").unwrap();
                let mut rows = text.lines().filter(|line| line.starts_with("Ip:"));
                let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
                let mut both = names.split(' ').zip(values.split(' '));
                let (_, created) = both.find(|(name, _)| *name == "FragCreates").unwrap();
                tell(json!({"ev": "fragments", "created": created.parse::<u64>().unwrap()}));
            }
            ("spoof", _) => {
                let [from, to, times] = argument.split(' ').collect::<Vec<_>>()[..] else {
                    panic!("{argument}")
                };
                let with_scope = |address: &str| match address.parse().unwrap() {
                    SocketAddr::V6(v6) => {
                        let list = std::fs::read_to_string("/proc/net/if_inet6").unwrap();
                        let line = list.lines().find(|line| line.ends_with("eth0")).unwrap();
                        let index = line.split_whitespace().nth(1).unwrap();
                        let index = u32::from_str_radix(index, 16).unwrap();
                        SocketAddrV6::new(*v6.ip(), v6.port(), 0, index).into()
                    }
                    v4 => v4,
                };
                let socket = UdpSocket::bind(with_scope(from)).unwrap();
                for n in 0..times.parse::<u32>().unwrap() {
                    let data = format!("{from} has no digest {n}");
                    socket.send_to(data.as_bytes(), with_scope(to)).unwrap();
                }
            }
            ("fragment", _) => {
                let (to, number) = argument.split_once(' ').unwrap();
                send_fragment(to.parse().unwrap(), number.parse().unwrap());
            }
            ("down", Some(node)) => match node.down() {
                Ok(()) => tell(json!({"ev": "closed"})),
                Err(error) => tell(json!({"ev": "refused", "text": error.to_string()})),
            },
            (other, _) => panic!("{other}"),
        }
    }
}
