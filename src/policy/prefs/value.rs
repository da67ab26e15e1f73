//! Single values inside preferences: booleans, plain strings, decimals without floats.
//!
//! Deliberately absent: what they mean, and strings with escapes (no known value needs any).

use crate::wire::json::scan::Fields;

/// Digits of a decimal that count; further ones are beyond any price.
const DIGITS: i32 = 30;

/// `true` or `false`.
pub(super) fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// The inside of a string of printable ASCII without escapes.
pub(super) fn plain_string(text: &[u8]) -> Option<&[u8]> {
    let inside = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let plain = inside.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
    plain.then_some(inside)
}

/// Hands each member of an object that is not `null` to `take`; `None` when the text is no object, a key
/// comes twice or has escapes, or `take` says so.
pub(super) fn each_member<'b>(
    text: &'b [u8],
    mut take: impl FnMut(&'b [u8], &'b [u8]) -> Option<()>,
) -> Option<()> {
    let mut fields = Fields::open(text, 0, 2).ok()?;
    let mut seen: [&[u8]; 8] = [b""; 8];
    let mut count = 0;
    while let Some(field) = fields.next_field().ok()? {
        let key = field.key.of(text);
        if field.key_escaped || seen[..count].contains(&key) {
            return None;
        }
        *seen.get_mut(count)? = key;
        count += 1;
        let value = field.value.of(text);
        if value != b"null" {
            take(key, value)?;
        }
    }
    Some(())
}

/// A number above 0, as a figure to compare with measured ones.
pub(super) fn positive(text: &[u8]) -> Option<f32> {
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    let number: f32 = core::str::from_utf8(text).ok()?.parse().ok()?;
    (number > 0.0 && number.is_finite()).then_some(number)
}

/// A decimal of at least 0, as a number or in quotes, times 10^`shift`, rounded down and saturating: a bound
/// that is compared with whole amounts is exact that way.
pub(super) fn decimal(text: &[u8], shift: i32) -> Option<i128> {
    let text = match text.first()? {
        b'"' => plain_string(text)?,
        _ => text,
    };
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&text[..at], whole(&text[at + 1..])?),
        None => (text, 0),
    };
    let (digits, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(at) => (&mantissa[..at], Some(&mantissa[at + 1..])),
        None => (mantissa, None),
    };
    if digits.is_empty() || fraction.is_some_and(<[u8]>::is_empty) {
        return None;
    }
    let fraction = fraction.unwrap_or_default();
    let mut value = 0_i128;
    // How many powers of ten are still to be applied once all digits are in.
    let mut scale = exponent.saturating_add(shift).saturating_sub(fraction.len() as i32);
    let mut taken = 0;
    for byte in digits.iter().chain(fraction) {
        let digit = byte.is_ascii_digit().then(|| i128::from(byte - b'0'))?;
        if taken == DIGITS {
            scale = scale.saturating_add(1);
        } else {
            value = value * 10 + digit;
            taken += i32::from(value > 0);
        }
    }
    while scale < 0 && value > 0 {
        value /= 10;
        scale += 1;
    }
    while scale > 0 && value > 0 && value < i128::MAX {
        value = value.saturating_mul(10);
        scale -= 1;
    }
    Some(value)
}

/// An exponent with its sign, far beyond what a price can use.
fn whole(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text.first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if digits.is_empty() {
        return None;
    }
    digits
        .iter()
        .try_fold(0_i32, |value, byte| {
            let digit = byte.is_ascii_digit().then(|| i32::from(byte - b'0'))?;
            Some(value.saturating_mul(10).saturating_add(digit).min(10_000))
        })
        .map(|value| sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shift: i32, want: Option<i128>) {
        assert_eq!(decimal(text.as_bytes(), shift), want, "{text} · 10^{shift}");
    }

    #[test]
    fn decimals_are_exact_and_rounded_down() {
        check("1", 6, Some(1_000_000));
        check("\"0.5\"", 6, Some(500_000));
        check("0.0000019", 6, Some(1));
        check("2.5e-3", 6, Some(2_500));
        check("1E+2", 12, Some(100_000_000_000_000));
        check("0", 6, Some(0));
        check("0e9999999999", 6, Some(0));
        check("1e-9999999999", 6, Some(0));
        check("1e9999999999", 6, Some(i128::MAX));
        check("0.123456789012345678901234567890123456789", 6, Some(123_456));
        check(
            "1234567890123456789012345678901234567890e-10",
            0,
            Some(123_456_789_012_345_678_901_234_567_890),
        );
        for bad in [
            "-1",
            "",
            "\"\"",
            "\".5\"",
            "\"5.\"",
            "\"1e\"",
            "\"x\"",
            "\"1e+\"",
            "\" 1\"",
            "true",
            "\"1.2.3\"",
        ] {
            check(bad, 6, None);
        }
    }

    #[test]
    fn figures_are_positive() {
        assert_eq!(positive(b"2.5"), Some(2.5));
        for bad in ["0", "-1", "1e99", "inf", "\"1\"", "", "null", "{"] {
            assert_eq!(positive(bad.as_bytes()), None, "{bad}");
        }
    }
}
