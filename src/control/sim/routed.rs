//! Simulated models with several endpoints, so that routing can be tried without any provider. The answer's
//! `model` says which endpoint served.
//!
//! `sim/routed` has five that differ in price, region, tier and data policy; `sim/cached` has two that are
//! alike and read prompts from a cache at a tenth of the price, so that conversations stick to them.
//!
//! Deliberately absent: any difference in behaviour (each answers at once).

use crate::base::money::PicoDollars;
use crate::control::config::{EndpointEntry, ModelEntry};
use crate::policy::catalog::{DataPolicy, EndpointFacts, PriceRules, Prices, Quantization, ServiceTier};

use super::Listener;

/// The upstream names of the endpoints of `sim/routed`.
pub(super) const NAMES: [&str; 5] =
    ["routed-standard", "routed-cheap", "routed-eu", "routed-flex", "routed-priority"];

/// Those of `sim/cached`.
pub(super) const CACHED: [&str; 2] = ["cached-a", "cached-b"];

/// `sim/cached` as a snapshot should offer it.
#[must_use]
pub fn cached() -> ModelEntry {
    let variant = |name: &str| name.strip_prefix("cached-").map(Into::into);
    let endpoints = CACHED.map(|name| {
        let facts = EndpointFacts { variant: variant(name), ..EndpointFacts::default() };
        let mut endpoint = endpoint(Listener::Main, name, (500_000, 2_000_000), facts);
        if let Some(prices) = &mut endpoint.facts.prices {
            prices.base.cache_read = Some(PicoDollars(50_000));
        }
        endpoint
    });
    ModelEntry { id: "sim/cached".into(), endpoints: endpoints.into(), ..ModelEntry::default() }
}

/// `sim/routed` as a snapshot should offer it.
#[must_use]
pub fn model() -> ModelEntry {
    let [standard, cheap, eu, flex, priority] = NAMES;
    let none = EndpointFacts::default;
    let endpoint = |name: &str, prices, facts| endpoint(Listener::Main, name, prices, facts);
    let tier = |tier| EndpointFacts { service_tier: Some(tier), ..none() };
    let private = DataPolicy { retains: Some(false), trains: Some(false), zdr: Some(true) };
    ModelEntry {
        id: "sim/routed".into(),
        endpoints: vec![
            endpoint(standard, (500_000, 2_000_000), none()),
            endpoint(
                cheap,
                (100_000, 400_000),
                EndpointFacts {
                    variant: Some("cheap".into()),
                    quantization: Some(Quantization::Fp8),
                    ..none()
                },
            ),
            endpoint(
                eu,
                (300_000, 1_200_000),
                EndpointFacts {
                    region: Some("eu".into()),
                    quantization: Some(Quantization::Bf16),
                    data: private,
                    ..none()
                },
            ),
            endpoint(flex, (50_000, 200_000), tier(ServiceTier::Flex)),
            endpoint(priority, (1_000_000, 4_000_000), tier(ServiceTier::Priority)),
        ],
        ..ModelEntry::default()
    }
}

/// Prices in pico-dollars per prompt and per completion token.
pub(super) fn endpoint(
    listener: Listener,
    name: &str,
    (prompt, completion): (i128, i128),
    facts: EndpointFacts,
) -> EndpointEntry {
    let base = Prices {
        prompt: Some(PicoDollars(prompt)),
        completion: Some(PicoDollars(completion)),
        ..Prices::default()
    };
    EndpointEntry {
        provider: listener.provider_id().into(),
        name: name.into(),
        facts: EndpointFacts { prices: Some(PriceRules { base, rules: Box::default() }), ..facts },
        ..EndpointEntry::default()
    }
}
