//! A query fixed by the policy, and values that the SQL component binds: nothing a value says
//! becomes part of the query, and no other query runs.

use std::{collections::BTreeMap, time::SystemTime};

use mc2_client::{session::Session, state::sequence};
use mc2_protocol::{Digest, Name, documents::job::Job, policy::Policy};
use mc2_tests::{
    Finished, Stack,
    messages::{code, submission},
    parse, policy_of, release,
};

/// `$day` and `$x` are no parameters.
const QUERY: &str = "select id, '$day' as text -- $x\nfrom t where day >= $from and shop = $shop \
                     and amount > $least order by id";
const DATA: &str = "id,day,shop,amount\n1,2026-01-30,Joe's,10\n2,2026-01-31,Joe's,10\n\
                    3,2026-02-01,Joe's,3\n4,2026-02-01,$from,10\n5,2026-02-01,' or '1'='1,10\n";

struct Shop {
    stack: Stack,
    component: Digest,
}

impl Shop {
    async fn new() -> Self {
        let stack = Stack::start().await;
        let component = stack.component("sql").await;
        Self { stack, component }
    }

    fn policy(&self, query: &str, params: &str) -> Policy {
        let job = format!(
            "submit = [\"me\"]\nruns = 100\nerrors = {{ codes = [\"bad-query\", \"bad-value\", \
             \"bad-input\", \"failed\"] }}\n\
             limits = {{ memory = \"1GiB\", time = \"60s\", output = \"1MiB\" }}\n\
             [[job.step]]\ncomponent = \"workload\"\ninputs = {{ t = \"dataset:t\" }}\n\
             args = [\"--format\", \"csv\", {{ fixed_sql = {query:?}, params = {params} }}]\n\
             outputs = {{ stdout = [\"me\"], error = [\"me\"] }}\npadding = \"power-of-two\"\n"
        );
        let me = &self.stack.me;
        policy_of(&[me], &self.component, &[("t", me)], &job)
    }

    /// A session with the table's key for all its runs.
    async fn session(&self, policy: Policy) -> (Session<'_>, Digest) {
        let stack = &self.stack;
        let session = stack
            .open_session(&stack.remote, policy)
            .await
            .expect("a session");
        let sealed = stack.seal("t", DATA.as_bytes()).await;
        let keys = vec![release("t", &sealed, 100)];
        let released = session.release(&stack.me, &stack.ledger, keys, SystemTime::now());
        released.await.expect("a release");
        (session, sealed.object)
    }

    async fn run(&self, session: &Session<'_>, job: &Job) -> Finished {
        let finished = self.stack.submit_job(session, &self.stack.me, job).await;
        finished.expect("a receipt")
    }
}

fn job(session: &Session<'_>, object: Digest, query: &str, values: &[&str]) -> Job {
    let mut arguments = ["--format", "csv", query].map(str::to_owned).to_vec();
    for value in values {
        arguments.extend(["--param".to_owned(), (*value).to_owned()]);
    }
    let objects = BTreeMap::from([(parse::<Name>("t"), object)]);
    let mut salt = [0; 32];
    rand_core::Rng::fill_bytes(&mut mc2_tests::rng(), &mut salt);
    let job = session
        .policy()
        .draft(&parse("run"), &objects, vec![arguments], salt);
    job.expect("a job the policy allows")
}

const PARAMS: &str = "{ from = \"date\", shop = \"text\", least = \"number\" }";

#[tokio::test]
async fn a_value_chooses_rows_and_never_changes_the_query() {
    let shop = Shop::new().await;
    let (session, object) = shop.session(shop.policy(QUERY, PARAMS)).await;
    for (from, name, least, ids) in [
        ("2026-01-01", "Joe's", "5", &[1, 2][..]),
        ("2026-01-31", "Joe's", "5", &[2]),
        ("2026-01-31", "Joe's", "2", &[2, 3]),
        ("2026-01-01", "' or '1'='1", "5", &[5]),
        ("2026-01-01", "$from", "5", &[4]),
        ("2026-01-01", "x'; select * from t; --", "5", &[]),
        ("2026-01-01", "--", "5", &[]),
        ("2026-01-01", "", "5", &[]),
    ] {
        let values = [
            format!("from={from}"),
            format!("least={least}"),
            format!("shop={name}"),
        ];
        let values = values.each_ref().map(String::as_str);
        let finished = shop
            .run(&session, &job(&session, object, QUERY, &values))
            .await;
        assert_eq!(
            finished.reason(),
            "succeeded",
            "{values:?}: {:?}",
            finished.outputs
        );
        let mut expected = "id,text\n".to_owned();
        for id in ids {
            expected.push_str(&format!("{id},$day\n"));
        }
        assert_eq!(finished.stdout(), expected, "{values:?}");
    }
}

#[tokio::test]
async fn another_query_and_values_of_other_types_do_not_run() {
    let shop = Shop::new().await;
    let (session, object) = shop.session(shop.policy(QUERY, PARAMS)).await;
    let good = job(
        &session,
        object,
        QUERY,
        &["from=2026-01-01", "least=5", "shop=x"],
    );
    // Beside what the client counts, and within the enclave's window.
    let sequence = sequence::after(0) + 100;
    for (number, (at, argument)) in [
        (2, "select * from t"),
        (2, "select id, '$day' as text from t"),
        (4, "from=2026-01-01' or '1'='1"),
        (4, "from=2026-02-30"),
        (4, "least=5"),
        (6, "least=5 or 1=1"),
        (6, "least=1e9"),
        (3, "--output"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut bad = good.clone();
        bad.steps[0].arguments[at] = argument.to_owned();
        let body = submission(&session, bad.to_bytes());
        let me = &shop.stack.me;
        let outcome = shop
            .stack
            .say(&session, me, sequence + number as u64, &body)
            .await;
        assert_eq!(code(&outcome), "argument-not-allowed", "{argument:?}");
    }
    let finished = shop.run(&session, &good).await;
    assert_eq!(finished.reason(), "succeeded");
}

/// What a policy that lists codes lets the SQL component say.
#[tokio::test]
async fn a_query_that_fails_says_a_code_and_no_value() {
    let shop = Shop::new().await;
    for (query, params, values, error) in [
        (
            "select 1 / (amount - $x) from t",
            "{ x = \"number\" }",
            &["x=10"][..],
            "bad-value",
        ),
        (
            "select cast(shop as int) + $x from t",
            "{ x = \"number\" }",
            &["x=1"],
            "bad-value",
        ),
        (
            "select nothing from t where id = $x",
            "{ x = \"number\" }",
            &["x=1"],
            "bad-query",
        ),
        (
            "select id from t where id = $x",
            "{ x = \"text\" }",
            &["x=no number"],
            "failed",
        ),
    ] {
        let (session, object) = shop.session(shop.policy(query, params)).await;
        let finished = shop
            .run(&session, &job(&session, object, query, values))
            .await;
        assert_eq!(finished.reason(), "exit", "{query}");
        let said = String::from_utf8_lossy(&finished.outputs["error"]).into_owned();
        assert_eq!(said, error, "{query}");
        assert_eq!(finished.outputs.len(), 1);
    }
}
