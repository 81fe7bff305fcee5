//! `NativeTransit`.

use crate::convert::{Given, message};
use caster_core::host::Transit;
use napi_derive::napi;

/// A message on which JavaScript has to run its chain of middleware.
#[napi]
pub struct NativeTransit(Option<Box<Transit>>);

impl NativeTransit {
    pub fn new(transit: Box<Transit>) -> Self {
        Self(Some(transit))
    }

    /// Takes the message out. Fails the second time.
    pub fn take(&mut self) -> napi::Result<Box<Transit>> {
        self.0
            .take()
            .ok_or_else(|| napi::Error::from_reason("the message has already been resumed"))
    }

    /// Takes the message out with what the chain has made of it.
    pub fn take_with(&mut self, given: Given<'_>) -> napi::Result<Box<Transit>> {
        let mut transit = self.take()?;
        transit.set_message(message(given));
        Ok(transit)
    }
}

#[napi]
impl NativeTransit {
    /// Drops the message if it has not been resumed.
    #[napi(catch_unwind)]
    pub fn discard(&mut self) {
        self.0 = None;
    }

    /// The message as JSON text. Null if it is bytes or has been resumed.
    #[napi(getter, catch_unwind)]
    pub fn json(&self) -> Option<&str> {
        self.0.as_ref()?.message().as_json()
    }
}
