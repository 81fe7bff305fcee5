//! The C ABI of Caster. The header `include/caster.h` is generated from these files and is its
//! documentation; the comments on exported functions are written for it.
//!
//! Rules for every exported function:
//!
//! * a panic does not leave it: it returns `CASTER_ERR_INTERNAL` (or NULL, or 0);
//! * a pointer that must not be NULL and is gives `CASTER_ERR_INVALID_ARGUMENT`;
//! * outputs are written only when it returns `CASTER_OK`;
//! * a drop hook that it was given runs exactly once, for every result.

#![allow(clippy::missing_safety_doc, reason = "the rules for callers are those of the header")]

use std::sync::atomic;

mod args;
mod callback;
mod dispatch;
mod handle;
mod slot;
mod source;
mod table;
mod text;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

// In the order of the header.
pub mod status;

pub mod logging;

pub mod options;

pub mod peer;

pub mod event;

pub mod stats;

pub mod node;

pub mod caster;

pub mod middleware;

pub mod network;
