//! What a person is told, and what this release refuses to pretend.

use super::*;

fn unenforced(text: &str) -> PolicyError {
    parse(text).require_enforced().unwrap_err()
}

#[test]
fn what_is_not_enforced_is_refused_by_name() {
    let text = two_banks();
    let broker = format!("owner = \"bank-a\"\nbroker = \"{}\"", clinic().card());
    for (from, to, field) in [
        ("\"access\"", "\"volume\"", "visible = \"volume\""),
        ("[\"sim\"]", "[\"tdx\"]", "tee \"tdx\""),
        ("owner = \"bank-a\"", &broker, "broker"),
        (
            "component = \"xgboost\"",
            "component = \"xgboost\"\nkeys = { k = \"bank-a\" }",
            "keys",
        ),
        (
            "{ any = true }",
            "{ fixed_sql = \"select 1\" }",
            "fixed_sql",
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

#[test]
fn the_warnings_say_what_a_signer_should_know() {
    let text = with(&two_banks(), "[\"sim\"]", "[\"tdx\", \"azure-vtpm\"]");
    let text = with(&text, "\"up-to-date\"", "[\"UpToDate\", \"OutOfDate\"]");
    let text = with(
        &text,
        "who = \"all\"",
        "who = { of = [\"bank-a\"], at_least = 1 }",
    );
    let text = with(
        &text,
        "[\"--output\", \"features\", { any = true }]",
        "\"any\"",
    );
    let text = with(
        &text,
        "train = \"step:features\"",
        "train = \"dataset:transactions\"",
    );
    let text = with(
        &text,
        "[[dataset]]\nname = \"transactions\"",
        "[[dataset]]\nname = \"spare\"\nowner = \"bank-a\"\n[[dataset]]\nname = \"transactions\"",
    );
    let text = with(
        &text,
        "[[component]]\nname = \"sql\"",
        &format!(
            "[[component]]\nname = \"old\"\nsha256 = \"{}\"\n[[component]]\nname = \"sql\"",
            Digest::of(b"old")
        ),
    );
    let warnings = parse(&text).warnings().join("\n");
    for says in [
        "one broken chip",
        "paravisor",
        "known weaknesses are accepted: OutOfDate",
        "which parts of each input",
        "its arguments may be anything",
        "args = \"any\"",
        "reads dataset accounts of bank-b, who is not asked",
        "output stderr is released to nobody",
        "output features goes to \"step\" and no step reads it",
        "component old is used by no job",
        "dataset spare is read by no job",
    ] {
        assert!(warnings.contains(says), "{says:?} is not in:\n{warnings}");
    }
    let quorum = with(
        &two_banks(),
        "who = \"all\"",
        "who = { of = [\"bank-a\", \"bank-b\"], at_least = 1 }",
    );
    let warnings = parse(&quorum).warnings().join("\n");
    assert!(
        warnings.contains("any 1 of bank-a, bank-b approve it"),
        "{warnings}"
    );
    assert!(warnings.contains("NOT SECURE"), "{warnings}");
}
