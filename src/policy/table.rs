//! Look-up tables of the snapshot: ids and digests to rows.
//!
//! Who fills these tables is the operator, and clients only look things up in them, so nobody can make a
//! chain of collisions long: the hash may be a plain one. The standard one costs more than the rest of a
//! look-up.
//! Deliberately absent: tables that a client can add to.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;

/// Rows by name.
pub type ByName<V> = HashMap<Box<str>, V, BuildHasherDefault<NameHasher>>;

/// Rows by SHA-256.
pub type ByDigest<V> = HashMap<[u8; 32], V, BuildHasherDefault<DigestHasher>>;

/// Hashes short texts, eight bytes at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameHasher(u64);

/// Takes a part of a digest as its hash: all bits of a digest are as good as random.
#[derive(Clone, Copy, Debug, Default)]
pub struct DigestHasher(u64);

impl NameHasher {
    /// Folds the 128-bit product, so that each bit of the input reaches high and low bits: the table takes
    /// its slot from the low ones and its tag from the high ones.
    fn mix(&mut self, word: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.0 ^ word) * u128::from(ODD);
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        // The length goes in first: texts that differ in zero bytes at the end only are different texts.
        self.0 ^= (bytes.len() as u64) << 56;
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            self.mix(rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    /// The end mark of a `str`: one text per look-up needs none.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        // Once more, for texts of one word.
        let mut last = *self;
        last.mix(0x51_7cc1_b727);
        last.0
    }
}

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(word) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*word);
        }
    }

    /// The length of the digest is always the same.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hash::{BuildHasher, Hash};
    use std::collections::HashSet;

    fn hash<H: Hasher + Default>(value: impl Hash) -> u64 {
        BuildHasherDefault::<H>::default().hash_one(value)
    }

    #[test]
    fn names_are_found_and_others_are_not() {
        let name = |turn: u32| format!("author-{}/model-{turn}", turn % 40);
        let table: ByName<u32> = (0..5000).map(|turn| (name(turn).into(), turn)).collect();
        assert!((0..5000).all(|turn| table.get(&*name(turn)) == Some(&turn)));
        assert!((5000..6000).all(|turn| !table.contains_key(&*name(turn))));
    }

    #[test]
    fn names_spread_over_slots_and_tags() {
        let names: Vec<String> = (0..4096).map(|turn| format!("author/model-{turn}")).collect();
        let low: HashSet<u64> = names.iter().map(|name| hash::<NameHasher>(&**name) & 0xFFFF).collect();
        let high: HashSet<u64> = names.iter().map(|name| hash::<NameHasher>(&**name) >> 48).collect();
        // 4096 random draws out of 65,536 hit about 3,970 different ones.
        assert!(low.len() > 3800 && high.len() > 3800, "{} {}", low.len(), high.len());
    }

    #[test]
    fn short_names_differ_too() {
        let names = ["", "\0", "\0\0", "a", "b", "ab", "ba", "abcdefgh", "abcdefgh\0", "abcdefg"];
        let hashes: HashSet<u64> = names.iter().map(|name| hash::<NameHasher>(*name)).collect();
        assert_eq!(hashes.len(), names.len());
    }

    #[test]
    fn a_digest_is_its_own_hash() {
        let mut digest = [0_u8; 32];
        digest[..9].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(hash::<DigestHasher>(digest), 0x0807_0605_0403_0201);
    }
}
