//! Accepting, the mailbox, and that no descriptor is lost.
//!
//! Deliberately absent: bytes on connections (`plain`).

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::SockRef;

use super::*;
use crate::base::address::Peer;

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn inet(peer: Peer) -> SocketAddr {
    let Peer::Inet(address) = peer else { panic!("{peer} over TCP") };
    address
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A connection that is only a descriptor, and the peer that sees it end.
fn connection() -> (AcceptedFd, TcpStream) {
    let listener = TcpListener::bind(loopback()).unwrap();
    let far = bounded(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    (listener.accept().unwrap().0.into(), far)
}

fn has_ended(mut far: &TcpStream) -> bool {
    far.set_nonblocking(true).unwrap();
    matches!(std::io::Read::read(&mut far, &mut [0]), Ok(0))
}

#[test]
fn accepted_connections_are_ready_to_be_adopted() {
    on_each_driver(async || {
        let listener = Listener::bind(loopback(), true, 64).unwrap();
        let address = listener.local_addr().unwrap();
        // A second core may listen on the same address.
        drop(Listener::bind(address, true, 64).unwrap());
        let listener = Listener::new(listener).unwrap();
        let client = std::thread::spawn(move || {
            // More than one streak, so that accepting gives way in between.
            (0..100).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>()
        });
        let mut seen = Vec::new();
        for _ in 0..100 {
            let (fd, from) = listener.accept().await.unwrap();
            let fd = OwnedFd::from(fd);
            let handle = SockRef::from(&fd);
            assert!(is_close_on_exec(&fd) && handle.tcp_nodelay().unwrap());
            let socket = Socket::adopt(fd.into()).unwrap();
            assert_eq!(socket.peer(), from);
            seen.push(from);
        }
        let mut expected: Vec<_> = client.join().unwrap().iter().map(|s| s.local_addr().unwrap()).collect();
        let mut seen: Vec<SocketAddr> = seen.into_iter().map(inet).collect();
        seen.sort();
        expected.sort();
        assert_eq!(seen, expected);
    });
}

#[test]
fn a_shut_listener_ends_its_accept_and_a_dropped_accept_loses_nothing() {
    on_each_driver(async || {
        let listener = Rc::new(Listener::new(Listener::bind(loopback(), false, 8).unwrap()).unwrap());
        let address = SockRef::from(listener.descriptor()).local_addr().unwrap().as_socket().unwrap();
        // This accept waits and is dropped; the connection that comes then is still there.
        assert!(is_dropped_waiting(listener.accept()).await);
        let far = TcpStream::connect(address).unwrap();
        assert_eq!(listener.accept().await.unwrap().1, far.local_addr().unwrap().into());

        let waiting = monoio::spawn({
            let listener = Rc::clone(&listener);
            async move { listener.accept().await.map(|_| ()).unwrap_err() }
        });
        give_way().await;
        listener.shutdown();
        assert_eq!(waiting.await.kind(), ErrorKind::InvalidInput);
        assert!(TcpStream::connect(address).is_err());
    });
}

#[test]
fn accepting_without_descriptors_is_an_error_and_recovers() {
    if !is_alone("edges::accepting_without_descriptors_is_an_error_and_recovers") {
        return;
    }
    on_each_driver(async || {
        let listener = Listener::bind(loopback(), false, 8).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = Listener::new(listener).unwrap();
        let _far = TcpStream::connect(address).unwrap();
        let mut hoard: Vec<OwnedFd> = Vec::new();
        let error = loop {
            match listener.descriptor().borrow().try_clone_to_owned() {
                Ok(fd) => hoard.push(fd),
                Err(error) => break error,
            }
            assert!(hoard.len() < 100_000, "the limit of descriptors was not lowered");
        };
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        assert_eq!(listener.accept().await.map(|_| ()).unwrap_err().raw_os_error(), Some(libc::EMFILE));
        assert_eq!(dial_to(address, None).await.err(), Some(ConnectFault::NoDescriptors));
        drop(hoard);
        listener.accept().await.unwrap();
    });
}

#[test]
fn messages_arrive_in_order_from_any_thread() {
    on_each_driver(async || {
        let (post, half) = mailbox().unwrap();
        let mut inbox = Mailbox::open(half).unwrap();
        let (fd, far) = connection();
        let number = format!("{fd:?}");
        // A wait that is dropped loses nothing of what comes later.
        assert!(is_dropped_waiting(inbox.next()).await);
        let sender = std::thread::spawn(move || {
            let clone = post.clone();
            post.post(Message::Adopt(fd)).unwrap();
            clone.post(Message::Drain).unwrap();
            post.post(Message::Stop).unwrap();
        });
        let Message::Adopt(fd) = inbox.next().await.unwrap() else { panic!("not the first message") };
        assert_eq!(format!("{fd:?}"), number);
        assert!(matches!(inbox.next().await.unwrap(), Message::Drain));
        assert!(matches!(inbox.next().await.unwrap(), Message::Stop));
        assert_eq!(inbox.next().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        sender.join().unwrap();
        let socket = Socket::adopt(fd).unwrap();
        assert_eq!(socket.peer(), far.local_addr().unwrap().into());
    });
}

#[test]
fn a_full_or_closed_mailbox_gives_the_message_back() {
    on_each_driver(async || {
        let (post, half) = mailbox().unwrap();
        let mut inbox = Mailbox::open(half).unwrap();
        let mut accepted = 0;
        while post.post(Message::Drain).is_ok() {
            accepted += 1;
            assert!(accepted < 1_000_000, "the queue has no bound");
        }
        assert!(accepted > 64);
        let (fd, far) = connection();
        let Err(Message::Adopt(fd)) = post.post(Message::Adopt(fd)) else { panic!("not given back") };
        for _ in 0..accepted {
            assert!(matches!(inbox.next().await.unwrap(), Message::Drain));
        }
        post.post(Message::Stop).unwrap();
        assert!(matches!(inbox.next().await.unwrap(), Message::Stop));
        drop(inbox);
        let Err(Message::Adopt(fd)) = post.post(Message::Adopt(fd)) else { panic!("not given back") };
        assert!(!has_ended(&far));
        drop(fd);
        until("the peer sees the end", || has_ended(&far)).await;
    });
}

#[test]
fn what_nobody_adopts_is_closed() {
    on_each_driver(async || {
        for opened in [true, false] {
            let (post, half) = mailbox().unwrap();
            let (fars, half): (Vec<_>, _) = {
                let fars = (0..50).map(|_| {
                    let (fd, far) = connection();
                    post.post(Message::Adopt(fd)).unwrap();
                    far
                });
                (fars.collect(), half)
            };
            if opened {
                let mut inbox = Mailbox::open(half).unwrap();
                // One is taken, the rest of its batch and the rest of the queue are not.
                assert!(matches!(inbox.next().await.unwrap(), Message::Adopt(_)));
            } else {
                drop(half);
            }
            until("all peers see the end", || fars.iter().all(has_ended)).await;
        }
    });
}

#[test]
fn no_descriptor_is_lost() {
    if !is_alone("edges::no_descriptor_is_lost") {
        return;
    }
    let counted = open_descriptors();
    for _ in 0..3 {
        on_each_driver(async || {
            let inside = open_descriptors();
            for _ in 0..20 {
                one_of_everything().await;
            }
            until("every descriptor is closed", || open_descriptors() == inside).await;
        });
        assert_eq!(open_descriptors(), counted, "a driver was left behind");
    }
}

async fn one_of_everything() {
    let listener = Listener::bind(loopback(), true, 1).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Listener::new(listener).unwrap();
    let near = dial_to(address, None).await.unwrap();
    let far = Socket::adopt(listener.accept().await.unwrap().0).unwrap();
    // Receives that wait are ended by a shutdown and awaited.
    let waiting = monoio::spawn(recv(Rc::clone(&near), room(8)));
    send(near, own(b"bytes")).await.0.unwrap();
    assert_eq!(recv_exact(&far, 5).await, b"bytes");
    far.shutdown();
    waiting.await.0.unwrap();
    // A dropped accept, a refused and an aborted connect.
    assert!(is_dropped_waiting(listener.accept()).await);
    listener.shutdown();
    assert_eq!(dial_to(address, None).await.err(), Some(ConnectFault::Refused));
    let dial = Rc::new(Dial::new());
    let attempt = monoio::spawn(connect(Rc::clone(&dial), Target { address: address.into(), tls: None }));
    dial.abort();
    assert!(attempt.await.is_err());
    // A mailbox with something in it.
    let (post, half) = mailbox().unwrap();
    post.post(Message::Adopt(connection().0)).unwrap();
    drop(Mailbox::open(half).unwrap());
}
