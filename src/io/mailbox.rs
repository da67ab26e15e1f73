//! Messages from any thread to one core, over a socket pair: the waker of one thread must not be called from
//! another, but a descriptor that becomes readable wakes any driver.
//!
//! Every message has the same few bytes, which a unix stream takes whole or not at all. A descriptor travels
//! as its number, since both ends are in this process; whoever holds the message owns the descriptor, also in
//! the queue.
//!
//! Deliberately absent: snapshots (the worker looks at the pointer between requests) and answers.
#![allow(unsafe_code, reason = "a descriptor crosses the socket pair as a number and must be owned again")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use socket2::SockRef;

use super::descriptor::{Descriptor, recv_now};
use super::listen::AcceptedFd;

/// Bytes of a message: what it is, then the descriptor's number, both as 32-bit integers.
const MESSAGE_BYTES: usize = 8;
/// Messages taken with one system call.
const BATCH: usize = 32;

const ADOPT: u32 = 1;
const DRAIN: u32 = 2;
const STOP: u32 = 3;
const SYNCED: u32 = 4;

/// What can be said to a core.
#[derive(Debug)]
pub enum Message {
    /// Serve this connection, which another core accepted.
    Adopt(AcceptedFd),
    /// Take no new requests, finish the running ones.
    Drain,
    /// End now.
    Stop,
    /// More of this core's journal is on disk, or it turns out that the disk does not take it.
    Synced,
}

/// The sending end: one per core, cloned freely.
#[derive(Clone, Debug)]
pub struct Post(Arc<UnixStream>);

impl Post {
    /// Says `message` without ever waiting.
    ///
    /// # Errors
    /// The message comes back when the queue is full (a few hundred messages) or the core is gone.
    pub fn post(&self, message: Message) -> Result<(), Message> {
        let (kind, number) = match message {
            Message::Adopt(fd) => (ADOPT, OwnedFd::from(fd).into_raw_fd()),
            Message::Drain => (DRAIN, -1),
            Message::Stop => (STOP, -1),
            Message::Synced => (SYNCED, -1),
        };
        let mut bytes = [0; MESSAGE_BYTES];
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..].copy_from_slice(&number.to_ne_bytes());
        let sent = SockRef::from(&*self.0).send_with_flags(&bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        debug_assert!(!matches!(sent, Ok(count) if count != MESSAGE_BYTES), "a unix stream cut a message");
        match sent {
            Ok(_) => Ok(()),
            // SAFETY: the bytes did not go out, so the number that this function took out of the message is
            // the only owner there is.
            Err(_) => Err(unsafe { decode(bytes) }.expect("encoded above")),
        }
    }
}

/// The receiving end before a core has opened it. Dropping it closes what is in the queue.
#[derive(Debug)]
pub struct MailboxHalf(Option<UnixStream>);

/// Makes the two ends. The second one is opened on the core with [`Mailbox::open`].
///
/// # Errors
/// No descriptors left.
pub fn mailbox() -> io::Result<(Post, MailboxHalf)> {
    let (near, far) = UnixStream::pair()?;
    Ok((Post(Arc::new(near)), MailboxHalf(Some(far))))
}

/// Bytes of messages that were received and not yet decoded.
struct Letters {
    bytes: [u8; MESSAGE_BYTES * BATCH],
    start: usize,
    end: usize,
}

impl Letters {
    const fn new() -> Self {
        Self { bytes: [0; MESSAGE_BYTES * BATCH], start: 0, end: 0 }
    }

    fn pop(&mut self) -> Option<Message> {
        let bytes = self.bytes[self.start..self.end].first_chunk().copied()?;
        self.start += MESSAGE_BYTES;
        // SAFETY: these bytes were written by `Post::post`, the only writer of this private socket pair,
        // which gave the descriptor up when they went out; each message is decoded once, because `start`
        // moves past it.
        unsafe { decode(bytes) }
    }

