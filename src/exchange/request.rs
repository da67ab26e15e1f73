//! A complete request: what it asks for, and the plan of what to try.
//!
//! Deliberately absent: reading it from the connection (`intake`), trying it (`attempt`).

use std::borrow::Cow;
use std::rc::Rc;

use crate::base::ids::GenerationId;
use crate::base::limits::MODELS_PER_REQUEST;
use crate::base::metrics::Counter;
use crate::base::span::Span;
use crate::base::time::Moment;
use crate::dialect::Api;
use crate::exchange::attempt::Attempt;
use crate::exchange::auto::{self, Chosen};
use crate::exchange::close::Answer;
use crate::exchange::ledger::prompt_tokens;
use crate::exchange::receipt::{Receipt, Wishes};
use crate::exchange::reply::Refusal;
use crate::exchange::surface::Surface;
use crate::exchange::{Cx, Exchange, State, availability};
use crate::policy::auth::Tenant;
use crate::policy::hedge::Wish;
use crate::policy::route::{self, Ask, Plan, Scene};
use crate::policy::sticky::{Conversation, Recall, Recalled};
use crate::wire::buf::Buf;
use crate::wire::flaw::Flaw;
use crate::wire::http1::RequestField;
use crate::wire::journal::Full;
use crate::wire::json::peek::{self, Peek};

/// What the client's connection allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientTerms {
    /// No chunked coding, no second request.
    pub(super) http10: bool,
    /// Another request may follow.
    pub(super) keep_alive: bool,
    /// HEAD: the answer has no body.
    pub(super) head_only: bool,
}

/// What a request is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject {
    /// An inference.
    Inference {
        /// Which API.
        api: Api,
        /// The client asked for a stream of events.
        stream: bool,
        /// Usage-only events are left out of the stream.
        drop_usage: bool,
        /// The client speaks OpenRouter's API.
        openrouter: bool,
        /// What `millrace/auto` has decided.
        auto: Option<Chosen>,
    },
    /// A path for the control plane.
    Control,
}

/// A complete request. It exists until an answer is committed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) id: GenerationId,
    pub(super) tenant: Tenant,
    pub(super) wishes: Wishes,
    pub(super) terms: ClientTerms,
    pub(super) subject: Subject,
    /// Path and query, as sent.
    pub(super) target: Span,
    /// Values of [`FORWARDED`], in its order; an empty one at 0 was not there.
    pub(super) forwarded: [Span; FORWARDED.len()],
    /// What it says about being hedged.
    pub(super) hedge: Option<Wish>,
    /// Tokens of its prompt as far as its bytes tell; 0 for what is no inference.
    pub(super) prompt_tokens: u32,
    /// Where the body lies in the request's bytes.
    pub(super) body: Span,
    /// When its last byte came.
    pub(super) began: Moment,
}

impl Request {
    /// The client asked for a stream of events.
    pub(super) const fn wants_events(&self) -> bool {
        matches!(self.subject, Subject::Inference { stream: true, .. })
    }
}

impl Exchange {
    /// The request is complete: decide what to try, or answer at once.
    pub(super) fn begin(&mut self, cx: &mut Cx<'_>, body_len: usize) {
        let Some(accepted) = self.intake.accepted() else { return };
        let (head_len, terms, tenant, id) = (accepted.head_len, accepted.terms, accepted.tenant, accepted.id);
        let wishes = accepted.asides.wishes;
        let whole = head_len + body_len;
        let answer = Answer { terms, keep_alive: terms.keep_alive, consumed: whole, id: Some(id) };
        self.leaves_nulls_out = false;
        match accepted.surface {
            Surface::Health => {
                let answer = Answer { id: None, ..answer };
                let (status, text) = if self.client.draining { (503, "draining") } else { (200, "ok") };
                let body = |out: &mut Vec<u8>| {
                    out.extend_from_slice(format!("{{\"status\":\"{text}\"}}").as_bytes())
                };
                self.answer(cx, status, answer, body, None);
            }
            Surface::Control => match cx.snapshot.control {
                Some(provider) => {
                    let mut route = (Plan::single(provider), None);
                    self.launch(cx, body_len, Subject::Control, &mut route, None);
                }
                None => self.refuse(cx, &Refusal::PathUnknown, Answer { id: None, ..answer }),
            },
            Surface::Inference { api, openrouter } => {
                let body = &self.inbox.bytes()[head_len..whole];
                if body.is_empty() {
                    return self.refuse(cx, &Refusal::Flaw(Flaw::BodyMissing), answer);
                }
                let session = accepted.asides.session.map(|span| span.of(self.inbox.bytes()));
                let mut peek = cx.core.peek.take().unwrap_or_default();
                let read = peek.read(body).map_err(Refusal::Flaw);
                let mut route = (Plan::EMPTY, None);
                let said = (&*peek, body);
                match read.and_then(|()| planned(cx, tenant, wishes, (api, session), said, &mut route)) {
                    Ok(auto) => {
                        let drop_usage = peek.stream && !peek.include_usage && !openrouter;
                        let subject =
                            Subject::Inference { api, stream: peek.stream, drop_usage, openrouter, auto };
                        self.leaves_nulls_out = openrouter && peek.stream;
                        self.launch(cx, body_len, subject, &mut route, Some(&peek));
                    }
                    Err(refusal) => self.refuse(cx, &refusal, answer),
                }
                cx.core.peek = Some(peek);
            }
            Surface::MethodWrong { .. } | Surface::Unknown => {
                self.refuse(cx, &Refusal::PathUnknown, answer);
            }
        }
    }

