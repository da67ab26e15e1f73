//! `client`: sends a scenario's requests, checks every answer, and measures, on one thread.
//!
//! | file | what |
//! |---|---|
//! | `pace.rs` | when requests are due: constant, Poisson, closed |
//! | `engine.rs`, `pool.rs`, `lane.rs` | the loop, its connections, one connection |
//! | `request.rs`, `check.rs` | what is sent, and what a right answer is |
//! | `figures.rs`, `report.rs`, `page.rs`, `plot.rs` | what is measured, and how it is shown |
//!
//! In an open loop every time counts from the intended moment of sending, so that a stall costs all the
//! requests that were meant to be sent in it. Deliberately absent: the origin, which is a process of its own.

mod check;
mod engine;
mod figures;
mod lane;
mod pace;
mod page;
mod plot;
mod pool;
mod report;
mod request;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::event_loop::clock::{self, seconds_ns};
use crate::origin::words_of;
use crate::scenario::{Load, Scenario};
use check::Expected;
use engine::Engine;
use figures::{Figures, Second};
use report::Report;
use request::{Request, Target};

/// Descriptors besides those of connections.
const DESCRIPTORS_BESIDES: u64 = 64;
/// Size of one read where nothing is slow.
const READ_BYTES: usize = 64 * 1024;

/// Options of `client`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// What to send
    #[arg(long, value_name = "FILE")]
    scenario: PathBuf,
    /// Where to: http://host:port[/path]. Given again: where failed requests go, with --retries
    #[arg(long, value_name = "URL", required = true)]
    target: Vec<String>,
    /// Model to ask for
    #[arg(long, value_name = "NAME", default_value = "loadtest", value_parser = plain)]
    model: String,
    /// Field of every request, such as 'authorization: Bearer KEY'
    #[arg(long, value_name = "NAME: VALUE", value_parser = field)]
    header: Vec<String>,
    /// How long load is measured, instead of the scenario's time
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,
    /// How long load is offered before it is measured
    #[arg(long, value_name = "S", default_value_t = 0.0, value_parser = seconds)]
    warm_up: f64,
    /// Open loop at a constant rate: requests per second
    #[arg(long, value_name = "R", group = "load")]
    rate: Option<f64>,
    /// Open loop at random times: requests per second on average
    #[arg(long, value_name = "R", group = "load")]
    poisson: Option<f64>,
    /// Closed loop on this many connections
    #[arg(long, value_name = "N", group = "load")]
    closed: Option<u32>,
    /// This many paced streams
    #[arg(long, value_name = "N", group = "load")]
    streams: Option<u32>,
    /// Idle connections besides, instead of the scenario's number
    #[arg(long, value_name = "N")]
    idle: Option<u32>,
    /// How often a request is sent again that failed before its answer began
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// Seed of the random times
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Certificate to trust, as PEM
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Core to run on
    #[arg(long, value_name = "N")]
    cpu: Option<u32>,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with plots to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// No line per second
    #[arg(long)]
    quiet: bool,
}

fn plain(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("visible ASCII without quotes and backslashes".into())
    }
}

fn field(text: &str) -> Result<String, String> {
    let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if printable && text.contains(": ") { Ok(text.to_owned()) } else { Err("NAME: VALUE in ASCII".into()) }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("from 0 to 86400".into()) }
}

/// What follows from the scenario and the options.
#[derive(Debug)]
struct Plan {
    targets: Vec<Target>,
    /// One per target.
    requests: Vec<Request>,
    expected: Expected,
    stream: bool,
    load: Load,
    /// Over which the first streams start.
    spread_ns: u64,
    seed: u64,
    warm_up_ns: u64,
    measured_ns: u64,
    /// Per target.
    connections_max: u32,
    idle: u32,
    read_bytes_per_s: Option<u64>,
    /// Most bytes of one read.
    read_most: usize,
    receive_buffer_bytes: Option<u32>,
    silence_ns: u64,
    retries: u32,
}

impl Plan {
    fn new(scenario: &Scenario, options: &Options) -> Result<Self, String> {
        let (origin, client) = (&scenario.origin, &scenario.client);
        let load = options.load().unwrap_or(client.load);
        load.check()?;
        let certificate = options.certificate.as_deref();
        let targets: Vec<Target> =
            options.target.iter().map(|url| Target::new(url, certificate)).collect::<Result<_, _>>()?;
        let request = |target| {
            Request::new(target, &options.model, client.stream, client.prompt_bytes, &options.header)
        };
        let (event_words, answer_words) = words_of(origin);
        let measured = options.seconds.unwrap_or(client.seconds);
        // A twentieth of a second's bytes at a time, so that a slow reader is slow all the time.
        let slow = client.read_bytes_per_s.map(|rate| usize::try_from(rate / 20).unwrap_or(usize::MAX));
        Ok(Self {
            requests: targets.iter().map(request).collect(),
            targets,
            expected: Expected {
                events: u64::from(origin.events),
                event_words,
                answer_words,
                usage: origin.usage,
            },
            stream: client.stream,
            load,
            spread_ns: seconds_ns(origin.gap_ms.max(origin.first_token_ms) / 1000.0),
            seed: options.seed,
            warm_up_ns: seconds_ns(options.warm_up),
            measured_ns: seconds_ns(measured).max(1),
            connections_max: match load {
                Load::Rate(_) | Load::Poisson(_) => client.connections_max,
                Load::Closed(count) | Load::Streams(count) => count,
            },
            idle: options.idle.unwrap_or(client.idle),
            read_bytes_per_s: client.read_bytes_per_s,
            read_most: slow.map_or(READ_BYTES, |bytes| bytes.clamp(256, READ_BYTES)),
            receive_buffer_bytes: client.receive_buffer_bytes,
            silence_ns: seconds_ns(client.silence_max_s),
            retries: options.retries.unwrap_or(client.retries),
        })
    }

