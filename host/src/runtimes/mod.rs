//! The runtime processes: who serves which policy and which session, and how to reach them.

mod backoff;
mod control;
mod launch;
mod registry;
mod runtime;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, Weak},
    time::Instant,
};

use http::StatusCode;
use mc2_protocol::{Digest, encoding::Hex};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
};

use backoff::Backoff;
pub(crate) use control::MAX_CONNECTIONS;
pub use launch::LaunchError;
use launch::LaunchThread;
use registry::Registry;
pub(crate) use runtime::{MAX_BULK, Runtime};

use crate::{
    config::{HostConfig, Launcher},
    refusal::{Refusal, blocking},
    runtime_id::RuntimeId,
    store::Store,
    transfer::listener::Listener,
    waiting::lock,
};

/// Most requests that wait for a runtime to dial in.
const MAX_WAITING: usize = 64;

/// Serves the requests that come from one runtime process on the listener made for it.
pub(crate) type Serve = Box<dyn Fn(Listener, RuntimeId) -> JoinHandle<()> + Send + Sync>;

/// All of them.
pub(crate) struct Runtimes {
    registry: Registry,
    config: Arc<HostConfig>,
    store: Arc<Store>,
    ending: watch::Sender<bool>,
    launcher: LaunchThread,
    serve: Serve,
    /// Counts arrivals, for those who wait for one.
    arrivals: watch::Sender<u64>,
    /// Held while a process is started for a tenant, so that none is started in vain.
    starting: tokio::sync::Mutex<()>,
    /// How long none is started, where they die at their start.
    backoff: Backoff,
    /// Those who may wait for a runtime to dial in.
    waiting: Semaphore,
    /// Those who note that sessions are over, which may block.
    noting: Mutex<JoinSet<()>>,
    /// Held while it is noted that sessions are over, or that they go on: a runtime that returns
    /// finds it noted what was said of it before, or is found itself.
    turning: Mutex<()>,
    /// Where those run.
    tokio: Handle,
    started: Instant,
    /// Itself, for tasks that must not keep it.
    this: Weak<Self>,
}

impl Runtimes {
    /// None yet. `serve` is what a process that is started is served by.
    pub(crate) fn new(
        config: Arc<HostConfig>,
        store: Arc<Store>,
        ending: watch::Sender<bool>,
        serve: Serve,
    ) -> std::io::Result<Arc<Self>> {
        let launcher = LaunchThread::start()?;
        Ok(Arc::new_cyclic(|this| Self {
            registry: Registry::default(),
            config,
            store,
            ending,
            launcher,
            serve,
            arrivals: watch::Sender::default(),
            starting: tokio::sync::Mutex::default(),
            backoff: Backoff::default(),
            waiting: Semaphore::new(MAX_WAITING),
            noting: Mutex::default(),
            turning: Mutex::default(),
            tokio: Handle::current(),
            started: Instant::now(),
            this: Weak::clone(this),
        }))
    }

    /// Who serves what.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The runtime that serves a session.
    ///
    /// # Errors
    /// 410 where it is gone, 503 where it may dial in again, 404 where there never was such a
    /// session.
    pub(crate) fn serving(&self, session: &Digest) -> Result<Arc<Runtime>, Refusal> {
        self.registry.of_session(session).ok_or_else(|| {
            if let Err(unknown) = self.store.jobs.require(session) {
                return unknown;
            }
            if self.may_return() && self.store.jobs.is_open(session) {
                let message = "the session's runtime has not dialled in again since this host \
                               started; ask again in a moment";
                return Refusal::busy("runtime-absent", message);
            }
            let message =
                "the session is over: it was ended, or its runtime went away; open a new one";
            Refusal::new(StatusCode::GONE, "session-over", message)
        })
    }

