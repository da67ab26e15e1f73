//! TLS towards an upstream, against rustls over std sockets.
//!
//! Deliberately absent: the server's side (`tls_server`).

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;

use rustls::HandshakeKind;

use super::tls_peers::*;
use super::*;
use crate::io::tls::client_config;

/// Echoes `length` bytes, then ends properly.
fn echo(mut stream: ServerStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    stream.write_all(&bytes).unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    bytes
}

async fn assert_echo(socket: Rc<Socket>, parcel: Parcel, step: usize) {
    let expected: Vec<u8> = parcel.pieces.iter().flat_map(|&piece| parcel.bytes(piece).to_vec()).collect();
    let receiving = monoio::spawn({
        let socket = Rc::clone(&socket);
        async move { recv_all(&socket, step).await }
    });
    let (result, back) = send(Rc::clone(&socket), parcel).await;
    result.unwrap();
    assert_eq!(back.total(), expected.len());
    assert!(receiving.await.unwrap() == expected, "the bytes differ");
    // The proper end is lasting.
    assert_eq!(recv(socket, room(8)).await.0.unwrap(), 0);
}

#[test]
fn parcels_of_every_size_come_back() {
    let check = |size: usize, repeat: usize, step: usize| {
        on_each_driver(move || async move {
            let identity = Identity::new();
            let mut parcel = own(&pattern(size));
            parcel.pieces = vec![parcel.pieces[0]; repeat];
            let length = size * repeat;
            let (address, served) = tls_peer(identity.server().config(), move |stream| {
                assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
                assert_eq!(stream.conn.server_name(), Some("localhost"));
                echo(stream, length)
            });
            let socket = dial_to(address, Some(identity.target("localhost"))).await.unwrap();
            assert!(socket.is_tls());
            assert_echo(socket, parcel, step).await;
            served.join().unwrap();
        });
    };
    check(1, 1, 1);
    check(100, 3, 7);
    check(16_384, 1, 16_384);
    check(37, 40, 1000);
    check(300_000, 1, 65_536);
    check(50_000, 20, 10_000);
}

#[test]
fn a_stream_cut_at_every_byte_is_the_same_stream() {
    on_each_driver(async || {
        let identity = Identity::new();
        let (address, served) = tls_peer(identity.server().config(), |stream| echo(stream, 3_000));
        let socket = dial_to(trickle(address), Some(identity.target("localhost"))).await.unwrap();
        assert_echo(socket, own(&pattern(3_000)), 50).await;
        served.join().unwrap();
    });
}

#[test]
fn an_end_without_close_notify_is_an_error() {
    on_each_driver(async || {
        let identity = Identity::new();
        let (address, _served) = tls_peer(identity.server().config(), |mut stream| {
            stream.write_all(b"half an ans").unwrap();
            stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
            stream
        });
        let socket = dial_to(address, Some(identity.target("localhost"))).await.unwrap();
        assert_eq!(recv_exact(&socket, 11).await, b"half an ans");
        for _ in 0..2 {
            assert_eq!(
                recv(Rc::clone(&socket), room(8)).await.0.unwrap_err().kind(),
                ErrorKind::UnexpectedEof
            );
        }
    });
}

