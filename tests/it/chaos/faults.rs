//! The faults: what a provider does, and what may come of it.

use super::judge::Question;
use crate::harness::{Peer, Random, Seen, chunk, document, document_answer};

/// What a provider does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Answers as it should.
    Sound,
    /// Answers in small pieces.
    Slow,
    /// A few interim responses, then the answer.
    Interim(usize),
    /// A second response right behind the answer.
    Surplus,
    /// Nobody listens.
    Refused,
    /// Connections are never taken.
    Blackhole,
    /// The connection ends before a byte, in order or with a reset.
    Nothing { reset: bool },
    /// Silence.
    StallBeforeHead,
    /// Silence after the head.
    StallBeforeEvent,
    /// Silence somewhere in the answer.
    StallInside,
    /// These bytes, whatever was asked.
    Bytes(&'static [u8]),
    /// The answer up to any byte but the last, then the end, in order or with a reset.
    Cut { reset: bool },
    /// All but the end marker and the last chunk.
    CutBeforeDone,
    /// A body that only the end of the connection delimits, cut inside an event (or inside the document).
    CutUndelimited,
    /// Something that is no chunk in the middle of a chunked body.
    BadChunk,
    /// An error with this status line.
    Status(&'static str),
    /// A 200 that says it is an error.
    ErrorInside,
    /// A stream that turns into an error in its middle.
    ErrorMidway,
}

/// What may come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The answer, whole.
    Answer,
    /// The next provider, as often as there is one.
    Free,
    /// The next provider, once per request: this one may have done the work.
    Ambiguous,
    /// An error for the client: nobody else would say anything different.
    Final,
    /// As `Ambiguous` if the client has seen nothing, else an answer that is cut.
    AmbiguousOrCut,
    /// On a stream an answer that says what happened, else as `Ambiguous`.
    Told,
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) way: Way,
    pub(super) effect: Effect,
}

const fn fault(name: &'static str, way: Way, effect: Effect) -> Fault {
    Fault { name, way, effect }
}

/// A response with this head and a body of two bytes.
macro_rules! head {
    ($fields:literal) => {
        Way::Bytes(
            concat!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n", $fields, "\r\n{}").as_bytes(),
        )
    };
}

