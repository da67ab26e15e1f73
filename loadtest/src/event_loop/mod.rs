//! One thread, one epoll, one heap of times: what `origin` and `client` run on, so that neither costs much
//! beside what is measured.
//!
//! | file | what |
//! |---|---|
//! | `clock.rs` | monotonic nanoseconds, the thread's core, random numbers that repeat |
//! | `poll.rs` | readiness of descriptors, level-triggered |
//! | `timers.rs` | when something is due |
//! | `transport.rs` | a socket, plain or with TLS, that never blocks |
//!
//! Deliberately absent: callbacks and tasks. The owner has a loop of its own and asks.

pub(crate) mod clock;
pub(crate) mod poll;
pub(crate) mod timers;
pub(crate) mod transport;
