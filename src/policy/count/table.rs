//! The tokens of one vocabulary and their ranks: a byte string to a number, in one open-addressed table.
//!
//! Counting needs nothing else of a vocabulary, and that makes it small: the tokens' bytes in a row, and
//! eight bytes per slot that say where they are, how long, at which rank, with enough of the hash that a
//! wrong slot is hardly ever looked into.
//! Deliberately absent: what ranks are for (`merge`).

/// Where a token's bytes begin: 24 bits, length: 10, rank: 18, and 12 of the hash.
#[derive(Clone, Copy, Debug)]
struct Slot(u64);

const LENGTH_AT: u32 = 24;
const RANK_AT: u32 = 34;
const TAG_AT: u32 = 52;
const RANK_BITS: u32 = TAG_AT - RANK_AT;

/// Longest token, in bytes. The longest there is are 512 spaces.
const TOKEN_BYTES: usize = 0x3ff;
/// What no vocabulary has so many tokens of.
pub(super) const RANKS: u32 = 1 << RANK_BITS;
/// A rank that is none.
pub(super) const NO_RANK: u32 = u32::MAX;

impl Slot {
    /// No token begins that late: [`Table::insert`] sees to it.
    const EMPTY: Self = Self(u64::MAX);

    const fn start(self) -> usize {
        (self.0 & 0xff_ffff) as usize
    }

    const fn length(self) -> usize {
        (self.0 >> LENGTH_AT) as usize & TOKEN_BYTES
    }

    const fn rank(self) -> u32 {
        (self.0 >> RANK_AT) as u32 & (RANKS - 1)
    }
}

/// The table. Immutable once it is filled.
#[derive(Debug)]
pub(super) struct Table {
    slots: Box<[Slot]>,
    /// Number of slots minus one: all bits set.
    mask: usize,
    /// The tokens, one behind the other.
    bytes: Vec<u8>,
    tokens: usize,
}

impl Table {
    /// With room for so many tokens of so many bytes in all.
    pub(super) fn with_room(tokens: usize, bytes: usize) -> Self {
        // At most two thirds full: most look-ups are for strings that are no token.
        let slots = (tokens + tokens / 2 + 2).next_power_of_two();
        Self {
            slots: vec![Slot::EMPTY; slots].into_boxed_slice(),
            mask: slots - 1,
            bytes: Vec::with_capacity(bytes),
            tokens: 0,
        }
    }

    /// Adds a token unless it is there already. False when it does not fit: too long, too high a rank, or
    /// no room.
    pub(super) fn insert(&mut self, token: &[u8], rank: u32) -> bool {
        let start = self.bytes.len();
        let fits = !token.is_empty()
            && token.len() <= TOKEN_BYTES
            && rank < RANKS
            && start + token.len() < 0xff_ffff
            && self.tokens < self.mask;
        if !fits {
            return false;
        }
        let hash = hash(token);
        let mut at = hash as usize & self.mask;
        while self.slots[at].0 != Slot::EMPTY.0 {
            if self.holds(self.slots[at], hash, token) {
                return true;
            }
            at = (at + 1) & self.mask;
        }
        self.bytes.extend_from_slice(token);
        self.tokens += 1;
        let place = start as u64 | (token.len() as u64) << LENGTH_AT | u64::from(rank) << RANK_AT;
        self.slots[at] = Slot(place | hash >> TAG_AT << TAG_AT);
        true
    }

    /// The rank of a token; [`NO_RANK`] when it is none.
    #[inline]
    pub(super) fn rank(&self, token: &[u8]) -> u32 {
        let hash = hash(token);
        let mut at = hash as usize & self.mask;
        loop {
            let slot = self.slots[at & self.mask];
            if slot.0 == Slot::EMPTY.0 {
                return NO_RANK;
            }
            if self.holds(slot, hash, token) {
                return slot.rank();
            }
            at += 1;
        }
    }

    #[inline(always)]
    fn holds(&self, slot: Slot, hash: u64, token: &[u8]) -> bool {
        (slot.0 ^ hash) >> TAG_AT == 0
            && slot.length() == token.len()
            && self.bytes.get(slot.start()..).is_some_and(|bytes| bytes.starts_with(token))
    }

    /// All of them.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let used = self.slots.iter().filter(|slot| slot.0 != Slot::EMPTY.0);
        used.map(|slot| &self.bytes[slot.start()..][..slot.length()])
    }

    /// How many tokens it holds.
    pub(super) const fn tokens(&self) -> usize {
        self.tokens
    }

    /// Bytes of memory it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.slots.len() * size_of::<Slot>()
    }
}

/// Spreads the bytes of a token over 64 bits. Not for strangers to defeat: what is in the table is fixed,
/// and a text that is built to collide makes a look-up longer by the slots in a row, which are few.
#[inline(always)]
fn hash(token: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut word = token.len() as u64;
    if let (Some(first), Some(last)) = (token.first_chunk::<8>(), token.last_chunk::<8>()) {
        let mut rest = token;
        if token.len() > 16 {
            while let Some((eight, behind)) = rest.split_first_chunk::<8>() {
                word = (word ^ u64::from_le_bytes(*eight)).wrapping_mul(FACTOR);
                word ^= word >> 29;
                rest = behind;
            }
        } else {
            word = (word ^ u64::from_le_bytes(*first)).wrapping_mul(FACTOR);
            word ^= word >> 29;
        }
        word ^= u64::from_le_bytes(*last);
    } else if let (Some(first), Some(last)) = (token.first_chunk::<4>(), token.last_chunk::<4>()) {
        word ^= u64::from(u32::from_le_bytes(*first)) << 8 ^ u64::from(u32::from_le_bytes(*last)) << 32;
    } else if let (Some(first), Some(last)) = (token.first(), token.last()) {
        let middle = token[token.len() / 2];
        word ^= u64::from(*first) << 8 | u64::from(middle) << 16 | u64::from(*last) << 24;
    }
    let mixed = word.wrapping_mul(FACTOR);
    (mixed ^ mixed >> 32).wrapping_mul(FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_in_comes_out() {
        let words: Vec<Vec<u8>> =
            (0..3000_u32).map(|turn| turn.to_string().repeat(1 + turn as usize % 9).into_bytes()).collect();
        let mut table = Table::with_room(words.len(), 0);
        for (rank, word) in (0..).zip(&words) {
            assert!(table.insert(word, rank));
        }
        let first = |word: &[u8]| words.iter().position(|other| other == word).expect("one of them") as u32;
        for word in &words {
            assert_eq!(table.rank(word), first(word), "the first of two counts");
        }
        for other in [&b""[..], b"x", b"12x", b"123456789x", b"12345678901234567890x"] {
            assert_eq!(table.rank(other), NO_RANK, "{other:?}");
        }
        assert!(table.tokens() <= words.len());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut table = Table::with_room(2, 0);
        assert!(!table.insert(b"", 1));
        assert!(!table.insert(&[b'x'; TOKEN_BYTES + 1], 1));
        assert!(!table.insert(b"x", RANKS));
        assert!(table.insert(&[b'x'; TOKEN_BYTES], 1) && table.insert(b"y", RANKS - 1));
        assert_eq!((table.rank(&[b'x'; TOKEN_BYTES]), table.rank(b"y")), (1, RANKS - 1));
        for word in b"abcdefg" {
            table.insert(&[*word], 1);
        }
        assert!(!table.insert(b"z", 1), "one slot must stay empty");
        assert_eq!(table.rank(b"z"), NO_RANK);
    }
}