#[test]
fn a_broken_record_comes_after_what_was_whole() {
    on_each_driver(async || {
        let identity = Identity::new();
        let (address, served) = tls_peer(identity.server().config(), |mut stream| {
            stream.write_all(b"whole").unwrap();
            stream.sock.write_all(b"\x17\x03\x03\x00\x20 this was never encrypted by us. ").unwrap();
            // The client says why it gives up.
            std::io::copy(&mut stream, &mut std::io::sink()).unwrap_err()
        });
        let socket = dial_to(address, Some(identity.target("localhost"))).await.unwrap();
        assert_eq!(recv_exact(&socket, 5).await, b"whole");
        assert_eq!(recv(Rc::clone(&socket), room(8)).await.0.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(recv(Rc::clone(&socket), room(8)).await.0.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(send(Rc::clone(&socket), own(b"!")).await.0.unwrap_err().kind(), ErrorKind::InvalidData);
        until("the peer has given up", || served.is_finished()).await;
        assert!(served.join().unwrap().to_string().contains("alert"));
    });
}

#[test]
fn what_is_not_the_right_server_is_a_tls_fault() {
    let identity = Identity::new();
    let check = |target: TlsTarget, serve: fn(TcpStream)| {
        on_each_driver(move || async move {
            let (address, served) = peer(serve);
            assert_eq!(dial_to(address, Some(target)).await.err(), Some(ConnectFault::Tls));
            until("the peer has noticed", || served.is_finished()).await;
            served.join().unwrap();
        });
    };
    fn drain(mut stream: TcpStream) {
        let _reset_is_fine = std::io::copy(&mut stream, &mut std::io::sink());
    }
    // Bytes injected before the handshake, as in CVE-2026-1642.
    check(identity.target("localhost"), |mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
        drain(stream);
    });
    // A close_notify instead of a handshake, and bytes that rustls then ignores, must not turn for ever
    // (RUSTSEC-2024-0336).
    check(identity.target("localhost"), |mut stream| {
        stream.write_all(b"\x15\x03\x03\x00\x02\x01\x00\x15\x03\x03\x00\x02\x01\x00").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        drain(stream);
    });
    check(identity.target("localhost"), |mut stream| {
        stream.write_all(b"\x15\x03\x03\x00\x02\x02\x28").unwrap();
        drain(stream);
    });
    check(identity.target("localhost"), drop);
    check(identity.target("localhost"), |stream| stream.shutdown(std::net::Shutdown::Write).unwrap());
}

#[test]
fn a_certificate_for_another_name_or_from_a_stranger_is_refused() {
    let (identity, stranger) = (Identity::new(), Identity::new());
    let check = |target: TlsTarget, expected: &'static str| {
        let config = identity.server().config();
        on_each_driver(move || async move {
            let (address, served) = peer(|stream| {
                let mut server = rustls::ServerConnection::new(config).unwrap();
                let mut stream = stream;
                loop {
                    match server.complete_io(&mut stream) {
                        Ok(_) if server.is_handshaking() => {}
                        Ok(_) => return "accepted".to_owned(),
                        Err(error) => return error.to_string(),
                    }
                }
            });
            assert_eq!(dial_to(address, Some(target)).await.err(), Some(ConnectFault::Tls));
            until("the server was told", || served.is_finished()).await;
            let told = served.join().unwrap();
            assert!(told.contains(expected), "{told}");
        });
    };
    check(identity.target("example.org"), "BadCertificate");
    // The stranger's root has the same name, so what fails is the signature.
    check(stranger.target("localhost"), "DecryptError");
}

#[test]
fn abort_ends_a_handshake_that_gets_no_answer() {
    on_each_driver(async || {
        let (address, served) = peer(|mut stream| std::io::copy(&mut stream, &mut std::io::sink()).unwrap());
        let dial = Rc::new(Dial::new());
        let target = Target { address: address.into(), tls: Some(Identity::new().target("localhost")) };
        let attempt = monoio::spawn(connect(Rc::clone(&dial), target));
        monoio::time::sleep(Duration::from_millis(10)).await;
        assert!(!attempt.is_finished());
        dial.abort();
        assert_eq!(attempt.await.err(), Some(ConnectFault::Aborted));
        until("the peer sees the end", || served.is_finished()).await;
        assert!(served.join().unwrap() > 100, "no hello was sent");
    });
}

