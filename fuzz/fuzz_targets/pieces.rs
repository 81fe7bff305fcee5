//! Messages in pieces: header, cutting, repair and reassembly.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| caster_core::fuzzing::pieces(data));
