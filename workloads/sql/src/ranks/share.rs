//! A plan for several partitions as the plan of one instance: its own partition of everything.
//!
//! The engine plans a statement with as many partitions as there are instances, and instance `n` runs
//! partition `n` of each part of the plan. Where the engine would move rows between partitions of one
//! process there is an [`Exchange`] between instances. In what is left every node has one partition,
//! so that nothing in an instance waits for another partition of it.
//!
//! A node that this does not know makes the plan one that is run by the first instance alone.

use std::sync::Arc;

use datafusion::{
    common::{DataFusionError, JoinType, Result, tree_node::TreeNodeRecursion},
    datasource::{
        memory::MemorySourceConfig,
        physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder},
        source::DataSourceExec,
    },
    physical_expr::PhysicalExpr,
    physical_expr_common::physical_expr::is_volatile,
    physical_plan::{
        ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties as _, Partitioning,
        ReplaceChildrenOptions,
        aggregates::AggregateExec,
        coalesce_partitions::CoalescePartitionsExec,
        coop::CooperativeExec,
        empty::EmptyExec,
        filter::FilterExec,
        joins::{
            CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode, SortMergeJoinExec,
        },
        limit::{GlobalLimitExec, LocalLimitExec},
        placeholder_row::PlaceholderRowExec,
        projection::ProjectionExec,
        repartition::RepartitionExec,
        scalar_subquery::ScalarSubqueryExec,
        sorts::{
            partial_sort::PartialSortExec, partitioned_topk::PartitionedTopKExec, sort::SortExec,
            sort_preserving_merge::SortPreservingMergeExec,
        },
        union::{InterleaveExec, UnionExec},
        unnest::UnnestExec,
        windows::{BoundedWindowAggExec, WindowAggExec},
    },
};

use super::{
    Ranks,
    exchange::{Exchange, To},
    first::First,
};

/// Which instances have a node's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Each all of them, if it runs the node.
    Everywhere,
    /// The first all of them.
    First,
    /// Each some.
    Spread,
}

/// A part of the plan as this instance runs it, in one partition.
struct Part {
    plan: Arc<dyn ExecutionPlan>,
    place: Place,
}

/// What becomes of a plan.
pub(super) enum Shared {
    /// Run by all, each its share.
    Plan(Arc<dyn ExecutionPlan>),
    /// Nothing is gained, or what stands in the way.
    Alone(String, Arc<dyn ExecutionPlan>),
}

struct Sharer {
    ranks: Arc<Ranks>,
    rank: usize,
    /// How many instances share the plan; one where its partitions are only made one.
    size: usize,
    /// How many exchanges there are so far.
    exchanges: u32,
    /// Whether rows that are spread are worked on, and not only read.
    gains: bool,
}

/// This instance's share of a plan, or all of it in one partition.
///
/// # Errors
///
/// Where the engine refuses what comes of it.
pub(super) fn share(
    plan: &Arc<dyn ExecutionPlan>,
    ranks: &Arc<Ranks>,
    is_one: bool,
) -> Result<Shared> {
    let mut sharer = Sharer {
        ranks: Arc::clone(ranks),
        rank: if is_one { 0 } else { ranks.rank },
        size: if is_one { 1 } else { ranks.size },
        exchanges: 0,
        gains: is_one,
    };
    let alone = |why: String| Ok(Shared::Alone(why, Arc::clone(plan)));
    match sharer.part(plan)? {
        Err(Unknown(what)) => alone(what),
        Ok(_) if !sharer.gains => alone("nothing is gained".to_owned()),
        Ok(part) => Ok(Shared::Plan(sharer.at_first(part).plan)),
    }
}

/// What stands in the way.
struct Unknown(String);

type Found<T> = Result<Result<T, Unknown>>;

/// Returns what stands in the way, if anything does.
macro_rules! known {
    ($found:expr) => {
        match $found {
            Ok(found) => found,
            Err(unknown) => return Ok(Err(unknown)),
        }
    };
}

