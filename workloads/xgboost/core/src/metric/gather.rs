//! Numbers of all instances' rows, for what is not a sum over rows.

use crate::collective::{Collective, CollectiveError};

/// All instances' numbers in the order of ranks, and how many are of instances before this one.
pub(crate) fn parts(
    own: &[f32],
    all: &mut dyn Collective,
) -> Result<(usize, Vec<f32>), CollectiveError> {
    if all.size() == 1 {
        return Ok((0, own.to_vec()));
    }
    let bytes: Vec<u8> = own.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut before = 0;
    let mut joined = Vec::new();
    for (rank, part) in all.allgather(&bytes)?.iter().enumerate() {
        let (numbers, rest) = part.as_chunks::<4>();
        if !rest.is_empty() {
            let reason = format!(
                "instance {rank} sent {} bytes as 4-byte numbers",
                part.len()
            );
            return Err(CollectiveError(reason));
        }
        if rank < all.rank() {
            before += numbers.len();
        }
        joined.extend(numbers.iter().map(|number| f32::from_le_bytes(*number)));
    }
    Ok((before, joined))
}

/// All instances' numbers in the order of ranks.
pub(crate) fn joined(own: &[f32], all: &mut dyn Collective) -> Result<Vec<f32>, CollectiveError> {
    Ok(parts(own, all)?.1)
}
