//! The statement that answers a question.
//!
//! Only names of the tables in `analytics` become SQL; everything that a client says is a bound value.
//! Deliberately absent: reading its rows.

use core::fmt::Write;

use rusqlite::types::Value;

use super::analytics::{Granularity, Kind, Metric};
use super::ask::{Field, Filter, Operand, Order, Query};
use super::user_of;
use crate::control::ledger::sums::{COLUMNS, OF_A_ROW};

/// SQL and what is bound to it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
    pub(super) warnings: Vec<String>,
}

/// Where the sums come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Rows,
    Hours,
    Days,
}

impl Plan {
    pub(super) fn new(query: &Query) -> Self {
        let mut plan = Self { sql: String::new(), values: Vec::new(), warnings: Vec::new() };
        let (source, start, end) = plan.source(query);
        let filtered = query.filters.iter().filter_map(|filter| match filter.field {
            Field::Dimension(dimension) => Some(dimension),
            Field::Metric(_) => None,
        });
        let all = query.dimensions.iter().copied().chain(filtered);
        let view = all.map(|dimension| dimension.view).max().unwrap_or_default();
        if view == 2 && source != Source::Rows {
            plan.warnings.push("requests that name no user are left out where users are told apart".into());
        }
        let team = if view == 0 && source != Source::Rows { "words.word" } else { "callers.team" };
        let column = |column: &str| column.replace("team_name", team);

        let bucket = query.granularity.map_or("0".to_owned(), bucket);
        let mut selected = vec![format!("{bucket} AS bucket")];
        for (turn, dimension) in query.dimensions.iter().enumerate() {
            selected.push(format!("{} AS d{turn}", column(dimension.column)));
        }
        selected.extend(query.metrics.iter().map(|metric| columns(metric)));
        let mut sql = format!("SELECT {}", selected.join(", "));
        let order = order(query);
        if query.group_limit.is_some() && !query.dimensions.is_empty() {
            let groups: Vec<String> = query.dimensions.iter().map(|one| column(one.column)).collect();
            let order = order.replace("d0", &groups[0]).replace("d1", groups.last().map_or("", |one| one));
            let order = order.replace("bucket", &bucket);
            let over = groups.join(", ");
            write!(
                sql,
                ", row_number() OVER (PARTITION BY {over} ORDER BY {order}) AS turn,
                 row_number() OVER (ORDER BY {order}) AS place"
            )
            .expect("writing to a String cannot fail");
        }
        sql.push_str(&plan.from(source, view, start, end));
        let filters = query.filters.iter().filter(|filter| matches!(filter.field, Field::Dimension(_)));
        for filter in filters {
            let Field::Dimension(dimension) = filter.field else { continue };
            let condition = plan.condition(&column(dimension.column), filter, dimension.name);
            write!(sql, " AND {condition}").expect("writing to a String cannot fail");
        }
        let groups: String = (0..query.dimensions.len()).map(|turn| format!(", d{turn}")).collect();
        write!(sql, " GROUP BY bucket{groups} HAVING sum(requests) > 0")
            .expect("writing to a String cannot fail");
        for filter in &query.filters {
            let Field::Metric(metric) = filter.field else { continue };
            let condition = plan.condition(&value_of(metric), filter, "");
            write!(sql, " AND {condition}").expect("writing to a String cannot fail");
        }
        if let Some(most) = query.group_limit.filter(|_| !query.dimensions.is_empty()) {
            sql = format!("SELECT * FROM ({sql}) WHERE turn <= {most} ORDER BY place");
        } else {
            write!(sql, " ORDER BY {order}").expect("writing to a String cannot fail");
        }
        // One more than is shown, to know whether there are more.
        write!(sql, " LIMIT {}", query.limit + 1).expect("writing to a String cannot fail");
        plan.sql = sql;
        plan
    }

    /// The coarsest sums that have the question's buckets and edges, and the edges rounded to these.
    fn source(&mut self, query: &Query) -> (Source, u64, u64) {
        if query.granularity == Some(Granularity::Minute) {
            return (Source::Rows, query.start, query.end);
        }
        let (day, hour) = (86_400, 3_600);
        let is_whole = |grain: u64| {
            query.start.is_multiple_of(grain) && (query.end.is_multiple_of(grain) || query.end > query.now)
        };
        if is_whole(day) && query.granularity != Some(Granularity::Hour) {
            return (Source::Days, query.start, query.end.next_multiple_of(day));
        }
        if !is_whole(hour) {
            self.warnings.push("the time range was widened to whole hours; minutes keep to it".into());
        }
        (Source::Hours, query.start / hour * hour, query.end.next_multiple_of(hour))
    }

