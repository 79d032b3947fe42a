//! Why a model cannot be read or used.

use crate::params::ParamError;

/// A model that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The bytes are neither JSON nor UBJSON.
    #[error("not an XGBoost model: expected JSON or UBJSON; {0}")]
    Format(String),
    /// JSON or UBJSON, but broken.
    #[error("broken model, byte {offset}: {reason}")]
    Syntax {
        /// Where, from 0.
        offset: usize,
        /// What was expected and found.
        reason: String,
    },
    /// A field that is missing, has the wrong type, or does not fit the others.
    #[error("model field {field}: {reason}")]
    Field {
        /// The path from the top, such as `learner.gradient_booster.model.trees[3].parents`.
        field: String,
        /// What was expected and found.
        reason: String,
    },
    /// A model of XGBoost's that is not supported here.
    #[error("model: {0}")]
    Unsupported(String),
    /// The objective is unknown, or has parameters out of range.
    #[error("model objective: {0}")]
    Objective(ParamError),
}

// Not `#[from]`, which makes it a source as well: whoever prints sources would say it twice.
impl From<ParamError> for ModelError {
    fn from(error: ParamError) -> Self {
        Self::Objective(error)
    }
}

impl ModelError {
    /// Refuses `field` for `reason`.
    pub(super) fn field(field: &str, reason: impl Into<String>) -> Self {
        Self::Field {
            field: field.to_owned(),
            reason: reason.into(),
        }
    }

    /// Says that the field is inside `outer`.
    pub(super) fn within(self, outer: &str) -> Self {
        match self {
            Self::Field { field, reason } if field.is_empty() => Self::Field {
                field: outer.to_owned(),
                reason,
            },
            Self::Field { field, reason } => Self::Field {
                field: format!("{outer}.{field}"),
                reason,
            },
            other => other,
        }
    }
}
