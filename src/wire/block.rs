//! Sixteen or sixty-four bytes looked at together: which of them belong to a class, one bit each, the first
//! byte in the lowest bit.
//!
//! Why beside `memchr`: most of what a head or a body consists of is shorter than what a call into it costs,
//! and the classes here are no one, two or three bytes. The vectors are those that every CPU of an
//! architecture has (SSE2, NEON), so nothing is detected when the program runs.
//!
//! Tables of small numbers are looked through the same way, four words at a time ([`Words`]).
//! Deliberately absent: searches over long runs (`memchr`), and what a class is good for.

use wide::{f32x4, u8x16, u32x4};

/// Bytes of a [`Block`].
pub(super) const BLOCK: usize = 16;

/// Sixteen bytes.
#[derive(Clone, Copy)]
pub(super) struct Block(u8x16);

impl Block {
    /// The bytes as they are.
    #[inline(always)]
    pub(super) fn of(bytes: &[u8; BLOCK]) -> Self {
        Self(u8x16::new(*bytes))
    }

    /// The sixteen bytes of `bytes` from `at` on, if there are so many.
    #[inline(always)]
    pub(super) fn at(bytes: &[u8], at: usize) -> Option<Self> {
        Some(Self::of(bytes.get(at..)?.first_chunk()?))
    }

    /// Where `byte` is.
    #[inline(always)]
    pub(super) fn equal(self, byte: u8) -> u32 {
        self.is(byte).to_bitmask()
    }

    /// Where both have the same byte.
    #[inline(always)]
    pub(super) fn same(self, other: Self) -> u32 {
        self.0.simd_eq(other.0).to_bitmask()
    }

    /// Where `"` or `\` is: what can end a JSON string or hide its end.
    #[inline(always)]
    pub(super) fn quotes_and_backslashes(self) -> u32 {
        (self.is(b'"') | self.is(b'\\')).to_bitmask()
    }

    /// Where `{`, `}`, `[` or `]` is: what matters between JSON strings.
    #[inline(always)]
    pub(super) fn brackets(self) -> u32 {
        // Bit 5 is all that `[` and `{`, or `]` and `}`, differ in.
        let folded = self.folded();
        (folded.is(b'{') | folded.is(b'}')).to_bitmask()
    }

    /// Where a byte is that no field value may have: control bytes but HTAB, and DEL.
    #[inline(always)]
    pub(super) fn controls(self) -> u32 {
        let low = self.within(0, 0x1f) & !self.is(b'\t');
        (low | self.is(0x7f)).to_bitmask()
    }

    /// Where an ASCII letter is, or a byte that is not ASCII.
    #[inline(always)]
    fn letters(self) -> u32 {
        (self.folded().within(b'a', b'z') | self.0).to_bitmask()
    }

    /// Where a byte is that is not ASCII.
    #[inline(always)]
    fn beyond_ascii(self) -> u32 {
        self.0.to_bitmask()
    }

    /// Where a byte is that is no letter, digit or hyphen.
    #[inline(always)]
    pub(super) fn not_word(self) -> u32 {
        // No byte becomes a letter by bit 5 but that letter's capital.
        let word = self.folded().within(b'a', b'z') | self.within(b'0', b'9') | self.is(b'-');
        word.to_bitmask() ^ 0xffff
    }

    /// Where a byte is that is no letter, digit, `-`, `.`, `/` or `_`.
    #[inline(always)]
    pub(super) fn not_path(self) -> u32 {
        // From hyphen to nine there are just hyphen, dot, slash and the digits.
        let path = self.folded().within(b'a', b'z') | self.within(b'-', b'9') | self.is(b'_');
        path.to_bitmask() ^ 0xffff
    }

    /// Where a byte is that a JSON string of printable ASCII cannot show as it is: control bytes, `"`, `\`,
    /// DEL and whatever is not ASCII.
    #[inline(always)]
    pub(super) fn not_plain_text(self) -> u32 {
        let plain = self.within(b' ', b'~') & !(self.is(b'"') | self.is(b'\\'));
        plain.to_bitmask() ^ 0xffff
    }

    #[inline(always)]
    fn is(self, byte: u8) -> u8x16 {
        self.0.simd_eq(u8x16::splat(byte))
    }

    /// Where a byte is from `first` to `last`; as unsigned numbers, `x <= y` is `min(x, y) == x`.
    #[inline(always)]
    fn within(self, first: u8, last: u8) -> u8x16 {
        let above = self.0 - u8x16::splat(first);
        above.min(u8x16::splat(last - first)).simd_eq(above)
    }