    /// The tables, and the time.
    fn from(&mut self, source: Source, view: usize, start: u64, end: u64) -> String {
        let names = "JOIN served ON served.number = sums.served";
        if source == Source::Rows {
            self.values.push(format!("gen-{start:010}").into());
            self.values.push(format!("gen-{end:010}").into());
            let columns: Vec<String> =
                OF_A_ROW.iter().zip(COLUMNS).map(|(sql, name)| format!("{sql} AS {name}")).collect();
            return format!(
                " FROM (SELECT created_at AS start, caller, user, served, {} FROM requests
                        WHERE id >= ?1 AND id < ?2) AS sums
                  {names} JOIN callers ON callers.number = sums.caller WHERE 1",
                columns.join(", ")
            );
        }
        for edge in [start, end] {
            self.values.push(i64::try_from(edge).unwrap_or(i64::MAX).into());
        }
        let grain = if source == Source::Hours { "hours" } else { "days" };
        let table = ["teams", "keys", "users"][view];
        let who = if view == 0 {
            "JOIN words ON words.number = sums.team"
        } else {
            "JOIN callers ON callers.number = sums.caller"
        };
        format!(" FROM {grain}_{table} AS sums {names} {who} WHERE start >= ?1 AND start < ?2")
    }

    /// `expression operator value`, the values bound.
    fn condition(&mut self, expression: &str, filter: &Filter, dimension: &str) -> String {
        let mut places = Vec::with_capacity(filter.values.len());
        for value in &filter.values {
            self.values.push(match value {
                Operand::Text(text) if dimension == "external_user" => user_of(text).into(),
                Operand::Text(text) if dimension == "api_key_hash" => text.to_lowercase().into(),
                Operand::Text(text) => text.clone().into(),
                Operand::Number(number) => (*number).into(),
            });
            places.push(format!("?{}", self.values.len()));
        }
        let operator = filter.operator;
        match operator {
            "IN" | "NOT IN" => format!("{expression} {operator} ({})", places.join(", ")),
            _ => format!("{expression} {operator} {}", places.join(", ")),
        }
    }
}

/// The begin of the bucket that `start` is in.
fn bucket(granularity: Granularity) -> String {
    match granularity {
        Granularity::Minute | Granularity::Hour | Granularity::Day => {
            format!("start / {0} * {0}", granularity.seconds())
        }
        // 1970-01-01 was a Thursday.
        Granularity::Week => "(start / 86400 - (start / 86400 + 3) % 7) * 86400".to_owned(),
        Granularity::Month => "unixepoch(start, 'unixepoch', 'start of month')".to_owned(),
    }
}

/// The columns that a metric is read from.
fn columns(metric: &Metric) -> String {
    match metric.kind {
        Kind::Sum(column) => format!("sum({column})"),
        Kind::Amount(column) => super::halves(column),
        Kind::Rate(above, below, _) => format!("sum({above}), sum({below})"),
    }
}

/// A metric as a number that can be compared. Amounts are compared in dollars; that they are not exact there
/// only decides what is shown first.
fn value_of(metric: &Metric) -> String {
    match metric.kind {
        Kind::Sum(column) => format!("sum({column})"),
        Kind::Amount(column) => {
            format!("((sum({column} >> 32) * 4294967296.0 + sum({column} & 4294967295)) / 1e12)")
        }
        Kind::Rate(above, below, factor) => {
            format!("(sum({above}) * {factor:?} / nullif(sum({below}), 0))")
        }
    }
}

/// What comes first: as asked for, then the newest bucket, then names.
fn order(query: &Query) -> String {
    let mut order = Vec::new();
    if let Some((by, most_first)) = &query.order {
        let by = match by {
            Order::Date => "bucket".to_owned(),
            Order::Dimension(place) => format!("d{place}"),
            Order::Metric(metric) => value_of(metric),
        };
        order.push(format!("{by} {}", if *most_first { "DESC" } else { "ASC" }));
    }
    order.push("bucket".to_owned());
    order.extend((0..query.dimensions.len()).map(|turn| format!("d{turn}")));
    order.join(", ")
}
