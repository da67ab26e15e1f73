//! Bad days of the real binary: a ledger that is locked or deleted, a journal that is damaged, an end while
//! streams run. Each with its outcome as docs/ledger.md and docs/journal.md say it.
//!
//! Deliberately absent: disks (`disk.rs`); a clock that jumps (`control/ledger/tests`: it is an argument).

use std::fs::{self, OpenOptions};
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use millrace::control::ledger::{Connection, open_reader};

use crate::ledger::{check_sums, database};
use crate::server::{Server, log, millrace, until};
use crate::{Folder, Outcome};

/// One number out of the database.
#[track_caller]
pub(crate) fn number(folder: &Path, sql: &str) -> i64 {
    let reader = open_reader(&database(folder)).expect("the ledger can be read");
    reader.query_row(sql, (), |row| row.get(0)).expect("a number")
}

/// Roll-ups are the sums of the rows.
#[track_caller]
pub(crate) fn sums_are_right(folder: &Path) {
    let reader = open_reader(&database(folder)).expect("the ledger can be read");
    let mut outcome = Outcome::default();
    check_sums(&reader, &mut outcome);
    assert_eq!(outcome.unaccounted, Vec::<String>::new());
}

/// Ends it as an operator does.
pub(crate) fn stop(mut server: Server) {
    server.signal("TERM");
    assert!(server.ended().success());
}

#[test]
fn a_ledger_that_is_locked_or_deleted_loses_nothing() {
    let folder = Folder::in_memory();
    let server = Server::start(&folder.0);
    let before = server.chat().expect("an answer");
    let known = |id: &str| server.generation(id)["id"] == id;
    assert!(known(&before));

    let other = Connection::open(database(&folder.0)).expect("it opens");
    other.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
    let during = server.chat().expect("an answer, although the ledger is locked");
    assert!(known(&during), "out of the journal");
    assert!(known(&before), "out of the database");
    assert!(server.shows("millrace_ledger_fold_failing 1"));
    assert!(log(&folder.0).contains("cannot be written, the journal keeps what is new"));
    other.execute_batch("ROLLBACK").expect("no lock");
    until("the fold goes on", || server.shows("millrace_ledger_fold_failing 0"));
    assert!(known(&during));
    drop(other);

    for end in ["", "-wal", "-shm"] {
        fs::remove_file(format!("{}{end}", database(&folder.0).display())).expect("it was there");
    }
    let after = server.chat().expect("an answer, although the ledger is gone");
    until("the new ledger has everything", || [&before, &during, &after].into_iter().all(|id| known(id)));
    assert!(log(&folder.0).contains("was deleted: a new one is filled with what the journal still has"));
    stop(server);
    assert_eq!(number(&folder.0, "SELECT count(*) FROM requests WHERE ending = 0"), 3);
    assert_eq!(number(&folder.0, "SELECT count(*) FROM requests"), 3);
    sums_are_right(&folder.0);
}

/// Where each record of a segment begins.
fn records(segment: &Path) -> Vec<usize> {
    let bytes = fs::read(segment).expect("a segment");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes")) as usize;
    let mut starts = vec![4096];
    while let Some(at) = starts.last().copied().filter(|at| word(at + 4) > 0) {
        starts.push(at + word(at + 4));
    }
    starts.pop();
    starts
}

fn kept_aside(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.join("data/journal/core-0")).expect("a folder");
    let files = files.map(|entry| entry.expect("an entry").path());
    files.filter(|path| path.display().to_string().contains(".damaged-")).collect()
}

