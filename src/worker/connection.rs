//! One client connection: the task that performs what its exchange asks for and tells it what happened.
//!
//! The task holds five slots for operations. Each wake-up polls what is in flight, turns completions into
//! inputs, performs the resulting actions, and polls what they started, until nothing moves. The task ends
//! when the exchange has closed and the last operation has completed.
//! Deliberately absent: decisions.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Core;
use super::bell::{Bell, Notice};
use super::dial::{ADDRESSES_PER_DIAL, dial};
use super::slot::Slot;
use crate::base::fault::Fault;
use crate::base::ids::PoolId;
use crate::base::metrics::Counter;
use crate::base::time::Moment;
use crate::exchange::{Action, Cx, Exchange, Got, Input};
use crate::io::tls::ServerConfig;
use crate::io::{AcceptedFd, Dial, Socket, Target, clock, recv, send};
use crate::wire::buf::Lent;
use crate::wire::parcel::Parcel;

/// Completions one task takes before the others get a turn: with epoll an operation may complete at once, and
/// a fast stream would never let go.
const STREAK: u32 = 32;

/// Performs the TLS handshake within the deadline of a request head, then serves.
pub(super) async fn serve_tls(core: Rc<Core>, fd: AcceptedFd, config: Arc<ServerConfig>) {
    let bell = core.enlist();
    let handle = Rc::new(Dial::new());
    let now = clock::now();
    core.deadlines.arm(&bell, now, now + core.snapshot().deadlines.client_head);
    let mut handshake = pin!(Socket::handshake_server(fd, config, Rc::clone(&handle)));
    let socket = poll_fn(|cx| {
        bell.attach(cx.waker());
        if bell.notice().is_some() || bell.take_ring() {
            bell.due.set(Moment::NEVER);
            handle.abort();
        }
        handshake.as_mut().poll(cx)
    })
    .await;
    core.dismiss(&bell);
    match socket {
        Ok(socket) => serve(core, socket).await,
        Err(_) => core.counters().add(Counter::ConnectionsClosed, 1),
    }
}

/// Serves a connection to its end. A panic ends this connection and nothing else.
pub(super) async fn serve(core: Rc<Core>, client: Rc<Socket>) {
    let mut life = pin!(live(Rc::clone(&core), Rc::clone(&client)));
    let ended = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| life.as_mut().poll(cx))) {
        Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await;
    if ended.is_err() {
        core.counters().add(Counter::Panics, 1);
        client.shutdown();
    }
    core.counters().add(Counter::ConnectionsClosed, 1);
}

async fn live(core: Rc<Core>, client: Rc<Socket>) {
    let (client_recv, client_send) = (pin!(None), pin!(None));
    let (origin_recv, origin_send, dialing) = (pin!(None), pin!(None), pin!(None));
    let snapshot = core.snapshot();
    let now = clock::now();
    let mut connection = Connection {
        ops: Ops {
            client_recv: Slot::new(recv, client_recv),
            client_send: Slot::new(send, client_send),
            origin_recv: Slot::new(recv, origin_recv),
            origin_send: Slot::new(send, origin_send),
            // A new connection is rare: its operation need not lie in every task.
            dial: Slot::new(|handle, targets| Box::pin(dial(handle, targets)), dialing),
        },
        bell: core.enlist(),
        exchange: Exchange::new(&snapshot, now),
        client,
        origin: None,
        dialing: None,
        pool: None,
        actions: Vec::with_capacity(8),
        started: true,
        closing: false,
        now,
        core,
    };
    connection.step(None);
    poll_fn(|cx| connection.poll(cx)).await;
}

/// The operations of a connection, by kind.
struct Ops<'a, R, RF, S, SF, D, DF> {
    client_recv: Slot<'a, R, RF>,
    client_send: Slot<'a, S, SF>,
    origin_recv: Slot<'a, R, RF>,
    origin_send: Slot<'a, S, SF>,
    dial: Slot<'a, D, DF>,
}

/// A pool and how long a connection may idle in it.
#[derive(Clone, Copy)]
struct PoolTerms {
    pool: PoolId,
    idle: std::time::Duration,
    most: usize,
}

