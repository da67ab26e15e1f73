//! One client connection on monoio: the task that performs what its exchange asks for and tells it what
//! happened. The portable driver: io_uring without armed receives, or epoll.
//!
//! The task holds five slots for operations, and three more in boxes once a hedge was begun. Each wake-up
//! polls what is in flight, turns completions into inputs, performs the resulting actions, and polls what
//! they started, until nothing moves. The task ends when the exchange has closed and the last operation has
//! completed.
//! Deliberately absent: decisions, and the driver of our own ring (`ring`).

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Core;
use super::bell::Notice;
use super::dial::dial;
use super::line::{Line, Ops, PoolTerms, got};
use super::slot::Slot;
use super::wire::{IfNeeded, InBoxes, OnStack, Wire};
use crate::base::fault::Fault;
use crate::base::ids::PoolId;
use crate::base::metrics::Counter;
use crate::base::time::Moment;
use crate::exchange::{Input, Lane};
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
    // A new connection is rare: its operation need not lie in every task.
    let dial = Slot::new(|handle, targets| Box::pin(dial(handle, targets)), dialing);
    let mut connection = Connection {
        ops: TaskOps {
            client_recv: Slot::new(recv, client_recv),
            client_send: Slot::new(send, client_send),
            client,
            first: Wire::new(Slot::new(recv, origin_recv), Slot::new(send, origin_send), dial),
            second: None,
            started: true,
            core: Rc::clone(&core),
        },
        line: Line::new(core, clock::now()),
    };
    connection.line.start(&mut connection.ops);
    poll_fn(|cx| connection.poll(cx)).await;
}

/// The operations of a connection, by kind, and the sockets they run on.
struct TaskOps<'a, R, RF, S, SF, D, DF> {
    client_recv: Slot<R, &'a mut Option<RF>>,
    client_send: Slot<S, &'a mut Option<SF>>,
    client: Rc<Socket>,
    first: OnStack<'a, R, RF, S, SF, D, DF>,
    /// The second lane, once a hedge was begun.
    second: IfNeeded<R, RF, S, SF, D, DF>,
    /// Something was started that was not polled yet.
    started: bool,
    core: Rc<Core>,
}

struct Connection<'a, R, RF, S, SF, D, DF> {
    ops: TaskOps<'a, R, RF, S, SF, D, DF>,
    line: Line,
}

