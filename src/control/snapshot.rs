//! From configuration to the snapshot the workers run on: names become rows, base URLs become hosts, equal
//! connections become one pool.
//!
//! Deliberately absent: DNS (names that are no addresses stay empty until it has answered), TLS set-up (it
//! needs the trust files listed here, and lives in `io`), and the decision to swap.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::auto;
use super::catalog::{self, Catalogue};
use super::config::{Config, EndpointEntry, Exposure, Hedge, KeyTable, Ledger, ModelEntry, Probe, Upstream};
use super::journal::Durability;
use super::probe::Target;
use crate::base::address::UnixName;
use crate::base::ids::{EndpointId, HostId, KeyId, ModelId, PoolId, ProviderId};
use crate::base::limits::Deadlines;
use crate::dialect::{DialectName, StreamUsage};
use crate::policy::auto::Auto;
use crate::policy::catalog::{
    Credential, Endpoint, EndpointFacts, Host, Key, LedgerTerms, Model, ModelFacts, OnClientGone, Provider,
    ServiceTier, Snapshot, WaitingComment,
};
use crate::policy::heads::Heads;
use crate::policy::hedge::{Terms, When};
use crate::policy::rows::Rows;
use crate::policy::table::ByName;

/// Gives pools their ids, and the same id again as long as nothing about the pool changes. One per process,
/// kept by whoever builds snapshots. An id is never given to two different pools: a connection under an old
/// credential must not be found under a new one.
#[derive(Debug, Default)]
pub struct Interner {
    pools: HashMap<PoolKey, PoolId>,
    next: u32,
}

/// What makes two connections interchangeable. The name in TLS (SNI) is always the host's, so it has no
/// field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PoolKey {
    tls: bool,
    host: Box<str>,
    port: u16,
    ca_file: Option<PathBuf>,
    /// SHA-256 of the credential, so that the table holds no secret.
    credential: [u8; 32],
}

impl Interner {
    fn pool(&mut self, key: PoolKey) -> PoolId {
        let next = &mut self.next;
        *self.pools.entry(key).or_insert_with(|| {
            let id = PoolId(*next);
            *next = next.checked_add(1).expect("invariant: fewer than 2^32 pools in a process's life");
            id
        })
    }

    /// Forgets pools that `used` does not list, so that the table is as large as the configuration.
    fn keep_only(&mut self, used: &[PoolId]) {
        self.pools.retain(|_, id| used.contains(id));
    }
}

/// A server inside this process: the control plane's listener, the simulator.
#[derive(Clone, Debug)]
pub struct Internal {
    /// Id, and the prefix of models passed through to it.
    pub id: Box<str>,
    /// Its loopback listener, spoken to in plain HTTP.
    pub address: SocketAddr,
    /// Path before the API's own, as of a provider.
    pub base_path: Box<str>,
    /// The header that proves to it that a request came through a worker.
    pub credential: Credential,
    /// Takes `<id>/<name>` as is.
    pub passthrough: bool,
    /// Deadlines of requests to it.
    pub deadlines: Deadlines,
}

/// What a snapshot has beside the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// Where paths go that are no inference. Clients cannot name it.
    pub control: Option<&'a Internal>,
    /// Providers that clients can name. A configured provider of the same id goes first.
    pub internals: &'a [Internal],
    /// Further models; a configured one of the same id goes first. Endpoints at unknown providers are left
    /// out.
    pub models: &'a [ModelEntry],
    /// The shipped models. A model of the same id above is laid over it.
    pub catalogue: Option<&'a Catalogue>,
    /// With the endpoints at providers that are not configured, which nobody can reach: for a complete list
    /// of models, never for workers.
    pub unreachable: bool,
    /// Addresses of names, as far as DNS has answered, by [`Host::name`].
    pub resolved: Option<&'a HashMap<Box<str>, Arc<[IpAddr]>>>,
}

/// Trust files of TLS pools that do not use the system's roots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsTrust {
    ca_files: HashMap<PoolId, PathBuf>,
}

impl TlsTrust {
    /// The PEM file that replaces the system's roots for this pool.
    #[must_use]
    pub fn ca_file(&self, pool: PoolId) -> Option<&Path> {
        self.ca_files.get(&pool).map(PathBuf::as_path)
    }

    /// Every pool with a file of its own.
    pub fn iter(&self) -> impl Iterator<Item = (PoolId, &Path)> {
        self.ca_files.iter().map(|(pool, path)| (*pool, path.as_path()))
    }
}

