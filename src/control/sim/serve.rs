//! The simulator's sockets: accepting, routing, and the faults of the troubled listener.
//!
//! Deliberately absent: what a sound answer says (`script`, `render`, `embed`).

use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::body::AnswerBody;
use super::render::{self, Stamp};
use super::request::{self, Refusal};
use super::script::Script;
use super::seen::{Seen, Ticket};
use super::{embed, script};

/// Largest request body, in bytes.
const BODY_BYTES_MAX: usize = 64 << 20;
/// A stall ends after this long even if the peer waits.
const STALL_MAX: Duration = Duration::from_secs(30);
/// Pause after a failed accept (no descriptors left), so that it is not retried in a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a listener shares between its connections.
#[derive(Debug)]
pub(super) struct Site {
    seen: Arc<Seen>,
    /// Present on the troubled listener: how many requests it has had.
    turn: Option<AtomicU64>,
}

/// What the troubled listener does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Reset,
    Stall,
    RateLimit,
    ServerError,
    ErrorInside,
}

type Answer = Result<Response<AnswerBody>, io::Error>;

/// The three inference APIs.
#[derive(Clone, Copy, Debug)]
enum Api {
    Chat,
    Completion,
    Embedding,
}

impl Site {
    /// A listener that answers soundly.
    pub(super) fn sound(seen: Arc<Seen>) -> Arc<Self> {
        Arc::new(Self { seen, turn: None })
    }

    /// A listener that never does.
    pub(super) fn troubled(seen: Arc<Seen>) -> Arc<Self> {
        Arc::new(Self { seen, turn: Some(AtomicU64::new(0)) })
    }

    /// The next trouble in turn.
    fn trouble(&self) -> Option<Trouble> {
        const ORDER: [Trouble; 5] =
            [Trouble::Reset, Trouble::Stall, Trouble::RateLimit, Trouble::ServerError, Trouble::ErrorInside];
        let turn = self.turn.as_ref()?.fetch_add(1, Ordering::Relaxed);
        Some(ORDER[(turn % ORDER.len() as u64) as usize])
    }
}

/// Serves a listener until the task is dropped; its connections end with it.
pub(super) async fn accept(listener: TcpListener, site: Arc<Site>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&site)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection. hyper reads ahead while an answer is under way, sees the peer's end or reset, and
/// then drops the answer; that is how a disconnect is noticed at once, also when nothing is being written. A
/// peer that only closes its sending side has left too, as far as this server is concerned (RFC 9112 §9.6
/// leaves that to the server).
async fn serve(stream: TcpStream, site: Arc<Site>) {
    // Without it a token could wait for the acknowledgement of the one before. A socket that is already dead
    // refuses the option; serving it then ends by itself.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let socket = Socket { stream, reset: Arc::clone(&reset) };
    let service = service_fn(move |request| answer(Arc::clone(&site), Arc::clone(&reset), request));
    // An error is the peer's leaving or a planned reset; the tickets have counted both.
    let _ = http1::Builder::new().half_close(false).serve_connection(TokioIo::new(socket), service).await;
}

async fn answer(site: Arc<Site>, reset: Arc<AtomicBool>, request: Request<Incoming>) -> Answer {
    let api = match request.uri().path() {
        "/v1/chat/completions" => Api::Chat,
        "/v1/completions" => Api::Completion,
        "/v1/embeddings" => Api::Embedding,
        "/sim/stats" => return stats(&site, request.method()),
        path => {
            let refusal = Refusal {
                status: 404,
                param: None,
                code: Some("unknown_url"),
                message: format!("Unknown request URL: {} {path}", request.method()),
            };
            return json(refusal.status, render::refusal(&refusal), None);
        }
    };
    if request.method() != Method::POST {
        return not_allowed("POST");
    }
    let ticket = Ticket::new(Arc::clone(&site.seen));
    let body = match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let message = format!("The body must not be larger than {BODY_BYTES_MAX} bytes.");
            let refusal = Refusal { status: 413, param: None, code: None, message };
            return json(refusal.status, render::refusal(&refusal), Some(ticket));
        }
        Err(error) => return Err(io::Error::other(error)),
    };
    if let Some(trouble) = site.trouble() {
        return troubled(trouble, &body, &reset, ticket).await;
    }
    sound(api, &body, ticket).await
}

