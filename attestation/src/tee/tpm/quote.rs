//! A TPM 2.0 quote (TPMS_ATTEST of a kind TPM_ST_ATTEST_QUOTE, "TPM 2.0 Library", part 2, §10.12),
//! big-endian.

use mc2_protocol::{Digest, encoding::Hex, evidence::PCRS};

use super::reader::Reader;
use crate::check::Finding;

/// TPM_GENERATED_VALUE: what a TPM signs of its own begins so, and nothing that it is asked to sign
/// may.
const GENERATED: u32 = 0xff54_4347;
const ATTEST_QUOTE: u16 = 0x8018;
const SHA256: u16 = 0x000b;
/// clockInfo (clock, resets, restarts, safe) and firmwareVersion.
const CLOCK_AND_FIRMWARE: usize = 17 + 8;

/// A quote whose bytes were read and of which nothing was verified yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Quote {
    /// What the TPM was asked to sign (qualifying data).
    pub(super) extra_data: Vec<u8>,
    /// SHA-256 over the PCRs, one after the other.
    digest: Vec<u8>,
}

impl Quote {
    /// The quote of these bytes, where it is over `pcrs`; what was found, and `advice` where it is not.
    pub(super) fn over(
        bytes: &[u8],
        pcrs: &[Hex<32>],
        advice: &'static str,
    ) -> (Finding, Option<Self>) {
        let expected = "a quote of the PCRs that came with it";
        let refused = match Self::parse(bytes) {
            Ok(quote) if quote.is_over(pcrs) => {
                return (Finding::passed("all of the SHA-256 bank"), Some(quote));
            }
            Ok(_) => Finding::failed(expected, "a quote of other values", advice),
            Err(error) => Finding::failed(expected, error, advice),
        };
        (refused, None)
    }

    /// Reads a quote over all PCRs of the SHA-256 bank.
    fn parse(bytes: &[u8]) -> Result<Self, QuoteError> {
        let mut rest = Reader(bytes);
        let quote = Self::read(&mut rest).ok_or(QuoteError::NoQuote)??;
        if !rest.0.is_empty() {
            return Err(QuoteError::NoQuote);
        }
        Ok(quote)
    }

    /// What is read of it; `None` where it is cut off or nothing of the kind.
    fn read(rest: &mut Reader<'_>) -> Option<Result<Self, QuoteError>> {
        if rest.u32()? != GENERATED || rest.u16()? != ATTEST_QUOTE {
            return None;
        }
        // The signer's name: whose key it is is said elsewhere.
        rest.sized()?;
        let extra_data = rest.sized()?.to_vec();
        rest.take(CLOCK_AND_FIRMWARE)?;
        let (selections, bank, len) = (rest.u32()?, rest.u16()?, rest.take(1)?);
        let selected = rest.take(len.first().copied()?.into())?;
        if selections != 1 || bank != SHA256 || selected != [0xff; PCRS / 8] {
            return Some(Err(QuoteError::Selection));
        }
        let digest = rest.sized()?.to_vec();
        Some(Ok(Self { extra_data, digest }))
    }

    /// Whether `pcrs` are what was quoted.
    fn is_over(&self, pcrs: &[Hex<32>]) -> bool {
        let all: Vec<u8> = pcrs.iter().flat_map(|pcr| pcr.0).collect();
        Digest::of(&all).as_bytes().as_slice() == self.digest
    }
}

/// Bytes that are no quote, or one of other registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum QuoteError {
    /// Not a quote.
    #[error("what was signed is no TPM 2.0 quote")]
    NoQuote,
    /// Another choice of PCRs.
    #[error("the quote is not over all PCRs of the SHA-256 bank, and of that bank alone")]
    Selection,
}
