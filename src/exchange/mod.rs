//! Floor 4: the life of one request, as a state machine. It is handed what happened and the time, and says
//! what to do next; it owns its buffers and nothing else.
//!
//! ```text
//!            request complete          first real event, or a whole answer
//!  Intake ───────────────────► Attempt ──────────────────────────────────► Relay ──► Intake
//!     │                         │   ▲                                        │
//!     │ refused                 │   └── failed, and another candidate may be  │ cut
//!     ▼                         ▼       tried: the client has seen nothing    ▼
//!   Close ◄───────────────────────────────────────────────────────────────  Close
//! ```
//!
//! The commit point is the arrow from `Attempt` to `Relay`: the replayable request and the plan live in
//! `Attempt` only, so failing over after it cannot be written. Before it, nothing but waiting comments
//! reaches the client.
//!
//! A request that waits long may be given to a second candidate (`hedge`). Then two origins are under way, on
//! two lanes (`lane`); the code of an attempt speaks of the one in hand, and the first answer ends the race.
//!
//! Each `step` takes one closed [`Input`] and appends closed [`Action`]s; the edge (a worker, the simulator,
//! a fuzzer) performs them. At most one receive and one send per side are in flight; buffers travel with the
//! operation and come back with its completion, so nobody writes into memory that the kernel holds.
//! Deliberately absent: sockets, clocks, randomness, logging. Time and random words come in through [`Cx`].

mod answer;
mod answer_head;
mod ask;
mod attempt;
mod auto;
mod availability;
mod bill;
mod close;
mod context;
mod drain;
mod emit;
mod hedge;
mod intake;
mod lane;
mod ledger;
mod nulls;
mod pump;
mod receipt;
mod relay;
pub mod reply;
mod request;
mod run;
mod sides;
#[doc(hidden)]
pub mod sim;
mod surface;
mod view;
mod waiting;

use std::rc::Rc;

use crate::base::fault::{DeadlineKind, Fault};
use crate::base::ids::ProviderId;
use crate::base::limits::INBOX_IDLE_BYTES;
use crate::base::metrics::Counter;
use crate::base::record::Record;
use crate::base::time::Moment;
use crate::policy::catalog::Snapshot;
use crate::wire::buf::{Buf, Lent};
use crate::wire::parcel::Parcel;

use drain::Drain;
use ledger::Account;
use sides::{ClientSide, OriginSide, Phase};

pub use context::{CoreState, Cx};
pub use lane::Lane;

/// How a receive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// This many bytes, at least one.
    Bytes(usize),
    /// The peer ended its side in order.
    End,
    /// Reset, or ended out of order.
    Failed,
}

/// Something that happened. Every operation that was asked for completes with exactly one of these.
#[derive(Debug)]
pub enum Input {
    /// A receive from the client completed.
    ClientRecv {
        /// The inbox's storage.
        lent: Lent,
        /// How it ended.
        got: Got,
    },
    /// A send to the client completed.
    ClientSent {
        /// The parcel, whole.
        parcel: Parcel,
        /// All bytes were taken.
        ok: bool,
    },
    /// A connection to the origin is ready.
    Dialed {
        /// On which lane.
        lane: Lane,
        /// It comes from the pool and has served before.
        reused: bool,
    },
    /// No connection to the origin could be made (or the dial was aborted).
    DialFailed {
        /// On which lane.
        lane: Lane,
        /// Why.
        fault: Fault,
    },
    /// A send to the origin completed.
    OriginSent {
        /// On which lane.
        lane: Lane,
        /// The parcel, whole.
        parcel: Parcel,
        /// All bytes were taken.
        ok: bool,
    },
    /// A receive from the origin completed.
    OriginRecv {
        /// On which lane.
        lane: Lane,
        /// The window's storage.
        lent: Lent,
        /// How it ended.
        got: Got,
    },
    /// The time [`Exchange::due`] named has come.
    Deadline,
    /// The process drains: answer what runs, keep nothing alive.
    Drain,
    /// The drain time is over: end now.
    Stop,
}

