//! Laws of the ledger: sums are sums of rows, a batch is all or nothing, any batches give the same tables.
//!
//! Deliberately absent: the journal's files (a list in memory stands in for them) and HTTP.

mod keeping;
mod questions;
mod scale;
pub(crate) mod traffic;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;

use super::fold::{Folded, Folder};
use super::read::{self, Scope};
use super::sums::{COLUMNS, GRAINS, OF_A_ROW, VIEWS};
use super::{Cursors, LedgerError};
use crate::base::ids::GenerationId;
use crate::base::time::UnixSeconds;
use crate::wire::journal::{Caller, Flags, Sequence, Served};
use traffic::{List, Traffic};

/// A folder that goes when the test ends.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("millrace-ledger-{}-{turn}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("ledger.sqlite")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn fold_all(folder: &mut Folder, list: &mut List, most: usize) -> Folded {
    let mut sum = Folded::default();
    loop {
        let folded = folder.fold(list, most).unwrap();
        sum.records += folded.records;
        sum.requests += folded.requests;
        sum.unsettled += folded.unsettled;
        sum.unpriced += folded.unpriced;
        sum.repeated += folded.repeated;
        if folded.records == 0 {
            return sum;
        }
    }
}

/// Every row of every table as text.
fn dump(connection: &Connection) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut statement = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
    for name in statement.query_map((), |row| row.get(0)).unwrap() {
        names.push(name.unwrap());
    }
    names.sort();
    let mut text = String::new();
    for name in names {
        let mut statement = connection.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query(()).unwrap();
        let mut lines = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let values = (0..columns).map(|at| format!("{:?}", row.get_ref(at).unwrap()));
            lines.push(values.collect::<Vec<_>>().join(" "));
        }
        lines.sort();
        text.push_str(&format!("{name}\n{}\n", lines.join("\n")));
    }
    text
}

/// Every roll-up is what `requests` says, summed up anew.
#[track_caller]
pub(super) fn check_sums(connection: &Connection) {
    for view in VIEWS {
        for (grain, seconds) in GRAINS {
            let keys = view.keys.join(", ");
            let sums: Vec<String> = OF_A_ROW.iter().map(|sql| format!("sum({sql})")).collect();
            let key = |key: &&str| match *key {
                "start" => format!("created_at / {seconds} * {seconds} AS start"),
                "team" => "words.number AS team".to_owned(),
                other => format!("{other} AS {other}"),
            };
            let selected: Vec<String> = view.keys.iter().map(key).collect();
            let anew = format!(
                "SELECT {}, {} FROM requests JOIN callers ON callers.number = caller
                 JOIN words ON words.word = callers.team {} GROUP BY {keys}",
                selected.join(", "),
                sums.join(", "),
                if view.keys.contains(&"user") { "WHERE user <> 0" } else { "" }
            );
            let kept = format!("SELECT {keys}, {} FROM {grain}_{}", COLUMNS.join(", "), view.name);
            for (one, other) in [(&anew, &kept), (&kept, &anew)] {
                let sql =
                    format!("SELECT count(*) FROM (SELECT * FROM ({one}) EXCEPT SELECT * FROM ({other}))");
                let differing: i64 = connection.query_row(&sql, (), |row| row.get(0)).unwrap();
                assert_eq!(differing, 0, "{grain}_{}: {one}", view.name);
            }
        }
    }
}

#[test]
fn any_batches_give_the_same_tables_and_sums_are_sums_of_rows() {
    let list = Traffic::new(1).list(3, 600);
    let mut whole: Option<String> = None;
    for most in [usize::MAX, 1, 7, 100, 999] {
        let mut folder = Folder::open(":memory:".as_ref(), 1, None).unwrap();
        let folded = fold_all(&mut folder, &mut list.clone(), most);
        assert_eq!(folded.records, list.records.len(), "in batches of {most}");
        check_sums(&folder.connection);
        let dump = dump(&folder.connection);
        let want = whole.get_or_insert_with(|| dump.clone());
        assert!(*want == dump, "in batches of {most}:\n{want}\n{dump}");
        // Whatever is handed over again is in already.
        let again = List { always_from_the_start: true, ..list.clone() };
        let folded = folder.fold(&mut again.clone(), usize::MAX).unwrap();
        assert_eq!(folded, Folded::default());
    }
}

