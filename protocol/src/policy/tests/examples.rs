//! The files in `policies/`, whose parties have the keys of the tests.

use super::*;

const CARD_FRAUD: &[u8] = include_bytes!("../../../../policies/card-fraud.toml");
const ONE_PARTY: &[u8] = include_bytes!("../../../../policies/one-party.toml");
const TWO_CLINICS: &[u8] = include_bytes!("../../../../policies/two-clinics.toml");

#[test]
fn the_one_party_example_runs_in_the_simulator() {
    let policy = Policy::parse(ONE_PARTY).unwrap();
    policy.require_enforced().unwrap();
    assert_eq!(
        *policy.parties(),
        [Arc::new(identity("analyst", 21).card().clone())]
    );
}

#[test]
fn the_two_clinics_example_runs_in_the_simulator() {
    let policy = Policy::parse(TWO_CLINICS).unwrap();
    policy.require_enforced().unwrap();
    let north = identity("clinic-north", 31);
    let south = identity("clinic-south", 32);
    let cards = [north.card(), south.card()].map(|card| Arc::new(card.clone()));
    assert_eq!(*policy.parties(), cards);
    let approve = policy.jobs()[0].approve.as_ref().unwrap();
    assert_eq!((approve.at_least, approve.when), (2, When::Job));
}

#[test]
fn the_card_fraud_example_is_the_whole_schema_and_names_what_waits() {
    let policy = Policy::parse(CARD_FRAUD).unwrap();
    let banks = [identity("bank-a", 1), identity("bank-b", 2)];
    let cards = banks.map(|bank| Arc::new(bank.card().clone()));
    assert_eq!(*policy.parties(), cards);
    let fields: Vec<String> = policy
        .unenforced()
        .iter()
        .map(ToString::to_string)
        .collect();
    let fields = fields.join("\n");
    for field in ["tee \"sev-snp\"", "tee \"tdx\""] {
        assert!(fields.contains(field), "{field}:\n{fields}");
    }
}
