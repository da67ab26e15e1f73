//! Time on the CPU instead of time on the clock: a bench on a machine with other work says what the code
//! costs, not how often it was interrupted.
//!
//! Deliberately absent: anything but the calling thread's time. What a bench measures does not wait.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// CPU time of the thread that runs the bench, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = u64;
    type Value = u64;

    fn start(&self) -> u64 {
        cpu_nanos()
    }

    fn end(&self, started: u64) -> u64 {
        cpu_nanos() - started
    }

    fn add(&self, a: &u64, b: &u64) -> u64 {
        a + b
    }

    fn zero(&self) -> u64 {
        0
    }

    fn to_f64(&self, nanos: &u64) -> f64 {
        *nanos as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        // It formats nanoseconds, whichever clock they come from.
        WallTime.formatter()
    }
}

#[expect(unsafe_code, reason = "the standard library has no clock of a thread's CPU time")]
fn cpu_nanos() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for one `timespec`, which the call writes and does not keep.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    assert_eq!(failed, 0, "every thread has a CPU clock");
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
