//! User-space instructions of Millrace per request and per event, the whole process, counted by valgrind's
//! callgrind: figures that do not depend on what else the machine does.
//!
//! The process runs twice, for a number of requests and for three times as many; the difference of the two
//! counts belongs to the difference of the requests, and start and end fall out.
//!
//! valgrind runs one thread at a time and does not know that `io_uring_enter` waits: a worker that has
//! nothing to do keeps the turn, and the other threads get nowhere. Under load that is no harm, because they
//! have nothing to do then. While the process starts and ends somebody knocks at its door: each knock wakes
//! the worker, whose `accept(2)` lets the others have a turn, which valgrind grants in order with
//! `--fair-sched=yes`. Deliberately absent: instructions of the kernel, and other contenders.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};

use super::contender::{self, Places, installed};
use super::rig::{Load, Rig};

/// Requests and events of the shorter run.
const REQUESTS: u64 = 2000;
const EVENTS: u64 = 5000;
/// How long one run may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Between two knocks.
const KNOCK: Duration = Duration::from_millis(10);

/// Instructions per piece.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Instructions {
    pub(super) per_request: f64,
    pub(super) per_event: f64,
}

/// Counts both, on `driver` as the command line of Millrace names it.
///
/// # Errors
/// valgrind is not installed, or a run failed.
pub(super) fn count(places: &Places, rig: &mut Rig, driver: &str) -> Result<Instructions, String> {
    let valgrind = installed("valgrind").ok_or("valgrind is not installed")?;
    let valgrind = valgrind.display().to_string();
    let chat = Load::Closed { connections: 32, body_bytes: 1500 };
    // At this pace a process that is fifty times slower still gets each event by itself.
    let stream = Load::Streams { count: 50, gap: Some(Duration::from_millis(20)) };
    let mut each = |load, least: u64| -> Result<f64, String> {
        let mut run = |least| run(&[&valgrind, driver], places, rig, load, least);
        let (short, long) = (run(least)?, run(3 * least)?);
        Ok(long.0.saturating_sub(short.0) as f64 / long.1.saturating_sub(short.1).max(1) as f64)
    };
    Ok(Instructions { per_request: each(chat, REQUESTS)?, per_event: each(stream, EVENTS)? })
}

/// Instructions of a whole process, and the answers or events that it served, which are at least `least`.
fn run(
    [valgrind, driver]: &[&str; 2],
    places: &Places,
    rig: &mut Rig,
    load: Load,
    least: u64,
) -> Result<(u64, u64), String> {
    let text = |error: std::io::Error| error.to_string();
    let log = places.scratch.join("callgrind.log");
    let out = places.scratch.join("callgrind.out");
    let (log_option, out_option) =
        (format!("--log-file={}", log.display()), format!("--callgrind-out-file={}", out.display()));
    let under = [*valgrind, "--tool=callgrind", "--fair-sched=yes", &log_option, &out_option];
    let [port, _] = contender::free_ports()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let contender = knocking(address, || contender::millrace(places, port, &under, &["--driver", driver]))?;
    rig.start(contender.door, load).map_err(text)?;
    let (mut done, end) = (0, Instant::now() + PATIENCE);
    let mut failures = Vec::new();
    while done < least {
        if Instant::now() >= end {
            return Err(format!("{done} of {least} in {} s", PATIENCE.as_secs()));
        }
        let counts = rig.run(LOOK).map_err(text)?;
        done += counts.done;
        failures.extend(counts.failures);
    }
    let rest = rig.finish().map_err(text)?;
    failures.extend(rest.failures);
    if let Some(failure) = failures.first() {
        return Err(failure.clone());
    }
    knocking(address, || contender.stop())?;
    let log = fs::read_to_string(&log).map_err(text)?;
    let instructions = collected(&log).ok_or("callgrind's log has no count")?;
    Ok((instructions, done + rest.done))
}

/// Does `work` while somebody connects to `address` now and then.
fn knocking<T>(address: SocketAddr, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // Refused while nobody listens yet, or any more.
                let _ = knock(address);
                thread::sleep(KNOCK);
            }
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        done
    })
}

/// Connects to `address` and leaves. From another loopback address: from the same one the kernel might choose
/// the very port that nobody listens at yet, and connect the socket with itself.
fn knock(address: SocketAddr) -> std::io::Result<()> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0)))?;
    Ok(rustix::net::connect(&socket, &address)?)
}

/// The count in callgrind's log, which ends with `==pid== Collected : count`.
fn collected(log: &str) -> Option<u64> {
    log.lines().rev().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        for (log, want) in [
            ("==7== Events    : Ir\n==7== Collected : 3493874\n==7== \n", Some(3_493_874)),
            ("==7== Collected : \n", None),
            ("", None),
        ] {
            assert_eq!(collected(log), want, "{log}");
        }
    }
}
