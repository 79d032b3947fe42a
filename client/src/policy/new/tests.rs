use std::io::Cursor;

use mc2_protocol::{
    Digest,
    policy::{Origin, To, When},
};

use super::*;
use crate::state::State;

/// 2026-05-28.
const NOW: u64 = 1_779_926_400;

/// A state folder with two identities, whose cards are known therefore.
fn known() -> (tempfile::TempDir, Parties) {
    let folder = tempfile::tempdir().unwrap();
    let state = State::at(folder.path().join("mc2"));
    for name in ["bank-a", "bank-b"] {
        state.make_identity(name.parse().unwrap()).unwrap();
    }
    let known = Parties::load(&state).unwrap();
    (folder, known)
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

fn sql() -> String {
    format!("sql={}", Digest::of(b"sql"))
}

/// Everything that two banks are asked.
fn two_banks() -> Answers {
    let one = |text: &str| Some(text.to_owned());
    Answers {
        name: one("two-banks"),
        expires: one("90d"),
        party: texts(&["bank-a", "bank-b"]),
        component: vec![sql(), format!("train={}", Digest::of(b"train"))],
        dataset: vec![
            format!("transactions=bank-a:{}", Digest::of(b"object")),
            "accounts=bank-b".to_owned(),
        ],
        tee: texts(&["sev-snp"]),
        platform: texts(&["any"]),
        tcb: texts(&["up-to-date"]),
        visible: one("access"),
        job: one("train"),
        submit: texts(&["bank-a"]),
        approve: texts(&["bank-a", "bank-b"]),
        at_least: one("1"),
        when: one("job"),
        runs: one("3"),
        memory: one("2GiB"),
        time: one("10min"),
        output_limit: one("1MiB"),
        errors: texts(&["bad-row"]),
        step: texts(&["sql", "train"]),
        input: texts(&[
            "t=dataset:transactions",
            "a=dataset:accounts",
            "2:rows=step:joined",
        ]),
        args: texts(&["[{ one_of = [\"x:y\"] }]", "2:any"]),
        output: texts(&["joined=step", "2:model/=bank-a,bank-b", "2:stderr="]),
        padding: texts(&["2:64KiB"]),
    }
}

#[test]
fn flags_alone_make_a_commented_policy_that_says_what_they_say() {
    let (_folder, known) = known();
    let policy = compose(&two_banks(), &known, NOW, None).unwrap();
    assert_eq!(policy.name().as_str(), "two-banks");
    assert_eq!(policy.expires(), NOW + 90 * 24 * 60 * 60);
    assert_eq!(policy.parties().len(), 2);
    assert_eq!(policy.datasets()[0].object, Some(Digest::of(b"object")));
    let job = &policy.jobs()[0];
    let approve = job.approve.as_ref().unwrap();
    assert_eq!((approve.at_least, approve.when), (1, When::Job));
    assert_eq!((job.runs, job.steps.len()), (3, 2));
    assert_eq!(job.steps[0].output("joined").unwrap().to, To::Step);
    let model = job.steps[1].output("model").unwrap();
    assert!(model.folder && model.recipients().len() == 2);
    let from = &job.steps[1].inputs[0].from;
    assert!(matches!(from, Origin::Step(output) if output.as_str() == "joined"));

    let text = std::str::from_utf8(policy.bytes()).unwrap();
    let comments = text.lines().filter(|line| line.starts_with('#')).count();
    assert!(comments > 10, "{text}");
}

#[test]
fn a_script_is_told_every_flag_it_left_out() {
    let (_folder, known) = known();
    let answers = Answers {
        expires: None,
        runs: None,
        padding: Vec::new(),
        ..two_banks()
    };
    match compose(&answers, &known, NOW, None) {
        Err(NewPolicyError::Missing { flags }) => {
            assert_eq!(flags, ["--expires", "--runs", "--padding 2:…"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_that_means_nothing_is_refused_by_its_flag() {
    let (_folder, known) = known();
    type Break = fn(&mut Answers);
    let breaks: [(&str, &str, Break); 9] = [
        ("--party", "bank-c", |answers| {
            answers.party.push("bank-c".to_owned())
        }),
        ("--expires", "soon", |answers| {
            answers.expires = Some("soon".to_owned())
        }),
        ("--tee", "mainframe", |answers| {
            answers.tee = texts(&["mainframe"])
        }),
        ("--platform", "piid", |answers| {
            answers.platform = texts(&["piid:00"])
        }),
        ("--dataset", "bank-c", |answers| {
            answers.dataset.push("x=bank-c".to_owned())
        }),
        ("--at-least", "1 to 2", |answers| {
            answers.at_least = Some("3".to_owned())
        }),
        ("--step", "xgboost", |answers| {
            answers.step.push("xgboost".to_owned())
        }),
        ("--args", "more than a list", |answers| {
            answers.args[0] = "[]\nruns = 9".to_owned();
        }),
        ("--input", "step 3", |answers| {
            answers.input.push("3:x=dataset:accounts".to_owned())
        }),
    ];
    for (flag, says, change) in breaks {
        let mut answers = two_banks();
        change(&mut answers);
        match compose(&answers, &known, NOW, None) {
            Err(error @ NewPolicyError::Answer { .. }) => {
                let error = error.to_string();
                assert!(error.contains(flag) && error.contains(says), "{error}");
            }
            Err(other) => panic!("{flag}: {other:?}"),
            Ok(_) => panic!("{flag} was taken"),
        }
    }
}

#[test]
fn what_is_typed_is_asked_again_until_it_is_an_answer() {
    let (_folder, known) = known();
    let typed = format!(
        "mine\nbank-c\n\nbank-a\n\n90d\nsim\n\naccess\n{}\n\nsales=bank-a\n\nrun\nzero\n5\n\n\n\n\n\n\
         any\nout=bank-a\n\n\n",
        sql()
    );
    let (mut from, mut to) = (Cursor::new(typed), Vec::new());
    let asked = Asked {
        from: &mut from,
        to: &mut to,
    };
    let policy = compose(&Answers::default(), &known, NOW, Some(asked)).unwrap();
    let asked = String::from_utf8(to).unwrap();
    assert!(asked.contains("bank-c is neither a known card"), "{asked}");
    assert!(asked.contains("expected 1 or more, found zero"), "{asked}");
    let job = &policy.jobs()[0];
    assert_eq!(job.runs, 5);
    assert_eq!(job.limits.memory.to_string(), "3GiB");
    assert_eq!(job.steps[0].inputs[0].name.as_str(), "sales");
    assert!(job.approve.is_none());
}

#[test]
fn answers_that_end_too_early_make_no_policy() {
    let (_folder, known) = known();
    let (mut from, mut to) = (Cursor::new("mine\n"), Vec::new());
    let asked = Asked {
        from: &mut from,
        to: &mut to,
    };
    match compose(&Answers::default(), &known, NOW, Some(asked)) {
        Err(NewPolicyError::Ended { flag }) => assert_eq!(flag, "--party"),
        other => panic!("{other:?}"),
    }
}
