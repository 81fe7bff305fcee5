//! Secure mode: keys, the frame that seals a datagram, and which datagrams are fresh.
//!
//! Nothing here reads a clock or opens a socket: time and random numbers are handed in.

#![forbid(unsafe_code)]

pub(crate) mod block;
mod ciphers;
pub(crate) mod frame;
pub(crate) mod identity;
pub(crate) mod key;
pub(crate) mod mark;
pub(crate) mod names;
pub(crate) mod proof;
pub(crate) mod schedule;
pub(crate) mod sealer;
pub(crate) mod senders;
pub(crate) mod session;
mod siphash;
pub(crate) mod suite;
pub(crate) mod trust;
pub(crate) mod window;
