//! What Millrace promises, beside what was measured.
//!
//! Deliberately absent: gates. A promise that is not met is printed, never a failed run: the machine may be
//! at fault, which the noise says.

use core::fmt::Write;

use serde_json::{Value, json};

use super::contender::Kind;
use super::sample::{Sample, ratio};
use super::table::Results;
use super::workload::Workload;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    /// CPU time per request or event ÷ that of another.
    Cpu(Workload, Kind),
    /// Requests per second ÷ those of another.
    Rate(Workload, Kind),
    /// 99th percentile beyond direct's ÷ that of another.
    AddedP99(Workload, Kind),
    /// Bytes of user memory per idle connection.
    IdleBytes,
    /// Bytes of user memory per stream.
    StreamBytes,
    /// User-space instructions per chat request.
    RequestInstructions,
    /// User-space instructions per event.
    EventInstructions,
}

/// A line of the table: what, the bound, and true if the bound is the least and not the most.
const PROMISES: [(&str, Measure, f64, bool); 18] = [
    ("chat, CPU", Measure::Cpu(Workload::Chat, Kind::Floor), 1.15, false),
    ("chat, CPU", Measure::Cpu(Workload::Chat, Kind::Nginx), 0.95, false),
    ("chat, CPU", Measure::Cpu(Workload::Chat, Kind::Haproxy), 0.90, false),
    ("slow streams, CPU per event", Measure::Cpu(Workload::Stream, Kind::Floor), 1.20, false),
    ("slow streams, CPU per event", Measure::Cpu(Workload::Stream, Kind::Haproxy), 1.15, false),
    ("slow streams, CPU per event", Measure::Cpu(Workload::Stream, Kind::Nginx), 0.95, false),
    ("streams flat out, CPU per event", Measure::Cpu(Workload::Burst, Kind::Floor), 1.10, false),
    ("chat, TLS upstream, CPU", Measure::Cpu(Workload::TlsChat, Kind::Nginx), 0.95, false),
    ("slow streams, TLS upstream, CPU", Measure::Cpu(Workload::TlsStream, Kind::Nginx), 0.95, false),
    ("256 KB prompt, CPU", Measure::Cpu(Workload::Large, Kind::Nginx), 0.95, false),
    ("added p99 at 10 % load", Measure::AddedP99(Workload::Low, Kind::Haproxy), 1.0, false),
    ("added p99 at half load", Measure::AddedP99(Workload::Half, Kind::Haproxy), 1.0, false),
    ("added p99 at 80 % load", Measure::AddedP99(Workload::High, Kind::Haproxy), 1.0, false),
    ("requests per second on one core", Measure::Rate(Workload::Chat, Kind::Nginx), 1.05, true),
    ("bytes per idle connection", Measure::IdleBytes, 8192.0, false),
    ("bytes per active stream", Measure::StreamBytes, 24576.0, false),
    ("instructions per chat request", Measure::RequestInstructions, 12_000.0, false),
    ("instructions per event", Measure::EventInstructions, 2500.0, false),
];

/// A line with its figures.
struct Line {
    text: String,
    measured: Option<f64>,
    /// Lowest and highest round.
    spread: Option<[f64; 2]>,
    must: f64,
    least: bool,
    /// The same ratio of two processes of the same program: median, lowest, highest.
    noise: Option<[f64; 3]>,
}

impl Line {
    fn is_met(&self) -> Option<bool> {
        self.measured.map(|measured| if self.least { measured >= self.must } else { measured <= self.must })
    }

    fn of((text, measure, must, least): (&str, Measure, f64, bool), results: &Results) -> Self {
        let line = |text: String, figures: Option<[f64; 3]>, noise| Self {
            text,
            measured: figures.map(|[middle, _, _]| middle),
            spread: figures.map(|[_, low, high]| [low, high]),
            must,
            least,
            noise,
        };
        let alone = |measured| Self { measured, spread: None, ..line(text.to_owned(), None, None) };
        let pair = |workload: Workload, other: Kind, figure: fn(&Sample) -> Option<f64>| {
            let between =
                |own, base| ratio(results.samples(workload, own), results.samples(workload, base), figure);
            let [base, again] = workload.base();
            line(format!("{text} ÷ {}", other.name()), between(Kind::Millrace, other), between(again, base))
        };
        let weight = results.weight(Kind::Millrace);
        match measure {
            Measure::Cpu(workload, other) => pair(workload, other, Sample::micros),
            Measure::Rate(workload, other) => pair(workload, other, |sample| Some(sample.rate())),
            Measure::AddedP99(workload, other) => {
                let p99 = |kind| results.added(workload, kind)[1];
                let between = |own, base| {
                    let base = p99(base).filter(|micros| *micros > 0.0)?;
                    Some([p99(own)? / base; 3])
                };
                let [base, again] = workload.base();
                let text = format!("{text} ÷ {}", other.name());
                line(text, between(Kind::Millrace, other), between(again, base))
            }
            Measure::IdleBytes => alone(weight.map(|weight| weight.idle_bytes)),
            Measure::StreamBytes => alone(weight.map(|weight| weight.stream_bytes)),
            Measure::RequestInstructions => alone(results.instructions().map(|count| count.per_request)),
            Measure::EventInstructions => alone(results.instructions().map(|count| count.per_event)),
        }
    }
}

