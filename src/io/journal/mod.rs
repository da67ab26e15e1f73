//! The journal on a core: a ring of preallocated, memory-mapped files, to which records are added with plain
//! stores.
//!
//! ```text
//!   slot 0         slot 1          slot 2          slot 3
//!  ┌─────────────┐┌──────────────┐┌──────────────┐┌──────────────┐
//!  │ sealed      ││ rec rec ▌    ││ free         ││ sealed       │ ◄─ the oldest: the ledger frees it
//!  └─────────────┘└─────────┴────┘└──────────────┘└──────────────┘
//!                           published: a reader sees what is before it
//! ```
//! What a process has stored into a mapped file stays when it is killed: the pages belong to the kernel. So a
//! record costs no system call, and is there the moment `admit` or `settle` returns. Against a loss of power
//! the control plane has the files written to disk (`control/journal`).
//!
//! | file | what lives there |
//! |---|---|
//! | `segment` | one mapped file |
//! | `writer` | the ring, and the room put aside for what must still be written |
//!
//! Deliberately absent: reading records back, recovery and `fdatasync` (`control/journal`).

mod segment;
mod writer;

#[cfg(test)]
mod tests;

pub use segment::{Segment, free_bytes, preallocate};
pub use writer::{Setup, Slot, Writer};
