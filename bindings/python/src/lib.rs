//! The extension module `caster._caster`: the core's handles for the Python package `caster`.
//!
//! It moves values between the two and holds no rules: options go to the core as they were given,
//! JSON crosses as text, events come out as objects of the classes in `events`. The threads of the
//! core never touch the interpreter; whoever wants events takes them from the
//! queue with [`Handle::take`].

mod convert;
mod events;
mod handle;
mod log;
mod stage;

use pyo3::prelude::*;

#[pymodule]
mod _caster {
    #[pymodule_export]
    use super::events::{
        Conflict, Datagram, Down, ErrorEvent, Hint, Isolated, Message, Peer, PeerAddress, Rejoined,
        Remote, Up, Update,
    };
    #[pymodule_export]
    use super::handle::{Handle, Network, end, fault, goodbye_pauses, option_table};
    #[pymodule_export]
    use super::log::{log_after_fork, log_fileno, log_start, log_take};
    #[pymodule_export]
    use super::stage::{Stage, Transit};

    /// The version of the core, as in `0.2.0`.
    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = caster_core::VERSION;
}
