//! What a request wishes, as bits and names: tiers, strategy, and where its lists and bounds put an endpoint.
//!
//! Deliberately absent: what excludes an endpoint (`filter`), and the order that comes of it (`route`).

use super::crowd::Crowd;
use super::{LISTED, MISSES, MODEL, OTHER_GROUP, Run, UNLISTED};
use crate::policy::catalog::Model;
use crate::policy::filter::{Slugs, Subject, TierAsk, places};
use crate::policy::live::{Figures, Percentiles};
use crate::policy::prefs::{Partition, Preferences, SortBy};
use crate::policy::rows::{self, Lanes};
use crate::policy::strategy::StrategyName;
use crate::policy::variant::Variants;

impl Run<'_, '_> {
    /// The flags of tiers that may take part. `provider.order` switches off what a suffix admits.
    pub(super) fn tiers(&self, variants: Variants) -> u16 {
        let flag = |bit: u16, set: bool| if set { bit } else { 0 };
        let by_suffix = if self.gate.lists.order.is_some() {
            0
        } else {
            flag(rows::FLEX, variants.flex) | flag(rows::PRIORITY, variants.priority)
        };
        match self.ask.needs.tier {
            TierAsk::Default => 0,
            TierAsk::Unsaid => by_suffix,
            TierAsk::Flex => by_suffix | rows::FLEX,
            TierAsk::Priority => by_suffix | rows::PRIORITY,
        }
    }

    /// The strategy: of the request, of the model's suffix, of the tier, of the model; in this order.
    pub(super) fn strategy(&self, model: &Model, variants: Variants) -> StrategyName {
        let by_tier = match self.ask.needs.tier {
            TierAsk::Priority => Some(SortBy::Throughput),
            TierAsk::Flex => Some(SortBy::Price),
            TierAsk::Default | TierAsk::Unsaid => None,
        };
        match self.ask.preferences.sort.or(variants.sort).or(by_tier) {
            Some(SortBy::Price) => StrategyName::Price,
            Some(SortBy::Throughput) => StrategyName::Throughput,
            Some(SortBy::Latency) => StrategyName::Latency,
            // Who names an order wants no draw among the rest either.
            None if self.gate.lists.order.is_some() => StrategyName::Price,
            None => model.facts.strategy.unwrap_or(StrategyName::Default),
        }
    }

    /// The bits above a strategy's that all endpoints of a model share; see the head of `route`.
    pub(super) fn standing(&self, turn: u8) -> u32 {
        match self.ask.preferences.partition {
            Partition::Model => u32::from(turn) << MODEL,
            Partition::None => 0,
        }
    }

    /// Does the request bound throughput or latency?
    pub(super) fn asks_for_figures(&self) -> bool {
        let Preferences { min_throughput, max_latency, .. } = &self.ask.preferences;
        *min_throughput != Percentiles::default() || *max_latency != Percentiles::default()
    }

    pub(super) fn is_for_priority(&self) -> bool {
        self.ask.needs.tier == TierAsk::Priority
    }

    /// Puts those that `order` names where it names them; so far all stand where unlisted ones do.
    pub(super) fn list(&self, order: &Slugs<'_>, lanes: Lanes<'_>, crowd: &mut Crowd<'_>) {
        order.each(self.scene.snapshot, lanes, |rank, meant| {
            for place in places(meant & crowd.admitted) {
                crowd.standings[crowd.at(place)] ^= ((UNLISTED ^ rank) << LISTED) as u16;
            }
        });
    }

    /// The bits that only some requests have use for.
    pub(super) fn special(&self, lanes: Lanes<'_>, place: usize) -> u16 {
        let Preferences { min_throughput, max_latency, .. } = &self.ask.preferences;
        let mut misses = false;
        if self.asks_for_figures() {
            let figures: &Figures = self.scene.live.of(lanes.id(place));
            let pairs = min_throughput.all().into_iter().zip(figures.tokens_per_second_at.all());
            for (least, measured) in pairs {
                misses |= measured > 0.0 && measured < least;
            }
            for (most, measured) in max_latency.all().into_iter().zip(figures.ttft_ms_at.all()) {
                misses |= most > 0.0 && measured > most * 1_000.0;
            }
        }
        let other_group = self.is_for_priority() && lanes.flags(place) & rows::PRIORITY == 0;
        u16::from(misses) << MISSES | u16::from(other_group) << OTHER_GROUP
    }

    /// A provider's place in `provider.order`; 0 when there is no such list.
    pub(super) fn listed<'s>(&self, subject: impl Fn() -> Subject<'s>) -> u16 {
        let order = self.gate.lists.order.as_ref();
        order.map_or(0, |order| order.place(subject()).unwrap_or(UNLISTED) as u16)
    }
}
