//! Bad days of the fold, and what becomes of old rows.
//!
//! Deliberately absent: real disks.

use core::time::Duration;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::super::retention::{old_requests, old_sums};
use super::super::{Keep, Keeper, Ledger, Options};
use super::traffic::Shared;
use super::*;
use crate::control::calendar::DAY;

const FOR_EVER: Keep = Keep { requests: None, hours: None, days: None };

fn start(path: &Path, records: &Shared) -> (Keeper, Ledger) {
    let options = Options {
        path: path.to_owned(),
        keep: FOR_EVER,
        now: || 1_790_000_000,
        every: Duration::from_millis(20),
    };
    Keeper::start(options, Box::new(records.clone())).unwrap()
}

/// Settles one request; its id.
fn one(records: &Shared, traffic: &mut Traffic) -> String {
    let mut list = records.0.lock().unwrap();
    traffic.settle(&mut list, 0, UnixSeconds(1_790_000_000), |_| {}).as_str().to_owned()
}

fn is_there(ledger: &Ledger, id: &str) -> bool {
    ledger.generation(id, &Scope::All).unwrap().is_some()
}

/// Waits until the fold has caught up.
fn caught_up(ledger: &Ledger) {
    let begun = Instant::now();
    while !ledger.catch_up() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the fold never caught up");
    }
}

#[test]
fn a_request_is_there_the_moment_it_is_settled() {
    let (scratch, records, mut traffic) = (Scratch::new(), Shared::default(), Traffic::new(20));
    let (keeper, ledger) = start(&scratch.file(), &records);
    for _ in 0..50 {
        let id = one(&records, &mut traffic);
        assert!(is_there(&ledger, &id));
    }
    let freed = records.0.lock().unwrap().freed.clone();
    assert_eq!(freed, records.0.lock().unwrap().last(), "the journal may use its space again");
    for (end, is_needed) in [("", true), ("-wal", true), ("-shm", false)] {
        let mut name = scratch.file().into_os_string();
        name.push(end);
        match std::fs::metadata(&name) {
            Ok(file) => assert_eq!(file.permissions().mode() & 0o777, 0o600, "{end}: its owner's only"),
            Err(_) => assert!(!is_needed, "{end} is missing"),
        }
    }
    drop(keeper);
    check_sums(&super::super::open_reader(&scratch.file()).unwrap());
}

#[test]
fn a_locked_database_is_waited_for_and_the_tail_answers_meanwhile() {
    let (scratch, records, mut traffic) = (Scratch::new(), Shared::default(), Traffic::new(21));
    let (_keeper, ledger) = start(&scratch.file(), &records);
    let before = one(&records, &mut traffic);
    assert!(is_there(&ledger, &before));
    let freed = records.0.lock().unwrap().freed.clone();

    let other = Connection::open(scratch.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let during = one(&records, &mut traffic);
    assert!(is_there(&ledger, &during), "out of the journal's tail");
    assert!(is_there(&ledger, &before));
    assert!(ledger.metrics(1_790_000_009).contains("millrace_ledger_fold_failing 1\n"));
    assert!(ledger.metrics(1_790_000_009).contains("millrace_ledger_fold_lag_records 2\n"));
    assert_eq!(records.0.lock().unwrap().freed, freed, "the journal keeps what is not folded");

    other.execute_batch("ROLLBACK").unwrap();
    caught_up(&ledger);
    assert!(is_there(&ledger, &during));
    assert!(ledger.metrics(1_790_000_009).contains("millrace_ledger_fold_failing 0\n"));
    check_sums(&super::super::open_reader(&scratch.file()).unwrap());
}

#[test]
fn a_deleted_database_is_filled_from_the_journal_again() {
    let (scratch, records, mut traffic) = (Scratch::new(), Shared::default(), Traffic::new(22));
    let (_keeper, ledger) = start(&scratch.file(), &records);
    let ids: Vec<String> = (0..20).map(|_| one(&records, &mut traffic)).collect();
    assert!(ids.iter().all(|id| is_there(&ledger, id)));
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", scratch.file().display()));
    }
    let after = one(&records, &mut traffic);
    caught_up(&ledger);
    assert!(is_there(&ledger, &after) && ids.iter().all(|id| is_there(&ledger, id)));
    check_sums(&super::super::open_reader(&scratch.file()).unwrap());
}

#[test]
fn a_damaged_database_is_kept_aside() {
    let (scratch, records, mut traffic) = (Scratch::new(), Shared::default(), Traffic::new(23));
    std::fs::write(
        scratch.file(),
        "this is no database, but somebody may still want to look at it".repeat(99),
    )
    .unwrap();
    let id = one(&records, &mut traffic);
    let (_keeper, ledger) = start(&scratch.file(), &records);
    caught_up(&ledger);
    assert!(is_there(&ledger, &id));
    let aside = scratch.file().with_extension("damaged-1790000000");
    assert!(std::fs::read_to_string(aside).unwrap().starts_with("this is no database"));
}

