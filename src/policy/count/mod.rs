//! Counting the tokens of an answer while it passes: what a stream came to that never reported its usage.
//!
//! The libraries there are either take a hundred megabytes for all vocabularies and allocate per text, or
//! are fast only on texts that split well. Counting needs less than they do: how many tokens, not which.
//! So the tables and the walk over them are our own (`table`, `merge`, `split`), compared in tests with
//! the published patterns and the published way to merge, and once, string by string, with the libraries.
//! Deliberately absent: money (`policy/price`), and where the text of an event lies (`dialect/`).

mod class;
mod merge;
mod split;
mod table;
mod vocabulary;

pub use merge::Scratch;
pub use vocabulary::{Unreadable, Vocabulary, VocabularyName};

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

impl Vocabulary {
    /// The tokens of a whole text. For an answer that is here already, and as the measure of what is counted
    /// piece by piece.
    #[must_use]
    pub fn count(&self, text: &str, scratch: &mut Scratch) -> u32 {
        let mut marked;
        let text = if self.marks_spaces() && text.contains('\u{2581}') {
            marked = text.as_bytes().to_vec();
            split::plain_spaces(&mut marked, 0);
            &marked[..]
        } else {
            text.as_bytes()
        };
        let (mut at, mut tokens) = (0, 0);
        while at < text.len() {
            let end = self.piece_end(text, at);
            tokens += self.piece_tokens(&text[at..end], scratch);
            at = end;
        }
        tokens
    }
}
