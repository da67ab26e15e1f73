//! What the end of an answer tells beside it: in the usage event of a stream, before its end marker, behind
//! its last event where there is no marker, or at the front of a document too long to hold.
//!
//! Deliberately absent: what is told (`receipt`).

use super::{BodyIn, Pump};
use crate::base::span::Span;
use crate::dialect::Signal;
use crate::exchange::emit::Emit;
use crate::exchange::receipt::{self, Closing};

impl Pump {
    /// What the end of the stream is to tell.
    pub(in crate::exchange) fn close_with(&mut self, closing: Option<Box<Closing>>) {
        self.closing = closing;
    }

    /// What the end of the stream was to tell and did not.
    pub(in crate::exchange) fn take_closing(&mut self) -> Option<Box<Closing>> {
        self.closing.take()
    }

    /// Passes the first `count` bytes of a body on, ahead of the walk.
    pub(in crate::exchange) fn pass_front(&mut self, count: usize, emit: &mut Emit) {
        emit.payload(Span::new(0, count));
        self.seen.payload_bytes += count as u64;
        if let BodyIn::Length { left } = &mut self.body {
            *left -= count as u64;
        }
        if self.unfed.is_empty() {
            self.parsed = count;
        } else {
            self.unfed.start = count as u32;
        }
    }

    /// Lets an event go, with what is to be told if it is the usage event, or behind that if it is the end
    /// marker.
    #[cold]
    pub(super) fn release_last(&mut self, signal: Signal, bytes: &[u8], emit: &mut Emit) {
        let brace = match signal {
            Signal::Usage { only: true, .. } => receipt::event_brace(&self.pending, bytes),
            Signal::Usage { .. } | Signal::Content | Signal::Error { .. } | Signal::Done => None,
        };
        if let Some((turn, at)) = brace
            && let Some(closing) = self.closing.take()
        {
            let span = self.pending[turn];
            self.pending[..turn].iter().for_each(|span| emit.payload(*span));
            emit.payload(Span { end: at, ..span });
            emit.insert(closing.last_member());
            emit.payload(Span { start: at, ..span });
            self.pending.drain(..=turn);
        } else if signal == Signal::Done
            && let Some(closing) = self.closing.take()
        {
            emit.insert(closing.event().to_vec());
        }
        self.release_pending(emit);
    }

    /// A stream that was whole without an end marker tells what is to be told behind its last event, unless
    /// that one is unfinished, or an error.
    pub(super) fn close_unmarked(&mut self, emit: &mut Emit) {
        if self.closing.is_some() && !self.seen.done && self.seen.error.is_none() && !self.watch.in_event() {
            emit.insert(self.closing.take().map_or_else(Vec::new, |closing| closing.event().to_vec()));
        }
    }
}
