//! The stages json, hash and crypto in both directions.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| caster_core::fuzzing::stages(data));
