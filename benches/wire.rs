//! Codecs: heads, the chunked coding, event streams, JSON bodies; and what a dialect reads in an event.
//! Sizes are swept, and every bench asserts what it has read.

#[path = "support/cpu_time.rs"]
mod cpu_time;
#[path = "support/texts.rs"]
mod texts;

use std::hint::black_box;
use std::time::Duration;

use cpu_time::CpuTime;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace::base::record::Usage;
use millrace::dialect::{Answer, DialectName, Signal, StreamUsage, dialect};
use millrace::wire::Parse;
use millrace::wire::http1::{
    ChunkDecoder, ChunkItem, HeadWriter, decode_in_place, request_head, response_head,
};
use millrace::wire::json::peek::{Key, peek};
use millrace::wire::json::splice::{Piece, Splice};
use millrace::wire::sse::{EventKind, Watch};

fn throughput(bytes: usize) -> Throughput {
    Throughput::Bytes(bytes as u64)
}

fn heads(criterion: &mut Criterion<CpuTime>) {
    let many: String = (0..98).map(|turn| format!("X-Field-{turn}: value {turn}\r\n")).collect();
    let requests = [
        ("small", texts::small_head("sk-mr-0123456789abcdef", 1536)),
        ("sdk", texts::sdk_head("sk-mr-0123456789abcdef", 1536)),
        ("100 fields", format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n{many}\r\n")),
    ];
    let mut group = criterion.benchmark_group("wire/request_head");
    for (name, text) in &requests {
        group.throughput(throughput(text.len()));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| match request_head(black_box(text.as_bytes()), &mut 0) {
                Parse::Done { value, used } => assert!(used == text.len() && value.keep_alive),
                other => panic!("{other:?}"),
            });
        });
    }
    // The worst a slow client can do: the parser is asked again at every byte and must not start over.
    let sdk = requests[1].1.as_bytes();
    group.throughput(throughput(sdk.len()));
    group.bench_function("sdk, byte by byte", |bencher| {
        bencher.iter(|| {
            let mut scanned = 0;
            let more = (1..sdk.len()).all(|end| request_head(&sdk[..end], &mut scanned) == Parse::More);
            assert!(more && matches!(request_head(sdk, &mut scanned), Parse::Done { .. }));
        });
    });
    group.finish();
    let mut group = criterion.benchmark_group("wire/response_head");
    let small = texts::small_answer("");
    let provider = texts::provider_head("text/event-stream", "Transfer-Encoding: chunked");
    for (name, text) in [("small", small), ("provider", provider)] {
        group.throughput(throughput(text.len()));
        group.bench_function(name, |bencher| {
            bencher.iter(|| match response_head(black_box(text.as_bytes()), &mut 0) {
                Parse::Done { value, used } => assert!(used == text.len() && value.status == 200),
                other => panic!("{other:?}"),
            });
        });
    }
    group.finish();
}

/// Goes through a whole chunked body: bytes of payload.
fn payload(body: &[u8]) -> usize {
    let (mut decoder, mut at, mut payload) = (ChunkDecoder::new(), 0, 0);
    loop {
        let Parse::Done { value, used } = decoder.next(&body[at..]) else { panic!("stopped at {at}") };
        at += used;
        match value {
            ChunkItem::Data { .. } => payload += used,
            ChunkItem::End => return payload,
            ChunkItem::Start { .. } | ChunkItem::DataEnd | ChunkItem::Trailer => {}
        }
    }
}

fn chunks(criterion: &mut Criterion<CpuTime>) {
    const PAYLOAD: usize = 64 * 1024;
    let mut group = criterion.benchmark_group("wire/chunked");
    for size in (4..=16).step_by(2).map(|power| 1_usize << power) {
        let body = texts::chunk(&"x".repeat(size)).repeat(PAYLOAD / size) + "0\r\n\r\n";
        group.throughput(throughput(body.len()));
        group.bench_function(BenchmarkId::new("64 KiB in chunks of", size), |bencher| {
            bencher.iter(|| assert_eq!(payload(black_box(body.as_bytes())), PAYLOAD));
        });
        group.bench_function(BenchmarkId::new("64 KiB in place, chunks of", size), |bencher| {
            let copy = || body.clone().into_bytes();
            let decode = |bytes: &mut Vec<u8>| {
                let decoded = decode_in_place(&mut ChunkDecoder::new(), bytes).expect("well-formed");
                assert!(decoded.done && decoded.payload_len == PAYLOAD);
            };
            bencher.iter_batched_ref(copy, decode, BatchSize::LargeInput);
        });
    }
    group.finish();
}

/// Events that a watch finds in the pieces of a stream.
fn watched<'a>(watch: &mut Watch, pieces: impl Iterator<Item = &'a [u8]>) -> usize {
    let mut events = 0;
    for mut piece in pieces {
        while !piece.is_empty() {
            let fed = watch.feed(piece);
            let used = fed.used;
            events += usize::from(fed.event.is_some_and(|event| event.kind == EventKind::Data));
            piece = &piece[used..];
        }
    }
    events
}

