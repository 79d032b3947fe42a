//! Sums of derivatives by feature and bin.
//!
//! Every slot is added to in the order of rows, whatever the loops, so that sums come out as
//! XGBoost's do with one thread, to the bit.

use std::{cell::Cell, ops::Range};

use super::{
    part::{Part, Parts},
    partition::within,
    sparse,
};
use crate::{
    bins::{
        BinnedMatrix, BinsError, Block,
        codes::{Code, Codes, GROUP},
        slots::{NARROW, Slots, WIDE},
    },
    collective::{Collective, CollectiveError, Reduce},
    gradient::GradientPair,
};

/// First and second derivatives of one bin's rows.
pub(crate) type Bin = [f64; 2];

/// Values that all instances sum at once, unless one histogram has more: each instance has them
/// three times meanwhile, here and on their way.
const SHARED_AT_ONCE: usize = (4 << 20) / size_of::<f64>();

/// Rows whose derivatives and places are looked up at once, so that they are in the processor's
/// nearest cache while every group of features adds them.
const ROWS_AT_ONCE: usize = 256;

/// Rows in one turn of the innermost loop: a component's clock is looked at once a turn.
const UNROLLED: usize = 4;

/// Adds this instance's `rows` of some nodes, ascending, to their histograms.
pub(crate) fn add_rows(
    matrix: &BinnedMatrix,
    rows: &[&[u32]],
    gradients: &[GradientPair],
    histograms: &mut [Vec<Bin>],
) -> Result<(), BinsError> {
    let wanted = |range: &Range<u32>| {
        let mut nodes = rows.iter();
        nodes.any(|rows| !within(rows, range).is_empty())
    };
    matrix.each_block(wanted, |block| {
        let range = block.first..block.end;
        for (rows, histogram) in rows.iter().zip(&mut *histograms) {
            let rows = within(rows, &range);
            build(matrix, block, rows, gradients, histogram);
        }
    })
}

/// Sums histograms over all instances: several at once, since an answer takes its time to come,
/// unless they are large. Between two, each gets the sums of its part alone.
pub(crate) fn share(
    histograms: &mut [Vec<Bin>],
    parts: &Parts,
    all: &mut dyn Collective,
) -> Result<(), CollectiveError> {
    if all.size() == 1 {
        return Ok(());
    }
    // Not 0, where there are no features either.
    let len = histograms
        .first()
        .map_or(1, |histogram| 2 * histogram.len().max(1));
    let at_once = SHARED_AT_ONCE / len;
    if let Some(parts) = parts.of_two() {
        for histograms in histograms.chunks_mut(at_once.max(1)) {
            exchange(histograms, parts, all)?;
        }
        return Ok(());
    }
    if at_once <= 1 {
        for histogram in histograms {
            all.allreduce(histogram.as_flattened_mut(), Reduce::Sum)?;
        }
        return Ok(());
    }
    for histograms in histograms.chunks_mut(at_once) {
        let flat = histograms
            .iter()
            .flat_map(|histogram| histogram.as_flattened());
        let mut sums: Vec<f64> = flat.copied().collect();
        all.allreduce(&mut sums, Reduce::Sum)?;
        for (histogram, sums) in histograms.iter_mut().zip(sums.chunks(len)) {
            histogram.as_flattened_mut().copy_from_slice(sums);
        }
    }
    Ok(())
}

/// The same between two, who send what the other one has the sums of: a small node's rows are in few of
/// the bins, and the others need not go along. Which of the two is added to the other does not matter to a
/// sum's bits.
fn exchange(
    histograms: &mut [Vec<Bin>],
    [own, other]: [&Part; 2],
    all: &mut dyn Collective,
) -> Result<(), CollectiveError> {
    let mut message = Vec::new();
    for histogram in &*histograms {
        sparse::write(&histogram[other.slots.clone()], &mut message);
    }
    let given = all.allgather(&message)?;
    let broken = || CollectiveError("the other instance's sums are of other nodes".to_owned());
    let mut rest = given.get(1 - all.rank()).map_or(&[][..], Vec::as_slice);
    for histogram in histograms {
        rest = sparse::add(rest, &mut histogram[own.slots.clone()]).ok_or_else(broken)?;
    }
    rest.is_empty().then_some(()).ok_or_else(broken)
}

