//! A complete request: what it asks for, and the plan of what to try.
//!
//! Deliberately absent: reading it from the connection (`intake`), trying it (`attempt`).

use core::fmt::Write as _;

use crate::base::ids::GenerationId;
use std::rc::Rc;

use crate::base::limits::MODELS_PER_REQUEST;
use crate::base::span::Span;
use crate::base::time::Moment;
use crate::dialect::Api;
use crate::exchange::attempt::Attempt;
use crate::exchange::close::Answer;
use crate::exchange::intake::Accepted;
use crate::exchange::reply::Refusal;
use crate::exchange::surface::Surface;
use crate::exchange::{Cx, Exchange, State};
use crate::policy::auth::Tenant;
use crate::policy::catalog::Snapshot;
use crate::policy::route::{self, Candidate, Plan};
use crate::wire::buf::Buf;
use crate::wire::flaw::Flaw;
use crate::wire::http1::{RequestField, RequestHead};
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
#[derive(Debug)]
pub(super) enum Subject {
    /// An inference.
    Inference {
        /// Which API.
        api: Api,
        /// What its body says. Positions count from the start of the body.
        peek: Box<Peek>,
        /// The requested models, first choice first.
        models: Models,
        /// Usage-only events are left out of the stream.
        drop_usage: bool,
    },
    /// A path for the control plane.
    Control,
}

/// The names of the requested models.
#[derive(Debug, Default)]
pub(super) struct Models(Vec<Box<str>>);

/// A complete request. It exists until an answer is committed.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: GenerationId,
    pub(super) tenant: Tenant,
    pub(super) terms: ClientTerms,
    pub(super) subject: Subject,
    pub(super) head: RequestHead,
    /// Where the body lies in the request's bytes.
    pub(super) body: Span,
    /// When its last byte came.
    pub(super) began: Moment,
}

impl Request {
    /// The client asked for a stream of events.
    pub(super) fn wants_events(&self) -> bool {
        match &self.subject {
            Subject::Inference { peek, .. } => peek.stream,
            Subject::Control => false,
        }
    }

    /// The name to ask a candidate's provider for.
    pub(super) fn upstream_name<'a>(&'a self, snapshot: &'a Snapshot, candidate: Candidate) -> &'a str {
        if let Some(endpoint) = candidate.endpoint {
            return &snapshot.endpoints[endpoint.index()].name;
        }
        match &self.subject {
            Subject::Inference { models, .. } => {
                let name = models.0.get(usize::from(candidate.model)).map_or("", |name| &**name);
                name.split_once('/').map_or(name, |(_, rest)| rest)
            }
            Subject::Control => "",
        }
    }
}

impl Exchange {
    /// The request is complete: decide what to try, or answer at once.
    pub(super) fn begin(&mut self, cx: &mut Cx<'_>, accepted: Accepted, body_len: usize) {
        let whole = accepted.head_len + body_len;
        let answer = Answer {
            terms: accepted.terms,
            keep_alive: accepted.terms.keep_alive,
            consumed: whole,
            id: Some(accepted.id),
        };
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
                    let plan = Plan::single(Candidate { provider, endpoint: None, model: 0 });
                    self.launch(cx, accepted, body_len, Subject::Control, plan);
                }
                None => self.refuse(cx, &Refusal::PathUnknown, Answer { id: None, ..answer }),
            },
            Surface::Inference { api, openrouter } => {
                let body = &self.inbox.bytes()[accepted.head_len..whole];
                match inference(cx.snapshot, accepted.tenant, api, openrouter, body) {
                    Ok((subject, plan)) => self.launch(cx, accepted, body_len, subject, plan),
                    Err(refusal) => self.refuse(cx, &refusal, answer),
                }
            }
            Surface::MethodWrong { .. } | Surface::Unknown => {
                self.refuse(cx, &Refusal::PathUnknown, answer);
            }
        }
    }

    /// Sets the request's bytes apart for replay and tries the first candidate.
    fn launch(&mut self, cx: &mut Cx<'_>, accepted: Accepted, body_len: usize, subject: Subject, plan: Plan) {
        let whole = accepted.head_len + body_len;
        self.set_request_apart(cx, whole);
        let request = Request {
            id: accepted.id,
            tenant: accepted.tenant,
            terms: accepted.terms,
            subject,
            head: accepted.head,
            body: Span::new(accepted.head_len, whole),
            began: cx.now,
        };
        self.total_due = cx.now + cx.snapshot.deadlines.total;
        self.state = State::Attempt(Box::new(Attempt::new(request, plan, cx)));
        self.watch_client(cx);
        self.try_candidate(cx);
    }

    /// Moves the first `whole` held bytes out of the inbox. The inbox gets the storage of a request that has
    /// ended on this core, so nothing is allocated here, and a connection that waits holds one buffer.
    fn set_request_apart(&mut self, cx: &mut Cx<'_>, whole: usize) {
        self.inbox.compact();
        let rest = self.inbox.bytes()[whole..].to_vec();
        let storage = self.inbox.lend().storage;
        match Rc::get_mut(&mut self.request) {
            Some(slot) => *slot = storage,
            None => self.request = Rc::new(storage),
        }
        self.inbox = Buf::over(cx.core.spares.inbox());
        self.inbox.push(&rest);
    }

    /// Forgets the request's bytes; its storage serves the core's next ones.
    pub(super) fn forget_request(&mut self, cx: &mut Cx<'_>) {
        match Rc::get_mut(&mut self.request).map(core::mem::take) {
            Some(storage) => cx.core.spares.recycle(storage),
            // A send still replays it; the last holder frees it.
            None => self.request = Rc::default(),
        }
        self.discharge(cx);
    }
}

/// Reads the body's facts and plans.
fn inference(
    snapshot: &Snapshot,
    tenant: Tenant,
    api: Api,
    openrouter: bool,
    body: &[u8],
) -> Result<(Subject, Plan), Refusal> {
    if body.is_empty() {
        return Err(Refusal::Flaw(Flaw::BodyMissing));
    }
    let peek = peek::peek(body).map_err(Refusal::Flaw)?;
    let models = Models::read(&peek, body).map_err(Refusal::Flaw)?;
    if models.0.is_empty() {
        return Err(Refusal::Flaw(Flaw::Model));
    }
    let plan = route::plan(snapshot, tenant, models.0.iter().map(|name| &**name)).map_err(|_| {
        let mut model = String::new();
        for (turn, name) in models.0.iter().enumerate() {
            let separator = if turn == 0 { "" } else { ", " };
            let _ = write!(model, "{separator}{name}");
        }
        Refusal::ModelUnknown { model }
    })?;
    let drop_usage = peek.stream && !peek.include_usage && !openrouter;
    Ok((Subject::Inference { api, peek: Box::new(peek), models, drop_usage }, plan))
}

impl Models {
    fn read(peek: &Peek, body: &[u8]) -> Result<Self, Flaw> {
        let mut names = Vec::with_capacity(1);
        if peek.model.is_some() {
            names.push(peek.model_name(body).ok_or(Flaw::Model)?.into());
        }
        names.extend(peek::model_names(body, peek).take(MODELS_PER_REQUEST).map(Box::from));
        Ok(Self(names))
    }
}

/// Fields of the client's head that a provider may see; everything else stays here.
pub(super) const FORWARDED: &[(RequestField, &str)] = &[
    (RequestField::Accept, "accept"),
    (RequestField::IdempotencyKey, "idempotency-key"),
    (RequestField::OpenAiBeta, "openai-beta"),
];
