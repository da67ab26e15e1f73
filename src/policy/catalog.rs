//! The snapshot: everything a worker may know about models, endpoints, providers and keys, immutable and
//! swapped whole. `control/` builds it, a worker picks it up between requests, a running exchange keeps its
//! own.
//!
//! Deliberately absent: parsing of configuration, DNS, and anything that changes while a request runs.

mod facts;
mod ledger;
mod prices;

use core::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::base::address::{Address, UnixName};
use crate::base::ids::{EndpointId, HostId, KeyId, ModelId, PoolId, ProviderId};
use crate::base::limits::{Deadlines, Limits};
use crate::base::secret::Secret;
use crate::dialect::{DialectName, StreamUsage};
use crate::policy::auto::Auto;
use crate::policy::heads::Heads;
use crate::policy::hedge;
use crate::policy::rows::Rows;
use crate::policy::table::{ByDigest, ByName};

pub use facts::{
    DataPolicy, EndpointFacts, Modalities, Modality, ModelFacts, Parameter, Parameters, PriceRule,
    PriceRules, Prices, Quantization, Quantizations, ServiceTier, ServiceTiers, Tokenizer, Tokenizers,
    Window,
};
pub use ledger::{LedgerTerms, OnClientGone, UnknownPrice};

/// How a provider wants its credential.
#[derive(Clone, Debug)]
pub enum Credential {
    /// No credential (a private server).
    None,
    /// `Authorization: Bearer <key>`
    Bearer(Secret),
    /// A header of its own, such as `api-key` or `x-api-key`.
    Header {
        /// Lower-case field name.
        name: Box<str>,
        /// Its value.
        value: Secret,
    },
}

/// A host name and where it is now.
#[derive(Clone, Debug)]
pub struct Host {
    /// Name or address text, lower case, without brackets or port; of a unix socket `unix:` and its name.
    pub name: Box<str>,
    /// Its addresses, without ports' meaning: the port is the provider's. Empty until resolved.
    pub addresses: Arc<[IpAddr]>,
    /// The unix socket that it is instead: it has no addresses, and no name to resolve.
    pub unix: Option<UnixName>,
}

impl Host {
    /// How many addresses are known to connect to.
    #[must_use]
    pub fn known(&self) -> usize {
        if self.unix.is_some() { 1 } else { self.addresses.len() }
    }
}

/// One upstream account: base URL, credential, dialect.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Id as used in `<provider>/<name>` and in records.
    pub id: Box<str>,
    /// Dialect spoken.
    pub dialect: DialectName,
    /// TLS (https) or plain TCP (http).
    pub tls: bool,
    /// Where.
    pub host: HostId,
    /// TCP port; 0 for a unix socket.
    pub port: u16,
    /// `Host` field value: name, and the port unless it is the scheme's default; `localhost` for a unix
    /// socket.
    pub authority: Box<str>,
    /// Path before the API's own, no trailing slash: `/v1`, `/openai/v1`, or empty.
    pub base_path: Box<str>,
    /// How to authenticate.
    pub credential: Credential,
    /// How usage comes on streams.
    pub stream_usage: StreamUsage,
    /// The deadlines of requests to it.
    pub deadlines: Deadlines,
    /// Its pool of connections.
    pub pool: PoolId,
    /// How long after a success a conversation comes back to it; at most a day.
    pub sticky_ttl: core::time::Duration,
    /// What becomes of its answer when the client has left.
    pub on_client_gone: OnClientGone,
    /// Takes `<provider>/<anything>` as is.
    pub passthrough: bool,
    /// What its requests begin with, written when the first one goes there.
    pub heads: Heads,
}

impl Provider {
    /// Address number `turn` (modulo how many there are) of this provider; `None` while its name is
    /// unresolved.
    #[must_use]
    pub fn address(&self, snapshot: &Snapshot, turn: usize) -> Option<Address> {
        let Host { addresses, unix, .. } = &snapshot.hosts[self.host.index()];
        if let Some(name) = unix {
            return Some(Address::Unix(name.clone()));
        }
        let ip = addresses.get(turn.checked_rem(addresses.len())?)?;
        Some(Address::Inet(SocketAddr::new(*ip, self.port)))
    }
}

/// A model at a provider.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where.
    pub provider: ProviderId,
    /// Of which model.
    pub model: ModelId,
    /// The provider's own name of the model.
    pub name: Box<str>,
    /// The provider's id, and behind a `/` the variant, region or tier when there is one: `deepinfra/turbo`,
    /// `openai/priority`.
    pub tag: Box<str>,
    /// What is known about it. Sizes and parameters that only the model knew have been filled in.
    pub facts: EndpointFacts,
    /// The only keys that may use it, in ascending order; `None` is everybody.
    pub private_to: Option<Box<[KeyId]>>,
}

