//! Floor 1: codecs over bytes somebody else owns. HTTP/1.1 heads and framing, chunked coding, SSE, JSON
//! peeking, and the journal's records.
//!
//! Every parser is three-way (`Parse`): done with how many bytes were used, more bytes needed, or bad with
//! the reason.
//! Deliberately absent: buffers, sockets, and what to do about a flaw (that is `exchange/reply`).

pub(crate) mod block;
pub mod buf;
pub mod flaw;
pub mod http1;
pub mod journal;
pub mod json;
pub mod parcel;
pub mod spares;
pub mod sse;

use flaw::Flaw;

/// Result of parsing a prefix of a buffer. "Not yet" is not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parse<T> {
    /// A value was read from the first `used` bytes.
    Done {
        /// What was read.
        value: T,
        /// Bytes it took.
        used: usize,
    },
    /// The bytes are a proper prefix; more are needed.
    More,
    /// No continuation can make these bytes acceptable.
    Bad(Flaw),
}
