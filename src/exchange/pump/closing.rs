//! What an answer tells beside its content: what it costs, in the usage that ends it, or in a usage event of
//! our own before the end marker; and how it was routed, if its client wants to know.
//!
//! A stream is watched with little effort until an event reports usage; that one is written anew, everything
//! else goes on as it came. Documents have a file of their own (`document`).
//! Deliberately absent: what is told (`receipt`), the figures (`bill`).

use super::told::{Heard, Told};
use super::{Content, Pump};
use crate::base::span::Span;
use crate::dialect::{Dialect, Places, Signal};
use crate::exchange::bill::{self, Bill};
use crate::exchange::emit::Emit;
use crate::exchange::receipt::cost::{self, write_choices, write_members, write_opening, write_usage};
use crate::exchange::receipt::{Closing, closing_brace, write_event};
use crate::wire::journal::{Cost, Ending};
use crate::wire::json::scan::Fields;
use crate::wire::json::seek::Seek;
use crate::wire::json::splice::{Piece, Splice};

/// Most edits of an answer: choices, cost and receipt, and members that are taken out.
const EDITS: usize = 16;
/// Most members that are taken out of a usage object; there are three, which may be there twice.
const REMOVALS: usize = 8;

/// What there is to tell, and what was heard for it.
#[derive(Debug, Default)]
pub(super) struct Tell {
    /// What the answer is charged by, from the commit on.
    pub(super) bill: Option<Bill>,
    /// How it was routed, until that is told.
    pub(super) closing: Option<Box<Closing>>,
    /// What the provider said.
    pub(super) heard: Heard,
    /// The client was told the usage of the whole answer.
    pub(super) told: bool,
    /// The event in hand reports the usage of the whole answer: its data, and where things stand in them.
    pub(super) data: Vec<u8>,
    places: Places,
    /// Nothing but usage is in it.
    only: bool,
    /// The same event as it came.
    raw: Vec<u8>,
    pub(super) edits: Splice<EDITS>,
    /// Where the usage is in a document that is passed on as it comes.
    pub(super) seek: Option<Seek>,
}

impl Tell {
    /// Forgets an answer; keeps the memory.
    pub(super) fn clear(&mut self) {
        (self.bill, self.closing, self.seek, self.told) = (None, None, None, false);
        self.heard.clear();
        self.data.clear();
    }

    /// There is something to tell with the usage of the answer.
    fn tells_usage(&self) -> bool {
        self.closing.is_some() || self.bill.as_ref().is_some_and(Bill::tells_cost)
    }

    /// There is something to tell before the end marker, if nothing else has told it.
    fn tells_at_end(&self) -> bool {
        self.closing.is_some() || (!self.told && self.bill.as_ref().is_some_and(Bill::wants_usage))
    }

    /// Must this event be looked at more closely than to be passed on?
    pub(super) fn holds_up(&mut self, signal: Signal, data: &[u8], dialect: &dyn Dialect) -> bool {
        match signal {
            Signal::Usage { only, .. } if is_final(only, data, dialect) => {
                let tells = self.tells_usage();
                // It goes out as it is, if there is nothing to add to it.
                self.told |= !tells && !dialect.places(data).usage.is_empty();
                tells
            }
            Signal::Usage { .. } => false,
            Signal::Done => self.tells_at_end(),
            Signal::Content | Signal::Error { .. } => false,
        }
    }

    /// Takes note of an event and of what was judged of it, for what is told of it and after it.
    pub(super) fn hear(&mut self, signal: Signal, data: &[u8], dialect: &dyn Dialect) -> Signal {
        self.data.clear();
        if self.heard.listens() {
            self.heard.note(&dialect.names(data), data);
        }
        match signal {
            Signal::Content => self.heard.keep_tail(data),
            Signal::Usage { only, .. } => {
                self.heard.resolve(dialect);
                if is_final(only, data, dialect) {
                    self.places = dialect.places(data);
                    self.heard.note(&self.places, data);
                    // Before the commit nobody has been told anything, nor will be: of usage that comes
                    // first, a second event tells.
                    self.told = self.bill.is_some() && !self.places.usage.is_empty();
                    if self.tells_usage() {
                        self.only = only;
                        self.data.extend_from_slice(data);
                    }
                }
            }
            Signal::Done | Signal::Error { .. } => self.heard.resolve(dialect),
        }
        signal
    }

    /// The event in hand is to be written anew.
    pub(super) const fn rewrites(&self) -> bool {
        !self.data.is_empty()
    }

    /// Is there something to tell before this event, an end marker?
    pub(super) fn precedes(&self, signal: Signal) -> bool {
        signal == Signal::Done && self.tells_at_end()
    }

    /// Edits a usage object so that it says what the answer costs, and the choices beside it so that they are
    /// as this client expects them.
    pub(super) fn edit_usage(&mut self, text: &[u8], places: &Places, only: bool, cost: Option<&Cost>) {
        let Some(bill) = &self.bill else { return };
        if places.costed {
            remove_members(text, places.usage, &mut self.edits);
        }
        let brace = Span { start: places.usage.end - 1, end: places.usage.end - 1 };
        self.edits.replace_with(brace, |own| write_members(own, bill, cost));
        if only && bill.is_openrouter() {
            let reason = self.heard.told().finish_reason;
            self.edits.replace_with(places.choices, |own| write_choices(own, bill, reason));
        }
    }

    /// Edits an object so that it tells how the request was routed.
    pub(super) fn edit_closing(&mut self, text: &[u8]) {
        if self.closing.is_some()
            && let Some(brace) = closing_brace(text)
            && let Some(closing) = self.closing.take()
        {
            self.edits.insert(brace, closing.last_member());
        }
    }
}

