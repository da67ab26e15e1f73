//! Floor 5, the control plane: everything that is not on the path of a token, on one tokio runtime, with
//! well-kept libraries.
//!
//! | room | what it does |
//! |---|---|
//! | [`config`] | TOML and environment to a checked configuration, or every problem at once |
//! | [`catalog`] | the models that ship with Millrace, and the import of new facts about them |
//! | [`snapshot`] | configuration to what the workers run on |
//! | [`auto`] | the tiers of `millrace/auto` |
//! | [`dns`] | keeps the snapshot's addresses fresh |
//! | [`journal`] | the journals of the cores as files: recovery, reading, syncing |
//! | [`probe`] | asks idle private servers whether they still answer |
//! | [`api`] | what Millrace itself answers behind its public port |
//! | [`ledger`] | every request and what it cost, folded from the journal into SQLite |
//! | [`calendar`] | days and moments as texts |
//! | [`sim`] | the built-in upstream |
//! | [`simulate`] | what traffic would have met under a policy, in simulated time |
//! | [`watch`] | notices that files were replaced |
//!
//! Deliberately absent: workers, exchanges and sockets of clients. What goes down is a snapshot, what comes
//! up is read from counters.

pub mod api;
pub mod auto;
pub mod calendar;
pub mod catalog;
pub mod config;
pub mod dns;
pub mod journal;
pub mod ledger;
pub mod probe;
pub mod sim;
pub mod simulate;
pub mod snapshot;
pub mod watch;
