//! A worker on our own ring: one loop, which waits once, takes in everything that is done, tells the
//! exchanges, and submits what they asked for with the next wait.
//!
//! ```text
//!  wait ──► reap: buffers to their links, ends noticed ──► sends, then news: steps ──► deadlines ──► wait
//! ```
//!
//! Everything that has come in is noted before any exchange is told, so an idle connection that has ended or
//! spoken out of turn is out of the pool before anyone can take it.
//! Deliberately absent: what a request means (`exchange`), unsafe code (`io`).

mod links;
mod ops;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::accept::{LAST_WORDS, PAUSE, place};
use super::bell::Notice;
use super::line::Line;
use super::pool::Pool;
use super::{Core, Options};
use crate::base::metrics::Counter;
use crate::base::time::Moment;
use crate::exchange::{Input, Lane};
use crate::io::connect::QUEUE_PAUSE;
use crate::io::{AcceptedFd, DirectListener, DirectMailbox, Done, Link, Message, Ring, clock, pin_to_core};
use links::{Links, Owner};
use ops::{News, RingOps, Wires};

/// Connections taken one after the other before the others of the core get a turn.
const STREAK: u32 = 32;
/// The ring's token of the mailbox; those of the listeners follow it.
const MAILBOX: u32 = u32::MAX - 64;
/// The ring's token of the first listener.
const LISTENERS: u32 = MAILBOX + 1;
/// `POLLIN` of `poll(2)`.
const READABLE: i16 = 1;

/// The place of a client connection.
struct Seat {
    line: Line,
    wires: Wires,
    /// When a TLS handshake must be over.
    greeted_by: Moment,
}

/// A listening socket, and whether the ring polls it.
struct Door {
    listener: DirectListener,
    polled: bool,
}

impl Door {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { listener: DirectListener::new(fd)?, polled: false })
    }
}

/// A send that is over and not yet told; the link has its parcel.
struct Sent {
    token: u32,
    ok: bool,
}

/// One worker.
struct Turn {
    core: Rc<Core>,
    ring: Ring,
    doors: Vec<Door>,
    mailbox: DirectMailbox,
    links: Links,
    pool: Pool<u32>,
    seats: Vec<Option<Box<Seat>>>,
    vacant: Vec<u32>,
    sent: Vec<Sent>,
    /// Those that were over when the wait began.
    sent_before: Vec<Sent>,
    /// Seats whose deadline has passed.
    rung: Vec<u32>,
    /// Seats whose dial waits for room in the queue of a unix socket, and until when.
    queued: Vec<u32>,
    requeue: Moment,
    now: Moment,
    /// Listeners that are ready, by number.
    knocks: Vec<u32>,
    mail: bool,
    /// Accepting pauses until then.
    pause: Moment,
    /// After `Stop`, the end comes at this moment at the latest.
    last: Moment,
}

/// Runs one worker on the calling thread until it has drained.
///
/// # Errors
/// The ring could not be set up or broke, or the listener and mailbox not be taken over.
pub(super) fn run(options: Options) -> io::Result<()> {
    pin_to_core(options.cpu);
    Turn::new(options)?.run()
}

impl Turn {
    fn new(options: Options) -> io::Result<Self> {
        let Options { index, cpu: _, driver: _, listeners, mailbox, seed, journal, shared } = options;
        Ok(Self {
            core: Rc::new(Core::new(index, seed, journal, shared)),
            ring: Ring::new()?,
            doors: listeners.into_iter().map(Door::new).collect::<io::Result<_>>()?,
            mailbox: DirectMailbox::open(mailbox)?,
            links: Links::default(),
            pool: Pool::default(),
            seats: Vec::new(),
            vacant: Vec::new(),
            sent: Vec::new(),
            sent_before: Vec::new(),
            rung: Vec::new(),
            queued: Vec::new(),
            requeue: Moment::NEVER,
            now: clock::now(),
            knocks: Vec::new(),
            mail: false,
            pause: Moment::NEVER,
            last: Moment::NEVER,
        })
    }

