//! The fake fleet's loop: readiness and times in, connections pushed on.
//!
//! A connection moves only in [`Server::push`]: it sends, then takes the next step of its answer or its next
//! request, until the socket is full, nothing is due, or others should have their turn.
//! Deliberately absent: what an answer is (`stream`, `render`).

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustix::net::sockopt::set_socket_linger;
use rustls::{ServerConfig, ServerConnection};

use super::connection::{Connection, Sent};
use super::render::{self, Rendered};
use super::request;
use super::stream::{Reply, Shape, Step, draw};
use crate::event_loop::clock::{Random, now_ns};
use crate::event_loop::poll::{Interest, Poll, Ready};
use crate::event_loop::timers::Timers;
use crate::event_loop::transport::Transport;
use crate::scenario::{Fault, FaultKind};

/// Steps of one connection before the others have their turn.
const STEPS: usize = 64;
/// Connections accepted in one turn of one listener.
const ACCEPTS: usize = 64;
/// Tokens from here on are listeners.
const LISTENERS: u64 = 1 << 63;

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Connections accepted.
    pub(super) connections: u64,
    /// Requests for an answer.
    pub(super) requests: u64,
    /// Of these, prompts that were ours and came changed.
    pub(super) changed: u64,
    /// Of these, answers that went wrong as the scenario says.
    pub(super) faults: u64,
}

/// The whole fleet.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) listeners: Vec<TcpListener>,
    pub(super) faults: Vec<Vec<Fault>>,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) rendered: Rendered,
    pub(super) shape: Shape,
    /// The words of the scenario's prompt.
    pub(super) prompt: Vec<u8>,
    pub(super) random: Random,
    pub(super) poll: Poll,
    pub(super) timers: Timers<(u32, u32)>,
    pub(super) slots: Vec<Slot>,
    pub(super) free: Vec<u32>,
    pub(super) counts: Counts,
}

/// A place for a connection. The generation tells reports and times of its former one apart.
#[derive(Debug, Default)]
pub(super) struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

/// What becomes of a connection after a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It waits for readiness of this kind.
    Wait(Interest),
    /// It waits for readiness to read, and for a time.
    WaitUntil(u64),
    /// It is over.
    Drop,
}

impl Server {
    /// Serves until the clock shows `end_ns`.
    ///
    /// # Errors
    /// The kernel's, about listeners and the epoll; those of single connections end only these.
    pub(super) fn serve(&mut self, end_ns: u64) -> io::Result<()> {
        for (index, listener) in (0_u64..).zip(&self.listeners) {
            self.poll.add(listener, LISTENERS + index, Interest::Read)?;
        }
        loop {
            let now = now_ns();
            if now >= end_ns {
                return Ok(());
            }
            while let Some((slot, generation)) = self.timers.pop_due(now) {
                if self.slots[slot as usize].generation == generation {
                    self.push(slot)?;
                }
            }
            self.poll.wait(self.timers.next_ns().unwrap_or(end_ns).min(end_ns))?;
            let mut index = 0;
            while let Some(ready) = self.poll.ready(index) {
                index += 1;
                if ready.token >= LISTENERS {
                    self.accept(usize::try_from(ready.token - LISTENERS).unwrap_or(usize::MAX))?;
                } else {
                    self.on_ready(ready)?;
                }
            }
        }
    }

