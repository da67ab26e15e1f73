//! The policy under test: the configuration's tiers over the whole catalogue, asked as a worker would ask.
//!
//! Deliberately absent: live figures (nothing is measured), and anything that is sent.

use super::data::{Label, Record};
use super::figures::{Outcome, Row};
use crate::base::ids::ModelId;
use crate::control::catalog;
use crate::control::config::{Config, Exposure};
use crate::control::snapshot::{Extras, Interner, build};
use crate::policy::auth::Tenant;
use crate::policy::auto::{self, Choice, Wishes};
use crate::policy::catalog::{Modalities, Snapshot};
use crate::policy::route::{Ask, CHOICES, Scene};
use crate::policy::rows::RowPrices;
use crate::wire::json::peek::peek;

/// Tiers whose prices are not known: each costs four times as much as the one below it.
const STEP_OF_UNKNOWN_PRICES: f64 = 4.0;
/// Tokens that an answer is taken for.
const ANSWER_TOKENS: f32 = 512.0;
const PICO: f64 = 1e12;

/// A policy to be judged.
pub(super) struct Judge {
    snapshot: Snapshot,
    /// Cost of the cheapest model of each tier, per prompt token and per request, in USD; relative figures
    /// when a price is unknown.
    prices: Vec<(f64, f64)>,
    /// The prices are USD.
    pub(super) priced: bool,
}

/// What the policy makes of one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) tier: usize,
    pub(super) score: u16,
    pub(super) prompt_tokens: u32,
}

impl Judge {
    /// The policy of a configuration.
    ///
    /// # Errors
    /// When it has no tier with a model.
    pub(super) fn new(config: &Config, exposure: Exposure) -> Result<Self, String> {
        let catalogue = catalog::shipped().map_err(|problems| problems.to_string())?;
        let extras = Extras { catalogue: Some(catalogue), unreachable: true, ..Extras::default() };
        let snapshot = build(config, exposure, extras, &mut Interner::default()).snapshot;
        if !snapshot.auto.is_on() {
            return Err("no tier of [auto] has a model".to_owned());
        }
        let known = tier_prices(&snapshot);
        let priced = known.is_some();
        let relative =
            || (0..snapshot.auto.tiers.len()).map(|tier| (0.0, STEP_OF_UNKNOWN_PRICES.powi(tier as i32)));
        let prices = known.unwrap_or_else(|| relative().collect());
        Ok(Self { snapshot, prices, priced })
    }

    /// The names of its tiers, weakest first.
    pub(super) fn tiers(&self) -> Vec<&str> {
        self.snapshot.auto.tiers.iter().map(|tier| &*tier.name).collect()
    }

    /// The policy's decision about one body: by what it shows alone, whatever models there are.
    pub(super) fn decide(&self, body: &[u8]) -> Result<Decided, String> {
        let peek = peek(body).map_err(|flaw| format!("not a request: {flaw:?}"))?;
        let ask = Ask::read(&peek, body).map_err(|bad| format!("{} must be {}", bad.field, bad.allowed))?;
        let content = ask.needs.content();
        let signals = auto::signals(&peek, body, content);
        let auto = &self.snapshot.auto;
        let (tier, score) = (auto.tier(signals), signals.score(&auto.weights));
        Ok(Decided { tier, score, prompt_tokens: ask.needs.prompt_tokens(content) })
    }

    /// Everything that a worker does for a body whose members are known: the work that is timed.
    pub(super) fn choose(&self, peek: &crate::wire::json::peek::Peek, body: &[u8]) -> Option<Choice> {
        let ask = Ask::read(peek, body).ok()?;
        let wishes = Wishes::read(peek, body).ok()?;
        let content: Modalities = ask.needs.content();
        let seen = (auto::signals(peek, body, content), content);
        auto::choose(&Scene::plain(&self.snapshot), Tenant { key: None }, &ask, &wishes, seen, CHOICES, None)
    }

    /// A record as a row of figures; the error says why it is of no use.
    pub(super) fn row(&self, record: &Record, domain: usize) -> Result<Row, String> {
        let body = record.body();
        let decided = self.decide(&body)?;
        let outcomes = match &record.label {
            Label::Tier(name) => self.outcomes_of_tier(name, decided.prompt_tokens)?,
            Label::Models(models) => self.outcomes_of_models(models)?,
        };
        Ok(Row {
            domain,
            score: decided.score.into(),
            bytes: body.len() as f64,
            tier: decided.tier,
            outcomes,
        })
    }

    fn outcomes_of_tier(&self, name: &str, prompt_tokens: u32) -> Result<Vec<Outcome>, String> {
        let least = self.tiers().iter().position(|tier| *tier == name);
        let least = least.ok_or_else(|| format!("no tier is called {name:?}"))?;
        let cost = |(token, request): &(f64, f64)| token * f64::from(prompt_tokens) + request;
        let outcomes = self.prices.iter().enumerate();
        Ok(outcomes.map(|(tier, price)| Outcome { correct: tier >= least, cost: cost(price) }).collect())
    }

    /// Of each tier the cheapest of its models that the record knows; of a tier without any, the next
    /// stronger one's, or else the next weaker one's.
    fn outcomes_of_models(&self, models: &[(String, bool, f64)]) -> Result<Vec<Outcome>, String> {
        let auto = &self.snapshot.auto;
        let mut found: Vec<Option<Outcome>> = vec![None; auto.tiers.len()];
        for (name, correct, cost) in models {
            let id: Option<&ModelId> = self.snapshot.model_ids.get(name.as_str());
            for one in auto.models.iter().filter(|one| Some(&one.model) == id) {
                let best = &mut found[usize::from(one.tier)];
                if best.is_none_or(|best| *cost < best.cost) {
                    *best = Some(Outcome { correct: *correct, cost: *cost });
                }
            }
        }
        if found.iter().flatten().count() < 2 {
            return Err("its models belong to fewer than two tiers".to_owned());
        }
        let filled = |tier: usize| {
            let stronger = found[tier..].iter().flatten().next();
            stronger.or_else(|| found[..tier].iter().rev().flatten().next()).copied()
        };
        Ok((0..found.len()).filter_map(filled).collect())
    }
}

/// Of each tier, the price of the model that an ordinary request would get; `None` when one is not known.
fn tier_prices(snapshot: &Snapshot) -> Option<Vec<(f64, f64)>> {
    /// Tokens of the prompt by which models are compared.
    const PROMPT_TOKENS: f32 = 1_000.0;
    let auto = &snapshot.auto;
    (0..auto.tiers.len())
        .map(|tier| {
            let own = auto.models.iter().filter(|one| usize::from(one.tier) == tier);
            let endpoints = own.flat_map(|one| &snapshot.models[one.model.index()].endpoints);
            let rules = endpoints.filter_map(|id| snapshot.endpoints[id.index()].facts.prices.as_ref());
            let prices = rules.map(|rules| RowPrices::of(&rules.base));
            let cost = |one: &RowPrices| one.cost(PROMPT_TOKENS, ANSWER_TOKENS);
            let cheapest = prices
                .filter(|one| !cost(one).is_nan())
                .min_by(|one, other| cost(one).total_cmp(&cost(other)))?;
            let request = f64::from(cheapest.completion * ANSWER_TOKENS + cheapest.request);
            Some((f64::from(cheapest.prompt) / PICO, request / PICO))
        })
        .collect()
}
