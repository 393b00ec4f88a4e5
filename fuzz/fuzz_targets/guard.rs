//! What comes down a line: nobody but the guard is taken for it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mstream::fuzzing::guard(bytes));
