//! The real ledger under the kills: the child folds into SQLite and is stopped at a place of the fold that
//! its seed decides; who starts next folds the rest, and sums must then be sums of records.
//!
//! Deliberately absent: a kill at each statement (`control/ledger/tests` cuts the fold there, without one).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace::app::journal::{Journals, open};
use millrace::control::ledger::{
    Connection, Cursors, FILE_NAME, Journaled, Keep, Keeper, Ledger, Options, Records, Take, known,
    open_reader,
};
use millrace::wire::journal::marks::Marks;
use millrace::wire::journal::{Entry, Journal, Sequence};

use crate::{ADMITTED, Outcome, PATIENCE, Point, Random, admit, ledger_config, notes, reached, said, stand};

/// What a request is charged with that never settled.
const RESERVED: i64 = 1_234_567;

/// Where in a batch the fold stands when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Rows are inserted, the transaction is open.
    InTransaction,
    /// All of the batch is inserted, its sums are not.
    BeforeSums,
    /// Committed, and the journal not told.
    Committed,
    /// The journal is told that it may use the space again.
    Told,
    /// It does not stand: it is killed wherever it is.
    Running,
}

const PLACES: [Place; 5] =
    [Place::InTransaction, Place::BeforeSums, Place::Committed, Place::Told, Place::Running];

/// Does the child of this point and seed have the real ledger?
pub(crate) fn is_real(point: Point, seed: u64) -> bool {
    point == Point::MidFold || seed % 10 == 9
}

/// The journal as the fold sees it, which stops where it was told to.
struct Watched {
    journal: Journaled,
    /// Records of one batch.
    at_once: usize,
    stop: Option<(Place, Sequence)>,
    last: Sequence,
}

impl Watched {
    fn is_at(&self, place: Place) -> bool {
        self.stop.is_some_and(|(where_to, at)| where_to == place && self.last >= at)
    }
}

impl Records for Watched {
    fn node(&self) -> u64 {
        self.journal.node()
    }

    fn read(&mut self, after: &Cursors, most: usize, take: &mut Take<'_>) -> io::Result<usize> {
        let Self { journal, at_once, stop, last } = self;
        journal.read(after, most.min(*at_once), &mut |core, sequence, entry: &Entry<'_>| {
            said(entry);
            take(core, sequence, entry);
            *last = sequence;
            match stop {
                Some((Place::InTransaction, at)) if *at <= sequence => stand(),
                Some((Place::Running, at)) if *at <= sequence => {
                    *stop = None;
                    reached();
                }
                _ => {}
            }
        })
    }

    fn passed(&self) -> Cursors {
        if self.is_at(Place::BeforeSums) {
            stand();
        }
        self.journal.passed()
    }

    fn ends(&mut self) -> io::Result<Cursors> {
        self.journal.ends()
    }

    fn folded(&mut self, upto: &Cursors) {
        if self.is_at(Place::Committed) {
            stand();
        }
        self.journal.folded(upto);
        if self.is_at(Place::Told) {
            stand();
        }
    }
}

pub(crate) fn database(folder: &Path) -> PathBuf {
    folder.join("data").join(FILE_NAME)
}

fn start(folder: &Path, records: Box<dyn Records>) -> (Keeper, Ledger) {
    let options = Options {
        path: database(folder),
        keep: Keep { requests: None, hours: None, days: None },
        now: || 10_000,
        every: Duration::from_micros(100),
    };
    Keeper::start(options, records).expect("the ledger starts")
}

/// Starts the child's fold; says after how many requests its writer is to slow down.
pub(crate) fn keep(
    point: Point,
    random: &mut Random,
    folder: &Path,
    journals: (&Path, millrace::wire::journal::frame::NodeId, &[Arc<Marks>]),
) -> (Keeper, u64) {
    let (dir, node, marks) = journals;
    let journal = Journaled::new(dir.to_owned(), node, marks.to_vec()).expect("the journal is read");
    let far = random.below(16) == 0;
    let at = 1 + random.below(if far { 3_000 } else { 300 });
    let place = PLACES[random.below(PLACES.len() as u64) as usize];
    let stop = (point == Point::MidFold).then_some((place, Sequence(at)));
    let at_once = 1 + random.below(200) as usize;
    let watched = Watched { journal, at_once, stop, last: Sequence(0) };
    // Rows take their time; only where files go round, many are needed.
    let requests = match point {
        Point::MidFold => at + 64,
        Point::MidRecycle => u64::MAX,
        _ => 600,
    };
    (start(folder, Box::new(watched)).0, requests)
}

