//! `kill -9` at every point of a request's life: what was acknowledged is there, and what was admitted is
//! accounted for.
//!
//! A child (this binary again) writes a journal as a worker does, with the thread that syncs and a fold that
//! recycles, and notes in a file of its own what it was told is written. It is killed at a point that the
//! seed decides: standing at a step, or at full speed. Then its journal is opened as a start does. The fold
//! is the real one, into SQLite, where a kill is to meet it and with every tenth seed elsewhere; with the
//! others a file stands in for the database, since the journal's side needs many records and no rows.
//! Deliberately absent: loss of power (damaged files are in `app/journal/tests`).

#[path = "kill/cancelled.rs"]
mod cancelled;
#[path = "kill/days.rs"]
mod days;
#[path = "kill/disk.rs"]
mod disk;
#[path = "kill/folder.rs"]
mod folder;
#[path = "kill/ledger.rs"]
mod ledger;
#[path = "kill/server.rs"]
mod server;
#[path = "kill/strict.rs"]
mod strict;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use folder::Folder;
use millrace::app::journal::{Journals, open};
use millrace::base::ids::GenerationId;
use millrace::base::record::Usage;
use millrace::base::time::UnixSeconds;
use millrace::control::config::{self, Config, Overrides, Sources};
use millrace::control::journal::{Cursor, OnDiskError, Syncer, Tail};
use millrace::wire::journal::{
    Admit, Caller, Cost, Ending, Entry, Flags, Journal, Sequence, Served, Settle, Source,
};

/// Seeds per point; `MILLRACE_KILL_SEEDS` for more.
const SEEDS: u64 = 100;
/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// Names the point, the seed and the directory to a child.
const CHILD: &str = "MILLRACE_KILL_CHILD";

/// Where a child is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// Standing, before it is admitted.
    BeforeAdmit,
    /// Standing, admitted, and nobody told.
    AfterAdmit,
    /// At full speed, with requests under way.
    MidStream,
    /// Standing, before it is settled.
    BeforeSettle,
    /// Standing, settled, and nobody told.
    AfterSettle,
    /// While records become rows: in a transaction, before and after its commit, or wherever it is.
    MidFold,
    /// When the next segment is begun, or soon after.
    MidRecycle,
    /// While the disk is told.
    MidSync,
}

const POINTS: [Point; 8] = [
    Point::BeforeAdmit,
    Point::AfterAdmit,
    Point::MidStream,
    Point::BeforeSettle,
    Point::AfterSettle,
    Point::MidFold,
    Point::MidRecycle,
    Point::MidSync,
];

/// splitmix64.
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.word() % bound
    }
}

fn ledger_config(folder: &Path) -> Config {
    let text = "[ledger]\nsegment_bytes = 1048576\nsegments = 2\n";
    let sources = Sources { environment: &|_| None, read_file: &|_| Ok(String::new()) };
    let overrides = Overrides { data_dir: Some(folder.join("data")), ..Overrides::default() };
    config::load(Some((Path::new("millrace.toml"), text.as_bytes())), overrides, sources)
        .expect("it is right")
}

fn id(word: u64) -> GenerationId {
    // 60 bits of a word are in an id.
    GenerationId::new(UnixSeconds(word), [word, word])
}

fn admit(word: u64) -> Admit<'static> {
    Admit {
        id: id(word),
        at: UnixSeconds(word),
        caller: Caller { key: "laptop", team: "search", ..Caller::default() },
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
        upstream_id: "chatcmpl-123456789",
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
        usage: Usage { prompt_tokens: 10, completion_tokens: word, ..Usage::default() },
        source: Source::Reported,
        counted_tokens: 5,
        cost: Cost { total: word as i64, ..Cost::default() },
        answer_bytes: 100,
        first_byte_micros: 1,
        took_micros: 2,
        attempts: Vec::new().into(),
    }
}

/// Notes of 16 bytes in a file: a kind or a sequence, and a request's number.
fn note(file: &mut File, what: u64, word: u64) {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&what.to_le_bytes());
    bytes[8..].copy_from_slice(&word.to_le_bytes());
    file.write_all(&bytes).expect("a note");
}

fn notes(path: &Path) -> Vec<(u64, u64)> {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    let bytes = fs::read(path).unwrap_or_default();
    bytes.chunks_exact(16).map(|note| (number(&note[..8]), number(&note[8..]))).collect()
}

