//! Floor 3: decisions. Which key may call, what may be tried, in which order, and what a failure means.
//!
//! Everything here is a pure function of the snapshot, the request's facts and the core's own state.
//! Deliberately absent: bytes of a body, sockets, clocks, and the building of snapshots (`control/` does
//! that).

pub mod auth;
pub mod auto;
pub mod catalog;
pub mod count;
pub mod filter;
pub mod heads;
pub mod health;
pub mod hedge;
pub mod live;
pub mod prefs;
pub mod price;
pub mod retry;
pub mod route;
pub mod rows;
pub mod sticky;
pub mod strategy;
pub mod table;
pub mod variant;
