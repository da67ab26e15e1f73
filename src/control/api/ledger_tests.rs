//! Tests.
//!
//! Deliberately absent: nothing yet.
