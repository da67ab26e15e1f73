//! Intake: collecting one request from a client connection. Everything that can be refused from the head
//! alone is refused before a byte of the body is buffered.
//!
//! Deliberately absent: what the body says (`request`), and trying anything (`attempt`).

use crate::base::fault::DeadlineKind;
use crate::base::ids::GenerationId;
use crate::base::limits::{BODY_AT_ONCE_BYTES, HEAD_BYTES, INBOX_IDLE_BYTES, WINDOW_FIRST_BYTES};
use crate::base::metrics::Counter;
use crate::base::span::Span;
use crate::exchange::close::Answer;
use crate::exchange::receipt::Wishes;
use crate::exchange::reply::Refusal;
use crate::exchange::request::{ClientTerms, FORWARDED};
use crate::exchange::surface::{Surface, surface};
use crate::exchange::{Cx, Exchange, State};
use crate::policy::auth::{Tenant, inference};
use crate::policy::hedge::{BAD_WISH, Wish};
use crate::wire::Parse;
use crate::wire::buf::Buf;
use crate::wire::flaw::Flaw;
use crate::wire::http1::{
    ChunkDecoder, Expect, Repeat, RequestField, RequestFraming, RequestHead, Version, decode_in_place,
    request_head,
};

/// What is known of the request so far.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// How far the search for the end of the head came.
    scanned: usize,
    /// The first byte was seen; the head's deadline runs.
    begun: bool,
    /// A `100 Continue` is on its way.
    continuing: bool,
    head: Option<Accepted>,
    /// The head before this one, on a connection that has carried a request.
    repeat: Option<Box<Repeat>>,
}

/// A head that passed every check that needs no body.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Path and query, as sent.
    pub(super) target: Span,
    pub(super) asides: Asides,
    /// Length of the head in bytes.
    pub(super) head_len: usize,
    pub(super) surface: Surface,
    pub(super) tenant: Tenant,
    pub(super) terms: ClientTerms,
    pub(super) id: GenerationId,
    body: Body,
}

/// What a head says beside whose request it is and how long: mostly nothing.
#[derive(Debug, Default)]
pub(super) struct Asides {
    /// Values of [`FORWARDED`], in its order; an empty one at 0 was not there.
    pub(super) forwarded: [Span; FORWARDED.len()],
    /// `X-Session-Id`, and the header of a harness in its place; empty ones were not there.
    pub(super) session: [Span; 2],
    pub(super) wishes: Wishes,
    /// What it says about being hedged.
    pub(super) hedge: Option<Wish>,
}

impl Asides {
    /// Reads them from a head that has fields few clients send; says what is wrong with them.
    #[inline(never)]
    fn read(&mut self, cx: &Cx<'_>, head: &RequestHead, bytes: &[u8], tenant: Tenant) -> Option<Refusal> {
        if let Some(coding) = head.field(RequestField::ContentEncoding)
            && !coding.of(bytes).eq_ignore_ascii_case(b"identity")
        {
            return Some(Refusal::Flaw(Flaw::ContentEncoding));
        }
        let Ok(hedge) = hedge_wish(cx, head, bytes) else { return Some(Refusal::Preference(BAD_WISH)) };
        let value = |field| head.field(field).unwrap_or_default();
        *self = Self {
            forwarded: FORWARDED.map(|(field, _)| value(field)),
            session: [RequestField::XSessionId, RequestField::HarnessSession].map(value),
            wishes: Wishes::read(head, bytes).permitted(cx.snapshot, tenant),
            hedge,
        };
        None
    }
}

#[derive(Debug)]
enum Body {
    Length(usize),
    /// `payload` bytes are decoded and lie right behind the head.
    Chunked {
        decoder: ChunkDecoder,
        payload: usize,
    },
}

impl Body {
    /// A body framed like this; `None` when it is longer than `most` bytes.
    fn of(framing: RequestFraming, most: usize) -> Option<Self> {
        match framing {
            RequestFraming::None => Some(Self::Length(0)),
            RequestFraming::Length(length) => {
                usize::try_from(length).ok().filter(|length| *length <= most).map(Self::Length)
            }
            RequestFraming::Chunked => Some(Self::Chunked { decoder: ChunkDecoder::new(), payload: 0 }),
        }
    }
}

