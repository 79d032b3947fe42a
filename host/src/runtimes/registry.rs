//! Who serves which policy and which session.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use mc2_protocol::Digest;

use super::runtime::Runtime;
use crate::{runtime_id::RuntimeId, waiting::lock};

/// Most tenants remembered of a runtime that it does not serve.
const MAX_REFUSED: usize = 1024;

/// The runtimes that live, and what is known of each.
#[derive(Default)]
pub(crate) struct Registry {
    table: Mutex<Table>,
}

impl Registry {
    /// The runtime of this id.
    pub(crate) fn get(&self, id: RuntimeId) -> Option<Arc<Runtime>> {
        lock(&self.table)
            .runtimes
            .get(&id)
            .map(|entry| Arc::clone(&entry.runtime))
    }

    /// A runtime of this id that is new here, with the sessions that it opened before, and for whom
    /// each; `None` where it would be one more than `most`.
    pub(super) fn add_returning(
        &self,
        id: RuntimeId,
        most: usize,
        sessions: &[(Digest, Digest)],
    ) -> Option<Arc<Runtime>> {
        let mut table = lock(&self.table);
        if table.runtimes.len() >= most {
            return None;
        }
        let runtime = Runtime::new(id, None);
        table.add(Arc::clone(&runtime));
        for (session, tenant) in sessions {
            tracing::info!(runtime = %id, %session, "a session's runtime is back");
            table.serve(*session, id);
            if let Some(entry) = table.runtimes.get_mut(&id) {
                entry.tenant = Some(*tenant);
            }
        }
        Some(runtime)
    }

    /// Adds a runtime.
    pub(super) fn add(&self, runtime: Arc<Runtime>) {
        lock(&self.table).add(runtime);
    }

    /// Forgets a runtime: its sessions, or `None` where it was not known.
    pub(super) fn remove(&self, runtime: &Runtime) -> Option<Vec<Digest>> {
        let mut table = lock(&self.table);
        table.runtimes.remove(&runtime.id)?;
        let mut sessions = Vec::new();
        table.sessions.retain(|session, by| {
            let over = *by == runtime.id;
            if over {
                sessions.push(*session);
            }
            !over
        });
        Some(sessions)
    }

    /// The runtimes, and the sessions of each.
    pub(super) fn sessions(&self) -> Vec<(Arc<Runtime>, Vec<Digest>)> {
        let table = lock(&self.table);
        let sessions_of = |id: RuntimeId| {
            let own = table.sessions.iter().filter(move |(_, by)| **by == id);
            own.map(|(session, _)| *session).collect()
        };
        let entries = table.runtimes.values();
        entries
            .map(|entry| (Arc::clone(&entry.runtime), sessions_of(entry.runtime.id)))
            .collect()
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
        let by = table.sessions.get(session)?;
        table
            .runtimes
            .get(by)
            .map(|entry| Arc::clone(&entry.runtime))
    }

    /// Notes which runtime serves a session; whether it is here still.
    pub(super) fn add_session(&self, session: Digest, runtime: &Runtime) -> bool {
        let mut table = lock(&self.table);
        let known = table.runtimes.contains_key(&runtime.id);
        if known {
            table.serve(session, runtime.id);
        }
        known
    }

    /// Notes that no runtime serves a session any more.
    pub(super) fn remove_session(&self, session: &Digest) {
        lock(&self.table).sessions.remove(session);
    }

    /// How many runtimes and sessions there are.
    pub(crate) fn count(&self) -> (usize, usize) {
        let table = lock(&self.table);
        (table.runtimes.len(), table.sessions.len())
    }

    /// Gives a runtime that dialed in back, where its first session was refused.
    pub(crate) fn release_unused(&self, runtime: &Runtime) {
        let mut table = lock(&self.table);
        let used = table.sessions.values().any(|by| *by == runtime.id);
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
            if entry.tenant == Some(tenant) {
                entry.tenant = None;
            }
        }
    }

    /// A runtime that may serve this tenant besides another: one for a policy of one party, `alone`,
    /// serves all policies that are that party's alone, and says of others that it does not.
    pub(super) fn perhaps(
        &self,
        tenant: &Digest,
        alone: impl Fn(&Digest) -> bool,
    ) -> Option<Arc<Runtime>> {
        let table = lock(&self.table);
        let mut entries = table.runtimes.values();
        let found = entries.find(|it| {
            let may = it.tenant.is_some_and(|served| alone(&served));
            may && !it.runtime.is_gone() && !it.refused.contains(tenant)
        });
        found.map(|entry| Arc::clone(&entry.runtime))
    }

    pub(super) fn assigned(&self, tenant: &Digest) -> Option<Arc<Runtime>> {
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
        let free = table
            .runtimes
            .values_mut()
            .filter(living)
            .find(|entry| entry.tenant.is_none() && !entry.refused.contains(tenant))?;
        free.tenant = Some(*tenant);
        Some(Arc::clone(&free.runtime))
    }
}

#[derive(Default)]
struct Table {
    runtimes: HashMap<RuntimeId, Entry>,
    /// The runtime that serves each session.
    sessions: HashMap<Digest, RuntimeId>,
}

impl Table {
    fn add(&mut self, runtime: Arc<Runtime>) {
        let id = runtime.id;
        let entry = Entry {
            runtime,
            tenant: None,
            refused: HashSet::new(),
        };
        self.runtimes.insert(id, entry);
    }

    fn serve(&mut self, session: Digest, by: RuntimeId) {
        self.sessions.insert(session, by);
    }
}

struct Entry {
    runtime: Arc<Runtime>,
    tenant: Option<Digest>,
    /// Tenants it said it does not serve: it served another before this host knew it.
    refused: HashSet<Digest>,
}
