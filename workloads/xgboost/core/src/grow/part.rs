//! Which features each of several instances looks at.
//!
//! Two instances sum of each node only the bins of the features that one of them looks at: half of the
//! sums are sent, and each takes away and searches the half that it has. More than two sum all bins, and
//! share the search where there are many.

use std::ops::Range;

use crate::{
    bins::{BinnedMatrix, Cuts, slots::Slots},
    collective::Collective,
};

/// Bins below which asking the others takes longer than looking at them, where all have all sums.
const SHARED_BINS: usize = 1 << 15;

/// Features after another, and their slots in a histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Part {
    features: Range<u32>,
    pub(crate) slots: Range<usize>,
}

impl Part {
    /// The part of instance `rank` of `size`: nearly as many bins as that of any other.
    fn new(cuts: &Cuts, slots: &Slots, rank: usize, size: usize) -> Self {
        let edge = |rank: usize| {
            // Of twice the bins, so that a feature's middle is a whole number.
            let before = 2 * cuts.values.len() as u64 * rank as u64 / size as u64;
            let lies_before = |feature: &usize| {
                let bins = cuts.bins(*feature);
                rank == size || ((bins.start + bins.end) as u64) < before
            };
            (0..cuts.features()).take_while(lies_before).count()
        };
        let (first, end) = (edge(rank), edge(rank + 1));
        let slots = match end.checked_sub(1) {
            Some(last) if first < end => {
                slots.start(first)..slots.start(last) + cuts.bins(last).len()
            }
            _ => 0..0,
        };
        Self {
            features: first as u32..end as u32,
            slots,
        }
    }

    /// Those of `features`, ascending, that are in it.
    pub(crate) fn of<'f>(&self, features: &'f [u32]) -> &'f [u32] {
        let before = |end: u32| features.partition_point(|feature| *feature < end);
        &features[before(self.features.start)..before(self.features.end)]
    }
}

/// The parts of all instances.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    rank: usize,
    parts: Vec<Part>,
    whole: Part,
}

impl Parts {
    /// For instances that grow trees over `matrix`.
    pub(crate) fn new(matrix: &BinnedMatrix, all: &dyn Collective) -> Self {
        let part = |rank, size| Part::new(matrix.cuts(), matrix.slots(), rank, size);
        Self {
            rank: all.rank(),
            parts: (0..all.size()).map(|rank| part(rank, all.size())).collect(),
            whole: part(0, 1),
        }
    }

    /// What two instances sum of each node: this one, and the other one.
    pub(crate) fn of_two(&self) -> Option<[&Part; 2]> {
        let [first, second] = self.parts.as_slice() else {
            return None;
        };
        Some(match self.rank {
            0 => [first, second],
            _ => [second, first],
        })
    }

    /// The slots that this instance has sums of.
    pub(crate) fn summed(&self) -> Range<usize> {
        let part = self.of_two().map_or(&self.whole, |[own, _]| own);
        part.slots.clone()
    }

    /// What this instance looks at in so many histograms, and whether the others look at the rest.
    pub(crate) fn searched(&self, histograms: usize) -> (Part, bool) {
        let shared = match self.parts.len() {
            1 => false,
            2 => true,
            _ => histograms.saturating_mul(self.whole.slots.len()) >= SHARED_BINS,
        };
        let part = if shared {
            &self.parts[self.rank]
        } else {
            &self.whole
        };
        (part.clone(), shared)
    }
}

#[cfg(test)]
impl Parts {
    /// Of instance `rank` of `size`, which have as many of `slots` slots.
    pub(crate) fn equal(slots: usize, rank: usize, size: usize) -> Self {
        let part = |features: Range<usize>, one: usize| Part {
            features: features.start as u32..features.end as u32,
            slots: features.start * one..features.end * one,
        };
        let parts = (0..size).map(|rank| part(rank..rank + 1, slots / size));
        Self {
            rank,
            parts: parts.collect(),
            whole: part(0..1, slots),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Features of so many bins each.
    fn cuts(bins: &[u32]) -> Cuts {
        let mut starts = vec![0];
        for bins in bins {
            starts.push(starts[starts.len() - 1] + bins);
        }
        Cuts {
            values: (0..starts[bins.len()]).map(|value| value as f32).collect(),
            starts,
            categorical: vec![false; bins.len()],
        }
    }

    fn features(cuts: &Cuts, size: usize) -> Vec<Range<u32>> {
        let slots = Slots::new(cuts);
        let part = |rank| Part::new(cuts, &slots, rank, size).features;
        (0..size).map(part).collect()
    }

    #[test]
    fn every_feature_is_in_one_part() {
        let few: Vec<u32> = (0..100).map(|feature| feature % 7).collect();
        for bins in [&[][..], &[5], &[0, 0, 0], &[3, 9, 0], &few] {
            let cuts = cuts(bins);
            for size in [1, 2, 3, 16] {
                let all: Vec<u32> = features(&cuts, size).into_iter().flatten().collect();
                assert!(all.into_iter().eq(0..bins.len() as u32), "{bins:?}, {size}");
            }
        }
    }

    #[test]
    fn parts_have_as_many_bins_however_many_features_have_them() {
        let of_two = |bins: &[u32]| features(&cuts(bins), 2);
        assert_eq!(of_two(&[250, 250, 250, 250]), [0..2, 2..4]);
        assert_eq!(of_two(&[12, 31, 250, 2, 300]), [0..4, 4..5]);
        assert_eq!(of_two(&[300, 12, 31, 2, 250]), [0..1, 1..5]);
        assert_eq!(of_two(&[9]), [0..0, 0..1]);
    }

    #[test]
    fn a_part_holds_all_bins_of_its_features_and_of_drawn_ones_its_own() {
        let cuts = cuts(&[3, 4, 5, 6]);
        let slots = Slots::new(&cuts);
        let [one, other] = [0, 1].map(|rank| Part::new(&cuts, &slots, rank, 2));
        assert_eq!(one.slots, 0..slots.start(1) + 4);
        assert_eq!(other.slots, slots.start(2)..slots.start(3) + 6);
        assert_eq!(
            (one.of(&[0, 2, 3]), other.of(&[0, 2, 3])),
            (&[0][..], &[2, 3][..])
        );
        assert_eq!((one.of(&[3]), other.of(&[])), (&[][..], &[][..]));
    }
}
