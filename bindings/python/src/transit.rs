//! Messages that are suspended at a middleware written in Python.

use crate::convert::Payload;
use crate::records::Remote;
use caster_core::Message;
use caster_core::host::{self, Direction, Progress};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A message that is suspended at a middleware written in Python.
#[pyclass(frozen, module = "caster._caster")]
pub struct Transit(Mutex<Option<Box<host::Transit>>>);

impl Transit {
    pub fn new(transit: Box<host::Transit>) -> Self {
        Self(Mutex::new(Some(transit)))
    }

    fn slot(&self) -> MutexGuard<'_, Option<Box<host::Transit>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<R>(&self, read: impl FnOnce(&host::Transit) -> R) -> PyResult<R> {
        self.slot().as_deref().map(read).ok_or_else(spent)
    }

    /// Takes the message out, to resume it.
    pub fn take(&self) -> PyResult<Box<host::Transit>> {
        self.slot().take().ok_or_else(spent)
    }
}

fn spent() -> PyErr {
    PyRuntimeError::new_err("this message has already been resumed")
}

#[pymethods]
impl Transit {
    #[getter]
    fn token(&self) -> PyResult<u64> {
        self.read(|transit| transit.stage().token)
    }

    #[getter]
    fn outgoing(&self) -> PyResult<bool> {
        self.read(|transit| transit.direction() == Direction::Tx)
    }

    #[getter]
    fn message<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let message: Message = self.read(|transit| transit.message().clone())?;
        Payload::to_python(py, &message)
    }

    #[getter]
    fn remote(&self) -> PyResult<Option<Remote>> {
        Ok(self.read(|transit| transit.remote().copied())?.map(Remote::of))
    }
}

/// The number of bytes sent, or the suspended message.
pub fn progress(py: Python<'_>, progress: Progress) -> PyResult<Bound<'_, PyAny>> {
    match progress {
        Progress::Done(bytes) => Ok(bytes.into_pyobject(py)?.into_any()),
        Progress::Host(transit) => Ok(Bound::new(py, Transit::new(transit))?.into_any()),
    }
}
