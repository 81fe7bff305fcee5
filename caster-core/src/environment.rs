//! The environment of the process.

use std::ffi::OsString;

/// A variable of the environment. `None` in programs that run with more rights than the user that has
/// started them: there the environment is not to be trusted.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    if has_more_rights() { None } else { std::env::var_os(name) }
}

/// Whether the program is setuid or setgid, or has gained rights when it was started in another way.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn has_more_rights() -> bool {
    // SAFETY: reads a number that the kernel has given to the process.
    unsafe { nix::libc::getauxval(nix::libc::AT_SECURE) != 0 }
}

/// Whether the program is setuid or setgid.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn has_more_rights() -> bool {
    // SAFETY: reads a flag of the process.
    unsafe { nix::libc::issetugid() != 0 }
}

#[cfg(not(unix))]
fn has_more_rights() -> bool {
    false
}
