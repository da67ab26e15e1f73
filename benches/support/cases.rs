//! What is counted by the gate on instructions: each case with the answer that every run of it must give.
//!
//! Deliberately absent: sockets, TLS and the worker. Their cost is the kernel's and the machine's.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use millrace::base::ids::ModelId;
use millrace::base::record::Usage;
use millrace::base::time::Moment;
use millrace::dialect::{Answer, DialectName, Signal, StreamUsage, dialect};
use millrace::policy::auth::{self, Tenant};
use millrace::policy::catalog::Snapshot;
use millrace::policy::route::{self, Ask, Scene};
use millrace::policy::sticky::{Conversation, Memory};
use millrace::wire::Parse;
use millrace::wire::http1::{
    ChunkDecoder, ChunkItem, HeadWriter, request_head, response_head, write_chunk_size,
};
use millrace::wire::journal::Ending;
use millrace::wire::json::peek::{Key, peek};
use millrace::wire::json::splice::{Piece, Splice};
use millrace::wire::sse::{EventKind, Watch};

use crate::auto as automatic;
use crate::contracts::{CONTRACTS, World};
use crate::edge::Edge;
use crate::health::{Core, USED};
use crate::texts::{self, DONE_EVENT, chunk, delta_event, usage_event};
use crate::world::{Size, key_text, model_name, snapshot};

/// One run; what it returns is compared with the case's answer.
pub(crate) type Run = Box<dyn FnMut() -> usize>;

/// Something that is counted.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The same several times over; the lowest count is taken.
    pub(crate) subjects: Vec<Run>,
    /// What each run returns.
    pub(crate) expected: usize,
}

/// Subjects of a case that looks into hash tables, each of which has seeds of its own.
const SUBJECTS: usize = 8;
/// The model that is asked for, the key that asks.
const MODEL: u32 = 50;
const KEY: u32 = 20;

/// All cases. Building a world is slow under valgrind, so there are few worlds, and they are small; the
/// counts do not depend on their size.
pub(crate) fn all() -> Vec<Case> {
    let size = Size { models: 100, endpoints_per_model: 16, keys: 40 };
    let worlds: Vec<Arc<Snapshot>> = (0..SUBJECTS).map(|_| Arc::new(snapshot(size))).collect();
    let mut cases = Vec::new();
    heads(&mut cases);
    written(&mut cases);
    bodies(&mut cases);
    streams(&mut cases);
    judged(&mut cases);
    decisions(&worlds, &mut cases);
    contracted(&mut cases);
    automatic(&worlds[0], &mut cases);
    conversations(&worlds[0], &mut cases);
    health(&worlds[0], &mut cases);
    exchanges(&worlds, &mut cases);
    cases
}

/// A case without state: one subject is enough.
fn plain(name: &'static str, expected: usize, run: impl FnMut() -> usize + 'static) -> Case {
    Case { name, subjects: vec![Box::new(run)], expected }
}

fn heads(cases: &mut Vec<Case>) {
    let key = key_text(KEY);
    let requests = [
        ("wire/request head, small", texts::small_head(&key, 1536)),
        ("wire/request head, sdk", texts::sdk_head(&key, 1536)),
    ];
    cases.extend(requests.map(|(name, text)| {
        plain(name, text.len(), move || match request_head(black_box(text.as_bytes()), &mut 0) {
            Parse::Done { value, used } if value.keep_alive => used,
            other => panic!("{other:?}"),
        })
    }));
    let responses = [
        ("wire/response head, small", texts::small_answer("")),
        (
            "wire/response head, provider",
            texts::provider_head("text/event-stream", "Transfer-Encoding: chunked"),
        ),
    ];
    cases.extend(responses.map(|(name, text)| {
        plain(name, text.len(), move || match response_head(black_box(text.as_bytes()), &mut 0) {
            Parse::Done { value, used } if value.status == 200 => used,
            other => panic!("{other:?}"),
        })
    }));
}

