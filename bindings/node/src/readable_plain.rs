//! The interface of `readable.rs` on systems where event loops do not receive by themselves.

use caster_core::host::EventSource;
use napi::bindgen_prelude::{Env, FunctionRef};
use std::rc::Rc;

pub enum Readable {}

impl Readable {
    pub fn new(
        _env: &Env,
        _source: &EventSource,
        _wanted: Box<dyn Fn() -> bool>,
        _function: Rc<FunctionRef<(), ()>>,
    ) -> Option<Self> {
        None
    }

    pub fn start(&self) -> bool {
        match *self {}
    }

    pub fn stop(&self) {}
}