    fn run(mut self) -> io::Result<()> {
        for number in 0..self.doors.len() as u32 {
            self.await_clients(number);
        }
        self.ring.poll(&self.mailbox, READABLE, MAILBOX);
        loop {
            self.settle();
            let is_empty = self.core.bells.borrow().is_empty();
            if self.core.draining.get() && (is_empty || self.now >= self.last) {
                return Ok(());
            }
            self.ring.wake_by(self.core.deadlines.wakes().min(self.pause).min(self.last).min(self.requeue));
            self.ring.wait()?;
            self.reap();
            // They were over when the wait began, so that is the time they are told.
            self.tell_sent_before();
            self.now = clock::now();
            // Before the news, so that after a long wait a request is routed by what the others know now.
            self.core.exchange_health(self.now);
            self.tell_sent();
            self.tell_news();
            if std::mem::take(&mut self.mail) {
                self.read_mail();
            }
            while let Some(number) = self.knocks.pop() {
                self.accept(number);
            }
        }
    }

    /// Does what is due before a wait. News that a deadline, a message or a fresh connection has brought
    /// about must not wait for the kernel to have something too.
    fn settle(&mut self) {
        self.deadlines();
        self.tell_news();
    }

    /// Takes in all completions; no exchange is told yet.
    fn reap(&mut self) {
        let core = &*self.core;
        let spares = &mut core.state.borrow_mut().spares;
        while let Some(done) = self.ring.next(spares) {
            match done {
                Done::Received { token, got, armed } => {
                    let entry = self.links.entry(token);
                    entry.link.received(&mut self.ring, token, got, armed);
                    match entry.owner {
                        Owner::Idle(pool) => {
                            if !self.links.is_clean(token, &mut self.ring, spares) {
                                self.pool.remove(pool, |idle| *idle == token);
                                self.links.part(token, false);
                            }
                        }
                        Owner::Nobody => self.links.reclaim(token, spares),
                        Owner::Client(_) | Owner::Origin(..) | Owner::Parting(..) | Owner::Dial(..) => {
                            self.links.announce(token);
                        }
                    }
                }
                Done::Filled { token, lent, got } => {
                    self.links.entry(token).link.filled(lent, got);
                    self.links.announce(token);
                }
                Done::Sent { token, slot, ok, silent } => {
                    let entry = self.links.entry(token);
                    if let Some(ok) = entry.link.sent(&mut self.ring, token, slot, ok) {
                        entry.untold = true;
                        let sent = if silent { &mut self.sent_before } else { &mut self.sent };
                        sent.push(Sent { token, ok });
                    } else {
                        self.links.reclaim(token, spares);
                    }
                }
                Done::Ready { token: MAILBOX } => self.mail = true,
                Done::Ready { token: token @ LISTENERS.. } => self.knocks.push(token - LISTENERS),
                Done::Ready { token } => {
                    let entry = self.links.entry(token);
                    entry.link.polled();
                    entry.writable = true;
                    self.links.announce(token);
                }
                Done::Nothing => {}
            }
        }
    }

    /// Tells of the sends that ended while they were submitted.
    fn tell_sent_before(&mut self) {
        let sent = std::mem::take(&mut self.sent_before);
        self.sent_before = self.tell_each(sent);
    }

    /// Sends come first: when a request's send and its answer completed in one turn, the answer is not an
    /// early one, and its connection may serve again.
    fn tell_sent(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        self.sent = self.tell_each(sent);
    }

    fn tell_each(&mut self, mut sent: Vec<Sent>) -> Vec<Sent> {
        for Sent { token, ok } in sent.drain(..) {
            let entry = self.links.entry(token);
            entry.untold = false;
            match entry.owner {
                Owner::Client(seat) => self.work(seat, |line, ops| {
                    let parcel = ops.take_sent(token);
                    line.step(Input::ClientSent { parcel, ok }, ops);
                }),
                Owner::Origin(seat, lane) => self.work(seat, |line, ops| {
                    let parcel = ops.take_sent(token);
                    line.step(Input::OriginSent { lane, parcel, ok }, ops);
                }),
                Owner::Parting(seat, lane) => {
                    let parcel = entry.link.take_sent(&mut self.ring);
                    if let Some(seat) = self.seats[seat as usize].as_mut() {
                        seat.wires.origin(lane).parting = None;
                    }
                    self.links.part(token, false);
                    self.step(seat, Input::OriginSent { lane, parcel, ok });
                }
                Owner::Dial(..) | Owner::Idle(_) | Owner::Nobody => {
                    let _nobodys = entry.link.take_sent(&mut self.ring);
                    self.links.reclaim(token, &mut self.core.state.borrow_mut().spares);
                }
            }
        }
        sent
    }

