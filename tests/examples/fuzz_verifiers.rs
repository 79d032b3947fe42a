//! The fuzz targets of the verifiers for as long as one likes, without a fuzzer: inputs are broken at
//! random, from the seeds, and those of which a check comes out as it never did before are broken further.
//!
//! `cargo run --release -p mc2-tests --example fuzz_verifiers -- SECONDS [TARGET [SEED]]`, seconds for
//! each target. A panic ends it; the input is then in `fuzz/artifacts/TARGET`, and the line before
//! names the seed that leads there again. What was kept goes to `fuzz/corpus/TARGET`, where
//! `cargo xtask fuzz`, which has a coverage-guided fuzzer, begins as well.

use std::{
    collections::BTreeSet,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mc2_attestation::{
    Check, Judgement, Tee,
    test_util::{crafted, hostile, stamped},
};
use mc2_protocol::Digest;

/// Judges one input.
type Verify = fn(&[u8]) -> Verdict;

const TARGETS: [(&str, Verify); 6] = [
    ("sgx_quote", |input| hostile::judged(Tee::Sgx, input).into()),
    ("tdx_quote", |input| hostile::judged(Tee::Tdx, input).into()),
    ("snp_report", |input| {
        crafted::judged(Tee::SevSnp, input).into()
    }),
    ("nitro_document", |input| {
        crafted::judged(Tee::Nitro, input).into()
    }),
    ("vtpm_quote", |input| {
        crafted::judged(Tee::AzureVtpm, input).into()
    }),
    ("timestamp", |input| stamped::verified(input).into()),
];
/// Longer inputs find nothing that these don't, only more slowly.
const LONGEST: usize = 20_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let seconds = arguments.first().and_then(|text| text.parse().ok());
    let wanted = arguments.get(1);
    let seed = arguments.get(2).map(|text| text.parse());
    let (Some(seconds), None | Some(Ok(_))) = (seconds, &seed) else {
        eprintln!("usage: fuzz_verifiers SECONDS [TARGET [SEED]]");
        return ExitCode::FAILURE;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let fresh = now.map_or(1, |now| now.as_secs());
    let seed = seed.and_then(Result::ok).unwrap_or(fresh);
    let mut found = false;
    for (name, verify) in TARGETS {
        if wanted.is_none_or(|wanted| wanted == name) {
            found |= !fuzz(name, verify, Duration::from_secs(seconds), seed);
        }
    }
    if found {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Whether nothing was found.
fn fuzz(name: &str, verify: Verify, time: Duration, seed: u64) -> bool {
    println!("{name}: {} s from seed {seed}", time.as_secs());
    let mut random = Random(seed | 1);
    let mut corpus = inputs(name);
    let mut seen: BTreeSet<String> = corpus
        .iter()
        .flat_map(|input| verify(input).outcomes)
        .collect();
    let began = Instant::now();
    let (mut inputs, mut passed) = (0_u64, 0_u64);
    while began.elapsed() < time {
        let input = random.broken(&corpus);
        inputs += 1;
        let Ok(judged) = catch_unwind(AssertUnwindSafe(|| verify(&input))) else {
            let path = keep("artifacts", name, &input);
            println!("{name}: PANIC after {inputs} inputs, by {}", path.display());
            return false;
        };
        passed += u64::from(judged.passed);
        let known = seen.len();
        seen.extend(judged.outcomes);
        if seen.len() > known {
            keep("corpus", name, &input);
            corpus.push(input);
        }
    }
    println!(
        "{name}: {inputs} inputs, {passed} passed, {} kept, no panic",
        corpus.len()
    );
    true
}

/// What came of an input.
struct Verdict {
    passed: bool,
    /// How each check came out, and of those that did not pass the words that are the verifier's own:
    /// there are no more of them than the verifier has ways to refuse.
    outcomes: Vec<String>,
}

impl From<Judgement> for Verdict {
    fn from(judged: Judgement) -> Self {
        let outcome = |check: &Check| {
            let words = match check.has_passed() {
                true => "",
                false => own_words(&check.found),
            };
            format!("{} {:?} {words}", check.id, check.outcome)
        };
        Self {
            passed: judged.has_passed(),
            outcomes: judged.checks.iter().map(outcome).collect(),
        }
    }
}

impl From<Result<(), String>> for Verdict {
    fn from(verified: Result<(), String>) -> Self {
        Self {
            passed: verified.is_ok(),
            outcomes: verified
                .err()
                .map(|error| own_words(&error).to_owned())
                .into_iter()
                .collect(),
        }
    }
}

/// The words of an error before what it quotes of the input, or counts in it.
fn own_words(error: &str) -> &str {
    let quoted = |c: char| c.is_ascii_digit() || matches!(c, '"' | '`' | '[' | '{');
    let ends = [error.find(quoted), error.find(" '")];
    let end = ends.into_iter().flatten().min();
    let own = end.map_or(error, |end| &error[..end]);
    match own.len() == error.len() {
        true => own,
        // The word that it stands in may be the input's, too.
        false => own.rfind(' ').map_or("", |end| &own[..end]),
    }
}

/// The seeds, and what runs before this one kept.
fn inputs(name: &str) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for kind in ["seeds", "corpus"] {
        let folder = folder(kind, name);
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("a file").path();
            inputs.push(fs::read(path).expect("an input"));
        }
    }
    assert!(!inputs.is_empty(), "{name} has no seeds");
    inputs
}

fn keep(kind: &str, name: &str, input: &[u8]) -> PathBuf {
    let folder = folder(kind, name);
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(&Digest::of(input).to_string()[..16]);
    fs::write(&path, input).expect("a file");
    path
}

fn folder(kind: &str, name: &str) -> PathBuf {
    mc2_tests::package().join("../fuzz").join(kind).join(name)
}

/// Xorshift: the same inputs from the same seed and corpus.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % below.max(1)
    }

    /// One of `corpus`, broken in up to eight ways.
    fn broken(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.next(corpus.len())].clone();
        for _ in 0..=self.next(8) {
            let at = self.next(input.len());
            match self.next(8) {
                0 => input.truncate(at),
                1 if at < input.len() => {
                    input.remove(at);
                }
                2 => input.insert(at, self.next(256) as u8),
                3 => {
                    // A piece of it, or of another, over what is there.
                    let other = &corpus[self.next(corpus.len())];
                    let from = self.next(other.len());
                    let length = self.next(64).min(other.len() - from);
                    let piece = other[from..from + length].to_vec();
                    let end = (at + length).min(input.len());
                    input.splice(at..end, piece);
                }
                4 => {
                    // Lengths stand in two and in four bytes.
                    let value = self.next(1 << 16) as u16;
                    for (place, byte) in input[at..].iter_mut().zip(value.to_be_bytes()) {
                        *place = byte;
                    }
                }
                5 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff][self.next(5)],
                6 if at < input.len() => input[at] = self.next(256) as u8,
                _ if at < input.len() => input[at] ^= 1 << self.next(8),
                _ => {}
            }
        }
        input.truncate(LONGEST);
        input
    }
}
