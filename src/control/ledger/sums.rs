//! The roll-ups: what a request adds to the sums of its hour and its day, by key, by team and by user, each
//! with the model and the endpoint that served it.
//!
//! A request belongs to the hour in which it came, so that a sum over hours is a sum over rows. Each column
//! is defined twice, here in Rust for the fold and as SQL over `requests` for questions finer than an hour; a
//! test holds the two together.
//! Deliberately absent: when they are written (`fold`), and which of them a question needs (`read`).

use core::fmt::Write;
use std::collections::HashMap;

use rusqlite::{Connection, params_from_iter};

use crate::base::record::Usage;
use crate::wire::journal::{Cost, Flags, Source};

/// How a request ended, as rows say it: the first four are `Ending`'s, the last one is a request that was
/// admitted and never settled, because the process was killed.
pub(super) const FAILED: i64 = 1;
pub(super) const CUT: i64 = 2;
pub(super) const CLIENT_GONE: i64 = 3;
pub(super) const UNSETTLED: i64 = 4;

macro_rules! columns {
    ($($name:literal = $sql:literal,)*) => {
        /// The columns of a roll-up, behind its keys.
        pub(super) const COLUMNS: &[&str] = &[$($name),*];

        /// The same of a single row of `requests`.
        pub(super) const OF_A_ROW: &[&str] = &[$($sql),*];
    };
}

columns! {
    "requests" = "1",
    "failures" = "ending IN (1, 2, 4)",
    "cancelled" = "ending = 3",
    "unsettled" = "ending = 4",
    "streamed" = "flags & 1",
    "unpriced" = "(flags >> 2) & 1",
    "insured" = "(flags >> 3) & 1",
    "prompt_tokens" = "prompt_tokens",
    "completion_tokens" = "completion_tokens",
    "reasoning_tokens" = "reasoning_tokens",
    "cached_tokens" = "cached_tokens",
    "cache_write_tokens" = "cache_write_tokens",
    "audio_tokens" = "audio_tokens",
    "images" = "images",
    "counted_tokens" = "iif(source = 1 AND counted_tokens > 0, counted_tokens, 0)",
    "reported_tokens" = "iif(source = 1 AND counted_tokens > 0, completion_tokens, 0)",
    "estimated_requests" = "source > 1",
    "cost" = "iif(flags & 4, 0, cost)",
    "upstream_cost" = "iif(flags & 4, 0, upstream_cost)",
    "byok_cost" = "iif(flags & 6 = 2, upstream_cost, 0)",
    "cache_discount" = "iif(flags & 4, 0, cache_discount)",
    "answer_bytes" = "answer_bytes",
    "first_byte_micros" = "first_byte_micros",
    "first_bytes" = "first_byte_micros > 0",
    "generation_micros" = "iif(first_byte_micros > 0, max(took_micros - first_byte_micros, 0), 0)",
    "took_micros" = "took_micros",
}

/// Lengths of time that are summed up, with their seconds.
pub(super) const GRAINS: [(&str, i64); 2] = [("hours", 3_600), ("days", 86_400)];

/// A way to sum up.
#[derive(Debug)]
pub(super) struct View {
    /// The end of its tables' names.
    pub(super) name: &'static str,
    /// The columns that tell its rows apart, in the order of the index.
    pub(super) keys: &'static [&'static str],
}

/// By team (which is everything, summed over teams), by key, and by the user that clients name; the last one
/// has only requests that name a user.
pub(super) const VIEWS: &[View] = &[
    View { name: "teams", keys: &["start", "team", "served"] },
    View { name: "keys", keys: &["caller", "start", "served"] },
    View { name: "users", keys: &["user", "start", "caller", "served"] },
];

/// One request as far as sums need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) created_at: i64,
    pub(super) caller: i64,
    pub(super) team: i64,
    pub(super) user: i64,
    pub(super) served: i64,
    pub(super) ending: i64,
    pub(super) flags: Flags,
    pub(super) source: Source,
    pub(super) usage: Usage,
    pub(super) counted_tokens: u32,
    pub(super) cost: Cost,
    pub(super) answer_bytes: u64,
    pub(super) first_byte_micros: u32,
    pub(super) took_micros: u32,
}

type Sums = [i64; COLUMNS.len()];

