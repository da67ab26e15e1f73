//! One connection on the core's own ring: what came in and waits, the send in flight, and the TLS session
//! between them and the bytes of its user.
//!
//! The receive stays armed for as long as the connection lives, also while nobody asks for bytes: an end is
//! noticed when it comes, and an idle connection needs no check before it is used again. What nobody asked
//! for waits here up to a bound; beyond it the receive is stopped, and TCP tells the peer. From then on
//! single receives take in one buffer after the other, until all that the peer has sent is taken: an armed
//! one would bring everything at once before it could be stopped again.
//!
//! Deliberately absent: the ring (`ring`), whose connection it is and when it may idle (`worker`).

mod incoming;

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustls::{ClientConnection, Connection, ServerConfig, ServerConnection};
use socket2::SockRef;
use std::sync::Arc;

use super::connect::{Begun, ConnectFault, Target, TlsTarget, begin, fault};
use super::descriptor::{disconnect, send_now};
use super::ring::Ring;
use super::session::{Session, Step};
use crate::wire::buf::Lent;
use crate::wire::parcel::Parcel;
use crate::wire::spares::Spares;

/// How a receive stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receive {
    /// Not in the kernel.
    Idle,
    /// Armed.
    Armed,
    /// A cancellation is on its way.
    Stopping,
    /// One receive into a buffer of the user's.
    Straight,
}

/// How the incoming side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With a FIN.
    Ordered,
    /// With an error, as `errno`.
    Failed(i32),
}

/// Where a TLS handshake stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// It goes on.
    Running,
    /// It is done, or there is none.
    Done,
    /// It failed.
    Failed,
}

/// A connected stream socket of this core. Dropping it closes the socket; it must be quiet then.
pub struct Link {
    fd: OwnedFd,
    session: Option<Box<Session>>,
    receive: Receive,
    /// The peer sends faster than its bytes are taken: buffers are received one by one.
    ahead: bool,
    /// A send is in the kernel.
    sending: bool,
    /// A poll for the end of `connect(2)` is in the kernel.
    connecting: bool,
    /// Our side ends when the send in the kernel is over.
    finishing: bool,
    /// Much is expected: the next receives go straight into the user's buffer.
    straight: bool,
    waiting: VecDeque<Lent>,
    /// What a straight receive has brought.
    filled: Option<(Lent, io::Result<usize>)>,
    end: Option<End>,
    /// Under TLS: the parcel being sent, and how many of its bytes are encrypted already.
    parcel: Option<(Parcel, usize)>,
    /// A parcel that is back and not yet taken: in the clear it lies where its send was.
    back: Option<Back>,
}

/// Where a parcel lies whose send is over.
enum Back {
    /// In this slot of the ring.
    Slot(u32),
    /// Here: under TLS the ring never saw it.
    Here(Parcel),
}

impl Link {
    /// An accepted connection; the TLS handshake, if any, begins with the first bytes.
    ///
    /// # Errors
    /// rustls refused the configuration.
    pub fn accepted(fd: OwnedFd, tls: Option<Arc<ServerConfig>>) -> Result<Self, ConnectFault> {
        let session = match tls {
            None => None,
            Some(config) => {
                let server = ServerConnection::new(config).map_err(|_| ConnectFault::Tls)?;
                Some(Box::new(Session::new(Connection::Server(server))))
            }
        };
        Ok(Self::over(fd, session))
    }

    /// Starts connecting; [`Link::connected`] says how it went once the descriptor is writable. `None` when
    /// the queue of a unix socket is full: try again after [`super::connect::QUEUE_PAUSE`].
    ///
    /// # Errors
    /// The address refused at once, or there is no descriptor.
    pub fn dial(ring: &mut Ring, token: u32, target: &Target) -> Result<Option<Self>, ConnectFault> {
        let session = match &target.tls {
            None => None,
            Some(TlsTarget { config, server_name }) => {
                let client = ClientConnection::new(Arc::clone(config), server_name.clone());
                Some(Box::new(Session::new(Connection::Client(client.map_err(|_| ConnectFault::Tls)?))))
            }
        };
        let Begun::Underway(fd) = begin(&target.address).map_err(|error| fault(&error))? else {
            return Ok(None);
        };
        let mut link = Self::over(fd, session);
        link.connecting = true;
        ring.poll(&link, libc::POLLOUT, token);
        Ok(Some(link))
    }

