//! The journal's records as bytes: what a core writes down before a request is sent and after it has ended,
//! and what the ledger reads back.
//!
//! Every record names what it speaks of in words (provider, model, key), never by a row of a snapshot: it
//! must mean the same after a restart, and to a reader that knows nothing but the format.
//!
//! | file | what lives there |
//! |---|---|
//! | `entry` | what a record says |
//! | `encode`, `decode` | its bytes |
//! | `frame` | length, sequence and checksum around them |
//! | `page` | the first page of a file |
//! | `scan` | the records of a file, damaged or not |
//! | `marks` | how far a journal is written, on disk and folded |
//!
//! Deliberately absent: files and memory maps (`io/journal`, `control/journal`), and what becomes of a record
//! (`control/ledger`).

pub mod decode;
pub mod encode;
mod entry;
pub mod exercise;
pub mod frame;
pub mod marks;
pub mod page;
pub mod scan;
#[cfg(test)]
mod tests;

pub use entry::{Admit, Attempt, Caller, Cost, Ending, Entry, Flags, Served, Settle, Source};

/// Why a record was not written: the journal has no room until the ledger has caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Position of a record in its core's journal: the first record ever is 1, and each has one more than the one
/// before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// Where one core writes its records. The process may be killed at any instant after a call has returned, and
/// the record is still there.
pub trait Journal: core::fmt::Debug {
    /// Writes that a request is about to be sent. Room for its [`Settle`] is put aside with it.
    ///
    /// # Errors
    /// [`Full`] when there is no room for both: the request is not to be sent.
    fn admit(&mut self, admit: &Admit<'_>) -> Result<Sequence, Full>;

    /// Writes that an admitted request has ended. The room put aside takes it, so this never fails; of a
    /// record that would be longer than that, the last attempts are left out.
    fn settle(&mut self, settle: &Settle<'_>) -> Sequence;
}
