//! Rows by node.

use std::ops::Range;

use crate::bins::{
    BinnedMatrix, BinsError, Block,
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

    /// Those of them that are in `range`.
    pub(crate) fn rows_in(&self, node: usize, range: Range<u32>) -> &[u32] {
        let rows = self.rows(node);
        let start = rows.partition_point(|row| *row < range.start);
        let end = start + rows[start..].partition_point(|row| *row < range.end);
        &rows[start..end]
    }

    /// Sends the rows of nodes to two new nodes each, in the order of `moves`.
    pub(crate) fn split(
        &mut self,
        matrix: &BinnedMatrix,
        moves: &mut [Move],
    ) -> Result<(), BinsError> {
        self.right.resize(self.rows.len(), 0);
        let spans: Vec<(u32, u32)> = moves
            .iter()
            .filter_map(|turn| {
                let rows = self.rows(turn.node);
                Some((*rows.first()?, *rows.last()?))
            })
            .collect();
        let (all_rows, all_right, nodes) = (&mut self.rows, &mut self.right, &self.nodes);
        matrix.each_block(
            |rows| {
                let touches = |(first, last): &(u32, u32)| *first < rows.end && *last >= rows.start;
                spans.iter().any(touches)
            },
            |block| {
                for turn in &mut *moves {
                    let range = nodes[turn.node].clone();
                    let (rows, right) = (&mut all_rows[range.clone()], &mut all_right[range]);
                    turn.take(matrix, block, rows, right);
                }
            },
        )?;
        for turn in moves {
            let range = self.nodes[turn.node].clone();
            let right = range.start..range.start + turn.rights;
            let middle = range.start + turn.lefts;
            self.rows[middle..range.end].copy_from_slice(&self.right[right]);
            self.nodes.push(range.start..middle);
            self.nodes.push(middle..range.end);
        }
        Ok(())
    }
}

/// The rows of a node on their way to its children.
#[derive(Debug)]
pub(crate) struct Move {
    node: usize,
    feature: usize,
    goes_left: Vec<bool>,
    /// Rows that were sent, and how many of them to which side.
    sent: usize,
    lefts: usize,
    rights: usize,
}

impl Move {
    /// Of `node` by the bins of `feature`: left where `goes_left` says so for the bin, or, in the
    /// entry after the last bin, for what is missing.
    pub(crate) fn new(node: usize, feature: usize, goes_left: Vec<bool>) -> Self {
        Self {
            node,
            feature,
            goes_left,
            sent: 0,
            lefts: 0,
            rights: 0,
        }
    }

    /// Sends those of the node's `rows` that are in `block`.
    fn take(
        &mut self,
        matrix: &BinnedMatrix,
        block: Block<'_>,
        rows: &mut [u32],
        right: &mut [u32],
    ) {
        let end = self.sent + rows[self.sent..].partition_point(|row| *row < block.end);
        let feature = self.feature;
        match block.codes {
            Codes::Narrow(codes) => {
                let mut table = [false; 256];
                for (entry, left) in table.iter_mut().zip(&self.goes_left) {
                    *entry = *left;
                }
                let column = Column::new(matrix, codes, feature);
                let goes_left = |row| table[usize::from(column.code(row - block.first))];
                self.divide(rows, right, end, goes_left);
            }
            Codes::Wide(codes) => {
                let column = Column::new(matrix, codes, feature);
                let bins = std::mem::take(&mut self.goes_left);
                let goes_left = |row| bins[usize::from(column.code(row - block.first))];
                self.divide(rows, right, end, goes_left);
                self.goes_left = bins;
            }
            Codes::Sparse { .. } => {
                let bins = std::mem::take(&mut self.goes_left);
                let goes_left = |row| bins[matrix.code(block, row, feature) as usize];
                self.divide(rows, right, end, goes_left);
                self.goes_left = bins;
            }
        }
    }

    /// Moves rows up to `end` that go left to the front and the others to `right`, both in the
    /// order they had. Both places are written and one of them counts, since a branch would be
    /// guessed wrong half of the time.
    #[inline]
    fn divide(
        &mut self,
        rows: &mut [u32],
        right: &mut [u32],
        end: usize,
        goes_left: impl Fn(u32) -> bool,
    ) {
        let (mut lefts, mut rights) = (self.lefts, self.rights);
        for index in self.sent..end {
            let row = rows[index];
            let left = goes_left(row);
            rows[lefts] = row;
            right[rights] = row;
            lefts += usize::from(left);
            rights += usize::from(!left);
        }
        (self.sent, self.lefts, self.rights) = (end, lefts, rights);
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
