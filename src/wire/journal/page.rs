//! The first page of a segment file: whose it is, and how far it may be read.
//!
//! The first part is written once when the segment is begun, under a checksum of its own. Two numbers behind
//! it change while it is written to: how far whole records reach, and whether any more will come.
//! Deliberately absent: the file (`io/journal` writes it, `control/journal` reads it).

use super::Sequence;
use super::frame::{NodeId, checksum};
use crate::base::time::UnixSeconds;

/// Bytes of the first page; records begin behind it.
pub const PAGE_BYTES: usize = 4096;
/// What every segment begins with.
pub const MAGIC: [u8; 8] = *b"\x89MRJ\r\n\x1a\n";
/// Version of the page and of the frames.
pub const FORMAT: u16 = 1;
/// Where the number of readable bytes is. Apart from what does not change, and from each other.
pub const PUBLISHED_AT: usize = 128;
/// Where a 1 says that nothing more comes.
pub const SEALED_AT: usize = 192;
/// Bytes that are ever in use; the rest of the page is zeros.
pub const PAGE_USED: usize = 200;

const CHECKED: usize = 64;

/// What the first page says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Which installation.
    pub node: NodeId,
    /// Which core.
    pub core: u16,
    /// How often a segment of this core was begun, this one included: the order of its segments.
    pub generation: u64,
    /// The first record's sequence.
    pub first: Sequence,
    /// Wall time of its begin.
    pub created: UnixSeconds,
    /// Bytes of the whole file.
    pub segment_bytes: u64,
    /// Bytes of the file that hold whole records, the page included.
    pub published: u64,
    /// The next record is in the next segment.
    pub sealed: bool,
}

/// Why a page says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFlaw {
    /// All zeros: nothing was ever written.
    Blank,
    /// It does not begin as a journal does.
    NoJournal,
    /// Of a later format.
    Foreign(u16),
    /// Its checksum is wrong.
    Damaged,
}

impl core::fmt::Display for PageFlaw {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Blank => f.write_str("nothing was written to it yet"),
            Self::NoJournal => f.write_str("it does not begin as a journal does"),
            Self::Foreign(format) => write!(f, "format {format} is not known to this version of Millrace"),
            Self::Damaged => f.write_str("the checksum of its first page is wrong"),
        }
    }
}

impl Page {
    /// The bytes of a page.
    #[must_use]
    pub fn encode(&self) -> [u8; PAGE_USED] {
        let mut bytes = [0; PAGE_USED];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.core.to_le_bytes());
        bytes[12..16].copy_from_slice(&(PAGE_BYTES as u32).to_le_bytes());
        bytes[16..32].copy_from_slice(&self.node.0);
        bytes[32..40].copy_from_slice(&self.generation.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.created.0.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.segment_bytes.to_le_bytes());
        let crc = checksum(&bytes[..CHECKED]);
        bytes[64..68].copy_from_slice(&crc.to_le_bytes());
        bytes[PUBLISHED_AT..PUBLISHED_AT + 8].copy_from_slice(&self.published.to_le_bytes());
        bytes[SEALED_AT] = u8::from(self.sealed);
        bytes
    }

    /// Reads the beginning of a file.
    ///
    /// # Errors
    /// It is not the page of a journal, or a damaged one.
    pub fn decode(bytes: &[u8]) -> Result<Self, PageFlaw> {
        let bytes = bytes.first_chunk::<PAGE_USED>().ok_or(PageFlaw::NoJournal)?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(PageFlaw::Blank);
        }
        let number = |at: usize| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a slice of 8 bytes has 8 bytes"))
        };
        let format = number(8) as u16;
        if bytes[..8] != MAGIC {
            return Err(PageFlaw::NoJournal);
        }
        if format != FORMAT {
            return Err(PageFlaw::Foreign(format));
        }
        let mut node = NodeId::default();
        node.0.copy_from_slice(&bytes[16..32]);
        let page = Self {
            node,
            core: (number(8) >> 16) as u16,
            generation: number(32),
            first: Sequence(number(40)),
            created: UnixSeconds(number(48)),
            segment_bytes: number(56),
            published: number(PUBLISHED_AT),
            sealed: bytes[SEALED_AT] == 1,
        };
        let is_whole =
            checksum(&bytes[..CHECKED]) == number(64) as u32 && number(8) >> 32 == PAGE_BYTES as u64;
        if is_whole { Ok(page) } else { Err(PageFlaw::Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_back_and_no_changed_bit_passes() {
        let page = Page {
            node: NodeId([7; 16]),
            core: 3,
            generation: 9,
            first: Sequence(1 << 33),
            created: UnixSeconds(1_783_514_921),
            segment_bytes: 16 << 20,
            published: 4096,
            sealed: true,
        };
        let mut bytes = page.encode();
        assert_eq!(Page::decode(&bytes), Ok(page));
        for bit in 0..68 * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Page::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(Page::decode(&[0; PAGE_BYTES]), Err(PageFlaw::Blank));
        assert_eq!(Page::decode(&bytes[..PAGE_USED - 1]), Err(PageFlaw::NoJournal));
        bytes[8] = 2;
        assert_eq!(Page::decode(&bytes), Err(PageFlaw::Foreign(2)));
    }
}
