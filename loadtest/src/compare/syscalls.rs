//! System calls per request, counted by the kernel's tracepoint through `perf`.
//!
//! Deliberately absent: `strace`, which stops the process at every call and so changes how many there are.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::contender::installed;

/// A count that is running.
pub(super) struct Count {
    child: Child,
}

impl Count {
    /// Counts the calls of process `pid` for `time`.
    ///
    /// # Errors
    /// Why they are not counted.
    pub(super) fn start(pid: u32, time: Duration) -> Result<Self, String> {
        let perf = installed("perf").ok_or("perf is not installed")?;
        let (pid, seconds) = (pid.to_string(), time.as_secs_f64().to_string());
        let child = Command::new(perf)
            .args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", &pid, "--", "sleep", &seconds])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("perf did not start: {error}"))?;
        Ok(Self { child })
    }

    /// The calls per second; waits for the end of the time given to `start`.
    ///
    /// # Errors
    /// `perf` could not count.
    pub(super) fn per_second(self, time: Duration) -> Result<f64, String> {
        let output = self.child.wait_with_output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stderr);
        let count = parse(&text).ok_or("perf cannot count system calls here (tracepoints, rights)")?;
        Ok(count as f64 / time.as_secs_f64())
    }
}

/// The count in `perf stat -x,`'s answer, whose fields are value, unit, event and more.
fn parse(text: &str) -> Option<u64> {
    text.lines().find(|line| line.contains("raw_syscalls:sys_enter"))?.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        for (text, want) in [
            ("4711,,raw_syscalls:sys_enter,1000,100.00,,\n", Some(4711)),
            ("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n", None),
            ("event syntax error: 'raw_syscalls:sys_enter'\n", None),
            ("", None),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
    }
}
