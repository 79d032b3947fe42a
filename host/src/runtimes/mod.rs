//! The runtime processes: who serves which policy and which session, and how to reach them.

mod launch;
mod link;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};

use http::StatusCode;
use mc2_protocol::{
    Digest,
    encoding::{Hex, hex_array},
};
use tokio::sync::{Semaphore, watch};

pub use launch::LaunchError;
pub(crate) use launch::{Child, LaunchThread};
pub(crate) use link::{Control, MAX_CONNECTIONS};

use crate::{
    Launcher,
    refusal::Refusal,
    state::{State, raised},
};

/// Most requests that wait for a runtime to dial in.
const MAX_WAITING: usize = 64;
/// Most tenants remembered of a runtime that it does not serve.
const MAX_REFUSED: usize = 1024;

/// Names one runtime process: 16 random bytes. A process that the host started is known by the
/// listener made for it; one that dialed in states its own in the header `mc2-runtime-id`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RuntimeId(pub(crate) [u8; 16]);

impl fmt::Display for RuntimeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl RuntimeId {
    /// An id as the header states it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        hex_array(text).map(Self)
    }

    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        Ok(Self(id))
    }
}

/// One runtime process.
pub(crate) struct Runtime {
    pub(crate) id: RuntimeId,
    /// The connections it offers.
    pub(crate) control: Control,
    /// The process, where the host started it.
    pub(crate) child: Option<Child>,
    /// Set for good once it is gone.
    gone: watch::Sender<bool>,
    used: Mutex<Instant>,
}

impl Runtime {
    fn new(id: RuntimeId, child: Option<Child>) -> Arc<Self> {
        Arc::new(Self {
            id,
            control: Control::default(),
            child,
            gone: watch::Sender::new(false),
            used: Mutex::new(Instant::now()),
        })
    }

    pub(crate) fn is_gone(&self) -> bool {
        *self.gone.borrow()
    }

    /// Notes that it was heard of or used.
    pub(crate) fn touch(&self) {
        *lock(&self.used) = Instant::now();
    }

    /// Comes back once it is gone.
    pub(crate) async fn until_gone(&self) {
        // The sender is `self`'s, so it cannot be dropped before.
        raised(&mut self.gone.subscribe()).await;
    }

    /// Why requests to it fail, for people.
    pub(crate) fn last_words(&self) -> String {
        match self.child.as_ref().map(Child::last_words) {
            Some(words) if !words.is_empty() => format!("; its last words: {words}"),
            _ => String::new(),
        }
    }
}

/// All of them.
pub(crate) struct Runtimes {
    table: Mutex<Table>,
    /// Counts arrivals, for those who wait for one.
    arrivals: watch::Sender<u64>,
    /// Held while a process is started for a tenant, so that none is started in vain.
    starting: tokio::sync::Mutex<()>,
    /// Those who may wait for a runtime to dial in.
    waiting: Semaphore,
}

impl Default for Runtimes {
    fn default() -> Self {
        Self {
            table: Mutex::default(),
            arrivals: watch::Sender::default(),
            starting: tokio::sync::Mutex::default(),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }
}

#[derive(Default)]
struct Table {
    runtimes: HashMap<RuntimeId, Entry>,
    sessions: HashMap<Digest, RuntimeId>,
}

struct Entry {
    runtime: Arc<Runtime>,
    tenant: Option<Digest>,
    /// Tenants it said it does not serve: it served another before this host knew it.
    refused: HashSet<Digest>,
}

impl Entry {
    /// Whether it serves nobody: it was given to no tenant, or dialed in and has no session.
    fn is_free(&self, sessions: &HashMap<Digest, RuntimeId>) -> bool {
        let runtime = &self.runtime;
        self.tenant.is_none()
            || (runtime.child.is_none()
                && !runtime.control.in_use()
                && !sessions.values().any(|id| *id == runtime.id))
    }
}

impl Runtimes {
    /// The runtime of this id.
    pub(crate) fn get(&self, id: RuntimeId) -> Option<Arc<Runtime>> {
        lock(&self.table)
            .runtimes
            .get(&id)
            .map(|entry| Arc::clone(&entry.runtime))
    }

    /// The runtime of this id, known from now on; at most `most` are.
    fn get_or_arrive(&self, id: RuntimeId, most: usize) -> Result<Arc<Runtime>, Refusal> {
        let mut table = lock(&self.table);
        if let Some(entry) = table.runtimes.get(&id) {
            return Ok(Arc::clone(&entry.runtime));
        }
        if table.runtimes.len() >= most {
            let message = format!("{most} runtimes are connected, and no more are accepted");
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                message,
            ));
        }
        tracing::info!(runtime = %id, "a runtime dialed in");
        let runtime = table.add(Runtime::new(id, None));
        drop(table);
        self.arrivals.send_modify(|count| *count += 1);
        Ok(runtime)
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Runtime>> {
        lock(&self.table)
            .runtimes
            .values()
            .map(|entry| Arc::clone(&entry.runtime))
            .collect()
    }

