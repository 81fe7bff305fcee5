//! The extension module `caster._caster`: the core's handles for the Python package `caster`.
//!
//! It converts values and holds no protocol rules: options go to the core as they were given, JSON
//! crosses as text, events are delivered as objects of the classes in `records`. The threads of the
//! core never touch the interpreter; Python's threads take events from the queue with
//! [`handle::Handle`].

mod convert;
mod events;
mod handle;
mod interpreter;
mod log;
mod network;
mod records;
mod signal;
mod stage;
mod text;
mod transit;

use pyo3::prelude::*;
use std::time::Duration;

/// Ends all work without the GIL before the interpreter ends, and waits for up to `seconds` until it
/// has ended. All handles have to be closed before.
#[pyfunction]
fn end(py: Python<'_>, seconds: f64) {
    interpreter::begin_end();
    log::wake();
    interpreter::wait(py, Duration::from_secs_f64(seconds.clamp(0.0, 10.0)));
}

#[pymodule]
mod _caster {
    use pyo3::exceptions::PyImportError;
    use pyo3::ffi::{PyInterpreterState_Get, PyInterpreterState_GetID};
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::handle::{Handle, fault, generate_identity, generate_key, option_table, public_key};
    #[pymodule_export]
    use super::log::{log_after_fork, log_fileno, log_start, log_take};
    #[pymodule_export]
    use super::network::Network;
    #[pymodule_export]
    use super::records::{
        Conflict, Datagram, Down, ErrorEvent, Hint, Isolated, Message, Peer, PeerAddress, Rejoined,
        Remote, Settled, Up, Update,
    };
    #[pymodule_export]
    use super::stage::Stage;
    #[pymodule_export]
    use super::transit::Transit;

    #[pymodule_export]
    use super::end;

    /// Refuses subinterpreters, as Python itself does from 3.12 on: the end of one would be the end for all.
    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        // SAFETY: a thread that imports a module is attached to an interpreter.
        let number = unsafe { PyInterpreterState_GetID(PyInterpreterState_Get()) };
        match number {
            0 => Ok(()),
            _ => Err(PyImportError::new_err(
                "module caster._caster does not support loading in subinterpreters",
            )),
        }
    }

    /// The version of the core, as in `0.2.0`.
    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = caster_core::VERSION;
}
