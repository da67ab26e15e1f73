//! The pieces of Gemma 4. It has no pattern: its merges may run over the whole text. But no token of it has a
//! space behind anything but spaces, with one exception, and none has a line end beside anything else; so a
//! cut before a run of spaces, and around a run of line ends, changes nothing. The test of the vocabulary
//! proves it anew.
//!
//! Gemma writes a space as `▁` (U+2581). Texts and tokens are kept with plain spaces here; that mark in a
//! text is one to Gemma, too.
//! Deliberately absent: the other patterns.

/// What Gemma writes for a space.
pub(in super::super) const MARKER: &[u8] = "\u{2581}".as_bytes();

/// The one token with a space in its middle.
const EXCEPTION: &[u8] = b"> </";

/// Where the piece that begins at `at` ends.
#[inline(always)]
pub(super) fn piece_end(text: &[u8], at: usize) -> usize {
    let mut end = at;
    if text[at] == b'\n' {
        while text.get(end) == Some(&b'\n') {
            end += 1;
        }
        return end;
    }
    while text.get(end) == Some(&b' ') {
        end += 1;
    }
    loop {
        match text.get(end) {
            None | Some(b'\n') => return end,
            Some(b' ') if !(end > at && text[end - 1..].starts_with(EXCEPTION)) => return end,
            Some(_) => end += 1,
        }
    }
}

/// Puts spaces where Gemma's own mark stands in `text`, from `from` on. What comes before holds none that is
/// whole.
pub(in super::super) fn plain_spaces(text: &mut Vec<u8>, from: usize) {
    let mut at = from.saturating_sub(MARKER.len() - 1);
    while let Some(found) = memchr::memmem::find(&text[at..], MARKER) {
        at += found;
        text[at] = b' ';
        text.drain(at + 1..at + MARKER.len());
        at += 1;
    }
}
