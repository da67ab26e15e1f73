//! Memory while the kernel holds it: each type here owns its bytes, goes into one operation and comes back
//! out of its completion. Both drivers use it: monoio's futures own a `Stretch` or a `Gather`, our own ring
//! keeps a `Flight` until its completion.
//!
//! Deliberately absent: starting the operations (`descriptor`) and deciding which one to use (`socket`).
#![allow(
    unsafe_code,
    reason = "monoio's buffer traits promise stable pointers, which the compiler cannot check"
)]

use std::os::fd::RawFd;

use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use monoio::buf::{IoBuf, IoBufMut, IoVecBuf};

use crate::base::limits;
use crate::base::span::Span;
use crate::wire::buf::Lent;
use crate::wire::parcel::{Parcel, Piece};

/// Most vectors of one gathered send: `UIO_MAXIOV`, the kernel's bound.
const VECTORS: usize = 1024;

/// A lent buffer that a receive fills behind `filled`.
pub(super) struct Filling(pub(super) Lent);

// SAFETY: `write_ptr` points into the heap block of `storage`, which moves with neither the struct nor the
// `Vec` header and is not resized while the operation owns it; `bytes_total` is exactly the room behind that
// pointer, and all of it is initialised. A safe slice type would not do: monoio's own truncates the `Vec` to
// what was read.
unsafe impl IoBufMut for Filling {
    fn write_ptr(&mut self) -> *mut u8 {
        self.room().as_mut_ptr()
    }

    fn bytes_total(&mut self) -> usize {
        self.room().len()
    }

    unsafe fn set_init(&mut self, _position: usize) {}
}

impl Filling {
    fn room(&mut self) -> &mut [u8] {
        self.0.storage.get_mut(self.0.filled..).unwrap_or_default()
    }
}

/// What is left of one piece of a parcel, sent straight from where it lies.
pub(super) struct Stretch {
    pub(super) parcel: Parcel,
    piece: Piece,
    sent: usize,
}

impl Stretch {
    pub(super) const fn new(parcel: Parcel, piece: Piece) -> Self {
        Self { parcel, piece, sent: 0 }
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.parcel.bytes(self.piece).get(self.sent..).unwrap_or_default()
    }

    pub(super) const fn advance(&mut self, count: usize) {
        self.sent += count;
    }
}

// SAFETY: `rest` lies in the heap block of a `Vec` that the parcel owns (or shares through an `Rc`, so that
// nobody can get it mutably); it stays where it is when the struct moves and is not touched while the
// operation owns it. monoio's safe slice owns one `Vec`, not one of three.
unsafe impl IoBuf for Stretch {
    fn read_ptr(&self) -> *const u8 {
        self.rest().as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.rest().len()
    }
}

/// What is left of several pieces, sent together from where they lie.
pub(super) struct Gather {
    pub(super) parcel: Parcel,
    vectors: Vec<libc::iovec>,
    next: usize,
}

impl Gather {
    /// `vectors` is reused storage; what it held is forgotten.
    pub(super) fn new(parcel: Parcel, mut vectors: Vec<libc::iovec>) -> Self {
        vectors.clear();
        vectors.extend(
            parcel.pieces.iter().map(|&piece| parcel.bytes(piece)).filter(|bytes| !bytes.is_empty()).map(
                |bytes| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() },
            ),
        );
        Self { parcel, vectors, next: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.next == self.vectors.len()
    }

    /// Skips `count` bytes that were sent.
    pub(super) fn advance(&mut self, mut count: usize) {
        while let Some(vector) = self.vectors.get_mut(self.next) {
            if count < vector.iov_len {
                vector.iov_base = vector.iov_base.wrapping_byte_add(count);
                vector.iov_len -= count;
                return;
            }
            count -= vector.iov_len;
            self.next += 1;
        }
        debug_assert_eq!(count, 0, "the kernel sent more than it was given");
    }

