//! The journals of a process in a temporary directory: opened, written, recovered, read and looked at.
//!
//! Deliberately absent: processes and kills (`tests/kill.rs`).

use std::borrow::Cow;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::*;
use crate::base::ids::GenerationId;
use crate::base::record::Usage;
use crate::base::time::UnixSeconds;
use crate::control::config::{self, Overrides, Sources};
use crate::control::journal::{Cursor, Recovered, Tail, read_node};
use crate::wire::journal::{Admit, Caller, Cost, Ending, Entry, Flags, Journal, Served, Settle, Source};

const SEGMENT: u64 = 1 << 20;

/// A data directory that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("millrace-journal-{}-{number}", std::process::id())))
    }

    fn config(&self, more: &str) -> Config {
        let text = format!("[ledger]\nsegment_bytes = {SEGMENT}\nsegments = 3\n{more}");
        let sources = Sources { environment: &|_| None, read_file: &|_| Ok(String::new()) };
        let overrides = Overrides { data_dir: Some(self.0.clone()), ..Overrides::default() };
        config::load(Some((Path::new("millrace.toml"), text.as_bytes())), overrides, sources).unwrap()
    }

    fn open(&self, cores: usize) -> Journals {
        open(&self.config(""), cores, |_| Sequence(0)).unwrap().expect("the ledger is on")
    }

    fn recovered(&self) -> Recovered {
        recover(&self.0, read_node(&self.0).unwrap(), Repair::No).unwrap()
    }

    fn verify(&self, path: &Path) -> (bool, String) {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let code = verify(&VerifyOptions { path: path.to_owned() }, &mut out, &mut errors);
        out.extend(errors);
        (code == std::process::ExitCode::SUCCESS, String::from_utf8(out).unwrap())
    }

    fn inspect(&self, json: bool, id: Option<&str>) -> String {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let options = InspectOptions { path: self.0.clone(), json, id: id.map(str::to_owned) };
        inspect(&options, &mut out, &mut errors);
        assert!(errors.is_empty(), "{}", String::from_utf8_lossy(&errors));
        String::from_utf8(out).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn id(word: u64) -> GenerationId {
    GenerationId::new(UnixSeconds(1), [word, word])
}

fn admit(word: u64) -> Admit<'static> {
    Admit {
        id: id(word),
        at: UnixSeconds(1_783_514_921),
        caller: Caller { key: "laptop", ..Caller::default() },
        served: Served { model: "acme/one", provider: "acme", endpoint: "acme/fp8", price_version: 1 },
        prompt_tokens: 10,
        most_completion_tokens: 20,
        reserved: 1_234_567,
    }
}

fn settle(word: u64) -> Settle<'static> {
    let Admit { id, at, caller, served, .. } = admit(word);
    Settle {
        id,
        upstream_id: "chatcmpl-1",
        at,
        caller,
        served,
        api: "chat.completions",
        ending: Ending::Complete,
        status: 200,
        fault: "",
        finish_reason: "stop",
        service_tier: "",
        flags: Flags::STREAMED,
        usage: Usage { prompt_tokens: 10, completion_tokens: 5, ..Usage::default() },
        source: Source::Reported,
        counted_tokens: 5,
        cost: Cost { total: 77, ..Cost::default() },
        answer_bytes: 100,
        first_byte_micros: 1,
        took_micros: 2,
        attempts: Cow::Borrowed(&[]),
    }
}

fn admit_each(journals: &mut Journals, core: usize, count: u64) {
    for word in 0..count {
        journals.writers[core].admit(&admit(word)).unwrap();
    }
}

/// What a tail hands out: core, sequence, and the id's word.
fn all(tail: &mut Tail, at_once: usize) -> Vec<(u16, u64)> {
    let mut read = Vec::new();
    loop {
        let count = tail
            .read(at_once, |core, sequence, entry| {
                let served = match entry {
                    Entry::Admit(admit) => admit.served,
                    Entry::Settle(settle) => settle.served,
                };
                assert_eq!(served.model, "acme/one");
                read.push((core, sequence.0));
            })
            .unwrap();
        if count < at_once {
            return read;
        }
    }
}

fn tail(journals: &Journals, cursors: &[Cursor]) -> Tail {
    Tail::open(journals.dir.path(), journals.dir.node(), &journals.marks, cursors).unwrap()
}

/// Everything on disk and in a ledger.
fn keep(journals: &Journals) {
    for marks in &journals.marks {
        marks.sync(marks.written());
        marks.fold(marks.written());
    }
}

