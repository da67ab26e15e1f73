//! The record of one finished request: what the ledger will journal, and what tests look at.
//!
//! Deliberately absent: content of any kind (no prompt or completion byte is ever here).

use crate::base::fault::Fault;
use crate::base::ids::{GenerationId, KeyId, ProviderId};

/// May the provider charge for this attempt?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billed {
    /// It completed.
    Yes,
    /// It was refused before any work was done.
    No,
    /// It failed after the request was sent; nobody can know.
    Maybe,
}

/// One attempt at an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Which provider.
    pub provider: ProviderId,
    /// How it failed; `None` when it served the answer.
    pub fault: Option<Fault>,
    /// May it be charged?
    pub billed: Billed,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole answer was relayed.
    Complete,
    /// Refused by Millrace itself with this status.
    Refused(u16),
    /// Every candidate failed; the client got this status.
    Failed(u16),
    /// Cut after the first byte.
    Cut(Fault),
    /// The client left.
    ClientGone,
}

/// Tokens as the provider reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub prompt_tokens: u64,
    /// Completion tokens, reasoning included.
    pub completion_tokens: u64,
}

/// Everything known about one request when it ended.
#[derive(Clone, Debug)]
pub struct Record {
    /// Our id.
    pub id: GenerationId,
    /// Whose request; `None` without authentication.
    pub key: Option<KeyId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Every attempt, in order.
    pub attempts: Vec<AttemptRecord>,
    /// As reported by the provider; `None` when it did not.
    pub usage: Option<Usage>,
    /// Answer bytes sent to the client, framing excluded.
    pub answer_bytes: u64,
    /// Nanoseconds from the request's last byte to the first answer byte; 0 when there was none.
    pub first_byte_nanos: u64,
    /// Nanoseconds from the request's last byte to its end.
    pub total_nanos: u64,
}

impl Record {
    /// A record in which nothing happened yet.
    #[must_use]
    pub const fn empty(id: GenerationId) -> Self {
        Self {
            id,
            key: None,
            outcome: Outcome::ClientGone,
            attempts: Vec::new(),
            usage: None,
            answer_bytes: 0,
            first_byte_nanos: 0,
            total_nanos: 0,
        }
    }
}
