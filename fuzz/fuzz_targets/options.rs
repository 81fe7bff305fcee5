//! Options from JSON, texts and keys.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| caster_core::fuzzing::options(data));
