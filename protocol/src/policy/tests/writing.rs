//! The policy `mc2-run` writes.

use std::collections::BTreeMap;

use super::*;

#[test]
fn the_written_policy_is_right_and_admits_its_own_draft() {
    let me = bank_a();
    let name = |text: &str| -> Name { text.parse().unwrap() };
    let (digest, object) = (Digest::of(b"wasm"), Digest::of(b"manifest"));
    let datasets = [(name("line.item"), None), (name("7"), Some(object))];
    let outputs = [(name("a.parquet"), false), (name("parts"), true)];
    let text = OneParty {
        name: &name("mc2-run"),
        expires: 1_798_675_200,
        tee: Tee::Sim,
        card: me.card(),
        component: &name("sql.wasm"),
        sha256: &digest,
        datasets: &datasets,
        instances: 4,
        outputs: &outputs,
        runs: 3,
        limits: Limits::generous(),
        metering: true,
    }
    .to_toml();
    let policy = parse(&text);
    policy.require_enforced().unwrap();
    assert_eq!(policy.expires(), 1_798_675_200);
    assert_eq!(policy.components()[0].sha256, digest);
    let job = &policy.jobs()[0];
    assert_eq!(
        (job.runs, job.limits, job.metering),
        (3, Limits::generous(), true)
    );
    assert_eq!(job.steps[0].instances, 4);
    assert!(job.steps[0].output("parts").unwrap().folder);
    for output in [
        "a.parquet",
        "parts",
        "stdout",
        "stderr",
        "progress",
        "error",
        "usage",
    ] {
        let output = job.steps[0].output(output).unwrap();
        assert_eq!(output.recipients(), policy.parties());
    }

    let objects = BTreeMap::from([(name("line.item"), object)]);
    let arguments = vec![vec!["select 1".to_owned(), "-x".to_owned()]];
    let draft = policy
        .draft(&name(OneParty::JOB), &objects, arguments.clone(), [7; 32])
        .unwrap();
    let admitted = policy
        .admit(
            &draft.to_bytes(),
            me.card().digest(),
            &Approvals::new(),
            |_| 2,
        )
        .unwrap();
    assert_eq!(admitted.steps[0].arguments, arguments[0]);
    assert_eq!(admitted.datasets.len(), 2);
    assert_eq!(admitted.readers, policy.parties());
}

#[test]
fn a_policy_without_data_or_outputs_is_right_too() {
    let name: Name = "x".parse().unwrap();
    let text = OneParty {
        name: &name,
        expires: 0,
        tee: Tee::Sim,
        card: bank_a().card(),
        component: &name,
        sha256: &Digest::of(b""),
        datasets: &[],
        instances: 1,
        outputs: &[],
        runs: 1,
        limits: Limits::generous(),
        metering: false,
    }
    .to_toml();
    parse(&text);
}