    fn descriptors(&self) -> u64 {
        let per_target = u64::from(self.connections_max) * self.targets.len() as u64;
        per_target + u64::from(self.idle) + DESCRIPTORS_BESIDES
    }
}

impl Options {
    fn load(&self) -> Option<Load> {
        let open = self.rate.map(Load::Rate).or(self.poisson.map(Load::Poisson));
        open.or(self.closed.map(Load::Closed)).or(self.streams.map(Load::Streams))
    }
}

/// Runs `client` and returns how many failures there were.
///
/// # Errors
/// It could not be run, or its figures could not be written.
pub(crate) fn client(options: &Options) -> Result<u64, String> {
    let scenario = Scenario::read(&options.scenario)?;
    let plan = Plan::new(&scenario, options)?;
    crate::raise_descriptor_limit(plan.descriptors())?;
    clock::be_punctual();
    if let Some(cpu) = options.cpu {
        clock::pin(cpu)?;
    }
    let figures = run(&plan, options.quiet).map_err(|error| format!("the client stopped: {error}"))?;
    let report = Report::new(&scenario, options, &plan, &figures);
    let mut out = io::stdout().lock();
    write!(out, "{}", report.table())
        .and_then(|()| out.flush())
        .map_err(|error| format!("standard output: {error}"))?;
    if let Some(file) = &options.json {
        write_file(file, &report.json())?;
    }
    if let Some(file) = &options.html {
        write_file(file, &page::page(&report, &figures))?;
    }
    Ok(report.failed())
}

fn run(plan: &Plan, quiet: bool) -> io::Result<Figures> {
    let mut engine = Engine::new(plan)?;
    engine.open_held(plan.idle)?;
    engine.load(|figures, at_s| {
        let second = figures.tick(at_s);
        if !quiet {
            // A closed terminal does not stop the measurement.
            let _ = writeln!(io::stderr().lock(), "{}", line(&second, figures, plan.stream));
        }
    })?;
    if plan.idle > 0 {
        engine.use_held()?;
    }
    Ok(engine.figures)
}

fn line(second: &Second, figures: &Figures, stream: bool) -> String {
    let (what, count) = if stream { ("events", second.events) } else { ("answers", second.requests) };
    format!(
        "{:6.1} s  {count:>8} {what}  p50 {:>9.1} µs  p99 {:>9.1} µs  {} answers in all  {} failures",
        second.at_s,
        second.p50_us,
        second.p99_us,
        figures.ok,
        figures.tally.total(),
    )
}

fn write_file(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn plan(line: &str) -> Result<Plan, String> {
        let words = format!("client --scenario x --target http://127.0.0.1:9 {line}");
        let line =
            Line::try_parse_from(words.split_whitespace()).map_err(|error| error.kind().to_string())?;
        let text = "name = \"x\"\nabout = \"y\"\n[client]\nload = { closed = 2 }\nread_bytes_per_s = 40000\n";
        Plan::new(&Scenario::parse(text)?, &line.options)
    }

    #[test]
    fn options_go_before_the_scenario() {
        for (line, load, connections_max, measured_ns) in [
            ("", Load::Closed(2), 2, 10_000_000_000),
            ("--seconds 0.5", Load::Closed(2), 2, 500_000_000),
            ("--rate 7.5", Load::Rate(7.5), 256, 10_000_000_000),
            ("--poisson 7.5", Load::Poisson(7.5), 256, 10_000_000_000),
            ("--streams 9", Load::Streams(9), 9, 10_000_000_000),
        ] {
            let plan = plan(line).expect(line);
            assert_eq!(
                (plan.load, plan.connections_max, plan.measured_ns),
                (load, connections_max, measured_ns)
            );
            assert_eq!(plan.read_most, 2000, "a twentieth of a second");
        }
    }

    #[test]
    fn options_that_cannot_be_meant_are_refused() {
        for line in [
            "--rate 5 --closed 5",
            "--rate 0",
            "--rate nan",
            "--closed 0",
            "--seconds -1",
            "--seconds nan",
            "--model a\"b",
            "--header nothing",
            "--target ftp://127.0.0.1",
        ] {
            assert!(plan(line).is_err(), "{line}");
        }
    }
}
