//! From the configuration of a case to the snapshot an exchange lives with.
//!
//! Deliberately absent: addresses; nothing is resolved here.

use std::sync::Arc;

use crate::base::ids::{EndpointId, HostId, KeyId, ModelId, PoolId, ProviderId};
use crate::base::money::PicoDollars;
use crate::base::secret::Secret;
use crate::dialect::{DialectName, StreamUsage};
use crate::exchange::sim::case::Config;
use crate::policy::auto::{Auto, AutoModel, Tier};
use crate::policy::catalog::{
    AuthMode, Credential, Endpoint, Host, Key, Model, OnClientGone, PriceRules, Prices, Provider, Snapshot,
    WaitingComment,
};
use crate::policy::heads::Heads;
use crate::policy::rows::Rows;
use crate::policy::strategy::StrategyName;

/// The key of every client of a case.
pub const CLIENT_KEY: &str = "sk-client-1";

/// SHA-256 of [`CLIENT_KEY`].
const CLIENT_KEY_DIGEST: &str = "c3d084b6952a4948b387d27ea14d1dd9f56e2870b1d8aba4d6177e215244d694";

/// The credential of a provider.
pub(super) fn credential(provider: &str) -> String {
    format!("sk-origin-{provider}")
}

/// Builds the snapshot.
pub(in crate::exchange) fn snapshot(config: &Config) -> Snapshot {
    let mut endpoints = Vec::new();
    let mut models = Vec::new();
    for (id, list) in &config.models {
        let (mut of_model, mut any_priced) = (Vec::new(), false);
        for (provider, name) in list {
            of_model.push(EndpointId(endpoints.len() as u32));
            let one = &config.providers[*provider];
            any_priced |= one.cached || one.price.is_some();
            let prices = one.price.map(plain_prices).or_else(|| one.cached.then(cached_prices));
            let provider = ProviderId(*provider as u32);
            let mut endpoint = Endpoint::plain(provider, ModelId(models.len() as u32), name);
            endpoint.facts.prices = prices;
            endpoints.push(endpoint);
        }
        let mut model = Model::plain(id, of_model);
        // With prices there would be a draw.
        model.facts.strategy = any_priced.then_some(StrategyName::Order);
        models.push(model);
    }
    let id_of = |index: usize, name: &str| (Box::from(name), index as u32);
    let providers: Vec<Provider> =
        config.providers.iter().enumerate().map(|(index, _)| provider(config, index)).collect();
    let provider_ids = providers.iter().enumerate().map(|(index, one)| id_of(index, &one.id));
    let model_ids = models.iter().enumerate().map(|(index, one)| id_of(index, &one.id));
    let sha256 = client_key_digest();
    let auto = auto(config, &models);
    Snapshot {
        hosts: config
            .providers
            .iter()
            .map(|one| Host {
                name: format!("{}.test", one.name).into(),
                addresses: Arc::from([]),
                unix: None,
            })
            .collect(),
        provider_ids: provider_ids.map(|(name, id)| (name, ProviderId(id))).collect(),
        model_ids: model_ids.map(|(name, id)| (name, ModelId(id))).collect(),
        providers,
        endpoints,
        rows: Rows::default(),
        models,
        keys: vec![Key {
            name: "client".into(),
            sha256,
            debug: config.debug,
            regions: Box::default(),
            management: false,
        }],
        key_digests: [(sha256, KeyId(0))].into_iter().collect(),
        auth: if config.keys { AuthMode::Keys } else { AuthMode::Open },
        control: config.control.map(|index| ProviderId(index as u32)),
        limits: config.limits.clone(),
        deadlines: config.deadlines.clone(),
        waiting: WaitingComment { text: "waiting".into(), delay: config.waiting },
        ambiguous_failover: config.ambiguous,
        auto,
        hedging: config.hedging,
        ledger: config.ledger.clone(),
    }
}

/// The tiers of `millrace/auto`, for requests without signals the second one.
fn auto(config: &Config, models: &[Model]) -> Auto {
    let place = |name: &String| models.iter().position(|model| *model.id == **name);
    let of_tier = |(tier, (.., names)): (u8, &(String, u16, Vec<String>))| {
        let found: Vec<usize> = names.iter().filter_map(place).collect();
        found.into_iter().map(move |at| AutoModel { model: ModelId(at as u32), tier, percentile: 0 })
    };
    let tiers = config
        .auto
        .iter()
        .map(|(name, from_score, _)| Tier { name: name.as_str().into(), from_score: *from_score });
    Auto {
        tiers: tiers.collect(),
        models: (0..).zip(&config.auto).flat_map(of_tier).collect(),
        default_tier: 1.min(config.auto.len().saturating_sub(1)),
        ..Auto::default()
    }
}

/// Prices of a token of the prompt and one of the answer.
fn plain_prices([prompt, completion]: [i128; 2]) -> PriceRules {
    let price = |pico| Some(PicoDollars(pico));
    let base = Prices { prompt: price(prompt), completion: price(completion), ..Prices::default() };
    PriceRules { base, rules: Box::default() }
}

/// Cached tokens of a prompt cost a tenth of the others.
fn cached_prices() -> PriceRules {
    let price = |pico| Some(PicoDollars(pico));
    let (prompt, completion, cache_read) = (price(1_000_000), price(5_000_000), price(100_000));
    let base = Prices { prompt, completion, cache_read, ..Prices::default() };
    PriceRules { base, rules: Box::default() }
}

fn provider(config: &Config, index: usize) -> Provider {
    let one = &config.providers[index];
    let control = config.control == Some(index);
    Provider {
        id: one.name.as_str().into(),
        dialect: DialectName::OpenAi,
        tls: false,
        host: HostId(index as u32),
        port: 80,
        authority: format!("{}.test", one.name).into(),
        base_path: if control { "".into() } else { "/v1".into() },
        credential: Credential::Bearer(Secret::new(credential(&one.name))),
        stream_usage: if one.usage_always { StreamUsage::Always } else { StreamUsage::OnRequest },
        deadlines: config.deadlines.clone(),
        pool: PoolId(index as u32),
        sticky_ttl: config.sticky_ttl,
        on_client_gone: if one.drains { OnClientGone::Drain } else { OnClientGone::Cut },
        passthrough: one.passthrough,
        heads: Heads::default(),
    }
}

fn client_key_digest() -> [u8; 32] {
    let mut digest = [0; 32];
    for (byte, digits) in digest.iter_mut().zip(CLIENT_KEY_DIGEST.as_bytes().chunks_exact(2)) {
        let text = core::str::from_utf8(digits).unwrap_or_default();
        *byte = u8::from_str_radix(text, 16).unwrap_or_default();
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::sim::Case;
    use crate::policy::auth::tenant;

    #[test]
    fn the_clients_key_is_known() {
        let snapshot = snapshot(&Case::empty().config);
        let found = tenant(&snapshot, Some(CLIENT_KEY.as_bytes()));
        assert_eq!(found.map(|tenant| tenant.key), Ok(Some(KeyId(0))));
    }
}
