//! Evidence of any kind of TEE, as the attester of a runtime in one would give it, and who believes
//! it.

use super::{Enclave, Forged, Intel, NOW, Nitro, Snp, Td, Vtpm};
use crate::{Interval, ReferenceValue, Tee, UnixSeconds, claims::Claims, tee::Roots};

const DAY: u64 = 86_400;
/// The registers that a reference value names, where its kind has some.
const NAMED: [&str; 5] = ["RTMR0", "RTMR1", "RTMR2", "PCR1", "PCR2"];

/// Evidence of `tee` over `report_data`, and what its vendor would say of it as of [`NOW`]. It
/// measures the same each time.
///
/// # Panics
/// For the simulator, whose evidence needs no forger.
pub fn evidence(tee: Tee, report_data: &[u8; 64]) -> Forged {
    let intel = intel();
    let quoted = |evidence| Forged {
        evidence,
        endorsements: vec![intel.collateral(tee)],
    };
    match tee {
        Tee::Sim => unreachable!("the simulator signs for itself"),
        Tee::Sgx => quoted(intel.sgx_quote(&Enclave::new([0x11; 32], *report_data))),
        Tee::Tdx => quoted(intel.tdx_quote(&Td::new(5, [0x11; 48], *report_data))),
        Tee::SevSnp => Snp::genoa().sign(report_data),
        Tee::Nitro => Nitro::genuine().sign(report_data),
        Tee::AzureVtpm => Vtpm::genuine().sign(report_data),
    }
}

/// The forger's Intel as of [`NOW`].
pub fn intel() -> Intel {
    let good = Interval::new(UnixSeconds(NOW.0 - DAY), UnixSeconds(NOW.0 + 30 * DAY));
    Intel::new(9, good)
}

/// The forger's roots, in all vendors' places.
pub fn roots() -> Roots {
    Snp::roots()
        .with_aws(Nitro::root())
        .with_intel(intel().root())
}

/// The reference value of what these claims say was measured, as a runtime of this name and version.
///
/// # Panics
/// Where a register holds what no register does.
pub fn reference(tee: Tee, claims: Claims, runtime: &str, version: &str) -> ReferenceValue {
    let registers = claims.hardware.into_iter().flat_map(|all| all.registers);
    let named = registers.filter(|register| {
        // What a vTPM's PCRs should hold is in its measurement.
        tee != Tee::AzureVtpm && NAMED.contains(&register.name.as_str())
    });
    let value = |bytes: &[u8]| {
        hex::encode(bytes)
            .parse()
            .unwrap_or_else(|error| unreachable!("a register's value: {error}"))
    };
    ReferenceValue {
        tee,
        measurement: claims.measurement,
        runtime: runtime.to_owned(),
        version: version.to_owned(),
        revoked: false,
        registers: named
            .map(|register| (register.name.clone(), value(&register.value)))
            .collect(),
    }
}
