//! Several parties, each with a state folder of its own, each verb a process of its own, over one
//! host that may lie. What fails panics.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{fs, process::Output};

use mc2_client::party::{Fingerprint, Parties};
use mc2_protocol::{Digest, Identity, policy::Policy};
use serde_json::Value;

use crate::{Liar, Place, Stack, StackOptions, component, ended, parse, policy_of};

const PARTIES: [&str; 3] = ["bank-a", "bank-b", "analyst"];
/// Both banks approve the policy.
pub const ALL: &str = "approve = { who = [\"bank-a\", \"bank-b\"], when = \"session\" }\n";

/// Two banks with data, an analyst who asks, and the host between them.
pub struct Several {
    /// The host and its runtimes.
    pub stack: Stack,
    /// What their commands see of it.
    pub liar: Liar,
    /// A state folder for each, and the one folder they all work in.
    pub place: Place,
    /// Bank a, bank b, the analyst.
    pub identities: Vec<Identity>,
    /// In `p.toml`.
    pub policy: Policy,
    /// Its address, as they name it.
    pub host: String,
}

impl Several {
    /// Under a policy whose job is approved thus, and with data at the host.
    pub async fn new(approve: &str) -> Self {
        let liar = Liar::new();
        let options = StackOptions {
            wrap_client: Some(liar.wrap()),
            ..StackOptions::default()
        };
        let stack = Stack::with(options).await;
        let place = Place::new();
        let identities = PARTIES.map(|name| {
            let made = place.state(name).make_identity(parse(name));
            made.ok().unwrap().0
        });
        let [bank_a, bank_b, analyst] = &identities;
        let job = format!(
            "submit = [\"analyst\"]\n{approve}runs = 9\nerrors = \"full\"\n\
             limits = {{ memory = \"1GiB\", time = \"1min\", output = \"1MiB\" }}\n\
             [[job.step]]\ncomponent = \"workload\"\npadding = \"exact\"\n\
             args = [\"copy\", {{ one_of = [\"accounts\", \"transactions\"] }}, \"result\"]\n\
             [job.step.inputs]\naccounts = \"dataset:accounts\"\n\
             transactions = \"dataset:transactions\"\n\
             [job.step.outputs]\nresult = [\"analyst\"]\n\
             [[job]]\nname = \"endless\"\nsubmit = [\"analyst\"]\nruns = 1\nerrors = \"full\"\n\
             approve = {{ who = [\"analyst\"], when = \"session\" }}\n\
             limits = {{ memory = \"1GiB\", time = \"10min\", output = \"1MiB\" }}\n\
             [[job.step]]\ncomponent = \"workload\"\npadding = \"exact\"\nargs = [\"loop\"]\n\
             [[job]]\nname = \"nap\"\nsubmit = [\"analyst\"]\nruns = 99\nerrors = \"full\"\n\
             approve = {{ who = [\"analyst\"], when = \"session\" }}\n\
             limits = {{ memory = \"256MiB\", time = \"30min\", output = \"1MiB\" }}\n\
             [[job.step]]\ncomponent = \"workload\"\npadding = \"exact\"\n\
             args = [\"sleep\", {{ number = [0, 1000] }}]\n"
        );
        let workload = Digest::of(&fs::read(component("hostile")).unwrap());
        let policy = policy_of(
            &[bank_a, bank_b, analyst],
            &workload,
            &[("accounts", bank_a), ("transactions", bank_b)],
            &job,
        );
        fs::write(place.at("p.toml"), policy.bytes()).unwrap();
        let several = Self {
            host: format!("unix:{}", stack.socket().display()),
            identities: identities.into(),
            stack,
            liar,
            place,
            policy,
        };
        several.know_each_other();
        several.trust_the_simulator().await;
        several
    }

    fn know_each_other(&self) {
        for name in PARTIES {
            let state = self.place.state(name);
            for other in &self.identities {
                let told: Fingerprint = parse(&other.card().fingerprint());
                let mut known = Parties::load(&state).unwrap();
                known.add(&state, other.card(), &told).unwrap();
            }
        }
    }

