//! Parameters that an objective and a metric both read.

use crate::params::{ParamError, ParamSet};

/// The most quantiles at once: each is a tree a round.
const MOST_QUANTILES: usize = 1000;
/// Rows at the top of each ranking that are paired with all others or counted, where not given.
pub(crate) const DEFAULT_TOP: u32 = 32;

/// `quantile_alpha`: a number or a list of numbers in brackets.
pub(crate) fn alphas(params: &ParamSet) -> Result<Vec<f32>, ParamError> {
    let refuse = |found: &str| {
        ParamError::new(
            "quantile_alpha",
            format!(
                "expected at least one and at most {MOST_QUANTILES} numbers from 0 to 1 in \
                 ascending order, for instance [0.1, 0.5, 0.9]; found {found:?}"
            ),
        )
    };
    let Some(given) = params.text("quantile_alpha") else {
        return Err(refuse(""));
    };
    let text = given.trim();
    let inner = ["[]", "()"].iter().find_map(|brackets| {
        let (open, close) = brackets.split_at(1);
        text.strip_prefix(open)?.strip_suffix(close)
    });
    let list: Option<Vec<f32>> = match inner {
        Some(inner) => inner
            .split(',')
            .map(|word| word.trim().parse().ok())
            .collect(),
        None => text.parse().ok().map(|alpha| vec![alpha]),
    };
    list.filter(|list| {
        list.len() <= MOST_QUANTILES
            && list.iter().all(|alpha| (0.0..=1.0).contains(alpha))
            && list.is_sorted()
    })
    .ok_or_else(|| refuse(given))
}

/// `huber_slope`.
pub(crate) fn huber_slope(params: &ParamSet) -> Result<f32, ParamError> {
    let slope = params.read("huber_slope", 1.0_f32, ..)?;
    if slope != 0.0 {
        return Ok(slope);
    }
    Err(ParamError::new(
        "huber_slope",
        format!("expected a number other than 0; found {slope}"),
    ))
}

/// `ndcg_exp_gain`
pub(crate) fn exp_gain(params: &ParamSet) -> Result<bool, ParamError> {
    params.switch("ndcg_exp_gain", true)
}
