//! The incoming side of a link: the armed receive, what waits, and the receive that goes straight into its
//! user's buffer.
//!
//! Deliberately absent: sending, handshakes and the end (`link`).

use std::io;

use super::{End, Link, Receive, outcome};
use crate::base::limits::STRAIGHT_BYTES;
use crate::io::ring::{Arrival, Ring};
use crate::io::session::Step;
use crate::wire::buf::Lent;
use crate::wire::spares::Spares;

/// Filled buffers that may wait before the receive is stopped.
const WAITING_MAX: usize = 8;
/// It is armed again when no more than this many wait.
const WAITING_LOW: usize = 2;

impl Link {
    /// Arms the receive, unless it is armed or would not help.
    #[inline]
    pub fn arm(&mut self, ring: &mut Ring, token: u32) {
        if self.receive == Receive::Idle {
            self.arm_idle(ring, token);
        }
    }

    fn arm_idle(&mut self, ring: &mut Ring, token: u32) {
        if self.end.is_none() && !self.straight && self.waiting.len() <= WAITING_LOW {
            self.receive = Receive::Armed;
            if self.ahead {
                ring.receive_once(&self.fd, token);
            } else {
                ring.receive(&self.fd, token);
            }
        }
    }

    /// Takes in what [`super::ring::Done::Received`] brought.
    #[inline]
    pub fn received(&mut self, ring: &mut Ring, token: u32, got: Arrival, armed: bool) {
        let single = self.ahead && self.receive == Receive::Armed;
        if !armed {
            self.receive = Receive::Idle;
        }
        match got {
            Arrival::Bytes(lent) => {
                // Nothing waited, and this was all there is.
                if single && self.waiting.is_empty() && lent.filled < lent.storage.len() {
                    self.ahead = false;
                }
                self.waiting.push_back(lent);
            }
            Arrival::End => self.end = Some(End::Ordered),
            Arrival::Failed(libc::ENOBUFS | libc::ECANCELED | libc::EINTR) => {}
            Arrival::Failed(code) => self.end = Some(End::Failed(code)),
        }
        if self.receive == Receive::Armed && self.waiting.len() >= WAITING_MAX {
            self.receive = Receive::Stopping;
            self.ahead = true;
            ring.stop_receiving(token);
        }
        self.arm(ring, token);
    }

    /// Receives straight into `lent` if it has much room and nothing else is there to fill it: the user waits
    /// for much. `lent` comes back when that cannot be done yet, or is not worth it.
    pub fn receive_into(&mut self, ring: &mut Ring, token: u32, lent: Lent) -> Option<Lent> {
        let room = lent.storage.len() - lent.filled;
        self.straight = room >= STRAIGHT_BYTES && self.session.is_none() && self.end.is_none();
        match self.receive {
            _ if !self.straight => self.arm(ring, token),
            Receive::Idle if self.waiting.is_empty() => {
                self.receive = Receive::Straight;
                ring.receive_into(&self.fd, token, lent);
                return None;
            }
            Receive::Armed => {
                self.receive = Receive::Stopping;
                ring.stop_receiving(token);
            }
            Receive::Idle | Receive::Stopping | Receive::Straight => {}
        }
        Some(lent)
    }

    /// Takes in what [`super::ring::Done::Filled`] brought.
    pub fn filled(&mut self, lent: Lent, got: io::Result<usize>) {
        self.receive = Receive::Idle;
        match &got {
            Ok(0) => self.end = Some(End::Ordered),
            Ok(_) => {}
            Err(error) => self.end = Some(End::Failed(error.raw_os_error().unwrap_or(libc::EIO))),
        }
        self.filled = Some((lent, got));
    }

    /// What a straight receive has brought, once.
    pub fn take_filled(&mut self) -> Option<(Lent, io::Result<usize>)> {
        self.filled.take()
    }

    /// Something may be there for [`Link::take`].
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.waiting.is_empty() || self.end.is_some() || self.session.is_some()
    }

    /// Fills the room of `lent` with what came in; `None` when there is nothing yet. `Ok(0)` is the proper
    /// end: a FIN, under TLS a close_notify. In the clear, an empty `lent` swaps its storage for the filled
    /// one instead of copying.
    ///
    /// # Errors
    /// As [`super::socket::recv`].
    #[inline]
    pub fn take(
        &mut self,
        ring: &mut Ring,
        token: u32,
        lent: &mut Lent,
        spares: &mut Spares,
    ) -> Option<io::Result<usize>> {
        let taken = match &self.session {
            None => self.take_plain(lent, spares),
            Some(_) => self.take_tls(ring, token, lent, spares),
        };
        self.arm(ring, token);
        taken
    }

    #[inline]
    fn take_plain(&mut self, lent: &mut Lent, spares: &mut Spares) -> Option<io::Result<usize>> {
        let Some(front) = self.waiting.front_mut() else { return self.end.map(outcome) };
        if lent.filled == 0 && front.taken == 0 && lent.storage.len() <= front.storage.len() {
            let full = self.waiting.pop_front()?;
            spares.recycle(core::mem::replace(&mut lent.storage, full.storage));
            return Some(Ok(full.filled));
        }
        let mut count = 0;
        while let Some(front) = self.waiting.front_mut() {
            let room = lent.storage.get_mut(lent.filled + count..).unwrap_or_default();
            let bytes = &front.storage[front.taken..front.filled];
            let moved = room.len().min(bytes.len());
            room[..moved].copy_from_slice(&bytes[..moved]);
            count += moved;
            front.taken += moved;
            if front.taken < front.filled {
                break;
            }
            self.waiting.pop_front().into_iter().for_each(|empty| spares.recycle(empty.storage));
        }
        Some(Ok(count))
    }

    fn take_tls(
        &mut self,
        ring: &mut Ring,
        token: u32,
        lent: &mut Lent,
        spares: &mut Spares,
    ) -> Option<io::Result<usize>> {
        let session = self.session.as_mut()?;
        let room = lent.storage.get_mut(lent.filled..).unwrap_or_default();
        let taken = loop {
            match session.read(room) {
                Ok(Step::Bytes(count)) => break Some(Ok(count)),
                Ok(Step::End) => break Some(Ok(0)),
                Err(error) => break Some(Err(error)),
                Ok(Step::More) => {}
            }
            let (next, end) = (self.waiting.pop_front(), self.end);
            match (next, end) {
                (Some(full), _) => spares.recycle(session.hand(full)),
                (None, Some(End::Ordered)) if !session.knows_end() => session.end(),
                (None, Some(end)) => break Some(outcome(end)),
                (None, None) => break None,
            }
        };
        session.take_spent().into_iter().for_each(|spent| spares.recycle(spent));
        if session.has_failed() {
            // Who hears of it ends the connection at once: what is only queued then would never leave.
            self.send_alert();
        } else {
            self.flush(ring, token);
        }
        taken
    }
}
