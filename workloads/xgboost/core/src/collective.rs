//! What several instances that train one model over disjoint rows tell each other.
//!
//! Every instance makes the same calls in the same order. All get the same answer, to the bit,
//! so that all grow the same trees: sums are made once, in the order of ranks, and handed to all.

/// How [`Collective::allreduce`] puts values together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// The sum.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// The other instances are gone or answered out of turn.
#[derive(Debug, thiserror::Error)]
#[error("talking to the other instances failed: {0}")]
pub struct CollectiveError(pub String);

/// Sums, maxima and bytes shared by all instances of a step.
pub trait Collective {
    /// This instance's number, from 0.
    fn rank(&self) -> usize;

    /// How many instances there are, this one included.
    fn size(&self) -> usize;

    /// Replaces `values` by what all instances' values come to, element by element. All give the
    /// same number of values.
    ///
    /// # Errors
    /// An instance failed.
    fn allreduce(&mut self, values: &mut [f64], how: Reduce) -> Result<(), CollectiveError>;

    /// Replaces `bytes` by those of instance `root`.
    ///
    /// # Errors
    /// An instance failed.
    fn broadcast(&mut self, bytes: &mut Vec<u8>, root: usize) -> Result<(), CollectiveError>;

    /// Everybody's `bytes`, in the order of ranks.
    ///
    /// # Errors
    /// An instance failed.
    fn allgather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError>;
}

/// One instance alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Collective for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn allreduce(&mut self, _: &mut [f64], _: Reduce) -> Result<(), CollectiveError> {
        Ok(())
    }

    fn broadcast(&mut self, _: &mut Vec<u8>, _: usize) -> Result<(), CollectiveError> {
        Ok(())
    }

    fn allgather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        Ok(vec![bytes.to_vec()])
    }
}
