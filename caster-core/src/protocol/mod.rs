//! The protocol as a pure state machine: no socket, no clock, no thread.

#![forbid(unsafe_code)]

pub(crate) mod budget;
pub(crate) mod challenge;
pub(crate) mod claims;
pub(crate) mod destination;
pub(crate) mod engine;
pub(crate) mod envelope;
pub(crate) mod event;
mod event_fields;
pub(crate) mod foreign;
mod index;
pub(crate) mod isolation;
pub(crate) mod known_sources;
pub(crate) mod limits;
pub(crate) mod membership;
pub(crate) mod metadata;
pub(crate) mod migration;
pub(crate) mod output;
pub(crate) mod owners;
pub(crate) mod paths;
pub(crate) mod pieces;
pub(crate) mod random;
pub(crate) mod reassembly;
pub(crate) mod record;
pub(crate) mod refusal;
pub(crate) mod sealed;
pub(crate) mod targets;
pub(crate) mod time;
mod unbelieved;
