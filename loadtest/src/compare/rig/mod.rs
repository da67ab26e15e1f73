//! The measuring rig: clients and origin on one thread and one ring, so that together they cost less than the
//! contender between them and the contender's core is the one that is full.
//!
//! Both ends being one process, an event's age is told by one clock. Every answer is checked: a chat answer
//! names its request's number, events are numbered. It exists beside `origin` and `client` because those, on
//! epoll and in two processes, cost more than what they would measure here; the reading of HTTP, the
//! certificate and the histograms are theirs. Deliberately absent: odd answers and faults, which belong to
//! scenarios; here all contenders do the same plain work.

mod client;
mod connections;
mod load;
mod origin;
mod streams;
pub(super) mod text;
mod tls;

use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use crate::certificate;
use crate::floor::ring::{Event, Ring};
use client::Client;
pub(super) use load::{Counts, Door, Gateway, Load};
use origin::Origin;
use tls::Session;

/// Receive buffers, and the bytes of each.
const BUFFERS: (u16, u32) = (256, 16 * 1024);
/// How long answers under way may take to end after a window.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Low bits of a request's number: the token of its client.
const TOKEN_BITS: u32 = 20;
/// Requests at a time of clients that ask once.
const ONCE_AT_A_TIME: usize = 32;
/// A turn of a rig that does not sleep is shorter, unless something else had its core: other processes, or
/// the hypervisor, which no counter of ours shows.
const TURN_MAX: Duration = Duration::from_millis(2);
/// How long a connect may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// Tokens of the two listeners.
const PLAIN: u32 = 0;
const SECURE: u32 = 1;

/// Which end of a connection this is.
enum End {
    Client(Client),
    Origin(Origin, Option<Box<Session>>),
}

struct Connection {
    socket: TcpStream,
    end: End,
    armed: bool,
    sending: bool,
    /// Shut down; removed once the kernel holds nothing of it.
    closing: bool,
}

/// Clients and origin.
pub(super) struct Rig {
    ring: Ring,
    /// Plain, and with TLS.
    listeners: [TcpListener; 2],
    tls: Arc<ServerConfig>,
    /// Who signed the certificate, as PEM.
    authority: String,
    connections: Vec<Option<Connection>>,
    free: Vec<u32>,
    clients: u32,
    load: Load,
    key: String,
    /// No new request; streams say their last words.
    ending: bool,
    counts: Counts,
    begin: Instant,
    /// Number of the next request.
    number: u64,
    /// Clients between two requests, and intended starts that found none of them, of an open loop.
    idle: VecDeque<u32>,
    late: VecDeque<Instant>,
    next_start: Instant,
    /// Clients that are to ask once and have not yet.
    fresh: Vec<u32>,
    /// When each paced stream's next event is due, the earliest first.
    due: BinaryHeap<core::cmp::Reverse<(Instant, u32)>>,
    events: Vec<Event>,
}

impl Rig {
    /// A rig whose origin listens; `key` is what clients authenticate with.
    ///
    /// # Errors
    /// No socket or no ring.
    pub(super) fn new(key: &str) -> io::Result<Self> {
        let mut ring = Ring::new(BUFFERS.0, BUFFERS.1)?;
        let (tls, authority) = certificate::server().map_err(io::Error::other)?;
        let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        for (listener, token) in listeners.iter().zip([PLAIN, SECURE]) {
            // Contenders open hundreds of connections at once; a full queue would delay them by a second.
            rustix::net::listen(listener, BACKLOG)?;
            ring.accept(listener, token)?;
        }
        let now = Instant::now();
        Ok(Self {
            ring,
            listeners,
            tls,
            authority,
            connections: Vec::new(),
            free: Vec::new(),
            clients: 0,
            load: Load::Closed { connections: 0, body_bytes: 0 },
            key: key.to_owned(),
            ending: false,
            counts: Counts::new(),
            begin: now,
            number: 0,
            idle: VecDeque::new(),
            late: VecDeque::new(),
            fresh: Vec::new(),
            next_start: now,
            due: BinaryHeap::new(),
            events: Vec::new(),
        })
    }

