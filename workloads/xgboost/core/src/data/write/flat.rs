//! Flatbuffers, built from their end to their start, as what is referred to comes behind.

/// A place, counted from the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(usize);

/// What a table's field holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    U8(u8),
    I16(i16),
    I32(i32),
    I64(i64),
    To(Place),
}

/// A buffer that grows towards its start.
#[derive(Debug, Default)]
pub(super) struct Builder {
    /// Last byte first.
    reversed: Vec<u8>,
}

impl Builder {
    fn prepend(&mut self, bytes: &[u8]) {
        self.reversed.extend(bytes.iter().rev());
    }

    /// Pads so that what has `length` bytes starts at a multiple of `alignment`.
    fn align(&mut self, length: usize, alignment: usize) {
        let end = (self.reversed.len() + length).next_multiple_of(alignment);
        self.reversed.resize(end - length, 0);
    }

    fn refer(&mut self, place: Place) {
        let distance = self.reversed.len() + 4 - place.0;
        self.prepend(&(distance as u32).to_le_bytes());
    }

    fn count(&mut self, count: usize) -> Place {
        self.prepend(&(count as u32).to_le_bytes());
        Place(self.reversed.len())
    }

    pub(super) fn text(&mut self, text: &str) -> Place {
        self.align(text.len() + 1, 4);
        self.prepend(&[0]);
        self.prepend(text.as_bytes());
        self.count(text.len())
    }

    /// A vector of tables.
    pub(super) fn vector(&mut self, places: &[Place]) -> Place {
        self.align(4 * places.len(), 4);
        for place in places.iter().rev() {
            self.refer(*place);
        }
        self.count(places.len())
    }

    /// A vector of structures of 64-bit numbers, `width` each.
    pub(super) fn structures(&mut self, numbers: &[i64], width: usize) -> Place {
        self.align(8 * numbers.len(), 8);
        for number in numbers.iter().rev() {
            self.prepend(&number.to_le_bytes());
        }
        self.count(numbers.len() / width)
    }

    /// A table of these fields by number; numbers left out are absent.
    pub(super) fn table(&mut self, fields: &[(usize, Field)]) -> Place {
        let slots = fields.iter().map(|(slot, _)| slot + 1).max().unwrap_or(0);
        let mut places = vec![None; slots];
        for (slot, field) in fields {
            match *field {
                Field::U8(value) => self.prepend(&[value]),
                Field::I16(value) => {
                    self.align(2, 2);
                    self.prepend(&value.to_le_bytes());
                }
                Field::I32(value) => {
                    self.align(4, 4);
                    self.prepend(&value.to_le_bytes());
                }
                Field::I64(value) => {
                    self.align(8, 8);
                    self.prepend(&value.to_le_bytes());
                }
                Field::To(place) => {
                    self.align(4, 4);
                    self.refer(place);
                }
            }
            places[*slot] = Some(self.reversed.len());
        }
        let end = self.reversed.len();
        let vtable = 4 + 2 * slots;
        // In front of the table is its list of fields, and how far in front stands first in it.
        self.align(4, 4);
        self.prepend(&(vtable as i32).to_le_bytes());
        let table = self.reversed.len();
        for place in places.iter().rev() {
            let offset = place.map_or(0, |place| table - place);
            self.prepend(&(offset as u16).to_le_bytes());
        }
        let first = fields
            .first()
            .map_or(end, |(slot, _)| places[*slot].unwrap_or(end));
        let size = match fields.first() {
            Some((_, Field::U8(_))) => 1,
            Some((_, Field::I16(_))) => 2,
            Some((_, Field::I64(_))) => 8,
            Some(_) => 4,
            None => 0,
        };
        self.prepend(&((table - first + size) as u16).to_le_bytes());
        self.prepend(&(vtable as u16).to_le_bytes());
        Place(table)
    }

    /// The buffer whose root is `table`.
    pub(super) fn finish(mut self, table: Place) -> Vec<u8> {
        self.align(4, 8);
        self.refer(table);
        self.reversed.reverse();
        self.reversed
    }
}