#[test]
fn a_tail_hands_out_every_record_once_while_the_cores_write_and_recycle() {
    let folder = Folder::new();
    let mut journals = folder.open(2);
    let mut tail = tail(&journals, &[]);
    let mut seen = [0_u64; 2];
    let mut written = [0_u64; 2];
    for round in 0..400_u64 {
        for (core, written) in written.iter_mut().enumerate() {
            for word in 0..(round * 7 + core as u64) % 60 {
                journals.writers[core].admit(&admit(word)).expect("the ledger keeps up");
                *written = journals.writers[core].settle(&settle(word)).0;
                assert_eq!(journals.marks[core].written(), Sequence(*written));
            }
        }
        if round % 5 == 0 {
            for (core, sequence) in all(&mut tail, 1 + round as usize % 90) {
                let last = &mut seen[usize::from(core)];
                assert_eq!(sequence, *last + 1, "core {core}");
                *last = sequence;
            }
            assert_eq!(seen, written);
            for marks in &journals.marks {
                marks.sync(marks.written());
            }
            tail.cursors()
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|Cursor { core, last }| tail.folded(core, last));
        }
    }
    assert!(written[0] > 5 * SEGMENT / 256, "it went round: {written:?}");
    assert_eq!(tail.take_damages(), []);
}

/// Nobody's marks say where the records end: the pages must. A core without a record, and segments that were
/// begun and never filled, once held such a reader for ever.
#[test]
fn a_tail_in_another_process_ends_where_the_records_end() {
    let folder = Folder::new();
    for run in 1..=3 {
        let mut journals = folder.open(3);
        admit_each(&mut journals, 0, 4);
        if run == 2 {
            admit_each(&mut journals, 2, 4);
        }
        let mut tail = Tail::open(journals.dir.path(), journals.dir.node(), &[], &[]).unwrap();
        let (say, said) = std::sync::mpsc::channel();
        std::thread::spawn(move || say.send(all(&mut tail, 1_000)));
        let read = said.recv_timeout(Duration::from_secs(10)).expect("it ends");
        let of = |core| read.iter().filter(|(own, _)| *own == core).count() as u64;
        assert_eq!([of(0), of(1), of(2)], [run * 4, 0, if run == 1 { 0 } else { 4 }], "run {run}");
    }
}

#[test]
fn a_tail_goes_on_behind_its_cursor_in_the_next_run() {
    let folder = Folder::new();
    let mut journals = folder.open(2);
    // More than one segment.
    for word in 0..2_500 {
        journals.writers[0].admit(&admit(word)).unwrap();
        journals.writers[0].settle(&settle(word));
    }
    admit_each(&mut journals, 1, 10);
    let written = journals.marks[0].written().0;
    assert!(written * 250 > SEGMENT, "{written}");
    drop(journals);
    // Fewer cores than before: what the others have written is read all the same.
    let journals = folder.open(1);
    for at in [0, 1, 9, written / 2, written - 1, written] {
        let cursors = [Cursor { core: 0, last: Sequence(at) }, Cursor { core: 1, last: Sequence(3) }];
        let mut tail = tail(&journals, &cursors);
        let read = all(&mut tail, 1_000);
        let wanted: Vec<(u16, u64)> = (at + 1..=written)
            .map(|sequence| (0, sequence))
            .chain((4..=10).map(|sequence| (1, sequence)))
            .collect();
        let mut sorted = read.clone();
        sorted.sort_unstable();
        assert!(sorted == wanted, "behind {at}: {} records of {}", read.len(), wanted.len());
        assert_eq!(tail.take_damages(), []);
    }
}

#[test]
fn a_second_process_and_a_bad_directory_are_refused_in_words() {
    let folder = Folder::new();
    let first = folder.open(1);
    let refused = |config: &Config| open(config, 1, |_| Sequence(0)).expect_err("refused");
    let said = refused(&folder.config(""));
    assert!(said.contains("another Millrace") && said.contains("--data-dir"), "{said}");
    // That is not a matter of the disk.
    let said = refused(&folder.config("on_disk_error = \"continue\"\n"));
    assert!(said.contains("another Millrace"), "{said}");
    drop(first);
    drop(folder.open(1));

    let below_a_file = |more: &str| {
        let mut config = folder.config(more);
        config.ledger.data_dir = Some(folder.0.join("node/below"));
        config
    };
    let said = refused(&below_a_file(""));
    assert!(said.contains("node/below") && said.contains("--data-dir"), "{said}");
    let without = open(&below_a_file("on_disk_error = \"continue\"\n"), 1, |_| Sequence(0));
    assert!(matches!(without, Ok(None)), "it serves, and nothing is recorded");

    let mut nowhere = folder.config("");
    nowhere.ledger.data_dir = None;
    assert!(refused(&nowhere).contains("--data-dir"));
    nowhere.ledger.enabled = false;
    assert!(matches!(open(&nowhere, 1, |_| Sequence(0)), Ok(None)));

    fs::write(folder.0.join("node"), "not a name").unwrap();
    assert!(refused(&folder.config("")).contains("32 hexadecimal digits"));
}

