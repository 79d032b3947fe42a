//! The gate: the policy's job and no other, from those who may, with the consent it needs.

use std::collections::BTreeMap;

use super::*;
use crate::documents::{
    job::{Job, Source, StepInput},
    message::Approve as Consent,
};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A job the two-bank policy allows.
fn job(policy: &Policy) -> Job {
    let objects = BTreeMap::from([(name("transactions"), Digest::of(b"t1"))]);
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let arguments = vec![
        words(&["--output", "features", "select 1"]),
        words(&["train", "--rounds", "50", "hist"]),
    ];
    policy
        .draft(&name("train"), &objects, arguments, [5; 32])
        .unwrap()
}

/// Approvals of the session by these parties.
fn session_approvals(policy: &Policy, parties: &[Identity]) -> Approvals {
    let mut approvals = Approvals::new();
    for party in parties {
        let consent = Consent::Policy(*policy.digest());
        approvals
            .record(policy, party.card().digest(), &consent)
            .unwrap();
    }
    approvals
}

fn admit(policy: &Policy, job: &Job) -> Result<AdmittedJob, Refusal> {
    let approvals = session_approvals(policy, &[bank_a(), bank_b()]);
    policy.admit(&job.to_bytes(), bank_a().card().digest(), &approvals, |_| 0)
}

/// The code of the refusal of the factory's job after `change`.
fn refused(change: impl FnOnce(&mut Job)) -> &'static str {
    let policy = parse(&two_banks());
    let mut job = job(&policy);
    change(&mut job);
    admit(&policy, &job).unwrap_err().code()
}

#[test]
fn the_policy_s_own_job_is_admitted_with_all_it_is_held_to() {
    let policy = parse(&two_banks());
    let job = job(&policy);
    let admitted = admit(&policy, &job).unwrap();
    assert_eq!(admitted.digest, Digest::of(&job.to_bytes()));
    assert_eq!(admitted.submitter.name().as_str(), "bank-a");
    assert_eq!(admitted.approved_by.len(), 2);
    assert_eq!(admitted.approved_when, Some(When::Session));
    assert_eq!(admitted.datasets[&name("transactions")], Digest::of(b"t1"));
    assert_eq!(admitted.steps[0].component.sha256, Digest::of(b"sql"));
    assert_eq!(admitted.steps[0].outputs[0].to, To::Step);
    assert_eq!(admitted.steps[1].padding, Padding::PowerOfTwo);
    let model = &admitted.steps[1].outputs[0];
    assert_eq!(model.recipients()[0].name().as_str(), "bank-b");
    let readers: Vec<&str> = admitted
        .readers
        .iter()
        .map(|card| card.name().as_str())
        .collect();
    assert_eq!(readers, ["bank-a", "bank-b"]);
}

#[test]
fn what_the_host_saw_is_told_to_the_owners_of_the_data_and_usage_to_whom_the_policy_names() {
    let names = |cards: &[Arc<Card>]| -> Vec<String> {
        cards.iter().map(|card| card.name().to_string()).collect()
    };
    let text = with(
        &two_banks(),
        "inputs = { transactions = \"dataset:transactions\", accounts = \"dataset:accounts\" }",
        "inputs = { accounts = \"dataset:accounts\" }",
    );
    let text = with(&text, "stderr = []", "usage = [\"bank-a\"]");
    let policy = parse(&text);
    let admitted = admit(&policy, &job(&policy)).unwrap();
    assert_eq!(names(&admitted.owners), ["bank-b"]);
    assert!(admitted.steps[0].output(USAGE).is_none());
    let usage = admitted.steps[1].output(USAGE).unwrap();
    assert_eq!(names(usage.recipients()), ["bank-a"]);
    assert!(!usage.is_file());
}

#[test]
fn a_job_for_another_policy_or_of_another_name_is_refused() {
    assert_eq!(
        refused(|job| job.policy = Digest::of(b"other")),
        "other-policy"
    );
    assert_eq!(refused(|job| job.name = name("predict")), "unknown-job");
    let policy = parse(&two_banks());
    let bytes = b"{}";
    let submitter = *bank_a().card().digest();
    let error = policy
        .admit(bytes, &submitter, &Approvals::new(), |_| 0)
        .unwrap_err();
    assert_eq!(error.code(), "not-a-job");
}

