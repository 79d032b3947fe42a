//! Where each feature's bins lie in a histogram.
//!
//! This follows from the cut points alone, so that instances can sum histograms whatever is
//! missing in their rows.

use std::ops::Range;

use super::Cuts;

/// Slots of every feature in the wide layout: 256 bins, and one for what is missing.
pub(crate) const WIDTH: usize = 257;

/// The layout of histograms. A feature's slot after its last bin takes what is missing, so that
/// adding a row needs no question; nobody reads it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slots {
    /// The slot of each feature's first bin.
    starts: Vec<u32>,
    /// Slots in all.
    len: usize,
    /// Every feature has [`WIDTH`] slots, needed or not: then a bin kept in one byte needs no
    /// bounds check.
    padded: bool,
}

impl Slots {
    /// The layout for `cuts`: padded unless that wastes more than half or does not suffice.
    pub(crate) fn new(cuts: &Cuts) -> Self {
        let features = cuts.features();
        let widest = (0..features).map(|feature| cuts.bins(feature).len()).max();
        let fits = widest.is_some_and(|bins| bins < WIDTH);
        let padded = fits && cuts.values.len() >= features * WIDTH / 2;
        let starts = (0..features).map(|feature| {
            let start = if padded {
                feature * WIDTH
            } else {
                cuts.bins(feature).start + feature
            };
            start as u32
        });
        Self {
            starts: starts.collect(),
            len: if padded {
                features * WIDTH
            } else {
                cuts.values.len() + features
            },
            padded,
        }
    }

    /// The slot of the first bin of `feature`.
    pub(crate) fn start(&self, feature: usize) -> usize {
        self.starts[feature] as usize
    }

    /// All slots of `feature`.
    pub(crate) fn of(&self, feature: usize) -> Range<usize> {
        let next = self.starts.get(feature + 1);
        self.start(feature)..next.map_or(self.len, |next| *next as usize)
    }

    /// Slots in all.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether every feature has [`WIDTH`] slots.
    pub(crate) fn padded(&self) -> bool {
        self.padded
    }
}
