//! Memory of histograms.
//!
//! A node that is split needs its histogram once more: that of one child is taken away from it,
//! which leaves the other's. What there is no room to keep is summed anew from rows, so that less
//! memory means more time and never another tree.

use super::{GrowError, histogram::Bin};

/// Histograms in use beside those kept and those of a batch of families: one that is taken away
/// while another is summed anew, and what the other instances are sent and send of one.
const BESIDE: usize = 3;

/// Least histograms to grow with: those of one family, and those beside it.
const LEAST: usize = 2 + BESIDE;

/// The part of all histograms that are built at once, one a family.
const BUILT_PART: usize = 6;

/// Histograms by node; memory is used again.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    len: usize,
    /// How many may be kept.
    most: usize,
    at_once: usize,
    kept: Vec<Option<Kept>>,
    count: usize,
    free: Vec<Vec<Bin>>,
}

/// The histogram of a node that may be split later.
#[derive(Debug)]
struct Kept {
    /// How soon that is.
    rank: f32,
    histogram: Vec<Bin>,
}

impl Pool {
    /// Of histograms with `len` slots, all of which have room in `memory` bytes.
    pub(crate) fn new(len: usize, memory: usize) -> Result<Self, GrowError> {
        let one = len.saturating_mul(size_of::<Bin>()).max(1);
        let most = memory / one;
        if most < LEAST {
            return Err(GrowError::Memory {
                one,
                least: one.saturating_mul(LEAST),
                memory,
            });
        }
        let at_once = (most / BUILT_PART).max(1);
        Ok(Self {
            len,
            most: most - 2 * at_once - BESIDE,
            at_once,
            ..Self::default()
        })
    }

    /// A histogram of nothing.
    pub(crate) fn take(&mut self) -> Vec<Bin> {
        let Some(mut histogram) = self.free.pop() else {
            return vec![[0.0; 2]; self.len];
        };
        histogram.fill([0.0; 2]);
        histogram
    }

    /// Takes back one that is not needed.
    pub(crate) fn give(&mut self, histogram: Vec<Bin>) {
        self.free.push(histogram);
    }

    /// Keeps one for `node` if there is room, or else instead of one of lower `rank`.
    pub(crate) fn keep(&mut self, node: usize, rank: f32, histogram: Vec<Bin>) {
        if self.count == self.most {
            match self.last() {
                Some((last, least)) if least < rank => {
                    if let Some(histogram) = self.kept(last) {
                        self.give(histogram);
                    }
                }
                _ => return self.give(histogram),
            }
        }
        if self.kept.len() <= node {
            self.kept.resize_with(node + 1, || None);
        }
        self.kept[node] = Some(Kept { rank, histogram });
        self.count += 1;
    }

    /// The node of least rank of those whose histograms are kept.
    fn last(&self) -> Option<(usize, f32)> {
        let kept = self.kept.iter().enumerate();
        let ranks = kept.filter_map(|(node, kept)| Some((node, kept.as_ref()?.rank)));
        ranks.min_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    /// Hands out what was kept for `node`.
    pub(crate) fn kept(&mut self, node: usize) -> Option<Vec<Bin>> {
        let kept = self.kept.get_mut(node)?.take()?;
        self.count -= 1;
        Some(kept.histogram)
    }

    /// Takes back all that were kept.
    pub(crate) fn clear(&mut self) {
        let kept = self.kept.drain(..).flatten();
        self.free.extend(kept.map(|kept| kept.histogram));
        self.count = 0;
    }

    /// Nodes whose children's histograms should be built at once.
    pub(crate) fn at_once(&self) -> usize {
        self.at_once
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pool with room for so many histograms of 10 slots.
    fn pool(histograms: usize) -> Pool {
        Pool::new(10, histograms * 160 + 159).unwrap()
    }

    #[test]
    fn everything_in_use_has_room_in_the_memory_there_is() {
        for histograms in LEAST..100 {
            let pool = pool(histograms);
            let most = pool.most + 2 * pool.at_once() + BESIDE;
            assert_eq!(most, histograms);
            assert!(pool.at_once() > 0);
        }
    }

    #[test]
    fn too_little_memory_is_refused_in_words() {
        let error = Pool::new(10, LEAST * 160 - 1).unwrap_err().to_string();
        assert!(
            error.contains("800 bytes") && error.contains("799"),
            "{error}"
        );
        assert!(Pool::new(usize::MAX / 2, usize::MAX).is_err());
    }

    #[test]
    fn what_is_split_first_is_kept() {
        let mut pool = pool(LEAST + 2);
        for (node, rank) in [(1, 2.0), (2, 1.0), (3, 1.0), (4, 3.0), (5, 0.5)] {
            let mut histogram = pool.take();
            histogram[0] = [node as f64; 2];
            pool.keep(node, rank, histogram);
        }
        let kept: Vec<_> = (0..9)
            .filter_map(|node| Some((node, pool.kept(node)?[0])))
            .collect();
        assert_eq!(kept, [(1, [1.0; 2]), (4, [4.0; 2])]);
        assert_eq!(pool.free.len(), 1);
        assert_eq!(pool.take(), [[0.0; 2]; 10], "what is used again is empty");
    }

    #[test]
    fn clearing_a_pool_makes_its_room_free_again() {
        let mut pool = pool(LEAST + 1);
        let histogram = pool.take();
        pool.keep(0, 0.0, histogram);
        pool.clear();
        assert_eq!(pool.kept(0), None);
        let histogram = pool.take();
        pool.keep(7, 0.0, histogram);
        assert!(pool.kept(7).is_some());
    }
}
