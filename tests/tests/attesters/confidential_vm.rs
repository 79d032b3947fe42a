//! TDX and SEV-SNP, over configfs-tsm.

use std::{fs::File, io::Write as _, sync::Arc};

use mc2_attestation::{
    Tee,
    test_util::forger::{Forged, Snp, Td},
};
use mc2_protocol::{
    documents::receipt::MAX_EVIDENCE_LEN,
    evidence::{CERTIFICATE_TYPE, EventLog, REVOCATION_LIST_TYPE},
};
use mc2_runtime::detect;

use super::{
    ASKED, at_once, attester, fixed_once, intel, judged,
    machine::{Errno, Machine, Parts},
    policy, register,
    tsm::{self, Answer, Provider, Rtmr, Trouble, reports, without_provider},
};

/// VCEK and CRL, as AMD's GHCB specification names them.
const VCEK: &str = "63da758de6644564adc5f4b93be8accd";
const CRL: &str = "92f81bc358114d3d97ffd19f88dc67ea";

/// An SNP guest on a forged chip whose host has its certificates at hand.
pub(crate) fn snp(trouble: Trouble) -> Machine {
    snp_that(trouble, |asked| {
        Ok(with_certificates(Snp::genoa().sign(asked)))
    })
}

/// A report, and the certificates beside it as a host gives them.
pub(super) fn with_certificates(forged: Forged) -> (Vec<u8>, Vec<u8>) {
    let [certificate, list] = &forged.endorsements[..] else {
        panic!("a certificate and a list");
    };
    let table = table(&[
        (VCEK, certificate.value.as_slice()),
        (CRL, list.value.as_slice()),
    ]);
    (forged.evidence.value.0, table)
}

fn snp_that(
    trouble: Trouble,
    report: impl Fn(&[u8; 64]) -> Answer + Send + Sync + 'static,
) -> Machine {
    let provider = Provider {
        name: "sev_guest\n",
        report: Box::new(report),
        trouble,
    };
    Machine::mount(reports(Parts::default(), provider))
}

/// A TD of a forged Intel's.
pub(crate) fn tdx(rtmr3: &Arc<Rtmr>) -> Machine {
    let held = Arc::clone(rtmr3);
    let provider = Provider {
        name: "tdx_guest\n",
        report: Box::new(move |asked| {
            let mut td = Td::new(4, [0x11; 48], *asked);
            td.rtmrs[3] = held.held();
            Ok((intel().tdx_quote(&td).value.0, Vec::new()))
        }),
        trouble: Trouble::None,
    };
    Machine::mount(tsm::register(reports(Parts::default(), provider), rtmr3))
}

fn table(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut offset = (entries.len() + 1) * 24;
    let (mut head, mut body) = (Vec::new(), Vec::new());
    for (guid, bytes) in entries {
        head.extend(hex::decode(guid).expect("a GUID"));
        head.extend((offset as u32).to_le_bytes());
        head.extend((bytes.len() as u32).to_le_bytes());
        offset += bytes.len();
        body.extend(*bytes);
    }
    head.extend([0; 24]);
    [head, body, vec![0; 512]].concat()
}

/// How an attester of this guest's fails.
fn failure(machine: &Machine) -> String {
    let attester = attester(machine);
    let failed = attester.evidence(&ASKED).expect_err("no evidence");
    // What was made for it is gone all the same.
    assert_eq!(entries(machine), 0);
    failed.to_string()
}

fn entries(machine: &Machine) -> usize {
    machine.entries("sys/kernel/config/tsm/report")
}

#[test]
fn an_snp_guests_report_comes_with_its_certificates() {
    let machine = snp(Trouble::None);
    let attester = attester(&machine);
    assert_eq!(attester.tee(), Tee::SevSnp);
    let attested = attester.evidence(&ASKED).expect("evidence");
    let types: Vec<&str> = attested
        .endorsements
        .iter()
        .map(|one| one.media_type.as_str())
        .collect();
    assert_eq!(types, [CERTIFICATE_TYPE, REVOCATION_LIST_TYPE]);
    let claims = judged(&attested, &[], Snp::roots());
    assert!(claims.report_data.is(&ASKED));
    assert_eq!(entries(&machine), 0);
}

#[test]
fn a_report_without_certificates_or_with_a_broken_table_is_evidence_all_the_same() {
    for table in [vec![], vec![0xff; 100]] {
        let machine = snp_that(Trouble::None, move |asked| {
            Ok((Snp::genoa().sign(asked).evidence.value.0, table.clone()))
        });
        let attested = attester(&machine).evidence(&ASKED).expect("evidence");
        assert_eq!(attested.endorsements, []);
        let brought = Snp::genoa().sign(&ASKED).endorsements;
        let claims = judged(&attested, &brought, Snp::roots());
        assert!(claims.report_data.is(&ASKED));
    }
}

#[test]
fn reports_that_are_asked_for_at_once_are_each_about_what_was_asked() {
    let machine = snp(Trouble::None);
    at_once(attester(&machine).as_ref(), |attested| {
        judged(attested, &[], Snp::roots())
    });
    assert_eq!(entries(&machine), 0);
}

