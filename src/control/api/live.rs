//! Live figures of endpoints, for the lists that tell them: status, uptime, latency and throughput.
//!
//! The cores keep totals since each endpoint was first used. Once a minute they are written down here, so
//! that what happened in the last five minutes, half hour and day is a difference of two totals.
//! Deliberately absent: decisions (each core makes its own, from its own view), and what a provider says of
//! itself.

use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::policy::health::board::Board;
use crate::policy::health::outcome::Kind;
use crate::policy::health::summary::{Summary, summaries};
use crate::policy::live::Percentiles;

/// How often totals are written down.
const MARK_EVERY: Duration = Duration::from_secs(60);
/// Every so many marks one is kept for the day.
const COARSE_EVERY: u32 = 30;
/// Marks of the last half hour, and of the last day: the oldest is as old as the span.
const FINE: usize = 30;
const COARSE: usize = 48;
/// Below this share of served requests an endpoint is called degraded, in percent, as at OpenRouter.
const DEGRADED_BELOW: f64 = 95.0;

/// Served and failed requests of one endpoint.
type Totals = [u64; 2];

/// Totals of all endpoints at one moment, by tag, sorted.
type Mark = Vec<(u64, Totals)>;

/// Totals, minute by minute.
#[derive(Debug, Default)]
struct History {
    fine: VecDeque<Mark>,
    coarse: VecDeque<Mark>,
    marks: u32,
}

/// 429s are no failures, and the caller's own faults were never counted.
fn totals(summary: &Summary) -> Totals {
    let count = |wanted: fn(Kind) -> bool| {
        Kind::ALL
            .into_iter()
            .zip(summary.totals)
            .filter(|(kind, _)| wanted(*kind))
            .map(|(_, count)| count)
            .sum()
    };
    [count(|kind| kind == Kind::Served), count(Kind::is_failure)]
}

impl History {
    fn mark(&mut self, all: &HashMap<u64, Summary>) {
        let mut mark: Mark = all.iter().map(|(tag, summary)| (*tag, totals(summary))).collect();
        mark.sort_unstable_by_key(|(tag, _)| *tag);
        if self.marks.is_multiple_of(COARSE_EVERY) {
            keep(&mut self.coarse, mark.clone(), COARSE);
        }
        self.marks = self.marks.wrapping_add(1);
        keep(&mut self.fine, mark, FINE);
    }

    /// Served requests in percent since a mark; `None` when there was no request.
    fn uptime(mark: Option<&Mark>, tag: u64, now: Totals) -> Option<f64> {
        let known = mark.and_then(|mark| {
            mark.binary_search_by_key(&tag, |(tag, _)| *tag).ok().map(|place| mark[place].1)
        });
        // A row that began anew counts from its beginning.
        let before = known.filter(|then| then[0] <= now[0] && then[1] <= now[1]).unwrap_or_default();
        let (served, failed) = (now[0] - before[0], now[1] - before[1]);
        (served + failed > 0).then(|| 100.0 * served as f64 / (served + failed) as f64)
    }

    /// Uptime in the last five minutes, half hour and day, or since the start where that is later.
    fn uptimes(&self, tag: u64, now: Totals) -> [Option<f64>; 3] {
        let five = self.fine.len().checked_sub(5).and_then(|place| self.fine.get(place));
        let five = five.or(self.fine.front());
        [five, self.fine.front(), self.coarse.front()].map(|mark| Self::uptime(mark, tag, now))
    }
}

fn keep(marks: &mut VecDeque<Mark>, mark: Mark, most: usize) {
    if marks.len() == most {
        marks.pop_front();
    }
    marks.push_back(mark);
}

/// The board, and what it said before.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    board: Arc<Board>,
    history: Arc<Mutex<History>>,
}

impl Watch {
    /// Begins now.
    pub(super) fn new(board: &Arc<Board>) -> Self {
        Self { board: Arc::clone(board), history: Arc::default() }
    }

    /// Writes totals down, once a minute, for ever.
    pub(super) async fn run(self) {
        let mut ticks = tokio::time::interval(MARK_EVERY);
        loop {
            ticks.tick().await;
            self.mark();
        }
    }

    fn mark(&self) {
        let all = summaries(&self.board);
        self.history.lock().unwrap_or_else(PoisonError::into_inner).mark(&all);
    }

    /// What is known right now, by tag.
    pub(super) fn read(&self) -> Live {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let all = summaries(&self.board).into_iter();
        Live(
            all.map(|(tag, one)| {
                (tag, Figures { uptimes: history.uptimes(tag, totals(&one)), summary: one })
            })
            .collect(),
        )
    }
}

#[derive(Clone, Debug)]
struct Figures {
    summary: Summary,
    uptimes: [Option<f64>; 3],
}

/// Live figures of all endpoints that were used, by tag.
#[derive(Clone, Debug, Default)]
pub(super) struct Live(HashMap<u64, Figures>);

