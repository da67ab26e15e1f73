//! `sim/routed`: one simulated model at five endpoints that differ in price, region, tier and data policy, so
//! that routing can be tried without any provider. The answer's `model` says which of them served.
//!
//! Deliberately absent: any difference in behaviour (each answers at once).

use crate::base::money::PicoDollars;
use crate::control::config::{EndpointEntry, ModelEntry};
use crate::policy::catalog::{DataPolicy, EndpointFacts, PriceRules, Prices, Quantization, ServiceTier};

use super::Listener;

/// The upstream names of its endpoints.
pub(super) const NAMES: [&str; 5] =
    ["routed-standard", "routed-cheap", "routed-eu", "routed-flex", "routed-priority"];

/// The model as a snapshot should offer it.
#[must_use]
pub fn model() -> ModelEntry {
    let [standard, cheap, eu, flex, priority] = NAMES;
    let none = EndpointFacts::default;
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
fn endpoint(name: &str, (prompt, completion): (i128, i128), facts: EndpointFacts) -> EndpointEntry {
    let base = Prices {
        prompt: Some(PicoDollars(prompt)),
        completion: Some(PicoDollars(completion)),
        ..Prices::default()
    };
    EndpointEntry {
        provider: Listener::Main.provider_id().into(),
        name: name.into(),
        facts: EndpointFacts { prices: Some(PriceRules { base, rules: Box::default() }), ..facts },
        ..EndpointEntry::default()
    }
}
