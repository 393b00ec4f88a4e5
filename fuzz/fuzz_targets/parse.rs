//! A scenario, read and checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mstream::fuzzing::parse(bytes));