/// Six requests, a kill, and something done to the journal: `damage` is told where its records begin. Then
/// `verify` names it, the start reports it and keeps it aside, and the ledger has the rest.
fn damaged(damage: impl Fn(&Path, &[usize]), aside: usize, settled: i64, unsettled: i64) {
    let folder = Folder::in_memory();
    let mut server = Server::try_start(&folder.0, 1).expect("it starts");
    for _ in 0..6 {
        server.chat().expect("an answer");
    }
    let segment = folder.0.join("data/journal/core-0/0.mrj");
    until("all are settled", || records(&segment).len() == 12);
    server.child.kill().expect("kill -9");
    server.child.wait().expect("its end");
    drop(server);
    assert!(millrace(&["journal", "verify"], &folder.0).status.success());
    damage(&segment, &records(&segment));
    // All of it has to come out of the journal.
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", database(&folder.0).display()));
    }
    let verified = millrace(&["journal", "verify"], &folder.0);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(verified.status.code(), Some(65), "{said}");
    assert!(said.contains("DAMAGED") && said.contains("0.mrj"), "{said}");
    assert_eq!(kept_aside(&folder.0), Vec::<PathBuf>::new());

    let logged = log(&folder.0).len();
    let server = Server::try_start(&folder.0, 1)
        .unwrap_or_else(|_| panic!("damage stops no start: {}", log(&folder.0)));
    let said = log(&folder.0)[logged..].to_owned();
    assert!(said.contains("journal: ") && said.contains("0.mrj"), "{said}");
    assert_eq!(kept_aside(&folder.0).len(), aside, "{said}");
    server.chat().expect("it serves");
    stop(server);
    let ending =
        |what: &str| number(&folder.0, &format!("SELECT count(*) FROM requests WHERE ending {what}"));
    assert_eq!((ending("= 0"), ending("= 4")), (settled + 1, unsettled), "{}", log(&folder.0));
    assert_eq!(number(&folder.0, "SELECT count(*) FROM open"), 0);
    sums_are_right(&folder.0);
}

fn flip(segment: &Path, at: usize) {
    use std::os::unix::fs::FileExt;
    let file = OpenOptions::new().read(true).write(true).open(segment).expect("a segment");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).expect("it is in the file");
    file.write_all_at(&[byte[0] ^ 0xff], at as u64).expect("it is written");
}

#[test]
fn a_journal_that_is_damaged_in_its_middle_stops_no_start() {
    // The settlement of the third request.
    damaged(|segment, records| flip(segment, records[5] + 40), 1, 5, 1);
    // The admission of the third request: it is settled all the same.
    damaged(|segment, records| flip(segment, records[4] + 40), 1, 6, 0);
}

#[test]
fn a_journal_whose_tail_is_gone_goes_on_behind_the_last_good_record() {
    let cut = |segment: &Path, records: &[usize]| {
        let file = OpenOptions::new().write(true).open(segment).expect("a segment");
        file.set_len(records[11] as u64 + 40).expect("it is cut");
    };
    // An end that never reached the disk is nothing to look at.
    damaged(cut, 0, 5, 1);
}

#[test]
fn an_end_while_streams_run_settles_all_of_them() {
    // With patience until they end, and without.
    for (tokens, signals, ending) in [(40, 1, 0), (10_000, 2, 2)] {
        let folder = Folder::in_memory();
        let mut server = Server::start(&folder.0);
        let metadata = format!(r#"{{"tokens":"{tokens}"}}"#);
        let mut streams: Vec<_> = (0..24).map(|_| server.stream(&metadata)).collect();
        for (socket, _) in &mut streams {
            let mut line = String::new();
            while !line.starts_with("data: ") {
                line.clear();
                socket.read_line(&mut line).expect("an event");
            }
        }
        let mut idle = server.connect();
        server.signal("TERM");
        if signals == 2 {
            // The first one was taken when its effect shows.
            assert_eq!(idle.read(&mut [0]).expect("a connection that never asked is closed"), 0);
            server.signal("TERM");
        }
        for (socket, id) in &mut streams {
            let mut rest = String::new();
            socket.read_to_string(&mut rest).expect("the rest");
            assert_eq!(rest.contains("[DONE]"), signals == 1, "{id}");
        }
        assert!(server.ended().success(), "{}", log(&folder.0));
        for (_, id) in &streams {
            let sql = format!("SELECT ending FROM requests WHERE id = '{id}'");
            assert_eq!(number(&folder.0, &sql), ending, "{id}");
        }
        assert_eq!(number(&folder.0, "SELECT count(*) FROM requests"), 24);
        assert_eq!(number(&folder.0, "SELECT count(*) FROM open"), 0);
        sums_are_right(&folder.0);
        // Whoever starts next finds nothing to charge.
        stop(Server::start(&folder.0));
        assert!(!log(&folder.0).contains("were under way when Millrace ended last"));
    }
}
