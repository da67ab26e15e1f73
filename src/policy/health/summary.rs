//! The board read as a whole: what all cores together say of each endpoint, for operators and the catalogue's
//! API.
//!
//! Deliberately absent: decisions. Each core makes its own from its own view.

use std::collections::HashMap;

use crate::policy::health::board::{Board, Cell};
use crate::policy::health::outcome::KINDS;
use crate::policy::live::Percentiles;

/// One endpoint over all cores.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Requests under way.
    pub under_way: u64,
    /// Cores that have used it.
    pub cores: u32,
    /// Cores whose breaker is open or half-open.
    pub tripped: u32,
    /// Answers served in the last half minute.
    pub served: u64,
    /// Failures in the last half minute.
    pub failed: u64,
    /// 429s in the last half minute.
    pub limited: u64,
    /// Ends by kind since it was first used.
    pub totals: [u64; KINDS],
    /// Milliseconds to the first event, over five minutes: the cores' percentiles, weighted by their answers.
    pub ttft_ms: Percentiles,
    /// Tokens per second, over five minutes; higher percentiles are lower speeds.
    pub tokens_per_second: Percentiles,
    /// Usual milliseconds to connect.
    pub connect_ms: f32,
    weights: [f32; 3],
}

/// Brings a value into a mean.
fn mix(mean: &mut f32, value: f32, part: f32) {
    *mean += (value - *mean) * part;
}

fn mix_all(mean: &mut Percentiles, value: Percentiles, part: f32) {
    mix(&mut mean.p50, value.p50, part);
    mix(&mut mean.p75, value.p75, part);
    mix(&mut mean.p90, value.p90, part);
    mix(&mut mean.p99, value.p99, part);
}

impl Summary {
    fn add(&mut self, cell: &Cell) {
        self.cores += 1;
        self.under_way += u64::from(cell.under_way);
        self.tripped += u32::from(cell.position.tripped);
        self.served += u64::from(cell.served);
        self.failed += u64::from(cell.failed);
        self.limited += u64::from(cell.limited);
        self.totals.iter_mut().zip(cell.totals).for_each(|(sum, count)| *sum += count);
        let weight = cell.served.max(1) as f32;
        // What a core has not measured does not pull the mean down.
        let measured = [cell.ttft_ms > 0.0, cell.tokens_per_second > 0.0, cell.connect_ms > 0.0];
        let parts = core::array::from_fn::<f32, 3, _>(|which| {
            self.weights[which] += if measured[which] { weight } else { 0.0 };
            if measured[which] { weight / self.weights[which] } else { 0.0 }
        });
        mix_all(&mut self.ttft_ms, cell.ttft_ms_at, parts[0]);
        mix_all(&mut self.tokens_per_second, cell.tokens_per_second_at, parts[1]);
        mix(&mut self.connect_ms, cell.connect_ms, parts[2]);
    }
}

/// The summaries of all endpoints that any core has used, by tag.
#[must_use]
pub fn summaries(board: &Board) -> HashMap<u64, Summary> {
    let mut all: HashMap<u64, Summary> = HashMap::new();
    for core in 0..board.cores() {
        board.cells(core).for_each(|cell| all.entry(cell.tag).or_default().add(&cell));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::health::breaker::Position;

    fn cell(served: u32, ttft: f32) -> Cell {
        Cell {
            tag: 7,
            under_way: 2,
            position: Position { tripped: ttft > 200.0, ..Position::default() },
            served,
            failed: 1,
            ttft_ms: ttft,
            ttft_ms_at: Percentiles { p50: ttft, p75: ttft, p90: ttft, p99: 2.0 * ttft },
            totals: [1; KINDS],
            ..Cell::default()
        }
    }

    #[test]
    fn cores_are_added_and_means_are_weighted() {
        let board = Board::new(3);
        for (core, cell) in [cell(30, 100.0), cell(10, 300.0), cell(50, 0.0)].iter().enumerate() {
            board.write(core, 0, cell);
            board.set_count(core, 1);
        }
        board.write(0, 1, &Cell { tag: 9, served: 4, ..Cell::default() });
        board.set_count(0, 2);
        let all = summaries(&board);
        let one = all[&7];
        assert_eq!((one.under_way, one.tripped, one.served, one.failed), (6, 1, 90, 3));
        assert_eq!((one.cores, all[&9].cores), (3, 1));
        assert_eq!((one.totals, one.ttft_ms.p50, one.ttft_ms.p99), ([3; KINDS], 150.0, 300.0));
        assert_eq!((one.tokens_per_second, one.connect_ms), (Percentiles::default(), 0.0));
        assert_eq!((all.len(), all[&9].served), (2, 4));
    }
}
