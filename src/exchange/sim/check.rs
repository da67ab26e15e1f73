//! The laws: what must be true of every run, whatever the scenario.
//!
//! Deliberately absent: what one particular case demands (`expect`).

use crate::base::fault::Fault;
use crate::base::record::{Outcome, Record};
use crate::exchange::nulls;
use crate::exchange::sim::case::{Case, ClientStep, Config};
use crate::exchange::sim::costs::uncosted;
use crate::exchange::sim::http::{Block, Kind, Message, Reader, blocks};
use crate::exchange::sim::ledger;
use crate::exchange::sim::report::{AttemptReport, ClientReport, End, Report};
use crate::exchange::sim::setup::{CLIENT_KEY, credential};
use crate::exchange::sim::told::{attempts_agree, untold};

type Verdict = Result<(), String>;

/// Longest event that is held back; a longer one may be cut in its middle.
const GIANT: usize = 16 * 1024;

/// Checks every law.
///
/// # Errors
/// The first law that is broken, in words.
pub fn laws(case: &Case, report: &Report) -> Verdict {
    if report.bodies_bytes != 0 && report.clients.iter().all(|one| one.end != End::Kept || one.done) {
        return Err(format!("{} request bytes are still charged", report.bodies_bytes));
    }
    for (index, client) in report.clients.iter().enumerate() {
        let attempts: Vec<&AttemptReport> =
            report.attempts.iter().filter(|attempt| attempt.client == index).collect();
        let requests = sent_by(&case.clients[index]);
        let view =
            View { case, steps: &case.clients[index], client, attempts: &attempts, requests: &requests };
        view.check().map_err(|why| format!("client {}: {why}", index + 1))?;
    }
    ledger::laws(case, report)
}

/// The requests of a client that give a record each, as far as its bytes can be read.
fn sent_by(steps: &[ClientStep]) -> Vec<Message> {
    let mut reader = Reader::new(Kind::Request);
    for step in steps {
        if let ClientStep::Send(bytes) = step {
            reader.push(bytes);
        }
    }
    reader.messages.retain(|message| inference_path(message).is_some());
    reader.messages
}

/// The path behind the API's prefix, for an inference.
fn inference_path(message: &Message) -> Option<&str> {
    let path = message.start.split(' ').nth(1)?;
    let rest = path.strip_prefix("/api/v1").or_else(|| path.strip_prefix("/v1"))?;
    let known = ["/chat/completions", "/completions", "/embeddings"].contains(&rest);
    (known && message.start.starts_with("POST ")).then_some(rest)
}

/// What a client may expect of a stream.
#[derive(Clone, Copy)]
struct Terms {
    /// It neither asked for usage events nor expects them; `None` when its request could not be read.
    drops: Option<bool>,
    /// It asked for a stream; otherwise even events are only bytes.
    streams: bool,
    /// Its path is OpenRouter's: members that say nothing are blanked.
    openrouter: bool,
}

impl Terms {
    const UNREAD: Self = Self { drops: None, streams: true, openrouter: false };
    const NO_STREAM: Self = Self { drops: Some(false), streams: false, openrouter: false };

    fn options(self) -> Vec<bool> {
        self.drops.map_or(vec![false, true], |drops| vec![drops])
    }
}

struct View<'r> {
    case: &'r Case,
    steps: &'r [ClientStep],
    client: &'r ClientReport,
    attempts: &'r [&'r AttemptReport],
    requests: &'r [Message],
}

