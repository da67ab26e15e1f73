//! Opening connections in the clear, and ending attempts.
//!
//! Deliberately absent: handshakes (`tls_client`, `tls_server`).

use std::io::Read;
use std::net::SocketAddr;

use super::*;

/// A listener that drops every further SYN: its queue is full. What fills it is returned with it.
pub(super) fn blackhole() -> (TcpListener, Vec<socket2::Socket>) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), false, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    for _ in 0..8 {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM.nonblocking(), None).unwrap();
        let _in_progress = socket.connect(&address.into());
        queued.push(socket);
    }
    (listener, queued)
}

#[test]
fn a_connection_has_no_delay_and_carries_bytes() {
    on_each_driver(async || {
        let (address, served) = peer(|mut stream| {
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(b"pong").unwrap();
            bytes
        });
        let socket = dial_to(address, None).await.unwrap();
        assert_eq!(socket.peer(), address.into());
        let handle = socket2::SockRef::from(socket.descriptor());
        assert!(handle.tcp_nodelay().unwrap());
        assert!(is_close_on_exec(socket.descriptor()));
        assert_eq!(handle.nonblocking().unwrap(), monoio::utils::is_legacy());
        send(Rc::clone(&socket), own(b"ping")).await.0.unwrap();
        assert_eq!(recv_exact(&socket, 4).await, b"pong");
        assert_eq!(&served.join().unwrap(), b"ping");
    });
}

#[test]
fn a_closed_port_refuses_at_once() {
    on_each_driver(async || {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let started = Instant::now();
        assert_eq!(dial_to(address, None).await.err(), Some(ConnectFault::Refused));
        assert!(started.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn faults_are_told_apart() {
    let check = |code: i32, expected: ConnectFault| {
        assert_eq!(connect::fault(&std::io::Error::from_raw_os_error(code)), expected);
    };
    check(libc::ECONNREFUSED, ConnectFault::Refused);
    check(libc::EHOSTUNREACH, ConnectFault::Refused);
    check(libc::ETIMEDOUT, ConnectFault::Refused);
    check(libc::ENOENT, ConnectFault::Refused);
    check(libc::EMFILE, ConnectFault::NoDescriptors);
    check(libc::EADDRNOTAVAIL, ConnectFault::NoDescriptors);
    check(libc::EIO, ConnectFault::Other);
}

#[test]
fn an_address_nobody_can_reach_is_a_fault_not_a_wait() {
    on_each_driver(async || {
        let address: SocketAddr = "255.255.255.255:9".parse().unwrap();
        assert!(dial_to(address, None).await.is_err());
    });
}

#[test]
fn abort_ends_a_connect_that_gets_no_answer() {
    on_each_driver(async || {
        let (listener, _queued) = blackhole();
        let address = listener.local_addr().unwrap();
        let dial = Rc::new(Dial::new());
        let attempt = monoio::spawn(connect(Rc::clone(&dial), Target { address: address.into(), tls: None }));
        monoio::time::sleep(Duration::from_millis(30)).await;
        assert!(!attempt.is_finished(), "the queue of the listener is not full");
        let started = Instant::now();
        dial.abort();
        assert_eq!(attempt.await.err(), Some(ConnectFault::Aborted));
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    });
}

#[test]
fn abort_before_the_start_opens_nothing() {
    on_each_driver(async || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let dial = Rc::new(Dial::new());
        dial.abort();
        assert!(dial.is_aborted());
        let target = Target { address: listener.local_addr().unwrap().into(), tls: None };
        assert_eq!(connect(dial, target).await.err(), Some(ConnectFault::Aborted));
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    });
}

#[test]
fn abort_after_the_end_leaves_the_connection_alone() {
    on_each_driver(async || {
        let (address, served) = peer(|mut stream| stream.write_all(b"still here").unwrap());
        let dial = Rc::new(Dial::new());
        let socket = connect(Rc::clone(&dial), Target { address: address.into(), tls: None }).await.unwrap();
        dial.abort();
        assert_eq!(recv_exact(&socket, 10).await, b"still here");
        served.join().unwrap();
    });
}
