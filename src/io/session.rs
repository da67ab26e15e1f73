//! One TLS session: rustls driven by hand between ciphertext buffers of ours. No function here waits;
//! `socket` moves the ciphertext.
//!
//! Three positions matter. Ciphertext that was read and not yet given to rustls stays in `incoming` (rustls
//! takes no more while it holds unread plaintext). What rustls wants to send is first moved to `outgoing`,
//! where it stays until the kernel took it, so that a record is never torn by another. Plaintext is copied
//! once, into the caller's buffer.
//!
//! Deliberately absent: certificates and configurations (`tls`), waiting, and the order of handshake steps
//! (`connect`).

use std::io::{self, IoSlice, Read, Write};

use rustls::Connection;

use crate::wire::buf::Lent;
use crate::wire::parcel::Parcel;

/// First size of the ciphertext buffer: a small event fits, and an idle connection holds little.
const INCOMING_FIRST_BYTES: usize = 4 * 1024;
/// Size of the ciphertext buffer while bulk arrives: one full record (RFC 8446 §5.2) with its header and
/// more.
const INCOMING_BYTES: usize = 20 * 1024;
/// Plaintext encrypted before it is sent: bounds the memory of a large request.
const BATCH_BYTES: usize = 64 * 1024;
/// The most a session keeps for the next batch: more than one record, less than a batch per idle connection.
const OUTGOING_KEPT_BYTES: usize = 20 * 1024;
/// Pieces encrypted into one record chain at once.
const BATCH_PIECES: usize = 16;

/// What reading plaintext came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The peer ended its side properly (close_notify).
    End,
    /// More ciphertext is needed.
    More,
}

/// A session and its ciphertext.
pub(super) struct Session {
    connection: Connection,
    incoming: Vec<u8>,
    fed: usize,
    /// Where the ciphertext in `incoming` ends.
    filled: usize,
    outgoing: Vec<u8>,
    sent: usize,
    /// rustls knows that TCP ended.
    ended: bool,
    fault: Option<rustls::Error>,
}

impl Session {
    pub(super) fn new(mut connection: Connection) -> Self {
        // The bound is ours (`BATCH_BYTES`): with rustls's own a batch could be cut in the middle.
        connection.set_buffer_limit(None);
        Self {
            connection,
            incoming: Vec::new(),
            fed: 0,
            filled: 0,
            ended: false,
            outgoing: Vec::new(),
            sent: 0,
            fault: None,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Decrypts into `into`, which has room, as far as the ciphertext at hand goes.
    ///
    /// # Errors
    /// `UnexpectedEof` when TCP ended without close_notify; `InvalidData` when the peer broke TLS.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<Step> {
        let mut count = 0;
        loop {
            match self.connection.reader().read(&mut into[count..]) {
                Ok(0) => return Ok(if count > 0 { Step::Bytes(count) } else { Step::End }),
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let is_dry = self.fault.is_some() || !self.has_ciphertext();
                    match &self.fault {
                        _ if is_dry && count > 0 => return Ok(Step::Bytes(count)),
                        Some(fault) => return Err(invalid(fault.clone())),
                        None if is_dry => return Ok(Step::More),
                        // A fault is remembered; what was decrypted before it is handed out by the next turn.
                        None => drop(self.feed()),
                    }
                }
                Err(_) if count > 0 => return Ok(Step::Bytes(count)),
                Err(error) => return Err(error),
            }
            if count == into.len() {
                return Ok(Step::Bytes(count));
            }
        }
    }

    /// True while ciphertext waits that rustls has not seen.
    pub(super) fn has_ciphertext(&self) -> bool {
        self.fed < self.filled
    }

    /// Gives rustls some of the ciphertext.
    ///
    /// # Errors
    /// `InvalidData`; the alert for the peer is then waiting to be sent.
    pub(super) fn feed(&mut self) -> io::Result<()> {
        if let Some(fault) = &self.fault {
            return Err(invalid(fault.clone()));
        }
        let taken = match self.connection.read_tls(&mut &self.incoming[self.fed..self.filled]) {
            Ok(taken) => taken,
            // Only a message longer than rustls accepts comes to this.
            Err(error) => return Err(self.fail(rustls::Error::General(error.to_string()))),
        };
        // Bytes after a close_notify are not part of the stream (RFC 8446 §6.1); rustls takes none of them.
        self.fed = if taken == 0 { self.filled } else { self.fed + taken };
        match self.connection.process_new_packets() {
            // A peer that closes in the middle of a handshake will never finish it. Without this check a loop
            // that waits for the handshake to end could turn for ever (RUSTSEC-2024-0336).
            Ok(state) if state.peer_has_closed() && self.connection.is_handshaking() => {
                Err(self.fail(rustls::Error::General("closed during the handshake".into())))
            }
            Ok(_) => Ok(()),
            Err(fault) => Err(self.fail(fault)),
        }
    }

    fn fail(&mut self, fault: rustls::Error) -> io::Error {
        self.fault = Some(fault.clone());
        invalid(fault)
    }

