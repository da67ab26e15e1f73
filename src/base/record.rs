//! The record of one finished request: what the ledger will journal, and what tests look at.
//!
//! Deliberately absent: content of any kind (no prompt or completion byte is ever here).

use core::fmt;
use core::ops::{Deref, DerefMut};

use crate::base::fault::Fault;
use crate::base::ids::{EndpointId, GenerationId, KeyId, ProviderId};

/// May the provider charge for this attempt?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Billed {
    /// It completed.
    Yes = 0,
    /// It was refused before any work was done.
    No = 1,
    /// It failed after the request was sent; nobody can know.
    Maybe = 2,
    /// It was given up in the middle of its answer: what was generated until then, as far as it was seen.
    Estimated = 3,
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
    /// It was a hedge: begun because an attempt that was still under way took long.
    pub hedged: bool,
    /// Which endpoint; `None` where the provider takes names that nobody has configured.
    pub endpoint: Option<EndpointId>,
    /// The provider's HTTP status; 0 when no head came.
    pub status: u16,
    /// Microseconds from the request's last byte to its begin; `u32::MAX` is that or more.
    pub began_micros: u32,
    /// Microseconds it took in all; `u32::MAX` is that or more.
    pub took_micros: u32,
}

impl AttemptRecord {
    /// Of nobody.
    pub const NONE: Self = Self {
        provider: ProviderId(0),
        fault: None,
        billed: Billed::No,
        hedged: false,
        endpoint: None,
        status: 0,
        began_micros: 0,
        took_micros: 0,
    };
}

/// Attempts that a record holds without memory of its own: nearly every request has one or two.
const ATTEMPTS_INLINE: usize = 4;

/// The attempts of one request, in the order in which they ended. Reads like a slice; the first few take no
/// allocation.
#[derive(Clone)]
pub struct Attempts {
    few: [AttemptRecord; ATTEMPTS_INLINE],
    /// How many of `few` count.
    count: u8,
    /// All of them, once they are more than `few` holds.
    many: Vec<AttemptRecord>,
}

impl Attempts {
    /// No attempt yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { few: [AttemptRecord::NONE; ATTEMPTS_INLINE], count: 0, many: Vec::new() }
    }

    /// Adds the latest attempt.
    pub fn push(&mut self, attempt: AttemptRecord) {
        match self.few.get_mut(usize::from(self.count)) {
            Some(slot) if self.many.is_empty() => {
                *slot = attempt;
                self.count += 1;
            }
            Some(_) | None => {
                if self.many.is_empty() {
                    self.many.extend_from_slice(&self.few);
                }
                self.many.push(attempt);
            }
        }
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.count = 0;
        self.many.clear();
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Attempts {
    type Target = [AttemptRecord];

    fn deref(&self) -> &[AttemptRecord] {
        if self.many.is_empty() { &self.few[..usize::from(self.count)] } else { &self.many }
    }
}

impl DerefMut for Attempts {
    fn deref_mut(&mut self) -> &mut [AttemptRecord] {
        if self.many.is_empty() { &mut self.few[..usize::from(self.count)] } else { &mut self.many }
    }
}

impl<'a> IntoIterator for &'a Attempts {
    type Item = &'a AttemptRecord;
    type IntoIter = core::slice::Iter<'a, AttemptRecord>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
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

/// Tokens of one request, as the provider reports them or as they are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub prompt_tokens: u64,
    /// Completion tokens, reasoning included.
    pub completion_tokens: u64,
    /// Prompt tokens that were read from the provider's cache.
    pub cached_tokens: u64,
    /// Prompt tokens that were written to it, however long they stay.
    pub cache_write_tokens: u64,
    /// Those of `cache_write_tokens` that stay for an hour or longer.
    pub cache_write_1h_tokens: u64,
    /// Those of `completion_tokens` that are reasoning.
    pub reasoning_tokens: u64,
    /// Those of `prompt_tokens` that are sound.
    pub audio_tokens: u64,
    /// Images in the prompt that are paid for by the piece.
    pub images: u64,
}

impl Usage {
    /// These figures after a later report. Reports are cumulative and never added; the last one wins figure
    /// by figure, but a 0 in it is a placeholder beside a number.
    #[must_use]
    pub const fn updated_by(self, later: Self) -> Self {
        const fn last(earlier: u64, later: u64) -> u64 {
            if later == 0 { earlier } else { later }
        }
        Self {
            prompt_tokens: last(self.prompt_tokens, later.prompt_tokens),
            completion_tokens: last(self.completion_tokens, later.completion_tokens),
            cached_tokens: last(self.cached_tokens, later.cached_tokens),
            cache_write_tokens: last(self.cache_write_tokens, later.cache_write_tokens),
            cache_write_1h_tokens: last(self.cache_write_1h_tokens, later.cache_write_1h_tokens),
            reasoning_tokens: last(self.reasoning_tokens, later.reasoning_tokens),
            audio_tokens: last(self.audio_tokens, later.audio_tokens),
            images: last(self.images, later.images),
        }
    }

    /// Was the provider's prompt cache read or written?
    #[must_use]
    pub const fn is_cache_used(self) -> bool {
        self.cached_tokens > 0 || self.cache_write_tokens > 0
    }
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
    /// Every attempt, in the order in which they ended: the one that served the answer is the last.
    pub attempts: Attempts,
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
            attempts: Attempts::new(),
            usage: None,
            answer_bytes: 0,
            first_byte_nanos: 0,
            total_nanos: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_keep_their_order_however_many_there_are() {
        for count in 0..=3 * ATTEMPTS_INLINE as u32 {
            let mut attempts = Attempts::new();
            let made = |turn| AttemptRecord {
                provider: ProviderId(turn),
                billed: Billed::Yes,
                hedged: turn == 1,
                ..AttemptRecord::NONE
            };
            (0..count).for_each(|turn| attempts.push(made(turn)));
            let want: Vec<AttemptRecord> = (0..count).map(made).collect();
            assert_eq!(&attempts[..], &want[..]);
            assert_eq!((&attempts).into_iter().count(), attempts.len());
            if let Some(last) = attempts.last_mut() {
                last.billed = Billed::Maybe;
                assert_eq!(attempts.last().map(|last| last.billed), Some(Billed::Maybe));
            }
            attempts.clear();
            assert!(attempts.is_empty());
            attempts.push(made(7));
            assert_eq!(&attempts[..], &[made(7)]);
        }
    }
}
