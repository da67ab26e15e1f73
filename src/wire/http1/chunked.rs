//! The chunked coding (RFC 9112 §7): a decoder that goes through bytes somebody else holds, and the two
//! things a sender writes.
//!
//! ```text
//!   chunk        Start       1f ;ext CR LF
//!                Data        …31 bytes, in as many pieces as they come…
//!                DataEnd     CR LF
//!   last chunk   Trailer     0 CR LF  name: value CR LF      ┐ one item if they come together
//!                End         CR LF                           ┘
//! ```
//!
//! Deliberately absent: the meaning of extensions and trailers. Both are validated, bounded and dropped (RFC
//! 9112 §7.1.1, §7.1.2).

use super::head::field_line;
use super::is_value_byte;
use crate::base::limits::{CHUNK_EXTENSION_BYTES, CHUNK_EXTENSIONS_BYTES, TRAILER_BYTES};
use crate::wire::Parse;
use crate::wire::flaw::Flaw;
use memchr::memchr;

/// Most digits of a chunk size: as many as a `u64` has.
const SIZE_DIGITS: usize = 16;

/// The last chunk without trailers: the end of a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

const _: () = assert!(CHUNK_EXTENSIONS_BYTES <= u16::MAX as usize);
const _: () = assert!(TRAILER_BYTES <= u16::MAX as usize);
const _: () = assert!(CHUNK_EXTENSION_BYTES <= CHUNK_EXTENSIONS_BYTES);

/// Writes the size line of a chunk of `size` bytes. `size` must not be 0: that would be the last chunk.
pub fn write_chunk_size(out: &mut Vec<u8>, size: usize) {
    debug_assert!(size > 0, "an empty chunk would end the body");
    let mut line = *b"................\r\n";
    let (mut first, mut rest) = (SIZE_DIGITS, size);
    while rest > 0 {
        first -= 1;
        line[first] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
    out.extend_from_slice(&line[first..]);
}

const _: () = assert!(usize::BITS as usize <= 4 * SIZE_DIGITS);

/// Value of each hexadecimal digit; `NO_DIGIT` for other bytes.
static DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

const NO_DIGIT: u8 = u8::MAX;

/// What a piece of a chunked body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkItem {
    /// The size line of a chunk that is not the last.
    Start {
        /// Bytes of data in this chunk, at least 1.
        size: u64,
        /// No extension and no leading zero: the line may be forwarded as it is.
        canonical: bool,
    },
    /// Data of the current chunk.
    Data {
        /// The chunk's data is complete with these bytes.
        last: bool,
    },
    /// The CR LF after a chunk's data.
    DataEnd,
    /// A part of the last chunk, its size line or trailer fields, whose end has not arrived. Drop it.
    Trailer,
    /// The end of the body, with as much of the last chunk as came with it.
    End,
}

/// Position in the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a chunk-size line.
    Size,
    /// Inside chunk data with `left` bytes to come, at least 1.
    Data {
        /// Bytes to come.
        left: u64,
    },
    /// Before the CR LF that follows chunk data.
    DataEnd,
    /// After the last chunk's size line, at the beginning of a line of the trailer section.
    Trailers {
        /// Bytes of the trailer section so far.
        taken: u16,
        /// Bytes of the current line that are known to hold no line end.
        seen: u16,
    },
    /// After the end.
    Done,
}

/// Decoder of one chunked body. It holds no bytes.
///
/// After `More` the caller takes nothing and calls again with the same bytes and further ones. What it has to
/// keep that way is bounded: one size line (under 300 bytes) or one trailer line. After `Bad` the decoder is
/// of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkDecoder {
    state: State,
    /// Extension bytes of the message so far.
    extensions: u16,
}

