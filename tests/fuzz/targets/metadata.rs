//! See `fuzz::fuzzed::metadata`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::fuzzed::metadata(bytes));
