//! Sticky conversations: where a conversation was answered last, so that its next request goes there again
//! and finds the provider's prompt cache warm.
//!
//! ```text
//!  session_id > x-session-id > header of a harness > prompt_cache_key > opening messages     conversation
//!                                        │ keyed hash, with the account                            │
//!                                        ▼                                                      digest
//!  route asks  ───── digest + model ──► table ◄───── digest + model, endpoint, expiry ─── after a success
//! ```
//!
//! What is remembered is a soft pin: the endpoint goes first of its model as long as it may serve the request
//! and is well; the others follow as usual. It is remembered only where a cache is worth going back to, and
//! for no longer than the provider's `sticky_ttl` after the last success.
//!
//! | file | holds |
//! |---|---|
//! | `conversation` | which conversation a request belongs to |
//! | `hash` | the keyed hash that no client can aim |
//! | `table` | the memory that all cores share |
//!
//! Deliberately absent: the place of a pinned endpoint among the others (`policy::route`), the clock and
//! randomness (arguments), and any text of a conversation: hashes alone are kept.

mod conversation;
mod hash;
mod table;
#[cfg(test)]
mod tests;

use core::time::Duration;

use crate::base::ids::{EndpointId, ModelId};
use crate::base::time::Moment;
use crate::policy::auth::Tenant;
use crate::policy::catalog::Snapshot;
use crate::policy::rows;
use crate::policy::strategy::{StrategyName, spread};

pub use conversation::Conversation;
use hash::Secret;
use table::{Key, Table};

/// A conversation of an account, as a hash under the process's own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    words: [u64; 2],
    /// The request itself names its conversation.
    named: bool,
}

/// What a conversation has a memory of.
#[derive(Clone, Copy, Debug)]
enum Of<'a> {
    /// The endpoint that served this model.
    Endpoint(&'a str),
    /// The model that this router model stood for.
    Model(&'a str),
}

impl Digest {
    /// Does the request itself name its conversation, by an id, a header or a cache key?
    #[must_use]
    pub const fn is_named(self) -> bool {
        self.named
    }

    /// Names of models are the operator's, and the digest's words are secret: here a quick hash will do.
    fn key(self, of: Of<'_>) -> Key {
        let (kind, name) = match of {
            Of::Endpoint(name) => (1, name),
            Of::Model(name) => (2, name),
        };
        let name = name_hash(kind, name);
        Key::new(self.words[0] ^ name, self.words[1].wrapping_add(name))
    }
}

fn name_hash(kind: u64, name: &str) -> u64 {
    let (words, rest) = name.as_bytes().as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().map(|word| u64::from_le_bytes(*word)).chain([u64::from_le_bytes(last)]);
    words.fold(spread(kind << 32 | name.len() as u64), |hash, word| spread(hash ^ word))
}

/// The half of an endpoint's identity that is kept: enough to tell apart the endpoints of one model.
#[must_use]
pub const fn short(identity: u64) -> u32 {
    (identity >> 32) as u32
}

/// What was remembered of a request's conversation, and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recalled {
    /// Nobody asked: there is no conversation, or stickiness is of no use here.
    #[default]
    Unasked,
    /// Nothing is remembered.
    Missed,
    /// The endpoint goes first.
    Kept,
    /// The endpoint is gone, excluded, slower than the request prefers, or not well.
    Broken,
}

/// What is to be remembered once an answer was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftPin {
    key: Key,
    what: u32,
    ttl: Duration,
    named: bool,
}

/// What all conversations of a process are remembered in. Shared by all cores; bounded, and never locked.
#[derive(Debug)]
pub struct Memory {
    secret: Secret,
    table: Table,
}

impl Memory {
    /// Remembers nothing yet. There is room for `entries` conversations (rounded up to a power of two, at
    /// least 4; 16 bytes each). `seed` comes from the kernel's randomness and is told nobody.
    #[must_use]
    pub fn new(entries: usize, seed: [u64; 2]) -> Self {
        Self { secret: Secret::new(seed), table: Table::new(entries) }
    }

