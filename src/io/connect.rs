//! Opening connections: TCP or a unix socket, then TLS where wanted, and the TLS handshake with a client.
//! Each can be ended from outside through its [`Dial`].
//!
//! TCP connects with a non-blocking `connect(2)` and a wait for readiness: shutting the socket down ends that
//! wait at once, where a ring connect would have to be cancelled and would race with its own success. Before
//! the handshake nothing is read, so bytes that a stranger injects early are taken for TLS records and fail
//! (CVE-2026-1642).
//!
//! Deliberately absent: resolving names, choosing among addresses, deadlines, retries.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use socket2::{Domain, Protocol, Type};

use super::listen::AcceptedFd;
use super::session::Session;
use super::socket::Socket;
use super::unix;
use crate::base::address::{Address, Peer};

/// How long to wait before a unix socket whose queue is full is asked again. TCP would wait in the kernel;
/// here nothing tells when there is room.
pub const QUEUE_PAUSE: Duration = Duration::from_millis(5);

/// Where to connect and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// The resolved address.
    pub address: Address,
    /// TLS, or in the clear.
    pub tls: Option<TlsTarget>,
}

/// What the upstream must prove.
#[derive(Clone, Debug)]
pub struct TlsTarget {
    /// Roots and versions; shared, so that session tickets are.
    pub config: Arc<ClientConfig>,
    /// The name sent (SNI) and verified.
    pub server_name: ServerName<'static>,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFault {
    /// Refused, unreachable, reset or timed out by the kernel, or no socket at this path: the upstream saw
    /// nothing of a request.
    Refused,
    /// TCP came up, the handshake failed.
    Tls,
    /// [`Dial::abort`] was called.
    Aborted,
    /// This machine has no descriptor or no local port left; trying another endpoint does not help.
    NoDescriptors,
    /// Anything else.
    Other,
}

/// A handle to end one connection attempt from outside while it runs. One per attempt.
#[derive(Default)]
pub struct Dial {
    aborted: Cell<bool>,
    socket: RefCell<Weak<Socket>>,
}

impl Dial {
    /// For one attempt.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the attempt: its future completes soon with [`ConnectFault::Aborted`], or at once when it has not
    /// begun. Does nothing to a connection that was handed out already.
    pub fn abort(&self) {
        self.aborted.set(true);
        if let Some(socket) = self.socket.take().upgrade() {
            socket.shutdown();
        }
    }

    /// True once [`Dial::abort`] was called.
    #[must_use]
    pub const fn is_aborted(&self) -> bool {
        self.aborted.get()
    }

    fn watch(&self, socket: &Rc<Socket>) {
        self.socket.replace(Rc::downgrade(socket));
    }

    /// The outcome, unless the attempt was ended from outside; from now on the dial no longer knows the
    /// socket.
    fn settle(&self, outcome: Result<Rc<Socket>, ConnectFault>) -> Result<Rc<Socket>, ConnectFault> {
        self.socket.take();
        if self.is_aborted() { Err(ConnectFault::Aborted) } else { outcome }
    }
}

/// Opens a connection, over TCP with TCP_NODELAY, and TLS where the target asks for it. The future must be
/// driven to its end; [`Dial::abort`] brings that end.
///
/// # Errors
/// See [`ConnectFault`]. Nothing of a request has been sent in any case.
pub async fn connect(dial: Rc<Dial>, target: Target) -> Result<Rc<Socket>, ConnectFault> {
    if dial.is_aborted() {
        return Err(ConnectFault::Aborted);
    }
    let session = match target.tls {
        None => None,
        Some(tls) => {
            let client = ClientConnection::new(tls.config, tls.server_name).map_err(|_| ConnectFault::Tls)?;
            Some(Session::new(Connection::Client(client)))
        }
    };
    let fd = begin_patiently(&target.address, &dial).await?;
    let peer = target.address.inet().map_or(Peer::Unix, Peer::Inet);
    let socket = Socket::open(fd, Some(peer), session).map(Rc::new).map_err(|error| fault(&error))?;
    dial.watch(&socket);
    let outcome = establish(&socket).await.map(|()| socket);
    dial.settle(outcome)
}