#[test]
fn a_disk_without_room_is_named_with_what_is_needed() {
    let folder = Folder::new();
    let mut config = folder.config("");
    // More than any disk has.
    config.ledger.segment_bytes = 1 << 55;
    let said = open(&config, 1, |_| Sequence(0)).expect_err("refused");
    let needed = ((1_u64 << 55) * 3).to_string();
    assert!(said.contains(&needed) && said.contains("are free") && said.contains("0.mrj"), "{said}");
    // The next start with less finds nothing in its way.
    drop(folder.open(1));
}

#[test]
fn segments_change_their_size_when_nothing_is_lost_with_them() {
    let folder = Folder::new();
    let mut journals = folder.open(1);
    journals.writers[0].admit(&admit(1)).unwrap();
    drop(journals);
    let mut config = folder.config("");
    config.ledger.segment_bytes *= 2;
    let sizes =
        || -> Vec<u64> { folder.recovered().core(0).unwrap().slots.iter().map(|slot| slot.bytes).collect() };
    drop(open(&config, 1, |_| Sequence(0)).unwrap());
    assert_eq!(sizes(), [SEGMENT, 2 * SEGMENT, 2 * SEGMENT], "the first one holds a record");
    let mut journals = open(&config, 1, |_| Sequence(1)).unwrap().unwrap();
    assert_eq!(sizes(), [2 * SEGMENT; 3], "the ledger has it");
    assert_eq!(journals.writers[0].admit(&admit(2)), Ok(Sequence(2)), "sequences go on");
}

#[test]
fn damage_is_reported_kept_aside_and_read_around() {
    let folder = Folder::new();
    let mut journals = folder.open(1);
    admit_each(&mut journals, 0, 20);
    drop(journals);
    let (is_sound, said) = folder.verify(&folder.0);
    assert!(is_sound && said.contains("20 records, 1 to 20"), "{said}");
    let path = slot_path(&folder.0, 0, 0);
    let end = folder.recovered().core(0).unwrap().slots[0].end;
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    // A record in the middle, and the tail.
    file.write_all_at(b"damage", 4096 + 3 * 180).unwrap();
    file.write_all_at(b"damage", end - 40).unwrap();
    for path in [&folder.0, &path] {
        let (is_sound, said) = folder.verify(path);
        assert!(!is_sound && said.matches("DAMAGED").count() == 2, "{said}");
        assert!(said.contains("1 record is lost here") && said.contains("were cut"), "{said}");
    }
    let mut journals = folder.open(1);
    let copies: Vec<String> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|child| child.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("0.mrj.damaged-"))
        .collect();
    assert_eq!(copies.len(), 1);
    assert_eq!(journals.writers[0].admit(&admit(9)), Ok(Sequence(20)), "behind the last good one");
    let mut tail = tail(&journals, &[]);
    let read: Vec<u64> = all(&mut tail, 100).into_iter().map(|(_, sequence)| sequence).collect();
    assert_eq!(read.len(), 19, "{read:?}");
    assert!(read.is_sorted() && read.last() == Some(&20), "{read:?}");
    assert_eq!(tail.take_damages().len(), 1, "the middle");
    assert!(folder.inspect(false, None).contains("DAMAGED"));
}

#[test]
fn a_page_that_is_gone_loses_no_record() {
    let folder = Folder::new();
    let mut journals = folder.open(1);
    admit_each(&mut journals, 0, 20);
    drop(journals);
    let path = slot_path(&folder.0, 0, 0);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 4096], 0).unwrap();
    assert!(!folder.verify(&folder.0).0);
    let mut journals = folder.open(1);
    assert_eq!(journals.writers[0].admit(&admit(9)), Ok(Sequence(21)));
    assert_eq!(all(&mut tail(&journals, &[]), 7).len(), 21);
}

