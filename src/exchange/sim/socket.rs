//! One socket of the router and the wire behind it, as the kernel would keep them.
//!
//! Deliberately absent: when things happen (`world`), and what the peer does (`client`, `origin`).

use crate::base::time::Moment;
use crate::exchange::Got;
use crate::exchange::sim::Random;
use crate::wire::buf::Lent;
use crate::wire::parcel::Parcel;

/// What is written over memory that the kernel holds.
const GARBAGE: u8 = 0xA5;

/// A send in flight.
pub(super) struct Sending {
    parcel: Parcel,
    bytes: Vec<u8>,
    at: usize,
}

/// A socket of the router.
#[derive(Default)]
pub(super) struct Socket {
    /// Bytes that arrived and were not received.
    pub(super) arrived: Vec<u8>,
    /// The peer ended its side; true from its arrival on.
    pub(super) fin: bool,
    /// The peer reset the connection.
    pub(super) reset: bool,
    /// When the last thing the peer sent arrives.
    pub(super) tail: Moment,
    /// True exactly while a receive is in flight.
    pub(super) recv: Option<Lent>,
    /// Its completion is on its way.
    pub(super) recv_due: bool,
    /// True exactly while a send is in flight.
    pub(super) send: Option<Sending>,
    /// Its completion is on its way.
    pub(super) send_due: bool,
    /// Bytes sent and not yet read by the peer.
    pub(super) outlet: Vec<u8>,
    /// The router ended its side.
    pub(super) ended: bool,
    /// The router shut the socket down: what is in flight completes with a failure.
    pub(super) shut: bool,
    /// The peer has closed: what is sent to it is answered with a reset.
    pub(super) peer_gone: bool,
}

impl Socket {
    /// Nothing is in flight.
    pub(super) const fn is_quiet(&self) -> bool {
        self.recv.is_none() && self.send.is_none()
    }

    /// Something is here that nobody has received.
    pub(super) fn is_dirty(&self) -> bool {
        !self.arrived.is_empty() || self.fin || self.reset
    }

    /// Begins a receive. The free part of the memory is written over: only what arrives may be looked at.
    pub(super) fn begin_recv(&mut self, mut lent: Lent) {
        assert!(self.recv.is_none(), "a second receive while one is in flight");
        assert!(!self.shut, "a receive on a connection that was released");
        assert!(lent.taken <= lent.filled && lent.filled < lent.storage.len(), "a receive into no room");
        let room = lent.filled..lent.storage.len();
        lent.storage[room.clone()][..room.len().min(4096)].fill(GARBAGE);
        self.recv = Some(lent);
    }

    /// Would a receive complete now?
    pub(super) fn recv_ready(&self) -> bool {
        self.recv.is_some() && !self.recv_due && (self.is_dirty() || self.shut)
    }

    /// Completes the receive.
    pub(super) fn end_recv(&mut self, random: Option<&mut Random>) -> (Lent, Got) {
        self.recv_due = false;
        let mut lent = self.recv.take().expect("a completion follows an operation");
        let mut count = self.arrived.len().min(lent.storage.len() - lent.filled);
        let mut failed = self.reset && self.arrived.is_empty() || self.shut;
        if let Some(random) = random {
            if count > 1 && random.chance(30) {
                count = 1 + random.below(count);
            }
            failed |= self.reset && random.chance(30);
            // A socket that is being shut down may still hand out what it has, or end in order.
            failed &= !(self.shut && random.chance(50));
        }
        if failed {
            return (lent, Got::Failed);
        }
        if count == 0 {
            return (lent, Got::End);
        }
        lent.storage[lent.filled..lent.filled + count].copy_from_slice(&self.arrived[..count]);
        self.arrived.drain(..count);
        (lent, Got::Bytes(count))
    }

    /// Begins a send.
    pub(super) fn begin_send(&mut self, parcel: Parcel) {
        assert!(self.send.is_none(), "a second send while one is in flight");
        assert!(!self.ended && !self.shut, "a send on a side that was ended");
        let mut bytes = Vec::with_capacity(parcel.total());
        for piece in &parcel.pieces {
            bytes.extend_from_slice(parcel.bytes(*piece));
        }
        assert!(!bytes.is_empty(), "a send of nothing");
        assert_eq!(bytes.len(), parcel.total(), "a piece lies outside its memory");
        self.send = Some(Sending { parcel, bytes, at: 0 });
    }

    /// Moves on what fits into a socket buffer of `room` bytes; the bytes that moved.
    pub(super) fn move_on(&mut self, room: usize) -> Vec<u8> {
        let Some(sending) = &mut self.send else { return Vec::new() };
        if self.reset || self.shut {
            return Vec::new();
        }
        let count = room.saturating_sub(self.outlet.len()).min(sending.bytes.len() - sending.at);
        let moved = sending.bytes[sending.at..sending.at + count].to_vec();
        sending.at += count;
        self.outlet.extend_from_slice(&moved);
        moved
    }

    /// Would a send complete now?
    pub(super) fn send_ready(&self) -> bool {
        let whole = |sending: &Sending| sending.at == sending.bytes.len();
        !self.send_due && self.send.as_ref().is_some_and(|send| whole(send) || self.reset || self.shut)
    }

    /// Completes the send.
    pub(super) fn end_send(&mut self) -> (Parcel, bool) {
        self.send_due = false;
        let sending = self.send.take().expect("a completion follows an operation");
        (sending.parcel, sending.at == sending.bytes.len() && !self.reset)
    }
}
