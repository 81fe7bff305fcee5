//! Datagrams with a right digest, through the pipeline into a node.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| caster_core::fuzzing::received(data));
