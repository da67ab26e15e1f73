//! `hold`: many idle keep-alive connections and many paced streams at once, for a bounded time.
//!
//! ```text
//!  memory ─► open idle connections ─► memory ─► start streams ─► memory while all run ─► streams end
//!         (GET /healthz on each)              (one start per ms)                          │
//!                    memory ◄─ second GET on each idle connection, nothing in between ◄───┘
//! ```
//! Everything runs on one thread, so a time is taken when this thread reads an event: its own load is part of
//! every figure, never hidden. Deliberately absent: load that saturates; this is about holding.

mod idle;
mod progress;
mod stream;
mod summary;

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use crate::memory::{Resident, resident};
use progress::State;
use summary::{Memory, Summary};

/// Words the simulator says at most.
const WORDS_MAX: u64 = 10_000;
/// Between two looks at the memory while streams run.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
/// Descriptors besides those of connections.
const DESCRIPTORS_BESIDES: u64 = 64;

/// Options of `hold`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The router
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    target: SocketAddr,
    /// Idle keep-alive connections
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = count())]
    idle: u32,
    /// Streams at once
    #[arg(long, value_name = "M", default_value_t = 1_000, value_parser = count())]
    streams: u32,
    /// How long everything is held at once. Routers close idle connections after a while (Millrace: 75 s),
    /// which counts as a failure here: stay below
    #[arg(long, default_value_t = 20.0, value_parser = seconds)]
    seconds: f64,
    /// Pause between two words of a stream
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = gap())]
    gap_ms: u64,
    /// Model to stream from: the simulator's, or the same one behind another router
    #[arg(long, default_value = "sim/steady", value_parser = model)]
    model: String,
    /// How long one connect and answer may take, and how much longer than planned a stream may
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    patience: f64,
    /// Process whose memory is measured
    #[arg(long)]
    pid: Option<u32>,
    /// Write the figures to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn count() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(..=1_000_000)
}

fn gap() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..=10_000)
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if seconds > 0.0 && seconds <= 3600.0 { Ok(seconds) } else { Err("more than 0 and at most 3600".into()) }
}

fn model(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("visible ASCII without quotes and backslashes".into())
    }
}

/// What follows from the options.
#[derive(Clone, Debug)]
struct Plan {
    target: SocketAddr,
    idle: u32,
    streams: u32,
    /// Words of each stream.
    words: u64,
    gap: Duration,
    /// From the first stream's start to the last one's: whole gaps, so that words of different streams do not
    /// fall on the same instants.
    spread: Duration,
    patience: Duration,
    body: String,
}

impl Plan {
    fn new(options: &Options) -> Result<Self, String> {
        if options.idle == 0 && options.streams == 0 {
            return Err("nothing to hold: --idle and --streams are both 0".to_owned());
        }
        let gap = Duration::from_millis(options.gap_ms);
        // At most one start per millisecond: the router is to hold streams here, not to survive a stampede.
        let gaps = u64::from(options.streams).div_ceil(options.gap_ms).max(1);
        let spread = Duration::from_millis(gaps * options.gap_ms);
        let running = Duration::from_secs_f64(options.seconds) + spread;
        let words = running.as_millis().div_ceil(u128::from(options.gap_ms)) + 1;
        let words = u64::try_from(words).unwrap_or(u64::MAX);
        if options.streams > 0 && words > WORDS_MAX {
            return Err(format!(
                "{words} words a stream, the simulator says {WORDS_MAX} at most: a longer --gap-ms"
            ));
        }
        let (model, gap_ms) = (&options.model, options.gap_ms);
        let body = format!(
            "{{\"model\":\"{model}\",\"stream\":true,\
             \"messages\":[{{\"role\":\"user\",\"content\":\"count\"}}],\
             \"metadata\":{{\"tokens\":\"{words}\",\"gap_ms\":\"{gap_ms}\"}}}}"
        );
        let patience = Duration::from_secs_f64(options.patience);
        let (target, idle, streams) = (options.target, options.idle, options.streams);
        Ok(Self { target, idle, streams, words, gap, spread, patience, body })
    }

    /// How long a stream takes when nothing is late.
    fn stream_time(&self) -> Duration {
        self.gap.saturating_mul(u32::try_from(self.words).unwrap_or(u32::MAX))
    }
}

