//! The measuring rig: clients and origin on one thread and one ring, so that together they cost less than the
//! contender between them and the contender's core is the one that is full.
//!
//! Both ends being one process, an event's age is told by one clock. Every answer is checked: a chat answer
//! names its request's number, events are numbered. Deliberately absent: odd answers, faults and TLS, which
//! belong to the scenarios of `origin` and `client`; here all contenders do the same plain work.

mod client;
mod origin;
mod streams;
pub(super) mod text;

use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::floor::ring::{ECANCELED, ENOBUFS, Event, Payload, Received, Ring};
use client::Client;
use origin::Origin;

/// Receive buffers, and the bytes of each.
const BUFFERS: (u16, u32) = (256, 16 * 1024);
/// How long answers under way may take to end after a window.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Low bits of a request's number: the token of its client.
const TOKEN_BITS: u32 = 20;
/// How long a connect may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
/// Longest time that is told apart, in nanoseconds.
const NANOS_MAX: u64 = 60_000_000_000;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Load {
    /// Each of so many connections sends its next request when the answer to the last one is there.
    Closed { connections: u32, body_bytes: usize },
    /// So many requests start per second, whatever the answers do; times count from the intended start.
    Rate { connections: u32, per_second: f64, body_bytes: usize },
    /// So many streams, each with an event per `gap`; with none, each event is sent when the one before has
    /// arrived, so that none are coalesced on the way and an event's cost is one event's.
    Streams { count: u32, gap: Option<Duration> },
}

impl Load {
    fn connections(self) -> u32 {
        match self {
            Self::Closed { connections, .. } | Self::Rate { connections, .. } => connections,
            Self::Streams { count, .. } => count,
        }
    }

    pub(super) fn is_stream(self) -> bool {
        matches!(self, Self::Streams { .. })
    }
}

/// What a window counted.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    /// Whole chat answers, or events of streams.
    pub(super) done: u64,
    /// Nanoseconds from the intended start of a request to its whole answer, or from an event's sending to
    /// its reading.
    pub(super) nanos: Histogram<u64>,
    /// What went wrong; any of it makes the window worthless.
    pub(super) failures: Vec<String>,
}

impl Counts {
    fn new() -> Self {
        let nanos = Histogram::new_with_max(NANOS_MAX, 3).expect("3 digits up to a minute");
        Self { done: 0, nanos, failures: Vec::new() }
    }

    fn record(&mut self, time: Duration) {
        self.done += 1;
        self.nanos.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(NANOS_MAX));
    }
}

