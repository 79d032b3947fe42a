//! Rows by node.

use std::ops::Range;

use crate::bins::{
    BinnedMatrix,
    matrix::{Code, Codes, GROUP},
};

/// Row numbers in the order of nodes, ascending within a node.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    rows: Vec<u32>,
    nodes: Vec<Range<usize>>,
    right: Vec<u32>,
}

impl Partition {
    /// Starts over with `rows`, ascending, at the root.
    pub(crate) fn start(&mut self, rows: impl Iterator<Item = u32>) {
        self.rows.clear();
        self.rows.extend(rows);
        self.nodes.clear();
        self.nodes.push(0..self.rows.len());
    }

    /// The rows of `node`.
    pub(crate) fn rows(&self, node: usize) -> &[u32] {
        &self.rows[self.nodes[node].clone()]
    }

    /// Sends the rows of `node` to two new nodes by the bins of `feature`: left where
    /// `goes_left` says so for the bin, or, in the entry after the last bin, for what is missing.
    pub(crate) fn split(
        &mut self,
        matrix: &BinnedMatrix,
        node: usize,
        feature: usize,
        goes_left: &[bool],
    ) {
        let range = self.nodes[node].clone();
        let rows = &mut self.rows[range.clone()];
        if self.right.len() < rows.len() {
            self.right.resize(rows.len(), 0);
        }
        let right = &mut self.right[..rows.len()];
        let left = match matrix.codes() {
            Codes::Narrow(codes) => {
                let mut table = [false; 256];
                for (entry, left) in table.iter_mut().zip(goes_left) {
                    *entry = *left;
                }
                let column = Column::new(matrix, codes, feature);
                divide(rows, right, |row| table[usize::from(column.code(row))])
            }
            Codes::Wide(codes) => {
                let column = Column::new(matrix, codes, feature);
                divide(rows, right, |row| goes_left[usize::from(column.code(row))])
            }
            Codes::Sparse { .. } => divide(rows, right, |row| {
                goes_left[matrix.code(row as usize, feature) as usize]
            }),
        };
        let middle = range.start + left;
        self.nodes.push(range.start..middle);
        self.nodes.push(middle..range.end);
    }
}

/// One feature of dense rows.
struct Column<'a, C> {
    codes: &'a [C],
    stride: usize,
}

impl<'a, C: Code> Column<'a, C> {
    fn new(matrix: &BinnedMatrix, codes: &'a [[C; GROUP]], feature: usize) -> Self {
        Self {
            codes: codes.as_flattened().get(feature..).unwrap_or_default(),
            stride: matrix.stride(),
        }
    }

    #[inline]
    fn code(&self, row: u32) -> C {
        self.codes[row as usize * self.stride]
    }
}

/// Moves rows that go left to the front and the others behind them, both in the order they had.
/// Gives how many go left. Both places are written and one of them counts, since a branch would
/// be guessed wrong half of the time.
#[inline]
fn divide(rows: &mut [u32], right: &mut [u32], goes_left: impl Fn(u32) -> bool) -> usize {
    let (mut lefts, mut rights) = (0, 0);
    for index in 0..rows.len() {
        let row = rows[index];
        let left = goes_left(row);
        rows[lefts] = row;
        right[rights] = row;
        lefts += usize::from(left);
        rights += usize::from(!left);
    }
    rows[lefts..].copy_from_slice(&right[..rights]);
    lefts
}
