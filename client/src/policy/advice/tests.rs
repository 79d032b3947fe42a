use mc2_protocol::{Digest, Identity};

use super::*;

/// A policy of two parties with this enclave, and one job of two steps as given.
fn policy(enclave: &str, approve: &str, steps: &str) -> Policy {
    policy_saying("\"full\"", enclave, approve, steps)
}

/// The same, where a failed run says so much.
fn policy_saying(errors: &str, enclave: &str, approve: &str, steps: &str) -> Policy {
    let card = |name: &str| {
        let identity = Identity::generate(name.parse().unwrap(), &mut crate::random());
        identity.card().to_string()
    };
    let (a, b, sha256) = (card("bank-a"), card("bank-b"), Digest::of(b"a component"));
    let text = format!(
        r#"version = 1
name = "two-banks"
expires = 2026-12-31T00:00:00Z
visible = "access"
[enclave]
{enclave}
[[party]]
card = "{a}"
[[party]]
card = "{b}"
[[component]]
name = "sql"
sha256 = "{sha256}"
[[component]]
name = "old"
sha256 = "{other}"
[[dataset]]
name = "transactions"
owner = "bank-a"
object = "{object}"
[[dataset]]
name = "accounts"
owner = "bank-b"
[[dataset]]
name = "spare"
owner = "bank-a"
[[job]]
name = "train"
submit = ["bank-a"]
runs = 2
limits = {{ memory = "3GiB", time = "30min", output = "64MiB" }}
approve = {{ {approve}, when = "session" }}
errors = {errors}
{steps}"#,
        other = Digest::of(b"another"),
        object = Digest::of(b"a manifest"),
    );
    Policy::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

const SIM: &str = r#"tee = ["sim"]
platforms = "any"
tcb = "up-to-date""#;
const BOTH: &str = "who = \"all\"";

const STEPS: &str = r#"
[[job.step]]
component = "sql"
inputs = { transactions = "dataset:transactions", accounts = "dataset:accounts" }
args = "any"
outputs = { features = "step" }
[[job.step]]
component = "sql"
inputs = { train = "dataset:transactions" }
args = ["train"]
outputs = { model = ["bank-b"], stderr = [] }
padding = "power-of-two"
"#;

/// The sentence with this id, of which there must be one about this.
fn one<'s>(said: &'s [Statement], id: &str, about: &str) -> &'s Statement {
    let mut found = said.iter().filter(|one| one.id == id && one.about == about);
    match (found.next(), found.next()) {
        (Some(one), None) => one,
        (None, _) => panic!("no {id} about {about:?} in {said:#?}"),
        (Some(_), Some(_)) => panic!("more than one {id} about {about:?} in {said:#?}"),
    }
}

#[test]
fn the_warnings_say_what_a_signer_should_know() {
    let enclave = r#"tee = ["tdx", "azure-vtpm"]
platforms = "any"
tcb = ["UpToDate", "OutOfDate"]"#;
    let approve = r#"who = { of = ["bank-a"], at_least = 1 }"#;
    let warnings = warnings(&policy(enclave, approve, STEPS)).join("\n");
    for says in [
        "one broken chip",
        "paravisor",
        "no vendor calls up to date are accepted: OutOfDate",
        "which parts of each input",
        "its arguments may be anything",
        "args = \"any\"",
        "reads dataset accounts of bank-b, who is not asked",
        "output stderr is released to nobody",
        "output features goes to \"step\" and no step reads it",
        "component old: is used by no job",
        "dataset spare of bank-a: no job reads it",
    ] {
        assert!(warnings.contains(says), "{says:?} is not in:\n{warnings}");
    }
}

#[test]
fn a_quorum_and_a_simulator_are_named() {
    let approve = r#"who = { of = ["bank-a", "bank-b"], at_least = 1 }"#;
    let warnings = warnings(&policy(SIM, approve, STEPS)).join("\n");
    for says in ["any 1 of bank-a and bank-b approve it", "NOT SECURE"] {
        assert!(warnings.contains(says), "{says:?} is not in:\n{warnings}");
    }
}

#[test]
fn what_a_step_reads_of_earlier_ones_counts_as_what_they_read() {
    let steps = r#"
[[job.step]]
component = "sql"
inputs = { accounts = "dataset:accounts" }
args = []
outputs = { features = "step" }
[[job.step]]
component = "sql"
inputs = { train = "step:features", own = "dataset:transactions" }
args = []
outputs = { model = ["bank-a"] }
padding = "exact"
"#;
    let said = statements(&policy(SIM, BOTH, steps));
    let gets = one(&said, "learns-output", "bank-a");
    assert!(
        gets.text
            .contains("made of accounts of bank-b and transactions of bank-a"),
        "{}",
        gets.text
    );
    let reaches = one(&said, "dataset-reaches", "dataset accounts of bank-b");
    assert!(
        reaches.text.contains("bank-a through model of job train"),
        "{}",
        reaches.text
    );
    let stays = one(&said, "dataset-reaches", "dataset transactions of bank-a");
    assert!(
        stays.text.contains("nobody") || stays.text.contains("but its owner"),
        "{}",
        stays.text
    );
    one(&said, "output-inside", "job train, step 1");
    assert!(one(&said, "host-sees-lengths", "job train, step 2").warning);
}

