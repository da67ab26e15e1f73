//! From signals to models: the tier, then its models that pass the filters, cheapest first, then the next
//! stronger tiers as fallbacks.
//!
//! A model passes when one of its endpoints does, and costs what the cheapest of these costs for this
//! request. A model whose endpoints are all unwell goes behind the others, and so does one whose price
//! nobody knows. When restrictions leave no model in the tier or above it, weaker tiers serve: a request that
//! allows weak models only gets one. When no model passes the filters, all are handed to the planner, which
//! can say what each of them was excluded by.
//! Deliberately absent: the filters themselves, and the choice among a model's endpoints.

use super::{Auto, Decision, Signal, Signals, Wishes};
use crate::base::ids::ModelId;
use crate::policy::auth::Tenant;
use crate::policy::catalog::{Modalities, Parameter, Parameters};
use crate::policy::filter::{Gate, Lists, PREFERRED_PARAMETERS, Priced, TierAsk, places};
use crate::policy::route::{Ask, CHOICES, Scene};
use crate::policy::rows;

/// Models of the chosen tier that are tried.
const OF_THE_TIER: usize = 4;
/// Models of each other tier.
const OF_OTHERS: usize = 2;

/// The models to plan for, and why these.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The decision.
    pub decision: Decision,
    models: [ModelId; CHOICES],
    count: usize,
}

impl Choice {
    /// The models, first choice first; at least one.
    #[must_use]
    pub fn models(&self) -> &[ModelId] {
        &self.models[..self.count]
    }

    fn push(&mut self, model: ModelId, most: usize) {
        if self.count < most.min(CHOICES) && !self.models().contains(&model) {
            self.models[self.count] = model;
            self.count += 1;
        }
    }
}

/// Chooses up to `most` models for a request. `content` are the kinds of content in its prompt beside text,
/// `remembered` is the model that its conversation has had so far: it is kept as long as it is one of the
/// configured models, allowed, fit for the request and well.
///
/// `None` when nothing is configured, or the request allows none of it. Allocates nothing.
#[must_use]
pub fn choose(
    scene: &Scene<'_>,
    tenant: Tenant,
    ask: &Ask<'_>,
    wishes: &Wishes<'_>,
    (signals, content): (Signals, Modalities),
    most: usize,
    remembered: Option<ModelId>,
) -> Option<Choice> {
    let auto = &scene.snapshot.auto;
    let allowed = allowed(scene, wishes);
    if allowed == 0 {
        return None;
    }
    let lists = Lists::of(scene.snapshot, tenant.key, &ask.preferences);
    let mut gate = Gate::new(&lists, tenant.key, &ask.preferences, &ask.needs);
    gate.measure(content, &ask.needs);
    let mut view = View { scene, ask, gate, content, required: required(ask, signals) };
    let wanted = auto.tier(signals);
    let score = signals.score(&auto.weights);
    let decision = Decision { signals, score, tier: wanted as u8, kept: false };
    let mut choice = Choice { decision, models: [ModelId(0); CHOICES], count: 0 };
    if let Some(model) = remembered
        && let Some(place) = auto.models.iter().position(|one| one.model == model)
        && allowed & 1 << place != 0
        && view.standing(model).is_some_and(|standing| standing & UNWELL == 0)
    {
        choice.push(model, most);
        choice.decision.tier = auto.models[place].tier;
        choice.decision.kept = true;
    }
    fill(&mut choice, auto, allowed, wanted, most, |model| view.standing(model));
    if choice.count == 0 {
        // Rather a model that ignores a parameter than none.
        view.required = Parameters::NONE;
        fill(&mut choice, auto, allowed, wanted, most, |model| view.standing(model));
    }
    if choice.count == 0 {
        fill(&mut choice, auto, allowed, wanted, most, |_| Some(0));
    }
    Some(choice)
}

