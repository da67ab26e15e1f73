//! Cheapest first, for this request's own mix of prompt and answer.
//!
//! Deliberately absent: chance. Endpoints of unknown price go behind the others, in the configuration's
//! order.

use super::{Field, Rank, Strategy, Task};

pub(super) struct Price;

impl Strategy for Price {
    fn score(&self, _: &Task<'_>, field: &Field<'_>, ranks: &mut [Rank]) {
        for ((rank, cost), place) in ranks.iter_mut().zip(field.costs).zip(field.places) {
            let known = Rank::first(if *cost > 0.0 { *cost } else { 0.0 });
            *rank = if cost.is_nan() { Rank::second(f32::from(*place)) } else { known };
        }
    }
}
