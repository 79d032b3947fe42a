//! What a verified quote says of how its enclave was set up, and which of it is refused.

use dcap_qvl::{
    PckCertFlag, PckIdentity,
    quote::{Report, TDAttributes},
};

use crate::{
    check::Finding,
    tee::{PlatformFlags, Tee},
};

const SET_UP_ANEW: &str = "the machine's operator must start the enclave with other attributes; \
                           until then do not give this session anything";

/// The library's words for attributes it refuses by itself, after every signature was good.
const REFUSED: [&str; 4] = [
    "Reserved bits in TD attributes are set",
    "TD migration is enabled",
    "SERVTD_EXT is enabled",
    "SEPT_VE_DISABLE is not enabled",
];

/// What to say where the library refused a TD for its attributes alone.
pub(super) fn refused_by_library(tee: Tee, error: &str) -> Option<Finding> {
    let named = tee == Tee::Tdx && REFUSED.contains(&error);
    named.then(|| Finding::failed(GOOD_ATTRIBUTES, error, SET_UP_ANEW))
}

const GOOD_ATTRIBUTES: &str = "a TD that stays on its platform (not MIGRATABLE), to which the host \
                               cannot feed pages unseen (SEPT_VE_DISABLE), with no unknown bit";

/// Not migratable, SEPT_VE_DISABLE set, nothing unknown. The library looks too; said here once
/// more, so that a change there does not let it through.
pub(super) fn lasting(report: &Report) -> Finding {
    let Some(attributes) = td(report) else {
        return Finding::failed(GOOD_ATTRIBUTES, "no TD", SET_UP_ANEW);
    };
    let mut wrong = Vec::new();
    if attributes.sec.migratable {
        wrong.push("MIGRATABLE");
    }
    if !attributes.sec.sept_ve_disable {
        wrong.push("no SEPT_VE_DISABLE");
    }
    if attributes.reserved != 0 {
        wrong.push("unknown bits");
    }
    match wrong.as_slice() {
        [] => Finding::passed("not migratable, SEPT_VE_DISABLE"),
        wrong => Finding::failed(GOOD_ATTRIBUTES, wrong.join(", "), SET_UP_ANEW),
    }
}

/// Whether its owner can look into it: the bit DEBUG of an enclave, any bit of the group TUD ("TD
/// under debug") of a TD.
pub(super) fn in_debug_mode(report: &Report) -> bool {
    match report.as_sgx() {
        Some(enclave) => enclave.attributes[0] & 0x02 != 0,
        None => td(report).is_none_or(|attributes| attributes.tud != 0),
    }
}

pub(super) fn not_in_debug_mode(report: &Report) -> Finding {
    Finding::new(
        !in_debug_mode(report),
        "an enclave nobody can look into",
        if in_debug_mode(report) {
            "one in debug mode"
        } else {
            "off"
        },
        "use a host whose enclaves are not in debug mode",
    )
}

/// No service TD is bound, and none can be: it could move this one elsewhere.
pub(super) fn no_service_td(report: &Report) -> Finding {
    let bound = report
        .as_td15()
        .is_some_and(|newer| newer.mr_service_td != [0; 48]);
    let lately = report.as_td15_ex().is_some_and(|newest| {
        newest.init_service_td_hash != [0; 48] || newest.cur_service_td_hash != [0; 48]
    });
    let extended = td(report).is_none_or(|attributes| attributes.sec.servtd_ext);
    Finding::new(
        !(bound || lately || extended),
        "no service TD bound (MRSERVICETD zero, no SERVTD_EXT)",
        match (bound || lately, extended) {
            (false, false) => "none",
            (true, _) => "a service TD that is bound to it",
            (false, true) => "SERVTD_EXT, by which one may be",
        },
        SET_UP_ANEW,
    )
}

/// The configuration Intel's certificate states of a platform, where it states one.
pub(super) fn configuration(platform: &PckIdentity, accepted: PlatformFlags) -> Finding {
    let flags = [
        ("smt", platform.smt_enabled, accepted.smt),
        (
            "dynamic-platform",
            platform.dynamic_platform,
            accepted.dynamic_platform,
        ),
        ("cached-keys", platform.cached_keys, accepted.cached_keys),
    ];
    let set = flags
        .iter()
        .filter(|(_, flag, _)| *flag == PckCertFlag::True);
    let names = |only_refused: bool| -> Vec<&str> {
        set.clone()
            .filter(|(_, _, accepted)| !(only_refused && *accepted))
            .map(|(name, _, _)| *name)
            .collect()
    };
    let refused = names(true);
    Finding::new(
        refused.is_empty(),
        "no more of smt, dynamic-platform and cached-keys than is accepted",
        match names(false).as_slice() {
            [] => "nothing that weakens it".to_owned(),
            set => set.join(", "),
        },
        "name with --allow what you do not mind: hyperthreading (smt), sockets that can be added \
         (dynamic-platform), root keys kept by Intel's registration service (cached-keys)",
    )
}

fn td(report: &Report) -> Option<TDAttributes> {
    TDAttributes::parse(report.as_td10()?.td_attributes).ok()
}
