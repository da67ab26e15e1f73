//! The health of endpoints in `/metrics`: one sample per endpoint that any core has used.
//!
//! Deliberately absent: endpoints that nobody has used, which have nothing to say; and the breaker's pauses,
//! which are on the cores' own clock.

use core::fmt::Write;

use super::metrics::{head, line};
use crate::policy::catalog::Snapshot;
use crate::policy::health::board::Board;
use crate::policy::health::layout::{endpoint_tag, passthrough_tag};
use crate::policy::health::outcome::Kind;
use crate::policy::health::summary::{Summary, summaries};
use crate::policy::live::Percentiles;

const IN_FLIGHT: &str = "millrace_endpoint_in_flight";
const TRIPPED: &str = "millrace_endpoint_tripped_cores";
const ATTEMPTS: &str = "millrace_endpoint_attempts_total";
const TTFT: &str = "millrace_endpoint_first_event_seconds";
const SPEED: &str = "millrace_endpoint_tokens_per_second";
const CONNECT: &str = "millrace_endpoint_connect_seconds";

/// An endpoint with its labels, and what is known of it.
struct Seen {
    labels: String,
    summary: Summary,
}

/// Appends the samples of every endpoint on the board.
pub(super) fn write(text: &mut String, snapshot: &Snapshot, board: &Board) {
    let all = seen(snapshot, board);
    gauge(text, &all, IN_FLIGHT, "Requests under way at the endpoint.", |one| one.under_way as f64);
    let help = "Cores whose breaker for the endpoint is open or half-open.";
    gauge(text, &all, TRIPPED, help, |one| f64::from(one.tripped));
    head(text, ATTEMPTS, "Attempts at the endpoint by how they ended.", "counter");
    for one in &all {
        for (kind, count) in Kind::ALL.into_iter().zip(one.summary.totals) {
            let (labels, word) = (&one.labels, kind.word());
            line(text, format_args!("{ATTEMPTS}{{{labels},outcome=\"{word}\"}} {count}"));
        }
    }
    let help = "Seconds to the first event, over the last five minutes.";
    quantiles(text, &all, TTFT, help, |one| one.ttft_ms, 0.001);
    let help =
        "Tokens per second, waiting included, over the last five minutes; higher quantiles are slower.";
    quantiles(text, &all, SPEED, help, |one| one.tokens_per_second, 1.0);
    gauge(text, &all, CONNECT, "Usual seconds to connect.", |one| f64::from(one.connect_ms) / 1000.0);
}

/// Endpoints in the order of the snapshot; one that has two names is listed once.
fn seen(snapshot: &Snapshot, board: &Board) -> Vec<Seen> {
    let mut summaries = summaries(board);
    let endpoints = snapshot.endpoints.iter().map(|endpoint| {
        let provider = &*snapshot.providers[endpoint.provider.index()].id;
        (provider, &*endpoint.name, endpoint_tag(provider, &endpoint.name))
    });
    let passed =
        snapshot.providers.iter().map(|provider| (&*provider.id, "*", passthrough_tag(&provider.id)));
    let known = endpoints.chain(passed).filter_map(|(provider, name, tag)| {
        let labels = format!("provider=\"{}\",endpoint=\"{}\"", escaped(provider), escaped(name));
        summaries.remove(&tag).map(|summary| Seen { labels, summary })
    });
    known.collect()
}

/// The format gives backslash, quote and line feed a meaning in label values.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn gauge(text: &mut String, all: &[Seen], name: &str, help: &str, value: impl Fn(&Summary) -> f64) {
    head(text, name, help, "gauge");
    for one in all {
        line(text, format_args!("{name}{{{}}} {}", one.labels, value(&one.summary)));
    }
}

fn quantiles(
    text: &mut String,
    all: &[Seen],
    name: &str,
    help: &str,
    values: impl Fn(&Summary) -> Percentiles,
    unit: f64,
) {
    head(text, name, help, "gauge");
    for one in all {
        for (quantile, value) in ["0.5", "0.75", "0.9", "0.99"].iter().zip(values(&one.summary).all()) {
            let mut labels = one.labels.clone();
            write!(labels, ",quantile=\"{quantile}\"").expect("writing to a String cannot fail");
            line(text, format_args!("{name}{{{labels}}} {}", f64::from(value) * unit));
        }
    }
}
