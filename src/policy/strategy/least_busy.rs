//! Fewest tokens in flight first, by the share each endpoint is meant to carry: for private fleets, where all
//! endpoints cost the same and queue what they cannot serve at once.
//!
//! Deliberately absent: chance, except between endpoints that are equally busy.

use super::{Contender, Strategy, Task, draw, fraction};

pub(super) struct LeastBusy;

impl Strategy for LeastBusy {
    fn score(&self, task: &Task<'_>, contenders: &mut [Contender<'_>]) {
        for (turn, contender) in contenders.iter_mut().enumerate() {
            // Idle endpoints share what comes first: all cores together would else begin at the same one.
            let chance = fraction(draw(task.random, turn));
            let busy = contender.figures.tokens_in_flight as f32;
            contender.tier = u8::from(contender.weight <= 0.0);
            contender.score = (busy + chance) / contender.weight.max(1.0);
        }
    }
}