const ADMITTED: u64 = 1;
const SETTLED: u64 = 2;

/// Tells the parent that the point is reached.
fn reached() {
    let _ = std::io::stderr().write_all(b"!");
}

/// Stands still until it is killed.
fn stand() -> ! {
    reached();
    loop {
        thread::park_timeout(PATIENCE);
    }
}

/// The child's life; in a test run of its own it is nothing.
#[test]
fn child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let mut told = told.splitn(3, ':');
    let mut next = || told.next().expect("point, seed and directory");
    let point = POINTS[next().parse::<usize>().expect("a number")];
    let (seed, folder) = (next().parse().expect("a number"), PathBuf::from(next()));
    live(point, seed, &folder);
}

fn live(point: Point, seed: u64, folder: &Path) {
    let mut random = Random(seed);
    let journals = open(&ledger_config(folder), 1, |_| Sequence(0)).expect("it opens").expect("it is on");
    let Journals { dir, marks, mut writers, files } = journals;
    let mut writer = writers.remove(0);
    let far = if ledger::is_real(point, seed) { 500 } else { 4_000 };
    let most = if random.below(4) == 0 { far } else { 40 };
    let steps = 1 + random.below(most);
    // In the midst of the disk being told: before, while, or after it was.
    let (sync_steps, sync_place) = (random.below(8), random.below(3));
    let rounds = AtomicU64::new(0);
    let syncer = Syncer::new(files, OnDiskError::Refuse, |_| true).expect("files").with_flush(move |file| {
        let is_it = point == Point::MidSync && rounds.fetch_add(1, Ordering::Relaxed) == sync_steps;
        match sync_place {
            0 if is_it => stand(),
            1 if is_it => reached(),
            _ => {}
        }
        let done = file.sync_data();
        if is_it && sync_place == 2 {
            stand();
        }
        done
    });
    thread::spawn(move || syncer.run(Duration::from_micros(500), &AtomicBool::new(false)));
    let mut most_requests = u64::MAX;
    let _keeper = if ledger::is_real(point, seed) {
        let (keeper, most) = ledger::keep(point, &mut random, folder, (dir.path(), dir.node(), &marks));
        most_requests = most;
        Some(keeper)
    } else {
        let tail = Tail::open(dir.path(), dir.node(), &marks, &[]).expect("a tail");
        let folds = folder.join("folds");
        thread::spawn(move || fold(tail, &folds));
        None
    };
    if point == Point::MidRecycle {
        let marks = marks[0].clone();
        let turns = 1 + random.below(8) / 6;
        thread::spawn(move || {
            let mut slot = marks.place().slot;
            for _ in 0..turns {
                while marks.place().slot == slot {
                    std::hint::spin_loop();
                }
                slot = marks.place().slot;
            }
            reached();
        });
    }
    if point == Point::MidStream {
        reached();
    }
    write(point, &mut writer, (&mut random, steps, most_requests), &folder.join("acks"));
}

/// Requests one after the other and side by side, until it is killed. What is noted was told to be written.
fn write(
    point: Point,
    writer: &mut impl Journal,
    (random, steps, most): (&mut Random, u64, u64),
    acks: &Path,
) {
    let mut acks = OpenOptions::new().create(true).append(true).open(acks).expect("a file for notes");
    let mut under_way = Vec::new();
    let (mut admitted, mut settled) = (0, 0);
    let give_up = Instant::now() + PATIENCE;
    while Instant::now() < give_up {
        if admitted >= most {
            // Slowly from here on: rows take more time than records.
            thread::sleep(Duration::from_millis(1));
        }
        if under_way.len() < 8 && random.below(2) == 0 {
            if point == Point::BeforeAdmit && admitted == steps {
                stand();
            }
            if writer.admit(&admit(admitted + 1)).is_err() {
                thread::yield_now();
                continue;
            }
            admitted += 1;
            if point == Point::AfterAdmit && admitted == steps {
                stand();
            }
            note(&mut acks, ADMITTED, admitted);
            under_way.push(admitted);
        } else if !under_way.is_empty() {
            let word = under_way.swap_remove(random.below(under_way.len() as u64) as usize);
            if point == Point::BeforeSettle && settled == steps {
                stand();
            }
            writer.settle(&settle(word));
            settled += 1;
            if point == Point::AfterSettle && settled == steps {
                stand();
            }
            note(&mut acks, SETTLED, word);
        }
    }
}

