//! Whole sessions with the real runtime in emulated enclaves of every kind: a policy that lists the
//! TEE, SQL over a sealed table, a receipt that verifies offline, and nobody who believes the vendors
//! alone believes any of it. The client judges what comes out by its own rules, with the forger's roots
//! in the vendors' places.

use std::{
    fs,
    path::Path,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mc2_attestation::{
    Check, Endorsement, ReferenceValue, Tee, TrustStore, UnixSeconds,
    evidence::Needs,
    tee::Mark,
    test_util::forger::{NOW, any},
};
use mc2_client::{
    collateral::{Bundle, Collateral},
    session::{Opened, Session, Verifier},
    verify::{Expected, as_of::verify_as_of, verify},
};
use mc2_host::Spawn;
use mc2_protocol::{
    documents::{dsse::Envelope, receipt::Receipt},
    policy::Policy,
};
use mc2_tests::{Run, Stack, StackOptions, cache_folder, draft, program, until};

use super::{
    ASKED, attester, azure, confidential_vm, enclave, intel, judged,
    machine::{Machine, Parts},
    metadata::Metadata,
    nitro::Module,
    sgx::gramine,
    tsm::Trouble,
};

/// How long a runtime may take that is not held up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Fewer than the connections on which a runtime listens.
const MOST_STALLED: usize = 12;
const TWO_YEARS: Duration = Duration::from_secs(2 * 365 * 86_400);

const TABLE: &[u8] = b"name,score\nann,3\nbob,4\nann,6\n";
const QUERY: &str = "select name, sum(score) as total from t group by name order by name";
const ANSWER: &[u8] = b"name,total\nann,9\nbob,4\n";

/// An emulated machine with a TEE, and what a client knows of it.
pub(super) struct Emulated {
    tee: Tee,
    machine: Machine,
    /// What the runtime in it measures to.
    reference: ReferenceValue,
    collateral: Collateral,
    /// The line by which who believes the vendors alone refuses it.
    chain: &'static str,
    /// The line by which its certificates are refused when they have ended.
    dates: &'static str,
    /// The line by which collateral is refused that is older than what was seen, where there is any.
    rollback: Option<&'static str>,
    /// What a policy accepts of its firmware: AMD calls none up to date.
    tcb: &'static str,
    /// What else the machine needs while it is there.
    _service: Option<Metadata>,
}

impl Emulated {
    /// A machine whose vendor says this of it, beside what comes with its evidence.
    pub(super) fn new(machine: Machine, vendor: Vec<Endorsement>) -> Self {
        let attester = attester(&machine);
        let tee = attester.tee();
        let attested = attester.evidence(&ASKED).expect("evidence");
        let roots = any::roots().with_intel(intel().root());
        let claims = judged(&attested, &vendor, roots);
        let mut bundle = Bundle::default();
        let needs = Needs::of(&attested.evidence).expect("evidence that says what it needs");
        bundle.take(&needs, vendor, NOW.0);
        let (chain, dates, tcb) = match needs {
            Needs::Intel(_) => ("quote-signature", "intel-crl", "\"up-to-date\""),
            Needs::Nothing => ("nitro-chain", "nitro-dates", "\"up-to-date\""),
            Needs::Amd(_) => ("snp-chain", "snp-dates", "[\"Unassessed\"]"),
        };
        let rollback = match needs {
            Needs::Intel(_) => Some("collateral-rollback"),
            Needs::Nothing => None,
            Needs::Amd(_) => Some("snp-rollback"),
        };
        Self {
            tee,
            machine,
            reference: any::reference(tee, claims, "mc2-runtime", env!("CARGO_PKG_VERSION")),
            // Too old it never is: the certificates' own dates are looked at.
            collateral: Collateral::new(bundle, u32::MAX),
            chain,
            dates,
            rollback,
            tcb,
            _service: None,
        }
    }

    /// One of each kind.
    fn all() -> Vec<Self> {
        let intel = |tee| vec![intel().collateral(tee)];
        let (tpm, vm) = azure::over_snp();
        let (td, service) = azure::over_tdx();
        vec![
            Self::new(
                Machine::mount(gramine(Parts::default(), enclave::quoting())),
                intel(Tee::Sgx),
            ),
            Self::new(confidential_vm::tdx(&Arc::default()), intel(Tee::Tdx)),
            Self::new(confidential_vm::snp(Trouble::None), Vec::new()),
            Self::nitro(&Arc::new(Module::new())),
            Self::new(vm, tpm.endorsements.clone()),
            Self {
                _service: Some(service),
                ..Self::new(td, intel(Tee::Tdx))
            },
        ]
    }

    fn nitro(module: &Arc<Module>) -> Self {
        let machine = Machine::mount(Module::put(Parts::default(), module));
        Self::new(machine, Vec::new())
    }

    /// A host that starts the runtime on this machine, with a component.
    async fn stack(&self, run: &Run) -> Stack {
        let mut spawn = Spawn::runtime(program("mc2-runtime-emulated"), "vm");
        let code = cache_folder().with_file_name("emulated-compilation-cache");
        spawn.arguments = vec![self.machine.root().into(), code.into()];
        let stack = Stack::with(StackOptions {
            enclave: Some(spawn),
            ..StackOptions::default()
        })
        .await;
        let component = fs::read(&run.component).expect("the component");
        stack.store_component(component).await.expect("stored");
        stack
    }

    /// A policy of one party that accepts this kind of enclave alone.
    pub(super) fn policy(&self, stack: &Stack, run: &Run) -> Policy {
        let text = String::from_utf8(run.policy(&stack.me).bytes().to_vec()).expect("text");
        let tee = format!("tee = [\"{}\"]", self.tee);
        let text = text.replacen("tee = [\"sim\"]", &tee, 1);
        let tcb = format!("tcb = {}", self.tcb);
        let text = text.replacen("tcb = \"up-to-date\"", &tcb, 1);
        Policy::parse(text.as_bytes()).expect("a policy")
    }

    /// Where its devices are.
    pub(super) fn root(&self) -> &Path {
        self.machine.root()
    }

    pub(super) const fn collateral(&self) -> &Collateral {
        &self.collateral
    }

    /// Who knows what the runtime measures to, and believes the vendors alone.
    fn knowing(&self) -> TrustStore {
        let mut trust = TrustStore::new();
        let reference = self.reference.clone();
        trust.add(reference).expect("a reference value");
        trust
    }

    /// Who believes the forger besides.
    pub(super) fn believing(&self) -> TrustStore {
        forged(self.knowing())
    }

    /// Opens a session and judges it by what `trust` holds.
    async fn open<'s>(
        &self,
        stack: &'s Stack,
        policy: &Policy,
        trust: &TrustStore,
    ) -> Result<Session<'s>, Vec<Check>> {
        let opened = Opened::open(&stack.remote, policy.clone(), &stack.me).await;
        let opened = opened.unwrap_or_else(|error| panic!("{}: {error}", self.tee));
        let (checks, session) = opened.appraise(&Verifier {
            trust,
            allow_simulated: false,
            now: now(),
            components: None,
            collateral: Some(&self.collateral),
        });
        session.map_err(|_| checks)
    }

    /// Follows a receipt, of which nothing else is known.
    pub(super) fn judge(
        &self,
        envelope: &Envelope,
        policy: &Policy,
        trust: &TrustStore,
        now: SystemTime,
    ) -> Result<Receipt, Vec<Check>> {
        let verdict = verify(envelope, &self.expecting(policy, trust, now));
        let checks = verdict.checks.clone();
        let verified = verdict.accept().map_err(|_| checks)?;
        Ok(verified.receipt)
    }

    /// What is known of a receipt of which nothing else is.
    fn expecting<'a>(
        &'a self,
        policy: &'a Policy,
        trust: &'a TrustStore,
        now: SystemTime,
    ) -> Expected<'a> {
        Expected {
            trust,
            allow_simulated: false,
            now,
            policy: Some(policy),
            components: None,
            collateral: Some(&self.collateral),
            nonce: None,
            session: None,
            number: None,
            job: None,
            submitter: None,
        }
    }
}

