//! An Azure VM, by a real TPM.

use std::sync::Arc;

use mc2_attestation::{
    Tee,
    test_util::forger::{Snp, Vtpm},
};
use mc2_protocol::Digest;
use mc2_runtime::detect;

use super::{
    ASKED, at_once, attester, fixed_once, judged,
    machine::{Machine, Parts},
    policy, register,
    tpm::Tpm,
};

/// What the paravisor calls a report of SEV-SNP, and of TDX.
pub(crate) const SNP: u32 = 2;
const TDX: u32 = 4;

/// A VM of a forged AMD's, with a TPM of its own.
pub(crate) fn azure(kind: u32) -> (Arc<Tpm>, Machine) {
    let tpm = Tpm::start(&Snp::milan(), kind);
    let machine = Machine::mount(Tpm::put(Parts::default(), &tpm));
    (tpm, machine)
}

#[test]
fn a_real_tpms_quotes_are_each_about_what_was_asked() {
    let (tpm, machine) = azure(SNP);
    let attester = attester(&machine);
    assert_eq!(attester.tee(), Tee::AzureVtpm);
    at_once(attester.as_ref(), |attested| {
        judged(attested, &tpm.endorsements, Vtpm::roots())
    });
}

#[test]
fn an_azure_vm_measures_the_policy_it_was_started_for_once() {
    let (tpm, machine) = azure(SNP);
    let attester = fixed_once(&machine);
    let attested = attester.evidence(&ASKED).expect("evidence");
    let claims = judged(&attested, &tpm.endorsements, Vtpm::roots());
    let expected = Digest::of(&[[0; 32], *policy().as_bytes()].concat());
    assert_eq!(register(claims, "PCR14"), expected.as_bytes());
}

#[test]
fn an_azure_vm_whose_register_something_else_extended_does_not_start_for_a_policy() {
    let (tpm, machine) = azure(SNP);
    tpm.boot_with_shim();
    let refused = attester(&machine).fix_tenant(&policy());
    let refused = refused.expect_err("a register that was extended");
    assert!(refused.to_string().contains("shim"), "{refused}");
}

#[test]
fn a_tpm_without_azures_report_and_one_over_tdx_are_no_enclave_of_this_release() {
    let found = |machine: &Machine| match detect(&machine.devices()) {
        Ok(attester) => panic!("{}", attester.tee()),
        Err(none) => none.to_string(),
    };
    let blank = Arc::new(Tpm::blank());
    let machine = Machine::mount(Tpm::put(Parts::default(), &blank));
    let text = found(&machine);
    assert!(text.contains("a TPM alone proves nothing"), "{text}");
    let (_tpm, machine) = azure(TDX);
    let text = found(&machine);
    assert!(text.contains("TDX is beneath"), "{text}");
}
