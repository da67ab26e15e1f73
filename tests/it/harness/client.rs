//! A client that sends raw bytes and reads raw answers, over TCP, TLS or a unix socket.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConnection, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};

use super::answer::parse;
use super::{Answer, End, PATIENCE};

/// A connection to the proxy.
pub(crate) struct Client {
    wire: Box<dyn Wire>,
    tcp: TcpStream,
    /// Received and not yet part of an answer.
    held: Vec<u8>,
    ended: Option<End>,
}

/// A connection over a unix socket. std's type for TCP serves as the handle: what the harness asks of it
/// (bytes, timeouts, shutting down) is the same for every stream socket.
pub(super) fn unix_stream(path: &Path) -> io::Result<TcpStream> {
    UnixStream::connect(path).map(|stream| OwnedFd::from(stream).into())
}

/// Something to read from and write to.
pub(crate) trait Wire: Read + Write + Send {
    /// Says that our side is complete, where the protocol has a word for it.
    fn farewell(&mut self) {}
}

impl Wire for TcpStream {}
impl Wire for io::Cursor<Vec<u8>> {}
impl Wire for StreamOwned<ClientConnection, TcpStream> {}

impl Wire for StreamOwned<ServerConnection, TcpStream> {
    fn farewell(&mut self) {
        self.conn.send_close_notify();
        // The peer may be gone already.
        let _ = self.flush();
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE).expect("the proxy accepts"))
    }

    /// As `connect`, but a refusal is an answer.
    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        TcpStream::connect_timeout(&address, PATIENCE).map(Self::over)
    }

    /// Over a unix socket.
    pub(crate) fn connect_unix(path: &Path) -> Self {
        Self::over_stream(unix_stream(path).expect("the proxy accepts"))
    }

    /// With a receive buffer of about this size, which the kernel does not grow.
    pub(crate) fn connect_narrow(address: SocketAddr, receive_bytes: usize) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(receive_bytes).expect("a receive buffer of this size");
        socket.connect(&address.into()).expect("the proxy accepts");
        Self::over(socket.into())
    }

    /// With TLS; `config` says whom to trust.
    pub(crate) fn connect_tls(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Self> {
        let tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
        let mut client = Self::over(tcp.try_clone()?);
        let name = ServerName::try_from(name.to_owned()).expect("a server name");
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        client.wire = Box::new(stream);
        Ok(client)
    }

    fn over(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).expect("the socket is open");
        Self::over_stream(tcp)
    }

    fn over_stream(tcp: TcpStream) -> Self {
        tcp.set_read_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        tcp.set_write_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        let wire = Box::new(tcp.try_clone().expect("a second handle"));
        Self { wire, tcp, held: Vec::new(), ended: None }
    }

    /// Sends; the proxy must take it.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap_or_else(|error| panic!("the proxy does not take the request: {error}"));
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes)?;
        self.wire.flush()
    }

    /// The next answer, interim ones included; what there is of it when the connection ends before.
    pub(crate) fn answer(&mut self) -> Answer {
        loop {
            if let Some(answer) = parse(&self.held, self.ended) {
                self.held.drain(..answer.raw.len());
                return answer;
            }
            self.read();
        }
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Answer {
        self.send(request);
        self.answer()
    }

    /// Reads until this many bytes are held, or the end.
    pub(crate) fn hold(&mut self, least: usize) -> &[u8] {
        while self.held.len() < least && self.ended.is_none() {
            self.read();
        }
        &self.held
    }

    /// Reads until these bytes came; what else came too.
    #[track_caller]
    pub(crate) fn hold_until(&mut self, needle: &[u8]) -> &[u8] {
        while memchr::memmem::find(&self.held, needle).is_none() {
            assert!(self.ended.is_none(), "{:?} instead of {:?}", self.held.escape_ascii(), needle);
            self.read();
        }
        &self.held
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Some(end) = self.ended {
                return (std::mem::take(&mut self.held), end);
            }
            self.read();
        }
    }

    /// What has come already, without waiting for more.
    pub(crate) fn rest_now(&mut self) -> Vec<u8> {
        let _ = self.ends_within(Duration::from_millis(1));
        std::mem::take(&mut self.held)
    }

    /// What was received and is not part of an answer that was read.
    pub(crate) fn hold_now(&self) -> &[u8] {
        &self.held
    }

    /// The end of the connection, if it has ended or ends within `limit` and nothing comes before.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> Option<End> {
        self.tcp.set_read_timeout(Some(limit)).expect("the timeout is not zero");
        let before = self.held.len();
        if self.ended.is_none() {
            self.read();
        }
        self.tcp.set_read_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        let end = self.ended.filter(|_| self.held.len() == before);
        if end == Some(End::Silence) {
            self.ended = None;
            return None;
        }
        end
    }

    fn read(&mut self) {
        let mut bytes = [0; 16 * 1024];
        self.ended = match self.wire.read(&mut bytes) {
            Ok(0) => Some(End::Fin),
            Ok(count) => {
                self.held.extend_from_slice(&bytes[..count]);
                None
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Some(End::Silence),
                _ => Some(End::Reset),
            },
        };
    }

    /// A second handle on the socket, to send from another thread.
    pub(crate) fn handle(&self) -> TcpStream {
        self.tcp.try_clone().expect("a second handle")
    }

    /// Ends our side, and reads on.
    pub(crate) fn half_close(&self) {
        // A connection that the proxy has closed already needs no end.
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// Leaves with a reset instead of an end.
    pub(crate) fn reset(self) {
        SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO)).expect("the socket is open");
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.tcp.local_addr().expect("the socket is connected")
    }
}
