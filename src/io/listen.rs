//! Accepting connections: wait until the listener is readable, then `accept4(2)` directly.
//!
//! A ring accept would save nothing measurable at the rate connections come, leaks the new descriptor when
//! its future is dropped at the wrong moment, and leaves it open across `exec`. Waiting for readiness has no
//! result that could be lost, so an accept may be dropped at any time.
//!
//! Deliberately absent: which core serves the connection, and how long to pause after an error (`worker`).

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::{Domain, Protocol, SockRef, Type};

use super::descriptor::Descriptor;
use super::runtime::give_way;
use super::unix;
use crate::base::address::Peer;

/// Bytes a client's socket may hold that were not sent yet. Accepted connections inherit it: without it the
/// kernel lets a client that does not read hold megabytes, and the answer runs far ahead of its reader.
const UNSENT_BYTES: u32 = 128 * 1024;
/// Connections taken one after the other before the other tasks of the core get a turn.
const STREAK: u32 = 32;

/// An accepted connection, close-on-exec, that no core has adopted yet. Dropping it closes the connection.
#[derive(Debug)]
pub struct AcceptedFd(OwnedFd);

impl AcceptedFd {
    /// Did the client come over a unix socket? It is then a program on this machine, and speaks no TLS.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        SockRef::from(&self.0).domain().is_ok_and(|domain| domain == Domain::UNIX)
    }
}

impl From<AcceptedFd> for OwnedFd {
    fn from(fd: AcceptedFd) -> Self {
        fd.0
    }
}

impl From<OwnedFd> for AcceptedFd {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<TcpStream> for AcceptedFd {
    fn from(stream: TcpStream) -> Self {
        Self(stream.into())
    }
}

/// A listening socket on one core.
pub struct Listener {
    descriptor: Descriptor,
    streak: Cell<u32>,
    /// A unix socket, which may be shared with other cores.
    unix: bool,
}

impl Listener {
    /// Opens a listening TCP socket (unix sockets: [`unix::bind`]). With `reuse_port` several cores may
    /// bind the same address and the kernel spreads connections by a hash. Accepted connections inherit
    /// TCP_NODELAY: one event must not wait for the acknowledgement of the one before. `backlog` is capped
    /// by the kernel at `net.core.somaxconn`.
    ///
    /// # Errors
    /// What `socket(2)`, `bind(2)` or `listen(2)` says, `AddrInUse` above all.
    pub fn bind(addr: SocketAddr, reuse_port: bool, backlog: u32) -> io::Result<TcpListener> {
        let socket = socket2::Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(reuse_port)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
        socket.bind(&addr.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(socket.into())
    }

    /// Takes a listening socket over to this core.
    ///
    /// # Errors
    /// The driver did not take the descriptor.
    pub fn new(listener: impl Into<OwnedFd>) -> io::Result<Self> {
        let fd = listener.into();
        let unix = SockRef::from(&fd).domain()? == Domain::UNIX;
        Ok(Self { descriptor: Descriptor::for_readiness(fd)?, streak: Cell::new(0), unix })
    }

    /// The next connection and who connects.
    ///
    /// # Errors
    /// What `accept4(2)` says about this process: `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`. The connection
    /// stays in the queue, so the caller must pause before it tries again. `EINVAL` after
    /// [`Listener::shutdown`].
    pub async fn accept(&self) -> io::Result<(AcceptedFd, Peer)> {
        loop {
            if self.streak.get() >= STREAK {
                self.streak.set(0);
                give_way().await;
            }
            match SockRef::from(&self.descriptor).accept() {
                Ok((socket, address)) => {
                    self.streak.set(self.streak.get() + 1);
                    if let Some(peer) = unix::peer(&address) {
                        return Ok((AcceptedFd(socket.into()), peer));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.streak.set(0);
                    if self.unix && unix::is_shut(self.descriptor.as_fd()) {
                        return Err(io::ErrorKind::InvalidInput.into());
                    }
                    self.descriptor.readable().await?;
                }
                Err(error) if is_about_one_connection(&error) => self.streak.set(self.streak.get() + 1),
                Err(error) => return Err(error),
            }
        }
    }

    #[cfg(test)]
    pub(super) const fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Stops listening: nobody can connect any more, and a waiting accept ends with an error, for a unix
    /// socket on every core that shares it. Connections still in the queue of a TCP socket are reset; those
    /// of a unix socket when its last descriptor is closed.
    pub fn shutdown(&self) {
        // The only failure is a listener that is shut already, which is what was asked for.
        let _already_shut = SockRef::from(&self.descriptor).shutdown(std::net::Shutdown::Both);
    }
}

/// A listening socket that is asked and never waited for: our own ring polls it.
pub struct DirectListener(OwnedFd);

impl DirectListener {
    /// Takes a listening socket over.
    ///
    /// # Errors
    /// The descriptor cannot be made non-blocking.
    pub fn new(listener: OwnedFd) -> io::Result<Self> {
        SockRef::from(&listener).set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// The next connection, if one waits.
    ///
    /// # Errors
    /// As [`Listener::accept`].
    pub fn accept(&self) -> io::Result<Option<AcceptedFd>> {
        match SockRef::from(&self.0).accept() {
            Ok((socket, _)) => Ok(Some(AcceptedFd(socket.into()))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if is_about_one_connection(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As [`Listener::shutdown`].
    pub fn shutdown(&self) {
        let _already_shut = SockRef::from(&self.0).shutdown(std::net::Shutdown::Both);
    }
}

impl AsFd for DirectListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Linux reports errors that a connection met before it was accepted through `accept4(2)`; its manual says to
/// treat them like "try again". `EPERM` and `EOPNOTSUPP` are on its list too but may also be lasting, so they
/// are reported.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EINTR
                | libc::ECONNABORTED
                | libc::ENETDOWN
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
        )
    )
}
