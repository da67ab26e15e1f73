//! Small typed numbers for the rows of the snapshot's tables, and the generation id that clients see.
//!
//! Deliberately absent: names (the catalogue has them) and randomness (it is an argument).

use crate::base::time::UnixSeconds;

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// Position in its table.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

row_id!(
    /// Row of `Snapshot::providers`.
    ProviderId
);
row_id!(
    /// Row of `Snapshot::endpoints`.
    EndpointId
);
row_id!(
    /// Row of `Snapshot::models`.
    ModelId
);
row_id!(
    /// Row of `Snapshot::keys`.
    KeyId
);
row_id!(
    /// Row of `Snapshot::hosts`.
    HostId
);
row_id!(
    /// A pool of interchangeable upstream connections: scheme, host, port, SNI, verification and credential
    /// are equal. Stays the same across snapshots as long as none of these changes.
    PoolId
);

/// The id of one generation, as clients see it: `gen-<unix seconds>-<20 characters>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GenerationId {
    bytes: [u8; Self::LEN],
}

impl GenerationId {
    /// Length of the text in bytes: `gen-`, ten digits, `-`, twenty letters.
    pub const LEN: usize = 35;

    /// Builds the id from wall time and 120 bits of the given random words.
    #[must_use]
    pub fn new(now: UnixSeconds, random: [u64; 2]) -> Self {
        let mut bytes = *b"gen-0000000000-AAAAAAAAAAAAAAAAAAAA";
        let [.., seven, eight] = eight_digits(now.0 / 100_000_000 % 100);
        (bytes[4], bytes[5]) = (seven, eight);
        bytes[6..14].copy_from_slice(&eight_digits(now.0 % 100_000_000));
        bytes[15..].copy_from_slice(&letters(random));
        Self { bytes }
    }

    /// An id that was written down; `None` when these bytes have not its shape.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Option<Self> {
        let shape = bytes.starts_with(b"gen-")
            && bytes[4..14].iter().all(u8::is_ascii_digit)
            && bytes[14] == b'-'
            && bytes[15..].iter().all(u8::is_ascii_alphanumeric);
        shape.then_some(Self { bytes })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes).unwrap_or("gen-")
    }

    /// The text as bytes, all of them ASCII letters, digits and `-`.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.bytes
    }
}

/// A number below 10^8 in decimal digits: fours, pairs and digits are parted side by side in one word.
fn eight_digits(number: u64) -> [u8; 8] {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    // Multiplied and shifted, a four is divided by 100 and a pair by 10.
    let high = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    let pairs = high | ((fours - 100 * high) << 16);
    let high = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    let digits = high | ((pairs - 10 * high) << 8);
    (digits | u64::from_ne_bytes([b'0'; 8])).to_le_bytes()
}

/// The low 60 bits of each word as ten letters, six bits each, lowest first.
fn letters(words: [u64; 2]) -> [u8; 20] {
    let mut text = [0; 20];
    // Eight of the first word, eight of the second, and what is left of both.
    text[..8].copy_from_slice(&eight_letters(words[0]));
    text[10..18].copy_from_slice(&eight_letters(words[1]));
    let left = eight_letters((words[0] >> 48 & 0xfff) | (words[1] >> 48 & 0xfff) << 12);
    text[8..10].copy_from_slice(&left[..2]);
    text[18..].copy_from_slice(&left[2..4]);
    text
}

/// The low 48 bits as eight letters of `A` to `Z`, `a` to `z`, `0` to `9`, `x` and `y`, side by side in one
/// word.
fn eight_letters(bits: u64) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let fours = (bits & 0xff_ffff) | (bits & 0xffff_ff00_0000) << 8;
    let pairs = (fours & 0x0fff_0000_0fff) | (fours & 0x00ff_f000_00ff_f000) << 4;
    let sixes = (pairs & 0x003f_003f_003f_003f) | (pairs & 0x0fc0_0fc0_0fc0_0fc0) << 2;
    // One in each byte whose number is at least this. No byte ever runs over into the next.
    let from = |least: u64| (sixes + (128 - least) * ONES) >> 7 & ONES;
    let capitals = sixes + u64::from(b'A') * ONES;
    let small = capitals + from(26) * u64::from(b'a' - b'Z' - 1);
    let digits = small - from(52) * u64::from(b'z' + 1 - b'0');
    (digits + from(62) * u64::from(b'x' - b'9' - 1)).to_le_bytes()
}

impl core::fmt::Debug for GenerationId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_id_has_its_shape() {
        let id = GenerationId::new(UnixSeconds(1_783_514_921), [u64::MAX, 0]);
        assert_eq!(id.as_str(), "gen-1783514921-yyyyyyyyyyAAAAAAAAAA");
        assert_eq!(GenerationId::from_bytes(*id.as_bytes()), Some(id));
        for (place, wrong) in [(0, b'G'), (4, b'a'), (14, b'_'), (15, b'-'), (34, 0)] {
            let mut bytes = *id.as_bytes();
            bytes[place] = wrong;
            assert_eq!(GenerationId::from_bytes(bytes), None);
        }
    }

    #[test]
    fn digits_are_those_of_the_number() {
        let check = |number: u64| assert_eq!(eight_digits(number)[..], *format!("{number:08}").as_bytes());
        (0..10_000).for_each(|four| {
            check(four);
            check(four * 10_000);
            check(99_999_999 - four * 9_999);
        });
    }

    #[test]
    fn every_six_bits_of_the_words_are_one_letter() {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789xy";
        for turn in 0..64 {
            let word = |place: usize| {
                (0..10).fold(0, |word, step| word | ((turn + place + step) as u64 % 64) << (6 * step))
            };
            let id = GenerationId::new(UnixSeconds(turn as u64), [word(0), word(10)]);
            let letters: Vec<u8> = (0..20).map(|place| LETTERS[(turn + place) % 64]).collect();
            let want = format!("gen-{turn:010}-{}", String::from_utf8_lossy(&letters));
            assert_eq!((id.as_str(), id.as_bytes()), (&*want, want.as_bytes().try_into().expect("35 bytes")));
        }
    }
}
