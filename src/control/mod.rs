//! Floor: control.
//!
//! Deliberately absent: everything, so far.
