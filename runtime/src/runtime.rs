//! The runtime: its host, its engine, its attester, and the sessions of its one tenant.

use std::{
    collections::{BTreeMap, HashMap},
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, MutexGuard},
};

use mc2_protocol::{
    Digest, Name,
    documents::{
        control::{Challenge, OpenSession, SessionOpened},
        message::{Answer, Refused},
        record::{
            CompilationCache, ComponentDigest, Engine as EngineRecord, Nonce, RecordParts,
            Runtime as RuntimeRecord, SessionRecord, report_data, session_digest,
        },
        storage::MAX_COMPONENT_LEN,
    },
    policy::Policy,
};
use mc2_sandbox::{Cancellation, ComponentStore, Engine, MeasureError, MeasuredComponent};
use mc2_wire::{Address, routes::component_path};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    Attested, Attester, AttesterError,
    job::{self, Outbox, Reservation},
    room::{Coming, NoRoom, Room},
    session::{
        Accounts, Begun, Challenges, Order, Received, Session, SessionError, SessionKeys, Settled,
        Terms,
    },
    storage::Storage,
};

/// Sessions one process holds.
const SESSIONS: usize = 1024;
/// Bytes of the policies of all sessions together.
const POLICY_BYTES: usize = 64 * 1024 * 1024;
/// Jobs of all sessions that may run at once: each has its guests' memory, 36 MiB of pages and
/// input at hand, and up to 4 MiB of endorsements.
const RUNNING_JOBS: usize = 16;

/// What a runtime is made of.
pub struct RuntimeConfig {
    /// `mc2-runtime` or `mc2-runtime-sim`.
    pub name: &'static str,
    /// Where the host listens.
    pub host: Address,
    /// The policy this process was started for.
    pub policy_digest: Option<Digest>,
    /// Where compiled code outlives the process.
    pub compilation_cache: CompilationCache,
    /// The components' store, with its engine.
    pub components: ComponentStore,
    /// The same for policies that ask for metering, which costs speed.
    pub metered: ComponentStore,
    /// The TEE.
    pub attester: Box<dyn Attester>,
}

/// One runtime process.
pub struct Runtime {
    name: &'static str,
    storage: Arc<Storage>,
    outbox: Arc<Outbox>,
    policy_digest: Option<Digest>,
    compilation_cache: CompilationCache,
    components: ComponentStore,
    metered: ComponentStore,
    attester: Arc<dyn Attester>,
    challenges: Challenges,
    sessions: Mutex<Sessions>,
    running: Arc<Semaphore>,
    coming: Arc<Coming>,
    accounts: Accounts,
}

#[derive(Default)]
struct Sessions {
    tenant: Option<Tenant>,
    open: HashMap<Digest, Arc<Session>>,
    opening: usize,
    /// Bytes of the policies of those that are open and being opened.
    policies: usize,
}

/// Whom the process serves for its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tenant {
    /// The parties of one policy.
    Policy(Digest),
    /// One party, whatever its own policies.
    Party(Digest),
}

impl Runtime {
    /// A runtime without sessions.
    pub fn new(config: RuntimeConfig) -> Self {
        let storage = Arc::new(Storage::of(config.host));
        Self {
            name: config.name,
            outbox: Outbox::new(Arc::clone(&storage)),
            storage,
            policy_digest: config.policy_digest,
            compilation_cache: config.compilation_cache,
            components: config.components,
            metered: config.metered,
            attester: config.attester.into(),
            challenges: Challenges::default(),
            sessions: Mutex::default(),
            running: Arc::new(Semaphore::new(RUNNING_JOBS)),
            coming: Arc::default(),
            accounts: Accounts::default(),
        }
    }

    pub(crate) fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub(crate) fn session(&self, digest: &Digest) -> Option<Arc<Session>> {
        self.sessions().open.get(digest).cloned()
    }

    /// A challenge for an opening under the policy of this digest, where this process may serve it.
    pub(crate) fn challenge(&self, policy: &Digest) -> Result<Challenge, SessionError> {
        let fixed = match (self.policy_digest, self.sessions().tenant) {
            (Some(digest), _) | (None, Some(Tenant::Policy(digest))) => Some(digest),
            // Whose policy it is shows when it comes.
            (None, Some(Tenant::Party(_)) | None) => None,
        };
        if fixed.is_some_and(|digest| digest != *policy) {
            return Err(SessionError::Tenant);
        }
        Ok(self.challenges.give())
    }

