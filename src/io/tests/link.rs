//! Links in the clear, on our own ring.
//!
//! Deliberately absent: TLS (`link_tls`).

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, SocketAddr};

use socket2::SockRef;

use super::plain::mixed;
use super::turns::*;
use super::*;
use crate::base::limits::{INBOX_IDLE_BYTES, WINDOW_FIRST_BYTES};

fn to(address: SocketAddr) -> Target {
    Target { address: address.into(), tls: None }
}

#[test]
fn an_empty_buffer_is_swapped_for_the_filled_one() {
    let Some(mut turns) = Turns::new() else { return };
    let (token, mut far) = turns.pair();
    let kept = turns.spares.kept();
    for size in [INBOX_IDLE_BYTES, WINDOW_FIRST_BYTES] {
        far.write_all(b"swapped").unwrap();
        let lent = room(size);
        let before = lent.storage.as_ptr();
        let (result, lent) = turns.recv(token, lent);
        assert_eq!((result.unwrap(), lent.taken, lent.filled), (7, 0, 0));
        assert_eq!((&lent.storage[..7], lent.storage.len()), (&b"swapped"[..], WINDOW_FIRST_BYTES));
        assert_ne!(lent.storage.as_ptr(), before, "the bytes were copied");
    }
    // What was swapped out serves again: the inbox as it is, the window behind the ring's back.
    assert_eq!(turns.spares.kept(), (kept.0 + 1, kept.1 + 1));
}

#[test]
fn bytes_go_behind_what_is_held() {
    let Some(mut turns) = Turns::new() else { return };
    let (token, mut far) = turns.pair();
    far.write_all(b"world, and more").unwrap();
    let lent = Lent { storage: b"hello .....".to_vec(), taken: 2, filled: 6 };
    let (result, lent) = turns.recv(token, lent);
    assert_eq!((result.unwrap(), lent.taken, lent.filled), (5, 2, 6));
    assert_eq!(lent.storage, b"hello world");
    // What is left of a buffer is copied too: a swap would bring what was taken already.
    let (result, lent) = turns.recv(token, room(WINDOW_FIRST_BYTES));
    assert_eq!((result.unwrap(), &lent.storage[..10]), (10, &b", and more"[..]));
    drop(far);
    assert_eq!(turns.recv(token, lent).0.unwrap(), 0);
    // The end is lasting.
    assert_eq!(turns.recv(token, room(1)).0.unwrap(), 0);
}

#[test]
fn several_waiting_buffers_fill_one_large_one() {
    let Some(mut turns) = Turns::new() else { return };
    let (token, mut far) = turns.pair();
    far.set_nodelay(true).unwrap();
    let bytes = pattern(6 * 50);
    for (index, segment) in bytes.chunks(50).enumerate() {
        far.write_all(segment).unwrap();
        turns.until("the segment is in", |turns| turns.tally(token).buffers == index + 1);
    }
    let (result, lent) = turns.recv(token, room(WINDOW_FIRST_BYTES * 2));
    assert_eq!((result.unwrap(), &lent.storage[..300]), (300, &bytes[..]));
    // All six went back to the spares.
    assert!(turns.spares.kept().0 >= 6);
    assert!(turns.is_clean(token));
}

#[test]
fn a_stream_cut_at_every_byte_is_the_same_stream() {
    let Some(mut turns) = Turns::new() else { return };
    let bytes = pattern(400);
    for step in [1, 3, 64, 1000] {
        let (token, mut far) = turns.pair();
        far.set_nodelay(true).unwrap();
        let sent = bytes.clone();
        let writer =
            std::thread::spawn(move || sent.iter().for_each(|&byte| far.write_all(&[byte]).unwrap()));
        assert_eq!(turns.recv_all(token, step).unwrap(), bytes);
        writer.join().unwrap();
        turns.close(token);
    }
}

#[test]
fn every_shape_of_parcel_arrives_whole_and_comes_back_unchanged() {
    let check = |size: usize, repeat: usize| {
        let Some(mut turns) = Turns::new() else { return };
        let (token, mut far) = turns.pair();
        let (parcel, expected) = mixed(size, repeat);
        let before = (parcel.own.clone(), parcel.pieces.clone(), parcel.window.storage.clone());
        // The smallest send buffer the kernel allows: every large send is continued many times over.
        SockRef::from(&*turns.link(token)).set_send_buffer_size(1).unwrap();
        let length = expected.len();
        let reader = std::thread::spawn(move || {
            let mut all = vec![0; length];
            far.read_exact(&mut all).unwrap();
            (all, far)
        });
        assert!(!turns.link(token).is_sending());
        turns.send(token, parcel);
        assert!(turns.link(token).is_sending());
        let (parcel, ok) = turns.sent(token);
        assert!(ok && !turns.link(token).is_sending());
        assert_eq!((parcel.own, parcel.pieces, parcel.window.storage), before);
        assert_eq!(parcel.shared.map(|shared| Rc::strong_count(&shared)), Some(1));
        let (all, _far) = reader.join().unwrap();
        assert!(all == expected, "{size} × {repeat}: the bytes differ");
    };
    check(2, 1);
    check(100, 3);
    check(40_000, 1);
    check(9_000, 40);
    // More pieces than one gathered send takes.
    check(16, 2_000);
}