pub(super) const FAULTS: &[Fault] = &[
    fault("sound", Way::Sound, Effect::Answer),
    fault("slow", Way::Slow, Effect::Answer),
    fault("interim", Way::Interim(3), Effect::Answer),
    fault("surplus", Way::Surplus, Effect::Answer),
    fault("refused", Way::Refused, Effect::Free),
    fault("blackhole", Way::Blackhole, Effect::Free),
    fault("fin", Way::Nothing { reset: false }, Effect::Ambiguous),
    fault("reset", Way::Nothing { reset: true }, Effect::Ambiguous),
    fault("stall-head", Way::StallBeforeHead, Effect::Ambiguous),
    fault("stall-event", Way::StallBeforeEvent, Effect::Ambiguous),
    fault("stall-inside", Way::StallInside, Effect::AmbiguousOrCut),
    fault("storm", Way::Interim(200), Effect::Ambiguous),
    fault("garbage", Way::Bytes(b"\x16\x03\x01\x00\xffnot http at all\r\n\r\n"), Effect::Ambiguous),
    fault("old-http", Way::Bytes(b"HTTP/0.9 200 OK\r\n\r\n{}"), Effect::Ambiguous),
    fault("two-framings", head!("content-length: 2\r\ntransfer-encoding: chunked\r\n"), Effect::Ambiguous),
    fault("two-lengths", head!("content-length: 2\r\ncontent-length: 3\r\n"), Effect::Ambiguous),
    fault("bad-length", head!("content-length: -2\r\n"), Effect::Ambiguous),
    fault("bad-coding", head!("transfer-encoding: gzip, chunked\r\n"), Effect::Ambiguous),
    fault("folded", head!("x: a\r\n b\r\ncontent-length: 2\r\n"), Effect::Ambiguous),
    fault(
        "upgrade",
        Way::Bytes(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
        Effect::Ambiguous,
    ),
    fault("empty", Way::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), Effect::Ambiguous),
    fault("no-content", Way::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n"), Effect::Ambiguous),
    fault("redirect", Way::Status("302 Found\r\nlocation: http://127.0.0.1:1/"), Effect::Ambiguous),
    fault(
        "html",
        Way::Bytes(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"),
        Effect::Ambiguous,
    ),
    fault("cut-fin", Way::Cut { reset: false }, Effect::AmbiguousOrCut),
    fault("cut-reset", Way::Cut { reset: true }, Effect::AmbiguousOrCut),
    fault("cut-before-done", Way::CutBeforeDone, Effect::AmbiguousOrCut),
    fault("cut-undelimited", Way::CutUndelimited, Effect::AmbiguousOrCut),
    fault("bad-chunk", Way::BadChunk, Effect::AmbiguousOrCut),
    fault("400", Way::Status("400 Bad Request"), Effect::Final),
    fault("401", Way::Status("401 Unauthorized"), Effect::Free),
    fault("403", Way::Status("403 Forbidden"), Effect::Free),
    fault("404", Way::Status("404 Not Found"), Effect::Free),
    fault("422", Way::Status("422 Unprocessable Content"), Effect::Final),
    fault("429", Way::Status("429 Too Many Requests\r\nretry-after: 7"), Effect::Free),
    fault("500", Way::Status("500 Internal Server Error"), Effect::Ambiguous),
    fault("502", Way::Status("502 Bad Gateway"), Effect::Ambiguous),
    fault("503", Way::Status("503 Service Unavailable"), Effect::Free),
    fault("529", Way::Status("529 Overloaded"), Effect::Free),
    fault("error-inside", Way::ErrorInside, Effect::Ambiguous),
    fault("error-midway", Way::ErrorMidway, Effect::Told),
];

const ERROR: &str = "{\"error\":{\"message\":\"chaos\",\"type\":\"server_error\",\"code\":500}}";

/// The answer to a question, as a sound provider of this name gives it.
fn answer(name: &str, question: &Question) -> Vec<u8> {
    if !question.stream {
        return document_answer("200 OK", &question.document(name));
    }
    let mut bytes = events_head().into_bytes();
    for event in question.events(name) {
        bytes.extend_from_slice(chunk(&event).as_bytes());
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn events_head() -> String {
    crate::harness::EVENTS_HEAD.to_owned()
}

/// Does what the fault says. Random choices follow from the question, so that a seed repeats them.
pub(super) fn act(fault: &Fault, peer: &mut Peer, seen: &Seen) {
    let question = Question::read(&seen.text());
    let mut random =
        Random(question.nonce.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte)));
    let whole = answer(fault.name, &question);
    match fault.way {
        Way::Refused | Way::Blackhole => {}
        Way::Sound => {
            peer.send(&whole);
        }
        Way::Slow => {
            peer.send_cut(&whole, whole.len() / (3 + random.below(20)));
        }
        Way::Interim(count) => {
            for turn in 0..count {
                let status = ["100 Continue", "102 Processing", "103 Early Hints"][turn % 3];
                if !peer.send(format!("HTTP/1.1 {status}\r\nlink: </x>\r\n\r\n").as_bytes()) {
                    return;
                }
            }
            peer.send(&whole);
        }
        Way::Surplus => {
            let surplus = document_answer("200 OK", &document("surplus", "of somebody else"));
            peer.send(&[whole, surplus].concat());
        }
        Way::Nothing { reset: true } => peer.reset(),
        Way::Nothing { reset: false } => peer.close(),
        Way::StallBeforeHead => stall(peer, b""),
        Way::StallBeforeEvent => stall(peer, &whole[..head_len(&whole)]),
        Way::StallInside => {
            stall(peer, &whole[..head_len(&whole) + random.below(whole.len() - head_len(&whole))])
        }
        Way::Bytes(bytes) => {
            peer.send(bytes);
            peer.fin();
        }
        Way::Status(line) => {
            peer.send(&document_answer(line, ERROR));
        }
        Way::Cut { .. } | Way::CutBeforeDone | Way::CutUndelimited | Way::BadChunk => {
            cut(fault, peer, &question, &whole, &mut random);
        }
        Way::ErrorInside if question.stream => {
            peer.send(
                format!("{}{}0\r\n\r\n", events_head(), chunk(&format!("data: {ERROR}\n\n"))).as_bytes(),
            );
        }
        Way::ErrorInside => {
            peer.send(&document_answer("200 OK", ERROR));
        }
        Way::ErrorMidway if question.stream => {
            let events = question.events(fault.name);
            let front: String = events[..2].iter().map(|event| chunk(event)).collect();
            let back = chunk(&format!("data: {ERROR}\n\n"));
            peer.send(format!("{}{front}{back}0\r\n\r\n", events_head()).as_bytes());
        }
        Way::ErrorMidway => {
            peer.send(&document_answer("200 OK", ERROR));
        }
    }
}

/// The ways that end an answer before its end.
fn cut(fault: &Fault, peer: &mut Peer, question: &Question, whole: &[u8], random: &mut Random) {
    match fault.way {
        Way::CutBeforeDone if question.stream => {
            let end = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n".len();
            peer.send(&whole[..whole.len() - end]);
        }
        Way::CutUndelimited if question.stream => {
            let body = question.events(fault.name).concat();
            // Inside an event: one byte of its text at least is there, and its end is not.
            let at = 1 + body[..body.len() - 2].rfind("\n\n").unwrap_or(0) + 2 + random.below(8);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            peer.send(format!("{head}{}", &body[..at]).as_bytes());
        }
        Way::CutUndelimited => {
            let document = question.document(fault.name);
            let most = document.len().min(60_000) - 1;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
            peer.send(format!("{head}{}", &document[..1 + random.below(most)]).as_bytes());
        }
        Way::BadChunk => {
            let body = if question.stream {
                question.events(fault.name)[..1 + random.below(2)].concat()
            } else {
                question.document(fault.name)
            };
            let kind = if question.stream { "text/event-stream" } else { "application/json" };
            let bad = ["zz\r\n", "-1\r\n", "5\n", "\r\n", "fffffffffffffffff\r\n"][random.below(5)];
            peer.send(
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n{}{bad}",
                    chunk(&body)
                )
                .as_bytes(),
            );
        }
        _ => {
            // In pieces, so that some of it is read before the reset throws the rest away.
            let at = random.below(whole.len());
            peer.send_cut(&whole[..at], at / 3 + 1);
        }
    }
    if fault.way == (Way::Cut { reset: true }) { peer.reset() } else { peer.close() }
}

fn stall(peer: &mut Peer, bytes: &[u8]) {
    peer.send(bytes);
    peer.until_gone();
}

fn head_len(bytes: &[u8]) -> usize {
    memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4)
}
