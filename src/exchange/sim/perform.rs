//! Performing an exchange's actions, and what must hold after each step.
//!
//! Deliberately absent: choosing what happens next (`world`).

use crate::base::fault::{DeadlineKind, Fault};
use crate::base::limits::{HEAD_BYTES, INBOX_IDLE_BYTES, SPARE_WINDOWS, WINDOW_BYTES};
use crate::base::time::Moment;
use crate::exchange::sim::Random;
use crate::exchange::sim::origin::Dialled;
use crate::exchange::sim::world::{Arrival, Event, Side, Tried, Wire, World};
use crate::exchange::{Action, Input, Lane, State};
use crate::wire::parcel::Parcel;

/// A dial in flight.
pub(super) struct Dial {
    result: Result<usize, Option<Fault>>,
    reused: bool,
    aborted: bool,
    /// Its completion is on its way.
    due: bool,
}

impl World<'_> {
    /// Performs one action.
    pub(super) fn perform(&mut self, session: usize, action: Action) {
        assert!(!self.sessions[session].over, "an action after the close: {action:?}");
        if !matches!(action, Action::Record(_)) {
            self.note(|| format!("  exchange {} {action:?}", session + 1));
        }
        match action {
            Action::ClientRecv => {
                let idle = self.sessions[session].exchange.is_idle();
                let lent = self.sessions[session].exchange.lend_inbox();
                let small = lent.storage.len() <= 4 * INBOX_IDLE_BYTES;
                assert!(small || !idle, "an idle inbox of {} bytes", lent.storage.len());
                let most = self.snapshot.limits.body_bytes + 2 * HEAD_BYTES + 8 * INBOX_IDLE_BYTES;
                assert!(lent.storage.len() <= 2 * most, "an inbox of {} bytes", lent.storage.len());
                self.sessions[session].socket.begin_recv(lent);
                self.wake(Side::Client(session));
            }
            Action::ClientSend => {
                let parcel = self.sessions[session].exchange.take_client_parcel();
                self.sessions[session].socket.begin_send(parcel);
                self.push_to_client(session);
            }
            Action::ClientEnd => {
                // The client has left: what is in flight to and from it completes somehow.
                let socket = &mut self.sessions[session].socket;
                assert!(!socket.shut, "ended twice");
                (socket.ended, socket.shut) = (true, true);
                self.wake(Side::Client(session));
            }
            Action::ClientHalfClose => {
                let socket = &mut self.sessions[session].socket;
                assert!(!socket.ended && socket.send.is_none(), "ended twice, or with a send in flight");
                socket.ended = true;
                self.wake_client(session);
            }
            Action::Dial { lane, provider, fresh } => self.dial(session, lane, provider.index(), fresh),
            Action::AbortDial { lane } => self.abort_dial(session, lane),
            Action::OriginSend { lane } => {
                let parcel = self.sessions[session].exchange.take_origin_parcel(lane);
                let id = self.wire(session, lane).origin.expect("sends only on a connection");
                self.check_admitted(session, &parcel);
                self.connections[id].socket.begin_send(parcel);
                self.push_to_origin(id);
            }
            Action::OriginRecv { lane } => {
                let lent = self.sessions[session].exchange.lend_window(lane);
                assert!(lent.storage.len() <= WINDOW_BYTES, "a window of {} bytes", lent.storage.len());
                let id = self.wire(session, lane).origin.expect("receives only on a connection");
                self.connections[id].socket.begin_recv(lent);
                self.wake(Side::Origin(id));
            }
            Action::Release { lane, reusable } => self.release(session, lane, reusable),
            Action::Record(record) => {
                self.note(|| format!("  exchange {} {record:?}", session + 1));
                self.sessions[session].records.push(*record);
            }
            Action::Close { reset } => self.close(session, reset),
        }
    }

    /// What must hold whenever an exchange has nothing more to do for now.
    pub(super) fn watch(&mut self, session: usize) {
        let limit = self.snapshot.limits.bodies_bytes_per_core;
        assert!(self.core.bodies_bytes <= limit, "the body budget is exceeded");
        assert!(self.core.spares.kept().0 <= SPARE_WINDOWS);
        let charged: usize = self.sessions.iter().map(|seat| seat.exchange.charged).sum();
        assert_eq!(charged, self.core.bodies_bytes, "the body budget is not what the exchanges hold");
        let seat = &self.sessions[session];
        let parts = |wire: &Wire| wire.parting.is_some_and(|id| !self.connections[id].socket.is_quiet());
        let comes_home = |wire: &Wire| parts(wire) || wire.dial.as_ref().is_some_and(|dial| dial.aborted);
        let is_busy =
            |wire: &&Wire| wire.origin.is_some() || wire.dial.as_ref().is_some_and(|dial| !dial.aborted);
        let busy = seat.wires.iter().filter(is_busy).count();
        let races = matches!(seat.exchange.state, State::Attempt(_));
        assert!(busy <= if races { 2 } else { 1 }, "exchange {} keeps two origins", session + 1);
        let quiet = seat.wires.iter().all(|wire| !parts(wire) && wire.dial.is_none());
        if seat.exchange.is_idle() && quiet && !seat.over {
            // What an idle connection holds besides its inbox.
            let (window, request) = (seat.exchange.window.capacity(), seat.exchange.request.capacity());
            assert_eq!(window, 0, "an idle connection holds a window");
            assert!(seat.exchange.other.is_none(), "an idle connection holds what is left of a race");
            assert!(request <= 4 * INBOX_IDLE_BYTES, "an idle connection holds a request of {request} bytes");
        }
        if seat.over || seat.exchange.due() != Moment::NEVER {
            return;
        }
        // Without a deadline, an exchange may only wait for what is certain to come.
        assert!(seat.wires.iter().any(comes_home), "exchange {} waits without a deadline", session + 1);
    }

    /// What goes to a provider belongs to a request that was admitted and is not settled.
    fn check_admitted(&self, session: usize, parcel: &Parcel) {
        let State::Attempt(attempt) = &self.sessions[session].exchange.state else {
            panic!("a request is sent after its answer")
        };
        let first = parcel.pieces.first().map(|piece| parcel.bytes(*piece)).unwrap_or_default();
        let id = attempt.request.id;
        assert!(
            !first.starts_with(b"POST ") || self.book.borrow().owes(id.as_str()),
            "{id:?} is not admitted"
        );
    }

    fn wire(&mut self, session: usize, lane: Lane) -> &mut Wire {
        &mut self.sessions[session].wires[lane.index()]
    }

    /// Moves bytes to the client as far as there is room.
    pub(super) fn push_to_client(&mut self, session: usize) {
        let room = self.buffer;
        let socket = &mut self.sessions[session].socket;
        let moved = socket.move_on(room);
        if socket.peer_gone && !moved.is_empty() && !socket.reset {
            self.deliver_end(Side::Client(session), Arrival::Reset);
        }
        self.wake(Side::Client(session));
        self.wake_client(session);
    }

    /// Moves bytes to an origin as far as there is room.
    pub(super) fn push_to_origin(&mut self, id: usize) {
        let room = self.buffer;
        let connection = &mut self.connections[id];
        let moved = connection.socket.move_on(room);
        connection.sent.push(&moved);
        if connection.socket.peer_gone && !moved.is_empty() && !connection.socket.reset {
            self.deliver_end(Side::Origin(id), Arrival::Reset);
        }
        self.wake(Side::Origin(id));
        self.wake_origin(id);
    }

    fn dial(&mut self, session: usize, lane: Lane, provider: usize, fresh: bool) {
        let seat = &self.sessions[session];
        let wire = &seat.wires[lane.index()];
        assert!(wire.dial.is_none() && wire.origin.is_none(), "two connections at once");
        if let Some(id) = wire.parting {
            assert!(self.connections[id].socket.is_quiet(), "a dial while the connection before is in use");
        }
        let record = seat.records.len();
        let pooled = if fresh { None } else { self.take_idle(provider) };
        let reused = pooled.is_some();
        self.tried.push(Tried { session, record, provider, reused, lane, connection: None, turn: 0 });
        let (result, due) = match pooled {
            Some(id) => (Ok(id), true),
            None => match self.open(session, lane, provider) {
                Dialled::Connection(id) => (Ok(id), true),
                Dialled::Fault(fault) => (Err(Some(fault)), true),
                Dialled::Never => (Err(None), false),
            },
        };
        self.wire(session, lane).dial = Some(Dial { result, reused, aborted: false, due });
        if due {
            let wait = self.latency();
            self.schedule(wait, Event::Dialled(session, lane));
        }
    }

    /// The pool's rule: the youngest idle connection on which nothing has come.
    fn take_idle(&mut self, provider: usize) -> Option<usize> {
        while let Some(id) = self.idle[provider].pop() {
            if !self.connections[id].socket.is_dirty() {
                return Some(id);
            }
            self.connections[id].socket.shut = true;
        }
        None
    }

    fn abort_dial(&mut self, session: usize, lane: Lane) {
        let dial = self.wire(session, lane).dial.as_mut().expect("only a dial can be aborted");
        dial.aborted = true;
        let comes = core::mem::replace(&mut dial.due, true);
        if !comes {
            let wait = self.latency();
            self.schedule(wait, Event::Dialled(session, lane));
        }
    }

    /// A dial completes.
    pub(super) fn dialled(&mut self, session: usize, lane: Lane) {
        let luck = self.choices().is_some_and(|random| Random::chance(random, 50));
        let seat = &mut self.sessions[session];
        if seat.over {
            return;
        }
        let dial = seat.wires[lane.index()].dial.take().expect("a completion follows a dial");
        self.note(|| format!("dial of {} ends: {:?}", session + 1, dial.result));
        let (id, fault) = match dial.result {
            Ok(id) => (id, None),
            Err(fault) => (0, Some(fault.unwrap_or(Fault::Deadline(DeadlineKind::Connect)))),
        };
        // An aborted dial may have been just about to succeed.
        if let Some(fault) = fault.or((dial.aborted && !luck).then_some(Fault::ConnectRefused)) {
            return self.step(session, Input::DialFailed { lane, fault });
        }
        let connection = &mut self.connections[id];
        (connection.session, connection.lane) = (session, lane);
        let turn = connection.delivered.messages.len();
        self.wire(session, lane).origin = Some(id);
        let is_it = |tried: &&mut Tried| tried.session == session && tried.lane == lane;
        if !dial.aborted
            && let Some(tried) = self.tried.iter_mut().rfind(is_it)
        {
            (tried.connection, tried.turn) = (Some(id), turn);
        }
        self.step(session, Input::Dialed { lane, reused: dial.reused });
        self.run_origin(id);
    }

    fn release(&mut self, session: usize, lane: Lane, reusable: bool) {
        let id = self.wire(session, lane).origin.take().expect("only a connection can be released");
        if reusable {
            self.check_clean(id);
            let provider = self.connections[id].provider;
            return self.idle[provider].push(id);
        }
        self.connections[id].socket.shut = true;
        self.wire(session, lane).parting = Some(id);
        self.wake(Side::Origin(id));
    }

    /// A connection that goes back to the pool has served whole requests and nothing else.
    fn check_clean(&self, id: usize) {
        let connection = &self.connections[id];
        assert!(connection.socket.is_quiet(), "pooled with an operation in flight");
        let (sent, got) = (&connection.sent, &connection.delivered);
        assert!(sent.at_boundary() && sent.flaw.is_none(), "pooled in the middle of a request");
        assert!(got.at_boundary() && got.flaw.is_none(), "pooled in the middle of an answer");
        assert_eq!(sent.complete(), got.complete(), "pooled with an answer missing or left over");
        if let Some(last) = got.messages.last() {
            let closing = last.field("connection").is_some_and(|value| value.contains("close"));
            assert!(!closing && last.start.starts_with("HTTP/1.1"), "pooled although the origin closes it");
        }
    }

    fn close(&mut self, session: usize, reset: bool) {
        let seat = &mut self.sessions[session];
        assert!(
            seat.wires.iter().all(|wire| wire.origin.is_none()),
            "closed without parting from the origin"
        );
        seat.over = true;
        seat.untaken = seat.socket.send.is_some() && self.impatient;
        // A close that leaves received bytes unread resets the connection.
        seat.resets = reset || !seat.socket.arrived.is_empty();
        (seat.socket.ended, seat.socket.shut) = (true, true);
        self.wake_client(session);
    }
}