fn written(cases: &mut Vec<Case>) {
    let request = "POST /v1/chat/completions HTTP/1.1\r\nhost: api.provider.example\r\n\
                   authorization: Bearer sk-proj-0123456789abcdef0123456789abcdef\r\n\
                   accept: application/json\r\ncontent-type: application/json\r\n\
                   content-length: 1536\r\n\r\n";
    let mut out = Vec::with_capacity(1024);
    cases.push(plain("wire/head written, request", request.len(), move || {
        out.clear();
        let mut head = HeadWriter::request(&mut out, "POST", black_box(&["/v1", "/chat/completions"]));
        head.field("host", black_box(b"api.provider.example"));
        head.joined("authorization", black_box(&[b"Bearer ", b"sk-proj-0123456789abcdef0123456789abcdef"]));
        head.field("accept", b"application/json").field("content-type", b"application/json");
        head.number("content-length", black_box(1536));
        head.end();
        out.len()
    }));
    let response = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
                    cache-control: no-cache\r\nx-accel-buffering: no\r\n\
                    x-generation-id: gen-1763625600-ABCDEFGHIJKLMNOPQRST\r\n\
                    transfer-encoding: chunked\r\n\r\n";
    let mut out = Vec::with_capacity(1024);
    cases.push(plain("wire/head written, stream of events", response.len(), move || {
        out.clear();
        let mut head = HeadWriter::response(&mut out, black_box(200));
        head.field("content-type", b"text/event-stream; charset=utf-8").field("cache-control", b"no-cache");
        head.field("x-accel-buffering", b"no");
        head.field("x-generation-id", black_box(b"gen-1763625600-ABCDEFGHIJKLMNOPQRST"));
        head.field("transfer-encoding", b"chunked");
        head.end();
        out.len()
    }));
    let mut out = Vec::with_capacity(64);
    cases.push(plain("wire/chunk size written", "10e\r\n".len(), move || {
        out.clear();
        write_chunk_size(&mut out, black_box(0x10e));
        out.len()
    }));
}

fn bodies(cases: &mut Vec<Case>) {
    let sizes =
        [("wire/peek, 1.5 KB", 1536), ("wire/peek, 16 KB", 16 << 10), ("wire/peek, 256 KB", 256 << 10)];
    cases.extend(sizes.map(|(name, bytes)| {
        let body = texts::chat_body(&model_name(MODEL), true, bytes);
        // Five members, of which `temperature` is not known.
        plain(name, 4, move || {
            let peek = peek(black_box(body.as_bytes())).expect("a good body");
            assert!(peek.stream && peek.model.is_some() && peek.member(Key::Stream).is_some());
            peek.members().len()
        })
    }));
    let openai = dialect(DialectName::OpenAi);
    let body = texts::chat_body(&model_name(MODEL), true, 1536).into_bytes();
    let peek = peek(&body).expect("a good body");
    let edited = String::from_utf8(body.clone())
        .expect("UTF-8")
        .replacen(&model_name(MODEL), "gpt-5.5", 1)
        .replacen("{\"model", "{\"stream_options\":{\"include_usage\":true},\"model", 1);
    let mut splice = Splice::new();
    cases.push(plain("wire/splice, 1.5 KB", edited.len(), move || {
        splice.clear();
        openai.splice(&peek, black_box(&body), "gpt-5.5", StreamUsage::OnRequest, &mut splice);
        let lengths = splice.pieces(body.len()).map(|piece| match piece {
            Piece::Body(span) | Piece::Own(span) => span.len(),
        });
        assert_eq!(lengths.sum::<usize>(), splice.len(body.len()));
        splice.len(body.len())
    }));
}

/// Events that a watch finds in pieces that hold whole events.
fn watched(watch: &mut Watch, mut piece: &[u8]) -> usize {
    let mut events = 0;
    while !piece.is_empty() {
        let fed = watch.feed(piece);
        let used = fed.used;
        events += usize::from(fed.event.is_some_and(|event| event.kind == EventKind::Data));
        piece = &piece[used..];
    }
    events
}

/// Bytes of payload in whole chunks.
fn payload(decoder: &mut ChunkDecoder, bytes: &[u8]) -> usize {
    let (mut at, mut payload) = (0, 0);
    while let Parse::Done { value, used } = decoder.next(&bytes[at..]) {
        at += used;
        payload += if matches!(value, ChunkItem::Data { .. }) { used } else { 0 };
    }
    payload
}

fn streams(cases: &mut Vec<Case>) {
    let event = delta_event();
    let sixteen = event.repeat(16);
    let long = texts::event(4096);
    for (name, expected, stream) in [
        ("wire/sse, an event", 1, event.clone()),
        ("wire/sse, 16 events", 16, sixteen),
        ("wire/sse, 4 KB", 1, long),
    ] {
        let mut watch = Watch::new();
        cases.push(plain(name, expected, move || watched(&mut watch, black_box(stream.as_bytes()))));
    }
    let one = chunk(&event);
    for (name, expected, body) in [
        ("wire/chunked, a chunk", event.len(), one.clone()),
        ("wire/chunked, 16 chunks", event.len() * 16, one.repeat(16)),
    ] {
        let mut decoder = ChunkDecoder::new();
        cases.push(plain(name, expected, move || payload(&mut decoder, black_box(body.as_bytes()))));
    }
}

