//! Whole requests in memory: what one request and one event of a stream cost in user space, without
//! sockets, and that an event of a stream costs no heap allocation once the stream has warmed up.

#[path = "support/allocations.rs"]
mod allocations;
#[path = "support/cpu_time.rs"]
mod cpu_time;
#[path = "support/edge.rs"]
mod edge;
#[path = "support/texts.rs"]
mod texts;
#[path = "support/world.rs"]
mod world;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use cpu_time::CpuTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use edge::Edge;
use millrace::base::limits::REQUESTS_PER_CONNECTION;
use millrace::base::record::Usage;
use millrace::policy::catalog::Snapshot;
use millrace::wire::Parse;
use millrace::wire::http1::{ChunkDecoder, ChunkItem};
use millrace::wire::journal::Ending;
use texts::{DONE_EVENT, chunk, delta_event, usage_event};
use world::{Size, key_text, model_name, snapshot};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// Rounds of a stream before allocations are counted, and while they are.
const ROUNDS_WARM: usize = 8;
const ROUNDS: usize = 64;
/// Requests on one client connection, well below the limit at which it would be closed.
const CALLS_PER_CONNECTION: u32 = REQUESTS_PER_CONNECTION / 2;

/// One way in which a stream arrives: the same reads over and over.
struct Stream {
    name: &'static str,
    /// The end of the connection ends the stream; otherwise it is chunked.
    until_close: bool,
    /// One round of reads.
    reads: Vec<String>,
    /// Data events in one round.
    events: u64,
    /// What the client gets of one round.
    payload: String,
}

impl Stream {
    fn head(&self) -> String {
        let framing = if self.until_close { "Via: 1.0 x" } else { "Transfer-Encoding: chunked" };
        texts::provider_head("text/event-stream; charset=utf-8", framing)
    }

    fn round(&self, edge: &mut Edge) {
        self.reads.iter().for_each(|read| edge.origin_sends(read.as_bytes()));
    }

    /// The end marker and the end of the body.
    fn end(&self, edge: &mut Edge) {
        if self.until_close {
            edge.origin_sends(DONE_EVENT.as_bytes());
            edge.origin_ends();
        } else {
            edge.origin_sends((chunk(DONE_EVENT) + "0\r\n\r\n").as_bytes());
        }
    }
}

fn streams() -> Vec<Stream> {
    let (delta, usage, giant) = (delta_event(), usage_event(), texts::event(20 * 1024));
    let sixteen = delta.repeat(16);
    let whole = chunk(&delta);
    let (front, back) = whole.split_at(whole.len() / 2);
    let stream = |name, reads: Vec<String>, events, payload: &str| {
        let payload = payload.to_owned();
        Stream { name, until_close: false, reads, events, payload }
    };
    vec![
        stream("one event per chunk", vec![whole.clone()], 1, &delta),
        Stream {
            until_close: true,
            ..stream("one event per read, until close", vec![delta.clone()], 1, &delta)
        },
        stream("16 events in one chunk", vec![chunk(&sixteen)], 16, &sixteen),
        stream("16 chunks in one read", vec![whole.repeat(16)], 16, &sixteen),
        stream("one event in two reads", vec![front.to_owned(), back.to_owned()], 1, &delta),
        stream("usage left out", vec![whole.clone(), chunk(&usage)], 2, &delta),
        stream("usage left out of a chunk", vec![chunk(&(delta.clone() + &usage))], 2, &delta),
        stream("an event too long to hold", vec![chunk(&giant)], 1, &giant),
    ]
}

/// A chat request of a client that does not ask for usage.
fn request(stream: bool, body_bytes: usize) -> Vec<u8> {
    let body = texts::chat_body(&model_name(500), stream, body_bytes);
    (texts::sdk_head(&key_text(5000), body.len()) + &body).into_bytes()
}

fn answer() -> Vec<u8> {
    let body = texts::answer_body();
    let length = format!("Content-Length: {}", body.len());
    (texts::provider_head("application/json", &length) + &body).into_bytes()
}