#[test]
fn only_a_submitter_submits() {
    let policy = parse(&two_banks());
    let approvals = session_approvals(&policy, &[bank_a(), bank_b()]);
    for other in [bank_b(), clinic()] {
        let bytes = job(&policy).to_bytes();
        let error = policy
            .admit(&bytes, other.card().digest(), &approvals, |_| 0)
            .unwrap_err();
        assert_eq!(error.code(), "not-a-submitter");
        assert!(error.to_string().contains("bank-a"), "{error}");
    }
}

#[test]
fn a_run_beyond_the_policy_s_number_is_refused() {
    let policy = parse(&two_banks());
    let approvals = session_approvals(&policy, &[bank_a(), bank_b()]);
    let submitter = *bank_a().card().digest();
    let bytes = job(&policy).to_bytes();
    let after = |runs| policy.admit(&bytes, &submitter, &approvals, |_| runs);
    after(1).unwrap();
    assert_eq!(after(2).unwrap_err().code(), "runs-spent");
    assert_eq!(after(u32::MAX).unwrap_err().code(), "runs-spent");
}

#[test]
fn steps_that_are_not_the_policy_s_are_refused() {
    assert_eq!(refused(|job| drop(job.steps.pop())), "wrong-steps");
    assert_eq!(
        refused(|job| job.steps.push(job.steps[1].clone())),
        "wrong-steps"
    );
    assert_eq!(refused(|job| job.steps.swap(0, 1)), "wrong-component");
    assert_eq!(
        refused(|job| job.steps[0].component = name("xgboost")),
        "wrong-component"
    );
    assert_eq!(refused(|job| job.steps[1].instances = 2), "wrong-instances");
    assert_eq!(refused(|job| job.steps[1].instances = 0), "wrong-instances");
}

#[test]
fn inputs_that_are_not_exactly_the_policy_s_are_refused() {
    assert_eq!(
        refused(|job| drop(job.steps[0].inputs.pop())),
        "wrong-inputs"
    );
    let twice = |job: &mut Job| {
        let input = job.steps[0].inputs[0].clone();
        job.steps[0].inputs.push(input);
    };
    assert_eq!(refused(twice), "wrong-inputs");
    assert_eq!(
        refused(|job| job.steps[0].inputs[0].name = name("x")),
        "wrong-inputs"
    );
    let doubled = |job: &mut Job| job.steps[0].inputs[0].name = job.steps[0].inputs[1].name.clone();
    assert_eq!(refused(doubled), "wrong-inputs");
    let crossed = |job: &mut Job| {
        let source = job.steps[0].inputs[0].source.clone();
        job.steps[0].inputs[1].source = source;
    };
    assert_eq!(refused(crossed), "wrong-input-source");
    let direct =
        |job: &mut Job| job.steps[1].inputs[0].source = job.steps[0].inputs[0].source.clone();
    assert_eq!(refused(direct), "wrong-input-source");
    let output = |output: &str| Source::Step {
        output: name(output),
    };
    assert_eq!(
        refused(|job| job.steps[1].inputs[0].source = output("model")),
        "wrong-input-source"
    );
    assert_eq!(
        refused(|job| job.steps[0].inputs[0].source = output("features")),
        "wrong-input-source"
    );
}

#[test]
fn the_order_of_inputs_in_a_job_does_not_matter() {
    let policy = parse(&two_banks());
    let mut job = job(&policy);
    job.steps[0].inputs.reverse();
    admit(&policy, &job).unwrap();
}

#[test]
fn a_pinned_dataset_comes_in_its_version_and_every_dataset_in_one() {
    let version = |dataset: &str, bytes: &[u8]| Source::Dataset {
        name: name(dataset),
        object: Digest::of(bytes),
    };
    let other = |job: &mut Job| {
        let accounts = |input: &&mut StepInput| input.name.as_str() == "accounts";
        let input = job.steps[0].inputs.iter_mut().find(accounts).unwrap();
        input.source = version("accounts", b"second");
    };
    assert_eq!(refused(other), "wrong-object");

    let twice = with(
        &two_banks(),
        "train = \"step:features\"",
        "train = \"step:features\", again = \"dataset:transactions\"",
    );
    let policy = parse(&twice);
    let mut job = job(&policy);
    admit(&policy, &job).unwrap();
    let again = job.steps[1]
        .inputs
        .iter_mut()
        .find(|input| input.name.as_str() == "again");
    again.unwrap().source = version("transactions", b"t2");
    assert_eq!(admit(&policy, &job).unwrap_err().code(), "two-versions");

    let nothing = policy.draft(
        &name("train"),
        &BTreeMap::new(),
        vec![vec![], vec![]],
        [0; 32],
    );
    assert_eq!(nothing.unwrap_err().code(), "no-version");
}

