//! What one JSON object of a provider, an event's data or a whole answer, reports at its top level: an error,
//! usage, an answer. Read in place, nothing is copied.
//!
//! Deliberately absent: the content of the answer, and which status an error stands for (`error.rs`).

use super::error;
use crate::base::record::Usage;
use crate::base::span::Span;
use crate::wire::json::scan::{Fields, skip_space, unsigned};

/// The top level of one object. When the text breaks off or is no JSON, what was read up to there counts and
/// `complete` is false.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// One whole object, and nothing but white space around it (some servers send empty lines while they
    /// work).
    pub(super) complete: bool,
    /// The HTTP status of the error it reports.
    pub(super) error: Option<u16>,
    /// Usage, if it is there with figures.
    pub(super) usage: Option<Usage>,
    /// `choices` is `[]`.
    pub(super) choices_empty: bool,
    /// It has a member that only answers have: `choices`, `data` or `object`.
    pub(super) answers: bool,
}

impl Report {
    /// Reads an object.
    pub(super) fn read(text: &[u8]) -> Self {
        let mut report = Self::default();
        let start = skip_space(text, 0);
        let Ok(mut fields) = Fields::open(text, start, 0) else { return report };
        let mut flat_error = false;
        let mut groq_usage = None;
        loop {
            let field = match fields.next_field() {
                Ok(Some(field)) => field,
                Ok(None) => break,
                Err(_) => return report.settled(text, start, flat_error, groq_usage),
            };
            let value = field.value.of(text);
            match field.key.of(text) {
                _ if value == b"null" => {}
                b"error" => report.error = error::status(text, field.value).or(report.error),
                b"usage" => report.usage = usage(text, field.value).or(report.usage),
                b"choices" => {
                    report.answers = true;
                    report.choices_empty = is_empty_array(value);
                }
                b"data" => report.answers = true,
                b"object" | b"type" if value == b"\"error\"" => flat_error = true,
                b"object" => report.answers = true,
                b"x_groq" => report.read_groq(text, field.value, &mut groq_usage),
                _ => {}
            }
        }
        report.complete = skip_space(text, fields.end()) == text.len();
        report.settled(text, start, flat_error, groq_usage)
    }

    /// Some servers put the error's members at the top level instead of under `error`; Groq once reported
    /// usage only inside its own member.
    fn settled(mut self, text: &[u8], start: usize, flat_error: bool, groq_usage: Option<Usage>) -> Self {
        if flat_error && self.error.is_none() {
            self.error = error::status(text, Span::new(start, text.len()));
        }
        self.usage = self.usage.or(groq_usage);
        self
    }

    fn read_groq(&mut self, text: &[u8], value: Span, groq_usage: &mut Option<Usage>) {
        let Ok(mut fields) = Fields::open(text, value.start as usize, 1) else { return };
        while let Ok(Some(field)) = fields.next_field() {
            match field.key.of(text) {
                b"usage" => *groq_usage = usage(text, field.value),
                b"error" => self.error = error::status(text, field.value).or(self.error),
                _ => {}
            }
        }
    }
}

/// Reads a usage object. Completion tokens are the larger of what is reported and what the total leaves over:
/// some providers report reasoning only within the total. `None` when there is no figure at all.
fn usage(text: &[u8], value: Span) -> Option<Usage> {
    let mut fields = Fields::open(text, value.start as usize, 1).ok()?;
    let (mut prompt, mut completion, mut total) = (None, None, None);
    while let Ok(Some(field)) = fields.next_field() {
        let figure = unsigned(field.value.of(text));
        match field.key.of(text) {
            b"prompt_tokens" => prompt = figure,
            b"completion_tokens" => completion = figure,
            b"total_tokens" => total = figure,
            _ => {}
        }
    }
    prompt.or(completion).or(total)?;
    let reported = completion.unwrap_or(0);
    let total = total.unwrap_or(0);
    let prompt_tokens = prompt.unwrap_or_else(|| total.saturating_sub(reported));
    Some(Usage { prompt_tokens, completion_tokens: reported.max(total.saturating_sub(prompt_tokens)) })
}

fn is_empty_array(value: &[u8]) -> bool {
    value.first() == Some(&b'[') && value.get(skip_space(value, 1)) == Some(&b']')
}