fn world_snapshot() -> Arc<Snapshot> {
    Arc::new(snapshot(Size { models: 1000, endpoints_per_model: 16, keys: 10_000 }))
}

/// The payload of a chunked body that is complete in `bytes`.
fn dechunked(bytes: &[u8]) -> Vec<u8> {
    let (mut decoder, mut payload, mut at) = (ChunkDecoder::new(), Vec::new(), 0);
    while let Parse::Done { value, used } = decoder.next(&bytes[at..]) {
        if matches!(value, ChunkItem::Data { .. }) {
            payload.extend_from_slice(&bytes[at..at + used]);
        }
        at += used;
        if decoder.is_done() {
            break;
        }
    }
    assert!(decoder.is_done() && at == bytes.len(), "the client's body does not end as it should");
    payload
}

/// Two rounds and the end, with everything that was sent compared.
fn verify(snapshot: &Arc<Snapshot>, stream: &Stream) {
    let mut edge = Edge::new(Arc::clone(snapshot));
    (edge.kept_answer, edge.kept_request) = (Some(Vec::new()), Some(Vec::new()));
    edge.client_sends(&request(true, 1536));
    edge.origin_sends(stream.head().as_bytes());
    stream.round(&mut edge);
    stream.round(&mut edge);
    stream.end(&mut edge);
    let asked = String::from_utf8(edge.kept_request.take().expect("it is kept")).expect("UTF-8");
    assert!(asked.starts_with("POST /v1/chat/completions HTTP/1.1\r\nhost: "), "{asked}");
    assert!(
        asked.contains("\"model\":\"model-500\"") && asked.contains("{\"include_usage\":true}"),
        "{asked}"
    );
    let answered = edge.kept_answer.take().expect("it is kept");
    let head_len = memchr::memmem::find(&answered, b"\r\n\r\n").expect("a head") + 4;
    let expected = stream.payload.repeat(2) + DONE_EVENT;
    assert_eq!(dechunked(&answered[head_len..]), expected.as_bytes(), "{}", stream.name);
    let ended = edge.take_ended().expect("a settlement");
    assert_eq!((ended.ending, ended.answer_bytes), (Ending::Complete, expected.len() as u64));
    assert_eq!(edge.reusable, u64::from(!stream.until_close), "{}", stream.name);
}

/// A stream that has begun and is warm.
fn begun(snapshot: &Arc<Snapshot>, stream: &Stream) -> Edge {
    let mut edge = Edge::new(Arc::clone(snapshot));
    edge.client_sends(&request(true, 1536));
    edge.origin_sends(stream.head().as_bytes());
    (0..ROUNDS_WARM).for_each(|_| stream.round(&mut edge));
    edge
}

/// An allocator that does not count would make every demand hold.
fn assert_counting() {
    let before = allocations::count();
    drop(black_box(Vec::<u8>::with_capacity(black_box(1))));
    assert_eq!(allocations::count() - before, 1, "the allocator counts");
}

/// After warm-up no event costs an allocation, however it arrives.
fn assert_no_allocations(snapshot: &Arc<Snapshot>, stream: &Stream) {
    let mut edge = begun(snapshot, stream);
    let before = allocations::count();
    (0..ROUNDS).for_each(|_| stream.round(&mut edge));
    let made = allocations::count() - before;
    assert_eq!(made, 0, "{}: allocations in {ROUNDS} rounds", stream.name);
}

fn events(criterion: &mut Criterion<CpuTime>) {
    assert_counting();
    let snapshot = world_snapshot();
    let mut group = criterion.benchmark_group("exchange/event");
    for stream in streams() {
        verify(&snapshot, &stream);
        assert_no_allocations(&snapshot, &stream);
        let mut edge = begun(&snapshot, &stream);
        let sent_by_round = sent_by(&mut edge, |edge| stream.round(edge));
        group.throughput(Throughput::Elements(stream.events));
        group.bench_function(stream.name, |bencher| {
            bencher.iter(|| {
                let sent = sent_by(&mut edge, |edge| stream.round(edge));
                assert_eq!(black_box(sent), sent_by_round);
            });
        });
        stream.end(&mut edge);
        assert_eq!(edge.take_ended().map(|ended| ended.ending), Some(Ending::Complete));
    }
    group.finish();
}