    /// Counts the runtimes that dialed in, for those who wait for one.
    pub(crate) fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    /// The runtime that serves this tenant, started or awaited where there is none.
    pub(crate) async fn runtime_for(&self, tenant: Digest) -> Result<Arc<Runtime>, Refusal> {
        // Nobody who has a runtime waits for one who has none.
        if let Some(runtime) = self.registry.assigned(&tenant) {
            return Ok(runtime);
        }
        match &self.config.launcher {
            Launcher::Spawn(_) => {
                let _alone = self.starting.lock().await;
                if let Some(runtime) = self.registry.assigned(&tenant) {
                    return Ok(runtime);
                }
                self.backoff.check(Instant::now())?;
                if let Err(full) = self.make_place() {
                    return self.perhaps(&tenant).ok_or(full);
                }
                self.start().await.map_err(|error| {
                    self.backoff.died(Instant::now(), error.to_string());
                    Refusal::new(StatusCode::BAD_GATEWAY, "runtime-failed", error.to_string())
                })?;
                self.registry.assigned(&tenant).ok_or_else(none_free)
            }
            Launcher::Connect => {
                let Ok(_waiting) = self.waiting.try_acquire() else {
                    return Err(none_free());
                };
                let mut arrivals = self.arrivals.subscribe();
                let wait = async {
                    loop {
                        let assigned = self.registry.assigned(&tenant);
                        if let Some(found) = assigned.or_else(|| self.perhaps(&tenant)) {
                            return found;
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

    fn perhaps(&self, tenant: &Digest) -> Option<Arc<Runtime>> {
        let alone = |policy: &Digest| self.store.jobs.is_of_one_party(policy);
        self.registry.perhaps(tenant, alone)
    }

    /// Starts a runtime process that serves nobody yet.
    pub(crate) async fn start(&self) -> Result<Arc<Runtime>, LaunchError> {
        let Launcher::Spawn(spawn) = &self.config.launcher else {
            return Err(LaunchError::NotLaunching);
        };
        let id = RuntimeId::random().map_err(LaunchError::Random)?;
        let start = self.launcher.start_runtime(&self.config, spawn, id);
        let (child, listener, process) = start.await?;
        let runtime = Runtime::new(id, Some(child));
        self.registry.add(Arc::clone(&runtime));
        let (this, watched) = (Weak::clone(&self.this), Arc::clone(&runtime));
        let serving = (self.serve)(listener, id);
        let exited = process.until_ended(serving, self.ending.subscribe());
        tokio::spawn(async move {
            let status = exited.await;
            tracing::info!(runtime = %watched.id, ?status, "a runtime ended{}", watched.last_words());
            if let Some(this) = this.upgrade().filter(|_| !watched.is_gone())
                && !watched.has_dialed()
            {
                let why = format!("it ended before it dialed in{}", watched.last_words());
                this.backoff.died(Instant::now(), why);
            }
            gone(&this, &watched);
        });
        Ok(runtime)
    }

    /// Ends a process nobody needs any more, where all places are taken.
    fn make_place(&self) -> Result<(), Refusal> {
        let most = self.config.max_runtimes;
        let known = self.registry.sessions();
        if known.len() < most {
            return Ok(());
        }
        let own = known
            .into_iter()
            .filter(|(runtime, _)| runtime.child.is_some() && !runtime.control.in_use());
        let evictable = own.filter(|(runtime, sessions)| {
            let idle = runtime.used().elapsed() >= self.config.timeouts.idle;
            let mut running = sessions
                .iter()
                .map(|session| self.store.jobs.any_running(session));
            sessions.is_empty() || (idle && !running.any(|running| running))
        });
        let longest = evictable.min_by_key(|(runtime, _)| runtime.used());
        let Some((runtime, _)) = longest else {
            let message = format!("all {most} runtimes are in use; try again later");
            return Err(Refusal::busy("busy", message));
        };
        tracing::info!(runtime = %runtime.id, "ending an idle runtime to make place");
        if let Some(child) = &runtime.child {
            child.kill();
        }
        gone(&self.this, &runtime);
        Ok(())
    }

    /// Notes that a runtime process dialed in.
    pub(crate) fn dialed(&self, runtime: &Runtime) {
        if runtime.child.is_some() && runtime.dial() {
            self.backoff.dialed_in();
        }
    }

    /// The runtime of this id, known from now on with the sessions it opened, which this host or
    /// one before it had given up.
    pub(crate) async fn arrive(&self, id: RuntimeId) -> Result<Arc<Runtime>, Refusal> {
        match (self.registry.get(id), self.this.upgrade()) {
            (None, Some(this)) => blocking(move || this.find_again(id)).await,
            (Some(known), _) => Ok(known),
            (None, None) => Err(Refusal::busy("ending", "the host is ending")),
        }
    }

    fn find_again(&self, id: RuntimeId) -> Result<Arc<Runtime>, Refusal> {
        let _turning = lock(&self.turning);
        if let Some(known) = self.registry.get(id) {
            return Ok(known);
        }
        let sessions = self.store.jobs.sessions_of(Hex(id.0));
        // Before it may say anything of their jobs.
        for (session, _) in &sessions {
            self.store.jobs.find_again(session);
        }
        let most = self.config.max_runtimes;
        let Some(runtime) = self.registry.add_returning(id, most, &sessions) else {
            for (session, _) in &sessions {
                self.store.jobs.lose(session);
            }
            let message = format!("{most} runtimes are connected, and no more are accepted");
            return Err(Refusal::busy("busy", message));
        };
        tracing::info!(runtime = %id, "a runtime dialed in");
        self.arrivals.send_modify(|count| *count += 1);
        Ok(runtime)
    }

    /// Gives the runtimes that served the last host a while to dial in; the jobs of those that do
    /// not are lost.
    pub(crate) fn expect(&self) {
        let (this, absence) = (Weak::clone(&self.this), self.config.timeouts.absence);
        let sessions = self.store.jobs.open_sessions();
        if sessions.is_empty() {
            return;
        }
        tokio::spawn(async move {
            tokio::time::sleep(absence).await;
            if let Some(this) = this.upgrade() {
                this.note(move |this| this.lose_unserved(&sessions));
            }
        });
    }

    /// Notes in the store what may block.
    fn note(&self, work: impl FnOnce(&Self) + Send + 'static) {
        let Some(this) = self.this.upgrade() else {
            return;
        };
        let mut all = lock(&self.noting);
        while all.try_join_next().is_some() {}
        all.spawn_blocking_on(move || work(&this), &self.tokio);
    }

    /// Notes that sessions are over, but for those whose runtime has returned since that was found.
    fn lose_unserved(&self, sessions: &[Digest]) {
        let _turning = lock(&self.turning);
        for session in sessions {
            if self.registry.of_session(session).is_none() {
                self.store.jobs.lose(session);
            }
        }
    }

    /// Notes which runtime opened a session that is recorded.
    ///
    /// # Errors
    /// It went away meanwhile, and the session is over with it.
    pub(crate) fn opened(&self, session: Digest, runtime: &Runtime) -> Result<(), Refusal> {
        if self.registry.add_session(session, runtime) {
            return Ok(());
        }
        // Whoever noted that the runtime is gone knew nothing of this session.
        self.note(move |this| this.lose_unserved(&[session]));
        Err(runtime.gone_refusal())
    }

    /// Notes that a session's runtime has it no more. One with a receipt that is not stored yet goes on
    /// until [it is](Self::job_ended), or its runtime is gone.
    pub(crate) fn ended(&self, session: Digest) {
        self.store.jobs.note_ended(&session);
        if !self.ends_now(session) {
            self.note(move |this| this.store.jobs.record_ended(&session));
        }
    }

    /// Notes that the receipt of a session's job is stored, which may be all that a session that was
    /// ended had left.
    pub(crate) fn job_ended(&self, session: Digest) {
        self.ends_now(session);
    }

    /// Whether a session was ended and nothing of it is left to come; then it is over.
    fn ends_now(&self, session: Digest) -> bool {
        let jobs = &self.store.jobs;
        if !jobs.is_ending(&session) || jobs.any_unended(&session) {
            return false;
        }
        tracing::info!(%session, "a session was ended");
        self.registry.remove_session(&session);
        self.note(move |this| {
            let _turning = lock(&this.turning);
            // Its runtime may have been away and have returned with it.
            this.registry.remove_session(&session);
            this.store.jobs.end_session(&session);
        });
        true
    }

    /// Comes back once it is noted which sessions are over.
    pub(crate) async fn until_noted(&self) {
        let mut noted = std::mem::take(&mut *lock(&self.noting));
        while noted.join_next().await.is_some() {}
    }

    /// Whether runtimes that served the last host may still dial in with their sessions.
    pub(crate) fn may_return(&self) -> bool {
        matches!(self.config.launcher, Launcher::Connect)
            && self.started.elapsed() < self.config.timeouts.absence
    }

    /// Watches a runtime that dialed in: without a connection for too long, it is gone.
    pub(crate) fn connection_closed(&self, runtime: &Arc<Runtime>) {
        if runtime.child.is_some() || runtime.control.connections() > 0 {
            return;
        }
        // It had a connection until now, however long that was idle.
        runtime.touch();
        let (this, runtime) = (Weak::clone(&self.this), Arc::clone(runtime));
        let absence = self.config.timeouts.absence;
        tokio::spawn(async move {
            while runtime.control.connections() == 0 {
                // Its requests for storage are signs of life, too.
                let silent = runtime.used().elapsed();
                if silent >= absence {
                    return gone(&this, &runtime);
                }
                tokio::time::sleep(absence - silent).await;
            }
        });
    }

    /// Ends all of them: those the host started are killed, the others are left to find another
    /// host.
    pub(crate) fn end(&self) {
        for runtime in self.registry.all() {
            match &runtime.child {
                Some(child) => child.kill(),
                None => gone(&self.this, &runtime),
            }
        }
    }
}

/// A runtime process is gone: its sessions are over and their running jobs are lost.
fn gone(this: &Weak<Runtimes>, runtime: &Runtime) {
    let this = this.upgrade();
    let sessions = this.as_ref().and_then(|it| it.registry.remove(runtime));
    if let (Some(this), Some(mut sessions)) = (this, sessions) {
        tracing::info!(runtime = %runtime.id, sessions = sessions.len(), "a runtime is gone");
        // It is this host that ends, and a runtime it did not start may find the next one.
        if runtime.child.is_none() && *this.ending.borrow() {
            sessions.clear();
        }
        let id = runtime.id;
        this.note(move |this| {
            this.lose_unserved(&sessions);
            let _turning = lock(&this.turning);
            if this.registry.get(id).is_none() {
                this.store.spill.drop_all(id);
            }
        });
    }
    runtime.gone.send_replace(true);
    runtime.control.close();
}

fn none_free() -> Refusal {
    let message = "no runtime is free: start one, or try again later";
    Refusal::busy("no-runtime", message)
}
