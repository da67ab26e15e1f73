//! Real sockets on loopback against plain std peers in threads, on every driver this machine has. What counts
//! the descriptors of the process, or takes them away, runs in a process of its own.
//!
//! Deliberately absent: HTTP, and sleeping to make something happen.

mod dialing;
mod edges;
mod link;
mod link_tls;
mod plain;
mod ring;
mod silent;
mod tls_client;
mod tls_peers;
mod tls_server;
mod turns;
mod unix;

use std::future::Future;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use super::*;
use crate::base::address::Address;
use crate::base::span::Span;
use crate::wire::buf::Lent;
use crate::wire::parcel::{Parcel, Piece};

/// A scenario that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

fn drivers() -> Vec<Driver> {
    match probe(DriverChoice::Monoio) {
        Ok(driver) => vec![driver, Driver::Epoll],
        Err(reason) => {
            let _unprinted = writeln!(std::io::stderr(), "the ring is not tested: {reason}");
            vec![Driver::Epoll]
        }
    }
}

/// Runs a scenario on a fresh thread per driver and fails when it does not end.
#[track_caller]
fn on_each_driver<F, T>(scenario: F)
where
    F: FnOnce() -> T + Clone + Send + 'static,
    T: Future<Output = ()>,
{
    for driver in drivers() {
        let (scenario, (done, finished)) = (scenario.clone(), mpsc::channel());
        let thread = std::thread::spawn(move || {
            run_on_core(driver, 0, scenario).unwrap();
            done.send(()).unwrap();
        });
        if let Err(mpsc::RecvTimeoutError::Timeout) = finished.recv_timeout(PATIENCE) {
            panic!("{driver:?}: the scenario hangs");
        }
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Runs the test `name` again in a process of its own; true inside that process.
fn is_alone(name: &str) -> bool {
    const ALONE: &str = "MILLRACE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([&format!("io::tests::{name}"), "--exact", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = [child.stdout, child.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
    false
}

/// A std socket whose every call ends: the peer of the socket under test.
fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A peer thread behind a listener: accepts once, then runs `serve`.
fn peer<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (std::net::SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, std::thread::spawn(move || serve(bounded(listener.accept().unwrap().0))))
}

/// The socket under test and the other end of its connection.
fn pair() -> (Rc<Socket>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (Socket::adopt(near.into()).unwrap(), bounded(listener.accept().unwrap().0))
}

async fn dial_to(address: impl Into<Address>, tls: Option<TlsTarget>) -> Result<Rc<Socket>, ConnectFault> {
    connect(Rc::new(Dial::new()), Target { address: address.into(), tls }).await
}

fn room(bytes: usize) -> Lent {
    Lent { storage: vec![0; bytes], taken: 0, filled: 0 }
}

fn own(bytes: &[u8]) -> Parcel {
    Parcel { own: bytes.to_vec(), pieces: vec![Piece::Own(Span::new(0, bytes.len()))], ..Parcel::default() }
}

/// Bytes that differ from place to place, so that a lost or doubled stretch shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Receives until the proper end, `step` bytes of room at a time.
async fn recv_all(socket: &Rc<Socket>, step: usize) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut lent = room(step);
    loop {
        let (result, back) = recv(Rc::clone(socket), lent).await;
        lent = back;
        match result? {
            0 => return Ok(all),
            count => all.extend_from_slice(&lent.storage[..count]),
        }
    }
}

async fn recv_exact(socket: &Rc<Socket>, length: usize) -> Vec<u8> {
    let mut lent = room(length);
    while lent.filled < length {
        let (result, back) = recv(Rc::clone(socket), lent).await;
        lent = back;
        let count = result.unwrap();
        assert!(count > 0, "ended after {} of {length}", lent.filled);
        lent.filled += count;
    }
    lent.storage
}

/// Waits for a condition that another thread or the kernel brings about, letting the core work meanwhile.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        monoio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Lets a future start, gives it to the kernel, drops it, and says whether it was still waiting then.
async fn is_dropped_waiting<T>(future: impl Future<Output = T>) -> bool {
    let mut future = Box::pin(future);
    for _ in 0..2 {
        give_way().await;
        let poll = std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context)));
        if poll.await.is_ready() {
            return false;
        }
    }
    true
}

/// Whether a descriptor is closed by `exec`: the flag is in the octal `flags` line of its fdinfo.
fn is_close_on_exec(fd: &impl std::os::fd::AsFd) -> bool {
    let number = std::os::fd::AsRawFd::as_raw_fd(&fd.as_fd());
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    i32::from_str_radix(flags.trim(), 8).unwrap() & libc::O_CLOEXEC != 0
}
