#![no_main]

use mc2_attestation::{Tee, test_util::hostile};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hostile::quote(Tee::Sgx, bytes);
});
