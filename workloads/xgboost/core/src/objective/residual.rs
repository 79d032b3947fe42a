//! Losses of the difference between margin and label: `reg:squaredlogerror`,
//! `reg:pseudohubererror`, `binary:hinge`.

use serde_json::Value;

use crate::{
    collective::Collective,
    data::Info,
    gradient::GradientPair,
    metric::{self, Metric},
    objective::{Objective, ObjectiveError, estimate, rows::Rows, text},
};

/// Which loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Residual {
    /// `reg:squaredlogerror`
    SquaredLog,
    /// `reg:pseudohubererror`
    PseudoHuber {
        /// `huber_slope`; not 0.
        slope: f32,
    },
    /// `binary:hinge`
    Hinge,
}

impl Residual {
    /// Derivatives before weighting.
    fn derivatives(self, margin: f32, label: f32) -> (f32, f32) {
        match self {
            Self::SquaredLog => {
                // Below this the logarithm is not defined.
                let margin = margin.max(-0.999_999);
                let apart = margin.ln_1p() - label.ln_1p();
                let square = f64::from(margin + 1.0) * f64::from(margin + 1.0);
                let hess = f64::from(-margin.ln_1p() + label.ln_1p() + 1.0) / square;
                (apart / (margin + 1.0), (hess as f32).max(1e-6))
            }
            Self::PseudoHuber { slope } => {
                let apart = margin - label;
                let root = (1.0 + apart * apart / (slope * slope)).sqrt();
                let scale = slope * slope + apart * apart;
                (apart / root, slope * slope / (scale * root))
            }
            Self::Hinge => {
                let sign = f64::from(label) * 2.0 - 1.0;
                if f64::from(margin) * sign < 1.0 {
                    (-sign as f32, 1.0)
                } else {
                    (0.0, 0.0)
                }
            }
        }
    }

    fn pair(self, margin: f32, label: f32, weight: f32) -> GradientPair {
        let (grad, hess) = self.derivatives(margin, label);
        if self == Self::Hinge && hess == 0.0 {
            // A row on the right side has no say, but is never without a second derivative,
            // whatever its weight.
            return GradientPair::new(0.0, f32::MIN_POSITIVE);
        }
        GradientPair::new(grad * weight, hess * weight)
    }

    fn fill(self, margins: &[f32], info: &Info, out: &mut [GradientPair]) {
        let rows = margins.iter().zip(&info.labels).zip(out).enumerate();
        for (row, ((margin, label), pair)) in rows {
            *pair = self.pair(*margin, *label, info.weight(row));
        }
    }
}

impl Objective for Residual {
    fn name(&self) -> &'static str {
        match self {
            Self::SquaredLog => "reg:squaredlogerror",
            Self::PseudoHuber { .. } => "reg:pseudohubererror",
            Self::Hinge => "binary:hinge",
        }
    }

    fn check(&self, info: &Info) -> Result<(), ObjectiveError> {
        let rows = Rows::new(self.name(), info);
        match self {
            Self::SquaredLog => rows.labels("a number above -1", |label| label > -1.0),
            Self::PseudoHuber { .. } => rows.labels("a finite number", |_| true),
            Self::Hinge => {
                rows.labels("a number from 0 to 1", |label| (0.0..=1.0).contains(&label))
            }
        }?
        .weights()
        .map(drop)
    }

    fn base_score(
        &self,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<Vec<f32>, ObjectiveError> {
        let mut gradients = vec![GradientPair::default(); info.rows];
        self.fill(&vec![0.0; info.rows], info, &mut gradients);
        Ok(self.transform(estimate::newton_step(&gradients, 1, all)?))
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

    fn transform(&self, mut margins: Vec<f32>) -> Vec<f32> {
        if *self == Self::Hinge {
            for margin in &mut margins {
                *margin = if *margin > 0.0 { 1.0 } else { 0.0 };
            }
        }
        margins
    }

    fn default_metric(&self) -> Box<dyn Metric> {
        match self {
            Self::SquaredLog => metric::elementwise(metric::Elementwise::Rmsle),
            Self::PseudoHuber { slope } => {
                metric::elementwise(metric::Elementwise::PseudoHuber { slope: *slope })
            }
            Self::Hinge => metric::elementwise(metric::Elementwise::Error { threshold: 0.5 }),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::PseudoHuber { slope } => {
                let parameters = [("huber_slope", text::single(*slope))];
                text::objective(self.name(), "pseudo_huber_param", parameters)
            }
            Self::SquaredLog | Self::Hinge => Value::Object(text::named(self.name())),
        }
    }
}
