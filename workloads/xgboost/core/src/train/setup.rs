//! From tables to growers: what has to hold before the first round.

use crate::{
    bins::{BinnedMatrix, Spilling, sketch::sketch},
    collective::{Collective, Reduce},
    data::{Feature, FeatureKind, Schema},
    grow::{Grower, HistGrower, RowSampler, exact::ExactGrower},
    model::Model,
    train::{TrainError, TrainOptions, TreeMethod, table::DynSource},
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
        check_training(source, all)?;
        match options.method {
            TreeMethod::Hist => {
                let cuts = sketch(&mut source, options.tree.max_bin, all)?;
                check_present(source, all)?;
                let matrix = match &options.spilling {
                    None => BinnedMatrix::build(&mut source, cuts)?,
                    Some(spilling) => {
                        let spilling = Spilling {
                            memory: spilling.memory,
                            block: spilling.block,
                            open: spilling.open.as_ref(),
                        };
                        BinnedMatrix::build_within(&mut source, cuts, &spilling)?
                    }
                };
                Ok(Self::Binned(Box::new(matrix)))
            }
            TreeMethod::Exact => Ok(Self::Sorted(Box::new(ExactGrower::new(
                &options.tree,
                source,
                options.seed as u64,
                all,
            )?))),
        }
    }

    /// What grows trees from them, and the bins where there are bins.
    pub(super) fn grower(
        &mut self,
        options: &TrainOptions,
    ) -> Result<(Box<dyn Grower + '_>, Option<&BinnedMatrix>), TrainError> {
        Ok(match self {
            Self::Binned(matrix) => {
                // One seed for all instances: they must draw the same features.
                let seed = options.seed as u64;
                let memory = options.histogram_bytes;
                let grower = HistGrower::new(options.tree.clone(), matrix, seed, memory)?;
                (Box::new(grower), Some(matrix))
            }
            Self::Sorted(grower) => (Box::new(grower.as_mut()), None),
        })
    }
}

/// What draws the rows of each tree; another seed for each instance, whose rows are others.
pub(super) fn row_sampler(options: &TrainOptions, all: &dyn Collective) -> Option<RowSampler> {
    let seed = (options.seed as u64) ^ ((all.rank() as u64) << 32);
    (options.tree.subsample < 1.0).then(|| RowSampler::new(&options.tree, seed))
}

/// Refuses a training table without features or rows.
fn check_training(source: &DynSource<'_>, all: &mut dyn Collective) -> Result<(), TrainError> {
    let refuse = |reason: &str| Err(TrainError::table(TRAINING, reason.to_owned()));
    if source.schema().features.is_empty() {
        return refuse("it has no column of features");
    }
    let mut rows = [source.info().rows as f64];
    all.allreduce(&mut rows, Reduce::Sum)?;
    if rows[0] == 0.0 {
        refuse("it has no rows")
    } else {
        Ok(())
    }
}

/// Refuses a feature without a value in any instance's rows; these were read to the end.
fn check_present(source: &DynSource<'_>, all: &mut dyn Collective) -> Result<(), TrainError> {
    let Some(present) = source.present() else {
        return Ok(());
    };
    let mut present: Vec<f64> = present
        .iter()
        .map(|one| f64::from(u8::from(*one)))
        .collect();
    all.allreduce(&mut present, Reduce::Max)?;
    let Some(feature) = present.iter().position(|present| *present == 0.0) else {
        return Ok(());
    };
    Err(TrainError::Missing(
        source.schema().features[feature].name.clone(),
    ))
}

/// Refuses the features of a table that are not those of training.
pub(super) fn check_schema(
    table: &str,
    found: &Schema,
    expected: &Schema,
) -> Result<(), TrainError> {
    let refuse = |reason| Err(TrainError::table(table, reason));
    let (many, wanted) = (found.features.len(), expected.features.len());
    if many != wanted {
        return refuse(format!(
            "expected {wanted} features as in training; found {many}"
        ));
    }
    let categorical = |feature: &Feature| feature.kind == FeatureKind::Categorical;
    for (at, (found, expected)) in found.features.iter().zip(&expected.features).enumerate() {
        let (name, wanted) = (&found.name, &expected.name);
        if name != wanted {
            return refuse(format!(
                "expected feature {at} to be {wanted:?}; found {name:?}"
            ));
        }
        if categorical(found) != categorical(expected) {
            return refuse(format!(
                "feature {name:?} is categorical here or in training only"
            ));
        }
        if found.categories != expected.categories {
            return refuse(format!(
                "the codes of feature {name:?} stand for other categories"
            ));
        }
    }
    Ok(())
}

/// Refuses a model of other features, or other categories, than a table's.
pub(super) fn check_model(model: &Model, found: &Schema) -> Result<(), TrainError> {
    model.check_schema(found)?;
    for (at, (ours, theirs)) in model.features.iter().zip(&found.features).enumerate() {
        if ours.categories.is_some()
            && theirs.categories.is_some()
            && ours.categories != theirs.categories
        {
            let name = model.feature_name(at);
            let reason = format!(
                "the codes of feature {name:?} stand for other categories than the model's"
            );
            return Err(TrainError::table(TRAINING, reason));
        }
    }
    Ok(())
}
