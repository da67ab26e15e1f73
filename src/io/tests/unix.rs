//! Unix sockets: files that are replaced and files that are not, connecting, and one listener for several
//! cores.
//!
//! Deliberately absent: bytes on connections beyond that they arrive (`plain`); the descriptors are alike.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use socket2::SockRef;

use super::*;
use crate::base::address::{Peer, UnixName};
use crate::io::unix::bind;

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("millrace-unix-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> PathBuf {
        self.0.join("m.sock")
    }

    fn name(&self) -> UnixName {
        UnixName::parse(self.path().to_str().unwrap()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A name that no other test and no other process has.
fn abstract_name() -> UnixName {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    UnixName::parse(&format!("@millrace-test-{}-{number}", std::process::id())).unwrap()
}

fn address(name: &UnixName) -> Address {
    Address::Unix(name.clone())
}

/// Puts something at a path; what must live on while it stays there is returned.
type Setup = fn(&Path) -> Option<Box<dyn std::any::Any>>;

fn check_bind(what: &str, setup: Setup, expected: Result<(), ErrorKind>) {
    let folder = Folder::new();
    let path = folder.path();
    let guard = setup(&path);
    let before = fs::symlink_metadata(&path).ok().map(|found| found.ino());
    let bound = bind(&folder.name(), 0o600, 8);
    assert_eq!(bound.as_ref().map(|_| ()).map_err(std::io::Error::kind), expected, "{what}");
    match bound {
        Ok((listener, Some(file))) => {
            UnixStream::connect(&path).unwrap();
            drop((listener, file));
            assert!(!path.exists(), "{what}: the file is removed at the end");
        }
        Ok((_, None)) => panic!("{what}: a path has a file"),
        Err(error) => {
            let after = fs::symlink_metadata(&path).ok().map(|found| found.ino());
            assert_eq!(before, after, "{what}: {error}");
        }
    }
    drop(guard);
}

#[test]
fn a_socket_that_nobody_listens_on_is_replaced() {
    let check = |what, setup: Setup| check_bind(what, setup, Ok(()));
    check("nothing", |_| None);
    check("a stale socket", |path| {
        drop(UnixListener::bind(path).unwrap());
        None
    });
    check("a stale datagram socket", |path| {
        drop(UnixDatagram::bind(path).unwrap());
        None
    });
    check("a socket that is shut and still open", |path| {
        let listener = UnixListener::bind(path).unwrap();
        SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
        Some(Box::new(listener))
    });
}

#[test]
fn a_socket_in_use_and_what_is_no_socket_stay() {
    let check = |what, kind, setup: Setup| check_bind(what, setup, Err(kind));
    check("a listener", ErrorKind::AddrInUse, |path| Some(Box::new(UnixListener::bind(path).unwrap())));
    check("a datagram socket", ErrorKind::AddrInUse, |path| {
        Some(Box::new(UnixDatagram::bind(path).unwrap()))
    });
    check("a listener whose queue is full", ErrorKind::AddrInUse, |path| Some(Box::new(full(path))));
    check("a file", ErrorKind::AlreadyExists, |path| {
        fs::write(path, "text").unwrap();
        None
    });
    check("a folder", ErrorKind::AlreadyExists, |path| {
        fs::create_dir(path).unwrap();
        None
    });
    check("a link to nothing", ErrorKind::AlreadyExists, |path| {
        symlink("nowhere", path).unwrap();
        None
    });
    check("a link to a stale socket", ErrorKind::AlreadyExists, |path| {
        let target = path.with_extension("target");
        drop(UnixListener::bind(&target).unwrap());
        symlink(target, path).unwrap();
        None
    });
}

/// A crashed process' ring may hold its socket a little longer than the process lives.
#[test]
fn a_socket_that_is_let_go_of_soon_is_waited_for() {
    let folder = Folder::new();
    for name in [folder.name(), abstract_name()] {
        let (predecessor, file) = bind(&name, 0o600, 8).unwrap();
        let (started, begin) = mpsc::channel();
        let ends = std::thread::spawn(move || {
            begin.recv().unwrap();
            std::thread::sleep(Duration::from_millis(50));
            drop(predecessor);
        });
        started.send(()).unwrap();
        bind(&name, 0o600, 8).unwrap();
        ends.join().unwrap();
        drop(file);
    }
}

/// A listener that takes no further connection, with what fills its queue.
fn full(path: &Path) -> (UnixListener, Vec<socket2::Socket>) {
    let listener = UnixListener::bind(path).unwrap();
    SockRef::from(&listener).listen(0).unwrap();
    let mut queued = Vec::new();
    loop {
        let kind = socket2::Type::STREAM.nonblocking();
        let socket = socket2::Socket::new(socket2::Domain::UNIX, kind, None).unwrap();
        let connected = socket.connect(&socket2::SockAddr::unix(path).unwrap());
        queued.push(socket);
        match connected {
            Ok(()) => assert!(queued.len() < 100, "the queue has no end"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return (listener, queued);
            }
        }
    }
}

#[test]
fn a_folder_that_is_not_there_is_said_as_it_is() {
    let folder = Folder::new();
    let name = UnixName::parse(folder.0.join("deep/m.sock").to_str().unwrap()).unwrap();
    assert_eq!(bind(&name, 0o600, 8).map(|_| ()).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn the_file_has_the_mode_that_was_asked_for() {
    for mode in [0o600, 0o660, 0o777] {
        let folder = Folder::new();
        let _bound = bind(&folder.name(), mode, 8).unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o7777, mode);
    }
}

#[test]
fn a_file_that_is_another_ones_by_now_stays() {
    let folder = Folder::new();
    let (first, file) = bind(&folder.name(), 0o600, 8).unwrap();
    drop(first);
    // The first one drains; a second process starts at the same path.
    let (second, later) = bind(&folder.name(), 0o600, 8).unwrap();
    drop(file);
    UnixStream::connect(folder.path()).unwrap();
    drop((second, later));
    assert!(!folder.path().exists());
    // One that is gone already is no trouble either.
    let (_listener, file) = bind(&folder.name(), 0o600, 8).unwrap();
    fs::remove_file(folder.path()).unwrap();
    drop(file);
}

#[test]
fn abstract_names_have_no_file_and_one_owner() {
    let name = abstract_name();
    let (listener, file) = bind(&name, 0o600, 8).unwrap();
    assert!(file.is_none());
    let error = bind(&name, 0o600, 8).map(|_| ()).unwrap_err();
    assert!(error.kind() == ErrorKind::AddrInUse && error.to_string().contains("listens there"), "{error}");
    drop(listener);
    bind(&name, 0o600, 8).unwrap();
}

#[test]
fn connections_carry_bytes_and_no_address() {
    on_each_driver(async || {
        let folder = Folder::new();
        for name in [folder.name(), abstract_name()] {
            let (listener, _file) = bind(&name, 0o600, 8).unwrap();
            let listener = Listener::new(listener).unwrap();
            let near = dial_to(address(&name), None).await.unwrap();
            let (fd, peer) = listener.accept().await.unwrap();
            assert!(fd.is_unix());
            let far = Socket::adopt(fd).unwrap();
            assert_eq!((peer, near.peer(), far.peer()), (Peer::Unix, Peer::Unix, Peer::Unix));
            assert!(near.is_clean() && far.is_clean());
            let bytes = pattern(1 << 20);
            let sending = monoio::spawn(send(Rc::clone(&near), own(&bytes)));
            assert_eq!(recv_exact(&far, bytes.len()).await, bytes);
            sending.await.0.unwrap();
            send(Rc::clone(&far), own(b"pong")).await.0.unwrap();
            assert_eq!(recv_exact(&near, 4).await, b"pong");
            near.shutdown_write();
            assert_eq!(recv_all(&far, 16).await.unwrap(), b"");
            assert!(!far.is_clean());
        }
    });
}

#[test]
fn ends_are_seen_and_end_what_runs() {
    on_each_driver(async || {
        for abort in [false, true] {
            let name = abstract_name();
            let (listener, _file) = bind(&name, 0o600, 8).unwrap();
            let listener = Listener::new(listener).unwrap();
            let near = dial_to(address(&name), None).await.unwrap();
            let far = Socket::adopt(listener.accept().await.unwrap().0).unwrap();
            // More than the kernel holds, so that the send waits; and a receive that waits.
            let sending = monoio::spawn(send(Rc::clone(&near), own(&pattern(4 << 20))));
            let receiving = monoio::spawn(recv(Rc::clone(&near), room(16)));
            give_way().await;
            if abort {
                near.abort()
            } else {
                near.shutdown()
            }
            assert!(sending.await.0.is_err());
            assert!(!matches!(receiving.await.0, Ok(1..)));
            assert!(recv_all(&far, 1 << 16).await.is_ok_and(|bytes| bytes.len() < 4 << 20));
        }
    });
}

#[test]
fn who_is_not_there_refuses_at_once() {
    on_each_driver(async || {
        let folder = Folder::new();
        let mut names = vec![folder.name(), abstract_name()];
        drop(UnixListener::bind(folder.0.join("stale")).unwrap());
        fs::write(folder.0.join("file"), "").unwrap();
        for path in ["stale", "file", "file/below", "deep/m.sock"] {
            names.push(UnixName::parse(folder.0.join(path).to_str().unwrap()).unwrap());
        }
        for name in names {
            let started = Instant::now();
            assert_eq!(dial_to(address(&name), None).await.err(), Some(ConnectFault::Refused), "{name}");
            assert!(started.elapsed() < Duration::from_secs(1));
        }
    });
}

#[test]
fn a_full_queue_is_waited_for_until_the_dial_is_aborted() {
    on_each_driver(async || {
        let folder = Folder::new();
        let (listener, queued) = full(&folder.path());
        let attempt = |dial: &Rc<Dial>| {
            let target = Target { address: address(&folder.name()), tls: None };
            monoio::spawn(connect(Rc::clone(dial), target))
        };
        let (first, second) = (Rc::new(Dial::new()), Rc::new(Dial::new()));
        let (aborted, patient) = (attempt(&first), attempt(&second));
        monoio::time::sleep(Duration::from_millis(20)).await;
        assert!(!aborted.is_finished() && !patient.is_finished());
        first.abort();
        assert_eq!(aborted.await.err(), Some(ConnectFault::Aborted));
        // Room for all that fill the queue, and then for ours.
        let accepting = std::thread::spawn(move || {
            // One of them did not fit; the last one accepted is ours instead.
            let accepted: Vec<_> = queued.iter().map(|_| listener.accept().unwrap().0).collect();
            let mut ours = accepted.last().unwrap();
            ours.write_all(b"hello").unwrap();
        });
        let socket = patient.await.unwrap();
        assert_eq!(recv_all(&socket, 16).await.unwrap(), b"hello");
        accepting.join().unwrap();
    });
}

#[test]
fn a_shut_listener_ends_every_accept_and_lets_nobody_in() {
    on_each_driver(async || {
        let folder = Folder::new();
        let (socket, _file) = bind(&folder.name(), 0o600, 8).unwrap();
        let listeners: Vec<Rc<Listener>> =
            [socket.try_clone().unwrap(), socket].map(|fd| Rc::new(Listener::new(fd).unwrap())).into();
        // A dropped accept loses nothing here either.
        assert!(is_dropped_waiting(listeners[0].accept()).await);
        let far = UnixStream::connect(folder.path()).unwrap();
        assert_eq!(listeners[1].accept().await.unwrap().1, Peer::Unix);
        drop(far);
        let waiting: Vec<_> = listeners
            .iter()
            .map(|listener| {
                let listener = Rc::clone(listener);
                monoio::spawn(async move { listener.accept().await.map(|_| ()).unwrap_err() })
            })
            .collect();
        give_way().await;
        listeners[0].shutdown();
        for waiting in waiting {
            assert_eq!(waiting.await.kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(UnixStream::connect(folder.path()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn what_nobody_accepted_ends_with_the_last_descriptor() {
    on_each_driver(async || {
        let folder = Folder::new();
        let (socket, _file) = bind(&folder.name(), 0o600, 8).unwrap();
        let listener = Listener::new(socket).unwrap();
        let far = UnixStream::connect(folder.path()).unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        listener.shutdown();
        drop(listener);
        let ended = std::thread::spawn(move || (&far).read(&mut [0]));
        until("the waiting client sees the end", || ended.is_finished()).await;
        let ended = ended.join().unwrap();
        assert!(
            matches!(&ended, Ok(0)) || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
        );
    });
}
