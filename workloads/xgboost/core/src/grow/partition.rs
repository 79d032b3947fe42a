//! Rows by node.

use std::{hint::black_box, ops::Range};

use crate::bins::{
    BinnedMatrix, BinsError, Block,
    codes::{Code, Codes, GROUP},
};

/// Rows in one turn of the innermost loop: a component's clock is looked at once a turn.
const UNROLLED: usize = 4;

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

    /// The rows of `node`, ascending, where they may have been sent on.
    pub(crate) fn in_order(&mut self, node: usize) -> &[u32] {
        let range = self.nodes[node].clone();
        self.right.resize(self.rows.len(), 0);
        let rows = &mut self.right[range.clone()];
        rows.copy_from_slice(&self.rows[range]);
        rows.sort_unstable();
        rows
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
        let count: usize = moves.iter().map(|turn| self.rows(turn.node).len()).sum();
        let together = moves.len() > 1 && count >= matrix.rows() / 4;
        let (all_rows, all_right, nodes) = (&mut self.rows, &mut self.right, &self.nodes);
        matrix.each_block(
            |rows| {
                let touches = |(first, last): &(u32, u32)| *first < rows.end && *last >= rows.start;
                spans.iter().any(touches)
            },
            |block| {
                let at_once = if together {
                    rows_at_once(matrix, block)
                } else {
                    u32::MAX
                };
                let mut first = block.first;
                while first < block.end {
                    let end = first.saturating_add(at_once).min(block.end);
                    if together {
                        read_ahead(matrix, block, first..end);
                    }
                    for turn in &mut *moves {
                        let range = nodes[turn.node].clone();
                        let (rows, right) = (&mut all_rows[range.clone()], &mut all_right[range]);
                        turn.take(matrix, Block { end, ..block }, rows, right);
                    }
                    first = end;
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

/// Those of `rows`, ascending, that are in `range`.
pub(crate) fn within<'r>(rows: &'r [u32], range: &Range<u32>) -> &'r [u32] {
    let start = rows.partition_point(|row| *row < range.start);
    let end = start + rows[start..].partition_point(|row| *row < range.end);
    &rows[start..end]
}

/// Bytes of bins that are read into the processor's cache at once.
///
/// Where nodes have many rows together, their rows among these are divided before others come. So
/// bins come through memory once for all nodes, and in order, rather than once for each row of
/// each node; waiting for them was a fifth of training.
const CACHED_BYTES: usize = 256 << 10;

/// Rows of `block` with so many bytes.
fn rows_at_once(matrix: &BinnedMatrix, block: Block<'_>) -> u32 {
    let row = match block.codes {
        Codes::Narrow(_) => matrix.stride(),
        Codes::Wide(_) => 2 * matrix.stride(),
        Codes::Sparse { .. } => return u32::MAX,
    };
    (CACHED_BYTES / row.max(1)).max(1) as u32
}

/// Reads something of every cache line of `rows` of `block`, in order, as processors like it.
fn read_ahead(matrix: &BinnedMatrix, block: Block<'_>, rows: Range<u32>) {
    fn read<C: Code>(codes: &[[C; GROUP]], range: Range<usize>) {
        let line = 64 / size_of::<[C; GROUP]>();
        let lines = codes.get(range).unwrap_or_default().iter().step_by(line);
        black_box(lines.fold(0_u32, |all, codes| all ^ codes[0].into()));
    }
    let groups = matrix.stride() / GROUP;
    let place = |row: u32| (row - block.first) as usize * groups;
    let range = place(rows.start)..place(rows.end);
    match block.codes {
        Codes::Narrow(codes) => read(codes, range),
        Codes::Wide(codes) => read(codes, range),
        Codes::Sparse { .. } => {}
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
        let mut send = |rows: &mut [u32], index: usize| {
            let row = rows[index];
            let left = goes_left(row);
            rows[lefts] = row;
            right[rights] = row;
            lefts += usize::from(left);
            rights += usize::from(!left);
        };
        let mut index = self.sent;
        while index + UNROLLED <= end {
            for next in 0..UNROLLED {
                send(rows, index + next);
            }
            index += UNROLLED;
        }
        for index in index..end {
            send(rows, index);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bins::matrix::tests::{codes, matrix};

    #[test]
    fn rows_keep_their_order_however_many_blocks_they_are_read_in() {
        // Eight bytes a row: three times what is read at once.
        let matrix = matrix(80_000, 6, 20, 0.1);
        let codes = codes(&matrix);
        let goes_left = |step: usize| (0..21).map(|bin| bin % step == 0).collect::<Vec<bool>>();
        let mut partition = Partition::default();
        partition.start((0..80_000).filter(|row| row % 7 != 0));
        let levels = [
            vec![(0, 3, 2)],
            vec![(1, 0, 3), (2, 5, 2)],
            vec![(6, 1, 4), (3, 2, 2), (5, 4, 5)],
            // Few rows: not read ahead.
            vec![(8, 0, 2)],
        ];
        for level in levels {
            let mut moves = Vec::new();
            let mut expected: Vec<Vec<u32>> = Vec::new();
            for (node, feature, step) in level {
                let goes_left = goes_left(step);
                let left = |row: &&u32| goes_left[codes[**row as usize][feature] as usize];
                let (lefts, rights) = partition.rows(node).iter().partition(left);
                expected.extend([lefts, rights]);
                moves.push(Move::new(node, feature, goes_left));
            }
            let first = partition.nodes.len();
            partition.split(&matrix, &mut moves).unwrap();
            for (child, expected) in expected.iter().enumerate() {
                assert_eq!(partition.rows(first + child), expected);
            }
        }
    }
}
