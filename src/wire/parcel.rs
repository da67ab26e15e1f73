//! What one send carries: pieces of memory that belong to different owners, in order.
//!
//! Deliberately absent: sending it (`io/socket`) and deciding what is in it (`exchange`).

use std::rc::Rc;

use crate::base::span::Span;
use crate::wire::buf::Lent;

/// One stretch of bytes of a [`Parcel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Of `Parcel::own`.
    Own(Span),
    /// Of `Parcel::window.storage`.
    Window(Span),
    /// Of `Parcel::shared`.
    Shared(Span),
}

/// The bytes of one send. It travels to the kernel as a whole and comes back as a whole.
#[derive(Debug, Default)]
pub struct Parcel {
    /// Bytes written for this send: heads, chunk sizes, patches.
    pub own: Vec<u8>,
    /// The other side's receive buffer, forwarded without copying.
    pub window: Lent,
    /// The client's request, kept for replay.
    pub shared: Option<Rc<Vec<u8>>>,
    /// What is sent, in order.
    pub pieces: Vec<Piece>,
}

impl Parcel {
    /// Bytes to be sent.
    #[must_use]
    pub fn total(&self) -> usize {
        self.pieces.iter().map(|piece| piece.span().len()).sum()
    }

    /// Forgets pieces, own bytes and the shared request; keeps capacity. The window must have been taken
    /// back.
    pub fn clear(&mut self) {
        self.own.clear();
        self.pieces.clear();
        self.shared = None;
    }

    /// The bytes of one piece.
    #[must_use]
    pub fn bytes(&self, piece: Piece) -> &[u8] {
        match piece {
            Piece::Own(span) => span.of(&self.own),
            Piece::Window(span) => span.of(&self.window.storage),
            Piece::Shared(span) => self.shared.as_ref().map_or(&[], |shared| span.of(shared)),
        }
    }

    /// Appends `own[from..]` as a piece, joined to the last one where they touch.
    pub fn push_own(&mut self, from: usize) {
        let span = Span::new(from, self.own.len());
        match self.pieces.last_mut() {
            _ if span.is_empty() => {}
            Some(Piece::Own(last)) if last.end == span.start => last.end = span.end,
            _ => self.pieces.push(Piece::Own(span)),
        }
    }

    /// Appends a stretch of the window, joined to the last one where they touch.
    pub fn push_window(&mut self, span: Span) {
        match self.pieces.last_mut() {
            _ if span.is_empty() => {}
            Some(Piece::Window(last)) if last.end == span.start => last.end = span.end,
            _ => self.pieces.push(Piece::Window(span)),
        }
    }
}

impl Piece {
    /// Its range.
    #[must_use]
    pub const fn span(self) -> Span {
        match self {
            Self::Own(span) | Self::Window(span) | Self::Shared(span) => span,
        }
    }
}
