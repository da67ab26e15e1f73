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
mod instructions;
mod priority;
mod rig;
mod run;
mod sample;
mod syscalls;
mod table;
mod verdict;
mod weigh;
mod workload;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::floor;
use contender::{Contender, Kind, Places};
use rig::Rig;
use run::Run;
use table::Results;
use workload::Workload;

/// Descriptors the rig may need: thousands of idle clients, and what contenders keep open to the origin.
const DESCRIPTORS: u64 = 16_384;

/// Name of the count of instructions among the workloads: it needs none of them.
const INSTRUCTIONS: &str = "instructions";

/// Options of `compare`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// About two minutes: 4 rounds of short windows
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
    /// Measured milliseconds of each window; 2000, or 350 with --quick
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(50..=600_000))]
    window_ms: Option<u64>,
    /// Only these contenders, besides the floor
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these workloads: chat, low, half, high, large, stream, burst, tls-chat, tls-stream, gateways; or
    /// only instructions
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    workloads: Vec<String>,
    /// CPU of the contender
    #[arg(long, value_name = "N", default_value_t = 0)]
    contender_cpu: usize,
    /// CPU of clients and origin
    #[arg(long, value_name = "N", default_value_t = 1)]
    rig_cpu: usize,
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
    let [origin, secure_origin] = rig.origins().map_err(|error| error.to_string())?;
    let places = Places {
        origin,
        secure_origin,
        millrace: options.millrace.clone().unwrap_or_else(|| own.with_file_name("millrace")),
        scratch: scratch.0.clone(),
        contender_cpu: options.contender_cpu,
        rig_cpu: options.rig_cpu,
    };
    let authority = scratch.0.join(contender::AUTHORITY);
    fs::write(&authority, rig.authority()).map_err(|error| format!("{}: {error}", authority.display()))?;
    let mut results = Results::default();
    if let Err(why) = priority::raise() {
        results.note(format!("without priority other processes disturb latencies: {why}"));
    }
    let (apart, together): (Vec<Workload>, Vec<Workload>) =
        workloads.into_iter().partition(|workload| *workload == Workload::Gateways);
    let (gateways, proxies): (Vec<Kind>, Vec<Kind>) = kinds.iter().partition(|kind| kind.is_gateway());
    if !together.is_empty() || apart.is_empty() {
        let contenders = start_all(&proxies, &places, &mut results)?;
        Run::new(options, &mut rig, &contenders, &mut results).all(&together);
    }
    if !apart.is_empty() && !gateways.is_empty() {
        beside_gateways(options, &gateways, &places, &mut rig, &mut results)?;
    }
    if options.workloads.is_empty() {
        weigh_all(&places, &mut rig, &mut results);
    }
    if options.workloads.is_empty() || options.workloads.iter().any(|name| name == INSTRUCTIONS) {
        count_instructions(&places, &mut rig, &mut results);
    }
    let mut out = io::stdout().lock();
    write!(out, "{}", results.table())
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;
    if let Some(file) = &options.json {
        fs::write(file, results.json()).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(results.spoilt())
}

/// Starts contenders; those that are not there are noted.
///
/// # Errors
/// The floor did not start: there is nothing to compare with.
fn start_all(kinds: &[Kind], places: &Places, results: &mut Results) -> Result<Vec<Contender>, String> {
    let mut contenders = Vec::new();
    for kind in kinds {
        match contender::start(*kind, places) {
            Ok(contender) => contenders.push(contender),
            Err(why) if *kind == Kind::Floor => return Err(why),
            Err(why) => results.note(format!("{} is left out: {why}", kind.name())),
        }
    }
    Ok(contenders)
}

/// Gateways of another class, in a run of their own: their idle work would disturb the others.
fn beside_gateways(
    options: &Options,
    gateways: &[Kind],
    places: &Places,
    rig: &mut Rig,
    results: &mut Results,
) -> Result<(), String> {
    run::progress("starting gateways");
    let mut contenders = start_all(gateways, places, results)?;
    if contenders.is_empty() {
        return Ok(());
    }
    contenders.extend(start_all(&[Kind::Floor, Kind::FloorAgain, Kind::Millrace], places, results)?);
    Run::new(options, rig, &contenders, results).all(&[Workload::Gateways]);
    Ok(())
}

/// Memory for each connection and stream, measured in processes of their own.
fn weigh_all(places: &Places, rig: &mut Rig, results: &mut Results) {
    for kind in [Kind::Millrace, Kind::Nginx, Kind::Haproxy] {
        run::progress(&format!("memory: {}", kind.name()));
        match weigh::weigh(kind, places, rig) {
            Ok(weight) => results.weighed(kind, weight),
            Err(why) => spoilt_alone(rig, results, &format!("memory of {}: {why}", kind.name())),
        }
    }
}

/// Instructions, in processes of their own: the promise is about our own ring, and the count on epoll is
/// told beside it.
fn count_instructions(places: &Places, rig: &mut Rig, results: &mut Results) {
    for driver in ["uring", "epoll"] {
        run::progress(&format!("instructions on {driver}"));
        match instructions::count(places, rig, driver) {
            Ok(count) if driver == "uring" => results.counted(count),
            Ok(count) => results.note(format!(
                "on {driver}: {:.0} instructions per request, {:.0} per event",
                count.per_request, count.per_event
            )),
            Err(why) => spoilt_alone(rig, results, &format!("instructions on {driver}: {why}")),
        }
    }
}

fn spoilt_alone(rig: &mut Rig, results: &mut Results, why: &str) {
    results.note(format!("not measured: {why}"));
    if let Err(error) = rig.abort() {
        results.note(format!("after that: {error}"));
    }
}

fn chosen_workloads(options: &Options) -> Result<Vec<Workload>, String> {
    let known = |name: &String| {
        let found = Workload::ALL.into_iter().find(|workload| workload.name() == name);
        found.ok_or_else(|| format!("there is no workload {name}"))
    };
    if options.workloads.is_empty() {
        return Ok(Workload::ALL.to_vec());
    }
    let tables = options.workloads.iter().filter(|name| *name != INSTRUCTIONS);
    let named: Vec<Workload> = tables.map(known).collect::<Result<_, _>>()?;
    // In the table's order, because open loops need the rates of `chat`.
    let open = [Workload::Low, Workload::Half, Workload::High];
    let needed = |workload: &Workload| {
        let first = *workload == Workload::Chat && open.iter().any(|open| named.contains(open));
        first || named.contains(workload)
    };
    Ok(Workload::ALL.into_iter().filter(needed).collect())
}

fn chosen_kinds(options: &Options) -> Result<Vec<Kind>, String> {
    if let Some(name) = options.only.iter().find(|name| Kind::ALL.iter().all(|kind| kind.name() != **name)) {
        return Err(format!("there is no contender {name}"));
    }
    let wanted = |kind: &Kind| {
        let named = |kind: Kind| options.only.iter().any(|name| name == kind.name());
        let always = matches!(kind, Kind::Direct | Kind::Floor | Kind::FloorAgain);
        let again = *kind == Kind::NginxAgain && named(Kind::Nginx);
        always || again || options.only.is_empty() || named(*kind)
    };
    Ok(Kind::ALL.into_iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests;
