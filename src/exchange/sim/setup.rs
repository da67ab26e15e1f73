//! From the configuration of a case to the snapshot an exchange lives with.
//!
//! Deliberately absent: addresses; nothing is resolved here.

use std::sync::Arc;

use crate::base::ids::{EndpointId, HostId, KeyId, ModelId, PoolId, ProviderId};
use crate::base::secret::Secret;
use crate::dialect::{DialectName, StreamUsage};
use crate::exchange::sim::case::Config;
use crate::policy::catalog::{
    AuthMode, Credential, Endpoint, Host, Key, Model, Provider, Snapshot, WaitingComment,
};
use crate::policy::heads::Heads;
use crate::policy::rows::Rows;

/// The key of every client of a case.
pub const CLIENT_KEY: &str = "sk-client-1";

/// SHA-256 of [`CLIENT_KEY`].
const CLIENT_KEY_DIGEST: &str = "c3d084b6952a4948b387d27ea14d1dd9f56e2870b1d8aba4d6177e215244d694";

/// The credential of a provider.
pub(super) fn credential(provider: &str) -> String {
    format!("sk-origin-{provider}")
}

/// Builds the snapshot.
pub(super) fn snapshot(config: &Config) -> Snapshot {
    let mut endpoints = Vec::new();
    let mut models = Vec::new();
    for (id, list) in &config.models {
        let mut of_model = Vec::new();
        for (provider, name) in list {
            of_model.push(EndpointId(endpoints.len() as u32));
            let provider = ProviderId(*provider as u32);
            endpoints.push(Endpoint::plain(provider, ModelId(models.len() as u32), name));
        }
        models.push(Model::plain(id, of_model));
    }
    let id_of = |index: usize, name: &str| (Box::from(name), index as u32);
    let providers: Vec<Provider> =
        config.providers.iter().enumerate().map(|(index, _)| provider(config, index)).collect();
    let provider_ids = providers.iter().enumerate().map(|(index, one)| id_of(index, &one.id));
    let model_ids = models.iter().enumerate().map(|(index, one)| id_of(index, &one.id));
    let sha256 = client_key_digest();
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
        keys: vec![Key { name: "client".into(), sha256 }],
        key_digests: [(sha256, KeyId(0))].into_iter().collect(),
        auth: if config.keys { AuthMode::Keys } else { AuthMode::Open },
        control: config.control.map(|index| ProviderId(index as u32)),
        limits: config.limits.clone(),
        deadlines: config.deadlines.clone(),
        waiting: WaitingComment { text: "waiting".into(), delay: config.waiting },
        ambiguous_failover: config.ambiguous,
        hedging: config.hedging,
    }
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