impl View<'_> {
    fn check(&self) -> Verdict {
        let client = self.client;
        if let Some(flaw) = &client.flaw {
            return Err(format!("what it got is not HTTP: {flaw}"));
        }
        if client.awaits_answer && client.end == End::Kept && !client.left {
            return Err("it waits for an answer that nobody will give".to_owned());
        }
        for (index, record) in client.records.iter().enumerate() {
            if client.records[..index].iter().any(|other| other.id == record.id) {
                return Err(format!("request {} has two records", index + 1));
            }
            self.record(index, record).map_err(|why| format!("request {}: {why}: {record:?}", index + 1))?;
        }
        for attempt in self.attempts {
            if attempt.record >= client.records.len() {
                return Err("a request has no record".to_owned());
            }
            self.asked(attempt)?;
        }
        for answer in &client.answers {
            let Some(id) = answer.field("x-generation-id") else { continue };
            if !client.records.iter().any(|record| record.id.as_str() == id) {
                return Err(format!("an answer has no record: {}", answer.start));
            }
        }
        Ok(())
    }

    fn record(&self, index: usize, record: &Record) -> Verdict {
        let tried: Vec<&&AttemptReport> =
            self.attempts.iter().filter(|attempt| attempt.record == index).collect();
        self.attempts(record, &tried)?;
        let answers = &self.client.answers;
        let answer =
            answers.iter().find(|answer| answer.field("x-generation-id") == Some(record.id.as_str()));
        let Some(answer) = answer else {
            let must = matches!(record.outcome, Outcome::Complete | Outcome::Refused(_) | Outcome::Failed(_));
            let control = self.case.config.control.is_some();
            return if must && self.reads_on() && !control {
                Err("the client got no answer".to_owned())
            } else {
                Ok(())
            };
        };
        let whole = untold(answer, self.requests.get(index)).ok_or("it is told twice how it was routed")?;
        let whole = uncosted(&whole).ok_or("it is told twice what it costs")?;
        self.outcome(record, &whole, &tried, index)?;
        require(attempts_agree(&self.case.config, answer, record), "other attempts are told than were made")
    }

    fn outcome(&self, record: &Record, answer: &Message, tried: &[&&AttemptReport], index: usize) -> Verdict {
        // Of two that raced, the one recorded last has answered.
        let last = record.attempts.last().map(|attempt| attempt.provider.index());
        let last = tried.iter().rfind(|attempt| Some(attempt.provider) == last);
        let origin = last.and_then(|attempt| uncosted(attempt.answer.as_ref()?));
        let origin = origin.as_ref();
        let terms = self.terms(index);
        let (said, blanked);
        let (answer, origin) = if terms.streams && terms.openrouter {
            (said, blanked) = (without_nulls(answer), origin.map(without_nulls));
            (&said, blanked.as_ref())
        } else {
            (answer, origin)
        };
        match record.outcome {
            Outcome::Refused(status) => self.ours(answer, status),
            Outcome::Failed(status) => self.failed(answer, status, origin),
            Outcome::Complete | Outcome::Cut(Fault::Status(_)) => self.complete(answer, origin, terms),
            Outcome::Cut(_) => self.cut(answer, origin, terms, self.reads_on()),
            Outcome::ClientGone if !self.leaves() => Err("the client has not left".to_owned()),
            Outcome::ClientGone => self.cut(answer, origin, terms, false),
        }
    }

    /// What is recorded is what was tried: in this order where no two raced, and never more than one hedge.
    fn attempts(&self, record: &Record, tried: &[&&AttemptReport]) -> Verdict {
        let is_stale = |fault| fault == Some(Fault::ResetBeforeAnswer { reused: true });
        let hedges = record.attempts.iter().filter(|one| one.hedged && !is_stale(one.fault)).count();
        let served = record.attempts.iter().rev().skip(1).any(|attempt| attempt.fault.is_none());
        require(!served, "an attempt that served was not the last")?;
        require(hedges <= 1, "more than one hedge")?;
        require(hedges == 0 || self.case.config.hedging.in_use, "a hedge that nobody allows")?;
        let mut dialled: Vec<usize> = tried.iter().map(|attempt| attempt.provider).collect();
        let mut recorded: Vec<usize> =
            record.attempts.iter().map(|attempt| attempt.provider.index()).collect();
        if hedges > 0 {
            // Recorded as they ended.
            dialled.sort_unstable();
            recorded.sort_unstable();
        }
        if dialled != recorded {
            return Err(format!("{} dials", tried.len()));
        }
        for (turn, attempt) in record.attempts.iter().enumerate() {
            let provider = attempt.provider.index();
            let earlier = record.attempts[..turn].iter().filter(|one| one.provider == attempt.provider);
            let mut at_provider = tried.iter().filter(|one| one.provider == provider).skip(earlier.count());
            let (this, next) = (at_provider.next(), at_provider.next());
            let stale = is_stale(attempt.fault);
            let again = next.is_some_and(|next| next.reused);
            require(!(stale && again), "a stale connection was replaced by another from the pool")?;
            require(!stale || this.is_some_and(|this| this.reused), "a fresh connection was called stale")?;
        }
        Ok(())
    }

    /// The client ends its side, or closes, at some time; or it was given up.
    fn leaves(&self) -> bool {
        let ends =
            |step: &ClientStep| matches!(step, ClientStep::Fin | ClientStep::Leave | ClientStep::Reset);
        self.client.left || self.steps.iter().any(ends)
    }

    /// The client took everything it could get, to the end.
    const fn reads_on(&self) -> bool {
        !self.client.left
    }

    /// What the client may expect of a stream.
    fn terms(&self, index: usize) -> Terms {
        let Some(request) = self.requests.get(index) else { return Terms::UNREAD };
        let body = String::from_utf8_lossy(&request.body).replace(' ', "");
        let openrouter = request.start.contains(" /api/v1/");
        Terms {
            drops: Some(!openrouter && !body.contains("\"include_usage\":true")),
            streams: body.contains("\"stream\":true"),
            openrouter,
        }
    }

    fn ours(&self, answer: &Message, status: u16) -> Verdict {
        let whole = answer.complete || !self.reads_on();
        let opening = b"{\"error\":{";
        let error = opening.starts_with(&answer.body[..answer.body.len().min(opening.len())]);
        require(answer.status() == status && whole && error, "an answer of our own is not what it should be")
    }

    fn failed(&self, answer: &Message, status: u16, origin: Option<&Message>) -> Verdict {
        if answer.status() == 200 && answer.is_events() {
            let (mut got, rest) = blocks(&answer.body);
            got.retain(|block| !is_waiting(block));
            let told = got.pop().is_some_and(|block| block.is_router_error());
            let alone = got.is_empty() && rest.is_empty() && !answer.complete;
            return require(told && alone || !self.reads_on(), "a stream that was only begun must say why");
        }
        if answer.field("x-should-retry") == Some("false") {
            return self.ours(answer, status);
        }
        let origin = origin.ok_or("an answer without an origin")?;
        require(origin.status() == answer.status() && origin.status() == status, "a status was changed")?;
        self.complete(answer, Some(origin), Terms::NO_STREAM)
    }

    fn complete(&self, answer: &Message, origin: Option<&Message>, terms: Terms) -> Verdict {
        let origin = origin.ok_or("an answer without an origin")?;
        require(answer.status() == origin.status(), "a status was changed")?;
        if !self.reads_on() {
            return self.cut(answer, Some(origin), terms, false);
        }
        let closed = answer.until_end && self.client.end == End::Reset;
        require(answer.complete || closed, "an answer that is whole does not end as one")?;
        let done = origin.is_events()
            && blocks(&origin.body).0.iter().any(|block| block.data().as_deref() == Some(b"[DONE]"));
        require(origin.complete || done, "an answer ends although its origin's did not")?;
        if !(terms.streams && origin.is_events() && answer.is_events()) {
            return require(answer.body == origin.body, "the payload is not the origin's");
        }
        let (mut got, rest) = blocks(&answer.body);
        let greeted = got.iter().any(is_waiting);
        got.retain(|block| !is_waiting(block));
        let (all, origin_rest) = blocks(&origin.body);
        let whole = all.len();
        let same = terms.options().iter().any(|drops| visible(all.clone(), *drops) == got);
        require(same, &format!("the events {got:?} are not the origin's"))?;
        // Behind the end marker an unfinished event may be left out: its end was not waited for.
        let same_rest = rest == origin_rest;
        let rest_is_right = same_rest || !origin.complete || (done && rest.is_empty());
        require(rest_is_right, "what follows the last event is not the origin's")?;
        let exact = whole == got.len() && same_rest && !greeted && origin.complete;
        let marked = origin.body.starts_with(b"\xEF\xBB\xBF");
        require(!exact || marked || trimmed(&answer.body) == trimmed(&origin.body), "bytes were changed")
    }

    /// The client has a beginning of the origin's answer; `told` when it must end with whole events.
    fn cut(&self, answer: &Message, origin: Option<&Message>, terms: Terms, told: bool) -> Verdict {
        let nothing = Message::default();
        // Where the end of the connection ends the payload, the error event is what tells.
        let says = answer.until_end && blocks(&answer.body).0.last().is_some_and(Block::is_router_error);
        require(!told || !answer.complete || says, "a cut answer looks complete")?;
        let origin = origin.unwrap_or(&nothing);
        if !(terms.streams && answer.is_events()) {
            return require(origin.body.starts_with(&answer.body), "the payload is not the origin's");
        }
        let (mut got, rest) = blocks(&answer.body);
        got.retain(|block| !is_waiting(block));
        if got.last().is_some_and(Block::is_router_error) {
            got.pop();
        }
        let (mut all, origin_rest) = blocks(&origin.body);
        let giant = origin_rest.len() > GIANT;
        if giant {
            got.retain(|block| all.contains(block));
        } else {
            require(rest.is_empty() || !told, "a cut stream does not end with a whole event")?;
        }
        // A stream whose framing ended it may lack the last blank line.
        all.extend(blocks(&[&origin_rest[..], b"\n\n"].concat()).0);
        let prefix = terms.options().iter().any(|drops| visible(all.clone(), *drops).starts_with(&got));
        require(prefix, "the events are not the beginning of the origin's")
    }

    /// What a provider was asked is what the client asked, with the model's name and nothing else exchanged.
    fn asked(&self, attempt: &AttemptReport) -> Verdict {
        let Some(request) = &attempt.request else { return Ok(()) };
        let config = &self.case.config;
        let provider = &config.providers[attempt.provider];
        let secret = |text: &str| text.contains(CLIENT_KEY);
        let leaks = request.fields.iter().any(|(_, value)| secret(value)) || secret(&request.start);
        require(!leaks, "the client's key reached a provider")?;
        let key = format!("Bearer {}", credential(&provider.name));
        require(request.field("authorization") == Some(&key), "the provider's credential is missing")?;
        require(request.field("host") == Some(&format!("{}.test", provider.name)), "a wrong host")?;
        let Some(origin) = self.requests.get(attempt.record) else { return Ok(()) };
        let Some(path) = inference_path(origin) else { return Ok(()) };
        if config.control == Some(attempt.provider) {
            return Ok(());
        }
        require(request.start == format!("POST /v1{path} HTTP/1.1"), "a wrong request line")?;
        let Some(bodies) = spliced(config, attempt.provider, &String::from_utf8_lossy(&origin.body)) else {
            return Ok(());
        };
        let same = bodies.iter().any(|body| {
            let body = body.as_bytes();
            if request.complete { body == request.body } else { body.starts_with(&request.body) }
        });
        require(same, "the body that reached a provider is not the client's")
    }
}

