//! The checks that are made of an SNP report.

use mc2_protocol::{documents::receipt::Endorsement, encoding::Hex, policy::Platform};

use super::{
    report::{Report, SigningKey, TcbBytes},
    tcb,
    vek::Vek,
};
use crate::{
    check::Finding,
    claims::{Claims, Hardware, Register, ReportData, Tcb},
    measurement::Measurement,
    tee::{
        checklist::{Checklist, Line},
        kind::{Presented, Verifier},
        marks::Mark,
        roots::Product,
        snp_tcb::reaches,
        verified::Verified,
    },
    time::Interval,
    x509::{self, Certificate, Crl, CrlError},
};

pub(super) const LINES: &[Line] = &[
    Line::new("snp-report", "attestation report"),
    Line::new("snp-certificate", "signer's certificate"),
    Line::new("snp-chain", "chain to AMD's root"),
    Line::new("snp-dates", "dates of the certificates"),
    Line::new("snp-crl", "revocation list"),
    Line::new("snp-rollback", "newest revocation list seen"),
    Line::new("snp-signer", "kind of signer"),
    Line::new("snp-signature", "signature of the report"),
    Line::new("snp-product", "product line"),
    Line::new("snp-tcb", "versions the signer is for"),
    Line::new("snp-chip", "chip"),
    Line::new("snp-measurement", "launch digest"),
    Line::new("snp-debug", "debugging"),
    Line::new("snp-migration", "migration agent"),
    Line::new("snp-vmpl", "privilege level (VMPL)"),
    Line::new("snp-firmware", "order of firmware versions"),
];

pub(super) const VERIFIER: Option<Verifier> = Some(verify);

const GET_CERTIFICATE: &str = "fetch the certificate of this chip's key from AMD's key distribution \
                               service (or its operator's key from the operator) and present it with \
                               the evidence";
const REFRESH_CRL: &str = "fetch the revocation list of this product line from AMD's key distribution \
                           service anew, and present it with the evidence";
const NOT_GENUINE: &str = "do not give this session anything: whoever answered did not prove to \
                           be such an enclave";
const START_ANEW: &str = "its owner must start it anew with a guest policy that forbids this";

fn verify(presented: &Presented<'_>) -> Verified {
    let mut checklist = Checklist::new(LINES);
    let found = checks(presented, &mut checklist);
    Verified {
        checks: checklist.done(),
        ..found.unwrap_or_else(|| Verified::nothing(Vec::new()))
    }
}

/// Makes one check after the other. There are claims once the signature is good, and an interval
/// once the certificates are known.
fn checks(presented: &Presented<'_>, list: &mut Checklist) -> Option<Verified> {
    let report = read_report(presented, list)?;
    let certificate = find_certificate(presented.endorsements, list)?;
    let vek = chain(presented, certificate, list)?;
    let mut found = Verified {
        holds: dates(presented, &vek, list),
        ..Verified::nothing(Vec::new())
    };
    if let Some(crl) = revocation(presented, &vek, list) {
        found.holds = found.holds.and(crl.holds());
        found.marks = marks(&crl, &vek);
    }
    rollback(presented, &found.marks, list);
    if !(signer(&report, &vek, list) && signature(&report, &vek, list)) {
        return Some(found);
    }
    product(&report, &vek, list);
    versions(&report, &vek, list);
    chip(&report, &vek, list);
    let measurement = measurement(&report, list);
    guest_policy(&report, list);
    firmware(&report, &vek, list);
    found.claims = measurement.map(|measurement| claims(presented, &report, &vek, measurement));
    Some(found)
}

fn read_report(presented: &Presented<'_>, list: &mut Checklist) -> Option<Report> {
    let read = Report::parse(presented.evidence.value.as_slice());
    let finding = match &read {
        Ok(report) => Finding::passed(format!("version {}", report.version)),
        Err(error) => Finding::failed("an attestation report of AMD SEV-SNP", error, NOT_GENUINE),
    };
    list.make("snp-report", finding);
    read.ok()
}