#[test]
fn an_argument_that_steps_past_its_pattern_is_refused() {
    let argument = |step: usize, index: usize, text: &str| {
        refused(|job| text.clone_into(&mut job.steps[step].arguments[index]))
    };
    for bad in [
        "1e9",
        "0",
        "501",
        "+5",
        "05",
        " 5",
        "5 ",
        "5.0",
        "-5",
        "",
        "--output=x",
    ] {
        assert_eq!(argument(1, 2, bad), "argument-not-allowed", "{bad:?}");
    }
    for bad in ["--output=x", "-", "-x", "a\0b"] {
        assert_eq!(argument(0, 2, bad), "argument-not-allowed", "{bad:?}");
    }
    for bad in ["hist ", "HIST", "-x=1", "hist\n", "", "hists"] {
        assert_eq!(argument(1, 3, bad), "argument-not-allowed", "{bad:?}");
    }
    assert_eq!(argument(0, 0, "--output=features"), "argument-not-allowed");
    assert_eq!(
        refused(|job| job.steps[0].arguments.push("x".into())),
        "wrong-argument-count"
    );
    assert_eq!(
        refused(|job| drop(job.steps[1].arguments.pop())),
        "wrong-argument-count"
    );

    let policy = parse(&two_banks());
    let mut good = job(&policy);
    "-x".clone_into(&mut good.steps[1].arguments[3]);
    admit(&policy, &good).unwrap();
}

#[test]
fn the_refusal_of_an_argument_does_not_repeat_it() {
    let policy = parse(&two_banks());
    let mut job = job(&policy);
    "canary-4711".clone_into(&mut job.steps[1].arguments[2]);
    let error = admit(&policy, &job).unwrap_err().to_string();
    assert!(!error.contains("canary"), "{error}");
    assert!(error.contains("argument 3 of step 2"), "{error}");
    assert!(error.contains("an integer from 1 to 500"), "{error}");
}

#[test]
fn no_pattern_is_none_and_any_is_spelt() {
    let none = with(
        &two_banks(),
        "[\"--output\", \"features\", { any = true }]",
        "[]",
    );
    let policy = parse(&none);
    let objects = BTreeMap::from([(name("transactions"), Digest::of(b"t1"))]);
    let train = ["train", "--rounds", "1", "hist"]
        .map(str::to_owned)
        .to_vec();
    let draft = |policy: &Policy, first: Vec<String>| {
        policy.draft(
            &name("train"),
            &objects,
            vec![first, train.clone()],
            [0; 32],
        )
    };
    draft(&policy, vec![]).unwrap();
    assert_eq!(
        draft(&policy, vec!["x".into()]).unwrap_err().code(),
        "wrong-argument-count"
    );
    let any = with(&none, "args = []", "args = \"any\"");
    let policy = parse(&any);
    draft(&policy, vec!["-x".into(), String::new()]).unwrap();
    assert_eq!(
        draft(&policy, vec!["\0".into()]).unwrap_err().code(),
        "argument-not-allowed"
    );
}

#[test]
fn one_party_does_not_act_without_the_others() {
    let policy = parse(&two_banks());
    let bytes = job(&policy).to_bytes();
    let submitter = *bank_a().card().digest();
    for some in [vec![], vec![bank_a()], vec![bank_b()]] {
        let approvals = session_approvals(&policy, &some);
        let error = policy
            .admit(&bytes, &submitter, &approvals, |_| 0)
            .unwrap_err();
        assert_eq!(error.code(), "not-approved");
        assert!(
            error
                .to_string()
                .contains("2 of bank-a, bank-b in this session"),
            "{error}"
        );
    }
}

#[test]
fn an_approval_counts_once_and_only_a_party_s() {
    let policy = parse(&two_banks());
    let mut approvals = session_approvals(&policy, &[bank_a(), bank_a()]);
    let consent = Consent::Policy(*policy.digest());
    let stranger = approvals
        .record(&policy, clinic().card().digest(), &consent)
        .unwrap_err();
    assert_eq!(stranger.code(), "not-a-party");
    let elsewhere = Consent::Policy(Digest::of(b"another policy"));
    let other = approvals
        .record(&policy, bank_b().card().digest(), &elsewhere)
        .unwrap_err();
    assert_eq!(other.code(), "other-policy");
    let submitter = *bank_a().card().digest();
    let bytes = job(&policy).to_bytes();
    let error = policy
        .admit(&bytes, &submitter, &approvals, |_| 0)
        .unwrap_err();
    assert_eq!(error.code(), "not-approved");
}

