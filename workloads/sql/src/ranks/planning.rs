//! How a statement is planned: for one instance as always, or as this instance's share.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, Weak},
};

use datafusion::{
    common::{Result, config::ConfigOptions},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{ExecutionPlan, displayable},
};

use super::{
    Ranks, lock,
    share::{Shared, share},
};

/// What becomes of the plans made now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// They are as the engine makes them.
    #[default]
    Off,
    /// Each partition is an instance's.
    Ranks,
    /// All partitions are this instance's, and are made one.
    One,
}

/// What was found out about a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Planned {
    /// It is run by all; the digest is that of the whole plan, before it was shared.
    Shared(u64),
    /// The first instance runs it alone, for this reason.
    Alone(String),
}

/// How plans are made, and what came of the last.
#[derive(Debug, Default)]
pub(crate) struct Planning(Mutex<(Sharing, Option<Planned>)>);

impl Planning {
    pub(crate) fn set(&self, sharing: Sharing) {
        *lock(&self.0) = (sharing, None);
    }

    /// Has plans made as shares meanwhile, and says what came of the last.
    pub(crate) async fn sharing<T>(&self, plan: impl Future<Output = T>) -> (T, Option<Planned>) {
        let before = self.now();
        self.set(Sharing::Ranks);
        let made = plan.await;
        let planned = lock(&self.0).1.take();
        self.set(before);
        (made, planned)
    }

    fn now(&self) -> Sharing {
        lock(&self.0).0
    }
}

/// Shares plans.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Plans hold the instances, which hold no plans.
    ranks: Weak<Ranks>,
}

impl Rule {
    pub(crate) fn new(ranks: &Arc<Ranks>) -> Self {
        Self {
            ranks: Arc::downgrade(ranks),
        }
    }
}

impl PhysicalOptimizerRule for Rule {
    fn name(&self) -> &str {
        "share"
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(ranks) = self.ranks.upgrade() else {
            return Ok(plan);
        };
        let sharing = ranks.planning.now();
        if sharing == Sharing::Off {
            return Ok(plan);
        }
        let mut digest = DefaultHasher::new();
        let text = displayable(plan.as_ref()).indent(true).to_string();
        (text, plan.schema()).hash(&mut digest);
        let shared = share(&plan, &ranks, sharing == Sharing::One)?;
        let (planned, plan) = match shared {
            Shared::Plan(plan) => (Planned::Shared(digest.finish()), plan),
            Shared::Alone(why, plan) => (Planned::Alone(why), plan),
        };
        lock(&ranks.planning.0).1 = Some(planned);
        Ok(plan)
    }

    fn schema_check(&self) -> bool {
        true
    }
}