/// What reading on led to.
enum Progress {
    /// More bytes are needed.
    Wait,
    /// The request is complete; its body has this many bytes.
    Complete(usize),
}

impl Intake {
    /// The next request begins.
    pub(super) fn restart(&mut self) {
        (self.scanned, self.begun, self.continuing, self.head) = (0, false, false, None);
    }

    /// The head, once it is whole and accepted.
    pub(super) const fn accepted(&self) -> Option<&Accepted> {
        self.head.as_ref()
    }

    /// Nothing of a request was seen.
    pub(super) const fn is_untouched(&self) -> bool {
        !self.begun
    }
}

impl Exchange {
    /// Looks at what the client has sent so far.
    pub(super) fn take_in(&mut self, cx: &mut Cx<'_>) {
        // While a receive is in flight the inbox is away; its completion comes back here.
        if !matches!(self.state, State::Intake) || self.intake.continuing || self.client.receiving {
            return;
        }
        if self.intake.head.is_none() {
            if self.inbox.is_empty() {
                return self.receive_from_client(cx);
            }
            if !self.intake.begun {
                self.intake.begun = true;
                self.arm(DeadlineKind::ClientHead, cx.now + cx.snapshot.deadlines.client_head);
            }
            if let Err((refusal, answer)) = self.read_head(cx) {
                return self.refuse(cx, &refusal, answer);
            }
        }
        match self.read_body(cx) {
            Ok(Progress::Wait) => self.receive_from_client(cx),
            Ok(Progress::Complete(body_len)) => self.begin(cx, body_len),
            Err((refusal, answer)) => self.refuse(cx, &refusal, answer),
        }
    }

    /// Parses the head once it is whole, and checks it.
    fn read_head(&mut self, cx: &mut Cx<'_>) -> Result<(), (Refusal, Answer)> {
        // Away while it is asked, since checking the head needs all of us.
        let mut repeat = self.intake.repeat.take();
        let known = repeat.as_mut().and_then(|repeat| repeat.read(self.inbox.bytes()));
        let taken = known.map(|(head, head_len)| self.take_head(cx, head, head_len));
        self.intake.repeat = repeat;
        if let Some(taken) = taken {
            return taken;
        }
        let bytes = self.inbox.bytes();
        match request_head(bytes, &mut self.intake.scanned) {
            Parse::Done { value, used } => {
                if self.client.requests > 0 {
                    self.intake.repeat.get_or_insert_default().keep(&bytes[..used], &value);
                }
                self.take_head(cx, &value, used)
            }
            Parse::Bad(flaw) => Err((Refusal::Flaw(flaw), Answer::closing())),
            Parse::More => {
                self.make_room(cx, HEAD_BYTES + INBOX_IDLE_BYTES, 0);
                Ok(())
            }
        }
    }

    /// Takes in a head that is whole.
    fn take_head(
        &mut self,
        cx: &mut Cx<'_>,
        head: &RequestHead,
        head_len: usize,
    ) -> Result<(), (Refusal, Answer)> {
        cx.count(Counter::Requests);
        self.client.requests += 1;
        self.check_head(cx, head, head_len)?;
        self.intake.continuing = head.expect == Expect::Continue && self.inbox.len() == head_len;
        self.arm(DeadlineKind::ClientBody, cx.now + cx.snapshot.deadlines.client_body);
        if self.intake.continuing {
            self.to_client.own.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.to_client.push_own(0);
            self.send_to_client(cx);
        }
        Ok(())
    }

