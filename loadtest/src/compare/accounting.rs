//! CPU time of a process, by the scheduler's own accounting.
//!
//! `/proc/PID/task/TID/schedstat` has the nanoseconds a thread ran, and those it waited for a CPU. How the
//! former divide into user and system is known in ticks only (`stat`), so the ticks give the share and
//! `schedstat` the sum. Loopback TCP bills the receiver's half of a transfer to the sender's core: compare
//! figures of one machine and one run only.
//! Deliberately absent: work of the kernel outside any thread (there is next to none on loopback).

use std::fs;
use std::io;

/// CPU time so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cpu {
    /// Nanoseconds on a CPU.
    pub(super) nanos: u64,
    user_ticks: u64,
    system_ticks: u64,
    /// Nanoseconds a thread could have run and did not.
    waited_nanos: u64,
}

/// CPU time between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spent {
    /// Seconds on a CPU.
    pub(super) seconds: f64,
    /// Share of them in user space, 0 to 1, by ticks.
    pub(super) user: f64,
    /// Seconds that threads were ready and waited for the CPU: what other processes took.
    pub(super) waited: f64,
}

impl Cpu {
    /// What was spent since `before`.
    pub(super) fn since(&self, before: &Self) -> Spent {
        let user = self.user_ticks.saturating_sub(before.user_ticks) as f64;
        let system = self.system_ticks.saturating_sub(before.system_ticks) as f64;
        let ticks = user + system;
        let seconds = self.nanos.saturating_sub(before.nanos) as f64 / 1e9;
        let waited = self.waited_nanos.saturating_sub(before.waited_nanos) as f64 / 1e9;
        Spent { seconds, user: if ticks > 0.0 { user / ticks } else { 0.0 }, waited }
    }
}

/// CPU time of process `pid`: of the threads whose name begins with `threads`, or of all of them.
///
/// # Errors
/// There is no such process or no such thread, or it may not be read.
pub(super) fn cpu(pid: u32, threads: Option<&str>) -> io::Result<Cpu> {
    let mut sum = Cpu::default();
    let mut found = false;
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = entry?.path();
        // A thread may end between the listing and the reading.
        let Ok(stat) = fs::read_to_string(thread.join("stat")) else { continue };
        let Ok(schedstat) = fs::read_to_string(thread.join("schedstat")) else { continue };
        let Some((name, user, system)) = parse_stat(&stat) else { continue };
        if threads.is_some_and(|prefix| !name.starts_with(prefix)) {
            continue;
        }
        found = true;
        let mut fields = schedstat.split_ascii_whitespace().map(|nanos| nanos.parse().unwrap_or(0));
        sum.nanos += fields.next().unwrap_or(0);
        sum.waited_nanos += fields.next().unwrap_or(0);
        sum.user_ticks += user;
        sum.system_ticks += system;
    }
    if found { Ok(sum) } else { Err(io::Error::new(io::ErrorKind::NotFound, "no thread to account for")) }
}

/// Name, user ticks and system ticks of a line of `stat` (proc(5), fields 2, 14 and 15).
fn parse_stat(line: &str) -> Option<(&str, u64, u64)> {
    // A name may hold anything, parentheses too, so its end is the last one.
    let (front, back) = line.rsplit_once(") ")?;
    let (_, name) = front.split_once('(')?;
    let mut fields = back.split(' ').skip(11);
    Some((name, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_stat_are_read() {
        for (line, want) in [
            ("7 (worker-0) S 1 7 7 0 -1 4194304 90 0 0 0 31 62 0 0 20 0", Some(("worker-0", 31, 62))),
            ("7 (a) b) R 1 7 7 0 -1 4194304 90 0 0 0 1 2 0 0 20 0", Some(("a) b", 1, 2))),
            ("7 (cut) S 1 7", None),
            ("", None),
        ] {
            assert_eq!(parse_stat(line), want, "{line}");
        }
    }

    #[test]
    fn work_is_seen_and_attributed() {
        let own = std::process::id();
        let worker = std::thread::Builder::new().name("counted-1".to_owned());
        let (send, receive) = std::sync::mpsc::channel::<()>();
        let thread = worker.spawn(move || {
            let before = cpu(own, Some("counted")).unwrap();
            let mut sum = 0_u64;
            while cpu(own, Some("counted")).unwrap().since(&before).seconds < 0.02 {
                sum = (0..100_000).fold(sum, |sum, number| std::hint::black_box(sum ^ number));
            }
            let _ended = receive.recv();
            sum
        });
        let thread = thread.unwrap();
        let after = loop {
            match cpu(own, Some("counted")) {
                Ok(after) if after.nanos >= 20_000_000 => break after,
                _ => std::thread::yield_now(),
            }
        };
        assert!(cpu(own, None).unwrap().nanos >= after.nanos);
        assert!(cpu(own, Some("nobody")).is_err());
        drop(send);
        thread.join().unwrap();
    }
}
