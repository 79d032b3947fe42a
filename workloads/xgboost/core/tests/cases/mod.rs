//! Rows of the fixtures that XGBoost was asked about, and instances that share them.

use std::sync::{Arc, Barrier, Mutex};

use serde_json::Value;
use xgboost_core::{
    collective::{Collective, CollectiveError, Reduce},
    data::Info,
    params::ParamSet,
};

/// The numbers under `key`; null is infinity.
pub(crate) fn numbers(json: &Value, key: &str) -> Vec<f32> {
    let number = |value: &Value| value.as_f64().map_or(f32::INFINITY, |value| value as f32);
    json[key].as_array().unwrap().iter().map(number).collect()
}

/// The rows of a case.
pub(crate) fn info(json: &Value) -> Info {
    let labels = numbers(json, "labels");
    let lower = numbers(json, "lower");
    let mut group_starts = Vec::new();
    for size in numbers(json, "groups") {
        let start = group_starts.last().copied().unwrap_or(0);
        group_starts.extend(group_starts.is_empty().then_some(0));
        group_starts.push(start + size as usize);
    }
    Info {
        rows: labels.len().max(lower.len()),
        labels,
        lower,
        upper: numbers(json, "upper"),
        weights: numbers(json, "weights"),
        group_starts,
        ..Info::default()
    }
}

/// The parameters of a case.
pub(crate) fn params(json: &Value) -> ParamSet {
    let mut params = ParamSet::default();
    for (name, value) in json["params"].as_object().unwrap() {
        params.set(name, value.as_str().unwrap()).unwrap();
    }
    params
}

/// Cuts rows in three for as many instances, the second of which has none. Groups stay whole.
pub(crate) fn cut(info: &Info) -> Vec<(std::ops::Range<usize>, Info)> {
    let middle = match info.group_starts.as_slice() {
        [] => info.rows / 3,
        starts => starts[starts.len() / 2],
    };
    [0..middle, middle..middle, middle..info.rows]
        .into_iter()
        .map(|rows| {
            let of = |values: &[f32]| values.get(rows.clone()).unwrap_or_default().to_vec();
            let groups: Vec<usize> = info
                .group_starts
                .windows(2)
                .enumerate()
                .filter(|(_, bounds)| rows.contains(&bounds[0]))
                .map(|(group, _)| group)
                .collect();
            let mut group_starts: Vec<usize> = groups
                .iter()
                .map(|group| info.group_starts[*group] - rows.start)
                .collect();
            group_starts.extend((!groups.is_empty()).then_some(rows.len()));
            let of_groups = || {
                groups
                    .iter()
                    .filter_map(|group| info.weights.get(*group))
                    .copied()
                    .collect()
            };
            let weights = if info.group_starts.is_empty() {
                of(&info.weights)
            } else {
                of_groups()
            };
            let part = Info {
                rows: rows.len(),
                labels: of(&info.labels),
                lower: of(&info.lower),
                upper: of(&info.upper),
                weights,
                base_margin: Vec::new(),
                group_starts,
            };
            (rows, part)
        })
        .collect()
}

/// One of several instances in one process.
pub(crate) struct Peer {
    rank: usize,
    size: usize,
    barrier: Arc<Barrier>,
    said: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// Runs `work` as each of `size` instances at once; what each came to, by rank.
pub(crate) fn together<T: Send>(size: usize, work: impl Fn(&mut Peer) -> T + Sync) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(size));
    let said = Arc::new(Mutex::new(vec![Vec::new(); size]));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..size)
            .map(|rank| {
                let (barrier, said, work) = (barrier.clone(), said.clone(), &work);
                scope.spawn(move || {
                    work(&mut Peer {
                        rank,
                        size,
                        barrier,
                        said,
                    })
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

impl Collective for Peer {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn allreduce(&mut self, values: &mut [f64], how: Reduce) -> Result<(), CollectiveError> {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let parts = self.allgather(&bytes)?;
        for (index, value) in values.iter_mut().enumerate() {
            let of = |part: &Vec<u8>| {
                assert_eq!(part.len(), bytes.len(), "all instances give as many values");
                f64::from_le_bytes(part[8 * index..8 * index + 8].try_into().unwrap())
            };
            *value = match how {
                Reduce::Sum => parts.iter().map(of).sum(),
                Reduce::Max => parts.iter().map(of).fold(f64::NEG_INFINITY, f64::max),
                Reduce::Min => parts.iter().map(of).fold(f64::INFINITY, f64::min),
            };
        }
        Ok(())
    }

    fn broadcast(&mut self, bytes: &mut Vec<u8>, root: usize) -> Result<(), CollectiveError> {
        *bytes = self.allgather(bytes)?.swap_remove(root);
        Ok(())
    }

    fn allgather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.said.lock().unwrap()[self.rank] = bytes.to_vec();
        self.barrier.wait();
        let parts = self.said.lock().unwrap().clone();
        self.barrier.wait();
        Ok(parts)
    }
}
