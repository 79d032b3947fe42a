//! Intel SGX: a quote (version 3) of the machine's quoting enclave, which the library OS asks for.
//!
//! Gramine has it in pseudo-files, Occlum in ioctls. Who signs and starts the enclave states its
//! policy, where it states one, in CONFIGID: no runtime can change it.

mod gramine;
mod occlum;

pub(super) use gramine::{FOLDER as GRAMINE_FOLDER, Gramine, TYPE as GRAMINE_TYPE};
pub(super) use occlum::{DEVICE as OCCLUM_DEVICE, Occlum};

/// The most bytes of a quote: the quoting enclave's signature and the platform's certificates are
/// some 4 KiB.
const MAX_QUOTE_LEN: usize = 64 * 1024;
/// Where a quote's report data is: behind the header and the rest of the enclave's report.
const REPORT_DATA: usize = 48 + 320;

/// A quote's report data.
fn asked(quote: &[u8]) -> Option<&[u8; 64]> {
    match quote.get(..2)? {
        [3, 0] => quote.get(REPORT_DATA..)?.first_chunk(),
        _ => None,
    }
}
