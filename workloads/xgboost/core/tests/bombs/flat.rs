//! Flatbuffers as nobody else writes them: tables may be referred to any number of times.

/// A field of a table.
#[derive(Clone, Copy)]
pub(crate) enum Slot {
    None,
    Byte(u8),
    Long(i64),
    /// A place to be filled in by [`Flat::refer`].
    Reference,
}

/// A buffer that grows to its end, where what is referred to lies behind what refers to it.
pub(crate) struct Flat(pub(crate) Vec<u8>);

impl Flat {
    /// With the reference to the root, which is to follow.
    pub(crate) fn new() -> Self {
        Self(vec![0; 4])
    }

    /// Appends a table; gives its place and those of its fields.
    pub(crate) fn table(&mut self, slots: &[Slot]) -> (usize, Vec<usize>) {
        let vtable = self.0.len();
        let mut offset = 4_u16;
        let width = |slot: &Slot| match slot {
            Slot::None => 0,
            Slot::Byte(_) => 1,
            Slot::Reference => 4,
            Slot::Long(_) => 8,
        };
        self.short(4 + 2 * slots.len() as u16);
        self.short(4 + slots.iter().map(width).sum::<u16>());
        for slot in slots {
            self.short(if width(slot) == 0 { 0 } else { offset });
            offset += width(slot);
        }
        let at = self.0.len();
        self.0.extend(((at - vtable) as i32).to_le_bytes());
        let mut places = Vec::new();
        for slot in slots {
            places.push(self.0.len());
            match slot {
                Slot::None => {}
                Slot::Byte(value) => self.0.push(*value),
                Slot::Long(value) => self.0.extend(value.to_le_bytes()),
                Slot::Reference => self.0.extend([0; 4]),
            }
        }
        (at, places)
    }

    /// Appends a vector's length, behind which its entries follow, and gives its place.
    pub(crate) fn vector(&mut self, count: usize) -> usize {
        let at = self.0.len();
        self.0.extend((count as u32).to_le_bytes());
        at
    }

    /// Appends a vector of references, and gives its place and theirs.
    pub(crate) fn references(&mut self, count: usize) -> (usize, Vec<usize>) {
        let at = self.vector(count);
        self.0.resize(at + 4 + 4 * count, 0);
        (at, (0..count).map(|index| at + 4 + 4 * index).collect())
    }

    /// Lets the reference at `place` be to `target`.
    pub(crate) fn refer(&mut self, place: usize, target: usize) {
        self.0[place..place + 4].copy_from_slice(&((target - place) as u32).to_le_bytes());
    }

    fn short(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }
}
