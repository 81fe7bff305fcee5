//! `crypto` in a build without the feature `legacy-ciphers`: it can be named and not be made.

use super::stage::{Middleware, Reject};
use crate::error::{Error, ErrorCode, Result};
use crate::jstext::JsText;
use crate::message::{Message, Remote};

/// The default key: it is in the source of caster 0.1.1.
pub const DEFAULT_KEY: &str = "09dfDim3ZqzXvfkun6";

/// The algorithms by their first name: none in this build.
pub const ALGORITHMS: &[&str] = &[];

/// How to make the middleware `crypto`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CryptoOptions {
    /// The key text.
    pub key: JsText,
    /// The algorithm.
    pub algorithm: String,
}

/// The middleware `crypto`, of which there is none in this build.
#[derive(Debug)]
pub enum Crypto {}

impl Crypto {
    /// Fails.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`]: it needs the feature `legacy-ciphers`.
    pub fn new(_options: &CryptoOptions) -> Result<Self> {
        Err(absent())
    }
}

fn absent() -> Error {
    let text = "this build has no encryption of caster 0.1.1: it needs the feature legacy-ciphers";
    Error::new(ErrorCode::InvalidOption, text)
}

pub(crate) const MAX_PADDING: usize = 16;

impl Middleware for Crypto {
    fn name(&self) -> &str {
        match *self {}
    }

    fn tx(&self, _message: &mut Message) -> Result<(), Error> {
        match *self {}
    }

    fn rx(&self, _message: &mut Message, _from: &Remote) -> Result<(), Reject> {
        match *self {}
    }
}

/// Fails.
///
/// # Errors
/// [`ErrorCode::InvalidOption`]: it needs the feature `legacy-ciphers`.
pub fn find_algorithm(_name: &str) -> Result<&'static str> {
    Err(absent())
}
