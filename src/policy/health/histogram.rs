//! Percentiles of the last five minutes: log-linear buckets of fixed size, in slices of one minute.
//!
//! Eight buckets to each doubling: a value is known to within 6 %, from 1 to 262,143 in whatever unit.
//! Deliberately absent: merging of histograms over cores (cores publish percentiles, weighted by count).

use core::time::Duration;

use crate::base::time::Moment;
use crate::policy::live::Percentiles;

/// Buckets to each doubling.
const STEPS: u32 = 8;
/// Doublings covered.
const DOUBLINGS: u32 = 18;
const BUCKETS: usize = (STEPS * (DOUBLINGS - 2)) as usize;
/// Five whole slices and the one that fills.
const SLICES: usize = 6;
const SLICE: Duration = Duration::from_secs(60);

/// Values seen in the last five to six minutes, counted by magnitude. A bucket saturates at 65,535.
#[derive(Clone, Debug)]
pub struct Histogram {
    slices: [[u16; BUCKETS]; SLICES],
    newest: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { slices: [[0; BUCKETS]; SLICES], newest: 0 }
    }
}

/// Values below eight have a bucket each; above, the three bits behind the highest one choose the bucket.
const fn bucket(value: u32) -> usize {
    let bits = u32::BITS - value.leading_zeros();
    let bucket =
        if value < STEPS { value } else { (bits - 3) * STEPS + ((value >> (bits - 4)) & (STEPS - 1)) };
    if bucket as usize >= BUCKETS { BUCKETS - 1 } else { bucket as usize }
}

/// The middle of a bucket.
fn middle(bucket: usize) -> f32 {
    let (doubling, step) = (bucket as u32 / STEPS, bucket as u32 % STEPS);
    if doubling == 0 {
        return step as f32;
    }
    let width = 1_u32 << (doubling - 1);
    ((STEPS + step) * width) as f32 + (width - 1) as f32 / 2.0
}

/// The value at a percentile of what was counted, `total` altogether; 0 when nothing was.
fn ranked(sums: &[u32; BUCKETS], total: u32, percent: u32) -> f32 {
    let rank = (u64::from(total) * u64::from(percent)).div_ceil(100).max(1) as u32;
    let mut below = 0;
    let found = sums.iter().position(|count| {
        below += count;
        below >= rank
    });
    found.map_or(0.0, middle)
}

impl Histogram {
    fn turn(&mut self, now: Moment) {
        let slice = now.nanos() / SLICE.as_nanos() as u64;
        let steps = slice.saturating_sub(self.newest).min(SLICES as u64);
        for step in 0..steps {
            self.slices[((slice - step) % SLICES as u64) as usize] = [0; BUCKETS];
        }
        self.newest = self.newest.max(slice);
    }

    /// Counts a value; what is not a number counts as zero.
    pub fn add(&mut self, now: Moment, value: f32) {
        self.turn(now);
        let count = &mut self.slices[(self.newest % SLICES as u64) as usize][bucket(value as u32)];
        *count = count.saturating_add(1);
    }

    /// Values seen, by bucket.
    fn sums(&mut self, now: Moment) -> [u32; BUCKETS] {
        self.turn(now);
        let mut sums = [0_u32; BUCKETS];
        for slice in &self.slices {
            for (sum, count) in sums.iter_mut().zip(slice) {
                *sum += u32::from(*count);
            }
        }
        sums
    }

    /// The value that `percent` of 100 do not exceed; `None` when fewer than `least` were counted.
    pub fn percentile_of(&mut self, now: Moment, percent: u32, least: u32) -> Option<f32> {
        let sums = self.sums(now);
        let total: u32 = sums.iter().sum();
        (total >= least).then(|| ranked(&sums, total, percent))
    }

    /// The percentiles at `now`; all zero when nothing was counted. With `falling`, higher percentiles are
    /// lower values: speeds that more requests reach.
    pub fn percentiles(&mut self, now: Moment, falling: bool) -> Percentiles {
        let sums = self.sums(now);
        let total: u32 = sums.iter().sum();
        let at = |percent: u32| ranked(&sums, total, if falling { 100 - percent } else { percent });
        Percentiles { p50: at(50), p75: at(75), p90: at(90), p99: at(99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn every_value_lies_within_its_bucket() {
        let mut last = 0;
        for value in 0..300_000_u32 {
            let bucket = bucket(value);
            assert!(bucket == last || bucket == last + 1, "{value}: {last} then {bucket}");
            last = bucket;
            let middle = middle(bucket);
            if value < 262_144 {
                assert!(
                    (middle - value as f32).abs() <= value as f32 * 0.0625,
                    "{value} is taken for {middle}"
                );
            }
        }
        assert_eq!(bucket(u32::MAX), BUCKETS - 1);
    }

    #[track_caller]
    fn check(values: &[f32], falling: bool, want: [f32; 4]) {
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.add(at(1), *value));
        assert_eq!(histogram.percentiles(at(2), falling).all(), want, "{values:?}");
    }

    #[test]
    fn percentiles_are_ranks() {
        check(&[], false, [0.0; 4]);
        check(&[5.0], false, [5.0; 4]);
        check(&[1.0, 2.0, 3.0, 4.0], false, [2.0, 3.0, 4.0, 4.0]);
        check(&[1.0, 2.0, 3.0, 4.0], true, [2.0, 1.0, 1.0, 1.0]);
        check(&[f32::NAN, -3.0], false, [0.0; 4]);
        check(&[f32::INFINITY], false, [middle(BUCKETS - 1); 4]);
    }

    #[test]
    fn a_percentile_of_too_few_is_none() {
        let mut histogram = Histogram::default();
        (1..=19).for_each(|value| histogram.add(at(1), value as f32 / 4.0));
        assert_eq!(histogram.percentile_of(at(1), 95, 20), None);
        histogram.add(at(1), 7.0);
        assert_eq!(histogram.percentile_of(at(1), 95, 20), Some(4.0));
        assert_eq!(histogram.percentile_of(at(1), 100, 20), Some(7.0));
        assert_eq!(histogram.percentile_of(at(400), 95, 20), None);
    }

    #[test]
    fn values_leave_after_five_minutes() {
        let mut histogram = Histogram::default();
        histogram.add(at(0), 7.0);
        histogram.add(at(200), 3.0);
        assert_eq!(histogram.percentiles(at(359), false).p99, 7.0);
        assert_eq!(histogram.percentiles(at(360), false).p99, 3.0);
        assert_eq!(histogram.percentiles(at(600), false).p99, 0.0);
    }
}
