//! JSON without building anything: finding the few members a router needs, and splicing around them.
//!
//! | file | what it does |
//! |---|---|
//! | [`scan`] | walks over values, fields, items; knows where they end, not what they mean |
//! | [`peek`] | one pass over a request body: the members a router needs, checked; duplicates refused |
//! | `quote` | finds the end of a string |
//! | [`seek`] | finds a member in text that comes in pieces and is not kept |
//! | `skip` | finds the end of an object or array that nobody looks into |
//! | [`parameter`] | the names of parameters that not every provider takes |
//! | [`content`] | whether a prompt has parts that are no text |
//! | [`splice`] | a list of edits over a body that is never rewritten itself |
//! | `written` | known keys as programs write them |
//! | [`text`] | escaping and unescaping of single strings |
//!
//! What is not looked into is only checked for nesting and for ended strings (the provider parses it anyway);
//! what is looked into is checked to the letter, so that router and provider cannot read two different
//! requests.
//!
//! Deliberately absent: a document tree, and any change to the bytes themselves.

pub mod content;
#[doc(hidden)]
pub mod exercise;
pub mod parameter;
pub mod peek;
mod quote;
pub mod scan;
pub mod seek;
mod skip;
pub mod splice;
pub mod text;
mod written;

#[cfg(test)]
mod generate;
#[cfg(test)]
mod peek_tests;
#[cfg(test)]
mod splice_tests;

pub use text::{Quoted, escape, unescape};
