//! Sums over everything, and over what one key has used since a day, a week and a month began.
//!
//! Deliberately absent: limits; nobody has any yet.

use rusqlite::{Connection, params};

use super::{halves, joined};
use crate::control::calendar::{DAY, month_start, week_start};
use crate::control::ledger::Money;

/// What was used, in all and since the begin of the current day, week (Monday) and month, in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// In all.
    pub all: Money,
    /// Today.
    pub day: Money,
    /// This week.
    pub week: Money,
    /// This month.
    pub month: Money,
}

/// What everybody was charged, in all.
///
/// # Errors
/// When the database cannot be read.
pub fn everything(connection: &Connection) -> rusqlite::Result<Money> {
    let sql = format!("SELECT {} FROM days_teams", halves("cost"));
    connection.query_row(&sql, (), |row| Ok(Money(joined(row.get(0)?, row.get(1)?))))
}

/// What the key with this digest was charged, and what its own credentials were charged upstream.
///
/// # Errors
/// When the database cannot be read.
pub fn of_key(connection: &Connection, digest: &[u8; 32], now: u64) -> rusqlite::Result<(Used, Used)> {
    let sql = format!(
        "SELECT {}, {} FROM days_keys
         WHERE caller IN (SELECT number FROM callers WHERE digest = ?1) AND start >= ?2",
        halves("cost"),
        halves("byok_cost")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut since = |start: u64| {
        let start = i64::try_from(start).unwrap_or(i64::MAX);
        statement.query_row(params![digest, start], |row| {
            let charged = Money(joined(row.get(0)?, row.get(1)?));
            Ok((charged, Money(joined(row.get(2)?, row.get(3)?))))
        })
    };
    let (all, day) = (since(0)?, since(now / DAY * DAY)?);
    let (week, month) = (since(week_start(now))?, since(month_start(now))?);
    Ok((
        Used { all: all.0, day: day.0, week: week.0, month: month.0 },
        Used { all: all.1, day: day.1, week: week.1, month: month.1 },
    ))
}
