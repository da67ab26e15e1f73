//! Bodies of records as what they say. The twin of `encode`; every field is checked, since a file may hold
//! anything.
//!
//! Deliberately absent: frames and checksums (`frame`).

use core::fmt;
use std::borrow::Cow;

use super::encode::{ADMIT_FIXED, ATTEMPT_FIXED, SETTLE_FIXED};
use super::entry::{Admit, Attempt, Caller, Cost, Ending, Entry, Flags, Served, Settle, Source};
use super::frame::{Frame, VERSION};
use crate::base::ids::GenerationId;
use crate::base::record::{Billed, Usage};
use crate::base::time::UnixSeconds;

/// Kind of an admit record.
pub const ADMIT: u8 = 1;
/// Kind of a settle record.
pub const SETTLE: u8 = 2;
/// The kinds by name.
pub const KINDS: [(u8, &str); 2] = [(ADMIT, "admit"), (SETTLE, "settle")];

/// Why a record whose checksum is right says nothing to this reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Of a kind or a version that a later Millrace writes.
    Foreign {
        /// Its kind.
        kind: u8,
        /// Its version.
        version: u8,
    },
    /// A field is not what the format allows: a bug of whoever wrote it.
    Malformed(&'static str),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign { kind, version } => {
                write!(f, "kind {kind} of version {version} is not known to this version of Millrace")
            }
            Self::Malformed(what) => write!(f, "malformed: {what}"),
        }
    }
}

/// Reads bytes one behind the other.
struct Eye<'b> {
    bytes: &'b [u8],
}

impl<'b> Eye<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], Unread> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Unread::Malformed("it ends early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn text(&mut self) -> Result<&'b str, Unread> {
        let length = u16::from_le_bytes(array(self.take(2)?, 0));
        let bytes = self.take(usize::from(length))?;
        core::str::from_utf8(bytes).map_err(|_| Unread::Malformed("a text is not UTF-8"))
    }

    fn parties(
        &mut self,
        (key_digest, user_hash, price_version): ([u8; 32], u64, u64),
    ) -> Result<(Caller<'b>, Served<'b>), Unread> {
        let (key, team) = (self.text()?, self.text()?);
        let (model, provider, endpoint) = (self.text()?, self.text()?, self.text()?);
        Ok((Caller { key_digest, key, team, user_hash }, Served { model, provider, endpoint, price_version }))
    }

    fn attempt(&mut self) -> Result<Attempt<'b>, Unread> {
        let fixed = self.take(ATTEMPT_FIXED)?;
        let hedged = match fixed[3] {
            0 => false,
            1 => true,
            _ => return Err(Unread::Malformed("hedged is neither 0 nor 1")),
        };
        Ok(Attempt {
            provider: self.text()?,
            endpoint: self.text()?,
            fault: self.text()?,
            status: u16::from_le_bytes(array(fixed, 0)),
            billed: billed(fixed[2])?,
            hedged,
            began_micros: u32::from_le_bytes(array(fixed, 4)),
            took_micros: u32::from_le_bytes(array(fixed, 8)),
            prompt_tokens: u32::from_le_bytes(array(fixed, 12)),
            completion_tokens: u32::from_le_bytes(array(fixed, 16)),
            cost: i64::from_le_bytes(array(fixed, 20)),
        })
    }

    fn end(&self) -> Result<(), Unread> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Unread::Malformed("bytes behind its last field")) }
    }
}

/// `N` bytes at a place of a part of fixed length.
fn array<const N: usize>(fixed: &[u8], at: usize) -> [u8; N] {
    fixed[at..at + N].try_into().expect("a slice of N bytes has N bytes")
}

/// What a record says.
///
/// # Errors
/// It is of a later version, or malformed. Its neighbours can be read all the same.
pub fn decode<'b>(frame: &Frame<'b>) -> Result<Entry<'b>, Unread> {
    match (frame.kind, frame.version) {
        (ADMIT, VERSION) => admit(frame.body).map(Entry::Admit),
        (SETTLE, VERSION) => settle(frame.body).map(|settle| Entry::Settle(Box::new(settle))),
        (kind, version) => Err(Unread::Foreign { kind, version }),
    }
}