/// Adds the sums over `rows`, which are in `block`, to `histogram`.
fn build(
    matrix: &BinnedMatrix,
    block: Block<'_>,
    rows: &[u32],
    gradients: &[GradientPair],
    histogram: &mut [Bin],
) {
    let slots = matrix.slots();
    let rows = Rows {
        first: block.first,
        rows,
        gradients,
    };
    let (bins, [few, more, most]) = (Cell::from_mut(histogram).as_slice_of_cells(), WIDE);
    match block.codes {
        Codes::Narrow(codes) => build_dense(slots, codes, rows, window::<NARROW>(bins)),
        Codes::Wide(codes) => match slots.widest() {
            widest if widest <= few => build_dense(slots, codes, rows, window::<{ WIDE[0] }>(bins)),
            widest if widest <= more => {
                build_dense(slots, codes, rows, window::<{ WIDE[1] }>(bins))
            }
            widest if widest <= most => {
                build_dense(slots, codes, rows, window::<{ WIDE[2] }>(bins))
            }
            _ => build_dense(slots, codes, rows, |start| &bins[start..]),
        },
        Codes::Sparse { starts, slots } => {
            for &row in rows.rows {
                let pair = widened(gradients[row as usize]);
                let row = (row - block.first) as usize;
                for &slot in &slots[starts[row]..starts[row + 1]] {
                    add(&bins[slot as usize], pair);
                }
            }
        }
    }
}

/// From the first slot of a feature its window of `SIZE` slots, which reaches into those of others:
/// all codes there can be are within it.
fn window<'b, const SIZE: usize>(bins: &'b [Cell<Bin>]) -> impl Fn(usize) -> &'b [Cell<Bin>; SIZE] {
    move |start| match bins[start..].first_chunk() {
        Some(window) => window,
        None => unreachable!("histograms are so long"),
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

impl Rows<'_> {
    /// Calls `each` with some of the rows after another: where each begins among groups of codes, and
    /// its derivatives.
    ///
    /// A group of features at a time adds these rows, which keeps the group's slots in the nearest
    /// cache.
    #[inline]
    fn in_turns(self, groups: usize, mut each: impl FnMut(&[usize], &[Bin])) {
        let mut places = [0_usize; ROWS_AT_ONCE];
        let mut pairs = [[0.0; 2]; ROWS_AT_ONCE];
        for rows in self.rows.chunks(ROWS_AT_ONCE) {
            for ((row, place), pair) in rows.iter().zip(&mut places).zip(&mut pairs) {
                *place = (*row - self.first) as usize * groups;
                *pair = widened(self.gradients[*row as usize]);
            }
            each(&places[..rows.len()], &pairs[..rows.len()]);
        }
    }
}

/// Both derivatives in double precision.
#[inline]
fn widened(pair: GradientPair) -> Bin {
    [f64::from(pair.grad), f64::from(pair.hess)]
}

/// Adds both derivatives; one instruction with SIMD.
#[inline]
fn add(bin: &Cell<Bin>, pair: Bin) {
    let sums = bin.get();
    bin.set([sums[0] + pair[0], sums[1] + pair[1]]);
}

/// Adds dense rows; `of` gives the slots of the feature whose first one is told.
fn build_dense<C: Code, S: FeatureSlots>(
    slots: &Slots,
    codes: &[[C; GROUP]],
    rows: Rows<'_>,
    of: impl Fn(usize) -> S,
) {
    rows.in_turns(slots.starts().len().div_ceil(GROUP), |places, pairs| {
        for (group, starts) in slots.starts().chunks(GROUP).enumerate() {
            let codes = &codes[group..];
            let of = |start: u32| of(start as usize);
            match *starts {
                [a, b, c, d] => add_group(codes, places, pairs, [a, b, c, d].map(of)),
                [a, b, c] => add_group(codes, places, pairs, [a, b, c].map(of)),
                [a, b] => add_group(codes, places, pairs, [a, b].map(of)),
                [a] => add_group(codes, places, pairs, [a].map(of)),
                _ => {}
            }
        }
    });
}

/// Adds some rows to the slots of a group's first `N` features.
#[inline]
fn add_group<C: Code, S: FeatureSlots, const N: usize>(
    codes: &[[C; GROUP]],
    places: &[usize],
    pairs: &[Bin],
    features: [S; N],
) {
    let add_row = |place: usize, pair: Bin| {
        for (slots, code) in features.iter().zip(&codes[place]) {
            add(slots.of((*code).into()), pair);
        }
    };
    let (places, places_left) = places.as_chunks::<UNROLLED>();
    let (pairs, pairs_left) = pairs.as_chunks::<UNROLLED>();
    for (places, pairs) in places.iter().zip(pairs) {
        for (place, pair) in places.iter().zip(pairs) {
            add_row(*place, *pair);
        }
    }
    for (place, pair) in places_left.iter().zip(pairs_left) {
        add_row(*place, *pair);
    }
}

