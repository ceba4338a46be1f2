//! See `fuzz::fuzzed::documents`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::fuzzed::documents(bytes));
