//! A run under way: rounds of windows, contenders in turns, then system calls.
//!
//! Deliberately absent: what is measured in processes of their own (`weigh`, `instructions`).

use std::fs;
use std::io::{self, Write};
use std::time::Duration;

use super::Options;
use super::accounting::{Spent, cpu};
use super::contender::Contender;
use super::rig::{Door, Rig};
use super::sample::Sample;
use super::syscalls::Count;
use super::table::Results;
use super::workload::Workload;
use crate::memory::resident;

/// For how long system calls are counted, and under what.
const COUNT_TIME: Duration = Duration::from_millis(500);
const COUNTED: [Workload; 2] = [Workload::Chat, Workload::Stream];

/// Requests per second that open loops are shares of before any contender's rate is known.
const RATE: f64 = 1000.0;
/// Disturbed windows that are repeated, on average in a round.
const AGAIN_IN_A_ROUND: u32 = 6;
/// The share of a window that other processes took from clients and origin, or from the contender (if it has
/// a process): ready, and not running. Those that sleep lose some microseconds to each wake-up too.
fn lost(contender: Option<Spent>, own: Spent, seconds: f64) -> f64 {
    contender.map_or(0.0, |spent| spent.waited).max(own.waited) / seconds
}

/// Says what is done now.
pub(super) fn progress(what: &str) {
    // A closed terminal does not stop the measurement.
    let _ = writeln!(io::stderr().lock(), "{what}");
}

fn door(workload: Workload, contender: &Contender) -> Result<Door, String> {
    if !workload.is_secure() {
        return Ok(contender.door);
    }
    contender.secure_door.ok_or_else(|| "it speaks no TLS to the origin".to_owned())
}

/// A run under way.
pub(super) struct Run<'r> {
    options: &'r Options,
    rig: &'r mut Rig,
    contenders: &'r [Contender],
    results: &'r mut Results,
    /// Requests per second of the slowest contender: by the rounds of [`Workload::Chat`] so far.
    rate: f64,
    round: u32,
    /// So many disturbed windows may still be repeated: a busy machine must not make the run endless.
    again: u32,
}

impl<'r> Run<'r> {
    /// A run that has not begun.
    pub(super) fn new(
        options: &'r Options,
        rig: &'r mut Rig,
        contenders: &'r [Contender],
        results: &'r mut Results,
    ) -> Self {
        Self { options, rig, contenders, results, rate: RATE, round: 0, again: 0 }
    }

    /// All rounds, and the counts after them.
    pub(super) fn all(&mut self, workloads: &[Workload]) {
        self.note_conditions();
        for contender in self.contenders {
            if let Some(memory) = contender.pid().and_then(|pid| resident(pid).ok()) {
                self.results.idle(contender.kind, memory.all);
            }
        }
        let rounds = self.options.rounds.unwrap_or(if self.options.quick { 4 } else { 10 });
        self.again = rounds * AGAIN_IN_A_ROUND;
        for round in 0..rounds {
            self.round = round;
            for &workload in workloads {
                progress(&format!("round {} of {rounds}: {}", round + 1, workload.name()));
                for step in 0..self.contenders.len() {
                    let contender = &self.contenders[(step + round as usize) % self.contenders.len()];
                    if workload.takes(contender.kind) {
                        self.window(workload, contender);
                    }
                }
                if workload == Workload::Chat {
                    self.rate = self.results.slowest_rate(workload).unwrap_or(RATE);
                }
            }
        }
        for &workload in workloads.iter().filter(|workload| COUNTED.contains(workload)) {
            progress(&format!("system calls: {}", workload.name()));
            for contender in self.contenders.iter().filter(|one| workload.takes(one.kind)) {
                self.count_calls(workload, contender);
            }
        }
    }

    fn note_conditions(&mut self) {
        let Options { contender_cpu, rig_cpu, .. } = self.options;
        self.results.note(format!("contender on CPU {contender_cpu}, clients and origin on CPU {rig_cpu}"));
        if cfg!(debug_assertions) {
            self.results.note("this is a debug build: the figures are worth nothing".to_owned());
        }
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default();
        let control = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
        self.results
            .note(format!("load average before the run: {load}; TCP congestion control: {}", control.trim()));
    }