impl Default for ChunkDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkDecoder {
    /// A decoder at the start of a body.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Size, extensions: 0 }
    }

    /// True once `End` was returned; `next` then takes nothing and says `End` again.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// True between two chunks: what comes next is a size line. A whole chunk without an extension may then
    /// be taken past the decoder.
    #[must_use]
    pub const fn is_at_size(&self) -> bool {
        matches!(self.state, State::Size)
    }

    /// The next item at the front of `bytes`.
    #[inline]
    pub fn next(&mut self, bytes: &[u8]) -> Parse<ChunkItem> {
        match self.state {
            State::Size => self.size(bytes),
            State::Data { left } => self.data(bytes, left),
            State::DataEnd => self.data_end(bytes),
            State::Trailers { taken, seen } => self.trailers(bytes, 0, usize::from(taken), usize::from(seen)),
            State::Done => Parse::Done { value: ChunkItem::End, used: 0 },
        }
    }

    #[inline]
    fn size(&mut self, bytes: &[u8]) -> Parse<ChunkItem> {
        let line = match size_line(bytes) {
            Parse::Done { value, .. } => value,
            Parse::More => return Parse::More,
            Parse::Bad(flaw) => return Parse::Bad(flaw),
        };
        let extensions = usize::from(self.extensions) + line.extension;
        if extensions > CHUNK_EXTENSIONS_BYTES {
            return Parse::Bad(Flaw::ChunkExtension);
        }
        self.extensions = extensions as u16;
        if line.size == 0 {
            return self.trailers(bytes, line.used, 0, 0);
        }
        self.state = State::Data { left: line.size };
        let canonical = line.extension == 0 && bytes[0] != b'0';
        Parse::Done { value: ChunkItem::Start { size: line.size, canonical }, used: line.used }
    }

    #[inline]
    fn data(&mut self, bytes: &[u8], left: u64) -> Parse<ChunkItem> {
        if bytes.is_empty() {
            return Parse::More;
        }
        let used = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left - used as u64;
        self.state = if left == 0 { State::DataEnd } else { State::Data { left } };
        Parse::Done { value: ChunkItem::Data { last: left == 0 }, used }
    }

    #[inline]
    fn data_end(&mut self, bytes: &[u8]) -> Parse<ChunkItem> {
        match bytes {
            [b'\r', b'\n', ..] => {
                self.state = State::Size;
                Parse::Done { value: ChunkItem::DataEnd, used: 2 }
            }
            [] | [b'\r'] => Parse::More,
            _ => Parse::Bad(Flaw::ChunkEnd),
        }
    }

    /// Goes through the lines of the trailer section that begins or continues at `at`, as far as they are
    /// complete. The section may be `TRAILER_BYTES` long without the empty line that ends it.
    #[cold]
    fn trailers(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        mut taken: usize,
        mut seen: usize,
    ) -> Parse<ChunkItem> {
        loop {
            let rest = &bytes[at..];
            match rest {
                [b'\r', b'\n', ..] => {
                    self.state = State::Done;
                    return Parse::Done { value: ChunkItem::End, used: at + 2 };
                }
                [] | [b'\r'] => break,
                _ => {}
            }
            let reach = rest.len().min(TRAILER_BYTES - taken);
            let seen_now = seen.min(reach);
            match memchr(b'\n', &rest[seen_now..reach]).map(|feed| seen_now + feed) {
                Some(feed) => match trailer_line(&rest[..feed]) {
                    Ok(()) => (at, taken, seen) = (at + feed + 1, taken + feed + 1, 0),
                    Err(flaw) => return Parse::Bad(flaw),
                },
                None if rest.len() >= TRAILER_BYTES - taken => return Parse::Bad(Flaw::Trailer),
                None => {
                    seen = rest.len();
                    break;
                }
            }
        }
        self.state = State::Trailers { taken: taken as u16, seen: seen as u16 };
        if at == 0 { Parse::More } else { Parse::Done { value: ChunkItem::Trailer, used: at } }
    }
}

/// A trailer field up to its LF, which is not included.
fn trailer_line(line: &[u8]) -> Result<(), Flaw> {
    let field = line.strip_suffix(b"\r").ok_or(Flaw::Trailer)?;
    field_line(field).map_err(|_| Flaw::Trailer)
}

