//! What this release refuses to pretend.

use super::*;

fn unenforced(text: &str) -> PolicyError {
    parse(text).require_enforced().unwrap_err()
}

#[test]
fn what_is_not_enforced_is_refused_by_name() {
    let text = two_banks();
    let broker = brokered("bank-a", &clinic(), &bank_a());
    for (from, to, field) in [
        ("\"access\"", "\"volume\"", "visible = \"volume\""),
        ("[\"sim\"]", "[\"tdx\"]", "tee \"tdx\""),
        ("owner = \"bank-a\"", &broker, "broker"),
        (
            "component = \"xgboost\"",
            "component = \"xgboost\"\nkeys = { k = \"bank-a\" }",
            "keys",
        ),
    ] {
        let error = unenforced(&with(&text, from, to));
        assert_eq!(error.code(), "policy-not-enforced");
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn all_that_is_not_enforced_is_listed() {
    let text = with(&two_banks(), "[\"sim\"]", "[\"tdx\", \"nitro\"]");
    let text = with(
        &text,
        "component = \"sql\"",
        "component = \"sql\"\nkeys = { k = \"bank-a\" }",
    );
    assert_eq!(parse(&text).unenforced().len(), 3);
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