    fn over(fd: OwnedFd, session: Option<Box<Session>>) -> Self {
        Self {
            fd,
            session,
            receive: Receive::Idle,
            ahead: false,
            sending: false,
            connecting: false,
            finishing: false,
            straight: false,
            filled: None,
            waiting: VecDeque::new(),
            end: None,
            parcel: None,
            back: None,
        }
    }

    /// The poll of [`Link::dial`] has completed.
    pub const fn polled(&mut self) {
        self.connecting = false;
    }

    /// What `connect(2)` came to, once polled. On success the receive is armed and the TLS handshake, if any,
    /// begun.
    ///
    /// # Errors
    /// Why there is no connection.
    pub fn connected(&mut self, ring: &mut Ring, token: u32) -> Result<(), ConnectFault> {
        let socket = SockRef::from(&self.fd);
        if let Some(error) = socket.take_error().unwrap_or_else(Some) {
            return Err(fault(&error));
        }
        socket.set_nonblocking(false).map_err(|error| fault(&error))?;
        self.arm(ring, token);
        self.flush(ring, token);
        Ok(())
    }

    /// Sends all of `parcel`; one at a time. [`Link::sent`] tells when that is over. A `silent` send does not
    /// end a wait by itself: for one that nobody waits for. Under TLS none is silent.
    #[inline]
    pub fn send(&mut self, ring: &mut Ring, token: u32, parcel: Parcel, silent: bool) {
        debug_assert!(self.back.is_none(), "a parcel is back and was not taken");
        if self.session.is_some() {
            return self.send_secure(ring, token, parcel);
        }
        debug_assert!(!self.sending, "one send at a time");
        self.sending = true;
        ring.send_parcel(&self.fd, token, parcel, silent);
    }

    #[cold]
    fn send_secure(&mut self, ring: &mut Ring, token: u32, parcel: Parcel) {
        debug_assert!(self.parcel.is_none(), "one send at a time");
        self.parcel = Some((parcel, 0));
        self.flush(ring, token);
    }

    /// A send has completed. `Some` when with it all of a parcel is sent, or will not be: `false`. It is for
    /// [`Link::take_sent`] then.
    #[inline]
    pub fn sent(&mut self, ring: &mut Ring, token: u32, slot: u32, ok: bool) -> Option<bool> {
        self.sending = false;
        if self.session.is_some() {
            return self.sent_secure(ring, token, slot, ok);
        }
        if self.finishing {
            self.shutdown_write();
        }
        self.back = Some(Back::Slot(slot));
        Some(ok)
    }

    fn sent_secure(&mut self, ring: &mut Ring, token: u32, slot: u32, ok: bool) -> Option<bool> {
        if let (Some(bytes), Some(session)) = (ring.unload_bytes(slot), &mut self.session) {
            session.restore_outgoing(bytes);
        }
        let whole = self.parcel.as_ref().is_some_and(|(parcel, sent)| *sent >= parcel.total());
        let is_over = self.parcel.is_some() && (whole || !ok);
        if is_over {
            self.back = self.parcel.take().map(|(parcel, _)| Back::Here(parcel));
        }
        if ok && self.finishing {
            self.shutdown_write();
        } else if ok {
            self.flush(ring, token);
        }
        is_over.then_some(ok)
    }

    /// The parcel of a send that is over, once.
    #[inline]
    pub fn take_sent(&mut self, ring: &mut Ring) -> Parcel {
        match self.back.take() {
            Some(Back::Slot(slot)) => ring.unload_parcel(slot),
            Some(Back::Here(parcel)) => parcel,
            None => Parcel::default(),
        }
    }

    /// Sends what the session has to say, and the next part of the parcel.
    fn flush(&mut self, ring: &mut Ring, token: u32) {
        let Some(session) = &mut self.session else { return };
        if self.sending || self.connecting {
            return;
        }
        let bytes = match &mut self.parcel {
            Some((parcel, sent)) if !session.is_handshaking() => match session.stage(parcel, *sent) {
                Ok((bytes, covered)) => {
                    *sent += covered;
                    bytes
                }
                Err(_) => {
                    // The session is broken. An empty send on an ended socket fails, and with it the parcel.
                    self.shutdown();
                    self.sending = true;
                    return ring.send(&self.fd, token, Vec::new());
                }
            },
            Some(_) | None => session.take_outgoing(),
        };
        // A parcel without bytes comes back like any other: by way of a send, if only an empty one.
        let is_due = self.parcel.is_some() && !session.is_handshaking();
        if bytes.is_empty() && !is_due {
            return session.restore_outgoing(bytes);
        }
        self.sending = true;
        ring.send(&self.fd, token, bytes);
    }

