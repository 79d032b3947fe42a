//! Intel's quotes, for SGX and TDX: parsed and verified by dcap-qvl up to Intel's root, with what
//! that library leaves to its callers checked here.
//!
//! A quote says what runs; what it is worth, Intel says in *collateral*: two revocation lists, the
//! TCB info of the platform's model and the identity of the quoting enclave, each signed by Intel
//! and good for some weeks (`collateral`). `claims` reads the quote's body, `attributes` judges it.
//!
//! The library verifies everything at once and answers with its first error. So that a reader
//! learns which thing was wrong, dates are looked at before it is asked: what is said of them here
//! is only ever a refusal, and the library looks again at what Intel signed.
//!
//! Not signed, and so free to change without changing a verdict: zeros behind a quote's end; the
//! certificates in it, their text and number, as long as a chain to Intel's root is among them; and
//! lengths, as long as the parts they name are the same.

mod attributes;
mod claims;
mod collateral;
mod event_log;
mod platform;

use std::time::Duration;

use dcap_qvl::{
    QuoteClaims, QuotePolicy, TcbLevel, TcbStatus,
    configs::RustCryptoConfig,
    quote::{Quote, Report},
    verify::QuoteVerifier,
};

use super::{
    Tee,
    checklist::{Checklist, Line},
    kind::{Kind, Presented},
    marks::Mark,
    verified::Verified,
};
use crate::{
    check::Finding,
    time::{Interval, UnixSeconds},
};
use collateral::{Collateral, Issued};

pub use collateral::{IntelCollateral, MEDIA_TYPE as COLLATERAL_TYPE};
pub use platform::IntelPlatform;

/// A quote, version 3; it measures MRENCLAVE. Of version 4 the library verifies those of TDs alone, so
/// an enclave's is refused by its version.
pub(super) const SGX: Kind = Kind {
    title: "Intel SGX",
    measurement_len: 32,
    lines: &[
        QUOTE,
        COLLATERAL,
        LISTS,
        TCB_INFO,
        QE_IDENTITY,
        SIGNATURES,
        TCB_LEVEL,
        DEBUG,
        PLATFORM,
        ROLLBACK,
    ],
    verifier: Some(|presented| verify(Tee::Sgx, SGX.lines, presented)),
};

/// A quote, version 4 or 5, of a TD 1.0 or 1.5; it measures MRTD.
pub(super) const TDX: Kind = Kind {
    title: "Intel TDX",
    measurement_len: 48,
    lines: &[
        QUOTE,
        COLLATERAL,
        LISTS,
        TCB_INFO,
        QE_IDENTITY,
        SIGNATURES,
        TCB_LEVEL,
        ATTRIBUTES,
        DEBUG,
        SERVICE_TD,
        EVENT_LOG,
        PLATFORM,
        ROLLBACK,
    ],
    verifier: Some(|presented| verify(Tee::Tdx, TDX.lines, presented)),
};

const QUOTE: Line = Line::new("quote", "quote");
const COLLATERAL: Line = Line::new("collateral", "Intel's collateral");
const LISTS: Line = Line::new("intel-crl", "Intel's revocation lists");
const TCB_INFO: Line = Line::new("tcb-info", "Intel's TCB info");
const QE_IDENTITY: Line = Line::new("qe-identity", "quoting enclave's identity");
const SIGNATURES: Line = Line::new("quote-signature", "quote's signatures");
const TCB_LEVEL: Line = Line::new("tcb-level", "Intel's assessment");
const ATTRIBUTES: Line = Line::new("td-attributes", "TD's attributes");
const DEBUG: Line = Line::new("debug", "debug mode");
const SERVICE_TD: Line = Line::new("service-td", "service TD");
const EVENT_LOG: Line = Line::new("event-log", "event log of RTMR3");
const PLATFORM: Line = Line::new("platform-configuration", "platform's configuration");
const ROLLBACK: Line = Line::new("collateral-rollback", "newest collateral seen");

const REFRESH: &str = "fetch Intel's collateral for this platform anew: `mc2 collateral fetch`; if \
                       it is fresh, correct this clock";
const NOT_GENUINE: &str = "do not give this session anything: whoever answered did not prove to be \
                           such an enclave";

/// A quote whose signatures are good, and when the collateral it was judged by was issued.
struct Examined {
    quote: QuoteClaims,
    issued: Issued,
}

fn verify(tee: Tee, lines: &[Line], presented: &Presented<'_>) -> Verified {
    let mut checks = Checklist::new(lines);
    match examine(tee, presented, &mut checks) {
        Some(examined) => Verified {
            claims: claims::read(&examined.quote),
            holds: holds(&examined),
            marks: marks(&examined),
            checks: checks.done(),
        },
        None => Verified::nothing(checks.done()),
    }
}

