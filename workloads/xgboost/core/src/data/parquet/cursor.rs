//! The pages of one column of one row group, one after the other.
//!
//! A page is kept as it was decompressed and decoded as far as rows are asked for ([`Page`]), so
//! that a column costs the size of a page, whatever a row group's is.

use super::{
    dictionary::Dictionary,
    failure::{Failure, MUCH_TEXT},
    footer::{Chunk, Leaf, PageHeader, page_header},
    page::Page,
};
use crate::data::{
    ReadAt,
    bytes::read_vec,
    codec::{Codec, MAX_PIECE, decompress},
    columns::Column,
    limits::{TextRoom, texts},
};

/// The longest header of a page: it may hold the least and largest value.
const MAX_HEADER: u64 = 8 << 20;

/// Reads one chunk of one column.
pub(super) struct Cursor {
    leaf: Leaf,
    codec: Codec,
    /// The next page.
    at: u64,
    end: u64,
    /// Rows of the row group that are in no page so far.
    rows: u64,
    dictionary: Dictionary,
    page: Page,
    /// Kept for the next page.
    compressed: Vec<u8>,
}

impl Cursor {
    /// Of a row group of `rows` rows.
    pub(super) fn new(leaf: &Leaf, chunk: &Chunk, rows: u64) -> Result<Self, Failure> {
        let codec = chunk.codec.map_err(Failure::Unsupported)?;
        let end = chunk.start.checked_add(chunk.length);
        Ok(Self {
            leaf: leaf.clone(),
            codec,
            at: chunk.start,
            end: end.ok_or(Failure::Malformed("a chunk has no end"))?,
            rows,
            dictionary: Dictionary::default(),
            page: Page::default(),
            compressed: Vec::new(),
        })
    }

    /// Forgets which numbers the texts were given.
    pub(super) fn forget_ids(&mut self) {
        self.dictionary.forget_ids();
    }

    /// Bytes of pages that are kept.
    pub(super) fn held(&self) -> u64 {
        self.compressed.len() as u64 + self.page.held() + self.dictionary.held()
    }

    /// Appends the next `count` rows to `out`.
    pub(super) fn read(
        &mut self,
        bytes: &dyn ReadAt,
        mut count: usize,
        out: &mut Column,
        room: &mut TextRoom,
    ) -> Result<(), Failure> {
        let before = texts(out);
        while count > 0 {
            if self.page.left() == 0 {
                self.next_page(bytes)?;
                continue;
            }
            let rows = self.page.left().min(count);
            self.page.decode(
                rows,
                &self.leaf,
                &mut self.dictionary,
                (&mut *out, &mut *room),
            )?;
            count -= rows;
        }
        room.entries(out, before).ok_or(MUCH_TEXT)
    }

    fn next_page(&mut self, bytes: &dyn ReadAt) -> Result<(), Failure> {
        let header = self.header(bytes)?;
        let body = self.at + header.length as u64;
        let behind = body + header.compressed as u64;
        if behind > self.end || header.uncompressed.max(header.compressed) > MAX_PIECE {
            return Err(Failure::Malformed(
                "a page is larger than its chunk, or than 256 MiB",
            ));
        }
        match header.kind {
            0 | 3 => {
                // Before they are decoded: there may be sixteen million in a few bytes.
                let rows = self.rows.checked_sub(header.values as u64);
                self.rows = rows.ok_or(Failure::Malformed(
                    "its pages have more rows than the row group",
                ))?;
                read_vec(bytes, body, header.compressed as u64, &mut self.compressed)?;
                self.page
                    .load(&self.leaf, self.codec, &header, &self.compressed)?;
            }
            2 => {
                read_vec(bytes, body, header.compressed as u64, &mut self.compressed)?;
                self.dictionary_page(&header)?;
            }
            _ => {}
        }
        self.at = behind;
        Ok(())
    }

    /// The next page's header. Its length is not known before it is read.
    fn header(&mut self, bytes: &dyn ReadAt) -> Result<PageHeader, Failure> {
        let rest = self.end.saturating_sub(self.at);
        let mut length = 512;
        loop {
            read_vec(bytes, self.at, rest.min(length), &mut self.compressed)?;
            match page_header(&self.compressed) {
                Some(header) => return Ok(header),
                None if rest > length && length < MAX_HEADER => length *= 16,
                None if rest == 0 => {
                    return Err(Failure::Malformed(
                        "a column has fewer rows than its row group",
                    ));
                }
                None => return Err(Failure::Malformed("a page without a header")),
            }
        }
    }

    fn dictionary_page(&mut self, header: &PageHeader) -> Result<(), Failure> {
        let mut plain = Vec::new();
        decompress(
            self.codec,
            &self.compressed,
            header.uncompressed,
            &mut plain,
        )
        .map_err(Failure::Piece)?;
        self.dictionary = Dictionary::parse(&self.leaf, plain, header.values)?;
        Ok(())
    }
}
