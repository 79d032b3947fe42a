//! Outputs that nobody opens and later jobs take.

use super::*;
use crate::documents::job::Source;

/// The two-bank policy with the model in custody of bank-b, and a job below that scores with it.
fn scoring() -> String {
    let text = with(
        &two_banks(),
        "model = [\"bank-b\"]",
        "model = { custody = \"bank-b\", runs = 100 }",
    );
    format!(
        r#"{text}
[[job]]
name = "score"
submit = ["bank-a", "bank-b"]
approve = {{ who = "all", when = "session" }}
runs = 2
limits = {{ memory = "3GiB", time = "30min", output = "64MiB" }}
errors = "none"
[[job.step]]
component = "xgboost"
inputs = {{ model = "custody:model", rows = "dataset:transactions" }}
args = "any"
outputs = {{ scores = ["bank-a"] }}
padding = "power-of-two"
"#
    )
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn refusal_of(from: &str, to: &str) -> String {
    refusal(&with(&scoring(), from, to))
}

#[test]
fn what_is_in_custody_is_nobody_s_output_and_a_later_job_s_input() {
    let policy = parse(&scoring());
    let custody = policy.custody(&name("model")).unwrap();
    assert_eq!((custody.runs, &*custody.holder), (100, bank_b().card()));
    assert_eq!(
        policy.keeper_of(&name("model")).unwrap().name().as_str(),
        "bank-b"
    );
    let model = policy.jobs()[0].steps[1].output("model").unwrap();
    assert!(model.recipients().is_empty() && model.is_released());
    let input = &policy.jobs()[1].steps[0].inputs[0];
    assert_eq!(input.from, Origin::Custody(name("model")));
    // A party's custody asks nobody for a start.
    assert!(policy.answerers(&name("model")).is_none());
}

#[test]
fn who_keeps_it_how_often_and_what_it_is_called_must_be_clear() {
    let custody = "{ custody = \"bank-b\", runs = 100 }";
    for (to, says) in [
        ("{ custody = \"bank-b\" }", "runs"),
        ("{ runs = 100 }", "custody"),
        ("{ custody = \"bank-b\", runs = 0 }", "from 1"),
        ("{ custody = \"bank-c\", runs = 1 }", "bank-c"),
        ("{ custody = \"bank-b\", runs = 1, to = [] }", "to"),
    ] {
        let found = refusal_of(custody, to);
        assert!(found.contains(says), "{to}: {found}");
    }
    let kept = "model = { custody";
    for taken in ["transactions", "accounts", "features"] {
        let found = refusal_of(kept, &format!("{taken} = {{ custody"));
        assert!(found.contains("twice"), "{taken}: {found}");
    }
    // Streams are read by people.
    let found = refusal_of(kept, "stdout = { custody");
    assert!(found.contains("no files"), "{found}");
    // Two jobs leave two things.
    let again = "scores = { custody = \"bank-a\", runs = 1 }";
    let text = with(&scoring(), "scores = [\"bank-a\"]", again);
    parse(&text);
    let found = refusal(&with(&text, again, &again.replacen("scores", "model", 1)));
    assert!(found.contains("twice"), "{found}");
    // Its length is hidden or shown, and the policy says so.
    let padded = format!("{again} }}\npadding = \"power-of-two\"\n");
    let found = refusal(&with(&text, &padded, &format!("{again} }}\n")));
    assert!(found.contains("padding"), "{found}");
}

#[test]
fn only_what_a_job_above_leaves_in_custody_is_an_input() {
    for other in ["features", "scores", "transactions", "none"] {
        let found = refusal_of("custody:model", &format!("custody:{other}"));
        assert!(
            found.contains(other) && found.contains("custody"),
            "{found}"
        );
    }
    let found = refusal_of("custody:model", "dataset:model");
    assert!(found.contains("model"), "{found}");
    // Not even its own job's.
    let own = "train = \"step:features\", old = \"custody:model\"";
    let found = refusal_of("train = \"step:features\"", own);
    assert!(found.contains("custody"), "{found}");
}

#[test]
fn a_broker_may_keep_it_and_then_each_start_is_answered_for() {
    let text = with(
        &scoring(),
        "owner = \"bank-a\"",
        &brokered("bank-a", &clinic(), &bank_a()),
    );
    let text = with(&text, "custody = \"bank-b\"", "custody = \"clinic\"");
    let policy = parse(&text);
    let cards = policy.answerers(&name("model")).unwrap();
    let names = cards.map(|card| card.name().as_str());
    assert_eq!(names, ["clinic", "bank-a"]);
    let object = Digest::of(b"model");
    let by = |identity: Identity| {
        policy.check_release(identity.card().digest(), &name("model"), &object)
    };
    by(clinic()).unwrap();
    // Not even the owner for whom it stands.
    assert_eq!(by(bank_a()).unwrap_err().code(), "not-the-custodian");
}

#[test]
fn its_key_is_its_custodian_s_to_release() {
    let policy = parse(&scoring());
    let object = Digest::of(b"model");
    let by = |identity: Identity| {
        policy.check_release(identity.card().digest(), &name("model"), &object)
    };
    by(bank_b()).unwrap();
    for other in [bank_a(), clinic()] {
        assert_eq!(by(other).unwrap_err().code(), "not-the-custodian");
    }
}

#[test]
fn a_job_takes_it_in_one_version_and_from_no_other_source() {
    let policy = parse(&scoring());
    let objects = ["model", "transactions"].map(|one| (name(one), Digest::of(one.as_bytes())));
    let arguments = vec![vec![]];
    let job = policy.draft(
        &name("score"),
        &objects.clone().into(),
        arguments.clone(),
        [7; 32],
    );
    let job = job.unwrap();
    let mut approvals = Approvals::new();
    for party in [bank_a(), bank_b()] {
        let approve = crate::documents::message::Approve::Policy(*policy.digest());
        approvals
            .record(&policy, party.card().digest(), &approve)
            .unwrap();
    }
    let admit = |job: &crate::documents::job::Job| {
        let (bytes, sender) = (job.to_bytes(), *bank_a().card().digest());
        policy.admit(&bytes, &sender, &approvals, |_| 0)
    };
    let admitted = admit(&job).unwrap();
    assert_eq!(admitted.datasets[&name("model")], Digest::of(b"model"));
    // Who keeps it reads the receipt, and what the host saw.
    let owners: Vec<&str> = admitted
        .owners
        .iter()
        .map(|card| card.name().as_str())
        .collect();
    assert_eq!(owners, ["bank-b", "bank-a"]);
    assert_eq!(admitted.readers.len(), 2);
    let model = job.steps[0]
        .inputs
        .iter()
        .position(|input| input.name.as_str() == "model");
    for source in [
        Source::Dataset {
            name: name("model"),
            object: Digest::of(b"model"),
        },
        Source::Step {
            output: name("model"),
        },
        Source::Custody {
            output: name("scores"),
            object: Digest::of(b"model"),
        },
    ] {
        let mut other = job.clone();
        other.steps[0].inputs[model.unwrap()].source = source;
        assert_eq!(admit(&other).unwrap_err().code(), "wrong-input-source");
    }
    let without = policy.draft(
        &name("score"),
        &[objects[1].clone()].into(),
        arguments,
        [7; 32],
    );
    assert_eq!(without.unwrap_err().code(), "no-version");
}
