//! One probe: a connection of its own, one GET, and the status of the answer.
//!
//! Deliberately absent: the body of the answer, and connections that are kept.

use core::time::Duration;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::base::address::{Address, UnixName};
use crate::policy::catalog::Provider;
use crate::wire::Parse;
use crate::wire::http1::{HeadWriter, response_head};

/// Bytes of a response head that are read, at most.
const HEAD_BYTES: usize = 16 << 10;

/// The request: the provider's own fields, without a body, on a connection that ends with it.
pub(super) fn question(provider: &Provider, path: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512 + path.len());
    HeadWriter::request(&mut bytes, "GET", &[path]).pause();
    bytes.extend_from_slice(provider.head_fields());
    let mut head = HeadWriter::resumed(&mut bytes);
    head.field("connection", b"close");
    head.end();
    bytes
}

/// Connects and, if there is a question, asks it. Any answer below 500 shows that the server works, a refused
/// key included; a 429 too.
///
/// # Errors
/// What failed, in words.
pub(super) async fn ask(address: &Address, question: Option<&[u8]>, most: Duration) -> Result<(), String> {
    let asked = async {
        match address {
            Address::Inet(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                spoken(stream, question).await
            }
            Address::Unix(name) => spoken(unix(name).await?, question).await,
        }
    };
    match timeout(most, asked).await {
        Err(_) => Err("no answer in time".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(None | Some(..500))) => Ok(()),
        Ok(Ok(Some(status))) => Err(format!("status {status}")),
    }
}

async fn unix(name: &UnixName) -> io::Result<UnixStream> {
    match (name.path(), name.abstract_name()) {
        (Some(path), _) => UnixStream::connect(path).await,
        // A zero in front says that what follows is in no file system (unix(7)).
        (None, Some(name)) => UnixStream::connect(format!("\0{name}")).await,
        (None, None) => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

/// The status of the answer; `None` when nothing was asked.
async fn spoken(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    question: Option<&[u8]>,
) -> io::Result<Option<u16>> {
    let Some(question) = question else { return Ok(None) };
    stream.write_all(question).await?;
    let (mut bytes, mut scanned) = (Vec::with_capacity(1024), 0);
    loop {
        match response_head(&bytes, &mut scanned) {
            Parse::Done { value, used } if (100..200).contains(&value.status) => {
                bytes.drain(..used);
                scanned = 0;
                continue;
            }
            Parse::Done { value, .. } => return Ok(Some(value.status)),
            Parse::More if bytes.len() < HEAD_BYTES => {}
            Parse::More | Parse::Bad(_) => return Err(io::Error::other("no HTTP answer")),
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::other("closed without an answer"));
        }
    }
}
