//! Links under TLS, on our own ring, against rustls over std sockets.
//!
//! Deliberately absent: links in the clear (`link`).

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, SocketAddr};

use rustls::HandshakeKind;

use super::tls_peers::*;
use super::turns::*;
use super::*;

/// Echoes `length` bytes, then ends properly.
fn echo(mut stream: ServerStream, length: usize) {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    stream.write_all(&bytes).unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
}

fn to(address: SocketAddr, identity: &Identity) -> Target {
    Target { address: address.into(), tls: Some(identity.target("localhost")) }
}

/// A listener for [`accept_tls`].
fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn accept_tls(turns: &mut Turns, listener: &TcpListener, identity: &Identity) -> u32 {
    let (near, _) = listener.accept().unwrap();
    turns.open(near.into(), Some(identity.server().config()))
}

#[track_caller]
fn assert_echo(turns: &mut Turns, token: u32, parcel: Parcel, step: usize) {
    let expected: Vec<u8> = parcel.pieces.iter().flat_map(|&piece| parcel.bytes(piece).to_vec()).collect();
    turns.send(token, parcel);
    let all = turns.recv_all(token, step).unwrap();
    assert!(all == expected, "the bytes differ");
    let (back, ok) = turns.sent(token);
    assert!(ok);
    assert_eq!(back.total(), expected.len());
    // The proper end is lasting.
    assert_eq!(turns.recv(token, room(8)).0.unwrap(), 0);
}

#[test]
fn parcels_of_every_size_come_back() {
    let check = |size: usize, repeat: usize, step: usize| {
        let Some(mut turns) = Turns::new() else { return };
        let identity = Identity::new();
        let mut parcel = own(&pattern(size));
        parcel.pieces = vec![parcel.pieces[0]; repeat];
        let length = size * repeat;
        let (address, served) = tls_peer(identity.server().config(), move |stream| {
            assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(stream.conn.server_name(), Some("localhost"));
            echo(stream, length);
        });
        let token = turns.dial(&to(address, &identity)).unwrap();
        assert_echo(&mut turns, token, parcel, step);
        served.join().unwrap();
        turns.close(token);
    };
    check(1, 1, 1);
    check(100, 3, 7);
    check(16_384, 1, 16_384);
    check(37, 40, 1000);
    check(300_000, 1, 65_536);
    check(50_000, 20, 10_000);
}

#[test]
fn an_empty_parcel_comes_back_too() {
    let Some(mut turns) = Turns::new() else { return };
    let identity = Identity::new();
    let (address, served) = tls_peer(identity.server().config(), |stream| echo(stream, 3));
    let token = turns.dial(&to(address, &identity)).unwrap();
    // The first may come back with the end of the handshake, the second has nothing to wait for.
    for _ in 0..2 {
        turns.send(token, Parcel::default());
        assert!(turns.sent(token).1);
    }
    assert_echo(&mut turns, token, own(b"abc"), 8);
    served.join().unwrap();
}

#[test]
fn as_a_client_a_stream_cut_at_every_byte_is_the_same_stream() {
    let Some(mut turns) = Turns::new() else { return };
    let identity = Identity::new();
    let (address, served) = tls_peer(identity.server().config(), |stream| echo(stream, 3_000));
    let token = turns.dial(&to(trickle(address), &identity)).unwrap();
    assert_echo(&mut turns, token, own(&pattern(3_000)), 50);
    served.join().unwrap();
}

#[test]
fn as_a_server_a_stream_cut_at_every_byte_is_the_same_stream() {
    let Some(mut turns) = Turns::new() else { return };
    let identity = Identity::new();
    let (listener, address) = listen();
    let client = tls_client(trickle(address), identity.target("localhost"), |mut stream| {
        stream.write_all(b"small").unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        back
    });
    let token = accept_tls(&mut turns, &listener, &identity);
    assert!(turns.link(token).is_handshaking());
    assert_eq!(turns.recv_exact(token, 5), b"small");
    assert!(!turns.link(token).is_handshaking());
    turns.send(token, own(b"SMALL"));
    assert_eq!(turns.recv(token, room(8)).0.unwrap(), 0);
    assert!(turns.sent(token).1);
    turns.link(token).shutdown_write();
    assert_eq!(&client.join().unwrap(), b"SMALL");
    turns.close(token);
}

