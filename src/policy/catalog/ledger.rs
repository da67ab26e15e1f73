//! What the operator says of the ledger, as far as a request is concerned: unknown prices, reservations, and
//! answers whose client has left.
//!
//! Deliberately absent: files and their places, retention (`control`), and prices.

use core::time::Duration;

/// What becomes of an answer whose client has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnClientGone {
    /// Its connection is shut down: the provider stops generating, and billing.
    #[default]
    Cut,
    /// It is read to its end, within bounds: the provider bills all of it anyway, and so its real usage is
    /// learnt.
    Drain,
}

/// What an endpoint without a known price is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownPrice {
    /// Used; what it served is counted and marked as without a price.
    #[default]
    Allow,
    /// Excluded, like by any other filter.
    Deny,
}

/// The terms of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerTerms {
    /// A record is on disk before what follows it leaves: the request behind its admission, the last bytes of
    /// the answer behind its settlement.
    pub strict: bool,
    /// What an endpoint without a known price is.
    pub unknown_price: UnknownPrice,
    /// Most tokens of an answer that are reserved for a request which does not bound it.
    pub reserve_completion_tokens: u32,
    /// Longest time that an answer is read without its client.
    pub drain_timeout: Duration,
    /// Most bytes of an answer that are read without its client.
    pub drain_bytes: u64,
    /// Most answers that a core reads without their clients at a time; what is beyond it is cut.
    pub drains_per_core: usize,
}

impl Default for LedgerTerms {
    fn default() -> Self {
        Self {
            strict: false,
            unknown_price: UnknownPrice::Allow,
            reserve_completion_tokens: 4096,
            drain_timeout: Duration::from_secs(120),
            drain_bytes: 4 << 20,
            drains_per_core: 256,
        }
    }
}