/// The models that the request and the operator allow, one bit each.
fn allowed(scene: &Scene<'_>, wishes: &Wishes<'_>) -> u128 {
    let auto = &scene.snapshot.auto;
    let most = wishes.cost_tier.min(auto.cost_tier).percentile();
    let names = auto.models.iter().map(|one| &*scene.snapshot.models[one.model.index()].id);
    let mut allowed = wishes.allowed(names);
    for (bit, one) in auto.models.iter().enumerate() {
        if one.percentile >= most {
            allowed &= !(1 << bit);
        }
    }
    let known = 1_u128.checked_shl(auto.models.len() as u32).map_or(u128::MAX, |above| above - 1);
    allowed & known
}

/// Parameters that a model must know: those without which the answer would be another one.
fn required(ask: &Ask<'_>, signals: Signals) -> Parameters {
    let preferred = Parameters(ask.needs.parameters.0 & PREFERRED_PARAMETERS.0);
    let reasons = signals.has(Signal::Reasoning);
    if reasons { preferred.with(Parameter::Reasoning) } else { preferred }
}

/// Adds the tier's models, then those of stronger tiers; and only if there is none, those of weaker ones.
fn fill(
    choice: &mut Choice,
    auto: &Auto,
    allowed: u128,
    wanted: usize,
    most: usize,
    standing: impl Fn(ModelId) -> Option<u64>,
) {
    let stronger = wanted..auto.tiers.len();
    for tier in stronger.chain((0..wanted).rev()) {
        if tier < wanted && choice.count > 0 {
            return;
        }
        let mut best = [(u64::MAX, ModelId(0)); super::MODELS];
        let mut count = 0;
        for (bit, one) in auto.models.iter().enumerate().filter(|(_, one)| usize::from(one.tier) == tier) {
            if allowed & 1 << bit != 0
                && let Some(standing) = standing(one.model)
            {
                // Of equals, those listed first.
                best[count] = (standing | bit as u64, one.model);
                count += 1;
            }
        }
        if count > 0 && choice.count == 0 {
            choice.decision.tier = tier as u8;
        }
        best[..count].sort_unstable_by_key(|(standing, _)| *standing);
        let share = if tier == wanted { OF_THE_TIER } else { OF_OTHERS };
        for (_, model) in &best[..count.min(share)] {
            choice.push(*model, most);
        }
    }
}

/// The bit of a model without an endpoint that is well.
const UNWELL: u64 = 1 << 63;

const _: () = assert!(super::MODELS <= 256 && super::MODELS <= u128::BITS as usize);

/// What one request needs to know about models.
struct View<'a, 'b> {
    scene: &'a Scene<'a>,
    ask: &'a Ask<'b>,
    gate: Gate<'a, 'b>,
    content: Modalities,
    required: Parameters,
}

impl View<'_, '_> {
    /// Where a model stands, lower first: well before unwell, then by cost; the lowest eight bits are free.
    /// `None` when each of its endpoints is excluded.
    fn standing(&self, model: ModelId) -> Option<u64> {
        let Scene { snapshot, live, minute, .. } = *self.scene;
        let lanes = snapshot.rows().model(model);
        let needs = &self.ask.needs;
        let tiers = match needs.tier {
            TierAsk::Unsaid | TierAsk::Default => 0,
            TierAsk::Flex => rows::FLEX,
            TierAsk::Priority => rows::PRIORITY,
        };
        let priced = Priced { prompt_tokens: needs.prompt_tokens(self.content), minute };
        let admitted = self.gate.admits(snapshot, lanes, tiers, priced) & !lanes.lacking(self.required);
        let ruled = lanes.any_flags() & rows::PRICE_RULES != 0;
        let (prompt, answer) = (priced.prompt_tokens as f32, needs.answer_tokens() as f32);
        let mut best = None;
        let base = lanes.base();
        for place in places(admitted) {
            let prices =
                if ruled { lanes.prices(place, priced.prompt_tokens, minute) } else { base.at(place) };
            let cost = prices.cost(prompt, answer);
            // What is not known is dearer than anything known. A float that is not negative sorts by its
            // bits.
            let cost = if cost.is_nan() { f32::INFINITY } else { cost.max(0.0) };
            let unwell = if live.of(lanes.id(place)).healthy { 0 } else { UNWELL };
            let standing = unwell | u64::from(cost.to_bits()) << 8;
            best = Some(best.map_or(standing, |least: u64| least.min(standing)));
        }
        best
    }
}
