//! Rows 24, 26 and 44: a party's card is known before anything is given under a policy that names
//! it, and what is approved is shown whole.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{fs, process::Output};

use mc2_protocol::{Digest, Identity, SecretKey, policy::Policy};
use mc2_tests::{Place, component, ended, identity, parse, policy_of, rng, text};

/// A person `me` with data, and others.
struct Parties {
    place: Place,
    me: Identity,
}

impl Parties {
    fn new() -> Self {
        let place = Place::new();
        let me = place
            .state("home")
            .make_identity(parse("me"))
            .ok()
            .unwrap()
            .0;
        Self { place, me }
    }

    /// Writes a policy of these parties, under which `me` runs `workload` over their own data.
    fn policy(&self, parties: &[&Identity], approve: &str) -> Policy {
        let job = format!(
            "submit = [\"me\"]\n{approve}runs = 9\nerrors = \"full\"\n\
             limits = {{ memory = \"1GiB\", time = \"1min\", output = \"1MiB\" }}\n\
             [[job.step]]\ncomponent = \"workload\"\nargs = \"any\"\npadding = \"exact\"\n\
             [job.step.inputs]\ndata = \"dataset:data\"\n\
             [job.step.outputs]\nstdout = [\"me\"]\n"
        );
        let workload = Digest::of(&fs::read(component("hostile")).unwrap());
        let policy = policy_of(parties, &workload, &[("data", &self.me)], &job);
        fs::write(self.place.at("p.toml"), policy.bytes()).unwrap();
        policy
    }

    fn run(&self, more: &[&str]) -> Output {
        let mut arguments = vec!["--policy", "p.toml", "--in", "data=data.txt"];
        arguments.extend(more);
        arguments.extend(["--", "sum", "data"]);
        self.place.run("hostile", &arguments)
    }

    /// Refused by the policy's cards, before a key was released.
    #[track_caller]
    fn refused(&self, more: &[&str], words: &[&str]) {
        let stderr = ended(&self.run(more), 66);
        for word in words {
            assert!(stderr.contains(word), "no {word:?} in {stderr}");
        }
        assert!(!self.place.at("home/ledger.jsonl").exists(), "released");
        self.place.assert_clean();
    }

    fn add(&self, of: &Identity) {
        let file = self.card(of);
        let told = of.card().fingerprint();
        let output = self
            .place
            .mc2(&["party", "add", &file, "--fingerprint", &told]);
        ended(&output, 0);
    }

    fn card(&self, of: &Identity) -> String {
        let file = format!("{}.card", of.card().digest().short());
        fs::write(self.place.at(&file), of.card().to_string()).unwrap();
        file
    }
}

/// Row 26.
#[test]
fn a_card_that_is_not_known_is_refused_by_name_until_it_was_compared() {
    let parties = Parties::new();
    let (bob, carol) = (identity("bob"), identity("carol"));
    parties.policy(
        &[&parties.me, &bob, &carol],
        "approve = { who = \"all\", when = \"session\" }\n",
    );
    let (of_bob, of_carol) = (bob.card().fingerprint(), carol.card().fingerprint());
    let both = ["bob", &of_bob, "carol", &of_carol, "mc2 party add"];
    parties.refused(&[], &both);
    parties.add(&bob);
    parties.refused(&[], &["carol", &of_carol, "--name carol"]);
    // Out of the policy, as the refusal says.
    let add = |told: &str| {
        let line = [
            "party",
            "add",
            "p.toml",
            "--name",
            "carol",
            "--fingerprint",
            told,
        ];
        parties.place.mc2(&line)
    };
    let stderr = ended(&add(&of_bob), 64);
    assert!(stderr.contains(&of_carol), "{stderr}");
    ended(&add(&of_carol), 0);
    // Known now; the policy wants two more approvals, which is the enclave's to say.
    let stderr = ended(&parties.run(&[]), 66);
    assert!(stderr.contains("the enclave refused the job"), "{stderr}");
}

/// Row 26.
#[test]
fn a_party_s_key_swapped_in_the_policy_is_refused_by_name() {
    let parties = Parties::new();
    let (bob, eve) = (identity("bob"), identity("bob"));
    parties.add(&bob);
    let policy = parties.policy(
        &[&parties.me, &eve],
        "approve = { who = [\"me\"], when = \"session\" }\n",
    );
    let (known, found) = (bob.card().fingerprint(), eve.card().fingerprint());
    let words = ["bob", &*known, &*found, "mc2 party remove bob"];
    parties.refused(&[], &words);
    // Not even for a script that knows the policy.
    let digest = policy.digest().to_string();
    parties.refused(&["--policy-digest", &digest], &words);
}

