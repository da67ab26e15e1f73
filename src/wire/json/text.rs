//! Single JSON strings (RFC 8259 §7): from the text to its escaped form and back.
//!
//! Deliberately absent: quotes (they belong to whoever places the string) and where strings end (`scan`).

use core::fmt::{self, Write as _};
use std::borrow::Cow;

/// Appends `text` escaped for the inside of a JSON string. Only what must be escaped is: `"`, `\` and control
/// characters.
pub fn escape(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
            _ => out.push(byte),
        }
    }
}

/// Shows a text as a JSON string, quotes included.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'t>(pub &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => f.write_fmt(format_args!("\\{c}"))?,
                '\0'..='\u{1f}' => f.write_fmt(format_args!("\\u{:04x}", u32::from(c)))?,
                _ => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Is it a string, quotes included, of at most `chars` characters? What is not longer in bytes is not looked
/// into.
pub(super) fn is_text(quoted: &[u8], chars: usize) -> bool {
    let inside = quoted.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inside.is_some_and(|raw| {
        raw.len() <= chars || unescaped(raw).is_some_and(|text| text.chars().count() <= chars)
    })
}

/// The text of a JSON string's inside (without quotes). `None` when it is not one: a bare quote or control
/// character, an unknown escape, half a surrogate pair, or no UTF-8.
#[must_use]
pub fn unescape(raw: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = core::str::from_utf8(raw).ok()?;
    while let Some(at) = rest.find(|c: char| matches!(c, '\\' | '"' | '\0'..='\u{1f}')) {
        out.push_str(&rest[..at]);
        let (c, used) = escaped(&rest.as_bytes()[at..])?;
        out.push(c);
        rest = &rest[at + used..];
    }
    out.push_str(rest);
    Some(out)
}

/// As [`unescape`], borrowing when nothing is escaped.
#[must_use]
pub fn unescaped(raw: &[u8]) -> Option<Cow<'_, str>> {
    if raw.iter().any(|byte| matches!(byte, b'\\' | b'"' | 0..0x20)) {
        return unescape(raw).map(Cow::Owned);
    }
    core::str::from_utf8(raw).ok().map(Cow::Borrowed)
}

/// Reads one escape sequence: the character and the bytes it took.
fn escaped(raw: &[u8]) -> Option<(char, usize)> {
    let [b'\\', kind, hex @ ..] = raw else { return None };
    let c = match kind {
        b'"' | b'\\' | b'/' => char::from(*kind),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(hex),
        _ => return None,
    };
    Some((c, 2))
}

/// Four hexadecimal digits, or two such escapes when the first is the upper half of a surrogate pair.
fn unicode(hex: &[u8]) -> Option<(char, usize)> {
    let first = hex4(hex)?;
    if !(0xD800..0xDC00).contains(&first) {
        return char::from_u32(first).map(|c| (c, 6));
    }
    let low = hex4(hex.get(4..)?.strip_prefix(b"\\u")?)?;
    if !(0xDC00..0xE000).contains(&low) {
        return None;
    }
    char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00)).map(|c| (c, 12))
}

fn hex4(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.get(..4)?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unescapes_what_serde_unescapes_and_nothing_else() {
        for raw in [
            "",
            "plain",
            "a\\nb",
            "\\u0041",
            "\\u00e9",
            "\\ud83d\\ude00",
            "\\/\\\\\\\"\\b\\f\\r\\t",
            "é",
            "x\\u0000",
            "\\",
            "\\u12",
            "\\ud83d",
            "\\ud83dx",
            "\\ud83d\\u0041",
            "\\ude00",
            "\\x",
            "a\"b",
            "a\nb",
            "\\U0041",
            "\\u+123",
            "\\u 123",
        ] {
            let want = serde_json::from_str::<String>(&format!("\"{raw}\"")).ok();
            assert_eq!(unescape(raw.as_bytes()), want, "{raw:?}");
            assert_eq!(unescaped(raw.as_bytes()).map(Cow::into_owned), want, "{raw:?}");
        }
        assert_eq!(unescape(b"\xff"), None);
    }

    #[test]
    fn escaping_is_undone_by_unescaping() {
        let all: String = (0..0x300).filter_map(char::from_u32).collect();
        let mut raw = Vec::new();
        escape(&all, &mut raw);
        assert_eq!(unescape(&raw), Some(all.clone()));
        let quoted = [b"\"", &raw[..], b"\""].concat();
        assert_eq!(serde_json::from_slice::<String>(&quoted).ok(), Some(all));
    }
}
