//! The origin's side of TLS, on bytes: what came is opened, what goes is sealed.
//!
//! At most one send is in flight on a connection, so only the handshake's own flight is sent by itself;
//! session tickets go with the first answer. Deliberately absent: sockets, and certificates (`certificate`).

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

/// A session and its buffers.
pub(super) struct Session {
    session: ServerConnection,
    plain: Vec<u8>,
    /// The last bytes sealed, used again; empty until they are back from the kernel.
    pub(super) spare: Vec<u8>,
}

/// Most plain bytes taken from the session at once.
const PLAIN_BYTES: usize = 16 * 1024;

impl Session {
    /// # Errors
    /// The configuration cannot be used.
    pub(super) fn new(config: &Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let mut session = ServerConnection::new(Arc::clone(config))?;
        // An answer is sealed whole, however long it is.
        session.set_buffer_limit(None);
        Ok(Self { session, plain: Vec::new(), spare: Vec::new() })
    }

    /// Opens what came; the plain bytes are the caller's to return through [`Session::give_back`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn open(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        while !bytes.is_empty() {
            self.session.read_tls(&mut bytes).map_err(|error| format!("TLS: {error}"))?;
            self.session.process_new_packets().map_err(|error| format!("TLS: {error}"))?;
            loop {
                let filled = plain.len();
                plain.resize(filled + PLAIN_BYTES, 0);
                let outcome = self.session.reader().read(&mut plain[filled..]);
                plain.truncate(filled + outcome.as_ref().copied().unwrap_or(0));
                match outcome {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(format!("TLS: {error}")),
                }
            }
        }
        Ok(plain)
    }

    /// Takes the plain bytes' memory back.
    pub(super) fn give_back(&mut self, plain: Vec<u8>) {
        self.plain = plain;
    }

    /// The flight that the handshake waits for, if it does.
    pub(super) fn flight(&mut self) -> Option<Vec<u8>> {
        (self.session.is_handshaking() && self.session.wants_write()).then(|| self.sealed())
    }

    /// Seals bytes.
    pub(super) fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.session.writer().write_all(bytes).expect("the session's buffer has no limit");
        self.sealed()
    }

    fn sealed(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.spare);
        out.clear();
        while self.session.wants_write() {
            self.session.write_tls(&mut out).expect("writing to memory cannot fail");
        }
        out
    }
}
