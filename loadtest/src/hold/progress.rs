//! What all tasks count into, and the line a second that shows it.
//!
//! Deliberately absent: the final figures (`summary`).

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;

use hdrhistogram::Histogram;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, interval_at};

use super::Plan;
use crate::failure::Tally;
use crate::memory::resident;
use crate::report::bytes;

/// Longest time that is told apart, in microseconds: 10 minutes.
const MICROS_MAX: u64 = 600_000_000;
/// Between two lines.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// The counters of a run; one thread, so plain cells.
#[derive(Debug)]
pub(super) struct State {
    /// Idle connections open now.
    pub(super) idle_open: Cell<u64>,
    /// Streams that have had an event.
    pub(super) streams_begun: Cell<u64>,
    /// Streams that are over, well or not.
    pub(super) streams_ended: Cell<u64>,
    /// Events read.
    pub(super) events: Cell<u64>,
    /// Between two words of one stream, in microseconds.
    pub(super) gaps: RefCell<Histogram<u64>>,
    /// From a stream's intended start to its first event, in microseconds.
    pub(super) first_event: RefCell<Histogram<u64>>,
    /// What failed.
    pub(super) tally: RefCell<Tally>,
}

impl Default for State {
    fn default() -> Self {
        let histogram =
            || RefCell::new(Histogram::new_with_max(MICROS_MAX, 3).expect("3 digits up to 10 minutes"));
        Self {
            idle_open: Cell::default(),
            streams_begun: Cell::default(),
            streams_ended: Cell::default(),
            events: Cell::default(),
            gaps: histogram(),
            first_event: histogram(),
            tally: RefCell::default(),
        }
    }
}

/// A duration for a histogram.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Prints a line a second to standard error until it is dropped.
pub(super) struct Ticker {
    task: JoinHandle<()>,
}

impl Ticker {
    /// Starts printing.
    pub(super) fn start(state: Rc<State>, plan: Rc<Plan>, pid: Option<u32>) -> Self {
        let begin = Instant::now();
        let task = spawn_local(async move {
            let mut ticks = interval_at(begin + LINE_EVERY, LINE_EVERY);
            loop {
                let now = ticks.tick().await;
                let line = line(&state, &plan, now.duration_since(begin), pid);
                // A closed terminal does not stop the measurement.
                let _ = writeln!(io::stderr().lock(), "{line}");
            }
        });
        Self { task }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn line(state: &State, plan: &Plan, elapsed: Duration, pid: Option<u32>) -> String {
    let (begun, ended) = (state.streams_begun.get(), state.streams_ended.get());
    let mut line = format!(
        "{:6.1} s  idle {}/{}  streams {begun} begun, {ended} ended of {}  events {}  failures {}",
        elapsed.as_secs_f64(),
        state.idle_open.get(),
        plan.idle,
        plan.streams,
        state.events.get(),
        state.tally.borrow().total(),
    );
    if let Some(now) = pid.and_then(|pid| resident(pid).ok()) {
        line.push_str(&format!("  VmRSS {}", bytes(now.all)));
    }
    line
}
