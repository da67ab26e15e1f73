//! Time as an argument: a monotonic moment that the edge reads once per loop turn and hands down.
//!
//! Deliberately absent: the clock itself (it lives in `io/` and, for the control plane, in `control/`).

use core::ops::Add;
use core::time::Duration;

/// Nanoseconds on the monotonic clock of this machine, from an arbitrary origin. Never wall time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// Later than every real moment: "no deadline".
    pub const NEVER: Self = Self(u64::MAX);

    /// From nanoseconds since the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero when `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;
    /// Saturates at [`Moment::NEVER`].
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Wall time, seconds since the Unix epoch: only for ids, records and answers' `created`; never for
/// deadlines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// Whole minutes since midnight, UTC: 0 to 1439.
    #[must_use]
    pub const fn minute_of_day(self) -> u16 {
        (self.0 / 60 % 1440) as u16
    }
}
