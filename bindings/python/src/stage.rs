//! The built-in stages of a pipeline.

use crate::convert::failed;
use crate::text::Text;
use caster_core::middleware::{self, CryptoOptions, HashEra, HashOptions};
use pyo3::prelude::*;

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
