//! The state machine against virtual clients and origins: every case of `tests/cases`, whole and cut at
//! every byte, and thousands of random scenarios. `MILLRACE_SEEDS` says how many (from seed 0),
//! `MILLRACE_SEED` runs one alone and prints what happened, `MILLRACE_CASE` runs the cases whose name
//! contains it. A failing seed prints as the text of a case.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use millrace::base::record::Billed;
use millrace::exchange::sim::ledger::Settled;
use millrace::exchange::sim::{Case, Cut, Random, Report, Tuning, World, generate, laws, verify};
use millrace::wire::journal::{Ending, Flags, Source};

/// Random scenarios in one run of the test.
const SEEDS: u64 = 3_000;
/// Times that each case is run with every choice left to chance.
const SHUFFLES: u64 = 20;
/// A case of up to this many bytes is small: it is cut at every one of them.
const SMALL_BYTES: usize = 3_000;
/// A longer one is cut at so many places only, since each run takes longer.
const CUTS_OF_LONG: usize = 6;

/// Runs once; a panic is a failure like any other.
fn run(case: &Case, seed: u64, cut: Cut, log: Option<Rc<RefCell<Vec<String>>>>) -> Result<Report, String> {
    let tuning = Tuning { seed, cut, log };
    catch_unwind(AssertUnwindSafe(|| World::new(case, tuning).run())).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

fn judge(case: &Case, seed: u64, cut: Cut, log: Option<Rc<RefCell<Vec<String>>>>) -> Result<Report, String> {
    let report = run(case, seed, cut, log)?;
    laws(case, &report)?;
    verify_if_asked(case, &report)?;
    Ok(report)
}

fn verify_if_asked(case: &Case, report: &Report) -> Result<(), String> {
    if case.expect.is_empty() { Ok(()) } else { verify(case, report) }
}

/// Runs, and on failure once more with a transcript.
fn check(name: &str, case: &Case, text: &str, seed: u64, cut: Cut) -> Result<Report, String> {
    judge(case, seed, cut, None)
        .map_err(|why| format!("{text}\n{}\n--- {name}, {cut:?}: {why}", transcript(case, seed, cut)))
}

/// Hedges that served the answer, and hedges that did not.
fn hedges(report: &Report) -> [usize; 2] {
    let records = report.clients.iter().flat_map(|client| &client.records);
    let attempts = records.flat_map(|record| record.attempts.iter());
    attempts.filter(|attempt| attempt.hedged).fold([0, 0], |mut counts, attempt| {
        counts[usize::from(attempt.fault.is_some())] += 1;
        counts
    })
}

fn transcript(case: &Case, seed: u64, cut: Cut) -> String {
    let log = Rc::new(RefCell::new(Vec::new()));
    let _ = judge(case, seed, cut, Some(Rc::clone(&log)));
    let lines = log.borrow();
    lines[lines.len().saturating_sub(150)..].join("\n")
}

fn case_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = std::fs::read_dir(folder).expect("the folder of cases");
    let entries = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "case")).collect();
    files.sort();
    files
}

/// Where to cut `len` bytes.
fn cuts(len: usize, small: bool) -> impl Iterator<Item = usize> {
    (1..len).step_by(if small { 1 } else { 1 + len / CUTS_OF_LONG })
}

fn check_case(name: &str, text: &str) -> Result<(), String> {
    let case = Case::parse(text).map_err(|why| format!("{name}: {why}"))?;
    check(name, &case, text, 1, Cut::Whole)?;
    let bytes = case.client_bytes() + case.origin_bytes();
    let small = bytes <= SMALL_BYTES;
    if bytes < 20_000 {
        check(name, &case, text, 1, Cut::Drip)?;
    }
    // In any other order the outcome may be another one, but the laws hold.
    let bare = Case { expect: Vec::new(), ..case.clone() };
    for seed in 0..SHUFFLES {
        check(name, &bare, text, seed, Cut::Random)?;
    }
    for at in cuts(case.client_bytes(), small) {
        check(name, &case, text, 1, Cut::Client(at))?;
    }
    for at in cuts(case.origin_bytes(), small) {
        check(name, &case, text, 1, Cut::Origin(at))?;
    }
    Ok(())
}

