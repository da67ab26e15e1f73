//! One client connection whatever drives it: the exchange, its deadline, and the translation of its actions
//! into operations.
//!
//! ```text
//!  completion ──► Line::step ──► exchange.step ──► actions ──► Ops (monoio's tasks, or our ring)
//! ```
//! Deliberately absent: decisions (the exchange makes them) and operations (`Ops` starts them).

use std::rc::Rc;
use std::time::Duration;

use super::Core;
use super::bell::Bell;
use super::strict::{Held, Strict};
use crate::base::fault::Fault;
use crate::base::ids::PoolId;
use crate::base::time::{Moment, UnixSeconds};
use crate::exchange::{Action, Cx, Exchange, Got, Input, Lane};
use crate::io::{Target, clock};
use crate::wire::buf::Lent;
use crate::wire::journal::Sequence;
use crate::wire::parcel::Parcel;

/// Addresses of one host that a single attempt tries.
const ADDRESSES_PER_DIAL: usize = 3;
/// Between two readings of the wall clock.
const WALL_CLOCK_PAUSE: Duration = Duration::from_millis(250);

/// A pool and how long a connection may idle in it.
#[derive(Clone, Copy)]
pub(super) struct PoolTerms {
    pub(super) pool: PoolId,
    pub(super) idle: Duration,
    pub(super) most: usize,
}

/// The operations of one client connection. Each one that is started completes with one [`Input`]; where that
/// is known at once, it is returned.
pub(super) trait Ops {
    /// Receives from the client.
    fn client_recv(&mut self, lent: Lent);
    /// Sends to the client. `midway` in an answer, the end of the send only means that more of it is wanted.
    fn client_send(&mut self, parcel: Parcel, midway: bool);
    /// Ends our side towards the client.
    fn client_half_close(&mut self);
    /// Ends the client connection both ways. What is in flight completes; the origin goes on.
    fn client_end(&mut self);
    /// Takes a connection out of the pool; false when there is none.
    fn reuse(&mut self, lane: Lane, pool: PoolId, now: Moment) -> bool;
    /// Connects to the first of the targets that takes the connection.
    fn dial(&mut self, lane: Lane, targets: Vec<Target>) -> Option<Input>;
    /// Hastens the end of the running dial.
    fn abort_dial(&mut self, lane: Lane);
    /// Sends to the origin.
    fn origin_send(&mut self, lane: Lane, parcel: Parcel);
    /// Receives from the origin.
    fn origin_recv(&mut self, lane: Lane, lent: Lent);
    /// Parts from the origin connection: into the pool, or by ending it.
    fn release(&mut self, lane: Lane, keep: Option<PoolTerms>, now: Moment) -> Option<Input>;
    /// Ends everything; nothing more is told.
    fn close(&mut self, reset: bool);
}

/// One client connection, apart from its operations.
pub(super) struct Line {
    pub(super) core: Rc<Core>,
    pub(super) bell: Rc<Bell>,
    /// The time, read once per wake-up.
    pub(super) now: Moment,
    /// The exchange has closed.
    pub(super) closing: bool,
    /// Wall time, and when to read it again.
    unix: UnixSeconds,
    unix_until: Moment,
    exchange: Exchange,
    actions: Vec<Action>,
    /// Where the origin connection goes when it is clean.
    pool: Option<PoolTerms>,
    /// Likewise on the second lane, once it was in use.
    second_pool: Option<Box<PoolTerms>>,
    /// Nothing is sent before this record is on disk; 0 is none.
    until: Sequence,
    /// What waits for that.
    held: Option<Box<Held>>,
}

impl Line {
    /// A connection that begins now.
    pub(super) fn new(core: Rc<Core>, now: Moment) -> Self {
        let exchange = Exchange::new(&core.snapshot(), now);
        let bell = core.enlist();
        let (unix, actions) = (clock::unix_seconds(), Vec::with_capacity(8));
        let unix_until = now + WALL_CLOCK_PAUSE;
        let (pool, second_pool, until, held) = (None, None, Sequence(0), None);
        let closing = false;
        Self { core, bell, now, closing, unix, unix_until, exchange, actions, pool, second_pool, until, held }
    }

    /// Begins: asks for the first bytes.
    pub(super) fn start(&mut self, ops: &mut impl Ops) {
        self.tell(|exchange, cx| exchange.start(cx));
        self.perform_all(ops);
    }

    /// Tells the exchange and performs what it asks for. Inlined, with the exchange's own `step`: who knows
    /// what happened goes straight to what it means, and no input is moved about.
    #[inline(always)]
    pub(super) fn step(&mut self, input: Input, ops: &mut impl Ops) {
        if self.closing && !matches!(input, Input::Dialed { .. }) {
            return;
        }
        self.read_wall_clock();
        self.tell(|exchange, cx| exchange.step(cx, input));
        self.perform_all(ops);
    }

