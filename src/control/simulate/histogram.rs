//! Percentiles of many values in little memory: log-linear buckets, 32 to each doubling, so that a value is
//! known to within 2 %.
//!
//! Deliberately absent: time. What endpoints measure themselves ages (`policy::health::histogram`); here all
//! of a run counts.

/// Buckets to each doubling, and the bits of it.
const STEP_BITS: u32 = 5;
const STEPS: u64 = 1 << STEP_BITS;
/// The largest value that is told from larger ones: about 73 minutes in microseconds.
const VALUE_MOST: u64 = (1 << 32) - 1;
const BUCKETS: usize = bucket(VALUE_MOST) + 1;

/// Values from 0 to 4,294,967,295 in whatever unit; larger ones count as the largest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Empty until there is a value.
    counts: Vec<u32>,
    total: u64,
    sum: u128,
}

const fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = u64::BITS - value.leading_zeros() - STEP_BITS - 1;
    (((shift as u64 + 1) << STEP_BITS) + ((value >> shift) & (STEPS - 1))) as usize
}

/// The middle of a bucket.
fn middle(bucket: usize) -> f64 {
    let (doubling, step) = (bucket as u64 >> STEP_BITS, bucket as u64 & (STEPS - 1));
    if doubling == 0 {
        return step as f64;
    }
    let width = 1_u64 << (doubling - 1);
    ((STEPS + step) * width) as f64 + (width - 1) as f64 / 2.0
}

impl Histogram {
    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        let count = &mut self.counts[bucket(value.min(VALUE_MOST))];
        *count = count.saturating_add(1);
        self.total += 1;
        self.sum += u128::from(value);
    }

    /// How many values were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.total
    }

    /// Their mean; 0 without any.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.total.max(1) as f64
    }

    /// The value that this share of all values does not exceed; `None` without any.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut below = 0;
        let found = self.counts.iter().position(|count| {
            below += u64::from(*count);
            below >= rank
        });
        found.map(middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_ascend_and_hold_their_middles() {
        let mut last = 0;
        for value in (0..2_000).chain((11..33).map(|bits| (1 << bits) - 1)) {
            let at = bucket(value);
            assert!(at >= last, "{value}");
            last = at;
            let off = (middle(at) - value as f64).abs();
            assert!(off <= value as f64 / 60.0 + 0.5, "{value}: {}", middle(at));
        }
        assert_eq!(last, BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.quantile(0.5), histogram.mean()), (None, 0.0));
        (1..=1_000).for_each(|value| histogram.add(value * 1_000));
        for (share, want) in [(0.5, 500_000.0), (0.95, 950_000.0), (0.0, 1_000.0), (1.0, 1_000_000.0)] {
            let got = histogram.quantile(share).unwrap();
            assert!((got / want - 1.0).abs() < 0.02, "{share}: {got}");
        }
        histogram.add(u64::MAX);
        assert!(histogram.quantile(1.0).unwrap() > 4.2e9);
        assert_eq!(histogram.count(), 1_001);
    }
}
