//! `mc2 policy check`: what it says of a policy is what an enclave does under it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use mc2_client::{
    custody,
    policy::{
        advice::{Statement, statements},
        check::Checked,
    },
};
use mc2_protocol::{
    Card, Digest, Name,
    documents::message::Approve,
    policy::{Approvals, JobRule, Policy},
};
use mc2_tests::program;
use serde_json::Value;

/// Long before any of them ends.
const NOW: u64 = 1_780_000_000;

fn example(name: &str) -> PathBuf {
    mc2_tests::package().join(format!("../policies/{name}.toml"))
}

fn policy(name: &str) -> Policy {
    let bytes = fs::read(example(name)).expect("an example");
    Policy::parse(&bytes).expect("a right policy")
}

fn mc2(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("a folder");
    Command::new(program("mc2"))
        .args(arguments)
        .env_clear()
        .env("MC2_HOME", home.path())
        .output()
        .expect("mc2 runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Who is said to be told something by statements of this id that name the job.
fn told(said: &[Statement], id: &str, job: &JobRule) -> BTreeSet<String> {
    let of_job = format!("job {} ", job.name);
    let about = |one: &&Statement| one.id == id && one.text.contains(&of_job);
    said.iter()
        .filter(about)
        .map(|one| one.about.clone())
        .collect()
}

fn names<'c>(cards: impl IntoIterator<Item = &'c std::sync::Arc<Card>>) -> BTreeSet<String> {
    cards
        .into_iter()
        .map(|card| card.name().to_string())
        .collect()
}

#[test]
fn who_is_said_to_read_a_receipt_reads_it() {
    const COUNT: &str =
        "select count(*) from (select patient from north intersect select patient from south)";
    const TRAIN: &str = "train --label defaulted --objective binary:logistic --max-depth 3 \
                         --rounds 40 --model-out model";
    const SCORE: &str = "predict --model model --output scores --format csv";
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for (file, lines) in [
        ("one-party", vec![vec!["select 1".to_owned()]]),
        ("two-clinics", vec![vec![COUNT.to_owned()]]),
        ("score-only", vec![words(TRAIN), words(SCORE)]),
    ] {
        let policy = policy(file);
        let said = statements(&policy);
        for (rule, line) in policy.jobs().iter().zip(lines) {
            let datasets = policy.datasets().iter().map(|dataset| &dataset.name);
            let in_custody = custody::outputs(&policy).map(|(output, _)| output);
            let objects: BTreeMap<Name, Digest> = datasets
                .chain(in_custody)
                .map(|name| (name.clone(), Digest::of(b"a version")))
                .collect();
            let job = policy
                .draft(&rule.name, &objects, vec![line], [7; 32])
                .expect("an allowed job");
            let bytes = job.to_bytes();
            let mut approvals = Approvals::new();
            for party in policy.parties() {
                let of_all = Approve::Policy(*policy.digest());
                for approve in [of_all, Approve::Job(Digest::of(&bytes))] {
                    approvals
                        .record(&policy, party.digest(), &approve)
                        .expect("a party's");
                }
            }
            let mut readers = BTreeSet::new();
            let mut owners = BTreeSet::new();
            for submitter in &rule.submit {
                let admitted = policy
                    .admit(&bytes, submitter.digest(), &approvals, |_| 0)
                    .expect("admitted");
                readers.extend(names(&admitted.readers));
                owners.extend(names(&admitted.owners));
            }
            assert_eq!(told(&said, "learns-receipt", rule), readers, "{file}");
            assert_eq!(told(&said, "learns-observed", rule), owners, "{file}");
        }
    }
}

#[test]
fn every_output_of_the_examples_is_told_to_each_of_its_recipients_and_to_nobody_else() {
    for file in [
        "one-party",
        "two-clinics",
        "card-fraud",
        "score-only",
        "fraud-scores",
    ] {
        let policy = policy(file);
        let said = statements(&policy);
        for party in policy.parties() {
            let mut expected = Vec::new();
            for job in policy.jobs() {
                for (index, step) in job.steps.iter().enumerate() {
                    for output in &step.outputs {
                        if output.recipients().contains(party) {
                            let place = format!("job {}, step {}", job.name, index + 1);
                            expected.push((output.name.to_string(), place));
                        }
                    }
                }
            }
            let found: Vec<&Statement> = said
                .iter()
                .filter(|one| one.about == party.name().as_str() && one.text.starts_with("gets "))
                .collect();
            assert_eq!(found.len(), expected.len(), "{file}: {found:#?}");
            for (output, place) in expected {
                let is_of = |one: &&&Statement| {
                    let words: Vec<&str> = one
                        .text
                        .split([' ', ',', '('])
                        .filter(|word| !word.is_empty())
                        .collect();
                    words.contains(&output.as_str()) && one.text.contains(&format!("({place})"))
                };
                assert_eq!(
                    found.iter().filter(is_of).count(),
                    1,
                    "{output} in {found:#?}"
                );
            }
        }
    }
}

#[test]
fn the_two_clinics_are_told_what_they_agree_to() {
    let policy = policy("two-clinics");
    let text = Checked::of(policy.bytes(), NOW)
        .expect("a right policy")
        .to_text();
    for says in [
        "20 runs in one session, each with 1 output, so at most 20 outputs",
        "the submitter chooses 1, 3 different command lines in all",
        "one of \"select count(*) from",
        "needs the approval of clinic-north and clinic-south for every single run",
        "gets stdout, whatever sql prints there, of a failed run nothing, made of north of clinic-north \
         and south of clinic-south",
        "it can reach clinic-south through stdout of job count",
        "it can reach clinic-north through stdout of job count",
        "NOT SECURE",
        "the host sees 64KiB of stdout, whatever its length",
        "its output error is released to nobody",
        "by rows made up for it clinic-north may steer what is said of south of clinic-south",
        "from 2027-03-31T22:00:00Z on",
        &policy.digest().to_string(),
    ] {
        assert!(text.contains(says), "{says:?} is not in\n{text}");
    }
}

#[test]
fn the_banks_are_told_what_goes_through_the_pipeline() {
    let text = Checked::of(policy("card-fraud").bytes(), NOW)
        .expect("a right policy")
        .to_text();
    for says in [
        "gets the file model of xgboost, with other outputs 64MiB a run, made of accounts of bank-b \
         and transactions of bank-a (job train, step 2)",
        "its output features goes to later steps of the same run; no party gets it",
        "argument 5 is the query \"select * from transactions join accounts using (account) where \
         day >= $from\", then --param, then from= and a day of the \
         calendar as 2026-12-31; the submitter chooses the values",
        "argument 7 is an integer from 2 to 10",
        "without a bound on how many different command lines there are",
        "given once in a session to this policy",
        "is the version 81dc075c3d55230215300137991a25f90be4c243a55580fe2af7538774147bd6 and no other",
        "platforms that no vendor calls up to date are accepted: SWHardeningNeeded",
        "its expiry binds the release alone for accounts, which no broker holds",
        "between which powers of two the length of",
    ] {
        assert!(text.contains(says), "{says:?} is not in\n{text}");
    }
    assert!(!text.contains("platforms = \"any\""), "{text}");
}

#[test]
fn the_parties_are_told_that_nobody_reads_the_model_and_who_could_cheat() {
    let text = Checked::of(policy("score-only").bytes(), NOW)
        .expect("a right policy")
        .to_text();
    for says in [
        "its output model is nobody's to open: keeper keeps its key and may release it to later jobs \
         of this policy, 100 times in all. keeper's own machine could open it all the same, or \
         release it more often; nobody else's can",
        "gets the file scores of xgboost, with other outputs 16MiB a run, made of applicants of shop \
         and history of bank-a (job score, step 1)",
        "of job train (as a custodian)",
        "of job score (where it submitted the run, as a recipient and as an owner)",
        "xgboost gets exactly the 7 arguments",
    ] {
        assert!(text.contains(says), "{says:?} is not in\n{text}");
    }
    assert!(!text.contains("gets the file model"), "{text}");
}

#[test]
fn a_policy_that_is_wrong_ends_with_66_and_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = fs::read_to_string(example("two-clinics")).expect("an example");
    for (from, to, says) in [
        ("runs = 20", "runs = 0", "line 35, column 8"),
        ("version = 1", "version = 1\nsecret = true", "unknown field"),
        ("runs = 20", "runs = 20\nruns = 2", "duplicate key"),
    ] {
        assert!(good.contains(from));
        let path = folder.path().join("policy.toml");
        fs::write(&path, good.replacen(from, to, 1)).expect("written");
        let path = path.to_str().expect("text");
        let output = mc2(&["policy", "check", path]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(66), "{error}");
        assert!(error.contains(says) && error.contains(path), "{error}");
        assert_eq!(stdout(&output), "");

        let output = mc2(&["policy", "check", path, "--json"]);
        assert_eq!(output.status.code(), Some(66));
        let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(json["valid"], false);
        assert!(json["error"]["line"].as_u64().is_some(), "{json}");
    }
    let missing = mc2(&["policy", "check", "no.toml"]);
    assert_eq!(missing.status.code(), Some(64));
}

