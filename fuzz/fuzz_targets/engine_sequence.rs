//! A node as a state machine: datagrams, times and calls in any order.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| caster_core::fuzzing::engine_sequence(data));
