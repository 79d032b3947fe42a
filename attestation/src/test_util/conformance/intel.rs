//! SGX and TDX.

use mc2_protocol::{Digest, evidence::EventLog};

use super::{ASKED, Sample};
use crate::{
    Evidence, Tee, UnixSeconds,
    test_util::forger::{Enclave, Forged, Intel, NOW, Td, any},
};

/// What differs from a good sample, before anything is signed.
type Change = fn(&mut Intel, &mut Enclave, &mut Td);
/// And after.
type Damage = fn(&mut Forged);

/// Name, the check that refuses it, what is said of it, and what is changed.
type Row = (&'static str, Option<&'static str>, &'static str, Change);

/// Where a quote of each kind has the signature over it.
const SGX_SIGNATURE: usize = 48 + 384 + 4;

pub(super) fn sgx() -> Vec<Sample> {
    let rows: [Row; 12] = [
        ("sgx-good", None, "an enclave as it should be", |_, _, _| ()),
        (
            "sgx-no-measurement",
            Some("quote"),
            "MRENCLAVE is zero",
            |_, enclave, _| enclave.measurement = [0; 32],
        ),
        (
            "sgx-list-without-end",
            Some("intel-crl"),
            "the list of platforms' certificates does not say when the next one comes",
            |intel, _, _| intel.next_update = false,
        ),
        (
            "sgx-tcb-info-expired",
            Some("tcb-info"),
            "the TCB info's next update is past",
            |intel, _, _| intel.info_good.until = UnixSeconds(NOW.0 - 1),
        ),
        (
            "sgx-identity-expired",
            Some("qe-identity"),
            "the quoting enclave's identity's next update is past",
            |intel, _, _| intel.identity_good.until = UnixSeconds(NOW.0 - 1),
        ),
        (
            "sgx-platform-revoked",
            Some("quote-signature"),
            "the platform's certificate is on the list",
            |intel, _, _| intel.revoked = true,
        ),
        (
            "sgx-tcb-revoked",
            Some("tcb-level"),
            "the platform's TCB level is Revoked",
            |intel, _, _| intel.status = "Revoked",
        ),
        (
            "sgx-below-every-level",
            Some("tcb-level"),
            "the platform reaches no TCB level",
            |intel, _, _| intel.required_svn = 8,
        ),
        (
            "sgx-debug",
            Some("debug"),
            "the enclave is in debug mode",
            |_, enclave, _| enclave.attributes[0] |= 2,
        ),
        (
            "sgx-hyperthreading",
            Some("platform-configuration"),
            "the platform's certificate says that hyperthreading is on",
            |intel, _, _| intel.smt = true,
        ),
        (
            "sgx-out-of-date",
            Some("tcb"),
            "the platform is OutOfDate",
            |intel, _, _| {
                intel.status = "OutOfDate";
                intel.advisories = vec!["INTEL-SA-00001"];
            },
        ),
        (
            "sgx-hardening-needed",
            Some("tcb"),
            "the platform is SWHardeningNeeded",
            |intel, _, _| intel.status = "SWHardeningNeeded",
        ),
    ];
    let damaged: [(&str, Option<&str>, &str, Damage); 6] = [
        (
            "sgx-zeros-behind",
            None,
            "zeros stand behind the quote's end",
            |forged| forged.evidence.value.0.extend([0; 64]),
        ),
        (
            "sgx-something-behind",
            Some("quote"),
            "something stands behind the quote's end",
            |forged| forged.evidence.value.0.push(1),
        ),
        (
            "sgx-cut",
            Some("quote"),
            "the quote's last byte is missing",
            |forged| {
                forged.evidence.value.0.pop();
            },
        ),
        (
            "sgx-no-collateral",
            Some("collateral"),
            "there is no collateral",
            |forged| forged.endorsements.clear(),
        ),
        (
            "sgx-collateral-twice",
            Some("collateral"),
            "there are two of it",
            |forged| forged.endorsements.extend(forged.endorsements.clone()),
        ),
        (
            "sgx-signature-altered",
            Some("quote-signature"),
            "one bit of the signature over the quote is another",
            |forged| forged.evidence.value.0[SGX_SIGNATURE] ^= 1,
        ),
    ];
    let good = quoted(Tee::Sgx, 4, |_, _, _| ());
    let whole = rows.map(|(name, refused_by, what, change)| Sample {
        name,
        tee: Tee::Sgx,
        forged: quoted(Tee::Sgx, 4, change),
        refused_by,
        what,
    });
    let damaged = damaged.map(|(name, refused_by, what, damage)| {
        let mut forged = good.clone();
        damage(&mut forged);
        Sample {
            name,
            tee: Tee::Sgx,
            forged,
            refused_by,
            what,
        }
    });
    whole.into_iter().chain(damaged).collect()
}

pub(super) fn tdx() -> Vec<Sample> {
    let rows: [(u16, Row); 13] = [
        (
            4,
            ("tdx-4-good", None, "a TD 1.0 as it should be", |_, _, _| ()),
        ),
        (
            5,
            ("tdx-5-good", None, "a TD 1.5 as it should be", |_, _, _| ()),
        ),
        (
            5,
            (
                "tdx-configured",
                None,
                "MRCONFIGID is set: a claim like others",
                |_, _, td| td.config_id = [0xc0; 48],
            ),
        ),
        (
            5,
            (
                "tdx-no-measurement",
                Some("quote"),
                "MRTD is zero",
                |_, _, td| td.measurement = [0; 48],
            ),
        ),
        (
            5,
            (
                "tdx-list-without-end",
                Some("intel-crl"),
                "the list of platforms' certificates does not say when the next one comes",
                |intel, _, _| intel.next_update = false,
            ),
        ),
        (
            4,
            (
                "tdx-migratable",
                Some("td-attributes"),
                "the TD can be migrated",
                |_, _, td| td.attributes |= 1 << 29,
            ),
        ),
        (
            4,
            (
                "tdx-without-sept-ve-disable",
                Some("td-attributes"),
                "the host can feed pages unseen",
                |_, _, td| td.attributes &= !(1 << 28),
            ),
        ),
        (
            5,
            (
                "tdx-unknown-attribute",
                Some("td-attributes"),
                "an attribute is set that nobody knows",
                |_, _, td| td.attributes |= 1 << 40,
            ),
        ),
        (
            4,
            (
                "tdx-debug",
                Some("debug"),
                "the TD is in debug mode",
                |_, _, td| td.attributes |= 1,
            ),
        ),
        (
            5,
            (
                "tdx-profiled",
                Some("debug"),
                "the TD can be profiled, a bit of the same group",
                |_, _, td| td.attributes |= 1 << 4,
            ),
        ),
        (
            5,
            (
                "tdx-service-td",
                Some("service-td"),
                "a service TD is bound",
                |_, _, td| td.service_td[47] = 1,
            ),
        ),
        (
            5,
            (
                "tdx-service-td-possible",
                Some("service-td"),
                "SERVTD_EXT: one may be bound",
                |_, _, td| td.attributes |= 1 << 17,
            ),
        ),
        (
            5,
            (
                "tdx-out-of-date",
                Some("tcb"),
                "the platform is OutOfDate",
                |intel, _, _| intel.status = "OutOfDate",
            ),
        ),
    ];
    let whole = rows.map(|(version, (name, refused_by, what, change))| Sample {
        name,
        tee: Tee::Tdx,
        forged: quoted(Tee::Tdx, version, change),
        refused_by,
        what,
    });
    let log = EventLog::of_tenant(&Digest::of(b"a policy"));
    let logged = |change: Change| {
        let mut forged = quoted(Tee::Tdx, 5, change);
        forged.endorsements.push(log.endorsement());
        forged
    };
    let sample = |name, forged, refused_by, what| Sample {
        name,
        tee: Tee::Tdx,
        forged,
        refused_by,
        what,
    };
    let logged = [
        sample(
            "tdx-event-log",
            logged(|_, _, td| {
                td.rtmrs[3] = EventLog::of_tenant(&Digest::of(b"a policy")).register().0;
            }),
            None,
            "an event log that gives what RTMR3 holds",
        ),
        sample(
            "tdx-other-event-log",
            logged(|_, _, _| ()),
            Some("event-log"),
            "an event log that does not",
        ),
    ];
    whole.into_iter().chain(logged).collect()
}

fn quoted(tee: Tee, version: u16, change: Change) -> Forged {
    let mut intel = any::intel();
    let mut enclave = Enclave::new([0x11; 32], ASKED);
    let mut td = Td::new(version, [0x11; 48], ASKED);
    change(&mut intel, &mut enclave, &mut td);
    let evidence: Evidence = match tee {
        Tee::Sgx => intel.sgx_quote(&enclave),
        _ => intel.tdx_quote(&td),
    };
    Forged {
        evidence,
        endorsements: vec![intel.collateral(tee)],
    }
}
