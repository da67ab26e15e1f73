//! What was used each day, by model and endpoint: the last 30 days that are over, or any one day.
//!
//! Deliberately absent: which days may be asked for (`control/api/activity`).

use rusqlite::Connection;
use rusqlite::types::Value;

use super::{halves, joined};
use crate::control::calendar::{DAY, date};
use crate::control::ledger::Money;

/// Days that are shown.
pub const DAYS: u64 = 30;

/// What to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only this day, as the moment it began (Unix seconds); otherwise the last [`DAYS`] that are over.
    pub day: Option<u64>,
    /// Only this key.
    pub key: Option<[u8; 32]>,
    /// Only this user, by its hash.
    pub user: Option<i64>,
    /// Tell teams apart.
    pub by_team: bool,
    /// Only this team.
    pub team: Option<String>,
}

/// A day of a model at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `2026-11-19`
    pub date: String,
    /// Id of the model.
    pub model: String,
    /// Id of the provider.
    pub provider: String,
    /// Tag of the endpoint.
    pub endpoint: String,
    /// Name of the team, when they are told apart.
    pub team: Option<String>,
    /// What was charged.
    pub cost: Money,
    /// What the clients' own credentials were charged upstream.
    pub byok_cost: Money,
    /// Requests.
    pub requests: i64,
    /// Tokens.
    pub prompt_tokens: i64,
    /// Likewise.
    pub completion_tokens: i64,
    /// Likewise.
    pub reasoning_tokens: i64,
}

/// The rows, newest day first.
///
/// # Errors
/// When the database cannot be read.
pub fn activity(connection: &Connection, query: &Query, now: u64) -> rusqlite::Result<Vec<Row>> {
    let today = now / DAY * DAY;
    let (from, until) = match query.day {
        Some(day) => (day, day + DAY),
        None => (today.saturating_sub(DAYS * DAY), today),
    };
    let moment = |at: u64| Value::from(i64::try_from(at).unwrap_or(i64::MAX));
    let mut values = vec![moment(from), moment(until)];
    let mut conditions = "start >= ?1 AND start < ?2".to_owned();
    let mut demand = |condition: &str, value: Value| {
        values.push(value);
        conditions.push_str(&format!(" AND {}", condition.replace('?', &format!("?{}", values.len()))));
    };
    // The narrowest of the tables that can answer.
    let table = if query.user.is_some() {
        "days_users"
    } else if query.key.is_some() {
        "days_keys"
    } else {
        "days_teams"
    };
    if let Some(key) = &query.key {
        demand("caller IN (SELECT number FROM callers WHERE digest = ?)", key.to_vec().into());
    }
    if let Some(user) = query.user {
        demand("user = ?", user.into());
    }
    let team = if table == "days_teams" { "words.word" } else { "callers.team" };
    if let Some(name) = &query.team {
        demand(&format!("{team} = ?"), name.clone().into());
    }
    let join = match table {
        "days_teams" => "JOIN words ON words.number = team",
        _ => "JOIN callers ON callers.number = caller",
    };
    let shown = if query.by_team { team } else { "NULL" };
    let needs_team = query.by_team || query.team.is_some();
    let join = if needs_team { join } else { "" };
    let sql = format!(
        "SELECT start, served.model, served.provider, served.endpoint, {shown} AS shown, {}, {},
                sum(requests),
                sum(prompt_tokens), sum(completion_tokens), sum(reasoning_tokens)
         FROM {table} {join} JOIN served ON served.number = served
         WHERE {conditions} GROUP BY start, served, shown
         ORDER BY start DESC, served.model, served.provider, served.endpoint, shown",
        halves("cost"),
        halves("byok_cost")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
        Ok(Row {
            date: date(row.get::<_, i64>(0)?.unsigned_abs()),
            model: row.get(1)?,
            provider: row.get(2)?,
            endpoint: row.get(3)?,
            team: row.get(4)?,
            cost: Money(joined(row.get(5)?, row.get(6)?)),
            byok_cost: Money(joined(row.get(7)?, row.get(8)?)),
            requests: row.get(9)?,
            prompt_tokens: row.get(10)?,
            completion_tokens: row.get(11)?,
            reasoning_tokens: row.get(12)?,
        })
    })?;
    rows.collect()
}