    /// Checks a head; it is accepted when nothing is wrong with it.
    fn check_head(
        &mut self,
        cx: &mut Cx<'_>,
        head: &RequestHead,
        head_len: usize,
    ) -> Result<(), (Refusal, Answer)> {
        let bytes = self.inbox.bytes();
        let surface = surface(head.method, head.target.of(bytes));
        let id = GenerationId::new(cx.unix, [cx.core.random(), cx.core.random()]);
        let terms = ClientTerms {
            http10: head.version == Version::Http10,
            keep_alive: head.keep_alive
                && self.client.requests < crate::base::limits::REQUESTS_PER_CONNECTION,
            head_only: head.method == crate::wire::http1::Method::Head,
        };
        // A refusal from the head alone leaves the body unread; only without a body can the connection go on.
        let answer = Answer {
            terms,
            keep_alive: terms.keep_alive && head.framing == RequestFraming::None,
            consumed: head_len,
            id: matches!(surface, Surface::Inference { .. }).then_some(id),
        };
        let refuse = |refusal| Err((refusal, answer));
        match surface {
            Surface::Unknown => return refuse(Refusal::PathUnknown),
            Surface::MethodWrong { allow } => return refuse(Refusal::MethodWrong { allow }),
            Surface::Inference { .. } | Surface::Control | Surface::Health => {}
        }
        let tenant = match surface {
            Surface::Health => Tenant { key: None },
            _ => {
                let known = cx.core.tenant(cx.snapshot, presented_key(head, bytes));
                let may = known.and_then(|tenant| match surface {
                    Surface::Inference { .. } => inference(cx.snapshot, tenant),
                    _ => Ok(tenant),
                });
                match may {
                    Ok(tenant) => tenant,
                    Err(denied) => return refuse(Refusal::Denied(denied)),
                }
            }
        };
        let mut asides = Asides::default();
        if let Some(refusal) = head.has_unusual().then(|| asides.read(cx, head, bytes, tenant)).flatten() {
            return refuse(refusal);
        }
        asides.forwarded[0] = head.field(FORWARDED[0].0).unwrap_or_default();
        let Some(body) = Body::of(head.framing, cx.snapshot.limits.body_bytes) else {
            return refuse(Refusal::Flaw(Flaw::BodyTooLarge));
        };
        if let Body::Length(length) = body
            && !self.charge(cx, length)
        {
            return refuse(Refusal::Busy);
        }
        let target = Span { end: head.query.map_or(head.target.end, |query| query.end), ..head.target };
        self.intake.head = Some(Accepted { target, asides, head_len, surface, tenant, terms, id, body });
        Ok(())
    }

    /// Takes in body bytes.
    fn read_body(&mut self, cx: &mut Cx<'_>) -> Result<Progress, (Refusal, Answer)> {
        if self.intake.continuing {
            return Ok(Progress::Wait);
        }
        let Some(accepted) = &mut self.intake.head else { return Ok(Progress::Wait) };
        let head_len = accepted.head_len;
        let limit = cx.snapshot.limits.body_bytes;
        match &mut accepted.body {
            Body::Length(length) => {
                let (whole, length) = (head_len + *length, *length);
                if self.inbox.len() >= whole {
                    return Ok(Progress::Complete(length));
                }
                self.make_room(cx, whole, whole);
            }
            Body::Chunked { decoder, payload } => {
                let raw_at = head_len + *payload;
                let raw = &mut self.inbox.bytes_mut()[raw_at..];
                let refuse = |refusal| Err((refusal, Answer::closing_for(accepted.terms, accepted.id)));
                let (added, consumed, done) = match decode_in_place(decoder, raw) {
                    Ok(decoded) => (decoded.payload_len, decoded.consumed_raw, decoded.done),
                    Err(flaw) => return refuse(Refusal::Flaw(flaw)),
                };
                *payload += added;
                let payload = *payload;
                if payload > limit {
                    return refuse(Refusal::Flaw(Flaw::BodyTooLarge));
                }
                self.inbox.close_gap(raw_at + added, raw_at + consumed);
                if done {
                    return Ok(Progress::Complete(payload));
                }
                let terms = (accepted.terms, accepted.id);
                let due = payload.saturating_sub(self.charged);
                if !self.charge(cx, due) {
                    return Err((Refusal::Busy, Answer::closing_for(terms.0, terms.1)));
                }
                self.make_room(cx, head_len + limit + HEAD_BYTES, 0);
            }
        }
        Ok(Progress::Wait)
    }