    /// An empty buffer to receive ciphertext into. Its size follows the traffic.
    pub(super) fn take_incoming(&mut self) -> Vec<u8> {
        debug_assert!(!self.has_ciphertext());
        let mut buffer = std::mem::take(&mut self.incoming);
        let (last, capacity) = (self.filled, buffer.capacity());
        (self.fed, self.filled) = (0, 0);
        buffer.clear();
        if capacity < INCOMING_FIRST_BYTES {
            return Vec::with_capacity(INCOMING_FIRST_BYTES);
        }
        match (capacity >= INCOMING_BYTES, last) {
            (false, last) if last == capacity => Vec::with_capacity(INCOMING_BYTES),
            (true, last) if last < INCOMING_FIRST_BYTES / 4 => Vec::with_capacity(INCOMING_FIRST_BYTES),
            _ => buffer,
        }
    }

    /// Takes the buffer back, filled. Empty means that TCP ended.
    pub(super) fn restore_incoming(&mut self, buffer: Vec<u8>, ended: bool) {
        (self.fed, self.filled) = (0, buffer.len());
        self.incoming = buffer;
        if ended {
            self.end();
        }
    }

    /// Takes a filled buffer in place of the one that is used up, and returns that one.
    pub(super) fn hand(&mut self, full: Lent) -> Vec<u8> {
        debug_assert!(!self.has_ciphertext());
        (self.fed, self.filled) = (full.taken, full.filled);
        std::mem::replace(&mut self.incoming, full.storage)
    }

    /// The buffer of [`Session::hand`] once it is used up, so that a session that waits holds none.
    pub(super) fn take_spent(&mut self) -> Option<Vec<u8>> {
        if self.has_ciphertext() || self.incoming.is_empty() {
            return None;
        }
        (self.fed, self.filled) = (0, 0);
        Some(std::mem::take(&mut self.incoming))
    }

    #[cfg(test)]
    pub(super) const fn incoming_bytes(&self) -> usize {
        self.incoming.capacity()
    }

    /// The peer broke TLS; what was decrypted before may still wait.
    pub(super) const fn has_failed(&self) -> bool {
        self.fault.is_some()
    }

    /// TCP ended.
    pub(super) fn end(&mut self) {
        self.ended = true;
        // An empty read is how rustls learns of the end; it cannot fail, since no plaintext is waiting.
        let _never_full = self.connection.read_tls(&mut io::empty());
    }

    /// [`Session::end`] was called.
    pub(super) const fn knows_end(&self) -> bool {
        self.ended
    }

    /// Ciphertext to be sent next: what waits already, then up to a batch of the parcel's plaintext from
    /// position `from` on. Returns it with how many plaintext bytes it covers; empty when there is nothing
    /// left.
    ///
    /// # Errors
    /// `InvalidData` when the session broke before.
    pub(super) fn stage(&mut self, parcel: &Parcel, from: usize) -> io::Result<(Vec<u8>, usize)> {
        let covered = self.encrypt(parcel, from)?;
        Ok((self.take_outgoing(), covered))
    }

    /// The same without plaintext: handshake messages, alerts, key updates.
    pub(super) fn take_outgoing(&mut self) -> Vec<u8> {
        self.collect();
        let mut bytes = std::mem::take(&mut self.outgoing);
        if self.sent > 0 {
            bytes.drain(..self.sent);
            self.sent = 0;
        }
        bytes
    }

    /// Gives the buffer back for the next batch; one that bulk made large is freed instead.
    pub(super) fn restore_outgoing(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        if self.outgoing.is_empty() && buffer.capacity() <= OUTGOING_KEPT_BYTES {
            self.outgoing = buffer;
        }
    }

    /// Hands what waits to `send`, which must not wait; what it does not take stays for the next batch.
    pub(super) fn flush_with(&mut self, mut send: impl FnMut(&[u8]) -> io::Result<usize>) {
        self.collect();
        while self.sent < self.outgoing.len() {
            match send(&self.outgoing[self.sent..]) {
                Ok(count) if count > 0 => self.sent += count,
                Ok(_) | Err(_) => return,
            }
        }
        self.outgoing.clear();
        self.sent = 0;
    }

    /// Queues the alert that says our side is complete.
    pub(super) fn close(&mut self) {
        self.connection.send_close_notify();
    }

    fn encrypt(&mut self, parcel: &Parcel, from: usize) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); BATCH_PIECES];
        let (mut used, mut skip, mut covered) = (0, from, 0);
        for &piece in &parcel.pieces {
            let bytes = parcel.bytes(piece);
            let fresh = &bytes[skip.min(bytes.len())..];
            skip -= bytes.len() - fresh.len();
            if used == BATCH_PIECES || covered == BATCH_BYTES {
                break;
            }
            if !fresh.is_empty() {
                let fresh = &fresh[..fresh.len().min(BATCH_BYTES - covered)];
                slices[used] = IoSlice::new(fresh);
                used += 1;
                covered += fresh.len();
            }
        }
        match used {
            0 => Ok(0),
            _ => self.connection.writer().write_vectored(&slices[..used]),
        }
    }

    fn collect(&mut self) {
        while self.connection.wants_write() {
            // Writing to a `Vec` cannot fail.
            if self.connection.write_tls(&mut self.outgoing).is_err() {
                return;
            }
        }
    }
}

fn invalid(fault: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}
