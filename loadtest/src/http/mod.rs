//! An HTTP/1.1 client of our own: strict, small, and independent of the router's code, so that a framing
//! error of the router cannot be read past.
//!
//! Deliberately absent: redirects, compression, TLS, trailers, chunk extensions (nothing we test sends them)
//! and reuse after an error.

mod chunked;
mod connection;
mod head;

pub(crate) use chunked::Chunked;
pub(crate) use connection::{Connection, StreamStep};
pub(crate) use head::{Framing, response_head};

/// The outcome of looking at bytes that may not all be here yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parse<T> {
    /// Complete.
    Done(T),
    /// More bytes are needed.
    More,
    /// Not acceptable.
    Bad(&'static str),
}
