//! Histograms on their way to another instance, without the bins that no row is in where that is shorter.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | how many bins follow; 0xffffffff says all, without their numbers |
//! | 4 each | their numbers, ascending |
//! | 16 each | their two sums |
//!
//! All numbers are little-endian.

use super::histogram::Bin;

/// Instead of a count: all bins follow.
const ALL: u32 = u32::MAX;

/// Appends `histogram` to `message`.
pub(super) fn write(histogram: &[Bin], message: &mut Vec<u8>) {
    let count = histogram.iter().filter(|bin| holds(bin)).count();
    if count * (size_of::<u32>() + size_of::<Bin>()) >= size_of_val(histogram) {
        message.extend_from_slice(&ALL.to_le_bytes());
        for bin in histogram {
            message.extend_from_slice(&bytes(bin));
        }
        return;
    }
    // A matrix has less than 2^32 bins.
    message.extend_from_slice(&(count as u32).to_le_bytes());
    let held = || histogram.iter().enumerate().filter(|(_, bin)| holds(bin));
    for (number, _) in held() {
        message.extend_from_slice(&(number as u32).to_le_bytes());
    }
    for (_, bin) in held() {
        message.extend_from_slice(&bytes(bin));
    }
}

/// Adds what stands at the front of `message` to `histogram`, and gives what comes after it; `None` where
/// that is no histogram of so many bins.
pub(super) fn add<'m>(message: &'m [u8], histogram: &mut [Bin]) -> Option<&'m [u8]> {
    let (count, rest) = message.split_first_chunk()?;
    let count = u32::from_le_bytes(*count);
    if count == ALL {
        let (sums, rest) = rest.split_at_checked(size_of_val(histogram))?;
        for (bin, sums) in histogram.iter_mut().zip(sums.as_chunks().0) {
            add_to(bin, sums);
        }
        return Some(rest);
    }
    let count = usize::try_from(count).ok()?;
    let (numbers, rest) = rest.split_at_checked(count.checked_mul(size_of::<u32>())?)?;
    let (sums, rest) = rest.split_at_checked(count.checked_mul(size_of::<Bin>())?)?;
    for (number, sums) in numbers.as_chunks().0.iter().zip(sums.as_chunks().0) {
        let number = usize::try_from(u32::from_le_bytes(*number)).ok()?;
        add_to(histogram.get_mut(number)?, sums);
    }
    Some(rest)
}

/// Whether a bin has more to say than that nothing was added to it.
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
        assert_eq!(written(&few).len(), 4 + 2 * 20);
        assert_eq!(written(&full).len(), 4 + 100 * 16);
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
        let many = [&7_u32.to_le_bytes()[..], &[0; 100]].concat();
        assert_eq!(add(&many, &mut vec![[0.0; 2]; 100]), None);
    }
}
