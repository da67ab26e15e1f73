//! Sends of which the kernel says nothing: those it takes at once end no wait, and those it does not speak up
//! and are continued, or fail, like any other.
//!
//! Deliberately absent: which sends are silent (`worker` chooses).

use std::io::Read;

use socket2::SockRef;

use super::turns::*;
use super::*;
use crate::base::time::Moment;

/// Bytes of one short send.
const SHORT: usize = 3000;

#[test]
fn what_is_taken_at_once_ends_no_wait_and_is_told_with_the_next_thing() {
    let Some(mut turns) = Turns::new() else { return };
    let mut links: Vec<_> = (0..5).map(|_| turns.pair()).collect();
    for round in 1..4 {
        for (token, _) in &links {
            turns.send_silently(*token, own(&pattern(SHORT)));
        }
        let alarm = clock::now() + Duration::from_millis(30);
        turns.ring.wake_by(alarm);
        turns.ring.wait().unwrap();
        assert!(clock::now() >= alarm, "a silent send ended the wait");
        turns.turn();
        assert_eq!(turns.silent, links.len() * round);
        for (token, far) in &mut links {
            let (parcel, ok) = turns.take_sent(*token).expect("told with the alarm");
            assert!(ok && parcel.own == pattern(SHORT) && turns.take_sent(*token).is_none());
            assert!(!turns.link(*token).is_sending());
            let mut all = vec![0; SHORT];
            far.read_exact(&mut all).unwrap();
            assert_eq!(all, pattern(SHORT));
        }
    }
    links.iter().for_each(|(token, _)| turns.close(*token));
}

#[test]
fn a_silent_send_that_finds_no_room_speaks_up_and_is_continued() {
    let Some(mut turns) = Turns::new() else { return };
    let (token, mut far) = turns.pair();
    // The smallest send buffer the kernel allows: some send finds room for a part, and some for nothing.
    SockRef::from(&*turns.link(token)).set_send_buffer_size(1).unwrap();
    let (mut sent, mut stuck) = (0, false);
    while !stuck {
        turns.send_silently(token, own(&pattern(SHORT)));
        sent += 1;
        let (before, until) = (turns.silent, clock::now() + Duration::from_millis(20));
        while turns.silent == before && clock::now() < until {
            turns.turn();
        }
        stuck = turns.take_sent(token).is_none();
    }
    assert!(sent > 1 && turns.link(token).is_sending());
    let reader = std::thread::spawn(move || {
        let mut all = vec![0; sent * SHORT];
        far.read_exact(&mut all).unwrap();
        (all, far)
    });
    let silent = turns.silent;
    let (parcel, ok) = turns.sent(token);
    assert!(ok && parcel.own == pattern(SHORT));
    assert_eq!(turns.silent, silent, "what waited is not silent");
    let (all, mut far) = reader.join().unwrap();
    assert!(all == pattern(SHORT).repeat(sent), "the bytes differ");
    // One that is far too long for any buffer, taken in part at once.
    let reader = std::thread::spawn(move || {
        let mut all = vec![0; 8 << 20];
        far.read_exact(&mut all).unwrap();
        all
    });
    turns.send_silently(token, own(&pattern(8 << 20)));
    let (parcel, ok) = turns.sent(token);
    assert!(ok && parcel.own.len() == 8 << 20);
    assert!(reader.join().unwrap() == pattern(8 << 20), "the bytes differ");
    turns.close(token);
}

#[test]
fn a_silent_send_that_fails_ends_the_wait() {
    let Some(mut turns) = Turns::new() else { return };
    let (token, far) = turns.pair();
    drop(far);
    turns.link(token).shutdown();
    turns.send_silently(token, own(b"to nobody"));
    let started = clock::now();
    turns.ring.wake_by(started + PATIENCE);
    let mut told = None;
    while told.is_none() {
        assert!(clock::now() < started + PATIENCE / 2, "nobody said that it failed");
        turns.turn();
        told = turns.take_sent(token);
    }
    assert!(told.is_some_and(|(parcel, ok)| !ok && parcel.own == b"to nobody"));
    assert_eq!(turns.silent, 0);
    turns.close(token);
}

#[test]
fn short_pieces_are_joined_and_long_ones_are_not_silent() {
    let Some(mut turns) = Turns::new() else { return };
    let (token, mut far) = turns.pair();
    for (bytes, silent) in [(100, true), (30_000, false)] {
        let span = Span::new(0, bytes);
        let parcel = Parcel { pieces: vec![Piece::Own(span); 2], ..own(&pattern(bytes)) };
        let before = turns.silent;
        turns.send_silently(token, parcel);
        let mut all = vec![0; 2 * bytes];
        turns.turn();
        far.read_exact(&mut all).unwrap();
        assert!(all == pattern(bytes).repeat(2));
        let (parcel, ok) = turns.sent(token);
        assert_eq!((ok, parcel.own.len()), (true, bytes), "the joined bytes are gone again");
        assert_eq!(turns.silent > before, silent, "{bytes}");
    }
    turns.ring.wake_by(Moment::NEVER);
    turns.close(token);
}
