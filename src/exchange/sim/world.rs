//! The world around the exchanges of one core: virtual time, a queue of what is about to happen, and the
//! kernel's side of every operation. One seed and one way of cutting give one course of events.
//!
//! Deliberately absent: what clients and origins do (`client`, `origin`), performing actions (`perform`),
//! judging.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use crate::base::metrics::Counters;
use crate::base::record::Record;
use crate::base::time::{Moment, UnixSeconds};
use crate::exchange::sim::case::{Case, ProcessStep};
use crate::exchange::sim::client::Client;
use crate::exchange::sim::ledger::{Book, Pen};
use crate::exchange::sim::origin::Connection;
use crate::exchange::sim::perform::Dial;
use crate::exchange::sim::report::Report;
use crate::exchange::sim::socket::Socket;
use crate::exchange::sim::tuning::{Cut, Tuning};
use crate::exchange::sim::{Random, setup};
use crate::exchange::{Action, CoreState, Cx, Exchange, Got, Input, Lane};
use crate::policy::catalog::Snapshot;
use crate::policy::sticky::Memory;

/// Which socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client(usize),
    Origin(usize),
}

/// What arrives at the router.
#[derive(Clone, Debug)]
pub(super) enum Arrival {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// What is about to happen.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Client(usize),
    ClientReads(usize),
    Origin(usize),
    OriginReads(usize),
    Arrive(Side, Arrival),
    Received(Side),
    Sent(Side),
    Dialled(usize, Lane),
    Process,
}

/// One lane to origins.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) dial: Option<Dial>,
    /// The connection in hand.
    pub(super) origin: Option<usize>,
    /// The one before, whose operations may still be in flight.
    pub(super) parting: Option<usize>,
}

/// A client connection: its exchange, its socket, and the client at the other end.
pub(super) struct Session {
    pub(super) exchange: Exchange,
    pub(super) socket: Socket,
    pub(super) client: Client,
    /// By lane.
    pub(super) wires: [Wire; 2],
    pub(super) records: Vec<Record>,
    /// The exchange has closed.
    pub(super) over: bool,
    /// What the client will see at the end is a reset.
    pub(super) resets: bool,
    /// The exchange closed while the client was not taking what was sent.
    pub(super) untaken: bool,
}

/// A dial and what became of it.
pub(super) struct Tried {
    pub(super) session: usize,
    pub(super) record: usize,
    pub(super) provider: usize,
    pub(super) reused: bool,
    pub(super) lane: Lane,
    pub(super) connection: Option<usize>,
    pub(super) turn: usize,
}

/// The world of one run.
pub struct World<'c> {
    pub(super) case: &'c Case,
    tuning: Tuning,
    pub(super) random: Random,
    pub(super) now: Moment,
    order: u64,
    queue: BTreeMap<(Moment, u64, u64), Event>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) core: CoreState,
    /// What the journal holds.
    pub(super) book: Rc<RefCell<Book>>,
    pub(super) sessions: Vec<Session>,
    pub(super) connections: Vec<Connection>,
    /// Idle connections by provider.
    pub(super) idle: Vec<Vec<usize>>,
    pub(super) sections: Vec<VecDeque<usize>>,
    pub(super) tried: Vec<Tried>,
    pub(super) unscripted: usize,
    /// Size of socket buffers in bytes.
    pub(super) buffer: usize,
    /// The step at hand is a deadline or the process's end: an exchange may give up on what is under way.
    pub(super) impatient: bool,
    process_at: usize,
    passed: (usize, usize),
    actions: Vec<Action>,
    steps: usize,
}

/// Wall time, which stands still.
pub(super) const WALL: UnixSeconds = UnixSeconds(1_783_514_921);
/// More conversations than any case has.
const CONVERSATIONS: usize = 64;
/// More steps than any case needs: a run that takes them goes in circles.
const STEPS_MAX: usize = 3_000_000;