/// A whole chunk-size line.
#[derive(Clone, Copy)]
struct SizeLine {
    size: u64,
    /// Bytes from the semicolon to the CR.
    extension: usize,
    /// Bytes with CR LF.
    used: usize,
}

/// `1*HEXDIG [ chunk-ext ] CRLF`. White space before the extension, which RFC 9112 §7.1.1 calls bad, is
/// refused.
#[inline]
fn size_line(bytes: &[u8]) -> Parse<SizeLine> {
    let mut size = 0_u64;
    let mut digits = 0;
    while let Some(&byte) = bytes.get(digits) {
        let digit = DIGITS[usize::from(byte)];
        if digit == NO_DIGIT {
            break;
        }
        if digits == SIZE_DIGITS {
            return Parse::Bad(Flaw::ChunkSize);
        }
        size = size << 4 | u64::from(digit);
        digits += 1;
    }
    match &bytes[digits..] {
        [] => Parse::More,
        [b'\r'] if digits > 0 => Parse::More,
        [b'\r', b'\n', ..] if digits > 0 => {
            let used = digits + 2;
            Parse::Done { value: SizeLine { size, extension: 0, used }, used }
        }
        extension @ [b';', ..] if digits > 0 => match extension_length(extension) {
            Parse::Done { value: extension, .. } => {
                let used = digits + extension + 2;
                Parse::Done { value: SizeLine { size, extension, used }, used }
            }
            Parse::More => Parse::More,
            Parse::Bad(flaw) => Parse::Bad(flaw),
        },
        _ => Parse::Bad(Flaw::ChunkSize),
    }
}

/// Bytes of an extension up to its CR LF. A line end or control byte that is smuggled into one must not be
/// read differently by the next hop, so none is accepted, in quotes or not.
fn extension_length(bytes: &[u8]) -> Parse<usize> {
    for (at, &byte) in bytes.iter().enumerate() {
        match (byte, bytes.get(at + 1)) {
            (b'\r', Some(b'\n')) => return Parse::Done { value: at, used: at + 2 },
            (b'\r', None) => return Parse::More,
            _ if at >= CHUNK_EXTENSION_BYTES || !is_value_byte(byte) => {
                return Parse::Bad(Flaw::ChunkExtension);
            }
            _ => {}
        }
    }
    Parse::More
}

/// What [`decode_in_place`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of payload, now at the front of the slice.
    pub payload_len: usize,
    /// Bytes of the coded body that were taken; those from here on are untouched.
    pub consumed_raw: usize,
    /// The body is complete.
    pub done: bool,
}

/// Decodes as much as possible and moves the payload to the front of `bytes`: `payload_len <= consumed_raw`.
/// The caller drops what lies between payload and rest, and comes again with the rest and what has arrived
/// since.
///
/// # Errors
///
/// The first flaw of the coding; the content of `bytes` is then unspecified.
pub fn decode_in_place(decoder: &mut ChunkDecoder, bytes: &mut [u8]) -> Result<Decoded, Flaw> {
    let (mut payload_len, mut consumed_raw) = (0, 0);
    loop {
        let (item, used) = match decoder.next(&bytes[consumed_raw..]) {
            Parse::Done { value, used } => (value, used),
            Parse::More => return Ok(Decoded { payload_len, consumed_raw, done: false }),
            Parse::Bad(flaw) => return Err(flaw),
        };
        let piece = consumed_raw..consumed_raw + used;
        consumed_raw = piece.end;
        match item {
            ChunkItem::Start { .. } | ChunkItem::DataEnd | ChunkItem::Trailer => {}
            ChunkItem::Data { .. } => {
                bytes.copy_within(piece, payload_len);
                payload_len += used;
            }
            ChunkItem::End => return Ok(Decoded { payload_len, consumed_raw, done: true }),
        }
    }
}
