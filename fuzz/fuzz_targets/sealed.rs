//! A sealed frame, changed in any way.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| caster_core::fuzzing::sealed(data));
