//! SGX under Gramine and Occlum, and Nitro.

use std::sync::Arc;

use mc2_attestation::{
    Tee,
    test_util::forger::{Enclave, Nitro},
};
use mc2_protocol::evidence::Register384;

use super::{
    ASKED, at_once, attester, fixed_once, intel, judged,
    machine::{Machine, Parts},
    nitro::Module,
    policy, register,
    sgx::{Occlum, Quoting, gramine, occlum},
};

/// An enclave's quotes, by a forged Intel.
pub(crate) fn quoting() -> Quoting {
    Arc::new(|asked| intel().sgx_quote(&Enclave::new([0x11; 32], *asked)).value.0)
}

#[test]
fn quotes_under_gramine_that_are_asked_for_at_once_are_each_about_what_was_asked() {
    let machine = Machine::mount(gramine(Parts::default(), quoting()));
    let attester = attester(&machine);
    assert_eq!(attester.tee(), Tee::Sgx);
    at_once(attester.as_ref(), |attested| {
        judged(attested, &[intel().collateral(Tee::Sgx)], intel().roots())
    });
}

#[test]
fn a_quote_under_gramine_over_something_else_is_asked_for_again_and_then_refused() {
    let other: Quoting = Arc::new(|_| {
        let enclave = Enclave::new([0x11; 32], [0x33; 64]);
        intel().sgx_quote(&enclave).value.0
    });
    let machine = Machine::mount(gramine(Parts::default(), other));
    let failed = attester(&machine).evidence(&ASKED).expect_err("no quote");
    assert!(failed.to_string().contains("something else"), "{failed}");
    let nothing: Quoting = Arc::new(|_| vec![3, 0, 7]);
    let machine = Machine::mount(gramine(Parts::default(), nothing));
    let failed = attester(&machine).evidence(&ASKED).expect_err("no quote");
    assert!(failed.to_string().contains("no quote"), "{failed}");
}

fn under_occlum(length: u32, became: Option<u32>) -> Machine {
    let device = Occlum {
        quoting: quoting(),
        length,
        became,
    };
    Machine::mount(occlum(Parts::default(), device))
}

#[test]
fn quotes_under_occlum_that_are_asked_for_at_once_are_each_about_what_was_asked() {
    let machine = under_occlum(8192, None);
    let attester = attester(&machine);
    assert_eq!(attester.tee(), Tee::Sgx);
    at_once(attester.as_ref(), |attested| {
        judged(attested, &[intel().collateral(Tee::Sgx)], intel().roots())
    });
}

#[test]
fn a_length_that_occlum_cannot_have_written_is_refused() {
    let machine = under_occlum(8192, Some(8193));
    let failed = attester(&machine).evidence(&ASKED).expect_err("no quote");
    assert!(failed.to_string().contains("8193"), "{failed}");
    let short = under_occlum(100, None);
    assert!(attester(&short).evidence(&ASKED).is_err());
}

#[test]
fn documents_of_a_nitro_enclave_are_each_about_what_was_asked() {
    let machine = Machine::mount(Module::put(Parts::default(), &Arc::new(Module::new())));
    let attester = attester(&machine);
    assert_eq!(attester.tee(), Tee::Nitro);
    at_once(attester.as_ref(), |attested| {
        judged(attested, &[], Nitro::roots())
    });
}

#[test]
fn a_nitro_enclave_locks_the_policy_it_was_started_for_into_its_register() {
    let module = Arc::new(Module::new());
    let machine = Machine::mount(Module::put(Parts::default(), &module));
    let attester = fixed_once(&machine);
    let mut expected = Register384::default();
    expected.extend(policy().as_bytes());
    assert_eq!(module.tenant(), (expected.0, true));
    let attested = attester.evidence(&ASKED).expect("evidence");
    let claims = judged(&attested, &[], Nitro::roots());
    assert_eq!(register(claims, "PCR16"), expected.0);
}

#[test]
fn what_the_nitro_module_refuses_is_told_in_its_words() {
    let module = Arc::new(Module::refusing("InternalError"));
    let machine = Machine::mount(Module::put(Parts::default(), &module));
    let mut attester = attester(&machine);
    let failed = attester.evidence(&ASKED).expect_err("no document");
    assert!(failed.to_string().contains("InternalError"), "{failed}");
    assert!(attester.fix_tenant(&policy()).is_err());
}
