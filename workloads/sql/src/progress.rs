//! How far a run is, told from the parts of the tables' files that have been read.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use mc2_guest::Job;

/// What the statement that runs now has to read, and how much of it is read.
#[derive(Debug)]
pub(crate) struct Progress {
    job: Job,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    statement: usize,
    statements: usize,
    tables: BTreeSet<String>,
    total: u64,
    done: u64,
    last: Option<String>,
}

impl Progress {
    pub(crate) fn new(job: Job) -> Self {
        Self {
            job,
            state: Mutex::default(),
        }
    }

    /// A statement starts that reads `tables`, `total` bytes together.
    pub(crate) fn start(
        &self,
        statement: usize,
        statements: usize,
        tables: BTreeSet<String>,
        total: u64,
    ) {
        let mut state = self.lock();
        *state = State {
            statement,
            statements,
            tables,
            total,
            done: 0,
            last: None,
        };
    }

    /// Another `bytes` of a file of `table` are behind the reader.
    pub(crate) fn advance(&self, table: &str, bytes: u64) {
        let mut state = self.lock();
        if state.last.as_deref() != Some(table) {
            state.last = Some(table.to_owned());
        }
        if state.statements == 0 || !state.tables.contains(table) {
            return;
        }
        state.done = (state.done + bytes).min(state.total);
        let within = state.done as f64 / state.total.max(1) as f64;
        let fraction = (state.statement as f64 + within) / state.statements as f64;
        // The last result is still to be written.
        self.job
            .progress(fraction.min(0.99), &format!("scanning {table}"));
    }

    /// Everything is done.
    pub(crate) fn finish(&self) {
        self.job.progress(1.0, "done");
    }

    /// The table that was read last.
    pub(crate) fn last_table(&self) -> Option<String> {
        self.lock().last.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