    /// Measures one contender under one workload; again if latencies count and were disturbed.
    fn window(&mut self, workload: Workload, contender: &Contender) {
        loop {
            match self.measure(workload, contender) {
                Ok(sample) if sample.is_disturbed() && workload.has_latencies() && self.again > 0 => {
                    self.again -= 1;
                }
                Ok(sample) => return self.results.add(workload, contender.kind, sample),
                Err(why) => {
                    self.results.spoil(format!("{} under {}: {why}", contender.kind.name(), workload.name()));
                    if let Err(error) = self.rig.abort() {
                        self.results.note(format!("after that: {error}"));
                    }
                    return;
                }
            }
        }
    }

    fn measure(&mut self, workload: Workload, contender: &Contender) -> Result<Sample, String> {
        let text = |error: io::Error| error.to_string();
        let default_ms = if self.options.quick { 350 } else { 2000 };
        let time = Duration::from_millis(self.options.window_ms.unwrap_or(default_ms)) * workload.stretch();
        let own = std::process::id();
        let look = |pid: Option<u32>| pid.map(|pid| cpu(pid, contender.threads())).transpose();
        self.rig.start(door(workload, contender)?, workload.load(self.rate)).map_err(text)?;
        let warm_up = self.rig.run(time / 4).map_err(text)?;
        let (before, own_before) = (look(contender.pid()).map_err(text)?, cpu(own, None).map_err(text)?);
        let begin = std::time::Instant::now();
        let counts = self.rig.run(time).map_err(text)?;
        let seconds = begin.elapsed().as_secs_f64();
        let (after, own_after) = (look(contender.pid()).map_err(text)?, cpu(own, None).map_err(text)?);
        let memory = contender.pid().and_then(|pid| resident(pid).ok()).map(|memory| memory.all);
        let failures = self.rig.finish().map_err(text)?.failures;
        let mut failures = warm_up.failures.iter().chain(&counts.failures).chain(&failures);
        if let Some(failure) = failures.next() {
            return Err(format!("{failure} (and {} more)", failures.count()));
        }
        if counts.done == 0 {
            return Err("nothing went through".to_owned());
        }
        let spent = before.zip(after).map(|(before, after)| after.since(&before));
        let own_spent = own_after.since(&own_before);
        // Requests that a stall of the warm-up delayed are counted in the window.
        let stalled = (warm_up.stalled + counts.stalled).as_secs_f64() / seconds;
        let lost = lost(spent, own_spent, seconds).max(stalled);
        let rig_busy = counts.busy.unwrap_or(own_spent.seconds / seconds);
        Ok(Sample {
            round: self.round,
            done: counts.done,
            seconds,
            spent,
            nanos: counts.nanos,
            memory,
            rig_busy,
            lost,
        })
    }

    /// Counts the system calls of one contender under one workload, after all rounds.
    fn count_calls(&mut self, workload: Workload, contender: &Contender) {
        let Some(pid) = contender.pid() else { return };
        let mut counted = || -> Result<f64, String> {
            let text = |error: io::Error| error.to_string();
            self.rig.start(door(workload, contender)?, workload.load(self.rate)).map_err(text)?;
            self.rig.run(COUNT_TIME / 4).map_err(text)?;
            let count = Count::start(pid, COUNT_TIME);
            let counts = self.rig.run(COUNT_TIME + COUNT_TIME / 4).map_err(text);
            self.rig.finish().map_err(text)?;
            let done = counts?.done as f64 / (COUNT_TIME + COUNT_TIME / 4).as_secs_f64();
            Ok(count?.per_second(COUNT_TIME)? / done.max(1.0))
        };
        match counted() {
            Ok(each) => self.results.calls(workload, contender.kind, each),
            Err(why) => self.results.note(format!("system calls are not counted: {why}")),
        }
    }
}
