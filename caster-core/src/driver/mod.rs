//! Sockets, threads and clocks: the connection of a protocol to the system.

pub(crate) mod arrivals;
pub(crate) mod backlog;
pub(crate) mod clock;
pub(crate) mod coalesce;
pub(crate) mod dedup;
pub(crate) mod endpoint;
#[cfg(unix)]
pub(crate) mod events_fd;
pub(crate) mod failures;
pub(crate) mod fork;
pub(crate) mod handover;
pub(crate) mod hints;
pub(crate) mod hub;
pub(crate) mod interfaces;
pub(crate) mod link;
pub(crate) mod port_probe;
pub(crate) mod private_port;
#[cfg_attr(not(target_os = "linux"), path = "processes_unseen.rs")]
pub(crate) mod processes;
pub(crate) mod protocol;
pub(crate) mod queue;
pub(crate) mod reader;
pub(crate) mod seeds;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod subscription;
pub(crate) mod surroundings;
pub(crate) mod sys;
pub(crate) mod thread;
pub(crate) mod transmit;
