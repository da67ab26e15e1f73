//! The heads of answers that are relayed: status, our id, what the provider said of its content, and framing.
//!
//! Deliberately absent: answers of our own (`close`), and the bodies.

use crate::base::ids::GenerationId;
use crate::exchange::attempt::Attempt;
use crate::exchange::emit::BodyOut;
use crate::exchange::request::Subject;
use crate::wire::http1::HeadWriter;

/// How the body of an answer that is no stream ends for the client.
pub(super) enum DocumentBody {
    Length(u64),
    Chunked,
    UntilClose,
}

/// Writes the head of an answer that is no stream. Answers of the control plane carry no generation id.
pub(super) fn write_document_head(own: &mut Vec<u8>, attempt: &Attempt, body: DocumentBody, close: bool) {
    let kept = &attempt.run.kept;
    let inference = !matches!(attempt.request.subject, Subject::Control);
    let mut head = begin_head(own, kept.status, inference.then_some(&attempt.request.id));
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

/// Writes the head of an event stream.
pub(super) fn write_events_head(
    own: &mut Vec<u8>,
    id: GenerationId,
    content_type: &[u8],
    out: BodyOut,
    close: bool,
) {
    begin_head(own, 200, Some(&id)).pause();
    own.extend_from_slice(b"cache-control: no-cache\r\nx-accel-buffering: no\r\n");
    let mut head = HeadWriter::resumed(own);
    head.field("content-type", content_type);
    if out == BodyOut::Chunked {
        head.field("transfer-encoding", b"chunked");
    }
    if close {
        head.field("connection", b"close");
    }
    head.end();
}
