//! The generator XGBoost draws from (MT19937), and draws made of it the way its C++ library and
//! `numpy` make them: dropout picks the trees, cross-validation the rows, and ranking the pairs, that
//! XGBoost's would of the same seed.

const WORDS: usize = 624;
const SHIFT: usize = 397;

/// MT19937 (Matsumoto and Nishimura, 1998).
#[derive(Clone, Debug)]
pub(crate) struct Mt19937 {
    state: [u32; WORDS],
    next: usize,
}

impl Mt19937 {
    /// Starts from `seed` as `std::mt19937` and `numpy.random.seed` do.
    pub(crate) fn new(seed: u32) -> Self {
        let mut state = [seed; WORDS];
        for at in 1..WORDS {
            let before = state[at - 1];
            // `at` is below 624.
            state[at] = (before ^ (before >> 30))
                .wrapping_mul(1_812_433_253)
                .wrapping_add(at as u32);
        }
        Self { state, next: WORDS }
    }

    /// 32 random bits.
    pub(crate) fn bits(&mut self) -> u32 {
        if self.next == WORDS {
            self.renew();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// A number in [0, 1) of two draws, as libstdc++'s `uniform_real_distribution<double>`.
    pub(crate) fn unit(&mut self) -> f64 {
        let low = f64::from(self.bits());
        let high = f64::from(self.bits());
        let value = (low + high * 4_294_967_296.0) / 18_446_744_073_709_551_616.0;
        if value < 1.0 {
            value
        } else {
            1.0_f64.next_down()
        }
    }

    /// A number below `bound`, which is not 0, as libstdc++'s `uniform_int_distribution` since GCC
    /// 11 (Lemire's method).
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let mut product = u64::from(self.bits()) * u64::from(bound);
        // The truncation takes the low half of the product.
        if (product as u32) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u32) < threshold {
                product = u64::from(self.bits()) * u64::from(bound);
            }
        }
        (product >> 32) as u32
    }

    /// One of `weights` with a probability in proportion, as libstdc++'s `discrete_distribution`.
    /// The first where there are fewer than two.
    pub(crate) fn pick(&mut self, weights: &[f32]) -> usize {
        if weights.len() < 2 {
            return 0;
        }
        let sum: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let draw = self.unit();
        let mut upto = 0.0;
        weights
            .iter()
            .position(|weight| {
                upto += f64::from(*weight) / sum;
                upto >= draw
            })
            .unwrap_or(weights.len() - 1)
    }

    /// Shuffles as `numpy.random.RandomState.shuffle` does.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.up_to(last);
            items.swap(last, other);
        }
    }

    /// A number of at most `last`: bits cut to its width until they are not too many.
    fn up_to(&mut self, last: usize) -> usize {
        let mask = usize::MAX >> last.leading_zeros();
        loop {
            let mut bits = u64::from(self.bits());
            if u32::try_from(last).is_err() {
                bits = bits << 32 | u64::from(self.bits());
            }
            // The mask is no wider than `last`, so no bit that counts is lost on 32 bits.
            let value = bits as usize & mask;
            if value <= last {
                return value;
            }
        }
    }

    fn renew(&mut self) {
        for at in 0..WORDS {
            let joined =
                (self.state[at] & 0x8000_0000) | (self.state[(at + 1) % WORDS] & 0x7fff_ffff);
            let twist = if joined & 1 == 0 { 0 } else { 0x9908_b0df };
            self.state[at] = self.state[(at + SHIFT) % WORDS] ^ (joined >> 1) ^ twist;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ten_thousandth_number_is_the_standards() {
        // ISO C++ [rand.predef] states it for the default seed 5489.
        let mut random = Mt19937::new(5489);
        let last = (0..10_000).map(|_| random.bits()).last();
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn a_shuffle_is_numpys() {
        // numpy.random.seed(7); numpy.random.permutation(10)
        let mut order: Vec<u32> = (0..10).collect();
        Mt19937::new(7).shuffle(&mut order);
        assert_eq!(order, [8, 5, 0, 2, 1, 9, 7, 3, 6, 4]);
    }

    #[test]
    fn draws_stay_in_their_ranges() {
        let mut random = Mt19937::new(1);
        for _ in 0..1000 {
            assert!((0.0..1.0).contains(&random.unit()));
            assert!(random.below(3) < 3);
            assert_ne!(random.pick(&[1.0, 0.0, 2.0]), 1);
        }
        assert_eq!(random.pick(&[5.0]), 0);
    }
}
