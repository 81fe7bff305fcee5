//! The native half of the npm package `caster`: thin handles over `caster_core`.
//!
//! JavaScript gives and gets JSON text and bytes; `lib/` makes objects, events and callbacks of
//! them. Every function contains panics, and no JavaScript runs on the threads of the core: a
//! waker without payload asks the event loop to come and `drain`.

#![allow(missing_docs, reason = "what is exported is described in index.d.ts")]
#![cfg_attr(test, allow(dead_code, reason = "nothing is exported to a test harness"))]

mod caster;
mod convert;
mod events;
mod middleware;
mod network;
mod node;
#[cfg_attr(not(target_os = "linux"), path = "readable_plain.rs")]
mod readable;

use napi_derive::napi;

/// The version of the core.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    caster_core::VERSION
}

/// The names of all options of a node or a caster: what index.d.ts is compared with.
#[napi(catch_unwind)]
pub fn option_names(caster: bool) -> Vec<&'static str> {
    let rows = caster_core::options::TABLE.iter().filter(|spec| spec.caster || !caster);
    rows.map(|spec| spec.name).collect()
}
