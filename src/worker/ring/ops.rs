//! The operations of one client connection on our own ring.
//!
//! Deliberately absent: completions (`mod` hands them out).

use std::mem;

use super::links::{Entry, Links, Owner};
use crate::base::fault::Fault;
use crate::base::ids::PoolId;
use crate::base::time::Moment;
use crate::exchange::{Got, Input, Lane};
use crate::io::{ConnectFault, Handshake, Link, Ring, Target};
use crate::wire::buf::Lent;
use crate::wire::parcel::Parcel;
use crate::wire::spares::Spares;
use crate::worker::line::{Ops, PoolTerms, got};
use crate::worker::pool::Pool;
use crate::worker::{Core, dial};

/// The connections a seat holds, by number.
pub(super) struct Wires {
    pub(super) client: u32,
    first: Wire,
    /// Of the second lane, once it was in use.
    second: Option<Box<Wire>>,
}

/// What one lane to origins holds.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) origin: Option<u32>,
    pub(super) dialing: Option<Dialing>,
    /// Released, and its last send still comes back.
    pub(super) parting: Option<u32>,
}

impl Wires {
    pub(super) fn new(client: u32) -> Self {
        Self { client, first: Wire::default(), second: None }
    }

    /// The wire of a lane.
    #[inline]
    pub(super) fn origin(&mut self, lane: Lane) -> &mut Wire {
        match lane {
            Lane::First => &mut self.first,
            Lane::Second => self.second.get_or_insert_default(),
        }
    }

    /// The connection that an answer comes from: by then there is one.
    #[inline]
    fn answering(&self) -> Option<u32> {
        self.first.origin.or_else(|| self.second.as_ref()?.origin)
    }

    /// The wire of a lane, if it was ever in use.
    fn used(&mut self, lane: Lane) -> Option<&mut Wire> {
        match lane {
            Lane::First => Some(&mut self.first),
            Lane::Second => self.second.as_deref_mut(),
        }
    }
}

/// A dial: addresses in turn, until one takes the connection.
pub(super) struct Dialing {
    /// Those not tried yet, the next one last.
    targets: Vec<Target>,
    link: Option<u32>,
    aborted: bool,
    /// The queue of a unix socket is full: the next target is tried again after a pause.
    waits: bool,
}

/// What a connection has to say.
pub(super) enum News {
    /// The client has sent something.
    Client(Lent, Got),
    /// The origin of this lane has.
    Origin(Lane, Lent, Got),
    /// The dial has come to something.
    Other(Input),
}

/// Everything a core's connections share, borrowed for one step of one of them.
pub(super) struct RingOps<'a> {
    pub(super) ring: &'a mut Ring,
    pub(super) links: &'a mut Links,
    pub(super) pool: &'a mut Pool<u32>,
    pub(super) wires: &'a mut Wires,
    /// Seats whose dial waits for room in a queue.
    pub(super) queued: &'a mut Vec<u32>,
    pub(super) core: &'a Core,
    pub(super) seat: u32,
}

