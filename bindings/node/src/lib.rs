//! The native half of the npm package `caster`: thin handles over `caster_core`.
//!
//! JavaScript gives and gets JSON text and bytes; `lib/` makes objects, events and callbacks of
//! them. Every function contains panics, and no JavaScript runs on the threads of the core: a
//! waker without payload asks the event loop to come and `drain`.

#![allow(missing_docs, reason = "what is exported is described in index.d.ts")]

mod caster;
mod convert;
mod events;
mod middleware;
mod node;

use napi_derive::napi;

/// The version of the core.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    caster_core::VERSION
}
