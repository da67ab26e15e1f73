//! A draw by configured weights: an endpoint of weight 3 goes first three times as often as one of weight 1.
//!
//! Deliberately absent: prices and figures. An endpoint of weight 0 is tried after all others only.

use super::{Field, Rank, Strategy, Task, by_weight, chance, minus_ln};

pub(super) struct Weighted;

impl Strategy for Weighted {
    fn score(&self, task: &Task<'_>, field: &Field<'_>, ranks: &mut [Rank]) {
        for (turn, rank) in ranks.iter_mut().enumerate() {
            let weight = field.weight(turn);
            *rank = by_weight(minus_ln(chance(task.random, turn as u32)) / weight.max(1.0), weight);
        }
    }
}
