//! The exchange's part of the ledger: every request for an inference is admitted before its first byte goes
//! to a provider, and settled once, whatever becomes of it.
//!
//! ```text
//!  plan ──► admit ──► attempts … ──► answer ──► settle          one of each, in the core's journal
//!             │ Full                   ▲
//!             ▼                        └── failed, cut, client gone, drained, given up by the edge
//!           503, nothing was sent
//! ```
//!
//! An [`Account`] lies beside the state of the exchange and not in it, so that it is there on every way out,
//! a panic included: while it is open, the request is owed a settlement.
//! Deliberately absent: files (`io`), what a token costs (`policy/price`), what an answer came to (`bill`),
//! and records of requests that were refused or are no inference.

mod admit;
mod settle;
mod user;

pub(super) use admit::prompt_tokens;
pub(super) use settle::{Settlement, ending_of};

use crate::base::ids::{GenerationId, KeyId};
use crate::base::time::Moment;
use crate::dialect::Api;
use crate::exchange::context::Held;
use crate::exchange::request::requested_names;
use crate::policy::catalog::{LedgerTerms, Snapshot};
use crate::policy::route::Candidate;
use crate::wire::journal::{Caller, Served};
use crate::wire::json::peek::{self, Peek};

/// The fault of a request that the edge gave up without a step of its own: its task panicked, or the process
/// had no more time for it.
pub(super) const ABANDONED: &str = "abandoned";

/// What is owed to the ledger.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The request that was admitted, until it is settled.
    open: Option<Entry>,
    /// The name that the last candidate without an endpoint was asked for.
    passed: Option<Box<str>>,
}

/// An admitted request that is not settled.
#[derive(Debug)]
struct Entry {
    /// The snapshot that the request lives with.
    held: Held,
    id: GenerationId,
    key: Option<KeyId>,
    user_hash: u64,
    api: Api,
    streamed: bool,
    /// When its last byte came.
    began: Moment,
    /// Who was to serve it.
    first: Candidate,
    /// Tokens of the prompt as far as its bytes tell.
    prompt_tokens: u32,
    /// Minute of the day when it began, UTC.
    minute: u16,
}

impl Account {
    /// A request was admitted and is not settled.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// A request was admitted, and is to be settled before the last bytes of its answer leave.
    pub(super) fn is_strict(&self) -> bool {
        self.terms().is_some_and(|terms| terms.strict)
    }

    /// The terms of the ledger that hold for the request that was admitted.
    pub(super) fn terms(&self) -> Option<&LedgerTerms> {
        self.open.as_ref().map(|entry| &entry.held.ledger)
    }

    /// Notes the name that a candidate without an endpoint is asked for; `peek` is what the body says, if it
    /// was read just now.
    pub(super) fn pass_through(&mut self, one: Candidate, peek: Option<&Peek>, body: &[u8]) {
        let again;
        let peek = match peek {
            Some(peek) => peek,
            None => {
                again = peek::peek(body).unwrap_or_default();
                &again
            }
        };
        let name = requested_names(peek, body).nth(usize::from(one.model)).unwrap_or_default();
        if self.passed.as_deref() != Some(&*name) {
            self.passed = Some(name.into_owned().into());
        }
    }
}

/// Whose request it is.
fn caller(snapshot: &Snapshot, key: Option<KeyId>, user_hash: u64) -> Caller<'_> {
    let known = key.and_then(|key| snapshot.keys.get(key.index()));
    let (key_digest, key) = known.map_or(([0; 32], ""), |key| (key.sha256, &*key.name));
    Caller { key_digest, key, team: "", user_hash }
}

/// Who serves it, in words; `passed` is the name that is passed through where there is no endpoint.
fn served<'a>(snapshot: &'a Snapshot, who: Candidate, passed: Option<&'a str>) -> Served<'a> {
    let provider = &*snapshot.providers[who.provider.index()].id;
    let Some((id, endpoint)) = who.endpoint.map(|id| (id, &snapshot.endpoints[id.index()])) else {
        return Served { model: passed.unwrap_or_default(), provider, endpoint: provider, price_version: 0 };
    };
    Served {
        model: snapshot.models.get(endpoint.model.index()).map_or("", |model| &model.id),
        provider,
        endpoint: if endpoint.tag.is_empty() { provider } else { &endpoint.tag },
        price_version: snapshot.price_version(id),
    }
}
