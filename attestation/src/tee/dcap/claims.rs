//! What a verified quote says, in the words every TEE's claims have.

use dcap_qvl::{
    QuoteClaims, TcbStatus as Intels,
    quote::{EnclaveReport, Report, TDReport10},
};
use mc2_protocol::{
    encoding::Hex,
    policy::{Platform, TcbStatus},
};

use super::attributes;
use crate::{
    claims::{Claims, Hardware, Register, ReportData, Tcb},
    measurement::Measurement,
};

/// The claims of a verified quote.
pub(super) fn read(examined: &QuoteClaims) -> Option<Claims> {
    let report = &examined.report;
    let (report_data, host_data, registers) = match report.as_td10() {
        Some(td) => (
            td.report_data,
            td.mr_config_id.to_vec(),
            of_a_td(report, td),
        ),
        None => {
            let enclave = report.as_sgx()?;
            let [_, config_id] = halves(&enclave.reserved3);
            (
                enclave.report_data,
                config_id.to_vec(),
                of_an_enclave(enclave),
            )
        }
    };
    Some(Claims {
        report_data: ReportData::Bytes(report_data.to_vec()),
        measurement: measurement(report)?,
        hardware: Some(Hardware {
            platforms: platforms(examined),
            tcb: tcb(examined.tcb.status),
            advisories: advisories(examined),
            debug: attributes::in_debug_mode(report),
            host_data,
            registers,
        }),
    })
}

/// MRENCLAVE or MRTD, where it is not all zero.
pub(super) fn measurement(report: &Report) -> Option<Measurement> {
    let bytes: &[u8] = match report.as_td10() {
        Some(td) => &td.mr_td,
        None => &report.as_sgx()?.mr_enclave,
    };
    Measurement::from_bytes(bytes).ok()
}

/// An enclave's registers. Those of key separation and sharing, which whoever starts the enclave
/// may choose as it allows, the library leaves unnamed.
fn of_an_enclave(enclave: &EnclaveReport) -> Vec<Register> {
    let register = |name: &str, value: &[u8]| Register {
        name: name.to_owned(),
        value: value.to_vec(),
    };
    vec![
        register("MRSIGNER", &enclave.mr_signer),
        register("ISVPRODID", &enclave.isv_prod_id.to_be_bytes()),
        register("ISVSVN", &enclave.isv_svn.to_be_bytes()),
        register("ISVEXTPRODID", &enclave.reserved1[12..]),
        register("CONFIGID", halves(&enclave.reserved3)[1]),
        register("CONFIGSVN", &[enclave.reserved4[1], enclave.reserved4[0]]),
        register("ISVFAMILYID", &enclave.reserved4[44..]),
        register("ATTRIBUTES", &enclave.attributes),
    ]
}

fn of_a_td(report: &Report, td: &TDReport10) -> Vec<Register> {
    let mut registers: Vec<(&str, &[u8])> = vec![
        ("RTMR0", &td.rt_mr0),
        ("RTMR1", &td.rt_mr1),
        ("RTMR2", &td.rt_mr2),
        ("RTMR3", &td.rt_mr3),
        ("MRCONFIGID", &td.mr_config_id),
        ("MROWNER", &td.mr_owner),
        ("MROWNERCONFIG", &td.mr_owner_config),
        ("MRSEAM", &td.mr_seam),
        ("TDATTRIBUTES", &td.td_attributes),
        ("XFAM", &td.xfam),
    ];
    if let Some(newer) = report.as_td15() {
        registers.push(("MRSERVICETD", &newer.mr_service_td));
    }
    registers
        .into_iter()
        .map(|(name, value)| Register {
            name: name.to_owned(),
            value: value.to_vec(),
        })
        .collect()
}

/// The reserved 32 bytes before CONFIGID, and it.
fn halves(reserved3: &[u8; 96]) -> [&[u8]; 2] {
    let (reserved, config_id) = reserved3.split_at(32);
    [reserved, config_id]
}

/// A platform of several sockets has an id; one that says zeros says nothing.
fn platforms(examined: &QuoteClaims) -> Vec<Platform> {
    examined
        .platform
        .pck
        .platform_instance_id
        .filter(|id| id.iter().any(|&byte| byte != 0))
        .map(|id| Platform::Piid(Hex(id)))
        .into_iter()
        .collect()
}

/// Those of the platform, of its module as it runs now, and of the quoting enclave.
fn advisories(examined: &QuoteClaims) -> Vec<String> {
    let running = examined.platform.current_tcb_level.iter();
    let mut all = examined.tcb.advisory_ids.clone();
    for advisory in running.flat_map(|level| &level.advisory_ids) {
        if !all.contains(advisory) {
            all.push(advisory.clone());
        }
    }
    all
}

const fn tcb(status: Intels) -> Tcb {
    Tcb::Known(match status {
        Intels::UpToDate => TcbStatus::UpToDate,
        Intels::SWHardeningNeeded => TcbStatus::SwHardeningNeeded,
        Intels::ConfigurationNeeded => TcbStatus::ConfigurationNeeded,
        Intels::ConfigurationAndSWHardeningNeeded => TcbStatus::ConfigurationAndSwHardeningNeeded,
        Intels::OutOfDate => TcbStatus::OutOfDate,
        Intels::OutOfDateConfigurationNeeded => TcbStatus::OutOfDateConfigurationNeeded,
        Intels::TDRelaunchAdvised => return Tcb::Unacceptable("TDRelaunchAdvised"),
        Intels::TDRelaunchAdvisedConfigurationNeeded => {
            return Tcb::Unacceptable("TDRelaunchAdvisedConfigurationNeeded");
        }
        Intels::Revoked => return Tcb::Unacceptable("Revoked"),
    })
}