/// Makes the checks one after the other; what Intel's signatures vouch for, once they are good.
fn examine(tee: Tee, presented: &Presented<'_>, checks: &mut Checklist) -> Option<Examined> {
    let now = presented.now;
    let bytes = presented.evidence.value.as_slice();
    if !checks.make(QUOTE.id, well_formed(tee, bytes)) {
        return None;
    }
    let collateral = match Collateral::among(presented.endorsements) {
        Ok(collateral) => {
            checks.make(COLLATERAL.id, Finding::passed("one, well-formed"));
            collateral
        }
        Err(error) => {
            let finding = Finding::failed("Intel's collateral for this quote", error, REFRESH);
            checks.make(COLLATERAL.id, finding);
            return None;
        }
    };
    let lists = checks.make(LISTS.id, current(collateral.lists(), now));
    let info = checks.make(
        TCB_INFO.id,
        assessed(&collateral, presented.accepted.min_tcb_evaluation, now),
    );
    let identity = checks.make(QE_IDENTITY.id, current(collateral.qe_identity(), now));
    if !(lists && info && identity) {
        return None;
    }
    let issued = collateral.issued().ok()?;
    let policy = in_force(now, presented.accepted.min_tcb_evaluation);
    let root = presented.anchors.roots.intel.to_vec();
    // Debug mode and service TDs are refused below, where there is a line for each.
    let verified = QuoteVerifier::<RustCryptoConfig>::new_with_config(root)
        .allow_debug(true)
        .allow_service_td(true)
        .verify_with_policy(bytes, collateral.into_inner(), now.0, &policy);
    let quote = match verified {
        Ok(quote) => quote,
        Err(error) => {
            refused_by_library(tee, &format!("{error:#}"), checks);
            return None;
        }
    };
    let examined = Examined { quote, issued };
    // The library looked at each end, and not at the root's own certificate.
    if !checks.make(SIGNATURES.id, current(Ok(holds(&examined)), now)) {
        return None;
    }
    let quote = &examined.quote;
    checks.make(SIGNATURES.id, signed());
    checks.make(TCB_LEVEL.id, assessed_as(quote));
    if tee == Tee::Tdx {
        checks.make(ATTRIBUTES.id, attributes::lasting(&quote.report));
        checks.make(SERVICE_TD.id, attributes::no_service_td(&quote.report));
    }
    checks.make(DEBUG.id, attributes::not_in_debug_mode(&quote.report));
    if tee == Tee::Tdx {
        let replayed = event_log::replayed(&quote.report, presented.endorsements);
        checks.make(EVENT_LOG.id, replayed);
    }
    let flags = presented.accepted.platform;
    let configuration = attributes::configuration(&quote.platform.pck, flags);
    checks.make(PLATFORM.id, configuration);
    let rollback = Mark::not_rolled_back(&marks(&examined), presented.seen, REFRESH);
    checks.make(ROLLBACK.id, rollback);
    Some(examined)
}

/// The line that what the library found against a quote belongs to. It looks at signatures first,
/// then at TCB levels, then at a TD's attributes.
fn refused_by_library(tee: Tee, error: &str, checks: &mut Checklist) {
    if let Some(finding) = attributes::refused_by_library(tee, error) {
        checks.make(SIGNATURES.id, signed());
        checks.make(TCB_LEVEL.id, Finding::passed("one that Intel knows"));
        checks.make(ATTRIBUTES.id, finding);
    } else if UNASSESSED.iter().any(|start| error.starts_with(start)) {
        checks.make(SIGNATURES.id, signed());
        let finding = Finding::failed("a platform Intel has an assessment of", error, UPDATE);
        checks.make(TCB_LEVEL.id, finding);
    } else {
        let finding = Finding::failed("a quote signed up to Intel's root", error, NOT_GENUINE);
        checks.make(SIGNATURES.id, finding);
    }
}

/// How the library begins where no TCB level fits a platform, or one that was revoked.
const UNASSESSED: [&str; 6] = [
    "No matching TCB level found",
    "TCB status is invalid: Revoked",
    "Fmspc mismatch",
    "TDX module",
    "Failed to evaluate the current TDX TCB",
    "Unrecognized TCB status",
];
const UPDATE: &str = "the machine's operator must update firmware, microcode and TDX module, or give \
                      the collateral of this platform's model";

fn signed() -> Finding {
    Finding::passed("by Intel's quoting enclave, up to Intel's root")
}

/// Which of Intel's levels it has; whether that is good enough, policies say.
fn assessed_as(quote: &QuoteClaims) -> Finding {
    let TcbLevel { tcb_date, .. } = &quote.platform.tcb_level;
    let number = quote.tcb.eval_data_number;
    Finding::passed(format!("its level is of {tcb_date}, evaluation {number}"))
}

/// What the library is told of policy: when, and how new Intel's assessment must be. TCB status and
/// platform flags have lines of their own, and a policy that accepts a status does so without end.
fn in_force(now: UnixSeconds, min_tcb_evaluation: u32) -> QuotePolicy {
    const JUDGED_LATER: [TcbStatus; 7] = [
        TcbStatus::SWHardeningNeeded,
        TcbStatus::ConfigurationNeeded,
        TcbStatus::ConfigurationAndSWHardeningNeeded,
        TcbStatus::OutOfDate,
        TcbStatus::OutOfDateConfigurationNeeded,
        TcbStatus::TDRelaunchAdvised,
        TcbStatus::TDRelaunchAdvisedConfigurationNeeded,
    ];
    JUDGED_LATER
        .into_iter()
        .fold(QuotePolicy::strict(now.0), QuotePolicy::allow_status)
        .min_tcb_eval_data_number(min_tcb_evaluation)
        .platform_grace_period(Duration::MAX)
        .qe_grace_period(Duration::MAX)
        .allow_dynamic_platform(true)
        .allow_cached_keys(true)
        .allow_smt(true)
}

