//! SipHash-2-4 with 128 bits of output (Aumasson, Bernstein: "SipHash: a fast short-input PRF"): a keyed tag
//! of a short text, which nobody can compute, or guess a partner for, without the key.
//!
//! Two rounds per word and four at the end, as its authors propose for authentication: what is tagged must
//! not be taken for another's, so the quicker function of hash tables is not enough.
//!
//! Deliberately absent: texts that come in parts, the output of 64 bits, and what tags are for.

/// The four words of state of a message of whole words, taken one by one. What tells where the message ends
/// must be in it.
pub(in crate::policy) struct Tagger([u64; 4]);

impl Tagger {
    #[inline(always)]
    pub(in crate::policy) const fn new(key: [u64; 2]) -> Self {
        Self([
            key[0] ^ 0x736f_6d65_7073_6575,
            key[1] ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            key[0] ^ 0x6c79_6765_6e65_7261,
            key[1] ^ 0x7465_6462_7974_6573,
        ])
    }

    #[inline(always)]
    const fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32).wrapping_add(d);
        c = c.wrapping_add(b);
        d = d.rotate_left(21) ^ a;
        b = b.rotate_left(17) ^ c;
        self.0 = [a, b, c.rotate_left(32), d];
    }

    /// The next word.
    #[inline(always)]
    pub(in crate::policy) const fn take(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
    }

    /// The tag of all words that were taken.
    #[inline(always)]
    pub(in crate::policy) fn finish(mut self) -> [u64; 2] {
        self.0[2] ^= 0xee;
        let first = self.word();
        self.0[1] ^= 0xdd;
        [first, self.word()]
    }

    #[inline(always)]
    fn word(&mut self) -> u64 {
        (0..4).for_each(|_| self.round());
        self.0.iter().fold(0, |word, part| word ^ part)
    }
}

/// The tag of `text` under `key`.
pub(in crate::policy) fn tag(key: [u64; 2], text: &[u8]) -> [u64; 2] {
    let mut tagger = Tagger::new(key);
    let (words, rest) = text.as_chunks::<8>();
    for word in words {
        tagger.take(u64::from_le_bytes(*word));
    }
    // The last word: what is left of the text, and its length in the highest byte.
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = text.len() as u8;
    tagger.take(u64::from_le_bytes(last));
    tagger.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the authors' `vectors.h` (`vectors_sip128`): the key is the bytes 0 to 15, the text those from 0
    /// on.
    #[test]
    fn the_authors_vectors_hold() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let check = |length: u8, want: [u8; 16]| {
            let text: Vec<u8> = (0..length).collect();
            let bytes: Vec<u8> = tag(key, &text).iter().flat_map(|word| word.to_le_bytes()).collect();
            assert_eq!(bytes, want, "{length} bytes");
        };
        check(0, 0xa3817f04ba25a8e66df67214c7550293_u128.to_be_bytes());
        check(1, 0xda87c1d86b99af44347659119b22fc45_u128.to_be_bytes());
        check(2, 0x8177228da4a45dc7fca38bdef60affe4_u128.to_be_bytes());
        check(3, 0x9c70b60c5267a94e5f33b6b02985ed51_u128.to_be_bytes());
        check(15, 0x5493e99933b0a8117e08ec0f97cfc3d9_u128.to_be_bytes());
    }

    #[test]
    fn a_tag_depends_on_every_byte_and_both_words_of_the_key() {
        let text = *b"sk-mr-0123456789012345678901234567890123456789abc";
        let want = tag([1, 2], &text);
        for at in 0..text.len() {
            let mut other = text;
            other[at] ^= 1;
            let found = tag([1, 2], &other);
            assert!(found[0] != want[0] && found[1] != want[1], "{at}");
            assert_ne!(tag([1, 2], &text[..at]), want);
        }
        assert!(tag([0, 2], &text) != want && tag([1, 3], &text) != want);
    }
}
