//! Known keys as programs write them, to be compared in one look.
//!
//! Deliberately absent: keys that are written in another way, with white space or escapes; nobody expects
//! them.

use super::peek::{KNOWN_KEYS, Key};
use crate::wire::block::{BLOCK, Block};

/// The known keys as programs write them, in the order of the enum.
pub(super) static WRITTEN: [Written; KNOWN_KEYS] = {
    let mut written = [Written::of(""); KNOWN_KEYS];
    let mut at = 0;
    while at < KNOWN_KEYS {
        written[at] = Written::of(Key::ALL[at].text());
        at += 1;
    }
    written
};

/// A key as programs write it, with its quotes and the colon, in a form that is quick to compare.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    text: [u8; BLOCK],
    /// One bit for each byte of the text; more bits than a block has where the key is too long.
    bytes: u32,
    /// Length of the text in bytes.
    pub(super) length: usize,
}

impl Written {
    /// Bytes from a key's end to where its value may begin: quote and colon.
    pub(super) const BEHIND_KEY: usize = 2;

    /// The written form of a key, which has nothing to be escaped. One longer than 13 bytes is never found.
    pub(super) const fn of(key: &str) -> Self {
        let (key, mut text, mut at) = (key.as_bytes(), [0; BLOCK], 0);
        let length = 1 + key.len() + Self::BEHIND_KEY;
        if length > BLOCK {
            return Self { text, bytes: u32::MAX, length };
        }
        text[0] = b'"';
        while at < key.len() {
            text[1 + at] = key[at];
            at += 1;
        }
        text[length - 2] = b'"';
        text[length - 1] = b':';
        Self { text, bytes: (1 << length) - 1, length }
    }

    /// Does it stand at `at`, and a value behind it at once?
    #[inline(always)]
    pub(super) fn begins(&self, bytes: &[u8], at: usize) -> bool {
        let same = Block::at(bytes, at).map_or(0, |here| here.same(Block::of(&self.text)));
        same & self.bytes == self.bytes && bytes.get(at + self.length).is_some_and(|byte| *byte > b' ')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_as_it_is_written_and_in_no_other_way() {
        for key in Key::ALL {
            let written = &WRITTEN[*key as usize];
            let text = format!("x\"{}\":1                ", key.text());
            let fits = key.text().len() + 3 <= BLOCK;
            assert_eq!(written.begins(text.as_bytes(), 1), fits, "{text}");
            assert_eq!(written.length, key.text().len() + 3);
            for cut in 0..key.text().len() + 5 {
                assert!(!written.begins(&text.as_bytes()[..cut], 1), "{text} cut at {cut}");
            }
            for at in 1..=written.length {
                let mut other = text.clone().into_bytes();
                other[at] = if at == written.length { b'\t' } else { other[at] ^ 0x20 };
                assert!(!written.begins(&other, 1), "{text} changed at {at}");
            }
            for other in Key::ALL.iter().filter(|other| *other != key) {
                assert!(!WRITTEN[*other as usize].begins(text.as_bytes(), 1), "{text} {other:?}");
            }
        }
    }
}
