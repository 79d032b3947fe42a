//! The sketch of one feature: values in a queue, and levels of summaries.

use crate::bins::summary::{Entry, Summary};

/// How much finer a sketch is than the bins asked for.
const OVERSAMPLING: f64 = 2.0;

/// How many entries a level of a sketch keeps so that `count` values fit in `max_bin` bins
/// (`LimitSizeLevel`).
pub(super) fn limit(max_bin: u32, count: u64) -> usize {
    if count == 0 {
        return 1;
    }
    let precision = 1.0 / count.min(u64::from(max_bin)) as f64 / OVERSAMPLING;
    let mut levels = 1_u32;
    loop {
        let limit = ((f64::from(levels) / precision).ceil() as u64 + 1).min(count);
        if levels >= 63 || (1_u64 << levels).saturating_mul(limit) >= count {
            return limit as usize;
        }
        levels += 1;
    }
}

/// The sketch of one feature.
pub(super) struct Sketch {
    /// Entries a level may have.
    pub(super) limit: usize,
    /// Values not yet in a level: order-preserving bits above, weight's bits below.
    pub(super) queue: Vec<u64>,
    /// Level `l` stands for up to `2^l` times `limit` values.
    pub(super) levels: Vec<Summary>,
    /// Values there were, those without weight included.
    pub(super) seen: u64,
    /// Values that had a weight.
    pub(super) pushed: u64,
    /// Read a second time.
    pub(super) again: bool,
}

/// Room to work in, one for all features: it takes more than what a sketch keeps.
#[derive(Default)]
pub(super) struct Room {
    taken: Summary,
    sorted: Vec<u64>,
    merged: Vec<Entry>,
}

impl Sketch {
    pub(super) fn new(max_bin: u32, count: u64) -> Self {
        Self {
            limit: limit(max_bin, count),
            queue: Vec::new(),
            levels: Vec::new(),
            seen: 0,
            pushed: 0,
            again: false,
        }
    }

    /// Takes one value in.
    #[inline]
    pub(super) fn push(&mut self, value: f32, weight: f32, room: &mut Room) {
        self.seen += 1;
        if weight == 0.0 {
            return;
        }
        self.pushed += 1;
        let key = ordered(value);
        if let Some(last) = self.queue.last_mut()
            && *last >> 32 == key
        {
            *last = (key << 32) | u64::from((weight_of(*last) + weight).to_bits());
            return;
        }
        if self.queue.len() == self.limit * 2 {
            self.flush(room);
        }
        self.queue.push((key << 32) | u64::from(weight.to_bits()));
    }

    /// Moves the queue into the levels.
    fn flush(&mut self, room: &mut Room) {
        let Room {
            taken,
            sorted,
            merged,
        } = room;
        sort(&mut self.queue, sorted);
        taken.set_sorted(
            self.queue
                .iter()
                .map(|packed| (value_of(*packed), weight_of(*packed))),
        );
        self.queue.clear();
        let mut level = 0;
        loop {
            if self.levels.len() <= level {
                self.levels.push(Summary::default());
            }
            taken.prune(self.limit);
            taken.combine(&self.levels[level], merged);
            self.levels[level].entries.clear();
            if taken.entries.len() <= self.limit {
                break;
            }
            level += 1;
        }
        let entries = &mut self.levels[level].entries;
        entries.reserve_exact(taken.entries.len());
        entries.extend_from_slice(&taken.entries);
    }

    /// All of it in at most `size` entries (`GetSummary`).
    pub(super) fn finish(mut self, size: usize, room: &mut Room) -> Summary {
        self.flush(room);
        let between = size.max(self.limit);
        let mut out = Summary::default();
        for level in &self.levels {
            out.combine(level, &mut room.merged);
            out.prune(between);
        }
        out.prune(size);
        out
    }
}

/// Bits of `value` that order as values do. Both zeros are one value.
#[inline]
pub(super) fn ordered(value: f32) -> u64 {
    let bits = (value + 0.0).to_bits();
    let mask = ((bits as i32 >> 31) as u32) | 0x8000_0000;
    u64::from(bits ^ mask)
}

/// The value in a packed pair.
pub(super) fn value_of(packed: u64) -> f32 {
    let key = (packed >> 32) as u32;
    let mask = if key & 0x8000_0000 == 0 {
        u32::MAX
    } else {
        0x8000_0000
    };
    f32::from_bits(key ^ mask)
}

/// The weight in a packed pair.
pub(super) fn weight_of(packed: u64) -> f32 {
    f32::from_bits(packed as u32)
}

/// Sorts packed pairs by value, equal ones in the order they came; by radix, since queues have
/// thousands of them and every value passes through one.
pub(super) fn sort(queue: &mut Vec<u64>, other: &mut Vec<u64>) {
    pub(super) const BITS: u32 = 11;
    pub(super) const DIGITS: usize = 1 << BITS;
    if queue.len() < DIGITS / 4 {
        queue.sort_by_key(|packed| packed >> 32);
        return;
    }
    let digit = |packed: u64, pass: usize| (packed >> (32 + BITS * pass as u32)) as usize % DIGITS;
    let mut counts = [[0_u32; DIGITS]; 3];
    for packed in queue.iter() {
        for (pass, counts) in counts.iter_mut().enumerate() {
            counts[digit(*packed, pass)] += 1;
        }
    }
    other.clear();
    other.resize(queue.len(), 0);
    for (pass, counts) in counts.iter_mut().enumerate() {
        let mut sum = 0;
        for count in counts.iter_mut() {
            sum += std::mem::replace(count, sum);
        }
        for packed in queue.iter() {
            let place = &mut counts[digit(*packed, pass)];
            other[*place as usize] = *packed;
            *place += 1;
        }
        std::mem::swap(queue, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_values_order_and_come_back_as_they_were() {
        let values = [f32::MIN, -1.5, -1e-40, 0.0, 1e-40, 0.1, 3.0, f32::MAX];
        let pack = |value| (ordered(value) << 32) | u64::from(2.5_f32.to_bits());
        assert!(values.is_sorted_by(|a, b| pack(*a) < pack(*b)));
        for value in values {
            assert_eq!(
                (value_of(pack(value)), weight_of(pack(value))),
                (value, 2.5)
            );
        }
        assert_eq!(ordered(-0.0), ordered(0.0));
    }

    #[test]
    fn long_queues_are_sorted_as_short_ones_are() {
        let mut bits = 1_u64;
        let mut next = || {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Few distinct values, so that the order of equal ones shows.
            (bits >> 33 << 32 & 0x8000_ff00_0000_0000) | (bits >> 32)
        };
        let mut queue: Vec<u64> = (0..5000).map(|_| next()).collect();
        let mut expected = queue.clone();
        expected.sort_by_key(|packed| packed >> 32);
        sort(&mut queue, &mut Vec::new());
        assert_eq!(queue, expected);
    }

    #[test]
    fn a_sketch_keeps_enough_for_its_bins() {
        // Levels times 2 · 256 + 1, until two to that power times it reaches the count.
        assert_eq!(limit(256, 0), 1);
        assert_eq!(limit(256, 100), 100);
        assert_eq!(limit(256, 1_000_000), 8 * 512 + 1);
        assert_eq!(limit(2, 1 << 40), 33 * 4 + 1);
    }
}
