//! Early stopping as XGBoost's `EarlyStopping` callback does it.

use crate::train::Score;

/// The best round so far, and how long ago it was.
#[derive(Clone, Debug)]
pub(super) struct EarlyStopping {
    patience: u32,
    maximize: bool,
    since: u32,
    best: Option<Best>,
}

/// The best round of a training and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// XGBoost's `best_iteration`: the round from 0, those of an initial model included.
    pub iteration: usize,
    /// XGBoost's `best_score`.
    pub score: f64,
}

impl EarlyStopping {
    /// Stops after `patience` rounds without a better score.
    pub(super) fn new(patience: u32, maximize: bool) -> Self {
        Self {
            patience,
            maximize,
            since: 0,
            best: None,
        }
    }

    /// Takes notice of a round's score; whether to stop after it.
    pub(super) fn observe(&mut self, iteration: usize, score: f64) -> bool {
        let better = match self.best {
            None => true,
            Some(best) if self.maximize => score > best.score,
            Some(best) => score < best.score,
        };
        if better {
            self.best = Some(Best { iteration, score });
            self.since = 0;
        } else {
            self.since += 1;
        }
        self.since >= self.patience
    }

    /// The best round so far.
    pub(super) fn best(&self) -> Option<Best> {
        self.best
    }
}

/// The score that decides: the last metric of the last table.
pub(super) fn deciding(scores: &[Score]) -> Option<f64> {
    scores.last().map(|score| score.value)
}

/// A number as Python writes it, which is how XGBoost's package leaves `best_score` in a model.
pub(super) fn python_float(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        return "nan".to_owned();
    }
    if !value.is_finite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, size) = match exponent.strip_prefix('-') {
                Some(size) => ('-', size),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{size:0>2}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stops_when_nothing_got_better_for_as_long() {
        let mut stop = EarlyStopping::new(2, false);
        let stops: Vec<bool> = [0.5, 0.4, 0.4, 0.39, 0.6, 0.39]
            .into_iter()
            .enumerate()
            .map(|(round, score)| stop.observe(round, score))
            .collect();
        assert_eq!(stops, [false, false, false, false, false, true]);
        assert_eq!(
            stop.best(),
            Some(Best {
                iteration: 3,
                score: 0.39
            })
        );
    }

    #[test]
    fn more_is_better_where_the_metric_says_so() {
        let mut stop = EarlyStopping::new(1, true);
        assert!(!stop.observe(0, 0.5) && !stop.observe(1, 0.7) && stop.observe(2, 0.6));
        assert_eq!(
            stop.best(),
            Some(Best {
                iteration: 1,
                score: 0.7
            })
        );
    }

    #[test]
    fn a_score_that_is_no_number_is_never_better() {
        let mut stop = EarlyStopping::new(1, false);
        assert!(!stop.observe(0, 1.0) && stop.observe(1, f64::NAN));
    }

    #[test]
    fn numbers_look_as_in_python() {
        let texts: Vec<String> = [1.0, 0.1, 1e-5, 1.5e-7, 1e16, -2.5e22, 0.0, f64::INFINITY]
            .map(python_float)
            .to_vec();
        assert_eq!(
            texts,
            [
                "1.0", "0.1", "1e-05", "1.5e-07", "1e+16", "-2.5e+22", "0.0", "inf"
            ]
        );
    }
}
