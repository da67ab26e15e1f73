//! Cheapest first, for this request's own mix of prompt and answer.
//!
//! Deliberately absent: chance. Endpoints of unknown price go behind the others, in the configuration's
//! order.

use super::{Contender, Field, Strategy, Task};

pub(super) struct Price;

impl Strategy for Price {
    fn score(&self, _: &Task<'_>, _: &Field<'_>, contenders: &mut [Contender]) {
        for contender in contenders {
            let known = !contender.cost.is_nan();
            contender.tier = u8::from(!known);
            contender.score = if known { contender.cost.max(0.0) } else { f32::from(contender.place) };
        }
    }
}
