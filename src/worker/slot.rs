//! A slot for one kind of operation: empty, or holding the one that is in flight.
//!
//! Deliberately absent: cancelling. An operation ends by its completion; to hasten it, its socket is shut
//! down.

use std::future::Future;
use std::ops::DerefMut;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A place where operations of one type run, one after the other, without an allocation: on the task's
/// stack, or in a box.
pub(super) struct Slot<M, P> {
    make: M,
    flight: Pin<P>,
}

impl<M, F: Future, P: DerefMut<Target = Option<F>>> Slot<M, P> {
    /// A slot for the operations that `make` makes.
    pub(super) fn new<A, B>(make: M, flight: Pin<P>) -> Self
    where
        M: Fn(A, B) -> F,
    {
        Self { make, flight }
    }

    /// What makes the operations, for another slot of the same kind.
    pub(super) fn maker(&self) -> M
    where
        M: Clone,
    {
        self.make.clone()
    }

    /// Starts an operation. The slot must be empty.
    pub(super) fn start<A, B>(&mut self, a: A, b: B)
    where
        M: Fn(A, B) -> F,
    {
        assert!(self.is_empty(), "one operation of a kind at a time");
        self.flight.set(Some((self.make)(a, b)));
    }

    /// Nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.flight.is_none()
    }

    /// The result of the operation in flight, if there is one and it has completed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<F::Output> {
        match self.flight.as_mut().as_pin_mut()?.poll(cx) {
            Poll::Ready(output) => {
                self.flight.set(None);
                Some(output)
            }
            Poll::Pending => None,
        }
    }
}
