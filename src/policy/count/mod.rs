//! Counting the tokens of an answer while it passes: what a stream came to that never reported its usage.
//!
//! ```text
//!  event ─ texts ─► meter ─ pieces ─► merge ─► tokens ─ rate ─► as the family bills them
//!         (dialect)  │ template, escape   └ table               (family, fit)
//!                    └ split, class
//! ```
//!
//! The libraries there are either take a hundred megabytes for all vocabularies and allocate per text, or
//! are fast only on texts that split well. Counting needs less than they do: how many tokens, not which.
//! So the tables and the walk over them are our own (`table`, `merge`, `split`), compared in tests with
//! the published patterns and the published way to merge, and once, string by string, with the libraries.
//! Deliberately absent: money (`policy/price`), where the text of an event lies (`dialect/`), and the
//! reading of vocabularies (`control/vocabularies`).

mod class;
mod escape;
#[doc(hidden)]
pub mod exercise;
mod family;
mod fit;
mod merge;
mod meter;
mod shelf;
mod split;
mod table;
mod template;
mod vocabulary;

pub use family::{Families, Family};
pub use fit::Fits;
pub use merge::Scratch;
pub use meter::{Meter, Terms};
pub use shelf::Vocabularies;
pub use vocabulary::{Unreadable, Vocabulary, VocabularyName};

/// What was counted of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Completion tokens: visible text, reasoning and tool calls, as the model's family would bill them.
    pub tokens: u32,
    /// Those of `tokens` that are reasoning which was shown.
    pub reasoning_tokens: u32,
    /// Bytes of that text, in UTF-8, escapes resolved.
    pub text_bytes: u64,
    /// Counted with the vocabulary of the model's family. Otherwise the number is a guess from the bytes.
    pub exact: bool,
}

impl Vocabulary {
    /// The tokens of a whole text: the measure of what is counted part by part.
    #[must_use]
    pub fn count(&self, text: &str, scratch: &mut Scratch) -> u64 {
        if self.marks_spaces() && text.contains('\u{2581}') {
            let mut marked = text.as_bytes().to_vec();
            split::plain_spaces(&mut marked, 0);
            return self.tokens_of(&marked, scratch);
        }
        self.tokens_of(text.as_bytes(), scratch)
    }

    /// The tokens of a text whose spaces are plain.
    fn tokens_of(&self, text: &[u8], scratch: &mut Scratch) -> u64 {
        let (mut at, mut tokens) = (0, 0);
        while at < text.len() {
            let end = self.piece_end(text, at);
            tokens += u64::from(self.piece_tokens(&text[at..end], scratch));
            at = end;
        }
        tokens
    }
}
