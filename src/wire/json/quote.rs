//! Where a JSON string ends (RFC 8259 §7): at the first quote that no backslash escapes.
//!
//! Deliberately absent: what is inside (`text` reads single strings), and everything between strings
//! (`scan`).

use crate::wire::block::{BLOCK, Block, FOUR_BLOCKS, Four, none};
use crate::wire::flaw::Flaw;
use memchr::memchr;

/// Position of the quote that ends the key whose inside starts at `at`, and whether there is a backslash
/// before it.
#[inline(always)]
pub(super) fn key_end(bytes: &[u8], at: usize) -> Result<(usize, bool), Flaw> {
    let near = match Block::at(bytes, at) {
        Some(block) => block.quotes_and_backslashes().trailing_zeros() as usize,
        None => in_rest(bytes, at, |byte| matches!(byte, b'"' | b'\\')),
    };
    if near < BLOCK && bytes[at + near] == b'"' {
        return Ok((at + near, false));
    }
    let end = long_string_end(bytes, at)?;
    Ok((end, !none(bytes, at, end, |block| block.equal(b'\\'), |byte| byte == b'\\')))
}

/// Position of the quote that ends the string whose inside starts at `at`. Roles and types end within the
/// first block; the others are long.
#[inline(always)]
pub(super) fn string_end(bytes: &[u8], at: usize) -> Result<usize, Flaw> {
    let near = match Block::at(bytes, at) {
        Some(block) => block.equal(b'"').trailing_zeros() as usize,
        None => in_rest(bytes, at, |byte| byte == b'"'),
    };
    match near {
        BLOCK.. => long_string_end(bytes, (at + BLOCK).min(bytes.len())),
        _ if bytes[at + near - 1] != b'\\' => Ok(at + near),
        _ => long_string_end(bytes, at),
    }
}

/// How far behind `at` the first byte of a class is, where less than a block is left; `usize::MAX` for none.
fn in_rest(bytes: &[u8], at: usize, class: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().position(|&byte| class(byte)).unwrap_or(usize::MAX)
}

/// One past the quote that ends the string whose inside starts at `at`, if it comes within three blocks and
/// nothing is escaped before it: so it is with keys, ids and names.
#[inline(always)]
pub(super) fn short_string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..3 {
        let marks = Block::at(bytes, at)?.quotes_and_backslashes();
        if marks != 0 {
            let found = at + marks.trailing_zeros() as usize;
            return (bytes[found] == b'"').then_some(found + 1);
        }
        at += BLOCK;
    }
    None
}

/// The same for a string, or what is left of one, before which there is at least one byte. Only quotes are
/// looked for: whether one is escaped, the backslashes before it say. Prose has none that are escaped, so the
/// first one is looked for over any length; where there is one, more of them follow soon.
#[inline(never)]
pub(super) fn long_string_end(bytes: &[u8], mut at: usize) -> Result<usize, Flaw> {
    at += memchr(b'"', bytes.get(at..).unwrap_or_default()).ok_or(Flaw::Json)?;
    if !is_escaped(bytes, at) {
        return Ok(at);
    }
    at += 1;
    while let Some(blocks) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        if let Some(end) = first_plain(bytes, at, Four::of(blocks).quotes()) {
            return Ok(end);
        }
        at += FOUR_BLOCKS;
    }
    while let Some(block) = Block::at(bytes, at) {
        if let Some(end) = first_plain(bytes, at, u64::from(block.equal(b'"'))) {
            return Ok(end);
        }
        at += BLOCK;
    }
    while at < bytes.len() {
        if bytes[at] == b'"' && !is_escaped(bytes, at) {
            return Ok(at);
        }
        at += 1;
    }
    Err(Flaw::Json)
}

/// The first of the quotes that `marks` counts from `at` on which is not escaped.
#[inline(always)]
fn first_plain(bytes: &[u8], at: usize, mut marks: u64) -> Option<usize> {
    while marks != 0 {
        let quote = at + marks.trailing_zeros() as usize;
        if !is_escaped(bytes, quote) {
            return Some(quote);
        }
        marks &= marks - 1;
    }
    None
}

/// True when an odd number of backslashes stands before the byte at `at`. They are the string's own: before
/// its inside stands a quote. No backslash is counted for two quotes, so a text of nothing else takes no
/// longer.
#[inline(always)]
pub(super) fn is_escaped(bytes: &[u8], at: usize) -> bool {
    // Two bytes decide nearly always; the second one may be the opening quote.
    match bytes[..at] {
        [.., b'\\', b'\\'] => has_odd_backslashes(bytes, at),
        [.., b'\\'] => true,
        _ => false,
    }
}

fn has_odd_backslashes(bytes: &[u8], at: usize) -> bool {
    let backslashes = bytes[..at].iter().rev().take_while(|&&byte| byte == b'\\').count();
    backslashes % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_end_at_every_length() {
        for len in 0..64 {
            for slash in 0..=len {
                let mut text = vec![b'x'; len];
                text.insert(slash, b'\\');
                text.insert(slash + 1, b'"');
                text.push(b'"');
                for behind in [0, 16, 64] {
                    // A string has its opening quote before it.
                    let text = [b"\"", &text[..], &vec![b'"'; behind]].concat();
                    assert_eq!(string_end(&text, 1), Ok(len + 3), "{len} {slash}");
                    assert_eq!(key_end(&text, 1), Ok((len + 3, true)), "{len} {slash}");
                }
                let open = [b"\"", &text[..len + 2]].concat();
                assert_eq!(string_end(&open, 1), Err(Flaw::Json), "{len} {slash}");
                assert_eq!(key_end(&open, 1), Err(Flaw::Json), "{len} {slash}");
            }
        }
    }

    #[test]
    fn runs_of_backslashes_are_counted() {
        for len in 0..40 {
            for before in 0..70 {
                let text = [b"\"", &vec![b'x'; before][..], &vec![b'\\'; len], b"\"\""].concat();
                let quote = 1 + before + len;
                let end = if len % 2 == 0 { quote } else { quote + 1 };
                assert_eq!(string_end(&text, 1), Ok(end), "{before} {len}");
                assert_eq!(key_end(&text, 1), Ok((end, len > 0)), "{before} {len}");
            }
        }
    }
}
