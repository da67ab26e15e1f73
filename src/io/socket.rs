//! A connected socket of this core, in the clear or under TLS: receiving into lent buffers, sending parcels,
//! ending it, and asking whether an idle one may be used again.
//!
//! At most one receive and one send run at once, side by side. Both own their memory until they complete and
//! neither may be dropped while the socket is in use. To end them early, [`Socket::shutdown`] and wait for
//! them.
//!
//! In the clear, bytes go from the kernel into the lent buffer and from the parcel's pieces to the kernel.
//! Under TLS they are copied once on each way.
//!
//! Deliberately absent: opening connections and handshakes (`connect`), deadlines, pools.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use monoio::buf::IoBuf;
use socket2::SockRef;

pub use super::connect::{ConnectFault, Dial, Target, TlsTarget, connect};
use super::descriptor::Descriptor;
use super::flight::{Filling, Gather, Shape, Stretch, join, shape};
use super::listen::AcceptedFd;
use super::session::{Session, Step};
use super::unix;
use crate::base::address::Peer;
use crate::wire::buf::Lent;
use crate::wire::parcel::{Parcel, Piece};

/// Reads of waiting ciphertext before an idle TLS connection is given up: session tickets and key updates are
/// a few small records, a peer that sends more is not idle.
const IDLE_READS: usize = 8;
/// Ciphertext looked at per such read, in bytes.
const IDLE_READ_BYTES: usize = 4 * 1024;

/// Storage for gathered sends that a socket keeps, in vectors of 16 bytes.
const VECTORS_KEPT: usize = 64;

/// A connected stream socket. Dropping the last handle closes it.
pub struct Socket {
    descriptor: Descriptor,
    peer: Peer,
    session: Option<Box<RefCell<Session>>>,
    receiving: Cell<bool>,
    sending: Cell<bool>,
    /// Storage for gathered sends, empty between them.
    vectors: Cell<Vec<libc::iovec>>,
}

/// Receives what is there into the room behind `lent.filled`, which must not be empty; waits for at least one
/// byte. `Ok(0)` is the proper end: a FIN, under TLS a close_notify. `lent` comes back with its cursors as
/// they were.
///
/// # Errors
/// What `recv(2)` says, `ConnectionReset` above all. Under TLS also `UnexpectedEof` when TCP ended without
/// close_notify (RFC 9112 §9.8: the message may be cut) and `InvalidData` when a record is broken.
pub async fn recv(socket: Rc<Socket>, lent: Lent) -> (io::Result<usize>, Lent) {
    // Without room the kernel would answer 0, which means the end.
    assert!(lent.filled < lent.storage.len(), "a receive needs room");
    let _turn = Turn::take(&socket.receiving, "a second receive was started on one socket");
    match &socket.session {
        None => socket.recv_plain(lent).await,
        Some(session) => socket.recv_tls(session, lent).await,
    }
}

/// Sends all pieces of `parcel` in order and gives it back as it was. A send that fails may have sent a part.
///
/// # Errors
/// What `send(2)` says: `BrokenPipe` or `ConnectionReset` when the peer is gone. Under TLS also `InvalidData`
/// when the session broke before.
pub async fn send(socket: Rc<Socket>, parcel: Parcel) -> (io::Result<()>, Parcel) {
    let _turn = Turn::take(&socket.sending, "a second send was started on one socket");
    match &socket.session {
        None => socket.send_plain(parcel).await,
        Some(session) => socket.send_tls(session, parcel).await,
    }
}