/// A quote of this TEE, of a version the library verifies, that measures something and has
/// nothing but zeros behind it.
fn well_formed(tee: Tee, bytes: &[u8]) -> Finding {
    let expected = match tee {
        Tee::Sgx => "an SGX quote of version 3",
        _ => "a TDX quote of version 4 or 5",
    };
    let found = match Quote::parse(bytes) {
        Err(error) => format!("{} bytes that are no quote: {error}", bytes.len()),
        Ok(quote) => {
            let version = quote.header.version;
            let (kind, fits) = match &quote.report {
                Report::SgxEnclave(_) => ("SGX", tee == Tee::Sgx && version == 3),
                _ => ("TDX", tee == Tee::Tdx && matches!(version, 4 | 5)),
            };
            let found = format!("{kind} quote of version {version}");
            if !fits {
                found
            } else if !ends_in_zeros(&quote, bytes) {
                format!("{found} with something behind its end")
            } else if claims::measurement(&quote.report).is_none() {
                format!("{found} that measures nothing")
            } else {
                return Finding::passed(found);
            }
        }
    };
    Finding::failed(expected, found, NOT_GENUINE)
}

/// Whether what stands behind a quote's end is zeros: buffers of fixed size are handed over whole.
fn ends_in_zeros(quote: &Quote, bytes: &[u8]) -> bool {
    let signed = quote.signed_length();
    let Some(length) = bytes.get(signed..).and_then(<[u8]>::first_chunk) else {
        return false;
    };
    let end = usize::try_from(u32::from_le_bytes(*length))
        .ok()
        .and_then(|length| signed.checked_add(4)?.checked_add(length));
    let rest = end.and_then(|end| bytes.get(end..));
    rest.is_some_and(|rest| rest.iter().all(|&byte| byte == 0))
}

/// Something dated is good now.
fn current(dated: Result<Interval, String>, now: UnixSeconds) -> Finding {
    match dated {
        Ok(good) => Finding::new(
            good.contains(now),
            format!("good at {now}"),
            format!("good {good}"),
            REFRESH,
        ),
        Err(error) => Finding::failed(format!("good at {now}"), error, REFRESH),
    }
}

/// The TCB info is good now, and both assessments are new enough.
fn assessed(collateral: &Collateral, minimum: u32, now: UnixSeconds) -> Finding {
    let number = match collateral.tcb_evaluation() {
        Ok(number) => number,
        Err(error) => return Finding::failed(format!("good at {now}"), error, REFRESH),
    };
    if number < minimum {
        return Finding::failed(
            format!("a TCB evaluation data number of {minimum} or more"),
            number,
            REFRESH,
        );
    }
    current(collateral.tcb_info(), now)
}

/// When everything Intel signed is good.
fn holds(Examined { quote, issued }: &Examined) -> Interval {
    let (from, until) = (quote.latest_issue_date, quote.earliest_expiration_date);
    Interval::new(UnixSeconds(from), UnixSeconds(until)).and(issued.lists)
}

/// How new the collateral is: by Intel's numbers, and by the dates, for those numbers stand still.
fn marks(Examined { quote, issued }: &Examined) -> Vec<Mark> {
    let platform = &quote.platform;
    let model = hex::encode(platform.pck.fmspc);
    let tee = if quote.report.is_sgx() { "SGX" } else { "TDX" };
    let info = format!("Intel {tee} TCB info of model {model}");
    let identity = format!("Intel {tee} quoting enclave's identity");
    let list = format!("Intel PCK CRL of {}", authority(quote));
    vec![
        Mark::new(
            format!("{info}, evaluation"),
            issued.tcb_info.evaluation.into(),
        ),
        Mark::new(format!("{info}, issued"), issued.tcb_info.good.from.0),
        // One of an older number would else hide behind newer TCB info.
        Mark::new(
            format!("{identity}, evaluation"),
            issued.qe_identity.evaluation.into(),
        ),
        Mark::new(
            format!("{identity}, issued"),
            issued.qe_identity.good.from.0,
        ),
        Mark::new("Intel root CRL", platform.root_ca_crl_num.into()),
        Mark::new("Intel root CRL, issued", issued.root_list.0),
        Mark::new(list.clone(), platform.pck_crl_num.into()),
        Mark::new(format!("{list}, issued"), issued.platform_list.0),
    ]
}

/// Which of Intel's authorities issued the platform's certificate: those for platforms of several
/// sockets state a configuration.
fn authority(examined: &QuoteClaims) -> &'static str {
    match examined.platform.pck.smt_enabled {
        dcap_qvl::PckCertFlag::Undefined => "the processor CA",
        _ => "the platform CA",
    }
}

#[cfg(test)]
mod tests;
