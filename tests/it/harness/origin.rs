//! Origins that follow a script: what they answer, how they cut it, when they stall, reset or end. A thread
//! per connection, real sockets, and a record of every byte that came.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};

use super::client::{Wire, unix_stream};
use super::{PATIENCE, let_read, number_between};

/// A request as the origin saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Start line and fields.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Which connection of the origin it came on, from 0.
    pub(crate) connection: usize,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.split("\r\n").skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn wants_stream(&self) -> bool {
        self.text().contains("\"stream\":true")
    }
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    connections: AtomicUsize,
    /// Bytes received on all connections, after TLS.
    received: Mutex<Vec<u8>>,
    requests: Mutex<Vec<Seen>>,
    /// A script panicked: the test must not pass.
    panicked: AtomicBool,
}

/// Notes when a script panics.
struct Watch(Arc<State>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.panicked.fetch_or(thread::panicking(), Ordering::AcqRel);
    }
}

/// A listening origin. Its listener closes when this goes out of scope; a script ends when its peer leaves.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl Origin {
    /// Runs `script` once per connection.
    pub(crate) fn start(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        Self::listen(None, script)
    }

    /// Behind TLS.
    pub(crate) fn start_tls(
        config: Arc<ServerConfig>,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(config), script)
    }

    /// Runs `script` once per request, on connections that are kept.
    pub(crate) fn answering(script: impl Fn(&mut Peer, &Seen) + Send + Sync + 'static) -> Self {
        Self::start(move |peer| {
            while let Some(seen) = peer.request() {
                script(peer, &seen);
            }
        })
    }

    fn listen(tls: Option<Arc<ServerConfig>>, script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State::default());
        serve(&state, tls, script, move || {
            let (tcp, _) = listener.accept()?;
            tcp.set_nodelay(true).map(|()| tcp)
        });
        Self { address, state }
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Acquire)
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything that came, on all connections.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.state.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.state.stop(|| TcpStream::connect_timeout(&self.address, PATIENCE));
    }
}

impl State {
    /// Stops accepting. `wake` connects once, so that the accepting thread sees the flag.
    fn stop<T>(&self, wake: impl FnOnce() -> T) {
        self.stop.store(true, Ordering::Release);
        wake();
        let panicked = self.panicked.load(Ordering::Acquire);
        assert!(!panicked || thread::panicking(), "the script of an origin panicked");
    }
}

/// Runs `script` in a thread per connection that `accept` takes, until the state says to stop.
fn serve(
    state: &Arc<State>,
    tls: Option<Arc<ServerConfig>>,
    script: impl Fn(&mut Peer) + Send + Sync + 'static,
    accept: impl Fn() -> io::Result<TcpStream> + Send + 'static,
) {
    let (shared, script) = (Arc::clone(state), Arc::new(script));
    thread::spawn(move || {
        loop {
            let accepted = accept();
            if shared.stop.load(Ordering::Acquire) {
                return;
            }
            let Ok(stream) = accepted else { continue };
            let connection = shared.connections.fetch_add(1, Ordering::AcqRel);
            let (state, script, tls) = (Arc::clone(&shared), Arc::clone(&script), tls.clone());
            thread::spawn(move || {
                let _watch = Watch(Arc::clone(&state));
                if let Ok(mut peer) = Peer::new(stream, tls, connection, state) {
                    script(&mut peer);
                }
            });
        }
    });
}

/// An origin at a unix socket. Its file stays when it goes out of scope, as after a crash.
pub(crate) struct UnixOrigin {
    path: PathBuf,
    state: Arc<State>,
}

impl UnixOrigin {
    /// Runs `script` once per request, on connections that are kept.
    pub(crate) fn answering(path: &Path, script: impl Fn(&mut Peer, &Seen) + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).expect("the path is free");
        let state = Arc::new(State::default());
        let each = move |peer: &mut Peer| {
            while let Some(seen) = peer.request() {
                script(peer, &seen);
            }
        };
        serve(&state, None, each, move || Ok(OwnedFd::from(listener.accept()?.0).into()));
        Self { path: path.to_owned(), state }
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Acquire)
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for UnixOrigin {
    fn drop(&mut self) {
        self.state.stop(|| unix_stream(&self.path));
    }
}

/// One connection of an origin.
pub(crate) struct Peer {
    wire: Box<dyn Wire>,
    tcp: TcpStream,
    held: Vec<u8>,
    pub(crate) connection: usize,
    state: Arc<State>,
}

