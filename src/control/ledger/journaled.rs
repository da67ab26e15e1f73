//! The journal's files as the ledger reads them.
//!
//! Deliberately absent: the files' format (`control/journal`, `wire/journal`).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Cursors, Records, Take};
use crate::control::journal::{Cursor, Repair, Tail, recover};
use crate::wire::journal::Sequence;
use crate::wire::journal::frame::NodeId;
use crate::wire::journal::marks::Marks;

/// All journals of a data directory.
#[derive(Debug)]
pub struct Journaled {
    dir: PathBuf,
    node: NodeId,
    /// Of the cores that write now, by number; none where another process writes.
    marks: Vec<Arc<Marks>>,
    /// Where the cores ended that nobody writes any more.
    still: Cursors,
    tail: Option<Tail>,
}

impl Journaled {
    /// Of this directory. `marks` are those of the cores that write now.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn new(dir: PathBuf, node: NodeId, marks: Vec<Arc<Marks>>) -> io::Result<Self> {
        let found = recover(&dir, node, Repair::No)?;
        let still = found.cores.iter().map(|core| (core.core, core.last())).collect();
        Ok(Self { dir, node, marks, still, tail: None })
    }

    /// The tail, standing behind these.
    fn tail(&mut self, after: &Cursors) -> io::Result<&mut Tail> {
        let stands = |tail: &Tail| {
            tail.cursors().all(|cursor| after.get(&cursor.core).copied().unwrap_or_default() == cursor.last)
        };
        if !self.tail.as_ref().is_some_and(stands) {
            let cursors: Vec<Cursor> =
                after.iter().map(|(core, last)| Cursor { core: *core, last: *last }).collect();
            self.tail = Some(Tail::open(&self.dir, self.node, &self.marks, &cursors)?);
        }
        self.tail.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Records for Journaled {
    fn node(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.node.0[..8]);
        u64::from_le_bytes(first)
    }

    fn read(&mut self, after: &Cursors, most: usize, take: &mut Take<'_>) -> io::Result<usize> {
        let read = self.tail(after)?.read(most, take);
        if let Some(tail) = &mut self.tail {
            for damage in tail.take_damages() {
                tracing::error!("journal: {damage}");
            }
        }
        if read.is_err() {
            self.tail = None;
        }
        read
    }

    fn passed(&self) -> Cursors {
        let passed = self.tail.iter().flat_map(Tail::cursors);
        passed.filter(|cursor| cursor.last > Sequence(0)).map(|cursor| (cursor.core, cursor.last)).collect()
    }

    fn ends(&mut self) -> io::Result<Cursors> {
        let mut ends = self.still.clone();
        for (core, marks) in (0..).zip(&self.marks) {
            ends.insert(core, marks.written());
        }
        ends.retain(|_, end| *end > Sequence(0));
        Ok(ends)
    }

    fn folded(&mut self, upto: &Cursors) {
        for (core, last) in upto {
            if let Some(marks) = self.marks.get(usize::from(*core)) {
                marks.fold(*last);
            }
        }
    }
}
