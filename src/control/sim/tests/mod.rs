//! Tests of the simulator through its real sockets, and the plain client they use.
//!
//! Deliberately absent: Millrace's own data plane; the integration tests put it in between.

mod answers;
mod trouble;

use core::net::SocketAddr;
use core::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bound of every wait on a socket. Long, because tests with paused time jump over it only when nothing else
/// is due.
const PATIENCE: Duration = Duration::from_secs(300);

/// A response.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The data of its events, in order.
    fn events(&self) -> Vec<&str> {
        assert!(self.head.contains("content-type: text/event-stream"), "{}", self.head);
        assert!(self.body.ends_with("\n\n"), "{:?}", self.body);
        self.body
            .split_terminator("\n\n")
            .map(|event| event.strip_prefix("data: ").unwrap_or_else(|| panic!("{event:?}")))
            .collect()
    }

    /// The events before `[DONE]` as JSON.
    fn chunks(&self) -> Vec<Value> {
        let events = self.events();
        let (last, chunks) = events.split_last().expect("a stream has events");
        assert_eq!(*last, "[DONE]");
        chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect()
    }
}

fn request(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

/// Sends the pieces one by one and reads to the end of the connection.
async fn exchange(address: SocketAddr, pieces: &[&[u8]]) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    for piece in pieces {
        stream.write_all(piece).await?;
    }
    let mut bytes = Vec::new();
    bounded(stream.read_to_end(&mut bytes)).await?;
    Ok(parse(&bytes))
}

fn parse(bytes: &[u8]) -> Reply {
    let text = std::str::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
    let status = head[9..12].parse().unwrap();
    let head = head.to_ascii_lowercase();
    let body = if head.contains("transfer-encoding: chunked") { dechunked(body) } else { body.to_owned() };
    Reply { status, head, body }
}

/// Removes the chunked coding; each event must be a chunk of its own.
fn dechunked(mut rest: &str) -> String {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").expect("a chunk size");
        let size = usize::from_str_radix(size, 16).expect("hexadecimal");
        if size == 0 {
            assert_eq!(after, "\r\n");
            return body;
        }
        assert!(
            after[..size].ends_with("\n\n") && after[..size].matches("\n\n").count() == 1,
            "{:?}",
            &after[..size]
        );
        body.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").expect("CR LF after the chunk");
    }
}

async fn post(address: SocketAddr, path: &str, body: &str) -> Reply {
    exchange(address, &[&request(path, body)]).await.expect("an answer")
}

async fn chat(address: SocketAddr, body: &str) -> Reply {
    post(address, "/v1/chat/completions", body).await
}
