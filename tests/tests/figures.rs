//! Row 37: figures of a run reach those whom they concern. Of three parties the submitter gets
//! neither the result nor figures, the owner of the data is told what the host saw, and the
//! recipient of result and usage knows both exactly.

use std::{collections::BTreeMap, slice, time::SystemTime};

use mc2_client::{session::Session, verify::figures::Figures};
use mc2_protocol::{Digest, Identity, Name, documents::receipt::OutputSecret, policy::Policy};
use mc2_tests::{Finished, Stack, identity, parse, policy_of, release};
use serde_json::Value;

/// What the host sees of every result here.
const PADDED: u64 = 512 << 10;

struct Three {
    stack: Stack,
    owner: Identity,
    reader: Identity,
    component: Digest,
}

impl Three {
    async fn new() -> Self {
        let stack = Stack::start().await;
        let component = stack.component("hostile").await;
        Self {
            stack,
            owner: identity("owner"),
            reader: identity("reader"),
            component,
        }
    }

    fn policy(&self) -> Policy {
        let job = "submit = [\"me\"]\napprove = { who = \"all\", when = \"session\" }\nruns = 10\n\
                   errors = \"full\"\n\
                   limits = { memory = \"64MiB\", time = \"60s\", output = \"1MiB\" }\n\
                   [[job.step]]\ncomponent = \"workload\"\nargs = \"any\"\n\
                   inputs = { data = \"dataset:data\" }\npadding = { fixed = \"512KiB\" }\n\
                   outputs = { result = [\"reader\"], usage = [\"reader\"] }\n";
        let parties = [&self.stack.me, &self.owner, &self.reader];
        let datasets = [("data", &self.owner)];
        policy_of(&parties, &self.component, &datasets, job)
    }

    async fn session(&self) -> Session<'_> {
        let stack = &self.stack;
        let parties = [&stack.me, &self.owner, &self.reader];
        stack.approved(self.policy(), &parties).await
    }

    async fn run(&self, data: &[u8]) -> Finished {
        let session = self.session().await;
        let sealed = self.stack.seal("data", data).await;
        let keys = vec![release("data", &sealed, 1)];
        let ledger = &self.stack.ledger;
        let released = session.release(&self.owner, ledger, keys, SystemTime::now());
        released.await.expect("a release");
        let objects = BTreeMap::from([(parse::<Name>("data"), sealed.object)]);
        let arguments = ["copy", "data", "result"].map(str::to_owned);
        let job = session
            .policy()
            .draft(&parse("run"), &objects, vec![arguments.into()], [9; 32])
            .expect("a job the policy allows");
        let me = &self.stack.me;
        let finished = self.stack.submit_job(&session, me, &job).await;
        let finished = finished.expect("a receipt");
        assert_eq!(finished.reason(), "succeeded");
        finished
    }

    fn figures(&self, finished: &Finished, reader: &Identity) -> Figures {
        Figures::open(
            &finished.receipt,
            &finished.session,
            slice::from_ref(reader),
        )
    }
}

/// Two statements tell a stranger to what is sealed in them the same: numbers are equal, texts
/// have equal lengths.
fn look_alike(a: &Value, b: &Value, at: &str) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            assert!(a.keys().eq(b.keys()), "{at}");
            for (key, a) in a {
                look_alike(a, &b[key], &format!("{at}.{key}"));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{at}");
            for (a, b) in a.iter().zip(b) {
                look_alike(a, b, at);
            }
        }
        (Value::String(a), Value::String(b)) => assert_eq!(a.len(), b.len(), "{at}"),
        (a, b) => assert_eq!(a, b, "{at}"),
    }
}

/// Row 37.
#[tokio::test]
async fn a_co_party_sees_neither_lengths_nor_figures_of_another_s_output() {
    let three = Three::new().await;
    let mut seen: Option<Value> = None;
    for length in [7, 300_000] {
        let data = vec![7; length];
        let finished = three.run(&data).await;
        let payload = finished.envelope.payload.as_slice();
        let statement: Value = serde_json::from_slice(payload).expect("a statement");
        let before = seen.get_or_insert(statement.clone());
        // Another session has another policy, record and evidence, all of one length.
        look_alike(before, &statement, "statement");

        let me = &three.stack.me;
        assert!(finished.outputs.is_empty());
        for stranger in [me, &three.owner] {
            let [output] = &finished.receipt.outputs[..] else {
                panic!("{:?}", finished.receipt.outputs);
            };
            let own = |one: &&mc2_protocol::documents::sealed_to::SealedTo| {
                one.card == *stranger.card().digest()
            };
            assert!(output.recipients.iter().find(own).is_none());
            let (job, name) = (&finished.receipt.job, "result");
            let sealed = &output.recipients[0];
            let opened = OutputSecret::open(&finished.session, job, name, sealed, stranger);
            assert!(opened.is_err());
        }

        let mine = three.figures(&finished, me);
        assert!(mine.0[0].usage.is_none() && mine.0[0].observed.is_none());
        let owners = three.figures(&finished, &three.owner);
        assert!(owners.0[0].usage.is_none());
        let observed = owners.0[0].observed.as_ref().expect("for the owner");
        assert!(observed.fetched_segments >= 1);
        assert!(observed.fetched_bytes > length as u64);
        assert!(observed.stored_bytes > PADDED);
        let readers = three.figures(&finished, &three.reader);
        assert!(readers.0[0].observed.is_none());
        let usage = readers.0[0].usage.as_ref().expect("for the reader");
        assert_eq!(usage.0.len(), 1);
        assert_eq!(usage.0[0].input_bytes, length as u64);
        assert_eq!(usage.0[0].output_bytes, length as u64);
        let opened = three
            .stack
            .open_outputs(&finished.receipt, &finished.session, &three.reader);
        assert_eq!(opened.await.expect("the reader's")["result"], data);

        let object = finished.receipt.outputs[0].object;
        let manifest = three.stack.remote.manifest(&object).await;
        assert_eq!(manifest.expect("a manifest").length(), PADDED);
    }
}
