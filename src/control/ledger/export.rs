//! Requests for other programs: CSV, JSON lines and Parquet, one row each, amounts with all their digits.
//!
//! Deliberately absent: files and the terminal (`app`), and the roll-ups.

use std::io::{self, Write};
use std::path::Path;

use rusqlite::Connection;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::fold::Folder;
use super::parquet::{Column, Parquet, Shape};
use super::read::{Generation, user_text};
use super::read::{SELECT, read_row};
use super::schema::IN_MEMORY;
use super::{Cursors, LedgerError, Money, Records};
use crate::control::calendar::rfc3339;
use crate::wire::journal::{Flags, Sequence};

/// What a file looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, with a line of names.
    Csv,
    /// One JSON object per line.
    JsonLines,
    /// Apache Parquet, not compressed; amounts are `DECIMAL(19, 12)`.
    Parquet,
}

/// The formats by name.
pub const FORMATS: [(&str, Format); 3] =
    [("csv", Format::Csv), ("jsonl", Format::JsonLines), ("parquet", Format::Parquet)];

/// Which requests: those that came in this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    /// Seconds since 1970, included.
    pub since: u64,
    /// Likewise, not included.
    pub until: u64,
    /// What the file looks like.
    pub format: Format,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Whole(i64),
    Flag(bool),
    /// Pico-dollars; `None` when no price was known.
    Amount(Option<i64>),
    /// Seconds since 1970.
    Moment(u64),
}

type Field = (&'static str, Shape, fn(&Generation) -> Value);

/// Every column, in order.
const FIELDS: &[Field] = &[
    ("id", Shape::Text, |row| Value::Text(row.id.clone())),
    ("upstream_id", Shape::Text, |row| Value::Text(row.upstream_id.clone())),
    ("created_at", Shape::Moment, |row| Value::Moment(row.created_at)),
    ("ended_at", Shape::Moment, |row| Value::Moment(row.ended_at)),
    ("key", Shape::Text, |row| Value::Text(row.key.clone())),
    ("key_hash", Shape::Text, |row| Value::Text(row.key_hash.clone())),
    ("team", Shape::Text, |row| Value::Text(row.team.clone())),
    ("user", Shape::Text, |row| Value::Text(user_text(row.user).unwrap_or_default())),
    ("model", Shape::Text, |row| Value::Text(row.model.clone())),
    ("provider", Shape::Text, |row| Value::Text(row.provider.clone())),
    ("endpoint", Shape::Text, |row| Value::Text(row.endpoint.clone())),
    ("api", Shape::Text, |row| Value::Text(row.api.clone())),
    ("ending", Shape::Text, |row| Value::Text(row.ending_word().to_owned())),
    ("status", Shape::Whole, |row| Value::Whole(row.status.into())),
    ("fault", Shape::Text, |row| Value::Text(row.fault.clone())),
    ("finish_reason", Shape::Text, |row| Value::Text(row.finish_reason.clone())),
    ("service_tier", Shape::Text, |row| Value::Text(row.service_tier.clone())),
    ("streamed", Shape::Flag, |row| Value::Flag(row.flags.has(Flags::STREAMED))),
    ("byok", Shape::Flag, |row| Value::Flag(row.flags.has(Flags::BYOK))),
    ("unpriced", Shape::Flag, |row| Value::Flag(row.flags.has(Flags::UNPRICED))),
    ("insured", Shape::Flag, |row| Value::Flag(row.flags.has(Flags::INSURED))),
    ("drained", Shape::Flag, |row| Value::Flag(row.flags.has(Flags::DRAINED))),
    ("source", Shape::Text, |row| Value::Text(row.source_word().to_owned())),
    ("prompt_tokens", Shape::Whole, |row| Value::Whole(row.prompt_tokens)),
    ("completion_tokens", Shape::Whole, |row| Value::Whole(row.completion_tokens)),
    ("cached_tokens", Shape::Whole, |row| Value::Whole(row.cached_tokens)),
    ("cache_write_tokens", Shape::Whole, |row| Value::Whole(row.cache_write_tokens)),
    ("reasoning_tokens", Shape::Whole, |row| Value::Whole(row.reasoning_tokens)),
    ("audio_tokens", Shape::Whole, |row| Value::Whole(row.audio_tokens)),
    ("images", Shape::Whole, |row| Value::Whole(row.images)),
    ("counted_tokens", Shape::Whole, |row| Value::Whole(row.counted_tokens)),
    ("cost", Shape::Amount, |row| Value::Amount(row.priced(row.cost))),
    ("upstream_cost", Shape::Amount, |row| Value::Amount(row.priced(row.upstream_cost))),
    ("prompt_cost", Shape::Amount, |row| Value::Amount(row.priced(row.prompt_cost))),
    ("completion_cost", Shape::Amount, |row| Value::Amount(row.priced(row.completion_cost))),
    ("cache_discount", Shape::Amount, |row| Value::Amount(row.priced(row.cache_discount))),
    ("price_version", Shape::Text, |row| Value::Text(row.price_version.to_string())),
    ("answer_bytes", Shape::Whole, |row| Value::Whole(row.answer_bytes)),
    ("first_byte_micros", Shape::Whole, |row| Value::Whole(row.first_byte_micros)),
    ("took_micros", Shape::Whole, |row| Value::Whole(row.took_micros)),
];

/// How far an export is: rows written, and the moment up to which.
pub type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// How often progress is told, in rows.
const TELL_EVERY: u64 = 4_096;

impl Export {
    /// Writes the requests of the database, in the order in which they came, and behind them those of `tail`.
    /// Returns how many there were.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub fn run(
        &self,
        connection: &Connection,
        tail: Option<&Tail>,
        out: &mut dyn Write,
        progress: &mut Progress<'_>,
    ) -> Result<u64, LedgerError> {
        let mut sink = Sink::new(self.format, out)?;
        let mut rows = 0;
        let sources = core::iter::once(connection).chain(tail.map(|tail| &tail.0.connection));
        for source in sources {
            let sql = format!("{SELECT} WHERE requests.id >= ?1 AND requests.id < ?2 ORDER BY requests.id");
            let mut statement = source.prepare(&sql)?;
            let edges = [self.since, self.until].map(|edge| format!("gen-{:010}", edge.min(9_999_999_999)));
            let mut found = statement.query(edges)?;
            while let Some(row) = found.next()? {
                let row = read_row(row)?;
                sink.row(&row)?;
                rows += 1;
                if rows % TELL_EVERY == 0 {
                    progress(rows, row.created_at);
                }
            }
        }
        sink.end()?;
        Ok(rows)
    }
}

