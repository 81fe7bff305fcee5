//! The trailer of a signed frame, as a member of the group makes it.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| caster_core::fuzzing::signed(data));
