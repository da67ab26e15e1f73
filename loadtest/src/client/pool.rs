//! The client's connections: opened, given a job, kept or closed, and what a failure leads to.
//!
//! Deliberately absent: reading (`engine`).

use std::io;
use std::net::{SocketAddr, TcpStream};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use super::engine::{Due, Engine, Slot};
use super::lane::{Job, Lane, Purpose};
use crate::event_loop::clock::now_ns;
use crate::event_loop::poll::Interest;
use crate::event_loop::transport::Transport;
use crate::failure::Failure;

impl Engine<'_> {
    pub(super) fn lane(&mut self, slot: u32) -> Option<&mut Lane> {
        self.slots[slot as usize].lane.as_deref_mut()
    }

    /// Gives a job to a free lane or to a new one, or lets it wait.
    pub(super) fn place(&mut self, mut job: Job) {
        loop {
            let target = job.attempt as usize % self.plan.targets.len();
            if job.purpose == Purpose::Load {
                if let Some(slot) = self.idle[target].pop() {
                    return self.send(slot, job);
                }
                if self.open[target] >= self.plan.connections_max {
                    return self.waiting.push_back(job);
                }
            }
            let Err(failure) = self.connect(target, job) else { return };
            if !self.may_retry(&job) {
                return self.count_failure(&job, &failure);
            }
            (job.attempt, self.figures.retried) = (job.attempt + 1, self.figures.retried + 1);
        }
    }

    fn connect(&mut self, target: usize, job: Job) -> Result<(), Failure> {
        let goal = &self.plan.targets[target];
        let socket = dial(goal.address, self.plan.receive_buffer_bytes).map_err(Failure::io("connect"))?;
        let session = goal.session().map_err(|_| Failure::Http("no TLS session"))?;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("fewer connections than descriptors")
        });
        let mut lane =
            Box::new(Lane::new(Transport::new(socket, session), target, job.purpose == Purpose::Load));
        let added = self.poll.add(&lane.transport, self.token(slot), Interest::Both);
        if let Err(error) = added {
            self.free.push(slot);
            return Err(Failure::io("connect")(error));
        }
        (lane.job, lane.moved_ns) = (Some(job), now_ns());
        self.slots[slot as usize].lane = Some(lane);
        self.figures.connections += 1;
        self.running += 1;
        self.open[target] += u32::from(job.purpose == Purpose::Load);
        self.keep_watch(slot);
        Ok(())
    }

    /// A connect has ended; false if it failed.
    pub(super) fn connected(&mut self, slot: u32) -> bool {
        let Some(lane) = self.lane(slot) else { return false };
        let outcome = sockopt::socket_error(&lane.transport).and_then(|outcome| outcome);
        if let Err(error) = outcome {
            self.fail(slot, Failure::io("connect")(error.into()));
            return false;
        }
        lane.connecting = false;
        let job = lane.job.take();
        if let Some(job) = job {
            // It counts as running since the connect began.
            self.running -= 1;
            self.send(slot, job);
        }
        self.slots[slot as usize].lane.is_some()
    }

    /// Sends a job on a lane that is free.
    pub(super) fn send(&mut self, slot: u32, mut job: Job) {
        let now = now_ns();
        if job.sent_ns == 0 {
            job.sent_ns = now;
            if job.purpose == Purpose::Load {
                self.figures.send_delay.saturating_record(now.saturating_sub(job.intended_ns));
            }
        }
        self.running += 1;
        let place = &mut self.slots[slot as usize];
        let Some(lane) = place.lane.as_deref_mut() else { return };
        lane.moved_ns = now;
        match lane.send(job, self.requests[lane.target].numbered(job.number)) {
            Ok(sent) => {
                self.set_interest(slot, if sent { Interest::Read } else { Interest::Both });
                self.keep_watch(slot);
            }
            Err(failure) => self.fail(slot, failure),
        }
    }

    /// A right answer is complete.
    pub(super) fn finish(&mut self, slot: u32, keep: bool) {
        let Some(lane) = self.lane(slot) else { return };
        let Some(job) = lane.job.take() else { return };
        let target = lane.target;
        lane.held |= keep && job.purpose == Purpose::Hold;
        self.running -= 1;
        match job.purpose {
            Purpose::Hold if keep => {
                self.held.push(slot);
            }
            Purpose::Hold => {
                self.count_failure(&job, &Failure::Http("the connection was not kept"));
                self.close_lane(slot);
            }
            Purpose::HoldAgain => self.close_lane(slot),
            Purpose::Load if keep => self.idle[target].push(slot),
            Purpose::Load => self.close_lane(slot),
        }
        self.follow(job.purpose);
        self.serve_waiting(target);
    }

    /// An error answer is complete.
    pub(super) fn refuse(&mut self, slot: u32, job: Job, status: u16, keep: bool) {
        let Some(lane) = self.lane(slot) else { return };
        let target = lane.target;
        lane.job = None;
        self.running -= 1;
        if keep && job.purpose == Purpose::Load {
            self.idle[target].push(slot);
        } else {
            self.close_lane(slot);
        }
        if matches!(status, 408 | 429 | 500..) && self.may_retry(&job) {
            self.retry(job);
        } else {
            self.count_failure(&job, &Failure::Status(status));
        }
        self.serve_waiting(target);
    }

    /// A lane is of no more use.
    pub(super) fn fail(&mut self, slot: u32, failure: Failure) {
        let Some(lane) = self.lane(slot) else { return };
        let (job, begun, target, held) = (lane.job.take(), lane.has_begun(), lane.target, lane.held);
        match job {
            Some(job) => {
                self.running -= 1;
                self.close_lane(slot);
                if !begun && self.may_retry(&job) {
                    self.retry(job);
                } else {
                    self.count_failure(&job, &failure);
                }
            }
            None if held => {
                self.held.retain(|other| *other != slot);
                self.close_lane(slot);
                let closed = matches!(failure, Failure::Closed(_));
                let failure = if closed { Failure::Closed("while idle") } else { failure };
                self.figures.tally.add("idle", &failure, 1);
            }
            None => {
                self.idle[target].retain(|other| *other != slot);
                self.close_lane(slot);
                // A peer may close what is idle; it may not speak.
                if matches!(failure, Failure::Http(_)) {
                    self.figures.tally.add("idle", &failure, 1);
                } else {
                    self.figures.closed_idle += 1;
                }
            }
        }
        self.serve_waiting(target);
    }

    fn may_retry(&self, job: &Job) -> bool {
        job.purpose == Purpose::Load && job.attempt < self.plan.retries
    }

    fn retry(&mut self, mut job: Job) {
        self.figures.retried += 1;
        job.attempt += 1;
        self.place(job);
    }

    fn count_failure(&mut self, job: &Job, failure: &Failure) {
        let phase = match job.purpose {
            Purpose::Load => "request",
            Purpose::Hold => "idle, first request",
            Purpose::HoldAgain => "idle, second request",
        };
        self.figures.tally.add(phase, failure, 1);
        self.follow_failure(job.purpose);
    }

    /// Gives the lanes that are free, or may be opened, to the jobs that wait for them.
    fn serve_waiting(&mut self, target: usize) {
        let targets = self.plan.targets.len();
        while !self.idle[target].is_empty() || self.open[target] < self.plan.connections_max {
            let wants = |job: &Job| job.attempt as usize % targets == target;
            let Some(at) = self.waiting.iter().position(wants) else { return };
            let Some(job) = self.waiting.remove(at) else { return };
            self.place(job);
        }
    }

    /// Closes a lane with its job.
    pub(super) fn drop_lane(&mut self, slot: u32) {
        let Some(lane) = self.lane(slot) else { return };
        let job = lane.job.take();
        self.running -= u64::from(job.is_some());
        self.close_lane(slot);
    }

    fn close_lane(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        let Some(lane) = place.lane.take() else { return };
        place.generation = (place.generation + 1) & 0x7FFF_FFFF;
        self.free.push(slot);
        if lane.of_load {
            self.open[lane.target] -= 1;
        }
    }

    fn token(&self, slot: u32) -> u64 {
        u64::from(self.slots[slot as usize].generation) << 32 | u64::from(slot)
    }

    pub(super) fn set_interest(&mut self, slot: u32, interest: Interest) {
        let token = self.token(slot);
        let Some(lane) = self.slots[slot as usize].lane.as_deref_mut() else { return };
        if lane.interest == interest || (lane.paused && interest == Interest::Read) {
            return;
        }
        lane.interest = interest;
        if let Err(error) = self.poll.change(&lane.transport, token, interest) {
            self.fail(slot, Failure::io("epoll")(error));
        }
    }

    /// Queues a time for the lane's silence unless there is one.
    fn keep_watch(&mut self, slot: u32) {
        let silence_ns = self.plan.silence_ns;
        let Some(lane) = self.lane(slot) else { return };
        if !lane.watched {
            lane.watched = true;
            let due_ns = lane.moved_ns + silence_ns;
            self.watch(slot, due_ns, Due::Silence);
        }
    }

    pub(super) fn watch(&mut self, slot: u32, due_ns: u64, due: Due) {
        self.timers.add(due_ns, (slot, self.slots[slot as usize].generation, due));
    }
}

/// A socket on its way to `address`.
fn dial(address: SocketAddr, receive_buffer_bytes: Option<u32>) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let Some(bytes) = receive_buffer_bytes {
        sockopt::set_socket_recv_buffer_size(&socket, bytes as usize)?;
    }
    match net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}