/// What the journal has and a database does not, in a database of its own in memory.
#[derive(Debug)]
pub struct Tail(pub(super) Folder);

impl Tail {
    /// Reads it. The database stays as it is now for this connection, so that a record that is folded
    /// meanwhile is not there twice.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn read(connection: &Connection, records: &mut dyn Records) -> Result<Self, LedgerError> {
        if connection.is_autocommit() {
            connection.execute_batch("BEGIN")?;
        }
        let mut folder = Folder::open(Path::new(IN_MEMORY), records.node(), None)?;
        let mut statement = connection.prepare("SELECT core, sequence FROM cursors WHERE node = ?1")?;
        let rows = statement.query_map([folder.node], |row| {
            Ok((row.get::<_, u16>(0)?, Sequence(row.get::<_, i64>(1)?.unsigned_abs())))
        })?;
        let cursors: rusqlite::Result<Cursors> = rows.collect();
        folder.start_after(cursors?);
        while folder.fold(records, 65_536)?.records > 0 {}
        Ok(Self(folder))
    }
}

/// A file that is being written.
enum Sink<'a> {
    Csv(&'a mut dyn Write),
    JsonLines(&'a mut dyn Write),
    Parquet(Box<Parquet<'a>>),
}

impl<'a> Sink<'a> {
    fn new(format: Format, out: &'a mut dyn Write) -> io::Result<Self> {
        Ok(match format {
            Format::Csv => {
                let names: Vec<&str> = FIELDS.iter().map(|(name, ..)| *name).collect();
                write!(out, "{}\r\n", names.join(","))?;
                Self::Csv(out)
            }
            Format::JsonLines => Self::JsonLines(out),
            Format::Parquet => {
                let columns = FIELDS.iter().map(|(name, shape, _)| Column::new(name, *shape)).collect();
                Self::Parquet(Box::new(Parquet::new(columns, out)?))
            }
        })
    }

    fn row(&mut self, row: &Generation) -> io::Result<()> {
        match self {
            Self::Csv(out) => {
                for (turn, (_, _, value)) in FIELDS.iter().enumerate() {
                    let comma = if turn == 0 { "" } else { "," };
                    write!(out, "{comma}{}", csv(&value(row)))?;
                }
                out.write_all(b"\r\n")
            }
            Self::JsonLines(out) => {
                serde_json::to_writer(&mut **out, &Json(row))?;
                out.write_all(b"\n")
            }
            Self::Parquet(parquet) => parquet.row(FIELDS.iter().map(|(_, _, value)| value(row))),
        }
    }

    fn end(self) -> io::Result<()> {
        match self {
            Self::Csv(out) | Self::JsonLines(out) => out.flush(),
            Self::Parquet(parquet) => parquet.end(),
        }
    }
}

/// A value between two commas. A text that a spreadsheet would take for a formula gets an apostrophe: names
/// of models come from clients.
fn csv(value: &Value) -> String {
    let text = match value {
        Value::Text(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Value::Text(text) => text.clone(),
        Value::Whole(number) => return number.to_string(),
        Value::Flag(flag) => return flag.to_string(),
        Value::Amount(amount) => return amount.map_or_else(String::new, |amount| Money::from(amount).text()),
        Value::Moment(at) => return rfc3339(*at),
    };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// A row as a JSON object.
struct Json<'a>(&'a Generation);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(FIELDS.len()))?;
        for (name, _, value) in FIELDS {
            match value(self.0) {
                Value::Text(text) => map.serialize_entry(name, &text)?,
                Value::Whole(number) => map.serialize_entry(name, &number)?,
                Value::Flag(flag) => map.serialize_entry(name, &flag)?,
                Value::Amount(amount) => map.serialize_entry(name, &amount.map(Money::from))?,
                Value::Moment(at) => map.serialize_entry(name, &rfc3339(at))?,
            }
        }
        map.end()
    }
}