/// A snapshot and what `io` needs beside it.
#[derive(Clone, Debug)]
pub struct Built {
    /// For the workers.
    pub snapshot: Snapshot,
    /// For TLS.
    pub trust: TlsTrust,
    /// Whom to probe.
    pub probes: Vec<Target>,
}

/// Builds a snapshot. `exposure` is the evidence that the listener may be as open as it is.
#[must_use]
pub fn build(config: &Config, exposure: Exposure, extras: Extras<'_>, interner: &mut Interner) -> Built {
    let mut builder = Builder {
        snapshot: empty(config, exposure),
        trust: TlsTrust::default(),
        host_ids: HashMap::new(),
        resolved: extras.resolved,
        sticky_ttl: config.sticky.ttl,
        interner,
    };
    for upstream in &config.upstreams {
        builder.add_upstream(upstream);
    }
    for internal in extras.internals {
        let id = builder.add_internal(internal);
        builder.snapshot.provider_ids.entry(internal.id.clone()).or_insert(id);
    }
    builder.snapshot.control = extras.control.map(|control| builder.add_internal(control));
    if let Some(catalogue) = extras.catalogue.filter(|_| extras.unreachable) {
        builder.add_unreachable(catalogue);
    }
    builder.add_models(config, extras);
    builder.snapshot.auto = auto::tiers(config, &builder.snapshot);
    let used: Vec<PoolId> = builder.snapshot.providers.iter().map(|provider| provider.pool).collect();
    builder.interner.keep_only(&used);
    // Here and not on the way of the first request that needs them.
    let _ = (builder.snapshot.rows(), builder.snapshot.layout());
    let probes = config.upstreams.iter().filter_map(|upstream| {
        let Probe { path, every, timeout } = upstream.probe.clone()?;
        Some(Target { provider: upstream.id.clone(), path, every, timeout })
    });
    Built { snapshot: builder.snapshot, trust: builder.trust, probes: probes.collect() }
}

/// A snapshot without providers and models.
fn empty(config: &Config, exposure: Exposure) -> Snapshot {
    let row = |key: &KeyTable| Key {
        name: key.name.clone(),
        sha256: key.sha256,
        debug: key.debug,
        regions: key.regions.clone().unwrap_or_default().into(),
        management: key.management,
    };
    let keys: Vec<Key> = config.keys.iter().map(row).collect();
    Snapshot {
        hosts: Vec::new(),
        providers: Vec::new(),
        provider_ids: ByName::default(),
        endpoints: Vec::new(),
        rows: Rows::default(),
        models: Vec::new(),
        model_ids: ByName::default(),
        key_digests: (0..).map(KeyId).zip(&keys).map(|(id, key)| (key.sha256, id)).collect(),
        keys,
        auth: exposure.auth_mode(),
        control: None,
        limits: config.limits.clone(),
        deadlines: config.deadlines.clone(),
        waiting: WaitingComment { text: config.waiting.comment.clone(), delay: config.waiting.delay },
        ambiguous_failover: config.retry.ambiguous_failover,
        auto: Auto::default(),
        hedging: hedging(config),
        ledger: ledger(&config.ledger),
    }
}

/// The terms of the ledger. A deadline of the whole request goes before the one of reading on.
fn ledger(ledger: &Ledger) -> LedgerTerms {
    let Ledger { unknown_price, reserve_completion_tokens, drain_timeout, .. } = *ledger;
    LedgerTerms {
        strict: ledger.enabled && ledger.durability == Durability::Strict,
        unknown_price,
        reserve_completion_tokens: u32::try_from(reserve_completion_tokens).unwrap_or(u32::MAX),
        drain_timeout,
        drain_bytes: ledger.drain_bytes as u64,
        drains_per_core: ledger.drains_per_core,
    }
}

/// The rules for second candidates.
fn hedging(config: &Config) -> Terms {
    let Hedge { after, least, unmeasured, requests_percent, cost_percent, per_request } = config.hedge;
    let is_on = |when: When| when != When::Off;
    let percent = |percent: usize| u32::try_from(percent).unwrap_or(100);
    Terms {
        in_use: per_request
            || is_on(after)
            || config.models.iter().filter_map(|model| model.facts.hedge).any(is_on),
        when: after,
        least,
        unmeasured,
        requests_percent: percent(requests_percent),
        cost_percent: percent(cost_percent),
        per_request,
    }
}