    /// The runtime that serves a session, while it lives.
    pub(crate) fn of_session(&self, session: &Digest) -> Option<Arc<Runtime>> {
        let table = lock(&self.table);
        let id = table.sessions.get(session)?;
        table
            .runtimes
            .get(id)
            .map(|entry| Arc::clone(&entry.runtime))
    }

    /// Notes which runtime serves a session.
    pub(crate) fn add_session(&self, session: Digest, runtime: &Runtime) {
        lock(&self.table).sessions.insert(session, runtime.id);
    }

    /// How many runtimes and sessions there are.
    pub(crate) fn count(&self) -> (usize, usize) {
        let table = lock(&self.table);
        (table.runtimes.len(), table.sessions.len())
    }

    /// Gives a runtime that dialed in back, where its first session was refused.
    pub(crate) fn release_unused(&self, runtime: &Runtime) {
        let mut table = lock(&self.table);
        let used = table.sessions.values().any(|id| *id == runtime.id);
        if let Some(entry) = table.runtimes.get_mut(&runtime.id)
            && !used
            && runtime.child.is_none()
        {
            entry.tenant = None;
        }
    }

    /// Notes that a runtime does not serve a tenant, and never will.
    pub(crate) fn refuse(&self, runtime: &Runtime, tenant: Digest) {
        if let Some(entry) = lock(&self.table).runtimes.get_mut(&runtime.id) {
            if entry.refused.len() >= MAX_REFUSED {
                entry.refused.clear();
            }
            entry.refused.insert(tenant);
            entry.tenant = None;
        }
    }

    fn assigned(&self, tenant: &Digest) -> Option<Arc<Runtime>> {
        let mut table = lock(&self.table);
        let living = |entry: &&mut Entry| !entry.runtime.is_gone();
        if let Some(entry) = table
            .runtimes
            .values_mut()
            .filter(living)
            .find(|entry| entry.tenant == Some(*tenant))
        {
            return Some(Arc::clone(&entry.runtime));
        }
        let Table { runtimes, sessions } = &mut *table;
        let mut free: Vec<&mut Entry> = runtimes
            .values_mut()
            .filter(living)
            .filter(|entry| !entry.refused.contains(tenant))
            .filter(|entry| entry.is_free(sessions))
            .collect();
        // One nobody asked for before one whose tenant asked for a challenge and no more.
        free.sort_by_key(|entry| entry.tenant.is_some());
        let free = free.into_iter().next()?;
        free.tenant = Some(*tenant);
        Some(Arc::clone(&free.runtime))
    }
}

impl Table {
    fn add(&mut self, runtime: Arc<Runtime>) -> Arc<Runtime> {
        let entry = Entry {
            runtime: Arc::clone(&runtime),
            tenant: None,
            refused: HashSet::new(),
        };
        self.runtimes.insert(runtime.id, entry);
        runtime
    }
}

impl State {
    /// The runtime that serves this tenant, started or awaited where there is none.
    pub(crate) async fn runtime_for(&self, tenant: Digest) -> Result<Arc<Runtime>, Refusal> {
        // Nobody who has a runtime waits for one who has none.
        if let Some(runtime) = self.runtimes.assigned(&tenant) {
            return Ok(runtime);
        }
        match &self.config.launcher {
            Launcher::Spawn(_) => {
                let _alone = self.runtimes.starting.lock().await;
                if let Some(runtime) = self.runtimes.assigned(&tenant) {
                    return Ok(runtime);
                }
                self.make_place()?;
                self.start_runtime().await.map_err(|error| {
                    tracing::error!(%error, "a runtime did not start");
                    Refusal::new(StatusCode::BAD_GATEWAY, "runtime-failed", error.to_string())
                })?;
                self.runtimes.assigned(&tenant).ok_or_else(none_free)
            }
            Launcher::Connect => {
                let Ok(_waiting) = self.runtimes.waiting.try_acquire() else {
                    return Err(none_free());
                };
                let mut arrivals = self.runtimes.arrivals.subscribe();
                let wait = async {
                    loop {
                        if let Some(runtime) = self.runtimes.assigned(&tenant) {
                            return runtime;
                        }
                        // The sender lives as long as `self`.
                        let _ = arrivals.changed().await;
                    }
                };
                tokio::time::timeout(self.config.timeouts.absence, wait)
                    .await
                    .map_err(|_| none_free())
            }
        }
    }

    /// Starts a runtime process that serves nobody yet.
    pub(crate) async fn start_runtime(&self) -> Result<Arc<Runtime>, LaunchError> {
        let Launcher::Spawn(spawn) = &self.config.launcher else {
            return Err(LaunchError::NotLaunching);
        };
        let id = RuntimeId::random().map_err(LaunchError::Random)?;
        let (child, process) = self.launch(spawn, id).await?;
        let runtime = lock(&self.runtimes.table).add(Runtime::new(id, Some(child)));
        let (state, watched) = (self.downgrade(), Arc::clone(&runtime));
        let exited = self.watch(process, id);
        tokio::spawn(async move {
            let status = exited.await;
            tracing::info!(runtime = %watched.id, ?status, "a runtime ended{}", watched.last_words());
            gone(&state, &watched);
        });
        Ok(runtime)
    }