/// Is this report of usage that of the whole answer? Others come with each event, or as a placeholder.
fn is_final(only: bool, data: &[u8], dialect: &dyn Dialect) -> bool {
    only || !dialect.finish_reason(data).is_empty()
}

/// Takes out of a usage object what a provider says about money.
#[cold]
fn remove_members(text: &[u8], usage: Span, edits: &mut Splice<EDITS>) {
    let object = &text[..usage.end as usize];
    let Ok(mut fields) = Fields::open(object, usage.start as usize, 1) else { return };
    let (mut turn, mut removed) = (0, 0);
    // The same text was walked when its figures were read.
    while let Ok(Some(field)) = fields.next_field() {
        if cost::MEMBERS.contains(&field.key.of(text)) && removed < REMOVALS {
            edits.remove_field(&field, turn == removed);
            removed += 1;
        }
        turn += 1;
    }
}

impl Pump {
    /// The answer is committed: what it is charged by.
    pub(in crate::exchange) fn charge(&mut self, bill: Option<Bill>) {
        self.tell.bill = bill;
    }

    /// What the answer is charged by; `None` before the commit, and for what is no inference.
    #[must_use]
    pub(in crate::exchange) const fn bill(&self) -> Option<&Bill> {
        self.tell.bill.as_ref()
    }

    /// Lets go of what must not be kept between two answers.
    pub(in crate::exchange) fn empty(&mut self) {
        self.tell.clear();
    }

    /// What the provider said of its answer so far.
    #[must_use]
    pub(in crate::exchange) fn told(&self) -> Told<'_> {
        self.tell.heard.told()
    }

    /// What the end of the stream is to tell.
    pub(in crate::exchange) fn close_with(&mut self, closing: Option<Box<Closing>>) {
        self.tell.closing = closing;
    }

    /// What the end of the stream was to tell and did not.
    pub(in crate::exchange) fn take_closing(&mut self) -> Option<Box<Closing>> {
        self.tell.closing.take()
    }

    /// What the answer costs as far as it was seen, when it is whole.
    pub(super) fn cost(&self) -> Option<Cost> {
        let bill = self.tell.bill.as_ref()?;
        let (usage, _) = bill::figures(self.seen.usage, true, self.counted(), bill.prompt_estimate());
        bill.cost(&usage, self.told(), Ending::Complete).map(|(cost, _)| cost)
    }

    /// Writes the usage event in hand anew, with what is to be told.
    pub(super) fn release_usage(&mut self, bytes: &[u8], emit: &mut Emit) {
        let cost = self.cost();
        let (data, places, only) = (core::mem::take(&mut self.tell.data), self.tell.places, self.tell.only);
        self.tell.edits.clear();
        if !places.usage.is_empty() {
            self.tell.edit_usage(&data, &places, only, cost.as_ref());
        }
        if only {
            self.tell.edit_closing(&data);
        }
        let mut raw = core::mem::take(&mut self.tell.raw);
        raw.clear();
        self.pending.iter().for_each(|span| raw.extend_from_slice(span.of(bytes)));
        let edits = &self.tell.edits;
        let parts = edits.pieces(data.len()).map(|piece| match piece {
            Piece::Body(span) => span.of(&data),
            Piece::Own(span) => span.of(edits.own()),
        });
        let mut written = [&b""[..]; 2 * EDITS + 1];
        let mut count = 0;
        for (place, part) in written.iter_mut().zip(parts) {
            *place = part;
            count += 1;
        }
        let length = emit.insert(|out| {
            let _ = write_event(&raw, &written[..count], out);
        });
        if length == 0 {
            // It has no line of data, which cannot be: but what came goes on.
            self.release_pending(emit);
        }
        self.seen.payload_bytes += length as u64;
        self.pending.clear();
        self.pending_bytes = 0;
        (self.tell.data, self.tell.raw) = (data, raw);
        self.tell.data.clear();
    }

    /// Writes what is to be told before the end marker, or behind the last event where there is none.
    #[cold]
    pub(super) fn write_due(&mut self, emit: &mut Emit) {
        let Some(bill) = &self.tell.bill else { return };
        let told = self.told();
        let tells_usage = bill.wants_usage() && !self.tell.told && self.seen.error.is_none();
        let (usage, _) = bill::figures(self.seen.usage, true, self.counted(), bill.prompt_estimate());
        let cost = bill.cost(&usage, told, Ending::Complete).map(|(cost, _)| cost);
        let closing = &self.tell.closing;
        if !tells_usage && closing.is_none() {
            return;
        }
        let model = bill.model().unwrap_or(self.tell.heard.model());
        let length = emit.insert(|out| {
            write_opening(out, bill, model);
            if tells_usage {
                write_choices(out, bill, told.finish_reason);
                out.extend_from_slice(b",\"usage\":");
                write_usage(out, &usage, bill, cost.as_ref());
            } else {
                out.extend_from_slice(b"[]");
            }
            closing.iter().for_each(|closing| out.extend_from_slice(closing.last_member()));
            out.extend_from_slice(b"}\n\n");
        });
        self.seen.payload_bytes += length as u64;
        (self.tell.told, self.tell.closing) = (true, None);
    }

    /// A stream that was whole without an end marker tells what is to be told behind its last event, unless
    /// that one is unfinished, or an error.
    pub(super) fn close_unmarked(&mut self, dialect: &dyn Dialect, emit: &mut Emit) {
        let unmarked = !self.seen.done && self.seen.error.is_none() && !self.watch.in_event();
        if unmarked && self.tell.tells_at_end() && matches!(self.content, Content::Events { .. }) {
            self.tell.heard.resolve(dialect);
            self.write_due(emit);
        }
    }
}
