//! Where the segments of a sealed file lie.

use super::{HEADER_LEN, MAX_SEGMENT_SIZE, MIN_SEGMENT_SIZE, SealedError};
use crate::crypto::aead::TAG_LEN;

/// Where the segments of a sealed file lie, from its plaintext length and segment size alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    length: u64,
    segment_size: u32,
    segments: u32,
}

impl Layout {
    /// The layout of `length` plaintext bytes in segments of `segment_size` ciphertext bytes.
    ///
    /// # Errors
    /// A segment size outside the accepted range, or more than 2³² segments.
    pub fn new(length: u64, segment_size: u32) -> Result<Self, SealedError> {
        if !(MIN_SEGMENT_SIZE..=MAX_SEGMENT_SIZE).contains(&segment_size) {
            return Err(SealedError::SegmentSize {
                found: segment_size,
            });
        }
        let body = u64::from(segment_size) - TAG_LEN as u64;
        let segments = length
            .checked_add(HEADER_LEN as u64)
            .map(|padded| padded.div_ceil(body).max(1))
            .and_then(|segments| u32::try_from(segments).ok())
            .ok_or(SealedError::TooLong { length })?;
        Ok(Self {
            length,
            segment_size,
            segments,
        })
    }

    /// Plaintext length in bytes.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Ciphertext bytes in a full segment.
    pub const fn segment_size(&self) -> u32 {
        self.segment_size
    }

    /// Number of segments, at least one.
    pub const fn segments(&self) -> u32 {
        self.segments
    }

    /// Length in bytes of the whole sealed file, header included.
    pub fn sealed_length(&self) -> u64 {
        self.length + HEADER_LEN as u64 + u64::from(self.segments) * TAG_LEN as u64
    }

    /// The segment that holds plaintext byte `offset`.
    pub fn segment_of(&self, offset: u64) -> u32 {
        // `offset` < `length`, whose segment count fits a u32.
        ((offset + HEADER_LEN as u64) / self.body()) as u32
    }

    /// First plaintext byte of segment `index` and the number of plaintext bytes in it.
    pub fn plaintext(&self, index: u32) -> (u64, usize) {
        let body = self.body();
        let start = (u64::from(index) * body).saturating_sub(HEADER_LEN as u64);
        let end = ((u64::from(index) + 1) * body - HEADER_LEN as u64).min(self.length);
        (start, (end - start) as usize)
    }

    /// First byte in the sealed file of segment `index` and its number of ciphertext bytes.
    pub fn ciphertext(&self, index: u32) -> (u64, usize) {
        let offset = u64::from(index) * u64::from(self.segment_size);
        let offset = if index == 0 {
            HEADER_LEN as u64
        } else {
            offset
        };
        (offset, self.plaintext(index).1 + TAG_LEN)
    }

    /// Where the segments of `span` lie in the sealed file, and their length there in bytes.
    pub fn sealed(&self, span: Span) -> (u64, usize) {
        let (from, _) = self.ciphertext(span.first);
        let (last, length) = self.ciphertext(span.last());
        (from, (last - from) as usize + length)
    }

    /// The whole file as spans of at most `count` segments, in order.
    pub fn spans(&self, count: u32) -> impl Iterator<Item = Span> + use<> {
        let (segments, count) = (self.segments, count.max(1));
        (0..segments)
            .step_by(count as usize)
            .map(move |first| Span {
                first,
                count: count.min(segments - first),
            })
    }

    const fn body(&self) -> u64 {
        self.segment_size as u64 - TAG_LEN as u64
    }
}

/// Segments of one file, at least one, that stand side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first segment.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

impl Span {
    /// The last segment.
    pub const fn last(self) -> u32 {
        self.first + (self.count - 1)
    }

    /// The segments in order.
    pub fn segments(self) -> impl Iterator<Item = u32> {
        self.first..=self.last()
    }
}
