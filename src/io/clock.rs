//! The two clocks, read through the vDSO (no system call). The core reads them once per loop turn and hands
//! the values down.
//!
//! Deliberately absent: timers and deadlines.
#![allow(unsafe_code, reason = "clock_gettime has no face in std that yields plain nanoseconds")]

use crate::base::time::{Moment, UnixSeconds};

/// Now on `CLOCK_MONOTONIC`; comparable between all threads of the machine. About 20 ns.
#[must_use]
pub fn now() -> Moment {
    let time = read(libc::CLOCK_MONOTONIC);
    Moment::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Wall time in whole seconds; 0 when the clock stands before 1970. Taken from the kernel's last tick, a few
/// milliseconds ago at most, which costs a quarter of reading the clock.
#[must_use]
pub fn unix_seconds() -> UnixSeconds {
    UnixSeconds(u64::try_from(read(libc::CLOCK_REALTIME_COARSE).tv_sec).unwrap_or(0))
}

fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live, writable timespec for the whole call, which is all clock_gettime(2) asks for.
    // `std::time::Instant` would do the same call but hides the value, and a `Moment` is a number.
    let status = unsafe { libc::clock_gettime(clock, &raw mut time) };
    debug_assert_eq!(status, 0, "both clocks exist on every Linux");
    time
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn runs_at_the_speed_of_the_standard_clock() {
        let (theirs, ours) = (Instant::now(), now());
        while theirs.elapsed() < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        let passed = now().since(ours);
        let bound = theirs.elapsed();
        assert!(
            passed >= Duration::from_millis(4) && passed <= bound + Duration::from_millis(1),
            "{passed:?}"
        );
    }

    #[test]
    fn wall_time_is_this_century() {
        assert!(unix_seconds() > UnixSeconds(1_700_000_000) && unix_seconds() < UnixSeconds(4_102_444_800));
    }
}
