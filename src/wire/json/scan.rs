//! Walking over JSON text (RFC 8259) without recursion and without allocation: where a value ends, which
//! fields an object has, which items an array has.
//!
//! Why this is fast enough without an index of the whole text: nearly all bytes of a request lie in strings,
//! and of those only quotes are looked at, sixty-four bytes at a time (`block`). Between the strings of a
//! container that is skipped, only brackets count (`skip`).
//!
//! The functions of one step are inlined by force: a [`Field`] that is returned through memory costs more
//! than finding it (measured: a body of 1.5 KB takes 310 ns instead of 380).
//!
//! What is checked: brackets match in kind and depth, strings end, and at the levels that are walked field by
//! field also commas, colons, literals and numbers. Deliberately absent: the grammar inside containers that
//! are skipped whole, and the inside of strings.

use crate::base::span::Span;
use crate::wire::flaw::Flaw;

use super::quote::{key_end, short_string_end, string_end};
use super::skip::container_end;
use super::written::Written;

/// "No comma there"; positions are below `limits::BODY_BYTES_CEILING`.
const NONE: u32 = u32::MAX;

/// One member of an object, as positions in the text it was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// The key without its quotes, as written.
    pub key: Span,
    /// The key contains a backslash.
    pub key_escaped: bool,
    /// The value as written, quotes or brackets included, surrounding space excluded.
    pub value: Span,
    comma_before: u32,
    comma_after: u32,
}

impl Field {
    /// From the key's opening quote to the value's end.
    #[must_use]
    pub fn whole(&self) -> Span {
        Span { start: self.key.start - 1, end: self.value.end }
    }

    /// Where the comma between the previous member and this one is; `None` for the first.
    #[must_use]
    pub fn comma_before(&self) -> Option<u32> {
        (self.comma_before != NONE).then_some(self.comma_before)
    }

    /// Where the comma between this member and the next one is; `None` for the last.
    #[must_use]
    pub fn comma_after(&self) -> Option<u32> {
        (self.comma_after != NONE).then_some(self.comma_after)
    }
}

/// The members of one object, in order.
#[derive(Debug)]
pub struct Fields<'a> {
    walk: Walk<'a>,
}

/// The items of one array, in order.
#[derive(Debug)]
pub struct Items<'a> {
    walk: Walk<'a>,
}

/// Position in a container whose direct children are read one by one.
#[derive(Debug)]
struct Walk<'a> {
    bytes: &'a [u8],
    /// Next byte to look at.
    at: usize,
    /// Levels of nesting around the children, this container included.
    levels: usize,
    closer: u8,
    comma: u32,
    state: WalkState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WalkState {
    /// Nothing was read: the container may be empty.
    First,
    /// A comma was read: a child must follow.
    Next,
    /// The closing bracket was read, or a flaw found.
    End,
}

impl<'a> Fields<'a> {
    /// Opens the object whose `{` is at `at`, with `outside` levels around it.
    ///
    /// # Errors
    /// [`Flaw::Json`] when there is no `{`.
    pub fn open(bytes: &'a [u8], at: usize, outside: usize) -> Result<Self, Flaw> {
        Walk::open(bytes, at, outside, b'{', b'}').map(|walk| Self { walk })
    }

    /// The next member; `None` after the last.
    ///
    /// # Errors
    /// [`Flaw::Json`] for broken text, [`Flaw::JsonDepth`] for deep nesting; nothing more is read after that.
    #[inline(always)]
    pub fn next_field(&mut self) -> Result<Option<Field>, Flaw> {
        Ok(self.next(None)?.map(|(field, _)| field))
    }

    /// The next member, and whether its key is the one that was expected, written as programs write it. Says
    /// no of any other key, and of some others.
    ///
    /// # Errors
    /// As [`Fields::next_field`].
    #[inline(always)]
    pub(super) fn next_expected(&mut self, expected: &Written) -> Result<Option<(Field, bool)>, Flaw> {
        self.next(Some(expected))
    }

