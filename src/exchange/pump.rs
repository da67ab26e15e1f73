//! The pump: walks once over the bytes an upstream sends, finds the ends of chunks and events, and hands
//! complete events to `emit`. The same code runs before the commit (looking for the first real event) and
//! after it.
//!
//! ```text
//!  window:  |<-- sent before -->|<-- emitted now -->|<-- unfinished event -->|<-- room -->|
//!                               0                   keep                     parsed
//! ```
//!
//! An unfinished event is held back, so that what the client has is always whole events: a truncated stream
//! can be ended with an error event, and a usage event can be left out although it came in two reads. An
//! event longer than `limits::EVENT_HOLD_BYTES` is passed on as it comes.
//! Deliberately absent: heads, sockets, deadlines, and whether a failure can still fail over.

mod closing;
mod counting;
mod document;
mod told;
mod whole;

pub(super) use told::Told;

use crate::base::limits::EVENT_HOLD_BYTES;
use crate::base::record::Usage;
use crate::base::span::Span;
use crate::dialect::{Dialect, Signal};
use crate::exchange::emit::{BodyOut, Emit, Mark};
use crate::policy::count::{Meter, Scratch, Terms};
use crate::wire::Parse;
use crate::wire::buf::Buf;
use crate::wire::http1::{ChunkDecoder, ChunkItem, ResponseFraming};
use crate::wire::parcel::Parcel;
use crate::wire::sse::{EventKind, Watch};
use closing::Tell;

/// Why the pump stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Everything present was looked at.
    More,
    /// The first real event is complete and held: [`Pump::accept_first`] lets it go.
    First(Signal),
    /// The body ended as its framing announced.
    Complete,
    /// The framing is broken.
    Bad,
}

/// What was seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Data events.
    pub(super) events: u64,
    /// Payload bytes given to the client.
    pub(super) payload_bytes: u64,
    /// The end marker.
    pub(super) done: bool,
    /// Status of an in-band error.
    pub(super) error: Option<u16>,
    /// Usage as of the last report.
    pub(super) usage: Option<Usage>,
    /// How many data events there were when it came, itself included.
    pub(super) usage_at: u64,
}

impl Seen {
    const NOTHING: Self =
        Self { events: 0, payload_bytes: 0, done: false, error: None, usage: None, usage_at: 0 };

    fn note(&mut self, signal: Signal) {
        match signal {
            Signal::Content => self.events += 1,
            Signal::Usage { usage, .. } => {
                self.events += 1;
                self.usage = Some(self.usage.map_or(usage, |earlier| earlier.updated_by(usage)));
                self.usage_at = self.events;
            }
            Signal::Error { status } => {
                self.events += 1;
                self.error = Some(status);
            }
            Signal::Done => self.done = true,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum BodyIn {
    Length { left: u64 },
    Chunked(ChunkDecoder),
    Close,
    Ended,
}

/// Which of the upstream's chunks can still be passed on verbatim.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    start: usize,
    size: u64,
    mark: Mark,
}

/// How to look at a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Server-sent events; `drop_usage` leaves usage-only events out.
    Events {
        /// The client neither asked for usage events nor expects them.
        drop_usage: bool,
    },
    /// Anything else: passed on as it comes.
    Opaque,
}

/// One answer on its way. All positions count from the first held byte of the window.
#[derive(Debug)]
pub(super) struct Pump {
    body: BodyIn,
    content: Content,
    watch: Watch,
    parsed: usize,
    /// Payload of the unfinished event (or of the first event until it is accepted).
    pending: Vec<Span>,
    pending_bytes: usize,
    /// Payload of the chunk in hand that the watch has not seen yet.
    unfed: Span,
    giant: bool,
    /// An event said that the answer ends there; looked for only where nothing else proves the end.
    finished: bool,
    awaiting_first: bool,
    /// Nothing of the stream was left out yet.
    at_start: bool,
    /// What the answer tells beside its content.
    tell: Tell,
    seen: Seen,
    meter: Meter,
    /// Bytes of the unfinished event, passed on or held.
    event_bytes: u64,
}

impl Pump {
    /// With nothing to do.
    #[must_use]
    pub(super) fn idle() -> Self {
        Self {
            body: BodyIn::Ended,
            content: Content::Opaque,
            watch: Watch::new(),
            parsed: 0,
            pending: Vec::new(),
            pending_bytes: 0,
            unfed: Span { start: 0, end: 0 },
            giant: false,
            finished: false,
            awaiting_first: false,
            at_start: true,
            tell: Tell::default(),
            seen: Seen::NOTHING,
            meter: Meter::new(),
            event_bytes: 0,
        }
    }

