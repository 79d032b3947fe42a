//! Where rows go from one instance to another, in a plan.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use arrow_ipc::reader::StreamDecoder;
use datafusion::{
    arrow::{array::RecordBatch, buffer::Buffer, compute::BatchCoalescer, datatypes::SchemaRef},
    common::{DataFusionError, Result, tree_node::TreeNodeRecursion},
    execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PlanProperties, metrics::Time, repartition::BatchPartitioner,
    },
};
use futures_util::{Stream, StreamExt as _};
use sql_core::ranks::{Item, Key};

use super::{Ranks, wire::Sender};

/// Who gets which rows.
#[derive(Clone, Debug)]
pub(super) enum To {
    /// Each the rows whose keys' hash says so.
    Hashed(Vec<Arc<dyn PhysicalExpr>>),
    /// The first, each instance's as a partition of their own.
    First,
    /// Everybody all.
    All,
}

/// Rows of `input` as they are after they went where they belong. What it runs only receives;
/// [`send`](Self::send) sends.
pub(super) struct Exchange {
    pub(super) id: u32,
    to: To,
    /// Whether all instances have a share of the rows, or the first has all.
    from_all: bool,
    input: Arc<dyn ExecutionPlan>,
    ranks: Arc<Ranks>,
    properties: Arc<PlanProperties>,
}

