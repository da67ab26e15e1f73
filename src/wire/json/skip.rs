//! Where a JSON object or array ends that nobody looks into: at the bracket that closes it, outside of
//! strings. Sixty-four bytes at a time: marks for their quotes, what lies between these is text, and of the
//! brackets elsewhere each counts.
//!
//! ```text
//!  bytes     { " a " : " [ } " , " b " : [ 1 ] }
//!  quotes    . # . # . # . . # . # . # . . . . .
//!  text      . # # . . # # # . . # # . . . . . .
//!  brackets  # . . . . . . . . . . . . . # . # #
//! ```
//!
//! Checked: brackets match in kind, nesting is bounded, strings end. Deliberately absent: the grammar between
//! the strings, and their inside.

use super::quote::{is_escaped, long_string_end, string_end};
use crate::base::limits::JSON_DEPTH;
use crate::wire::block::{FOUR_BLOCKS, Four, between};
use crate::wire::flaw::Flaw;

/// One past the bracket that closes the container opened at `at`, with `outside` levels around it.
pub(super) fn container_end(bytes: &[u8], mut at: usize, outside: usize) -> Result<usize, Flaw> {
    let mut skip = Skip { open: Open::new(outside), text: 0 };
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let block = Four::of(block);
        let quotes = skip.plain_quotes(bytes, at, block, block.quotes());
        if quotes == 0 && skip.text != 0 {
            // A long text: of it nothing counts but its end.
            at = long_string_end(bytes, at + FOUR_BLOCKS)? + 1;
            skip.text = 0;
            continue;
        }
        if let Some(end) = skip.brackets(bytes, at, quotes, block.brackets())? {
            return Ok(end);
        }
        at += FOUR_BLOCKS;
    }
    // The last block overlaps the one before it.
    let left = bytes.len().saturating_sub(at);
    match bytes.last_chunk() {
        Some(_) if left == 0 => Err(Flaw::Json),
        Some(block) => {
            let block = Four::of(block);
            let known = FOUR_BLOCKS - left;
            let quotes = skip.plain_quotes(bytes, at, block, block.quotes() >> known);
            skip.brackets(bytes, at, quotes, block.brackets() >> known)?.ok_or(Flaw::Json)
        }
        None => container_end_nearby(bytes, at, skip.open),
    }
}

/// The same in a text of less than one block.
#[cold]
fn container_end_nearby(bytes: &[u8], mut at: usize, mut open: Open) -> Result<usize, Flaw> {
    loop {
        let byte = *bytes.get(at).ok_or(Flaw::Json)?;
        at += 1;
        match byte {
            b'"' => at = string_end(bytes, at)? + 1,
            b'{' | b'[' => open.push(byte)?,
            b'}' | b']' if open.pop(byte)? => return Ok(at),
            _ => {}
        }
    }
}

/// How things stand between two blocks.
struct Skip {
    open: Open,
    /// All ones in a string, else 0.
    text: u64,
}

impl Skip {
    /// Those of the `quotes` from `at` on that begin or end a string: in one, an escaped quote does not.
    #[inline(always)]
    fn plain_quotes(&self, bytes: &[u8], at: usize, block: Four, quotes: u64) -> u64 {
        let hidden = || block.has_backslash() || (at > 0 && bytes[at - 1] == b'\\');
        if quotes != 0 && hidden() { plain_quotes(bytes, at, quotes, self.text != 0) } else { quotes }
    }

    /// Looks at the brackets from `at` on, of a block that has these plain quotes. Says one past the
    /// container's last bracket, if it is there.
    #[inline(always)]
    fn brackets(
        &mut self,
        bytes: &[u8],
        at: usize,
        quotes: u64,
        brackets: u64,
    ) -> Result<Option<usize>, Flaw> {
        let text = between(quotes) ^ self.text;
        let mut marks = brackets & !text;
        self.text = ((text as i64) >> (u64::BITS - 1)) as u64;
        while marks != 0 {
            let mark = at + marks.trailing_zeros() as usize;
            match bytes[mark] {
                bracket @ (b'{' | b'[') => self.open.push(bracket)?,
                bracket if self.open.pop(bracket)? => return Ok(Some(mark + 1)),
                _ => {}
            }
            marks &= marks - 1;
        }
        Ok(None)
    }
}