/// What a provider should be asked, for bodies of the plain shape `{"model":"…",…`; one for each of its
/// endpoints.
fn spliced(config: &Config, provider: usize, body: &str) -> Option<Vec<String>> {
    let rest = body.strip_prefix("{\"model\":\"")?;
    let (model, rest) = rest.split_once('"')?;
    let strange = ["models", "provider", "usage", "route", "session_id"].map(|key| format!("\"{key}\""));
    let is_strange =
        strange.iter().any(|word| rest.contains(&**word)) || rest.contains("\"stream_options\":{}");
    if is_strange || rest.contains("\"include_usage\":false") {
        return None;
    }
    let streams = rest.contains("\"stream\":true");
    let asked = rest.contains("\"include_usage\":true");
    let ask = streams && !asked && !config.providers[provider].usage_always;
    let option = if ask { "\"stream_options\":{\"include_usage\":true}," } else { "" };
    let (_, endpoints) = config.models.iter().find(|(name, _)| name == model)?;
    let ours = endpoints.iter().filter(|(owner, _)| *owner == provider);
    Some(ours.map(|(_, name)| format!("{{{option}\"model\":\"{name}\"{rest}")).collect())
}

/// The message with its silent members blanked: a member that an upstream's chunk cuts in two stays.
fn without_nulls(message: &Message) -> Message {
    let mut message = message.clone();
    nulls::blank(&mut message.body);
    message
}

/// What a client sees of an origin's events: nothing before the first that has data, and usage only if it
/// asked.
fn visible(mut all: Vec<Block>, drops: bool) -> Vec<Block> {
    all.retain(|block| !(drops && block.is_usage_only()));
    let first = all.iter().position(|block| block.data().is_some()).unwrap_or(all.len());
    all.split_off(first)
}

fn is_waiting(block: &Block) -> bool {
    block.lines == [b": waiting".to_vec()]
}

/// Without blank lines at the end: where a stream ends there, they say nothing.
fn trimmed(payload: &[u8]) -> &[u8] {
    let end = payload.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    &payload[..end]
}

fn require(holds: bool, otherwise: &str) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
