//! Documents tell what they cost as well: one that is held is edited where it lies in the window, and a
//! longer one is looked through on its way for its usage, which alone is held back until it is complete.
//!
//! Deliberately absent: what is told (`receipt`), and streams (`closing`).

use super::closing::Tell;
use super::{BodyIn, Chunk, Pump};
use crate::base::limits::EVENT_HOLD_BYTES;
use crate::base::record::Usage;
use crate::base::span::Span;
use crate::dialect::{Dialect, Places, Signal};
use crate::exchange::bill::Bill;
use crate::exchange::emit::Emit;
use crate::exchange::receipt::Closing;
use crate::wire::json::seek::{Seek, Step};
use crate::wire::json::splice::Piece;
use crate::wire::parcel::Parcel;

/// Bytes at the front of a long document in which its id is looked for.
const FRONT_BYTES: usize = 1024;
/// What a usage object alone is made an answer of, so that a dialect can read it.
const USAGE: &[u8] = b"{\"usage\":";

impl Pump {
    /// A document is here as a whole, and will be sent from the front of the window: notes what it will tell.
    pub(in crate::exchange) fn tell_document(
        &mut self,
        body: &[u8],
        places: &Places,
        closing: Option<Box<Closing>>,
    ) {
        self.tell.heard.note(places, body);
        self.tell.edits.clear();
        // Zeros are a placeholder: what the answer came to is found out by whoever settles it.
        let counts = |usage: Usage| usage.prompt_tokens > 0 || usage.completion_tokens > 0;
        let is_known = !places.usage.is_empty() && self.seen.usage.is_some_and(counts);
        if is_known && self.tell.bill.as_ref().is_some_and(Bill::tells_cost) {
            let cost = self.cost();
            self.tell.edit_usage(body, places, false, cost.as_ref());
        }
        self.tell.closing = closing;
        self.tell.edit_closing(body);
        self.tell.closing = None;
        self.seen.payload_bytes = self.tell.edits.len(body.len()) as u64;
    }

    /// Writes the document, `window` of the window's storage, with what it tells.
    pub(in crate::exchange) fn push_document(&self, window: Span, parcel: &mut Parcel) {
        for piece in self.tell.edits.pieces(window.len()) {
            match piece {
                Piece::Body(span) => parcel.push_window(span.shifted(window.start as usize)),
                Piece::Own(span) => {
                    let from = parcel.own.len();
                    parcel.own.extend_from_slice(span.of(self.tell.edits.own()));
                    parcel.push_own(from);
                }
            }
        }
    }

    /// A document that begins like this is passed on as it comes: its usage is looked for on the way.
    pub(in crate::exchange) fn seek_usage(&mut self, front: &[u8], dialect: &dyn Dialect) {
        let front = &front[..front.len().min(FRONT_BYTES)];
        self.tell.heard.note(&dialect.names(front), front);
        self.tell.seek = Some(Seek::new(b"usage"));
    }

    /// Passes the first bytes of a body on, ahead of the walk. `bytes` are those of the window.
    pub(in crate::exchange) fn pass_front(&mut self, bytes: &[u8], count: usize, emit: &mut Emit) {
        emit.payload(Span::new(0, count));
        self.seen.payload_bytes += count as u64;
        if let Some(seek) = &mut self.tell.seek {
            // No more than the brace that begins the document.
            seek.feed(&bytes[..count]);
        }
        if let BodyIn::Length { left } = &mut self.body {
            *left -= count as u64;
        }
        if self.unfed.is_empty() {
            self.parsed = count;
        } else {
            self.unfed.start = count as u32;
        }
    }

    /// Passes on what came of a document, but for a usage object that is not complete.
    pub(super) fn feed_document(
        &mut self,
        bytes: &[u8],
        dialect: &dyn Dialect,
        emit: &mut Emit,
        chunk: &mut Option<Chunk>,
    ) {
        while !self.unfed.is_empty() {
            let piece = self.unfed.of(bytes);
            let step = self.tell.seek.as_mut().map_or(Step::More, |seek| seek.feed(piece));
            let used = match step {
                Step::More => piece.len(),
                Step::Begins(at) | Step::Ends(at) => at,
            };
            let passed = Span { end: self.unfed.start + used as u32, ..self.unfed };
            self.unfed.start = passed.end;
            let inside = self.tell.seek.as_ref().is_some_and(Seek::is_inside);
            match step {
                Step::Begins(_) => {
                    self.tell.heard.extend_tail(passed.of(bytes));
                    self.tell.heard.resolve(dialect);
                    self.pass(passed, emit);
                }
                Step::Ends(_) => {
                    self.hold(passed);
                    self.release_found(bytes, dialect, emit, chunk);
                }
                Step::More if inside => {
                    self.hold(passed);
                    if self.pending_bytes > EVENT_HOLD_BYTES {
                        self.tell.seek.iter_mut().for_each(Seek::give_up);
                        self.release_pending(emit);
                    }
                }
                Step::More => {
                    if self.tell.seek.is_some() {
                        self.tell.heard.extend_tail(passed.of(bytes));
                    }
                    self.pass(passed, emit);
                }
            }
        }
        self.unfed = Span::default();
    }

    fn pass(&mut self, span: Span, emit: &mut Emit) {
        emit.payload(span);
        self.seen.payload_bytes += span.len() as u64;
    }