impl<R, RF, S, SF, D, DF> Connection<'_, R, RF, S, SF, D, DF>
where
    R: Fn(Rc<Socket>, Lent) -> RF + Clone,
    RF: Future<Output = (io::Result<usize>, Lent)>,
    S: Fn(Rc<Socket>, Parcel) -> SF + Clone,
    SF: Future<Output = (io::Result<()>, Parcel)>,
    D: Fn(Rc<Dial>, Vec<Target>) -> DF + Clone,
    DF: Future<Output = Result<Rc<Socket>, Fault>>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.line.bell.attach(cx.waker());
        self.line.now = clock::now();
        self.line.core.exchange_health(self.line.now);
        if let Some(notice) = self.line.bell.notice() {
            self.step(match notice {
                Notice::Drain => Input::Drain,
                Notice::Stop => Input::Stop,
            });
        }
        if self.line.bell.take_synced() {
            self.line.on_synced(&mut self.ops);
        }
        let mut left = STREAK;
        loop {
            self.ops.started = false;
            while let Some(input) = self.ops.completion(cx) {
                self.step(input);
                left = left.saturating_sub(1);
            }
            if !self.ops.started {
                break;
            }
            if left == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        if self.line.closing && self.ops.is_quiet() {
            return Poll::Ready(());
        }
        if self.line.bell.take_ring() && self.line.bell.due.get() <= self.line.now {
            self.step(Input::Deadline);
            if self.ops.started {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    fn step(&mut self, input: Input) {
        self.line.step(input, &mut self.ops);
    }
}

impl<R, RF, S, SF, D, DF> TaskOps<'_, R, RF, S, SF, D, DF>
where
    R: Fn(Rc<Socket>, Lent) -> RF + Clone,
    RF: Future<Output = (io::Result<usize>, Lent)>,
    S: Fn(Rc<Socket>, Parcel) -> SF + Clone,
    SF: Future<Output = (io::Result<()>, Parcel)>,
    D: Fn(Rc<Dial>, Vec<Target>) -> DF + Clone,
    DF: Future<Output = Result<Rc<Socket>, Fault>>,
{
    /// One completed operation, as an input.
    fn completion(&mut self, cx: &mut Context<'_>) -> Option<Input> {
        if let Some(input) = self.first.moved(Lane::First, cx) {
            return Some(input);
        }
        if let Some(second) = &mut self.second
            && let Some(input) = second.moved(Lane::Second, cx)
        {
            return Some(input);
        }
        if let Some((result, parcel)) = self.client_send.poll(cx) {
            return Some(Input::ClientSent { parcel, ok: result.is_ok() });
        }
        if let Some((result, lent)) = self.client_recv.poll(cx) {
            return Some(Input::ClientRecv { lent, got: got(&result) });
        }
        if let Some(input) = self.first.dialed(Lane::First, cx) {
            return Some(input);
        }
        self.second.as_mut()?.dialed(Lane::Second, cx)
    }

    fn is_quiet(&self) -> bool {
        self.client_recv.is_empty()
            && self.client_send.is_empty()
            && self.first.is_quiet()
            && self.second.as_ref().is_none_or(|second| second.is_quiet())
    }

    fn second(&mut self) -> &mut InBoxes<R, RF, S, SF, D, DF> {
        self.second.get_or_insert_with(|| Box::new(self.first.boxed()))
    }
}

impl<R, RF, S, SF, D, DF> TaskOps<'_, R, RF, S, SF, D, DF> {
    /// The connection of a lane.
    fn socket(&mut self, lane: Lane) -> Option<&mut Option<Rc<Socket>>> {
        match lane {
            Lane::First => Some(&mut self.first.socket),
            Lane::Second => self.second.as_mut().map(|second| &mut second.socket),
        }
    }
}

impl<R, RF, S, SF, D, DF> Ops for TaskOps<'_, R, RF, S, SF, D, DF>
where
    R: Fn(Rc<Socket>, Lent) -> RF + Clone,
    RF: Future<Output = (io::Result<usize>, Lent)>,
    S: Fn(Rc<Socket>, Parcel) -> SF + Clone,
    SF: Future<Output = (io::Result<()>, Parcel)>,
    D: Fn(Rc<Dial>, Vec<Target>) -> DF + Clone,
    DF: Future<Output = Result<Rc<Socket>, Fault>>,
{
    fn client_recv(&mut self, lent: Lent) {
        self.client_recv.start(Rc::clone(&self.client), lent);
        self.started = true;
    }

    fn client_send(&mut self, parcel: Parcel, _midway: bool) {
        self.client_send.start(Rc::clone(&self.client), parcel);
        self.started = true;
    }

    fn client_half_close(&mut self) {
        self.client.shutdown_write();
    }

    fn client_end(&mut self) {
        self.client.shutdown();
    }

    fn reuse(&mut self, lane: Lane, pool: PoolId, now: Moment) -> bool {
        let found = {
            let mut pools = self.core.pool.borrow_mut();
            core::iter::from_fn(|| pools.take(pool, now, drop)).find(|socket| socket.is_clean())
        };
        let is_found = found.is_some();
        match lane {
            Lane::First => self.first.socket = found,
            Lane::Second => self.second().socket = found,
        }
        is_found
    }

    fn dial(&mut self, lane: Lane, targets: Vec<Target>) -> Option<Input> {
        match lane {
            Lane::First => self.first.dial(targets),
            Lane::Second => self.second().dial(targets),
        }
        self.started = true;
        None
    }

    fn abort_dial(&mut self, lane: Lane) {
        match lane {
            Lane::First => self.first.abort_dial(),
            Lane::Second => self.second().abort_dial(),
        }
    }

    fn origin_send(&mut self, lane: Lane, parcel: Parcel) {
        match lane {
            Lane::First => self.first.send(parcel),
            Lane::Second => self.second().send(parcel),
        }
        self.started = true;
    }

    fn origin_recv(&mut self, lane: Lane, lent: Lent) {
        match lane {
            Lane::First => self.first.recv(lent),
            Lane::Second => self.second().recv(lent),
        }
        self.started = true;
    }

    fn release(&mut self, lane: Lane, keep: Option<PoolTerms>, now: Moment) -> Option<Input> {
        let socket = self.socket(lane)?.take()?;
        match keep {
            Some(PoolTerms { pool, idle, most }) => {
                self.core.pool.borrow_mut().put(pool, socket, now + idle, most, drop);
            }
            None => socket.shutdown(),
        }
        None
    }

    fn close(&mut self, reset: bool) {
        self.first.abort_dial();
        self.first.shutdown();
        if let Some(second) = &mut self.second {
            second.abort_dial();
            second.shutdown();
        }
        if reset {
            self.client.abort();
        } else {
            self.client.shutdown();
        }
    }
}

impl<R, RF, S, SF, D, DF> Drop for TaskOps<'_, R, RF, S, SF, D, DF> {
    /// Also after a panic.
    fn drop(&mut self) {
        for lane in Lane::BOTH {
            if let Some(socket) = self.socket(lane).and_then(Option::take) {
                socket.shutdown();
            }
        }
    }
}
