//! Shortest time to the first token first.
//!
//! Deliberately absent: chance.

use super::{Field, Rank, Strategy, Task, by_figure};

pub(super) struct Latency;

impl Strategy for Latency {
    fn score(&self, _: &Task<'_>, field: &Field<'_>, ranks: &mut [Rank]) {
        by_figure(ranks, field, |figures| figures.ttft_ms);
    }
}
