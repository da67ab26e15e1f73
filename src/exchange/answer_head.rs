//! The heads of answers that are relayed: status, our id, what the provider said of its content, and framing.
//!
//! Deliberately absent: answers of our own (`close`), and the bodies.

use crate::base::ids::GenerationId;
use crate::base::record::AttemptRecord;
use crate::exchange::attempt::Attempt;
use crate::exchange::emit::BodyOut;
use crate::exchange::receipt::Told;
use crate::exchange::request::Subject;
use crate::wire::http1::HeadWriter;

/// How the body of an answer that is no stream ends for the client.
pub(super) enum DocumentBody {
    Length(u64),
    Chunked,
    UntilClose,
}

/// Writes the head of an answer that is no stream. Answers of the control plane carry no generation id, and
/// tell nothing of their way.
pub(super) fn write_document_head(
    own: &mut Vec<u8>,
    attempt: &Attempt,
    attempts: &[AttemptRecord],
    body: DocumentBody,
    close: bool,
) {
    let kept = &attempt.run.kept;
    let inference = !matches!(attempt.request.subject, Subject::Control);
    begin_head(own, kept.status, inference.then_some(&attempt.request.id)).pause();
    if inference {
        attempt.told(attempts).write(own);
    }
    let mut head = HeadWriter::resumed(own);
    tell_choice(&mut head, attempt);
    if !kept.content_type.is_empty() {
        head.field("content-type", &kept.content_type);
    }
    if !kept.content_encoding.is_empty() {
        head.field("content-encoding", &kept.content_encoding);
    }
    match body {
        DocumentBody::Length(length) => {
            head.number("content-length", length);
        }
        DocumentBody::Chunked => {
            head.field("transfer-encoding", b"chunked");
        }
        DocumentBody::UntilClose => {}
    }
    if close {
        head.field("connection", b"close");
    }
    head.end();
}

/// Writes the status line and our id. What nearly every answer begins with is one text.
fn begin_head<'o>(own: &'o mut Vec<u8>, status: u16, id: Option<&GenerationId>) -> HeadWriter<'o> {
    match id {
        Some(id) if status == 200 => {
            own.extend_from_slice(b"HTTP/1.1 200 OK\r\nx-generation-id: ");
            own.extend_from_slice(id.as_bytes());
            own.extend_from_slice(b"\r\n");
            HeadWriter::resumed(own)
        }
        Some(id) => {
            let mut head = HeadWriter::response(own, status);
            head.field("x-generation-id", id.as_bytes());
            head
        }
        None => HeadWriter::response(own, status),
    }
}

/// Says what `millrace/auto` has decided, if it was asked for.
fn tell_choice(head: &mut HeadWriter<'_>, attempt: &Attempt) {
    if let Subject::Inference { auto: Some(chosen), .. } = &attempt.request.subject {
        head.field("x-millrace-auto", chosen.decision.receipt(&attempt.snapshot().auto).as_bytes());
    }
}

/// Writes the head of an event stream; `told` is `None` while there is nothing to tell yet.
pub(super) fn write_events_head(
    own: &mut Vec<u8>,
    attempt: &Attempt,
    told: Option<Told<'_>>,
    content_type: &[u8],
    out: BodyOut,
    close: bool,
) {
    begin_head(own, 200, Some(&attempt.request.id)).pause();
    if let Some(told) = told {
        told.write(own);
    }
    own.extend_from_slice(b"cache-control: no-cache\r\nx-accel-buffering: no\r\n");
    let mut head = HeadWriter::resumed(own);
    tell_choice(&mut head, attempt);
    head.field("content-type", content_type);
    if out == BodyOut::Chunked {
        head.field("transfer-encoding", b"chunked");
    }
    if close {
        head.field("connection", b"close");
    }
    head.end();
}
