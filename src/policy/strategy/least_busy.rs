//! Fewest tokens in flight first, by the share each endpoint is meant to carry: for private fleets, where all
//! endpoints cost the same and queue what they cannot serve at once.
//!
//! Deliberately absent: chance, except between endpoints that are equally busy.

use super::{Field, Rank, Strategy, Task, by_weight, chance};

pub(super) struct LeastBusy;

impl Strategy for LeastBusy {
    fn score(&self, task: &Task<'_>, field: &Field<'_>, ranks: &mut [Rank]) {
        for (turn, rank) in ranks.iter_mut().enumerate() {
            // Idle endpoints share what comes first: all cores together would else begin at the same one.
            let chance = chance(task.random, turn as u32);
            let busy = field.figures(turn).tokens_in_flight as f32;
            let weight = field.weight(turn);
            *rank = by_weight((busy + chance) / weight.max(1.0), weight);
        }
    }
}
