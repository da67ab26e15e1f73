//! As configured: the first endpoint serves while it can, the others stand by.
//!
//! Deliberately absent: everything else.

use super::{Field, Rank, Strategy, Task};

pub(super) struct Order;

impl Strategy for Order {
    fn score(&self, _: &Task<'_>, field: &Field<'_>, ranks: &mut [Rank]) {
        for (rank, place) in ranks.iter_mut().zip(field.places) {
            *rank = Rank::first(f32::from(*place));
        }
    }
}
