//! Counting the tokens of an answer while it passes: what a stream came to that never reported its usage.
//!
//! Deliberately absent: money (`policy/price`), and where the text of an event lies (`dialect/`).

/// What was counted of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Completion tokens: visible text, reasoning and tool calls, as the model's family would bill them.
    pub tokens: u32,
    /// Bytes of that text, in UTF-8, escapes resolved.
    pub text_bytes: u64,
    /// Counted with the vocabulary of the model's family. Otherwise the number is a guess from the bytes.
    pub exact: bool,
}
