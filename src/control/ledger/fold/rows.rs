//! Rows as they are inserted.
//!
//! Deliberately absent: the order in which they are.

use rusqlite::{Connection, ToSql, params};

use super::super::read::fnv;
use super::super::sums::{Facts, whole};
use super::{IdText, Open};
use crate::base::record::Billed;
use crate::wire::journal::{Attempt, Sequence};

const INSERT_REQUEST: &str = "
INSERT INTO requests (
  id, created_at, ended_at, caller, user, served, api, ending, status, fault, finish_reason, service_tier,
  flags, source, upstream_id, upstream_key, price_version, prompt_tokens, completion_tokens, cached_tokens,
  cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, audio_tokens, images, counted_tokens, cost,
  upstream_cost, prompt_cost, completion_cost, cache_discount, answer_bytes, first_byte_micros, took_micros,
  node, core, sequence
) VALUES (
  ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
  ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37
) ON CONFLICT (id) DO NOTHING";

/// A row of `requests`.
pub(super) struct Request<'a> {
    pub(super) id: &'a str,
    pub(super) facts: &'a Facts,
    pub(super) ended_at: i64,
    pub(super) status: u16,
    /// Of its API, its fault, its finish reason and its service tier.
    pub(super) words: [i64; 4],
    pub(super) upstream_id: &'a str,
    pub(super) price_version: i64,
    /// Node, core and sequence.
    pub(super) place: (i64, u16, Sequence),
}

impl Request<'_> {
    /// The row's number; `None` when the request is there already.
    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<Option<i64>> {
        let Self { facts, words: [api, fault, finish_reason, service_tier], .. } = *self;
        let (usage, cost, (node, core, sequence)) = (&facts.usage, &facts.cost, self.place);
        let mut statement = connection.prepare_cached(INSERT_REQUEST)?;
        let mut place = 0;
        let mut bind = |value: &dyn ToSql| {
            place += 1;
            statement.raw_bind_parameter(place, value)
        };
        bind(&self.id)?;
        bind(&facts.created_at)?;
        bind(&self.ended_at)?;
        for number in [facts.caller, facts.user, facts.served, api, facts.ending, self.status.into(), fault] {
            bind(&number)?;
        }
        for number in [finish_reason, service_tier, facts.flags.0.into(), facts.source as i64] {
            bind(&number)?;
        }
        bind(&self.upstream_id)?;
        bind(&upstream_key(self.upstream_id))?;
        bind(&self.price_version)?;
        for tokens in [
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
            usage.cache_write_1h_tokens,
            usage.reasoning_tokens,
            usage.audio_tokens,
            usage.images,
            facts.counted_tokens.into(),
        ] {
            bind(&whole(tokens))?;
        }
        for amount in [cost.total, cost.upstream, cost.prompt, cost.completion, cost.cache_discount] {
            bind(&amount)?;
        }
        for number in [facts.answer_bytes, facts.first_byte_micros.into(), facts.took_micros.into()] {
            bind(&whole(number))?;
        }
        for number in [node, core.into(), whole(sequence.0)] {
            bind(&number)?;
        }
        let added = statement.raw_execute()?;
        Ok((added > 0).then(|| connection.last_insert_rowid()))
    }
}

/// A row of `attempts`, of a request's row and its turn there, with the numbers of where it went and of its
/// fault.
pub(super) fn insert_attempt(
    connection: &Connection,
    (request, turn): (i64, usize),
    (served, fault): (i64, i64),
    attempt: &Attempt<'_>,
) -> rusqlite::Result<()> {
    let billed = match attempt.billed {
        Billed::No => 0,
        Billed::Yes => 1,
        Billed::Maybe => 2,
        Billed::Estimated => 3,
    };
    connection
        .prepare_cached("INSERT INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")?
        .execute(params![
            request,
            whole(turn as u64),
            served,
            attempt.status,
            fault,
            billed,
            attempt.hedged,
            attempt.began_micros,
            attempt.took_micros,
            attempt.prompt_tokens,
            attempt.completion_tokens,
            attempt.cost,
        ])?;
    Ok(())
}

/// A row of `open`.
pub(super) fn insert_open(
    connection: &Connection,
    node: i64,
    id: &IdText,
    open: &Open,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO open VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            core::str::from_utf8(id).unwrap_or_default(),
            open.at,
            open.caller.caller,
            open.user,
            open.served,
            open.price_version,
            open.prompt_tokens,
            open.most_completion_tokens,
            open.reserved,
            node,
            open.core,
            whole(open.sequence),
        ])?;
    Ok(())
}

/// What an upstream's id is looked up by, within a day: FNV-1a, never 0 unless there is none. The index then
/// grows at its end, day by day, instead of everywhere at once.
pub(in super::super) fn upstream_key(id: &str) -> i64 {
    fnv(id.as_bytes())
}

/// When a request came: its id says so. `otherwise` when it does not.
pub(super) fn created_at(id: &IdText, otherwise: u64) -> i64 {
    let digits = core::str::from_utf8(&id[4..14]).unwrap_or_default();
    digits.parse().unwrap_or_else(|_| whole(otherwise))
}