impl Sharer {
    fn part(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Found<Part> {
        if plan.children().is_empty() {
            return leaf(plan, self.rank, self.size);
        }
        let mut parts = Vec::new();
        for child in plan.children() {
            parts.push(known!(self.part(child)?));
        }
        if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
            return self.repartition(repartition, parts);
        }
        if plan.is::<CoalescePartitionsExec>() || plan.is::<SortPreservingMergeExec>() {
            let [part] = only(parts)?;
            let part = self.at_first_apart(part);
            return with_children(plan, vec![part]);
        }
        if plan.is::<UnionExec>() || plan.is::<InterleaveExec>() {
            return union(parts, self.rank == 0).map(Ok);
        }
        if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            return self.hash_join(plan, join, parts);
        }
        if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
            return self.collecting(plan, *join.join_type(), parts);
        }
        if plan.is::<CrossJoinExec>() {
            return self.collecting(plan, JoinType::Inner, parts);
        }
        if plan.is::<SortMergeJoinExec>() {
            // It reads both sides by turns: a side whose rows come straight from an exchange would
            // keep those of other instances waiting.
            if !parts.iter().all(|part| is_apart(&part.plan)) {
                return unknown(plan, "reads two exchanges by turns");
            }
            return self.alike(plan, parts);
        }
        if plan.is::<ScalarSubqueryExec>() {
            let mut parts = parts.into_iter();
            let mut all = Vec::from_iter(parts.next());
            let place = all[0].place;
            for part in parts {
                all.push(known!(self.everywhere(part)));
            }
            let part = known!(with_children(plan, all)?);
            return Ok(Ok(Part { place, ..part }));
        }
        let works = plan.is::<AggregateExec>()
            || plan.is::<FilterExec>()
            || plan.is::<SortExec>()
            || plan.is::<PartialSortExec>()
            || plan.is::<PartitionedTopKExec>()
            || plan.is::<WindowAggExec>()
            || plan.is::<BoundedWindowAggExec>()
            || plan.is::<UnnestExec>();
        if works
            || plan.is::<ProjectionExec>()
            || plan.is::<CooperativeExec>()
            || plan.is::<LocalLimitExec>()
            || plan.is::<GlobalLimitExec>()
            || plan.name() == crate::answers::UNSORTED
        {
            self.gains |= works && parts.iter().any(|part| part.place == Place::Spread);
            return self.alike(plan, parts);
        }
        match self.size {
            1 => with_children(plan, parts),
            _ => unknown(plan, "is run by one instance"),
        }
    }

    fn id(&mut self) -> u32 {
        self.exchanges += 1;
        self.exchanges
    }

    /// Rows of a part after they went elsewhere.
    fn exchange(&mut self, part: Part, to: To, place: Place) -> Part {
        if self.size == 1 {
            return Part { place, ..part };
        }
        let from_all = part.place == Place::Spread;
        let (id, ranks) = (self.id(), Arc::clone(&self.ranks));
        let plan = Arc::new(Exchange::new(id, to, from_all, part.plan, ranks));
        Part { plan, place }
    }

    /// All rows at the first, each instance's as a partition.
    fn at_first_apart(&mut self, part: Part) -> Part {
        match part.place {
            Place::Spread => self.exchange(part, To::First, Place::First),
            Place::Everywhere | Place::First => part,
        }
    }

    /// All rows at the first, in one partition.
    fn at_first(&mut self, part: Part) -> Part {
        let part = self.at_first_apart(part);
        Part {
            plan: merged(part.plan),
            ..part
        }
    }

    /// All rows at every instance.
    fn everywhere(&mut self, part: Part) -> Result<Part, Unknown> {
        // What only was brought together is brought to all instead.
        let gathered = part.plan.downcast_ref::<CoalescePartitionsExec>();
        let gathered = gathered.filter(|gathered| gathered.fetch().is_none());
        let spread = gathered.and_then(|gathered| gathered.input().downcast_ref::<Exchange>());
        let part = match spread {
            Some(exchange) if part.place == Place::First => Part {
                plan: Arc::clone(exchange.input()),
                place: Place::Spread,
            },
            _ => part,
        };
        Ok(match part.place {
            Place::Everywhere => part,
            Place::First | Place::Spread => self.exchange(part, To::All, Place::Everywhere),
        })
    }

    fn repartition(&mut self, node: &RepartitionExec, parts: Vec<Part>) -> Found<Part> {
        let [part] = only(parts)?;
        if self.size == 1 {
            return Ok(Ok(part));
        }
        match node.partitioning() {
            Partitioning::Hash(keys, count) if *count == self.size && !node.preserve_order() => {
                let to = To::Hashed(keys.clone());
                Ok(Ok(self.exchange(part, to, Place::Spread)))
            }
            Partitioning::RoundRobinBatch(_) if part.place == Place::Spread => Ok(Ok(part)),
            other => Ok(Err(Unknown(format!("rows go {other}")))),
        }
    }

    fn hash_join(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        join: &HashJoinExec,
        parts: Vec<Part>,
    ) -> Found<Part> {
        let spread = parts.iter().any(|part| part.place == Place::Spread);
        self.gains |= spread;
        if *join.partition_mode() == PartitionMode::Partitioned {
            if join.null_aware && spread {
                return unknown(plan, "has to see every NULL");
            }
            return self.alike(plan, parts);
        }
        if !spread || self.size == 1 || !is_final(*join.join_type()) || join.null_aware {
            return self.collecting(plan, *join.join_type(), parts);
        }
        // What finds no partner on the right is known where all rows of one key are together.
        let [left, right] = only(parts)?;
        let left = match self.everywhere(left) {
            Ok(left) => left,
            Err(unknown) => return Ok(Err(unknown)),
        };
        let left = match left.plan.downcast_ref::<Exchange>() {
            Some(exchange) => Part {
                plan: Arc::clone(exchange.input()),
                place: match exchange.is_from_all() {
                    true => Place::Spread,
                    false => Place::First,
                },
            },
            None => left,
        };
        let (left_keys, right_keys) = join.on().iter().cloned().unzip();
        let left = self.exchange(left, To::Hashed(left_keys), Place::Spread);
        let right = self.exchange(right, To::Hashed(right_keys), Place::Spread);
        let plan = join
            .builder()
            .with_partition_mode(PartitionMode::Partitioned)
            .with_new_children(vec![left.plan, right.plan])?
            .recompute_properties()
            .build_exec()?;
        Ok(Ok(Part {
            plan,
            place: Place::Spread,
        }))
    }

    /// A join that collects its left side and goes through the right.
    fn collecting(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        kind: JoinType,
        parts: Vec<Part>,
    ) -> Found<Part> {
        let [mut left, mut right] = only(parts)?;
        self.gains |= right.place == Place::Spread;
        if right.place == Place::Spread && is_final(kind) && self.size > 1 {
            // Only one that sees all of the right knows what of the left has no partner.
            right = self.at_first(right);
        }
        if right.place == Place::Spread {
            left = known!(self.everywhere(left));
        } else if left.place == Place::Spread {
            left = self.at_first(left);
        }
        let place = match (left.place, right.place) {
            (_, Place::Spread) => Place::Spread,
            (Place::Everywhere, Place::Everywhere) => Place::Everywhere,
            _ => Place::First,
        };
        let part = known!(with_children(plan, vec![left, right])?);
        Ok(Ok(Part { place, ..part }))
    }

    /// A node whose every partition is made of the same partition of its inputs.
    fn alike(&mut self, plan: &Arc<dyn ExecutionPlan>, parts: Vec<Part>) -> Found<Part> {
        let spread = parts
            .iter()
            .filter(|part| part.place == Place::Spread)
            .count();
        if spread != 0 && spread != parts.len() && self.size > 1 {
            return unknown(plan, "has a part on each instance and one on the first");
        }
        with_children(plan, parts)
    }
}

