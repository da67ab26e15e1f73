//! One connection of the fake fleet: bytes in, requests out, answers back.
//!
//! Deliberately absent: what is answered and when (`stream`), and readiness (`server`).

use std::io::{self, ErrorKind};

use super::request::{Frame, frame};
use super::stream::Reply;
use crate::event_loop::poll::Interest;
use crate::event_loop::transport::Transport;
use crate::http::Parse;

/// First size of the inbox; grows to what a request needs.
const INBOX_BYTES: usize = 4096;
/// Room that a full inbox gains before its request's length is known.
const GROW_BYTES: usize = 64 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) transport: Transport,
    /// The member that it belongs to.
    pub(super) member: usize,
    /// What is registered now.
    pub(super) interest: Interest,
    /// The answer on its way.
    pub(super) reply: Option<Reply>,
    /// Closes when all is sent.
    pub(super) closing: bool,
    /// The answer stands still for good.
    pub(super) stalled: bool,
    /// To be sent, and how much of it was.
    pub(super) out: Vec<u8>,
    sent: usize,
    /// Received bytes are `inbox[..filled]`.
    inbox: Vec<u8>,
    filled: usize,
    frame: Option<Frame>,
}

/// How a send went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// All went, except what is held back for a whole write.
    All,
    /// The socket is full.
    Blocked,
}

impl Connection {
    /// A fresh one.
    pub(super) fn new(transport: Transport, member: usize) -> Self {
        Self {
            transport,
            member,
            interest: Interest::Read,
            reply: None,
            closing: false,
            stalled: false,
            out: Vec::new(),
            sent: 0,
            inbox: Vec::new(),
            filled: 0,
            frame: None,
        }
    }

    /// Reads what is here.
    ///
    /// # Errors
    /// The peer has left, by an end or by an error.
    pub(super) fn receive(&mut self) -> io::Result<()> {
        loop {
            if self.filled == self.inbox.len() {
                let need = self.frame.map_or(0, |frame| frame.head + frame.body);
                let grown = if self.filled == 0 { INBOX_BYTES } else { self.filled + GROW_BYTES };
                self.inbox.resize(if need > self.filled { need } else { grown }, 0);
            }
            match self.transport.read(&mut self.inbox[self.filled..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.filled < self.inbox.len() {
                return Ok(());
            }
            // A full inbox: its request may be complete, and then nothing more is due.
            if let (None, Parse::Done(frame)) = (self.frame, frame(&self.inbox[..self.filled])) {
                self.frame = Some(frame);
            }
            let whole = self.frame.is_some_and(|frame| self.filled >= frame.head + frame.body);
            if whole && matches!(self.transport, Transport::Plain(_)) {
                return Ok(());
            }
        }
    }

    /// The next complete request: what it is, and its body.
    ///
    /// # Errors
    /// It is not acceptable.
    pub(super) fn request(&mut self) -> Result<Option<(Frame, &[u8])>, &'static str> {
        let found = match self.frame {
            Some(found) => found,
            None if self.filled == 0 => return Ok(None),
            None => match frame(&self.inbox[..self.filled]) {
                Parse::Done(found) => found,
                Parse::More => return Ok(None),
                Parse::Bad(what) => return Err(what),
            },
        };
        self.frame = Some(found);
        let end = found.head + found.body;
        Ok((self.filled >= end).then(|| (found, &self.inbox[found.head..end])))
    }

    /// Forgets the request that [`Connection::request`] returned.
    pub(super) fn request_done(&mut self) {
        let Some(frame) = self.frame.take() else { return };
        let end = frame.head + frame.body;
        self.inbox.copy_within(end..self.filled, 0);
        self.filled -= end;
        // A connection that waits does not keep the room of its largest prompt, unless prompts are usual.
        if self.filled == 0 && self.inbox.len() > INBOX_BYTES && frame.head + frame.body < INBOX_BYTES {
            self.inbox = Vec::new();
        }
    }

    /// Sends in writes of at most `piece` bytes; with `hold`, what is left below a whole one waits.
    ///
    /// # Errors
    /// The peer has left.
    pub(super) fn send(&mut self, piece: Option<usize>, hold: bool) -> io::Result<Sent> {
        let most = piece.unwrap_or(usize::MAX);
        while self.sent < self.out.len() {
            let rest = &self.out[self.sent..];
            if hold && rest.len() < most {
                break;
            }
            match self.transport.write(&rest[..rest.len().min(most)]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Sent::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.drain(..self.sent);
        self.sent = 0;
        self.transport.flush()?;
        Ok(if self.transport.holds_output() { Sent::Blocked } else { Sent::All })
    }
}