    #[inline(always)]
    fn folded(self) -> Self {
        Self(self.0 | u8x16::splat(0x20))
    }
}

/// Bytes of [`Four`] blocks.
pub(crate) const FOUR_BLOCKS: usize = 4 * BLOCK;

/// Sixty-four bytes.
#[derive(Clone, Copy)]
pub(crate) struct Four([Block; 4]);

impl Four {
    /// The bytes as they are.
    #[inline(always)]
    pub(crate) fn of(bytes: &[u8; FOUR_BLOCKS]) -> Self {
        let (blocks, _) = bytes.as_chunks::<BLOCK>();
        Self([Block::of(&blocks[0]), Block::of(&blocks[1]), Block::of(&blocks[2]), Block::of(&blocks[3])])
    }

    /// Where `"` is.
    #[inline(always)]
    pub(super) fn quotes(self) -> u64 {
        self.mask(|block| block.equal(b'"'))
    }

    /// Where `{`, `}`, `[` or `]` is.
    #[inline(always)]
    pub(super) fn brackets(self) -> u64 {
        self.mask(Block::brackets)
    }

    /// Is there a `\`?
    #[inline(always)]
    pub(super) fn has_backslash(self) -> bool {
        let [a, b, c, d] = self.0.map(|block| block.is(b'\\'));
        (a | b | c | d).to_bitmask() != 0
    }

    /// Where a letter is: an ASCII one, or a byte of any other character.
    #[inline(always)]
    pub(crate) fn letters(self) -> u64 {
        self.mask(Block::letters)
    }

    /// Where a byte is that is not ASCII.
    #[inline(always)]
    pub(crate) fn beyond_ascii(self) -> u64 {
        self.mask(Block::beyond_ascii)
    }

    /// Where a space is.
    #[inline(always)]
    pub(crate) fn spaces(self) -> u64 {
        self.mask(|block| block.equal(b' '))
    }

    #[inline(always)]
    fn mask(self, class: impl Fn(Block) -> u32) -> u64 {
        let [a, b, c, d] = self.0.map(|block| u64::from(class(block)));
        (a | b << BLOCK) | (c | d << BLOCK) << (2 * BLOCK)
    }
}

/// Words of [`Words`].
pub(crate) const WORDS: usize = 4;

/// Four words, as numbers without a sign, as sets of bits, or as floats.
#[derive(Clone, Copy)]
pub(crate) struct Words([u32; WORDS]);

impl Words {
    /// A bit for each word that belongs to a class, the first one in the lowest bit; at most 64 words.
    #[inline(always)]
    pub(crate) fn each(words: &[[u32; WORDS]], class: impl Fn(Self) -> u32) -> u64 {
        debug_assert!(words.len() * WORDS <= u64::BITS as usize);
        // The last four go in first and are pushed up by the others: no count of places is needed.
        words.iter().rev().fold(0, |mask, four| mask << WORDS | u64::from(class(Self(*four))))
    }

    /// Where none of `bits` is set.
    #[inline(always)]
    pub(crate) fn without(self, bits: u32) -> u32 {
        (self.vector() & u32x4::splat(bits)).simd_eq(u32x4::splat(0)).to_bitmask()
    }

    /// Where all of `bits` are set.
    #[inline(always)]
    pub(crate) fn with(self, bits: u32) -> u32 {
        let bits = u32x4::splat(bits);
        (self.vector() & bits).simd_eq(bits).to_bitmask()
    }

    /// Where `word` is.
    #[inline(always)]
    pub(crate) fn equal(self, word: u32) -> u32 {
        self.vector().simd_eq(u32x4::splat(word)).to_bitmask()
    }

    /// Where a number of at least this is.
    #[inline(always)]
    pub(crate) fn at_least(self, least: u32) -> u32 {
        u32x4::splat(least).simd_gt(self.vector()).to_bitmask() ^ 0xf
    }

    /// Where a float is that is at most this; NaN never is.
    #[inline(always)]
    pub(crate) fn floats_at_most(self, most: f32) -> u32 {
        self.floats().simd_le(f32x4::splat(most)).to_bitmask()
    }

    /// Where a float is that is below this; NaN never is.
    #[inline(always)]
    pub(crate) fn floats_below(self, bound: f32) -> u32 {
        self.floats().simd_lt(f32x4::splat(bound)).to_bitmask()
    }

    #[inline(always)]
    fn vector(self) -> u32x4 {
        u32x4::new(self.0)
    }