    /// The parcel and the storage of the vectors, emptied so that no pointer outlives what it points to.
    pub(super) fn into_parts(mut self) -> (Parcel, Vec<libc::iovec>) {
        self.vectors.clear();
        (self.parcel, self.vectors)
    }
}

// SAFETY: the vectors were made from slices of heap blocks that `parcel` owns or shares and that stay in
// place and unchanged for as long as this struct owns the parcel; `advance` only shortens a vector from its
// front. The list of vectors is a heap block of its own, so it does not move with the struct either, and the
// count never exceeds it. There is no safe implementation in monoio that points into memory it does not own
// piece by piece.
unsafe impl IoVecBuf for Gather {
    fn read_iovec_ptr(&self) -> *const libc::iovec {
        self.vectors[self.next..].as_ptr()
    }

    fn read_iovec_len(&self) -> usize {
        (self.vectors.len() - self.next).min(VECTORS)
    }
}

/// What one operation of our own ring carries, and how far it has come.
pub(super) enum Cargo {
    /// Nothing: the place is free.
    Nothing,
    /// One place of the flight's parcel, and how many bytes of it are sent.
    Stretch(Piece, usize),
    /// Several places of a parcel, with the header that names them.
    Gather(Box<(Gather, libc::msghdr)>),
    /// Bytes of our own (ciphertext), and how many of them are sent.
    Bytes(Vec<u8>, usize),
    /// Nothing is sent: a receive fills the room of this buffer.
    Room(Filling),
}

/// An operation of our own ring that moves memory we own, or the place for one. Parcels are written into it
/// and taken out of it once: on the way nobody moves them.
pub(super) struct Flight {
    pub(super) cargo: Cargo,
    pub(super) fd: RawFd,
    pub(super) token: u32,
    /// A send that ends while it is submitted, whatever comes of it, and completes only when not all of it
    /// was taken.
    pub(super) silent: bool,
    /// Of a stretch; empty otherwise.
    parcel: Parcel,
    /// Length of the parcel's own bytes before its pieces were joined.
    own: usize,
}

impl Flight {
    /// A free place.
    pub(super) fn vacant() -> Self {
        Self { cargo: Cargo::Nothing, fd: -1, token: 0, silent: false, parcel: Parcel::default(), own: 0 }
    }

    /// Takes a parcel aboard, to be sent in the way that costs least. Only one that is sent from one place
    /// can be `silent`.
    #[inline]
    pub(super) fn board(&mut self, parcel: Parcel, silent: bool) {
        debug_assert!(matches!(self.cargo, Cargo::Nothing), "one cargo at a time");
        self.own = parcel.own.len();
        self.silent = silent;
        // What is forgotten is empty: asking it whether it must be freed would cost more than the move.
        core::mem::forget(core::mem::replace(&mut self.parcel, parcel));
        let cargo =
            if let &[piece] = &*self.parcel.pieces { Cargo::Stretch(piece, 0) } else { self.board_pieces() };
        core::mem::forget(core::mem::replace(&mut self.cargo, cargo));
    }

    fn board_pieces(&mut self) -> Cargo {
        match shape(&self.parcel) {
            Shape::Nothing => Cargo::Stretch(Piece::Own(Span::default()), 0),
            Shape::One(piece) => Cargo::Stretch(piece, 0),
            Shape::Joined => Cargo::Stretch(join(&mut self.parcel), 0),
            Shape::Gathered => {
                self.silent = false;
                // SAFETY: every field of a msghdr may be zero: null pointers with lengths of 0.
                let header = unsafe { core::mem::zeroed::<libc::msghdr>() };
                let gather = Gather::new(core::mem::take(&mut self.parcel), Vec::new());
                Cargo::Gather(Box::new((gather, header)))
            }
        }
    }

    /// The parcel, as it came aboard; the place is free again.
    #[inline]
    pub(super) fn take_parcel(&mut self) -> Parcel {
        let Cargo::Stretch(..) = self.cargo else { return self.take_gathered() };
        core::mem::forget(core::mem::replace(&mut self.cargo, Cargo::Nothing));
        self.parcel.own.truncate(self.own);
        core::mem::take(&mut self.parcel)
    }

