//! The vocabularies that ship.
//!
//! Deliberately absent: nothing yet.