    #[inline(always)]
    fn floats(self) -> f32x4 {
        f32x4::new(self.0.map(f32::from_bits))
    }
}

/// Where the bytes are that lie between marks: behind the first, third … mark, that mark included, and
/// before the second, fourth … one.
#[inline(always)]
pub(super) const fn between(mut marks: u64) -> u64 {
    marks ^= marks << 1;
    marks ^= marks << 2;
    marks ^= marks << 4;
    marks ^= marks << 8;
    marks ^= marks << 16;
    marks ^ (marks << 32)
}

/// True when `class` finds nothing in `bytes[start..end]`. Blocks that end behind `end` are cut to size, so a
/// short run costs one look as long as anything follows it in `bytes`; `slow` judges what is left of a run at
/// the very end.
#[inline(always)]
pub(super) fn none(
    bytes: &[u8],
    start: usize,
    end: usize,
    class: impl Fn(Block) -> u32,
    slow: impl Fn(u8) -> bool,
) -> bool {
    let mut at = start;
    while at < end {
        let Some(block) = Block::at(bytes, at) else { return !bytes[at..end].iter().any(|&byte| slow(byte)) };
        let here = if end - at < BLOCK { (1 << (end - at)) - 1 } else { u32::MAX };
        if class(block) & here != 0 {
            return false;
        }
        at += BLOCK;
    }
    true
}

/// The same for all of `text`, behind which nothing may be looked at: the last block overlaps the one before.
#[inline(always)]
pub(super) fn none_in(text: &[u8], class: impl Fn(Block) -> u32, slow: impl Fn(u8) -> bool) -> bool {
    let Some(last) = text.len().checked_sub(BLOCK) else { return !text.iter().any(|&byte| slow(byte)) };
    let clean = |at: usize| Block::at(text, at).is_some_and(|block| class(block) == 0);
    (0..last).step_by(BLOCK).all(clean) && clean(last)
}

#[cfg(test)]
mod plain {
    //! Masks byte by byte: the meaning of the classes.

    #[derive(Clone, Copy)]
    pub(super) struct Bytes([u8; 16]);

    impl Bytes {
        #[inline(always)]
        pub(super) fn of(bytes: &[u8; 16]) -> Self {
            Self(*bytes)
        }

        #[inline(always)]
        fn mask(self, class: impl Fn(u8) -> bool) -> u32 {
            self.0.iter().enumerate().fold(0, |mask, (at, &byte)| mask | u32::from(class(byte)) << at)
        }

        #[inline(always)]
        pub(super) fn equal(self, byte: u8) -> u32 {
            self.mask(|found| found == byte)
        }

        #[inline(always)]
        pub(super) fn either(self, one: u8, other: u8) -> u32 {
            self.mask(|found| found == one || found == other)
        }

        #[inline(always)]
        pub(super) fn brackets(self) -> u32 {
            self.mask(|found| matches!(found, b'{' | b'}' | b'[' | b']'))
        }

        #[inline(always)]
        pub(super) fn controls(self) -> u32 {
            self.mask(|found| (found < b' ' && found != b'\t') || found == 0x7f)
        }

        #[inline(always)]
        pub(super) fn letters(self) -> u32 {
            self.mask(|found| found.is_ascii_alphabetic() || found >= 0x80)
        }

        #[inline(always)]
        pub(super) fn beyond_ascii(self) -> u32 {
            self.mask(|found| !found.is_ascii())
        }

        #[inline(always)]
        pub(super) fn not_word(self) -> u32 {
            self.mask(|found| !(found.is_ascii_alphanumeric() || found == b'-'))
        }

        #[inline(always)]
        pub(super) fn not_path(self) -> u32 {
            self.mask(|found| !(found.is_ascii_alphanumeric() || matches!(found, b'-' | b'.' | b'/' | b'_')))
        }

