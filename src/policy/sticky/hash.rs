//! The keyed hash of a conversation: nobody who does not know the process's key can find two texts with the
//! same digest, or a text with the digest of somebody else's.
//!
//! Short texts are hashed as they are (SipHash with 128 bits). Of a long one, each block of a kibibyte is
//! first condensed to 128 bits by NH: every pair of words, each plus a secret word, is multiplied, and the
//! products are added. Two different blocks have the same sum with a chance of 2⁻⁶⁴ (Black, Halevi, Krawczyk,
//! Krovetz, Rogaway: "UMAC: Fast and Secure Message Authentication"), at a quarter of an instruction per
//! byte.
//! Deliberately absent: what is hashed, and texts beyond [`TEXT_BYTES`].

use crate::policy::auth::tag::tag;

/// Bytes of each text that count.
pub(super) const TEXT_BYTES: usize = 4096;
/// Bytes that are condensed at a time.
const BLOCK_BYTES: usize = 1024;
/// Secret words: one per word of a block.
const WORDS: usize = BLOCK_BYTES / 8;
/// Bytes of a condensed block.
const SUM_BYTES: usize = 16;
/// A text of up to this many bytes is taken as it is.
const SHORT_BYTES: usize = TEXT_BYTES / BLOCK_BYTES * SUM_BYTES;

/// The key: two words, and what follows from them.
pub(super) struct Secret {
    key: [u64; 2],
    words: Box<[u64; WORDS]>,
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is hashed in the end, put together without allocation.
struct Message {
    bytes: [u8; 16 + 2 * (4 + SHORT_BYTES)],
    len: usize,
}

impl Message {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

impl Secret {
    pub(super) fn new(key: [u64; 2]) -> Self {
        let mut words = Box::new([0; WORDS]);
        for (turn, word) in (0_u64..).zip(words.iter_mut()) {
            // Nothing else that is hashed under this key has eight bytes.
            *word = tag(key, &turn.to_le_bytes())[0];
        }
        Self { key, words }
    }

    /// The digest of an account's texts, of which the first [`TEXT_BYTES`] count. `kind` keeps digests of
    /// different kinds apart.
    pub(super) fn digest(&self, account: u64, kind: u8, texts: [&[u8]; 2]) -> [u64; 2] {
        let mut message = Message { bytes: [0; 16 + 2 * (4 + SHORT_BYTES)], len: 0 };
        message.push(&account.to_le_bytes());
        message.push(&[kind; 8]);
        for text in texts {
            let text = &text[..text.len().min(TEXT_BYTES)];
            message.push(&(text.len() as u32).to_le_bytes());
            if text.len() <= SHORT_BYTES {
                message.push(text);
                continue;
            }
            for block in text.chunks(BLOCK_BYTES) {
                message.push(&self.sum(block).to_le_bytes());
            }
        }
        tag(self.key, &message.bytes[..message.len])
    }

    /// NH of one block; what is missing of a pair of words counts as zero.
    fn sum(&self, block: &[u8]) -> u128 {
        let word = |half: &[u8; 8]| u64::from_le_bytes(*half);
        let product = |text: [u64; 2], key: &[u64; 2]| {
            u128::from(text[0].wrapping_add(key[0])) * u128::from(text[1].wrapping_add(key[1]))
        };
        let (pairs, rest) = block.as_chunks::<16>();
        let (keys, _) = self.words.as_chunks::<2>();
        let split = |pair: &[u8; 16]| {
            let (halves, _) = pair.as_chunks::<8>();
            [word(&halves[0]), word(&halves[1])]
        };
        let whole = pairs
            .iter()
            .zip(keys)
            .fold(0_u128, |sum, (pair, key)| sum.wrapping_add(product(split(pair), key)));
        match keys.get(pairs.len()) {
            Some(key) if !rest.is_empty() => {
                let mut last = [0; 16];
                last[..rest.len()].copy_from_slice(rest);
                whole.wrapping_add(product(split(&last), key))
            }
            _ => whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_byte_length_kind_and_account_counts() {
        let secret = Secret::new([1, 2]);
        let mut seen = HashSet::new();
        let mut fresh = |digest: [u64; 2]| seen.insert(digest[0]) && seen.insert(digest[1]);
        let text: Vec<u8> = (0..TEXT_BYTES).map(|at| (at * 7) as u8).collect();
        for len in (0..200).chain([1023, 1024, 1025, 2048, 4095, 4096]) {
            assert!(fresh(secret.digest(0, 0, [&text[..len], &[]])), "{len}");
            assert!(len == 0 || fresh(secret.digest(0, 0, [&[], &text[..len]])), "second, {len}");
        }
        for at in (0..TEXT_BYTES).step_by(13) {
            let mut other = text.clone();
            other[at] ^= 0x80;
            assert!(fresh(secret.digest(0, 0, [&other, &[]])), "byte {at}");
            assert!(fresh(secret.digest(0, 0, [&[], &other[..=at]])), "up to {at}");
        }
        assert!(fresh(secret.digest(1, 0, [b"a", b"b"])));
        assert!(fresh(secret.digest(0, 1, [b"a", b"b"])));
        assert!(fresh(secret.digest(0, 0, [b"ab", b""])));
        assert!(fresh(secret.digest(0, 0, [b"a", b"b"])));
        assert!(fresh(Secret::new([1, 3]).digest(0, 0, [b"a", b"b"])));
        assert!(fresh(Secret::new([0, 2]).digest(0, 0, [&text, b"b"])));
    }

    #[test]
    fn what_is_beyond_the_bound_does_not_count() {
        let secret = Secret::new([1, 2]);
        let long = vec![b'x'; TEXT_BYTES + 1];
        assert_eq!(secret.digest(0, 0, [&long, &[]]), secret.digest(0, 0, [&long[1..], &[]]));
    }

    /// The definition, word by word.
    #[test]
    fn a_sum_is_what_its_definition_says() {
        let secret = Secret::new([5, 6]);
        for len in [1_usize, 8, 9, 16, 17, 1000, 1024] {
            let block: Vec<u8> = (0..len).map(|at| (at * 31 + 7) as u8).collect();
            let mut padded = block.clone();
            padded.resize(len.next_multiple_of(16), 0);
            let word = |at: usize| u64::from_le_bytes(padded[at * 8..][..8].try_into().unwrap());
            let mut want = 0_u128;
            for pair in 0..padded.len() / 16 {
                let factor = |at: usize| u128::from(word(at).wrapping_add(secret.words[at]));
                want = want.wrapping_add(factor(2 * pair) * factor(2 * pair + 1));
            }
            assert_eq!(secret.sum(&block), want, "{len}");
        }
    }
}
