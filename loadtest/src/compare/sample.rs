//! One window's figures, and figures over windows: medians, and ratios within a round.
//!
//! Deliberately absent: printing.

use hdrhistogram::Histogram;

use super::accounting::Spent;

/// Share of a window that other processes may have one of the two cores without being noticed at 99 %.
const LOST_MAX: f64 = 0.007;

/// One window.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) round: u32,
    /// Answers or events.
    pub(super) done: u64,
    pub(super) seconds: f64,
    /// CPU time of the contender; none for `direct`.
    pub(super) spent: Option<Spent>,
    pub(super) nanos: Histogram<u64>,
    /// Resident bytes at the end of the window, under load.
    pub(super) memory: Option<u64>,
    /// Share of its core that the rig used; near 1 it is the rig that limits the rate.
    pub(super) rig_busy: f64,
    /// Share of the time, 0 to 1, that other processes had one of the two cores.
    pub(super) lost: f64,
}

impl Sample {
    pub(super) fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    /// CPU microseconds per answer or event.
    pub(super) fn micros(&self) -> Option<f64> {
        Some(self.spent?.seconds * 1e6 / self.done as f64)
    }

    /// True if other processes had a core for so long that the 99th percentile may tell of them.
    pub(super) fn is_disturbed(&self) -> bool {
        self.lost > LOST_MAX
    }

    /// Microseconds at 50, 99 and 99.9 %.
    pub(super) fn percentiles(&self) -> [f64; 3] {
        [50.0, 99.0, 99.9].map(|percent| self.nanos.value_at_percentile(percent) as f64 / 1000.0)
    }
}

/// The value in the middle; none of nothing.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// A figure of `own` divided by that of `base` in the same round: median, lowest, highest. A round in which
/// either was spoilt has no pair.
pub(super) fn ratio(
    own: &[Sample],
    base: &[Sample],
    figure: impl Fn(&Sample) -> Option<f64>,
) -> Option<[f64; 3]> {
    let beside = |own: &Sample| base.iter().find(|base| base.round == own.round);
    let pairs = own.iter().filter_map(|own| Some((figure(own)?, figure(beside(own)?)?)));
    let ratios: Vec<f64> = pairs.filter(|(_, base)| *base > 0.0).map(|(own, base)| own / base).collect();
    let low = ratios.iter().copied().min_by(f64::total_cmp)?;
    let high = ratios.iter().copied().max_by(f64::total_cmp)?;
    Some([median(ratios)?, low, high])
}

/// The windows whose latencies tell of the contender: those that were not disturbed, or the least disturbed
/// one.
fn calm(samples: &[Sample]) -> impl Iterator<Item = &Sample> {
    let least = samples.iter().map(|sample| sample.lost).min_by(f64::total_cmp).unwrap_or(0.0);
    samples.iter().filter(move |sample| !sample.is_disturbed() || sample.lost <= least)
}

/// Microseconds at 50, 99 and 99.9 %: medians over rounds.
pub(super) fn latencies(samples: &[Sample]) -> [Option<f64>; 3] {
    [0, 1, 2].map(|at| {
        let mut values: Vec<f64> = calm(samples).map(|sample| sample.percentiles()[at]).collect();
        values.sort_by(f64::total_cmp);
        // Of two in the middle the lower one, as what is not noticed can only add.
        values.get(values.len().saturating_sub(1) / 2).copied()
    })
}

/// Those beyond `direct`'s. Percentiles of rounds are not paired: noise of a round is not the same for both.
pub(super) fn added(own: &[Sample], direct: &[Sample]) -> [Option<f64>; 3] {
    let (own, direct) = (latencies(own), latencies(direct));
    [0, 1, 2].map(|at| Some(own[at]? - direct[at]?))
}

#[cfg(test)]
pub(super) fn sample(round: u32, cpu: f64, nanos: u64) -> Sample {
    let (done, seconds) = (1000, 0.5);
    let mut histogram = Histogram::new_with_max(60_000_000_000, 3).unwrap();
    histogram.record_n(nanos, done).unwrap();
    let spent = (cpu > 0.0).then_some(Spent { seconds: cpu, user: 0.25, waited: 0.0 });
    Sample { round, done, seconds, spent, nanos: histogram, memory: Some(1 << 20), rig_busy: 0.5, lost: 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        for (values, want) in [
            (vec![], None),
            (vec![3.0], Some(3.0)),
            (vec![9.0, 1.0, 2.0], Some(2.0)),
            (vec![4.0, 1.0, 2.0, 9.0], Some(3.0)),
        ] {
            assert_eq!(median(values), want);
        }
    }

    #[test]
    fn pairs_are_of_one_round() {
        let base = [sample(0, 0.010, 30_000), sample(2, 0.020, 10_000)];
        let own = [sample(0, 0.012, 50_000), sample(1, 9.0, 9_000_000), sample(2, 0.022, 40_000)];
        let [middle, low, high] = ratio(&own, &base, Sample::micros).unwrap();
        assert!((middle - 1.15).abs() < 1e-9 && (low - 1.1).abs() < 1e-9 && (high - 1.2).abs() < 1e-9);

        assert_eq!(ratio(&own, &[], Sample::micros), None);
    }

    #[test]
    fn latencies_are_of_calm_windows_if_there_are_any() {
        let direct = [sample(0, 0.0, 10_000)];
        let mut own = [sample(0, 0.01, 30_000), sample(1, 0.01, 9_000_000), sample(2, 0.01, 50_000)];
        own[1].lost = 0.1;
        assert!(added(&own, &direct).iter().all(|added| (added.unwrap() - 20.0).abs() < 0.1));
        own[0].lost = 0.02;
        own[2].lost = 0.01;
        assert!(added(&own, &direct).iter().all(|added| (added.unwrap() - 40.0).abs() < 0.1));
        assert_eq!(added(&own, &[]), [None; 3]);
    }
}
