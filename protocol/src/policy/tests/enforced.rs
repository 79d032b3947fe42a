//! What this release refuses to pretend.

use super::*;

fn unenforced(text: &str) -> PolicyError {
    parse(text).require_enforced().unwrap_err()
}

#[test]
fn what_is_not_enforced_is_refused_by_name() {
    let error = unenforced(&with(&two_banks(), "[\"sim\"]", "[\"tdx\"]"));
    assert_eq!(error.code(), "policy-not-enforced");
    assert!(error.to_string().contains("tee \"tdx\""), "{error}");
}

#[test]
fn all_that_is_not_enforced_is_listed() {
    let text = with(&two_banks(), "[\"sim\"]", "[\"tdx\", \"nitro\"]");
    assert_eq!(parse(&text).unenforced().len(), 2);
}

#[test]
fn a_broker_is_enforced() {
    let broker = brokered("bank-a", &clinic(), &bank_a());
    let text = with(&two_banks(), "owner = \"bank-a\"", &broker);
    parse(&text).require_enforced().unwrap();
}

#[test]
fn keys_for_guests_and_hidden_accesses_are_enforced() {
    let text = with(&two_banks(), "\"access\"", "\"volume\"");
    let keys = "component = \"sql\"\nkeys = { k = \"bank-a\" }";
    let policy = parse(&with(&text, "component = \"sql\"", keys));
    policy.require_enforced().unwrap();
    assert_eq!(policy.visible(), Visible::Volume);
    let (name, other): (Name, Name) = ("k".parse().unwrap(), "l".parse().unwrap());
    let (a, b) = (bank_a(), bank_b());
    policy.check_guest_key(a.card().digest(), &name).unwrap();
    let refused = |giver: &Identity, name| {
        let refused = policy.check_guest_key(giver.card().digest(), name);
        refused.unwrap_err().code()
    };
    assert_eq!(refused(&b, &name), "not-the-giver");
    assert_eq!(refused(&a, &other), "unknown-guest-key");
}

#[test]
fn a_step_of_several_instances_is_enforced() {
    let text = with(
        &two_banks(),
        "component = \"xgboost\"",
        "component = \"xgboost\"\ninstances = 16",
    );
    let policy = parse(&text);
    policy.require_enforced().unwrap();
    assert_eq!(policy.jobs()[0].steps[1].instances, 16);
}
