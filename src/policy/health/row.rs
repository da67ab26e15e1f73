//! What one core knows of one endpoint: counts, speeds, breaker, pause and cap, with what other cores say.
//!
//! Deliberately absent: which endpoint it is (`layout`), and when rows are exchanged (`mod`).

use core::time::Duration;

use crate::base::time::Moment;
use crate::policy::health::End;
use crate::policy::health::backoff::Backoff;
use crate::policy::health::board::Cell;
use crate::policy::health::breaker::{Breaker, Change, State, Tally};
use crate::policy::health::cap::Cap;
use crate::policy::health::histogram::Histogram;
use crate::policy::health::outcome::{KINDS, Kind};
use crate::policy::health::window::Window;
use crate::policy::live::{Figures, Percentiles};

/// Over which ends are counted.
const SPAN: Duration = Duration::from_secs(30);
/// Weight of the newest value in an average.
const NEWEST: f32 = 0.125;
/// How old percentiles may be.
const PERCENTILES_EVERY: Duration = Duration::from_secs(1);
/// First pause of an outlier; it doubles each time, five times at most.
const OUTLIER_PAUSE: Duration = Duration::from_secs(10);
const OUTLIER_DOUBLINGS: u32 = 5;

/// An average in which the newest value weighs an eighth; 0 until there is one.
fn blend(average: &mut f32, value: f32) {
    *average = if *average == 0.0 { value } else { *average + (value - *average) * NEWEST };
}

/// Sums over the cells of the other cores.
#[derive(Clone, Copy, Debug, Default)]
struct Peers {
    under_way: u32,
    tokens: u32,
    /// Of those whose breaker is closed: the others count what was before.
    tally: Tally,
    limited: u32,
    ttft: Mean,
    ttft_p95: Mean,
    speed: Mean,
}

/// A mean of averages, each weighted by how many answers stand behind it.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    weight: f32,
    average: f32,
    at: [f32; 4],
}

impl Mean {
    fn add(&mut self, served: u32, average: f32, at: Percentiles) {
        if average > 0.0 {
            let weight = served.max(1) as f32;
            self.weight += weight;
            self.average += weight * average;
            self.at.iter_mut().zip(at.all()).for_each(|(sum, value)| *sum += weight * value);
        }
    }

    /// With one more average, of whoever asks.
    fn with(mut self, served: u32, average: f32, at: Percentiles) -> (f32, Percentiles) {
        // Mostly there is one core that says anything.
        if self.weight == 0.0 {
            return if average > 0.0 { (average, at) } else { (0.0, Percentiles::default()) };
        }
        self.add(served, average, at);
        let weight = self.weight.max(1.0);
        let [p50, p75, p90, p99] = self.at.map(|sum| sum / weight);
        (self.average / weight, Percentiles { p50, p75, p90, p99 })
    }
}

/// Histograms, which only an endpoint that serves answers needs.
#[derive(Clone, Debug, Default)]
struct Speeds {
    ttft_ms: Histogram,
    tokens_per_second: Histogram,
}

/// How fast an answer came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Speed {
    /// Tokens per second, waiting included; `None` when too few were counted to tell.
    pub tokens_per_second: Option<f32>,
    /// Bytes of the answer per second, waiting included.
    pub bytes_per_second: f32,
}

/// Completion tokens, at least, that tell a speed.
const TOKENS_LEAST: u64 = 16;

impl Speed {
    /// How fast an answer was that took so long.
    pub(super) fn of(end: &End, took: Duration) -> Self {
        let seconds = took.as_secs_f32().max(0.001);
        let tokens = end.completion_tokens.filter(|tokens| *tokens >= TOKENS_LEAST);
        Self {
            tokens_per_second: tokens.map(|tokens| tokens as f32 / seconds),
            bytes_per_second: end.answer_bytes as f32 / seconds,
        }
    }
}

/// First events, at least, that tell their 95th percentile: with fewer it is the longest one.
const P95_LEAST: u32 = 20;

/// One endpoint on one core.
#[derive(Clone, Debug)]
pub struct Row {
    /// Whose.
    pub tag: u64,
    /// Place in the layout.
    pub row: u32,
    /// The last attempt here on this core; never for a row that only others use.
    pub used_at: Option<Moment>,
    /// Requests under way.
    pub under_way: u32,
    tokens: u32,
    window: Window<KINDS>,
    totals: [u64; KINDS],
    breaker: Breaker,
    /// The pause after a 429, or of an account.
    pub backoff: Backoff,
    cap: Cap,
    connect_ms: f32,
    ttft_ms: f32,
    tokens_per_second: f32,
    bytes_per_second: f32,
    speeds: Option<Box<Speeds>>,
    percentiles: [Percentiles; 2],
    ttft_ms_p95: f32,
    percentiles_due: Moment,
    outlier_at: Moment,
    outlier_until: Moment,
    outlier_times: u32,
    /// First events since the row was last found an outlier.
    fresh: u32,
    peers: Peers,
}

