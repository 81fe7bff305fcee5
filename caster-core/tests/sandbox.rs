//! Sandboxes that refuse netlink, by a seccomp filter on the thread of the test: threads that it
//! starts inherit it. In a network namespace; where those are forbidden it says so, and fails in CI.
#![cfg(target_os = "linux")]

#[path = "common/namespace.rs"]
mod namespace;

use caster_core::{DropReason, Event, Node, Options};
use namespace::{inside, ip};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long a test may take, in seconds.
const LIMIT: &str = "60";

static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LOGGED.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// An interface beyond loopback, with an address.
fn lan() {
    ip("link add lan0 type veth peer name lan1");
    ip("link set lan0 up");
    ip("link set lan1 up");
    ip("addr add 10.77.0.1/24 dev lan0");
}

/// The system call `number` fails with EPERM from now on, on this thread and on those that it
/// starts; if an argument is given, by its index and value, only with this one.
fn refuse(number: libc::c_long, argument: Option<(u32, i32)>) {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let end = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // Where struct seccomp_data has the number and the low half of the first argument.
    let (number_at, first_at) = (0, if cfg!(target_endian = "little") { 16 } else { 20 });
    let mut filter = vec![step(load, 0, 0, number_at)];
    match argument {
        Some((index, value)) => filter.extend([
            step(equal, 0, 3, number as u32),
            step(load, 0, 0, first_at + 8 * index),
            step(equal, 0, 1, value as u32),
        ]),
        None => filter.push(step(equal, 0, 1, number as u32)),
    }
    filter.push(step(end, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
    filter.push(step(end, 0, 0, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the filter lives for the length of the call, which copies it.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0);
    }
}

fn refuse_netlink() {
    refuse(libc::SYS_socket, Some((0, libc::AF_NETLINK)));
    // SAFETY: creates a socket, or does not.
    assert_eq!(unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, 0) }, -1);
}

/// The errors that a node tells until this time has passed.
fn errors(node: &Node, time: Duration) -> Vec<String> {
    let end = Instant::now() + time;
    let mut errors = Vec::new();
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if let Ok(Event::Error(error)) = node.next_event(Some(left)) {
            errors.push(error.to_string());
        }
    }
    errors
}

/// The processor time of this process so far.
fn processor_time() -> Duration {
    // SAFETY: a structure of numbers, which the call fills.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        assert_eq!(libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time), 0);
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Two nodes with these options find each other.
fn meet(options: impl Fn() -> Options) {
    let [a, b] = ["a", "b"].map(|id| Node::new(&options().with("id", id)).unwrap());
    a.up().unwrap();
    b.up().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    for (node, other) in [(&a, "b"), (&b, "a")] {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match node.next_event(Some(left)) {
                Ok(Event::Up(peer)) if peer.id == other => break,
                Ok(_) => {}
                Err(error) => panic!("{other} is not heard: {error:?}"),
            }
        }
    }
    a.down().unwrap();
    b.down().unwrap();
}

#[test]
fn nodes_meet_without_netlink() {
    if !inside("nodes_meet_without_netlink") {
        return;
    }
    log::set_logger(&Logger).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    ip("link set lo up");
    lan();
    std::thread::spawn(|| {
        refuse_netlink();
        meet(|| Options::for_node().with("address", "127.0.0.1"));
        meet(|| Options::for_node().with("address", "10.77.0.1"));
        meet(Options::for_node);
        let missing = Options::for_node().with("address", "10.77.0.2");
        assert!(Node::new(&missing).unwrap().up().is_err(), "addresses are known without netlink");
        let logged = LOGGED.lock().unwrap();
        let about = |text: &&String| text.contains("without netlink");
        assert_eq!(logged.iter().filter(about).count(), 1, "{logged:?}");
    })
    .join()
    .unwrap();
}

#[test]
fn nodes_meet_on_a_system_that_lists_nothing() {
    if !inside("nodes_meet_on_a_system_that_lists_nothing") {
        return;
    }
    ip("link set lo up");
    lan();
    ip("route add default dev lan0");
    std::thread::spawn(|| {
        refuse_netlink();
        refuse(libc::SYS_ioctl, None);
        meet(|| Options::for_node().with("address", "127.0.0.1"));
        meet(Options::for_node);
    })
    .join()
    .unwrap();
}