    /// The usage object of a document is complete and held back: lets it go with what it tells.
    fn release_found(
        &mut self,
        bytes: &[u8],
        dialect: &dyn Dialect,
        emit: &mut Emit,
        chunk: &mut Option<Chunk>,
    ) {
        let mut text = core::mem::take(&mut self.tell.data);
        text.clear();
        text.extend_from_slice(USAGE);
        self.pending.iter().for_each(|span| text.extend_from_slice(span.of(bytes)));
        text.push(b'}');
        if let Signal::Usage { usage, .. } = dialect.judge_event(&text) {
            self.seen.usage = Some(self.seen.usage.map_or(usage, |earlier| earlier.updated_by(usage)));
            let places = dialect.places(&text);
            if self.tell.bill.as_ref().is_some_and(Bill::tells_cost) && !places.usage.is_empty() {
                let cost = self.cost();
                self.tell.edits.clear();
                self.tell.edit_usage(&text, &places, false, cost.as_ref());
                *chunk = None;
                let Tell { edits, .. } = &self.tell;
                let length = emit.insert(|out| {
                    let begun = out.len();
                    edits.pieces(text.len()).for_each(|piece| match piece {
                        Piece::Body(span) => out.extend_from_slice(span.of(&text)),
                        Piece::Own(span) => out.extend_from_slice(span.of(edits.own())),
                    });
                    out.drain(begun..begun + USAGE.len());
                    out.pop();
                });
                self.seen.payload_bytes += length as u64;
                self.pending.clear();
                self.pending_bytes = 0;
            }
        }
        self.release_pending(emit);
        text.clear();
        self.tell.data = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::openai::OpenAi;
    use crate::exchange::bill::tests::bill_of;
    use crate::exchange::emit::BodyOut;
    use crate::exchange::pump::{Content, Flow};
    use crate::policy::count::Scratch;
    use crate::wire::buf::Buf;
    use crate::wire::http1::ResponseFraming;

    const COST: &str = ",\"cost\":0.00000000003,\"cost_details\":{\"upstream_inference_cost\":null,\
        \"upstream_inference_prompt_cost\":0.00000000003,\"upstream_inference_completions_cost\":0},\
        \"is_byok\":false";

    /// What a client gets of a document that comes in three reads, and its usage.
    fn passed(text: &str, cuts: [usize; 2], priced: bool) -> (String, Option<Usage>) {
        let mut pump = Pump::idle();
        pump.restart(ResponseFraming::Length(text.len() as u64), Content::Opaque);
        pump.charge(Some(bill_of(priced)));
        pump.seek_usage(&text.as_bytes()[..cuts[0]], &OpenAi);
        let (mut emit, mut parcel) = (Emit::new(BodyOut::Plain), Parcel::default());
        let (mut window, mut sent, mut flow) = (Buf::default(), Vec::new(), Flow::More);
        for read in [&text[..cuts[0]], &text[cuts[0]..cuts[1]], &text[cuts[1]..]] {
            window.push(read.as_bytes());
            flow = pump.run(&window, &OpenAi, &mut emit, &mut parcel, &mut Scratch::default());
            parcel.window = window.lend();
            parcel.pieces.iter().for_each(|piece| sent.extend_from_slice(parcel.bytes(*piece)));
            window.restore(core::mem::take(&mut parcel.window), 0);
            parcel.clear();
            let spent = pump.spent();
            window.take(spent);
            pump.shift(spent);
        }
        assert_eq!((flow, pump.seen().payload_bytes), (Flow::Complete, sent.len() as u64));
        (String::from_utf8(sent).expect("UTF-8"), pump.seen().usage)
    }

    #[track_caller]
    fn check(text: &str, want: &str, prompt_tokens: Option<u64>) {
        for first in 0..text.len() {
            for second in [first, first + 1, first + 9, text.len()] {
                let cuts = [first, second.min(text.len())];
                let (got, usage) = passed(text, cuts, true);
                assert_eq!(got, want, "{cuts:?}");
                assert_eq!(usage.map(|usage| usage.prompt_tokens), prompt_tokens, "{cuts:?}");
                let (got, usage) = passed(text, cuts, false);
                assert_eq!(
                    (&*got, usage.map(|usage| usage.prompt_tokens)),
                    (text, prompt_tokens),
                    "{cuts:?}"
                );
            }
        }
    }

    #[test]
    fn usage_is_found_wherever_a_document_is_cut() {
        let usage = "{\"prompt_tokens\":3,\"total_tokens\":3}";
        let data = "{\"id\":\"e\",\"data\":[{\"usage\":{\"prompt_tokens\":9}}, 0.25],\"usage\": ";
        let costed = format!("{{\"prompt_tokens\":3,\"total_tokens\":3{COST}}}");
        check(&format!("{data}{usage},\"x\":1}}"), &format!("{data}{costed},\"x\":1}}"), Some(3));
        // Another router's figures give way to ours.
        let theirs = "{\"cost\":1,\"prompt_tokens\":3,\"total_tokens\":3,\"is_byok\":true}";
        check(&format!("{data}{theirs}}}"), &format!("{data}{costed}}}"), Some(3));
        check(&format!("{data}{{\"a\":1}}}}"), &format!("{data}{{\"a\":1}}}}"), None);
        check(&format!("{data}null}}"), &format!("{data}null}}"), None);
    }

    #[test]
    fn a_giant_usage_object_is_not_held() {
        let giant = format!(
            "{{\"usage\":{{\"prompt_tokens\":3,\"x\":\"{}\"}},\"z\":1}}",
            "y".repeat(2 * EVENT_HOLD_BYTES)
        );
        assert_eq!(passed(&giant, [EVENT_HOLD_BYTES, giant.len() - 9], true), (giant.clone(), None));
    }
}
