//! Output with a secret in it: none of its forms is shown.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mstream::fuzzing::mask(bytes));
