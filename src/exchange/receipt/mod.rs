//! What a client may be told about the way of its request.
//!
//! | what | when |
//! |---|---|
//! | `X-Millrace-Attempts` | on every answer that a provider was asked for |
//! | `openrouter_metadata` | when the client sent `X-OpenRouter-Metadata: enabled` |
//! | `millrace_route` in it | when it sent `X-Millrace-Debug: route`, and its key may know |
//!
//! A request without such a wish carries nothing of this but one field of its answer's head. With one, its
//! plan is told while it is made (`policy::route::Receipt`), and at the commit, or at the failure, the object
//! is written once; `place` says where in an answer it goes.
//! Deliberately absent: the decision, and sending.

pub(super) mod cost;
mod place;

pub(super) use place::{Closing, Place, closing_brace, created, write_event};

use core::fmt::Write as _;

use crate::base::fault::Fault;
use crate::base::ids::{EndpointId, ProviderId};
use crate::base::record::AttemptRecord;
use crate::exchange::reply::fault_status;
use crate::policy::auth::Tenant;
use crate::policy::catalog::{AuthMode, Snapshot};
use crate::policy::route::{self, Candidate};
use crate::policy::variant;
use crate::wire::http1::{RequestField, RequestHead};
use crate::wire::json::Quoted;

/// Longest value of `X-Millrace-Attempts`; what does not fit any more is counted.
const ATTEMPTS_BYTES: usize = 1024;
/// Endpoints that `endpoints.available` lists; `endpoints.total` counts all.
const AVAILABLE_MOST: usize = 64;

/// What a request's head asks for beside the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes(u8);

impl Wishes {
    const METADATA: u8 = 1;
    const ROUTE: u8 = 1 << 1;
    /// The routing receipt was asked for, and its asker may not have it.
    const DENIED: u8 = 1 << 2;
    /// The client speaks Anthropic's API.
    const ANTHROPIC: u8 = 1 << 3;

    /// Reads the wishes of a head. Values that are not known wish for nothing, as at OpenRouter.
    pub(super) fn read(head: &RequestHead, bytes: &[u8]) -> Self {
        let says = |field, value: &[u8]| {
            head.field(field).is_some_and(|span| span.of(bytes).eq_ignore_ascii_case(value))
        };
        let flag = |bit: u8, set: bool| if set { bit } else { 0 };
        Self(
            flag(Self::METADATA, says(RequestField::XOpenRouterMetadata, b"enabled"))
                | flag(Self::ROUTE, says(RequestField::XMillraceDebug, b"route"))
                | flag(Self::ANTHROPIC, head.field(RequestField::AnthropicVersion).is_some()),
        )
    }

    const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    /// The answer shall tell how it was routed.
    pub(super) const fn tells(self) -> bool {
        self.has(Self::METADATA | Self::ROUTE)
    }

    /// The client speaks Anthropic's API.
    pub(super) const fn anthropic(self) -> bool {
        self.has(Self::ANTHROPIC)
    }

    /// Without what this caller may not wish for. Keys need `debug`; where nobody needs a key, everybody may
    /// read the same figures from `/metrics` and from the lists of endpoints anyway.
    pub(super) fn permitted(self, snapshot: &Snapshot, tenant: Tenant) -> Self {
        let row = tenant.key.and_then(|key| snapshot.keys.get(key.index()));
        let may = snapshot.auth == AuthMode::Open || row.is_some_and(|key| key.debug);
        if may || !self.has(Self::ROUTE) { self } else { Self(self.0 & !Self::ROUTE | Self::DENIED) }
    }
}

/// What the head of an answer tells about its attempts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) attempts: &'a [AttemptRecord],
    /// Of the answer.
    pub(super) status: u16,
    pub(super) wishes: Wishes,
}

