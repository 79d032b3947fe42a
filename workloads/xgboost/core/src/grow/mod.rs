//! Growing one tree.
//!
//! [`params`] is what trees are grown by and [`sample`] leaves out rows; [`hist`] grows trees
//! over binned rows.

mod ahead;
mod candidates;
mod constraints;
mod driver;
mod evaluate;
pub mod exact;
mod gain;
pub mod hist;
mod histogram;
pub mod params;
mod part;
mod partition;
mod pool;
pub mod sample;
mod sparse;

use crate::{
    bins::BinsError,
    collective::{Collective, CollectiveError},
    gradient::GradientPair,
    tree::Tree,
};

pub use hist::HistGrower;
pub use params::TreeParams;
pub use sample::RowSampler;

/// Why a tree could not be grown.
#[derive(Debug, thiserror::Error)]
pub enum GrowError {
    /// The bins cannot be read.
    #[error(transparent)]
    Bins(#[from] BinsError),
    /// Other instances are gone.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// There is too little memory for the least number of histograms.
    #[error(
        "a histogram of these features takes {one} bytes, and trees cannot be grown with less than \
         {least} bytes for histograms; there are {memory}: allow the job more memory, or have fewer \
         instances, folds or bins (max_bin)"
    )]
    Memory {
        /// Bytes of one histogram.
        one: usize,
        /// Bytes that would do.
        least: usize,
        /// Bytes there are.
        memory: usize,
    },
}

/// A tree that was grown, and where it put each row.
#[derive(Clone, Debug, PartialEq)]
pub struct Grown {
    /// The tree; its leaf values have the learning rate in them.
    pub tree: Tree,
    /// The leaf of each row of this instance, rows left out by sampling included.
    pub leaf_of_row: Vec<u32>,
}

/// Grows trees over the rows it was made with.
pub trait Grower {
    /// Grows one tree. `gradients` has one pair a row; a row left out by sampling has (0, 0).
    /// `learning_rate` is `eta` (divided by `num_parallel_tree` where there are several).
    ///
    /// # Errors
    /// Other instances are gone, or bins kept outside of memory cannot be read.
    fn grow(
        &mut self,
        gradients: &[GradientPair],
        learning_rate: f32,
        all: &mut dyn Collective,
    ) -> Result<Grown, GrowError>;
}