    /// One step of the exchange.
    #[inline]
    fn tell(&mut self, step: impl FnOnce(&mut Exchange, &mut Cx<'_>)) {
        let Self { core, exchange, now, unix, actions, .. } = self;
        // Borrowed, not cloned: its count is shared by all cores.
        let mut newest = core.snapshot.borrow_mut();
        let mut state = core.state.borrow_mut();
        let before = core.strict.as_ref().map(Strict::written);
        let mut cx = Cx { now: *now, unix: *unix, snapshot: newest.load(), core: &mut state, actions };
        step(exchange, &mut cx);
        drop((newest, state));
        if before.is_some() {
            self.note_written(before);
        }
    }

    /// The client is parted from while a send to it waits, likewise.
    fn unhold_client(&mut self) -> Option<Input> {
        let held = self.held.as_mut()?;
        held.half_close = false;
        let (parcel, _) = held.client.take()?;
        Some(Input::ClientSent { parcel, ok: false })
    }

    /// Has the step written a record? Then what it sends waits for the disk.
    #[inline(never)]
    fn note_written(&mut self, before: Option<Sequence>) {
        let written = self.core.strict.as_ref().map(Strict::written);
        if let Some(written) = written.filter(|_| written > before) {
            self.until = written;
        }
    }

    /// Must a send wait for the disk? Where nothing is strict, this is one comparison.
    #[inline]
    fn must_wait(&self) -> bool {
        self.until != Sequence(0) && self.is_unsynced()
    }

    #[inline(never)]
    fn is_unsynced(&self) -> bool {
        self.core.strict.as_ref().is_some_and(|strict| !strict.is_synced(self.until))
    }

    /// Where a send waits. The first one asks for a sync.
    #[inline(never)]
    fn hold(&mut self) -> &mut Held {
        if self.held.is_none()
            && let Some(strict) = &self.core.strict
        {
            strict.wait(&self.bell);
        }
        self.held.get_or_insert_default()
    }

    /// More is on disk: sends what has waited for it. When the disk does not take what is written, the
    /// connection is reset: its client has seen nothing that is not recorded, and may try again.
    pub(super) fn on_synced(&mut self, ops: &mut impl Ops) {
        if self.closing || self.held.is_none() {
            return;
        }
        let Some(strict) = &self.core.strict else { return };
        if !strict.is_synced(self.until) {
            if !strict.is_refusing() {
                return strict.wait(&self.bell);
            }
            self.held = None;
            self.closing = true;
            return ops.close(true);
        }
        self.until = Sequence(0);
        let Some(mut held) = self.held.take() else { return };
        for lane in Lane::BOTH {
            if let Some(parcel) = held.origin(lane).take() {
                ops.origin_send(lane, parcel);
            }
        }
        if let Some((parcel, midway)) = held.client.take() {
            ops.client_send(parcel, midway);
        }
        if held.half_close {
            ops.client_half_close();
        }
    }

    /// The origin is parted from while a send to it waits: that send has failed.
    fn unhold(&mut self, lane: Lane) -> Option<Input> {
        let parcel = self.held.as_mut()?.origin(lane).take()?;
        Some(Input::OriginSent { lane, parcel, ok: false })
    }

    /// Performs what the exchange has asked for. What an operation answers at once is told at once.
    #[inline(never)]
    fn perform_all(&mut self, ops: &mut impl Ops) {
        let mut told = Told::default();
        if self.actions.len() > 1 {
            // Taken from the end, so that nothing is moved up.
            self.actions.reverse();
        }
        while let Some(action) = self.actions.pop() {
            self.perform(action, ops, &mut told);
        }
        if told.first.is_some() {
            return self.tell_at_once(told, ops);
        }
        if !self.closing {
            self.core.deadlines.arm(&self.bell, self.now, self.exchange.due());
        }
    }

    /// Tells what operations have answered at once. Apart from the rest, whose frame stays small that way.
    #[inline(never)]
    fn tell_at_once(&mut self, mut told: Told, ops: &mut impl Ops) {
        while let Some(input) = told.take() {
            self.tell(|exchange, cx| exchange.step(cx, input));
            self.actions.reverse();
            while let Some(action) = self.actions.pop() {
                self.perform(action, ops, &mut told);
            }
        }
        if !self.closing {
            self.core.deadlines.arm(&self.bell, self.now, self.exchange.due());
        }
    }

    /// Wall time is needed to the second at best: between two readings it is taken to stand still.
    fn read_wall_clock(&mut self) {
        if self.now >= self.unix_until {
            self.unix = clock::unix_seconds();
            self.unix_until = self.now + WALL_CLOCK_PAUSE;
        }
    }

    /// The only match on actions: a new one does not compile until it is performed here. What is done once
    /// per request and not per event stays out of line.
    #[inline]
    fn perform(&mut self, action: Action, ops: &mut impl Ops, told: &mut Told) {
        match action {
            Action::ClientRecv => ops.client_recv(self.exchange.lend_inbox()),
            Action::ClientSend => {
                let midway = self.exchange.is_midway();
                let parcel = self.exchange.take_client_parcel();
                if self.must_wait() {
                    self.hold().client = Some((parcel, midway));
                } else {
                    ops.client_send(parcel, midway);
                }
            }
            Action::ClientHalfClose => match &mut self.held {
                Some(held) if held.client.is_some() => held.half_close = true,
                Some(_) | None => ops.client_half_close(),
            },
            Action::Dial { lane, provider: _, fresh } => told.add(self.dial(lane, fresh, ops)),
            Action::AbortDial { lane } => ops.abort_dial(lane),
            Action::OriginSend { lane } => {
                let parcel = self.exchange.take_origin_parcel(lane);
                if self.must_wait() {
                    *self.hold().origin(lane) = Some(parcel);
                } else {
                    ops.origin_send(lane, parcel);
                }
            }
            Action::OriginRecv { lane } => ops.origin_recv(lane, self.exchange.lend_window(lane)),
            Action::Release { lane, reusable } => {
                let pool = match lane {
                    Lane::First => self.pool,
                    Lane::Second => self.second_pool.as_deref().copied(),
                };
                told.add(ops.release(lane, pool.filter(|_| reusable), self.now));
                if self.held.is_some() {
                    told.add(self.unhold(lane));
                }
            }
            Action::ClientEnd => {
                ops.client_end();
                if self.held.is_some() {
                    told.add(self.unhold_client());
                }
            }
            // Nobody here asks for records: the ledger has its own.
            Action::Record(_) => {}
            Action::Close { reset } => {
                self.closing = true;
                ops.close(reset);
            }
        }
    }

    /// Takes a pooled connection, or starts dialling.
    #[inline(never)]
    fn dial(&mut self, lane: Lane, fresh: bool, ops: &mut impl Ops) -> Option<Input> {
        let (snapshot, provider) = self.exchange.dialed_provider(lane)?;
        let idle = provider.deadlines.upstream_idle;
        let terms = PoolTerms { pool: provider.pool, idle, most: snapshot.limits.idle_per_upstream };
        match lane {
            Lane::First => self.pool = Some(terms),
            Lane::Second => match &mut self.second_pool {
                Some(second) => **second = terms,
                None => self.second_pool = Some(Box::new(terms)),
            },
        }
        if !fresh && ops.reuse(lane, provider.pool, self.now) {
            return Some(Input::Dialed { lane, reused: true });
        }
        let tls = if provider.tls {
            match self.core.tls_target(provider.pool) {
                Some(tls) => Some(tls),
                None => return Some(Input::DialFailed { lane, fault: Fault::TlsHandshake }),
            }
        } else {
            None
        };
        let turn = self.core.turn.get();
        self.core.turn.set(turn.wrapping_add(1));
        let known = snapshot.hosts[provider.host.index()].known();
        let targets = (0..known.min(ADDRESSES_PER_DIAL))
            .filter_map(|step| provider.address(snapshot, turn.wrapping_add(step)))
            .map(|address| Target { address, tls: tls.clone() })
            .collect();
        ops.dial(lane, targets)
    }
}

/// What operations have answered at once: one thing, or two where a step has parted from both of two origins.
#[derive(Default)]
struct Told {
    first: Option<Input>,
    /// Without memory until it is needed.
    more: Vec<Input>,
}

impl Told {
    #[inline]
    fn add(&mut self, at_once: Option<Input>) {
        if at_once.is_some() {
            self.more.extend(core::mem::replace(&mut self.first, at_once));
        }
    }

    #[inline]
    fn take(&mut self) -> Option<Input> {
        core::mem::replace(&mut self.first, self.more.pop())
    }
}

impl Drop for Line {
    /// Also after a panic: what the exchange was charged goes back, its attempt is under way no longer, and
    /// its request is settled.
    fn drop(&mut self) {
        if let Ok(mut state) = self.core.state.try_borrow_mut() {
            self.exchange.abandon(&mut state, self.now, self.unix);
        }
        self.core.dismiss(&self.bell);
    }
}

/// What a receive came to, as the exchange sees it.
pub(super) const fn got(result: &std::io::Result<usize>) -> Got {
    match result {
        Ok(0) => Got::End,
        Ok(count) => Got::Bytes(*count),
        Err(_) => Got::Failed,
    }
}
