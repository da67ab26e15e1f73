//! A socket that never blocks, plain or with TLS.
//!
//! With TLS the handshake happens inside `read` and `write`: what is written before it is over waits in the
//! session. Deliberately absent: names, certificates and sizes, which are the owner's.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use rustls::Connection;

/// The two kinds.
#[derive(Debug)]
pub(crate) enum Transport {
    /// The socket's own bytes.
    Plain(TcpStream),
    /// TLS over it.
    Tls(Box<Tls>),
}

/// A session and its socket.
#[derive(Debug)]
pub(crate) struct Tls {
    socket: TcpStream,
    session: Connection,
}

impl Transport {
    /// A socket, which must be non-blocking, with TLS if there is a session.
    pub(crate) fn new(socket: TcpStream, session: Option<Connection>) -> Self {
        match session {
            None => Self::Plain(socket),
            Some(session) => Self::Tls(Box::new(Tls { socket, session })),
        }
    }

    /// The socket.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.socket,
        }
    }

    /// Reads what there is; less than there is room for means that nothing more is here. 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is here; the kernel's and the session's.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(tls) => tls.read(into),
        }
    }

    /// Writes as much as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; the kernel's and the session's.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    /// Writes what the session still holds; nothing for a plain socket.
    ///
    /// # Errors
    /// As [`Transport::write`], without `WouldBlock`.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }

    /// The session holds bytes that the socket had no room for.
    pub(crate) fn holds_output(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.session.wants_write())
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

impl Tls {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            // The end of the socket shows as an error of the reader in the next turn: without close_notify
            // a cut answer would look like a whole one.
            self.session.read_tls(&mut self.socket)?;
            let outcome = self.session.process_new_packets();
            // A handshake's next flight, or the alert that says what is wrong.
            self.flush()?;
            outcome.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.session.writer().write(bytes)?;
        self.flush()?;
        // The session takes nothing while it holds as much as it may.
        if count == 0 && !bytes.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        Ok(())
    }
}