impl Peer {
    fn new(
        tcp: TcpStream,
        tls: Option<Arc<ServerConfig>>,
        connection: usize,
        state: Arc<State>,
    ) -> io::Result<Self> {
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let wire: Box<dyn Wire> = match tls {
            None => Box::new(tcp.try_clone()?),
            Some(config) => {
                let session = ServerConnection::new(config).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(session, tcp.try_clone()?))
            }
        };
        Ok(Self { wire, tcp, held: Vec::new(), connection, state })
    }

    /// Reads some bytes; false at the end.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.wire.read(&mut bytes) {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.held.extend_from_slice(&bytes[..count]);
                let mut received = self.state.received.lock().unwrap_or_else(PoisonError::into_inner);
                received.extend_from_slice(&bytes[..count]);
                true
            }
        }
    }

    /// The head of the next request; `None` when the peer leaves.
    pub(crate) fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.held, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.held[..at]).into_owned();
                self.held.drain(..at + 4);
                return Some(head);
            }
            if !self.read() {
                return None;
            }
        }
    }

    /// The next request, whole; `None` when the peer leaves.
    pub(crate) fn request(&mut self) -> Option<Seen> {
        let head = self.head()?;
        let lower = format!("{}\r\n", head.to_ascii_lowercase());
        let length = number_between(&lower, "\r\ncontent-length: ", "\r\n").unwrap_or(0);
        while self.held.len() < length {
            if !self.read() {
                return None;
            }
        }
        let body = self.held.drain(..length).collect();
        let seen = Seen { head, body, connection: self.connection };
        self.state.requests.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
        Some(seen)
    }

    /// Sends; false when the peer takes no more.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.wire.write_all(bytes).and_then(|()| self.wire.flush()).is_ok()
    }

    /// Sends in pieces of `step` bytes.
    pub(crate) fn send_cut(&mut self, bytes: &[u8], step: usize) -> bool {
        bytes.chunks(step.max(1)).all(|piece| {
            let sent = self.send(piece);
            let_read();
            sent
        })
    }

    /// One write that may be short: the number of bytes taken, or `None` when the peer takes no more or
    /// `limit` passes.
    pub(crate) fn push(&mut self, bytes: &[u8], limit: Duration) -> Option<usize> {
        self.tcp.set_write_timeout(Some(limit)).ok()?;
        self.tcp.write(bytes).ok().filter(|count| *count > 0)
    }

    /// Says and reads nothing until the peer has left; when that was.
    pub(crate) fn until_gone(&mut self) -> Option<Instant> {
        let give_up = Instant::now() + PATIENCE;
        while self.read() {
            if Instant::now() > give_up {
                return None;
            }
        }
        let now = Instant::now();
        (now < give_up).then_some(now)
    }

    /// Ends with a reset as soon as the script returns: what the peer has not read is lost. Nothing more
    /// can be read or sent from here on.
    pub(crate) fn reset(&mut self) {
        let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
        self.wire = Box::new(io::Cursor::new(Vec::new()));
    }

    /// Says close_notify, which is how an answer without a length ends in order over TLS.
    pub(crate) fn farewell(&mut self) {
        self.wire.farewell();
    }

    /// Ends our side in order; for TLS without close_notify.
    pub(crate) fn fin(&self) {
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// Ends both sides at once.
    pub(crate) fn close(&self) {
        let _ = self.tcp.shutdown(Shutdown::Both);
    }

    /// A send buffer of about this size, which the kernel does not grow.
    pub(crate) fn narrow(&self, send_bytes: usize) {
        let _ = SockRef::from(&self.tcp).set_send_buffer_size(send_bytes);
    }

    /// Addresses of the connection, ours first.
    pub(crate) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        Some((self.tcp.local_addr().ok()?, self.tcp.peer_addr().ok()?))
    }
}

/// A port that refuses: bound, so that nobody else gets it, and not listening.
pub(crate) struct Refusing {
    pub(crate) address: SocketAddr,
    _socket: Socket,
}

impl Refusing {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a loopback port");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        Self { address: address.expect("it is bound to an IP address"), _socket: socket }
    }
}

/// A port that never answers: its queue of connections is full, so the kernel drops what else comes.
pub(crate) struct Blackhole {
    pub(crate) address: SocketAddr,
    _socket: Socket,
    _waiting: Vec<TcpStream>,
}

impl Blackhole {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a loopback port");
        socket.listen(0).expect("it is bound");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        let address = address.expect("it is bound to an IP address");
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            waiting.push(stream);
        }
        Self { address, _socket: socket, _waiting: waiting }
    }
}