    fn take_gathered(&mut self) -> Parcel {
        match core::mem::replace(&mut self.cargo, Cargo::Nothing) {
            Cargo::Gather(gathered) => gathered.0.into_parts().0,
            _ => Parcel::default(),
        }
    }

    /// The kernel took `count` bytes.
    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        match &mut self.cargo {
            Cargo::Gather(gathered) => gathered.0.advance(count),
            Cargo::Stretch(_, sent) | Cargo::Bytes(_, sent) => *sent += count,
            Cargo::Room(_) | Cargo::Nothing => {}
        }
    }

    /// Everything was taken.
    #[inline]
    pub(super) fn is_done(&self) -> bool {
        match &self.cargo {
            Cargo::Stretch(piece, sent) => *sent >= piece.span().len(),
            Cargo::Gather(gathered) => gathered.0.is_done(),
            Cargo::Bytes(bytes, sent) => *sent >= bytes.len(),
            Cargo::Room(_) | Cargo::Nothing => true,
        }
    }

    /// The operation for what is left. A short send is continued by the kernel, a closed peer is an error and
    /// no signal. The entry points into memory that `self` owns and that does not move with it.
    ///
    /// A silent send neither waits nor is continued (`MSG_DONTWAIT`); being taken in part is a failure
    /// (`MSG_WAITALL`), and failures complete in spite of `SKIP_SUCCESS`.
    #[inline]
    pub(super) fn entry(&mut self) -> squeue::Entry {
        const FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let (silently, spoken) = (FLAGS | libc::MSG_DONTWAIT, squeue::Flags::empty());
        match &mut self.cargo {
            Cargo::Stretch(piece, sent) => {
                let rest = self.parcel.bytes(*piece).get(*sent..).unwrap_or_default();
                let (flags, entry_flags) =
                    if self.silent { (silently, squeue::Flags::SKIP_SUCCESS) } else { (FLAGS, spoken) };
                send_of(self.fd, rest).flags(flags).build().flags(entry_flags)
            }
            Cargo::Bytes(bytes, sent) => {
                send_of(self.fd, bytes.get(*sent..).unwrap_or_default()).flags(FLAGS).build()
            }
            Cargo::Room(filling) => {
                let (start, length) = (filling.write_ptr(), filling.bytes_total());
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                opcode::Recv::new(Fd(self.fd), start, length).build()
            }
            Cargo::Gather(gathered) => {
                let (gather, header) = &mut **gathered;
                header.msg_iov = gather.read_iovec_ptr().cast_mut();
                header.msg_iovlen = gather.read_iovec_len() as _;
                opcode::SendMsg::new(Fd(self.fd), &raw const *header).flags(FLAGS as u32).build()
            }
            Cargo::Nothing => opcode::Nop::new().build(),
        }
    }
}

fn send_of(fd: RawFd, bytes: &[u8]) -> opcode::Send {
    opcode::Send::new(Fd(fd), bytes.as_ptr(), u32::try_from(bytes.len()).unwrap_or(u32::MAX))
}

/// How a parcel leaves.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// There is nothing in it.
    Nothing,
    /// One piece, sent from where it lies.
    One(Piece),
    /// Several small pieces: copying them together costs less than a gathered send.
    Joined,
    /// Several pieces, too long to copy.
    Gathered,
}

/// Chooses how `parcel` leaves.
pub(super) fn shape(parcel: &Parcel) -> Shape {
    let (mut last, mut count, mut total) = (Piece::Own(Span::default()), 0, 0);
    for &piece in &parcel.pieces {
        let length = piece.span().len();
        if length > 0 {
            (last, count, total) = (piece, count + 1, total + length);
        }
    }
    match count {
        0 => Shape::Nothing,
        1 => Shape::One(last),
        _ if total <= limits::COALESCE_BYTES => Shape::Joined,
        _ => Shape::Gathered,
    }
}