    #[inline(always)]
    fn next(&mut self, expected: Option<&Written>) -> Result<Option<(Field, bool)>, Flaw> {
        let walk = &mut self.walk;
        if !walk.enter()? {
            return Ok(None);
        }
        let (bytes, comma_before, start) = (walk.bytes, walk.comma, walk.at + 1);
        let expected = expected.filter(|expected| expected.begins(bytes, walk.at));
        let (end, key_escaped, value) = if let Some(expected) = expected {
            let behind = walk.at + expected.length;
            (behind - Written::BEHIND_KEY, false, behind)
        } else {
            if bytes.get(walk.at) != Some(&b'"') {
                return Err(walk.broken());
            }
            let Ok((end, key_escaped)) = key_end(bytes, start) else { return Err(walk.broken()) };
            let colon = skip_space(bytes, end + 1);
            if bytes.get(colon) != Some(&b':') {
                return Err(walk.broken());
            }
            (end, key_escaped, skip_space(bytes, colon + 1))
        };
        let value = walk.child(value)?;
        let key = Span::new(start, end);
        let field = Field { key, key_escaped, value, comma_before, comma_after: walk.comma };
        Ok(Some((field, expected.is_some())))
    }

    /// One past the closing brace, once `next_field` has said `None`.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.walk.at
    }
}

impl<'a> Items<'a> {
    /// Opens the array whose `[` is at `at`, with `outside` levels around it.
    ///
    /// # Errors
    /// [`Flaw::Json`] when there is no `[`.
    pub fn open(bytes: &'a [u8], at: usize, outside: usize) -> Result<Self, Flaw> {
        Walk::open(bytes, at, outside, b'[', b']').map(|walk| Self { walk })
    }

    /// The next item; `None` after the last.
    ///
    /// # Errors
    /// As [`Fields::next_field`].
    pub fn next_item(&mut self) -> Result<Option<Span>, Flaw> {
        if !self.walk.enter()? {
            return Ok(None);
        }
        self.walk.child(self.walk.at).map(Some)
    }
}

impl<'a> Walk<'a> {
    fn open(bytes: &'a [u8], at: usize, outside: usize, opener: u8, closer: u8) -> Result<Self, Flaw> {
        if bytes.get(at) != Some(&opener) {
            return Err(Flaw::Json);
        }
        let levels = outside + 1;
        Ok(Self { bytes, at: at + 1, levels, closer, comma: NONE, state: WalkState::First })
    }

    /// Goes to the next child; `false` at the closing bracket.
    #[inline(always)]
    fn enter(&mut self) -> Result<bool, Flaw> {
        match self.state {
            WalkState::End => Ok(false),
            WalkState::Next => Ok(true),
            WalkState::First => {
                self.at = skip_space(self.bytes, self.at);
                if self.bytes.get(self.at) == Some(&self.closer) {
                    self.at += 1;
                    self.state = WalkState::End;
                    return Ok(false);
                }
                Ok(true)
            }
        }
    }

    /// Reads the value at `at` and what must follow it: a comma (and then a child), or the closing bracket.
    #[inline(always)]
    fn child(&mut self, at: usize) -> Result<Span, Flaw> {
        let end = value_end(self.bytes, at, self.levels).inspect_err(|_| self.state = WalkState::End)?;
        let behind = skip_space(self.bytes, end);
        match self.bytes.get(behind) {
            Some(b',') => {
                self.at = skip_space(self.bytes, behind + 1);
                (self.comma, self.state) = (behind as u32, WalkState::Next);
            }
            Some(byte) if *byte == self.closer => {
                self.at = behind + 1;
                (self.comma, self.state) = (NONE, WalkState::End);
            }
            _ => return Err(self.broken()),
        }
        Ok(Span::new(at, end))
    }

    fn broken(&mut self) -> Flaw {
        self.state = WalkState::End;
        Flaw::Json
    }
}

/// One past the quote that ends the string whose inside starts at `at`, if it comes within 48 bytes, nothing
/// is escaped before it, and as many bytes follow as a look at them takes; else [`value_end`] finds it.
#[must_use]
#[inline(always)]
pub fn short_text_end(bytes: &[u8], at: usize) -> Option<usize> {
    short_string_end(bytes, at)
}

/// The run of digits at `at` as a number, and one past it; `None` when there is none, or it does not fit.
#[must_use]
#[inline(always)]
pub fn leading_number(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    match bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|eight| short_number(*eight)) {
        Some((value, digits @ 1..=7)) => Some((value, at + digits)),
        Some((value, 8)) => long_number(bytes, at, value, at + 8),
        _ => long_number(bytes, at, 0, at),
    }
}

