//! The frame of a record: length, sequence, kind, version and checksum before the body, padding behind it.
//!
//! ```text
//!   0        4        8               16     17      18    20         24
//!   │ crc    │ bytes  │ sequence      │ kind │ vers. │ 0   │ body len │ body …  zeros to a multiple of 8
//!   └ covers everything behind it, and begins with the node and the core that wrote it
//! ```
//! The checksum begins with who wrote the record, so that bytes which a client has chosen (a model's name)
//! and bytes of another journal never pass for a record of this one.
//! Deliberately absent: what is in a body (`encode`, `decode`).

use super::Sequence;

/// Bytes before a body.
pub const HEADER_BYTES: usize = 24;
/// Every frame is a multiple of this long, and begins at one.
pub const ALIGN: usize = 8;
/// Longest frame. A settle record is cut to it, and as much is put aside for one with every admit record.
pub const RECORD_BYTES: usize = 2048;
/// Version of the bodies written today.
pub const VERSION: u8 = 1;

const _: () = assert!(RECORD_BYTES.is_multiple_of(ALIGN) && HEADER_BYTES.is_multiple_of(ALIGN));

/// Which installation wrote a journal: 16 random bytes, drawn when its data directory was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeId(pub [u8; 16]);

/// What every checksum of one core's journal begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u32);

impl Seed {
    /// CRC32C of the node's bytes and the core's number.
    #[must_use]
    pub fn new(node: NodeId, core: u16) -> Self {
        Self(crc32c::crc32c_append(crc32c::crc32c(&node.0), &core.to_le_bytes()))
    }
}

/// CRC32C (Castagnoli, RFC 3720 §12.1) of some bytes.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// A record whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its position in the journal of its core.
    pub sequence: Sequence,
    /// What it is; see [`super::decode::KINDS`].
    pub kind: u8,
    /// Of its body.
    pub version: u8,
    /// The body, without padding.
    pub body: &'a [u8],
    /// Bytes of the whole frame.
    pub bytes: usize,
}

/// What the bytes at some place turn out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look<'a> {
    /// A record.
    Record(Frame<'a>),
    /// The beginning of one, perhaps: its announced end lies behind the bytes at hand.
    More,
    /// No record.
    Nothing,
}

/// Looks at the bytes at some place.
#[must_use]
pub fn look(bytes: &[u8], seed: Seed) -> Look<'_> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Look::More };
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (crc, length, body) = (word(0), word(4) as usize, word(20) as usize);
    let plausible = (HEADER_BYTES..=RECORD_BYTES).contains(&length)
        && length.is_multiple_of(ALIGN)
        && body <= length - HEADER_BYTES
        && length - HEADER_BYTES - body < ALIGN
        && header[18..20] == [0; 2];
    if !plausible {
        return Look::Nothing;
    }
    let Some(whole) = bytes.get(..length) else { return Look::More };
    if crc32c::crc32c_append(seed.0, &whole[4..]) != crc {
        return Look::Nothing;
    }
    let sequence = u64::from(word(8)) | u64::from(word(12)) << 32;
    let body = &whole[HEADER_BYTES..HEADER_BYTES + body];
    Look::Record(Frame {
        sequence: Sequence(sequence),
        kind: header[16],
        version: header[17],
        body,
        bytes: length,
    })
}

/// Puts the header before a body that lies at [`HEADER_BYTES`] in `bytes` already, and zeros behind it.
/// Returns the length of the frame.
///
/// # Panics
/// When `bytes` is shorter than the frame, which is at most [`RECORD_BYTES`].
pub(super) fn close(bytes: &mut [u8], body: usize, kind: u8, sequence: Sequence, seed: Seed) -> usize {
    let end = HEADER_BYTES + body;
    let length = end.next_multiple_of(ALIGN);
    bytes[end..length].fill(0);
    bytes[4..8].copy_from_slice(&(length as u32).to_le_bytes());
    bytes[8..16].copy_from_slice(&sequence.0.to_le_bytes());
    bytes[16..20].copy_from_slice(&[kind, VERSION, 0, 0]);
    bytes[20..24].copy_from_slice(&(body as u32).to_le_bytes());
    let crc = crc32c::crc32c_append(seed.0, &bytes[4..length]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = Seed(7);

    #[test]
    fn the_checksum_is_castagnolis() {
        // RFC 3720 §B.4.
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(checksum(&[0xff; 32]), 0x62a8_ab43);
        let node = NodeId(*b"0123456789abcdef");
        assert_ne!(Seed::new(node, 0), Seed::new(node, 1));
        assert_eq!(Seed::new(node, 1), Seed(checksum(b"0123456789abcdef\x01\x00")));
    }

    #[test]
    fn a_frame_reads_back_and_no_changed_bit_passes() {
        for body in 0..40 {
            let mut bytes = vec![0xa5; RECORD_BYTES];
            let length = close(&mut bytes, body, 2, Sequence(1 << 40), SEED);
            let frame = Frame {
                sequence: Sequence(1 << 40),
                kind: 2,
                version: VERSION,
                body: &vec![0xa5; body],
                bytes: length,
            };
            assert_eq!(look(&bytes, SEED), Look::Record(frame));
            assert_eq!(look(&bytes, Seed(8)), Look::Nothing, "another core's");
            for cut in 0..length {
                assert_eq!(look(&bytes[..cut], SEED), Look::More, "cut at {cut}");
            }
            for bit in 0..length * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(!matches!(look(&bytes[..length], SEED), Look::Record(_)), "bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        assert_eq!(look(&[0; 64], SEED), Look::Nothing);
    }
}