struct Connection<'a, R, RF, S, SF, D, DF> {
    core: Rc<Core>,
    bell: Rc<Bell>,
    client: Rc<Socket>,
    origin: Option<Rc<Socket>>,
    dialing: Option<Rc<Dial>>,
    /// Where the origin connection goes when it is clean.
    pool: Option<PoolTerms>,
    exchange: Exchange,
    actions: Vec<Action>,
    ops: Ops<'a, R, RF, S, SF, D, DF>,
    /// An action has started something that was not polled yet.
    started: bool,
    closing: bool,
    /// The time, read once per wake-up.
    now: Moment,
}

impl<R, RF, S, SF, D, DF> Connection<'_, R, RF, S, SF, D, DF>
where
    R: Fn(Rc<Socket>, Lent) -> RF,
    RF: Future<Output = (io::Result<usize>, Lent)>,
    S: Fn(Rc<Socket>, Parcel) -> SF,
    SF: Future<Output = (io::Result<()>, Parcel)>,
    D: Fn(Rc<Dial>, Vec<Target>) -> DF,
    DF: Future<Output = Result<Rc<Socket>, Fault>>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.bell.attach(cx.waker());
        self.now = clock::now();
        if let Some(notice) = self.bell.notice() {
            self.step(Some(match notice {
                Notice::Drain => Input::Drain,
                Notice::Stop => Input::Stop,
            }));
        }
        let mut left = STREAK;
        loop {
            self.started = false;
            while let Some(input) = self.completion(cx) {
                self.step(Some(input));
                left = left.saturating_sub(1);
            }
            if !self.started {
                break;
            }
            if left == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        if self.closing && self.is_quiet() {
            return Poll::Ready(());
        }
        if self.bell.take_ring() && self.bell.due.get() <= self.now {
            self.step(Some(Input::Deadline));
            if self.started {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    /// One completed operation, as an input.
    fn completion(&mut self, cx: &mut Context<'_>) -> Option<Input> {
        // The request's send comes first: when both completed in one turn, the answer is not an early one,
        // and its connection may serve again.
        if let Some((result, parcel)) = self.ops.origin_send.poll(cx) {
            return Some(Input::OriginSent { parcel, ok: result.is_ok() });
        }
        if let Some((result, lent)) = self.ops.origin_recv.poll(cx) {
            return Some(Input::OriginRecv { lent, got: got(&result) });
        }
        if let Some((result, parcel)) = self.ops.client_send.poll(cx) {
            return Some(Input::ClientSent { parcel, ok: result.is_ok() });
        }
        if let Some((result, lent)) = self.ops.client_recv.poll(cx) {
            return Some(Input::ClientRecv { lent, got: got(&result) });
        }
        let dialed = self.ops.dial.poll(cx)?;
        self.dialing = None;
        Some(match dialed {
            Ok(socket) => {
                self.origin = Some(socket);
                Input::Dialed { reused: false }
            }
            Err(fault) => Input::DialFailed { fault },
        })
    }

    /// Tells the exchange and performs what it asks for; `None` starts it. A dial that the pool answers is
    /// told at once, so this loops.
    fn step(&mut self, input: Option<Input>) {
        if self.closing && !matches!(input, Some(Input::Dialed { .. })) {
            return;
        }
        let core = Rc::clone(&self.core);
        // Borrowed, not cloned: its count is shared by all cores.
        let mut newest = core.snapshot.borrow_mut();
        let snapshot = newest.load();
        let now = self.now;
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let mut state = core.state.borrow_mut();
            let mut cx = Cx {
                now,
                unix: clock::unix_seconds(),
                snapshot,
                core: &mut state,
                actions: &mut self.actions,
            };
            match input {
                Some(input) => self.exchange.step(&mut cx, input),
                None => self.exchange.start(&mut cx),
            }
            drop(state);
            let mut actions = core::mem::take(&mut self.actions);
            for action in actions.drain(..) {
                if let Some(told) = self.perform(action, now) {
                    next = Some(Some(told));
                }
            }
            self.actions = actions;
        }
        if !self.closing {
            self.core.deadlines.arm(&self.bell, now, self.exchange.due());
        }
    }

    /// The only match on actions: a new one does not compile until it is performed here.
    fn perform(&mut self, action: Action, now: Moment) -> Option<Input> {
        match action {
            Action::ClientRecv => {
                let lent = self.exchange.lend_inbox();
                self.ops.client_recv.start(Rc::clone(&self.client), lent);
                self.started = true;
            }
            Action::ClientSend => {
                let parcel = self.exchange.take_client_parcel();
                self.ops.client_send.start(Rc::clone(&self.client), parcel);
                self.started = true;
            }
            Action::ClientHalfClose => self.client.shutdown_write(),
            Action::Dial { provider: _, fresh } => return self.dial(fresh, now),
            Action::AbortDial => {
                if let Some(dial) = &self.dialing {
                    dial.abort();
                }
            }
            Action::OriginSend => {
                let parcel = self.exchange.take_origin_parcel();
                let origin =
                    self.origin.as_ref().expect("the exchange sends only on a connection it was given");
                self.ops.origin_send.start(Rc::clone(origin), parcel);
                self.started = true;
            }
            Action::OriginRecv => {
                let lent = self.exchange.lend_window();
                let origin =
                    self.origin.as_ref().expect("the exchange receives only on a connection it was given");
                self.ops.origin_recv.start(Rc::clone(origin), lent);
                self.started = true;
            }
            Action::Release { reusable } => self.release(reusable, now),
            // The ledger takes these up; until then the counters tell.
            Action::Record(record) => drop(record),
            Action::Close { reset } => self.close(reset),
        }
        None
    }

    /// Takes a pooled connection, or starts dialling.
    fn dial(&mut self, fresh: bool, now: Moment) -> Option<Input> {
        let (snapshot, provider) = self.exchange.dialed_provider()?;
        let idle = provider.deadlines.upstream_idle;
        self.pool = Some(PoolTerms { pool: provider.pool, idle, most: snapshot.limits.idle_per_upstream });
        if !fresh && let Some(socket) = self.core.pool.borrow_mut().take(provider.pool, now) {
            self.origin = Some(socket);
            return Some(Input::Dialed { reused: true });
        }
        let tls = if provider.tls {
            match self.core.tls_target(provider.pool) {
                Some(tls) => Some(tls),
                None => return Some(Input::DialFailed { fault: Fault::TlsHandshake }),
            }
        } else {
            None
        };
        let turn = self.core.turn.get();
        self.core.turn.set(turn.wrapping_add(1));
        let known = snapshot.hosts[provider.host.index()].addresses.len();
        let targets = (0..known.min(ADDRESSES_PER_DIAL))
            .filter_map(|step| provider.address(snapshot, turn.wrapping_add(step)))
            .map(|address| Target { address, tls: tls.clone() })
            .collect();
        let handle = Rc::new(Dial::new());
        self.dialing = Some(Rc::clone(&handle));
        self.ops.dial.start(handle, targets);
        self.started = true;
        None
    }

    fn release(&mut self, reusable: bool, now: Moment) {
        let Some(socket) = self.origin.take() else { return };
        match self.pool {
            Some(terms) if reusable => {
                self.core.pool.borrow_mut().put(terms.pool, socket, now + terms.idle, terms.most);
            }
            Some(_) | None => socket.shutdown(),
        }
    }

    fn close(&mut self, reset: bool) {
        self.closing = true;
        if let Some(dial) = &self.dialing {
            dial.abort();
        }
        if let Some(origin) = self.origin.take() {
            origin.shutdown();
        }
        if reset {
            self.client.abort();
        } else {
            self.client.shutdown();
        }
    }

    fn is_quiet(&self) -> bool {
        self.ops.client_recv.is_empty()
            && self.ops.client_send.is_empty()
            && self.ops.origin_recv.is_empty()
            && self.ops.origin_send.is_empty()
            && self.ops.dial.is_empty()
    }
}

impl<R, RF, S, SF, D, DF> Drop for Connection<'_, R, RF, S, SF, D, DF> {
    /// Also after a panic: what the exchange was charged goes back, and no pooled place is lost.
    fn drop(&mut self) {
        if let Ok(mut state) = self.core.state.try_borrow_mut() {
            state.bodies_bytes = state.bodies_bytes.saturating_sub(self.exchange.charged());
        }
        if let Some(origin) = self.origin.take() {
            origin.shutdown();
        }
        self.core.dismiss(&self.bell);
    }
}

const fn got(result: &io::Result<usize>) -> Got {
    match result {
        Ok(0) => Got::End,
        Ok(count) => Got::Bytes(*count),
        Err(_) => Got::Failed,
    }
}
