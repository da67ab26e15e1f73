//! One worker turned by hand: when numbers are free again, what is told after a release, and what a panic
//! leaves behind.
//!
//! Deliberately absent: requests (`tests/it` has whole processes).

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::*;
use crate::base::ids::PoolId;
use crate::base::limits::{Deadlines, Limits};
use crate::base::metrics::Counters;
use crate::base::span::Span;
use crate::io::{Driver, DriverChoice, mailbox, probe};
use crate::policy::auto::Auto;
use crate::policy::catalog::{AuthMode, Snapshot, WaitingComment};
use crate::policy::health::board::Board;
use crate::policy::hedge::Terms;
use crate::wire::buf::Lent;
use crate::wire::parcel::{Parcel, Piece};
use crate::worker::Shared;
use crate::worker::line::{Ops, PoolTerms};

/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);

fn snapshot() -> Snapshot {
    Snapshot {
        rows: crate::policy::rows::Rows::default(),
        hosts: Vec::new(),
        providers: Vec::new(),
        provider_ids: HashMap::default(),
        endpoints: Vec::new(),
        models: Vec::new(),
        model_ids: HashMap::default(),
        keys: Vec::new(),
        key_digests: HashMap::default(),
        auth: AuthMode::Open,
        control: None,
        limits: Limits::default(),
        deadlines: Deadlines::default(),
        waiting: WaitingComment { text: "waiting".into(), delay: None },
        ambiguous_failover: true,
        auto: Auto::default(),
        hedging: Terms::default(),
        ledger: crate::policy::catalog::LedgerTerms::default(),
    }
}

/// A worker that has not begun to wait; `None` where the kernel has no such ring.
fn worker() -> Option<Turn> {
    if let Err(reason) = probe(DriverChoice::Uring) {
        let _unprinted = writeln!(io::stderr(), "our own ring is not tested: {reason}");
        return None;
    }
    let (post, half) = mailbox().unwrap();
    let shared = Shared {
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot())),
        upstream_tls: Arc::new(ArcSwap::from_pointee(Vec::new())),
        client_tls: None,
        counters: vec![Arc::new(Counters::default())],
        health: Arc::new(Board::new(1)),
        sticky: None,
        posts: vec![post],
    };
    let options = Options {
        index: 0,
        cpu: 0,
        driver: Driver::Uring,
        listeners: vec![TcpListener::bind("127.0.0.1:0").unwrap().into()],
        mailbox: half,
        seed: [1, 2, 3],
        journal: None,
        shared: Arc::new(shared),
    };
    Some(Turn::new(options).unwrap())
}

fn pair() -> (AcceptedFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let far = listener.accept().unwrap().0;
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    (near.into(), far)
}

/// A connection under a number of its own, its receive armed.
fn open(turn: &mut Turn, owner: Owner) -> (u32, TcpStream) {
    let (near, far) = pair();
    let token = turn.links.reserve();
    turn.links.open(token, Link::accepted(near.into(), None).unwrap(), owner);
    turn.links.entry(token).link.arm(&mut turn.ring, token);
    (token, far)
}

/// A served client, in its seat.
fn client(turn: &mut Turn) -> (u32, TcpStream) {
    let (near, far) = pair();
    let before = turn.seats.iter().filter(|seat| seat.is_some()).count();
    turn.open(near);
    let taken: Vec<u32> = (0..).zip(&turn.seats).filter(|(_, seat)| seat.is_some()).map(|(n, _)| n).collect();
    assert_eq!(taken.len(), before + 1);
    (*taken.last().unwrap(), far)
}

/// Gives a seat an origin.
fn origin(turn: &mut Turn, seat: u32, lane: Lane) -> (u32, TcpStream) {
    let (token, far) = open(turn, Owner::Origin(seat, lane));
    turn.seats[seat as usize].as_mut().unwrap().wires.origin(lane).origin = Some(token);
    (token, far)
}

/// Waits and takes in what is done, telling nobody, until the condition holds.
#[track_caller]
fn reap_until(turn: &mut Turn, mut condition: impl FnMut(&mut Turn) -> bool) {
    let started = Instant::now();
    while !condition(turn) {
        assert!(started.elapsed() < PATIENCE, "never");
        turn.ring.wake_by(clock::now() + Duration::from_millis(2));
        turn.ring.wait().unwrap();
        turn.reap();
    }
}

