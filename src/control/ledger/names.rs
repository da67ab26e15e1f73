//! Words to numbers: names repeat in every record, so rows hold the number of a row in a small table, and the
//! fold remembers which.
//!
//! Deliberately absent: forgetting. A name that was seen once stays, as the roll-ups that it stands in do.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, ToSql};

use crate::wire::journal::Caller;

/// Names remembered in memory, of each kind. Beyond it they are looked up in the database.
const REMEMBERED_MAX: usize = 65_536;

/// Most rows of `served`. A name of a model can be any text that a client sends; beyond this many, new ones
/// are all called [`OTHER`].
const SERVED_MAX: i64 = 250_000;

/// The name of models that are too many to be told apart.
pub(super) const OTHER: &str = "(other)";

/// A caller as rows name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallerNumbers {
    pub(super) caller: i64,
    /// The word that its team is.
    pub(super) team: i64,
}

/// What was seen lately.
#[derive(Debug, Default)]
pub(super) struct Names {
    words: HashMap<Box<str>, i64>,
    served: HashMap<Box<str>, i64>,
    callers: HashMap<Box<[u8]>, CallerNumbers>,
    /// Rows of `served`; `None` until somebody asked.
    served_rows: Option<i64>,
    text: String,
    bytes: Vec<u8>,
}

impl Names {
    /// Forgets everything: numbers that were given in a transaction which was rolled back mean nothing.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The number of a word.
    pub(super) fn word(&mut self, connection: &Connection, word: &str) -> rusqlite::Result<i64> {
        if let Some(number) = self.words.get(word) {
            return Ok(*number);
        }
        let number = find_or_add(
            connection,
            "SELECT number FROM words WHERE word = ?1",
            "INSERT INTO words (word) VALUES (?1)",
            &[&word],
        )?;
        keep(&mut self.words, word.into(), number);
        Ok(number)
    }

    /// The number of a model at an endpoint.
    pub(super) fn served(
        &mut self,
        connection: &Connection,
        model: &str,
        provider: &str,
        endpoint: &str,
    ) -> rusqlite::Result<i64> {
        self.text.clear();
        for part in [model, "\0", provider, "\0", endpoint] {
            self.text.push_str(part);
        }
        if let Some(number) = self.served.get(&*self.text) {
            return Ok(*number);
        }
        let find = "SELECT number FROM served WHERE model = ?1 AND provider = ?2 AND endpoint = ?3";
        let add = "INSERT INTO served (model, provider, endpoint) VALUES (?1, ?2, ?3)";
        let rows = match self.served_rows {
            Some(rows) => rows,
            None => connection.query_row("SELECT count(*) FROM served", (), |row| row.get(0))?,
        };
        let model = if rows < SERVED_MAX { model } else { OTHER };
        let number = find_or_add(connection, find, add, &[&model, &provider, &endpoint])?;
        self.served_rows = Some(rows.max(number));
        keep(&mut self.served, self.text.as_str().into(), number);
        Ok(number)
    }

    /// The numbers of a caller.
    pub(super) fn caller(
        &mut self,
        connection: &Connection,
        caller: &Caller<'_>,
    ) -> rusqlite::Result<CallerNumbers> {
        self.bytes.clear();
        for part in [&caller.key_digest[..], caller.key.as_bytes(), b"\0", caller.team.as_bytes()] {
            self.bytes.extend_from_slice(part);
        }
        if let Some(numbers) = self.callers.get(&*self.bytes) {
            return Ok(*numbers);
        }
        let number = find_or_add(
            connection,
            "SELECT number FROM callers WHERE digest = ?1 AND key = ?2 AND team = ?3",
            "INSERT INTO callers (digest, key, team) VALUES (?1, ?2, ?3)",
            &[&caller.key_digest, &caller.key, &caller.team],
        )?;
        let numbers = CallerNumbers { caller: number, team: self.word(connection, caller.team)? };
        keep(&mut self.callers, self.bytes.as_slice().into(), numbers);
        Ok(numbers)
    }
}

fn find_or_add(
    connection: &Connection,
    find: &str,
    add: &str,
    values: &[&dyn ToSql],
) -> rusqlite::Result<i64> {
    let found = connection.prepare_cached(find)?.query_row(values, |row| row.get(0)).optional()?;
    match found {
        Some(number) => Ok(number),
        None => connection.prepare_cached(add)?.insert(values),
    }
}

/// Remembers a name, as long as there is room.
fn keep<K: core::hash::Hash + Eq, V>(known: &mut HashMap<K, V>, key: K, value: V) {
    if known.len() < REMEMBERED_MAX {
        known.insert(key, value);
    }
}
