//! What a request is charged by: the prices that held when it began, and what its answer came to.
//!
//! A bill is made at the commit, when it is known who serves, and keeps the snapshot whose prices it follows:
//! a reload in the middle of an answer changes nothing about it. The figures that a client is told and those
//! that the ledger keeps come from here, so they are the same to the last digit.
//! Deliberately absent: what a token costs (`policy/price`), and writing any of it down.

use crate::base::ids::{EndpointId, GenerationId};
use crate::base::record::Usage;
use crate::base::time::UnixSeconds;
use crate::dialect::Api;
use crate::exchange::attempt::Attempt;
use crate::exchange::context::Held;
use crate::exchange::pump::Told;
use crate::exchange::receipt::created;
use crate::exchange::request::{Request, Subject};
use crate::policy::catalog::{Endpoint, PriceRules, ServiceTier, Snapshot};
use crate::policy::count::Counted;
use crate::policy::price;
use crate::policy::route::Candidate;
use crate::wire::journal::{Cost, Ending, Flags, Source};

/// Finish reasons under which an answer without a token is not charged, beside none at all.
const FAILED_REASONS: [&str; 1] = ["error"];

/// What one candidate's answer to a request is charged by.
#[derive(Clone, Debug)]
pub(super) struct Bill {
    held: Held,
    endpoint: Option<EndpointId>,
    /// Minute of the day when the request began, UTC.
    minute: u16,
    /// The credential is the caller's own: the provider charges the caller, and we do not.
    byok: bool,
    /// The API's answers have completion tokens.
    completes: bool,
    /// Of the request.
    id: GenerationId,
    api: Api,
    /// The client speaks OpenRouter's API.
    openrouter: bool,
    /// The client expects a stream's usage.
    wants_usage: bool,
    /// Tokens of the prompt as far as its bytes tell.
    prompt_estimate: u32,
}

impl Bill {
    /// Of the candidate in hand; `None` for what is no inference.
    pub(super) fn of(attempt: &Attempt) -> Option<Self> {
        let held = attempt.snapshot.as_ref().expect("an attempt that is under way holds its snapshot");
        Self::new(held, attempt.candidate(), &attempt.request)
    }

    /// Of this candidate; `None` for what is no inference.
    pub(super) fn new(held: &Held, candidate: Candidate, request: &Request) -> Option<Self> {
        let Subject::Inference { api, stream, drop_usage, openrouter, .. } = request.subject else {
            return None;
        };
        Some(Self {
            held: Held::clone(held),
            endpoint: candidate.endpoint,
            minute: UnixSeconds(created(request.id.as_str())).minute_of_day(),
            byok: false,
            completes: !matches!(api, Api::Embeddings),
            id: request.id,
            api,
            openrouter,
            wants_usage: stream && !drop_usage,
            prompt_estimate: request.prompt_tokens,
        })
    }

    /// Our id of the request.
    pub(super) const fn id(&self) -> GenerationId {
        self.id
    }

    /// Which API was asked.
    pub(super) const fn api(&self) -> Api {
        self.api
    }

    /// The client speaks OpenRouter's API: usage always says what it costs, be it unknown.
    pub(super) const fn is_openrouter(&self) -> bool {
        self.openrouter
    }

    /// Usage is to say what it costs: that is known, or to be spoken of.
    pub(super) fn tells_cost(&self) -> bool {
        let known =
            |endpoint: &Endpoint| endpoint.facts.prices.as_ref().is_some_and(|rules| rules.base.known());
        self.openrouter || self.endpoint().is_some_and(known)
    }

    /// The client expects a usage event at the end of its stream.
    pub(super) const fn wants_usage(&self) -> bool {
        self.wants_usage
    }

    /// The catalogue's id of the model that serves; `None` for a name that is passed through as it is.
    pub(super) fn model(&self) -> Option<&str> {
        Some(&self.held.models.get(self.endpoint()?.model.index())?.id)
    }

    /// The credential is the caller's own.
    pub(super) const fn is_byok(&self) -> bool {
        self.byok
    }

    /// Its answer has completion tokens.
    pub(super) const fn completes(&self) -> bool {
        self.completes
    }