impl Exchange {
    pub(super) fn new(
        id: u32,
        to: To,
        from_all: bool,
        input: Arc<dyn ExecutionPlan>,
        ranks: Arc<Ranks>,
    ) -> Self {
        let mut equal = input.equivalence_properties().clone();
        equal.clear_per_partition_constants();
        let partitions = match to {
            To::First if from_all => ranks.size,
            To::First => 1,
            To::Hashed(_) | To::All => {
                equal.clear_orderings();
                1
            }
        };
        let properties = PlanProperties::new(
            equal,
            Partitioning::UnknownPartitioning(partitions),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self {
            id,
            to,
            from_all,
            input,
            ranks,
            properties: Arc::new(properties),
        }
    }

    pub(super) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// Whether all instances have a share of the rows, or the first has all.
    pub(super) fn is_from_all(&self) -> bool {
        self.from_all
    }

    fn key(&self, rank: usize) -> Key {
        Key {
            run: self.ranks.run(),
            exchange: self.id,
            rank,
        }
    }

    /// Sends this instance's share to whom it belongs.
    pub(super) async fn send(&self, context: Arc<TaskContext>) -> Result<()> {
        if !self.from_all && self.ranks.rank != 0 {
            return Ok(());
        }
        let to: Vec<usize> = match self.to {
            To::First => vec![0],
            To::Hashed(_) | To::All => (0..self.ranks.size).collect(),
        };
        let schema = self.input.schema();
        let mut senders = Vec::with_capacity(to.len());
        for rank in to {
            let sender = Sender::new(Arc::clone(&self.ranks), self.key(rank), &schema)?;
            let rows =
                BatchCoalescer::new(Arc::clone(&schema), context.session_config().batch_size());
            senders.push((sender, rows));
        }
        let mut partitioner = match &self.to {
            To::Hashed(keys) => Some(BatchPartitioner::new_hash_partitioner(
                keys.clone(),
                self.ranks.size,
                Time::new(),
            )?),
            To::First | To::All => None,
        };
        let mut input = self.input.execute(0, context)?;
        while let Some(batch) = input.next().await {
            let batch = batch?;
            let mut parts = vec![None; senders.len()];
            match &mut partitioner {
                Some(partitioner) => partitioner.partition(batch, |part, rows| {
                    parts[part] = Some(rows);
                    Ok(())
                })?,
                None => parts.fill(Some(batch)),
            }
            let mut wanted = false;
            for ((sender, rows), part) in senders.iter_mut().zip(parts) {
                if let Some(part) = part {
                    rows.push_batch(part)?;
                }
                while let Some(full) = rows.next_completed_batch() {
                    sender.send(full).await?;
                }
                wanted |= sender.is_wanted();
            }
            if !wanted {
                return Ok(());
            }
            // Nobody waits for these bytes here, but others may.
            self.ranks.pump()?;
        }
        for (sender, rows) in &mut senders {
            rows.finish_buffered_batch()?;
            while let Some(last) = rows.next_completed_batch() {
                sender.send(last).await?;
            }
            sender.finish()?;
        }
        Ok(())
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("id", &self.id)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for Exchange {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = match self.to {
            To::Hashed(_) => "hashed",
            To::First => "first",
            To::All => "all",
        };
        let from = if self.from_all { "all" } else { "first" };
        write!(f, "ExchangeExec: {} from {from} to {to}", self.id)
    }
}

impl ExecutionPlan for Exchange {
    fn name(&self) -> &'static str {
        "ExchangeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![matches!(self.to, To::First)]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let To::Hashed(keys) = &self.to else {
            return Ok(TreeNodeRecursion::Continue);
        };
        for key in keys {
            if f(key)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = children.try_into().map_err(|children: Vec<_>| {
            DataFusionError::Internal(format!("{} inputs of one", children.len()))
        })?;
        Ok(Arc::new(Self::new(
            self.id,
            self.to.clone(),
            self.from_all,
            input,
            Arc::clone(&self.ranks),
        )))
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let from = match (&self.to, self.from_all) {
            (_, false) => 0..1,
            (To::First, true) => partition..partition + 1,
            (To::Hashed(_) | To::All, true) => 0..self.ranks.size,
        };
        let from = from.map(|rank| From {
            key: self.key(rank),
            decoder: StreamDecoder::new(),
            rest: Buffer::from(Vec::<u8>::new()),
            ended: false,
        });
        Ok(Box::pin(Received {
            from: from.collect(),
            next: 0,
            schema: self.schema(),
            ranks: Arc::clone(&self.ranks),
        }))
    }
}

/// What comes from several instances, as it comes.
struct Received {
    from: Vec<From>,
    next: usize,
    schema: SchemaRef,
    ranks: Arc<Ranks>,
}

struct From {
    key: Key,
    decoder: StreamDecoder,
    rest: Buffer,
    ended: bool,
}

impl From {
    fn poll(
        &mut self,
        ranks: &Ranks,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<RecordBatch>>> {
        loop {
            if !self.rest.is_empty()
                && let Some(batch) = self.decoder.decode(&mut self.rest)?
            {
                return Poll::Ready(Ok(Some(batch)));
            }
            match ranks.mux().poll_receive(self.key, context) {
                Poll::Ready(Ok(Some(Item::Own(batch)))) => return Poll::Ready(Ok(Some(batch))),
                Poll::Ready(Ok(Some(Item::Bytes(bytes)))) => self.rest = Buffer::from(bytes),
                Poll::Ready(Ok(None)) => {
                    self.decoder.finish()?;
                    self.ended = true;
                    return Poll::Ready(Ok(None));
                }
                Poll::Ready(Err(words)) => {
                    return Poll::Ready(Err(DataFusionError::Execution(words)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Stream for Received {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // The others must not wait while this instance lives on what it has itself.
        this.ranks.pump()?;
        let count = this.from.len();
        for step in 0..count {
            let at = (this.next + step) % count;
            if this.from[at].ended {
                continue;
            }
            match this.from[at].poll(&this.ranks, context) {
                Poll::Ready(Ok(Some(batch))) => {
                    this.next = (at + 1) % count;
                    return Poll::Ready(Some(Ok(batch)));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Ok(None)) | Poll::Pending => {}
            }
        }
        match this.from.iter().all(|from| from.ended) {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }
}

impl RecordBatchStream for Received {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let mut mux = self.ranks.mux();
        for from in &self.from {
            mux.cancel(from.key);
        }
    }
}