/// What the ledger does, with a file in its database's place: notes what it reads, and then lets it go.
fn fold(mut tail: Tail, folds: &Path) {
    let mut folds = OpenOptions::new().create(true).append(true).open(folds).expect("a file for notes");
    let mut steps = 0;
    loop {
        let count = tail.read(1 + steps as usize % 97, |_, sequence, entry| {
            note(&mut folds, sequence.0, said(entry));
        });
        steps += 1;
        let cursors: Vec<Cursor> = tail.cursors().collect();
        cursors.into_iter().for_each(|Cursor { core, last }| tail.folded(core, last));
        assert_eq!(tail.take_damages(), []);
        if count.expect("the journal is read") == 0 {
            thread::park_timeout(Duration::from_micros(100));
        }
    }
}

/// A record in one number: the request's, and whether it is settled.
fn said(entry: &Entry<'_>) -> u64 {
    match entry {
        Entry::Admit(admit) => admit.at.0 << 1,
        Entry::Settle(settle) => {
            assert_eq!((settle.cost.total as u64, settle.id), (settle.at.0, id(settle.at.0)));
            settle.at.0 << 1 | 1
        }
    }
}

/// One killed child, judged.
#[derive(Default)]
struct Outcome {
    records: u64,
    lost: Vec<String>,
    unaccounted: Vec<String>,
    /// Admitted and not settled.
    open: u64,
}

fn kill_one(point: usize, seed: u64) -> Outcome {
    let folder = if POINTS[point] == Point::MidSync { Folder::new() } else { Folder::in_memory() };
    let mut child = Command::new(std::env::current_exe().expect("our own path"))
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{point}:{seed}:{}", folder.0.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let mut said = [0];
    let mut stderr = child.stderr.take().expect("piped");
    let heard = stderr.read_exact(&mut said);
    if matches!(POINTS[point], Point::MidStream | Point::MidFold | Point::MidRecycle | Point::MidSync) {
        let until = Instant::now() + Duration::from_micros(Random(seed ^ 0xdead).below(3_000));
        while Instant::now() < until {
            thread::yield_now();
        }
    }
    child.kill().expect("kill -9");
    child.wait().expect("its end");
    if heard.is_err() || said != *b"!" {
        let mut more = String::new();
        let _ = stderr.read_to_string(&mut more);
        panic!("{:?} seed {seed}: the child failed: {}{more}", POINTS[point], String::from_utf8_lossy(&said));
    }
    if ledger::is_real(POINTS[point], seed) { ledger::judge(&folder.0) } else { judge(&folder.0) }
}

/// Opens what the child has left as a start does, and holds it against what the child was told.
fn judge(folder: &Path) -> Outcome {
    let folds = notes(&folder.join("folds"));
    let cursor = folds.last().map_or(0, |(sequence, _)| *sequence);
    let journals =
        open(&ledger_config(folder), 1, |_| Sequence(cursor)).expect("it opens").expect("it is on");
    let cursors = [Cursor { core: 0, last: Sequence(cursor) }];
    let (dir, marks) = (&journals.dir, &journals.marks);
    let mut tail = Tail::open(dir.path(), dir.node(), marks, &cursors).expect("a tail");
    let mut all: Vec<(u64, u64)> = folds;
    while tail.read(1_000, |_, sequence, entry| all.push((sequence.0, said(entry)))).expect("it is read") > 0
    {
    }
    let mut outcome =
        Outcome { records: all.len() as u64, lost: Vec::new(), unaccounted: Vec::new(), open: 0 };
    let damages = tail.take_damages();
    outcome.unaccounted.extend(damages.iter().map(|damage| format!("damage: {damage}")));
    let gaps = all.windows(2).filter(|pair| pair[1].0 != pair[0].0 + 1);
    outcome.unaccounted.extend(gaps.map(|pair| format!("after {} comes {}", pair[0].0, pair[1].0)));
    if all.first().is_some_and(|(first, _)| *first != 1) {
        outcome.lost.push(format!("the first record is {}", all[0].0));
    }
    let mut states: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
    for (_, said) in &all {
        let (admits, settles) = states.entry(said >> 1).or_default();
        if said & 1 == 0 { *admits += 1 } else { *settles += 1 }
    }
    let odd = states.iter().filter(|(_, (admits, settles))| *admits != 1 || *settles > 1);
    outcome.unaccounted.extend(odd.map(|(word, counts)| format!("request {word}: {counts:?}")));
    outcome.open = states.values().filter(|(_, settles)| *settles == 0).count() as u64;
    for (kind, word) in notes(&folder.join("acks")) {
        let state = states.get(&word).copied().unwrap_or_default();
        let is_there = if kind == ADMITTED { state.0 == 1 } else { state.1 == 1 };
        if !is_there {
            outcome
                .lost
                .push(format!("request {word}, {}", if kind == ADMITTED { "admit" } else { "settle" }));
        }
    }
    // And it goes on, behind everything.
    let mut journals = journals;
    let last = all.last().map_or(0, |(sequence, _)| *sequence);
    let next = journals.writers[0].admit(&admit(1));
    if next.is_ok_and(|next| next != Sequence(last + 1)) {
        outcome.unaccounted.push(format!("it goes on with {next:?} behind {last}"));
    }
    outcome
}

