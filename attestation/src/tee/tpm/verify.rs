//! The checks that are made of a vTPM's quote, those of the report beneath among them.

use mc2_protocol::{
    Digest,
    crypto::label,
    documents::receipt::Evidence,
    encoding::Hex,
    evidence::{Beneath, VtpmEvidence, evidence_type},
    policy::Tee,
};

use super::{quote::Quote, runtime_data};
use crate::{
    check::Finding,
    claims::{Claims, Register, ReportData},
    measurement::Measurement,
    tee::{
        checklist::{Checklist, Line},
        dcap,
        kind::{Kind, Presented, Verifier},
        snp,
        verified::Verified,
    },
    x509::PublicKey,
};

pub(super) const LINES: &[Line] = &[
    Line::new("vtpm-evidence", "vTPM evidence"),
    Line::new("vtpm-key", "vTPM's key"),
    Line::new("vtpm-quote", "quote's signature"),
    Line::new("vtpm-pcrs", "registers of the quote"),
];
/// How many of them come before those of the report beneath.
const BEFORE_REPORT: usize = 1;

pub(super) const VERIFIER: Option<Verifier> = Some(verify);

/// The PCRs that the same image leaves the same at each boot, on whatever machine: firmware, option
/// ROMs, boot loader or unified kernel image, Secure Boot's keys, and what these measure of kernel,
/// command line, initrd and extensions. The others hold a VM's configuration, boot order and disks,
/// what the running system measures, and (14) what the runtime was started for.
const MEASURED: [usize; 9] = [0, 2, 4, 7, 8, 9, 11, 12, 13];
const TENANT: usize = 14;
/// Zero under Azure's paravisor, whose MRTD is all that a TD measures there; were something measured
/// into them, it would count.
const RTMRS: [&str; 4] = ["RTMR0", "RTMR1", "RTMR2", "RTMR3"];

const NOT_GENUINE: &str = "do not give this session anything: whoever answered did not prove to \
                           be such an enclave";

fn verify(presented: &Presented<'_>) -> Verified {
    let mut list = Checklist::new(LINES);
    let parsed = VtpmEvidence::parse(presented.evidence.value.as_slice());
    let finding = match &parsed {
        Ok(_) => Finding::passed("a quote with the report that it hangs on"),
        Err(error) => Finding::failed("a vTPM's evidence", error, NOT_GENUINE),
    };
    list.make("vtpm-evidence", finding);
    let Ok(evidence) = parsed else {
        return Verified::nothing(list.done());
    };
    let mut beneath = report(presented, &evidence);
    let claims = beneath
        .claims
        .take()
        .and_then(|report| quote(&evidence, report, &mut list));
    let mut checks = list.done();
    let after = checks.split_off(BEFORE_REPORT);
    checks.append(&mut beneath.checks);
    checks.extend(after);
    Verified {
        checks,
        claims,
        ..beneath
    }
}

/// What the verifier of the hardware beneath says of its report.
fn report(presented: &Presented<'_>, evidence: &VtpmEvidence) -> Verified {
    let (tee, kind): (Tee, &Kind) = match evidence.beneath {
        Beneath::SevSnp => (Tee::SevSnp, &snp::KIND),
        Beneath::Tdx => (Tee::Tdx, &dcap::TDX),
    };
    let report = Evidence {
        media_type: evidence_type(tee).to_owned(),
        value: evidence.report.clone(),
    };
    let presented = Presented {
        evidence: &report,
        ..*presented
    };
    match kind.verifier {
        Some(verify) => verify(&presented),
        None => Verified::nothing(Vec::new()),
    }
}

/// Makes the checks of the quote over a genuine report.
fn quote(evidence: &VtpmEvidence, report: Claims, list: &mut Checklist) -> Option<Claims> {
    let key = attestation_key(evidence, &report, list)?;
    let message = evidence.quote.as_slice();
    let verified = key.verify_rsassa_sha256(message, evidence.signature.as_slice());
    let finding = match &verified {
        Ok(()) => Finding::passed("by the key that the report commits to"),
        Err(error) => Finding::failed(
            "signed by the key that the report commits to",
            error,
            NOT_GENUINE,
        ),
    };
    if !list.make("vtpm-quote", finding) {
        return None;
    }
    let (finding, quote) = Quote::over(message, &evidence.pcrs, NOT_GENUINE);
    if !list.make("vtpm-pcrs", finding) {
        return None;
    }
    claims(evidence, &quote?, report)
}

/// The TPM's key, which the report commits to by its report data: SHA-256 of the statement that
/// names the key, and zeros.
fn attestation_key(
    evidence: &VtpmEvidence,
    report: &Claims,
    list: &mut Checklist,
) -> Option<PublicKey> {
    let statement = evidence.runtime_data.as_slice();
    let mut committed = Digest::of(statement).as_bytes().to_vec();
    committed.resize(64, 0);
    let expected = "named in the statement that the report beneath commits to";
    if report.report_data.as_bytes() != committed {
        let finding = Finding::failed(expected, "a report about something else", NOT_GENUINE);
        list.make("vtpm-key", finding);
        return None;
    }
    let key = runtime_data::attestation_key(statement);
    let finding = match &key {
        Ok(_) => Finding::passed("the one that the report beneath commits to"),
        Err(error) => Finding::failed(expected, error, NOT_GENUINE),
    };
    list.make("vtpm-key", finding);
    key.ok()
}

/// What all of it measures: which hardware is beneath and what it measured (of a TD, MRTD and all
/// RTMRs), and the PCRs.
fn measurement(
    evidence: &VtpmEvidence,
    launch: &Measurement,
    registers: &[Register],
) -> Option<Measurement> {
    let mut parts: Vec<&[u8]> = vec![evidence.beneath.as_str().as_bytes(), launch.as_bytes()];
    if evidence.beneath == Beneath::Tdx {
        for name in RTMRS {
            let register = registers.iter().find(|register| register.name == name)?;
            parts.push(&register.value);
        }
    }
    for index in MEASURED {
        parts.push(&evidence.pcrs.get(index)?.0);
    }
    let measured = label::context(label::AZURE_VTPM, &parts);
    Measurement::from_bytes(Digest::of(&measured).as_bytes()).ok()
}

fn claims(evidence: &VtpmEvidence, quote: &Quote, report: Claims) -> Option<Claims> {
    let mut hardware = report.hardware?;
    let measurement = measurement(evidence, &report.measurement, &hardware.registers)?;
    hardware.host_data = evidence.pcrs.get(TENANT)?.0.to_vec();
    hardware.registers.insert(
        0,
        Register {
            name: "LAUNCH".to_owned(),
            value: report.measurement.as_bytes().to_vec(),
        },
    );
    let register = |(index, value): (usize, &Hex<32>)| Register {
        name: format!("PCR{index}"),
        value: value.0.to_vec(),
    };
    hardware
        .registers
        .extend(evidence.pcrs.iter().enumerate().map(register));
    let asked: Result<[u8; 32], _> = quote.extra_data.as_slice().try_into();
    Some(Claims {
        report_data: asked.map_or_else(
            |_| ReportData::Bytes(quote.extra_data.clone()),
            ReportData::Sha256,
        ),
        measurement,
        hardware: Some(hardware),
    })
}
