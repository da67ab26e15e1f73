//! Shortest time to the first token first.
//!
//! Deliberately absent: chance.

use super::{Contender, Strategy, Task, by_figure};

pub(super) struct Latency;

impl Strategy for Latency {
    fn score(&self, _: &Task<'_>, contenders: &mut [Contender<'_>]) {
        by_figure(contenders, |contender| contender.figures.ttft_ms);
    }
}