fn streams(criterion: &mut Criterion<CpuTime>) {
    const EVENTS: usize = 16;
    let mut group = criterion.benchmark_group("wire/sse");
    for size in [100, 128, 256, 512, 1024, 2048, 4096, 8192, 16384] {
        let event = texts::event(size);
        let stream = event.repeat(EVENTS);
        let stream = stream.as_bytes();
        group.throughput(throughput(stream.len()));
        // One event a piece; all in one piece; pieces that end in the middle of every event.
        for (shape, piece) in [("one by one", size), ("coalesced", stream.len()), ("cut", size / 2 + 1)] {
            group.bench_function(BenchmarkId::new(shape, size), |bencher| {
                let mut watch = Watch::new();
                bencher.iter(|| assert_eq!(watched(&mut watch, black_box(stream).chunks(piece)), EVENTS));
            });
        }
    }
    group.finish();
}

fn events(criterion: &mut Criterion<CpuTime>) {
    let openai = dialect(DialectName::OpenAi);
    let usage = Usage { prompt_tokens: 9, completion_tokens: 12, ..Usage::default() };
    let cases = [
        ("content event", texts::delta_event(), Signal::Content),
        ("usage event", texts::usage_event(), Signal::Usage { usage, only: true }),
        ("end marker", texts::DONE_EVENT.to_owned(), Signal::Done),
    ];
    let mut group = criterion.benchmark_group("dialect/openai");
    for (name, event, expected) in cases {
        let data = event["data: ".len()..].trim_end();
        group.throughput(throughput(data.len()));
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(openai.judge_event(black_box(data.as_bytes())), expected));
        });
    }
    let answer = texts::answer_body();
    group.throughput(throughput(answer.len()));
    group.bench_function("whole answer", |bencher| {
        bencher.iter(|| match openai.judge_answer(black_box(answer.as_bytes())) {
            Answer::Content { usage, .. } => assert_eq!(usage.map(|usage| usage.prompt_tokens), Some(19)),
            other => panic!("{other:?}"),
        });
    });
    group.finish();
}

fn bodies(criterion: &mut Criterion<CpuTime>) {
    let openai = dialect(DialectName::OpenAi);
    for (name, size) in [("1.5 KB", 1536), ("16 KB", 16 << 10), ("256 KB", 256 << 10)] {
        let body = texts::chat_body("openai/gpt-5.5", true, size);
        let body = body.as_bytes();
        let mut group = criterion.benchmark_group("wire/json");
        group.throughput(throughput(size));
        group.bench_function(BenchmarkId::new("peek", name), |bencher| {
            bencher.iter(|| {
                let peek = peek(black_box(body)).expect("a good body");
                assert!(peek.stream && peek.model.is_some() && peek.member(Key::Stream).is_some());
            });
        });
        let peek = peek(body).expect("a good body");
        let mut splice = Splice::new();
        group.bench_function(BenchmarkId::new("splice", name), |bencher| {
            bencher.iter(|| {
                splice.clear();
                openai.splice(&peek, black_box(body), "gpt-5.5", StreamUsage::OnRequest, &mut splice);
                let parts = splice.pieces(body.len()).map(|piece| match piece {
                    Piece::Body(span) | Piece::Own(span) => span.len(),
                });
                assert_eq!(parts.sum::<usize>(), splice.len(body.len()));
                assert_ne!(splice.len(body.len()), body.len());
            });
        });
        group.finish();
    }
}

fn writing(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("wire/write_head");
    let mut out = Vec::with_capacity(1024);
    let mut bench = |name: &str, write: fn(&mut Vec<u8>)| {
        write(&mut out);
        let whole = out.clone();
        group.throughput(throughput(whole.len()));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                write(black_box(&mut out));
                assert_eq!(out.len(), whole.len());
            });
        });
        assert!(out == whole && out.ends_with(b"\r\n\r\n"), "{name}");
        out.clear();
    };
    bench("request", |out| {
        let mut head = HeadWriter::request(out, "POST", &["/v1", "/chat/completions"]);
        head.field("host", b"api.provider.example");
        head.joined("authorization", &[b"Bearer ", b"sk-proj-0123456789abcdef0123456789abcdef"]);
        head.field("accept", b"application/json").field("content-type", b"application/json");
        head.number("content-length", 1536);
        head.end();
    });
    bench("stream of events", |out| {
        let mut head = HeadWriter::response(out, 200);
        head.field("content-type", b"text/event-stream; charset=utf-8").field("cache-control", b"no-cache");
        head.field("x-accel-buffering", b"no");
        head.field("x-generation-id", b"gen-1763625600-ABCDEFGHIJKLMNOPQRST");
        head.field("transfer-encoding", b"chunked");
        head.end();
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    targets = heads, chunks, streams, events, bodies, writing
}
criterion_main!(benches);
