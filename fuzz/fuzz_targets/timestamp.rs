#![no_main]

use mc2_attestation::test_util::stamped;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    stamped::timestamp(bytes);
});