/// Starts as the process after the killed one does, and holds the database against what the child was told.
pub(crate) fn judge(folder: &Path) -> Outcome {
    let mut outcome = Outcome::default();
    let folded = known(&database(folder));
    let after = |core| folded.get(&core).copied().unwrap_or_default();
    let mut journals: Journals = open(&ledger_config(folder), 1, after).expect("it opens").expect("it is on");
    let (dir, marks) = (&journals.dir, journals.marks.clone());
    let journal = Journaled::new(dir.path().to_owned(), dir.node(), marks).expect("the journal can be read");
    let (keeper, ledger) = start(folder, Box::new(journal));
    let begun = Instant::now();
    while !ledger.catch_up() {
        assert!(begun.elapsed() < PATIENCE, "the fold never caught up");
    }
    let next = journals.writers[0].admit(&admit(9_999_999));
    drop((keeper, ledger));
    let reader = open_reader(&database(folder)).expect("the ledger can be read");
    let last = known(&database(folder)).get(&0).copied().unwrap_or_default();
    outcome.records = last.0;
    // The admission of this process is folded at its end, or not.
    if !next.is_ok_and(|next| next == last || next.0 == last.0 + 1) {
        outcome.unaccounted.push(format!("it goes on with {next:?} behind {last:?}"));
    }
    hold_against_notes(&reader, folder, &mut outcome);
    check_sums(&reader, &mut outcome);
    outcome
}

/// Every request that was told to be written has its row, and there are no others.
fn hold_against_notes(reader: &Connection, folder: &Path, outcome: &mut Outcome) {
    // A request's number is its time: ending and cost by that.
    let mut rows = BTreeMap::new();
    let mut statement =
        reader.prepare("SELECT created_at, ending, cost FROM requests").expect("there are tables");
    let mut found = statement.query(()).expect("it can be asked");
    while let Some(row) = found.next().expect("a row") {
        let field = |at| row.get::<_, i64>(at).expect("a number");
        rows.insert(field(0).unsigned_abs(), (field(1), field(2)));
    }
    outcome.open = rows.values().filter(|(ending, _)| *ending == 4).count() as u64;
    for (word, (ending, cost)) in &rows {
        let want = if *ending == 4 { RESERVED } else { word.cast_signed() };
        if *cost != want || ![0, 4].contains(ending) {
            outcome.unaccounted.push(format!("request {word} ended {ending} and cost {cost}"));
        }
    }
    // They are numbered from 1 on, so the last number says how many there are.
    let most = rows.keys().last().copied().unwrap_or(0);
    if rows.len() as u64 != most {
        outcome.unaccounted.push(format!("{} rows, the last one is {most}", rows.len()));
    }
    for (kind, word) in notes(&folder.join("acks")) {
        let row = rows.get(&word);
        if !row.is_some_and(|(ending, _)| kind == ADMITTED || *ending == 0) {
            outcome.lost.push(format!("request {word}: told {kind}, found {row:?}"));
        }
    }
    // Only what this process has admitted itself may be under way.
    let open: i64 = reader
        .query_row("SELECT count(*) FROM open WHERE at <> 9999999", (), |row| row.get(0))
        .expect("a count");
    if open != 0 {
        outcome.unaccounted.push(format!("{open} requests are still open"));
    }
}

/// Roll-ups are the sums of the records.
pub(crate) fn check_sums(reader: &Connection, outcome: &mut Outcome) {
    const SUMS: &str = "sum(1), sum(ending = 4), sum(ending IN (1, 2, 4)), sum(prompt_tokens),
        sum(completion_tokens), sum(cost), sum(upstream_cost), sum(answer_bytes), sum(took_micros)";
    const COLUMNS: &str = "requests, unsettled, failures, prompt_tokens, completion_tokens, cost,
        upstream_cost, answer_bytes, took_micros";
    for (grain, seconds) in [("hours", 3_600), ("days", 86_400)] {
        for (view, key) in [("keys", "caller"), ("teams", "team")] {
            let anew = format!(
                "SELECT created_at / {seconds} * {seconds}, {key}, served, {SUMS} FROM (
                   SELECT requests.*, words.number AS team FROM requests
                     JOIN callers ON callers.number = caller JOIN words ON words.word = callers.team)
                 GROUP BY 1, 2, 3"
            );
            let kept = format!("SELECT start, {key}, served, {COLUMNS} FROM {grain}_{view}");
            let sql = format!(
                "SELECT (SELECT count(*) FROM (SELECT * FROM ({anew}) EXCEPT SELECT * FROM ({kept})))
                      + (SELECT count(*) FROM (SELECT * FROM ({kept}) EXCEPT SELECT * FROM ({anew})))"
            );
            let differing: i64 = reader.query_row(&sql, (), |row| row.get(0)).expect("a count");
            if differing != 0 {
                outcome.unaccounted.push(format!("{grain}_{view}: {differing} sums are not those of rows"));
            }
        }
    }
}
