//! TLS towards a client, against rustls over std sockets.
//!
//! Deliberately absent: the client's side (`tls_client`).

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{HandshakeKind, ServerConfig};

use super::tls_peers::*;
use super::*;
use crate::io::tls::ServerTls;

fn listen() -> (Listener, SocketAddr) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), false, 8).unwrap();
    let address = listener.local_addr().unwrap();
    (Listener::new(listener).unwrap(), address)
}

async fn accept_tls(listener: &Listener, config: Arc<ServerConfig>) -> Result<Rc<Socket>, ConnectFault> {
    let (fd, from) = listener.accept().await.unwrap();
    let socket = Socket::handshake_server(fd, config, Rc::new(Dial::new())).await;
    if let Ok(socket) = &socket {
        assert_eq!(socket.peer(), from);
    }
    socket
}

/// Sends `bytes`, reads the same back, ends properly and expects a proper end.
fn ask(mut stream: ClientStream, bytes: &[u8]) -> Option<HandshakeKind> {
    // The first flight of data leaves together with the client's Finished.
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == bytes);
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    stream.conn.handshake_kind()
}

async fn answer(socket: Rc<Socket>, length: usize) {
    let bytes = recv_exact(&socket, length).await;
    send(Rc::clone(&socket), own(&bytes)).await.0.unwrap();
    assert_eq!(recv(Rc::clone(&socket), room(8)).await.0.unwrap(), 0);
    socket.shutdown_write();
}

#[test]
fn a_client_is_served_and_resumes_on_any_core() {
    on_each_driver(async || {
        let identity = Identity::new();
        let (server, target) = (identity.server(), identity.target("localhost"));
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (listener, address) = listen();
            let client = tls_client(address, target.clone(), |stream| ask(stream, &pattern(100_000)));
            answer(accept_tls(&listener, server.config()).await.unwrap(), 100_000).await;
            until("the client is done", || client.is_finished()).await;
            assert_eq!(client.join().unwrap(), Some(expected));
        }
    });
}

#[test]
fn a_hello_cut_at_every_byte_is_the_same_hello() {
    on_each_driver(async || {
        let identity = Identity::new();
        let (listener, address) = listen();
        let target = identity.target("localhost");
        let client = tls_client(trickle(address), target, |stream| ask(stream, b"small"));
        answer(accept_tls(&listener, identity.server().config()).await.unwrap(), 5).await;
        until("the client is done", || client.is_finished()).await;
        client.join().unwrap();
    });
}

#[test]
fn a_replaced_certificate_is_shown_from_the_next_handshake_on() {
    on_each_driver(async || {
        let (old, new) = (Identity::new(), Identity::new());
        let server = old.server();
        let config = server.config();
        for (identity, other) in [(&old, &new), (&new, &old)] {
            for (trusted, served) in [(identity, true), (other, false)] {
                let (listener, address) = listen();
                let client = tls_client(address, trusted.target("localhost"), move |mut stream| {
                    stream.write_all(b"?").and_then(|()| stream.read_exact(&mut [0])).is_ok()
                });
                let socket = accept_tls(&listener, Arc::clone(&config)).await;
                assert_eq!(socket.as_ref().err(), (!served).then_some(&ConnectFault::Tls));
                if let Ok(socket) = socket {
                    assert_eq!(recv_exact(&socket, 1).await, b"?");
                    send(socket, own(b"!")).await.0.unwrap();
                }
                until("the client is done", || client.is_finished()).await;
                assert_eq!(client.join().unwrap(), served);
            }
            // A broken pair is refused and changes nothing; then the new one takes over.
            assert!(server.replace(new.cert.as_bytes(), old.key.as_bytes()).is_err());
            server.replace(new.cert.as_bytes(), new.key.as_bytes()).unwrap();
        }
    });
}

#[test]
fn what_is_not_a_handshake_is_a_tls_fault() {
    let check = |bytes: &'static [u8], answered: bool| {
        on_each_driver(move || async move {
            let (listener, address) = listen();
            let client = std::thread::spawn(move || {
                let mut stream = bounded(TcpStream::connect(address).unwrap());
                stream.write_all(bytes).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut alert = Vec::new();
                let _reset_is_fine = stream.read_to_end(&mut alert);
                alert
            });
            let outcome = accept_tls(&listener, Identity::new().server().config()).await;
            assert_eq!(outcome.err(), Some(ConnectFault::Tls));
            until("the client is done", || client.is_finished()).await;
            let alert = client.join().unwrap();
            assert_eq!(alert.first().copied(), answered.then_some(0x15), "{alert:?}");
        });
    };
    check(b"", false);
    check(b"\x16\x03\x01", false);
    check(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", true);
    check(b"\x15\x03\x03\x00\x02\x01\x00", false);
    check(b"\x17\x03\x03\x00\x01\x00", true);
}

#[test]
fn a_client_that_only_speaks_another_protocol_is_refused() {
    on_each_driver(async || {
        let identity = Identity::new();
        let (listener, address) = listen();
        let mut target = identity.target("localhost");
        Arc::make_mut(&mut target.config).alpn_protocols = vec![b"h2".to_vec()];
        let client =
            tls_client(address, target, |mut stream| stream.write_all(b"?").unwrap_err().to_string());
        assert_eq!(accept_tls(&listener, identity.server().config()).await.err(), Some(ConnectFault::Tls));
        until("the client is done", || client.is_finished()).await;
        let told = client.join().unwrap();
        assert!(told.contains("NoApplicationProtocol"), "{told}");
    });
}

#[test]
fn abort_ends_a_handshake_that_never_begins() {
    on_each_driver(async || {
        let (listener, address) = listen();
        let mut far = bounded(TcpStream::connect(address).unwrap());
        let (fd, _) = listener.accept().await.unwrap();
        let dial = Rc::new(Dial::new());
        let config = Identity::new().server().config();
        let attempt = monoio::spawn(Socket::handshake_server(fd, config, Rc::clone(&dial)));
        give_way().await;
        assert!(!attempt.is_finished());
        dial.abort();
        assert_eq!(attempt.await.err(), Some(ConnectFault::Aborted));
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn abort_before_the_start_closes_the_connection() {
    on_each_driver(async || {
        let (listener, address) = listen();
        let mut far = bounded(TcpStream::connect(address).unwrap());
        let (fd, _) = listener.accept().await.unwrap();
        let dial = Rc::new(Dial::new());
        dial.abort();
        let config = Identity::new().server().config();
        let outcome = Socket::handshake_server(fd, config, dial).await;
        assert_eq!(outcome.err(), Some(ConnectFault::Aborted));
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_client_that_left_cannot_be_adopted() {
    on_each_driver(async || {
        let (listener, address) = listen();
        let far = TcpStream::connect(address).unwrap();
        let (fd, _) = listener.accept().await.unwrap();
        socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        assert_eq!(Socket::adopt(fd).map(|_| ()).unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn unusable_certificate_files_say_what_is_wrong() {
    let (one, other) = (Identity::new(), Identity::new());
    let check = |cert: &str, key: &str, expected: &str| {
        let text = ServerTls::new(cert.as_bytes(), key.as_bytes()).unwrap_err();
        assert!(text.contains(expected), "{text}");
    };
    check("", &one.key, "the certificate file holds no PEM certificate");
    check(&one.key, &one.key, "the certificate file holds no PEM certificate");
    check(&one.cert, "", "the key file holds no usable PEM private key");
    check(&one.cert, &one.cert, "the key file holds no usable PEM private key");
    check(&one.cert, &other.key, "cannot be used together");
}
