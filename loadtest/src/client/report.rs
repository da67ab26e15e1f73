//! The figures of a run for people (a table) and for programs (JSON).
//!
//! Times are in microseconds. Deliberately absent: the page with plots (`page`).

use core::fmt::Write;
use std::collections::BTreeMap;

use serde::Serialize;

use super::figures::{Figures, Pair, Second, Spread};
use super::{Options, Plan};
use crate::event_loop::clock::SECOND_NS;
use crate::report::{bytes, machine, micros};
use crate::scenario::{Load, Scenario};

/// A time from two starts.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Both {
    /// From the intended sending; absent in a closed loop, where no time is intended.
    pub(super) corrected: Option<Spread>,
    /// From the actual sending.
    pub(super) raw: Option<Spread>,
}

/// Everything that is reported.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Grows by one when a member changes its meaning.
    format: u32,
    pub(super) scenario: String,
    pub(super) about: String,
    pub(super) targets: Vec<String>,
    model: String,
    pub(super) load: Load,
    pub(super) stream: bool,
    pub(super) seconds: f64,
    pub(super) machine: serde_json::Value,
    pub(super) ok: u64,
    failed: u64,
    pub(super) failures: BTreeMap<String, u64>,
    retried: u64,
    unfinished: u64,
    not_sent: u64,
    connections: u64,
    closed_idle: u64,
    idle: u32,
    pub(super) events: u64,
    bytes: u64,
    pub(super) requests_per_s: f64,
    pub(super) events_per_s: f64,
    pub(super) latency_us: Both,
    pub(super) first_token_us: Both,
    pub(super) gap_us: Option<Spread>,
    pub(super) one_way_us: Option<Spread>,
    pub(super) send_delay_us: Option<Spread>,
    timeline: Vec<Second>,
}

impl Report {
    /// Puts a run together.
    pub(super) fn new(scenario: &Scenario, options: &Options, plan: &Plan, figures: &Figures) -> Self {
        let seconds = plan.measured_ns as f64 / SECOND_NS as f64;
        let open = matches!(plan.load, Load::Rate(_) | Load::Poisson(_));
        let both = |pair: &Pair| Both {
            corrected: if open { Spread::of(&pair.corrected) } else { None },
            raw: Spread::of(&pair.raw),
        };
        Self {
            format: 1,
            scenario: scenario.name.clone(),
            about: scenario.about.clone(),
            targets: options.target.clone(),
            model: options.model.clone(),
            load: plan.load,
            stream: plan.stream,
            seconds,
            machine: serde_json::from_str(&machine()).unwrap_or_default(),
            ok: figures.ok,
            failed: figures.tally.total(),
            failures: figures.tally.iter().map(|(text, count)| (text.to_owned(), count)).collect(),
            retried: figures.retried,
            unfinished: figures.unfinished,
            not_sent: figures.not_sent,
            connections: figures.connections,
            closed_idle: figures.closed_idle,
            idle: plan.idle,
            events: figures.events,
            bytes: figures.bytes,
            requests_per_s: figures.ok as f64 / seconds,
            events_per_s: figures.events as f64 / seconds,
            latency_us: both(&figures.latency),
            first_token_us: if plan.stream {
                both(&figures.first_token)
            } else {
                Both { corrected: None, raw: None }
            },
            gap_us: if plan.stream { Spread::of(&figures.gap) } else { None },
            one_way_us: Spread::of(&figures.one_way),
            send_delay_us: if open { Spread::of(&figures.send_delay) } else { None },
            timeline: figures.timeline.clone(),
        }
    }

    /// Failures, and requests that an open loop could not send.
    pub(super) fn failed(&self) -> u64 {
        self.failed + self.not_sent
    }

    /// What load was offered, in words.
    pub(super) fn load_text(&self) -> String {
        match self.load {
            Load::Rate(rate) => format!("open loop, {rate} requests/s"),
            Load::Poisson(rate) => format!("open loop, {rate} requests/s at random"),
            Load::Closed(count) => format!("closed loop, {count} connections"),
            Load::Streams(count) => format!("{count} streams"),
        }
    }

    /// The rows of times that there are, with their names.
    pub(super) fn rows(&self) -> Vec<(&'static str, Spread)> {
        [
            ("first token, corrected", self.first_token_us.corrected),
            ("first token, raw", self.first_token_us.raw),
            ("whole answer, corrected", self.latency_us.corrected),
            ("whole answer, raw", self.latency_us.raw),
            ("gap between events", self.gap_us),
            ("one way, origin to here", self.one_way_us),
            ("sent later than meant", self.send_delay_us),
        ]
        .into_iter()
        .filter_map(|(name, spread)| spread.map(|spread| (name, spread)))
        .collect()
    }

    /// The counts, with their names.
    pub(super) fn counts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("right answers", format!("{} ({:.1}/s)", self.ok, self.requests_per_s)),
            ("events", format!("{} ({:.1}/s)", self.events, self.events_per_s)),
            ("received", bytes(self.bytes)),
            ("connections", format!("{} opened, {} closed by the peer", self.connections, self.closed_idle)),
            ("held idle", self.idle.to_string()),
            ("sent again", self.retried.to_string()),
            ("unfinished", format!("{} running, {} never sent", self.unfinished, self.not_sent)),
            ("failures", self.failed.to_string()),
        ]
    }

    /// For a terminal.
    pub(super) fn table(&self) -> String {
        let mut out = format!(
            "{}: {}\n{} to {} for {:.1} s\n\n",
            self.scenario,
            self.about,
            self.load_text(),
            self.targets.join(", "),
            self.seconds
        );
        // Writing to a string cannot fail.
        for (name, value) in self.counts() {
            let _ = writeln!(out, "{name:<24}{value}");
        }
        for (text, count) in &self.failures {
            let _ = writeln!(out, "  {count} × {text}");
        }
        let head = ["p50", "p90", "p99", "p99.9", "max"];
        let _ = write!(out, "\n{:<24}", "");
        for name in head {
            let _ = write!(out, "{name:>11}");
        }
        out.push('\n');
        for (name, spread) in self.rows() {
            let _ = write!(out, "{name:<24}");
            for value in [spread.p50, spread.p90, spread.p99, spread.p999, spread.max] {
                let _ = write!(out, "{:>11}", time(value));
            }
            out.push('\n');
        }
        out
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("names and numbers are always JSON");
        text.push('\n');
        text
    }
}

/// Microseconds for people.
pub(super) fn time(value_us: f64) -> String {
    if value_us < 1000.0 { format!("{value_us:.1} µs") } else { micros(value_us as u64) }
}