/// The one certificate among the endorsements that is no authority's: theirs are known.
fn find_certificate(endorsements: &[Endorsement], list: &mut Checklist) -> Option<Certificate> {
    let expected = "the certificate of one signer of reports";
    let mut found = Vec::new();
    for endorsement in of_type(endorsements, x509::CERTIFICATE_TYPE) {
        match Certificate::parse(endorsement) {
            Ok(certificate) if certificate.is_authority() => {}
            Ok(certificate) => found.push(certificate),
            Err(error) => {
                let finding = Finding::failed(expected, error, GET_CERTIFICATE);
                list.make("snp-certificate", finding);
                return None;
            }
        }
    }
    let one = (found.len() == 1).then(|| found.pop()).flatten();
    let finding = match &one {
        Some(certificate) => Finding::passed(certificate.subject()),
        None => Finding::failed(
            expected,
            format!("{} of them", found.len()),
            GET_CERTIFICATE,
        ),
    };
    list.make("snp-certificate", finding);
    one
}

fn chain(presented: &Presented<'_>, certificate: Certificate, list: &mut Checklist) -> Option<Vek> {
    let vek = Vek::verify(certificate, &presented.anchors.roots.amd);
    let finding = match &vek {
        Ok(vek) => Finding::passed(format!(
            "{}, {}, {}",
            vek.certificate.subject(),
            vek.issuer.subject(),
            vek.ark.subject()
        )),
        Err(error) => Finding::failed("issued by AMD's authorities", error, NOT_GENUINE),
    };
    list.make("snp-chain", finding);
    vek.ok()
}

fn dates(presented: &Presented<'_>, vek: &Vek, list: &mut Checklist) -> Interval {
    let holds = [&vek.certificate, &vek.issuer, &vek.ark]
        .into_iter()
        .fold(Interval::ALWAYS, |holds, one| holds.and(one.holds()));
    let finding = Finding::new(
        holds.contains(presented.now),
        holds,
        presented.now,
        GET_CERTIFICATE,
    );
    list.make("snp-dates", finding);
    holds
}

/// The newest revocation list of the root's; `None` where there is none.
///
/// The root's list alone: an authority's would name keys by serial number, and every key of a chip
/// has the number 0. A version of firmware that broke is met by its version.
fn revocation(presented: &Presented<'_>, vek: &Vek, list: &mut Checklist) -> Option<Crl> {
    let expected = "a current list by AMD's root, without this chain's authorities";
    let mut newest: Option<Crl> = None;
    for endorsement in of_type(presented.endorsements, x509::REVOCATION_LIST_TYPE) {
        match Crl::verify(endorsement, &vek.ark) {
            Ok(crl) => {
                let newer = newest
                    .as_ref()
                    .is_none_or(|known| crl.holds().from > known.holds().from);
                if newer {
                    newest = Some(crl);
                }
            }
            // Another line's list.
            Err(CrlError::Issuer { .. }) => {}
            Err(error) => {
                list.make("snp-crl", Finding::failed(expected, error, REFRESH_CRL));
                return None;
            }
        }
    }
    let Some(crl) = newest else {
        let finding = if presented.accepted.missing_crl {
            Finding::passed("none, which you accepted")
        } else {
            Finding::failed(expected, "none", REFRESH_CRL)
        };
        list.make("snp-crl", finding);
        return None;
    };
    let holds = crl.holds();
    let finding = if !holds.contains(presented.now) {
        Finding::failed(
            format!("{expected}; this one counts {holds}"),
            format!("the time is {}", presented.now),
            REFRESH_CRL,
        )
    } else if let Some(revoked) = [&vek.issuer, &vek.ark]
        .into_iter()
        .find(|one| crl.revokes(one))
    {
        Finding::failed(
            expected,
            format!("{} was revoked", revoked.subject()),
            NOT_GENUINE,
        )
    } else {
        Finding::passed(format!("not revoked; the list counts {holds}"))
    };
    list.make("snp-crl", finding);
    Some(crl)
}

