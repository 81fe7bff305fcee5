//! System calls: interfaces, and datagrams in batches.

#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "linux.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "one_by_one.rs")]
pub(super) mod batch;
#[cfg_attr(
    any(target_os = "linux", target_os = "android", target_vendor = "apple"),
    path = "unix.rs"
)]
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android", target_vendor = "apple")),
    path = "fallback.rs"
)]
pub(super) mod calls;
#[cfg_attr(not(target_os = "linux"), path = "no_filter.rs")]
pub(super) mod filter;
pub(super) mod found;
#[cfg(unix)]
mod getifaddrs;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod netdevice;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod snmp;
#[cfg_attr(target_os = "linux", path = "netlink.rs")]
#[cfg_attr(target_os = "android", path = "unwatched.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "netwatcher.rs")]
pub(super) mod watch;