    /// Drives the handshake with what came in.
    pub fn handshake(&mut self, ring: &mut Ring, token: u32, spares: &mut Spares) -> Handshake {
        let Some(session) = &mut self.session else { return Handshake::Done };
        while session.is_handshaking() {
            if session.has_ciphertext() {
                if session.feed().is_err() {
                    self.send_alert();
                    return Handshake::Failed;
                }
                continue;
            }
            match self.waiting.pop_front() {
                Some(full) => spares.recycle(session.hand(full)),
                None => break,
            }
        }
        session.take_spent().into_iter().for_each(|spent| spares.recycle(spent));
        let (running, ended) = (session.is_handshaking(), self.end.is_some());
        self.flush(ring, token);
        self.arm(ring, token);
        match (running, ended) {
            (false, _) => Handshake::Done,
            (true, false) => Handshake::Running,
            (true, true) => Handshake::Failed,
        }
    }

    /// Tells the peer why its session has failed, if that needs no waiting. Behind a send that is still
    /// running it would land in the middle of a record.
    fn send_alert(&mut self) {
        if let Some(session) = &mut self.session
            && !self.sending
        {
            session.flush_with(|bytes| send_now(&self.fd, bytes));
        }
    }

    /// An idle connection may be used again: neither data nor an end nor an error has come (RFC 9112 §9.2,
    /// §9.5). Session tickets of TLS 1.3 come after the handshake and are taken in silently.
    pub fn is_clean(&mut self, ring: &mut Ring, token: u32, spares: &mut Spares) -> bool {
        if self.sending || self.parcel.is_some() || self.end.is_some() {
            return false;
        }
        self.straight = false;
        self.arm(ring, token);
        let Some(session) = &mut self.session else { return self.waiting.is_empty() };
        loop {
            if !matches!(session.read(&mut [0]), Ok(Step::More)) {
                return false;
            }
            match self.waiting.pop_front() {
                Some(full) => spares.recycle(session.hand(full)),
                None => break,
            }
        }
        session.take_spent().into_iter().for_each(|spent| spares.recycle(spent));
        self.flush(ring, token);
        true
    }

    /// A TLS handshake is not over.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_handshaking())
    }

    /// A parcel is on its way.
    #[must_use]
    pub const fn is_sending(&self) -> bool {
        self.parcel.is_some() || (self.session.is_none() && self.sending)
    }

    /// Nothing of it is in the kernel: it may be dropped.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        matches!(self.receive, Receive::Idle) && !self.sending && !self.connecting
    }

    /// Gives what waits back to the spares, when nobody will read it.
    pub fn forget(&mut self, spares: &mut Spares) {
        self.waiting.drain(..).for_each(|full| spares.recycle(full.storage));
        self.filled.take().into_iter().for_each(|(lent, _)| spares.recycle(lent.storage));
    }

    /// Bytes of storage held for what came in.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(|lent| lent.storage.len()).sum();
        waiting + self.session.as_ref().map_or(0, |session| session.incoming_bytes())
    }

    /// Ends both directions at once; what is in the kernel completes soon. Under TLS no close_notify is sent,
    /// so that what was cut off does not look complete.
    pub fn shutdown(&self) {
        // `NotConnected` when the peer reset the connection: it is ended then.
        let _ended_already = SockRef::from(&self.fd).shutdown(Shutdown::Both);
    }

    /// Ends the connection with a reset, so that the peer cannot take what it has for the whole.
    pub fn abort(&self) {
        disconnect(&self.fd);
        self.shutdown();
    }

    /// Says that nothing more will be sent (close_notify under TLS, then FIN). No send may be running; what a
    /// TLS session has to say of its own goes out before.
    pub fn shutdown_write(&mut self) {
        self.finishing = self.sending;
        if self.finishing {
            return;
        }
        if let Some(session) = &mut self.session {
            session.close();
            session.flush_with(|bytes| send_now(&self.fd, bytes));
        }
        let _ended_already = SockRef::from(&self.fd).shutdown(Shutdown::Write);
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn outcome(end: End) -> io::Result<usize> {
    match end {
        End::Ordered => Ok(0),
        End::Failed(code) => Err(io::Error::from_raw_os_error(code)),
    }
}
