//! What the ranking objectives read, and write into models.

use serde_json::{Value, json};

use crate::{
    loss::params::{DEFAULT_TOP, exp_gain},
    objective::text,
    params::{ParamError, ParamSet},
};

/// What XGBoost writes where `lambdarank_num_pair_per_sample` was not given.
const NOT_GIVEN: u32 = u32::MAX;
/// The most positions whose bias is estimated.
const MOST_POSITIONS: u32 = 1_000_000;

/// Which rows are compared (`lambdarank_pair_method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pairs {
    /// `topk`: those ranked first with all ranked below them.
    Top,
    /// `mean`: each row with random rows of other labels.
    Mean,
}

/// The parameters, by XGBoost's names without their prefix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Param {
    pub(super) pairs: Pairs,
    num_pair_per_sample: u32,
    pub(super) unbiased: bool,
    pub(super) normalization: bool,
    pub(super) score_normalization: bool,
    bias_norm: f64,
    pub(super) exp_gain: bool,
}

impl Param {
    pub(super) fn read(params: &ParamSet) -> Result<Self, ParamError> {
        let pairs = [("topk", Pairs::Top), ("mean", Pairs::Mean)];
        let param = Self {
            pairs: params.choice("lambdarank_pair_method", &pairs)?,
            num_pair_per_sample: params.read("lambdarank_num_pair_per_sample", NOT_GIVEN, 1..)?,
            unbiased: params.switch("lambdarank_unbiased", false)?,
            normalization: params.switch("lambdarank_normalization", true)?,
            score_normalization: params.switch("lambdarank_score_normalization", true)?,
            bias_norm: params.read("lambdarank_bias_norm", 1.0, 0.0..)?,
            exp_gain: exp_gain(params)?,
        };
        if param.unbiased && param.pairs == Pairs::Top && param.pair_count() > MOST_POSITIONS {
            let reason = format!(
                "expected at most {MOST_POSITIONS} with lambdarank_unbiased; found {}",
                param.pair_count()
            );
            return Err(ParamError::new("lambdarank_num_pair_per_sample", reason));
        }
        Ok(param)
    }

    /// Rows compared at the top, or times each row is compared.
    pub(super) fn pair_count(&self) -> u32 {
        match (self.num_pair_per_sample, self.pairs) {
            (NOT_GIVEN, Pairs::Top) => DEFAULT_TOP,
            (NOT_GIVEN, Pairs::Mean) => 1,
            (count, _) => count,
        }
    }

    /// How far down a ranking it matters; `None` for all of it.
    pub(super) fn top(&self) -> Option<u32> {
        (self.pairs == Pairs::Top).then(|| self.pair_count())
    }

    /// Positions whose bias is estimated, the largest group having `largest` rows.
    pub(super) fn positions(&self, largest: usize) -> usize {
        match self.top() {
            Some(top) => top as usize,
            None => largest.min(DEFAULT_TOP as usize),
        }
    }

    /// The power that ratios of biases are raised to.
    pub(super) fn bias_power(&self) -> f64 {
        1.0 / (1.0 + self.bias_norm)
    }

    pub(super) fn to_json(self) -> [(&'static str, Value); 7] {
        let word = match self.pairs {
            Pairs::Top => "topk",
            Pairs::Mean => "mean",
        };
        [
            ("lambdarank_pair_method", json!(word)),
            (
                "lambdarank_num_pair_per_sample",
                json!(self.num_pair_per_sample.to_string()),
            ),
            ("lambdarank_unbiased", text::switch(self.unbiased)),
            ("lambdarank_normalization", text::switch(self.normalization)),
            (
                "lambdarank_score_normalization",
                text::switch(self.score_normalization),
            ),
            ("lambdarank_bias_norm", text::double(self.bias_norm)),
            ("ndcg_exp_gain", text::switch(self.exp_gain)),
        ]
    }
}
