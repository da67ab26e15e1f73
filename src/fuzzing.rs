//! Bodies of the fuzz targets: one function each, which panics when a law is broken. They run on the
//! committed corpora under `cargo test` and without end under `cargo fuzz`.
//!
//! Deliberately absent: the laws themselves; each lives beside the code it is about.

use crate::control::config;
use crate::exchange::sim;
use crate::policy::auto;
use crate::wire::{http1, journal, json, sse};

macro_rules! targets {
    ($($(#[doc = $doc:literal])* $name:ident = $body:path,)*) => {
        $($(#[doc = $doc])* pub fn $name(data: &[u8]) { $body(data); })*

        /// Every target: its name and its body. `fuzz/corpus/<name>` and `fuzz/fuzz_targets/<name>.rs`
        /// belong to it; `tests/fuzz_corpus.rs` demands both.
        pub const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($name), $name),)*];
    };
}

targets! {
    /// A request to `millrace/auto`: any body is survived, and a signal more never scores lower.
    auto = auto::exercise::exercise,
    /// The chunked coding: any cut gives the same payload, and decoding in place agrees.
    chunked = http1::exercise::exercise_chunked,
    /// A configuration file: every problem lies inside it, every snapshot is whole.
    config = config::exercise_config,
    /// A scenario of the simulator, drawn from the bytes: every law of an exchange holds.
    exchange = sim::exercise::exercise,
    /// A field value of ours: it never breaks out of its line.
    head_writer = http1::exercise::exercise_head_writer,
    /// A segment of the journal: any bytes are survived, and a record that is read is written the same.
    journal = journal::exercise::exercise,
    /// A request body: `peek` agrees with a full reader, and splicing takes out what it should.
    json_peek = json::exercise::exercise,
    /// A request head: any cut gives the same verdict, and the plain reading agrees.
    request_head = http1::exercise::exercise_request_head,
    /// A response head, likewise.
    response_head = http1::exercise::exercise_response_head,
    /// An event stream: the first byte says how it is cut.
    sse = sse::exercise::exercise,
}
