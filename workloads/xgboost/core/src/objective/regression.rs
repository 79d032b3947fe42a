//! Squared error, logistic loss and gamma deviance: `reg:squarederror`, `reg:logistic`,
//! `binary:logistic`, `binary:logitraw`, `reg:gamma`.

use serde_json::Value;

use crate::{
    collective::Collective,
    data::Info,
    gradient::GradientPair,
    loss::math::{SMALL, exponentials, logit, sigmoid},
    metric::{self, Metric},
    objective::{Objective, ObjectiveError, estimate, rows::Rows, text},
    params::{ParamError, ParamSet},
};

/// Which loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// `reg:squarederror`
    Squared,
    /// `reg:logistic`
    Logistic,
    /// `binary:logistic`
    Binary,
    /// `binary:logitraw`
    Raw,
    /// `reg:gamma`
    Gamma,
}

/// A loss whose rows with a label of 1 count `scale_pos_weight` times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Regression {
    loss: Loss,
    scale_pos_weight: f32,
}

impl Regression {
    pub(super) fn new(loss: Loss, params: &ParamSet) -> Result<Self, ParamError> {
        Ok(Self {
            loss,
            scale_pos_weight: params.read("scale_pos_weight", 1.0, 0.0..)?,
        })
    }

    /// What the derivatives are made of.
    fn link(&self, margin: f32) -> f32 {
        match self.loss {
            Loss::Squared => margin,
            Loss::Logistic | Loss::Binary | Loss::Raw => sigmoid(margin),
            Loss::Gamma => margin.exp(),
        }
    }

    fn pair(&self, margin: f32, label: f32, weight: f32) -> GradientPair {
        let prediction = self.link(margin);
        let weight = if label == 1.0 {
            weight * self.scale_pos_weight
        } else {
            weight
        };
        let (grad, hess) = match self.loss {
            Loss::Squared => (prediction - label, 1.0),
            Loss::Logistic | Loss::Binary | Loss::Raw => (
                prediction - label,
                (prediction * (1.0 - prediction)).max(1e-16),
            ),
            Loss::Gamma => (1.0 - label / prediction, label / prediction),
        };
        GradientPair::new(grad * weight, hess * weight)
    }

    fn fill(&self, margins: &[f32], info: &Info, out: &mut [GradientPair]) {
        let rows = margins.iter().zip(&info.labels).zip(out).enumerate();
        for (row, ((margin, label), pair)) in rows {
            *pair = self.pair(*margin, *label, info.weight(row));
        }
    }
}

impl Objective for Regression {
    fn name(&self) -> &'static str {
        match self.loss {
            Loss::Squared => "reg:squarederror",
            Loss::Logistic => "reg:logistic",
            Loss::Binary => "binary:logistic",
            Loss::Raw => "binary:logitraw",
            Loss::Gamma => "reg:gamma",
        }
    }

    fn check(&self, info: &Info) -> Result<(), ObjectiveError> {
        let rows = Rows::new(self.name(), info);
        match self.loss {
            Loss::Squared => rows.labels("a finite number", |_| true),
            Loss::Logistic | Loss::Binary | Loss::Raw => {
                rows.labels("a number from 0 to 1", |label| (0.0..=1.0).contains(&label))
            }
            Loss::Gamma => rows.labels("a number above 0", |label| label > 0.0),
        }?
        .weights()
        .map(drop)
    }

    fn base_score(
        &self,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<Vec<f32>, ObjectiveError> {
        if (self.scale_pos_weight - 1.0).abs() <= SMALL {
            return Ok(vec![estimate::mean(self.name(), info, all)?]);
        }
        let mut gradients = vec![GradientPair::default(); info.rows];
        self.fill(&vec![0.0; info.rows], info, &mut gradients);
        Ok(self.transform(estimate::newton_step(&gradients, 1, all)?))
    }

    fn check_base_score(&self, score: f32) -> Result<(), ParamError> {
        let (accepted, range) = match self.loss {
            Loss::Squared | Loss::Raw => (score.is_finite(), "a finite number"),
            Loss::Logistic | Loss::Binary => ((0.0..=1.0).contains(&score), "a number from 0 to 1"),
            Loss::Gamma => (score > 0.0 && score.is_finite(), "a number above 0"),
        };
        refuse_unless(accepted, range, score)
    }

    fn gradient(
        &mut self,
        margins: &[f32],
        info: &Info,
        _: u32,
        _: &mut dyn Collective,
        out: &mut [GradientPair],
    ) -> Result<(), ObjectiveError> {
        self.fill(margins, info, out);
        Ok(())
    }

    fn score_to_margin(&self, score: f32) -> f32 {
        match self.loss {
            Loss::Squared | Loss::Raw => score,
            Loss::Logistic | Loss::Binary => logit(score.clamp(SMALL, 1.0 - SMALL)),
            Loss::Gamma => score.ln(),
        }
    }

    fn transform(&self, mut margins: Vec<f32>) -> Vec<f32> {
        match self.loss {
            Loss::Squared | Loss::Raw => margins,
            Loss::Logistic | Loss::Binary => {
                for margin in &mut margins {
                    *margin = sigmoid(*margin);
                }
                margins
            }
            Loss::Gamma => exponentials(margins),
        }
    }

    fn default_metric(&self) -> Box<dyn Metric> {
        match self.loss {
            Loss::Squared | Loss::Logistic => metric::elementwise(metric::Elementwise::Rmse),
            Loss::Binary | Loss::Raw => metric::elementwise(metric::Elementwise::LogLoss),
            Loss::Gamma => metric::elementwise(metric::Elementwise::GammaDeviance),
        }
    }

    fn to_json(&self) -> Value {
        let parameters = [("scale_pos_weight", text::single(self.scale_pos_weight))];
        text::objective(self.name(), "reg_loss_param", parameters)
    }
}

/// Refuses a `base_score` that is not `accepted`, which `range` puts in words.
pub(super) fn refuse_unless(accepted: bool, range: &str, score: f32) -> Result<(), ParamError> {
    if accepted {
        return Ok(());
    }
    Err(ParamError::new(
        "base_score",
        format!("expected {range}; found {score}"),
    ))
}
