//! NH: a text as a sum of products under secret words. Every pair of its words, each plus a secret word, is
//! multiplied, and the products are added.
//!
//! Two texts of one length have the same sum with a chance of 2⁻⁶⁴, whatever they are, for whoever does not
//! know the secret words (Black, Halevi, Krawczyk, Krovetz, Rogaway: "UMAC: Fast and Secure Message
//! Authentication"), at a quarter of an instruction per byte. A sum must not be told, nor anything that
//! follows from it alone: it is compared, or hashed once more.
//! Deliberately absent: texts longer than the secret words, and telling texts of different lengths apart.

use super::tag::tag;

/// Secret words that follow from a key. Nothing else that is hashed under this key may have eight bytes.
pub(in crate::policy) fn secret_words<const N: usize>(key: [u64; 2]) -> [u64; N] {
    core::array::from_fn(|turn| tag(key, &(turn as u64).to_le_bytes())[0])
}

/// The sum of a text of at most as many words as are secret; what is missing of its last pair counts as zero.
#[inline]
pub(in crate::policy) fn sum(secret: &[u64], text: &[u8]) -> u128 {
    debug_assert!(text.len().div_ceil(16) <= secret.len() / 2);
    let product = |text: &[u8; 16], key: &[u64; 2]| {
        let (halves, _) = text.as_chunks::<8>();
        let word = |at: usize| u128::from(u64::from_le_bytes(halves[at]).wrapping_add(key[at]));
        word(0) * word(1)
    };
    let (pairs, rest) = text.as_chunks::<16>();
    let (keys, _) = secret.as_chunks::<2>();
    let whole = pairs.iter().zip(keys).fold(0_u128, |sum, (pair, key)| sum.wrapping_add(product(pair, key)));
    match keys.get(pairs.len()) {
        Some(key) if !rest.is_empty() => {
            let mut last = [0; 16];
            last[..rest.len()].copy_from_slice(rest);
            whole.wrapping_add(product(&last, key))
        }
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word by word.
    #[test]
    fn a_sum_is_what_its_definition_says() {
        let secret: [u64; 128] = secret_words([5, 6]);
        for len in [0_usize, 1, 8, 9, 16, 17, 48, 1000, 1024] {
            let text: Vec<u8> = (0..len).map(|at| (at * 31 + 7) as u8).collect();
            let mut padded = text.clone();
            padded.resize(len.next_multiple_of(16), 0);
            let word = |at: usize| u64::from_le_bytes(padded[at * 8..][..8].try_into().unwrap());
            let mut want = 0_u128;
            for pair in 0..padded.len() / 16 {
                let factor = |at: usize| u128::from(word(at).wrapping_add(secret[at]));
                want = want.wrapping_add(factor(2 * pair) * factor(2 * pair + 1));
            }
            assert_eq!(sum(&secret, &text), want, "{len}");
        }
    }

    #[test]
    fn secret_words_differ_and_depend_on_the_key() {
        let (one, other): ([u64; 32], [u64; 32]) = (secret_words([1, 2]), secret_words([1, 3]));
        let all: std::collections::HashSet<u64> = one.into_iter().chain(other).collect();
        assert_eq!(all.len(), 64);
    }
}