    /// The hash of an account's conversation; `None` when the request belongs to none. No allocation.
    #[must_use]
    pub fn digest(
        &self,
        snapshot: &Snapshot,
        tenant: Tenant,
        conversation: &Conversation<'_>,
    ) -> Option<Digest> {
        let (named, texts) = conversation.texts()?;
        let words = self.secret.digest(account(snapshot, tenant), u8::from(named), texts);
        Some(Digest { words, named })
    }

    /// The endpoint that served this conversation's last request for `model`: [`short`] of its row's
    /// identity. One look at one cache line.
    #[must_use]
    pub fn endpoint(&self, digest: Digest, model: &str, now: Moment) -> Option<u32> {
        self.table.find(digest.key(Of::Endpoint(model)), now)
    }

    /// The model that served this conversation's last request for the router model `router`, if it is among
    /// `candidates`.
    #[must_use]
    pub fn model(
        &self,
        digest: Digest,
        router: &str,
        snapshot: &Snapshot,
        mut candidates: impl Iterator<Item = ModelId>,
        now: Moment,
    ) -> Option<ModelId> {
        let found = self.table.find(digest.key(Of::Model(router)), now)?;
        candidates.find(|id| short(name_hash(0, &snapshot.models[id.index()].id)) == found)
    }

    /// What to remember once `endpoint` has served the request. `None` where its cache is not worth going
    /// back to.
    #[must_use]
    pub fn pin(&self, digest: Digest, snapshot: &Snapshot, endpoint: EndpointId) -> Option<SoftPin> {
        let row = snapshot.endpoints.get(endpoint.index())?;
        let lanes = snapshot.rows().model(row.model);
        let place = lanes.place(endpoint)?;
        let model = &snapshot.models[row.model.index()];
        if !is_worth_it(digest.named, model.facts.strategy, lanes.flags(place)) {
            return None;
        }
        Some(SoftPin {
            key: digest.key(Of::Endpoint(&model.id)),
            what: short(lanes.identity(place)),
            ttl: snapshot.providers[row.provider.index()].sticky_ttl,
            named: digest.named,
        })
    }

    /// What to remember once `model` has served a request for the router model `router`, for `ttl`.
    #[must_use]
    pub fn pin_model(
        &self,
        digest: Digest,
        router: &str,
        snapshot: &Snapshot,
        model: ModelId,
        ttl: Duration,
    ) -> SoftPin {
        let what = short(name_hash(0, &snapshot.models[model.index()].id));
        // The choice of a model is kept whatever its answer says of caches: a conversation has one voice.
        SoftPin { key: digest.key(Of::Model(router)), what, ttl, named: true }
    }

    /// An answer was served whole: remembers it. A conversation that the request does not name is
    /// remembered only when the answer's usage says that a cache was read or written.
    pub fn keep(&self, pin: &SoftPin, is_cache_used: bool, now: Moment) {
        if pin.named || is_cache_used {
            self.table.put(pin.key, pin.what, now, pin.ttl);
        }
    }
}

/// Is a cache worth going back to? Where cache reads are known to be cheaper than other prompt tokens; and
/// where the operator's strategy for the model says that there are caches, for conversations with a name
/// (the strategy has its own way with the others). `strategy` is the model's own; `flags` are a row's, or
/// those of several rows together.
#[must_use]
pub fn is_worth_it(named: bool, strategy: Option<StrategyName>, flags: u16) -> bool {
    match strategy {
        Some(StrategyName::PrefixAffinity) => named,
        Some(_) | None => flags & rows::CHEAP_CACHE != 0,
    }
}

/// The memory, as a decision sees it.
#[derive(Clone, Copy, Debug)]
pub struct Recall<'a> {
    /// What is remembered.
    pub memory: &'a Memory,
    /// The time.
    pub now: Moment,
}

/// Whose conversation: the first bytes of the key's SHA-256, which stay the same from snapshot to snapshot.
fn account(snapshot: &Snapshot, tenant: Tenant) -> u64 {
    let key = tenant.key.and_then(|key| snapshot.keys.get(key.index()));
    key.and_then(|key| key.sha256.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