    /// Asking for a challenge starts the process of this policy, and then its key is known.
    async fn trust_the_simulator(&self) {
        let challenge = self.stack.remote.challenge(self.policy.digest()).await;
        challenge.unwrap();
        for name in PARTIES {
            let file = self.place.state(name).trust_store();
            fs::write(file, self.stack.trust().to_bytes()).unwrap();
        }
    }

    /// `mc2` of one of them, who accepts the simulator.
    pub fn mc2(&self, party: &str, arguments: &[&str]) -> Output {
        let mut all = arguments.to_vec();
        let at = all.iter().position(|one| *one == "--");
        all.insert(at.unwrap_or(all.len()), "--allow-simulated");
        let output = self.place.command_of(party, "mc2", &all).output();
        output.unwrap()
    }

    /// `mc2` of one of them, as it is written.
    pub fn mc2_plain(&self, party: &str, arguments: &[&str]) -> Output {
        let output = self.place.command_of(party, "mc2", arguments).output();
        output.unwrap()
    }

    /// The object `mc2 … --json` wrote, after it ended with this code.
    #[track_caller]
    pub fn told(&self, party: &str, code: i32, arguments: &[&str]) -> Value {
        let mut all = vec![];
        let at = arguments.iter().position(|one| *one == "--");
        let (before, after) = arguments.split_at(at.unwrap_or(arguments.len()));
        all.extend(before);
        all.push("--json");
        all.extend(after);
        let output = self.mc2(party, &all);
        ended(&output, code);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["exit_code"], code, "{told}");
        assert_eq!(told["version"], 1, "{told}");
        told
    }

    /// The object id of a new version of a bank's dataset.
    pub fn upload(&self, party: &str, dataset: &str, content: &str) -> String {
        let file = format!("{dataset}.txt");
        fs::write(self.place.at(&file), content).unwrap();
        let line = ["upload", &file, "--name", dataset, "--host", &self.host];
        string(&self.told(party, 0, &line)["object"])
    }

    /// A version of each dataset.
    pub fn upload_all(&self) {
        self.upload("bank-a", "accounts", "one\n");
        self.upload("bank-b", "transactions", "two\n");
    }

    /// A session that bank-a opened and the others joined.
    pub fn session(&self) -> String {
        let session = self.open();
        for party in ["bank-b", "analyst"] {
            self.told(party, 0, &self.join(&session));
        }
        session
    }

    /// A session that bank-a opened.
    pub fn open(&self) -> String {
        let workload = component("hostile");
        let workload = workload.to_str().unwrap();
        let host = &self.host;
        let line = [
            "session",
            "open",
            "p.toml",
            "--host",
            host,
            "--component",
            workload,
        ];
        let told = self.told("bank-a", 0, &line);
        assert_eq!(told["simulated"], true);
        string(&told["session"])
    }

    /// The line with which somebody joins a session.
    pub fn join<'a>(&'a self, session: &'a str) -> [&'a str; 7] {
        let host = &self.host;
        [
            "session", "join", session, "--policy", "p.toml", "--host", host,
        ]
    }

    /// Approves the policy, and releases what is theirs.
    pub fn approve(&self, party: &str, session: &str) -> Value {
        let digest = self.policy.digest().to_string();
        self.told(party, 0, &["approve", session, "--digest", &digest])
    }

    /// Submits a copy of a dataset, whose versions are the only ones there are.
    pub fn submit(&self, session: &str, code: i32) -> Value {
        let versions = self.versions();
        let [accounts, transactions] = [&versions[0], &versions[1]];
        let line = [
            "submit",
            session,
            "run",
            "--in",
            accounts,
            "--in",
            transactions,
            "--now",
            "--",
            "transactions",
        ];
        self.told("analyst", code, &line)
    }

    /// The versions of both datasets, as options say them.
    pub fn versions(&self) -> Vec<String> {
        let of = |party: &str, dataset: &str| {
            let uploads = self.place.state(party).uploads().unwrap();
            format!("{dataset}={}", uploads[0].object)
        };
        vec![of("bank-a", "accounts"), of("bank-b", "transactions")]
    }

    /// The lines of a ledger.
    pub fn ledger(&self, party: &str) -> String {
        let path = self.place.state(party).root().join("ledger.jsonl");
        fs::read_to_string(path).unwrap_or_default()
    }
}

/// A string of an object.
///
/// # Panics
/// It is none.
pub fn string(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
