//! `mc2 appraise` by its outputs and exit codes, over real evidence.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Where Cargo put a program: asked for when the test runs, for a target folder may have been moved.
fn program(name: &str) -> OsString {
    env::var_os(format!("CARGO_BIN_EXE_{name}")).expect("Cargo says where it is")
}
const NOW: &str = "1750500000";
const MRENCLAVE: &str = "33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb";

/// A file of the samples that the crate dcap-qvl has in the registry.
fn sample(name: &str) -> String {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| Path::new(&env::var_os("HOME").unwrap()).join(".cargo"));
    let registries = fs::read_dir(home.join("registry/src")).unwrap();
    let mut samples = registries.map(|registry| {
        let registry = registry.unwrap().path();
        registry.join("dcap-qvl-0.7.1/sample").join(name)
    });
    let found = samples.find(|path| path.exists());
    found
        .expect("the registry has dcap-qvl")
        .to_str()
        .unwrap()
        .to_owned()
}

fn appraise(arguments: &[&str]) -> Output {
    Command::new(program("mc2"))
        .arg("appraise")
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

/// Appraises the SGX sample with its collateral, as of `now`, and what else is asked.
fn sgx(now: &str, more: &[&str]) -> (i32, String, String) {
    let (quote, collateral) = (sample("sgx_quote"), sample("sgx_quote_collateral.json"));
    let mut arguments = vec!["--tee", "sgx", "--evidence", &quote];
    arguments.extend(["--endorsements", &collateral, "--now", now]);
    arguments.extend(more);
    let output = appraise(&arguments);
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

const HARDENED: [&str; 2] = ["--accept-tcb", "UpToDate,ConfigurationAndSWHardeningNeeded"];

#[test]
fn real_evidence_passes_where_its_status_is_accepted_and_says_that_nothing_was_compared() {
    let (code, told, _) = sgx(NOW, &HARDENED);
    assert_eq!(code, 0, "{told}");
    for words in [
        "as of 2025-06-21T10:00:00Z",
        "ok    quote's signatures",
        "with nothing",
        MRENCLAVE,
        "INTEL-SA-00615",
        "holds     from 2025-06-19T10:56:11Z until 2025-07-19T10:01:18Z",
        "every check passed",
    ] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    let (code, told, error) = sgx(NOW, &[]);
    assert_eq!(code, 67, "{told}");
    assert!(
        told.contains("FAIL  platform firmware (TCB)") && told.contains("REFUSED"),
        "{told}"
    );
    assert!(error.contains("did not pass"), "{error}");
}

#[test]
fn evidence_is_judged_as_of_the_time_given() {
    let (code, told, _) = sgx("1782036000", &HARDENED);
    assert_eq!(code, 67);
    assert!(told.contains("FAIL  Intel's revocation lists"), "{told}");
    assert!(told.contains("-     quote's signatures"), "{told}");
}

#[test]
fn programs_get_every_check_with_the_claims() {
    let (code, told, _) = sgx(NOW, &[&HARDENED[..], &["--json"]].concat());
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["exit_code"]), (0, &0.into()));
    assert_eq!(told["status"], "passed");
    assert_eq!(told["compared"], false);
    assert_eq!(told["claims"]["measurement"], MRENCLAVE);
    assert_eq!(told["claims"]["hardware"]["debug"], false);
    assert_eq!(told["holds"]["until"], 1_752_919_278);
    let checks = told["checks"].as_array().unwrap();
    assert!(checks.len() > 10);
    assert!(checks.iter().all(|check| check["outcome"] == "passed"));
}

#[test]
fn a_measurement_passes_only_if_it_is_among_the_reference_values() {
    let folder = tempfile::tempdir().unwrap();
    let with = |measurements: &[&str]| {
        let values: Vec<String> = measurements
            .iter()
            .map(|measurement| {
                format!(
                    r#"{{"tee":"sgx","measurement":"{measurement}","runtime":"mc2-runtime","version":"0.1.0","revoked":false}}"#
                )
            })
            .collect();
        let path = folder.path().join("values.json");
        fs::write(&path, format!("[{}]", values.join(","))).unwrap();
        let reference = ["--reference", path.to_str().unwrap()];
        sgx(NOW, &[&HARDENED[..], &reference].concat())
    };
    let other = MRENCLAVE.replacen('3', "4", 1);
    let (code, told, _) = with(&[&other, MRENCLAVE]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("with the reference values given"), "{told}");
    for values in [&[other.as_str()][..], &[]] {
        let (code, told, _) = with(values);
        assert_eq!(code, 67, "{told}");
        assert!(told.contains("FAIL  runtime measurement"), "{told}");
    }
}

#[test]
fn what_a_platform_is_set_up_with_passes_only_if_it_is_named() {
    let (quote, collateral) = (sample("tdx_quote"), sample("tdx_quote_collateral.json"));
    let tdx = |more: &[&str]| {
        let given = [
            "--tee",
            "tdx",
            "--evidence",
            &quote,
            "--endorsements",
            &collateral,
        ];
        appraise(&[&given[..], &["--now", NOW], more].concat())
    };
    assert_eq!(tdx(&[]).status.code(), Some(67));
    assert_eq!(tdx(&["--allow", "smt"]).status.code(), Some(67));
    let all = tdx(&["--allow", "smt,dynamic-platform,cached-keys"]);
    assert_eq!(
        all.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&all.stdout)
    );
}

#[test]
fn files_that_are_not_what_they_should_be_are_refused_by_name() {
    let quote = sample("sgx_quote");
    let given = ["--tee", "sgx", "--now", NOW];
    for (more, words) in [
        (vec!["--evidence", "/nowhere"], "/nowhere"),
        (
            vec!["--evidence", &quote, "--endorsements", &quote],
            "holds no endorsements",
        ),
        (
            vec!["--evidence", &quote, "--reference", &quote],
            "no list of reference values",
        ),
        (vec!["--evidence", &quote, "--accept-tcb", "Fine"], "Fine"),
    ] {
        let output = appraise(&[&given[..], &more].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{error}");
        assert!(error.contains(words), "no {words:?} in {error}");
    }
}

/// What no policy can list is compared with no reference value either.
#[test]
fn a_tpm_s_quote_is_judged_as_that_and_compared_with_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (quote, values) = (file("quote", "{}"), file("values", "[]"));
    let given = ["--tee", "tpm", "--evidence", &quote, "--now", NOW];
    let output = appraise(&given);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(67), "{told}");
    assert!(told.starts_with("TPM 2.0, nothing beneath"), "{told}");
    assert!(told.contains("FAIL  TPM's evidence"), "{told}");
    let output = appraise(&[&given[..], &["--reference", &values]].concat());
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{error}");
    assert!(error.contains("no reference value"), "{error}");
}
