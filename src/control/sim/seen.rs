//! What the simulator has seen: four counters of how requests ended, one of how many are under way.
//!
//! Deliberately absent: time and history; the reader takes differences.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use serde::Serialize;

/// Counters of inference requests, on all listeners together. Once nothing is under way,
/// `requests = completed + disconnects + faults`.
#[derive(Debug, Default)]
pub struct Seen {
    requests: AtomicU64,
    completed: AtomicU64,
    disconnects: AtomicU64,
    faults: AtomicU64,
    active: AtomicU64,
}

/// The counters at one moment, as `GET /sim/stats` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests whose head was read.
    pub requests: u64,
    /// Requests answered to their end, refusals of bad requests included.
    pub completed: u64,
    /// Requests whose client went away before the answer ended.
    pub disconnects: u64,
    /// Requests that met a planned fault: reset, error status, error inside a 200.
    pub faults: u64,
    /// Requests being answered now.
    pub active: u64,
}

impl Seen {
    /// Reads all counters. They are independent: a request that ends meanwhile may be counted on both sides.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        Counts {
            active: read(&self.active),
            requests: read(&self.requests),
            completed: read(&self.completed),
            disconnects: read(&self.disconnects),
            faults: read(&self.faults),
        }
    }
}

/// How a request ended; until told otherwise, the client is taken to have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Disconnect,
    Complete,
    Fault,
}

/// One request under way. hyper drops the answer (or the future that prepares it) as soon as the peer closes;
/// dropping a ticket that was not marked is therefore how a disconnect is noticed.
#[derive(Debug)]
pub(super) struct Ticket {
    seen: Arc<Seen>,
    end: End,
    /// Number of the request, from 1.
    pub(super) number: u64,
}

impl Ticket {
    /// Counts a request that has just arrived.
    pub(super) fn new(seen: Arc<Seen>) -> Self {
        let number = seen.requests.fetch_add(1, Ordering::AcqRel) + 1;
        seen.active.fetch_add(1, Ordering::AcqRel);
        Self { seen, end: End::Disconnect, number }
    }

    /// The last byte of the answer was handed over. A planned fault stays a fault.
    pub(super) fn complete(&mut self) {
        if self.end == End::Disconnect {
            self.end = End::Complete;
        }
    }

    /// The request meets a planned fault.
    pub(super) fn fault(&mut self) {
        self.end = End::Fault;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let counter = match self.end {
            End::Disconnect => &self.seen.disconnects,
            End::Complete => &self.seen.completed,
            End::Fault => &self.seen.faults,
        };
        counter.fetch_add(1, Ordering::AcqRel);
        self.seen.active.fetch_sub(1, Ordering::AcqRel);
    }
}