    /// Sets the request's bytes apart for replay and tries the first candidate.
    fn launch(
        &mut self,
        cx: &mut Cx<'_>,
        body_len: usize,
        subject: Subject,
        (plan, receipt): &mut Route,
        peek: Option<&Peek>,
    ) {
        let Some(accepted) = self.intake.accepted() else { return };
        let whole = accepted.head_len + body_len;
        let body = Span::new(accepted.head_len, whole);
        let bytes = body.of(self.inbox.bytes());
        let request = Request {
            id: accepted.id,
            tenant: accepted.tenant,
            wishes: accepted.asides.wishes,
            terms: accepted.terms,
            subject,
            target: accepted.target,
            forwarded: accepted.asides.forwarded,
            hedge: accepted.asides.hedge,
            prompt_tokens: peek.map_or(0, |peek| prompt_tokens(peek, bytes)),
            body,
            began: cx.now,
        };
        let mut attempt = Attempt::begin(request, plan, cx);
        attempt.receipt = receipt.take();
        if let Some(peek) = peek
            && self.account.admit(cx, &attempt, (peek, bytes)) == Err(Full)
        {
            cx.count(Counter::RequestsUnjournaled);
            let terms = request.terms;
            cx.core.retire_attempt(attempt);
            let answer =
                Answer { terms, keep_alive: terms.keep_alive, consumed: whole, id: Some(request.id) };
            return self.refuse(cx, &Refusal::LedgerFull, answer);
        }
        self.set_request_apart(cx, whole);
        self.total_due = cx.now + cx.snapshot.deadlines.total;
        self.state = State::Attempt(attempt);
        self.watch_client(cx);
        self.try_candidate(cx, peek);
    }

    /// Moves the first `whole` held bytes out of the inbox. The inbox gets the storage of a request that has
    /// ended on this core, so nothing is allocated here, and a connection that waits holds one buffer.
    fn set_request_apart(&mut self, cx: &mut Cx<'_>, whole: usize) {
        self.inbox.compact();
        let bytes = self.inbox.bytes();
        let rest = if bytes.len() == whole { Vec::new() } else { bytes[whole..].to_vec() };
        let storage = self.inbox.lend().storage;
        match Rc::get_mut(&mut self.request) {
            Some(slot) => *slot = storage,
            None => self.request = Rc::new(storage),
        }
        self.inbox = Buf::over(cx.core.spares.inbox());
        if !rest.is_empty() {
            self.inbox.push(&rest);
        }
    }

    /// Forgets the request's bytes; its storage serves the core's next ones.
    pub(super) fn forget_request(&mut self, cx: &mut Cx<'_>) {
        if !self.origin.sending {
            // It may have been written for a connection that never came.
            self.to_origin.clear();
        }
        match Rc::get_mut(&mut self.request).map(core::mem::take) {
            Some(storage) => cx.core.spares.recycle(storage),
            // A send still replays it; the last holder frees it.
            None => self.request = Rc::default(),
        }
        self.discharge(cx);
    }
}

/// A plan, and how it was made for a client that wants to know.
type Route = (Plan, Option<Box<Receipt>>);