/// A socket filter keeps own messages out. Without it they come back, and have no effect.
#[test]
fn nodes_meet_where_socket_filters_are_refused() {
    if !inside("nodes_meet_where_socket_filters_are_refused") {
        return;
    }
    ip("link set lo up");
    lan();
    std::thread::spawn(|| {
        let options = || Options::for_node().with("address", "127.0.0.1");
        let own = |options: Options| {
            let node = Node::new(&options.with("heartbeat", &60_000)).unwrap();
            node.up().unwrap();
            std::thread::sleep(Duration::from_millis(300));
            let before = node.stats();
            (0..10).for_each(|n| assert!(node.send(&n).unwrap() > 0));
            std::thread::sleep(Duration::from_millis(300));
            let after = node.stats();
            assert_eq!((after.kernel_drops, after.send_errors), (0, 0));
            after.dropped(DropReason::Own) - before.dropped(DropReason::Own)
        };
        assert_eq!(own(options()), 0);
        refuse(libc::SYS_setsockopt, Some((2, libc::SO_ATTACH_FILTER)));
        assert_eq!(own(options()), 10);
        assert_eq!(own(Options::for_node()), 10);
        meet(options);
        meet(Options::for_node);
    })
    .join()
    .unwrap();
}

#[test]
fn nodes_meet_without_calls_for_many_datagrams() {
    if !inside("nodes_meet_without_calls_for_many_datagrams") {
        return;
    }
    ip("link set lo up");
    lan();
    std::thread::spawn(|| {
        refuse(libc::SYS_recvmmsg, None);
        refuse(libc::SYS_sendmmsg, None);
        meet(|| Options::for_node().with("address", "127.0.0.1"));
        meet(Options::for_node);
    })
    .join()
    .unwrap();
}

#[test]
fn a_wait_that_keeps_failing_is_told_once_and_nodes_meet() {
    if !inside("a_wait_that_keeps_failing_is_told_once_and_nodes_meet") {
        return;
    }
    ip("link set lo up");
    std::thread::spawn(|| {
        let options = || Options::for_node().with("address", "127.0.0.1").with("port", &10_301);
        refuse(libc::SYS_epoll_wait, None);
        refuse(libc::SYS_epoll_pwait, None);
        meet(options);
        let node = Node::new(&options()).unwrap();
        node.up().unwrap();
        let before = processor_time();
        let errors = errors(&node, Duration::from_secs(2));
        assert!(processor_time() - before < Duration::from_secs(1), "a busy loop");
        let about = |text: &&String| text.contains("cannot wait for the sockets");
        assert_eq!(errors.iter().filter(about).count(), 1, "{errors:?}");
        node.down().unwrap();
    })
    .join()
    .unwrap();
}

#[test]
fn a_receive_that_keeps_failing_is_told_once_and_takes_no_time() {
    if !inside("a_receive_that_keeps_failing_is_told_once_and_takes_no_time") {
        return;
    }
    ip("link set lo up");
    std::thread::spawn(|| {
        refuse(libc::SYS_recvmmsg, None);
        refuse(libc::SYS_recvmsg, None);
        let node = Node::new(&Options::for_node().with("address", "127.0.0.1")).unwrap();
        node.up().unwrap();
        let before = processor_time();
        let errors = errors(&node, Duration::from_secs(2));
        assert!(processor_time() - before < Duration::from_secs(1), "a busy loop");
        let about = |text: &&String| text.contains("cannot receive");
        assert_eq!(errors.iter().filter(about).count(), 1, "{errors:?}");
        node.down().unwrap();
    })
    .join()
    .unwrap();
}

/// The hints that a node tells until this time has passed.
fn hints(options: Options, time: Duration) -> Vec<String> {
    let node = Node::new(&options).unwrap();
    node.up().unwrap();
    let end = Instant::now() + time;
    let mut hints = Vec::new();
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if let Ok(Event::Hint(text)) = node.next_event(Some(left)) {
            hints.push(text.into());
        }
    }
    node.down().unwrap();
    hints
}

#[test]
fn interfaces_of_containers_and_names_without_interface_are_told() {
    if !inside("interfaces_of_containers_and_names_without_interface_are_told") {
        return;
    }
    ip("link set lo up");
    ip("link add br-lan type veth peer name veth9");
    // No address of its own: it would be named in another hint once that is there.
    ip("link set veth9 addrgenmode none");
    ip("link set br-lan up");
    ip("link set veth9 up");
    ip("addr add 10.78.0.1/24 dev br-lan");
    let containers = hints(Options::for_node(), Duration::from_millis(500));
    let about = |text: &&String| {
        text.contains("interfaces of containers are used") && text.contains("br-lan")
    };
    assert_eq!(containers.iter().filter(about).count(), 1, "{containers:?}");
    let names = Options::for_node().with("interfaces", &["eht0"]).with("port", &10_301);
    let names = hints(names, Duration::from_millis(500));
    let about = |text: &&String| text.contains("\"eht0\" matches no interface; there are");
    assert_eq!(names.iter().filter(about).count(), 1, "{names:?}");
    assert!(names[0].contains("br-lan"), "{names:?}");
}

