//! Shared by the tests on real sockets.

use caster_core::Options;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A group and port of its own for each test, so that tests do not hear each other.
pub fn private_network(options: Options) -> (Options, Ipv4Addr, u16) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed) + (std::process::id() << 6);
    let group = Ipv4Addr::from(0xEF00_0000 | (n.wrapping_mul(2_654_435_761) >> 8));
    let port = 22_000 + (n.wrapping_mul(40_503) % 10_000) as u16;
    let options = options
        .with("address", "127.0.0.1")
        .with("multicast", &group.to_string())
        .with("port", &port);
    (options, group, port)
}

pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come true in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
