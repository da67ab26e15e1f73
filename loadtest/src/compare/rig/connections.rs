//! What happens to the rig's connections: accepted, read, written, closed.
//!
//! Deliberately absent: when clients ask and streams speak (`mod`, `streams`), and what the bytes mean
//! (`client`, `origin`, `tls`).

use std::io;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::load::Load;
use super::origin::Origin;
use super::tls::Session;
use super::{Connection, End, Rig, SECURE, Step, TOKEN_BITS};
use crate::floor::ring::{ECANCELED, ENOBUFS, Event, Payload, Received};

impl Rig {
    /// Submits, waits at most so long, and handles what came; false if nothing did.
    pub(super) fn turn(&mut self, patience: Duration) -> io::Result<bool> {
        let mut events = std::mem::take(&mut self.events);
        self.ring.wait(Some(patience), &mut events)?;
        let busy = !events.is_empty();
        for event in events.drain(..) {
            match event {
                Event::Accepted { token, socket } => {
                    let session = (token == SECURE).then(|| Session::new(&self.tls)).transpose();
                    let session = session.map_err(io::Error::other)?.map(Box::new);
                    self.add(TcpStream::from(socket), End::Origin(Origin::default(), session))?;
                }
                Event::AcceptEnded { token } => {
                    self.ring.accept(&self.listeners[token as usize], token)?;
                }
                Event::Received { token, outcome, armed } => self.received(token, outcome, armed)?,
                Event::Sent { token, payload, outcome } => self.sent(token, payload, &outcome)?,
            }
        }
        self.events = events;
        Ok(busy)
    }

    pub(super) fn add(&mut self, socket: TcpStream, end: End) -> io::Result<()> {
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

    pub(super) fn connection(&mut self, token: u32) -> Option<&mut Connection> {
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
                self.shake_hands(token)?;
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
            End::Origin(origin, None) => origin.take(bytes),
            End::Origin(origin, Some(session)) => session.open(bytes).and_then(|plain| {
                let step = if plain.is_empty() { Ok(Step::Wait) } else { origin.take(&plain) };
                session.give_back(plain);
                step
            }),
        };
        outcome.unwrap_or_else(Step::Failed)
    }

    fn follow(&mut self, token: u32, step: Step) -> io::Result<()> {
        match step {
            Step::Wait => {}
            Step::Answered if self.ending => self.close(token),
            Step::Answered => match self.load {
                Load::Closed { .. } | Load::Streams { .. } => self.ask(token, Instant::now())?,
                Load::Once { .. } => {
                    self.idle.push_back(token);
                    self.ask_fresh()?;
                }
                Load::Rate { .. } => match self.late.pop_front() {
                    Some(intended) => self.ask(token, intended)?,
                    None => self.idle.push_back(token),
                },
            },
            Step::Asked { number, stream: false } => {
                let Some(connection) = self.connection(token) else { return Ok(()) };
                let End::Origin(origin, _) = &mut connection.end else { return Ok(()) };
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
    pub(super) fn ask(&mut self, token: u32, intended: Instant) -> io::Result<()> {
        let number = (self.number << TOKEN_BITS) | u64::from(token);
        self.number += 1;
        let Some(connection) = self.connection(token) else { return Ok(()) };
        let End::Client(client) = &mut connection.end else { return Ok(()) };
        let request = client.request(number, intended);
        self.send(token, request)
    }

    /// Lets a client ask that has not yet.
    pub(super) fn ask_fresh(&mut self) -> io::Result<()> {
        self.fresh.pop().map_or(Ok(()), |token| self.ask(token, Instant::now()))
    }

    /// Sends what a TLS handshake waits for.
    fn shake_hands(&mut self, token: u32) -> io::Result<()> {
        let Some(connection) = self.connections[token as usize].as_mut() else { return Ok(()) };
        let End::Origin(_, Some(session)) = &mut connection.end else { return Ok(()) };
        match session.flight() {
            Some(flight) if !connection.sending && !connection.closing => {
                connection.sending = true;
                self.ring.send(&connection.socket, token, Payload::Owned(flight))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn send(&mut self, token: u32, mut bytes: Vec<u8>) -> io::Result<()> {
        let Some(connection) = self.connections[token as usize].as_mut() else { return Ok(()) };
        if let End::Origin(origin, Some(session)) = &mut connection.end {
            let sealed = session.seal(&bytes);
            origin.spare = std::mem::replace(&mut bytes, sealed);
        }
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
                End::Origin(origin, session) => {
                    match session {
                        Some(session) => session.spare = bytes,
                        None => origin.spare = bytes,
                    }
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

    pub(super) fn close_if_idle(&mut self, token: u32) {
        let Some(connection) = self.connection(token) else { return };
        if matches!(&connection.end, End::Client(client) if client.is_idle()) {
            self.close(token);
        }
    }

    pub(super) fn close(&mut self, token: u32) {
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