#[test]
fn the_limit_of_memberships_is_told() {
    if !inside("the_limit_of_memberships_is_told") {
        return;
    }
    ip("link set lo up");
    std::fs::write("/proc/sys/net/ipv4/igmp_max_memberships", "0").unwrap();
    for n in 0..2 {
        ip(&format!("link add lan{n} type veth peer name far{n}"));
        ip(&format!("link set lan{n} up"));
        ip(&format!("link set far{n} up"));
        ip(&format!("addr add 10.79.{n}.1/24 dev lan{n}"));
    }
    let node = Node::new(&Options::for_node().with("interfaces", &["lan*"])).unwrap();
    node.up().unwrap();
    let errors = errors(&node, Duration::from_millis(500));
    let about = |text: &&String| {
        let names = ["lan0", "lan1"].iter().all(|name| text.contains(name));
        names && text.contains("cannot join 224.0.0.42 on") && text.contains("igmp_max_memberships")
    };
    assert_eq!(errors.iter().filter(about).count(), 1, "{errors:?}");
    node.down().unwrap();
}

#[test]
fn nodes_of_a_host_meet_behind_a_firewall_that_drops_what_comes_by_the_lan() {
    const NAME: &str = "nodes_of_a_host_meet_behind_a_firewall_that_drops_what_comes_by_the_lan";
    if !inside(NAME) {
        return;
    }
    ip("link set lo up");
    lan();
    if !firewall("lan0") {
        assert!(std::env::var_os("CI").is_none(), "no nf_tables, and CI skips nothing");
        eprintln!("skipped {NAME}: the kernel has no nf_tables for devices");
        return;
    }
    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "program_behind_a_firewall", "--nocapture", "--test-threads=1"])
        .env("CASTER_PROGRAM", "1")
        .spawn();
    let node = Node::new(&Options::for_node().with("id", "a")).unwrap();
    node.up().unwrap();
    let (mut met, mut told) = (false, false);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !(met && told) && Instant::now() < deadline {
        match node.next_event(Some(Duration::from_millis(100))) {
            Ok(Event::Up(peer)) => met |= peer.id == "b",
            Ok(Event::Hint(text)) => told |= text.contains("by the loopback interface"),
            _ => {}
        }
    }
    assert!(met, "the other program is not heard");
    assert!(told, "there is no hint");
    assert!(other.unwrap().wait().unwrap().success(), "the other program hears nothing");
}

/// Drops what arrives by this interface: a chain of nf_tables with the policy to drop, made by netlink,
/// as the tool for it may be missing. Returns whether the system can do that.
fn firewall(interface: &str) -> bool {
    const NF_TABLES: u16 = 10 << 8;
    const NETDEV: u8 = 5;
    let attribute = |kind: u16, value: &[u8]| {
        let length = (4 + value.len() as u16).to_ne_bytes();
        let mut bytes = [&length[..], &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let text = |kind, value: &str| attribute(kind, format!("{value}\0").as_bytes());
    let number = |kind, value: u32| attribute(kind, &value.to_be_bytes());
    let message = |kind: u16, family: u8, subsystem: u16, attributes: &[u8]| {
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_CREATE) as u16;
        let length = (20 + attributes.len() as u32).to_ne_bytes();
        let header = [&length[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8]].concat();
        let of = [&[family, 0][..], &subsystem.to_be_bytes()].concat();
        [&header[..], &of, attributes].concat()
    };
    let hook = [number(1, 0), number(2, 0), text(3, interface)].concat();
    let chain = [text(1, "t"), text(3, "c"), attribute(4 | 1 << 15, &hook), number(5, 0)].concat();
    let batch = [
        message(16, 0, 10, &[]),
        message(NF_TABLES, NETDEV, 0, &text(1, "t")),
        message(NF_TABLES | 3, NETDEV, 0, &[chain, text(7, "filter")].concat()),
        message(17, 0, 10, &[]),
    ]
    .concat();
    // SAFETY: plain system calls; the buffers live for their length.
    unsafe {
        let socket = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER);
        let sent = libc::send(socket, batch.as_ptr().cast(), batch.len(), 0);
        // An error would be there by now; nothing is success.
        let mut answer = [0u8; 64];
        let failed =
            libc::recv(socket, answer.as_mut_ptr().cast(), answer.len(), libc::MSG_DONTWAIT) > 0;
        libc::close(socket);
        sent == batch.len() as isize && !failed
    }
}

#[test]
fn program_behind_a_firewall() {
    if std::env::var_os("CASTER_PROGRAM").is_none() {
        return;
    }
    let node = Node::new(&Options::for_node().with("id", "b")).unwrap();
    node.up().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let heard = || match node.next_event(Some(Duration::from_millis(100))) {
        Ok(Event::Up(peer)) => peer.id == "a",
        _ => false,
    };
    while !heard() {
        assert!(Instant::now() < deadline, "a is not heard");
    }
    // The other one is told of a hint after three seconds.
    std::thread::sleep(Duration::from_secs(4));
    node.down().unwrap();
}
