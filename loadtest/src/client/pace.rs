//! When requests are due. In an open loop the times do not depend on any answer: a late answer makes the
//! next request late only in what is measured, never in what is asked.
//!
//! Deliberately absent: the clock, which is an argument.

use crate::event_loop::clock::{Random, SECOND_NS};
use crate::scenario::Load;

/// The times still to come.
#[derive(Debug)]
pub(super) struct Pace {
    load: Load,
    begin_ns: u64,
    /// Times given out.
    given: u64,
    /// The next time, relative to the beginning; infinite when there is none.
    next: f64,
    /// Over which the first streams are spread.
    spread: f64,
    random: Random,
}

impl Pace {
    /// Times from `begin_ns` on. The first `streams` are spread over `spread_ns`.
    pub(super) fn new(load: Load, begin_ns: u64, spread_ns: u64, seed: u64) -> Self {
        let mut pace =
            Self { load, begin_ns, given: 0, next: 0.0, spread: spread_ns as f64, random: Random::new(seed) };
        if let Load::Poisson(rate) = load {
            pace.next = pace.pause(rate);
        }
        pace
    }

    /// The next time, as the clock shows it.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.next.is_finite().then(|| self.begin_ns + self.next as u64)
    }

    /// Takes the next time if it has come.
    pub(super) fn pop_due(&mut self, now_ns: u64) -> Option<u64> {
        let due_ns = self.next_ns().filter(|due_ns| *due_ns <= now_ns)?;
        self.given += 1;
        self.next = match self.load {
            // Multiplied, not added up: an hour later the rate is still exact.
            Load::Rate(rate) => self.given as f64 / rate * SECOND_NS as f64,
            Load::Poisson(rate) => self.next + self.pause(rate),
            Load::Closed(count) if self.given < u64::from(count) => 0.0,
            Load::Streams(count) if self.given < u64::from(count) => {
                self.spread * self.given as f64 / f64::from(count)
            }
            Load::Closed(_) | Load::Streams(_) => f64::INFINITY,
        };
        Some(due_ns)
    }

    /// Between two arrivals of a Poisson process: exponentially distributed.
    fn pause(&mut self, rate: f64) -> f64 {
        -(1.0 - self.random.unit()).ln() / rate * SECOND_NS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(load: Load, until_ns: u64) -> Vec<u64> {
        let mut pace = Pace::new(load, 1000, 10_000, 5);
        core::iter::from_fn(|| pace.pop_due(1000 + until_ns)).map(|time| time - 1000).collect()
    }

    #[test]
    fn times_are_as_asked() {
        assert_eq!(times(Load::Rate(2.0), SECOND_NS), [0, SECOND_NS / 2, SECOND_NS]);
        assert_eq!(times(Load::Closed(3), 0), [0, 0, 0]);
        assert_eq!(times(Load::Streams(4), 10_000), [0, 2500, 5000, 7500]);
        assert_eq!(times(Load::Streams(4), 2600), [0, 2500]);
        assert_eq!(times(Load::Rate(3.0), 1000 * SECOND_NS).len(), 3001);
    }

    #[test]
    fn a_poisson_process_has_its_rate_and_its_spread() {
        let times = times(Load::Poisson(1000.0), 10 * SECOND_NS);
        assert!((9700..10_300).contains(&times.len()), "{}", times.len());
        // An exponential distribution has 1 - 1/e of its pauses below the mean.
        let short = times.windows(2).filter(|pair| pair[1] - pair[0] < SECOND_NS / 1000).count();
        assert!((0.60..0.66).contains(&(short as f64 / times.len() as f64)), "{short} of {}", times.len());
    }
}