    /// Checks who asks, then measures the policy's components and opens a session under fresh
    /// keys. Nothing is fetched, compiled or remembered for anybody the policy does not name.
    pub(crate) async fn open_session(
        &self,
        open: &OpenSession,
    ) -> Result<SessionOpened, SessionError> {
        if !self.challenges.take(&open.challenge) {
            return Err(SessionError::Challenge);
        }
        let policy = Policy::parse(open.policy.as_slice())?;
        open.verify(policy.digest(), |opener| {
            policy.party(opener).map(AsRef::as_ref)
        })?;
        let own = self.attester.tee().as_str();
        if !policy.enclave().tee.iter().any(|tee| tee.as_str() == own) {
            return Err(SessionError::Tee { own });
        }
        let opening = self.admit_tenant(&policy)?;
        let metering = policy.jobs().iter().any(|job| job.metering);
        let store = if metering {
            &self.metered
        } else {
            &self.components
        };
        let mut components = BTreeMap::new();
        let mut digests = Vec::new();
        for component in policy.components() {
            let (name, sha256) = (component.name.clone(), component.sha256);
            let measured = self.component(store, &name, &sha256).await?;
            components.insert(name.clone(), measured);
            digests.push(ComponentDigest { name, sha256 });
        }
        let keys = SessionKeys::generate();
        let engine = store.engine();
        let record = SessionRecord::new(RecordParts {
            runtime: RuntimeRecord {
                name: self.name.to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            engine: EngineRecord {
                name: "wasmtime".to_owned(),
                version: Engine::version().to_owned(),
                profile: engine.profile().to_string(),
                configuration: Digest::from_bytes(store.config_digest()),
            },
            compilation_cache: self.compilation_cache,
            tenant: self.policy_digest,
            policy: *policy.digest(),
            components: digests,
            hpke_public_key: keys.private_key.public_key(),
            signing_public_key: keys.signing_key.verifying_key(),
        })
        .to_bytes();
        let opened = self.opened(&record, &open.nonce).await?;
        let digest = session_digest(&record);
        let terms = Terms {
            digest,
            record,
            policy,
            components,
            signing_key: keys.signing_key,
        };
        let accounts = self.accounts.clone();
        let session = Session::new(terms, keys.private_key, open.opener, accounts);
        self.sessions().open.insert(digest, Arc::new(session));
        opening.done();
        Ok(opened)
    }

    /// Evidence of an open session for another verifier's nonce.
    pub(crate) async fn evidence(
        &self,
        session: &Session,
        nonce: &Nonce,
    ) -> Result<SessionOpened, SessionError> {
        self.opened(&session.terms().record, nonce).await
    }

    /// A record with evidence over it. The TEE is asked on a thread of its own: it takes as long as
    /// the host likes, and nobody else's request waits for that.
    async fn opened(&self, record: &[u8], nonce: &Nonce) -> Result<SessionOpened, SessionError> {
        let attester = Arc::clone(&self.attester);
        let report_data = report_data(record, nonce);
        let asked = tokio::task::spawn_blocking(move || attester.evidence(&report_data)).await;
        let Attested {
            evidence,
            endorsements,
        } = asked.unwrap_or_else(|_| {
            let doing = "asking for evidence";
            let reason = "the runtime failed, ask again";
            Err(AttesterError::new(self.attester.tee(), doing, reason))
        })?;
        Ok(SessionOpened {
            record: record.to_vec().into(),
            evidence,
            endorsements,
        })
    }

    /// A place for a job that is about to be submitted in the session, where there is one now.
    pub(crate) fn room_for_job(&self, session: &Session) -> Result<Room, NoRoom> {
        self.coming.take(session, &self.running)
    }

    /// Handles one sealed message: its answer, and the number of the job that it began.
    pub(crate) fn message(&self, session: &Arc<Session>, bytes: &[u8]) -> (Answer, Option<u64>) {
        let (answer, job) = match session.receive(bytes) {
            Received::Answered(answer) => (answer, None),
            // Evidence may take the TEE a while, and nobody waits for it under the session's lock.
            Received::Admitted(admitted) => match self.prepare_unharmed(&admitted.order) {
                Ok(prepared) => {
                    let number = admitted.order.number;
                    let (begun, answer) = session.commit(admitted);
                    self.start(Arc::clone(session), number, begun, prepared);
                    (answer, Some(number))
                }
                Err(refused) => (session.give_back(admitted, refused), None),
            },
        };
        if session.is_over() {
            self.close(&session.terms().digest);
        }
        (answer, job)
    }

    /// As [`prepare`](Self::prepare); should that panic, what was admitted can still be given back.
    fn prepare_unharmed(&self, order: &Order) -> Result<Prepared, Refused> {
        panic::catch_unwind(AssertUnwindSafe(|| self.prepare(order))).unwrap_or_else(|_| {
            let message = "the runtime failed while it prepared the job; nothing was run, submit it \
                           again";
            Err(Refused::new("internal", message))
        })
    }

    /// Gets what an admitted job needs of this process and its TEE.
    fn prepare(&self, order: &Order) -> Result<Prepared, Refused> {
        let running = Arc::clone(&self.running).try_acquire_owned();
        let running = running.map_err(|_| {
            let message =
                format!("{RUNNING_JOBS} jobs of this runtime process run already; wait for one");
            Refused::new("busy", message)
        })?;
        let attested = self
            .attester
            .evidence(&report_data(&order.terms.record, &order.nonce))
            .map_err(SessionError::from)
            .map_err(|error| Refused::new(error.code(), error))?;
        let room = self
            .outbox
            .reserve(job::receipt_bound(order, &attested))
            .map_err(|full| Refused::new("receipts-waiting", full))?;
        Ok(Prepared {
            running,
            attested,
            room,
        })
    }

    /// Runs the job, at once or when its start was answered. A job that waits for that has its place
    /// among those that run.
    fn start(&self, session: Arc<Session>, number: u64, begun: Begun, prepared: Prepared) {
        let Prepared {
            running,
            attested,
            room,
        } = prepared;
        let (outbox, storage) = (Arc::clone(&self.outbox), Arc::clone(&self.storage));
        let ended = Ended {
            session,
            number,
            _running: running,
        };
        tokio::spawn(async move {
            let settled = match begun {
                Begun::Starts(order) => Settled::Starts(order),
                Begun::Waits(waiting) => job::await_start(&outbox, &ended.session, *waiting).await,
            };
            match settled {
                Settled::Starts(order) => job::run(outbox, storage, order, attested, room).await,
                Settled::GivenBack(order) => job::not_started(&order, attested, room),
            }
            drop(ended);
        });
    }

    async fn component(
        &self,
        store: &ComponentStore,
        name: &Name,
        sha256: &Digest,
    ) -> Result<Arc<MeasuredComponent>, SessionError> {
        let fetch = async {
            self.storage
                .get(&component_path(sha256), MAX_COMPONENT_LEN)
                .await
                .map(Vec::from)
                .map_err(|error| error.to_string())
        };
        store
            .obtain(*sha256.as_bytes(), &Cancellation::new(), fetch)
            .await
            .map_err(|source: MeasureError| SessionError::Component {
                name: name.clone(),
                source,
            })
    }

    /// Takes the process for the policy's tenant, or refuses: one tenant for its life.
    fn admit_tenant(&self, policy: &Policy) -> Result<Opening<'_>, SessionError> {
        let wanted = match (self.policy_digest, policy.parties()) {
            (Some(digest), _) if digest != *policy.digest() => return Err(SessionError::Tenant),
            (None, [party]) => Tenant::Party(*party.digest()),
            _ => Tenant::Policy(*policy.digest()),
        };
        let mut sessions = self.sessions();
        if *sessions.tenant.get_or_insert(wanted) != wanted {
            return Err(SessionError::Tenant);
        }
        let bytes = policy.bytes().len();
        if sessions.open.len() + sessions.opening >= SESSIONS
            || sessions.policies + bytes > POLICY_BYTES
        {
            return Err(SessionError::TooMany);
        }
        sessions.opening += 1;
        sessions.policies += bytes;
        Ok(Opening {
            runtime: self,
            bytes,
        })
    }

    /// Forgets a session that is over.
    fn close(&self, session: &Digest) {
        let mut sessions = self.sessions();
        if let Some(session) = sessions.open.remove(session) {
            sessions.policies -= session.terms().policy.bytes().len();
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // Every change under this lock is one assignment or insertion.
        self.sessions
            .lock()
            .unwrap_or_else(|error| error.into_inner())
    }
}

/// Ends a job's place in its session, and in this process, however the job ends.
struct Ended {
    session: Arc<Session>,
    number: u64,
    _running: OwnedSemaphorePermit,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.session.ended(self.number);
    }
}

/// What an admitted job needs of the process, got before its run is spent.
struct Prepared {
    running: OwnedSemaphorePermit,
    attested: Attested,
    room: Reservation,
}

/// Counts a session that is being opened until it is open or refused.
struct Opening<'a> {
    runtime: &'a Runtime,
    /// Bytes of its policy.
    bytes: usize,
}

impl Opening<'_> {
    /// It is open: its policy counts from here on as the session's.
    fn done(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut sessions = self.runtime.sessions();
        sessions.opening -= 1;
        sessions.policies -= self.bytes;
    }
}
