//! Floor: app.
//!
//! Deliberately absent: everything, so far.
