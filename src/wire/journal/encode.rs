//! Records as bytes: a part of fixed length, then texts, each behind its length. `docs/journal.md` has the
//! table of fields.
//!
//! Deliberately absent: where the bytes go; the caller lends them, and nothing is allocated.

use core::cmp::Ordering;

use super::Sequence;
use super::decode::{ADMIT, SETTLE};
use super::entry::{Admit, Attempt, Caller, Flags, Served, Settle};
use super::frame::{self, HEADER_BYTES, RECORD_BYTES, Seed};
use crate::base::ids::GenerationId;

/// Bytes of an admit body before its texts.
pub(super) const ADMIT_FIXED: usize = 108;
/// Bytes of a settle body before its texts.
pub(super) const SETTLE_FIXED: usize = 224;
/// Bytes of an attempt before its texts.
pub(super) const ATTEMPT_FIXED: usize = 28;

/// Most bytes of each text. What is longer is cut, at the end of a character, and the record says so
/// ([`Flags::SHORTENED`]).
const KEY: usize = 64;
const MODEL: usize = 256;
const PROVIDER: usize = 64;
const ENDPOINT: usize = 128;
const API: usize = 32;
const FAULT: usize = 48;
const UPSTREAM_ID: usize = 128;
const FINISH_REASON: usize = 32;
const SERVICE_TIER: usize = 16;

const CALLER_AND_SERVED: usize = 2 * KEY + MODEL + PROVIDER + ENDPOINT + 5 * 2;
const SETTLE_TEXTS: usize =
    CALLER_AND_SERVED + API + UPSTREAM_ID + FAULT + FINISH_REASON + SERVICE_TIER + 5 * 2;
const ATTEMPT_BYTES: usize = ATTEMPT_FIXED + PROVIDER + ENDPOINT + FAULT + 3 * 2;
// The longest texts there may be still leave room for three attempts at their longest.
const _: () = assert!(HEADER_BYTES + ADMIT_FIXED + CALLER_AND_SERVED <= RECORD_BYTES);
const _: () = assert!(HEADER_BYTES + SETTLE_FIXED + SETTLE_TEXTS + 3 * ATTEMPT_BYTES <= RECORD_BYTES);

/// Writes bytes one behind the other.
struct Pen<'b> {
    bytes: &'b mut [u8],
    at: usize,
    /// A text was cut.
    shortened: bool,
}

impl Pen<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn text(&mut self, text: &str, most: usize) {
        let text = self.cut(text, most);
        self.put(&(text.len() as u16).to_le_bytes());
        self.put(text.as_bytes());
    }

    #[inline]
    fn cut<'t>(&mut self, text: &'t str, most: usize) -> &'t str {
        match text.len().cmp(&most) {
            Ordering::Less | Ordering::Equal => text,
            Ordering::Greater => {
                self.shortened = true;
                &text[..text.floor_char_boundary(most)]
            }
        }
    }

    fn parties(&mut self, caller: &Caller<'_>, served: &Served<'_>) {
        self.text(caller.key, KEY);
        self.text(caller.team, KEY);
        self.text(served.model, MODEL);
        self.text(served.provider, PROVIDER);
        self.text(served.endpoint, ENDPOINT);
    }

    fn attempt(&mut self, attempt: &Attempt<'_>) {
        let mut fixed = [0; ATTEMPT_FIXED];
        set(&mut fixed, 0, attempt.status.to_le_bytes());
        set(&mut fixed, 2, [attempt.billed as u8, u8::from(attempt.hedged)]);
        set(&mut fixed, 4, attempt.began_micros.to_le_bytes());
        set(&mut fixed, 8, attempt.took_micros.to_le_bytes());
        set(&mut fixed, 12, attempt.prompt_tokens.to_le_bytes());
        set(&mut fixed, 16, attempt.completion_tokens.to_le_bytes());
        set(&mut fixed, 20, attempt.cost.to_le_bytes());
        self.put(&fixed);
        self.text(attempt.provider, PROVIDER);
        self.text(attempt.endpoint, ENDPOINT);
        self.text(attempt.fault, FAULT);
    }
}

#[inline(always)]
fn set<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

