//! `compare`: what a request and an event cost in Millrace, in a raw relay and in other proxies.
//!
//! ```text
//!  for each round ─► for each workload ─► for each contender: start load, warm up, measure, end load
//!                       (the order of contenders moves on by one each round)
//! ```
//! The contender alone has one core, clients and origin have the other. All contenders run throughout, and
//! those that are not measured have nothing to do. The floor takes part twice: what its two figures differ by
//! is noise. Deliberately absent: gates. Wall-clock figures inform, they never fail a build.

mod accounting;
mod contender;
mod rig;
mod syscalls;
mod table;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::floor;
use crate::memory::resident;
use accounting::cpu;
use contender::{Contender, Kind, Places};
use rig::{Load, Rig};
use syscalls::Count;
use table::{Results, Sample};

/// Bytes of an ordinary and of a large chat request.
const BODY_BYTES: usize = 1500;
const LARGE_BODY_BYTES: usize = 256 * 1024;
/// For how long system calls are counted.
const COUNT_TIME: Duration = Duration::from_millis(700);
/// Descriptors the rig may need: 256 clients and as many connections per contender to the origin, and more.
const DESCRIPTORS: u64 = 4096;

/// Options of `compare`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// About two minutes: 4 rounds of short windows, without large prompts
    #[arg(long)]
    quick: bool,
    /// Write all figures to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Millrace's program; without it, the one beside this program
    #[arg(long, value_name = "FILE")]
    millrace: Option<PathBuf>,
    /// Rounds; 10, or 4 with --quick
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Measured milliseconds of each window; 2000, or 750 with --quick
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(50..=600_000))]
    window_ms: Option<u64>,
    /// Only these contenders, besides the floor
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these workloads: chat, half, large, stream, burst
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    workloads: Vec<String>,
    /// CPU of the contender
    #[arg(long, value_name = "N", default_value_t = 0)]
    contender_cpu: usize,
    /// CPU of clients and origin
    #[arg(long, value_name = "N", default_value_t = 1)]
    rig_cpu: usize,
}

/// A workload, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workload {
    /// As many chat requests as go through.
    Chat,
    /// Chat requests at half the rate of the slowest contender.
    Half,
    /// As `Chat`, with a large prompt.
    Large,
    /// Slow streams.
    Stream,
    /// Streams flat out.
    Burst,
}

impl Workload {
    const ALL: [Self; 5] = [Self::Chat, Self::Half, Self::Large, Self::Stream, Self::Burst];

    fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Half => "half",
            Self::Large => "large",
            Self::Stream => "stream",
            Self::Burst => "burst",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Chat => "1.5 KB prompt, 1 KB answer, 32 connections, as fast as it goes",
            Self::Half => "the same, open loop at half the rate of the slowest",
            Self::Large => "256 KiB prompt, 1 KB answer, 8 connections, as fast as it goes",
            Self::Stream => "200 streams, an event each 10 ms",
            Self::Burst => "32 streams, each event sent when the one before has arrived",
        }
    }

    fn load(self, rate: f64) -> Load {
        match self {
            Self::Chat => Load::Closed { connections: 32, body_bytes: BODY_BYTES },
            Self::Half => Load::Rate { connections: 128, per_second: rate, body_bytes: BODY_BYTES },
            Self::Large => Load::Closed { connections: 8, body_bytes: LARGE_BODY_BYTES },
            Self::Stream => Load::Streams { count: 200, gap: Some(Duration::from_millis(10)) },
            Self::Burst => Load::Streams { count: 32, gap: None },
        }
    }
}

