//! Boosting, round by round.

use crate::{
    bins::BinnedMatrix,
    collective::Collective,
    gradient::GradientPair,
    grow::{Grower, RowSampler},
    metric::Metric,
    model::Model,
    objective::Objective,
    predict::Forest,
    random::Mt19937,
    train::{
        Score, TrainError, TrainOptions,
        setup::{self, Rows},
        table::{DynSource, Table, start_margins},
    },
    tree::Tree,
};

/// A model that grows, and what it takes to grow it.
pub(super) struct Trainer<'a> {
    options: &'a TrainOptions,
    metrics: Vec<Box<dyn Metric>>,
    model: Model,
    /// Margins to start from, one an output.
    start: Vec<f32>,
    training: Table<'a>,
    evals: Vec<Table<'a>>,
    grower: Box<dyn Grower + 'a>,
    matrix: Option<&'a BinnedMatrix>,
    sampler: Option<RowSampler>,
    random: Mt19937,
    round: u32,
}

impl<'a> Trainer<'a> {
    /// Reads the tables, which are checked, and gets ready for the first round; `rows` are those
    /// of `training`.
    pub(super) fn new(
        options: &'a TrainOptions,
        rows: &'a mut Rows,
        training: Box<DynSource<'a>>,
        evals: Vec<(String, Box<DynSource<'a>>)>,
        init: Option<Model>,
        all: &mut dyn Collective,
    ) -> Result<Self, TrainError> {
        let objective = options.objective()?;
        let metrics = options.metrics(objective.as_ref())?;
        let model = match init {
            Some(model) => continued(model, objective, training.as_ref())?,
            None => fresh(options, objective, training.as_ref(), all)?,
        };
        let start = model.base_margins();
        for (name, source) in &evals {
            setup::check_schema(name, source.schema(), training.schema())?;
        }
        let (grower, matrix) = rows.grower(options)?;
        let mut trainer = Self {
            training: Table::new(setup::TRAINING.to_owned(), training, &start),
            evals: evals
                .into_iter()
                .map(|(name, source)| Table::new(name, source, &start))
                .collect(),
            sampler: setup::row_sampler(options, all),
            // The seed's low half, as the C++ generator takes it.
            random: Mt19937::new(options.seed as u32),
            options,
            metrics,
            model,
            start,
            grower,
            matrix,
            round: 0,
        };
        trainer.load()?;
        Ok(trainer)
    }

    /// Keeps what is evaluated every round, and adds the initial model's trees to all margins.
    fn load(&mut self) -> Result<(), TrainError> {
        let forest = forest(&self.model, 0, None);
        let evaluated = !self.metrics.is_empty();
        for table in &mut self.evals {
            if evaluated {
                table.keep(self.options.keep_bytes)?;
            }
            table.add(&forest)?;
        }
        let reweighed = self.options.dropout.is_on() || self.model.weight_drop.is_some();
        if reweighed && self.matrix.is_none() {
            self.training.keep(self.options.keep_bytes)?;
        }
        self.training.add(&forest)
    }

    /// The model so far.
    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// Whether more of the deciding metric is better; `None` where nothing is evaluated.
    pub(super) fn maximize(&self) -> Option<bool> {
        let tables = self.evals.len() + usize::from(self.options.evaluate_training);
        self.metrics
            .last()
            .filter(|_| tables > 0)
            .map(|metric| metric.maximize())
    }

    /// The finished model.
    pub(super) fn into_model(self) -> Model {
        self.model
    }

    /// Boosts once.
    pub(super) fn boost(&mut self, all: &mut dyn Collective) -> Result<(), TrainError> {
        let dropped = self.drop_trees()?;
        let outputs = self.start.len();
        let rows = self.training.info().rows;
        let mut gradients = vec![GradientPair::default(); rows * outputs];
        self.model.objective.gradient(
            &self.training.margins,
            self.training.source.info(),
            self.round,
            all,
            &mut gradients,
        )?;
        let learning_rate = self.options.tree.eta / self.model.num_parallel_tree as f32;
        let before = self.model.trees.len();
        let mut column = Vec::new();
        for output in 0..outputs {
            for _ in 0..self.model.num_parallel_tree {
                let gradients = if outputs == 1 && self.sampler.is_none() {
                    &gradients
                } else {
                    column.clear();
                    column.extend(gradients.iter().skip(output).step_by(outputs));
                    if let Some(sampler) = &mut self.sampler {
                        sampler.sample(&mut column);
                    }
                    &column
                };
                let grown = self.grower.grow(gradients, learning_rate, all)?;
                let values = leaf_values(&grown.tree);
                let margins = self
                    .training
                    .margins
                    .iter_mut()
                    .skip(output)
                    .step_by(outputs);
                for (margin, leaf) in margins.zip(&grown.leaf_of_row) {
                    *margin += values[*leaf as usize];
                }
                self.model.trees.push(grown.tree);
                // `outputs` is a number of classes or quantiles, which fit.
                self.model.tree_info.push(output as u32);
            }
        }
        self.commit(before, &dropped)
    }

    /// Draws the trees left out of this round and takes them out of the training margins, and says
    /// which they are.
    fn drop_trees(&mut self) -> Result<Vec<usize>, TrainError> {
        let dropout = &self.options.dropout;
        if dropout.is_on() && self.model.weight_drop.is_none() {
            self.model.weight_drop = Some(vec![1.0; self.model.trees.len()]);
        }
        let Some(weights) = &self.model.weight_drop else {
            return Ok(Vec::new());
        };
        let dropped = dropout.draw(weights, &mut self.random);
        let mut left = weights.clone();
        for tree in &dropped {
            left[*tree] = 0.0;
        }
        self.predict_training(&left)?;
        Ok(dropped)
    }

    /// Makes the training margins anew with these weights of trees. Rows are sent down the trees by
    /// their bins, or by their values where a tree's conditions are no cut points.
    fn predict_training(&mut self, weights: &[f32]) -> Result<(), TrainError> {
        let mut margins = start_margins(self.training.info(), &self.start);
        let outputs = self.start.len();
        let trees = self.model.trees.iter().zip(&self.model.tree_info);
        for ((tree, output), weight) in trees.zip(weights) {
            let leaves = match self.matrix {
                Some(matrix) => matrix.leaves(tree)?,
                None => None,
            };
            let Some(leaves) = leaves else {
                let forest = forest(&self.model, 0, Some(weights));
                return self.training.predict(&self.start, &forest);
            };
            let values: Vec<f32> = leaf_values(tree)
                .iter()
                .map(|value| value * weight)
                .collect();
            let margins = margins.iter_mut().skip(*output as usize).step_by(outputs);
            for (margin, leaf) in margins.zip(leaves) {
                *margin += values[leaf as usize];
            }
        }
        self.training.margins = margins;
        Ok(())
    }

    /// Closes the round whose trees start at `before`.
    fn commit(&mut self, before: usize, dropped: &[usize]) -> Result<(), TrainError> {
        let trees = self.model.trees.len();
        let end = u32::try_from(trees).map_err(|_| TrainError::TooManyTrees)?;
        self.model.iteration_indptr.push(end);
        self.round += 1;
        let reweighed = if let Some(weights) = &mut self.model.weight_drop {
            let eta = self.options.tree.eta;
            self.options
                .dropout
                .normalize(weights, dropped, trees - before, eta);
            true
        } else {
            false
        };
        if self.metrics.is_empty() {
            return Ok(());
        }
        if !reweighed {
            let forest = forest(&self.model, before, None);
            return self
                .evals
                .iter_mut()
                .try_for_each(|table| table.add(&forest));
        }
        let forest = forest(&self.model, 0, None);
        for table in &mut self.evals {
            table.predict(&self.start, &forest)?;
        }
        match self.model.weight_drop.clone() {
            Some(weights) if self.options.evaluate_training => self.predict_training(&weights),
            _ => Ok(()),
        }
    }

    /// The scores of the model so far: the training rows', if asked for, then each table's.
    pub(super) fn evaluate(&self, all: &mut dyn Collective) -> Result<Vec<Score>, TrainError> {
        let training = self.options.evaluate_training.then_some(&self.training);
        let mut scores = Vec::new();
        for table in training.into_iter().chain(&self.evals) {
            scores.extend(evaluate(
                table,
                self.model.objective.as_ref(),
                &self.metrics,
                all,
            )?);
        }
        Ok(scores)
    }
}

/// What `metrics` make of the margins of `table`.
pub(super) fn evaluate(
    table: &Table<'_>,
    objective: &dyn Objective,
    metrics: &[Box<dyn Metric>],
    all: &mut dyn Collective,
) -> Result<Vec<Score>, TrainError> {
    if metrics.is_empty() {
        return Ok(Vec::new());
    }
    let predictions = objective.eval_transform(table.margins.clone());
    let a_row = predictions.len().checked_div(table.info().rows);
    let outputs = a_row.unwrap_or_else(|| objective.outputs());
    let mut scores = Vec::with_capacity(metrics.len());
    for metric in metrics {
        let value = metric.evaluate(&predictions, outputs, table.info(), all);
        scores.push(Score {
            table: table.name.clone(),
            metric: metric.name().to_owned(),
            value: value.map_err(|error| {
                TrainError::of_metric(&table.name, table.source.as_ref(), error)
            })?,
        });
    }
    Ok(scores)
}

/// The trees of `model` from number `from` on, with the model's weights or others.
pub(super) fn forest(model: &Model, from: usize, weights: Option<&[f32]>) -> Forest {
    let trees = model
        .trees
        .iter()
        .zip(&model.tree_info)
        .enumerate()
        .skip(from);
    let trees = trees.map(|(number, (tree, output))| {
        let weight = weights.map_or_else(|| model.weight(number), |weights| weights[number]);
        (tree, *output, weight)
    });
    Forest::new(model.features.len(), model.outputs(), trees)
}

/// A model without trees.
fn fresh(
    options: &TrainOptions,
    objective: Box<dyn Objective>,
    training: &DynSource<'_>,
    all: &mut dyn Collective,
) -> Result<Model, TrainError> {
    let (base_score, boost_from_average) = match &options.base_score {
        Some(given) => (given.clone(), false),
        None => (objective.base_score(training.info(), all)?, true),
    };
    if let Some(bad) = base_score.iter().find(|score| !score.is_finite()) {
        let reason = format!("the labels' base_score is {bad}; their values are too large");
        return Err(TrainError::table(setup::TRAINING, reason));
    }
    Ok(Model {
        num_class: objective.num_class(),
        objective,
        base_score,
        boost_from_average,
        features: training.schema().features.clone(),
        num_parallel_tree: options.parallel_trees,
        trees: Vec::new(),
        tree_info: Vec::new(),
        iteration_indptr: vec![0],
        weight_drop: None,
        attributes: Default::default(),
    })
}

/// The initial model, which must be of these features.
fn continued(
    mut model: Model,
    objective: Box<dyn Objective>,
    training: &DynSource<'_>,
) -> Result<Model, TrainError> {
    setup::check_model(&model, training.schema())?;
    model.objective = objective;
    if model.iteration_indptr.is_empty() {
        model.iteration_indptr.push(0);
    }
    model.num_parallel_tree = model.num_parallel_tree.max(1);
    for attribute in ["best_iteration", "best_score"] {
        model.attributes.remove(attribute);
    }
    Ok(model)
}

/// The value of each leaf by its number, 0 for other nodes.
fn leaf_values(tree: &Tree) -> Vec<f32> {
    (0..tree.nodes.len())
        .map(|node| tree.leaf_value(node).unwrap_or(0.0))
        .collect()
}
