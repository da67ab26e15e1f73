//! The gate on instruction counts: what the pure core executes for one head, one body, one event, one
//! exchange, counted by valgrind's callgrind and compared with the counts in `instructions.txt` beside this
//! file.
//!
//! A count does not depend on what else the machine does, so a change of a few percent shows in one run,
//! which time never allows. It is not time: a cache miss and an addition count the same.
//!
//! ```text
//!   cargo bench --bench instructions                     compare; fails when a count has grown by over 3 %
//!   UPDATE_EXPECT=1 cargo bench --bench instructions     write the counts of today
//!   cargo bench --bench instructions -- peek head        only cases with one of these in their name
//!   cargo bench --bench instructions -- --quick          check the answers only; needs no valgrind
//! ```
//!
//! The program runs itself under callgrind, which collects only inside [`measured`] and writes one part of
//! its output for each call. Hash tables are seeded anew in each process, and now and then a lookup meets a
//! stranger with a similar hash; so every case has several subjects, and the lowest count is the one that
//! repeats.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is what the program is for")]

#[path = "support/auto.rs"]
mod auto;
#[path = "support/cases.rs"]
mod cases;
#[path = "support/contracts.rs"]
mod contracts;
#[path = "support/edge.rs"]
#[expect(dead_code, reason = "other benches also end connections and begin new ones")]
mod edge;
#[path = "support/health.rs"]
mod health;
#[path = "support/texts.rs"]
mod texts;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use cases::{Case, Run};

/// The product's allocator: what it executes counts.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Growth that fails, in hundredths of the committed count. Compilers of one version and allocators that find
/// another page differ by less.
const GROWTH_PERCENT_MAX: f64 = 3.0;
/// Runs before the one that is counted: buffers have grown, tables are built.
const WARM_RUNS: usize = 4;
/// How the program calls itself under valgrind.
const COUNT: &str = "--count";

type Counts = BTreeMap<String, u64>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let wanted: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with("--")).collect();
    if has(COUNT) {
        run_all(&wanted, true);
        return ExitCode::SUCCESS;
    }
    // `cargo bench` says `--bench`; `cargo test` does not, and builds without optimisation.
    if !has("--bench") || has("--quick") || has("--test") {
        run_all(&wanted, false);
        println!("the answers of all cases hold; instructions are counted without --quick");
        return ExitCode::SUCCESS;
    }
    match gate(&wanted) {
        Ok(code) => code,
        Err(trouble) => {
            eprintln!("instructions: {trouble}");
            ExitCode::FAILURE
        }
    }
}

/// Runs every subject of every case and says the case's name for each call of [`measured`].
fn run_all(wanted: &[&str], say: bool) {
    for Case { name, subjects, expected } in
        cases::all().into_iter().filter(|case| is_wanted(case.name, wanted))
    {
        for mut run in subjects {
            for _ in 0..WARM_RUNS {
                assert_eq!(run(), expected, "{name}");
            }
            assert_eq!(measured(&mut run), expected, "{name}");
            if say {
                println!("{name}");
            }
        }
    }
}

/// True when `name` contains one of `wanted`, or nothing particular is wanted.
fn is_wanted(name: &str, wanted: &[&str]) -> bool {
    wanted.is_empty() || wanted.iter().any(|part| name.contains(part))
}

/// The only function inside which instructions are collected. Callgrind knows it by this name.
#[inline(never)]
fn measured(run: &mut Run) -> usize {
    black_box(run())
}

