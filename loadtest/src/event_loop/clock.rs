//! Monotonic nanoseconds, the core a thread is pinned to, and random numbers that repeat.
//!
//! The clock is `CLOCK_MONOTONIC`, which all processes of one machine share: a time that the origin writes
//! into an event is compared by the client as it is. Deliberately absent: the time of day.

use core::num::NonZeroU64;

use rustix::thread::{CpuSet, sched_setaffinity, set_current_timer_slack};
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of a second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Both count from boot and are never below zero.
    now.tv_sec.unsigned_abs() * SECOND_NS + now.tv_nsec.unsigned_abs()
}

/// A time in a file's or an option's unit as nanoseconds; never below zero.
pub(crate) fn seconds_ns(seconds: f64) -> u64 {
    (seconds * SECOND_NS as f64) as u64
}

/// Makes this thread's waits end when they are due, not up to 50 µs later (the default of timer slack,
/// prctl(2)). Where that is refused, times are only less exact, which the figures show.
pub(crate) fn be_punctual() {
    let _ = set_current_timer_slack(NonZeroU64::new(1));
}

/// Pins this thread to one core.
///
/// # Errors
/// There is no such core, or it is not ours to use.
pub(crate) fn pin(cpu: u32) -> Result<(), String> {
    let index = cpu as usize;
    if index >= CpuSet::MAX_CPU {
        return Err(format!("core {cpu}: there is none"));
    }
    let mut set = CpuSet::new();
    set.set(index);
    sched_setaffinity(None, &set).map_err(|error| format!("core {cpu}: {error}"))
}

/// SplitMix64 (Steele, Lea and Flood, 2014): good enough for shares and arrivals, and repeatable.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// A sequence of its own for each seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Evenly spread, from 0 and below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        // The upper 53 bits fill a double's mantissa.
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_go_back() {
        let times = [now_ns(), now_ns(), now_ns()];
        assert!(times[0] > 0 && times.is_sorted(), "{times:?}");
        assert_eq!(seconds_ns(0.25), 250_000_000);
    }

    #[test]
    fn random_numbers_repeat_and_are_even() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            core::array::from_fn::<f64, 4000, _>(|_| random.unit())
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7)[0].to_bits(), draw(8)[0].to_bits());
        let mean = draw(7).iter().sum::<f64>() / 4000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
        assert!(draw(7).iter().all(|unit| (0.0..1.0).contains(unit)));
    }

    #[test]
    fn a_core_that_is_not_there_is_an_error() {
        assert!(pin(1023).is_err());
        assert!(pin(u32::MAX).is_err());
    }
}
