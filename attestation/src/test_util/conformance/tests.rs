//! Our verifiers, held against the published set.

use std::{collections::BTreeSet, env, fs, path::Path};

use mc2_protocol::Digest;

use super::{Set, contents, folder, judged, refused_by, roots, samples};
use crate::{
    Accepted, Outcome, PlatformFlags, Tee,
    evidence::CERTIFICATE_TYPE,
    tee::{self, Roots, dcap::COLLATERAL_TYPE},
    test_util::{
        samples::{in_crate, shared},
        trial::Trial,
    },
};

/// Files of the folder that the forger does not make.
const BY_HAND: [&str; 2] = ["README.md", "real.tsv"];
/// Checks that no single piece of evidence fails: they compare with what was seen before.
const OF_TIME: [&str; 2] = ["collateral-rollback", "snp-rollback"];

/// `MC2_WRITE_VECTORS=1` writes the folder.
#[test]
fn the_published_files_are_what_the_forger_makes() {
    let (folder, made) = (folder(), contents());
    if env::var_os("MC2_WRITE_VECTORS").is_some() {
        for path in files_below(&folder, &folder) {
            fs::remove_file(folder.join(path)).unwrap();
        }
        for (path, bytes) in &made {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    for (path, bytes) in &made {
        let kept = fs::read(folder.join(path));
        assert!(kept.is_ok_and(|kept| kept == *bytes), "{path}");
    }
    let names: BTreeSet<String> = made.into_keys().collect();
    assert_eq!(files_below(&folder, &folder), names);
}

#[test]
fn each_verifier_says_of_the_published_evidence_what_the_table_says() {
    let set = Set::read(&folder());
    assert!(set.expected.len() > 90, "{}", set.expected.len());
    for expected in &set.expected {
        let found = judged(&expected.forged, set.roots.clone());
        let name = &expected.name;
        assert_eq!(refused_by(&found), expected.refused_by.as_deref(), "{name}");
        assert_eq!(found.has_passed(), expected.refused_by.is_none(), "{name}");
        let claims = found.claims.map(|claims| {
            let tcb = claims.hardware.unwrap().tcb.to_string();
            (tcb, claims.measurement.to_string())
        });
        assert_eq!(claims, expected.claims, "{name}");
    }
}

/// Nothing of it passes under the vendors' roots.
#[test]
fn no_published_forgery_passes_under_the_vendors_roots() {
    for expected in Set::read(&folder()).expected {
        let found = judged(&expected.forged, Roots::default());
        let refused = refused_by(&found);
        assert!(
            refused.is_some() && found.claims.is_none(),
            "{}",
            expected.name
        );
        if expected.refused_by.is_none() {
            let chain = match expected.tee {
                Tee::Sgx | Tee::Tdx => "quote-signature",
                Tee::Nitro => "nitro-chain",
                _ => "snp-chain",
            };
            assert_eq!(refused, Some(chain), "{}", expected.name);
        }
    }
}

/// Every check of every verifier refuses something in it.
#[test]
fn the_set_has_evidence_that_each_check_refuses() {
    let samples = samples();
    for tee in Tee::ALL.into_iter().filter(|tee| *tee != Tee::Sim) {
        let refusing: BTreeSet<&str> = samples
            .iter()
            .filter(|sample| sample.tee == tee || of_intel(sample.tee) && of_intel(tee))
            .filter_map(|sample| sample.refused_by)
            .collect();
        for line in tee::lines(tee) {
            let id = line.id;
            let made = refusing.contains(id) || OF_TIME.contains(&id);
            assert!(made, "{tee}: nothing is refused by {id}");
        }
        // AWS says nothing of its firmware.
        assert!(tee == Tee::Nitro || refusing.contains("tcb"), "{tee}");
    }
}

/// Names are unique, and so each has a file of its own.
#[test]
fn no_two_samples_share_a_name() {
    let samples = samples();
    let names: BTreeSet<&str> = samples.iter().map(|sample| sample.name).collect();
    assert_eq!(names.len(), samples.len());
    assert_eq!(roots().amd.len(), 3);
}

const fn of_intel(tee: Tee) -> bool {
    matches!(tee, Tee::Sgx | Tee::Tdx)
}

/// The files below `folder` but for those made by hand, by their paths from `root`.
fn files_below(folder: &Path, root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path, root));
            continue;
        }
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        if !BY_HAND.contains(&name) {
            found.insert(name.to_owned());
        }
    }
    found
}

