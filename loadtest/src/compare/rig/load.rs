//! What the clients of the rig do, where, and what is counted of it.
//!
//! Deliberately absent: doing it.

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest time that is told apart, in nanoseconds.
const NANOS_MAX: u64 = 60_000_000_000;

/// Where clients go, and what they ask for there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::compare) struct Door {
    pub(in crate::compare) address: SocketAddr,
    pub(in crate::compare) model: &'static str,
    /// What else it wants to be told; none of a proxy.
    pub(in crate::compare) gateway: Option<Gateway>,
}

/// A gateway that reads requests and answers, and writes them anew: their bytes are not those that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::compare) enum Gateway {
    /// Configured by a file.
    Litellm,
    /// Told by each request where the origin is.
    Portkey { origin: SocketAddr },
}

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::compare) enum Load {
    /// Each of so many connections sends its next request when the answer to the last one is there.
    Closed { connections: u32, body_bytes: usize },
    /// So many requests start per second, whatever the answers do; times count from the intended start.
    Rate { connections: u32, per_second: f64, body_bytes: usize },
    /// Each of so many connections sends one request and stays.
    Once { connections: u32 },
    /// So many streams, each with an event per `gap`; with none, each event is sent when the one before has
    /// arrived, so that none are coalesced on the way and an event's cost is one event's.
    Streams { count: u32, gap: Option<Duration> },
}

impl Load {
    pub(in crate::compare) fn connections(self) -> u32 {
        match self {
            Self::Closed { connections, .. }
            | Self::Rate { connections, .. }
            | Self::Once { connections } => connections,
            Self::Streams { count, .. } => count,
        }
    }

    pub(super) fn is_stream(self) -> bool {
        matches!(self, Self::Streams { .. })
    }
}

/// What a window counted.
#[derive(Clone, Debug)]
pub(in crate::compare) struct Counts {
    /// Whole chat answers, or events of streams.
    pub(in crate::compare) done: u64,
    /// Nanoseconds from the intended start of a request to its whole answer, or from an event's sending to
    /// its reading.
    pub(in crate::compare) nanos: Histogram<u64>,
    /// What went wrong; any of it makes the window worthless.
    pub(in crate::compare) failures: Vec<String>,
    /// Share of the time in which there was something to do; of loads for which the rig looks all the time.
    pub(in crate::compare) busy: Option<f64>,
    /// Time in which such a rig did not run: turns far longer than their work.
    pub(in crate::compare) stalled: Duration,
}

impl Counts {
    pub(super) fn new() -> Self {
        let nanos = Histogram::new_with_max(NANOS_MAX, 3).expect("3 digits up to a minute");
        Self { done: 0, nanos, failures: Vec::new(), busy: None, stalled: Duration::ZERO }
    }

    pub(super) fn record(&mut self, time: Duration) {
        self.done += 1;
        self.nanos.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(NANOS_MAX));
    }
}
