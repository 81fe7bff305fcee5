//! `Network`: a network in memory.

use crate::convert::failed;
use crate::interpreter::outside;
use crate::text::Text;
use caster_core::{NodeId, VirtualNetwork};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::time::Duration;

/// A network in memory with a clock of its own.
#[pyclass(frozen, module = "caster._caster")]
pub struct Network(pub VirtualNetwork);

fn seconds(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        PyValueError::new_err(format!("give seconds, a number that is not negative, not {seconds}"))
    })
}

fn share(share: f64) -> PyResult<f64> {
    match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => Err(PyValueError::new_err(format!("give a share from 0 to 1, not {share}"))),
    }
}

#[pymethods]
impl Network {
    #[new]
    fn new(seed: u64) -> Self {
        Self(VirtualNetwork::new(seed))
    }

    fn advance(&self, py: Python<'_>, time: f64) -> PyResult<()> {
        let mut left = seconds(time)?;
        // In pieces, for the sake of Ctrl-C.
        while !left.is_zero() {
            let slice = left.min(Duration::from_secs(1));
            outside(py, || self.0.advance(slice));
            left -= slice;
            py.check_signals()?;
        }
        Ok(())
    }

    #[getter]
    fn now(&self) -> f64 {
        self.0.now().as_secs_f64()
    }

    fn set_loss(&self, loss: f64) -> PyResult<()> {
        self.0.set_loss(share(loss)?);
        Ok(())
    }

    fn set_duplicates(&self, duplicates: f64) -> PyResult<()> {
        self.0.set_duplicates(share(duplicates)?);
        Ok(())
    }

    fn set_delay(&self, most: f64) -> PyResult<()> {
        self.0.set_delay(seconds(most)?);
        Ok(())
    }

    fn unplug(&self, py: Python<'_>, id: &Bound<'_, PyString>) -> PyResult<()> {
        let id = NodeId::from_js(&Text::of(id)?.0);
        id.and_then(|id| self.0.unplug(&id)).map_err(|error| failed(py, &error))
    }

    fn plug(&self, py: Python<'_>, id: &Bound<'_, PyString>) -> PyResult<()> {
        let id = NodeId::from_js(&Text::of(id)?.0);
        id.and_then(|id| self.0.plug(&id)).map_err(|error| failed(py, &error))
    }
}