impl RingOps<'_> {
    #[inline]
    fn recv(&mut self, token: u32, lent: Lent) {
        let entry = self.links.entry(token);
        debug_assert!(entry.lent.is_none(), "one receive at a time");
        if entry.link.has_news() {
            entry.lent = Some(lent);
            self.links.announce(token);
        } else {
            entry.lent = Self::await_bytes(self.ring, token, entry, lent);
        }
    }

    /// Nothing has come in yet. A client with a long body sends it straight into its request's storage; what
    /// an origin sends stays with the link, so that parting from it brings nothing back.
    fn await_bytes(ring: &mut Ring, token: u32, entry: &mut Entry, lent: Lent) -> Option<Lent> {
        match entry.owner {
            Owner::Client(_) => entry.link.receive_into(ring, token, lent),
            _ => Some(lent),
        }
    }

    #[inline]
    fn send(&mut self, token: u32, parcel: Parcel, silent: bool) {
        self.links.entry(token).link.send(self.ring, token, parcel, silent);
    }

    /// The parcel of a send that is over.
    #[inline(always)]
    pub(super) fn take_sent(&mut self, token: u32) -> Parcel {
        self.links.entry(token).link.take_sent(self.ring)
    }

    fn origin(&mut self, lane: Lane) -> u32 {
        self.wires
            .origin(lane)
            .origin
            .expect("the exchange sends and receives only on a connection it was given")
    }

    /// Starts connecting to the next target that does not refuse at once. `fault` is what the last one said.
    fn try_next(&mut self, lane: Lane, mut fault: Fault) -> Option<Input> {
        let dialing = self.wires.origin(lane).dialing.as_mut()?;
        while let Some(target) = dialing.targets.pop() {
            let token = self.links.reserve();
            match Link::dial(self.ring, token, &target) {
                Ok(Some(link)) => {
                    self.links.open(token, link, Owner::Dial(self.seat, lane));
                    dialing.link = Some(token);
                    return None;
                }
                Ok(None) => {
                    self.links.unreserve(token);
                    dialing.targets.push(target);
                    dialing.waits = true;
                    self.queued.push(self.seat);
                    return None;
                }
                Err(refused) => {
                    self.links.unreserve(token);
                    fault = dial::of(refused);
                    if refused != ConnectFault::Refused {
                        break;
                    }
                }
            }
        }
        self.wires.origin(lane).dialing = None;
        Some(Input::DialFailed { lane, fault })
    }

    /// The pause after a full queue is over.
    pub(super) fn dial_again(&mut self, lane: Lane) -> Option<Input> {
        let wire = self.wires.used(lane)?;
        let dialing = wire.dialing.as_mut().filter(|dialing| dialing.waits)?;
        dialing.waits = false;
        if dialing.aborted {
            wire.dialing = None;
            return Some(Input::DialFailed { lane, fault: dial::of(ConnectFault::Aborted) });
        }
        self.try_next(lane, Fault::ConnectRefused)
    }

    /// Something happened to one of the seat's connections: what its exchange is to hear of it.
    #[inline]
    pub(super) fn news(&mut self, token: u32) -> Option<News> {
        let core = self.core;
        let spares = &mut core.state.borrow_mut().spares;
        let entry = self.links.entry(token);
        let lane = match entry.owner {
            Owner::Dial(_, lane) => return self.dial_on(lane, token, spares).map(News::Other),
            Owner::Origin(_, lane) | Owner::Parting(_, lane) => Some(lane),
            Owner::Client(_) | Owner::Idle(_) | Owner::Nobody => None,
        };
        if let Some((lent, result)) = entry.link.take_filled() {
            return Some(News::Client(lent, got(&result)));
        }
        let mut lent = entry.lent.take()?;
        let Some(result) = entry.link.take(self.ring, token, &mut lent, spares) else {
            entry.lent = Self::await_bytes(self.ring, token, entry, lent);
            return None;
        };
        let got = got(&result);
        Some(match lane {
            None => News::Client(lent, got),
            Some(lane) => News::Origin(lane, lent, got),
        })
    }

    /// Something happened to the connection being dialled.
    fn dial_on(&mut self, lane: Lane, token: u32, spares: &mut Spares) -> Option<Input> {
        let wire = self.wires.origin(lane);
        let dialing = wire.dialing.as_mut()?;
        let entry = self.links.entry(token);
        let mut outcome = Ok(Handshake::Running);
        if mem::take(&mut entry.writable) {
            outcome = entry.link.connected(self.ring, token).map(|()| Handshake::Running);
        }
        let outcome = outcome.map(|_| entry.link.handshake(self.ring, token, spares));
        let fault = match outcome {
            _ if dialing.aborted => ConnectFault::Aborted,
            Ok(Handshake::Running) => return None,
            Ok(Handshake::Done) => {
                entry.owner = Owner::Origin(self.seat, lane);
                wire.origin = Some(token);
                wire.dialing = None;
                return Some(Input::Dialed { lane, reused: false });
            }
            Ok(Handshake::Failed) => ConnectFault::Tls,
            Err(fault) => fault,
        };
        dialing.link = None;
        self.links.part(token, false);
        match fault {
            ConnectFault::Refused => self.try_next(lane, dial::of(fault)),
            fault => {
                wire.dialing = None;
                Some(Input::DialFailed { lane, fault: dial::of(fault) })
            }
        }
    }
}

