//! Where each feature's bins lie in a histogram.
//!
//! This follows from the cut points alone, so that instances can sum histograms whatever is
//! missing in their rows.

use super::Cuts;

/// Slots of every feature where most have nearly as many: 256 bins, and one for what is missing.
const EVEN: usize = 257;

/// Least number of slots from a feature's first on, for codes of a byte.
pub(crate) const NARROW: usize = 256;

/// The same for codes of two bytes, where no feature has more slots.
pub(crate) const WIDE: [usize; 3] = [512, 2048, 8192];

/// The layout of histograms. A feature's slot after its last bin takes what is missing, so that
/// adding a row needs no question; nobody reads it.
///
/// Features have as many slots as they need, or all the same number where that wastes less than half:
/// then what a histogram takes hardly depends on the rows. After the last one's come so many more that
/// from every feature's first slot on there is room for all codes of its kind, so that a code needs no
/// bounds check.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slots {
    /// The slot of each feature's first bin.
    starts: Vec<u32>,
    /// Slots in all.
    len: usize,
    /// Slots of the feature with most.
    widest: usize,
}

impl Slots {
    /// The layout for `cuts`.
    pub(crate) fn new(cuts: &Cuts) -> Self {
        let features = cuts.features();
        let slots = |feature| cuts.bins(feature).len() + 1;
        let widest = (0..features).map(slots).max().unwrap_or(0);
        let even = widest <= EVEN && cuts.values.len() >= features * EVEN / 2;
        let start = |feature: usize| match even {
            true => feature * EVEN,
            false => cuts.bins(feature).start + feature,
        };
        let starts: Vec<u32> = (0..features).map(|feature| start(feature) as u32).collect();
        // Whatever is missing in which instance's rows.
        let most = if even { EVEN } else { widest };
        let room = |start: u32| start as usize + Self::window(most);
        Self {
            len: starts.last().copied().map_or(0, room),
            starts,
            widest,
        }
    }

    /// Slots there are from each feature's first on, where the widest has so many.
    fn window(widest: usize) -> usize {
        // With 257 slots codes are bytes where nothing is missing, and else of two bytes.
        let windows = [NARROW].into_iter().chain(WIDE);
        windows
            .filter(|window| widest <= *window)
            .min()
            .unwrap_or(widest)
    }

    /// The slot of the first bin of `feature`.
    pub(crate) fn start(&self, feature: usize) -> usize {
        self.starts[feature] as usize
    }

    /// The slot of every feature's first bin.
    pub(crate) fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// Slots in all.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Slots of the feature with most.
    pub(crate) fn widest(&self) -> usize {
        self.widest
    }
}