#[test]
fn tickets_leave_an_idle_connection_clean_and_resume_the_next() {
    on_each_driver(async || {
        let identity = Identity::new();
        let (server, target) = (identity.server(), identity.target("localhost"));
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (address, served) = tls_peer(server.config(), |mut stream| {
                // The tickets went out with the handshake; this byte comes behind them.
                stream.write_all(b"1").unwrap();
                stream.read_exact(&mut [0]).unwrap();
                stream.write_all(b"2").unwrap();
                stream.conn.handshake_kind()
            });
            let socket = dial_to(address, Some(target.clone())).await.unwrap();
            assert_eq!(recv_exact(&socket, 1).await, b"1");
            assert!(socket.is_clean());
            send(Rc::clone(&socket), own(b"!")).await.0.unwrap();
            until("surplus bytes are seen", || !socket.is_clean()).await;
            assert_eq!(served.join().unwrap(), Some(expected));
        }
    });
}

#[test]
fn tickets_alone_are_taken_in_by_the_idle_check() {
    on_each_driver(async || {
        let identity = Identity::new();
        let (proceed, told) = mpsc::channel::<()>();
        let (address, served) = tls_peer(identity.server().config(), move |mut stream| {
            told.recv().unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
            stream
        });
        let socket = dial_to(address, Some(identity.target("localhost"))).await.unwrap();
        let waiting = || socket.descriptor().recv_now(&mut [0], libc::MSG_PEEK).is_ok();
        until("the tickets arrive", waiting).await;
        assert!(socket.is_clean());
        assert!(!waiting(), "the tickets were not taken in");
        proceed.send(()).unwrap();
        until("the end is seen", || !socket.is_clean()).await;
        drop(served.join().unwrap());
    });
}

#[test]
fn keys_may_be_updated_by_the_peer() {
    on_each_driver(async || {
        let identity = Identity::new();
        let (address, served) = tls_peer(identity.server().config(), |mut stream| {
            for round in 0..3u8 {
                stream.conn.refresh_traffic_keys().unwrap();
                stream.write_all(&[round]).unwrap();
                let mut answer = [9];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(answer, [round]);
            }
        });
        let socket = dial_to(address, Some(identity.target("localhost"))).await.unwrap();
        for round in 0..3u8 {
            assert_eq!(recv_exact(&socket, 1).await, [round]);
            send(Rc::clone(&socket), own(&[round])).await.0.unwrap();
        }
        until("the peer is done", || served.is_finished()).await;
        served.join().unwrap();
    });
}

#[test]
fn shutdown_is_not_a_proper_end_and_shutdown_write_is() {
    let check = |end: fn(&Socket), expected: Result<u64, ErrorKind>| {
        on_each_driver(move || async move {
            let identity = Identity::new();
            let (address, served) = tls_peer(identity.server().config(), |mut stream| {
                std::io::copy(&mut stream, &mut std::io::sink()).map_err(|error| error.kind())
            });
            let socket = dial_to(address, Some(identity.target("localhost"))).await.unwrap();
            send(Rc::clone(&socket), own(b"four")).await.0.unwrap();
            end(&socket);
            until("the peer sees the end", || served.is_finished()).await;
            assert_eq!(served.join().unwrap(), expected);
        });
    };
    check(Socket::shutdown, Err(ErrorKind::UnexpectedEof));
    check(Socket::shutdown_write, Ok(4));
}

#[test]
fn an_unusable_ca_file_says_what_is_wrong() {
    let check = |pem: &str, expected: &str| {
        let text = client_config(Some(pem.as_bytes())).err().unwrap_or_else(|| panic!("{pem:?} was taken"));
        assert!(text.contains(expected), "{text}");
    };
    check("", "holds no PEM certificate");
    check("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", "not valid PEM");
    check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "not usable");
    assert!(client_config(Some(Identity::new().cert.as_bytes())).is_ok());
}

#[test]
fn a_closed_port_refuses_under_tls_too() {
    on_each_driver(async || {
        let address: SocketAddr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let target = Identity::new().target("localhost");
        assert_eq!(dial_to(address, Some(target)).await.err(), Some(ConnectFault::Refused));
    });
}
