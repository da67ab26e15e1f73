//! Random words from a seed, and the draws made from them.
//!
//! Deliberately absent: any source of randomness but the seed.

use crate::policy::strategy::spread;

/// A generator of random words (splitmix64). The same seed gives the same words everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins at `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One whose words depend on all of these.
    #[must_use]
    pub fn of(seeds: &[u64]) -> Self {
        Self(seeds.iter().fold(0x9e37_79b9_7f4a_7c15, |word, seed| spread(word ^ seed)))
    }

    /// The next word.
    pub const fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        spread(self.0)
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.word()) * bound as u128) >> 64) as usize
    }

    /// A number above 0 and below 1.
    pub fn fraction(&mut self) -> f64 {
        ((self.word() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// True for this share of all calls.
    pub fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.fraction() < share
    }

    /// From the normal distribution with mean 0 and deviation 1 (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.fraction().ln()).sqrt();
        radius * (core::f64::consts::TAU * self.fraction()).cos()
    }
}

/// A log-normal distribution: what waits and sizes are like, with a long tail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogNormal {
    mean_of_log: f64,
    deviation_of_log: f64,
}

/// The 95th percentile of the normal distribution.
const NORMAL_95: f64 = 1.644_853_626_951_472_7;

impl LogNormal {
    /// The one with this median and 95th percentile. A percentile below the median counts as the median, a
    /// median below 10⁻⁹ as that.
    #[must_use]
    pub fn new(median: f64, p95: f64) -> Self {
        let median = median.max(1e-9);
        let deviation_of_log = (p95.max(median) / median).ln() / NORMAL_95;
        Self { mean_of_log: median.ln(), deviation_of_log }
    }

    /// A draw.
    pub fn draw(&self, random: &mut Random) -> f64 {
        (self.mean_of_log + self.deviation_of_log * random.normal()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_percentiles_that_were_asked_for() {
        for (median, p95) in [(300.0, 900.0), (50.0, 50.0), (1.0, 100.0)] {
            let (mut random, spread) = (Random::new(1), LogNormal::new(median, p95));
            let mut draws: Vec<f64> = (0..20_000).map(|_| spread.draw(&mut random)).collect();
            draws.sort_by(f64::total_cmp);
            let near = |got: f64, want: f64| (got / want - 1.0).abs() < 0.08;
            assert!(near(draws[10_000], median), "{median} {p95}: {}", draws[10_000]);
            assert!(near(draws[19_000], p95), "{median} {p95}: {}", draws[19_000]);
        }
    }

    #[test]
    fn chances_and_bounds_are_kept() {
        let mut random = Random::of(&[1, 2]);
        let hits = (0..10_000).filter(|_| random.chance(0.1)).count();
        assert!((900..1_100).contains(&hits), "{hits}");
        assert!((0..100).all(|_| !random.chance(0.0)));
        assert!((1..100).all(|bound| random.below(bound) < bound));
        assert_eq!(random.below(0), 0);
        assert_ne!(Random::of(&[1, 2]).word(), Random::of(&[2, 1]).word());
    }
}