/// Lets a seat's operations be used directly.
fn with<T>(turn: &mut Turn, seat: u32, work: impl FnOnce(&mut RingOps<'_>) -> T) -> T {
    let mut result = None;
    turn.work(seat, |_, ops| result = Some(work(ops)));
    result.expect("the seat is taken")
}

fn parcel(bytes: &[u8]) -> Parcel {
    Parcel { own: bytes.to_vec(), pieces: vec![Piece::Own(Span::new(0, bytes.len()))], ..Parcel::default() }
}

fn is_free(turn: &mut Turn, token: u32) -> bool {
    turn.links.find(token).is_none()
}

#[test]
fn a_number_is_free_only_when_the_kernel_holds_nothing() {
    let Some(mut turn) = worker() else { return };
    let (token, mut far) = open(&mut turn, Owner::Idle(PoolId(0)));
    turn.links.part(token, false);
    turn.tell_news();
    assert!(!is_free(&mut turn, token), "the receive is armed");
    let (other, _far) = open(&mut turn, Owner::Idle(PoolId(0)));
    assert_ne!(other, token);
    reap_until(&mut turn, |turn| is_free(turn, token));
    assert_eq!(far.read(&mut [0]).unwrap(), 0, "the socket was not closed");
    assert_eq!(turn.links.reserve(), token);
}

#[test]
fn a_number_is_not_free_while_news_name_it() {
    let Some(mut turn) = worker() else { return };
    let (token, _far) = open(&mut turn, Owner::Idle(PoolId(0)));
    turn.links.announce(token);
    turn.links.part(token, false);
    // The end comes, and with it the last that the kernel held.
    reap_until(&mut turn, |turn| turn.links.entry(token).link.is_quiet());
    assert!(!is_free(&mut turn, token), "the news would be taken for the next connection's");
    turn.tell_news();
    assert!(is_free(&mut turn, token));
    assert_eq!(turn.links.news(), None);
}

#[test]
fn what_is_quiet_is_freed_without_the_kernel() {
    let Some(mut turn) = worker() else { return };
    let (token, far) = open(&mut turn, Owner::Idle(PoolId(0)));
    turn.pool.put(PoolId(0), token, turn.now + PATIENCE, 1, |_| ());
    drop(far);
    // An idle connection that ends leaves its pool in the same turn.
    reap_until(&mut turn, |turn| turn.links.entry(token).owner == Owner::Nobody);
    assert_eq!(turn.pool.take(PoolId(0), turn.now, |_| ()), None);
    turn.tell_news();
    assert!(is_free(&mut turn, token));
}

#[test]
fn bytes_that_came_before_they_were_asked_for_do_not_wait_for_the_kernel() {
    for lane in Lane::BOTH {
        let Some(mut turn) = worker() else { return };
        let (seat, _client) = client(&mut turn);
        let (token, mut far) = origin(&mut turn, seat, lane);
        far.write_all(b"early").unwrap();
        reap_until(&mut turn, |turn| turn.links.entry(token).link.has_news());
        turn.tell_news();
        assert!(turn.links.entry(token).link.has_news(), "nobody has asked");
        // As a step does that a deadline or a message has caused, after the news of the turn.
        with(&mut turn, seat, |ops| {
            ops.origin_recv(lane, Lent { storage: vec![0; 64], taken: 0, filled: 0 })
        });
        turn.settle();
        assert!(!turn.links.entry(token).link.has_news());
        assert_eq!(turn.links.news(), None);
    }
}

#[test]
fn a_send_that_runs_is_told_after_the_release() {
    for lane in Lane::BOTH {
        let Some(mut turn) = worker() else { return };
        let (seat, _client) = client(&mut turn);
        let (token, _far) = origin(&mut turn, seat, lane);
        with(&mut turn, seat, |ops| ops.origin_send(lane, parcel(&[7; 64 << 20])));
        reap_until(&mut turn, |turn| turn.links.entry(token).link.is_sending());
        let now = turn.now;
        let told = with(&mut turn, seat, |ops| ops.release(lane, None, now));
        assert!(told.is_none());
        assert_eq!(turn.links.entry(token).owner, Owner::Parting(seat, lane));
        reap_until(&mut turn, |turn| !turn.sent.is_empty());
        assert!(!turn.sent[0].ok);
        turn.tell_sent();
        assert_eq!(turn.seats[seat as usize].as_mut().unwrap().wires.origin(lane).parting, None);
        turn.tell_news();
        reap_until(&mut turn, |turn| is_free(turn, token));
    }
}

#[test]
fn a_send_that_is_over_but_not_told_is_told_after_the_release() {
    for lane in Lane::BOTH {
        let Some(mut turn) = worker() else { return };
        let (seat, _client) = client(&mut turn);
        let (token, _far) = origin(&mut turn, seat, lane);
        with(&mut turn, seat, |ops| ops.origin_send(lane, parcel(b"request")));
        reap_until(&mut turn, |turn| !turn.sent_before.is_empty());
        // Something else of this turn makes the exchange part from the origin before it hears of the send.
        let now = turn.now;
        with(&mut turn, seat, |ops| ops.release(lane, None, now));
        assert_eq!(turn.links.entry(token).owner, Owner::Parting(seat, lane), "nobody would be told");
        turn.tell_sent_before();
        assert_eq!(turn.seats[seat as usize].as_mut().unwrap().wires.origin(lane).parting, None);
        assert_eq!(turn.links.entry(token).owner, Owner::Nobody);
        turn.tell_news();
        reap_until(&mut turn, |turn| is_free(turn, token));
    }
}

#[test]
fn the_end_of_a_send_midway_is_waited_for_only_when_more_is_here_already() {
    let Some(mut turn) = worker() else { return };
    for (midway, more) in [(true, false), (true, true), (false, false)] {
        let (seat, _client) = client(&mut turn);
        let (token, mut far) = origin(&mut turn, seat, Lane::First);
        if more {
            far.write_all(b"more").unwrap();
            reap_until(&mut turn, |turn| turn.links.entry(token).link.has_news());
        }
        with(&mut turn, seat, |ops| ops.client_send(parcel(b"event"), midway));
        reap_until(&mut turn, |turn| turn.sent.len() + turn.sent_before.len() > 0);
        let told_before = midway && !more;
        assert_eq!((turn.sent_before.len(), turn.sent.len()), (told_before.into(), (!told_before).into()));
        turn.sent.clear();
        turn.sent_before.clear();
    }
}

#[test]
fn a_clean_connection_is_kept_and_a_spoilt_one_is_not() {
    for lane in Lane::BOTH {
        let Some(mut turn) = worker() else { return };
        let (seat, _client) = client(&mut turn);
        let (pool, now) = (PoolId(3), turn.now);
        let terms = Some(PoolTerms { pool, idle: PATIENCE, most: 4 });
        let (token, _far) = origin(&mut turn, seat, lane);
        with(&mut turn, seat, |ops| ops.release(lane, terms, now));
        assert_eq!(turn.links.entry(token).owner, Owner::Idle(pool));
        assert!(with(&mut turn, seat, |ops| ops.reuse(lane, pool, now)));
        assert_eq!(turn.links.entry(token).owner, Owner::Origin(seat, lane));
        with(&mut turn, seat, |ops| ops.release(lane, None, now));

        let (token, mut far) = origin(&mut turn, seat, lane);
        far.write_all(b"surplus").unwrap();
        reap_until(&mut turn, |turn| turn.links.entry(token).link.has_news());
        with(&mut turn, seat, |ops| ops.release(lane, terms, now));
        assert_eq!(turn.links.entry(token).owner, Owner::Nobody);
        assert!(!with(&mut turn, seat, |ops| ops.reuse(lane, pool, now)));
    }
}

#[test]
fn a_panic_ends_one_connection_and_frees_what_it_held() {
    let Some(mut turn) = worker() else { return };
    let (seat, mut gone) = client(&mut turn);
    let (other, mut kept) = client(&mut turn);
    let origins = Lane::BOTH.map(|lane| origin(&mut turn, seat, lane));
    turn.work(seat, |line, _| {
        let _state = line.core.state.borrow_mut();
        let _newest = line.core.snapshot.borrow_mut();
        panic!("on purpose");
    });
    assert_eq!(turn.core.counters().value(Counter::Panics), 1);
    assert!(turn.core.state.try_borrow_mut().is_ok() && turn.core.snapshot.try_borrow_mut().is_ok());
    assert!(turn.seats[seat as usize].is_none());
    assert_eq!((turn.vacant.clone(), turn.core.bells.borrow().len()), (vec![seat], 1));
    turn.tell_news();
    assert_eq!(gone.read(&mut [0]).unwrap(), 0);
    for (token, mut far) in origins {
        reap_until(&mut turn, |turn| is_free(turn, token));
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    }
    // The next one takes the seat; what still names the old one does not reach it.
    turn.step(seat, Input::Deadline);
    let (again, _far) = client(&mut turn);
    assert!(again == other.max(seat) && turn.seats[seat as usize].is_some());
    // The other connection is served on: this is no request, and it is told so.
    kept.write_all(b"nonsense\r\n\r\n").unwrap();
    reap_until(&mut turn, |turn| {
        turn.tell_sent();
        turn.tell_news();
        turn.core.counters().value(Counter::RequestsRefused) > 0
    });
    reap_until(&mut turn, |turn| !turn.sent.is_empty());
    let mut answer = [0; 12];
    kept.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}
