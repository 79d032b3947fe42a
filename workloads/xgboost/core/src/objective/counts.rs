//! Losses of counts and amounts with a logarithmic link: `count:poisson`, `reg:tweedie`.

use serde_json::Value;

use crate::{
    collective::Collective,
    data::Info,
    gradient::GradientPair,
    loss::math::exponentials,
    metric::{self, Metric},
    objective::{Objective, ObjectiveError, estimate, regression::refuse_unless, rows::Rows, text},
    params::{ParamError, ParamSet},
};

/// Which loss.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counts {
    /// `count:poisson`
    Poisson {
        /// `max_delta_step`, which trees have too.
        max_delta_step: f32,
    },
    /// `reg:tweedie`
    Tweedie {
        /// `tweedie_variance_power`, from 1 to below 2.
        power: f32,
    },
}

/// `max_delta_step` of `count:poisson` where the person gives none.
const POISSON_MAX_DELTA_STEP: f32 = 0.7;

impl Counts {
    pub(super) fn poisson(params: &ParamSet) -> Result<Self, ParamError> {
        let max_delta_step = params.read("max_delta_step", POISSON_MAX_DELTA_STEP, 0.0..)?;
        Ok(Self::Poisson { max_delta_step })
    }

    pub(super) fn tweedie(params: &ParamSet) -> Result<Self, ParamError> {
        Ok(Self::Tweedie {
            power: params.read("tweedie_variance_power", 1.5, 1.0..2.0)?,
        })
    }

    fn pair(self, margin: f32, label: f32, weight: f32) -> GradientPair {
        let (grad, hess) = match self {
            Self::Poisson { max_delta_step } => {
                (margin.exp() - label, (margin + max_delta_step).exp())
            }
            Self::Tweedie { power } => {
                let (low, high) = (1.0 - power, 2.0 - power);
                let (below, above) = ((low * margin).exp(), (high * margin).exp());
                (-label * below + above, -label * low * below + high * above)
            }
        };
        GradientPair::new(grad * weight, hess * weight)
    }
}

impl Objective for Counts {
    fn name(&self) -> &'static str {
        match self {
            Self::Poisson { .. } => "count:poisson",
            Self::Tweedie { .. } => "reg:tweedie",
        }
    }

    fn check(&self, info: &Info) -> Result<(), ObjectiveError> {
        Rows::new(self.name(), info)
            .labels("a number at least 0", |label| label >= 0.0)?
            .weights()
            .map(drop)
    }

    fn base_score(
        &self,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<Vec<f32>, ObjectiveError> {
        Ok(vec![estimate::mean(self.name(), info, all)?])
    }

    fn check_base_score(&self, score: f32) -> Result<(), ParamError> {
        refuse_unless(score > 0.0 && score.is_finite(), "a number above 0", score)
    }

    fn gradient(
        &mut self,
        margins: &[f32],
        info: &Info,
        _: u32,
        _: &mut dyn Collective,
        out: &mut [GradientPair],
    ) -> Result<(), ObjectiveError> {
        let rows = margins.iter().zip(&info.labels).zip(out).enumerate();
        for (row, ((margin, label), pair)) in rows {
            *pair = self.pair(*margin, *label, info.weight(row));
        }
        Ok(())
    }

    fn score_to_margin(&self, score: f32) -> f32 {
        score.ln()
    }

    fn transform(&self, margins: Vec<f32>) -> Vec<f32> {
        exponentials(margins)
    }

    fn default_metric(&self) -> Box<dyn Metric> {
        match self {
            Self::Poisson { .. } => metric::elementwise(metric::Elementwise::PoissonNegLogLik),
            Self::Tweedie { power } => {
                metric::elementwise(metric::Elementwise::TweedieNegLogLik { power: *power })
            }
        }
    }

    fn default_max_delta_step(&self) -> f32 {
        match self {
            Self::Poisson { .. } => POISSON_MAX_DELTA_STEP,
            Self::Tweedie { .. } => 0.0,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Poisson { max_delta_step } => {
                let parameters = [("max_delta_step", text::single(*max_delta_step))];
                text::objective(self.name(), "poisson_regression_param", parameters)
            }
            Self::Tweedie { power } => {
                let parameters = [("tweedie_variance_power", text::single(*power))];
                text::objective(self.name(), "tweedie_regression_param", parameters)
            }
        }
    }
}