/// Writes an admit record to the beginning of `bytes` and returns the length of its frame.
///
/// # Panics
/// When `bytes` is shorter than [`RECORD_BYTES`].
pub fn admit(bytes: &mut [u8], admit: &Admit<'_>, sequence: Sequence, seed: Seed) -> usize {
    let bytes = &mut bytes[..RECORD_BYTES];
    let mut fixed = [0; ADMIT_FIXED];
    set::<{ GenerationId::LEN }>(&mut fixed, 0, *admit.id.as_bytes());
    set(&mut fixed, 36, admit.prompt_tokens.to_le_bytes());
    set(&mut fixed, 40, admit.at.0.to_le_bytes());
    set(&mut fixed, 48, admit.reserved.to_le_bytes());
    set(&mut fixed, 56, admit.served.price_version.to_le_bytes());
    set(&mut fixed, 64, admit.caller.user_hash.to_le_bytes());
    set(&mut fixed, 72, admit.most_completion_tokens.to_le_bytes());
    set(&mut fixed, 76, admit.caller.key_digest);
    let mut pen = Pen { bytes, at: HEADER_BYTES, shortened: false };
    pen.put(&fixed);
    pen.parties(&admit.caller, &admit.served);
    let body = pen.at - HEADER_BYTES;
    frame::close(bytes, body, ADMIT, sequence, seed)
}

/// Likewise a settle record. Attempts that do not fit are left out, the last ones first.
///
/// # Panics
/// When `bytes` is shorter than [`RECORD_BYTES`].
pub fn settle(bytes: &mut [u8], settle: &Settle<'_>, sequence: Sequence, seed: Seed) -> usize {
    let bytes = &mut bytes[..RECORD_BYTES];
    let mut pen = Pen { bytes, at: HEADER_BYTES + SETTLE_FIXED, shortened: false };
    pen.parties(&settle.caller, &settle.served);
    pen.text(settle.api, API);
    pen.text(settle.upstream_id, UPSTREAM_ID);
    pen.text(settle.fault, FAULT);
    pen.text(settle.finish_reason, FINISH_REASON);
    pen.text(settle.service_tier, SERVICE_TIER);
    let mut attempts = 0_u8;
    for attempt in settle.attempts.iter() {
        let texts = attempt.provider.len() + attempt.endpoint.len() + attempt.fault.len() + 3 * 2;
        let longest = ATTEMPT_BYTES.min(ATTEMPT_FIXED + texts);
        if pen.at + longest > RECORD_BYTES || attempts == u8::MAX {
            pen.shortened = true;
            break;
        }
        pen.attempt(attempt);
        attempts += 1;
    }
    let flags = settle.flags.with(Flags::SHORTENED, pen.shortened);
    let body = pen.at - HEADER_BYTES;
    let fixed = &mut bytes[HEADER_BYTES..HEADER_BYTES + SETTLE_FIXED];
    fill_settle(fixed, settle, flags, attempts);
    frame::close(bytes, body, SETTLE, sequence, seed)
}

fn fill_settle(fixed: &mut [u8], settle: &Settle<'_>, flags: Flags, attempts: u8) {
    set::<{ GenerationId::LEN }>(fixed, 0, *settle.id.as_bytes());
    set(fixed, 35, [settle.ending as u8]);
    set(fixed, 36, settle.status.to_le_bytes());
    set(fixed, 38, flags.0.to_le_bytes());
    set(fixed, 40, settle.at.0.to_le_bytes());
    set(fixed, 48, settle.served.price_version.to_le_bytes());
    set(fixed, 56, settle.caller.user_hash.to_le_bytes());
    set(fixed, 64, settle.caller.key_digest);
    let (usage, cost) = (&settle.usage, &settle.cost);
    let numbers = [
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.reasoning_tokens,
        usage.audio_tokens,
        usage.images,
        cost.total.cast_unsigned(),
        cost.upstream.cast_unsigned(),
        cost.prompt.cast_unsigned(),
        cost.completion.cast_unsigned(),
        cost.cache_discount.cast_unsigned(),
        settle.answer_bytes,
    ];
    for (turn, number) in numbers.into_iter().enumerate() {
        set(fixed, 96 + 8 * turn, number.to_le_bytes());
    }
    set(fixed, 208, settle.counted_tokens.to_le_bytes());
    set(fixed, 212, settle.first_byte_micros.to_le_bytes());
    set(fixed, 216, settle.took_micros.to_le_bytes());
    set(fixed, 220, [settle.source as u8, attempts, 0, 0]);
}
