//! Writes the heads we send, into memory of the caller.
//!
//! Nothing a peer sent can end a line here: bytes that could are replaced as they are written, whatever the
//! caller has or has not checked (RFC 9112 §11.1).
//!
//! Deliberately absent: which fields to send, and framing decisions.

use super::target::TARGET;
use super::{TCHAR, is_value_byte, only};
use crate::wire::block::{Block, none_in};

/// A head being written. It is complete only after [`HeadWriter::end`].
#[derive(Debug)]
#[must_use = "a head without its end is no head"]
pub struct HeadWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> HeadWriter<'a> {
    /// Begins a response: `HTTP/1.1`, the status (100 to 999) and its reason phrase.
    pub fn response(out: &'a mut Vec<u8>, status: u16) -> Self {
        debug_assert!((100..=999).contains(&status));
        if status == 200 {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
            return Self { out };
        }
        out.extend_from_slice(b"HTTP/1.1 ");
        write_decimal(out, u64::from(status));
        out.push(b' ');
        out.extend_from_slice(reason(status).as_bytes());
        out.extend_from_slice(b"\r\n");
        Self { out }
    }

    /// Begins a request for the concatenation of `path_parts`, which must begin with `/`. Bytes that a target
    /// may not have are written as escapes.
    pub fn request(out: &'a mut Vec<u8>, method: &str, path_parts: &[&str]) -> Self {
        debug_assert!(only(&TCHAR, method.as_bytes()));
        debug_assert!(path_parts.iter().find_map(|part| part.as_bytes().first()) == Some(&b'/'));
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        for part in path_parts {
            write_target(out, part.as_bytes());
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        Self { out }
    }

    /// Goes on with a head whose lines so far, all of them complete, are in `out` already (or whose start
    /// line is somebody else's).
    pub fn resumed(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Leaves the head unfinished: a later [`HeadWriter::resumed`] goes on with it.
    pub fn pause(self) {}

    /// Writes a field. Control bytes of `value`, line ends included and HTAB not, are written as spaces;
    /// `name` is the caller's own and must be a token.
    #[inline(always)]
    pub fn field(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.name(name);
        self.value(value);
        self
    }

    /// Writes the value of a field and the end of its line.
    #[inline(never)]
    fn value(&mut self, value: &[u8]) {
        let start = self.out.len();
        self.out.reserve(value.len() + b"\r\n".len());
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
        if !none_in(value, Block::controls, |byte| !is_value_byte(byte)) {
            blank(&mut self.out[start..start + value.len()]);
        }
    }

    /// Writes a field whose value is the concatenation of `parts`, without a copy of their sum anywhere else.
    #[inline]
    pub fn joined(&mut self, name: &str, parts: &[&[u8]]) -> &mut Self {
        self.name(name);
        let start = self.out.len();
        let mut clean = true;
        for part in parts {
            // The part is looked at where it comes from: what was just written piece by piece is slow to
            // read.
            clean &= none_in(part, Block::controls, |byte| !is_value_byte(byte));
            self.out.extend_from_slice(part);
        }
        if !clean {
            blank(&mut self.out[start..]);
        }
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Writes whole fields that were known when the program was built, line ends included, in one copy.
    pub fn lines(&mut self, lines: &'static str) -> &mut Self {
        debug_assert!(lines.ends_with("\r\n") && !lines.contains("\r\n\r\n"), "{lines:?}");
        self.out.extend_from_slice(lines.as_bytes());
        self
    }

    /// Writes a field with a decimal number.
    #[inline(always)]
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.name(name);
        write_decimal(self.out, value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Writes the empty line that ends the head.
    pub fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }

    /// Inlined, so that a name that is known when the program is built is stored and not copied.
    #[inline(always)]
    fn name(&mut self, name: &str) {
        debug_assert!(only(&TCHAR, name.as_bytes()), "{name:?} is not a field name");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
    }
}

/// Makes spaces of the bytes that a field value may not have.
#[cold]
fn blank(value: &mut [u8]) {
    value.iter_mut().filter(|byte| !is_value_byte(**byte)).for_each(|byte| *byte = b' ');
}

/// Writes `part` of a target; what is not allowed there becomes an escape.
fn write_target(out: &mut Vec<u8>, part: &[u8]) {
    // Every byte of a usual path may be in a target.
    if none_in(part, Block::not_path, |byte| !TARGET[byte as usize]) {
        return out.extend_from_slice(part);
    }
    for &byte in part {
        if TARGET[byte as usize] {
            out.push(byte);
        } else {
            let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// Two digits each, `00` to `99`.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + number as u8 / 10, b'0' + number as u8 % 10];
        number += 1;
    }
    pairs
};

/// Writes `number` in decimal digits.
fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    // The length of nearly every body has as many digits as one of these: copies of a known size are stores.
    if number < 10_000 {
        let ([a, b], [c, d]) = (PAIRS[number as usize / 100], PAIRS[number as usize % 100]);
        return match number {
            1000.. => out.extend_from_slice(&[a, b, c, d]),
            100.. => out.extend_from_slice(&[b, c, d]),
            10.. => out.extend_from_slice(&[c, d]),
            _ => out.push(d),
        };
    }
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    while number > 0 {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[first..]);
}

/// Reason phrases of RFC 9110 §15 for the statuses we send or relay; empty for others, which is allowed.
const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        424 => "Failed Dependency",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        529 => "Site Is Overloaded",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_full_and_without_leading_zeroes() {
        for digits in 0..20 {
            let power = 10_u64.pow(digits);
            for number in [power - 1, power, power + 1, power.wrapping_mul(7)] {
                let mut out = Vec::new();
                write_decimal(&mut out, number);
                assert_eq!(String::from_utf8_lossy(&out), number.to_string());
            }
        }
    }
}