/// Plans for the models that the body names, or that are chosen in place of `millrace/auto`. The plan is
/// large: it goes to `route`, and from there where it stays.
fn planned(
    cx: &mut Cx<'_>,
    tenant: Tenant,
    wishes: Wishes,
    (api, session): (Api, [&[u8]; 2]),
    (peek, body): (&Peek, &[u8]),
    route: &mut Route,
) -> Result<Option<Chosen>, Refusal> {
    // Read once, and used for each look at the names.
    let first = first_name(peek, body);
    let names = || names_after(first.as_deref().map(Cow::Borrowed), peek, body);
    if first.is_none() && names().next().is_none() {
        return Err(Refusal::Flaw(Flaw::Model));
    }
    let mut ask = Ask::NOTHING;
    ask.fill(peek, body).map_err(Refusal::Preference)?;
    let conversation = Conversation::of(peek, body, session[0], session[1]).map_err(Refusal::Flaw)?;
    match api {
        Api::ChatCompletions | Api::Completions => ask.conversation = conversation,
        // Embeddings have no prompt that a provider would cache.
        Api::Embeddings => {}
    }
    if ask.preferences.unknown > 0 {
        cx.core.counters.add(Counter::PreferencesUnknown, u64::from(ask.preferences.unknown));
    }
    let random = cx.core.random();
    cx.core.health.follow(cx.snapshot, cx.now);
    cx.core.health.request(cx.now);
    let scene = Scene {
        snapshot: cx.snapshot,
        live: cx.core.health.live(),
        random,
        minute: cx.unix.minute_of_day(),
        sticky: cx.core.sticky.as_ref().map(|memory| Recall { memory, now: cx.now }),
    };
    let auto = match auto::names(&scene, tenant, &ask, (peek, body), names)? {
        Some(chosen) => {
            planned_for(&scene, tenant, wishes, &ask, || chosen.iter(), route)?;
            if let (Some(receipt), Some(router)) = (&mut route.1, names().next()) {
                receipt.chosen_for(&router);
            }
            Some(chosen.chosen)
        }
        None => {
            planned_for(&scene, tenant, wishes, &ask, names, route)?;
            None
        }
    };
    match route.0.recalled() {
        Recalled::Unasked => {}
        Recalled::Missed => cx.count(Counter::StickyMisses),
        Recalled::Kept => cx.count(Counter::StickyHits),
        Recalled::Broken => cx.count(Counter::StickyBroken),
    }
    Ok(auto)
}

fn planned_for<M: Iterator<Item: AsRef<str>>>(
    scene: &Scene<'_>,
    tenant: Tenant,
    wishes: Wishes,
    ask: &Ask<'_>,
    names: impl Fn() -> M,
    route: &mut Route,
) -> Result<(), Refusal> {
    if wishes.tells() {
        *route = told(scene, tenant, wishes, ask, names)?;
        return Ok(());
    }
    match route::plan(scene, tenant, ask, names()) {
        Ok(plan) => route.0 = plan,
        Err(why) => return Err(availability::refusal(why, scene, tenant, ask, names)),
    }
    Ok(())
}

/// The same, told while it is done.
#[cold]
fn told<M: Iterator<Item: AsRef<str>>>(
    scene: &Scene<'_>,
    tenant: Tenant,
    wishes: Wishes,
    ask: &Ask<'_>,
    names: impl Fn() -> M,
) -> Result<Route, Refusal> {
    let all = names().map(|name| name.as_ref().to_owned()).collect();
    let (told, plan) = route::Receipt::new(scene, tenant, ask, all);
    let receipt = Receipt::new(&told, scene.snapshot, tenant, wishes);
    let why = match plan {
        Ok(plan) => return Ok((plan, Some(Box::new(receipt)))),
        Err(why) => why,
    };
    let mut refusal = availability::refusal(why, scene, tenant, ask, names);
    if let Refusal::Unavailable(availability) = &mut refusal {
        // Nothing was tried.
        availability.metadata = Some(receipt.json(&[], core::iter::empty(), None));
    }
    Err(refusal)
}

/// The requested models, first choice first.
pub(super) fn requested_names<'b>(
    peek: &Peek,
    body: &'b [u8],
) -> impl Iterator<Item = Cow<'b, str>> + use<'b> {
    names_after(first_name(peek, body), peek, body)
}

/// What `model` names.
fn first_name<'b>(peek: &Peek, body: &'b [u8]) -> Option<Cow<'b, str>> {
    match peek.model {
        Some(name) if !peek.model_escaped => core::str::from_utf8(name.of(body)).ok().map(Cow::Borrowed),
        Some(_) => peek.model_name(body),
        None => None,
    }
}

/// This name, and behind it those of `models`.
fn names_after<'b>(
    first: Option<Cow<'b, str>>,
    peek: &Peek,
    body: &'b [u8],
) -> impl Iterator<Item = Cow<'b, str>> + use<'b> {
    first.into_iter().chain(peek::model_names(body, peek).take(MODELS_PER_REQUEST))
}

/// Fields of the client's head that a provider may see; everything else stays here.
pub(super) const FORWARDED: [(RequestField, &str); 3] = [
    (RequestField::Accept, "accept"),
    (RequestField::IdempotencyKey, "idempotency-key"),
    (RequestField::OpenAiBeta, "openai-beta"),
];
