//! Old rows go, a few at a time, so that the fold never waits long.
//!
//! How old a row is follows from its id, in which the moment it came is written. "Now" is the wall clock, but
//! never more than a day after the newest row: a clock that jumps far ahead must not empty the ledger.
//! Deliberately absent: when this is done (`keeper`).

use rusqlite::Connection;

use super::sums::{GRAINS, VIEWS};
use crate::control::calendar::DAY;

/// How long rows are kept, in days; `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Requests with their attempts, and feedback.
    pub requests: Option<u32>,
    /// Sums by hour.
    pub hours: Option<u32>,
    /// Sums by day.
    pub days: Option<u32>,
}

/// Requests deleted in one step.
const STEP: usize = 2_000;

/// Free pages given back to the file system in one step.
const PAGES: usize = 2_000;

/// Deletes some requests that are too old; returns how many.
pub(super) fn old_requests(connection: &Connection, keep: Keep, now: u64) -> rusqlite::Result<usize> {
    let Some(days) = keep.requests else { return Ok(0) };
    let Some(newest) = newest(connection)? else { return Ok(0) };
    let cutoff = now.min(newest + DAY).saturating_sub(u64::from(days) * DAY);
    let before = format!("gen-{cutoff:010}");
    let oldest = "SELECT number FROM requests WHERE id < ?1 ORDER BY id LIMIT ?2";
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let delete = || -> rusqlite::Result<usize> {
        let step = i64::try_from(STEP).unwrap_or(i64::MAX);
        let of = |sql: &str| connection.prepare_cached(sql)?.execute((&before, step));
        of(&format!("DELETE FROM attempts WHERE request IN ({oldest})"))?;
        let deleted = of(&format!("DELETE FROM requests WHERE number IN ({oldest})"))?;
        of("DELETE FROM feedback WHERE id < ?1 AND ?2 > 0")?;
        Ok(deleted)
    };
    match delete() {
        Ok(deleted) => {
            connection.execute_batch("COMMIT")?;
            if deleted > 0 {
                connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
            }
            Ok(deleted)
        }
        Err(error) => {
            let _ = connection.execute_batch("ROLLBACK");
            Err(error)
        }
    }
}

/// Deletes sums that are too old; returns how many rows.
pub(super) fn old_sums(connection: &Connection, keep: Keep, now: u64) -> rusqlite::Result<usize> {
    let Some(newest) = newest(connection)? else { return Ok(0) };
    let mut deleted = 0;
    for ((grain, _), days) in GRAINS.into_iter().zip([keep.hours, keep.days]) {
        let Some(days) = days else { continue };
        let cutoff = now.min(newest + DAY).saturating_sub(u64::from(days) * DAY);
        let cutoff = i64::try_from(cutoff / DAY * DAY).unwrap_or(i64::MAX);
        for view in VIEWS {
            deleted += connection
                .prepare_cached(&format!("DELETE FROM {grain}_{} WHERE start < ?1", view.name))?
                .execute([cutoff])?;
        }
    }
    Ok(deleted)
}

/// When the newest request came.
fn newest(connection: &Connection) -> rusqlite::Result<Option<u64>> {
    let newest = "SELECT created_at FROM requests ORDER BY id DESC LIMIT 1";
    let mut statement = connection.prepare_cached(newest)?;
    let mut rows = statement.query(())?;
    rows.next()?.map(|row| row.get::<_, i64>(0).map(i64::unsigned_abs)).transpose()
}
