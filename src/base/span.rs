//! A byte range inside a buffer that somebody else owns: positions instead of borrows, so that a parse result
//! outlives the next read into the same buffer.
//!
//! Deliberately absent: the buffer.

use core::ops::Range;

/// Half-open byte range `start..end`; `start <= end`. Positions count from the start of the buffer it was cut
/// from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The range `start..end`. Buffers are bounded far below 4 GiB (`limits::BODY_BYTES_CEILING`).
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        Self { start: start as u32, end: end as u32 }
    }

    /// Bytes covered.
    #[must_use]
    pub const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// True when no byte is covered.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// As a `usize` range, for slicing.
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The bytes of `buffer` this span covers; empty when it does not fit (a bug, caught in debug builds).
    #[must_use]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        debug_assert!(self.end as usize <= buffer.len());
        buffer.get(self.range()).unwrap_or_default()
    }

    /// The same range, moved by `by` bytes to the right.
    #[must_use]
    pub const fn shifted(self, by: usize) -> Self {
        Self { start: self.start + by as u32, end: self.end + by as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_what_it_says() {
        let span = Span::new(2, 5);
        assert_eq!((span.len(), span.is_empty(), span.of(b"abcdefg")), (3, false, &b"cde"[..]));
        assert_eq!(span.shifted(1).of(b"abcdefg"), b"def");
    }
}
