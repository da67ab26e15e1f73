//! The figures of a run, as a table for people and as JSON for programs.
//!
//! Deliberately absent: judgement; what is too much is decided by whoever reads.

use core::fmt::Write;

use hdrhistogram::Histogram;

use super::progress::State;
use super::{Options, Plan};
use crate::failure::Tally;
use crate::memory::Resident;
use crate::report::{bytes, bytes_each, json_text, machine, micros};

/// The router's memory in the phases of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) before: Resident,
    pub(super) with_idle: Resident,
    /// The most seen while all streams ran; `None` when they never all did.
    pub(super) with_streams: Option<Resident>,
    pub(super) after: Resident,
}

/// Percentiles of a histogram, in microseconds; `None` when it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spread {
    p50: u64,
    p99: u64,
    max: u64,
}

/// Everything worth knowing about a run.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) tally: Tally,
    setup: Setup,
    events: u64,
    gaps: Option<Spread>,
    first_event: Option<Spread>,
    memory: Option<Memory>,
}

#[derive(Debug)]
struct Setup {
    target: String,
    model: String,
    idle: u32,
    streams: u32,
    words: u64,
    gap_ms: u64,
    seconds: f64,
}

impl Memory {
    /// `VmRSS` that each of `count` idle connections added.
    fn per_idle(&self, count: u32) -> Option<f64> {
        each(self.before.all, self.with_idle.all, count)
    }

    /// `VmRSS` that each of `count` streams added.
    fn per_stream(&self, count: u32) -> Option<f64> {
        each(self.with_idle.all, self.with_streams?.all, count)
    }
}

/// Growth per piece in bytes; below zero when memory was given back meanwhile.
fn each(before: u64, after: u64, count: u32) -> Option<f64> {
    (count > 0).then(|| (after as f64 - before as f64) / f64::from(count))
}

impl Spread {
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            p50: histogram.value_at_quantile(0.50),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
        })
    }

    fn table(spread: Option<Self>) -> String {
        spread.map_or_else(
            || "none".to_owned(),
            |Self { p50, p99, max }| format!("p50 {}  p99 {}  max {}", micros(p50), micros(p99), micros(max)),
        )
    }

    fn json(spread: Option<Self>) -> String {
        spread.map_or_else(
            || "null".to_owned(),
            |Self { p50, p99, max }| format!("{{\"p50\": {p50}, \"p99\": {p99}, \"max\": {max}}}"),
        )
    }
}

impl Summary {
    pub(super) fn new(options: &Options, plan: &Plan, state: &State, memory: Option<Memory>) -> Self {
        let setup = Setup {
            target: plan.target.to_string(),
            model: options.model.clone(),
            idle: plan.idle,
            streams: plan.streams,
            words: plan.words,
            gap_ms: options.gap_ms,
            seconds: options.seconds,
        };
        Self {
            tally: state.tally.borrow().clone(),
            setup,
            events: state.events.get(),
            gaps: Spread::of(&state.gaps.borrow()),
            first_event: Spread::of(&state.first_event.borrow()),
            memory,
        }
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let Setup { target, model, idle, streams, words, gap_ms, seconds } = &self.setup;
        let mut out =
            format!("\n{idle} idle connections and {streams} streams held at {target} for {seconds} s\n");
        if *streams > 0 {
            let _ = writeln!(out, "each stream: {words} words of {model}, one every {gap_ms} ms");
        }
        out.push('\n');
        let mut row = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name:<24}{value}");
        };
        row("failures", &self.tally.total().to_string());
        for (text, count) in self.tally.iter() {
            row("", &format!("{count} × {text}"));
        }
        row("events", &self.events.to_string());
        row("gap between words", &Spread::table(self.gaps));
        row("time to first event", &Spread::table(self.first_event));
        let Some(memory) = &self.memory else { return out };
        let both = |at: Resident| format!("VmRSS {}  RssAnon {}", bytes(at.all), bytes(at.anonymous));
        row("memory before", &both(memory.before));
        row("  with idle", &both(memory.with_idle));
        row("  with idle + streams", &memory.with_streams.map_or_else(|| "not seen".to_owned(), both));
        row("  after", &both(memory.after));
        row("  per idle connection", &bytes_each(memory.per_idle(*idle)));
        row("  per stream", &bytes_each(memory.per_stream(*streams)));
        if *streams > 0 && model.starts_with("sim/") {
            row("", "(a stream's figure includes the built-in simulator, which runs in the same process)");
        }
        out
    }

    /// For programs. Times are in microseconds, memory in bytes.
    pub(super) fn json(&self) -> String {
        let Setup { target, model, idle, streams, words, gap_ms, seconds } = &self.setup;
        let failures: Vec<String> =
            self.tally.iter().map(|(text, count)| format!("{}: {count}", json_text(text))).collect();
        format!(
            "{{\n  \"command\": \"hold\",\n  \"machine\": {},\n  \"target\": {},\n  \"model\": {},\n  \
             \"idle\": {idle},\n  \"streams\": {streams},\n  \"words\": {words},\n  \"gap_ms\": {gap_ms},\n  \
             \"seconds\": {seconds},\n  \"failed\": {},\n  \"failures\": {{{}}},\n  \"events\": {},\n  \
             \"gap_us\": {},\n  \"first_event_us\": {},\n  \"memory_bytes\": {}\n}}\n",
            machine(),
            json_text(target),
            json_text(model),
            self.tally.total(),
            failures.join(", "),
            self.events,
            Spread::json(self.gaps),
            Spread::json(self.first_event),
            self.memory_json(),
        )
    }

    fn memory_json(&self) -> String {
        let Some(memory) = &self.memory else { return "null".to_owned() };
        let at = |at: Resident| format!("{{\"rss\": {}, \"anonymous\": {}}}", at.all, at.anonymous);
        let number = |each: Option<f64>| each.map_or_else(|| "null".to_owned(), |each| format!("{each:.0}"));
        format!(
            "{{\"before\": {}, \"idle\": {}, \"streams\": {}, \"after\": {}, \"per_idle\": {}, \
             \"per_stream\": {}}}",
            at(memory.before),
            at(memory.with_idle),
            memory.with_streams.map_or_else(|| "null".to_owned(), at),
            at(memory.after),
            number(memory.per_idle(self.setup.idle)),
            number(memory.per_stream(self.setup.streams)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_shared_out() {
        assert_eq!(each(1000, 21_000, 10), Some(2000.0));
        assert_eq!(each(21_000, 1000, 10), Some(-2000.0));
        assert_eq!(each(0, 5, 0), None);
    }

    #[test]
    fn percentiles_come_from_the_histogram() {
        let mut histogram = Histogram::new(3).expect("3 digits");
        assert_eq!(Spread::of(&histogram), None);
        for value in 1..=100 {
            histogram.saturating_record(value);
        }
        assert_eq!(Spread::of(&histogram), Some(Spread { p50: 50, p99: 99, max: 100 }));
    }
}