/// One feature's slots in a histogram, and maybe those of others behind them.
trait FeatureSlots {
    fn of(&self, code: u32) -> &Cell<Bin>;
}

impl<const SIZE: usize> FeatureSlots for &[Cell<Bin>; SIZE] {
    #[inline]
    fn of(&self, code: u32) -> &Cell<Bin> {
        // Less than SIZE, a power of two, as it is; the compiler cannot know.
        &self[code as usize % SIZE]
    }
}

impl FeatureSlots for &[Cell<Bin>] {
    #[inline]
    fn of(&self, code: u32) -> &Cell<Bin> {
        &self[code as usize]
    }
}

/// Makes `parent` the histogram of one child by taking away that of the other.
pub(crate) fn subtract(parent: &mut [Bin], child: &[Bin]) {
    for (parent, child) in parent.iter_mut().zip(child) {
        *parent = [parent[0] - child[0], parent[1] - child[1]];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Others, so many with this one: their sums together are the same as its own. And how many values
    /// were summed at once, or bytes sent.
    struct Twin(usize, Vec<usize>);

    impl Collective for Twin {
        fn rank(&self) -> usize {
            0
        }

        fn size(&self) -> usize {
            self.0
        }

        fn allreduce(&mut self, values: &mut [f64], _: Reduce) -> Result<(), CollectiveError> {
            self.1.push(values.len());
            values.iter_mut().for_each(|value| *value *= 2.0);
            Ok(())
        }

        fn broadcast(&mut self, _: &mut Vec<u8>, _: usize) -> Result<(), CollectiveError> {
            unreachable!("histograms are summed")
        }

        fn allgather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
            assert_eq!(self.0, 2, "more than two sum");
            self.1.push(bytes.len());
            Ok(vec![bytes.to_vec(); 2])
        }
    }

    #[test]
    fn sums_of_other_nodes_are_an_error() {
        struct Other(Vec<u8>);
        impl Collective for Other {
            fn rank(&self) -> usize {
                1
            }

            fn size(&self) -> usize {
                2
            }

            fn allreduce(&mut self, _: &mut [f64], _: Reduce) -> Result<(), CollectiveError> {
                unreachable!("histograms are small")
            }

            fn broadcast(&mut self, _: &mut Vec<u8>, _: usize) -> Result<(), CollectiveError> {
                unreachable!("histograms are summed")
            }

            fn allgather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
                Ok(vec![self.0.clone(), bytes.to_vec()])
            }
        }
        let histograms = || vec![vec![[1.0, 1.0]; 4]; 2];
        let parts = Parts::equal(4, 1, 2);
        let mut message = Vec::new();
        for histogram in histograms() {
            sparse::write(&histogram[2..], &mut message);
        }
        let told = |message: &[u8]| share(&mut histograms(), &parts, &mut Other(message.to_vec()));
        assert!(told(&message).is_ok());
        assert!(told(&message[1..]).is_err());
        message.push(0);
        assert!(told(&message).is_err());
    }

    #[test]
    fn few_messages_sum_small_histograms_and_none_is_larger_than_it_must_be() {
        let most = SHARED_AT_ONCE;
        let sent = |bins: usize| 4 * bins.div_ceil(32) + 16 * bins;
        let cases = [
            (3, 0, 2, vec![0]),
            (3, 100, 5, vec![1000]),
            (3, most / 4, 5, vec![most, most, most / 2]),
            (3, most / 2, 2, vec![most; 2]),
            (3, most, 2, vec![2 * most; 2]),
            (2, 100, 5, vec![5 * sent(50)]),
            (2, most / 4, 3, vec![2 * sent(most / 8), sent(most / 8)]),
            (2, most, 2, vec![sent(most / 2); 2]),
        ];
        for (size, slots, count, messages) in cases {
            let histogram = |number| vec![[number as f64, 0.5]; slots];
            let mut histograms: Vec<_> = (0..count).map(histogram).collect();
            let mut twin = Twin(size, Vec::new());
            let parts = Parts::equal(slots, 0, size);
            share(&mut histograms, &parts, &mut twin).unwrap();
            assert_eq!(twin.1, messages);
            let summed = parts.summed();
            assert_eq!(summed.len(), if size == 2 { slots / 2 } else { slots });
            for (number, histogram) in histograms.iter().enumerate() {
                let doubled = |bin: &Bin| *bin == [2.0 * number as f64, 1.0];
                let all = histogram[summed.clone()].iter().all(doubled);
                assert!(all, "{slots} slots, {number}");
            }
        }
    }
}
