//! Receiving and sending in the clear.
//!
//! Deliberately absent: opening the connection (`dialing`).

use std::io::{ErrorKind, Read};

use socket2::SockRef;

use super::*;

/// A parcel of three owners; `repeat` times their pieces.
pub(super) fn mixed(size: usize, repeat: usize) -> (Parcel, Vec<u8>) {
    let (own, window, shared) = (pattern(size), pattern(size * 2), pattern(size * 3));
    let mut expected = Vec::new();
    let mut pieces = Vec::new();
    for round in 0..repeat {
        let cut = round % (size / 2);
        pieces.extend([
            Piece::Own(Span::new(cut, size)),
            Piece::Window(Span::new(size, size)),
            Piece::Window(Span::new(0, size * 2 - cut)),
            Piece::Shared(Span::new(cut, size * 3)),
        ]);
        expected.extend_from_slice(&own[cut..]);
        expected.extend_from_slice(&window[..size * 2 - cut]);
        expected.extend_from_slice(&shared[cut..]);
    }
    let window = Lent { storage: window, taken: 0, filled: size * 2 };
    (Parcel { own, window, shared: Some(Rc::new(shared)), pieces }, expected)
}

#[test]
fn received_bytes_go_behind_what_is_held() {
    on_each_driver(async || {
        let (socket, mut far) = pair();
        assert!(!socket.is_tls());
        assert_eq!(socket.peer(), far.local_addr().unwrap().into());
        far.write_all(b"world").unwrap();
        let lent = Lent { storage: b"hello .........".to_vec(), taken: 2, filled: 6 };
        let (result, lent) = recv(Rc::clone(&socket), lent).await;
        assert_eq!((result.unwrap(), lent.taken, lent.filled), (5, 2, 6));
        assert_eq!(lent.storage, b"hello world....");
        drop(far);
        let (result, _) = recv(socket, lent).await;
        assert_eq!(result.unwrap(), 0);
    });
}

#[test]
fn every_shape_of_parcel_arrives_whole_and_comes_back_unchanged() {
    let check = |size: usize, repeat: usize| {
        on_each_driver(move || async move {
            let (socket, mut far) = pair();
            let (parcel, expected) = mixed(size, repeat);
            let before = (parcel.own.clone(), parcel.pieces.clone(), parcel.window.storage.clone());
            // The smallest send buffer the kernel allows: every large send is partial many times over.
            SockRef::from(socket.descriptor()).set_send_buffer_size(1).unwrap();
            let length = expected.len();
            let reader = std::thread::spawn(move || {
                let mut all = vec![0; length];
                far.read_exact(&mut all).unwrap();
                (all, far)
            });
            let (result, parcel) = send(Rc::clone(&socket), parcel).await;
            result.unwrap();
            assert_eq!((parcel.own, parcel.pieces, parcel.window.storage), before);
            let (all, _far) = reader.join().unwrap();
            assert!(all == expected, "{size} × {repeat}: the bytes differ");
        });
    };
    check(2, 1);
    check(100, 3);
    check(40_000, 1);
    check(9_000, 40);
    check(16, 2_000);
}

#[test]
fn nothing_to_send_sends_nothing() {
    on_each_driver(async || {
        let (socket, mut far) = pair();
        let empty = Parcel { pieces: vec![Piece::Own(Span::new(0, 0))], ..Parcel::default() };
        send(Rc::clone(&socket), Parcel::default()).await.0.unwrap();
        send(Rc::clone(&socket), empty).await.0.unwrap();
        socket.shutdown_write();
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_joined_send_allocates_only_the_first_time() {
    on_each_driver(async || {
        let (socket, mut far) = pair();
        let (mut parcel, expected) = mixed(64, 2);
        let mut capacity = 0;
        for round in 0..20 {
            let (result, back) = send(Rc::clone(&socket), parcel).await;
            result.unwrap();
            parcel = back;
            let mut all = vec![0; expected.len()];
            far.read_exact(&mut all).unwrap();
            assert_eq!(all, expected);
            assert!(round == 0 || parcel.own.capacity() == capacity, "round {round}");
            capacity = parcel.own.capacity();
        }
    });
}

#[test]
fn a_receive_and_a_send_run_side_by_side() {
    on_each_driver(async || {
        const LENGTH: usize = 4 << 20;
        let (address, echo) = peer(|mut stream| {
            let mut reading = stream.try_clone().unwrap();
            std::io::copy(&mut reading, &mut stream).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let socket = dial_to(address, None).await.unwrap();
        let sender = monoio::spawn({
            let socket = Rc::clone(&socket);
            async move {
                let parcel = own(&pattern(LENGTH));
                send(Rc::clone(&socket), parcel).await.0.unwrap();
                socket.shutdown_write();
            }
        });
        let all = recv_all(&socket, 10_000).await.unwrap();
        sender.await;
        assert!(all == pattern(LENGTH));
        echo.join().unwrap();
    });
}

#[test]
fn shutdown_ends_a_waiting_receive_and_a_stuck_send() {
    on_each_driver(async || {
        let (socket, far) = pair();
        let receiving = monoio::spawn(recv(Rc::clone(&socket), room(16)));
        let sending = monoio::spawn(send(Rc::clone(&socket), own(&pattern(64 << 20))));
        // The peer reads nothing, so once its window is full the send is stuck.
        far.set_nonblocking(true).unwrap();
        until("the first bytes arrive", || far.peek(&mut [0]).is_ok()).await;
        socket.shutdown();
        let (received, lent) = receiving.await;
        assert_eq!((received.unwrap(), lent.storage.len()), (0, 16));
        let (sent, parcel) = sending.await;
        assert!(matches!(sent.unwrap_err().kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
        assert_eq!(parcel.total(), 64 << 20);
        socket.shutdown();
    });
}

#[test]
fn abort_is_seen_as_a_reset_and_ends_what_runs() {
    on_each_driver(async || {
        let (socket, mut far) = pair();
        let receiving = monoio::spawn(recv(Rc::clone(&socket), room(16)));
        let sending = monoio::spawn(send(Rc::clone(&socket), own(&pattern(64 << 20))));
        far.set_nonblocking(true).unwrap();
        until("the first bytes arrive", || far.peek(&mut [0]).is_ok()).await;
        socket.abort();
        assert!(receiving.await.0.is_err(), "a reset looked like an end");
        assert!(sending.await.0.is_err());
        far.set_nonblocking(false).unwrap();
        let error = std::io::copy(&mut far, &mut std::io::sink()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        socket.abort();
    });
}

#[test]
fn only_an_idle_connection_is_clean() {
    on_each_driver(async || {
        let (socket, mut far) = pair();
        assert!(socket.is_clean());
        far.write_all(b"!").unwrap();
        until("surplus bytes are seen", || !socket.is_clean()).await;
        assert_eq!(recv_exact(&socket, 1).await, b"!");
        assert!(socket.is_clean());
        far.shutdown(std::net::Shutdown::Write).unwrap();
        until("the end is seen", || !socket.is_clean()).await;

        let (socket, far) = pair();
        SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        until("the reset is seen", || !socket.is_clean()).await;
    });
}

#[test]
fn a_reset_is_not_an_end() {
    on_each_driver(async || {
        let (socket, mut far) = pair();
        socket.reset_on_close();
        drop(socket);
        // The close may be a ring operation, which goes out with the next wait.
        let reading = std::thread::spawn(move || far.read(&mut [0]).unwrap_err().kind());
        until("the peer is told", || reading.is_finished()).await;
        assert_eq!(reading.join().unwrap(), ErrorKind::ConnectionReset);
    });
}
