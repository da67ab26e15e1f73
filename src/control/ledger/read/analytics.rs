//! Questions with any metrics and dimensions, answered from the smallest roll-up that knows them; finer than
//! an hour from the requests themselves.
//!
//! Amounts are sums of whole pico-dollars in two halves, joined here. Rates are of whole numbers and are
//! shown as decimals.
//! Deliberately absent: what a question may look like (`ask`).

use rusqlite::{Connection, Row, params_from_iter};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::ask::Query;
use super::plan::Plan;
use super::{joined, user_text};
use crate::control::calendar::rfc3339;
use crate::control::ledger::Money;

/// What a metric is made of.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// The sum of a column.
    Sum(&'static str),
    /// The sum of a column of amounts.
    Amount(&'static str),
    /// One sum through another, times a factor.
    Rate(&'static str, &'static str, f64),
}

/// A number to ask for.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// For people.
    pub label: &'static str,
    /// `number`, `currency`, `percent`, `latency` or `throughput`.
    pub format: &'static str,
    /// How it is made.
    pub kind: Kind,
}

const fn metric(name: &'static str, label: &'static str, format: &'static str, kind: Kind) -> Metric {
    Metric { name, label, format, kind }
}

/// Every metric.
pub const METRICS: &[Metric] = &[
    metric("request_count", "Requests", "number", Kind::Sum("requests")),
    metric("failed_count", "Failed requests", "number", Kind::Sum("failures")),
    metric("cancelled_count", "Cancelled requests", "number", Kind::Sum("cancelled")),
    metric("unsettled_count", "Requests lost in a crash", "number", Kind::Sum("unsettled")),
    metric("streamed_count", "Streamed requests", "number", Kind::Sum("streamed")),
    metric("unpriced_count", "Requests without a known price", "number", Kind::Sum("unpriced")),
    metric("insured_count", "Requests not charged", "number", Kind::Sum("insured")),
    metric("estimated_count", "Requests with counted usage", "number", Kind::Sum("estimated_requests")),
    metric("tokens_prompt", "Prompt tokens", "number", Kind::Sum("prompt_tokens")),
    metric("tokens_completion", "Completion tokens", "number", Kind::Sum("completion_tokens")),
    metric("tokens_total", "Tokens", "number", Kind::Sum("prompt_tokens + completion_tokens")),
    metric("reasoning_tokens", "Reasoning tokens", "number", Kind::Sum("reasoning_tokens")),
    metric("cached_tokens", "Cached tokens", "number", Kind::Sum("cached_tokens")),
    metric("cache_write_tokens", "Tokens written to caches", "number", Kind::Sum("cache_write_tokens")),
    metric("audio_tokens", "Audio tokens", "number", Kind::Sum("audio_tokens")),
    metric("images", "Images", "number", Kind::Sum("images")),
    metric("counted_tokens", "Completion tokens counted", "number", Kind::Sum("counted_tokens")),
    metric("reported_tokens", "Of these, as reported", "number", Kind::Sum("reported_tokens")),
    metric("answer_bytes", "Bytes of answers", "number", Kind::Sum("answer_bytes")),
    metric("total_usage", "Cost", "currency", Kind::Amount("cost")),
    metric("upstream_cost", "Cost upstream", "currency", Kind::Amount("upstream_cost")),
    metric("byok_usage", "Cost upstream of own credentials", "currency", Kind::Amount("byok_cost")),
    metric("cache_discount", "Saved by caches", "currency", Kind::Amount("cache_discount")),
    metric("failure_rate", "Failed", "percent", Kind::Rate("failures", "requests", 100.0)),
    metric(
        "cache_hit_rate",
        "Prompt tokens cached",
        "percent",
        Kind::Rate("cached_tokens", "prompt_tokens", 100.0),
    ),
    metric(
        "count_ratio",
        "Counted through reported",
        "number",
        Kind::Rate("counted_tokens", "reported_tokens", 1.0),
    ),
    metric(
        "latency",
        "Time to first byte, ms",
        "latency",
        Kind::Rate("first_byte_micros", "first_bytes", 0.001),
    ),
    metric(
        "generation_time",
        "Time of an answer, ms",
        "latency",
        Kind::Rate("generation_micros", "first_bytes", 0.001),
    ),
    metric(
        "throughput",
        "Tokens per second",
        "throughput",
        Kind::Rate("completion_tokens", "generation_micros", 1e6),
    ),
];

/// What sums can be told apart by.
#[derive(Clone, Copy, Debug)]
pub struct Dimension {
    /// Its name.
    pub name: &'static str,
    /// For people.
    pub label: &'static str,
    /// The column that is shown and compared; `team_name` depends on the view.
    pub(super) column: &'static str,
    /// The smallest view that knows it: 0 teams, 1 keys, 2 users.
    pub(super) view: usize,
}

