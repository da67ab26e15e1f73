//! As configured: the first endpoint serves while it can, the others stand by.
//!
//! Deliberately absent: everything else.

use super::{Contender, Field, Strategy, Task};

pub(super) struct Order;

impl Strategy for Order {
    fn score(&self, _: &Task<'_>, _: &Field<'_>, contenders: &mut [Contender]) {
        for contender in contenders {
            contender.score = f32::from(contender.place);
        }
    }
}
