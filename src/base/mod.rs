//! Floor 0: the words everybody uses. No behaviour beyond what a word needs to be used correctly.
//!
//! Deliberately absent: anything that knows HTTP, JSON, a provider, a socket or a clock.

pub mod address;
pub mod fault;
pub mod ids;
pub mod limits;
pub mod metrics;
pub mod money;
pub mod record;
pub mod secret;
pub mod span;
pub mod time;
