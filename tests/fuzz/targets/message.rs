//! See `fuzz::fuzzed::message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::fuzzed::message(bytes));