    /// Hands what came in to those who asked for it.
    fn tell_news(&mut self) {
        while let Some(token) = self.links.news() {
            match self.links.entry(token).owner {
                Owner::Client(seat) | Owner::Origin(seat, _) | Owner::Dial(seat, _) => {
                    self.work(seat, |line, ops| match ops.news(token) {
                        Some(News::Client(lent, got)) => line.step(Input::ClientRecv { lent, got }, ops),
                        Some(News::Origin(lane, lent, got)) => {
                            line.step(Input::OriginRecv { lane, lent, got }, ops);
                        }
                        Some(News::Other(input)) => line.step(input, ops),
                        None => {}
                    });
                }
                Owner::Nobody => {
                    let core = Rc::clone(&self.core);
                    self.links.reclaim(token, &mut core.state.borrow_mut().spares);
                }
                Owner::Parting(..) | Owner::Idle(_) => {}
            }
        }
    }

    fn dial_again(&mut self, seat: u32) {
        for lane in Lane::BOTH {
            self.work(seat, |line, ops| {
                if let Some(input) = ops.dial_again(lane) {
                    line.step(input, ops);
                }
            });
        }
    }

    /// Tells one exchange.
    fn step(&mut self, seat: u32, input: Input) {
        self.work(seat, |line, ops| line.step(input, ops));
    }