#[test]
fn a_file_of_somebody_else_is_put_aside() {
    let (folder, other) = (Folder::new(), Folder::new());
    drop(folder.open(1));
    let mut journals = other.open(1);
    journals.writers[0].admit(&admit(1)).unwrap();
    drop(journals);
    fs::copy(slot_path(&other.0, 0, 0), slot_path(&folder.0, 0, 1)).unwrap();
    assert!(folder.verify(&folder.0).1.contains("another installation"));
    let mut journals = folder.open(1);
    assert_eq!(journals.writers[0].admit(&admit(1)), Ok(Sequence(1)));
    let names = fs::read_dir(folder.0.join("journal/core-0")).unwrap();
    assert_eq!(names.filter(|name| format!("{name:?}").contains("1.mrj.damaged-")).count(), 1);
}

#[test]
fn a_disk_that_does_not_take_records_refuses_requests_until_it_does() {
    let folder = Folder::new();
    let mut journals = folder.open(1);
    let failing = Arc::new(Mutex::new(false));
    let told = Arc::new(Mutex::new(0));
    let syncer = |journals: &mut Journals, on_error| {
        let (flag, told) = (Arc::clone(&failing), Arc::clone(&told));
        let files = std::mem::take(&mut journals.files);
        let heard = move |_| {
            *told.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            true
        };
        Syncer::new(files, on_error, heard).unwrap().with_flush(move |file| {
            let fails = *flag.lock().unwrap_or_else(PoisonError::into_inner);
            if fails { Err(io::Error::from_raw_os_error(5)) } else { file.sync_data() }
        })
    };
    let set = |fails| *failing.lock().unwrap() = fails;
    let mut refusing = syncer(&mut journals, OnDiskError::Refuse);
    let (marks, writer) = (Arc::clone(&journals.marks[0]), &mut journals.writers[0]);
    let mut now = Instant::now();
    writer.admit(&admit(1)).unwrap();
    assert!(refusing.round(now) && marks.synced() == Sequence(1));
    set(true);
    writer.admit(&admit(2)).unwrap();
    assert!(!refusing.round(now));
    assert_eq!(
        (marks.synced(), marks.sync_failures(), writer.admit(&admit(3)).is_err()),
        (Sequence(1), 1, true)
    );
    // Not before some time has passed, and then what was written is written again.
    set(false);
    assert!(!refusing.round(now));
    now += Duration::from_secs(1);
    assert!(refusing.round(now));
    assert_eq!((marks.synced(), marks.sync_failures()), (Sequence(2), 1));
    assert_eq!(writer.admit(&admit(3)), Ok(Sequence(3)));
    assert_eq!(*told.lock().unwrap(), 3);
    assert_eq!(folder.recovered().records(), 3);
    drop(journals);

    let mut journals = folder.open(1);
    let mut continuing = syncer(&mut journals, OnDiskError::Continue);
    set(true);
    journals.writers[0].admit(&admit(4)).unwrap();
    assert!(!continuing.round(now));
    assert_eq!(journals.marks[0].synced(), Sequence(4), "whoever waits goes on");
    assert_eq!(journals.writers[0].admit(&admit(5)), Ok(Sequence(5)));
    keep(&journals);
}

#[test]
fn records_are_shown_as_a_table_and_as_json() {
    let folder = Folder::new();
    let mut journals = folder.open(1);
    admit_each(&mut journals, 0, 3);
    let unbounded = Admit { most_completion_tokens: 0, ..admit(3) };
    journals.writers[0].admit(&unbounded).unwrap();
    journals.writers[0].settle(&settle(3));
    let table = folder.inspect(false, None);
    for line in [
        "acme/one at acme/fp8, 10 + 20 tokens at most, $0.000001234567 reserved\n",
        "acme/one at acme/fp8, 10 tokens and an answer of any length, $0.000001234567 reserved\n",
        "acme/one at acme/fp8, complete, status 200, 10 + 5 tokens (reported), $0.000000000077, 0 attempts\n",
    ] {
        assert!(table.contains(line), "{table}");
    }
    assert_eq!(table.lines().count(), 6);
    let one = id(1);
    let json = folder.inspect(true, Some(one.as_str()));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["id"], &value["sequence"]), (&one.as_str().into(), &2.into()));
    assert_eq!((&value["reserved"], &value["key"]), (&1_234_567.into(), &"laptop".into()));
    let (is_sound, said) = folder.verify(&folder.0.join("nowhere"));
    assert!(!is_sound && said.contains("nowhere"), "{said}");
}
