//! How an endpoint probably behaves, from what the catalogue knows: a stand-in until a world file says how it
//! really is.
//!
//! ```text
//! tokens/s   90 / price^0.2, between 20 and 250; × the host's factor; × 1.5 priority, × 0.6 flex
//! TTFT       350 ms × price^0.15, between 150 and 2,000; × 0.7 priority, × 4 flex; p95 is 3 × the median
//! both       × between 3/4 and 4/3, by the endpoint's identity
//! ```
//!
//! `price` is that of a million completion tokens in USD: larger models cost more and are slower.
//! Deliberately absent: measurements.

use super::Manner;
use crate::base::ids::EndpointId;
use crate::base::money::PicoDollars;
use crate::control::simulate::random::LogNormal;
use crate::policy::catalog::{ServiceTier, Snapshot};
use crate::policy::rows::identity_of;
use crate::policy::strategy::spread;

/// Hosts whose hardware is known for its speed, and how many times faster they are.
const FAST: [(&str, f64); 3] = [("cerebras", 12.0), ("groq", 4.0), ("sambanova", 4.0)];
const FAILURE_RATE: f64 = 0.002;
const DEATH_RATE: f64 = 0.000_2;
const TTFT_P95: f64 = 3.0;

/// An endpoint's manner as guessed.
pub(super) fn manner(snapshot: &Snapshot, id: EndpointId) -> Manner {
    let endpoint = &snapshot.endpoints[id.index()];
    let provider = &snapshot.providers[endpoint.provider.index()].id;
    let completion = endpoint.facts.prices.as_ref().and_then(|prices| prices.base.completion);
    let usd_per_million = completion.map_or(1.0, |PicoDollars(pico)| pico as f64 / 1e6);
    let (speed_factor, wait_factor) = match endpoint.facts.tier() {
        ServiceTier::Default => (1.0, 1.0),
        ServiceTier::Flex => (0.6, 4.0),
        ServiceTier::Priority => (1.5, 0.7),
    };
    of(provider, identity_of(snapshot, endpoint), usd_per_million, speed_factor, wait_factor)
}

/// The manner of a provider towards names that are passed through.
pub(super) fn passed_through(provider: &str) -> Manner {
    let step = |hash: u64, byte: u8| spread(hash ^ u64::from(byte));
    of(provider, provider.bytes().fold(1, step), 1.0, 1.0, 1.0)
}

fn of(provider: &str, identity: u64, usd_per_million: f64, speed_factor: f64, wait_factor: f64) -> Manner {
    let price = usd_per_million.clamp(0.01, 1_000.0);
    let host = FAST.iter().find(|(name, _)| *name == provider).map_or(1.0, |(_, factor)| *factor);
    // 3/4 to 4/3 on a logarithmic scale.
    let share = |word: u64| 0.75 * (16.0_f64 / 9.0).powf((word >> 11) as f64 / (1_u64 << 53) as f64);
    let speed = (90.0 / price.powf(0.2)).clamp(20.0, 250.0) * host * speed_factor;
    let wait_ms = (350.0 * price.powf(0.15)).clamp(150.0, 2_000.0) * wait_factor;
    let median = wait_ms * share(spread(identity));
    Manner {
        ttft_ms: LogNormal::new(median, TTFT_P95 * median),
        tokens_per_second: speed * share(spread(identity ^ 1)),
        failure_rate: FAILURE_RATE,
        death_rate: DEATH_RATE,
        capacity: u32::MAX,
        retry_after: None,
        identity,
        effects: Vec::new(),
    }
}