#[test]
fn scripts_get_every_sentence_with_its_id() {
    for file in ["two-clinics", "score-only", "card-fraud"] {
        let path = example(file);
        let path = path.to_str().expect("text");
        let output = mc2(&["policy", "check", path, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{file}");
        let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(json["valid"], true);
        let digest = policy(file).digest().to_string();
        assert_eq!(json["digest"], digest.as_str());
        let statements = json["statements"].as_array().expect("a list");
        let people = stdout(&mc2(&["policy", "check", path]));
        for one in statements {
            let text = one["text"].as_str().expect("text");
            assert!(people.contains(text), "{text}\n{people}");
        }

        let shown = mc2(&["policy", "show", path, "--json"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        assert_eq!(shown["digest"], digest.as_str());
        assert_eq!(shown["policy"]["name"], policy(file).name().as_str());
        assert!(stdout(&mc2(&["policy", "show", path])).contains(&digest));
    }
}

/// Row 44: what somebody wrote into a policy neither moves the cursor nor hides.
#[test]
fn what_hides_in_a_policy_is_spelt_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = fs::read_to_string(example("two-clinics")).expect("an example");
    let path = folder.path().join("policy.toml");
    let from = "args = [{ one_of = [";
    assert!(good.contains(from));
    let to = format!(r#"{from}"a\u001b[2K\u202eb\rc", "#);
    fs::write(&path, good.replacen(from, &to, 1)).expect("written");
    let output = mc2(&["policy", "check", path.to_str().expect("text")]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains(r#""a\u{1b}[2K\u{202e}b\rc""#), "{text}");
    assert!(!text.contains(['\u{1b}', '\r', '\u{202e}']), "{text}");
}

#[test]
fn a_policy_made_by_flags_is_accepted_by_check_and_never_written_over() {
    let home = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        Command::new(program("mc2"))
            .args(arguments)
            .current_dir(home.path())
            .env_clear()
            .env("MC2_HOME", home.path().join("mc2"))
            .output()
            .expect("mc2 runs")
    };
    for name in ["bank-a", "bank-b"] {
        assert_eq!(run(&["keygen", name]).status.code(), Some(0));
    }
    let digest = |of: &str| Digest::of(of.as_bytes()).to_string();
    let (sql, xgboost) = (digest("sql"), digest("xgboost"));
    let components = [format!("sql={sql}"), format!("xgboost={xgboost}")];
    let new = [
        "policy",
        "new",
        "train.toml",
        "--name",
        "train",
        "--expires",
        "90d",
        "--party",
        "bank-a",
        "--party",
        "bank-b",
        "--tee",
        "sev-snp",
        "--platform",
        "any",
        "--tcb",
        "up-to-date",
        "--visible",
        "access",
        "--component",
        &components[0],
        "--component",
        &components[1],
        "--dataset",
        "transactions=bank-a",
        "--dataset",
        "accounts=bank-b",
        "--job",
        "train",
        "--submit",
        "bank-a",
        "--approve",
        "all",
        "--when",
        "job",
        "--runs",
        "5",
        "--memory",
        "3GiB",
        "--time",
        "30min",
        "--output-limit",
        "64MiB",
        "--errors",
        "none",
        "--step",
        "sql",
        "--input",
        "t=dataset:transactions",
        "--input",
        "a=dataset:accounts",
        "--args",
        r#"["select * from t join a using (account)", "--output", "rows"]"#,
        "--output",
        "rows=step",
        "--step",
        "xgboost",
        "--input",
        "2:train=step:rows",
        "--args",
        r#"2:["train", "--rounds", { number = [1, 500] }]"#,
        "--output",
        "2:model=bank-a,bank-b",
        "--padding",
        "2:power-of-two",
    ];
    let made = run(&new);
    let error = String::from_utf8_lossy(&made.stderr).into_owned();
    assert_eq!(made.status.code(), Some(0), "{error}");
    let bytes = fs::read(home.path().join("train.toml")).expect("the policy");
    let checked = Checked::of(&bytes, NOW).expect("a right policy");
    assert!(stdout(&made).contains(&checked.policy().digest().to_string()));
    assert!(checked.to_text().contains("500 different command lines"));

    let again = run(&new);
    assert_eq!(again.status.code(), Some(64));
    let error = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(error.contains("stays as it is"), "{error}");
    assert_eq!(fs::read(home.path().join("train.toml")).expect("it"), bytes);

    // What a script leaves out is named, and nothing is written.
    let output = run(&["policy", "new", "other.toml", "--name", "train"]);
    assert_eq!(output.status.code(), Some(64));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("--party") && error.contains("--runs"),
        "{error}"
    );
    assert!(!home.path().join("other.toml").exists());
}
