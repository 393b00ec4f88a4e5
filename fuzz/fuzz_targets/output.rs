//! Output: each line says whose it is and is harmless to a terminal.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mstream::fuzzing::output(bytes));
