//! The other side of TLS: certificates made for the test, rustls over std sockets, and a relay that hands on
//! one byte at a time.
//!
//! Deliberately absent: tests.

use std::io::Read;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::io::tls::{ServerTls, client_config};

pub(super) type ServerStream = StreamOwned<ServerConnection, TcpStream>;
pub(super) type ClientStream = StreamOwned<ClientConnection, TcpStream>;

/// A self-signed certificate for `localhost` and its key.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) cert: String,
    pub(super) key: String,
}

impl Identity {
    pub(super) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self { cert: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    pub(super) fn server(&self) -> ServerTls {
        ServerTls::new(self.cert.as_bytes(), self.key.as_bytes()).unwrap()
    }

    /// What a client needs to trust it.
    pub(super) fn target(&self, name: &str) -> TlsTarget {
        let config = client_config(Some(self.cert.as_bytes())).unwrap();
        TlsTarget { config, server_name: ServerName::try_from(name.to_owned()).unwrap() }
    }
}

/// A TLS server in a thread, for one connection.
pub(super) fn tls_peer<T: Send + 'static>(
    config: Arc<ServerConfig>,
    serve: impl FnOnce(ServerStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    peer(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        serve(stream)
    })
}

/// A TLS client in a thread; fails to connect as the closure sees it on its first use of the stream.
pub(super) fn tls_client<T: Send + 'static>(
    address: SocketAddr,
    target: TlsTarget,
    talk: impl FnOnce(ClientStream) -> T + Send + 'static,
) -> JoinHandle<T> {
    std::thread::spawn(move || {
        let connection = ClientConnection::new(target.config, target.server_name).unwrap();
        talk(StreamOwned::new(connection, bounded(TcpStream::connect(address).unwrap())))
    })
}

/// A relay in front of `address` that passes on every byte in a segment of its own.
pub(super) fn trickle(address: SocketAddr) -> SocketAddr {
    let one_way = |mut from: TcpStream, mut to: TcpStream| {
        let mut byte = [0];
        while matches!(from.read(&mut byte), Ok(1)) && to.write_all(&byte).is_ok() {}
        let _gone_already = to.shutdown(Shutdown::Write);
    };
    peer(move |near| {
        let far = bounded(TcpStream::connect(address).unwrap());
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
        let backward = std::thread::spawn(move || one_way(back.0, back.1));
        one_way(near, far);
        backward.join().unwrap();
    })
    .0
}