/// Which end of a connection this is.
enum End {
    Client(Client),
    Origin(Origin),
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
    listener: TcpListener,
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
        let listener = TcpListener::bind("127.0.0.1:0")?;
        // Contenders open hundreds of connections at once; a full queue would delay them by a second.
        rustix::net::listen(&listener, BACKLOG)?;
        ring.accept(&listener)?;
        let now = Instant::now();
        Ok(Self {
            ring,
            listener,
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
            next_start: now,
            due: BinaryHeap::new(),
            events: Vec::new(),
        })
    }

    /// Where the origin listens.
    pub(super) fn origin(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Connects all clients of a load to `target` and lets them begin.
    ///
    /// # Errors
    /// A connection was refused, or the ring failed.
    pub(super) fn start(&mut self, target: SocketAddr, load: Load) -> io::Result<()> {
        (self.load, self.ending, self.counts) = (load, false, Counts::new());
        self.idle.clear();
        self.late.clear();
        for _ in 0..load.connections() {
            let socket = TcpStream::connect_timeout(&target, CONNECT_PATIENCE)?;
            let client = Client::new(load, &self.key, target);
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
                    Load::Closed { .. } | Load::Streams { .. } => self.ask(token, Instant::now())?,
                }
            }
        }
        Ok(())
    }

    /// Lets everything run for a while and returns what was counted in that time.
    ///
    /// # Errors
    /// The ring failed.
    pub(super) fn run(&mut self, time: Duration) -> io::Result<Counts> {
        self.counts = Counts::new();
        let end = Instant::now() + time;
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(std::mem::replace(&mut self.counts, Counts::new()));
            }
            let timer = self.timers(now)?;
            let patience = timer.map_or(end, |timer| timer.min(end)).saturating_duration_since(now);
            self.turn(patience)?;
        }
    }

    /// Ends the load: answers under way come to their end, then clients close. Returns what failed in it.
    ///
    /// # Errors
    /// The ring failed, or something did not end in time.
    pub(super) fn finish(&mut self) -> io::Result<Vec<String>> {
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
        Ok(std::mem::take(&mut self.counts.failures))
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

    /// Submits, waits at most so long, and handles what came.
    fn turn(&mut self, patience: Duration) -> io::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        self.ring.wait(Some(patience), &mut events)?;
        for event in events.drain(..) {
            match event {
                Event::Accepted { socket } => {
                    self.add(TcpStream::from(socket), End::Origin(Origin::default()))?;
                }
                Event::AcceptEnded => self.ring.accept(&self.listener)?,
                Event::Received { token, outcome, armed } => self.received(token, outcome, armed)?,
                Event::Sent { token, payload, outcome } => self.sent(token, payload, &outcome)?,
            }
        }
        self.events = events;
        Ok(())
    }

    fn add(&mut self, socket: TcpStream, end: End) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let token = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            u32::try_from(self.connections.len() - 1).expect("fewer connections than descriptors")
        });
        self.ring.receive(&socket, token)?;
        let connection = Connection { socket, end, armed: true, sending: false, closing: false };
        self.connections[token as usize] = Some(connection);
        Ok(())
    }

    fn connection(&mut self, token: u32) -> Option<&mut Connection> {
        self.connections.get_mut(token as usize)?.as_mut()
    }

    fn received(&mut self, token: u32, outcome: io::Result<Option<Received>>, armed: bool) -> io::Result<()> {
        let Some(connection) = self.connection(token) else { return Ok(()) };
        connection.armed = armed;
        match outcome {
            Ok(Some(received)) => {
                let before = self.counts.done;
                let step = self.take(token, &received);
                self.ring.recycle(received);
                self.follow(token, step)?;
                if matches!(self.load, Load::Streams { gap: None, .. }) && self.counts.done > before {
                    self.arrived(token)?;
                }
            }
            Err(error) if matches!(error.raw_os_error(), Some(ENOBUFS | ECANCELED)) => {}
            Ok(None) | Err(_) => self.follow(token, Step::Ended)?,
        }
        // Buffers are given back at once, so a receive that found none has some by now.
        if let Some(connection) = self.connections[token as usize].as_mut()
            && !connection.armed
            && !connection.closing
        {
            connection.armed = true;
            self.ring.receive(&connection.socket, token)?;
        }
        self.remove_if_quiet(token);
        Ok(())
    }

    /// Hands the bytes to their end.
    fn take(&mut self, token: u32, received: &Received) -> Step {
        let Self { ring, connections, counts, begin, .. } = self;
        let bytes = ring.bytes(received);
        let Some(connection) = connections.get_mut(token as usize).and_then(Option::as_mut) else {
            return Step::Wait;
        };
        if bytes.is_empty() {
            return Step::Ended;
        }
        let outcome = match &mut connection.end {
            End::Client(client) => client.take(bytes, *begin, counts),
            End::Origin(origin) => origin.take(bytes),
        };
        outcome.unwrap_or_else(Step::Failed)
    }

    fn follow(&mut self, token: u32, step: Step) -> io::Result<()> {
        match step {
            Step::Wait => {}
            Step::Answered if self.ending => self.close(token),
            Step::Answered => match self.load {
                Load::Closed { .. } | Load::Streams { .. } => self.ask(token, Instant::now())?,
                Load::Rate { .. } => match self.late.pop_front() {
                    Some(intended) => self.ask(token, intended)?,
                    None => self.idle.push_back(token),
                },
            },
            Step::Asked { number, stream: false } => {
                let Some(connection) = self.connection(token) else { return Ok(()) };
                let End::Origin(origin) = &mut connection.end else { return Ok(()) };
                let answer = origin.chat_answer(number);
                self.send(token, answer)?;
            }
            Step::Asked { number, stream: true } => self.begin_stream(token, number)?,
            Step::Ended => {
                let Some(connection) = self.connection(token) else { return Ok(()) };
                // A proxy may close its idle connections to the origin; a client's is for us to close.
                if matches!(connection.end, End::Client(_)) && !connection.closing {
                    self.counts.failures.push("a client's connection was closed".to_owned());
                }
                self.close(token);
            }
            Step::Failed(what) => {
                self.counts.failures.push(what);
                self.close(token);
            }
        }
        Ok(())
    }

    /// A client's next request.
    fn ask(&mut self, token: u32, intended: Instant) -> io::Result<()> {
        let number = (self.number << TOKEN_BITS) | u64::from(token);
        self.number += 1;
        let Some(connection) = self.connection(token) else { return Ok(()) };
        let End::Client(client) = &mut connection.end else { return Ok(()) };
        let request = client.request(number, intended);
        self.send(token, request)
    }

    fn send(&mut self, token: u32, bytes: Vec<u8>) -> io::Result<()> {
        let Some(connection) = self.connections[token as usize].as_mut() else { return Ok(()) };
        if connection.closing || connection.sending {
            self.counts.failures.push("a second send on one connection".to_owned());
            return Ok(());
        }
        connection.sending = true;
        self.ring.send(&connection.socket, token, Payload::Owned(bytes))
    }

    fn sent(&mut self, token: u32, payload: Payload, outcome: &io::Result<()>) -> io::Result<()> {
        let flat_out = matches!(self.load, Load::Streams { gap: None, .. });
        let Some(connection) = self.connection(token) else { return Ok(()) };
        connection.sending = false;
        let mut next = false;
        if let Payload::Owned(bytes) = payload {
            match &mut connection.end {
                End::Client(client) => client.spare = bytes,
                End::Origin(origin) => {
                    origin.spare = bytes;
                    next = origin.is_streaming() && (origin.pay() || (flat_out && origin.is_fresh()));
                }
            }
        }
        if outcome.is_err() {
            self.follow(token, Step::Ended)?;
        } else if next {
            self.say_now(token)?;
        }
        self.remove_if_quiet(token);
        Ok(())
    }

    fn close_if_idle(&mut self, token: u32) {
        let Some(connection) = self.connection(token) else { return };
        if matches!(&connection.end, End::Client(client) if client.is_idle()) {
            self.close(token);
        }
    }

    fn close(&mut self, token: u32) {
        if let Some(connection) = self.connection(token) {
            connection.closing = true;
            // A peer that is gone already is told nothing.
            let _ = connection.socket.shutdown(Shutdown::Both);
        }
        self.remove_if_quiet(token);
    }

    fn remove_if_quiet(&mut self, token: u32) {
        let place = &mut self.connections[token as usize];
        if let Some(connection) = place
            && connection.closing
            && !connection.armed
            && !connection.sending
        {
            self.clients -= u32::from(matches!(connection.end, End::Client(_)));
            *place = None;
            self.free.push(token);
        }
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
