//! What a provider says of its answer, beside content and usage: its own id, why the answer ended, and the
//! tier it was served in.
//!
//! The id is in the first event, mostly; why the answer ends is in the last one with content, and which one
//! that was is known when the next one comes. So the last bytes of an event are kept, once per read and not
//! per event, and searched once per answer.
//! Deliberately absent: where in an event that stands (`dialect/`), and what becomes of it.

use crate::base::span::Span;
use crate::dialect::{Dialect, Places};

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
const UPSTREAM_ID_BYTES: usize = 128;
/// Longest finish reason that is kept.
const FINISH_REASON_BYTES: usize = 32;
/// Longest name of a tier that is kept.
const SERVICE_TIER_BYTES: usize = 16;
/// Longest name of a model that is kept.
const MODEL_BYTES: usize = 128;
/// Events that are looked at for an id: some servers begin with one that has none.
const FIRST_EVENTS: u8 = 3;
/// Bytes at the end of an event in which its finish reason stands.
const TAIL_BYTES: usize = 256;

/// The texts themselves. Their memory serves one answer after the other.
#[derive(Debug)]
pub(super) struct Heard {
    upstream_id: String,
    finish_reason: String,
    service_tier: String,
    model: String,
    /// Events still to be looked at for an id.
    listens: u8,
    tail: [u8; TAIL_BYTES],
    /// Bytes of `tail` that count.
    tail_bytes: usize,
}

impl Default for Heard {
    fn default() -> Self {
        Self::nothing()
    }
}

impl Heard {
    /// Nothing.
    pub(super) const fn nothing() -> Self {
        Self {
            upstream_id: String::new(),
            finish_reason: String::new(),
            service_tier: String::new(),
            model: String::new(),
            listens: FIRST_EVENTS,
            tail: [0; TAIL_BYTES],
            tail_bytes: 0,
        }
    }

    /// Forgets all of it.
    pub(super) fn clear(&mut self) {
        for text in [&mut self.upstream_id, &mut self.finish_reason, &mut self.service_tier, &mut self.model]
        {
            text.clear();
        }
        (self.listens, self.tail_bytes) = (FIRST_EVENTS, 0);
    }

    /// Is the next event to be noted whatever it says?
    pub(super) const fn listens(&self) -> bool {
        self.listens > 0
    }

    /// What was said.
    pub(super) fn told(&self) -> Told<'_> {
        Told {
            upstream_id: &self.upstream_id,
            finish_reason: &self.finish_reason,
            service_tier: &self.service_tier,
        }
    }

    /// The provider's own name of the model.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// Takes what stands in `text`. The first id stays; of the rest the last one counts.
    pub(super) fn note(&mut self, places: &Places, text: &[u8]) {
        if self.upstream_id.is_empty() {
            keep(&mut self.upstream_id, places.id, text, UPSTREAM_ID_BYTES);
            keep(&mut self.model, places.model, text, MODEL_BYTES);
        }
        keep(&mut self.finish_reason, places.finish_reason, text, FINISH_REASON_BYTES);
        keep(&mut self.service_tier, places.service_tier, text, SERVICE_TIER_BYTES);
        self.listens = if self.upstream_id.is_empty() { self.listens.saturating_sub(1) } else { 0 };
    }

    /// Keeps the end of an event that may be the last one with content.
    pub(super) fn keep_tail(&mut self, data: &[u8]) {
        match data.last_chunk::<TAIL_BYTES>() {
            Some(tail) => (self.tail, self.tail_bytes) = (*tail, TAIL_BYTES),
            None => {
                self.tail[..data.len()].copy_from_slice(data);
                self.tail_bytes = data.len();
            }
        }
    }

    /// Keeps the end of a document that comes in pieces.
    pub(super) fn extend_tail(&mut self, piece: &[u8]) {
        let more = &piece[piece.len().saturating_sub(TAIL_BYTES)..];
        let kept = self.tail_bytes.min(TAIL_BYTES - more.len());
        self.tail.copy_within(self.tail_bytes - kept..self.tail_bytes, 0);
        self.tail[kept..kept + more.len()].copy_from_slice(more);
        self.tail_bytes = kept + more.len();
    }

    /// The event whose end was kept is the last one with content: says why the answer ended.
    pub(super) fn resolve(&mut self, dialect: &dyn Dialect) {
        let tail = &self.tail[..core::mem::take(&mut self.tail_bytes)];
        if !tail.is_empty() {
            keep(&mut self.finish_reason, dialect.finish_reason(tail), tail, FINISH_REASON_BYTES);
        }
    }
}

/// Keeps a text that is there, is not too long, and could be a part of one line.
fn keep(kept: &mut String, span: Span, text: &[u8], most: usize) {
    let found = span.of(text);
    if found.is_empty() || found.len() > most || found.iter().any(u8::is_ascii_control) {
        return;
    }
    if let Ok(found) = core::str::from_utf8(found) {
        kept.clear();
        kept.push_str(found);
    }
}
