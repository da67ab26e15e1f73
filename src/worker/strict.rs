//! Sends that wait for the disk: in strict mode nothing that follows from a record leaves before the record
//! is on disk.
//!
//! One sync serves all that wait. The thread that syncs is woken by the first of them, and by those that come
//! meanwhile for its next round; the core hears of each round by a message.
//! Deliberately absent: the sync itself (`control/journal`), and which record is written when (`exchange`).

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::bell::Bell;
use crate::exchange::Lane;
use crate::wire::journal::Sequence;
use crate::wire::journal::marks::Marks;
use crate::wire::parcel::Parcel;

/// Asks for a sync, soon; never waits for it.
pub type AskSync = Arc<dyn Fn() + Send + Sync>;

/// What a core knows of the disk.
pub(super) struct Strict {
    marks: Arc<Marks>,
    ask: AskSync,
    /// Connections with sends that wait.
    waiting: RefCell<Vec<Rc<Bell>>>,
}

impl fmt::Debug for Strict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strict").field("marks", &self.marks).finish_non_exhaustive()
    }
}

impl Strict {
    pub(super) const fn new(marks: Arc<Marks>, ask: AskSync) -> Self {
        Self { marks, ask, waiting: RefCell::new(Vec::new()) }
    }

    /// The newest record of this core.
    pub(super) fn written(&self) -> Sequence {
        self.marks.written()
    }

    /// Is this record on disk?
    pub(super) fn is_synced(&self, sequence: Sequence) -> bool {
        self.marks.synced() >= sequence
    }

    /// The disk does not take what is written, and nothing may go on without it.
    pub(super) fn is_refusing(&self) -> bool {
        self.marks.is_refusing()
    }

    /// This connection waits.
    pub(super) fn wait(&self, bell: &Rc<Bell>) {
        self.waiting.borrow_mut().push(Rc::clone(bell));
        (self.ask)();
    }

    /// Everybody who waits, to be told. Who still has to wait says so again.
    pub(super) fn take_waiting(&self) -> Vec<Rc<Bell>> {
        self.waiting.take()
    }
}

/// What a connection does not send yet. At most one send per side is under way at a time.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// To the client, and whether that is in the midst of an answer.
    pub(super) client: Option<(Parcel, bool)>,
    /// The end of our side towards the client comes behind it.
    pub(super) half_close: bool,
    /// To the origins.
    origins: [Option<Parcel>; 2],
}

impl Held {
    /// What is held for an origin.
    pub(super) const fn origin(&mut self, lane: Lane) -> &mut Option<Parcel> {
        match lane {
            Lane::First => &mut self.origins[0],
            Lane::Second => &mut self.origins[1],
        }
    }
}
