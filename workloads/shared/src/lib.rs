//! What the workloads over tables share: which inputs are [`tables`], which files of theirs hold
//! rows, and the [`Target`] that a result goes to.
//!
//! It trusts the names it is given as much as the runtime that gives them, and looks into no file.

#![forbid(unsafe_code)]

mod tables;
mod target;

pub use tables::{data_files, tables};
pub use target::Target;
