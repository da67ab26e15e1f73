//! A draw by configured weights: an endpoint of weight 3 goes first three times as often as one of weight 1.
//!
//! Deliberately absent: prices and figures. An endpoint of weight 0 is tried after all others only.

use super::{Contender, Strategy, Task, draw, fraction, minus_ln};

pub(super) struct Weighted;

impl Strategy for Weighted {
    fn score(&self, task: &Task<'_>, contenders: &mut [Contender<'_>]) {
        for (turn, contender) in contenders.iter_mut().enumerate() {
            contender.tier = u8::from(contender.weight <= 0.0);
            contender.score = minus_ln(fraction(draw(task.random, turn))) / contender.weight.max(1.0);
        }
    }
}
