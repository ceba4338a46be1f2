//! See `fuzz::fuzzed::offers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::fuzzed::offers(bytes));