impl Row {
    /// Of an endpoint of which nothing is known.
    #[must_use]
    pub fn new(tag: u64, row: u32) -> Self {
        Self {
            tag,
            row,
            used_at: None,
            under_way: 0,
            tokens: 0,
            window: Window::new(SPAN),
            totals: [0; KINDS],
            breaker: Breaker::default(),
            backoff: Backoff::default(),
            cap: Cap::default(),
            connect_ms: 0.0,
            ttft_ms: 0.0,
            tokens_per_second: 0.0,
            bytes_per_second: 0.0,
            speeds: None,
            percentiles: [Percentiles::default(); 2],
            ttft_ms_p95: 0.0,
            percentiles_due: Moment::default(),
            outlier_at: Moment::default(),
            outlier_until: Moment::default(),
            outlier_times: 0,
            fresh: 0,
            peers: Peers::default(),
        }
    }

    /// An attempt begins.
    pub fn begin(&mut self, now: Moment, tokens: u32) {
        self.used_at = Some(now);
        self.under_way += 1;
        self.tokens = self.tokens.saturating_add(tokens);
    }

    /// It is over, whatever came of it.
    pub fn leave(&mut self, tokens: u32) {
        self.under_way = self.under_way.saturating_sub(1);
        self.tokens = self.tokens.saturating_sub(tokens);
    }

    /// A connection was made in this time.
    pub fn connected(&mut self, took: Duration) {
        blend(&mut self.connect_ms, took.as_secs_f32() * 1000.0);
    }

    /// The first event of an attempt that began at `begun` is here.
    pub fn first_event(&mut self, begun: Moment, now: Moment) {
        let ms = now.since(begun).as_secs_f32() * 1000.0;
        // What began before it was found an outlier says nothing about the time since.
        if begun >= self.outlier_at {
            if self.fresh == 0 {
                self.ttft_ms = 0.0;
            }
            self.fresh = self.fresh.saturating_add(1);
            blend(&mut self.ttft_ms, ms);
        }
        self.speeds.get_or_insert_default().ttft_ms.add(now, ms);
    }

    /// An attempt that began at `begun` is given up for a faster one. If it has waited for longer than usual
    /// already, that is counted as the wait: else only those waits would count that were short enough to win.
    pub fn outrun(&mut self, begun: Moment, now: Moment) {
        if self.ttft_ms > 0.0 && now.since(begun).as_secs_f32() * 1000.0 > self.ttft_ms {
            self.first_event(begun, now);
        }
    }

    /// An answer was served whole, while `under_way` (itself included) were.
    pub fn served(&mut self, begun: Moment, now: Moment, under_way: u32, speed: Speed) {
        self.count(now, Kind::Served);
        self.backoff.served(begun);
        self.cap.served(begun, now, under_way);
        if self.breaker.served(begun, now) == Change::Closed {
            self.window.clear();
        }
        blend(&mut self.bytes_per_second, speed.bytes_per_second);
        if let Some(tokens) = speed.tokens_per_second {
            blend(&mut self.tokens_per_second, tokens);
            self.speeds.get_or_insert_default().tokens_per_second.add(now, tokens);
        }
    }

    /// An attempt failed, while `under_way` (itself included) were.
    pub fn failed(&mut self, kind: Kind, begun: Moment, now: Moment, under_way: u32, random: u64) {
        self.count(now, kind);
        let tally = self.tally(now);
        if self.breaker.failed(kind, begun, now, tally, random) == Change::Opened {
            self.cap.opened(now, under_way);
        }
    }

    /// It refused an attempt because there were too many.
    pub fn overloaded(&mut self, begun: Moment, now: Moment, under_way: u32) {
        self.cap.refused(begun, now, under_way);
    }

    /// Counts an end.
    pub fn count(&mut self, now: Moment, kind: Kind) {
        self.window.add(now, kind as usize);
        self.totals[kind as usize] += 1;
    }

    /// This core's window.
    fn tally(&mut self, now: Moment) -> Tally {
        Tally::of(&self.window.sums(now))
    }

    /// Forgets what other cores said, before they say it anew.
    pub fn forget_peers(&mut self) {
        self.peers = Peers::default();
    }

    /// What another core says.
    pub fn hear(&mut self, now: Moment, cell: &Cell) {
        if self.breaker.hear(now, cell.position) == Change::Opened {
            self.cap.opened(now, self.under_way);
        }
        self.backoff.hear(cell.backoff_until);
        let peers = &mut self.peers;
        peers.under_way += cell.under_way;
        peers.tokens = peers.tokens.saturating_add(cell.tokens);
        peers.limited += cell.limited;
        if !cell.position.tripped {
            peers.tally.failed += cell.failed;
            peers.tally.served += cell.served;
        }
        peers.ttft.add(cell.served, cell.ttft_ms, cell.ttft_ms_at);
        peers.ttft_p95.add(cell.served, cell.ttft_ms_p95, Percentiles::default());
        peers.speed.add(cell.served, cell.tokens_per_second, cell.tokens_per_second_at);
    }