/// Rows 24 and 26: one's own name, or a key under a second name.
#[test]
fn no_party_poses_as_the_reader_or_twice() {
    let parties = Parties::new();
    let bob = identity("bob");
    parties.add(&bob);
    // The signing key is bob's, the rest is new.
    let seed = SecretKey::from_bytes(bob.signing_key().to_bytes());
    let twice = Identity::from_seeds(parse("robert"), &seed, SecretKey::generate(&mut rng()));
    let approve = "approve = { who = [\"me\"], when = \"session\" }\n";
    parties.policy(&[&parties.me, &twice], approve);
    parties.refused(&[], &["robert", "bob"]);

    let other_me = identity("me");
    let place = &parties.place;
    let file = parties.card(&other_me);
    let told = other_me.card().fingerprint();
    let output = place.mc2(&["party", "add", &file, "--fingerprint", &told]);
    let stderr = ended(&output, 64);
    assert!(stderr.contains("another key"), "{stderr}");
}

#[test]
fn a_script_states_the_policy_s_digest() {
    let parties = Parties::new();
    let bob = identity("bob");
    let approve = "approve = { who = [\"me\"], when = \"session\" }\n";
    let other = parties
        .policy(&[&parties.me, &bob], approve)
        .digest()
        .to_string();
    let mut text = fs::read(parties.place.at("p.toml")).unwrap();
    text.extend_from_slice(b"# agreed\n");
    fs::write(parties.place.at("p.toml"), &text).unwrap();
    let digest = Digest::of(&text).to_string();
    parties.refused(&["--policy-digest", &other], &[&other, &digest]);
    ended(&parties.run(&["--policy-digest", &digest]), 0);
}

#[test]
fn cards_are_added_listed_and_removed_by_name() {
    let parties = Parties::new();
    let place = &parties.place;
    let bob = identity("bob");
    let file = parties.card(&bob);
    // Nobody says what bob told, and there is no terminal to ask at.
    let stderr = ended(&place.mc2(&["party", "add", &file]), 64);
    assert!(stderr.contains(&bob.card().fingerprint()), "{stderr}");
    assert!(stderr.contains("--fingerprint"), "{stderr}");
    let stderr = ended(
        &place.mc2(&["party", "add", &file, "--fingerprint", "8d1f 02c9"]),
        64,
    );
    assert!(stderr.contains("40 hexadecimal digits"), "{stderr}");
    let listed = || text(&place.mc2(&["party", "list"]).stdout);
    let mine = format!("me  {}  your own\n", parties.me.card().fingerprint());
    assert_eq!(listed(), mine);
    parties.add(&bob);
    parties.add(&bob);
    assert_eq!(
        listed(),
        format!("{mine}bob  {}\n", bob.card().fingerprint())
    );
    ended(&place.mc2(&["party", "remove", "bob"]), 0);
    assert_eq!(listed(), mine);
    ended(&place.mc2(&["party", "remove", "bob"]), 64);
    ended(&place.mc2(&["party", "remove", "me"]), 64);
}

/// Row 44.
#[test]
fn what_is_approved_is_shown_whole_and_escaped_with_its_digest() {
    let parties = Parties::new();
    let policy = parties.policy(
        &[&parties.me],
        "approve = { who = \"all\", when = \"session\" }\n",
    );
    let stderr = ended(&parties.run(&[]), 0);
    let digest = policy.digest().to_string();
    assert!(
        stderr.contains("approving\nwhat         policy\n"),
        "{stderr}"
    );
    assert!(
        stderr.contains(&digest) && stderr.contains("any number of any arguments"),
        "{stderr}"
    );

    parties.policy(
        &[&parties.me],
        "approve = { who = \"all\", when = \"job\" }\n",
    );
    let long = "x".repeat(5000);
    let line = [
        "--policy",
        "p.toml",
        "--in",
        "data=data.txt",
        "--",
        "echo",
        "a\u{202e}b\u{1b}[2Kc",
        &long,
    ];
    let stderr = ended(&parties.place.run("hostile", &line), 0);
    assert!(stderr.contains("approving\nwhat         job\n"), "{stderr}");
    assert!(
        stderr.contains(r#"2 of 3: "a\u{202e}b\u{1b}[2Kc""#),
        "{stderr}"
    );
    assert!(
        stderr.contains(&format!("3 of 3: \"{long}\"\n")),
        "{stderr}"
    );
    // It is the job that ran.
    let receipts = fs::read_dir(parties.place.at("home/receipts")).unwrap();
    let names = receipts.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut jobs = names.map(|name| name.trim_end_matches(".json").to_owned());
    assert!(jobs.any(|job| stderr.contains(&job)), "{stderr}");
}
