//! DataFusion as a measured component: every input is a table, the argument is the query.
//!
//! The program trusts the files it is given as much as the runtime that gives them; it treats the
//! tables' content and the SQL as untrusted, so that a bad file or query is an error in words and
//! never a trap. [`session`] sets the engine up, [`tables`] finds the tables, [`statements`] runs
//! the SQL, [`clauses`] refuses what the engine would pass over, [`using`] writes out what it would take
//! from the wrong side, [`params`] gives its parameters values, [`json`] adds functions, [`answers`] holds
//! what the engine is corrected in, [`ranks`] shares a query with other instances, [`builtins`] what the
//! compiler is, [`output`] writes the results ([`results`] for programs) and [`failure`] says what went
//! wrong and where. What needs no query engine is in the crate
//! `sql-core`.

mod answers;
mod builtins;
mod clauses;
mod exhausted;
mod failure;
mod json;
mod output;
mod params;
mod progress;
mod ranks;
mod results;
mod rewritten;
mod session;
mod spill;
mod statements;
mod store;
mod tables;
mod using;
mod valueless;

use std::{process::ExitCode, sync::Arc};

use mc2_guest::{Context as _, Error, Job};
use sql_core::args::{Args, Command, Query, USAGE};
use workload_shared::Target;

use crate::{progress::Progress, ranks::Ranks, session::Session};

fn main() -> ExitCode {
    mc2_guest::run(|job| match Command::parse(job.arguments())? {
        Command::Help => Target::stdout().print(USAGE),
        Command::Run(args) => {
            let args = args.wanted(|output| job.output_media_type(output))?;
            let ranks = Ranks::new(job)?;
            ranks::block_on(&ranks, run(job, &args, Arc::clone(&ranks)))
        }
    })
}

async fn run(job: &Job, args: &Args, ranks: Arc<Ranks>) -> mc2_guest::Result {
    let sql = query_text(job, &args.query)?;
    let bad_query = |words: String| Error::new(words).with_code("bad-query", None, None, None);
    let parsed = statements::parse(&sql, args).map_err(bad_query)?;
    let parsed = parsed
        .for_output(args.output.as_deref())
        .map_err(bad_query)?;

    // The store reports progress from wherever the engine reads, so it has a job of its own.
    let progress = Arc::new(Progress::new(Job::load()?));
    let mut session = Session::new(job, args, Arc::clone(&progress), ranks)?;
    let file = match &args.query {
        Query::File(name) => Some(name.as_str()),
        Query::Text(_) => None,
    };
    for input in workload_shared::tables(job, |name| Some(name) == file) {
        tables::register(&mut session, &input, args)
            .await
            .map_err(|words| {
                Error::new(words).with_code("bad-input", Some(input.name()), None, None)
            })?;
    }
    statements::run(&session, job, args, &sql, parsed).await
}

fn query_text(job: &Job, query: &Query) -> mc2_guest::Result<String> {
    match query {
        Query::Text(text) => Ok(text.clone()),
        Query::File(name) => {
            let reader = job.input(name).context("--file")?.reader()?;
            std::io::read_to_string(reader).with_context(|| format!("reading --file /in/{name}"))
        }
    }
}
