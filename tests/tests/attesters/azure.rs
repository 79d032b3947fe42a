//! An Azure VM, by a real TPM.

use std::sync::Arc;

use mc2_attestation::{
    Tee,
    test_util::forger::{Snp, Td, Vtpm},
};
use mc2_protocol::Digest;
use mc2_runtime::detect;

use super::{
    ASKED, at_once, attester, fixed_once, intel, judged,
    machine::{Machine, Parts},
    metadata::{Answer, Metadata, quoted},
    policy, register,
    tpm::Tpm,
};

/// A VM of a forged AMD's, with a TPM of its own.
pub(crate) fn over_snp() -> (Arc<Tpm>, Machine) {
    let tpm = Tpm::start(&Snp::milan());
    let machine = Machine::mount(Tpm::put(Parts::default(), &tpm));
    (tpm, machine)
}

/// A VM of a forged Intel's, with a TPM of its own and a service that quotes.
pub(crate) fn over_tdx() -> (Machine, Metadata) {
    over_tdx_that(|asked| quoted(&quote(asked)))
}

fn over_tdx_that(answer: impl Fn(&[u8; 64]) -> Answer + Send + 'static) -> (Machine, Metadata) {
    let machine = Machine::mount(Tpm::put(Parts::default(), &Tpm::over_tdx()));
    let service = Metadata::start(&machine, answer);
    (machine, service)
}

/// A quote of a TD over these bytes.
fn quote(asked: &[u8; 64]) -> Vec<u8> {
    let td = Td::new(4, [0x11; 48], *asked);
    intel().tdx_quote(&td).value.0
}

#[test]
fn a_real_tpms_quotes_are_each_about_what_was_asked() {
    let (tpm, machine) = over_snp();
    let attester = attester(&machine);
    assert_eq!(attester.tee(), Tee::AzureVtpm);
    at_once(attester.as_ref(), |attested| {
        judged(attested, &tpm.endorsements, Vtpm::roots())
    });
}

#[test]
fn an_azure_vm_measures_the_policy_it_was_started_for_once() {
    let (tpm, machine) = over_snp();
    let attester = fixed_once(&machine);
    let attested = attester.evidence(&ASKED).expect("evidence");
    let claims = judged(&attested, &tpm.endorsements, Vtpm::roots());
    let expected = Digest::of(&[[0; 32], *policy().as_bytes()].concat());
    assert_eq!(register(claims, "PCR14"), expected.as_bytes());
}

#[test]
fn an_azure_vm_whose_register_something_else_extended_does_not_start_for_a_policy() {
    let (tpm, machine) = over_snp();
    tpm.boot_with_shim();
    let refused = attester(&machine).fix_tenant(&policy());
    let refused = refused.expect_err("a register that was extended");
    assert!(refused.to_string().contains("shim"), "{refused}");
}

#[test]
fn a_tpm_without_azures_report_is_no_enclave() {
    let blank = Arc::new(Tpm::blank());
    let machine = Machine::mount(Tpm::put(Parts::default(), &blank));
    let text = match detect(&machine.devices()) {
        Ok(attester) => panic!("{}", attester.tee()),
        Err(none) => none.to_string(),
    };
    assert!(text.contains("a TPM alone proves nothing"), "{text}");
}

#[test]
fn quotes_of_an_azure_vm_over_tdx_are_each_about_what_was_asked() {
    let (machine, service) = over_tdx();
    let attester = attester(&machine);
    assert_eq!(attester.tee(), Tee::AzureVtpm);
    let roots = || Vtpm::roots().with_intel(intel().root());
    at_once(attester.as_ref(), |attested| {
        judged(attested, &[intel().collateral(Tee::Tdx)], roots())
    });
    // The report beneath is the same until the VM starts again.
    let asked = service.asked();
    let attested = attester.evidence(&ASKED).expect("evidence");
    judged(&attested, &[intel().collateral(Tee::Tdx)], roots());
    assert_eq!(service.asked(), asked);
}

/// The metadata service is the host's.
#[test]
fn what_azures_metadata_service_says_counts_only_as_a_quote_of_this_td() {
    let failed = |answer: fn(&[u8; 64]) -> Answer| {
        let (machine, _service) = over_tdx_that(answer);
        let failed = attester(&machine).evidence(&ASKED).expect_err("no quote");
        failed.to_string()
    };
    let of_another = failed(|_| quoted(&quote(&[0x33; 64])));
    assert!(of_another.contains("of another report"), "{of_another}");
    let short = failed(|asked| quoted(&quote(asked)[..600]));
    assert!(short.contains("of another report"), "{short}");
    let busy = failed(|asked| (429, quoted(&quote(asked)).1));
    assert!(busy.contains("status 429"), "{busy}");
    let words = failed(|_| (200, "{\"quote\":\"a quote\"}".to_owned()));
    assert!(words.contains("not base64"), "{words}");
    let endless = failed(|_| (200, " ".repeat(1 << 20)));
    assert!(endless.contains("metadata service"), "{endless}");
    let (machine, service) = over_tdx();
    drop(service);
    let gone = attester(&machine).evidence(&ASKED).expect_err("no service");
    assert!(gone.to_string().contains("metadata service"), "{gone}");
}
