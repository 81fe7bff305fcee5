//! Tests that need more than one module: simulated networks and the vectors of the wire format.

mod fuzz_corpus;
#[cfg(feature = "identity")]
mod identity;
mod sealed;
mod simulation;
mod vectors;