    /// The endpoint that serves; `None` for a name that is passed through as it is.
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        self.held.endpoints.get(self.endpoint?.index())
    }

    /// Tokens of the prompt as far as its bytes tell.
    pub(super) const fn prompt_estimate(&self) -> u32 {
        self.prompt_estimate
    }

    /// What this usage costs, and which of [`Flags::BYOK`] and [`Flags::INSURED`] hold. `None` when a price
    /// that it needs is unknown: then the request is [`Flags::UNPRICED`], never free.
    ///
    /// An answer without a single token, which ended for no reason or with an error, is not charged
    /// (OpenRouter's zero completion insurance); that its client left is a reason.
    pub(super) fn cost(&self, usage: &Usage, told: Told<'_>, ending: Ending) -> Option<(Cost, Flags)> {
        let rules = self.rules(told.service_tier)?;
        let prompt_tokens = u32::try_from(usage.prompt_tokens).unwrap_or(u32::MAX);
        let mut cost = price::cost(&rules.at(prompt_tokens, self.minute), usage)?;
        let no_reason = told.finish_reason.is_empty() || FAILED_REASONS.contains(&told.finish_reason);
        let insured =
            self.completes && usage.completion_tokens == 0 && no_reason && ending != Ending::ClientGone;
        if self.byok || insured {
            cost.total = 0;
        }
        Some((cost, Flags::default().with(Flags::BYOK, self.byok).with(Flags::INSURED, insured)))
    }

    /// The prices of the tier that the provider says it served, where it has an endpoint of its own; else
    /// those of the endpoint that was asked.
    pub(super) fn rules(&self, served_tier: &str) -> Option<&PriceRules> {
        let asked = self.endpoint()?;
        let served = ServiceTier::named(served_tier).filter(|tier| *tier != asked.facts.tier());
        let other = served.and_then(|tier| of_tier(&self.held, asked, tier));
        other.or(asked.facts.prices.as_ref())
    }
}

/// Prices of the same model at the same provider in this tier: of an endpoint that differs in nothing else,
/// if there is one.
fn of_tier<'s>(snapshot: &'s Snapshot, asked: &Endpoint, tier: ServiceTier) -> Option<&'s PriceRules> {
    let model = snapshot.models.get(asked.model.index())?;
    let all = model.endpoints.iter().filter_map(|id| snapshot.endpoints.get(id.index()));
    let others = all.filter(|other| other.provider == asked.provider && other.facts.tier() == tier);
    let priced = others.filter(|other| other.facts.prices.is_some());
    let likeness = |other: &&Endpoint| {
        (other.facts.variant == asked.facts.variant, other.facts.region == asked.facts.region)
    };
    // Of equals the first one of the catalogue.
    let best = priced.rev().max_by_key(likeness)?;
    best.facts.prices.as_ref()
}

/// What a request is charged for. `is_final` says that `reported` is of the whole answer; `counted` is of
/// what came of it, and `prompt_estimate` of what was sent.
///
/// What the provider reports wins. An earlier report (with the first event, or with each one) counts as far
/// as it goes: its prompt, and the answer's tokens unless more of them were counted since. A report of
/// nothing at all for an answer with text in it is a placeholder.
pub(super) fn figures(
    reported: Option<Usage>,
    is_final: bool,
    counted: Counted,
    prompt_estimate: u32,
) -> (Usage, Source) {
    let counted_tokens = u64::from(counted.tokens);
    let own = if counted.exact { Source::Counted } else { Source::Bytes };
    let placeholder = |usage: &Usage| usage.prompt_tokens == 0 && usage.completion_tokens == 0;
    match reported {
        Some(usage) if !(placeholder(&usage) && counted.tokens > 0) => {
            if is_final || counted_tokens <= usage.completion_tokens {
                return (usage, Source::Reported);
            }
            let prompt_tokens =
                if usage.prompt_tokens == 0 { u64::from(prompt_estimate) } else { usage.prompt_tokens };
            (Usage { prompt_tokens, completion_tokens: counted_tokens, ..usage }, Source::Mixed)
        }
        Some(_) | None => {
            let prompt_tokens = u64::from(prompt_estimate);
            (Usage { prompt_tokens, completion_tokens: counted_tokens, ..Usage::default() }, own)
        }
    }
}

#[cfg(test)]
pub(in crate::exchange) mod tests;
