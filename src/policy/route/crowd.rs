//! The contenders of one model: those of its endpoints that may serve a request, property by property, so
//! that what is worked out for all of them is worked out for several at a time.
//!
//! Deliberately absent: who is admitted (`filter`), and scores (`strategy`).

use super::{UNWELL, packed};
use crate::base::ids::EndpointId;
use crate::policy::filter::{Priced, places};
use crate::policy::live::{Brief, Live};
use crate::policy::rows::Lanes;
use crate::policy::strategy::{Field, Rank};

/// Room for the contenders of a model.
pub(super) struct Room<const N: usize> {
    costs: [f32; N],
    briefs: [Brief; N],
    ranks: [Rank; N],
    standings: [u16; N],
    places: [u8; N],
}

impl<const N: usize> Room<N> {
    pub(super) const EMPTY: Self = Self {
        costs: [0.0; N],
        briefs: [Brief::NONE; N],
        ranks: [Rank::FIRST; N],
        standings: [0; N],
        places: [0; N],
    };

    /// For those of a model's endpoints that `admitted` has a bit for; at most as many as there is room for.
    pub(super) fn hold(&mut self, admitted: u64) -> Crowd<'_> {
        let count = admitted.count_ones() as usize;
        Crowd {
            admitted,
            costs: &mut self.costs[..count],
            briefs: &mut self.briefs[..count],
            ranks: &mut self.ranks[..count],
            standings: &mut self.standings[..count],
            places: &mut self.places[..count],
        }
    }
}

/// The contenders, in the order of their places among the model's endpoints.
pub(super) struct Crowd<'c> {
    /// A bit for each of them, by its place.
    pub(super) admitted: u64,
    /// What the request would cost there, in pico-dollars; NaN is unknown.
    pub(super) costs: &'c mut [f32],
    /// Live figures in one number.
    pub(super) briefs: &'c mut [Brief],
    /// What the strategy says.
    pub(super) ranks: &'c mut [Rank],
    /// What the planner knows beside the strategy, in its own bits.
    pub(super) standings: &'c mut [u16],
    /// Places among the model's endpoints.
    pub(super) places: &'c mut [u8],
}

/// What all contenders of a model have in common.
pub(super) struct Common<'a> {
    pub(super) lanes: Lanes<'a>,
    pub(super) live: Live<'a>,
    pub(super) priced: Priced,
    pub(super) answer_tokens: f32,
    /// The part of a standing that all share.
    pub(super) standing: u16,
    /// Some endpoint's prices depend on the prompt or the hour.
    pub(super) is_ruled: bool,
}

impl Crowd<'_> {
    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.costs.len()
    }

    /// Which one is at this place among the model's endpoints; it must be one of them.
    pub(super) const fn at(&self, place: usize) -> usize {
        (self.admitted & ((1 << place) - 1)).count_ones() as usize
    }

    /// Fills in costs, briefs, standings and places; says whether any is not well.
    pub(super) fn fill(&mut self, common: &Common<'_>) -> bool {
        if self.admitted == common.lanes.all() && !common.is_ruled {
            self.fill_densely(common);
        } else {
            self.fill_sparsely(common);
        }
        let mut unwell = 0;
        for (standing, brief) in self.standings.iter_mut().zip(&*self.briefs) {
            let own = u16::from(!brief.is_well());
            unwell |= own;
            *standing = common.standing | own << UNWELL;
        }
        unwell != 0
    }

    /// All endpoints, at their base prices.
    fn fill_densely(&mut self, common: &Common<'_>) {
        let Common { lanes, live, priced, answer_tokens, .. } = *common;
        lanes.base_costs(priced.prompt_tokens as f32, answer_tokens, self.costs);
        match lanes.first() {
            Some(first) => live.briefs_from(first, self.briefs),
            None => live.briefs(lanes.ids().iter().map(|id| EndpointId(*id)), self.briefs),
        }
        for (at, place) in self.places.iter_mut().enumerate() {
            *place = at as u8;
        }
    }

    /// Those that are admitted.
    fn fill_sparsely(&mut self, common: &Common<'_>) {
        let Common { lanes, live, priced, .. } = *common;
        for (place, at) in self.places.iter_mut().zip(places(self.admitted)) {
            *place = at as u8;
        }
        live.briefs(self.places.iter().map(|place| lanes.id(usize::from(*place))), self.briefs);
        let (prompt_tokens, base) = (priced.prompt_tokens as f32, lanes.base());
        for (cost, place) in self.costs.iter_mut().zip(&*self.places) {
            let place = usize::from(*place);
            let prices = if common.is_ruled {
                lanes.prices(place, priced.prompt_tokens, priced.minute)
            } else {
                base.at(place)
            };
            *cost = prices.cost(prompt_tokens, common.answer_tokens);
        }
    }

    /// As strategies see them, and what they fill in.
    pub(super) fn field<'f>(&'f mut self, lanes: Lanes<'f>, live: Live<'f>) -> (Field<'f>, &'f mut [Rank]) {
        let field = Field { lanes, live, costs: self.costs, briefs: self.briefs, places: self.places };
        (field, self.ranks)
    }

    /// Where they stand, in one word each; see [`packed`].
    pub(super) fn pack(&self, words: &mut [u64], turn: u8) {
        let parts = self.standings.iter().zip(&*self.ranks).zip(&*self.places);
        for (word, ((standing, rank), place)) in words.iter_mut().zip(parts) {
            *word = packed(u32::from(*standing), *rank, turn, *place);
        }
    }
}