    /// Begins an answer framed like this.
    pub(super) fn restart(&mut self, framing: ResponseFraming, content: Content) {
        self.body = match framing {
            ResponseFraming::None | ResponseFraming::Length(0) => BodyIn::Ended,
            ResponseFraming::Length(left) => BodyIn::Length { left },
            ResponseFraming::Chunked => BodyIn::Chunked(ChunkDecoder::new()),
            ResponseFraming::Close => BodyIn::Close,
        };
        self.content = content;
        self.watch = Watch::new();
        self.parsed = 0;
        self.pending.clear();
        self.pending_bytes = 0;
        self.unfed = Span::default();
        (self.giant, self.finished, self.at_start) = (false, false, true);
        self.awaiting_first = matches!(content, Content::Events { .. });
        self.tell.clear();
        self.seen = Seen::NOTHING;
        self.meter.restart(Terms::PLAIN);
        self.event_bytes = 0;
    }

    /// Begins a chunked answer whose first `payload` bytes were decoded already and lie at the front of the
    /// window.
    pub(super) fn resume(&mut self, decoder: ChunkDecoder, payload: usize) {
        self.restart(ResponseFraming::Close, Content::Opaque);
        self.body = BodyIn::Chunked(decoder);
        self.unfed = Span::new(0, payload);
        self.parsed = payload;
    }

    /// An answer that is complete: `payload` bytes at the front of the window, all of which are being sent.
    pub(super) fn hold_whole(&mut self, payload: usize, usage: Option<Usage>) {
        self.restart(ResponseFraming::None, Content::Opaque);
        self.parsed = payload;
        (self.seen.payload_bytes, self.seen.usage) = (payload as u64, usage);
    }

    /// An event too long to hold is being passed on: what the client has ends in its middle.
    #[must_use]
    pub(super) const fn mid_event(&self) -> bool {
        self.giant
    }

    /// What was seen so far.
    #[must_use]
    pub(super) const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The upstream's framing said that the body is over.
    #[must_use]
    pub(super) const fn ended(&self) -> bool {
        matches!(self.body, BodyIn::Ended)
    }

    /// The end of the connection: true when that is how this body ends, no event was cut, and a stream has
    /// said that it is over. Framing proves nothing here, so a stream without its last words counts as cut.
    pub(super) fn end_of_connection(&mut self) -> bool {
        let said = self.seen.done || self.finished || self.content == Content::Opaque;
        let whole = matches!(self.body, BodyIn::Close) && !self.watch.in_event() && said;
        if whole {
            self.body = BodyIn::Ended;
        }
        whole
    }

    /// Bytes at the front of the window that are no longer needed once the parcel is sent.
    #[must_use]
    pub(super) fn spent(&self) -> usize {
        match self.pending.first() {
            Some(first) => first.start as usize,
            None if self.unfed.is_empty() => self.parsed,
            None => self.unfed.start as usize,
        }
    }

    /// The window dropped its first `count` bytes.
    pub(super) fn shift(&mut self, count: usize) {
        self.parsed -= count;
        let moved = |span: &mut Span| {
            span.start -= count as u32;
            span.end -= count as u32;
        };
        self.pending.iter_mut().for_each(moved);
        if self.unfed.is_empty() {
            self.unfed = Span::default();
        } else {
            moved(&mut self.unfed);
        }
    }

