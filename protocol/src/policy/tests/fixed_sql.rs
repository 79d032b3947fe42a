//! A query fixed to the letter, and values that try to step out of it.

use std::collections::BTreeMap;

use super::*;
use crate::documents::{job::Job, message::Approve as Consent};

const QUERY: &str =
    "select '$day' as day -- $x\nfrom t where day >= $from and shop = $shop and n < $n";

/// The two-bank policy with that query and three values.
fn policy() -> Policy {
    let pattern = format!(
        "{{ fixed_sql = {QUERY:?}, params = {{ shop = \"text\", n = \"number\", from = \"date\" }} }}"
    );
    parse(&with(&two_banks(), "{ any = true }", &pattern))
}

/// The values in the order of their names.
fn arguments(values: [&str; 3]) -> Vec<String> {
    let mut arguments = vec![
        "--output".to_owned(),
        "features".to_owned(),
        QUERY.to_owned(),
    ];
    for (name, value) in ["from", "n", "shop"].into_iter().zip(values) {
        arguments.extend(["--param".to_owned(), format!("{name}={value}")]);
    }
    arguments
}

fn admit(arguments: Vec<String>) -> Result<AdmittedJob, Refusal> {
    let policy = policy();
    let objects = BTreeMap::from([("transactions".parse().unwrap(), Digest::of(b"t1"))]);
    let good = vec![
        self::arguments(["2026-01-31", "5", "x"]),
        ["train", "--rounds", "50", "hist"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let name = "train".parse().unwrap();
    let mut job: Job = policy.draft(&name, &objects, good, [5; 32]).unwrap();
    job.steps[0].arguments = arguments;
    let mut approvals = Approvals::new();
    for party in [bank_a(), bank_b()] {
        let consent = Consent::Policy(*policy.digest());
        approvals
            .record(&policy, party.card().digest(), &consent)
            .unwrap();
    }
    policy.admit(&job.to_bytes(), bank_a().card().digest(), &approvals, |_| 0)
}

#[test]
fn the_query_and_its_values_reach_the_guest_as_they_were_sent() {
    policy();
    for shop in [
        "x",
        "",
        "it's",
        "' or '1'='1",
        "$from",
        "-- ;",
        "--output=y",
        "a\nb",
        "=\"",
    ] {
        let sent = arguments(["2026-01-31", "-0.5", shop]);
        let admitted = admit(sent.clone()).unwrap();
        assert_eq!(admitted.steps[0].arguments, sent);
        assert_eq!(sent[2], QUERY);
    }
}

#[test]
fn a_value_of_another_type_is_refused_with_its_number_and_not_repeated() {
    for (values, argument) in [
        (["2026-02-30", "5", "x"], 5),
        (["2026-01-31' or '1'='1", "5", "x"], 5),
        (["2026-01-31 ", "5", "x"], 5),
        (["2026-01-31", "5 or 1=1", "x"], 7),
        (["2026-01-31", "05", "x"], 7),
        (["2026-01-31", "", "x"], 7),
        (["2026-01-31", "5", "a\0b"], 9),
    ] {
        let error = admit(arguments(values)).unwrap_err();
        assert_eq!(error.code(), "argument-not-allowed", "{values:?}");
        let error = error.to_string();
        assert!(
            error.contains(&format!("argument {argument} of step 1")),
            "{error}"
        );
        assert!(!error.contains("1=1"), "{error}");
    }
}

#[test]
fn another_text_and_another_order_are_refused() {
    let good = arguments(["2026-01-31", "5", "x"]);
    let changed = |change: &dyn Fn(&mut Vec<String>)| {
        let mut arguments = good.clone();
        change(&mut arguments);
        admit(arguments).unwrap_err().code()
    };
    let wrong = "argument-not-allowed";
    assert_eq!(changed(&|all| all[2].push(' ')), wrong);
    assert_eq!(
        changed(&|all| all[2] = all[2].replace("$from", "'2026-01-31'")),
        wrong
    );
    assert_eq!(changed(&|all| all[3] = "--params".into()), wrong);
    assert_eq!(changed(&|all| all.swap(4, 6)), wrong);
    assert_eq!(changed(&|all| all[6] = all[4].clone()), wrong);
    assert_eq!(changed(&|all| all[4] = "from = 2026-01-31".into()), wrong);
    assert_eq!(changed(&|all| all.truncate(7)), "wrong-argument-count");
    assert_eq!(
        changed(&|all| all.extend(["--param".into(), "n=1".into()])),
        "wrong-argument-count"
    );
    assert_eq!(changed(&|all| all.swap(2, 4)), wrong);
}

#[test]
fn what_is_in_a_string_or_a_comment_needs_no_type() {
    for (text, params) in [
        ("select '$x', 1 -- $y", ""),
        ("select $$ $x $$, \\\"$y\\\"", ""),
        ("select '$x', $x", "x = \"text\""),
    ] {
        let pattern = format!("{{ fixed_sql = \"{text}\", params = {{ {params} }} }}");
        parse(&with(&two_banks(), "{ any = true }", &pattern));
    }
    for (text, params) in [
        ("select '$x'", "x = \"text\""),
        ("select 1 -- $x", "x = \"date\""),
    ] {
        let pattern = format!("{{ fixed_sql = \"{text}\", params = {{ {params} }} }}");
        refused("{ any = true }", &pattern, &["outside strings"]);
    }
}
