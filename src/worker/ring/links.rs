//! The connections of a core, by number, and whose each one is. The number is the ring's token: it is free
//! for another connection only when the kernel holds nothing of this one.
//!
//! Deliberately absent: what the owners do (`mod`, `ops`).

use std::collections::VecDeque;

use crate::base::ids::PoolId;
use crate::exchange::Lane;
use crate::io::{Link, Ring};
use crate::wire::buf::Lent;
use crate::wire::spares::Spares;

/// Whose a connection is; a seat is the place of a client connection on this core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The client of a seat.
    Client(u32),
    /// The origin a seat talks to.
    Origin(u32, Lane),
    /// The origin a seat has released, while its last send still comes back.
    Parting(u32, Lane),
    /// Being dialled for a seat.
    Dial(u32, Lane),
    /// Idle in a pool.
    Idle(PoolId),
    /// Nobody's any more: freed when the kernel lets go of it.
    Nobody,
}

/// One connection.
pub(super) struct Entry {
    pub(super) link: Link,
    pub(super) owner: Owner,
    /// Where its owner wants the next bytes; `None` while nobody asks.
    pub(super) lent: Option<Lent>,
    /// `connect(2)` has ended and nobody has looked yet.
    pub(super) writable: bool,
    /// A send is over and its owner has not been told.
    pub(super) untold: bool,
    /// True exactly while its number is among the news.
    queued: bool,
}

/// All of them, and those with news.
#[derive(Default)]
pub(super) struct Links {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    news: VecDeque<u32>,
}

impl Links {
    /// A number for a connection about to be opened with [`Links::open`].
    pub(super) fn reserve(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).expect("fewer connections than descriptors")
        })
    }

    /// Puts a connection under its number.
    pub(super) fn open(&mut self, token: u32, link: Link, owner: Owner) {
        let entry = Entry { link, owner, lent: None, writable: false, untold: false, queued: false };
        self.entries[token as usize] = Some(entry);
    }

    /// Gives a number back that was reserved in vain.
    pub(super) fn unreserve(&mut self, token: u32) {
        self.free.push(token);
    }

    /// A connection that is there as long as its owner or the kernel knows its number.
    pub(super) fn entry(&mut self, token: u32) -> &mut Entry {
        self.entries[token as usize].as_mut().expect("a number is known only while its connection is there")
    }

    /// The same where it may be gone.
    pub(super) fn find(&mut self, token: u32) -> Option<&mut Entry> {
        self.entries.get_mut(token as usize)?.as_mut()
    }

    /// Notes that there is something to look at.
    #[inline]
    pub(super) fn announce(&mut self, token: u32) {
        let entry = self.entries[token as usize].as_mut();
        if let Some(entry) = entry.filter(|entry| !entry.queued) {
            entry.queued = true;
            self.news.push_back(token);
        }
    }

    /// The next connection with news.
    pub(super) fn news(&mut self) -> Option<u32> {
        let token = self.news.pop_front()?;
        self.entry(token).queued = false;
        Some(token)
    }

    /// Takes the connection from its owner and ends it.
    pub(super) fn part(&mut self, token: u32, reset: bool) -> Option<Lent> {
        let entry = self.find(token)?;
        entry.owner = Owner::Nobody;
        if reset {
            entry.link.abort();
        } else {
            entry.link.shutdown();
        }
        let lent = entry.lent.take();
        // What is quiet already has no completion left that would free it.
        if entry.link.is_quiet() {
            self.announce(token);
        }
        lent
    }

    /// Frees a connection that is nobody's once the kernel holds nothing of it, and no news names it: those
    /// would be taken for news of the next connection with its number. The news free it then.
    pub(super) fn reclaim(&mut self, token: u32, spares: &mut Spares) {
        let is_over = |entry: &&mut Entry| {
            entry.owner == Owner::Nobody && entry.link.is_quiet() && !entry.queued && !entry.untold
        };
        let Some(entry) = self.find(token).filter(is_over) else { return };
        entry.link.forget(spares);
        // Closes the socket.
        self.entries[token as usize] = None;
        self.free.push(token);
    }

    /// What came in for an idle connection: true while it may still be used again.
    pub(super) fn is_clean(&mut self, token: u32, ring: &mut Ring, spares: &mut Spares) -> bool {
        self.entry(token).link.is_clean(ring, token, spares)
    }
}
