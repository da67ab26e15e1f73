//! The report for a terminal.
//!
//! Deliberately absent: colours.

use core::fmt::Write;

use super::rows::{FIGURES, Line, Value, lines, share_of};
use super::{Run, usd};
use crate::control::simulate::Tally;
use crate::control::simulate::clock::span_text;
use crate::control::simulate::tally::Part;

/// Providers, models and causes shown; the JSON has all.
const LINES_MOST: usize = 20;
/// Longest name that is not cut.
const NAME_MOST: usize = 40;

/// The report as lines of text.
#[must_use]
pub fn table(run: &Run) -> String {
    let mut out = format!(
        "{} requests over {} from {}, seed {}, cores {}\n\n",
        super::grouped(&run.tallies[0].requests.to_string()),
        span_text(run.length),
        run.traffic,
        run.seed,
        run.cores
    );
    let two = run.tallies.len() == 2;
    let mut head = vec![String::new()];
    for (turn, tally) in run.tallies.iter().enumerate() {
        head.push(format!("{}{}", tally.name, mark(run, turn)));
    }
    if two {
        head.push("difference".to_owned());
    }
    let mut rows = vec![head];
    for (name, figure) in FIGURES {
        let values: Vec<Value> = run.tallies.iter().map(figure).collect();
        let mut row = vec![(*name).to_owned()];
        row.extend(values.iter().map(|value| value.text()));
        if let [one, two] = values[..] {
            row.push(one.difference(two));
        }
        rows.push(row);
    }
    out.push_str(&aligned(&rows));
    out.push('\n');
    out.push_str(&parts(run, "provider", |tally| &tally.providers));
    out.push('\n');
    out.push_str(&parts(run, "model", |tally| &tally.models));
    for tally in &run.tallies {
        for (title, causes) in
            [("failures that clients saw", &tally.faults), ("no candidate", &tally.refusals)]
        {
            if causes.is_empty() {
                continue;
            }
            // Writing to a string cannot fail.
            let _ = writeln!(out, "\n{title}, {}", tally.name);
            let mut causes: Vec<(&String, &u64)> = causes.iter().collect();
            causes.sort_by(|one, two| two.1.cmp(one.1));
            for (cause, count) in causes.into_iter().take(LINES_MOST) {
                let _ = writeln!(out, "{count:>12}  {cause}");
            }
        }
    }
    out
}

/// One line to a provider or model: share, cost, first token and trouble under each policy.
fn parts(run: &Run, what: &str, of: fn(&Tally) -> &[Part]) -> String {
    let columns = ["share", "cost", "first token p50 / p95", "failed", "at once"];
    let all = lines(run, of);
    let mut rows = Vec::new();
    let mut head = vec![what.to_owned()];
    for turn in 0..run.tallies.len() {
        let mark = mark(run, turn);
        head.extend(columns.iter().map(|column| format!("{column}{mark}")));
    }
    rows.push(head);
    for Line { name, parts } in all.iter().take(LINES_MOST) {
        let mut row = vec![shortened(name)];
        for (part, tally) in parts.iter().zip(&run.tallies) {
            let Some(part) = part else {
                row.extend(columns.iter().map(|_| "-".to_owned()));
                continue;
            };
            let ttft = |at| Value::Time(part.ttft_us.quantile(at)).text();
            row.push(format!("{:.1} %", share_of(Some(part), tally) * 100.0));
            row.push(usd(part.cost));
            row.push(format!("{} / {}", ttft(0.5), ttft(0.95)));
            row.push(Value::Count(part.attempts_failed).text());
            row.push(part.under_way_most.to_string());
        }
        rows.push(row);
    }
    let mut text = aligned(&rows);
    if all.len() > LINES_MOST {
        let _ = writeln!(text, "and {} more", all.len() - LINES_MOST);
    }
    text
}

/// Tells the columns of two policies apart; nothing for a single one.
fn mark(run: &Run, turn: usize) -> &'static str {
    match (run.tallies.len(), turn) {
        (1, _) => "",
        (_, 0) => " A",
        _ => " B",
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME_MOST {
        return name.to_owned();
    }
    name.chars().take(NAME_MOST - 1).chain(['…']).collect()
}

/// Columns of equal width: the first to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            match column {
                0 => line.extend([cell, &*pad]),
                _ => line.extend(["  ", &*pad, cell]),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
