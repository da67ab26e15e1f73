//! One request with everything that is known of it.
//!
//! Deliberately absent: its content, which nobody has kept.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::Scope;
use crate::base::ids::GenerationId;
use crate::control::ledger::fold::upstream_key;
use crate::wire::journal::Flags;

/// A row of `requests`, its numbers turned to words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Row.
    number: i64,
    /// Our id.
    pub id: String,
    /// The provider's; empty when it gave none.
    pub upstream_id: String,
    /// Seconds since 1970.
    pub created_at: u64,
    /// Likewise.
    pub ended_at: u64,
    /// Name of the key; empty without one.
    pub key: String,
    /// SHA-256 of the key, in hexadecimal; zeros without one.
    pub key_hash: String,
    /// Name of its team.
    pub team: String,
    /// Hash of the client's `user`; 0 when there is none.
    pub user: i64,
    /// Id of the model.
    pub model: String,
    /// Id of the provider.
    pub provider: String,
    /// Tag of the endpoint.
    pub endpoint: String,
    /// `chat.completions`, …; empty of one that never settled.
    pub api: String,
    /// `Ending`'s number, or 4: admitted and never settled.
    pub ending: i64,
    /// Status that the client got.
    pub status: u16,
    /// Word of what cut it.
    pub fault: String,
    /// As the provider said.
    pub finish_reason: String,
    /// Likewise.
    pub service_tier: String,
    /// Facts of it.
    pub flags: Flags,
    /// `Source`'s number.
    pub source: i64,
    /// Version of the price rules; 0 when there were none.
    pub price_version: u64,
    /// Tokens of the prompt.
    pub prompt_tokens: i64,
    /// Tokens of the answer.
    pub completion_tokens: i64,
    /// Prompt tokens read from a cache.
    pub cached_tokens: i64,
    /// Prompt tokens written to one.
    pub cache_write_tokens: i64,
    /// Of the answer, reasoning.
    pub reasoning_tokens: i64,
    /// Of the prompt, sound.
    pub audio_tokens: i64,
    /// Images of the prompt.
    pub images: i64,
    /// Completion tokens as counted here.
    pub counted_tokens: i64,
    /// Pico-dollars: what it is charged with.
    pub cost: i64,
    /// What the provider charges.
    pub upstream_cost: i64,
    /// Of that, the prompt.
    pub prompt_cost: i64,
    /// Of that, the answer.
    pub completion_cost: i64,
    /// What the cache has saved.
    pub cache_discount: i64,
    /// Bytes sent to the client.
    pub answer_bytes: i64,
    /// Microseconds to the first byte; 0 when there was none.
    pub first_byte_micros: i64,
    /// Microseconds in all.
    pub took_micros: i64,
    /// Every attempt, in the order in which they ended.
    pub attempts: Vec<Attempted>,
}

/// A row of `attempts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// Id of the provider.
    pub provider: String,
    /// Tag of the endpoint.
    pub endpoint: String,
    /// Status; 0 when no head came.
    pub status: u16,
    /// Word of how it failed; empty when it served.
    pub fault: String,
    /// `no`, `yes`, `maybe` or `estimated`.
    pub billed: &'static str,
    /// It was a hedge.
    pub hedged: bool,
    /// Microseconds from the request to its begin.
    pub began_micros: i64,
    /// Microseconds it took.
    pub took_micros: i64,
    /// Tokens it may be charged for.
    pub prompt_tokens: i64,
    /// Likewise.
    pub completion_tokens: i64,
    /// What they cost, in pico-dollars.
    pub cost: i64,
}

/// The columns of [`Generation`], in their order.
pub(in crate::control::ledger) const SELECT: &str = "
SELECT requests.number, requests.id, upstream_id, created_at, ended_at, callers.key,
  lower(hex(callers.digest)),
  callers.team, user, served.model, served.provider, served.endpoint, apis.word, ending, status, faults.word,
  reasons.word, tiers.word, flags, source, price_version, prompt_tokens, completion_tokens, cached_tokens,
  cache_write_tokens, reasoning_tokens, audio_tokens, images, counted_tokens, cost, upstream_cost,
  prompt_cost, completion_cost, cache_discount, answer_bytes, first_byte_micros, took_micros
FROM requests
  JOIN callers ON callers.number = requests.caller
  JOIN served ON served.number = requests.served
  JOIN words AS apis ON apis.number = requests.api
  JOIN words AS faults ON faults.number = requests.fault
  JOIN words AS reasons ON reasons.number = requests.finish_reason
  JOIN words AS tiers ON tiers.number = requests.service_tier";

/// A row of [`SELECT`], without its attempts.
pub(in crate::control::ledger) fn read(row: &Row<'_>) -> rusqlite::Result<Generation> {
    let seconds = |place: usize| row.get::<_, i64>(place).map(|at| u64::try_from(at).unwrap_or_default());
    Ok(Generation {
        number: row.get(0)?,
        id: row.get(1)?,
        upstream_id: row.get(2)?,
        created_at: seconds(3)?,
        ended_at: seconds(4)?,
        key: row.get(5)?,
        key_hash: row.get(6)?,
        team: row.get(7)?,
        user: row.get(8)?,
        model: row.get(9)?,
        provider: row.get(10)?,
        endpoint: row.get(11)?,
        api: row.get(12)?,
        ending: row.get(13)?,
        status: row.get(14)?,
        fault: row.get(15)?,
        finish_reason: row.get(16)?,
        service_tier: row.get(17)?,
        flags: Flags(row.get(18)?),
        source: row.get(19)?,
        price_version: row.get::<_, i64>(20)?.cast_unsigned(),
        prompt_tokens: row.get(21)?,
        completion_tokens: row.get(22)?,
        cached_tokens: row.get(23)?,
        cache_write_tokens: row.get(24)?,
        reasoning_tokens: row.get(25)?,
        audio_tokens: row.get(26)?,
        images: row.get(27)?,
        counted_tokens: row.get(28)?,
        cost: row.get(29)?,
        upstream_cost: row.get(30)?,
        prompt_cost: row.get(31)?,
        completion_cost: row.get(32)?,
        cache_discount: row.get(33)?,
        answer_bytes: row.get(34)?,
        first_byte_micros: row.get(35)?,
        took_micros: row.get(36)?,
        attempts: Vec::new(),
    })
}

