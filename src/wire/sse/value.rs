//! The value of one field of the event at hand: a range of the current piece as long as possible, a bounded
//! copy when it must outlive the piece.
//!
//! Deliberately absent: line ends and field names (`mod.rs` finds them).

/// Where the value is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// The event has no such field so far.
    Absent,
    /// In the piece at hand, `start..end`.
    Piece { start: usize, end: usize },
    /// In the carry.
    Carry,
}

/// A value and its bound. At most `bound` bytes are ever held or given out; what is longer is marked, not
/// kept.
#[derive(Debug)]
pub(super) struct Value {
    place: Place,
    bound: usize,
    carry: Vec<u8>,
    /// More bytes came than the carry may hold.
    overflowed: bool,
}

impl Value {
    /// No value; allocates nothing.
    pub(super) const fn new(bound: usize) -> Self {
        Self { place: Place::Absent, bound, carry: Vec::new(), overflowed: false }
    }

    /// Forgets the value; the carry's memory stays for the next one.
    pub(super) fn clear(&mut self) {
        self.place = Place::Absent;
        self.carry.clear();
        self.overflowed = false;
    }

    pub(super) const fn is_present(&self) -> bool {
        !matches!(self.place, Place::Absent)
    }

    /// Starts a value at `at` of the piece; an earlier one of the same event is forgotten (the last `event:`
    /// counts).
    pub(super) fn begin(&mut self, at: usize) {
        self.clear();
        self.place = Place::Piece { start: at, end: at };
    }

    /// Starts a line of the value at `at` of the piece; an earlier line of the same event is joined to it by
    /// LF.
    pub(super) fn begin_joined(&mut self, piece: &[u8], at: usize) {
        if self.is_present() {
            self.settle(piece);
            self.push(b"\n");
        } else {
            self.place = Place::Piece { start: at, end: at };
        }
    }

    /// The line goes on with `piece[start..end]`.
    pub(super) fn extend(&mut self, piece: &[u8], start: usize, end: usize) {
        match &mut self.place {
            Place::Piece { end: known, .. } => {
                debug_assert_eq!(*known, start, "a value inside a piece has no gap");
                *known = end;
            }
            Place::Carry => self.push(&piece[start..end]),
            Place::Absent => debug_assert!(false, "a value is begun before it is extended"),
        }
    }

    /// The piece is about to go: what lies in it is copied, up to the bound.
    pub(super) fn settle(&mut self, piece: &[u8]) {
        if let Place::Piece { start, end } = self.place {
            self.place = Place::Carry;
            self.push(&piece[start..end]);
        }
    }

    /// The value, cut at the bound, and whether it was cut.
    pub(super) fn of<'a>(&'a self, piece: &'a [u8]) -> (&'a [u8], bool) {
        match self.place {
            Place::Absent => (&[], false),
            Place::Piece { start, end } => {
                let cut = end.min(start + self.bound);
                (&piece[start..cut], cut < end)
            }
            Place::Carry => (&self.carry, self.overflowed),
        }
    }

    /// Bytes of memory the carry owns.
    #[cfg(test)]
    pub(super) const fn memory(&self) -> usize {
        self.carry.capacity()
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.bound - self.carry.len();
        self.overflowed |= bytes.len() > room;
        let taken = &bytes[..bytes.len().min(room)];
        let needed = self.carry.len() + taken.len();
        if needed > self.carry.capacity() {
            // Powers of two up to the bound, so that the carry's memory never exceeds the bound.
            let wanted = needed.next_power_of_two().min(self.bound);
            self.carry.reserve_exact(wanted - self.carry.len());
        }
        self.carry.extend_from_slice(taken);
        debug_assert!(self.carry.len() <= self.bound);
    }
}
