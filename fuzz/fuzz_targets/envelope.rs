//! The parser of the JSON object around all that nodes say.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| caster_core::fuzzing::envelope(data));
