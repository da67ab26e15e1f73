//! Fuzz target: the body and what it checks are in `millrace::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millrace::fuzzing::journal(data));