    /// Where the origin listens, plain and with TLS.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn origins(&self) -> io::Result<[SocketAddr; 2]> {
        let [plain, secure] = &self.listeners;
        Ok([plain.local_addr()?, secure.local_addr()?])
    }

    /// Who signed the origin's certificate, as PEM.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Connects all clients of a load to `target` and lets them begin.
    ///
    /// # Errors
    /// A connection was refused, or the ring failed.
    pub(super) fn start(&mut self, door: Door, load: Load) -> io::Result<()> {
        (self.load, self.ending, self.counts) = (load, false, Counts::new());
        self.idle.clear();
        self.late.clear();
        self.fresh.clear();
        for _ in 0..load.connections() {
            let socket = TcpStream::connect_timeout(&door.address, CONNECT_PATIENCE)?;
            let client = Client::new(load, &self.key, door);
            self.add(socket, End::Client(client))?;
            self.clients += 1;
            // The origin must accept while we connect, or its queue fills up.
            self.turn(Duration::ZERO)?;
        }
        self.next_start = Instant::now();
        for token in 0..u32::try_from(self.connections.len()).unwrap_or(u32::MAX) {
            if matches!(self.connection(token), Some(Connection { end: End::Client(_), .. })) {
                match load {
                    Load::Rate { .. } => self.idle.push_back(token),
                    Load::Once { .. } => self.fresh.push(token),
                    Load::Closed { .. } | Load::Streams { .. } => self.ask(token, Instant::now())?,
                }
            }
        }
        for _ in 0..ONCE_AT_A_TIME {
            self.ask_fresh()?;
        }
        Ok(())
    }

    /// Lets everything run for a while and returns what was counted in that time.
    ///
    /// # Errors
    /// The ring failed.
    pub(super) fn run(&mut self, time: Duration) -> io::Result<Counts> {
        self.counts = Counts::new();
        let (mut nothing, mut stalled) = (Duration::ZERO, Duration::ZERO);
        let begin = Instant::now();
        let mut now = begin;
        let end = begin + time;
        // An open loop is for latencies, so the rig's core does not sleep: a virtual one takes longer to
        // wake up than an answer takes.
        let awake = matches!(self.load, Load::Rate { .. });
        while now < end {
            let timer = self.timers(now)?;
            let patience = timer.map_or(end, |timer| timer.min(end)).saturating_duration_since(now);
            let busy = self.turn(if awake { Duration::ZERO } else { patience })?;
            let before = std::mem::replace(&mut now, Instant::now());
            let took = now - before;
            nothing += if busy { Duration::ZERO } else { took };
            stalled += if awake && took > TURN_MAX { took } else { Duration::ZERO };
        }
        let mut counts = std::mem::replace(&mut self.counts, Counts::new());
        counts.busy = awake.then(|| 1.0 - nothing.as_secs_f64() / (now - begin).as_secs_f64());
        counts.stalled = stalled;
        Ok(counts)
    }

    /// True if every client has had an answer and is idle.
    pub(super) fn is_idle(&self) -> bool {
        self.idle.len() == self.clients as usize
    }

    /// Ends the load: answers under way come to their end, then clients close. Returns what was counted in
    /// it.
    ///
    /// # Errors
    /// The ring failed, or something did not end in time.
    pub(super) fn finish(&mut self) -> io::Result<Counts> {
        self.counts = Counts::new();
        self.ending = true;
        self.late.clear();
        let end = Instant::now() + END_PATIENCE;
        for token in 0..u32::try_from(self.connections.len()).unwrap_or(u32::MAX) {
            self.close_if_idle(token);
        }
        while self.clients > 0 {
            if Instant::now() >= end {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "answers did not end after a window"));
            }
            self.turn(Duration::from_millis(20))?;
            // A stream that began only now, and the ones that were due: their last words.
            for core::cmp::Reverse((_, token)) in std::mem::take(&mut self.due) {
                self.say(token)?;
            }
        }
        Ok(std::mem::replace(&mut self.counts, Counts::new()))
    }

    /// Closes everything after a failure, so that the next window starts afresh.
    ///
    /// # Errors
    /// The ring failed, or a connection did not close in time.
    pub(super) fn abort(&mut self) -> io::Result<()> {
        self.ending = true;
        self.due.clear();
        let end = Instant::now() + END_PATIENCE;
        while self.connections.iter().any(Option::is_some) {
            if Instant::now() >= end {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "connections did not close"));
            }
            for token in 0..u32::try_from(self.connections.len()).unwrap_or(u32::MAX) {
                self.close(token);
            }
            self.turn(Duration::from_millis(5))?;
        }
        Ok(())
    }

    /// Does what is due, and returns when the next thing is.
    fn timers(&mut self, now: Instant) -> io::Result<Option<Instant>> {
        if let Load::Rate { per_second, .. } = self.load {
            while self.next_start <= now {
                let intended = self.next_start;
                self.next_start += Duration::from_secs_f64(1.0 / per_second);
                match self.idle.pop_front() {
                    Some(token) => self.ask(token, intended)?,
                    None => self.late.push_back(intended),
                }
            }
            return Ok(Some(self.next_start));
        }
        while let Some(core::cmp::Reverse((due, token))) = self.due.peek().copied() {
            if due > now {
                return Ok(Some(due));
            }
            self.due.pop();
            self.say(token)?;
            // From when it was due, so that a late turn does not let streams fall into step; streams later
            // than a whole gap do not catch up in a burst.
            if let Load::Streams { gap: Some(gap), .. } = self.load {
                let next = if due + gap < now { now + gap } else { due + gap };
                self.due.push(core::cmp::Reverse((next, token)));
            }
        }
        Ok(None)
    }
}

/// What bytes led to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// More is due.
    Wait,
    /// A client has its whole answer.
    Answered,
    /// An origin has a whole request.
    Asked { number: u64, stream: bool },
    /// The peer closed.
    Ended,
    /// Not what it should be.
    Failed(String),
}

#[cfg(test)]
mod tests;
