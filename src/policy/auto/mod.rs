//! `millrace/auto`: a request that names no model of its own gets one.
//!
//! ```text
//!  body ─► signals ─► score ─► tier ─► models of the tier that pass the filters, cheapest first
//!          (read)     (signal)  (choose)                                          then stronger tiers
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | `signal` | what is noticed, one bit each, and the weight of each |
//! | `read`, `text`, `words` | from a body's bytes to signals |
//! | `plugin`, `pattern` | what the request allows: OpenRouter's `auto-router` plugin |
//! | `choose` | from signals to models |
//! | `receipt` | tier and reason, as the client is told |
//!
//! The signals are counts and flags that a reader can check by hand. A larger classifier would mostly
//! recognise the benchmark it was made from: of hashed word pairs, trained on public data, nothing was left
//! on subjects they had not seen. So what is measured here is stated, and what is not noticed goes to the
//! operator's default tier, never to the cheapest.
//!
//! Deliberately absent: prices and filters (`rows`, `filter`), the choice among a model's endpoints
//! (`route`),
//! and the memory of conversations: the caller hands over what it remembers.

mod choose;
#[doc(hidden)]
pub mod exercise;
pub mod pattern;
mod plugin;
mod read;
mod receipt;
mod signal;
mod text;
mod words;

#[cfg(test)]
mod tests;

use crate::base::ids::ModelId;

pub use choose::{Choice, choose};
pub use plugin::{CostTier, PATTERN_BYTES, PATTERNS_PER_LIST, Wishes};
pub use read::signals;
pub use receipt::{Decision, Receipt};
pub use signal::{SCORE_MAX, Signal, Signals, Weights};

/// Our name, and the one that OpenRouter's clients know.
pub const NAMES: [&str; 2] = ["millrace/auto", "openrouter/auto"];

/// Most tiers.
pub const TIERS: usize = 8;
/// Most models of all tiers together.
pub const MODELS: usize = 128;

/// What the operator has set up. Without a tier, `millrace/auto` is a name like any other.
#[derive(Clone, Debug, Default)]
pub struct Auto {
    /// Weakest first; the scores from which they serve ascend.
    pub tiers: Box<[Tier]>,
    /// The models of all tiers, tier by tier, at most [`MODELS`].
    pub models: Box<[AutoModel]>,
    /// Which tier serves a request without signals.
    pub default_tier: usize,
    /// The dearest band that requests may use.
    pub cost_tier: CostTier,
    /// How signals become a score.
    pub weights: Weights,
}

/// A class of models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Its name in reasons.
    pub name: Box<str>,
    /// The lowest score it serves.
    pub from_score: u16,
}

/// A model of a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoModel {
    /// Which one.
    pub model: ModelId,
    /// Its tier's place.
    pub tier: u8,
    /// How many of a hundred models of all tiers are cheaper; 100 when its price is not known.
    pub percentile: u8,
}

impl Auto {
    /// Is there anything to choose from?
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.tiers.is_empty()
    }

    /// The tier for what was noticed. A tier below the default one needs a signal that permits it.
    #[must_use]
    pub fn tier(&self, signals: Signals) -> usize {
        let score = signals.score(&self.weights);
        let by_score = self.tiers.iter().rposition(|tier| tier.from_score <= score).unwrap_or(0);
        if signals.any_light() { by_score } else { by_score.max(self.default_tier) }
    }
}

/// What of `name` follows one of [`NAMES`]: nothing, or routing suffixes such as `:floor`. `None` for any
/// other name.
#[must_use]
pub fn suffix(name: &str) -> Option<&str> {
    let rest = NAMES.iter().find_map(|own| name.strip_prefix(own))?;
    (rest.is_empty() || rest.starts_with(':')).then_some(rest)
}
