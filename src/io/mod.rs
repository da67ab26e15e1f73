//! Floor: io.
//!
//! Deliberately absent: everything, so far.
