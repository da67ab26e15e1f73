//! A draw by configured weights: an endpoint of weight 3 goes first three times as often as one of weight 1.
//!
//! Deliberately absent: prices and figures. An endpoint of weight 0 is tried after all others only.

use super::{Contender, Field, Strategy, Task, draw, fraction, minus_ln};

pub(super) struct Weighted;

impl Strategy for Weighted {
    fn score(&self, task: &Task<'_>, field: &Field<'_>, contenders: &mut [Contender]) {
        for (turn, contender) in contenders.iter_mut().enumerate() {
            let weight = field.weight(contender);
            contender.tier = u8::from(weight <= 0.0);
            contender.score = minus_ln(fraction(draw(task.random, turn))) / weight.max(1.0);
        }
    }
}
