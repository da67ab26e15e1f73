//! The numbers inside prompts and answers, by which both sides prove that nothing was lost, doubled,
//! reordered, changed or given to somebody else.
//!
//! ```text
//!  prompt   q=RRRRRRRRRRRRRRRR LLLLLLLL w00000 w00001 …      R request, L bytes of the words
//!  content  RRRRRRRRRRRRRRRR NNNNNNNN TTTTTTTTTTTTTTTTTTTT w00000 …
//!           R as in the prompt, N event from 1 (0: not streamed), T CLOCK_MONOTONIC nanoseconds
//! ```
//! All are decimal with leading zeros, so that they are replaced in place and the sizes never change.
//! Deliberately absent: the JSON around them.

use core::fmt::Write;
use core::ops::Range;

use memchr::{memchr, memmem};

/// What a prompt of ours begins with, behind the name of its member.
pub(crate) const PROMPT: &str = "\"content\":\"q=";
/// Digits of a request's number.
pub(crate) const REQUEST_DIGITS: usize = 16;
/// Digits of an event's number, and of a prompt's length.
pub(crate) const NUMBER_DIGITS: usize = 8;
/// Digits of a time.
pub(crate) const TIME_DIGITS: usize = 20;
/// Where the numbers stand in a content.
const REQUEST: Range<usize> = 0..REQUEST_DIGITS;
const NUMBER: Range<usize> = REQUEST.end + 1..REQUEST.end + 1 + NUMBER_DIGITS;
const TIME: Range<usize> = NUMBER.end + 1..NUMBER.end + 1 + TIME_DIGITS;
/// Bytes of a content before its words.
pub(crate) const WORDS_AT: usize = TIME.end + 1;

/// `bytes` bytes of numbered words: no two stretches of a word's length are alike within a megabyte.
pub(crate) fn words(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 8);
    let mut number = 0_u32;
    while text.len() < bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "w{:05x} ", number & 0xF_FFFF);
        number += 1;
    }
    text.truncate(bytes);
    text
}

/// A content with zeros for numbers.
pub(crate) fn blank_content(words: &str) -> String {
    format!("{:016} {:08} {:020} {words}", 0, 0, 0)
}

/// Puts numbers into a content.
pub(crate) fn fill_content(content: &mut [u8], request: u64, number: u64, time_ns: u64) {
    put(&mut content[REQUEST], request);
    put(&mut content[NUMBER], number);
    put(&mut content[TIME], time_ns);
}

/// The numbers of a content, and its words.
pub(crate) fn read_content(content: &[u8]) -> Option<(u64, u64, u64, &[u8])> {
    let (numbers, words) = content.split_at_checked(WORDS_AT)?;
    let spaced = [REQUEST.end, NUMBER.end, TIME.end].iter().all(|at| numbers[*at] == b' ');
    let (request, number) = (decimal(&numbers[REQUEST])?, decimal(&numbers[NUMBER])?);
    spaced.then_some((request, number, decimal(&numbers[TIME])?, words))
}

/// The text of a prompt with `words`, for request 0.
pub(crate) fn blank_prompt(words: &str) -> String {
    format!("q={:016} {:08} {words}", 0, words.len())
}

/// The request's number if `body` has a prompt of ours in it, as it was sent; `Ok(None)` for another prompt.
///
/// # Errors
/// The prompt is ours and was changed.
pub(crate) fn read_prompt(body: &[u8], words: &[u8]) -> Result<Option<u64>, &'static str> {
    let Some(at) = memmem::find(body, PROMPT.as_bytes()) else { return Ok(None) };
    let prompt = &body[at + PROMPT.len()..];
    let end = memchr(b'"', prompt).ok_or("a prompt without an end")?;
    let (numbers, rest) =
        prompt[..end].split_at_checked(REQUEST_DIGITS + NUMBER_DIGITS + 2).ok_or("a short prompt")?;
    let request = decimal(&numbers[..REQUEST_DIGITS]).ok_or("a request's number that is none")?;
    let length = decimal(&numbers[REQUEST_DIGITS + 1..][..NUMBER_DIGITS]).ok_or("a length that is none")?;
    if length != rest.len() as u64 {
        return Err("a prompt of another length");
    }
    // Longer prompts than the scenario's come from a client with another file; their length is checked.
    let compared = rest.len().min(words.len());
    if rest[..compared] == words[..compared] { Ok(Some(request)) } else { Err("a prompt with other words") }
}

/// Writes `value` with leading zeros; digits that do not fit are lost, which takes centuries.
pub(crate) fn put(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_carry_their_numbers() {
        let mut content = blank_content(&words(20)).into_bytes();
        fill_content(&mut content, 42, 7, 1_234_567_890_123);
        assert_eq!(content, b"0000000000000042 00000007 00000001234567890123 w00000 w00001 w00002");
        assert_eq!(read_content(&content), Some((42, 7, 1_234_567_890_123, &b"w00000 w00001 w00002"[..])));
        for at in 0..WORDS_AT {
            let mut broken = content.clone();
            broken[at] = b'x';
            assert_eq!(read_content(&broken), None, "{at}");
            assert_eq!(read_content(&content[..at]), None, "{at}");
        }
    }

    #[test]
    fn prompts_are_checked() {
        let words = words(100);
        let prompt = blank_prompt(&words).replace("q=0000000000000000", "q=0000000000000042");
        let body = format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"{prompt}\"}}]}}");
        let read = |body: &str| read_prompt(body.as_bytes(), words.as_bytes());
        assert_eq!(read(&body), Ok(Some(42)));
        assert_eq!(read("{\"content\":\"hello\"}"), Ok(None));
        assert_eq!(read(&body.replace("w00001 ", "")), Err("a prompt of another length"));
        assert_eq!(read(&body.replace("w00001", "w00007")), Err("a prompt with other words"));
        assert_eq!(read(&body.replace("q=0", "q=x")), Err("a request's number that is none"));
        assert_eq!(read(&body[..60]), Err("a prompt without an end"));
        assert_eq!(read("{\"content\":\"q=1\"}"), Err("a short prompt"));
    }
}