impl Ops for RingOps<'_> {
    fn client_recv(&mut self, lent: Lent) {
        self.recv(self.wires.client, lent);
    }

    fn client_send(&mut self, parcel: Parcel, midway: bool) {
        // More of the answer comes with a completion, which is early enough to hear of the send; unless it is
        // here already.
        let is_here = |origin: u32| self.links.entry(origin).link.has_news();
        let silent = midway && !self.wires.answering().is_none_or(is_here);
        self.send(self.wires.client, parcel, silent);
    }

    fn client_half_close(&mut self) {
        self.links.entry(self.wires.client).link.shutdown_write();
    }

    fn client_end(&mut self) {
        self.links.entry(self.wires.client).link.shutdown();
    }

    fn reuse(&mut self, lane: Lane, pool: PoolId, now: Moment) -> bool {
        let links = &mut *self.links;
        let Some(token) = self.pool.take(pool, now, |old| drop(links.part(old, false))) else { return false };
        self.links.entry(token).owner = Owner::Origin(self.seat, lane);
        self.wires.origin(lane).origin = Some(token);
        true
    }

    fn dial(&mut self, lane: Lane, mut targets: Vec<Target>) -> Option<Input> {
        targets.reverse();
        let dialing = Dialing { targets, link: None, aborted: false, waits: false };
        self.wires.origin(lane).dialing = Some(dialing);
        self.try_next(lane, Fault::NameUnresolved)
    }

    fn abort_dial(&mut self, lane: Lane) {
        if let Some(dialing) = &mut self.wires.origin(lane).dialing {
            dialing.aborted = true;
            // Its poll or its receive completes, and that ends the dial.
            if let Some(token) = dialing.link {
                self.links.entry(token).link.shutdown();
            }
        }
    }

    fn origin_send(&mut self, lane: Lane, parcel: Parcel) {
        // What follows is the answer, or a deadline.
        let token = self.origin(lane);
        self.send(token, parcel, true);
    }

    fn origin_recv(&mut self, lane: Lane, lent: Lent) {
        let token = self.origin(lane);
        self.recv(token, lent);
    }

    #[inline(never)]
    fn release(&mut self, lane: Lane, keep: Option<PoolTerms>, now: Moment) -> Option<Input> {
        let token = self.wires.origin(lane).origin.take()?;
        if let Some(PoolTerms { pool, idle, most }) = keep
            && self.links.is_clean(token, self.ring, &mut self.core.state.borrow_mut().spares)
        {
            self.links.entry(token).owner = Owner::Idle(pool);
            let links = &mut *self.links;
            self.pool.put(pool, token, now + idle, most, |old| drop(links.part(old, false)));
            return None;
        }
        let entry = self.links.entry(token);
        let lent = if entry.link.is_sending() || entry.untold {
            entry.owner = Owner::Parting(self.seat, lane);
            entry.link.shutdown();
            self.wires.origin(lane).parting = Some(token);
            entry.lent.take()
        } else {
            self.links.part(token, false)
        };
        // A receive that nobody will fill any more.
        lent.map(|lent| Input::OriginRecv { lane, lent, got: Got::End })
    }

    #[inline(never)]
    fn close(&mut self, reset: bool) {
        for lane in Lane::BOTH {
            let Some(wire) = self.wires.used(lane) else { continue };
            let Wire { origin, dialing, parting } = mem::take(wire);
            for token in [dialing.and_then(|dialing| dialing.link), origin, parting].into_iter().flatten() {
                self.links.part(token, false);
            }
        }
        self.links.part(self.wires.client, reset);
    }
}