/// Bytes the client was sent by something.
fn sent_by(edge: &mut Edge, does: impl FnOnce(&mut Edge)) -> usize {
    let before = edge.client_bytes;
    does(edge);
    edge.client_bytes - before
}

/// A whole request and its answer, in reads.
struct Call {
    name: String,
    request: Vec<u8>,
    answer: Vec<Vec<u8>>,
    usage: Usage,
    /// Most allocations on a warm connection: what the code makes today. A change may lower it; raising it
    /// has a price per request, and is an argument to have.
    allocations_max: u64,
}

impl Call {
    /// Makes the call on a kept-alive connection: bytes sent to the client.
    fn make(&self, edge: &mut Edge) -> usize {
        let sent = sent_by(edge, |edge| {
            edge.client_sends(&self.request);
            self.answer.iter().for_each(|read| edge.origin_sends(read));
        });
        let ended = edge.take_ended().expect("a settlement for every request");
        assert_eq!((ended.ending, ended.usage), (Ending::Complete, self.usage));
        sent
    }
}

fn calls() -> Vec<Call> {
    let usage = Usage { prompt_tokens: 19, completion_tokens: 10, ..Usage::default() };
    let plain = [(1536, 0), (16 << 10, 3), (256 << 10, 7)].map(|(bytes, allocations_max)| Call {
        name: format!("not a stream, body of {bytes} B"),
        request: request(false, bytes),
        answer: vec![answer()],
        usage,
        allocations_max,
    });
    // What is left when the heads are as small as a load generator writes them.
    let (body, answer) = (texts::chat_body(&model_name(500), false, 1536), texts::answer_body());
    let small = Call {
        name: "not a stream, small heads".to_owned(),
        request: (texts::small_head(&key_text(5000), body.len()) + &body).into_bytes(),
        answer: vec![texts::small_answer(&answer).into_bytes()],
        usage,
        allocations_max: 0,
    };
    let head = texts::provider_head("text/event-stream", "Transfer-Encoding: chunked");
    let delta = chunk(&delta_event());
    let end = chunk(&usage_event()) + &chunk(DONE_EVENT) + "0\r\n\r\n";
    let streams = [1, 32].map(|events| {
        let mut answer = vec![head.clone().into_bytes()];
        answer.resize(1 + events, delta.clone().into_bytes());
        answer.push(end.clone().into_bytes());
        Call {
            name: format!("a stream of {events} events"),
            request: request(true, 1536),
            answer,
            usage: Usage { prompt_tokens: 9, completion_tokens: 12, ..Usage::default() },
            allocations_max: 0,
        }
    });
    plain.into_iter().chain([small]).chain(streams).collect()
}

fn requests(criterion: &mut Criterion<CpuTime>) {
    let snapshot = world_snapshot();
    let mut group = criterion.benchmark_group("exchange/request");
    group.throughput(Throughput::Elements(1));
    for call in calls() {
        let mut edge = Edge::new(Arc::clone(&snapshot));
        let expected = call.make(&mut edge);
        (0..ROUNDS_WARM).for_each(|_| assert_eq!(call.make(&mut edge), expected));
        let before = allocations::count();
        (0..ROUNDS).for_each(|_| assert_eq!(call.make(&mut edge), expected));
        let each = (allocations::count() - before).div_ceil(ROUNDS as u64);
        let (name, most) = (&call.name, call.allocations_max);
        assert!(each <= most, "{name}: {each} allocations per request, {most} at most");
        let mut made = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                made += 1;
                if made % CALLS_PER_CONNECTION == 0 {
                    edge.reconnect();
                }
                assert_eq!(black_box(call.make(&mut edge)), expected);
            });
        });
        assert!(edge.origin_bytes > 0 && edge.reusable > ROUNDS as u64);
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = events, requests
}
criterion_main!(benches);
