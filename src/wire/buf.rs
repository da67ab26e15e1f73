//! Storage with two ordered cursors: bytes from one peer, waiting to be looked at.
//!
//! Deliberately absent: who fills it (the edge takes the storage out for a read and puts it back) and growth
//! policy beyond "at least this much room".

/// Bytes from one peer. Invariant: `taken <= filled <= storage.len()`; `taken == filled` implies both are 0.
#[derive(Debug, Default)]
pub struct Buf {
    storage: Vec<u8>,
    taken: usize,
    filled: usize,
}

impl Buf {
    /// A buffer with room for `bytes`.
    #[must_use]
    pub fn with_room(bytes: usize) -> Self {
        Self { storage: vec![0; bytes], taken: 0, filled: 0 }
    }

    /// The bytes that were filled and not yet taken.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.storage[self.taken..self.filled]
    }

    /// The same, writable (in-place decoding).
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.taken..self.filled]
    }

    /// Bytes held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.filled - self.taken
    }

    /// True when nothing is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.filled == self.taken
    }

    /// Size of the storage.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.storage.len()
    }

    /// Room behind the filled bytes.
    #[must_use]
    pub const fn room(&self) -> usize {
        self.storage.len() - self.filled
    }

    /// Drops the first `count` held bytes.
    pub fn take(&mut self, count: usize) {
        assert!(count <= self.len(), "took {count} of {}", self.len());
        self.taken += count;
        if self.taken == self.filled {
            (self.taken, self.filled) = (0, 0);
        }
        self.invariants();
    }

    /// Removes held bytes `from..to` (counted from the first held byte); what follows moves up.
    pub fn close_gap(&mut self, from: usize, to: usize) {
        assert!(from <= to && to <= self.len(), "gap {from}..{to} of {}", self.len());
        self.storage.copy_within(self.taken + to..self.filled, self.taken + from);
        self.filled -= to - from;
        if self.taken == self.filled {
            (self.taken, self.filled) = (0, 0);
        }
        self.invariants();
    }

    /// An empty buffer over storage that was used before.
    #[must_use]
    pub const fn over(storage: Vec<u8>) -> Self {
        Self { storage, taken: 0, filled: 0 }
    }

    /// Moves the held bytes into other storage, which must be large enough, and returns the old one.
    #[must_use]
    pub fn move_to(&mut self, mut storage: Vec<u8>) -> Vec<u8> {
        let held = self.len();
        storage[..held].copy_from_slice(self.bytes());
        (self.taken, self.filled) = (0, held);
        let old = core::mem::replace(&mut self.storage, storage);
        self.invariants();
        old
    }

    /// The storage alone, held bytes forgotten.
    #[must_use]
    pub fn into_storage(self) -> Vec<u8> {
        self.storage
    }

    /// Moves the held bytes to the front of the storage.
    pub fn compact(&mut self) {
        if self.taken > 0 {
            self.storage.copy_within(self.taken..self.filled, 0);
            (self.taken, self.filled) = (0, self.filled - self.taken);
        }
        self.invariants();
    }

    /// Makes the storage at least `bytes` long; held bytes stay.
    pub fn grow_to(&mut self, bytes: usize) {
        if self.storage.len() < bytes {
            self.compact();
            self.storage.resize(bytes, 0);
        }
    }

    /// Appends a copy of `bytes`, growing as needed.
    pub fn push(&mut self, bytes: &[u8]) {
        let end = self.filled + bytes.len();
        self.grow_to(end);
        let end = self.filled + bytes.len();
        self.storage[self.filled..end].copy_from_slice(bytes);
        self.filled = end;
        self.invariants();
    }

    /// Where the held bytes lie in the storage: `(taken, filled)`.
    #[must_use]
    pub const fn cursors(&self) -> (usize, usize) {
        (self.taken, self.filled)
    }

    /// Gives the storage away for a read into `filled..`; the caller returns it with [`Buf::restore`].
    #[must_use]
    pub fn lend(&mut self) -> Lent {
        Lent { storage: core::mem::take(&mut self.storage), taken: self.taken, filled: self.filled }
    }

    /// Takes the storage back after a read of `count` bytes.
    pub fn restore(&mut self, lent: Lent, count: usize) {
        assert!(lent.filled + count <= lent.storage.len());
        *self = Self { taken: lent.taken, filled: lent.filled + count, storage: lent.storage };
        if self.taken == self.filled {
            (self.taken, self.filled) = (0, 0);
        }
        self.invariants();
    }

    fn invariants(&self) {
        debug_assert!(self.taken <= self.filled && self.filled <= self.storage.len());
        debug_assert!(self.taken != self.filled || self.filled == 0);
    }
}

/// A [`Buf`]'s storage while the kernel writes into it (or reads from it).
#[derive(Debug, Default)]
pub struct Lent {
    /// The bytes.
    pub storage: Vec<u8>,
    /// First held byte.
    pub taken: usize,
    /// One past the last held byte: a read goes here.
    pub filled: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_keep_their_order() {
        let mut buf = Buf::with_room(4);
        buf.push(b"abcdef");
        buf.take(2);
        assert_eq!((buf.bytes(), buf.len(), buf.cursors()), (&b"cdef"[..], 4, (2, 6)));
        buf.compact();
        assert_eq!((buf.bytes(), buf.cursors()), (&b"cdef"[..], (0, 4)));
        buf.take(4);
        assert_eq!((buf.is_empty(), buf.cursors()), (true, (0, 0)));
    }

    #[test]
    fn a_gap_closes() {
        let mut buf = Buf::with_room(8);
        buf.push(b"xabcdef");
        buf.take(1);
        buf.close_gap(1, 4);
        assert_eq!(buf.bytes(), b"aef");
        buf.close_gap(0, 3);
        assert!(buf.is_empty());
    }

    #[test]
    fn storage_comes_back_with_what_was_read() {
        let mut buf = Buf::with_room(8);
        buf.push(b"ab");
        let mut lent = buf.lend();
        lent.storage[lent.filled..lent.filled + 2].copy_from_slice(b"cd");
        buf.restore(lent, 2);
        assert_eq!(buf.bytes(), b"abcd");
    }
}