/// Something to do.
#[derive(Debug)]
pub enum Action {
    /// Receive from the client into [`Exchange::lend_inbox`].
    ClientRecv,
    /// Send [`Exchange::take_client_parcel`] to the client.
    ClientSend,
    /// End our side of the client connection; receives go on.
    ClientHalfClose,
    /// Get a connection: pooled, or new when `fresh`.
    Dial {
        /// On which lane.
        lane: Lane,
        /// To whom.
        provider: ProviderId,
        /// A pooled one will not do.
        fresh: bool,
    },
    /// Give the running dial up; it still completes.
    AbortDial {
        /// On which lane.
        lane: Lane,
    },
    /// Send [`Exchange::take_origin_parcel`] to the origin.
    OriginSend {
        /// On which lane.
        lane: Lane,
    },
    /// Receive from the origin into [`Exchange::lend_window`].
    OriginRecv {
        /// On which lane.
        lane: Lane,
    },
    /// Part from the origin connection: back to the pool, or shut down. Operations in flight still complete.
    Release {
        /// On which lane.
        lane: Lane,
        /// The connection is clean and may serve again.
        reusable: bool,
    },
    /// End the client connection and nothing else: the client is gone, and the origin is read on without it.
    /// Its operations in flight still complete; `Close` comes later.
    ClientEnd,
    /// The request has ended. Asked for only where [`CoreState::tells_records`] says so.
    Record(Box<Record>),
    /// Close the client connection, shutting down whatever is in flight; no further input is expected.
    Close {
        /// With a reset: the answer was cut and its end would otherwise look like its completion.
        reset: bool,
    },
}

/// Where a request is in its life.
#[derive(Debug)]
enum State {
    /// Collecting a request, in [`Exchange::intake`]. Nothing has been promised to anyone.
    Intake,
    /// Trying candidates. The client has seen no byte of an answer.
    Attempt(Box<attempt::Attempt>),
    /// An answer is on its way. There is no request left that could be tried elsewhere.
    Relay(Box<relay::Relay>),
    /// Sending the last bytes of an answer of our own, or waiting for the client to take them.
    Close(close::Close),
    /// Over; only completions still arrive.
    Ended,
}

/// One client connection and the request it carries now.
#[derive(Debug)]
pub struct Exchange {
    state: State,
    /// The request that is being collected; of use in [`State::Intake`] only. It lies here so that a change
    /// of state moves no more than a pointer.
    intake: intake::Intake,
    client: ClientSide,
    /// The origin in hand: nearly always the only one.
    origin: OriginSide,
    /// Its lane.
    lane: Lane,
    /// The other lane, while a second candidate races the first or what is left of one comes home.
    other: Option<Box<lane::Other>>,
    /// Bytes from the client.
    inbox: Buf,
    /// Bytes from the origin.
    window: Buf,
    /// The running request's bytes: shared with sends that replay it.
    request: Rc<Vec<u8>>,
    to_client: Parcel,
    to_origin: Parcel,
    phase: Phase,
    /// Deadline of the whole request.
    total_due: Moment,
    /// What is owed to the ledger.
    account: Account,
    /// The client is gone, and its answer is read on without it.
    drain: Option<Drain>,
    /// Body bytes charged to the core's budget by this exchange.
    charged: usize,
    /// The answer is a stream for a client of OpenRouter's: see [`nulls`].
    leaves_nulls_out: bool,
}

impl Exchange {
    /// A fresh client connection. The first [`Exchange::start`] asks for its first bytes.
    #[must_use]
    pub fn new(snapshot: &Snapshot, now: Moment) -> Self {
        Self {
            state: State::Intake,
            intake: intake::Intake::default(),
            client: ClientSide::default(),
            origin: OriginSide::default(),
            lane: Lane::First,
            other: None,
            inbox: Buf::with_room(INBOX_IDLE_BYTES),
            window: Buf::default(),
            request: Rc::default(),
            to_client: Parcel::default(),
            to_origin: Parcel::default(),
            phase: Phase { due: now + snapshot.deadlines.client_idle, kind: DeadlineKind::ClientIdle },
            total_due: Moment::NEVER,
            account: Account::default(),
            drain: None,
            charged: 0,
            leaves_nulls_out: false,
        }
    }

    /// Asks for the first bytes.
    pub fn start(&mut self, cx: &mut Cx<'_>) {
        self.receive_from_client(cx);
    }