#[test]
fn every_case_whole_and_cut_at_every_byte() {
    let only = std::env::var("MILLRACE_CASE").ok();
    let files = case_files();
    assert!(files.len() > 50, "{} cases found", files.len());
    // Cases know nothing of each other, so each core takes the next one.
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if only.as_ref().is_some_and(|only| !name.contains(only)) {
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let begun = Instant::now();
            if let Err(why) = check_case(&name, &text) {
                wrong.lock().unwrap().push(why);
            }
            if begun.elapsed().as_secs() >= 3 {
                println!("{name} took {:.1} s", begun.elapsed().as_secs_f64());
            }
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} cases fail:\n{}", wrong.len(), wrong.join("\n\n"));
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What a settlement may say.
type Says = fn(&Settled) -> bool;

/// Settlements that random scenarios must have come to, by what they say.
const SETTLEMENTS: [(&str, Says); 7] = [
    ("failed", |one| one.ending == Ending::Failed),
    ("cut and estimated", |one| one.ending == Ending::Cut && is_estimated(one)),
    ("gone and estimated", |one| one.ending == Ending::ClientGone && is_estimated(one)),
    ("gone before the answer", |one| one.ending == Ending::ClientGone && one.status == 0),
    ("drained", |one| one.flags.has(Flags::DRAINED)),
    ("unpriced", |one| one.flags.has(Flags::UNPRICED)),
    ("of several attempts", |one| one.attempts.len() > 2),
];

fn is_estimated(settle: &Settled) -> bool {
    settle.attempts.last().is_some_and(|last| last.billed == Billed::Estimated)
}

#[test]
fn random_scenarios_keep_the_laws() {
    let one = number("MILLRACE_SEED");
    let seeds = one.map_or(0..number("MILLRACE_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let (mut wrong, mut races, mut settled) = (Vec::new(), [0, 0], [0; SETTLEMENTS.len()]);
    let enough = seeds.end - seeds.start >= SEEDS;
    for seed in seeds {
        let text = generate::case(seed);
        let case = Case::parse(&text).unwrap_or_else(|why| panic!("seed {seed}: {why}\n{text}"));
        match check(&format!("seed {seed}"), &case, &text, seed, Cut::Random) {
            Ok(report) => {
                races.iter_mut().zip(hedges(&report)).for_each(|(sum, count)| *sum += count);
                for (sum, (_, is)) in settled.iter_mut().zip(SETTLEMENTS) {
                    *sum += report.settles.iter().filter(|one| is(one)).count();
                }
            }
            Err(why) => wrong.push(why),
        }
        if one.is_some() {
            println!("{text}\n{}", transcript(&case, seed, Cut::Random));
        }
    }
    // What never happens here is not proven here.
    println!("hedges: {races:?} won and lost");
    for ((name, _), count) in SETTLEMENTS.iter().zip(settled) {
        println!("{name}: {count} settlements");
        assert!(!enough || count > 30, "too few settlements that are {name}: {count}");
    }
    assert!(!enough || races.iter().all(|count| *count > 30), "too few races: {races:?}");
    let shown = wrong.len().min(10);
    assert!(wrong.is_empty(), "{} seeds fail; some:\n{}", wrong.len(), wrong[..shown].join("\n\n"));
}

/// Streams that are left by their clients at random points.
const LEFT_STREAMS: usize = 10_000;
/// Of one world.
const STREAMS_AT_ONCE: usize = 50;

/// The text of a case: streams of words, each of which its client leaves some time after it has begun.
fn left_streams(random: &mut Random) -> String {
    let mut text = "[config]\nmodel m = a/x\nprice a 100 1000\n".to_owned();
    for turn in 0..STREAMS_AT_ONCE {
        let leave = random.pick(&["leave", "leave", "reset"]);
        text.push_str(&format!(
            "[client]\nwait {turn}s\npost /v1/chat/completions {{\"model\":\"m\",\"stream\":true}}\n\
             until data\nwait {}us\n{leave}\n",
            random.below(90_000)
        ));
    }
    for _ in 0..STREAMS_AT_ONCE {
        text.push_str("[origin a]\nhead 200 events chunked\n");
        for _ in 0..30 {
            text.push_str("event {\"choices\":[{\"delta\":{\"content\":\" word\"}}]}\n");
            text.push_str(&format!("wait {}us\n", 1 + random.below(4_000)));
        }
        text.push_str("wait 600s\n");
    }
    text
}

/// Bytes of the words in a stream as far as the router has received it.
fn words_received(report: &Report, client: usize) -> usize {
    let attempt = report.attempts.iter().find(|attempt| attempt.client == client).expect("it was asked");
    let body = attempt.answer.as_ref().map(|answer| String::from_utf8_lossy(&answer.body).into_owned());
    let body = body.unwrap_or_default();
    body.split("\n\n")
        .filter_map(|event| event.strip_prefix("data: ")?.split("\"content\":\"").nth(1)?.split('"').next())
        .map(str::len)
        .sum()
}

#[test]
fn streams_left_at_random_points_are_all_settled_and_estimated() {
    let (mut settled, mut tokens, mut bytes) = (0, 0, 0);
    for seed in 0..(LEFT_STREAMS / STREAMS_AT_ONCE) as u64 {
        let text = left_streams(&mut Random::new(seed));
        let case = Case::parse(&text).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        let report = check(&format!("seed {seed}"), &case, &text, seed, Cut::Whole)
            .unwrap_or_else(|why| panic!("{why}"));
        for (index, client) in report.clients.iter().enumerate() {
            let id = client.records[0].id;
            let settle = report.settles.iter().find(|one| one.id == id.as_str()).expect("a settlement");
            assert_eq!(settle.ending, Ending::ClientGone, "seed {seed}, client {index}");
            assert!(matches!(settle.source, Source::Counted | Source::Bytes), "seed {seed}: {settle:?}");
            assert!(is_estimated(settle), "seed {seed}: {settle:?}");
            let (came, counted) = (words_received(&report, index), settle.usage.completion_tokens as usize);
            assert!(came > 0, "seed {seed}: nothing came");
            // A word with its blank is five bytes and one token; by its bytes alone it is one and a quarter.
            let words = came.div_ceil(5);
            let within = counted >= words.saturating_sub(1) && counted <= words + words / 2 + 2;
            assert!(within, "seed {seed}, client {index}: {counted} tokens counted of {words} words");
            assert!(settle.cost.total > 0);
            (settled, tokens, bytes) = (settled + 1, tokens + counted, bytes + came);
        }
    }
    println!("{settled} streams left: all settled, all estimated; {tokens} tokens of {bytes} bytes of text");
    assert_eq!(settled, LEFT_STREAMS);
}