/// Copies all pieces behind `own` and returns them as one piece. The caller cuts `own` back to its length
/// afterwards; its capacity stays, so that a parcel in use does not allocate.
pub(super) fn join(parcel: &mut Parcel) -> Piece {
    let Parcel { own, window, shared, pieces } = parcel;
    let start = own.len();
    for piece in pieces.iter() {
        match *piece {
            Piece::Own(span) => own.extend_from_within(span.range()),
            Piece::Window(span) => own.extend_from_slice(span.of(&window.storage)),
            Piece::Shared(span) => own.extend_from_slice(shared.as_ref().map_or(&[], |bytes| span.of(bytes))),
        }
    }
    Piece::Own(Span::new(start, own.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    fn parcel(pieces: &[Piece]) -> Parcel {
        Parcel {
            own: b"0123456789".to_vec(),
            window: Lent { storage: b"abcdefghij".to_vec(), taken: 0, filled: 10 },
            shared: Some(Rc::new(b"ABCDEFGHIJ".to_vec())),
            pieces: pieces.to_vec(),
        }
    }

    fn bytes_of(gather: &Gather) -> Vec<u8> {
        let (first, count) = (gather.read_iovec_ptr(), gather.read_iovec_len());
        (0..count)
            .flat_map(|index| {
                // SAFETY: the trait promises `count` valid vectors, each over initialised bytes the parcel
                // owns.
                unsafe {
                    let vector = *first.add(index);
                    std::slice::from_raw_parts(vector.iov_base.cast::<u8>(), vector.iov_len).to_vec()
                }
            })
            .collect()
    }

    #[test]
    fn pieces_keep_their_order_joined_and_gathered() {
        let check = |pieces: &[Piece], expected: &[u8]| {
            let mut joined = parcel(pieces);
            let piece = join(&mut joined);
            assert_eq!(joined.bytes(piece), expected);
            for cut in 0..=expected.len() {
                let mut gather = Gather::new(parcel(pieces), Vec::new());
                gather.advance(cut);
                assert_eq!(bytes_of(&gather), &expected[cut..], "cut at {cut}");
                assert_eq!(gather.is_done(), cut == expected.len());
            }
        };
        let (own, window, shared) =
            (Piece::Own(Span::new(1, 4)), Piece::Window(Span::new(2, 3)), Span::new(0, 10));
        check(&[], b"");
        check(&[own], b"123");
        check(&[own, window, Piece::Shared(shared)], b"123cABCDEFGHIJ");
        check(&[Piece::Shared(Span::new(9, 10)), Piece::Own(Span::new(5, 5)), own, own], b"J123123");
    }

    #[test]
    fn shape_follows_count_and_size() {
        let own = Piece::Own(Span::new(0, 10));
        let empty = Piece::Window(Span::new(3, 3));
        assert_eq!(shape(&parcel(&[])), Shape::Nothing);
        assert_eq!(shape(&parcel(&[empty])), Shape::Nothing);
        assert_eq!(shape(&parcel(&[empty, own, empty])), Shape::One(own));
        assert_eq!(shape(&parcel(&[own, own])), Shape::Joined);
        let mut large = parcel(&[own, Piece::Window(Span::new(0, limits::COALESCE_BYTES))]);
        large.window.storage = vec![7; limits::COALESCE_BYTES];
        assert_eq!(shape(&large), Shape::Gathered);
    }

    #[test]
    fn a_stretch_shrinks_to_nothing() {
        let mut stretch = Stretch::new(parcel(&[]), Piece::Shared(Span::new(2, 6)));
        assert_eq!(stretch.rest(), b"CDEF");
        stretch.advance(3);
        assert_eq!((stretch.rest(), stretch.bytes_init()), (&b"F"[..], 1));
        stretch.advance(1);
        assert!(stretch.rest().is_empty());
    }
}
