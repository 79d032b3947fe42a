//! The best split of each node among all instances' features.
//!
//! Each instance looks at its part of the features, and they tell each other what they found; of
//! equal splits the first feature's stays, as where one looks at all.

use super::evaluate::{Candidate, Question};
use crate::{
    collective::{Collective, CollectiveError},
    gradient::GradientSum,
};

/// The best of what all instances found for each node.
///
/// # Errors
/// Other instances are gone, or say what they cannot.
pub(crate) fn best_of_all(
    own: &[Candidate],
    all: &mut dyn Collective,
) -> Result<Vec<Candidate>, CollectiveError> {
    let mut bytes = Vec::with_capacity(64 * own.len());
    for candidate in own {
        write(candidate, &mut bytes);
    }
    let told = all.allgather(&bytes)?;
    let mut best: Vec<Candidate> = own.iter().map(|_| Candidate::none()).collect();
    for (rank, bytes) in told.iter().enumerate() {
        let mut rest = bytes.as_slice();
        for best in &mut best {
            let found = read(&mut rest).ok_or_else(|| {
                CollectiveError(format!("instance {rank} told of splits that are none"))
            })?;
            if best.yields_to(found.loss_change) {
                *best = found;
            }
        }
        if !rest.is_empty() {
            let reason = format!("instance {rank} told of more nodes than there are");
            return Err(CollectiveError(reason));
        }
    }
    Ok(best)
}

fn write(candidate: &Candidate, bytes: &mut Vec<u8>) {
    let Candidate {
        loss_change,
        feature,
        question,
        default_left,
        left,
        right,
    } = candidate;
    bytes.extend_from_slice(&loss_change.to_le_bytes());
    bytes.extend_from_slice(&feature.to_le_bytes());
    bytes.push(u8::from(*default_left));
    for number in [left.grad, left.hess, right.grad, right.hess] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    match question {
        Question::First(bins) => {
            bytes.push(0);
            bytes.extend_from_slice(&bins.to_le_bytes());
        }
        Question::NoneOf(categories) => {
            bytes.push(1);
            // A feature has fewer than 2^16 categories.
            bytes.extend_from_slice(&(categories.len() as u32).to_le_bytes());
            for category in categories {
                bytes.extend_from_slice(&category.to_le_bytes());
            }
        }
    }
}

fn read(bytes: &mut &[u8]) -> Option<Candidate> {
    let loss_change = f32::from_le_bytes(take(bytes)?);
    let feature = u32::from_le_bytes(take(bytes)?);
    let [default_left] = take(bytes)?;
    let mut number = || Some(f64::from_le_bytes(take(bytes)?));
    let left = GradientSum::new(number()?, number()?);
    let right = GradientSum::new(number()?, number()?);
    let [kind] = take(bytes)?;
    let count = u32::from_le_bytes(take(bytes)?);
    let question = match kind {
        0 => Question::First(count),
        1 => {
            // Each takes four bytes, so no count is believed that is not there.
            let categories = bytes.split_off(..(count as usize).checked_mul(4)?)?;
            let (categories, _) = categories.as_chunks();
            Question::NoneOf(
                categories
                    .iter()
                    .map(|code| u32::from_le_bytes(*code))
                    .collect(),
            )
        }
        _ => return None,
    };
    Some(Candidate {
        loss_change,
        feature,
        question,
        default_left: default_left == 1,
        left,
        right,
    })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(loss_change: f32, feature: u32) -> Candidate {
        Candidate {
            loss_change,
            feature,
            question: Question::First(3),
            default_left: true,
            left: GradientSum::new(0.1, 0.2),
            right: GradientSum::new(-0.3, f64::MAX),
        }
    }

    #[test]
    fn candidates_are_read_as_they_were_written_and_half_ones_not_at_all() {
        let sorted = Candidate {
            question: Question::NoneOf(vec![2, 5, 65_534]),
            default_left: false,
            ..candidate(1.5, 7)
        };
        let mut bytes = Vec::new();
        for written in [&sorted, &candidate(0.1, 1), &Candidate::none()] {
            bytes.clear();
            write(written, &mut bytes);
            assert_eq!(read(&mut bytes.as_slice()).as_ref(), Some(written));
            for end in 0..bytes.len() {
                assert_eq!(read(&mut &bytes[..end]), None);
            }
        }
        write(&sorted, &mut bytes);
        let count = bytes.len() - 16;
        bytes[count..count + 4].fill(0xff);
        let mut rest = &bytes[count - 42..];
        assert_eq!(read(&mut rest), None, "a count beyond the end");
    }

    /// Instances of which all but this one say what is given.
    struct Told(Vec<Vec<u8>>);

    impl Collective for Told {
        fn rank(&self) -> usize {
            0
        }

        fn size(&self) -> usize {
            self.0.len() + 1
        }

        fn allreduce(
            &mut self,
            _: &mut [f64],
            _: crate::collective::Reduce,
        ) -> Result<(), CollectiveError> {
            unreachable!("nothing is summed")
        }

        fn broadcast(&mut self, _: &mut Vec<u8>, _: usize) -> Result<(), CollectiveError> {
            unreachable!("nothing is sent to all")
        }

        fn allgather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
            Ok([&[bytes.to_vec()], &self.0[..]].concat())
        }
    }

    #[test]
    fn the_best_of_all_is_the_one_that_looking_at_all_features_finds() {
        let own = [candidate(1.0, 0), candidate(2.0, 1), Candidate::none()];
        let mut others = Vec::new();
        for loss_changes in [[1.0, 3.0, f32::INFINITY], [4.0, 3.0, 0.5]] {
            let mut bytes = Vec::new();
            let feature = 10 + others.len() as u32;
            for loss_change in loss_changes {
                write(&candidate(loss_change, feature), &mut bytes);
            }
            others.push(bytes);
        }
        let best = best_of_all(&own, &mut Told(others)).unwrap();
        let found: Vec<_> = best
            .iter()
            .map(|best| (best.loss_change, best.feature))
            .collect();
        assert_eq!(found, [(4.0, 11), (3.0, 10), (0.5, 11)]);
    }

    #[test]
    fn what_others_cannot_mean_is_refused() {
        let own = [candidate(1.0, 0)];
        let mut two = Vec::new();
        write(&own[0], &mut two);
        let half = two[..20].to_vec();
        write(&own[0], &mut two);
        for told in [two, half, Vec::new()] {
            assert!(best_of_all(&own, &mut Told(vec![told])).is_err());
        }
    }
}