#[test]
fn killed_at_any_statement_nothing_is_lost_or_taken_twice() {
    let list = Traffic::new(2).list(2, 30);
    let ends = list.clone().half();
    let scratch = Scratch::new();
    // Made once: a disk takes its time for every new file.
    let empty = scratch.0.join("empty");
    let folder = Folder::open(&empty, 1, None).unwrap();
    folder.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(folder);
    let fold = |name: &str, fuse: Option<usize>| {
        let path = scratch.0.join(name);
        std::fs::copy(&empty, &path).unwrap();
        let mut blown = false;
        // Half of it by a process that is killed, the rest by the one after it.
        for (mut part, fuse) in [(ends.0.clone(), fuse), (ends.0.clone(), None), (list.clone(), None)] {
            let orphans = ends.0.clone().last();
            let mut folder = Folder::open(&path, 1, Some(orphans)).unwrap();
            folder.connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
            folder.fuse.set(fuse);
            loop {
                match folder.fold(&mut part, 9) {
                    Ok(folded) if folded.records == 0 => break,
                    Ok(_) => {}
                    Err(LedgerError::Database(_)) => {
                        blown = true;
                        break;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        let reader = super::open_reader(&path).unwrap();
        check_sums(&reader);
        let text = dump(&reader);
        drop(reader);
        std::fs::remove_file(&path).unwrap();
        (text, blown)
    };
    let (want, _) = fold("whole", None);
    let mut turn = 0;
    loop {
        let (got, blown) = fold(&format!("cut-{turn}"), Some(turn));
        assert!(got == want, "cut at statement {turn}");
        if !blown {
            break;
        }
        turn += 1 + turn / 40;
    }
    assert!(turn > 100, "only {turn} statements were cut");
}

#[test]
fn what_was_never_settled_is_charged_once() {
    let mut traffic = Traffic::new(3);
    let mut list = traffic.list(2, 0);
    let lost: Vec<GenerationId> = (0..5).map(|turn| traffic.admit_only(&mut list, turn % 2)).collect();
    let ends = list.clone().last();
    let scratch = Scratch::new();
    let mut folder = Folder::open(&scratch.file(), 1, None).unwrap();
    // The process that wrote them does not take them for lost.
    assert_eq!(fold_all(&mut folder, &mut list, 100).unsettled, 0);
    drop(folder);
    // Its successor does, and has a request of its own under way.
    let own = traffic.admit_only(&mut list, 0);
    let mut folder = Folder::open(&scratch.file(), 1, Some(ends.clone())).unwrap();
    assert_eq!(fold_all(&mut folder, &mut list, 100).unsettled, 5);
    assert_eq!(fold_all(&mut folder, &mut list, 100), Folded::default());
    check_sums(&folder.connection);
    for id in lost {
        let found = read::generation(&folder.connection, id.as_str(), &Scope::All).unwrap().unwrap();
        assert_eq!((found.ending_word(), found.cost), ("unsettled", traffic::RESERVED));
    }
    assert_eq!(read::generation(&folder.connection, own.as_str(), &Scope::All).unwrap(), None);
    assert!(read::is_open(&folder.connection, own.as_str()).unwrap());
    drop(folder);
    // And once more.
    let mut folder = Folder::open(&scratch.file(), 1, Some(ends)).unwrap();
    assert_eq!(fold_all(&mut folder, &mut list, 100).unsettled, 0);
}

#[test]
fn a_request_is_found_by_either_id_and_only_by_its_own_key() {
    let mut list = Traffic::new(4).list(2, 400);
    let mut folder = Folder::open(":memory:".as_ref(), 1, None).unwrap();
    fold_all(&mut folder, &mut list, 1_000);
    let mut seen = 0;
    for settle in list.settles() {
        let ask = |id: &str, scope: &Scope| read::generation(&folder.connection, id, scope).unwrap();
        let found = ask(settle.id.as_str(), &Scope::All).expect("it was settled");
        assert_eq!(found.upstream_id, settle.upstream_id);
        assert_eq!((found.cost, found.upstream_cost), (settle.cost.total, settle.cost.upstream));
        assert_eq!(found.completion_tokens.unsigned_abs(), settle.usage.completion_tokens);
        assert_eq!((&*found.model, &*found.provider), (settle.served.model, settle.served.provider));
        assert_eq!(found.attempts.len(), settle.attempts.len());
        assert_eq!(found.key, settle.caller.key);
        assert_eq!(found.fault, settle.fault);
        let own = Scope::Key(settle.caller.key_digest);
        assert_eq!(ask(settle.id.as_str(), &own).as_ref(), Some(&found));
        assert_eq!(ask(settle.id.as_str(), &Scope::Key([9; 32])), None);
        if !settle.upstream_id.is_empty() {
            seen += 1;
            assert_eq!(ask(settle.upstream_id, &own).as_ref(), Some(&found));
            assert_eq!(ask(settle.upstream_id, &Scope::Key([9; 32])), None);
        }
    }
    assert!(seen > 100);
    assert_eq!(read::generation(&folder.connection, "gen-nobody", &Scope::All).unwrap(), None);
    assert_eq!(read::generation(&folder.connection, "", &Scope::All).unwrap(), None);
}

#[test]
fn a_full_disk_stops_the_fold_and_loses_nothing() {
    let mut list = Traffic::new(5).list(2, 2_000);
    let scratch = Scratch::new();
    let mut folder = Folder::open(&scratch.file(), 1, None).unwrap();
    let pages: i64 = folder.connection.query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap();
    let allow = |folder: &Folder, pages: i64| {
        let sql = format!("PRAGMA max_page_count = {pages}");
        folder.connection.query_row(&sql, (), |row| row.get::<_, i64>(0)).unwrap()
    };
    allow(&folder, pages + 40);
    let mut stopped = false;
    while let Ok(folded) = folder.fold(&mut list, 500).inspect_err(|_| stopped = true) {
        assert!(folded.records > 0, "it fitted after all");
    }
    assert!(stopped);
    check_sums(&folder.connection);
    // The same again, for as long as there is no room; then all of it.
    assert!(folder.fold(&mut list, 500).is_err());
    allow(&folder, 1 << 20);
    fold_all(&mut folder, &mut list, 500);
    check_sums(&folder.connection);
    let mut whole = Folder::open(":memory:".as_ref(), 1, None).unwrap();
    fold_all(&mut whole, &mut list, 500);
    assert!(dump(&folder.connection) == dump(&whole.connection));
}

#[test]
fn a_sum_that_no_longer_fits_stops_at_the_end_of_what_does() {
    let mut traffic = Traffic::new(6);
    let mut list = traffic.list(1, 0);
    for turn in 0..3 {
        traffic.settle(&mut list, 0, UnixSeconds(1_790_000_000), |settle| {
            settle.cost.total = i64::MAX - 7;
            settle.cost.cache_discount = i64::MIN + 7;
            settle.flags = Flags::default();
            settle.caller = Caller { key: if turn == 2 { "other" } else { "one" }, ..Caller::default() };
            settle.served = Served::default();
        });
    }
    let mut folder = Folder::open(":memory:".as_ref(), 1, None).unwrap();
    // Every record in a batch of its own, so that SQLite adds them.
    fold_all(&mut folder, &mut list, 1);
    let sql = "SELECT max(cost), min(cache_discount) FROM days_keys";
    let ends = folder.connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(ends, (i64::MAX, i64::MIN));
    // Sums over cells do not stop there.
    let all = read::totals::everything(&folder.connection).unwrap();
    assert_eq!(all.0, i128::from(i64::MAX), "the team's cell is full too");
    let (used, _) = read::totals::of_key(&folder.connection, &[0; 32], 1_790_000_000).unwrap();
    assert_eq!(used.all.0, i128::from(i64::MAX) * 2 - 7);
    let sql = "SELECT count(*) FROM days_keys";
    assert_eq!(folder.connection.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap(), 2);
}

#[test]
fn what_was_taken_by_another_node_is_another_cursor() {
    let mut list = Traffic::new(7).list(1, 10);
    let scratch = Scratch::new();
    let mut folder = Folder::open(&scratch.file(), 1, None).unwrap();
    let folded = fold_all(&mut folder, &mut list, 100);
    drop(folder);
    // The same requests under another node's name are known by their ids.
    let mut folder = Folder::open(&scratch.file(), 2, None).unwrap();
    let again = fold_all(&mut folder, &mut list, 100);
    assert_eq!((again.requests, again.repeated), (0, folded.requests));
    let want: Cursors = [(0, Sequence(list.records.len() as u64))].into_iter().collect();
    assert_eq!(*folder.cursors(), want);
}