fn admit(body: &[u8]) -> Result<Admit<'_>, Unread> {
    let mut eye = Eye { bytes: body };
    let fixed = eye.take(ADMIT_FIXED)?;
    if fixed[35] != 0 {
        return Err(Unread::Malformed("byte 35 is not 0"));
    }
    let number = |at: usize| u64::from_le_bytes(array(fixed, at));
    let (caller, served) = eye.parties((array(fixed, 76), number(64), number(56)))?;
    eye.end()?;
    Ok(Admit {
        id: id(fixed)?,
        at: UnixSeconds(number(40)),
        caller,
        served,
        prompt_tokens: u32::from_le_bytes(array(fixed, 36)),
        most_completion_tokens: u32::from_le_bytes(array(fixed, 72)),
        reserved: number(48).cast_signed(),
    })
}

fn settle(body: &[u8]) -> Result<Settle<'_>, Unread> {
    let mut eye = Eye { bytes: body };
    let fixed = eye.take(SETTLE_FIXED)?;
    let number = |at: usize| u64::from_le_bytes(array(fixed, at));
    let small = |at: usize| u32::from_le_bytes(array(fixed, at));
    let short = |at: usize| u16::from_le_bytes(array(fixed, at));
    if short(222) != 0 {
        return Err(Unread::Malformed("bytes 222 and 223 are not 0"));
    }
    let (caller, served) = eye.parties((array(fixed, 64), number(56), number(48)))?;
    let (api, upstream_id, fault) = (eye.text()?, eye.text()?, eye.text()?);
    let (finish_reason, service_tier) = (eye.text()?, eye.text()?);
    let attempts: Vec<Attempt<'_>> = (0..fixed[221]).map(|_| eye.attempt()).collect::<Result<_, _>>()?;
    eye.end()?;
    Ok(Settle {
        id: id(fixed)?,
        upstream_id,
        at: UnixSeconds(number(40)),
        caller,
        served,
        api,
        ending: ending(fixed[35])?,
        status: short(36),
        fault,
        finish_reason,
        service_tier,
        flags: Flags(short(38)),
        usage: Usage {
            prompt_tokens: number(96),
            completion_tokens: number(104),
            cached_tokens: number(112),
            cache_write_tokens: number(120),
            cache_write_1h_tokens: number(128),
            reasoning_tokens: number(136),
            audio_tokens: number(144),
            images: number(152),
        },
        source: source(fixed[220])?,
        counted_tokens: small(208),
        cost: Cost {
            total: number(160).cast_signed(),
            upstream: number(168).cast_signed(),
            prompt: number(176).cast_signed(),
            completion: number(184).cast_signed(),
            cache_discount: number(192).cast_signed(),
        },
        answer_bytes: number(200),
        first_byte_micros: small(212),
        took_micros: small(216),
        attempts: Cow::Owned(attempts),
    })
}

fn id(fixed: &[u8]) -> Result<GenerationId, Unread> {
    GenerationId::from_bytes(array(fixed, 0)).ok_or(Unread::Malformed("the id is not one"))
}

fn ending(byte: u8) -> Result<Ending, Unread> {
    const ALL: [Ending; 4] = [Ending::Complete, Ending::Failed, Ending::Cut, Ending::ClientGone];
    ALL.into_iter().find(|one| *one as u8 == byte).ok_or(Unread::Malformed("an ending that is not known"))
}

fn source(byte: u8) -> Result<Source, Unread> {
    const ALL: [Source; 5] = [Source::None, Source::Reported, Source::Mixed, Source::Counted, Source::Bytes];
    ALL.into_iter().find(|one| *one as u8 == byte).ok_or(Unread::Malformed("a source that is not known"))
}

fn billed(byte: u8) -> Result<Billed, Unread> {
    const ALL: [Billed; 4] = [Billed::Yes, Billed::No, Billed::Maybe, Billed::Estimated];
    ALL.into_iter().find(|one| *one as u8 == byte).ok_or(Unread::Malformed("billed is not known"))
}