#[test]
fn nothing_to_send_sends_nothing() {
    let Some(mut turns) = Turns::new() else { return };
    let (token, mut far) = turns.pair();
    let empty = Parcel { pieces: vec![Piece::Own(Span::new(0, 0))], ..Parcel::default() };
    for parcel in [Parcel::default(), empty] {
        turns.send(token, parcel);
        assert!(turns.sent(token).1);
    }
    turns.link(token).shutdown_write();
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_joined_send_allocates_only_the_first_time() {
    let Some(mut turns) = Turns::new() else { return };
    let (token, mut far) = turns.pair();
    let (mut parcel, expected) = mixed(64, 2);
    let mut capacity = 0;
    for round in 0..20 {
        turns.send(token, parcel);
        let (back, ok) = turns.sent(token);
        assert!(ok);
        parcel = back;
        let mut all = vec![0; expected.len()];
        far.read_exact(&mut all).unwrap();
        assert_eq!(all, expected);
        assert!(round == 0 || parcel.own.capacity() == capacity, "round {round}");
        capacity = parcel.own.capacity();
    }
}

#[test]
fn a_receive_and_a_send_run_side_by_side() {
    const LENGTH: usize = 4 << 20;
    let Some(mut turns) = Turns::new() else { return };
    let (address, echo) = peer(|mut stream| {
        let mut reading = stream.try_clone().unwrap();
        std::io::copy(&mut reading, &mut stream).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    let token = turns.dial(&to(address)).unwrap();
    turns.send(token, own(&pattern(LENGTH)));
    assert!(turns.recv_exact(token, LENGTH) == pattern(LENGTH));
    assert!(turns.sent(token).1);
    turns.link(token).shutdown_write();
    assert_eq!(turns.recv(token, room(1)).0.unwrap(), 0);
    echo.join().unwrap();
}

/// Writes as much as the kernel takes now.
fn stuff(far: &mut TcpStream, bytes: &[u8], written: &mut usize) {
    while let Ok(count) = far.write(&bytes[*written..]) {
        *written += count;
    }
}

#[test]
fn who_is_not_read_from_is_held_back_and_loses_nothing() {
    const LENGTH: usize = 32 << 20;
    /// As many as the ring offers at once, on top of those that may wait.
    const BURST: usize = 256 + 8;
    let Some(mut turns) = Turns::new() else { return };
    let (token, mut far) = turns.pair();
    SockRef::from(&*turns.link(token)).set_recv_buffer_size(64 * 1024).unwrap();
    let bytes = pattern(LENGTH);
    far.set_nonblocking(true).unwrap();
    let mut written = 0;
    turns.until("the receive is stopped", |turns| {
        stuff(&mut far, &bytes, &mut written);
        turns.tally(token).stopped > 0
    });
    // From now on nothing more comes in, and what the kernel takes is its own buffers.
    let held = turns.tally(token);
    for _ in 0..50 {
        stuff(&mut far, &bytes, &mut written);
        turns.turn();
    }
    assert_eq!(turns.tally(token), held);
    assert!((8..=BURST).contains(&held.buffers), "{held:?}");
    assert!(written < LENGTH / 2, "the peer was not held back: {written}");
    // A slow reader: what waits from now on is bounded by a few buffers, not by the offered ones.
    let mut all = Vec::new();
    while all.len() < LENGTH / 4 {
        let (result, lent) = turns.recv(token, room(WINDOW_FIRST_BYTES));
        all.extend_from_slice(&lent.storage[..result.unwrap()]);
        stuff(&mut far, &bytes, &mut written);
        turns.turn();
        let waiting = turns.link(token).held_bytes() / WINDOW_FIRST_BYTES;
        assert!(waiting <= held.buffers, "{waiting} buffers wait");
        assert!(all.len() < BURST * WINDOW_FIRST_BYTES || waiting <= 8, "{waiting} buffers wait");
    }
    far.set_nonblocking(false).unwrap();
    let rest = bytes[written..].to_vec();
    let writer = std::thread::spawn(move || far.write_all(&rest).unwrap());
    all.extend(turns.recv_all(token, 30_000).unwrap());
    assert!(all == bytes, "the bytes differ");
    writer.join().unwrap();
}

#[test]
fn a_stopped_receive_still_ends() {
    let Some(mut turns) = Turns::new() else { return };
    for reset in [false, true] {
        let (token, mut far) = turns.pair();
        far.write_all(&pattern(WINDOW_FIRST_BYTES * 40)).unwrap();
        turns.until("the receive is stopped", |turns| turns.tally(token).stopped > 0);
        assert!(turns.link(token).is_quiet(), "a stopped receive is in the kernel");
        if reset {
            SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(far);
        match turns.recv_all(token, WINDOW_FIRST_BYTES) {
            Ok(all) => assert!(!reset && all == pattern(WINDOW_FIRST_BYTES * 40)),
            Err(error) => assert!(reset && error.kind() == ErrorKind::ConnectionReset, "{error}"),
        }
        turns.close(token);
    }
}

#[test]
fn shutdown_ends_a_receive_and_a_stuck_send() {
    let Some(mut turns) = Turns::new() else { return };
    let (token, far) = turns.pair();
    turns.send(token, own(&pattern(64 << 20)));
    far.set_nonblocking(true).unwrap();
    turns.until("the first bytes arrive", |_| far.peek(&mut [0]).is_ok());
    assert!(!turns.link(token).is_quiet());
    turns.link(token).shutdown();
    let (parcel, ok) = turns.sent(token);
    assert!(!ok);
    assert_eq!(parcel.total(), 64 << 20);
    assert_eq!(turns.recv(token, room(16)).0.unwrap(), 0);
    assert!(turns.link(token).is_quiet());
    turns.link(token).shutdown();
    // Sending on is an error and no signal.
    turns.send(token, own(b"!"));
    assert!(!turns.sent(token).1);
}

#[test]
fn abort_is_seen_as_a_reset_and_ends_what_runs() {
    let Some(mut turns) = Turns::new() else { return };
    let (token, mut far) = turns.pair();
    turns.send(token, own(&pattern(64 << 20)));
    far.set_nonblocking(true).unwrap();
    turns.until("the first bytes arrive", |_| far.peek(&mut [0]).is_ok());
    turns.link(token).abort();
    assert!(!turns.sent(token).1);
    // Whether the send or the receive hears of the reset first is the kernel's choice.
    let _ended_either_way = turns.recv(token, room(16));
    assert!(turns.link(token).is_quiet());
    far.set_nonblocking(false).unwrap();
    let error = std::io::copy(&mut far, &mut std::io::sink()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    turns.link(token).abort();
    turns.close(token);
}

#[test]
fn each_side_may_end_before_the_other() {
    let Some(mut turns) = Turns::new() else { return };
    let (token, mut far) = turns.pair();
    turns.link(token).shutdown_write();
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
    far.write_all(b"still listening?").unwrap();
    assert_eq!(turns.recv_exact(token, 16), b"still listening?");
    drop(far);
    assert_eq!(turns.recv(token, room(1)).0.unwrap(), 0);

    let (token, mut far) = turns.pair();
    far.write_all(b"last words").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    assert_eq!(turns.recv_all(token, 4).unwrap(), b"last words");
    turns.send(token, own(b"heard"));
    assert!(turns.sent(token).1);
    turns.close(token);
    let mut all = Vec::new();
    far.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"heard");
}

#[test]
fn only_an_idle_connection_is_clean() {
    let Some(mut turns) = Turns::new() else { return };
    let (token, mut far) = turns.pair();
    assert!(turns.is_clean(token) && !turns.link(token).has_news());
    far.write_all(b"!").unwrap();
    turns.until("surplus bytes are seen", |turns| !turns.is_clean(token));
    assert!(turns.link(token).has_news());
    assert_eq!(turns.recv_exact(token, 1), b"!");
    assert!(turns.is_clean(token));
    turns.send(token, own(b"?"));
    assert!(!turns.is_clean(token), "a send is running");
    assert!(turns.sent(token).1 && turns.is_clean(token));
    far.shutdown(Shutdown::Write).unwrap();
    turns.until("the end is seen", |turns| !turns.is_clean(token));

    let (token, far) = turns.pair();
    SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
    drop(far);
    turns.until("the reset is seen", |turns| !turns.is_clean(token));
    assert_eq!(turns.recv(token, room(1)).0.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn what_nobody_reads_goes_back_to_the_spares() {
    let Some(mut turns) = Turns::new() else { return };
    let (token, mut far) = turns.pair();
    far.write_all(b"for nobody").unwrap();
    turns.until("it is in", |turns| turns.tally(token).buffers > 0);
    let kept = turns.spares.kept().0;
    turns.with(token, |link, _, spares| link.forget(spares));
    assert_eq!(turns.spares.kept().0, kept + 1);
    assert!(turns.is_clean(token));
}

#[test]
fn a_dial_succeeds_is_refused_or_ends_when_it_is_shut_down() {
    let Some(mut turns) = Turns::new() else { return };
    let (address, served) = peer(|mut stream| {
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(b"pong").unwrap();
        bytes
    });
    let token = turns.dial(&to(address)).unwrap();
    let handle = SockRef::from(&*turns.link(token));
    assert!(handle.tcp_nodelay().unwrap() && !handle.nonblocking().unwrap());
    assert!(is_close_on_exec(turns.link(token)));
    assert!(turns.is_clean(token));
    turns.send(token, own(b"ping"));
    assert_eq!(turns.recv_exact(token, 4), b"pong");
    assert!(turns.sent(token).1);
    assert_eq!(&served.join().unwrap(), b"ping");

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(turns.dial(&to(closed)).err(), Some(ConnectFault::Refused));
    assert!(turns.dial(&to("255.255.255.255:9".parse().unwrap())).is_err());

    let (listener, _queued) = dialing::blackhole();
    let token = turns.start(&to(listener.local_addr().unwrap())).unwrap();
    for _ in 0..10 {
        turns.turn();
    }
    assert!(!turns.is_polled(token), "the queue of the listener is not full");
    assert!(!turns.link(token).is_quiet());
    let started = Instant::now();
    turns.link(token).shutdown();
    turns.until("the wait for the connection ends", |turns| turns.is_polled(token));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(turns.link(token).is_quiet());
}

#[test]
fn no_descriptor_is_lost() {
    if !is_alone("link::no_descriptor_is_lost") {
        return;
    }
    let open_descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let Some(mut turns) = Turns::new() else { return };
    let counted = open_descriptors();
    for round in 0..50 {
        let (token, mut far) = turns.pair();
        turns.send(token, own(b"bytes"));
        assert!(turns.sent(token).1);
        far.read_exact(&mut [0; 5]).unwrap();
        match round % 3 {
            0 => turns.link(token).abort(),
            1 => drop(far),
            _ => far.write_all(b"never read").unwrap(),
        }
        turns.close(token);
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        if let Ok(token) = turns.start(&to(closed)) {
            turns.close(token);
        }
    }
    assert_eq!(open_descriptors(), counted);
    drop(turns);
    assert!(open_descriptors() < counted, "the ring was left behind");
}

#[test]
fn a_long_body_comes_straight_and_what_follows_comes_as_usual() {
    const LENGTH: usize = 1 << 20;
    let Some(mut turns) = Turns::new() else { return };
    let (token, mut far) = turns.pair();
    let sender = std::thread::spawn(move || {
        far.write_all(&pattern(LENGTH + 100)).unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        far
    });
    let (mut lent, mut straight) = (room(LENGTH), 0);
    while lent.filled < LENGTH {
        let (result, mut back, came_straight) = turns.recv_long(token, lent);
        let count = result.unwrap();
        straight += if came_straight { count } else { 0 };
        back.filled += count;
        lent = back;
    }
    assert!(lent.storage == pattern(LENGTH + 100)[..LENGTH], "lost, doubled or out of order");
    assert!(straight > LENGTH / 2, "only {straight} bytes came straight");
    let mut rest = Vec::new();
    while rest.len() < 100 {
        let (result, lent, came_straight) = turns.recv_long(token, room(64));
        assert!(!came_straight, "a small buffer is filled from the ring's");
        rest.extend_from_slice(&lent.storage[..result.unwrap()]);
    }
    assert_eq!(rest, pattern(LENGTH + 100)[LENGTH..]);
    let (result, ..) = turns.recv_long(token, room(1 << 20));
    assert_eq!(result.unwrap(), 0, "the end is seen");
    drop(sender.join().unwrap());
}

#[test]
fn a_straight_receive_that_waits_is_ended_by_a_shutdown_and_by_a_reset() {
    for reset in [false, true] {
        let Some(mut turns) = Turns::new() else { return };
        let (token, far) = turns.pair();
        let mut asked = Some(room(1 << 20));
        turns.until("the kernel has the buffer", |turns| {
            asked = asked
                .take()
                .and_then(|lent| turns.with(token, |link, ring, _| link.receive_into(ring, token, lent)));
            asked.is_none()
        });
        if reset {
            SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
            drop(far);
        } else {
            turns.link(token).shutdown();
        }
        let mut filled = None;
        turns.until("the buffer comes back", |turns| {
            filled = turns.link(token).take_filled();
            filled.is_some()
        });
        let (lent, got) = filled.unwrap();
        assert_eq!((lent.storage.len(), got.is_err()), (1 << 20, reset));
        assert!(turns.link(token).is_quiet());
    }
}
