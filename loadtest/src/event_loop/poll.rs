//! Readiness of descriptors: epoll(7), level-triggered, with deadlines in nanoseconds (`epoll_pwait2`, Linux
//! 5.11).
//!
//! Level-triggered on purpose: one read per report and no read that only learns that there is nothing.
//! Deliberately absent: who owns a descriptor; it leaves the epoll by being closed.

use core::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

use super::clock::{SECOND_NS, now_ns};

/// Most reports of one turn.
const REPORTS: usize = 256;

/// What is waited for. Errors are always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Nothing else.
    Errors,
    /// Something to read.
    Read,
    /// Room to write as well.
    Both,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Errors => EventFlags::empty(),
            Self::Read => EventFlags::IN,
            Self::Both => EventFlags::IN | EventFlags::OUT,
        }
    }
}

/// One report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// As given to [`Poll::add`].
    pub(crate) token: u64,
    /// A read would not block; it may return the error.
    pub(crate) read: bool,
    /// A write would not block; it may return the error.
    pub(crate) write: bool,
}

/// An epoll.
pub(crate) struct Poll {
    epoll: OwnedFd,
    reports: Vec<Event>,
}

impl Poll {
    /// # Errors
    /// The kernel's.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, reports: Vec::with_capacity(REPORTS) })
    }

    /// Reports on `descriptor` under `token` until it is closed.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn add(&self, descriptor: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, descriptor, EventData::new_u64(token), interest.flags())?)
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn change(&self, descriptor: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, descriptor, EventData::new_u64(token), interest.flags())?)
    }

    /// Waits until something is ready, or until the clock shows `due_ns`.
    ///
    /// # Errors
    /// The kernel's, except that a signal came: that ends the wait early.
    pub(crate) fn wait(&mut self, due_ns: u64) -> io::Result<()> {
        let left = due_ns.saturating_sub(now_ns());
        // Both parts fit: an hour is the longest wait, and a second has a billion nanoseconds.
        let timeout = Timespec {
            tv_sec: (left / SECOND_NS).min(3600).cast_signed(),
            tv_nsec: (left % SECOND_NS).cast_signed(),
        };
        self.reports.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.reports), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Report `index` of the last wait.
    pub(crate) fn ready(&self, index: usize) -> Option<Ready> {
        let report = self.reports.get(index)?;
        let (flags, data) = (report.flags, report.data);
        let failed = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        Some(Ready {
            token: data.u64(),
            read: failed || flags.contains(EventFlags::IN),
            write: failed || flags.contains(EventFlags::OUT),
        })
    }
}

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poll").field("epoll", &self.epoll).field("reports", &self.reports.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn readiness_is_reported_until_it_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut near = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (far, _) = listener.accept().expect("a connection");
        let mut poll = Poll::new().expect("an epoll");
        poll.add(&far, 7, Interest::Read).expect("a socket");
        poll.wait(0).expect("a look");
        assert_eq!(poll.ready(0), None);
        near.write_all(b"x").expect("a byte");
        for _ in 0..2 {
            poll.wait(now_ns() + 10 * SECOND_NS).expect("a wait");
            assert_eq!(poll.ready(0), Some(Ready { token: 7, read: true, write: false }));
            assert_eq!(poll.ready(1), None);
        }
        poll.change(&far, 8, Interest::Both).expect("a socket");
        poll.wait(0).expect("a look");
        assert_eq!(poll.ready(0), Some(Ready { token: 8, read: true, write: true }));
        poll.change(&far, 8, Interest::Errors).expect("a socket");
        poll.wait(0).expect("a look");
        assert_eq!(poll.ready(0), None);
    }

    #[test]
    fn a_wait_ends_when_it_is_due_and_not_before() {
        let mut poll = Poll::new().expect("an epoll");
        let due = now_ns() + 300_000;
        poll.wait(due).expect("a wait");
        assert!(now_ns() >= due);
        assert_eq!(poll.ready(0), None);
    }
}
