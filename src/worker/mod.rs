//! Floor: worker.
//!
//! Deliberately absent: everything, so far.