    /// Works for one seat. A panic ends its connection and nothing else.
    fn work(&mut self, number: u32, work: impl FnOnce(&mut Line, &mut RingOps<'_>)) {
        let Self { core, ring, links, pool, queued, seats, .. } = self;
        let Some(Some(seat)) = seats.get_mut(number as usize) else { return };
        let Seat { line, wires, .. } = &mut **seat;
        line.now = self.now;
        let mut ops = RingOps { ring, links, pool, wires, queued, core, seat: number };
        if catch_unwind(AssertUnwindSafe(|| work(line, &mut ops))).is_err() {
            core.counters().add(Counter::Panics, 1);
            line.closing = true;
            super::line::Ops::close(&mut ops, false);
        }
        if line.closing {
            core.counters().add(Counter::ConnectionsClosed, 1);
            self.seats[number as usize] = None;
            self.vacant.push(number);
        }
    }

    /// Serves a fresh connection.
    fn open(&mut self, fd: AcceptedFd) {
        let core = Rc::clone(&self.core);
        // TLS is for TCP: what comes over a unix socket never leaves the machine.
        let tls = core.shared.client_tls.as_ref().filter(|_| !fd.is_unix()).map(|tls| tls.config());
        let is_tls = tls.is_some();
        let Ok(link) = Link::accepted(fd.into(), tls) else {
            return core.counters().add(Counter::ConnectionsClosed, 1);
        };
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.seats.push(None);
            u32::try_from(self.seats.len() - 1).expect("fewer connections than descriptors")
        });
        let token = self.links.reserve();
        self.links.open(token, link, Owner::Client(number));
        self.links.entry(token).link.arm(&mut self.ring, token);
        let line = Line::new(Rc::clone(&core), self.now);
        line.bell.seat.set(number);
        let greeted_by = self.now + core.snapshot().deadlines.client_head;
        let (bell, notice) = (Rc::clone(&line.bell), line.bell.notice());
        self.seats[number as usize] = Some(Box::new(Seat { line, wires: Wires::new(token), greeted_by }));
        self.work(number, |line, ops| line.start(ops));
        if is_tls {
            core.deadlines.arm(&bell, self.now, greeted_by);
        }
        match notice {
            None => {}
            Some(Notice::Drain) => self.step(number, Input::Drain),
            Some(Notice::Stop) => self.step(number, Input::Stop),
        }
    }

    fn deadlines(&mut self) {
        if self.now >= self.pause {
            self.pause = Moment::NEVER;
            for number in 0..self.doors.len() as u32 {
                self.await_clients(number);
            }
        }
        if self.now >= self.requeue {
            self.requeue = Moment::NEVER;
            std::mem::take(&mut self.queued).into_iter().for_each(|seat| self.dial_again(seat));
        }
        if !self.queued.is_empty() {
            self.requeue = self.requeue.min(self.now + QUEUE_PAUSE);
        }
        if self.now < self.core.deadlines.wakes() && self.core.deadlines.wakes() != Moment::NEVER {
            return;
        }
        let (links, rung) = (&mut self.links, &mut self.rung);
        self.pool.sweep(self.now, |old| drop(links.part(old, false)));
        self.core.deadlines.ring_due(self.now, |bell| rung.push(bell.seat.get()));
        for number in std::mem::take(&mut self.rung) {
            let Some(seat) = self.seats[number as usize].as_mut() else { continue };
            let link = &mut self.links.entry(seat.wires.client).link;
            if link.is_handshaking() && self.now >= seat.greeted_by {
                self.step(number, Input::Stop);
            } else if seat.line.bell.due.get() <= self.now {
                self.step(number, Input::Deadline);
            }
        }
    }

    /// Has a listener polled, unless accepting pauses: then all are polled again after the pause.
    fn await_clients(&mut self, number: u32) {
        if self.pause == Moment::NEVER
            && let Some(door) = self.doors.get_mut(number as usize)
            && !std::mem::replace(&mut door.polled, true)
        {
            self.ring.poll(&door.listener, READABLE, LISTENERS + number);
        }
    }

    /// Accepts what waits, within a streak; the listener is polled again for the rest.
    fn accept(&mut self, number: u32) {
        let core = Rc::clone(&self.core);
        for _ in 0..STREAK {
            if core.bells.borrow().len() >= core.snapshot().limits.connections_per_core {
                self.pause = self.now + PAUSE;
            }
            let Some(door) = self.doors.get_mut(number as usize) else { return };
            door.polled = false;
            if self.pause != Moment::NEVER {
                return;
            }
            match door.listener.accept() {
                Ok(Some(fd)) => place(&core, fd).into_iter().for_each(|fd| self.open(fd)),
                Ok(None) => break,
                // Out of descriptors: the connection waits in the kernel's queue.
                Err(_) => self.pause = self.now + PAUSE,
            }
        }
        self.await_clients(number);
    }

    /// Reads what other threads have to say.
    fn read_mail(&mut self) {
        loop {
            match self.mailbox.next_now() {
                Ok(None) => return self.ring.poll(&self.mailbox, READABLE, MAILBOX),
                Ok(Some(Message::Adopt(fd))) => self.open(fd),
                Ok(Some(Message::Synced)) => {
                    for bell in self.core.waiting_for_disk() {
                        if !bell.is_retired() {
                            self.work(bell.seat.get(), |line, ops| line.on_synced(ops));
                        }
                    }
                }
                Ok(Some(Message::Drain)) => {
                    self.core.draining.set(true);
                    self.stop_listening();
                    self.tell_all(|| Input::Drain);
                }
                Ok(Some(Message::Stop)) | Err(_) => {
                    self.core.draining.set(true);
                    self.core.stopping.set(true);
                    self.stop_listening();
                    self.last = self.now + LAST_WORDS;
                    return self.tell_all(|| Input::Stop);
                }
            }
        }
    }

    /// Lets the sockets go, so that what still waits to be accepted ends too.
    fn stop_listening(&mut self) {
        self.pause = Moment::NEVER;
        self.doors.drain(..).for_each(|door| door.listener.shutdown());
    }

    fn tell_all(&mut self, input: impl Fn() -> Input) {
        for number in 0..self.seats.len() {
            self.step(u32::try_from(number).expect("seats are counted in u32"), input());
        }
    }
}
