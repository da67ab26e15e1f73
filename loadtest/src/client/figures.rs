//! What is measured. Times are kept in nanoseconds, in histograms that lose nothing of the tail.
//!
//! `corrected` counts from the time at which a request was meant to be sent, `raw` from the time at which it
//! was: the difference is what a closed loop would hide. Deliberately absent: how it is shown (`report`,
//! `page`).

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::event_loop::clock::SECOND_NS;
use crate::failure::Tally;

/// Longest time that is told apart, in nanoseconds: 10 minutes.
const NANOS_MAX: u64 = 600 * SECOND_NS;

/// A histogram of nanoseconds with `digits` significant digits.
pub(super) fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, NANOS_MAX, digits).expect("1 to 10 minutes with few digits")
}

/// A time from two starts.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) corrected: Histogram<u64>,
    pub(super) raw: Histogram<u64>,
}

impl Default for Pair {
    fn default() -> Self {
        Self { corrected: histogram(3), raw: histogram(3) }
    }
}

/// Everything of a run.
#[derive(Debug)]
pub(super) struct Figures {
    /// Right answers.
    pub(super) ok: u64,
    /// Requests sent once more, after a failure before their answer began.
    pub(super) retried: u64,
    /// Answers still on their way when the run ended.
    pub(super) unfinished: u64,
    /// Requests that found no connection before the run ended.
    pub(super) not_sent: u64,
    /// Connections opened.
    pub(super) connections: u64,
    /// Connections that the peer closed while nothing was due.
    pub(super) closed_idle: u64,
    /// Numbered events, and answers that were not streamed.
    pub(super) events: u64,
    /// Bytes received.
    pub(super) bytes: u64,
    /// From request to complete answer.
    pub(super) latency: Pair,
    /// From request to the first numbered event.
    pub(super) first_token: Pair,
    /// Between two reads with events of one stream.
    pub(super) gap: Histogram<u64>,
    /// From the time inside an event to our reading it.
    pub(super) one_way: Histogram<u64>,
    /// From the intended to the actual sending: our own lateness, and the wait for a free connection.
    pub(super) send_delay: Histogram<u64>,
    pub(super) tally: Tally,
    pub(super) timeline: Vec<Second>,
    /// The second that is running.
    current: Current,
}

#[derive(Debug)]
struct Current {
    requests: u64,
    events: u64,
    failures: u64,
    times: Histogram<u64>,
}

/// One second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Second {
    /// End of it, in seconds since the beginning.
    pub(super) at_s: f64,
    /// Right answers.
    pub(super) requests: u64,
    /// Numbered events.
    pub(super) events: u64,
    /// Failures.
    pub(super) failures: u64,
    /// Of the latency from the intended time; of the one-way latency of events if answers are streamed.
    pub(super) p50_us: f64,
    /// As above.
    pub(super) p99_us: f64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            ok: 0,
            retried: 0,
            unfinished: 0,
            not_sent: 0,
            connections: 0,
            closed_idle: 0,
            events: 0,
            bytes: 0,
            latency: Pair::default(),
            first_token: Pair::default(),
            gap: histogram(3),
            one_way: histogram(3),
            send_delay: histogram(3),
            tally: Tally::default(),
            timeline: Vec::new(),
            current: Current { requests: 0, events: 0, failures: 0, times: histogram(2) },
        }
    }
}

impl Figures {
    /// Numbered events that were written at `times` and read at `now_ns`, for a streamed answer.
    pub(super) fn on_events(&mut self, times: &[u64], now_ns: u64) {
        self.events += times.len() as u64;
        self.current.events += times.len() as u64;
        for time_ns in times {
            let one_way = now_ns.saturating_sub(*time_ns);
            self.one_way.saturating_record(one_way);
            self.current.times.saturating_record(one_way);
        }
    }

    /// A right answer.
    pub(super) fn on_answer(&mut self, stream: bool, corrected_ns: u64, raw_ns: u64) {
        self.ok += 1;
        self.current.requests += 1;
        self.latency.corrected.saturating_record(corrected_ns);
        self.latency.raw.saturating_record(raw_ns);
        if !stream {
            self.current.times.saturating_record(corrected_ns);
        }
    }

    /// Closes the second (or what there is of it) that ends `at_s` after the beginning.
    pub(super) fn tick(&mut self, at_s: f64) -> Second {
        let current = &mut self.current;
        let failures = self.tally.total();
        let second = Second {
            at_s,
            requests: current.requests,
            events: current.events,
            failures: failures.saturating_sub(current.failures),
            p50_us: quantile_us(&current.times, 0.5),
            p99_us: quantile_us(&current.times, 0.99),
        };
        current.times.reset();
        (current.requests, current.events, current.failures) = (0, 0, failures);
        self.timeline.push(second);
        second
    }
}

/// The value that a share of all values do not exceed, in microseconds; 0 without values.
pub(super) fn quantile_us(histogram: &Histogram<u64>, share: f64) -> f64 {
    if histogram.is_empty() { 0.0 } else { histogram.value_at_quantile(share) as f64 / 1000.0 }
}

/// A histogram in few numbers, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) count: u64,
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl Spread {
    /// `None` without values.
    pub(super) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            mean: histogram.mean() / 1000.0,
            p50: quantile_us(histogram, 0.5),
            p90: quantile_us(histogram, 0.9),
            p99: quantile_us(histogram, 0.99),
            p999: quantile_us(histogram, 0.999),
            max: histogram.max() as f64 / 1000.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_closed_one_by_one() {
        let mut figures = Figures::default();
        figures.on_answer(false, 5_000, 4_000);
        figures.on_events(&[10], 20);
        let first = figures.tick(1.0);
        assert_eq!((first.requests, first.events), (1, 1));
        assert!((4.9..5.1).contains(&first.p99_us), "{first:?}");
        figures.tick(2.0);
        let empty = Second { at_s: 2.0, requests: 0, events: 0, failures: 0, p50_us: 0.0, p99_us: 0.0 };
        assert_eq!(figures.timeline[1], empty);
        assert_eq!((figures.ok, figures.events), (1, 1));
    }

    #[test]
    fn percentiles_come_from_the_histogram() {
        let mut times = histogram(3);
        assert_eq!(Spread::of(&times), None);
        for micros in 1..=1000_u64 {
            times.saturating_record(micros * 1000);
        }
        let spread = Spread::of(&times).expect("values");
        for (value, want) in
            [(spread.p50, 500.0), (spread.p99, 990.0), (spread.max, 1000.0), (spread.mean, 500.5)]
        {
            assert!((value / want - 1.0).abs() < 0.002, "{value} {want}");
        }
    }
}