    fn accept(&mut self, member: usize) -> io::Result<()> {
        for _ in 0..ACCEPTS {
            match self.listeners[member].accept() {
                Ok((socket, _)) => self.open(socket, member)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The peer has left already.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn open(&mut self, socket: TcpStream, member: usize) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let session = match &self.tls {
            None => None,
            Some(config) => {
                let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                Some(session.into())
            }
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("fewer connections than descriptors")
        });
        let connection = Box::new(Connection::new(Transport::new(socket, session), member));
        self.poll.add(&connection.transport, self.token(slot), Interest::Read)?;
        self.slots[slot as usize].connection = Some(connection);
        self.counts.connections += 1;
        Ok(())
    }

    fn token(&self, slot: u32) -> u64 {
        // 31 bits of generation keep the token below those of listeners.
        u64::from(self.slots[slot as usize].generation) << 32 | u64::from(slot)
    }

    fn on_ready(&mut self, ready: Ready) -> io::Result<()> {
        let (slot, generation) = ((ready.token & 0xFFFF_FFFF) as u32, (ready.token >> 32) as u32);
        let place = &mut self.slots[slot as usize];
        if place.generation != generation {
            return Ok(());
        }
        let Some(connection) = place.connection.as_mut() else { return Ok(()) };
        if ready.read && connection.receive().is_err() {
            self.close(slot);
            return Ok(());
        }
        let blocked = connection.interest == Interest::Both;
        // An answer that waits for its time has a timer; one push more would give it a second one.
        let waits = connection.reply.is_some() || connection.stalled;
        if (ready.write && blocked) || (ready.read && !waits && !blocked) {
            return self.push(slot);
        }
        Ok(())
    }

    /// Pushes a connection on as far as it goes.
    fn push(&mut self, slot: u32) -> io::Result<()> {
        let Some(mut connection) = self.slots[slot as usize].connection.take() else { return Ok(()) };
        let next = self.turn(&mut connection);
        let (interest, due_ns) = match next {
            Next::Wait(interest) => (interest, None),
            Next::WaitUntil(due_ns) => (Interest::Read, Some(due_ns)),
            Next::Drop => {
                drop(connection);
                self.close(slot);
                return Ok(());
            }
        };
        if let Some(due_ns) = due_ns {
            self.timers.add(due_ns, (slot, self.slots[slot as usize].generation));
        }
        if interest != connection.interest {
            connection.interest = interest;
            self.poll.change(&connection.transport, self.token(slot), interest)?;
        }
        self.slots[slot as usize].connection = Some(connection);
        Ok(())
    }

    fn turn(&mut self, connection: &mut Connection) -> Next {
        for _ in 0..STEPS {
            let split = self.shape.split_bytes;
            // Events without a pause are cut anywhere; those with a pause must not wait for the next one.
            let hold = split.is_some() && self.shape.gap_ns == 0 && connection.reply.is_some();
            match connection.send(split, hold) {
                Err(_) => return Next::Drop,
                Ok(Sent::Blocked) => return Next::Wait(Interest::Both),
                Ok(Sent::All) if connection.reply.is_none() && connection.closing => return Next::Drop,
                Ok(Sent::All) => {}
            }
            let Some(reply) = connection.reply.as_mut() else {
                if self.take_request(connection) {
                    continue;
                }
                return Next::Wait(Interest::Read);
            };
            let out = &mut connection.out;
            match reply.step(&mut self.rendered, &self.shape, &mut self.random, out, now_ns()) {
                Step::Wrote => {}
                Step::Wait(due_ns) => return Next::WaitUntil(due_ns),
                Step::Done => connection.reply = None,
                Step::Fault(kind) => {
                    // What the scenario lets out before the fault has to be on its way.
                    let sent = connection.send(split, false);
                    if matches!(sent, Ok(Sent::Blocked)) {
                        return Next::Wait(Interest::Both);
                    }
                    return go_wrong(connection, kind);
                }
            }
        }
        // The others first; this one is due at once.
        Next::WaitUntil(now_ns())
    }

    /// Begins the answer to the next request; false if there is none.
    fn take_request(&mut self, connection: &mut Connection) -> bool {
        let member = connection.member;
        let (frame, asked) = match connection.request() {
            Ok(None) => return false,
            Ok(Some((frame, body))) => (frame, request::ask(body, &self.prompt)),
            Err(what) => {
                connection.out.extend(render::error(411, what, "connection: close\r\n"));
                connection.closing = true;
                return true;
            }
        };
        connection.request_done();
        connection.closing |= frame.close;
        if !frame.post {
            connection.out.extend_from_slice(render::MODELS);
            return true;
        }
        self.counts.requests += 1;
        match asked {
            Err(what) => {
                self.counts.changed += 1;
                connection.out.extend(render::error(400, what, ""));
            }
            Ok(ask) => {
                let fate = draw(member, &self.faults[member], &mut self.random);
                self.counts.faults += u64::from(fate.is_some());
                connection.reply = Some(Reply::new(ask, fate, &self.shape, now_ns()));
            }
        }
        true
    }

    fn close(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        place.connection = None;
        place.generation = (place.generation + 1) & 0x7FFF_FFFF;
        self.free.push(slot);
    }
}

fn go_wrong(connection: &mut Connection, kind: FaultKind) -> Next {
    match kind {
        FaultKind::Stall => {
            connection.reply = None;
            connection.stalled = true;
            Next::Wait(Interest::Read)
        }
        FaultKind::Reset => {
            // Closing with a linger time of 0 sends RST; where it cannot be set, FIN is nearly as rude.
            let _ = set_socket_linger(&connection.transport, Some(core::time::Duration::ZERO));
            Next::Drop
        }
        FaultKind::Close | FaultKind::Status => Next::Drop,
    }
}
