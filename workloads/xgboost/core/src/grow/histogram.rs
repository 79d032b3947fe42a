//! Sums of derivatives by feature and bin, and where they are kept.
//!
//! Every slot is added to in the order of rows, whatever the loops, so that sums come out as
//! XGBoost's do with one thread, to the bit.

use crate::{
    bins::{
        BinnedMatrix, Block,
        matrix::{Code, Codes, GROUP},
        slots::WIDTH,
    },
    gradient::GradientPair,
};

/// First and second derivatives of one bin's rows.
pub(crate) type Bin = [f64; 2];

/// Rows whose derivatives and places are looked up at once, so that they are in the processor's
/// nearest cache while every group of features adds them.
const ROWS_AT_ONCE: usize = 256;

/// Adds the sums over `rows`, which are in `block`, to `histogram`.
pub(crate) fn build(
    matrix: &BinnedMatrix,
    block: Block<'_>,
    rows: &[u32],
    gradients: &[GradientPair],
    histogram: &mut [Bin],
) {
    let padded = matrix.slots().padded();
    let rows = Rows {
        first: block.first,
        rows,
        gradients,
    };
    match block.codes {
        Codes::Narrow(codes) if padded => build_padded(matrix, codes, rows, histogram),
        Codes::Wide(codes) if padded => build_padded(matrix, codes, rows, histogram),
        Codes::Narrow(codes) => build_packed(matrix, codes, rows, histogram),
        Codes::Wide(codes) => build_packed(matrix, codes, rows, histogram),
        Codes::Sparse { starts, slots } => {
            for &row in rows.rows {
                let pair = widened(gradients[row as usize]);
                let row = (row - block.first) as usize;
                for &slot in &slots[starts[row]..starts[row + 1]] {
                    add(&mut histogram[slot as usize], pair);
                }
            }
        }
    }
}

/// Rows of a block and what is summed of them.
#[derive(Clone, Copy)]
struct Rows<'a> {
    /// The block's first row.
    first: u32,
    rows: &'a [u32],
    /// Of all rows.
    gradients: &'a [GradientPair],
}

/// Both derivatives in double precision.
#[inline]
fn widened(pair: GradientPair) -> Bin {
    [f64::from(pair.grad), f64::from(pair.hess)]
}

/// Adds both derivatives; one instruction with SIMD.
#[inline]
fn add(bin: &mut Bin, pair: Bin) {
    *bin = [bin[0] + pair[0], bin[1] + pair[1]];
}

/// Where every feature has [`WIDTH`] slots: a group of features at a time over some rows, which
/// keeps the group's slots in the nearest cache and needs no bounds check for a byte.
fn build_padded<C: Code>(
    matrix: &BinnedMatrix,
    codes: &[[C; GROUP]],
    rows: Rows<'_>,
    histogram: &mut [Bin],
) {
    let groups = matrix.stride() / GROUP;
    let Rows {
        first, gradients, ..
    } = rows;
    let mut places = [0_usize; ROWS_AT_ONCE];
    let mut pairs = [[0.0; 2]; ROWS_AT_ONCE];
    for rows in rows.rows.chunks(ROWS_AT_ONCE) {
        for ((row, place), pair) in rows.iter().zip(&mut places).zip(&mut pairs) {
            *place = (*row - first) as usize * groups;
            *pair = widened(gradients[*row as usize]);
        }
        let (places, pairs) = (&places[..rows.len()], &pairs[..rows.len()]);
        let (features, _) = histogram.as_chunks_mut::<WIDTH>();
        for (group, features) in features.chunks_mut(GROUP).enumerate() {
            let Some(codes) = codes.get(group..) else {
                return;
            };
            match features {
                [a, b, c, d] => add_group(codes, places, pairs, [a, b, c, d]),
                [a, b, c] => add_group(codes, places, pairs, [a, b, c]),
                [a, b] => add_group(codes, places, pairs, [a, b]),
                [a] => add_group(codes, places, pairs, [a]),
                _ => {}
            }
        }
    }
}

/// Adds some rows to the slots of a group's first `N` features.
#[inline]
fn add_group<C: Code, const N: usize>(
    codes: &[[C; GROUP]],
    places: &[usize],
    pairs: &[Bin],
    mut features: [&mut [Bin; WIDTH]; N],
) {
    for (place, pair) in places.iter().zip(pairs) {
        let codes = &codes[*place];
        for (slots, code) in features.iter_mut().zip(codes) {
            let code: u32 = (*code).into();
            add(&mut slots[code as usize], *pair);
        }
    }
}

