//! The relay on real sockets: nothing is lost, doubled or reordered, ends are passed on, slow readers hold.
//!
//! Deliberately absent: speed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::relay::Relay;

/// How long any single read or write of a test may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A relay on a thread of its own, ended when this is dropped.
struct Running {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut relay = Relay::new(listener, target).expect("io_uring of Linux 6.1 or newer");
            let look = Some(Duration::from_millis(5));
            relay.run(look, || stopped.load(Ordering::Relaxed)).unwrap();
        });
        Self { address, stop, thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "the relay panicked");
    }
}

/// A target that reads each of `connections` to its end, then answers with all it got and closes.
fn echo_at_end(connections: usize) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let answers: Vec<JoinHandle<()>> = (0..connections)
            .map(|_| {
                let (mut stream, _) = listener.accept().unwrap();
                thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let mut all = Vec::new();
                    stream.read_to_end(&mut all).unwrap();
                    stream.write_all(&all).unwrap();
                })
            })
            .collect();
        answers.into_iter().for_each(|answer| answer.join().unwrap());
    });
    (address, thread)
}

/// Bytes in which every position can be told from its neighbours.
fn pattern(length: usize, salt: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * 31 + at / 251 + salt * 7) % 256) as u8).collect()
}

#[test]
fn bytes_and_ends_pass_both_ways() {
    if crate::floor::ring_is_absent() {
        return;
    }
    let sizes = [0, 1, 1500, 16 * 1024, 16 * 1024 + 1, 3_000_000];
    let (target, origin) = echo_at_end(sizes.len());
    let relay = Running::start(target);
    for (salt, size) in sizes.into_iter().enumerate() {
        let mut client = relay.connect();
        let sent = pattern(size, salt);
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert!(answer == sent, "{size} bytes came back as {}", answer.len());
    }
    origin.join().unwrap();
}

#[test]
fn many_pairs_do_not_mix() {
    if crate::floor::ring_is_absent() {
        return;
    }
    const PAIRS: usize = 40;
    let (target, origin) = echo_at_end(PAIRS);
    let relay = Running::start(target);
    let mut clients: Vec<TcpStream> = (0..PAIRS).map(|_| relay.connect()).collect();
    // More than the buffers of the ring hold at once, from all of them at the same time.
    let writers: Vec<JoinHandle<()>> = (0..PAIRS)
        .map(|salt| {
            let mut client = clients[salt].try_clone().unwrap();
            thread::spawn(move || {
                client.write_all(&pattern(400_000, salt)).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            })
        })
        .collect();
    for (salt, client) in clients.iter_mut().enumerate() {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert!(answer == pattern(400_000, salt), "pair {salt}: {} bytes", answer.len());
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    origin.join().unwrap();
}

#[test]
fn a_reader_that_waits_stops_its_sender_and_loses_nothing() {
    if crate::floor::ring_is_absent() {
        return;
    }
    const TOTAL: usize = 64 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = Running::start(listener.local_addr().unwrap());
    let mut client = relay.connect();
    let (mut origin, _) = listener.accept().unwrap();
    // Nobody reads, so the writes end at a full window: kernel buffers and the few of the relay.
    origin.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let sent = pattern(TOTAL, 1);
    let mut held = 0;
    while let Ok(count) = origin.write(&sent[held..]) {
        held += count;
        assert!(held < TOTAL, "the relay took everything though nobody read");
    }
    let rest = sent[held..held + 100_000].to_vec();
    let writer = thread::spawn(move || {
        origin.set_write_timeout(Some(PATIENCE)).unwrap();
        origin.write_all(&rest).unwrap();
    });
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    writer.join().unwrap();
    assert!(answer == sent[..held + 100_000], "{} of {} bytes", answer.len(), held + 100_000);
}

#[test]
fn a_target_that_refuses_closes_the_client_alone() {
    if crate::floor::ring_is_absent() {
        return;
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let relay = Running::start(closed);
    for _ in 0..3 {
        assert_eq!(relay.connect().read(&mut [0; 8]).unwrap_or(0), 0);
    }
}
