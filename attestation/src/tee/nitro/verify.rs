//! The checks that are made of a Nitro attestation document.

use mc2_protocol::policy::TcbStatus;

use super::document::Document;
use crate::{
    check::Finding,
    claims::{Claims, Hardware, Register, ReportData, Tcb},
    measurement::Measurement,
    tee::{
        checklist::{Checklist, Line},
        kind::{Presented, Verifier},
        verified::Verified,
    },
    time::{Interval, UnixSeconds},
    x509::{Certificate, CertificateError},
};

pub(super) const LINES: &[Line] = &[
    Line::new("nitro-document", "attestation document"),
    Line::new("nitro-chain", "chain to AWS's root"),
    Line::new("nitro-dates", "dates of the certificates"),
    Line::new("nitro-signature", "signature of the document"),
    Line::new("nitro-debug", "debug mode"),
    Line::new("nitro-timestamp", "time in the document"),
];

pub(super) const VERIFIER: Option<Verifier> = Some(verify);

/// The register that the runtime extends by the policy's digest, and locks, where it was started
/// for one tenant.
const TENANT_PCR: u8 = 16;

const NOT_GENUINE: &str = "do not give this session anything: whoever answered did not prove to \
                           be such an enclave";
const ASK_AGAIN: &str = "ask the enclave again: its certificates live for hours";

fn verify(presented: &Presented<'_>) -> Verified {
    let mut list = Checklist::new(LINES);
    let (claims, holds) = checks(presented, &mut list).unwrap_or((None, Interval::NEVER));
    Verified {
        checks: list.done(),
        claims,
        holds,
        marks: Vec::new(),
    }
}

/// Makes one check after the other; there are claims once the signature is good and something was
/// measured, and an interval once the certificates are known.
fn checks(presented: &Presented<'_>, list: &mut Checklist) -> Option<(Option<Claims>, Interval)> {
    let read = Document::parse(presented.evidence.value.as_slice());
    let finding = match &read {
        Ok(document) => Finding::passed(format!("of {}", document.module_id)),
        Err(error) => Finding::failed("a document of the Nitro Secure Module", error, NOT_GENUINE),
    };
    list.make("nitro-document", finding);
    let document = read.ok()?;

    let chain = Chain::verify(&document, &presented.anchors.roots.aws);
    let finding = match &chain {
        Ok(chain) => Finding::passed(format!(
            "{} certificates, the last of {}",
            chain.0.len(),
            chain.signer().subject()
        )),
        Err(error) => Finding::failed("a chain from AWS's root", error, NOT_GENUINE),
    };
    list.make("nitro-chain", finding);
    let chain = chain.ok()?;

    let holds = chain.holds();
    let finding = Finding::new(
        holds.contains(presented.now),
        holds,
        presented.now,
        ASK_AGAIN,
    );
    list.make("nitro-dates", finding);

    let signature = chain
        .signer()
        .key()
        .and_then(|key| key.verify_p384(&document.signed, &document.signature));
    let finding = match &signature {
        Ok(()) => Finding::passed("by the key of the last certificate"),
        Err(error) => Finding::failed("signed by the last certificate's key", error, NOT_GENUINE),
    };
    if !list.make("nitro-signature", finding) {
        return Some((None, holds));
    }

    let finding = Finding::new(
        !document.is_debug(),
        "PCR0, PCR1 and PCR2 measure the image",
        if document.is_debug() {
            "one of them is missing or zero: its owner reads the enclave's console"
        } else {
            "they do"
        },
        "its owner must start it without --debug-mode",
    );
    list.make("nitro-debug", finding);

    let time = UnixSeconds(document.timestamp / 1000);
    let finding = Finding::new(
        holds.contains(time),
        format!("within the certificates' dates, {holds}"),
        time,
        NOT_GENUINE,
    );
    list.make("nitro-timestamp", finding);
    Some((claims(&document), holds))
}

/// The certificates, from the root to the signer.
struct Chain(Vec<Certificate>);

impl Chain {
    fn verify(document: &Document, root: &[u8]) -> Result<Self, ChainError> {
        if document.authorities.first().map(Vec::as_slice) != Some(root) {
            return Err(ChainError::Root);
        }
        let chain: Vec<Certificate> = document
            .authorities
            .iter()
            .chain([&document.certificate])
            .map(|der| Certificate::parse(der))
            .collect::<Result<_, _>>()?;
        // INVARIANT: at least two, the root and the signer.
        let last = chain.len() - 1;
        for (index, pair) in chain.windows(2).enumerate() {
            pair[1].issued_by(&pair[0])?;
            let between = last - index - 1;
            if let Some(limit) = pair[0].path_len()
                && between > usize::from(limit)
            {
                return Err(ChainError::Length {
                    issuer: pair[0].subject(),
                });
            }
        }
        let signer = &chain[last];
        if signer.is_authority()
            || !signer
                .usage()
                .is_some_and(|usage| usage.digital_signature())
        {
            return Err(ChainError::Signer {
                found: signer.subject(),
            });
        }
        Ok(Self(chain))
    }

    fn signer(&self) -> &Certificate {
        // INVARIANT: `verify` leaves two at least.
        &self.0[self.0.len() - 1]
    }

    fn holds(&self) -> Interval {
        self.0
            .iter()
            .fold(Interval::ALWAYS, |holds, one| holds.and(one.holds()))
    }
}

/// AWS says nothing of the state of its own firmware, which it alone keeps up to date; that a
/// machine still gets certificates is what it has to say.
fn claims(document: &Document) -> Option<Claims> {
    let measurement = Measurement::from_bytes(document.pcrs.get(&0)?).ok()?;
    let tenant = document.pcrs.get(&TENANT_PCR).copied();
    Some(Claims {
        report_data: ReportData::Bytes(document.user_data.clone().unwrap_or_default()),
        measurement,
        hardware: Some(Hardware {
            platforms: Vec::new(),
            tcb: Tcb::Known(TcbStatus::UpToDate),
            advisories: Vec::new(),
            debug: document.is_debug(),
            host_data: tenant.unwrap_or([0; 48]).to_vec(),
            registers: document
                .pcrs
                .iter()
                .map(|(index, value)| Register {
                    name: format!("PCR{index}"),
                    value: value.to_vec(),
                })
                .collect(),
        }),
    })
}

/// Why certificates are no chain.
#[derive(Debug, thiserror::Error)]
enum ChainError {
    /// It begins elsewhere.
    #[error("it begins with another root")]
    Root,
    /// Longer than an issuer allows.
    #[error("more certificates follow that of {issuer:?} than it allows")]
    Length {
        /// Whose certificate says so.
        issuer: String,
    },
    /// Its end signs no documents.
    #[error("it ends with {found:?}, whose key is not for signing documents")]
    Signer {
        /// Whom the certificate is about.
        found: String,
    },
    /// A certificate is not good.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}
