#![no_main]

use mc2_attestation::{Tee, test_util::crafted};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    crafted::evidence(Tee::SevSnp, bytes);
});
