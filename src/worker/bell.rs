//! A bell: how the rest of the core reaches a connection's task, for a deadline, a drain or a stop.
//!
//! Deliberately absent: what the task does about it.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use crate::base::time::Moment;

/// What a task may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Finish what runs, keep nothing alive.
    Drain,
    /// End now.
    Stop,
}

/// One per connection, shared between its task and the core.
#[derive(Debug)]
pub(super) struct Bell {
    /// When the task wants to be woken; it may move at any time, at the price of a store.
    pub(super) due: Cell<Moment>,
    /// The earliest entry of this bell in the deadline queues.
    pub(super) queued: Cell<Moment>,
    /// Position in the core's list.
    pub(super) place: Cell<usize>,
    /// On our own ring: the seat of the connection.
    pub(super) seat: Cell<u32>,
    /// The deadline has passed and the task was woken for it.
    rung: Cell<bool>,
    notice: Cell<Option<Notice>>,
    /// What the task waits for may be on disk.
    synced: Cell<bool>,
    retired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Default for Bell {
    fn default() -> Self {
        Self {
            due: Cell::new(Moment::NEVER),
            queued: Cell::new(Moment::NEVER),
            place: Cell::new(0),
            seat: Cell::new(0),
            rung: Cell::new(false),
            notice: Cell::new(None),
            synced: Cell::new(false),
            retired: Cell::new(false),
            waker: RefCell::new(None),
        }
    }
}

impl Bell {
    /// Registers the task, once.
    pub(super) fn attach(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        if slot.is_none() {
            *slot = Some(waker.clone());
        }
    }

    /// Wakes the task for its deadline.
    pub(super) fn ring(&self) {
        self.rung.set(true);
        self.wake();
    }

    /// Takes the ring: true once after the deadline has passed. Only then is it worth looking at the clock.
    pub(super) fn take_ring(&self) -> bool {
        self.rung.take()
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Leaves a notice and wakes the task.
    pub(super) fn tell(&self, notice: Notice) {
        self.notice.set(Some(notice));
        self.wake();
    }

    /// Takes the notice.
    pub(super) fn notice(&self) -> Option<Notice> {
        self.notice.take()
    }

    /// Tells the task that more of the journal is on disk.
    pub(super) fn tell_synced(&self) {
        self.synced.set(true);
        self.wake();
    }

    /// True once after that.
    pub(super) fn take_synced(&self) -> bool {
        self.synced.take()
    }

    /// The task has ended; queue entries that still name it mean nothing.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.due.set(Moment::NEVER);
        self.waker.borrow_mut().take();
    }

    /// The task has ended.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.get()
    }
}
