//! What a provider says of its answer, beside content and usage: its own id, why the answer ended, and the
//! tier it was served in.
//!
//! Deliberately absent: where in an event that stands (`dialect/`), and what becomes of it.

/// What a provider said of its answer. A text is empty where it said nothing, or said it at greater length
/// than is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::exchange) struct Told<'a> {
    /// Its own id of the answer, at most [`UPSTREAM_ID_BYTES`].
    pub(in crate::exchange) upstream_id: &'a str,
    /// Why the answer ended, at most [`FINISH_REASON_BYTES`].
    pub(in crate::exchange) finish_reason: &'a str,
    /// The tier that it was served in, at most [`SERVICE_TIER_BYTES`].
    pub(in crate::exchange) service_tier: &'a str,
}

/// Longest id that is kept.
pub(in crate::exchange) const UPSTREAM_ID_BYTES: usize = 128;
/// Longest finish reason that is kept.
pub(in crate::exchange) const FINISH_REASON_BYTES: usize = 32;
/// Longest name of a tier that is kept.
pub(in crate::exchange) const SERVICE_TIER_BYTES: usize = 16;

/// The texts themselves. Their memory serves one answer after the other.
#[derive(Debug, Default)]
pub(super) struct Heard {
    upstream_id: String,
    finish_reason: String,
    service_tier: String,
}

impl Heard {
    /// Nothing.
    pub(super) const fn nothing() -> Self {
        Self { upstream_id: String::new(), finish_reason: String::new(), service_tier: String::new() }
    }

    /// Forgets all of it.
    pub(super) fn clear(&mut self) {
        self.upstream_id.clear();
        self.finish_reason.clear();
        self.service_tier.clear();
    }

    /// What was said.
    pub(super) fn told(&self) -> Told<'_> {
        Told {
            upstream_id: &self.upstream_id,
            finish_reason: &self.finish_reason,
            service_tier: &self.service_tier,
        }
    }
}
