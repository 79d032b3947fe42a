//! How bins are kept.

/// Features whose bins lie together; rows are filled up to a multiple, so that a group is read at
/// once.
pub(crate) const GROUP: usize = 4;

/// A bin number as it is kept.
pub(crate) trait Code: Copy + Default + Into<u32> + TryFrom<u32> + 'static {}

impl Code for u8 {}
impl Code for u16 {}

/// The bins of all rows. Of a dense row, what is missing has the number after the feature's last
/// bin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Codes {
    /// Row by row, one byte a bin.
    Narrow(Vec<[u8; GROUP]>),
    /// Row by row, two bytes a bin.
    Wide(Vec<[u16; GROUP]>),
    /// Only what is there.
    Sparse {
        /// Where each row starts, and the end.
        starts: Vec<usize>,
        /// The histogram slot of each value, ascending in a row.
        slots: Vec<u32>,
    },
}

impl Codes {
    /// Takes the rows out and keeps the memory.
    pub(super) fn clear(&mut self) {
        match self {
            Self::Narrow(codes) => codes.clear(),
            Self::Wide(codes) => codes.clear(),
            Self::Sparse { starts, slots } => {
                starts.truncate(1);
                slots.clear();
            }
        }
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Narrow(codes) => size_of_val(codes.as_slice()),
            Self::Wide(codes) => size_of_val(codes.as_slice()),
            Self::Sparse { starts, slots } => {
                size_of_val(starts.as_slice()) + size_of_val(slots.as_slice())
            }
        }
    }
}