impl Socket {
    /// Takes an accepted connection over to this core, in the clear.
    ///
    /// # Errors
    /// `NotConnected` when the client is gone already; the driver did not take the descriptor.
    pub fn adopt(fd: AcceptedFd) -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self::open(fd.into(), None, None)?))
    }

    /// Takes a descriptor over to this core; the kernel is asked for the peer when it is not given.
    pub(super) fn open(fd: OwnedFd, peer: Option<Peer>, session: Option<Session>) -> io::Result<Self> {
        let peer = match peer {
            Some(peer) => peer,
            None => unix::peer(&SockRef::from(&fd).peer_addr()?).ok_or(io::ErrorKind::Unsupported)?,
        };
        Ok(Self {
            descriptor: Descriptor::for_transfer(fd)?,
            peer,
            session: session.map(|session| Box::new(RefCell::new(session))),
            receiving: Cell::new(false),
            sending: Cell::new(false),
            vectors: Cell::new(Vec::new()),
        })
    }

    /// Who is at the other end.
    #[must_use]
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// True when the connection is encrypted.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.session.is_some()
    }

    /// Ends both directions at once; running operations complete soon, a receive with the end or an error, a
    /// send with an error. Under TLS no close_notify is sent, so that what was cut off does not look
    /// complete.
    pub fn shutdown(&self) {
        self.end(Shutdown::Both);
    }

    /// Ends the connection with a reset, so that the peer cannot take what it has for the whole. Running
    /// operations complete soon with an error. A unix socket knows no reset: there the peer sees an end.
    pub fn abort(&self) {
        self.descriptor.disconnect();
        self.end(Shutdown::Both);
    }

    /// Says that nothing more will be sent (close_notify under TLS, then FIN). No send may be running.
    pub fn shutdown_write(&self) {
        debug_assert!(!self.sending.get(), "a send is running");
        if let Some(session) = &self.session
            && !self.sending.get()
        {
            let mut session = session.borrow_mut();
            session.close();
            session.flush_with(|bytes| self.descriptor.send_now(bytes));
        }
        self.end(Shutdown::Write);
    }

    /// Makes the close a reset: the peer sees an error, and the kernel keeps no state.
    pub fn reset_on_close(&self) {
        let _closed_by_peer = SockRef::from(&self.descriptor).set_linger(Some(Duration::ZERO));
    }

    /// The idle check before a connection is used again: true when neither data nor an end nor an error is
    /// there (RFC 9112 §9.2, §9.5). Session tickets of TLS 1.3 come after the handshake and are taken in
    /// silently. False while an operation runs.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        if self.receiving.get() || self.sending.get() {
            return false;
        }
        match &self.session {
            None => {
                let peeked = self.descriptor.recv_now(&mut [0], libc::MSG_PEEK);
                matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Some(session) => self.is_session_clean(&mut session.borrow_mut()),
        }
    }

    pub(super) fn session(&self) -> Option<&RefCell<Session>> {
        self.session.as_deref()
    }

    pub(super) const fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The error a connection attempt ended with, if any.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        SockRef::from(&self.descriptor).take_error().unwrap_or_else(Some)
    }

    fn end(&self, how: Shutdown) {
        // `NotConnected` when the peer reset the connection: it is ended then.
        let _ended_already = SockRef::from(&self.descriptor).shutdown(how);
    }

    fn is_session_clean(&self, session: &mut Session) -> bool {
        for _ in 0..IDLE_READS {
            if !matches!(session.read(&mut [0]), Ok(Step::More)) {
                return false;
            }
            let mut buffer = session.take_incoming();
            buffer.resize(IDLE_READ_BYTES, 0);
            let result = self.descriptor.recv_now(&mut buffer, 0);
            buffer.truncate(*result.as_ref().unwrap_or(&0));
            session.restore_incoming(buffer, matches!(result, Ok(0)));
            match result {
                Ok(1..) => {}
                Ok(_) => return false,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        false
    }

    async fn recv_plain(&self, mut lent: Lent) -> (io::Result<usize>, Lent) {
        loop {
            let (result, filling) = self.descriptor.read(Filling(lent)).await;
            lent = filling.0;
            if !is_interrupted(&result) {
                return (result, lent);
            }
        }
    }

    async fn recv_tls(&self, session: &RefCell<Session>, mut lent: Lent) -> (io::Result<usize>, Lent) {
        loop {
            let room = lent.storage.get_mut(lent.filled..).unwrap_or_default();
            let step = session.borrow_mut().read(room);
            self.flush_aside(session);
            match step {
                Ok(Step::Bytes(count)) => return (Ok(count), lent),
                Ok(Step::End) => return (Ok(0), lent),
                Ok(Step::More) => {}
                Err(error) => return (Err(error), lent),
            }
            if let Err(error) = self.recv_ciphertext(session).await {
                return (Err(error), lent);
            }
        }
    }

    /// Waits for ciphertext. `Ok(0)` when TCP ended, which the session then knows.
    pub(super) async fn recv_ciphertext(&self, session: &RefCell<Session>) -> io::Result<usize> {
        let mut buffer = session.borrow_mut().take_incoming();
        loop {
            let (result, back) = self.descriptor.read(buffer).await;
            buffer = back;
            if !is_interrupted(&result) {
                session.borrow_mut().restore_incoming(buffer, matches!(result, Ok(0)));
                return result;
            }
        }
    }

    /// A received message may call for an answer (an alert, a key update). It is a few bytes and must not
    /// wait in a receive, so it is sent at once if nothing else is being sent; otherwise the next batch
    /// carries it.
    fn flush_aside(&self, session: &RefCell<Session>) {
        if !self.sending.get() {
            session.borrow_mut().flush_with(|bytes| self.descriptor.send_now(bytes));
        }
    }

    async fn send_plain(&self, mut parcel: Parcel) -> (io::Result<()>, Parcel) {
        match shape(&parcel) {
            Shape::Nothing => (Ok(()), parcel),
            Shape::One(piece) => self.send_stretch(parcel, piece).await,
            Shape::Joined => {
                let own = parcel.own.len();
                let piece = join(&mut parcel);
                let (result, mut parcel) = self.send_stretch(parcel, piece).await;
                parcel.own.truncate(own);
                (result, parcel)
            }
            Shape::Gathered => self.send_gathered(parcel).await,
        }
    }

    async fn send_stretch(&self, parcel: Parcel, piece: Piece) -> (io::Result<()>, Parcel) {
        let mut stretch = Stretch::new(parcel, piece);
        while !stretch.rest().is_empty() {
            let (result, back) = self.descriptor.write(stretch).await;
            stretch = back;
            match progress(result) {
                Ok(count) => stretch.advance(count),
                Err(error) => return (Err(error), stretch.parcel),
            }
        }
        (Ok(()), stretch.parcel)
    }

    async fn send_gathered(&self, parcel: Parcel) -> (io::Result<()>, Parcel) {
        let mut gather = Gather::new(parcel, self.vectors.take());
        let mut outcome = Ok(());
        while outcome.is_ok() && !gather.is_done() {
            let (result, back) = self.descriptor.writev(gather).await;
            gather = back;
            outcome = progress(result).map(|count| gather.advance(count));
        }
        let (parcel, vectors) = gather.into_parts();
        if vectors.capacity() <= VECTORS_KEPT {
            self.vectors.set(vectors);
        }
        (outcome, parcel)
    }

    async fn send_tls(&self, session: &RefCell<Session>, parcel: Parcel) -> (io::Result<()>, Parcel) {
        let mut sent = 0;
        loop {
            let staged = session.borrow_mut().stage(&parcel, sent);
            let (batch, covered) = match staged {
                Ok(staged) => staged,
                Err(error) => return (Err(error), parcel),
            };
            if batch.is_empty() {
                return (Ok(()), parcel);
            }
            sent += covered;
            if let Err(error) = self.send_ciphertext(session, batch).await {
                return (Err(error), parcel);
            }
        }
    }

    /// Sends all of `batch` and gives the session its buffer back.
    pub(super) async fn send_ciphertext(
        &self,
        session: &RefCell<Session>,
        mut batch: Vec<u8>,
    ) -> io::Result<()> {
        let mut sent = 0;
        while sent < batch.len() {
            let (result, rest) = self.descriptor.write(batch.slice(sent..)).await;
            batch = rest.into_inner();
            sent += progress(result)?;
        }
        session.borrow_mut().restore_outgoing(batch);
        Ok(())
    }
}

/// Bytes an operation moved; 0 when a signal came first. A send that moves nothing would otherwise turn for
/// ever.
fn progress(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        result if is_interrupted(&result) => Ok(0),
        result => result,
    }
}

fn is_interrupted(result: &io::Result<usize>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::Interrupted)
}

/// Held while an operation runs in one direction.
struct Turn<'a>(&'a Cell<bool>);

impl<'a> Turn<'a> {
    fn take(busy: &'a Cell<bool>, otherwise: &str) -> Self {
        assert!(!busy.replace(true), "{otherwise}");
        Self(busy)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
