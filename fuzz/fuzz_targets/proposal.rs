#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mc2_fuzz::proposal(bytes));
