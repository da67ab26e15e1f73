//! Chunked transfer coding (RFC 9112 §7.1), without extensions and trailers.
//!
//! Deliberately absent: a bound on the whole body; the caller counts what it was promised.

/// Most digits of a chunk size: 4 GiB is more than any chunk we test.
const SIZE_DIGITS: u32 = 8;

/// Where the decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the digits of a size.
    Size { digits: u32 },
    /// Behind the digits' CR.
    SizeEnd,
    /// In a chunk's bytes.
    Data,
    /// Behind a chunk, at its CR, then at its LF.
    DataEnd { carriage: bool },
    /// Behind the last chunk's size, at the CR and then the LF that end the body.
    End { carriage: bool },
    /// The body is complete.
    Done,
}

/// Decodes a body piece by piece.
#[derive(Debug)]
pub(crate) struct Chunked {
    at: At,
    /// The size being read, then the bytes of the chunk still to come.
    left: u64,
}

impl Default for Chunked {
    fn default() -> Self {
        Self { at: At::Size { digits: 0 }, left: 0 }
    }
}

impl Chunked {
    /// True once the terminal chunk was read.
    pub(crate) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Decodes `bytes`, appends what they carry to `payload`, and returns how many bytes belonged to the
    /// body: fewer than given only when it is done.
    ///
    /// # Errors
    /// The framing is broken.
    pub(crate) fn decode(&mut self, bytes: &[u8], payload: &mut Vec<u8>) -> Result<usize, &'static str> {
        let mut used = 0;
        while used < bytes.len() && self.at != At::Done {
            if self.at == At::Data {
                let take = (bytes.len() - used).min(usize::try_from(self.left).unwrap_or(usize::MAX));
                payload.extend_from_slice(&bytes[used..used + take]);
                (used, self.left) = (used + take, self.left - take as u64);
                if self.left == 0 {
                    self.at = At::DataEnd { carriage: false };
                }
                continue;
            }
            self.at = self.next(bytes[used])?;
            used += 1;
        }
        Ok(used)
    }

    /// The state behind one byte of framing.
    fn next(&mut self, byte: u8) -> Result<At, &'static str> {
        match (self.at, byte) {
            (At::Size { digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == SIZE_DIGITS {
                    return Err("a chunk size too long");
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.left = self.left * 16 + u64::from(digit);
                Ok(At::Size { digits: digits + 1 })
            }
            (At::Size { digits: 1.. }, b'\r') => Ok(At::SizeEnd),
            (At::Size { .. }, _) => Err("a chunk size out of form"),
            (At::SizeEnd, b'\n') if self.left == 0 => Ok(At::End { carriage: false }),
            (At::SizeEnd, b'\n') => Ok(At::Data),
            (At::DataEnd { carriage: false }, b'\r') => Ok(At::DataEnd { carriage: true }),
            (At::DataEnd { carriage: true }, b'\n') => Ok(At::Size { digits: 0 }),
            (At::End { carriage: false }, b'\r') => Ok(At::End { carriage: true }),
            (At::End { carriage: true }, b'\n') => Ok(At::Done),
            (At::End { carriage: false }, _) => Err("a trailer"),
            (At::SizeEnd | At::DataEnd { .. } | At::End { .. } | At::Data | At::Done, _) => {
                Err("a chunk that does not end with CRLF")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Payload, bytes that belong to the body, whether it is done; or the error.
    type Outcome = Result<(String, usize, bool), &'static str>;

    fn run(pieces: &[&[u8]]) -> Outcome {
        let (mut chunked, mut payload, mut used) = (Chunked::default(), Vec::new(), 0);
        for piece in pieces {
            used += chunked.decode(piece, &mut payload)?;
        }
        Ok((String::from_utf8_lossy(&payload).into_owned(), used, chunked.is_done()))
    }

    #[track_caller]
    fn check(input: &str, want: Result<(&str, usize, bool), &'static str>) {
        let want = want.map(|(payload, used, done)| (payload.to_owned(), used, done));
        for cut in 0..=input.len() {
            let (a, b) = input.as_bytes().split_at(cut);
            assert_eq!(run(&[a, b]), want, "{input:?} cut at {cut}");
        }
    }

    #[test]
    fn bodies_are_decoded() {
        check("5\r\nhello\r\n0\r\n\r\n", Ok(("hello", 15, true)));
        check("A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", Ok(("0123456789x", 26, true)));
        check("005\r\nhello\r\n000\r\n\r\nnext", Ok(("hello", 19, true)));
        check("5\r\nhello\r\n0\r\n", Ok(("hello", 13, false)));
        check("5\r\nhel", Ok(("hel", 6, false)));
        check("", Ok(("", 0, false)));
    }

    #[test]
    fn broken_framing_is_refused() {
        check("\r\nhello", Err("a chunk size out of form"));
        check("5;a=b\r\nhello\r\n", Err("a chunk size out of form"));
        check("-1\r\n", Err("a chunk size out of form"));
        check("5\nhello\r\n", Err("a chunk size out of form"));
        check("5\r\nhelloX\r\n", Err("a chunk that does not end with CRLF"));
        check("5\rhello", Err("a chunk that does not end with CRLF"));
        check("0\r\nx: y\r\n\r\n", Err("a trailer"));
        check("123456789\r\n", Err("a chunk size too long"));
    }
}
