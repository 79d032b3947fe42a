//! A TPM 2.0 quote with nothing beneath it, judged to be shown: it says what the TPM's registers hold,
//! if its key is a TPM's, and nothing of whether anybody can read the machine's memory.
//!
//! It is no evidence of any `Tee` and has no media type, so that no policy can list it, and nothing be
//! released to it.

use mc2_protocol::{
    Digest,
    documents::receipt::{Endorsement, MAX_EVIDENCE_LEN},
    encoding::{Base64, Hex, check_version, parse_json},
    evidence::{CERTIFICATE_TYPE, PCRS},
};
use serde::Deserialize;

use super::{quote::Quote, signature::Signature};
use crate::{
    check::Finding,
    claims::{Claims, Hardware, Register, ReportData, Tcb},
    measurement::Measurement,
    tee::{
        checklist::{Checklist, Line},
        verified::Verified,
    },
    time::{Interval, UnixSeconds},
    x509::{Certificate, PublicKey},
};

/// The name people know it by.
pub const TITLE: &str = "TPM 2.0, nothing beneath";

const LINES: &[Line] = &[
    Line::new("tpm-evidence", "TPM's evidence"),
    Line::new("tpm-quote", "quote's signature"),
    Line::new("tpm-pcrs", "registers of the quote"),
    Line::new("tpm-key", "TPM's key"),
];

const NOT_GENUINE: &str = "get the quote, its signature and the registers anew, of one moment";
const UNKNOWN_KEY: &str = "give the key's certificate, from whoever issued it for that machine: by the \
                           quote alone anybody may have made the key";

/// A quote with what it is over and by which key. Nothing in it was verified yet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TpmQuote {
    version: u32,
    /// TPMS_ATTEST.
    quote: Base64,
    /// TPMT_SIGNATURE over it.
    signature: Base64,
    /// The public key that signed, SubjectPublicKeyInfo in DER.
    key: Base64,
    /// What the SHA-256 PCRs hold, from 0 to 23.
    pcrs: Vec<Hex<32>>,
}

impl TpmQuote {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        const WHAT: &str = "the TPM's evidence";
        let read: Self =
            parse_json(WHAT, bytes, MAX_EVIDENCE_LEN).map_err(|error| error.to_string())?;
        check_version(WHAT, read.version).map_err(|error| error.to_string())?;
        if read.pcrs.len() != PCRS {
            return Err(format!("{} PCRs, where a TPM has {PCRS}", read.pcrs.len()));
        }
        Ok(read)
    }
}

/// Judges a quote by the key that it names, and that key by a certificate among the endorsements, whose
/// issuer nobody here knows. It passes at best as what it is.
pub(crate) fn verify(evidence: &[u8], endorsements: &[Endorsement], now: UnixSeconds) -> Verified {
    let mut checks = Checklist::new(LINES);
    let parsed = TpmQuote::parse(evidence);
    let finding = match &parsed {
        Ok(_) => Finding::passed("a quote, its key and the registers"),
        Err(error) => Finding::failed("a TPM's quote", error, NOT_GENUINE),
    };
    checks.make("tpm-evidence", finding);
    let Ok(evidence) = parsed else {
        return Verified::nothing(checks.done());
    };
    let Some(claims) = signed(&evidence, &mut checks) else {
        return Verified::nothing(checks.done());
    };
    let (finding, holds) = certified(&evidence, endorsements, now);
    checks.make("tpm-key", finding);
    Verified {
        checks: checks.done(),
        claims: Some(claims),
        holds,
        marks: Vec::new(),
    }
}

/// What the quote says, where it is signed by the key and over the registers that came with it.
fn signed(evidence: &TpmQuote, checks: &mut Checklist) -> Option<Claims> {
    let message = evidence.quote.as_slice();
    let verified = PublicKey::from_spki(evidence.key.as_slice())
        .map_err(|error| error.to_string())
        .and_then(|key| Signature::parse(evidence.signature.as_slice())?.verify(&key, message));
    let finding = match &verified {
        Ok(()) => Finding::passed("by the key that came with it"),
        Err(error) => Finding::failed("signed by the key that came with it", error, NOT_GENUINE),
    };
    if !checks.make("tpm-quote", finding) {
        return None;
    }
    let (finding, quote) = Quote::over(message, &evidence.pcrs, NOT_GENUINE);
    if !checks.make("tpm-pcrs", finding) {
        return None;
    }
    claims(evidence, quote?)
}

/// Whether a certificate that is good now is of the quote's key, and when it is.
fn certified(
    evidence: &TpmQuote,
    endorsements: &[Endorsement],
    now: UnixSeconds,
) -> (Finding, Interval) {
    let key = evidence.key.as_slice();
    let mut certificates = endorsements
        .iter()
        .filter(|endorsement| endorsement.media_type == CERTIFICATE_TYPE)
        .filter_map(|endorsement| Certificate::parse(endorsement.value.as_slice()).ok());
    let expected = "a certificate of the key, good now";
    let Some(certificate) = certificates.find(|one| one.is_of(key)) else {
        let found = format!("none, for the key of SHA-256 {}", Digest::of(key));
        return (
            Finding::failed(expected, found, UNKNOWN_KEY),
            Interval::ALWAYS,
        );
    };
    let holds = certificate.holds();
    let found = format!("one of {:?}, good {holds}", certificate.subject());
    let finding = Finding::new(holds.contains(now), expected, found, UNKNOWN_KEY);
    (finding, holds)
}

/// Which machine it is, in what state and who else can look into it, a TPM cannot say.
fn claims(evidence: &TpmQuote, quote: Quote) -> Option<Claims> {
    let all: Vec<u8> = evidence.pcrs.iter().flat_map(|pcr| pcr.0).collect();
    let registers = evidence.pcrs.iter().enumerate();
    Some(Claims {
        report_data: ReportData::Bytes(quote.extra_data),
        measurement: Measurement::from_bytes(Digest::of(&all).as_bytes()).ok()?,
        hardware: Some(Hardware {
            platforms: Vec::new(),
            tcb: Tcb::Unacceptable("Unknown"),
            advisories: Vec::new(),
            debug: true,
            host_data: Vec::new(),
            registers: registers
                .map(|(index, pcr)| Register {
                    name: format!("PCR{index}"),
                    value: pcr.0.to_vec(),
                })
                .collect(),
        }),
    })
}
