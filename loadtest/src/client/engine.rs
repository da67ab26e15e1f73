//! The client's loop: what is due is sent, what is ready is read, what is silent for too long has failed.
//!
//! ```text
//!  pace ─► job ─► a connection that is free ─► sent ─► read, checked, measured ─► done
//!                 or a new one, or it waits            │ failed before it began and retries are left:
//!                     ▲                                └──────────► the next target ──┐
//!                     └────────────────────────────────────────────────────────────────┘
//! ```
//! Deliberately absent: sockets' life (`pool`), the answer's form (`lane`, `check`).

use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use super::Plan;
use super::figures::Figures;
use super::lane::{Job, Lane, Outcome, Purpose, Scratch};
use super::pace::Pace;
use super::request::Request;
use crate::event_loop::clock::{SECOND_NS, now_ns};
use crate::event_loop::poll::{Interest, Poll, Ready};
use crate::event_loop::timers::Timers;
use crate::failure::Failure;
use crate::scenario::Load;

/// Size of one read.
const READ_BYTES: usize = 64 * 1024;
/// Answers that are waited for when the load is over.
const DRAIN_NS: u64 = 2 * SECOND_NS;
/// Longest time that the idle connections may take to be used once.
pub(super) const HOLD_NS: u64 = 60 * SECOND_NS;
/// Idle connections used at a time.
const HOLD_AT_A_TIME: usize = 64;

/// Shortest part of a second that has a line of its own at the end.
const SECOND_PART_S: f64 = 0.05;

/// How long one place of a closed loop rests after a failure.
const REST_NS: u64 = 10_000_000;

/// What a time is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// Look whether a lane has been silent for too long.
    Silence,
    /// A slow lane may read again.
    Resume,
}

/// A place for a lane. The generation tells reports and times of its former one apart.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) generation: u32,
    pub(super) lane: Option<Box<Lane>>,
}

/// A running client.
#[derive(Debug)]
pub(super) struct Engine<'p> {
    pub(super) plan: &'p Plan,
    pub(super) requests: Vec<Request>,
    pub(super) poll: Poll,
    pub(super) timers: Timers<(u32, u32, Due)>,
    pub(super) slots: Vec<Slot>,
    pub(super) free: Vec<u32>,
    /// Lanes without a job, per target.
    pub(super) idle: Vec<Vec<u32>>,
    /// Lanes of the load, per target.
    pub(super) open: Vec<u32>,
    /// Lanes that are idle on purpose.
    pub(super) held: Vec<u32>,
    /// Jobs that found no lane.
    pub(super) waiting: VecDeque<Job>,
    /// Jobs on a lane.
    pub(super) running: u64,
    pub(super) number: u64,
    pub(super) figures: Figures,
    /// Of a closed loop, the requests that wait because the last one failed.
    pub(super) resting: Timers<()>,
    scratch: Scratch,
    buffer: Vec<u8>,
    /// Requests that were meant for before this time are checked and not measured.
    measure_from_ns: u64,
    /// The load is on: an answer is followed by the next request.
    loading: bool,
}

impl<'p> Engine<'p> {
    /// # Errors
    /// The kernel's.
    pub(super) fn new(plan: &'p Plan) -> io::Result<Self> {
        let targets = plan.targets.len();
        Ok(Self {
            plan,
            requests: plan.requests.clone(),
            poll: Poll::new()?,
            timers: Timers::default(),
            slots: Vec::new(),
            free: Vec::new(),
            idle: vec![Vec::new(); targets],
            open: vec![0; targets],
            held: Vec::new(),
            waiting: VecDeque::new(),
            running: 0,
            number: 0,
            figures: Figures::default(),
            resting: Timers::default(),
            scratch: Scratch::default(),
            buffer: vec![0; READ_BYTES],
            measure_from_ns: 0,
            loading: false,
        })
    }

