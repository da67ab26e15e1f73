//! Millrace: one OpenAI-compatible address in front of many model providers.
//!
//! The floors, lowest first; an import may only point down (`tests/tidy.rs` holds this):
//!
//! | floor | module | what lives there |
//! |---|---|---|
//! | 0 | [`base`] | the words everybody uses: limits, time, faults, money, ids, metrics, records |
//! | 1 | [`wire`] ║ [`io`] | codecs (pure) ║ sockets, TLS, the runtime (the only unsafe) |
//! | 2 | [`dialect`] | one file per API dialect |
//! | 3 | [`policy`] | decisions: catalogue, auth, admit, route, retry |
//! | 4 | [`exchange`] | the life of one request, as a state machine |
//! | 5 | [`worker`] ║ [`control`] | sockets ⇄ exchange, per core ║ the control plane |
//! | 6 | [`app`] | process edge: command line, threads, signals |
//!
//! Deliberately absent: a library interface. This crate is one program; its modules are public for its own
//! tests, benches and fuzz targets.
//!
//! [`fuzzing`] holds the bodies of the fuzz targets, which also run under `cargo test`.

pub mod app;
pub mod base;
pub mod control;
pub mod dialect;
pub mod exchange;
#[doc(hidden)]
pub mod fuzzing;
pub mod io;
pub mod policy;
pub mod wire;
pub mod worker;
