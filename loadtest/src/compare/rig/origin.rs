//! The origin's end of a connection: reads requests, gives the one answer or the numbered events.
//!
//! Deliberately absent: strictness about requests. What a proxy makes of a head is checked elsewhere;
//! here only the length of the body and its number matter.

use std::time::Duration;

use super::{Step, text};

/// Longest request head.
const HEAD_BYTES: usize = 16 * 1024;
/// So many of a body's last bytes are kept: the number is in them, even behind something added.
const TAIL_BYTES: usize = 256;
/// So many of its first ones: the rig's own requests say there whether they stream.
const FRONT_BYTES: usize = 256;

/// One connection.
#[derive(Default)]
pub(super) struct Origin {
    head: Vec<u8>,
    /// Bytes of the body still to come; none while the head is being read.
    left: Option<usize>,
    front: Vec<u8>,
    tail: Vec<u8>,
    streaming: bool,
    /// Number of the next event.
    number: u64,
    /// Events that were due while a send was in flight.
    owed: u32,
    /// The last bytes sent, used again; empty until they are back from the kernel.
    pub(super) spare: Vec<u8>,
    spare_is: Spare,
    number_at: usize,
}

/// What is in `spare`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Spare {
    #[default]
    Nothing,
    Answer,
    Event,
}

impl Origin {
    /// Reads bytes of a request.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Step, String> {
        if self.streaming {
            return Err("bytes from a proxy in the middle of a stream".to_owned());
        }
        if self.left.is_some() {
            return self.body(bytes);
        }
        self.head.extend_from_slice(bytes);
        let Some(end) = memchr::memmem::find(&self.head, b"\r\n\r\n") else {
            let long = self.head.len() > HEAD_BYTES;
            return if long { Err("a request head too long".to_owned()) } else { Ok(Step::Wait) };
        };
        self.left = Some(content_length(&self.head[..end]).ok_or("a request without a length")?);
        let body = self.head.split_off(end + 4);
        self.head.clear();
        self.front.clear();
        self.tail.clear();
        self.body(&body)
    }

    fn body(&mut self, bytes: &[u8]) -> Result<Step, String> {
        let left = self.left.unwrap_or_default();
        if bytes.len() > left {
            return Err("a second request before the answer".to_owned());
        }
        let room = FRONT_BYTES.saturating_sub(self.front.len()).min(bytes.len());
        self.front.extend_from_slice(&bytes[..room]);
        // Pieces of a large body are dropped again; the last of them is what counts.
        if self.tail.len() > TAIL_BYTES {
            self.tail.drain(..self.tail.len() - TAIL_BYTES);
        }
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        self.left = Some(left - bytes.len());
        if left > bytes.len() {
            return Ok(Step::Wait);
        }
        self.left = None;
        let number = last_number(&self.tail).ok_or("a request without its number")?;
        let stream = memchr::memmem::find(&self.front, b"\"stream\":true").is_some();
        Ok(Step::Asked { number, stream })
    }

    /// The whole answer to a chat request.
    pub(super) fn chat_answer(&mut self, number: u64) -> Vec<u8> {
        let mut answer = std::mem::take(&mut self.spare);
        if self.spare_is != Spare::Answer || answer.is_empty() {
            (answer, self.number_at) = text::answer();
            self.spare_is = Spare::Answer;
        }
        text::write_number(&mut answer[self.number_at..self.number_at + text::DIGITS], number);
        answer
    }

    /// Begins a streamed answer.
    pub(super) fn stream_head(&mut self) -> Vec<u8> {
        (self.streaming, self.number, self.owed) = (true, 0, 0);
        self.spare_is = Spare::Nothing;
        text::STREAM_HEAD.to_vec()
    }

    /// The next event.
    pub(super) fn event(&mut self, time: Duration) -> Vec<u8> {
        let mut event = std::mem::take(&mut self.spare);
        if self.spare_is != Spare::Event || event.is_empty() {
            event = text::event();
            self.spare_is = Spare::Event;
        }
        text::stamp(&mut event, self.number, time);
        self.number += 1;
        event
    }

    /// Ends a streamed answer.
    pub(super) fn last_words(&mut self) -> Vec<u8> {
        self.streaming = false;
        self.spare_is = Spare::Nothing;
        text::last_words()
    }

    /// True between the head of a stream and its last words.
    pub(super) fn is_streaming(&self) -> bool {
        self.streaming
    }

    /// True before the first event of a stream.
    pub(super) fn is_fresh(&self) -> bool {
        self.number == 0
    }

    /// An event was due and could not be sent.
    pub(super) fn owe(&mut self) {
        self.owed += 1;
    }

    /// True if an event is owed, which is then paid.
    pub(super) fn pay(&mut self) -> bool {
        let owes = self.owed > 0;
        self.owed -= u32::from(owes);
        owes
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let text = core::str::from_utf8(head).ok()?;
    let lines = text.split("\r\n").filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, value) = values.next()?;
    value.trim().parse().ok()
}

/// The last run of as many digits as a number has.
fn last_number(tail: &[u8]) -> Option<u64> {
    let runs = tail.rsplit(|byte| !byte.is_ascii_digit());
    text::read_number(runs.into_iter().find(|run| run.len() == text::DIGITS)?)
}
