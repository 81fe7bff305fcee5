//! Calls of the C functions in any order.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| caster::fuzzing::calls(data));