/// The digits at the front of eight bytes as a number, and how many there are.
#[inline(always)]
fn short_number(bytes: [u8; 8]) -> (u64, usize) {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // Digits become 0 to 9; of every other byte bit 7 is set once 0x76 is added, or was before.
    let word = u64::from_le_bytes(bytes) ^ (ONES * 0x30);
    let others = ((word & (ONES * 0x7f)) + ONES * 0x76) | word;
    let digits = ((others & (ONES * 0x80)).trailing_zeros() / u8::BITS) as usize;
    if digits == 0 {
        return (0, 0);
    }
    // The last digit becomes the highest byte; zeros go before the first. Then neighbours become one number,
    // twice as wide: pairs, fours, all eight.
    let word = word << (u64::BITS - u8::BITS * digits as u32);
    let pairs = (word * 10 + (word >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (((fours * 10_000) + (fours >> 32)) & 0xffff_ffff, digits)
}

/// The same byte by byte, once the digits before `end` were found to be `value`.
#[inline(never)]
fn long_number(bytes: &[u8], at: usize, mut value: u64, mut end: usize) -> Option<(u64, usize)> {
    while let Some(digit) = bytes.get(end).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        // Nineteen digits always fit.
        if end - at == 19 {
            return None;
        }
        value = value * 10 + u64::from(digit);
        end += 1;
    }
    (end > at).then_some((value, end))
}

/// First position at or behind `at` that is not JSON white space (RFC 8259 §2).
#[must_use]
#[inline(always)]
pub fn skip_space(bytes: &[u8], at: usize) -> usize {
    // Bodies come from programs, which write hardly any.
    match bytes.get(at) {
        Some(byte) if *byte > b' ' => at,
        _ => skip_some_space(bytes, at),
    }
}

#[inline(never)]
fn skip_some_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// One past the value that starts at `at`, with `outside` levels of nesting around it.
///
/// # Errors
/// [`Flaw::Json`] when no value is there, [`Flaw::JsonDepth`] beyond `limits::JSON_DEPTH` levels.
#[inline(always)]
pub fn value_end(bytes: &[u8], at: usize, outside: usize) -> Result<usize, Flaw> {
    match bytes.get(at) {
        Some(b'"') => Ok(string_end(bytes, at + 1)? + 1),
        Some(b'{' | b'[') => container_end(bytes, at, outside),
        Some(b't') => literal_end(bytes, at, b"true"),
        Some(b'f') => literal_end(bytes, at, b"false"),
        Some(b'n') => literal_end(bytes, at, b"null"),
        Some(b'-' | b'0'..=b'9') => number_end(bytes, at),
        _ => Err(Flaw::Json),
    }
}

fn literal_end(bytes: &[u8], at: usize, literal: &[u8]) -> Result<usize, Flaw> {
    if bytes[at..].starts_with(literal) { Ok(at + literal.len()) } else { Err(Flaw::Json) }
}

/// `number = [ "-" ] int [ frac ] [ exp ]` (RFC 8259 §6).
fn number_end(bytes: &[u8], at: usize) -> Result<usize, Flaw> {
    let digits = |at: usize| {
        let rest = bytes.get(at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 { Err(Flaw::Json) } else { Ok(at + count) }
    };
    let start = at + usize::from(bytes.get(at) == Some(&b'-'));
    let mut at = if bytes.get(start) == Some(&b'0') { start + 1 } else { digits(start)? };
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at = digits(at + 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-'))))?;
    }
    Ok(at)
}

/// A JSON number that is a plain run of digits and fits.
#[must_use]
pub fn unsigned(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::JSON_DEPTH;

    #[track_caller]
    fn check(text: &str, want: Result<usize, Flaw>) {
        assert_eq!(value_end(text.as_bytes(), 0, 0), want, "{text:?}");
        if want == Ok(text.len()) && text.starts_with(['"', '{', '[', 't', 'f', 'n']) {
            for cut in 0..text.len() {
                assert_eq!(
                    value_end(&text.as_bytes()[..cut], 0, 0),
                    Err(Flaw::Json),
                    "{text:?} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn values_end_where_they_end() {
        check("true,", Ok(4));
        check("null", Ok(4));
        check("false ", Ok(5));
        check("tru", Err(Flaw::Json));
        check("\"\"", Ok(2));
        check("\"a\\\"b\"", Ok(6));
        check("\"\\\\\",", Ok(4));
        check("\"0123456789012345678901234567890\\\"\"", Ok(35));
        check("[]", Ok(2));
        check("{\"a\":[1,{\"b\":\"]}\"}]}", Ok(20));
        check("[}", Err(Flaw::Json));
        check("{\"a\":[}]", Err(Flaw::Json));
        check("-0.5e+10,", Ok(8));
        check("12]", Ok(2));
        for bad in ["", "-", "1.", "1e", "1e+", ".5", "+1", "x", "]", ",", "-a"] {
            check(bad, Err(Flaw::Json));
        }
        check("01", Ok(1)); // the caller finds a digit where a comma must be
    }

    #[test]
    fn short_texts_end_early_or_not_at_all() {
        for length in 0..60 {
            for (inside, plain) in [("x", true), ("\\n", false)] {
                let text = format!("{}{inside}\"{}", "y".repeat(length), " ".repeat(20));
                let end = length + inside.len() + 1;
                let near = plain && end <= 48;
                assert_eq!(short_text_end(text.as_bytes(), 0), near.then_some(end), "{text:?}");
                for cut in 0..end {
                    assert_eq!(short_text_end(&text.as_bytes()[..cut], 0), None, "{text:?} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn leading_numbers_fit_or_are_none() {
        for (text, want) in [
            ("0,", Some((0, 1))),
            ("120}", Some((120, 3))),
            ("9999999999999999999", Some((9_999_999_999_999_999_999, 19))),
            ("10000000000000000000", None),
            ("-1", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(leading_number(text.as_bytes(), 0), want, "{text}");
        }
    }

    #[test]
    fn numbers_of_every_length_end_at_every_byte() {
        for length in 1..=19 {
            let text = &"9081726354001122334"[..length];
            let value = text.parse::<u64>().expect("a number");
            for other in 0..=u8::MAX {
                let behind = [text.as_bytes(), &[other], b"12345678"].concat();
                let want = match other {
                    b'0'..=b'9' => long_number(&behind, 0, 0, 0),
                    _ => Some((value, length)),
                };
                assert_eq!(leading_number(&behind, 0), want, "{text} before {other}");
            }
            assert_eq!(leading_number(text.as_bytes(), 0), Some((value, length)));
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        check(&nested(JSON_DEPTH), Ok(2 * JSON_DEPTH));
        check(&nested(JSON_DEPTH + 1), Err(Flaw::JsonDepth));
        assert_eq!(value_end(nested(JSON_DEPTH).as_bytes(), 0, 1), Err(Flaw::JsonDepth));
        check(&"[".repeat(100_000), Err(Flaw::JsonDepth));
    }

    #[test]
    fn fields_and_items_are_read_in_order() {
        let text = b"{ \"a\" : 1 , \"b\\n\":[2, \"x\"],\"\":{} }!";
        let mut fields = Fields::open(text, 0, 0).expect("an object");
        let mut seen = Vec::new();
        while let Some(field) = fields.next_field().expect("well formed") {
            seen.push((field.key.of(text), field.key_escaped, field.value.of(text)));
            assert_eq!(field.comma_before().map(|at| text[at as usize]), (seen.len() > 1).then_some(b','));
            assert_eq!(field.comma_after().map(|at| text[at as usize]), (seen.len() < 3).then_some(b','));
        }
        let want = [(&b"a"[..], false, &b"1"[..]), (b"b\\n", true, b"[2, \"x\"]"), (b"", false, b"{}")];
        assert_eq!((&seen[..], fields.end()), (&want[..], text.len() - 1));
        let mut items = Items::open(b"[1, \"x\",[]]", 0, 0).expect("an array");
        let mut spans = Vec::new();
        while let Some(item) = items.next_item().expect("well formed") {
            spans.push((item.start, item.end));
        }
        assert_eq!(spans, [(1, 2), (4, 7), (8, 10)]);
    }

    #[test]
    fn broken_objects_are_refused_once() {
        for bad in [
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{\"a\":1",
            "{",
            "{\"a\":1]",
        ] {
            let mut fields = Fields::open(bad.as_bytes(), 0, 0).expect("starts like an object");
            let flaw = loop {
                match fields.next_field() {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            assert_eq!(flaw, Err(Flaw::Json), "{bad}");
        }
    }
}
