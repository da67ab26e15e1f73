//! Queries: one request, sums of days, sums over everything, and questions with any of these in them.
//!
//! Everything here reads one connection and decides nothing about who may ask; who asks says so in a
//! [`Scope`].
//! Deliberately absent: writing, HTTP, and waiting for the fold (`keeper`).

pub mod activity;
pub mod analytics;
pub mod ask;
mod generation;
mod plan;
pub mod totals;

use rusqlite::Connection;

pub use generation::{Attempted, Feedback, Generation, generation, is_open};
pub(super) use generation::{SELECT, read as read_row};

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

/// The hash of a user: of its 16 hexadecimal digits, or of the name as clients send it (FNV-1a of 64 bits
/// over its JSON text, as the data plane has it).
#[must_use]
pub fn user_of(text: &str) -> i64 {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u64::from_str_radix(text, 16) {
        Ok(hash) if digits => hash.cast_signed(),
        _ => fnv(text.as_bytes()),
    }
}

/// FNV-1a of 64 bits, never 0 unless there is nothing.
pub(super) fn fnv(bytes: &[u8]) -> i64 {
    if bytes.is_empty() {
        return 0;
    }
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step).max(1).cast_signed()
}

/// A sum that was read in two halves, so that it cannot overflow: see [`halves`].
pub(super) fn joined(high: i64, low: i64) -> i128 {
    (i128::from(high) << 32) + i128::from(low)
}

/// SQL for the sum of a column of amounts, as two columns that never overflow.
pub(super) fn halves(column: &str) -> String {
    format!("ifnull(sum({column} >> 32), 0), ifnull(sum({column} & 4294967295), 0)")
}
