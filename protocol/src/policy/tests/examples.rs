//! The files in `policies/`, whose parties have the keys of the tests.

use super::*;

const CARD_FRAUD: &[u8] = include_bytes!("../../../../policies/card-fraud.toml");
const ONE_PARTY: &[u8] = include_bytes!("../../../../policies/one-party.toml");
const TWO_CLINICS: &[u8] = include_bytes!("../../../../policies/two-clinics.toml");

#[test]
fn the_one_party_example_runs_in_the_simulator() {
    let policy = Policy::parse(ONE_PARTY).unwrap();
    assert_eq!(
        *policy.parties(),
        [Arc::new(identity("analyst", 21).card().clone())]
    );
}

#[test]
fn the_two_clinics_example_runs_in_the_simulator() {
    let policy = Policy::parse(TWO_CLINICS).unwrap();
    let north = identity("clinic-north", 31);
    let south = identity("clinic-south", 32);
    let cards = [north.card(), south.card()].map(|card| Arc::new(card.clone()));
    assert_eq!(*policy.parties(), cards);
    let approve = policy.jobs()[0].approve.as_ref().unwrap();
    assert_eq!((approve.at_least, approve.when), (2, When::Job));
}

#[test]
fn the_card_fraud_example_accepts_two_kinds_of_hardware() {
    let policy = Policy::parse(CARD_FRAUD).unwrap();
    let banks = [identity("bank-a", 1), identity("bank-b", 2)];
    let cards = banks.map(|bank| Arc::new(bank.card().clone()));
    assert_eq!(*policy.parties(), cards);
    assert_eq!(policy.enclave().tee, [Tee::SevSnp, Tee::Tdx]);
}