    /// Offers the load. `tick` is called with the figures about once a second.
    ///
    /// # Errors
    /// The kernel's about the epoll; those of single connections are counted.
    pub(super) fn load(&mut self, mut tick: impl FnMut(&mut Figures, f64)) -> io::Result<()> {
        let begin_ns = now_ns();
        let end_ns = begin_ns + self.plan.warm_up_ns + self.plan.measured_ns;
        self.measure_from_ns = begin_ns + self.plan.warm_up_ns;
        let mut pace = Pace::new(self.plan.load, begin_ns, self.plan.spread_ns, self.plan.seed);
        let mut tick_ns = self.measure_from_ns + SECOND_NS;
        self.loading = true;
        loop {
            let now = now_ns();
            if now >= tick_ns {
                tick(&mut self.figures, (now - self.measure_from_ns) as f64 / SECOND_NS as f64);
                tick_ns += SECOND_NS;
            }
            if now >= end_ns {
                break;
            }
            while let Some(intended_ns) = pace.pop_due(now) {
                self.begin(Purpose::Load, intended_ns);
            }
            let due_ns = pace.next_ns().unwrap_or(end_ns).min(tick_ns).min(end_ns);
            self.turn(due_ns)?;
        }
        self.loading = false;
        let last_s = (now_ns() - self.measure_from_ns) as f64 / SECOND_NS as f64;
        let ticked_s = (tick_ns - SECOND_NS - self.measure_from_ns) as f64 / SECOND_NS as f64;
        if last_s - ticked_s > SECOND_PART_S {
            tick(&mut self.figures, last_s);
        }
        // A paced stream is longer than anybody wants to wait here; other answers are due soon.
        let drain_end_ns =
            if matches!(self.plan.load, Load::Streams(_)) { end_ns } else { end_ns + DRAIN_NS };
        while self.running + self.waiting.len() as u64 > 0 && now_ns() < drain_end_ns {
            self.turn(drain_end_ns)?;
        }
        self.figures.unfinished += self.running;
        self.figures.not_sent += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Opens the connections that are to be idle and uses each once.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub(super) fn open_held(&mut self, count: u32) -> io::Result<()> {
        let end_ns = now_ns() + HOLD_NS;
        let mut left = u64::from(count);
        while (left > 0 || self.running > 0) && now_ns() < end_ns {
            while left > 0 && self.running < HOLD_AT_A_TIME as u64 {
                left -= 1;
                self.begin(Purpose::Hold, now_ns());
            }
            self.turn(end_ns)?;
        }
        self.figures.tally.add("idle, first request", &Failure::Slow("all of them; never begun"), left);
        Ok(())
    }

    /// Uses each idle connection again.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub(super) fn use_held(&mut self) -> io::Result<()> {
        // What the load left unfinished is of no interest any more.
        for slot in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            if self.lane(slot).is_some_and(|lane| lane.job.is_some()) {
                self.drop_lane(slot);
            }
        }
        let end_ns = now_ns() + HOLD_NS;
        while !(self.held.is_empty() && self.running == 0) && now_ns() < end_ns {
            while self.running < HOLD_AT_A_TIME as u64 {
                let Some(slot) = self.held.pop() else { break };
                self.number += 1;
                let (number, now) = (self.number, now_ns());
                let purpose = Purpose::HoldAgain;
                self.send(slot, Job { number, purpose, intended_ns: now, sent_ns: 0, attempt: 0 });
            }
            self.turn(end_ns)?;
        }
        let left = self.held.len() as u64 + self.running;
        self.figures.tally.add("idle, second request", &Failure::Slow("all of them; never done"), left);
        Ok(())
    }

    /// One turn: what is due, then what is ready, waiting for it until `due_ns` at most.
    fn turn(&mut self, due_ns: u64) -> io::Result<()> {
        let now = now_ns();
        while let Some((slot, generation, due)) = self.timers.pop_due(now) {
            if self.slots[slot as usize].generation == generation {
                self.on_due(slot, due, now);
            }
        }
        while self.resting.pop_due(now).is_some() {
            self.follow(Purpose::Load);
        }
        let next = [self.timers.next_ns(), self.resting.next_ns()].into_iter().flatten().min();
        self.poll.wait(next.unwrap_or(due_ns).min(due_ns))?;
        let mut index = 0;
        while let Some(ready) = self.poll.ready(index) {
            index += 1;
            self.on_ready(ready);
        }
        Ok(())
    }

    fn begin(&mut self, purpose: Purpose, intended_ns: u64) {
        self.number += 1;
        let number = self.number;
        self.place(Job { number, purpose, intended_ns, sent_ns: 0, attempt: 0 });
    }

    fn on_due(&mut self, slot: u32, due: Due, now: u64) {
        let silence_ns = self.plan.silence_ns;
        let Some(lane) = self.lane(slot) else { return };
        match due {
            Due::Silence if lane.job.is_none() => lane.watched = false,
            Due::Silence if lane.moved_ns + silence_ns > now => {
                let due_ns = lane.moved_ns + silence_ns;
                self.watch(slot, due_ns, Due::Silence);
            }
            Due::Silence => self.fail(slot, Failure::Slow("an answer")),
            Due::Resume => {
                lane.paused = false;
                self.set_interest(slot, Interest::Read);
                // A session may hold bytes that the socket does not report any more.
                self.read(slot);
            }
        }
    }

    fn on_ready(&mut self, ready: Ready) {
        let (slot, generation) = ((ready.token & 0xFFFF_FFFF) as u32, (ready.token >> 32) as u32);
        if self.slots[slot as usize].generation != generation {
            return;
        }
        if ready.write && !self.on_writable(slot) {
            return;
        }
        // What a connect or a send led to may have been the end of the lane.
        if ready.read && self.slots[slot as usize].generation == generation {
            self.read(slot);
        }
    }

    /// False if the lane is no more.
    fn on_writable(&mut self, slot: u32) -> bool {
        let Some(lane) = self.lane(slot) else { return false };
        if lane.connecting {
            return self.connected(slot);
        }
        if lane.interest != Interest::Both {
            return true;
        }
        match lane.send_rest() {
            Ok(sent) => {
                lane.moved_ns = now_ns();
                self.set_interest(slot, if sent { Interest::Read } else { Interest::Both });
                true
            }
            Err(failure) => {
                self.fail(slot, failure);
                false
            }
        }
    }

    fn read(&mut self, slot: u32) {
        let mut buffer = core::mem::take(&mut self.buffer);
        let most = self.plan.read_most.min(buffer.len());
        let generation = self.slots[slot as usize].generation;
        while let Some(lane) = self.lane(slot) {
            let count = match lane.transport.read(&mut buffer[..most]) {
                Ok(0) => {
                    self.fail(slot, Failure::Closed("before the end of an answer"));
                    break;
                }
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.fail(slot, Failure::io("receive")(error));
                    break;
                }
            };
            self.on_bytes(slot, &buffer[..count]);
            if self.slots[slot as usize].generation != generation {
                break;
            }
            if self.plan.read_bytes_per_s.is_some() {
                self.pause(slot, count);
                break;
            }
            if count < most {
                break;
            }
        }
        self.buffer = buffer;
        // A session may hold output, such as the end of its handshake, that the read has made.
        if let Some(lane) = self.lane(slot)
            && lane.transport.holds_output()
        {
            self.set_interest(slot, Interest::Both);
        }
    }

    /// A slow reader rests for as long as these bytes take it.
    fn pause(&mut self, slot: u32, count: usize) {
        let Some(rate) = self.plan.read_bytes_per_s else { return };
        let Some(lane) = self.lane(slot) else { return };
        if lane.interest == Interest::Read && lane.job.is_some() {
            lane.paused = true;
            self.set_interest(slot, Interest::Errors);
            self.watch(slot, now_ns() + count as u64 * SECOND_NS / rate, Due::Resume);
        }
    }

    fn on_bytes(&mut self, slot: u32, bytes: &[u8]) {
        let now = now_ns();
        let stream = self.plan.stream;
        if now >= self.measure_from_ns {
            self.figures.bytes += bytes.len() as u64;
        }
        let Some(lane) = self.slots[slot as usize].lane.as_deref_mut() else { return };
        let Some(job) = lane.job else {
            self.fail(slot, Failure::Http("bytes without a request"));
            return;
        };
        lane.moved_ns = now;
        let outcome = lane.take(bytes, &self.plan.expected, stream, &mut self.scratch);
        let measured = job.purpose == Purpose::Load && job.intended_ns >= self.measure_from_ns;
        // Streams live through the warm-up: their events count from its end on.
        let events_count = job.purpose == Purpose::Load && now >= self.measure_from_ns;
        if events_count && !self.scratch.times.is_empty() {
            self.figures.on_events(&self.scratch.times, now);
            if lane.event_ns > 0 {
                self.figures.gap.saturating_record(now - lane.event_ns);
            }
        }
        if !self.scratch.times.is_empty() {
            if lane.event_ns == 0 && measured {
                self.figures.first_token.corrected.saturating_record(now - job.intended_ns);
                self.figures.first_token.raw.saturating_record(now - job.sent_ns);
            }
            lane.event_ns = now;
        }
        match outcome {
            Outcome::More => {}
            Outcome::Right { keep } => {
                if measured {
                    self.figures.on_answer(stream, now - job.intended_ns, now - job.sent_ns);
                }
                self.finish(slot, keep);
            }
            Outcome::Refused { status, keep } => self.refuse(slot, job, status, keep),
            Outcome::Wrong(failure) => self.fail(slot, failure),
        }
    }

    /// A closed loop goes on after a failure, but not at once: a peer that refuses everything would otherwise
    /// be all that is measured.
    pub(super) fn follow_failure(&mut self, purpose: Purpose) {
        if purpose == Purpose::Load && self.loading {
            self.resting.add(now_ns() + REST_NS, ());
        }
    }

    /// A closed loop goes on.
    pub(super) fn follow(&mut self, purpose: Purpose) {
        let closed = matches!(self.plan.load, Load::Closed(_) | Load::Streams(_));
        if purpose == Purpose::Load && self.loading && closed {
            self.begin(Purpose::Load, now_ns());
        }
    }
}
