//! What the fold tells about itself.
//!
//! Deliberately absent: the counters of the cores (`base::metrics`).

use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::super::fold::{Compared, Folded};

/// Providers and models whose tokens are told apart; the rest is one line without names.
const PAIRS_MAX: usize = 2_000;

/// A provider and a model.
type Pair = (Box<str>, Box<str>);

/// The end of a name, a help text, and what is shown.
type Shown = (&'static str, &'static str, fn(&Compared) -> u64);

/// Written by the fold, read by whoever asks.
#[derive(Debug, Default)]
pub(in super::super) struct Gauges {
    records: AtomicU64,
    requests: AtomicU64,
    unpriced: AtomicU64,
    unsettled: AtomicU64,
    repeated: AtomicU64,
    failures: AtomicU64,
    /// Records of the journal that are not in the ledger.
    behind: AtomicU64,
    /// Since when, in seconds since 1970; 0 when there are none.
    behind_since: AtomicU64,
    failing: AtomicBool,
    /// By provider and model.
    compared: Mutex<BTreeMap<Pair, Compared>>,
}

impl Gauges {
    pub(super) fn folded(&self, folded: Folded) {
        let add = |to: &AtomicU64, by: usize| to.fetch_add(by as u64, Ordering::Relaxed);
        add(&self.records, folded.records);
        add(&self.requests, folded.requests);
        add(&self.unpriced, folded.unpriced);
        add(&self.unsettled, folded.unsettled);
        add(&self.repeated, folded.repeated);
        self.failing.store(false, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }

    /// How many records are still to be taken in.
    pub(super) fn behind(&self, records: u64, now: u64) {
        self.behind.store(records, Ordering::Relaxed);
        let since = self.behind_since.load(Ordering::Relaxed);
        if records == 0 {
            self.behind_since.store(0, Ordering::Relaxed);
        } else if since == 0 {
            self.behind_since.store(now, Ordering::Relaxed);
        }
    }

    pub(super) fn compared(&self, provider: &str, model: &str, added: Compared) {
        let mut pairs = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Box::from(provider), Box::from(model));
        let key = if pairs.len() < PAIRS_MAX || pairs.contains_key(&key) { key } else { Default::default() };
        let sums = pairs.entry(key).or_default();
        sums.counted += added.counted;
        sums.reported += added.reported;
    }

    /// In Prometheus' text format.
    pub(super) fn text(&self, now: u64) -> String {
        let mut text = String::with_capacity(4 * 1024);
        let behind_since = self.behind_since.load(Ordering::Relaxed);
        let lag = if behind_since == 0 { 0 } else { now.saturating_sub(behind_since) };
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        for (name, help, kind, value) in [
            (
                "folded_records_total",
                "Journal records taken into the ledger.",
                "counter",
                read(&self.records),
            ),
            ("requests_total", "Requests taken into the ledger.", "counter", read(&self.requests)),
            ("unpriced_requests_total", "Requests without a known price.", "counter", read(&self.unpriced)),
            (
                "unsettled_requests_total",
                "Charged as reserved after a crash.",
                "counter",
                read(&self.unsettled),
            ),
            ("repeated_requests_total", "Settles that were in already.", "counter", read(&self.repeated)),
            ("fold_failures_total", "Batches that were not committed.", "counter", read(&self.failures)),
            (
                "fold_failing",
                "1 while the last batch failed.",
                "gauge",
                self.failing.load(Ordering::Relaxed).into(),
            ),
            ("fold_lag_records", "Journal records not in the ledger.", "gauge", read(&self.behind)),
            ("fold_lag_seconds", "How long there have been any.", "gauge", lag),
        ] {
            let name = format!("millrace_ledger_{name}");
            line(&mut text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"));
        }
        let pairs = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        let which: [Shown; 2] = [
            ("counted", "Completion tokens as counted here, of answers with reported usage.", |sums| {
                sums.counted
            }),
            ("reported", "Completion tokens as reported, of answers that were counted too.", |sums| {
                sums.reported
            }),
        ];
        for (name, help, value) in which {
            let name = format!("millrace_tokens_{name}_total");
            line(&mut text, format_args!("# HELP {name} {help}\n# TYPE {name} counter"));
            for ((provider, model), sums) in pairs.iter() {
                let (provider, model) = (escaped(provider), escaped(model));
                let value = value(sums);
                line(&mut text, format_args!("{name}{{provider=\"{provider}\",model=\"{model}\"}} {value}"));
            }
        }
        text
    }
}

fn line(text: &mut String, line: core::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}

/// A label's value: backslash, quote and line feed have a meaning there.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