async fn sound(api: Api, body: &[u8], ticket: Ticket) -> Answer {
    let script = match api {
        Api::Chat => request::read(body).and_then(|request| script::chat(&request)),
        Api::Completion => request::read(body).and_then(|request| script::completion(&request)),
        Api::Embedding => match request::read(body).and_then(|request| embed::answer(&request)) {
            Ok(answer) => return json(200, answer, Some(ticket)),
            Err(refusal) => Err(refusal),
        },
    };
    match script {
        Ok(script) => play(script, ticket).await,
        Err(refusal) => json(refusal.status, render::refusal(&refusal), Some(ticket)),
    }
}

/// Waits as the script says and answers.
async fn play(script: Script, ticket: Ticket) -> Answer {
    let wait = if script.stream { script.first } else { script.whole_after() };
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let created = unix_seconds();
    if script.stream {
        return events(AnswerBody::stream(script, created, ticket));
    }
    let stamp = Stamp { number: ticket.number, created };
    json(200, render::whole(&script, stamp), Some(ticket))
}

async fn troubled(trouble: Trouble, body: &[u8], reset: &AtomicBool, mut ticket: Ticket) -> Answer {
    let message = "The simulator fails this request on purpose.";
    match trouble {
        Trouble::Reset => {
            ticket.fault();
            reset.store(true, Ordering::Relaxed);
            // hyper gives up the connection without writing anything; `Socket` then resets it.
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Trouble::Stall => {
            tokio::time::sleep(STALL_MAX).await;
            ticket.fault();
            Err(io::ErrorKind::TimedOut.into())
        }
        Trouble::RateLimit => {
            ticket.fault();
            let body = render::error(message, "requests", None, Some(Value::from("rate_limit_exceeded")));
            let mut response = json(429, body, Some(ticket))?;
            response.headers_mut().insert(RETRY_AFTER, hyper::header::HeaderValue::from_static("1"));
            Ok(response)
        }
        Trouble::ServerError => {
            ticket.fault();
            json(500, render::error(message, "server_error", None, None), Some(ticket))
        }
        Trouble::ErrorInside => {
            ticket.fault();
            let error = render::error(message, "server_error", None, Some(Value::from(500)));
            let stream = serde_json::from_slice::<Value>(body)
                .is_ok_and(|request| request.get("stream").and_then(Value::as_bool) == Some(true));
            if stream {
                events(AnswerBody::whole(render::event(&error), Some(ticket)))
            } else {
                json(200, error, Some(ticket))
            }
        }
    }
}

fn stats(site: &Site, method: &Method) -> Answer {
    if method != Method::GET {
        return not_allowed("GET");
    }
    let counts = serde_json::to_vec(&site.seen.counts()).map_err(io::Error::other)?;
    json(200, Bytes::from(counts), None)
}

fn not_allowed(allow: &'static str) -> Answer {
    let message = format!("This path only takes {allow}.");
    let mut response = json(405, render::error(&message, "invalid_request_error", None, None), None)?;
    response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static(allow));
    Ok(response)
}

fn json(status: u16, body: Bytes, ticket: Option<Ticket>) -> Answer {
    let status = StatusCode::from_u16(status).map_err(io::Error::other)?;
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json")
        .body(AnswerBody::whole(body, ticket))
        .map_err(io::Error::other)
}

fn events(body: AnswerBody) -> Answer {
    Response::builder()
        .header(CONTENT_TYPE, "text/event-stream; charset=utf-8")
        .header(CACHE_CONTROL, "no-cache")
        .body(body)
        .map_err(io::Error::other)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A TCP stream that is reset instead of closed once its flag is set.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // SO_LINGER 0: the close that follows sends RST. It can only fail on a socket that is already
            // dead.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Relaxed) {
            // A FIN first would let the peer see an orderly end.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