/// The count of writes grows by exactly our own, or nothing is believed.
#[test]
fn a_report_that_somebody_else_may_have_asked_for_is_refused() {
    // It is read twice, report and certificates, or as often as the kernel likes, and they meddle each
    // time.
    for trouble in [Trouble::Meddler, Trouble::LateMeddler] {
        let failed = failure(&snp(trouble));
        assert!(failed.contains("generation went from 0 to"), "{failed}");
        assert!(
            failed.contains("somebody else asked in between"),
            "{failed}"
        );
    }
    // Closing the file said that all is well; there is nothing to report on.
    let failed = failure(&snp(Trouble::Deaf));
    assert!(failed.contains("outblob"), "{failed}");
}

#[test]
fn a_report_that_is_not_one_over_what_was_asked_is_refused() {
    let other = |_: &[u8; 64]| {
        let forged = Snp::genoa().sign(&[0x33; 64]);
        Ok((forged.evidence.value.0, Vec::new()))
    };
    let failed = failure(&snp_that(Trouble::None, other));
    assert!(failed.contains("other report data"), "{failed}");
    for (length, found) in [
        (0, "empty"),
        (1183, "1183 bytes"),
        (1185, "1185 bytes"),
        (MAX_EVIDENCE_LEN + 1, "more than"),
    ] {
        let machine = snp_that(Trouble::None, move |_| Ok((vec![7; length], Vec::new())));
        let failed = failure(&machine);
        assert!(failed.contains(found), "{failed}");
    }
    let failed = failure(&snp_that(Trouble::None, |_| Err(Errno::EIO)));
    assert!(failed.contains("outblob"), "{failed}");
}

/// HOST_DATA is whoever launches the guest's to set.
#[test]
fn an_snp_guest_launched_for_another_policy_does_not_serve_this_one() {
    let launched_for = |host_data: [u8; 32]| {
        let machine = snp_that(Trouble::None, move |asked| {
            let mut snp = Snp::genoa();
            snp.host_data = host_data;
            Ok((snp.sign(asked).evidence.value.0, Vec::new()))
        });
        attester(&machine).fix_tenant(&policy())
    };
    assert!(launched_for([0; 32]).is_ok());
    assert!(launched_for(*policy().as_bytes()).is_ok());
    let refused = launched_for([7; 32]).expect_err("another policy");
    assert!(refused.to_string().contains("another policy"), "{refused}");
}

#[test]
fn a_tds_quotes_that_are_asked_for_at_once_are_each_about_what_was_asked() {
    let machine = tdx(&Arc::default());
    let attester = attester(&machine);
    assert_eq!(attester.tee(), Tee::Tdx);
    let attested = attester.evidence(&ASKED).expect("evidence");
    assert_eq!(attested.endorsements, []);
    at_once(attester.as_ref(), |attested| {
        judged(attested, &[intel().collateral(Tee::Tdx)], intel().roots())
    });
}

/// Row 6: the log that comes along is the register's, and nobody need believe it.
#[test]
fn a_td_measures_the_policy_it_was_started_for_once_and_says_what_it_measured() {
    let rtmr3 = Arc::<Rtmr>::default();
    let machine = tdx(&rtmr3);
    let attester = fixed_once(&machine);
    let attested = attester.evidence(&ASKED).expect("evidence");
    let [log] = &attested.endorsements[..] else {
        panic!("{:?}", attested.endorsements);
    };
    assert_eq!(log.media_type, EventLog::MEDIA_TYPE);
    let log = EventLog::parse(log.value.as_slice()).expect("a log");
    assert_eq!(log, EventLog::of_tenant(&policy()));
    assert_eq!(log.register().0, rtmr3.held());
    let collateral = intel().collateral(Tee::Tdx);
    let claims = judged(&attested, &[collateral], intel().roots());
    assert_eq!(register(claims, "RTMR3"), rtmr3.held());
}

#[test]
fn a_td_whose_register_something_else_extended_does_not_start_for_a_policy() {
    let rtmr3 = Arc::<Rtmr>::default();
    let machine = tdx(&rtmr3);
    let path = "sys/devices/virtual/misc/tdx_guest/measurements/rtmr3:sha384";
    let mut device = File::options()
        .write(true)
        .open(machine.path(path))
        .expect("the register");
    device.write_all(&[5; 48]).expect("extended");
    drop(device);
    let before = rtmr3.held();
    let refused = attester(&machine).fix_tenant(&policy());
    let refused = refused.expect_err("a register that was extended");
    assert!(refused.to_string().contains("RTMR3"), "{refused}");
    assert_eq!(rtmr3.held(), before);
}

/// What a machine says whose kernel could, and whose VM is no confidential one.
#[test]
fn a_kernel_that_has_the_interface_and_no_tee_is_told_apart() {
    let machine = Machine::mount(without_provider(Parts::default()));
    let Err(none) = detect(&machine.devices()) else {
        panic!("a TEE");
    };
    assert!(none.to_string().contains("nobody answers"), "{none}");
    let unknown = Provider {
        name: "arm_cca_guest",
        report: Box::new(|_| Err(Errno::EIO)),
        trouble: Trouble::None,
    };
    let machine = Machine::mount(reports(Parts::default(), unknown));
    let Err(none) = detect(&machine.devices()) else {
        panic!("a TEE");
    };
    assert!(none.to_string().contains("arm_cca_guest"), "{none}");
}
