//! Tests that need more than one module: simulated networks and the vectors of the wire format.

mod fuzz_corpus;
#[cfg(feature = "identity")]
mod identity;
#[cfg(feature = "identity")]
mod made_up;
mod sealed;
mod simulation;
mod vectors;