    fn fill(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let count = recv_now(socket, &mut self.bytes[self.end..], 0)?;
        self.end += count;
        Ok(count)
    }

    /// Closes the descriptors nobody will adopt. From the first line on a post fails and keeps its
    /// descriptor, so none can slip in behind the loop.
    fn close(&mut self, socket: &impl AsFd) {
        let _peer_gone_already = SockRef::from(socket).shutdown(std::net::Shutdown::Both);
        loop {
            while self.pop().is_some() {}
            if !matches!(self.fill(socket), Ok(1..)) {
                return;
            }
        }
    }
}

/// The receiving end on its core.
pub struct Mailbox {
    descriptor: Descriptor,
    letters: Letters,
}

impl Mailbox {
    /// Takes the receiving end over to this core.
    ///
    /// # Errors
    /// The driver did not take the descriptor.
    pub fn open(half: MailboxHalf) -> io::Result<Self> {
        Ok(Self { descriptor: Descriptor::for_readiness(half.take()?.into())?, letters: Letters::new() })
    }

    /// The next message. May be dropped at any time without losing one.
    ///
    /// # Errors
    /// `UnexpectedEof` when every [`Post`] is gone; else what `recv(2)` says.
    pub async fn next(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = self.letters.pop() {
                return Ok(message);
            }
            match self.letters.fill(&self.descriptor) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.descriptor.readable().await?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.letters.close(&self.descriptor);
    }
}

/// The receiving end where our own ring polls it: asked and never waited for.
pub struct DirectMailbox {
    stream: UnixStream,
    letters: Letters,
}

impl DirectMailbox {
    /// Takes the receiving end over to this core.
    ///
    /// # Errors
    /// The half was opened before.
    pub fn open(half: MailboxHalf) -> io::Result<Self> {
        Ok(Self { stream: half.take()?, letters: Letters::new() })
    }

    /// The next message, if one waits.
    ///
    /// # Errors
    /// As [`Mailbox::next`].
    pub fn next_now(&mut self) -> io::Result<Option<Message>> {
        loop {
            if let Some(message) = self.letters.pop() {
                return Ok(Some(message));
            }
            match self.letters.fill(&self.stream) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for DirectMailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Drop for DirectMailbox {
    fn drop(&mut self) {
        self.letters.close(&self.stream);
    }
}

impl MailboxHalf {
    fn take(mut self) -> io::Result<UnixStream> {
        self.0.take().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for MailboxHalf {
    fn drop(&mut self) {
        let Some(mut stream) = self.0.take() else { return };
        let _peer_gone_already = stream.shutdown(std::net::Shutdown::Both);
        let mut bytes = [0; MESSAGE_BYTES];
        while io::Read::read_exact(&mut stream, &mut bytes).is_ok() {
            // SAFETY: as in `Letters::pop`: `Post::post` wrote these bytes and gave the descriptor up, and
            // they are read out of the queue once.
            drop(unsafe { decode(bytes) });
        }
    }
}

/// Turns bytes into a message again.
///
/// # Safety
/// If the bytes say `ADOPT`, the number must be an open descriptor that nothing else owns.
unsafe fn decode(bytes: [u8; MESSAGE_BYTES]) -> Option<Message> {
    let [a, b, c, d, e, f, g, h] = bytes;
    match u32::from_ne_bytes([a, b, c, d]) {
        ADOPT => {
            // SAFETY: the caller vouches for the number. `SCM_RIGHTS` would need no trust, but costs a second
            // descriptor per message and two copies in the kernel.
            let fd = unsafe { OwnedFd::from_raw_fd(i32::from_ne_bytes([e, f, g, h])) };
            Some(Message::Adopt(fd.into()))
        }
        DRAIN => Some(Message::Drain),
        STOP => Some(Message::Stop),
        SYNCED => Some(Message::Synced),
        _ => None,
    }
}