/// Who trusts the forger's roots in the vendors' places.
fn forged(mut trust: TrustStore) -> TrustStore {
    trust.set_roots(any::roots().with_intel(intel().root()));
    trust
}

/// When the forger's certificates count.
pub(super) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW.0)
}

/// The line that refuses.
fn refused<T>(judged: Result<T, Vec<Check>>) -> &'static str {
    let Err(checks) = judged else {
        panic!("nothing was refused");
    };
    let failed = checks.iter().find(|check| !check.has_passed());
    failed.expect("a line that failed").id
}

/// The receipt of the run, which was done.
async fn receipt_of(stack: &Stack, session: &Session<'_>, run: &Run) -> Envelope {
    let objects = stack.release_inputs(session, run, 1).await;
    let job = draft(session, run, &objects.expect("keys are released"));
    let running = session.submit(&stack.me, &job).await.expect("a job");
    running.wait(&stack.me, |_| ()).await.expect("its end");
    running.receipt(&stack.me).await.expect("a receipt")
}

/// Rows 8 and 29.
#[tokio::test(flavor = "multi_thread")]
async fn sql_runs_in_a_session_of_each_enclave_and_its_receipt_verifies_offline() {
    let run = Run::of("sql", &["--format", "csv", QUERY])
        .input("t", TABLE)
        .limits(1 << 30, Duration::from_secs(120), 1 << 20);
    for enclave in Emulated::all() {
        let tee = enclave.tee;
        let stack = enclave.stack(&run).await;
        let policy = enclave.policy(&stack, &run);
        let trust = enclave.believing();
        let session = enclave.open(&stack, &policy, &trust).await;
        let session = session.unwrap_or_else(|checks| panic!("{tee}: {checks:?}"));
        assert_eq!(session.appraised().tee(), tee);
        let envelope = receipt_of(&stack, &session, &run).await;
        let session = *session.appraised().digest();

        let receipt = enclave.judge(&envelope, &policy, &trust, now());
        let receipt = receipt.unwrap_or_else(|checks| panic!("{tee}: {checks:?}"));
        let outputs = stack.open_outputs(&receipt, &session, &stack.me).await;
        assert_eq!(outputs.expect("outputs")["stdout"], ANSWER, "{tee}");

        let refused =
            |trust: &TrustStore, now| refused(enclave.judge(&envelope, &policy, trust, now));
        assert_eq!(refused(&enclave.knowing(), now()), enclave.chain, "{tee}");
        let unknown = forged(TrustStore::new());
        assert_eq!(refused(&unknown, now()), "measurement", "{tee}");
        let later = now() + TWO_YEARS;
        assert_eq!(refused(&trust, later), enclave.dates, "{tee}");
    }
}