    /// Lets the first event go: the answer is committed. `behind_ours` are the window's bytes when something
    /// of our own went before: there, a byte order mark would no longer stand at the start of the stream.
    pub(super) fn accept_first(&mut self, behind_ours: Option<&[u8]>, emit: &mut Emit) {
        if let Some(bytes) = behind_ours {
            self.drop_mark(bytes);
        }
        self.awaiting_first = false;
        self.giant = self.watch.in_event();
        self.release_pending(emit);
    }

    fn drop_mark(&mut self, bytes: &[u8]) {
        const MARK: &[u8] = b"\xEF\xBB\xBF";
        let begins = self.pending.iter().flat_map(|span| span.of(bytes)).take(MARK.len());
        if !self.at_start || !begins.eq(MARK) {
            return;
        }
        let mut left = MARK.len();
        self.pending.retain_mut(|span| {
            let gone = left.min(span.len());
            left -= gone;
            span.start += gone as u32;
            !span.is_empty()
        });
        self.pending_bytes -= MARK.len();
    }

    /// Looks at everything new in the window; complete events go to `emit`, which is flushed before
    /// returning.
    pub(super) fn run(
        &mut self,
        window: &Buf,
        dialect: &dyn Dialect,
        emit: &mut Emit,
        parcel: &mut Parcel,
        scratch: &mut Scratch,
    ) -> Flow {
        let (base, bytes) = (window.cursors().0, window.bytes());
        if self.may_pass_chunks(emit) && self.pass_chunks(bytes, dialect, emit, base, parcel, scratch) {
            return Flow::More;
        }
        let flow = self.walk(bytes, dialect, emit, base, parcel, scratch);
        if flow == Flow::Complete && !self.awaiting_first {
            // A stream may end without the last blank line; what is there is the client's.
            self.release_pending(emit);
            self.close_unmarked(dialect, emit);
        }
        if !self.awaiting_first {
            emit.flush(base, parcel);
        }
        flow
    }

    fn walk(
        &mut self,
        bytes: &[u8],
        dialect: &dyn Dialect,
        emit: &mut Emit,
        base: usize,
        parcel: &mut Parcel,
        scratch: &mut Scratch,
    ) -> Flow {
        let mut chunk: Option<Chunk> = None;
        loop {
            if !self.unfed.is_empty()
                && let Some(signal) = self.feed(bytes, dialect, emit, &mut chunk, scratch)
            {
                return Flow::First(signal);
            }
            match &mut self.body {
                BodyIn::Ended => return Flow::Complete,
                BodyIn::Length { .. } | BodyIn::Close if self.parsed == bytes.len() => return Flow::More,
                BodyIn::Close => self.unfed = Span::new(self.parsed, bytes.len()),
                BodyIn::Length { left } => {
                    let here = usize::try_from(*left)
                        .map_or(bytes.len(), |left| bytes.len().min(self.parsed + left));
                    *left -= (here - self.parsed) as u64;
                    self.unfed = Span::new(self.parsed, here);
                    if *left == 0 {
                        self.body = BodyIn::Ended;
                    }
                }
                BodyIn::Chunked(decoder) => match decoder.next(&bytes[self.parsed..]) {
                    Parse::More => return Flow::More,
                    Parse::Bad(_) => return Flow::Bad,
                    Parse::Done { value, used } => {
                        let from = self.parsed;
                        self.parsed += used;
                        self.on_chunk_item(value, from, emit, &mut chunk, base, parcel);
                        continue;
                    }
                },
            }
            self.parsed = self.unfed.end as usize;
        }
    }

    fn on_chunk_item(
        &mut self,
        item: ChunkItem,
        from: usize,
        emit: &mut Emit,
        chunk: &mut Option<Chunk>,
        base: usize,
        parcel: &mut Parcel,
    ) {
        match item {
            ChunkItem::Start { size, canonical } => {
                let verbatim = canonical && self.pending.is_empty() && emit.out() == BodyOut::Chunked;
                *chunk = verbatim.then(|| Chunk { start: from, size, mark: emit.mark() });
            }
            ChunkItem::Data { .. } => self.unfed = Span::new(from, self.parsed),
            ChunkItem::DataEnd => {
                // Every byte of this chunk went to the client, in this window: send the chunk as it came.
                if let Some(whole) = chunk.take()
                    && emit.since(whole.mark) as u64 == whole.size
                {
                    emit.rewind(whole.mark);
                    emit.verbatim(Span::new(whole.start, self.parsed), base, parcel);
                }
            }
            ChunkItem::Trailer => {}
            ChunkItem::End => self.body = BodyIn::Ended,
        }
    }