/// A number that a column can hold.
pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Facts {
    fn sums(&self) -> Sums {
        let usage = &self.usage;
        let one_if = i64::from;
        let priced = |amount: i64| if self.flags.has(Flags::UNPRICED) { 0 } else { amount };
        let compared = self.source == Source::Reported && self.counted_tokens > 0;
        let if_compared = |tokens: i64| if compared { tokens } else { 0 };
        let first = self.first_byte_micros;
        let own_key = self.flags.has(Flags::BYOK);
        [
            1,
            one_if(matches!(self.ending, FAILED | CUT | UNSETTLED)),
            one_if(self.ending == CLIENT_GONE),
            one_if(self.ending == UNSETTLED),
            one_if(self.flags.has(Flags::STREAMED)),
            one_if(self.flags.has(Flags::UNPRICED)),
            one_if(self.flags.has(Flags::INSURED)),
            whole(usage.prompt_tokens),
            whole(usage.completion_tokens),
            whole(usage.reasoning_tokens),
            whole(usage.cached_tokens),
            whole(usage.cache_write_tokens),
            whole(usage.audio_tokens),
            whole(usage.images),
            if_compared(self.counted_tokens.into()),
            if_compared(whole(usage.completion_tokens)),
            one_if(matches!(self.source, Source::Mixed | Source::Counted | Source::Bytes)),
            priced(self.cost.total),
            priced(self.cost.upstream),
            if own_key { priced(self.cost.upstream) } else { 0 },
            priced(self.cost.cache_discount),
            whole(self.answer_bytes),
            first.into(),
            one_if(first > 0),
            if first > 0 { i64::from(self.took_micros.saturating_sub(first)) } else { 0 },
            self.took_micros.into(),
        ]
    }
}

/// What tells the cells of an hour apart; every roll-up's keys are among these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Cell {
    start: i64,
    caller: i64,
    team: i64,
    user: i64,
    served: i64,
}

/// The sums of one batch, to be added to the tables once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    cells: HashMap<Cell, Sums>,
}

impl Batch {
    /// Adds a request.
    pub(super) fn add(&mut self, facts: &Facts) {
        let Facts { caller, team, user, served, .. } = *facts;
        let start = facts.created_at / GRAINS[0].1 * GRAINS[0].1;
        add(&mut self.cells, Cell { start, caller, team, user, served }, &facts.sums());
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.cells.clear();
    }

    /// Adds them to every table, inside the caller's transaction. `before_each` is asked before every
    /// statement.
    pub(super) fn write(
        &self,
        connection: &Connection,
        mut before_each: impl FnMut() -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        for view in VIEWS {
            let by_user = view.keys.contains(&"user");
            for (grain, seconds) in GRAINS {
                let mut cells: HashMap<Cell, Sums> = HashMap::new();
                for (cell, sums) in self.cells.iter().filter(|(cell, _)| !by_user || cell.user != 0) {
                    let has = |key: &str, value: i64| if view.keys.contains(&key) { value } else { 0 };
                    let cell = Cell {
                        start: cell.start / seconds * seconds,
                        caller: has("caller", cell.caller),
                        team: has("team", cell.team),
                        user: has("user", cell.user),
                        served: cell.served,
                    };
                    add(&mut cells, cell, sums);
                }
                let mut rows: Vec<[i64; KEYS_MAX]> = Vec::with_capacity(cells.len());
                let order = |cell: &Cell| {
                    let mut keys = [0; KEYS_MAX];
                    for (place, key) in keys.iter_mut().zip(view.keys) {
                        *place = cell.key(key);
                    }
                    keys
                };
                let cells: HashMap<[i64; KEYS_MAX], Sums> =
                    cells.into_iter().map(|(cell, sums)| (order(&cell), sums)).collect();
                rows.extend(cells.keys());
                // In the order of the table, so that neighbours are written together.
                rows.sort_unstable();
                let mut statement = connection.prepare_cached(&upsert(grain, view))?;
                for keys in rows {
                    before_each()?;
                    let sums = &cells[&keys];
                    statement.execute(params_from_iter(keys[..view.keys.len()].iter().chain(sums)))?;
                }
            }
        }
        Ok(())
    }
}

/// Most keys of a view.
const KEYS_MAX: usize = 4;

impl Cell {
    fn key(&self, name: &str) -> i64 {
        match name {
            "start" => self.start,
            "caller" => self.caller,
            "team" => self.team,
            "user" => self.user,
            _ => self.served,
        }
    }
}

fn add(cells: &mut HashMap<Cell, Sums>, cell: Cell, sums: &Sums) {
    let into = cells.entry(cell).or_insert([0; COLUMNS.len()]);
    for (into, sum) in into.iter_mut().zip(sums) {
        *into = into.saturating_add(*sum);
    }
}

/// Adds to a row, or makes it. A sum that no longer fits (9.2 million USD in one cell) stops at the end of
/// what fits: in SQLite it would become a float otherwise, which the table refuses, and the fold would stand.
fn upsert(grain: &str, view: &View) -> String {
    let keys = view.keys.join(", ");
    let columns = COLUMNS.join(", ");
    let marks = vec!["?"; view.keys.len() + COLUMNS.len()].join(", ");
    let mut sql = format!("INSERT INTO {grain}_{} ({keys}, {columns}) VALUES ({marks})", view.name);
    write!(sql, " ON CONFLICT ({keys}) DO UPDATE SET ").expect("writing to a String cannot fail");
    for (turn, column) in COLUMNS.iter().enumerate() {
        let comma = if turn == 0 { "" } else { ", " };
        write!(
            sql,
            "{comma}{column} = iif(typeof({column} + excluded.{column}) = 'integer', \
             {column} + excluded.{column}, iif(excluded.{column} > 0, {}, {}))",
            i64::MAX,
            i64::MIN
        )
        .expect("writing to a String cannot fail");
    }
    sql
}