impl Socket {
    /// Takes an accepted connection over to this core and performs the server's side of a TLS handshake on
    /// it. Ended from outside like [`connect`].
    ///
    /// # Errors
    /// [`ConnectFault::Tls`] for whatever the client does wrong, [`ConnectFault::Aborted`], or the driver did
    /// not take the descriptor.
    pub async fn handshake_server(
        fd: AcceptedFd,
        config: Arc<ServerConfig>,
        dial: Rc<Dial>,
    ) -> Result<Rc<Self>, ConnectFault> {
        if dial.is_aborted() {
            return Err(ConnectFault::Aborted);
        }
        let server = ServerConnection::new(config).map_err(|_| ConnectFault::Tls)?;
        let session = Session::new(Connection::Server(server));
        let socket =
            Self::open(fd.into(), None, Some(session)).map(Rc::new).map_err(|error| fault(&error))?;
        dial.watch(&socket);
        let outcome = handshake(&socket).await.map_err(|_| ConnectFault::Tls).map(|()| socket);
        dial.settle(outcome)
    }
}

/// How a connection attempt began.
pub(super) enum Begun {
    /// It is connected, or will be writable when it is.
    Underway(OwnedFd),
    /// The queue of a unix socket is full: to be tried again.
    Full,
}

/// Starts connecting and does not wait.
pub(super) fn begin(address: &Address) -> io::Result<Begun> {
    let kernel = unix::sockaddr(address)?;
    let kind = Type::STREAM.nonblocking();
    let socket = match address {
        Address::Inet(_) => socket2::Socket::new(kernel.domain(), kind, Some(Protocol::TCP))?,
        Address::Unix(_) => socket2::Socket::new(Domain::UNIX, kind, None)?,
    };
    if address.inet().is_some() {
        socket.set_tcp_nodelay(true)?;
    }
    match socket.connect(&kernel) {
        Ok(()) => Ok(Begun::Underway(socket.into())),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINPROGRESS) => Ok(Begun::Underway(socket.into())),
            Some(libc::EAGAIN) if address.unix().is_some() => Ok(Begun::Full),
            _ => Err(error),
        },
    }
}

/// [`begin`], waiting for room in the queue of a unix socket.
async fn begin_patiently(address: &Address, dial: &Dial) -> Result<OwnedFd, ConnectFault> {
    loop {
        match begin(address).map_err(|error| fault(&error))? {
            Begun::Underway(fd) => return Ok(fd),
            Begun::Full if dial.is_aborted() => return Err(ConnectFault::Aborted),
            Begun::Full => monoio::time::sleep(QUEUE_PAUSE).await,
        }
    }
}

async fn establish(socket: &Socket) -> Result<(), ConnectFault> {
    socket.descriptor().writable().await.map_err(|error| fault(&error))?;
    if let Some(error) = socket.take_error() {
        return Err(fault(&error));
    }
    handshake(socket).await.map_err(|_| ConnectFault::Tls)
}

/// Alternates between sending what the session wants to send and receiving, until neither side has anything
/// to say. Every turn takes at least one byte from the peer, and rustls bounds a handshake's length, so this
/// ends; how long a peer may take is the deadline of whoever holds the [`Dial`].
async fn handshake(socket: &Socket) -> io::Result<()> {
    let Some(session) = socket.session() else { return Ok(()) };
    loop {
        let batch = session.borrow_mut().take_outgoing();
        if !batch.is_empty() {
            socket.send_ciphertext(session, batch).await?;
        }
        if !session.borrow().is_handshaking() {
            return Ok(());
        }
        if socket.recv_ciphertext(session).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        take_in(socket, &mut session.borrow_mut())?;
    }
}

/// Feeds what was received. It stops where the handshake does: application data that came in the same segment
/// stays for the first receive. A failure's alert is sent if that needs no waiting, so that the peer learns
/// the reason.
fn take_in(socket: &Socket, session: &mut Session) -> io::Result<()> {
    while session.is_handshaking() && session.has_ciphertext() {
        if let Err(error) = session.feed() {
            session.flush_with(|bytes| socket.descriptor().send_now(bytes));
            return Err(error);
        }
    }
    Ok(())
}

pub(super) fn fault(error: &io::Error) -> ConnectFault {
    match error.raw_os_error() {
        Some(
            libc::ECONNREFUSED
            | libc::ECONNRESET
            | libc::ECONNABORTED
            | libc::ENETUNREACH
            | libc::EHOSTUNREACH
            | libc::ENETDOWN
            | libc::EHOSTDOWN
            | libc::ETIMEDOUT
            // A unix socket: no file, or a folder of its path is none.
            | libc::ENOENT
            | libc::ENOTDIR,
        ) => ConnectFault::Refused,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EADDRNOTAVAIL) => {
            ConnectFault::NoDescriptors
        }
        _ => ConnectFault::Other,
    }
}
