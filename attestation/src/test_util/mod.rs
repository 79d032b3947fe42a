//! Sessions to appraise, whole and broken. For tests only.

pub mod factory;
pub mod manipulate;
