//! Encodings of levels and values.

use super::footer::Physical;
use crate::data::{codec::MAX_PIECE, le};

/// Runs and bit-packed groups of numbers of a few bits (Parquet's hybrid), read as far as asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Rle {
    width: u32,
    /// The next run's header, within the page.
    at: usize,
    end: usize,
    run: usize,
    value: u32,
    packed: usize,
    /// The next packed number's first bit, within the page.
    bit: usize,
}

impl Rle {
    /// Numbers of `width` bits at `at..end` of a page; `None` where they are none.
    pub(super) fn new(width: u32, at: usize, end: usize) -> Option<Self> {
        (width <= 32 && at <= end).then_some(Self {
            width,
            at,
            end,
            ..Self::default()
        })
    }

    /// Appends the next `count` numbers; `None` where there are fewer.
    pub(super) fn read(&mut self, page: &[u8], mut count: usize, out: &mut Vec<u32>) -> Option<()> {
        while count > 0 {
            if self.run > 0 {
                let take = self.run.min(count);
                out.resize(out.len() + take, self.value);
                self.run -= take;
                count -= take;
            } else if self.packed > 0 {
                let take = self.packed.min(count);
                unpack(page, self.end, self.bit, self.width, take, out)?;
                self.bit += take * self.width as usize;
                self.packed -= take;
                count -= take;
            } else {
                self.next_run(page)?;
            }
        }
        Some(())
    }

    fn next_run(&mut self, page: &[u8]) -> Option<()> {
        let page = page.get(..self.end)?;
        let header = varint(page, &mut self.at)?;
        if header & 1 == 0 {
            let bytes = self.width.div_ceil(8) as usize;
            let mut value = [0; 4];
            value[..bytes].copy_from_slice(page.get(self.at..self.at.checked_add(bytes)?)?);
            self.value = u32::from_le_bytes(value);
            self.at += bytes;
            self.run = usize::try_from(header >> 1).ok()?;
        } else {
            let groups = usize::try_from(header >> 1).ok()?;
            let bytes = groups.checked_mul(self.width as usize)?;
            self.packed = groups.checked_mul(8)?;
            self.bit = self.at.checked_mul(8)?;
            // The last group may be cut short where its padding would be.
            self.at = self.at.checked_add(bytes)?.min(self.end);
        }
        Some(())
    }
}

fn unpack(
    page: &[u8],
    end: usize,
    mut bit: usize,
    width: u32,
    count: usize,
    out: &mut Vec<u32>,
) -> Option<()> {
    let last = bit.checked_add(count.checked_mul(width as usize)?)?;
    let page = page.get(..end)?;
    if last > page.len().checked_mul(8)? {
        return None;
    }
    let mask = ((1_u64 << width) - 1) as u32;
    out.reserve(count);
    for _ in 0..count {
        let at = bit / 8;
        let word = match le::array(page, at) {
            Some(bytes) => u64::from_le_bytes(bytes),
            None => tail(page, at),
        };
        out.push((word >> (bit % 8)) as u32 & mask);
        bit += width as usize;
    }
    Some(())
}

