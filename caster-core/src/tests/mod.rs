//! Tests that need more than one module: simulated networks and the vectors of the wire format.

mod simulation;
mod vectors;