impl Live {
    /// Writes an endpoint's members. What was never used, or not lately, has no figures.
    pub(super) fn describe(&self, tag: u64, endpoint: &mut Value) {
        let known = self.0.get(&tag);
        let [five, half_hour, day] = known.map_or([None; 3], |one| one.uptimes);
        endpoint["status"] = json!(known.map_or(0, status));
        endpoint["uptime_last_5m"] = json!(five);
        endpoint["uptime_last_30m"] = json!(half_hour);
        endpoint["uptime_last_1d"] = json!(day);
        endpoint["latency_last_30m"] = known.map_or(Value::Null, |one| percentiles(one.summary.ttft_ms));
        endpoint["throughput_last_30m"] =
            known.map_or(Value::Null, |one| percentiles(one.summary.tokens_per_second));
    }
}

/// 0 is well; -1: some cores pause it, or it fails too often; -2: every core that used it pauses it.
fn status(figures: &Figures) -> i32 {
    let Summary { tripped, cores, .. } = figures.summary;
    match figures.uptimes[1] {
        _ if tripped > 0 && tripped == cores => -2,
        _ if tripped > 0 => -1,
        Some(uptime) if uptime < DEGRADED_BELOW => -1,
        Some(_) | None => 0,
    }
}

/// Null when nothing was measured. Single precision shows as many digits as it has.
fn percentiles(all: Percentiles) -> Value {
    if all.p50 <= 0.0 {
        return Value::Null;
    }
    let [p50, p75, p90, p99] = all.all().map(|figure| (f64::from(figure) * 100.0).round() / 100.0);
    json!({"p50": p50, "p75": p75, "p90": p90, "p99": p99})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::health::board::Cell;
    use crate::policy::health::breaker::Position;

    fn board(served: u64, failed: u64, limited: u64, tripped: [bool; 2]) -> Arc<Board> {
        let board = Board::new(2);
        for (core, tripped) in tripped.into_iter().enumerate() {
            let mut cell = Cell { tag: 7, ttft_ms: 30.0, served: 1, ..Cell::default() };
            cell.position = Position { tripped, ..Position::default() };
            cell.ttft_ms_at = Percentiles { p50: 12.5, p75: 20.0, p90: 30.0, p99: 40.0 };
            if core == 0 {
                for (kind, count) in [(Kind::Served, served), (Kind::Death, failed), (Kind::Limited, limited)]
                {
                    cell.totals[kind as usize] = count;
                }
            }
            board.write(core, 0, &cell);
            board.set_count(core, 1);
        }
        Arc::new(board)
    }

    fn told(watch: &Watch) -> Value {
        let mut endpoint = json!({});
        watch.read().describe(7, &mut endpoint);
        endpoint
    }

    #[test]
    fn figures_are_told_and_429s_are_no_downtime() {
        let told = told(&Watch::new(&board(99, 1, 50, [false; 2])));
        assert_eq!(told["uptime_last_30m"], 99.0);
        assert_eq!(told["latency_last_30m"], json!({"p50": 12.5, "p75": 20.0, "p90": 30.0, "p99": 40.0}));
        assert_eq!((&told["throughput_last_30m"], &told["status"]), (&Value::Null, &json!(0)));
        let mut unused = json!({});
        Live::default().describe(7, &mut unused);
        assert_eq!((&unused["status"], &unused["uptime_last_1d"]), (&json!(0), &Value::Null));
    }

    #[test]
    fn a_status_follows_from_breakers_and_failures() {
        for (served, failed, tripped, want) in [
            (100, 0, [false, false], 0),
            (100, 0, [true, false], -1),
            (100, 0, [true, true], -2),
            (94, 6, [false, false], -1),
            (95, 5, [false, false], 0),
            (0, 0, [false, false], 0),
        ] {
            assert_eq!(told(&Watch::new(&board(served, failed, 0, tripped)))["status"], want);
        }
    }

    #[test]
    fn an_uptime_is_about_its_span_only() {
        let mut watch = Watch::new(&board(0, 10, 0, [false; 2]));
        for (minutes, five, half_hour, day) in [
            (1, 50.0, 50.0, 50.0),
            (6, 100.0, 50.0, 50.0),
            (31, 100.0, 100.0, 50.0),
            (3_000, 100.0, 100.0, 100.0),
        ] {
            watch.board = board(0, 0, 0, [false; 2]);
            *watch.history.lock().expect("one thread") = History::default();
            watch.mark();
            // Ten failures and ten served; then ten served in the last moment, `minutes` later.
            watch.board = board(10, 10, 0, [false; 2]);
            (1..minutes).for_each(|_| watch.mark());
            watch.board = board(10 + if minutes > 1 { 10 } else { 0 }, 10, 0, [false; 2]);
            let told = told(&watch);
            let uptime = |name: &str| told[name].as_f64().map(|share| (share * 10.0).round() / 10.0);
            let blended = |share: f64| if minutes > 1 && share == 50.0 { 66.7 } else { share };
            let want = [five, half_hour, day].map(|share| Some(blended(share)));
            let got = ["uptime_last_5m", "uptime_last_30m", "uptime_last_1d"].map(uptime);
            assert_eq!(got, want, "{minutes} minutes");
        }
        let history = watch.history.lock().expect("one thread");
        assert_eq!((history.fine.len(), history.coarse.len()), (FINE, COARSE));
    }

    #[test]
    fn a_row_that_began_anew_counts_from_there() {
        let mut watch = Watch::new(&board(1_000, 1_000, 0, [false; 2]));
        watch.mark();
        watch.board = board(9, 1, 0, [false; 2]);
        assert_eq!(told(&watch)["uptime_last_30m"], 90.0);
    }
}