impl Endpoint {
    /// An endpoint about which nothing more is known.
    #[must_use]
    pub fn plain(provider: ProviderId, model: ModelId, name: &str) -> Self {
        Self {
            provider,
            model,
            name: name.into(),
            tag: "".into(),
            facts: EndpointFacts::default(),
            private_to: None,
        }
    }

    /// May this caller use it, and know of it?
    #[must_use]
    pub fn visible_to(&self, key: Option<KeyId>) -> bool {
        let Some(keys) = &self.private_to else { return true };
        key.is_some_and(|key| keys.binary_search(&key).is_ok())
    }
}

/// A model clients can ask for.
#[derive(Clone, Debug)]
pub struct Model {
    /// `author/slug`.
    pub id: Box<str>,
    /// What is known about it.
    pub facts: ModelFacts,
    /// Its endpoints, tried in this order.
    pub endpoints: Vec<EndpointId>,
}

impl Model {
    /// A model about which nothing more is known.
    #[must_use]
    pub fn plain(id: &str, endpoints: Vec<EndpointId>) -> Self {
        Self { id: id.into(), facts: ModelFacts::default(), endpoints }
    }
}

/// A client key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Name for records; not secret.
    pub name: Box<str>,
    /// SHA-256 of the key's text.
    pub sha256: [u8; 32],
    /// May ask how its requests were routed, with `X-Millrace-Debug`.
    pub debug: bool,
    /// The only regions where its requests may be computed; empty is everywhere.
    pub regions: Box<[Box<str>]>,
    /// Reads what everybody has used, and is refused for inference.
    pub management: bool,
}

/// Comments for a streaming client that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingComment {
    /// Text after `: `, one line, no CR or LF.
    pub text: Box<str>,
    /// Silence after which one is sent; `None` switches them off.
    pub delay: Option<core::time::Duration>,
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// Keys are configured and demanded.
    Keys,
    /// Nobody needs a key: loopback, or written out in the configuration.
    Open,
}

/// Everything a worker may know; immutable.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Hosts by `HostId`.
    pub hosts: Vec<Host>,
    /// Providers by `ProviderId`.
    pub providers: Vec<Provider>,
    /// Provider ids.
    pub provider_ids: ByName<ProviderId>,
    /// Endpoints by `EndpointId`.
    pub endpoints: Vec<Endpoint>,
    /// What routing needs of each endpoint, made from them when first needed.
    pub rows: Rows,
    /// Models by `ModelId`.
    pub models: Vec<Model>,
    /// Model ids and aliases.
    pub model_ids: ByName<ModelId>,
    /// Keys by `KeyId`.
    pub keys: Vec<Key>,
    /// Keys by digest.
    pub key_digests: ByDigest<KeyId>,
    /// Who may call.
    pub auth: AuthMode,
    /// The control plane's own listener, to which paths that are no inference go. A provider like any other,
    /// not in `providers` ids that clients can name.
    pub control: Option<ProviderId>,
    /// Bounds.
    pub limits: Limits,
    /// The deadlines of the client side (a provider's own rule its attempts).
    pub deadlines: Deadlines,
    /// Comments while waiting.
    pub waiting: WaitingComment,
    /// Fail over once after an ambiguous failure (the first attempt may be billed).
    pub ambiguous_failover: bool,
    /// The tiers of `millrace/auto`.
    pub auto: Auto,
    /// Second candidates for requests that wait long.
    pub hedging: hedge::Terms,
    /// Prices that nobody knows, reservations, and answers without clients.
    pub ledger: LedgerTerms,
}

#[cfg(test)]
impl Snapshot {
    /// Without a provider, a model or a key; open. For tests that fill in what they are about.
    pub(crate) fn bare() -> Self {
        Self {
            hosts: Vec::new(),
            providers: Vec::new(),
            provider_ids: ByName::default(),
            endpoints: Vec::new(),
            rows: Rows::default(),
            models: Vec::new(),
            model_ids: ByName::default(),
            keys: Vec::new(),
            key_digests: ByDigest::default(),
            auth: AuthMode::Open,
            control: None,
            limits: Limits::default(),
            deadlines: Deadlines::default(),
            waiting: WaitingComment { text: "WAITING".into(), delay: None },
            ambiguous_failover: true,
            auto: Auto::default(),
            hedging: hedge::Terms::default(),
            ledger: LedgerTerms::default(),
        }
    }
}
