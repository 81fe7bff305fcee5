//! Sandboxes that refuse netlink, by a seccomp filter on the thread of the test: threads that it
//! starts inherit it. In a network namespace; where those are forbidden it says so, and fails in CI.
#![cfg(target_os = "linux")]

use caster_core::{DropReason, Event, Node, Options};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

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

/// Runs a test again in a namespace of its own. Returns whether this is it.
fn inside(name: &str) -> bool {
    if std::env::var_os("CASTER_NAMESPACE").is_some() {
        return true;
    }
    let possible = Command::new("unshare").args(["-rn", "ip", "link"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "no network namespaces, and CI skips nothing");
        eprintln!("skipped {name}: unshare -rn or ip does not work here");
        return false;
    }
    let status = Command::new("timeout")
        .args(["60", "unshare", "-rn"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("CASTER_NAMESPACE", "1")
        .status();
    assert!(status.unwrap().success(), "{name} failed");
    false
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
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
