//! The protocol as a pure state machine: no socket, no clock, no thread.

pub(crate) mod addresses;
pub(crate) mod engine;
pub(crate) mod envelope;
pub(crate) mod event;
pub(crate) mod membership;
pub(crate) mod pipeline;
pub(crate) mod random;
