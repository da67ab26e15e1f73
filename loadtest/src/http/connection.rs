//! One client connection: requests out, answers in.
//!
//! A connection that waits holds no buffer here, so that ten thousand of them cost the generator little.
//! Deliberately absent: time limits; the caller puts them around whole requests.

use core::net::SocketAddr;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Parse;
use super::chunked::Chunked;
use super::head::{Framing, ResponseHead, response_head};
use crate::failure::Failure;

/// Size of one read.
const READ_BYTES: usize = 8 * 1024;
/// Longest body that is read whole.
const WHOLE_BYTES: u64 = 1 << 20;

/// A connection between two requests, or with an answer on its way.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    host: SocketAddr,
    /// Received and not yet looked at.
    inbox: Vec<u8>,
    body: Chunked,
}

/// What one read of a chunked body led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamStep {
    /// More is due.
    More,
    /// The terminal chunk was read, and nothing behind it.
    End,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) async fn open(target: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(target).await.map_err(Failure::io("connect"))?;
        stream.set_nodelay(true).map_err(Failure::io("connect"))?;
        Ok(Self { stream, host: target, inbox: Vec::new(), body: Chunked::default() })
    }

    /// A whole `GET` that must be answered with a 200 that keeps the connection.
    ///
    /// # Errors
    /// Everything else.
    pub(crate) async fn get(&mut self, path: &str) -> Result<(), Failure> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
        self.send(request.as_bytes()).await?;
        let head = self.head().await?;
        let Framing::Length(length) = head.framing else {
            return Err(Failure::Http("chunked where a length was due"));
        };
        if length > WHOLE_BYTES {
            return Err(Failure::Http("body too long"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        while self.inbox.len() < length {
            self.receive("in a body").await?;
        }
        if head.status != 200 {
            return Err(Failure::Status(head.status));
        }
        if !head.keep_alive {
            return Err(Failure::Http("the connection was not kept"));
        }
        if self.inbox.len() > length {
            return Err(Failure::Http("bytes behind the answer"));
        }
        self.inbox = Vec::new();
        Ok(())
    }

    /// Nothing may have come since the last answer, not even the end.
    ///
    /// # Errors
    /// Something came.
    pub(crate) fn check_silent(&self) -> Result<(), Failure> {
        let mut byte = [0];
        match self.stream.try_read(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(Failure::io("while idle")(error)),
            Ok(0) => Err(Failure::Closed("while idle")),
            Ok(_) => Err(Failure::Http("bytes without a request")),
        }
    }

    /// Sends a `POST` and reads the head of its answer, which must be a 200 with chunked events.
    ///
    /// # Errors
    /// Everything else.
    pub(crate) async fn post_for_events(&mut self, path: &str, json: &str) -> Result<(), Failure> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{json}",
            self.host,
            json.len(),
        );
        self.send(request.as_bytes()).await?;
        let head = self.head().await?;
        if head.status != 200 {
            return Err(Failure::Status(head.status));
        }
        if head.framing != Framing::Chunked {
            return Err(Failure::Http("a stream that is not chunked"));
        }
        if !head.events {
            return Err(Failure::Http("a stream that is not text/event-stream"));
        }
        self.body = Chunked::default();
        Ok(())
    }

    /// Appends the next bytes of the body to `payload`. The first call takes what came with the head.
    ///
    /// # Errors
    /// The framing is broken, or the connection ended before the terminal chunk.
    pub(crate) async fn next_events(&mut self, payload: &mut Vec<u8>) -> Result<StreamStep, Failure> {
        if self.inbox.is_empty() {
            self.receive("before the terminal chunk").await?;
        }
        let used = self.body.decode(&self.inbox, payload).map_err(Failure::Http)?;
        if !self.body.is_done() {
            self.inbox.clear();
            return Ok(StreamStep::More);
        }
        if used < self.inbox.len() {
            return Err(Failure::Http("bytes behind the terminal chunk"));
        }
        self.inbox.clear();
        Ok(StreamStep::End)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(bytes).await.map_err(Failure::io("send"))
    }

    async fn head(&mut self) -> Result<ResponseHead, Failure> {
        loop {
            match response_head(&self.inbox) {
                Parse::Done(head) => {
                    self.inbox.drain(..head.len);
                    return Ok(head);
                }
                Parse::More => self.receive("before the answer's head").await?,
                Parse::Bad(what) => return Err(Failure::Http(what)),
            }
        }
    }

    async fn receive(&mut self, place: &'static str) -> Result<(), Failure> {
        self.inbox.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.inbox).await {
            Ok(0) => Err(Failure::Closed(place)),
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::io("receive")(error)),
        }
    }
}
