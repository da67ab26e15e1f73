//! Contenders made of lanes.
//!
//! Deliberately absent: who is admitted (`filter`), and scores.

use crate::base::ids::EndpointId;
use crate::policy::filter::Priced;
use crate::policy::live::{Brief, Live};
use crate::policy::route::UNWELL;
use crate::policy::rows::{Lanes, RowPrices};
use crate::policy::strategy::Contender;

/// What all contenders of a model have in common.
pub(super) struct Filling<'a> {
    pub(super) lanes: Lanes<'a>,
    pub(super) priced: Priced,
    pub(super) answer_tokens: f32,
    /// The part of a standing that all share.
    pub(super) standing: u16,
    /// Some endpoint's prices depend on the prompt or the hour.
    pub(super) is_ruled: bool,
    /// The request asks for what is different for each endpoint.
    pub(super) is_special: bool,
}

impl Filling<'_> {
    fn contender(&self, place: usize, cost: f32, brief: Brief) -> Contender {
        let standing = self.standing | u16::from(!brief.is_well()) << UNWELL;
        Contender { cost, brief, score: 0.0, standing, place: place as u8, tier: 0 }
    }

    /// All endpoints, which are as many as there are places, at their base prices. Says whether any is not
    /// well.
    pub(super) fn densely(&self, places: &mut [Contender], live: Live<'_>) -> bool {
        let (prompt_tokens, mut unwell) = (self.priced.prompt_tokens as f32, false);
        let endpoints = self.lanes.base_prices().zip(self.lanes.ids());
        for (place, (contender, (prices, id))) in places.iter_mut().zip(endpoints).enumerate() {
            let brief = live.brief(EndpointId(*id));
            unwell |= !brief.is_well();
            *contender = self.contender(place, prices.cost(prompt_tokens, self.answer_tokens), brief);
        }
        unwell
    }

    /// Those that `admitted` has a bit for, as many as there are places. Says whether any is not well.
    pub(super) fn sparsely(
        &self,
        places: &mut [Contender],
        admitted: u64,
        live: Live<'_>,
        special: impl Fn(usize) -> u16,
    ) -> bool {
        let Self { lanes, priced, answer_tokens, .. } = *self;
        let (mut rest, mut unwell) = (admitted, false);
        for contender in places {
            let place = rest.trailing_zeros() as usize;
            rest &= rest.wrapping_sub(1);
            let prices: RowPrices = lanes.prices(place, priced.prompt_tokens, priced.minute);
            let brief = live.brief(lanes.id(place));
            unwell |= !brief.is_well();
            *contender =
                self.contender(place, prices.cost(priced.prompt_tokens as f32, answer_tokens), brief);
            if self.is_special {
                contender.standing |= special(place);
            }
        }
        unwell
    }
}