    /// Shows `unfed` to the watch, event by event. `Some` when the first real event is complete and nobody
    /// has accepted it yet.
    fn feed(
        &mut self,
        bytes: &[u8],
        dialect: &dyn Dialect,
        emit: &mut Emit,
        chunk: &mut Option<Chunk>,
        scratch: &mut Scratch,
    ) -> Option<Signal> {
        let Content::Events { drop_usage } = self.content else {
            self.feed_document(bytes, dialect, emit, chunk);
            return None;
        };
        let unproven = matches!(self.body, BodyIn::Close);
        while !self.unfed.is_empty() {
            let start = self.unfed.start as usize;
            let fed = self.watch.feed(self.unfed.of(bytes));
            let used = Span::new(start, start + fed.used);
            self.event_bytes += fed.used as u64;
            let verdict = fed.event.map(|event| match event.kind {
                EventKind::Comment => None,
                EventKind::Done => Some(self.tell.hear(Signal::Done, event.data, dialect)),
                EventKind::Data if event.truncated => {
                    self.meter.rough(self.event_bytes);
                    Some(self.tell.hear(Signal::Content, b"", dialect))
                }
                EventKind::Data => {
                    self.meter.event(dialect, event.data, scratch);
                    self.finished |= unproven && dialect.ends_answer(event.data);
                    let signal = dialect.judge_event(event.data);
                    Some(self.tell.hear(signal, event.data, dialect))
                }
            });
            self.unfed.start = used.end;
            self.hold(used);
            if verdict.is_some() {
                self.event_bytes = 0;
                self.giant &= self.awaiting_first;
            }
            match verdict {
                None if self.giant || self.pending_bytes > EVENT_HOLD_BYTES => {
                    // Too long to hold: from here on it is passed through, whatever it is.
                    if self.awaiting_first {
                        return Some(Signal::Content);
                    }
                    self.giant = true;
                    self.release_pending(emit);
                }
                None => {}
                Some(None) if self.awaiting_first => self.forget_pending(),
                Some(None) => self.release_pending(emit),
                Some(Some(signal)) => {
                    self.seen.note(signal);
                    if drop_usage && matches!(signal, Signal::Usage { only: true, .. }) {
                        self.forget_pending();
                        *chunk = None;
                    } else if self.awaiting_first {
                        return Some(signal);
                    } else {
                        self.release_event(signal, bytes, emit, chunk);
                    }
                }
            }
        }
        None
    }

    /// Lets an event go, with what the answer tells in it or before it.
    #[inline]
    fn release_event(&mut self, signal: Signal, bytes: &[u8], emit: &mut Emit, chunk: &mut Option<Chunk>) {
        if self.tell.rewrites() {
            *chunk = None;
            return self.release_usage(bytes, emit);
        }
        if self.tell.precedes(signal) {
            *chunk = None;
            self.write_due(emit);
        }
        self.release_pending(emit);
    }

    fn hold(&mut self, span: Span) {
        match self.pending.last_mut() {
            Some(last) if last.end == span.start => last.end = span.end,
            _ => self.pending.push(span),
        }
        self.pending_bytes += span.len();
    }

    fn release_pending(&mut self, emit: &mut Emit) {
        for span in self.pending.drain(..) {
            emit.payload(span);
        }
        self.seen.payload_bytes += self.pending_bytes as u64;
        self.pending_bytes = 0;
    }

    fn forget_pending(&mut self) {
        self.at_start = false;
        self.pending.clear();
        self.pending_bytes = 0;
    }
}
