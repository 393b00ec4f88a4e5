//! What a far end sends as files: nothing outside their folder changes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mstream::fuzzing::archive(bytes));