/// A folder of our own that is removed when the run is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let path = env::temp_dir().join(format!("millrace-compare-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is the system's temporary folder to clean.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the comparison and returns how many windows were spoilt by failures.
///
/// # Errors
/// It could not be run: no ring, no such CPU, no floor, or figures that could not be written.
pub(crate) fn compare(options: &Options) -> Result<u64, String> {
    let (workloads, kinds) = (chosen_workloads(options)?, chosen_kinds(options)?);
    crate::raise_descriptor_limit(DESCRIPTORS)?;
    floor::pin(options.contender_cpu)?;
    floor::pin(options.rig_cpu)?;
    let scratch = Scratch::new()?;
    let mut rig = Rig::new(contender::KEY)
        .map_err(|error| format!("io_uring of Linux 6.1 or newer is needed: {error}"))?;
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let places = Places {
        origin: rig.origin().map_err(|error| error.to_string())?,
        millrace: options.millrace.clone().unwrap_or_else(|| own.with_file_name("millrace")),
        scratch: scratch.0.clone(),
        contender_cpu: options.contender_cpu,
        rig_cpu: options.rig_cpu,
    };
    let mut results = Results::default();
    let mut contenders = Vec::new();
    for kind in kinds {
        match contender::start(kind, &places) {
            Ok(contender) => contenders.push(contender),
            Err(why) if kind == Kind::Floor => return Err(why),
            Err(why) => results.note(format!("{} is left out: {why}", kind.name())),
        }
    }
    let mut run =
        Run { options, rig: &mut rig, contenders: &contenders, results: &mut results, rate: 0.0, round: 0 };
    run.all(&workloads);
    let mut out = io::stdout().lock();
    write!(out, "{}", results.table())
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;
    if let Some(file) = &options.json {
        fs::write(file, results.json()).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(results.spoilt())
}

fn chosen_workloads(options: &Options) -> Result<Vec<Workload>, String> {
    let known = |name: &String| {
        let found = Workload::ALL.into_iter().find(|workload| workload.name() == name);
        found.ok_or_else(|| format!("there is no workload {name}"))
    };
    if options.workloads.is_empty() {
        let all = Workload::ALL.into_iter();
        return Ok(all.filter(|workload| !options.quick || *workload != Workload::Large).collect());
    }
    let named: Vec<Workload> = options.workloads.iter().map(known).collect::<Result<_, _>>()?;
    // In the table's order, because `half` needs the rates of `chat`.
    let needed = |workload: &Workload| {
        named.contains(workload) || (*workload == Workload::Chat && named.contains(&Workload::Half))
    };
    Ok(Workload::ALL.into_iter().filter(needed).collect())
}

fn chosen_kinds(options: &Options) -> Result<Vec<Kind>, String> {
    if let Some(name) = options.only.iter().find(|name| Kind::ALL.iter().all(|kind| kind.name() != **name)) {
        return Err(format!("there is no contender {name}"));
    }
    let wanted = |kind: &Kind| {
        let always = matches!(kind, Kind::Direct | Kind::Floor | Kind::FloorAgain);
        always || options.only.is_empty() || options.only.iter().any(|name| name == kind.name())
    };
    Ok(Kind::ALL.into_iter().filter(wanted).collect())
}

/// A run under way.
struct Run<'r> {
    options: &'r Options,
    rig: &'r mut Rig,
    contenders: &'r [Contender],
    results: &'r mut Results,
    /// Requests per second of [`Workload::Half`]: by the rounds of [`Workload::Chat`] so far.
    rate: f64,
    round: u32,
}