    /// All cores together may have seen enough to judge.
    pub fn judge(&mut self, now: Moment, random: u64) {
        let tally = self.merged(now);
        if self.peers.tally.failed > 0 && self.breaker.merged(now, tally, random) == Change::Opened {
            self.cap.opened(now, self.under_way);
        }
    }

    /// The window of all cores.
    pub fn merged(&mut self, now: Moment) -> Tally {
        self.tally(now).plus(self.peers.tally)
    }

    /// First events since it was last found an outlier, as far as this core counts them.
    #[must_use]
    pub const fn fresh(&self) -> u32 {
        self.fresh
    }

    /// It is far worse than its peers, or it is not.
    pub fn compared(&mut self, now: Moment, is_outlier: bool, random: u64) {
        if !is_outlier {
            self.outlier_times = 0;
        } else if now >= self.outlier_until {
            let pause = OUTLIER_PAUSE * (1 << self.outlier_times.min(OUTLIER_DOUBLINGS));
            self.outlier_until = now + super::breaker::spread(pause, random);
            self.outlier_times += 1;
            self.outlier_at = now;
            self.fresh = 0;
            // What is failing leaves the window, so that it is judged by what comes.
            self.window.clear();
            self.cap.opened(now, self.under_way);
        }
    }

    /// Where its breaker stands.
    #[must_use]
    pub fn state(&self, now: Moment) -> State {
        self.breaker.state(now)
    }

    /// It may take a request among the first: not paused, and not at its cap.
    #[must_use]
    pub fn is_well(&self, now: Moment) -> bool {
        self.pause_end() <= now && self.under_way < self.cap.requests()
    }

    /// When the last of its pauses ends; in the past when there is none.
    #[must_use]
    pub fn pause_end(&self) -> Moment {
        let position = self.breaker.position();
        let open = if position.tripped { position.until } else { Moment::default() };
        open.max(self.backoff.until()).max(self.outlier_until)
    }

    /// Tokens under way, on all cores.
    #[must_use]
    pub const fn tokens_in_flight(&self) -> u32 {
        self.tokens.saturating_add(self.peers.tokens)
    }

    /// The figures for routing, of all cores; `healthy` of this row alone.
    pub fn figures(&mut self, now: Moment) -> Figures {
        let sums = self.window.sums(now);
        let own = Tally::of(&sums);
        let tally = own.plus(self.peers.tally);
        let limited = sums[Kind::Limited as usize] + self.peers.limited;
        let all = tally.failed + tally.served + limited;
        let [ttft_at, speed_at] = self.percentiles;
        let (ttft_ms, ttft_ms_at) = self.peers.ttft.with(own.served, self.ttft_ms, ttft_at);
        let (tokens_per_second, tokens_per_second_at) =
            self.peers.speed.with(own.served, self.tokens_per_second, speed_at);
        let (ttft_ms_p95, _) = self.peers.ttft_p95.with(own.served, self.ttft_ms_p95, Percentiles::default());
        Figures {
            healthy: self.is_well(now),
            error_share: tally.share(),
            limited_share: limited as f32 / all.max(1) as f32,
            tokens_in_flight: self.tokens_in_flight(),
            ttft_ms,
            tokens_per_second,
            ttft_ms_at,
            tokens_per_second_at,
            ttft_ms_p95,
        }
    }

    /// Brings the percentiles up to date, once in a while.
    pub fn age(&mut self, now: Moment) {
        if now < self.percentiles_due {
            return;
        }
        self.percentiles_due = now + PERCENTILES_EVERY;
        self.cap.age(now);
        if let Some(speeds) = &mut self.speeds {
            self.percentiles =
                [speeds.ttft_ms.percentiles(now, false), speeds.tokens_per_second.percentiles(now, true)];
            let p95 = speeds.ttft_ms.percentile_of(now, 95, P95_LEAST);
            // Less than a millisecond is measured, too: only zero says that nothing was.
            self.ttft_ms_p95 = p95.map_or(0.0, |ms| ms.max(1.0));
        }
    }

    /// What this core says to the others.
    pub fn cell(&mut self, now: Moment) -> Cell {
        let Tally { failed, served } = self.tally(now);
        Cell {
            tag: if self.used_at.is_some() { self.tag } else { 0 },
            under_way: self.under_way,
            tokens: self.tokens,
            position: self.breaker.position(),
            backoff_until: self.backoff.until(),
            served,
            failed,
            limited: self.window.sums(now)[Kind::Limited as usize],
            cap: self.cap.requests(),
            ttft_ms: self.ttft_ms,
            tokens_per_second: self.tokens_per_second,
            connect_ms: self.connect_ms,
            bytes_per_second: self.bytes_per_second,
            ttft_ms_at: self.percentiles[0],
            tokens_per_second_at: self.percentiles[1],
            ttft_ms_p95: self.ttft_ms_p95,
            totals: self.totals,
        }
    }
}
