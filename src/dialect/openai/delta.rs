//! Where the texts of the model lie in an event or an answer: `choices`, in each `delta` (or `message`, or
//! the `text` of legacy completions), and in that the visible text, the reasoning and the calls of tools.
//!
//! Also as others write it: Mistral's `content` may be a list of parts of type `text` and `thinking`;
//! reasoning is `reasoning_content` (DeepSeek, vLLM, Qwen) or `reasoning` (OpenRouter, Groq), and who writes
//! both writes the same twice.
//! Deliberately absent: what is in the texts, and every other member.

use crate::base::span::Span;
use crate::dialect::{Section, Text, TextSink};
use crate::wire::flaw::Flaw;
use crate::wire::json::scan::{Fields, Items, unsigned};

/// Texts of a choice that are held until its index is known, which may come last.
const HELD: usize = 16;

/// Shows every text in `data` to the sink. One past the list of choices and the comma or bracket behind it,
/// if they are whole.
pub(super) fn texts(data: &[u8], sink: &mut dyn TextSink) -> Option<usize> {
    let mut fields = Fields::open(data, 0, 0).ok()?;
    while let Some(field) = fields.next_field().ok()? {
        if field.key.of(data) == b"choices" {
            choices(data, field.value, sink).ok()?;
            return Some(field.comma_after().map_or(fields.end(), |comma| comma as usize + 1));
        }
    }
    Some(fields.end())
}

fn choices(data: &[u8], list: Span, sink: &mut dyn TextSink) -> Result<(), Flaw> {
    if data[list.start as usize] != b'[' {
        return Ok(());
    }
    let mut items = Items::open(data, list.start as usize, 1)?;
    let mut turn = 0;
    while let Some(item) = items.next_item()? {
        if data[item.start as usize] == b'{' {
            let mut choice = Choice { data, index: turn, held: [HELD_NOTHING; HELD], count: 0, sink };
            choice.read(item)?;
            choice.let_go();
        }
        turn += 1;
    }
    Ok(())
}

const HELD_NOTHING: (Section, Span) = (Section::Text, Span { start: 0, end: 0 });

struct Choice<'t> {
    data: &'t [u8],
    index: u32,
    held: [(Section, Span); HELD],
    count: usize,
    sink: &'t mut dyn TextSink,
}

impl Choice<'_> {
    fn read(&mut self, object: Span) -> Result<(), Flaw> {
        let mut fields = Fields::open(self.data, object.start as usize, 2)?;
        while let Some(field) = fields.next_field()? {
            match field.key.of(self.data) {
                b"index" => self.index = self.number(field.value).unwrap_or(self.index),
                b"delta" | b"message" => self.delta(field.value)?,
                b"text" => self.string(Section::Text, field.value),
                _ => {}
            }
        }
        Ok(())
    }

    fn delta(&mut self, object: Span) -> Result<(), Flaw> {
        if self.first(object) != b'{' {
            return Ok(());
        }
        let mut fields = Fields::open(self.data, object.start as usize, 3)?;
        let mut reasoned = false;
        while let Some(field) = fields.next_field()? {
            match field.key.of(self.data) {
                b"content" if self.first(field.value) == b'[' => self.parts(field.value)?,
                b"content" | b"refusal" => self.string(Section::Text, field.value),
                b"reasoning_content" | b"reasoning" if !reasoned => {
                    reasoned = self.is_text(field.value);
                    self.string(Section::Reasoning, field.value);
                }
                b"tool_calls" => self.calls(field.value)?,
                b"function_call" => self.function(0, field.value)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// `[{"type":"text","text":"…"},{"type":"thinking","thinking":[{"type":"text","text":"…"}]}]`
    fn parts(&mut self, list: Span) -> Result<(), Flaw> {
        let mut items = Items::open(self.data, list.start as usize, 4)?;
        while let Some(item) = items.next_item()? {
            if self.first(item) != b'{' {
                continue;
            }
            let mut fields = Fields::open(self.data, item.start as usize, 5)?;
            while let Some(field) = fields.next_field()? {
                match field.key.of(self.data) {
                    b"text" => self.string(Section::Text, field.value),
                    b"thinking" if self.first(field.value) == b'[' => self.thoughts(field.value)?,
                    b"thinking" => self.string(Section::Reasoning, field.value),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn thoughts(&mut self, list: Span) -> Result<(), Flaw> {
        let mut items = Items::open(self.data, list.start as usize, 6)?;
        while let Some(item) = items.next_item()? {
            if self.first(item) != b'{' {
                continue;
            }
            let mut fields = Fields::open(self.data, item.start as usize, 7)?;
            while let Some(field) = fields.next_field()? {
                if field.key.of(self.data) == b"text" {
                    self.string(Section::Reasoning, field.value);
                }
            }
        }
        Ok(())
    }

    /// `[{"index":0,"id":"…","type":"function","function":{"name":"…","arguments":"…"}}]`
    fn calls(&mut self, list: Span) -> Result<(), Flaw> {
        if self.first(list) != b'[' {
            return Ok(());
        }
        let mut items = Items::open(self.data, list.start as usize, 4)?;
        let mut turn = 0;
        while let Some(item) = items.next_item()? {
            let (mut index, mut function) = (turn, None);
            turn += 1;
            if self.first(item) != b'{' {
                continue;
            }
            let mut fields = Fields::open(self.data, item.start as usize, 5)?;
            while let Some(field) = fields.next_field()? {
                match field.key.of(self.data) {
                    b"index" => index = self.number(field.value).unwrap_or(index),
                    b"function" => function = Some(field.value),
                    _ => {}
                }
            }
            if let Some(function) = function {
                self.function(index, function)?;
            }
        }
        Ok(())
    }

    fn function(&mut self, index: u32, object: Span) -> Result<(), Flaw> {
        if self.first(object) != b'{' {
            return Ok(());
        }
        let mut fields = Fields::open(self.data, object.start as usize, 6)?;
        while let Some(field) = fields.next_field()? {
            match field.key.of(self.data) {
                b"name" => self.string(Section::ToolName(index), field.value),
                b"arguments" => self.string(Section::ToolArguments(index), field.value),
                _ => {}
            }
        }
        Ok(())
    }

    /// The first byte of a value; there is one.
    fn first(&self, value: Span) -> u8 {
        self.data[value.start as usize]
    }

    fn number(&self, value: Span) -> Option<u32> {
        unsigned(value.of(self.data)).and_then(|number| u32::try_from(number).ok())
    }

    /// A string with something in it?
    fn is_text(&self, value: Span) -> bool {
        self.first(value) == b'"' && value.len() > 2
    }

    fn string(&mut self, section: Section, value: Span) {
        if !self.is_text(value) {
            return;
        }
        if self.count == HELD {
            self.let_go();
        }
        self.held[self.count] = (section, Span { start: value.start + 1, end: value.end - 1 });
        self.count += 1;
    }

    fn let_go(&mut self) {
        for (section, at) in &self.held[..self.count] {
            self.sink.text(Text { choice: self.index, section: *section, at: *at });
        }
        self.count = 0;
    }
}

#[cfg(test)]
mod tests;
