//! What a model says of rows: margins, leaves and contributions.
//!
//! [`Predictor`] takes [`Batch`](crate::data::Batch)es and gives margins and leaves; it compiles
//! the trees to a [`Forest`] first. [`Explainer`] gives what each feature contributed. Both add up
//! in single precision in XGBoost's order, so the numbers are XGBoost's.

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
    /// The contributions of one row are too many to be kept.
    #[error("{features} features make too many contributions a row")]
    Size {
        /// Features of the model.
        features: usize,
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