struct Builder<'a> {
    snapshot: Snapshot,
    trust: TlsTrust,
    host_ids: HashMap<Box<str>, HostId>,
    resolved: Option<&'a HashMap<Box<str>, Arc<[IpAddr]>>>,
    /// Of providers inside this process.
    sticky_ttl: Duration,
    interner: &'a mut Interner,
}

/// The number of the next row. Configuration bounds every table far below 2³².
fn next_row<T>(table: &[T]) -> u32 {
    u32::try_from(table.len()).expect("invariant: tables are bounded by the configuration's limits")
}

impl Builder<'_> {
    fn add_upstream(&mut self, upstream: &Upstream) {
        let url = &upstream.url;
        let pool = self.interner.pool(PoolKey {
            tls: url.tls,
            host: url.host.clone(),
            port: url.port,
            ca_file: upstream.ca_file.clone(),
            credential: digest(&upstream.credential),
        });
        if let Some(ca_file) = &upstream.ca_file {
            self.trust.ca_files.insert(pool, ca_file.clone());
        }
        let id = ProviderId(next_row(&self.snapshot.providers));
        let host = self.host(&url.host, url.unix.as_ref());
        self.snapshot.providers.push(Provider {
            id: upstream.id.clone(),
            dialect: upstream.dialect,
            tls: url.tls,
            host,
            port: url.port,
            authority: url.authority(),
            base_path: url.path.clone(),
            credential: upstream.credential.clone(),
            stream_usage: upstream.stream_usage,
            deadlines: upstream.deadlines.clone(),
            pool,
            sticky_ttl: upstream.sticky_ttl,
            on_client_gone: upstream.on_client_gone,
            passthrough: upstream.passthrough,
            heads: Heads::default(),
        });
        self.snapshot.provider_ids.insert(upstream.id.clone(), id);
    }

    fn add_internal(&mut self, internal: &Internal) -> ProviderId {
        let id = ProviderId(next_row(&self.snapshot.providers));
        let name: Box<str> = internal.address.ip().to_string().into();
        let pool = self.interner.pool(PoolKey {
            tls: false,
            host: name.clone(),
            port: internal.address.port(),
            ca_file: None,
            credential: digest(&internal.credential),
        });
        let host = self.host(&name, None);
        self.snapshot.providers.push(Provider {
            id: internal.id.clone(),
            dialect: DialectName::OpenAi,
            tls: false,
            host,
            port: internal.address.port(),
            authority: internal.address.to_string().into(),
            base_path: internal.base_path.clone(),
            credential: internal.credential.clone(),
            stream_usage: StreamUsage::OnRequest,
            deadlines: internal.deadlines.clone(),
            pool,
            sticky_ttl: self.sticky_ttl,
            on_client_gone: OnClientGone::Cut,
            passthrough: internal.passthrough,
            heads: Heads::default(),
        });
        id
    }

    /// The row of a host. An address is its own answer, a unix socket needs none; a name's is empty until DNS
    /// has one.
    fn host(&mut self, name: &str, unix: Option<&UnixName>) -> HostId {
        if let Some(id) = self.host_ids.get(name) {
            return *id;
        }
        let addresses = match name.parse::<IpAddr>() {
            Ok(address) => Arc::from([address]),
            Err(_) if unix.is_some() => Arc::default(),
            Err(_) => self.resolved.and_then(|resolved| resolved.get(name)).cloned().unwrap_or_default(),
        };
        let id = HostId(next_row(&self.snapshot.hosts));
        self.snapshot.hosts.push(Host { name: name.into(), addresses, unix: unix.cloned() });
        self.host_ids.insert(name.into(), id);
        id
    }

    /// Rows for the catalogue's providers that are not configured.
    fn add_unreachable(&mut self, catalogue: &Catalogue) {
        for endpoint in catalogue.models().iter().flat_map(|model| &model.endpoints) {
            if self.snapshot.provider_ids.contains_key(&endpoint.provider) {
                continue;
            }
            let id = self.add_internal(&Internal {
                id: endpoint.provider.clone(),
                address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                base_path: "".into(),
                credential: Credential::None,
                passthrough: false,
                deadlines: Deadlines::default(),
            });
            self.snapshot.provider_ids.insert(endpoint.provider.clone(), id);
        }
    }

    /// The models of the file, then those of this process, then the shipped ones. A name goes to the first
    /// that has it, and an alias of the file goes before a shipped id.
    fn add_models(&mut self, config: &Config, extras: Extras<'_>) {
        let shipped = |id: &str| extras.catalogue.and_then(|all| all.model(id));
        for model in config.models.iter().chain(extras.models) {
            match shipped(&model.id) {
                Some(below) => self.add_model(&model.clone().laid_over(below), config),
                None => self.add_model(model, config),
            }
        }
        let models = extras.catalogue.map(Catalogue::models).unwrap_or_default();
        let aliases = extras.catalogue.map(Catalogue::aliases).unwrap_or_default();
        let mut targets = catalog::targets(models, aliases);
        let own = catalog::targets(&config.models, &config.aliases);
        for model in models.iter().filter(|model| !own.contains_key(&*model.id)) {
            self.add_model(model, config);
        }
        targets.extend(own);
        for name in targets.keys() {
            let end = catalog::follow(&targets, name);
            if let Some(id) = end.and_then(|end| self.snapshot.model_ids.get(end)).copied() {
                self.snapshot.model_ids.entry((*name).into()).or_insert(id);
            }
        }
        self.add_latest();
    }

    /// `~author/family-latest`, for the families of models that everybody may see. What is private has its
    /// newest member named by its operator.
    fn add_latest(&mut self) {
        let Snapshot { models, endpoints, model_ids, .. } = &mut self.snapshot;
        let public = |id: &EndpointId| endpoints[id.index()].private_to.is_none();
        let visible = models.iter().filter(|model| model.endpoints.iter().any(public));
        for (alias, id) in catalog::latest(visible.map(|model| (&*model.id, model.facts.created))) {
            if let Some(id) = model_ids.get(id).copied() {
                model_ids.entry(alias.into()).or_insert(id);
            }
        }
    }

    fn add_model(&mut self, model: &ModelEntry, config: &Config) {
        if self.snapshot.model_ids.contains_key(&model.id) {
            return;
        }
        let id = ModelId(next_row(&self.snapshot.models));
        let mut endpoints = Vec::with_capacity(model.endpoints.len());
        for endpoint in &model.endpoints {
            let Some(provider) = self.snapshot.provider_ids.get(&endpoint.provider) else { continue };
            endpoints.push(EndpointId(next_row(&self.snapshot.endpoints)));
            let endpoint = endpoint_row(endpoint, &model.facts, config, (*provider, id));
            self.snapshot.endpoints.push(endpoint);
        }
        if endpoints.is_empty() {
            return;
        }
        self.snapshot.models.push(Model { id: model.id.clone(), facts: model.facts.clone(), endpoints });
        self.snapshot.model_ids.insert(model.id.clone(), id);
    }
}