impl<'c> World<'c> {
    /// A world at time zero.
    #[must_use]
    pub fn new(case: &'c Case, tuning: Tuning) -> Self {
        let mut random = Random::new(tuning.seed);
        let snapshot = Arc::new(setup::snapshot(&case.config));
        let mut sections = vec![VecDeque::new(); case.config.providers.len()];
        for (index, origin) in case.origins.iter().enumerate() {
            sections[origin.provider].push_back(index);
        }
        let now = Moment::from_nanos(1_000_000_000);
        let session = |_: &Vec<_>| Session {
            exchange: Exchange::new(&snapshot, now),
            socket: Socket::default(),
            client: Client::new(),
            wires: Default::default(),
            records: Vec::new(),
            over: false,
            resets: false,
            untaken: false,
        };
        let buffer = match tuning.cut {
            Cut::Random => [64 * 1024, 64 * 1024, 4096, 200][random.below(4)],
            Cut::Whole | Cut::Drip | Cut::Client(_) | Cut::Origin(_) => 64 * 1024,
        };
        let mut core = CoreState::new(Arc::new(Counters::default()), [tuning.seed, !tuning.seed, 1]);
        core.tells_records = true;
        let (pen, book) = Pen::new(&case.config);
        core.journal = Some(Box::new(pen));
        core.sticky = Some(Arc::new(Memory::new(CONVERSATIONS, [tuning.seed, 2])));
        Self {
            sessions: case.clients.iter().map(session).collect(),
            connections: Vec::new(),
            idle: vec![Vec::new(); sections.len()],
            sections,
            tried: Vec::new(),
            unscripted: 0,
            buffer,
            impatient: false,
            process_at: 0,
            passed: (0, 0),
            actions: Vec::new(),
            steps: 0,
            queue: BTreeMap::new(),
            order: 0,
            core,
            book,
            case,
            tuning,
            random,
            now,
            snapshot,
        }
    }

    /// Runs until nothing happens any more.
    ///
    /// # Panics
    /// When the exchange breaks a rule of the kernel, waits for nothing, or goes in circles.
    #[must_use]
    pub fn run(mut self) -> Report {
        self.begin();
        while self.turn() {
            self.steps += 1;
            assert!(self.steps < STEPS_MAX, "the run goes in circles");
        }
        assert_eq!(self.core.health.under_way(), 0, "an attempt that is over counts as under way");
        self.report()
    }

    /// Lets everybody begin.
    pub(super) fn begin(&mut self) {
        for session in 0..self.sessions.len() {
            self.stepping(session, |exchange, cx| exchange.start(cx));
            self.schedule(Duration::ZERO, Event::Client(session));
        }
        self.schedule(Duration::ZERO, Event::Process);
    }

    /// The next thing happens; false when there is none.
    pub(super) fn turn(&mut self) -> bool {
        let next = self.queue.first_key_value().map_or(Moment::NEVER, |(key, _)| key.0);
        let due = (0..self.sessions.len()).map(|session| (self.due(session), session)).min();
        match due {
            Some((due, session)) if due < next => {
                if next == Moment::NEVER && (0..self.sessions.len()).all(|one| self.settled(one)) {
                    return false;
                }
                self.now = self.now.max(due);
                self.pass_deadline(session);
            }
            _ => match self.queue.pop_first() {
                Some(((at, _, _), event)) => {
                    self.now = at;
                    self.happen(event);
                }
                None => return false,
            },
        }
        true
    }

    fn due(&self, session: usize) -> Moment {
        let seat = &self.sessions[session];
        if seat.over { Moment::NEVER } else { seat.exchange.due() }
    }

    /// Nothing more will happen by itself, but for the expiry of an idle connection.
    fn settled(&self, session: usize) -> bool {
        self.sessions[session].over || self.sessions[session].exchange.is_idle()
    }

    fn pass_deadline(&mut self, session: usize) {
        self.note(|| format!("deadline of {}", session + 1));
        // Five may fall together: the whole request's, the phases' of two candidates, that of a hedge, and
        // that of a waiting comment.
        for _ in 0..5 {
            self.impatient = true;
            self.step(session, Input::Deadline);
            self.impatient = false;
            if self.due(session) > self.now {
                return;
            }
        }
        panic!("a deadline that has passed is not over");
    }

