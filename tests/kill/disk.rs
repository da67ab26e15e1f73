//! Disks that are full or cannot be written, as real file systems: a small tmpfs, mounted where only
//! one test sees it. Where user namespaces are forbidden, the tests say so and end.
//!
//! Deliberately absent: disks that fail under a sync (`app/journal/tests`).

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use crate::Folder;
use crate::days::{number, stop, sums_are_right};
use crate::server::{Server, log, until};

/// Tells a test which is run again, inside, where its folder is.
const INSIDE: &str = "MILLRACE_KILL_TMPFS";
/// Room for two segments of 1 MiB, the ledger, and some of its log.
const DISK: &str = "size=6m";
/// More requests than a journal of 2 MiB holds.
const REQUESTS_MAX: usize = 20_000;

/// Runs the test of this name once more, as the only one, with a small disk at `data`; its folder when we are
/// that run.
fn with_a_small_disk(test: &str) -> Option<PathBuf> {
    if let Ok(folder) = std::env::var(INSIDE) {
        return Some(PathBuf::from(folder));
    }
    let folder = Folder::in_memory();
    fs::create_dir(folder.0.join("data")).expect("a place to mount");
    let mount = r#"mount -t tmpfs -o "$0" tmpfs "$1" || exit 99; shift; exec "$@""#;
    let ran = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", mount, DISK])
        .arg(folder.0.join("data"))
        .arg(std::env::current_exe().expect("our own path"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, &folder.0)
        .stdin(Stdio::null())
        .output();
    let mut out = std::io::stderr().lock();
    match ran {
        Ok(ran) if ran.status.success() => {
            assert!(String::from_utf8_lossy(&ran.stdout).contains("1 passed"), "it ran");
            let _ = out.write_all(&ran.stderr);
        }
        // Nothing of ours says these: the namespace or the mount was refused.
        Ok(ran) if matches!(ran.status.code(), Some(1 | 99)) => {
            let why = String::from_utf8_lossy(&ran.stderr).into_owned();
            let _ = writeln!(out, "{test}: SKIPPED, no file system can be mounted here: {why}");
        }
        Ok(ran) => panic!(
            "{}: {}{}{}",
            ran.status,
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr),
            log(&folder.0)
        ),
        Err(error) => {
            let _ = writeln!(out, "{test}: SKIPPED, there is no unshare(1): {error}");
        }
    }
    None
}

fn small_journal(folder: &Path, more: &str) {
    let config = format!("[ledger]\nsegment_bytes = 1048576\nsegments = 2\n{more}");
    fs::write(folder.join("config.toml"), config).expect("a configuration");
}

/// Takes all the room there is.
fn fill(file: &Path) {
    let mut file = File::create(file).expect("a file");
    for size in [65_536, 4_096, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
}

/// Asks until a request is refused; the ids of those that were served.
fn until_refused(server: &Server) -> Vec<String> {
    let served: Mutex<Vec<String>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    match server.chat() {
                        Ok(id) => served.lock().expect("no client panicked").push(id),
                        Err(status) => return assert_eq!(status, 503),
                    }
                    assert!(served.lock().expect("no client panicked").len() < REQUESTS_MAX, "never full");
                }
            });
        }
    });
    served.into_inner().expect("no client panicked")
}

#[test]
fn a_full_disk_refuses_new_requests_and_loses_none() {
    let Some(folder) = with_a_small_disk("disk::a_full_disk_refuses_new_requests_and_loses_none") else {
        return;
    };
    small_journal(&folder, "");
    let server = Server::try_start(&folder, 1).expect("there is room for the journal");
    let before = server.chat().expect("an answer");
    let known = |id: &str| server.generation(id)["id"] == id;
    assert!(known(&before));

    let filler = folder.join("data/filler");
    fill(&filler);
    let served = until_refused(&server);
    assert!(served.len() > 100, "only {}", served.len());
    assert!(server.shows("millrace_ledger_fold_failing 1"), "{}", log(&folder));
    assert!(log(&folder).contains("cannot be written, the journal keeps what is new"), "{}", log(&folder));
    assert!(known(&before) && known(served.last().expect("some were")), "what is written down can be read");

    fs::remove_file(&filler).expect("room again");
    let mut after = None;
    until("requests are served again", || {
        after = server.chat().ok();
        after.is_some()
    });
    stop(server);
    assert!(log(&folder).contains("the ledger can be written again"), "{}", log(&folder));
    // What was served has its row, and what was refused has none.
    let rows = number(&folder, "SELECT count(*) FROM requests WHERE ending = 0");
    assert_eq!(rows as usize, served.len() + 2, "{}", log(&folder));
    assert_eq!(number(&folder, "SELECT count(*) FROM requests") as usize, served.len() + 2);
    assert_eq!(number(&folder, "SELECT count(*) FROM open"), 0);
    sums_are_right(&folder);
    let _ = writeln!(
        std::io::stderr().lock(),
        "a full disk: {} requests went into the journal before the first was refused; all are in the ledger",
        served.len()
    );
}

#[test]
fn a_disk_that_is_full_at_the_start_is_said() {
    let Some(folder) = with_a_small_disk("disk::a_disk_that_is_full_at_the_start_is_said") else { return };
    small_journal(&folder, "");
    fill(&folder.join("data/filler"));
    let ended = Server::try_start(&folder, 1).err().expect("it does not start");
    assert_eq!(ended.code(), Some(74), "{}", log(&folder));
    small_journal(&folder, "on_disk_error = \"continue\"\n");
    let server = Server::try_start(&folder, 1).unwrap_or_else(|_| panic!("{}", log(&folder)));
    server.chat().expect("it serves");
    assert!(log(&folder).contains("NOTHING IS RECORDED"), "{}", log(&folder));
    stop(server);
}

#[test]
fn a_disk_that_cannot_be_written_is_said() {
    let Some(folder) = with_a_small_disk("disk::a_disk_that_cannot_be_written_is_said") else { return };
    small_journal(&folder, "");
    let server = Server::try_start(&folder, 1).expect("it starts");
    let id = server.chat().expect("an answer");
    stop(server);
    let remount = |how: &str| {
        let done = Command::new("mount").args(["-o", how]).arg(folder.join("data")).status();
        assert!(done.is_ok_and(|status| status.success()), "{how}");
    };
    remount("remount,ro");
    let ended = Server::try_start(&folder, 1).err().expect("it does not start");
    assert_eq!(ended.code(), Some(74), "{}", log(&folder));
    assert!(log(&folder).contains("Read-only file system"), "{}", log(&folder));
    small_journal(&folder, "on_disk_error = \"continue\"\n");
    let server = Server::try_start(&folder, 1).unwrap_or_else(|_| panic!("{}", log(&folder)));
    server.chat().expect("it serves");
    assert!(log(&folder).contains("NOTHING IS RECORDED"), "{}", log(&folder));
    stop(server);
    // Nothing has become of what was there.
    remount("remount,rw");
    small_journal(&folder, "");
    let server = Server::try_start(&folder, 1).expect("it starts");
    assert_eq!(server.generation(&id)["id"], id.as_str());
    stop(server);
}
