//! Events of one stream differ in their text and in nothing else. So what stood around the text of the last
//! one is kept, and where it stands again, the text lies between: two comparisons instead of a walk over the
//! members.
//!
//! Why that finds what the walk would find: the walk goes from the front and stops at a place it names
//! ([`Dialect::texts`]). Up to the text it sees the same bytes and takes the same steps, and so it does from
//! the text's end to that place.
//! Deliberately absent: what is done with the text.

use crate::base::span::Span;
use crate::dialect::{Dialect, Section, Text, TextSink};
use crate::wire::json::scan::value_end;

/// Longest surroundings that are kept, in bytes. They are some hundreds.
const AROUND_BYTES: usize = 1024;

/// What stands around the text.
#[derive(Debug)]
pub(super) struct Template {
    /// What comes before it and then what comes behind it.
    around: Vec<u8>,
    /// Where the text begins; 0 when nothing is known.
    start: usize,
    choice: u32,
    section: Section,
}

impl Template {
    /// Nothing is known.
    pub(super) const fn new() -> Self {
        Self { around: Vec::new(), start: 0, choice: 0, section: Section::Text }
    }

    /// Forgets what it knows.
    pub(super) fn clear(&mut self) {
        self.start = 0;
    }

    /// The text of this event, if all the rest of it is known.
    #[inline(always)]
    pub(super) fn fits(&self, data: &[u8]) -> Option<Text> {
        if self.start == 0 {
            return None;
        }
        let (before, behind) = self.around.split_at_checked(self.start)?;
        if !data.starts_with(before) {
            return None;
        }
        let end = value_end(data, self.start - 1, 0).ok()? - 1;
        let known = end > self.start && data.get(end..)?.starts_with(behind);
        known.then(|| Text { choice: self.choice, section: self.section, at: Span::new(self.start, end) })
    }

    /// Walks over an event, and remembers it if there is one text in it.
    pub(super) fn walk(&mut self, dialect: &dyn Dialect, data: &[u8], sink: &mut dyn TextSink) {
        let mut only = Only { sink, last: None, count: 0 };
        let end = dialect.texts(data, &mut only);
        let (Some(end), Some(text), 1) = (end, only.last, only.count) else { return };
        let (before, behind) = (&data[..text.at.start as usize], &data[text.at.end as usize..end]);
        if before.len() + behind.len() <= AROUND_BYTES {
            self.around.clear();
            self.around.extend_from_slice(before);
            self.around.extend_from_slice(behind);
            self.start = before.len();
            (self.choice, self.section) = (text.choice, text.section);
        }
    }
}

/// Passes texts on, and counts them.
struct Only<'s> {
    sink: &'s mut dyn TextSink,
    last: Option<Text>,
    count: usize,
}

impl TextSink for Only<'_> {
    fn text(&mut self, text: Text) {
        self.last = Some(text);
        self.count += 1;
        self.sink.text(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::openai::OpenAi;

    #[derive(Default)]
    struct Texts(Vec<Text>);

    impl TextSink for Texts {
        fn text(&mut self, text: Text) {
            self.0.push(text);
        }
    }

    fn walked(data: &[u8]) -> Vec<Text> {
        let mut texts = Texts::default();
        OpenAi.texts(data, &mut texts);
        texts.0
    }

    const EVENTS: [&str; 10] = [
        r#"{"id":"a","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}"#,
        r#"{"id":"a","choices":[{"index":0,"delta":{"content":" \"wor\\"},"finish_reason":null}]}"#,
        r#"{"id":"a","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"p":"abc"}"#,
        r#"{"id":"a","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"p":"d"}"#,
        r#"{"id":"a","choices":[{"index":0,"delta":{"content":""},"finish_reason":null}]}"#,
        r#"{"id":"a","choices":[{"index":0,"delta":{"content":"x","reasoning":"y"},"finish_reason":null}]}"#,
        r#"{"id":"a","choices":[{"index":1,"delta":{"content":"x"},"finish_reason":null}]}"#,
        r#"{"id":"a","choices":[{"delta":{"content":"x"},"index":2}]}"#,
        r#"{"id":"b","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}"#,
        r#"{"id":"a","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}"#,
    ];

    #[test]
    fn what_fits_is_what_the_walk_finds() {
        let mut fitted = 0;
        for first in EVENTS {
            let mut template = Template::new();
            template.walk(&OpenAi, first.as_bytes(), &mut Texts::default());
            for second in EVENTS {
                for cut in 0..=second.len() {
                    let data = &second.as_bytes()[..cut];
                    let Some(text) = template.fits(data) else { continue };
                    assert_eq!(walked(data), [text], "{first} then {second} cut at {cut}");
                    fitted += 1;
                }
            }
            template.clear();
            assert_eq!(template.fits(first.as_bytes()), None);
        }
        assert!(fitted > 20, "{fitted} fitted");
    }
}