    /// Makes the inbox larger when it is full, up to `most` bytes: memory follows what was really sent. Only
    /// up to a bound does it follow what was announced, which the core's budget has been charged with; room
    /// for all of a body spares the copies of growing and lets the kernel receive straight into it. The first
    /// step is to the size of a window, of which the core has spares.
    fn make_room(&mut self, cx: &mut Cx<'_>, most: usize, announced: usize) {
        self.inbox.compact();
        if self.inbox.room() > 0 {
            return;
        }
        let bytes = if (WINDOW_FIRST_BYTES..=BODY_AT_ONCE_BYTES).contains(&announced) {
            announced
        } else {
            (self.inbox.capacity() * 2).min(most).max(WINDOW_FIRST_BYTES)
        };
        let spares = &mut cx.core.spares;
        let larger = if bytes == WINDOW_FIRST_BYTES { spares.window() } else { spares.body(bytes) };
        let smaller = self.inbox.move_to(larger);
        spares.recycle(smaller);
    }

    /// A connection that waits holds no more than it needs: the storage of a long request that was refused
    /// goes.
    pub(super) fn shrink_inbox(&mut self, cx: &mut Cx<'_>) {
        if self.inbox.capacity() > INBOX_IDLE_BYTES && self.inbox.len() <= INBOX_IDLE_BYTES {
            let mut small = Buf::over(cx.core.spares.inbox());
            small.push(self.inbox.bytes());
            cx.core.spares.recycle(core::mem::replace(&mut self.inbox, small).into_storage());
        }
    }

    /// Charges request bytes to the core's budget; false when it is used up.
    fn charge(&mut self, cx: &mut Cx<'_>, bytes: usize) -> bool {
        if cx.core.bodies_bytes + bytes > cx.snapshot.limits.bodies_bytes_per_core {
            return false;
        }
        cx.core.bodies_bytes += bytes;
        self.charged += bytes;
        true
    }

    /// Gives the charged bytes back.
    pub(super) fn discharge(&mut self, cx: &mut Cx<'_>) {
        cx.core.bodies_bytes -= self.charged;
        self.charged = 0;
    }

    /// The `100 Continue` is out: now the body may come.
    pub(super) fn after_continue(&mut self, cx: &mut Cx<'_>) {
        self.intake.continuing = false;
        self.take_in(cx);
    }

    pub(super) fn intake_deadline(&mut self, cx: &mut Cx<'_>, kind: DeadlineKind) {
        let intake = &self.intake;
        // Between two requests, or with a send of ours in flight, there is nobody to tell.
        if intake.is_untouched() || intake.continuing {
            return self.close_now(cx);
        }
        let answer = intake
            .head
            .as_ref()
            .map_or_else(Answer::closing, |accepted| Answer::closing_for(accepted.terms, accepted.id));
        self.refuse(cx, &Refusal::Slow(kind), answer);
    }
}

/// What a client says about being hedged, where clients may say that at all.
fn hedge_wish(cx: &Cx<'_>, head: &RequestHead, bytes: &[u8]) -> Result<Option<Wish>, ()> {
    match head.field(RequestField::XMillraceHedge).filter(|_| cx.snapshot.hedging.per_request) {
        None => Ok(None),
        Some(value) => Wish::read(value.of(bytes)).map(Some).ok_or(()),
    }
}

/// The key a client presents: `Authorization: Bearer`, else `x-api-key`, else `api-key`.
fn presented_key<'b>(head: &RequestHead, bytes: &'b [u8]) -> Option<&'b [u8]> {
    if let Some(field) = head.field(RequestField::Authorization) {
        let value = field.of(bytes);
        // As nearly everybody writes it; a value has no white space at its ends.
        if let Some((b"Bearer ", key)) = value.split_first_chunk()
            && key.first().is_some_and(|first| *first > b' ')
        {
            return Some(key);
        }
        let (scheme, key) = value.split_at_checked(7)?;
        return scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii());
    }
    let field = head.field(RequestField::XApiKey).or_else(|| head.field(RequestField::ApiKey))?;
    Some(field.of(bytes).trim_ascii())
}