/// Where features have as many slots as they need.
fn build_packed<C: Code>(
    matrix: &BinnedMatrix,
    codes: &[[C; GROUP]],
    rows: Rows<'_>,
    histogram: &mut [Bin],
) {
    let groups = matrix.stride() / GROUP;
    let starts = matrix.slots().starts();
    for &row in rows.rows {
        let pair = widened(rows.gradients[row as usize]);
        let place = (row - rows.first) as usize * groups;
        let codes = codes[place..place + groups].as_flattened();
        for (start, code) in starts.iter().zip(codes) {
            let code: u32 = (*code).into();
            add(&mut histogram[(start + code) as usize], pair);
        }
    }
}

/// Makes `parent` the histogram of one child by taking away that of the other.
pub(crate) fn subtract(parent: &mut [Bin], child: &[Bin]) {
    for (parent, child) in parent.iter_mut().zip(child) {
        *parent = [parent[0] - child[0], parent[1] - child[1]];
    }
}

/// Histograms by node; memory is used again.
///
/// Of the bytes they may take, four fifths are for those kept for nodes that may yet be split: a
/// node whose histogram was not kept has both its children's built from their rows. The rest is for
/// those being built. However little that is, one histogram is kept, and the children of one node
/// are built.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    len: usize,
    bytes: usize,
    kept: Vec<Option<Vec<Bin>>>,
    count: usize,
    free: Vec<Vec<Bin>>,
}

impl Pool {
    /// Of histograms with `len` slots, in about `bytes`.
    pub(crate) fn new(len: usize, bytes: usize) -> Self {
        Self {
            len,
            bytes,
            ..Self::default()
        }
    }

    /// A histogram of nothing.
    pub(crate) fn take(&mut self) -> Vec<Bin> {
        let Some(mut histogram) = self.free.pop() else {
            return vec![[0.0; 2]; self.len];
        };
        histogram.fill([0.0; 2]);
        histogram
    }

    /// Takes back one that is not needed, to be used again if there is room.
    pub(crate) fn give(&mut self, histogram: Vec<Bin>) {
        if self.count + self.free.len() < self.most(self.bytes) {
            self.free.push(histogram);
        }
    }

    /// Keeps one for `node` if there is room.
    pub(crate) fn keep(&mut self, node: usize, histogram: Vec<Bin>) {
        if self.count >= self.most(self.bytes / 5 * 4) {
            self.give(histogram);
            return;
        }
        if self.kept.len() <= node {
            self.kept.resize_with(node + 1, || None);
        }
        self.kept[node] = Some(histogram);
        self.count += 1;
    }

    /// Hands out what was kept for `node`.
    pub(crate) fn kept(&mut self, node: usize) -> Option<Vec<Bin>> {
        let histogram = self.kept.get_mut(node)?.take()?;
        self.count -= 1;
        Some(histogram)
    }

    /// Takes back all that were kept.
    pub(crate) fn clear(&mut self) {
        let kept: Vec<Vec<Bin>> = self.kept.drain(..).flatten().collect();
        self.count = 0;
        kept.into_iter().for_each(|histogram| self.give(histogram));
    }

    /// Nodes whose children's histograms should be built at once: two each, if the worst comes.
    pub(crate) fn at_once(&self) -> usize {
        self.most(self.bytes / 10)
    }

    /// Histograms in so many bytes; at least one.
    fn most(&self, bytes: usize) -> usize {
        (bytes / (self.len * size_of::<Bin>()).max(1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_what_it_has_room_for_and_one_at_least() {
        for (histograms, kept, at_once) in [(0, 1, 1), (4, 3, 1), (20, 16, 2), (100, 80, 10)] {
            let mut pool = Pool::new(10, histograms * 10 * size_of::<Bin>());
            let all: Vec<Vec<Bin>> = (0..100).map(|_| pool.take()).collect();
            for (node, mut histogram) in all.into_iter().enumerate() {
                histogram[0] = [node as f64, 1.0];
                pool.keep(node, histogram);
            }
            let found = |node| pool.kept(node).map(|histogram| histogram[0]);
            let found: Vec<Option<Bin>> = (0..100).map(found).collect();
            assert_eq!(found.iter().flatten().count(), kept, "{histograms}");
            let first = found[..kept].iter().enumerate();
            assert!(
                first
                    .clone()
                    .all(|(node, bin)| *bin == Some([node as f64, 1.0]))
            );
            assert_eq!(pool.at_once(), at_once, "{histograms}");
            assert!(pool.free.len() <= histograms.max(1));
            assert_eq!(pool.take(), [[0.0; 2]; 10], "what is used again is empty");
        }
    }

    #[test]
    fn clearing_a_pool_makes_its_room_free_again() {
        let mut pool = Pool::new(1, 5 * size_of::<Bin>());
        for node in 0..3 {
            let histogram = pool.take();
            pool.keep(node, histogram);
        }
        pool.clear();
        assert_eq!((0..3).filter_map(|node| pool.kept(node)).count(), 0);
        let histogram = pool.take();
        pool.keep(7, histogram);
        assert!(pool.kept(7).is_some());
    }
}
