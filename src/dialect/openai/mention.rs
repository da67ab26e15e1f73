//! Could an event be an error, or report usage? The question every event is asked, so it is answered in one
//! walk over its bytes, many at a time.
//!
//! Inside a JSON string a quote is always escaped, so text of the model can never look like what is sought.
//! Deliberately absent: what the event says then (`report`).

use crate::wire::json::scan::skip_space;

const ERROR: &[u8] = b"\"error\"";
const USAGE: &[u8] = b"\"usage\"";

/// Both words have this length.
const WORD: usize = ERROR.len();
/// Positions looked at in one go.
const BLOCK: usize = 64;
/// Bytes that says something about: a word may begin at the last position.
const REACH: usize = BLOCK + WORD - 1;

const _: () = assert!(USAGE.len() == WORD);

/// True when `"error"` is in the event as a key with a value that is not `null` (many servers send
/// `"error":null` with every event) or as a value (`"object":"error"`), or `"usage"` as a key with a value
/// that is not `null`.
pub(super) fn error_or_usage(data: &[u8]) -> bool {
    match data.last_chunk::<REACH>() {
        Some(last) => !blocks_are_clear::<false>(data, last),
        None => (0..data.len()).any(|at| data[at] == b'"' && says(data, at)),
    }
}

/// True for one line in which none of that is. False for short ones too: they need no such haste.
pub(super) fn is_plain(data: &[u8]) -> bool {
    data.last_chunk::<REACH>().is_some_and(|last| {
        // The last block ends with the position where a word may begin last.
        blocks_are_clear::<true>(data, last) && !last[BLOCK..].iter().any(|byte| is_control(*byte))
    })
}

/// Goes through `data` in blocks, of which `last` is the last and may overlap the one before it: does no
/// word that counts begin in any of them? With `ONE_LINE` no control byte may be in them either: it could
/// be a line end, and JSON on one line needs none.
#[inline(always)]
fn blocks_are_clear<const ONE_LINE: bool>(data: &[u8], last: &[u8; REACH]) -> bool {
    let end = data.len() - REACH;
    let mut at = 0;
    loop {
        let (from, block) = match data[at..].first_chunk::<REACH>() {
            Some(block) if at < end => (at, block),
            _ => (end, last),
        };
        if is_suspect::<ONE_LINE>(block)
            && ((ONE_LINE && has_control(block)) || any_says(data, from, block, at.max(from) - from))
        {
            return false;
        }
        if from == end {
            return true;
        }
        at += BLOCK;
    }
}

const fn is_control(byte: u8) -> bool {
    byte < b' '
}

fn has_control(bytes: &[u8; REACH]) -> bool {
    bytes[..BLOCK].iter().fold(false, |found, byte| found | is_control(*byte))
}

/// One mark per position where a word may begin: where both quotes and the first letter fit. The letters,
/// `e` and `u`, differ in one bit. Every position is looked at, without a branch, and the three bytes of a
/// position come from three slices: that lets the compiler take sixteen positions at a time.
#[inline(always)]
fn marks(bytes: &[u8; REACH]) -> [u8; BLOCK] {
    let (opening, letter, closing) = (&bytes[..BLOCK], &bytes[1..=BLOCK], &bytes[WORD - 1..]);
    core::array::from_fn(|at| {
        let differs = (opening[at] ^ b'"') | (closing[at] ^ b'"') | ((letter[at] | 0x10) ^ b'u');
        u8::from(differs == 0)
    })
}

/// May one of the words begin at one of the first `BLOCK` positions, or with `ONE_LINE`, is a control byte
/// there? The quote and the first letter decide: hardly any other text begins with these letters, and a
/// third look at every position costs more than a closer one at those.
#[inline(always)]
fn is_suspect<const ONE_LINE: bool>(bytes: &[u8; REACH]) -> bool {
    let (opening, letter) = (&bytes[..BLOCK], &bytes[1..=BLOCK]);
    let suspects: [u8; BLOCK] = core::array::from_fn(|at| {
        let differs = (opening[at] ^ b'"') | ((letter[at] | 0x10) ^ b'u');
        u8::from(differs == 0) | u8::from(ONE_LINE && is_control(opening[at]))
    });
    suspects.iter().fold(0, |found, mark| found | mark) != 0
}

/// Does one of the words begin in the block at `from`, at its position `first` or behind it, and count?
fn any_says(data: &[u8], from: usize, bytes: &[u8; REACH], first: usize) -> bool {
    let marks = marks(bytes);
    marks.as_chunks::<8>().0.iter().enumerate().any(|(turn, eight)| {
        let mut word = u64::from_le_bytes(*eight);
        while word != 0 {
            let at = 8 * turn + word.trailing_zeros() as usize / 8;
            if at >= first && says(data, from + at) {
                return true;
            }
            word &= word - 1;
        }
        false
    })
}

fn says(data: &[u8], at: usize) -> bool {
    let as_value = match data.get(at..at + WORD) {
        Some(ERROR) => true,
        Some(USAGE) => false,
        Some(_) | None => return false,
    };
    let behind = skip_space(data, at + WORD);
    match data.get(behind) {
        Some(b':') => !data[skip_space(data, behind + 1)..].starts_with(b"null"),
        _ => as_value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: bool) {
        // At every place of a longer event, so that a word begins everywhere in a block and across its end.
        for before in (0..=2 * REACH).chain([500]) {
            for after in [0, 1, WORD - 1, WORD, BLOCK, REACH, 200] {
                let event = format!("{}{text}{}", "x".repeat(before), ",".repeat(after));
                let found = error_or_usage(event.as_bytes());
                assert_eq!(found, want, "{text} behind {before} bytes and before {after}");
                let plain = !want && event.len() >= REACH && !text.contains('\t');
                assert_eq!(is_plain(event.as_bytes()), plain, "{text} behind {before} and before {after}");
            }
        }
    }

    #[test]
    fn words_are_found_wherever_they_are() {
        check("\"error\":{\"code\":500}", true);
        check("\"error\" : \"x\"", true);
        check("\"usage\":{\"prompt_tokens\":1}", true);
        check("\"usage\" :\t1", true);
        check("\"object\":\"error\"}", true);
    }

    #[test]
    fn what_only_looks_like_them_is_not() {
        check("\"error\":null", false);
        check("\"usage\": null", false);
        check("\"error\":null,\"usage\":null", false);
        check("\"object\":\"usage\"}", false);
        check("\"errors\":1", false);
        check("\"email\":1,\"extra\":\"until\"", false);
        check("error usage", false);
        check("\"usage", false);
        check("", false);
    }

    #[test]
    fn a_null_does_not_hide_a_later_one() {
        check("\"error\":null,\"usage\":{}", true);
        check("\"usage\":null,\"delta\":{},\"error\":{}", true);
    }

    #[test]
    fn no_line_end_is_overlooked() {
        for len in REACH..3 * REACH {
            let mut event = vec![b'x'; len];
            assert!(is_plain(&event));
            for at in 0..len {
                for byte in [b'\n', b'\r', 0, 0x1f] {
                    event[at] = byte;
                    assert!(!is_plain(&event), "{byte} at {at} of {len}");
                }
                event[at] = 0xff;
                assert!(is_plain(&event));
                event[at] = b'x';
            }
        }
    }
}
