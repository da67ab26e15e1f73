//! One lane to origins on monoio: a dial, and the receive and the send of the connection it leads to.
//!
//! The first lane's operations lie on the task's stack; the second lane, which only a hedge needs, has them
//! in boxes that are made once and used again.
//! Deliberately absent: what is told to the exchange in which order (`connection`).

use std::future::Future;
use std::io;
use std::ops::DerefMut;
use std::rc::Rc;
use std::task::Context;

use super::line::got;
use super::slot::Slot;
use crate::base::fault::Fault;
use crate::exchange::{Input, Lane};
use crate::io::{Dial, Socket, Target};
use crate::wire::buf::Lent;
use crate::wire::parcel::Parcel;

/// The operations of one lane, and the socket they run on. `R`, `S` and `D` make receives, sends and dials;
/// `RP`, `SP` and `DP` point to where they lie.
pub(super) struct Wire<R, RP, S, SP, D, DP> {
    recv: Slot<R, RP>,
    send: Slot<S, SP>,
    dial: Slot<D, DP>,
    pub(super) socket: Option<Rc<Socket>>,
    dialing: Option<Rc<Dial>>,
}

/// With its operations on the task's stack.
pub(super) type OnStack<'a, R, RF, S, SF, D, DF> =
    Wire<R, &'a mut Option<RF>, S, &'a mut Option<SF>, D, &'a mut Option<DF>>;
/// With its operations in boxes.
pub(super) type InBoxes<R, RF, S, SF, D, DF> =
    Wire<R, Box<Option<RF>>, S, Box<Option<SF>>, D, Box<Option<DF>>>;
/// Such a one, once it was needed.
pub(super) type IfNeeded<R, RF, S, SF, D, DF> = Option<Box<InBoxes<R, RF, S, SF, D, DF>>>;

impl<R, RP, S, SP, D, DP> Wire<R, RP, S, SP, D, DP> {
    /// Without a connection.
    pub(super) const fn new(recv: Slot<R, RP>, send: Slot<S, SP>, dial: Slot<D, DP>) -> Self {
        Self { recv, send, dial, socket: None, dialing: None }
    }

    /// Hastens the end of the running dial.
    pub(super) fn abort_dial(&self) {
        if let Some(dial) = &self.dialing {
            dial.abort();
        }
    }

    /// Shuts the connection down; what is in flight on it completes.
    pub(super) fn shutdown(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.shutdown();
        }
    }

    fn open(&self) -> Rc<Socket> {
        let socket = self.socket.as_ref();
        Rc::clone(socket.expect("the exchange sends and receives only on a connection it was given"))
    }
}

impl<R, RF, RP, S, SF, SP, D, DF, DP> Wire<R, RP, S, SP, D, DP>
where
    R: Fn(Rc<Socket>, Lent) -> RF,
    RF: Future<Output = (io::Result<usize>, Lent)>,
    RP: DerefMut<Target = Option<RF>>,
    S: Fn(Rc<Socket>, Parcel) -> SF,
    SF: Future<Output = (io::Result<()>, Parcel)>,
    SP: DerefMut<Target = Option<SF>>,
    D: Fn(Rc<Dial>, Vec<Target>) -> DF,
    DF: Future<Output = Result<Rc<Socket>, Fault>>,
    DP: DerefMut<Target = Option<DF>>,
{
    /// Another one of the same kind, in boxes.
    pub(super) fn boxed(&self) -> InBoxes<R, RF, S, SF, D, DF>
    where
        R: Clone,
        S: Clone,
        D: Clone,
    {
        Wire::new(
            Slot::new(self.recv.maker(), Box::pin(None)),
            Slot::new(self.send.maker(), Box::pin(None)),
            Slot::new(self.dial.maker(), Box::pin(None)),
        )
    }

    /// Starts a dial.
    pub(super) fn dial(&mut self, targets: Vec<Target>) {
        let handle = Rc::new(Dial::new());
        self.dialing = Some(Rc::clone(&handle));
        self.dial.start(handle, targets);
    }

    /// Starts a send on the connection in hand.
    pub(super) fn send(&mut self, parcel: Parcel) {
        self.send.start(self.open(), parcel);
    }

    /// Starts a receive on the connection in hand.
    pub(super) fn recv(&mut self, lent: Lent) {
        self.recv.start(self.open(), lent);
    }

    /// A send or a receive that has completed. The request's send comes first: when both completed in one
    /// turn, the answer is not an early one, and its connection may serve again.
    pub(super) fn moved(&mut self, lane: Lane, cx: &mut Context<'_>) -> Option<Input> {
        if let Some((result, parcel)) = self.send.poll(cx) {
            return Some(Input::OriginSent { lane, parcel, ok: result.is_ok() });
        }
        let (result, lent) = self.recv.poll(cx)?;
        Some(Input::OriginRecv { lane, lent, got: got(&result) })
    }

    /// A dial that has completed.
    pub(super) fn dialed(&mut self, lane: Lane, cx: &mut Context<'_>) -> Option<Input> {
        let dialed = self.dial.poll(cx)?;
        self.dialing = None;
        Some(match dialed {
            Ok(socket) => {
                self.socket = Some(socket);
                Input::Dialed { lane, reused: false }
            }
            Err(fault) => Input::DialFailed { lane, fault },
        })
    }

    /// Nothing is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        self.recv.is_empty() && self.send.is_empty() && self.dial.is_empty()
    }
}