/// Every dimension.
pub const DIMENSIONS: &[Dimension] = &[
    Dimension { name: "model", label: "Model", column: "served.model", view: 0 },
    Dimension { name: "provider", label: "Provider", column: "served.provider", view: 0 },
    Dimension { name: "endpoint", label: "Endpoint", column: "served.endpoint", view: 0 },
    Dimension { name: "workspace", label: "Team", column: "team_name", view: 0 },
    Dimension { name: "api_key_id", label: "Key", column: "callers.key", view: 1 },
    Dimension {
        name: "api_key_hash",
        label: "Hash of the key",
        column: "lower(hex(callers.digest))",
        view: 1,
    },
    Dimension { name: "external_user", label: "User", column: "user", view: 2 },
];

/// The names of operators and their SQL.
pub const OPERATORS: [(&str, &str); 8] = [
    ("eq", "="),
    ("neq", "<>"),
    ("in", "IN"),
    ("not_in", "NOT IN"),
    ("gt", ">"),
    ("gte", ">="),
    ("lt", "<"),
    ("lte", "<="),
];

/// Length of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// From the requests themselves, as long as these are kept.
    Minute,
    /// From the sums of hours.
    Hour,
    /// From the sums of days.
    Day,
    /// Weeks begin on Mondays.
    Week,
    /// Months of the calendar.
    Month,
}

/// The names of granularities.
pub const GRANULARITIES: [(&str, Granularity); 5] = [
    ("minute", Granularity::Minute),
    ("hour", Granularity::Hour),
    ("day", Granularity::Day),
    ("week", Granularity::Week),
    ("month", Granularity::Month),
];

impl Granularity {
    /// Its least length.
    pub(super) const fn seconds(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 7 * 86_400,
            Self::Month => 28 * 86_400,
        }
    }
}

/// One value of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing to show.
    Nothing,
    /// A name.
    Text(String),
    /// A whole number.
    Whole(i128),
    /// An amount.
    Amount(Money),
    /// A rate.
    Rate(f64),
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Whole(number) => serializer.serialize_i128(*number),
            Self::Amount(amount) => amount.serialize(serializer),
            Self::Rate(rate) => serializer.serialize_f64(*rate),
        }
    }
}

/// A row of an answer: names and values.
#[derive(Clone, Debug, PartialEq)]
pub struct Line(pub Vec<(&'static str, Cell)>);

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, cell) in &self.0 {
            map.serialize_entry(name, cell)?;
        }
        map.end()
    }
}

/// What a question was answered with.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The rows.
    pub rows: Vec<Line>,
    /// There were more.
    pub truncated: bool,
    /// What to know about them.
    pub warnings: Vec<String>,
}

/// Answers a question.
///
/// # Errors
/// When the database cannot be read.
pub fn answer(connection: &Connection, query: &Query) -> rusqlite::Result<Answer> {
    let plan = Plan::new(query);
    let mut statement = connection.prepare(&plan.sql)?;
    let mut rows = statement.query(params_from_iter(plan.values))?;
    let mut lines = Vec::new();
    let mut truncated = false;
    while let Some(row) = rows.next()? {
        if lines.len() as u64 == query.limit {
            truncated = true;
            break;
        }
        lines.push(line(query, row)?);
    }
    Ok(Answer { rows: lines, truncated, warnings: plan.warnings })
}

/// One row of the plan's statement: the bucket, the dimensions, then each metric's columns.
fn line(query: &Query, row: &Row<'_>) -> rusqlite::Result<Line> {
    let mut place = 0;
    let mut next = || {
        place += 1;
        place - 1
    };
    let mut cells = Vec::with_capacity(1 + query.dimensions.len() + query.metrics.len());
    let start: i64 = row.get(next())?;
    if query.granularity.is_some() {
        cells.push(("date", Cell::Text(rfc3339(start.unsigned_abs()))));
    }
    for dimension in &query.dimensions {
        let cell = if dimension.name == "external_user" {
            user_text(row.get(next())?).map_or(Cell::Nothing, Cell::Text)
        } else {
            Cell::Text(row.get(next())?)
        };
        cells.push((dimension.name, cell));
    }
    for metric in &query.metrics {
        let cell = match metric.kind {
            Kind::Sum(_) => Cell::Whole(row.get::<_, i64>(next())?.into()),
            Kind::Amount(_) => Cell::Amount(Money(joined(row.get(next())?, row.get(next())?))),
            Kind::Rate(_, _, factor) => {
                let (above, below): (i64, i64) = (row.get(next())?, row.get(next())?);
                if below == 0 { Cell::Nothing } else { Cell::Rate(above as f64 / below as f64 * factor) }
            }
        };
        cells.push((metric.name, cell));
    }
    Ok(Line(cells))
}