/// How new the list is: by AMD's number, and by its date.
fn marks(crl: &Crl, vek: &Vek) -> Vec<Mark> {
    let of = format!("AMD {} CRL", vek.product.as_str());
    let number = crl.number().map(|number| Mark::new(of.clone(), number));
    let issued = Mark::new(format!("{of}, issued"), crl.holds().from.0);
    number.into_iter().chain([issued]).collect()
}

/// A list from before a revocation is as well signed as the one after it.
fn rollback(presented: &Presented<'_>, found: &[Mark], list: &mut Checklist) {
    let finding = Mark::not_rolled_back(found, presented.seen, REFRESH_CRL);
    list.make("snp-rollback", finding);
}

fn signer(report: &Report, vek: &Vek, list: &mut Checklist) -> bool {
    let name = |key| match key {
        SigningKey::Vcek => "the chip's own key (VCEK)".to_owned(),
        SigningKey::Vlek => "its operator's key (VLEK)".to_owned(),
        SigningKey::Other(number) => format!("another key (kind {number})"),
    };
    let finding = Finding::new(
        report.signing_key == vek.kind,
        format!("signed by {}, as the certificate is", name(vek.kind)),
        format!("signed by {}", name(report.signing_key)),
        NOT_GENUINE,
    );
    list.make("snp-signer", finding)
}

fn signature(report: &Report, vek: &Vek, list: &mut Checklist) -> bool {
    let verified = vek
        .certificate
        .key()
        .and_then(|key| key.verify_p384(&report.signed, &report.signature));
    let finding = match verified {
        Ok(()) => Finding::passed("by the key of the certificate"),
        Err(error) => Finding::failed("signed by the key of the certificate", error, NOT_GENUINE),
    };
    list.make("snp-signature", finding)
}

fn product(report: &Report, vek: &Vek, list: &mut Checklist) {
    let name = vek.product_name();
    let named = name.as_ref().is_some_and(|name| vek.product.is_named(name));
    let of_cpu = report.cpu.map(|cpu| Product::of_cpu(cpu.family, cpu.model));
    let finding = Finding::new(
        named && of_cpu.is_none_or(|line| line == Some(vek.product)),
        format!("{}, whose root signs", vek.product.as_str()),
        match (name, report.cpu) {
            (Some(name), Some(cpu)) => format!(
                "{name}, family {:#x}, model {:#x}, stepping {}",
                cpu.family, cpu.model, cpu.stepping
            ),
            (Some(name), None) => name,
            (None, _) => "a certificate that names none".to_owned(),
        },
        NOT_GENUINE,
    );
    list.make("snp-product", finding);
}

fn versions(report: &Report, vek: &Vek, list: &mut Checklist) {
    let reported = report.reported_tcb.read(vek.product);
    let finding = match vek.tcb() {
        Some(certified) => Finding::new(
            certified == reported,
            format!("those of the report: {reported}"),
            certified,
            GET_CERTIFICATE,
        ),
        None => Finding::failed(
            format!("those of the report: {reported}"),
            "a certificate that does not say for which versions it is",
            NOT_GENUINE,
        ),
    };
    list.make("snp-tcb", finding);
}

/// A report that names its chip names the certificate's. One that names none can be of any: it is
/// of no listed platform.
fn chip(report: &Report, vek: &Vek, list: &mut Checklist) {
    let found = if report.chip_is_masked() {
        "none: the machine's owner had it masked".to_owned()
    } else {
        hex::encode(report.chip_id)
    };
    let finding = match (vek.kind, vek.chip_id(), vek.operator()) {
        (SigningKey::Vcek, Some(certified), _) => Finding::new(
            report.chip_is_masked() || certified == report.chip_id,
            format!("the certificate's: {}", hex::encode(certified)),
            found,
            NOT_GENUINE,
        ),
        (SigningKey::Vlek, None, Some(operator)) => {
            Finding::passed(format!("{found}; loaded for {operator}"))
        }
        _ => Finding::failed(
            "a certificate of one chip, or of one operator",
            "one that names neither, or both",
            NOT_GENUINE,
        ),
    };
    list.make("snp-chip", finding);
}