/// The table, and the seeds it stands for.
fn print(outcomes: &[(usize, u64, Outcome)], seeds: u64, took: Duration) {
    // Written, not printed: it is to be seen when the test passes, too.
    let mut out = std::io::stderr().lock();
    let list: Vec<String> = (0..seeds).map(|seed| seed.to_string()).collect();
    let _ = writeln!(out, "seeds of each point: {}", list.join(" "));
    let _ = writeln!(
        out,
        "{:<14}{:>6}{:>10}{:>6}{:>10}{:>6}{:>13}",
        "killed", "kills", "in SQLite", "open", "records", "lost", "unaccounted"
    );
    let line = |out: &mut std::io::StderrLock<'_>, name: &str, own: &[&(usize, u64, Outcome)]| {
        let sum = |of: fn(&Outcome) -> u64| own.iter().map(|(.., outcome)| of(outcome)).sum::<u64>();
        let real = own.iter().filter(|(point, seed, _)| ledger::is_real(POINTS[*point], *seed)).count();
        let _ = writeln!(
            out,
            "{name:<14}{:>6}{real:>10}{:>6}{:>10}{:>6}{:>13}",
            own.len(),
            sum(|outcome| outcome.open),
            sum(|outcome| outcome.records),
            sum(|outcome| outcome.lost.len() as u64),
            sum(|outcome| outcome.unaccounted.len() as u64),
        );
    };
    for (number, point) in POINTS.iter().enumerate() {
        let own: Vec<_> = outcomes.iter().filter(|(point, ..)| *point == number).collect();
        line(&mut out, &format!("{point:?}"), &own);
    }
    line(&mut out, "all", &outcomes.iter().collect::<Vec<_>>());
    let _ = writeln!(out, "in {:.1} s", took.as_secs_f64());
}

#[test]
fn nothing_is_lost_wherever_it_is_killed() {
    let seeds = std::env::var("MILLRACE_KILL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    let began = Instant::now();
    let turns = AtomicU64::new(0);
    let outcomes: Mutex<Vec<(usize, u64, Outcome)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from).clamp(4, 8) {
            scope.spawn(|| {
                loop {
                    let turn = turns.fetch_add(1, Ordering::Relaxed);
                    let (point, seed) = ((turn % POINTS.len() as u64) as usize, turn / POINTS.len() as u64);
                    if seed >= seeds {
                        return;
                    }
                    let outcome = kill_one(point, seed);
                    outcomes.lock().expect("no judge panicked").push((point, seed, outcome));
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().expect("no judge panicked");
    print(&outcomes, seeds, began.elapsed());
    for (point, seed, Outcome { lost, unaccounted, .. }) in &outcomes {
        assert!(
            lost.is_empty() && unaccounted.is_empty(),
            "{:?} seed {seed}: lost {lost:?}, unaccounted {unaccounted:?}",
            POINTS[*point]
        );
    }
    assert_eq!(outcomes.len() as u64, seeds * POINTS.len() as u64);
    // Points that were meant to be met were: requests were under way, and files went round.
    assert!(outcomes.iter().any(|(.., outcome)| outcome.open > 1));
    assert!(outcomes.iter().any(|(.., outcome)| outcome.records > 5_000));
}