fn plain_quotes(bytes: &[u8], at: usize, mut quotes: u64, mut text: bool) -> u64 {
    let mut plain = 0;
    while quotes != 0 {
        let mark = quotes & quotes.wrapping_neg();
        if !(text && is_escaped(bytes, at + quotes.trailing_zeros() as usize)) {
            plain |= mark;
            text = !text;
        }
        quotes ^= mark;
    }
    plain
}

/// The brackets that are open: one bit each, so that the depth bound costs no memory.
struct Open {
    kinds: u128,
    levels: usize,
    room: usize,
}

const _: () = assert!(JSON_DEPTH <= u128::BITS as usize);

impl Open {
    const fn new(outside: usize) -> Self {
        Self { kinds: 0, levels: 0, room: JSON_DEPTH.saturating_sub(outside) }
    }

    #[inline(always)]
    fn push(&mut self, bracket: u8) -> Result<(), Flaw> {
        if self.levels == self.room {
            return Err(Flaw::JsonDepth);
        }
        self.kinds = (self.kinds << 1) | u128::from(bracket == b'{');
        self.levels += 1;
        Ok(())
    }

    /// True when the outermost bracket was closed.
    #[inline(always)]
    fn pop(&mut self, bracket: u8) -> Result<bool, Flaw> {
        if self.kinds & 1 != u128::from(bracket == b'}') {
            return Err(Flaw::Json);
        }
        self.kinds >>= 1;
        self.levels -= 1;
        Ok(self.levels == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The meaning, byte by byte.
    fn plainly(bytes: &[u8], at: usize, outside: usize) -> Result<usize, Flaw> {
        container_end_nearby(bytes, at, Open::new(outside))
    }

    /// Text of brackets, quotes, backslashes and others, in proportions that let containers end now and then.
    fn text(mut seed: u64, len: usize) -> Vec<u8> {
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let alphabet: &[u8] = match next() % 4 {
            0 => b"[]{}\"\\,:a",
            1 => b"[]\"\\aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            2 => b"\"\\\\\\\\[]",
            _ => b"{}[]\"\"\"\"aaaaaaaaaaaaa,:",
        };
        let mut text = vec![if next() % 2 == 0 { b'[' } else { b'{' }];
        text.extend((1..len).map(|_| alphabet[(next() >> 20) as usize % alphabet.len()]));
        text
    }

    #[test]
    fn containers_end_where_the_plain_way_says() {
        let mut ended = 0;
        for seed in 1..20_000_u64 {
            let len = 1 + (seed as usize * 7) % 400;
            let text = text(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), len);
            let want = plainly(&text, 0, 0);
            assert_eq!(container_end(&text, 0, 0), want, "{}", text.escape_ascii());
            ended += usize::from(want.is_ok());
            // Somewhere in a longer text.
            let before = seed as usize % 70;
            let longer = [&vec![b'\\'; before][..], b" ", &text].concat();
            let want = want.map(|end| end + before + 1);
            assert_eq!(container_end(&longer, before + 1, 0), want, "{}", text.escape_ascii());
        }
        assert!(ended > 1000, "{ended} containers ended");
    }

    #[test]
    fn cut_containers_do_not_end() {
        let long = "words, \\\"and\\\" more ".repeat(40);
        let whole = format!("{{\"a\":[{{\"b\":\"{long}\"}},\"]\",\"{long}\\\\\"],\"c\":{{}}}}");
        assert_eq!(container_end(whole.as_bytes(), 0, 0), Ok(whole.len()));
        for cut in 0..whole.len() {
            let part = &whole.as_bytes()[..cut];
            assert_eq!(container_end(part, 0, 0), Err(Flaw::Json), "cut at {cut}");
        }
    }

    #[test]
    fn depth_is_bounded_over_blocks() {
        for outside in [0, 1, 7, JSON_DEPTH] {
            for levels in [1, JSON_DEPTH - 7, JSON_DEPTH - 1, JSON_DEPTH, JSON_DEPTH + 1] {
                let nested = "[".repeat(levels) + &" ".repeat(64) + &"]".repeat(levels);
                let want =
                    if levels + outside > JSON_DEPTH { Err(Flaw::JsonDepth) } else { Ok(nested.len()) };
                assert_eq!(container_end(nested.as_bytes(), 0, outside), want, "{levels} in {outside}");
            }
        }
    }
}
