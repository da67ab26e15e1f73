//! Snapshots of a wanted size: models with endpoints at some providers, client keys.
//!
//! Deliberately absent: the configuration's way of building them (`control/` is not measured here).

use std::sync::Arc;

use millrace::base::ids::{EndpointId, HostId, KeyId, ModelId, PoolId, ProviderId};
use millrace::base::limits::{Deadlines, Limits};
use millrace::base::secret::Secret;
use millrace::dialect::{DialectName, StreamUsage};
use millrace::policy::auto::Auto;
use millrace::policy::catalog::{
    AuthMode, Credential, Endpoint, Host, Key, Model, Provider, Snapshot, WaitingComment,
};
use millrace::policy::heads::Heads;
use millrace::policy::hedge::Terms;
use millrace::policy::rows::Rows;
use millrace::policy::table::{ByDigest, ByName};
use sha2::{Digest, Sha256};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) models: u32,
    pub(crate) endpoints_per_model: u32,
    pub(crate) keys: u32,
}

/// The id of model number `turn`.
pub(crate) fn model_name(turn: u32) -> String {
    format!("author-{}/model-{turn}", turn % 40)
}

/// The text of key number `turn`, as a client presents it.
pub(crate) fn key_text(turn: u32) -> String {
    format!("sk-mr-{turn:016x}ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}

/// Builds a snapshot. There are as many providers as a model has endpoints.
pub(crate) fn snapshot(size: Size) -> Snapshot {
    let mut snapshot = Snapshot {
        hosts: Vec::new(),
        providers: Vec::new(),
        provider_ids: ByName::default(),
        endpoints: Vec::new(),
        rows: Rows::default(),
        models: Vec::new(),
        model_ids: ByName::default(),
        keys: Vec::new(),
        key_digests: ByDigest::default(),
        auth: AuthMode::Keys,
        control: None,
        limits: Limits::default(),
        deadlines: Deadlines::default(),
        waiting: WaitingComment { text: "PROCESSING".into(), delay: None },
        ambiguous_failover: true,
        auto: Auto::default(),
        hedging: Terms::default(),
        ledger: millrace::policy::catalog::LedgerTerms::default(),
    };
    (0..size.endpoints_per_model).for_each(|turn| add_provider(&mut snapshot, turn));
    (0..size.models).for_each(|turn| add_model(&mut snapshot, turn, size.endpoints_per_model));
    (0..size.keys).for_each(|turn| add_key(&mut snapshot, turn));
    snapshot
}

fn add_provider(snapshot: &mut Snapshot, turn: u32) {
    let name: Box<str> = format!("api.provider-{turn}.example").into();
    snapshot.hosts.push(Host {
        name: name.clone(),
        addresses: Arc::new([[127, 0, 0, 1].into()]),
        unix: None,
    });
    let id: Box<str> = format!("provider-{turn}").into();
    snapshot.provider_ids.insert(id.clone(), ProviderId(turn));
    snapshot.providers.push(Provider {
        id,
        dialect: DialectName::OpenAi,
        tls: true,
        host: HostId(turn),
        port: 443,
        authority: name,
        base_path: "/v1".into(),
        credential: Credential::Bearer(Secret::new("sk-proj-0123456789abcdef0123456789abcdef0123456789")),
        stream_usage: StreamUsage::OnRequest,
        deadlines: Deadlines::default(),
        pool: PoolId(turn),
        sticky_ttl: millrace::base::limits::STICKY_TTL,
        on_client_gone: millrace::policy::catalog::OnClientGone::Cut,
        passthrough: false,
        heads: Heads::default(),
    });
}

fn add_model(snapshot: &mut Snapshot, turn: u32, endpoints: u32) {
    let id: Box<str> = model_name(turn).into();
    let first = turn * endpoints;
    snapshot.model_ids.insert(id.clone(), ModelId(turn));
    for step in 0..endpoints {
        let provider = ProviderId((turn + step) % endpoints);
        snapshot.endpoints.push(Endpoint::plain(provider, ModelId(turn), &format!("model-{turn}")));
    }
    let endpoints = (first..first + endpoints).map(EndpointId).collect();
    snapshot.models.push(Model::plain(&id, endpoints));
}

fn add_key(snapshot: &mut Snapshot, turn: u32) {
    let sha256: [u8; 32] = Sha256::digest(key_text(turn)).into();
    snapshot.key_digests.insert(sha256, KeyId(turn));
    snapshot.keys.push(Key {
        name: format!("key-{turn}").into(),
        sha256,
        debug: false,
        regions: Box::default(),
        management: false,
    });
}