    /// When [`Input::Deadline`] should come, at the earliest.
    #[must_use]
    pub fn due(&self) -> Moment {
        let due = self.phase.due.min(self.total_due);
        match &self.state {
            State::Attempt(attempt) => {
                due.min(attempt.comment_due()).min(attempt.hedge_due).min(self.other_due())
            }
            State::Intake | State::Relay(_) | State::Close(_) => due,
            State::Ended => Moment::NEVER,
        }
    }

    /// True between two requests with nothing received: the connection may be closed without loss.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Intake) && self.intake.is_untouched() && self.inbox.is_empty()
    }

    /// The inbox's storage for [`Action::ClientRecv`].
    pub fn lend_inbox(&mut self) -> Lent {
        self.inbox.lend()
    }

    /// The window's storage for [`Action::OriginRecv`].
    pub fn lend_window(&mut self, lane: Lane) -> Lent {
        self.window_of(lane).lend()
    }

    /// The parcel for [`Action::ClientSend`].
    pub fn take_client_parcel(&mut self) -> Parcel {
        core::mem::take(&mut self.to_client)
    }

    /// The parcel for [`Action::OriginSend`].
    pub fn take_origin_parcel(&mut self, lane: Lane) -> Parcel {
        core::mem::take(self.outgoing_of(lane))
    }

    /// One thing happened. Inlined, so that who knows what happened goes straight to what it means.
    #[inline]
    pub fn step(&mut self, cx: &mut Cx<'_>, input: Input) {
        match input {
            Input::ClientRecv { lent, got } => self.on_client_recv(cx, lent, got),
            Input::ClientSent { parcel, ok } => self.on_client_sent(cx, parcel, ok),
            Input::Dialed { lane, reused } if self.take_in_hand(lane) => self.on_dialed(cx, reused),
            Input::DialFailed { lane, fault } if self.take_in_hand(lane) => self.on_dial_failed(cx, fault),
            Input::OriginSent { lane, parcel, ok } if self.take_in_hand(lane) => {
                self.on_origin_sent(cx, parcel, ok);
            }
            Input::OriginRecv { lane, lent, got } if self.take_in_hand(lane) => {
                self.on_origin_recv(cx, lent, got);
            }
            home @ (Input::Dialed { .. }
            | Input::DialFailed { .. }
            | Input::OriginSent { .. }
            | Input::OriginRecv { .. }) => self.on_homecoming(cx, home),
            Input::Deadline => self.on_deadline(cx),
            Input::Drain => self.on_drain(cx),
            Input::Stop => self.on_stop(cx),
        }
    }

    fn on_client_recv(&mut self, cx: &mut Cx<'_>, lent: Lent, got: Got) {
        self.client.receiving = false;
        if self.drain.is_some() {
            self.inbox.restore(lent, 0);
            return self.forget_inbox(cx);
        }
        let Got::Bytes(count) = got else {
            self.inbox.restore(lent, 0);
            // Who has ended its side may still read the answer of ours that is on its way.
            return match &self.state {
                State::Close(close) if got == Got::End && close.is_sending() => {}
                _ => self.on_client_gone(cx),
            };
        };
        self.inbox.restore(lent, count);
        match &self.state {
            State::Intake => self.take_in(cx),
            // Bytes of the next request wait for their turn.
            State::Attempt(_) | State::Relay(_) => self.watch_client(cx),
            State::Close(_) => self.linger(cx),
            State::Ended => {}
        }
    }

    fn on_client_sent(&mut self, cx: &mut Cx<'_>, parcel: Parcel, ok: bool) {
        self.client.sending = false;
        self.to_client = parcel;
        let parcel = &mut self.to_client;
        if parcel.window.storage.capacity() > 0 {
            self.window.restore(core::mem::take(&mut parcel.window), 0);
        }
        cx.core.counters.add(Counter::ClientBytes, parcel.total() as u64);
        parcel.clear();
        if self.drain.is_some() {
            return self.after_lost_send(cx);
        }
        if !ok {
            return self.on_client_gone(cx);
        }
        match &self.state {
            State::Intake => self.after_continue(cx),
            State::Attempt(_) => self.after_comment(cx),
            State::Relay(_) => self.after_relay_send(cx),
            State::Close(_) => self.after_close_send(cx),
            State::Ended => {}
        }
    }

    fn on_origin_recv(&mut self, cx: &mut Cx<'_>, lent: Lent, got: Got) {
        self.origin.receiving = false;
        let count = if let Got::Bytes(count) = got { count } else { 0 };
        self.window.restore(lent, count);
        if self.origin.released {
            return self.after_release(cx);
        }
        cx.core.counters.add(Counter::UpstreamBytes, count as u64);
        if self.leaves_nulls_out {
            let known = self.window.len() - count;
            nulls::blank(&mut self.window.bytes_mut()[known.saturating_sub(nulls::REACH)..]);
        }
        match &self.state {
            State::Attempt(_) => self.on_answer_bytes(cx, got),
            State::Relay(_) => self.on_relay_bytes(cx, got),
            State::Intake | State::Close(_) | State::Ended => {}
        }
        self.spend_drain(cx, count);
    }

    fn on_origin_sent(&mut self, cx: &mut Cx<'_>, parcel: Parcel, ok: bool) {
        self.origin.sending = false;
        self.to_origin = parcel;
        self.to_origin.clear();
        if self.origin.released {
            return self.after_release(cx);
        }
        match &self.state {
            State::Attempt(_) => self.after_request_send(cx, ok),
            State::Relay(_) | State::Intake | State::Close(_) | State::Ended => {}
        }
    }

    fn on_deadline(&mut self, cx: &mut Cx<'_>) {
        if cx.now >= self.total_due {
            // The phase's own deadline stays: it is what ends a send to a client that does not read.
            self.total_due = Moment::NEVER;
            self.on_deadline_of(cx, DeadlineKind::Total);
        } else if cx.now >= self.phase.due {
            self.phase.due = Moment::NEVER;
            self.on_deadline_of(cx, self.phase.kind);
        } else if cx.now >= self.other_due() {
            self.turn();
            self.phase.due = Moment::NEVER;
            self.on_deadline_of(cx, self.phase.kind);
        } else if let State::Attempt(attempt) = &self.state {
            if cx.now >= attempt.hedge_due {
                self.begin_hedge(cx);
            } else if cx.now >= attempt.comment_due() {
                self.send_comment(cx);
            }
        }
    }

    fn on_deadline_of(&mut self, cx: &mut Cx<'_>, kind: DeadlineKind) {
        cx.count(close::deadline_counter(kind));
        match &self.state {
            State::Intake => self.intake_deadline(cx, kind),
            State::Attempt(_) => self.attempt_deadline(cx, kind),
            State::Relay(_) => self.relay_deadline(cx, kind),
            State::Close(_) => self.close_deadline(cx),
            State::Ended => {}
        }
    }

    fn on_client_gone(&mut self, cx: &mut Cx<'_>) {
        match &self.state {
            State::Intake | State::Close(_) => self.close_now(cx),
            State::Attempt(_) | State::Relay(_) => self.client_left(cx),
            State::Ended => {}
        }
    }

    /// Arms a receive from the client unless one is in flight or there is no room for more of the next
    /// request.
    fn receive_from_client(&mut self, cx: &mut Cx<'_>) {
        if self.client.receiving {
            return;
        }
        self.inbox.compact();
        if self.inbox.room() > 0 {
            self.client.receiving = true;
            cx.act(Action::ClientRecv);
        }
    }

    /// While an answer is on its way the receive stays armed, so that a leaving client is noticed. Bytes of a
    /// next request end that: they are taken in when their turn comes. Stray line ends between requests are
    /// nobody's.
    fn watch_client(&mut self, cx: &mut Cx<'_>) {
        if self.inbox.bytes().iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            self.inbox.take(self.inbox.len());
            self.receive_from_client(cx);
        }
    }

    fn send_to_client(&mut self, cx: &mut Cx<'_>) {
        debug_assert!(!self.client.sending && self.to_client.total() > 0);
        self.client.sending = true;
        cx.act(Action::ClientSend);
    }

    fn receive_from_origin(&mut self, cx: &mut Cx<'_>) {
        debug_assert!(!self.origin.receiving && self.window.room() > 0);
        self.origin.receiving = true;
        cx.act(Action::OriginRecv { lane: self.lane });
    }

    fn arm(&mut self, kind: DeadlineKind, due: Moment) {
        self.phase = Phase { due, kind };
    }
}
