//! Accepting connections and reading the core's mail on monoio; placing each connection on the core with
//! room, on any driver.
//!
//! The kernel spreads connections over the cores by a hash, which is uneven when they are few and long-lived.
//! A core that is clearly above the least loaded one hands a fresh connection over: a descriptor is only a
//! number.
//! A unix socket is one for all cores: each that waits is woken, and the first one gets the connection.
//! Deliberately absent: serving a connection (`connection`).

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bell::Notice;
use super::{Core, connection};
use crate::base::metrics::Counter;
use crate::io::{AcceptedFd, Listener, Mailbox, Message, Socket};

/// How long accepting pauses when there are no descriptors or no room.
pub(super) const PAUSE: Duration = Duration::from_millis(20);
/// After `Stop`, connections have this long to send their last bytes.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// Accepts until the listener is shut down.
pub(super) async fn accept(core: Rc<Core>, listener: Rc<Listener>) {
    while !core.draining.get() {
        if core.bells.borrow().len() >= core.snapshot().limits.connections_per_core {
            monoio::time::sleep(PAUSE).await;
            continue;
        }
        match listener.accept().await {
            Ok((fd, _)) => place(&core, fd).into_iter().for_each(|fd| serve(&core, fd)),
            Err(_) if core.draining.get() => return,
            // Out of descriptors: the connection waits in the kernel's queue.
            Err(_) => monoio::time::sleep(PAUSE).await,
        }
    }
}

/// Gives a fresh connection back to be served here, or hands it to a core that is clearly less loaded.
pub(super) fn place(core: &Core, fd: AcceptedFd) -> Option<AcceptedFd> {
    core.counters().add(Counter::ConnectionsAccepted, 1);
    let here = core.bells.borrow().len() as u64;
    let counters = core.shared.counters.iter();
    let least =
        counters.enumerate().map(|(index, row)| (row.connections.load(Ordering::Relaxed), index)).min();
    if let Some((there, index)) = least
        && index != core.index
        && here > there + 1 + there / 8
    {
        return match core.shared.posts[index].post(Message::Adopt(fd)) {
            Ok(()) => {
                core.counters().add(Counter::ConnectionsHandedOver, 1);
                None
            }
            Err(Message::Adopt(back)) => Some(back),
            Err(Message::Drain | Message::Stop | Message::Synced) => None,
        };
    }
    Some(fd)
}

/// Starts the task of a connection. TLS is for TCP: what comes over a unix socket never leaves the machine.
fn serve(core: &Rc<Core>, fd: AcceptedFd) {
    if let Some(tls) = core.shared.client_tls.as_ref().filter(|_| !fd.is_unix()) {
        monoio::spawn(connection::serve_tls(Rc::clone(core), fd, tls.config()));
    } else if let Ok(socket) = Socket::adopt(fd) {
        monoio::spawn(connection::serve(Rc::clone(core), socket));
    } else {
        // The client was gone again before it could be served.
        core.counters().add(Counter::ConnectionsClosed, 1);
    }
}

/// Reads what other threads have to say.
pub(super) async fn read_mail(core: Rc<Core>, mut mailbox: Mailbox, mut listeners: Vec<Rc<Listener>>) {
    loop {
        match mailbox.next().await {
            Ok(Message::Adopt(fd)) => serve(&core, fd),
            Ok(Message::Synced) => core.waiting_for_disk().iter().for_each(|bell| bell.tell_synced()),
            Ok(Message::Drain) => {
                core.draining.set(true);
                close(&mut listeners);
                core.tell_all(Notice::Drain);
            }
            Ok(Message::Stop) | Err(_) => {
                core.draining.set(true);
                core.stopping.set(true);
                close(&mut listeners);
                core.tell_all(Notice::Stop);
                monoio::time::sleep(LAST_WORDS).await;
                core.give_up();
                return;
            }
        }
    }
}

/// Stops listening and lets the sockets go, so that what still waits to be accepted ends too.
fn close(listeners: &mut Vec<Rc<Listener>>) {
    for listener in listeners.drain(..) {
        listener.shutdown();
    }
}
