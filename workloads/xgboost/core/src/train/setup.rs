//! From tables to growers: what has to hold before the first round.

use crate::{
    bins::{BinnedMatrix, sketch::sketch},
    collective::{Collective, Reduce},
    data::Schema,
    grow::{Grower, HistGrower, RowSampler, exact::ExactGrower},
    model::Model,
    train::{
        TrainError, TrainOptions, TreeMethod,
        table::{DynSource, check_info},
    },
};

/// The name of the training table in errors.
pub(super) const TRAINING: &str = "train";

/// The training rows in the form trees are grown from.
pub(super) enum Rows {
    /// As bins.
    Binned(Box<BinnedMatrix>),
    /// As sorted columns.
    Sorted(Box<ExactGrower>),
}

impl Rows {
    /// Checks and reads the training rows.
    pub(super) fn new(
        options: &TrainOptions,
        mut source: &mut DynSource<'_>,
        all: &mut dyn Collective,
    ) -> Result<Self, TrainError> {
        check_training(source, options.objective()?.outputs(), all)?;
        match options.method {
            TreeMethod::Hist => {
                let cuts = sketch(&mut source, options.tree.max_bin, all)?;
                Ok(Self::Binned(Box::new(BinnedMatrix::build(
                    &mut source,
                    cuts,
                )?)))
            }
            TreeMethod::Exact => Ok(Self::Sorted(Box::new(ExactGrower::new(
                &options.tree,
                source,
                options.seed as u64,
                all,
            )?))),
        }
    }

    /// What grows trees from them.
    pub(super) fn grower(&mut self, options: &TrainOptions) -> Box<dyn Grower + '_> {
        match self {
            // One seed for all instances: they must draw the same features.
            Self::Binned(matrix) => Box::new(HistGrower::new(
                options.tree.clone(),
                matrix,
                options.seed as u64,
            )),
            Self::Sorted(grower) => Box::new(grower.as_mut()),
        }
    }
}

/// What draws the rows of each tree; another seed for each instance, whose rows are others.
pub(super) fn row_sampler(options: &TrainOptions, all: &dyn Collective) -> Option<RowSampler> {
    let seed = (options.seed as u64) ^ ((all.rank() as u64) << 32);
    (options.tree.subsample < 1.0).then(|| RowSampler::new(&options.tree, seed))
}

/// Refuses a training table without features or rows, or with less known of its rows than needed.
fn check_training(
    source: &DynSource<'_>,
    outputs: usize,
    all: &mut dyn Collective,
) -> Result<(), TrainError> {
    let refuse = |reason: &str| Err(TrainError::table(TRAINING, reason.to_owned()));
    if source.schema().features.is_empty() {
        return refuse("it has no column of features");
    }
    check_info(TRAINING, source.info(), outputs)?;
    let mut rows = [source.info().rows as f64];
    all.allreduce(&mut rows, Reduce::Sum)?;
    if rows[0] == 0.0 {
        refuse("it has no rows")
    } else {
        Ok(())
    }
}

/// Refuses the features of a table that are not those of training.
pub(super) fn check_schema(
    table: &str,
    found: &Schema,
    expected: &Schema,
) -> Result<(), TrainError> {
    if found.features.len() != expected.features.len() {
        return Err(TrainError::table(
            table,
            format!(
                "expected {} features as in training; found {}",
                expected.features.len(),
                found.features.len()
            ),
        ));
    }
    for (at, (found, expected)) in found.features.iter().zip(&expected.features).enumerate() {
        let reason = if found.name != expected.name {
            format!(
                "expected feature {at} to be {:?}; found {:?}",
                expected.name, found.name
            )
        } else if found.kind != expected.kind {
            format!(
                "expected feature {:?} to be {:?} as in training; found {:?}",
                found.name, expected.kind, found.kind
            )
        } else if found.categories != expected.categories {
            format!(
                "the codes of feature {:?} stand for other categories",
                found.name
            )
        } else {
            continue;
        };
        return Err(TrainError::table(table, reason));
    }
    Ok(())
}

/// Refuses a model of other features than a table's.
pub(super) fn check_model_features(model: &Model, found: &Schema) -> Result<(), TrainError> {
    if model.features.is_empty() {
        let features = found.features.len() as u64;
        let asked = model.trees.iter().flat_map(|tree| &tree.nodes).any(|node| {
            matches!(node.kind, crate::tree::NodeKind::Split { feature, .. }
                if u64::from(feature) >= features)
        });
        return if asked {
            Err(TrainError::Model(format!(
                "it asks for more than {features} features"
            )))
        } else {
            Ok(())
        };
    }
    let expected = Schema {
        features: model.features.clone(),
    };
    check_schema("of the model's features", found, &expected)
}
