//! Floor 5, the core edge: one worker per core, which connects sockets to exchanges.
//!
//! ```text
//!  accept ──► place ──► connection task ⇄ exchange.step()      one task per client connection
//!                ▲            │  ▲
//!   mailbox ─────┘            ▼  │
//!   (hand-over, drain)       pool, deadlines                    one of each per core
//! ```
//!
//! A task drives at most five operations (two receives, two sends, one dial) in slots pinned on its own
//! stack, so that an event costs no allocation and no operation is ever dropped in flight; while two origins
//! race, three more lie in boxes. Everything here belongs to one thread.
//! Deliberately absent: what a request means (`exchange`), unsafe code (`io`), and the control plane.

mod accept;
mod bell;
mod connection;
mod deadlines;
mod dial;
mod line;
mod pool;
mod ring;
mod slot;
mod strict;
mod wire;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use arc_swap::ArcSwap;

use crate::base::ids::PoolId;
use crate::base::metrics::Counters;
use crate::base::time::Moment;
use crate::exchange::CoreState;
use crate::io::journal::Writer;
use crate::io::tls::ServerTls;
use crate::io::{Driver, Listener, Mailbox, MailboxHalf, Post, Socket, TlsTarget, run_on_core};
use crate::policy::catalog::Snapshot;
use crate::policy::health::board::Board;
use crate::policy::sticky::Memory;
use bell::{Bell, Notice};
use deadlines::Deadlines;
use pool::Pool;
pub use strict::AskSync;
use strict::Strict;

/// TLS settings of every pool that uses TLS, by `PoolId`.
pub type UpstreamTls = Vec<Option<TlsTarget>>;

/// What all workers share; immutable but for the two pointers, which are swapped whole.
pub struct Shared {
    /// The newest snapshot.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// TLS to upstreams.
    pub upstream_tls: Arc<ArcSwap<UpstreamTls>>,
    /// TLS for clients.
    pub client_tls: Option<Arc<ServerTls>>,
    /// Counters by core.
    pub counters: Vec<Arc<Counters>>,
    /// What each core says of the health of endpoints.
    pub health: Arc<Board>,
    /// Where conversations were answered last; `None` when that is switched off.
    pub sticky: Option<Arc<Memory>>,
    /// How to reach each core.
    pub posts: Vec<Post>,
}

/// What one worker is started with.
pub struct Options {
    /// Its number, which is also its row in the shared tables.
    pub index: usize,
    /// The CPU to run on.
    pub cpu: usize,
    /// How the kernel is driven.
    pub driver: Driver,
    /// Its own listening sockets, TCP and unix.
    pub listeners: Vec<OwnedFd>,
    /// Its end of the mailbox.
    pub mailbox: MailboxHalf,
    /// Random words of the kernel, for ids and secrets.
    pub seed: [u64; 3],
    /// Where it writes down what it sends; `None` where nobody keeps a ledger.
    pub journal: Option<CoreJournal>,
    /// What it shares with the others.
    pub shared: Arc<Shared>,
}

/// The journal of one worker.
pub struct CoreJournal {
    /// Its writer.
    pub writer: Writer,
    /// In strict mode, how to ask for a sync; the core is told by [`crate::io::Message::Synced`].
    pub strict: Option<AskSync>,
}

/// One core: everything its tasks share. Single-threaded; borrows never live across an await.
struct Core {
    index: usize,
    shared: Arc<Shared>,
    snapshot: RefCell<arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    state: RefCell<CoreState>,
    pool: RefCell<Pool<Rc<Socket>>>,
    deadlines: Deadlines,
    /// Sends wait for the disk; `None` when they do not.
    strict: Option<Strict>,
    /// One bell per connection, to reach all of them.
    bells: RefCell<Vec<Rc<Bell>>>,
    /// Turns the address of multi-address hosts.
    turn: Cell<usize>,
    draining: Cell<bool>,
    stopping: Cell<bool>,
    ended: RefCell<Option<Waker>>,
}