#[test]
fn a_path_that_cannot_be_used_loses_nothing_and_is_tried_again() {
    let (scratch, records, mut traffic) = (Scratch::new(), Shared::default(), Traffic::new(24));
    std::fs::create_dir_all(scratch.file()).unwrap();
    let id = one(&records, &mut traffic);
    let (_keeper, ledger) = start(&scratch.file(), &records);
    assert!(!ledger.catch_up());
    assert_eq!(records.0.lock().unwrap().freed, Cursors::new());
    std::fs::remove_dir(scratch.file()).unwrap();
    caught_up(&ledger);
    assert!(is_there(&ledger, &id));
}

/// A ledger with a request every hour for so many days.
fn days(days: u64) -> (Folder, u64) {
    let mut traffic = Traffic::new(25);
    let mut list = List::default();
    let start = 1_780_000_000 / DAY * DAY;
    for hour in 0..days * 24 {
        traffic.settle(&mut list, 0, UnixSeconds(start + hour * 3_600), |_| {});
    }
    let mut folder = Folder::open(":memory:".as_ref(), 1, None).unwrap();
    fold_all(&mut folder, &mut list, 1_000);
    (folder, start)
}

fn count(folder: &Folder, table: &str) -> i64 {
    folder
        .connection
        .query_row(&format!("SELECT sum({table}) FROM days_teams"), (), |row| row.get(0))
        .unwrap()
}

#[test]
fn old_rows_go_and_sums_stay_longer() {
    let (folder, start) = days(40);
    let now = start + 40 * DAY;
    let keep = Keep { requests: Some(10), hours: Some(20), days: Some(30) };
    let rows = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        folder.connection.query_row(&sql, (), |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(rows("requests"), 960);
    while old_requests(&folder.connection, keep, now).unwrap() > 0 {}
    assert_eq!(rows("requests"), 240);
    let orphaned = "attempts WHERE request NOT IN (SELECT number FROM requests)";
    assert_eq!(rows(orphaned), 0);
    old_sums(&folder.connection, keep, now).unwrap();
    assert_eq!(count(&folder, "requests"), 30 * 24);
    let hours: i64 =
        folder.connection.query_row("SELECT sum(requests) FROM hours_keys", (), |row| row.get(0)).unwrap();
    assert_eq!(hours, 20 * 24);
    // Nothing is old any more.
    assert_eq!(old_requests(&folder.connection, keep, now).unwrap(), 0);
    assert_eq!(old_sums(&folder.connection, keep, now).unwrap(), 0);
}

#[test]
fn a_clock_that_jumps_empties_nothing() {
    let (folder, start) = days(5);
    let keep = Keep { requests: Some(10), hours: Some(10), days: Some(10) };
    for now in [0, start, start + 5 * DAY, start + 5_000 * DAY, u64::MAX] {
        assert_eq!(old_requests(&folder.connection, keep, now).unwrap(), 0, "{now}");
        assert_eq!(old_sums(&folder.connection, keep, now).unwrap(), 0, "{now}");
    }
}

#[test]
fn a_clock_that_goes_back_loses_no_request() {
    static NOW: AtomicU64 = AtomicU64::new(1_790_000_000);
    let (scratch, records, mut traffic) = (Scratch::new(), Shared::default(), Traffic::new(26));
    let options = Options {
        path: scratch.file(),
        keep: Keep { requests: Some(7), ..FOR_EVER },
        now: || NOW.load(Ordering::Relaxed),
        every: Duration::from_millis(5),
    };
    let (_keeper, ledger) = Keeper::start(options, Box::new(records.clone())).unwrap();
    let mut ids = Vec::new();
    for back in [0, 3_600, 40 * DAY, 1] {
        let at = 1_790_000_000 - back;
        NOW.store(at, Ordering::Relaxed);
        let mut list = records.0.lock().unwrap();
        let id = traffic.settle(&mut list, 0, UnixSeconds(at), |_| {}).as_str().to_owned();
        drop(list);
        // Read while it is "now"; one of 40 days ago is older than what is kept once the clock is right.
        assert!(is_there(&ledger, &id), "{back} seconds back");
        ids.push(id);
    }
    assert!([0, 1, 3].into_iter().all(|turn| is_there(&ledger, &ids[turn])));
    let sums = ledger.read(|connection| {
        connection.query_row("SELECT sum(requests) FROM days_teams", (), |row| row.get::<_, i64>(0))
    });
    assert_eq!(sums.unwrap(), 4);
}