        #[inline(always)]
        pub(super) fn not_plain_text(self) -> u32 {
            self.mask(|found| !matches!(found, b' '..=b'~') || found == b'"' || found == b'\\')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_mean_what_the_plain_ones_mean() {
        for byte in 0..=u8::MAX {
            for place in 0..BLOCK {
                let mut bytes = *b"a1-Z{\"\\\t~ \r\n:]}\x80";
                bytes[place] = byte;
                let (fast, plain) = (Block::of(&bytes), plain::Bytes::of(&bytes));
                assert_eq!(fast.equal(byte), plain.equal(byte), "{byte}");
                assert_eq!(fast.same(Block::of(&[byte; BLOCK])), plain.equal(byte), "{byte}");
                assert_eq!(fast.quotes_and_backslashes(), plain.either(b'"', b'\\'), "{byte}");
                assert_eq!(fast.brackets(), plain.brackets(), "{byte}");
                assert_eq!(fast.controls(), plain.controls(), "{byte}");
                assert_eq!(fast.letters(), plain.letters(), "{byte}");
                assert_eq!(fast.beyond_ascii(), plain.beyond_ascii(), "{byte}");
                assert_eq!(fast.not_word(), plain.not_word(), "{byte}");
                assert_eq!(fast.not_path(), plain.not_path(), "{byte}");
                assert_eq!(fast.not_plain_text(), plain.not_plain_text(), "{byte}");
            }
        }
    }

    #[test]
    fn sixty_four_bytes_are_four_blocks() {
        for place in 0..64 {
            let mut bytes = [b'x'; 64];
            bytes[place] = b'"';
            bytes[63 - place] = b'"';
            let expected = (1 << place) | (1 << (63 - place));
            assert_eq!(Four::of(&bytes).quotes(), expected, "{place}");
            assert!(!Four::of(&bytes).has_backslash() && Four::of(&bytes).brackets() == 0);
            bytes[place] = b'\\';
            assert!(Four::of(&bytes).has_backslash(), "{place}");
            bytes[place] = b']';
            assert_eq!(Four::of(&bytes).brackets(), 1 << place);
            bytes[place] = b' ';
            assert_eq!(Four::of(&bytes).spaces(), 1 << place);
        }
    }

    #[test]
    fn words_mean_what_plain_numbers_mean() {
        const EDGES: [u32; 9] = [0, 1, 2, 3, 0x7f80_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, u32::MAX];
        let floats = [0.0, -1.5, 2.5, f32::MAX, f32::INFINITY, f32::NAN].map(f32::to_bits);
        let numbers: Vec<u32> = EDGES.into_iter().chain(floats).collect();
        for (turn, word) in numbers.iter().enumerate() {
            for place in 0..2 * WORDS {
                let mut words: Vec<u32> = numbers.iter().cycle().skip(turn).take(8).copied().collect();
                words[place] = *word;
                let bits = |is: &dyn Fn(u32) -> bool| {
                    words.iter().enumerate().fold(0, |mask, (at, word)| mask | u64::from(is(*word)) << at)
                };
                let (fours, _) = words.as_chunks::<WORDS>();
                for other in numbers.iter().copied() {
                    let (own, float) = (f32::from_bits, f32::from_bits(other));
                    assert_eq!(
                        Words::each(fours, |four| four.without(other)),
                        bits(&|word| word & other == 0)
                    );
                    assert_eq!(
                        Words::each(fours, |four| four.with(other)),
                        bits(&|word| word & other == other)
                    );
                    assert_eq!(Words::each(fours, |four| four.equal(other)), bits(&|word| word == other));
                    assert_eq!(Words::each(fours, |four| four.at_least(other)), bits(&|word| word >= other));
                    let most = Words::each(fours, |four| four.floats_at_most(float));
                    assert_eq!(most, bits(&|word| own(word) <= float));
                    let below = Words::each(fours, |four| four.floats_below(float));
                    assert_eq!(below, bits(&|word| own(word) < float));
                }
            }
        }
    }

    #[test]
    fn what_lies_between_marks() {
        let mut marks = 0x9e37_79b9_7f4a_7c15_u64;
        for turn in 0..200 {
            let (mut inside, mut want) = (false, 0);
            for bit in 0..64 {
                inside ^= marks >> bit & 1 == 1;
                want |= u64::from(inside) << bit;
            }
            assert_eq!(between(marks), want, "{marks:x}");
            marks = marks.rotate_left(7).wrapping_mul(0xbf58_476d_1ce4_e5b9) & (marks >> (turn % 5));
            marks = if marks == 0 { 1 << (turn % 64) } else { marks };
        }
    }

    #[test]
    fn runs_of_every_length_are_judged_whole_and_alone() {
        let none = |bytes: &[u8], start, end| {
            none(bytes, start, end, |block| block.equal(b'!'), |byte| byte == b'!')
        };
        for len in 0..50 {
            for behind in 0..20 {
                let mut bytes = vec![b'!'; 1 + len + behind];
                bytes[1..=len].fill(b'x');
                assert!(none(&bytes, 1, 1 + len), "{len} {behind}");
                for place in 1..=len {
                    bytes[place] = b'!';
                    assert!(!none(&bytes, 1, 1 + len), "{place} of {len} {behind}");
                    bytes[place] = b'x';
                }
            }
        }
    }
}