fn measurement(report: &Report, list: &mut Checklist) -> Option<Measurement> {
    let measured = Measurement::from_bytes(&report.measurement);
    let finding = match &measured {
        Ok(measurement) => Finding::passed(measurement),
        Err(error) => Finding::failed("the digest of what was started", error, NOT_GENUINE),
    };
    list.make("snp-measurement", finding);
    measured.ok()
}

fn guest_policy(report: &Report, list: &mut Checklist) {
    let forbidden = |allowed: bool, what: &str| {
        let word = |allowed| if allowed { "allowed" } else { "forbidden" };
        Finding::new(
            !allowed,
            format!("{what} {}", word(false)),
            format!("{what} {}", word(allowed)),
            START_ANEW,
        )
    };
    let debug = forbidden(report.policy.debug(), "debugging by the host is");
    list.make("snp-debug", debug);
    let migration = forbidden(report.policy.migration_agent(), "a migration agent is");
    list.make("snp-migration", migration);
    let vmpl = Finding::new(
        report.vmpl == 0,
        "asked for at VMPL 0, the guest's highest privilege",
        format!("asked for at VMPL {}", report.vmpl),
        "something else in the guest has more privilege than the runtime and can read it: use a \
         host that starts the runtime alone",
    );
    list.make("snp-vmpl", vmpl);
}

/// What is reported was committed, and what was committed is running: otherwise the host could
/// report what it can still take back.
fn firmware(report: &Report, vek: &Vek, list: &mut Checklist) {
    let read = |tcb: TcbBytes| tcb.read(vek.product);
    let (current, committed, reported) = (
        read(report.current_tcb),
        read(report.committed_tcb),
        read(report.reported_tcb),
    );
    let finding = Finding::new(
        reaches(&current, &committed) && reaches(&committed, &reported),
        "running as new as committed, committed as new as reported",
        format!("running {current}; committed {committed}; reported {reported}"),
        "the machine's operator must commit its firmware (SNP_COMMIT)",
    );
    list.make("snp-firmware", finding);
}

fn claims(
    presented: &Presented<'_>,
    report: &Report,
    vek: &Vek,
    measurement: Measurement,
) -> Claims {
    let versions = [
        report.current_tcb,
        report.reported_tcb,
        report.committed_tcb,
        report.launch_tcb,
    ]
    .map(|tcb| tcb.read(vek.product));
    let state = tcb::state(
        &versions,
        vek.product,
        report.cpu,
        presented.accepted.min_snp_tcb.as_ref(),
        report.cpu.is_some() && report.platform.aliases_were_looked_for(),
    );
    let chip = (!report.chip_is_masked()).then_some(Platform::Chip(Hex(report.chip_id)));
    // The spelling of an operator that policies can list.
    let operator = vek
        .operator()
        .and_then(|operator| format!("vlek:{operator}").parse().ok());
    Claims {
        report_data: ReportData::Bytes(report.report_data.to_vec()),
        measurement,
        hardware: Some(Hardware {
            platforms: chip.into_iter().chain(operator).collect(),
            tcb: Tcb::Known(state.status),
            advisories: state.advisories,
            debug: report.policy.debug(),
            host_data: report.host_data.to_vec(),
            registers: vec![Register {
                name: "HOST_DATA".to_owned(),
                value: report.host_data.to_vec(),
            }],
        }),
    }
}

fn of_type<'a>(
    endorsements: &'a [Endorsement],
    media_type: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    endorsements
        .iter()
        .filter(move |endorsement| endorsement.media_type == media_type)
        .map(|endorsement| endorsement.value.as_slice())
}
