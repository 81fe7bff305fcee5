//! Handles in a forked child: every operation says so, nothing hangs, the parent notices nothing.
#![cfg(unix)]

#[cfg(target_os = "linux")]
#[path = "common/namespace.rs"]
mod namespace;

#[cfg(target_os = "linux")]
use caster_core::Key;
use caster_core::{Caster, Error, ErrorCode, Event, Message, NoEvent, Node, Options};
#[cfg(target_os = "linux")]
use std::collections::HashSet;
use std::time::Duration;

/// How long a test in a namespace may take, in seconds.
#[cfg(target_os = "linux")]
const LIMIT: &str = "60";

const WAIT: Option<Duration> = Some(Duration::from_secs(10));

/// Runs `check` in a forked child and returns whether it says true there. A child that hangs is
/// killed by its alarm and counts as false.
fn in_child(check: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs `check` only and exits without running destructors of the test.
    unsafe {
        match libc::fork() {
            0 => {
                libc::alarm(10);
                let ok = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
                libc::_exit(i32::from(!ok.unwrap_or(false)));
            }
            child => {
                assert!(child > 0, "fork failed");
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
            }
        }
    }
}

fn forked<T>(result: Result<T, Error>) -> bool {
    result.is_err_and(|error| error.code() == ErrorCode::Forked)
}

/// A port for each test and process, so that tests do not hear each other.
fn port(test: u16) -> u16 {
    22_000 + (std::process::id() % 5_000) as u16 * 2 + test
}

fn options(id: &str, port: u16) -> Options {
    Options::for_node().with("address", "127.0.0.1").with("port", &port).with("id", id)
}

#[test]
fn a_child_gets_the_error_from_every_operation_and_the_parent_goes_on() {
    let (a, b) =
        (Node::new(&options("a", port(0))).unwrap(), Node::new(&options("b", port(0))).unwrap());
    a.up().unwrap();
    b.up().unwrap();
    while !matches!(b.next_event(WAIT).unwrap(), Event::Up(_)) {}
    let mut a = Some(a);
    assert!(in_child(|| {
        let node = a.take().unwrap();
        let source = node.event_source();
        let stage = caster_core::middleware::Json::new();
        let all = forked(node.send(&1))
            && forked(node.send_batch(&[Message::from_value(&1).unwrap()]))
            && forked(node.up())
            && forked(node.down())
            && forked(node.start_down())
            && forked(node.set_meta(&1))
            && forked(node.use_stage(stage))
            && !node.is_up()
            && node.nodes().is_empty()
            && node.meta_json().as_ref() == "null"
            && node.stage_names().is_empty()
            && node.next_event(None).is_err_and(|why| why == NoEvent::Forked)
            && source.next_timeout(None).is_err_and(|why| why == NoEvent::Forked)
            && source.next_transit(None).is_err_and(|why| why == NoEvent::Forked)
            && source.try_next().is_none()
            && source.raw_fd().is_err()
            && !source.is_open();
        let _ = node.stats();
        drop(node);
        drop(source);
        all
    }));
    let a = a.unwrap();
    a.send("still here").unwrap();
    loop {
        match b.next_event(WAIT).unwrap() {
            Event::Down { .. } => panic!("the child has said that its parent leaves"),
            Event::Message { .. } => break,
            _ => {}
        }
    }
}

#[test]
fn a_child_opens_the_same_network_with_handles_of_its_own() {
    let port = port(1);
    let caster =
        Caster::new(&Options::for_caster().with("address", "127.0.0.1").with("port", &port));
    let caster = caster.unwrap();
    caster.bind().unwrap();
    assert!(in_child(|| {
        let node = Node::new(&options("child", port)).unwrap();
        let sent = node.up().and_then(|()| node.send("hello")).is_ok();
        forked(caster.send_bytes(b"x")) && forked(caster.close()) && sent && node.down().is_ok()
    }));
    assert!(caster.is_bound());
    assert!(matches!(caster.next_event(WAIT), Ok(Event::Datagram { .. })));
    caster.close().unwrap();
}

/// Ends the calling process if it fails, so that it counts as false in [`in_child`].
#[cfg(target_os = "linux")]
fn in_new_pid_namespace() {
    // SAFETY: it only changes where the children of this process are.
    let made = unsafe { libc::unshare(libc::CLONE_NEWPID) };
    assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
}

/// Parent and child have the process id 1, each in a namespace of its own, and the same key.
#[cfg(target_os = "linux")]
#[test]
fn a_child_with_the_process_id_of_its_parent_repeats_no_nonce() {
    if !namespace::inside("a_child_with_the_process_id_of_its_parent_repeats_no_nonce") {
        return;
    }
    namespace::ip("link set lo up");
    let recorder = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    recorder.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let key = Key::generate().unwrap();
    let seed = recorder.local_addr().unwrap().to_string();
    let up = |id: &str| {
        let options = options(id, port(2)).with("seeds", &[&seed]).keys([key.clone()]);
        let node = Node::new(&options).unwrap();
        node.up().unwrap();
        node
    };
    assert!(in_child(|| {
        in_new_pid_namespace();
        in_child(|| {
            let parent = up("parent");
            in_new_pid_namespace();
            let child = in_child(|| {
                let is_first = std::process::id() == 1;
                is_first && forked(parent.send(&1)) && up("child").down().is_ok()
            });
            std::process::id() == 1 && child && parent.down().is_ok()
        })
    }));
    let (mut nonces, mut senders, mut frames) = (HashSet::new(), HashSet::new(), 0);
    let mut frame = [0; 2000];
    while let Ok(length) = recorder.recv(&mut frame) {
        assert!(length > 56 && frame.starts_with(&[0xCA, 0x57, 0, 1]));
        // The sender, of which the key of the cipher is made, and the nonce.
        nonces.insert(frame[16..40].to_vec());
        senders.insert(frame[16..28].to_vec());
        frames += 1;
    }
    assert_eq!(senders.len(), 2, "{frames} frames");
    assert_eq!(nonces.len(), frames);
}
