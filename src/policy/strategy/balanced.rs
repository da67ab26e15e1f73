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

use super::{Field, Rank, Strategy, Task, chance, minus_ln};

/// One request in so many is drawn with equal weights.
const EXPLORATION: u64 = 32;
/// The cheapest that counts, in pico-dollars per request: beside it, everything else is hardly ever drawn.
const PRICE_FLOOR: f32 = 1.0;
/// The most that an adjusted price can be of the best one.
const RATIO: f32 = 1e15;

pub(super) struct Balanced;

impl Strategy for Balanced {
    fn score(&self, task: &Task<'_>, field: &Field<'_>, ranks: &mut [Rank]) {
        // No branches, and nothing but numbers of 32 bits: several turns are worked out at a time.
        let (mut best, mut worst) = (f32::MAX.to_bits() as i32, 0);
        for ((rank, cost), brief) in ranks.iter_mut().zip(field.costs).zip(field.briefs) {
            // `max` would make a price of what is none.
            let cost = if *cost < PRICE_FLOOR { PRICE_FLOOR } else { *cost };
            *rank = Rank::first(cost * brief.handicap());
            // Positive floats sort by their bits, and an unknown price, which is NaN, behind all of them.
            let bits = rank.bits() as i32;
            (best, worst) = (best.min(bits), worst.max(bits));
        }
        // With equal weights all are as good as the best one.
        let best = f32::from_bits(best as u32);
        let scale = if task.random.is_multiple_of(EXPLORATION) { 0.0 } else { best.recip() };
        for (turn, rank) in ranks.iter_mut().enumerate() {
            let ratio = (rank.score() * scale).clamp(1.0, RATIO);
            *rank = Rank::first(minus_ln(chance(task.random, turn as u32)) * ratio * ratio);
        }
        // An unknown price is rare, or the rule for a whole model.
        if worst > f32::INFINITY.to_bits() as i32 {
            stand_by(field, ranks);
        }
    }
}

/// Who has no price goes behind the others.
#[inline(never)]
fn stand_by(field: &Field<'_>, ranks: &mut [Rank]) {
    for ((rank, cost), place) in ranks.iter_mut().zip(field.costs).zip(field.places) {
        if cost.is_nan() {
            *rank = Rank::second(f32::from(*place));
        }
    }
}
