//! The two kinds of records, as they are handed over: `Admit` before the first byte goes to a provider, and
//! one `Settle` per admitted request when it is over.
//!
//! Deliberately absent: content of any kind (no byte of a prompt or of an answer), and how a record lies in a
//! file.

use std::borrow::Cow;

use crate::base::ids::GenerationId;
use crate::base::record::{Billed, Usage};
use crate::base::time::UnixSeconds;

/// Who asks. Empty texts where nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller<'a> {
    /// SHA-256 of the client's key; zeros without authentication.
    pub key_digest: [u8; 32],
    /// Name of the key.
    pub key: &'a str,
    /// Name of its team (workspace).
    pub team: &'a str,
    /// Hash of the request's `user` member; 0 when there is none.
    pub user_hash: u64,
}

/// What was asked of whom. Empty texts where nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served<'a> {
    /// Id of the model in the catalogue (`author/slug`), or the name as requested where there is none.
    pub model: &'a str,
    /// Id of the provider.
    pub provider: &'a str,
    /// Tag of the endpoint: the provider's id, and its variant behind a slash.
    pub endpoint: &'a str,
    /// Which version of the endpoint's price rules the amounts follow; 0 when no price is known.
    pub price_version: u64,
}

/// A request is about to be sent: what it may cost at most, as far as anybody can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admit<'a> {
    /// Our id.
    pub id: GenerationId,
    /// Wall time.
    pub at: UnixSeconds,
    /// Who asks.
    pub caller: Caller<'a>,
    /// Of the first candidate.
    pub served: Served<'a>,
    /// Estimated tokens of the prompt.
    pub prompt_tokens: u32,
    /// Most tokens of the answer; 0 when nobody knows.
    pub most_completion_tokens: u32,
    /// What it is charged with should it never settle, in pico-dollars.
    pub reserved: i64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ending {
    /// The whole answer was relayed.
    Complete = 0,
    /// Every candidate failed; the client got an error.
    Failed = 1,
    /// Cut after the first byte.
    Cut = 2,
    /// The client left.
    ClientGone = 3,
}

/// Where the figures of [`Settle::usage`] come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// There are none.
    #[default]
    None = 0,
    /// All of them from the provider.
    Reported = 1,
    /// The prompt's from the provider, or as of an earlier report; the rest of the answer counted here.
    Mixed = 2,
    /// Counted here with the model's own vocabulary or one like it.
    Counted = 3,
    /// Estimated from the number of bytes.
    Bytes = 4,
}

/// Facts of a request that are true or not: bits of [`Flags`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// The client asked for a stream.
    pub const STREAMED: Self = Self(1);
    /// The provider's credential is the client's own.
    pub const BYOK: Self = Self(1 << 1);
    /// No price is known: the cost is not part of any sum.
    pub const UNPRICED: Self = Self(1 << 2);
    /// Nothing was generated, so nothing is charged.
    pub const INSURED: Self = Self(1 << 3);
    /// After the client had left, the answer was read to its end to learn its usage.
    pub const DRAINED: Self = Self(1 << 4);
    /// The record was too long as it was: a text in it is cut, or the last attempts are left out. Set by the
    /// journal.
    pub const SHORTENED: Self = Self(1 << 5);

    /// Are all bits of `other` set?
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other`, if `set`.
    #[must_use]
    pub const fn with(self, other: Self, set: bool) -> Self {
        Self(self.0 | if set { other.0 } else { 0 })
    }
}

/// What a request costs, in pico-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// What the caller is charged.
    pub total: i64,
    /// What the provider charges; the same, unless the credential is the caller's own or nothing was
    /// generated.
    pub upstream: i64,
    /// Of `upstream`, what the prompt costs: caches, images and the fee per request included.
    pub prompt: i64,
    /// Of `upstream`, what the answer costs, reasoning included.
    pub completion: i64,
    /// What the cache has saved; negative when writing to it cost more than that.
    pub cache_discount: i64,
}

/// One attempt at an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Id of the provider.
    pub provider: &'a str,
    /// Tag of the endpoint.
    pub endpoint: &'a str,
    /// The provider's HTTP status; 0 when no head came.
    pub status: u16,
    /// `Fault::word` of how it failed; empty when it served the answer.
    pub fault: &'a str,
    /// May it be charged?
    pub billed: Billed,
    /// It was a hedge.
    pub hedged: bool,
    /// Microseconds from the request's last byte to its begin.
    pub began_micros: u32,
    /// Microseconds it took in all; `u32::MAX` is that or more.
    pub took_micros: u32,
    /// Tokens that it may be charged for, and what they cost in pico-dollars. Of the attempt that served the
    /// answer these are those of the request.
    pub prompt_tokens: u32,
    /// Likewise.
    pub completion_tokens: u32,
    /// Likewise.
    pub cost: i64,
}

/// A request is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle<'a> {
    /// Our id.
    pub id: GenerationId,
    /// The provider's own id of the answer; empty when it gave none. At most 128 bytes.
    pub upstream_id: &'a str,
    /// Wall time of its end.
    pub at: UnixSeconds,
    /// Who asked.
    pub caller: Caller<'a>,
    /// Who served, or failed last.
    pub served: Served<'a>,
    /// `chat.completions`, `completions` or `embeddings`.
    pub api: &'a str,
    /// How it ended.
    pub ending: Ending,
    /// The status that the client got.
    pub status: u16,
    /// `Fault::word` of what cut it; empty when nothing did.
    pub fault: &'a str,
    /// The provider's finish reason; empty when none was seen. At most 32 bytes.
    pub finish_reason: &'a str,
    /// The tier that the provider says it served; empty when it does not. At most 16 bytes.
    pub service_tier: &'a str,
    /// Facts of it.
    pub flags: Flags,
    /// What it is charged for.
    pub usage: Usage,
    /// Where that comes from.
    pub source: Source,
    /// Completion tokens as counted here, whoever reported what; 0 when nothing was counted.
    pub counted_tokens: u32,
    /// What it costs.
    pub cost: Cost,
    /// Answer bytes sent to the client, framing excluded.
    pub answer_bytes: u64,
    /// Microseconds from the request's last byte to the first answer byte; 0 when there was none.
    pub first_byte_micros: u32,
    /// Microseconds from the request's last byte to its end; `u32::MAX` is that or more.
    pub took_micros: u32,
    /// Every attempt, in the order in which they ended: the one that served the answer is the last.
    pub attempts: Cow<'a, [Attempt<'a>]>,
}

/// A record of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// Before.
    Admit(Admit<'a>),
    /// After.
    Settle(Box<Settle<'a>>),
}