#[test]
fn answers_and_command_lines_are_counted() {
    let steps = r#"
[[job.step]]
component = "sql"
inputs = { accounts = "dataset:accounts" }
args = ["--rounds", { number = [1, 500] }, { one_of = ["a", "b"] }]
outputs = { model = ["bank-a"], stdout = ["bank-a", "bank-b"], notes = [] }
padding = "exact"
"#;
    let said = statements(&policy(SIM, BOTH, steps));
    let answers = one(&said, "answers", "job train");
    assert!(
        answers
            .text
            .contains("2 runs in one session, each with 2 outputs, so at most 4 outputs"),
        "{}",
        answers.text
    );
    let chosen = one(&said, "arguments-chosen", "job train, step 1");
    assert!(
        chosen
            .text
            .contains("the submitter chooses 2, 1000 different"),
        "{}",
        chosen.text
    );
    let asks = one(&said, "asks-of-others", "job train, step 1");
    assert!(
        asks.warning && asks.text.contains("accounts of bank-b"),
        "{}",
        asks.text
    );
}

#[test]
fn who_asks_of_its_own_data_or_chooses_nothing_is_not_warned_of() {
    for (inputs, args) in [
        ("{ own = \"dataset:transactions\" }", "\"any\""),
        ("{ other = \"dataset:accounts\" }", "[\"count\"]"),
    ] {
        let steps = format!(
            "[[job.step]]\ncomponent = \"sql\"\ninputs = {inputs}\nargs = {args}\n\
             outputs = {{ model = [\"bank-a\"] }}\npadding = \"exact\"\n"
        );
        let said = statements(&policy(SIM, BOTH, &steps));
        assert!(
            !said.iter().any(|one| one.id == "asks-of-others"),
            "{inputs} {args}"
        );
    }
}

#[test]
fn what_an_argument_may_be_is_said_and_the_text_of_others_is_escaped() {
    let steps = r#"
[[job.step]]
component = "sql"
inputs = { accounts = "dataset:accounts" }
args = [{ any = true }, { fixed_sql = "select \u202e $n", params = { n = "number" } }]
outputs = { model = ["bank-b"] }
padding = { fixed = "1MiB" }
"#;
    let said = statements(&policy(SIM, BOTH, steps));
    assert!(one(&said, "argument-any", "job train, step 1").warning);
    let query = one(&said, "argument-fixed-sql", "job train, step 1");
    assert!(query.text.contains(r"select \u{202e} $n"), "{}", query.text);
    assert!(
        query.text.contains("then n= and a number"),
        "{}",
        query.text
    );
    one(&said, "host-sees-fixed", "job train, step 1");
}

#[test]
fn what_a_failed_run_says_is_counted() {
    let steps = r#"
[[job.step]]
component = "sql"
inputs = { accounts = "dataset:accounts" }
args = []
outputs = { stdout = ["bank-a"], error = ["bank-a"], progress = ["bank-a"] }
padding = "exact"
"#;
    let of = |errors: &str| statements(&policy_saying(errors, SIM, BOTH, steps));
    let full = of("\"full\"");
    assert!(one(&full, "errors-full", "job train").warning);
    assert!(
        one(&full, "learns-stream", "bank-a")
            .text
            .contains("of a failed run too")
    );
    let none = of("\"none\"");
    assert!(!one(&none, "errors-none", "job train").warning);
    assert!(
        one(&none, "learns-stream", "bank-a")
            .text
            .contains("of a failed run nothing")
    );
    assert!(
        one(&none, "learns-error", "bank-a")
            .text
            .contains("never says anything")
    );
    let codes = of("{ codes = [\"bad-row\", \"no-rows\"] }");
    let said = one(&codes, "errors-codes", "job train");
    // 1 + 2 codes, with or without an input's name, with none, one or two numbers of 32 bits.
    assert!(
        said.warning && said.text.contains("67 bits"),
        "{}",
        said.text
    );
    assert!(
        said.text.contains("134 bits in a session's 2 runs"),
        "{}",
        said.text
    );
}

#[test]
fn a_version_that_is_pinned_is_told_from_one_its_owner_may_make_up() {
    let said = statements(&policy(SIM, BOTH, STEPS));
    one(&said, "dataset-pinned", "dataset transactions");
    let free = one(&said, "dataset-any-version", "dataset accounts");
    assert!(
        free.text
            .contains("bank-b may steer what is said of transactions of bank-a"),
        "{}",
        free.text
    );
    let time = one(&said, "expiry-binds-release", "the policy");
    assert!(
        time.warning && time.text.contains("accounts"),
        "{}",
        time.text
    );
}

#[test]
fn a_policy_that_has_ended_says_so_from_that_second_on() {
    let policy = policy(SIM, BOTH, STEPS);
    let end = policy.expires();
    assert_eq!(ended(&policy, end - 1), None);
    assert!(ended(&policy, end).is_some_and(|said| said.warning));
}