/// Fewer than eight bytes at the end of a page, as a number.
fn tail(page: &[u8], at: usize) -> u64 {
    let rest = page.get(at..).unwrap_or_default();
    rest.iter()
        .take(8)
        .rev()
        .fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Whole numbers as differences (`DELTA_BINARY_PACKED`) at `at`, which moves behind them; no more
/// than `most`.
pub(super) fn delta(bytes: &[u8], at: &mut usize, most: usize) -> Option<Vec<i64>> {
    let block = usize::try_from(varint(bytes, at)?).ok()?;
    let miniblocks = usize::try_from(varint(bytes, at)?).ok()?;
    let total = usize::try_from(varint(bytes, at)?).ok()?;
    let mut value = zigzag(varint(bytes, at)?);
    if total > most || miniblocks == 0 || block == 0 || block % miniblocks != 0 || block > 1 << 24 {
        return None;
    }
    let size = block / miniblocks;
    if size % 8 != 0 || miniblocks > 1 << 16 {
        return None;
    }
    let mut values = Vec::with_capacity(total.min(1 << 20));
    if total > 0 {
        values.push(value);
    }
    while values.len() < total {
        let least = zigzag(varint(bytes, at)?);
        let widths = bytes.get(*at..at.checked_add(miniblocks)?)?;
        *at += miniblocks;
        for width in widths {
            if values.len() == total {
                break;
            }
            let width = usize::from(*width);
            if width > 64 {
                return None;
            }
            let length = size / 8 * width;
            let packed = bytes.get(*at..at.checked_add(length)?)?;
            *at += length;
            for index in 0..size.min(total - values.len()) {
                let difference = bits(packed, index * width, width);
                value = value.wrapping_add(least).wrapping_add(difference as i64);
                values.push(value);
            }
        }
    }
    Some(values)
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// `width` bits (up to 64) from `bit` on.
fn bits(bytes: &[u8], bit: usize, width: usize) -> u64 {
    if width == 0 {
        return 0;
    }
    let (at, shift) = (bit / 8, bit % 8);
    let low = tail(bytes, at) >> shift;
    let high = match bytes.get(at + 8) {
        Some(byte) if shift > 0 => u64::from(*byte) << (64 - shift),
        _ => 0,
    };
    (low | high) & (u64::MAX >> (64 - width))
}

/// `DELTA_BINARY_PACKED` as plain values.
pub(super) fn delta_numbers(bytes: &[u8], physical: Physical, most: usize) -> Option<Vec<u8>> {
    let values = delta(bytes, &mut 0, most)?;
    match physical {
        Physical::Int32 => Some(
            values
                .iter()
                .flat_map(|value| (*value as i32).to_le_bytes())
                .collect(),
        ),
        Physical::Int64 => Some(
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        ),
        _ => None,
    }
}

/// `DELTA_LENGTH_BYTE_ARRAY` as plain values.
pub(super) fn delta_lengths(bytes: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut at = 0;
    let lengths = delta(bytes, &mut at, most)?;
    let mut plain = Vec::with_capacity(bytes.len());
    for length in lengths {
        let value = bytes.get(at..at.checked_add(usize::try_from(length).ok()?)?)?;
        push(&mut plain, value)?;
        at += value.len();
    }
    Some(plain)
}

/// `DELTA_BYTE_ARRAY` as plain values.
pub(super) fn delta_prefixes(bytes: &[u8], physical: Physical, most: usize) -> Option<Vec<u8>> {
    let mut at = 0;
    let prefixes = delta(bytes, &mut at, most)?;
    let lengths = delta(bytes, &mut at, most)?;
    if prefixes.len() != lengths.len() {
        return None;
    }
    let mut plain = Vec::new();
    let mut value = Vec::new();
    for (prefix, length) in prefixes.into_iter().zip(lengths) {
        let prefix = usize::try_from(prefix).ok()?;
        let suffix = bytes.get(at..at.checked_add(usize::try_from(length).ok()?)?)?;
        at += suffix.len();
        if prefix > value.len() {
            return None;
        }
        value.truncate(prefix);
        value.extend_from_slice(suffix);
        match physical {
            Physical::Fixed(width) if value.len() == width => plain.extend_from_slice(&value),
            Physical::Bytes => push(&mut plain, &value)?,
            _ => return None,
        }
        // A long prefix shared by many values makes much of little.
        if plain.len() > MAX_PIECE {
            return None;
        }
    }
    Some(plain)
}

fn push(plain: &mut Vec<u8>, value: &[u8]) -> Option<()> {
    plain.extend_from_slice(&u32::try_from(value.len()).ok()?.to_le_bytes());
    plain.extend_from_slice(value);
    Some(())
}

/// `BYTE_STREAM_SPLIT` as plain values: first bytes first, then second ones, and so on.
pub(super) fn join_streams(bytes: &[u8], width: usize) -> Option<Vec<u8>> {
    let count = bytes.len().checked_div(width)?;
    if count * width != bytes.len() {
        return None;
    }
    let mut plain = vec![0; bytes.len()];
    for (stream, values) in bytes.chunks_exact(count.max(1)).enumerate() {
        for (value, byte) in plain.chunks_exact_mut(width).zip(values) {
            value[stream] = *byte;
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_packed_groups_follow_one_another() {
        // Four times 5, then 0 … 7 in three bits each.
        let page = [8, 5, 3, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        let mut rle = Rle::new(3, 0, page.len()).unwrap();
        let mut out = Vec::new();
        rle.read(&page, 5, &mut out).unwrap();
        rle.read(&page, 7, &mut out).unwrap();
        assert_eq!(out, [5, 5, 5, 5, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(rle.read(&page, 1, &mut out), None);
    }

    #[test]
    fn differences_add_up() {
        // The specification's example: 7, 5, 3, 1, 2, 3, 4, 5 in a block of 128, four miniblocks.
        let mut page = vec![0x80, 1, 4, 8, 14, 3, 2, 0, 0, 0, 0b1100_0000, 0b0011_1111];
        page.resize(page.len() + 6, 0);
        assert_eq!(delta(&page, &mut 0, 8).unwrap(), [7, 5, 3, 1, 2, 3, 4, 5]);
        assert_eq!(delta(&page, &mut 0, 7), None);
        assert_eq!(delta(&page[..12], &mut 0, 8), None);
    }

    #[test]
    fn wide_bits_cross_words() {
        let bytes: Vec<u8> = (1..=20).collect();
        for (bit, width) in [(0, 64), (3, 64), (7, 61), (12, 1), (5, 33)] {
            let whole = u128::from_le_bytes(bytes[..16].try_into().unwrap());
            let expected = (whole >> bit) as u64 & (u64::MAX >> (64 - width));
            assert_eq!(bits(&bytes, bit, width), expected, "{bit} {width}");
        }
    }

    #[test]
    fn a_shared_prefix_is_no_bomb() {
        // One value of 1 MiB, then a million that repeat it.
        let most = 1_000_000_usize;
        let mut page = Vec::new();
        for (first, second) in [(0_u64, 1_u64 << 20), (1 << 20, 0)] {
            let difference = (second as i64).wrapping_sub(first as i64);
            page.extend([0x80, 1, 1]);
            leb(&mut page, most as u64);
            leb(&mut page, first << 1);
            let mut rest = most - 1;
            let mut next = difference;
            while rest > 0 {
                leb(&mut page, ((next << 1) ^ (next >> 63)) as u64);
                page.push(0);
                next = 0;
                rest = rest.saturating_sub(128);
            }
        }
        page.resize(page.len() + (1 << 20), b'x');
        assert_eq!(delta_prefixes(&page, Physical::Bytes, most), None);
    }

    fn leb(out: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }
}
