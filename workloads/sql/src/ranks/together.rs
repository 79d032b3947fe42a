//! A shared plan's run: what this instance sends, and what comes of it.

use std::{
    error, fmt,
    future::{Future, pending, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use datafusion::{
    common::{
        DataFusionError, Result, ScalarValue, exec_err,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        ExecutionPlan, execute_stream, scalar_subquery::ScalarSubqueryExec,
        stream::RecordBatchStreamAdapter,
    },
};
use futures_util::{StreamExt as _, stream};
use sql_core::ranks::{Failed, Message, Verdict};
use tokio::task::JoinSet;

use super::{Ranks, exchange::Exchange};

/// Why this instance's part of a run stops before its end.
#[derive(Debug)]
pub(crate) enum Interrupt {
    /// Something failed here.
    Own(DataFusionError),
    /// The first instance says that the run has ended, and what is next.
    Ended(Verdict),
}

/// Another instance's failure, as an error of the engine that passes through it as it is.
#[derive(Debug)]
pub(crate) struct Reported(pub(crate) Failed);

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.words)
    }
}

impl error::Error for Reported {}

impl Reported {
    /// The failure, where an error is one of another instance's.
    pub(crate) fn of(error: &DataFusionError) -> Option<&Failed> {
        match error {
            DataFusionError::External(inner) => match inner.downcast_ref::<Self>() {
                Some(reported) => Some(&reported.0),
                None => Self::of(inner.downcast_ref()?),
            },
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                Self::of(inner)
            }
            DataFusionError::Shared(inner) => Self::of(inner),
            _ => None,
        }
    }
}

/// A shared plan that runs.
pub(crate) struct Together {
    ranks: Arc<Ranks>,
    context: Arc<TaskContext>,
    plan: Arc<dyn ExecutionPlan>,
    /// What is run before, in this order.
    subqueries: Vec<Arc<ScalarSubqueryExec>>,
    /// What this instance sends; dropped, it stops.
    sending: JoinSet<Result<()>>,
}

