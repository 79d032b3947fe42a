//! Keys for guests, hidden accesses and several instances, as a policy has them.

use super::*;

#[test]
fn keys_for_guests_are_taken_from_who_is_named_beside_hidden_accesses() {
    let text = with(&two_banks(), "\"access\"", "\"volume\"");
    let keys = "component = \"sql\"\nkeys = { k = \"bank-a\" }";
    let policy = parse(&with(&text, "component = \"sql\"", keys));
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
fn a_step_has_as_many_instances_as_the_policy_says() {
    let text = with(
        &two_banks(),
        "component = \"xgboost\"",
        "component = \"xgboost\"\ninstances = 16",
    );
    let policy = parse(&text);
    assert_eq!(policy.jobs()[0].steps[1].instances, 16);
}
