//! Importances as bars.

use super::svg::{Anchor, Picture, cut, width};
use crate::model::{
    Model,
    dump::significant,
    importance::{self, Importance, Score},
};

const MARGIN: f64 = 24.0;
const HEADER: f64 = 40.0;
const ROW: f64 = 26.0;
const BAR: f64 = 16.0;
const CHART: f64 = 460.0;
const FONT: f64 = 13.0;
/// Names take no more than this.
const MAX_LABEL: f64 = 240.0;
/// Room for a number behind the longest bar.
const VALUE: f64 = 84.0;

/// Draws the `most` most important features.
pub(super) fn draw(model: &Model, what: Importance, most: usize) -> String {
    let mut scores = importance::scores(model, what);
    // The order of features among equals.
    scores.sort_by(|one, other| other.value.total_cmp(&one.value));
    let left_out = scores.len().saturating_sub(most);
    scores.truncate(most);
    let names: Vec<String> = scores
        .iter()
        .map(|score| model.feature_name(score.feature))
        .collect();
    let label = names
        .iter()
        .fold(40.0_f64, |wide, name| wide.max(width(name) * FONT))
        .min(MAX_LABEL);
    let left = MARGIN + label + 10.0;
    let top = MARGIN + HEADER;
    let bottom = top + ROW * scores.len() as f64;
    let title = format!("Importance of features: {}", what.name());
    let mut picture = Picture::new(
        &title,
        left + CHART + VALUE + MARGIN,
        bottom + 30.0 + MARGIN,
    );
    picture.text("title", (MARGIN, MARGIN + 12.0), Anchor::Start, &title);
    let scale = Scale::new(&scores);
    for tick in scale.ticks() {
        let x = left + CHART * scale.share(tick);
        picture.upright("grid", x, top - 4.0, bottom);
        let text = significant(tick as f32, 4);
        picture.text("small", (x, bottom + 16.0), Anchor::Middle, &text);
    }
    for (row, (score, name)) in scores.iter().zip(&names).enumerate() {
        let middle = top + ROW * (row as f64 + 0.5);
        let value = significant(score.value, 5);
        picture.group(
            &format!("{name}: {}", significant(score.value, 9)),
            |picture| {
                let baseline = middle + 4.5;
                let shown = cut(name, label / FONT);
                picture.text("main", (left - 10.0, baseline), Anchor::End, &shown);
                let length = CHART * scale.share(f64::from(score.value));
                picture.rect(
                    "bar",
                    (left, middle - BAR / 2.0),
                    (length.max(1.0), BAR),
                    2.0,
                );
                let at = (left + length + 7.0, baseline);
                picture.text("small", at, Anchor::Start, &value);
            },
        );
    }
    let note = match (scores.is_empty(), left_out) {
        (true, _) => "no tree splits by any feature".to_owned(),
        (false, 0) => String::new(),
        (false, more) => format!("{more} less important features are not shown"),
    };
    if !note.is_empty() {
        picture.text("small", (MARGIN, bottom + 36.0), Anchor::Start, &note);
    }
    picture.finish()
}

/// From 0 to a little more than the largest score.
struct Scale {
    step: f64,
    steps: u32,
}

impl Scale {
    fn new(scores: &[Score]) -> Self {
        let largest = scores
            .iter()
            .map(|score| f64::from(score.value))
            .filter(|value| value.is_finite())
            .fold(0.0, f64::max);
        if largest <= 0.0 {
            return Self {
                step: 1.0,
                steps: 1,
            };
        }
        // 1, 2, 2.5 or 5 times a power of ten, so that there are four to six steps or so.
        let power = 10_f64.powi((largest / 5.0).log10().floor() as i32);
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| largest / step <= 6.0)
            .unwrap_or(10.0 * power);
        Self {
            step,
            steps: (largest / step).ceil() as u32,
        }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let step = self.step;
        (0..=self.steps).map(move |number| f64::from(number) * step)
    }

    /// Where `value` is between the ends, 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let share = value / (self.step * f64::from(self.steps));
        if share.is_nan() {
            0.0
        } else {
            share.clamp(0.0, 1.0)
        }
    }
}