/// The row of an endpoint: what it does not say is as the model says.
fn endpoint_row(
    entry: &EndpointEntry,
    model_facts: &ModelFacts,
    config: &Config,
    (provider, model): (ProviderId, ModelId),
) -> Endpoint {
    let own = entry.facts.clone();
    let tier = own.service_tier.filter(|tier| *tier != ServiceTier::Default).map(ServiceTier::name);
    let mut tag = entry.provider.to_string();
    for part in [own.variant.as_deref(), own.region.as_deref(), tier].into_iter().flatten() {
        tag.push('/');
        tag.push_str(part);
    }
    let private_to = entry.private_to.as_ref().map(|names| {
        let keys = (0..).map(KeyId).zip(&config.keys);
        keys.filter(|(_, key)| names.contains(&key.name)).map(|(id, _)| id).collect()
    });
    Endpoint {
        provider,
        model,
        name: entry.name.clone(),
        tag: tag.into(),
        facts: EndpointFacts {
            context_tokens: own.context_tokens.or(model_facts.context_tokens),
            output_tokens: own.output_tokens.or(model_facts.output_tokens),
            parameters: own.parameters.or(model_facts.parameters),
            ..own
        },
        private_to,
    }
}

/// SHA-256 over the kind, the header's name and the value, with separators that none of them can contain.
fn digest(credential: &Credential) -> [u8; 32] {
    let mut hash = Sha256::new();
    match credential {
        Credential::None => hash.update("none"),
        Credential::Bearer(secret) => {
            hash.update("bearer\0");
            hash.update(secret.expose());
        }
        Credential::Header { name, value } => {
            hash.update("header\0");
            hash.update(name.as_bytes());
            hash.update("\0");
            hash.update(value.expose());
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
