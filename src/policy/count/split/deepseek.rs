//! The pre-tokenizer of DeepSeek V3: three passes, each of which cuts the pieces of the one before it.
//!
//! ```text
//! 1  \p{N}{1,3}
//! 2  [一-龥぀-ゟ゠-ヿ]+
//! 3  [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+
//!    | ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//! ```
//!
//! What the first two isolate is, to the third, the end of the text. What none of its branches takes is a
//! piece up to where one does.
//! Deliberately absent: the other patterns.

use super::super::class::{LETTER, LINE_END, MARK, NUMBER, SIGN, SPACE, class, wide};

/// What the third pass sees at a place: the class of a character and its length; `None` where its piece
/// ends.
#[derive(Clone, Copy)]
struct Part<'t> {
    text: &'t [u8],
    east_asian: bool,
}

impl Part<'_> {
    #[inline(always)]
    fn class(self, at: usize) -> Option<(u8, usize)> {
        let (is, length) = class(self.text, at)?;
        let ends = is & NUMBER != 0 || is_east_asian(self.text, at) != self.east_asian;
        (!ends).then_some((is, length))
    }

    #[inline(always)]
    fn run(self, mut at: usize, mask: u8) -> usize {
        while let Some((is, length)) = self.class(at)
            && is & mask != 0
        {
            at += length;
        }
        at
    }

    /// The end of what a branch of the third pass takes at `at`.
    #[inline(always)]
    fn branch(self, at: usize) -> Option<usize> {
        let (first, length) = self.class(at)?;
        if self.text[at].is_ascii_punctuation() {
            let mut end = at + 1;
            while self.text.get(end).is_some_and(u8::is_ascii_alphabetic) {
                end += 1;
            }
            if end > at + 1 {
                return Some(end);
            }
        }
        // A mark may stand before the run or begin it, which comes to the same.
        let start = if first & (LINE_END | LETTER | SIGN) == 0 { at + length } else { at };
        let end = self.run(start, LETTER | MARK);
        if end > start || first & MARK != 0 {
            return Some(end);
        }
        let start = at + usize::from(self.text[at] == b' ');
        let mut end = self.run(start, SIGN);
        if end > start {
            end = self.run(end, LINE_END);
            return Some(end);
        }
        (first & SPACE != 0).then(|| self.spaces(at))
    }

    fn spaces(self, at: usize) -> usize {
        let (mut end, mut last, mut behind_line_end) = (at, at, None);
        while let Some((is, length)) = self.class(end)
            && is & SPACE != 0
        {
            last = end;
            end += length;
            if is & LINE_END != 0 {
                behind_line_end = Some(end);
            }
        }
        match behind_line_end {
            Some(behind) => behind,
            None if self.class(end).is_none() || last == at => end,
            None => last,
        }
    }
}

/// Where the piece that begins at `at` ends.
#[inline(always)]
pub(super) fn piece_end(text: &[u8], at: usize) -> usize {
    if class(text, at).is_some_and(|(is, _)| is & NUMBER != 0) {
        return super::digits::<3>(text, at);
    }
    let part = Part { text, east_asian: is_east_asian(text, at) };
    if let Some(end) = part.branch(at) {
        return end;
    }
    let mut end = at;
    while let Some((_, length)) = part.class(end) {
        end += length;
        if part.branch(end).is_some() {
            break;
        }
    }
    end
}

#[inline(always)]
fn is_east_asian(text: &[u8], at: usize) -> bool {
    // These characters begin with one of seven bytes.
    text[at] >= 0xe3 && matches!(wide(&text[at..]).0, Some('\u{4e00}'..='\u{9fa5}' | '\u{3040}'..='\u{30ff}'))
}
