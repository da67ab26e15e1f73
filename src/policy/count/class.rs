//! What a character is to a pre-tokenizer: the Unicode general categories that split patterns name, folded
//! to eight bits.
//!
//! Deliberately absent: what is done with them (`split`).

use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory as Category;

/// Bits of [`class`]. What is in none of the classes (control, format, unassigned) is 0.
pub(super) const UPPER: u8 = 1;
/// `\p{Ll}`
pub(super) const LOWER: u8 = 2;
/// `\p{Lm}`, `\p{Lo}`: letters without case.
pub(super) const OTHER_LETTER: u8 = 4;
/// `\p{M}`
pub(super) const MARK: u8 = 8;
/// `\p{N}`
pub(super) const NUMBER: u8 = 16;
/// `\s` without the two line ends.
pub(super) const BLANK: u8 = 32;
/// CR and LF.
pub(super) const LINE_END: u8 = 64;
/// `\p{P}`, `\p{S}`
pub(super) const SIGN: u8 = 128;

/// `\p{L}`
pub(super) const LETTER: u8 = UPPER | LOWER | OTHER_LETTER;
/// `\s`
pub(super) const SPACE: u8 = BLANK | LINE_END;

/// Classes of ASCII, where nearly every text lies.
static ASCII: [u8; 128] = {
    let mut table = [0; 128];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = match byte as u8 {
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            b'0'..=b'9' => NUMBER,
            b'\r' | b'\n' => LINE_END,
            b'\t' | 0x0b | 0x0c | b' ' => BLANK,
            b'!'..=b'/' | b':'..=b'@' | b'['..=b'`' | b'{'..=b'~' => SIGN,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// The character at `at`, its class and its length in bytes; `None` at the end. A byte that begins no
/// character is one of its own, of no class.
#[inline(always)]
pub(super) fn class(text: &[u8], at: usize) -> Option<(u8, usize)> {
    let first = *text.get(at)?;
    if first < 0x80 {
        return Some((ASCII[usize::from(first)], 1));
    }
    let (character, length) = wide(&text[at..]);
    Some((character.map_or(0, class_of), length))
}

/// The character at the front of `text`, which is not ASCII, and its length in bytes.
#[inline(never)]
pub(super) fn wide(text: &[u8]) -> (Option<char>, usize) {
    let length = match text[0] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let character = text.get(..length).and_then(|bytes| core::str::from_utf8(bytes).ok());
    match character.and_then(|one| one.chars().next()) {
        Some(character) => (Some(character), length),
        None => (None, 1),
    }
}

fn class_of(character: char) -> u8 {
    // Hardly a text outside ASCII is without these.
    if matches!(character, '\u{4e00}'..='\u{9fa5}') {
        return OTHER_LETTER;
    }
    if character.is_whitespace() {
        return BLANK;
    }
    match CodePointMapData::<Category>::new().get(character) {
        Category::UppercaseLetter | Category::TitlecaseLetter => UPPER,
        Category::LowercaseLetter => LOWER,
        Category::ModifierLetter | Category::OtherLetter => OTHER_LETTER,
        Category::NonspacingMark | Category::SpacingMark | Category::EnclosingMark => MARK,
        Category::DecimalNumber | Category::LetterNumber | Category::OtherNumber => NUMBER,
        Category::DashPunctuation
        | Category::OpenPunctuation
        | Category::ClosePunctuation
        | Category::ConnectorPunctuation
        | Category::InitialPunctuation
        | Category::FinalPunctuation
        | Category::OtherPunctuation
        | Category::MathSymbol
        | Category::CurrencySymbol
        | Category::ModifierSymbol
        | Category::OtherSymbol => SIGN,
        _ => 0,
    }
}

/// How much of `text` is whole characters: all of it, unless its last bytes begin one that may still be
/// completed.
pub(super) fn whole_characters(text: &[u8]) -> usize {
    let mut back = 0;
    for byte in text.iter().rev().take(4) {
        back += 1;
        match byte {
            0..0x80 => return text.len(),
            0x80..0xc0 => {}
            0xc0..=0xff => {
                let length = if *byte >= 0xf0 { 4 } else { 2 + usize::from(*byte >= 0xe0) };
                return if back < length { text.len() - back } else { text.len() };
            }
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        for (text, want) in [
            ("A", UPPER),
            ("ǅ", UPPER),
            ("z", LOWER),
            ("é", LOWER),
            ("中", OTHER_LETTER),
            ("ー", OTHER_LETTER),
            ("\u{301}", MARK),
            ("7", NUMBER),
            ("½", NUMBER),
            ("\t", BLANK),
            ("\u{a0}", BLANK),
            ("\u{85}", BLANK),
            ("\n", LINE_END),
            ("。", SIGN),
            ("~", SIGN),
            ("😀", SIGN),
            ("\0", 0),
            ("\u{200d}", 0),
        ] {
            assert_eq!(class(text.as_bytes(), 0), Some((want, text.len())), "{text:?}");
        }
        assert_eq!(class(b"", 0), None);
        assert_eq!(class(b"\xe4\xb8", 0), Some((0, 1)));
        assert_eq!(class(b"\xff", 0), Some((0, 1)));
    }

    #[test]
    fn a_cut_character_waits_for_its_rest() {
        for (text, want) in [
            (&b""[..], 0),
            (b"a", 1),
            (b"a\xe4", 1),
            (b"a\xe4\xb8", 1),
            (b"a\xe4\xb8\xad", 4),
            (b"\xf0\x9f\x98", 0),
            (b"\xf0\x9f\x98\x80", 4),
            (b"\xc3", 0),
            (b"\xc3\xa9", 2),
            (b"\x80\x80\x80\x80\x80", 5),
        ] {
            assert_eq!(whole_characters(text), want, "{text:x?}");
        }
    }
}
