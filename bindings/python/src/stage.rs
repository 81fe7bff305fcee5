//! Stages of a pipeline: the built-in ones, and messages that have stopped at one of Python's.

use crate::convert::{Payload, failed};
use crate::events::Remote;
use caster_core::host::{self, Direction};
use caster_core::middleware::{self, CryptoOptions, HashEra, HashOptions};
use caster_core::{JsText, Message};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A built-in middleware.
#[pyclass(frozen, module = "caster._caster")]
pub struct Stage(middleware::Stage);

impl Stage {
    pub fn inner(&self) -> &middleware::Stage {
        &self.0
    }
}

#[pymethods]
impl Stage {
    #[staticmethod]
    fn json() -> Self {
        Self(middleware::Json::new().into())
    }

    #[staticmethod]
    fn hash(
        py: Python<'_>,
        secret: Option<Text>,
        algorithm: Option<String>,
        era: Option<&str>,
    ) -> PyResult<Self> {
        let era = era.map_or(Ok(HashEra::default()), str::parse);
        let options = |era| HashOptions {
            secret: secret.unwrap_or_default().0,
            algorithm: algorithm.unwrap_or_default(),
            era,
        };
        let hash = era.and_then(|era| middleware::Hash::new(&options(era)));
        hash.map(|hash| Self(hash.into())).map_err(|error| failed(py, &error))
    }

    #[staticmethod]
    fn crypto(py: Python<'_>, key: Option<Text>, algorithm: Option<String>) -> PyResult<Self> {
        let options = CryptoOptions {
            key: key.unwrap_or_default().0,
            algorithm: algorithm.unwrap_or_default(),
        };
        let crypto = middleware::Crypto::new(&options);
        crypto.map(|crypto| Self(crypto.into())).map_err(|error| failed(py, &error))
    }

    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    fn __repr__(&self) -> String {
        format!("<caster.middleware.{}>", self.0.name())
    }
}

/// A secret or key: text with all its UTF-16 units, or bytes.
#[derive(Default)]
pub struct Text(pub JsText);

impl<'py> FromPyObject<'_, 'py> for Text {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = value.extract::<&[u8]>() {
            return Ok(Self(JsText::from_latin1(bytes)));
        }
        let text = value
            .cast::<PyString>()
            .map_err(|_| PyTypeError::new_err("a secret or key has to be str or bytes"))?;
        Self::of(&text)
    }
}

impl Text {
    /// All its UTF-16 units, lone surrogates among them.
    pub fn of(text: &Bound<'_, PyString>) -> PyResult<Self> {
        let utf16 = text.call_method1("encode", ("utf-16-le", "surrogatepass"))?;
        let units = utf16.extract::<&[u8]>()?.chunks_exact(2);
        let units: Vec<u16> = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        Ok(Self(JsText::from_utf16(units)))
    }
}

/// A message that has stopped at a middleware written in Python.
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

    /// Takes it out, to go on its way.
    pub fn take(&self) -> PyResult<Box<host::Transit>> {
        self.slot().take().ok_or_else(spent)
    }
}

fn spent() -> PyErr {
    PyRuntimeError::new_err("this message has already gone on")
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
