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
//! Deliberately absent: caps and pauses of endpoints that refuse (health has them).

use super::{Contender, Strategy, Task, draw, fraction, minus_ln};

/// One request in so many is drawn with equal weights.
const EXPLORATION: u64 = 32;
/// What a share of errors weighs.
const ERRORS: f32 = 8.0;
/// What a share of 429s weighs.
const LIMITED: f32 = 2.0;
/// A wait of so many milliseconds weighs as much as the price.
const WAIT_MS: f32 = 20_000.0;
/// Speed of an endpoint that was not measured, in tokens per second.
const SPEED: f32 = 50.0;
/// The cheapest that counts, in pico-dollars per request: beside it, everything else is hardly ever drawn.
const PRICE_FLOOR: f32 = 1.0;
/// The most that an adjusted price can be of the best one.
const RATIO: f32 = 1e15;

pub(super) struct Balanced;

impl Strategy for Balanced {
    fn score(&self, task: &Task<'_>, contenders: &mut [Contender<'_>]) {
        let mut best = f32::MAX;
        for contender in &mut *contenders {
            contender.score = adjusted(contender);
            // False for NaN too, which is how an unknown price comes here.
            if contender.score < best {
                best = contender.score;
            }
        }
        let explore = task.random.is_multiple_of(EXPLORATION);
        for (turn, contender) in contenders.iter_mut().enumerate() {
            if contender.score.is_nan() {
                (contender.tier, contender.score) = (1, f32::from(contender.ordinal));
                continue;
            }
            let ratio = if explore { 1.0 } else { (contender.score / best).min(RATIO) };
            contender.tier = 0;
            contender.score = minus_ln(fraction(draw(task.random, turn))) * ratio * ratio;
        }
    }
}

fn adjusted(contender: &Contender<'_>) -> f32 {
    if contender.cost.is_nan() {
        return f32::NAN;
    }
    let figures = contender.figures;
    let speed =
        if figures.tokens_per_second > 0.0 { figures.tokens_per_second.clamp(5.0, 500.0) } else { SPEED };
    contender.cost.max(PRICE_FLOOR)
        * (1.0 + ERRORS * figures.error_share)
        * (1.0 + LIMITED * figures.limited_share)
        * (1.0 + figures.ttft_ms / WAIT_MS)
        * (SPEED / speed).sqrt()
}
