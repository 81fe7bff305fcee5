//! The native half of the npm package `caster`: thin handles over `caster_core`.
//!
//! JSON texts and bytes cross between Rust and JavaScript; `lib/` turns them into objects, events and
//! callbacks. Every exported function contains panics. No JavaScript runs on a thread of the core: a
//! waker without payload makes the event loop call `drain`.

#![allow(missing_docs, reason = "what is exported is described in index.d.ts")]
#![cfg_attr(test, allow(dead_code, reason = "nothing is exported to a test harness"))]

mod caster;
mod convert;
mod events;
mod handle;
mod middleware;
mod network;
mod node;
#[cfg_attr(not(target_os = "linux"), path = "readable_plain.rs")]
mod readable;
mod transit;

use caster_core::{Error, ErrorCode, Key};
use convert::thrown;
use napi::bindgen_prelude::{Buffer, Env};
use napi_derive::napi;

/// The version of the core.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    caster_core::VERSION
}

/// The names of all options of a node or a caster. A test compares index.d.ts with them.
#[napi(catch_unwind)]
pub fn option_names(caster: bool) -> Vec<&'static str> {
    let rows = caster_core::options::TABLE.iter().filter(|spec| spec.caster || !caster);
    rows.map(|spec| spec.name).collect()
}

/// The text of an error about one message of a batch, by its index from 0.
#[napi(catch_unwind)]
pub fn text_in_batch(index: u32, text: String) -> String {
    Error::new(ErrorCode::InvalidArgument, text).in_batch(index as usize).message().to_owned()
}

/// A new key of 32 random bytes.
#[napi(catch_unwind)]
pub fn generate_key(env: Env) -> napi::Result<Buffer> {
    let key = Key::generate().map_err(|error| thrown(&env, &error))?;
    Ok(key.as_bytes().to_vec().into())
}

/// The seed of a new identity: 32 random bytes.
#[napi(catch_unwind)]
pub fn generate_identity(env: Env) -> napi::Result<Buffer> {
    generate_key(env)
}

/// The public key of an identity, as 64 hexadecimal digits.
#[napi(catch_unwind)]
pub fn public_key(env: Env, seed: convert::GivenKey<'_>) -> napi::Result<String> {
    let identity = convert::identity(&seed).map_err(|error| thrown(&env, &error))?;
    Ok(identity.public_key().to_string())
}

/// Throws the error of an operation that needs a node to be up.
#[napi(catch_unwind)]
pub fn fail_not_up(env: Env) -> napi::Result<()> {
    Err(thrown(&env, &Error::not_up()))
}
