//! Histograms on their way to another instance, without the bins that no row is in.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | which of the next 32 bins follow, the first one's bit the lowest |
//! | 16 each | their two sums |
//!
//! All numbers are little-endian.

use super::histogram::Bin;

/// Bins that share a number that says which of them follow.
const GROUP: usize = u32::BITS as usize;

/// Appends `histogram` to `message`.
pub(super) fn write(histogram: &[Bin], message: &mut Vec<u8>) {
    for bins in histogram.chunks(GROUP) {
        let last_first = bins.iter().rev();
        let mut held = last_first.fold(0_u32, |held, bin| held << 1 | u32::from(holds(bin)));
        message.extend_from_slice(&held.to_le_bytes());
        while held != 0 {
            message.extend_from_slice(&bytes(&bins[held.trailing_zeros() as usize]));
            held &= held - 1;
        }
    }
}

/// Adds what stands at the front of `message` to `histogram`, and gives what comes after it; `None` where
/// that is no histogram of so many bins.
pub(super) fn add<'m>(mut message: &'m [u8], histogram: &mut [Bin]) -> Option<&'m [u8]> {
    for bins in histogram.chunks_mut(GROUP) {
        let (held, rest) = message.split_first_chunk()?;
        let mut held = u32::from_le_bytes(*held);
        let length = held.count_ones() as usize * size_of::<Bin>();
        let (sums, rest) = rest.split_at_checked(length)?;
        for sums in sums.as_chunks().0 {
            add_to(bins.get_mut(held.trailing_zeros() as usize)?, sums);
            held &= held - 1;
        }
        message = rest;
    }
    Some(message)
}

#[inline]
fn holds([grad, hess]: &Bin) -> bool {
    grad.to_bits() | hess.to_bits() != 0
}

fn bytes([grad, hess]: &Bin) -> [u8; size_of::<Bin>()] {
    let bits = u128::from(grad.to_bits()) | u128::from(hess.to_bits()) << 64;
    bits.to_le_bytes()
}

fn add_to([grad, hess]: &mut Bin, sums: &[u8; size_of::<Bin>()]) {
    let bits = u128::from_le_bytes(*sums);
    *grad += f64::from_bits(bits as u64);
    *hess += f64::from_bits((bits >> 64) as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(histogram: &[Bin]) -> Vec<u8> {
        let mut message = Vec::new();
        write(histogram, &mut message);
        message
    }

    #[test]
    fn what_is_added_is_the_same_whether_few_bins_hold_something_or_all() {
        let mut few = vec![[0.0, 0.0]; 100];
        few[7] = [-1.5, 0.25];
        few[99] = [0.0, 1e-300];
        let full: Vec<Bin> = (0..100).map(|n| [0.1 * f64::from(n), 1.0]).collect();
        assert_eq!(written(&few).len(), 4 * 4 + 2 * 16);
        assert_eq!(written(&full).len(), 4 * 4 + 100 * 16);
        for histogram in [few, full] {
            let mut sums = vec![[1.0, 2.0]; 100];
            let message = [written(&histogram), vec![9]].concat();
            assert_eq!(add(&message, &mut sums), Some(&[9][..]));
            for (sum, bin) in sums.iter().zip(&histogram) {
                assert_eq!(*sum, [1.0 + bin[0], 2.0 + bin[1]]);
            }
        }
    }

    #[test]
    fn a_message_that_ends_early_or_names_other_bins_is_none() {
        let mut few = vec![[0.0, 0.0]; 100];
        few[99] = [1.0, 1.0];
        for message in [written(&few), written(&vec![[1.0, 1.0]; 100])] {
            for length in 0..message.len() {
                assert_eq!(add(&message[..length], &mut vec![[0.0; 2]; 100]), None);
            }
        }
        assert_eq!(add(&written(&few), &mut vec![[0.0; 2]; 99]), None);
    }
}