    /// A short time, or none.
    pub(super) fn latency(&mut self) -> Duration {
        match self.tuning.cut {
            Cut::Random if self.random.chance(70) => Duration::from_nanos(self.random.below(200_000) as u64),
            Cut::Random | Cut::Whole | Cut::Drip | Cut::Client(_) | Cut::Origin(_) => Duration::ZERO,
        }
    }

    /// `Some` when choices are free.
    pub(super) fn choices(&mut self) -> Option<&mut Random> {
        (self.tuning.cut == Cut::Random).then_some(&mut self.random)
    }

    pub(super) fn schedule(&mut self, after: Duration, event: Event) {
        self.schedule_at(self.now + after, event);
    }

    fn schedule_at(&mut self, at: Moment, event: Event) {
        self.order += 1;
        let shuffle = self.choices().map_or(0, Random::word);
        self.queue.insert((at, shuffle, self.order), event);
    }

    /// Writes a line of the transcript.
    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        if let Some(log) = &self.tuning.log {
            let micros = (self.now.nanos() - 1_000_000_000) / 1000;
            log.borrow_mut().push(format!("{:>6}.{:03} ms  {}", micros / 1000, micros % 1000, line()));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Client(session) => self.run_client(session),
            Event::ClientReads(session) => self.client_reads(session),
            Event::Origin(id) => self.run_origin(id),
            Event::OriginReads(id) => self.origin_reads(id),
            Event::Arrive(side, what) => self.arrive(side, what),
            Event::Received(side) => self.received(side),
            Event::Sent(side) => self.sent(side),
            Event::Dialled(session, lane) => self.dialled(session, lane),
            Event::Process => self.run_process(),
        }
    }

    pub(super) fn socket(&mut self, side: Side) -> &mut Socket {
        match side {
            Side::Client(session) => &mut self.sessions[session].socket,
            Side::Origin(id) => &mut self.connections[id].socket,
        }
    }

    /// Puts bytes on their way to the router.
    pub(super) fn deliver(&mut self, side: Side, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(self.cut(side, rest.len()));
            rest = behind;
            self.put(side, Arrival::Bytes(piece.to_vec()));
        }
    }

    /// Puts the end on its way to the router.
    pub(super) fn deliver_end(&mut self, side: Side, what: Arrival) {
        self.put(side, what);
    }

    fn put(&mut self, side: Side, what: Arrival) {
        let wait = self.latency();
        let gap = match self.tuning.cut {
            Cut::Whole => Duration::ZERO,
            Cut::Drip | Cut::Client(_) | Cut::Origin(_) => Duration::from_nanos(100),
            Cut::Random => Duration::from_nanos(1),
        };
        let at = (self.now + wait).max(self.socket(side).tail + gap);
        self.socket(side).tail = at;
        self.schedule_at(at, Event::Arrive(side, what));
    }

    /// How many of the next `len` bytes arrive together.
    fn cut(&mut self, side: Side, len: usize) -> usize {
        let (is_client, passed) = match side {
            Side::Client(_) => (true, &mut self.passed.0),
            Side::Origin(_) => (false, &mut self.passed.1),
        };
        let size = match self.tuning.cut {
            Cut::Client(at) if is_client && (*passed + 1..*passed + len).contains(&at) => at - *passed,
            Cut::Origin(at) if !is_client && (*passed + 1..*passed + len).contains(&at) => at - *passed,
            Cut::Whole | Cut::Client(_) | Cut::Origin(_) => len,
            Cut::Drip => 1,
            Cut::Random => match self.random.below(8) {
                0..=3 => len,
                4 if len < 400 => 1,
                _ => 1 + self.random.below(len),
            },
        };
        *passed += size;
        size
    }

    fn arrive(&mut self, side: Side, what: Arrival) {
        let socket = self.socket(side);
        match what {
            Arrival::Bytes(bytes) => socket.arrived.extend_from_slice(&bytes),
            Arrival::Fin => socket.fin = true,
            Arrival::Reset => socket.reset = true,
        }
        self.wake(side);
    }

    /// Schedules the completions that can happen now.
    pub(super) fn wake(&mut self, side: Side) {
        let socket = self.socket(side);
        let (receives, sends) = (socket.recv_ready(), socket.send_ready());
        socket.recv_due |= receives;
        socket.send_due |= sends;
        if receives {
            let wait = self.latency();
            self.schedule(wait, Event::Received(side));
        }
        if sends {
            let wait = self.latency();
            self.schedule(wait, Event::Sent(side));
        }
    }

    fn received(&mut self, side: Side) {
        let Some(session) = self.listener(side) else { return };
        let mut random = self.random.clone();
        let free = self.tuning.cut == Cut::Random;
        let (lent, got) = self.socket(side).end_recv(free.then_some(&mut random));
        self.random = random;
        self.note(|| format!("{side:?} received {got:?}"));
        let input = match side {
            Side::Client(_) => Input::ClientRecv { lent, got },
            Side::Origin(id) => {
                if let Got::Bytes(count) = got {
                    let bytes = &lent.storage[lent.filled..lent.filled + count];
                    self.connections[id].delivered.push(bytes);
                }
                if got == Got::End {
                    self.connections[id].delivered.end(true);
                }
                Input::OriginRecv { lane: self.connections[id].lane, lent, got }
            }
        };
        self.step(session, input);
    }

    fn sent(&mut self, side: Side) {
        let Some(session) = self.listener(side) else { return };
        let (parcel, ok) = self.socket(side).end_send();
        self.note(|| format!("{side:?} sent, ok {ok}"));
        let input = match side {
            Side::Client(_) => Input::ClientSent { parcel, ok },
            Side::Origin(id) => Input::OriginSent { lane: self.connections[id].lane, parcel, ok },
        };
        self.step(session, input);
    }

    /// Whose exchange a completion belongs to; nobody's when it has closed.
    fn listener(&self, side: Side) -> Option<usize> {
        let session = match side {
            Side::Client(session) => session,
            Side::Origin(id) => self.connections[id].session,
        };
        (!self.sessions[session].over).then_some(session)
    }

    fn run_process(&mut self) {
        while let Some(step) = self.case.process.get(self.process_at) {
            self.process_at += 1;
            self.note(|| format!("process {step:?}"));
            match step {
                ProcessStep::Wait(time) => return self.schedule(*time, Event::Process),
                ProcessStep::Drain => self.tell_all(|| Input::Drain),
                ProcessStep::Stop => self.tell_all(|| Input::Stop),
            }
        }
    }

    fn tell_all(&mut self, input: impl Fn() -> Input) {
        for session in 0..self.sessions.len() {
            if !self.sessions[session].over {
                self.impatient = true;
                self.step(session, input());
                self.impatient = false;
            }
        }
    }

    /// One input for one exchange.
    pub(super) fn step(&mut self, session: usize, input: Input) {
        self.stepping(session, |exchange, cx| exchange.step(cx, input));
    }

    fn stepping(&mut self, session: usize, step: impl FnOnce(&mut Exchange, &mut Cx<'_>)) {
        let mut actions = core::mem::take(&mut self.actions);
        let mut cx = Cx {
            now: self.now,
            unix: WALL,
            snapshot: &self.snapshot,
            core: &mut self.core,
            actions: &mut actions,
        };
        step(&mut self.sessions[session].exchange, &mut cx);
        for action in actions.drain(..) {
            self.perform(session, action);
        }
        self.actions = actions;
        self.watch(session);
    }
}

/// Bytes for a transcript: escaped, and not too many.
pub(super) fn shown(bytes: &[u8]) -> String {
    let more = if bytes.len() > 200 { format!(" … {} bytes", bytes.len()) } else { String::new() };
    format!("\"{}\"{more}", bytes[..bytes.len().min(200)].escape_ascii())
}
