//! The pause after a 429: as long as the provider asks for, or 1, 2, 4 … seconds.
//!
//! A burst of 429s to requests that were under way together is one refusal, not many; and a later one only
//! ever prolongs a pause (a shorter wait never replaces a longer one).
//! Deliberately absent: parsing of `Retry-After` (the exchange reads heads) and the breaker, which 429s do
//! not touch.

use core::time::Duration;

use crate::base::time::Moment;
use crate::policy::health::breaker::spread;

/// The longest pause that a provider's word is good for: SDKs give up above it.
const ASKED_MOST: Duration = Duration::from_secs(120);
/// The first pause of our own.
const OWN_FIRST: Duration = Duration::from_secs(1);
/// Doublings of it, at most: 64 seconds.
const DOUBLINGS: u32 = 6;
/// A wait that was asked for is prolonged by up to this part, so that not all cores end it together.
const ASKED_SPREAD: u32 = 10;

/// The pause of one endpoint, or of one account.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    until: Moment,
    /// When the last refusal came.
    refused_at: Moment,
    /// Refusals in a row.
    steps: u32,
}

impl Backoff {
    /// End of the pause.
    #[must_use]
    pub const fn until(&self) -> Moment {
        self.until
    }

    /// An attempt that began at `begun` was refused, with or without a wait.
    pub fn refused(&mut self, begun: Moment, now: Moment, wait: Option<Duration>, random: u64) {
        let same_burst = self.steps > 0 && begun < self.refused_at;
        let pause = match wait.filter(|wait| !wait.is_zero()) {
            Some(wait) => {
                let wait = wait.min(ASKED_MOST);
                wait + wait / ASKED_SPREAD * (random >> 48) as u32 / (1 << 16)
            }
            None if same_burst => return,
            None => spread(OWN_FIRST * (1 << self.steps.min(DOUBLINGS)), random),
        };
        if !same_burst {
            self.steps = self.steps.saturating_add(1);
            self.refused_at = now;
        }
        self.until = self.until.max(now + pause);
    }

    /// An attempt that began at `begun` was served: the next refusal is the first one again.
    pub fn served(&mut self, begun: Moment) {
        if begun >= self.refused_at {
            self.steps = 0;
        }
    }

    /// Another core was refused until then.
    pub fn hear(&mut self, until: Moment) {
        self.until = self.until.max(until);
    }

    /// The provider says that nothing is left until then.
    pub fn used_up(&mut self, until: Moment, now: Moment) {
        self.until = self.until.max(until.min(now + ASKED_MOST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(ms * 1_000_000)
    }

    /// Refusals as (begun, now, wait) in milliseconds; the pause ends at `want`, to within its spread.
    #[track_caller]
    fn check(refusals: &[(u64, u64, Option<u64>)], want: u64) {
        for random in [0, 1 << 63, u64::MAX] {
            let mut backoff = Backoff::default();
            for (begun, now, wait) in refusals {
                backoff.refused(at(*begun), at(*now), wait.map(Duration::from_millis), random);
            }
            let last = refusals.last().map_or(0, |(_, now, _)| *now);
            let (got, most) = (backoff.until().nanos() / 1_000_000, want + want.saturating_sub(last) / 4);
            let least = want - want.saturating_sub(last) / 4;
            assert!((least..=most).contains(&got), "{refusals:?}: {got}");
        }
    }

    #[test]
    fn a_pause_is_what_was_asked_for_or_doubles() {
        check(&[(0, 100, Some(7_000))], 7_100);
        check(&[(0, 100, None)], 1_100);
        check(&[(0, 100, None), (2_000, 2_100, None)], 4_100);
        check(&[(0, 0, None), (2_000, 2_000, None), (6_000, 6_000, None)], 10_000);
        check(&[(0, 100, Some(0))], 1_100);
        check(&[(0, 0, Some(900_000))], 120_000);
    }

    #[test]
    fn a_pause_that_was_asked_for_is_never_cut_short() {
        for random in [0, 1 << 63, u64::MAX] {
            let mut backoff = Backoff::default();
            backoff.refused(at(0), at(100), Some(Duration::from_secs(30)), random);
            backoff.refused(at(50), at(200), Some(Duration::from_secs(1)), random);
            backoff.refused(at(60), at(300), None, random);
            backoff.hear(at(5));
            backoff.served(at(400));
            assert!(backoff.until() >= at(30_100), "{random}");
            assert!(backoff.until() <= at(33_100), "{random}");
            backoff.hear(at(90_000));
            assert_eq!(backoff.until(), at(90_000));
            backoff.used_up(at(95_000), at(400));
            assert_eq!(backoff.until(), at(95_000));
            backoff.used_up(at(999_000), at(400));
            assert_eq!(backoff.until(), at(120_400));
        }
    }

    #[test]
    fn a_burst_is_one_refusal() {
        let mut backoff = Backoff::default();
        for request in 0..1_000 {
            backoff.refused(at(request / 10), at(100 + request), None, 1 << 63);
        }
        assert_eq!(backoff.until(), at(1_100));
        // Served, and refused again: from the beginning.
        backoff.served(at(5_000));
        backoff.refused(at(6_000), at(6_000), None, 1 << 63);
        assert_eq!(backoff.until(), at(7_000));
    }
}
