//! Accelerated failure time: `survival:aft`. A label is an interval; its bounds are equal where
//! the time is known, the upper is infinite where the event was not seen, and the lower 0 where
//! it was before it could be.

use serde_json::Value;

use crate::{
    collective::Collective,
    data::{Info, RowValue},
    gradient::GradientPair,
    loss::{aft::Loss, math::exponentials},
    metric::{self, Metric},
    objective::{Objective, ObjectiveError, regression::refuse_unless, rows::Rows, text},
    params::{ParamError, ParamSet},
};

/// What training starts from: XGBoost estimates nothing here.
const BASE_SCORE: f32 = 0.5;

/// `survival:aft`
#[derive(Clone, Copy, Debug)]
pub(super) struct Aft {
    loss: Loss,
}

impl Aft {
    pub(super) fn new(params: &ParamSet) -> Result<Self, ParamError> {
        Ok(Self {
            loss: Loss::read(params)?,
        })
    }
}

impl Objective for Aft {
    fn name(&self) -> &'static str {
        "survival:aft"
    }

    fn check(&self, info: &Info) -> Result<(), ObjectiveError> {
        let rows = Rows::new(self.name(), info).weights()?;
        let (lower, upper) = (&info.lower, &info.upper);
        if lower.len() != info.rows || upper.len() != info.rows {
            return Err(rows.refuse(format!(
                "expected one lower and one upper bound a row, {} of each; found {} and {}",
                info.rows,
                lower.len(),
                upper.len()
            )));
        }
        let interval =
            |(lower, upper): (&f32, &f32)| lower < &f32::INFINITY && *upper > 0.0 && lower <= upper;
        match lower.iter().zip(upper).position(|bounds| !interval(bounds)) {
            None => Ok(()),
            Some(row) => {
                let (value, expected) = if lower[row] == f32::INFINITY {
                    (RowValue::Lower, "a finite lower bound")
                } else {
                    let expected = "an upper bound above 0 and not below the lower one (inf where \
                                    there is none)";
                    (RowValue::Upper, expected)
                };
                let (lower, upper) = (lower[row], upper[row]);
                let reason = format!("expected {expected}; found the bounds {lower} and {upper}");
                Err(rows.refuse_row(row, value, reason))
            }
        }
    }

    fn base_score(&self, _: &Info, _: &mut dyn Collective) -> Result<Vec<f32>, ObjectiveError> {
        Ok(vec![BASE_SCORE])
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
        let bounds = info.lower.iter().zip(&info.upper);
        for (row, ((margin, (lower, upper)), pair)) in
            margins.iter().zip(bounds).zip(out).enumerate()
        {
            let (grad, hess) = self.loss.derivatives(*lower, *upper, f64::from(*margin));
            let weight = info.weight(row);
            *pair = GradientPair::new(grad as f32 * weight, hess as f32 * weight);
        }
        Ok(())
    }

    fn score_to_margin(&self, score: f32) -> f32 {
        score.ln()
    }

    fn transform(&self, margins: Vec<f32>) -> Vec<f32> {
        exponentials(margins)
    }

    fn eval_transform(&self, margins: Vec<f32>) -> Vec<f32> {
        margins
    }

    fn default_metric(&self) -> Box<dyn Metric> {
        metric::aft(self.loss)
    }

    fn to_json(&self) -> Value {
        let word = self.loss.distribution.word().to_owned();
        let parameters = [
            ("aft_loss_distribution", Value::String(word)),
            ("aft_loss_distribution_scale", text::single(self.loss.scale)),
        ];
        text::objective(self.name(), "aft_loss_param", parameters)
    }
}
