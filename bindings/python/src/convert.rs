//! Values of the core as Python objects.

use caster_core::host::written_json;
use caster_core::{Error, Message, MessageKind};
use pyo3::exceptions::{PyRecursionError, PyStopIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString};

/// The exception for an error of the core: an object of one of the classes in `caster.errors`.
pub fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let (code, text) = (error.code().name(), error.message());
    py.import("caster.errors")?.call_method1("from_core", (code, text, error.os_error()))
}

/// An error of the core, to be raised.
pub fn failed(py: Python<'_>, error: &Error) -> PyErr {
    match exception(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// A message from Python: JSON text (`str`) or bytes.
#[derive(FromPyObject)]
pub enum Payload {
    /// JSON text.
    Json(String),
    /// Anything else.
    Bytes(PyBackedBytes),
}

impl Payload {
    /// JSON text is trusted: Python's own serializer has written it.
    pub fn into_message(self) -> Message {
        match self {
            Payload::Json(text) => written_json(text),
            Payload::Bytes(bytes) => Message::bytes(&*bytes),
        }
    }

    /// A message of the core: `str` for JSON text, or `bytes`.
    pub fn to_python<'py>(py: Python<'py>, message: &Message) -> PyResult<Bound<'py, PyAny>> {
        Ok(match message.kind() {
            MessageKind::Json => PyString::from_bytes(py, message.data())?.into_any(),
            MessageKind::Bytes => PyBytes::new(py, message.data()).into_any(),
        })
    }
}

/// The value of a JSON text, or the reason why Python cannot read it: it refuses integers of
/// thousands of digits and deep nesting.
pub fn json_value<'py>(
    py: Python<'py>,
    text: &[u8],
) -> PyResult<Result<Bound<'py, PyAny>, String>> {
    static SCAN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let text = text.trim_ascii();
    if let [b'"', inner @ .., b'"'] = text
        && !inner.contains(&b'\\')
    {
        return Ok(Ok(PyString::from_bytes(py, inner)?.into_any()));
    }
    // json.loads calls this after it has skipped spaces and checked for a byte order mark.
    let scan = SCAN.get_or_try_init(py, || {
        let decoder = py.import("json")?.getattr("JSONDecoder")?.call0()?;
        decoder.getattr("scan_once").map(Bound::unbind)
    })?;
    match scan.bind(py).call1((PyString::from_bytes(py, text)?, 0)) {
        Ok(pair) => Ok(Ok(pair.get_item(0)?)),
        Err(error)
            if error.is_instance_of::<PyValueError>(py)
                || error.is_instance_of::<PyStopIteration>(py)
                || error.is_instance_of::<PyRecursionError>(py) =>
        {
            Ok(Err(error.value(py).str()?.to_string_lossy().into_owned()))
        }
        Err(error) => Err(error),
    }
}

/// Bytes, or the value of a JSON text.
pub fn payload_value<'py>(
    py: Python<'py>,
    message: &Message,
) -> PyResult<Result<Bound<'py, PyAny>, String>> {
    match message.kind() {
        MessageKind::Json => json_value(py, message.data()),
        MessageKind::Bytes => Ok(Ok(PyBytes::new(py, message.data()).into_any())),
    }
}
