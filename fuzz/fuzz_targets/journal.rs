//! A journal that a run is to go on from, and the values beside it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mstream::fuzzing::journal(bytes));