impl Together {
    /// Prepares a plan that [`Planned`](super::Planned) says is shared.
    pub(crate) fn new(
        ranks: Arc<Ranks>,
        context: Arc<TaskContext>,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<Self> {
        let mut subqueries = Vec::new();
        let plan = without_subqueries(plan, &mut subqueries)?;
        Ok(Self {
            ranks,
            context,
            plan,
            subqueries,
            sending: JoinSet::new(),
        })
    }

    /// On another instance than the first: sends all there is to send, until the run ends.
    pub(crate) async fn serve(mut self) -> Interrupt {
        let error = self.prepare().await;
        match error {
            Ok(()) => self
                .interruptible(pending())
                .await
                .unwrap_or_else(|stop| stop),
            Err(stop) => stop,
        }
    }

    /// On the first instance: the result's batches.
    pub(crate) async fn result(mut self) -> Result<SendableRecordBatchStream> {
        self.prepare().await.map_err(Interrupt::into_error)?;
        let rows = execute_stream(Arc::clone(&self.plan), Arc::clone(&self.context))?;
        let schema = rows.schema();
        let rows = stream::try_unfold((self, rows), |(mut this, mut rows)| async move {
            let next = this.interruptible(rows.next()).await;
            let next = next.map_err(Interrupt::into_error)?.transpose()?;
            Ok(next.map(|batch| (batch, (this, rows))))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    /// Finds the values of the subqueries that the plan's expressions read, which every instance does
    /// for itself from rows that all have, and starts to send.
    async fn prepare(&mut self) -> Result<(), Interrupt> {
        for node in std::mem::take(&mut self.subqueries) {
            for subquery in node.subqueries() {
                self.send(&subquery.plan).map_err(Interrupt::Own)?;
                let value = value(Arc::clone(&subquery.plan), Arc::clone(&self.context));
                let value = self.interruptible(value).await?.map_err(Interrupt::Own)?;
                let results = node.results();
                results.set(subquery.index, value).map_err(Interrupt::Own)?;
            }
        }
        let plan = Arc::clone(&self.plan);
        self.send(&plan).map_err(Interrupt::Own)
    }

    /// Starts to send what goes through the exchanges of a plan.
    fn send(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        plan.apply(|node| {
            if node.is::<Exchange>() {
                let (node, context) = (Arc::clone(node), Arc::clone(&self.context));
                self.sending.spawn(async move {
                    match node.downcast_ref::<Exchange>() {
                        Some(exchange) => exchange.send(context).await,
                        None => Ok(()),
                    }
                });
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map(drop)
    }

    /// Waits for the future, unless the run stops before.
    async fn interruptible<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Interrupt> {
        let mut future = Box::pin(future);
        let ranks = Arc::clone(&self.ranks);
        let mut message = Box::pin(ranks.message());
        poll_fn(|context| {
            if let Poll::Ready(stop) = self.poll_failure(context) {
                return Poll::Ready(Err(stop));
            }
            if let Poll::Ready(told) = message.as_mut().poll(context) {
                return Poll::Ready(Err(interrupt(told)));
            }
            Pin::new(&mut future).poll(context).map(Ok)
        })
        .await
    }

    /// Ready where something that this instance sends failed.
    fn poll_failure(&mut self, context: &mut Context<'_>) -> Poll<Interrupt> {
        loop {
            match self.sending.poll_join_next(context) {
                Poll::Ready(Some(Ok(Ok(())))) => {}
                Poll::Ready(Some(Ok(Err(error)))) => return Poll::Ready(Interrupt::Own(error)),
                Poll::Ready(Some(Err(error))) => {
                    let error = DataFusionError::External(Box::new(error));
                    return Poll::Ready(Interrupt::Own(error));
                }
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Interrupt {
    fn into_error(self) -> DataFusionError {
        match self {
            Self::Own(error) => error,
            Self::Ended(verdict) => {
                DataFusionError::Internal(format!("the run was ended from elsewhere: {verdict:?}"))
            }
        }
    }
}

fn interrupt(told: mc2_guest::Result<(usize, Message)>) -> Interrupt {
    match told {
        Ok((0, Message::Ended(verdict))) => Interrupt::Ended(verdict),
        Ok((_, Message::Failed(failed))) => {
            Interrupt::Own(DataFusionError::External(Box::new(Reported(failed))))
        }
        Ok(other) => Interrupt::Own(DataFusionError::Execution(
            super::strange(&other).to_string(),
        )),
        Err(error) => Interrupt::Own(DataFusionError::Execution(error.to_string())),
    }
}

/// The plan without the nodes that would find the values of subqueries when they are run themselves:
/// an instance runs parts of it only. They are listed so that each comes after those it needs.
fn without_subqueries(
    plan: Arc<dyn ExecutionPlan>,
    found: &mut Vec<Arc<ScalarSubqueryExec>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|plan| {
        let Some(node) = plan.downcast_ref::<ScalarSubqueryExec>() else {
            return Ok(Transformed::no(plan));
        };
        let input = Arc::clone(node.input());
        found.push(Arc::new(ScalarSubqueryExec::new(
            Arc::clone(&input),
            node.subqueries().to_vec(),
            node.results().clone(),
        )));
        Ok(Transformed::yes(input))
    })
    .data()
}

/// The one value of a subquery, NULL where it has no row.
async fn value(plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<ScalarValue> {
    let mut value = ScalarValue::try_from(plan.schema().field(0).data_type())?;
    let mut rows = 0;
    let mut batches = execute_stream(plan, context)?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        rows += batch.num_rows();
        if rows > 1 {
            return exec_err!("Scalar subquery returned more than one row");
        }
        if batch.num_rows() == 1 {
            value = ScalarValue::try_from_array(batch.column(0), 0)?;
        }
    }
    Ok(value)
}
