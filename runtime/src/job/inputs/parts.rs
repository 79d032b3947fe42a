//! What a read asks the host for: whole segments side by side, never more than one request may
//! carry.
//!
//! A manifest is written by whoever sealed the data, so segments may have any size the format
//! allows and a file any length. How many segments are fetched at once follows from their size.

use mc2_protocol::{
    documents::storage::MAX_PART_LEN,
    sealed::{Layout, MAX_SEGMENT_SIZE, Span},
};

/// Sealed bytes that are fetched at once, where segments are no larger.
const AT_ONCE: u32 = 1 << 20;
/// Chunks fetched ahead of a sequential reader.
const CHUNKS_AHEAD: u32 = 4;

// Whatever the segment size, what is fetched at once is one part.
const _: () =
    assert!(AT_ONCE as usize <= MAX_PART_LEN && MAX_SEGMENT_SIZE as usize <= MAX_PART_LEN);

/// How one file is cut for fetching. A *chunk* is what sequential readers fetch: so many segments
/// from a multiple of that number on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    layout: Layout,
    /// Segments fetched at once, at least one.
    at_once: u32,
}

impl Parts {
    pub(super) fn new(layout: Layout) -> Self {
        let at_once = (AT_ONCE / layout.segment_size()).max(1);
        Self { layout, at_once }
    }

    /// How many chunks the file has.
    pub(super) fn chunks(&self) -> u32 {
        self.layout.segments().div_ceil(self.at_once)
    }

    /// The chunk that holds plaintext byte `offset`.
    pub(super) fn chunk_of(&self, offset: u64) -> u32 {
        self.layout.segment_of(offset) / self.at_once
    }

    /// The segments of a chunk.
    pub(super) fn chunk(&self, chunk: u32) -> Span {
        let first = chunk * self.at_once;
        let count = self.at_once.min(self.layout.segments() - first);
        Span { first, count }
    }

    /// The segments that a read of `length` bytes from `offset` touches, as far as they are fetched
    /// at once; the first is always among them.
    pub(super) fn touched(&self, offset: u64, length: usize) -> Span {
        let end = offset
            .saturating_add(length as u64)
            .min(self.layout.length());
        let first = self.layout.segment_of(offset);
        let last = self.layout.segment_of(end.saturating_sub(1).max(offset));
        Span {
            first,
            count: (last - first + 1).min(self.at_once),
        }
    }

    /// How many chunks to fetch beside the one that is read, for a reader who is worth `ahead`
    /// bytes; `None` where that is no chunk at all.
    pub(super) fn ahead(&self, ahead: u64) -> Option<u32> {
        // All segments but the last have the first's length.
        let chunk = self.layout.plaintext(0).1 as u64 * u64::from(self.at_once);
        let more = (ahead / chunk.max(1)).checked_sub(1)?;
        Some(u32::try_from(more).unwrap_or(u32::MAX).min(CHUNKS_AHEAD))
    }

    /// Where the segments' plaintext begins.
    pub(super) fn start(&self, span: Span) -> u64 {
        self.layout.plaintext(span.first).0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use mc2_protocol::sealed::MIN_SEGMENT_SIZE;

    /// Lengths of every magnitude up to the longest a file of such segments can have.
    fn layouts() -> impl Strategy<Value = Layout> {
        let sizes = prop_oneof![
            Just(MIN_SEGMENT_SIZE),
            Just(64 << 10),
            Just(MAX_SEGMENT_SIZE),
            MIN_SEGMENT_SIZE..=MAX_SEGMENT_SIZE,
        ];
        (sizes, 0_u32..=52, any::<u64>()).prop_filter_map("too long", |(size, bits, length)| {
            Layout::new(length & ((1 << bits) - 1), size).ok()
        })
    }

    fn longest(segment_size: u32) -> Layout {
        let length = u64::from(u32::MAX) * u64::from(segment_size - 16) - 40;
        Layout::new(length, segment_size).expect("the longest file")
    }

    fn check(layout: Layout, offset: u64, wanted: usize) {
        let parts = Parts::new(layout);
        let chunk = parts.chunk(parts.chunk_of(offset));
        assert!(parts.chunk_of(offset) < parts.chunks());
        for span in [chunk, parts.touched(offset, wanted)] {
            let segment = layout.segment_of(offset);
            assert!(span.count > 0 && (span.first..=span.last()).contains(&segment));
            assert!(span.last() < layout.segments());
            let (from, length) = parts.layout.sealed(span);
            assert!((1..=MAX_PART_LEN).contains(&length), "{length} bytes");
            assert!(from + length as u64 <= layout.sealed_length());
            assert!(parts.start(span) <= offset);
        }
        assert!(
            parts
                .ahead(u64::MAX)
                .is_some_and(|chunks| chunks <= CHUNKS_AHEAD)
        );
    }

    proptest! {
        #[test]
        fn whatever_a_manifest_says_a_fetch_is_one_part_of_the_file(
            layout in layouts(),
            at in any::<u64>(),
            wanted in prop_oneof![0_usize..4 << 20, Just(usize::MAX)],
        ) {
            check(layout, at % layout.length().max(1), wanted);
        }
    }

    #[test]
    fn the_longest_files_are_cut_alike() {
        for size in [MIN_SEGMENT_SIZE, 64 << 10, MAX_SEGMENT_SIZE] {
            let layout = longest(size);
            assert_eq!(layout.segments(), u32::MAX);
            for offset in [0, layout.length() / 2, layout.length() - 1] {
                check(layout, offset, usize::MAX);
            }
        }
    }

    #[test]
    fn a_mebibyte_is_fetched_at_once_whatever_the_segment_size() {
        for (size, count) in [(4 << 10, 256), (64 << 10, 16), (1 << 20, 1), (700_000, 1)] {
            let parts = Parts::new(Layout::new(100 << 20, size).expect("a layout"));
            assert_eq!(parts.chunk(0).count, count, "{size}");
        }
    }
}