/// Runs `hold` and returns how many failures there were.
///
/// # Errors
/// It could not be run, or its figures could not be written.
pub(crate) fn hold(options: &Options) -> Result<u64, String> {
    let plan = Plan::new(options)?;
    crate::raise_descriptor_limit(u64::from(plan.idle) + u64::from(plan.streams) + DESCRIPTORS_BESIDES)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let summary = LocalSet::new().block_on(&runtime, run(options, Rc::new(plan)))?;
    let mut out = io::stdout().lock();
    write!(out, "{}", summary.table())
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;
    if let Some(file) = &options.json {
        fs::write(file, summary.json()).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(summary.tally.total())
}

async fn run(options: &Options, plan: Rc<Plan>) -> Result<Summary, String> {
    let look = |pid: u32| resident(pid).map_err(|error| format!("memory of process {pid}: {error}"));
    let memory = || options.pid.map(look).transpose();
    let state = Rc::new(State::default());
    let ticker = progress::Ticker::start(Rc::clone(&state), Rc::clone(&plan), options.pid);
    let before = memory()?;
    let connections = idle::open(&plan, &state).await;
    let with_idle = memory()?;
    let with_streams = if plan.streams > 0 {
        run_streams(&plan, &state, options.pid).await
    } else {
        sleep(Duration::from_secs_f64(options.seconds)).await;
        None
    };
    idle::use_again(&plan, &state, connections).await;
    let after = memory()?;
    drop(ticker);
    let memory = match (before, with_idle, after) {
        (Some(before), Some(with_idle), Some(after)) => {
            Some(Memory { before, with_idle, with_streams, after })
        }
        _ => None,
    };
    Ok(Summary::new(options, &plan, &state, memory))
}

/// Runs all streams to their end. Returns the largest memory seen while all of them ran.
async fn run_streams(plan: &Rc<Plan>, state: &Rc<State>, pid: Option<u32>) -> Option<Resident> {
    let mut streams = JoinSet::new();
    let begin = Instant::now();
    for number in 0..plan.streams {
        let due = begin + plan.spread.mul_f64(f64::from(number) / f64::from(plan.streams));
        streams.spawn_local(stream::run(Rc::clone(plan), Rc::clone(state), due));
    }
    let mut most: Option<Resident> = None;
    while !streams.is_empty() {
        tokio::select! {
            // A stream's task reports through the state; that it panicked would be a bug and ends the run.
            Some(ended) = streams.join_next() => {
                ended.expect("a stream's task neither panics nor is aborted");
            }
            () = sleep(SAMPLE_EVERY) => {
                let begun = state.streams_begun.get();
                let all_run = begun == u64::from(plan.streams) && state.streams_ended.get() == 0;
                if let Some(now) = pid.filter(|_| all_run).and_then(|pid| resident(pid).ok()) {
                    most = most.filter(|most| most.all >= now.all).or(Some(now));
                }
            }
        }
    }
    most
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
        let words = std::iter::once("hold").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.kind().to_string())?;
        Plan::new(&line.options)
    }

    #[test]
    fn streams_overlap_for_the_time_asked() {
        for (line, words, spread_ms) in [
            ("", 211, 1000),
            ("--streams 5 --seconds 0.3 --gap-ms 20", 17, 20),
            ("--streams 5 --seconds 0.3 --gap-ms 1", 306, 5),
            ("--streams 0 --seconds 1 --gap-ms 10000", 3, 10_000),
        ] {
            let plan = plan(line).expect(line);
            assert_eq!((plan.words, plan.spread), (words, Duration::from_millis(spread_ms)), "{line}");
            // The first stream's last word comes when the last stream has run for that long.
            let spoken = plan.gap * u32::try_from(plan.words - 1).expect("few words");
            assert!(spoken >= plan.spread, "{line}");
            assert!(plan.body.contains(&format!("\"tokens\":\"{words}\"")), "{}", plan.body);
        }
    }

    #[test]
    fn impossible_plans_are_refused() {
        for line in [
            "--idle 0 --streams 0",
            "--seconds 0",
            "--seconds nan",
            "--seconds 3601",
            "--gap-ms 0",
            "--seconds 100 --gap-ms 1",
            "--model a\"b",
            "--target localhost",
        ] {
            assert!(plan(line).is_err(), "{line}");
        }
    }
}
