//! The retry budget of a core: what may be tried again at endpoints that are not well.
//!
//! A failover to a well candidate is free, because it storms nobody. One to a candidate that is itself in
//! trouble is granted for a fifth of the requests of the last ten seconds, and ten besides: when all
//! providers die together, each request asks once and only a few ask twice.
//! Deliberately absent: how many attempts one request may make (`limits`) and for which faults (`retry`).

use core::time::Duration;

use crate::base::time::Moment;
use crate::policy::health::window::Window;

/// Over which requests and retries are counted.
const SPAN: Duration = Duration::from_secs(10);
/// Retries that are granted in any case.
const FLOOR: u32 = 10;
/// One retry for so many requests.
const REQUESTS_PER_RETRY: u32 = 5;

const REQUESTS: usize = 0;
const RETRIES: usize = 1;

/// Requests and granted retries of the last ten seconds.
#[derive(Clone, Debug)]
pub struct Budget {
    window: Window<2>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { window: Window::new(SPAN) }
    }
}

impl Budget {
    /// A request begins.
    pub fn request(&mut self, now: Moment) {
        self.window.add(now, REQUESTS);
    }

    /// May one more attempt go to an endpoint that is not well? Granting uses the budget up.
    pub fn grant(&mut self, now: Moment) -> bool {
        let sums = self.window.sums(now);
        let granted = sums[RETRIES] < FLOOR + sums[REQUESTS] / REQUESTS_PER_RETRY;
        if granted {
            self.window.add(now, RETRIES);
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(ms * 1_000_000)
    }

    /// So many requests at once, each of which wants one retry: so many are granted.
    #[track_caller]
    fn check(requests: u32, want: u32) {
        let mut budget = Budget::default();
        (0..requests).for_each(|_| budget.request(at(0)));
        let granted = (0..requests).filter(|_| budget.grant(at(1))).count();
        assert_eq!(granted, want as usize, "{requests}");
        assert!(budget.grant(at(10_000)), "the budget comes back");
    }

    #[test]
    fn a_fifth_and_a_floor() {
        check(0, 0);
        check(10, 10);
        check(12, 12);
        check(13, 12);
        check(100, 30);
        check(10_000, 2_010);
    }
}