impl Told<'_> {
    /// Writes whole fields. Ids of providers hold nothing that could end a line.
    pub(super) fn write(&self, own: &mut Vec<u8>) {
        if self.wishes.has(Wishes::DENIED) {
            own.extend_from_slice(b"x-millrace-debug: denied\r\n");
        }
        own.extend_from_slice(b"x-millrace-attempts: ");
        match self.attempts {
            // Nearly always.
            [one] if one.fault.is_none() && self.status == 200 => {
                own.extend_from_slice(self.snapshot.providers[one.provider.index()].id.as_bytes());
                own.extend_from_slice(b":200\r\n");
            }
            several => {
                own.extend_from_slice(attempts_text(self.snapshot, several, self.status).as_bytes());
                own.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// `sim-a:503,sim-b:200`: for each attempt its provider, and the status or the word of the fault. `status` is
/// that of the attempt that served.
#[cold]
pub(super) fn attempts_text(snapshot: &Snapshot, attempts: &[AttemptRecord], status: u16) -> String {
    let mut text = String::new();
    for (turn, attempt) in attempts.iter().enumerate() {
        let before = text.len();
        let comma = if turn == 0 { "" } else { "," };
        let provider = &snapshot.providers[attempt.provider.index()].id;
        let _ = match attempt.fault {
            None => write!(text, "{comma}{provider}:{status}"),
            Some(Fault::Status(status)) => write!(text, "{comma}{provider}:{status}"),
            Some(fault) => write!(text, "{comma}{provider}:{}", fault.word()),
        };
        if text.len() > ATTEMPTS_BYTES - ",+99".len() {
            text.truncate(before);
            let _ = write!(text, "{comma}+{}", attempts.len() - turn);
            break;
        }
    }
    text
}

/// How a request was planned, for a client that wants to know.
#[derive(Debug)]
pub(super) struct Receipt {
    requested: String,
    strategy: &'static str,
    region: Option<String>,
    total: usize,
    available: Vec<Available>,
    /// The whole routing receipt, as a JSON object.
    route: Option<String>,
}

/// An endpoint that no filter excluded.
#[derive(Debug)]
struct Available {
    provider: ProviderId,
    endpoint: Option<EndpointId>,
    /// Which of the requested models it serves.
    turn: u8,
    provider_id: String,
    model: String,
    tag: String,
}

impl Available {
    fn is(&self, candidate: Candidate) -> bool {
        (self.provider, self.endpoint, self.turn) == (candidate.provider, candidate.endpoint, candidate.model)
    }
}

impl Receipt {
    /// Takes note of a decision.
    pub(super) fn new(
        told: &route::Receipt<'_>,
        snapshot: &Snapshot,
        tenant: Tenant,
        wishes: Wishes,
    ) -> Self {
        let requested = told.names().first().cloned().unwrap_or_default();
        let kept = told.rows().iter().filter(|row| row.excluded.is_none());
        let available = kept.take(AVAILABLE_MOST).map(|row| Available {
            provider: row.provider,
            endpoint: row.endpoint,
            turn: row.model,
            provider_id: told.provider(row).to_owned(),
            model: told.model(row).to_owned(),
            tag: told.tag(row).to_owned(),
        });
        let key = tenant.key.and_then(|key| snapshot.keys.get(key.index()));
        Self {
            strategy: strategy(snapshot, &requested),
            region: key.filter(|key| !key.regions.is_empty()).map(|key| key.regions.join(",")),
            total: told.rows().len(),
            available: available.collect(),
            route: wishes.has(Wishes::ROUTE).then(|| told.json()),
            requested,
        }
    }

    /// The request named `router`, in whose place these models were chosen.
    pub(super) fn chosen_for(&mut self, router: &str) {
        (self.requested, self.strategy) = (router.to_owned(), "auto");
    }

    /// The object `openrouter_metadata`. `tried` are the candidates of `attempts`, in order; one that was
    /// asked twice in a row is there once. `winner` served.
    pub(super) fn json(
        &self,
        attempts: &[AttemptRecord],
        tried: impl Iterator<Item = Candidate>,
        winner: Option<Candidate>,
    ) -> String {
        let selected = winner.and_then(|winner| self.available.iter().find(|one| one.is(winner)));
        let strategy = match winner {
            Some(winner) if winner.model > 0 => "fallback",
            _ => self.strategy,
        };
        let name = selected.map_or("none", |one| &one.tag);
        let mut summary = format!("available={}, selected={name}", self.available.len());
        if attempts.len() > 1 {
            let _ = write!(summary, ", attempts={}", attempts.len());
        }
        let mut text = format!(
            "{{\"requested\":{},\"strategy\":\"{strategy}\",\"region\":{},\"summary\":{},\"attempt\":{},\
             \"is_byok\":false,\"endpoints\":{{\"total\":{},\"available\":[",
            Quoted(&self.requested),
            self.region.as_deref().map_or("null".to_owned(), |region| Quoted(region).to_string()),
            Quoted(&summary),
            if winner.is_some() { attempts.len() } else { 0 },
            self.total
        );
        for (turn, one) in self.available.iter().enumerate() {
            let _ = write!(
                text,
                "{}{{\"provider\":{},\"model\":{},\"tag\":{},\"selected\":{}}}",
                if turn == 0 { "" } else { "," },
                Quoted(&one.provider_id),
                Quoted(&one.model),
                Quoted(&one.tag),
                winner.is_some_and(|winner| one.is(winner))
            );
        }
        text.push_str("]}");
        self.write_attempts(attempts, tried, &mut text);
        if let Some(route) = &self.route {
            let _ = write!(text, ",\"millrace_route\":{route}");
        }
        text.push('}');
        text
    }

    fn write_attempts(
        &self,
        attempts: &[AttemptRecord],
        tried: impl Iterator<Item = Candidate>,
        text: &mut String,
    ) {
        if attempts.is_empty() {
            return;
        }
        let mut tried = tried.peekable();
        text.push_str(",\"attempts\":[");
        for (turn, attempt) in attempts.iter().enumerate() {
            // A stale connection is replaced and the same candidate asked again.
            let again = matches!(attempt.fault, Some(Fault::ResetBeforeAnswer { reused: true }));
            let candidate = if again { tried.peek().copied() } else { tried.next() };
            let known = candidate.and_then(|one| self.available.iter().find(|known| known.is(one)));
            let by_provider = || self.available.iter().find(|known| known.provider == attempt.provider);
            let known = known.filter(|known| known.provider == attempt.provider).or_else(by_provider);
            let (provider, model) = known.map_or(("", ""), |known| (&known.provider_id, &known.model));
            let _ = write!(
                text,
                "{}{{\"provider\":{},\"model\":{},\"status\":{}",
                if turn == 0 { "" } else { "," },
                Quoted(provider),
                Quoted(model),
                attempt.fault.map_or(200, fault_status_of_attempt)
            );
            match attempt.fault {
                None | Some(Fault::Status(_)) => {}
                Some(fault) => drop(write!(text, ",\"fault\":\"{}\"", fault.word())),
            }
            text.push('}');
        }
        text.push(']');
    }
}

/// The provider's own status, or the one that stands for a failure without any.
const fn fault_status_of_attempt(fault: Fault) -> u16 {
    match fault {
        Fault::Status(status) => status,
        other => fault_status(other),
    }
}

/// How the name led to a model.
fn strategy(snapshot: &Snapshot, requested: &str) -> &'static str {
    let bare = variant::bare(requested);
    let name = match &bare {
        Some(bare) if !snapshot.model_ids.contains_key(requested) => bare.name(),
        _ => requested,
    };
    let id = snapshot.model_ids.get(name).and_then(|id| snapshot.models.get(id.index()));
    match id {
        Some(model) if &*model.id != name && name.starts_with('~') => "latest",
        Some(model) if &*model.id != name => "alias",
        Some(_) | None => "direct",
    }
}

#[cfg(test)]
mod tests;
