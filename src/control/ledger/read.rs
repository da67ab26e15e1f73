//! Queries: one request, sums of days, sums over everything, and questions with any of these in them.
//!
//! Everything here reads one connection and decides nothing about who may ask; who asks says so in a
//! [`Scope`].
//! Deliberately absent: writing, HTTP, and waiting for the fold (`keeper`).

pub mod activity;
//A pub mod analytics;
//A pub mod ask;
mod generation;
pub mod totals;

use rusqlite::Connection;

pub use generation::{Attempted, Feedback, Generation, generation, is_open};

/// Whose requests may be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    All,
    /// Those of the key with this SHA-256.
    Key([u8; 32]),
}

impl Scope {
    /// Whose digest a caller must have; `None` for any.
    const fn digest(&self) -> Option<&[u8; 32]> {
        match self {
            Self::All => None,
            Self::Key(digest) => Some(digest),
        }
    }
}

/// The names of a row of `served`.
pub(super) fn provider_and_model(connection: &Connection, served: i64) -> rusqlite::Result<(String, String)> {
    connection
        .prepare_cached("SELECT provider, model FROM served WHERE number = ?1")?
        .query_row([served], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// A user's hash as it stands in answers: 16 hexadecimal digits; `None` when no user was named.
#[must_use]
pub fn user_text(user: i64) -> Option<String> {
    (user != 0).then(|| format!("{:016x}", user.cast_unsigned()))
}

/// A sum that was read in two halves, so that it cannot overflow: see [`halves`].
fn joined(high: i64, low: i64) -> i128 {
    (i128::from(high) << 32) + i128::from(low)
}

/// SQL for the sum of a column of amounts, as two columns that never overflow.
fn halves(column: &str) -> String {
    format!("ifnull(sum({column} >> 32), 0), ifnull(sum({column} & 4294967295), 0)")
}
