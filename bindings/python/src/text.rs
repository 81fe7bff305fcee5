//! Text with all its UTF-16 units.

use caster_core::JsText;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

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