/// Counts, compares, and writes the counts if that is wanted.
fn gate(wanted: &[&str]) -> Result<ExitCode, String> {
    let path = committed_path();
    let update = env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1");
    if update && !wanted.is_empty() {
        return Err("counts are refreshed all together: UPDATE_EXPECT=1 takes no names".to_owned());
    }
    let now = counted(wanted)?;
    if update {
        fs::write(&path, written(&now)).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{} counts written to benches/instructions.txt", now.len());
        return Ok(ExitCode::SUCCESS);
    }
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut committed = read(&text)?;
    committed.retain(|name, _| is_wanted(name, wanted));
    let comparison = compare(&committed, &now);
    print!("{}", comparison.table);
    let wrong = comparison.grown + comparison.unmatched;
    if wrong > 0 {
        eprintln!(
            "{} of {} counts grew by more than {GROWTH_PERCENT_MAX} %, {} names have no partner. If that is \
             meant, say why in the commit and refresh them: UPDATE_EXPECT=1 cargo bench --bench instructions",
            comparison.grown,
            now.len(),
            comparison.unmatched
        );
        return Ok(ExitCode::FAILURE);
    }
    if comparison.fallen > 0 {
        println!(
            "{} counts fell by more than {GROWTH_PERCENT_MAX} %. Please keep that: \
             UPDATE_EXPECT=1 cargo bench --bench instructions",
            comparison.fallen
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn committed_path() -> PathBuf {
    let root =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    root.join("benches/instructions.txt")
}

/// Runs this program under callgrind: the lowest count of each case.
fn counted(wanted: &[&str]) -> Result<Counts, String> {
    let own = env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let dump = folder.join(format!("callgrind-{}.out", std::process::id()));
    let said = Command::new(valgrind()?)
        .args(["--tool=callgrind", "--quiet", "--combine-dumps=yes", "--collect-atstart=no"])
        .args(["--toggle-collect=*instructions::measured", "--dump-after=*instructions::measured"])
        .arg(format!("--callgrind-out-file={}", dump.display()))
        .arg(own)
        .arg(COUNT)
        .args(wanted)
        // The environment lies on the stack; without it nothing moves from one run to the next.
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let parts = fs::read_to_string(&dump);
    // A file that stays behind does no harm; the next run has another name.
    drop(fs::remove_file(&dump));
    if !said.status.success() {
        return Err(format!("valgrind ended with {}", said.status));
    }
    let parts = parts.map_err(|error| format!("{}: {error}", dump.display()))?;
    lowest(&String::from_utf8_lossy(&said.stdout), &parts)
}

/// Where valgrind is.
fn valgrind() -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join("valgrind")).find(|file| file.is_file());
    found.ok_or_else(|| {
        "valgrind is not installed; on Debian and Ubuntu it is in the package `valgrind` \
         (apt-get install valgrind)"
            .to_owned()
    })
}

/// Joins the names that were said with the totals that callgrind wrote, in their order.
fn lowest(names: &str, parts: &str) -> Result<Counts, String> {
    let totals: Vec<u64> = parts
        .lines()
        .filter_map(|line| line.strip_prefix("totals: "))
        .filter_map(|total| total.trim().parse().ok())
        // The end of the program is a part of its own in which nothing was collected.
        .filter(|total| *total > 0)
        .collect();
    let names: Vec<&str> = names.lines().collect();
    if names.is_empty() || names.len() != totals.len() {
        let (names, totals) = (names.len(), totals.len());
        return Err(format!(
            "callgrind wrote {totals} counts for {names} calls; is `measured` still its name?"
        ));
    }
    let mut counts = Counts::new();
    for (name, total) in names.into_iter().zip(totals) {
        let lowest = counts.entry(name.to_owned()).or_insert(total);
        *lowest = total.min(*lowest);
    }
    Ok(counts)
}

/// The counts as text: a name and a count on each line, sorted.
fn written(counts: &Counts) -> String {
    let width = counts.keys().map(String::len).max().unwrap_or(0);
    counts.iter().fold(String::new(), |mut text, (name, count)| {
        writeln!(text, "{name:width$}  {count:>8}").expect("a String takes everything");
        text
    })
}

/// Reads what [`written`] has written.
fn read(text: &str) -> Result<Counts, String> {
    let line = |line: &str| {
        let (name, count) = line.rsplit_once("  ")?;
        Some((name.trim_end().to_owned(), count.trim().parse().ok()?))
    };
    let broken = |text: &str| format!("instructions.txt: expected a name, two spaces and a count: {text:?}");
    text.lines().map(|text| line(text).ok_or_else(|| broken(text))).collect()
}

/// What [`compare`] has found.
struct Comparison {
    table: String,
    /// Counts that are too high.
    grown: usize,
    /// Counts that are lower than the file says.
    fallen: usize,
    /// Cases without a committed count, and committed counts without a case.
    unmatched: usize,
}

fn compare(committed: &Counts, now: &Counts) -> Comparison {
    let names: std::collections::BTreeSet<&String> = committed.keys().chain(now.keys()).collect();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut found = Comparison { table: String::new(), grown: 0, fallen: 0, unmatched: 0 };
    let mut row = |name: &str, committed: &str, now: &str, change: &str| {
        writeln!(found.table, "{name:width$} | {committed:>9} | {now:>9} | {change}")
            .expect("a String takes all");
    };
    row("name", "committed", "now", "change");
    for name in names {
        match (committed.get(name), now.get(name)) {
            (Some(&before), Some(&after)) => {
                let percent = (after as f64 / before as f64 - 1.0) * 100.0;
                let verdict = if percent > GROWTH_PERCENT_MAX { "  GREW" } else { "" };
                found.grown += usize::from(percent > GROWTH_PERCENT_MAX);
                found.fallen += usize::from(percent < -GROWTH_PERCENT_MAX);
                row(name, &before.to_string(), &after.to_string(), &format!("{percent:+.1} %{verdict}"));
            }
            (before, after) => {
                let text = |count: Option<&u64>| count.map_or_else(|| "none".to_owned(), u64::to_string);
                found.unmatched += 1;
                row(name, &text(before), &text(after), "NO PARTNER");
            }
        }
    }
    found
}
