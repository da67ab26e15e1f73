//! Most tokens per second first.
//!
//! Deliberately absent: chance.

use super::{Field, Rank, Strategy, Task, by_figure};

/// Seconds that so many tokens take are compared, so that lower is better.
const TOKENS: f32 = 1_000.0;

pub(super) struct Throughput;

impl Strategy for Throughput {
    fn score(&self, _: &Task<'_>, field: &Field<'_>, ranks: &mut [Rank]) {
        by_figure(ranks, field, |figures| {
            let speed = figures.tokens_per_second;
            if speed > 0.0 { TOKENS / speed } else { 0.0 }
        });
    }
}
