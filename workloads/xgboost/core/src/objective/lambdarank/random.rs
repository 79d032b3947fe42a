//! The generator that XGBoost draws pairs with, so that the same pairs are drawn here.

/// The multiplicative congruential generator of Park and Miller with the multiplier 48271.
#[derive(Clone, Debug)]
pub(super) struct Congruential(u64);

const MODULUS: u64 = 2_147_483_647;

impl Congruential {
    pub(super) fn new(seed: u32) -> Self {
        let state = u64::from(seed) % MODULUS;
        Self(if state == 0 { 1 } else { state })
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0 * 48_271 % MODULUS;
        self.0
    }

    /// A whole number below `end`, all equally likely; `end` is above 0 and far below the modulus.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = end as u64;
        // The smallest draw is 1, the largest MODULUS - 1.
        let width = (MODULUS - 2) / end;
        loop {
            let drawn = self.draw() - 1;
            if drawn < width * end {
                return (drawn / width) as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ten_thousandth_draw_is_the_one_the_c_standard_asks_for() {
        let mut congruential = Congruential::new(1);
        assert_eq!(
            (0..10_000).map(|_| congruential.draw()).last(),
            Some(399_268_537)
        );
    }

    #[test]
    fn draws_stay_below_their_end() {
        let mut congruential = Congruential::new(0);
        assert!((0..1000).all(|_| congruential.below(7) < 7));
        assert_eq!(congruential.below(1), 0);
    }
}
