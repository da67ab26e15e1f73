//! The keyed hash of a conversation: nobody who does not know the process's key can find two texts with the
//! same digest, or a text with the digest of somebody else's.
//!
//! Each block of a kibibyte of a text is first condensed to 128 bits (`policy::auth::sum`); two different
//! ones have the same sum with a chance of 2⁻⁶⁴. What belongs together is then hashed: account, kind, lengths
//! and sums (SipHash with 128 bits).
//! Deliberately absent: what is hashed, and texts beyond [`TEXT_BYTES`].

use crate::policy::auth::sum::{secret_words, sum};
use crate::policy::auth::tag::Tagger;

/// Bytes of each text that count.
pub(super) const TEXT_BYTES: usize = 4096;
/// Bytes that are condensed at a time.
const BLOCK_BYTES: usize = 1024;
/// Secret words: one per word of a block.
const WORDS: usize = BLOCK_BYTES / 8;

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

impl Secret {
    pub(super) fn new(key: [u64; 2]) -> Self {
        Self { key, words: Box::new(secret_words(key)) }
    }

    /// The digest of an account's texts, of which the first [`TEXT_BYTES`] count. `kind` keeps digests of
    /// different kinds apart.
    pub(super) fn digest(&self, account: u64, kind: u8, texts: [&[u8]; 2]) -> [u64; 2] {
        let texts = texts.map(|text| &text[..text.len().min(TEXT_BYTES)]);
        let [first, second] = texts.map(|text| text.len() as u64);
        let mut tagger = Tagger::new(self.key);
        tagger.take(account);
        // The lengths say how many sums follow. The highest byte stays zero, so this is no text of eight
        // bytes, which is what the secret words are made of.
        tagger.take(u64::from(kind) | first << 8 | second << 32);
        for text in texts {
            for block in text.chunks(BLOCK_BYTES) {
                let sum = sum(&*self.words, block);
                tagger.take(sum as u64);
                tagger.take((sum >> 64) as u64);
            }
        }
        tagger.finish()
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
}
