//! Proportional hazards: `survival:cox`. A negative label is the time a row was last seen alive,
//! a positive one that of its event.

use serde_json::Value;

use crate::{
    collective::Collective,
    data::Info,
    gradient::GradientPair,
    loss::{math::exponentials, ranking::by_time},
    metric::{self, Metric, gather},
    objective::{Objective, ObjectiveError, estimate, regression::refuse_unless, rows::Rows, text},
    params::ParamError,
};

/// `survival:cox`
#[derive(Clone, Copy, Debug)]
pub(super) struct Cox;

/// Derivatives of all rows, of the partial likelihood with Breslow's method for ties.
fn pairs(margins: &[f32], labels: &[f32]) -> Vec<(f64, f64)> {
    let order = by_time(labels);
    let mut at_risk: f64 = order.iter().map(|row| f64::from(margins[*row].exp())).sum();
    let mut out = vec![(0.0, 0.0); labels.len()];
    let (mut first, mut second) = (0.0, 0.0);
    let (mut last_hazard, mut last_time, mut leaving) = (0.0, 0.0, 0.0);
    for row in order {
        let hazard = f64::from(margins[row]).exp();
        let time = f64::from(labels[row]).abs();
        let event = labels[row] > 0.0;
        leaving += last_hazard;
        if last_time < time {
            at_risk -= leaving;
            leaving = 0.0;
        }
        if event {
            first += 1.0 / at_risk;
            second += 1.0 / (at_risk * at_risk);
        }
        let grad = hazard * first - if event { 1.0 } else { 0.0 };
        out[row] = (grad, hazard * first - hazard * hazard * second);
        (last_time, last_hazard) = (time, hazard);
    }
    out
}

/// Derivatives of this instance's rows. Whoever was at risk at a time may be a row of any
/// instance, so all instances see all margins and times.
fn fill(
    margins: &[f32],
    info: &Info,
    all: &mut dyn Collective,
    out: &mut [GradientPair],
) -> Result<(), ObjectiveError> {
    let everyone = if all.size() == 1 {
        pairs(margins, &info.labels)
    } else {
        let (before, margins) = gather::parts(margins, all)?;
        let labels = gather::joined(&info.labels, all)?;
        let mut everyone = pairs(&margins, &labels);
        everyone.drain(..before);
        everyone
    };
    for (row, (pair, (grad, hess))) in out.iter_mut().zip(everyone).enumerate() {
        let weight = f64::from(info.weight(row));
        *pair = GradientPair::new((grad * weight) as f32, (hess * weight) as f32);
    }
    Ok(())
}

impl Objective for Cox {
    fn name(&self) -> &'static str {
        "survival:cox"
    }

    fn check(&self, info: &Info) -> Result<(), ObjectiveError> {
        let range = "a time (negative where it is censored)";
        Rows::new(self.name(), info)
            .labels(range, |_| true)?
            .weights()
            .map(drop)
    }

    fn base_score(
        &self,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<Vec<f32>, ObjectiveError> {
        let mut gradients = vec![GradientPair::default(); info.rows];
        fill(&vec![0.0; info.rows], info, all, &mut gradients)?;
        Ok(exponentials(estimate::newton_step(&gradients, 1, all)?))
    }

    fn check_base_score(&self, score: f32) -> Result<(), ParamError> {
        refuse_unless(score > 0.0 && score.is_finite(), "a number above 0", score)
    }

    fn gradient(
        &mut self,
        margins: &[f32],
        info: &Info,
        _: u32,
        all: &mut dyn Collective,
        out: &mut [GradientPair],
    ) -> Result<(), ObjectiveError> {
        fill(margins, info, all, out)
    }

    fn score_to_margin(&self, score: f32) -> f32 {
        score.ln()
    }

    fn transform(&self, margins: Vec<f32>) -> Vec<f32> {
        exponentials(margins)
    }

    fn default_metric(&self) -> Box<dyn Metric> {
        metric::cox()
    }

    fn to_json(&self) -> Value {
        Value::Object(text::named(self.name()))
    }
}
