//! The two generators that XGBoost draws pairs with, so that the same pairs are drawn here.

/// The Mersenne Twister MT19937 of Matsumoto and Nishimura (1998).
#[derive(Clone, Debug)]
pub(super) struct Twister {
    state: Vec<u32>,
    next: usize,
}

const WORDS: usize = 624;
const MIDDLE: usize = 397;

impl Twister {
    pub(super) fn new(seed: u32) -> Self {
        let mut state = vec![seed];
        for index in 1..WORDS {
            let last = state[index - 1];
            let mixed = (last ^ (last >> 30)).wrapping_mul(1_812_433_253);
            state.push(mixed.wrapping_add(index as u32));
        }
        Self { state, next: WORDS }
    }

    pub(super) fn draw(&mut self) -> u32 {
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

    fn renew(&mut self) {
        for index in 0..WORDS {
            let high = self.state[index] & 0x8000_0000;
            let low = self.state[(index + 1) % WORDS] & 0x7fff_ffff;
            let joined = high | low;
            let odd = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[index] = self.state[(index + MIDDLE) % WORDS] ^ (joined >> 1) ^ odd;
        }
        self.next = 0;
    }
}

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
    fn the_ten_thousandth_draws_are_those_the_c_standard_asks_for() {
        let mut twister = Twister::new(5489);
        assert_eq!(
            (0..10_000).map(|_| twister.draw()).last(),
            Some(4_123_659_995)
        );
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
