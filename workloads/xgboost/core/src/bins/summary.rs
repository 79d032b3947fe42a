//! What a quantile sketch keeps of the values it saw: XGBoost's `WQSummary`.
//!
//! All ranks are in single precision, as XGBoost's are: cut points depend on it.

/// One value that was kept, and bounds of its rank. The rank of a value is the weight of all
/// smaller ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Entry {
    /// Least rank.
    pub(super) rank_min: f32,
    /// Largest rank, the value's own weight included.
    pub(super) rank_max: f32,
    /// Weight of this very value.
    pub(super) weight: f32,
    /// The value.
    pub(super) value: f32,
}

impl Entry {
    /// Least rank of anything above the value.
    fn rank_min_above(&self) -> f32 {
        self.rank_min + self.weight
    }

    /// Largest rank of anything below the value.
    fn rank_max_below(&self) -> f32 {
        self.rank_max - self.weight
    }
}

/// Entries in ascending order of their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    /// The entries.
    pub(super) entries: Vec<Entry>,
}

impl Summary {
    /// Replaces what is here by `(value, weight)` pairs in ascending order; equal values become
    /// one entry.
    pub(super) fn set_sorted(&mut self, sorted: impl Iterator<Item = (f32, f32)>) {
        self.entries.clear();
        let mut sum = 0.0_f32;
        let mut sorted = sorted.peekable();
        while let Some((value, mut weight)) = sorted.next() {
            while let Some((_, more)) = sorted.next_if(|(next, _)| *next == value) {
                weight += more;
            }
            self.entries.push(Entry {
                rank_min: sum,
                rank_max: sum + weight,
                weight,
                value,
            });
            sum += weight;
        }
    }

    /// Keeps at most `size` entries, spread evenly over the ranks (`SetPrune`).
    pub(super) fn prune(&mut self, size: usize) {
        let count = self.entries.len();
        if count <= size {
            return;
        }
        if size <= 1 {
            self.entries.truncate(size);
            return;
        }
        let (first, last) = (self.entries[0], self.entries[count - 1]);
        let begin = first.rank_max;
        let range = last.rank_min - first.rank_max;
        let steps = size - 1;
        // Kept entries are written over ones that were read already.
        let mut kept = 1;
        let mut kept_last = 0;
        let mut at = 1;
        for step in 1..steps {
            let twice_goal = 2.0 * ((step as f32 * range) / steps as f32 + begin);
            while at < count - 1 {
                let next = self.entries[at + 1];
                if twice_goal < next.rank_max + next.rank_min {
                    break;
                }
                at += 1;
            }
            if at == count - 1 {
                break;
            }
            let (left, right) = (self.entries[at], self.entries[at + 1]);
            let (pick, chosen) = if twice_goal < left.rank_min_above() + right.rank_max_below() {
                (at, left)
            } else {
                (at + 1, right)
            };
            if pick != kept_last {
                self.entries[kept] = chosen;
                kept += 1;
                kept_last = pick;
            }
        }
        if kept_last != count - 1 {
            self.entries[kept] = last;
            kept += 1;
        }
        self.entries.truncate(kept);
    }

    /// Merges `other` into this one (`SetCombine`); `merged` is room to work in.
    pub(super) fn combine(&mut self, other: &Self, merged: &mut Vec<Entry>) {
        if other.entries.is_empty() {
            return;
        }
        if self.entries.is_empty() {
            self.entries.extend_from_slice(&other.entries);
            return;
        }
        merged.clear();
        let (a, b) = (&self.entries, &other.entries);
        let (mut i, mut j) = (0, 0);
        let (mut a_below, mut b_below) = (0.0_f32, 0.0_f32);
        while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
            if x.value == y.value {
                merged.push(Entry {
                    rank_min: x.rank_min + y.rank_min,
                    rank_max: x.rank_max + y.rank_max,
                    weight: x.weight + y.weight,
                    value: x.value,
                });
                a_below = x.rank_min_above();
                b_below = y.rank_min_above();
                i += 1;
                j += 1;
            } else if x.value < y.value {
                merged.push(shifted(x, b_below, y.rank_max_below()));
                a_below = x.rank_min_above();
                i += 1;
            } else {
                merged.push(shifted(y, a_below, x.rank_max_below()));
                b_below = y.rank_min_above();
                j += 1;
            }
        }
        let rank_max = |entries: &[Entry]| entries.last().map_or(0.0, |last| last.rank_max);
        let (a_max, b_max) = (rank_max(a), rank_max(b));
        merged.extend(a[i..].iter().map(|x| shifted(x, b_below, b_max)));
        merged.extend(b[j..].iter().map(|y| shifted(y, a_below, a_max)));
        restore_order(merged);
        std::mem::swap(&mut self.entries, merged);
    }

    /// At most `max_bin` cut points, ascending, the last above every value (`QueryCutValues`).
    pub(super) fn cuts(&self, max_bin: usize) -> Vec<f32> {
        let entries = &self.entries;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return vec![1e-5];
        };
        let count = entries.len();
        let skip = |mut cursor: usize, value: f32| {
            while entries
                .get(cursor)
                .is_some_and(|entry| entry.value <= value)
            {
                cursor += 1;
            }
            cursor
        };
        let mut cuts = Vec::with_capacity(count.min(max_bin) + 1);
        let mut last_cut = first.value;
        let mut next = skip(1, last_cut);
        if count <= max_bin {
            while let Some(entry) = entries.get(next) {
                last_cut = entry.value;
                cuts.push(last_cut);
                next = skip(next + 1, last_cut);
            }
        } else {
            let total = f64::from(last.rank_max);
            let mut cursor = 0;
            for i in 1..max_bin {
                let twice_rank = 2.0 * (i as f64 * total / max_bin as f64);
                while cursor < count - 2 && {
                    let entry = &entries[cursor + 1];
                    twice_rank >= f64::from(entry.rank_min + entry.rank_max)
                } {
                    cursor += 1;
                }
                let (below, above) = (&entries[cursor], &entries[cursor + 1]);
                let between = f64::from(below.rank_min_above() + above.rank_max_below());
                let mut cut = if twice_rank < between {
                    below.value
                } else {
                    above.value
                };
                if cut <= last_cut {
                    next = skip(next, last_cut);
                    let Some(entry) = entries.get(next) else {
                        break;
                    };
                    cut = entry.value;
                } else if entries.get(next).is_some_and(|entry| entry.value <= cut) {
                    next = skip(next + 1, cut);
                }
                cuts.push(cut);
                last_cut = cut;
            }
        }
        cuts.push(last.value + (last.value.abs() + 1e-5));
        cuts
    }
}

/// `entry` with the ranks that the other summary adds.
fn shifted(entry: &Entry, rank_min: f32, rank_max: f32) -> Entry {
    Entry {
        rank_min: entry.rank_min + rank_min,
        rank_max: entry.rank_max + rank_max,
        ..*entry
    }
}

/// Makes ranks ascend again where rounding made them not (`FixError`).
fn restore_order(entries: &mut [Entry]) {
    let (mut last_min, mut last_max) = (0.0_f32, 0.0_f32);
    for entry in entries {
        if entry.rank_min < last_min {
            entry.rank_min = last_min;
        } else {
            last_min = entry.rank_min;
        }
        entry.rank_max = entry.rank_max.max(last_max).max(entry.rank_min_above());
        last_max = entry.rank_max;
    }
}