/// Runs one worker on the calling thread until it has drained.
///
/// # Errors
/// The runtime could not be set up, or the listener and mailbox not be taken over.
pub fn run(options: Options) -> io::Result<()> {
    if options.driver == Driver::Uring {
        return ring::run(options);
    }
    let Options { index, cpu, driver, listeners, mailbox, seed, journal, shared } = options;
    let core = Core::new(index, seed, journal, shared);
    run_on_core(driver, cpu, move || async move {
        let core = Rc::new(core);
        let listeners: io::Result<Vec<_>> =
            listeners.into_iter().map(|listener| Listener::new(listener).map(Rc::new)).collect();
        let listeners = listeners?;
        let mailbox = Mailbox::open(mailbox)?;
        monoio::spawn(deadlines::tick(Rc::clone(&core)));
        let accepting: Vec<_> = listeners
            .iter()
            .map(|listener| monoio::spawn(accept::accept(Rc::clone(&core), Rc::clone(listener))))
            .collect();
        monoio::spawn(accept::read_mail(Rc::clone(&core), mailbox, listeners));
        for accepting in accepting {
            accepting.await;
        }
        core.drained().await;
        Ok(())
    })?
}

impl Core {
    fn new(index: usize, seed: [u64; 3], journal: Option<CoreJournal>, shared: Arc<Shared>) -> Self {
        let counters = Arc::clone(&shared.counters[index]);
        let mut state = CoreState::new(counters, seed);
        state.health.join(Arc::clone(&shared.health), index);
        state.sticky.clone_from(&shared.sticky);
        let mut strict = None;
        if let Some(CoreJournal { writer, strict: ask }) = journal {
            strict = ask.map(|ask| Strict::new(Arc::clone(writer.marks()), ask));
            state.journal = Some(Box::new(writer));
        }
        Self {
            index,
            snapshot: RefCell::new(arc_swap::Cache::new(Arc::clone(&shared.snapshot))),
            state: RefCell::new(state),
            pool: RefCell::new(Pool::default()),
            deadlines: Deadlines::default(),
            strict,
            bells: RefCell::new(Vec::new()),
            turn: Cell::new(index),
            draining: Cell::new(false),
            stopping: Cell::new(false),
            ended: RefCell::new(None),
            shared,
        }
    }

    fn counters(&self) -> &Counters {
        &self.shared.counters[self.index]
    }

    /// The newest snapshot.
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(self.snapshot.borrow_mut().load())
    }

    /// Tells the other cores what this one knows of the endpoints, and hears from them, when that is due.
    fn exchange_health(&self, now: Moment) {
        let mut state = self.state.borrow_mut();
        if state.health.is_due(now) {
            let random = state.random();
            state.health.tick(self.snapshot.borrow_mut().load(), now, random);
        }
    }

    /// TLS settings of a pool; `None` when it is plain (or its roots could not be read).
    fn tls_target(&self, pool: PoolId) -> Option<TlsTarget> {
        self.shared.upstream_tls.load().get(pool.index()).cloned().flatten()
    }

    /// A connection begins.
    fn enlist(&self) -> Rc<Bell> {
        let bell = Rc::new(Bell::default());
        let mut bells = self.bells.borrow_mut();
        bell.place.set(bells.len());
        bells.push(Rc::clone(&bell));
        self.counters().connections.store(bells.len() as u64, Ordering::Relaxed);
        drop(bells);
        if self.stopping.get() {
            bell.tell(Notice::Stop);
        } else if self.draining.get() {
            bell.tell(Notice::Drain);
        }
        bell
    }

    /// A connection ended.
    fn dismiss(&self, bell: &Bell) {
        bell.retire();
        let mut bells = self.bells.borrow_mut();
        if bell.place.get() >= bells.len() {
            return; // The core has given up on its connections.
        }
        bells.swap_remove(bell.place.get());
        if let Some(moved) = bells.get(bell.place.get()) {
            moved.place.set(bell.place.get());
        }
        self.counters().connections.store(bells.len() as u64, Ordering::Relaxed);
        if bells.is_empty()
            && let Some(waker) = self.ended.borrow_mut().take()
        {
            waker.wake();
        }
    }

    /// Tells every connection.
    fn tell_all(&self, notice: Notice) {
        for bell in self.bells.borrow().iter() {
            bell.tell(notice);
        }
    }

    /// Connections whose sends wait for the disk, to be told that there is news.
    fn waiting_for_disk(&self) -> Vec<Rc<Bell>> {
        self.strict.as_ref().map(Strict::take_waiting).unwrap_or_default()
    }

    /// The time for last words is over: what is still open ends with the runtime.
    fn give_up(&self) {
        self.bells.borrow_mut().clear();
        if let Some(waker) = self.ended.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Waits until the last connection has ended.
    async fn drained(&self) {
        poll_fn(|cx| {
            if self.bells.borrow().is_empty() {
                return Poll::Ready(());
            }
            *self.ended.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