    /// Ends a process nobody needs any more, where all places are taken.
    fn make_place(&self) -> Result<(), Refusal> {
        let most = self.config.max_runtimes;
        let table = lock(&self.runtimes.table);
        if table.runtimes.len() < most {
            return Ok(());
        }
        let sessions_of = |id: RuntimeId| {
            table
                .sessions
                .iter()
                .filter(move |(_, of)| **of == id)
                .map(|(session, _)| session)
        };
        let evictable = table
            .runtimes
            .values()
            .map(|entry| &entry.runtime)
            .filter(|runtime| runtime.child.is_some() && !runtime.control.in_use())
            .filter(|runtime| {
                let unused = sessions_of(runtime.id).next().is_none();
                let idle = lock(&runtime.used).elapsed() >= self.config.timeouts.idle;
                let running = sessions_of(runtime.id).any(|session| self.jobs.any_running(session));
                unused || (idle && !running)
            })
            .min_by_key(|runtime| *lock(&runtime.used))
            .cloned();
        drop(table);
        let Some(runtime) = evictable else {
            let message = format!("all {most} runtimes are in use; try again later");
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                message,
            ));
        };
        tracing::info!(runtime = %runtime.id, "ending an idle runtime to make place");
        if let Some(child) = &runtime.child {
            child.kill();
        }
        gone(&self.downgrade(), &runtime);
        Ok(())
    }

    /// The runtime of this id, known from now on with the sessions it opened, which this host or
    /// one before it had given up.
    pub(crate) fn arrive(&self, id: RuntimeId) -> Result<Arc<Runtime>, Refusal> {
        let known = self.runtimes.get(id);
        if let Some(runtime) = known {
            return Ok(runtime);
        }
        let most = self.config.max_runtimes;
        let runtime = self.runtimes.get_or_arrive(id, most)?;
        let mut table = lock(&self.runtimes.table);
        for (session, tenant) in self.jobs.sessions_of(Hex(id.0)) {
            tracing::info!(runtime = %id, %session, "a session's runtime is back");
            table.sessions.insert(session, id);
            if let Some(entry) = table.runtimes.get_mut(&id) {
                entry.tenant = Some(tenant);
            }
        }
        Ok(runtime)
    }

    /// Gives the runtimes that served the last host a while to dial in; the jobs of those that do
    /// not are lost.
    pub(crate) fn expect_runtimes(&self) {
        let (state, absence) = (self.downgrade(), self.config.timeouts.absence);
        let sessions = self.jobs.all_sessions();
        if sessions.is_empty() {
            return;
        }
        tokio::spawn(async move {
            tokio::time::sleep(absence).await;
            let Some(state) = state.upgrade() else { return };
            for session in &sessions {
                if state.runtimes.of_session(session).is_none() {
                    state.jobs.lose(session);
                    state.jobs.forget_empty(session);
                }
            }
        });
    }

    /// Watches a runtime that dialed in: without a connection for too long, it is gone.
    pub(crate) fn connection_closed(&self, runtime: &Arc<Runtime>) {
        if runtime.child.is_some() || runtime.control.connections() > 0 {
            return;
        }
        // It had a connection until now, however long that was idle.
        runtime.touch();
        let (state, runtime) = (self.downgrade(), Arc::clone(runtime));
        let absence = self.config.timeouts.absence;
        tokio::spawn(async move {
            while runtime.control.connections() == 0 {
                // Its requests for storage are signs of life, too.
                let silent = lock(&runtime.used).elapsed();
                if silent >= absence {
                    return gone(&state, &runtime);
                }
                tokio::time::sleep(absence - silent).await;
            }
        });
    }
}

/// A runtime process is gone: its sessions are over and their running jobs are lost.
pub(crate) fn gone(state: &Weak<crate::state::Inner>, runtime: &Runtime) {
    runtime.gone.send_replace(true);
    runtime.control.close();
    let Some(state) = state.upgrade() else { return };
    let mut table = lock(&state.runtimes.table);
    if table.runtimes.remove(&runtime.id).is_none() {
        return;
    }
    let mut sessions = Vec::new();
    table.sessions.retain(|session, id| {
        let over = *id == runtime.id;
        if over {
            sessions.push(*session);
        }
        !over
    });
    drop(table);
    tracing::info!(runtime = %runtime.id, sessions = sessions.len(), "a runtime is gone");
    // It is this host that ends, and a runtime it did not start may find the next one.
    let may_return = runtime.child.is_none() && *state.ending.borrow();
    if !may_return {
        for session in &sessions {
            state.jobs.lose(session);
        }
    }
    state.store.spill.drop_all(runtime.id);
}

fn none_free() -> Refusal {
    let message = "no runtime is free: start one, or try again later";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "no-runtime", message)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
