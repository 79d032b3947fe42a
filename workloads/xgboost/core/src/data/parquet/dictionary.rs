//! Values that the pages of a chunk refer to by number.

use std::ops::Range;

use super::{
    failure::Failure,
    footer::{Leaf, Meaning},
    values::{number_at, push_ids, text_at, text_id},
};
use crate::data::{
    columns::{Column, NO_TEXT},
    limits::{MAX_VALUES, TextRoom},
};

/// Text whose number was not asked for yet.
const UNASKED: u32 = NO_TEXT - 1;

/// A chunk's dictionary; empty where it has none.
#[derive(Default)]
pub(super) struct Dictionary {
    numbers: Vec<f64>,
    /// The page as it was decompressed, and where each text is in it.
    page: Vec<u8>,
    texts: Vec<Range<u32>>,
    /// Numbers of the texts used so far.
    ids: Vec<u32>,
}

impl Dictionary {
    /// The `count` plain values of a page.
    pub(super) fn parse(leaf: &Leaf, page: Vec<u8>, count: usize) -> Result<Self, Failure> {
        if count > MAX_VALUES {
            return Err(Failure::Malformed("a dictionary of more than 2^24 values"));
        }
        let missing = || Failure::Malformed("a dictionary has fewer values than it says");
        let mut dictionary = Self::default();
        let mut at = 0;
        if leaf.meaning != Meaning::Text {
            for _ in 0..count {
                let number = number_at(leaf, &page, &mut at).ok_or_else(missing)?;
                dictionary.numbers.push(number);
            }
            return Ok(dictionary);
        }
        for _ in 0..count {
            let text = text_at(&page, &mut at).ok_or_else(missing)?;
            // A page is shorter than 2^32 bytes.
            dictionary.texts.push((at - text.len()) as u32..at as u32);
        }
        dictionary.ids = vec![UNASKED; count];
        dictionary.page = page;
        Ok(dictionary)
    }

    /// The values, where they are numbers.
    pub(super) fn numbers(&self) -> &[f64] {
        &self.numbers
    }

    /// Bytes that it keeps.
    pub(super) fn held(&self) -> u64 {
        let texts = self.page.len() as u64 + 12 * self.texts.len() as u64;
        texts + 8 * self.numbers.len() as u64
    }

    /// Forgets which numbers the texts were given.
    pub(super) fn forget_ids(&mut self) {
        self.ids.fill(UNASKED);
    }

    /// Appends `rows` texts by their `numbers`, missing where `levels` says so.
    pub(super) fn push_texts(
        &mut self,
        rows: usize,
        levels: Option<&[u32]>,
        (out, room): (&mut Column, &mut TextRoom),
        mut numbers: std::slice::Iter<'_, u32>,
    ) -> Result<(), Failure> {
        push_ids(rows, levels, out, |names| {
            let number = numbers.next().map_or(usize::MAX, |number| *number as usize);
            let (Some(place), Some(id)) = (self.texts.get(number), self.ids.get_mut(number)) else {
                return Err(Failure::Malformed(
                    "a page refers to what its dictionary has not",
                ));
            };
            if *id == UNASKED {
                let text = self.page.get(place.start as usize..place.end as usize);
                *id = text_id(text.unwrap_or_default(), names, room)?;
            }
            Ok(*id)
        })
    }
}
