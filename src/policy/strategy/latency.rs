//! Shortest time to the first token first.
//!
//! Deliberately absent: chance.

use super::{Contender, Field, Strategy, Task, by_figure};

pub(super) struct Latency;

impl Strategy for Latency {
    fn score(&self, _: &Task<'_>, field: &Field<'_>, contenders: &mut [Contender]) {
        by_figure(contenders, field, |figures| figures.ttft_ms);
    }
}