/// Row 30: what a receipt's evidence was judged by has ended, and it verifies as of a date that
/// somebody vouches for; not as of one at which that was not good yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_of_each_enclave_verifies_years_later_as_of_a_date_alone() {
    let run = echo();
    for enclave in Emulated::all() {
        let tee = enclave.tee;
        let stack = enclave.stack(&run).await;
        let policy = enclave.policy(&stack, &run);
        let trust = enclave.believing();
        let session = enclave.open(&stack, &policy, &trust).await;
        let session = session.unwrap_or_else(|checks| panic!("{tee}: {checks:?}"));
        let envelope = receipt_of(&stack, &session, &run).await;

        let then = |trust: &TrustStore, time| {
            let later = now() + TWO_YEARS;
            let expected = enclave.expecting(&policy, trust, later);
            let verdict = verify_as_of(&envelope, &expected, UnixSeconds(time));
            let checks = verdict.checks.clone();
            verdict.accept().map_err(|_| checks)
        };
        let two_years = TWO_YEARS.as_secs();
        assert!(then(&trust, NOW.0).is_ok(), "{tee}");
        for time in [NOW.0 - two_years, NOW.0 + two_years] {
            assert_eq!(refused(then(&trust, time)), enclave.dates, "{tee}");
        }
        // Newer collateral that was seen by then counts then, and what was seen since says nothing.
        let marks = session.appraised().marks().iter().map(|mark| Mark {
            of: mark.of.clone(),
            number: mark.number + 1,
        });
        let marks: Vec<Mark> = marks.collect();
        let having_seen = |time| {
            let mut newer = trust.clone();
            newer.note_seen(&marks, UnixSeconds(time));
            newer
        };
        assert!(then(&having_seen(NOW.0 + 1), NOW.0).is_ok(), "{tee}");
        let before = then(&having_seen(NOW.0), NOW.0);
        match enclave.rollback {
            Some(line) => assert_eq!(refused(before), line, "{tee}"),
            None => assert!(before.is_ok() && marks.is_empty(), "{tee}"),
        }
        // A runtime that was revoked since was not good then either.
        let mut revoked = trust.clone();
        revoked
            .add(ReferenceValue {
                revoked: true,
                ..enclave.reference.clone()
            })
            .expect("a revocation");
        assert_eq!(refused(then(&revoked, NOW.0)), "measurement", "{tee}");
        let vendors = enclave.knowing();
        assert_eq!(refused(then(&vendors, NOW.0)), enclave.chain, "{tee}");
    }
}

/// Row 8: no session is used, and so none is given a key, by who believes the vendors alone, nor where
/// the runtime was revoked.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_an_enclave_that_is_not_trusted_is_refused() {
    let run = echo();
    for enclave in Emulated::all() {
        let tee = enclave.tee;
        let stack = enclave.stack(&run).await;
        let policy = enclave.policy(&stack, &run);
        let trusted = enclave.open(&stack, &policy, &enclave.believing()).await;
        assert!(trusted.is_ok(), "{tee}");
        let session = enclave.open(&stack, &policy, &enclave.knowing()).await;
        assert_eq!(refused(session), enclave.chain, "{tee}");
        let mut trust = forged(TrustStore::new());
        trust
            .add(ReferenceValue {
                revoked: true,
                ..enclave.reference.clone()
            })
            .expect("a revocation");
        let session = enclave.open(&stack, &policy, &trust).await;
        assert_eq!(refused(session), "measurement", "{tee}");
    }
}

pub(super) fn echo() -> Run {
    Run::of("hostile", &["echo", "done"])
}

/// The host stalls a TEE as long as it likes; it holds up who waits for that evidence, and nobody
/// else.
#[tokio::test(flavor = "multi_thread")]
async fn a_tee_that_does_not_answer_one_party_holds_no_other_up() {
    let module = Arc::new(Module::new());
    let enclave = Emulated::nitro(&module);
    let run = echo();
    let stack = Arc::new(enclave.stack(&run).await);
    let policy = enclave.policy(&stack, &run);
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