/// The table of real evidence: each file is the one that is meant, and gets its verdict.
#[test]
fn real_evidence_is_what_the_table_says_and_gets_its_verdict() {
    let table = fs::read_to_string(folder().join("real.tsv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split('\t').collect()).collect();
    assert_eq!(rows.len(), 16, "a head, and 15 of them");
    for row in &rows[1..] {
        let [
            name,
            tee,
            evidence,
            endorsements,
            now,
            accepted,
            outcome,
            tcb,
            ..,
        ] = row[..]
        else {
            panic!("{row:?}");
        };
        let tee: Tee = tee.parse().unwrap();
        let Some(bytes) = real(evidence) else {
            continue;
        };
        // Azure's are kept in another layout than ours: their verdicts are in the tests of `tee/tpm`.
        if tee == Tee::AzureVtpm {
            continue;
        }
        let mut trial = Trial::new(tee, bytes, now.parse().unwrap());
        for endorsement in endorsements.split(',').filter(|one| *one != "-") {
            let (path, _) = endorsement.split_once('=').unwrap();
            let media_type = match path.ends_with(".json") {
                true => COLLATERAL_TYPE,
                false => CERTIFICATE_TYPE,
            };
            trial = trial.with(media_type, real(endorsement).unwrap());
        }
        let accepts = |what: &str| accepted.split(',').any(|one| one == what);
        trial.accepted = Accepted {
            missing_crl: accepts("missing-crl"),
            platform: PlatformFlags {
                smt: accepts("smt"),
                dynamic_platform: accepts("dynamic-platform"),
                cached_keys: accepts("cached-keys"),
            },
            ..Accepted::default()
        };
        let found = trial.verify();
        let first = found
            .checks
            .iter()
            .find(|check| check.outcome == Outcome::Failed)
            .map_or("passes", |check| check.id);
        assert_eq!(first, outcome, "{name}");
        let hardware = found.claims.and_then(|claims| claims.hardware);
        let status = hardware.map_or("-".to_owned(), |hardware| hardware.tcb.to_string());
        assert_eq!(status, tcb, "{name}");
    }
}

/// What another verifier found is its word, and nothing a TEE signed.
#[test]
fn a_token_of_another_verifier_is_evidence_of_no_kind_of_enclave() {
    let Some(token) = shared("gcp/confidential_space_pki.jwt") else {
        return;
    };
    for (tee, first) in [
        (Tee::Sgx, "quote"),
        (Tee::Tdx, "quote"),
        (Tee::SevSnp, "snp-report"),
        (Tee::Nitro, "nitro-document"),
        (Tee::AzureVtpm, "vtpm-evidence"),
    ] {
        let trial = Trial::new(tee, token.clone(), 1_757_061_000);
        assert!(trial.verify().claims.is_none(), "{tee}");
        assert_eq!(trial.refused_by(), first, "{tee}");
    }
}

/// The file that `PATH=SHA256` names, where it is here: a crate has it, or the folder beside the
/// project.
fn real(named: &str) -> Option<Vec<u8>> {
    let (path, digest) = named.split_once('=').unwrap();
    let bytes = match path.strip_prefix("dcap/") {
        Some(sample) => in_crate("dcap-qvl", &format!("sample/{sample}")),
        None => shared(path)?,
    };
    assert_eq!(Digest::of(&bytes).to_string(), digest, "{path}");
    Some(bytes)
}