/// The node with these parts beneath it, which have all the same place or are the first's.
fn with_children(plan: &Arc<dyn ExecutionPlan>, parts: Vec<Part>) -> Found<Part> {
    let place = |wanted| parts.iter().any(|part| part.place == wanted);
    let mut place = if place(Place::Spread) {
        Place::Spread
    } else if place(Place::First) {
        Place::First
    } else {
        Place::Everywhere
    };
    // Each instance would draw other numbers, or choose among rows that are equally good.
    if place == Place::Everywhere && (is_choosing(plan) || has_volatile(plan)?) {
        place = Place::First;
    }
    let children = parts.into_iter().map(|part| part.plan).collect();
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    let plan = Arc::clone(plan).replace_children(children, options)?;
    Ok(Ok(Part { plan, place }))
}

fn is_choosing(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.fetch().is_some()
        // `first_value` and `array_agg` are as their rows come.
        || plan.is::<AggregateExec>()
        || plan.is::<WindowAggExec>()
        || plan.is::<BoundedWindowAggExec>()
        || plan.is::<PartitionedTopKExec>()
}

fn has_volatile(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(&mut |expr: &Arc<dyn PhysicalExpr>| {
        found |= is_volatile(expr);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Whether a join of this kind says at its end what of its left side had no partner.
fn is_final(kind: JoinType) -> bool {
    matches!(
        kind,
        JoinType::Left
            | JoinType::LeftAnti
            | JoinType::LeftSemi
            | JoinType::LeftMark
            | JoinType::Full
    )
}

/// Whether rows of an exchange are all taken before any comes out of this. A merge join may end before
/// it has taken any of one side.
fn is_apart(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let is_by_turns = plan.is::<Exchange>() || plan.is::<SortMergeJoinExec>();
    plan.is::<SortExec>() || !is_by_turns && plan.children().into_iter().all(is_apart)
}

fn union(parts: Vec<Part>, is_first: bool) -> Result<Part> {
    let spread = parts.iter().any(|part| part.place == Place::Spread);
    let first = parts.iter().any(|part| part.place == Place::First);
    let place = match (spread, first) {
        (true, _) => Place::Spread,
        (false, true) => Place::First,
        (false, false) => Place::Everywhere,
    };
    let children = parts.into_iter().map(|part| match part.place {
        // Not once for every instance.
        Place::Everywhere | Place::First if spread => {
            Arc::new(First::new(part.plan, is_first)) as Arc<dyn ExecutionPlan>
        }
        _ => part.plan,
    });
    let plan = UnionExec::try_new(children.collect())?;
    Ok(Part {
        plan: merged(plan),
        place,
    })
}

/// The rows in one partition, in their order where they have one.
fn merged(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    if plan.output_partitioning().partition_count() == 1 {
        return plan;
    }
    match plan.output_ordering().cloned() {
        Some(order) => Arc::new(SortPreservingMergeExec::new(order, plan)),
        None => Arc::new(CoalescePartitionsExec::new(plan)),
    }
}

/// What instance `rank` reads of a table.
fn leaf(plan: &Arc<dyn ExecutionPlan>, rank: usize, size: usize) -> Found<Part> {
    let count = plan.output_partitioning().partition_count();
    let Some(scan) = plan.downcast_ref::<DataSourceExec>() else {
        return match plan.is::<EmptyExec>() || plan.is::<PlaceholderRowExec>() {
            true if count == 1 => with_children(plan, Vec::new()),
            _ if size == 1 => Ok(Ok(Part {
                plan: merged(Arc::clone(plan)),
                place: Place::Everywhere,
            })),
            _ => unknown(plan, "is read by one instance"),
        };
    };
    if scan.data_source().is::<MemorySourceConfig>() {
        // Each instance has made a table itself, perhaps with other rows or in another order.
        return Ok(Ok(Part {
            plan: merged(Arc::clone(plan)),
            place: Place::First,
        }));
    }
    if count == 1 {
        return with_children(plan, Vec::new());
    }
    let Some(files) = scan.data_source().downcast_ref::<FileScanConfig>() else {
        return unknown(plan, "is read by one instance");
    };
    let groups = files.file_groups.iter().enumerate();
    let groups = groups.filter(|(index, _)| index % size == rank);
    let mut own: Vec<FileGroup> = groups.map(|(_, group)| group.clone()).collect();
    // Files one after the other do not have the order that each has.
    if own.is_empty() || plan.output_ordering().is_none() {
        let files = own.into_iter().flat_map(FileGroup::into_inner);
        own = vec![FileGroup::new(files.collect())];
    }
    let files = FileScanConfigBuilder::from(files.clone())
        .with_file_groups(own)
        .build();
    Ok(Ok(Part {
        plan: merged(DataSourceExec::from_data_source(files)),
        place: Place::Spread,
    }))
}

fn only<const N: usize>(parts: Vec<Part>) -> Result<[Part; N]> {
    parts.try_into().map_err(|parts: Vec<_>| {
        DataFusionError::Internal(format!("{} inputs of {N}", parts.len()))
    })
}

fn unknown<T>(plan: &Arc<dyn ExecutionPlan>, what: &str) -> Found<T> {
    Ok(Err(Unknown(format!("{} {what}", plan.name()))))
}
