//! The engine's settings: what it may use, and that nothing is left to the machine it runs on.

use std::{num::NonZeroUsize, sync::Arc};

use datafusion::{
    execution::{
        context::SessionContext,
        disk_manager::DiskManagerBuilder,
        memory_pool::{FairSpillPool, TrackConsumersPool},
        runtime_env::RuntimeEnvBuilder,
        session_state::{SessionState, SessionStateBuilder},
    },
    prelude::SessionConfig,
};
use mc2_guest::{Context as _, Job};
use sql_core::args::Args;
use url::Url;

use crate::{
    answers, json,
    progress::Progress,
    ranks::{Ranks, Rule, Sharing},
    spill::Scratch,
    store::InputStore,
    valueless::Valueless,
};

/// Where the tables' files are for the engine.
const STORE: &str = "in:///";

/// How large a 32-bit memory can get.
const ADDRESS_SPACE: u64 = 4 << 30;
/// Memory for code, buffers of files being read and the result being written, which operators do
/// not count.
const RESERVED: u64 = 32 << 20;
/// The least that sorting and joining work with.
const LEAST: u64 = 8 << 20;

/// What the engine itself takes for merging where memory is plenty.
const MERGING: usize = 10 << 20;

/// An engine with the tables registered so far.
pub(crate) struct Session {
    pub(crate) context: SessionContext,
    pub(crate) store: Arc<InputStore>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) ranks: Arc<Ranks>,
    pub(crate) tables: Vec<String>,
    /// Bytes for operators that can spill.
    pub(crate) memory: u64,
    /// Tables of fewer bytes are read by one instance.
    alone_below: u64,
}

impl Session {
    pub(crate) fn new(
        job: &Job,
        args: &Args,
        progress: Arc<Progress>,
        ranks: Arc<Ranks>,
    ) -> mc2_guest::Result<Self> {
        // What is said is said of all instances together.
        let instances = ranks.size as u64;
        let memory = args.memory.map_or_else(
            || share(job.limits().map(|limits| limits.memory / instances)),
            |memory| memory / instances,
        );
        let pool = FairSpillPool::new(usize::try_from(memory).unwrap_or(usize::MAX));
        let three = NonZeroUsize::MIN.saturating_add(2);
        let scratch = Arc::new(Scratch::new(job.scratch()));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, three)))
            .with_disk_manager_builder(
                DiskManagerBuilder::default()
                    .with_temp_file_factory(scratch)
                    // The runtime bounds `/tmp`, and says so where it is full.
                    .with_max_temp_directory_size(u64::MAX),
            )
            .build_arc()
            .context("setting up the engine")?;

        let mut config = SessionConfig::new()
            .with_batch_size(args.batch_size)
            // There is one thread.
            .with_target_partitions(1)
            .with_collect_statistics(true)
            .with_information_schema(true);
        let options = config.options_mut();
        options.sql_parser.collect_spans = true;
        // Where it finds that what may be NULL by one plan may not by the other, it calls it a bug of
        // its own.
        options.execution.skip_physical_aggregate_schema_check = true;
        // Every sort keeps this much for merging what it spilled; a join has up to four of them.
        options.execution.sort_spill_reservation_bytes = usize::try_from(memory / 16)
            .unwrap_or(usize::MAX)
            .min(MERGING);

        let mut context = answers::install(
            SessionStateBuilder::new()
                .with_config(config)
                .with_runtime_env(runtime)
                .with_default_features(),
            Arc::new(Rule::new(&ranks)),
        );
        context.add_analyzer_rule(Arc::new(Valueless));
        json::install(&mut context).context("setting up the engine")?;
        let store = Arc::new(InputStore::new(Arc::clone(&progress)));
        let url = Url::parse(STORE).context("setting up the engine")?;
        context.register_object_store(&url, Arc::clone(&store) as _);
        Ok(Self {
            context,
            store,
            progress,
            ranks,
            tables: Vec::new(),
            memory,
            alone_below: args.alone_below,
        })
    }

    /// The engine's address of an input.
    pub(crate) fn url(name: &str) -> String {
        format!("{STORE}{name}")
    }

    /// Makes joins sort and spill, or hash in memory as they do by default.
    pub(crate) fn set_spilling_joins(&self, spilling: bool) {
        let state = self.context.state_ref();
        let mut state = state.write();
        let options = state.config_mut().options_mut();
        options.optimizer.prefer_hash_join = !spilling;
        // The planner considers a merge join only for more than one partition. They are made one again:
        // partitions of one process that hand rows to each other in little memory may wait for ever.
        options.execution.target_partitions = if spilling { 2 } else { 1 };
        self.ranks.planning.set(match spilling {
            true => Sharing::One,
            false => Sharing::Off,
        });
    }

    /// The engine's state for plans that instances share.
    pub(crate) fn shared_state(&self) -> SessionState {
        let mut state = self.context.state();
        let options = state.config_mut().options_mut();
        options.execution.target_partitions = self.ranks.size;
        // Half of the least tables that are worth it.
        options.optimizer.repartition_file_min_size =
            usize::try_from(self.alone_below / 2).unwrap_or(usize::MAX);
        // What one instance reads alone is not handed round batch by batch.
        options.optimizer.enable_round_robin_repartition = false;
        state
    }
}

/// How much of a job's memory is for operators that count what they use.
///
/// They count the rows they keep, not the decoder's pages, the hash tables' growth or what the
/// allocator loses between blocks; hence three fifths of what there is.
fn share(limit: Option<u64>) -> u64 {
    let all = limit.unwrap_or(ADDRESS_SPACE).min(ADDRESS_SPACE);
    (all.saturating_sub(RESERVED) / 5 * 3).max(LEAST)
}
