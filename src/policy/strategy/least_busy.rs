//! Fewest tokens in flight first, by the share each endpoint is meant to carry: for private fleets, where all
//! endpoints cost the same and queue what they cannot serve at once.
//!
//! Deliberately absent: chance, except between endpoints that are equally busy.

use super::{Contender, Field, Strategy, Task, draw, fraction};

pub(super) struct LeastBusy;

impl Strategy for LeastBusy {
    fn score(&self, task: &Task<'_>, field: &Field<'_>, contenders: &mut [Contender]) {
        for (turn, contender) in contenders.iter_mut().enumerate() {
            // Idle endpoints share what comes first: all cores together would else begin at the same one.
            let chance = fraction(draw(task.random, turn));
            let busy = field.figures(contender).tokens_in_flight as f32;
            let weight = field.weight(contender);
            contender.tier = u8::from(weight <= 0.0);
            contender.score = (busy + chance) / weight.max(1.0);
        }
    }
}
