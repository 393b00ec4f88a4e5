//! Code with holes: each becomes a reference or is refused.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mstream::fuzzing::holes(bytes));