#[test]
fn a_quorum_is_of_those_listed() {
    let text = with(
        &two_banks(),
        "who = \"all\"",
        "who = { of = [\"bank-b\"], at_least = 1 }",
    );
    let policy = parse(&text);
    let submitter = *bank_a().card().digest();
    let bytes = job(&policy).to_bytes();
    let by = |parties: &[Identity]| {
        let approvals = session_approvals(&policy, parties);
        policy.admit(&bytes, &submitter, &approvals, |_| 0)
    };
    assert_eq!(by(&[bank_a()]).unwrap_err().code(), "not-approved");
    let admitted = by(&[bank_a(), bank_b()]).unwrap();
    assert_eq!(admitted.approved_by, [*bank_b().card().digest()]);
    let names = with(&two_banks(), "who = \"all\"", "who = [\"bank-b\"]");
    assert_eq!(parse(&names).jobs()[0].approve, policy.jobs()[0].approve);
}

#[test]
fn an_approval_of_one_job_is_no_approval_of_another_and_is_spent_by_its_run() {
    let text = with(&two_banks(), "when = \"session\"", "when = \"job\"");
    let policy = parse(&text);
    let submitter = *bank_a().card().digest();
    let first = job(&policy);
    let mut second = job(&policy);
    second.salt.0[0] ^= 1;
    let mut approvals = session_approvals(&policy, &[bank_a(), bank_b()]);
    let admit = |approvals: &Approvals, job: &Job| {
        policy
            .admit(&job.to_bytes(), &submitter, approvals, |_| 0)
            .map(|job| job.approved_by.len())
    };
    assert_eq!(
        admit(&approvals, &first).unwrap_err().code(),
        "not-approved"
    );
    let digest = Digest::of(&first.to_bytes());
    for party in [bank_a(), bank_b()] {
        assert!(admit(&approvals, &first).is_err());
        approvals
            .record(&policy, party.card().digest(), &Consent::Job(digest))
            .unwrap();
    }
    assert_eq!(admit(&approvals, &first).unwrap(), 2);
    let error = admit(&approvals, &second).unwrap_err();
    assert!(
        error.to_string().contains("for each run, given: none"),
        "{error}"
    );
    approvals.spend(&digest);
    assert!(admit(&approvals, &first).is_err());
}

#[test]
fn approvals_of_jobs_that_never_come_are_bounded() {
    let policy = parse(&two_banks());
    let mut approvals = Approvals::new();
    let (a, b) = (*bank_a().card().digest(), *bank_b().card().digest());
    let digest = |number: u32| Digest::of(&number.to_be_bytes());
    let most = MAX_WAITING_APPROVALS as u32;
    for number in 0..most {
        approvals
            .record(&policy, &a, &Consent::Job(digest(number)))
            .unwrap();
    }
    let more = Consent::Job(digest(most));
    let error = approvals.record(&policy, &a, &more).unwrap_err();
    assert_eq!(error.code(), "too-many-approvals");
    // The same one again is none more.
    let again = Consent::Job(digest(5));
    approvals.record(&policy, &a, &again).unwrap();
    approvals.record(&policy, &b, &more).unwrap();
    approvals.spend(&digest(0));
    approvals.record(&policy, &a, &more).unwrap();
}

#[test]
fn a_key_is_released_by_its_owner_for_the_version_the_policy_pins() {
    let policy = parse(&two_banks());
    let (a, b) = (bank_a(), bank_b());
    let release = |who: &Identity, dataset: &str, bytes: &[u8]| {
        let object = Digest::of(bytes);
        let check = policy.check_release(who.card().digest(), &name(dataset), &object);
        check.map_err(|error| error.code())
    };
    assert_eq!(release(&a, "transactions", b"any version"), Ok(()));
    assert_eq!(
        release(&b, "transactions", b"any version"),
        Err("not-the-owner")
    );
    assert_eq!(
        release(&clinic(), "transactions", b"x"),
        Err("not-the-owner")
    );
    assert_eq!(release(&a, "customers", b"x"), Err("unknown-dataset"));
    assert_eq!(release(&b, "accounts", b"accounts, first version"), Ok(()));
    assert_eq!(release(&b, "accounts", b"second"), Err("wrong-object"));
}