#[test]
fn a_client_that_is_not_read_from_is_held_back_and_loses_nothing() {
    const LENGTH: usize = 8 << 20;
    let Some(mut turns) = Turns::new() else { return };
    let identity = Identity::new();
    let (listener, address) = listen();
    let client = tls_client(address, identity.target("localhost"), |mut stream| {
        stream.write_all(&pattern(LENGTH)).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    });
    let token = accept_tls(&mut turns, &listener, &identity);
    assert_eq!(turns.recv_exact(token, 1), pattern(1));
    turns.until("the receive is stopped", |turns| turns.tally(token).stopped > 0);
    (0..20).for_each(|_| turns.turn());
    assert!(!client.is_finished(), "the client was not held back");
    assert!(turns.recv_all(token, 20_000).unwrap() == pattern(LENGTH)[1..], "the bytes differ");
    turns.link(token).shutdown_write();
    client.join().unwrap();
}

#[test]
fn tickets_leave_an_idle_connection_clean_and_resume_the_next() {
    let Some(mut turns) = Turns::new() else { return };
    let identity = Identity::new();
    let (server, target) = (identity.server(), identity.target("localhost"));
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let (proceed, told) = mpsc::channel::<()>();
        let (address, served) = tls_peer(server.config(), move |mut stream| {
            told.recv().unwrap();
            stream.write_all(b"2").unwrap();
            stream.conn.handshake_kind()
        });
        let token = turns.dial(&Target { address: address.into(), tls: Some(target.clone()) }).unwrap();
        // Not at once: the end of the handshake is still being sent.
        turns.until("the tickets are taken in", |turns| {
            turns.is_clean(token) && turns.tally(token).buffers > 1
        });
        (0..5).for_each(|_| turns.turn());
        assert!(turns.is_clean(token));
        proceed.send(()).unwrap();
        turns.until("surplus bytes are seen", |turns| !turns.is_clean(token));
        assert_eq!(served.join().unwrap(), Some(expected));
        turns.close(token);
    }
}

