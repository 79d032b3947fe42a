//! Whole sessions with the real runtime in an emulated Nitro enclave: the client appraises what comes
//! out by its own rules, with the forger's root in AWS's place.

use std::{
    collections::BTreeMap,
    fs,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mc2_attestation::{
    ReferenceValue, Tee, TrustStore,
    test_util::forger::{NOW, Nitro},
};
use mc2_client::{
    session::{Opened, Verifier},
    verify::{Expected, verify},
};
use mc2_host::Spawn;
use mc2_protocol::policy::Policy;
use mc2_tests::{Run, Stack, StackOptions, draft, parse, program, until};

use super::{
    machine::{Machine, Parts},
    nitro::Module,
};

/// How long a runtime may take that is not held up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Fewer than the connections on which a runtime listens.
const MOST_STALLED: usize = 12;

/// A host that starts the runtime on this machine, with a component.
async fn stack(machine: &Machine, run: &Run) -> Stack {
    let mut spawn = Spawn::runtime(program("mc2-runtime-emulated"), "vm");
    spawn.arguments = vec![machine.root().into()];
    let stack = Stack::with(StackOptions {
        enclave: Some(spawn),
        ..StackOptions::default()
    })
    .await;
    let component = fs::read(&run.component).expect("the component");
    stack.store_component(component).await.expect("stored");
    stack
}

fn machine(module: &Arc<Module>) -> Machine {
    Machine::mount(Module::put(Parts::default(), module))
}

fn echo() -> Run {
    Run::of("hostile", &["echo", "done"])
}

fn policy(stack: &Stack, run: &Run) -> Policy {
    let text = String::from_utf8(run.policy(&stack.me).bytes().to_vec()).expect("text");
    let text = text.replacen("tee = [\"sim\"]", "tee = [\"nitro\"]", 1);
    Policy::parse(text.as_bytes()).expect("a policy")
}

/// Who knows what the forger's enclaves measure to, and believes the vendors alone.
fn knowing() -> TrustStore {
    let register = |byte: u8| parse(&hex::encode([byte; 48]));
    let mut trust = TrustStore::new();
    trust
        .add(ReferenceValue {
            tee: Tee::Nitro,
            measurement: parse(&hex::encode([1; 48])),
            runtime: "mc2-runtime".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revoked: false,
            registers: BTreeMap::from([
                ("PCR1".to_owned(), register(2)),
                ("PCR2".to_owned(), register(3)),
            ]),
        })
        .expect("a reference value");
    trust
}

/// Who believes the forger besides.
fn believing() -> TrustStore {
    let mut trust = knowing();
    trust.set_roots(Nitro::roots());
    trust
}

fn verifier(trust: &TrustStore) -> Verifier<'_> {
    Verifier {
        trust,
        allow_simulated: false,
        now: now(),
        components: None,
        collateral: None,
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_in_a_session_with_the_real_runtime_and_its_receipt_verifies() {
    let machine = machine(&Arc::new(Module::new()));
    let run = echo();
    let stack = stack(&machine, &run).await;
    let policy = policy(&stack, &run);
    let open = || Opened::open(&stack.remote, policy.clone(), &stack.me);
    let opened = open().await.expect("a session");
    let (checks, refused) = opened.appraise(&verifier(&knowing()));
    assert!(refused.is_err());
    let failed = checks.iter().find(|check| !check.has_passed());
    assert_eq!(failed.map(|check| check.id), Some("nitro-chain"));

    let trust = believing();
    let opened = open().await.expect("a session");
    let (checks, session) = opened.appraise(&verifier(&trust));
    let Ok(session) = session else {
        panic!("{checks:?}");
    };
    assert_eq!(session.appraised().tee(), Tee::Nitro);
    let job = draft(&session, &run, &BTreeMap::new());
    let running = session.submit(&stack.me, &job).await.expect("a job");
    running.wait(&stack.me, |_| ()).await.expect("its end");
    let envelope = running.receipt(&stack.me).await.expect("a receipt");
    let verdict = verify(
        &envelope,
        &Expected {
            trust: &trust,
            allow_simulated: false,
            now: now(),
            policy: Some(&policy),
            components: None,
            collateral: None,
            nonce: None,
            session: None,
            number: None,
            job: None,
            submitter: None,
        },
    );
    let checks = verdict.checks.clone();
    assert!(verdict.accept().is_ok(), "{checks:?}");
}

/// The host stalls a TEE as long as it likes; it holds up who waits for that evidence, and nobody
/// else.
#[tokio::test(flavor = "multi_thread")]
async fn a_tee_that_does_not_answer_one_party_holds_no_other_up() {
    let module = Arc::new(Module::new());
    let machine = machine(&module);
    let run = echo();
    let stack = Arc::new(stack(&machine, &run).await);
    let policy = policy(&stack, &run);
    // More than the runtime has threads for its requests.
    let threads = available_parallelism().map_or(1, usize::from);
    let stalled = (threads + 1).min(MOST_STALLED);
    module.stall(true);
    let waiting: Vec<_> = (0..stalled)
        .map(|_| {
            let (stack, policy) = (Arc::clone(&stack), policy.clone());
            tokio::spawn(async move {
                let opened = Opened::open(&stack.remote, policy, &stack.me).await;
                opened.map(|_| ()).map_err(|error| error.to_string())
            })
        })
        .collect();
    until(|| module.stalled() == stalled);
    let challenge = stack.remote.challenge(policy.digest());
    let challenge = tokio::time::timeout(PATIENCE, challenge).await;
    // Whatever came of it, nobody is left waiting.
    module.stall(false);
    challenge.expect("in time").expect("a challenge");
    for opened in waiting {
        opened.await.expect("no panic").expect("a session");
    }
}
