//! A network namespace for a test, and its interfaces.

use super::LIMIT;
use std::process::Command;

/// Runs a test again in a namespace of its own. Returns whether this is it.
pub fn inside(name: &str) -> bool {
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
        .args([LIMIT, "unshare", "-rn"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("CASTER_NAMESPACE", "1")
        .status();
    assert!(status.unwrap().success(), "{name} failed");
    false
}

pub fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
}