/// One request by our id, or by the provider's (the newest, should it have been given twice).
///
/// # Errors
/// When the database cannot be read.
pub fn generation(connection: &Connection, id: &str, scope: &Scope) -> rusqlite::Result<Option<Generation>> {
    let digest = scope.digest();
    let one = |column: &str, value: &dyn ToSql| {
        let sql = format!("{SELECT} WHERE {column} = ?1 AND (?2 IS NULL OR callers.digest = ?2)");
        connection.prepare_cached(&sql)?.query_row(params![value, digest], read).optional()
    };
    let mut found = one("requests.id", &id)?;
    if found.is_none() && !id.is_empty() {
        for number in with_upstream_id(connection, id)? {
            found = one("requests.number", &number)?;
            if found.is_some() {
                break;
            }
        }
    }
    if let Some(found) = &mut found {
        found.attempts = attempts(connection, found.number)?;
    }
    Ok(found)
}

/// Requests that a provider knows by this id, newest first, at most a few. Each day is asked for itself.
fn with_upstream_id(connection: &Connection, id: &str) -> rusqlite::Result<Vec<i64>> {
    let day = |order: &str| {
        let sql = format!("SELECT created_at / 86400 FROM requests ORDER BY id {order} LIMIT 1");
        connection.prepare_cached(&sql)?.query_row((), |row| row.get::<_, i64>(0)).optional()
    };
    let (Some(oldest), Some(newest)) = (day("ASC")?, day("DESC")?) else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(
        "SELECT number FROM requests
         WHERE created_at / 86400 = ?1 AND upstream_key = ?2 AND upstream_key <> 0 AND upstream_id = ?3
         ORDER BY number DESC LIMIT 8",
    )?;
    let mut found = Vec::new();
    for day in (oldest..=newest).rev() {
        let numbers = statement.query_map(params![day, upstream_key(id), id], |row| row.get(0))?;
        for number in numbers {
            found.push(number?);
        }
        if found.len() >= 8 {
            break;
        }
    }
    Ok(found)
}

pub(in crate::control::ledger) fn attempts(
    connection: &Connection,
    request: i64,
) -> rusqlite::Result<Vec<Attempted>> {
    let mut statement = connection.prepare_cached(
        "SELECT served.provider, served.endpoint, status, words.word, billed, hedged, began_micros,
                took_micros, prompt_tokens, completion_tokens, cost
         FROM attempts JOIN served ON served.number = attempts.served
           JOIN words ON words.number = attempts.fault
         WHERE request = ?1 ORDER BY turn",
    )?;
    let rows = statement.query_map([request], |row| {
        Ok(Attempted {
            provider: row.get(0)?,
            endpoint: row.get(1)?,
            status: row.get(2)?,
            fault: row.get(3)?,
            billed: match row.get::<_, i64>(4)? {
                0 => "no",
                1 => "yes",
                2 => "maybe",
                _ => "estimated",
            },
            hedged: row.get(5)?,
            began_micros: row.get(6)?,
            took_micros: row.get(7)?,
            prompt_tokens: row.get(8)?,
            completion_tokens: row.get(9)?,
            cost: row.get(10)?,
        })
    })?;
    rows.collect()
}

/// Is this request under way, as far as the database knows?
///
/// # Errors
/// When the database cannot be read.
pub fn is_open(connection: &Connection, id: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM open WHERE id = ?1")?.exists([id])
}

impl Generation {
    /// The words for `ending`.
    #[must_use]
    pub const fn ending_word(&self) -> &'static str {
        match self.ending {
            0 => "complete",
            1 => "failed",
            2 => "cut",
            3 => "client-gone",
            _ => "unsettled",
        }
    }

    /// The words for `source`.
    #[must_use]
    pub const fn source_word(&self) -> &'static str {
        match self.source {
            1 => "reported",
            2 => "mixed",
            3 => "counted",
            4 => "bytes",
            _ => "none",
        }
    }

    /// What it cost; `None` when no price was known.
    #[must_use]
    pub const fn priced(&self, amount: i64) -> Option<i64> {
        if self.flags.has(Flags::UNPRICED) { None } else { Some(amount) }
    }

    /// Is the id one of ours by its shape?
    #[must_use]
    pub fn is_own_id(id: &str) -> bool {
        id.len() == GenerationId::LEN && id.starts_with("gen-")
    }
}

/// What somebody says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Our id of the request.
    pub id: String,
    /// Seconds since 1970.
    pub at: u64,
    /// Name of the key that said it.
    pub key: String,
    /// One of a few words.
    pub category: String,
    /// Text of people.
    pub comment: String,
}

impl Feedback {
    pub(in crate::control::ledger) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let at = i64::try_from(self.at).unwrap_or(i64::MAX);
        connection
            .prepare_cached(
                "INSERT INTO feedback (id, at, key, category, comment) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![self.id, at, self.key, self.category, self.comment])?;
        Ok(())
    }
}