/// What the dialect says about an event's data and about a whole answer.
fn judged(cases: &mut Vec<Case>) {
    let openai = dialect(DialectName::OpenAi);
    let usage = Usage { prompt_tokens: 9, completion_tokens: 12, ..Usage::default() };
    let events = [
        ("dialect/openai, content event", delta_event(), Signal::Content),
        ("dialect/openai, usage event", usage_event(), Signal::Usage { usage, only: true }),
    ];
    cases.extend(events.map(|(name, event, expected)| {
        let data = event["data: ".len()..].trim_end().as_bytes().to_vec();
        plain(name, 1, move || usize::from(openai.judge_event(black_box(&data)) == expected))
    }));
    let answer = texts::answer_body();
    cases.push(plain("dialect/openai, whole answer", 19, move || {
        match openai.judge_answer(black_box(answer.as_bytes())) {
            Answer::Content { usage, .. } => usage.map_or(0, |usage| usage.prompt_tokens as usize),
            other => panic!("{other:?}"),
        }
    }));
}

fn decisions(worlds: &[Arc<Snapshot>], cases: &mut Vec<Case>) {
    let each = |name, expected, run: fn(&Snapshot) -> usize| {
        let subject = |world: &Arc<Snapshot>| {
            let world = Arc::clone(world);
            Box::new(move || run(&world)) as Run
        };
        Case { name, subjects: worlds.iter().map(subject).collect(), expected }
    };
    // Valgrind's CPU has no instructions for SHA-256, so this is several times what a real one executes.
    cases.push(each("policy/auth, a known key", KEY as usize, |world| {
        let found = auth::tenant(world, Some(black_box(b"sk-mr-0000000000000014ABCDEFGHIJKLMNOPQRSTUVWXYZ")));
        found.ok().and_then(|tenant| tenant.key).map_or(usize::MAX, |key| key.0 as usize)
    }));
    cases.push(each("policy/plan, 16 endpoints", 16, |world| {
        let scene = Scene::plain(world);
        let names = black_box(["author-10/model-50"]).into_iter();
        let plan = route::plan(&scene, Tenant { key: None }, &Ask::ANYTHING, names);
        black_box(plan).map_or(0, |plan| plan.candidates(world).count())
    }));
}

/// Decisions among fifty endpoints of which everything is known.
fn contracted(cases: &mut Vec<Case>) {
    let world: &'static World = Box::leak(Box::new(World::new(4)));
    cases.extend(CONTRACTS.map(|contract| {
        let asking = world.asking(contract);
        // Half of the endpoints promise no zero data retention, and so on.
        let expected = asking.decide(1, 1);
        let name = format!("policy/contract, {}", contract.name).leak();
        plain(name, expected, move || asking.decide(black_box(1), black_box(1)))
    }));
}

fn automatic(world: &Arc<Snapshot>, cases: &mut Vec<Case>) {
    let world = Arc::new(automatic::with_tiers(Snapshot::clone(world)));
    let [small, usual, long] = automatic::SIZES.map(automatic::body);
    for (name, body, models) in [
        ("policy/auto, 100 B", small, 6),
        ("policy/auto, 2 KB", usual, 6),
        ("policy/auto, 100 KB", long, 4),
        ("policy/auto, 100 KB of an agent", automatic::agent_body(100_000), 4),
    ] {
        let (world, peek) = (Arc::clone(&world), peek(body.as_bytes()).expect("a body"));
        cases.push(plain(name, models, move || automatic::decide(&world, &peek, body.as_bytes())));
    }
}

/// What remembering a conversation adds to a decision.
fn conversations(world: &Arc<Snapshot>, cases: &mut Vec<Case>) {
    const NOW: Moment = Moment::from_nanos(1_000_000_000);
    let memory = Arc::new(Memory::new(65_536, [1, 2]));
    let tenant = Tenant { key: None };
    let named = Conversation::Named(b"0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9");
    let digest = memory.digest(world, tenant, &named).expect("a conversation");
    let pin = memory.pin_model(digest, "r", world, ModelId(0), Duration::from_secs(600));
    memory.keep(&pin, true, NOW);
    let (own, shared) = (Arc::clone(&memory), Arc::clone(world));
    cases.push(plain("policy/sticky, a session id hashed", 1, move || {
        usize::from(own.digest(&shared, tenant, black_box(&named)).is_some())
    }));
    let body = texts::chat_body("m", false, 16 << 10);
    let messages = peek(body.as_bytes()).expect("a body").messages.expect("it has messages");
    let (own, shared) = (Arc::clone(&memory), Arc::clone(world));
    cases.push(plain("policy/sticky, an opening of 16 KB hashed", 1, move || {
        let opening = Conversation::Opening(messages.of(body.as_bytes()));
        usize::from(own.digest(&shared, tenant, black_box(&opening)).is_some())
    }));
    let (own, shared) = (Arc::clone(&memory), Arc::clone(world));
    cases.push(plain("policy/sticky, looked up", 1, move || {
        let found = own.model(black_box(digest), "r", &shared, [ModelId(0)].into_iter(), NOW);
        usize::from(found == Some(ModelId(0)))
    }));
    cases.push(plain("policy/sticky, kept", 1, move || {
        memory.keep(black_box(&pin), true, NOW);
        1
    }));
}