fn lines(results: &Results) -> Vec<Line> {
    PROMISES.into_iter().map(|promise| Line::of(promise, results)).collect()
}

/// Ratios have three digits behind the point, counts none.
fn number(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// For people.
pub(super) fn table(results: &Results) -> String {
    let mut text = format!(
        "\n{:<42} {:>8} {:>13} {:>9} {:>8} {:>20}\n",
        "promise", "measured", "(low-high)", "must", "", "noise (low-high)"
    );
    for line in lines(results) {
        let spread = line.spread.filter(|[low, high]| low != high);
        let spread = spread.map_or_else(String::new, |[low, high]| format!("{low:.2}-{high:.2}"));
        let noise = line.noise.map_or_else(
            || "-".to_owned(),
            |[middle, low, high]| {
                if low == high { format!("{middle:.2}") } else { format!("{middle:.2} ({low:.2}-{high:.2})") }
            },
        );
        let met = match line.is_met() {
            None => "unknown",
            Some(true) => "met",
            Some(false) => "NOT MET",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<42} {:>8} {spread:>13} {:>9} {met:>8} {noise:>20}",
            line.text,
            line.measured.map_or_else(|| "-".to_owned(), number),
            format!("{} {}", if line.least { "≥" } else { "≤" }, number(line.must)),
        );
    }
    text
}

/// For programs.
pub(super) fn json(results: &Results) -> Value {
    let lines = lines(results).into_iter().map(|line| {
        json!({
            "promise": line.text, "measured": line.measured, "spread": line.spread, "must": line.must,
            "bound": if line.least { "least" } else { "most" }, "met": line.is_met(), "noise": line.noise,
        })
    });
    Value::Array(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::instructions::Instructions;
    use crate::compare::sample::sample;
    use crate::compare::weigh::Weight;

    #[test]
    fn promises_are_met_or_not_or_unknown() {
        let mut results = Results::default();
        for (kind, cpu) in [(Kind::Floor, 0.010), (Kind::FloorAgain, 0.011), (Kind::Millrace, 0.0112)] {
            results.add(Workload::Chat, kind, sample(0, cpu, 1000));
        }
        results.add(Workload::Chat, Kind::Nginx, sample(0, 0.011, 1000));
        results.weighed(Kind::Millrace, Weight { idle_bytes: 8000.0, stream_bytes: 30_000.0 });
        results.counted(Instructions { per_request: 11_000.0, per_event: 2600.0 });
        let met = |at: usize| Line::of(PROMISES[at], &results).is_met();
        assert_eq!([met(0), met(1), met(2)], [Some(true), Some(false), None]);
        assert_eq!([met(14), met(15), met(16), met(17)], [Some(true), Some(false), Some(true), Some(false)]);
        let noise = Line::of(PROMISES[0], &results).noise.unwrap();
        assert!((noise[0] - 1.1).abs() < 1e-9, "{noise:?}");
        let table = table(&results);
        assert!(table.contains("1.120") && table.contains("NOT MET") && table.contains("unknown"), "{table}");
        assert_eq!(json(&results)[15]["met"], false);
    }

    #[test]
    fn latencies_are_divided_beyond_direct() {
        let mut results = Results::default();
        for (kind, nanos) in [(Kind::Direct, 10_000), (Kind::Millrace, 50_000), (Kind::Haproxy, 110_000)] {
            results.add(Workload::Half, kind, sample(0, 0.01, nanos));
        }
        let line = Line::of(PROMISES[11], &results);
        assert!((line.measured.unwrap() - 0.4).abs() < 0.01 && line.is_met() == Some(true));
    }
}