#[test]
fn an_idle_connection_holds_no_buffer_and_sees_its_end() {
    let check = |notify: bool| {
        let Some(mut turns) = Turns::new() else { return };
        let identity = Identity::new();
        let (proceed, told) = mpsc::channel::<()>();
        let (address, served) = tls_peer(identity.server().config(), move |mut stream| {
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
            told.recv().unwrap();
            if notify {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
            stream.sock.shutdown(Shutdown::Write).unwrap();
            stream
        });
        let token = turns.dial(&to(address, &identity)).unwrap();
        turns.send(token, own(b"four"));
        assert_eq!(turns.recv_exact(token, 4), b"four");
        assert!(turns.sent(token).1 && turns.is_clean(token));
        assert_eq!(turns.link(token).held_bytes(), 0);
        proceed.send(()).unwrap();
        turns.until("the end is seen", |turns| !turns.is_clean(token));
        drop(served.join().unwrap());
        turns.close(token);
    };
    check(true);
    check(false);
}

#[test]
fn an_end_without_close_notify_is_an_error() {
    let Some(mut turns) = Turns::new() else { return };
    let identity = Identity::new();
    let (address, served) = tls_peer(identity.server().config(), |mut stream| {
        stream.write_all(b"half an ans").unwrap();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        stream
    });
    let token = turns.dial(&to(address, &identity)).unwrap();
    assert_eq!(turns.recv_exact(token, 11), b"half an ans");
    for _ in 0..2 {
        assert_eq!(turns.recv(token, room(8)).0.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
    drop(served.join().unwrap());
}

#[test]
fn a_broken_record_comes_after_what_was_whole_and_the_peer_is_told() {
    let Some(mut turns) = Turns::new() else { return };
    let identity = Identity::new();
    let (address, served) = tls_peer(identity.server().config(), |mut stream| {
        stream.write_all(b"whole").unwrap();
        stream.sock.write_all(b"\x17\x03\x03\x00\x20 this was never encrypted by us. ").unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap_err()
    });
    let token = turns.dial(&to(address, &identity)).unwrap();
    assert_eq!(turns.recv_exact(token, 5), b"whole");
    assert_eq!(turns.recv(token, room(8)).0.unwrap_err().kind(), ErrorKind::InvalidData);
    // Whoever hears of it ends the connection at once: the alert must be out by then.
    turns.link(token).shutdown();
    let told = served.join().unwrap();
    assert!(told.to_string().contains("alert"), "{told}");
    assert_eq!(turns.recv(token, room(8)).0.unwrap_err().kind(), ErrorKind::InvalidData);
    // A parcel for a broken session comes back as failed.
    turns.send(token, own(b"!"));
    let (parcel, ok) = turns.sent(token);
    assert_eq!((parcel.own, ok), (b"!".to_vec(), false));
    turns.close(token);
}

#[test]
fn a_session_that_breaks_while_it_sends_gives_the_parcel_back() {
    let Some(mut turns) = Turns::new() else { return };
    let identity = Identity::new();
    let (address, served) = tls_peer(identity.server().config(), |mut stream| {
        // Reads nothing, so that the send is stuck; then breaks the session.
        stream.sock.write_all(b"\x17\x03\x03\x00\x20 this was never encrypted by us. ").unwrap();
        stream
    });
    let token = turns.dial(&to(address, &identity)).unwrap();
    turns.send(token, own(&pattern(64 << 20)));
    assert_eq!(turns.recv(token, room(8)).0.unwrap_err().kind(), ErrorKind::InvalidData);
    assert!(turns.link(token).is_sending());
    drop(served.join().unwrap());
    let (parcel, ok) = turns.sent(token);
    assert_eq!((parcel.total(), ok), (64 << 20, false));
    turns.close(token);
}

#[test]
fn shutdown_gives_a_stuck_parcel_back_and_is_not_a_proper_end() {
    let Some(mut turns) = Turns::new() else { return };
    let identity = Identity::new();
    let (proceed, told) = mpsc::channel::<()>();
    let (address, served) = tls_peer(identity.server().config(), move |mut stream| {
        told.recv().unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap_err().kind()
    });
    let token = turns.dial(&to(address, &identity)).unwrap();
    turns.send(token, own(&pattern(64 << 20)));
    (0..10).for_each(|_| turns.turn());
    turns.link(token).shutdown();
    let (parcel, ok) = turns.sent(token);
    assert_eq!((parcel.total(), ok), (64 << 20, false));
    proceed.send(()).unwrap();
    assert!(matches!(served.join().unwrap(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset));
    turns.close(token);
}

#[test]
fn shutdown_is_not_a_proper_end_and_shutdown_write_is() {
    let check = |end: fn(&mut Link), expected: Result<u64, ErrorKind>| {
        let Some(mut turns) = Turns::new() else { return };
        let identity = Identity::new();
        let (address, served) = tls_peer(identity.server().config(), |mut stream| {
            std::io::copy(&mut stream, &mut std::io::sink()).map_err(|error| error.kind())
        });
        let token = turns.dial(&to(address, &identity)).unwrap();
        turns.send(token, own(b"four"));
        assert!(turns.sent(token).1);
        end(turns.link(token));
        turns.until("the peer sees the end", |_| served.is_finished());
        assert_eq!(served.join().unwrap(), expected);
        turns.close(token);
    };
    check(|link| link.shutdown(), Err(ErrorKind::UnexpectedEof));
    check(Link::shutdown_write, Ok(4));
}

#[test]
fn a_proper_end_waits_for_what_the_session_still_sends() {
    let Some(mut turns) = Turns::new() else { return };
    let identity = Identity::new();
    let (listener, address) = listen();
    let client = tls_client(address, identity.target("localhost"), |mut stream| {
        // In one segment with the end of the handshake, which calls for the tickets.
        stream.conn.writer().write_all(b"?").unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).map_err(|error| error.kind())
    });
    let token = accept_tls(&mut turns, &listener, &identity);
    // The session tickets leave with the same wait that would have to bring their completion.
    assert_eq!(turns.recv_exact(token, 1), b"?");
    assert!(!turns.link(token).is_quiet());
    turns.link(token).shutdown_write();
    turns.until("the client sees the end", |_| client.is_finished());
    assert_eq!(client.join().unwrap(), Ok(0));
    turns.close(token);
}

#[test]
fn keys_may_be_updated_by_the_peer() {
    let Some(mut turns) = Turns::new() else { return };
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
    let token = turns.dial(&to(address, &identity)).unwrap();
    for round in 0..3u8 {
        assert_eq!(turns.recv_exact(token, 1), [round]);
        turns.send(token, own(&[round]));
        assert!(turns.sent(token).1);
    }
    turns.until("the peer is done", |_| served.is_finished());
    served.join().unwrap();
}

#[test]
fn what_is_not_the_right_server_is_a_tls_fault() {
    let (identity, stranger) = (Identity::new(), Identity::new());
    let check = |serve: fn(TcpStream)| {
        let Some(mut turns) = Turns::new() else { return };
        let (address, served) = peer(serve);
        assert_eq!(turns.dial(&to(address, &identity)).err(), Some(ConnectFault::Tls));
        // Closes the link.
        drop(turns);
        served.join().unwrap();
    };
    fn drain(mut stream: TcpStream) {
        let _reset_is_fine = std::io::copy(&mut stream, &mut std::io::sink());
    }
    check(|mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
        drain(stream);
    });
    // RUSTSEC-2024-0336.
    check(|mut stream| {
        stream.write_all(b"\x15\x03\x03\x00\x02\x01\x00\x15\x03\x03\x00\x02\x01\x00").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        drain(stream);
    });
    check(drop);
    check(|stream| stream.shutdown(Shutdown::Write).unwrap());

    let Some(mut turns) = Turns::new() else { return };
    let config = stranger.server().config();
    let (address, served) = peer(move |mut stream| {
        let mut server = rustls::ServerConnection::new(config).unwrap();
        while server.is_handshaking() {
            if let Err(error) = server.complete_io(&mut stream) {
                return error.to_string();
            }
        }
        "accepted".to_owned()
    });
    assert_eq!(turns.dial(&to(address, &identity)).err(), Some(ConnectFault::Tls));
    let told = served.join().unwrap();
    assert!(told.contains("DecryptError"), "the server was not told why: {told}");
}

#[test]
fn what_is_not_a_handshake_fails_and_is_told_why() {
    let check = |bytes: &'static [u8], answered: bool| {
        let Some(mut turns) = Turns::new() else { return };
        let (listener, address) = listen();
        let client = std::thread::spawn(move || {
            let mut stream = bounded(TcpStream::connect(address).unwrap());
            stream.write_all(bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut alert = Vec::new();
            let _reset_is_fine = stream.read_to_end(&mut alert);
            alert
        });
        let token = accept_tls(&mut turns, &listener, &Identity::new());
        assert!(turns.recv(token, room(8)).0.is_err());
        // Whoever hears of it ends the connection at once.
        turns.link(token).shutdown();
        turns.until("the client is done", |_| client.is_finished());
        let alert = client.join().unwrap();
        assert_eq!(alert.first().copied(), answered.then_some(0x15), "{bytes:?}: {alert:?}");
        turns.close(token);
    };
    check(b"", false);
    check(b"\x16\x03\x01", false);
    check(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", true);
    check(b"\x15\x03\x03\x00\x02\x01\x00", false);
    check(b"\x17\x03\x03\x00\x01\x00", true);
}

#[test]
fn shutdown_ends_a_handshake_that_gets_no_answer() {
    let Some(mut turns) = Turns::new() else { return };
    let (address, served) = peer(|mut stream| std::io::copy(&mut stream, &mut std::io::sink()).unwrap());
    let token = turns.start(&to(address, &Identity::new())).unwrap();
    turns.until("connect(2) ends", |turns| turns.is_polled(token));
    turns.with(token, |link, ring, _| link.connected(ring, token)).unwrap();
    let stand = |turns: &mut Turns| {
        turns.turn();
        turns.with(token, |link, ring, spares| link.handshake(ring, token, spares))
    };
    assert_eq!((0..5).map(|_| stand(&mut turns)).last(), Some(Handshake::Running));
    turns.link(token).shutdown();
    turns.until("the handshake fails", |turns| stand(turns) == Handshake::Failed);
    turns.until("the kernel lets go", |turns| turns.link(token).is_quiet());
    assert!(served.join().unwrap() > 100, "no hello was sent");
}