/// Health on the path of a request, and ten times a second.
fn health(world: &Arc<Snapshot>, cases: &mut Vec<Case>) {
    let core = || Core::new(world);
    let (mut record, mut view, mut merge) = (core(), core(), core());
    cases.push(plain("health/record", 1, move || record.record()));
    cases.push(plain("health/view", 1, move || view.view()));
    cases.push(plain("health/merge", USED as usize, move || merge.merge()));
}

/// The bytes of a call, in reads, and what the exchange tells about it.
struct Call {
    request: Vec<u8>,
    answer: Vec<Vec<u8>>,
    usage: Usage,
}

impl Call {
    /// Makes the call on a kept-alive connection: events of payload the client got, or 1 for a whole answer.
    fn make(&self, edge: &mut Edge) -> usize {
        let before = (edge.client_bytes, edge.origin_bytes, edge.reusable);
        edge.client_sends(&self.request);
        self.answer.iter().for_each(|read| edge.origin_sends(read));
        let ended = edge.take_ended().expect("a settlement for every request");
        let moved =
            edge.client_bytes > before.0 && edge.origin_bytes > before.1 && edge.reusable == before.2 + 1;
        usize::from(moved && ended.ending == Ending::Complete && ended.usage == self.usage)
    }
}

fn request(stream: bool, small: bool, bytes: usize) -> Vec<u8> {
    let body = texts::chat_body(&model_name(MODEL), stream, bytes);
    let key = key_text(KEY);
    let head = if small { texts::small_head(&key, body.len()) } else { texts::sdk_head(&key, body.len()) };
    (head + &body).into_bytes()
}

fn calls() -> Vec<(&'static str, Call)> {
    let usage = Usage { prompt_tokens: 19, completion_tokens: 10, ..Usage::default() };
    let body = texts::answer_body();
    let answer = texts::provider_head("application/json", &format!("Content-Length: {}", body.len())) + &body;
    let whole = |request, answer: String| Call { request, answer: vec![answer.into_bytes()], usage };
    let mut calls = vec![
        ("exchange/chat, 1.5 KB", whole(request(false, false, 1536), answer.clone())),
        ("exchange/chat, 1.5 KB, small heads", whole(request(false, true, 1536), texts::small_answer(&body))),
        ("exchange/chat, 16 KB", whole(request(false, false, 16 << 10), answer)),
    ];
    let head = texts::provider_head("text/event-stream", "Transfer-Encoding: chunked").into_bytes();
    let delta = chunk(&delta_event()).into_bytes();
    let end = (chunk(&usage_event()) + &chunk(DONE_EVENT) + "0\r\n\r\n").into_bytes();
    for (name, events) in [("exchange/stream of an event", 1), ("exchange/stream of 32 events", 32)] {
        let mut answer = vec![head.clone()];
        answer.resize(1 + events, delta.clone());
        answer.push(end.clone());
        let usage = Usage { prompt_tokens: 9, completion_tokens: 12, ..Usage::default() };
        calls.push((name, Call { request: request(true, false, 1536), answer, usage }));
    }
    calls
}

fn exchanges(worlds: &[Arc<Snapshot>], cases: &mut Vec<Case>) {
    for (name, call) in calls() {
        let call = Arc::new(call);
        let subject = |world: &Arc<Snapshot>| {
            let (call, mut edge) = (Arc::clone(&call), Edge::new(Arc::clone(world)));
            Box::new(move || call.make(&mut edge)) as Run
        };
        cases.push(Case { name, subjects: worlds.iter().map(subject).collect(), expected: 1 });
    }
    let (event, head) = (delta_event(), "Transfer-Encoding: chunked");
    let sixteen = (chunk(&event).repeat(16), event.len() * 16);
    let until_close = (event.clone(), event.len());
    let shapes = [
        ("exchange/event, a chunk each", head, chunk(&event), event.len()),
        ("exchange/event, 16 chunks in a read", head, sixteen.0, sixteen.1),
        ("exchange/event, until close", "Via: 1.0 x", until_close.0, until_close.1),
    ];
    for (name, framing, read, payload_bytes) in shapes {
        let mut edge = Edge::new(Arc::clone(&worlds[0]));
        edge.client_sends(&request(true, false, 1536));
        edge.origin_sends(texts::provider_head("text/event-stream", framing).as_bytes());
        cases.push(plain(name, 1, move || {
            let before = edge.client_bytes;
            edge.origin_sends(black_box(read.as_bytes()));
            usize::from(edge.client_bytes - before >= payload_bytes && edge.take_ended().is_none())
        }));
    }
}
