//! What a model says of rows: margins, leaves and contributions.
//!
//! [`Predictor`] takes [`Batch`](crate::data::Batch)es and gives margins and leaves; it compiles
//! the trees to a [`Forest`] first. [`Explainer`] gives what each feature contributed. Both add up
//! in single precision in XGBoost's order, so the numbers are XGBoost's.

mod ask;
mod explain;
mod forest;
mod margin;
mod rows;
mod saabas;
mod shap;
mod walk;

pub use explain::{Explainer, Explanation};
pub use forest::Forest;
pub use margin::Predictor;

/// Most numbers that are given at once: 1 GiB of them.
const MAX_NUMBERS: usize = 1 << 28;

/// How many numbers `rows` rows come to.
fn numbers(rows: usize, each: usize) -> Result<usize, PredictError> {
    rows.checked_mul(each)
        .filter(|numbers| *numbers <= MAX_NUMBERS)
        .ok_or(PredictError::Size { rows, each })
}

/// Why nothing can be said of rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PredictError {
    /// The rows have features the model does not know.
    #[error("the model has {expected} features; the rows have {found}")]
    Width {
        /// Features of the model.
        expected: usize,
        /// Features of the rows, at least.
        found: usize,
    },
    /// The parts of a batch do not fit together.
    #[error("rows of a broken batch: {0}")]
    Batch(&'static str),
    /// The margins to start from are too few or too many.
    #[error("expected {expected} base margins, one a row and output; found {found}")]
    BaseMargin {
        /// Rows × outputs.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// What is asked for takes too much memory.
    #[error(
        "{rows} rows with {each} numbers each are too many to be held at once (at most {MAX_NUMBERS}); \
         ask for fewer rows, or of a smaller model"
    )]
    Size {
        /// Rows asked for.
        rows: usize,
        /// Numbers a row.
        each: usize,
    },
    /// Contributions are not defined for a tree.
    #[error(
        "tree {tree} has a negative sum of hessians at node {node}; contributions are not defined"
    )]
    Cover {
        /// The tree's number.
        tree: usize,
        /// The node's number.
        node: usize,
    },
}