impl Run<'_> {
    fn all(&mut self, workloads: &[Workload]) {
        self.note_conditions();
        for contender in self.contenders {
            if let Some(memory) = contender.pid().and_then(|pid| resident(pid).ok()) {
                self.results.idle(contender.kind, memory.all);
            }
        }
        let rounds = self.options.rounds.unwrap_or(if self.options.quick { 4 } else { 10 });
        for round in 0..rounds {
            self.round = round;
            for &workload in workloads {
                self.progress(&format!("round {} of {rounds}: {}", round + 1, workload.name()));
                for step in 0..self.contenders.len() {
                    let at = (step + round as usize) % self.contenders.len();
                    self.window(workload, &self.contenders[at]);
                }
                if workload == Workload::Chat {
                    self.rate = self.results.slowest_rate(workload.name()) / 2.0;
                }
            }
        }
        for &workload in workloads {
            self.progress(&format!("system calls: {}", workload.name()));
            for contender in self.contenders {
                self.count_calls(workload, contender);
            }
        }
    }

    fn progress(&self, what: &str) {
        // A closed terminal does not stop the measurement.
        let _ = writeln!(io::stderr().lock(), "{what}");
    }

    fn note_conditions(&mut self) {
        let Options { contender_cpu, rig_cpu, .. } = self.options;
        self.results.note(format!("contender on CPU {contender_cpu}, clients and origin on CPU {rig_cpu}"));
        if cfg!(debug_assertions) {
            self.results.note("this is a debug build: the figures are worth nothing".to_owned());
        }
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default();
        self.results.note(format!("load average before the run: {load}"));
    }

    /// Measures one contender under one workload, once.
    fn window(&mut self, workload: Workload, contender: &Contender) {
        match self.measure(workload, contender) {
            Ok(sample) => self.results.add(workload.name(), workload.title(), contender.kind, sample),
            Err(why) => {
                self.results.spoil(format!("{} under {}: {why}", contender.kind.name(), workload.name()));
                if let Err(error) = self.rig.abort() {
                    self.results.note(format!("after that: {error}"));
                }
            }
        }
    }

    fn measure(&mut self, workload: Workload, contender: &Contender) -> Result<Sample, String> {
        let text = |error: io::Error| error.to_string();
        let default_ms = if self.options.quick { 750 } else { 2000 };
        let time = Duration::from_millis(self.options.window_ms.unwrap_or(default_ms));
        let own = std::process::id();
        let look = |pid: Option<u32>| pid.map(|pid| cpu(pid, contender.threads())).transpose();
        self.rig.start(contender.address, workload.load(self.rate)).map_err(text)?;
        let warm_up = self.rig.run(time / 4).map_err(text)?;
        let (before, own_before) = (look(contender.pid()).map_err(text)?, cpu(own, None).map_err(text)?);
        let begin = std::time::Instant::now();
        let counts = self.rig.run(time).map_err(text)?;
        let seconds = begin.elapsed().as_secs_f64();
        let (after, own_after) = (look(contender.pid()).map_err(text)?, cpu(own, None).map_err(text)?);
        let memory = contender.pid().and_then(|pid| resident(pid).ok()).map(|memory| memory.all);
        let failures = self.rig.finish().map_err(text)?;
        let mut failures = warm_up.failures.iter().chain(&counts.failures).chain(&failures);
        if let Some(failure) = failures.next() {
            return Err(format!("{failure} (and {} more)", failures.count()));
        }
        if counts.done == 0 {
            return Err("nothing went through".to_owned());
        }
        let spent = before.zip(after).map(|(before, after)| after.since(&before));
        let rig_busy = own_after.since(&own_before).seconds / seconds;
        Ok(Sample {
            round: self.round,
            done: counts.done,
            seconds,
            spent,
            nanos: counts.nanos,
            memory,
            rig_busy,
        })
    }

    /// Counts the system calls of one contender under one workload, after all rounds.
    fn count_calls(&mut self, workload: Workload, contender: &Contender) {
        let Some(pid) = contender.pid() else { return };
        let mut counted = || -> Result<f64, String> {
            let text = |error: io::Error| error.to_string();
            self.rig.start(contender.address, workload.load(self.rate)).map_err(text)?;
            self.rig.run(COUNT_TIME / 4).map_err(text)?;
            let count = Count::start(pid, COUNT_TIME);
            let counts = self.rig.run(COUNT_TIME + COUNT_TIME / 4).map_err(text);
            self.rig.finish().map_err(text)?;
            let done = counts?.done as f64 / (COUNT_TIME + COUNT_TIME / 4).as_secs_f64();
            Ok(count?.per_second(COUNT_TIME)? / done.max(1.0))
        };
        match counted() {
            Ok(each) => self.results.calls(workload.name(), contender.kind, each),
            Err(why) => self.results.note(format!("system calls are not counted: {why}")),
        }
    }
}

#[cfg(test)]
mod tests;
