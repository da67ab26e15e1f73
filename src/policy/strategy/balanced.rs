//! The default: a weighted draw by price, speed and reliability.
//!
//! ```text
//! price     what this request would cost there: prompt, expected answer and the fee per request
//! adjusted  price · (1 + 8·errors) · (1 + 2·limited) · (1 + wait/20) · √(50/speed)
//! weight    adjusted⁻²
//! ```
//!
//! `errors` and `limited` are shares from 0 to 1: one percent of errors weighs as much as a price that is 8 %
//! higher. `wait` is the time to the first token in seconds: one second weighs 5 %. `speed` is in tokens per
//! second, between 5 and 500. What is not measured has no factor of its own: no errors, no wait, speed 50.
//! One request in 32 is drawn with equal weights among all that have a price, so that the figures of the dear
//! ones stay fresh.
//!
//! An endpoint of unknown price goes behind those with a price, in the configuration's order: unknown is
//! never free.
//! Deliberately absent: the factors behind the price (`live`: they are the same for all requests, so they are
//! worked out when a figure changes), caps and pauses of endpoints that refuse (health has them).

use super::{Contender, Field, Strategy, Task, draw, fraction, minus_ln};

/// One request in so many is drawn with equal weights.
const EXPLORATION: u64 = 32;
/// The cheapest that counts, in pico-dollars per request: beside it, everything else is hardly ever drawn.
const PRICE_FLOOR: f32 = 1.0;
/// The most that an adjusted price can be of the best one.
const RATIO: f32 = 1e15;

pub(super) struct Balanced;

impl Strategy for Balanced {
    fn score(&self, task: &Task<'_>, _: &Field<'_>, contenders: &mut [Contender]) {
        let mut best = f32::MAX;
        for contender in &mut *contenders {
            // `max` would make a price of what is none.
            let cost = if contender.cost < PRICE_FLOOR { PRICE_FLOOR } else { contender.cost };
            contender.score = cost * contender.brief.handicap();
            // False for NaN too, which is how an unknown price comes here.
            best = if contender.score < best { contender.score } else { best };
        }
        // With equal weights all are as good as the best one.
        let scale = if task.random.is_multiple_of(EXPLORATION) { 0.0 } else { best.recip() };
        for (turn, contender) in contenders.iter_mut().enumerate() {
            // An unknown price is rare, or the rule for a whole model: a branch costs nothing.
            if contender.score.is_nan() {
                (contender.tier, contender.score) = (1, f32::from(contender.place));
                continue;
            }
            let ratio = (contender.score * scale).clamp(1.0, RATIO);
            contender.score = minus_ln(fraction(draw(task.random, turn))) * ratio * ratio;
        }
    }
}
