//! The inside of a JSON string, as text: escapes resolved on the way, across the strings that a text is cut
//! into.
//!
//! A character outside the first 65,536 is two escapes (`\ud83d\ude00`), and some servers cut a text
//! between them; so the first half is kept until its second comes. A half without the other is U+FFFD, as
//! everybody shows it.
//! Deliberately absent: where strings begin and end.

use memchr::memchr;

/// What is left of a string when it ends: half a pair, or 0.
pub(super) type Half = u16;

const ALONE: &[u8] = "\u{fffd}".as_bytes();

/// Gives the text of `raw` to `put`, part by part. `half` is what the string before it left.
#[inline(always)]
pub(super) fn unescape(raw: &[u8], half: &mut Half, mut put: impl FnMut(&[u8])) {
    if *half == 0 && memchr(b'\\', raw).is_none() {
        return put(raw);
    }
    unescape_parts(raw, half, &mut put);
}

#[inline(never)]
fn unescape_parts(raw: &[u8], half: &mut Half, put: &mut dyn FnMut(&[u8])) {
    let mut rest = raw;
    while !rest.is_empty() {
        let plain = memchr(b'\\', rest).unwrap_or(rest.len());
        if plain > 0 {
            end(half, put);
            put(&rest[..plain]);
            rest = &rest[plain..];
            continue;
        }
        let (code, used) = escape(rest);
        rest = &rest[used..];
        match (*half, code) {
            (high @ 1.., 0xdc00..0xe000) => {
                *half = 0;
                let pair = 0x1_0000 + (u32::from(high - 0xd800) << 10) + (code - 0xdc00);
                character(pair, put);
            }
            (_, 0xd800..0xdc00) => {
                end(half, put);
                *half = code as Half;
            }
            _ => {
                end(half, put);
                character(code, put);
            }
        }
    }
}

/// No second half comes any more.
pub(super) fn end(half: &mut Half, put: &mut dyn FnMut(&[u8])) {
    if core::mem::take(half) != 0 {
        put(ALONE);
    }
}

fn character(code: u32, put: &mut dyn FnMut(&[u8])) {
    let mut buffer = [0; 4];
    put(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut buffer).as_bytes());
}

/// The escape at the front of `raw`: what it stands for, and its length. What is none stands for itself: the
/// text is the provider's, and here it is only counted.
fn escape(raw: &[u8]) -> (u32, usize) {
    let code = match raw.get(1) {
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(b'u') => {
            let digits = raw.get(2..6).and_then(|digits| core::str::from_utf8(digits).ok());
            let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            return code.map_or((u32::from('u'), 2), |code| (code, 6));
        }
        Some(byte @ 0..0x80) => *byte,
        Some(_) | None => return (u32::from('\\'), 1),
    };
    (u32::from(code), 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(strings: &[&[u8]]) -> Vec<u8> {
        let (mut half, mut out) = (0, Vec::new());
        strings.iter().for_each(|raw| unescape(raw, &mut half, |part| out.extend_from_slice(part)));
        end(&mut half, &mut |part| out.extend_from_slice(part));
        out
    }

    #[test]
    fn escapes_become_what_they_stand_for() {
        for (raw, want) in [
            ("", ""),
            ("plain é", "plain é"),
            (r#"a\nb\t\r\b\f\"\\\/"#, "a\nb\t\r\u{8}\u{c}\"\\/"),
            (r"\u0041\u00e9\u4e2d", "Aé中"),
            (r"x\ud83d\ude00y", "x😀y"),
            (r"\ud83d", "\u{fffd}"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ud83d\n", "\u{fffd}\n"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
            (r"\ude00", "\u{fffd}"),
            (r"\u12", "u12"),
            (r"\x", "x"),
            (r"\", "\\"),
        ] {
            assert_eq!(String::from_utf8(text(&[raw.as_bytes()])).as_deref(), Ok(want), "{raw}");
        }
    }

    #[test]
    fn pairs_may_be_cut() {
        let raw = br"a\ud83d\ude00b";
        assert_eq!(text(&[&raw[..7], &raw[7..]]), "a😀b".as_bytes());
        assert_eq!(text(&[&raw[..7], b"", &raw[7..]]), "a😀b".as_bytes());
        assert_eq!(text(&[&raw[..7], b"c"]), "a\u{fffd}c".as_bytes());
    }
}
