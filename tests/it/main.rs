//! The integration tests: the real binary as a process of its own, scripted origins and raw-byte clients on
//! loopback.
//!
//! Every test runs once per kernel interface (io_uring, epoll). Nothing here knows the product from inside,
//! apart from the probe that says whether io_uring can be had; what is asserted is what a peer can see on
//! the wire, in `/metrics`, in `/proc` and in the process' exit.
#![allow(
    clippy::print_stdout,
    reason = "measured figures and skipped drivers are printed beside the test's name"
)]

mod aborts;
mod cases;
mod chaos;
mod clients;
mod drains;
mod early;
mod harness;
mod health;
mod hedging;
mod process;
mod secrets;
mod slow;
mod sticky;
mod tls;
mod unix;
mod vectors;
