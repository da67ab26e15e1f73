//! HTTP/1.1: heads, framing, chunked coding, and the writer of our own heads.
//!
//! How a head is read: [`request_head`] and [`response_head`] look for its end without ever looking at a byte
//! twice, `head` splits it into a start line and fields, `target` and `fields` judge the values. Where RFC
//! 9110 and RFC 9112 leave a choice, the strict branch is taken: what two parsers could read differently is
//! refused, and nothing received is ever forwarded as framing. Only fields we know are kept; every other one,
//! hop-by-hop fields included, ends here.
//!
//! Deliberately absent: HTTP/2, upgrades, trailers that anybody would see, and the status a flaw is answered
//! with.

mod chunked;
mod date;
#[doc(hidden)]
pub mod exercise;
mod fields;
mod head;
#[cfg(test)]
mod oracle;
mod repeat;
mod request;
mod response;
mod shape;
mod target;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod vectors_upstream;
mod writer;

pub use chunked::{ChunkDecoder, ChunkItem, Decoded, LAST_CHUNK, decode_in_place, write_chunk_size};
pub use date::{read_date, read_timestamp};
pub use fields::{RequestField, ResponseField, Version};
pub use repeat::Repeat;
pub use request::{Expect, Method, RequestFraming, RequestHead, request_head};
pub use response::{ResponseFraming, ResponseHead, response_head};
pub use shape::ResponseShape;
pub use writer::HeadWriter;

/// The byte class "letters, digits and these".
const fn alphanumeric_and(others: &[u8]) -> [bool; 256] {
    let mut set = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        set[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        set[others[at] as usize] = true;
        at += 1;
    }
    set
}

/// `tchar` of RFC 9110 §5.6.2: what field names, methods and codings are made of.
static TCHAR: [bool; 256] = alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// True when every byte of `text` is in `set` and there is at least one.
fn only(set: &[bool; 256], text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| set[byte as usize])
}

/// True for bytes a field value may have: `field-vchar`, SP and HTAB of RFC 9110 §5.5, bytes from 0x80
/// included.
const fn is_value_byte(byte: u8) -> bool {
    (byte == b'\t') | ((byte >= b' ') & (byte != 0x7f))
}

/// `text` without optional white space (RFC 9110 §5.6.3) at both ends.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
