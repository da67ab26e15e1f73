//! Pre-tokenizers: where a text is cut into the pieces that a vocabulary's merges never cross.
//!
//! Every vocabulary comes with a pattern, published as a regular expression. They are walked by hand here: a
//! state machine of characters needs no engine, no table to warm up and no memory, and its time is linear
//! whatever the text. Each function answers one question: where does the piece that begins here end?
//! The text's end counts as the end of a line of thought: the last two pieces of a text that goes on may
//! still change (`meter` holds them back).
//! Deliberately absent: tokens.

mod deepseek;
mod gemma;

use super::VocabularyName;
use super::class::{LETTER, LINE_END, LOWER, MARK, NUMBER, OTHER_LETTER, SPACE, UPPER, class};

pub(super) use gemma::{MARKER, plain_spaces};

/// Where the piece that begins at `at` ends. There must be a byte at `at`.
#[inline]
pub(super) fn piece_end(name: VocabularyName, text: &[u8], at: usize) -> usize {
    match name {
        VocabularyName::O200k => by_case::<3, true>(text, at),
        VocabularyName::Mistral => by_case::<1, false>(text, at),
        VocabularyName::Cl100k => by_letters::<3, true>(text, at),
        VocabularyName::Glm => by_letters::<3, false>(text, at),
        VocabularyName::Qwen => by_letters::<1, false>(text, at),
        VocabularyName::DeepSeek => deepseek::piece_end(text, at),
        VocabularyName::Gemma4 => gemma::piece_end(text, at),
    }
}

/// The end of the run of `mask` that begins at `at`.
#[inline(always)]
fn run(text: &[u8], mut at: usize, mask: u8) -> usize {
    while let Some((is, length)) = class(text, at)
        && is & mask != 0
    {
        at += length;
    }
    at
}

/// The pattern of o200k, in words. `DIGITS`: how many belong together. `SUFFIX`: English endings such as
/// `'s` belong to the word before them.
///
/// ```text
/// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
/// |[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
/// |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
/// ```
#[inline(always)]
fn by_case<const DIGITS: usize, const SUFFIX: bool>(text: &[u8], at: usize) -> usize {
    let Some((first, length)) = class(text, at) else { return at };
    let word = |end: usize| if SUFFIX { ending(text, end).unwrap_or(end) } else { end };
    if first & LETTER != 0 {
        return word(cased_word(text, at));
    }
    if first & NUMBER != 0 {
        return digits::<DIGITS>(text, at);
    }
    if first & LINE_END == 0 {
        let behind = at + length;
        let follows = class(text, behind).map_or(0, |(is, _)| is);
        // A mark may also begin a word itself, and does when it would stand before capitals only.
        if follows & (LETTER | MARK) != 0 {
            let whole = first & MARK == 0 || !only_capitals(text, behind);
            return word(if whole { cased_word(text, behind) } else { behind });
        }
        if first & MARK != 0 {
            return word(behind);
        }
    }
    signs::<true>(text, at).unwrap_or_else(|| spaces::<false>(text, at))
}

const CAPITAL: u8 = UPPER | OTHER_LETTER | MARK;
const SMALL: u8 = LOWER | OTHER_LETTER | MARK;

/// Capitals, then small letters; letters without case are both. The greedy run of capitals gives back what
/// the run of small letters must have.
#[inline(always)]
fn cased_word(text: &[u8], at: usize) -> usize {
    let (mut end, mut last_caseless) = (at, None);
    while let Some((is, length)) = class(text, end)
        && is & CAPITAL != 0
    {
        end += length;
        if is & SMALL != 0 {
            last_caseless = Some(end);
        }
    }
    let small = run(text, end, SMALL);
    if small > end { small } else { last_caseless.unwrap_or(end) }
}

/// Does the run of capitals at `at` hold nothing else, with no small letter behind it?
fn only_capitals(text: &[u8], at: usize) -> bool {
    let end = run(text, at, UPPER);
    end > at && class(text, end).is_none_or(|(is, _)| is & SMALL == 0)
}

/// The pattern of the Llama 3 family. `DIGITS`: how many belong together. `TO_END`: blanks at the end of the
/// text are one piece whatever is in them (cl100k).
///
/// ```text
/// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
/// |\s*[\r\n]+|\s+(?!\S)|\s+
/// ```
#[inline(always)]
fn by_letters<const DIGITS: usize, const TO_END: bool>(text: &[u8], at: usize) -> usize {
    let Some((first, length)) = class(text, at) else { return at };
    if first & LETTER != 0 {
        return run(text, at, LETTER);
    }
    if first & NUMBER != 0 {
        return digits::<DIGITS>(text, at);
    }
    if text[at] == b'\''
        && let Some(end) = ending(text, at)
    {
        return end;
    }
    if first & LINE_END == 0 {
        let end = run(text, at + length, LETTER);
        if end > at + length {
            return end;
        }
    }
    signs::<false>(text, at).unwrap_or_else(|| spaces::<TO_END>(text, at))
}

/// `\p{N}{1,DIGITS}`
#[inline(always)]
fn digits<const DIGITS: usize>(text: &[u8], mut at: usize) -> usize {
    for _ in 0..DIGITS {
        match class(text, at) {
            Some((is, length)) if is & NUMBER != 0 => at += length,
            _ => break,
        }
    }
    at
}

/// ` ?[^\s\p{L}\p{N}]+[\r\n]*`, and with `SLASH` also slashes among the line ends.
#[inline(always)]
fn signs<const SLASH: bool>(text: &[u8], at: usize) -> Option<usize> {
    let start = at + usize::from(text[at] == b' ');
    let mut end = start;
    while let Some((is, length)) = class(text, end)
        && is & (SPACE | LETTER | NUMBER) == 0
    {
        end += length;
    }
    if end == start {
        return None;
    }
    while let Some(byte) = text.get(end)
        && (matches!(byte, b'\r' | b'\n') || SLASH && *byte == b'/')
    {
        end += 1;
    }
    Some(end)
}

/// `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last line end; without one all but the last blank, which belongs to
/// what follows.
#[inline(always)]
fn spaces<const TO_END: bool>(text: &[u8], at: usize) -> usize {
    let (mut end, mut last, mut behind_line_end) = (at, at, None);
    while let Some((is, length)) = class(text, end)
        && is & SPACE != 0
    {
        last = end;
        end += length;
        if is & LINE_END != 0 {
            behind_line_end = Some(end);
        }
    }
    if TO_END && end == text.len() {
        return end;
    }
    match behind_line_end {
        Some(behind) => behind,
        None if end == text.len() || last == at => end,
        None => last,
    }
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)`: the end of what stands at `at`. The long s is an s without regard to case.
#[inline(always)]
fn ending(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'\'') {
        return None;
    }
    let first = text.get(at + 1)? | 0x20;
    let second = text.get(at + 2).copied();
    match (first, second.map(|byte| byte | 0x20)) {
        (b's' | b't' | b'm' | b'd', _) => Some(at + 2),
        (b'r' | b'v', Some(b'e')) | (b'l', Some(b'l')) => Some(at + 3),
        (0xe5, _) if text[at + 1] == 0xc5 && second == Some(0xbf) => Some(at + 3),
        _ => None,
    }
}
